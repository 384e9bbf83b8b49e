"""BOSHNAS as ask/tell: Bayesian optimisation over the embeddings of a graph library (Tuli et al. 2022, section 3.3,
algorithm 2).

``ask`` gives candidates, ``tell`` takes scores (higher is better). First come ``num_init`` architectures spread over
the space, trained from scratch. Then every proposal is, with probability 1 - α - β, an optimum of the acquisition
``mean + c · (epistemic [+ aleatoric])``, climbed to by second-order ascent over the input from several restarts and
snapped to the nearest untrained graph; with α the graph of highest epistemic uncertainty; with β one that spreads
over the space (Sobol).

The best score not changing for ``patience`` optimisation steps starts a second phase, with aleatoric uncertainty in
the acquisition (and, by the trainer, a recipe tuned twice as hard); not changing for ``patience`` more ends the
search. Nothing here does I/O or knows Ray.

Everything random comes from the seed and the number of proposals so far: the same history gives the same next
candidate in every process.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from design_space import DesignSpace, ModelSpec
from embeddings import GraphLibrary

from .candidate import ORIGINS, Candidate, Origin
from .second_order import ascend
from .surrogates import SURROGATES, Surrogate, fit_surrogate, single_thread

Overlap = Callable[[ModelSpec, ModelSpec], float]

LANDSCAPE_SAMPLE = 256
"""Library vectors on which the surrogate learns uncertainty, beside the observed ones."""


@dataclass(frozen=True, kw_only=True)
class BOSHNASSettings:
    """Every constant of the search.

    Attributes:
        num_init: architectures trained from scratch first.
        alpha, beta: probabilities of uncertainty and of diversity sampling.
        confidence: c of the acquisition.
        num_restarts: starts of the ascent, and so the number of optima to choose among.
        min_overlap: a candidate is transferred from a parent when this share of its parameters can be, else trained
            from scratch.
        patience: optimisation steps without a new best that end a phase.
        surrogate: a name of ``SURROGATES``.
        origins: kinds of first weights that may be proposed; ``scratch`` is always among them.
    """

    num_init: int = 10
    alpha: float = 0.1
    beta: float = 0.1
    confidence: float = 0.5
    num_restarts: int = 10
    min_overlap: float = 0.8
    patience: int = 5
    surrogate: str = "boshnas"
    origins: tuple[str, ...] = ORIGINS

    def __post_init__(self) -> None:
        problems = [
            f"'{name}' must be at least {least}. Got {value}"
            for name, least, value in (
                ("num_init", 1, self.num_init),
                ("num_restarts", 1, self.num_restarts),
                ("patience", 1, self.patience),
                ("confidence", 0, self.confidence),
            )
            if value < least
        ]
        if not (0 <= self.alpha and 0 <= self.beta and self.alpha + self.beta <= 1):
            problems.append(
                f"'alpha' and 'beta' must be probabilities that add up to at most 1. Got {self.alpha}, {self.beta}"
            )
        if not 0 <= self.min_overlap <= 1:
            problems.append(f"'min_overlap' must be in [0, 1]. Got {self.min_overlap}")
        if self.surrogate not in SURROGATES:
            problems.append(f"'surrogate' must be one of {', '.join(SURROGATES)}. Got {self.surrogate!r}")
        if unknown := [kind for kind in self.origins if kind not in ORIGINS]:
            problems.append(f"'origins' must be among {', '.join(ORIGINS)}. Got {', '.join(unknown)}")
        if "scratch" not in self.origins:
            problems.append("'origins' must include 'scratch': the first models have no parent")
        if problems:
            raise ValueError("\n  - ".join(["Problems in the settings of BOSHNAS:", *problems]))


class BOSHNAS:
    """The searcher.

    Args:
        library: what is searched; of a ``DesignSpace``, a library of at most 2,000 graphs at two layers per stack is
            built.
        overlap: share of the second spec's parameters that the first one's weights can fill
            (``flexibert.transfer_overlap``); without it only identical specs overlap.
    """

    def __init__(
        self,
        library: GraphLibrary | DesignSpace,
        *,
        seed: int = 0,
        settings: BOSHNASSettings | None = None,
        overlap: Overlap | None = None,
    ) -> None:
        if isinstance(library, DesignSpace):
            library = GraphLibrary.build(library, layers_per_stack=2, max_graphs=2000, seed=seed)
        self.library = library
        self.settings = settings or BOSHNASSettings()
        self.seed = seed
        self._overlap = overlap or (lambda parent, child: float(parent.hash == child.hash))
        self._centre = library.embeddings.mean(0)
        self._scale = float(library.embeddings.std()) or 1.0
        self._vectors = self._inputs(library.embeddings)
        self._scores: dict[str, list[float]] = {}
        self._specs: dict[str, ModelSpec] = {}
        self._parents: set[str] = set()
        self._pending: dict[str, Candidate] = {}
        self._failed: set[str] = set()
        self._num_proposed = 0
        self._steps_since_best = 0
        self._phase = "explore"
        self._surrogate: Surrogate | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_surrogate": None}  # fitted again when needed

    @property
    def phase(self) -> str:
        """``explore``, then ``refine`` (aleatoric uncertainty counts), then ``converged``."""
        return self._phase

    @property
    def best(self) -> tuple[ModelSpec, float] | None:
        """The architecture with the highest (mean) score so far."""
        if not self._scores:
            return None
        winner = max(self._scores, key=lambda graph_hash: _mean(self._scores[graph_hash]))
        return self._specs[winner], _mean(self._scores[winner])

    def ask(self, k: int = 1) -> list[Candidate]:
        """Up to ``k`` candidates to train; fewer when converged or when no untrained graph is left."""
        candidates: list[Candidate] = []
        while len(candidates) < k and self._phase != "converged":
            with single_thread():
                candidate = self._propose()
            if candidate is None:
                break
            self.remember(candidate)
            candidates.append(candidate)
        return candidates

    def remember(self, candidate: Candidate) -> None:
        """Count a candidate as proposed: what ``ask`` does, and what a resumed run does for those of the journal."""
        self._pending[candidate.spec.hash] = candidate
        self._num_proposed += 1

    def tell(
        self,
        candidate: Candidate,
        score: float,
        *,
        cost_s: float | None = None,
        objectives: Mapping[str, float] | None = None,
    ) -> None:
        """Take a candidate's score; it may become a parent. A score that is not finite counts as a failure; a second
        one of the same architecture is averaged. ``cost_s`` and ``objectives`` are part of the interface but do not
        steer this search yet."""
        if not math.isfinite(score):
            self.tell_failed(candidate)
            return
        best_before = self.best
        self._pending.pop(candidate.spec.hash, None)
        self.tell_known(candidate.spec, score, parent=True)
        improved = best_before is None or score > best_before[1]
        if improved:
            self._steps_since_best = 0
        elif candidate.proposed_by == "optimized":
            self._steps_since_best += 1
        if self._steps_since_best >= self.settings.patience:
            self._steps_since_best = 0
            self._phase = "refine" if self._phase == "explore" else "converged"

    def tell_failed(self, candidate: Candidate) -> None:
        """A candidate that could not be trained: not proposed again, no observation."""
        self._pending.pop(candidate.spec.hash, None)
        self._failed.add(candidate.spec.hash)

    def tell_known(self, spec: ModelSpec, score: float, *, parent: bool) -> None:
        """A score measured elsewhere, for instance on an earlier level; ``parent`` when its weights are at hand."""
        self._scores.setdefault(spec.hash, []).append(float(score))
        self._specs[spec.hash] = spec
        if parent:
            self._parents.add(spec.hash)
        self._surrogate = None

    def predict(self, spec: ModelSpec) -> tuple[float, float, float]:
        """Mean, epistemic and aleatoric standard deviation of an architecture's score. Raises ``ValueError`` before
        the first score."""
        if not self._scores:
            raise ValueError("Nothing to predict from: no score has been told")
        moments = self._fitted().moments(self._inputs(self.library.embed(spec)[None]))
        return tuple(float(moment) for moment in moments)  # type: ignore[return-value]

    def _propose(self) -> Candidate | None:
        rng = np.random.default_rng([self.seed, self._num_proposed])
        free = self._untrained()
        if not len(free):
            return None
        if len(self._scores) + len(self._pending) < self.settings.num_init or not self._scores:
            return Candidate(self._spread(free), Origin(), "initial")
        draw = rng.random()
        if draw < self.settings.alpha:
            with torch.no_grad():
                uncertainty = self._fitted().moments(self._vectors[free]).epistemic
            return self._with_origin(self.library.specs[free[int(uncertainty.argmax())]], "uncertain")
        if draw < self.settings.alpha + self.settings.beta:
            return self._with_origin(self._spread(free), "diverse")
        return self._optimum(free, rng)

    def _optimum(self, free: npt.NDArray[np.int64], rng: np.random.Generator) -> Candidate:
        """The best of the snapped optima that a trained parent can be transferred to; if there is none, the best of
        all, from scratch."""
        starts = self._vectors[
            rng.choice(len(self._vectors), min(self.settings.num_restarts, len(self._vectors)), replace=False)
        ]
        incumbent = self.best
        assert incumbent is not None
        starts[0] = self._inputs(self.library.embed(incumbent[0])[None])[0]
        optima = ascend(self._acquisition, starts, self._vectors.amin(0), self._vectors.amax(0))
        snapped = self._snap(optima, free)
        with torch.no_grad():
            order = self._acquisition(self._vectors[snapped]).argsort(descending=True, stable=True)
        candidates = [self._with_origin(self.library.specs[snapped[i]], "optimized") for i in order.tolist()]
        return next((c for c in candidates if c.origin.kind != "scratch"), candidates[0])

    def _acquisition(self, X: Tensor) -> Tensor:
        mean, epistemic, aleatoric = self._fitted().moments(X)
        deviation = epistemic + aleatoric if self._phase == "refine" else epistemic
        return mean + self.settings.confidence * deviation

    def _with_origin(self, spec: ModelSpec, proposed_by: str) -> Candidate:
        """The nearest parent with enough overlap as origin, else scratch."""
        if "transfer" in self.settings.origins:
            vector = self.library.embed(spec)
            able = [
                (float(np.linalg.norm(self.library.embed(parent) - vector)), parent_hash)
                for parent_hash in sorted(self._parents)
                if (parent := self._specs[parent_hash]).format == spec.format
                and self._overlap(parent, spec) >= self.settings.min_overlap
            ]
            if able:
                return Candidate(spec, Origin("transfer", min(able)[1]), proposed_by)
        return Candidate(spec, Origin(), proposed_by)

    def _spread(self, free: npt.NDArray[np.int64]) -> ModelSpec:
        """The free graph nearest to the next point of a scrambled Sobol sequence over the library's bounds."""
        lower, upper = self._vectors.amin(0), self._vectors.amax(0)
        engine = torch.quasirandom.SobolEngine(self._vectors.shape[1], scramble=True, seed=self.seed)
        point = engine.fast_forward(self._num_proposed).draw(1, dtype=torch.float64)[0]
        return self.library.specs[self._snap((lower + point * (upper - lower))[None], free)[0]]

    def _snap(self, points: Tensor, free: npt.NDArray[np.int64]) -> list[int]:
        """Library indices of the nearest free graphs, all different, in the order of the points."""
        distances = torch.cdist(points, self._vectors[free])
        snapped: list[int] = []
        for row in distances[: len(free)]:
            nearest = int(row.argmin())
            snapped.append(int(free[nearest]))
            distances[:, nearest] = torch.inf
        return snapped

    def _untrained(self) -> npt.NDArray[np.int64]:
        taken = self._scores.keys() | self._pending.keys() | self._failed
        places = {self.library.position(graph_hash) for graph_hash in taken if graph_hash in self.library}
        return np.array([i for i in range(len(self.library)) if i not in places], dtype=np.int64)

    def _fitted(self) -> Surrogate:
        if self._surrogate is None:
            hashes = [graph_hash for graph_hash, scores in self._scores.items() for _ in scores]
            X = self._inputs(np.stack([self.library.embed(self._specs[graph_hash]) for graph_hash in hashes]))
            Y = torch.tensor([score for scores in self._scores.values() for score in scores], dtype=torch.float64)
            sample = np.random.default_rng(self.seed).permutation(len(self._vectors))[:LANDSCAPE_SAMPLE]
            self._surrogate = fit_surrogate(
                self.settings.surrogate, X, Y, unlabelled=self._vectors[sample], seed=self.seed
            )
        return self._surrogate

    def _inputs(self, embeddings: npt.NDArray[np.float64]) -> Tensor:
        """Embeddings (N, K) as the surrogate sees them: centred, of unit size, distances kept in proportion."""
        return torch.from_numpy((embeddings - self._centre) / self._scale)


def _mean(values: list[float]) -> float:
    return sum(values) / len(values)
