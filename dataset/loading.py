"""Finding a task: by name (embedded or GLUE), or in a table of one's own."""

from pathlib import Path
from typing import Any

from design_space.files import nearest_name

from .glue import GLUE, load_glue
from .own import TABLE_SUFFIXES, load_table
from .python_docs import EMBEDDED_TASK, python_docs_task
from .task import Task


def load_task(
    task: Path | str,
    *,
    data_dir: Path | str | None = None,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    validation_file: Path | str | None = None,
    test_file: Path | str | None = None,
    seed: int = 0,
) -> Task:
    """A task by name, or from a table of one's own.

    Args:
        task: ``python_docs`` (embedded), a GLUE task (``cola``, ``SST-2``, ...), or a file ending in one of
            ``TABLE_SUFFIXES``.
        data_dir: folder with a GLUE task's TSV files; without it GLUE comes from the Hub.
        text_column, text_pair_column, label_column: of an own table; texts and labels are guessed when not named.
        validation_file, test_file: of an own table; split off its rows when not given.
        seed: of the split of an own table.

    Raises:
        ValueError: for an unknown name, or data that is missing or damaged.
    """
    name = str(task).lower().replace("-", "")
    of_a_table: dict[str, Any] = {
        "text_column": text_column,
        "text_pair_column": text_pair_column,
        "label_column": label_column,
        "validation_file": validation_file,
        "test_file": test_file,
    }
    if Path(task).suffix in TABLE_SUFFIXES:
        if data_dir is not None:
            raise ValueError(
                f"'data_dir' is for GLUE tasks. {task} is a file of one's own; give its whole path and no data_dir"
            )
        return load_table(Path(task), **of_a_table, seed=seed)
    if name != EMBEDDED_TASK and name not in GLUE:
        names = nearest_name(name, [EMBEDDED_TASK, *GLUE])
        raise ValueError(f"Unknown task '{task}'. {names}, or a file ending in {', '.join(TABLE_SUFFIXES)}")
    unused = [key for key, value in of_a_table.items() if value is not None]
    if name == EMBEDDED_TASK and data_dir is not None:
        unused.append("data_dir")
    if unused:
        raise ValueError(f"Task '{task}' does not use {', '.join(map(repr, unused))}; leave it out")
    if name == EMBEDDED_TASK:
        return python_docs_task()
    return load_glue(name, None if data_dir is None else Path(data_dir))
