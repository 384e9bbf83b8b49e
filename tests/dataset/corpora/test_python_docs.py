"""The embedded text: learnable, without leaks, the same in every process."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import datasets as hf_datasets
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.naive_bayes import ComplementNB
from sklearn.pipeline import make_pipeline

from dataset.corpora.docstrings import module_docstrings, paragraphs, passages, sentences, standard_modules
from dataset.corpora.python_docs import _chapter_of, split_of
from dataset.task import Task, majority_share

ROOT = Path(__file__).resolve().parents[3]
FINGERPRINT = (
    "import hashlib; from dataset.corpora.python_docs import python_docs_task as t, python_docs_corpus as c; k = t(); "
    "print(hashlib.sha256(repr([[s[:] for s in (p['text'], p['label'])] for p in k.splits.values()]"
    " + [c()['text'][:]]).encode()).hexdigest())"
)


def test_there_is_enough_of_every_class(embedded_task: Task) -> None:
    assert len(embedded_task.train) >= 3000
    assert min(len(embedded_task.validation), len(embedded_task.test)) >= 500
    for split in embedded_task.splits.values():
        assert set(split["label"][:]) == set(range(embedded_task.num_labels))
    train = embedded_task.train["label"][:]
    assert max(majority_share(train, split["label"][:]) for split in embedded_task.splits.values()) < 0.3


def test_words_predict_the_class_of_unseen_modules(embedded_task: Task) -> None:
    model = make_pipeline(TfidfVectorizer(sublinear_tf=True, min_df=2), ComplementNB())
    model.fit(embedded_task.train["text"][:], embedded_task.train["label"][:])
    accuracy = model.score(embedded_task.test["text"][:], embedded_task.test["label"][:])
    assert accuracy > majority_share(embedded_task.train["label"][:], embedded_task.test["label"][:]) + 0.25


def test_every_passage_comes_from_a_module_of_its_split_and_class(embedded_task: Task) -> None:
    origin: dict[str, set[tuple[str, str | None]]] = {}
    for module in standard_modules():
        for text in module_docstrings(module):
            for piece in passages(text, words=32):
                origin.setdefault(piece, set()).add((split_of(module), _chapter_of(module)))
    for name, split in embedded_task.splits.items():
        for row in split:
            assert (name, embedded_task.label_names[row["label"]]) in origin[row["text"]]


def test_no_sentence_of_one_split_is_in_another(embedded_task: Task) -> None:
    found = [{s for text in split["text"] for s in sentences(text)} for split in embedded_task.splits.values()]
    assert not found[0] & found[1] | found[0] & found[2] | found[1] & found[2]


def test_the_corpus_has_no_sentence_of_validation_or_test(
    embedded_task: Task, embedded_corpus: hf_datasets.Dataset
) -> None:
    corpus = {sentence for text in embedded_corpus["text"] for sentence in sentences(text)}
    for split in ("validation", "test"):
        assert not corpus & {s for text in embedded_task.splits[split]["text"] for s in sentences(text)}
    assert sum(len(text.split()) for text in embedded_corpus["text"]) > 150_000


def test_another_process_with_another_hash_seed_makes_the_same(
    embedded_task: Task, embedded_corpus: hf_datasets.Dataset
) -> None:
    other = subprocess.run(
        [sys.executable, "-c", FINGERPRINT],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    here = [[s[:] for s in (p["text"], p["label"])] for p in embedded_task.splits.values()]
    digest = hashlib.sha256(repr([*here, embedded_corpus["text"][:]]).encode()).hexdigest()
    assert other.stdout.strip() == digest


def test_prose_loses_examples_and_markup() -> None:
    text = (
        "Return the *first* item of :class:`list` that is ``true`` here."
        "\n\n>>> print(song)\nseven words of song that look like prose\n\nx = {1: 2}; y = [3]; z = (4)"
    )
    assert paragraphs(text) == ["Return the first item of list that is true here."]


def test_an_abbreviation_ends_no_sentence() -> None:
    assert sentences("Use a list, e.g. The first. Then stop.") == ["Use a list, e.g. The first.", "Then stop."]


@pytest.mark.parametrize("part", ["tkinter", "test", "tests", "idlelib", "lib2to3", "site-packages"])
def test_tests_and_what_is_shipped_apart_are_left_out(part: str) -> None:
    assert not [module for module in standard_modules() if part in module.split(".")]
    assert "email.message" in standard_modules()
