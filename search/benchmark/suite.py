"""The suite: many tasks on which searchers, and above all their defaults, are chosen.

A default that is chosen on one table wins that table. So there are listed tasks (each metric of a table of trained
architectures, whole and a random half of it, and objectives of ``synthetic.py`` over samples) and spaces too large to
list, of up to 2e22, where what counts is the truth of the best by noisy measurement. Choose on some, report on others.

Regrets are in units of their task: 1 is the distance from the median architecture to the best one.
"""

import math
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

import design_space
from design_space import DesignSpace, Level

from .pool import Pool, library_of
from .replay import replay
from .searchers import make_space_searcher
from .synthetic import Objective
from .table import Table, load_table, metrics_of

NUM_QUERIES = 60
COUNTS = (20, 40, 60)
"""Queries after which regrets are compared."""

_SPACES = Path(design_space.__file__).parent
_LISTED = (
    ("smooth", "design_space_small", 2, 1000),
    ("interactions", "quickstart", 2, 1056),
    ("outliers", "design_space_test", 2, 1000),
    ("plateaus", "design_space_small", 2, 1000),
    ("heteroscedastic", "design_space_test", 2, 1000),
    ("latency", "design_space", 2, 1000),
    ("energy", "design_space_hetero", 2, 1000),
)
"""Objective, space, layers per stack, and architectures in the table."""

_LARGE = (
    ("smooth", "design_space", 1, True),
    ("interactions", "design_space_test", 1, False),
    ("plateaus", "quickstart", 1, False),
    ("heteroscedastic", "design_space_small", 1, True),
    ("latency", "design_space", 2, False),
    ("energy", "design_space_small", 1, False),
)
"""Objective, space, layers per stack, and whether feed-forward stacks are heterogeneous."""


@dataclass(frozen=True)
class Outcome:
    """What one searcher found with one seed: regrets (3,) after ``COUNTS``, in the task's unit, and seconds."""

    regrets: tuple[float, ...]
    seconds: float


@dataclass(frozen=True)
class ListedTask:
    """A table, all of which may be proposed."""

    name: str
    table: Table

    @cached_property
    def unit(self) -> float:
        """From the median to the best."""
        return self.table.best_gain - float(np.nanmedian(self.table.gains))

    @cached_property
    def fingerprint(self) -> int:
        """Of what is searched: results of another one are not those of this task."""
        return _fingerprint(self.table.gains)

    @cached_property
    def pool(self) -> Pool:
        """The architectures, with a library."""
        return Pool(self.table.specs, library_of(self.table.specs, n_jobs=1))

    def search(self, searcher: str, seed: int) -> Outcome:
        """One search."""
        done = replay(searcher, self.table, self.pool, num_queries=NUM_QUERIES, seed=seed)
        return Outcome(tuple(float(done.regret[count - 1]) / self.unit for count in COUNTS), done.seconds)


@dataclass(frozen=True)
class SpaceTask:
    """An objective over a space too large to list."""

    name: str
    objective: Objective

    @cached_property
    def optimum(self) -> float:
        """The best that is known."""
        return self.objective.optimum()

    @cached_property
    def unit(self) -> float:
        """From the median to the best."""
        return self.optimum - float(np.median(self._sampled))

    @cached_property
    def fingerprint(self) -> int:
        """As of a listed task."""
        return _fingerprint(np.array([*self._sampled, self.optimum]))

    @cached_property
    def _sampled(self) -> list[float]:
        return [self.objective.truth(spec) for spec in self.objective.sample]

    def search(self, searcher: str, seed: int) -> Outcome:
        """One search. Its best is what one would pick: the best as measured."""
        one = make_space_searcher(searcher, self.objective.level, seed=seed, num_queries=NUM_QUERIES)
        seconds, truths, scores = 0.0, [], []
        for _ in range(NUM_QUERIES):
            start = time.perf_counter()
            spec = one.ask()
            seconds += time.perf_counter() - start
            scores.append(self.objective.measured(spec, seed))
            truths.append(self.objective.truth(spec))
            one.tell(spec, scores[-1])
        picked = [truths[int(np.argmax(scores[:count]))] for count in COUNTS]
        return Outcome(tuple(max(0.0, self.optimum - truth) / self.unit for truth in picked), seconds)


Task = ListedTask | SpaceTask


def suite_of(table: Path | None) -> list[Task]:
    """The tasks: of each metric of a table, if there is one, and those that are made here."""
    return [*(_of_table(table) if table else ()), *_synthetic()]


def _of_table(path: Path) -> Iterator[Task]:
    for metric in metrics_of(path):
        whole = load_table(path, metric)
        yield ListedTask(metric, whole)
        half = np.random.default_rng(zlib.crc32(metric.encode())).permutation(len(whole))[: len(whole) // 2]
        specs = tuple(whole.specs[place] for place in half)
        yield ListedTask(f"{metric}, half", Table(metric=metric, specs=specs, gains=whole.gains[half], minimize=False))


def _synthetic() -> Iterator[Task]:
    for seed, (kind, space, layers_per_stack, count) in enumerate(_LISTED):
        level = DesignSpace.from_yaml(_SPACES / f"{space}.yaml").level(layers_per_stack=layers_per_stack)
        objective, specs = Objective(kind, level, seed), level.sample(count, seed=seed)
        gains = np.array([objective.measured(spec, 0) for spec in specs])
        yield ListedTask(
            f"{kind}, {count:,} listed", Table(metric=kind, specs=tuple(specs), gains=gains, minimize=False)
        )
    for seed, (kind, space, layers_per_stack, mixed) in enumerate(_LARGE, start=100):
        level = DesignSpace.from_yaml(_SPACES / f"{space}.yaml").level(
            layers_per_stack=layers_per_stack, heterogeneous_feed_forward=mixed
        )
        yield SpaceTask(f"{kind} over {_power(level)}", Objective(kind, level, seed))


def _power(level: Level) -> str:
    return f"1e{math.floor(math.log10(level.size))}"


def _fingerprint(values: npt.NDArray[np.float64] | Sequence[float]) -> int:
    return zlib.crc32(repr([f"{value:.9g}" for value in values]).encode())
