"""What a user should know of the texts of a task before its scores are believed."""

import logging
from collections.abc import Mapping

import datasets as hf_datasets
from transformers import PreTrainedTokenizerBase

from .task import Task

logger = logging.getLogger(__name__)

_BATCH = 1000


def texts_of(rows: hf_datasets.Dataset) -> list[list[str]]:
    """The texts of rows, and where they are pairs their second texts."""
    return [list(rows[name]) for name in ("text", "text_pair") if name in rows.column_names]


def say_what_is_cut(
    task: Task, tables: Mapping[str, hf_datasets.Dataset], tokenizer: PreTrainedTokenizerBase, max_length: int
) -> None:
    """A warning when texts are longer than ``max_length``, with their share; ``tables`` are the splits, encoded."""
    cut = longest = 0
    for split, encoded in tables.items():
        full = [number for number, ids in enumerate(encoded["input_ids"]) if len(ids) >= max_length]
        for start in range(0, len(full), _BATCH):
            rows = task.splits[split].select(full[start : start + _BATCH])
            whole = tokenizer(*texts_of(rows), return_attention_mask=False, verbose=False)["input_ids"]
            sizes = [len(ids) for ids in whole if len(ids) > max_length]
            cut, longest = cut + len(sizes), max([longest, *sizes])
    if cut:
        total = sum(map(len, tables.values()))
        logger.warning(
            "%s: %s of %s texts (%s) are longer than --max_length %d tokens and cut there; the longest has %s",
            *(task.name, f"{cut:,}", f"{total:,}", f"{cut / total:.0%}", max_length, f"{longest:,}"),
        )


def say_what_comes_twice(task: Task, tables: Mapping[str, hf_datasets.Dataset]) -> None:
    """A warning when rows of the other splits are in training too, with their share: scores on these are flattered."""
    for split, encoded in tables.items():
        twice = 0 if split == "train" else num_in_training(encoded, tables["train"])
        if twice:
            logger.warning(
                "%s: %s of the %s texts of %s (%s) are in training too, so scores there are flattered",
                *(task.name, f"{twice:,}", f"{len(encoded):,}", split, f"{twice / len(encoded):.1%}"),
            )


def num_in_training(encoded: hf_datasets.Dataset, train: hf_datasets.Dataset) -> int:
    """How many encoded rows, as models read them, are among those of training."""
    known = set(map(tuple, train["input_ids"][:]))
    return sum(tuple(ids) in known for ids in encoded["input_ids"][:])
