"""A run directory: what is needed to repeat a run, its journal, its models, and whether it may be written to.

``config.yaml`` every option; ``journal.jsonl``; ``data/`` the prepared task; ``models/<hash>/``; ``work/``
checkpoints of trials in flight; ``best/``; ``summary.md``; ``report.html``; ``.lock`` held while a process works here.
"""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from filelock import FileLock, Timeout
from pydantic import TypeAdapter
from typing_extensions import TypedDict

from design_space.files import read_yaml, write_atomically
from design_space.schemas import SHAPE, checked

from .journal import Journal

FORMAT = 1
"""Of the files of a run; raised when older versions could not go on with it."""


class _Config(TypedDict, total=False):
    """Of ``config.yaml``, what is read without the declarations of the options, which check all of them."""

    __pydantic_config__ = SHAPE  # type: ignore[misc]
    format: int
    library_fingerprint: str
    task: str | None
    dataset_file: str | None
    objectives: list[str] | None
    constraints: list[str] | None


_CONFIG: TypeAdapter[Any] = TypeAdapter(_Config)


class RunDirectory:
    """The places inside a run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config_file = path / "config.yaml"
        self.journal = Journal(path / "journal.jsonl")
        self.data_dir, self.models_dir, self.work_dir = path / "data", path / "models", path / "work"
        self.best_dir = path / "best"
        self.summary_file = path / "summary.md"
        self.command_file = path / "command.txt"

    @contextlib.contextmanager
    def locked(self) -> Iterator[None]:
        """Keeps other processes away for the time of the block; the system frees the lock when this one dies.

        Raises:
            ValueError: when another process works here.
        """
        if self.path.exists() and not self.path.is_dir():
            raise ValueError(f"'run_dir' must be a folder. {self.path} is a file")
        self.path.mkdir(parents=True, exist_ok=True)
        lock = FileLock(self.path / ".lock", timeout=0)
        try:
            lock.acquire()
        except Timeout:
            raise ValueError(
                f"Another process searches in {self.path}. Wait for it, stop it, or choose another --run_dir"
            ) from None
        try:
            yield
        finally:
            lock.release()

    def exists(self) -> bool:
        """Says whether a run was set up here."""
        return self.config_file.exists()

    def has_begun(self) -> bool:
        """Says whether a trial was ever proposed here."""
        return next(self.journal.events(), None) is not None

    def check(self, fingerprint: str, *, resume: bool) -> None:
        """Checks that a run may start, or go on, here with this library.

        Raises:
            ValueError: when a new run would mix with another one's trials, or the run to resume searches another
                library.
        """
        if not resume and self.has_begun():
            raise ValueError(f"{self.path} already holds a run. Go on with --resume, or choose another --run_dir")
        if not resume:
            return
        self.journal.trials()  # damage is told before long work
        config = self.saved_config(with_fingerprint=True)
        if "library_fingerprint" not in config:
            raise ValueError(
                f"{self.config_file} is damaged: 'library_fingerprint' is missing, which says what the run searches"
            )
        if config["library_fingerprint"] != fingerprint:
            raise ValueError(
                f"The run in {self.path} searches another graph library than the one given. "
                "Give the one it was started with, or choose another --run_dir"
            )

    def keep(self, config: dict[str, Any], fingerprint: str) -> None:
        """Writes down the options, and cuts off what a killed process left half-written in the journal."""
        write_atomically(
            self.config_file,
            yaml.safe_dump(config | {"library_fingerprint": fingerprint, "format": FORMAT}, sort_keys=False),
        )
        self.journal.repair()

    def saved_config(self, *, with_fingerprint: bool = False) -> dict[str, Any]:
        """Returns the options of the run that was started here.

        Raises:
            ValueError: when there is none, or one of a newer version.
        """
        if not self.exists():
            raise ValueError(f"{self.path} holds no run (no config.yaml)")
        config = checked(_CONFIG, read_yaml(self.config_file), self.config_file)
        if (found := config.pop("format", FORMAT)) != FORMAT:
            raise ValueError(
                f"The run in {self.path} is of format {found}; this version reads format {FORMAT}. "
                "Go on with the version that started it, or choose another --run_dir"
            )
        if not with_fingerprint:
            config.pop("library_fingerprint", None)
        return config
