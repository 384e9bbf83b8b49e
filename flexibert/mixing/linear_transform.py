"""Linear transforms, ``l``: attention by position alone, plus a fixed transform over sequence and width.

The transforms are the DFT's real part (FNet, Lee-Thorp et al. 2021) and the type-II DCT (FlexiBERT, section 3.2); both
are unnormalized and have no weights. A standard layer transforms its input over its whole width, a hetero head its
values. What the original keeps although no output depends on it is not built: ``key``.
Shapes: B batch, S sequence, H layer width, N heads, D head size.
"""

import math
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer
from design_space.operations import LINEAR_TRANSFORM

from .attention import Padding, merge_heads
from .axes import Axis, Flops, Parameter, Sizes, distance_table, linear
from .base import Mixing
from .operation import Attends, HeadInputs, HeadOperation, Own, StandardLayer
from .self_attention import attention_products

COSINE = "dct"


class LinearTransform(Mixing):
    """A layer of heads that attend by position, plus the transform of the layer's input."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        width = len(layer.heads) * layer.head_size
        self.transform = str(layer.heads[0].parameter)
        projected = _projected(config.position_embedding_type)
        self._add_distance_embedding()
        self.query = nn.Linear(layer.hidden_size, width) if "query" in projected else None
        self.key = nn.Linear(layer.hidden_size, width) if "key" in projected else None
        self.value = nn.Linear(layer.hidden_size, width)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        q, k = (None if linear is None else self._heads(linear, x_BSH) for linear in (self.query, self.key))
        v = self._heads(self.value, x_BSH)
        context, weights = self._attend(None, None, v, self._bias(q, k, padding), output_attentions)
        return merge_heads(context) + transform_2d(padding.zeroed(x_BSH), self.transform), weights


class LinearTransformHeads(HeadOperation):
    """Heads that attend by position, plus the transform of their values."""

    name = LINEAR_TRANSFORM
    attends = Attends.POSITIONS
    maps_zero_to_zero = True

    def mix(self, inputs: HeadInputs, own: Own, parameter: Any) -> Tensor:
        return transform_2d(inputs.padding.zeroed(inputs.value), str(parameter))

    def flops(self, parameter: Any, size: int, length: int) -> Flops:
        return transform_flops(str(parameter), length, size)

    def standard(self) -> StandardLayer:
        return _StandardLinearTransform()


class _StandardLinearTransform(StandardLayer):
    def build(self, layer: Layer, config: Any) -> Mixing:
        return LinearTransform(layer, config)

    def parameters(self, layer: Layer, sizes: Sizes) -> list[Parameter]:
        residual, count, size = Axis("residual", layer.hidden_size), len(layer.heads), layer.head_size
        found = []
        for name in _projected(sizes.position_embedding_type):
            found += linear(f"attention.self.{name}", Axis("heads", size, count, name), residual)
        output = linear("attention.output.dense", residual, Axis("heads", size, count, "value"))
        return [*found, *distance_table(size, sizes), *output]

    def flops(self, layer: Layer, length: int, positions: str) -> Flops:
        count, size, width = len(layer.heads), layer.head_size, layer.hidden_size
        products = len(_projected(positions)) * length * width * count * size
        products += attention_products(count, size, length, positions, by_contents=False)
        return Flops(products).plus(transform_flops(str(layer.heads[0].parameter), length, width))

    def beside(self, layer: Layer) -> str | None:
        return "a standard 'l' layer transforms its whole width at once"


def _projected(positions: str) -> tuple[str, ...]:
    """The linear maps that a layer needs: queries and keys only where they are positioned."""
    return {"absolute": ("value",), "relative_key": ("query", "value")}.get(positions, ("query", "key", "value"))


def transform_2d(x: Tensor, name: str) -> Tensor:
    """The transform ``name`` (``dft`` or ``dct``) over the last two axes.

    Args:
        x: (..., S, H), real, with zeros at padded positions.
        name: ``dft``: the real part of the 2-D discrete Fourier transform; ``dct``: the type-II cosine transform over
            H, then over S.

    Returns:
        (..., S, H), in the type of ``x``; computed in float32 at least.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    return (_dct_2d(wide) if name == COSINE else _dft_2d(wide)).to(x.dtype)


def transform_flops(name: str, length: int, width: int) -> Flops:
    """Work of ``transform_2d`` of (length, width): products of the DCT, and the usual count of 5/2 n log2 n operations
    for the fast Fourier transform of n real numbers."""
    if name == COSINE:
        return Flops(length * width * (width + length))
    number = length * width
    return Flops(0, round(2.5 * number * math.log2(number)) if number > 1 else 0)


def _dft_2d(x: Tensor) -> Tensor:
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return _dft_2d_by_products(x)
    if 0 in x.shape:  # libraries of Fourier transforms refuse an empty batch
        return x
    return torch.fft.fft2(x).real


def _dft_2d_by_products(x: Tensor) -> Tensor:
    """The transform as cos x cos - sin x sin, for exchange formats without complex numbers; slower."""
    cos_H, sin_H = _turns(x.shape[-1], x)
    cos_S, sin_S = _turns(x.shape[-2], x)
    return cos_S @ (x @ cos_H) - sin_S @ (x @ sin_H)


def _turns(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    places = torch.arange(size, device=like.device)
    angle = _modulo(places.unsqueeze(1) * places, size).to(like.dtype) * (2 * math.pi / size)
    return torch.cos(angle), torch.sin(angle)


def _dct_2d(x: Tensor) -> Tensor:
    """The transform as two matrix products, which win over an FFT at the lengths and widths of encoders."""
    over_sequence = cosine_matrix(x.shape[-2], x.dtype, x.device)
    over_hidden = cosine_matrix(x.shape[-1], x.dtype, x.device)
    return over_sequence @ (x @ over_hidden.transpose(0, 1))


def cosine_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, size): row k holds 2 cos(pi k (2 n + 1) / (2 size)), the unnormalized DCT-II as in ``scipy.fft.dct``."""
    k = torch.arange(size, device=device).unsqueeze(1)
    n = torch.arange(size, device=device).unsqueeze(0)
    turn = _modulo(k * (2 * n + 1), 4 * size)  # whole numbers: the angle stays exact for long sequences
    return 2 * torch.cos(turn.to(dtype) * (math.pi / (2 * size)))


def _modulo(numbers: Tensor, size: int) -> Tensor:
    """The remainders, by a tensor, since exporters do not know the remainder of a length that is a symbol."""
    return numbers % torch.full((), size, dtype=numbers.dtype, device=numbers.device)
