"""BOSHNAS inside Ray Tune: a ``Searcher`` that proposes.

The searcher limits its own concurrency (under Tune's ``ConcurrencyLimiter`` the result of a re-run trial is lost) and
names trials itself, so that a resumed run, which starts a fresh ``Tuner``, knows them by the names in the journal.
"""

import json
import logging
import math
from collections import Counter, deque
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from ray.tune.search import Searcher

from design_space.plugins import load_plugins, loaded_plugins

from ..candidate import Candidate
from ..optimizer.boshnas import BOSHNAS
from ..records.journal import Journal
from .learning_curves import LearningCurves
from .model_retention import ModelKeeper

logger = logging.getLogger(__name__)

MakeConfig = Callable[[str, Candidate], dict[str, Any]]

_OBJECTIVES = "objectives/"
_OF_INTERVALS = {"latency_low_ms": "latency_ms", "latency_high_ms": "latency_ms"}
_NUM_HOPELESS = 3
"""Failures without a single success after which a search gives up."""


class BOSHNASSearch(Searcher):
    """Ray Tune's view of a ``BOSHNAS``. After a report of ``disk_full`` it proposes nothing more.

    A trial's config holds ``trial`` (our name for it) and what ``make_config`` returns; its last report must hold
    ``metric``, and may hold ``objectives`` (a mapping) and ``cost_s``.

    Args:
        metric: what is optimised; "score" when not given. Of a name that is given Tune demands that every report holds
            it, the intermediate ones too; wrappers such as Tune's ``Repeater`` need to be told it.
        mode: "max", or "min" for what should be low, whose negative is then the score. ``TuneConfig``'s are taken where
            Tune hands them on, which it does only beside a ``param_space``.
        make_config: (trial name, candidate) -> config; by default the candidate's own dictionary.
        journal: where suggestions and results are written; None for nowhere.
        max_trials: finished trials after which nothing more is proposed; None to go on until converged.
        max_seconds: most seconds of trials that ended, together; then nothing more is proposed. None for no limit.
        max_concurrent: most trials in flight; None for no limit.
        max_requeues: how often a trial is put back that Tune has given up: for trainables that report their own
            failures, so that what Tune sees are deaths of workers and nodes.
        receive: called before a result counts, to bring its weights here.
        keeper: removes weights that are not needed, after every trial.
    """

    def __init__(
        self,
        boshnas: BOSHNAS,
        *,
        metric: str | None = None,
        mode: str = "max",
        make_config: MakeConfig | None = None,
        journal: Journal | None = None,
        max_trials: int | None = None,
        max_seconds: float | None = None,
        max_concurrent: int | None = None,
        max_requeues: int = 0,
        receive: Callable[[Candidate], None] | None = None,
        keeper: ModelKeeper | None = None,
    ) -> None:
        super().__init__(metric)
        self._sign = _sign(mode)
        self.boshnas = boshnas
        self._make_config = make_config or (lambda _, candidate: candidate.to_dict())
        self._journal = journal
        self._max_trials = max_trials
        self._max_seconds = max_seconds
        self._max_concurrent = max_concurrent
        self._max_requeues = max_requeues
        self._receive = receive
        self._keeper = keeper
        self._open: dict[str, Candidate] = {}
        self._queue: deque[str] = deque()
        self._running: dict[str, str] = {}
        self._names: dict[str, str] = {}
        self._failed: dict[str, Candidate] = {}
        self._history: list[dict[str, Any]] = []
        self.num_suggested = self.num_finished = self.num_failed = 0
        self.seconds_spent = 0.0
        self._deaths: Counter[str] = Counter()
        self.requeued: set[str] = set()
        self.prediction_outcomes: list[tuple[float, float, float]] = []
        self._predictions: dict[str, tuple[float, float]] = {}
        self._curves = LearningCurves()
        self.disk_full = ""

    def __getstate__(self) -> dict[str, Any]:
        """Adds the names of the plugins: under Ray's client Tune, and with it the searcher, runs in another process."""
        return {"plugins": loaded_plugins()} | self.__dict__

    def __setstate__(self, state: dict[str, Any]) -> None:
        load_plugins(state.pop("plugins"))
        self.__dict__.update(state)

    def replay(self, events: Iterable[Mapping[str, Any]]) -> None:
        """Takes up a journal: its results are told, its unfinished trials are run again first, under their names."""
        for event in events:
            if event["event"] == "suggested":
                self.boshnas.register_pending(Candidate.from_dict(event))
            if event["event"] in ("suggested", "finished", "failed"):
                self._take_in(event)
            elif {"validation_score", "progress"} <= event.keys():
                self._curves.note(event["trial"], event["progress"], self._sign * event["validation_score"])
        self._queue.extend(self._open)

    @property
    def has_only_failures(self) -> bool:
        """Says whether everything has failed so far, often enough to give up."""
        return self.num_finished == 0 and self.num_failed >= _NUM_HOPELESS

    @property
    def is_over(self) -> bool:
        """Says whether nothing is left to train: all that was asked for has ended, or the search has converged."""
        is_done = self.is_enough(self.num_finished) or self.boshnas.phase == "converged"
        return is_done and self.num_finished + self.num_failed == self.num_suggested

    def is_enough(self, num_trials: int) -> bool:
        """Says whether so many trials, or the seconds spent, are all that was asked for."""
        limits = (self._max_trials, num_trials), (self._max_seconds, self.seconds_spent)
        return any(most is not None and spent >= most for most, spent in limits)

    def suggest(self, trial_id: str) -> dict[str, Any] | str | None:
        """Returns the next trial's config; None while there is no room for one; ``FINISHED`` when there will be no
        more."""
        if (
            self.has_only_failures
            or self.disk_full
            or (self.is_enough(self.num_finished + len(self._running)) and not self._queue)
        ):
            return None if self._running else Searcher.FINISHED
        if self._max_concurrent is not None and len(self._running) >= self._max_concurrent:
            return None
        if self._queue:
            trial = self._queue.popleft()
        else:
            candidates = self.boshnas.ask(1)
            if not candidates:
                return None if self._running else Searcher.FINISHED
            trial = f"t{self.num_suggested + 1:04d}"
            self._write("suggested", trial, **candidates[0].to_dict(), **self._predicted(candidates[0]))
        self._running[trial_id] = self._names[trial_id] = trial
        return {"trial": trial, **self._make_config(trial, self._open[trial])}

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Takes in the score of an epoch."""
        if trial_id in self._running and {"validation_score", "progress"} <= result.keys():
            self._curves.note(self._running[trial_id], result["progress"], self._sign * result["validation_score"])

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tells the score of a trial that ended, or that it failed (its traceback is written by
        ``JournalCallback``). One that failed may be run again, as ``Tuner.restore`` does when it is asked to."""
        trial, result = self._running.pop(trial_id, self._names.get(trial_id)), result or {}
        if trial is None or (trial not in self._open and trial not in self._failed):
            logger.warning("Tune tells a result of '%s', which was never proposed or has its score; left out", trial_id)
            return
        if None in result:
            raise ValueError("A wrapper around BOSHNASSearch must know what is optimised: BOSHNASSearch(metric=...)")
        if error and self._deaths[trial] < self._max_requeues:
            self._deaths[trial] += 1
            self._queue.appendleft(trial)
            self.requeued.add(trial)
            return
        self.requeued.discard(trial)
        if error:
            self._take_in({"event": "failed", "trial": trial, "error": "failed on the worker"})
            return
        if "disk_full" in result:  # the trial stays open, for when there is space again
            self.disk_full = result["disk_full"]
            return
        score = self._sign * _number(result.get(self._score_key))
        if not math.isfinite(score):
            cost_s = round(float(result.get("time_total_s", 0.0)), 2)
            reached = {name: result[name] for name in ("validation_score", "progress") if name in result}
            reached = reached if len(reached) == 2 and self._score_key not in result else {}
            self._write("failed", trial, error=_why_without_score(result, self._score_key), cost_s=cost_s, **reached)
            return
        candidate = self._open.get(trial) or self._failed[trial]
        if self._receive is not None:
            self._receive(candidate)
        # Tune hands results over with nested mappings flattened.
        told = {name.removeprefix(_OBJECTIVES): result[name] for name in result if name.startswith(_OBJECTIVES)}
        finite = {name: _number(value) for name, value in told.items() if math.isfinite(_number(value))}
        exact = self.boshnas.goals.values(candidate.spec, {})  # those that steer, and no interval of what was measured
        objectives = {name: value for name, value in finite.items() if _OF_INTERVALS.get(name) not in exact} | exact
        costs = [_number(result.get(name, 0.0)) for name in ("cost_s", "time_total_s") if name in result]
        cost_s = next((cost for cost in costs if math.isfinite(cost) and cost >= 0), 0.0)
        odd = [*(told.keys() - finite.keys()), *(["cost_s"] if costs and cost_s != costs[0] else [])]
        if odd:
            logger.warning("Trial %s: not finite, and left out: %s", trial, ", ".join(sorted(odd)))
        self._write("finished", trial, score=score, objectives=objectives, cost_s=cost_s)
        if self._keeper is not None:
            self._keeper.clean()

    @property
    def _score_key(self) -> str:
        return self.metric or "score"

    def set_search_properties(self, metric: str | None, mode: str | None, config: dict[str, Any], **_: Any) -> bool:
        """Takes over what ``TuneConfig`` says is optimised. Returns False: a search space of Tune's is not taken.

        Raises:
            ValueError: when the searcher was made for another metric, or the mode is none.
        """
        if metric is not None and self.metric not in (None, metric):
            raise ValueError(f"'metric' of TuneConfig must be the searcher's, '{self.metric}'. Got '{metric}'")
        self._metric = metric or self.metric
        self._sign = self._sign if mode is None else _sign(mode)
        return False

    def set_max_concurrency(self, max_concurrent: int) -> bool:
        """Takes over the limit of Tune's ``ConcurrencyLimiter``."""
        self._max_concurrent = max_concurrent
        return True

    def save(self, checkpoint_path: str) -> None:
        """Keeps the history, and which trials Tune knows by which name, for ``Tuner.restore``."""
        state = {"history": self._history, "running": self._running, "names": self._names}
        Path(checkpoint_path).write_text(json.dumps(state))

    def restore(self, checkpoint_path: str) -> None:
        """Takes up what ``save`` kept, on a searcher made with the same arguments."""
        state = json.loads(Path(checkpoint_path).read_text())
        self.replay(state["history"])
        self._running = state["running"]
        self._names = state.get("names", dict(self._running))
        self._queue = deque(trial for trial in self._queue if trial not in self._running.values())

    def _predicted(self, candidate: Candidate) -> dict[str, Any]:
        """Returns what the surrogate expects of a candidate that it chose."""
        if candidate.proposed_by != "optimized":
            return {}
        mean, epistemic, aleatoric = self.boshnas.predict(candidate.spec, candidate.origin)
        return {"predicted": {"mean": round(mean, 6), "deviation": round(math.hypot(epistemic, aleatoric), 6)}}

    def _write(self, event: str, trial: str, **content: Any) -> None:
        """Writes an event to the journal, and takes it in."""
        if self._journal is not None:
            self._journal.append(event, trial, **content)
        self._take_in({"event": event, "trial": trial, **content})

    def _take_in(self, event: Mapping[str, Any]) -> None:
        """Counts a suggestion or the end of a trial, as it happens or as the journal tells it, and tells BOSHNAS."""
        trial = event["trial"]
        self._history.append(dict(event))
        if self._keeper is not None:
            self._keeper.note(event)
        if event["event"] == "suggested":
            self.num_suggested += 1
            self._open[trial] = Candidate.from_dict(event)
            if "predicted" in event:
                self._predictions[trial] = event["predicted"]["mean"], event["predicted"]["deviation"]
            return
        if trial in self._failed:  # it was run again
            self.num_failed -= 1
        candidate = self._open.pop(trial, None) or self._failed.pop(trial)
        self.seconds_spent += event.get("cost_s", 0.0)
        if event["event"] == "failed":
            self.num_failed += 1
            self._failed[trial] = candidate
            self._tell_without_score(candidate, event)
            return
        self.num_finished += 1
        error = event["objectives"].get("score_error", 0.0)
        self._curves.end(trial, event["score"], error)
        if trial in self._predictions:
            self.prediction_outcomes.append((*self._predictions.pop(trial), event["score"]))
        self.boshnas.tell(
            candidate, event["score"], cost_s=event["cost_s"], objectives=event["objectives"], error=error
        )

    def _tell_without_score(self, candidate: Candidate, event: Mapping[str, Any]) -> None:
        """Tells BOSHNAS of a trial without a score: of one that was stopped early the score that is expected of it,
        with its error, where all else that steers is known without training; its weights are not there."""
        expected = None
        if "validation_score" in event and not self.boshnas.goals.measured:
            expected = self._curves.expected(event["progress"], self._sign * event["validation_score"])
        if expected is None:
            self.boshnas.tell_failed(candidate)
            return
        self.boshnas.tell(candidate, expected[0], cost_s=event.get("cost_s"), error=expected[1])
        self.boshnas.forget_weights(candidate.spec.hash)


def _sign(mode: str) -> float:
    if mode not in ("max", "min"):
        raise ValueError(f"'mode' must be 'max' or 'min'. Got {mode!r}")
    return 1.0 if mode == "max" else -1.0


def _number(value: Any) -> float:
    """A figure of a trial; NaN for what is no number."""
    try:
        return float(value)
    except (TypeError, ValueError):
        return math.nan


def _why_without_score(result: Mapping[str, Any], score_key: str) -> str:
    if score_key in result:
        return str(result.get("error", "the score is not a number (training diverged)"))
    if "validation_score" in result:
        return f"stopped early, at {result['validation_score']:.4f} after epoch {result['epoch']:g}"
    return f"ended without reporting '{score_key}'"
