"""Weisfeiler-Lehman distance: vertices are relabelled by their neighbourhoods, and architectures compared by their
label counts.

Shervashidze et al. 2011. The labels of all rounds are counted; the kernel is the cosine of two count vectors, and the
distance the one it induces, ``sqrt(2 - 2 cos)``, in [0, sqrt 2]: 0 on isomorphic graphs, a metric on count vectors.
"""

import hashlib
from collections import Counter
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
from scipy import sparse

from design_space import ModelSpec
from design_space.graph import vertices_and_edges

NUM_ROUNDS = 3


class WeisfeilerLehman:
    """The Weisfeiler-Lehman distance between lists of architectures."""

    def between(self, rows: Sequence[ModelSpec], columns: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
        """The distances (len(rows), len(columns))."""
        vocabulary: dict[tuple[object, ...], int] = {}
        a, b = (_unit_counts([_label_counts(spec) for spec in specs], vocabulary) for specs in (rows, columns))
        a.resize((a.shape[0], b.shape[1]))
        cosine = (a @ b.T).toarray()
        return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * np.round(cosine, 12))).astype(np.float64)


def _label_counts(spec: ModelSpec) -> Counter[tuple[object, ...]]:
    labels, _, edges = vertices_and_edges(spec)
    before: list[list[int]] = [[] for _ in labels]
    after: list[list[int]] = [[] for _ in labels]
    for source, target in edges:
        after[source].append(target)
        before[target].append(source)
    current: list[object] = list(labels)
    counts: Counter[tuple[object, ...]] = Counter((0, label) for label in current)
    for number in range(1, NUM_ROUNDS + 1):
        # Hashing keeps labels short; the separate tuples tell predecessors from successors.
        current = [
            _short_name(
                (
                    current[v],
                    tuple(sorted(str(current[u]) for u in before[v])),
                    tuple(sorted(str(current[u]) for u in after[v])),
                )
            )
            for v in range(len(labels))
        ]
        counts.update((number, label) for label in current)
    return counts


def _short_name(label: tuple[object, ...]) -> str:
    """A short name of a neighbourhood, the same in every process."""
    return hashlib.blake2b(repr(label).encode(), digest_size=12).hexdigest()


def _unit_counts(
    counts: list[Counter[tuple[object, ...]]], vocabulary: dict[tuple[object, ...], int]
) -> sparse.csr_matrix:
    """The label counts as rows of length 1, (G, labels seen so far)."""
    data, columns, starts = [], [], [0]
    for counter in counts:
        norm = sum(count * count for count in counter.values()) ** 0.5
        for label, count in counter.items():
            columns.append(vocabulary.setdefault(label, len(vocabulary)))
            data.append(count / norm)
        starts.append(len(columns))
    return sparse.csr_matrix((data, columns, starts), shape=(len(counts), len(vocabulary)))
