"""A deep ensemble as surrogate (Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017): small networks from different
starts, each of a mean and a variance, trained side by side as batched matrices.

Letters: E members, N points, I inputs.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .base import Moments, Standardizer, Surrogate

_MEMBERS = 8
_HIDDEN = 32
_STEPS = 200


class DeepEnsembleSurrogate(Surrogate):
    """Fitted on construction; the members' disagreement is epistemic, the variance they predict aleatoric."""

    def __init__(self, X: Tensor, Y: Tensor, *, columns: Sequence[int], seed: int) -> None:
        """Fit to the given columns of vectors X (N, ...) and scores Y (N,)."""
        super().__init__()
        self._columns = list(columns)
        self._standardizer = Standardizer(Y)
        target = self._standardizer.transform(Y)
        generator = torch.Generator().manual_seed(seed)
        sizes = (len(self._columns), _HIDDEN, _HIDDEN, 2)
        self.weights = nn.ParameterList(
            torch.randn(_MEMBERS, i, o, generator=generator, dtype=X.dtype) / math.sqrt(i)
            for i, o in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(_MEMBERS, 1, o, dtype=X.dtype) for o in sizes[1:])
        optimizer = torch.optim.AdamW(self.parameters(), lr=1e-2, weight_decay=1e-2, fused=True)
        schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
        with torch.enable_grad():
            for _ in range(_STEPS):
                optimizer.zero_grad()
                mean, variance = self._members(X)
                loss = 0.5 * (variance.log() + (target - mean).square() / variance)
                loss.mean(1).sum().backward()
                optimizer.step()
                schedule.step()
        self.requires_grad_(False)
        self.eval()

    def predict_moments(self, X: Tensor) -> Moments:
        mean, variance = self._members(X.reshape(-1, X.shape[-1]))
        shape = X.shape[:-1]
        deviation = (mean.var(0) + 1e-8).sqrt()
        return self._standardizer.untransform(
            Moments(mean.mean(0).reshape(shape), deviation.reshape(shape), variance.mean(0).sqrt().reshape(shape))
        )

    def _members(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance, (E, N) each, at X (N, ...)."""
        hidden = X[:, self._columns].expand(_MEMBERS, -1, -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if layer < len(self.weights) - 1:
                hidden = nn.functional.silu(hidden)
        return hidden[..., 0], nn.functional.softplus(hidden[..., 1]) + 1e-3
