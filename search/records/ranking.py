"""Which trials of a journal are the best, by what was searched for."""

from collections.abc import Sequence

from ..objectives import SCORE, Goals
from .journal import TrialRecord


def ranked_records(records: Sequence[TrialRecord], goals: Goals) -> list[TrialRecord]:
    """The finished trials: those that keep all constraints by score, then others by how little they break them; of
    equal ones the first suggested first."""
    finished = [record for record in records if record.score is not None]
    return sorted(finished, key=lambda record: (goals.violation(record.objectives), -(record.score or 0.0)))


def best_record(records: Sequence[TrialRecord], goals: Goals | None = None) -> TrialRecord:
    """The first of ``ranked_records``. Raises ``ValueError`` when none is finished."""
    ranked = ranked_records(records, goals or Goals())
    if not ranked:
        raise ValueError("No trial has finished: there is no best model")
    return ranked[0]


def front_records(records: Sequence[TrialRecord], goals: Goals) -> list[TrialRecord]:
    """Finished trials that keep all constraints and that no other beats in all objectives, the highest score first;
    none where the score is the only objective."""
    if not goals.costs:
        return []
    known = {record.trial: {SCORE: record.score, **record.objectives} for record in records if record.score is not None}
    trials = {record.trial: record for record in records}
    return [trials[trial] for trial in goals.front(known)]
