"""Graph edit distance between architectures, one pair or millions.

Costs (those of the original library): substituting label j for i costs |p_i - p_j|, p the place in the
``LabelOrder``; inserting or deleting a vertex costs its p; an edge kept by neither side costs 0.1 each. A deleted
vertex is one moved to place 0, so the vertex part alone
is optimal transport on a line and has a closed form: with both graphs' places in descending order, ``sum_k |p_k(a) -
p_k(b)|``.

Many vertex maps have that cost; they differ in the edges they keep. Ours pairs off what both graphs have of every
label, then the rest from the highest place down (cancelling common mass first is optimal for transport on a line).
Among vertices of one label the order is free; each of ``VERTEX_ORDERS`` is one way to settle it, and the distance is
the least cost over them. So it is the cost of a real edit
path: never below the exact distance, symmetric to the last bit, 0 on isomorphic graphs. It is no search over all maps:
``tests/benchmarks/edit_distance.py`` prints how far above the exact distance it lies.

Shapes: G graphs, V vertices (padded), E edges (padded), P places, B pairs.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from design_space import DesignSpace, LabelOrder, ModelSpec
from design_space.graph import vertices_and_edges

EDGE_COST = 0.1
"""Cost of one inserted or deleted edge."""

Ints = npt.NDArray[np.integer]

# How vertices of one label are numbered: layers counted from the input or from the output; and layer by layer, or the
# first vertex of every layer before the second of any (which keeps layers together when they have different numbers
# of heads).
VERTEX_ORDERS = tuple((direction, by_layer) for direction in (1, -1) for by_layer in (True, False))


def graph_edit_distance(spec_a: ModelSpec, spec_b: ModelSpec, order: LabelOrder | None = None) -> float:
    """Edit distance of two architectures' graphs.

    Args:
        order: the space's ``label_order()``. By default the order of ``design_space_test.yaml``, extended by labels
            it does not know.
    """
    if order is None:
        order = _default_order()
    order = order.extended(label for spec in (spec_a, spec_b) for label in vertices_and_edges(spec)[0])
    return float(EditDistance(order).between([spec_a], [spec_b])[0, 0])


class EditDistance:
    """Edit distances between lists of architectures of one space."""

    def __init__(self, order: LabelOrder) -> None:
        self.order = order

    def between(self, rows: Sequence[ModelSpec], columns: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
        """Distances, (len(rows), len(columns)). Raises ``ValueError`` for a label outside the order."""
        graphs_a, graphs_b = _Graphs.of(rows, self.order), _Graphs.of(columns, self.order)
        out = np.empty((len(rows), len(columns)), dtype=np.float64)
        step = max(1, 30_000 // max(1, len(rows)))
        for start in range(0, len(columns), step):
            stop = min(start + step, len(columns))
            i, j = (index.ravel() for index in np.meshgrid(np.arange(len(rows)), np.arange(start, stop), indexing="ij"))
            out[:, start:stop] = _distances(graphs_a, i, graphs_b, j).reshape(len(rows), stop - start)
        return out


@dataclass(frozen=True)
class _Graphs:
    """Graphs as arrays, their vertices by descending place and, within a label, in each of the vertex orders.

    Attributes:
        places: (G, V), 0 where padded. The same for all orders.
        ranks: (G, V), the number of a vertex among those of its label.
        counts, starts: (G, P), how many vertices stand at a place, and the first of them in ``places``.
        edges: (orders, G, E, 2), vertex numbers; V where padded.
        adjacent: (orders, G, (V + 1)²) flattened, with an empty row and column V for vertices that are deleted.
        num_edges: (G,).
    """

    places: Ints
    ranks: Ints
    counts: Ints
    starts: Ints
    edges: Ints
    adjacent: npt.NDArray[np.bool_]
    num_edges: Ints

    @staticmethod
    def of(specs: Sequence[ModelSpec], order: LabelOrder) -> "_Graphs":
        graphs = [vertices_and_edges(spec) for spec in specs]
        num_vertices = max(len(labels) for labels, _, _ in graphs)
        num_edges = max(len(edges) for _, _, edges in graphs)
        shape = (len(specs), num_vertices)
        places = np.zeros(shape, dtype=np.int16)
        numbers = np.empty((len(VERTEX_ORDERS), len(specs), num_vertices + 1), dtype=np.int16)
        edges_GE2 = np.full((len(specs), num_edges, 2), num_vertices, dtype=np.int16)
        for g, (labels, layers, edges) in enumerate(graphs):
            place = _places(labels, order)
            places[g, : len(labels)] = sorted(place, reverse=True)
            edges_GE2[g, : len(edges)] = edges
            for w, vertex_order in enumerate(VERTEX_ORDERS):
                keys = _sort_keys(labels, layers, place, *vertex_order)
                numbers[w, g, sorted(range(len(labels)), key=keys.__getitem__)] = np.arange(len(labels))
        numbers[:, :, num_vertices] = num_vertices
        edges_WGE2 = np.take_along_axis(numbers[:, :, :, None], edges_GE2[None].astype(np.intp), axis=2)
        return _Graphs._from_arrays(
            places, edges_WGE2, len(order.labels), np.array([len(edges) for *_, edges in graphs])
        )

    @staticmethod
    def _from_arrays(places: Ints, edges: Ints, num_places: int, num_edges: Ints) -> "_Graphs":
        num_graphs, num_vertices = places.shape
        graph = np.arange(num_graphs)[:, None]
        counts = np.zeros((num_graphs, num_places), dtype=np.int16)
        np.add.at(counts, (graph, places), 1)
        # Places descend along a row, so the vertices of place p start after all those of higher places.
        starts = (counts[:, ::-1].cumsum(1) - counts[:, ::-1])[:, ::-1].astype(np.int16)
        ranks = np.arange(num_vertices, dtype=np.int16) - np.take_along_axis(starts, places.astype(np.intp), 1)
        side = num_vertices + 1
        adjacent = np.zeros((edges.shape[0], num_graphs, side * side), dtype=np.bool_)
        flat = edges[..., 0].astype(np.intp) * side + edges[..., 1]
        np.put_along_axis(adjacent, flat, True, axis=2)
        adjacent[:, :, -1] = False
        return _Graphs(places, ranks, counts, starts, edges, adjacent, num_edges)


def _distances(a: _Graphs, i: Ints, b: _Graphs, j: Ints) -> npt.NDArray[np.float64]:
    """Distances of the pairs (a[i], b[j]), (B,)."""
    places_a, places_b = _equal_width(a.places[i], b.places[j])
    vertex_cost = np.abs(places_a - places_b).sum(1, dtype=np.int64)
    partner = _vertex_map(a, i, b, j).astype(np.intp)
    side = b.places.shape[1] + 1
    best_kept = np.zeros(len(i), dtype=np.int64)
    for w in range(len(VERTEX_ORDERS)):
        edges = a.edges[w, i].astype(np.intp)
        ends = np.take_along_axis(partner[:, :, None], edges, axis=1)
        kept = b.adjacent[w][j[:, None], ends[..., 0] * side + ends[..., 1]].sum(1)
        np.maximum(best_kept, kept, out=best_kept)
    return vertex_cost + EDGE_COST * (a.num_edges[i] + b.num_edges[j] - 2 * best_kept)


def _vertex_map(a: _Graphs, i: Ints, b: _Graphs, j: Ints) -> Ints:
    """For every vertex number of a[i], and for the padding, its partner's number in b[j]; V of ``b`` when it has
    none. (B, V_a + 1)."""
    common = np.minimum(a.counts[i], b.counts[j])
    free_a, free_b = (
        graphs.ranks[k] >= np.take_along_axis(common, graphs.places[k].astype(np.intp), 1)
        for graphs, k in ((a, i), (b, j))
    )
    nobody, rows = b.places.shape[1], np.arange(len(i))[:, None]
    # The k-th free vertex of a meets the k-th free vertex of b; free vertices of place 0 are padding on either side
    # or `input`.
    order_a, order_b = (np.where(free, free.cumsum(1) - 1, -1) for free in (free_a, free_b))
    width = max(free_a.shape[1], free_b.shape[1])
    kth_b = np.full((len(i), width + 1), nobody, dtype=np.int16)
    kth_b[rows, order_b] = np.arange(nobody, dtype=np.int16)
    kth_b[:, -1] = nobody
    same_label = np.take_along_axis(b.starts[j], a.places[i].astype(np.intp), 1) + a.ranks[i]
    partner = np.where(free_a, kth_b[rows, order_a], same_label)
    return np.concatenate([partner, np.full((len(i), 1), nobody)], axis=1)


def _equal_width(a: Ints, b: Ints) -> tuple[Ints, Ints]:
    width = max(a.shape[1], b.shape[1])
    return tuple(np.pad(x, ((0, 0), (0, width - x.shape[1]))) for x in (a, b))  # type: ignore[return-value]


def _sort_keys(
    labels: list[str], layers: list[int], places: list[int], direction: int, by_layer: bool
) -> list[tuple[int, int, int]]:
    """Per vertex, what it is sorted by: descending place, then the vertex order. The ``add_norm`` of a layer always
    stay together."""
    seen: dict[tuple[str, int], int] = {}
    keys = []
    for label, layer, place in zip(labels, layers, places, strict=True):
        within = seen[label, layer] = seen.get((label, layer), -1) + 1
        tie = (direction * layer, within) if by_layer or label == "add_norm" else (within, direction * layer)
        keys.append((-place, *tie))
    return keys


def _places(labels: list[str], order: LabelOrder) -> list[int]:
    unknown = sorted(set(labels) - order.positions.keys())
    if unknown:
        raise ValueError(f"Labels outside the space's order: {', '.join(unknown)}. Use order.extended(labels)")
    return [order.positions[label] for label in labels]


@cache
def _default_order() -> LabelOrder:
    return DesignSpace.from_yaml(str(files("design_space") / "design_space_test.yaml")).label_order()
