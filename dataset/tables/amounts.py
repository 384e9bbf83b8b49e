"""Numbers as people and spreadsheets write them: 1234.5, 1,234.5, 1.234,5, 1 234,5, the last three also with a percent
sign."""

import re

import numpy as np
import pandas as pd

PLAIN = "1234.5"
_THOUSANDS = re.compile(r"[-+]?[1-9]\d{0,2}\.\d{3}")
_GROUP_MARKS = ",.' \u00a0\u202f"
_WRITINGS = {"1,234.5": (".", ""), "1.234,5": (",", ""), "1,234.5%": (".", "%"), "1.234,5%": (",", "%")}


def find_writing(labels: pd.Series, least: float) -> str:
    """The writing that most labels have; ``PLAIN`` where it has as many as another, or none has so many as ``least``.

    Raises:
        ValueError: when two others have as many and give other numbers, as 1,250 may be 1250 or 1.25; and where points
            may stand between thousands, as in 1.250 beside 925.
    """
    read = {writing: numbers(labels, writing) for writing in (PLAIN, *_WRITINGS)}
    most = max(part.count() for part in read.values())
    best = [writing for writing, part in read.items() if part.count() == most]
    if most < least:
        return PLAIN
    first, *others = (read[writing] for writing in best)
    doubtful = labels[first.notna()]
    if PLAIN in best:
        doubtful = _between_thousands(doubtful)
    elif all(first.equals(other) for other in others):
        return best[0]
    if len(doubtful):
        label, value = doubtful.iloc[0], first[doubtful.index[0]]
        raise ValueError(f"a label like {label!r} may be {value:g} or not. Write numbers like {PLAIN}")
    return best[0]


def _between_thousands(labels: pd.Series) -> pd.Series:
    """The labels whose point may stand between thousands: all that have one, with three digits behind it, where others
    are whole and below 1000."""
    has_point = labels.str.contains(".", regex=False)
    pointed, whole = labels[has_point], labels[~has_point]
    are_thousands = pointed.map(lambda label: bool(_THOUSANDS.fullmatch(label))).all()
    are_below = whole.str.lstrip("+-").str.len().le(3).all()
    return pointed if len(whole) and are_thousands and are_below else pointed[:0]


def numbers(labels: pd.Series, writing: str) -> pd.Series:
    """The labels as finite numbers; nan for all that is not written like that."""
    texts = pd.Series(labels.unique(), dtype=object)
    plain = texts
    if writing != PLAIN:
        decimal, sign = _WRITINGS[writing]
        groups = re.escape(_GROUP_MARKS.replace(decimal, ""))
        like = re.compile(rf"[-+]?(?:\d{{1,3}}(?:[{groups}]\d{{3}})+|\d+)(?:{re.escape(decimal)}\d+)?\s?{sign}")
        others = re.compile(rf"[{groups}%\s]")
        plain = texts.map(lambda text: others.sub("", text).replace(decimal, ".") if like.fullmatch(text) else None)
    found = pd.to_numeric(plain, errors="coerce").astype(float)
    return labels.map(dict(zip(texts, found.where(np.isfinite(found)), strict=True))).astype(float)
