"""``auto``: of several Gaussian processes, the one that predicts every observation best from the others.

The choice is by leave-one-out predictive likelihood, anew for every fit. Averaging by that likelihood, or evenly, was
tried on eight tables and found the best architectures later (docs/results/search.md).
"""

from torch import Tensor

from .base import Layout
from .gaussian_process import GaussianProcessSurrogate


def most_likely_process(X: Tensor, Y: Tensor, layout: Layout) -> GaussianProcessSurrogate:
    """The best of ``features``, ``architecture`` and ``gp``, fitted to vectors X (N, ...) and scores Y (N,)."""
    members = [GaussianProcessSurrogate(X, Y, numbers=layout.feature_columns)]
    if layout.codes:
        members.append(GaussianProcessSurrogate(X, Y, numbers=layout.feature_columns, codes=layout.code_columns))
    if layout.embedding and layout.features:
        members.append(GaussianProcessSurrogate(X, Y, numbers=layout.numbers))
    return max(members, key=lambda member: member.log_likelihood)
