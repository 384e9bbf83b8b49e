"""Architectures whose worth before any training is known: children of trained models that were screened.

What a child scores untrained is a guess of what it scores trained, which the surrogate corrects (``surrogates``). Of
architectures that were not screened the guess is predicted from those that were.
Shapes: N architectures, K columns, E exact objectives.
"""

from collections.abc import Collection, Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from design_space import ModelSpec

from ..objectives import Goals
from ..surrogates import Layout, single_thread
from ..surrogates.gaussian_process import GaussianProcessSurrogate
from .features import features, profiles
from .library_pool import Array, Candidates, Pool, Scaling, infeasible_message


class ScreenedPool(Pool):
    """The architectures that were screened, and no others.

    Args:
        guesses: what each scored before it was trained, in the unit of the search's scores.

    Raises:
        ValueError: where none of them keeps the exact limits.
    """

    def __init__(self, guesses: Mapping[ModelSpec, float], goals: Goals | None = None) -> None:
        self.goals = goals or Goals()
        specs = sorted(guesses, key=lambda spec: -guesses[spec])
        self._guesses = {spec.hash: guesses[spec] for spec in specs}
        numbers = _numbers(specs)
        self._scaling = Scaling(numbers)
        told = torch.tensor([guesses[spec] for spec in specs], dtype=torch.float64)
        self._mean, self._deviation = float(told.mean()), float(told.std(correction=0)) or 1.0
        scaled = torch.from_numpy(self._scaling(numbers))
        self._of_others = None
        if scaled.shape[1]:  # else all screened ones are alike
            with single_thread():
                self._of_others = GaussianProcessSurrogate(scaled, told, numbers=range(scaled.shape[1]))
        self.layout = Layout(0, scaled.shape[1] + 1, 0, len(self.goals.analytic), guess=1)
        self._members = Candidates(specs, self.vectors(specs))
        exact = self._members.vectors[:, self.layout.exact_columns].numpy()
        self._members = self.feasible(self._members)
        if not len(self._members):
            raise ValueError(infeasible_message(self.goals, exact, f"the {len(specs):,} screened architectures"))
        self.reference = self._members.vectors
        self._parameters = features(list(self._members.specs))[:, 0]

    def vectors(self, specs: Sequence[ModelSpec]) -> Tensor:
        scaled = torch.from_numpy(self._scaling(_numbers(specs)))
        guesses = torch.tensor([self._guesses.get(spec.hash, np.nan) for spec in specs], dtype=torch.float64)
        unknown = guesses.isnan()
        if unknown.any():
            with torch.no_grad():
                others = self._of_others and self._of_others.predict_moments(scaled[unknown]).mean
            guesses[unknown] = self._mean if others is None else others
        standardized = (guesses - self._mean) / self._deviation
        exact = torch.from_numpy(self.goals.columns(specs))
        return torch.cat([scaled, standardized[:, None], exact, guesses[:, None]], dim=1)

    def candidates(
        self, evaluated: Collection[str], incumbents: Sequence[ModelSpec], rng: np.random.Generator
    ) -> Candidates:
        places = self._available(evaluated)
        return Candidates([self._members.specs[place] for place in places], self._members.vectors[places])

    def largest(self, evaluated: Collection[str]) -> ModelSpec | None:
        places = self._available(evaluated)
        return self._members.specs[max(places, key=lambda place: self._parameters[place])] if places else None

    def sobol_candidate(self, number: int, seed: int, evaluated: Collection[str]) -> ModelSpec | None:
        """The best guess of those not evaluated: what was screened fills the space already."""
        places = self._available(evaluated)
        return self._members.specs[places[0]] if places else None

    def _available(self, evaluated: Collection[str]) -> list[int]:
        return [place for place, spec in enumerate(self._members.specs) if spec.hash not in set(evaluated)]


def _numbers(specs: Sequence[ModelSpec]) -> Array:
    return np.hstack([features(specs), profiles(specs)])
