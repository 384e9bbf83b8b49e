"""Numbers as people and spreadsheets write them: 1234.5, 1,234.5, 1.234,5, 1 234,5, the last three also with a percent
sign."""

import re

import numpy as np
import pandas as pd

PLAIN = "1234.5"
_GROUP_MARKS = ",.' \u00a0\u202f"
_WRITINGS = {"1,234.5": (".", ""), "1.234,5": (",", ""), "1,234.5%": (".", "%"), "1.234,5%": (",", "%")}


def find_writing(labels: pd.Series, least: float) -> str:
    """The writing that most labels have; ``PLAIN`` where it has as many as another, or none has so many as ``least``.

    Raises:
        ValueError: when two others have as many and give other numbers, as 1,250 may be 1250 or 1.25.
    """
    read = {writing: numbers(labels, writing) for writing in (PLAIN, *_WRITINGS)}
    most = max(part.count() for part in read.values())
    best = [writing for writing, part in read.items() if part.count() == most]
    if PLAIN in best or most < least:
        return PLAIN
    first, *others = (read[writing] for writing in best)
    if not all(first.equals(other) for other in others):
        label, value = labels[first.notna()].iloc[0], first.dropna().iloc[0]
        raise ValueError(f"a label like {label!r} may be {value:g} or not. Write numbers like {PLAIN}")
    return best[0]


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
