"""What a search has measured: scores by architecture, costs, further objectives, and failures."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np

from design_space import ModelSpec

from ..candidate import Candidate, Origin
from ..objectives import SCORE, Goals


@dataclass
class Observations:
    """Measurements by hash, in the order they came. Repeated ones of an architecture are kept and averaged where one
    number is needed. ``errors``: the standard error of each score; 0 where it is not known."""

    specs: dict[str, ModelSpec] = field(default_factory=dict)
    origins: dict[str, Origin] = field(default_factory=dict)
    scores: dict[str, list[float]] = field(default_factory=dict)
    errors: dict[str, list[float]] = field(default_factory=dict)
    costs: dict[str, float] = field(default_factory=dict)
    objectives: dict[str, dict[str, float]] = field(default_factory=dict)
    parents: set[str] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    _exact: dict[str, dict[str, float]] = field(default_factory=dict)
    _leaders: set[str] | None = None

    def __len__(self) -> int:
        return len(self.scores)

    def add(
        self,
        candidate: Candidate,
        score: float,
        *,
        parent: bool,
        cost_s: float | None = None,
        objectives: Mapping[str, float] | None = None,
        error: float = 0.0,
    ) -> None:
        """A measurement. One that is finite redeems an earlier failure."""
        self._leaders = None
        spec = candidate.spec
        self.specs[spec.hash], self.origins[spec.hash] = spec, candidate.origin
        self.scores.setdefault(spec.hash, []).append(float(score))
        self.errors.setdefault(spec.hash, []).append(float(error))
        self.failed.discard(spec.hash)
        if cost_s is not None:
            self.costs[spec.hash] = float(cost_s)
        if objectives:
            self.objectives.setdefault(spec.hash, {}).update({name: float(v) for name, v in objectives.items()})
        if parent:
            self.parents.add(spec.hash)

    def add_failure(self, spec: ModelSpec) -> None:
        """A training without a score. An architecture with a score stays measured."""
        if spec.hash not in self.scores:
            self.failed.add(spec.hash)

    def mean(self, graph_hash: str) -> float:
        """The mean of an architecture's scores."""
        scores = self.scores[graph_hash]
        return sum(scores) / len(scores)

    def values(self, goals: Goals) -> dict[str, dict[str, float]]:
        """Mean score, and the known objectives and limited quantities, by hash. The exact ones of a spec are computed
        once: of the goals of one search."""
        new = [graph_hash for graph_hash in self.scores if graph_hash not in self._exact]
        columns = goals.columns([self.specs[graph_hash] for graph_hash in new]).tolist()
        self._exact |= {one: dict(zip(goals.analytic, row, strict=True)) for one, row in zip(new, columns, strict=True)}
        known, names = {}, goals.measured
        for graph_hash in self.scores:
            measured = self.objectives.get(graph_hash, {})
            told = {name: measured[name] for name in names if name in measured}
            known[graph_hash] = {SCORE: self.mean(graph_hash)} | told | self._exact[graph_hash]
        return known

    def candidate(self, graph_hash: str) -> Candidate:
        """A measured architecture, with the origin it had last."""
        return Candidate(self.specs[graph_hash], self.origins[graph_hash])

    def chosen(self, most: int) -> list[tuple[Candidate, float, float]]:
        """Every score of at most so many architectures with its error, in the order they came: of the best half as
        many, the others spread evenly over the ranks below."""
        kept = set(self.scores)
        if len(kept) > most:
            ranked = sorted(self.scores, key=lambda graph_hash: -self.mean(graph_hash))
            others = np.linspace(most // 2, len(ranked) - 1, most - most // 2).round().astype(int)
            kept = {*ranked[: most // 2], *(ranked[place] for place in others)}
        return [
            (self.candidate(one), score, error)
            for one, scores in self.scores.items()
            if one in kept
            for score, error in zip(scores, self.errors[one], strict=True)
        ]

    def ranked(self, goals: Goals) -> list[str]:
        """Hashes, the best first; of equal ones the earlier."""
        if goals.is_single_unconstrained:
            return sorted(self.scores, key=lambda graph_hash: -self.mean(graph_hash))
        return goals.ranked(self.values(goals))

    def leaders(self, goals: Goals) -> set[str]:
        """The best, or the front; where nothing keeps the limits, what breaks them least."""
        if self._leaders is None:
            if goals.is_single_unconstrained:
                self._leaders = set(self.ranked(goals)[:1])
            else:
                known = self.values(goals)
                self._leaders = set(goals.front(known) or goals.ranked(known)[:1])
        return self._leaders

    def check_measured(self, goals: Goals) -> None:
        """Raises ``ValueError`` when no measurement has a quantity that steers and cannot be computed."""
        for name in goals.measured:
            if not any(name in measured for measured in self.objectives.values()):
                raise ValueError(
                    f"None of {len(self)} measurements has '{name}', which is searched for. "
                    f"Tell it: tell(candidate, score, objectives={{'{name}': ...}})"
                )


def check_measurement(cost_s: float | None, objectives: Mapping[str, float] | None, error: float | None = None) -> None:
    """Raises ``ValueError`` for a cost, an objective or an error that is no finite number."""
    problems = []
    if cost_s is not None and not (math.isfinite(cost_s) and cost_s >= 0):
        problems.append(f"'cost_s' must be a finite number of seconds. Got {cost_s}")
    if error is not None and not (math.isfinite(error) and error >= 0):
        problems.append(f"'error' must be a finite standard error, 0 where it is not known. Got {error}")
    problems += [
        f"objective '{name}' must be a finite number. Got {value}"
        for name, value in (objectives or {}).items()
        if not math.isfinite(value)
    ]
    if problems:
        raise ValueError("\n  - ".join(["Problems in the measurement of a candidate:", *problems]))
