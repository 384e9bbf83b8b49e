"""BOSHNAS inside Ray Tune: a ``Searcher`` that proposes, and a ``Callback`` that keeps the journal.

The searcher limits its own concurrency (under Tune's ``ConcurrencyLimiter`` the result of a re-run trial is lost) and
names trials itself, so that a resumed run, which starts a fresh ``Tuner``, knows them by the names in the journal.
"""

import json
import math
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from ray.tune.search import Searcher

from ..candidate import Candidate
from ..optimizer.boshnas import BOSHNAS
from ..records.journal import Journal
from .model_retention import ModelKeeper

MakeConfig = Callable[[str, Candidate], dict[str, Any]]

_OBJECTIVES = "objectives/"
_REPORTED = ("phase", "progress", "loss", "validation_score", "note")
_HOPELESS = 3
"""Failures without a single success after which a search gives up."""


class BOSHNASSearch(Searcher):
    """Ray Tune's view of a ``BOSHNAS``. After a report of ``no_space`` it proposes nothing more.

    A trial's config holds ``trial`` (our name for it) and what ``make_config`` returns; its last report must hold
    ``metric``, and may hold ``objectives`` (a mapping) and ``cost_s``.

    Args:
        make_config: (trial name, candidate) -> config; by default the candidate's own dictionary.
        journal: where suggestions and results are written; None for nowhere.
        max_trials: finished trials after which nothing more is proposed; None to go on until converged.
        max_seconds: most seconds of trials that ended, together; then nothing more is proposed. None for no limit.
        max_concurrent: most trials in flight; None for no limit.
        second_chances: how often a trial is put back that Tune has given up: for trainables that report their own
            failures, so that what Tune sees are deaths of workers and nodes.
        receive: called before a result counts, to bring its weights here.
        keeper: removes weights that are not needed, after every trial.
    """

    def __init__(
        self,
        boshnas: BOSHNAS,
        *,
        metric: str = "score",
        make_config: MakeConfig | None = None,
        journal: Journal | None = None,
        max_trials: int | None = None,
        max_seconds: float | None = None,
        max_concurrent: int | None = None,
        second_chances: int = 0,
        receive: Callable[[Candidate], None] | None = None,
        keeper: ModelKeeper | None = None,
    ) -> None:
        super().__init__()  # Tune would demand the metric in every intermediate report
        self.boshnas = boshnas
        self._score_key = metric
        self._make_config = make_config or (lambda _, candidate: candidate.to_dict())
        self._journal = journal
        self._max_trials = max_trials
        self._max_seconds = max_seconds
        self._max_concurrent = max_concurrent
        self._second_chances = second_chances
        self._receive = receive
        self._keeper = keeper
        self._queue: deque[tuple[str, Candidate]] = deque()
        self._running: dict[str, tuple[str, Candidate]] = {}
        self._history: list[dict[str, Any]] = []
        self.num_suggested = self.num_finished = self.num_failed = 0
        self.seconds_spent = 0.0
        self._deaths: Counter[str] = Counter()
        self.put_back: set[str] = set()
        self.judged: list[tuple[float, float, float]] = []
        self._predictions: dict[str, tuple[float, float]] = {}
        self.no_space = ""

    def replay(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Take up a journal: its results are told, its unfinished trials are run again first, under their names."""
        candidates: dict[str, Candidate] = {}
        open_trials: dict[str, None] = {}
        for event in events:
            trial = event["trial"]
            if event["event"] in ("suggested", "finished", "failed"):
                self._history.append(dict(event))
                self._note(event)
            if event["event"] == "suggested":
                candidates[trial] = Candidate.from_dict(event)
                self._keep_prediction(trial, event)
                self.boshnas.remember(candidates[trial])
                self.num_suggested += 1
                open_trials[trial] = None
            elif event["event"] == "finished":
                self.boshnas.tell(
                    candidates[trial], event["score"], cost_s=event["cost_s"], objectives=event["objectives"]
                )
                self._judge(trial, event["score"])
                self.num_finished += 1
                self.seconds_spent += event["cost_s"]
                open_trials.pop(trial)
            elif event["event"] == "failed":
                self.boshnas.tell_failed(candidates[trial])
                self.num_failed += 1
                self.seconds_spent += event.get("cost_s", 0.0)
                open_trials.pop(trial)
        self._queue.extend((trial, candidates[trial]) for trial in open_trials)

    @property
    def is_hopeless(self) -> bool:
        """Whether everything has failed so far, often enough to give up."""
        return self.num_finished == 0 and self.num_failed >= _HOPELESS

    @property
    def is_over(self) -> bool:
        """Whether nothing is left to train: all that was asked for has ended, or the search has converged."""
        is_done = self.is_enough(self.num_finished) or self.boshnas.phase == "converged"
        return is_done and self.num_finished + self.num_failed == self.num_suggested

    def is_enough(self, num_trials: int) -> bool:
        """Whether so many trials, or the seconds spent, are all that was asked for."""
        limits = (self._max_trials, num_trials), (self._max_seconds, self.seconds_spent)
        return any(most is not None and spent >= most for most, spent in limits)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """The next trial's config; None while there is no room for one; ``FINISHED`` when there will be no more."""
        if (
            self.is_hopeless
            or self.no_space
            or (self.is_enough(self.num_finished + len(self._running)) and not self._queue)
        ):
            return None if self._running else Searcher.FINISHED
        if self._max_concurrent is not None and len(self._running) >= self._max_concurrent:
            return None
        if self._queue:
            trial, candidate = self._queue.popleft()
        else:
            candidates = self.boshnas.ask(1)
            if not candidates:
                return None if self._running else Searcher.FINISHED
            candidate = candidates[0]
            self.num_suggested += 1
            trial = f"t{self.num_suggested:04d}"
            predicted = self._predicted(candidate)
            self._keep_prediction(trial, predicted)
            self._write("suggested", trial, **candidate.to_dict(), **predicted)
        self._running[trial_id] = trial, candidate
        return {"trial": trial, **self._make_config(trial, candidate)}

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell the score of a trial that ended, or that it failed (its traceback is written by ``JournalCallback``)."""
        trial, candidate = self._running.pop(trial_id)
        if error and self._deaths[trial] < self._second_chances:
            self._deaths[trial] += 1
            self._queue.appendleft((trial, candidate))
            self.put_back.add(trial)
            return
        self.put_back.discard(trial)
        if error:
            self._fail(trial, candidate, "failed on the worker", is_written=True)
            return
        if result and "no_space" in result:  # the trial stays open, for when there is space again
            self.no_space = result["no_space"]
            return
        if not result or self._score_key not in result:
            self._fail(trial, candidate, _why_without_score(result or {}, self._score_key), result)
            return
        score, cost_s = float(result[self._score_key]), float(result.get("cost_s", result.get("time_total_s", 0.0)))
        # Tune hands results over with nested mappings flattened.
        objectives = {
            name.removeprefix(_OBJECTIVES): float(result[name]) for name in result if name.startswith(_OBJECTIVES)
        }
        objectives |= self.boshnas.goals.values(candidate.spec, {})  # the exact ones that steer
        if not math.isfinite(score):
            why = str(result.get("error", "the score is not a number (training diverged)"))
            self._fail(trial, candidate, why, result)
            return
        if self._receive is not None:
            self._receive(candidate)
        self._judge(trial, score)
        self.num_finished += 1
        self.seconds_spent += cost_s
        self._write("finished", trial, score=score, objectives=objectives, cost_s=cost_s)
        self.boshnas.tell(candidate, score, cost_s=cost_s, objectives=objectives)
        if self._keeper is not None:
            self._keeper.clean()

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Take over the limit of Tune's ``ConcurrencyLimiter``."""
        self._max_concurrent = max_concurrent
        return True

    def save(self, checkpoint_path: str) -> None:
        """Keep the history, and which trials Tune knows by which name, for ``Tuner.restore``."""
        running = {trial_id: trial for trial_id, (trial, _) in self._running.items()}
        Path(checkpoint_path).write_text(json.dumps({"history": self._history, "running": running}))

    def restore(self, checkpoint_path: str) -> None:
        """Take up what ``save`` kept, on a searcher made with the same arguments."""
        state = json.loads(Path(checkpoint_path).read_text())
        self.replay(state["history"])
        waiting = dict(self._queue)
        self._running = {trial_id: (trial, waiting.pop(trial)) for trial_id, trial in state["running"].items()}
        self._queue = deque(waiting.items())

    def _predicted(self, candidate: Candidate) -> dict[str, Any]:
        """What the surrogate expects of a candidate that it chose."""
        if candidate.proposed_by != "optimized":
            return {}
        mean, epistemic, aleatoric = self.boshnas.predict(candidate.spec, candidate.origin)
        return {"predicted": {"mean": round(mean, 6), "deviation": round(math.hypot(epistemic, aleatoric), 6)}}

    def _keep_prediction(self, trial: str, event: Mapping[str, Any]) -> None:
        if "predicted" in event:
            self._predictions[trial] = event["predicted"]["mean"], event["predicted"]["deviation"]

    def _judge(self, trial: str, score: float) -> None:
        if trial in self._predictions:
            self.judged.append((*self._predictions.pop(trial), score))

    def _fail(
        self,
        trial: str,
        candidate: Candidate,
        error: str,
        result: Mapping[str, Any] | None = None,
        *,
        is_written: bool = False,
    ) -> None:
        """Count a failure. ``is_written``: the journal has it, with its traceback, from ``JournalCallback``."""
        self.num_failed += 1
        self.boshnas.tell_failed(candidate)
        if is_written:
            self._history.append({"event": "failed", "trial": trial, "error": error})
            return
        cost_s = round(float((result or {}).get("time_total_s", 0.0)), 2)
        self.seconds_spent += cost_s
        self._write("failed", trial, error=error, cost_s=cost_s)

    def _write(self, event: str, trial: str, **content: Any) -> None:
        self._history.append({"event": event, "trial": trial, **content})
        self._note(self._history[-1])
        if self._journal is not None:
            self._journal.append(event, trial, **content)

    def _note(self, event: Mapping[str, Any]) -> None:
        if self._keeper is not None:
            self._keeper.note(event)


def _why_without_score(result: Mapping[str, Any], score_key: str) -> str:
    if "validation_score" in result:
        return f"stopped early, at {result['validation_score']:.4f} after epoch {result['epoch']:g}"
    return f"ended without reporting '{score_key}'"


class JournalCallback(Callback):
    """Writes the events that Tune sees and a searcher does not: starts, intermediate reports, and why a trial
    failed; not of those that were ``put_back``."""

    def __init__(self, journal: Journal, put_back: Collection[str] = ()) -> None:
        self._journal, self._put_back = journal, put_back

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """A worker took the trial up (again, after a worker's death)."""
        self._journal.append("started", trial.config["trial"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """An intermediate report."""
        if "phase" in result:
            figures = {name: result[name] for name in _REPORTED if name in result}
            finite = {name: value for name, value in figures.items() if value == value}
            self._journal.append("reported", trial.config["trial"], **finite)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """The trial failed for good."""
        if trial.config["trial"] in self._put_back:
            return
        self._journal.append("failed", trial.config["trial"], error=last_error(trial)[-4000:])


def last_error(trial: Trial) -> str:
    """What Tune knows of why a trial failed."""
    path = trial.error_file
    text = Path(path).read_text(errors="replace") if path and Path(path).exists() else ""
    return text.strip() or "unknown error"
