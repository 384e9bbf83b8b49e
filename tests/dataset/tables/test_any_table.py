"""Whatever a table holds, it becomes a task or is refused with a message: never a traceback."""

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from dataset import TableOptions, load_task
from dataset.task import Task

EXAMPLES, PARTS = 2000, 5
COLUMNS = [*"text label left right a id tokens tags question context answers labels 1".split(), ""]
ODD = [
    "",
    "  ",
    "\xa0",
    "\u2028",
    "\t",
    '"q"',
    "'",
    "#",
    "# a",
    "x;y",
    "a,b",
    "é",
    "1",
    "1.0",
    "-1",
    "-100",
    "007",
    "1e5",
]
ODD += [
    "1,5",
    "15%",
    "1,250",
    "1.250,00",
    "inf",
    "nan",
    "None",
    "true",
    "[1, 0]",
    "{'a': 1}",
    "B-X",
    "B",
    "1-2",
    "text",
]
COLUMN_KINDS: list[Callable[[random.Random, int], Any]] = [
    lambda rng, row: f"boat {row} came",
    lambda rng, row: rng.choice(["yes", "no"]),
    lambda rng, row: rng.choice([0, 1]),
    lambda rng, row: rng.random(),
    lambda rng, row: f"{2000 * rng.random():,.2f}",
    lambda rng, row: [rng.choice([0, 1]) for _ in range(3)],
    lambda rng, row: [rng.choice("abc") for _ in range(rng.randrange(3))],
]


def _odd(rng: random.Random, depth: int = 0) -> Any:
    kind = rng.randrange(8)
    if kind == 0 and depth < 2:
        return [_odd(rng, depth + 1) for _ in range(rng.randrange(4))]
    if kind == 1 and depth < 2:
        return {rng.choice(["text", "answer_start"]): _odd(rng, depth + 1) for _ in range(rng.randrange(3))}
    if kind in (2, 3):
        return rng.choice([True, False, None, 0, -1, -100, 10**25, 1.5, float("inf"), float("nan")])
    return rng.choice(ODD)


def _write(path: Path, rng: random.Random) -> None:
    names = rng.sample(COLUMNS, rng.randrange(1, 5))
    kinds = [rng.choice(COLUMN_KINDS) for _ in names]
    rows = [[kind(rng, row) for kind in kinds] for row in range(rng.choice([0, 3, 12, 25]))]
    for _ in range(rng.choice([0, 0, 1, 3]) if rows else 0):
        rng.choice(rows)[rng.randrange(len(names))] = _odd(rng)
    if path.suffix == ".jsonl":
        lines = [{name: cell for name, cell in zip(names, row, strict=True) if rng.random() < 0.99} for row in rows]
        path.write_text("\n".join(map(json.dumps, lines)))
    elif path.suffix == ".parquet":
        pd.DataFrame(rows, columns=names).to_parquet(path)
    elif path.suffix == ".conll":
        separator, width, usual = rng.choice("\t "), rng.choice([2, 3, 10]), ["O", "B-X", "ida", "1", "2"]
        lines = [
            separator.join(rng.choice(ODD if rng.random() < 0.02 else usual) for _ in range(width)) for _ in range(40)
        ]
        path.write_text("\n".join(line if rng.random() < 0.85 else rng.choice(["", "# c"]) for line in lines))
    else:
        separator, quote = rng.choice(",;\t|"), rng.choice(['"', ""])
        texts = [[quote + str(cell).replace('"', 2 * quote) + quote for cell in row] for row in [names, *rows]]
        path.write_text("\n".join(map(separator.join, texts[rng.choice([0, 0, 0, 1]) :])))


@pytest.mark.parametrize("part", range(PARTS))
@pytest.mark.parametrize("suffix", ["csv", "tsv", "jsonl", "parquet", "conll"])
def test_a_table_is_read_or_refused_with_a_message(tmp_path: Path, suffix: str, part: int) -> None:
    rng, read, refusals = random.Random(f"{suffix} {part}"), 0, []
    for _ in range(EXAMPLES // PARTS // 5):
        path = tmp_path / f"mine.{suffix}"
        try:
            _write(path, rng)
        except (ValueError, TypeError, OverflowError):
            continue  # Parquet holds no such column
        options = TableOptions(label_separator=rng.choice([None, None, ";"]), skip_empty=rng.choice([True, False]))
        try:
            read += isinstance(load_task(path, table=options), Task)
        except ValueError as error:
            refusals.append(error)
    assert {type(error) for error in refusals} <= {ValueError}
    assert max((len(str(error)) for error in refusals), default=0) < 2000
    assert read
