"""A task as a table: text in, a class, several labels or a number out, and how good the answers are.

Whatever the source (GLUE, an own file, the embedded text), a task ends in the same columns, so nothing after this needs
to know where the examples come from. Letters: ``N`` examples, ``C`` classes.
"""

import warnings
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import datasets as hf_datasets
import numpy as np
from numpy.typing import ArrayLike

from .metrics import Metrics, find_metric

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class TaskDescription:
    """What a task asks for, of examples in memory (``Task``) and on disk (``PreparedData``) alike.

    Args:
        name: how the task is called in files and messages.
        label_names: class names by id; empty for regression.
        metric: name of the measure that is maximised, one that ``find_metric`` knows.
        is_multi_label: whether a text may have several of the labels, or none.
    """

    name: str
    label_names: tuple[str, ...] = ()
    metric: str = "accuracy"
    is_multi_label: bool = False

    @property
    def is_regression(self) -> bool:
        """Whether labels are real numbers."""
        return not self.label_names

    @property
    def num_labels(self) -> int:
        """Outputs that a model needs: the number of classes, 1 for regression."""
        return len(self.label_names) or 1

    @property
    def problem_type(self) -> str:
        """As Hugging Face calls it, which decides the loss."""
        if self.is_multi_label:
            return "multi_label_classification"
        return "regression" if self.is_regression else "single_label_classification"

    def compute_metrics(self, predictions: ArrayLike, labels: ArrayLike) -> Metrics:
        """Measures of a set of predictions, ``metric`` among them; higher is better.

        Args:
            predictions: class ids or numbers ``(N,)``, or a model's outputs ``(N, num_labels)``.
            labels: ``(N,)``; ``(N, num_labels)`` of a multi-label task.
        """
        return find_metric(self.metric)(predictions, labels)


@dataclass(frozen=True, kw_only=True)
class Task(TaskDescription):
    """Examples of one task in normalised columns, with the measure it is judged by.

    Columns of each split: ``text``, ``text_pair`` (paired tasks only) and ``label`` (a class id in
    ``[0, num_labels)``, a float, or of a multi-label task a list of ``num_labels`` zeros and ones).

    Args:
        train, validation: at least one example each.
        test: labelled examples that nothing was chosen on, or None where none are published.
        unlabelled: published test rows whose labels are secret, by split: ``text``, ``text_pair``.

    Raises:
        ValueError: listing everything that is wrong with the columns, labels or metric.
    """

    train: hf_datasets.Dataset
    validation: hf_datasets.Dataset
    test: hf_datasets.Dataset | None = None
    unlabelled: Mapping[str, hf_datasets.Dataset] = field(default_factory=dict)

    def __post_init__(self) -> None:
        problems = self._problems_of_the_metric()
        if len(self.label_names) == 1 and not self.is_multi_label:
            problems.append(f"a classification task needs at least two classes. Got only {self.label_names[0]!r}")
        for split, table in self.splits.items():
            problems += [f"'{split}' {problem}" for problem in self._problems(table)]
        if problems:
            raise ValueError(f"Task '{self.name}' is not valid: " + "; ".join(problems))

    @property
    def splits(self) -> dict[str, hf_datasets.Dataset]:
        """The splits that exist, in the order train, validation, test."""
        tables = {"train": self.train, "validation": self.validation, "test": self.test}
        return {split: table for split, table in tables.items() if table is not None}

    @property
    def is_paired(self) -> bool:
        """Whether each example has two texts."""
        return "text_pair" in self.train.column_names

    def majority_share(self, split: str) -> float:
        """Share, in [0, 1], of a split that has the most frequent class of train: the accuracy of this answer."""
        if self.is_regression:
            raise ValueError(f"Task '{self.name}' is a regression task, which has no majority class; use its metric")
        if split not in self.splits:
            raise ValueError(f"Task '{self.name}' has no split '{split}'. Available: {', '.join(self.splits)}")
        return majority_share(self.train["label"][:], self.splits[split]["label"][:])

    def _problems_of_the_metric(self) -> list[str]:
        """Measures of outputs that say every class once: what cannot measure these fits no other outputs."""
        try:
            metric = find_metric(self.metric)
        except ValueError as error:
            return [str(error)]
        misfit = f"'metric' {self.metric} does not fit {self.num_labels} labels"
        if metric.is_regression != self.is_regression:
            return [f"{misfit}; use another metric"]
        num = max(self.num_labels, 2)
        outputs = np.arange(1.0, 3.0)[:, None] if self.is_regression else 2 * np.eye(num)[:, : self.num_labels] - 1
        labels = outputs > 0 if self.is_multi_label else outputs[:, 0] if self.is_regression else np.arange(num)
        with warnings.catch_warnings():
            warnings.simplefilter("error", UserWarning)
            try:
                metric(outputs, labels)
            except (ValueError, TypeError, UserWarning) as error:
                return [] if len(self.label_names) == 1 else [f"{misfit}: {error}"]
        return []

    def _problems(self, table: hf_datasets.Dataset) -> list[str]:
        wanted = ["text", "text_pair", "label"] if self.is_paired else ["text", "label"]
        if sorted(table.column_names) != sorted(wanted):
            return [f"must have the columns {', '.join(wanted)}. Got {', '.join(table.column_names)}"]
        if len(table) == 0:
            return ["must have at least one example. Got none"]
        labels = np.asarray(table["label"][:])
        if self.is_multi_label:
            fits = labels.shape == (len(table), self.num_labels) and bool(np.isin(labels, (0, 1)).all())
            return [] if fits else [f"must have labels that are lists of {self.num_labels} zeros and ones"]
        if self.is_regression:
            return [] if np.isfinite(labels).all() else ["has labels that are not finite numbers"]
        outside = sorted(set(labels.tolist()) - set(range(self.num_labels)))
        return [f"has labels outside [0, {self.num_labels}): {outside[:5]}"] if outside else []


def majority_share(train_labels: Sequence[Any], labels: Sequence[Any]) -> float:
    """Share of ``labels`` equal to the most frequent of ``train_labels`` (of two equally frequent, the smaller id).

    Args:
        train_labels, labels: class ids; or, of a multi-label task, lists of zeros and ones.
    """
    counts = Counter(map(_hashable, train_labels))
    majority = min(counts, key=lambda label: (-counts[label], label))
    return sum(_hashable(label) == majority for label in labels) / len(labels)


def _hashable(label: Any) -> Any:
    return tuple(label) if isinstance(label, list) else label


def make_split(
    columns: Mapping[str, Sequence[object]], *, is_regression: bool = False, is_multi_label: bool = False
) -> hf_datasets.Dataset:
    """A split from columns, with the types that every task uses: strings, int64 classes, float64 numbers or lists of
    float32 zeros and ones."""
    types: dict[str, Any] = {name: hf_datasets.Value("string") for name in columns}
    types["label"] = hf_datasets.Value("float64" if is_regression else "int64")
    if is_multi_label:
        types["label"] = hf_datasets.List(hf_datasets.Value("float32"))
    return hf_datasets.Dataset.from_dict(
        {name: list(values) for name, values in columns.items()}, features=hf_datasets.Features(types)
    )
