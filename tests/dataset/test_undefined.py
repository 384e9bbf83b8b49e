"""Measures that a split's labels leave undefined: refused before training, and never a score."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from scipy.stats import pearsonr
from sklearn.metrics import roc_auc_score

from dataset import TableOptions, load_task
from dataset.metrics import METRICS, find_metric
from dataset.task import Task, make_split

TWO_OF_THREE = np.array([0, 1] * 20)
THREE = np.array([0, 1, 2, 1] * 10)
SEVERAL = np.column_stack([TWO_OF_THREE, 1 - TWO_OF_THREE, np.zeros(40)])


@pytest.mark.parametrize(
    ("metric", "labels"),
    [
        ("roc_auc_ovr", TWO_OF_THREE),
        ("roc_auc", TWO_OF_THREE),
        ("roc_auc", SEVERAL),
        ("average_precision", SEVERAL[:, 2:]),
        ("matthews_correlation", np.zeros(40, int)),
        ("f1", np.zeros(40, int)),
    ],
    ids=["one vs rest", "classes", "labels", "no label", "one class", "no positive"],
)
def test_what_the_labels_leave_undefined_is_no_score(metric: str, labels: np.ndarray) -> None:
    num = 2 if metric in ("f1", "matthews_correlation") else 3
    outputs = 3 * (2 * labels - 1) if labels.ndim == 2 else 3 * np.eye(num)[labels]
    assert find_metric(metric).why_undefined(labels, num)
    with pytest.raises(ValueError, match="undefined for these labels, whatever the predictions are"):
        find_metric(metric)(outputs, labels)


@pytest.mark.parametrize(
    "metric",
    [
        *("accuracy", "accuracy_f1", "balanced_accuracy", "f1_macro", "matthews_corrcoef", "neg_log_loss"),
        *("recall_macro", "roc_auc_ovr_weighted", "top_k_accuracy"),
    ],
)
def test_most_measures_need_no_row_of_every_class(metric: str) -> None:
    assert find_metric(metric).why_undefined(TWO_OF_THREE, 3) is None


@pytest.mark.parametrize("metric", ["f1_macro", "f1_micro", "f1_samples", "recall_macro", "recall_samples", "accuracy"])
def test_a_label_that_no_text_has_counts_as_scikit_learn_documents(metric: str) -> None:
    assert find_metric(metric).why_undefined(SEVERAL, 3) is None


@pytest.mark.parametrize(
    ("metric", "labels", "is_defined"),
    [
        ("pearson_spearman", [2.0, 2.0, 2.0], False),
        ("pearson_spearman", [2.0], False),
        ("r2", [2.0], False),
        ("r2", [2.0, 2.0, 2.0], False),
        ("neg_mean_squared_log_error", [-2.0, 1.0], False),
        ("neg_mean_squared_log_error", [0.0, 1.0], True),
        ("neg_mean_squared_error", [2.0, 2.0], True),
        ("neg_mean_poisson_deviance", [1.0, 3.0], True),
        ("r2", [1.0, 2.0, 3.0], True),
        ("pearson_spearman", [1.0, 2.0], True),
    ],
)
def test_numbers_that_do_not_differ_have_no_correlation(metric: str, labels: list[float], is_defined: bool) -> None:
    assert (find_metric(metric).why_undefined(labels, 1) is None) == is_defined


@pytest.mark.parametrize("metric", ["matthews_correlation", "f1", "f1_macro", "recall", "precision", "accuracy"])
def test_predictions_that_leave_a_score_undefined_count_as_before(metric: str) -> None:
    labels = np.array([0, 1] * 20)
    expected = {"accuracy": 0.5, "f1_macro": 1 / 3}
    assert find_metric(metric)(np.zeros(40, int), labels)[metric] == pytest.approx(expected.get(metric, 0.0))


def test_defined_areas_are_those_of_scikit_learn() -> None:
    outputs = np.random.default_rng(0).normal(size=(40, 3))
    shares = np.exp(outputs) / np.exp(outputs).sum(axis=1, keepdims=True)
    expected = roc_auc_score(THREE, shares, multi_class="ovr")
    assert find_metric("roc_auc_ovr")(outputs, THREE)["roc_auc_ovr"] == pytest.approx(expected)
    assert find_metric("roc_auc_ovr")(-8 * np.eye(3)[THREE], THREE) == {"roc_auc_ovr": 0.0}  # that bad indeed


def test_differences_in_the_last_digit_of_a_network_are_no_correlation() -> None:
    rng = np.random.default_rng(0)
    labels = rng.normal(size=50)
    last_digit = np.float32(8.63013) + np.spacing(np.float32(8.63013)) * rng.integers(-2, 3, 50).astype(np.float32)
    assert len(set(last_digit.tolist())) == 5
    assert abs(pearsonr(last_digit.astype(float), labels)[0]) > 0.01
    assert METRICS["pearson_spearman"](last_digit, labels)["pearson_spearman"] == 0.0
    small = (8.63013 + 1e-4 * labels).astype(np.float32)
    assert METRICS["pearson_spearman"](small, labels)["pearson"] == pytest.approx(1.0, abs=1e-4)


def _csv(path: Path, labels: list[Any]) -> Path:
    path.write_text("text,label\n" + "".join(f"{path.stem} text {i},{label}\n" for i, label in enumerate(labels)))
    return path


@pytest.mark.parametrize("split", ["validation", "test"])
@pytest.mark.parametrize("metric", ["roc_auc_ovr", "average_precision"])
def test_a_task_whose_metric_needs_a_missing_class_is_refused(tmp_path: Path, metric: str, split: str) -> None:
    train = _csv(tmp_path / "a.csv", ["x", "y", "z"] * 8)
    full, lacking = _csv(tmp_path / "b.csv", ["x", "y", "z"]), _csv(tmp_path / "c.csv", ["x", "y", "y"])
    files = {"validation_file": full, "test_file": full, f"{split}_file": lacking}
    message = rf"'{split}' has no row of 'z', so that the metric {metric} is undefined .*another metric"
    with pytest.raises(ValueError, match=message):
        load_task(train, table=TableOptions(**files, metric=metric))
    load_task(train, table=TableOptions(**files, metric="f1_macro"))
    load_task(train, table=TableOptions(validation_file=full, metric=metric))


def test_a_regression_is_refused_where_validation_has_one_number(tmp_path: Path) -> None:
    train, same = _csv(tmp_path / "a.csv", [0.5, 1.5, 2.5]), _csv(tmp_path / "b.csv", [2.5, 2.5])
    message = "'validation' has only one number as label, so that the metric pearson_spearman is undefined"
    with pytest.raises(ValueError, match=message):
        load_task(train, table=TableOptions(validation_file=same))
    error = load_task(train, table=TableOptions(validation_file=same, metric="neg_mean_absolute_error"))
    assert error.compute_metrics([2.0, 3.5], [2.5, 2.5]) == {"neg_mean_absolute_error": -0.75}


def test_what_a_measure_cannot_take_at_all_is_refused_as_well() -> None:
    split = make_split({"text": ["a", "b", "c"], "label": [[1], [0], [1]]}, is_multi_label=True)
    one = {"name": "t", "train": split, "validation": split, "label_names": ("x",), "is_multi_label": True}
    assert Task(**one, metric="f1_micro").compute_metrics([[1], [-1], [1]], split["label"][:]) == {"f1_micro": 1.0}
    with pytest.raises(
        ValueError, match="'validation' does not fit, so that the metric matthews_correlation is undefined"
    ):
        Task(**one, metric="matthews_correlation")


def test_numbers_far_from_0_can_be_judged() -> None:
    labels = 1.7e9 + 1200 * np.sin(np.arange(60.0))
    assert find_metric("pearson_spearman").why_undefined(labels, 1) is None
    assert find_metric("pearson_spearman").why_undefined(np.full(60, 1.7e9), 1) is not None
    assert find_metric("neg_mean_squared_log_error").why_undefined(np.linspace(-3, 3, 60), 1) is not None
