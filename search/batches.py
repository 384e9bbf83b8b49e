"""Batches of a task, padded as an architecture needs it.

Linear transforms (``l`` heads) run over the whole padded length, so what they give for a text depends on how far its
batch is padded. With one fixed length a text has one answer, in training, evaluation and use; other architectures
ignore padding, and get none they do not need.
"""

from transformers import DataCollatorWithPadding

from dataset import PreparedData
from design_space import ModelSpec


def collator(data: PreparedData, spec: ModelSpec) -> DataCollatorWithPadding:
    """Pads to the longest text of a batch, or to the task's ``max_length`` where the architecture has linear
    transforms."""
    if any(head.operation == "l" for layer in spec.layers for head in layer.heads):
        return DataCollatorWithPadding(data.tokenizer, padding="max_length", max_length=data.max_length)
    return DataCollatorWithPadding(data.tokenizer)
