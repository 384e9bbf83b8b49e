"""Scores and contexts of attention heads: contents, relative positions (Shaw et al. 2018) and padding.

Shapes: B batch, S sequence, N heads, D head size, M max_position_embeddings. Every function treats all heads at once.
"""

import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers.utils import is_tracing


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
        """The padding of a (B, S) mask with 1 at real positions; without ``is_zeroed``, only attention knows of it."""
        if attention_mask is None:
            return Padding()
        is_real = attention_mask.to(torch.bool)
        if holds(is_real.all()):
            return Padding()
        scores = torch.zeros_like(attention_mask, dtype=dtype).masked_fill(~is_real, torch.finfo(dtype).min / 2)
        return Padding(scores=scores[:, None, None, :], keep=is_real.to(dtype).unsqueeze(-1) if is_zeroed else None)

    def to(self, *args: Any, **kwargs: Any) -> "Padding":
        """The padding moved as a tensor is: what ``accelerate`` calls where layers are on several devices."""
        scores, keep = (None if x is None else x.to(*args, **kwargs) for x in (self.scores, self.keep))
        return Padding(scores=scores, keep=keep)

    def zeroed(self, x: Tensor) -> Tensor:
        """``x`` (B, S, ...) with zeros at padded positions."""
        return x if self.keep is None else x * self.keep.to(x.dtype)

    def mean(self, x_BSH: Tensor) -> Tensor:
        """The mean (B, H) of ``x`` over real positions; zeros for a text that has none."""
        if self.scores is None:
            return x_BSH.mean(dim=1)
        is_real_BS1 = (self.scores[:, 0, 0] == 0).to(x_BSH.dtype).unsqueeze(-1)
        return (x_BSH * is_real_BS1).sum(dim=1) / is_real_BS1.sum(dim=1).clamp(min=1)


def holds(condition: Tensor) -> bool:
    """Whether a condition is known to hold. It is not looked at where that would stop or break somebody's work: on an
    accelerator, while a graph is recorded, or under ``torch.vmap``, which refuses it."""
    if condition.device.type != "cpu" or is_tracing(condition):
        return False
    try:
        return bool(condition)
    except RuntimeError:
        return False


def split_heads(x_BSC: Tensor, size: int) -> Tensor:
    """(B, S, N D) -> (B, N, S, D)."""
    return x_BSC.unflatten(-1, (-1, size)).transpose(1, 2)


def merge_heads(x_BNSD: Tensor) -> Tensor:
    """(B, N, S, D) -> (B, S, N D)."""
    x_BSND = x_BNSD.transpose(1, 2)
    if torch.compiler.is_exporting():  # attention in other words, as of ONNX, may lay its heads out in another way
        x_BSND = x_BSND.clone(memory_format=torch.contiguous_format)
    return x_BSND.flatten(2)


def attend(
    content_BNSD: Tensor, k_BNSD: Tensor, v_BNSD: Tensor, bias: Tensor | None, dropout: float, return_weights: bool
) -> tuple[Tensor, Tensor | None]:
    """softmax(content kT / sqrt(D) + bias) v.

    Args:
        content_BNSD: what is compared with the keys.
        k_BNSD: keys.
        v_BNSD: values.
        bias: broadcastable to (B, N, S, S), or None.
        dropout: the probability with which attention weights are dropped.
        return_weights: whether to return the weights, for which the fused kernel is not used.

    Returns:
        The context (B, N, S, D), and the weights (B, N, S, S) where asked for.
    """
    if not return_weights:
        return functional.scaled_dot_product_attention(content_BNSD, k_BNSD, v_BNSD, bias, dropout), None
    scores = content_BNSD @ k_BNSD.transpose(-1, -2) / math.sqrt(content_BNSD.shape[-1])
    return attend_by_bias(v_BNSD, scores if bias is None else scores + bias, dropout)


def attend_by_bias(v_BNSD: Tensor, bias: Tensor | None, dropout: float) -> tuple[Tensor, Tensor]:
    """softmax(bias) v, and the weights; without a bias every head averages all positions."""
    batch, heads, length, _ = v_BNSD.shape
    if bias is None:
        bias = v_BNSD.new_zeros(1, 1, 1, 1)
    weights = torch.softmax(bias.expand(batch, heads, length, length), dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    return weights @ v_BNSD, weights


def relative_scores(x_BNSD: Tensor, table: nn.Module, max_length: int, *, is_of_keys: bool = False) -> Tensor:
    """The share of relative positions in attention scores: x_i . r_{i-j} / sqrt(D).

    One product with every distance, of which row i then takes those that start at S - 1 - i.

    Args:
        x_BNSD: queries, or with ``is_of_keys`` keys, whose score at [i, j] is k_j . r_{i-j} / sqrt(D).
        table: 2 M - 1 vectors; number m is r_{m - M + 1}. max_length: M.

    Returns:
        (B, N, S, S).
    """
    length, size = x_BNSD.shape[-2:]
    distances = torch.arange(1 - length, length, device=x_BNSD.device)
    vectors = table(max_length - 1 + (distances if is_of_keys else -distances))  # (2 S - 1, D)
    by_distance = functional.pad(x_BNSD @ (vectors / math.sqrt(size)).transpose(0, 1), (0, 1))  # (B, N, S, 2 S)
    # In one row after the other, dropping S - 1 entries and cutting rows of 2 S - 1 moves row i by S - 1 - i.
    flat = by_distance.flatten(-2)[..., length - 1 : length - 1 + length * (2 * length - 1)]
    scores = flat.unflatten(-1, (length, 2 * length - 1))[..., :length]
    return scores.transpose(-1, -2) if is_of_keys else scores
