"""Gaussian natural-parameter network: an MLP whose weights and activations are normal variables (Wang, Shi and Yeung,
NeurIPS 2016).

A layer takes means and variances to means and variances in closed form, so one pass gives a prediction and its
(aleatoric) variance. Shapes: N points, I inputs, O outputs.
"""

import itertools
import math

import torch
from torch import Tensor, nn

_HIDDEN = 32


class NaturalParameterLinear(nn.Module):
    """``y = W x + b`` with independent normal W, b and x (section 3.2)."""

    def __init__(self, num_inputs: int, num_outputs: int) -> None:
        super().__init__()
        bound = 1 / math.sqrt(num_inputs)
        self.weight_mean = nn.Parameter(torch.empty(num_outputs, num_inputs).uniform_(-bound, bound))
        self.weight_raw = nn.Parameter(torch.full((num_outputs, num_inputs), -6.0))
        self.bias_mean = nn.Parameter(torch.zeros(num_outputs))
        self.bias_raw = nn.Parameter(torch.full((num_outputs,), -6.0))

    def forward(self, mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance of y, (N, O) each, from those of x, (N, I) each."""
        weight_variance = nn.functional.softplus(self.weight_raw)
        out_mean = mean @ self.weight_mean.T + self.bias_mean
        out_variance = (
            variance @ (weight_variance + self.weight_mean.square()).T
            + mean.square() @ weight_variance.T
            + nn.functional.softplus(self.bias_raw)
        )
        return out_mean, out_variance


def rectified_moments(mean: Tensor, variance: Tensor) -> tuple[Tensor, Tensor]:
    """Mean and variance of max(x, 0) for normal x: exact, and smooth in both (the sigmoid has approximations only)."""
    deviation = variance.clamp_min(1e-10).sqrt()
    ratio = mean / deviation
    below = 0.5 * torch.erfc(-ratio / math.sqrt(2))
    density = torch.exp(-0.5 * ratio.square()) / math.sqrt(2 * math.pi)
    first = mean * below + deviation * density
    second = (mean.square() + variance) * below + mean * deviation * density
    return first, (second - first.square()).clamp_min(1e-10)


class NaturalParameterNetwork(nn.Module):
    """Two hidden layers; a prediction is a mean and an aleatoric variance."""

    def __init__(self, num_inputs: int) -> None:
        super().__init__()
        sizes = (num_inputs, _HIDDEN, _HIDDEN, 1)
        self.layers = nn.ModuleList(NaturalParameterLinear(i, o) for i, o in itertools.pairwise(sizes))

    def forward(self, X: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and variance, (N,) each, at X (N, I)."""
        mean, variance = X, torch.zeros_like(X)
        for layer in list(self.layers)[:-1]:
            mean, variance = rectified_moments(*layer(mean, variance))
        mean, variance = self.layers[-1](mean, variance)
        return mean.squeeze(-1), variance.squeeze(-1) + 1e-6
