"""Attention with learned relative positions (Shaw et al. 2018) as plain products, for CPUs.

The fused kernels there have no gradient for what is added to the scores, and autograd's own takes a pass over all
scores for every slice and every scale.
Shapes: B batch, S sequence, N heads, n of them that compare contents (the first), D head size, M
max_position_embeddings; inside, W distances that a block of R positions meets.
"""

import math
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional

from .cost import num_blocks


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
    return torch.bmm(weights, v).unflatten(0, (-1, q_BNSD.shape[0])).transpose(0, 1)


def _heads_first(x_BNSD: Tensor) -> Tensor:
    """(N B, S, D)."""
    return x_BNSD.transpose(0, 1).flatten(0, 1)


def _windows(table: Tensor, length: int) -> Tensor:
    """(blocks, W, D): the vectors of the distances that each block of R positions meets, farthest behind first, so that
    those of the block's row p begin at R - 1 - p."""
    return functional.embedding(_rows_of_windows(length, len(table)), table)


@lru_cache(maxsize=64)
def _rows_of_windows(length: int, distances: int) -> Tensor:
    """Rows of a table of ``distances`` vectors. W = S + R, one more than is met: products of even widths are faster."""
    rows = length // num_blocks(length)
    with torch.inference_mode(False):  # an inference tensor could not be used in training later
        lasts = torch.arange(rows - 1, length, rows)
        distance = lasts.unsqueeze(1) - torch.arange(length + rows)
        return (distance + distances // 2).clamp(min=0)


def skew(by_distance: Tensor, kept: int) -> Tensor:
    """Columns R-1-i ... R-2-i+kept of row i of the last two axes (R, columns), as a view (R, kept)."""
    *leading, rows, columns = by_distance.shape
    if rows == 1:
        return by_distance[..., :kept]
    # After dropping R-1 entries, rows of columns - 1 start exactly there.
    flat = by_distance.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)]
    return flat.view(*leading, rows, columns - 1)[..., :kept]


class _Scores(torch.autograd.Function):
    """Scores (N B, S, S) of heads first: queries (N B, S, D), contents and keys (n B, S, D)."""

    @staticmethod
    def forward(
        context: Any, q: Tensor, content: Tensor | None, k: Tensor | None, windows: Tensor, mask: Tensor | None
    ) -> Tensor:
        length, size = q.shape[1:]
        blocks, columns, _ = windows.shape
        q_blocks = _in_blocks(q, blocks).reshape(blocks, -1, size)
        by_distance = torch.bmm(q_blocks, windows.transpose(1, 2)).view(blocks, len(q), -1, columns)
        scores = q.new_empty(len(q), length, length)
        if mask is None:
            _in_blocks(scores, blocks).copy_(skew(by_distance, length))
        else:
            of_heads = mask.view(-1, 1, length).repeat(len(q) // len(mask), 1, 1)
            torch.add(skew(by_distance, length), of_heads, out=_in_blocks(scores, blocks))
        if k is not None:
            compared = q[: len(k)] if content is None else content
            scores[: len(k)].baddbmm_(compared, k.transpose(1, 2), alpha=1 / math.sqrt(size))
        context.save_for_backward(q, content, k, windows, q_blocks)
        return scores

    @staticmethod
    @once_differentiable
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        q, content, k, windows, q_blocks = context.saved_tensors
        length, size = q.shape[1:]
        blocks, columns, _ = windows.shape
        by_distance = gradient.new_zeros(blocks, len(q), length // blocks, columns)
        skew(by_distance, length).copy_(_in_blocks(gradient, blocks))
        by_distance = by_distance.view(blocks, -1, columns)
        of_windows = torch.bmm(by_distance.transpose(1, 2), q_blocks)
        of_q = torch.empty_like(q)
        of_q_blocks = torch.bmm(by_distance, windows)
        _in_blocks(of_q, blocks).copy_(of_q_blocks.view(blocks, len(q), -1, size))
        if k is None:
            return of_q, None, None, of_windows, None
        compared = q[: len(k)] if content is None else content
        scale, of_scores = 1 / math.sqrt(size), gradient[: len(k)]
        of_k = torch.empty_like(k).baddbmm_(of_scores.transpose(1, 2), compared, beta=0, alpha=scale)
        if content is None:
            of_q[: len(k)].baddbmm_(of_scores, k, alpha=scale)
            return of_q, None, of_k, of_windows, None
        of_content = torch.empty_like(content).baddbmm_(of_scores, k, beta=0, alpha=scale)
        return of_q, of_content, of_k, of_windows, None


def _in_blocks(x: Tensor, blocks: int) -> Tensor:
    """(G, S, ...) as a view (blocks, G, R, ...)."""
    return x.unflatten(1, (blocks, -1)).transpose(0, 1)
