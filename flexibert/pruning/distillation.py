"""The teacher's part of the loss (Hinton et al. 2015): its logits at a temperature, as targets."""

from pathlib import Path
from typing import Any

import torch
import transformers
from torch import Tensor, nn
from torch.nn import functional

from ..checkpoints.auto_classes import model_classes
from .config import PruningConfig

Teacher = nn.Module | None
LABELS = ("labels", "start_positions", "end_positions")


def checked_teacher(model: Any, config: PruningConfig, teacher: Teacher) -> Teacher:
    """The teacher given or named, frozen and in evaluation mode; None without one.

    Raises:
        ValueError: when both are given, the folder's class is not known, or its labels are not the model's.
    """
    path = config.distil_teacher_name_or_path
    if teacher is not None and path is not None:
        raise ValueError("Either 'teacher' or 'distil_teacher_name_or_path' must be given, not both")
    if path is not None:
        teacher = _loaded(path)
    if teacher is None:
        return None
    theirs, ours = (getattr(x.config, "id2label", None) for x in (teacher, model))
    if theirs is not None and ours is not None and theirs != ours:
        raise ValueError(
            f"The teacher must have the model's labels, in their order: {_labels(ours)}. Got {_labels(theirs)}"
        )
    return teacher.eval().requires_grad_(False)


def distillation_loss(teacher: nn.Module, inputs: dict[str, Any], outputs: Any, temperature: float) -> Tensor:
    """KL divergence from the teacher's distribution to the model's, both at ``temperature``, times its square.

    Averaged over everything but the classes, and over the outputs where there are several kinds of logits. With one
    label (regression) the mean squared difference.

    Args:
        inputs: what the model was called with; labels are left out.
        outputs: what it returned.
    """
    without_labels = {name: x for name, x in inputs.items() if name not in LABELS}
    with torch.no_grad():
        of_teacher = teacher(**without_labels)
    terms = []
    for name, logits in outputs.items():
        if not name.endswith("logits") or name not in of_teacher:
            continue
        target = of_teacher[name].to(logits)
        if logits.shape[-1] == 1:
            terms.append(functional.mse_loss(logits, target))
            continue
        log_p, log_q = (functional.log_softmax(x / temperature, dim=-1) for x in (target, logits))
        divergence = (log_p.exp() * (log_p - log_q)).sum(-1).mean()
        terms.append(divergence * temperature**2)
    return torch.stack(terms).mean()


def _labels(id2label: dict[Any, str]) -> str:
    return ", ".join(str(label) for label in id2label.values())


def _loaded(path: str | Path) -> Any:
    """The model in a folder, of the class its configuration names."""
    config = transformers.AutoConfig.from_pretrained(path)
    name = (config.architectures or [""])[0]
    model_class = model_classes(config.model_type).get(name) or getattr(transformers, name, None)
    if model_class is None:
        raise ValueError(f"{path}: 'architectures' must name a class of flexibert or transformers. Got {name!r}")
    return model_class.from_pretrained(path)
