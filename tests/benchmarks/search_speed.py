"""Processor time of a suggestion, with 100 to 1,000 observations: of 9,312 listed architectures, and of 2.2e22 others.

The listed ones are a sample of ``design_space.yaml``; their vectors are drawn at random, since what they are costs
nothing here. The large space has one layer per stack and heterogeneous feed-forwards. One thread, as always.
"""

import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np

from design_space import DesignSpace, ModelSpec
from embeddings import GraphLibrary
from search import BOSHNAS, BOSHNASSettings

SPACE = Path(__file__).resolve().parents[2] / "design_space" / "design_space.yaml"
LISTED, REPEATS = 9_312, 3
COUNTS = (100, 200, 500, 1000)


def library_of(space: DesignSpace) -> GraphLibrary:
    """A library of ``LISTED`` architectures with vectors of 16 numbers, made without measuring distances."""
    small = GraphLibrary.build(space, layers_per_stack=2, max_graphs=40, embedding_size=16)
    specs = space.sample(LISTED, layers_per_stack=2, seed=0)
    vectors = np.random.default_rng(0).standard_normal((LISTED, 16))
    neighbors = np.zeros((LISTED, 1), dtype=np.int32)
    return replace(small, specs=specs, embeddings=vectors, neighbors=neighbors, stored_hashes=None)


def score(spec: ModelSpec) -> float:
    """Something that depends on the architecture, with noise."""
    rng = np.random.default_rng(int(spec.hash[:8], 16))
    wide = np.mean([layer.hidden_size for layer in spec.layers]) / 512
    attention = np.mean([layer.heads[0].operation == "sa" for layer in spec.layers])
    return float(wide + 0.5 * attention * wide + 0.05 * rng.standard_normal())


def seconds(boshnas: BOSHNAS) -> float:
    """Median processor time of some suggestions, each after a new observation."""
    times = []
    for _ in range(REPEATS):
        start = time.process_time()
        (candidate,) = boshnas.ask(1)
        times.append(time.process_time() - start)
        boshnas.tell(candidate, score(candidate.spec))
    return float(np.median(times))


def main(arguments: list[str] | None = None) -> None:
    """Print the figures."""
    counts = [int(count) for count in arguments or COUNTS]
    space = DesignSpace.from_yaml(SPACE)
    level = space.level(layers_per_stack=1, heterogeneous_feed_forward=True)
    library = library_of(space)
    cases = {
        f"{len(library):,} listed": (library, {}, {}),
        f"{len(library):,} listed, features": (library, {"surrogate": "features"}, {}),
        f"{len(library):,} listed, score and parameters": (library, {}, {"objectives": ("score", "parameters")}),
        f"{level.size:.2g}": (level, {}, {}),
        f"{level.size:.2g}, score and parameters": (level, {}, {"objectives": ("score", "parameters")}),
    }
    for name, (where, settings, goals) in cases.items():
        for count in counts:
            boshnas = BOSHNAS(where, settings=BOSHNASSettings(patience=10**6, **settings), **goals)  # type: ignore[arg-type]
            observed = (
                space.sample(count, layers_per_stack=2, seed=1) if where is library else level.sample(count, seed=1)
            )
            for spec in observed:
                boshnas.add_prior_observation(spec, score(spec), parent=False)
            print(f"{name}, {count} observations: {seconds(boshnas):.2f} s of one core per suggestion", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
