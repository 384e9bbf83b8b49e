"""Fixed transforms over sequence and width: DFT (FNet, Lee-Thorp et al. 2021), DCT (FlexiBERT, section 3.2).

Both are unnormalised and have no parameters.
Shapes: ... any leading axes, S sequence, H hidden size (or head size).
"""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from .own_gradients import is_faked, is_traced


def transform_2d(x: Tensor, name: str) -> Tensor:
    """The transform ``name`` (``dft`` or ``dct``) over the last two axes.

    Args:
        x: (..., S, H), real, with zeros at padded positions.
        name: ``dft``: real part of the 2-D discrete Fourier transform; ``dct``: type-II cosine transform over H, then
            over S.

    Returns:
        (..., S, H), in the type of ``x``; computed in float32 at least.
    """
    wide = x if x.dtype == torch.float64 else x.float()
    return (_dct_2d(wide) if name == "dct" else _dft_2d(wide)).to(x.dtype)


def _dft_2d(x: Tensor) -> Tensor:
    if torch.compiler.is_exporting() or torch.onnx.is_in_onnx_export():
        return _dft_2d_by_products(x)
    if is_traced() or not torch.is_grad_enabled():
        return _real_part_of_dft(x)
    return _SelfAdjointDFT.apply(x)


def _real_part_of_dft(x: Tensor) -> Tensor:
    """By the real transform, whose output stops at the middle of H; the other half is its mirror image."""
    if not is_traced() and not x.numel():  # libraries of Fourier transforms refuse an empty batch
        return x.clone()
    half = torch.fft.rfft2(x).real
    mirrored = half[..., 1 : (x.shape[-1] + 1) // 2].flip(-2, -1).roll(1, -2)
    return torch.cat([half, mirrored], dim=-1)


def _dft_2d_by_products(x: Tensor) -> Tensor:
    """As cos x cos - sin x sin, for exchange formats without complex numbers; slower."""
    cos_H, sin_H = _turns(x.shape[-1], x)
    cos_S, sin_S = _turns(x.shape[-2], x)
    return cos_S @ (x @ cos_H) - sin_S @ (x @ sin_H)


def _turns(size: int, like: Tensor) -> tuple[Tensor, Tensor]:
    places = torch.arange(size, device=like.device)
    angle = _modulo(places.unsqueeze(1) * places, size).to(like.dtype) * (2 * math.pi / size)
    return torch.cos(angle), torch.sin(angle)


def _modulo(numbers: Tensor, size: int) -> Tensor:
    """As tensors, since exporters do not know the remainder of a length that is a symbol."""
    return numbers % torch.full((), size, dtype=numbers.dtype, device=numbers.device)


class _SelfAdjointDFT(torch.autograd.Function):
    """The real part of the 2-D DFT of real numbers is a symmetric linear map: it is its own gradient."""

    @staticmethod
    def forward(context: Any, x: Tensor) -> Tensor:
        return _real_part_of_dft(x)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        return _real_part_of_dft(gradient)


def _dct_2d(x: Tensor) -> Tensor:
    """As two matrix products, which win over an FFT at the lengths and widths of encoders."""
    over_sequence = cosine_matrix(x.shape[-2], x.dtype, x.device)
    over_hidden = cosine_matrix(x.shape[-1], x.dtype, x.device)
    return over_sequence @ (x @ over_hidden.transpose(0, 1))


def cosine_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, size): row k holds 2 cos(pi k (2 n + 1) / (2 size)), the unnormalised DCT-II as in ``scipy.fft.dct``."""
    if torch.compiler.is_compiling() or is_faked():
        return _build_cosine_matrix(size, dtype, device)
    return _cached_cosine_matrix(size, dtype, device)


def _build_cosine_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    k = torch.arange(size, device=device).unsqueeze(1)
    n = torch.arange(size, device=device).unsqueeze(0)
    turn = _modulo(k * (2 * n + 1), 4 * size)  # whole numbers: the angle stays exact for long sequences
    return 2 * torch.cos(turn.to(dtype) * (math.pi / (2 * size)))


@lru_cache(maxsize=64)
def _cached_cosine_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # an inference tensor could not be used in training later
        return _build_cosine_matrix(size, dtype, device)
