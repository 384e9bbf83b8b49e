"""Time, memory and fidelity of graph libraries, beside FlexiBERT's own code.

    python -m tests.benchmarks.library [--parts test small large file]

``test``: ``design_space_test.yaml`` at two layers per stack (9,312 graphs). ``small``: ``design_space_small.yaml``
(63,756). ``large``: the 2.2e22 architectures of ``design_space.yaml`` at one layer per stack with heterogeneous
feed-forwards. ``file``: a Parquet library of 100,000 graphs. Memory is the peak of this process so far, and of its
largest child.
"""

import argparse
import resource
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from design_space import DesignSpace
from embeddings import GraphLibrary
from embeddings.edit_distance import EditDistance
from embeddings.landmark_mds import fidelity

PARTS = ("test", "small", "large", "file")
ORIGINAL = (
    "FlexiBERT's code on two cores: 57 s to build 9,312 graphs, 2.6 h for 1 % of their distances (263 h for all), "
    "12 h for neighbors, 73 s for an embedding of 1,000 graphs (Spearman 0.03, stress 0.51)"
)


def main(arguments: list[str] | None = None) -> None:
    """Print the figures of the parts asked for, without arguments of the first."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=["test"])
    options = parser.parse_args(arguments or [])
    if "test" in options.parts:
        print(ORIGINAL)
        _listed("design_space/design_space_test.yaml")
    if "small" in options.parts:
        _listed("design_space/design_space_small.yaml")
    if "large" in options.parts:
        _large()
    if "file" in options.parts:
        _file()


def _listed(path: str) -> None:
    """A whole library: graphs, hashes, distances, vectors, neighbors, file."""
    space = DesignSpace.from_yaml(path)
    start = time.perf_counter()
    library = GraphLibrary.build(space, layers_per_stack=2, n_jobs=-1)
    with tempfile.TemporaryDirectory() as folder:
        library.save(Path(folder) / "library.parquet")
    seconds = time.perf_counter() - start
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(library))[:800].reshape(2, 400)
    distances = EditDistance(library.order).between(
        [library.specs[i] for i in rows], [library.specs[i] for i in columns]
    )
    embedded = np.linalg.norm(library.embeddings[rows][:, None] - library.embeddings[columns][None], axis=-1)
    quality = fidelity(distances.ravel(), embedded.ravel())
    print(
        f"{path}: {len(library):,} graphs in {seconds:.0f} s, {_memory()}; on 160,000 pairs: "
        f"Spearman {quality['spearman']:.4f}, stress {quality['stress']:.4f}",
        flush=True,
    )


def _large() -> None:
    space = DesignSpace.from_yaml("design_space/design_space.yaml")
    options = {"layers_per_stack": 1, "heterogeneous_feed_forward": True}
    start = time.perf_counter()
    size = space.size(**options)
    specs = space.sample(100_000, seed=0, **options)
    sampled = time.perf_counter() - start
    start = time.perf_counter()
    for i in range(0, size, size // 1000):
        space.spec(i, **options)
    accessed = time.perf_counter() - start
    library = GraphLibrary.of_specs(specs[:1500], space=space, order=space.label_order(), num_neighbors=10, **options)
    rng = np.random.default_rng(0)
    drawn = library.embeddings.mean(0) + library.embeddings.std(0) * rng.standard_normal((50, 16))
    print(
        f"{size:.2g} architectures: 100,000 sampled in {sampled:.1f} s, one by its number in {accessed:.4f} ms",
        flush=True,
    )
    _nearest(library, "random vectors", drawn)
    _nearest(library, "vectors of other architectures", np.array([library.embed(spec) for spec in specs[1500:1550]]))


def _nearest(library: GraphLibrary, name: str, vectors: npt.NDArray[np.float64]) -> None:
    times, near = [], []
    for vector in vectors:
        start = time.perf_counter()
        spec = library.nearest(vector)
        times.append(time.perf_counter() - start)
        near.append(np.linalg.norm(library.embed(spec) - vector))
    members = np.linalg.norm(library.embeddings[None] - vectors[:, None], axis=-1).min(1)
    print(
        f"nearest to {name}: {1000 * np.median(times):.0f} ms (at most {1000 * max(times):.0f}), {np.mean(near):.1f} "
        f"away; nearest of {len(library):,} members {members.mean():.1f} away",
        flush=True,
    )


def _file() -> None:
    """Vectors and neighbors are drawn at random: what they are costs nothing here."""
    space = DesignSpace.from_yaml("design_space/design_space.yaml")
    small = GraphLibrary.build(space, layers_per_stack=2, max_graphs=200, embedding_size=16, num_neighbors=100)
    specs = list({spec.hash: spec for spec in space.sample(100_000, layers_per_stack=2, seed=1)}.values())
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((len(specs), 16))
    neighbors = rng.integers(len(specs), size=(len(specs), 100), dtype=np.int32)
    library = replace(small, specs=specs, embeddings=vectors, neighbors=neighbors, stored_hashes=None)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "library.parquet"
        start = time.perf_counter()
        library.save(path)
        saved = time.perf_counter() - start
        start = time.perf_counter()
        loaded = GraphLibrary.load(path)
        found = time.perf_counter() - start
        start = time.perf_counter()
        graph = loaded.get(specs[777].hash)
        looked_up = time.perf_counter() - start
        assert graph.spec == specs[777]
        print(
            f"Parquet of {len(specs):,} graphs: {path.stat().st_size / 2**20:.0f} MiB, written in {saved:.1f} s, "
            f"loaded in {found:.2f} s, first look-up by hash {1000 * looked_up:.1f} ms",
            flush=True,
        )


def _memory() -> str:
    own, child = (resource.getrusage(who).ru_maxrss / 2**20 for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return f"{own:.2f} GiB and {child:.2f} GiB in a child"


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
