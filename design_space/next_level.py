"""The next, finer level of the hierarchy: the spaces between pairs of good parents (FlexiBERT, section 3.2.2).

Each stack of a child may take any choice of either parent at that place, at a finer number of layers per stack. Where
one parent is deeper, its tail is kept: the places beyond the shorter parent have the deeper one's choices alone. In the
hetero format every head may take any operation that either parent has there, and number and size of heads are those of
the parents; where the heads of both are together as wide as the layer, a child's are.
"""

import itertools
from collections.abc import Iterable, Sequence

from .choices import FeedForwardChoices, StackChoices, shapes_of
from .level import Branch, Level
from .spec import Format, Layer, ModelSpec


def next_level(
    pairs: Iterable[tuple[ModelSpec, ModelSpec]],
    *,
    old_layers_per_stack: int,
    new_layers_per_stack: int,
    heterogeneous_feed_forward: bool = False,
) -> Level:
    """The union of the spaces between the parents of each pair.

    Raises:
        ValueError: when the new granularity does not divide the old one, parents are not all in the standard or all in
            the hetero format, layers of one do not fill stacks of ``old_layers_per_stack`` equal layers, or there is no
            pair.
    """
    old, new = old_layers_per_stack, new_layers_per_stack
    if old < 1 or new < 1 or old % new:
        raise ValueError(f"'new_layers_per_stack' must divide 'old_layers_per_stack' {old}. Got {new}")
    pairs = list(pairs)
    if not pairs:
        raise ValueError("A next level needs at least one pair of parents. Got none")
    formats = sorted({parent.format for pair in pairs for parent in pair})
    if len(formats) > 1 or formats == ["grouped"]:
        raise ValueError(
            "The parents of a next level must all be written in the standard format, or all in the hetero format. Got "
            f"{' and '.join(formats)} ones"
        )
    branches = [
        _between(_stacks(a, old), _stacks(b, old), old // new, a.format, heterogeneous_feed_forward) for a, b in pairs
    ]
    return Level(tuple(dict.fromkeys(branches)), new)


def _stacks(spec: ModelSpec, layers_per_stack: int) -> list[Layer]:
    """The layer that each stack repeats."""
    layers = [Layer(each.hidden_size, tuple(sorted(each.heads, key=str)), each.feed_forward) for each in spec.layers]
    stacks = [layers[i : i + layers_per_stack] for i in range(0, len(layers), layers_per_stack)]
    if any(len(stack) != layers_per_stack or len(set(stack)) > 1 for stack in stacks):
        raise ValueError(f"A parent must consist of stacks of {layers_per_stack} equal layers. Got {spec.to_dict()}")
    return [stack[0] for stack in stacks]


def _between(a: list[Layer], b: list[Layer], refinement: int, format: Format, heterogeneous: bool) -> Branch:
    places = [
        _choices([layer for layer in layers if layer is not None], format, heterogeneous)
        for layers in itertools.zip_longest(a, b)
    ]
    return tuple(choices for choices in places for _ in range(refinement))


def _choices(layers: Sequence[Layer], format: Format, heterogeneous: bool) -> StackChoices:
    """Everything that can be combined from these layers; what they share is listed once."""
    own = [layer.shape for layer in layers]
    hidden_sizes, num_heads, sizes = (sorted(set(numbers)) for numbers in zip(*own, strict=True))
    shapes = shapes_of(hidden_sizes, num_heads, sizes if format == "hetero" else ())
    if all(hidden == heads * size for hidden, heads, size in own):
        shapes = [(hidden, heads, size) for hidden, heads, size in shapes if hidden == heads * size]
    return StackChoices(
        shapes=tuple(shapes),
        operations=tuple(dict.fromkeys((head.operation, head.parameter) for layer in layers for head in layer.heads)),
        feed_forward=FeedForwardChoices(
            counts=tuple(sorted({len(layer.feed_forward) for layer in layers})),
            widths=tuple(sorted({width for layer in layers for width in layer.feed_forward})),
            # A parent whose widths already differ inside a stack can only be met again when they may.
            heterogeneous=heterogeneous or any(len(set(layer.feed_forward)) > 1 for layer in layers),
        ),
        format=format,
    )
