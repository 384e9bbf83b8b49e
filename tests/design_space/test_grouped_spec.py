"""Grouped specs: several architectures side by side."""

import pickle

import networkx as nx
import pytest

from design_space import ModelSpec

A = {"l": 2, "o": ["sa", "c"], "h": [16, 24], "n": [2, 3], "f": [[32], [24, 32]], "p": ["wma", 3]}
B = {"l": 2, "o": [["sa_sdp_4", "l_dft_4"], ["c_5_8"]], "h": [8, 8], "f": [[16], [16]]}
GROUPED = {"groups": [A, B]}


def test_a_grouped_spec_survives_its_dict_and_pickling() -> None:
    spec = ModelSpec.from_dict(GROUPED)
    assert spec.format == "grouped"
    assert spec.to_dict() == GROUPED
    assert spec == ModelSpec.side_by_side([ModelSpec.from_dict(A), ModelSpec.from_dict(B)])
    assert pickle.loads(pickle.dumps(spec)) == spec


def test_its_layers_are_the_groups_layers_taken_together() -> None:
    layers = ModelSpec.from_dict(GROUPED).layers
    assert [layer.hidden_size for layer in layers] == [24, 32]
    assert [str(head) for head in layers[0].heads] == ["sa_wma_8", "sa_wma_8", "sa_sdp_4", "l_dft_4"]
    assert [layer.feed_forward for layer in layers] == [(32, 16), (24, 32, 16)]


def test_groups_of_grouped_specs_become_groups_of_the_result() -> None:
    spec = ModelSpec.side_by_side([ModelSpec.from_dict(GROUPED), ModelSpec.from_dict(A)])
    assert spec.to_dict() == {"groups": [A, B, A]}


def test_the_hash_ignores_the_order_of_groups_and_nothing_else() -> None:
    spec = ModelSpec.from_dict(GROUPED)
    assert ModelSpec.from_dict({"groups": [B, A]}).hash == spec.hash
    others = [{"groups": [A, A]}, {"groups": [A, B, B]}, {"groups": [A | {"p": ["sdp", 3]}, B]}, A, B]
    assert len({spec.hash, *(ModelSpec.from_dict(other).hash for other in others)}) == 6


def test_the_graph_has_a_chain_per_group_between_one_input_and_one_output() -> None:
    graph = ModelSpec.from_dict(GROUPED).graph()
    labels = nx.get_node_attributes(graph, "label")
    inner = graph.subgraph(node for node, label in labels.items() if label not in ("input", "output"))
    assert nx.number_weakly_connected_components(inner) == 2
    assert sorted(labels.values()).count("add_norm") == 8
    parts = [ModelSpec.from_dict(each).graph() for each in (A, B)]
    assert graph.number_of_nodes() == sum(part.number_of_nodes() for part in parts) - 2
    assert graph.number_of_edges() == sum(part.number_of_edges() for part in parts)


@pytest.mark.parametrize(
    ("model_dict", "message"),
    [
        ({"groups": [A]}, r"needs two or more groups of equally many layers. Got groups of \[2\] layers"),
        (
            {"groups": [A, {"l": 1, "o": [["sa_sdp_4"]], "h": [8], "f": [[16]]}]},
            r"Got groups of \[2, 1\] layers",
        ),
        ({"groups": 3}, r"'groups' must be a list of model dicts. Got 3"),
        ({"groups": [A, A], "l": 2}, r"'l'"),
        ({"groups": [A, A | {"h": [16, 25]}]}, r"'groups\[1\]': 1 problem in the model dict"),
    ],
)
def test_what_is_wrong_with_groups_is_named(model_dict: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        ModelSpec.from_dict(model_dict)
