"""Spaces in which every head of a layer has an operation of its own."""

import importlib
import itertools
import random
from typing import Any

import pytest

from design_space import DesignSpace, Head, ModelSpec, Names, Operation, WholeNumbers, next_level, register_operation
from design_space.head_choices import HeadChoices
from tests.conftest import ROOT


def _edited(space: DesignSpace, **options: Any) -> dict[str, Any]:
    """The content of a space's file with other options; ``None`` leaves one out."""
    content = space.to_dict()
    architecture = content["architecture"] | options
    return content | {"architecture": {key: value for key, value in architecture.items() if value is not None}}


def _shuffled(spec: ModelSpec, rng: random.Random) -> ModelSpec:
    """The same graph with the heads of every layer in another order."""
    written = spec.to_dict()
    return ModelSpec.from_dict(written | {"o": [rng.sample(heads, len(heads)) for heads in written["o"]]})


def _hetero(heads: list[str], *, layers: int = 2, hidden: int = 16) -> ModelSpec:
    return ModelSpec.from_dict({"l": layers, "h": [hidden] * layers, "o": [heads] * layers, "f": [[32]] * layers})


@pytest.mark.parametrize(("num_kinds", "num_heads"), [(1, 1), (1, 5), (3, 1), (4, 3), (5, 4), (0, 2)])
def test_heads_are_counted_and_numbered_as_multisets(num_kinds, num_heads):
    kinds = tuple(Head("c", 2 * i + 1, 8) for i in range(num_kinds))
    choices = HeadChoices(kinds, num_heads, heterogeneous=True)
    found = [choices.heads(i) for i in range(choices.size)]
    assert sorted(found, key=str) == sorted(itertools.combinations_with_replacement(kinds, num_heads), key=str)
    assert [choices.index(heads) for heads in found] == list(range(choices.size))
    assert [choices.index(heads[::-1]) for heads in found] == list(range(choices.size))


@pytest.mark.parametrize("mixed", [False, True])
@pytest.mark.parametrize("options", [{}, {"head_size": [4, 8], "hidden_size": [16, 24]}], ids=["as wide", "head sizes"])
def test_all_members_differ_and_have_an_index_whatever_the_order_of_their_heads(hetero_space, options, mixed):
    space = DesignSpace.from_dict(_edited(hetero_space, **options))
    level = space.level(layers_per_stack=1, heterogeneous_feed_forward=mixed)
    assert level.size == (1764 if not options else 28_224)  # (6 + 15) * 2, or four times as many, at each of two layers
    members = [level.spec(i) for i in range(level.size)]
    assert len({spec.hash for spec in members}) == level.size
    assert {spec.format for spec in members} == {"hetero"}
    rng = random.Random(0)
    for i in rng.sample(range(level.size), 300):
        shuffled = _shuffled(members[i], rng)
        assert shuffled.hash == members[i].hash
        assert level.index(members[i]) == level.index(shuffled) == i
        assert shuffled in level


def test_two_layers_of_a_stack_are_equal_whatever_the_order_of_their_heads(hetero_space):
    heads = ["sa_sdp_8", "l_dct_8"]
    spec = ModelSpec.from_dict({"l": 2, "h": [16] * 2, "o": [heads, heads[::-1]], "f": [[32]] * 2})
    place = hetero_space.index(spec, layers_per_stack=2)
    assert hetero_space.spec(place, layers_per_stack=2).hash == spec.hash
    assert spec in next_level([(spec, spec)], old_layers_per_stack=2, new_layers_per_stack=2)


def test_the_space_we_ship_is_counted_exactly():
    space = DesignSpace.from_yaml(ROOT / "design_space" / "design_space_hetero.yaml")
    stack = 2 * (10 + 35) * 2  # hidden sizes; multisets of two or four of four kinds; feed-forward widths
    assert space.size(layers_per_stack=2) == stack + stack**2 == 32_580


def test_spaces_too_large_to_list_are_indexed_exactly(hetero_space):
    kernels = list(range(1, 40, 2))
    space = DesignSpace.from_dict(
        _edited(
            hetero_space,
            hidden_size=[256, 512],
            num_heads=[8, 16, 32],
            encoder_layers=[6, 12],
            operation_types=["sa", "c"],
            operation_parameters={"sa": ["sdp", "wma"], "c": kernels},
        )
    )
    size = space.size(layers_per_stack=1)
    assert size > 10**150
    rng = random.Random(1)
    for i in [0, size - 1, *(rng.randrange(size) for _ in range(50))]:
        spec = space.spec(i, layers_per_stack=1)
        assert space.index(spec, layers_per_stack=1) == i
        assert ModelSpec.from_dict(spec.to_dict()) == spec
    assert len(set(space.sample(50, layers_per_stack=1, seed=0))) == 50


def test_strangers_have_no_index(hetero_space):
    members = hetero_space.level(layers_per_stack=2)
    assert _hetero(["sa_sdp_8", "sa_sdp_8"]) in members
    standard = {"l": 2, "h": [16] * 2, "n": [2] * 2, "o": ["sa"] * 2, "p": ["sdp"] * 2, "f": [[32]] * 2}
    for stranger in (ModelSpec.from_dict(standard), _hetero(["sa_sdp_8"]), _hetero(["c_5_8", "sa_sdp_8"])):
        assert stranger not in members
        with pytest.raises(ValueError, match="Not in the design space"):
            members.index(stranger)


def test_near_layers_differ_in_one_head_or_one_other_respect(hetero_space):
    (choices,) = hetero_space.level(layers_per_stack=2).branches[0]
    layer = _hetero(["sa_sdp_8", "l_dct_8"]).layers[0]
    near = choices.near(layer)
    assert all(choices.index(other) is not None for other in near)
    found = {(*map(str, other.heads), *other.feed_forward) for other in near}
    assert len(near) == len(found)
    assert found == {
        ("l_dct_4", "l_dct_4", "sa_sdp_4", "sa_sdp_4", 32),
        ("sa_sdp_8", "sa_wma_8", 32),
        ("sa_sdp_8", "sa_sdp_8", 32),
        ("l_dct_8", "l_dct_8", 32),
        ("l_dct_8", "sa_wma_8", 32),
        ("l_dct_8", "sa_sdp_8", 64),
    }


@pytest.mark.parametrize("head_size", [None, [8, 4]])
def test_the_dictionary_and_the_labels_survive(hetero_space, head_size):
    space = DesignSpace.from_dict(_edited(hetero_space, head_size=head_size))
    again = DesignSpace.from_dict(space.to_dict())
    assert again == space
    assert again.to_dict()["architecture"].get("head_size") == (head_size and [4, 8])
    labels = {label for i in range(42) for label in space.spec(i, layers_per_stack=2).head_labels(0)}
    heads = ["l_dct_4", "l_dct_8", "", "sa_sdp_4", "sa_wma_4", "sa_sdp_8", "sa_wma_8", ""]
    assert list(space.label_order().labels[7:]) == heads
    assert labels <= set(heads)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"heterogeneous_heads": "yes"}, "'heterogeneous_heads' must be true or false. Got 'yes'"),
        ({"heterogeneous_head": True}, "Unknown key 'heterogeneous_head' .* Did you mean 'heterogeneous_heads'"),
        ({"heterogeneous_heads": False, "head_size": [8]}, "'head_size' .* is for the hetero format only; set 'hetero"),
        ({"head_size": 8}, "'head_size' must be a list of one or more options. Got 8"),
        ({"head_size": [0]}, "'head_size' must list whole numbers above 0. Got 0"),
        ({"head_size": [8, 8]}, "'head_size' lists 8 more than once"),
        ({"num_heads": [3]}, "'num_heads' 3 does not divide 'hidden_size' 16"),
    ],
    ids=lambda value: str(value)[:30] if isinstance(value, dict) else "",
)
def test_wrong_options_are_refused_with_the_reason(hetero_space, options, message):
    with pytest.raises(ValueError, match=message):
        DesignSpace.from_dict(_edited(hetero_space, **options))


def test_heads_of_a_given_size_need_not_fill_the_layer(hetero_space):
    space = DesignSpace.from_dict(_edited(hetero_space, head_size=[8], num_heads=[3]))
    assert {layer.shape for layer in space.spec(0, layers_per_stack=2).layers} == {(16, 3, 8)}


A = _hetero(["sa_sdp_8", "l_dct_8"])
B = _hetero(["c_5_4", "c_5_4", "sa_wma_4", "sa_wma_4"], layers=4)
WIDER = _hetero(["c_5_16", "sa_wma_16"])


def _between(a: ModelSpec, b: ModelSpec):
    return next_level([(a, b)], old_layers_per_stack=2, new_layers_per_stack=1)


def test_every_head_between_two_parents_may_have_an_operation_of_either():
    level = _between(A, B)
    # Places 1 and 2: two or four of four kinds; places 3 and 4: four of the deeper parent's two.
    assert level.size == (10 + 35) ** 2 * 5**2
    members = list(level.stream(seed=0, limit=500))
    assert len({spec.hash for spec in members}) == 500
    assert all(level.index(spec) < level.size and level.spec(level.index(spec)) == spec for spec in members)
    assert {layer.shape for spec in members for layer in spec.layers} == {(16, 2, 8), (16, 4, 4)}
    assert {head.operation for spec in members for head in spec.layers[0].heads} == {"sa", "l", "c"}
    assert B in level


def test_head_sizes_of_parents_are_combined_where_heads_do_not_fill_the_layer():
    level = _between(A, WIDER)
    shapes = {layer.shape for spec in level.sample(200, seed=0) for layer in spec.layers}
    assert shapes == {(16, 2, 8), (16, 2, 16)}
    assert A in level
    assert WIDER in level


def test_overlapping_pairs_give_every_architecture_once():
    other = _hetero(["l_dct_8", "l_dct_8"])
    level = next_level([(A, other), (other, A), (A, A)], old_layers_per_stack=2, new_layers_per_stack=1)
    members = list(level.stream(seed=0, limit=level.size))
    assert len(members) == len({spec.hash for spec in members}) == 9  # two of two kinds at two places


def test_parents_of_both_formats_are_refused():
    standard = ModelSpec.homogeneous(2, 16, 2, 32)
    with pytest.raises(ValueError, match="all in the hetero format. Got hetero and standard ones"):
        _between(A, standard)
    with pytest.raises(ValueError, match="all in the hetero format. Got grouped ones"):
        _between(ModelSpec.side_by_side([A, A]), ModelSpec.side_by_side([A, A]))


def _divides_by_four(parameter: str | int, size: int) -> str | None:
    return None if size % 4 == 0 else f"the head size must be a multiple of 4. Got {size}"


@pytest.fixture
def own_operations(monkeypatch):
    """``fold`` (its labels start as those of feed-forward widths do) and ``gate``, which stands beside others only."""
    registry = importlib.import_module("design_space.operations")
    monkeypatch.setattr(registry, "_REGISTRY", dict(registry._REGISTRY))
    parameters = WholeNumbers(least=0, step=2, meaning="an even number")
    register_operation(Operation(name="fold", meaning="a fold", parameters=parameters, rule=_divides_by_four))
    register_operation(Operation(name="gate", meaning="a gate", parameters=Names(("soft", "hard")), is_standard=False))


OWN = {"operation_types": ["sa", "fold"], "operation_parameters": {"sa": ["wma"], "fold": [0, 4]}}


@pytest.mark.usefixtures("own_operations")
@pytest.mark.parametrize("is_hetero", [False, True], ids=["standard", "hetero"])
def test_operations_of_ones_own_stand_in_both_formats(hetero_space, is_hetero):
    space = DesignSpace.from_dict(_edited(hetero_space, heterogeneous_heads=is_hetero, **OWN))
    size = space.size(layers_per_stack=1)
    assert size == (1764 if is_hetero else 144)
    members = [space.spec(i, layers_per_stack=1) for i in range(size)]
    assert len({spec.hash for spec in members}) == size
    assert [space.index(spec, layers_per_stack=1) for spec in members] == list(range(size))
    assert DesignSpace.from_dict(space.to_dict()) == space
    labels = space.label_order().labels
    assert list(labels[-2:]) == (["fold_0_8", "fold_4_8"] if is_hetero else ["fold_h16_p-0", "fold_h16_p-4"])
    level = next_level([(members[0], members[-1])], old_layers_per_stack=1, new_layers_per_stack=1)
    assert members[0] in level
    assert members[-1] in level


@pytest.mark.usefixtures("own_operations")
def test_an_operation_for_the_hetero_format_alone_is_refused_elsewhere(hetero_space):
    gates = {"operation_types": ["gate", "sa"], "operation_parameters": {"gate": ["soft"], "sa": ["sdp"]}}
    assert DesignSpace.from_dict(_edited(hetero_space, **gates)).size(layers_per_stack=2) == 2 * (3 + 5)
    with pytest.raises(
        ValueError, match="operation 'gate' .* is for the hetero format only; set 'heterogeneous_heads: true'"
    ):
        DesignSpace.from_dict(_edited(hetero_space, heterogeneous_heads=None, **gates))


@pytest.mark.usefixtures("own_operations")
def test_all_that_an_operations_rule_refuses_is_listed(hetero_space):
    with pytest.raises(ValueError, match="4 problems") as caught:
        DesignSpace.from_dict(_edited(hetero_space, head_size=[2, 4, 6], **OWN))
    for head in ("fold_0_2", "fold_4_2", "fold_0_6", "fold_4_6"):
        assert f"Head '{head}': the head size must be a multiple of 4. Got {head[-1]}" in str(caught.value)
    one = {"operation_types": ["fold"], "operation_parameters": {"fold": [4]}, "num_heads": [8]}
    with pytest.raises(ValueError, match="1 problem in .*\n  - Head 'fold_4_2'"):
        DesignSpace.from_dict(_edited(hetero_space, heterogeneous_heads=None, **one))


@pytest.mark.usefixtures("own_operations")
def test_a_next_level_leaves_out_what_a_rule_refuses():
    parents = _hetero(["fold_0_4"] * 4), _hetero(["sa_sdp_2"] * 8)
    level = next_level([parents], old_layers_per_stack=2, new_layers_per_stack=2)
    assert level.size == 5 + 1  # four heads of two kinds, or eight of attention alone
    assert [level.index(parent) for parent in parents] == [0, 5]
    (choices,) = level.branches[0]
    near = [[str(head) for head in layer.heads] for layer in choices.near(level.spec(4).layers[0])]
    assert near == [["sa_sdp_2"] * 8, ["fold_0_4", "sa_sdp_4", "sa_sdp_4", "sa_sdp_4"]]
