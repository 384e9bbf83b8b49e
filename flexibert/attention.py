"""Scores and contexts of attention heads: content, relative positions (Shaw et al. 2018) and padding.

Shapes: B batch, S sequence, N heads, D head size, M max_position_embeddings. Every function treats all N heads at once.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .cost import num_blocks


@dataclass(frozen=True, kw_only=True, eq=False)
class Padding:
    """Which positions are real, in the two forms the layers need. Both are None when every position is.

    Attributes:
        scores: (B, 1, 1, S), 0 at real and the lowest finite number at padded positions: added to attention scores.
        keep: (B, S, 1), 1 at real and 0 at padded positions: multiplied into what transforms and convolutions read.
    """

    scores: Tensor | None = None
    keep: Tensor | None = None

    @staticmethod
    def from_mask(attention_mask: Tensor | None, dtype: torch.dtype, is_zeroed: bool = True) -> "Padding":
        """From a (B, S) mask with 1 at real positions; without ``is_zeroed``, only attention knows of it."""
        if attention_mask is None:
            return Padding()
        is_real = attention_mask.to(torch.bool)
        if is_real.device.type == "cpu" and not torch.compiler.is_compiling() and is_real.all():
            return Padding()  # elsewhere, looking would wait for the device
        scores = torch.zeros_like(attention_mask, dtype=dtype).masked_fill(~is_real, torch.finfo(dtype).min)
        return Padding(scores=scores[:, None, None, :], keep=is_real.to(dtype).unsqueeze(-1) if is_zeroed else None)

    def zeroed(self, x: Tensor) -> Tensor:
        """``x`` (B, S, ...) or, with heads, (B, N, S, D), with zeros at padded positions."""
        if self.keep is None:
            return x
        keep = self.keep.to(x.dtype)
        return x * (keep.unsqueeze(1) if x.dim() == 4 else keep)


def relative_scores(x_BNSD: Tensor, table: Tensor, scale: float = 1) -> Tensor:
    """score[i, j] = scale x_i . r_{i-j}, by one product with every distance and a skewed view of the result.

    The positions i are cut into blocks, for a block of s positions meets S + s - 1 distances instead of 2 S - 1.

    Args:
        x_BNSD: (B, N, S, D).
        table: (2 M - 1, D); row m is r_{m - M + 1}.

    Returns:
        (B, N, S, S), of its own memory.
    """
    batch, heads, length, size = x_BNSD.shape
    middle = (table.shape[0] + 1) // 2
    nearest_first = table[middle - length : middle + length - 1].flip(0)  # row c is r_{S-1-c}
    nearest_first = nearest_first * scale
    if torch.compiler.is_compiling():  # the length may be a symbol there, which ``unfold`` would make a number
        blocks, windows = 1, nearest_first.transpose(0, 1).unsqueeze(0)
    else:
        blocks = num_blocks(length)
        windows = nearest_first.unfold(0, length + length // blocks - 1, length // blocks).flip(0)
    rows = length // blocks
    x_blocks = x_BNSD.reshape(-1, blocks, rows, size).transpose(0, 1).reshape(blocks, -1, size)
    by_distance = (x_blocks @ windows).view(blocks, batch * heads, rows, length + rows - 1)
    is_plain = torch.compiler.is_compiling() or not torch.is_grad_enabled()
    skewed = skew(by_distance) if is_plain else _Skew.apply(by_distance)
    return skewed.transpose(0, 1).contiguous().view(batch, heads, length, length)


def skew(by_distance: Tensor) -> Tensor:
    """Columns R-1-i ... C-1-i of row i of the last two axes (R, C), as a view (R, C - R + 1)."""
    *leading, rows, columns = by_distance.shape
    if rows == 1:
        return by_distance
    # After dropping R-1 entries, rows of C-1 start exactly there.
    flat = by_distance.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)]
    return flat.view(*leading, rows, columns - 1)[..., : columns - rows + 1]


class _Skew(torch.autograd.Function):
    """``skew`` with a gradient written in one pass; autograd's own takes one per slice."""

    @staticmethod
    def forward(context: Any, by_distance: Tensor) -> Tensor:
        return skew(by_distance)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> Tensor:
        *leading, rows, kept = gradient.shape
        by_distance = gradient.new_zeros(*leading, rows, kept + rows - 1)
        skew(by_distance).copy_(gradient)
        return by_distance


def position_bias(q_BNSD: Tensor, k_BNSD: Tensor | None, table: Tensor | None, padding: Padding) -> Tensor | None:
    """What is added to the scaled content scores: relative positions over sqrt(D), and the padding mask.

    Args:
        q_BNSD: queries.
        k_BNSD: keys, where the key's term is wanted too (``relative_key_query``), else None.
        table: (2 M - 1, D), or None with absolute positions.

    Returns:
        Broadcastable to (B, N, S, S), or None when there is nothing to add.
    """
    if table is None:
        return padding.scores
    scale = 1 / math.sqrt(q_BNSD.shape[-1])
    bias = relative_scores(q_BNSD, table, scale)
    if k_BNSD is not None:
        bias = bias + relative_scores(k_BNSD, table.flip(0), scale).transpose(-1, -2)
    return bias if padding.scores is None else bias.add_(padding.scores)


def attend(
    q_BNSD: Tensor, k_BNSD: Tensor, v_BNSD: Tensor, bias: Tensor | None, dropout: float, return_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """softmax(q kT / sqrt(D) + bias) v.

    By the fused kernel, unless the weights are asked for or, on a CPU, the bias is learned: there the kernel's
    gradient for a bias is slower than the plain products.

    Args:
        dropout: probability with which attention weights are dropped.
        return_weights: return the weights.

    Returns:
        Context (B, N, S, D), and weights (B, N, S, S) where asked for.
    """
    if not return_weights and not _is_learned_on_cpu(bias):
        return functional.scaled_dot_product_attention(q_BNSD, k_BNSD, v_BNSD, attn_mask=bias, dropout_p=dropout), None
    batch, heads, length, size = q_BNSD.shape
    if bias is None:
        bias = q_BNSD.new_zeros(1, 1, 1, 1)
    scores = torch.baddbmm(
        bias.expand(batch, heads, length, length).flatten(0, 1),
        q_BNSD.flatten(0, 1),
        k_BNSD.flatten(0, 1).transpose(1, 2),
        alpha=1 / math.sqrt(size),
    )
    return attend_by_bias(v_BNSD, scores.view(batch, heads, length, length), dropout)


def _is_learned_on_cpu(bias: Tensor | None) -> bool:
    if bias is None or torch.compiler.is_compiling():
        return False
    return bias.requires_grad and bias.device.type == "cpu"


def attend_by_bias(v_BNSD: Tensor, bias: Tensor | None, dropout: float) -> tuple[Tensor, Tensor]:
    """softmax(bias) v: attention by position only; an average over all positions where there is no bias.

    Returns:
        Context (B, N, S, D) and weights (B, N, S, S).
    """
    batch, heads, length, _ = v_BNSD.shape
    if bias is None:
        bias = v_BNSD.new_zeros(1, 1, 1, 1)
    weights = torch.softmax(bias.expand(batch, heads, length, length), dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    return weights @ v_BNSD, weights
