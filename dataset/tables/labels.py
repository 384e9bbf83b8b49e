"""Labels of whole texts in one's own table: classes, several classes a text, or the numbers of a regression.

Labels that are words, or few whole numbers, are classes; many different numbers are a regression. What would make
classes of a column by mistake is refused: a stray word among measured numbers, and labels of which nearly every row has
another.
"""

import re
from typing import Any

import numpy as np
import pandas as pd

from ..kinds.token_classification import is_list
from .readers import unit_of

MOST_CLASSES = 50
_MOST_STRAY = 0.1  # numbers with a larger share of words among them are names, as of codes
_FEWEST_ROWS = 20  # in fewer rows nothing is said of how often a class comes
_LIKE_NUMBERS = re.compile(r"[-+]?\d[\d.,']*%?")


def label_cells(cells: pd.Series, origin: str, name: str, separator: str | None = None) -> pd.Series:
    """The labels in a column's cells, as strings without blanks around them: one each, or lists.

    Args:
        origin, name: of the table and the column, for messages.
        separator: what stands between several labels in a cell; a cell may then be empty.

    Raises:
        ValueError: for empty labels, and cells of which only some are lists; with the first row.
    """
    if separator is not None:
        cells = cells.map(lambda cell: _separated(cell, separator))
    are_lists = cells.map(is_list).astype(bool)
    several = bool(are_lists.any())
    empty = cells.map(lambda cell: any(map(_is_empty, cell)) if is_list(cell) else _is_empty(cell)).astype(bool)
    for wrong, problem in (
        (~are_lists & several, "is no list, as others are"),
        (empty, "holds an empty label" if several else "is empty"),
    ):
        if wrong.any():
            raise ValueError(f"{origin}, {unit_of(origin)} {cells.index[wrong][0]}: column '{name}' {problem}")
    if several:
        return cells.map(lambda labels: [str(label).strip() for label in labels])
    return cells.astype(object).map(lambda label: str(label).strip())


def label_names(labels: pd.Series, is_multi_label: bool, origin: str) -> tuple[str, ...]:
    """The names of the classes; none when the labels are numbers of a regression.

    Args:
        labels: strings of the training rows, or lists of them.

    Raises:
        ValueError: for a single class, nearly as many classes as rows, or a label that is no number as others are.
    """
    names = sorted({name for found in labels for name in found} if is_multi_label else set(labels))
    if not is_multi_label:
        if _are_measured(labels, origin):
            return ()
        if len(names) < 2:
            raise ValueError(f"A task needs at least two classes. All labels are {names[0]!r}")
        if len(labels) >= _FEWEST_ROWS and len(names) > len(labels) / 2:
            shown = ", ".join(map(repr, list(dict.fromkeys(labels))[:3]))
            raise ValueError(
                f"{origin} has {len(names)} different labels in {len(labels)} rows ({shown}, ...); a class needs "
                f"several. {_remedy(labels)}"
            )
    elif not names:
        raise ValueError("No text has a label")
    numbers = _numbers(pd.Series(names))
    is_numeric = bool(numbers.notna().all())
    return tuple(sorted(names, key=lambda name: (float(name) if is_numeric else 0.0, name)))


def encoded(labels: pd.Series, names: tuple[str, ...], is_multi_label: bool, origin: str) -> pd.Series:
    """The labels as numbers of a regression, class ids, or lists of zeros and ones.

    Raises:
        ValueError: naming the first row whose label is no number, or one that training does not have.
    """
    if not names:
        numbers = _numbers(labels)
        _refuse_words(labels, numbers, origin)
        return numbers
    ids = {name: number for number, name in enumerate(names)}
    of_each = labels if is_multi_label else labels.map(lambda label: [label])
    for place, found in of_each.items():
        unknown = [name for name in found if name not in ids]
        if unknown:
            raise ValueError(
                f"{origin}, {unit_of(origin)} {place}: label {unknown[0]!r}, which training does not have. "
                f"Training has {', '.join(names)}"
            )
    if is_multi_label:
        return of_each.map(lambda found: [float(name in found) for name in names])
    return of_each.map(lambda found: ids[found[0]]).astype(int)


def _separated(cell: Any, separator: str) -> list[Any]:
    if is_list(cell):
        return list(cell)
    return [] if _is_empty(cell) else [label for label in str(cell).split(separator or None) if label.strip()]


def _is_empty(label: Any) -> bool:
    return bool(label is None or label is pd.NA or label != label or not str(label).strip())


def _are_measured(labels: pd.Series, origin: str) -> bool:
    """Whether labels are numbers that are no classes."""
    numbers = _numbers(labels)
    known = numbers.dropna()
    most = min(MOST_CLASSES, len(labels) / 2) if len(labels) >= _FEWEST_ROWS else MOST_CLASSES
    if not ((known % 1 != 0).any() or known.nunique() > most) or len(known) < (1 - _MOST_STRAY) * len(labels):
        return False
    _refuse_words(labels, numbers, origin)
    return True


def _refuse_words(labels: pd.Series, numbers: pd.Series, origin: str) -> None:
    wrong = numbers.isna()
    if wrong.any():
        raise ValueError(
            f"{origin}, {unit_of(origin)} {labels.index[wrong][0]}: the label must be a number, as others are. Got "
            f"{labels[wrong].iloc[0]!r} (such rows: {wrong.sum()}). {_remedy(labels[wrong])}"
        )


def _remedy(labels: pd.Series) -> str:
    like_numbers = labels.map(lambda label: bool(_LIKE_NUMBERS.fullmatch(label))).mean() > 0.5
    return "Write numbers like 1234.5" if like_numbers else "Leave such rows out, or name another column of labels"


def _numbers(labels: pd.Series) -> pd.Series:
    """The labels as finite numbers; nan for all else."""
    numbers = pd.to_numeric(labels, errors="coerce").astype(float)
    return numbers.where(np.isfinite(numbers))
