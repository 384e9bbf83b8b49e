"""Answers of a model folder about texts: by the export that stands beside it, else in PyTorch."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..conversion.folders import load, load_tokenizer
from ..runtimes.onnx_file import logits_of
from .folder import description
from .predict import Predictor, Run

SUFFIX = "-onnx"
"""What the name of an export ends with beside that of its model: ``best`` and ``best-onnx``."""

WORDS = "tokenizer.json"


class Answering(NamedTuple):
    """What answers, and whether ``onnx`` or ``torch`` runs it."""

    predictor: Predictor
    runtime: str


def predictor_of(folder: Path) -> Answering:
    """What answers for the model in a folder.

    Raises:
        ValueError: for a folder without a model with a task head and a fast tokenizer.
    """
    if is_exported(folder):
        return Answering(Predictor(export_of(folder)), "onnx")
    model, tokenizer = load(folder).model.eval(), load_tokenizer(folder)
    if not (folder / WORDS).is_file():
        raise ValueError(f"{folder}: the tokenizer must be a fast one, with a {WORDS}")
    return Answering(Predictor(folder, about=description(model, tokenizer), run=_in_torch(model)), "torch")


def export_of(folder: Path) -> Path:
    """Where the export of a model folder would stand."""
    return folder.with_name(folder.name + SUFFIX)


def is_exported(folder: Path) -> bool:
    """Whether there is one that is not older than the model, by when their files were last written or put in place."""
    made = export_of(folder) / "export.json"
    return made.is_file() and made.stat().st_ctime_ns >= written(folder)


def written(folder: Path) -> int:
    """When a file of a folder was last written or put in place, in nanoseconds; 0 where there is none."""
    return max((file.stat().st_ctime_ns for file in folder.iterdir()), default=0) if folder.is_dir() else 0


def _in_torch(model: Any) -> Run:
    takes_segments = model.config.type_vocab_size > 1

    def run(inputs: Mapping[str, Any]) -> list[Any]:
        tensors = {name: torch.from_numpy(array).to(model.device) for name, array in inputs.items()}
        if not takes_segments:
            del tensors["token_type_ids"]
        with torch.inference_mode():
            return [logits.float().cpu().numpy() for logits in logits_of(model, tensors).values()]

    return run
