"""How good it seems to train an architecture next, when more than the score counts or limits must be kept.

Several objectives: the hypervolume that an architecture would add to the observed front. Optimistically (``ucb``; the
hypervolume of ``mean + c * deviation``, as SMS-EGO, Ponweiser et al. 2008), or in expectation over the noisy front
(``log_ei``; qLogNEHVI, Daulton et al. 2021, Ament et al. 2023). One objective under limits: the improvement over the
best that keeps them, times the probability of keeping them (Gardner et al. 2014). Exact objectives enter as they are,
measured ones by a Gaussian process of their logarithm.

Shapes: N candidates, B observed, K columns of vectors, M objectives, E exact objectives, C cells.
"""

import contextlib
import functools
import math
import sys
import warnings
from collections.abc import Iterator, Mapping, Sequence

import torch
from botorch.acquisition.multi_objective.logei import qLogNoisyExpectedHypervolumeImprovement
from botorch.acquisition.multi_objective.objective import GenericMCMultiOutputObjective
from botorch.models.model import ModelList
from botorch.sampling.list_sampler import ListSampler
from botorch.sampling.normal import SobolQMCNormalSampler
from botorch.utils.multi_objective.box_decompositions.non_dominated import FastNondominatedPartitioning
from torch import Tensor

from ..objectives import SCORE, Goals, Values
from ..surrogates import Surrogate, fit_surrogate
from ..surrogates.base import Layout
from .single_objective import log_expected_improvement, upper_confidence

_SAMPLES = 128
_SCREENED = 512
"""Candidates with the highest optimistic hypervolume, of which the expected one is computed."""

_CHUNK = 128
_TIE = 1e-9

_COMPILER = "torch.utils.cpp_extension"


class CostModel:
    """A measured objective: a Gaussian process on exact features, of the logarithm where all values are above 0."""

    def __init__(self, X: Tensor, values: Tensor, layout: Layout) -> None:
        """Fit to vectors X (B, K) and values (B,)."""
        self.is_log = bool((values > 0).all())
        targets = values.log() if self.is_log else values
        self.model = fit_surrogate("features", X, targets, unlabelled=X[:0], seed=0, layout=layout)

    def untransform(self, targets: Tensor) -> Tensor:
        """From the scale of the model to the objective's unit."""
        return targets.exp() if self.is_log else targets

    def transform(self, value: float) -> float:
        """From the objective's unit to the scale of the model."""
        return math.log(value) if self.is_log else value

    def quantile(self, X: Tensor, deviations: float) -> Tensor:
        """(N,) at so many deviations from the median."""
        moments = self.model.predict_moments(X)
        return self.untransform(moments.mean + deviations * moments.epistemic)

    def probability(self, X: Tensor, limit: float) -> Tensor:
        """(N,) of a value of at most ``limit``."""
        moments = self.model.predict_moments(X)
        deviation = (moments.epistemic.square() + moments.aleatoric.square()).sqrt()
        return torch.special.ndtr((self.transform(limit) - moments.mean) / deviation)


class MultiObjectiveAcquisition:
    """What is believed when a candidate is chosen.

    Args:
        model: of the score.
        measured: models of the measured objectives and limited quantities; one not measured yet is missing, and does
            not steer.
        observed: vectors (B, K) of what is measured or in training.
        scores: (B,) or fewer, the scores.
        upper_bounds: the most that each exact objective is in the whole pool.
    """

    def __init__(
        self,
        goals: Goals,
        layout: Layout,
        model: Surrogate,
        measured: Mapping[str, CostModel],
        observed: Tensor,
        scores: Tensor,
        upper_bounds: Mapping[str, float],
        *,
        confidence: float,
        aleatoric: bool,
    ) -> None:
        self._goals, self._model, self._measured = goals, model, measured
        self._columns = dict(zip(goals.analytic, layout.exact_columns, strict=True))
        self._confidence, self._aleatoric, self._scores = confidence, aleatoric, scores
        self._costs = [name for name in goals.costs if name in self._columns or name in measured]
        self._limits = {name: limit for name, limit in goals.constraints.items() if name in measured}
        kept = torch.ones(len(observed), dtype=torch.bool)
        for name, limit in goals.constraints.items():
            if name in self._columns or name in measured:
                kept &= self._expected(name, observed) <= limit
        self._kept = observed[kept]
        if self._costs:
            costs = [self._upper_bound(name, upper_bounds, observed) for name in self._costs]
            self._reference = torch.tensor([float(scores.min()), *(-cost for cost in costs)], dtype=observed.dtype)
            front = self._objectives(self._kept, optimism=0.0)
            ideal = torch.cat([front, self._reference[None]]).amax(0)
            self._unit = (ideal - self._reference).clamp_min(1e-9 * (1 + ideal.abs()))
            self._cells = FastNondominatedPartitioning(
                torch.zeros_like(self._reference), (front - self._reference) / self._unit
            ).get_hypercell_bounds()

    def value(self, X: Tensor, *, expected: bool) -> Tensor:
        """(N,) the acquisition at X (N, K): ``expected`` improvement, in logarithms, or the optimistic one."""
        if not self._costs:
            return self._constrained(X, expected=expected)
        optimistic = self._optimistic(X)
        if not expected:
            return optimistic
        chosen = optimistic.topk(min(_SCREENED, len(X))).indices
        value = torch.full_like(optimistic, -math.inf)
        value[chosen] = self._expected_hypervolume(X[chosen])
        return value

    def _constrained(self, X: Tensor, *, expected: bool) -> Tensor:
        """Logarithm of improvement times probability of keeping the measured limits. Where nothing keeps them yet, an
        improvement over the worst."""
        keeping = self._log_probability(X)
        best = self._model.predict_moments(self._kept).mean.max() if len(self._kept) else self._scores.min()
        if expected:
            return log_expected_improvement(self._model, X, best=float(best)) + keeping
        unit = self._scores.std(unbiased=False).clamp_min(1e-9) / 10
        return torch.nn.functional.softplus((self._ucb(X) - best) / unit).clamp_min(1e-300).log() + keeping

    def _optimistic(self, X: Tensor) -> Tensor:
        gains = (self._objectives(X, optimism=self._confidence) - self._reference) / self._unit
        lower, upper = self._cells
        sides = (torch.minimum(gains[:, None], upper) - lower).clamp_min(0.0)
        return (sides.prod(-1).sum(-1) + _TIE * torch.sigmoid(gains[:, 0])) * self._log_probability(X).exp()

    def _expected_hypervolume(self, X: Tensor) -> Tensor:
        """qLogNEHVI at X (N, K). Outputs of its model are the score and the measured quantities; exact ones are read
        from X."""
        names = [SCORE, *self._measured]
        models = [self._model, *(cost.model for cost in self._measured.values())]
        shape = torch.Size([_SAMPLES])
        normal = [SobolQMCNormalSampler(shape, seed=number) for number in range(len(models))]

        def gains(samples: Tensor, X: Tensor) -> Tensor:
            costs = [
                X[..., self._columns[name]].expand(samples.shape[:-1])
                if name in self._columns
                else self._measured[name].untransform(samples[..., names.index(name)])
                for name in self._costs
            ]
            return (torch.stack([samples[..., 0], *(-cost for cost in costs)], dim=-1) - self._reference) / self._unit

        limits = [
            functools.partial(_excess, place=names.index(name), most=self._measured[name].transform(limit))
            for name, limit in self._limits.items()
        ]
        with _without_compiler():
            acquisition = qLogNoisyExpectedHypervolumeImprovement(
                ModelList(*models) if self._measured else self._model,
                torch.zeros_like(self._reference),
                self._kept if len(self._kept) else X[:1],
                sampler=ListSampler(*normal) if self._measured else normal[0],
                objective=GenericMCMultiOutputObjective(gains),
                constraints=limits or None,
                prune_baseline=True,
                cache_root=False,
            )
        return torch.cat([acquisition(chunk[:, None]) for chunk in X.split(_CHUNK)])

    def _objectives(self, X: Tensor, *, optimism: float) -> Tensor:
        """(N, M), all of which should be high."""
        costs = [
            -(X[:, self._columns[name]] if name in self._columns else self._measured[name].quantile(X, -optimism))
            for name in self._costs
        ]
        return torch.stack([self._ucb(X) if optimism else self._model.predict_moments(X).mean, *costs], dim=-1)

    def _ucb(self, X: Tensor) -> Tensor:
        """(N,) upper confidence bound of the score."""
        return upper_confidence(self._model, X, confidence=self._confidence, aleatoric=self._aleatoric)

    def _expected(self, name: str, X: Tensor) -> Tensor:
        """(N,) an exact quantity, or the median of a measured one."""
        return X[:, self._columns[name]] if name in self._columns else self._measured[name].quantile(X, 0.0)

    def _upper_bound(self, name: str, upper_bounds: Mapping[str, float], observed: Tensor) -> float:
        most = upper_bounds[name] if name in upper_bounds else float(self._expected(name, observed).max())
        return min(most, self._goals.constraints.get(name, math.inf))

    def _log_probability(self, X: Tensor) -> Tensor:
        """(N,) of keeping all measured limits; exact ones are kept by every candidate."""
        total = torch.zeros(len(X), dtype=X.dtype)
        for name, limit in self._limits.items():
            total = total + self._measured[name].probability(X, limit).clamp_min(1e-300).log()
        return total


def cost_models(goals: Goals, X: Tensor, known: Sequence[Values], layout: Layout) -> dict[str, CostModel]:
    """Models of the quantities that must be measured, each from those of X (B, K) where it is known; none of one that
    is not known yet."""
    models = {}
    for name in goals.measured:
        places = [place for place, values in enumerate(known) if name in values]
        if places:
            told = torch.tensor([known[place][name] for place in places], dtype=X.dtype)
            models[name] = CostModel(X[places], told, layout)
    return models


def _excess(samples: Tensor, place: int, most: float) -> Tensor:
    """Of samples (..., outputs): by how much one output is above a limit; below 0 it is kept."""
    return samples[..., place] - most


@contextlib.contextmanager
def _without_compiler() -> Iterator[None]:
    """Keeps BoTorch from compiling a C++ kernel at first use, which takes most of a minute, and a compiler, on which
    figures would depend. A module that is None cannot be imported."""
    before = sys.modules.pop(_COMPILER, None)
    sys.modules[_COMPILER] = None  # type: ignore[assignment]
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Failed to compile fused")
            yield
    finally:
        del sys.modules[_COMPILER]
        if before is not None:
            sys.modules[_COMPILER] = before
