"""Candidates from a space too large to list: Sobol points, and mutations of the best.

Vectors have no embedding: an edit distance to every landmark, for every candidate, takes too long. Shapes: N
architectures, K columns, E exact objectives.
"""

from collections.abc import Collection, Iterator, Sequence
from typing import Protocol

import numpy as np
import torch
from torch import Tensor

from design_space import ModelSpec

from ..objectives import Goals
from ..surrogates import Layout
from .features import PLACES, features, layer_codes, profiles
from .library_pool import Array, Candidates, Pool, Scaling, infeasible_message, sobol_point

_REFERENCE = 2000
"""Members of the space over which features are standardised."""

_TRIES = 20
_NEIGHBORS = 100
_DESCENT = 200
"""Rounds of mutations towards a member that keeps the limits."""


class LargeSpace(Protocol):
    """What is asked of a space: a ``Level``, ``Subarchitectures``."""

    @property
    def size(self) -> int:
        """Number of members."""

    @property
    def num_layers(self) -> int:
        """Of the deepest members."""

    @property
    def num_coordinates(self) -> int:
        """Of points."""

    def stream(self, *, seed: int, limit: int) -> Iterator[ModelSpec]:
        """Up to ``limit`` different members in random order."""

    def at(self, point: Sequence[float]) -> ModelSpec:
        """The member at a point (num_coordinates,) of the unit cube."""

    def mutated(self, spec: ModelSpec, rng: np.random.Generator) -> ModelSpec:
        """A member that differs little from ``spec``; of a stranger, one at random."""


class SpacePool(Pool):
    """A space too large to list: no embedding, candidates by Sobol points and mutations.

    Args:
        beside: architectures of elsewhere over which features are standardised too.
        has_profiles: whether vectors say how heads and neurons are distributed over the layers (``profiles``).
    """

    def __init__(
        self,
        space: LargeSpace,
        *,
        num_samples: int,
        num_mutations: int,
        seed: int = 0,
        goals: Goals | None = None,
        beside: Sequence[ModelSpec] = (),
        has_profiles: bool = False,
    ) -> None:
        self.goals = goals or Goals()
        self._space, self._num_samples, self._num_mutations = space, num_samples, num_mutations
        self._has_profiles = has_profiles
        self._num_layers = max([space.num_layers, *(len(spec.layers) for spec in beside)])
        members = list(space.stream(seed=seed, limit=min(_REFERENCE, space.size)))
        numbers = self._numbers([*members, *beside])
        self._scaling = Scaling(numbers)
        num_codes = self._num_layers * len(PLACES)
        self.layout = Layout(0, int(self._scaling.varying.sum()), num_codes, len(self.goals.analytic))
        self.reference = self.vectors(members)
        by_size = [members[place] for place in np.argsort(-numbers[: len(members), 0], kind="stable")]
        self._by_size = list(self.feasible(Candidates(by_size, self.vectors(by_size))).specs)
        if not self._by_size:
            self._by_size = [self._descended(by_size[-1], np.random.default_rng(seed))]

    def vectors(self, specs: Sequence[ModelSpec]) -> Tensor:
        codes = layer_codes(specs, self._num_layers)[:, : self._num_layers * len(PLACES)]
        exact = self.goals.columns(specs)
        return torch.from_numpy(np.hstack([self._scaling(self._numbers(specs)), codes.astype(float), exact]))

    def candidates(
        self, evaluated: Collection[str], incumbents: Sequence[ModelSpec], rng: np.random.Generator
    ) -> Candidates:
        drawn = [self._space.at(point) for point in self._sobol(int(rng.integers(2**31)))]
        if incumbents:
            drawn += [
                self._space.mutated(incumbents[number % len(incumbents)], rng) for number in range(self._num_mutations)
            ]
        found = self.choice(drawn, evaluated)
        for _ in range(_TRIES):
            if len(found) or not self.layout.exact:
                break
            found = self.choice(
                [self._space.mutated(self._by_size[-1], rng) for _ in range(self._num_samples)], evaluated
            )
        return found

    def choice(self, specs: Sequence[ModelSpec], evaluated: Collection[str]) -> Candidates:
        """Each once, those evaluated and those that break an exact limit left out."""
        known = set(evaluated)
        different = [spec for spec in dict.fromkeys(specs) if spec.hash not in known]
        return self.feasible(Candidates(different, self.vectors(different)))

    def largest(self, evaluated: Collection[str]) -> ModelSpec | None:
        return next((spec for spec in self._by_size if spec.hash not in set(evaluated)), None)

    def sobol_candidate(self, number: int, seed: int, evaluated: Collection[str]) -> ModelSpec | None:
        for further in range(self._num_samples):
            spec = self._space.at(sobol_point(self._space.num_coordinates, number + further, seed).tolist())
            if spec.hash not in set(evaluated) and self.goals.is_feasible(self.goals.columns([spec]))[0]:
                return spec
        rest = self.choice([*self._by_size, *self._neighbors(number)], evaluated)
        return rest.specs[number % len(rest)] if len(rest) else None

    def _neighbors(self, seed: int) -> list[ModelSpec]:
        """Mutations of the smallest known, where limits leave little else."""
        rng = np.random.default_rng(seed)
        return [self._space.mutated(self._by_size[-1], rng) for _ in range(_NEIGHBORS)] if self.layout.exact else []

    def _descended(self, spec: ModelSpec, rng: np.random.Generator) -> ModelSpec:
        """From ``spec`` by mutations that break the exact limits less, to a member that keeps them."""
        goals, seen = self.goals, [self.goals.columns([spec])]
        limits = np.array([goals.constraints.get(name, np.inf) for name in goals.analytic])
        for _ in range(_DESCENT):
            if goals.is_feasible(seen[-1])[0]:
                return spec
            options = [self._space.mutated(spec, rng) for _ in range(_TRIES)]
            columns = goals.columns(options)
            broken = np.maximum(columns / limits - 1, 0).sum(1)
            if broken.min() < np.maximum(seen[-1] / limits - 1, 0).sum():
                spec = options[int(broken.argmin())]
                seen.append(columns[[broken.argmin()]])
        raise ValueError(infeasible_message(goals, np.vstack(seen), "the members found of the space"))

    def _sobol(self, seed: int) -> list[list[float]]:
        """(num_samples, num_coordinates) points in the unit cube."""
        engine = torch.quasirandom.SobolEngine(self._space.num_coordinates, scramble=True, seed=seed)
        return engine.draw(self._num_samples, dtype=torch.float64).tolist()

    def _numbers(self, specs: Sequence[ModelSpec]) -> Array:
        return np.hstack([features(specs), profiles(specs)]) if self._has_profiles else features(specs)
