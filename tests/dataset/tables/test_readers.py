"""Tables on disk: which names mean one, and rows as they are written."""

import csv
import gzip
import json
from pathlib import Path

import datasets as hf_datasets
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


@pytest.mark.parametrize(
    ("texts", "classes"),
    [([], ("None", "some")), (["null", "NA"], ("old", "new")), ([], ("007", "012")), ([], ("true", "false"))],
    ids=["None", "null", "007", "true"],
)
@pytest.mark.parametrize("suffix", ["csv", "jsonl"])
def test_a_folder_gives_the_task_of_its_file(
    tmp_path: Path, texts: list[str], classes: tuple[str, str], suffix: str
) -> None:
    rows = [(text, classes[i % 2]) for i, text in enumerate([*texts, *(f"boat {i}" for i in range(40))])]
    path = _csv(tmp_path / "boats" / "train.csv", rows)
    if suffix == "jsonl":
        path.unlink()
        path = path.with_suffix(".jsonl")
        path.write_text("\n".join(json.dumps({"text": text, "label": label}) for text, label in rows))
    (tmp_path / "boats" / "README.md").write_text("test")
    of_file, of_folder = load_task(path), load_task(tmp_path / "boats")
    assert of_folder.label_names == of_file.label_names == tuple(sorted(classes))
    assert of_folder.train[:] == of_file.train[:]


def test_the_names_of_files_tell_their_splits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    for name in ("train-1", "train-2", "dev", "test/rows", "notes"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        _csv(tmp_path / f"{name}.csv")
    task = load_task(tmp_path)
    assert {split: len(table) for split, table in task.splits.items()} == {"train": 40, "validation": 20, "test": 20}
    assert "train from train-1.csv, train-2.csv; validation from dev.csv; test from rows.csv; not used: notes.csv" in (
        caplog.text
    )
    (tmp_path / "dev.csv").write_text("text,label\na,yes\n,no\n")
    with pytest.raises(ValueError, match=r"dev\.csv, line 3: column 'text' is empty"):
        load_task(tmp_path)
    (tmp_path / "train-2.csv").write_text("words,label\na,yes\n")
    with pytest.raises(ValueError, match=r"train-2\.csv has no column 'text'. Its columns: words, label"):
        load_task(tmp_path)


@pytest.mark.parametrize("missing", [None, -1, -100])
def test_missing_classes_of_a_saved_dataset_are_left_out_or_refused(tmp_path: Path, missing: int | None) -> None:
    names = hf_datasets.ClassLabel(names=["O", "B-PER", "B-LOC"])
    texts = [f"boat {i} came in" for i in range(40)]
    of_texts = hf_datasets.Features({"text": hf_datasets.Value("string"), "label": names})
    rows = {"text": texts, "label": [missing] * 4 + [i % 3 for i in range(36)]}
    hf_datasets.Dataset.from_dict(rows).cast(of_texts).save_to_disk(str(tmp_path / "classes"))
    found = {row["text"]: row["label"] for part in load_task(tmp_path / "classes").splits.values() for row in part}
    assert set(found) == set(texts[4:])
    words = hf_datasets.List(hf_datasets.Value("string"))
    of_tags = hf_datasets.Features({"tokens": words, "tags": hf_datasets.List(names)})
    rows = {"tokens": [text.split() for text in texts], "tags": [[0, 1, 2, 0]] * 39 + [[0, 1, missing, 0]]}
    hf_datasets.Dataset.from_dict(rows).cast(of_tags).save_to_disk(str(tmp_path / "tags"))
    with pytest.raises(ValueError, match=r"tags, row 40: 'tags' holds an empty tag"):
        load_task(tmp_path / "tags")


def test_compressed_tables_in_a_folder_are_told(tmp_path: Path) -> None:
    _csv(tmp_path / "data" / "train.csv")
    (tmp_path / "data" / "test.csv.gz").write_bytes(gzip.compress(b"text,label\na,yes\nb,no\n"))
    with pytest.raises(ValueError, match=r"data holds compressed tables: test\.csv\.gz\. Unpack them first"):
        load_task(tmp_path / "data")


def test_parquet_beside_lines_is_a_split_too(tmp_path: Path) -> None:
    _csv(tmp_path / "data" / "trainset.csv", [(f"{text} in training", label) for text, label in ROWS])
    _csv(tmp_path / "data" / "devset.csv")
    pd.DataFrame(ROWS[:6], columns=["text", "label"]).to_parquet(tmp_path / "data" / "test.parquet")
    assert {split: len(rows) for split, rows in load_task(tmp_path / "data").splits.items()} == {
        "train": 20,
        "validation": 20,
        "test": 6,
    }


def test_splits_of_a_saved_dataset_that_are_not_used_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = hf_datasets.Dataset.from_dict({"text": [text for text, _ in ROWS], "label": [label for _, label in ROWS]})
    splits = dict.fromkeys(("train", "validation", "dev", "validation_matched"), rows)
    hf_datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    load_task(tmp_path / "saved")
    assert "saved: splits not used: dev, validation_matched" in caplog.text


def test_a_line_that_is_nested_too_deeply_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "label": "x"}\n{"text": ' + "[" * 100_000)
    with pytest.raises(ValueError, match=r"a\.jsonl cannot be read as a table: line 2: it is nested too deeply"):
        load_task(tmp_path / "a.jsonl")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.jsonl", "a.conll"])
def test_utf_16_without_a_mark_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes("text,label\na,x\n".encode("utf-16-le"))
    with pytest.raises(
        ValueError, match=rf"{name}, line 1 is not UTF-8 text \(a NUL character\)\. Save the file as UTF-8"
    ):
        load_task(tmp_path / name)
