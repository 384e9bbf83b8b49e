"""Columns between separators: which separator, which rows and which columns there are."""

import csv
import io
from pathlib import Path

import pytest

from dataset.tables.readers import read_table

ROWS = [("Review", "Sentiment"), ('so "they" say, or not; well', "good"), ("two\nlines", "bad"), ("plain", "good")]


def _written(separator: str, quoting: int = csv.QUOTE_MINIMAL) -> str:
    out = io.StringIO()
    csv.writer(out, delimiter=separator, lineterminator="\r\n", quoting=quoting).writerows(ROWS)
    return out.getvalue()


def _read(path: Path, text: str, encoding: str = "utf-8") -> list[tuple[str, ...]]:
    path.write_bytes(text.encode(encoding))
    frame = read_table(path)
    return [tuple(frame.columns), *frame.itertuples(index=False, name=None)]


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
@pytest.mark.parametrize("quoting", [csv.QUOTE_MINIMAL, csv.QUOTE_ALL])
@pytest.mark.parametrize("suffix", ["csv", "tsv"])
def test_the_separator_is_found_and_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, separator: str, quoting: int, suffix: str
) -> None:
    assert _read(tmp_path / f"a.{suffix}", _written(separator, quoting), "utf-8-sig") == ROWS
    is_usual = separator == {"csv": ",", "tsv": "\t"}[suffix]
    assert ("columns stand between" in caplog.text) != is_usual


def test_a_first_line_names_the_separator_and_is_counted(tmp_path: Path) -> None:
    assert _read(tmp_path / "a.csv", "sep=;\r\n" + _written(";")) == ROWS
    assert list(read_table(tmp_path / "a.csv").index) == [3, 4, 6]


def test_the_usual_separator_is_kept_where_it_fits(tmp_path: Path) -> None:
    rows = [("text;id", "label"), ("a;b", "x"), ("c", "y")]
    assert _read(tmp_path / "a.csv", "\n".join(map(",".join, rows))) == rows
    with pytest.raises(ValueError, match="line 3 has 1 fields, the header 2"):
        _read(tmp_path / "b.csv", "text,label\na;b,x\nc;d\n")
    with pytest.raises(ValueError, match="line 3 has 1 fields, the header 2"):
        _read(tmp_path / "c.csv", "text;label\na, b;x\nc\n")


@pytest.mark.parametrize(
    ("header", "row"), [("text;Preis (EUR, netto)", "a;10,50"), ("Name, Vorname;Klasse", "a, b;x")]
)
def test_where_several_separators_fit_a_first_line_says_which(tmp_path: Path, header: str, row: str) -> None:
    text = "\n".join([header, row, row])
    with pytest.raises(ValueError, match="divided alike by commas and by semicolons. Write a first line such as sep=,"):
        _read(tmp_path / "a.csv", text)
    assert _read(tmp_path / "b.csv", f"sep=;\n{text}") == [tuple(header.split(";")), *[tuple(row.split(";"))] * 2]


def test_nameless_columns_and_rows_without_content_are_nothing(tmp_path: Path) -> None:
    rows = [("text", "label"), ("a", "x"), ("b", "y")]
    assert _read(tmp_path / "a.csv", ",,,\ntext,,label,\na,,x,,,\n,,,\nb,,y,\n,,,\n") == rows
    assert _read(tmp_path / "b.csv", ",text,label\n0,a,x\n1,b,y\n")[1] == ("0", "a", "x")
    with pytest.raises(ValueError, match="line 2 has 3 fields, the header 2"):
        _read(tmp_path / "c.csv", "text,label\na,x,more\n")


def test_a_second_header_is_no_row(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="line 3 is the header once more"):
        _read(tmp_path / "a.csv", "text,label\na,x\ntext,label\nb,y\n")
