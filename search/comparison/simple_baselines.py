"""What needs no network to be trained, beside which a model shows what it is worth: a logistic regression on the words
of a text, and one on the frozen states of the encoder that a search started from.

How strongly it is regularised is chosen on validation, as models are. Regressions get ridge regression, texts with
several labels one model each. Shapes: N rows, F features, L labels.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import datasets as hf_datasets
import numpy as np
import numpy.typing as npt
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import StandardScaler
from torch.utils.data import DataLoader

from dataset import PreparedData
from dataset.task import TEXT
from flexibert import FlexiBERTModel

from ..training.collators import collator
from ..training.samplers import LongestFirst, lengths_of

WORDS, FROZEN = "bag of words", "frozen encoder"
_STRENGTHS = (1e-4, 1e-3, 0.01, 0.1, 1.0, 10.0, 100.0)
"""Inverse to the penalty: few rows of many features need the first, words of many texts the last."""

_MOST_WORDS, _MOST_TEXTS, _MOST_ENCODED, _MOST_VALIDATION = 50_000, 20_000, 2000, 1000
_SURELY_NOT = -50.0
"""The output for a class that training has no row of."""

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class SimpleBaseline:
    """What it answers, (N, L), and a sentence that says how it was made."""

    name: str
    outputs: Array
    parameters: int
    note: str


def simple_baselines(data: PreparedData, split: str, root: Path | None) -> list[SimpleBaseline]:
    """Those of a task about whole texts; none of others, and of one whose training rows are all of one class.

    Args:
        split: whose rows are answered. root: folder of the encoder that the search started from, as it was.
    """
    labels = np.asarray(data.split("train")["labels"][:]) if data.task_type == TEXT else np.zeros(0)
    if len(np.unique(labels, axis=0)) < 2:
        return []
    found = [_bag_of_words(data, split)]
    return [*found, _frozen(data, split, root)] if root is not None else found


def _bag_of_words(data: PreparedData, split: str) -> SimpleBaseline:
    rows = _rows(data, split, _MOST_TEXTS)
    texts = [data.tokenizer.batch_decode(part["input_ids"][:], skip_special_tokens=True) for part in rows]
    words = TfidfVectorizer(sublinear_tf=True, max_features=_MOST_WORDS, token_pattern=r"(?u)\w+|[^\w\s]")
    words.fit(texts[0] if any(map(str.strip, texts[0])) else ["empty"])
    outputs, size = _answered(data, [words.transform(part) for part in texts], rows)
    note = f"logistic regression on the words of {len(rows[0]):,} training texts, weighed by TF-IDF"
    return SimpleBaseline(name=WORDS, outputs=outputs, parameters=size, note=_of_task(note, data))


def _frozen(data: PreparedData, split: str, root: Path) -> SimpleBaseline:
    rows = _rows(data, split, _MOST_ENCODED)
    encoder = FlexiBERTModel.from_pretrained(root).eval()
    scaler = StandardScaler()
    states = [_states(encoder, data, part) for part in rows]
    scaler.fit(states[0])
    outputs, size = _answered(data, [scaler.transform(part) for part in states], rows)
    size += sum(parameter.numel() for parameter in encoder.parameters())
    note = (
        f"logistic regression on what the encoder says of {len(rows[0]):,} training texts before any fine-tuning, "
        f"{encoder.config.pooling} pooling"
    )
    return SimpleBaseline(name=FROZEN, outputs=outputs, parameters=size, note=_of_task(note, data))


def _of_task(note: str, data: PreparedData) -> str:
    return note.replace("logistic", "ridge") if data.is_regression else note


def _rows(data: PreparedData, split: str, most: int) -> list[hf_datasets.Dataset]:
    """To train on, to choose by, and to answer: all of the last, of the others so many by chance."""
    few = [
        rows.shuffle(seed=0).select(range(min(len(rows), bound))) if len(rows) > bound else rows
        for rows, bound in ((data.split("train"), most), (data.split("validation"), _MOST_VALIDATION))
    ]
    return [*few, data.split(split)]


def _states(encoder: FlexiBERTModel, data: PreparedData, rows: hf_datasets.Dataset) -> Array:
    """(N, F) pooled as the encoder's configuration says."""
    longest_first, found = LongestFirst(lengths_of(rows)), []
    loader = DataLoader(
        rows, batch_size=128, sampler=longest_first, collate_fn=collator(data, encoder.config.model_spec)
    )
    with torch.inference_mode():
        for batch in loader:
            given = {name: batch[name] for name in ("input_ids", "attention_mask", "token_type_ids") if name in batch}
            states, mask = encoder(**given).last_hidden_state, batch["attention_mask"].unsqueeze(-1)
            is_mean = encoder.config.pooling == "mean"
            found.append((states * mask).sum(1) / mask.sum(1) if is_mean else states[:, 0])
    return longest_first.restored(torch.cat(found).double().numpy())


def _answered(data: PreparedData, features: Sequence[Any], rows: Sequence[hf_datasets.Dataset]) -> tuple[Array, int]:
    """The outputs on the last rows, of the strength that is best on the second, and the number of weights."""
    train, validation = (np.asarray(part["labels"][:]) for part in rows[:2])
    best, outputs = -np.inf, None
    for strength in _STRENGTHS:
        model = _estimator(data, strength)
        with warnings.catch_warnings():  # one that has not converged is judged like the others
            warnings.simplefilter("ignore", ConvergenceWarning)
            warnings.simplefilter("ignore", UserWarning)  # a label that no text has, or every one
            model.fit(features[0], train)
        score = _score(_outputs(model, features[1], data), validation, data)
        if outputs is None or score > best:
            best, outputs = score, _outputs(model, features[2], data)
    assert outputs is not None
    return outputs, (features[0].shape[1] + 1) * data.num_labels


def _score(outputs: Array, labels: Array, data: PreparedData) -> float:
    """The lowest where so few rows have none."""
    try:
        return data.compute_metrics(outputs[:, 0] if data.is_regression else outputs, labels)[data.metric]
    except ValueError:
        return -np.inf


def _estimator(data: PreparedData, strength: float) -> Any:
    if data.is_regression:
        return Ridge(alpha=1 / strength)
    one = LogisticRegression(C=strength, max_iter=300)
    return OneVsRestClassifier(one) if data.is_multi_label else one


def _outputs(model: Any, features: Any, data: PreparedData) -> Array:
    """(N, L) as a network would give them."""
    if data.is_regression:
        return np.asarray(model.predict(features), dtype=float).reshape(-1, 1)
    if data.is_multi_label:
        return np.asarray(model.decision_function(features), dtype=float).reshape(-1, data.num_labels)
    outputs = np.full((features.shape[0], data.num_labels), _SURELY_NOT)
    outputs[:, model.classes_] = np.log(np.maximum(model.predict_proba(features), np.exp(_SURELY_NOT)))
    return outputs
