"""Replays: a searcher is asked and told, query by query, from a table; one process per seed, several side by side."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from botorch.utils.multi_objective.hypervolume import Hypervolume
from botorch.utils.multi_objective.pareto import is_non_dominated
from joblib import Parallel, delayed
from torch import Tensor

from .pool import Pool, Searcher
from .searchers import make_searcher
from .table import Table


@dataclass(frozen=True)
class Replay:
    """What one searcher found with one seed.

    Attributes:
        regret: (Q,) best score of the table minus the best so far, after each query.
        seconds: time of all suggestions, the fits included.
        volume: (Q,) of several objectives, the hypervolume of the front so far as a share of that of the whole table;
            above the table's lowest score and below its highest costs.
    """

    searcher: str
    seed: int
    regret: npt.NDArray[np.float64]
    seconds: float
    volume: npt.NDArray[np.float64] | None = None


def replay(name: str, table: Table, pool: Pool, *, num_queries: int, seed: int) -> Replay:
    """Asks and tells ``num_queries`` times. Before the first finite score the regret is that of the worst one."""
    searcher: Searcher = make_searcher(name, pool, seed=seed, num_queries=num_queries)
    outcomes = table.outcomes
    best, gains, asked, seconds = float(np.nanmin(table.gains)), [], [], 0.0
    for _ in range(num_queries):
        start = time.perf_counter()
        index = searcher.ask()
        seconds += time.perf_counter() - start
        assert index is not None, f"{name} gave up with architectures left"
        gain = float(table.gains[index])
        searcher.tell(index, gain, (-outcomes[index, 1:]).tolist())
        asked.append(index)
        best = best if np.isnan(gain) else max(best, gain)
        gains.append(best)
    volume = volume_shares(outcomes, asked) if table.costs else None
    return Replay(name, seed, table.best_gain - np.array(gains), seconds, volume)


def volume_shares(outcomes: npt.NDArray[np.float64], asked: Sequence[int]) -> npt.NDArray[np.float64]:
    """Returns the hypervolume (Q,) after each query of ``outcomes`` (N, M), all of which should be high, as a share of
    that of all of them; the reference point is the worst of each."""
    known = torch.from_numpy(outcomes[~np.isnan(outcomes).any(1)])
    worst, best = known.amin(0), known.amax(0)
    unit = (best - worst).clamp_min(1e-12)
    volume = Hypervolume(torch.zeros(outcomes.shape[1], dtype=torch.float64))

    def of(points: Tensor) -> float:
        return float(volume.compute(points[is_non_dominated(points)])) if len(points) else 0.0

    scaled = (torch.from_numpy(outcomes) - worst) / unit
    whole, shares = of((known - worst) / unit), []
    for count in range(1, len(asked) + 1):
        points = scaled[list(asked[:count])]
        shares.append(of(points[~points.isnan().any(1)]) / whole if whole else 1.0)
    return np.array(shares)


def replay_all(
    names: Sequence[str],
    table: Table,
    pool: Pool,
    *,
    num_queries: int,
    seeds: Sequence[int],
    n_jobs: int,
    progress: Callable[[int, int], None],
) -> dict[str, list[Replay]]:
    """Replays all searchers with all seeds, by name, in the order of the seeds; ``progress`` is called with done and
    total."""
    jobs = [(name, seed) for seed in seeds for name in names]
    run = Parallel(min(n_jobs, len(jobs)), return_as="generator_unordered", max_nbytes=None)
    tasks = (delayed(replay)(name, table, pool, num_queries=num_queries, seed=seed) for name, seed in jobs)
    done: dict[tuple[str, int], Replay] = {}
    for result in run(tasks):
        done[result.searcher, result.seed] = result
        progress(len(done), len(jobs))
    return {name: [done[name, seed] for seed in seeds] for name in names}
