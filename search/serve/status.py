"""What the folder of a search tells about it: its progress is read from the journal, each time it has grown."""

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ..candidate import describe
from ..objectives import Goals, parse_limit
from ..records.journal import Journal, TrialRecord, best_record
from .folder import SearchFolder
from .schemas import BestTrial, RunningTrial, SearchStatus, Stage, TrialCounts

_ENDED = ("finished", "failed")
_REPORTED = ("phase", "progress", "loss", "validation_score")
_ERROR_LINES = 5


@dataclass
class Progress:
    """A journal, digested. ``started`` when a trial was last taken up, ``reported`` what it said last."""

    records: dict[str, TrialRecord] = field(default_factory=dict)
    started: dict[str, float] = field(default_factory=dict)
    reported: dict[str, dict[str, Any]] = field(default_factory=dict)
    damage: str | None = None

    def best(self, options: Mapping[str, Any]) -> TrialRecord | None:
        """The best finished trial, by what the search's options say it is for; None when there is none."""
        if all(record.score is None for record in self.records.values()):
            return None
        constraints = dict(map(parse_limit, options.get("constraints", [])))
        return best_record(list(self.records.values()), Goals(constraints=constraints))


class StatusReader:
    """Reads folders; keeps the last digest of each journal. For several threads."""

    def __init__(self) -> None:
        self._digests: dict[Path, tuple[int, Progress]] = {}
        self._lock = threading.Lock()

    def progress(self, folder: SearchFolder) -> Progress:
        """The trials of a search; of a damaged journal, what is wrong with it."""
        path = folder.run.journal.path
        size = path.stat().st_size if path.exists() else 0
        with self._lock:
            if path not in self._digests or self._digests[path][0] != size:
                self._digests[path] = size, _digest(path)
            return self._digests[path][1]

    def status(self, folder: SearchFolder, *, queue_position: int | None = None) -> SearchStatus:
        """All that is known of a search."""
        state, request, progress = folder.state(), folder.request, self.progress(folder)
        started, ended, now = folder.started, folder.ended, time.time()
        is_alive = state in ("running", "stopping")
        end = now if is_alive else ended.get("time")
        running = _running(progress, started or now, now) if is_alive else []
        options = request["options"]
        best = progress.best(options)
        return SearchStatus(
            id=folder.id,
            name=request["name"],
            task=request["task_name"],
            state=state,
            stage=_stage(folder) if is_alive else None,
            queue_position=queue_position if state == "queued" else None,
            created=request["created"],
            started=started,
            ended=None if is_alive else ended.get("time"),
            elapsed_s=None if started is None or end is None else max(0.0, end - started),
            training_s=sum(record.cost_s or 0.0 for record in progress.records.values()),
            max_trials=options.get("max_trials"),
            options=options,
            trials=_counts(progress, len(running)),
            best=None if best is None else _best(best),
            running_trials=running,
            has_model=model_dir(folder, progress) is not None,
            error=progress.damage or (_error(folder) if state == "failed" else None),
        )


def model_dir(folder: SearchFolder, progress: Progress) -> Path | None:
    """The best model there is: the tested one of a finished search, else that of the best trial so far."""
    best_dir, best = folder.run.best_dir, progress.best(folder.request["options"])
    if folder.state() == "finished" and best_dir.is_dir():
        return best_dir
    if best is not None and (trained := folder.run.models_dir / best.candidate.spec.hash).is_dir():
        return trained
    return None


def _digest(path: Path) -> Progress:
    progress = Progress()
    try:
        progress.records = Journal(path).trials()
        for event in Journal(path).events():
            trial = event["trial"]
            if event["event"] == "started":
                progress.started[trial] = event["time"]
                progress.reported.pop(trial, None)
            elif event["event"] == "reported":
                progress.reported[trial] = {name: event[name] for name in _REPORTED if name in event}
    except (ValueError, KeyError, TypeError) as error:
        progress.damage = f"The journal is damaged: {str(error).removeprefix(f'{path}, ')}"
    return progress


def _running(progress: Progress, attempt_started: float, now: float) -> list[RunningTrial]:
    """Trials that were taken up in this attempt and have not ended."""
    return [
        RunningTrial(
            trial=trial,
            architecture=describe(record.candidate),
            elapsed_s=max(0.0, now - progress.started[trial]),
            **progress.reported.get(trial, {}),
        )
        for trial, record in progress.records.items()
        if record.state not in _ENDED and progress.started.get(trial, 0.0) >= attempt_started
    ]


def _counts(progress: Progress, num_running: int) -> TrialCounts:
    states = [record.state for record in progress.records.values()]
    ended = {state: states.count(state) for state in _ENDED}
    return TrialCounts(**ended, running=num_running, open=len(states) - sum(ended.values()) - num_running)


def _best(record: TrialRecord) -> BestTrial:
    return BestTrial(
        trial=record.trial,
        score=record.score or 0.0,
        origin=str(record.candidate.origin),
        architecture=describe(record.candidate),
        objectives=record.objectives,
        model_dict=record.candidate.spec.to_dict(),
    )


def _stage(folder: SearchFolder) -> Stage:
    if not folder.library.exists():
        return "library"
    return "search" if folder.run.exists() else "data"


def _error(folder: SearchFolder) -> str:
    """The command's own message, or the last lines it printed."""
    lines = [line for line in folder.log().splitlines() if line.strip()]
    places = [number for number, line in enumerate(lines) if line.startswith("error:")]
    if places:
        return "\n".join(lines[places[-1] :])[:4000]
    return "\n".join(lines[-_ERROR_LINES:])[-4000:] or f"ended with exit code {folder.ended.get('code')}"
