"""A task as a table: text in, a class or a number out, and how good the answers are.

Whatever the source (GLUE, an own file, the embedded text), a task ends in the same columns, so nothing after this needs
to know where the examples come from. Letters: ``N`` examples, ``C`` classes.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import datasets as hf_datasets
import numpy as np
from numpy.typing import ArrayLike

from .metrics import METRICS, Metrics

SPLITS = ("train", "validation", "test")


@dataclass(frozen=True, kw_only=True)
class Task:
    """Examples of one task in normalised columns, with the measure it is judged by.

    Columns of each split: ``text``, ``text_pair`` (paired tasks only) and ``label`` (a class id in
    ``[0, num_labels)``, or a float).

    Args:
        name: how the task is called in files and messages.
        train, validation: at least one example each.
        test: labelled examples that nothing was chosen on, or None where none are published.
        label_names: class names by id; empty for regression.
        metric: name of the measure that is maximised, one of ``METRICS``.

    Raises:
        ValueError: listing everything that is wrong with the columns, labels or metric.
    """

    name: str
    train: hf_datasets.Dataset
    validation: hf_datasets.Dataset
    test: hf_datasets.Dataset | None = None
    label_names: tuple[str, ...] = ()
    metric: str = "accuracy"

    def __post_init__(self) -> None:
        problems = []
        if self.metric not in METRICS:
            problems.append(f"'metric' must be one of {', '.join(METRICS)}. Got {self.metric!r}")
        elif METRICS[self.metric].is_regression != self.is_regression:
            problems.append(f"'metric' {self.metric} does not fit {self.num_labels} labels; use another metric")
        if len(self.label_names) == 1:
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
    def is_regression(self) -> bool:
        """Whether labels are real numbers."""
        return not self.label_names

    @property
    def num_labels(self) -> int:
        """Outputs that a model needs: the number of classes, 1 for regression."""
        return len(self.label_names) or 1

    @property
    def is_paired(self) -> bool:
        """Whether each example has two texts."""
        return "text_pair" in self.train.column_names

    def compute_metrics(self, predictions: ArrayLike, labels: ArrayLike) -> Metrics:
        """Measures of a set of predictions, ``metric`` among them; higher is better.

        Args:
            predictions: class ids or numbers ``(N,)``, or a model's outputs ``(N, num_labels)``.
            labels: ``(N,)``.
        """
        return METRICS[self.metric](predictions, labels)

    def majority_share(self, split: str) -> float:
        """Share, in [0, 1], of a split that has the most frequent class of train: the accuracy of this answer."""
        if self.is_regression:
            raise ValueError(f"Task '{self.name}' is a regression task, which has no majority class; use its metric")
        if split not in self.splits:
            raise ValueError(f"Task '{self.name}' has no split '{split}'. Available: {', '.join(self.splits)}")
        return majority_share(self.train["label"][:], self.splits[split]["label"][:])

    def _problems(self, table: hf_datasets.Dataset) -> list[str]:
        wanted = ["text", "text_pair", "label"] if self.is_paired else ["text", "label"]
        if sorted(table.column_names) != sorted(wanted):
            return [f"must have the columns {', '.join(wanted)}. Got {', '.join(table.column_names)}"]
        if len(table) == 0:
            return ["must have at least one example. Got none"]
        labels = np.asarray(table["label"][:])
        if self.is_regression:
            return [] if np.isfinite(labels).all() else ["has labels that are not finite numbers"]
        outside = sorted(set(labels.tolist()) - set(range(self.num_labels)))
        return [f"has labels outside [0, {self.num_labels}): {outside[:5]}"] if outside else []


def majority_share(train_labels: Sequence[int], labels: Sequence[int]) -> float:
    """Share of ``labels`` equal to the most frequent of ``train_labels`` (of two equally frequent, the smaller id)."""
    counts = Counter(train_labels)
    majority = min(counts, key=lambda label: (-counts[label], label))
    return sum(label == majority for label in labels) / len(labels)


def make_split(columns: Mapping[str, Sequence[object]], *, is_regression: bool) -> hf_datasets.Dataset:
    """A split from columns, with the types that every task uses: strings, int64 classes or float64 numbers."""
    types = {name: hf_datasets.Value("string") for name in columns}
    types["label"] = hf_datasets.Value("float64" if is_regression else "int64")
    return hf_datasets.Dataset.from_dict(
        {name: list(values) for name, values in columns.items()}, features=hf_datasets.Features(types)
    )
