"""What a tag is: a name or a whole number, each by one name, in order."""

import json
import re
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataset import load_task


def _table(path: Path, tags: list[Any], times: int = 1) -> Path:
    """A table of texts of two words with these tags."""
    rows = [{"tokens": ["a", "b"], "tags": list(row)} for row in tags * times]
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize(
    ("tag", "message"),
    [
        (-100, "'tags' holds -100, which is no tag. Tags are names or other whole numbers; give words without one a "),
        (-100.0, "'tags' holds -100, which is no tag"),
        ("-100", "'tags' holds -100, which is no tag"),
        ({"x": 1}, "'tags' must hold names or whole numbers. Got {'x': 1}"),
        (["B", "I"], "'tags' must hold names or whole numbers. Got ['B', 'I']"),
        (0.5, "'tags' must hold names or whole numbers. Got 0.5"),
        (float("inf"), "'tags' must hold names or whole numbers. Got inf"),
        (float("nan"), "'tags' holds an empty tag"),
        (None, "'tags' holds an empty tag"),
        (" ", "'tags' holds an empty tag"),
    ],
    ids=str,
)
def test_what_is_no_tag_is_told_with_its_line(tmp_path: Path, tag: Any, message: str) -> None:
    path = _table(tmp_path / "a.jsonl", [[0, 1], [1, tag]])
    with pytest.raises(ValueError, match=f"^{re.escape(str(path))}, line 2: {re.escape(message)}"):
        load_task(path)


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_a_whole_number_is_one_tag_however_it_is_written(tmp_path: Path, suffix: str) -> None:
    rows: list[Any] = [[1.0, 0], [1, 0], [0.0, 1]]
    rows += [] if suffix == "parquet" else [["1", "0.0"]]  # of one type there
    task = load_task(_table(tmp_path / f"a.{suffix}", rows, times=3))
    assert task.label_names == ("0", "1")
    found = sorted(tag for split in task.splits.values() for row in split["tags"][:] for tag in row)
    assert found == [0] * len(rows) * 3 + [1] * len(rows) * 3


def test_a_null_among_numbers_of_parquet_is_an_empty_tag(tmp_path: Path) -> None:
    path = _table(tmp_path / "a.parquet", [[0, 1], [1, None]])
    with pytest.raises(ValueError, match="row 2: 'tags' holds an empty tag"):
        load_task(path)


def test_numbers_are_in_order_of_their_value(tmp_path: Path) -> None:
    rows = [[number, (number + 1) % 12] for number in range(12)]
    task = load_task(_table(tmp_path / "a.jsonl", rows, times=3))
    assert task.label_names == tuple(map(str, range(12)))
    assert all((first + 1) % 12 == second for first, second in task.train["tags"][:])
    rows = [["O", "B-10"], ["B-9", "O"], [-1, 10], [9, "O"]]
    assert load_task(_table(tmp_path / "b.jsonl", rows, times=3)).label_names == ("O", "-1", "9", "10", "B-10", "B-9")
