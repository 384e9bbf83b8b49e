import itertools

import networkx as nx
import numpy as np
import pytest

from design_space import DesignSpace, LabelOrder, ModelSpec
from embeddings import graph_edit_distance
from embeddings.edit_distance import EDGE_COST, EditDistance
from tests.benchmarks.edit_distance import exact_distance


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
def test_small_graphs_are_measured_exactly_or_a_little_above(flexibert_space, i, j):
    order = flexibert_space.label_order()
    exact = _networkx_distance(SMALL[i], SMALL[j], order)
    assert exact - 1e-6 <= graph_edit_distance(SMALL[i], SMALL[j], order) <= 1.02 * exact + 1e-6


HETERO = [
    ModelSpec.from_dict({"l": 1, "o": [list(heads)], "h": [128], "f": [widths]})
    for heads, widths in [
        (["sa_sdp_64", "c_9_64"], [512, 1024]),
        (["c_9_64", "sa_wma_64"], [1024, 512]),
        (["l_dct_64"], [512, 512]),
        (["sa_sdp_64", "l_dct_64", "l_dft_64"], [1024]),
    ]
]


@pytest.mark.parametrize(("i", "j"), list(itertools.combinations(range(len(HETERO)), 2)))
def test_so_are_hetero_graphs_and_stacks_of_mixed_widths(flexibert_space, i, j):
    labels = [data["label"] for spec in HETERO for _, data in spec.graph().nodes(data=True)]
    order = flexibert_space.label_order().extended(labels)
    exact = _networkx_distance(HETERO[i], HETERO[j], order)
    assert exact - 1e-6 <= EditDistance(order).between([HETERO[i]], [HETERO[j]])[0, 0] <= 1.02 * exact + 1e-6


@pytest.mark.parametrize("heterogeneous", [False, True], ids=["one width", "mixed widths"])
def test_random_pairs_are_within_a_few_percent_of_the_exact_distance(heterogeneous):
    space = DesignSpace.from_dict(
        {
            "architecture": {
                "hidden_size": [128],
                "num_heads": [1, 2],
                "encoder_layers": [2, 3],
                "operation_types": ["sa", "l", "c"],
                "number_of_feed-forward_stacks": [1, 2],
                "feed-forward_hidden": [512, 1024],
                "operation_parameters": {"sa": ["sdp", "wma"], "l": ["dct"], "c": [5]},
            }
        }
    )
    order = space.label_order()
    specs = space.sample(16, layers_per_stack=1, seed=3, heterogeneous_feed_forward=heterogeneous)
    pairs = list(zip(specs[::2], specs[1::2], strict=True))
    exact = np.array([exact_distance(a, b, order) for a, b in pairs], dtype=np.float64)
    ours = np.array([EditDistance(order).between([a], [b])[0, 0] for a, b in pairs])
    assert (ours >= exact - 1e-6).all()
    assert (ours / exact).mean() <= 1.015
    assert (ours / exact).max() <= 1.06


def test_layers_that_changed_places_as_a_block_are_kept_together(flexibert_space):
    def stacks(*stacks: tuple[str, str | int, int, int, list[int]]) -> ModelSpec:
        layers = [stack for stack in stacks for _ in range(2)]
        return ModelSpec.from_dict(dict(zip("lophnf", [4, *map(list, zip(*layers, strict=True))], strict=True)))

    a = stacks(("c", 5, 256, 2, [1024]), ("sa", "wma", 128, 4, [512] * 3))
    b = stacks(("sa", "wma", 128, 4, [512] * 3), ("c", 9, 128, 2, [512]))
    # By mixed-integer programming (exact_distance, a minute). Aligned in order the two would be at 12.
    assert graph_edit_distance(a, b, flexibert_space.label_order()) == pytest.approx(7.8)


def test_a_distance_does_not_depend_on_what_else_is_asked_for(flexibert_space):
    specs = flexibert_space.sample(12, layers_per_stack=1, seed=6, heterogeneous_feed_forward=True)
    specs += flexibert_space.sample(12, layers_per_stack=2, seed=6)
    order = flexibert_space.label_order()
    together = EditDistance(order).between(specs, specs)
    alone = [[EditDistance(order).between([a], [b])[0, 0] for b in specs] for a in specs]
    assert np.array_equal(together, alone)


def test_the_triangle_inequality_holds_but_for_an_edge(flexibert_space):
    specs = flexibert_space.sample(60, layers_per_stack=2, seed=7)
    d = EditDistance(flexibert_space.label_order()).between(specs, specs)
    excess = d[:, None, :] - (d[:, :, None] + d[None, :, :])
    assert excess.max() <= 2 * 2 * EDGE_COST + 1e-9
    assert (excess > 1e-9).mean() < 1e-4


def test_deep_graphs_are_measured(flexibert_space):
    def deep(layers: list[int]) -> ModelSpec:
        kernels = [(5, 9)[layer % 2] for layer in layers]
        return ModelSpec.from_dict(
            {"l": len(layers), "o": ["c"] * len(layers), "h": [128] * len(layers), "n": [2] * len(layers)}
            | {"f": [[512]] * len(layers), "p": kernels}
        )

    # Two layers without the last two: their vertices (heads at 17 and 18, two add_norms and f512 each) and edges.
    wanted = 2 * (17 + 18) + 4 * 2 + 2 * 4 + 16 * EDGE_COST
    assert graph_edit_distance(deep(list(range(14))), deep(list(range(12)))) == pytest.approx(wanted)


def test_a_distance_worked_out_by_hand():
    # A head more: its place (sa_h128_p-sdp, 12) and its two edges.
    assert graph_edit_distance(_layer("sa", "sdp", 1, [512]), _layer("sa", "sdp", 2, [512])) == pytest.approx(
        12 + 2 * EDGE_COST
    )
    # Another width: |f512 - f1024| = 1.
    assert graph_edit_distance(_layer("sa", "sdp", 2, [512]), _layer("sa", "sdp", 2, [1024])) == pytest.approx(1)


@pytest.mark.parametrize("options", [{"layers_per_stack": 2}, {"layers_per_stack": 1}], ids=["2", "1"])
def test_it_is_symmetric_to_the_last_bit_and_zero_on_itself_alone(flexibert_space, options):
    specs = flexibert_space.sample(60, seed=4, **options)
    distances = EditDistance(flexibert_space.label_order()).between(specs, specs)
    assert np.array_equal(distances, distances.T)
    assert (np.diag(distances) == 0).all()
    assert (distances[~np.eye(60, dtype=bool)] > 0).all()


def test_it_is_at_least_the_vertex_part(flexibert_space):
    specs = flexibert_space.sample(40, layers_per_stack=2, seed=5)
    order = flexibert_space.label_order()
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


def test_labels_outside_the_order_are_refused(flexibert_space):
    stranger = _layer("sa", "sdp", 1, [2048])
    with pytest.raises(ValueError, match="Labels outside the space's order: f2048"):
        EditDistance(flexibert_space.label_order()).between([stranger], [stranger])
