"""Own tables: columns guessed, labels understood, rows split."""

import csv
import json
from pathlib import Path

import pandas as pd
import pytest

from dataset import load_task


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
    assert task.majority_share("test") == pytest.approx(2 / 3)


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
        load_task(_reviews(tmp_path / "mine.csv"), text_column="txt")


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"No such file: .*none\.csv"):
        load_task(tmp_path / "none.csv")
