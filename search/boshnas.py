"""BOSHNAS as ask/tell: Bayesian optimisation over architectures (after Tuli et al. 2022, section 3.3, algorithm 2).

``ask`` gives candidates, ``tell`` takes scores (higher is better). First come ``num_init`` architectures, some the
largest there are, the others spread over the space, trained from scratch. Then every proposal is, with probability
1 - α - β, the best candidate by the acquisition; with α the one of highest epistemic uncertainty; with β one that
spreads over the space (Sobol).

Of a library every graph is a candidate. Of a space too large to list, each proposal weighs Sobol points and mutations
of the best so far. The original climbs the acquisition over the vectors and snaps the optimum to a graph: that is
``second_order``.

With several objectives or limits (``goals.py``), the best are the front of what keeps the limits, and the acquisition
is that of ``steering.py``. What is known to break a limit is never proposed. An objective that is missing from a
measurement is predicted from the others.

The best not changing for ``patience`` optimisation steps starts a second phase, with aleatoric uncertainty in
the acquisition (and, by the trainer, a recipe tuned twice as hard); not changing for ``patience`` more ends the
search. Nothing here does I/O or knows Ray.

Everything random comes from the seed and the number of proposals so far: the same history gives the same next
candidate in every process.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from design_space import DesignSpace, Level, ModelSpec
from embeddings import GraphLibrary

from .acquisition import log_cost, log_expected_improvement, upper_confidence
from .candidate import Candidate, Origin
from .children import children
from .goals import SCORE, Exact, Goals, exact_costs
from .level_pool import LevelPool
from .observations import Observations, check_measurement
from .pool import Candidates, LibraryPool, Pool
from .second_order import ascend
from .settings import BOSHNASSettings
from .steering import Steering, cost_models
from .surrogates import Surrogate, fit_surrogate, single_thread

Overlap = Callable[[ModelSpec, ModelSpec], float]

LISTED = 10_000
"""Members of a design space up to which it is made a library."""

LANDSCAPE_SAMPLE = 256
"""Vectors on which the surrogate learns uncertainty, beside the observed ones."""

_MUTATED = 5
"""How many of the best are mutated, and may have children."""

_MUTATED_FRONT = 20
"""The same, where the best are a front."""

_NEAREST_PARENTS = 100
"""How many of the nearest trained architectures are looked at for a parent."""


class BOSHNAS:
    """The searcher.

    Args:
        library: what is searched. Of a ``DesignSpace`` (at two layers per stack) or a ``Level`` of up to ``LISTED``
            members, a library is built of the first; larger ones are searched without listing them.
        overlap: share of the second spec's parameters that the first one's weights can fill
            (``flexibert.transfer_overlap``); without it only identical specs overlap.
        objectives: ``score``, and others that should be low.
        constraints: upper limits, for example ``{"parameters": 2e6, "latency_ms": 10}``.
        exact: objectives computed from specs, by name (``goals.exact_costs`` by default); any other one must be told.

    Raises:
        ValueError: for objectives or constraints that make no sense, or that no architecture keeps.
    """

    def __init__(
        self,
        library: GraphLibrary | DesignSpace | Level,
        *,
        seed: int = 0,
        settings: BOSHNASSettings | None = None,
        overlap: Overlap | None = None,
        objectives: Sequence[str] = (SCORE,),
        constraints: Mapping[str, float] | None = None,
        exact: Mapping[str, Exact] | None = None,
    ) -> None:
        self.settings = settings or BOSHNASSettings()
        self.goals = Goals(
            objectives=tuple(objectives),
            constraints=dict(constraints or {}),
            exact=exact_costs() if exact is None else exact,
        )
        self.settings.check_goals(self.goals)
        self.seed = seed
        if isinstance(library, DesignSpace):
            level = library.level(layers_per_stack=2)
            library = GraphLibrary.build(library, layers_per_stack=2) if level.size <= LISTED else level
        self.library = library if isinstance(library, GraphLibrary) else None
        self._pool: Pool = (
            LibraryPool(library, self.goals)
            if isinstance(library, GraphLibrary)
            else LevelPool(
                library,
                num_samples=self.settings.num_samples,
                num_mutations=self.settings.num_mutations,
                goals=self.goals,
            )
        )
        self._overlap = overlap or (lambda parent, child: float(parent.hash == child.hash))
        self._observed = Observations()
        self._known: dict[str, Tensor] = {}
        self._pending: dict[str, Candidate] = {}
        self._num_proposed = 0
        self._num_told = 0
        self._steps_since_best = 0
        self._phase = "explore"
        self._surrogate: Surrogate | None = None
        self._believing: Surrogate | None = None
        self._steering: Steering | None = None

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_surrogate": None, "_believing": None, "_steering": None}  # fitted again when needed

    @property
    def phase(self) -> str:
        """``explore``, then ``refine`` (aleatoric uncertainty counts), then ``converged``."""
        return self._phase

    @property
    def best(self) -> tuple[ModelSpec, float] | None:
        """The architecture with the highest (mean) score so far, of those known to keep all constraints."""
        known = self._observed.values(self.goals)
        able = [graph_hash for graph_hash, values in known.items() if self.goals.violation(values) == 0]
        winner = max(able, key=self._observed.mean, default=None)
        return None if winner is None else (self._observed.specs[winner], self._observed.mean(winner))

    @property
    def front(self) -> list[tuple[ModelSpec, dict[str, float]]]:
        """Architectures that keep all constraints and that no other beats in all objectives, with the values of
        objectives and limited quantities, the highest score first."""
        known = self._observed.values(self.goals)
        return [(self._observed.specs[graph_hash], known[graph_hash]) for graph_hash in self.goals.front(known)]

    def ask(self, k: int = 1) -> list[Candidate]:
        """Up to ``k`` candidates to train; fewer when converged or when no untrained graph is left. Those in training
        count as if they would score what is predicted."""
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
        self._forget(observed=False)

    def tell(
        self,
        candidate: Candidate,
        score: float,
        *,
        cost_s: float | None = None,
        objectives: Mapping[str, float] | None = None,
    ) -> None:
        """Take a candidate's score; it may become a parent. One that was never asked for is welcome.

        Args:
            score: one that is not finite counts as a failure; a second one of the same architecture is averaged.
            cost_s: of the training; used when ``cost_aware``.
            objectives: measured values by name. Exact ones are computed, whatever is told.

        Raises:
            ValueError: for a cost or objective that is not finite.
        """
        if not math.isfinite(score):
            self.tell_failed(candidate)
            return
        check_measurement(cost_s, objectives)
        leaders = self._observed.leaders(self.goals)
        self._pending.pop(candidate.spec.hash, None)
        self._observed.add(candidate.spec, score, parent=True, cost_s=cost_s, objectives=objectives)
        self._num_told += 1
        self._forget(observed=True)
        if candidate.spec.hash in self._observed.leaders(self.goals) - leaders:
            self._steps_since_best = 0
        elif candidate.proposed_by == "optimized":
            self._steps_since_best += 1
        if self._steps_since_best >= self.settings.patience:
            self._steps_since_best = 0
            self._phase = "refine" if self._phase == "explore" else "converged"

    def tell_failed(self, candidate: Candidate) -> None:
        """A candidate that could not be trained: not proposed again, no observation."""
        self._pending.pop(candidate.spec.hash, None)
        self._observed.add_failure(candidate.spec)
        self._forget(observed=True)

    def tell_known(self, spec: ModelSpec, score: float, *, parent: bool) -> None:
        """A score measured elsewhere, for instance on an earlier level; ``parent`` when its weights are at hand."""
        self._observed.add(spec, score, parent=parent)
        self._forget(observed=True)

    @property
    def trained(self) -> list[str]:
        """Hashes of the architectures whose weights may be inherited, the best first."""
        return [graph_hash for graph_hash in self._observed.ranked(self.goals) if graph_hash in self._observed.parents]

    @property
    def parents_in_use(self) -> set[str]:
        """Hashes of the parents of candidates in training."""
        return {parent for candidate in self._pending.values() for parent in candidate.origin.parents}

    def forget_weights(self, graph_hash: str) -> None:
        """The weights are gone: the architecture keeps its score, and is no parent any more."""
        self._observed.parents.discard(graph_hash)

    def predict(self, spec: ModelSpec) -> tuple[float, float, float]:
        """Mean, epistemic and aleatoric standard deviation of an architecture's score. Raises ``ValueError`` before
        the first score."""
        if not len(self._observed):
            raise ValueError("Nothing to predict from: no score has been told")
        moments = self._fitted().moments(self._pool.vectors([spec]))
        return tuple(float(moment) for moment in moments)  # type: ignore[return-value]

    def _propose(self) -> Candidate | None:
        rng = np.random.default_rng([self.seed, self._num_proposed])
        taken = self._observed.scores.keys() | self._pending.keys() | self._observed.failed
        settings = self.settings
        if len(self._observed) + len(self._pending) < settings.num_init or not len(self._observed):
            return self._initial(taken)
        draw = rng.random()
        if settings.alpha <= draw < settings.alpha + settings.beta:
            spec = self._pool.spread(self._num_proposed, self.seed, taken)
            return None if spec is None else self._with_origin(spec, "diverse")
        free = self._pool.free(taken, self._best_specs(self._observed.ranked(self.goals)), rng)
        if not len(free):
            return None
        if draw < settings.alpha:
            with torch.no_grad():
                uncertainty = self._expecting().moments(free.vectors).epistemic
            return self._with_origin(free.specs[int(uncertainty.argmax())], "uncertain")
        if settings.second_order:
            return self._or_child(self._snapped_optimum(free, rng), taken)
        with torch.no_grad():
            chosen = free.specs[int(self._acquisition(free.vectors).argmax())]
        return self._or_child(self._with_origin(chosen, "optimized"), taken)

    def _or_child(self, candidate: Candidate, taken: set[str]) -> Candidate:
        """The candidate, or a child of the best trained ones that promises more."""
        if set(self.settings.origins) <= {"scratch", "transfer"}:
            return candidate
        parents = self._best_specs(self.trained)
        born = [child for child in children(parents, self.settings.origins) if child.spec.hash not in taken]
        if not born:
            return candidate
        options = [candidate, *born]
        vectors = self._pool.vectors([option.spec for option in options])
        with torch.no_grad():
            promise = self._acquisition(vectors).where(self._pool.allows(vectors), -torch.inf)
        return options[int(promise.argmax())]

    def _initial(self, taken: set[str]) -> Candidate | None:
        num_largest = min(self.settings.num_largest, self.settings.num_init // 2)
        if self._num_proposed < num_largest:
            spec = self._pool.largest(taken)
        else:
            spec = self._pool.spread(self._num_proposed, self.seed, taken)
        return None if spec is None else Candidate(spec, Origin(), "initial")

    def _snapped_optimum(self, free: Candidates, rng: np.random.Generator) -> Candidate:
        """The best of the snapped optima that a trained parent can be transferred to; if there is none, the best of
        all, from scratch."""
        reference, numbers = self._pool.reference, self._pool.layout.numbers
        starts = reference[rng.choice(len(reference), min(self.settings.num_restarts, len(reference)), replace=False)]
        starts[0] = self._pool.vectors(self._best_specs(self._observed.ranked(self.goals))[:1])[0]
        optima = ascend(self._acquisition, starts, reference.amin(0), reference.amax(0))
        distances = torch.cdist(optima[:, numbers], free.vectors[:, numbers])
        snapped = []
        for row in distances[: len(free)]:
            snapped.append(int(row.argmin()))
            distances[:, snapped[-1]] = torch.inf
        with torch.no_grad():
            order = self._acquisition(free.vectors[snapped]).argsort(descending=True, stable=True)
        candidates = [self._with_origin(free.specs[snapped[place]], "optimized") for place in order.tolist()]
        return next((one for one in candidates if one.origin.kind != "scratch"), candidates[0])

    def _acquisition(self, X: Tensor) -> Tensor:
        model, expected = self._expecting(), self.settings.acquisition == "log_ei"
        if not self.goals.is_plain:
            value = self._steered().value(X, expected=expected)
        elif expected:
            best = max(self._observed.mean(graph_hash) for graph_hash in self._observed.scores)
            value = log_expected_improvement(model, X, best=best)
        else:
            refine = self._phase == "refine"
            value = upper_confidence(model, X, confidence=self.settings.confidence, aleatoric=refine)
        costs = self._observed.costs
        if not self.settings.cost_aware or not costs:
            return value
        trained = self._vectors([self._observed.specs[graph_hash] for graph_hash in costs])
        seconds = torch.tensor(list(costs.values()), dtype=torch.float64)
        return value - log_cost(trained, seconds, self._pool.layout, X)

    def _with_origin(self, spec: ModelSpec, proposed_by: str) -> Candidate:
        """The nearest parent with enough overlap as origin, else scratch."""
        if "transfer" in self.settings.origins:
            trained = (self._observed.specs[parent_hash] for parent_hash in sorted(self._observed.parents))
            if parents := [parent for parent in trained if parent.format == spec.format]:
                columns = self._pool.layout.embedding_columns
                offsets = self._vectors(parents)[:, columns] - self._pool.vectors([spec])[:, columns]
                for place in offsets.square().sum(1).argsort(stable=True)[:_NEAREST_PARENTS].tolist():
                    if self._overlap(parents[place], spec) >= self.settings.min_overlap:
                        return Candidate(spec, Origin("transfer", parents[place].hash), proposed_by)
        return Candidate(spec, Origin(), proposed_by)

    def _steered(self) -> Steering:
        """The acquisition of several objectives, or under limits."""
        if self._steering is None:
            known = self._observed.values(self.goals)
            if self._num_told >= self.settings.num_init:
                self._observed.check_measured(self.goals)
            waiting = [candidate.spec for candidate in self._pending.values()]
            seen = self._pool.vectors([self._observed.specs[graph_hash] for graph_hash in known])
            self._steering = Steering(
                self.goals,
                self._pool.layout,
                self._expecting(),
                cost_models(self.goals, seen, list(known.values()), self._pool.layout),
                torch.cat([seen, self._pool.vectors(waiting)]) if waiting else seen,
                torch.tensor([values[SCORE] for values in known.values()], dtype=torch.float64),
                self._pool.worst(),
                confidence=self.settings.confidence,
                aleatoric=self._phase == "refine",
            )
        return self._steering

    def _best_specs(self, ranked: Sequence[str]) -> list[ModelSpec]:
        """The first of some hashes, as specs."""
        most = _MUTATED_FRONT if self.goals.costs else _MUTATED
        return [self._observed.specs[graph_hash] for graph_hash in ranked[:most]]

    def _fitted(self) -> Surrogate:
        """The surrogate of what is observed."""
        if self._surrogate is None:
            self._surrogate = self._fit(*self._measured())
        return self._surrogate

    def _expecting(self) -> Surrogate:
        """The surrogate with the candidates in training too, as if they would score what is predicted."""
        if not self._pending:
            return self._fitted()
        if self._believing is None:
            X, Y = self._measured()
            waiting = self._vectors([candidate.spec for candidate in self._pending.values()])
            with torch.no_grad():
                believed = self._fitted().moments(waiting).mean
            self._believing = self._fit(torch.cat([X, waiting]), torch.cat([Y, believed]))
        return self._believing

    def _measured(self) -> tuple[Tensor, Tensor]:
        """Vectors (N, K) and scores (N,), one row per measurement."""
        specs, scores = self._observed.chosen(self.settings.num_fitted)
        return self._vectors(specs), torch.tensor(scores, dtype=torch.float64)

    def _vectors(self, specs: Sequence[ModelSpec]) -> Tensor:
        """(N, K) of architectures that are asked for again and again."""
        new = list({spec.hash: spec for spec in specs if spec.hash not in self._known}.values())
        if new:
            self._known |= zip((spec.hash for spec in new), self._pool.vectors(new), strict=True)
        return torch.stack([self._known[spec.hash] for spec in specs])

    def _forget(self, *, observed: bool) -> None:
        """Surrogates are fitted anew when needed."""
        self._believing = self._steering = None
        if observed:
            self._surrogate = None

    def _fit(self, X: Tensor, Y: Tensor) -> Surrogate:
        sample = np.random.default_rng(self.seed).permutation(len(self._pool.reference))[:LANDSCAPE_SAMPLE]
        return fit_surrogate(
            self.settings.surrogate,
            X,
            Y,
            unlabelled=self._pool.reference[sample],
            seed=self.seed,
            layout=self._pool.layout,
        )
