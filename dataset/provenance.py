"""The content of prepared data in a few digests: enough to tell whether two folders hold the same, wherever they lie
and whenever they were made."""

import hashlib
import json
from typing import Any

import datasets as hf_datasets
import numpy as np

from .prepared import PreparedData
from .task import SPLITS

_BATCH = 1000
_CORPUS_BLOCKS = 100  # looked at: a corpus may be too long to read whole


def data_identity(data: PreparedData) -> dict[str, str]:
    """The digests by name: ``labels``, ``rows`` (of all splits, as tokens), ``vocabulary`` and ``corpus``, each of all
    tasks together."""
    labels = [[task.task_type, task.is_multi_label, *task.label_names] for task in data.tasks]
    splits = [(task, name) for task in data.tasks for name in SPLITS if name in task.sizes]
    blocks = data.pretrain
    return {
        "labels": _digest(labels),
        "rows": _digest([[name, *_columns(task.split(name))] for task, name in splits]),
        "vocabulary": _digest(sorted(data.tokenizer.get_vocab().items())),
        "corpus": _digest([len(blocks), *_columns(blocks.select(range(min(_CORPUS_BLOCKS, len(blocks)))))]),
    }


def rows_identity(table: hf_datasets.Dataset) -> str:
    """The digest of a table of prepared rows."""
    return _digest(_columns(table))


def _columns(table: hf_datasets.Dataset) -> list[Any]:
    """The number of rows, and the name and digest of each column."""
    digests = {name: hashlib.sha256() for name in sorted(table.column_names)}
    for batch in table.with_format("arrow").iter(batch_size=_BATCH):
        for name, digest in digests.items():
            values = batch[name].combine_chunks()
            while hasattr(values, "flatten") and hasattr(values.type, "value_type"):
                values = values.flatten()
            numbers = values.to_numpy(zero_copy_only=False)
            is_whole = np.issubdtype(numbers.dtype, np.integer)
            digest.update(numbers.astype(np.int64 if is_whole else np.float64).tobytes())
    return [len(table), *([name, digest.hexdigest()] for name, digest in digests.items())]


def _digest(content: Any) -> str:
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
