"""CoNLL files: a word a line with its annotations in columns, blank lines between texts.

Columns end at tabs where a line has one, else at blanks; lines end at LF or CRLF; every other character is part of a
word. The word is the first column and its tag the last (CoNLL-2003). Columns that number the words of a text are
passed over; the ten columns of CoNLL-U give the tags ``upos``, ``xpos`` and ``deprel``. Lines before a text that begin
with ``#`` are comments, unless they have all columns and end in a tag that other lines have.
"""

import re

import pandas as pd

_BREAK = "-DOCSTART-"
_TREE = {"tokens": 1, "upos": 3, "xpos": 4, "deprel": 7}  # columns of CoNLL-U
_TREE_WIDTH = 10
_NUMBER = re.compile(r"\d+")
_NO_WORD = re.compile(r"\d+[-.]\d+")  # the range of a contraction, an omitted word

_Line = tuple[int, list[str]]


def read_conll(text: str) -> pd.DataFrame:
    """The texts, by the line that they start on: a column ``tokens`` and one or more of tags, lists of strings.

    Raises:
        ValueError: for a line with another number of columns than the first one.
    """
    sentences = _sentences([line.removesuffix("\r") for line in text.split("\n")])
    width = len(sentences[0][0][1]) if sentences else 0
    for number, fields in (line for sentence in sentences for line in sentence):
        if len(fields) < 2 or len(fields) != width:
            raise ValueError(
                f"line {number} has {len(fields)} fields, the first one {width}; needed are a word and, last, its tag"
            )
    columns = {"tokens": 0, "tags": width - 1}
    if width == _TREE_WIDTH and all(_is_numbered(line) for sentence in sentences for line in sentence):
        sentences = [[line for line in sentence if _NUMBER.fullmatch(line[1][0])] for sentence in sentences]
        columns = _TREE
    elif width > 2 and all(_counts(sentence) for sentence in sentences) and max(map(len, sentences)) > 1:
        columns["tokens"] = 1
    sentences = [sentence for sentence in sentences if sentence]
    return pd.DataFrame(
        {
            name: [[fields[place] for _, fields in sentence] for sentence in sentences]
            for name, place in columns.items()
        },
        index=[sentence[0][0] for sentence in sentences],
    )


def _sentences(lines: list[str]) -> list[list[_Line]]:
    """The numbered fields of the lines of each text, without comments."""
    plain = [line for line in lines if not line.startswith("#")]
    separator = "\t" if any("\t" in line.strip(" \t") for line in plain) else " "
    first = next((fields for line in plain if (fields := _fields(line, separator))), [])
    tags = {fields[-1] for line in plain if (fields := _fields(line, separator))}
    sentences: list[list[_Line]] = [[]]
    for number, line in enumerate(lines, start=1):
        fields = _fields(line, separator)
        if not fields:
            sentences.append([])
            continue
        is_word = not line.startswith("#") or (len(fields) == len(first) and fields[-1] in tags)
        if is_word or sentences[-1]:
            sentences[-1].append((number, fields))
    return [sentence for sentence in sentences if sentence]


def _fields(line: str, separator: str) -> list[str]:
    """The columns of a line; none of one that ends a text."""
    if not line.strip(" \t"):
        return []
    fields = line.split("\t") if separator == "\t" else re.split(" +", line.strip(" "))
    return [] if fields[0].split(" ")[0] == _BREAK else [field.strip(" ") for field in fields]


def _is_numbered(line: _Line) -> bool:
    return bool(_NUMBER.fullmatch(line[1][0]) or _NO_WORD.fullmatch(line[1][0]))


def _counts(sentence: list[_Line]) -> bool:
    """Whether the first column counts the words, from 0 or 1."""
    first = [fields[0] for _, fields in sentence]
    return first in ([str(number) for number in range(start, start + len(first))] for start in (0, 1))
