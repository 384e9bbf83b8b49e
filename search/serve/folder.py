"""The folder of one search, which is all the service knows of it.

``search.json`` what was asked; ``options.yaml``; ``library.*`` (and ``space.yaml``); ``table/``, ``corpus/`` what was
uploaded; ``run/`` the run directory; and the files of ``worker``.
"""

import contextlib
import fcntl
import json
import math
import re
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from pathlib import Path
from typing import Any, get_args

from design_space.files import write_atomically

from ..records.run_directory import RunDirectory
from .schemas import State

ID = re.compile(r"\d{8}-\d{6}-[0-9a-f]{8}", re.ASCII)
_TAIL_BYTES = 64 * 1024
_ASKED = ("name", "task_name", "created", "options", "library", "library_options", "corpus")


class UnknownSearchError(LookupError):
    """No search has this id."""


class DamagedSearchError(RuntimeError):
    """A file of a search is not what the service wrote."""


@dataclass(frozen=True)
class SearchFolder:
    """The places inside the folder of a search, and the state they tell."""

    path: Path

    @property
    def id(self) -> str:
        return self.path.name

    @property
    def created(self) -> float:
        """When it was handed in, by its name; 0 where that is no time."""
        try:
            return datetime.strptime(f"{self.id[:15]}+0000", "%Y%m%d-%H%M%S%z").timestamp()
        except ValueError:
            return 0.0

    @cached_property
    def run(self) -> RunDirectory:
        return RunDirectory(self.path / "run")

    @property
    def options_file(self) -> Path:
        return self.path / "options.yaml"

    @property
    def library(self) -> Path | None:
        """The graph library, which may have to be made first; none of a search that starts from an encoder."""
        name = self.request["library"]
        return None if name is None else self.path / str(name)

    @property
    def request(self) -> dict[str, Any]:
        """What was asked for. Raises ``DamagedSearchError``, or ``UnknownSearchError`` when the search is gone."""
        content = _json(self.path / "search.json")
        if content is None:
            raise UnknownSearchError(f"There is no search {self.id!r}")
        if missing := [name for name in _ASKED if name not in content]:
            raise DamagedSearchError(f"search.json is damaged: it has no {', '.join(missing)}")
        return content

    @property
    def started(self) -> float | None:
        """When the last attempt started."""
        return (_json(self.path / "started.json") or {}).get("time")

    @property
    def ended(self) -> dict[str, Any]:
        """``state``, ``code`` and ``time`` of the last attempt's end; empty when there was none."""
        return _json(self.path / "ended.json") or {}

    @property
    def log_file(self) -> Path:
        return self.path / "log.txt"

    def state(self) -> State:
        """From the lock and the files, in the order in which they are believed.

        Raises:
            DamagedSearchError: when a file that tells is damaged.
        """
        for _ in range(2):  # between two looks at files a worker may have started
            if self.is_locked():
                return "stopping" if (self.path / "stop").exists() else "running"
            if (self.path / "queued").exists():
                return "queued"
            if ended := self.ended:
                if ended.get("state") not in get_args(State):
                    raise DamagedSearchError(f"ended.json is damaged: its state is {ended.get('state')!r}")
                state: State = ended["state"]
                return state
        return "stopped" if (self.path / "stop").exists() else "interrupted"

    def is_locked(self) -> bool:
        """Whether a process of the search lives. To look makes no file: the folder may be about to be removed."""
        try:
            with (self.path / "lock").open() as lock:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def enqueue(self, since: float) -> None:
        """Let it wait for its turn; a wish to stop is forgotten."""
        (self.path / "stop").unlink(missing_ok=True)
        write_atomically(self.path / "queued", json.dumps({"time": since}))

    def end(self, state: State) -> None:
        """Write down an end that no worker saw."""
        write_atomically(self.path / "ended.json", json.dumps({"state": state, "code": None, "time": time.time()}))
        (self.path / "queued").unlink(missing_ok=True)

    def change_request(self, **content: Any) -> None:
        """Write down more of what was asked for, or something else."""
        file = self.path / "search.json"
        write_atomically(file, json.dumps((_json(file) or {}) | content, indent=2))

    def queued_since(self) -> float:
        """Infinite when it is not waiting, or the file does not say."""
        try:
            return float((_json(self.path / "queued") or {}).get("time", math.inf))
        except (DamagedSearchError, ValueError, TypeError):
            return math.inf

    def log(self) -> str:
        """The end of what its processes printed."""
        if not self.log_file.exists():
            return ""
        with self.log_file.open("rb") as stream:
            stream.seek(max(0, self.log_file.stat().st_size - _TAIL_BYTES))
            return self.without_places(stream.read().decode("utf-8", errors="replace"))

    def without_places(self, text: str) -> str:
        """The text without the places of the folder, and of the encoder, on the server."""
        with contextlib.suppress(DamagedSearchError, UnknownSearchError):
            encoder = Path(str(self.request.get("start_from")))
            if encoder.is_absolute():
                text = text.replace(str(encoder), encoder.name)
        return text.replace(f"{self.path}/", "").replace(str(self.path), ".")


def folders(root: Path) -> Iterator[SearchFolder]:
    """All searches below ``root``, oldest first."""
    for path in sorted(root.iterdir()):
        if ID.fullmatch(path.name) and (path / "search.json").exists():
            yield SearchFolder(path)


def _json(path: Path) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_bytes())
    except FileNotFoundError:
        return None
    except (ValueError, RecursionError) as error:
        raise DamagedSearchError(f"{path.name} is damaged or cut off: {error}") from error
    if not isinstance(content, dict):
        raise DamagedSearchError(f"{path.name} is damaged: it holds no JSON object")
    return content
