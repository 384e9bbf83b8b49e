"""How a run ended, told from its records."""

from types import SimpleNamespace

import pytest

from search.candidate import Candidate, Origin
from search.objectives import Goals
from search.records.journal import TrialRecord
from search.records.run_directory import RunDirectory
from search.runs.summary import _lineage, _ties, keep_best


def test_a_lineage_of_two_that_are_parents_of_each_other_ends(tiny_library):
    """Trained from scratch on one level, and again, as a child of its own child, on the next."""
    a, b = tiny_library.specs[:2]
    records = [
        TrialRecord("L1-t0001", Candidate(a, Origin("transfer", b.hash)), "finished", 0.5),
        TrialRecord("L2-t0001", Candidate(b, Origin("transfer", a.hash)), "finished", 0.6),
    ]
    trials = {record.candidate.spec.hash: record for record in records}
    assert _lineage(records[1], trials) == ["L2-t0001", "L1-t0001", f"{b.hash[:8]} (earlier level)"]


def test_a_lineage_goes_back_to_scratch_or_to_what_is_not_of_the_run(tiny_library):
    a, b, c, stranger = tiny_library.specs[:4]
    origins = {a: Origin(), b: Origin("transfer", a.hash), c: Origin("transfer", stranger.hash)}
    records = {
        spec.hash: TrialRecord(f"t{number}", Candidate(spec, origin), "finished", 0.5)
        for number, (spec, origin) in enumerate(origins.items())
    }
    assert _lineage(records[b.hash], records) == ["t1", "t0 (scratch)"]
    assert _lineage(records[c.hash], records) == ["t2", f"{stranger.hash[:8]} (earlier level)"]
    assert _lineage(records[a.hash], records) == ["t0 (scratch)"]


def test_a_best_model_without_weights_is_told_by_its_trial(tiny_library, tmp_path):
    record = TrialRecord("t0003", Candidate(tiny_library.specs[0], Origin()), "finished", 0.5)
    data = SimpleNamespace(sizes={"validation": 3})
    with pytest.raises(ValueError, match=r"weights of the best trial, t0003, are gone: there is no .*models"):
        keep_best(RunDirectory(tmp_path), tmp_path / "models", [record], data)


def test_a_best_model_that_is_tied_with_the_highest_score_says_so(tiny_library):
    large, small, lower = (
        TrialRecord(f"t{n}", Candidate(spec, Origin()), "finished", score, {"parameters": size, "score_error": 0.02})
        for n, (spec, score, size) in enumerate(zip(tiny_library.specs, (0.9, 0.89, 0.7), (300, 100, 50), strict=False))
    )
    records = [large, small, lower]
    assert _ties(small, records, Goals()) == [
        "- t0 has the highest score, 0.9000 ± 0.0200; the best one is within a standard error of it and 3.00 times "
        "smaller"
    ]
    assert _ties(large, records, Goals()) == _ties(lower, records, Goals()) == []
