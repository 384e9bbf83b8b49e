"""What is believed about candidates: surrogates of what is measured and in training, and how good each seems.

A candidate's vector is that of its architecture (``library_pool.py``), and numbers about its origin (``origins.py``).
Shapes: N candidates, K columns of their vectors.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from design_space import ModelSpec

from ..acquisition.constrained_multi_objective import Steering, cost_models
from ..acquisition.single_objective import log_cost, log_expected_improvement, upper_confidence
from ..candidate import Candidate
from ..objectives import SCORE, Goals
from ..pools.library_pool import Pool
from ..surrogates import Surrogate, fit_surrogate, single_thread
from .observations import Observations
from .origins import Origins
from .settings import BOSHNASSettings

LANDSCAPE_SAMPLE = 256
"""Vectors on which the surrogate learns uncertainty, beside the observed ones."""


class Beliefs:
    """Fitted when they are asked for, and anew after ``forget``.

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
        self.forget(observed=True)

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_surrogate": None, "_believing": None, "_steering": None}

    def forget(self, *, observed: bool) -> None:
        """Something is in training that was not, or no more; ``observed``: something was measured."""
        self._believing: Surrogate | None = None
        self._steering: Steering | None = None
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
        """The surrogate of what is measured."""
        if self._surrogate is None:
            self._surrogate = self._fit(*self.measured())
        return self._surrogate

    def expecting(self) -> Surrogate:
        """The surrogate with the candidates in training too, as if they would score what is predicted."""
        if not self.pending:
            return self.fitted()
        if self._believing is None:
            waiting = self.vectors(list(self.pending.values()))
            with torch.no_grad(), single_thread():
                believed = self.fitted().moments(waiting).mean
                self._believing = self.fitted().given(waiting, believed)
            if self._believing is None:
                X, Y = self.measured()
                self._believing = self._fit(torch.cat([X, waiting]), torch.cat([Y, believed]))
        return self._believing

    def measured(self) -> tuple[Tensor, Tensor]:
        """Vectors (N, K) and scores (N,), one row per measurement."""
        candidates, scores = self.observed.chosen(self._settings.num_fitted)
        return self.vectors(candidates), torch.tensor(scores, dtype=torch.float64)

    @property
    def is_priced(self) -> bool:
        """Whether seconds of training count, and are known of something."""
        return self._settings.cost_aware and bool(self.observed.costs)

    def promise(self, X: Tensor, *, refine: bool, per_second: bool = False) -> Tensor:
        """(N,) the acquisition at X (N, K).

        Args:
            refine: aleatoric uncertainty counts.
            per_second: where ``is_priced``, the logarithm of expected improvement by predicted second of training.
        """
        priced = per_second and self.is_priced
        expected = priced or self._settings.acquisition == "log_ei"
        model = self.expecting()
        if not self._goals.is_plain:
            value = self._steered(refine).value(X, expected=expected)
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

    def _steered(self, refine: bool) -> Steering:
        """The acquisition of several objectives, or under limits."""
        if self._steering is None:
            known = self.observed.values(self._goals)
            seen = self.vectors([self.observed.candidate(graph_hash) for graph_hash in known])
            waiting = self.vectors(list(self.pending.values())) if self.pending else seen[:0]
            self._steering = Steering(
                self._goals,
                self._pool.layout,
                self.expecting(),
                cost_models(self._goals, seen, list(known.values()), self._pool.layout),
                torch.cat([seen, waiting]),
                torch.tensor([values[SCORE] for values in known.values()], dtype=torch.float64),
                self._pool.worst(),
                confidence=self._settings.confidence,
                aleatoric=refine,
            )
        return self._steering

    def _fit(self, X: Tensor, Y: Tensor) -> Surrogate:
        reference = self._pool.reference
        sample = np.random.default_rng(self._seed).permutation(len(reference))[:LANDSCAPE_SAMPLE]
        return fit_surrogate(
            self._settings.surrogate,
            X,
            Y,
            unlabelled=self.from_scratch(reference[sample]),
            seed=self._seed,
            layout=self._layout,
        )
