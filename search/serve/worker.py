"""The process that runs one search, apart from the service, so that either may die without the other.

Started as a file (``python -P worker.py FOLDER GRACE_S``); imports nothing of ours, so it is small and starts at once.
It holds the folder's ``lock`` while the search lives, and hands it on to the commands it starts: the lock tells that a
search is running, whoever has died. ``SIGTERM`` (or ``SIGINT``) becomes one ``SIGINT`` to the command, on which
``run_boshnas`` ends Ray; what has not ended after the grace time, or by a second signal, is killed.

Files: ``commands.json`` what to run, ``queued`` removed when it starts, ``started.json``, ``log.txt``, ``ended.json``
with the state: ``stopped`` when the file ``stop`` asked for it, ``interrupted`` when someone else ended it.
"""

import contextlib
import errno
import fcntl
import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import IO

import psutil

_LOCK_PATIENCE_S = 1.0
"""The service tests the lock by taking it for a moment."""
_POLL_S = 0.1
_SPACE_POLL_S = 1.0


class Worker:
    """Runs the commands of a folder, one after the other."""

    def __init__(self, folder: Path, grace_s: float) -> None:
        self.folder = folder
        self.grace_s = grace_s
        self.stop_time: float | None = None
        self.child: subprocess.Popen[bytes] | None = None

    def run(self) -> None:
        """Run unless another worker does, or has done, what was queued."""
        with (self.folder / "lock").open("a") as lock:
            if not _acquired(lock) or not (self.folder / "queued").exists():
                return
            # A caught signal is back to its default in the commands, even where this process was told to ignore it.
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, self._stop)
            (self.folder / "ended.json").unlink(missing_ok=True)
            started = time.time()
            _write(self.folder / "started.json", {"time": started, "pid": os.getpid()})
            (self.folder / "queued").unlink()
            code = 0
            for command in json.loads((self.folder / "commands.json").read_text(encoding="utf-8")):
                code = self._run(command, lock)
                if code != 0 or self.stop_time is not None:
                    break
            _write(self.folder / "ended.json", {"state": self._state(code), "code": code, "time": time.time()})

    def _state(self, code: int) -> str:
        if self.stop_time is not None and code != 0:
            return "stopped" if (self.folder / "stop").exists() else "interrupted"
        return "finished" if code == 0 else "failed"

    def _run(self, command: list[str], lock: IO[str]) -> int:
        """Run one command to its end; returns its exit code, negative for a signal."""
        if self.stop_time is not None:
            return -signal.SIGINT
        with (self.folder / "log.txt").open("ab") as log:
            self.child = subprocess.Popen(
                command, cwd=self.folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log, pass_fds=[lock.fileno()]
            )
            if self.stop_time is not None:  # a signal came before there was a child to hand it to
                self.child.send_signal(signal.SIGINT)
            while (code := self.child.poll()) is None:
                if self.stop_time is not None and time.monotonic() > self.stop_time + self.grace_s:
                    kill_tree(self.child.pid)
                time.sleep(_POLL_S)
        self.child = None
        _kill_group()
        return code

    def _stop(self, number: int, frame: object) -> None:
        if self.stop_time is not None:
            self.stop_time = -math.inf
            return
        self.stop_time = time.monotonic()
        if self.child is not None:
            self.child.send_signal(signal.SIGINT)


def _acquired(lock: IO[str]) -> bool:
    deadline = time.monotonic() + _LOCK_PATIENCE_S
    while time.monotonic() < deadline:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(0.01)
        else:
            return True
    return False


def _kill_group() -> None:
    """What a command that was killed left behind: Ray's processes are of this process's group, or children of one."""
    for process in psutil.process_iter():
        try:
            if process.pid != os.getpid() and os.getpgid(process.pid) == os.getpgrp():
                kill_tree(process.pid)
        except (ProcessLookupError, PermissionError):
            continue


def kill_tree(pid: int) -> None:
    """Kill a process and all below it."""
    with contextlib.suppress(psutil.Error):
        process = psutil.Process(pid)
        for member in (*process.children(recursive=True), process):
            with contextlib.suppress(psutil.Error):
                member.kill()


def _write(path: Path, content: dict[str, object]) -> None:
    """Onto the disk; where that is full, when there is space again."""
    temporary = path.with_name(f".{path.name}")
    while path.parent.is_dir():
        try:
            with temporary.open("w", encoding="utf-8") as stream:
                json.dump(content, stream)
                stream.flush()
                os.fsync(stream.fileno())
            temporary.replace(path)
            return
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
        time.sleep(_SPACE_POLL_S)


if __name__ == "__main__":
    Worker(Path(sys.argv[1]).absolute(), float(sys.argv[2])).run()
