"""What a surrogate is to the search: a BoTorch model of the score over the vectors of architectures, with two kinds of
uncertainty told apart.

A vector has six parts, in this order: the embedding, exact features, category codes, exact objectives (for the
acquisition alone), a guess of the score where there is one, and numbers about the origin (see ``Layout``).
Shapes: X (batch..., q, K) vectors, K their size; moments (batch..., q).
"""

import contextlib
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from typing import NamedTuple

import torch
from botorch.acquisition.objective import PosteriorTransform
from botorch.models.model import Model
from botorch.posteriors import Posterior
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from threadpoolctl import threadpool_limits
from torch import Tensor, nn

_STEPS = 200


class Layout(NamedTuple):
    """How many columns of a vector are embedding, features, categories (equal or not, nothing between), exact
    objectives (in their own units; no surrogate sees them), a guess of the score (in its unit; at most one), and
    numbers about the origin."""

    embedding: int
    features: int = 0
    codes: int = 0
    exact: int = 0
    guess: int = 0
    origin: int = 0

    @property
    def numbers(self) -> list[int]:
        """Columns of embedding, features and origin."""
        return list(range(self.embedding + self.features)) + self.origin_columns

    @property
    def feature_columns(self) -> list[int]:
        """Columns of features and origin; all numbers where there are no features."""
        return self.numbers[self.embedding :] if self.features else self.numbers

    @property
    def embedding_columns(self) -> list[int]:
        """Columns of the embedding; of features where there is no embedding."""
        return list(range(self.embedding or self.features))

    @property
    def code_columns(self) -> list[int]:
        """Columns of categories."""
        return self._columns("codes")

    @property
    def exact_columns(self) -> list[int]:
        """Columns of exact objectives."""
        return self._columns("exact")

    @property
    def guess_columns(self) -> list[int]:
        """The column of the guess, if there is one."""
        return self._columns("guess")

    @property
    def origin_columns(self) -> list[int]:
        """Columns of numbers about the origin."""
        return self._columns("origin")

    def _columns(self, part: str) -> list[int]:
        place = self._fields.index(part)
        return list(range(sum(self[:place]), sum(self[: place + 1])))


class Moments(NamedTuple):
    """Predicted score and its standard deviations: what more data would remove (epistemic), and what it would not
    (aleatoric)."""

    mean: Tensor
    epistemic: Tensor
    aleatoric: Tensor


class Surrogate(Model):
    """A fitted model of the score. ``predict_moments`` is twice differentiable in X (with zero gradient where a model
    is piecewise constant). Where it can take further observations X (M, K), Y (M,) with its hyperparameters kept,
    ``condition_on_observations`` does so; elsewhere BoTorch's raises ``NotImplementedError``."""

    @abstractmethod
    def predict_moments(self, X: Tensor) -> Moments:
        """Mean, epistemic and aleatoric standard deviation at X."""

    def probability_below(self, X: Tensor, Y: Tensor) -> Tensor:
        """How probable a measured score of at most Y is at X, noise included: that of a normal distribution."""
        mean, epistemic, aleatoric = self.predict_moments(X)
        return torch.special.ndtr((Y - mean) / (epistemic.square() + aleatoric.square()).sqrt())

    @abstractmethod
    def joint(self, X: Tensor, *, observation_noise: bool = False) -> MultivariateNormal:
        """The scores of the q points of each batch together, normally distributed."""

    def posterior(
        self,
        X: Tensor,
        output_indices: list[int] | None = None,
        observation_noise: bool | Tensor = False,
        posterior_transform: PosteriorTransform | None = None,
    ) -> Posterior:
        """The joint normal posterior, as BoTorch asks for it.

        Raises:
            NotImplementedError: for another output than the one there is, or noise of one's own.
        """
        if output_indices not in (None, [0], [-1]) or isinstance(observation_noise, Tensor):
            raise NotImplementedError("A surrogate has one output, the score, and the noise that it was fitted with")
        posterior = GPyTorchPosterior(self.joint(X, observation_noise=observation_noise))
        return posterior if posterior_transform is None else posterior_transform(posterior)

    @property
    def num_outputs(self) -> int:
        return 1

    @property
    def batch_shape(self) -> torch.Size:
        return torch.Size()


class PointwiseSurrogate(Surrogate):
    """A surrogate that predicts the score of each point by itself, from some columns of its vector.

    A subclass fits itself on construction, to those ``columns`` of X (N, ...) and the standardised scores.
    """

    target: Tensor

    def __init__(self, Y: Tensor, columns: Sequence[int]) -> None:
        super().__init__()
        self.columns = list(columns)
        self._standardizer = Standardizer(Y)
        self.register_buffer("target", self._standardizer.transform(Y))

    @abstractmethod
    def predict_standardized(self, X: Tensor) -> Moments:
        """The moments (M,) of the standardised score at columns X (M, K)."""

    @abstractmethod
    def sampled_functions(self, X: Tensor) -> Tensor:
        """What several functions that the surrogate holds possible are at columns X (M, K): (S, M)."""

    def predict_moments(self, X: Tensor) -> Moments:
        predicted = self.predict_standardized(self._flat(X))
        return self._standardizer.untransform(Moments(*(moment.reshape(X.shape[:-1]) for moment in predicted)))

    def joint(self, X: Tensor, *, observation_noise: bool = False) -> MultivariateNormal:
        """With the moments of each point, and the correlations of the sampled functions between them."""
        moments = self.predict_moments(X)
        sampled = self.sampled_functions(self._flat(X)).reshape(-1, *X.shape[:-1])
        centered = (sampled - sampled.mean(0)) * moments.epistemic
        unit = centered / (sampled.var(0, correction=0) * len(sampled)).clamp_min(1e-18).sqrt()
        covariance = torch.einsum("s...q,s...p->...qp", unit, unit)
        variance = moments.epistemic.square() + (moments.aleatoric.square() if observation_noise else 0.0)
        own = variance.clamp_min(1e-10) * (1 + 1e-6) - covariance.diagonal(dim1=-2, dim2=-1)
        return MultivariateNormal(moments.mean, covariance + torch.diag_embed(own))

    def _flat(self, X: Tensor) -> Tensor:
        return X[..., self.columns].reshape(-1, len(self.columns))


class Standardizer(nn.Module):
    """Targets to mean 0 and standard deviation 1, and predictions back. All-equal targets keep their unit."""

    mean: Tensor
    scale: Tensor

    def __init__(self, Y: Tensor) -> None:
        super().__init__()
        mean, spread = Y.mean(), Y.std(unbiased=False)
        has_spread = float(spread) > 1e-9 * max(1.0, float(mean.abs()))
        self.register_buffer("mean", mean)
        self.register_buffer("scale", spread if has_spread else torch.ones_like(spread))

    def transform(self, Y: Tensor) -> Tensor:
        return (Y - self.mean) / self.scale

    def untransform(self, moments: Moments) -> Moments:
        return Moments(
            moments.mean * self.scale + self.mean, moments.epistemic * self.scale, moments.aleatoric * self.scale
        )


def minimize(module: nn.Module, loss: Callable[[], Tensor], *, weight_decay: float) -> None:
    """Train a module in a few hundred steps of AdamW."""
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, weight_decay=weight_decay, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    with torch.enable_grad():
        for _ in range(_STEPS):
            optimizer.zero_grad()
            loss().backward()
            optimizer.step()
            schedule.step()


@contextlib.contextmanager
def single_thread() -> Iterator[None]:
    """Surrogates are small: threads that wait for each other, beside trials that train, cost more than they bring."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with threadpool_limits(1):  # NumPy's
            yield
    finally:
        torch.set_num_threads(before)
