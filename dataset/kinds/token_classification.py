"""Token classification: every word of a text has a tag, as in named-entity recognition and part-of-speech tagging.

A text is a list of words; words become sub-words, of which the first carries the tag and the others -100, which no loss
and no measure counts (Devlin et al. 2019, section 5.3). Texts that are too long go on in a further row, so no word is
lost. Tags like ``B-PER``, ``I-PER`` and ``O`` are measured by entities: precision, recall and F1 of whole entities as
conlleval counts them (Tjong Kim Sang and De Meulder 2003), by ``seqeval``; other tags by scikit-learn, word by word.
Letters: ``N`` rows, ``S`` sub-words, ``C`` tags.
"""

import re
import warnings
from collections.abc import Sequence
from itertools import groupby
from typing import Any

import datasets as hf_datasets
import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.exceptions import UndefinedMetricWarning
from transformers import PreTrainedTokenizerBase

from design_space.files import short

from ..metrics import Metrics, find_metric

TOKEN_NAMES = ("tokens", "words", "text", "sentence")
TAG_NAMES = ("tags", "ner_tags", "labels", "label", "ner", "pos_tags", "pos", "upos", "chunk_tags")
ENTITY_F1 = "entity_f1"
IGNORED = -100
_OUTSIDE = "O"  # the tag of a word that is in no entity
_BLANKS = " \t\r\n"  # other spaces, as the one that joins two words, are part of a word
_WHOLE, _POINT_ZERO = re.compile(r"[-+]?\d+"), re.compile(r"([-+]?\d+)\.0*")
_ENTITY_TAG = re.compile(r"([BIESLUMW])(?:-(.+))?")
_SCHEMES = ("BIO", "BIOES", "BILOU", "BMOES", "BMEWO")
_AS_IOBES = str.maketrans("LUMW", "ESIS")
_FEATURES = hf_datasets.Features(
    {
        "tokens": hf_datasets.List(hf_datasets.Value("string")),
        "tags": hf_datasets.List(hf_datasets.Value("int64")),
    }
)


def tag_columns(frame: pd.DataFrame, tokens: str | None, tags: str | None) -> tuple[str, str] | None:
    """The columns of words and of tags: those named, or guessed; None when the table has no lists of words beside
    another column of lists."""
    listed = [str(name) for name in frame.columns if frame[name].map(is_list).any()]
    words = [name for name in listed if _holds_words(frame[name])]
    tokens = tokens or next((name for name in TOKEN_NAMES if name in words), None)
    if tokens not in words:
        return None
    rest = [name for name in listed if name != tokens]
    tags = tags or next((name for name in TAG_NAMES if name in rest), rest[0] if len(rest) == 1 else None)
    return (tokens, tags) if tags in rest else None


def is_list(value: object) -> bool:
    """Whether a cell is a list, as JSONL or Parquet give it."""
    return isinstance(value, (list, np.ndarray))


def _holds_words(cells: pd.Series) -> bool:
    first = next((cell for cell in cells if is_list(cell) and len(cell)), None)
    return first is not None and all(isinstance(word, str) for word in first)


def tagged_rows(frame: pd.DataFrame, origin: str, unit: str, tokens: str, tags: str) -> pd.DataFrame:
    """The columns ``tokens`` and ``tags``: lists of strings, of equal length in a row.

    Raises:
        ValueError: naming the first row where they are not, or where a tag is no name and no whole number, or -100.
    """
    rows = {}
    for place, words, names in zip(frame.index, frame[tokens], frame[tags], strict=True):
        where = f"{origin}, {unit} {place}"
        for column, cell in ((tokens, words), (tags, names)):
            if not is_list(cell):
                raise ValueError(f"{where}: column '{column}' must be a list. Got {cell!r}")
        if len(words) != len(names):
            raise ValueError(
                f"{where}: '{tokens}' has {len(words)} words and '{tags}' {len(names)} tags; every word needs one tag"
            )
        if len(words) == 0:
            raise ValueError(f"{where}: '{tokens}' is an empty list; leave the row out")
        wrong = [word for word in words if not isinstance(word, str) or not word.strip(_BLANKS)]
        if wrong:
            raise ValueError(f"{where}: '{tokens}' must hold words. Got {wrong[0]!r}")
        try:
            rows[place] = [str(word).strip(_BLANKS) for word in words], list(map(_as_tag, names))
        except ValueError as error:
            raise ValueError(f"{where}: '{tags}' {error}") from None
    return pd.DataFrame(list(rows.values()), columns=["tokens", "tags"], index=list(rows))


def as_name(label: Any) -> str:
    """A label or tag as a text without blanks around it; 1.0 is 1."""
    text = str(label).strip()
    whole = _POINT_ZERO.fullmatch(text)
    return whole[1] if whole else text


def _as_tag(tag: Any) -> str:
    """A tag as a text; 1.0 is 1. Raises ``ValueError`` with the reason why it is none."""
    is_single = isinstance(tag, (str, int, float, np.number, np.bool_))
    text = as_name(tag)
    if tag is None or (is_single and (tag != tag or not text)):
        raise ValueError("holds an empty tag")
    if not is_single or (isinstance(tag, (float, np.floating)) and not _WHOLE.fullmatch(text)):
        raise ValueError(f"must hold names or whole numbers. Got {short(tag)}")
    if text == str(IGNORED):
        raise ValueError(
            f"holds {IGNORED}, which is no tag. Tags are names or other whole numbers; give words without one a tag of "
            "their own, or leave such rows out"
        )
    return text


def tag_names(tags: pd.Series) -> tuple[str, ...]:
    """The names of the tags by id: ``O`` first, then numbers by their value and all else by the alphabet."""
    names = {name for row in tags for name in row}
    if len(names) < 2:
        raise ValueError(f"A task needs at least two tags. All tags are {min(names)!r}")
    values = {name: float(name) if _WHOLE.fullmatch(name) else np.inf for name in names}
    return tuple(sorted(names, key=lambda name: (name != _OUTSIDE, values[name], name)))


def is_entity_scheme(names: Sequence[str]) -> bool:
    """Whether tags say where entities begin and end (IOB1, IOB2, IOBES, BILOU, BMES, BMEWO), of a type or, where there
    is one type alone, as B, I and O."""
    found = [_ENTITY_TAG.fullmatch(name) for name in names if name != _OUTSIDE]
    parts = [(tag[1], tag[2]) for tag in found if tag is not None]
    letters, types = {letter for letter, _ in parts}, {kind is not None for _, kind in parts}
    is_scheme = len(parts) == len(found) > 0 and any(letters <= set(scheme) for scheme in _SCHEMES)
    return is_scheme and len(types) == 1 and (types == {True} or "B" in letters)


def tag_split(rows: pd.DataFrame, names: Sequence[str], origin: str, unit: str) -> hf_datasets.Dataset:
    """A split of a task.

    Raises:
        ValueError: naming the first row with a tag that training does not have.
    """
    ids = {name: number for number, name in enumerate(names)}
    for place, tags in rows["tags"].items():
        unknown = [name for name in tags if name not in ids]
        if unknown:
            raise ValueError(
                f"{origin}, {unit} {place}: tag {unknown[0]!r}, which training does not have. "
                f"Training has {', '.join(names)}"
            )
    encoded = [[ids[name] for name in tags] for tags in rows["tags"]]
    return hf_datasets.Dataset.from_dict({"tokens": rows["tokens"].tolist(), "tags": encoded}, features=_FEATURES)


def encode_tags(rows: hf_datasets.Dataset, tokenizer: PreTrainedTokenizerBase, max_length: int) -> hf_datasets.Dataset:
    """The columns ``input_ids``, ``attention_mask``, ``labels`` of each sub-word, and ``example``: the text that a row
    belongs to, of which a long one has several rows."""
    columns: dict[str, list[Any]] = {"input_ids": [], "attention_mask": [], "labels": [], "example": []}
    for number, (words, tags) in enumerate(zip(rows["tokens"], rows["tags"], strict=True)):
        word_of_char = np.concatenate([[index] * (len(word) + 1) for index, word in enumerate(words)])
        encoded = tokenizer(
            " ".join(words),
            truncation=True,
            max_length=max_length,
            return_overflowing_tokens=True,
            return_offsets_mapping=True,
        )
        last = -1  # the last word that has its tag
        for ids, offsets in zip(encoded["input_ids"], encoded["offset_mapping"], strict=True):
            labels = []
            for start, end in offsets:
                word = int(word_of_char[end - 1]) if end > start else last  # some tokens begin with the blank before
                labels.append(int(tags[word]) if word > last else IGNORED)
                last = max(word, last)
            columns["input_ids"].append(ids)
            columns["attention_mask"].append([1] * len(ids))
            columns["labels"].append(labels)
            columns["example"].append(number)
    return hf_datasets.Dataset.from_dict(columns)


def sentences_of(
    outputs: npt.ArrayLike, rows: hf_datasets.Dataset
) -> tuple[list[npt.NDArray[Any]], list[npt.NDArray[Any]]]:
    """The predicted and the true tag ids of the words of each text, long texts put together again.

    Args:
        outputs: ``(N, S, C)`` of encoded ``rows``, padded to the longest.
    """
    predicted_NS = np.asarray(outputs).argmax(axis=-1)
    predictions, truths = [], []
    numbered = zip(rows["example"][:], predicted_NS, rows["labels"][:], strict=True)
    for _, pieces in groupby(numbered, key=lambda row: row[0]):
        pairs = [(predicted[: len(labels)], np.asarray(labels)) for _, predicted, labels in pieces]
        counted = [labels != IGNORED for _, labels in pairs]
        predictions.append(np.concatenate([row[kept] for (row, _), kept in zip(pairs, counted, strict=True)]))
        truths.append(np.concatenate([row[kept] for (_, row), kept in zip(pairs, counted, strict=True)]))
    return predictions, truths


def tag_metrics(
    predictions: Sequence[npt.ArrayLike], labels: Sequence[npt.ArrayLike], names: Sequence[str], metric: str
) -> Metrics:
    """The ``metric`` and the share of right tags (``accuracy``); with tags of entities also their precision and recall.

    Args:
        predictions, labels: tag ids of each text, as many predictions as labels; or arrays ``(N, S)``, of which places
            with the label -100 do not count; predictions also as outputs ``(N, S, C)``.
        names: of the tags by id.
        metric: ``entity_f1``, or a measure of classes that ``find_metric`` knows, word by word.

    Raises:
        ValueError: when a text has not as many predictions as labels, or none has a word.
    """
    pairs = []
    for number, (predicted, truth) in enumerate(zip(predictions, labels, strict=True)):
        ids, right = np.asarray(predicted), np.asarray(truth)
        ids = ids.argmax(axis=-1) if ids.ndim == 2 else ids
        if ids.shape != right.shape:
            raise ValueError(f"Text {number} has {len(ids)} predictions and {len(right)} labels")
        pairs.append((ids[right != IGNORED].astype(int), right[right != IGNORED].astype(int)))
    flat = [np.concatenate([pair[side] for pair in pairs] or [np.zeros(0)]) for side in (0, 1)]
    measured = find_metric("accuracy")(*flat)
    if metric == ENTITY_F1:
        return _entity_metrics(pairs, names) | measured
    return find_metric(metric)(*flat) | measured


def what_tags_lack(tags: Sequence[Sequence[int]], names: Sequence[str], metric: str) -> str | None:
    """What the right tags of a split's texts lack for ``metric`` to tell right predictions from wrong ones, in words
    that follow the split's name; None when it can."""
    truth = np.concatenate([np.asarray(row, dtype=int) for row in tags])
    there = {names[tag] for tag in np.unique(truth)}
    if metric == ENTITY_F1:
        return None if there - {_OUTSIDE} else f"has no entity, so that the metric {metric} is 0 for all predictions"
    reason = find_metric(metric).why_undefined(truth, len(names))
    if reason is None:
        return None
    absent = ", ".join(repr(name) for name in names if name not in there)
    lacks = f"has no word with the tag {absent}" if absent else "does not fit"
    return f"{lacks}, so that the metric {metric} is undefined ({reason.rstrip('.')})"


def _entity_metrics(pairs: Sequence[tuple[npt.NDArray[Any], npt.NDArray[Any]]], names: Sequence[str]) -> Metrics:
    from seqeval.metrics.sequence_labeling import precision_recall_fscore_support

    names = [name[0].translate(_AS_IOBES) + name[1:] for name in names]
    predicted, truth = ([[names[int(tag)] for tag in pair[side]] for pair in pairs] for side in (0, 1))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UndefinedMetricWarning)  # no entity found, or none there: 0
        precision, recall, f1, _ = precision_recall_fscore_support(truth, predicted, average="micro")
    return {ENTITY_F1: float(f1), "entity_precision": float(precision), "entity_recall": float(recall)}
