"""Surrogates of the score, interchangeable by name.

- ``mixture``: in equal parts, ``architecture`` and a process on exact features that expects them to act smoothly.
- ``features``, ``architecture``, ``gp``, ``embedding``: Gaussian processes on exact features; on those and layer-wise
  categories; on those and the embedding; on the embedding without features. All see numbers about the origin.
- ``ensemble``: a deep ensemble. ``forest``: a tree ensemble.
- ``boshnas``: the original's natural-parameter network, teacher and student.
"""

from collections.abc import Callable, Sequence

from torch import Tensor

from .base import Layout, Moments, Surrogate, single_thread
from .deep_ensemble import DeepEnsembleSurrogate
from .forest import ForestSurrogate
from .gaussian_process import GaussianProcessSurrogate
from .heteroscedastic import HeteroscedasticSurrogate
from .mixture import MixtureSurrogate

Fit = Callable[..., Surrogate]
"""Of X, Y, unlabelled vectors, the layout and a seed; of ``KNOW_NOISE`` also of the known noise."""

KNOW_NOISE = ("mixture", "features", "architecture", "gp", "embedding")
"""Surrogates that take what is known of the noise of each score; others infer all of it."""


def _process(
    X: Tensor,
    Y: Tensor,
    layout: Layout,
    numbers: Sequence[int],
    *,
    codes: Sequence[int] = (),
    smooth: Sequence[int] = (),
    noise: Tensor | None = None,
) -> GaussianProcessSurrogate:
    """A process to which what the origin brings is alike everywhere."""
    return GaussianProcessSurrogate(
        X, Y, numbers=numbers, codes=codes, smooth=[*smooth, *layout.origin_columns], noise=noise
    )


SURROGATES: dict[str, Fit] = {
    "mixture": lambda X, Y, _, layout, seed, noise=None: MixtureSurrogate(
        [
            _process(X, Y, layout, layout.feature_columns, smooth=layout.feature_columns, noise=noise),
            _process(X, Y, layout, layout.feature_columns, codes=layout.code_columns, noise=noise),
        ]
    ),
    "features": lambda X, Y, _, layout, seed, noise=None: _process(X, Y, layout, layout.feature_columns, noise=noise),
    "architecture": lambda X, Y, _, layout, seed, noise=None: _process(
        X, Y, layout, layout.feature_columns, codes=layout.code_columns, noise=noise
    ),
    "gp": lambda X, Y, _, layout, seed, noise=None: _process(X, Y, layout, layout.numbers, noise=noise),
    "embedding": lambda X, Y, _, layout, seed, noise=None: _process(
        X, Y, layout, layout.embedding_columns + layout.origin_columns, noise=noise
    ),
    "ensemble": lambda X, Y, _, layout, seed: DeepEnsembleSurrogate(X, Y, columns=layout.numbers, seed=seed),
    "forest": lambda X, Y, _, layout, seed: ForestSurrogate(X, Y, columns=layout.numbers, seed=seed),
    "boshnas": lambda X, Y, unlabelled, layout, seed: HeteroscedasticSurrogate(
        X, Y, columns=layout.numbers, unlabelled=unlabelled, seed=seed
    ),
}


def fit_surrogate(
    name: str,
    X: Tensor,
    Y: Tensor,
    *,
    unlabelled: Tensor,
    seed: int,
    layout: Layout | None = None,
    noise: Tensor | None = None,
) -> Surrogate:
    """The surrogate of this name, fitted.

    Args:
        X: (N, K) vectors. Y: (N,) scores, finite.
        unlabelled: (M, K) vectors without a score, for surrogates that learn uncertainty on them.
        layout: of the vectors; all embedding when None.
        noise: (N,) known variances of the scores, 0 where one is not known.

    Raises:
        ValueError: for an unknown name.
    """
    if name not in SURROGATES:
        raise ValueError(f"'surrogate' must be one of {', '.join(SURROGATES)}. Got {name!r}")
    known = {"noise": noise} if name in KNOW_NOISE else {}
    with single_thread():
        return SURROGATES[name](X, Y, unlabelled, layout or Layout(X.shape[1]), seed, **known)


__all__ = ["KNOW_NOISE", "SURROGATES", "Layout", "Moments", "Surrogate", "fit_surrogate", "single_thread"]
