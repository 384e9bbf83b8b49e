"""What the cells of a column of labels mean: classes, several labels a text, or measured numbers."""

import datetime
import json
from pathlib import Path
from typing import Any

import datasets
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


@pytest.mark.parametrize("form", ["{}-{:02}", "1,{}{:02}.5", "opinion {}{}"])
def test_labels_that_nearly_all_differ_are_no_classes(tmp_path: Path, form: str) -> None:
    labels = [form.format(i, i % 100) for i in range(180)] + [form.format(0, 0)] * 20
    remedy = r"Write numbers like 1234\.5" if "," in form else "name another column"
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
    with pytest.raises(ValueError, match=r"mine\.jsonl, lines 3, 6, 9, 12, 15: column 'label' holds an empty label"):
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


VECTORS = [[int(i % 2 == 0), int(i % 3 == 0), 0] for i in range(60)]


@pytest.mark.parametrize("kind", [int, float, bool])
@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_zeros_and_ones_of_one_length_are_vectors(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, kind: type, suffix: str
) -> None:
    path = _table(tmp_path / f"mine.{suffix}", [[kind(place) for place in vector] for vector in VECTORS])
    assert load_task(path).label_names == ("0", "1", "2")
    assert _by_text(path) == {f"text number {i}": vector for i, vector in enumerate(VECTORS)}
    assert "mine." + suffix + ": labels are vectors of zeros and ones for 3 classes" in caplog.text


def test_class_numbers_in_lists_are_names(tmp_path: Path) -> None:
    path = _table(tmp_path / "mine.jsonl", [[0], [1], [0, 1], [10, 2]] * 10)
    assert load_task(path).label_names == ("0", "1", "2", "10")
    assert _by_text(path)["text number 3"] == [0, 0, 1, 1]


@pytest.mark.parametrize(
    ("odd", "usual", "message"),
    [
        ([0, 1], [1, 0, 1], "line 3: column 'label' holds 2 zeros and ones, other rows 3"),
        ([0.2, 0.8], [0.5, 0.5], "must hold class numbers, each once, or vectors of zeros and ones"),
        ([-100, 1], [2, 1], r"line 3: column 'label' must hold class numbers.* Got \[-100, 1\]"),
        ([3, 3], [1, 2], r"line 3: column 'label' must hold class numbers.* Got \[3, 3\]"),
        ([{"start": 1}], [{"start": 2}], "holds an object or a list in a list"),
        ([[0, 1]], [[1, 1]], "holds an object or a list in a list"),
        ([True, 1], [0, 1], "column 'label' is not true or false, as others are"),
        ({"name": "a"}, "b", "line 3: column 'label' holds an object"),
        ("['a', 'b']", "a", "line 3: column 'label' holds a list that is written as text"),
        ("[1 0 1]", "[0 0 1]", "holds a list that is written as text"),
        (True, "yes", "lines 1, 2, 4, .* and 10 more: column 'label' is not true or false, as others are"),
        (-100, 1, "line 3: -100 is no class number"),
        ("07", "7", "has the labels '07', '7', which are the same number"),
    ],
    ids=str,
)
def test_what_is_no_label_is_told_with_its_row(tmp_path: Path, odd: Any, usual: Any, message: str) -> None:
    other = "c" if isinstance(usual, str) and not usual[0].isdigit() else 0 if isinstance(usual, int) else usual
    labels = [usual, other, odd, *[usual, other] * 9]
    with pytest.raises(ValueError, match=message):
        load_task(_table(tmp_path / "mine.jsonl", labels))


def test_a_word_in_brackets_is_a_class(tmp_path: Path) -> None:
    assert load_task(_table(tmp_path / "mine.csv", ["[laughs]", "(unknown)"] * 10)).num_labels == 2


def test_one_number_is_one_class_however_it_is_written(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    task = load_task(_table(tmp_path / "mine.jsonl", [1, 1.0, "1", "2.0", 2, "-1"] * 10))
    assert task.label_names == ("-1", "1", "2")
    assert "mine.jsonl: labels are classes: '-1', '1', '2'" in caplog.text


@pytest.mark.parametrize(
    ("form", "writing"),
    [
        (lambda x: f"{x:.1f}".replace(".", ","), "1.234,5"),
        (lambda x: f"{x:.1f}%", "1,234.5%"),
        (lambda x: f"{1000 * x:,.2f}", "1,234.5"),
        (lambda x: f"{1000 * x:,.2f}".translate(str.maketrans(",.", "\xa0,")), "1.234,5"),
    ],
    ids=["comma", "percent", "thousands", "blanks"],
)
def test_amounts_are_numbers_as_they_are_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, form: Any, writing: str
) -> None:
    path = _table(tmp_path / "mine.csv", [form(1 + (i % 9) / 2) for i in range(90)])
    factor = 1000 if "00" in form(1) else 1
    assert _by_text(path)["text number 3"] == 2.5 * factor
    assert f"mine.csv: labels are amounts written like {writing}" in caplog.text


def test_a_number_of_two_meanings_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"column 'label': a label like '1,250' may be 1250 or not"):
        load_task(_table(tmp_path / "mine.csv", ["1,250", "2,500", "3,750"] * 10))


def test_empty_rows_are_left_out_on_demand(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    path = tmp_path / "mine.csv"
    path.write_text("text,label\n" + "".join(f"text {i},{'' if i in (4, 7) else i % 2}\n" for i in range(30)))
    with pytest.raises(ValueError, match=r"mine.csv, lines 6, 9: column 'label' is empty; .*skip_empty"):
        load_task(path)
    task = load_task(path, table=TableOptions(skip_empty=True))
    assert sum(map(len, task.splits.values())) == 28
    assert "mine.csv, lines 6, 9: rows left out that have an empty cell (2 of 30)" in caplog.text


def _german(numbers: list[int]) -> list[str]:
    return [f"{number:,}".replace(",", ".") for number in numbers]


@pytest.mark.parametrize("validation", [[], [1250, 1325]])
def test_points_that_may_stand_between_thousands_are_told(tmp_path: Path, validation: list[int]) -> None:
    """In training, or in another split alone."""
    prices = [250 + 75 * i for i in range(9 if validation else 40)]
    train = _table(tmp_path / "mine.csv", _german(prices))
    other = _table(tmp_path / "more.csv", _german(validation)) if validation else None
    with pytest.raises(
        ValueError, match=r"column 'label': a label like '1\.\d{3}' may be 1\.\d+ or not. Write numbers like"
    ):
        load_task(train, table=TableOptions(validation_file=other))


@pytest.mark.parametrize("labels", [["0.125", "0.250", "3"], ["1.250", "2.125", "3.500"], ["1.250", "1500", "2.125"]])
def test_points_before_three_digits_of_a_fraction_are_read_as_such(tmp_path: Path, labels: list[str]) -> None:
    found = _by_text(_table(tmp_path / "mine.csv", labels * 10))
    assert set(found.values()) == set(map(float, labels))


def test_numbers_are_written_in_all_splits_alike(tmp_path: Path) -> None:
    train = _table(tmp_path / "mine.csv", [f"{i},5" for i in range(40)])
    validation = _table(tmp_path / "more.csv", ["2,5", "0.5", "1,5"])
    with pytest.raises(ValueError, match=r"more\.csv, line 3: .* Got '0\.5' .*\. Write numbers like 1\.234,5"):
        load_task(train, table=TableOptions(validation_file=validation))


def test_the_names_of_declared_classes_are_no_amounts(tmp_path: Path) -> None:
    names = ["0.5", "1.5", "2.5"]
    features = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=names)})
    rows = {"text": [f"text {i}" for i in range(40)], "label": [i % 3 for i in range(40)]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk(tmp_path / "saved")
    assert load_task(tmp_path / "saved").label_names == ("0.5", "1.5", "2.5")


def test_large_numbers_of_classes_are_exact_beside_an_empty_label(tmp_path: Path) -> None:
    rows = _table(tmp_path / "mine.jsonl", [9007199254740993, 9007199254740994] * 20 + [None])
    assert load_task(rows, table=TableOptions(skip_empty=True)).label_names == ("9007199254740993", "9007199254740994")


def test_lists_of_labels_that_nearly_all_differ_are_no_classes(tmp_path: Path) -> None:
    file = _table(tmp_path / "mine.jsonl", [[f"word {i}", f"word {i + 1000}"] for i in range(60)])
    with pytest.raises(ValueError, match=r"mine\.jsonl has 120 different labels among 120 in lists .* needs several"):
        load_task(file)


def test_more_labels_than_memory_can_bear_are_refused_before_any_is_kept(tmp_path: Path) -> None:
    file = _table(tmp_path / "mine.jsonl", [[f"l{i % 3500}", f"m{i % 3400}"] for i in range(8000)])
    with pytest.raises(
        ValueError, match=r"6,900 different labels for 8,000 texts; the two numbers multiplied may be at"
    ):
        load_task(file)


def test_a_long_label_is_shown_by_its_beginning(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds only 'x{60}\.\.\.'\. Name another one \(label_column\)"):
        load_task(_table(tmp_path / "mine.csv", ["x" * 10_000] * 40))


def test_a_separator_that_is_nowhere_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    load_task(_table(tmp_path / "mine.csv", ["a;b", "c", "a"] * 10), table=TableOptions(label_separator="|"))
    assert "mine.csv: no cell of column 'label' has several labels between '|'" in caplog.text
