"""The folder of an exported model: ONNX file, tokenizer, labels, card with measured times, and programs that answer."""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path
from typing import Any

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
from ..runtimes.latency import measure_in_turn
from ..runtimes.onnx_model import OnnxModel
from .card import Timed, example_of, how_to_ask, times_table, what_it_does
from .predict import Predictor

TASKS = {
    FlexiBERTForSequenceClassification: "classes",
    FlexiBERTForNextSentencePrediction: "classes",
    FlexiBERTForTokenClassification: "words",
    FlexiBERTForQuestionAnswering: "answers",
    FlexiBERTForMultipleChoice: "choices",
}
FILE = "model.onnx"
_LIBRARY = "onnx"
"""What the Hub calls the format."""

_PROGRAMS = ("predict.py", "serve.py", "Dockerfile")
_PACKAGES = ("numpy", "onnxruntime", "tokenizers")
"""What the programs import."""

_TIMED, _REPEATS = ((1, 32), (8, 64)), 60
"""Batch sizes and lengths for which times are measured, on one thread, and how often."""


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


def padded_length_of(model: Any, tokenizer: PreTrainedTokenizerBase) -> int | None:
    """Tokens that all texts are padded to, that of the longest: for a model with linear transforms, which see padding
    and were trained so; None where padding changes nothing."""
    return longest_text(model, tokenizer) if model.config.model_spec.depends_on_length else None


def description(model: Any, tokenizer: PreTrainedTokenizerBase, padded_length: int | None = None) -> dict[str, Any]:
    """What ``predict.py`` must know of a model beside its weights and its tokenizer: the content of ``export.json``.

    Args:
        padded_length: tokens that ``predict.py`` pads texts to; ``padded_length_of`` the model when not given.

    Raises:
        ValueError: for a model without a task head, a tokenizer that the package ``tokenizers`` cannot run or that has
            more words than the model, or a padded length above that of the longest text.
    """
    config, task, longest = model.config, task_of(model), longest_text(model, tokenizer)
    if not tokenizer.is_fast:
        raise ValueError(f"The tokenizer must be a fast one, with a tokenizer.json. Got {type(tokenizer).__name__}")
    if len(tokenizer) > config.vocab_size:
        raise ValueError(
            f"The tokenizer must have at most the words of the model, {config.vocab_size:,}. Got {len(tokenizer):,}; "
            "after adding tokens call model.resize_token_embeddings"
        )
    if padded_length is not None and padded_length > longest:
        raise ValueError(f"'padded_length' must be at most that of the longest text, {longest}. Got {padded_length}")
    if padded_length is None:
        padded_length = padded_length_of(model, tokenizer)
    return {
        "file": FILE,
        "task": task,
        "labels": [config.id2label[number] for number in range(config.num_labels)],
        "max_length": longest,
        "padded_length": padded_length,
        "pad_token_id": config.pad_token_id or 0,
        "may_lack_answers": config.may_lack_answers,
    }


def write_folder(
    model: Any,
    tokenizer: PreTrainedTokenizerBase,
    onnx_file: Path,
    target: Path,
    *,
    about: Mapping[str, Any],
    notes: Sequence[str],
    beside: Sequence[Path] = (),
) -> list[Timed]:
    """Put an exported model into a folder, whole or not at all, and measure it.

    Args:
        about: its ``description``.
        notes: paragraphs for its card.
        beside: further files to put there.

    Raises:
        ValueError: when ``target`` exists.
    """
    check_target(target)
    times = measured(model, onnx_file)
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=".flexibert-") as temporary:
        folder = Path(temporary) / "model"
        folder.mkdir()
        (folder / "config.json").write_text(_json(_configuration(model.config)), encoding="utf-8")
        tokenizer.save_pretrained(folder)
        shutil.copy(onnx_file, folder / FILE)
        for file in beside:
            shutil.copy(file, folder)
        for name in _PROGRAMS:
            (folder / name).write_text(files(__package__).joinpath(name).read_text(encoding="utf-8"), encoding="utf-8")
        pins = "".join(f"{package}=={version(package)}\n" for package in _PACKAGES)
        (folder / "requirements.txt").write_text(pins, encoding="utf-8")
        (folder / "export.json").write_text(_json(about), encoding="utf-8")
        answer = json.dumps(Predictor(folder)(example_of(about)), ensure_ascii=False)
        use = "\n\n".join([how_to_ask(about, answer), *notes, times_table(times)])
        write_model_card(folder, model, title=target.name, notes=[what_it_does(about)], loading=use, library=_LIBRARY)
        folder.rename(target)
    return times


def _configuration(config: Any) -> dict[str, Any]:
    """What transformers and optimum read of a model that they do not build: of a family that they know, BERT, which
    takes the same inputs. The architecture is in the card."""
    names = ("id2label", "label2id", "problem_type", "max_position_embeddings", "pad_token_id")
    kept = {name: getattr(config, name) for name in (*names, "type_vocab_size", "vocab_size")}
    return {"model_type": "bert", **kept}


def _json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False) + "\n"


def measured(model: Any, onnx_file: Path) -> list[Timed]:
    """Times in PyTorch and of the file, for some batch sizes and lengths."""
    in_turn = [model, OnnxModel(onnx_file, threads=1)]
    longest = model.config.max_position_embeddings
    return [
        Timed(*measure_in_turn(in_turn, batch_size=size, length=min(length, longest), threads=1, repeats=_REPEATS))
        for size, length in _TIMED
    ]
