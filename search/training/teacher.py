"""What a teacher says of the rows that a task is trained on: computed once, kept on disk, read by every trial.

A folder, named by the teachers' weights and the data's content, holds for each training row the logits of one teacher,
or the mean of those of several: of classes that is the geometric mean of their probabilities (Hinton et al. 2015).

    train/           ``teacher_logits``, or of answers ``teacher_start_logits`` and ``teacher_end_logits``: in the order
                     of the rows, of tokens as many as the row has
    further/         the same of rows without labels, where the data have such; and the ``labels`` that the teacher
                     gives them, its most probable ones
    <task>/train/    of several tasks each one's

It is written under another name and renamed: it is there whole or not at all.
Letters: N rows, S tokens of a row, L labels; logits are (N, L), of words (N, S, L), of questions (N, S).
"""

import hashlib
import inspect
import json
import shutil
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import numpy as np
import torch
from filelock import FileLock
from torch.utils.data import DataLoader
from transformers.utils import logging as transformers_logging

from dataset import PreparedData
from dataset.provenance import data_identity, rows_identity
from dataset.task import FURTHER, QUESTIONS, TEXT, TOKENS
from flexibert.commands.model_folders import words_of
from flexibert.distillation import load_teacher, loss_of_outputs

from .collators import OF_TEACHER, collator
from .recipe import Recipe
from .samplers import LongestFirst, TaughtLoss, lengths_of

_HEADS = {
    TEXT: "ForSequenceClassification",
    TOKENS: "ForTokenClassification",
    QUESTIONS: "ForQuestionAnswering",
}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_MODEL_FILES = ("config.json", "model*.safetensors", "pytorch_model*.bin")
_TRAIN = "train"
_BATCH_SIZE = 64

Logits = dict[str, list[np.ndarray]]


def teacher_logits(model_dirs: Sequence[Path], data: PreparedData, folder: Path) -> Path:
    """The folder, below ``folder``, of what a teacher says of the training rows: as it is where it was made from the
    same, else made now.

    Args:
        model_dirs: of one teacher, or of several whose logits are averaged: folders of our models for this task or of
            models of transformers; for several tasks each with a folder for every task.

    Raises:
        ValueError: for a folder that holds no model, or a teacher of other classes, of another kind of task, of other
            words, or of shorter texts.
    """
    places = [[_of_task(Path(model_dir), task, data) for task in data.tasks] for model_dir in model_dirs]
    target = folder / _key([place for of_model in places for place in of_model], data)
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / f".{target.name}.lock"):
        if not target.is_dir():
            partial = target.with_name(f".{target.name}.partial")
            shutil.rmtree(partial, ignore_errors=True)
            for number, task in enumerate(data.tasks):
                models = [of_model[number] for of_model in places]
                _write(partial / (task.name if data.task_names else ""), models, task)
            partial.rename(target)
    return target


def taught(data: PreparedData, folder: Path) -> hf_datasets.Dataset:
    """The rows of a task to train on, those without labels last, each with what the teacher says of it; memory-mapped.

    Raises:
        ValueError: when the folder is of other data.
    """
    parts = []
    for name, rows in _rows(data).items():
        said = hf_datasets.load_from_disk(str(folder / name))
        if len(rows) != len(said):
            raise ValueError(f"{folder} holds what a teacher says of {len(said):,} rows; {data.path} has {len(rows):,}")
        parts.append(hf_datasets.concatenate_datasets([rows, said], axis=1))
    return hf_datasets.concatenate_datasets(parts)


def taught_loss(recipe: Recipe, data: PreparedData) -> TaughtLoss:
    """The recipe's mixture of a task's loss and the difference from the teacher."""
    share = recipe.distillation_weight

    def mixed(task_loss: torch.Tensor, outputs: Any, inputs: Any, of_teacher: Any) -> torch.Tensor:
        difference = loss_of_outputs(
            outputs,
            of_teacher,
            inputs,
            temperature=recipe.distillation_temperature,
            problem_type=data.problem_type,
        )
        return (1 - share) * task_loss + share * difference

    return mixed


def _rows(task: PreparedData) -> dict[str, hf_datasets.Dataset]:
    """The rows of which a teacher says something, by split."""
    further = {FURTHER: task.unlabelled[FURTHER]} if FURTHER in task.unlabelled else {}
    return {_TRAIN: task.split(_TRAIN)} | further


def _of_task(model_dir: Path, task: PreparedData, data: PreparedData) -> Path:
    """The folder of the teacher of one of the tasks."""
    folder = model_dir / task.name if data.task_names else model_dir
    if not (folder / "config.json").is_file():
        raise ValueError(f"A teacher of '{task.name}' must be the folder of a trained model. {folder} holds none")
    return folder


def _key(folders: Sequence[Path], data: PreparedData) -> str:
    """Names the logits by what they depend on."""
    models = []
    for folder in folders:
        digest = hashlib.sha256()
        for file in sorted(path for pattern in _MODEL_FILES for path in folder.glob(pattern)):
            digest.update(hashlib.sha256(file.read_bytes()).digest())
        models.append(digest.hexdigest())
    further = [rows_identity(task.unlabelled[FURTHER]) for task in data.tasks if FURTHER in task.unlabelled]
    return hashlib.sha256(json.dumps([sorted(models), data_identity(data), further]).encode()).hexdigest()[:16]


def _write(folder: Path, model_dirs: Sequence[Path], task: PreparedData) -> None:
    models = [_checked(model_dir, task) for model_dir in model_dirs]
    for split, rows in _rows(task).items():
        said = [_said(model, task, rows) for model in models]
        columns: dict[str, Any] = {
            f"{OF_TEACHER}{name}": [np.mean(same, axis=0) for same in zip(*(one[name] for one in said), strict=True)]
            for name in said[0]
        }
        table = hf_datasets.Dataset.from_dict(columns)
        if split == FURTHER:
            labels = _labels(np.stack(columns[f"{OF_TEACHER}logits"]), task)
            table = table.add_column("labels", labels, feature=task.split(_TRAIN).features["labels"])
        table.save_to_disk(str(folder / split))


def _labels(logits: np.ndarray, task: PreparedData) -> list[Any]:
    """The labels that whole texts have by their logits (N, L)."""
    if task.is_regression:
        return logits[:, 0].tolist()
    return (logits > 0).astype(float).tolist() if task.is_multi_label else logits.argmax(axis=1).tolist()


def _said(model: Any, task: PreparedData, rows: hf_datasets.Dataset) -> Logits:
    """The teacher's logits of each row, in their order, by name."""
    order = LongestFirst(lengths_of(rows))
    collate = collator(task, getattr(model.config, "model_spec", None))
    taken = [name for name in _INPUTS if name in inspect.signature(model.forward).parameters]
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    sorted_rows: defaultdict[str, list[np.ndarray]] = defaultdict(list)
    for batch in DataLoader(rows, batch_size=_BATCH_SIZE, sampler=order, collate_fn=collate):
        with torch.inference_mode():
            outputs = model(**{name: batch[name].to(model.device) for name in taken if name in batch})
        lengths = batch["attention_mask"].sum(dim=1).tolist()
        for name in (name for name in outputs if name.endswith("logits")):
            logits = outputs[name].float().cpu().numpy()
            of_rows = logits if task.task_type == TEXT else map(lambda row, length: row[:length], logits, lengths)
            sorted_rows[name].extend(of_rows)
    places = np.argsort(order.order)
    return {name: [of_rows[place] for place in places] for name, of_rows in sorted_rows.items()}


def _checked(folder: Path, task: PreparedData) -> Any:
    """The teacher in a folder.

    Raises:
        ValueError: when it cannot be read, or listing why it is none for this task.
    """
    transformers_logging.disable_progress_bar()
    model = load_teacher(folder)
    problems = [*_problems_of_kind(model, task), *_problems_of_words(model, folder, task)]
    if problems:
        raise ValueError(f"{folder} is no teacher for '{task.name}': " + "; ".join(problems))
    return model


def _problems_of_kind(model: Any, task: PreparedData) -> list[str]:
    config, head = model.config, _HEADS[task.task_type]
    if not type(model).__name__.endswith(head):
        return [f"it must have the head of this kind of task, ...{head}. Got {type(model).__name__}"]
    if task.task_type == QUESTIONS:
        return []
    if config.problem_type not in (None, task.problem_type):
        return [f"it must be trained for {task.problem_type}. Got {config.problem_type}"]
    theirs = tuple(str(config.id2label[number]) for number in range(config.num_labels))
    has_names = theirs != tuple(f"LABEL_{number}" for number in range(config.num_labels))
    if task.label_names and theirs != task.label_names and (has_names or len(theirs) != task.num_labels):
        ours = ", ".join(task.label_names)
        return [f"it must have the task's classes, in their order: {ours}. Got {', '.join(theirs)}"]
    return [] if len(theirs) == task.num_labels else [f"it must give one number. Got {len(theirs)}"]


def _problems_of_words(model: Any, folder: Path, task: PreparedData) -> list[str]:
    """Rows are prepared as numbers of words, which the teacher must know as the same words, and as many of them."""
    config, problems = model.config, []
    theirs, ours = words_of(folder), {number: word for word, number in task.tokenizer.get_vocab().items()}
    if theirs is None and config.vocab_size != task.vocab_size:
        problems.append(f"it must know the data's {task.vocab_size:,} words. Got {config.vocab_size:,}")
    elif theirs is not None and theirs != ours:
        number = next(number for number in sorted(theirs | ours) if theirs.get(number) != ours.get(number))
        problems.append(
            f"it must have the words of the data's tokenizer. Word {number} is {theirs.get(number)!r} there and "
            f"{ours.get(number)!r} in the data; prepare them with its tokenizer (--tokenizer {folder})"
        )
    most = getattr(config, "max_position_embeddings", task.max_length)
    if most < task.max_length:
        problems.append(f"it sees texts of {most} tokens, the data have up to {task.max_length} (--max_length)")
    return problems
