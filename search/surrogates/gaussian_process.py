"""Gaussian processes as surrogates: a Matérn 5/2 kernel on numbers, and a kernel on the architecture's categories.

A score's noise is the square of its standard error, where that is known, and what is found (another seed's effect).

The kernel is a Matérn 5/2 with a length scale per number, plus, where there are categories, an exponential of weighted
mismatches (the layer-wise kernel on the architecture itself). Its hyperparameters are those of the maximum a
posteriori; gradients are PyTorch's.
Priors: length scales as in BoTorch (Hvarfner, Hellsten and Nardi, ICML 2024), small noise, amplitudes around 1.

Length scales are the mode of the density of their values, as BoTorch's. Those of ``smooth`` numbers are expected to be
e³ times longer, which is the mode of the density of their logarithms: for numbers about the origin, whose effect is
alike everywhere. With all numbers smooth, few observations of architectures rank the others as well or better, but are
too sure of it; by itself such a process never looks at what it calls impossible, so it is used in a mixture alone.

Letters: N observations, M points, K numbers, C categories, P hyperparameters.
"""

import copy
import math
from collections.abc import Iterable, Sequence
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from gpytorch.distributions import MultivariateNormal
from scipy.optimize import minimize
from torch import Tensor

from .base import Moments, Standardizer, Surrogate

MOST_FITTED = 256
"""Observations from which hyperparameters are found: their search grows with the cube. Predictions use all."""

_JITTER = 1e-6
_SQRT5 = math.sqrt(5)
_SPREAD = math.sqrt(3)
_NOISE = (-4.0, 1.0)
_STEPS = 40


class Hyperparameters(NamedTuple):
    """``scales`` (K,) of the numbers, ``amplitude``, ``noise`` (variance), and, of the mismatches, their
    ``mismatch_amplitude`` and ``weights`` (C,)."""

    scales: Tensor
    amplitude: Tensor
    noise: Tensor
    mismatch_amplitude: Tensor
    weights: Tensor

    @staticmethod
    def of_logs(logs: Tensor, num_numbers: int) -> "Hyperparameters":
        """From the vector of logarithms (P,) that is optimised."""
        rest = logs[num_numbers:]
        mismatch = rest[2].exp() if len(rest) > 2 else torch.zeros_like(rest[0])
        return Hyperparameters(logs[:num_numbers].exp(), rest[0].exp(), rest[1].exp(), mismatch, (-rest[3:]).exp())


class GaussianProcessSurrogate(Surrogate):
    """Fitted on construction; the epistemic deviation is the process's, the aleatoric one the noise of a score."""

    _X: Tensor
    _target: Tensor
    _known: Tensor
    _factor: Tensor
    _mean: Tensor
    _alpha: Tensor

    def __init__(
        self,
        X: Tensor,
        Y: Tensor,
        *,
        numbers: Sequence[int],
        codes: Sequence[int] = (),
        smooth: Sequence[int] = (),
        noise: Tensor | None = None,
    ) -> None:
        """Fit to vectors X (N, ...) and scores Y (N,).

        Args:
            numbers: columns under the Matérn kernel.
            codes: columns under the kernel of mismatches.
            smooth: those of ``numbers`` whose length scales are expected to be long.
            noise: known variances (N,) of the scores, 0 where one is not known: such a score is taken to be as noisy as
                the median of those known. To all of them comes one that is found.
        """
        super().__init__()
        self._numbers, self._codes = list(numbers), list(codes)
        self._standardizer = Standardizer(Y)
        target, known = self._standardizer.transform(Y), self._standardized(noise, Y)
        few = _spread(target, MOST_FITTED)
        X_few = X[few].detach()
        is_smooth = [number in set(smooth) for number in self._numbers]
        found = fit_hyperparameters(
            X_few[:, self._numbers], X_few[:, self._codes], target[few], is_smooth, _completed(known)[few]
        )
        for name, value in found._asdict().items():
            self.register_buffer(name, value)
        self._observe(X, target, known)

    @property
    def hyperparameters(self) -> Hyperparameters:
        """Those that were found."""
        return Hyperparameters(*(getattr(self, name) for name in Hyperparameters._fields))

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **_: Any
    ) -> "GaussianProcessSurrogate":
        other = copy.deepcopy(self)
        target = torch.cat([self._target, self._standardizer.transform(Y)])
        known = torch.cat([self._known, self._standardized(noise, Y)])
        other._observe(torch.cat([self._X, X]), target, known)
        return other

    def _standardized(self, noise: Tensor | None, Y: Tensor) -> Tensor:
        """Known variances (N,) of scores (N,), of the standardised ones; none is known without ``noise``."""
        return torch.zeros_like(Y) if noise is None else noise / self._standardizer.scale.square()

    def _observe(self, X: Tensor, target: Tensor, known: Tensor) -> None:
        """Take up all observations: vectors (N, K), standardised scores (N,), and what is known of their noise (N,)."""
        noise = self.hyperparameters.noise + _JITTER + _completed(known)
        factor = torch.linalg.cholesky(self._kernel(X, X) + noise.diag())
        inverse = torch.cholesky_inverse(factor)
        mean = _weighted_mean(inverse, target)
        observed = {"_X": X, "_target": target, "_known": known, "_factor": factor, "_mean": mean}
        for name, value in (observed | {"_alpha": inverse @ (target - mean)}).items():
            self.register_buffer(name, value)

    def predict_moments(self, X: Tensor) -> Moments:
        shape, flat = X.shape[:-1], X.reshape(-1, X.shape[-1])
        cross = self._kernel(flat, self._X)
        mean = self._mean + cross @ self._alpha
        reduced = torch.linalg.solve_triangular(self._factor, cross.mT, upper=False)
        amplitude = self.hyperparameters.amplitude + self.hyperparameters.mismatch_amplitude
        variance = (amplitude - reduced.square().sum(0)).clamp_min(1e-10)
        noise = self._expected_noise.sqrt().expand_as(mean)
        return self._standardizer.untransform(
            Moments(mean.reshape(shape), variance.sqrt().reshape(shape), noise.reshape(shape))
        )

    def joint(self, X: Tensor, *, observation_noise: bool = False) -> MultivariateNormal:
        """By the process's own covariance."""
        cross = self._kernel(X, self._X)
        reduced = torch.linalg.solve_triangular(self._factor, cross.mT, upper=False)
        noise = 1e-8 + (self._expected_noise if observation_noise else 0.0)
        covariance = self._kernel(X, X) - reduced.mT @ reduced + noise * torch.eye(X.shape[-2]).to(X)
        mean, scale = self._mean + cross @ self._alpha, self._standardizer.scale
        return MultivariateNormal(mean * scale + self._standardizer.mean, covariance * scale.square())

    @property
    def _expected_noise(self) -> Tensor:
        """Of a score that is still to be measured."""
        return self.hyperparameters.noise + _median_known(self._known)

    def _kernel(self, A: Tensor, B: Tensor) -> Tensor:
        """(..., M, N) between the rows of vectors A and of B."""
        of = self.hyperparameters
        mismatches = zip(of.weights, _mismatches(A[..., self._codes], B[..., self._codes]), strict=True)
        weighted = sum((weight * differs for weight, differs in mismatches), torch.zeros_like(of.noise))
        return kernel(of, A[..., self._numbers], B[..., self._numbers], weighted)


def kernel(of: Hyperparameters, a: Tensor, b: Tensor, mismatch: Tensor) -> Tensor:
    """The prior covariance (..., M, N) between the rows of a (..., M, K) and of b (..., N, K).

    Args:
        mismatch: (..., M, N), by how much of their categories the rows differ: the sum of their weights.
    """
    a, b = a / of.scales, b / of.scales
    squares = a.square().sum(-1)[..., :, None] + b.square().sum(-1)[..., None, :] - 2 * a @ b.mT
    distance = squares.clamp_min(1e-12).sqrt()
    covariance = of.amplitude * (1 + _SQRT5 * distance + 5 / 3 * squares) * torch.exp(-_SQRT5 * distance)
    if len(of.weights):
        covariance = covariance + of.mismatch_amplitude * torch.exp(-mismatch)
    return covariance


def fit_hyperparameters(
    numbers: Tensor, codes: Tensor, targets: Tensor, is_smooth: Sequence[bool], known_noise: Tensor
) -> Hyperparameters:
    """The most probable hyperparameters.

    Args:
        numbers: (N, K). codes: (N, C); C may be 0. targets: (N,), standardised.
        is_smooth: of each number, whether its length scale is expected to be long.
        known_noise: (N,) variances, to which the one that is found is added.
    """
    K, C = numbers.shape[1], codes.shape[1]
    scale = math.sqrt(2) + math.log(max(K, 1)) / 2
    prior_mean = torch.tensor([*[scale] * K, 0.0, _NOISE[0], *([0.0] + [math.log(C)] * C if C else [])]).to(numbers)
    prior_spread = torch.tensor([*[_SPREAD] * K, 1.0, _NOISE[1], *([1.0] + [_SPREAD] * C if C else [])]).to(numbers)
    of_values = torch.tensor([*(not one for one in is_smooth), 0, 0, *([0] + [1] * C if C else [])]).to(numbers)
    start = prior_mean.clone()
    start[:K] -= 1.0
    start[K + 1] = -3.0
    bounds = [(-3.0, 8.0)] * K + [(-4.0, 3.0), (-9.0, 1.0)] + ([(-4.0, 3.0)] + [(-2.0, 8.0)] * C if C else [])
    mismatches = (codes.mT[:, :, None] != codes.mT[:, None, :]).to(numbers)

    def loss_and_gradient(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
        """Negative log posterior, up to a constant."""
        logs = torch.from_numpy(values).requires_grad_()
        of = Hyperparameters.of_logs(logs, K)
        mismatch = torch.tensordot(of.weights, mismatches, 1)
        covariance = kernel(of, numbers, numbers, mismatch) + (of.noise + _JITTER + known_noise).diag()
        factor, failed = torch.linalg.cholesky_ex(covariance)
        if failed:
            return 1e10, np.zeros_like(values)
        inverse = torch.cholesky_inverse(factor)
        residual = targets - _weighted_mean(inverse, targets)
        loss = 0.5 * residual @ inverse @ residual + factor.diagonal().log().sum()
        loss = loss + 0.5 * ((logs - prior_mean) / prior_spread).square().sum() + of_values @ logs
        (gradient,) = torch.autograd.grad(loss, logs)
        return loss.item(), gradient.numpy()

    with torch.enable_grad():
        found = minimize(
            loss_and_gradient, start.numpy(), jac=True, method="L-BFGS-B", bounds=bounds, options={"maxiter": _STEPS}
        )
    return Hyperparameters.of_logs(torch.from_numpy(found.x), K)


def _mismatches(a: Tensor, b: Tensor) -> Iterable[Tensor]:
    """For each category, whether the rows of a (..., M, C) and of b (..., N, C) differ in it: (..., M, N)."""
    return (x[..., :, None] != y[..., None, :] for x, y in zip(a.unbind(-1), b.unbind(-1), strict=True))


def _weighted_mean(inverse: Tensor, target: Tensor) -> Tensor:
    """The most likely constant mean of targets (N,), by their inverse covariance (N, N)."""
    weights = inverse.sum(1)
    return weights @ target / weights.sum()


def _completed(known: Tensor) -> Tensor:
    """Variances (N,), those not known (0) as the median of those that are."""
    return torch.where(known > 0, known, _median_known(known))


def _median_known(known: Tensor) -> Tensor:
    """The median of the variances (N,) that are known; 0 where none is."""
    return known[known > 0].median() if (known > 0).any() else torch.zeros_like(known[0])


def _spread(target: Tensor, most: int) -> Tensor:
    """Indices of all targets (N,) or, of more than ``most``, of as many that are spread evenly by rank, both ends
    among them; in their order."""
    if len(target) <= most:
        return torch.arange(len(target))
    ranks = torch.linspace(0, len(target) - 1, most).round().long()
    return target.argsort(stable=True)[ranks].sort().values
