"""The graph library: the architectures a search chooses from, with their vectors, neighbors and results.

``GraphLibrary.build`` lists a space, or draws ``max_graphs`` of one too large to list. Vectors are fitted to the
distances of all pairs, or in large libraries to those from a few hundred landmarks (``embedding``), which is also how
architectures outside the library get theirs.
"""

import hashlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed, effective_n_jobs

from design_space import DesignSpace, LabelOrder, ModelSpec

from .edit_distance import EditDistance
from .embedding import Algorithm, check_options, embed_landmarks, fidelity, place, refine
from .library_file import StoredDicts, StoredSpecs, add_performances, read_library, write_library
from .neighbors import check_num_neighbors, nearest_by_overlap
from .weisfeiler_lehman import WeisfeilerLehman

Kernel = Literal["GraphEditDistance", "WeisfeilerLehman"]
Progress = Callable[[str, int, int], None]

LARGEST_LISTED = 100_000
DEFAULT_NEIGHBORS = 100
NUM_LANDMARKS = 500
LARGEST_ALL_PAIRS = 12_000
"""Graphs of the largest library whose vectors are fitted to all pairs: half a gigabyte of distances."""
_BLOCK = 1024
_FIDELITY_PAIRS = 20_000


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
    """Architectures with their geometry. Build one with ``build`` or ``of_specs``, or ``load`` it.

    Attributes:
        embeddings: (N, K). neighbors: indices (N, num_neighbors). landmarks: indices of the landmarks, (M,).
        performances: hash -> task -> score.
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
    quality: dict[str, float] = field(default_factory=dict)
    stored_hashes: list[str] | None = None

    @staticmethod
    def build(
        space: DesignSpace,
        *,
        layers_per_stack: int,
        embedding_size: int = 16,
        num_neighbors: int | None = None,
        heterogeneous_feed_forward: bool = False,
        kernel: Kernel = "GraphEditDistance",
        algo: Algorithm = "MDS",
        max_graphs: int | None = None,
        n_jobs: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> "GraphLibrary":
        """The library of a space.

        Args:
            num_neighbors: neighbors per graph; None for 100, or all where there are fewer.
            max_graphs: draw this many where the space has more.
            n_jobs: processes that measure distances; -1 for all cores.
            progress: called with stage, done and total.

        Raises:
            ValueError: for options that do not fit the space, or a space too large to list when ``max_graphs`` is not
                given.
        """
        level = space.level(layers_per_stack=layers_per_stack, heterogeneous_feed_forward=heterogeneous_feed_forward)
        if max_graphs is None and level.size > LARGEST_LISTED:
            raise ValueError(
                f"The space has {level.size:,} architectures, too many to list (at most {LARGEST_LISTED:,}). "
                "Give 'max_graphs' to work on a sample"
            )
        if max_graphs is not None and max_graphs < level.size:
            specs = level.sample(max_graphs, seed=seed)
        else:
            specs = [level.spec(i) for i in range(level.size)]
        return GraphLibrary.of_specs(
            specs,
            space=space,
            order=space.label_order(),
            layers_per_stack=layers_per_stack,
            embedding_size=embedding_size,
            num_neighbors=num_neighbors,
            heterogeneous_feed_forward=heterogeneous_feed_forward,
            kernel=kernel,
            algo=algo,
            n_jobs=n_jobs,
            seed=seed,
            progress=progress,
        )

    @staticmethod
    def of_specs(
        specs: Sequence[ModelSpec],
        *,
        order: LabelOrder,
        layers_per_stack: int,
        space: DesignSpace | None = None,
        embedding_size: int = 16,
        num_neighbors: int | None = None,
        heterogeneous_feed_forward: bool = False,
        kernel: Kernel = "GraphEditDistance",
        algo: Algorithm = "MDS",
        n_jobs: int = 1,
        seed: int = 0,
        progress: Progress | None = None,
    ) -> "GraphLibrary":
        """The library of given architectures; isomorphic ones are kept once. Arguments as in ``build``."""
        specs = list({spec.hash: spec for spec in specs}.values())
        rng = np.random.default_rng(seed)
        landmarks = np.sort(rng.permutation(len(specs))[:NUM_LANDMARKS]).astype(np.int32)
        measure = _distance(kernel, order)
        wanted = min(DEFAULT_NEIGHBORS, len(specs) - 1) if num_neighbors is None else num_neighbors
        check_options(len(landmarks), embedding_size, algo)
        check_num_neighbors(wanted, len(specs))
        report = progress or _silent
        if len(specs) <= LARGEST_ALL_PAIRS:
            distances = _measure_all(measure, specs, n_jobs, report)
            to_landmarks = distances[:, landmarks]
        else:
            to_landmarks = _measure(measure, specs, [specs[i] for i in landmarks], n_jobs, report)
        report("embedding", 0, 2)
        fitted = embed_landmarks(to_landmarks[landmarks], embedding_size, algo=algo)
        embeddings = place(to_landmarks, fitted)
        embeddings[landmarks] = fitted
        if len(specs) <= LARGEST_ALL_PAIRS:
            embeddings = refine(distances, embeddings, num_threads=effective_n_jobs(n_jobs))
        report("embedding", 1, 2)
        quality = _quality(measure, specs, landmarks, embeddings, rng)
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
    def record(path: Path | str, scores: Mapping[str, float], *, task: str) -> None:
        """Add scores by hash to a library file. Those that other processes write meanwhile stay."""
        add_performances(path, {graph_hash: {task: score} for graph_hash, score in scores.items()})

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
        """What tells libraries apart: a digest of the members, in order, and the embedding size."""
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
        order = self.order.extended(label for i in range(len(spec.layers)) for label in _labels(spec, i))
        landmark_specs = [self.specs[i] for i in self.landmarks]
        distances = _distance(self.kernel, order).between([spec], landmark_specs)
        return place(distances, self.embeddings[self.landmarks])[0]

    def _content(self) -> dict[str, Any]:
        return {
            "dataset": list(self.space.datasets) if self.space else [],
            "design_space": self.space.to_dict() if self.space else None,
            "ops_list": list(self.order.labels),
            "num_neighbors": int(self.neighbors.shape[1]),
            "layers_per_stack": self.layers_per_stack,
            "heterogeneous_feed_forward": self.heterogeneous_feed_forward,
            "kernel": self.kernel,
            "algo": self.algo,
            "quality": self.quality,
            "landmarks": self.landmarks.tolist(),
            "model_dicts": [spec.to_dict() for spec in self.specs],
            "hashes": self.hashes,
            "embeddings": self.embeddings,
            "neighbors": self.neighbors,
            "performances": self.performances,
        }


def _from_content(content: dict[str, Any], path: Path | str) -> GraphLibrary:
    try:
        hashes, model_dicts = content["hashes"], content["model_dicts"]
        specs: Sequence[ModelSpec]
        if isinstance(model_dicts, StoredDicts):
            specs = StoredSpecs(model_dicts, hashes)
        else:
            specs = [ModelSpec.from_dict(model_dict) for model_dict in model_dicts]
            if [spec.hash for spec in specs] != hashes:
                raise ValueError("its hashes do not belong to its model dicts")
        space = content["design_space"]
        return GraphLibrary(
            space=None if space is None else DesignSpace.from_dict(space),
            layers_per_stack=content["layers_per_stack"],
            heterogeneous_feed_forward=content["heterogeneous_feed_forward"],
            kernel=content["kernel"],
            algo=content["algo"],
            order=LabelOrder(tuple(content["ops_list"])),
            specs=specs,
            embeddings=np.array(content["embeddings"], dtype=np.float64).reshape(len(specs), -1),
            neighbors=np.array(content["neighbors"], dtype=np.int32).reshape(len(specs), -1),
            landmarks=np.array(content["landmarks"], dtype=np.int32),
            performances=content["performances"],
            quality=content["quality"],
            stored_hashes=hashes,
        )
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is not a sound graph library: {error}. Build it again with generate_library"
        ) from error


def _distance(kernel: Kernel, order: LabelOrder) -> EditDistance | WeisfeilerLehman:
    if kernel == "GraphEditDistance":
        return EditDistance(order)
    if kernel == "WeisfeilerLehman":
        return WeisfeilerLehman()
    raise ValueError(f"'kernel' must be 'GraphEditDistance' or 'WeisfeilerLehman'. Got {kernel!r}")


def _measure(
    measure: EditDistance | WeisfeilerLehman,
    specs: list[ModelSpec],
    landmarks: list[ModelSpec],
    n_jobs: int,
    report: Progress,
) -> npt.NDArray[np.float64]:
    """Distances (N, M), block by block."""
    blocks = [specs[start : start + _BLOCK] for start in range(0, len(specs), _BLOCK)]
    done, measured = 0, []
    report("distances", 0, len(specs))
    for distances in _in_parallel(n_jobs, [delayed(measure.between)(landmarks, block) for block in blocks]):
        measured.append(distances.T)
        done += len(measured[-1])
        report("distances", done, len(specs))
    return np.concatenate(measured)


def _measure_all(
    measure: EditDistance | WeisfeilerLehman, specs: list[ModelSpec], n_jobs: int, report: Progress
) -> npt.NDArray[np.float32]:
    """Distances (N, N), each pair of blocks once."""
    blocks = [slice(start, start + _BLOCK) for start in range(0, len(specs), _BLOCK)]
    pairs = [(a, b) for i, a in enumerate(blocks) for b in blocks[i:]]
    distances = np.empty((len(specs), len(specs)), dtype=np.float32)
    report("distances", 0, len(pairs))
    jobs = [delayed(measure.between)(specs[a], specs[b]) for a, b in pairs]
    for done, ((a, b), block) in enumerate(zip(pairs, _in_parallel(n_jobs, jobs), strict=True), start=1):
        distances[a, b], distances[b, a] = block, block.T
        report("distances", done, len(pairs))
    return distances


def _in_parallel(n_jobs: int, jobs: list[Any]) -> Iterator[npt.NDArray[np.float64]]:
    """Results of jobs, in order."""
    workers = min(effective_n_jobs(n_jobs), len(jobs))
    results: Iterator[npt.NDArray[np.float64]] = Parallel(n_jobs=workers, return_as="generator")(jobs)
    return results


def _quality(
    measure: EditDistance | WeisfeilerLehman,
    specs: list[ModelSpec],
    landmarks: npt.NDArray[np.int32],
    embeddings: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[str, float]:
    """Fidelity on pairs that took no part in the fit; on the landmarks themselves when there are no others."""
    others = np.setdiff1d(np.arange(len(specs)), landmarks)
    pool = others if len(others) >= 20 else landmarks
    side = int(min(len(pool) // 2, _FIDELITY_PAIRS**0.5))
    if side < 2:
        return {}
    picked = rng.permutation(pool)[: 2 * side]
    rows, columns = picked[:side], picked[side:]
    distances = measure.between([specs[i] for i in rows], [specs[i] for i in columns])
    embedded = np.linalg.norm(embeddings[rows][:, None] - embeddings[columns][None], axis=-1)
    return fidelity(distances.ravel(), embedded.ravel())


def _labels(spec: ModelSpec, layer: int) -> list[str]:
    return [*spec.head_labels(layer), *(f"f{width}" for width in spec.layers[layer].feed_forward)]


def _silent(stage: str, done: int, total: int) -> None:
    pass
