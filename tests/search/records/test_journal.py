import json

import pytest

from search import Candidate, Origin
from search.objectives import Goals
from search.records.journal import Journal, TrialRecord, best_record, front_records, tied_records


@pytest.fixture
def candidate(tiny_library):
    return Candidate(tiny_library.specs[0], Origin(), "initial")


def test_it_tells_the_state_of_every_trial(tmp_path, candidate):
    journal = Journal(tmp_path / "run" / "journal.jsonl")
    for trial in ("t0001", "t0002", "t0003"):
        journal.append("suggested", trial, **candidate.to_dict())
    journal.append("started", "t0001")
    journal.append("finished", "t0001", score=0.5, objectives={"parameters": 10.0}, cost_s=2.0)
    journal.append("failed", "t0002", error="out of memory")
    states = {name: (record.state, record.score, record.error) for name, record in journal.trials().items()}
    assert states == {
        "t0001": ("finished", 0.5, None),
        "t0002": ("failed", None, "out of memory"),
        "t0003": ("open", None, None),
    }
    assert journal.trials()["t0001"].candidate == candidate
    first = json.loads(journal.path.read_text().splitlines()[0])
    assert {"event", "trial", "time", "spec", "hash", "origin"} <= first.keys()


def test_a_torn_last_line_is_ignored_and_cut_off(tmp_path, candidate):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("suggested", "t0001", **candidate.to_dict())
    whole = journal.path.read_bytes()
    journal.path.write_bytes(whole + b'{"event": "finished", "trial": "t00')
    assert [event["event"] for event in journal.events()] == ["suggested"]
    journal.repair()
    assert journal.path.read_bytes() == whole
    journal.append("started", "t0001")
    assert [event["event"] for event in journal.events()] == ["suggested", "started"]


def test_damage_in_the_middle_is_named(tmp_path):
    path = tmp_path / "journal.jsonl"
    path.write_text('{"event": "started", "trial": "t0001", "time": 1}\nnonsense\n{}\n')
    with pytest.raises(ValueError, match=r"journal\.jsonl, line 2 is damaged"):
        list(Journal(path).events())


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (
            lambda lines: [*lines, lines[2]],
            "line 4 is damaged: 'finished' of .*, which has finished already",
        ),
        (
            lambda lines: lines[1:],
            "line 1 is damaged: 'started' of trial 't0001', which was never suggested: a",
        ),
        (
            lambda lines: [lines[0], *lines],
            "line 2 is damaged: 'suggested' of .*, which was suggested already",
        ),
        (lambda lines: lines[::-1], "line 1 is damaged: 'finished' of trial 't0001', which was never suggested"),
        (lambda lines: [*lines, "7"], "line 4 is damaged: it must be an object. Got 7"),
        (lambda lines: [*lines[:2], lines[2].replace("score", "scpre")], "line 3 is damaged: 'score' is missing"),
        (lambda lines: [*lines[:2], lines[2].replace(": 0.5", ": null")], "line 3 is damaged: 'score': .* got None"),
        (
            lambda lines: [lines[0].replace('"h"', '"hh"'), *lines[1:]],
            "line 1 is damaged: 2 problems in the model dict",
        ),
        (lambda lines: [lines[0].replace('"kind"', '"kimd"'), *lines[1:]], "line 1 is damaged: .*'kind' is missing"),
        (lambda lines: ["[" * 9999, *lines], "line 1 is damaged: it is nested too deeply"),
    ],
    ids=["doubled", "lost", "suggested twice", "reversed", "number", "misspelt", "null", "spec", "origin", "nested"],
)
def test_a_damaged_line_is_named(tmp_path, candidate, damage, message):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("suggested", "t0001", **candidate.to_dict())
    journal.append("started", "t0001")
    journal.append("finished", "t0001", score=0.5, objectives={"parameters": 10.0}, cost_s=2.0)
    journal.path.write_text("\n".join(damage(journal.path.read_text().splitlines())) + "\n")
    with pytest.raises(ValueError, match=rf"journal\.jsonl, {message}"):
        journal.trials()


def test_a_trial_that_failed_may_be_run_again(tmp_path, candidate):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.append("suggested", "t0001", **candidate.to_dict())
    journal.append("failed", "t0001", error="lost its node")
    journal.append("started", "t0001")
    journal.append("finished", "t0001", score=0.5, objectives={}, cost_s=2.0)
    record = journal.trials()["t0001"]
    assert (record.state, record.score, record.error) == ("finished", 0.5, None)


def test_no_file_is_an_empty_journal(tmp_path):
    journal = Journal(tmp_path / "journal.jsonl")
    journal.repair()
    assert journal.trials() == {}


def test_events_of_a_newer_version_are_refused(tmp_path):
    (tmp_path / "journal.jsonl").write_text('{"event": "forked", "trial": "t0001", "time": 1.0}\n')
    with pytest.raises(ValueError, match="line 1: unknown event 'forked'; known are suggested, .*newer version"):
        list(Journal(tmp_path / "journal.jsonl").events())


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


def test_what_is_within_a_standard_error_of_the_highest_score_is_tied_the_smallest_first(records):
    """0.9 ± 0.15 is not told apart from 0.8, but from 0.5."""
    for record, parameters in zip(records, (300.0, 200.0, 100.0, 90.0, 80.0, 70.0), strict=True):
        record.objectives |= {"parameters": parameters, "score_error": 0.15}
    assert [record.trial for record in tied_records(records, Goals())] == ["t1", "t0"]
    assert [record.trial for record in tied_records(records, Goals(constraints={"latency_ms": 10}))] == ["t2"]
    assert [record.trial for record in tied_records(records, Goals(constraints={"latency_ms": 3}))] == ["t4"]
    assert records[1].scored == "0.8000 ± 0.1500"


def test_the_front_keeps_the_limits_and_is_beaten_by_none(records):
    objectives = ("score", "latency_ms")
    assert [record.trial for record in front_records(records, Goals(objectives=objectives))] == ["t0", "t1", "t2", "t4"]
    limited = Goals(objectives=objectives, constraints={"latency_ms": 11})
    assert [record.trial for record in front_records(records, limited)] == ["t2", "t4"]
    assert front_records(records, Goals()) == []


def test_nothing_finished_has_no_best(records):
    with pytest.raises(ValueError, match="No trial has finished"):
        best_record(records[-1:])
