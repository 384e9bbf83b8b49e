"""A teacher: a trained model of one of our families or of transformers, read from its folder."""

from pathlib import Path
from typing import Any

import transformers

from ..checkpoints.auto_classes import model_classes
from ..checkpoints.validation import UNREADABLE, damage


def load_teacher(folder: str | Path) -> Any:
    """The model in a folder, of the class that its configuration names, frozen and in evaluation mode.

    Raises:
        ValueError: when the folder holds no model, its class is not known, or its weights cannot be read.
    """
    folder = Path(folder)
    if not (folder / "config.json").is_file():
        raise ValueError(f"{folder}: is not a model folder; it must hold 'config.json' and weights")
    config = transformers.AutoConfig.from_pretrained(folder)
    name = (config.architectures or [""])[0]
    model_class = model_classes(config.model_type).get(name) or getattr(transformers, name, None)
    if model_class is None:
        raise ValueError(f"{folder}: 'architectures' must name a class of flexibert or transformers. Got {name!r}")
    try:
        model = model_class.from_pretrained(folder)
    except UNREADABLE as error:
        why = damage(error, folder) or f"{folder}: the model cannot be loaded ({type(error).__name__}: {error})"
        raise ValueError(why) from error
    return model.eval().requires_grad_(False)


def check_labels(teacher: Any, student: Any) -> None:
    """Raises ``ValueError`` when the two models name other labels, or in another order."""
    theirs, ours = (getattr(model.config, "id2label", None) for model in (teacher, student))
    if theirs is not None and ours is not None and theirs != ours:
        raise ValueError(
            f"The teacher must have the model's labels, in their order: {_labels(ours)}. Got {_labels(theirs)}"
        )


def _labels(id2label: dict[Any, str]) -> str:
    return ", ".join(str(label) for label in id2label.values())
