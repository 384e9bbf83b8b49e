"""What a trial that was stopped early would have scored: its last score, and what others gained from there on."""

import statistics


class LearningCurves:
    """Scores of trials on the way, by their progress in [0, 1], and at their end."""

    def __init__(self) -> None:
        self._scores: dict[str, dict[float, float]] = {}
        self._ends: dict[str, float] = {}

    def note(self, trial: str, progress: float, score: float) -> None:
        """A score on the way."""
        self._scores.setdefault(trial, {})[progress] = score

    def end(self, trial: str, score: float) -> None:
        """The score at the end."""
        self._ends[trial] = score

    def expected(self, progress: float, score: float) -> float | None:
        """The score at the end of a trial that was stopped with a score: that, and the mean of what the trials that
        ended gained from the same progress on, but at most the highest score that was reached. None where no trial that
        ended had a score there."""
        gains = [
            end - self._scores[trial][progress]
            for trial, end in self._ends.items()
            if progress in self._scores.get(trial, {})
        ]
        return min(score + statistics.fmean(gains), max(self._ends.values())) if gains else None
