"""How large the numbers and lists of an architecture may be: checked before anything is made of them, as a few bytes
can name more than memory holds."""

from collections.abc import Sequence
from numbers import Integral
from typing import Any

from .files import short
from .operations import LARGEST_NUMBER

MOST = 1_000
"""Layers of a spec, heads of a layer, feed-forward widths of a layer: numbers of what is listed one by one."""
ABSENT: Any = object()
"""An entry that a list of another length has and this one has not."""
_MOST_SHOWN = 30


def wrong_size(value: Any, name: str, where: str, most: int = LARGEST_NUMBER) -> list[str]:
    """What is wrong with a whole number from 1 to ``most``."""
    if value is ABSENT or (is_whole(value) and 0 < value <= most):
        return []
    bound = f" and at most {most:,}" if is_whole(value) and value > most else ""
    return [f"'{name}' of {where} must be a whole number above 0{bound}. Got {short(value)}"]


def too_many(entries: Sequence[Any], name: str, where: str) -> list[str]:
    """What is wrong with the length of a list that may have ``MOST`` entries."""
    return [f"'{name}' of {where} may have at most {MOST:,} entries. Got {len(entries):,}"] * (len(entries) > MOST)


def is_whole(value: Any) -> bool:
    """Whether a value is a whole number, of Python's or NumPy's, and no truth value."""
    return isinstance(value, Integral) and not isinstance(value, bool)


def raise_all(problems: Sequence[str], where: str | None = None) -> None:
    """Raise ``ValueError`` that lists the problems, if there are any."""
    if problems:
        rest = len(problems) - _MOST_SHOWN
        heading = f"{len(problems)} problem{'s' * (len(problems) > 1)} in {where}:\n  - " if where else ""
        shown = [*problems[:_MOST_SHOWN], *([f"and {rest:,} more"] if rest > 0 else [])]
        raise ValueError(heading + "\n  - ".join(shown))
