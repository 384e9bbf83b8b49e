"""A pre-training corpus: a stream of documents (column ``text``), never in memory as a whole.

Sources are text files (every line that is not blank is one document), JSONL and Parquet files with a column ``text``,
folders of such files (hidden ones are left out), saved datasets, and datasets of the Hub; plain or, of lines, gzipped.
Very long documents of files become several. Sources follow one another, or are drawn from by weight, as the original
FlexiBERT mixes its five corpora.
"""

import gzip
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import pyarrow
import pyarrow.parquet

from design_space.files import parse_json, short

from ..hub import is_hub_name, is_saved_dataset, load_from_hub

TEXT_SUFFIXES = (".txt", ".txt.gz", ".md", ".rst")
JSON_SUFFIXES = (".jsonl", ".jsonl.gz")
SUFFIXES = (*TEXT_SUFFIXES, *JSON_SUFFIXES, ".parquet")
_MARKED_UP = (".json", ".csv", ".tsv", ".conll", ".xml", ".html", ".htm", ".yaml", ".yml", ".xlsx", ".zip")
"""Where a line is no document. Other endings, as of wiki.train.tokens, may be those of texts."""
_TEXT = "text"
_HALF = re.compile("[\ud800-\udfff]")  # of a pair of surrogates, which no tokenizer takes
_MOST_CHARACTERS = 100_000  # of a document; tokenizers need some hundred bytes for each


def load_corpus(
    sources: Sequence[Path | str] | None = None, *, weights: Sequence[float] | None = None, seed: int = 0
) -> hf_datasets.IterableDataset:
    """The documents of all sources, the same in every pass.

    Args:
        sources: files and folders, and names of the Hub (``owner/name`` or ``owner/name:configuration``, split
            train); None for the documentation that ships with Python.
        weights: how often the next document comes from each source, relative to one another; the stream ends when
            every source was read at least once, shorter ones begin again meanwhile. Without, one source follows the
            other.
        seed: of the draws.

    Raises:
        ValueError: for a source that is missing, empty, damaged, of another format or not UTF-8, or whose ``text`` is
            no string.
    """
    if not sources:
        from .python_docs import python_docs_corpus

        return python_docs_corpus().to_iterable_dataset()
    if weights and (len(weights) != len(sources) or min(weights) <= 0):
        raise ValueError(f"The corpus needs one weight above 0 for each of its {len(sources)} sources. Got {weights}")
    streams = [_stream(source) for source in sources]
    for stream, source in zip(streams, sources, strict=True):
        if next(iter(stream), None) is None:
            raise ValueError(f"No text in the corpus: {source}")
    if weights:
        shares = [weight / sum(weights) for weight in weights]
        return hf_datasets.interleave_datasets(
            streams, probabilities=shares, seed=seed, stopping_strategy="all_exhausted"
        )
    return hf_datasets.concatenate_datasets(streams)


def _stream(source: Path | str) -> hf_datasets.IterableDataset:
    path = Path(source).absolute()
    if is_hub_name(source, SUFFIXES):
        name, _, configuration = str(source).partition(":")
        return _texts(load_from_hub(name, configuration or None, split="train", streaming=True), source)
    if is_saved_dataset(path):
        saved = hf_datasets.load_from_disk(str(path))
        if isinstance(saved, hf_datasets.DatasetDict):
            if "train" not in saved:
                raise ValueError(f"The saved dataset {path} has no split 'train', only {', '.join(saved)}")
            saved = saved["train"]
        return _texts(saved.to_iterable_dataset(), source)
    features = hf_datasets.Features({_TEXT: hf_datasets.Value("string")})
    return hf_datasets.IterableDataset.from_generator(
        _documents, features=features, gen_kwargs={"files": [str(file) for file in _files(path)]}
    )


def _texts(stream: hf_datasets.IterableDataset, source: Path | str) -> hf_datasets.IterableDataset:
    columns = stream.column_names or list(next(iter(stream), {_TEXT: ""}))
    if _TEXT not in columns:
        raise ValueError(f"The corpus {source} has no column '{_TEXT}'. Its columns: {', '.join(columns)}")
    texts = stream.select_columns([_TEXT])
    first = next((row[_TEXT] for row in texts if row[_TEXT] is not None), "")
    if not isinstance(first, str):
        raise ValueError(f"The corpus {source}: column '{_TEXT}' must hold strings. Got {short(first)}")
    return texts.filter(_has_text)


def _has_text(row: Mapping[str, Any]) -> bool:
    return row[_TEXT] is not None


def _files(source: Path) -> list[Path]:
    """The file, or those of a folder that can be read, without hidden ones."""
    if source.is_file():
        if not _can_be_read(source) and source.name.lower().removesuffix(".gz").endswith((*_MARKED_UP, ".parquet")):
            raise ValueError(
                f"{source} cannot be read as a corpus: it is neither plain text nor {', '.join(JSON_SUFFIXES)}, "
                ".parquet. If it is plain text, rename it to .txt"
            )
        return [source]
    if not source.is_dir():
        raise ValueError(f"No such file or folder of the corpus: {source}")
    found = (path for path in source.rglob("*") if path.is_file() and _can_be_read(path))
    files = sorted(path for path in found if not any(part[0] == "." for part in path.relative_to(source).parts))
    if not files:
        raise ValueError(f"The folder {source} holds no text files ({', '.join(SUFFIXES)})")
    return files


def _can_be_read(file: Path) -> bool:
    return file.name.lower().endswith(SUFFIXES)


def _documents(files: Sequence[str]) -> Iterator[dict[str, str]]:
    for name in files:
        ending = name.lower()
        reader = _rows if ending.endswith(".parquet") else _json_lines if ending.endswith(JSON_SUFFIXES) else _lines
        for text in reader(Path(name)):
            for piece in _pieces(text):
                yield {_TEXT: piece}


def _pieces(text: str) -> Iterator[str]:
    """A long text in parts that end at blanks, where it has some; nothing of an empty one."""
    start = 0
    while start < len(text):
        end = start + _MOST_CHARACTERS
        if end < len(text):
            end = text.rfind(" ", start + 1, end) + 1 or end
        piece = text[start:end].strip()
        if piece:
            yield piece
        start = end


def _lines(file: Path) -> Iterator[str]:
    """The lines of a file, decoded one by one, so that a bad one has a number."""
    number = 0
    try:
        with gzip.open(file) if file.suffix.lower() == ".gz" else file.open("rb") as stream:
            for number, line in enumerate(stream, start=1):
                if b"\0" in line:  # as UTF-16 has
                    raise ValueError(
                        f"{file}, line {number} is not UTF-8 text (a NUL character). Save the file as UTF-8"
                    )
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError as error:
        raise ValueError(f"{file}, line {number} is not UTF-8 text: {error.reason}. Save it as UTF-8") from error
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise ValueError(f"{file} is damaged after line {number}: {error}") from error


def _json_lines(file: Path) -> Iterator[str]:
    for number, line in enumerate(_lines(file), start=1):
        if not line.strip():
            continue
        try:
            row: Any = parse_json(line)
        except ValueError as error:
            reason = error.msg if isinstance(error, json.JSONDecodeError) else error
            raise ValueError(f"{file}, line {number} is not JSON: {reason}") from error
        if not isinstance(row, dict) or not isinstance(row.get(_TEXT), str):
            raise ValueError(f"{file}, line {number} has no '{_TEXT}' that is a string. Got {line.strip()[:50]}")
        if _HALF.search(row[_TEXT]):
            raise ValueError(f"{file}, line {number}: '{_TEXT}' has half of a character, {short(row[_TEXT])}")
        yield row[_TEXT]


def _rows(file: Path) -> Iterator[str]:
    try:
        with pyarrow.parquet.ParquetFile(file) as table:
            if _TEXT not in table.schema_arrow.names:
                columns = ", ".join(table.schema_arrow.names)
                raise ValueError(f"{file} has no column '{_TEXT}'. Its columns: {columns}")
            batches = table.iter_batches(columns=[_TEXT])
            texts = (text for batch in batches for text in batch.column(0).to_pylist())
            for number, text in enumerate(texts, start=1):
                if isinstance(text, str):
                    yield text
                elif text is not None:
                    raise ValueError(f"{file}, row {number}: '{_TEXT}' must be a string. Got {short(text)}")
    except (pyarrow.ArrowException, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"{file} is no Parquet file, or damaged: {' '.join(str(error).split())}") from error
