"""The page of the report: what it says is gathered from the run directory, and put into ``report.html.j2``.

The journal is the source; what is not there yet (a best model, a library file, a comparison) is left out of the page.
"""

import json
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import jinja2

from design_space.files import write_atomically

from .. import words
from ..candidate import describe
from ..names import spoken_name
from ..records.comparison_file import Comparison, timed_in
from ..records.journal import TrialRecord, best_record, front_records, tied_records
from ..records.run_directory import RunDirectory
from . import figures
from .drawing import Drawing, drawing, sizes_beside
from .influence import costs, influence
from .lineage import lineage
from .pictures import marks_of, pictures_of
from .run import Run
from .verdict import called, is_told_apart, times_faster, verdict_of

REPORT_FILE = "report.html"


def write_report(run_dir: Path | str) -> Path:
    """Writes ``report.html`` of a run, finished or not, and returns its path.

    Raises:
        ValueError: when the folder holds no run, or its journal is damaged.
    """
    directory = RunDirectory(Path(run_dir).absolute())
    path = directory.path / REPORT_FILE
    write_atomically(path, rendered("report.html.j2", **_content(Run(directory))))
    return path


def rendered(template: str, **content: Any) -> str:
    """The page that a template makes of its content, all of whose texts are escaped."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("search.report", "."),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals |= {
        "anchor": figures.anchor,
        "called": called,
        "describe": describe,
        "figure": lambda value: f"{value:,.0f}" if value >= 1000 else f"{value:.4g}",
        "is_told_apart": is_told_apart,
        "json": json.dumps,
        "sizes_beside": sizes_beside,
        "spoken_name": spoken_name,
        "times_faster": times_faster,
        "timed_in": timed_in,
        "words": words,
        "written": datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC"),
    }
    return environment.get_template(template).render(**content)


def _content(run: Run) -> dict[str, Any]:
    comparison, answers = run.comparison
    ranked = run.ranked
    best = ranked[0] if ranked else None
    root = next((one for one in run.records if one.candidate.origin.name == "pretrained"), None)
    trees, num_left_out = lineage(ranked)
    return {
        "run": run,
        "metric": run.metric,
        "evaluation": run.evaluation,
        "comparison": comparison,
        "answers": answers,
        "verdict": verdict_of(best, run.metric, run.evaluation, comparison) if best else None,
        "why": _why(run) if best else "",
        "drawings": _drawings(best, root, comparison) if best else [],
        "root": root,
        "best": ranked[:5],
        "front": front_records(run.finished, run.goals),
        "constraints": list(run.goals.constraints.items()),
        "is_kept": bool(ranked) and run.goals.constraint_violation(ranked[0].objectives) == 0,
        "pictures": pictures_of(run),
        "trees": trees,
        "num_left_out": num_left_out,
        "influence": influence(run.finished),
        "costs": costs(run.records),
        "names": {record.trial: called(record) for record in run.records},
        "by_hash": {record.candidate.spec.hash: record.trial for record in run.records},
        "trials": [*ranked, *(record for record in run.records if record.score is None)],
        "marks": marks_of(run),
    }


def _drawings(
    best: TrialRecord, root: TrialRecord | None, comparison: Comparison | None
) -> list[tuple[str, TrialRecord, Drawing]]:
    """The best model, and beside it the encoder that the search started from."""
    shown = [(called(best), best)]
    if root is not None and root is not best:
        compared = comparison["models"] if comparison else []
        name = next((one["name"] for one in compared if one["trial"] == root.trial), called(root))
        shown.append((f"{name}, the encoder", root))
    specs = [record.candidate.spec for _, record in shown]
    return [(name, one, drawing(one.candidate.spec, specs[-1 - place])) for place, (name, one) in enumerate(shown)]


def _why(run: Run) -> str:
    """Why the best one is the best, in a sentence."""
    best, highest = run.ranked[0], best_record(run.records, run.goals)
    within = [record for record in run.finished if run.goals.constraint_violation(record.objectives) == 0]
    has_limits = bool(run.goals.constraints)
    if best is highest and not within:
        return "No trained model keeps the limits; this one breaks them least."
    if best is highest and len(within) == 1:
        return f"It is the only trained model{' that keeps the limits' * has_limits}."
    if best is highest:
        among = f"the {len(within)} trained models{' that keep the limits' * has_limits}"
        return f"It has the highest score on validation of {among}."
    if best in tied_records(run.records, run.goals):
        return (
            f"{called(highest)} has the highest score on validation, {highest.scored}. This one is within one standard "
            "error of it, which chance may make, and the smallest of those."
        )
    return f"It was chosen for the limits that it keeps; the highest score on validation has {called(highest)}."
