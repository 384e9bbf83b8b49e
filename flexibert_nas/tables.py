"""What a task may be given as: files and names stay what they are, data in memory become files beside the run."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias, Union

if TYPE_CHECKING:
    import datasets as hf_datasets
    import pandas as pd

Table: TypeAlias = Union[str, Path, "pd.DataFrame", "hf_datasets.Dataset", "hf_datasets.DatasetDict"]
FLAGS: Mapping[str, str] = {"train": "task", "validation": "validation_file", "test": "test_file"}
"""Split -> flag of its file."""


def as_files(task: Table, place: Path) -> dict[str, str]:
    """The flags of a task, by name.

    Args:
        place: the run directory, beside which files are written.

    Raises:
        ValueError: for an object of another kind, or splits of other names.
    """
    if isinstance(task, str | Path):
        return {"task": str(task)}
    import datasets as hf_datasets
    import pandas as pd

    if isinstance(task, pd.DataFrame):
        return {"task": _written(task, place, "table")}
    if isinstance(task, hf_datasets.Dataset):
        return {"task": _written(_named(task), place, "table")}
    if isinstance(task, hf_datasets.DatasetDict):
        if "train" not in task or task.keys() - FLAGS.keys():
            raise ValueError(f"'task' must have the splits train, validation and test. Got {', '.join(task)}")
        frames = {split: _named(task[split]) for split in task if split == "train" or not _is_hidden(task[split])}
        return {FLAGS[split]: _written(frame, place, split) for split, frame in frames.items()}
    raise ValueError(
        "'task' must be the path of a table, a pandas DataFrame, a datasets.Dataset or DatasetDict, or the name of a "
        f"task. Got a {type(task).__name__}"
    )


def _written(frame: "pd.DataFrame", place: Path, name: str) -> str:
    """The file of a frame; one that holds the same already stays as it is, so that a run on it can go on."""
    place.parent.mkdir(parents=True, exist_ok=True)
    file = place.with_name(f"{place.name}.{name}.jsonl")
    content = frame.to_json(orient="records", lines=True, force_ascii=False, double_precision=15).encode()
    if not file.exists() or file.read_bytes() != content:
        file.write_bytes(content)
    return str(file)


def _named(rows: Any) -> "pd.DataFrame":
    """A split as a frame, numbers of classes written as their names."""
    import datasets as hf_datasets

    frame = rows.to_pandas()
    for column, feature in rows.features.items():
        if isinstance(feature, hf_datasets.ClassLabel):
            frame[column] = [_name(feature.names, number) for number in rows[column]]
        elif isinstance(inner := getattr(feature, "feature", None), hf_datasets.ClassLabel):  # a list of classes
            frame[column] = [[_name(inner.names, number) for number in row] for row in rows[column]]
    return frame


def _name(names: list[str], number: int | None) -> str | None:
    return None if number is None or number < 0 else names[number]


def _is_hidden(rows: Any) -> bool:
    """Whether the labels of a split are kept from us, as -1 in data sets of competitions."""
    import datasets as hf_datasets

    labels = [name for name, feature in rows.features.items() if isinstance(feature, hf_datasets.ClassLabel)]
    is_hidden = bool(labels) and all(number == -1 for name in labels for number in rows[name])
    if is_hidden:
        warnings.warn("A split whose labels are all -1 is left out", stacklevel=3)
    return is_hidden
