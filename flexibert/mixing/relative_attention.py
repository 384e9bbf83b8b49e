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

from ..cost.flops import num_blocks
from .own_gradients import differentiable_gradients, needs_differentiable


def attend_with_positions(
    q_BNSD: Tensor,
    content_BmSD: Tensor | None,
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
        content_BmSD: what the last m of the n heads compare with their keys; the others compare their queries.
        k_BnSD: None when no head compares contents.
        table: (2 M - 1, D); row m is r_{m - M + 1}.
        positioned_k_BNSD: keys of all heads, where r[i, j] has the term k_j . r_{i-j} too (``relative_key_query``).
        mask: (B, 1, 1, S), added to every head's scores.
        dropout: probability with which attention weights are dropped.

    Returns:
        (B, N, S, D).
    """
    q, content, k, v, positioned_k = (
        None if x is None else x.transpose(0, 1).flatten(0, 1)
        for x in (q_BNSD, content_BmSD, k_BnSD, v_BNSD, positioned_k_BNSD)
    )
    assert v is not None
    kept = None
    if dropout:
        kept = v.new_empty(*v.shape[:2], v.shape[1]).bernoulli_(1 - dropout).div_(1 - dropout)
    context = _Attention.apply(q, content, k, v, table, positioned_k, mask, kept)
    return context.unflatten(0, v_BNSD.shape[1::-1]).transpose(0, 1)


class _Attention(torch.autograd.Function):
    """``_attention`` with a gradient that takes few passes over the scores, and little memory that is new."""

    @staticmethod
    def forward(context: Any, *inputs: Any) -> Tensor:
        q, content, k, v, table, positioned_k, mask, kept = inputs
        windows = _windows(table, q.shape[1])
        q_blocks = _blocks_of(q, len(windows))
        scores = _scores(q, q_blocks, windows, content, k, table, positioned_k, mask)
        weights = torch.softmax(scores, dim=-1, out=scores)
        context.save_for_backward(*inputs, q_blocks, windows, weights)
        return torch.bmm(weights if kept is None else weights * kept, v)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        *inputs, q_blocks, windows, weights = context.saved_tensors
        if needs_differentiable(gradient):
            return differentiable_gradients(_attention, inputs, gradient)
        q, content, k, v, table, positioned_k, _, kept = inputs
        of_v = torch.bmm((weights if kept is None else weights * kept).transpose(1, 2), gradient)
        of_scores = torch.bmm(gradient, v.transpose(1, 2))
        if kept is not None:
            of_scores.mul_(kept)
        torch.ops.aten._softmax_backward_data.out(of_scores, weights, -1, weights.dtype, grad_input=of_scores)
        of_q, of_table = _gradients_by_position(q_blocks, windows, of_scores, len(table))
        of_positioned_k = None
        if positioned_k is not None:
            windows = _windows(table.flip(0), q.shape[1])
            blocks = _blocks_of(positioned_k, len(windows))
            transposed = of_scores.transpose(1, 2)
            of_positioned_k, of_flipped = _gradients_by_position(blocks, windows, transposed, len(table))
            of_table += of_flipped.flip(0)
        of_content, of_k = (None if x is None else torch.empty_like(x) for x in (content, k))
        comparisons = zip(_comparisons(q, content, k), _comparisons(of_q, of_content, of_k), strict=True)
        scale = 1 / math.sqrt(q.shape[-1])
        for (heads, compared, keys), (_, of_compared, of_keys) in comparisons:
            of_keys.baddbmm_(of_scores[heads].transpose(1, 2), compared, beta=0, alpha=scale)
            of_compared.baddbmm_(of_scores[heads], keys, beta=int(of_compared is not of_content), alpha=scale)
        return of_q, of_content, of_k, of_v, of_table, of_positioned_k, None, None


def _attention(
    q_GSD: Tensor,
    content: Tensor | None,
    k: Tensor | None,
    v_GSD: Tensor,
    table: Tensor,
    positioned_k: Tensor | None,
    mask: Tensor | None,
    kept_GSS: Tensor | None,
) -> Tensor:
    """Contexts (G, S, D) of G = N B heads of texts, of which the first have keys, and the last of these contents."""
    windows = _windows(table, q_GSD.shape[1])
    q_blocks = _blocks_of(q_GSD, len(windows))
    weights = torch.softmax(_scores(q_GSD, q_blocks, windows, content, k, table, positioned_k, mask), dim=-1)
    return torch.bmm(weights if kept_GSS is None else weights * kept_GSS, v_GSD)


def _scores(
    q_GSD: Tensor,
    q_blocks: Tensor,
    windows_bWD: Tensor,
    content: Tensor | None,
    k: Tensor | None,
    table: Tensor,
    positioned_k: Tensor | None,
    mask: Tensor | None,
) -> Tensor:
    length = q_GSD.shape[1]
    scores = _scores_by_position(q_blocks, windows_bWD, length)
    if positioned_k is not None:
        windows = _windows(table.flip(0), length)
        scores += _scores_by_position(_blocks_of(positioned_k, len(windows)), windows, length).transpose(1, 2)
    if mask is not None:
        scores.unflatten(0, (len(scores) // max(len(mask), 1), len(mask))).add_(mask.squeeze(1))
    for heads, compared, keys in _comparisons(q_GSD, content, k):
        scores[heads].baddbmm_(compared, keys.transpose(1, 2), alpha=1 / math.sqrt(q_GSD.shape[-1]))
    return scores


def _comparisons(q: Tensor, content: Tensor | None, k: Tensor | None) -> list[tuple[slice, Tensor, Tensor]]:
    """Heads, what they compare with their keys (queries, contents) and these."""
    if k is None:
        return []
    own = len(k) - (0 if content is None else len(content))
    by_query = [(slice(own), q[:own], k[:own])] if own else []
    return by_query if content is None else [*by_query, (slice(own, len(k)), content, k[own:])]


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


def _scores_by_position(q_blocks: Tensor, windows_bWD: Tensor, length: int) -> Tensor:
    """(G, S, S) of queries (blocks, G R, D)."""
    (blocks, columns, size), rows = windows_bWD.shape, q_blocks.shape[1]
    by_distance = q_blocks.new_empty(blocks, rows, columns)
    by_distance.baddbmm_(q_blocks, windows_bWD.transpose(1, 2), beta=0, alpha=1 / math.sqrt(size))
    scores = q_blocks.new_empty(rows * blocks // length, length, length)
    _in_blocks(scores, blocks).copy_(skew(by_distance.unflatten(1, (len(scores), length // blocks)), length))
    return scores


def _gradients_by_position(
    q_blocks: Tensor, windows_bWD: Tensor, gradient: Tensor, distances: int
) -> tuple[Tensor, Tensor]:
    """Of queries (G, S, D) and of the table of ``distances`` vectors, by what they add to the scores."""
    number, length, _ = gradient.shape
    (blocks, columns, size), rows = windows_bWD.shape, length // len(windows_bWD)
    by_distance = gradient.new_zeros(blocks, number, rows, columns)
    skew(by_distance, length).copy_(_in_blocks(gradient, blocks))
    by_distance, scale = by_distance.flatten(1, 2), 1 / math.sqrt(size)
    of_windows = torch.empty_like(windows_bWD)
    of_windows.baddbmm_(by_distance.transpose(1, 2), q_blocks, beta=0, alpha=scale)
    numbers = torch.from_numpy(_rows_of_windows(length, distances))
    of_table = torch.ops.aten.embedding_dense_backward(of_windows, numbers, distances, -1, False)
    of_blocks = torch.empty_like(q_blocks).baddbmm_(by_distance, windows_bWD, beta=0, alpha=scale)
    of_q = q_blocks.new_empty(number, length, size)
    _in_blocks(of_q, blocks).copy_(of_blocks.unflatten(1, (number, rows)))
    return of_q, of_table


def skew(by_distance: Tensor, kept: int) -> Tensor:
    """Columns R-1-i ... R-2-i+kept of row i of the last two axes (R, columns), as a view (R, kept); kept < columns."""
    *leading, rows, columns = by_distance.shape
    # After dropping R-1 entries, rows of columns - 1 start exactly there.
    flat = by_distance.flatten(-2)[..., rows - 1 : rows - 1 + rows * (columns - 1)]
    return flat.view(*leading, rows, columns - 1)[..., :kept]


def _in_blocks(x: Tensor, blocks: int) -> Tensor:
    """(G, S, ...) as a view (blocks, G, R, ...)."""
    return x.unflatten(1, (blocks, x.shape[1] // blocks)).transpose(0, 1)


def _blocks_of(q_GSD: Tensor, blocks: int) -> Tensor:
    """(blocks, G R, D)."""
    return _in_blocks(q_GSD, blocks).flatten(1, 2)
