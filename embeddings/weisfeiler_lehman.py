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

from design_space import ModelSpec
from design_space.graph import vertices_and_edges

NUM_ROUNDS = 3


class WeisfeilerLehman:
    """The Weisfeiler-Lehman distance between lists of architectures."""

    def between(self, rows: Sequence[ModelSpec], columns: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
        """The distances (len(rows), len(columns))."""
        from sklearn.feature_extraction import DictVectorizer
        from sklearn.metrics.pairwise import cosine_similarity

        counts = DictVectorizer(sort=False).fit_transform([_label_counts(spec) for spec in (*rows, *columns)])
        cosine = cosine_similarity(counts[: len(rows)], counts[len(rows) :])
        return np.sqrt(np.maximum(0.0, 2.0 - 2.0 * np.round(cosine, 12)))


def _label_counts(spec: ModelSpec) -> Counter[str]:
    labels, _, edges = vertices_and_edges(spec)
    before: list[list[int]] = [[] for _ in labels]
    after: list[list[int]] = [[] for _ in labels]
    for source, target in edges:
        after[source].append(target)
        before[target].append(source)
    counts = Counter(f"0 {label}" for label in labels)
    for number in range(1, NUM_ROUNDS + 1):
        # Hashing keeps labels short; the separate lists tell predecessors from successors.
        labels = [
            _short_name(repr((labels[v], sorted(labels[u] for u in before[v]), sorted(labels[u] for u in after[v]))))
            for v in range(len(labels))
        ]
        counts.update(f"{number} {label}" for label in labels)
    return counts


def _short_name(neighbourhood: str) -> str:
    """A short name of a neighbourhood, the same in every process."""
    return hashlib.blake2b(neighbourhood.encode(), digest_size=12).hexdigest()
