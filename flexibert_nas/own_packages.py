"""This project's packages by their names, whatever else bears these names.

A folder of a user's own often holds a ``dataset.py`` or a ``search.py``, which Python would import in place of ours:
from the folder of a notebook or script, and on the workers of Ray, which look where the driver looks.
"""

import contextlib
import importlib.machinery
import sys
from collections.abc import Iterator, Sequence
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType

ROOMS = ("design_space", "embeddings", "dataset", "flexibert", "search")
_PLACE = Path(__file__).resolve().parents[1]
_aside: dict[str, ModuleType] = {}
"""Modules of ours whose names mean a user's outside of ``own_packages``."""


class _Finder(MetaPathFinder):
    """Finds ``ROOMS`` beside this package."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        if path is not None or fullname not in ROOMS:
            return None
        return importlib.machinery.PathFinder.find_spec(fullname, [str(_PLACE)])


_FINDER = _Finder()


def prefer_own_packages() -> None:
    """From here on, in a process that is all ours (a command, a worker of Ray), the names mean our packages."""
    if _FINDER not in sys.meta_path:
        sys.meta_path.insert(0, _FINDER)


@contextlib.contextmanager
def own_packages() -> Iterator[None]:
    """For the time of the block, in a process that is the user's, the names mean our packages; before and after it
    those that the user's folder holds are the user's. Blocks may be nested."""
    if _FINDER in sys.meta_path:
        yield
        return
    theirs = {name: module for name, module in sys.modules.items() if _is_of_rooms(name) and not _is_ours(name)}
    for name in theirs:
        del sys.modules[name]
    sys.modules.update(_aside)
    _aside.clear()
    sys.meta_path.insert(0, _FINDER)
    try:
        yield
    finally:
        sys.meta_path.remove(_FINDER)
        taken = {name.partition(".")[0] for name in theirs} | {room for room in ROOMS if not _finds_ours(room)}
        for name in [name for name in sys.modules if name.partition(".")[0] in taken]:
            _aside[name] = sys.modules.pop(name)
        sys.modules.update(theirs)


def _is_of_rooms(name: str) -> bool:
    return name.partition(".")[0] in ROOMS


def _is_ours(name: str) -> bool:
    room = name.partition(".")[0]
    file = getattr(sys.modules.get(room), "__file__", None)
    return file is not None and Path(file).resolve() == _PLACE / room / "__init__.py"


def _finds_ours(room: str) -> bool:
    """Whether an import outside of the block would find our package: only files before it on the path hide it."""
    for finder in sys.meta_path:
        spec = finder.find_spec(room, None)
        if spec is not None:
            return spec.origin is not None and Path(spec.origin).resolve() == _PLACE / room / "__init__.py"
    return False
