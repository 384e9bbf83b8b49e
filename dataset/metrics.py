"""How good predictions are: the measures of GLUE (Wang et al., 2018, table 1), each a number to maximise.

MRPC and QQP are judged by the mean of accuracy and F1, STS-B by the mean of Pearson's and Spearman's correlations, as
on the GLUE board. Constant predictions, which a collapsed model makes, have correlation 0 instead of an undefined one.
Letters: ``N`` examples, ``C`` classes.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.stats import ConstantInputWarning, NearConstantInputWarning, pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

Array = npt.NDArray[Any]
Metrics = dict[str, float]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measure of predictions; calling it gives a dict with the number that is maximised and its parts.

    Args:
        function: of predictions ``(N,)`` and labels ``(N,)``.
        is_regression: whether it compares real numbers; else class ids.
    """

    function: Callable[[Array, Array], Metrics]
    is_regression: bool = False

    def __call__(self, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> Metrics:
        """Measure.

        Args:
            predictions: class ids or numbers ``(N,)``; or a model's outputs, ``(N, C)`` of which the largest
                counts, ``(N, 1)`` for regression.
            labels: ``(N,)``.

        Raises:
            ValueError: when shapes do not fit, there are no examples, or a value is not finite.
        """
        outputs, truth = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        if truth.ndim != 1 or len(truth) == 0:
            raise ValueError(f"'labels' must be a list of at least one label. Got shape {truth.shape}")
        is_matrix = outputs.ndim == 2 and (outputs.shape[1] == 1) == self.is_regression
        if len(outputs.shape) == 0 or len(outputs) != len(truth) or not (outputs.ndim == 1 or is_matrix):
            columns = "1" if self.is_regression else "number of classes"
            raise ValueError(
                f"'predictions' must have shape ({len(truth)},) or ({len(truth)}, {columns}) to fit the labels. "
                f"Got {outputs.shape}"
            )
        if not (np.isfinite(outputs).all() and np.isfinite(truth).all()):
            raise ValueError(
                "'predictions' and 'labels' must be finite. Got nan or inf; the model has probably diverged"
            )
        if is_matrix:
            outputs = outputs[:, 0] if self.is_regression else outputs.argmax(axis=1).astype(np.float64)
        return self.function(outputs, truth)


def _accuracy(predictions: Array, labels: Array) -> Metrics:
    return {"accuracy": float((predictions == labels).mean())}


def _accuracy_and_f1(predictions: Array, labels: Array) -> Metrics:
    accuracy = float((predictions == labels).mean())
    f1 = float(f1_score(labels == 1, predictions == 1, zero_division=0.0))
    return {"accuracy_f1": (accuracy + f1) / 2, "accuracy": accuracy, "f1": f1}


def _matthews(predictions: Array, labels: Array) -> Metrics:
    constant = np.ptp(predictions) == 0 or np.ptp(labels) == 0
    correlation = 0.0 if constant else float(matthews_corrcoef(labels, predictions))
    return {"matthews_correlation": correlation, "accuracy": float((predictions == labels).mean())}


def _pearson_and_spearman(predictions: Array, labels: Array) -> Metrics:
    pearson, spearman = _correlation(pearsonr, predictions, labels), _correlation(spearmanr, predictions, labels)
    return {"pearson_spearman": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}


def _correlation(function: Callable[..., tuple[float, float]], predictions: Array, labels: Array) -> float:
    if len(labels) < 2 or np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # equal up to rounding: the value is 0 below
        warnings.simplefilter("ignore", NearConstantInputWarning)
        return float(np.nan_to_num(function(predictions, labels)[0]))


METRICS: dict[str, Metric] = {
    "accuracy": Metric(function=_accuracy),
    "accuracy_f1": Metric(function=_accuracy_and_f1),
    "matthews_correlation": Metric(function=_matthews),
    "pearson_spearman": Metric(function=_pearson_and_spearman, is_regression=True),
}
