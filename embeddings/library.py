"""The graph library: the architectures a search chooses from, with their vectors, neighbors and results.

``GraphLibrary.build`` lists a space, or draws ``max_graphs`` of one too large to list. Vectors are fitted to the
distances of all pairs, or in large libraries to those from a few hundred landmarks (``embedding``), which is also how
architectures outside the library get theirs.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from joblib import effective_n_jobs

from design_space import DesignSpace, LabelOrder, Level, ModelSpec
from design_space.graph import vertices_and_edges

from .distances import Distance, Progress, fidelity_of_sample, measure_all, silent
from .edit_distance import EditDistance
from .landmark_mds import Algorithm, check_options, embed_landmarks, place, refine
from .library_file import MEASURED_ON, StoredSpecs, add_performances, read_library, replace_library, write_library
from .nearest import NearestSearch
from .neighbors import check_num_neighbors, nearest_by_overlap
from .weisfeiler_lehman import WeisfeilerLehman

Kernel = Literal["GraphEditDistance", "WeisfeilerLehman"]

LARGEST_LISTED = 100_000
DEFAULT_NEIGHBORS = 100
DEFAULT_EMBEDDING_SIZE = 16
NUM_LANDMARKS = 500
LARGEST_ALL_PAIRS = 12_000
"""Graphs of the largest library whose vectors are fitted to all pairs: half a gigabyte of distances."""
_AS_THEY_ARE = ("layers_per_stack", "heterogeneous_feed_forward", "kernel", "algo")  # keys of the file


@dataclass(frozen=True)
class Graph:
    """One member of a library: its spec, vector (embedding size,), neighbors' hashes nearest first, and results by
    task."""

    spec: ModelSpec
    embedding: npt.NDArray[np.float64]
    neighbors: tuple[str, ...]
    performance: dict[str, float]


@dataclass(kw_only=True)
class GraphLibrary:
    """A library: architectures with their geometry. Build one with ``build`` or ``of_specs``, or ``load`` it.

    Attributes:
        embeddings: (N, K). neighbors: indices (N, num_neighbors). landmarks: indices of the landmarks, (M,).
        performances: hash -> task -> score. measured_on: task -> metric and digests of the data, of the scores of which
            it is known.
        quality: ``stress`` and ``spearman`` of the embedding on a sample of pairs; on pairs outside the fit where
            vectors were fitted to landmarks.
        stored_hashes: the hashes of ``specs``, where a file has them.
    """

    space: DesignSpace | None
    layers_per_stack: int
    heterogeneous_feed_forward: bool
    kernel: Kernel
    algo: Algorithm
    order: LabelOrder
    specs: Sequence[ModelSpec]
    embeddings: npt.NDArray[np.float64]
    neighbors: npt.NDArray[np.int32]
    landmarks: npt.NDArray[np.int32]
    performances: dict[str, dict[str, float]] = field(default_factory=dict)
    measured_on: dict[str, dict[str, str]] = field(default_factory=dict)
    quality: dict[str, float] = field(default_factory=dict)
    stored_hashes: list[str] | None = None

    @staticmethod
    def build(
        space: DesignSpace,
        *,
        layers_per_stack: int,
        heterogeneous_feed_forward: bool = False,
        max_graphs: int | None = None,
        seed: int = 0,
        **geometry: Any,
    ) -> "GraphLibrary":
        """The library of a space.

        Args:
            max_graphs: draw this many where the space has more.
            geometry: ``embedding_size``, ``num_neighbors``, ``kernel``, ``algo``, ``n_jobs`` and ``progress``, as in
                ``of_specs``.

        Raises:
            ValueError: for options that do not fit the space, or a space too large to list when ``max_graphs`` is not
                given.
        """
        level = space.level(layers_per_stack=layers_per_stack, heterogeneous_feed_forward=heterogeneous_feed_forward)
        number = number_to_list(level.size, max_graphs)
        is_whole = number == level.size
        specs = [level.spec(i) for i in range(number)] if is_whole else level.sample(number, seed=seed)
        return GraphLibrary.of_specs(
            specs,
            space=space,
            order=space.label_order(),
            layers_per_stack=layers_per_stack,
            heterogeneous_feed_forward=heterogeneous_feed_forward,
            seed=seed,
            **geometry,
        )

    @staticmethod
    def of_specs(
        specs: Sequence[ModelSpec],
        *,
        order: LabelOrder,
        layers_per_stack: int,
        space: DesignSpace | None = None,
        embedding_size: int | None = None,
        num_neighbors: int | None = None,
        heterogeneous_feed_forward: bool = False,
        kernel: Kernel = "GraphEditDistance",
        algo: Algorithm = "MDS",
        n_jobs: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> "GraphLibrary":
        """The library of given architectures; isomorphic ones are kept once.

        Args:
            embedding_size: dimensions of the vectors; None for 16, or as many as fit where there are fewer graphs.
            num_neighbors: neighbors per graph; None for 100, or all where there are fewer.
            n_jobs: processes that measure distances; -1 for all cores.
            progress: called with stage, done and total.
        """
        specs = list({spec.hash: spec for spec in specs}.values())
        size, wanted = checked_sizes(len(specs), embedding_size, num_neighbors, algo)
        rng = np.random.default_rng(seed)
        landmarks = np.sort(rng.permutation(len(specs))[:NUM_LANDMARKS]).astype(np.int32)
        measure = _distance(kernel, order)
        report = progress or silent
        if len(specs) <= LARGEST_ALL_PAIRS:
            distances = measure_all(measure, specs, specs, n_jobs, report)
            to_landmarks = distances[:, landmarks]
        else:
            to_landmarks = measure_all(measure, specs, [specs[i] for i in landmarks], n_jobs, report)
        report("embedding", 0, 2)
        fitted = embed_landmarks(to_landmarks[landmarks], size, algo=algo)
        embeddings = place(to_landmarks, fitted)
        embeddings[landmarks] = fitted
        if len(specs) <= LARGEST_ALL_PAIRS:
            embeddings = refine(distances, embeddings, num_threads=effective_n_jobs(n_jobs))
        report("embedding", 1, 2)
        quality = fidelity_of_sample(measure, specs, landmarks, embeddings, rng)
        report("embedding", 2, 2)
        report("neighbors", 0, 1)
        neighbors = nearest_by_overlap(specs, embeddings, wanted)
        report("neighbors", 1, 1)
        return GraphLibrary(
            space=space,
            layers_per_stack=layers_per_stack,
            heterogeneous_feed_forward=heterogeneous_feed_forward,
            kernel=kernel,
            algo=algo,
            order=order,
            specs=specs,
            embeddings=embeddings,
            neighbors=neighbors,
            landmarks=landmarks,
            quality=quality,
        )

    def save(self, path: Path | str) -> None:
        """Write the library, whole or not at all."""
        write_library(path, self._content())

    def save_over(self, path: Path | str) -> int:
        """Write the library in the place of one that may be there, and keep the scores of that one.

        Returns:
            The number of architectures whose scores were there.

        Raises:
            ValueError: when they were measured on something else than those of this library.
        """
        return replace_library(path, self._content())

    @staticmethod
    def load(path: Path | str, *, space: DesignSpace | None = None) -> "GraphLibrary":
        """The library in a file.

        Raises:
            ValueError: when it is missing, cut off, no library, or not of ``space`` where one is given.
        """
        library = _from_content(read_library(path), path)
        if space is not None and library.space != space:
            raise ValueError(f"{path} is the library of another design space. Build one with generate_library")
        return library

    @staticmethod
    def record(
        path: Path | str, scores: Mapping[str, float], *, task: str, measured_on: Mapping[str, str] | None = None
    ) -> None:
        """Add scores by hash to a library file. Those that other processes write meanwhile stay, and those of the task
        that were measured on something else: these scores then have another name (see ``scored_as``).

        Args:
            measured_on: metric and digests of the data, by name.
        """
        performances = {graph_hash: {task: score} for graph_hash, score in scores.items()}
        add_performances(path, performances, None if measured_on is None else {task: measured_on})

    def __len__(self) -> int:
        return len(self.specs)

    def __contains__(self, graph_hash: object) -> bool:
        return graph_hash in self._index

    @cached_property
    def hashes(self) -> list[str]:
        """The hashes of ``specs``."""
        return self.stored_hashes or [spec.hash for spec in self.specs]

    @cached_property
    def _index(self) -> dict[str, int]:
        return {graph_hash: i for i, graph_hash in enumerate(self.hashes)}

    @cached_property
    def fingerprint(self) -> str:
        """A digest that tells libraries apart: of the members, in order, and the embedding size."""
        digest = hashlib.sha256("".join(self.hashes).encode())
        digest.update(str(self.embeddings.shape[1]).encode())
        return digest.hexdigest()

    def position(self, graph_hash: str) -> int:
        """The index of a member. Raises ``KeyError`` for a stranger."""
        return self._index[graph_hash]

    def get(self, graph_hash: str) -> Graph:
        """The member with this hash. Raises ``KeyError`` for a stranger."""
        i = self._index[graph_hash]
        return Graph(
            self.specs[i],
            self.embeddings[i],
            tuple(self.hashes[j] for j in self.neighbors[i]),
            self.performances.get(graph_hash, {}),
        )

    def embed(self, spec: ModelSpec) -> npt.NDArray[np.float64]:
        """The vector (embedding size,) of any architecture; a member's is the stored one."""
        if spec.hash in self._index:
            return self.embeddings[self._index[spec.hash]]
        order = self.order.extended(vertices_and_edges(spec)[0])
        distances = _distance(self.kernel, order).between([spec], [self.specs[i] for i in self.landmarks])
        return place(distances, self.embeddings[self.landmarks])[0]

    def nearest(self, vector: npt.NDArray[np.float64]) -> ModelSpec:
        """The architecture of the space nearest to a vector (embedding size,), as far as a search finds it: where the
        library lists its space the nearest member, else a local search over the whole space (``nearest.py``), from the
        nearest member."""
        member = int(((self.embeddings - vector) ** 2).sum(1).argmin())
        if self._search is None or self.level is None or self.specs[member] not in self.level:
            return self.specs[member]
        found = self._search.near(vector, self.specs[member])
        gain = ((self.embeddings[member] - vector) ** 2).sum() - ((self.embed(found) - vector) ** 2).sum()
        return found if gain > 0 else self.specs[member]

    @cached_property
    def level(self) -> Level | None:
        """All architectures of the library's space, listed or not; None where it was built of given ones."""
        if self.space is None:
            return None
        return self.space.level(
            layers_per_stack=self.layers_per_stack, heterogeneous_feed_forward=self.heterogeneous_feed_forward
        )

    @cached_property
    def _search(self) -> NearestSearch | None:
        if self.level is None or self.level.size <= len(self) or self.kernel != "GraphEditDistance":
            return None
        return NearestSearch(
            self.level, self.order, [self.specs[i] for i in self.landmarks], self.embeddings[self.landmarks]
        )

    def _content(self) -> dict[str, Any]:
        return {
            "dataset": list(self.space.datasets) if self.space else [],
            "design_space": self.space.to_dict() if self.space else None,
            "ops_list": list(self.order.labels),
            "num_neighbors": int(self.neighbors.shape[1]),
            **{key: getattr(self, key) for key in _AS_THEY_ARE},
            "quality": self.quality,
            "landmarks": self.landmarks.tolist(),
            "model_dicts": [spec.to_dict() for spec in self.specs],
            "hashes": self.hashes,
            "embeddings": self.embeddings,
            "neighbors": self.neighbors,
            "performances": self.performances,
            **({MEASURED_ON: self.measured_on} if self.measured_on else {}),
        }


def default_embedding_size(num_graphs: int) -> int:
    """The dimensions of a library's vectors where none are asked for."""
    return min(DEFAULT_EMBEDDING_SIZE, num_graphs - 1)


def number_to_list(size: int, max_graphs: int | None) -> int:
    """The number of graphs in a library of a space of this size. Raises ``ValueError`` when they are too many."""
    if max_graphs is None and size > LARGEST_LISTED:
        raise ValueError(
            f"The space has {size:,} architectures, too many to list (at most {LARGEST_LISTED:,}). "
            "Give 'max_graphs' to work on a sample"
        )
    return size if max_graphs is None else min(size, max_graphs)


def checked_sizes(
    num_graphs: int, embedding_size: int | None = None, num_neighbors: int | None = None, algo: Algorithm = "MDS"
) -> tuple[int, int]:
    """The dimensions of the vectors and the number of neighbors in a library, the usual ones where none are given.

    Raises:
        ValueError: when there are not enough graphs, for these or at all, or the algorithm is unknown.
    """
    if num_graphs < 2:
        raise ValueError(
            f"A library needs at least two architectures, or there is nothing to search. Got {num_graphs}: give the "
            "design space more values, or 'layers_per_stack' or 'max_graphs' another one"
        )
    size = default_embedding_size(num_graphs) if embedding_size is None else embedding_size
    neighbors = min(DEFAULT_NEIGHBORS, num_graphs - 1) if num_neighbors is None else num_neighbors
    check_options(min(num_graphs, NUM_LANDMARKS), size, algo)
    check_num_neighbors(neighbors, num_graphs)
    return size, neighbors


def _from_content(content: dict[str, Any], path: Path | str) -> GraphLibrary:
    try:
        hashes, model_dicts = content["hashes"], content["model_dicts"]
        specs: Sequence[ModelSpec]
        if isinstance(model_dicts, pa.ChunkedArray):
            specs = StoredSpecs(model_dicts, hashes)
        else:
            specs = [ModelSpec.from_dict(model_dict) for model_dict in model_dicts]
            if [spec.hash for spec in specs] != hashes:
                raise ValueError("its hashes do not belong to its model dicts")
        space = content["design_space"]
        embeddings = np.array(content["embeddings"], dtype=np.float64).reshape(len(specs), -1)
        neighbors = np.array(content["neighbors"], dtype=np.int32).reshape(len(specs), -1)
        landmarks = np.array(content["landmarks"], dtype=np.int32)
        if not np.isfinite(embeddings).all():
            raise ValueError("its embeddings must be finite numbers")
        for name, places in (("neighbors", neighbors), ("landmarks", landmarks)):
            if not places.size or places.min() < 0 or places.max() >= len(specs):
                raise ValueError(f"its {name} must be places of its graphs, from 0 to {len(specs) - 1}")
        return GraphLibrary(
            space=None if space is None else DesignSpace.from_dict(space),
            **{key: content[key] for key in _AS_THEY_ARE},
            order=LabelOrder(tuple(content["ops_list"])),
            specs=specs,
            embeddings=embeddings,
            neighbors=neighbors,
            landmarks=landmarks,
            performances=content["performances"],
            measured_on=content.get(MEASURED_ON, {}),
            quality=content["quality"],
            stored_hashes=hashes,
        )
    except (TypeError, ValueError, OverflowError) as error:
        raise ValueError(f"{path} is not a sound graph library, or one that needs a plugin: {error}") from error


def _distance(kernel: Kernel, order: LabelOrder) -> Distance:
    if kernel == "GraphEditDistance":
        return EditDistance(order)
    if kernel == "WeisfeilerLehman":
        return WeisfeilerLehman()
    raise ValueError(f"'kernel' must be 'GraphEditDistance' or 'WeisfeilerLehman'. Got {kernel!r}")
