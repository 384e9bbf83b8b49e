"""One's own table: texts, single or in pairs, and labels, in a file or a dataset of the Hub.

Columns that are not named are guessed, and what was guessed is logged. What labels mean is told by ``labels``. Lists of
words with as many tags, and questions with answers, are read by ``annotated``. Without files for validation and test
the rows are split 80/10/10, reproducibly, classes in proportion. Classes that are far from equally frequent, and texts
that are in two splits, are logged too.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..kinds.token_classification import is_list
from ..task import SPLITS, Task, make_split
from .annotated import load_annotated
from .labels import encoded, label_cells, label_names
from .options import TableOptions
from .readers import check_columns, is_dataset, read_dataset, read_table, unit_of
from .splitting import split_off

LABEL_NAMES = ("label", "labels", "target", "class", "category", "score", "rating", "y")
TEXT_NAMES = ("text", "sentence", "review", "comment", "content", "document", "tweet", "message")
PAIR_NAMES = (
    ("sentence1", "sentence2"),
    ("text1", "text2"),
    ("text_a", "text_b"),
    ("question1", "question2"),
    ("premise", "hypothesis"),
    ("question", "sentence"),
    ("question", "answer"),
    ("question", "passage"),
    ("question", "context"),
    ("query", "document"),
    ("text", "text_pair"),
)
UNBALANCED = 3.0  # a class so many times as frequent as another is worth a word
MOST_SHOWN = 10  # names in a message
FAR, WIDE = 10.0, 100.0  # a model's first outputs are near 0: the mean in standard deviations, and these, to warn of

logger = logging.getLogger(__name__)


def load_table(source: Path | str, options: TableOptions, *, seed: int = 0) -> Task:
    """The task in a file, folder or dataset, named after it.

    Raises:
        ValueError: for missing or damaged files, missing columns, empty texts or labels, labels that training does not
            know, a single class.
    """
    path = Path(source)
    _check_named(options)
    frames = read_dataset(str(source)) if is_dataset(source) else {"train": read_table(path)}
    origins = {split: str(source) if split == "train" else f"{source}, {split}" for split in frames}
    for split, file in (("validation", options.validation_file), ("test", options.test_file)):
        if file is not None:
            frames[split], origins[split] = read_table(Path(file)), str(file)
    annotated = load_annotated(frames, origins, path, options, seed=seed)
    if annotated is not None:
        return annotated
    columns = _columns(frames["train"], path, options)
    frames = {split: _normalised(frame, origins[split], columns, options) for split, frame in frames.items()}
    is_multi_label = bool(frames["train"]["label"].map(lambda label: isinstance(label, list)).any())
    names = label_names(frames["train"]["label"], is_multi_label, origins["train"])
    for split, part in frames.items():
        frames[split] = part.assign(label=encoded(part["label"], names, is_multi_label, origins[split]))
        if names and not is_multi_label and split != "train" and frames[split]["label"].nunique() < 2:
            raise ValueError(f"{origins[split]} has only the class {part['label'].iloc[0]!r}; give rows of every class")
    evenly = {"several": "label"} if is_multi_label else {"classes": "label"} if names else {}
    split_off(frames, seed, **evenly)
    _report(path.name, frames, names, is_multi_label)
    splits = {
        split: make_split(
            {str(column): part[column].tolist() for column in part.columns},
            is_regression=not names,
            is_multi_label=is_multi_label,
        )
        for split, part in frames.items()
    }
    usual = "f1_micro" if is_multi_label else "accuracy" if names else "pearson_spearman"
    return Task(
        name=path.stem.replace(":", "-"),
        train=splits["train"],
        validation=splits["validation"],
        test=splits.get("test"),
        label_names=names,
        metric=options.metric or usual,
        is_multi_label=is_multi_label,
    )


def _check_named(options: TableOptions) -> None:
    named: dict[str, str] = {}
    for option in ("text_column", "text_pair_column", "label_column"):
        name = getattr(options, option)
        if name is not None and name in named:
            raise ValueError(f"'{named[name]}' and '{option}' name the same column {name!r}; give two columns")
        named[name] = option


def _columns(frame: pd.DataFrame, path: Path, options: TableOptions) -> dict[str, str]:
    """The task's columns by those of the table: named ones checked, others guessed."""
    names = [str(name) for name in frame.columns]
    text, pair, label = options.text_column, options.text_pair_column, options.label_column
    check_columns(frame, [name for name in (text, pair, label) if name is not None], path)
    if len(names) < 2:
        raise ValueError(f"{path} needs a column of texts and one of labels. Its columns: {', '.join(names)}")
    guessed = []
    if text is None and pair is None:
        known = {name.lower(): name for name in names if name != label}
        couple = next((couple for couple in PAIR_NAMES if set(couple) <= known.keys()), None)
        if couple is not None and len(names) > 2:
            text, pair = (known[name] for name in couple)
            guessed.append(f"pairs of texts from '{text}' and '{pair}'")
    if label is None:
        rest = [name for name in names if name not in (text, pair)]
        listed = [name for name in rest if frame[name].map(is_list).any()]
        named = [name for name in rest if name.lower() in LABEL_NAMES]
        likely = listed or named or [name for name in rest if name.lower() not in TEXT_NAMES] or rest
        label = likely[0] if named or listed else min(likely, key=lambda name: frame[name].astype(str).nunique())
        guessed.insert(0, f"labels from '{label}'")
    if text is None:
        rest = [name for name in names if name not in (label, pair)]
        if not rest:
            raise ValueError(f"{path} has no column left for texts. Its columns: {', '.join(names)}")
        likely = [name for name in rest if name.lower() in TEXT_NAMES] or rest
        text = max(likely, key=lambda name: frame[name].astype(str).str.len().mean())
        guessed.append(f"texts from '{text}'")
    if guessed:
        logger.warning("%s: %s", path.name, ", ".join(guessed))
    return {text: "text", **({pair: "text_pair"} if pair else {}), label: "label"}


def _normalised(frame: pd.DataFrame, origin: str, columns: dict[str, str], options: TableOptions) -> pd.DataFrame:
    check_columns(frame, columns, origin)
    part = frame[list(columns)].rename(columns=columns)
    texts = {name: column for name, column in columns.items() if column != "label"}
    for name, column in texts.items():
        empty = part[column].isna() | (part[column].astype(str).str.strip() == "")
        if empty.any():
            raise ValueError(f"{origin}, {unit_of(origin)} {part.index[empty][0]}: column '{name}' is empty")
    (name,) = columns.keys() - texts.keys()
    labels = label_cells(part["label"], origin, name, options.label_separator)
    return part.assign(label=labels, **{column: part[column].astype(str) for column in texts.values()})


def _report(name: str, frames: dict[str, pd.DataFrame], names: tuple[str, ...], is_multi_label: bool) -> None:
    """Say what may surprise: classes of very different frequency, or missing in a split; numbers that are hard to
    learn; texts that are in two splits."""
    labels = {split: frames[split]["label"] for split in SPLITS if split in frames}
    for split, part in labels.items() if names else ():
        there = np.flatnonzero(np.vstack(part).any(axis=0)) if is_multi_label else part
        missing = [repr(names[number]) for number in sorted(set(range(len(names))) - set(there))]
        if missing:
            shown = ", ".join(missing[:MOST_SHOWN]) + (", ..." if len(missing) > MOST_SHOWN else "")
            logger.warning("%s: %s has no row of %d of %d classes: %s", name, split, len(missing), len(names), shown)
    if not names and (labels["train"] % 1 == 0).all():
        logger.warning(
            "%s: %d different whole numbers as labels are taken for amounts to predict, not for classes; if they "
            "are classes, write them as words",
            name,
            labels["train"].nunique(),
        )
    if not names:
        mean, deviation = float(labels["train"].mean()), float(labels["train"].std(ddof=0))
        if abs(mean) > FAR * deviation or deviation > WIDE:
            logger.warning(
                "%s: labels have the mean %.4g and the standard deviation %.4g, which models learn badly. "
                "Subtract the mean and divide by the deviation",
                name,
                mean,
                deviation,
            )
    if names and not is_multi_label:
        counts = labels["train"].value_counts()
        if counts.max() >= UNBALANCED * counts.min():
            shares = ", ".join(f"{names[int(label)]} {count:,}" for label, count in counts.items())
            logger.warning("%s: classes are unbalanced: %s. Consider the metric f1_macro", name, shares)
    texts = {split: set(_keys(frames[split])) for split in labels}
    for first, second in (("train", "validation"), ("train", "test"), ("validation", "test")):
        shared = texts.get(first, set()) & texts.get(second, set())
        if shared:
            logger.warning("%s: %d texts of %s are also in %s", name, len(shared), second, first)


def _keys(frame: pd.DataFrame) -> list[tuple[Any, ...]]:
    return list(frame[[column for column in frame.columns if column != "label"]].itertuples(index=False, name=None))
