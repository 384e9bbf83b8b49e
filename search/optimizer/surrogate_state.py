"""The surrogates of a search: of what is measured, of what is in training too, and how good each candidate seems.

A candidate's vector is that of its architecture (``library_pool.py``), and numbers about its origin (``origins.py``).
Shapes: N candidates, K columns of their vectors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from design_space import ModelSpec

from ..acquisition.constrained_multi_objective import MultiObjectiveAcquisition, cost_models
from ..acquisition.single_objective import log_cost, log_expected_improvement, upper_confidence
from ..candidate import Candidate
from ..objectives import SCORE, Goals
from ..pools.library_pool import Pool
from ..surrogates import Surrogate, fit_surrogate, single_thread
from ..surrogates.residual import ResidualSurrogate
from .observations import Observations
from .origins import Origins
from .settings import BOSHNASSettings

LANDSCAPE_SAMPLE = 256
"""Vectors on which the surrogate learns uncertainty, beside the observed ones."""

_GROWTH = 1.2
"""By how much the observations grow until hyperparameters are found anew; between, they are kept."""

_EXPECTED_RESIDUAL = 0.25
"""Deviation of what is missing to guesses, as a share of that of the guesses, before it is known."""


class SurrogateState:
    """Surrogates of one search, fitted when they are asked for, and anew after ``invalidate``.

    Attributes:
        observed: what is measured.
        pending: candidates in training, by hash.
    """

    def __init__(self, settings: BOSHNASSettings, goals: Goals, pool: Pool, origins: Origins, seed: int) -> None:
        self.observed = Observations()
        self.pending: dict[str, Candidate] = {}
        self._settings, self._goals, self._pool, self._origins, self._seed = settings, goals, pool, origins, seed
        self._layout = pool.layout._replace(origin=origins.num_columns)
        self._known: dict[str, Tensor] = {}
        self._of_first: tuple[tuple[Tensor, Tensor, Tensor], Surrogate] | None = None
        self.invalidate(observed=True)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | dict.fromkeys(("_surrogate", "_of_first", "_fantasy_surrogate", "_multi_objective"))

    def invalidate(self, *, observed: bool) -> None:
        """Something is in training that was not, or no more; ``observed``: something was measured."""
        self._fantasy_surrogate: Surrogate | None = None
        self._multi_objective: MultiObjectiveAcquisition | None = None
        if observed:
            self._surrogate: Surrogate | None = None

    def vectors(self, candidates: Sequence[Candidate]) -> Tensor:
        """(N, K)."""
        specs = self.of_specs([candidate.spec for candidate in candidates])
        return torch.cat([specs, self._origins.columns(candidates, self.observed)], dim=1)

    def from_scratch(self, of_specs: Tensor) -> Tensor:
        """Vectors (N, K), of those of architectures alone."""
        return torch.nn.functional.pad(of_specs, (0, self._origins.num_columns))

    def of_specs(self, specs: Sequence[ModelSpec]) -> Tensor:
        """(N, K less the origin's) of architectures that are asked for again and again."""
        new = list({spec.hash: spec for spec in specs if spec.hash not in self._known}.values())
        if new:
            self._known |= zip((spec.hash for spec in new), self._pool.vectors(new), strict=True)
        return torch.stack([self._known[spec.hash] for spec in specs])

    def fitted(self) -> Surrogate:
        """The surrogate of what is measured: fitted to the first of it, where it can be told the rest."""
        if self._surrogate is None:
            X, Y, noise = self.training_data()
            first = _num_fitted(len(Y))
            before = self._of_first
            data = X[:first], Y[:first], noise[:first]
            if before is None or not all(map(torch.equal, data, before[0])):
                before = self._of_first = data, self._fit(*data)
            self._surrogate = before[1]
            if first < len(Y):
                try:
                    with torch.no_grad(), single_thread():
                        self._surrogate = before[1].condition_on_observations(X[first:], Y[first:], noise=noise[first:])
                except NotImplementedError:
                    self._surrogate = self._fit(X, Y, noise)
        return self._surrogate

    def with_fantasies(self) -> Surrogate:
        """The surrogate with the candidates in training too, as if they would score what is predicted."""
        if not self.pending:
            return self.fitted()
        if self._fantasy_surrogate is None:
            waiting = self.vectors(list(self.pending.values()))
            with torch.no_grad(), single_thread():
                fantasies = self.fitted().predict_moments(waiting).mean
                try:
                    self._fantasy_surrogate = self.fitted().condition_on_observations(waiting, fantasies)
                except NotImplementedError:
                    X, Y, noise = self.training_data()
                    self._fantasy_surrogate = self._fit(
                        torch.cat([X, waiting]),
                        torch.cat([Y, fantasies]),
                        torch.cat([noise, torch.zeros(len(waiting)).to(noise)]),
                    )
        return self._fantasy_surrogate

    def training_data(self) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (N, K), scores (N,) and their known variances (N,), 0 where none is or none counts, one row per
        measurement."""
        candidates, scores, errors = zip(*self.observed.chosen(self._settings.num_fitted), strict=True)
        numbers = torch.tensor([scores, errors], dtype=torch.float64)
        return self.vectors(candidates), numbers[0], numbers[1].square() * self._settings.known_noise

    @property
    def is_cost_aware(self) -> bool:
        """Whether seconds of training count, and are known of something."""
        return self._settings.cost_aware and bool(self.observed.costs)

    def acquisition_value(self, X: Tensor, *, refine: bool, per_second: bool = False) -> Tensor:
        """(N,) the acquisition at X (N, K).

        Args:
            refine: aleatoric uncertainty counts.
            per_second: where ``is_cost_aware``, the logarithm of expected improvement by predicted second of training.
        """
        priced = per_second and self.is_cost_aware
        expected = priced or self._settings.acquisition == "log_ei"
        model = self.with_fantasies()
        if not self._goals.is_single_unconstrained:
            value = self._multi_objective_acquisition(refine).value(X, expected=expected)
        elif expected:
            best = max(self.observed.mean(graph_hash) for graph_hash in self.observed.scores)
            value = log_expected_improvement(model, X, best=best)
        else:
            value = upper_confidence(model, X, confidence=self._settings.confidence, aleatoric=refine)
        if not priced:
            return value
        costs = self.observed.costs
        trained = self.vectors([self.observed.candidate(graph_hash) for graph_hash in costs])
        return value - log_cost(trained, torch.tensor(list(costs.values()), dtype=torch.float64), self._layout, X)

    def _multi_objective_acquisition(self, refine: bool) -> MultiObjectiveAcquisition:
        """The acquisition of several objectives, or under limits."""
        if self._multi_objective is None:
            known = self.observed.values(self._goals)
            seen = self.vectors([self.observed.candidate(graph_hash) for graph_hash in known])
            waiting = self.vectors(list(self.pending.values())) if self.pending else seen[:0]
            self._multi_objective = MultiObjectiveAcquisition(
                self._goals,
                self._pool.layout,
                self.with_fantasies(),
                cost_models(self._goals, seen, list(known.values()), self._pool.layout),
                torch.cat([seen, waiting]),
                torch.tensor([values[SCORE] for values in known.values()], dtype=torch.float64),
                self._pool.upper_bounds(),
                confidence=self._settings.confidence,
                aleatoric=refine,
            )
        return self._multi_objective

    def _fit(self, X: Tensor, Y: Tensor, noise: Tensor) -> Surrogate:
        """Of the scores, or, where a guess of each is at hand, of what is missing to it."""
        if not self._layout.guess_columns:
            return self._fit_to(X, Y, noise)
        [column] = self._layout.guess_columns
        unit = _EXPECTED_RESIDUAL * float(self._pool.reference[:, column].std(correction=0)) or 1.0
        return ResidualSurrogate(self._fit_to(X, (Y - X[:, column]) / unit, noise / unit**2), column, unit)

    def _fit_to(self, X: Tensor, Y: Tensor, noise: Tensor) -> Surrogate:
        reference = self._pool.reference
        sample = np.random.default_rng(self._seed).permutation(len(reference))[:LANDSCAPE_SAMPLE]
        return fit_surrogate(
            self._settings.surrogate,
            X,
            Y,
            unlabelled=self.from_scratch(reference[sample]),
            seed=self._seed,
            layout=self._layout,
            noise=noise,
        )


def _num_fitted(num_observed: int) -> int:
    """Of how many observations hyperparameters are: all of few, and of more, the last number at which they had grown by
    a fifth. It depends on the number alone, so that a search that is resumed goes on alike."""
    count = 1
    while (more := max(count + 1, int(_GROWTH * count))) <= num_observed:
        count = more
    return count
