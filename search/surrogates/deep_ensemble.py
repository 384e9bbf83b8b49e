"""A deep ensemble as surrogate (Lakshminarayanan, Pritzel and Blundell, NeurIPS 2017): small networks from different
starts, each of a mean and a variance, trained side by side as batched matrices.

Letters: E members, N points, I inputs.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from .base import Moments, PointwiseSurrogate, minimize

_MEMBERS = 8
_HIDDEN = 32


class DeepEnsembleSurrogate(PointwiseSurrogate):
    """The members' disagreement is epistemic, the variance they predict aleatoric."""

    def __init__(self, X: Tensor, Y: Tensor, *, columns: Sequence[int], seed: int) -> None:
        """Fit to the given columns of vectors X (N, ...) and scores Y (N,)."""
        super().__init__(Y, columns)
        X = X[:, self.columns]
        generator = torch.Generator().manual_seed(seed)
        sizes = (X.shape[1], _HIDDEN, _HIDDEN, 2)
        self.weights = nn.ParameterList(
            torch.randn(_MEMBERS, i, o, generator=generator, dtype=X.dtype) / math.sqrt(i)
            for i, o in itertools.pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(_MEMBERS, 1, o, dtype=X.dtype) for o in sizes[1:])
        minimize(self, lambda: self._loss(X), weight_decay=1e-2)
        self.requires_grad_(False)
        self.eval()

    def predict_standardized(self, X: Tensor) -> Moments:
        mean, variance = self._members(X)
        return Moments(mean.mean(0), (mean.var(0) + 1e-8).sqrt(), variance.mean(0).sqrt())

    def sampled_functions(self, X: Tensor) -> Tensor:
        """The members' means."""
        return self._members(X)[0]

    def _loss(self, X: Tensor) -> Tensor:
        mean, variance = self._members(X)
        return nn.functional.gaussian_nll_loss(mean, self.target.expand_as(mean), variance) * _MEMBERS

    def _members(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance, (E, N) each, at X (N, I)."""
        hidden = X.expand(_MEMBERS, -1, -1)
        for layer, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            hidden = torch.baddbmm(bias, hidden, weight)
            if layer < len(self.weights) - 1:
                hidden = nn.functional.silu(hidden)
        return hidden[..., 0], nn.functional.softplus(hidden[..., 1]) + 1e-3
