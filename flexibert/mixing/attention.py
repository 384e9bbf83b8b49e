"""Scores and contexts of attention heads: content, relative positions (Shaw et al. 2018) and padding.

Shapes: B batch, S sequence, N heads, n of them that compare contents (the first), D head size, M
max_position_embeddings. Every function treats all heads at once.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from .own_gradients import has_numbers, is_transformed
from .relative_attention import skew


@dataclass(frozen=True, kw_only=True, eq=False)
class Padding:
    """Which positions are real, in the two forms the layers need. Both are None when every position is.

    Attributes:
        scores: (B, 1, 1, S), 0 at real and half the lowest finite number at padded positions: added to attention
            scores. The lowest itself would be minus infinity once it is rounded to fewer digits or something is added,
            and a text without real positions would have no weights at all.
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
        if is_real.device.type == "cpu" and has_numbers(is_real) and is_real.all():
            return Padding()  # elsewhere, looking would wait for the device
        scores = torch.zeros_like(attention_mask, dtype=dtype).masked_fill(~is_real, torch.finfo(dtype).min / 2)
        return Padding(scores=scores[:, None, None, :], keep=is_real.to(dtype).unsqueeze(-1) if is_zeroed else None)

    def to(self, *args: Any, **kwargs: Any) -> "Padding":
        """As of a tensor: what ``accelerate`` calls where layers are on several devices."""
        scores, keep = (None if x is None else x.to(*args, **kwargs) for x in (self.scores, self.keep))
        return Padding(scores=scores, keep=keep)

    def zeroed(self, x: Tensor) -> Tensor:
        """``x`` (B, S, ...) or, with heads, (B, N, S, D), with zeros at padded positions."""
        if self.keep is None:
            return x
        keep = self.keep.to(x.dtype)
        return x * (keep.unsqueeze(1) if x.dim() == 4 else keep)


def attend(
    q_BNSD: Tensor | None,
    content_BmSD: Tensor | None,
    k_BnSD: Tensor | None,
    v_BNSD: Tensor,
    bias: Tensor | None,
    dropout: float,
    return_weights: bool,
) -> tuple[Tensor, Tensor | None]:
    """softmax(c kT / sqrt(D) + bias) v; heads without keys, the last ones, attend by the bias alone, and where there is
    none, they average all positions.

    Args:
        q_BNSD: queries; None when no head compares contents.
        content_BmSD: what the last m of the heads with keys compare with these; the others compare their queries.
        k_BnSD: keys of the first n heads; None when no head compares contents.
        v_BNSD: values.
        bias: broadcastable to (B, N, S, S).
        dropout: probability with which attention weights are dropped.
        return_weights: return the weights, instead of using the fused kernel.

    Returns:
        Context (B, N, S, D), and weights (B, N, S, S) where asked for.
    """
    if k_BnSD is None:
        return _attend_by_bias(v_BNSD, bias, dropout)
    compared_BnSD = _compared(q_BNSD, content_BmSD, k_BnSD.shape[1])
    sizes = [k_BnSD.shape[1], v_BNSD.shape[1] - k_BnSD.shape[1]]
    if not sizes[1]:
        return _attend_by_content(compared_BnSD, k_BnSD, v_BNSD, bias, dropout, return_weights)
    biases = (bias, bias) if bias is None or bias.shape[1] == 1 else bias.split(sizes, dim=1)
    values = v_BNSD.split(sizes, dim=1)
    by_content, weights = _attend_by_content(compared_BnSD, k_BnSD, values[0], biases[0], dropout, return_weights)
    by_position, other_weights = _attend_by_bias(values[1], biases[1], dropout)
    context = torch.cat([by_content, by_position], dim=1)
    return context, None if weights is None else torch.cat([weights, other_weights], dim=1)


def _compared(q_BNSD: Tensor | None, content_BmSD: Tensor | None, number: int) -> Tensor:
    """What ``number`` heads compare with their keys (B, n, S, D)."""
    own = number - (0 if content_BmSD is None else content_BmSD.shape[1])
    if content_BmSD is not None and not own:
        return content_BmSD
    assert q_BNSD is not None
    queries = q_BNSD[:, :own]
    return queries if content_BmSD is None else torch.cat([queries, content_BmSD], dim=1)


def _attend_by_content(
    content_BNSD: Tensor, k_BNSD: Tensor, v_BNSD: Tensor, bias: Tensor | None, dropout: float, return_weights: bool
) -> tuple[Tensor, Tensor | None]:
    if not return_weights:
        context = functional.scaled_dot_product_attention(
            content_BNSD, k_BNSD, v_BNSD, attn_mask=bias, dropout_p=dropout
        )
        return context, None
    scores = content_BNSD @ k_BNSD.transpose(-1, -2) / math.sqrt(content_BNSD.shape[-1])
    return _attend_by_bias(v_BNSD, scores if bias is None else scores + bias, dropout)


def _attend_by_bias(v_BNSD: Tensor, bias: Tensor | None, dropout: float) -> tuple[Tensor, Tensor]:
    batch, heads, length, _ = v_BNSD.shape
    if bias is None:
        bias = v_BNSD.new_zeros(1, 1, 1, 1)
    weights = torch.softmax(bias.expand(batch, heads, length, length), dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    return weights @ v_BNSD, weights


def position_bias(
    q_BNSD: Tensor | None, k_BNSD: Tensor | None, table: Tensor | None, padding: Padding
) -> Tensor | None:
    """What is added to the scaled content scores: relative positions over sqrt(D), and the padding mask.

    Args:
        q_BNSD: queries, where there is a table.
        k_BNSD: keys, where the key's term is wanted too (``relative_key_query``), else None.
        table: (2 M - 1, D), or None with absolute positions.

    Returns:
        Broadcastable to (B, N, S, S), or None when there is nothing to add.
    """
    if table is None:
        return padding.scores
    assert q_BNSD is not None
    scale = 1 / math.sqrt(q_BNSD.shape[-1])
    bias = relative_scores(q_BNSD, table, scale)
    if k_BNSD is not None:
        bias = bias + relative_scores(k_BNSD, table.flip(0), scale).transpose(-1, -2)
    if padding.scores is None:
        return bias
    return bias + padding.scores if is_transformed() else bias.add_(padding.scores)


def relative_scores(x_BNSD: Tensor, table: Tensor, scale: float = 1) -> Tensor:
    """score[i, j] = scale x_i . r_{i-j}, by one product with every distance and a skewed view of the result.

    Args:
        x_BNSD: (B, N, S, D).
        table: (2 M - 1, D); row m is r_{m - M + 1}.

    Returns:
        (B, N, S, S), of its own memory.
    """
    length = x_BNSD.shape[2]
    middle = (table.shape[0] + 1) // 2
    nearest_first = table[middle - length : middle + length - 1].flip(0)  # row c is r_{S-1-c}
    vectors = functional.pad(nearest_first * scale, (0, 0, 0, 1))  # one more than is met, for ``skew``
    return skew(x_BNSD @ vectors.transpose(0, 1), length).contiguous()
