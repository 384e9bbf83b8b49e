"""Tables on disk: which names mean one, and rows as they are written."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from dataset import TableOptions, load_task
from dataset.hub import is_hub_name
from dataset.tables.readers import TABLE_SUFFIXES

ROWS = [(f"text number {i}", "yes" if i % 2 else "no") for i in range(20)]


def _csv(path: Path, rows: list[tuple[str, str]] = ROWS) -> Path:
    path.parent.mkdir(exist_ok=True)
    with path.open("w", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *rows])
    return path


@pytest.fixture(autouse=True)
def _no_hub(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "dataset.tables.readers.load_from_hub", lambda *names: pytest.fail(f"asked the Hub for {names}")
    )


@pytest.mark.parametrize("as_path", [False, True])
def test_a_file_in_a_folder_beside_is_no_name_of_the_hub(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, as_path: bool
) -> None:
    _csv(tmp_path / "data" / "reviews.csv")
    monkeypatch.chdir(tmp_path)
    name = "data/reviews.csv"
    task = load_task(Path(name) if as_path else name)
    assert (task.name, len(task.train), task.label_names) == ("reviews", 16, ("no", "yes"))
    with pytest.raises(ValueError, match=r"No such file: .*data/none\.csv"):
        load_task("data/none.csv")


def test_what_is_there_is_a_file_whatever_its_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _csv(tmp_path / "data" / "reviews")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"data/reviews cannot be read as a table: its name must end in \.csv"):
        load_task("data/reviews")


@pytest.mark.parametrize(
    ("name", "is_name"),
    [("owner/films", True), ("owner/films:small", True), ("data/x.CSV", False), ("./films", False), ("a/b/c", False)],
)
def test_names_of_the_hub_have_an_owner_and_no_suffix(name: str, is_name: bool) -> None:
    assert is_hub_name(name, TABLE_SUFFIXES) == is_name


def test_suffixes_may_be_of_capitals(tmp_path: Path) -> None:
    assert load_task(_csv(tmp_path / "X.CSV")).label_names == ("no", "yes")
    pd.DataFrame(ROWS, columns=["text", "label"]).to_parquet(tmp_path / "X.PARQUET")
    assert len(load_task(tmp_path / "X.PARQUET").train) == 16


def test_cells_may_be_as_long_in_csv_as_in_jsonl(tmp_path: Path) -> None:
    rows = [(text * 20_000, label) for text, label in ROWS]
    assert len(rows[0][0]) > csv.field_size_limit()
    lines = [json.dumps({"text": text, "label": label}) for text, label in rows]
    (tmp_path / "mine.jsonl").write_text("\n".join(lines))
    before = csv.field_size_limit()
    texts = [load_task(path).train["text"][:] for path in (_csv(tmp_path / "mine.csv", rows), tmp_path / "mine.jsonl")]
    assert texts[0] == texts[1]
    assert csv.field_size_limit() == before


def test_a_quote_that_is_never_closed_is_told_with_its_line(tmp_path: Path) -> None:
    path = tmp_path / "mine.csv"
    path.write_text('text,label\na,x\n"never closed,y\n' + "b,x\n" * 100_000)
    with pytest.raises(ValueError, match=r"line 3: unexpected end of data; a quote that opens there is never closed"):
        load_task(path)


def test_rows_of_parquet_are_no_lines(tmp_path: Path) -> None:
    train, path = _csv(tmp_path / "mine.csv"), tmp_path / "more.parquet"
    pd.DataFrame({"text": ["a", "b"], "label": ["yes", "perhaps"]}).to_parquet(path)
    with pytest.raises(ValueError, match=r"more\.parquet, row 2: label 'perhaps', which training does not have"):
        load_task(train, table=TableOptions(validation_file=path))
