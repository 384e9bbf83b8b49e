"""BOSHNAS's surrogate (Tuli et al. 2022, section 3.3): a natural-parameter network, a teacher and a student.

The natural-parameter network predicts the score and its aleatoric deviation. The teacher, an MLP with Monte Carlo
dropout, disagrees with
itself where data are missing: its standard deviation over samples is the epistemic one. The student learns that
deviation, which makes it a smooth function that can be differentiated twice. Targets are standardised; the student's
loss never reaches the teacher.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from .base import Moments, Standardizer, Surrogate
from .natural_parameter import NaturalParameterNetwork, gaussian_loss

_HIDDEN = 64
_DROPOUT = 0.1
_SAMPLES = 64
_STEPS = 200


class HeteroscedasticSurrogate(Surrogate):
    """Fitted on construction; the same arguments give the same surrogate."""

    def __init__(self, X: Tensor, Y: Tensor, *, columns: Sequence[int], unlabelled: Tensor, seed: int) -> None:
        """Fit to vectors X (N, K) and scores Y (N,).

        Args:
            columns: of the vectors that are used.
            unlabelled: vectors without a score (M, K), on which the student learns from the teacher too.
        """
        super().__init__()
        self._columns = list(columns)
        X, unlabelled = X[..., self._columns], unlabelled[..., self._columns]
        with torch.random.fork_rng(devices=[]), torch.enable_grad():
            torch.manual_seed(seed)
            self._standardizer = Standardizer(Y)
            target = self._standardizer.transform(Y)
            num_inputs = X.shape[-1]
            self.scores = NaturalParameterNetwork(num_inputs).to(X)
            _minimize(self.scores, lambda: self._score_loss(X, target))
            teacher = _mlp(num_inputs, _DROPOUT).to(X)
            _minimize(teacher, lambda: (teacher(X).squeeze(-1) - target).square().mean())
            everywhere = torch.cat([X, unlabelled])
            with torch.no_grad():  # the student must not train the teacher
                deviation = torch.stack([teacher(everywhere).squeeze(-1) for _ in range(_SAMPLES)]).std(0)
            self.student = _mlp(num_inputs, 0.0).to(X)
            _minimize(self.student, lambda: (self._epistemic(everywhere) - deviation).square().mean())
        self.requires_grad_(False)
        self.eval()

    def predict_moments(self, X: Tensor) -> Moments:
        X = X[..., self._columns]
        mean, variance = self.scores(X.reshape(-1, X.shape[-1]))
        shape = X.shape[:-1]
        raw = Moments(mean.reshape(shape), self._epistemic(X), variance.sqrt().reshape(shape))
        return self._standardizer.untransform(raw)

    def _score_loss(self, X: Tensor, target: Tensor) -> Tensor:
        mean, variance = self.scores(X)
        return gaussian_loss(mean, variance, target)

    def _epistemic(self, X: Tensor) -> Tensor:
        return nn.functional.softplus(self.student(X).squeeze(-1))


def _mlp(num_inputs: int, dropout: float) -> nn.Sequential:
    """Smooth activations: the acquisition is differentiated twice."""
    layers: list[nn.Module] = []
    for size in (num_inputs, _HIDDEN):
        layers += [nn.Linear(size, _HIDDEN), nn.Softplus(), *([nn.Dropout(dropout)] if dropout else [])]
    return nn.Sequential(*layers, nn.Linear(_HIDDEN, 1))


def _minimize(module: nn.Module, loss: Callable[[], Tensor]) -> None:
    optimizer = torch.optim.AdamW(module.parameters(), lr=1e-2, weight_decay=1e-3, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, _STEPS)
    for _ in range(_STEPS):
        optimizer.zero_grad()
        loss().backward()
        optimizer.step()
        schedule.step()
