"""Controls: what a searcher must beat.

Each starts from ``NUM_INIT`` random architectures, except random search and local search. Architectures are numbers in
a ``Pool``; a failed training counts as the worst score seen. Of several objectives, models learn a Chebyshev
scalarisation with new random weights at each query (ParEGO, Knowles 2006), evolution's tournaments go by domination,
and TPE is Optuna's multi-objective one. Shapes: T told, N architectures, D categories, M objectives.
"""

import warnings
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import optuna
import torch
from botorch.acquisition import LogExpectedImprovement
from sklearn.ensemble import RandomForestRegressor

from ..objectives import nondominated_ranks
from ..surrogates import fit_surrogate, single_thread
from .pool import Pool

NUM_INIT = 10

POPULATION = 20
TOURNAMENT = 5
TREES = 100
_AUGMENTATION = 0.05


class _Control:
    """Keeps what has been asked and told; a subclass says what it suggests once ``num_init`` are told."""

    num_init = NUM_INIT

    def __init__(self, pool: Pool, seed: int) -> None:
        self.pool = pool
        self.rng = np.random.default_rng(seed)
        self.free = np.ones(len(pool), dtype=bool)
        self.indices: list[int] = []
        self.told: list[list[float]] = []

    def ask(self) -> int | None:
        if not self.free.any():
            return None
        index = self.random() if len(self.indices) < self.num_init else self.suggest()
        self.free[index] = False
        return index

    def random(self) -> int:
        return int(self.rng.choice(np.flatnonzero(self.free)))

    suggest = random

    def nearest(self, code: npt.NDArray[np.int64]) -> int:
        """Returns the free architecture that differs from ``code`` (D,) in the fewest categories; ties at random."""
        distances = (self.pool.codes != code).sum(1) + self.rng.random(len(self.pool)) / 2
        return int(np.where(self.free, distances, np.inf).argmin())

    def tell(self, index: int, score: float, costs: Sequence[float] = ()) -> None:
        self.indices.append(index)
        self.told.append([score, *(-cost for cost in costs)])

    def outcomes(self) -> npt.NDArray[np.float64]:
        """Returns all objectives so that higher is better, (T, M), with failures as the worst of each."""
        told = np.array(self.told)
        worst = np.where(np.isfinite(told).any(0), np.nanmin(np.where(np.isnan(told), np.inf, told), axis=0), 0.0)
        return np.where(np.isnan(told), worst, told)

    def scores(self) -> npt.NDArray[np.float64]:
        """Returns what is modelled, (T,): the score, or a scalarisation of several objectives with new random
        weights."""
        outcomes = self.outcomes()
        if outcomes.shape[1] == 1:
            return outcomes[:, 0]
        spread = np.ptp(outcomes, axis=0)
        missing = (outcomes.max(0) - outcomes) / np.where(spread > 0, spread, 1.0)
        weighted = missing * self.rng.dirichlet(np.ones(outcomes.shape[1]))
        return -(weighted.max(1) + _AUGMENTATION * weighted.sum(1))


class RandomSearch(_Control):
    """Draws uniformly, without repetition."""


class LocalSearch(_Control):
    """Takes the nearest free neighbors of the incumbent, in random order; after as many failures as there are
    categories, a random restart (White, Nolen and Savani, UAI 2021)."""

    num_init = 0

    def __init__(self, pool: Pool, seed: int) -> None:
        super().__init__(pool, seed)
        self.incumbent: tuple[float, int] | None = None
        self.failures = 0

    def suggest(self) -> int:
        if self.incumbent is None or self.failures >= self.pool.codes.shape[1]:
            self.incumbent, self.failures = None, 0
            return self.random()
        return self.nearest(self.pool.codes[self.incumbent[1]])

    def tell(self, index: int, score: float, costs: Sequence[float] = ()) -> None:
        super().tell(index, score, costs)
        value = -np.inf if np.isnan(score) else score
        if self.incumbent is None or value > self.incumbent[0]:
            self.incumbent, self.failures = (value, index), 0
        else:
            self.failures += 1


class Evolution(_Control):
    """Regularised evolution (Real et al., AAAI 2019): it takes the best of a tournament in the youngest, changes one
    category, and asks for the nearest free architecture to that. Of several objectives the best is the least dominated,
    ties at random."""

    def suggest(self) -> int:
        young = np.arange(max(0, len(self.indices) - POPULATION), len(self.indices))
        drawn = self.rng.choice(young, min(TOURNAMENT, len(young)), replace=False)
        outcomes = self.outcomes()
        if outcomes.shape[1] == 1:
            fitness = outcomes[drawn, 0]
        else:
            fitness = self.rng.random(len(drawn)) / 2 - nondominated_ranks(outcomes[young])[drawn - young[0]]
        parent = self.indices[drawn[fitness.argmax()]]
        child = self.pool.codes[parent].copy()
        place = int(self.rng.integers(len(child)))
        child[place] = self.rng.integers(self.pool.codes[:, place].max() + 1)
        return self.nearest(child)


class GaussianProcess(_Control):
    """A plain Gaussian process (Matérn 5/2) on the embedding with log expected improvement over the whole pool."""

    def suggest(self) -> int:
        assert self.pool.library is not None
        vectors = torch.from_numpy(self.pool.library.embeddings / self.pool.library.embeddings.std())
        scores = torch.from_numpy(self.scores())
        free = np.flatnonzero(self.free)
        with single_thread(), torch.no_grad():
            model = fit_surrogate("embedding", vectors[self.indices], scores, unlabelled=vectors[:0], seed=0)
            acquisition = LogExpectedImprovement(model, best_f=scores.max())
            return int(free[int(acquisition(vectors[free][:, None]).argmax())])


class Forest(_Control):
    """A random forest on exact features and categories, with the mean plus one deviation over the trees (as in
    SMAC)."""

    def suggest(self) -> int:
        inputs = np.hstack([self.pool.features, self.pool.codes])
        model = RandomForestRegressor(TREES, max_features=0.5, random_state=int(self.rng.integers(2**31)))
        model.fit(inputs[self.indices], self.scores())
        free = np.flatnonzero(self.free)
        predicted = np.stack([tree.predict(inputs[free]) for tree in model.estimators_])
        bound = predicted.mean(0) + predicted.std(0)
        return int(free[int((bound + 1e-9 * self.rng.random(len(free))).argmax())])


def tpe_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's TPE, of all parameters together."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.samplers.TPESampler(seed=seed, n_startup_trials=NUM_INIT, multivariate=True)


def gp_sampler(seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's Gaussian process."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return optuna.samplers.GPSampler(seed=seed, n_startup_trials=NUM_INIT)


class TreeParzen(_Control):
    """Optuna's TPE over the categories; its suggestion is moved to the nearest free architecture, and told as that."""

    make_sampler = staticmethod(tpe_sampler)

    def __init__(self, pool: Pool, seed: int) -> None:
        super().__init__(pool, seed)
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        directions = ["maximize"] * (1 + len(pool.costs))
        self.study = optuna.create_study(directions=directions, sampler=self.make_sampler(seed))
        self.distributions = {
            f"x{place}": optuna.distributions.CategoricalDistribution(range(int(column.max()) + 1))
            for place, column in enumerate(pool.codes.T)
            if column.max() > 0
        }

    def suggest(self) -> int:
        if not self.distributions:
            return self.random()
        trial = self.study.ask(self.distributions)
        self.study.tell(trial, state=optuna.trial.TrialState.FAIL)
        code = np.zeros(self.pool.codes.shape[1], dtype=np.int64)
        for name, value in trial.params.items():
            code[int(name[1:])] = value
        return self.nearest(code)

    def tell(self, index: int, score: float, costs: Sequence[float] = ()) -> None:
        super().tell(index, score, costs)
        params = {name: int(self.pool.codes[index, int(name[1:])]) for name in self.distributions}
        self.study.add_trial(
            optuna.trial.create_trial(
                params=params, distributions=self.distributions, values=self.outcomes()[-1].tolist()
            )
        )


class OptunaGaussianProcess(TreeParzen):
    """Optuna's Gaussian process over the categories, in the same way."""

    make_sampler = staticmethod(gp_sampler)

    def suggest(self) -> int:
        with single_thread():
            return super().suggest()
