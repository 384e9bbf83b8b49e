"""Labels of whole texts in one's own table, all looked at together: classes, several classes a text, or the numbers of
a regression; and in words what they are taken for.

Labels that are words, or few whole numbers, are classes; many different numbers, and numbers written as only amounts
are (1,5 or 15%), a regression. Lists hold names, or are vectors of zeros and ones with a place for each class. What
would make classes of a column by mistake is refused: a stray word among measured numbers, labels of which nearly every
row has another, the number -100 that marks a missing class, lists of numbers that are neither.
"""

import re
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from .amounts import PLAIN, find_writing, numbers
from .cells import label_cells
from .readers import where

MOST_CLASSES = 50
MOST_SHOWN, _LONGEST_SHOWN = 10, 60  # names in a message, characters of each
_MISSING = "-100"  # what losses pass over
_MOST_ENTRIES = 50_000_000  # of zeros and ones of all rows: some 3 GB of memory on the way
_MOST_STRAY = 0.1  # numbers with a larger share of words among them are names, as of codes
_FEWEST_ROWS = 20  # in fewer rows nothing is said of how often a class comes
_LIKE_NUMBERS = re.compile(r"[-+]?\d[\d.,']*%?")


@dataclass(frozen=True, kw_only=True)
class Labels:
    """The labels of a table, and what they are taken for.

    Args:
        names: of the classes; none when the labels are numbers of a regression.
        taken_for: the same in words.
        by_split: numbers of a regression, class ids, or vectors of zeros and ones.
    """

    names: tuple[str, ...]
    is_multi_label: bool
    taken_for: str
    by_split: Mapping[str, pd.Series]


def read_labels(
    columns: Mapping[str, pd.Series], origins: Mapping[str, str], name: str, separator: str | None = None
) -> Labels:
    """The labels in a column's cells.

    Args:
        columns: cells by split, ``train`` among them; those of a categorical type are classes. origins: of each split,
            for messages.
        name: of the column. separator: what stands between several labels in a cell.

    Raises:
        ValueError: for cells that are no labels, a single class, nearly as many classes as rows, a label that is no
            number as others are, or one that training does not have; with the row.
    """
    declared = isinstance(columns["train"].dtype, pd.CategoricalDtype)
    cells = {split: label_cells(column, origins[split], name, separator) for split, column in columns.items()}
    holds = {split: "lists" if part.map(_is_list).any() else "single labels" for split, part in cells.items()}
    for split, found in holds.items():
        if found != holds["train"]:
            raise ValueError(f"{origins[split]}: column '{name}' holds {found}, in training {holds['train']}")
    if holds["train"] == "lists":
        return _several(cells, origins, name)
    writing = None if declared else _writing_of_amounts(cells, f"{origins['train']}, column '{name}'")
    if writing is not None:
        by_split = {split: numbers(part, writing) for split, part in cells.items()}
        for split, part in cells.items():
            _refuse_words(part, by_split[split], origins[split], writing)
        taken_for = "amounts" + (f" written like {writing}" if writing != PLAIN else "")
        return Labels(names=(), is_multi_label=False, taken_for=taken_for, by_split=by_split)
    names = _class_names(cells["train"], origins["train"], name)
    by_split = {split: _ids(part, names, origins[split]) for split, part in cells.items()}
    return Labels(names=names, is_multi_label=False, taken_for=f"classes: {shown(names)}", by_split=by_split)


def shown(names: Sequence[str]) -> str:
    """The names for a message; of many the first."""
    short = (name if len(name) <= _LONGEST_SHOWN else f"{name[:_LONGEST_SHOWN]}..." for name in names[:MOST_SHOWN])
    return ", ".join(map(repr, short)) + (", ..." if len(names) > MOST_SHOWN else "")


def _several(cells: Mapping[str, pd.Series], origins: Mapping[str, str], name: str) -> Labels:
    """The labels in lists: vectors, or names."""
    length = _length_of_vectors(cells, origins, name)
    if length:
        vectors = {split: part.map(lambda row: np.array(row, dtype=np.float32)) for split, part in cells.items()}
        names = tuple(map(str, range(length)))
        return Labels(
            names=names,
            is_multi_label=True,
            taken_for=f"vectors of zeros and ones for {length} classes",
            by_split=vectors,
        )
    names = _ordered({label for row in cells["train"] for label in row})
    if not names:
        raise ValueError("No text has a label")
    _refuse_too_many(names, cells["train"], origins["train"])
    for split, part in cells.items():
        _refuse_numbers(part, f"{origins[split]}", name)
    by_split = {split: _zeros_and_ones(part, names, origins[split]) for split, part in cells.items()}
    return Labels(names=names, is_multi_label=True, taken_for=f"lists of classes: {shown(names)}", by_split=by_split)


def _refuse_too_many(names: Sequence[str], rows: pd.Series, origin: str) -> None:
    """Names that are no classes, as nearly none comes twice, and more than memory can bear."""
    number = int(rows.map(len).sum())
    if len(rows) >= _FEWEST_ROWS and len(names) > number / 2:
        raise ValueError(
            f"{origin} has {len(names):,} different labels among {number:,} in lists ({shown(names[:3])}, ...); a "
            "class needs several. Name another column of labels"
        )
    if len(names) * len(rows) > _MOST_ENTRIES:
        raise ValueError(
            f"{origin} has {len(names):,} different labels for {len(rows):,} texts; the two numbers multiplied may be "
            f"at most {_MOST_ENTRIES:,}. Leave rare labels or rows out"
        )


def _length_of_vectors(cells: Mapping[str, pd.Series], origins: Mapping[str, str], name: str) -> int:
    """The number of places in lists of zeros and ones; 0 for lists of names, among them 0 and 1, each once in a row."""
    rows = [row for part in cells.values() for row in part]
    if not all(label in ("0", "1") for row in rows for label in row):
        return 0
    ((usual, count),) = Counter(map(len, rows)).most_common(1)
    if all(len(set(row)) == len(row) for row in rows) and (usual < 2 or count < len(rows)):
        return 0
    for split, part in cells.items():
        other = part[part.map(len) != usual]
        if len(other):
            raise ValueError(
                f"{where(origins[split], list(other.index))}: column '{name}' holds {len(other.iloc[0])} zeros and "
                f"ones, other rows {usual}"
            )
    return usual


def _refuse_numbers(part: pd.Series, origin: str, name: str) -> None:
    """Lists of numbers are class numbers, each once, whole and from 0."""
    wrong = part[part.map(lambda row: not all(map(str.isdecimal, row)) or len(set(row)) < len(row)).astype(bool)]
    are_numbers = all(_LIKE_NUMBERS.fullmatch(label) for row in part for label in row)
    if are_numbers and len(wrong):
        raise ValueError(
            f"{where(origin, list(wrong.index))}: column '{name}' must hold class numbers, each once, or vectors of "
            f"zeros and ones. Got [{', '.join(wrong.iloc[0][:MOST_SHOWN])}]"
        )


def _writing_of_amounts(cells: Mapping[str, pd.Series], place: str) -> str | None:
    """How the numbers of a regression are written, in all splits alike; None where training has classes."""
    labels, together = cells["train"], pd.concat(list(cells.values()), ignore_index=True)
    try:
        writing = find_writing(together, (1 - _MOST_STRAY) * len(together))
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from None
    known = numbers(labels, writing).dropna()
    most = min(MOST_CLASSES, len(labels) / 2) if len(labels) >= _FEWEST_ROWS else MOST_CLASSES
    are_amounts = writing != PLAIN or (known % 1 != 0).any() or known.nunique() > most
    return writing if are_amounts and len(known) >= (1 - _MOST_STRAY) * len(labels) else None


def _class_names(labels: pd.Series, origin: str, name: str) -> tuple[str, ...]:
    names = _ordered(set(labels))
    if len(names) < 2:
        raise ValueError(
            f"{origin}: a task needs at least two classes, and column '{name}' holds only {shown(names)}. Name another "
            "one (label_column)"
        )
    if len(labels) >= _FEWEST_ROWS and len(names) > len(labels) / 2:
        raise ValueError(
            f"{origin} has {len(names)} different labels in {len(labels)} rows ({shown(list(labels.unique())[:3])}, "
            f"...); a class needs several. {_remedy(labels)}"
        )
    values = numbers(pd.Series(names), PLAIN)
    if values.notna().all():
        if _MISSING in names:
            rows = list(labels.index[labels == _MISSING])
            raise ValueError(f"{where(origin, rows)}: {_MISSING} is no class number. Leave rows without a class out")
        if not values.is_unique:
            alike = [name for name, same in zip(names, values.duplicated(keep=False), strict=True) if same]
            raise ValueError(f"{origin} has the labels {shown(alike)}, which are the same number; write them alike")
    return names


def _ordered(names: set[str]) -> tuple[str, ...]:
    """Numbers by their value, all else by the alphabet."""
    values = numbers(pd.Series(sorted(names), dtype=object), PLAIN)
    is_numeric = bool(values.notna().all())
    return tuple(sorted(names, key=lambda name: (float(name) if is_numeric else 0.0, name)))


def _ids(labels: pd.Series, names: Sequence[str], origin: str) -> pd.Series:
    ids = {name: number for number, name in enumerate(names)}
    _refuse_unknown(labels[~labels.isin(names)], names, origin)
    return labels.map(ids).astype(int)


def _zeros_and_ones(labels: pd.Series, names: Sequence[str], origin: str) -> pd.Series:
    flat = labels.explode().dropna()
    _refuse_unknown(flat[~flat.isin(names)], names, origin)
    places = {name: place for place, name in enumerate(names)}
    return labels.map(lambda found: _ones_at([places[name] for name in found], len(names)))


def _ones_at(places: Sequence[int], length: int) -> np.ndarray:
    ones = np.zeros(length, dtype=np.float32)
    ones[list(places)] = 1
    return ones


def _refuse_unknown(unknown: pd.Series, names: Sequence[str], origin: str) -> None:
    if len(unknown):
        raise ValueError(
            f"{where(origin, [unknown.index[0]])}: label {shown([unknown.iloc[0]])}, which training does not have. "
            f"Training has {shown(names)}"
        )


def _refuse_words(labels: pd.Series, values: pd.Series, origin: str, writing: str) -> None:
    wrong = values.isna()
    if wrong.any():
        raise ValueError(
            f"{where(origin, [labels.index[wrong][0]])}: the label must be a number, as others are. Got "
            f"{shown([labels[wrong].iloc[0]])} (such rows: {wrong.sum()}). {_remedy(labels[wrong], writing)}"
        )


def _remedy(labels: pd.Series, writing: str = PLAIN) -> str:
    like_numbers = labels.map(lambda label: bool(_LIKE_NUMBERS.fullmatch(label))).mean() > 0.5
    return f"Write numbers like {writing}" if like_numbers else "Leave such rows out, or name another column of labels"


def _is_list(cell: object) -> bool:
    return isinstance(cell, list)
