"""Neighbors by biased overlap: how many leading operations two architectures share, ties broken by the distance of
their embeddings.

Operations are the labels of the graph's vertices from the input on. Architectures with a common beginning form a tree
of groups; each group fills what its subgroups left open, so no pair is compared that does not have to be.
"""

import itertools
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from design_space import ModelSpec
from design_space.graph import vertices_and_edges

Ints = npt.NDArray[np.int32]


def biased_overlap(a: ModelSpec, b: ModelSpec) -> int:
    """The number of leading vertex labels that two architectures share."""
    return _common(_operations(a), _operations(b))


def nearest_by_overlap(specs: Sequence[ModelSpec], vectors: npt.NDArray[np.floating], num_neighbors: int) -> Ints:
    """The indices (N, num_neighbors) of every architecture's neighbors, nearest first.

    Args:
        vectors: embeddings, (N, K).

    Raises:
        ValueError: when there are not that many others.
    """
    check_num_neighbors(num_neighbors, len(specs))
    operations = [_operations(spec) for spec in specs]
    order = np.array(sorted(range(len(specs)), key=operations.__getitem__))
    shared = np.array([_common(operations[i], operations[j]) for i, j in itertools.pairwise(order)])
    neighbors = np.full((len(specs), num_neighbors), -1, dtype=np.int32)
    filled = np.zeros(len(specs), dtype=np.int64)
    _fill(order, shared, vectors, neighbors, filled)
    return neighbors


def check_num_neighbors(num_neighbors: int, num_graphs: int) -> None:
    """Raise ``ValueError`` when there are not that many others."""
    if not 0 < num_neighbors < num_graphs:
        raise ValueError(
            f"'num_neighbors' must be between 1 and the number of architectures less one, "
            f"{num_graphs - 1}. Got {num_neighbors}"
        )


def _fill(
    order: npt.NDArray[np.int64],
    shared: npt.NDArray[np.int64],
    vectors: npt.NDArray[np.floating],
    neighbors: Ints,
    filled: npt.NDArray[np.int64],
) -> None:
    """Fill the lists of the group ``order`` (sorted by operations) from within the group.

    Args:
        shared: number of leading operations shared by successive members, (len(order) - 1,).
    """
    if len(order) < 2:
        return
    edges = [0, *(np.flatnonzero(shared == shared.min()) + 1), len(order)]
    for start, stop in itertools.pairwise(edges):
        _fill(order[start:stop], shared[start : stop - 1], vectors, neighbors, filled)
    for start, stop in itertools.pairwise(edges):
        others = np.sort(np.concatenate([order[:start], order[stop:]]))
        for member in order[start:stop]:
            room = neighbors.shape[1] - filled[member]
            if room:
                distances = ((vectors[others] - vectors[member]) ** 2).sum(1)
                chosen = others[np.argsort(distances, kind="stable")[:room]]
                neighbors[member, filled[member] : filled[member] + len(chosen)] = chosen
    filled[order] = np.minimum(len(order) - 1, neighbors.shape[1])


def _operations(spec: ModelSpec) -> tuple[str, ...]:
    return tuple(vertices_and_edges(spec)[0])


def _common(a: tuple[str, ...], b: tuple[str, ...]) -> int:
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(a, b, strict=False)))
