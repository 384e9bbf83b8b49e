"""What scores and weights belong to: a task, its metric, its data and the recipe; those of something else are never
taken for them."""

import dataclasses
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import TypedDict

from dataset import PreparedData
from dataset.provenance import data_identity
from design_space.files import read_json, write_atomically
from design_space.schemas import SHAPE, checked
from embeddings.library_file import differences

from ..candidate import RESULT_FILE
from ..training.recipe import Recipe

TRAINED_FOR_FILE = "trained_for.json"
"""In a folder of trained models: what they were trained for."""

_ONLY_SPEED = ("compile_backend", "num_workers")


class _TrainedFor(TypedDict, total=False):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    task: str
    metric: str
    recipe: dict[str, Any]


_TRAINED_FOR: TypeAdapter[Any] = TypeAdapter(_TrainedFor)


def measured_on(data: PreparedData) -> dict[str, str]:
    """What a score is a score of: the metric, and digests of the data."""
    return {"metric": data.metric, **data_identity(data)}


def check_models(models_dir: Path, task: str, identity: Mapping[str, str], recipe: Recipe, *, resume: bool) -> None:
    """Whether trained models may be taken from, and put into, a folder; what they are for is written down there. A
    folder without models, or one that does not say so yet, is taken for the task's own.

    Args:
        task: name. identity: what its scores are measured on.
        resume: whether a run goes on, which may change its recipe.

    Raises:
        ValueError: when its models were trained for something else.
    """
    file = models_dir / TRAINED_FOR_FILE
    here = {"task": task, **identity, "recipe": _that_matters(recipe)}
    there = _read(file)
    problems = _differing(there | ({"recipe": here["recipe"]} if resume else {}), here)
    if problems and any(models_dir.glob(f"*/{RESULT_FILE}")):
        raise ValueError(
            f"The models in {models_dir} were trained for something else: {'; '.join(problems)}. Give each task and "
            "recipe a --models_dir of its own, or go on with what these were trained for"
        )
    if there != here:
        write_atomically(file, json.dumps(here, indent=2))


def _read(file: Path) -> dict[str, Any]:
    if not file.exists():
        return {}
    try:
        content: dict[str, Any] = checked(_TRAINED_FOR, read_json(file), file)
        return content
    except ValueError as error:
        raise ValueError(f"{error}. Choose another --models_dir") from error


def _differing(there: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """One part of a sentence for each difference; data are digests, which nobody need see."""
    different = differences(there, here)
    data = [name for name in different if name not in ("task", "metric", "recipe")]
    recipes = there.get("recipe", {}), here["recipe"]
    return [
        *(f"{name} '{there[name]}' there, '{here[name]}' here" for name in ("task", "metric") if name in different),
        *([f"other {', '.join(data)}"] if data else []),
        *(f"recipe: {name} {recipes[0][name]} there, {recipes[1][name]} here" for name in differences(*recipes)),
    ]


def _that_matters(recipe: Recipe) -> dict[str, Any]:
    return {name: value for name, value in dataclasses.asdict(recipe).items() if name not in _ONLY_SPEED}
