"""What stands in one cell of labels: nothing, a label, or a list of labels. All else is refused.

A label is a word, a whole number (1.0 is 1), an amount, true or false; lists of true and false are zeros and ones.
"""

import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ..kinds.token_classification import as_name, is_list
from .readers import where

_LIST_AS_TEXT = re.compile(r"""\[(.*[,'"\d].*)?\]|\{.*\}|\(['"\d].*,.*\)""", re.DOTALL)


logger = logging.getLogger(__name__)

EMPTY_REMEDY = "fill it in, or leave such rows out with skip_empty"


def is_empty(cell: Any) -> bool:
    """Whether a cell, or one entry of a list, holds nothing."""
    return not is_list(cell) and bool(cell is None or cell is pd.NA or cell != cell or not str(cell).strip())


def is_object(cell: Any) -> bool:
    """Whether a cell is a list, an object or bytes, and so neither a text nor one label."""
    return is_list(cell) or isinstance(cell, (Mapping, bytes))


def check_texts(cells: pd.Series, origin: str, name: str) -> pd.Series:
    """The texts in a column. Raises ``ValueError`` for empty cells and objects, with the rows."""
    for wrong, problem in ((is_empty, f"is empty; {EMPTY_REMEDY}"), (is_object, "holds a list or an object, no text")):
        places = cells.index[cells.map(wrong).astype(bool)]
        if len(places):
            raise ValueError(f"{where(origin, list(places))}: column '{name}' {problem}")
    return cells.astype(str)


def without_empty(part: pd.DataFrame, origin: str, columns: Sequence[str]) -> pd.DataFrame:
    """The rows that have something in all of the columns; how many others there are is said."""
    empty = part[list(columns)].map(is_empty).any(axis=1).astype(bool)
    if empty.any():
        places = where(origin, list(part.index[empty]))
        logger.warning("%s: rows left out that have an empty cell (%d of %d)", places, empty.sum(), len(part))
    if empty.all():
        raise ValueError(f"{origin} has no row without an empty cell in {', '.join(columns)}")
    return part[~empty]


def label_cells(cells: pd.Series, origin: str, name: str, separator: str | None = None) -> pd.Series:
    """The labels in a column's cells, as strings without blanks around them: one each, or lists.

    Args:
        origin, name: of the table and the column, for messages.
        separator: what stands between several labels in a cell; a cell may then be empty.

    Raises:
        ValueError: for empty labels, cells of which only some are lists or true and false, objects, and lists that are
            written as text; with the rows.
    """
    cells = cells.astype(object)
    if separator is not None:
        cells = cells.map(lambda cell: _separated(cell, separator))
        if not cells.map(lambda cell: len(cell) > 1).any():
            logger.warning("%s: no cell of column '%s' has several labels between '%s'", origin, name, separator)
    several = bool(cells.map(is_list).any())
    has_flags = any(_is_flag(label) for cell in cells for label in _entries(cell))
    problems = cells.map(lambda cell: _problem(cell, several, has_flags))
    wrong = problems[problems != ""]
    if len(wrong):
        rows = list(wrong.index[wrong == wrong.iloc[0]])
        raise ValueError(f"{where(origin, rows)}: column '{name}' {wrong.iloc[0]}")
    if several:
        return cells.map(lambda found: [as_name(int(label) if _is_flag(label) else label) for label in found])
    return cells.map(as_name)


def _problem(cell: Any, several: bool, has_flags: bool) -> str:
    """The reason why a cell holds no labels; empty where it does."""
    if several and not is_list(cell):
        return "is no list, as others are"
    entries = _entries(cell)
    if any(map(is_empty, entries)):
        return "holds an empty label" if several else f"is empty; {EMPTY_REMEDY}"
    if any(map(is_object, entries)):
        return "holds an object or a list in a list. Labels are words, numbers, or lists of them"
    if any(map(_is_list_as_text, entries)):
        return "holds a list that is written as text. Save it as JSONL, or write a;b and give label_separator"
    return "is not true or false, as others are" if has_flags and not all(map(_is_flag, entries)) else ""


def _entries(cell: Any) -> list[Any]:
    return list(cell) if is_list(cell) else [cell]


def _separated(cell: Any, separator: str) -> list[Any]:
    if is_list(cell):
        return list(cell)
    if isinstance(cell, str) and _is_list_as_text(cell):
        return [cell]
    return [] if is_empty(cell) else [label for label in str(cell).split(separator or None) if label.strip()]


def _is_flag(label: Any) -> bool:
    return isinstance(label, (bool, np.bool_))


def _is_list_as_text(label: Any) -> bool:
    return isinstance(label, str) and bool(_LIST_AS_TEXT.fullmatch(label.strip()))
