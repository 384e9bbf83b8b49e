"""How far above the exact graph edit distance ours lies, and what a pair costs.

The exact distance is an assignment of vertices that minimises substitutions, deletions and unkept edges, solved by
SciPy's mixed-integer programming on random pairs of ``design_space_test.yaml`` at two layers per stack. Pairs not
solved in time are left out and counted. ``python -m tests.benchmarks.edit_distance 150`` takes more pairs.
"""

import sys
import time

import numpy as np
from scipy.optimize import Bounds, LinearConstraint, milp
from scipy.sparse import coo_array

from design_space import DesignSpace, LabelOrder, ModelSpec
from design_space.graph import vertices_and_edges
from embeddings.edit_distance import EDGE_COST, EditDistance

NUM_PAIRS, TIME_LIMIT_S = 20, 20


def exact_distance(a: ModelSpec, b: ModelSpec, order: LabelOrder) -> float | None:
    """The exact distance, or None when it is not found in time.

    Variables: x[u, v] vertex u of a becomes v of b; y[e, f] edge e is kept as f, which needs both of its ends mapped.
    Everything saved by mapping instead of deleting is maximised.
    """
    (labels_a, _, edges_a), (labels_b, _, edges_b) = vertices_and_edges(a), vertices_and_edges(b)
    places_a, places_b = (np.array([order.positions[label] for label in labels]) for labels in (labels_a, labels_b))
    n, m = len(labels_a), len(labels_b)
    saved = places_a[:, None] + places_b[None] - np.abs(places_a[:, None] - places_b[None])
    cost = np.concatenate([-saved.ravel().astype(float), np.full(len(edges_a) * len(edges_b), -2 * EDGE_COST)])
    rows: list[int] = []
    columns: list[int] = []
    values: list[int] = []
    bounds: list[int] = []

    def at_most(variables: list[int], minus: int | None, bound: int) -> None:
        signs = [1] * len(variables) + ([-1] if minus is not None else [])
        rows.extend([len(bounds)] * len(signs))
        columns.extend(variables + ([minus] if minus is not None else []))
        values.extend(signs)
        bounds.append(bound)

    for u in range(n):
        at_most([u * m + v for v in range(m)], None, 1)
    for v in range(m):
        at_most([u * m + v for u in range(n)], None, 1)
    for e, (source, target) in enumerate(edges_a):
        for end, side in ((source, 0), (target, 1)):
            for v in range(m):
                kept = [n * m + e * len(edges_b) + f for f, edge in enumerate(edges_b) if edge[side] == v]
                at_most(kept, end * m + v, 0)
    matrix = coo_array((values, (rows, columns)), shape=(len(bounds), len(cost)))
    integral = np.zeros(len(cost))
    integral[: n * m] = 1
    found = milp(
        cost,
        constraints=LinearConstraint(matrix.tocsr(), -np.inf, np.array(bounds)),
        bounds=Bounds(0, 1),
        integrality=integral,
        options={"time_limit": TIME_LIMIT_S},
    )
    total = places_a.sum() + places_b.sum() + EDGE_COST * (len(edges_a) + len(edges_b))
    return float(found.fun + total) if found.status == 0 else None


def main(num_pairs: int = NUM_PAIRS) -> None:
    """Print the figures. The exact distance takes about ten seconds a pair."""
    space = DesignSpace.from_yaml("design_space/design_space_test.yaml")
    order = space.label_order()
    specs = space.sample(2 * num_pairs, layers_per_stack=2, seed=0)
    ratios: list[float] = []
    for a, b in zip(specs[::2], specs[1::2], strict=True):
        exact = exact_distance(a, b, order)
        if exact is not None:
            ratios.append(EditDistance(order).between([a], [b])[0, 0] / exact)
    print(
        f"{len(ratios)} of {num_pairs} pairs solved; ours / exact: "
        f"mean {np.mean(ratios):.4f}, max {np.max(ratios):.4f}, min {np.min(ratios):.4f}"
    )
    start = time.perf_counter()
    many = space.sample(1000, layers_per_stack=2, seed=1)
    EditDistance(order).between(many[:200], many)
    print(f"{(time.perf_counter() - start) / 200_000 * 1e6:.1f} µs a pair (200 x 1000)")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else NUM_PAIRS)
