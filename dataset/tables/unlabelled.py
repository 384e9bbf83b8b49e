"""Further texts of a task, without labels: a teacher says what they are."""

from pathlib import Path

import datasets as hf_datasets
import pandas as pd

from ..task import TEXT, Task
from .options import TableOptions
from .readers import check_columns, read_table, unit_of
from .table import PAIR_NAMES, TEXT_NAMES


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
    texts = {}
    for name, column in columns.items():
        empty = frame[column].isna() | (frame[column].astype(str).str.strip() == "")
        if empty.any():
            raise ValueError(f"{path}, {unit_of(str(path))} {frame.index[empty][0]}: column '{column}' is empty")
        texts[name] = frame[column].astype(str).tolist()
    return hf_datasets.Dataset.from_dict(texts)


def _text_columns(frame: pd.DataFrame, path: Path, options: TableOptions, task: Task) -> tuple[str, ...]:
    names = [str(name) for name in frame.columns]
    given = [name for name in (options.text_column, options.text_pair_column) if name is not None]
    if given:
        check_columns(frame, given, path)
        return tuple(given)
    known = {name.lower(): name for name in names}
    if task.is_paired:
        couple = next((couple for couple in PAIR_NAMES if set(couple) <= known.keys()), None)
        if couple is None:
            examples = " or ".join(map(", ".join, PAIR_NAMES[:2]))
            raise ValueError(
                f"{path} must have two columns of texts, named as in {examples}. Its columns: {', '.join(names)}"
            )
        return tuple(known[name] for name in couple)
    likely = [known[name] for name in TEXT_NAMES if name in known] or names
    return (max(likely, key=lambda name: frame[name].astype(str).str.len().mean()),)
