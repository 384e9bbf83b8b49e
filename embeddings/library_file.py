"""The library file: JSON with the keys of the original libraries, or Parquet for large ones, and what is needed to
embed further architectures.

Original keys: ``dataset, design_space, ops_list, num_neighbors, model_dicts, hashes, embeddings, neighbors,
performances``. ``neighbors`` are indices into ``hashes``; ``performances`` maps a hash to scores by task. In Parquet
what there is per graph makes the columns, and the rest is JSON in the schema's metadata; a row's architecture is read
when it is asked for, so that loading does not grow with it.
"""

import itertools
import json
import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, overload

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from filelock import FileLock
from pydantic import Field, TypeAdapter
from typing_extensions import NotRequired, TypedDict

from design_space import ModelSpec
from design_space.files import parse_json, read_json, write_atomically
from design_space.schemas import SHAPE, checked

PER_GRAPH = ("model_dicts", "hashes", "embeddings", "neighbors", "performances")
KEYS = (
    "dataset",
    "design_space",
    "ops_list",
    "num_neighbors",
    "layers_per_stack",
    "heterogeneous_feed_forward",
    "kernel",
    "algo",
    "quality",
    "landmarks",
    *PER_GRAPH,
)
SUFFIXES = (".json", ".parquet")
MEASURED_ON = "measured_on"
"""A key that files without scores, and older ones, lack: what the scores of a task were measured on."""

MeasuredOn = Mapping[str, Mapping[str, str]]
"""Task -> metric and digests of the data, by name."""

_METADATA = b"graph_library"

logger = logging.getLogger(__name__)


class _Content(TypedDict):
    """A library without what there is per graph, which may be large, and is checked when it becomes arrays."""

    __pydantic_config__ = SHAPE  # type: ignore[misc]
    dataset: list[str]
    design_space: dict[str, Any] | None
    ops_list: list[str]
    num_neighbors: Annotated[int, Field(ge=1)]
    layers_per_stack: Annotated[int, Field(ge=1)]
    heterogeneous_feed_forward: bool
    kernel: Literal["GraphEditDistance", "WeisfeilerLehman"]
    algo: Literal["MDS", "GD"]
    quality: dict[str, float]
    landmarks: list[int]
    hashes: list[str]
    performances: dict[str, dict[str, float]]
    measured_on: NotRequired[dict[str, dict[str, str]]]


_NAMED = (*_Content.__annotations__,)
_CONTENT: TypeAdapter[Any] = TypeAdapter(_Content)
_IN_PARQUET: TypeAdapter[Any] = TypeAdapter(dict[str, Any])


def check_library_path(path: Path | str) -> Path:
    """The absolute path of a library file. Raises ``ValueError`` for a name that ends neither in ``.json`` nor in
    ``.parquet``."""
    path = Path(path).absolute()
    if path.suffix not in SUFFIXES:
        raise ValueError(f"A library file is named *.json or *.parquet. Got {path.name}")
    return path


def write_library(path: Path | str, content: Mapping[str, Any]) -> None:
    """Write a library's content, whole or not at all. ``content`` has all ``KEYS``; its embeddings and neighbors are
    arrays."""
    path = check_library_path(path)
    if path.suffix == ".parquet":
        with pa.BufferOutputStream() as stream:
            pq.write_table(_table(content), stream)
            write_atomically(path, memoryview(stream.getvalue()))
    else:
        lists = {key: content[key].tolist() for key in ("embeddings", "neighbors")}
        write_atomically(path, json.dumps({**content, **lists}, separators=(",", ":")))


def replace_library(path: Path | str, content: Mapping[str, Any]) -> int:
    """Write a library in the place of one that may be there, whose scores it keeps beside its own.

    Returns:
        The number of architectures whose scores were there.
    """
    path = check_library_path(path)
    if not path.exists():
        write_library(path, content)
        return 0
    with _lock(path):
        try:
            there = read_library(path)
        except ValueError as error:
            logger.warning("What was there could not be read, and is replaced: %s", error)
            there = {"performances": {}}
        scores, measured_on = _joined(there, content["performances"], content.get(MEASURED_ON, {}))
        identities = {MEASURED_ON: measured_on} if measured_on else {}
        write_library(path, {**content, "performances": scores, **identities})
        return len(there["performances"])


def read_library(path: Path | str) -> dict[str, Any]:
    """A library's content with all ``KEYS``. Raises ``ValueError`` when the file is missing, cut off or no library."""
    path = check_library_path(path)
    if not path.exists():
        raise ValueError(f"No library file {path}. Make one with generate_library --dataset_file {path}")
    try:
        content = _from_table(path) if path.suffix == ".parquet" else read_json(path)
    except (ValueError, pa.ArrowException, OSError) as error:
        raise ValueError(f"{error}. Build it again with generate_library") from error
    missing = [key for key in KEYS if not isinstance(content, dict) or key not in content]
    if missing:
        raise ValueError(f"{path} is no graph library: it has no {', '.join(missing)}")
    made: dict[str, Any] = content | checked(_CONTENT, {key: content[key] for key in content if key in _NAMED}, path)
    return made


def add_performances(
    path: Path | str, performances: Mapping[str, Mapping[str, float]], measured_on: MeasuredOn | None = None
) -> None:
    """Write further scores (hash -> task -> score) into a library file, beside those that are there by then, tasks
    under the names of ``scored_as``. Of processes that do so at once, each waits for the one before."""
    path = check_library_path(path)
    with _lock(path):
        content = read_library(path)
        content["performances"], identities = _joined(content, performances, measured_on or {})
        content |= {MEASURED_ON: identities} if identities else {}
        arrays = {key: np.asarray(content[key]) for key in ("embeddings", "neighbors")}
        write_library(path, {**content, **arrays})


def _lock(path: Path) -> FileLock:
    """It lies beside the file, which is replaced when it is written."""
    return FileLock(path.parent / f".{path.name}.lock")


def _joined(
    there: Mapping[str, Any], performances: Mapping[str, Mapping[str, float]], measured_on: MeasuredOn
) -> tuple[dict[str, dict[str, float]], dict[str, dict[str, str]]]:
    """The scores of a library with further ones, tasks under the names of ``scored_as``, and what they are of."""
    merged = {graph_hash: dict(scores) for graph_hash, scores in there["performances"].items()}
    known = {task: dict(identity) for task, identity in there.get(MEASURED_ON, {}).items()}
    names = {task: scored_as(merged, known, task, identity) for task, identity in measured_on.items()}
    known |= {names[task]: dict(identity) for task, identity in measured_on.items()}
    for graph_hash, scores in performances.items():
        merged.setdefault(graph_hash, {}).update({names.get(task, task): score for task, score in scores.items()})
    return merged, known


def scored_as(
    performances: Mapping[str, Mapping[str, float]], known: MeasuredOn, task: str, identity: Mapping[str, str]
) -> str:
    """The name that a task's scores have in a library: its own; or ``films-2``, ``films-3``, ... where scores of that
    name were measured on something else. Older scores, of which nothing is known, are the task's."""
    names = itertools.chain([task], (f"{task}-{number}" for number in itertools.count(2)))
    scored = {name for scores in performances.values() for name in scores}
    return next(name for name in names if name not in scored or not differences(known.get(name, {}), identity))


def differences(there: Mapping[str, str], here: Mapping[str, str]) -> list[str]:
    """The names whose values are different, of those that both have."""
    return [name for name in here if name in there and there[name] != here[name]]


class StoredSpecs(Sequence[ModelSpec]):
    """The architectures of a file, each made (and checked against its hash) when it is asked for."""

    def __init__(self, model_dicts: pa.ChunkedArray, hashes: Sequence[str]) -> None:
        """Take the model dicts as JSON texts."""
        self._model_dicts, self._hashes = model_dicts, hashes
        self._made: dict[int, ModelSpec] = {}

    def __len__(self) -> int:
        return len(self._hashes)

    @overload
    def __getitem__(self, index: int) -> ModelSpec: ...
    @overload
    def __getitem__(self, index: slice) -> list[ModelSpec]: ...
    def __getitem__(self, index: int | slice) -> ModelSpec | list[ModelSpec]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        place = range(len(self))[index]
        if place not in self._made:
            spec = ModelSpec.from_dict(parse_json(self._model_dicts[place].as_py() or ""))
            if spec.hash != self._hashes[place]:
                raise ValueError(f"The library file is damaged: the hash of graph {place} does not belong to it")
            self._made[place] = spec
        return self._made[place]


def _table(content: Mapping[str, Any]) -> pa.Table:
    rest = {key: value for key, value in content.items() if key not in PER_GRAPH}
    hashes, performances = content["hashes"], content["performances"]
    # Scores of architectures outside the library belong to no row.
    rest["other_performances"] = {key: performances[key] for key in performances.keys() - set(hashes)}
    model_dicts = content["model_dicts"]
    columns = {
        "model_dicts": model_dicts
        if isinstance(model_dicts, pa.ChunkedArray)
        else pa.array(map(json.dumps, model_dicts)),
        "hashes": pa.array(hashes),
        "embeddings": _rows(np.asarray(content["embeddings"], dtype=np.float64)),
        "neighbors": _rows(np.asarray(content["neighbors"], dtype=np.int32)),
        "performances": pa.array(
            [json.dumps(performances[key]) if key in performances else None for key in hashes], pa.string()
        ),
    }
    return pa.table(columns).replace_schema_metadata({_METADATA: json.dumps(rest)})


def _from_table(path: Path) -> dict[str, Any]:
    try:
        table = pq.read_table(path)
    except (pa.ArrowException, OSError) as error:
        raise ValueError(f"{path} is damaged or cut off ({error})") from error
    metadata = (table.schema.metadata or {}).get(_METADATA)
    if metadata is None or set(table.column_names) != set(PER_GRAPH):
        return {key: None for key in table.column_names if key in KEYS}
    for key, is_right in _COLUMNS.items():
        if not is_right(table.schema.field(key).type):
            raise ValueError(f"{path} is damaged: column '{key}' is of type {table.schema.field(key).type}")
    content = checked(_IN_PARQUET, parse_json(metadata), path)
    hashes = table["hashes"].to_pylist()
    scores = table["performances"].drop_null().to_pylist()
    scored = np.flatnonzero(table["performances"].is_valid())
    performances = {hashes[i]: parse_json(text) for i, text in zip(scored, scores, strict=True)}
    others = checked(_IN_PARQUET, content.pop("other_performances", {}), path)
    return content | {
        "model_dicts": table["model_dicts"],
        "hashes": hashes,
        "embeddings": _matrix(table["embeddings"]),
        "neighbors": _matrix(table["neighbors"]),
        "performances": performances | others,
    }


_COLUMNS = {key: pa.types.is_string for key in ("model_dicts", "hashes", "performances")} | {
    key: pa.types.is_fixed_size_list for key in ("embeddings", "neighbors")
}


def _rows(matrix: np.ndarray) -> pa.FixedSizeListArray:
    return pa.FixedSizeListArray.from_arrays(pa.array(matrix.ravel()), matrix.shape[1])


def _matrix(column: pa.ChunkedArray) -> np.ndarray:
    rows = column.combine_chunks()
    return rows.flatten().to_numpy().reshape(len(rows), rows.type.list_size)
