"""Texts without labels: found in a table, prepared beside the task, and refused where they do not fit."""

import dataclasses
import json
from pathlib import Path

import pytest
from rich.console import Console

from dataset import PreparedData, load_task
from dataset.prepare import DataOptions
from dataset.tables.options import TableOptions
from dataset.tables.unlabelled import load_unlabelled
from dataset.task import FURTHER, Task, make_split


def _task(*, is_paired: bool = False) -> Task:
    columns = {"text": ["a", "b"], **({"text_pair": ["c", "d"]} if is_paired else {}), "label": [0, 1]}
    rows = make_split(columns)
    return Task(name="films", label_names=("bad", "good"), train=rows, validation=rows)


@pytest.mark.parametrize(
    ("content", "options"),
    [
        ("review,stars\nnot bad at all,3\ngood,4\n", {}),
        ("review\nnot bad at all\ngood\n", {}),
        ("what,sentence\nlonger than the sentences themselves,not bad at all\nand longer,good\n", {}),
        ("what,text\nnot bad at all,x\ngood,y\n", {"text_column": "what"}),
    ],
    ids=["longest", "only", "by name", "named"],
)
def test_the_texts_are_found(content, options, tmp_path):
    (tmp_path / "more.csv").write_text(content)
    rows = load_unlabelled(tmp_path / "more.csv", _task(), TableOptions(**options))
    assert rows.to_dict() == {"text": ["not bad at all", "good"]}


def test_pairs_are_found_by_their_names(tmp_path):
    (tmp_path / "more.csv").write_text("premise,hypothesis,genre\nit rains,it is wet,x\n")
    rows = load_unlabelled(tmp_path / "more.csv", _task(is_paired=True), TableOptions())
    assert rows.to_dict() == {"text": ["it rains"], "text_pair": ["it is wet"]}
    (tmp_path / "more.csv").write_text("this,that\nit rains,it is wet\n")
    with pytest.raises(ValueError, match="two columns of texts, named as in .*Its columns: this, that"):
        load_unlabelled(tmp_path / "more.csv", _task(is_paired=True), TableOptions())


def test_what_does_not_fit_is_named(tmp_path):
    (tmp_path / "more.csv").write_text('text\ngood\n" "\n')
    with pytest.raises(ValueError, match=r"more.csv, line 3: column 'text' is empty"):
        load_unlabelled(tmp_path / "more.csv", _task(), TableOptions())
    with pytest.raises(ValueError, match=r"more.csv has no column 'review'. Its columns: text"):
        load_unlabelled(tmp_path / "more.csv", _task(), TableOptions(text_column="review"))
    (tmp_path / "tags.jsonl").write_text("\n".join([json.dumps({"tokens": ["a", "b"], "tags": ["x", "y"]})] * 20))
    tags = load_task(tmp_path / "tags.jsonl")
    with pytest.raises(ValueError, match="is for labels of whole texts. Task 'tags' is a token_classification"):
        load_unlabelled(tmp_path / "more.csv", tags, TableOptions())


def test_they_are_prepared_beside_the_task(tmp_path: Path) -> None:
    rows = [f"the {'good' if i % 2 else 'bad'} film number {i},{'yes' if i % 2 else 'no'}" for i in range(40)]
    (tmp_path / "mine.csv").write_text("\n".join(["review,verdict", *rows]))
    (tmp_path / "more.csv").write_text("review\nthe good film\na bad film about words\n")
    (tmp_path / "corpus.txt").write_text("\n".join(f"a line of plain words about films, number {i}" for i in range(60)))
    options = DataOptions(
        task=str(tmp_path / "mine.csv"), corpus=(tmp_path / "corpus.txt",), vocab_size=300, max_length=16,
        unlabelled=tmp_path / "more.csv",
    )  # fmt: skip
    options.prepare(tmp_path / "out", Console(quiet=True))
    data = PreparedData.load(tmp_path / "out")
    further = data.unlabelled[FURTHER]
    assert further.column_names == ["input_ids", "attention_mask"]
    decoded = data.tokenizer.batch_decode(further["input_ids"][:], skip_special_tokens=True)
    assert [text.strip() for text in decoded] == ["the good film", "a bad film about words"]
    assert data.sizes["unlabelled_further"] == 2
    with pytest.raises(ValueError, match="unlabelled: .*more.csv' there, None wanted"):
        dataclasses.replace(options, unlabelled=None).prepare(tmp_path / "out", Console(quiet=True))
    glue = dataclasses.replace(options, task="glue")
    with pytest.raises(ValueError, match="'unlabelled' holds texts of one task. 'glue' is several"):
        glue.prepare(tmp_path / "glue", Console(quiet=True))
