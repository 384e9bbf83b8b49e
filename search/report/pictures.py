"""The plots of a report that there is something to draw for, with what one sees on them."""

from pathlib import Path
from typing import Any

import numpy as np
from markupsafe import Markup

from embeddings import GraphLibrary
from flexibert.runtimes.runner import runtime_title

from . import figures
from .curves import losses_over_progress, scores_over_seconds
from .run import Run

TRADEOFFS = {
    "parameters": "Score against size",
    "latency_ms": "Score against time of a forward pass",
    "flops": "Score against operations of a forward pass",
    "size_mb": "Score against the size of the file",
}
_MOST_MAPPED = 500
"""Trials on the map, the best; to place one that is no member of the library takes 20 ms."""


def pictures_of(run: Run) -> list[dict[str, Any]]:
    """The plots: title, what one sees, the picture, and the objective of a slider."""
    metric, limits = run.metric, run.goals.constraints
    references = {name: entry["score"] for name, entry in run.baselines.items()}
    share = (run.evaluation or {}).get("majority_share")
    if share is not None and metric == "accuracy":
        references["most frequent class"] = share
    made = [
        (
            "Scores as they came in",
            f"Each mark is a trained model; its shape and color say where its first weights came from. {_origins(run)}",
            figures.progress_figure(run.finished, metric, references),
            None,
        ),
        *(
            (
                title,
                "Up is better, left is cheaper; no other beats those on the line in both (the Pareto front). Bars are "
                f"one standard error.{_times(run) if name == 'latency_ms' else ''}",
                figures.tradeoff_figure(run.finished, metric, name, limit=limits.get(name)),
                name,
            )
            for name, title in TRADEOFFS.items()
        ),
        (
            "Scores while they were trained",
            "On validation, after each round over the data. In color the best, faintly others.",
            figures.curves_figure(scores_over_seconds(run.events), run.ranked, "seconds", f"{metric} on validation"),
            None,
        ),
        (
            "Loss while they were fine-tuned",
            "What training makes small: how far answers are from right ones. In color the best, faintly others.",
            figures.curves_figure(losses_over_progress(run.events), run.ranked, "percent of fine-tuning", "loss"),
            None,
        ),
        (
            "What the search had expected",
            "Before training, the search predicts each score with an interval. On the line it was right.",
            figures.calibration_figure(run.finished, metric),
            None,
        ),
        (
            "Where in the library",
            "Grey: what could be proposed, similar architectures near each other. In color: what was trained.",
            _map(run),
            None,
        ),
    ]
    return [
        {"title": title, "said": said, "svg": Markup(svg), "objective": objective}
        for title, said, svg, objective in made
        if svg
    ]


def _origins(run: Run) -> str:
    """What the names of the legend mean."""
    present = {record.candidate.origin.morphism for record in run.finished}
    return " ".join(f"{one.name}: {one.sentence}" for one in sorted(present, key=lambda one: one.name))


def _times(run: Run) -> str:
    """How the times of trials came about, as far as the run tells."""
    title = runtime_title(run.config.get("runtime") or "torch")
    again = (run.evaluation or {}).get("speed")
    return f" Times are of {title}, on the machines that trained" + (f"; the best again: {again}." if again else ".")


def marks_of(run: Run) -> list[dict[str, Any]]:
    """What the page's script knows of the finished trials."""
    return [
        {
            "place": figures.anchor(record.trial),
            "said": figures.said_of(record),
            "score": record.score,
            "objectives": {name: record.objectives[name] for name in TRADEOFFS if name in record.objectives},
        }
        for record in run.finished
    ]


def _map(run: Run) -> str | None:
    path = Path(run.config.get("dataset_file") or "")
    if not path.is_file():
        return None
    library = GraphLibrary.load(path)
    best = sorted(run.finished, key=lambda record: -(record.score or 0.0))[:_MOST_MAPPED]
    specs = [record.candidate.spec for record in best]
    are_members = [spec.hash in library for spec in specs]
    vectors = [
        library.embeddings[library.position(spec.hash)] if is_member else library.embed(spec)
        for spec, is_member in zip(specs, are_members, strict=True)
    ]
    return figures.map_figure(library.embeddings, np.array(vectors), best, are_members=are_members, metric=run.metric)
