import pytest

from design_space import ModelSpec
from flexibert import MORPHISMS, Child, Morphism, register_morphism


def test_the_projects_own_are_there_in_order():
    found = {name: (one.num_parents, one.is_constructive, one.can_fill) for name, one in MORPHISMS.items()}
    assert found == {
        "scratch": (0, False, False),
        "pretrained": (0, False, False),
        "transfer": (1, False, True),
        "prune": (1, True, True),
        "stitch": (2, True, False),
        "merge": (1, True, False),
    }
    assert [one.name for one in MORPHISMS.values() if one.needs_pretraining] == ["scratch"]


def test_what_is_left_out_is_an_error_at_registration_all_of_it_at_once():
    class Empty(Morphism):
        num_parents = 1
        arguments = ("parent",)

    with pytest.raises(ValueError, match="Problems in the morphism Empty") as refused:
        register_morphism(Empty)
    for problem in (
        "'name' must be an identifier. Got None",
        "'sentence' must say in one sentence where the weights come from. Got None",
        "'arguments' must be identifiers other than kind, parent, other, parents. Got ('parent',)",
        "it must define make",
        "it must define children (of its parents) or inherited_share (of a given architecture)",
    ):
        assert problem in str(refused.value)
    assert len(MORPHISMS) == 6


def test_a_class_of_another_kind_is_refused():
    with pytest.raises(
        ValueError, match="Problems in the morphism dict:\n  - it must be derived from flexibert.Morphism"
    ):
        register_morphism(dict)


def test_a_name_is_taken_once():
    class Prune(Morphism):
        name, num_parents, sentence = "prune", 0, "Another."

        def make(self, parents, child, materials):
            return materials.blank()

    with pytest.raises(ValueError, match=r"'prune' is registered by flexibert\.builtin_morphisms\.Prune"):
        register_morphism(Prune)


def test_the_same_class_may_be_registered_again():
    before = list(MORPHISMS)
    assert register_morphism(type(MORPHISMS["merge"])) is type(MORPHISMS["merge"])
    assert register_morphism(MORPHISMS["merge"]) is MORPHISMS["merge"]
    assert list(MORPHISMS) == before


def test_children_are_what_the_weights_are_made_for():
    spec = ModelSpec.from_dict(
        {"l": 4, "o": ["sa"] * 4, "h": [16] * 4, "n": [4] * 4, "f": [[64]] * 4, "p": ["sdp"] * 4}
    )
    pruned = list(MORPHISMS["prune"].children([spec]))
    assert [child.arguments for child in pruned] == [{"density": 0.75}, {"density": 0.5}]
    assert list(MORPHISMS["stitch"].children([spec, spec])) == [Child(ModelSpec.side_by_side([spec, spec]))]
    assert MORPHISMS["transfer"].inherited_share([spec], spec, lambda parent, child: 0.25) == 0.25


def test_what_a_parent_holds_is_filled_by_pruning_with_the_share_of_linear_weights_as_density():
    parent, child = ModelSpec.homogeneous(4, 64, 4, 128), ModelSpec.homogeneous(2, 32, 2, 64)
    prune, transfer = MORPHISMS["prune"], MORPHISMS["transfer"]
    assert prune.filled([parent], child) == Child(child, {"density": 0.125})
    assert prune.filled([child], parent) is None
    assert prune.inherited_share([parent], child, lambda *_: 0.5) == 1.0
    assert prune.inherited_share([child], parent, lambda *_: 0.5) == 0.0
    assert transfer.filled([child], parent) == Child(parent)
    assert transfer.filled([child], next(iter(prune.children([parent]))).spec) is None  # of another format
    assert all(one.filled([parent, parent], child) is None for one in (MORPHISMS["stitch"], MORPHISMS["merge"]))
