"""How good predictions are: the measures of GLUE (Wang et al., 2018, table 1), each a number to maximise.

MRPC and QQP are judged by the mean of accuracy and F1, STS-B by the mean of Pearson's and Spearman's correlations, as on the GLUE board.
Constant predictions, which an untrained or collapsed model makes, have correlation 0 instead of an undefined one.
Letters: ``N`` examples, ``C`` classes.
"""

import warnings
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from scipy.stats import ConstantInputWarning, NearConstantInputWarning, pearsonr, spearmanr
from sklearn.metrics import f1_score, matthews_corrcoef

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A function of predictions ``(N,)`` and labels ``(N,)``, and the kind of task it is for."""

    function: Callable[[Array, Array], dict[str, float]]
    is_regression: bool = False


def compute_metrics(
    metric: str, predictions: npt.ArrayLike, labels: npt.ArrayLike, *, num_labels: int
) -> dict[str, float]:
    """Measures of predictions, with the one that is maximised under the key ``metric``.

    Args:
        metric: one of ``METRICS``.
        predictions: class ids or numbers ``(N,)``, or a model's outputs ``(N, num_labels)`` of which the largest counts.
        labels: ``(N,)``.
        num_labels: number of classes; 1 for regression.

    Raises:
        ValueError: when shapes do not fit, there are no examples, or a value is not finite.
    """
    outputs, truth = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
    if truth.ndim != 1 or len(truth) == 0:
        raise ValueError(f"'labels' must be a list of at least one label. Got shape {truth.shape}")
    if outputs.shape not in ((len(truth),), (len(truth), num_labels)):
        raise ValueError(
            f"'predictions' must have shape ({len(truth)},) or ({len(truth)}, {num_labels}) to fit the labels. Got {outputs.shape}"
        )
    if not (np.isfinite(outputs).all() and np.isfinite(truth).all()):
        raise ValueError("'predictions' and 'labels' must be finite. Got nan or inf; the model has probably diverged")
    if outputs.ndim == 2:
        outputs = outputs[:, 0] if num_labels == 1 else outputs.argmax(axis=1).astype(np.float64)
    return METRICS[metric].function(outputs, truth)


def _accuracy(predictions: Array, labels: Array) -> dict[str, float]:
    return {"accuracy": float((predictions == labels).mean())}


def _accuracy_and_f1(predictions: Array, labels: Array) -> dict[str, float]:
    accuracy = float((predictions == labels).mean())
    f1 = float(f1_score(labels == 1, predictions == 1, zero_division=0.0))
    return {"accuracy_f1": (accuracy + f1) / 2, "accuracy": accuracy, "f1": f1}


def _matthews(predictions: Array, labels: Array) -> dict[str, float]:
    constant = np.ptp(predictions) == 0 or np.ptp(labels) == 0
    correlation = 0.0 if constant else float(matthews_corrcoef(labels, predictions))
    return {"matthews_correlation": correlation, "accuracy": float((predictions == labels).mean())}


def _pearson_and_spearman(predictions: Array, labels: Array) -> dict[str, float]:
    pearson, spearman = _correlation(pearsonr, predictions, labels), _correlation(spearmanr, predictions, labels)
    return {"pearson_spearman": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}


def _correlation(function: Callable[..., tuple[float, float]], predictions: Array, labels: Array) -> float:
    if len(labels) < 2 or np.ptp(predictions) == 0 or np.ptp(labels) == 0:
        return 0.0
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConstantInputWarning)  # equal up to rounding: the value is 0 below
        warnings.simplefilter("ignore", NearConstantInputWarning)
        return float(np.nan_to_num(function(predictions, labels)[0]))


METRICS = {
    "accuracy": Metric(function=_accuracy),
    "accuracy_f1": Metric(function=_accuracy_and_f1),
    "matthews_correlation": Metric(function=_matthews),
    "pearson_spearman": Metric(function=_pearson_and_spearman, is_regression=True),
}
