"""Tasks: what a valid one is, and which one a name means."""

from pathlib import Path
from typing import Any

import pytest

from dataset import TableOptions, load_task
from dataset.task import Task, majority_share, make_split


def _task(**changes: object) -> Task:
    split = make_split({"text": ["a", "b", "c"], "label": [0, 1, 1]}, is_regression=False)
    return Task(**{"name": "t", "train": split, "validation": split, "label_names": ("no", "yes"), **changes})


def test_a_classification_task_says_what_it_is() -> None:
    task = _task()
    assert (task.num_labels, task.is_regression, task.is_paired, task.test) == (2, False, False, None)
    assert task.compute_metrics([0, 1, 0], task.train["label"][:])[task.metric] == pytest.approx(2 / 3)
    assert majority_share(task.train["label"][:], task.validation["label"][:]) == pytest.approx(2 / 3)


def test_always_answering_the_class_frequent_in_train_is_the_baseline() -> None:
    assert majority_share(_task().train["label"][:], [0, 0, 0, 1]) == 0.25


def test_a_regression_task_has_one_output() -> None:
    split = make_split({"text": ["a", "b"], "text_pair": ["c", "d"], "label": [0.5, 2]}, is_regression=True)
    task = Task(name="t", train=split, validation=split, metric="pearson_spearman")
    assert (task.num_labels, task.is_regression, task.is_paired) == (1, True, True)


def test_the_majority_is_that_of_train_not_of_the_split() -> None:
    assert majority_share([0, 0, 1], [1, 1, 1, 0]) == 0.25


def test_everything_wrong_with_a_task_is_said_at_once() -> None:
    other = make_split({"text": ["a"], "label": [7]}, is_regression=False)
    with pytest.raises(ValueError, match=r"'metric' must be one of.*Got 'bleu'.*labels outside \[0, 2\): \[7\]"):
        _task(metric="bleu", validation=other)


def test_missing_columns_are_named() -> None:
    with pytest.raises(ValueError, match=r"must have the columns text, label. Got sentence, label"):
        _task(validation=make_split({"sentence": ["a"], "label": [0]}, is_regression=False))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"task": "colla"}, "Unknown task 'colla'. Did you mean 'cola'.*python_docs.*wnli"),
        ({"task": "python_docs", "data_dir": "x"}, "does not use 'data_dir'"),
        ({"task": "cola", "table": TableOptions(label_column="x")}, "does not use 'label_column'"),
        ({"task": "mine.csv", "data_dir": "x"}, "'data_dir' is for GLUE tasks"),
    ],
    ids=["misspelt", "folder for the embedded task", "column of GLUE", "folder for a file"],
)
def test_what_no_task_can_be_is_refused(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task(**arguments)


def test_names_are_known_as_glue_writes_them(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"Task 'sst2'.*holds none of train.tsv"):
        load_task("SST-2", data_dir=tmp_path)


def test_a_metric_that_cannot_measure_the_labels_is_refused() -> None:
    split = make_split({"text": ["a", "b", "c"], "label": [0, 1, 2]})
    three = {"train": split, "validation": split, "label_names": ("a", "b", "c")}
    assert _task(**three, metric="f1_macro").metric == "f1_macro"
    with pytest.raises(ValueError, match=r"'metric' f1 does not fit 3 labels: Target is multiclass"):
        _task(**three, metric="f1")
    with pytest.raises(ValueError, match=r"'metric' r2 does not fit 2 labels"):
        _task(metric="r2")


def test_a_multi_label_task_has_lists_of_zeros_and_ones() -> None:
    split = make_split({"text": ["a", "b"], "label": [[0, 1, 1], [0, 0, 0]]}, is_multi_label=True)
    task = _task(train=split, validation=split, label_names=("x", "y", "z"), metric="f1_micro", is_multi_label=True)
    assert (task.num_labels, task.problem_type) == (3, "multi_label_classification")
    assert task.compute_metrics([[-1, 2, 3], [-1, -1, 0.5]], split["label"][:]) == {"f1_micro": pytest.approx(0.8)}
    assert majority_share(task.train["label"][:], task.validation["label"][:]) == 0.5
    short = make_split({"text": ["a"], "label": [[0, 1]]}, is_multi_label=True)
    with pytest.raises(ValueError, match=r"'validation' must have labels that are lists of 3 zeros and ones"):
        _task(train=split, validation=short, label_names=("x", "y", "z"), metric="f1_micro", is_multi_label=True)
