"""What an architecture costs, from its spec alone: parameters and floating-point operations, without building it.

A multiply-add counts as two operations. Counted are matrix products, convolutions and transforms of the encoder (no
task head), as this package computes them; element-wise operations, softmax and LayerNorm are not, as in
``torch.utils.flop_counter``. The measured time of a spec on a machine is in ``latency.py``.
Letters in the formulas: S sequence length, H layer width, N heads, D head size, K kernel size.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np

from design_space import Layer, ModelSpec

from .parameters import Sizes, count_parameters, embedding_and_pooler_parameters, layer_parameter_count, next_widths


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
            transform, by its usual count of 5/2 n log2 n for n real numbers, and the span convolution's weighted
            sums), as ``torch.utils.flop_counter`` does.

    Raises:
        ValueError: when ``length`` is below 1 or above the configured ``max_position_embeddings``.
    """
    sizes = _sizes(length, config)
    if spec.groups:
        own = [count_flops(g, length, config, pooler=False, products_only=products_only) for g in spec.groups]
        return sum(own) + (2 * spec.layers[-1].hidden_size ** 2 if pooler else 0)
    total = sum(
        _layer_flops(layer, following, spec.format == "hetero", length, sizes.position_embedding_type, products_only)
        for layer, following in zip(spec.layers, next_widths(spec), strict=True)
    )
    return total + (2 * spec.layers[-1].hidden_size ** 2 if pooler else 0)


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
    """
    sizes = _sizes(length, config)
    costs = _LayerCosts(length, sizes)
    ends: dict[tuple[int, int], int] = {}
    parameters, flops = np.empty(len(specs), dtype=np.int64), np.empty(len(specs))
    for number, spec in enumerate(specs):
        if spec.groups:
            parameters[number] = count_parameters(spec, config, pooler=pooler)
            flops[number] = count_flops(spec, length, config, pooler=pooler) / length
            continue
        of_format = costs.hetero if spec.format == "hetero" else costs.standard
        first, last = spec.layers[0].hidden_size, spec.layers[-1].hidden_size
        if (first, last) not in ends:
            ends[first, last] = embedding_and_pooler_parameters(first, last, sizes, pooler=pooler)
        num_parameters, num_flops, following = ends[first, last], 2 * last**2 if pooler else 0, last
        for layer in reversed(spec.layers):
            found = of_format.get(id(layer)) or costs.add(layer, of_format)
            num_parameters += found[0]
            num_flops += found[1]
            width = layer.hidden_size
            if width != following:
                num_parameters += width * following + following
                num_flops += 2 * length * width * following
            following = width
        parameters[number], flops[number] = num_parameters, num_flops / length
    return Cost(parameters, flops)


_OfLayer = tuple[int, int, Layer]


class _LayerCosts:
    """Parameters and operations of layers that hand on their own width, by object: members of a space share their
    layers, and to hash one takes longer than all else. Layers are kept, so that no later one gets the number of one
    that is gone; what they cost without their feed-forwards is kept by their heads."""

    def __init__(self, length: int, sizes: Sizes) -> None:
        self._length, self._sizes = length, sizes
        self.standard: dict[int, _OfLayer] = {}
        self.hetero: dict[int, _OfLayer] = {}
        self._mixing: dict[tuple[int, int, bool], tuple[int, int, Layer]] = {}

    def add(self, layer: Layer, to: dict[int, _OfLayer]) -> _OfLayer:
        """Count one that is not there yet."""
        width, is_hetero = layer.hidden_size, to is self.hetero
        products = sum(before * after for before, after in pairwise((width, *layer.feed_forward, width)))
        parameters, flops = products + sum(layer.feed_forward) + width, 2 * self._length * products
        key = width, id(layer.heads), is_hetero
        if key not in self._mixing:
            positions = self._sizes.position_embedding_type
            self._mixing[key] = (
                layer_parameter_count(layer, width, is_hetero, self._sizes) - parameters,
                _layer_flops(layer, width, is_hetero, self._length, positions, False) - flops,
                layer,
            )
        mixing = self._mixing[key]
        to[id(layer)] = found = mixing[0] + parameters, mixing[1] + flops, layer
        return found


def _layer_flops(
    layer: Layer, following: int, is_hetero: bool, length: int, positions: str, products_only: bool
) -> int:
    mixing = _hetero_mixing(layer, length, positions) if is_hetero else _standard_mixing(layer, length, positions)
    products, other = mixing
    width = layer.hidden_size
    chain = (width, *layer.feed_forward, width)
    products += length * sum(before * after for before, after in pairwise(chain))
    products += length * len(layer.heads) * layer.head_size * width
    if following != width:
        products += length * width * following
    return 2 * products + (0 if products_only else other)


def _standard_mixing(layer: Layer, length: int, positions: str) -> tuple[int, int]:
    """Multiply-adds of products, and operations of the rest."""
    head, num_heads, width = layer.heads[0], len(layer.heads), layer.hidden_size
    if head.operation == "c":
        return _mixed_attention(layer, length, positions)
    is_content = head.operation == "sa"
    square = num_heads * length * length * head.size
    linears = 1 + (is_content or positions != "absolute") + (is_content or positions == "relative_key_query")
    products = linears * length * width * width + square + _relative(num_heads, head.size, length, positions)
    if is_content:
        return products + square + (length * width * head.size if head.parameter == "wma" else 0), 0
    if head.parameter == "dct":
        return products + length * width * (width + length), 0
    return products, _fourier(length * width)


def _mixed_attention(layer: Layer, length: int, positions: str) -> tuple[int, int]:
    head, width = layer.heads[0], layer.hidden_size
    kernel, attending = int(head.parameter), len(layer.heads) // 2
    convolving = len(layer.heads) - attending
    inner = convolving * head.size
    products = length * (3 * width * inner + width * kernel + inner * convolving * kernel)
    if attending:
        products += 2 * length * width * attending * head.size + 2 * attending * length * length * head.size
        products += _relative(attending, head.size, length, positions)
    return products, 2 * length * inner * kernel


def _hetero_mixing(layer: Layer, length: int, positions: str) -> tuple[int, int]:
    num_heads, size = len(layer.heads), layer.head_size
    is_content = any(head.operation != "l" for head in layer.heads)
    linears = 1 + (is_content or positions != "absolute") + (is_content or positions == "relative_key_query")
    square = length * length * size
    products = linears * length * layer.hidden_size * num_heads * size
    products += num_heads * square + _relative(num_heads, size, length, positions)
    other = 0
    for head in layer.heads:
        if head.operation == "sa":
            products += square + (length * size * size if head.parameter == "wma" else 0)
        elif head.operation == "c":
            kernel = int(head.parameter)
            products += length * (2 * size * size + 2 * size * kernel)
            other += 2 * length * size * kernel
        elif head.parameter == "dct":
            products += length * size * (size + length)
        else:
            other += _fourier(length * size)
    return products, other


def _relative(num_heads: int, size: int, length: int, positions: str) -> int:
    """Multiply-adds of ``attention.relative_scores``: as many distances as a block of positions meets."""
    if positions == "absolute":
        return 0
    distances = length + length // num_blocks(length) - 1
    return (2 if positions == "relative_key_query" else 1) * num_heads * length * distances * size


def num_blocks(length: int) -> int:
    """Into how many blocks ``attention.relative_scores`` cuts a sequence: as many as pay on a CPU."""
    return next(blocks for blocks in (4, 2, 1) if length % blocks == 0)


def _fourier(size: int) -> int:
    return round(2.5 * size * math.log2(size)) if size > 1 else 0


def _sizes(length: int, config: Any) -> Sizes:
    sizes = Sizes.of(config)
    if not 1 <= length <= sizes.max_position_embeddings:
        raise ValueError(f"'length' must be between 1 and {sizes.max_position_embeddings}. Got {length}")
    return sizes
