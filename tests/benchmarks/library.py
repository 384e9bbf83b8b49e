"""Time, memory and fidelity of the graph library of ``design_space_test.yaml`` at two layers per stack (9,312
graphs)."""

import resource
import time

import numpy as np

from design_space import DesignSpace
from embeddings import GraphLibrary
from embeddings.edit_distance import EditDistance
from embeddings.embedding import fidelity


def main() -> None:
    """Print the figures."""
    space = DesignSpace.from_yaml("design_space/design_space_test.yaml")
    start = time.perf_counter()
    library = GraphLibrary.build(space, layers_per_stack=2, n_jobs=-1)
    seconds = time.perf_counter() - start
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20
    rng = np.random.default_rng(0)
    rows, columns = rng.permutation(len(library))[:600].reshape(2, 300)
    distances = EditDistance(library.order).between(
        [library.specs[i] for i in rows], [library.specs[i] for i in columns]
    )
    embedded = np.linalg.norm(library.embeddings[rows][:, None] - library.embeddings[columns][None], axis=-1)
    quality = fidelity(distances.ravel(), embedded.ravel())
    print(
        f"{len(library)} graphs in {seconds:.0f} s, {memory:.2f} GiB; on 90,000 pairs: "
        f"Spearman {quality['spearman']:.4f}, stress {quality['stress']:.4f}"
    )


if __name__ == "__main__":
    main()
