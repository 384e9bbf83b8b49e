"""A task as a table: text in; a class, several labels, a number, a tag for each word or a piece of the text out; and
how good the answers are.

Whatever the source (GLUE, an own file, the embedded text), a task ends in the same columns, so nothing after this needs
to know where the examples come from. Letters: ``N`` examples, ``C`` classes.
"""

import warnings
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import datasets as hf_datasets
import numpy as np
from numpy.typing import ArrayLike

from .kinds.question_answering import ANSWER_METRICS, answer_metrics
from .kinds.token_classification import ENTITY_F1, is_entity_scheme, tag_metrics, what_tags_lack
from .metrics import Metrics, find_metric

TEXT, TOKENS, QUESTIONS = TASK_TYPES = ("text", "token_classification", "question_answering")
COLUMNS = {TOKENS: ("tokens", "tags"), QUESTIONS: ("question", "context", "answers", "answer_starts")}
SPLITS = ("train", "validation", "test")
FURTHER = "further"
"""A split without labels, which a teacher gives."""


@dataclass(frozen=True, kw_only=True)
class TaskDescription:
    """The description of what a task asks for, of examples in memory (``Task``) and on disk (``PreparedData``) alike.

    Args:
        name: how the task is called in files and messages.
        label_names: class names by id; empty for regression and for answers.
        metric: name of the measure that is maximised, one that ``find_metric`` knows, ``entity_f1`` for tags of
            entities, or one of ``ANSWER_METRICS``.
        is_multi_label: whether a text may have several of the labels, or none.
        task_type: one of ``TASK_TYPES``: labels of whole texts, of their words, or pieces that answer a question.
        may_lack_answers: whether a question may have no answer.
    """

    name: str
    label_names: tuple[str, ...] = ()
    metric: str = "accuracy"
    is_multi_label: bool = False
    task_type: str = TEXT
    may_lack_answers: bool = False

    @property
    def is_regression(self) -> bool:
        """Whether labels are real numbers."""
        return self.task_type == TEXT and not self.label_names

    @property
    def num_labels(self) -> int:
        """The number of outputs that a model needs: the number of classes, 1 for regression, 2 for the ends of an
        answer."""
        return len(self.label_names) or (2 if self.task_type == QUESTIONS else 1)

    @property
    def problem_type(self) -> str | None:
        """Hugging Face's name for labels of whole texts, which decides the loss; None for other types of tasks."""
        if self.task_type != TEXT:
            return None
        if self.is_multi_label:
            return "multi_label_classification"
        return "regression" if self.is_regression else "single_label_classification"

    def compute_metrics(self, predictions: ArrayLike, labels: ArrayLike) -> Metrics:
        """The measures of a set of predictions, ``metric`` among them; higher is better.

        Args:
            predictions: class ids or numbers ``(N,)``, or a model's outputs ``(N, num_labels)``; for words
                those of ``tag_metrics``; or the texts of ``N`` answers.
            labels: ``(N,)``; ``(N, num_labels)`` of a multi-label task; of words a list for each text; of each question
                a list of right answers.
        """
        if self.task_type == TOKENS:
            return tag_metrics(predictions, labels, self.label_names, self.metric)  # type: ignore[arg-type]
        if self.task_type == QUESTIONS:
            return answer_metrics(predictions, labels)  # type: ignore[arg-type]
        return find_metric(self.metric)(predictions, labels)


@dataclass(frozen=True, kw_only=True)
class Task(TaskDescription):
    """Examples of one task in normalised columns, with the measure it is judged by.

    Columns of each split: ``text``, ``text_pair`` (paired tasks only) and ``label`` (a class id in
    ``[0, num_labels)``, a float, or of a multi-label task a list of ``num_labels`` zeros and ones). Of words ``tokens``
    and ``tags`` (a class id for each); of questions ``question``, ``context``, ``answers`` and ``answer_starts``.

    Args:
        train, validation: at least one example each.
        test: labelled examples that nothing was chosen on, or None where none are published.
        unlabelled: published test rows whose labels are secret, by split, and those that a teacher labels
            (``FURTHER``): ``text``, ``text_pair``.

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
        if self.task_type != QUESTIONS and not problems:
            problems = [problem for split in ("validation", "test") for problem in self._problems_of_measuring(split)]
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

    def texts(self) -> Iterator[str]:
        """The training texts, words joined by blanks, questions and their contexts."""
        for row in self.train.select_columns(list(COLUMNS.get(self.task_type, ("text",))[:2])):
            for value in row.values():
                if not isinstance(value, list):
                    yield value
                elif value and isinstance(value[0], str):
                    yield " ".join(value)

    def _problems_of_the_metric(self) -> list[str]:
        """The reasons why the metric does not fit: it is tried on outputs that say every class once."""
        if self.task_type == QUESTIONS:
            known = self.metric in ANSWER_METRICS
            return [] if known else [f"'metric' must be one of {', '.join(ANSWER_METRICS)}. Got {self.metric!r}"]
        if self.task_type == TOKENS and self.metric == ENTITY_F1:
            fits = is_entity_scheme(self.label_names)
            return [] if fits else [f"'metric' {ENTITY_F1} needs tags like B-PER, I-PER and O. Got {self.label_names}"]
        try:
            metric = find_metric(self.metric)
        except ValueError as error:
            return [str(error)]
        misfit = f"'metric' {self.metric} does not fit {self.num_labels} labels"
        if metric.is_regression != self.is_regression or (metric.needs_scores and self.task_type == TOKENS):
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

    def _problems_of_measuring(self, split: str) -> list[str]:
        """The reasons why the metric can judge nothing by a split's labels, found before a model is trained."""
        if split not in self.splits:
            return []
        if self.task_type == TOKENS:
            lacks = what_tags_lack(self.splits[split]["tags"][:], self.label_names, self.metric)
            remedy = f"Give a file for {split} with other texts, or take another metric"
            return [f"'{split}' {lacks}. {remedy}"] if lacks else []
        labels = np.asarray(self.splits[split]["label"][:])
        reason = find_metric(self.metric).why_undefined(labels, self.num_labels)
        if reason is None:
            return []
        if self.is_regression:
            lacks = "has labels that do not fit" if np.ptp(labels) else "has only one number as label"
        else:
            of_each = np.asarray(labels if self.is_multi_label else labels[:, None] == np.arange(self.num_labels))
            absent, always = (
                ", ".join(repr(self.label_names[number]) for number in np.flatnonzero(found))
                for found in (~of_each.any(axis=0), of_each.all(axis=0))
            )
            lacks = f"has no row of {absent}" if absent else f"has only rows of {always}" if always else "does not fit"
        remedies = "or" if self.is_regression else "leave the class out, or"
        return [
            f"'{split}' {lacks}, so that the metric {self.metric} is undefined ({reason.rstrip('.')}). Give a file for "
            f"{split} with other rows, {remedies} take another metric"
        ]

    def _problems(self, table: hf_datasets.Dataset) -> list[str]:
        wanted = list(
            COLUMNS.get(self.task_type, ("text", "text_pair", "label") if self.is_paired else ("text", "label"))
        )
        if sorted(table.column_names) != sorted(wanted):
            return [f"must have the columns {', '.join(wanted)}. Got {', '.join(table.column_names)}"]
        if len(table) == 0:
            return ["must have at least one example. Got none"]
        if self.task_type == QUESTIONS:
            lacks = not self.may_lack_answers and any(not answers for answers in table["answers"])
            return ["has questions without an answer"] if lacks else []
        if self.task_type == TOKENS:
            tags = {tag for row in table["tags"] for tag in row} - set(range(self.num_labels))
            return [f"has tags outside [0, {self.num_labels}): {sorted(tags)[:5]}"] if tags else []
        labels = np.asarray(table["label"][:])
        if self.is_multi_label:
            fits = labels.shape == (len(table), self.num_labels) and bool(np.isin(labels, (0, 1)).all())
            return [] if fits else [f"must have labels that are lists of {self.num_labels} zeros and ones"]
        if self.is_regression:
            return [] if np.isfinite(labels).all() else ["has labels that are not finite numbers"]
        outside = sorted(set(labels.tolist()) - set(range(self.num_labels)))
        return [f"has labels outside [0, {self.num_labels}): {outside[:5]}"] if outside else []


def majority_share(train_labels: Sequence[Any], labels: Sequence[Any], *, of_words: bool = False) -> float:
    """The share of ``labels`` equal to the most frequent of ``train_labels`` (of two equally frequent, the smaller id).

    Args:
        train_labels, labels: class ids; or, of a multi-label task, lists of zeros and ones.
        of_words: both are lists of class ids for each text, of which those below 0 do not count.
    """
    if of_words:
        train_labels, labels = ([tag for row in rows for tag in row if tag >= 0] for rows in (train_labels, labels))
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
