"""One's own table whose texts are marked from within: a tag for every word, or the place of an answer.

The columns show which of the two it is: lists of words beside lists of as many tags, or answers like SQuAD's. Without
files for validation and test the rows are split; questions on one context stay together.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from ..kinds.question_answering import question_columns, question_rows
from ..kinds.token_classification import tag_columns, tag_names, tag_split, tagged_rows, usual_tag_metric
from ..task import QUESTIONS, SPLITS, TOKENS, Task
from .options import TableOptions
from .readers import unit_of
from .splitting import split_off

logger = logging.getLogger(__name__)


def load_annotated(
    frames: Mapping[str, pd.DataFrame], origins: Mapping[str, str], path: Path, options: TableOptions, *, seed: int
) -> Task | None:
    """The task in tables by split, or None when they are of whole texts.

    Args:
        origins: of each split, for messages.
        options: ``text_column`` names words or questions, ``text_pair_column`` contexts, ``label_column`` tags or
            answers.

    Raises:
        ValueError: naming the first row that is wrong, and why.
    """
    train = frames["train"]
    tagged = tag_columns(train, options.text_column, options.label_column)
    if tagged is not None:
        return _tagged(frames, origins, path, options, tagged, seed)
    asked = question_columns(train, options.text_column, options.text_pair_column, options.label_column)
    return None if asked is None else _asked(frames, origins, path, options, asked, seed)


def _tagged(
    frames: Mapping[str, pd.DataFrame],
    origins: Mapping[str, str],
    path: Path,
    options: TableOptions,
    columns: tuple[str, str],
    seed: int,
) -> Task:
    if (options.text_column, options.label_column) != columns:
        logger.warning("%s: words from '%s', their tags from '%s'", path.name, *columns)
    rows = {
        split: tagged_rows(_with(frame, columns, origins[split]), origins[split], unit_of(origins[split]), *columns)
        for split, frame in frames.items()
    }
    split_off(rows, seed)
    names = tag_names(rows["train"]["tags"])
    tables = {
        split: tag_split(part, names, origins.get(split, str(path)), unit_of(origins.get(split, str(path))))
        for split, part in rows.items()
    }
    metric = options.metric or usual_tag_metric(names)
    return Task(
        name=_name(path),
        task_type=TOKENS,
        label_names=names,
        metric=metric,
        **_in_order(tables),  # type: ignore[arg-type]
    )


def _asked(
    frames: Mapping[str, pd.DataFrame],
    origins: Mapping[str, str],
    path: Path,
    options: TableOptions,
    columns: tuple[str, str, str],
    seed: int,
) -> Task:
    if (options.text_column, options.text_pair_column, options.label_column) != columns:
        logger.warning("%s: questions from '%s', contexts from '%s', answers from '%s'", path.name, *columns)
    rows = {split: _with(frame, columns, origins[split]) for split, frame in frames.items()}
    for split, frame in rows.items():  # before contexts are compared
        question_rows(frame, origins[split], unit_of(origins[split]), columns)
    split_off(rows, seed, together=[columns[1]])
    tables = {split: question_rows(part, str(path), "row", columns) for split, part in rows.items()}
    lacks = any(not answers for table in tables.values() for answers in table["answers"])
    metric = options.metric or "answer_f1"
    return Task(
        name=_name(path),
        task_type=QUESTIONS,
        metric=metric,
        may_lack_answers=lacks,
        **_in_order(tables),  # type: ignore[arg-type]
    )


def _with(frame: pd.DataFrame, columns: tuple[str, ...], origin: str) -> pd.DataFrame:
    missing = [name for name in columns if name not in frame.columns]
    if missing:
        raise ValueError(
            f"{origin} has no column {', '.join(map(repr, missing))}. Its columns: {', '.join(map(str, frame.columns))}"
        )
    return frame[list(columns)]


def _in_order(tables: Mapping[str, object]) -> dict[str, object]:
    return {split: tables[split] for split in SPLITS if split in tables}


def _name(path: Path) -> str:
    return path.stem.replace(":", "-")
