"""Extractive question answering: the answer to a question is a piece of its context, as in SQuAD (Rajpurkar et al.
2016; 2018 with questions that have no answer).

A context that is longer than a model sees is read in windows that overlap (Devlin et al. 2019, section 4.2); a window
without the answer points at the first token. The answer of a model is the piece of the context with the highest sum of
its first token's and its last token's score, over all windows. Exact match and F1 are SQuAD's: of the texts in lower
case, without punctuation, articles and superfluous blanks, the best over the reference answers, the mean over
questions. Letters: ``N`` windows, ``S`` tokens.
"""

import re
import string
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import datasets as hf_datasets
import numpy as np
import numpy.typing as npt
import pandas as pd
from transformers import PreTrainedTokenizerBase

from ..metrics import Metrics
from .token_classification import is_list

ANSWER_METRICS = ("answer_f1", "exact_match")
QUESTION_NAMES = ("question", "query")
CONTEXT_NAMES = ("context", "passage", "paragraph", "document")
ANSWER_NAMES = ("answers", "answer")
MOST_ANSWER_TOKENS = 30
_INPUTS = ("input_ids", "attention_mask", "token_type_ids")
_PART = 1000  # questions whose windows are lists of numbers at a time
_STRING, _INT = hf_datasets.Value("string"), hf_datasets.Value("int64")
_FEATURES = hf_datasets.Features(
    {
        "question": _STRING,
        "context": _STRING,
        "answers": hf_datasets.List(_STRING),
        "answer_starts": hf_datasets.List(_INT),
    }
)
_ARTICLES = re.compile(r"\b(a|an|the)\b")
_PUNCTUATION = str.maketrans("", "", string.punctuation)


def question_columns(
    frame: pd.DataFrame, question: str | None, context: str | None, answers: str | None
) -> tuple[str, str, str] | None:
    """The columns of questions, contexts and answers: those named, or guessed; None when no column holds answers with
    the places where they start."""
    known = {str(name).lower(): str(name) for name in frame.columns}

    def found(given: str | None, names: Sequence[str]) -> str | None:
        return given or next((known[name] for name in names if name in known), None)

    columns = found(question, QUESTION_NAMES), found(context, CONTEXT_NAMES), found(answers, ANSWER_NAMES)
    if columns[2] not in frame.columns or not frame[columns[2]].map(_is_answer).any():
        return None
    missing = [what for what, name in zip(("questions", "contexts"), columns, strict=False) if name is None]
    if missing:
        raise ValueError(
            f"The answers in '{columns[2]}' need columns of {' and of '.join(missing)}; name them (text_column, "
            f"text_pair_column). The columns: {', '.join(map(str, frame.columns))}"
        )
    return columns  # type: ignore[return-value]


def _is_answer(cell: object) -> bool:
    if is_list(cell) and len(cell):  # type: ignore[arg-type]
        cell = cell[0]  # type: ignore[index]
    return isinstance(cell, Mapping) and "text" in cell and "answer_start" in cell


def question_rows(frame: pd.DataFrame, origin: str, unit: str, columns: tuple[str, str, str]) -> hf_datasets.Dataset:
    """A split of a task: ``question``, ``context``, and of each reference answer its text in ``answers`` and its first
    character in ``answer_starts``; none for a question without an answer.

    Raises:
        ValueError: naming the first row that has no question or context, or an answer that is not in its context at
            its place.
    """
    rows: dict[str, list[Any]] = {name: [] for name in _FEATURES}
    for place, question, context, cell in zip(frame.index, *(frame[name] for name in columns), strict=True):
        where = f"{origin}, {unit} {place}"
        for column, text in zip(columns, (question, context), strict=False):
            if not isinstance(text, str) or not text.strip():
                got = "nothing" if pd.api.types.is_scalar(text) and pd.isna(text) else repr(text)
                raise ValueError(f"{where}: column '{column}' must be a text. Got {got}")
        answers = _answers(cell, where, columns[2])
        for text, start in answers:
            _check_answer(text, start, context, where)
        rows["question"].append(question)
        rows["context"].append(context)
        rows["answers"].append([text for text, _ in answers])
        rows["answer_starts"].append([start for _, start in answers])
    return hf_datasets.Dataset.from_dict(rows, features=_FEATURES)


def _answers(cell: Any, where: str, column: str) -> list[tuple[str, int]]:
    """The texts and starts in a cell: ``{"text": [...], "answer_start": [...]}``, ``{"text": ..., "answer_start":
    ...}`` or a list of the latter."""
    try:
        if isinstance(cell, Mapping):
            texts, starts = cell["text"], cell["answer_start"]
            if isinstance(texts, str):
                texts, starts = [texts], [starts]
        else:
            texts, starts = (
                zip(*((one["text"], one["answer_start"]) for one in cell), strict=True) if len(cell) else ((), ())
            )
        return [(str(text), int(start)) for text, start in zip(texts, starts, strict=True)]
    except (KeyError, TypeError, ValueError):
        raise ValueError(
            f'{where}: column \'{column}\' must hold {{"text": [...], "answer_start": [...]}}, as many starts as '
            f"texts. Got {str(cell)[:80]}"
        ) from None


def _check_answer(text: str, start: int, context: str, where: str) -> None:
    if not text.strip():
        raise ValueError(f"{where}: an answer is empty; a question without an answer has an empty list of them")
    if start < 0 or context[start : start + len(text)] != text:
        there = context.find(text)
        hint = f"it is at {there}" if there >= 0 else "it is nowhere in the context"
        raise ValueError(f"{where}: the answer {text!r} is not in its context at character {start}; {hint}")


def encode_questions(
    rows: hf_datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> hf_datasets.Dataset:
    """The questions in windows of ``max_length`` tokens, a quarter of them shared with the next.

    Columns: ``input_ids``, ``attention_mask``, ``token_type_ids``;
    ``start_positions`` and ``end_positions`` of the first reference answer, 0 when it is not in the window;
    ``example``; ``starts`` and ``ends``: the characters of the context that each token stands for, -1 of tokens that
    are not of it. Questions are cut to half of a window.
    """
    parts = [
        hf_datasets.Dataset.from_dict(
            _windows(rows, range(start, min(start + _PART, len(rows))), tokenizer, max_length)
        )
        for start in range(0, len(rows), _PART)
    ]
    return hf_datasets.concatenate_datasets(parts)


def _windows(
    rows: hf_datasets.Dataset, numbers: range, tokenizer: PreTrainedTokenizerBase, max_length: int
) -> dict[str, list[Any]]:
    most = max(1, max_length // 2 - tokenizer.num_special_tokens_to_add(pair=True))
    columns: dict[str, list[Any]] = {}
    for number in numbers:
        row = rows[number]
        encoded = tokenizer(
            _shortened(row["question"], tokenizer, most),
            row["context"],
            truncation="only_second",
            max_length=max_length,
            stride=max_length // 4,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
            return_token_type_ids=True,
        )
        first = (row["answer_starts"][0], row["answers"][0]) if row["answers"] else None
        for window, offsets in enumerate(encoded["offset_mapping"]):
            in_context = np.asarray([side == 1 for side in encoded.sequence_ids(window)])
            starts, ends = (np.where(in_context, side, -1) for side in np.asarray(offsets).T)
            position = _position(first, starts, ends)
            values = {name: encoded[name][window] for name in _INPUTS}
            values |= {"start_positions": position[0], "end_positions": position[1], "example": number}
            for name, value in (values | {"starts": starts.tolist(), "ends": ends.tolist()}).items():
                columns.setdefault(name, []).append(value)
    return columns


def _shortened(question: str, tokenizer: PreTrainedTokenizerBase, most: int) -> str:
    offsets = tokenizer(question, add_special_tokens=False, return_offsets_mapping=True)["offset_mapping"]
    return question if len(offsets) <= most else question[: offsets[most - 1][1]]


def _position(answer: tuple[int, str] | None, starts_S: npt.NDArray[Any], ends_S: npt.NDArray[Any]) -> tuple[int, int]:
    """The first and the last token of an answer; (0, 0) when the window does not hold all of it."""
    if answer is None or not (starts_S >= 0).any():
        return 0, 0
    first, last = answer[0], answer[0] + len(answer[1])
    inside = np.flatnonzero((starts_S >= 0) & (ends_S > first) & (starts_S < last) & (ends_S > starts_S))
    if not len(inside) or starts_S[starts_S >= 0].min() > first or ends_S.max() < last:
        return 0, 0
    return int(inside[0]), int(inside[-1])


def best_answers(
    outputs: npt.ArrayLike, rows: hf_datasets.Dataset, contexts: Sequence[str], *, may_lack_answers: bool
) -> list[str]:
    """The answer to each question, as it stands in its context; empty where there is none.

    Args:
        outputs: ``(N, 2, S)``: of encoded ``rows``, padded to the longest, how much each token is the first and the
            last.
        contexts: of each question.
        may_lack_answers: whether there may be none: when the first token's scores are higher than any answer's, in the
            window where they are lowest.
    """
    answers, scores, nothing = [""] * len(contexts), np.full(len(contexts), -np.inf), np.full(len(contexts), np.inf)
    for row, (first_S, last_S) in zip(
        rows.select_columns(["example", "starts", "ends"]), np.asarray(outputs), strict=True
    ):
        number, starts, ends = row["example"], np.asarray(row["starts"]), np.asarray(row["ends"])
        nothing[number] = min(nothing[number], first_S[0] + last_S[0])
        (places,) = np.nonzero(ends > starts)
        if not len(places):
            continue
        # (first, last - first): context tokens are side by side
        lengths = min(MOST_ANSWER_TOKENS, len(places))
        last = np.pad(last_S[places], (0, lengths - 1), constant_values=-np.inf)
        sums = first_S[places][:, None] + np.lib.stride_tricks.sliding_window_view(last, lengths)
        begin, more = divmod(int(sums.argmax()), lengths)
        if sums[begin, more] > scores[number]:
            scores[number] = sums[begin, more]
            answers[number] = contexts[number][starts[places[begin]] : ends[places[begin + more]]].strip()
    if may_lack_answers:
        answers = [text if scores[number] > nothing[number] else "" for number, text in enumerate(answers)]
    return answers


def answer_metrics(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> Metrics:
    """The metrics of SQuAD, ``answer_f1`` and ``exact_match``, in [0, 1].

    Args:
        predictions: an answer to each question.
        references: right answers to each; none for a question without an answer, which an empty one answers.

    Raises:
        ValueError: when there are not as many references as predictions, or none.
    """
    if len(predictions) != len(references) or not len(predictions):
        raise ValueError(f"Every question needs one prediction. Got {len(predictions)} for {len(references)} questions")
    f1 = exact = 0.0
    for predicted, right in zip(predictions, references, strict=True):
        words = _normalized(predicted)
        wanted = [_normalized(text) for text in right] or [[]]
        exact += max(words == one for one in wanted)
        f1 += max(_overlap_f1(words, one) for one in wanted)
    return {"answer_f1": f1 / len(predictions), "exact_match": exact / len(predictions)}


def _normalized(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation and articles."""
    return _ARTICLES.sub(" ", text.lower().translate(_PUNCTUATION)).split()


def _overlap_f1(predicted: Sequence[str], right: Sequence[str]) -> float:
    if not predicted or not right:
        return float(predicted == right)
    common = sum((Counter(predicted) & Counter(right)).values())
    return 2 * common / (len(predicted) + len(right))
