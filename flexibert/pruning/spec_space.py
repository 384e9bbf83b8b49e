"""Pruning as a map from spec to spec, known before anything is trained or built. Pure Python.

``prune_spec`` takes the same share of heads and of neurons from every layer, so that the child depends on the parent
and the target alone; ``prune(model, spec=child)`` then finds which ones, of this child and of any other that the parent
``holds``. What can be removed is in ``compaction.py``.
"""

from collections import Counter
from collections.abc import Collection
from functools import lru_cache
from math import prod
from typing import Any

from design_space import Layer, ModelSpec, operation_named
from design_space.subarchitectures import has_removable_heads, largest_share, neuron_multiple, part_of

from ..cost.parameters import count_parameters, layer_parameters, next_widths
from ..mixing import head_operation
from ..mixing.axes import Axis, Parameter, Sizes

QUERY_KEY_VALUE = {f"attention.self.{name}": name for name in ("query", "key", "value")}


def prune_spec(
    spec: ModelSpec, *, density: float | None = None, parameters: int | None = None, config: Any = None
) -> ModelSpec:
    """The child that keeps the largest equal share of all heads and neurons within the target.

    Heads are rounded to whole ones first; neurons, in multiples of ``neuron_multiple``, fill up what is left.

    Args:
        spec: the parent.
        density: share of the parent's encoder linear weights (query, key, value, output, feed-forward), in (0, 1].
        parameters: number of all parameters of the encoder with its pooler, instead.
        config: as for ``count_parameters``.

    Raises:
        ValueError: when not exactly one target is given, it cannot be reached, or the parent is grouped.
    """
    check_single(spec)
    if (density is None) == (parameters is None):
        raise ValueError("Exactly one of 'density' and 'parameters' must be given")
    if density is not None:
        check_density(density)
        target, size_of = density * linear_weights(spec, config), lambda child: linear_weights(child, config)
    else:
        assert parameters is not None
        target, size_of = float(parameters), lambda child: count_parameters(child, config)
    smallest = _child(spec, 0.0, 0.0)
    if not size_of(smallest) <= target:  # nor if the target is no number
        raise ValueError(
            f"The target of {target:.0f} parameters must be at least {size_of(smallest)}, what one head and the fewest "
            "neurons per layer have"
        )
    share = largest_share(lambda x: size_of(_child(spec, x, x)) <= target)
    return _child(spec, share, largest_share(lambda x: size_of(_child(spec, share, x)) <= target))


@lru_cache(maxsize=65536)
def holds(parent: ModelSpec, child: ModelSpec) -> bool:
    """Whether ``child`` is a part of ``parent``, which pruning can make of it: each of its layers fits into one of the
    parent's, in order. A layer fits into one that is as wide or wider, has its heads among its own (operation,
    parameter and size) and feed-forward stacks of as many widths, each as large or larger. A grouped architecture holds
    none and is held by none."""
    return not (parent.groups or child.groups) and roots_of(parent, child, range(len(parent.layers))) is not None


def roots_of(parent: ModelSpec, child: ModelSpec, places: Collection[int]) -> list[int] | None:
    """The first of the parent's layers at ``places``, in order, into which the child's layers fit; None where they do
    not."""
    found: list[int] = []
    free = iter(sorted(places))
    for layer in child.layers:
        place = next((place for place in free if not misfits(parent, parent.layers[place], child, layer)), None)
        if place is None:
            return None
        found.append(place)
    return found


def check_holds(parent: ModelSpec, child: ModelSpec) -> None:
    """Raises ``ValueError``, listing what of ``child`` the parent does not have, when it does not hold it."""
    problems = []
    depths = len(parent.layers), len(child.layers)
    if depths[1] > depths[0]:
        problems.append(f"it must have at most {depths[0]} layers. Got {depths[1]}")
    if depths[1] == depths[0]:
        for number, (theirs, ours) in enumerate(zip(parent.layers, child.layers, strict=True)):
            problems += [f"layer {number} {problem}" for problem in misfits(parent, theirs, child, ours)]
    elif roots_of(parent, child, range(depths[0])) is None:
        problems.append(_first_without_place(parent, child))
    if child.groups:
        problems = [f"it must not be grouped. Got {len(child.groups)} groups"]
    if problems:
        raise ValueError("\n  - ".join(["'spec' must be a part of the model's own:", *problems]))


def _first_without_place(parent: ModelSpec, child: ModelSpec) -> str:
    number, last = 0, -1
    while found := roots_of(parent, ModelSpec(child.layers[: number + 1], child.format), range(len(parent.layers))):
        number, last = number + 1, found[-1]
    if last + 1 == len(parent.layers):
        return f"layer {number} has no place: the layers before it fit into the model's {last + 1} only"
    problems = [misfits(parent, theirs, child, child.layers[number]) for theirs in parent.layers[last + 1 :]]
    of_nearest = min(problems, key=len)
    place = last + 1 + problems.index(of_nearest)
    return f"layer {number} fits into none of the model's from {last + 1} on; for layer {place} it {of_nearest[0]}"


def misfits(parent: ModelSpec, theirs: Layer, child: ModelSpec, ours: Layer) -> list[str]:
    """What of the child's layer ``ours`` the parent's layer ``theirs`` does not have; empty where it fits."""
    problems = []
    if ours.hidden_size > theirs.hidden_size:
        problems.append(f"must be at most {theirs.hidden_size} wide")
    owned = Counter(theirs.heads)
    for head, count in Counter(ours.heads).items():
        if count > owned[head]:
            problems.append(f"must have at most {owned[head]} heads {head}")
    if len(ours.feed_forward) != len(theirs.feed_forward) or any(
        a > b for a, b in zip(ours.feed_forward, theirs.feed_forward, strict=True)
    ):
        problems.append(f"must have feed-forward widths of at most {list(theirs.feed_forward)}")
    is_whole = parent.format == "standard" and not operation_named(theirs.heads[0].operation).has_independent_heads
    if is_whole and (child.format != "standard" or len(ours.heads) < len(theirs.heads)):
        problems.append("must have all heads: a standard layer's transform or convolution needs them")
    if parent.format == "hetero" and child.format == "standard" and not _is_beside_itself(ours):
        problems.append(f"must be hetero: heads {ours.heads[0]} of a standard layer share weights")
    return problems


def _is_beside_itself(layer: Layer) -> bool:
    """Whether a standard layer is its heads side by side."""
    return layer.has_dot_product_attention or head_operation(layer.heads[0].operation).standard() is None


def linear_axes(spec: ModelSpec, config: Any = None) -> list[dict[str, tuple[Axis, ...]]]:
    """The written and the read axis of every weight that is pruned, by layer and name (``LayerLinears.named``).

    Args:
        spec: the architecture.
        config: a configuration with the kind of positions, on which it depends what a layer has. Default: the usual.
    """
    return [
        {name: parameter.axes for parameter in parameters if (name := _linear_name(parameter)) is not None}
        for parameters in parameters_of_layers(spec, config)
    ]


def linear_weights(spec: ModelSpec, config: Any = None) -> int:
    """Number of weights in the linears that are pruned, of all layers: what densities are shares of."""
    layers = linear_axes(spec, config)
    return sum(prod(axis.length for axis in axes) for of_layer in layers for axes in of_layer.values())


def _linear_name(parameter: Parameter) -> str | None:
    module, _, kind = parameter.name.rpartition(".")
    if kind != "weight":
        return None
    if parameter.axes[0].kind.startswith("ff"):
        return parameter.axes[0].kind.replace("ff", "intermediate")
    return (QUERY_KEY_VALUE | {"attention.output.dense": "output", "output.dense": "dense"}).get(module)


def layer_weights(spec: ModelSpec, config: Any) -> int:
    """Number of all parameters of the layers, for a text or an image model."""
    without = set() if getattr(config, "qkv_bias", True) else {f"{name}.bias" for name in QUERY_KEY_VALUE}
    return sum(
        p.numel for parameters in parameters_of_layers(spec, config) for p in parameters if p.name not in without
    )


def parameters_of_layers(spec: ModelSpec, config: Any) -> list[tuple[Parameter, ...]]:
    """The parameters of every layer, for a text or an image model (whose LayerNorms have other names)."""
    sizes = Sizes()
    if config is not None:  # a FlexiViT's has no vocabulary
        sizes = Sizes(
            max_position_embeddings=config.max_position_embeddings,
            position_embedding_type=config.position_embedding_type,
        )
    widths = zip(spec.layers, next_widths(spec), strict=True)
    return [layer_parameters(layer, following, spec.format == "hetero", sizes) for layer, following in widths]


def child_spec(spec: ModelSpec, heads: list[list[int]], widths: list[tuple[int, ...]]) -> ModelSpec:
    """The spec with these places of heads and these feed-forward widths per layer; hetero once a head is gone."""
    layers = [
        Layer(layer.hidden_size, tuple(layer.heads[place] for place in places), of_layer)
        for layer, places, of_layer in zip(spec.layers, heads, widths, strict=True)
    ]
    return part_of(spec, layers)


def check_density(density: float) -> None:
    """Raises ``ValueError`` when it is no share."""
    if not 0 < density <= 1:
        raise ValueError(
            f"'density' must be in (0, 1]: the share of the encoder's linear weights to keep. Got {density}"
        )


def check_single(spec: ModelSpec | None) -> None:
    """Raises ``ValueError`` for the architecture of stitched models."""
    if spec is not None and spec.groups:
        raise ValueError(
            f"A grouped architecture cannot be pruned. Got {len(spec.groups)} groups; "
            "prune its models, then stitch them"
        )


def _child(spec: ModelSpec, head_share: float, neuron_share: float) -> ModelSpec:
    """Heads of different operations go evenly: those at evenly spaced places stay."""
    heads, widths = [], []
    for layer in spec.layers:
        number = len(layer.heads)
        left = max(1, int(head_share * number + 0.5)) if has_removable_heads(spec) else number
        heads.append([place * number // left for place in range(left)])
        widths.append(tuple(_kept_width(width, neuron_share) for width in layer.feed_forward))
    return child_spec(spec, heads, widths)


def _kept_width(width: int, share: float) -> int:
    multiple = neuron_multiple(width)
    return min(width, max(multiple, int(share * width / multiple + 1e-9) * multiple)) if share < 1 else width
