"""What users import: searching and shrinking encoders from Python, on tables, data frames and model folders.

    import flexibert_nas

    small = flexibert_nas.shrink("my-bert", "small", task="reviews.csv", faster=3)
    small.predict(["a fine film"])
    found = flexibert_nas.search("reviews.csv", max_trials=20)

The same as the commands ``shrink_model`` and ``run_boshnas``, whose flags are the keyword arguments. A ``dataset.py``
or ``search.py`` beside a notebook is in nobody's way: its name goes on to mean that file.
"""

import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from .own_packages import own_packages
from .result import Result
from .tables import Table, as_files

with own_packages():
    from design_space.version import __version__

__all__ = ["Result", "__version__", "search", "shrink"]

SPACE = "quickstart"
"""Searched from scratch where neither an encoder nor a space is given: small encoders that train in seconds."""

LIMITS = ("parameters", "flops", "latency_ms")
"""Goals of a search from scratch."""


def shrink(
    model: str | Path, target: str | Path, *, task: Table, run_dir: str | Path | None = None, **options: Any
) -> Result:
    """Make a pre-trained encoder smaller and faster for a task, and write it to ``target``.

    Args:
        model: folder or Hub name of the encoder.
        target: folder to write; must not exist.
        task: a table's file, a data frame, a ``datasets`` object (one split, or splits by name), or a task by name.
        run_dir: where everything of the search goes; beside ``target`` when not given.
        options: flags of ``shrink_model``, a goal among them: ``faster=3``, ``smaller=4``, ``latency_ms=5`` or
            ``max_drop=1``.

    Raises:
        ValueError: as the command, for what is wrong with the options, the encoder or the table.
    """
    target = Path(target).absolute()
    place = Path(run_dir).absolute() if run_dir else target.with_name(f"{target.name}.run")
    with own_packages():
        from search.shrink import shrink_model

        shrink_model([str(model), str(target), *_flags({**as_files(task, place), "run_dir": place, **options})])
    return Result(target, place)


def search(
    task: Table,
    *,
    start_from: str | Path | Sequence[str] | None = None,
    goal: Mapping[str, float] | None = None,
    space: str | Path | None = None,
    run_dir: str | Path | None = None,
    **options: Any,
) -> Result:
    """Search for the best model for a task.

    Args:
        task: a table's file, a data frame, a ``datasets`` object (one split, or splits by name), or a task by name.
        start_from: pre-trained encoders to start from; from scratch when not given.
        goal: of ``shrink`` (``{"faster": 3}``), for one encoder to start from; from scratch, the most that
            ``parameters``, ``flops`` or ``latency_ms`` may be. Without one the score is all that counts.
        space: what is searched from scratch, where no ``dataset_file`` (a graph library) is given: the name of a space
            that comes along or a YAML file.
        run_dir: where everything goes; a new folder below ``runs`` when not given.
        options: flags of ``run_boshnas``, or with a goal for an encoder of ``shrink_model``.

    Raises:
        ValueError: as the commands.
    """
    place = Path(run_dir).absolute() if run_dir else _new_folder()
    if goal is not None and start_from is not None:
        if not isinstance(start_from, str | Path):
            raise ValueError(f"'goal' needs one encoder to start from in 'start_from'. Got {start_from!r}")
        return shrink(start_from, place / "best-model", task=task, run_dir=place, **goal, **options)
    if goal is not None:
        if unknown := goal.keys() - set(LIMITS):
            raise ValueError(
                f"'goal' of a search from scratch may limit {', '.join(LIMITS)}; others, as {min(unknown)!r}, compare "
                "with an encoder: give one in 'start_from'"
            )
        options["constraints"] = [f"{name}={float(limit)!r}" for name, limit in goal.items()]
    starts = [start_from] if isinstance(start_from, str | Path) else list(start_from or ())
    with own_packages():
        from search.run_boshnas import run_boshnas

        if not starts and "dataset_file" not in options:
            options["dataset_file"] = _library(space or SPACE, place / "library.json")
        run_boshnas(_flags({**as_files(task, place), "run_dir": place, "start_from": starts, **options}))
    return Result(place / "best", place)


def _library(space: str | Path, file: Path) -> Path:
    """The graph library of a space, made where it is not there yet."""
    from embeddings.generate_library import generate_library

    if not file.exists():
        # In this process: one that it starts would look for our packages in the user's folder.
        generate_library(_flags({"design_space": space, "dataset_file": file, "n_jobs": 1}))
    return file


def _flags(values: Mapping[str, Any]) -> list[str]:
    from design_space.options import as_flags

    return as_flags({name: list(value) if isinstance(value, tuple) else value for name, value in values.items()})


def _new_folder() -> Path:
    Path("runs").mkdir(exist_ok=True)
    return Path(tempfile.mkdtemp(prefix="search-", dir="runs")).absolute()
