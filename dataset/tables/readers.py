"""Rows of a table on disk or on the Hub: CSV, TSV, JSONL, Parquet, CoNLL, a saved dataset, a dataset of the Hub.

Rows come as a frame whose index is the line they start on (the row, counted from 1, where a format has no lines), so
that every complaint about a row can say where it is.
"""

import json
import logging
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import pandas as pd

from design_space.files import parse_json, read_text

from ..hub import is_hub_name, is_saved_dataset, load_from_hub
from .conll import read_conll
from .separated import read_separated

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet", ".conll")
_LINE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".conll")
_PACKED = (".gz", ".bz2", ".xz", ".zst", ".zip")
_SPLIT_NAMES = {
    "train": ("train", "training"),
    "validation": ("validation", "dev", "valid", "val"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_MOST_PLACES = 10  # in a message

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
            usual = "," if suffix == ".csv" else "\t"
            readers = {".jsonl": _json_lines, ".conll": read_conll}
            frame = readers[suffix](text) if suffix in readers else read_separated(text, usual, path.name)
    except (ValueError, TypeError, OSError) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    if frame.empty:
        raise ValueError(f"{path} holds no rows")
    return frame


def read_dataset(source: str) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """Splits of a saved dataset, a folder of data files, or a dataset of the Hub (``owner/name`` or
    ``owner/name:configuration``): ``train`` and, where there are, ``validation`` and ``test``; and where each is from,
    for messages. Files of a folder with CSV, TSV, JSONL or CoNLL among them are read as the files themselves are.

    Raises:
        ValueError: when it cannot be loaded or has no rows to train on.
    """
    path = Path(source)
    files = [] if not path.is_dir() or is_saved_dataset(path) else _files(path)
    if files:
        return _of_files(path, files)
    loaded = _loaded(source)
    frames, taken = {}, list[str]()
    for split, names in _SPLIT_NAMES.items():
        found = next((name for name in names if name in loaded), None)
        if found is not None:
            frames[split] = _frame(loaded[found], source, split)
            taken.append(found)
    unused = [name for name in loaded if name not in taken]
    if unused:
        logger.warning("%s: splits not used: %s", path.name, ", ".join(unused))
    frames = {split: frame for split, frame in frames.items() if len(frame)}
    if "train" not in frames:
        raise ValueError(f"{source} has no rows to train on. Its splits: {', '.join(loaded)}")
    return frames, {split: source if split == "train" else f"{source}, {split}" for split in frames}


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


def where(origin: str, places: Sequence[object]) -> str:
    """The places of some rows of a table, for a message: all of them, or the first of many and how many there are."""
    unit = unit_of(origin)
    if len(places) == 1:
        return f"{origin}, {unit} {places[0]}"
    more = f" and {len(places) - _MOST_PLACES:,} more" if len(places) > _MOST_PLACES else ""
    return f"{origin}, {unit}s {', '.join(map(str, places[:_MOST_PLACES]))}{more}"


def check_columns(frame: pd.DataFrame, columns: Iterable[str], origin: Path | str) -> None:
    """Raise ``ValueError`` when a frame lacks some of the columns."""
    there = [str(name) for name in frame.columns]
    missing = [name for name in columns if name not in there]
    if missing:
        raise ValueError(f"{origin} has no column {', '.join(map(repr, missing))}. Its columns: {', '.join(there)}")


def _loaded(source: str) -> Any:
    """What the library ``datasets`` makes of a folder or a name, by split."""
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
    return {"train": loaded} if isinstance(loaded, hf_datasets.Dataset) else loaded


def _files(folder: Path) -> list[Path]:
    """The tables in a folder where some have lines, without hidden ones; none where all are Parquet, or there is none.

    Raises:
        ValueError: for compressed tables, which are not read, and would be missed.
    """
    shown = (path for path in folder.rglob("*") if not any(part[0] == "." for part in path.relative_to(folder).parts))
    files = sorted(path for path in shown if path.is_file())
    packed = [
        path.name for path in files if path.suffix.lower() in _PACKED and Path(path.stem).suffix in TABLE_SUFFIXES
    ]
    if packed:
        raise ValueError(f"{folder} holds compressed tables: {', '.join(packed)}. Unpack them first")
    tables = [path for path in files if path.suffix.lower() in TABLE_SUFFIXES]
    return tables if any(path.suffix.lower() in _LINE_SUFFIXES for path in tables) else []


def _of_files(folder: Path, files: Sequence[Path]) -> tuple[dict[str, pd.DataFrame], dict[str, str]]:
    """The splits in files, which their names tell; all are for training where no name tells any."""
    split_of = {path: _split_of(path.relative_to(folder)) for path in files}
    if not any(split_of.values()):
        split_of = dict.fromkeys(files, "train")
    parts = {split: [path for path in files if split_of[path] == split] for split in _SPLIT_NAMES}
    parts = {split: paths for split, paths in parts.items() if paths}
    unused = [path.name for path in files if not split_of[path]]
    if "train" not in parts:
        raise ValueError(f"{folder} has no file to train on, such as train.csv. Its files: {', '.join(unused)}")
    read = [f"{split} from {', '.join(path.name for path in paths)}" for split, paths in parts.items()]
    read += [f"not used: {', '.join(unused)}"] if unused else []
    logger.warning("%s: %s", folder.name, "; ".join(read))
    frames, origins = {}, {}
    for split, paths in parts.items():
        tables = [read_table(path) for path in paths]
        for path, table in zip(paths, tables, strict=True):
            check_columns(table, map(str, tables[0].columns), path)
        frames[split] = tables[0] if len(tables) == 1 else pd.concat(tables, ignore_index=True, join="inner")
        if len(tables) > 1:
            frames[split].index += 1
        origins[split] = str(paths[0]) if len(paths) == 1 else f"{folder}, {split}"
    return frames, origins


def _split_of(path: Path) -> str:
    """The split that the name of a file, or of a folder that it is in, tells; empty where none does."""
    words = {word.removesuffix("set") for word in re.split(r"[^a-z]+", str(path.with_suffix("")).lower())}
    return next((split for split, names in _SPLIT_NAMES.items() if words & set(names)), "")


def _frame(rows: hf_datasets.Dataset, source: str, split: str) -> pd.DataFrame:
    """The rows as a frame, classes by their names and of a categorical type, without rows that have no label (none,
    or a number below 0, as the Hub marks secret ones). A missing class in a list of them is None."""
    frame = rows.to_pandas()
    frame.index = pd.RangeIndex(1, len(frame) + 1)
    for column, feature in rows.features.items():
        if isinstance(feature, hf_datasets.ClassLabel):
            secret = ~(frame[column] >= 0)
            if secret.any():
                logger.warning("%s, %s: %d rows without a label left out", source, split, int(secret.sum()))
            frame = frame[~secret]
            classes = pd.Categorical.from_codes(frame[column].astype(int), feature.names)
            frame = frame.assign(**{column: classes})
        inner = getattr(feature, "feature", None)
        if isinstance(inner, hf_datasets.ClassLabel):
            names = dict(enumerate(inner.names))
            lists = [None if row is None else [names.get(number) for number in row] for row in frame[column]]
            frame = frame.assign(**{column: pd.Series(lists, index=frame.index, dtype=object)})
    return frame


def _json_lines(text: str) -> pd.DataFrame:
    rows: dict[int, dict[str, Any]] = {}
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            rows[number] = parse_json(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"line {number} is not JSON: {error.msg} at character {error.pos + 1}") from None
        except ValueError as error:
            raise ValueError(f"line {number}: {error}") from None
        if not isinstance(rows[number], dict):
            raise ValueError(f'line {number} must be an object like {{"text": ..., "label": ...}}. Got {line[:50]}')
    return pd.DataFrame(list(rows.values()), index=list(rows), dtype=object)
