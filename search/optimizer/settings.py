"""Every constant of the search, as a named setting."""

from dataclasses import dataclass

from ..candidate import origin_names
from ..objectives import Goals
from ..surrogates import SURROGATES

ACQUISITIONS = ("ucb", "log_ei")


@dataclass(frozen=True, kw_only=True)
class BOSHNASSettings:
    """Settings of ``BOSHNAS``. Defaults are what measured best over several tables (docs/search.md); settings of the
    original that did not pay are off.

    Attributes:
        num_init: architectures trained from scratch first.
        num_largest: how many of these are the ones with most parameters; at most half. The others spread over the
            space.
        alpha, beta: probabilities of uncertainty and of diversity sampling.
        acquisition: ``ucb``, or ``log_ei`` (expected improvement); of several objectives the optimistic hypervolume,
            or the expected one (qNEHVI).
        confidence: c of the upper confidence bound, ``mean + c * deviation``.
        second_order: propose optima of the acquisition over the vectors, climbed to from ``num_restarts`` starts by
            Newton steps and snapped to an architecture, instead of the best of all candidates.
        cost_aware: of the most promising candidates, train the one of highest expected improvement per second of
            predicted training time; for one objective. Seconds are measured, so that equal searches may differ.
        num_samples: architectures drawn per proposal from a space too large to list.
        num_mutations: mutations of the best ones, per proposal, in such a space.
        min_overlap: least share of a candidate's parameters that a parent must fill for a transfer to be weighed.
        patience: optimisation steps without a new best that end a phase.
        surrogate: a name of ``SURROGATES``.
        num_fitted: architectures that the surrogate learns from at most: the best ones, and of the others as many,
            spread evenly over their ranks.
        origins: morphisms that may be proposed; ``scratch`` is always among them. Of those that make architectures
            (``prune``, ``stitch``, ``merge``, a plugin's) the offspring of the best trained are candidates beside the
            space's members; the default keeps to these, ``run_boshnas`` allows all.
    """

    num_init: int = 10
    num_largest: int = 5
    alpha: float = 0.0
    beta: float = 0.0
    acquisition: str = "ucb"
    confidence: float = 2.0
    second_order: bool = False
    num_restarts: int = 10
    cost_aware: bool = False
    num_samples: int = 1000
    num_mutations: int = 1000
    min_overlap: float = 0.8
    patience: int = 5
    surrogate: str = "features"
    num_fitted: int = 1000
    origins: tuple[str, ...] = ("scratch", "transfer")

    def __post_init__(self) -> None:
        problems = [
            f"'{name}' must be at least {least}. Got {getattr(self, name)}"
            for name, least in (
                ("num_init", 1),
                ("num_largest", 0),
                ("num_restarts", 1),
                ("num_samples", 1),
                ("num_mutations", 0),
                ("patience", 1),
                ("num_fitted", 2),
                ("confidence", 0),
            )
            if not getattr(self, name) >= least
        ]
        if not (0 <= self.alpha and 0 <= self.beta and self.alpha + self.beta <= 1):
            problems.append(
                f"'alpha' and 'beta' must be probabilities that add up to at most 1. Got {self.alpha}, {self.beta}"
            )
        if not 0 <= self.min_overlap <= 1:
            problems.append(f"'min_overlap' must be in [0, 1]. Got {self.min_overlap}")
        if self.surrogate not in SURROGATES:
            problems.append(f"'surrogate' must be one of {', '.join(SURROGATES)}. Got {self.surrogate!r}")
        if self.acquisition not in ACQUISITIONS:
            problems.append(f"'acquisition' must be one of {', '.join(ACQUISITIONS)}. Got {self.acquisition!r}")
        if unknown := [name for name in self.origins if name not in origin_names()]:
            problems.append(f"'origins' must be among {', '.join(origin_names())}. Got {', '.join(unknown)}")
        if "scratch" not in self.origins:
            problems.append("'origins' must include 'scratch': the first models have no parent")
        if problems:
            raise ValueError("\n  - ".join(["Problems in the settings of BOSHNAS:", *problems]))

    def check_goals(self, goals: Goals) -> None:
        """Raises ``ValueError`` where these settings do not fit what is searched for."""
        if self.second_order and not goals.is_single_unconstrained:
            raise ValueError("'second_order' climbs the score alone: it needs one objective and no constraints")
        if self.cost_aware and goals.costs:
            raise ValueError("'cost_aware' needs one objective: an improvement of several has no price in seconds")
