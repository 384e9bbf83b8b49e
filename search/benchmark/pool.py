"""The pool is what searchers see of a table: its architectures, without their scores.

Shapes: N architectures, D categories, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Protocol

import numpy as np
import numpy.typing as npt

from design_space import LabelOrder, ModelSpec
from embeddings import GraphLibrary
from embeddings.library import Progress

from ..pools.features import features, layer_codes

EMBEDDING_SIZE = 16


class Searcher(Protocol):
    """A searcher over a pool: architectures are numbers, higher scores are better."""

    def ask(self) -> int | None:
        """Returns the next architecture to train, one not asked for before; None when there is none."""

    def tell(self, index: int, score: float, costs: Sequence[float] = ()) -> None:
        """Takes its score and its further objectives, in the order of the pool's; nan when the training failed."""


@dataclass
class Pool:
    """Architectures a searcher chooses from.

    Attributes:
        costs: names of further objectives that should be low.
    """

    specs: tuple[ModelSpec, ...]
    library: GraphLibrary | None = None
    costs: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.specs)

    @cached_property
    def features(self) -> npt.NDArray[np.float64]:
        """The features (N, F), each of mean 0 and deviation 1; constant ones are left out."""
        return standardized(features(self.specs))

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """The categories (N, D), counted from 0 in each column."""
        raw = layer_codes(self.specs)
        return np.column_stack([np.unique(column, return_inverse=True)[1] for column in raw.T])

    @cached_property
    def positions(self) -> dict[str, int]:
        """The number of each architecture, by hash."""
        return {spec.hash: number for number, spec in enumerate(self.specs)}

    def mismatches(self, code: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
        """Counts the categories of each architecture that differ from ``code`` (D,), (N,)."""
        return (self.codes != code).sum(1)


def library_of(specs: Sequence[ModelSpec], *, n_jobs: int, progress: Progress | None = None) -> GraphLibrary:
    """Builds the library of a table, with vectors of ``EMBEDDING_SIZE`` numbers, or fewer where there are fewer
    architectures."""
    labels = {label for spec in specs for label in _labels(spec)}
    return GraphLibrary.of_specs(
        specs,
        order=LabelOrder.of(labels),
        layers_per_stack=1,
        embedding_size=min(EMBEDDING_SIZE, len(specs) - 1),
        n_jobs=n_jobs,
        progress=progress,
    )


def standardized(columns: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """Returns columns of mean 0 and deviation 1; those that do not vary are left out."""
    deviation = columns.std(0)
    varying = deviation > 1e-9
    return (columns[:, varying] - columns[:, varying].mean(0)) / deviation[varying]


def _labels(spec: ModelSpec) -> list[str]:
    heads = [label for i in range(len(spec.layers)) for label in spec.head_labels(i)]
    return heads + [f"f{width}" for layer in spec.layers for width in layer.feed_forward]
