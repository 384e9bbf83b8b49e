"""What a client hands in, put into a folder and checked with the code that will read it (see ``reading``), before it
counts.

Names of uploaded files are only looked at: files are stored under names of ours.
"""

import json
import os
import re
import shutil
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import yaml
from fastapi import File, UploadFile
from pydantic import BaseModel, Field, Json

from dataset import TableOptions, load_corpus, load_task
from dataset.corpora.corpus import SUFFIXES as CORPUS_SUFFIXES
from dataset.corpora.python_docs import EMBEDDED_TASK
from dataset.glue import GLUE
from dataset.loading import ALL_OF_GLUE
from dataset.tables.readers import TABLE_SUFFIXES
from design_space.files import nearest_name, write_atomically
from embeddings import GraphLibrary
from embeddings.library_file import SUFFIXES as LIBRARY_SUFFIXES

from .options import TABLE_OPTIONS, check_library_options, check_search_options
from .reading import Reading, check_space, problems_of

TASKS = (EMBEDDED_TASK, ALL_OF_GLUE, *GLUE)
_LARGEST_SPACE_BYTES = 64 * 1024
_LONGEST_NAME = 100


def json_object(description: str) -> Any:
    """A field of a form for a JSON object, which is empty where it is left out. The default is text, as what is sent:
    older versions of FastAPI read both alike."""
    return Field("{}", validate_default=True, description=f"JSON object: {description}")


class Submission(BaseModel):
    """The form of a search to be run. Exactly one of ``design_space``, ``library`` and ``start_from``; at most one of
    ``task`` and ``table``."""

    name: Annotated[str, Field(description="shown in lists")] = ""
    design_space: Annotated[UploadFile | None, File(description="YAML; a graph library is made of it")] = None
    library: Annotated[UploadFile | None, File(description="a graph library, in place of a design space")] = None
    start_from: Annotated[str | None, Field(description="in their place, a pre-trained encoder of those offered")] = (
        None
    )
    task: Annotated[str | None, Field(description="GLUE task; the embedded one when there is no table")] = None
    table: Annotated[UploadFile | None, File(description="a task of one's own: CSV, TSV, JSONL, Parquet")] = None
    validation: Annotated[UploadFile | None, File(description="validation rows; else split off")] = None
    test: Annotated[UploadFile | None, File(description="test rows; else split off")] = None
    corpus: Annotated[list[UploadFile], File(description="text for pre-training")] = []
    options: Json[dict[str, Any]] = json_object("flags of run_boshnas; with a goal, of shrink_model")
    library_options: Json[dict[str, Any]] = json_object("flags of generate_library")

    def write(self, folder: Path, encoders: Mapping[str, str]) -> None:
        """Store everything in ``folder``, ``search.json`` last.

        Args:
            encoders: which are offered, by name.

        Raises:
            ValueError: listing everything that is wrong, one problem a line.
            BusyError: when too many others do so at the same time.
        """
        problems: list[str] = []
        readings: list[Reading] = []

        def checked(check: Callable[..., Any], *arguments: Any) -> Any:
            try:
                return check(*arguments)
            except ValueError as error:
                problems.append(str(error))

        name = checked(_checked_name, self.name)
        start_from = checked(self._encoder, encoders)
        options = checked(check_search_options, self.options, start_from) or {}
        source = checked(self._store_source, folder, readings) or {}
        data = checked(self._store_data, folder, options, readings) or {}
        num_bytes = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        problems += problems_of(readings, num_bytes) if readings else []
        if problems:
            raise ValueError("\n".join(problems).replace(f"{folder}/", ""))
        write_atomically(folder / "options.yaml", yaml.safe_dump(options))
        request = {"name": name or data["task_name"], "options": options, "start_from": start_from, **source, **data}
        write_atomically(folder / "search.json", json.dumps(request, indent=2))

    def _store_source(self, folder: Path, readings: list[Reading]) -> dict[str, Any]:
        """The design space or the library; none of a search that starts from an encoder."""
        if [self.design_space, self.library, self.start_from].count(None) != 2:
            raise ValueError(
                "Give one of 'design_space' (a YAML file), 'library' (of generate_library), 'start_from' (an encoder)"
            )
        if self.library_options and self.design_space is None:
            raise ValueError("'library_options' are for a design space; leave them out without one")
        if self.start_from is not None:
            return {"library": None, "library_options": None}
        if self.library is not None:
            path = folder / f"library{check_suffix(self.library, 'library', LIBRARY_SUFFIXES)}"
            store(self.library, path)
            readings.append(Reading("library", partial(GraphLibrary.load, path)))
            return {"library": path.name, "library_options": None}
        assert self.design_space is not None
        check_suffix(self.design_space, "design_space", (".yaml", ".yml"))
        options = check_library_options(self.library_options)
        path = folder / "space.yaml"
        store(self.design_space, path)
        if path.stat().st_size > _LARGEST_SPACE_BYTES:
            raise ValueError(f"'design_space' must be a YAML file of at most {_LARGEST_SPACE_BYTES // 1024} KiB")
        readings.append(Reading("design_space", partial(check_space, path, options)))
        return {"library": "library.json", "library_options": options}

    def _encoder(self, encoders: Mapping[str, str]) -> str | None:
        """Where the encoder lies that was asked for."""
        if self.start_from is None:
            return None
        if self.start_from not in encoders:
            offered = f"Offered are {', '.join(encoders)}" if encoders else "This service offers none"
            raise ValueError(f"Unknown encoder {self.start_from[:80]!r} in 'start_from'. {offered}")
        return encoders[self.start_from]

    def _store_data(self, folder: Path, options: Mapping[str, Any], readings: list[Reading]) -> dict[str, Any]:
        """The task, the corpus, or the names of those that the server has."""
        content: dict[str, Any] = {"corpus": []}
        for number, source in enumerate(self.corpus, start=1):
            path = folder / "corpus" / f"{number:03d}{check_suffix(source, 'corpus', CORPUS_SUFFIXES)}"
            store(source, path)
            readings.append(Reading("corpus", partial(load_corpus, (path,))))
            content["corpus"].append(str(path.relative_to(folder)))
        weights = options.get("corpus_weights", [])
        if weights and (len(weights) != len(self.corpus) or min(weights) <= 0):
            raise ValueError(f"'corpus_weights' must be one number above 0 for each 'corpus' file. Got {weights}")
        if self.table is None:
            return content | self._named_task(options)
        if self.task is not None:
            raise ValueError("Give either 'task' (a name) or 'table' (a file)")
        files: dict[str, Path] = {}
        uploads = {"table": self.table, "validation": self.validation, "test": self.test}
        for what, upload in uploads.items():
            if upload is not None:
                stem = _stem(upload, what) if what == "table" else what
                files[what] = folder / what / f"{stem}{check_suffix(upload, what, TABLE_SUFFIXES)}"
                store(upload, files[what])
        columns = {name: options[name] for name in TABLE_OPTIONS if name in options}
        table = TableOptions(**columns, validation_file=files.get("validation"), test_file=files.get("test"))
        readings.append(Reading("table", partial(load_task, files["table"], table=table, seed=options.get("seed", 0))))
        stored = {what: str(path.relative_to(folder)) for what, path in files.items()}
        return content | {"task_name": files["table"].stem, **stored}

    def _named_task(self, options: Mapping[str, Any]) -> dict[str, Any]:
        unused = [name for name in TABLE_OPTIONS if name in options]
        unused += [what for what in ("validation", "test") if getattr(self, what) is not None]
        if unused:
            raise ValueError(f"{', '.join(map(repr, unused))} belong to an uploaded 'table', and there is none")
        task = EMBEDDED_TASK if self.task is None else self.task
        if task not in TASKS:
            raise ValueError(
                f"Unknown task {task[:80]!r}. {nearest_name(task[:80], TASKS)}; or upload a 'table' of your own"
            )
        return {"task_name": task, "task": task}


def _checked_name(name: str) -> str:
    if len(name) > _LONGEST_NAME or not name.isprintable():
        raise ValueError(f"'name' must be at most {_LONGEST_NAME} printable characters")
    return name.strip()


def check_suffix(upload: UploadFile, what: str, allowed: Sequence[str]) -> str:
    """The ending of the client's name of a file. Raises ``ValueError`` for another one."""
    name = upload.filename or ""
    found = [suffix for suffix in allowed if name.lower().endswith(suffix)]
    if not found:
        raise ValueError(f"'{what}' must be a file ending in {', '.join(allowed)}. Got {name[-80:]!r}")
    return max(found, key=len)


def _stem(upload: UploadFile, otherwise: str) -> str:
    """A harmless version of the client's name of a file: ASCII letters, digits, ``_`` and ``-``."""
    stem = re.split(r"[/\\]", upload.filename or "")[-1].rpartition(".")[0]
    return re.sub(r"[^A-Za-z0-9_-]+", "_", stem).strip("_-")[:40] or otherwise


def store(upload: UploadFile, path: Path) -> None:
    """Write what was sent to a new file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("xb") as stream:
        shutil.copyfileobj(upload.file, stream)
        stream.flush()
        os.fsync(stream.fileno())
