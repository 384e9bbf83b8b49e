"""What the folder of a search tells about it."""

import contextlib
import time
from collections.abc import Collection, Iterator
from pathlib import Path
from typing import Any, get_args

from design_space.files import read_json

from .. import words
from ..candidate import describe
from ..names import spoken_name
from ..records.journal import TrialRecord
from .folder import SearchFolder, UnknownSearchError
from .progress import Progress, TaskFacts
from .schemas import BestTrial, Cost, FailedTrial, RunningTrial, Scored, SearchStatus, Stage, State, Tested, TrialCounts

_ENDED = ("finished", "failed")
_ERROR_LINES = 5
_MOST_SCORES, _MOST_FAILURES, _LONGEST_ERROR = 200, 3, 300


class StatusReader:
    """Reads folders; keeps the digest of each journal. For several threads, of which none waits for the journal of
    another search."""

    def __init__(self) -> None:
        self._digests: dict[Path, Progress] = {}

    def forget_others(self, folders: Collection[SearchFolder]) -> None:
        """Keep the digests of these alone."""
        for path in self._digests.keys() - {folder.run.journal.path for folder in folders}:
            self._digests.pop(path, None)

    @contextlib.contextmanager
    def _progress(self, folder: SearchFolder) -> Iterator[Progress]:
        """The trials of a search; of a damaged journal, those before the damage, and what is wrong with it."""
        journal = folder.run.journal
        progress = self._digests.setdefault(journal.path, Progress())
        with progress.lock:
            progress.read_on(journal)
            yield progress

    def model_dir(self, folder: SearchFolder) -> Path | None:
        """The best model there is: the tested one of a finished search, else that of the best trial so far."""
        with self._progress(folder) as progress:
            return _model_dir(folder, folder.state(), progress.best(folder.request["options"]))

    def status(
        self, folder: SearchFolder, *, queue_position: int | None = None, problem: str | None = None
    ) -> SearchStatus:
        """All that is known of a search; of a damaged one, what is wrong with it.

        Args:
            problem: why it cannot be started.

        Raises:
            UnknownSearchError: when it is gone.
        """
        try:
            with self._progress(folder) as progress:
                return _status(folder, progress, queue_position, problem)
        except UnknownSearchError:
            raise
        except Exception as error:  # whatever is wrong with one must not hide the others
            return SearchStatus(
                id=folder.id,
                name="",
                task="",
                state="running" if folder.is_locked() else "damaged",
                created=folder.created,
                error=f"{folder.without_places(str(error))}. Put the file right, or remove the search's folder",
            )


def _status(folder: SearchFolder, progress: Progress, queue_position: int | None, problem: str | None) -> SearchStatus:
    state, request = folder.state(), folder.request
    started, ended, now = folder.started, folder.ended, time.time()
    is_alive = state in ("running", "stopping")
    end = now if is_alive else ended.get("time")
    running = _running(progress, started or now, now) if is_alive else []
    options = request["options"]
    best, tested = progress.best(options), _tested(folder) if state == "finished" else None
    if tested is not None:
        best = progress.records.get(tested.trial, best)
    facts = progress.task = progress.task or TaskFacts.of(folder.run.data_dir)
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
        scores=[_scored(progress.records[trial]) for trial in progress.finished[-_MOST_SCORES:]],
        fronts={cost: _front(progress, cost) for cost in get_args(Cost)},
        metric=None if facts is None else facts.metric,
        most_frequent_class=None if facts is None else facts.most_frequent_class,
        failures=_failures(folder, progress),
        tested=tested,
        start_from=None if (encoder := request.get("start_from")) is None else Path(encoder).name,
        has_model=_model_dir(folder, state, best) is not None,
        error=progress.damage or problem or (_error(folder) if state == "failed" else None),
    )


def _model_dir(folder: SearchFolder, state: State, best: TrialRecord | None) -> Path | None:
    best_dir = folder.run.best_dir
    if state == "finished" and best_dir.is_dir():
        return best_dir
    if best is not None and (trained := folder.run.models_dir / best.candidate.spec.hash).is_dir():
        return trained
    return None


def _running(progress: Progress, attempt_started: float, now: float) -> list[RunningTrial]:
    """Trials that were taken up in this attempt and have not ended."""
    return [
        RunningTrial(
            trial=trial,
            **_architecture(record),
            elapsed_s=max(0.0, now - progress.started[trial]),
            curve=progress.curves.get(trial, []),
            **progress.reported.get(trial, {}),
        )
        for trial, record in progress.records.items()
        if record.state not in _ENDED and progress.started.get(trial, 0.0) >= attempt_started
    ]


def _counts(progress: Progress, num_running: int) -> TrialCounts:
    states = [record.state for record in progress.records.values()]
    ended = {state: states.count(state) for state in _ENDED}
    return TrialCounts(**ended, running=num_running, open=len(states) - sum(ended.values()) - num_running)


def _scored(record: TrialRecord) -> Scored:
    costs = {cost: record.objectives[cost] for cost in get_args(Cost) if cost in record.objectives}
    return Scored(trial=record.trial, score=record.score or 0.0, error=_score_error(record), **costs)


def _front(progress: Progress, cost: Cost) -> list[Scored]:
    """The trials that no other beats in score and cost, by rising cost; of equal ones the first."""
    known = [record for record in map(progress.records.__getitem__, progress.finished) if cost in record.objectives]
    front: list[Scored] = []
    for one in map(_scored, sorted(known, key=lambda record: (record.objectives[cost], -(record.score or 0.0)))):
        if not front or one.score > front[-1].score:
            front.append(one)
    return front


def _score_error(record: TrialRecord) -> float:
    return record.objectives.get("score_error", 0.0)


def _failures(folder: SearchFolder, progress: Progress) -> list[FailedTrial]:
    failed = [record for record in progress.records.values() if record.state == "failed"][-_MOST_FAILURES:]
    reasons = [folder.without_places((record.error or "").strip().split("\n")[0]) for record in failed]
    return [
        FailedTrial(trial=record.trial, error=reason[:_LONGEST_ERROR])
        for record, reason in zip(failed, reasons, strict=True)
    ]


def _tested(folder: SearchFolder) -> Tested | None:
    """What ``keep_best`` wrote."""
    file = folder.run.best_dir / "evaluation.json"
    if not file.exists():
        return None
    content = read_json(file)
    if content["metric"] not in content["metrics"]:  # of several tasks
        return None
    return Tested(
        trial=content["trial"],
        split=content["split"],
        score=content["metrics"][content["metric"]],
        error=content.get("score_error", 0.0),  # older ones have none
        most_frequent_class=content["majority_share"] if content["metric"] == "accuracy" else None,
    )


def _best(record: TrialRecord) -> BestTrial:
    return BestTrial(
        trial=record.trial,
        score=record.score or 0.0,
        error=_score_error(record),
        origin=str(record.candidate.origin),
        **_architecture(record),
        objectives=record.objectives,
        model_dict=record.candidate.spec.to_dict(),
    )


def _architecture(record: TrialRecord) -> dict[str, Any]:
    """What it is called, layer by layer and in a phrase."""
    spec = record.candidate.spec
    return {
        "name": spoken_name(spec.hash),
        "architecture": describe(record.candidate),
        "summary": words.architecture(spec),
    }


def _stage(folder: SearchFolder) -> Stage:
    if folder.library and not folder.library.exists():
        return "library"
    return "search" if folder.run.exists() else "data"


def _error(folder: SearchFolder) -> str:
    """The command's own message, or the last lines it printed."""
    lines = [line for line in folder.log().splitlines() if line.strip()]
    places = [number for number, line in enumerate(lines) if line.startswith("error:")]
    if places:
        return "\n".join(lines[places[-1] :])[:4000]
    return "\n".join(lines[-_ERROR_LINES:])[-4000:] or f"ended with exit code {folder.ended.get('code')}"
