"""Listeners of a trainer: the clock of a job, the report of its figures, and the end of recipes that fall behind."""

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from transformers.trainer_callback import TrainerCallback

from design_space.files import write_atomically

from .distributed import is_first
from .tuning import RecipeTuner

Report = Callable[[dict[str, Any]], None]


class Clock:
    """Counts the seconds spent on a job, and keeps them on disk so that they add up over attempts."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._since = time.monotonic()
        self.total_s = float(path.read_text()) if path.exists() else 0.0

    def lap(self) -> float:
        """Adds the seconds since the last lap, and returns the seconds in all."""
        now = time.monotonic()
        self.total_s += now - self._since
        self._since = now
        if is_first():
            write_atomically(self._path, f"{self.total_s:.3f}")
        return self.total_s


class ReportLogs(TrainerCallback):
    """Reports a loss, with the speed since the last one, while training, and a score after each evaluation."""

    def __init__(self, report: Report, clock: Clock, phase: str, score_key: str | None = None) -> None:
        self._report, self._clock, self._phase, self._score_key = report, clock, phase, score_key
        self._since_s, self._tokens = 0.0, 0

    def on_train_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        self._since_s, self._tokens = time.monotonic(), int(state.num_input_tokens_seen)

    def on_log(self, args: Any, state: Any, control: Any, logs: dict[str, float] | None = None, **_: Any) -> None:
        progress = round(state.global_step / max(state.max_steps, 1), 3)
        figures: dict[str, Any] = {"phase": self._phase, "progress": progress}
        if logs and "loss" in logs:
            figures["loss"] = float(logs["loss"])
            now, tokens = time.monotonic(), int(state.num_input_tokens_seen)
            figures["tokens_per_s"] = (tokens - self._tokens) / (now - self._since_s)
            self._since_s, self._tokens = now, tokens
        if logs and self._score_key in logs:
            figures["validation_score"] = float(logs[self._score_key])
            figures["epoch"] = round(state.epoch, 3)
        if len(figures) > 2:
            self._clock.lap()
            self._report(figures)


class StopWhenBehind(TrainerCallback):
    """Ends the training of a recipe that falls behind the others of its candidate."""

    def __init__(self, tuner: RecipeTuner, score_key: str) -> None:
        self._tuner, self._score_key = tuner, score_key

    def on_evaluate(self, args: Any, state: Any, control: Any, metrics: dict[str, float], **_: Any) -> None:
        if self._tuner.falls_behind(float(metrics[self._score_key]), round(state.epoch)):
            control.should_training_stop = True
