import os
import random
import subprocess
import sys

import networkx as nx
import pytest

import design_space
from design_space import DesignSpace, ModelSpec
from tests.conftest import ROOT

STANDARD = {
    "l": 4,
    "o": ["sa", "sa", "l", "c"],
    "h": [256, 256, 128, 128],
    "n": [2, 2, 4, 4],
    "f": [[512, 512, 512], [512], [1024], [1024]],
    "p": ["sdp", "wma", "dct", 9],
}
HETERO = {"l": 2, "o": [["sa_sdp_64", "c_9_64", "l_dft_64"], ["sa_wma_32"]], "h": [256, 128], "f": [[512], [96, 64]]}


@pytest.mark.parametrize("model_dict", [STANDARD, HETERO], ids=["standard", "hetero"])
def test_a_model_dict_survives_the_way_through_a_spec(model_dict):
    spec = ModelSpec.from_dict(model_dict)
    assert spec.to_dict() == model_dict
    assert ModelSpec.from_dict(spec.to_dict()) == spec


def test_all_problems_are_reported_at_once():
    wrong = {
        **STANDARD,
        "n": [3, 2, 4],
        "p": ["sdp", "dft", "dct", 8],
        "f": [[512], [-1], [], [1024]],
        "depth": 4,
        "o": ["sa", "sa", "l", "x"],
    }
    with pytest.raises(ValueError, match="problems in the model dict") as error:
        ModelSpec.from_dict(wrong)
    for part in (
        "Unknown key 'depth'",
        "'n' must have 'l' = 4 entries. Got 3",
        "'n[0]' (heads) must divide the hidden size 'h[0]' 256. Got 3; use one of [1, 2, 4, 8",
        "'p[1]' of layer 1 must be one of sdp, wma for operation 'sa'. Got 'dft'",
        "'f[1][0]' of model dict must be a whole number above 0. Got -1",
        "'f[2]' must be a list of one or more feed-forward widths. Got []",
    ):
        assert part in str(error.value)


def test_entries_that_are_wrong_are_reported_beside_lists_that_are_too_short():
    wrong = {"l": 2, "o": ["sa"], "h": [64, "x"], "n": [3, 4], "f": [[64], 0], "p": ["foo", "dft"]}
    with pytest.raises(ValueError, match="5 problems in the model dict") as error:
        ModelSpec.from_dict(wrong)
    for part in ("'o' must have 'l' = 2", "'p[0]' of layer 0", "'n[0]' (heads) must divide", "'h[1]'", "'f[1]'"):
        assert part in str(error.value)
    with pytest.raises(ValueError, match="4 problems in the model dict") as error:
        ModelSpec.from_dict({"l": 2, "o": [["sa_sdp_8"], "l_dft_8", []], "h": [16], "f": [[8], [8]]})
    for part in (
        "'o' must have 'l' = 2",
        "'h' must have",
        "'o[1]' must be a list of heads",
        "'o[2]' must list at least",
    ):
        assert part in str(error.value)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"p": ["sdp", "wma", "dct", 8]}, "odd kernel size for operation 'c'. Got 8"),
        ({"p": ["sdp", "wma", "dct", True]}, "odd kernel size for operation 'c'. Got True"),
        ({"o": ["sa", "attention", "l", "c"]}, "must be an operation: 'sa'.*Got 'attention'"),
        ({"o": ["sa_sdp", "sa", "l", "c"]}, "must be an operation: 'sa'.*Got 'sa_sdp'"),
        ({"o": [{}, "sa", "l", "c"]}, "must be an operation: 'sa'.*Got {}"),
        ({"l": 0}, "'l' of model dict must be a whole number above 0. Got 0"),
        ({"h": 256}, "'h' must be a list with one entry per layer. Got 256"),
    ],
    ids=["even kernel", "boolean kernel", "operation", "a head", "no text", "no layers", "scalar"],
)
def test_a_wrong_standard_entry_is_named(change, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec.from_dict({**STANDARD, **change})


@pytest.mark.parametrize(
    ("heads", "message"),
    [
        (["sa_sdp_64", "sa_sdp_32"], "all heads of a layer must have one size"),
        (["sa_sdp"], "a head is written 'operation_parameter_size'"),
        (["sa_dft_64"], "must be one of sdp, wma for operation 'sa'. Got 'dft'"),
        (["c_8_64"], "odd kernel size"),
        ([], "must list at least one head"),
    ],
    ids=["sizes", "syntax", "parameter", "even kernel", "no head"],
)
def test_a_wrong_hetero_entry_is_named(heads, message):
    with pytest.raises(ValueError, match=message):
        ModelSpec.from_dict({**HETERO, "o": [heads, ["sa_wma_32"]]})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"h": [10**13], "n": [7]},
            "'h.0.' of model dict must be .* above 0 and at most 1,000,000. Got 1",
        ),
        (
            {"h": [1000], "n": [10**9]},
            "'n.0.' of model dict must be .* above 0 and at most 1,000. Got 1",
        ),
        ({"l": 10**9}, "'l' of model dict must be a whole number above 0 and at most 1,000"),
        ({"f": [[4] * 1001]}, "'f.0.' of model dict may have at most 1,000 entries. Got 1,001"),
        ({"o": ["c"], "p": [10**9 + 1]}, "an odd kernel size for operation 'c'.*up to 1,000,000"),
        ({"h": [10**5000]}, "Got a number of 16,610 bits"),
    ],
    ids=["hidden size", "heads", "layers", "feed-forward", "kernel", "digits"],
)
def test_numbers_beyond_all_bounds_are_refused_before_anything_is_made_of_them(change, message):
    model_dict = {"l": 1, "o": ["sa"], "h": [8], "n": [1], "f": [[4]], "p": ["sdp"]}
    with pytest.raises(ValueError, match=message):
        ModelSpec.from_dict(model_dict | change)


def test_groups_do_not_hold_groups():
    nested = {"groups": [HETERO]}
    for _ in range(900):
        nested = {"groups": [nested]}
    with pytest.raises(ValueError, match="'groups.0.' must be no grouped model dict"):
        ModelSpec.from_dict(nested)


def test_a_missing_key_is_named():
    with pytest.raises(ValueError, match="Key 'p' is missing"):
        ModelSpec.from_dict({key: value for key, value in STANDARD.items() if key != "p"})


def test_the_graph_has_the_documented_vertices_and_edges():
    spec = ModelSpec.from_dict({"l": 1, "o": ["sa"], "h": [8], "n": [2], "f": [[4, 6]], "p": ["sdp"]})
    graph = spec.graph()
    labels = nx.get_node_attributes(graph, "label")
    assert list(labels.values()) == [
        "input",
        "sa_h8_p-sdp",
        "sa_h8_p-sdp",
        "add_norm",
        "f4",
        "f6",
        "add_norm",
        "output",
    ]
    assert sorted(graph.edges) == [(0, 1), (0, 2), (0, 3), (1, 3), (2, 3), (3, 4), (3, 6), (4, 5), (5, 6), (6, 7)]


def test_hashes_agree_exactly_where_graphs_are_isomorphic(tiny_space: DesignSpace):
    specs = tiny_space.sample(25, layers_per_stack=1, seed=3, heterogeneous_feed_forward=True)
    specs += [
        ModelSpec.from_dict({**HETERO, "o": [random.Random(i).sample(HETERO["o"][0], 3), HETERO["o"][1]]})
        for i in range(3)
    ]
    specs.append(ModelSpec.from_dict({**HETERO, "h": [256, 256]}))

    def same(a: ModelSpec, b: ModelSpec) -> bool:
        return nx.is_isomorphic(a.graph(), b.graph(), node_match=lambda x, y: x == y)

    isomorphic = [(a, b) for a in specs for b in specs if same(a, b)]
    assert len(isomorphic) > len(specs)  # the reordered heads
    for a in specs:
        for b in specs:
            assert (a.hash == b.hash) == ((a, b) in isomorphic)


def test_hidden_sizes_of_the_hetero_format_take_part_in_the_hash():
    wide = {**HETERO, "h": [512, 128]}
    assert ModelSpec.from_dict(HETERO).hash != ModelSpec.from_dict(wide).hash


def test_a_hash_is_the_same_in_another_process():
    code = f"from design_space import ModelSpec; print(ModelSpec.from_dict({HETERO!r}).hash)"
    other = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env={**os.environ, "PYTHONHASHSEED": "7"},
        capture_output=True,
        text=True,
        check=True,
    )
    assert other.stdout.strip() == ModelSpec.from_dict(HETERO).hash
    assert len(other.stdout.strip()) == 64


def test_importing_the_room_does_not_import_torch():
    code = "import sys, design_space; assert 'torch' not in sys.modules; import torch; assert 'torch' in sys.modules"
    assert subprocess.run([sys.executable, "-c", code], cwd=ROOT, check=False).returncode == 0


def test_the_room_is_ours():
    assert str(ROOT) in str(design_space.__file__)
