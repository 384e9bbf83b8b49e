"""Documents packed into blocks of equal length, on disk as they are made.

Documents are joined by separators and cut to full blocks, each between the tokenizer's own start and end tokens: there
is no padding, and only what does not fill a last block is left out. Blocks are written in parts; beside them lies how
far the corpus was read, so that packing that was cut goes on behind the last whole part and ends in the same blocks.
"""

import dataclasses
import itertools
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import datasets as hf_datasets
from transformers import PreTrainedTokenizerBase

from design_space.files import write_atomically

DOCUMENTS_PER_BATCH = 1000
TOKENS_PER_PART = 4_000_000
_STATE = "state.json"
_FEATURES = hf_datasets.Features({"input_ids": hf_datasets.List(hf_datasets.Value("int32"))})


def pack(
    corpus: hf_datasets.IterableDataset,
    tokenizer: PreTrainedTokenizerBase,
    folder: Path,
    *,
    length: int,
    report: Callable[[int], None] = lambda tokens: None,
) -> hf_datasets.Dataset:
    """Blocks of exactly ``length`` tokens (column ``input_ids``), memory-mapped from ``folder``.

    Args:
        corpus: documents in the column ``text``, the same in every pass.
        folder: new, or left by a call with the same arguments that was cut.
        report: called with the number of tokens packed so far.
    """
    folder.mkdir(parents=True, exist_ok=True)
    progress, room = _Progress.read(folder), length - 2
    blocks: list[list[int]] = []  # whole ones that are not yet written
    for texts in _batches(corpus.skip(progress.documents) if progress.documents else corpus):
        encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        pending = list(progress.pending)
        for tokens in encoded:
            pending += [*tokens, tokenizer.sep_token_id]
        starts = range(0, len(pending) - room + 1, room)
        blocks += [[tokenizer.cls_token_id, *pending[start : start + room], tokenizer.sep_token_id] for start in starts]
        progress.pending = pending[len(starts) * room :]
        progress.documents += len(texts)
        report((progress.blocks + len(blocks)) * length)
        if len(blocks) * length >= TOKENS_PER_PART:
            progress.write_part(folder, blocks)
            blocks = []
    if blocks:
        progress.write_part(folder, blocks)
    parts = [hf_datasets.load_from_disk(str(_part(folder, number))) for number in range(progress.parts)]
    if not parts:
        return hf_datasets.Dataset.from_dict({"input_ids": []}, features=_FEATURES)
    return hf_datasets.concatenate_datasets(parts)


@dataclass
class _Progress:
    """How far the corpus was read when the last part was written.

    Attributes:
        documents: read. pending: their tokens that are in no block yet. parts, blocks: written.
    """

    documents: int = 0
    pending: list[int] = field(default_factory=list)
    parts: int = 0
    blocks: int = 0

    @staticmethod
    def read(folder: Path) -> "_Progress":
        file = folder / _STATE
        return _Progress(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else _Progress()

    def write_part(self, folder: Path, blocks: list[list[int]]) -> None:
        """A part first, then the state that counts it."""
        part = _part(folder, self.parts)
        shutil.rmtree(part, ignore_errors=True)
        hf_datasets.Dataset.from_dict({"input_ids": blocks}, features=_FEATURES).save_to_disk(str(part))
        self.parts, self.blocks = self.parts + 1, self.blocks + len(blocks)
        write_atomically(folder / _STATE, json.dumps(dataclasses.asdict(self)))


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}"


def _batches(corpus: hf_datasets.IterableDataset) -> Iterator[list[str]]:
    documents = (row["text"] for row in corpus)
    while batch := list(itertools.islice(documents, DOCUMENTS_PER_BATCH)):
        yield batch
