"""Rows of a table on disk or on the Hub: CSV, TSV, JSONL, Parquet, CoNLL, a saved dataset, a dataset of the Hub.

Rows come as a frame whose index is the line they start on (the row, counted from 1, where a format has no lines), so
that every complaint about a row can say where it is.
"""

import contextlib
import csv
import io
import json
import logging
import threading
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import pandas as pd

from design_space.files import read_text

from ..hub import is_hub_name, is_saved_dataset, load_from_hub

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".conll")
_LINE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".conll")
_SPLIT_NAMES = {"validation": ("validation", "dev", "valid"), "train": ("train",), "test": ("test",)}

_CELL_LIMIT = threading.Lock()

logger = logging.getLogger(__name__)


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a file, strings as they are written.

    Raises:
        ValueError: for a missing, damaged or empty file, with the line where one is to blame.
    """
    path = path.absolute()
    if not path.is_file():
        raise ValueError(f"No such file: {path}")
    suffix = path.suffix.lower()
    if suffix not in TABLE_SUFFIXES:
        raise ValueError(f"{path} cannot be read as a table: its name must end in {', '.join(TABLE_SUFFIXES)}")
    text = "" if suffix == ".parquet" else read_text(path, "a table")
    try:
        if suffix == ".parquet":
            frame = pd.read_parquet(path)
            frame.index = pd.RangeIndex(1, len(frame) + 1)
        else:
            readers = {".jsonl": _json_lines, ".conll": _conll}
            frame = readers[suffix](text) if suffix in readers else _separated(text, suffix)
    except (ValueError, TypeError, OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    if frame.empty:
        raise ValueError(f"{path} holds no rows")
    return frame


def read_dataset(source: str) -> dict[str, pd.DataFrame]:
    """Splits of a saved dataset, a folder of data files, or a dataset of the Hub (``owner/name`` or
    ``owner/name:configuration``): ``train`` and, where there are, ``validation`` and ``test``.

    Raises:
        ValueError: when it cannot be loaded or has no rows to train on.
    """
    path = Path(source)
    if is_saved_dataset(path):
        try:
            loaded = hf_datasets.load_from_disk(str(path.absolute()))
        except (OSError, ValueError, KeyError) as error:
            raise ValueError(f"{path} is a damaged saved dataset: {error}") from error
    elif path.is_dir():
        try:
            loaded = hf_datasets.load_dataset(str(path.absolute()))
        except (OSError, ValueError, RuntimeError) as error:
            raise ValueError(f"The folder {path} cannot be read as a dataset: {error}") from error
    else:
        name, _, configuration = source.partition(":")
        loaded = load_from_hub(name, configuration or None)
    if isinstance(loaded, hf_datasets.Dataset):
        loaded = {"train": loaded}
    frames = {}
    for split, names in _SPLIT_NAMES.items():
        found = next((name for name in names if name in loaded), None)
        if found is not None:
            frames[split] = _frame(loaded[found], source, split)
    frames = {split: frame for split, frame in frames.items() if len(frame)}
    if "train" not in frames:
        raise ValueError(f"{source} has no rows to train on. Its splits: {', '.join(loaded)}")
    return frames


def is_table(source: Path | str) -> bool:
    """Whether a task's name means a table: a file that is there or ends as tables do, or a dataset."""
    path = Path(source)
    return path.suffix.lower() in TABLE_SUFFIXES or path.is_file() or is_dataset(source)


def is_dataset(source: Path | str) -> bool:
    """Whether a task's name can only be a folder or a dataset of the Hub."""
    return Path(source).is_dir() or is_hub_name(source, TABLE_SUFFIXES)


def unit_of(origin: str) -> str:
    """The name of what the index of a frame from there counts."""
    return "line" if origin.lower().endswith(_LINE_SUFFIXES) else "row"


def check_columns(frame: pd.DataFrame, columns: Iterable[str], origin: Path | str) -> None:
    """Raise ``ValueError`` when a frame lacks some of the columns."""
    there = [str(name) for name in frame.columns]
    missing = [name for name in columns if name not in there]
    if missing:
        raise ValueError(f"{origin} has no column {', '.join(map(repr, missing))}. Its columns: {', '.join(there)}")


def _frame(rows: hf_datasets.Dataset, source: str, split: str) -> pd.DataFrame:
    """The rows as a frame, classes by their names, without rows that have no label (-1, as the Hub marks secret
    ones)."""
    frame = rows.to_pandas()
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    for column, feature in rows.features.items():
        if isinstance(feature, hf_datasets.ClassLabel):
            secret = frame[column] == -1
            if secret.any():
                logger.warning("%s, %s: %d rows without a label left out", source, split, int(secret.sum()))
            frame = frame[~secret]
            frame = frame.assign(**{column: [feature.names[number] for number in frame[column]]})
        inner = getattr(feature, "feature", None)
        if isinstance(inner, hf_datasets.ClassLabel):
            frame = frame.assign(**{column: [[inner.names[number] for number in row] for row in frame[column]]})
    return frame


def _json_lines(text: str) -> pd.DataFrame:
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows[number] = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON: {error.msg} at character {error.pos + 1}") from None
        if not isinstance(rows[number], dict):
            raise ValueError(f'line {number} must be an object like {{"text": ..., "label": ...}}. Got {line[:50]}')
    return pd.DataFrame(list(rows.values()), index=list(rows))


def _conll(text: str) -> pd.DataFrame:
    """The texts between blank lines, a word a line: the first field is the word, the last its tag (as of
    CoNLL-2003)."""
    rows: dict[int, tuple[list[str], list[str]]] = {}
    start, width = 0, 0
    for number, line in enumerate(text.splitlines(), start=1):
        fields = line.split()
        if not fields or fields[0] == "-DOCSTART-":
            start = 0
            continue
        width = width or len(fields)
        if len(fields) < 2 or len(fields) != width:
            raise ValueError(
                f"line {number} has {len(fields)} fields, the first one {width}; needed are a word and, last, its tag"
            )
        start = start or number
        words, tags = rows.setdefault(start, ([], []))
        words.append(fields[0])
        tags.append(fields[-1])
    return pd.DataFrame(list(rows.values()), columns=["tokens", "tags"], index=list(rows))


@contextlib.contextmanager
def _cells_of_any_length(length: int) -> Iterator[None]:
    """Lift Python's limit of 131,072 characters a cell, which is one for the whole process, and put it back."""
    with _CELL_LIMIT:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, length))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _rows(text: str, delimiter: str) -> dict[int, list[str]]:
    """The fields of each row by the line it starts on, without blank lines."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    rows: dict[int, list[str]] = {}
    start = 1
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            unclosed = "; a quote that opens there is never closed" if "end of data" in str(error) else ""
            raise ValueError(f"line {start}: {error}{unclosed}") from None
        if row is None:
            return rows
        if row:
            rows[start] = row
        start = reader.line_num + 1


def _separated(text: str, suffix: str) -> pd.DataFrame:
    with _cells_of_any_length(len(text)):
        rows = _rows(text, "," if suffix == ".csv" else "\t")
    if not rows:
        return pd.DataFrame()
    (first, header), *body = rows.items()
    repeated = sorted({name for name in header if header.count(name) > 1})
    if repeated:
        raise ValueError(f"line {first}: two columns are called {', '.join(map(repr, repeated))}")
    for number, row in body:
        if len(row) != len(header):
            raise ValueError(f"line {number} has {len(row)} fields, the header {len(header)}")
    return pd.DataFrame([row for _, row in body], columns=header, index=[number for number, _ in body])
