"""Further texts of a task, without labels: a teacher says what they are."""

import logging
from pathlib import Path

import datasets as hf_datasets
import pandas as pd

from ..task import TEXT, Task
from .cells import check_texts, without_empty
from .columns import PAIR_NAMES, pair_columns, text_column
from .options import TableOptions
from .readers import check_columns, read_table

logger = logging.getLogger(__name__)


def load_unlabelled(path: Path, task: Task, options: TableOptions) -> hf_datasets.Dataset:
    """The texts of a table as a task has them: ``text``, and ``text_pair`` where its examples have two. Other columns,
    also labels, are not read.

    Args:
        options: the columns of the texts; guessed when not given.

    Raises:
        ValueError: for a task of words or questions, a missing or damaged file, a missing column, or an empty text.
    """
    if task.task_type != TEXT:
        raise ValueError(f"'unlabelled' is for labels of whole texts. Task '{task.name}' is a {task.task_type}")
    frame = read_table(path)
    wanted = ("text", "text_pair") if task.is_paired else ("text",)
    columns = dict(zip(wanted, _text_columns(frame, path, options, task), strict=True))
    if options.skip_empty:
        frame = without_empty(frame, str(path), list(columns.values()))
    texts = {name: check_texts(frame[column], str(path), column).tolist() for name, column in columns.items()}
    return hf_datasets.Dataset.from_dict(texts)


def _text_columns(frame: pd.DataFrame, path: Path, options: TableOptions, task: Task) -> tuple[str, ...]:
    names = [str(name) for name in frame.columns]
    given = [name for name in (options.text_column, options.text_pair_column) if name is not None]
    if given:
        check_columns(frame, given, path)
        return tuple(given)
    if task.is_paired:
        couple = pair_columns(frame)
        if couple is None:
            examples = " or ".join(map(", ".join, PAIR_NAMES[:2]))
            raise ValueError(
                f"{path} must have two columns of texts, named as in {examples}. Its columns: {', '.join(names)}"
            )
        return couple
    text = text_column(frame, path)
    logger.warning("%s: texts from '%s'", path.name, text)
    return (text,)
