"""Models on held-out data: a task's metrics of a saved model, and how well a model guesses hidden words."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path

import datasets as hf_datasets
import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers.utils import logging as transformers_logging

from dataset import PreparedData
from flexibert import FlexiBERTForMaskedLM

from .collators import MaskedBlocks, collator
from .recipe import Recipe
from .samplers import LongestFirst, lengths_of
from .task_heads import Model, joined, model_class, predicted
from .uncertainty import error_of_mean, score_error

MOST_BLOCKS = 512
_MASK_SEED = 0


def evaluate(model_dir: Path, data: PreparedData, split: str) -> dict[str, float]:
    """Returns the task's metrics of a saved model on a split; of several tasks each one's, with its name before, and
    the mean of their scores.

    Raises:
        ValueError: when the task has no such split.
    """
    return evaluate_with_error(model_dir, data, split)[0]


def evaluate_with_error(model_dir: Path, data: PreparedData, split: str) -> tuple[dict[str, float], float]:
    """Returns what ``evaluate`` does, and the standard error of the score."""
    if data.task_names:
        found = [evaluate_with_error(model_dir / task.name, task, split) for task in data.tasks]
        return mean_over_tasks(data, [metrics for metrics, _ in found]), error_of_mean([error for _, error in found])
    answers = data.answers(predict(model_dir, data, split), split)
    return data.compute_metrics(*answers), score_error(data, *answers)


def mean_over_tasks(data: PreparedData, metrics: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Returns the metrics of each of several tasks, with its name before, and the mean of their scores."""
    pairs = list(zip(data.tasks, metrics, strict=True))
    named = {f"{task.name}_{name}": value for task, of_task in pairs for name, value in of_task.items()}
    return named | {data.metric: float(np.mean([of_task[task.metric] for task, of_task in pairs]))}


def predict(model_dir: Path, data: PreparedData, split: str) -> np.ndarray:
    """Returns the outputs (``task_heads``) of a saved model on a split, labelled or one of ``unlabelled``."""
    transformers_logging.disable_progress_bar()
    model = model_class(data).from_pretrained(model_dir).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    return outputs_on(data.unlabelled[split] if split in data.unlabelled else data.split(split), model, data)


def outputs_on(rows: hf_datasets.Dataset, model: Model, data: PreparedData) -> np.ndarray:
    """Returns the outputs (``task_heads``) of a model in evaluation mode on rows of its task, in their order."""
    longest_first = LongestFirst(lengths_of(rows))
    loader = DataLoader(rows, batch_size=128, sampler=longest_first, collate_fn=collator(data, model.config.model_spec))
    return longest_first.restored(joined([predicted(model, batch) for batch in loader], data))


def perplexity(model: FlexiBERTForMaskedLM, data: PreparedData, recipe: Recipe) -> float:
    """Returns exp of the mean loss per hidden token on held-out blocks (``MOST_BLOCKS`` at most), with the same tokens
    hidden in every call."""
    blocks = data.pretrain_validation
    blocks = blocks.select(range(min(len(blocks), MOST_BLOCKS)))
    masked = MaskedBlocks(data.tokenizer, share=recipe.mask_share, whole_words=recipe.whole_words, seed=_MASK_SEED)
    loss, num_hidden, was_training = 0.0, 0, model.training
    model.eval()
    with torch.no_grad():
        for batch in DataLoader(blocks, batch_size=32, collate_fn=masked):
            hidden = int((batch["labels"] != -100).sum())
            if hidden:
                loss += float(model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).loss) * hidden
                num_hidden += hidden
    model.train(was_training)
    return math.exp(min(loss / max(num_hidden, 1), 700.0))
