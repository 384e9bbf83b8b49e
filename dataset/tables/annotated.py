"""One's own table whose texts are marked from within: a tag for every word, or the place of an answer.

The columns show which of the two it is: lists of words beside lists of as many tags, or answers like SQuAD's. Without
files for validation and test the rows are split; questions on one context stay together.
"""

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import pandas as pd

from ..kinds.question_answering import question_columns, question_rows
from ..kinds.token_classification import ENTITY_F1, is_entity_scheme, tag_columns, tag_names, tag_split, tagged_rows
from ..task import QUESTIONS, SPLITS, TOKENS, Task
from .cells import without_empty
from .options import TableOptions
from .readers import check_columns, unit_of
from .splitting import split_off

NO_ENTITIES = (
    "tags are scored word by word, 'O' among them. Entities are scored when all other tags are like B-PER, by one of "
    "the schemes IOB, IOBES, BILOU, BMES"
)

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
    named = options.text_column, options.text_pair_column, options.label_column
    tagged = tag_columns(frames["train"], named[0], named[2])
    asked = None if tagged else question_columns(frames["train"], *named)
    content: dict[str, Any]
    if tagged:
        if tagged != named[::2]:
            logger.warning("%s: words from '%s', their tags from '%s'", path.name, *tagged)
        tables, names = _tagged(_only(frames, tagged, origins, options), origins, path, tagged, seed)
        usual = ENTITY_F1 if is_entity_scheme(names) else "accuracy"
        if usual == "accuracy" and "O" in names:
            logger.warning("%s: %s", path.name, NO_ENTITIES)
        content = {"task_type": TOKENS, "label_names": names, "metric": options.metric or usual}
    elif asked:
        if asked != named:
            logger.warning("%s: questions from '%s', contexts from '%s', answers from '%s'", path.name, *asked)
        tables = _asked(_only(frames, asked, origins, options), origins, path, asked, seed)
        lacks = any(not answers for table in tables.values() for answers in table["answers"])
        content = {"task_type": QUESTIONS, "metric": options.metric or "answer_f1", "may_lack_answers": lacks}
    else:
        return None
    splits = {split: tables[split] for split in SPLITS if split in tables}
    return Task(name=path.stem.replace(":", "-"), **content, **splits)


def _tagged(
    frames: Mapping[str, pd.DataFrame], origins: Mapping[str, str], path: Path, columns: tuple[str, str], seed: int
) -> tuple[dict[str, hf_datasets.Dataset], tuple[str, ...]]:
    """The splits of a task of words, and the names of their tags."""
    rows = {
        split: tagged_rows(frame, origins[split], unit_of(origins[split]), *columns) for split, frame in frames.items()
    }
    split_off(rows, seed)
    names = tag_names(rows["train"]["tags"])
    at = {split: origins.get(split, str(path)) for split in rows}
    return {split: tag_split(part, names, at[split], unit_of(at[split])) for split, part in rows.items()}, names


def _asked(
    rows: dict[str, pd.DataFrame], origins: Mapping[str, str], path: Path, columns: tuple[str, str, str], seed: int
) -> dict[str, hf_datasets.Dataset]:
    """The splits of a task of questions."""
    for split, frame in rows.items():  # before contexts are compared
        question_rows(frame, origins[split], unit_of(origins[split]), columns)
    split_off(rows, seed, together=[columns[1]])
    return {split: question_rows(part, str(path), "row", columns) for split, part in rows.items()}


def _only(
    frames: Mapping[str, pd.DataFrame], columns: tuple[str, ...], origins: Mapping[str, str], options: TableOptions
) -> dict[str, pd.DataFrame]:
    for split, frame in frames.items():
        check_columns(frame, columns, origins[split])
    parts = {split: frame[list(columns)] for split, frame in frames.items()}
    if options.skip_empty:
        return {split: without_empty(part, origins[split], columns) for split, part in parts.items()}
    return parts
