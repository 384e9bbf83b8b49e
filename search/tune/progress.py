"""The view of a search that runs: a line when a trial starts and ends, and below, in a terminal, the best so
far, trials per hour, how good the surrogate's predictions were, the time left, and what is training. Where the output
is a file, a status line comes every ten seconds instead; in quiet mode every minute, and of trials only what went
wrong."""

import math
import time
from collections.abc import Collection, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console, Group
from rich.live import Live
from rich.progress_bar import ProgressBar
from rich.table import Table
from scipy.stats import spearmanr

from ..candidate import Candidate, describe
from ..objectives import Goals
from ..records.calibration import is_inside
from .journal_callback import last_error

_FIGURES = {"loss": ("loss", ".3f"), "validation_score": ("score", ".3f"), "tokens_per_s": ("tokens/s", ",.0f")}
_LINE_S, _QUIET_LINE_S = 10.0, 60.0
"""Seconds between status lines where there is no terminal to redraw one on, and in quiet mode."""
_FEWEST_PREDICTED = 4


@dataclass
class _Running:
    """A trial in training; ``text`` is its architecture."""

    text: str
    phase: str = "starting"
    progress: float = 0.0
    figures: dict[str, float] = field(default_factory=dict)

    def __str__(self) -> str:
        figures = [f"{name} {shown}" for name, shown in self.shown().items() if shown]
        return " ".join([self.phase, f"{self.progress:.0%}", *figures])

    def shown(self) -> dict[str, str]:
        """Returns each figure by its title, empty where it is not known yet."""
        return {
            title: format(self.figures[name], spec) if name in self.figures else ""
            for name, (title, spec) in _FIGURES.items()
        }


def _minutes(seconds: float) -> str:
    if seconds < 100:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 6000 else f"{seconds / 3600:.1f} h"


class ProgressCallback(Callback):
    """Prints to a console.

    Args:
        requeued: trials that will be tried again; looked at again each time, as are the
        prediction_outcomes: predicted mean, deviation and score of trials that ended.
        num_finished, best: of the run so far, if it is resumed; the best by name and score.
        quiet: leave out what went as planned.
    """

    def __init__(
        self,
        console: Console,
        *,
        max_trials: int | None,
        max_hours: float | None = None,
        requeued: Collection[str] = (),
        num_finished: int,
        best: tuple[str, float] | None,
        goals: Goals | None = None,
        prediction_outcomes: Sequence[tuple[float, float, float]] = (),
        quiet: bool = False,
    ) -> None:
        self._console = console
        self._max_trials = max_trials
        self._until = str(max_trials or ("until converged" if max_hours is None else f"{max_hours:g} h of training"))
        self._requeued = requeued
        self._num_finished = num_finished
        self._best = best
        self._goals = goals or Goals()
        self._prediction_outcomes, self._is_quiet = prediction_outcomes, quiet
        self._running: dict[str, _Running] = {}
        self._costs: list[float] = []
        self._live: Live | None = None
        self._begin = self._last_line = time.monotonic()

    def __getstate__(self) -> dict[str, Any]:
        """Leaves out the terminal: Tune keeps its callbacks on disk."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_console", "_live")}

    def setup(self, **_: Any) -> None:
        """Shows the view for as long as Tune runs."""
        if self._console.is_terminal and not self._is_quiet:
            self._live = Live(self._view(), console=self._console, refresh_per_second=2, transient=True)
            self._live.start()

    def close(self) -> None:
        """Removes the view."""
        if self._live is not None:
            self._live.stop()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Says what is trained, and how it was chosen."""
        name, candidate = trial.config["trial"], Candidate.from_dict(trial.config)
        self._running[name] = _Running(describe(candidate))
        if not self._is_quiet:
            self._print(f"{name} starts   {candidate.proposed_by}, {candidate.origin}: {describe(candidate)}")
        self._refresh()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Updates the status line."""
        if "note" in result:
            self._print(f"{trial.config['trial']} again    {result['note']}")
        if "phase" in result and (running := self._running.get(trial.config["trial"])):
            running.phase, running.progress = result["phase"], result["progress"]
            running.figures |= {name: result[name] for name in _FIGURES if name in result}
            self._refresh()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Says what it scored."""
        name, result = trial.config["trial"], trial.last_result
        self._running.pop(name, None)
        if "disk_full" in result:
            self._print(f"{name} waits    {result['disk_full']}")
            return
        score = result.get("score")
        if score is None or not math.isfinite(score):
            reason = str(result.get("error", "no score")).strip().splitlines()[-1]
            self._print(f"{name} failed   {reason} (its traceback is in the journal)")
            self._refresh()
            return
        self._num_finished += 1
        self._costs.append(float(result["cost_s"]))
        objectives = result["objectives"]
        known = self._goals.values(Candidate.from_dict(trial.config).spec, objectives)
        keeps = self._goals.constraint_violation(known) == 0
        if keeps and (self._best is None or score > self._best[1]):
            self._best = (name, score)
        if not self._is_quiet:
            self._print(
                f"{name} finished score {score:.4f}, {objectives['parameters'] / 1e6:.2f}M parameters, "
                f"{result['cost_s']:.0f} s{'' if keeps else ', breaks a constraint'}; "
                f"{self._best_text()}, "
                f"{self._num_finished} of {self._until}"
            )
        self._refresh()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Says that it failed."""
        name = trial.config["trial"]
        self._running.pop(name, None)
        if name in self._requeued:
            self._print(f"{name} again    {last_error(trial).splitlines()[-1]}")
        else:
            self._print(f"{name} failed   (its traceback is in the journal)")
        self._refresh()

    def _refresh(self) -> None:
        if self._live is not None:
            self._live.update(self._view())
        elif time.monotonic() - self._last_line > (_QUIET_LINE_S if self._is_quiet else _LINE_S):
            self._last_line = time.monotonic()
            training = "; ".join(f"{name} {running}" for name, running in self._running.items())
            self._print(f"{self._head()}; training {training}")

    def _view(self) -> Group:
        table = Table(box=None, pad_edge=False)
        for column in ("trial", "architecture", "phase", "", *(title for title, _ in _FIGURES.values())):
            table.add_column(
                column, style="dim" if column == "architecture" else None, overflow="ellipsis", no_wrap=True
            )
        for name, running in self._running.items():
            bar = ProgressBar(total=1.0, completed=running.progress, width=16)
            table.add_row(name, running.text, running.phase, bar, *running.shown().values())
        return Group(self._head(), table)

    def _head(self) -> str:
        parts = [self._best_text(), f"{self._num_finished} of {self._until}"]
        gone_s = time.monotonic() - self._begin
        parts.append(f"{_minutes(gone_s)} gone")
        if self._costs:
            parts.append(f"{3600 * len(self._costs) / max(gone_s, 1e-9):,.0f} trials an hour")
        if self._costs and self._max_trials and self._running:
            left = (self._max_trials - self._num_finished) / len(self._running)
            parts.append(f"about {_minutes(left * sum(self._costs) / len(self._costs))} left")
        return ", ".join(parts + self._surrogate())

    def _surrogate(self) -> list[str]:
        """Tells the rank correlation of scores with their predictions, and how many lay in the 95 % interval."""
        if len(self._prediction_outcomes) < _FEWEST_PREDICTED:
            return []
        mean, deviation, score = np.array(self._prediction_outcomes).T
        inside = int(is_inside(mean, deviation, score).sum())
        ranks = "" if np.ptp(mean) == 0 or np.ptp(score) == 0 else f"rank correlation {spearmanr(mean, score)[0]:.2f}, "
        return [f"surrogate: {ranks}{inside} of {len(score)} in the 95 % interval"]

    def _best_text(self) -> str:
        if self._best is None:
            return "no score yet" if not self._goals.constraints else "none keeps the constraints yet"
        return f"best {self._best[1]:.4f} ({self._best[0]})"

    def _print(self, line: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {line}", highlight=False, markup=False, soft_wrap=True)
