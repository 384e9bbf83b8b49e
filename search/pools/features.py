"""Cheap exact facts about an architecture, from its spec alone, for models of the score.

``features`` are numbers (size, compute, shape, shares of operations), means over layers; ``profiles`` are numbers that
say how parts are distributed over them; ``layer_codes`` are categories, layer by layer, for kernels and neighborhoods
on the architecture itself. None needs a library or a network.
Shapes: N specs, F features, L layers of the deepest spec.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from design_space import Layer, ModelSpec, Names, operations
from flexibert import cost_of

SIZES = (
    "log_parameters",
    "log_flops",
    "log_depth",
    "log_hidden",
    "log_heads",
    "log_feed_forward",
    "feed_forward_depth",
)
"""Features that every architecture has, whatever its operations."""

PLACES = ("hidden", "heads", "operation", "feed_forward")
"""What ``layer_codes`` has a category for, per layer."""

SECTIONS = 6
"""Of the depth, in ``profiles``."""

_LENGTH = 128
_ABSENT = 0


def feature_names() -> list[str]:
    """Names of the F features: ``SIZES``, then per operation the share of heads with each of its named parameters, and
    for one of numbers the share of its heads and the mean logarithm of their numbers."""
    shares, numbers = [], []
    for operation in operations():
        if isinstance(operation.parameters, Names):
            shares += [f"share_{operation.name}_{word}" for word in operation.parameters.words]
        else:
            shares.append(f"share_{operation.name}")
            numbers.append(f"log_{operation.name}")
    return [*SIZES, *shares, *numbers]


def features(specs: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
    """The features of each spec, (N, F): means over its layers, shares over its heads."""
    if not len(specs):
        return np.empty((0, len(feature_names())))
    cost = cost_of(specs, _LENGTH)
    layers: dict[tuple[object, ...], list[float]] = {}
    shape = np.array([_shape(spec, layers) for spec in specs])
    return np.column_stack([np.log(cost.parameters), np.log(cost.flops_per_token), shape])


def profiles(specs: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
    """How heads and neurons are distributed over the layers, (N, 2 * SECTIONS): the joint width of the heads, and the
    neurons, of the layer in the middle of each of some equal sections."""
    rows = [
        (sum(head.size for head in layer.heads), sum(layer.feed_forward))
        for spec in specs
        for layer in (spec.layers[place * len(spec.layers) // (2 * SECTIONS)] for place in range(1, 2 * SECTIONS, 2))
    ]
    return np.array(rows, dtype=float).reshape(len(specs), 2 * SECTIONS)


def layer_codes(specs: Sequence[ModelSpec], num_layers: int | None = None) -> npt.NDArray[np.int64]:
    """Categories (N, L * 4): per layer its ``PLACES``, as codes that are equal for equal values in every process; 0
    where a spec has no such layer. ``num_layers`` makes room for deeper specs."""
    depth = max([num_layers or 1, *(len(spec.layers) for spec in specs)])
    codes = np.full((len(specs), depth, len(PLACES)), _ABSENT, dtype=np.int64)
    known: dict[tuple[object, ...], tuple[int, ...]] = {}
    for row, spec in enumerate(specs):
        for place, layer in enumerate(spec.layers):
            key = _key(layer)
            if key not in known:
                known[key] = _codes(layer)
            codes[row, place] = known[key]
    return codes.reshape(len(specs), depth * len(PLACES))


def _shape(spec: ModelSpec, known: dict[tuple[object, ...], list[float]]) -> list[float]:
    rows = []
    for layer in spec.layers:
        key = _key(layer)
        if key not in known:
            known[key] = _layer_figures(layer)
        rows.append(known[key])
    return [math.log(len(rows)), *(sum(column) / len(rows) for column in zip(*rows, strict=True))]


def _layer_figures(layer: Layer) -> list[float]:
    heads = layer.heads
    shares: list[float] = []
    numbers: list[float] = []
    for operation in operations():
        own = [head.parameter for head in heads if head.operation == operation.name]
        if isinstance(operation.parameters, Names):
            shares += [own.count(word) / len(heads) for word in operation.parameters.words]
        else:
            shares.append(len(own) / len(heads))
            numbers.append(sum(math.log(max(1, int(number))) for number in own) / len(heads))
    return [
        math.log(layer.hidden_size),
        math.log(len(layer.heads)),
        math.log(sum(layer.feed_forward)),
        float(len(layer.feed_forward)),
        *shares,
        *numbers,
    ]


def _codes(layer: Layer) -> tuple[int, ...]:
    heads = sorted(f"{head.operation}_{head.parameter}" for head in layer.heads)
    values = (layer.hidden_size, (len(layer.heads), layer.head_size), sorted(set(heads)), layer.feed_forward)
    if len(set(heads)) > 1:
        values = (*values[:2], heads, layer.feed_forward)
    return tuple(1 + zlib.crc32(repr(value).encode()) for value in values)


def _key(layer: Layer) -> tuple[object, ...]:
    """What tells layers apart; where the heads are alike, hashing every one would take most of the time."""
    heads = layer.heads
    alike = all(head is heads[0] for head in heads) or heads.count(heads[0]) == len(heads)
    return layer.hidden_size, len(heads), heads[:1] if alike else heads, layer.feed_forward
