"""Distances of a library's architectures, block by block and in parallel, and how well vectors match them.

Shapes: N architectures, M landmarks.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt
from joblib import Parallel, delayed, effective_n_jobs

from design_space import ModelSpec

from .landmark_mds import fidelity

Progress = Callable[[str, int, int], None]

_BLOCK = 1024
_FIDELITY_PAIRS = 100_000


class Distance(Protocol):
    """A distance of architectures: ``EditDistance`` or ``WeisfeilerLehman``."""

    def between(self, rows: Sequence[ModelSpec], columns: Sequence[ModelSpec]) -> npt.NDArray[np.float64]:
        """The distances (len(rows), len(columns))."""
        ...


def measure_all(
    measure: Distance, specs: list[ModelSpec], others: list[ModelSpec], n_jobs: int, report: Progress
) -> npt.NDArray[np.float32]:
    """The distances (N, M) of architectures to others, block by block; to themselves, where ``others`` is ``specs``,
    each pair of blocks once."""
    rows, columns = (
        [slice(start, start + _BLOCK) for start in range(0, len(side), _BLOCK)] for side in (specs, others)
    )
    is_symmetric = others is specs
    pairs = [(a, b) for i, a in enumerate(rows) for b in columns[i if is_symmetric else 0 :]]
    distances = np.empty((len(specs), len(others)), dtype=np.float32)
    report("distances", 0, len(pairs))
    jobs = [delayed(measure.between)(specs[a], others[b]) for a, b in pairs]
    for done, ((a, b), block) in enumerate(zip(pairs, _in_parallel(n_jobs, jobs), strict=True), start=1):
        distances[a, b] = block
        if is_symmetric:
            distances[b, a] = block.T
        report("distances", done, len(pairs))
    return distances


def _in_parallel(n_jobs: int, jobs: list[Any]) -> Iterator[npt.NDArray[np.float64]]:
    """The results of jobs, in order. Raises ``ValueError`` without a process to do them."""
    if n_jobs == 0:
        raise ValueError("'n_jobs' must be a number of processes, at least 1, or -1 for one per core. Got 0")
    workers = min(effective_n_jobs(n_jobs), len(jobs))
    results: Iterator[npt.NDArray[np.float64]] = Parallel(n_jobs=workers, return_as="generator")(jobs)
    return results


def fidelity_of_sample(
    measure: Distance,
    specs: list[ModelSpec],
    landmarks: npt.NDArray[np.int32],
    embeddings: npt.NDArray[np.float64],
    rng: np.random.Generator,
) -> dict[str, float]:
    """The fidelity on pairs that took no part in the fit; on the landmarks themselves when there are no others."""
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


def silent(stage: str, done: int, total: int) -> None:
    """A report of progress that goes nowhere."""
