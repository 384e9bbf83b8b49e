"""The command ``prepare_data``: a task and a corpus, tokenised once to disk. ``run_boshnas`` has the same flags and
does the same."""

import argparse
import dataclasses
import hashlib
import platform
import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets as hf_datasets
from rich.console import Console

from design_space.command import ArgumentParser, run_command

from .corpus import load_corpus
from .loading import load_task
from .own import TABLE_SUFFIXES
from .prepared import PreparedData, prepare
from .python_docs import EMBEDDED_TASK
from .task import Task
from .tokenizer import TRAIN, build_tokenizer


@dataclass(frozen=True, kw_only=True)
class DataOptions:
    """Which task, corpus and tokenizer; the flags of ``prepare_data``."""

    task: str = EMBEDDED_TASK
    data_dir: Path | None = None
    text_column: str | None = None
    text_pair_column: str | None = None
    label_column: str | None = None
    validation_file: Path | None = None
    test_file: Path | None = None
    corpus: tuple[Path, ...] = ()
    tokenizer: str = TRAIN
    vocab_size: int = 8000
    max_length: int = 64
    max_train_examples: int | None = None
    seed: int = 0

    @staticmethod
    def of_flags(options: argparse.Namespace) -> "DataOptions":
        """The options among parsed flags."""
        values = {field.name: getattr(options, field.name) for field in dataclasses.fields(DataOptions)}
        return DataOptions(**values | {"corpus": tuple(Path(source) for source in values["corpus"] or ())})

    def prepare(self, output_dir: Path, console: Console) -> PreparedData:
        """The prepared folder: as it is when it was made from the same, else made now.

        Raises:
            ValueError: when the folder was made from something else, or for bad data.
        """
        output_dir = output_dir.absolute()
        if output_dir.is_file():
            raise ValueError(f"'output_dir' must be a folder. {output_dir} is a file")
        if output_dir.is_dir() and any(output_dir.iterdir()):
            return self._check(PreparedData.load(output_dir))
        if self.max_length < 8:
            raise ValueError(f"'max_length' must be at least 8 tokens. Got {self.max_length}")
        with console.status("reading the task and the corpus"):
            task = self._task()
            corpus = load_corpus(self.corpus)
        texts = [*corpus["text"], *task.train["text"]]
        hf_datasets.disable_progress_bars()
        with console.status("building the tokenizer"):
            tokenizer = build_tokenizer(self.tokenizer, texts, vocab_size=self.vocab_size)
        with console.status("tokenizing"):
            return prepare(
                task, corpus, tokenizer, output_dir=output_dir, max_length=self.max_length, made_from=self._made_from()
            )

    def _task(self) -> Task:
        task = load_task(
            self.task,
            data_dir=self.data_dir,
            text_column=self.text_column,
            text_pair_column=self.text_pair_column,
            label_column=self.label_column,
            validation_file=self.validation_file,
            test_file=self.test_file,
            seed=self.seed,
        )
        if self.max_train_examples is None or self.max_train_examples >= len(task.train):
            return task
        if self.max_train_examples < 1:
            raise ValueError(f"'max_train_examples' must be at least 1. Got {self.max_train_examples}")
        chosen = random.Random(self.seed).sample(range(len(task.train)), self.max_train_examples)
        return dataclasses.replace(task, train=task.train.select(sorted(chosen)))

    def _made_from(self) -> dict[str, Any]:
        """The options and a digest of every input file's name, size and time, as JSON types."""
        sources = [self.data_dir, self.validation_file, self.test_file, *self.corpus]
        sources += [
            Path(name)
            for name in (self.task, self.tokenizer)
            if Path(name).exists() and name not in (EMBEDDED_TASK, TRAIN)
        ]
        digest = hashlib.sha256()
        for source in sources:
            if source is None:
                continue
            files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
            for path in files:
                state = path.stat() if path.exists() else None
                digest.update(f"{path.absolute()} {state and state.st_size} {state and state.st_mtime_ns}\n".encode())
        values = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        plain = {name: _plain(value) for name, value in values.items()}
        # The embedded text is that of the Python at hand.
        return plain | {"files": digest.hexdigest(), "python": platform.python_version()}

    def _check(self, data: PreparedData) -> PreparedData:
        wanted, there = self._made_from(), data.content["made_from"]
        different = sorted(name for name in wanted if wanted[name] != there.get(name))
        if different:
            changes = "; ".join(f"{name}: {there.get(name)!r} there, {wanted[name]!r} wanted" for name in different)
            raise ValueError(
                f"{data.path} was prepared from something else ({changes}). Remove it, or choose another folder"
            )
        return data


def add_data_flags(parser: ArgumentParser) -> None:
    """The flags of ``DataOptions``."""
    default, add = DataOptions(), parser.add_argument
    table = f"a file ending in {', '.join(TABLE_SUFFIXES)}"
    add("--task", default=default.task, help=f"{EMBEDDED_TASK} (embedded), a GLUE task (cola, sst2, ...), or {table}")
    add(
        "--data_dir",
        type=Path,
        default=None,
        help="folder with a GLUE task's TSV files; without it GLUE comes from the Hub",
    )
    add("--text_column", default=None, help="of one's own table: the texts; guessed when not given")
    add("--text_pair_column", default=None, help="of one's own table: second texts, when texts come in pairs")
    add("--label_column", default=None, help="of one's own table: the labels; guessed when not given")
    add(
        "--validation_file",
        type=Path,
        default=None,
        help="of one's own table: validation rows; split off when not given",
    )
    add("--test_file", type=Path, default=None, help="of one's own table: test rows; split off when not given")
    add(
        "--corpus",
        nargs="*",
        type=Path,
        default=[],
        help="text files or folders for pre-training; Python's documentation when not given",
    )
    add("--tokenizer", default=default.tokenizer, help="'train' on the corpus, a vocab.txt, a folder, or a Hub name")
    add("--vocab_size", type=int, default=default.vocab_size, help="most tokens of a trained tokenizer")
    add("--max_length", type=int, default=default.max_length, help="most tokens of a text")
    add("--max_train_examples", type=int, default=None, help="train on a random part of the training rows")
    add("--seed", type=int, default=default.seed, help="seed of everything random")


def prepare_data(arguments: Sequence[str] | None = None) -> None:
    """Parse the flags and prepare."""
    parser = ArgumentParser(prog="prepare_data", description="Tokenise a task and a pre-training corpus once, to disk.")
    parser.add_argument("--output_dir", type=Path, default=Path("runs/data"), help="folder to write")
    add_data_flags(parser)
    options = parser.parse_args(arguments)
    console = Console()
    data = DataOptions.of_flags(options).prepare(options.output_dir, console)
    console.print(f"{data.describe()}; in {data.path}", highlight=False, soft_wrap=True)


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return [_plain(entry) for entry in value]
    return str(value.absolute()) if isinstance(value, Path) else value


def main() -> None:
    """Entry point of the console script."""
    run_command(prepare_data)


if __name__ == "__main__":
    main()
