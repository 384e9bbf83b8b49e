"""``auto``: of several Gaussian processes, the one that predicts every observation best from the others.

The choice is by leave-one-out predictive likelihood, anew for every fit. Averaging by that likelihood, or evenly, was
tried on eight tables and found the best architectures later (docs/results/search.md).
"""

from botorch.posteriors.gpytorch import GPyTorchPosterior
from torch import Tensor

from .base import Layout, Moments, Surrogate
from .gaussian_process import GaussianProcessSurrogate


class AutomaticSurrogate(Surrogate):
    """Fitted on construction.

    Attributes:
        log_likelihoods: leave-one-out, by the name of the member. chosen: the name of the best.
    """

    def __init__(self, X: Tensor, Y: Tensor, *, layout: Layout) -> None:
        """Fit every member to vectors X (N, ...) and scores Y (N,)."""
        super().__init__()
        members = {"features": GaussianProcessSurrogate(X, Y, numbers=layout.feature_columns)}
        if layout.codes:
            members["architecture"] = GaussianProcessSurrogate(
                X, Y, numbers=layout.feature_columns, codes=layout.code_columns
            )
        if layout.embedding and layout.features:
            members["gp"] = GaussianProcessSurrogate(X, Y, numbers=layout.numbers)
        self.log_likelihoods = {name: member.log_likelihood for name, member in members.items()}
        self.chosen = max(self.log_likelihoods, key=self.log_likelihoods.__getitem__)
        self._best = members[self.chosen]

    def moments(self, X: Tensor) -> Moments:
        return self._best.moments(X)

    def given(self, X: Tensor, Y: Tensor) -> Surrogate | None:
        return self._best.given(X, Y)

    def posterior(self, X: Tensor, observation_noise: bool = False, **_: object) -> GPyTorchPosterior:
        return self._best.posterior(X, observation_noise=observation_noise)
