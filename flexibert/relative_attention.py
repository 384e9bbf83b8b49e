"""Attention with learned relative positions (Shaw et al. 2018) as plain products, for CPUs.

The fused kernels there have no gradient for what is added to the scores, and autograd's own takes a pass over all
scores for every slice and every scale.
Shapes: B batch, S sequence, N heads, n of them that compare contents (the first), D head size, M
max_position_embeddings; inside, W distances that a block of R positions meets.
"""

import math
from functools import lru_cache
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from .cost import num_blocks
from .own_gradients import differentiable_gradients


def attend_with_positions(
    q_BNSD: Tensor,
    content_BnSD: Tensor | None,
    k_BnSD: Tensor | None,
    v_BNSD: Tensor,
    table: Tensor,
    positioned_k_BNSD: Tensor | None,
    mask: Tensor | None,
    dropout: float,
) -> Tensor:
    """softmax((c kT + r) / sqrt(D) + mask) v, where r[i, j] = q_i . r_{i-j}; the last N - n heads leave c kT out.

    The fastest where heads come one after the other in memory (``head_layout.split_heads``).

    Args:
        content_BnSD: what is compared with keys; default: the queries.
        k_BnSD: None when no head compares contents.
        table: (2 M - 1, D); row m is r_{m - M + 1}.
        positioned_k_BNSD: keys of all heads, where r[i, j] has the term k_j . r_{i-j} too (``relative_key_query``).
        mask: (B, 1, 1, S), added to every head's scores.
        dropout: probability with which attention weights are dropped.

    Returns:
        (B, N, S, D).
    """
    q, v = _heads_first(q_BNSD), _heads_first(v_BNSD)
    content, k = (None if x is None else _heads_first(x) for x in (content_BnSD, k_BnSD))
    length, scale = q_BNSD.shape[2], 1 / math.sqrt(q_BNSD.shape[-1])
    scores = _Scores.apply(q, content, k, _windows(table, length) * scale, mask)
    if positioned_k_BNSD is not None:
        windows = _windows(table.flip(0), length) * scale
        scores = scores + _Scores.apply(_heads_first(positioned_k_BNSD), None, None, windows, None).transpose(1, 2)
    weights = torch.softmax(scores, dim=-1)
    if dropout:
        weights = functional.dropout(weights, dropout)
    return torch.bmm(weights, v).unflatten(0, v_BNSD.shape[1::-1]).transpose(0, 1)


def _heads_first(x_BNSD: Tensor) -> Tensor:
    """(N B, S, D)."""
    return x_BNSD.transpose(0, 1).flatten(0, 1)


def _windows(table: Tensor, length: int) -> Tensor:
    """(blocks, W, D): the vectors of the distances that each block of R positions meets, farthest behind first, so that
    those of the block's row p begin at R - 1 - p."""
    return functional.embedding(torch.from_numpy(_rows_of_windows(length, len(table))), table)


@lru_cache(maxsize=64)
def _rows_of_windows(length: int, distances: int) -> np.ndarray:
    """Rows of a table of ``distances`` vectors. W = S + R, one more than is met: products of even widths are faster."""
    rows = length // num_blocks(length)
    distance = np.arange(rows - 1, length, rows)[:, None] - np.arange(length + rows)
    return np.maximum(distance + distances // 2, 0)


def skew(by_distance: Tensor, kept: int) -> Tensor:
    """Columns R-1-i ... R-2-i+kept of row i of the last two axes (R, columns), as a view (R, kept)."""
    *leading, rows, columns = by_distance.shape
    if rows == 1:
        return by_distance[..., :kept]
    # After dropping R-1 entries, rows of columns - 1 start exactly there.
    flat = by_distance.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)]
    return flat.view(*leading, rows, columns - 1)[..., :kept]


class _Scores(torch.autograd.Function):
    """``_scores`` with a gradient that takes few passes over the scores."""

    @staticmethod
    def forward(
        context: Any, q: Tensor, content: Tensor | None, k: Tensor | None, windows: Tensor, mask: Tensor | None
    ) -> Tensor:
        context.save_for_backward(q, content, k, windows, mask)
        return _scores(q, content, k, windows, mask)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, content, k, windows, mask = context.saved_tensors
        if torch.is_grad_enabled():
            return differentiable_gradients(_scores, (q, content, k, windows, mask), gradient)
        of_q, of_windows = _gradients_by_position(q, windows, gradient)
        if k is None:
            return of_q, None, None, of_windows, None
        compared = q[: len(k)] if content is None else content
        scale, of_scores = 1 / math.sqrt(q.shape[-1]), gradient[: len(k)]
        of_k = torch.empty_like(k).baddbmm_(of_scores.transpose(1, 2), compared, beta=0, alpha=scale)
        if content is None:
            of_q[: len(k)].baddbmm_(of_scores, k, alpha=scale)
            return of_q, None, of_k, of_windows, None
        of_content = torch.empty_like(content).baddbmm_(of_scores, k, beta=0, alpha=scale)
        return of_q, of_content, of_k, of_windows, None


def _scores(
    q_GSD: Tensor, content: Tensor | None, k: Tensor | None, windows_bWD: Tensor, mask: Tensor | None
) -> Tensor:
    """Scores (G, S, S) of G = N B heads of texts; contents and keys (n B, S, D) of the first."""
    number, length, size = q_GSD.shape
    blocks, columns, _ = windows_bWD.shape
    q_blocks = _blocks_of(q_GSD, blocks)
    by_distance = torch.bmm(q_blocks, windows_bWD.transpose(1, 2)).view(blocks, number, length // blocks, columns)
    scores = q_GSD.new_empty(number, length, length)
    _in_blocks(scores, blocks).copy_(skew(by_distance, length))
    if mask is not None:
        scores.unflatten(0, (number // max(len(mask), 1), len(mask))).add_(mask.squeeze(1))
    if k is not None:
        compared = q_GSD[: len(k)] if content is None else content
        scores[: len(k)].baddbmm_(compared, k.transpose(1, 2), alpha=1 / math.sqrt(size))
    return scores


def _gradients_by_position(q_GSD: Tensor, windows_bWD: Tensor, gradient: Tensor) -> tuple[Tensor, Tensor]:
    """Of queries and windows, by what they add to the scores."""
    number, length, size = q_GSD.shape
    blocks, columns, _ = windows_bWD.shape
    by_distance = gradient.new_zeros(blocks, number, length // blocks, columns)
    skew(by_distance, length).copy_(_in_blocks(gradient, blocks))
    by_distance = by_distance.view(blocks, number * length // blocks, columns)
    of_windows = torch.bmm(by_distance.transpose(1, 2), _blocks_of(q_GSD, blocks))
    of_q = torch.empty_like(q_GSD)
    _in_blocks(of_q, blocks).copy_(torch.bmm(by_distance, windows_bWD).view(blocks, number, length // blocks, size))
    return of_q, of_windows


def _in_blocks(x: Tensor, blocks: int) -> Tensor:
    """(G, S, ...) as a view (blocks, G, R, ...)."""
    return x.unflatten(1, (blocks, x.shape[1] // blocks)).transpose(0, 1)


def _blocks_of(q_GSD: Tensor, blocks: int) -> Tensor:
    """(blocks, G R, D)."""
    return _in_blocks(q_GSD, blocks).flatten(1, 2)
