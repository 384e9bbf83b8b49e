"""What a search is for: the score, further objectives that should be small, and limits that must be kept.

An objective is *exact* when the spec alone tells it (parameters, FLOPs, size of the file): it is computed, never
predicted. All others are measured with the score, and modelled. Shapes: N architectures, M objectives, E exact
objectives.
"""

import functools
import math
from collections.abc import Callable, Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
import numpy.typing as npt
import torch

from design_space import ModelSpec
from flexibert import cost_of, file_sizes_mb

Array = npt.NDArray[np.float64]
Exact = Callable[[Sequence[ModelSpec]], Array]
Values = Mapping[str, float]
Key = TypeVar("Key", bound=Hashable)

SCORE = "score"


def exact_costs(
    config: Any = None, *, length: int = 128, num_outputs: int = 0, pooler: bool = True, runtime: str = "torch"
) -> dict[str, Exact]:
    """What a spec alone tells: ``parameters``, ``flops`` of a forward pass over one sequence, and ``size_mb`` of the
    file of weights.

    Args:
        config: a ``FlexiBERTConfig`` for vocabulary and positions; None for its defaults.
        length: tokens of the sequence.
        num_outputs: of the task's head, whose weights count as parameters; 0 for the encoder alone.
        pooler: whether the model has one.
        runtime: whose file's size is meant.
    """

    return {
        "parameters": functools.partial(
            _parameters, config=config, length=length, num_outputs=num_outputs, pooler=pooler
        ),
        "flops": functools.partial(_flops, config=config, length=length, pooler=pooler),
        "size_mb": functools.partial(
            file_sizes_mb, config=config, runtime=runtime, num_outputs=num_outputs, pooler=pooler
        ),
    }


@dataclass(frozen=True, kw_only=True)
class Goals:
    """What is wanted.

    Attributes:
        objectives: ``score``, which should be high, and any others, which should be low.
        constraints: the most that an objective may be, in its unit; it need not be among ``objectives``.
        exact: objectives that the spec tells, by name.

    Raises:
        ValueError: when built without ``score``, with a name twice, or with a limit that is no positive number.
    """

    objectives: tuple[str, ...] = (SCORE,)
    constraints: Mapping[str, float] = field(default_factory=dict)
    exact: Mapping[str, Exact] = field(default_factory=exact_costs)

    def __post_init__(self) -> None:
        problems = []
        if SCORE not in self.objectives:
            problems.append(f"'objectives' must include 'score'. Got {', '.join(self.objectives) or 'nothing'}")
        if len(set(self.objectives)) < len(self.objectives):
            problems.append(f"'objectives' must be different. Got {', '.join(self.objectives)}")
        if SCORE in self.constraints:
            problems.append("'constraints' are upper limits of what should be low; the score has none")
        problems += [
            f"The limit of '{name}' in 'constraints' must be a finite number above 0. Got {limit}"
            for name, limit in self.constraints.items()
            if not (math.isfinite(limit) and limit > 0)
        ]
        if problems:
            raise ValueError("\n  - ".join(["Problems in what is searched for:", *problems]))

    @property
    def is_single_unconstrained(self) -> bool:
        """Whether the score is all that counts."""
        return self.objectives == (SCORE,) and not self.constraints

    @property
    def costs(self) -> tuple[str, ...]:
        """The objectives that should be low."""
        return tuple(name for name in self.objectives if name != SCORE)

    @property
    def analytic(self) -> tuple[str, ...]:
        """The exact ones among objectives and constraints."""
        return tuple(name for name in self._quantities if name in self.exact)

    @property
    def measured(self) -> tuple[str, ...]:
        """Those among objectives and constraints that must be measured."""
        return tuple(name for name in self._quantities if name not in self.exact)

    @property
    def _quantities(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys([*self.costs, *self.constraints]))

    def columns(self, specs: Sequence[ModelSpec]) -> Array:
        """(N, E), the ``analytic`` objectives of some architectures."""
        if not self.analytic or not len(specs):
            return np.empty((len(specs), len(self.analytic)))
        return np.column_stack([self.exact[name](specs) for name in self.analytic])

    def is_feasible(self, columns: Array) -> npt.NDArray[np.bool_]:
        """(N,), of ``columns`` (N, E): whether no exact limit is broken."""
        limits = np.array([self.constraints.get(name, math.inf) for name in self.analytic])
        return np.all(columns <= limits, axis=1)

    def values(self, spec: ModelSpec, measured: Values) -> dict[str, float]:
        """What is known of an architecture's objectives and limited quantities: the exact ones computed, whatever was
        measured; without the score."""
        known = {name: measured[name] for name in self.measured if name in measured}
        return known | dict(zip(self.analytic, self.columns([spec])[0].tolist(), strict=True))

    def constraint_violation(self, values: Values) -> float:
        """By how much limits are broken, as shares of them, summed; 0 when all are kept, infinite when a limited
        quantity is unknown."""
        excess = [values.get(name, math.inf) / limit - 1 for name, limit in self.constraints.items()]
        return sum(max(0.0, one) for one in excess)

    def front(self, values: Mapping[Key, Values]) -> list[Key]:
        """Keys of what keeps the limits and is beaten by no other that does in all objectives, the highest score
        first. One with an unknown objective is not among them."""
        costs = self.costs
        able = [
            key
            for key, of in values.items()
            if self.constraint_violation(of) == 0
            and all(math.isfinite(of.get(name, math.nan)) for name in self.objectives)
        ]
        if not able:
            return []
        gains = np.array([[of[SCORE], *(-of[name] for name in costs)] for of in map(values.__getitem__, able)])
        best = [able[place] for place in np.flatnonzero(nondominated_ranks(gains, most=1) == 0)]
        return sorted(best, key=lambda key: -values[key][SCORE])[: None if costs else 1]

    def ranked(self, values: Mapping[Key, Values]) -> list[Key]:
        """All keys with a score: the front, the others that keep the limits by score, then those that do not by how
        little they break them; of equal ones the earlier."""
        front = self.front(values)
        rest = [key for key in values if key not in set(front)]
        return front + sorted(rest, key=lambda key: (self.constraint_violation(values[key]), -values[key][SCORE]))


def nondominated_ranks(gains: Array, most: int | None = None) -> npt.NDArray[np.int64]:
    """(N,) of finite gains (N, M), all of which should be high: 0 for those that no other beats, 1 for those that only
    these beat, and so on. To beat is to be as good in all and better in one.

    Args:
        most: ranks are told apart up to this one.
    """
    from botorch.utils.multi_objective.pareto import is_non_dominated  # ``--help`` needs no BoTorch

    ranks, left = np.zeros(len(gains), dtype=np.int64), np.arange(len(gains))
    while len(left) and (most is None or ranks[left[0]] < most):
        left = left[~is_non_dominated(torch.from_numpy(gains[left]), deduplicate=False).numpy()]
        ranks[left] += 1
    return ranks


def parse_limit(text: str) -> tuple[str, float]:
    """``parameters<=2e6`` or ``parameters=2e6`` as name and limit. Raises ``ValueError`` for anything else."""
    name, _, number = text.partition("<=" if "<=" in text else "=")
    try:
        limit = float(number)
    except ValueError:
        limit = math.nan
    if not name.strip().isidentifier() or not (math.isfinite(limit) and limit > 0):
        raise ValueError(f"must be written like parameters=2e6 (at most 2 million), above 0. Got {text!r}")
    return name.strip(), limit


def _parameters(specs: Sequence[ModelSpec], *, config: Any, length: int, num_outputs: int, pooler: bool) -> Array:
    heads = np.array([num_outputs * (spec.layers[-1].hidden_size + 1) for spec in specs], dtype=float)
    return cost_of(specs, length, config, pooler=pooler).parameters + heads


def _flops(specs: Sequence[ModelSpec], *, config: Any, length: int, pooler: bool) -> Array:
    return cost_of(specs, length, config, pooler=pooler).flops_per_token * length
