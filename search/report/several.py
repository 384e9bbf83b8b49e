"""Several runs side by side: what each found, how good, large and fast that is, and what it cost."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from design_space.files import write_atomically

from ..records.journal import TrialRecord
from ..records.run_directory import RunDirectory
from .page import REPORT_FILE, rendered
from .run import Run


@dataclass(frozen=True)
class Found:
    """What one run found: ``score`` with the ends of its 95 % interval on ``rows``; None before a trial has finished.
    ``seconds``: of training, and from the first candidate to the last result."""

    run: Run
    best: TrialRecord | None
    score: tuple[float, float, float] | None
    rows: str
    milliseconds: tuple[float, float, float] | None
    seconds: tuple[float, float]

    @property
    def link(self) -> str | None:
        """Where the run's own report lies, if it is there."""
        path = self.run.directory.path / REPORT_FILE
        return path.as_uri() if path.is_file() else None


def found_in(run_dir: Path) -> Found:
    """What a run found, on held-out rows where it has ended, else on validation.

    Raises:
        ValueError: when the folder holds no run, or a file of it is damaged.
    """
    run = Run(RunDirectory(run_dir.absolute()))
    best = run.ranked[0] if run.ranked else None
    score, time, rows = None, None, "validation"
    comparison, _ = run.comparison
    if best is not None and comparison is not None:
        model = next(one for one in comparison["models"] if one["trial"] == best.trial)
        score, rows = _triple(model["score"]), f"{comparison['rows']:,} rows of {comparison['split']}"
        if measured := model["latency"]:
            time = measured["median_ms"], measured["low_ms"], measured["high_ms"]
    elif best is not None and best.score is not None:
        half = 1.96 * best.objectives.get("score_error", 0.0)
        score = best.score, best.score - half, best.score + half
        ends = [best.objectives.get(f"latency_{end}ms") for end in ("", "low_", "high_")]
        time = _triple([one for one in ends if one is not None]) if None not in ends else None
    return Found(run, best, score, rows, time, (run.training_s, run.elapsed_s))


def write_several(run_dirs: Sequence[Path], file: Path) -> list[Found]:
    """Writes a page that compares runs, the highest score first, and returns what it says.

    Raises:
        ValueError: as ``found_in``.
    """
    found = sorted((found_in(one) for one in run_dirs), key=lambda one: -(one.score[0] if one.score else -1e9))
    tasks = {(one.run.task, one.run.metric, one.rows) for one in found}
    scores = [one.score for one in found if one.score]
    ends = (min(low for _, low, _ in scores), max(high for _, _, high in scores)) if scores else (0.0, 1.0)
    page = rendered(
        "several.html.j2", found=found, is_one_task=len(tasks) == 1, low=ends[0], width=max(ends[1] - ends[0], 1e-9)
    )
    write_atomically(file, page)
    return found


def _triple(values: Sequence[float]) -> tuple[float, float, float]:
    value, low, high = values
    return value, low, high
