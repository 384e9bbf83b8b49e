import pytest

from search.candidate import Candidate, Origin
from search.objectives import Goals
from search.records.journal import TrialRecord
from search.records.ranking import best_record, front_records


@pytest.fixture
def records(tiny_library):
    figures = [(0.9, 30.0), (0.8, 12.0), (0.5, 9.0), (0.4, 11.0), (0.3, 5.0), (None, 1.0)]
    return [
        TrialRecord(f"t{n}", Candidate(spec, Origin()), score=score, objectives={"latency_ms": latency})
        for n, (spec, (score, latency)) in enumerate(zip(tiny_library.specs, figures, strict=False))
    ]


@pytest.mark.parametrize(
    ("constraints", "best"),
    [({}, "t0"), ({"latency_ms": 10}, "t2"), ({"latency_ms": 3}, "t4")],
    ids=["none", "kept", "broken least"],
)
def test_the_best_is_the_best_that_keeps_the_limits(records, constraints, best):
    assert best_record(records, Goals(constraints=constraints)).trial == best


def test_the_front_keeps_the_limits_and_is_beaten_by_none(records):
    objectives = ("score", "latency_ms")
    assert [record.trial for record in front_records(records, Goals(objectives=objectives))] == ["t0", "t1", "t2", "t4"]
    limited = Goals(objectives=objectives, constraints={"latency_ms": 11})
    assert [record.trial for record in front_records(records, limited)] == ["t2", "t4"]
    assert front_records(records, Goals()) == []


def test_nothing_finished_has_no_best(records):
    with pytest.raises(ValueError, match="No trial has finished"):
        best_record(records[-1:])
