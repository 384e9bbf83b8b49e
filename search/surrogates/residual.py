"""A surrogate over a guess: it learns what is missing to a number that each candidate brings along.

Where a guess of the score is at hand for every candidate, such as what a child scores before it is trained, a model of
the difference needs few observations: with none nearby it falls back to the guess.
Shapes: X (batch..., q, K) vectors, K their size; moments (batch..., q).
"""

from typing import Any

from gpytorch.distributions import MultivariateNormal
from torch import Tensor

from .base import Moments, Surrogate


class ResidualSurrogate(Surrogate):
    """The guess in one column of a vector, plus a surrogate of the scores less their guesses.

    Args:
        of_residuals: fitted to the differences, in ``unit``.
        column: of the guess, in the unit of the scores.
        unit: a difference that is to be expected: how far a single observation leaves all others open.
    """

    def __init__(self, of_residuals: Surrogate, column: int, unit: float) -> None:
        super().__init__()
        self._of_residuals, self._column, self._unit = of_residuals, column, unit

    def predict_moments(self, X: Tensor) -> Moments:
        moments = Moments(*(self._unit * moment for moment in self._of_residuals.predict_moments(X)))
        return moments._replace(mean=moments.mean + X[..., self._column])

    def probability_below(self, X: Tensor, Y: Tensor) -> Tensor:
        return self._of_residuals.probability_below(X, (Y - X[..., self._column]) / self._unit)

    def joint(self, X: Tensor, *, observation_noise: bool = False) -> MultivariateNormal:
        normal = self._of_residuals.joint(X, observation_noise=observation_noise)
        mean = self._unit * normal.mean + X[..., self._column]
        return MultivariateNormal(mean, self._unit**2 * normal.covariance_matrix)

    def condition_on_observations(
        self, X: Tensor, Y: Tensor, noise: Tensor | None = None, **options: Any
    ) -> "ResidualSurrogate":
        noise = None if noise is None else noise / self._unit**2
        residuals = (Y - X[..., self._column]) / self._unit
        told = self._of_residuals.condition_on_observations(X, residuals, noise=noise, **options)
        return ResidualSurrogate(told, self._column, self._unit)
