"""The journal of a search, digested: read on from where one left off, so that a look costs what it has grown by; and
what its prepared data tell about scores.
"""

import os
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dataset import PreparedData

from ..objectives import Goals, parse_limit
from ..records.journal import Journal, TrialRecord, best_record, note_event

_REPORTED = ("phase", "progress", "loss", "validation_score")
_MOST_POINTS = 100


@dataclass(frozen=True)
class TaskFacts:
    """What scores are.

    Attributes:
        metric: its name.
        most_frequent_class: the score, on validation, of always answering the most frequent class; None where the
            metric is no accuracy.
    """

    metric: str
    most_frequent_class: float | None = None

    @staticmethod
    def of(data_dir: Path) -> "TaskFacts | None":
        """None while the data are not prepared."""
        try:
            data = PreparedData.load(data_dir)
            is_accuracy = data.metric == "accuracy" and not data.task_names
            return TaskFacts(data.metric, data.majority_share("validation") if is_accuracy else None)
        except (ValueError, OSError):
            return None


@dataclass
class Progress:
    """What a journal says. ``started`` when a trial was last taken up, ``reported`` what it said last, ``finished``
    which have, in that order. ``curves``: of trials in training, validation scores by epoch.

    Attributes:
        task: what the prepared data say; None before they are there.
        place: which file was read.
        num_bytes, num_lines: how much of it.
        lock: held by whoever reads on, or looks.
    """

    place: int | None = None
    num_bytes: int = 0
    num_lines: int = 0
    records: dict[str, TrialRecord] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    reported: dict[str, dict[str, Any]] = field(default_factory=dict)
    finished: list[str] = field(default_factory=list)
    curves: dict[str, list[tuple[float, float]]] = field(default_factory=dict)
    task: TaskFacts | None = None
    damage: str | None = None
    lock: threading.RLock = field(default_factory=threading.RLock)

    def read_on(self, journal: Journal) -> None:
        """Digest the whole lines that were written since; from the beginning where the file is another one, or
        shorter."""
        try:
            stream = journal.path.open("rb")
        except FileNotFoundError:
            self._forget()
            return
        with stream:
            found = os.fstat(stream.fileno())
            is_mended = self.damage is not None and found.st_size != self.num_bytes
            if found.st_ino != self.place or found.st_size < self.num_bytes or is_mended:
                self._forget()
            if found.st_size == self.num_bytes:
                return
            stream.seek(self.num_bytes)
            new = stream.read()
        whole = new[: new.rfind(b"\n") + 1]
        first, self.place = self.num_lines + 1, found.st_ino
        self.num_bytes += len(whole)
        self.num_lines += whole.count(b"\n")
        try:
            for event in journal.events_of(whole, first):
                self._note(event)
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            self.damage = f"The journal is damaged: {str(error).removeprefix(f'{journal.path}, ')}"

    def _forget(self) -> None:
        self.place, self.num_bytes, self.num_lines, self.damage = None, 0, 0, None
        self.records, self.started, self.reported, self.finished, self.curves = {}, {}, {}, [], {}

    def _note(self, event: Mapping[str, Any]) -> None:
        note_event(self.records, event)
        trial = event["trial"]
        if event["event"] == "started":
            self.started[trial] = event["time"]
            self.reported.pop(trial, None)
            self.curves[trial] = []
        elif event["event"] == "reported":
            self.reported[trial] = {name: event[name] for name in _REPORTED if name in event}
            if "validation_score" in event and trial in self.curves:
                point = float(event.get("epoch", len(self.curves[trial]) + 1)), event["validation_score"]
                self.curves[trial] = [*self.curves[trial], point][-_MOST_POINTS:]
        else:
            self.curves.pop(trial, None)
            if event["event"] == "finished":
                self.finished.append(trial)

    def best(self, options: Mapping[str, Any]) -> TrialRecord | None:
        """The best finished trial, by what the search's options say it is for; None when there is none."""
        if all(record.score is None for record in self.records.values()):
            return None
        constraints = dict(map(parse_limit, options.get("constraints", [])))
        return best_record(list(self.records.values()), Goals(constraints=constraints))
