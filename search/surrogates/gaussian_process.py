"""A Gaussian process as surrogate: Matérn 5/2 with one length scale per dimension, fitted by BoTorch."""

import warnings

import torch
from botorch.exceptions.warnings import OptimizationWarning
from botorch.fit import fit_gpytorch_mll
from botorch.models import SingleTaskGP
from botorch.posteriors.gpytorch import GPyTorchPosterior
from gpytorch.distributions import MultivariateNormal
from gpytorch.mlls import ExactMarginalLogLikelihood
from torch import Tensor

from .base import Moments, Standardizer, Surrogate


class GaussianProcessSurrogate(Surrogate):
    """Fitted on construction; the epistemic deviation is the process's, the aleatoric one its fitted noise."""

    def __init__(self, X: Tensor, Y: Tensor, *, unlabelled: Tensor, seed: int) -> None:
        """Fit to vectors X (N, K) and scores Y (N,). ``unlabelled`` is not used: the process knows where it has no
        data."""
        super().__init__()
        self._standardizer = Standardizer(Y)
        target = self._standardizer.forward(Y).unsqueeze(-1)
        with torch.random.fork_rng(devices=[]), torch.enable_grad(), warnings.catch_warnings():
            # BoTorch retries from other starts when a fit stops early, and warns each time.
            warnings.simplefilter("ignore", OptimizationWarning)
            warnings.filterwarnings("ignore", message=".*(not contained to the unit cube|not standardized).*")
            torch.manual_seed(seed)
            self.process = SingleTaskGP(X, target, outcome_transform=None)
            fit_gpytorch_mll(ExactMarginalLogLikelihood(self.process.likelihood, self.process))
        self.requires_grad_(False)
        self.eval()

    def moments(self, X: Tensor) -> Moments:
        posterior = self.process.posterior(X.reshape(-1, 1, X.shape[-1]))
        shape = X.shape[:-1]
        deviation = posterior.variance.clamp_min(1e-12).sqrt().reshape(shape)
        noise = self.process.likelihood.noise.sqrt().expand(shape)
        return self._standardizer.back(Moments(posterior.mean.reshape(shape), deviation, noise))

    def posterior(self, X: Tensor, observation_noise: bool = False, **_: object) -> GPyTorchPosterior:
        inner = self.process.posterior(X, observation_noise=observation_noise).distribution
        scale = self._standardizer.scale
        return GPyTorchPosterior(
            MultivariateNormal(
                inner.mean * scale + self._standardizer.mean, inner.lazy_covariance_matrix * scale.square()
            )
        )
