"""Statistics of replays: mean regret and hypervolume with bootstrap intervals, the share of seeds that found the best,
and time.

Shapes: S seeds, Q queries.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from .replay import Replay

STEP = 10
CONFIDENCE = 0.95
_RESAMPLES = 2000
_TOLERANCE = 1e-9


def checkpoints(num_queries: int) -> list[int]:
    """Returns 10, 20, ... queries, and the last one."""
    return sorted({*range(STEP, num_queries + 1, STEP), num_queries})


def summarize(replays: Sequence[Replay]) -> dict[str, Any]:
    """Returns the figures of one searcher, as ``--out`` writes them."""
    regret_SQ = np.stack([replay.regret for replay in replays])
    num_queries = regret_SQ.shape[1]
    figures = {
        "regret": {str(count): interval(regret_SQ[:, count - 1]) for count in checkpoints(num_queries)},
        "found_best": float((regret_SQ[:, -1] <= _TOLERANCE).mean()),
        "seconds_per_suggestion": sum(replay.seconds for replay in replays) / regret_SQ.size,
        "seeds": len(replays),
    }
    volumes = [replay.volume for replay in replays if replay.volume is not None]
    if volumes:
        volume_SQ = np.stack(volumes)
        figures["hypervolume"] = {str(count): interval(volume_SQ[:, count - 1]) for count in checkpoints(num_queries)}
    return figures


def interval(values_S: npt.NDArray[np.float64]) -> dict[str, float]:
    """Returns the mean over seeds and its percentile bootstrap interval (95 %), the same for the same values."""
    rng = np.random.default_rng(0)
    means = rng.choice(values_S, (_RESAMPLES, len(values_S))).mean(1)
    low, high = np.quantile(means, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
    return {"mean": float(values_S.mean()), "low": float(low), "high": float(high)}


def mean_curve(replays: Sequence[Replay]) -> npt.NDArray[np.float64]:
    """Returns the mean regret (Q,) after each query, or of several objectives the share of hypervolume that is
    missing."""
    volumes = [replay.volume for replay in replays if replay.volume is not None]
    if volumes:
        return 1 - np.stack(volumes).mean(0)
    return np.stack([replay.regret for replay in replays]).mean(0)
