"""What a trial that was stopped early would have scored: its last score, and what others gained from there on."""

import math
import statistics


class LearningCurves:
    """Scores of trials on the way, by their progress in [0, 1], and at their end."""

    def __init__(self) -> None:
        self._scores: dict[str, dict[float, float]] = {}
        self._ends: dict[str, tuple[float, float]] = {}

    def note(self, trial: str, progress: float, score: float) -> None:
        """A score on the way."""
        self._scores.setdefault(trial, {})[progress] = score

    def end(self, trial: str, score: float, error: float = 0.0) -> None:
        """The score at the end, and its standard error; 0 where that is not known."""
        self._ends[trial] = score, error

    def expected(self, progress: float, score: float) -> tuple[float, float] | None:
        """The score at the end of a trial that was stopped with a score, and its standard error. None where no trial
        that ended had a score there.

        Expected is the score that it had, and the mean of what the trials that ended gained from the same progress on,
        but at most the highest score that was reached. It may be off by as much as a score at the end, and by how much
        these gains differ; of a single one, by as much as that. The error is 0 where that of no score is known.
        """
        ended = [(end, self._scores.get(trial, {})) for trial, end in self._ends.items()]
        gains = [end - scores[progress] for (end, _), scores in ended if progress in scores]
        if not gains:
            return None
        highest = max(end for end, _ in self._ends.values())
        error = statistics.fmean(error for _, error in self._ends.values())
        spread = statistics.stdev(gains) if len(gains) > 1 else abs(gains[0])
        return min(score + statistics.fmean(gains), highest), math.hypot(error, spread) if error else 0.0
