"""Which trials of a journal are the best, by what was searched for."""

from collections.abc import Sequence

from .goals import SCORE, Goals
from .journal import TrialRecord


def best_record(records: Sequence[TrialRecord], goals: Goals | None = None) -> TrialRecord:
    """The finished trial with the highest score of those that keep all constraints; where none does, the one that
    breaks them least. Raises ``ValueError`` when none is finished."""
    goals = goals or Goals()
    finished = [record for record in records if record.score is not None]
    if not finished:
        raise ValueError("No trial has finished: there is no best model")
    return min(finished, key=lambda record: (goals.violation(record.objectives), -(record.score or 0.0)))


def front_records(records: Sequence[TrialRecord], goals: Goals) -> list[TrialRecord]:
    """Finished trials that keep all constraints and that no other beats in all objectives, the highest score first;
    none where the score is the only objective."""
    if not goals.costs:
        return []
    known = {record.trial: {SCORE: record.score, **record.objectives} for record in records if record.score is not None}
    trials = {record.trial: record for record in records}
    return [trials[trial] for trial in goals.front(known)]
