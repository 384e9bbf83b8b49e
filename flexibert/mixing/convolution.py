"""Dynamic span convolution (ConvBERT, Jiang et al. 2020, section 3.2): every position has a kernel of its own.

Shapes: B batch, S sequence, N heads, D head size, K kernel, C channels.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from ..cost.flops import num_blocks
from .own_gradients import differentiable_gradients, is_eager_on_cpu, needs_differentiable
from .plain_modules import is_plain, is_watched


class SeparableConvolution(nn.Module):
    """Depthwise, then pointwise convolution along the sequence, then a bias: (B, S, C_in) -> (B, S, C_out)."""

    def __init__(self, in_channels: int, out_channels: int, kernel: int) -> None:
        super().__init__()
        self.depthwise = nn.Conv1d(in_channels, in_channels, kernel, groups=in_channels, bias=False)
        self.pointwise = nn.Conv1d(in_channels, out_channels, 1, bias=False)
        self.bias = nn.Parameter(torch.zeros(out_channels, 1))

    def forward(self, x_BSC: Tensor) -> Tensor:
        if self.has_plain_parts():
            local_BSC = depthwise_convolution(x_BSC, self.depthwise.weight)
            return functional.linear(local_BSC, self.pointwise.weight.squeeze(-1), self.bias.squeeze(-1))
        half = self.depthwise.kernel_size[0] // 2
        local_BCS = self.depthwise(functional.pad(x_BSC.transpose(1, 2), (half, half)))
        return (self.pointwise(local_BCS) + self.bias).transpose(1, 2)

    def has_plain_parts(self) -> bool:
        """Whether the weights of both convolutions may be read instead of calling them."""
        return is_plain(self.depthwise) and is_plain(self.pointwise)


def depthwise_convolution(x_BSC: Tensor, weight_C1K: Tensor) -> Tensor:
    """(B, S, C) -> (B, S, C), each channel along S with its own kernel and zeros beyond the ends.

    As a picture of height 1 whose channels come last in memory, as they do in ``x``: one-dimensional convolutions would
    copy it to another order and back.
    """
    padding = (0, weight_C1K.shape[-1] // 2)
    picture = x_BSC.transpose(1, 2).unsqueeze(2)
    convolved = functional.conv2d(picture, weight_C1K.unsqueeze(2), padding=padding, groups=x_BSC.shape[-1])
    return convolved.squeeze(2).transpose(1, 2)


def separable_convolution_per_head(k_BNSD: Tensor, modules: list[SeparableConvolution]) -> Tensor:
    """One separable convolution per head, all with the same kernel size, in one grouped convolution and one batched
    product.

    Args:
        k_BNSD: (B, N, S, D), zero at padded positions.
        modules: N of them, from D to D channels; a Python list, for each has its own name in a checkpoint.

    Returns:
        (B, N, S, D).
    """
    if not all(module.has_plain_parts() and not is_watched(module) for module in modules):
        return _each_on_its_head(k_BNSD, modules)
    weights = [module.depthwise.weight for module in modules]
    depthwise = torch.cat(weights) if len(weights) > 1 else weights[0]
    local_BSC = depthwise_convolution(k_BNSD.transpose(1, 2).flatten(2), depthwise)
    return product_per_head(
        local_BSC.unflatten(2, (len(modules), -1)).transpose(1, 2),
        [module.pointwise.weight.squeeze(-1) for module in modules],
        [module.bias.squeeze(-1) for module in modules],
    )


def linear_per_head(x_BNSD: Tensor, modules: list[nn.Linear]) -> Tensor:
    """``modules[n]`` applied to head n. (B, N, S, D) -> (B, N, S, D_out)."""
    if not all(map(is_plain, modules)):
        return _each_on_its_head(x_BNSD, modules)
    return product_per_head(x_BNSD, [module.weight for module in modules], [module.bias for module in modules])


def _each_on_its_head(x_BNSD: Tensor, modules: Sequence[nn.Module]) -> Tensor:
    return torch.stack([module(x_BSD) for module, x_BSD in zip(modules, x_BNSD.unbind(1), strict=True)], dim=1)


def product_per_head(x_BNSD: Tensor, weights: list[Tensor], biases: list[Tensor] | None = None) -> Tensor:
    """x weights[n]T + biases[n] of head n, as one product per head over the whole batch.

    Args:
        x_BNSD: (B, N, S, D).
        weights: N of (D_out, D).
        biases: N of (D_out,), or none.

    Returns:
        (B, N, S, D_out).
    """
    batch, heads, length, _ = x_BNSD.shape
    if heads == 1:
        return functional.linear(x_BNSD, weights[0], None if biases is None else biases[0])
    x_NTD = x_BNSD.transpose(0, 1).flatten(1, 2)
    matrices = torch.stack(weights).transpose(1, 2)
    product = x_NTD @ matrices if biases is None else torch.baddbmm(torch.stack(biases).unsqueeze(1), x_NTD, matrices)
    return product.unflatten(1, (batch, length)).transpose(0, 1)


def span_convolution(values_BNSD: Tensor, logits_BNSK: Tensor) -> Tensor:
    """Each position's weighted sum of the K values around it; windows that leave the sequence read zeros.

    Args:
        values_BNSD: (B, N, S, D), zero at padded positions.
        logits_BNSK: (B, N, S, K); a softmax over K makes each position's kernel.

    Returns:
        (B, N, S, D).
    """
    if is_eager_on_cpu(values_BNSD):
        return _SpanConvolution.apply(values_BNSD, logits_BNSK)
    return _span_convolution(values_BNSD, logits_BNSK)


def _span_convolution(values_BNSD: Tensor, logits_BNSK: Tensor) -> Tensor:
    """By shifts, so that no window is ever copied out."""
    kernel_BNSK = torch.softmax(logits_BNSK, dim=-1)
    length, width = kernel_BNSK.shape[-2:]
    padded = _padded(values_BNSD, width)
    result = padded[:, :, :length] * kernel_BNSK[..., :1]
    for offset in range(1, width):
        result = torch.addcmul(result, padded[:, :, offset : offset + length], kernel_BNSK[..., offset : offset + 1])
    return result


def _padded(values_BNSD: Tensor, width: int) -> Tensor:
    return functional.pad(values_BNSD, (0, 0, width // 2, width // 2))


class _SpanConvolution(torch.autograd.Function):
    """Kernels as the bands of matrices, one for each block of R positions, times the R + K - 1 values these read."""

    @staticmethod
    def forward(context: Any, values: Tensor, logits: Tensor) -> Tensor:
        # A softmax over so few numbers is ten times faster when they are not neighbours in memory.
        kernel = torch.softmax(logits.transpose(-1, -2).contiguous(), dim=-2)
        context.save_for_backward(values, logits, kernel)
        bands, read = _bands_and_what_they_read(values, kernel)
        return torch.bmm(bands, read).view(values.shape)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        values, logits, kernel = context.saved_tensors
        if needs_differentiable(gradient):
            return differentiable_gradients(_span_convolution, (values, logits), gradient)
        bands, read = _bands_and_what_they_read(values, kernel)
        (_, rows, columns), width, half = bands.shape, logits.shape[-1], logits.shape[-1] // 2
        of_result = gradient.reshape(len(bands), rows, values.shape[-1])
        of_kernel = _band(torch.bmm(of_result, read.transpose(1, 2)), width).reshape(logits.shape)
        of_kernel = of_kernel.transpose(-1, -2).contiguous()
        of_logits = torch._softmax_backward_data(of_kernel, kernel, -2, kernel.dtype).transpose(-1, -2)
        of_padded = values.new_zeros(*values.shape[:2], values.shape[2] + width - 1, values.shape[3])
        of_blocks = of_padded.unfold(2, columns, rows).transpose(-1, -2)
        of_read = torch.bmm(bands.transpose(1, 2), of_result).view(of_blocks.shape)
        of_blocks[..., :rows, :].copy_(of_read[..., :rows, :])
        of_blocks[..., rows:, :].add_(of_read[..., rows:, :])  # what the next block reads too
        return of_padded[:, :, half : half + values.shape[2]], of_logits


def _bands_and_what_they_read(values: Tensor, kernel_BNKS: Tensor) -> tuple[Tensor, Tensor]:
    """Matrices (number, R, R + K - 1) and values (number, R + K - 1, D)."""
    width, length = kernel_BNKS.shape[-2:]
    rows = length // num_blocks(length, least_rows=width - 1)
    read = _padded(values, width).unfold(2, rows + width - 1, rows).transpose(-1, -2).flatten(0, 2)
    bands = values.new_zeros(len(read), rows, rows + width - 1)
    _band(bands, width).copy_(kernel_BNKS.transpose(-1, -2).reshape(len(read), rows, width))
    return bands, read


def _band(matrices: Tensor, width: int) -> Tensor:
    """Columns i ... i + width - 1 of row i of each matrix (R, R + width - 1), as a view (matrices, R, width)."""
    number, rows, columns = matrices.shape
    return matrices.as_strided((number, rows, width), (rows * columns, columns + 1, 1))
