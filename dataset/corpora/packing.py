"""The packing of documents into blocks of equal length, on disk as they are made.

Documents are joined by separators and cut to full blocks, each between the tokenizer's own start and end tokens: there
is no padding, and only what does not fill a last block is left out. Blocks are written in parts; beside them lies how
far the corpus was read, so that packing that was cut goes on behind the last whole part and ends in the same blocks.
"""

import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import datasets as hf_datasets
import numpy as np
import numpy.typing as npt
from transformers import PreTrainedTokenizerBase

from design_space.files import write_atomically

DOCUMENTS_PER_BATCH = 1000
CHARACTERS_PER_BATCH = 2_000_000
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
    cls, sep = tokenizer.cls_token_id, tokenizer.sep_token_id
    whole: list[npt.NDArray[np.int32]] = []  # blocks that are not yet written
    for texts in _batches(corpus.skip(progress.documents) if progress.documents else corpus):
        encoded = tokenizer(texts, add_special_tokens=False, return_attention_mask=False, verbose=False)["input_ids"]
        tokens = [np.asarray([*document, sep], dtype=np.int32) for document in encoded]
        pending = np.concatenate([np.asarray(progress.pending, dtype=np.int32), *tokens])
        blocks = pending[: len(pending) // room * room].reshape(-1, room)
        whole.append(
            np.pad(np.pad(blocks, ((0, 0), (1, 0)), constant_values=cls), ((0, 0), (0, 1)), constant_values=sep)
        )
        progress.pending = pending[blocks.size :].tolist()
        progress.documents += len(texts)
        num_whole = sum(map(len, whole))
        report((progress.blocks + num_whole) * length)
        if num_whole * length >= TOKENS_PER_PART:
            progress.write_part(folder, whole)
            whole = []
    if any(map(len, whole)):
        progress.write_part(folder, whole)
    parts = [hf_datasets.load_from_disk(str(_part(folder, number))) for number in range(progress.parts)]
    if not parts:
        return hf_datasets.Dataset.from_dict({"input_ids": []}, features=_FEATURES)
    return hf_datasets.concatenate_datasets(parts)


@dataclass
class _Progress:
    """A record of how far the corpus was read when the last part was written.

    Attributes:
        documents: number of those read. pending: their tokens that are in no block yet. parts, blocks: numbers of
            those written.
    """

    documents: int = 0
    pending: list[int] = field(default_factory=list)
    parts: int = 0
    blocks: int = 0

    @staticmethod
    def read(folder: Path) -> "_Progress":
        file = folder / _STATE
        return _Progress(**json.loads(file.read_text(encoding="utf-8"))) if file.exists() else _Progress()

    def write_part(self, folder: Path, whole: list[npt.NDArray[np.int32]]) -> None:
        """A part first, then the state that counts it."""
        part, blocks = _part(folder, self.parts), np.concatenate(whole)
        shutil.rmtree(part, ignore_errors=True)
        hf_datasets.Dataset.from_dict({"input_ids": list(blocks)}, features=_FEATURES).save_to_disk(str(part))
        self.parts, self.blocks = self.parts + 1, self.blocks + len(blocks)
        write_atomically(folder / _STATE, json.dumps(dataclasses.asdict(self)))


def _part(folder: Path, number: int) -> Path:
    return folder / f"part-{number:05d}"


def _batches(corpus: hf_datasets.IterableDataset) -> Iterator[list[str]]:
    """The documents to tokenise at once: a fixed number, or fewer that are long."""
    batch, characters = [], 0
    for row in corpus:
        batch.append(row["text"])
        characters += len(batch[-1])
        if len(batch) >= DOCUMENTS_PER_BATCH or characters >= CHARACTERS_PER_BATCH:
            yield batch
            batch, characters = [], 0
    if batch:
        yield batch
