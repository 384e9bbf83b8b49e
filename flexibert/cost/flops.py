"""What an architecture costs, from its spec alone: parameters and floating-point operations, without building it.

A multiply-add counts as two operations. Counted are matrix products, convolutions and transforms of the encoder (no
task head), by the formulas of the operations (``mixing``); element-wise operations, softmax and LayerNorm are not, as
in ``torch.utils.flop_counter``, which overlooks the fused attention of CPUs. The measured time of a spec is in
``latency.py``.
"""

from collections.abc import Sequence
from itertools import pairwise
from numbers import Integral
from typing import Any, NamedTuple

import numpy as np

from design_space import Head, Layer, ModelSpec

from ..mixing.axes import Sizes
from ..mixing.layer import mixing_flops
from .parameters import count_parameters, embedding_and_pooler_parameters, layer_parameter_count, next_widths


class Cost(NamedTuple):
    """Per spec: ``parameters`` (int64) and ``flops_per_token`` (float64), both of shape (number of specs,)."""

    parameters: np.ndarray
    flops_per_token: np.ndarray


def count_flops(
    spec: ModelSpec, length: int, config: Any = None, *, pooler: bool = True, products_only: bool = False
) -> int:
    """Operations of the encoder of ``spec`` for one sequence of ``length`` tokens.

    Args:
        spec: the architecture.
        length: tokens of the sequence.
        config: a ``FlexiBERTConfig`` to take the kind of position embeddings from; default: its defaults.
        pooler: whether the pooler counts.
        products_only: leave out what is neither a matrix product nor a ``torch`` convolution (the fast Fourier
            transform, weighted sums of spans), as ``torch.utils.flop_counter`` does.

    Raises:
        ValueError: when ``length`` is no whole number from 1 to the configured ``max_position_embeddings``, or the
            configuration is another model's, such as one of images.
    """
    sizes = _sizes(length, config)
    if spec.groups:
        own = [count_flops(g, length, config, pooler=False, products_only=products_only) for g in spec.groups]
        return sum(own) + (2 * spec.layers[-1].hidden_size ** 2 if pooler else 0)
    total = sum(
        _layer_flops(layer, following, spec.format == "hetero", length, sizes.position_embedding_type, products_only)
        for layer, following in zip(spec.layers, next_widths(spec), strict=True)
    )
    return total + _flops_outside_layers(spec.layers[0].hidden_size, spec.layers[-1].hidden_size, length, sizes, pooler)


def flops_per_token(spec: ModelSpec, length: int, config: Any = None) -> float:
    """``count_flops`` of a sequence of ``length`` tokens, divided by ``length``."""
    return count_flops(spec, length, config) / length


def cost_of(specs: Sequence[ModelSpec], length: int, config: Any = None, *, pooler: bool = True) -> Cost:
    """Parameters and operations of many specs at once; a layer that several share is counted once.

    Args:
        specs: architectures, in any mixture of formats.
        length: tokens of a sequence.
        config: a ``FlexiBERTConfig`` for vocabulary, positions and segments; default: its defaults.
        pooler: whether the pooler counts.

    Raises:
        ValueError: when something else than specs is given, ``length`` is no whole number from 1 to the configured
            ``max_position_embeddings``, or the configuration is another model's, such as one of images.
    """
    if not isinstance(specs, Sequence) or not all(isinstance(spec, ModelSpec) for spec in specs):
        raise ValueError(f"'specs' must be a list of ModelSpec. Got {type(specs).__name__}; make them with from_dict")
    sizes = _sizes(length, config)
    counts = np.zeros((2, len(specs)), dtype=np.int64)
    # Layers are told apart by object: members of a space share theirs, and to hash one takes longer than all else.
    layers: dict[tuple[int, int, bool], tuple[int, int]] = {}
    mixing: _Mixing = {}
    for number, spec in enumerate(specs):
        if spec.groups:
            counts[0, number] = count_parameters(spec, config, pooler=pooler)
            counts[1, number] = count_flops(spec, length, config, pooler=pooler)
            continue
        is_hetero, last = spec.format == "hetero", spec.layers[-1].hidden_size
        parameters = embedding_and_pooler_parameters(spec.layers[0].hidden_size, last, sizes, pooler=pooler)
        flops = _flops_outside_layers(spec.layers[0].hidden_size, last, length, sizes, pooler)
        for layer, following in zip(spec.layers, next_widths(spec), strict=True):
            key = id(layer), following, is_hetero
            if key not in layers:
                layers[key] = _layer_costs(layer, following, is_hetero, length, sizes, mixing)
            parameters += layers[key][0]
            flops += layers[key][1]
        counts[:, number] = parameters, flops
    return Cost(counts[0], counts[1] / length)


_Mixing = dict[tuple[int, int, tuple[Head, ...], bool], tuple[int, int]]


def _layer_costs(
    layer: Layer, following: int, is_hetero: bool, length: int, sizes: Sizes, mixing: _Mixing
) -> tuple[int, int]:
    """Parameters and operations of a layer; what it costs without its feed-forwards is kept in ``mixing``."""
    width = layer.hidden_size
    products = sum(before * after for before, after in pairwise((width, *layer.feed_forward, width)))
    parameters, flops = products + sum(layer.feed_forward) + width, 2 * length * products
    key = width, following, layer.heads, is_hetero
    if key not in mixing:
        mixing[key] = (
            layer_parameter_count(layer, following, is_hetero, sizes) - parameters,
            _layer_flops(layer, following, is_hetero, length, sizes.position_embedding_type, False) - flops,
        )
    return mixing[key][0] + parameters, mixing[key][1] + flops


def _layer_flops(
    layer: Layer, following: int, is_hetero: bool, length: int, positions: str, products_only: bool
) -> int:
    mixing = mixing_flops(layer, is_hetero, length, positions)
    width = layer.hidden_size
    chain = (width, *layer.feed_forward, width)
    products = mixing.products + length * sum(before * after for before, after in pairwise(chain))
    products += length * len(layer.heads) * layer.head_size * width
    if following != width:
        products += length * width * following
    return 2 * products + (0 if products_only else mixing.other)


def _flops_outside_layers(first: int, last: int, length: int, sizes: Sizes, pooler: bool) -> int:
    """Operations of the projection of word vectors and of the pooler, from the widths of the first and the last
    layer."""
    projection = 2 * length * (sizes.word_vector_size or 0) * first
    return projection + (2 * last**2 if pooler else 0)


def _sizes(length: int, config: Any) -> Sizes:
    sizes = Sizes.of(config)
    if not isinstance(length, Integral) or not 1 <= length <= sizes.max_position_embeddings:
        raise ValueError(f"'length' must be a whole number from 1 to {sizes.max_position_embeddings}. Got {length!r}")
    return sizes
