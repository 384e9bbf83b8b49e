"""A task and corpus tokenised once to disk, and read by every worker from there.

    tokenizer/                        save_pretrained
    pretrain/ pretrain_validation/    ``input_ids``: blocks of exactly ``max_length`` tokens, special ones included
    train/ validation/ test/          ``input_ids``, ``attention_mask``, ``token_type_ids`` (paired tasks only),
    ``labels``; truncated, not padded task.json                         what it is and what it was made from

The folder is written under another name and renamed: it is there whole or not at all.
"""

import json
import shutil
import tempfile
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import numpy as np
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from .metrics import METRICS, Array, Metrics
from .task import Task, majority_share

TASK_FILE = "task.json"
_HELD_OUT = 20  # one of so many blocks of the corpus is kept for validation


@dataclass(frozen=True)
class PreparedData:
    """The folder's content; splits are memory-mapped when first used."""

    path: Path
    content: dict[str, Any]

    @staticmethod
    def load(path: Path | str) -> "PreparedData":
        """Read a prepared folder. Raises ``ValueError`` when it is none."""
        file = Path(path).absolute() / TASK_FILE
        if not file.is_file():
            raise ValueError(f"{file.parent} holds no prepared data (no {TASK_FILE}). Make it with prepare_data")
        return PreparedData(file.parent, json.loads(file.read_text(encoding="utf-8")))

    @property
    def name(self) -> str:
        return str(self.content["name"])

    @property
    def metric(self) -> str:
        return str(self.content["metric"])

    @property
    def label_names(self) -> tuple[str, ...]:
        return tuple(self.content["label_names"])

    @property
    def is_regression(self) -> bool:
        return not self.label_names

    @property
    def num_labels(self) -> int:
        return len(self.label_names) or 1

    @property
    def max_length(self) -> int:
        return int(self.content["max_length"])

    @property
    def vocab_size(self) -> int:
        return int(self.content["vocab_size"])

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        return AutoTokenizer.from_pretrained(self.path / "tokenizer")

    @cached_property
    def pretrain(self) -> hf_datasets.Dataset:
        return self._split("pretrain")

    @cached_property
    def pretrain_validation(self) -> hf_datasets.Dataset:
        return self._split("pretrain_validation")

    @cached_property
    def train(self) -> hf_datasets.Dataset:
        return self._split("train")

    @cached_property
    def validation(self) -> hf_datasets.Dataset:
        return self._split("validation")

    @cached_property
    def test(self) -> hf_datasets.Dataset | None:
        return self._split("test") if "test" in self.content["sizes"] else None

    def compute_metrics(self, predictions: Array, labels: Array) -> Metrics:
        """The task's metrics, as ``Task.compute_metrics``."""
        return METRICS[self.metric](np.asarray(predictions), np.asarray(labels))

    def majority_share(self, split: str) -> float:
        """Accuracy, on a split, of always answering the most frequent class of training."""
        return majority_share(self.train["labels"][:], self._split(split)["labels"][:])

    def describe(self) -> str:
        """One line: task, sizes, vocabulary."""
        sizes = ", ".join(
            f"{size:,} {split}" for split, size in self.content["sizes"].items() if "pretrain" not in split
        )
        blocks = self.content["sizes"]["pretrain"]
        tokens = f"{blocks * self.max_length:,} tokens for pre-training"
        return f"task {self.name} ({sizes}); {tokens}; vocabulary of {self.vocab_size:,}"

    def _split(self, name: str) -> hf_datasets.Dataset:
        return hf_datasets.load_from_disk(str(self.path / name))


def prepare(
    task: Task,
    corpus: hf_datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    *,
    output_dir: Path,
    max_length: int,
    made_from: dict[str, Any],
) -> PreparedData:
    """Tokenise to ``output_dir``, which must not exist or be empty.

    Args:
        max_length: most tokens of a text, and tokens of a pre-training block.
        made_from: what the data came from; kept in ``task.json`` and compared when the folder is used again.

    Raises:
        ValueError: when the corpus is too small for one block.
    """
    partial = Path(tempfile.mkdtemp(prefix=f".{output_dir.name}.", dir=_made(output_dir.parent)))
    try:
        _write(partial, task, corpus, tokenizer, max_length, made_from)
        partial.chmod(0o755)
        partial.rename(output_dir)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return PreparedData.load(output_dir)


def _write(
    folder: Path,
    task: Task,
    corpus: hf_datasets.Dataset,
    tokenizer: PreTrainedTokenizerBase,
    max_length: int,
    made_from: dict[str, Any],
) -> None:
    blocks = list(_blocks(corpus["text"], tokenizer, max_length))
    if len(blocks) < 2:
        raise ValueError(
            f"The corpus is too small: {len(blocks)} block(s) of {max_length} tokens. "
            f"Give more text, or a smaller max_length"
        )
    held_out = max(1, len(blocks) // _HELD_OUT)
    splits = {
        "pretrain": hf_datasets.Dataset.from_dict({"input_ids": blocks[:-held_out]}),
        "pretrain_validation": hf_datasets.Dataset.from_dict({"input_ids": blocks[-held_out:]}),
        "train": _encoded(task.train, tokenizer, max_length),
        "validation": _encoded(task.validation, tokenizer, max_length),
    }
    if task.test is not None:
        splits["test"] = _encoded(task.test, tokenizer, max_length)
    tokenizer.save_pretrained(str(folder / "tokenizer"))
    for name, rows in splits.items():
        rows.save_to_disk(str(folder / name))
    content = {
        "name": task.name,
        "metric": task.metric,
        "label_names": list(task.label_names),
        "max_length": max_length,
        "vocab_size": len(tokenizer),
        "sizes": {name: len(rows) for name, rows in splits.items()},
        "made_from": made_from,
    }
    (folder / TASK_FILE).write_text(json.dumps(content, indent=2), encoding="utf-8")


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _blocks(texts: Iterable[str], tokenizer: PreTrainedTokenizerBase, max_length: int) -> Iterator[list[int]]:
    """Documents joined by separators and cut to full blocks, each between the tokenizer's own start and end tokens."""
    room = max_length - 2
    pending: list[int] = []
    encoded = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
    for tokens in encoded:
        pending += [*tokens, tokenizer.sep_token_id]
        while len(pending) >= room:
            yield [tokenizer.cls_token_id, *pending[:room], tokenizer.sep_token_id]
            pending = pending[room:]


def _encoded(rows: hf_datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> hf_datasets.Dataset:
    is_paired = "text_pair" in rows.column_names
    texts = [list(rows["text"])] + ([list(rows["text_pair"])] if is_paired else [])
    encoded = tokenizer(*texts, truncation=True, max_length=max_length, return_token_type_ids=is_paired)
    return hf_datasets.Dataset.from_dict({**encoded, "labels": list(rows["label"])})
