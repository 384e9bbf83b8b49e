"""Hyperparameters of a Gaussian process, by maximum a posteriori with exact gradients.

The kernel is a Matérn 5/2 with a length scale per number, plus, where there are categories, an exponential of weighted
mismatches (the layer-wise kernel on the architecture itself). With a few hundred observations one fit takes tens of
milliseconds; the same through automatic differentiation takes seconds.
Priors: length scales as in BoTorch (Hvarfner, Hellsten and Nardi, ICML 2024), small noise, amplitudes around 1.
Letters: N observations, K numbers, C categories, P parameters; all parameters are logarithms.
"""

import math
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.linalg import cho_solve
from scipy.optimize import minimize

Array = npt.NDArray[np.float64]

JITTER = 1e-6
_SQRT5 = math.sqrt(5)
_SPREAD = math.sqrt(3)
_NOISE = (-4.0, 1.0)
_STEPS = 40


@dataclass(frozen=True)
class Hyperparameters:
    """``scales`` (K,) of the numbers, ``amplitude``, ``noise`` (variance), and, of the mismatches, ``weights`` (C,) and
    ``mismatch_amplitude``."""

    scales: Array
    amplitude: float
    noise: float
    mismatch_amplitude: float
    weights: Array

    @staticmethod
    def of_logs(logs: Array, num_numbers: int) -> "Hyperparameters":
        """From the vector (P,) that is optimised."""
        scales, rest = np.exp(logs[:num_numbers]), logs[num_numbers:]
        mismatch = math.exp(rest[2]) if len(rest) > 2 else 0.0
        return Hyperparameters(scales, math.exp(rest[0]), math.exp(rest[1]), mismatch, np.exp(-rest[3:]))


def fit_hyperparameters(numbers: Array, codes: Array, targets: Array, extra_noise: Array) -> Hyperparameters:
    """The most probable hyperparameters.

    Args:
        numbers: (N, K). codes: (N, C); C may be 0. targets: (N,), standardised.
        extra_noise: (N,) known variances of the observations, on top of the fitted one.
    """
    objective = _Objective(numbers, codes, targets, extra_noise)
    found = minimize(
        objective,
        objective.start,
        jac=True,
        method="L-BFGS-B",
        bounds=objective.bounds,
        options={"maxiter": _STEPS},
    )
    return Hyperparameters.of_logs(found.x, numbers.shape[1])


class _Objective:
    """Negative log posterior of the logarithms (P,), with its gradient."""

    def __init__(self, numbers: Array, codes: Array, targets: Array, extra_noise: Array) -> None:
        self.num, self.num_numbers, self.num_codes = *numbers.shape, codes.shape[1]
        self.targets, self.extra_noise = targets, extra_noise
        self.squares = _pairs((numbers[:, None] - numbers[None]) ** 2)
        self.mismatches = _pairs((codes[:, None] != codes[None]).astype(np.float64))
        K, C = self.num_numbers, self.num_codes
        scale = math.sqrt(2) + math.log(max(K, 1)) / 2
        self.prior_mean = np.array([*[scale] * K, 0.0, _NOISE[0], *([0.0] + [math.log(C)] * C if C else [])])
        self.prior_spread = np.array([*[_SPREAD] * K, 1.0, _NOISE[1], *([1.0] + [_SPREAD] * C if C else [])])
        self.start = self.prior_mean.copy()
        self.start[:K] -= 1.0
        self.start[K + 1] = -3.0
        self.bounds = [(-3.0, 8.0)] * K + [(-4.0, 3.0), (-9.0, 1.0)] + ([(-4.0, 3.0)] + [(-2.0, 8.0)] * C if C else [])

    def __call__(self, logs: Array) -> tuple[float, Array]:
        K, C, N = self.num_numbers, self.num_codes, self.num
        of = Hyperparameters.of_logs(logs, K)
        inverse_squares = of.scales**-2
        distance = np.sqrt(inverse_squares @ self.squares + 1e-12)
        decay = np.exp(-_SQRT5 * distance)
        matern = of.amplitude * (1 + _SQRT5 * distance + 5 / 3 * distance**2) * decay
        mismatch = of.mismatch_amplitude * np.exp(-(of.weights @ self.mismatches)) if C else np.zeros(N * N)
        covariance = (matern + mismatch).reshape(N, N) + np.diag(self.extra_noise + of.noise + JITTER)
        try:
            factor = np.linalg.cholesky(covariance)
        except np.linalg.LinAlgError:
            return 1e10, np.zeros_like(logs)
        inverse = cho_solve((factor, True), np.eye(N))
        weights = inverse.sum(1)
        residual = self.targets - weights @ self.targets / weights.sum()
        alpha = inverse @ residual
        value = 0.5 * residual @ alpha + np.log(np.diag(factor)).sum()
        outer = 0.5 * (inverse - np.outer(alpha, alpha))
        slope = outer.reshape(-1)
        gradient = np.empty_like(logs)
        gradient[:K] = self.squares @ (slope * of.amplitude * 5 / 3 * (1 + _SQRT5 * distance) * decay) * inverse_squares
        gradient[K] = slope @ matern
        gradient[K + 1] = of.noise * np.trace(outer)
        if C:
            gradient[K + 2] = slope @ mismatch
            gradient[K + 3 :] = self.mismatches @ (slope * mismatch) * of.weights
        away = (logs - self.prior_mean) / self.prior_spread
        return float(value + 0.5 * away @ away), gradient + away / self.prior_spread


def _pairs(differences: Array) -> Array:
    """(N, N, D) -> (D, N * N)."""
    return np.ascontiguousarray(np.moveaxis(differences, 2, 0)).reshape(differences.shape[2], len(differences) ** 2)
