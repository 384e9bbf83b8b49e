"""How a table is read, before a search is made of it: its columns, what the texts and labels were taken for, how often
each label comes, rows that come twice, and texts that would be cut.
"""

import json
import logging
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from fastapi import File, UploadFile
from pydantic import BaseModel, Field, Json

from dataset import TableOptions, load_task
from dataset.tables.readers import TABLE_SUFFIXES, read_table
from dataset.task import QUESTIONS, TOKENS, Task
from design_space.files import nearest_name

from ..training.recipe import Recipe
from .options import TABLE_OPTIONS
from .reading import Reading, problems_of
from .submission import check_suffix, json_object, store

_MOST_LABELS, _MOST_ROWS, _LONGEST_CELL, _MOST_COLUMNS = 30, 3, 80, 50


class LabelCount(BaseModel):
    """A label and its rows in training."""

    label: str
    rows: int


class TableReading(BaseModel):
    """How a table is read. ``notes``: what was guessed, and what may surprise."""

    columns: list[str]
    first_rows: list[list[str]]
    rows: int
    sizes: dict[str, int]
    kind: str
    metric: str
    labels: list[LabelCount]
    num_labels: int
    duplicates: int
    longest_words: int
    cut: int = Field(description="texts of training with more words than a model reads, at least")
    max_length: int
    notes: list[str]


class TableForm(BaseModel):
    """A table to be looked at, and what its columns are where that is not to be guessed."""

    table: Annotated[UploadFile, File(description="CSV, TSV, JSONL, Parquet")]
    options: Json[dict[str, Any]] = json_object("text_column, label_column, ...")

    def read(self, incoming: Path) -> TableReading:
        """Read it in a process with limits.

        Args:
            incoming: folder for what is sent, while it is read.

        Raises:
            ValueError: when it cannot be used, saying why.
            BusyError: when too many others do so at the same time.
        """
        for name, value in self.options.items():
            if name not in TABLE_OPTIONS:
                raise ValueError(f"Unknown option '{name}' in options. {nearest_name(str(name), TABLE_OPTIONS)}")
            if not isinstance(value, str | bool):
                raise ValueError(f"'{name}' in options must be a text, or true or false")
        incoming.mkdir(exist_ok=True)
        with tempfile.TemporaryDirectory(dir=incoming) as folder:
            path = Path(folder) / f"table{check_suffix(self.table, 'table', TABLE_SUFFIXES)}"
            target = Path(folder) / "reading.json"
            store(self.table, path)
            read = partial(_look_at, path, self.options, target)
            if problems := problems_of([Reading("table", read)], path.stat().st_size):
                raise ValueError(problems[0].replace(f"{folder}/", ""))
            return TableReading.model_validate_json(target.read_text(encoding="utf-8"))


def _look_at(path: Path, options: dict[str, Any], target: Path) -> None:
    """In a process of its own: reads the table, and writes what it says to ``target``."""
    notes: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: notes.append(record.getMessage().removeprefix(f"{path.name}: "))  # type: ignore[method-assign]
    logging.getLogger("dataset").addHandler(handler)
    try:
        frame, task = read_table(path), load_task(path, table=TableOptions(**options))
    finally:
        logging.getLogger("dataset").removeHandler(handler)
    lengths = np.array([len(text.split()) for text in task.texts()])
    labels = _labels(task)
    shown = frame.iloc[:_MOST_ROWS, :_MOST_COLUMNS]
    content = {
        "columns": [str(name) for name in frame.columns],
        "first_rows": [[str(cell)[:_LONGEST_CELL] for cell in row] for row in shown.itertuples(index=False, name=None)],
        "rows": len(frame),
        "sizes": {name: len(rows) for name, rows in task.splits.items()},
        "kind": _kind(task),
        "metric": task.metric,
        "labels": [{"label": label, "rows": rows} for label, rows in labels.most_common(_MOST_LABELS)],
        "num_labels": len(task.label_names),
        "duplicates": int(frame.astype(str).duplicated().sum()),
        "longest_words": int(lengths.max()),
        "cut": int((lengths > Recipe().max_length).sum()),
        "max_length": Recipe().max_length,
        "notes": notes,
    }
    target.write_text(json.dumps(content), encoding="utf-8")


def _kind(task: Task) -> str:
    if task.task_type in (TOKENS, QUESTIONS):
        return {TOKENS: "a tag for each word", QUESTIONS: "answers to questions"}[task.task_type]
    what = "each pair of texts" if task.is_paired else "each text"
    if task.is_regression:
        return f"a number for {what}"
    return f"{'several labels' if task.is_multi_label else 'one class'} for {what}"


def _labels(task: Task) -> Counter[str]:
    """How many training rows (or words) have each label."""
    if not task.label_names:
        return Counter()
    names, counts = task.label_names, Counter[str]()
    if task.task_type == TOKENS:
        counts.update(names[tag] for row in task.train["tags"] for tag in row if tag >= 0)
    elif task.is_multi_label:
        rows = np.asarray(task.train["label"][:])
        counts.update(dict(zip(names, rows.sum(axis=0).astype(int).tolist(), strict=True)))
    else:
        counts.update(names[label] for label in task.train["label"])
    return counts
