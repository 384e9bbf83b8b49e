"""A Gaussian process over architecture, training and fidelity: what a training will end at, by its epochs and others'.

Fidelity is the share of a training that is done. The covariance of two scores is

    k(x, x') (1 + b e e') + c m(f, f') + t [same training],        e = 1 - f

with the architecture's kernel k of the product's surrogates, once more for what early scores have of their own (the
linear truncated kernel of Wu et al. 2019, of degree 0), a Matérn 5/2 kernel m for the curve that all trainings share,
and what a training keeps from epoch to epoch beside its architecture (freeze and thaw; Swersky et al. 2014).
Letters: N observations, M points, K numbers, C categories.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from scipy.optimize import minimize
from torch import Tensor

from search.surrogates import Layout
from search.surrogates.gaussian_process import Hyperparameters, kernel

MOST_FITTED = 110
"""Scores from which hyperparameters are found: the last of each training first."""

_STEPS = 25
_JITTER = 1e-6
_OF_FIDELITY = torch.tensor([0.0, 0.5, math.log(0.5), -2.0], dtype=torch.float64)
"""Prior means of the logarithms of b, c, the length scale of m, and t."""

_SPREAD_OF_FIDELITY = torch.tensor([1.0, 1.5, 0.5, 1.5], dtype=torch.float64)
_BOUNDS_OF_FIDELITY = [(-4.0, 3.0), (-4.0, 4.0), (-2.5, 1.5), (-8.0, 2.0)]


class Scores(NamedTuple):
    """Vectors (N, ...) of architectures, fidelities (N,), scores (N,), and which training each is of (N,)."""

    X: Tensor
    fidelity: Tensor
    score: Tensor
    training: Tensor


class Found(NamedTuple):
    """Hyperparameters of the architecture's kernel, and the logarithms (4,) of those of fidelity."""

    of: Hyperparameters
    logs: Tensor


class FidelityProcess:
    """One process, fitted to ``scores``, or with hyperparameters that were ``found`` before.

    Args:
        numbers: columns under the Matérn kernel. codes: under the kernel of mismatches. smooth: those of ``numbers``
            whose length scales are expected to be long.
    """

    def __init__(
        self,
        scores: Scores,
        *,
        numbers: Sequence[int],
        codes: Sequence[int] = (),
        smooth: Sequence[int] = (),
        found: Found | None = None,
    ) -> None:
        self._numbers, self._codes, self._scores = list(numbers), list(codes), scores
        ended = scores.score[scores.fidelity == 1]
        self._mean = (ended if len(ended) else scores.score).mean()
        within = [scores.score[scores.fidelity == one] for one in scores.fidelity.unique()]
        self._scale = torch.cat([one - one.mean() for one in within]).std(correction=0).clamp_min(1e-6)
        target = (scores.score - self._mean) / self._scale
        self.found = found or self._fit(_few(scores), smooth)
        noise = (self.found.of.noise + _JITTER) * torch.eye(len(target), dtype=torch.float64)
        self._factor = torch.linalg.cholesky(self._covariance(self.found, scores, scores) + noise)
        inverse = torch.cholesky_inverse(self._factor)
        self._level = _level(inverse, target)
        self._alpha = inverse @ (target - self._level)

    def at_end(self, X: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation (M,) of the score at the end of trainings (M,), less the noise of measuring."""
        ends = Scores(X, torch.ones(len(X), dtype=torch.float64), torch.zeros(len(X)), training)
        cross = self._covariance(self.found, ends, self._scores)
        reduced = torch.linalg.solve_triangular(self._factor, cross.mT, upper=False)
        of, logs = self.found
        own = of.amplitude + of.mismatch_amplitude + logs[1].exp() + logs[3].exp()
        variance = (own - reduced.square().sum(0)).clamp_min(1e-10)
        return (self._level + cross @ self._alpha) * self._scale + self._mean, variance.sqrt() * self._scale

    @property
    def noise(self) -> Tensor:
        """Standard deviation of measuring a score."""
        return self.found.of.noise.sqrt() * self._scale

    def _covariance(self, found: Found, a: Scores, b: Scores, differs: Tensor | None = None) -> Tensor:
        """(N, M) between scores."""
        of, (early, shared, length, kept) = found.of, found.logs.exp()
        if differs is None:
            differs = _mismatches(a.X[:, self._codes], b.X[:, self._codes])
        base = kernel(of, a.X[:, self._numbers], b.X[:, self._numbers], torch.einsum("cnm,c->nm", differs, of.weights))
        distance = (a.fidelity[:, None] - b.fidelity[None]).abs() * math.sqrt(5) / length
        matern = (1 + distance + distance.square() / 3) * torch.exp(-distance)
        own = 1 + early * (1 - a.fidelity)[:, None] * (1 - b.fidelity)[None]
        return base * own + shared * matern + kept * (a.training[:, None] == b.training[None])

    def _fit(self, scores: Scores, smooth: Sequence[int]) -> Found:
        """The most probable hyperparameters, with the priors of the product's Gaussian processes."""
        K, C = len(self._numbers), len(self._codes)
        target = (scores.score - self._mean) / self._scale
        scale = math.sqrt(2) + math.log(max(K, 1)) / 2
        of_codes = [0.0] + [math.log(C)] * C if C else []
        mean = torch.tensor([*[scale] * K, 0.0, -4.0, *of_codes], dtype=torch.float64)
        spread = torch.tensor([*[math.sqrt(3)] * K, 1.0, 1.0, *([1.0] + [math.sqrt(3)] * C if C else [])])
        of_values = torch.tensor(
            [*(float(one not in smooth) for one in self._numbers), 0, 0, *([0] + [1] * C)[: len(of_codes)]]
        )
        start = torch.cat([mean - torch.tensor([1.0] * K + [0.0, -1.0] + [0.0] * len(of_codes)), _OF_FIDELITY])
        mean, spread = torch.cat([mean, _OF_FIDELITY]), torch.cat([spread.double(), _SPREAD_OF_FIDELITY])
        bounds = [(-3.0, 8.0)] * K + [(-4.0, 3.0), (-9.0, 1.0)] + ([(-4.0, 3.0)] + [(-2.0, 8.0)] * C if C else [])
        codes = scores.X[:, self._codes]
        differs = _mismatches(codes, codes)

        def found(logs: Tensor) -> Found:
            return Found(Hyperparameters.of_logs(logs[:-4], K), logs[-4:])

        def loss_and_gradient(values: npt.NDArray[np.float64]) -> tuple[float, npt.NDArray[np.float64]]:
            """Negative log posterior, up to a constant."""
            logs = torch.from_numpy(values).requires_grad_()
            one = found(logs)
            noise = (one.of.noise + _JITTER) * torch.eye(len(target), dtype=torch.float64)
            factor, failed = torch.linalg.cholesky_ex(self._covariance(one, scores, scores, differs) + noise)
            if failed:
                return 1e10, np.zeros_like(values)
            inverse = torch.cholesky_inverse(factor)
            residual = target - _level(inverse, target)
            loss = 0.5 * residual @ inverse @ residual + factor.diagonal().log().sum()
            loss = loss + 0.5 * ((logs - mean) / spread).square().sum() + of_values.double() @ logs[:-4]
            (gradient,) = torch.autograd.grad(loss, logs)
            return loss.item(), gradient.numpy()

        with torch.enable_grad():
            best = minimize(
                loss_and_gradient,
                start.numpy(),
                jac=True,
                method="L-BFGS-B",
                bounds=[*bounds, *_BOUNDS_OF_FIDELITY],
                options={"maxiter": _STEPS},
            )
        return found(torch.from_numpy(best.x))


class FidelityMixture:
    """Two such processes in equal parts, as the product's ``mixture``."""

    def __init__(self, scores: Scores, layout: Layout, found: Sequence[Found | None] = (None, None)) -> None:
        numbers = layout.feature_columns
        self._members = [
            FidelityProcess(scores, numbers=numbers, smooth=numbers, found=found[0]),
            FidelityProcess(scores, numbers=numbers, codes=layout.code_columns, found=found[1]),
        ]

    @property
    def found(self) -> list[Found]:
        """The hyperparameters of both."""
        return [member.found for member in self._members]

    def at_end(self, X: Tensor, training: Tensor) -> tuple[Tensor, Tensor]:
        """As of one process; the deviation holds what they differ in."""
        means, deviations = map(torch.stack, zip(*(one.at_end(X, training) for one in self._members), strict=True))
        average = means.mean(0)
        return average, (deviations.square() + (means - average).square()).mean(0).sqrt()

    @property
    def noise(self) -> Tensor:
        """Standard deviation of measuring a score."""
        return torch.stack([member.noise for member in self._members]).square().mean().sqrt()


def _few(scores: Scores) -> Scores:
    """At most ``MOST_FITTED``, the last of each training first."""
    if len(scores.score) <= MOST_FITTED:
        return scores
    last = {training: place for place, training in enumerate(scores.training.tolist())}
    others = np.random.default_rng(0).permutation(sorted(set(range(len(scores.score))) - set(last.values())))
    kept = torch.tensor(sorted([*last.values(), *others.tolist()][:MOST_FITTED]))
    return Scores(*(part[kept] for part in scores))


def _mismatches(a: Tensor, b: Tensor) -> Tensor:
    """(C, N, M), 1 where categories differ."""
    return (a.mT[:, :, None] != b.mT[:, None, :]).double()


def _level(inverse: Tensor, target: Tensor) -> Tensor:
    weights = inverse.sum(1)
    return weights @ target / weights.sum()
