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
from design_space.graph import vertices_and_edges
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
        columns = features(self.specs)
        deviation = columns.std(0)
        varying = deviation > 1e-9
        return (columns[:, varying] - columns[:, varying].mean(0)) / deviation[varying]

    @cached_property
    def codes(self) -> npt.NDArray[np.int64]:
        """The categories (N, D), counted from 0 in each column."""
        raw = layer_codes(self.specs)
        return np.column_stack([np.unique(column, return_inverse=True)[1] for column in raw.T])

    @cached_property
    def positions(self) -> dict[str, int]:
        """The number of each architecture, by hash."""
        return {spec.hash: number for number, spec in enumerate(self.specs)}


def library_of(specs: Sequence[ModelSpec], *, n_jobs: int, progress: Progress | None = None) -> GraphLibrary:
    """Builds the library of a table, with vectors of ``EMBEDDING_SIZE`` numbers, or fewer where there are fewer
    architectures."""
    labels = {label for spec in specs for label in vertices_and_edges(spec)[0]}
    return GraphLibrary.of_specs(
        specs,
        order=LabelOrder.of(labels),
        layers_per_stack=1,
        embedding_size=min(EMBEDDING_SIZE, len(specs) - 1),
        n_jobs=n_jobs,
        progress=progress,
    )
