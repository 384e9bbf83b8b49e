"""A task, or several, and a corpus tokenised once to disk, and read by every worker from there.

    tokenizer/                        save_pretrained
    pretrain/ pretrain_validation/    ``input_ids``: blocks of exactly ``pretrain_length`` tokens, special ones included
    train/ validation/ test/          ``input_ids``, ``attention_mask``, ``token_type_ids`` (paired tasks only),
                                      ``labels``; truncated, not padded. Words and questions have the columns of
                                      ``encode_tags`` and ``encode_questions``
    unlabelled_test/ ...              the same without ``labels``
    texts_train/ ...                  the ``context`` and ``answers`` of questions
    task.json                         what it is and what it was made from

Several tasks have a folder each (``cola/``, ...) with all but the first two lines. The folder is written
under another name and renamed: it is there whole or not at all. What a cut preparation left is used by the next one.
"""

import contextlib
import dataclasses
import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import numpy as np
import numpy.typing as npt
from filelock import FileLock, Timeout
from transformers import AutoTokenizer, PreTrainedTokenizerBase

from design_space.files import read_json, write_atomically

from .corpora.packing import pack
from .kinds.question_answering import best_answers, encode_questions
from .kinds.token_classification import encode_tags, sentences_of
from .metrics import Metrics
from .noticed import num_in_training, say_what_comes_twice, say_what_is_cut, texts_of
from .task import QUESTIONS, SPLITS, TEXT, TOKENS, Task, TaskDescription, majority_share
from .tokenizer import vocabulary_size

TASK_FILE = "task.json"
MADE_FROM_FILE = "made_from.json"
_HELD_OUT = 20  # one of so many blocks of the corpus is kept for validation
_TASK_TYPE = "kind"  # as the file calls it
_UNLABELLED, _TEXTS = "unlabelled_", "texts_"


@dataclass(frozen=True, kw_only=True)
class PreparedData(TaskDescription):
    """The folder's content; splits are memory-mapped.

    Args:
        max_length: most tokens of a text. pretrain_length: tokens of a block of the corpus.
        sizes: rows of each split. made_from: what the data came from.
        task_names: of several tasks, each a folder in this one; the score is then the mean of theirs.
    """

    path: Path
    max_length: int
    pretrain_length: int
    vocab_size: int
    sizes: Mapping[str, int]
    made_from: Mapping[str, Any] = field(default_factory=dict)
    task_names: tuple[str, ...] = ()

    @staticmethod
    def load(path: Path | str) -> "PreparedData":
        """Read a prepared folder. Raises ``ValueError`` when it is none."""
        file = Path(path).absolute() / TASK_FILE
        if not file.is_file():
            raise ValueError(f"{file.parent} holds no prepared data (no {TASK_FILE}). Make it with prepare_data")
        content = read_json(file)
        try:
            content |= {key: tuple(content[key]) for key in ("label_names", "task_names")}
            content["task_type"] = content.pop(_TASK_TYPE, TEXT)
            return PreparedData(path=file.parent, **content)
        except (KeyError, TypeError) as error:
            raise ValueError(
                f"{file.parent} was prepared by another version of this program ({error}). Remove it, or choose "
                "another folder"
            ) from error

    @cached_property
    def tasks(self) -> tuple["PreparedData", ...]:
        """The tasks to train on: itself, or those of ``task_names``."""
        return tuple(PreparedData.load(self.path / name) for name in self.task_names) or (self,)

    @cached_property
    def largest_task(self) -> int:
        """The number of the task with most rows to train on (the first of equals): it stands for all where one must."""
        return max(range(len(self.tasks)), key=lambda number: self.tasks[number].sizes["train"])

    @cached_property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The tokenizer of the rows, which does the same where it is saved and loaded again: ``truncation=True`` cuts
        at the task's length, and the second text of a pair is of segment 1."""
        tokenizer = AutoTokenizer.from_pretrained(self._shared / "tokenizer")
        tokenizer.model_max_length = self.max_length
        tokenizer.model_input_names = ["input_ids", "token_type_ids", "attention_mask"]
        tokenizer.init_kwargs["model_input_names"] = tokenizer.model_input_names  # what of it is saved
        return tokenizer

    @cached_property
    def pretrain(self) -> hf_datasets.Dataset:
        return hf_datasets.load_from_disk(str(self._shared / "pretrain"))

    @cached_property
    def pretrain_validation(self) -> hf_datasets.Dataset:
        return hf_datasets.load_from_disk(str(self._shared / "pretrain_validation"))

    @cached_property
    def unlabelled(self) -> dict[str, hf_datasets.Dataset]:
        """The published rows whose labels are secret, by split, and the ones that a teacher labels, ``FURTHER``."""
        names = [name for name in self.sizes if name.startswith(_UNLABELLED)]
        return {name.removeprefix(_UNLABELLED): self._read(name) for name in names}

    def split(self, name: str) -> hf_datasets.Dataset:
        """The rows of ``train``, ``validation`` or ``test``. Raises ``ValueError`` when the task has no such split."""
        if self.task_names:
            raise ValueError(f"'{self.name}' is several tasks; take a split of one of 'tasks'")
        if name not in SPLITS or name not in self.sizes:
            known = [known for known in SPLITS if known in self.sizes]
            raise ValueError(f"Task '{self.name}' has no split '{name}'. Available: {', '.join(known)}")
        return self._read(name)

    def also_in_training(self, split: str) -> int:
        """How many texts of a split, as models read them, are in training too: scores on these are flattered."""
        return num_in_training(self.split(split), self.split("train"))

    def majority_share(self, split: str) -> float | None:
        """The accuracy, on a split, of always answering the most frequent class of training; None where there are no
        classes."""
        if self.is_regression or self.task_type == QUESTIONS:
            return None
        labels = self.split("train")["labels"][:], self.split(split)["labels"][:]
        return majority_share(*labels, of_words=self.task_type == TOKENS)

    def measure(self, outputs: npt.ArrayLike, split: str) -> Metrics:
        """The task's metrics of a model's outputs on a split.

        Args:
            outputs: of each row, in order, or of the first ones: ``(N, num_labels)``; of words
                ``(N, S, num_labels)``; of questions ``(N, 2, S)``, scores of first and last token. ``S`` as long as the
                longest row, or longer.
        """
        return self.compute_metrics(*self.answers(outputs, split))

    def answers(self, outputs: npt.ArrayLike, split: str) -> tuple[Any, Any]:
        """What a model's outputs, as for ``measure``, say of each row of a split, and what is right, as
        ``compute_metrics`` compares them."""
        outputs = np.asarray(outputs)
        first = range(len(outputs))
        rows = self.split(split).select(first)
        if self.task_type == TOKENS:
            return sentences_of(outputs, rows)
        if self.task_type == QUESTIONS:
            texts = self._read(f"{_TEXTS}{split}").select(range(max(rows["example"][:]) + 1))
            found = best_answers(outputs, rows, texts["context"][:], may_lack_answers=self.may_lack_answers)
            return found, texts["answers"][:]
        return (outputs[:, 0] if self.is_regression else outputs), np.asarray(rows["labels"][:])

    def describe(self) -> str:
        """One line that says task, sizes and vocabulary."""
        sizes = ", ".join(f"{size:,} {split}" for split, size in self.sizes.items() if "pretrain" not in split)
        of = f"{len(self.task_names)} tasks: {', '.join(self.task_names)}" if self.task_names else sizes
        tokens = f"{self.sizes['pretrain'] * self.pretrain_length:,} tokens for pre-training"
        return f"task {self.name} ({of}); {tokens}; vocabulary of {self.vocab_size:,}"

    @property
    def _shared(self) -> Path:
        """The folder of the tokenizer and the corpus: this one, or for one of several tasks, the one above."""
        return self.path if (self.path / "tokenizer").is_dir() else self.path.parent

    def _read(self, name: str) -> hf_datasets.Dataset:
        return hf_datasets.load_from_disk(str(self.path / name))


@dataclass(frozen=True, kw_only=True)
class Lengths:
    """The most tokens of a text of a task, and the tokens of a pre-training block."""

    max_length: int
    pretrain_length: int


def prepare(
    tasks: Sequence[Task],
    corpus: hf_datasets.IterableDataset,
    make_tokenizer: Callable[[], PreTrainedTokenizerBase],
    *,
    output_dir: Path,
    lengths: Lengths,
    made_from: Callable[[], dict[str, Any]],
    report: Callable[[str], None] = lambda step: None,
) -> PreparedData:
    """Tokenise to ``output_dir``, which must not exist or be empty.

    Args:
        tasks: one; several become the task ``glue``.
        make_tokenizer: called unless a cut preparation left its tokenizer.
        made_from: what the data come from; kept in ``task.json`` and compared when the folder is used again. Called
            again at the end, when it must still be the same.
        report: called with what is being done.

    Raises:
        ValueError: when the corpus is too small for two blocks, or inputs changed meanwhile.
    """
    output_dir.parent.mkdir(parents=True, exist_ok=True)
    partial = output_dir.with_name(f".{output_dir.name}.partial")
    with _alone(partial.with_suffix(".lock")):
        source = made_from()
        wanted, there = json.dumps(source, sort_keys=True), partial / MADE_FROM_FILE
        if not (there.is_file() and there.read_text(encoding="utf-8") == wanted):
            shutil.rmtree(partial, ignore_errors=True)
            partial.mkdir()
            write_atomically(there, wanted)
        try:
            _write(
                partial,
                tasks,
                corpus,
                _tokenizer(partial / "tokenizer", make_tokenizer, report),
                lengths,
                source,
                report,
            )
            if made_from() != source:
                raise ValueError("The inputs changed while they were prepared. Prepare them again")
        except ValueError:
            shutil.rmtree(partial)
            raise
        there.unlink()
        if output_dir.is_dir():
            output_dir.rmdir()
        partial.rename(output_dir)
    return PreparedData.load(output_dir)


@contextlib.contextmanager
def _alone(lock: Path) -> Iterator[None]:
    try:
        with FileLock(lock, timeout=0):
            try:
                yield
            finally:
                lock.unlink()
    except Timeout as error:
        raise ValueError(f"Another process is preparing this folder (it holds {lock})") from error


def _tokenizer(
    folder: Path, make: Callable[[], PreTrainedTokenizerBase], report: Callable[[str], None]
) -> PreTrainedTokenizerBase:
    if not folder.is_dir():
        report("building the tokenizer")
        partial = folder.with_name(".tokenizer")
        make().save_pretrained(str(partial))
        partial.rename(folder)
    return AutoTokenizer.from_pretrained(folder)


def _write(
    folder: Path,
    tasks: Sequence[Task],
    corpus: hf_datasets.IterableDataset,
    tokenizer: PreTrainedTokenizerBase,
    lengths: Lengths,
    made_from: dict[str, Any],
    report: Callable[[str], None],
) -> None:
    packed = folder / "packed"
    length = lengths.pretrain_length
    blocks = pack(
        corpus, tokenizer, packed, length=length, report=lambda n: report(f"tokenizing the corpus: {n:,} tokens")
    )
    if len(blocks) < 2:
        raise ValueError(
            f"The corpus is too small: {len(blocks)} block(s) of {length} tokens. "
            f"Give more text, or a smaller {'max_length' if length == lengths.max_length else 'pretrain_length'}"
        )
    cut = len(blocks) - max(1, len(blocks) // _HELD_OUT)
    pretrain = {"pretrain": blocks.select(range(cut)), "pretrain_validation": blocks.select(range(cut, len(blocks)))}
    shared = {"vocab_size": vocabulary_size(tokenizer), **dataclasses.asdict(lengths)}
    sizes = _save(folder, pretrain)
    for task in tasks:
        report(f"tokenizing {task.name}")
        encode = _ENCODERS[task.task_type]
        tables = {split: encode(rows, tokenizer, lengths.max_length) for split, rows in task.splits.items()}
        if task.task_type == TEXT:
            say_what_is_cut(task, tables, tokenizer, lengths.max_length)
            say_what_comes_twice(task, tables)
        for split, rows in task.unlabelled.items():
            tables[f"{_UNLABELLED}{split}"] = encode(rows, tokenizer, lengths.max_length)
        of_task = folder / task.name if len(tasks) > 1 else folder
        task_sizes = sizes | _save(of_task, tables)
        if task.task_type == QUESTIONS:
            texts = {split: rows.select_columns(["context", "answers"]) for split, rows in task.splits.items()}
            _save(of_task, {f"{_TEXTS}{split}": rows for split, rows in texts.items()})
        description = {key.name: getattr(task, key.name) for key in dataclasses.fields(TaskDescription)}
        description[_TASK_TYPE] = description.pop("task_type")
        _describe(of_task, **description, **shared, sizes=task_sizes, made_from=made_from)
    if len(tasks) > 1:
        names = [task.name for task in tasks]
        _describe(folder, name="glue", metric="glue", **shared, sizes=sizes, made_from=made_from, task_names=names)
    shutil.rmtree(packed)


def _save(folder: Path, tables: Mapping[str, hf_datasets.Dataset]) -> dict[str, int]:
    for name, rows in tables.items():
        shutil.rmtree(folder / name, ignore_errors=True)
        rows.save_to_disk(str(folder / name))
    return {name: len(rows) for name, rows in tables.items()}


def _describe(folder: Path, **content: Any) -> None:
    content = {"label_names": [], "task_names": []} | content
    write_atomically(folder / TASK_FILE, json.dumps(content, indent=2))


def _encoded(rows: hf_datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> hf_datasets.Dataset:
    is_paired = "text_pair" in rows.column_names
    encoded = tokenizer(*texts_of(rows), truncation=True, max_length=max_length, return_token_type_ids=is_paired)
    labels = {"labels": np.asarray(rows["label"][:]).tolist()} if "label" in rows.column_names else {}
    return hf_datasets.Dataset.from_dict({**encoded, **labels})


_ENCODERS = {TEXT: _encoded, TOKENS: encode_tags, QUESTIONS: encode_questions}
