"""What a smaller encoder must keep, and the limits of the levels that lead there."""

import math
from collections.abc import Mapping
from typing import Annotated

from pydantic import Field

from design_space import ModelSpec, Subarchitectures
from design_space.options import NO_SWITCH, Positive, options

from ..tune.runner import LevelRun
from .timing import LATENCY, MARGIN

STEP = 2.25
"""How many times as costly a level is as the next, at most."""

PARAMETERS = "parameters"
Times = Annotated[float, Field(gt=1), NO_SWITCH]


@options
class ShrinkGoals:
    """How much smaller or faster the model must be."""

    faster: Times | None = None
    """Times as fast as the encoder, for one text on one thread."""
    smaller: Times | None = None
    """Times fewer parameters than the encoder, word vectors counted."""
    latency_ms: Positive | None = None
    """Most milliseconds for one text on one thread of this machine."""
    max_drop: Positive | None = None
    """Most points (hundredths) of the score on validation that may be lost: of the models that lose no more, the
    fastest is taken. Alone, times are halved until more is lost."""


def limits_of_levels(run: LevelRun, goals: ShrinkGoals) -> list[dict[str, float]]:
    """Of each level, from the root down to what is wanted in even ratios.

    Raises:
        ValueError: where even the smallest part of the encoder keeps not what is wanted.
    """
    wanted = _wanted(run, goals)
    _check_reachable(run, wanted, goals)
    now = _costs(run, _reference(run))
    ratios = {name: now[name] / limit for name, limit in wanted.items()}
    count = max(1, math.ceil(math.log(max(1.0, *ratios.values()), STEP) - 1e-6))
    return [
        {name: wanted[name] * max(ratios[name], 1.0) ** (1 - number / count) for name in wanted}
        for number in range(1, count + 1)
    ]


def _wanted(run: LevelRun, goals: ShrinkGoals) -> dict[str, float]:
    """The limits that the result must keep; on time, where nothing else is asked for, that of the smallest part."""
    now = _costs(run, _reference(run))
    wanted = {}
    if goals.faster is not None or goals.latency_ms is not None:
        times = now[LATENCY] / (goals.faster or 1), goals.latency_ms or math.inf
        wanted[LATENCY] = MARGIN * min(times)
    if goals.smaller is not None:
        wanted[PARAMETERS] = now[PARAMETERS] / goals.smaller
    return wanted or {LATENCY: _costs(run, Subarchitectures(_reference(run)).smallest)[LATENCY]}


def _check_reachable(run: LevelRun, wanted: Mapping[str, float], goals: ShrinkGoals) -> None:
    """Raises ``ValueError`` where even the smallest part of the encoder keeps not what is wanted."""
    reference = _reference(run)
    least, now = _costs(run, Subarchitectures(reference).smallest), _costs(run, reference)
    problems = []
    if wanted.get(LATENCY, math.inf) < least[LATENCY]:
        fastest = least[LATENCY] / MARGIN
        if goals.faster is not None:
            problems.append(f"'faster' must be at most {now[LATENCY] / fastest:.1f}. Got {goals.faster:g}")
        if goals.latency_ms is not None:
            problems.append(f"'latency_ms' must be at least {fastest:.2f} here. Got {goals.latency_ms:g}")
    if wanted.get(PARAMETERS, math.inf) < least[PARAMETERS]:
        most = now[PARAMETERS] / least[PARAMETERS]
        problems.append(
            f"'smaller' must be at most {most:.1f}: word vectors stay; --trim_vocabulary drops some. Got "
            f"{goals.smaller:g}"
        )
    if problems:
        heading = "No part of the encoder reaches this goal, not even one layer with one head:"
        raise ValueError("\n  - ".join([heading, *problems]))


def _costs(run: LevelRun, spec: ModelSpec) -> dict[str, float]:
    return {name: float(run.exact[name]([spec])[0]) for name in (LATENCY, PARAMETERS)}


def _reference(run: LevelRun) -> ModelSpec:
    assert run.roots is not None
    return run.roots.reference
