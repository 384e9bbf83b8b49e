"""Graph edit distance between architectures, one pair or millions.

Costs (those of the original library): substituting label j for i costs |p_i - p_j|, p the place in the
``LabelOrder``; inserting or deleting a vertex costs its p; an edge kept by neither side costs 0.1 each. A deleted
vertex is one moved to place 0, so the vertex part alone is optimal transport on a line and has a closed form: with
T_p the number of vertices at place p or beyond, ``sum_p |T_p(a) - T_p(b)|``.

Many vertex maps have that cost; they differ in the edges they keep. ``layer_alignment`` finds one that keeps many.
The distance is the cost of its edit path: never below the exact distance, symmetric to the last bit, 0 on isomorphic
graphs and on no others. It is no search over all maps: ``tests/benchmarks/edit_distance.py`` prints how far above the
exact distance it lies.
"""

import itertools
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.resources import files

import numpy as np
import numpy.typing as npt

from design_space import DesignSpace, LabelOrder, ModelSpec
from design_space.graph import vertices_and_edges

from .layer_alignment import layer_alignments, match
from .layered_graphs import Ints, LayeredGraphs, mixes_widths

EDGE_COST = 0.1
"""Cost of one inserted or deleted edge."""

_BATCH = 30_000  # pairs times alignments worked on at once: what fits into the processor's cache


def graph_edit_distance(spec_a: ModelSpec, spec_b: ModelSpec, order: LabelOrder | None = None) -> float:
    """The edit distance of two architectures' graphs.

    Args:
        order: the space's ``label_order()``. By default the order of ``design_space_test.yaml``, extended by labels
            it does not know.
    """
    if order is None:
        order = _default_order()
    order = order.extended(label for spec in (spec_a, spec_b) for label in vertices_and_edges(spec)[0])
    return float(EditDistance(order).between([spec_a], [spec_b])[0, 0])


class EditDistance:
    """The edit distance between lists of architectures of one space."""

    def __init__(self, order: LabelOrder) -> None:
        self.order = order

    def between(self, rows: Sequence[ModelSpec], columns: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
        """The distances (len(rows), len(columns)). Raises ``ValueError`` for a label outside the order."""
        batch = _Batch([*rows, *columns], self.order)
        out = np.empty((len(rows), len(columns)), dtype=np.float64)
        for i, j in batch.alike(len(rows)):
            out[i, j - len(rows)] = batch.distances(i, j)
        return out


class _Batch:
    """The architectures whose distances are asked for, and the arrays made of them."""

    def __init__(self, specs: Sequence[ModelSpec], order: LabelOrder) -> None:
        self.specs, self.order = list(specs), order
        self.depth = np.array([len(spec.layers) for spec in specs])
        self.mixed = np.array([mixes_widths(spec) for spec in specs])
        # A pair is always measured from the shallower graph, or the one of smaller hash: that makes it symmetric.
        self.rank = np.argsort(np.lexsort((np.array([spec.hash for spec in specs]), self.depth)))
        self._groups: dict[tuple[int, bool], tuple[LayeredGraphs, Ints]] = {}

    def alike(self, num_rows: int) -> Iterator[tuple[Ints, Ints]]:
        """All pairs of the first ``num_rows`` with the others, in batches (B,), (B,) of graphs that are alike, on
        either side, in depth and in whether they mix widths."""
        shape = 2 * self.depth + self.mixed
        for shape_a, shape_b in itertools.product(np.unique(shape[:num_rows]), np.unique(shape[num_rows:])):
            rows = np.flatnonzero(shape[:num_rows] == shape_a)
            columns = num_rows + np.flatnonzero(shape[num_rows:] == shape_b)
            num_alignments = len(layer_alignments(*sorted((int(shape_a) // 2, int(shape_b) // 2))))
            size, total = max(1, _BATCH // num_alignments), len(rows) * len(columns)
            for start in range(0, total, size):
                pair = np.arange(start, min(start + size, total))
                yield rows[pair // len(columns)], columns[pair % len(columns)]

    def distances(self, i: Ints, j: Ints) -> npt.NDArray[np.float64]:
        """The distances (B,) of a batch of ``alike``."""
        i, j = np.where(self.rank[i] < self.rank[j], (i, j), (j, i))
        mixed = bool(self.mixed[i[0]] or self.mixed[j[0]])
        (a, number_a), (b, number_b) = (self._group(int(self.depth[k[0]]), mixed) for k in (i, j))
        i, j = number_a[i], number_b[j]
        vertex_cost, kept = match(a, i, b, j)
        return vertex_cost + EDGE_COST * (a.num_edges[i] + b.num_edges[j] - 2 * kept)

    def _group(self, depth: int, mixed: bool) -> tuple[LayeredGraphs, Ints]:
        """All graphs of a depth (without those of mixed widths unless ``mixed``) and their numbers among these."""
        if (depth, mixed) not in self._groups:
            members = np.flatnonzero((self.depth == depth) & (self.mixed <= mixed))
            number = np.empty(len(self.specs), dtype=np.int64)
            number[members] = np.arange(len(members))
            graphs = LayeredGraphs.of([self.specs[i] for i in members], self.order, mixed=mixed)
            self._groups[depth, mixed] = (graphs, number)
        return self._groups[depth, mixed]


@cache
def _default_order() -> LabelOrder:
    return DesignSpace.from_yaml(str(files("design_space") / "design_space_test.yaml")).label_order()
