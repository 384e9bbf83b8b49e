"""Answers to GLUE's unlabelled test rows, in the files that the GLUE board takes: ``CoLA.tsv``, ``MNLI-mm.tsv``, ...

Two columns, ``index`` and ``prediction``: class names as in the task's training file, STS-B's numbers between 0 and 5.
"""

from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike

from design_space.files import write_atomically

from .glue import GLUE
from .task import TaskDescription


def write_submission(task: TaskDescription, predictions: ArrayLike, folder: Path) -> Path:
    """Write a task's file of a submission, and return its path.

    Args:
        predictions: a model's outputs ``(N, num_labels)`` on the rows of ``unlabelled["test"]``, in their order.

    Raises:
        ValueError: for a task that is not of GLUE, or outputs of another shape.
    """
    if task.name not in GLUE:
        raise ValueError(f"Task '{task.name}' is not of GLUE, whose board takes {', '.join(GLUE)}")
    outputs = np.asarray(predictions, dtype=np.float64)
    if outputs.ndim != 2 or outputs.shape[1] != task.num_labels:
        raise ValueError(f"'predictions' must have shape (N, {task.num_labels}). Got {outputs.shape}")
    if task.is_regression:
        answers = [f"{number:.3f}" for number in np.clip(outputs[:, 0], 0, 5)]
    else:
        answers = [task.label_names[number] for number in outputs.argmax(axis=1)]
    path = folder / f"{_file_name(task.name)}.tsv"
    lines = ["index\tprediction", *(f"{index}\t{answer}" for index, answer in enumerate(answers))]
    write_atomically(path, "\n".join(lines) + "\n")
    return path


def _file_name(name: str) -> str:
    return {"mnli": "MNLI-m", "mnlimm": "MNLI-mm"}.get(name, GLUE[name].folder)
