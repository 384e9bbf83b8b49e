"""What can be set of the search, as named settings."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from design_space.options import NO_SWITCH, Count, Natural, NonNegative, OneOf, Share, Switch, options
from flexibert import MORPHISMS

from ..objectives import Goals
from ..surrogates import SURROGATES


@options
class BOSHNASSettings:
    """Settings of ``BOSHNAS``. Defaults are what measured best over the suite (docs/results/search.md); settings of the
    original that did not pay are off."""

    num_init: Count = 6
    """Architectures trained from scratch first."""
    num_largest: Natural = 1
    """How many of these are the ones with most parameters; at most half. The others spread over the space."""
    alpha: Share = 0.0
    """Probability of uncertainty sampling."""
    beta: Share = 0.0
    """Probability of diversity sampling."""
    acquisition: Literal["ucb", "log_ei"] = "ucb"
    """Upper confidence bound, or expected improvement; of several objectives the optimistic hypervolume, or the
    expected one (qLogNEHVI)."""
    confidence: NonNegative = 1.0
    """C of the upper confidence bound, mean + c * deviation."""
    second_order: Switch = False
    """Propose optima of the acquisition over the vectors, climbed to by Newton steps and snapped to an
    architecture, instead of the best of all candidates."""
    num_restarts: Count = 10
    """Starts from which these optima are climbed to."""
    cost_aware: Switch = False
    """Of the most promising candidates, train the one of highest expected improvement per predicted second."""
    num_samples: Count = 500
    """Architectures drawn per proposal from a space too large to list."""
    num_mutations: Natural = 500
    """Mutations of the best ones, per proposal, in such a space."""
    min_overlap: Share = 0.8
    """Share of parameters a parent must fill for a transfer."""
    patience: Count = 5
    """Optimisation steps without a new best that end a phase."""
    surrogate: Annotated[str, OneOf(SURROGATES)] = "mixture"
    """Model of the score."""
    known_noise: Switch = False
    """Gaussian processes take the standard error of each score as known noise, beside the noise that they find."""
    num_fitted: Annotated[int, Field(ge=2), NO_SWITCH] = 1000
    """Architectures that the surrogate learns from at most: the best ones, and of the others as many, spread evenly
    over their ranks."""
    origins: tuple[Annotated[str, OneOf(MORPHISMS)], ...] = ("scratch", "transfer")
    """Kinds of first weights that may be proposed; prune, stitch and merge make children of the best trained, which
    need not be members of the library: 'scratch transfer' keeps to these."""

    @model_validator(mode="after")
    def _check(self) -> "BOSHNASSettings":
        if self.alpha + self.beta > 1:
            raise ValueError(
                f"'alpha' and 'beta' must be probabilities that add up to at most 1. Got {self.alpha}, {self.beta}"
            )
        if not {"scratch", "pretrained"} & {*self.origins}:
            raise ValueError("'origins' must include 'scratch' or 'pretrained': the first models have no parent")
        return self

    def check_goals(self, goals: Goals) -> None:
        """Raises ``ValueError`` where these settings do not fit what is searched for."""
        if self.second_order and not goals.is_single_unconstrained:
            raise ValueError("'second_order' climbs the score alone: it needs one objective and no constraints")
        if self.cost_aware and goals.costs:
            raise ValueError("'cost_aware' needs one objective: an improvement of several has no price in seconds")
