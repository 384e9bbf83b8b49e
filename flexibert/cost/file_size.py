"""How large the file of a model is that is deployed, from its spec alone. No torch.

A number takes four bytes. In 8-bit numbers those of matrices and tables take one, while kernels of convolutions, biases
and norms stay as they are. An ONNX file holds the graph of operations too, and with relative positions the distance of
any two. Shapes: N architectures.
"""

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any

import numpy as np
import numpy.typing as npt

from design_space import Layer, ModelSpec

from ..mixing.axes import Parameter, Sizes
from .parameters import embedding_parameters, layer_parameters, next_widths, pooler_parameters

_GRAPH_BYTES = {"onnx": 20_000, "onnx-int8": 33_000}
"""Of a layer, about."""

_DISTANCE_BYTES = 8


def file_sizes_mb(
    specs: Sequence[ModelSpec],
    config: Any = None,
    *,
    runtime: str = "torch",
    num_outputs: int = 0,
    pooler: bool = True,
) -> npt.NDArray[np.float64]:
    """Size of the file of weights that a runtime loads, in millions of bytes (N,); of ONNX files good to a few percent,
    for the graph is estimated.

    Args:
        config: a ``FlexiBERTConfig`` for vocabulary and positions; None for its defaults.
        runtime: one of ``runtimes.runner.RUNTIMES``.
        num_outputs: of the task's head; 0 for the encoder alone.
        pooler: whether the model has one.
    """
    sizes = Sizes.of(config)
    return np.array([_model_bytes(spec, sizes, runtime, num_outputs, pooler) / 1e6 for spec in specs])


def _model_bytes(spec: ModelSpec, sizes: Sizes, runtime: str, num_outputs: int, pooler: bool) -> int:
    last, is_whole = spec.layers[-1].hidden_size, runtime == "onnx-int8"
    head = num_outputs * ((1 if is_whole else 4) * last + 4)
    head += _bytes(pooler_parameters(last), is_whole) if pooler else 0
    return head + sum(_encoder_bytes(group, sizes, runtime) for group in spec.groups or [spec])


def _encoder_bytes(spec: ModelSpec, sizes: Sizes, runtime: str) -> int:
    is_whole, is_hetero = runtime == "onnx-int8", spec.format == "hetero"
    found = _bytes(embedding_parameters(spec.layers[0].hidden_size, sizes), is_whole)
    for layer, width in zip(spec.layers, next_widths(spec), strict=True):
        found += _layer_bytes(layer, width, is_hetero, sizes, is_whole)
    if runtime in _GRAPH_BYTES:
        found += _GRAPH_BYTES[runtime] * len(spec.layers)
        if sizes.position_embedding_type != "absolute":
            found += _DISTANCE_BYTES * sizes.max_position_embeddings**2
    return found


@lru_cache(maxsize=65536)
def _layer_bytes(layer: Layer, next_width: int, is_hetero: bool, sizes: Sizes, is_whole: bool) -> int:
    return _bytes(layer_parameters(layer, next_width, is_hetero, sizes), is_whole)


def _bytes(parameters: Iterable[Parameter], is_whole: bool) -> int:
    return sum(parameter.numel * (1 if is_whole and len(parameter.axes) == 2 else 4) for parameter in parameters)
