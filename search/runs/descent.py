"""Level after level, each about half as costly as the last: the best of a level is the parent of the next.

On each level children of the best of the level above are screened within the level's limits, and BOSHNAS chooses a few
of these to train; where one is to be trained, it is the one that screening finds best. All levels share one journal; a
run that was cut goes on from it.
"""

import functools
import json
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

from pydantic import TypeAdapter
from rich.console import Console

from design_space import ModelSpec
from design_space.files import read_json, write_atomically
from design_space.schemas import checked

from ..objectives import Goals
from ..records.journal import TrialRecord
from ..tune.cluster import fitting_trials
from ..tune.runner import LevelRun, run_level
from .screening import screened_children, with_all_cores
from .shrink_goals import PARAMETERS
from .timing import LATENCY, fast_enough, tightened

_LEVELS_FILE = "levels.json"

_FEW = 32
"""Children that are screened by one worker with all cores: to judge the parent takes as long as about so many, and
each worker does it for itself."""

_TRIALS = TypeAdapter(dict[str, str])


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

    Raises:
        ValueError: when the children of a level were trained and all failed.
    """
    chosen = _ChosenTrials(run.directory.path / _LEVELS_FILE)
    parent, screened = root, dict[ModelSpec, float]()
    for number, of_level in enumerate(limits, start=1):
        console.rule(f"level {number} of {len(limits)}: {_said(of_level)}")
        goals = Goals(constraints=of_level, exact=run.exact)
        budget = replace(run.budget, max_trials=(1 + number * trials,))
        level = replace(run, goals=goals, budget=budget)
        if num_screened:
            tighten = functools.partial(tightened, run) if LATENCY in of_level else None
            screener = with_all_cores(run) if num_screened <= _FEW else run
            screened |= screened_children(
                screener, parent, [of_level], count=num_screened, number=number, tighten=tighten, console=console
            )
            failed = {one.candidate.spec for one in run.directory.journal.trials().values() if one.state == "failed"}
            trainable = [spec for spec in screened if spec not in failed]
            within = [spec for spec in trainable if goals.constraint_violation(goals.values(spec, {})) == 0]
            if not within:
                return
            best_first = sorted(within, key=lambda spec: -screened[spec])
            is_last = number == len(limits)  # the others are on the way to what was asked for
            able = fast_enough(run, best_first, of_level) if is_last else best_first
            left_out = {*within} - {*(able[:1] if trials == 1 else able)}  # of one trial there is nothing to learn
            level = replace(level, screened={spec: screened[spec] for spec in screened if spec not in left_out})
        if max_hours is not None:
            left = max(0.0, max_hours - (time.monotonic() - begun_s) / 3600) / (len(limits) - number + 1)
            level = _within_hours(level, left)
        level = with_all_cores(level) if trials == 1 else level
        before = run.directory.journal.trials()
        records = run_level(level, console)
        best = chosen.of_level(number, [record for record in records if _keeps(record, goals)])
        if best is None:
            _refuse_failures([one for one in records if one.trial not in before or before[one.trial].state == "open"])
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


def _refuse_failures(ended: Sequence[TrialRecord]) -> None:
    """Raises ``ValueError`` where all of a level's trials have failed: that is no missed goal."""
    errors = [f"{one.trial}: {one.error.strip().splitlines()[-1]}" for one in ended if one.error and one.error.strip()]
    if errors and len(errors) == len(ended):
        raise ValueError(
            f"No child of this level could be trained ({'; '.join(errors)}). The same command goes on with the next "
            "best one"
        )


def _keeps(record: TrialRecord, goals: Goals) -> bool:
    is_child = record.candidate.origin.name != "pretrained"
    values = goals.values(record.candidate.spec, record.objectives)
    return is_child and record.score is not None and goals.constraint_violation(values) == 0


def _said(limits: Mapping[str, float]) -> str:
    words = {LATENCY: "at most {:.2f} ms", PARAMETERS: "at most {:,.0f} parameters"}
    return ", ".join(words[name].format(limit) for name, limit in limits.items())
