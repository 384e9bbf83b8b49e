"""Columns guessed: pairs under names of their own, headers that are missing, and what is not used."""

import json
from pathlib import Path

import pandas as pd
import pytest

from dataset import TableOptions, load_task

TAGS = ("bad", "good")


def _write(path: Path, header: str, rows: list[str]) -> Path:
    path.write_text("\n".join([header, *rows] if header else rows) + "\n")
    return path


@pytest.mark.parametrize("names", ["left,right", "note_a,note_b", "Title 1,Title 2", "a,b"])
def test_two_columns_of_texts_under_names_that_differ_in_a_side_are_a_pair(tmp_path: Path, names: str) -> None:
    rows = [f"boat {i} came in,a ship came in {i},{TAGS[i % 2]}" for i in range(20)]
    task = load_task(_write(tmp_path / "mine.csv", f"{names},same", rows))
    assert task.is_paired
    assert task.train[0]["text"].startswith("boat")
    assert task.train[0]["text_pair"].startswith("a ship")


@pytest.mark.parametrize("names", ["#1 String,#2 String", "one,two", "title,body"])
def test_the_only_two_columns_of_sentences_are_a_pair_whatever_their_names(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: str
) -> None:
    rows = [f"{i},boat {i} came in,a ship came in {i},Ada Lovelace,{TAGS[i % 2]}" for i in range(20)]
    task = load_task(_write(tmp_path / "mine.csv", f"id,{names},author,same", rows))
    assert (task.train[0]["text"].split()[0], task.train[0]["text_pair"].split()[0]) == ("boat", "a")
    assert f"pairs of texts from '{names.replace(',', chr(39) + ' and ' + chr(39))}'" in caplog.text
    named = load_task(tmp_path / "mine.csv", table=TableOptions(text_column=names.split(",")[1]))
    assert not named.is_paired


@pytest.mark.parametrize("names", ["score1,score2", "left,right"])
def test_numbers_are_no_pair_and_columns_left_out_are_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, names: str
) -> None:
    rows = [f"{i},{i + 1},boat {i} came in,{TAGS[i % 2]}" for i in range(20)]
    task = load_task(_write(tmp_path / "mine.csv", f"{names},words,same", rows))
    assert not task.is_paired
    unused = " and ".join(names.split(",")).replace(" and ", "', '")
    assert f"labels from 'same', texts from 'words'; not used: '{unused}'" in caplog.text


@pytest.mark.parametrize(
    "label", [lambda i: TAGS[i % 2], lambda i: i % 2, lambda i: i + 0.5], ids=["word", "class", "amount"]
)
def test_a_header_like_a_row_is_refused(tmp_path: Path, label) -> None:
    rows = [f"boat {i} came in,{label(i)}" for i in range(40)]
    path = _write(tmp_path / "mine.csv", "", rows)
    with pytest.raises(ValueError, match=f"mine.csv seems to lack a header: .* call the labels '{label(0)}'"):
        load_task(path)
    named = TableOptions(text_column="boat 0 came in", label_column=str(label(0)))
    assert sum(map(len, load_task(path, table=named).splits.values())) == 39


@pytest.mark.parametrize("header", ["text,good", "0,1", "text,2024"])
def test_a_header_with_usual_names_or_numbers_from_0_is_one(tmp_path: Path, header: str) -> None:
    labels = {"text,good": TAGS, "0,1": (0, 1), "text,2024": (3, 4)}[header]
    rows = [f"boat {i} came in,{labels[i % 2]}" for i in range(40)]
    assert load_task(_write(tmp_path / "mine.csv", header, rows)).num_labels == 2


def test_lists_are_no_texts_and_a_column_called_label_is_the_labels(tmp_path: Path) -> None:
    rows = [{"body": f"boat {i}", "spans": ["a long one"] * 9, "label": TAGS[i % 2]} for i in range(20)]
    path = _write(tmp_path / "mine.jsonl", "", list(map(json.dumps, rows)))
    task = load_task(path)
    assert (task.label_names, task.train[0]["text"][:4]) == (TAGS, "boat")
    with pytest.raises(ValueError, match="lines 1, 2, .*column 'spans' holds a list or an object, no text"):
        load_task(path, table=TableOptions(text_column="spans"))
    pd.DataFrame({"text": [b"boat", b"ship"] * 9, "label": TAGS * 9}).to_parquet(tmp_path / "mine.parquet")
    with pytest.raises(ValueError, match="mine.parquet, rows 1, 2, .*column 'text' holds a list or an object, no text"):
        load_task(tmp_path / "mine.parquet")


def test_a_column_that_is_the_same_everywhere_is_not_guessed(tmp_path: Path) -> None:
    rows = [f"{i},boat {i} came in,US,{TAGS[i % 2]}" for i in range(20)]
    assert load_task(_write(tmp_path / "mine.csv", ",review,country,recommended", rows)).label_names == TAGS


def test_questions_with_places_of_answers_are_no_amounts(tmp_path: Path) -> None:
    rows = [f"Which boat {i} came?,The boat {i} came in,boat {i},{i}" for i in range(40)]
    with pytest.raises(ValueError, match="seems to hold questions and answers. Save these as JSONL, with a column"):
        load_task(_write(tmp_path / "mine.csv", "question,context,answer,answer_start", rows))
