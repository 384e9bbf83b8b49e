import pytest

from search import Candidate, Origin


def test_a_candidate_survives_its_dictionary(tiny_library):
    spec = tiny_library.specs[5]
    a, b = "ab" * 32, "cd" * 32
    origins = (
        Origin(),
        Origin("transfer", a),
        Origin("merge", a),
        Origin("prune", a, density=0.5),
        Origin("stitch", a, b),
    )
    assert [str(origin) for origin in origins[3:]] == ["prune(abababab, 0.5)", "stitch(abababab, cdcdcdcd)"]
    assert [len(origin.parents) for origin in origins] == [0, 1, 1, 1, 2]
    for origin in origins:
        candidate = Candidate(spec, origin, "optimized")
        back = Candidate.from_dict(candidate.to_dict())
        assert back == candidate
        assert back.proposed_by == "optimized"
        assert candidate.to_dict()["hash"] == spec.hash


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("graft", "x"), "must be one of scratch, pretrained, transfer, prune, stitch, merge.* Got 'graft'"),
        (("transfer",), r"'transfer' must have 1 parents. Got \(\)"),
        (("scratch", "x"), r"'scratch' must have 0 parents. Got \('x',\)"),
        (("stitch", "x"), "'stitch' must have 2 parents"),
        (("prune", "x"), "'prune' must have density. Got none"),
    ],
)
def test_an_origin_must_be_known_and_have_the_parent_it_needs(arguments, message):
    with pytest.raises(ValueError, match=message):
        Origin(*arguments)


def test_an_origin_has_the_arguments_of_its_morphism_and_no_others():
    with pytest.raises(ValueError, match="'transfer' must have no arguments. Got density"):
        Origin("transfer", "x", density=0.5)


@pytest.mark.parametrize(
    ("written", "shown"),
    [
        ({"kind": "scratch"}, "scratch"),
        ({"kind": "transfer", "parent": "a" * 64}, "transfer(aaaaaaaa)"),
        ({"kind": "prune", "parent": "a" * 64, "density": 0.5}, "prune(aaaaaaaa, 0.5)"),
        ({"kind": "stitch", "parent": "a" * 64, "other": "b" * 64}, "stitch(aaaaaaaa, bbbbbbbb)"),
    ],
)
def test_origins_of_earlier_journals_are_read_and_written_as_they_were(written, shown):
    assert str(Origin.from_dict(written)) == shown
    assert Origin.from_dict(written).to_dict() == written
