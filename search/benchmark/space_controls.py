"""Controls on a space too large to list: those of ``controls.py`` with the mutations and draws of a ``Level``.

Each starts from ``NUM_INIT`` random architectures, but local search from one. Shapes: T told, N candidates.
"""

import itertools
from collections.abc import Callable
from typing import Protocol

import numpy as np
import numpy.typing as npt
import optuna
import torch
from botorch.acquisition import LogExpectedImprovement
from sklearn.ensemble import RandomForestRegressor

from design_space import Layer, Level, ModelSpec

from ..pools.features import features, layer_codes
from ..pools.space_pool import SpacePool
from ..surrogates import fit_surrogate, single_thread
from .controls import NUM_INIT, POPULATION, TOURNAMENT, TREES, gp_sampler, tpe_sampler

_DRAWN = 500
_INCUMBENTS = 5


class SpaceSearcher(Protocol):
    """A searcher over specs; higher scores are better."""

    def ask(self) -> ModelSpec:
        """Returns the next architecture to train."""

    def tell(self, spec: ModelSpec, score: float) -> None:
        """Takes its score."""


class RandomInSpace:
    """Draws uniformly, without repetition; a subclass says what it suggests once ``num_init`` are told."""

    num_init = NUM_INIT

    def __init__(self, level: Level, seed: int) -> None:
        self.level, self.rng = level, np.random.default_rng(seed)
        self.stream = level.stream(seed=seed, limit=10**6)
        self.specs: list[ModelSpec] = []
        self.scores: list[float] = []

    def ask(self) -> ModelSpec:
        return self.random() if len(self.specs) < self.num_init else self.suggest()

    def tell(self, spec: ModelSpec, score: float) -> None:
        self.specs.append(spec)
        self.scores.append(score)

    def random(self) -> ModelSpec:
        return next(self.stream)

    suggest = random

    def drawn(self, num_random: int, num_mutated: int) -> list[ModelSpec]:
        """Candidates: random ones, and mutations of the best."""
        best = np.argsort(-np.array(self.scores), kind="stable")[:_INCUMBENTS]
        mutated = [self.level.mutated(self.specs[best[number % len(best)]], self.rng) for number in range(num_mutated)]
        return [*itertools.islice(self.stream, num_random), *mutated]


class LocalSearchInSpace(RandomInSpace):
    """Mutations of the best."""

    num_init = 1

    def suggest(self) -> ModelSpec:
        return self.level.mutated(self.specs[int(np.argmax(self.scores))], self.rng)


class EvolutionInSpace(RandomInSpace):
    """Regularised evolution (Real et al., AAAI 2019)."""

    def suggest(self) -> ModelSpec:
        young = np.arange(max(0, len(self.specs) - POPULATION), len(self.specs))
        drawn = self.rng.choice(young, min(TOURNAMENT, len(young)), replace=False)
        return self.level.mutated(self.specs[drawn[np.argmax(np.array(self.scores)[drawn])]], self.rng)


class GaussianProcessInSpace(RandomInSpace):
    """A Gaussian process on exact features with log expected improvement over random members."""

    def __init__(self, level: Level, seed: int) -> None:
        super().__init__(level, seed)
        self.pool = SpacePool(level, num_samples=1, num_mutations=1)

    def suggest(self) -> ModelSpec:
        free, scores = self.drawn(2 * _DRAWN, 0), torch.tensor(self.scores, dtype=torch.float64)
        with single_thread(), torch.no_grad():
            X, layout = self.pool.vectors(self.specs), self.pool.layout
            model = fit_surrogate("features", X, scores, unlabelled=X[:0], seed=0, layout=layout)
            acquisition = LogExpectedImprovement(model, best_f=scores.max())
            return free[int(acquisition(self.pool.vectors(free)[:, None]).argmax())]


class ForestInSpace(RandomInSpace):
    """A random forest on exact features and categories, with the mean plus one deviation over the trees (as in
    SMAC)."""

    def suggest(self) -> ModelSpec:
        free = self.drawn(_DRAWN, _DRAWN)
        model = RandomForestRegressor(TREES, max_features=0.5, random_state=int(self.rng.integers(2**31)))
        model.fit(self._inputs(self.specs), self.scores)
        inputs = self._inputs(free)
        predicted = np.stack([tree.predict(inputs) for tree in model.estimators_])
        return free[int((predicted.mean(0) + predicted.std(0)).argmax())]

    def _inputs(self, specs: list[ModelSpec]) -> npt.NDArray[np.float64]:
        return np.hstack([features(specs), layer_codes(specs, self.level.num_layers)])


class TreeParzenInSpace(RandomInSpace):
    """Optuna's TPE over the depth and, stack by stack, hidden size, heads, operation and feed-forward. What lies beyond
    the depth does not count."""

    make_sampler = staticmethod(tpe_sampler)

    def __init__(self, level: Level, seed: int) -> None:
        super().__init__(level, seed)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        self.study = optuna.create_study(direction="maximize", sampler=self.make_sampler(seed))
        choices = level.branches[0][0]  # the same in every stack of a first level
        self.layers = {_parts(layer): layer for layer in map(choices.layer, range(choices.size))}
        self.options = [sorted({parts[place] for parts in self.layers}, key=str) for place in range(4)]

    def ask(self) -> ModelSpec:
        self.trial = self.study.ask()
        branch = self.level.branches[self._chosen("depth", len(self.level.branches))]
        stacks = []
        for stack in range(max(map(len, self.level.branches))):
            parts = tuple(of[self._chosen(f"{stack}-{place}", len(of))] for place, of in enumerate(self.options))
            stacks += [self.layers[parts]] * self.level.layers_per_stack
        return ModelSpec(tuple(stacks[: len(branch) * self.level.layers_per_stack]), self.level.format)

    def tell(self, spec: ModelSpec, score: float) -> None:
        self.study.tell(self.trial, score)

    def _chosen(self, name: str, count: int) -> int:
        return int(self.trial.suggest_categorical(name, list(range(count))))


class OptunaGaussianProcessInSpace(TreeParzenInSpace):
    """Optuna's Gaussian process over the same."""

    make_sampler = staticmethod(gp_sampler)

    def ask(self) -> ModelSpec:
        with single_thread():
            return super().ask()


def _parts(layer: Layer) -> tuple[object, ...]:
    """What a layer of equal heads consists of."""
    return layer.hidden_size, len(layer.heads), layer.heads[0].parameter, layer.feed_forward


SPACE_CONTROLS: dict[str, Callable[[Level, int], SpaceSearcher]] = {
    "gp": GaussianProcessInSpace,
    "forest": ForestInSpace,
    "tpe": TreeParzenInSpace,
    "optuna_gp": OptunaGaussianProcessInSpace,
    "evolution": EvolutionInSpace,
    "local": LocalSearchInSpace,
    "random": RandomInSpace,
}
