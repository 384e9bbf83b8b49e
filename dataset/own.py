"""One's own table: a CSV, TSV, JSONL or Parquet file with texts and labels.

Columns that are not named are guessed, and what was guessed is logged. Labels that are words, or few whole numbers,
are classes; many different numbers are a regression. Without files for validation and test the rows are split
80/10/10, reproducibly, classes in proportion.
"""

import csv
import json
import logging
from pathlib import Path

import datasets as hf_datasets
import pandas as pd
from sklearn.model_selection import train_test_split

from .task import Task

TABLE_SUFFIXES = (".csv", ".tsv", ".jsonl", ".parquet")
LABEL_NAMES = ("label", "labels", "target", "class", "category", "score", "rating", "y")
MOST_CLASSES = 50
_HELD_OUT = 0.1

logger = logging.getLogger(__name__)


def load_table(
    path: Path,
    *,
    text_column: str | None = None,
    text_pair_column: str | None = None,
    label_column: str | None = None,
    validation_file: Path | str | None = None,
    test_file: Path | str | None = None,
    seed: int = 0,
) -> Task:
    """The task in a file, named after it.

    Raises:
        ValueError: for a missing or damaged file, missing columns, empty texts or labels, labels that training does
            not know.
    """
    frame = read_table(path)
    text, pair, label = _columns(frame, path, text_column, text_pair_column, label_column)
    frames = {"train": _normalised(frame, path, text, pair, label)}
    for split, file in (("validation", validation_file), ("test", test_file)):
        if file is not None:
            frames[split] = _normalised(read_table(Path(file)), Path(file), text, pair, label)
    names = _class_names(frames["train"]["label"])
    for split, part in frames.items():
        frames[split] = part.assign(label=_encoded(part["label"], names, path if split == "train" else split))
    _split(frames, bool(names), seed)
    splits = {split: hf_datasets.Dataset.from_pandas(part, preserve_index=False) for split, part in frames.items()}
    return Task(
        name=path.stem,
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        label_names=names,
        metric="accuracy" if names else "pearson_spearman",
    )


def read_table(path: Path) -> pd.DataFrame:
    """The rows of a table, strings as they are written. Raises ``ValueError`` for a missing, damaged or empty file."""
    path = path.absolute()
    if not path.is_file():
        raise ValueError(f"No such file: {path}")
    try:
        if path.suffix == ".parquet":
            frame = pd.read_parquet(path)
        elif path.suffix == ".jsonl":
            frame = pd.DataFrame(
                [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
            )
        elif path.suffix in (".csv", ".tsv"):
            with path.open(encoding="utf-8-sig", newline="") as stream:
                rows = list(csv.reader(stream, delimiter="," if path.suffix == ".csv" else "\t"))
            uneven = next((n for n, row in enumerate(rows, start=1) if row and len(row) != len(rows[0])), None)
            if uneven is not None:
                raise ValueError(f"row {uneven} has {len(rows[uneven - 1])} fields, the header {len(rows[0])}")
            frame = pd.DataFrame([row for row in rows[1:] if row], columns=rows[0] if rows else [])
        else:
            raise ValueError(f"its name must end in {', '.join(TABLE_SUFFIXES)}")
    except (ValueError, TypeError, OSError, csv.Error) as error:
        raise ValueError(f"{path} cannot be read as a table: {error}") from error
    if frame.empty:
        raise ValueError(f"{path} holds no rows")
    return frame


def _columns(
    frame: pd.DataFrame, path: Path, text: str | None, pair: str | None, label: str | None
) -> tuple[str, str | None, str]:
    """The named columns, checked; those not named, guessed."""
    names = [str(name) for name in frame.columns]
    missing = [name for name in (text, pair, label) if name is not None and name not in names]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(map(repr, missing))}. Its columns: {', '.join(names)}")
    if len(names) < 2:
        raise ValueError(f"{path} needs a column of texts and one of labels. Its columns: {', '.join(names)}")
    guessed = []
    if label is None:
        rest = [name for name in names if name not in (text, pair)]
        named = [name for name in rest if name.lower() in LABEL_NAMES]
        label = named[0] if named else min(rest, key=lambda name: frame[name].astype(str).nunique())
        guessed.append(f"labels from '{label}'")
    if text is None:
        rest = [name for name in names if name not in (label, pair)]
        text = max(rest, key=lambda name: frame[name].astype(str).str.len().mean())
        guessed.append(f"texts from '{text}'")
    if guessed:
        logger.warning("%s: %s", path.name, ", ".join(guessed))
    return text, pair, label


def _normalised(frame: pd.DataFrame, path: Path, text: str, pair: str | None, label: str) -> pd.DataFrame:
    wanted = {text: "text", label: "label", **({pair: "text_pair"} if pair else {})}
    missing = [name for name in wanted if name not in frame.columns]
    if missing:
        raise ValueError(
            f"{path} has no column {', '.join(map(repr, missing))}. Its columns: {', '.join(map(str, frame.columns))}"
        )
    part = frame[list(wanted)].rename(columns=wanted)
    for column in ("text", "label"):
        empty = part[column].isna() | (part[column].astype(str).str.strip() == "")
        if empty.any():
            raise ValueError(f"{path}, row {int(empty.to_numpy().argmax()) + 1}: column '{column}' is empty")
    texts = {column: part[column].astype(str) for column in part.columns if column != "label"}
    return part.assign(**texts)


def _class_names(labels: pd.Series) -> tuple[str, ...]:
    """Names of the classes; none when the labels are numbers of a regression."""
    numbers = pd.to_numeric(labels, errors="coerce")
    distinct = labels.astype(str).nunique()
    if numbers.notna().all() and ((numbers % 1 != 0).any() or distinct > MOST_CLASSES):
        return ()
    if distinct < 2:
        raise ValueError(f"A task needs at least two classes. All labels are {labels.iloc[0]!r}")
    key = (lambda name: (float(name), name)) if numbers.notna().all() else (lambda name: (0.0, name))
    return tuple(sorted(labels.astype(str).unique(), key=key))


def _encoded(labels: pd.Series, names: tuple[str, ...], where: Path | str) -> pd.Series:
    if not names:
        return pd.to_numeric(labels).astype(float)
    unknown = sorted(set(labels.astype(str)) - set(names))
    if unknown:
        raise ValueError(
            f"Labels in {where} that training does not have: {', '.join(unknown[:5])}. Training has {', '.join(names)}"
        )
    return labels.astype(str).map({name: number for number, name in enumerate(names)}).astype(int)


def _split(frames: dict[str, pd.DataFrame], has_classes: bool, seed: int) -> None:
    """Take what is missing of validation and test out of training."""
    share = _HELD_OUT * len(frames["train"])
    wanted = [split for split in ("validation", "test") if split not in frames]
    if "test" in wanted and "validation" not in wanted:
        wanted = []  # the user's own split is complete
    for split in wanted:
        rows = frames["train"]
        if len(rows) < 3:
            raise ValueError(f"{len(rows)} rows are too few to split. Give more, or files for validation and test")
        size = max(1, round(share))
        stratify = (
            rows["label"]
            if has_classes and rows["label"].value_counts().min() > 1 and size >= rows["label"].nunique()
            else None
        )
        frames["train"], frames[split] = train_test_split(rows, test_size=size, random_state=seed, stratify=stratify)
