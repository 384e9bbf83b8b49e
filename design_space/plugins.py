"""Modules of the user's own that register operations or morphisms when they are imported."""

import importlib
import importlib.machinery
import importlib.util
import sys
from collections.abc import Iterable
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
        if not sys.flags.safe_path and here not in sys.path and "" not in sys.path:
            sys.path.insert(0, here)
        try:
            importlib.import_module(name)
        except Exception as error:  # whatever the module's own code raises
            raise ValueError(
                f"The plugin '{name}' cannot be imported: {type(error).__name__}: {error}. Give the dotted name of a "
                f"module that is installed or lies below {here}. (A model folder with the module's code loads without "
                "it where 'flexibert' is not imported, with trust_remote_code=True)"
            ) from error
        _loaded[name] = None


def check_not_hidden() -> None:
    """A check that the working directory holds nothing that Ray's workers, which look there first, would import in
    place of our packages. Raises ``ValueError`` with its name."""
    here = Path.cwd()
    for room in ("design_space", "dataset", "embeddings", "flexibert", "search"):
        found = importlib.machinery.PathFinder.find_spec(room, [str(here)])
        ours = importlib.util.find_spec(room)
        if found and found.origin and ours and ours.origin and not Path(found.origin).samefile(ours.origin):
            raise ValueError(
                f"{found.origin} would be imported in place of this project's package '{room}'. Rename it, or start "
                "from another folder"
            )


def loaded_plugins() -> tuple[str, ...]:
    """Names of the plugins of this process, in the order in which they were imported."""
    return tuple(_loaded)
