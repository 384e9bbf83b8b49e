"""Rows taken out of training: in proportion, and never all of a class."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sklearn.model_selection import train_test_split

from dataset import load_task
from dataset.tables.splitting import split_off


def _split(labels: list[str], seed: int = 0) -> dict[str, pd.DataFrame]:
    frames = {"train": pd.DataFrame({"text": [f"text {i}" for i in range(len(labels))], "label": labels})}
    split_off(frames, seed, classes="label")
    assert sorted(index for frame in frames.values() for index in frame.index) == list(range(len(labels)))
    return frames


@pytest.mark.parametrize("seed", range(12))
def test_the_single_row_of_a_class_is_trained_on_and_the_rest_is_in_proportion(seed: int) -> None:
    labels = ["a"] * 60 + ["b"] * 30 + ["c"] * 9 + ["once"]
    frames = _split(labels, seed)
    counts = {split: frame["label"].value_counts().to_dict() for split, frame in frames.items()}
    assert counts["train"]["once"] == 1
    assert {len(frames[split]) for split in ("validation", "test")} == {10}
    for split in ("validation", "test"):
        assert counts[split] == {"a": 6, "b": 3, "c": 1}


@pytest.mark.parametrize("seed", range(12))
def test_with_more_classes_than_held_out_rows_training_keeps_one_of_each(seed: int) -> None:
    frames = _split([f"class {i % 20}" for i in range(40)], seed)
    assert frames["train"]["label"].nunique() == 20
    assert [len(frames[split]) for split in ("validation", "test")] == [4, 4]


@pytest.mark.parametrize("seed", range(12))
def test_training_keeps_a_row_of_every_label_of_several(seed: int) -> None:
    labels = [[1.0, float(i % 3 == 0), 0.0, float(i == 7)] for i in range(20)] + [[0.0, 0.0, 0.0, 0.0]] * 20
    frames = {"train": pd.DataFrame({"label": labels})}
    split_off(frames, seed, several="label")
    assert np.vstack(frames["train"]["label"]).any(axis=0).tolist() == [True, True, False, True]
    assert sorted(len(frame) for frame in frames.values()) == [4, 4, 32]


def test_labels_that_training_keeps_anyhow_are_split_at_random_as_before() -> None:
    rows = pd.DataFrame({"label": [[float(i % 2), 1.0] for i in range(40)]})
    frames = {"train": rows}
    split_off(frames, 5, several="label")
    assert list(frames["validation"].index) == list(train_test_split(rows, test_size=4, random_state=5)[1].index)


def test_where_every_class_has_enough_rows_the_split_is_that_of_scikit_learn() -> None:
    labels = list(np.random.default_rng(0).choice(["a", "b", "c"], 100))
    frames = _split(labels, 3)
    rows = pd.DataFrame({"label": labels})
    rest, held_out = train_test_split(rows, test_size=10, random_state=3, stratify=rows["label"])
    assert list(frames["validation"].index) == list(held_out.index)
    rest, held_out = train_test_split(rest, test_size=10, random_state=3, stratify=rest["label"])
    assert (list(frames["test"].index), list(frames["train"].index)) == (list(held_out.index), list(rest.index))


def test_where_nothing_can_be_taken_out_it_is_said() -> None:
    with pytest.raises(ValueError, match="Every row is the only one of its class"):
        _split(list("abcdefgh"))


def test_classes_that_a_split_lacks_are_reported(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    rows = "".join(f"text {i},{'yes' if i % 2 else 'no'}\n" for i in range(60)) + "another,perhaps\n"
    (tmp_path / "mine.csv").write_text(f"text,label\n{rows}")
    task = load_task(tmp_path / "mine.csv")
    assert 1 in task.train["label"][:]  # of no, perhaps, yes
    assert "classes are unbalanced: " in caplog.text
    assert "perhaps 1. Consider" in caplog.text
    for split in ("validation", "test"):
        assert f"mine.csv: {split} has no row of 1 of 3 classes: 'perhaps'" in caplog.text
    assert "train has no row" not in caplog.text


@pytest.mark.parametrize(
    ("center", "deviation", "is_told"),
    [(1990.0, 30.0, True), (0.0, 2e5, True), (-50.0, 4.0, True), (2.7, 1.5, False), (20.0, 10.0, False)],
)
def test_numbers_far_from_0_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, center: float, deviation: float, is_told: bool
) -> None:
    numbers = center + deviation * np.random.default_rng(0).normal(size=100)
    (tmp_path / "mine.csv").write_text("text,label\n" + "".join(f"text {i},{x}\n" for i, x in enumerate(numbers)))
    load_task(tmp_path / "mine.csv")
    assert ("Subtract the mean and divide by the deviation" in caplog.text) == is_told
