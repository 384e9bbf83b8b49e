"""The best model on held-out data: measured once, after the search, on the model as saved."""

from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from transformers.utils import logging as transformers_logging

from dataset import PreparedData
from flexibert import FlexiBERTForSequenceClassification

from .batches import collator


def evaluate(model_dir: Path, data: PreparedData, split: str) -> dict[str, float]:
    """The task's metrics of a saved model on a split.

    Raises:
        ValueError: when the task has no such split.
    """
    examples = getattr(data, split)
    if examples is None:
        raise ValueError(f"Task '{data.name}' has no split '{split}'")
    transformers_logging.disable_progress_bar()
    model = FlexiBERTForSequenceClassification.from_pretrained(model_dir).eval()
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    loader = DataLoader(examples, batch_size=128, collate_fn=collator(data, model.config.model_spec))
    outputs, labels = [], []
    with torch.no_grad():
        for batch in loader:
            labels.append(batch.pop("labels").numpy())
            outputs.append(
                model(**{name: tensor.to(model.device) for name, tensor in batch.items()}).logits.cpu().numpy()
            )
    predictions = np.concatenate(outputs)
    return data.compute_metrics(predictions[:, 0] if data.is_regression else predictions, np.concatenate(labels))
