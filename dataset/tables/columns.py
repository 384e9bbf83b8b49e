"""Which columns of one's own table are texts, and which is the labels: named ones checked, others guessed, and said."""

import logging
import re
from pathlib import Path

import pandas as pd

from ..kinds.token_classification import is_list
from .cells import is_object
from .options import TableOptions
from .readers import check_columns

LABEL_NAMES = ("label", "labels", "target", "class", "category", "score", "rating", "y")
TEXT_NAMES = ("text", "sentence", "review", "comment", "content", "document", "tweet", "message")
PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "answer"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "document"),
    ("text", "text_pair"),
)
_LIKELY_PAIRS = (("left", "right"), ("first", "second"), ("original", "paraphrase"), ("query", "passage"))
_FIRST = re.compile(r"(.*?)([1a])")  # of columns called like title_1, title_2
_SECOND = {"1": "2", "a": "b"}
_HEADER_NAMES = {*LABEL_NAMES, *TEXT_NAMES, "id", "idx", "index", *(name for couple in PAIR_NAMES for name in couple)}
_LOOKED_AT = 1000  # rows
_FEWEST_WORDS = 4  # of sentences on average: names, dates and addresses have fewer

logger = logging.getLogger(__name__)


def find_columns(frame: pd.DataFrame, path: Path, origin: str, options: TableOptions) -> dict[str, str]:
    """The task's columns (``text``, ``text_pair``, ``label``) by those of the table.

    Raises:
        ValueError: when named ones are missing, there are not enough, the header seems to be a row, or there are
            questions, answers and where these start.
    """
    names = [str(name) for name in frame.columns]
    text, pair, label = options.text_column, options.text_pair_column, options.label_column
    is_guess = text is None and pair is None and label is None
    check_columns(frame, [name for name in (text, pair, label) if name is not None], path)
    if len(names) < 2:
        raise ValueError(f"{path} needs a column of texts and one of labels. Its columns: {', '.join(names)}")
    if is_guess and {"question", "context", "answer_start"} <= {name.lower() for name in names}:
        raise ValueError(
            f"{path} seems to hold questions and answers. Save these as JSONL, with a column 'answers' of objects "
            '{"text": [...], "answer_start": [...]}'
        )
    guessed = []
    if text is None and pair is None:
        couple = pair_columns(frame[[name for name in names if name != label]])
        if couple is not None and len(names) > 2:
            text, pair = couple
            guessed.append(f"pairs of texts from '{text}' and '{pair}'")
    if label is None:
        rest = [name for name in names if name not in (text, pair)]
        listed = [name for name in rest if frame[name].map(is_list).any()]
        named = [name for name in rest if name.lower() in LABEL_NAMES]
        likely = named or listed or [name for name in rest if name.lower() not in TEXT_NAMES] or rest
        label = likely[0] if named or listed else min(likely, key=lambda name: _variety(frame[name].astype(str)))
        guessed.insert(0, f"labels from '{label}'")
    if text is None:
        text = text_column(frame[[name for name in names if name not in (label, pair)]], path)
        guessed.append(f"texts from '{text}'")
    if is_guess and origin.lower().endswith((".csv", ".tsv")):
        _check_header(frame, label, path)
    unused = [f"'{name}'" for name in names if name not in (text, pair, label)]
    if guessed:
        note = f"; not used: {', '.join(unused)}" if unused else ""
        logger.warning("%s: %s%s", path.name, ", ".join(guessed), note)
    return {text: "text", **({pair: "text_pair"} if pair else {}), label: "label"}


def pair_columns(frame: pd.DataFrame) -> tuple[str, str] | None:
    """The columns of two texts: by names that only such have; or, where no column is called like a single text, by
    names that differ in 1 and 2, a and b, left and right, and hold texts; or the only two that hold sentences."""
    known = {str(name).lower(): str(name) for name in frame.columns}
    sure = next((couple for couple in PAIR_NAMES if set(couple) <= known.keys()), None)
    if sure is not None:
        return known[sure[0]], known[sure[1]]
    if known.keys() & set(TEXT_NAMES):
        return None
    numbered = [(name, found[1] + _SECOND[found[2]]) for name in known if (found := _FIRST.fullmatch(name))]
    for couple in (*_LIKELY_PAIRS, *numbered):
        if set(couple) <= known.keys() and all(_holds_texts(frame[known[name]]) for name in couple):
            return known[couple[0]], known[couple[1]]
    sentences = [name for name in known.values() if _num_words(frame[name]) >= _FEWEST_WORDS]
    return (sentences[0], sentences[1]) if len(sentences) == 2 else None


def text_column(frame: pd.DataFrame, path: Path) -> str:
    """The column of texts among others: the one that is called so, or the longest."""
    names = [str(name) for name in frame.columns]
    if not names:
        raise ValueError(f"{path} has no column left for texts")
    likely = [name for name in names if name.lower() in TEXT_NAMES]
    likely = likely or [name for name in names if not frame[name].map(is_object).any()] or names
    return max(likely, key=lambda name: frame[name].astype(str).str.len().mean())


def _variety(cells: pd.Series) -> tuple[bool, int, float]:
    """Whether all cells are the same, how many different ones there are, and how long they are."""
    number = cells.nunique()
    return number < 2, number, float(cells.str.len().mean())


def _holds_texts(cells: pd.Series) -> bool:
    return bool(cells.head(_LOOKED_AT).map(lambda cell: isinstance(cell, str) and " " in cell.strip()).mean() > 0.5)


def _num_words(cells: pd.Series) -> float:
    """The mean number of words in a cell; what is no string has none."""
    return float(cells.head(_LOOKED_AT).map(lambda cell: len(cell.split()) if isinstance(cell, str) else 0).mean())


def _check_header(frame: pd.DataFrame, label: str, path: Path) -> None:
    """Refuse a header that seems to be the first row: its name for the labels is one of them, or a number as they are,
    and none of its names is usual."""
    names = [str(name).lower() for name in frame.columns]
    if set(names) & _HEADER_NAMES or names == [str(number) for number in range(len(names))]:
        return
    are_numbers = pd.to_numeric(pd.Series([label, *frame[label]]), errors="coerce").notna().all()
    if are_numbers or label in set(frame[label]):
        raise ValueError(
            f"{path} seems to lack a header: its first row would call the labels '{label}', which is like a label. "
            "Write a first row like text,label, or name the columns (text_column, label_column)"
        )
