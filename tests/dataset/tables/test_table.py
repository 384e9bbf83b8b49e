"""Own tables: columns guessed, labels understood, rows split."""

import csv
import json
from pathlib import Path

import datasets as hf_datasets
import pandas as pd
import pytest

from dataset import TableOptions, load_task
from dataset.task import majority_share


def _reviews(path: Path) -> Path:
    with path.open("w", newline="") as stream:
        rows = [
            (f'film {i} was, "well",\nfine' if i % 3 else f"bad film {i}", "yes" if i % 3 else "no") for i in range(300)
        ]
        csv.writer(stream).writerows([("review", "verdict"), *rows])
    return path


def test_a_csv_with_quoted_newlines_is_split_and_rows_add_up(tmp_path: Path) -> None:
    task = load_task(_reviews(tmp_path / "mine.csv"))
    assert (len(task.train), len(task.validation), len(task.test)) == (240, 30, 30)
    assert (task.name, task.label_names) == ("mine", ("no", "yes"))
    texts = [text for split in task.splits.values() for text in split["text"]]
    assert len(set(texts)) == 300
    assert 'film 1 was, "well",\nfine' in texts
    assert majority_share(task.train["label"][:], task.test["label"][:]) == pytest.approx(2 / 3)


def test_the_seed_decides_the_split(tmp_path: Path) -> None:
    path = _reviews(tmp_path / "mine.csv")
    first, again, other = (load_task(path, seed=seed).test["text"][:] for seed in (0, 0, 1))
    assert first == again
    assert first != other


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_numbers_of_many_values_are_a_regression(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"mine.{suffix}"
    frame = pd.DataFrame({"words": [f"text number {i}" for i in range(40)], "score": [i / 7 for i in range(40)]})
    if suffix == "parquet":
        frame.to_parquet(path)
    else:
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    task = load_task(path)
    assert (task.is_regression, task.metric) == (True, "pearson_spearman")


def test_a_named_column_that_is_missing_is_said_with_those_there(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"has no column 'txt'. Its columns: review, verdict"):
        load_task(_reviews(tmp_path / "mine.csv"), table=TableOptions(text_column="txt"))


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No such file: .*none\.csv"):
        load_task(tmp_path / "none.csv")


def _write(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_pairs_are_guessed_and_what_was_guessed_is_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(f"p{i},a much longer hypothesis {i},{'yes' if i % 2 else 'no'}\n" for i in range(20))
    task = load_task(_write(tmp_path / "mine.csv", f"premise,hypothesis,verdict\n{rows}"))
    assert task.is_paired
    assert task.train[0]["text"].startswith("p")
    assert task.train[0]["text_pair"].startswith("a much longer")
    assert "mine.csv: labels from 'verdict', pairs of texts from 'premise' and 'hypothesis'" in caplog.text


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("a.csv", 'text,label\n"two\nlines",x\n,y\n', "a.csv, line 4: column 'text' is empty"),
        ("a.csv", 'text,label\n"two\nlines",x\nb,y,z\n', "line 4 has 3 fields, the header 2"),
        ("a.csv", 'text,label\n"never closed,x\nb,y\n', "line 2: unexpected end of data"),
        ("a.csv", "text,text\na,b\n", "line 1: two columns are called 'text'"),
        ("a.csv", "text,label\n", "a.csv holds no rows"),
        ("a.csv", "text,label\na,x\nb,x\n", "at least two classes, and column 'label' holds only 'x'"),
        ("a.tsv", "text\tlabel\na\tx\nb\n", "line 3 has 1 fields"),
        ("a.jsonl", '{"text": "a", "label": 1}\n\n{"text": \n', "line 3 is not JSON"),
        ("a.jsonl", '{"text": "a", "label": 1}\n[1]\n', "line 2 must be an object"),
        ("a.jsonl", '{"text": "a", "label": ["x"]}\n\n{"text": "b", "label": "y"}\n', "line 3: column 'label' is no"),
        ("a.jsonl", '{"text": "a", "label": 1.5}\n{"text": "b"}\n', "line 2: column 'label' is empty"),
    ],
)
def test_a_bad_file_is_told_which_line_and_why(tmp_path: Path, name: str, text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        load_task(_write(tmp_path / name, text))


def test_bytes_that_are_no_text_are_told_with_their_line(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"text,label\nna\xefve,x\n")
    with pytest.raises(ValueError, match=r"line 2 is not UTF-8 text .*Save the file as UTF-8"):
        load_task(tmp_path / "a.csv")


def test_labels_that_training_does_not_have_are_told_with_their_line(tmp_path: Path) -> None:
    train = _write(tmp_path / "a.csv", "text,label\na,x\nb,y\nc,x\n")
    validation = _write(tmp_path / "b.csv", "text,label\nd,x\ne,z\n")
    with pytest.raises(
        ValueError, match=r"b.csv, line 3: label 'z', which training does not have. Training has 'x', 'y'"
    ):
        load_task(train, table=TableOptions(validation_file=validation))
    with pytest.raises(ValueError, match=r"c.csv has only the class 'x'"):
        load_task(train, table=TableOptions(validation_file=_write(tmp_path / "c.csv", "text,label\nd,x\n")))


def test_unbalanced_classes_and_texts_in_two_splits_are_reported(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = "".join(f"text {i},{'rare' if i % 10 == 0 else 'usual'}\n" for i in range(40))
    train = _write(tmp_path / "a.csv", f"text,label\n{rows}")
    validation = _write(tmp_path / "b.csv", "text,label\ntext 1,usual\nother,rare\n")
    load_task(train, table=TableOptions(validation_file=validation))
    assert "classes are unbalanced: usual 36, rare 4. Consider the metric f1_macro" in caplog.text
    assert "1 texts of validation are also in train" in caplog.text


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "csv"])
def test_lists_are_several_labels_a_text(tmp_path: Path, suffix: str) -> None:
    labels = [[["a"], ["a", "b"], [], ["c"]][i % 4] for i in range(40)]
    path, options = tmp_path / f"mine.{suffix}", TableOptions()
    frame = pd.DataFrame({"text": [f"text {i}" for i in range(40)], "tags": labels})
    if suffix == "parquet":
        frame.to_parquet(path)
    elif suffix == "jsonl":
        path.write_text("\n".join(json.dumps(row) for row in frame.to_dict("records")))
    else:
        frame.assign(tags=["; ".join(names) for names in labels]).to_csv(path, index=False)
        options = TableOptions(label_separator=";", label_column="tags")
    task = load_task(path, table=options)
    assert (task.label_names, task.metric, task.is_multi_label) == (("a", "b", "c"), "f1_micro", True)
    by_text = {row["text"]: row["label"] for split in task.splits.values() for row in split}
    assert (by_text["text 1"], by_text["text 2"]) == ([1, 1, 0], [0, 0, 0])


def test_a_saved_dataset_keeps_its_splits_and_class_names(tmp_path: Path) -> None:
    features = hf_datasets.Features(
        {"text": hf_datasets.Value("string"), "label": hf_datasets.ClassLabel(names=["neg", "pos"])}
    )
    rows = {"text": [f"text {i}" for i in range(10)], "label": [i % 2 for i in range(10)]}
    secret = {"text": ["who knows"], "label": [-1]}
    splits = {
        "train": hf_datasets.Dataset.from_dict(rows, features=features),
        "validation": hf_datasets.Dataset.from_dict(rows, features=features),
        "test": hf_datasets.Dataset.from_dict(secret, features=features),
    }
    hf_datasets.DatasetDict(splits).save_to_disk(tmp_path / "saved")
    task = load_task(tmp_path / "saved")
    assert (len(task.train), len(task.validation), task.test, task.label_names) == (10, 10, None, ("neg", "pos"))


def test_a_dataset_of_the_hub_is_named_by_its_owner(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = hf_datasets.Dataset.from_dict({"text": [f"t {i}" for i in range(30)], "label": ["x", "y", "z"] * 10})
    asked = []
    monkeypatch.setattr(
        "dataset.tables.readers.load_from_hub",
        lambda *names: asked.append(names) or hf_datasets.DatasetDict(train=rows),
    )
    task = load_task("someone/films:small", table=TableOptions(metric="f1_macro"))
    assert asked == [("someone/films", "small")]
    assert (task.name, len(task.train), task.metric) == ("films-small", 24, "f1_macro")


def test_columns_are_guessed_by_name_before_by_content(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(f"{i},same text,a very long opinion about nothing {i},v{i % 4}\n" for i in range(20))
    task = load_task(_write(tmp_path / "mine.csv", f"id,text,remark,verdict\n{rows}"))
    assert (task.train[0]["text"], task.num_labels) == ("same text", 4)
    assert "mine.csv: labels from 'verdict', texts from 'text'" in caplog.text


def test_a_column_of_lists_can_only_be_labels(tmp_path: Path) -> None:
    rows = [json.dumps({"words": f"text {i % 2}", "marks": [["a"], ["b"], []][i % 3]}) for i in range(30)]
    assert load_task(_write(tmp_path / "mine.jsonl", "\n".join(rows))).label_names == ("a", "b")


def test_few_numbers_keep_two_for_each_split_and_whole_ones_are_said_to_be_numbers(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    rows = [f"text number {number},{3 * number}" for number in range(60)]
    (tmp_path / "amounts.csv").write_text("\n".join(["text,label", *rows]))
    assert load_task(tmp_path / "amounts.csv").is_regression
    assert "60 different" not in caplog.text
    assert "different whole numbers as labels are taken for amounts to predict" in caplog.text
    rows = [f"text number {number},{number + 0.5}" for number in range(14)]
    (tmp_path / "few.csv").write_text("\n".join(["text,label", *rows]))
    task = load_task(tmp_path / "few.csv")
    assert {split: len(table) for split, table in task.splits.items()} == {"train": 10, "validation": 2, "test": 2}
