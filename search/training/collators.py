"""Batches of a task, padded as an architecture needs it; masked batches for pre-training; and how fast and how full
batches are.

Linear transforms (``l`` heads) run over the whole padded length, so what they give for a text depends on how far its
batch is padded. With one fixed length a text has one answer, in training, evaluation and use; other architectures
ignore padding, and get none they do not need. Letters: ``B`` batch, ``S`` sequence, ``V`` vocabulary.
"""

import itertools
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from transformers import (
    DataCollatorForLanguageModeling,
    DataCollatorForTokenClassification,
    DataCollatorWithPadding,
    PreTrainedTokenizerBase,
)

from dataset import PreparedData
from dataset.task import TEXT, TOKENS
from dataset.tokenizer import vocabulary_size
from design_space import ModelSpec

MODEL_INPUTS = ("input_ids", "attention_mask", "token_type_ids", "labels", "start_positions", "end_positions")
OF_TEACHER = "teacher_"
"""How columns begin that hold what a teacher returned for a row (``teacher_logits``): nothing that a model takes."""

Rows = list[dict[str, Any]]


def collator(data: PreparedData, spec: ModelSpec | None) -> Callable[[Rows], dict[str, torch.Tensor]]:
    """Makes a collator that pads to the longest text of a batch, or to the task's ``max_length`` where the architecture
    depends on it; labels of words are padded with -100, what a teacher says of them with 0.

    Args:
        spec: the architecture; None for one of another library, which ignores padding.
    """
    is_fixed = spec is not None and spec.depends_on_length
    padding = {"padding": "max_length", "max_length": data.max_length} if is_fixed else {}
    collator_class = DataCollatorForTokenClassification if data.task_type == TOKENS else DataCollatorWithPadding
    collate = collator_class(data.tokenizer, **padding)

    def collated(rows: Rows) -> dict[str, torch.Tensor]:
        batch = collate([{name: row[name] for name in row if name in MODEL_INPUTS} for row in rows])
        length = None if data.task_type == TEXT else batch["input_ids"].shape[1]
        names = [name for name in rows[0] if name.startswith(OF_TEACHER)]
        return {**batch, **{name: _stacked([row[name] for row in rows], length) for name in names}}

    return collated


def _stacked(values: list[Any], length: int | None) -> torch.Tensor:
    """Puts the numbers of rows together: (B, ...); with a length as many for each, (B, S, ...)."""
    tensors = [torch.tensor(numbers, dtype=torch.float32) for numbers in values]
    if length is None:
        return torch.stack(tensors)
    padded = tensors[0].new_zeros(len(tensors), length, *tensors[0].shape[1:])
    for row, tensor in zip(padded, tensors, strict=True):
        row[: len(tensor)] = tensor
    return padded


class MaskedBlocks:
    """Collates full blocks and hides a share of their tokens, as ``DataCollatorForLanguageModeling`` does.

    Args:
        share: the share of tokens that are hidden, or of words with ``whole_words``.
        whole_words: hide all pieces of a word or none; a word begins where its first piece says so (``Ġ`` in byte-level
            BPE, no ``##`` in WordPiece). Hidden words are then always replaced by the mask.
        seed: makes the masks of the first, second, ... batch the same for every instance; random when None.
    """

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        share: float = 0.15,
        whole_words: bool = False,
        seed: int | None = None,
    ) -> None:
        kept = {"mask_replace_prob": 1.0, "random_replace_prob": 0.0} if whole_words else {}
        self._masking = DataCollatorForLanguageModeling(
            tokenizer, mlm_probability=share, whole_word_mask=whole_words, seed=seed, **kept
        )
        self._is_special_V = np.isin(np.arange(vocabulary_size(tokenizer)), tokenizer.all_special_ids)
        self._begins_V = _word_beginnings(tokenizer) if whole_words else None

    def __call__(self, examples: Sequence[Mapping[str, Any]]) -> dict[str, torch.Tensor]:
        """Returns ``input_ids``, ``labels`` (-100 where nothing is hidden) and ``attention_mask``, each ``(B, S)``."""
        ids_BS = np.asarray([example["input_ids"] for example in examples], dtype=np.int64)
        if self._masking.seed is not None and self._masking.generator is None:
            self._masking.create_rng()
        offsets = None
        if self._begins_V is not None:
            # Offsets in a text of two-letter pieces, with a blank before each word: gaps are what the library looks at.
            ends = np.broadcast_to(2 * np.arange(1, ids_BS.shape[1] + 1), ids_BS.shape)
            offsets = np.stack([ends - 2 + self._begins_V[ids_BS], ends], axis=-1)
        inputs, labels = self._masking.torch_mask_tokens(
            torch.from_numpy(ids_BS), torch.from_numpy(self._is_special_V[ids_BS]), offset_mapping=offsets
        )
        return {"input_ids": inputs, "labels": labels, "attention_mask": torch.ones_like(inputs)}


def _word_beginnings(tokenizer: PreTrainedTokenizerBase) -> np.ndarray:
    """Says with 0 or 1 whether each token begins a word, (V,)."""
    names = {number: token for token, number in tokenizer.get_vocab().items()}
    tokens = [names.get(number, "") for number in range(vocabulary_size(tokenizer))]
    if any(token.startswith("##") for token in tokens):
        return np.asarray([not token.startswith("##") for token in tokens], dtype=np.int64)
    return np.asarray([token.startswith(("Ġ", "▁")) for token in tokens], dtype=np.int64)


class InputFigures(NamedTuple):
    """The speed of making batches alone, padding not counted, and the share of padding in all positions, in [0, 1]."""

    tokens_per_s: float
    padding_share: float


def measure_input(loader: Iterable[Mapping[str, torch.Tensor]], *, most_batches: int = 200) -> InputFigures:
    """Makes batches and throws them away; the random state is as before."""
    tokens = positions = 0
    with torch.random.fork_rng(devices=[]):
        start = time.perf_counter()
        for batch in itertools.islice(loader, most_batches):
            tokens += int(batch["attention_mask"].sum())
            positions += batch["attention_mask"].numel()
        seconds = time.perf_counter() - start
    return InputFigures(tokens / max(seconds, 1e-9), 1 - tokens / max(positions, 1))
