"""The head that a task asks for: the class of the model, its configuration, and one array of outputs.

Shapes: ``N`` rows, ``S`` tokens, ``L`` labels; outputs are ``(N, L)`` of whole texts, ``(N, S, L)`` of words, and
``(N, 2, S)`` of questions, scores of the first and the last token of the answer.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch

from dataset import PreparedData
from dataset.task import QUESTIONS, TEXT, TOKENS
from flexibert import (
    FlexiBERTConfig,
    FlexiBERTForQuestionAnswering,
    FlexiBERTForSequenceClassification,
    FlexiBERTForTokenClassification,
)

from .recipe import Recipe, TrainingJob

Model = FlexiBERTForSequenceClassification | FlexiBERTForTokenClassification | FlexiBERTForQuestionAnswering
_CLASSES: Mapping[str, type[Model]] = {
    TEXT: FlexiBERTForSequenceClassification,
    TOKENS: FlexiBERTForTokenClassification,
    QUESTIONS: FlexiBERTForQuestionAnswering,
}
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_FILL = -100.0
"""Scores of positions that only a longer batch has; ``Trainer`` fills with the same."""


def model_class(data: PreparedData) -> type[Model]:
    """Returns the class with the task's head."""
    return _CLASSES[data.task_type]


def scratch_network(data: PreparedData, recipe: Recipe) -> dict[str, Any]:
    """Returns what all models of a search from scratch share, as options of their configuration."""
    return {
        "vocab_size": data.vocab_size,
        "max_position_embeddings": recipe.num_positions,
        "pad_token_id": data.tokenizer.pad_token_id,
    }


def model_config(job: TrainingJob, data: PreparedData) -> FlexiBERTConfig:
    """Makes the configuration of the job's model for a task.

    Raises:
        ValueError: for texts that are longer than the model's positions.
    """
    network = job.network or scratch_network(data, job.recipe)
    longest, positions = max(data.max_length, data.pretrain_length), network["max_position_embeddings"]
    if longest > positions:
        raise ValueError(
            f"{data.path} holds texts of up to {longest} tokens, the models of this search see {positions}. "
            "Prepare the data with the recipe's max_length and pretrain_length"
        )
    options: dict[str, Any] = {"num_labels": data.num_labels, "problem_type": data.problem_type}
    if data.label_names:
        options["id2label"] = dict(enumerate(data.label_names))
        options["label2id"] = {name: number for number, name in enumerate(data.label_names)}
    if data.task_type == QUESTIONS:
        options["may_lack_answers"] = data.may_lack_answers
    return FlexiBERTConfig(model_dict=job.candidate.spec.to_dict(), **network, **options)


def head_size(data: PreparedData) -> dict[str, Any]:
    """Says what counts as parameters beside the encoder, of the task with most rows: ``num_outputs`` of the head, and
    whether there is a ``pooler``."""
    task = data.tasks[data.largest_task]
    return {"num_outputs": 2 if task.task_type == QUESTIONS else task.num_labels, "pooler": task.task_type == TEXT}


def outputs_of(scores: Any) -> np.ndarray:
    """Returns what a trainer collects of a model as one array.

    Args:
        scores: logits; of questions a pair, of first and of last tokens, each ``(N, S)``.
    """
    return np.stack(scores, axis=1) if isinstance(scores, tuple) else np.asarray(scores)


def predicted(model: Model, batch: Mapping[str, torch.Tensor]) -> np.ndarray:
    """Returns the outputs of a forward pass."""
    inputs = {name: tensor.to(model.device) for name, tensor in batch.items() if name in _INPUTS}
    with torch.no_grad():
        output = model(**inputs)
    if isinstance(model, FlexiBERTForQuestionAnswering):
        return torch.stack([output.start_logits, output.end_logits], dim=1).cpu().numpy()
    return output.logits.cpu().numpy()


def joined(batches: Sequence[np.ndarray], data: PreparedData) -> np.ndarray:
    """Puts the outputs of batches together as those of all rows; tokens that only longer batches have are filled."""
    if data.task_type == TEXT:
        return np.concatenate(batches)
    axis = 2 if data.task_type == QUESTIONS else 1
    longest = max(batch.shape[axis] for batch in batches)
    widths = [[(0, longest - batch.shape[axis] if place == axis else 0) for place in range(3)] for batch in batches]
    filled = [np.pad(batch, width, constant_values=_FILL) for batch, width in zip(batches, widths, strict=True)]
    return np.concatenate(filled)
