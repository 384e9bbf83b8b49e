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

from .evaluation import evaluate
from .journal import TrialRecord
from .progress import describe
from .run_directory import RunDirectory


def best_record(records: Sequence[TrialRecord]) -> TrialRecord:
    """The finished trial with the highest score. Raises ``ValueError`` when none is finished."""
    finished = [record for record in records if record.score is not None]
    if not finished:
        raise ValueError("No trial has finished: there is no best model")
    return max(finished, key=lambda record: record.score or 0.0)


def keep_best(
    directory: RunDirectory, models_dir: Path, records: Sequence[TrialRecord], data: PreparedData
) -> dict[str, Any]:
    """Copy the best model to ``best/``, evaluate it on test (validation where there is no test split), and return its
    evaluation: ``trial``, ``hash``, ``split``, ``metrics``, ``majority_share`` (None for regression), ``model``.
    """
    best = best_record(records)
    graph_hash = best.candidate.spec.hash
    split = "test" if data.test is not None else "validation"
    evaluation = {
        "trial": best.trial,
        "hash": graph_hash,
        "task": data.name,
        "metric": data.metric,
        "split": split,
        "metrics": evaluate(models_dir / graph_hash, data, split),
        "majority_share": None if data.is_regression else data.majority_share(split),
        "validation_score": best.score,
        "objectives": best.objectives,
    }
    partial = directory.best_dir.with_name(".best")
    shutil.rmtree(partial, ignore_errors=True)
    shutil.copytree(models_dir / graph_hash, partial)
    (partial / "evaluation.json").write_text(json.dumps(evaluation, indent=2))
    shutil.rmtree(directory.best_dir, ignore_errors=True)
    partial.rename(directory.best_dir)
    return evaluation | {"model": str(directory.best_dir)}


def write_summary(
    directory: RunDirectory, records: Sequence[TrialRecord], evaluation: Mapping[str, Any], shown: Sequence[str]
) -> str:
    """Write ``summary.md`` and return its text.

    Args:
        shown: objectives that get a column.
    """
    trials = {record.candidate.spec.hash: record for record in records}
    best = best_record(records)
    counts = [f"{sum(r.state == state for r in records)} {state}" for state in ("finished", "failed", "open")]
    inherited = sum(r.state == "finished" and r.candidate.origin.parent is not None for r in records)
    lines = [
        f"# Search for {evaluation['task']}",
        "",
        f"Best model: `{evaluation['model']}`",
        "",
        f"- architecture: {describe(best.candidate)}",
        f"- {evaluation['metric']} on validation: {best.score:.4f}",
        f"- on {evaluation['split']}: "
        + ", ".join(f"{name} {value:.4f}" for name, value in evaluation["metrics"].items()),
    ]
    if evaluation["majority_share"] is not None:
        lines.append(f"- accuracy of always answering the most frequent class: {evaluation['majority_share']:.4f}")
    lines += [
        *(f"- {name}: {best.objectives[name]:g}" for name in shown if name in best.objectives),
        f"- lineage: {' <- '.join(_lineage(best, trials))}",
        "",
        f"{len(records)} trials ({', '.join(counts)}), {inherited} of the finished ones with inherited weights; "
        f"{sum(record.cost_s or 0 for record in records):.0f} s of training.",
        "",
        "| trial | score | "
        + "".join(f"{name} | " for name in shown)
        + "seconds | origin | chosen as | architecture |",
        "| --- | --- | " + "--- | " * len(shown) + "--- | --- | --- | --- |",
    ]
    for record in sorted(records, key=lambda record: -(record.score if record.score is not None else float("-inf"))):
        figures = "".join(f"{record.objectives.get(name, float('nan')):g} | " for name in shown)
        score = "-" if record.score is None else f"{record.score:.4f}"
        lines.append(
            f"| {record.trial} | {score} | {figures}{record.cost_s or 0:.0f} | {_origin(record, trials)} | "
            f"{record.candidate.proposed_by} | {describe(record.candidate)} |"
        )
    text = "\n".join(lines) + "\n"
    write_atomically(directory.summary_file, text)
    return text


def _lineage(record: TrialRecord, trials: Mapping[str, TrialRecord]) -> list[str]:
    """The trial and its ancestors, of two parents the first; one from an earlier level by its hash."""
    names, parent = [record.trial], record.candidate.origin.parent
    while parent is not None:
        names.append(trials[parent].trial if parent in trials else f"{parent[:8]} (earlier level)")
        parent = trials[parent].candidate.origin.parent if parent in trials else None
    return [*names[:-1], f"{names[-1]} (scratch)" if names[-1] in {r.trial for r in trials.values()} else names[-1]]


def _origin(record: TrialRecord, trials: Mapping[str, TrialRecord]) -> str:
    origin = record.candidate.origin
    names = [trials[parent].trial if parent in trials else parent[:8] for parent in origin.parents]
    return f"{origin.kind} from {' and '.join(names)}" if names else origin.kind
