"""Searchers on the suite: all searches, and what they say together.

Average rank: at each task and count the searchers are ranked by mean regret (1 is the best, equals share a rank), then
averaged. Intervals (95 %) are percentiles of a bootstrap over tasks and, within each, seeds: what other tasks of this
kind would say. Tasks that share a table are not independent, so they are somewhat narrow.
Shapes: T tasks, S seeds, C counts, N searchers, B resamples.
"""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed
from scipy.stats import rankdata

from design_space.files import parse_json, write_atomically

from .searchers import CONTROLS
from .suite import COUNTS, NUM_QUERIES, ListedTask, Outcome, Task

_RESAMPLES = 1000
_TOLERANCE = 1e-9

Array = npt.NDArray[np.float64]
Results = dict[str, Any]


def search_suite(
    tasks: Sequence[Task],
    names: Sequence[str],
    *,
    seeds: Sequence[int],
    n_jobs: int,
    out: Path | None,
    progress: Callable[[int, int], None],
) -> tuple[Results, int]:
    """All searches, as ``out`` holds them: by task, searcher and seed.

    Args:
        out: written after each task. What controls found, and it holds already of the same task, is taken from it.

    Returns:
        The results, and the number of searches that were taken over.
    """
    before: Results = parse_json(out.read_text(encoding="utf-8")).get("tasks", {}) if out and out.exists() else {}
    results: Results = {}
    taken, total = 0, len(tasks) * len(names) * len(seeds)
    for number, task in enumerate(tasks):
        known = before.get(task.name, {})
        searches = known.get("searches", {}) if known.get("fingerprint") == task.fingerprint else {}
        kept = {name: dict(of) for name, of in searches.items() if name in CONTROLS}
        jobs = [(name, seed) for name in names for seed in seeds if str(seed) not in kept.get(name, {})]
        taken += len(names) * len(seeds) - len(jobs)
        found = Parallel(min(n_jobs, len(jobs)) or 1, max_nbytes=None)(
            delayed(_search)(task, name, seed) for name, seed in jobs
        )
        for (name, seed), outcome in zip(jobs, found, strict=True):
            kept.setdefault(name, {})[str(seed)] = {"regrets": outcome.regrets, "seconds": outcome.seconds}
        results[task.name] = {
            "fingerprint": task.fingerprint,
            "listed": isinstance(task, ListedTask),
            "searches": searches | kept,
        }
        if out is not None:
            write_atomically(out, json.dumps({"tasks": before | results}) + "\n")
        progress((number + 1) * len(names) * len(seeds), total)
    return results, taken


def _search(task: Task, name: str, seed: int) -> Outcome:
    return task.search(name, seed)


def suite_figures(results: Results, names: Sequence[str], seeds: Sequence[int]) -> dict[str, dict[str, Any]]:
    """By searcher: ``rank`` and ``regret`` (by count) with intervals, ``found_best`` (share of searches of listed
    tasks), ``unbeaten`` (share of tasks on which none is better at the end, by more than the interval of the
    difference), ``seconds_per_suggestion``."""
    regrets = _regrets(results, names, seeds)
    T, S = regrets.shape[1:3]
    rng = np.random.default_rng(0)
    ranks, means = [_ranks(regrets.mean(2))], [regrets.mean((1, 2))]
    for _ in range(_RESAMPLES):
        drawn, again = rng.integers(T, size=T), rng.integers(S, size=(T, S))
        resampled = np.take_along_axis(regrets[:, drawn], again[None, :, :, None], axis=2).mean(2)
        ranks.append(_ranks(resampled))
        means.append(resampled.mean(1))
    listed = np.array([of["listed"] for of in results.values()])
    unbeaten = _unbeaten(regrets[..., -1], rng)
    figures = {}
    for number, name in enumerate(names):
        seconds = [of["searches"][name][str(seed)]["seconds"] for of in results.values() for seed in seeds]
        figures[name] = {
            "rank": _interval([one[number] for one in ranks]),
            "regret": {
                str(count): _interval([one[number, place] for one in means]) for place, count in enumerate(COUNTS)
            },
            "found_best": float((regrets[number][listed][..., -1] <= _TOLERANCE).mean()) if listed.any() else None,
            "unbeaten": float(unbeaten[number].mean()),
            "seconds_per_suggestion": float(np.mean(seconds)) / NUM_QUERIES,
        }
    return figures


def suite_markdown(results: Results, names: Sequence[str], seeds: Sequence[int]) -> str:
    """Two tables: over all tasks, and the mean regret at the end of each task, the best in bold."""
    figures = suite_figures(results, names, seeds)
    names = sorted(names, key=lambda name: figures[name]["rank"]["mean"])
    heads = [
        "searcher",
        "average rank",
        *(f"regret @{count}" for count in COUNTS),
        "best found",
        "unbeaten",
        "s / suggestion",
    ]
    rows = []
    for name in names:
        of = figures[name]
        found = "" if of["found_best"] is None else f"{of['found_best']:.0%}"
        regrets = [_shown(of["regret"][str(count)], 3) for count in COUNTS]
        seconds = f"{of['seconds_per_suggestion']:.3f}"
        rows.append([f"`{name}`", _shown(of["rank"], 2), *regrets, found, f"{of['unbeaten']:.0%}", seconds])
    last = _regrets(results, names, seeds)[..., -1].mean(2)
    by_task = []
    for place, task in enumerate(results):
        least = last[:, place].min() + _TOLERANCE
        cells = [f"**{one:.3f}**" if one <= least else f"{one:.3f}" for one in last[:, place]]
        by_task.append([task, *cells])
    heading = f"{len(results)} tasks, {len(seeds)} seeds, 95 % intervals:"
    detail = f"Mean regret @{COUNTS[-1]} by task:"
    tables = _markdown(heads, rows), _markdown(["task", *(f"`{name}`" for name in names)], by_task)
    return f"{heading}\n\n{tables[0]}\n\n{detail}\n\n{tables[1]}"


def _regrets(results: Results, names: Sequence[str], seeds: Sequence[int]) -> Array:
    """(N, T, S, C)."""
    return np.array(
        [[[of["searches"][name][str(seed)]["regrets"] for seed in seeds] for of in results.values()] for name in names]
    )


def _ranks(means: Array) -> Array:
    """(N,) average ranks, of mean regrets (N, T, C)."""
    ranks: Array = rankdata(means.round(9), axis=0).mean((1, 2))
    return ranks


def _unbeaten(regrets: Array, rng: np.random.Generator) -> npt.NDArray[np.bool_]:
    """(N, T) of regrets (N, T, S)."""
    N, T, S = regrets.shape
    means = np.stack([regrets[:, :, rng.integers(S, size=S)].mean(2) for _ in range(_RESAMPLES)])  # (B, N, T)
    beaten = np.zeros((N, T), dtype=bool)
    for other in range(N):
        lead = np.quantile(means - means[:, [other]], 0.025, axis=0)
        beaten |= lead > _TOLERANCE
    return ~beaten


def _interval(values: Sequence[float]) -> dict[str, float]:
    """Of a figure, first as it is, then resampled."""
    low, high = np.quantile(values[1:], [0.025, 0.975])
    return {"mean": float(values[0]), "low": float(low), "high": float(high)}


def _shown(figure: dict[str, float], digits: int) -> str:
    return f"{figure['mean']:.{digits}f} [{figure['low']:.{digits}f}, {figure['high']:.{digits}f}]"


def _markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---"] * len(heads), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)
