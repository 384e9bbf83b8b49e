"""Labelled rows for commands on models that classify: read as tasks are, and what models score on them.

This is the one place below ``search`` where models meet tasks: a table is one thing to everybody who reads it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from transformers import AutoTokenizer

from design_space.options import Count, Place, options

from ..export.folder import longest_text, padded_length_of
from ..model.heads import FlexiBERTForSequenceClassification
from ..pruning.importance import Batch
from ..runtimes.latency import measure_in_turn

if TYPE_CHECKING:
    from dataset import Task

_REPEATS, _LONGEST = 10, 128


@options
class ExampleOptions:
    """On which labelled rows importance and scores are measured."""

    examples: Place | None = None
    """Table of texts, single or in pairs, and labels, as for --task of the search."""
    max_examples: Count = 256
    """Number of examples that are used, from the start (export: from those that a search holds out)."""
    batch_size: Count = 16
    """Examples per batch."""


@dataclass(frozen=True)
class Examples:
    """Rows of a task as a model reads them. ``places``: where the model has the task's labels, (C,)."""

    task: "Task"
    places: Sequence[int]
    batches: Sequence[Batch]
    labels: np.ndarray

    def figures(self, before: Any, after: Any) -> dict[str, str]:
        """What two models score here, and how fast they are: a line of text for each, by name.

        Raises:
            ValueError: when they have not the same head, with the same labels at the same places.
        """
        if type(after) is not type(before) or after.config.id2label != before.config.id2label:
            raise ValueError(
                f"Both models must have the same labels. Got {_labels_of(before)}, and {_labels_of(after)}"
            )
        scores = [self._score_of(model) for model in (before, after)]
        length = min(_LONGEST, before.config.max_position_embeddings, after.config.max_position_embeddings)
        bodies = [before.base_model, after.base_model]
        times = [speed.median_ms for speed in measure_in_turn(bodies, length=length, repeats=_REPEATS)]
        return {
            self.task.metric: f"{scores[0]:.4f} before, {scores[1]:.4f} after, on {len(self.labels)} examples",
            "latency_ms": f"{times[0]:.2f} before, {times[1]:.2f} after, of {length} tokens",
        }

    @torch.no_grad()
    def score(self, logits_of: Callable[[Batch], torch.Tensor]) -> float:
        """The task's metric of what gives logits (B, L) of a batch without its labels."""
        inputs = [{name: x for name, x in batch.items() if name != "labels"} for batch in self.batches]
        outputs = torch.cat([logits_of(batch) for batch in inputs]).float().numpy()
        predictions = outputs[:, 0] if self.task.is_regression else outputs[:, self.places]
        return self.task.compute_metrics(predictions, self.labels)[self.task.metric]

    def _score_of(self, model: Any) -> float:
        was_training = model.training
        score = self.score(lambda batch: model.eval()(**batch).logits)
        model.train(was_training)
        return score


def read_examples(
    options: ExampleOptions,
    model: Any,
    folder: Path,
    *,
    held_out_first: bool = False,
    padded_length: int | None = None,
) -> Examples | None:
    """The rows of ``--examples`` by the tokenizer in a model's folder; None without.

    Args:
        held_out_first: take the rows that a search holds out before those that it trains on.
        padded_length: tokens that all are padded to, at least; ``padded_length_of`` the model when not given.

    Raises:
        ValueError: when the model classifies no texts, the table is none, or its labels are not the model's.
    """
    if options.examples is None:
        return None
    if not isinstance(model, FlexiBERTForSequenceClassification):
        needed = FlexiBERTForSequenceClassification.__name__
        raise ValueError(f"{folder}: --examples needs a {needed}. Got a {type(model).__name__}")
    from dataset import load_task  # here, since it needs more than models do

    task = load_task(options.examples)
    places = _places(task, model.config, options.examples)
    columns: dict[str, list[Any]] = {name: [] for name in task.train.column_names}
    tables = list(task.splits.values())
    for split in [*tables[1:], tables[0]] if held_out_first else tables:
        for name in columns:
            columns[name] += split[name][: options.max_examples - len(columns[name])]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    longest, padded_length = longest_text(model, tokenizer), padded_length or padded_length_of(model, tokenizer)
    texts = [columns[name] for name in ("text", "text_pair") if name in columns]
    labels = np.asarray(columns["label"])
    batches = []
    for start in range(0, len(labels), options.batch_size):
        piece = slice(start, start + options.batch_size)
        cut = tokenizer(*(text[piece] for text in texts), truncation=True, max_length=longest)
        padded = max(padded_length or 0, *map(len, cut["input_ids"]))
        encoded = tokenizer.pad(cut, padding="max_length", max_length=padded, return_tensors="pt")
        batch = {name: encoded[name] for name in ("input_ids", "attention_mask")}
        if "token_type_ids" in encoded and model.config.type_vocab_size > 1:
            batch["token_type_ids"] = encoded["token_type_ids"]
        batches.append(batch | {"labels": _as_model_has_them(labels[piece], task, places, model.config.num_labels)})
    return Examples(task, places, batches, labels)


def _labels_of(model: Any) -> str:
    return f"{', '.join(map(str, model.config.id2label.values()))} of a {type(model).__name__}"


def _places(task: "Task", config: Any, path: Path) -> list[int]:
    """Where the model has each label of the task: by name, or where all are numbers by number."""
    from dataset.task import TEXT

    if task.task_type != TEXT:
        raise ValueError(f"{path}: labels must be of whole texts, as the model's. Got a table for {task.task_type}")
    takes_several = config.problem_type == "multi_label_classification"
    if task.is_multi_label != takes_several:
        wanted, got = ("several", "one") if takes_several else ("one", "several")
        raise ValueError(f"{path}: a text must have {wanted} of the labels, as the model gives it. Got {got}")
    if task.is_regression and config.num_labels == 1:
        return [0]
    ours: Mapping[str, int] = {str(name): int(number) for number, name in config.id2label.items()}
    numbers = {str(number): number for number in range(config.num_labels)}
    for known in (ours, numbers):
        if task.label_names and all(name in known for name in task.label_names):
            return [known[name] for name in task.label_names]
    found = ", ".join(task.label_names[:10]) or "amounts"
    raise ValueError(f"{path}: labels must be the model's, {', '.join(ours)}, or their numbers. Got {found}")


def _as_model_has_them(labels: np.ndarray, task: "Task", places: Sequence[int], num_labels: int) -> torch.Tensor:
    if task.is_regression:
        return torch.tensor(labels, dtype=torch.float32)
    if not task.is_multi_label:
        return torch.tensor(np.asarray(places)[labels])
    made = torch.zeros(len(labels), num_labels)
    made[:, list(places)] = torch.tensor(labels, dtype=torch.float32)
    return made
