"""From a pre-trained encoder to a smaller, faster one, which is chosen of the levels that lead there.

The encoder is fine-tuned on the task: it is the reference, the teacher, and the first parent.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass

from rich.console import Console

from ..records.journal import TrialRecord
from ..tune.runner import LevelRun
from .descent import descend
from .level import with_teacher
from .screening import trained_root
from .shrink_goals import ShrinkGoals, limits_of_levels
from .timing import timed


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
    limits = limits_of_levels(run, goals)
    begun_s = time.monotonic()
    root = trained_root(run, console)
    run = with_teacher(run, teacher, root, console)
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


def _drop(root: TrialRecord, record: TrialRecord) -> float:
    """Points of the score that are lost."""
    assert root.score is not None
    assert record.score is not None
    return 100 * (root.score - record.score)
