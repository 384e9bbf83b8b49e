"""Modules of the user's own that register operations or morphisms when they are imported."""

import importlib
import importlib.util
import sys
from collections.abc import Iterable, Sequence
from importlib.machinery import PathFinder
from pathlib import Path

_loaded: dict[str, None] = {}


def load_plugins(names: Iterable[str]) -> None:
    """Import modules by their dotted names, each once. They may lie in the current working directory, as for
    ``python -m``.

    Raises:
        ValueError: for a module that cannot be imported, with the cause.
    """
    for name in names:
        if name in _loaded:
            continue
        here = str(Path.cwd())
        if not getattr(sys.flags, "safe_path", False) and here not in sys.path and "" not in sys.path:
            sys.path.insert(0, here)
        try:
            importlib.import_module(name)
        except (Exception, SystemExit) as error:  # whatever the module's own code raises
            raise ValueError(
                f"The plugin '{name}' cannot be imported: {type(error).__name__}: {error}. Give the dotted name of a "
                f"module that is installed or lies below {here}. (A model folder with the module's code loads without "
                "it where 'flexibert' is not imported, with trust_remote_code=True)"
            ) from error
        _loaded[name] = None


def check_not_hidden(path: Sequence[str] | None = None) -> None:
    """A check that no file of a user's is imported in place of our packages, as ``python -m`` does with those of the
    working directory.

    Args:
        path: where imports look; where those of this process do when not given.

    Raises:
        ValueError: with the file's name.
    """
    place = Path(__file__).resolve().parents[1]
    for room in ("design_space", "dataset", "embeddings", "flexibert", "search"):
        found = importlib.util.find_spec(room) if path is None else PathFinder.find_spec(room, path)
        if found and found.origin and not Path(found.origin).resolve().is_relative_to(place / room):
            raise ValueError(
                f"{found.origin} would be imported in place of this project's package '{room}'. The installed commands "
                "and `python -m flexibert_nas COMMAND` do not look there; else rename it, or start from another folder"
            )


def loaded_plugins() -> tuple[str, ...]:
    """Names of the plugins of this process, in the order in which they were imported."""
    return tuple(_loaded)
