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
    smaller by the root of their share. Where all rows are right, no resample differs: it is that of a share with one
    more row that is right and one that is wrong (Laplace's rule).

    Args:
        predictions: and ``labels``, as ``PreparedData.answers`` gives them.
    """
    drawn = min(len(labels), _MOST_ROWS)
    scores = resampled_scores(data, predictions, labels, resamples=_RESAMPLES, drawn=drawn)
    if np.isnan(scores).all():
        return 0.0
    if np.nanmin(scores) == 1:
        share = (len(labels) + 1) / (len(labels) + 2)
        return math.sqrt(share * (1 - share) / (len(labels) + 2))
    return float(np.nanstd(scores)) * math.sqrt(drawn / len(labels))


def interval(resampled: Array, score: float, confidence: float, *, rows: int | None = None) -> tuple[float, float]:
    """The percentiles of resampled scores, or of differences; the score alone where no resample has one.

    Args:
        rows: that were scored. Where all of them are right no resample differs, and the interval is that of Clopper and
            Pearson (1934).
    """
    if np.isnan(resampled).all():
        return score, score
    if rows is not None and np.nanmin(resampled) == 1:
        return ((1 - confidence) / 2) ** (1 / rows), 1.0
    low, high = np.nanpercentile(resampled, (100 * (1 - confidence) / 2, 100 * (1 + confidence) / 2))
    return float(low), float(high)


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
