"""Searchers by name: ``boshnas`` with its defaults, ``boshnas-<surrogate>``, and the controls."""

import math
from collections.abc import Callable

from design_space.files import nearest_name

from ..boshnas import BOSHNAS
from ..candidate import Candidate
from ..settings import BOSHNASSettings
from ..surrogates import SURROGATES
from .controls import Evolution, Forest, GaussianProcess, LocalSearch, RandomSearch, TreeParzen
from .pool import Pool, Searcher

CONTROLS: dict[str, Callable[[Pool, int], Searcher]] = {
    "gp": GaussianProcess,
    "forest": Forest,
    "tpe": TreeParzen,
    "evolution": Evolution,
    "local": LocalSearch,
    "random": RandomSearch,
}

SEARCHERS = ("boshnas", *(f"boshnas-{name}" for name in SURROGATES), *CONTROLS)

_NEEDS_LIBRARY = ("gp",)


def needs_library(name: str) -> bool:
    """Whether a searcher works on vectors, which take time to measure."""
    return name in _NEEDS_LIBRARY or name.startswith("boshnas")


def make_searcher(name: str, pool: Pool, *, seed: int, num_queries: int) -> Searcher:
    """The searcher of this name. Raises ``ValueError`` for a name not in ``SEARCHERS``."""
    if name not in SEARCHERS:
        raise ValueError(f"Unknown searcher '{name}'. {nearest_name(name, SEARCHERS)}")
    if name in CONTROLS:
        return CONTROLS[name](pool, seed)
    _, _, surrogate = name.partition("-")
    chosen = {"surrogate": surrogate} if surrogate else {}
    # A fixed number of queries is compared: the convergence rule, which saves trainings, is out of reach.
    return _OverPool(pool, seed, BOSHNASSettings(patience=num_queries + 1, **chosen))  # type: ignore[arg-type]


class _OverPool:
    """BOSHNAS, architectures as numbers."""

    def __init__(self, pool: Pool, seed: int, settings: BOSHNASSettings) -> None:
        assert pool.library is not None
        self._positions = pool.positions
        self._boshnas = BOSHNAS(pool.library, seed=seed, settings=settings)
        self._asked: dict[int, Candidate] = {}

    def ask(self) -> int | None:
        candidates = self._boshnas.ask(1)
        if not candidates:
            return None
        index = self._positions[candidates[0].spec.hash]
        self._asked[index] = candidates[0]
        return index

    def tell(self, index: int, score: float) -> None:
        if math.isnan(score):
            self._boshnas.tell_failed(self._asked.pop(index))
        else:
            self._boshnas.tell(self._asked.pop(index), score)
