"""Cheap exact facts about an architecture, from its spec alone, for models of the score.

``features`` are numbers (size, compute, shape, shares of operations); ``layer_codes`` are categories, layer by layer,
for kernels and neighborhoods on the architecture itself. Neither needs a library or a network.
Shapes: N specs, F features, L layers of the deepest spec.
"""

import math
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from design_space import Layer, ModelSpec
from design_space.spec import NAMED_PARAMETERS
from flexibert import cost_of

FEATURES = (
    "log_parameters",
    "log_flops",
    "log_depth",
    "log_hidden",
    "log_heads",
    "log_feed_forward",
    "feed_forward_depth",
    "share_sdp",
    "share_wma",
    "share_dft",
    "share_dct",
    "share_convolution",
    "log_kernel",
)

PLACES = ("hidden", "heads", "operation", "feed_forward")
"""What ``layer_codes`` has a category for, per layer."""

_LENGTH = 128
_ABSENT = 0


def features(specs: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
    """The ``FEATURES`` of each spec, (N, F): means over its layers, shares over its heads."""
    if not len(specs):
        return np.empty((0, len(FEATURES)))
    cost = cost_of(specs, _LENGTH)
    layers: dict[tuple[object, ...], list[float]] = {}
    shape = np.array([_shape(spec, layers) for spec in specs])
    return np.column_stack([np.log(cost.parameters), np.log(cost.flops_per_token), shape])


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
    return codes.reshape(len(specs), -1)


def _shape(spec: ModelSpec, known: dict[tuple[object, ...], list[float]]) -> list[float]:
    rows = []
    for layer in spec.layers:
        key = _key(layer)
        if key not in known:
            known[key] = _layer_figures(layer)
        rows.append(known[key])
    return [math.log(len(rows)), *(sum(column) / len(rows) for column in zip(*rows, strict=True))]


def _layer_figures(layer: Layer) -> list[float]:
    kinds = [head.parameter if isinstance(head.parameter, str) else "c" for head in layer.heads]
    names = [*NAMED_PARAMETERS["sa"], *NAMED_PARAMETERS["l"], "c"]
    kernels = [math.log(int(head.parameter)) for head in layer.heads if head.operation == "c"]
    return [
        math.log(layer.hidden_size),
        math.log(len(layer.heads)),
        math.log(sum(layer.feed_forward)),
        float(len(layer.feed_forward)),
        *(kinds.count(name) / len(kinds) for name in names),
        sum(kernels) / len(kinds),
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
