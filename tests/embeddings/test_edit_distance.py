import itertools

import networkx as nx
import numpy as np
import pytest

from design_space import LabelOrder, ModelSpec
from embeddings import graph_edit_distance
from embeddings.edit_distance import EDGE_COST, EditDistance


def _networkx_distance(a: ModelSpec, b: ModelSpec, order: LabelOrder) -> float:
    """The exact distance by NetworkX's branch and bound."""
    place = order.positions
    return nx.graph_edit_distance(
        a.graph(),
        b.graph(),
        node_subst_cost=lambda x, y: abs(place[x["label"]] - place[y["label"]]),
        node_del_cost=lambda x: place[x["label"]],
        node_ins_cost=lambda x: place[x["label"]],
        edge_subst_cost=lambda x, y: 0,
        edge_del_cost=lambda x: EDGE_COST,
        edge_ins_cost=lambda x: EDGE_COST,
    )


def _layer(operation: str, parameter: str | int, heads: int, widths: list[int]) -> ModelSpec:
    return ModelSpec.from_dict({"l": 1, "o": [operation], "h": [128], "n": [heads], "f": [widths], "p": [parameter]})


SMALL = [
    _layer("sa", "sdp", 1, [512]),
    _layer("sa", "wma", 2, [512]),
    _layer("c", 5, 2, [1024]),
    _layer("l", "dct", 1, [512, 512]),
]


@pytest.mark.parametrize(("i", "j"), list(itertools.combinations(range(len(SMALL)), 2)))
def test_small_graphs_are_measured_exactly_or_a_little_above(test_space, i, j):
    order = test_space.label_order()
    exact = _networkx_distance(SMALL[i], SMALL[j], order)
    assert exact - 1e-6 <= graph_edit_distance(SMALL[i], SMALL[j], order) <= 1.02 * exact + 1e-6


def test_a_distance_worked_out_by_hand():
    # A head more: its place (sa_h128_p-sdp, 12) and its two edges.
    assert graph_edit_distance(_layer("sa", "sdp", 1, [512]), _layer("sa", "sdp", 2, [512])) == pytest.approx(
        12 + 2 * EDGE_COST
    )
    # Another width: |f512 - f1024| = 1.
    assert graph_edit_distance(_layer("sa", "sdp", 2, [512]), _layer("sa", "sdp", 2, [1024])) == pytest.approx(1)


def test_it_is_symmetric_to_the_last_bit_and_zero_on_itself_alone(test_space):
    specs = test_space.sample(60, layers_per_stack=2, seed=4)
    distances = EditDistance(test_space.label_order()).between(specs, specs)
    assert np.array_equal(distances, distances.T)
    assert (np.diag(distances) == 0).all()
    assert (distances[~np.eye(60, dtype=bool)] > 0).all()


def test_it_is_at_least_the_vertex_part(test_space):
    specs = test_space.sample(40, layers_per_stack=2, seed=5)
    order = test_space.label_order()
    counts = np.array(
        [np.bincount([order.positions[d["label"]] for _, d in s.graph().nodes(data=True)], minlength=21) for s in specs]
    )
    reach = counts[:, ::-1].cumsum(1)[:, ::-1][:, 1:]  # vertices at place p or beyond
    vertex_part = np.abs(reach[:, None] - reach[None]).sum(2)
    distances = EditDistance(order).between(specs, specs)
    assert (distances >= vertex_part - 1e-4).all()
    assert distances.sum() < 1.06 * vertex_part.sum()  # and edges add little


def test_the_order_of_layers_is_seen():
    def two(first: str, second: str) -> ModelSpec:
        p = {"sa": "sdp", "l": "dct"}
        return ModelSpec.from_dict(
            {"l": 2, "o": [first, second], "h": [128] * 2, "n": [2] * 2, "f": [[512]] * 2, "p": [p[first], p[second]]}
        )

    assert 0 < graph_edit_distance(two("sa", "l"), two("l", "sa")) <= 2 * 4 * 2 * EDGE_COST + 1e-9


def test_hetero_specs_and_labels_of_other_spaces_are_measured():
    a = ModelSpec.from_dict({"l": 1, "o": [["sa_sdp_64", "c_9_64"]], "h": [128], "f": [[2048]]})
    b = ModelSpec.from_dict({"l": 1, "o": [["sa_sdp_64", "sa_sdp_64"]], "h": [128], "f": [[2048]]})
    assert graph_edit_distance(a, b) > 0
    assert graph_edit_distance(a, b) == graph_edit_distance(b, a)
    assert graph_edit_distance(a, SMALL[0]) > 0


def test_labels_outside_the_order_are_refused(test_space):
    stranger = _layer("sa", "sdp", 1, [2048])
    with pytest.raises(ValueError, match="Labels outside the space's order: f2048"):
        EditDistance(test_space.label_order()).between([stranger], [stranger])
