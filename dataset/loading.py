"""The way from what a user names to a task: the embedded one, one of GLUE, or a table of one's own."""

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from design_space.files import nearest_name
from design_space.options import below_home

from .corpora.python_docs import EMBEDDED_TASK, python_docs_task
from .glue import GLUE, load_glue
from .tables.options import TableOptions
from .tables.readers import TABLE_SUFFIXES, is_table
from .tables.table import load_table
from .task import Task
from .tokenizer import TRAIN

ALL_OF_GLUE = "glue"
NAME_OR_PLACE = ("task", "tokenizer")
"""Options that are a name or a place on disk, which is kept absolute: a run can be resumed from elsewhere."""


def load_task(
    task: Path | str,
    *,
    data_dir: Path | str | None = None,
    table: TableOptions | None = None,
    seed: int = 0,
) -> Task:
    """A task by name, or from a table of one's own.

    Args:
        task: ``python_docs`` (embedded); a GLUE task (``cola``, ``SST-2``, ``mnli``, ``mnli-mm``, ...); a file ending
            in one of ``TABLE_SUFFIXES``; a folder with a saved dataset; or a dataset of the Hub (``owner/name``).
        data_dir: folder with a GLUE task's TSV files; without it GLUE comes from the Hub.
        table: what an own table's columns mean; guessed when not given.
        seed: of the split of an own table.

    Raises:
        ValueError: for an unknown name, or data that is missing or damaged.
    """
    name = str(task).lower().replace("-", "")
    options = table or TableOptions()
    is_known = name in (EMBEDDED_TASK, ALL_OF_GLUE, *GLUE)
    if not is_known and is_table(task):
        if data_dir is not None:
            raise ValueError(
                f"'data_dir' is for GLUE tasks. {task} is a table of one's own; give its whole path and no data_dir"
            )
        return load_table(task, options, seed=seed)
    if name == ALL_OF_GLUE:
        raise ValueError(f"'{task}' is nine tasks. Load them with load_glue_tasks, or prepare them with prepare_data")
    if not is_known:
        names = nearest_name(name, [EMBEDDED_TASK, ALL_OF_GLUE, *GLUE])
        raise ValueError(
            f"Unknown task '{task}'. {names}, a file ending in {', '.join(TABLE_SUFFIXES)}, "
            "a saved dataset, or a dataset of the Hub (owner/name)"
        )
    unused = [field.name for field in dataclasses.fields(options) if getattr(options, field.name) != field.default]
    if name == EMBEDDED_TASK and data_dir is not None:
        unused.append("data_dir")
    if unused:
        raise ValueError(f"Task '{task}' does not use {', '.join(map(repr, unused))}; leave it out")
    if name == EMBEDDED_TASK:
        return python_docs_task()
    return load_glue(name, None if data_dir is None else Path(data_dir))


def name_or_place(text: str) -> str:
    """A known name as it is, or the absolute path of a file or folder. Raises ``ValueError`` for an empty text, which
    would be the working folder."""
    if not text:
        raise ValueError("must not be empty")
    if text.lower().replace("-", "") in (EMBEDDED_TASK, ALL_OF_GLUE, TRAIN, *GLUE):
        return text
    path = below_home(text)
    is_place = path.suffix.lower() in (*TABLE_SUFFIXES, ".txt") or path.is_dir()
    return str(path.absolute()) if is_place else text


def with_places(options: Mapping[str, Any]) -> dict[str, Any]:
    """The options by name, with absolute paths for those that are places."""
    return {name: name_or_place(value) if name in NAME_OR_PLACE else value for name, value in options.items()}
