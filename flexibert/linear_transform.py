"""Fixed transforms over sequence and width: DFT (FNet, Lee-Thorp et al. 2021), DCT (FlexiBERT, section 3.2).

Both are unnormalised and have no parameters.
Shapes: ... any leading axes, S sequence, H hidden size (or head size).
"""

import math
from functools import lru_cache

import torch
from torch import Tensor


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
    transformed = _dct_2d(wide) if name == "dct" else torch.fft.fft2(wide).real
    return transformed.to(x.dtype)


def _dct_2d(x: Tensor) -> Tensor:
    """As two matrix products, which win over an FFT at the lengths and widths of encoders."""
    over_sequence = cosine_matrix(x.shape[-2], x.dtype, x.device)
    over_hidden = cosine_matrix(x.shape[-1], x.dtype, x.device)
    return over_sequence @ (x @ over_hidden.transpose(0, 1))


def cosine_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    """(size, size): row k holds 2 cos(pi k (2 n + 1) / (2 size)), the unnormalised DCT-II as in ``scipy.fft.dct``."""
    if torch.compiler.is_compiling():
        return _build_cosine_matrix(size, dtype, device)
    return _cached_cosine_matrix(size, dtype, device)


def _build_cosine_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    k = torch.arange(size, device=device).unsqueeze(1)
    n = torch.arange(size, device=device).unsqueeze(0)
    turn = (k * (2 * n + 1)) % (4 * size)  # whole numbers: the angle stays exact for long sequences
    return 2 * torch.cos(turn.to(dtype) * (math.pi / (2 * size)))


@lru_cache(maxsize=64)
def _cached_cosine_matrix(size: int, dtype: torch.dtype, device: torch.device) -> Tensor:
    with torch.inference_mode(False):  # an inference tensor could not be used in training later
        return _build_cosine_matrix(size, dtype, device)
