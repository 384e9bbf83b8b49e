"""Surrogates of the score, interchangeable by name."""

from torch import Tensor

from .base import Moments, Surrogate, single_thread
from .gaussian_process import GaussianProcessSurrogate
from .heteroscedastic import HeteroscedasticSurrogate

SURROGATES: dict[str, type[HeteroscedasticSurrogate] | type[GaussianProcessSurrogate]] = {
    "boshnas": HeteroscedasticSurrogate,
    "gp": GaussianProcessSurrogate,
}


def fit_surrogate(name: str, X: Tensor, Y: Tensor, *, unlabelled: Tensor, seed: int) -> Surrogate:
    """The surrogate of this name, fitted to vectors X (N, K) and scores Y (N,). Raises ``ValueError`` for an unknown
    name."""
    if name not in SURROGATES:
        raise ValueError(f"'surrogate' must be one of {', '.join(SURROGATES)}. Got {name!r}")
    with single_thread():
        return SURROGATES[name](X, Y, unlabelled=unlabelled, seed=seed)


__all__ = ["SURROGATES", "Moments", "Surrogate", "fit_surrogate", "single_thread"]
