"""Vectors whose Euclidean distances match given distances: landmarks first, everything else placed among them, then,
where all distances are known, all moved together.

Landmarks are embedded together, from a classical start, by stress majorisation (``MDS``: SMACOF) or gradient descent
on the same stress (``GD``); any other architecture is placed where its distances to the landmarks fit best, with the
landmarks held still. ``refine`` goes on from there over all pairs; landmarks fitted to the end among themselves alone
would serve the others worse.

Shapes: M landmarks, N points, K embedding size.
"""

from concurrent.futures import ThreadPoolExecutor
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy.optimize import minimize
from scipy.stats import spearmanr
from threadpoolctl import threadpool_limits

Algorithm = Literal["MDS", "GD"]
Floats = npt.NDArray[np.floating]

_PLACEMENT_STEPS = 40
_REFINEMENT = {"maxfun": 24, "gtol": 1e-9, "ftol": 1e-9}
_DESCENT_STEPS = 300
_TINY = 1e-9
_BLOCK = 64  # points placed at once: their distances fit into the processor's cache


def embed_landmarks(distances_MM: Floats, embedding_size: int, *, algo: Algorithm) -> npt.NDArray[np.float64]:
    """The vectors (M, K) of the landmarks, centred. Raises ``ValueError`` when K is not below M or ``algo`` is
    unknown."""
    check_options(len(distances_MM), embedding_size, algo)
    distances = np.asarray(distances_MM, dtype=np.float64)
    start = _classical(distances, embedding_size)
    vectors = _smacof(distances, start) if algo == "MDS" else _descend(distances, start)
    return vectors - vectors.mean(0)


def check_options(num_landmarks: int, embedding_size: int, algo: str) -> None:
    """Raise ``ValueError`` when the size is not below the number of landmarks, or the algorithm is unknown."""
    if not 0 < embedding_size < num_landmarks:
        raise ValueError(
            f"'embedding_size' must be between 1 and the number of landmarks less one, "
            f"{num_landmarks - 1}. Got {embedding_size}"
        )
    if algo not in ("MDS", "GD"):
        raise ValueError(f"'algo' must be 'MDS' or 'GD'. Got {algo!r}")


def place(distances_NM: Floats, landmarks_MK: Floats) -> npt.NDArray[np.float64]:
    """Vectors (N, K) that fit distances to landmarks: classical triangulation, then majorisation of the stress of
    each point.

    One step moves a point towards the mean of where each landmark alone would have it (SMACOF with all other points
    fixed), and all but the last twice as far, which takes half as many (relaxed updates, de Leeuw and Heiser 1980); so
    its stress never rises.
    """
    centre = landmarks_MK.mean(0)
    landmarks = landmarks_MK - centre
    wanted = np.asarray(distances_NM, dtype=np.float64)
    # |x - l|² = |x|² - 2 x·l + |l|²; centring over the landmarks removes |x|² (Landmark MDS, de Silva and Tenenbaum
    # 2004).
    right = (landmarks**2).sum(1) - wanted**2
    points = 0.5 * (right - right.mean(1, keepdims=True)) @ np.linalg.pinv(landmarks).T
    if len(points) <= _BLOCK:
        return majorise(points, wanted, landmarks, _PLACEMENT_STEPS) + centre
    with threadpool_limits(1):  # blocks are too small to share
        for start in range(0, len(points), _BLOCK):
            rows = slice(start, start + _BLOCK)
            points[rows] = majorise(points[rows], wanted[rows], landmarks, _PLACEMENT_STEPS)
    return points + centre


def majorise(points_NK: Floats, distances_NM: Floats, landmarks_MK: Floats, num_steps: int) -> npt.NDArray[np.float64]:
    """The points after some steps of ``place`` from where they are; the landmarks' mean is 0."""
    points = np.asarray(points_NK, dtype=np.float64)
    for step in range(num_steps):
        ratio = distances_NM / np.maximum(_euclidean(points, landmarks_MK), _TINY)
        moved = (points * ratio.sum(1, keepdims=True) - ratio @ landmarks_MK) / len(landmarks_MK)
        points = moved if step + 1 == num_steps else 2 * moved - points
    return points


def refine(distances_NN: Floats, points_NK: Floats, *, num_threads: int = 1) -> npt.NDArray[np.float64]:
    """Vectors (N, K) of less stress over all pairs than the given ones, by a few dozen steps of L-BFGS, which
    lower it faster than as many of SMACOF.

    Args:
        num_threads: threads that share the work; the result does not depend on it.
    """
    shape = points_NK.shape
    with threadpool_limits(1), ThreadPoolExecutor(num_threads) as threads:

        def stress(flat: Floats) -> tuple[float, Floats]:
            """The mean squared error of the distances, and its gradient."""
            points = flat.reshape(shape).astype(np.float32)

            def rows(start: int) -> tuple[float, Floats]:
                block = points[start : start + _BLOCK]
                euclidean = np.maximum(_euclidean(block, points), _TINY)
                error = euclidean - distances_NN[start : start + _BLOCK]
                pull = error / euclidean
                return float(np.vdot(error, error)), block * pull.sum(1, keepdims=True) - pull @ points

            found = list(threads.map(rows, range(0, len(points), _BLOCK)))
            gradient = np.concatenate([part for _, part in found])
            scale = len(points) ** 2
            return sum(part for part, _ in found) / scale, 4 / scale * gradient.astype(np.float64).ravel()

        result = minimize(stress, points_NK.ravel(), jac=True, method="L-BFGS-B", options=_REFINEMENT)
    refined = result.x.reshape(shape)
    return np.asarray(refined - refined.mean(0), dtype=np.float64)


def fidelity(distances: Floats, embedded: Floats) -> dict[str, float]:
    """The measures of how well embedded distances match given ones (both (B,)): Kruskal's ``stress`` after the best
    scaling, and ``spearman``."""
    scale = float(distances @ embedded) / max(float(embedded @ embedded), _TINY)
    stress = np.sqrt(((distances - scale * embedded) ** 2).sum() / max((distances**2).sum(), _TINY))
    constant = np.ptp(distances) == 0 or np.ptp(embedded) == 0
    return {"stress": float(stress), "spearman": 1.0 if constant else float(spearmanr(distances, embedded).statistic)}


def _classical(distances: Floats, embedding_size: int) -> npt.NDArray[np.float64]:
    """Classical (Torgerson) scaling. scikit-learn's gives NaN where distances are not Euclidean in that many
    dimensions."""
    squared = distances**2
    gram = -0.5 * (squared - squared.mean(0) - squared.mean(1, keepdims=True) + squared.mean())
    eigenvalues, eigenvectors = np.linalg.eigh(gram)
    top = np.argsort(eigenvalues)[::-1][:embedding_size]
    return eigenvectors[:, top] * np.sqrt(np.maximum(eigenvalues[top], 0.0))


def _smacof(distances: Floats, start: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    from sklearn.manifold import smacof

    vectors, _ = smacof(
        distances, n_components=start.shape[1], init=start, n_init=1, max_iter=100, eps=1e-5, normalized_stress=False
    )
    return np.asarray(vectors, dtype=np.float64)


def _descend(distances: Floats, start: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    import torch

    wanted = torch.from_numpy(distances[np.triu_indices(len(distances), 1)])
    vectors = torch.from_numpy(start).clone().requires_grad_()
    optimizer = torch.optim.Adam([vectors], lr=float(wanted.mean()) * 0.01)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _DESCENT_STEPS)
    for _ in range(_DESCENT_STEPS):
        optimizer.zero_grad()
        (torch.nn.functional.pdist(vectors) - wanted).square().mean().backward()
        optimizer.step()
        schedule.step()
    return vectors.detach().numpy()


def _euclidean(points: Floats, landmarks: Floats) -> Floats:
    squared = (points**2).sum(1)[:, None] + (landmarks**2).sum(1)[None] - 2 * points @ landmarks.T
    return np.sqrt(np.maximum(squared, 0.0))
