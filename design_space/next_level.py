"""The next, finer level of the hierarchy: the spaces between pairs of good parents (FlexiBERT, section 3.2.2).

Each stack of a child may take any choice of either parent at that place, at a finer number of layers per stack. Where
one parent is deeper, its
tail is kept: the places beyond the shorter parent have the deeper one's choices alone.
"""

import itertools
from collections.abc import Iterable, Sequence

from .choices import FeedForwardChoices, StackChoices
from .level import Branch, Level
from .spec import Layer, ModelSpec


def next_level(
    pairs: Iterable[tuple[ModelSpec, ModelSpec]],
    *,
    old_layers_per_stack: int,
    new_layers_per_stack: int,
    heterogeneous_feed_forward: bool = False,
) -> Level:
    """The union of the spaces between the parents of each pair.

    Raises:
        ValueError: when the new granularity does not divide the old one, a parent is in the hetero format, its layers
            do not fill stacks of ``old_layers_per_stack`` equal layers, or there is no pair.
    """
    old, new = old_layers_per_stack, new_layers_per_stack
    if old < 1 or new < 1 or old % new:
        raise ValueError(f"'new_layers_per_stack' must divide 'old_layers_per_stack' {old}. Got {new}")
    branches = [_between(_stacks(a, old), _stacks(b, old), old // new, heterogeneous_feed_forward) for a, b in pairs]
    if not branches:
        raise ValueError("A next level needs at least one pair of parents. Got none")
    return Level(tuple(dict.fromkeys(branches)), new)


def _stacks(spec: ModelSpec, layers_per_stack: int) -> list[Layer]:
    """The layer that each stack repeats."""
    if spec.format != "standard":
        raise ValueError(f"A parent of a next level must be in the standard format. Got {spec.to_dict()}")
    stacks = [spec.layers[i : i + layers_per_stack] for i in range(0, len(spec.layers), layers_per_stack)]
    if any(len(stack) != layers_per_stack or len(set(stack)) > 1 for stack in stacks):
        raise ValueError(f"A parent must consist of stacks of {layers_per_stack} equal layers. Got {spec.to_dict()}")
    return [stack[0] for stack in stacks]


def _between(a: list[Layer], b: list[Layer], refinement: int, heterogeneous: bool) -> Branch:
    places = [
        _choices([layer for layer in layers if layer is not None], heterogeneous)
        for layers in itertools.zip_longest(a, b)
    ]
    return tuple(choices for choices in places for _ in range(refinement))


def _choices(layers: Sequence[Layer], heterogeneous: bool) -> StackChoices:
    """Everything that can be combined from these layers; what they share is listed once."""
    hidden_sizes = sorted({layer.hidden_size for layer in layers})
    head_counts = sorted({len(layer.heads) for layer in layers})
    return StackChoices(
        shapes=tuple((hidden, heads) for hidden in hidden_sizes for heads in head_counts if hidden % heads == 0),
        operations=tuple(dict.fromkeys((layer.heads[0].operation, layer.heads[0].parameter) for layer in layers)),
        feed_forward=FeedForwardChoices(
            counts=tuple(sorted({len(layer.feed_forward) for layer in layers})),
            widths=tuple(sorted({width for layer in layers for width in layer.feed_forward})),
            # A parent whose widths already differ inside a stack can only be met again when they may.
            heterogeneous=heterogeneous or any(len(set(layer.feed_forward)) > 1 for layer in layers),
        ),
    )
