"""Which policy finds a good architecture in the fewest seconds of training, where every epoch is seen: stopping early,
epochs as observations, freeze and thaw; a simulation on a learning-curve table.

    python -m tests.benchmarks.fidelity CURVES.jsonl [--tables 'sst2, scratch' ...] [--policies full asha ...]
        [--seeds 8] [--share 0.25] [--out RUNS.jsonl]

A table is a task and an origin. What a training ends at is the score of its best epoch; only trainings that ended count
as found. All policies spend the same seconds of training: as many as ``--share`` of the table's trainings take. Regret
is in units of the table (1 from the median architecture to the best). ``--out`` grows run by run, and is taken up
again.
The policies propose as the default searcher does: six spread over the space, then the highest mean + 1 deviation.
"""

import argparse
import json
import math
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from design_space import ModelSpec
from search.benchmark.pool import library_of
from search.benchmark.statistics import interval
from search.objectives import Goals, exact_costs
from search.optimizer.boshnas import BOSHNAS
from search.pools.library_pool import LibraryPool
from search.surrogates import Surrogate, fit_surrogate
from search.tune.learning_curves import LearningCurves
from tests.benchmarks.fidelity_process import FidelityMixture, Scores
from tests.benchmarks.learning_curves import Curve, load_curves

SHARES = (0.25, 0.5, 1.0)
"""Of the seconds, after which regrets are compared."""

_HALVINGS, _KEPT = (1, 4), 0.25
"""Epochs after which ASHA looks, and the share that goes on: Ray Tune's, of six epochs."""

_FEW_ENDED = 3
"""Trainings that end in any case, before others may be stopped by what they teach."""

_ALMOST_EXACT = 1e-6
"""Error of what ended, beside that of an expectation: 0 would say that it is not known."""

_SEEN = (1, 2, 4)
"""Epochs that the process over fidelities learns from, beside the last one of each training."""


class CurveTable:
    """Trainings of one task and origin, one of each architecture: scores (N, E) and seconds (N, E) after each epoch."""

    def __init__(self, name: str, curves: Sequence[Curve]) -> None:
        self.name = name
        self.specs = tuple(ModelSpec.from_dict(curve.model_dict) for curve in curves)
        self.scores = np.array([curve.scores for curve in curves])
        self.seconds = np.array([curve.seconds for curve in curves])
        self.ends = self.scores.max(1)
        self.unit = self.ends.max() - np.median(self.ends)
        self.library = library_of(self.specs, n_jobs=1)
        pool = LibraryPool(self.library, Goals(objectives=("score",), constraints={}, exact=exact_costs()))
        self.X, self.layout = pool.vectors(self.specs), pool.layout

    @property
    def num_epochs(self) -> int:
        return self.scores.shape[1]


class Trainings:
    """What one policy has trained, and knows by it. A training is the number of its architecture."""

    def __init__(self, table: CurveTable, seed: int, budget: float) -> None:
        self.table, self._seed, self._budget = table, seed, budget
        self.spent, self.best = 0.0, -math.inf
        self.trace: list[tuple[float, float]] = []
        self.epochs: dict[int, int] = {}
        self.ends: dict[int, float] = {}
        self.expected: dict[int, tuple[float, float]] = {}
        self.curves = LearningCurves()
        places = {spec.hash: place for place, spec in enumerate(table.specs)}
        first = BOSHNAS(table.library, seed=seed)
        self._first = [places[candidate.spec.hash] for candidate in first.ask(first.settings.num_init)]
        self._fitted: tuple[int, Surrogate] | None = None
        self._mixture: tuple[int, FidelityMixture] | None = None

    @property
    def is_over(self) -> bool:
        """Whether the seconds are spent, or all has been tried."""
        return self.spent >= self._budget or len(self.epochs) == len(self.table.specs)

    def epoch(self, one: int) -> float:
        """Trains for one more epoch, and returns its score."""
        table, before = self.table, self.epochs.get(one, 0)
        self.spent += table.seconds[one, before] - (table.seconds[one, before - 1] if before else 0.0)
        self.epochs[one] = before + 1
        score = float(table.scores[one, before])
        self.curves.note(str(one), (before + 1) / table.num_epochs, score)
        if self.has_ended(one):
            self.ends[one] = float(table.ends[one])
            self.curves.end(str(one), self.ends[one], 0.02)
            self.best = max(self.best, self.ends[one])
        self.trace.append((self.spent, self.best))
        return score

    def has_ended(self, one: int) -> bool:
        return self.epochs.get(one, 0) == self.table.num_epochs

    def expectation(self, one: int) -> tuple[float, float] | None:
        """What a training would end at, as the product extrapolates it, and its error."""
        done = self.epochs[one]
        return self.curves.expected(done / self.table.num_epochs, float(self.table.scores[one, done - 1]))

    def stop(self, one: int) -> None:
        """Stops a training: what is expected of it counts, where that can be told."""
        if expected := self.expectation(one):
            self.expected[one] = expected

    def ends_and_expected(self) -> tuple[Tensor, Tensor, Tensor]:
        """Vectors (N, K), scores (N,) and their variances (N,) of what ended and of what was stopped, as they began."""
        known = self.expected | {one: (end, _ALMOST_EXACT) for one, end in self.ends.items()}
        rows = [(one, *known[one]) for one in self.epochs if one in known]
        numbers = torch.tensor([row[1:] for row in rows], dtype=torch.float64)
        return self.table.X[[row[0] for row in rows]], numbers[:, 0], numbers[:, 1].square()

    def scores(self) -> Scores:
        """Of the epochs."""
        rows = [
            (one, epoch, self.ends[one] if epoch == self.table.num_epochs else float(self.table.scores[one, epoch - 1]))
            for one, done in self.epochs.items()
            for epoch in sorted({*(seen for seen in _SEEN if seen < done), done})
        ]
        training = torch.tensor([row[0] for row in rows])
        numbers = torch.tensor([row[1:] for row in rows], dtype=torch.float64)
        return Scores(self.table.X[training], numbers[:, 0] / self.table.num_epochs, numbers[:, 1], training)

    def new(self, model: Callable[[Sequence[int]], tuple[Tensor, Tensor]]) -> int:
        """The next architecture: by the initial design, then the highest upper confidence bound."""
        for one in self._first:
            if one not in self.epochs:
                return one
        left = self.untried
        mean, deviation = model(left)
        return left[int((mean + deviation).argmax())]

    @property
    def is_initial(self) -> bool:
        return any(one not in self.epochs for one in self._first)

    @property
    def untried(self) -> list[int]:
        return [one for one in range(len(self.table.specs)) if one not in self.epochs]

    def by_ends(self, places: Sequence[int], *, errors: bool = False) -> tuple[Tensor, Tensor]:
        """Mean and deviation by the default surrogate of what ended, and of what is expected of the others; with their
        errors as known noise or, as today, without."""
        X, Y, noise = self.ends_and_expected()
        noise = noise * errors
        first = _num_fitted(len(Y))
        if self._fitted is None or self._fitted[0] != first:
            model = fit_surrogate(
                "mixture",
                X[:first],
                Y[:first],
                unlabelled=self.table.X,
                seed=self._seed,
                layout=self.table.layout,
                noise=noise[:first],
            )
            self._fitted = first, model
        with torch.no_grad():
            model = self._fitted[1]
            if first < len(Y):
                model = model.condition_on_observations(X[first:], Y[first:], noise=noise[first:])
            moments = model.predict_moments(self.table.X[list(places)])
        return moments.mean, moments.epistemic

    def by_epochs(self, places: Sequence[int]) -> tuple[Tensor, Tensor]:
        """Mean and deviation of the ends by the process over fidelities."""
        scores = self.scores()
        size = _num_fitted(len(self.epochs))
        known = self._mixture[1].found if self._mixture is not None and self._mixture[0] == size else (None, None)
        with torch.no_grad():
            mixture = FidelityMixture(scores, self.table.layout, known)
            self._mixture = size, mixture
            return mixture.at_end(self.table.X[list(places)], torch.tensor(places))


def full(run: Trainings) -> None:
    """Every training ends: the default."""
    while not run.is_over:
        one = run.new(run.by_ends)
        while not run.has_ended(one):
            run.epoch(one)


def full_epochs(run: Trainings) -> None:
    """The same, with every epoch as an observation."""
    while not run.is_over:
        one = run.new(run.by_epochs)
        while not run.has_ended(one):
            run.epoch(one)


def asha(run: Trainings, model: Callable[[Sequence[int]], tuple[Tensor, Tensor]]) -> None:
    """Successive halving, one training at a time."""
    seen: dict[int, list[float]] = {epoch: [] for epoch in _HALVINGS}
    while not run.is_over:
        one = run.new(model)
        while not run.has_ended(one):
            score, before = run.epoch(one), seen.get(run.epochs[one])
            if before is not None:
                is_behind = bool(before) and score < np.percentile(before, 100 * (1 - _KEPT))
                before.append(score)
                if is_behind:
                    run.stop(one)
                    break


def stop(run: Trainings, *, errors: float) -> None:
    """A training is stopped when what is expected of it is so many errors below the best."""
    while not run.is_over:
        one = run.new(lambda places: run.by_ends(places, errors=True))
        while not run.has_ended(one):
            run.epoch(one)
            expected = run.expectation(one) if not run.has_ended(one) and len(run.ends) >= _FEW_ENDED else None
            if expected and expected[0] + errors * expected[1] < run.best:
                run.stop(one)
                break


def thaw(run: Trainings, *, price: bool) -> None:
    """Freeze and thaw: after each epoch that training goes on, or a new one begins, of which the most improvement is
    expected at its end; with ``price`` by epoch that is left."""
    while not run.is_over:
        if run.is_initial:
            one = run.new(run.by_epochs)
            run.epoch(one)
            while len(run.ends) < _FEW_ENDED and not run.has_ended(one):
                run.epoch(one)
            continue
        places = [one for one in range(len(run.table.specs)) if not run.has_ended(one)]
        mean, deviation = run.by_epochs(places)
        value = _log_improvement(mean, deviation, run.best)
        left = torch.tensor([run.table.num_epochs - run.epochs.get(one, 0) for one in places])
        run.epoch(places[int((value - left.log() * price).argmax())])


POLICIES: dict[str, Callable[[Trainings], None]] = {
    "full": full,
    "asha": lambda run: asha(run, run.by_ends),
    "asha, errors known": lambda run: asha(run, lambda places: run.by_ends(places, errors=True)),
    "asha, epochs": lambda run: asha(run, run.by_epochs),
    "full, epochs": full_epochs,
    "stop at 1 error": lambda run: stop(run, errors=1.0),
    "stop at 2 errors": lambda run: stop(run, errors=2.0),
    "freeze and thaw": lambda run: thaw(run, price=False),
    "freeze and thaw, by epoch": lambda run: thaw(run, price=True),
}


@dataclass(frozen=True)
class Outcome:
    """Regrets (3,) of one run after ``SHARES`` of the seconds, and how many trainings began and ended."""

    table: str
    size: int
    policy: str
    seed: int
    regrets: list[float]
    num_begun: int
    num_ended: int


def simulate(table: CurveTable, policy: str, seed: int, share: float) -> Outcome:
    """One run. Before anything ended the regret is that of the worst."""
    budget = share * float(table.seconds[:, -1].sum())
    run = Trainings(table, seed, budget)
    POLICIES[policy](run)
    regrets = []
    for part in SHARES:
        best = max([best for spent, best in run.trace if spent <= part * budget], default=-math.inf)
        regrets.append(float((table.ends.max() - max(best, table.ends.min())) / table.unit))
    return Outcome(table.name, len(table.specs), policy, seed, regrets, len(run.epochs), len(run.ends))


def tables_of(curves: Sequence[Curve]) -> Iterator[tuple[str, list[Curve]]]:
    """The first training of each architecture, by task and origin."""
    for name in dict.fromkeys(f"{curve.task}, {curve.origin}" for curve in curves):
        of_one = [curve for curve in curves if f"{curve.task}, {curve.origin}" == name]
        yield name, list({curve.hash: curve for curve in reversed(of_one)}.values())[::-1]


def markdown(outcomes: Sequence[Outcome]) -> str:
    """Mean regrets by table and policy, with 95 % intervals over seeds."""
    lines = [
        "| table | policy | " + " | ".join(f"regret @{part:.0%}" for part in SHARES) + " | begun / ended | seeds |",
        "| " + " | ".join(["---"] * (len(SHARES) + 4)) + " |",
    ]
    for table in dict.fromkeys(one.table for one in outcomes):
        for policy in POLICIES:
            of_one = [one for one in outcomes if (one.table, one.policy) == (table, policy)]
            if not of_one:
                continue
            regrets = np.array([one.regrets for one in of_one])
            cells = [_cell(regrets[:, place]) for place in range(len(SHARES))]
            begun, ended = (np.mean([getattr(one, name) for one in of_one]) for name in ("num_begun", "num_ended"))
            row = [f"{table} ({of_one[0].size})", policy, *cells, f"{begun:.0f} / {ended:.0f}", str(len(of_one))]
            lines.append("| " + " | ".join(row) + " |")
    return "\n".join(lines)


def main() -> None:
    """Read the arguments, simulate what is not there yet, and print Markdown."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("curves", type=Path, nargs="+")
    parser.add_argument("--tables", nargs="+")
    parser.add_argument("--policies", nargs="+", default=list(POLICIES), choices=list(POLICIES))
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--share", type=float, default=0.25)
    parser.add_argument("--out", type=Path)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    out: Path | None = arguments.out
    text = out.read_text(encoding="utf-8") if out is not None and out.exists() else ""
    outcomes = [Outcome(**json.loads(line)) for line in text.splitlines()]
    done = {(one.table, one.policy, one.seed) for one in outcomes}
    curves = [curve for path in arguments.curves for curve in load_curves(path)]
    tables = [table for table in tables_of(curves) if not arguments.tables or table[0] in arguments.tables]
    made = {name: CurveTable(name, of_one) for name, of_one in tables}
    for seed in range(arguments.seeds):
        for name, table in made.items():
            for policy in arguments.policies:
                if (name, policy, seed) not in done:
                    outcomes.append(simulate(table, policy, seed, arguments.share))
                    if out is not None:
                        with out.open("a", encoding="utf-8") as file:
                            file.write(json.dumps(asdict(outcomes[-1])) + "\n")
    sys.stdout.write(markdown(outcomes) + "\n")


def _cell(values: npt.NDArray[np.float64]) -> str:
    of = interval(values)
    return f"{of['mean']:.3f} [{of['low']:.3f}, {of['high']:.3f}]"


def _num_fitted(count: int) -> int:
    """Of how many observations hyperparameters are: kept until there are a fifth more."""
    first = 1
    while (more := max(first + 1, int(1.2 * first))) <= count:
        first = more
    return first


def _log_improvement(mean: Tensor, deviation: Tensor, best: float) -> Tensor:
    """The logarithm of expected improvement."""
    z = (mean - best) / deviation
    normal = torch.distributions.Normal(0.0, 1.0)
    improvement = deviation * (z * normal.cdf(z) + normal.log_prob(z).exp())
    return improvement.clamp_min(1e-300).log()


if __name__ == "__main__":
    main()
