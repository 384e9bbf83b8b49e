"""The searches of a service: submitted, queued, started, stopped and resumed.

What is known of a search lies in its folder and nowhere else; this object keeps only the processes it started, to reap
them. A service that comes after one that died finds its searches running, and takes up those whose process was ended.
"""

import contextlib
import fcntl
import json
import logging
import os
import secrets
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Mapping
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import psutil
import yaml

from dataset.glue import GLUE
from design_space.files import read_yaml, write_atomically
from design_space.options import as_flags

from . import worker
from .folder import ID, DamagedSearchError, SearchFolder, UnknownSearchError, folders
from .options import check_search_options, is_shrinking
from .recent import Recent
from .schemas import SearchStatus, State
from .settings import TOKEN_VARIABLE, ServiceSettings
from .status import StatusReader
from .submission import Submission

_POLL_S, _AGE_S = 0.5, 0.5
_START_PATIENCE_S = 10.0
_logger = logging.getLogger(__name__)
_PACKAGES = Path(__file__).absolute().parents[2]
_PYTHON = [sys.executable, *(["-P"] if sys.version_info >= (3, 11) else [])]  # no modules from the working folder


class WrongStateError(RuntimeError):
    """The search is in a state in which this cannot be done."""


class FullQueueError(RuntimeError):
    """As many searches wait as may."""


class Jobs:
    """All searches below a root. For several threads; for one process a root.

    What goes wrong with one search, or in one round of the scheduler, is logged and tried again in the next round; it
    keeps no other search from anything.

    Raises:
        ValueError: when another service uses the root.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self.settings = settings
        self.reader = StatusReader()
        self._searches, self.incoming = settings.root / "searches", settings.root / "incoming"
        self._mutex = threading.RLock()
        self._positions = Recent(self._look_at_queue, age_s=_AGE_S)
        self._statuses = Recent(self._look_at_all, age_s=_AGE_S)
        self._workers: dict[str, subprocess.Popen[bytes]] = {}
        self._closing = threading.Event()
        self._searches.mkdir(parents=True, exist_ok=True)
        self._root_lock = (settings.root / "lock").open("a")
        try:
            fcntl.flock(self._root_lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._root_lock.close()
            raise ValueError(f"Another service runs on {settings.root}. Stop it, or choose another --root") from None
        shutil.rmtree(self.incoming, ignore_errors=True)
        self._problems: dict[str, str] = {}
        self._to_take_up = {folder.id for folder in self._in_state("interrupted")}
        self._take_up()
        self._look_at_all()  # so that whoever asks first does not wait until all journals are read
        self._thread = threading.Thread(target=self._schedule, name="scheduler", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Start no more searches; those that run go on without the service."""
        self._closing.set()
        self._thread.join()
        self._root_lock.close()

    def submit(self, submission: Submission) -> SearchStatus:
        """Check and queue a search.

        Raises:
            ValueError: listing what is wrong with it.
            FullQueueError: when too many wait.
        """
        self._check_room()
        now = time.time()
        name = f"{datetime.fromtimestamp(now, timezone.utc):%Y%m%d-%H%M%S}-{secrets.token_hex(4)}"
        incoming = SearchFolder(self.incoming / name)
        incoming.path.mkdir(parents=True)
        try:
            submission.write(incoming.path, self.settings.offered)
            incoming.change_request(created=now)
            incoming.enqueue(now)
            with self._mutex:
                self._check_room()
                incoming.path.rename(self._searches / name)
        finally:
            shutil.rmtree(incoming.path, ignore_errors=True)
        self._start_next()
        self._look_again()
        return self.status(name)

    def find(self, search_id: str) -> SearchFolder:
        """The folder of a search. Raises ``UnknownSearchError``."""
        folder = SearchFolder(self._searches / search_id)
        if not ID.fullmatch(search_id) or not (folder.path / "search.json").exists():
            raise UnknownSearchError(f"There is no search {search_id[:80]!r}")
        return folder

    def status(self, search_id: str) -> SearchStatus:
        """All about one search. Raises ``UnknownSearchError``."""
        folder = self.find(search_id)
        return self._status(folder)

    def everything(self) -> Mapping[str, str]:
        """The status of each search as JSON by its id, the latest first, as they were at most half a second ago, and
        after all that was asked of this object."""
        return self._statuses()

    def _look_again(self) -> None:
        self._positions.forget()
        self._statuses.forget()

    def _look_at_all(self) -> dict[str, str]:
        found, there = dict[str, str](), list(folders(self._searches))
        for folder in reversed(there):
            with contextlib.suppress(UnknownSearchError):  # removed meanwhile
                found[folder.id] = self._status(folder).model_dump_json()
        self.reader.forget_others(there)
        return found

    def _look_at_queue(self) -> dict[str, int]:
        return {folder.id: number for number, folder in enumerate(self._waiting(), start=1)}

    def _status(self, folder: SearchFolder) -> SearchStatus:
        position, problem = self._positions().get(folder.id), self._problems.get(folder.id)
        return self.reader.status(folder, queue_position=position, problem=problem)

    def stop(self, search_id: str) -> SearchStatus:
        """Take a search out of the queue, or let it end; one that is ending already is killed.

        Raises:
            UnknownSearchError: for an unknown id.
            WrongStateError: when it has ended.
        """
        folder = self.find(search_id)
        with self._mutex:
            self._await_start(folder)
            state = folder.state()
            if state == "queued":
                folder.end("stopped")
            elif state in ("running", "stopping"):
                (folder.path / "stop").touch()
                _tell_to_end(folder)
            else:
                raise WrongStateError(f"The search is {state}; there is nothing to stop")
        self._look_again()
        return self.status(search_id)

    def resume(self, search_id: str, options: Mapping[str, Any]) -> SearchStatus:
        """Queue a search again; it goes on where it was, with ``options`` in place of its own.

        Raises:
            UnknownSearchError: for an unknown id.
            WrongStateError: when it is queued or running, or finished and ``options`` is empty.
            FullQueueError: when too many wait.
            ValueError: for wrong options.
        """
        folder = self.find(search_id)
        with self._mutex:
            state = folder.state()
            if state in ("queued", "running", "stopping"):
                raise WrongStateError(f"The search is {state}; only one that has ended can be resumed")
            changes = {name: value for name, value in options.items() if value is not None}
            merged = self._merged(folder, changes)
            if state == "finished" and is_shrinking(merged, folder.request.get("start_from")):
                raise WrongStateError("The search is finished, as its goal said; submit another one")
            if state == "finished" and not changes:
                raise WrongStateError("The search is finished; give options to go on with, such as a larger max_trials")
            self._check_room()
            if changes:
                write_atomically(folder.options_file, yaml.safe_dump(merged))
                folder.change_request(options=merged)
            folder.enqueue(time.time())
        self._start_next()
        self._look_again()
        return self.status(search_id)

    def _merged(self, folder: SearchFolder, changes: Mapping[str, Any]) -> dict[str, Any]:
        """The options of a search with others in place of its own, checked together."""
        start_from, before = folder.request.get("start_from"), read_yaml(folder.options_file)
        return check_search_options(before | dict(changes), start_from) if changes else before

    def _check_room(self) -> None:
        if len(self._waiting()) >= self.settings.max_queued + self._free_slots():
            raise FullQueueError(f"{self.settings.max_queued} searches wait already; try again when one has ended")

    def _waiting(self) -> list[SearchFolder]:
        """Queued searches, the next one first; not those that are starting."""
        found = [folder for folder in self._in_state("queued") if folder.id not in self._workers]
        return sorted(found, key=lambda folder: folder.queued_since())

    def _free_slots(self) -> int:
        running = self._workers.keys() | {folder.id for folder in self._in_state("running", "stopping")}
        return max(0, self.settings.max_running - len(running))

    def _in_state(self, *states: State) -> list[SearchFolder]:
        """The searches in one of the states, without those whose files do not tell."""
        found = []
        for folder in folders(self._searches):
            with contextlib.suppress(DamagedSearchError, OSError):
                if folder.state() in states:
                    found.append(folder)
        return found

    def _schedule(self) -> None:
        while not self._closing.wait(_POLL_S):
            with self._noting("the scheduler"):
                self._start_next()

    def _start_next(self) -> None:
        with self._mutex:
            self._reap()
            if self._closing.is_set():
                return
            self._take_up()
            for folder in self._waiting():
                if self._free_slots() == 0:
                    break
                with self._noting(folder.id):
                    self._start(folder)

    def _take_up(self) -> None:
        """Queue what the end of the service before this one, or of the machine, has interrupted."""
        for name in list(self._to_take_up):
            folder = SearchFolder(self._searches / name)
            with self._noting(name):
                if folder.state() == "interrupted":
                    folder.enqueue(folder.request["created"])
                self._to_take_up.discard(name)

    def _reap(self) -> None:
        for name, process in list(self._workers.items()):
            if process.poll() is not None:
                folder = SearchFolder(self._searches / name)
                with self._noting(name):
                    if process.returncode != 0 and folder.state() == "queued":  # it broke before it began
                        folder.end("failed")
                    del self._workers[name]

    @contextlib.contextmanager
    def _noting(self, what: str) -> Iterator[None]:
        """Log what goes wrong with a search, once, and keep it for whoever asks."""
        try:
            yield
        except UnknownSearchError:  # removed meanwhile
            self._to_take_up.discard(what)
            self._workers.pop(what, None)
        except Exception as error:
            problem = f"{type(error).__name__}: {error}"
            if self._problems.get(what) != problem:
                _logger.warning("%s: %s; it is tried again", what, problem)
            self._problems[what] = problem
        else:
            self._problems.pop(what, None)

    def _start(self, folder: SearchFolder) -> None:
        write_atomically(folder.path / "commands.json", json.dumps(self._commands(folder)))
        environment = {name: value for name, value in os.environ.items() if name != TOKEN_VARIABLE}
        here = str(Path.cwd()) if self.settings.plugins else None  # where the service found them
        paths = [str(_PACKAGES), *filter(None, [here, environment.get("PYTHONPATH")])]
        environment |= {"PYTHONPATH": os.pathsep.join(paths), "PYTHONUNBUFFERED": "1"}
        with folder.log_file.open("ab") as log:
            self._workers[folder.id] = subprocess.Popen(
                [*_PYTHON, worker.__file__, str(folder.path), str(self.settings.stop_grace_s)],
                cwd=folder.path,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )

    def _commands(self, folder: SearchFolder) -> list[list[str]]:
        """What the worker runs: the library when it is not there yet, then the search, resumed when it has begun."""
        python, request, commands = [*_PYTHON, "-m"], folder.request, []
        plugins, start_from = {"plugin": list(self.settings.plugins)}, request.get("start_from")
        if folder.library and not folder.library.exists():
            places = {"design_space_file": folder.path / "space.yaml", "dataset_file": folder.library}
            flags = as_flags(plugins | places | request["library_options"])
            commands.append([*python, "embeddings.generate_library", *flags])
        uploads = {"task": "table", "validation_file": "validation", "test_file": "test"}
        values: dict[str, Any] = plugins | {
            "run_dir": folder.run.path,
            **{name: folder.path / request[place] for name, place in uploads.items() if request.get(place)},
            "corpus": [folder.path / place for place in request["corpus"]],
        }
        if "task" in request:
            values |= {"task": request["task"], "data_dir": self._data_dir(request["task"])}
        if is_shrinking(request["options"], start_from):
            assert start_from is not None
            own = [flag for name, value in request["options"].items() for flag in _as_flag(name, value)]
            return [[*python, "search.shrink", start_from, str(folder.path / "model"), *as_flags(values), *own]]
        values |= {"dataset_file": folder.library, "start_from": start_from, "config": folder.options_file}
        flags = as_flags(values | {"resume": folder.run.exists()})
        return [*commands, [*python, "search.run_boshnas", *flags]]

    def _data_dir(self, task: str) -> Path | None:
        """GLUE's files on this server, where there are."""
        data_dir = self.settings.data_dir
        if data_dir is None or task == "glue":
            return data_dir
        places = [data_dir / GLUE[task].folder, data_dir / task] if task in GLUE else []
        return next((place for place in places if place.is_dir()), None)

    def _await_start(self, folder: SearchFolder) -> None:
        """Let a worker that was just started take its lock, so that it can be told to stop."""
        deadline = time.monotonic() + _START_PATIENCE_S
        while (
            (process := self._workers.get(folder.id)) is not None
            and process.poll() is None
            and (folder.path / "queued").exists()
            and time.monotonic() < deadline
        ):
            time.sleep(0.02)


def _as_flag(name: str, value: Any) -> list[str]:
    """A client's option on a command line, where its text is no flag whatever it begins with."""
    if isinstance(value, Mapping):
        value = ",".join(f"{key}={number}" for key, number in value.items())
    return [f"--{name}={value}"] if isinstance(value, str) else as_flags({name: value})


def _tell_to_end(folder: SearchFolder) -> None:
    """Signal the worker; where it was killed, kill the command that it left behind."""
    of_search = {
        process: line for process, line in _command_lines() if any(str(folder.path) in argument for argument in line)
    }
    workers = [process for process, line in of_search.items() if worker.__file__ in line]
    for process in workers:
        with contextlib.suppress(psutil.Error):
            process.terminate()
    if not workers:
        for process in of_search:
            worker.kill_tree(process.pid)
        folder.end("stopped")


def _command_lines() -> Iterator[tuple[psutil.Process, list[str]]]:
    """Of this user's processes."""
    for process in psutil.process_iter():
        with contextlib.suppress(psutil.Error):
            if process.uids().real == os.getuid():
                yield process, process.cmdline()
