"""Metrics, each a number to maximise: those of GLUE (Wang et al., 2018, table 1) and every scorer of scikit-learn.

MRPC and QQP are judged by the mean of accuracy and F1, STS-B by the mean of Pearson's and Spearman's correlations, as
on the GLUE board. Constant predictions, which a collapsed model makes, have correlation 0 instead of an undefined one;
those that differ by no more than the rounding of a network's numbers count as constant. Labels by which no predictions
can be judged (of a single class, where a measure compares classes) are an error, never a score.
Letters: ``N`` examples, ``C`` classes.
"""

import functools
import inspect
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
from scipy.special import expit, softmax
from scipy.stats import ConstantInputWarning, NearConstantInputWarning, pearsonr, spearmanr
from sklearn import metrics as sk_metrics
from sklearn.base import BaseEstimator
from sklearn.exceptions import UndefinedMetricWarning

from design_space.files import nearest_name

Array = npt.NDArray[Any]
Metrics = dict[str, float]
_ROUNDING = 16 * float(np.finfo(np.float32).eps)  # of a number at the end of a network, relative to it


@dataclass(frozen=True, kw_only=True)
class Metric:
    """A measure of predictions; calling it gives a dict with the number that is maximised and its parts.

    Args:
        function: of predictions and labels, each ``(N,)``, or ``(N, C)`` of zeros and ones where a text may have
            several labels; with ``needs_scores`` of probabilities ``(N,)`` (two classes) or ``(N, C)``.
        is_regression: whether it compares real numbers; else class ids.
        needs_scores: whether it wants to know how sure the model is.
    """

    function: Callable[[Array, Array], Metrics]
    is_regression: bool = False
    needs_scores: bool = False

    def __call__(self, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> Metrics:
        """The number that is maximised, under the metric's name, and its parts.

        Args:
            predictions: class ids or numbers ``(N,)``; or a model's outputs, ``(N, C)`` of which the largest
                counts, ``(N, 1)`` for regression. With several labels a text: outputs ``(N, C)``, those above 0 count.
            labels: ``(N,)``; with several labels a text ``(N, C)``, zeros and ones.

        Raises:
            ValueError: when shapes do not fit, there are no examples, a value is not finite, or the measure is
                undefined.
        """
        outputs = np.asarray(predictions)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UndefinedMetricWarning)  # a class without predictions counts as 0
            warnings.filterwarnings("ignore", "No positive class found")  # told below
            measured = self._measured(outputs, labels)
        name, value = next(iter(measured.items()))
        if value == 0 or np.isnan(value):  # what scikit-learn says of the undefined
            ids = int(max(np.max(labels), outputs.max(), 1)) + 1
            reason = self.why_undefined(labels, outputs.shape[1] if outputs.ndim == 2 else ids)
            if reason:
                raise ValueError(f"The metric is undefined for these labels, whatever the predictions are: {reason}")
        if np.isnan(value) and name.startswith("neg_"):  # 0 would be the best
            raise ValueError(f"The metric {name} is undefined for these predictions")
        return measured | {name: 0.0 if np.isnan(value) else value}

    def why_undefined(self, labels: npt.ArrayLike, num_labels: int) -> str | None:
        """The reason, in words of the measure, why no predictions can be judged by these labels; None when they can.

        That is when the score of every prediction is undefined, or when right ones score no better than all others.

        Args:
            labels: as in a call. num_labels: classes, 1 for regression.
        """
        truth = np.asarray(labels, dtype=np.float64)
        reason = self._why_undefined(truth, num_labels)
        if reason and self.is_regression and np.ptp(truth):  # numbers far from 0 may differ by rounding alone
            return self._why_undefined(truth - truth.mean(), num_labels)
        return reason

    def _why_undefined(self, truth: Array, num_labels: int) -> str | None:
        judged = [self._judged(outputs, truth) for outputs in _right_and_others(truth, num_labels, self.is_regression)]
        if all(problem for _, problem in judged):
            return judged[0][1]
        (right, _), *others = judged
        return "right predictions score no better than wrong ones" if right <= min(v for v, _ in others) else None

    def _judged(self, outputs: Array, truth: Array) -> tuple[float, str]:
        """A score, and why it is none: it is nan, or scikit-learn warns of more than a class without predictions."""
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            try:
                value = next(iter(self._measured(outputs, truth).values()))
            except (ValueError, TypeError) as error:
                return np.nan, str(error)
        minor = () if np.isnan(value) else UndefinedMetricWarning
        said = [one for one in caught if issubclass(one.category, UserWarning) and not issubclass(one.category, minor)]
        return value, str(said[0].message) if said else "it is not a number" if np.isnan(value) else ""

    def _measured(self, predictions: npt.ArrayLike, labels: npt.ArrayLike) -> Metrics:
        outputs, truth = np.asarray(predictions, dtype=np.float64), np.asarray(labels, dtype=np.float64)
        if truth.ndim not in (1, 2) or len(truth) == 0:
            raise ValueError(f"'labels' must be a list of at least one label. Got shape {truth.shape}")
        if not (np.isfinite(outputs).all() and np.isfinite(truth).all()):
            raise ValueError(
                "'predictions' and 'labels' must be finite. Got nan or inf; the model has probably diverged"
            )
        if truth.ndim == 2:
            if outputs.shape != truth.shape or self.is_regression:
                raise ValueError(f"'predictions' must be outputs of shape {truth.shape}. Got {outputs.shape}")
            return self.function(expit(outputs) if self.needs_scores else outputs > 0, truth)
        is_matrix = outputs.ndim == 2 and (outputs.shape[1] == 1) == self.is_regression
        if len(outputs.shape) == 0 or len(outputs) != len(truth) or not (outputs.ndim == 1 or is_matrix):
            columns = "1" if self.is_regression else "number of classes"
            raise ValueError(
                f"'predictions' must have shape ({len(truth)},) or ({len(truth)}, {columns}) to fit the labels. "
                f"Got {outputs.shape}"
            )
        if self.needs_scores:
            if not is_matrix:
                raise ValueError(f"'predictions' of this metric must be a model's outputs ({len(truth)}, C). Got ids")
            shares = softmax(outputs, axis=1)
            return self.function(shares[:, 1] if shares.shape[1] == 2 else shares, truth)
        if is_matrix:
            outputs = outputs[:, 0] if self.is_regression else outputs.argmax(axis=1).astype(np.float64)
        return self.function(outputs, truth)


@functools.cache
def find_metric(name: str) -> Metric:
    """The metric of a name: one of ``METRICS``, or scikit-learn's scorer of that name (``f1_macro``, ``roc_auc``,
    ``r2``, ...).

    Raises:
        ValueError: for a name that neither knows.
    """
    if name in METRICS:
        return METRICS[name]
    known = sk_metrics.get_scorer_names()
    if name not in known:
        raise ValueError(
            f"'metric' must be one of {', '.join(METRICS)} or a scorer of scikit-learn. Got {name!r}. "
            f"{nearest_name(name, [*METRICS, *known])}"
        )
    needs_scores, scorer = name in _OF_PROBABILITIES, sk_metrics.get_scorer(name)

    def measure(predictions: Array, labels: Array) -> Metrics:
        if needs_scores:
            value = _of_probabilities(name, predictions, labels)
        else:
            value = scorer(_AsPredicted(), predictions, labels)
        return {name: float(np.nan_to_num(value, nan=np.nan))}

    is_regression = not needs_scores and _takes_real_numbers(measure)
    return Metric(function=measure, is_regression=is_regression, needs_scores=needs_scores)


class _AsPredicted(BaseEstimator):
    """A model, as scorers ask for one, whose inputs are its predictions."""

    def predict(self, predictions: Array) -> Array:
        return predictions


def _of_probabilities(name: str, probabilities: Array, labels: Array) -> float:
    """The scorer's value, also where some of several classes have no example, which a scorer itself does not allow."""
    function = _OF_PROBABILITIES[name]
    is_single_label = probabilities.ndim == 2 and labels.ndim == 1
    takes_classes = is_single_label and "labels" in inspect.signature(function).parameters
    classes = {"labels": np.arange(probabilities.shape[1])} if takes_classes else {}
    value = function(labels, probabilities, **classes)
    return -value if name.startswith("neg_") else value


def _takes_real_numbers(measure: Callable[[Array, Array], Metrics]) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)  # measures of clusterings only warn
        try:
            measure(np.array([0.75, 1.25, 2.5, 3.5]), np.array([0.5, 1.5, 2.5, 3.75]))
        except (ValueError, UserWarning):
            return False
    return True


def _right_and_others(truth: Array, num_labels: int, is_regression: bool) -> tuple[Array, Array, Array]:
    """The outputs of a model that is right, of one that is wrong everywhere, and of one that says the same always."""
    if is_regression:  # not exactly right: a measure that then only is defined tells no models apart
        spread = np.ptp(truth)
        nearly = truth + 1e-6 * (spread or 1.0) * (1 + np.arange(len(truth)) % 2)
        return nearly, (truth.max() + truth.min() - truth if spread else truth + 1), np.zeros_like(truth)
    hot = truth if truth.ndim == 2 else truth[:, None] == np.arange(num_labels)
    right = np.where(hot, 10.0, -10.0)
    return right, -right, np.full_like(right, -10.0)


def _accuracy(predictions: Array, labels: Array) -> Metrics:
    """The share of the texts whose labels are all right."""
    right = predictions == labels
    return {"accuracy": float((right if right.ndim == 1 else right.all(axis=1)).mean())}


def _accuracy_and_f1(predictions: Array, labels: Array) -> Metrics:
    accuracy = float((predictions == labels).mean())
    f1 = float(sk_metrics.f1_score(labels == 1, predictions == 1, zero_division=0.0))
    return {"accuracy_f1": (accuracy + f1) / 2, "accuracy": accuracy, "f1": f1}


def _matthews(predictions: Array, labels: Array) -> Metrics:
    constant = np.ptp(predictions) == 0 or np.ptp(labels) == 0
    correlation = 0.0 if constant else float(sk_metrics.matthews_corrcoef(labels, predictions))
    return {"matthews_correlation": correlation, "accuracy": float((predictions == labels).mean())}


def _pearson_and_spearman(predictions: Array, labels: Array) -> Metrics:
    pearson, spearman = _correlation(pearsonr, predictions, labels), _correlation(spearmanr, predictions, labels)
    return {"pearson_spearman": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}


def _correlation(function: Callable[..., tuple[float, float]], predictions: Array, labels: Array) -> float:
    rounding = _ROUNDING * np.abs(predictions).max()
    if len(labels) < 2 or np.ptp(predictions) <= rounding or np.ptp(labels) == 0:
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
_area = functools.partial(sk_metrics.roc_auc_score, multi_class="ovr")
_OF_PROBABILITIES: dict[str, Callable[..., float]] = {
    "average_precision": sk_metrics.average_precision_score,
    "d2_log_loss_score": sk_metrics.d2_log_loss_score,
    "neg_brier_score": sk_metrics.brier_score_loss,
    "neg_log_loss": sk_metrics.log_loss,
    "roc_auc": _area,
    "roc_auc_ovo": functools.partial(_area, multi_class="ovo"),
    "roc_auc_ovo_weighted": functools.partial(_area, multi_class="ovo", average="weighted"),
    "roc_auc_ovr": _area,
    "roc_auc_ovr_weighted": functools.partial(_area, average="weighted"),
    "top_k_accuracy": sk_metrics.top_k_accuracy_score,
}
if hasattr(sk_metrics, "d2_brier_score"):  # from scikit-learn 1.8, which is not for Python 3.10
    _OF_PROBABILITIES["d2_brier_score"] = sk_metrics.d2_brier_score
