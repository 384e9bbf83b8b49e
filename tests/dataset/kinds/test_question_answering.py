"""Extractive question answering: questions read, cut into windows, answered and measured."""

import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from rich.console import Console

from dataset import TableOptions, build_tokenizer, load_task
from dataset.kinds.question_answering import answer_metrics, best_answers, encode_questions, question_rows
from dataset.prepare import DataOptions

CONTEXT = (
    "Everyone charged with a penal offence has the right to be presumed innocent until proved guilty according to law "
    "in a public trial at which he has had all the guarantees necessary for his defence."
)
ANSWERS = {"Until when is one presumed innocent?": "until proved guilty", "Where is guilt proved?": "a public trial"}


def _row(question: str, answer: str, number: int = 0) -> dict[str, Any]:
    context = f"Article {number}. {CONTEXT}"
    return {
        "question": question,
        "context": context,
        "answers": {"text": [answer], "answer_start": [context.index(answer)]},
    }


def _rows(times: int = 10) -> list[dict[str, Any]]:
    return [_row(question, answer, number) for number in range(times) for question, answer in ANSWERS.items()]


def _write(path: Path, rows: list[dict[str, Any]]) -> Path:
    if path.suffix == ".parquet":
        pd.DataFrame(rows).to_parquet(path)
    else:
        path.write_text("\n".join(map(json.dumps, rows)))
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "parquet"])
def test_questions_with_answers_and_their_places_are_question_answering(
    suffix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    task = load_task(_write(tmp_path / f"mine.{suffix}", [{"id": str(i), **row} for i, row in enumerate(_rows())]))
    assert (task.task_type, task.metric, task.may_lack_answers) == ("question_answering", "answer_f1", False)
    assert (len(task.train), len(task.validation), len(task.test)) == (16, 2, 2)
    contexts = [set(split["context"]) for split in task.splits.values()]
    assert [len(one) for one in contexts] == [8, 1, 1]  # both questions on a context in one split
    assert len(set.union(*contexts)) == 10
    row = task.train[0]
    assert row["context"][row["answer_starts"][0] :].startswith(row["answers"][0])
    assert "questions from 'question', contexts from 'context', answers from 'answers'" in caplog.text


def test_named_columns_and_questions_without_an_answer(tmp_path: Path) -> None:
    rows = [
        {"q": row["question"], "c": row["context"], "a": [{"text": "Article", "answer_start": 0}] if i % 2 else []}
        for i, row in enumerate(_rows())
    ]
    options = TableOptions(text_column="q", text_pair_column="c", label_column="a", metric="exact_match")
    task = load_task(_write(tmp_path / "mine.jsonl", rows), table=options)
    assert (task.metric, task.may_lack_answers) == ("exact_match", True)
    assert sorted(map(len, task.train["answers"])) == [0] * 8 + [1] * 8


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"answers": {"text": ["a public trial"], "answer_start": [3]}},
            "line 2: the answer 'a public trial' is not in its context at character 3; it is at 127",
        ),
        (
            {"answers": {"text": ["a secret trial"], "answer_start": [3]}},
            "line 2: the answer 'a secret trial' is not in its context at character 3; it is nowhere in the context",
        ),
        ({"answers": {"text": ["a", "b"], "answer_start": [0]}}, "line 2: column 'answers' must hold"),
        ({"answers": "a public trial"}, "line 2: column 'answers' must hold"),
        ({"answers": {"text": [""], "answer_start": [0]}}, "line 2: an answer is empty"),
        ({"context": ""}, "line 2: column 'context' must be a text. Got ''"),
        ({"question": None}, "line 2: column 'question' must be a text. Got nothing"),
    ],
    ids=["elsewhere", "nowhere", "unequal", "no place", "empty", "no context", "no question"],
)
def test_a_bad_row_is_told_with_its_line(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    rows = _rows()
    rows[1] |= change
    with pytest.raises(ValueError, match=re.escape(message)):
        load_task(_write(tmp_path / "bad.jsonl", rows))


def test_answers_without_contexts_are_refused(tmp_path: Path) -> None:
    rows = [{"question": "q", "text": "t", "answers": {"text": ["t"], "answer_start": [0]}}]
    with pytest.raises(ValueError, match=r"The answers in 'answers' need columns of contexts; name them"):
        load_task(_write(tmp_path / "bad.jsonl", rows))


def _encoded(max_length: int) -> tuple[Any, list[str]]:
    rows = question_rows(pd.DataFrame(_rows(3)), "here", "row", ("question", "context", "answers"))
    tokenizer = build_tokenizer("train", [CONTEXT, *ANSWERS], vocab_size=400)
    return encode_questions(rows, tokenizer, max_length), rows["context"][:]


@pytest.mark.parametrize("max_length", [128, 48, 24], ids=["whole", "windows", "narrow"])
def test_right_scores_give_back_the_answers_from_any_window(max_length: int) -> None:
    windows, contexts = _encoded(max_length)
    assert max(map(len, windows["input_ids"])) <= max_length
    assert (len(windows) > 6) == (max_length < 128)
    outputs = np.full((len(windows), 2, max_length + 3), -100.0)
    for number, row in enumerate(windows):
        outputs[number, :, : len(row["input_ids"])] = 0.0
        if row["end_positions"]:
            outputs[number, 0, row["start_positions"]] = outputs[number, 1, row["end_positions"]] = 5.0
    found = best_answers(outputs, windows, contexts, may_lack_answers=False)
    assert found == [*ANSWERS.values()] * 3
    for number in range(6):  # every character of a context is in a window
        starts = [start for row in windows if row["example"] == number for start in row["starts"] if start >= 0]
        ends = [end for row in windows if row["example"] == number for end in row["ends"]]
        assert (min(starts), max(ends)) == (0, len(contexts[number]))


def test_no_answer_is_given_where_the_first_token_scores_higher() -> None:
    windows, contexts = _encoded(128)
    outputs = np.zeros((6, 2, 128))
    outputs[:3, :, 0] = 9.0
    found = best_answers(outputs, windows, contexts, may_lack_answers=True)
    assert found[:3] == ["", "", ""]
    outputs[3:, 0, windows[3]["start_positions"]] = 1.0
    assert all(best_answers(outputs, windows, contexts, may_lack_answers=True)[3:])
    assert all(best_answers(outputs, windows, contexts, may_lack_answers=False))


def test_an_answer_does_not_end_before_it_begins() -> None:
    windows, contexts = _encoded(128)
    outputs = np.zeros((6, 2, 128))
    row = windows[0]
    outputs[0, 0, row["end_positions"]] = outputs[0, 1, row["start_positions"]] = 5.0
    found = best_answers(outputs, windows, contexts, may_lack_answers=False)[0]
    assert found
    assert found != "until proved guilty"


def test_exact_match_and_f1_are_those_of_squad() -> None:
    measured = answer_metrics(
        ["The Public  Trial!", "guilty until proved", "in law", ""],
        [["a public trial"], ["until proved guilty", "proved"], ["the public law court"], []],
    )
    # 1; all words, in another order: 1; one of 2 and one of 3 words: 2 / 5; rightly nothing: 1
    assert measured == {"answer_f1": pytest.approx((1 + 1 + 2 / 5 + 1) / 4), "exact_match": 2 / 4}
    assert answer_metrics(["something"], [[]]) == {"answer_f1": 0.0, "exact_match": 0.0}
    with pytest.raises(ValueError, match="Every question needs one prediction. Got 1 for 2 questions"):
        answer_metrics(["a"], [["a"], ["b"]])


def test_prepared_questions_come_back_and_are_measured(tmp_path: Path) -> None:
    (tmp_path / "corpus.txt").write_text("\n".join([CONTEXT, *ANSWERS] * 9))
    path = _write(tmp_path / "mine.jsonl", _rows())
    options = DataOptions(task=str(path), corpus=(tmp_path / "corpus.txt",), vocab_size=300, max_length=48)
    data = options.prepare(tmp_path / "prepared", Console(quiet=True))
    assert (data.task_type, data.num_labels, data.is_regression) == ("question_answering", 2, False)
    assert data.majority_share("validation") is None
    outputs = np.zeros((len(data.split("validation")), 2, 48))
    for number, row in enumerate(data.split("validation")):
        if row["end_positions"]:
            outputs[number, 0, row["start_positions"]] = outputs[number, 1, row["end_positions"]] = 1.0
    assert data.measure(outputs, "validation") == {"answer_f1": 1.0, "exact_match": 1.0}
