"""GLUE's nine tasks (Wang et al. 2019), from the original TSV layouts or from the Hub.

In the TSV files quotes are ordinary characters, some files start with a byte-order mark, CoLA has no header, and a few
rows of QQP lack fields: those are left out, as in the official counts. Published test files carry no labels; their
rows become ``unlabelled``, which ``submission`` writes answers for. A test file with labels becomes the test split.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import datasets as hf_datasets

from design_space.files import read_text

from .hub import load_from_hub
from .task import Task, make_split

HUB_NAME = "nyu-mll/glue"
logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class GlueTask:
    """Columns of a task in its TSV files and on the Hub, its classes in the order of the Hub's numbers, and its metric.

    Attributes:
        folder: as the task's folder is called in the original download, and its file in a submission.
        classes: names as written in the file -> class number; empty for regression.
        header: of labelled files that have none.
        suffix: of names of files and splits other than train's, where a task has several.
        may_lack_fields: whether published rows are damaged, and left out.
    """

    folder: str
    text: str
    text_pair: str | None
    label: str
    classes: Mapping[str, int]
    metric: str = "accuracy"
    hub_text: str | None = None
    hub_text_pair: str | None = None
    header: tuple[str, ...] | None = None
    suffix: str = ""
    may_lack_fields: bool = False


_ENTAILMENT = {"entailment": 0, "not_entailment": 1}
_BINARY = {"0": 0, "1": 1}
_MNLI = GlueTask(
    "MNLI",
    "sentence1",
    "sentence2",
    "gold_label",
    {"entailment": 0, "neutral": 1, "contradiction": 2},
    "accuracy",
    "premise",
    "hypothesis",
    suffix="_matched",
)
GLUE: dict[str, GlueTask] = {
    "cola": GlueTask(
        "CoLA",
        "sentence",
        None,
        "label",
        _BINARY,
        "matthews_correlation",
        header=("source", "label", "mark", "sentence"),
    ),
    "sst2": GlueTask("SST-2", "sentence", None, "label", _BINARY),
    "mrpc": GlueTask("MRPC", "#1 String", "#2 String", "Quality", _BINARY, "accuracy_f1", "sentence1", "sentence2"),
    "stsb": GlueTask("STS-B", "sentence1", "sentence2", "score", {}, "pearson_spearman"),
    "qqp": GlueTask("QQP", "question1", "question2", "is_duplicate", _BINARY, "accuracy_f1", may_lack_fields=True),
    "mnli": _MNLI,
    "mnlimm": replace(_MNLI, suffix="_mismatched"),
    "qnli": GlueTask("QNLI", "question", "sentence", "label", _ENTAILMENT),
    "rte": GlueTask("RTE", "sentence1", "sentence2", "label", _ENTAILMENT),
    "wnli": GlueTask("WNLI", "sentence1", "sentence2", "label", _BINARY),
}
NINE = tuple(name for name in GLUE if name != "mnlimm")


def load_glue(name: str, data_dir: Path | None) -> Task:
    """A GLUE task from a folder of TSV files, or without one from the Hub.

    Raises:
        ValueError: for files that are missing or damaged, or a Hub that cannot be reached.
    """
    glue = GLUE[name]
    splits = _from_hub(name) if data_dir is None else _from_folder(name, data_dir.absolute())
    unlabelled = {split: rows for split, rows in splits.items() if "label" not in rows.column_names}
    return Task(
        name=name,
        train=splits["train"],
        validation=splits["validation"],
        test=None if "test" in unlabelled else splits.get("test"),
        unlabelled=unlabelled,
        label_names=tuple(sorted(glue.classes, key=lambda label: glue.classes[label])),
        metric=glue.metric,
    )


def load_glue_tasks(data_dir: Path | None) -> list[Task]:
    """The nine tasks, or those of them that have a folder (``CoLA``, ``SST-2``, ... as in the original download, or
    ``cola``, ``sst2``, ...) in ``data_dir``; MNLI is validated on its matched part.

    Raises:
        ValueError: when there is none, or one is damaged.
    """
    if data_dir is None:
        return [load_glue(name, None) for name in NINE]
    found = {
        name: folder for name in NINE for folder in (data_dir / GLUE[name].folder, data_dir / name) if folder.is_dir()
    }
    if not found:
        folders = ", ".join(GLUE[name].folder for name in NINE)
        raise ValueError(f"'data_dir' of the task 'glue' must hold folders like {folders}. {data_dir} has none of them")
    missing = [GLUE[name].folder for name in NINE if name not in found]
    if missing:
        logger.warning("glue: without %s, which %s does not hold", ", ".join(missing), data_dir)
    return [load_glue(name, folder) for name, folder in found.items()]


def _files(glue: GlueTask) -> dict[str, tuple[str, ...]]:
    """The names that a split's file may have; those without a suffix are of the matched part."""
    suffixes = ("_mismatched",) if glue.suffix == "_mismatched" else tuple(dict.fromkeys(("", glue.suffix)))
    subset = ("dev_subset.tsv",) if "" in suffixes else ()
    return {
        "train": ("train.tsv", "train_subset.tsv"),
        "validation": (*(f"dev{suffix}.tsv" for suffix in suffixes), *subset),
        "test": tuple(f"test{suffix}.tsv" for suffix in suffixes),
    }


def _from_folder(name: str, folder: Path) -> dict[str, hf_datasets.Dataset]:
    glue = GLUE[name]
    if not folder.is_dir():
        raise ValueError(f"'data_dir' of task '{name}' must be a folder with train.tsv and dev.tsv. No folder {folder}")
    splits = {}
    for split, candidates in _files(glue).items():
        path = next((folder / file for file in candidates if (folder / file).is_file()), None)
        if path is not None:
            splits[split] = _read_tsv(path, glue, may_be_unlabelled=split == "test")
        elif split != "test":
            raise ValueError(f"Task '{name}': {folder} holds none of {', '.join(candidates)}")
    return splits


def _read_tsv(path: Path, glue: GlueTask, *, may_be_unlabelled: bool = False) -> hf_datasets.Dataset:
    rows = [line.rstrip("\r").split("\t") for line in read_text(path, "a TSV file").split("\n")]
    # Of CoLA's files only the one with test sentences has a header.
    has_header = glue.header is None or rows[0][0] == "index"
    header = tuple(rows[0]) if has_header else glue.header or ()
    columns = {glue.text: "text", **({glue.text_pair: "text_pair"} if glue.text_pair else {})}
    is_labelled = not may_be_unlabelled or glue.label in header
    if is_labelled:
        columns[glue.label] = "label"
    missing = [column for column in columns if column not in header]
    if missing:
        raise ValueError(f"{path} has no column {', '.join(map(repr, missing))}. Its columns: {', '.join(header)}")
    places = {new: header.index(old) for old, new in columns.items()}
    table: dict[str, list[str | int | float]] = {new: [] for new in places}
    damaged = []
    for number, row in enumerate(rows[has_header:], start=has_header + 1):
        if row == [""]:
            continue
        if len(row) <= max(places.values()):
            if glue.may_lack_fields:
                damaged.append(number)
                continue
            raise ValueError(
                f"{path}, line {number}: {len(row)} fields, but {len(header)} columns. "
                f"Is it a {path.suffix} of this task?"
            )
        for column, place in places.items():
            table[column].append(_label(row[place], glue, path, number) if column == "label" else row[place])
    if damaged:
        logger.warning("%s: %d damaged rows left out, the first in line %d", path, len(damaged), damaged[0])
    if not table["text"]:
        raise ValueError(f"{path} holds no rows")
    return make_split(table, is_regression=not glue.classes) if is_labelled else hf_datasets.Dataset.from_dict(table)


def _label(text: str, glue: GlueTask, path: Path, number: int) -> int | float:
    try:
        return glue.classes[text] if glue.classes else float(text)
    except (KeyError, ValueError):
        allowed = f"one of {', '.join(glue.classes)}" if glue.classes else "a number"
        raise ValueError(f"{path}, line {number}: the label must be {allowed}. Got {text!r}") from None


def _from_hub(name: str) -> dict[str, hf_datasets.Dataset]:
    glue = GLUE[name]
    try:
        loaded = load_from_hub(HUB_NAME, "mnli" if name == "mnlimm" else name)
    except ValueError as error:
        raise ValueError(f"Task '{name}': {error}. Give a folder with its TSV files by --data_dir") from error
    columns = {glue.hub_text or glue.text: "text"}
    if glue.text_pair:
        columns[glue.hub_text_pair or glue.text_pair] = "text_pair"
    splits = {}
    for split in ("train", "validation", "test"):
        hub_split = split if split == "train" else f"{split}{glue.suffix}"
        if hub_split not in loaded:
            continue
        rows = loaded[hub_split]
        is_secret = split == "test" and set(rows["label"][:]) <= {-1, -1.0}
        new = columns | ({} if is_secret else {"label": "label"})
        chosen = rows.select_columns(list(new)).rename_columns({a: b for a, b in new.items() if a != b})
        table = {column: chosen[column][:] for column in chosen.column_names}
        splits[split] = chosen if is_secret else make_split(table, is_regression=not glue.classes)
    return splits
