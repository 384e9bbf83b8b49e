"""How good it seems to train an architecture next: upper confidence bound or log expected improvement.

Shapes: N candidates, K columns of their vectors.
"""

import math

import torch
from botorch.acquisition import LogExpectedImprovement
from torch import Tensor

from ..surrogates import Surrogate, fit_surrogate
from ..surrogates.base import Layout

_LEAST_COST_S = 1e-3


def upper_confidence(model: Surrogate, X: Tensor, *, confidence: float, aleatoric: bool) -> Tensor:
    """(N,) ``mean + confidence * deviation``; ``aleatoric``: that deviation counts too."""
    moments = model.predict_moments(X)
    deviation = moments.epistemic + moments.aleatoric if aleatoric else moments.epistemic
    return moments.mean + confidence * deviation


def log_expected_improvement(model: Surrogate, X: Tensor, *, best: float) -> Tensor:
    """(N,) logarithm of the expected improvement over ``best``."""
    return LogExpectedImprovement(model, best_f=best)(X[:, None])


def log_cost(X: Tensor, costs_s: Tensor, layout: Layout, candidates: Tensor) -> Tensor:
    """(N,) predicted logarithm of the training time of candidates, from the times (M,) of architectures X (M, K)."""
    targets = costs_s.clamp_min(_LEAST_COST_S).log()
    model = fit_surrogate("features", X, targets, unlabelled=X[:0], seed=0, layout=layout)
    with torch.no_grad():
        return model.predict_moments(candidates).mean.clamp_min(math.log(_LEAST_COST_S))
