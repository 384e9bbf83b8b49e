"""GLUE's nine tasks (Wang et al. 2019), from the original TSV layouts or from the Hub.

In the TSV files quotes are ordinary characters, some files start with a byte-order mark, and CoLA has no header.
Their test files carry no labels, so a task read from them has no test split.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import datasets as hf_datasets

from .task import Task

HUB_NAME = "nyu-mll/glue"


@dataclass(frozen=True)
class GlueTask:
    """Columns of a task in its TSV files and on the Hub, its classes in the order of the Hub's numbers, and its metric.

    Attributes:
        classes: names as written in the file -> class number; empty for regression.
    """

    text: str
    text_pair: str | None
    label: str
    classes: Mapping[str, int]
    metric: str = "accuracy"
    hub_text: str | None = None
    hub_text_pair: str | None = None
    header: tuple[str, ...] | None = None


_ENTAILMENT = {"entailment": 0, "not_entailment": 1}
_BINARY = {"0": 0, "1": 1}
GLUE: dict[str, GlueTask] = {
    "cola": GlueTask(
        "sentence", None, "label", _BINARY, "matthews_correlation", header=("source", "label", "mark", "sentence")
    ),
    "sst2": GlueTask("sentence", None, "label", _BINARY),
    "mrpc": GlueTask("#1 String", "#2 String", "Quality", _BINARY, "accuracy_f1", "sentence1", "sentence2"),
    "stsb": GlueTask("sentence1", "sentence2", "score", {}, "pearson_spearman"),
    "qqp": GlueTask("question1", "question2", "is_duplicate", _BINARY, "accuracy_f1"),
    "mnli": GlueTask(
        "sentence1",
        "sentence2",
        "gold_label",
        {"entailment": 0, "neutral": 1, "contradiction": 2},
        "accuracy",
        "premise",
        "hypothesis",
    ),
    "qnli": GlueTask("question", "sentence", "label", _ENTAILMENT),
    "rte": GlueTask("sentence1", "sentence2", "label", _ENTAILMENT),
    "wnli": GlueTask("sentence1", "sentence2", "label", _BINARY),
}
_FILES = {
    "train": ("train.tsv", "train_subset.tsv"),
    "validation": ("dev.tsv", "dev_matched.tsv", "dev_subset.tsv"),
}


def load_glue(name: str, data_dir: Path | None) -> Task:
    """A GLUE task from a folder of TSV files, or without one from the Hub.

    Raises:
        ValueError: for files that are missing or damaged, or a Hub that cannot be reached.
    """
    glue = GLUE[name]
    splits = _from_hub(name) if data_dir is None else _from_folder(name, data_dir.absolute())
    return Task(
        name=name,
        train=splits["train"],
        validation=splits["validation"],
        test=None,
        label_names=tuple(sorted(glue.classes, key=lambda label: glue.classes[label])),
        metric=glue.metric,
    )


def _from_folder(name: str, folder: Path) -> dict[str, hf_datasets.Dataset]:
    if not folder.is_dir():
        raise ValueError(
            f"'data_dir' of task '{name}' must be a folder with {_FILES['train'][0]} and dev.tsv. No folder {folder}"
        )
    splits = {}
    for split, candidates in _FILES.items():
        path = next((folder / file for file in candidates if (folder / file).is_file()), None)
        if path is None:
            raise ValueError(f"Task '{name}': {folder} holds none of {', '.join(candidates)}")
        splits[split] = _read_tsv(path, GLUE[name])
    return splits


def _read_tsv(path: Path, glue: GlueTask) -> hf_datasets.Dataset:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except UnicodeDecodeError as error:
        raise ValueError(f"{path} is not UTF-8 text: {error}") from error
    rows = [line.rstrip("\r").split("\t") for line in lines]
    first = 0 if glue.header else 1
    header = glue.header or tuple(rows[0])
    wanted = [column for column in (glue.text, glue.text_pair, glue.label) if column is not None]
    missing = [column for column in wanted if column not in header]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(map(repr, missing))}. Its columns: {', '.join(header)}")
    places = {column: header.index(column) for column in wanted}
    table: dict[str, list[str | int | float]] = {
        "text": [],
        **({"text_pair": []} if glue.text_pair else {}),
        "label": [],
    }
    for number, row in enumerate(rows[first:], start=first + 1):
        if row == [""]:
            continue
        if len(row) <= max(places.values()):
            raise ValueError(
                f"{path}, line {number}: {len(row)} fields, but {len(header)} columns. "
                f"Is it a {path.suffix} of this task?"
            )
        table["text"].append(row[places[glue.text]])
        if glue.text_pair:
            table["text_pair"].append(row[places[glue.text_pair]])
        table["label"].append(_label(row[places[glue.label]], glue, path, number))
    return hf_datasets.Dataset.from_dict(table)


def _label(text: str, glue: GlueTask, path: Path, number: int) -> int | float:
    try:
        return glue.classes[text] if glue.classes else float(text)
    except (KeyError, ValueError):
        allowed = f"one of {', '.join(glue.classes)}" if glue.classes else "a number"
        raise ValueError(f"{path}, line {number}: the label must be {allowed}. Got {text!r}") from None


def _from_hub(name: str) -> dict[str, hf_datasets.Dataset]:
    glue = GLUE[name]
    try:
        loaded = hf_datasets.load_dataset(HUB_NAME, name)
    except (OSError, RuntimeError, ValueError) as error:
        raise ValueError(
            f"Task '{name}' could not be loaded from the Hub ({type(error).__name__}: {error}). "
            "Give a folder with its TSV files by --data_dir"
        ) from error
    splits = {"train": loaded["train"], "validation": loaded["validation_matched" if name == "mnli" else "validation"]}
    columns = {glue.hub_text or glue.text: "text", "label": "label"}
    if glue.text_pair:
        columns[glue.hub_text_pair or glue.text_pair] = "text_pair"
    return {
        split: rows.select_columns(list(columns)).rename_columns(
            {old: new for old, new in columns.items() if old != new}
        )
        for split, rows in splits.items()
    }
