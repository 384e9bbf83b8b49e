"""The folder of an exported model: ONNX file, tokenizer, labels, card with measured times, and programs that answer."""

import json
import os
import shutil
import tempfile
from collections.abc import Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any, NamedTuple

from transformers import PreTrainedTokenizerBase

from ..checkpoints.model_card import write_model_card
from ..conversion.folders import check_target
from ..model.heads import (
    FlexiBERTForMultipleChoice,
    FlexiBERTForNextSentencePrediction,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
)
from ..runtimes.latency import Latency, measure_in_turn
from ..runtimes.onnx_model import OnnxModel

TASKS = {
    FlexiBERTForSequenceClassification: "classes",
    FlexiBERTForNextSentencePrediction: "classes",
    FlexiBERTForTokenClassification: "words",
    FlexiBERTForQuestionAnswering: "answers",
    FlexiBERTForMultipleChoice: "choices",
}
FILE = "model.onnx"
_PROGRAMS = ("predict.py", "serve.py", "Dockerfile")
_PACKAGES = ("numpy", "onnxruntime", "tokenizers")
"""What the programs import."""

_TIMED, _REPEATS = ((1, 32), (8, 64)), 60
"""Batch sizes and lengths for which times are measured, on one thread, and how often."""


class Timed(NamedTuple):
    """How long one batch takes in PyTorch and in ONNX Runtime, in turn, on one thread."""

    torch: Latency
    onnx: Latency


def task_of(model: Any) -> str:
    """What ``predict.py`` calls the model's task.

    Raises:
        ValueError: for a model without a task head.
    """
    task = TASKS.get(type(model))
    if task is None:
        names = ", ".join(known.__name__ for known in TASKS)
        raise ValueError(f"The model must have a task head ({names}). Got {type(model).__name__}")
    if task == "classes" and model.config.problem_type == "multi_label_classification":
        return "several"
    return "numbers" if task == "classes" and model.config.num_labels == 1 else task


def longest_text(model: Any, tokenizer: PreTrainedTokenizerBase) -> int:
    """Tokens after which texts are cut."""
    return min(model.config.max_position_embeddings, tokenizer.model_max_length)


def description(model: Any, tokenizer: PreTrainedTokenizerBase, padded_length: int | None) -> dict[str, Any]:
    """What ``predict.py`` must know of a model beside its weights and its tokenizer: the content of ``export.json``."""
    config = model.config
    return {
        "file": FILE,
        "task": task_of(model),
        "labels": [config.id2label[number] for number in range(config.num_labels)],
        "max_length": longest_text(model, tokenizer),
        "padded_length": padded_length,
        "pad_token_id": config.pad_token_id or 0,
    }


def write_folder(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    onnx_file: Path,
    target: Path,
    *,
    notes: Sequence[str],
    padded_length: int | None = None,
) -> list[Timed]:
    """Put an exported model into a folder, whole or not at all, and measure it.

    Args:
        notes: paragraphs for its card.
        padded_length: tokens that ``predict.py`` pads texts to; None for no padding.

    Raises:
        ValueError: when ``target`` exists, for a tokenizer that the package ``tokenizers`` cannot run, or for a padded
            length above that of the longest text.
    """
    check_target(target)
    if not tokenizer.is_fast:
        raise ValueError(f"The tokenizer must be a fast one, with a tokenizer.json. Got {type(tokenizer).__name__}")
    longest = longest_text(model, tokenizer)
    if padded_length is not None and padded_length > longest:
        raise ValueError(f"'padded_length' must be at most that of the longest text, {longest}. Got {padded_length}")
    times = measured(model, onnx_file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".flexibert-") as temporary:
        folder = Path(temporary) / "model"
        model.config.save_pretrained(folder)
        tokenizer.save_pretrained(folder)
        shutil.copy(onnx_file, folder / FILE)
        for name in _PROGRAMS:
            (folder / name).write_text(files(__package__).joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
        pins = "".join(f"{package}=={version(package)}\n" for package in _PACKAGES)
        (folder / "requirements.txt").write_text(pins, encoding="utf-8")
        about = description(model, tokenizer, padded_length)
        (folder / "export.json").write_text(json.dumps(about, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        texts = [*notes, f"`predict.py` cuts texts at {longest:,} tokens.", _times_table(times)]
        write_model_card(folder, model, title=target.name, notes=texts, loading=_LOADING)
        folder.rename(target)
    return times


_LOADING = """```sh
pip install -r requirements.txt
python predict.py "a text" "another one"      # or one text a line on standard input
python serve.py                               # the same over HTTP
docker build -t my-model .                    # and in a container
```

Nothing else is needed. `from predict import Predictor` does the same in Python. Other programs give `model.onnx` the
`input_ids`, `attention_mask` and, where it has them, `token_type_ids` that `tokenizer.json` makes, of any batch size
and length; it returns logits."""


def measured(model: Any, onnx_file: Path) -> list[Timed]:
    """Times in PyTorch and of the file, for some batch sizes and lengths."""
    in_turn = [model, OnnxModel(onnx_file, threads=1)]
    longest = model.config.max_position_embeddings
    return [
        Timed(*measure_in_turn(in_turn, batch_size=size, length=min(length, longest), threads=1, repeats=_REPEATS))
        for size, length in _TIMED
    ]


def _times_table(times: Sequence[Timed]) -> str:
    rows = [
        f"| {of_torch.batch_size} x {of_torch.length} | {of_torch.median_ms:.2f} / {of_torch.p95_ms:.2f} "
        f"| {of_file.median_ms:.2f} / {of_file.p95_ms:.2f} | {of_file.times_as_fast_as(of_torch):.1f} |"
        for of_torch, of_file in times
    ]
    load = times[0].torch.load
    busy = "" if load is None else f", at a load of {load:.1f} on {os.cpu_count()} cores"
    heading = f"Milliseconds on one thread of the machine that exported the model, median / 95 of 100, in turn{busy}:"
    table = "| texts x tokens | PyTorch | this file | times as fast |\n| --- | --- | --- | --- |\n"
    return f"{heading}\n\n{table}" + "\n".join(rows)
