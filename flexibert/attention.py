"""Scores and contexts of attention heads: content, relative positions (Shaw et al. 2018) and padding.

Shapes: B batch, S sequence, N heads, D head size, M max_position_embeddings. Every function treats all N heads at once.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional


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
        scores = torch.zeros_like(attention_mask, dtype=dtype).masked_fill(~is_real, torch.finfo(dtype).min)
        return Padding(scores=scores[:, None, None, :], keep=is_real.to(dtype).unsqueeze(-1) if is_zeroed else None)

    def zeroed(self, x: Tensor) -> Tensor:
        """``x`` (B, S, ...) or, with heads, (B, N, S, D), with zeros at padded positions."""
        if self.keep is None:
            return x
        keep = self.keep.to(x.dtype)
        return x * (keep.unsqueeze(1) if x.dim() == 4 else keep)


def relative_scores(x_BNSD: Tensor, table: Tensor) -> Tensor:
    """score[i, j] = x_i . r_{i-j}, by one product with every distance and a skewed view of the result.

    Args:
        x_BNSD: (B, N, S, D).
        table: (2 M - 1, D); row m is r_{m - M + 1}.

    Returns:
        (B, N, S, S).
    """
    batch, heads, length, _ = x_BNSD.shape
    middle = (table.shape[0] + 1) // 2
    nearest_first = table[middle - length : middle + length - 1].flip(0)  # row c is r_{S-1-c}
    by_distance = x_BNSD @ nearest_first.transpose(0, 1)  # (B, N, S, 2 S - 1)
    if length == 1:
        return by_distance
    # Row i needs columns S-1-i ... 2S-2-i: after dropping S-1 entries, rows of 2S-2 start exactly there.
    flat = by_distance.flatten(2)[..., length - 1 : length - 1 + length * (2 * length - 2)]
    return flat.view(batch, heads, length, 2 * length - 2)[..., :length]


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
    bias = relative_scores(q_BNSD, table)
    if k_BNSD is not None:
        bias = bias + relative_scores(k_BNSD, table.flip(0)).transpose(-1, -2)
    bias = bias / math.sqrt(q_BNSD.shape[-1])
    return bias if padding.scores is None else bias + padding.scores


def attend(
    q_BNSD: Tensor, k_BNSD: Tensor, v_BNSD: Tensor, bias: Tensor | None, dropout: float, return_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """softmax(q kT / sqrt(D) + bias) v.

    Args:
        dropout: probability with which attention weights are dropped.
        return_weights: compute the weights explicitly and return them, instead of the fused kernel.

    Returns:
        Context (B, N, S, D), and weights (B, N, S, S) where asked for.
    """
    if not return_weights:
        return functional.scaled_dot_product_attention(q_BNSD, k_BNSD, v_BNSD, attn_mask=bias, dropout_p=dropout), None
    scores = q_BNSD @ k_BNSD.transpose(-1, -2) / math.sqrt(q_BNSD.shape[-1])
    return attend_by_bias(v_BNSD, scores if bias is None else scores + bias, dropout)


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
