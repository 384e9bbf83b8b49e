"""What models of searches say about texts of clients, in a process of its own: however long it takes to load a model or
to read a text, the service lives on.

One request is answered at a time. The process keeps the models that were asked last, and ends when nobody asks.
"""

import multiprocessing
import threading
from collections.abc import Sequence
from multiprocessing.connection import Connection
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Literal

from design_space.plugins import load_plugins

from .reading import BusyError, get_ready

MOST_TEXTS, LONGEST_TEXT = 64, 10_000
"""Texts of a request, and characters of each."""

TIME_S = 60.0
"""For a request, a model that has to be loaded first included."""

_MOST_WAITING = 8
_IDLE_S = 600.0
_KEPT = 2
_context = multiprocessing.get_context("forkserver")

Found = tuple[Literal["answers", "texts", "model"], Any]
"""Answers and what ran the model, or what is wrong with the texts or the model."""


class UnfitModelError(RuntimeError):
    """The model cannot answer."""


class Answerer:
    """Answers by the models in folders. For several threads.

    Args:
        plugins: modules that are imported before a model is loaded.
    """

    def __init__(self, plugins: Sequence[str] = ()) -> None:
        self._plugins = tuple(plugins)
        self._waiting, self._turn = threading.BoundedSemaphore(_MOST_WAITING), threading.Lock()
        self._process: BaseProcess | None = None
        self._pipe: Connection | None = None

    def answers(self, folder: Path, texts: Sequence[str]) -> tuple[list[dict[str, Any]], str]:
        """What the model in a folder says about each text, and what ran it.

        Raises:
            ValueError: for texts that it does not take.
            UnfitModelError: for a folder whose model does not answer texts.
            BusyError: when too many others ask, or it takes too long.
        """
        if not self._waiting.acquire(blocking=False):
            raise BusyError("Other texts are being answered; try again in a minute")
        try:
            with self._turn:
                kind, found = self._asked(folder, texts)
        finally:
            self._waiting.release()
        if kind == "texts":
            raise ValueError(found)
        if kind == "model":
            raise UnfitModelError(found)
        return found

    def close(self) -> None:
        """End the process."""
        if self._process is not None and self._pipe is not None:
            self._process.kill()
            self._process.join()
            self._process.close()
            self._pipe.close()
        self._process = self._pipe = None

    def _asked(self, folder: Path, texts: Sequence[str]) -> Found:
        pipe = self._started()
        try:
            pipe.send((folder, list(texts)))
            if pipe.poll(TIME_S):
                found: Found = pipe.recv()
                return found
            reason = f"takes more than {TIME_S:.0f} s; send fewer or shorter texts"
        except (EOFError, OSError):
            reason = "broke off; try again"
        self.close()
        raise BusyError(f"To answer {reason}")

    def _started(self) -> Connection:
        """The end of a pipe to the process, which is started where there is none."""
        if self._process is not None and not self._process.is_alive():
            self.close()
        if self._pipe is None:
            get_ready()
            self._pipe, theirs = _context.Pipe()
            self._process = _context.Process(target=_answer_all, args=(theirs, self._plugins), daemon=True)
            self._process.start()
            theirs.close()
        return self._pipe


def _answer_all(pipe: Connection, plugins: Sequence[str]) -> None:
    """The process: answers until nobody has asked for a while, or the service has ended."""
    from transformers.utils import logging as transformers_logging

    from flexibert.export.answering import Answering

    transformers_logging.disable_progress_bar()
    load_plugins(plugins)
    kept: dict[tuple[Path, int], Answering] = {}
    while pipe.poll(_IDLE_S):
        try:
            folder, texts = pipe.recv()
        except EOFError:
            return
        pipe.send(_found(folder, texts, kept))


def _found(folder: Path, texts: Sequence[str], kept: dict[Any, Any]) -> Found:
    """Answers, by a model that is kept as the last one of a few."""
    from flexibert.export.answering import export_of, predictor_of, written

    try:
        key = (folder, written(folder), written(export_of(folder)))
        answering = kept.pop(key, None) or predictor_of(folder)
    except Exception as error:  # a damaged folder can make its reader raise anything
        why = str(error) if isinstance(error, ValueError) else f"it cannot be loaded ({type(error).__name__})"
        return "model", why
    kept[key] = answering
    while len(kept) > _KEPT:
        del kept[next(iter(kept))]
    try:
        return "answers", (answering.predictor.batch(texts), answering.runtime)
    except ValueError as error:
        return "texts", str(error)
