import pytest

from search import Candidate, Origin


def test_a_candidate_survives_its_dictionary(tiny_library):
    spec = tiny_library.specs[5]
    for origin in (Origin(), Origin("transfer", "ab" * 32)):
        candidate = Candidate(spec, origin, "optimized")
        back = Candidate.from_dict(candidate.to_dict())
        assert back == candidate
        assert back.proposed_by == "optimized"
        assert candidate.to_dict()["hash"] == spec.hash


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("graft", "x"), "must be one of scratch, transfer. Got 'graft'"),
        (("transfer", None), "if and only if"),
        (("scratch", "x"), "if and only if"),
    ],
)
def test_an_origin_must_be_known_and_have_the_parent_it_needs(arguments, message):
    with pytest.raises(ValueError, match=message):
        Origin(*arguments)
