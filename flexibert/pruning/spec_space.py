"""Pruning as a map from spec to spec, known before anything is trained or built. Pure Python.

``prune_spec`` takes the same share of heads and of neurons from every layer, so that the child depends on the parent
and the target alone; ``prune(model, spec=child)`` then finds which ones. What can be removed is in ``compaction.py``.
"""

from collections.abc import Callable
from math import prod
from typing import Any

from design_space import Layer, ModelSpec
from design_space.subarchitectures import has_removable_heads, neuron_multiple, part_of

from ..cost.parameters import count_parameters, layer_parameters, next_widths
from ..mixing.axes import Axis, Parameter, Sizes

QUERY_KEY_VALUE = {f"attention.self.{name}": name for name in ("query", "key", "value")}
STEPS = 40  # of bisection: shares to 1e-12


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
    share = _largest(lambda x: size_of(_child(spec, x, x)) <= target)
    return _child(spec, share, _largest(lambda x: size_of(_child(spec, share, x)) <= target))


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


def _largest(is_within: Callable[[float], bool]) -> float:
    """The largest share that is within, to the precision of the bisection; sizes grow with shares."""
    if is_within(1.0):
        return 1.0
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if is_within(middle) else (low, middle)
    return low
