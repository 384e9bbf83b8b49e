"""How far a score on so many rows may be off: the bootstrap over rows (Efron 1979).

Shapes: N rows, R resamples.
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from dataset import PreparedData

Array = npt.NDArray[np.float64]
_RESAMPLES, _MOST_ROWS = 100, 2000


def score_error(data: PreparedData, predictions: Any, labels: Any) -> float:
    """The standard error of a score: the deviation of the scores of resampled rows; of many rows, that of fewer, made
    smaller by the root of their share.

    Args:
        predictions: and ``labels``, as ``PreparedData.answers`` gives them.
    """
    drawn = min(len(labels), _MOST_ROWS)
    scores = resampled_scores(data, predictions, labels, resamples=_RESAMPLES, drawn=drawn)
    return float(np.nanstd(scores)) * math.sqrt(drawn / len(labels)) if not np.isnan(scores).all() else 0.0


def error_of_mean(errors: Sequence[float]) -> float:
    """The standard error of the mean of scores on different rows."""
    return math.hypot(*errors) / len(errors)


def resampled_scores(data: PreparedData, predictions: Any, labels: Any, *, resamples: int, drawn: int) -> Array:
    """(R,) scores of ``drawn`` of the rows, with replacement, the same in every call with as many rows, so that
    differences between models can be resampled too; not a number where a resample has no score, as one of a single
    class may."""
    rng, scores = np.random.default_rng(0), []
    for _ in range(resamples):
        places = rng.integers(len(labels), size=drawn)
        try:
            scores.append(data.compute_metrics(_at(predictions, places), _at(labels, places))[data.metric])
        except ValueError:
            scores.append(math.nan)
    return np.array(scores)


def _at(rows: Any, places: npt.NDArray[np.int64]) -> Any:
    return rows[places] if isinstance(rows, np.ndarray) else [rows[place] for place in places.tolist()]
