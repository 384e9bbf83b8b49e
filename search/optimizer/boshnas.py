"""BOSHNAS as ask/tell: Bayesian optimisation over architectures (after Tuli et al. 2022, section 3.3, algorithm 2).

``ask`` gives candidates, ``tell`` takes scores (higher is better). First come ``num_init`` architectures, some the
largest there are, the others spread over the space, trained from scratch. Then every proposal is, with probability
1 - α - β, the best candidate by the acquisition; with α the one of highest epistemic uncertainty; with β one that
spreads over the space (Sobol).

Of a library every graph is a candidate. Of a space too large to list, each proposal weighs Sobol points and mutations
of the best so far. The original climbs the acquisition over the vectors and snaps the optimum to a graph: that is
``second_order``. The most promising architectures, with every origin that each can have, and the offspring of the best
(``origins.py``) are then weighed against each other.

With several objectives or limits (``objectives.py``), the best are the front of what keeps the limits, and the
acquisition is that of ``constrained_multi_objective.py``. What is known to break a limit is never proposed. An
objective that is missing from a measurement is predicted from the others.

The best not changing for ``patience`` optimisation steps starts a second phase, with aleatoric uncertainty in
the acquisition (and, by the trainer, a recipe tuned twice as hard); not changing for ``patience`` more ends the
search. Nothing here does I/O or knows Ray.

Everything random comes from the seed and the number of proposals so far: the same history gives the same next
candidate in every process.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
import torch
from torch import Tensor

from design_space import DesignSpace, Level, ModelSpec, Subarchitectures
from embeddings import GraphLibrary
from flexibert.morphisms.registry import Overlap

from ..acquisition.newton import ascend
from ..candidate import Candidate, Origin
from ..objectives import SCORE, Exact, Goals, exact_costs
from ..pools.joint_pool import JointPool
from ..pools.library_pool import Candidates, LibraryPool, Pool
from ..pools.screened_pool import ScreenedPool
from ..pools.space_pool import SpacePool
from ..surrogates import single_thread
from .observations import check_measurement
from .origins import Origins
from .settings import BOSHNASSettings
from .surrogate_state import SurrogateState

LISTED = 10_000
"""Members of a design space up to which it is made a library."""

_NUM_INCUMBENTS = 5
"""How many of the best are mutated, and may have children."""

_NUM_INCUMBENTS_FRONT = 20
"""The same, where the best are a front."""

_NEAREST_PARENTS = 10
"""How many of the nearest trained architectures are looked at for a parent."""

_SHORTLIST_SIZE = 10
"""How many of the most promising architectures are weighed with all their origins."""


class BOSHNAS:
    """The searcher.

    Args:
        library: what is searched. Of a ``DesignSpace`` (at two layers per stack) or a ``Level`` of up to ``LISTED``
            members, a library is built of the first; larger ones are searched without listing them, and so are
            ``Subarchitectures``. Of architectures that were screened, what each scored before it was trained: no others
            are proposed.
        also: what is searched together with a library.
        overlap: share of the second spec's parameters that the first one's weights can fill
            (``flexibert.transfer_overlap``); without it nothing is transferred.
        objectives: ``score``, and others that should be low.
        constraints: upper limits, for example ``{"parameters": 2e6, "latency_ms": 10}``.
        exact: objectives computed from specs, by name (``exact_costs`` by default); any other one must be told.
        roots: pre-trained encoders by name, no two of one architecture: they are proposed first, and what inherits from
            them when the first of them is trained.

    Raises:
        ValueError: for objectives or constraints that make no sense, or that no architecture keeps.
    """

    def __init__(
        self,
        library: GraphLibrary | DesignSpace | Level | Subarchitectures | Mapping[ModelSpec, float],
        *,
        also: Subarchitectures | None = None,
        seed: int = 0,
        settings: BOSHNASSettings | None = None,
        overlap: Overlap | None = None,
        objectives: Sequence[str] = (SCORE,),
        constraints: Mapping[str, float] | None = None,
        exact: Mapping[str, Exact] | None = None,
        roots: Mapping[str, ModelSpec] | None = None,
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
        self._pool = _pool_of(library, also, self.settings, self.goals)
        self._roots = dict(roots or {})
        self._origins = Origins(self.settings.origins, overlap, self.settings.min_overlap)
        self._state = SurrogateState(self.settings, self.goals, self._pool, self._origins, seed)
        self._observed, self._pending = self._state.observed, self._state.pending
        self._num_proposed = 0
        self._tried: set[str] = set()
        self._num_told = 0
        self._steps_since_best = 0
        self._phase = "explore"

    @property
    def phase(self) -> str:
        """``explore``, then ``refine`` (aleatoric uncertainty counts), then ``converged``."""
        return self._phase

    @property
    def best(self) -> tuple[ModelSpec, float] | None:
        """The architecture with the highest (mean) score so far, of those known to keep all constraints."""
        known = self._observed.values(self.goals)
        able = [graph_hash for graph_hash, values in known.items() if self.goals.constraint_violation(values) == 0]
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
            self.register_pending(candidate)
            candidates.append(candidate)
        return candidates

    def register_pending(self, candidate: Candidate) -> None:
        """Count a candidate as proposed: what ``ask`` does, and what a resumed run does for those of the journal."""
        self._pending[candidate.spec.hash] = candidate
        self._num_proposed += 1
        self._tried.add(candidate.origin.name)
        self._state.invalidate(observed=False)

    def tell(
        self,
        candidate: Candidate,
        score: float,
        *,
        cost_s: float | None = None,
        objectives: Mapping[str, float] | None = None,
        error: float | None = None,
    ) -> None:
        """Take a candidate's score; it may become a parent. One that was never asked for is welcome.

        Args:
            score: one that is not finite counts as a failure; a second one of the same architecture is averaged.
            cost_s: of the training; used when ``cost_aware``.
            objectives: measured values by name. Exact ones are computed, whatever is told.
            error: the standard error of the score; 0 or None where it is not known. Used with ``known_noise``.

        Raises:
            ValueError: for a cost, an objective or an error that is not finite.
        """
        if not math.isfinite(score):
            self.tell_failed(candidate)
            return
        check_measurement(cost_s, objectives, error)
        leaders = self._observed.leaders(self.goals)
        self._pending.pop(candidate.spec.hash, None)
        self._observed.add(candidate, score, parent=True, cost_s=cost_s, objectives=objectives, error=error or 0.0)
        self._num_told += 1
        self._state.invalidate(observed=True)
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
        self._state.invalidate(observed=True)

    def add_prior_observation(
        self, spec: ModelSpec, score: float, *, parent: bool, origin: Origin | None = None
    ) -> None:
        """A score measured elsewhere, for instance on an earlier level; ``parent`` when its weights are at hand; from
        scratch where no origin is told."""
        self._observed.add(Candidate(spec, origin or Origin()), score, parent=parent)
        self._state.invalidate(observed=True)

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

    def predict(self, spec: ModelSpec, origin: Origin | None = None) -> tuple[float, float, float]:
        """Mean, epistemic and aleatoric standard deviation of an architecture's score, from scratch where no origin is
        given. Raises ``ValueError`` before the first score."""
        if not len(self._observed):
            raise ValueError("Nothing to predict from: no score has been told")
        moments = self._state.fitted().predict_moments(self._state.vectors([Candidate(spec, origin or Origin())]))
        return tuple(float(moment) for moment in moments)  # type: ignore[return-value]

    def _propose(self) -> Candidate | None:
        rng = np.random.default_rng([self.seed, self._num_proposed])
        evaluated = self._observed.scores.keys() | self._pending.keys() | self._observed.failed
        settings = self.settings
        for name, root in self._roots.items():
            if root.hash not in evaluated:
                return Candidate(root, Origin("pretrained", model=name), "initial")
        if self._roots and not self._observed.parents:
            return None  # until there is something to inherit from
        if len(self._observed) + len(self._pending) < settings.num_init or not len(self._observed):
            return self._initial(evaluated)
        if self._num_told >= settings.num_init and not self.goals.is_single_unconstrained:
            self._observed.check_measured(self.goals)
        draw = rng.random()
        if settings.alpha <= draw < settings.alpha + settings.beta:
            spec = self._pool.sobol_candidate(self._num_proposed, self.seed, evaluated)
            return None if spec is None else self._best_of(self._with_origins([spec], "diverse"))
        candidates = self._pool.candidates(evaluated, self._incumbents(self._observed.ranked(self.goals)), rng)
        if not len(candidates):
            return self._best_of(self._offspring(evaluated))
        if draw < settings.alpha:
            with torch.no_grad():
                moments = self._state.with_fantasies().predict_moments(self._state.from_scratch(candidates.vectors))
            return self._best_of(self._with_origins([candidates.specs[int(moments.epistemic.argmax())]], "uncertain"))
        shortlist = self._snapped_optima(candidates, rng) if settings.second_order else self._most_promising(candidates)
        return self._best_of(self._with_origins(shortlist, "optimized") + self._offspring(evaluated))

    def _acquisition_value(self, X: Tensor, *, per_second: bool = False) -> Tensor:
        return self._state.acquisition_value(X, refine=self._phase == "refine", per_second=per_second)

    def _most_promising(self, candidates: Candidates) -> list[ModelSpec]:
        """The best to train from scratch; where origins or seconds count too, more of these, and the nearest to each of
        the best trained ones, which can inherit most."""
        with torch.no_grad():
            values = self._acquisition_value(self._state.from_scratch(candidates.vectors))
        if not self._origins.num_columns and not self._state.is_cost_aware:
            return [candidates.specs[int(values.argmax())]]
        places = values.topk(min(_SHORTLIST_SIZE, len(candidates))).indices.tolist()
        if parents := self._incumbents(self.trained):
            columns = self._pool.layout.embedding_columns
            distances = torch.cdist(self._state.of_specs(parents)[:, columns], candidates.vectors[:, columns])
            places += distances.argmin(1).tolist()
        return [candidates.specs[place] for place in dict.fromkeys(places)]

    def _snapped_optima(self, candidates: Candidates, rng: np.random.Generator) -> list[ModelSpec]:
        """The architectures nearest to the optima that are climbed to."""
        reference, numbers = self._pool.reference, self._pool.layout.numbers
        starts = reference[rng.choice(len(reference), min(self.settings.num_restarts, len(reference)), replace=False)]
        starts[0] = self._pool.vectors(self._incumbents(self._observed.ranked(self.goals))[:1])[0]
        optima = ascend(
            lambda X: self._acquisition_value(self._state.from_scratch(X)), starts, reference.amin(0), reference.amax(0)
        )
        distances = torch.cdist(optima[:, numbers], candidates.vectors[:, numbers])
        snapped = []
        for row in distances[: len(candidates)]:
            snapped.append(int(row.argmin()))
            distances[:, snapped[-1]] = torch.inf
        return [candidates.specs[place] for place in snapped]

    def _with_origins(self, specs: Sequence[ModelSpec], proposed_by: str) -> list[Candidate]:
        """Each from scratch, and with weights of the nearest parents, of its own format and of the other one."""
        candidates = [Candidate(spec, Origin(), proposed_by) for spec in specs if self._may_be_from_scratch(spec)]
        trained = [self._observed.specs[graph_hash] for graph_hash in sorted(self._observed.parents)]
        parents = [parent for parent in trained if not parent.groups]
        if not parents or not self._origins.num_columns:
            return candidates
        columns = self._pool.layout.embedding_columns
        distances = torch.cdist(self._state.of_specs(specs)[:, columns], self._state.of_specs(parents)[:, columns])
        for spec, order in zip(specs, distances.argsort(stable=True).tolist(), strict=True):
            ordered = [parents[place] for place in order]
            alike, others = ([one for one in ordered if (one.format == spec.format) is same] for same in (True, False))
            nearest = [*alike[:_NEAREST_PARENTS], *others[:_NEAREST_PARENTS]]
            candidates += [Candidate(spec, origin, proposed_by) for origin in self._origins.inheriting(spec, nearest)]
        return candidates

    def _offspring(self, evaluated: set[str]) -> list[Candidate]:
        """Architectures made of the best trained ones that break no exact limit; none beside those that were
        screened."""
        if isinstance(self._pool, ScreenedPool):
            return []
        single = [graph_hash for graph_hash in self.trained if not self._observed.specs[graph_hash].groups]
        offspring = self._origins.offspring(self._incumbents(single))
        offspring = [child for child in offspring if child.spec.hash not in evaluated]
        feasible = self.goals.is_feasible(self.goals.columns([child.spec for child in offspring]))
        return [child for child, keeps in zip(offspring, feasible, strict=True) if keeps]

    def _best_of(self, candidates: Sequence[Candidate]) -> Candidate | None:
        """By the acquisition; of a morphism that has never been tried, while there is one: nothing is known of it. None
        of none."""
        tried = self._tried | {origin.name for origin in self._observed.origins.values()}
        candidates = [one for one in candidates if one.origin.name not in tried] or candidates
        if len(candidates) <= 1:
            return next(iter(candidates), None)
        vectors = self._state.vectors(candidates)
        with torch.no_grad():
            return candidates[int(self._acquisition_value(vectors, per_second=True).argmax())]

    def _initial(self, evaluated: set[str]) -> Candidate | None:
        num_largest = min(self.settings.num_largest, self.settings.num_init // 2)
        if self._num_proposed < num_largest:
            spec = self._pool.largest(evaluated)
        else:
            spec = self._pool.sobol_candidate(self._num_proposed, self.seed, evaluated)
        if spec is None or self._may_be_from_scratch(spec):
            return None if spec is None else Candidate(spec, Origin(), "initial")
        return self._best_of(self._with_origins([spec], "initial"))

    def _may_be_from_scratch(self, spec: ModelSpec) -> bool:
        """Parts of pre-trained encoders inherit from these, or from what came of them."""
        is_of_library = not self._roots or (self.library is not None and spec.hash in self.library)
        return is_of_library and "scratch" in self.settings.origins

    def _incumbents(self, ranked: Sequence[str]) -> list[ModelSpec]:
        """The first of some hashes, as specs."""
        most = _NUM_INCUMBENTS_FRONT if self.goals.costs else _NUM_INCUMBENTS
        return [self._observed.specs[graph_hash] for graph_hash in ranked[:most]]


def _pool_of(
    library: GraphLibrary | Level | Subarchitectures | Mapping[ModelSpec, float],
    also: Subarchitectures | None,
    settings: BOSHNASSettings,
    goals: Goals,
) -> Pool:
    """The pool of what is searched."""
    if isinstance(library, Mapping):
        return ScreenedPool(library, goals)
    listed: Sequence[ModelSpec] = ()
    space: Level | Subarchitectures
    if isinstance(library, GraphLibrary):
        if also is None:
            return LibraryPool(library, goals)
        listed, space = library.specs, also
    elif also is None:
        space = library
    else:
        raise ValueError(
            f"'also' is searched together with a library. Got a {type(library).__name__} of {library.size:,} "
            "architectures; build a GraphLibrary of a sample of it"
        )
    pool = SpacePool(
        space,
        num_samples=settings.num_samples,
        num_mutations=settings.num_mutations,
        goals=goals,
        beside=listed,
        has_profiles=isinstance(space, Subarchitectures),
    )
    return JointPool(listed, pool) if listed else pool
