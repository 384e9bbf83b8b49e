"""The teacher of a search: whose outputs its trials learn from, and where these lie.

It is chosen when a level begins and stays the same until it ends, also where the run is cut and goes on: what was
chosen is kept in the run directory, in ``teacher.json``.
"""

import json
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from dataset import PreparedData
from design_space.files import read_json, write_atomically
from design_space.schemas import SHAPE, checked

from ..candidate import RESULT_FILE, read_result
from ..training.teacher import teacher_logits

BEST, ENSEMBLE, NONE, ROOT = TEACHERS = ("best", "ensemble", "none", "root")
_LARGEST_ENSEMBLE = 3
_CHOICE_FILE, _FOLDER = "teacher.json", ".teachers"


class _Choice(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    teacher: str
    logits: str | None


_CHOICE: TypeAdapter[Any] = TypeAdapter(_Choice)


def teacher_of_level(
    teacher: str, data: PreparedData, models_dir: Path, run_dir: Path, *, root: Path | None = None
) -> Path | None:
    """The folder of what the teacher of a level says of the training rows (``teacher_logits``), beside the models; None
    where the level has no teacher: as long as nothing is trained there is no best one.

    Args:
        teacher: one of ``TEACHERS``, or the folder of a trained model.
        run_dir: of the level.
        root: folder of the model that the search starts from, trained for the task.

    Raises:
        ValueError: when there is no root, or the teacher is none for the task.
    """
    file, folder = run_dir / _CHOICE_FILE, models_dir / _FOLDER
    chosen = checked(_CHOICE, read_json(file), file) if file.is_file() else {}
    if chosen.get("teacher") == teacher and (chosen["logits"] is None or (folder / chosen["logits"]).is_dir()):
        return None if chosen["logits"] is None else folder / chosen["logits"]
    model_dirs = _model_dirs(teacher, models_dir, root)
    logits = teacher_logits(model_dirs, data, folder) if model_dirs else None
    write_atomically(file, json.dumps({"teacher": teacher, "logits": logits and logits.name}))
    return logits


def _model_dirs(teacher: str, models_dir: Path, root: Path | None) -> list[Path]:
    if teacher == NONE:
        return []
    if teacher == ROOT:
        if root is None:
            raise ValueError("'teacher' root is the model that a search starts from, and this one starts from none")
        return [root]
    if teacher in (BEST, ENSEMBLE):
        scores = {
            file.parent: float(read_result(file.parent)["result"]["score"])
            for file in models_dir.glob(f"*/{RESULT_FILE}")
        }
        ranked = sorted(scores, key=lambda model_dir: (-scores[model_dir], model_dir.name))
        return ranked[: _LARGEST_ENSEMBLE if teacher == ENSEMBLE else 1]
    if not (Path(teacher) / "config.json").is_file():
        raise ValueError(
            f"'teacher' must be one of {', '.join(TEACHERS)}, or the folder of a trained model. Got {teacher}, which "
            "holds none"
        )
    return [Path(teacher)]
