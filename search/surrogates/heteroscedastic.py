"""BOSHNAS's surrogate (Tuli et al. 2022, section 3.3): a natural-parameter network, a teacher and a student.

The natural-parameter network predicts the score and its aleatoric deviation. The teacher, an MLP with Monte Carlo
dropout, disagrees with itself
where data are missing: its standard deviation over samples is the epistemic one, and how the samples go together
correlates points. The student learns that
deviation, which makes it a smooth function that can be differentiated twice. Targets are standardised; the student's
loss never reaches the teacher.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import gaussian_nll_loss, mse_loss, softplus

from .base import Moments, PointwiseSurrogate, minimize
from .natural_parameter import NaturalParameterNetwork

_HIDDEN = 64
_DROPOUT = 0.1
_SAMPLES = 64


_WEIGHT_DECAY = 1e-3


class HeteroscedasticSurrogate(PointwiseSurrogate):
    """The same arguments give the same surrogate."""

    def __init__(self, X: Tensor, Y: Tensor, *, columns: Sequence[int], unlabelled: Tensor, seed: int) -> None:
        """Fit to vectors X (N, K) and scores Y (N,).

        Args:
            columns: of the vectors that are used.
            unlabelled: vectors without a score (M, K), on which the student learns from the teacher too.
        """
        super().__init__(Y, columns)
        X, unlabelled = X[:, self.columns], unlabelled[:, self.columns]
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            self.scores = NaturalParameterNetwork(X.shape[1]).to(X)
            minimize(self.scores, lambda: self._score_loss(X), weight_decay=_WEIGHT_DECAY)
            teacher = _mlp(X.shape[1], _DROPOUT).to(X)
            minimize(teacher, lambda: mse_loss(teacher(X).squeeze(-1), self.target), weight_decay=_WEIGHT_DECAY)
            everywhere = torch.cat([X, unlabelled])
            with torch.no_grad():  # the student must not train the teacher
                deviation = torch.stack([teacher(everywhere).squeeze(-1) for _ in range(_SAMPLES)]).std(0)
            self._teacher = teacher
            self.student = _mlp(X.shape[1], 0.0).to(X)
            minimize(self.student, lambda: mse_loss(self._epistemic(everywhere), deviation), weight_decay=_WEIGHT_DECAY)
            for layer in range(2):  # one network per sample, the same at every point
                mask = torch.rand(_SAMPLES, 1, _HIDDEN) >= _DROPOUT
                self.register_buffer(f"_mask_{layer}", mask.to(X) / (1 - _DROPOUT))
        self.requires_grad_(False)
        self.eval()

    def predict_standardized(self, X: Tensor) -> Moments:
        mean, variance = self.scores(X)
        return Moments(mean, self._epistemic(X), variance.sqrt())

    def sampled_functions(self, X: Tensor) -> Tensor:
        """The teacher without some of its units, others in each sample."""
        hidden, layer = X, 0
        for module in self._teacher:
            if isinstance(module, nn.Dropout):
                hidden, layer = hidden * getattr(self, f"_mask_{layer}"), layer + 1
            else:
                hidden = module(hidden)
        return hidden.squeeze(-1)

    def _score_loss(self, X: Tensor) -> Tensor:
        mean, variance = self.scores(X)
        return gaussian_nll_loss(mean, self.target, variance)

    def _epistemic(self, X: Tensor) -> Tensor:
        return softplus(self.student(X).squeeze(-1))


def _mlp(num_inputs: int, dropout: float) -> nn.Sequential:
    """Smooth activations: the acquisition is differentiated twice."""
    layers: list[nn.Module] = []
    for size in (num_inputs, _HIDDEN):
        layers += [nn.Linear(size, _HIDDEN), nn.Softplus(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, nn.Linear(_HIDDEN, 1))
