"""Candidates from a level of a design space that is too large to list: Sobol points, and mutations of the best.

Vectors have no embedding: an edit distance to every landmark, for every candidate, takes too long. Shapes: N
architectures, K columns, E exact objectives.
"""

import itertools
from collections.abc import Collection, Sequence

import numpy as np
import torch
from torch import Tensor

from design_space import Layer, Level, ModelSpec
from design_space.choices import StackChoices
from design_space.level import Branch

from ..objectives import Goals
from ..surrogates import Layout
from .features import PLACES, features, layer_codes
from .library_pool import Array, Candidates, Pool, Scaling, infeasible_message, sobol_point

_REFERENCE = 2000
"""Members of the level over which features are standardised."""

_CHANGE_DEPTH = 0.1
_ANEW = 0.3
_TRIES = 20
_NEIGHBORS = 100
_DESCENT = 200
"""Rounds of mutations towards a member that keeps the limits."""


class LevelPool(Pool):
    """A level too large to list: no embedding, candidates by Sobol points and mutations."""

    def __init__(
        self, level: Level, *, num_samples: int, num_mutations: int, seed: int = 0, goals: Goals | None = None
    ) -> None:
        self.goals = goals or Goals()
        self._level, self._num_samples, self._num_mutations = level, num_samples, num_mutations
        self._num_layers = level.layers_per_stack * max(len(branch) for branch in level.branches)
        members = list(level.stream(seed=seed, limit=min(_REFERENCE, level.size)))
        numbers = features(members)
        self._scaling = Scaling(numbers)
        codes = layer_codes(members, self._num_layers)
        self.layout = Layout(0, int(self._scaling.varying.sum()), codes.shape[1], len(self.goals.analytic))
        self.reference = self.vectors(members)
        by_size = [members[place] for place in np.argsort(-numbers[:, 0], kind="stable")]
        self._by_size = list(self.feasible(Candidates(by_size, self.vectors(by_size))).specs)
        if not self._by_size:
            self._by_size = [self._descended(by_size[-1], np.random.default_rng(seed))]

    def vectors(self, specs: Sequence[ModelSpec]) -> Tensor:
        codes = layer_codes(specs, self._num_layers)[:, : self._num_layers * len(PLACES)]
        exact = self.goals.columns(specs)
        return torch.from_numpy(np.hstack([self._scaling(features(specs)), codes.astype(float), exact]))

    def candidates(
        self, evaluated: Collection[str], incumbents: Sequence[ModelSpec], rng: np.random.Generator
    ) -> Candidates:
        points = self._sobol(int(rng.integers(2**31)))
        drawn = [self._at(point) for point in points]
        if incumbents:
            drawn += [self.mutated(incumbents[number % len(incumbents)], rng) for number in range(self._num_mutations)]
        found = self.choice(drawn, evaluated)
        for _ in range(_TRIES):
            if len(found) or not self.layout.exact:
                break
            found = self.choice([self.mutated(self._by_size[-1], rng) for _ in range(self._num_samples)], evaluated)
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
            spec = self._at(sobol_point(1 + self._num_layers, number + further, seed).numpy())
            if spec.hash not in set(evaluated) and self.goals.is_feasible(self.goals.columns([spec]))[0]:
                return spec
        rest = self.choice([*self._by_size, *self._neighbors(number)], evaluated)
        return rest.specs[number % len(rest)] if len(rest) else None

    def mutated(self, spec: ModelSpec, rng: np.random.Generator) -> ModelSpec:
        """One stack changed in one respect or drawn anew; sometimes a stack more or less, where there is such a depth.
        Of a stranger to the level, a member at random."""
        stacks = list(spec.layers[:: self._level.layers_per_stack])
        homes = [branch for branch in self._level.branches if _fits(stacks, branch)]
        others = [branch for branch in self._level.branches if len(branch) != len(stacks)]
        if not homes:
            return self._at(rng.random(1 + self._num_layers))
        if others and rng.random() < _CHANGE_DEPTH:
            branch = others[int(rng.integers(len(others)))]
            kept = stacks[: len(branch)]
            stacks = [
                kept[place]
                if place < len(kept) and choices.index(kept[place]) is not None
                else choices.layer(int(rng.integers(choices.size)))
                for place, choices in enumerate(branch)
            ]
            return self._of_stacks(stacks)
        place = int(rng.integers(len(stacks)))
        choices, before = homes[0][place], stacks[place]
        for _ in range(_TRIES):
            after = choices.layer(int(rng.integers(choices.size)))
            if rng.random() >= _ANEW:
                after = _crossed(choices, before, after, int(rng.integers(3)), rng)
            number = choices.index(after)
            if number not in (None, choices.index(before)):
                stacks[place] = choices.layer(number)
                break
        return self._of_stacks(stacks)

    def _neighbors(self, seed: int) -> list[ModelSpec]:
        """Mutations of the smallest known, where limits leave little else."""
        rng = np.random.default_rng(seed)
        return [self.mutated(self._by_size[-1], rng) for _ in range(_NEIGHBORS)] if self.layout.exact else []

    def _descended(self, spec: ModelSpec, rng: np.random.Generator) -> ModelSpec:
        """From ``spec`` by mutations that break the exact limits less, to a member that keeps them."""
        goals, seen = self.goals, [self.goals.columns([spec])]
        limits = np.array([goals.constraints.get(name, np.inf) for name in goals.analytic])
        for _ in range(_DESCENT):
            if goals.is_feasible(seen[-1])[0]:
                return spec
            options = [self.mutated(spec, rng) for _ in range(_TRIES)]
            columns = goals.columns(options)
            broken = np.maximum(columns / limits - 1, 0).sum(1)
            if broken.min() < np.maximum(seen[-1] / limits - 1, 0).sum():
                spec = options[int(broken.argmin())]
                seen.append(columns[[broken.argmin()]])
        raise ValueError(infeasible_message(goals, np.vstack(seen), "the members found of the design space"))

    def _at(self, point: Array) -> ModelSpec:
        """The member at a point of the unit cube: first the branch, then the choice of each stack."""
        branch = self._level.branches[min(int(point[0] * len(self._level.branches)), len(self._level.branches) - 1)]
        return self._of_stacks(
            [
                choices.layer(min(int(share * choices.size), choices.size - 1))
                for choices, share in zip(branch, point[1:], strict=False)
            ]
        )

    def _of_stacks(self, stacks: Sequence[Layer]) -> ModelSpec:
        return ModelSpec(
            tuple(itertools.chain.from_iterable([stack] * self._level.layers_per_stack for stack in stacks)),
            self._level.format,
        )

    def _sobol(self, seed: int) -> Array:
        """(num_samples, 1 + layers) points in the unit cube."""
        engine = torch.quasirandom.SobolEngine(1 + self._num_layers, scramble=True, seed=seed)
        return engine.draw(self._num_samples, dtype=torch.float64).numpy()


def _fits(stacks: Sequence[Layer], branch: Branch) -> bool:
    return len(stacks) == len(branch) and all(
        choices.index(stack) is not None for choices, stack in zip(branch, stacks, strict=True)
    )


def _crossed(choices: StackChoices, layer: Layer, other: Layer, respect: int, rng: np.random.Generator) -> Layer:
    """``layer`` with the hidden size and heads, the operation (of one head, in the hetero format), or the feed-forward
    stack of ``other``; unchanged where that is no choice."""
    if respect == 2:
        return Layer(layer.hidden_size, layer.heads, other.feed_forward)
    shape, heads = (other.shape, layer.heads) if respect == 0 else (layer.shape, other.heads)
    if respect == 1 and choices.format == "hetero":
        place = int(rng.integers(len(layer.heads)))
        heads = (*layer.heads[:place], heads[int(rng.integers(len(heads)))], *layer.heads[place + 1 :])
    like = choices.heads[shape].like(heads)
    return layer if like is None else Layer(shape[0], like, layer.feed_forward)
