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
        Origin("stitch", a, other=b),
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
        (("graft", "x"), "must be one of scratch, transfer, prune, stitch, merge. Got 'graft'"),
        (("transfer", None), "if and only if"),
        (("scratch", "x"), "if and only if"),
        (("stitch", "x"), "second parent"),
        (("prune", "x"), "a density"),
        (("transfer", "x", None, 0.5), "no other origin has"),
    ],
)
def test_an_origin_must_be_known_and_have_the_parent_it_needs(arguments, message):
    with pytest.raises(ValueError, match=message):
        Origin(*arguments)
