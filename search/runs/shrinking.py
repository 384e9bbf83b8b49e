"""From a pre-trained encoder to a smaller, faster one: level after level, each about half as costly as the last.

The encoder is fine-tuned on the task: it is the reference, the teacher, and the first parent. On each level children
of the best of the level above are screened within the level's limits, BOSHNAS chooses a few of these to train, and the
best is the parent of the next level. All levels share one journal; a run that was cut goes on from it.
"""

import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console

from design_space import ModelSpec, Subarchitectures
from design_space.files import read_json, write_atomically
from design_space.options import Positive, options
from design_space.schemas import checked

from ..objectives import Goals
from ..records.journal import TrialRecord
from ..tune.cluster import fitting_trials
from ..tune.runner import LevelRun, run_level
from .level import with_teacher
from .screening import screened_children, trained_root, with_all_cores
from .timing import LATENCY, MARGIN, fast_enough, timed

STEP = 2.25
"""How many times as costly a level is as the next, at most."""

_LEVELS_FILE = "levels.json"
_TRIALS = TypeAdapter(dict[str, str])

PARAMETERS = "parameters"


@options
class ShrinkGoals:
    """How much smaller or faster the model must be."""

    faster: Positive | None = None
    """Times as fast as the encoder, for one text on one thread."""
    smaller: Positive | None = None
    """Times fewer parameters than the encoder, word vectors counted."""
    latency_ms: Positive | None = None
    """Most milliseconds for one text on one thread of this machine."""
    max_drop: Positive | None = None
    """Most points (hundredths) of the score on validation that may be lost: of the models that lose no more, the
    fastest is taken. Alone, times are halved until more is lost."""


@dataclass(frozen=True, kw_only=True)
class Shrunk:
    """What came out.

    Attributes:
        root: the fine-tuned encoder.
        levels: the best of each level, the most costly first.
        chosen: the model that is taken. limits: what it keeps, of ``latency_ms`` and ``parameters``; none for the root.
        unmet: sentences that say which goals it does not keep; none where it keeps all.
    """

    root: TrialRecord
    levels: list[TrialRecord]
    chosen: TrialRecord
    limits: dict[str, float]
    unmet: list[str]


def shrink(
    run: LevelRun,
    goals: ShrinkGoals,
    *,
    length: int,
    num_screened: int,
    trials: int,
    teacher: str,
    max_hours: float | None,
    console: Console,
) -> Shrunk:
    """Search level by level.

    Args:
        run: of which ``goals`` and the numbers of trials are set here.
        length: tokens of the text that is timed.
        num_screened: children that are looked at on each level. trials: those of them that are trained.
        teacher: see ``teacher_of_level``.
        max_hours: about how long all may take; each level gets an even share of what is left. None for no limit.

    Raises:
        ValueError: for a goal that no sub-architecture can reach, or an encoder that could not be fine-tuned.
    """
    run = timed(run, length)
    wanted = _wanted(run, goals)
    _check_reachable(run, wanted, goals)
    begun_s = time.monotonic()
    root = trained_root(run, console)
    run = with_teacher(run, teacher, root, console)
    limits = _limits(run, wanted)
    levels: list[TrialRecord] = []
    for best in descend(
        run,
        root,
        limits,
        num_screened=num_screened,
        trials=trials,
        max_hours=max_hours,
        begun_s=begun_s,
        console=console,
    ):
        levels.append(best)
        if goals.max_drop is not None and _drop(root, best) > goals.max_drop:
            break
    return _chosen(root, levels, limits, goals)


def descend(
    run: LevelRun,
    root: TrialRecord,
    limits: Sequence[Mapping[str, float]],
    *,
    num_screened: int,
    trials: int,
    console: Console,
    max_hours: float | None = None,
    begun_s: float = 0.0,
) -> Iterator[TrialRecord]:
    """The best of each level, level by level; ends early where a level has none.

    Args:
        root: trained already.
        limits: of each level, the most costly first.
        begun_s: when ``max_hours`` began, by ``time.monotonic``.
    """
    chosen = _ChosenTrials(run.directory.path / _LEVELS_FILE)
    parent, screened = root, dict[ModelSpec, float]()
    for number, of_level in enumerate(limits, start=1):
        console.rule(f"level {number}: {_said(of_level)}")
        goals = Goals(constraints=of_level, exact=run.exact)
        budget = replace(run.budget, max_trials=(1 + number * trials,))
        level = replace(run, goals=goals, budget=budget)
        if num_screened:
            screened |= screened_children(run, parent, [of_level], count=num_screened, number=number, console=console)
            within = [spec for spec in screened if goals.constraint_violation(goals.values(spec, {})) == 0]
            if not within:
                return
            best_first = sorted(within, key=lambda spec: -screened[spec])
            left_out = {*within} - {*fast_enough(run, best_first, of_level)}
            level = replace(level, screened={spec: screened[spec] for spec in screened if spec not in left_out})
        if max_hours is not None:
            left = max(0.0, max_hours - (time.monotonic() - begun_s) / 3600) / (len(limits) - number + 1)
            level = _within_hours(level, left)
        level = with_all_cores(level) if trials == 1 else level
        able = [record for record in run_level(level, console) if _keeps(record, goals)]
        best = chosen.of_level(number, able)
        if best is None:
            return
        parent = best
        yield best


class _ChosenTrials:
    """The best trial of each level that has ended, kept in a file: trials of later levels keep the limits of the
    earlier ones too, and must not change what was chosen when the run goes on."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self._trials = checked(_TRIALS, read_json(file), file) if file.exists() else {}

    def of_level(self, number: int, able: Sequence[TrialRecord]) -> TrialRecord | None:
        """The one that was chosen when the level ended, or the best of those given; None of none."""
        before = next((record for record in able if record.trial == self._trials.get(str(number))), None)
        best = before or max(able, key=lambda record: record.score or -math.inf, default=None)
        if best is not None and before is None:
            self._trials[str(number)] = best.trial
            write_atomically(self._file, json.dumps(self._trials))
        return best


def _within_hours(run: LevelRun, hours: float) -> LevelRun:
    """With so many hours for what is still to be trained; the trials so far count too, and those side by side add
    up."""
    spent_s = sum(record.cost_s or 0.0 for record in run.directory.journal.trials().values())
    side_by_side = run.budget.max_concurrent or fitting_trials(run.cluster.resources_per_trial)
    return replace(run, budget=replace(run.budget, max_hours=spent_s / 3600 + max(hours * side_by_side, 1e-3)))


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


def _reference(run: LevelRun) -> ModelSpec:
    assert run.roots is not None
    return run.roots.reference


def _costs(run: LevelRun, spec: ModelSpec) -> dict[str, float]:
    return {name: float(run.exact[name]([spec])[0]) for name in (LATENCY, PARAMETERS)}


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


def _limits(run: LevelRun, wanted: Mapping[str, float]) -> list[dict[str, float]]:
    """Of each level, from the root down to what is wanted in even ratios."""
    now = _costs(run, _reference(run))
    ratios = {name: now[name] / limit for name, limit in wanted.items()}
    count = max(1, math.ceil(math.log(max(1.0, *ratios.values()), STEP) - 1e-6))
    return [
        {name: wanted[name] * max(ratios[name], 1.0) ** (1 - number / count) for name in wanted}
        for number in range(1, count + 1)
    ]


def _keeps(record: TrialRecord, goals: Goals) -> bool:
    is_child = record.candidate.origin.name != "pretrained"
    values = goals.values(record.candidate.spec, record.objectives)
    return is_child and record.score is not None and goals.constraint_violation(values) == 0


def _drop(root: TrialRecord, record: TrialRecord) -> float:
    """Points of the score that are lost."""
    assert root.score is not None
    assert record.score is not None
    return 100 * (root.score - record.score)


def _chosen(
    root: TrialRecord, levels: list[TrialRecord], limits: Sequence[dict[str, float]], goals: ShrinkGoals
) -> Shrunk:
    """The last level's best; under a limit on the drop that of the last level that keeps it, and what this leaves
    unmet."""
    kept = [one for one in levels if goals.max_drop is None or _drop(root, one) <= goals.max_drop]
    unmet = []
    if not kept and goals.max_drop is not None:
        lost = f": the least that was lost is {min(_drop(root, one) for one in levels):.1f}" if levels else ""
        unmet.append(f"no smaller model keeps within {goals.max_drop:g} points of the encoder's score{lost}")
    number = levels.index(kept[-1]) if kept else -1
    if number + 1 < len(limits) and goals != ShrinkGoals(max_drop=goals.max_drop):
        unmet.append("no model that was found keeps all goals; this one comes nearest")
    return Shrunk(
        root=root,
        levels=levels,
        chosen=kept[-1] if kept else root,
        limits=limits[number] if kept else {},
        unmet=unmet,
    )


def _said(limits: Mapping[str, float]) -> str:
    words = {LATENCY: "at most {:.2f} ms", PARAMETERS: "at most {:,.0f} parameters"}
    return ", ".join(words[name].format(limit) for name, limit in limits.items())
