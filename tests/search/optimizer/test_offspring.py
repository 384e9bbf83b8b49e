import pytest

from design_space import ModelSpec
from flexibert.builtin_morphisms import DENSITIES
from search import BOSHNAS, BOSHNASSettings, Candidate
from search.optimizer.origins import Origins
from tests.search.optimizer.test_boshnas import run

ALL = ("scratch", "transfer", "prune", "stitch", "merge")


def children(parents: list[ModelSpec], names: list[str]) -> list[Candidate]:
    return Origins(names, None, 0.0).offspring(parents)


def _parent(hidden: int, layers: int = 4) -> ModelSpec:
    return ModelSpec.from_dict(
        {
            "l": layers,
            "o": ["sa"] * layers,
            "h": [hidden] * layers,
            "n": [4] * layers,
            "f": [[64]] * layers,
            "p": ["sdp"] * layers,
        }
    )


def test_children_are_known_before_any_weight_is_touched():
    a, b, deep = _parent(16), _parent(32), _parent(16, layers=6)
    born = {child.origin.name: child for child in children([a, b, deep], ALL)}
    assert set(born) == {"prune", "stitch", "merge"}
    pruned = [child for child in children([a], ["prune"]) if child.origin.name == "prune"]
    assert [child.origin.arguments for child in pruned] == [(("density", share),) for share in DENSITIES]
    assert [len(child.spec.layers[0].heads) for child in pruned] == [3, 2]
    (merged,) = children([a], ["merge"])
    assert merged.spec == _parent(16, layers=2)
    (stitched,) = children([a, b, deep], ["stitch"])  # the third is deeper
    assert stitched.spec == ModelSpec.side_by_side([a, b])
    assert stitched.origin.parents == (a.hash, b.hash)


def test_origins_restrict_them_and_a_stitched_model_has_none():
    a, b = _parent(16), _parent(32)
    assert children([a, b], ["scratch", "transfer"]) == []
    assert children([ModelSpec.side_by_side([a, b])], ALL) == []


@pytest.mark.parametrize("kind", ["prune", "stitch", "merge"])
def test_the_searcher_proposes_children_that_promise_more(tiny_library, kind):
    settings = BOSHNASSettings(num_init=3, surrogate="gp", origins=("scratch", kind), confidence=8.0)
    candidates = run(BOSHNAS(tiny_library, seed=0, settings=settings), 12)
    born = [candidate for candidate in candidates if candidate.origin.name == kind]
    assert born  # far from what is known: a bold searcher is curious
    trained = set()
    for candidate in candidates:
        assert set(candidate.origin.parents) <= trained
        trained.add(candidate.spec.hash)
    assert len(trained) == 12
