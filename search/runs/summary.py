"""How a run ended: the best model, tested on held-out data, and the table of trials that led to it.

Writes ``best/`` (a copy of the best model with ``evaluation.json``) and ``summary.md`` into the run directory.
"""

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dataset import PreparedData
from design_space.files import write_atomically

from ..candidate import describe
from ..objectives import Goals
from ..records.journal import TrialRecord, best_record, front_records, tied_records
from ..records.run_directory import RunDirectory
from ..training.evaluate import evaluate_with_error
from ..training.result import speed_again

SHOWN = ("parameters", "latency_ms")
"""What always gets a column beside the score."""


def keep_best(
    directory: RunDirectory,
    models_dir: Path,
    records: Sequence[TrialRecord],
    data: PreparedData,
    goals: Goals | None = None,
    *,
    best: TrialRecord | None = None,
) -> dict[str, Any]:
    """Copy the best model to ``best/``, evaluate it on test (validation where there is no test split), and return its
    evaluation: ``trial``, ``highest`` (the trial of the highest score), ``hash``, ``split``, ``metrics``,
    ``score_error``, ``also_in_training`` (how many texts of the split), ``majority_share`` (None for regression),
    ``model``, ``speed`` (measured again, when no other trial trains; with its interval), and, under constraints, these
    and whether they are kept (``feasible``).

    Args:
        best: the one that was chosen; else it is the smallest of those that are not told apart from the highest score
            (``tied_records``) and whose weights are there.

    Raises:
        ValueError: when the best model's weights are gone.
    """
    goals = goals or Goals()
    highest = best_record(records, goals)
    if best is None:
        tied = tied_records(records, goals)
        best = next((one for one in tied if (models_dir / one.candidate.spec.hash).is_dir()), highest)
    graph_hash = best.candidate.spec.hash
    if not (models_dir / graph_hash).is_dir():
        raise ValueError(
            f"The weights of the best trial, {best.trial}, are gone: there is no {models_dir / graph_hash}. Put them "
            "back, or search again with another --run_dir and --models_dir"
        )
    split = "test" if "test" in data.sizes else "validation"
    speed = speed_again(models_dir / graph_hash, data)
    metrics, error = evaluate_with_error(models_dir / graph_hash, data, split)
    evaluation = {
        "trial": best.trial,
        "highest": highest.trial,
        "hash": graph_hash,
        "task": data.name,
        "metric": data.metric,
        "split": split,
        "metrics": metrics,
        "score_error": error,
        "also_in_training": sum(task.also_in_training(split) for task in data.tasks if split in task.sizes),
        "majority_share": None if data.is_regression else data.majority_share(split),
        "validation_score": best.score,
        "objectives": best.objectives,
        "speed": None if speed is None else str(speed),
    }
    if goals.constraints:
        kept = goals.constraint_violation(best.objectives) == 0
        evaluation |= {"constraints": dict(goals.constraints), "feasible": kept}
    partial = directory.best_dir.with_name(".best")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(models_dir / graph_hash, partial)
    (partial / "evaluation.json").write_text(json.dumps(evaluation, indent=2))
    shutil.rmtree(directory.best_dir, ignore_errors=True)
    partial.rename(directory.best_dir)
    return evaluation | {"model": str(directory.best_dir)}


def write_summary(
    directory: RunDirectory, records: Sequence[TrialRecord], evaluation: Mapping[str, Any], goals: Goals | None = None
) -> str:
    """Write ``summary.md`` and return its text."""
    goals = goals or Goals()
    shown = list(dict.fromkeys([*SHOWN, *goals.costs, *goals.constraints]))
    trials = {record.candidate.spec.hash: record for record in records}
    best = next(record for record in records if record.trial == evaluation["trial"])
    counts = [f"{sum(r.state == state for r in records)} {state}" for state in ("finished", "failed", "open")]
    inherited = sum(r.state == "finished" and bool(r.candidate.origin.parents) for r in records)
    lines = [
        f"# Search for {evaluation['task']}",
        "",
        f"Best model: `{evaluation['model']}`",
        "",
        f"- architecture: {describe(best.candidate)}",
        f"- {evaluation['metric']} on validation: {best.scored}",
        *_ties(best, records, goals),
        f"- on {evaluation['split']}: "
        + ", ".join(f"{name} {value:.4f}" for name, value in evaluation["metrics"].items())
        + f"; the standard error of {evaluation['metric']} is {evaluation['score_error']:.4f}",
    ]
    if evaluation.get("also_in_training"):
        lines.append(f"- of its texts {evaluation['also_in_training']:,} are in training too, which flatters the score")
    if evaluation["majority_share"] is not None:
        lines.append(f"- accuracy of always answering the most frequent class: {evaluation['majority_share']:.4f}")
    lines += [
        *(f"- {name}: {best.objectives[name]:g}" for name in shown if name in best.objectives),
        *([f"- speed of the saved model: {evaluation['speed']}"] if evaluation.get("speed") else []),
        *_constraints(best, goals),
        f"- lineage: {' <- '.join(_lineage(best, trials))}",
        "",
        f"{len(records)} trials ({', '.join(counts)}), {inherited} of the finished ones with inherited weights; "
        f"{sum(record.cost_s or 0 for record in records):.0f} s of training.",
        "",
        *_front(records, goals),
        "| trial | score ± standard error | "
        + "".join(f"{name} | " for name in shown)
        + "seconds | origin | chosen as | architecture |",
        "| --- | --- | " + "--- | " * len(shown) + "--- | --- | --- | --- |",
    ]
    for record in sorted(records, key=lambda record: -(record.score if record.score is not None else float("-inf"))):
        figures = "".join(f"{record.objectives.get(name, float('nan')):g} | " for name in shown)
        lines.append(
            f"| {record.trial} | {record.scored} | {figures}{record.cost_s or 0:.0f} | {_origin(record, trials)} | "
            f"{record.candidate.proposed_by} | {describe(record.candidate)} |"
        )
    text = "\n".join(lines) + "\n"
    write_atomically(directory.summary_file, text)
    return text


def add_to_summary(directory: RunDirectory, text: str) -> None:
    """Write a text below what the summary says."""
    write_atomically(directory.summary_file, f"{directory.summary_file.read_text(encoding='utf-8')}\n{text}")


def _ties(best: TrialRecord, records: Sequence[TrialRecord], goals: Goals) -> list[str]:
    """Why the best one has not the highest score, where it has not."""
    highest = best_record(records, goals)
    if highest is best or best not in tied_records(records, goals):
        return []
    times = highest.objectives["parameters"] / best.objectives["parameters"]
    return [
        f"- {highest.trial} has the highest score, {highest.scored}; the best one is within a standard error of it and "
        f"{times:.2f} times smaller"
    ]


def _constraints(best: TrialRecord, goals: Goals) -> list[str]:
    if not goals.constraints:
        return []
    limits = ", ".join(f"{name} at most {limit:g}" for name, limit in goals.constraints.items())
    is_kept = goals.constraint_violation(best.objectives) == 0
    return [f"- constraints: {limits}: {'kept' if is_kept else 'kept by no trial; this one breaks them least'}"]


def _front(records: Sequence[TrialRecord], goals: Goals) -> list[str]:
    """The front as a table, where there are several objectives."""
    front = front_records(records, goals)
    if not front:
        return []
    lines = [
        f"Pareto front of {', '.join(goals.objectives)} ({len(front)} trials that no other beats in all of them):",
        "",
        f"| trial | {' | '.join(goals.objectives)} | architecture |",
        "| --- " * (len(goals.objectives) + 2) + "|",
    ]
    for record in front:
        figures = " | ".join(f"{record.objectives[name]:,.10g}" for name in goals.costs)
        lines.append(f"| {record.trial} | {record.scored} | {figures} | {describe(record.candidate)} |")
    return [*lines, "", "All trials:", ""]


def _lineage(record: TrialRecord, trials: Mapping[str, TrialRecord]) -> list[str]:
    """The trial and its ancestors, of two parents the first; one from an earlier level by its hash."""
    names = [record.trial]
    first: TrialRecord | None = record
    parent = next(iter(record.candidate.origin.parents), None)
    own = record.candidate.spec.hash
    left: dict[str, TrialRecord | None] = {name: trial for name, trial in trials.items() if name != own}
    while parent is not None:
        # Each once: of two that were trained on two levels, each may be the other's parent.
        first = left.pop(parent, None)
        names.append(first.trial if first else f"{parent[:8]} (earlier level)")
        parent = next(iter(first.candidate.origin.parents), None) if first else None
    return names if first is None else [*names[:-1], f"{names[-1]} ({first.candidate.origin})"]


def _origin(record: TrialRecord, trials: Mapping[str, TrialRecord]) -> str:
    origin = record.candidate.origin
    names = [trials[parent].trial if parent in trials else parent[:8] for parent in origin.parents]
    return f"{origin.name} from {' and '.join(names)}" if names else origin.name
