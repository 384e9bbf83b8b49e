"""Gaussian processes as surrogates: a Matérn 5/2 kernel on numbers, and a kernel on the architecture's categories.

Letters: N observations, M points, K numbers, C categories.
"""

import copy
import math
from collections.abc import Sequence

import torch
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from torch import Tensor

from .base import Moments, Standardizer, Surrogate
from .marginal_likelihood import JITTER, Hyperparameters, fit_hyperparameters

MOST_FITTED = 256
"""Observations from which hyperparameters are found: their search grows with the cube. Predictions use all."""

_SQRT5 = math.sqrt(5)


class GaussianProcessSurrogate(Surrogate):
    """Fitted on construction; the epistemic deviation is the process's, the aleatoric one its fitted noise.

    Attributes:
        log_likelihood: of each observation given all others (leave-one-out), summed; scores standardised.
    """

    def __init__(
        self,
        X: Tensor,
        Y: Tensor,
        *,
        numbers: Sequence[int],
        codes: Sequence[int] = (),
        Yvar: Tensor | None = None,
    ) -> None:
        """Fit to vectors X (N, ...) and scores Y (N,).

        Args:
            numbers: columns under the Matérn kernel.
            codes: columns under the kernel of mismatches.
            Yvar: (N,) known variances of the scores, where they are; the fitted noise comes on top.
        """
        super().__init__()
        self._numbers, self._codes = list(numbers), list(codes)
        self._standardizer = Standardizer(Y)
        target = self._standardizer.forward(Y)
        extra = torch.zeros_like(Y) if Yvar is None else Yvar / self._standardizer.scale.square()
        few = _spread(target, MOST_FITTED)
        arrays = (part[few].detach().cpu().numpy() for part in (X[:, self._numbers], X[:, self._codes], target, extra))
        self.hyperparameters: Hyperparameters = fit_hyperparameters(*arrays)
        self._observe(X, target, extra)

    def given(self, X: Tensor, Y: Tensor) -> "GaussianProcessSurrogate":
        other = copy.copy(self)
        target = torch.cat([self._target, self._standardizer.forward(Y)])
        other._observe(torch.cat([self._X, X]), target, torch.cat([self._extra, torch.zeros_like(Y)]))
        return other

    def _observe(self, X: Tensor, target: Tensor, extra: Tensor) -> None:
        """Take up all observations: vectors (N, K), standardised scores (N,) and their known variances (N,)."""
        self._X, self._target, self._extra = X, target, extra
        noise = extra + self.hyperparameters.noise + JITTER
        self._factor = torch.linalg.cholesky(self._kernel(X, X) + torch.diag(noise))
        inverse = torch.cholesky_inverse(self._factor)
        weights = inverse.sum(1)
        self._mean = weights @ target / weights.sum()
        self._alpha = inverse @ (target - self._mean)
        precision = inverse.diagonal()
        self.log_likelihood = float(
            (0.5 * (precision / (2 * math.pi)).log() - 0.5 * self._alpha.square() / precision).sum()
        )

    def moments(self, X: Tensor) -> Moments:
        shape, flat = X.shape[:-1], X.reshape(-1, X.shape[-1])
        cross = self._kernel(flat, self._X)
        mean = self._mean + cross @ self._alpha
        reduced = torch.linalg.solve_triangular(self._factor, cross.mT, upper=False)
        variance = (self._amplitude - reduced.square().sum(0)).clamp_min(1e-10)
        noise = torch.full_like(mean, math.sqrt(self.hyperparameters.noise))
        return self._standardizer.back(
            Moments(mean.reshape(shape), variance.sqrt().reshape(shape), noise.reshape(shape))
        )

    def posterior(self, X: Tensor, observation_noise: bool = False, **_: object) -> GPyTorchPosterior:
        """Joint normal posterior over the ``q`` points of each batch."""
        mean, covariance = self.joint(X)
        if observation_noise:
            noise = self.hyperparameters.noise * self._standardizer.scale.square()
            covariance = covariance + noise * torch.eye(covariance.shape[-1]).to(covariance)
        return GPyTorchPosterior(MultivariateNormal(mean, covariance))

    def joint(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Mean (batch..., q) and covariance (batch..., q, q), in the unit of the scores."""
        cross = self._kernel(X, self._X)
        reduced = torch.linalg.solve_triangular(self._factor, cross.mT, upper=False)
        covariance = self._kernel(X, X) - reduced.mT @ reduced
        covariance = covariance + 1e-8 * torch.eye(X.shape[-2]).to(X)
        scale = self._standardizer.scale
        return (self._mean + cross @ self._alpha) * scale + self._standardizer.mean, covariance * scale.square()

    @property
    def _amplitude(self) -> float:
        return self.hyperparameters.amplitude + self.hyperparameters.mismatch_amplitude

    def _kernel(self, A: Tensor, B: Tensor) -> Tensor:
        """(..., M, N) between the rows of A and of B."""
        of = self.hyperparameters
        scales = torch.from_numpy(of.scales).to(A)
        a, b = A[..., self._numbers] / scales, B[..., self._numbers] / scales
        squares = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :] - 2 * a @ b.mT
        distance = squares.clamp_min(1e-12).sqrt()
        covariance = of.amplitude * (1 + _SQRT5 * distance + 5 / 3 * squares) * torch.exp(-_SQRT5 * distance)
        if self._codes:
            mismatch = sum(
                weight * (A[..., :, None, column] != B[..., None, :, column])
                for weight, column in zip(of.weights.tolist(), self._codes, strict=True)
                if weight > 1e-4
            )
            covariance = covariance + of.mismatch_amplitude * torch.exp(-torch.as_tensor(mismatch).to(A))
        return covariance


def _spread(target: Tensor, most: int) -> Tensor:
    """Indices of all targets (N,) or, of more than ``most``, of as many that are spread evenly by rank, both ends
    among them; in their order."""
    if len(target) <= most:
        return torch.arange(len(target))
    ranks = torch.linspace(0, len(target) - 1, most).round().long()
    return target.argsort(stable=True)[ranks].sort().values
