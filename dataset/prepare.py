"""The command ``prepare_data``, which tokenises a task and a corpus once, to disk. ``run_boshnas`` has the same flags
and does the same."""

import dataclasses
import hashlib
import itertools
import platform
import random
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any, ClassVar

import datasets as hf_datasets
from pydantic import AfterValidator, BeforeValidator, Field
from rich.console import Console

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import NO_SWITCH, Count, Length, Place, Positive, Whole, as_values, below_home, flag, options

from .altered import altered_copies
from .corpora.corpus import SUFFIXES, load_corpus
from .corpora.python_docs import EMBEDDED_TASK
from .glue import load_glue_tasks
from .hub import is_hub_name
from .loading import ALL_OF_GLUE, load_task, name_or_place, with_places
from .prepared import Lengths, PreparedData, prepare
from .tables.options import TableOptions
from .tables.readers import TABLE_SUFFIXES
from .tables.unlabelled import load_unlabelled
from .task import FURTHER, TEXT, Task
from .tokenizer import TRAIN, build_tokenizer

_TOKENIZER = "tokenizer_content"
_TOKENIZER_FILES = ("added_tokens", "merges", "sentencepiece", "special_tokens", "spiece", "tokenizer", "vocab")
TOKENIZER_DOCUMENTS = 1_000_000  # more of a corpus do not change a trained vocabulary by much


def _source(source: Path | str) -> Path | str:
    return str(source) if is_hub_name(source, SUFFIXES) else below_home(source).absolute()


NamedOrPlaced = Annotated[str, AfterValidator(name_or_place)]
Source = Annotated[Path | str, BeforeValidator(_source)]


@options
class DataOptions:
    """The choice of task, corpus and tokenizer."""

    task: NamedOrPlaced = EMBEDDED_TASK
    """Task: python_docs (embedded), a GLUE task (cola, sst2, ...), glue for all of them, a table (CSV, TSV, JSONL,
    Parquet), a saved dataset, or a dataset of the Hub (owner/name)."""
    data_dir: Place | None = None
    """Folder with a GLUE task's TSV files, of all tasks one with a folder for each; without it GLUE comes from the
    Hub."""
    table: TableOptions = TableOptions()
    corpus: tuple[Source, ...] = ()
    """Texts for pre-training: text, JSONL and Parquet files, folders, datasets of the Hub; Python's documentation when
    not given."""
    corpus_weights: tuple[Positive, ...] = ()
    """How often to draw from each source of --corpus; one after the other when not given."""
    tokenizer: NamedOrPlaced = TRAIN
    """Tokenizer: 'train' on the corpus, a vocab.txt, a folder, or a Hub name."""
    vocab_size: Annotated[Length, flag(unit="tokens")] = 8000
    """Most tokens of a trained tokenizer."""
    max_length: Annotated[Length, flag(unit="tokens")] = 64
    """Most tokens of a text."""
    pretrain_length: Annotated[Length, flag(unit="tokens")] = 0
    """Tokens of a pre-training block; 0 for --max_length."""
    max_train_examples: Annotated[Count | None, flag(unit="rows")] = None
    """Train on a random part of the training rows."""
    unlabelled: Place | None = None
    """Table of further texts without labels, on which only a teacher is listened to."""
    altered_copies: Annotated[int, Field(ge=0, le=100), NO_SWITCH, flag(unit="copies")] = 0
    """Copies of each training text in which some words are exchanged, on which only a teacher is listened to; for
    labels of whole texts."""
    seed: Whole = 0
    """Seed of everything random."""

    def prepare(self, output_dir: Path, console: Console) -> PreparedData:
        """The prepared folder: as it is when it was made from the same, else made now; what a cut preparation left is
        used. Sources that are gone since are not missed, and named.

        Raises:
            ValueError: when the folder was made from something else, or for bad data.
        """
        output_dir = output_dir.absolute()
        if output_dir.is_file():
            raise ValueError(f"'output_dir' must be a folder. {output_dir} is a file")
        if output_dir.is_dir() and any(output_dir.iterdir()):
            return self._check(PreparedData.load(output_dir), console)
        lengths = Lengths(max_length=self.max_length, pretrain_length=self.pretrain_length or self.max_length)
        for name, length in dataclasses.asdict(lengths).items():
            if length < 8:
                raise ValueError(f"'{name}' must be at least 8 tokens. Got {length}")
        with console.status("reading the task and the corpus") as status:
            tasks = self.tasks()
            corpus = self._corpus()
            hf_datasets.disable_progress_bars()
            return prepare(
                tasks,
                corpus,
                lambda: build_tokenizer(self.tokenizer, _texts(corpus, tasks), vocab_size=self.vocab_size),
                output_dir=output_dir,
                lengths=lengths,
                made_from=self._made_from,
                report=status.update,
            )

    def tasks(self) -> list[Task]:
        """The task, or all of several, as its rows are read."""
        if self.task.lower() == ALL_OF_GLUE:
            if self.unlabelled is not None:
                raise ValueError(f"'unlabelled' holds texts of one task. '{self.task}' is several; leave it out")
            tasks = load_glue_tasks(self.data_dir)
        else:
            tasks = [load_task(self.task, data_dir=self.data_dir, table=self.table, seed=self.seed)]
        return [self._with_further(self._shortened(task)) for task in tasks]

    def texts(self) -> Iterator[str]:
        """The texts of the corpus (of a large one the first) and those of training."""
        return _texts(self._corpus(), self.tasks())

    def _corpus(self) -> hf_datasets.IterableDataset:
        return load_corpus(self.corpus, weights=self.corpus_weights, seed=self.seed)

    def _with_further(self, task: Task) -> Task:
        """With the texts that only a teacher labels, if any."""
        further = [] if self.unlabelled is None else [load_unlabelled(self.unlabelled, task, self.table)]
        if self.altered_copies and task.task_type == TEXT:
            further.append(altered_copies(task, self.altered_copies, seed=self.seed))
        if not further:
            return task
        return dataclasses.replace(
            task, unlabelled={**task.unlabelled, FURTHER: hf_datasets.concatenate_datasets(further)}
        )

    def _shortened(self, task: Task) -> Task:
        if self.max_train_examples is None or self.max_train_examples >= len(task.train):
            return task
        chosen = random.Random(self.seed).sample(range(len(task.train)), self.max_train_examples)
        return dataclasses.replace(task, train=task.train.select(sorted(chosen)))

    def _made_from(self) -> dict[str, Any]:
        """The options and fingerprints of every input file, as JSON types."""
        files = _fingerprint(source for source in self._sources() if source != Path(self.tokenizer))
        content = _content(Path(self.tokenizer)) if Path(self.tokenizer).exists() else None
        # The embedded text is that of the Python at hand.
        return as_values(self) | {"files": files, _TOKENIZER: content, "python": platform.python_version()}

    def _sources(self) -> list[Path]:
        """The files and folders that the data come from, without those on the Hub."""
        sources: list[Path | str | None] = [self.data_dir, self.table.validation_file, self.table.test_file]
        sources.append(self.unlabelled)
        sources += [source for source in self.corpus if not is_hub_name(source, SUFFIXES)]
        named = [Path(name) for name in (self.task, self.tokenizer) if name not in (EMBEDDED_TASK, TRAIN)]
        sources += [path for path in named if path.exists() or path.suffix.lower() in (*TABLE_SUFFIXES, ".txt")]
        return [Path(source) for source in sources if source is not None]

    def _check(self, data: PreparedData, console: Console) -> PreparedData:
        # An option that the folder does not know had its default.
        wanted, there = self._made_from(), as_values(DataOptions()) | with_places(data.made_from)
        if _TOKENIZER not in there:  # written when a tokenizer was told by place and time, as other files are
            wanted |= {_TOKENIZER: None, "files": _fingerprint(self._sources())}
            there[_TOKENIZER] = None
        elif wanted[_TOKENIZER] is not None and wanted[_TOKENIZER] == there[_TOKENIZER]:
            there["tokenizer"] = wanted["tokenizer"]  # the same, wherever it lies
        gone = [str(source) for source in self._sources() if not source.exists()]
        if gone:
            wanted |= {name: there.get(name) for name in ("files", _TOKENIZER)}
        different = sorted(name for name in wanted if wanted[name] != there.get(name))
        if different:
            changes = "; ".join(f"{name}: {there.get(name)!r} there, {wanted[name]!r} wanted" for name in different)
            raise ValueError(
                f"{data.path} was prepared from something else ({changes}). Remove it, or choose another folder"
            )
        if gone:
            console.print(
                f"{', '.join(gone)}: no longer there. Going on with what was prepared from it in {data.path}",
                highlight=False,
                soft_wrap=True,
            )
        return data


@options
class PrepareDataOptions(CommandOptions):
    """Tokenise a task and a pre-training corpus once, to disk."""

    prog: ClassVar[str] = "prepare_data"
    output_dir: Place = Path("runs/data")
    """Folder to write."""
    data: DataOptions = DataOptions()


def prepare_data(arguments: Sequence[str] | None = None) -> None:
    """Read the options and prepare."""
    options = read_options(PrepareDataOptions, arguments)
    console = Console()
    data = options.data.prepare(options.output_dir, console)
    console.print(f"{data.describe()}; in {data.path}", highlight=False, soft_wrap=True)


def _texts(corpus: hf_datasets.IterableDataset, tasks: Sequence[Task]) -> Iterator[str]:
    """The texts that a tokenizer is trained on."""
    for row in itertools.islice(corpus, TOKENIZER_DOCUMENTS):
        yield row["text"]
    for task in tasks:
        yield from task.texts()


def _content(tokenizer: Path) -> str:
    """A digest of what a tokenizer's file or folder says, without the weights that lie beside it."""
    digest = hashlib.sha256()
    files = sorted(tokenizer.iterdir()) if tokenizer.is_dir() else [tokenizer]
    for path in files:
        if path.is_file() and (path == tokenizer or path.name.startswith(_TOKENIZER_FILES)):
            digest.update(path.name.encode() + path.read_bytes())
    return digest.hexdigest()


def _fingerprint(sources: Iterable[Path]) -> str:
    """A digest of the name, size and time of every file, also of missing ones and those in folders: enough to notice
    that an input has changed since it was read."""
    digest = hashlib.sha256()
    for source in sources:
        files = sorted(path for path in source.rglob("*") if path.is_file()) if source.is_dir() else [source]
        for path in files:
            state = path.stat() if path.exists() else None
            digest.update(f"{path.absolute()} {state and state.st_size} {state and state.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def main() -> None:
    """Entry point of the console script."""
    run_command(prepare_data)


if __name__ == "__main__":
    main()
