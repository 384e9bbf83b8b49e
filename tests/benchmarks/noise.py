"""Does it pay to tell the searcher the error of each score? Searches with it and without, where scores are noisy.

    python -m tests.benchmarks.noise [--table TABLE.json] [--queries 40] [--seeds 5]

Scores are shares of right answers to so many questions, drawn for 400 architectures each of three made objectives, and
for those of a table of trained ones. Questions are others for each architecture (``others``), the same for all, some
harder for all of them (``same``), or others, and for a half of the architectures 40 times as many as for the rest
(``number differs``). Regrets are of true shares, in units of the task: 1 from the median architecture to the best.
Columns: the best as measured, the best that the surrogate expects of those measured, and the truly best of these. With
95 % intervals of the differences, by bootstrap over pairs of searches.
"""

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scipy.stats import norm

import design_space
from design_space import DesignSpace
from embeddings import GraphLibrary
from search import BOSHNAS, BOSHNASSettings
from search.benchmark.pool import library_of
from search.benchmark.synthetic import Objective
from search.benchmark.table import load_table

Array = npt.NDArray[np.float64]
Task = tuple[str, GraphLibrary, Array, int]
"""A name, architectures, their true shares of right answers, and the number of questions."""

MADE = (("smooth", "design_space_small"), ("interactions", "quickstart"), ("outliers", "design_space_test"))
OF_TABLE = (("rte", 277), ("sst", 872))
QUESTIONS = ("others", "same", "number differs")
_ALIKE = 0.6
"""Of what makes an answer right, the share that belongs to the question."""


def main() -> None:
    """Read the arguments, search, and print a table for each kind of questions."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--table", type=Path)
    parser.add_argument("--queries", type=int, default=40)
    parser.add_argument("--seeds", type=int, default=5)
    arguments = parser.parse_args()
    tasks = [*_made(), *(_of_table(arguments.table) if arguments.table else ())]
    print("| questions | errors | as measured | as expected | truly |\n| --- | --- | --- | --- | --- |", flush=True)
    for questions in QUESTIONS:
        without, told = np.empty((0, 3)), np.empty((0, 3))
        for task in tasks:
            for seed in range(arguments.seeds):
                scores, errors = measured(task[2], task[3], questions, seed)
                without = np.vstack([without, regrets(task, scores, None, arguments.queries, seed)])
                told = np.vstack([told, regrets(task, scores, errors, arguments.queries, seed)])
        for name, cells in (("not told", _means(without)), ("told", _means(told)), ("", _intervals(told - without))):
            print(f"| {questions} | {name or 'difference'} | {' | '.join(cells)} |", flush=True)


def measured(truth: Array, rows: int, questions: str, seed: int) -> tuple[Array, Array]:
    """Scores and their standard errors (N,), of true shares (N,)."""
    rng = np.random.default_rng([seed, 99])
    counts = np.full(len(truth), rows)
    if questions == "number differs":
        counts = np.where(rng.random(len(truth)) < 0.5, max(30, rows // 5), rows * 8)
    if questions == "same":
        own = rng.standard_normal((len(truth), rows))
        margins = norm.ppf(truth)[:, None] + np.sqrt(_ALIKE) * rng.standard_normal(rows) + np.sqrt(1 - _ALIKE) * own
        scores = (margins > 0).mean(1)
    else:
        scores = rng.binomial(counts, truth) / counts
    smoothed = (scores * counts + 1) / (counts + 2)
    return scores, np.sqrt(smoothed * (1 - smoothed) / counts)


def regrets(task: Task, scores: Array, errors: Array | None, queries: int, seed: int) -> list[float]:
    """Of one search: of the best as measured, as expected, and truly."""
    _, library, truth, _ = task
    settings = replace(BOSHNASSettings(origins=("scratch",), known_noise=True), patience=queries + 1)
    boshnas, asked = BOSHNAS(library, seed=seed, settings=settings), []
    places = {spec.hash: place for place, spec in enumerate(library.specs)}
    for _ in range(queries):
        [candidate] = boshnas.ask(1)
        asked.append(places[candidate.spec.hash])
        error = None if errors is None else float(errors[asked[-1]])
        boshnas.tell(candidate, float(scores[asked[-1]]), error=error)
    expected = [boshnas.predict(library.specs[place])[0] for place in asked]
    picked = asked[int(np.argmax(scores[asked]))], asked[int(np.argmax(expected))], asked[int(np.argmax(truth[asked]))]
    unit = truth.max() - np.median(truth)
    return [float((truth.max() - truth[place]) / unit) for place in picked]


def _made() -> Iterator[Task]:
    for seed, (kind, space) in enumerate(MADE, start=40):
        level = DesignSpace.from_yaml(Path(design_space.__file__).parent / f"{space}.yaml").level(layers_per_stack=2)
        specs, objective = level.sample(400, seed=seed), Objective(kind, level, seed)
        values = np.array([objective.truth(spec) for spec in specs])
        shares = np.clip(0.8 + 0.04 * (values - values.mean()) / values.std(), 0.5, 0.98)
        yield kind, library_of(tuple(specs), n_jobs=1), shares, 250


def _of_table(path: Path) -> Iterator[Task]:
    library = library_of(load_table(path, OF_TABLE[0][0]).specs, n_jobs=1)
    for metric, rows in OF_TABLE:
        yield metric, library, load_table(path, metric).gains / 100, rows


def _means(values: Array) -> list[str]:
    return [f"{value:.3f}" for value in values.mean(0)]


def _intervals(differences: Array) -> list[str]:
    rng = np.random.default_rng(0)
    means = [differences[rng.integers(len(differences), size=len(differences))].mean(0) for _ in range(2000)]
    low, high = np.percentile(means, [2.5, 97.5], axis=0)
    rows = zip(differences.mean(0), low, high, strict=True)
    return [f"{mean:+.3f} [{least:+.3f}, {most:+.3f}]" for mean, least, most in rows]


if __name__ == "__main__":
    main()
