"""What a user sees while a search runs: a line when a trial starts and ends, and a status line of what is training
and the best so far."""

import time
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial
from rich.console import Console
from rich.status import Status

from .candidate import Candidate
from .goals import Goals

_QUIET_S = 10.0
"""Seconds between status lines where there is no terminal to redraw one on."""


class ProgressCallback(Callback):
    """Prints to a console."""

    def __init__(
        self,
        console: Console,
        *,
        max_trials: int | None,
        num_finished: int,
        best: tuple[str, float] | None,
        goals: Goals | None = None,
    ) -> None:
        self._console = console
        self._max_trials = max_trials
        self._num_finished = num_finished
        self._best = best
        self._goals = goals or Goals()
        self._running: dict[str, str] = {}
        self._status: Status | None = None
        self._last_line = 0.0

    def __getstate__(self) -> dict[str, Any]:
        """Tune keeps its callbacks on disk; a terminal cannot be kept."""
        return {name: value for name, value in self.__dict__.items() if name not in ("_console", "_status")}

    def setup(self, **_: Any) -> None:
        """Show the status line for as long as Tune runs."""
        if self._console.is_terminal:
            self._status = self._console.status("starting workers")
            self._status.start()

    def close(self) -> None:
        """Remove the status line."""
        if self._status is not None:
            self._status.stop()

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say what is trained, and how it was chosen."""
        name, candidate = trial.config["trial"], Candidate.from_dict(trial.config)
        self._running[name] = "starting"
        self._print(f"{name} starts   {candidate.proposed_by}, {candidate.origin}: {describe(candidate)}")
        self._refresh()

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Update the status line."""
        if "phase" in result:
            figures = [
                f"{name.split('_')[-1]} {result[name]:.3f}" for name in ("loss", "validation_score") if name in result
            ]
            self._running[trial.config["trial"]] = f"{result['phase']} {result['progress']:.0%} {' '.join(figures)}"
            self._refresh()

    def on_trial_complete(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say what it scored."""
        name, result = trial.config["trial"], trial.last_result
        self._running.pop(name, None)
        self._num_finished += 1
        score = result.get("score")
        if score is None:
            return
        objectives = result["objectives"]
        known = self._goals.values(Candidate.from_dict(trial.config).spec, objectives)
        keeps = self._goals.violation(known) == 0
        if keeps and (self._best is None or score > self._best[1]):
            self._best = (name, score)
        self._print(
            f"{name} finished score {score:.4f}, {objectives['parameters'] / 1e6:.2f}M parameters, "
            f"{result['cost_s']:.0f} s{'' if keeps else ', breaks a constraint'}; "
            f"{self._best_text()}, "
            f"{self._num_finished} of {self._max_trials or 'until converged'}"
        )
        self._refresh()

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Say that it failed."""
        name = trial.config["trial"]
        self._running.pop(name, None)
        self._print(f"{name} failed   (its traceback is in the journal)")

    def _refresh(self) -> None:
        line = f"{self._best_text()}; training " + "; ".join(f"{name} {state}" for name, state in self._running.items())
        if self._status is not None:
            self._status.update(line)
        elif time.monotonic() - self._last_line > _QUIET_S:
            self._last_line = time.monotonic()
            self._print(line)

    def _best_text(self) -> str:
        if self._best is None:
            return "no score yet" if not self._goals.constraints else "none keeps the constraints yet"
        return f"best {self._best[1]:.4f} ({self._best[0]})"

    def _print(self, line: str) -> None:
        self._console.print(f"{time.strftime('%H:%M:%S')} {line}", highlight=False, markup=False, soft_wrap=True)


def describe(candidate: Candidate) -> str:
    """An architecture in one line: runs of equal layers as ``depth x operation-parameter hidden/heads
    feed-forward``."""
    runs: list[tuple[int, str]] = []
    for layer in candidate.spec.layers:
        heads = "+".join(dict.fromkeys(f"{head.operation}-{head.parameter}" for head in layer.heads))
        text = f"{heads} {layer.hidden_size}/{len(layer.heads)} ff {'-'.join(map(str, layer.feed_forward))}"
        if runs and runs[-1][1] == text:
            runs[-1] = runs[-1][0] + 1, text
        else:
            runs.append((1, text))
    return ", ".join(f"{count} x {text}" for count, text in runs)
