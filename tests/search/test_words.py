"""Architectures and origins in words that need no key."""

import pytest

from design_space import ModelSpec
from search.candidate import Origin
from search.names import spoken_name
from search.words import architecture, objective, origin

UNEQUAL = {"l": 2, "o": ["sa", "l"], "h": [32, 64], "n": [4, 1], "f": [[64], [1600, 16]], "p": ["sdp", "dft"]}


@pytest.mark.parametrize(
    ("spec", "said"),
    [
        (
            ModelSpec.homogeneous(3, 32, 4, 128),
            "3 layers, 32 wide, each with 4 heads of self-attention, feed-forward 128 wide",
        ),
        (
            ModelSpec.homogeneous(1, 8, 1, 16),
            "1 layer, 8 wide, each with 1 head of self-attention, feed-forward 16 wide",
        ),
        (
            ModelSpec.from_dict(UNEQUAL),
            "2 layers, 32 to 64 wide, each with 1 to 4 heads of self-attention or linear transform, feed-forward 16 to "
            "1,600 wide",
        ),
    ],
    ids=["equal", "one", "unequal"],
)
def test_an_architecture_is_a_phrase(spec, said):
    assert architecture(spec) == said


def test_an_origin_names_parents_as_people_do():
    known, other = ModelSpec.homogeneous(2, 32, 4, 64).hash, ModelSpec.homogeneous(2, 32, 4, 128).hash
    trials = {known: "t0003"}
    assert origin(Origin(), trials) == "scratch"
    assert (
        origin(Origin("prune", known, density=0.42), trials) == f"prune of {spoken_name(known)} (t0003), density 0.42"
    )
    assert origin(Origin("stitch", known, other), trials) == (
        f"stitch of {spoken_name(known)} (t0003) and {spoken_name(other)}"
    )
    assert origin(Origin("pretrained", model="my-bert"), trials) == "pretrained, model my-bert"


def test_numbers_of_plugins_keep_their_names():
    assert objective("latency_ms") == "milliseconds for a forward pass"
    assert objective("my_energy") == "my_energy"
