"""``comparison.json`` and ``answers.json`` of a run directory: models side by side on the same held-out rows, and what
the best one answers there. Written when a run ends, read by its report.
"""

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, with_config
from typing_extensions import TypedDict

from design_space.files import read_json, write_atomically
from design_space.schemas import SHAPE, checked
from flexibert.runtimes.runner import described

COMPARISON_FILE, ANSWERS_FILE = "comparison.json", "answers.json"

Interval = Annotated[list[float], Field(min_length=3, max_length=3)]
"""A value and the ends of its 95 % interval."""

Kind = Literal["encoder", "baseline", "level", "best", "simple"]
"""The pre-trained encoder that a search started from, a known architecture, the best of an earlier level of
``shrink_model``, what the run chose, and what needs no network to be trained."""


@with_config(SHAPE)
class Milliseconds(TypedDict):
    """Of a forward pass."""

    median_ms: float
    low_ms: float
    high_ms: float


@with_config(SHAPE)
class Model(TypedDict):
    """One of several models. ``difference`` and ``kept`` (its share of the score; None where that has no meaning) are
    to the first; ``behind`` is what the best one scores more."""

    name: str
    kind: Kind
    trial: str | None
    score: Interval
    difference: Interval
    behind: Interval
    kept: Interval | None
    parameters: int
    latency: Milliseconds | None
    note: str


@with_config(SHAPE)
class Comparison(TypedDict):
    """All of them, what they were measured on, and sentences that say which goals were missed. ``sizes``: rows of all
    splits."""

    metric: str
    split: str
    rows: int
    sizes: dict[str, int]
    length: int
    threads: int
    runtime: str
    models: list[Model]
    unmet: list[str]


@with_config(SHAPE)
class ClassScores(TypedDict):
    """How one class is told."""

    name: str
    precision: float
    recall: float
    f1: float
    rows: int


@with_config(SHAPE)
class Example(TypedDict):
    """A text, what it is, and what the models say."""

    text: str
    label: str
    best: str
    sure: float
    reference: str | None


@with_config(SHAPE)
class Answers(TypedDict):
    """What the best model answers. ``confusion[i][j]``: rows of class ``i`` that were taken for ``j``; None of too many
    classes. ``counts``: rows that both, only the best, only the reference, and neither get right."""

    trial: str
    split: str
    rows: int
    reference: str | None
    label_names: list[str]
    confusion: list[list[int]] | None
    classes: list[ClassScores]
    counts: dict[str, int] | None
    examples: list[Example]
    num_wrong: int


_COMPARISON: TypeAdapter[Any] = TypeAdapter(Comparison)
_ANSWERS: TypeAdapter[Any] = TypeAdapter(Answers)


def timed_in(comparison: Comparison) -> str:
    """What its times are of, in words."""
    place = described(comparison["runtime"], "cpu", comparison["threads"])
    return f"one text of {comparison['length']} tokens in {place}"


def write_comparison(folder: Path, comparison: Comparison, answers: Answers | None) -> None:
    """Writes both files; where there are no answers to show, removes those of before."""
    write_atomically(folder / COMPARISON_FILE, json.dumps(comparison, indent=2))
    if answers is None:
        (folder / ANSWERS_FILE).unlink(missing_ok=True)
    else:
        write_atomically(folder / ANSWERS_FILE, json.dumps(answers, indent=2))


def read_comparison(folder: Path) -> tuple[Comparison | None, Answers | None]:
    """Reads what there is of them. Raises ``ValueError`` for a damaged file."""
    compared, answers = folder / COMPARISON_FILE, folder / ANSWERS_FILE
    return (
        checked(_COMPARISON, read_json(compared), compared) if compared.is_file() else None,
        checked(_ANSWERS, read_json(answers), answers) if answers.is_file() else None,
    )
