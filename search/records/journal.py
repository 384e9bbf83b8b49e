"""The journal of a run: one JSON object a line, only ever appended, and the truth about what happened.

Events: ``suggested`` (with ``spec``, ``hash``, ``origin``, and ``predicted`` where there was a surrogate),
``started``, ``reported``, ``finished`` (with ``score``, ``objectives``, ``cost_s``) and ``failed`` (with ``error``, and
``cost_s`` where it is known); each with ``trial`` and ``time`` (seconds since the epoch). A process killed while
writing leaves a torn last line; opening the journal for appending cuts it off.
"""

import contextlib
import errno
import json
import math
import os
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from design_space.files import short

from ..candidate import Candidate
from ..objectives import SCORE, Goals
from .events import EVENTS, read_event


@dataclass
class TrialRecord:
    """What the journal says of one trial. ``state``: ``open`` (suggested, perhaps started), ``finished`` or
    ``failed``. ``predicted``: mean and deviation of the score, before it was known."""

    trial: str
    candidate: Candidate
    state: str = "open"
    score: float | None = None
    objectives: dict[str, float] = field(default_factory=dict)
    cost_s: float | None = None
    error: str | None = None
    predicted: tuple[float, float] | None = None

    @property
    def scored(self) -> str:
        """The score with its standard error, as people read it; of older runs without."""
        if self.score is None:
            return "-"
        error = self.objectives.get("score_error")
        return f"{self.score:.4f}" + ("" if error is None else f" ± {error:.4f}")


class Journal:
    """The file ``journal.jsonl`` of a run directory."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def append(self, event: str, trial: str, **content: Any) -> None:
        """Adds one line and makes sure it is on disk. Raises ``OSError``, and leaves the journal as it was, where that
        cannot be done."""
        assert event in EVENTS
        line = json.dumps({"event": event, "trial": trial, "time": round(time.time(), 3), **content}, allow_nan=False)
        self.path.parent.mkdir(parents=True, exist_ok=True)
        data = (line + "\n").encode()
        with self.path.open("ab", buffering=0) as stream:
            before = stream.tell()
            try:
                if stream.write(data) != len(data):
                    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(self.path))
                os.fsync(stream.fileno())
            except OSError:
                with contextlib.suppress(OSError):  # half a line would damage the next one
                    stream.truncate(before)
                raise

    def events(self) -> Iterator[dict[str, Any]]:
        """Yields all whole lines, oldest first; a torn last line is left out.

        Raises:
            ValueError: for a damaged line before the last.
        """
        if not self.path.exists():
            return
        whole, _, _torn = self.path.read_bytes().rpartition(b"\n")
        yield from self.events_of(whole)

    def events_of(self, whole: bytes, first: int = 1) -> Iterator[dict[str, Any]]:
        """Yields the events of whole lines that were read from the file, from line ``first`` on.

        Raises:
            ValueError: for a damaged line.
        """
        text = whole.decode("utf-8", errors="replace")
        for number, line in enumerate(text.removesuffix("\n").split("\n") if text else [], start=first):
            yield read_event(line, f"{self.path}, line {number}")

    def repair(self) -> None:
        """Cuts off a torn last line, so that the next one starts on a line of its own."""
        if not self.path.exists():
            return
        content = self.path.read_bytes()
        if content and not content.endswith(b"\n"):
            with self.path.open("r+b") as stream:
                stream.truncate(content.rfind(b"\n") + 1)

    def trials(self) -> dict[str, TrialRecord]:
        """Returns the state of every trial, in the order they were suggested.

        Raises:
            ValueError: for a damaged line, or one that does not follow from those before it.
        """
        records: dict[str, TrialRecord] = {}
        for number, event in enumerate(self.events(), start=1):
            try:
                note_event(records, event)
            except ValueError as error:
                raise ValueError(f"{self.path}, line {number} is damaged: {error}") from error
        return records


def note_event(records: dict[str, TrialRecord], event: Mapping[str, Any]) -> None:
    """Brings the records of a run up to an event. A trial that has failed may be run again.

    Raises:
        ValueError: when the event cannot come after those before it, or holds no candidate.
    """
    trial, record = event["trial"], records.get(event["trial"])
    if (record is None) != (event["event"] == "suggested"):
        raise ValueError(
            f"'{event['event']}' of trial {short(trial)}, which was "
            + ("never suggested: a line is missing" if record is None else "suggested already")
        )
    if record is not None and record.state == "finished" and event["event"] in ("finished", "failed"):
        raise ValueError(f"'{event['event']}' of trial {short(trial)}, which has finished already")
    if record is None:
        records[trial] = TrialRecord(trial, Candidate.from_dict(event))
        if "predicted" in event:
            records[trial].predicted = event["predicted"]["mean"], event["predicted"]["deviation"]
    elif event["event"] == "finished":
        record.state, record.score = "finished", event["score"]
        record.objectives, record.cost_s, record.error = event["objectives"], event["cost_s"], None
    elif event["event"] == "failed":
        record.state, record.error = "failed", event["error"]


def ranked_records(records: Sequence[TrialRecord], goals: Goals) -> list[TrialRecord]:
    """Ranks the finished trials: those that keep all constraints by score, then others by how little they break them;
    of equal ones the first suggested first."""
    finished = [record for record in records if record.score is not None]
    return sorted(finished, key=lambda record: (goals.constraint_violation(record.objectives), -(record.score or 0.0)))


def best_record(records: Sequence[TrialRecord], goals: Goals | None = None) -> TrialRecord:
    """Returns the first of ``ranked_records``. Raises ``ValueError`` when none is finished."""
    ranked = ranked_records(records, goals or Goals())
    if not ranked:
        raise ValueError("No trial has finished: there is no best model")
    return ranked[0]


def tied_records(records: Sequence[TrialRecord], goals: Goals) -> list[TrialRecord]:
    """Returns the trials that the highest score is not told apart from, the smallest first: those that keep all
    constraints and score at most one standard error of that score less (the rule of one standard error: Breiman et al.
    1984, "Classification and regression trees", section 3.4.3). Where no trial keeps the constraints, the first of
    ``ranked_records`` alone."""
    highest = best_record(records, goals)
    least = (highest.score or 0.0) - highest.objectives.get("score_error", 0.0)
    near = [record for record in records if record.score is not None and record.score >= least]
    tied = [record for record in near if goals.constraint_violation(record.objectives) == 0] or [highest]
    return sorted(tied, key=lambda record: (record.objectives.get("parameters", math.inf), -(record.score or 0.0)))


def front_records(records: Sequence[TrialRecord], goals: Goals) -> list[TrialRecord]:
    """Returns finished trials that keep all constraints and that no other beats in all objectives, the highest score
    first; none where the score is the only objective."""
    if not goals.costs:
        return []
    known = {record.trial: {SCORE: record.score, **record.objectives} for record in records if record.score is not None}
    trials = {record.trial: record for record in records}
    return [trials[trial] for trial in goals.front(known)]
