"""Token classification: words and tags read, aligned with sub-words, and measured."""

import json
import re
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dataset import TableOptions, build_tokenizer, load_task
from dataset.kinds.token_classification import encode_tags, is_entity_scheme, sentences_of, tag_metrics
from dataset.prepare import DataOptions
from dataset.task import Task

# Of the Universal Declaration of Human Rights and the Treaty on European Union, tagged by hand.
SENTENCES = [
    ("The General Assembly of the United Nations adopted it in Paris .", "O B-ORG I-ORG O O B-ORG I-ORG O O O B-LOC O"),
    ("Eleanor Roosevelt chaired the commission .", "B-PER I-PER O O O O"),
    ("The European Union is founded on values .", "O B-ORG I-ORG O O O O O"),
    ("Its seat is in Brussels , Strasbourg and Luxembourg .", "O O O O B-LOC O B-LOC O B-LOC O"),
    ("Everyone has the right to life .", "O O O O O O O"),
]
NAMES = ("O", "B-LOC", "B-ORG", "B-PER", "I-ORG", "I-PER")


def _rows(times: int = 4) -> list[dict[str, Any]]:
    return [{"tokens": text.split(), "ner_tags": tags.split()} for text, tags in SENTENCES * times]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    elif path.suffix == ".conll":
        lines = [
            "\n".join(f"{word} x {tag}" for word, tag in zip(row["tokens"], row["ner_tags"], strict=True))
            for row in rows
        ]
        path.write_text("-DOCSTART- x O\n\n" + "\n\n".join(lines))
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "parquet", "conll"])
def test_lists_of_words_with_as_many_tags_are_token_classification(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = load_task(_write(tmp_path / f"mine.{suffix}", _rows()))
    assert (task.task_type, task.metric, set(task.label_names)) == ("token_classification", "entity_f1", set(NAMES))
    assert task.label_names[0] == "O"
    assert (len(task.train), len(task.validation), len(task.test)) == (16, 2, 2)
    tagged = {" ".join(row["tokens"]): row["tags"] for split in task.splits.values() for row in split}
    assert [[task.label_names[tag] for tag in tagged[text]] for text, _ in SENTENCES] == [
        tags.split() for _, tags in SENTENCES
    ]
    column = "tags" if suffix == "conll" else "ner_tags"
    assert f"words from 'tokens', their tags from '{column}'" in caplog.text


def test_a_saved_dataset_with_numbered_tags_keeps_their_names(tmp_path: Path) -> None:
    rows = [{"words": row["tokens"], "pos": [NAMES.index(tag) for tag in row["ner_tags"]]} for row in _rows(1)]
    of_tags = hf_datasets.List(hf_datasets.ClassLabel(names=list(NAMES)))
    features = hf_datasets.Features({"words": hf_datasets.List(hf_datasets.Value("string")), "pos": of_tags})
    table = hf_datasets.Dataset.from_list(rows, features=features)
    hf_datasets.DatasetDict({"train": table, "validation": table}).save_to_disk(str(tmp_path / "saved"))
    task = load_task(tmp_path / "saved", table=TableOptions(text_column="words", label_column="pos", metric="f1_macro"))
    assert (sorted(task.label_names), task.metric, task.test) == (sorted(NAMES), "f1_macro", None)
    assert [task.label_names[tag] for tag in task.validation[1]["tags"]] == SENTENCES[1][1].split()


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        (
            [{"tokens": ["a", "b"], "tags": ["O", "B-X"]}, {"tokens": ["a", "b"], "tags": ["O"]}],
            "bad.jsonl, line 2: 'tokens' has 2 words and 'tags' 1 tags; every word needs one tag",
        ),
        ([{"tokens": ["a"], "tags": ["O"]}, {"tokens": [], "tags": []}], "line 2: 'tokens' is an empty list"),
        ([{"tokens": ["a"], "tags": ["O"]}, {"tokens": ["a"]}], "line 2: column 'tags' must be a list. Got nan"),
        ([{"tokens": ["a"], "tags": ["O"]}, {"tokens": [" "], "tags": ["O"]}], "line 2: 'tokens' must hold words"),
        ([{"tokens": ["a"], "tags": [None]}], "line 1: 'tags' holds an empty tag"),
        ([{"tokens": ["a"], "tags": ["O"]}] * 9, "needs at least two tags. All tags are 'O'"),
    ],
    ids=["unequal", "empty", "no tags", "blank word", "no tag", "one tag"],
)
def test_a_bad_row_is_told_with_its_line(rows: list[dict[str, Any]], message: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=re.escape(message)):
        load_task(_write(tmp_path / "bad.jsonl", rows))


def test_a_tag_that_training_does_not_have_is_told_with_its_line(tmp_path: Path) -> None:
    train = _write(tmp_path / "train.jsonl", _rows())
    other = [*_rows(1)[:1], {"tokens": ["Mars"], "ner_tags": ["B-PLANET"]}]
    validation = _write(tmp_path / "dev.jsonl", other)
    with pytest.raises(ValueError, match=r"dev.jsonl, line 2: tag 'B-PLANET', which training does not have"):
        load_task(train, table=TableOptions(validation_file=validation))


def test_a_line_of_another_width_is_told_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "bad.conll").write_text("a O\nb\n")
    with pytest.raises(ValueError, match=r"line 2 has 1 fields, the first one 2; needed are a word and, last, its tag"):
        load_task(tmp_path / "bad.conll")


def test_an_entity_measure_needs_tags_of_entities(tmp_path: Path) -> None:
    rows = [{"tokens": ["a", "dog"], "tags": ["DET", "NOUN"]}] * 9
    path = _write(tmp_path / "pos.jsonl", rows)
    assert load_task(path).metric == "accuracy"
    with pytest.raises(ValueError, match="'metric' entity_f1 needs tags like B-PER, I-PER and O"):
        load_task(path, table=TableOptions(metric="entity_f1"))
    with pytest.raises(ValueError, match=r"'metric' neg_log_loss does not fit 2 labels; use another metric"):
        load_task(path, table=TableOptions(metric="neg_log_loss"))
    with pytest.raises(ValueError, match=r"'metric' must be one of .*Got 'entity'"):
        load_task(path, table=TableOptions(metric="entity"))


@pytest.fixture(scope="module")
def task(tmp_path_factory: pytest.TempPathFactory) -> Task:
    return load_task(_write(tmp_path_factory.mktemp("tags") / "mine.jsonl", _rows()))


@pytest.mark.parametrize("max_length", [64, 8], ids=["whole", "in pieces"])
def test_only_the_first_sub_word_has_the_tag_and_no_word_is_lost(task: Task, max_length: int) -> None:
    tokenizer = build_tokenizer("train", ["a few other words"], vocab_size=300)  # words fall into letters
    rows = encode_tags(task.train, tokenizer, max_length)
    assert (len(rows) > len(task.train)) == (max_length == 8 or max(map(len, rows["input_ids"])) == max_length)
    assert max(map(len, rows["input_ids"])) <= max_length
    for example, original in enumerate(task.train):
        pieces = [row for row in rows if row["example"] == example]
        labels = [label for row in pieces for label in row["labels"]]
        assert [label for label in labels if label >= 0] == original["tags"]
        tokens = [t for row in pieces for t in tokenizer.convert_ids_to_tokens(row["input_ids"])]
        firsts = [t for t, label in zip(tokens, labels, strict=True) if label >= 0]
        assert all(
            word.lower().startswith(t.removeprefix("Ġ")) for word, t in zip(original["tokens"], firsts, strict=True)
        )
    outputs = np.zeros((len(rows), max_length, len(task.label_names)))
    for number, row in enumerate(rows):
        for place, label in enumerate(row["labels"]):
            outputs[number, place, label if label >= 0 else 1] = 1
    predicted, truth = sentences_of(outputs, rows)
    assert [row.tolist() for row in predicted] == [row.tolist() for row in truth] == task.train["tags"][:]


def test_entities_are_counted_whole() -> None:
    names = ["O", "B-PER", "I-PER", "B-LOC"]
    truth = [[1, 2, 0, 3], [1, 0, 3, -100]]
    predicted = [[1, 2, 0, 0], [1, 2, 3, 1]]  # found: PER(0,1), PER(0,1) too long, LOC; of four entities two
    measured = tag_metrics(predicted, truth, names, "entity_f1")
    assert measured["entity_precision"] == pytest.approx(2 / 3)
    assert measured["entity_recall"] == pytest.approx(2 / 4)
    assert measured["entity_f1"] == pytest.approx(2 * 2 / (3 + 4))
    assert measured["accuracy"] == pytest.approx(5 / 7)
    assert tag_metrics([[0, 0]], [[0, 0]], names, "entity_f1")["entity_f1"] == 0
    by_word = tag_metrics(predicted, truth, names, "f1_macro")
    assert set(by_word) == {"f1_macro", "accuracy"}
    with pytest.raises(ValueError, match="Text 1 has 1 predictions and 2 labels"):
        tag_metrics([[0], [0]], [[0], [0, 1]], names, "entity_f1")


@pytest.mark.parametrize(
    ("names", "is_scheme"),
    [
        ("O B I", True),
        ("O B-X L-X U-X I-X", True),
        ("B M E S", True),
        ("O B-X M-X E-X W-X", True),
        ("O I-X", True),
        ("O I", False),
        ("O B-X I", False),
        ("O L-X M-X", False),
        ("DET NOUN", False),
        ("O", False),
    ],
)
def test_schemes_of_entities_are_known(names: str, is_scheme: bool) -> None:
    assert is_entity_scheme(names.split()) == is_scheme


@pytest.mark.parametrize(
    ("names", "truth", "predicted"),
    [
        ("O B I", "B I B O B", "B I I O B"),  # entities of lengths 2, 1, 1; found 3, 1
        ("O B-X I-X L-X U-X", "B-X L-X U-X O U-X", "B-X I-X L-X O U-X"),
        ("O B-X M-X E-X S-X", "B-X E-X S-X O S-X", "B-X M-X E-X O S-X"),
        ("O B-X M-X E-X W-X", "B-X E-X W-X O W-X", "B-X M-X E-X O W-X"),
    ],
)
def test_entities_of_every_scheme_are_counted_whole(names: str, truth: str, predicted: str) -> None:
    ids = {name: number for number, name in enumerate(names.split())}
    rows = [[[ids[name] for name in row.split()]] for row in (predicted, truth)]
    measured = tag_metrics(*rows, names.split(), "entity_f1")
    assert (measured["entity_precision"], measured["entity_recall"]) == (pytest.approx(1 / 2), pytest.approx(1 / 3))


def test_tags_with_o_that_are_no_scheme_are_said(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert (
        load_task(_write(tmp_path / "a.jsonl", [{"tokens": ["a", "b"], "tags": ["PER", "O"]}] * 9)).metric == "accuracy"
    )
    assert "a.jsonl: tags are scored word by word, 'O' among them" in caplog.text


def test_prepared_tags_come_back_and_are_measured(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join(text for text, _ in SENTENCES * 9))
    path = _write(tmp_path / "mine.conll", _rows())
    options = DataOptions(task=str(path), corpus=(tmp_path / "corpus.txt",), vocab_size=300, max_length=32)
    data = options.prepare(tmp_path / "prepared", Console(quiet=True))
    assert json.loads((tmp_path / "prepared" / "task.json").read_text())["kind"] == "token_classification"
    assert (data.task_type, data.num_labels, data.problem_type) == ("token_classification", 6, None)
    longest = max(map(len, data.split("validation")["labels"]))
    nothing = np.zeros((len(data.split("validation")), longest, 6))
    nothing[..., 0] = 1
    words = [label for row in data.split("validation")["labels"] for label in row if label >= 0]
    share = words.count(0) / len(words)
    assert data.measure(nothing, "validation") == {
        "entity_f1": 0.0,
        "entity_precision": 0.0,
        "entity_recall": 0.0,
        "accuracy": pytest.approx(share),
    }
    assert data.majority_share("validation") == pytest.approx(share)
