"""Searchers by name: ``boshnas`` with its defaults, ``boshnas-<surrogate>``, ``boshnas:<setting>=<value>,...``, and the
controls."""

import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from design_space import Level, ModelSpec
from design_space.files import nearest_name, unknown_keys
from design_space.options import options_of, validated

from ..candidate import Candidate
from ..optimizer.boshnas import BOSHNAS
from ..optimizer.settings import BOSHNASSettings
from ..surrogates import SURROGATES
from .controls import (
    Evolution,
    Forest,
    GaussianProcess,
    LocalSearch,
    OptunaGaussianProcess,
    RandomSearch,
    TreeParzen,
)
from .pool import Pool, Searcher
from .space_controls import SPACE_CONTROLS, SpaceSearcher

CONTROLS: dict[str, Callable[[Pool, int], Searcher]] = {
    "gp": GaussianProcess,
    "forest": Forest,
    "tpe": TreeParzen,
    "optuna_gp": OptunaGaussianProcess,
    "evolution": Evolution,
    "local": LocalSearch,
    "random": RandomSearch,
}

SEARCHERS = ("boshnas", *(f"boshnas-{name}" for name in SURROGATES), *CONTROLS)

_NEEDS_LIBRARY = ("gp",)
ONE_OBJECTIVE = ("local", "optuna_gp")
"""Searchers that know the score only."""


def needs_library(name: str) -> bool:
    """Says whether a searcher works on vectors, which take time to measure."""
    return name in _NEEDS_LIBRARY or name.startswith("boshnas")


def check_searcher(name: str, *, num_objectives: int = 1) -> None:
    """Raises ``ValueError`` for a name that is not in ``SEARCHERS``, settings that ``BOSHNASSettings`` refuses, or a
    searcher that cannot do with several objectives."""
    base, _, _ = name.partition(":")
    if base not in SEARCHERS:
        raise ValueError(f"Unknown searcher '{base}'. {nearest_name(base, SEARCHERS)}")
    if num_objectives > 1 and base in ONE_OBJECTIVE:
        raise ValueError(f"The searcher '{base}' knows one objective only. Choose others, or '--objectives score'")
    _settings(name)


def make_searcher(name: str, pool: Pool, *, seed: int, num_queries: int) -> Searcher:
    """Makes the searcher of this name. Raises ``ValueError`` as ``check_searcher`` does."""
    check_searcher(name, num_objectives=1 + len(pool.costs))
    if name in CONTROLS:
        return CONTROLS[name](pool, seed)
    # A fixed number of queries is compared: the convergence rule, which saves trainings, is out of reach.
    return _OverPool(pool, seed, replace(_settings(name), patience=num_queries + 1))


def make_space_searcher(name: str, level: Level, *, seed: int, num_queries: int) -> SpaceSearcher:
    """The same for a space too large to list."""
    check_searcher(name)
    if name in SPACE_CONTROLS:
        return SPACE_CONTROLS[name](level, seed)
    return _OverSpace(level, seed, replace(_settings(name), patience=num_queries + 1))


def _settings(name: str) -> BOSHNASSettings:
    """Reads settings from a name such as ``boshnas-gp:confidence=1,second_order=true``."""
    base, _, options = name.partition(":")
    if base in CONTROLS:
        if options:
            raise ValueError(f"The control '{base}' has no settings. Got {name!r}")
        return BOSHNASSettings()
    surrogate = base.partition("-")[2]
    values: dict[str, Any] = {"surrogate": surrogate} if surrogate else {}
    given = dict(option.partition("=")[::2] for option in filter(None, options.split(",")))
    known = {key: option for key, option in options_of(BOSHNASSettings).items() if not option.takes_several}
    for key, text in given.items():
        is_switch = key in known and known[key].type == "boolean"
        values[key] = {"true": True, "false": False}.get(text, text) if is_switch else text
    return validated(BOSHNASSettings, values, dict.fromkeys(given, repr(name)), unknown_keys(given, known, repr(name)))


class _OverSpace:
    """BOSHNAS with specs in place of candidates."""

    def __init__(self, level: Level, seed: int, settings: BOSHNASSettings) -> None:
        self._boshnas = BOSHNAS(level, seed=seed, settings=settings)
        self._asked: dict[str, Candidate] = {}

    def ask(self) -> ModelSpec:
        (candidate,) = self._boshnas.ask(1)
        self._asked[candidate.spec.hash] = candidate
        return candidate.spec

    def tell(self, spec: ModelSpec, score: float) -> None:
        self._boshnas.tell(self._asked.pop(spec.hash), score)


class _OverPool:
    """BOSHNAS with architectures as numbers."""

    def __init__(self, pool: Pool, seed: int, settings: BOSHNASSettings) -> None:
        assert pool.library is not None
        self._positions = pool.positions
        self._costs = pool.costs
        self._boshnas = BOSHNAS(pool.library, seed=seed, settings=settings, objectives=("score", *pool.costs))
        self._asked: dict[int, Candidate] = {}

    def ask(self) -> int | None:
        candidates = self._boshnas.ask(1)
        if not candidates:
            return None
        index = self._positions[candidates[0].spec.hash]
        self._asked[index] = candidates[0]
        return index

    def tell(self, index: int, score: float, costs: Sequence[float] = ()) -> None:
        if math.isnan(score):
            self._boshnas.tell_failed(self._asked.pop(index))
        else:
            objectives = dict(zip(self._costs, costs, strict=True))
            self._boshnas.tell(self._asked.pop(index), score, objectives=objectives)
