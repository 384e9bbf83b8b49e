"""The measures against SciPy, scikit-learn and arithmetic."""

import warnings

import numpy as np
import pytest
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import f1_score, log_loss, matthews_corrcoef, mean_absolute_error, roc_auc_score

from dataset.metrics import METRICS, find_metric


@pytest.fixture
def binary() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    labels = rng.integers(0, 2, 200)
    return np.where(rng.random(200) < 0.8, labels, 1 - labels), labels


def test_matthews_is_the_one_of_scikit_learn(binary: tuple[np.ndarray, np.ndarray]) -> None:
    predictions, labels = binary
    measured = METRICS["matthews_correlation"](predictions, labels)
    assert measured["matthews_correlation"] == pytest.approx(matthews_corrcoef(labels, predictions), abs=1e-12)


def test_accuracy_f1_is_the_mean_of_both_and_reports_both(binary: tuple[np.ndarray, np.ndarray]) -> None:
    predictions, labels = binary
    accuracy, f1 = (predictions == labels).mean(), f1_score(labels, predictions)
    measured = METRICS["accuracy_f1"](predictions, labels)
    assert measured == pytest.approx({"accuracy_f1": (accuracy + f1) / 2, "accuracy": accuracy, "f1": f1})


def test_pearson_spearman_is_the_mean_of_both_and_takes_a_column() -> None:
    rng = np.random.default_rng(1)
    labels = rng.uniform(0, 5, 100)
    predictions = np.exp(labels) + rng.normal(size=100)
    pearson, spearman = pearsonr(predictions, labels)[0], spearmanr(predictions, labels)[0]
    expected = {"pearson_spearman": (pearson + spearman) / 2, "pearson": pearson, "spearman": spearman}
    assert METRICS["pearson_spearman"](predictions, labels) == pytest.approx(expected)
    assert METRICS["pearson_spearman"](predictions[:, None], labels) == pytest.approx(expected)


def test_of_logits_the_largest_counts() -> None:
    logits = np.array([[0.1, 2.0, -1.0], [3.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    assert METRICS["accuracy"](logits, [1, 0, 2, 0]) == {"accuracy": 0.75}


@pytest.mark.parametrize("metric", METRICS)
@pytest.mark.parametrize("constant", [0, 1])
def test_constant_predictions_neither_warn_nor_fail(metric: str, constant: int) -> None:
    measured = METRICS[metric](np.full(6, constant), [0, 1, 0, 1, 1, 0])
    expected = {"matthews_correlation": 0.0, "pearson_spearman": 0.0, "accuracy": 0.5, "accuracy_f1": 0.25}
    if metric == "accuracy_f1" and constant == 1:
        expected["accuracy_f1"] = (0.5 + 2 / 3) / 2
    assert measured[metric] == pytest.approx(expected[metric])


@pytest.mark.parametrize(
    ("predictions", "labels", "message"),
    [
        ([0, 1], [0], r"'predictions' must have shape \(1,\) or \(1, number of classes\).*Got \(2,\)"),
        ([], [], "at least one label"),
        ([[0.0, float("nan")]], [0], "must be finite.*diverged"),
        ([[0.5]], [0], "number of classes"),
    ],
    ids=["lengths", "empty", "nan", "one column of logits"],
)
def test_what_cannot_be_measured_is_refused(predictions: list, labels: list, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        METRICS["accuracy"](predictions, labels)


def test_measures_of_scikit_learn_are_found_by_name(binary: tuple[np.ndarray, np.ndarray]) -> None:
    predictions, labels = binary
    macro = f1_score(labels, predictions, average="macro")
    assert find_metric("f1_macro")(predictions, labels) == {"f1_macro": pytest.approx(macro)}
    error = mean_absolute_error([1.0, 2.5], [1.5, 2.0])
    assert find_metric("neg_mean_absolute_error")([1.5, 2.0], [1.0, 2.5])["neg_mean_absolute_error"] == -error
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as in a user's process
        kinds = [find_metric(name).is_regression for name in ("r2", "f1_macro", "roc_auc", "v_measure_score")]
    assert kinds == [True, False, False, False]


def test_measures_of_how_sure_a_model_is_take_its_outputs() -> None:
    rng = np.random.default_rng(2)
    labels, outputs = rng.integers(0, 3, 50), rng.normal(size=(50, 3))
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    assert find_metric("neg_log_loss")(outputs, labels)["neg_log_loss"] == pytest.approx(-log_loss(labels, shares))
    two = outputs[:, :2]
    area = roc_auc_score(labels > 0, two[:, 1] - two[:, 0])
    assert find_metric("roc_auc")(two, labels > 0)["roc_auc"] == pytest.approx(area)
    with pytest.raises(ValueError, match="must be a model's outputs"):
        find_metric("roc_auc")([0, 1], [0, 1])


def test_several_labels_a_text_count_where_the_output_is_positive() -> None:
    labels = np.array([[1, 0, 1], [0, 0, 0], [0, 1, 0]])
    outputs = np.array([[2.0, -1, 3], [-1, -2, -3], [1, 1, -1]])
    expected = f1_score(labels, outputs > 0, average="micro")
    assert find_metric("f1_micro")(outputs, labels)["f1_micro"] == pytest.approx(expected)
    assert find_metric("accuracy")(outputs, labels)["accuracy"] == pytest.approx(2 / 3)


def test_an_unknown_measure_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(ValueError, match=r"scorer of scikit-learn. Got 'f1_makro'. Did you mean 'f1_macro'"):
        find_metric("f1_makro")
