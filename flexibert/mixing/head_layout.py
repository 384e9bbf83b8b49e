"""Linear maps of one input as one product, and their outputs as heads.

Shapes: B batch, S sequence, H layer width, D head size, C columns (heads times head size).
"""

from collections.abc import Sequence
from itertools import chain
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from .own_gradients import is_eager_on_cpu, is_traced, needs_differentiable
from .plain_modules import is_plain


def joining_pays(x_BSH: Tensor, linears: Sequence[nn.Linear]) -> bool:
    """Whether linear maps can be one product, and this saves more time than laying their weights side by side costs."""
    if is_traced() or (x_BSH.device.type == "cpu" and x_BSH.shape[0] * x_BSH.shape[1] < 256):
        return False
    return all(map(is_plain, linears)) and len({linear.bias is None for linear in linears}) == 1


def project(x_BSH: Tensor, linears: Sequence[tuple[nn.Linear, Sequence[range]]], size: int) -> Tensor:
    """Outputs of linear maps side by side, by one product where nothing but their weights takes part.

    Args:
        x_BSH: their input.
        linears: each with the heads of its output that are wanted, as ranges; none for all.
        size: the size of a head.

    Returns:
        (B, S, C).
    """
    if not joining_pays(x_BSH, [linear for linear, _ in linears]):
        return torch.cat(list(chain(*(_outputs(x_BSH, *each, size) for each in linears))), dim=-1)
    weights = [_rows(linear.weight, heads, size) for linear, heads in linears]
    biases = [_rows(linear.bias, heads, size) for linear, heads in linears if linear.bias is not None]
    bias = torch.cat(list(chain(*biases))) if biases else None
    return functional.linear(x_BSH, torch.cat(list(chain(*weights))), bias)


def _rows(weight: Tensor, heads: Sequence[range], size: int) -> list[Tensor]:
    return [weight[each.start * size : each.stop * size] for each in heads] or [weight]


def _outputs(x_BSH: Tensor, linear: nn.Linear, heads: Sequence[range], size: int) -> list[Tensor]:
    if not heads or not is_plain(linear):
        output = linear(x_BSH)
        return [output[..., each.start * size : each.stop * size] for each in heads] or [output]
    weights = _rows(linear.weight, heads, size)
    biases = [None] * len(heads) if linear.bias is None else _rows(linear.bias, heads, size)
    return [functional.linear(x_BSH, *each) for each in zip(weights, biases, strict=True)]


def split_heads(x_BSC: Tensor, size: int, ranges: Sequence[range], heads_first: bool) -> list[Tensor]:
    """Heads of each range, which may overlap: (B, heads in the range, S, D) each.

    Args:
        x_BSC: heads side by side.
        size: D.
        ranges: of steps of one.
        heads_first: on a CPU, lay heads out one after the other in memory, as products per head read them.
    """
    heads_first = heads_first and is_eager_on_cpu(x_BSC)
    ends = [0, *(each.stop for each in ranges)]
    are_side_by_side = [each.start for each in ranges] == ends[:-1] and ends[-1] * size == x_BSC.shape[-1]
    if are_side_by_side and not heads_first:
        return list(as_heads(x_BSC, size).split([len(each) for each in ranges], dim=1))
    if is_traced():
        return [as_heads(x_BSC, size)[:, each.start : each.stop] for each in ranges]
    return list(_SplitHeads.apply(x_BSC, size, ranges, heads_first))


def as_heads(x_BSC: Tensor, size: int) -> Tensor:
    """A view (B, heads, S, D)."""
    return x_BSC.view(*x_BSC.shape[:-1], x_BSC.shape[-1] // size, size).transpose(1, 2)


class _SplitHeads(torch.autograd.Function):
    """Its gradient is one copy; autograd's own fills and adds a whole tensor for every range."""

    @staticmethod
    def forward(
        context: Any, x_BSC: Tensor, size: int, ranges: Sequence[range], heads_first: bool
    ) -> tuple[Tensor, ...]:
        context.set_materialize_grads(False)
        context.ranges, context.num_heads = ranges, x_BSC.shape[-1] // size
        heads = as_heads(x_BSC, size)
        if heads_first:
            heads = heads.transpose(0, 1).contiguous().transpose(0, 1)
        return tuple(heads[:, each.start : each.stop] for each in ranges)

    @staticmethod
    def backward(context: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None, None]:
        known = [(each, part) for each, part in zip(context.ranges, gradients, strict=True) if part is not None]
        if not known:
            return None, None, None, None
        if needs_differentiable(*gradients):
            return _sum_per_head(known, context.num_heads), None, None, None
        batch, _, length, size = known[0][1].shape
        whole = known[0][1].new_empty(batch, length, context.num_heads, size)
        written: set[int] = set()
        for heads, part in sorted(known, key=lambda pair: -len(pair[0])):
            place = whole[:, :, heads.start : heads.stop]
            if written.isdisjoint(heads):
                place.copy_(part.transpose(1, 2))
            else:
                _zero(whole, set(heads) - written)
                place.add_(part.transpose(1, 2))
            written |= set(heads)
        _zero(whole, set(range(context.num_heads)) - written)
        return whole.flatten(2), None, None, None


def _sum_per_head(known: Sequence[tuple[range, Tensor]], number: int) -> Tensor:
    """(B, S, C), of each head the sum of its parts in ``known`` (B, heads in the range, S, D)."""
    nothing = torch.zeros_like(known[0][1][:, 0])
    parts = [[part[:, head - heads.start] for heads, part in known if head in heads] for head in range(number)]
    return torch.cat([sum(of_head, start=nothing) for of_head in parts], dim=-1)


def _zero(x_BSND: Tensor, heads: set[int]) -> None:
    for head in heads:
        x_BSND[:, :, head] = 0


def merge_heads(x_BNSD: Tensor) -> Tensor:
    """(B, N, S, D) -> (B, S, N D)."""
    x_BSND = x_BNSD.transpose(1, 2)
    if torch.compiler.is_exporting():  # attention in other words, as of ONNX, may lay its heads out in another way
        x_BSND = x_BSND.clone(memory_format=torch.contiguous_format)
    return x_BSND.flatten(2)


def merge_with(x_BNSD: Tensor, added: Sequence[tuple[range, Tensor]]) -> Tensor:
    """``merge_heads`` of ``x`` with something added (B, heads in the range, S, D) to the heads of each range, which
    may not overlap."""
    if is_traced():
        return _merged_by_joining(x_BNSD, added)
    return _MergeWith.apply([heads for heads, _ in added], x_BNSD, *(part for _, part in added))


def _merged_by_joining(x_BNSD: Tensor, added: Sequence[tuple[range, Tensor]]) -> Tensor:
    pieces, end = [], 0
    for heads, part in sorted(added, key=lambda pair: pair[0].start):
        pieces += [x_BNSD[:, end : heads.start], x_BNSD[:, heads.start : heads.stop] + part]
        end = heads.stop
    return torch.cat([piece.transpose(1, 2) for piece in [*pieces, x_BNSD[:, end:]]], dim=2).flatten(2)


class _MergeWith(torch.autograd.Function):
    """Its gradients are views; autograd's own copies the whole tensor for every range."""

    @staticmethod
    def forward(context: Any, ranges: Sequence[range], x_BNSD: Tensor, *parts: Tensor) -> Tensor:
        context.ranges, context.size = ranges, x_BNSD.shape[-1]
        x_BSND = x_BNSD.transpose(1, 2).clone(memory_format=torch.contiguous_format)
        for heads, part in zip(ranges, parts, strict=True):
            x_BSND[:, :, heads.start : heads.stop] += part.transpose(1, 2)
        return x_BSND.flatten(2)

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        of_heads = as_heads(gradient, context.size)
        return None, of_heads, *(of_heads[:, heads.start : heads.stop] for heads in context.ranges)
