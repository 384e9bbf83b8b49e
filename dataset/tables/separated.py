"""Tables whose columns stand between separators: CSV, TSV, and what spreadsheets make of them.

The name of a file promises a separator. Where that does not divide the header, or not all rows alike, the other one
that does is taken, and said; a first line ``sep=;`` names it, and must where several do. Rows and nameless columns
without content are nothing.
"""

import contextlib
import csv
import io
import logging
import re
import threading
from collections.abc import Iterator

import pandas as pd

SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "bars"}
_NAMED = re.compile(r'"?sep=(.)"?(?:\r\n|\r|\n)', re.IGNORECASE)
_CELL_LIMIT = threading.Lock()

logger = logging.getLogger(__name__)


def read_separated(text: str, usual: str, name: str) -> pd.DataFrame:
    """The rows of a text, strings as they are written, by the line that they start on.

    Args:
        usual: the separator that the file's name promises.
        name: of the file, for messages.

    Raises:
        ValueError: for rows of another number of fields than the header, repeated names, a quote that is never closed,
            and where several separators divide header and rows alike.
    """
    named = _NAMED.match(text)
    line = 2 if named else 1
    text = text[named.end() :] if named else text
    order = [named[1]] if named else list(dict.fromkeys([usual, *SEPARATORS]))
    tables, problems = dict[str, pd.DataFrame](), []
    with _cells_of_any_length(len(text)):
        for separator in [mark for mark in order if _divides(text, mark)] or order[:1]:
            try:
                tables[separator] = _table(_rows(text, separator, line))
            except ValueError as error:
                problems.append(error)
    if not tables:
        raise problems[0]
    separator, *others = tables
    if others:
        marks = " and by ".join(SEPARATORS[mark] for mark in tables)
        raise ValueError(
            f"header and rows are divided alike by {marks}. Write a first line such as sep={separator} that says which"
        )
    if not named and separator != usual:
        logger.warning("%s: columns stand between %s", name, SEPARATORS[separator])
    return tables[separator]


def _divides(text: str, separator: str) -> bool:
    """Whether there are several columns in the first row that is not blank."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        return len(next((row for row in reader if any(map(str.strip, row))), [])) > 1
    except csv.Error:
        return False


@contextlib.contextmanager
def _cells_of_any_length(length: int) -> Iterator[None]:
    """Lift Python's limit of 131,072 characters a cell, which is one for the whole process, and put it back."""
    with _CELL_LIMIT:
        before = csv.field_size_limit()
        csv.field_size_limit(max(before, length))
        try:
            yield
        finally:
            csv.field_size_limit(before)


def _rows(text: str, delimiter: str, start: int) -> dict[int, list[str]]:
    """The fields of each row by the line it starts on, without blank lines, and without rows of blank fields."""
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    first = start - 1
    rows: dict[int, list[str]] = {}
    while True:
        try:
            row = next(reader, None)
        except csv.Error as error:
            unclosed = "; a quote that opens there is never closed" if "end of data" in str(error) else ""
            raise ValueError(f"line {start}: {error}{unclosed}") from None
        if row is None:
            return rows
        if len(row) == 1 or any(map(str.strip, row)):
            rows[start] = row
        start = first + reader.line_num + 1


def _table(rows: dict[int, list[str]]) -> pd.DataFrame:
    if not rows:
        return pd.DataFrame()
    (first, header), *body = rows.items()
    names = [name.strip() for name in header]
    for number, row in body:
        if len(row) < len(header) or any(map(str.strip, row[len(header) :])):
            raise ValueError(f"line {number} has {len(row)} fields, the header {len(header)}")
        if row == header:
            raise ValueError(f"line {number} is the header once more; leave it out")
    kept = [place for place, name in enumerate(names) if name or any(row[place].strip() for _, row in body)]
    names = [names[place] for place in kept]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ValueError(f"line {first}: two columns are called {', '.join(map(repr, repeated))}")
    return pd.DataFrame(
        [[row[place] for place in kept] for _, row in body], columns=names, index=[number for number, _ in body]
    )
