"""The events of a run that Tune sees and a searcher does not."""

from collections.abc import Collection
from pathlib import Path
from typing import Any

from ray.tune import Callback
from ray.tune.experiment import Trial

from ..records.journal import Journal

_REPORTED = ("phase", "progress", "loss", "validation_score", "note")


class JournalCallback(Callback):
    """Writes starts, intermediate reports, and why a trial failed, to the journal; not of those that were
    ``requeued``."""

    def __init__(self, journal: Journal, requeued: Collection[str] = ()) -> None:
        self._journal, self._requeued = journal, requeued

    def on_trial_start(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Writes that a worker took the trial up (again, after a worker's death)."""
        self._journal.append("started", trial.config["trial"])

    def on_trial_result(
        self, iteration: int, trials: list[Trial], trial: Trial, result: dict[str, Any], **_: Any
    ) -> None:
        """Writes an intermediate report."""
        if "phase" in result:
            figures = {name: result[name] for name in _REPORTED if name in result}
            finite = {name: value for name, value in figures.items() if value == value}
            self._journal.append("reported", trial.config["trial"], **finite)

    def on_trial_error(self, iteration: int, trials: list[Trial], trial: Trial, **_: Any) -> None:
        """Writes that the trial failed for good."""
        if trial.config["trial"] in self._requeued:
            return
        self._journal.append("failed", trial.config["trial"], error=last_error(trial)[-4000:])


def last_error(trial: Trial) -> str:
    """Returns what Tune knows of why a trial failed."""
    path = trial.error_file
    text = Path(path).read_text(errors="replace") if path and Path(path).exists() else ""
    return text.strip() or "unknown error"
