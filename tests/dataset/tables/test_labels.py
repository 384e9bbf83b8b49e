"""What the cells of a column of labels mean: classes, several labels a text, or measured numbers."""

import datetime
import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataset import TableOptions, load_task


def _table(path: Path, labels: list[Any]) -> Path:
    rows = [{"text": f"text number {i}", "label": label} for i, label in enumerate(labels)]
    if path.suffix == ".jsonl":
        path.write_text("\n".join(map(json.dumps, rows)))
    elif path.suffix == ".csv":
        path.write_text("text,label\n" + "".join(f'{row["text"]},"{row["label"]}"\n' for row in rows))
    else:
        pd.DataFrame(rows).to_parquet(path)
    return path


def _by_text(path: Path, **options: Any) -> dict[str, Any]:
    task = load_task(path, table=TableOptions(**options))
    return {row["text"]: row["label"] for split in task.splits.values() for row in split}


@pytest.mark.parametrize("stray", ["N/A", "nan", "3,14", "inf"])
def test_a_word_among_measured_numbers_is_told_with_its_line(tmp_path: Path, stray: str) -> None:
    labels = [str(i / 7) for i in range(199)]
    labels.insert(100, stray)
    with pytest.raises(ValueError, match=rf"mine\.csv, line 102: the label must be a number.* Got '{stray}'"):
        load_task(_table(tmp_path / "mine.csv", labels))


@pytest.mark.parametrize("form", ["{},{:02}", "1,{}{:02}.5", "opinion {}{}"])
def test_labels_that_nearly_all_differ_are_no_classes(tmp_path: Path, form: str) -> None:
    labels = [form.format(i, i % 100) for i in range(180)] + [form.format(0, 0)] * 20
    remedy = "name another column" if "opinion" in form else r"Write numbers like 1234\.5"
    with pytest.raises(
        ValueError, match=rf"has 180 different labels in 200 rows \('.*; a class needs several.*{remedy}"
    ):
        load_task(_table(tmp_path / "mine.csv", labels))


def test_as_many_words_as_half_of_the_rows_are_classes(tmp_path: Path) -> None:
    task = load_task(_table(tmp_path / "mine.csv", [f"v{i % 20}" for i in range(40)]))
    assert task.num_labels == 20


def test_whole_numbers_are_classes_even_beside_a_word(tmp_path: Path) -> None:
    task = load_task(_table(tmp_path / "mine.csv", [1, 2, 3, 10] * 20 + ["unknown"] * 4))
    assert task.label_names == ("1", "10", "2", "3", "unknown")


def test_few_rows_of_many_whole_numbers_are_a_regression(tmp_path: Path) -> None:
    ages = load_task(_table(tmp_path / "mine.csv", [20 + i for i in range(40)]))
    assert (ages.is_regression, ages.metric) == (True, "pearson_spearman")
    marks = load_task(_table(tmp_path / "marks.csv", [i % 6 for i in range(40)]))
    assert marks.label_names == ("0", "1", "2", "3", "4", "5")


def test_blanks_around_a_label_are_no_part_of_it(tmp_path: Path) -> None:
    assert load_task(_table(tmp_path / "a.csv", ["pos", " pos", "neg", "neg\t"] * 10)).label_names == ("neg", "pos")
    lists = [["a", " b"], ["a "], ["b"], []] * 10
    assert load_task(_table(tmp_path / "b.jsonl", lists)).label_names == ("a", "b")


def test_a_separator_leaves_lists_as_they_are_and_null_has_no_label(tmp_path: Path) -> None:
    labels = [["a", "b"], None, "b; c", [], ""] * 16
    found = _by_text(_table(tmp_path / "mine.jsonl", labels), label_column="label", label_separator=";")
    assert [found[f"text number {i}"] for i in range(5)] == [[1, 1, 0], [0, 0, 0], [0, 1, 1], [0, 0, 0], [0, 0, 0]]


def test_an_empty_label_in_a_list_is_told_with_its_line(tmp_path: Path) -> None:
    path = _table(tmp_path / "mine.jsonl", [["a"], ["b"], ["a", None]] * 5)
    with pytest.raises(ValueError, match=r"mine\.jsonl, line 3: column 'label' holds an empty label"):
        load_task(path)


@pytest.mark.parametrize("kind", [pd.Timestamp, datetime.date])
def test_dates_are_classes(tmp_path: Path, kind: Any) -> None:
    days = [kind(2020, 1, 1), kind(2020, 1, 2)]
    task = load_task(_table(tmp_path / "mine.parquet", days * 10))
    assert task.label_names == tuple(str(day) for day in days)


def test_a_column_cannot_be_text_and_label(tmp_path: Path) -> None:
    path = _table(tmp_path / "mine.csv", ["a", "b"] * 10)
    with pytest.raises(ValueError, match=r"'text_column' and 'label_column' name the same column 'text'"):
        load_task(path, table=TableOptions(text_column="text", label_column="text"))
