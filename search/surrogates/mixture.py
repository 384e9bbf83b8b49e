"""A mixture of surrogates in equal parts: where they disagree, it is not sure.

A single process with the most probable hyperparameters is sure of what they say. Two that expect different things of
the space, each with its own, are as good as the better one in most of the tasks of the suite (docs/results/search.md).
Shapes: X (batch..., q, K) vectors, K their size; P members.
"""

from collections.abc import Sequence
from typing import Any

import torch
from gpytorch.distributions import MultivariateNormal
from torch import Tensor, nn

from .base import Moments, Surrogate


class MixtureSurrogate(Surrogate):
    """What its members say on average; the epistemic deviation holds what they differ in, too."""

    def __init__(self, members: Sequence[Surrogate]) -> None:
        super().__init__()
        self.members = nn.ModuleList(members)

    def predict_moments(self, X: Tensor) -> Moments:
        mean, epistemic, aleatoric = (
            torch.stack(moment) for moment in zip(*(one.predict_moments(X) for one in self._each()), strict=True)
        )
        average = mean.mean(0)
        variance = (epistemic.square() + (mean - average).square()).mean(0)
        return Moments(average, variance.sqrt(), aleatoric.square().mean(0).sqrt())

    def probability_below(self, X: Tensor, Y: Tensor) -> Tensor:
        """The mean of the members': of a narrow and a wide one, more is near the middle than a normal distribution of
        the same deviation says."""
        return torch.stack([one.probability_below(X, Y) for one in self._each()]).mean(0)

    def joint(self, X: Tensor, *, observation_noise: bool = False) -> MultivariateNormal:
        """With the mean and covariance of the mixture, which itself is not normal."""
        normals = [one.joint(X, observation_noise=observation_noise) for one in self._each()]
        average = torch.stack([normal.mean for normal in normals]).mean(0)
        covariances = [
            normal.covariance_matrix + (normal.mean - average)[..., :, None] * (normal.mean - average)[..., None, :]
            for normal in normals
        ]
        return MultivariateNormal(average, torch.stack(covariances).mean(0))

    def condition_on_observations(self, X: Tensor, Y: Tensor, **options: Any) -> "MixtureSurrogate":
        return MixtureSurrogate([one.condition_on_observations(X, Y, **options) for one in self._each()])

    def _each(self) -> list[Surrogate]:
        return list(self.members)  # type: ignore[arg-type]
