"""Surrogates of the score, interchangeable by name.

- ``auto``: of ``features``, ``architecture`` and ``gp``, the one with the best leave-one-out predictive likelihood.
- ``features``, ``architecture``, ``gp``, ``embedding``: Gaussian processes on exact features; on those and layer-wise
  categories; on those and the embedding; on the embedding without features. All see numbers about the origin.
- ``ensemble``: a deep ensemble. ``forest``: a tree ensemble.
- ``boshnas``: the original's natural-parameter network, teacher and student.
"""

from collections.abc import Callable

from torch import Tensor

from .automatic import most_likely_process
from .base import Layout, Moments, Surrogate, single_thread
from .deep_ensemble import DeepEnsembleSurrogate
from .forest import ForestSurrogate
from .gaussian_process import GaussianProcessSurrogate
from .heteroscedastic import HeteroscedasticSurrogate

Fit = Callable[[Tensor, Tensor, Tensor, Layout, int], Surrogate]

SURROGATES: dict[str, Fit] = {
    "auto": lambda X, Y, _, layout, seed: most_likely_process(X, Y, layout),
    "features": lambda X, Y, _, layout, seed: GaussianProcessSurrogate(X, Y, numbers=layout.feature_columns),
    "architecture": lambda X, Y, _, layout, seed: GaussianProcessSurrogate(
        X, Y, numbers=layout.feature_columns, codes=layout.code_columns
    ),
    "gp": lambda X, Y, _, layout, seed: GaussianProcessSurrogate(X, Y, numbers=layout.numbers),
    "embedding": lambda X, Y, _, layout, seed: GaussianProcessSurrogate(
        X, Y, numbers=layout.embedding_columns + layout.origin_columns
    ),
    "ensemble": lambda X, Y, _, layout, seed: DeepEnsembleSurrogate(X, Y, columns=layout.numbers, seed=seed),
    "forest": lambda X, Y, _, layout, seed: ForestSurrogate(X, Y, columns=layout.numbers, seed=seed),
    "boshnas": lambda X, Y, unlabelled, layout, seed: HeteroscedasticSurrogate(
        X, Y, columns=layout.numbers, unlabelled=unlabelled, seed=seed
    ),
}


def fit_surrogate(
    name: str, X: Tensor, Y: Tensor, *, unlabelled: Tensor, seed: int, layout: Layout | None = None
) -> Surrogate:
    """The surrogate of this name, fitted.

    Args:
        X: (N, K) vectors. Y: (N,) scores, finite.
        unlabelled: (M, K) vectors without a score, for surrogates that learn uncertainty on them.
        layout: of the vectors; all embedding when None.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in SURROGATES:
        raise ValueError(f"'surrogate' must be one of {', '.join(SURROGATES)}. Got {name!r}")
    with single_thread():
        return SURROGATES[name](X, Y, unlabelled, layout or Layout(X.shape[1]), seed)


__all__ = ["SURROGATES", "Layout", "Moments", "Surrogate", "fit_surrogate", "single_thread"]
