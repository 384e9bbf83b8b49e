"""Scores, the masks they give, and how the gradient of a mask reaches them (movement pruning, Sanh et al. 2020).

A mask is a product of factors. A factor is a set of scores, one a block, spread over the rows, the columns or both of
a weight; scores that two weights share are one ``Scores`` module. Masks are hard, their gradient is straight-through:
that of a block's mask is its score's. Under ``l0`` the mask is a hard concrete gate (Louizos et al. 2018, eq. 10 to
13), whose own gradient is used.
Shapes: R rows and C columns of a (out, in) weight, r and c those of a block, M number of scores.
"""

import math
from dataclasses import dataclass
from functools import reduce
from operator import mul
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

STRETCH_LOW, STRETCH_HIGH, STRETCH_BETA = -0.1, 1.1, 2 / 3
Axis = Literal["both", "rows", "columns", "transposed"]


@dataclass(eq=False)
class Threshold:
    """The threshold that all scores of a model share: of this step, and of evaluation."""

    current: float
    final: float
    evaluates_current: bool = False

    def value(self, is_training: bool) -> float:
        return self.current if is_training or self.evaluates_current else self.final


class Scores(nn.Module):
    """One score per block, and the mask they give at block resolution.

    Args:
        shape: of the scores: (R / r, C / c), or (M,) along rows or columns.
        block: (r, c); along one axis (r, 1).
        method: see ``config.py``.
        threshold: shared by all scores of the model.
        min_share: of blocks that stay, under the threshold methods.
        kind: ``attention`` or ``dense``, for the regularizer.
    """

    def __init__(
        self,
        shape: tuple[int, ...],
        block: tuple[int, int],
        method: str,
        threshold: Threshold,
        min_share: float,
        kind: str,
    ) -> None:
        super().__init__()
        self.block, self.method, self.threshold, self.min_share, self.kind = block, method, threshold, min_share, kind
        self.shape = tuple(shape)
        self.scores = nn.Parameter(torch.zeros(shape)) if method != "magnitude" else None
        self.weighed: list[tuple[nn.Linear, Axis]] = []  # of magnitude: the weights and how the blocks lie on them

    @torch.no_grad()
    def initialize(self, mask_init: str, scale: float, columns: int) -> None:
        """Fills the scores as ``PruningConfig.mask_init`` says; ``columns`` is the width of the weight's input."""
        if self.scores is None:
            return
        if mask_init == "constant":
            self.scores.fill_(scale)
        else:
            bound = abs(scale) if mask_init == "uniform" else abs(scale) / math.sqrt(columns)
            self.scores.uniform_(-bound, bound)

    def forward(self) -> Tensor:
        """The mask at block resolution, of the scores' shape: 0 or 1, or under ``l0`` in [0, 1]."""
        if self.method == "l0":
            assert self.scores is not None
            return hard_concrete(self.scores, self.training)
        threshold = self.threshold.value(self.training)
        if self.method == "magnitude":
            return top_share(self._magnitudes(), threshold)
        assert self.scores is not None
        if self.method == "topK":
            hard = top_share(self.scores.detach(), threshold)
        else:
            hard = above(self.scores.detach(), threshold, self.min_share, self.method == "sigmoied_threshold")
        return _StraightThrough.apply(self.scores, hard)

    @torch.no_grad()
    def _magnitudes(self) -> Tensor:
        """Mean |weight| of every block, over all weights that share the scores."""
        found = [block_means(raw_weight(linear).abs(), self.block, axis) for linear, axis in self.weighed]
        return torch.stack(found).mean(0)


@dataclass(frozen=True)
class MaskFactor:
    """Scores and how they lie on a weight: ``rows`` and ``columns`` for 1-D scores, ``both`` and ``transposed`` for
    2-D ones."""

    scores: Scores
    axis: Axis

    def expanded(self) -> Tensor:
        """The mask of this factor, broadcastable to (R, C)."""
        mask, (rows, columns) = self.scores(), self.scores.block
        if self.axis in ("rows", "columns"):
            long = mask.repeat_interleave(rows) if rows > 1 else mask
            return long.unsqueeze(1 if self.axis == "rows" else 0)
        full = mask.repeat_interleave(rows, 0) if rows > 1 else mask
        full = full.repeat_interleave(columns, 1) if columns > 1 else full
        return full.transpose(0, 1) if self.axis == "transposed" else full


class WeightMask(nn.Module):
    """A parametrization: the weight times the product of its factors."""

    def __init__(self, factors: list[MaskFactor]) -> None:
        super().__init__()
        self.factors = factors
        self.parts = nn.ModuleList(factor.scores for factor in factors)

    def mask(self) -> Tensor:
        """The mask, broadcastable to (R, C)."""
        return reduce(mul, (factor.expanded() for factor in self.factors))

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask()


class FixedMask(nn.Module):
    """A parametrization by a mask (R, C) that no longer changes."""

    def __init__(self, mask: Tensor) -> None:
        super().__init__()
        self.register_buffer("constant", mask)

    def mask(self) -> Tensor:
        return self.constant  # type: ignore[return-value]

    def forward(self, weight: Tensor) -> Tensor:
        return weight * self.mask()


class BiasMask(nn.Module):
    """A parametrization: biases of rows that are masked in full are 0."""

    def __init__(self, of_weight: WeightMask | FixedMask) -> None:
        super().__init__()
        self.of_weight = of_weight

    def forward(self, bias: Tensor) -> Tensor:
        with torch.no_grad():
            is_kept = (self.of_weight.mask() != 0).any(1)
        return bias * is_kept.expand_as(bias).to(bias.dtype)


def mask_linear(linear: nn.Linear, mask: WeightMask, bias_mask: bool) -> None:
    """Registers the mask on ``linear``, whose class and parameter names change as ``parametrize`` does it."""
    parametrize.register_parametrization(linear, "weight", mask, unsafe=True)
    for factor in mask.factors:
        factor.scores.weighed.append((linear, factor.axis))
    if bias_mask and linear.bias is not None:
        parametrize.register_parametrization(linear, "bias", BiasMask(mask), unsafe=True)


@torch.no_grad()
def plain_linear(linear: nn.Linear) -> nn.Linear:
    """A new linear with the masked weight and bias of evaluation.

    Parametrizations are not removed in place: ``torch`` gives copies of a parametrized module its class, and removing
    them from one breaks the other.
    """
    was_training = linear.training
    linear.eval()
    plain = nn.utils.skip_init(
        nn.Linear, linear.in_features, linear.out_features, bias=linear.bias is not None, device=linear.weight.device
    ).to(linear.weight.dtype)
    plain.weight.copy_(linear.weight)
    if linear.bias is not None:
        plain.bias.copy_(linear.bias)
    linear.train(was_training)
    return plain


@torch.no_grad()
def fix_masks(masks: dict[nn.Linear, Tensor]) -> None:
    """Makes these masks (R, C) of masked linears constant. What is masked now is 0 from then on, and may move where the
    new mask is not 0."""
    values = {linear: plain_linear(linear) for linear in masks}
    for linear, mask in masks.items():
        parametrizations: Any = linear.parametrizations
        fixed = FixedMask(mask)
        parametrizations.weight[0] = fixed
        parametrizations.weight.original.copy_(values[linear].weight)
        if "bias" in parametrizations:
            parametrizations.bias[0] = BiasMask(fixed)
            parametrizations.bias.original.copy_(values[linear].bias)


def raw_weight(linear: nn.Linear) -> Tensor:
    """The weight under the mask, if there is one."""
    if parametrize.is_parametrized(linear, "weight"):
        return linear.parametrizations.weight.original  # type: ignore[union-attr, return-value]
    return linear.weight


def top_share(values: Tensor, share: float) -> Tensor:
    """1 at the floor(share * M) highest of M values, 0 elsewhere; of equal ones the first are kept."""
    return _top(values, math.floor(share * values.numel() + 1e-6))


def above(scores: Tensor, threshold: float, min_share: float, is_sigmoid: bool) -> Tensor:
    """1 where the score, or its sigmoid, is above the threshold; at least floor(min_share * M) + 1 of M stay."""
    mask = ((torch.sigmoid(scores) if is_sigmoid else scores) > threshold).to(scores.dtype)
    fewest = min(math.floor(min_share * scores.numel()) + 1, scores.numel())
    return mask if int(mask.sum()) >= fewest else _top(scores, fewest)


def hard_concrete(scores: Tensor, is_training: bool) -> Tensor:
    """A gate in [0, 1] per score: sampled when training, else the one of the noise's median."""
    if is_training:
        noise = torch.empty_like(scores).uniform_(1e-6, 1 - 1e-6)
        soft = torch.sigmoid((noise.log() - (1 - noise).log() + scores) / STRETCH_BETA)
    else:
        soft = torch.sigmoid(scores)
    return (soft * (STRETCH_HIGH - STRETCH_LOW) + STRETCH_LOW).clamp(0, 1)


def block_means(values: Tensor, block: tuple[int, int], axis: Axis) -> Tensor:
    """Means of ``values`` (R, C) over the blocks of a factor, of the shape of its scores."""
    if axis in ("rows", "columns"):
        along = values.mean(1 if axis == "rows" else 0)
        return along.view(-1, block[0]).mean(1)
    if axis == "transposed":
        values = values.transpose(0, 1)
    return values.unflatten(1, (-1, block[1])).unflatten(0, (-1, block[0])).mean((1, 3))


def _top(values: Tensor, number: int) -> Tensor:
    order = values.flatten().argsort(descending=True, stable=True)
    mask = torch.zeros_like(values).flatten()
    mask[order[:number]] = 1
    return mask.view_as(values)


class _StraightThrough(torch.autograd.Function):
    """The hard mask forward; its gradient is the scores'."""

    @staticmethod
    def forward(context: Any, scores: Tensor, hard: Tensor) -> Tensor:
        return hard.clone()

    @staticmethod
    def backward(context: Any, gradient: Tensor) -> tuple[Tensor, None]:
        return gradient, None
