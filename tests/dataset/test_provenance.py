"""Prepared data are told apart by what they hold, not by where they lie or when they were made."""

import json
import os
from pathlib import Path

import pytest
from rich.console import Console

from dataset import PreparedData, TableOptions
from dataset.prepare import DataOptions
from dataset.provenance import data_identity

WORDS = ("fine", "dull", "happy", "sad")
CORPUS = [f"a story about people and films, number {i}" for i in range(200)]


def _rows(names=("good", "bad"), words=WORDS) -> str:
    rows = [f"a {words[i % 4]} story number {i},{names[i % 2]}" for i in range(60)]
    return "\n".join(["review,verdict", *rows])


def _prepared(
    folder: Path, table: str, corpus=CORPUS, *, name="films.csv", vocab_size=300, seed=0, **options: str
) -> PreparedData:
    (folder / "in").mkdir(parents=True)
    (folder / "in" / name).write_text(table)
    (folder / "in" / "corpus.txt").write_text("\n".join(corpus))
    made = DataOptions(
        task=str(folder / "in" / name),
        corpus=(folder / "in" / "corpus.txt",),
        table=TableOptions(**options),
        vocab_size=vocab_size,
        max_length=16,
        seed=seed,
    )
    return made.prepare(folder / "out", Console(quiet=True))


def _different(a: PreparedData, b: PreparedData) -> set[str]:
    one, other = data_identity(a), data_identity(b)
    assert one.keys() == other.keys() == {"labels", "rows", "vocabulary", "corpus"}
    return {name for name in one if one[name] != other[name]}


def test_the_same_content_is_the_same_elsewhere_and_later(tmp_path):
    a = _prepared(tmp_path / "a", _rows())
    b = _prepared(tmp_path / "b", _rows(), name="other.csv")
    os.utime(tmp_path / "b" / "in" / "other.csv", (1e9, 1e9))
    assert _different(a, b) == set()
    moved = (tmp_path / "a" / "out").rename(tmp_path / "moved")
    assert _different(PreparedData.load(moved), b) == set()


@pytest.mark.parametrize(
    ("change", "different"),
    [
        ({"table": _rows(("short", "long"))}, {"labels"}),
        ({"table": _rows(("bad", "good"))}, {"rows"}),
        ({"table": _rows(words=("fine", "dull", "sad", "happy"))}, {"rows"}),
        ({"seed": 1}, {"rows"}),
        ({"corpus": [*CORPUS[:-1], "a story about something else"]}, {"vocabulary", "rows", "corpus"}),
        ({"vocab_size": 400}, {"vocabulary", "rows", "corpus"}),
        ({"metric": "f1_macro"}, set()),
    ],
    ids=["names", "labels", "texts", "split", "corpus", "vocabulary", "metric"],
)
def test_other_content_is_told_by_its_part(tmp_path, change, different):
    a = _prepared(tmp_path / "a", _rows())
    b = _prepared(tmp_path / "b", **{"table": _rows()} | change)
    found = _different(a, b)
    # The tokenizer is trained on all texts, so that other words may or may not make other pieces.
    assert different <= found <= different | {"vocabulary", "corpus"} | ({"rows"} if "corpus" in different else set())


def test_words_with_tags_and_questions_with_answers_have_an_identity_too(tmp_path):
    tags = [{"tokens": ["Ann", "sees", f"item{i}"], "tags": ["PER", "O", "O" if i % 2 else "PER"]} for i in range(40)]
    questions = [
        {"question": "who", "context": f"Ann reads book {i}", "answers": {"text": ["Ann"], "answer_start": [0]}}
        for i in range(40)
    ]
    changes = {"tags": ["O"] * 3}, {"context": "Ann reads"}
    for name, rows, other in zip(("tags", "questions"), (tags, questions), changes, strict=True):
        tables = ["\n".join(map(json.dumps, [*rows, rows[0] | last])) for last in (rows[0], other)]
        a, b = (_prepared(tmp_path / name / str(i), table, name="t.jsonl") for i, table in enumerate(tables))
        assert "rows" in _different(a, b)
        assert _different(a, a) == set()
