"""One's own table: texts, single or in pairs, and labels, in a file or a dataset of the Hub.

Columns that are not named are guessed by ``columns``. What labels mean is told by ``labels``. Lists of
words with as many tags, and questions with answers, are read by ``annotated``. Without files for validation and test
the rows are split 80/10/10, reproducibly, classes in proportion. Classes that are far from equally frequent, and texts
that are in two splits, are logged too.
"""

import logging
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from ..task import SPLITS, Task, make_split
from .annotated import load_annotated
from .cells import check_texts, without_empty
from .columns import find_columns
from .labels import read_labels, shown
from .options import TableOptions
from .readers import check_columns, is_dataset, read_dataset, read_table
from .splitting import split_off

UNBALANCED = 3.0  # a class so many times as frequent as another is worth a word
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
    if is_dataset(source):
        frames, origins = read_dataset(str(source))
    else:
        frames, origins = {"train": read_table(path)}, {"train": str(source)}
    for split, file in (("validation", options.validation_file), ("test", options.test_file)):
        if file is not None:
            frames[split], origins[split] = read_table(Path(file)), str(file)
    annotated = load_annotated(frames, origins, path, options, seed=seed)
    if annotated is not None:
        return annotated
    columns = find_columns(frames["train"], path, origins["train"], options)
    frames = {split: _normalised(frame, origins[split], columns, options) for split, frame in frames.items()}
    (label,) = (name for name, column in columns.items() if column == "label")
    cells = {split: part["label"] for split, part in frames.items()}
    labels = read_labels(cells, origins, label, options.label_separator)
    names, is_multi_label = labels.names, labels.is_multi_label
    logger.warning("%s: labels are %s", path.name, labels.taken_for)
    for split, part in frames.items():
        frames[split] = part.assign(label=labels.by_split[split])
        if names and not is_multi_label and split != "train" and frames[split]["label"].nunique() < 2:
            only = names[frames[split]["label"].iloc[0]]
            raise ValueError(f"{origins[split]} has only the class {only!r}; give rows of every class")
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


def _normalised(frame: pd.DataFrame, origin: str, columns: dict[str, str], options: TableOptions) -> pd.DataFrame:
    """The task's columns, labels as they are."""
    check_columns(frame, columns, origin)
    part = frame[list(columns)].rename(columns=columns)
    texts = {name: column for name, column in columns.items() if column != "label"}
    if options.skip_empty:
        part = without_empty(part, origin, [*texts.values(), *(["label"] if options.label_separator is None else [])])
    return part.assign(**{column: check_texts(part[column], origin, name) for name, column in texts.items()})


def _report(name: str, frames: dict[str, pd.DataFrame], names: tuple[str, ...], is_multi_label: bool) -> None:
    """Say what may surprise: classes of very different frequency, or missing in a split; numbers that are hard to
    learn; texts that are in two splits."""
    labels = {split: frames[split]["label"] for split in SPLITS if split in frames}
    for split, part in labels.items() if names else ():
        there = np.flatnonzero(np.vstack(part).any(axis=0)) if is_multi_label else part
        missing = [names[number] for number in sorted(set(range(len(names))) - set(there))]
        if missing:
            some = len(missing), len(names), shown(missing)
            logger.warning("%s: %s has no row of %d of %d classes: %s", name, split, *some)
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
