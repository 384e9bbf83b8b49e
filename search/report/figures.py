"""The report's pictures, as SVG text to put into the page.

Each function returns None where there is nothing to draw yet.
"""

import io
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from botorch.utils.multi_objective.pareto import is_non_dominated
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from ..records.calibration import half_width, is_inside
from ..records.journal import TrialRecord

Points = npt.NDArray[np.float64]

ORIGIN_COLORS = ("#4c72b0", "#dd8452", "#55a868", "#c44e52", "#8172b3", "#937860")


def progress_figure(finished: Sequence[TrialRecord], metric: str, baselines: Mapping[str, float]) -> str | None:
    """Draws the score of every finished trial in order, by origin, and the best so far."""
    if not finished:
        return None
    figure, axis = new_axes()
    scores = np.array([record.score for record in finished], dtype=float)
    numbers = np.arange(1, len(scores) + 1)
    _scatter_by_origin(axis, finished, numbers, scores)
    axis.step(numbers, np.maximum.accumulate(scores), where="post", color="black", lw=1, label="best so far")
    for name, score in baselines.items():
        axis.axhline(score, color="gray", ls="--", lw=1)
        axis.annotate(name, (numbers[-1], score), fontsize=8, color="gray", ha="right", va="bottom")
    axis.set(xlabel="finished trials", ylabel=metric)
    axis.legend(fontsize=8)
    return as_svg(figure)


def tradeoff_figure(
    finished: Sequence[TrialRecord], metric: str, objective: str, *, limit: float | None = None
) -> str | None:
    """Draws the score against an objective that should be small, with the trials that no other beats in both, and its
    limit."""
    known = [record for record in finished if objective in record.objectives]
    if len(known) < 2:
        return None
    figure, axis = new_axes()
    costs = np.array([record.objectives[objective] for record in known])
    scores = np.array([record.score for record in known], dtype=float)
    _scatter_by_origin(axis, known, costs, scores)
    front = pareto_front(costs, scores)
    axis.step(costs[front], scores[front], where="post", color="black", lw=1, label="Pareto front")
    for place in front:
        axis.annotate(
            known[place].trial, (costs[place], scores[place]), fontsize=7, xytext=(3, 3), textcoords="offset points"
        )
    if limit is not None:
        axis.axvline(limit, color="gray", ls="--", lw=1, label="constraint")
    axis.set(xlabel=objective, ylabel=metric)
    axis.legend(fontsize=8)
    return as_svg(figure)


def pareto_front(costs: Points, scores: Points) -> list[int]:
    """Returns the indices of the points that no other point beats in both, by rising cost; of equal points one."""
    front = is_non_dominated(torch.from_numpy(np.column_stack([-costs, scores]))).numpy()
    return [int(place) for place in np.argsort(costs, kind="stable") if front[place]]


def map_figure(
    library: Points, trained: Points, scores: Sequence[float], *, are_members: Sequence[bool], metric: str
) -> str | None:
    """Draws the library in the two directions in which its vectors vary most; what was trained by score, others than
    members as triangles.

    Args:
        library: (N, K). trained: (M, K), with M scores.
    """
    if not len(scores):
        return None
    middle = library.mean(0)
    directions = np.linalg.svd(library - middle, full_matrices=False)[2][:2].T
    points, places, values = (library - middle) @ directions, (trained - middle) @ directions, np.array(scores)
    shown = np.random.default_rng(0).permutation(len(points))[:3000]  # a page one can still open
    figure, axis = new_axes()
    axis.scatter(points[shown, 0], points[shown, 1], s=2, color="#d8d8d8", linewidths=0, rasterized=True)
    colors = ScalarMappable(Normalize(values.min(), values.max()), "viridis")
    for marker, chosen, label in (
        ("o", np.array(are_members), "of the library"),
        ("^", ~np.array(are_members), "made by pruning, stitching, merging"),
    ):
        if chosen.any():
            x, y, color = places[chosen, 0], places[chosen, 1], colors.to_rgba(values[chosen])
            axis.scatter(x, y, c=color, s=30, marker=marker, edgecolors="white", lw=0.5)
            axis.scatter([], [], color="gray", marker=marker, label=label)
    figure.colorbar(colors, ax=axis, label=metric)
    axis.legend(fontsize=8)
    axis.set(xticks=[], yticks=[])
    return as_svg(figure)


def calibration_figure(finished: Sequence[TrialRecord], metric: str) -> str | None:
    """Draws scores against what the surrogate had predicted (mean, and 95 % interval), of the trials that it chose."""
    known = [record for record in finished if record.predicted is not None]
    if len(known) < 2:
        return None
    figure, axis = new_axes()
    means, deviations = np.array([record.predicted for record in known], dtype=float).T
    scores = np.array([record.score for record in known], dtype=float)
    inside = is_inside(means, deviations, scores)
    axis.errorbar(means, scores, xerr=half_width(deviations), fmt="none", ecolor="#cccccc", lw=0.8, zorder=1)
    for chosen, color, label in ((inside, "#4c72b0", "inside of 95 %"), (~inside, "#c44e52", "outside")):
        axis.scatter(means[chosen], scores[chosen], s=18, color=color, zorder=2, label=f"{chosen.sum()} {label}")
    low, high = min(means.min(), scores.min()), max(means.max(), scores.max())
    axis.plot([low, high], [low, high], color="black", lw=0.8)
    axis.set(xlabel=f"predicted {metric}", ylabel=metric)
    axis.legend(fontsize=8)
    return as_svg(figure)


def lineage_figure(records: Sequence[TrialRecord]) -> str | None:
    """Draws trials by generation from left to right, with lines from parents to children; the better, the lighter."""
    trials = {record.candidate.spec.hash: record for record in records if record.score is not None}
    generation: dict[str, int] = {}
    for graph_hash, record in trials.items():  # parents finish before their children are proposed
        generation[graph_hash] = 1 + max(
            (generation.get(parent, -1) for parent in record.candidate.origin.parents), default=-1
        )
    if not any(generation.values()):
        return None
    columns: dict[int, list[str]] = {}
    for graph_hash, column in generation.items():
        columns.setdefault(column, []).append(graph_hash)
    places = {
        graph_hash: (column, (row + 0.5) / len(members))
        for column, members in columns.items()
        for row, graph_hash in enumerate(sorted(members, key=lambda name: trials[name].score or 0.0))
    }
    figure, axis = new_axes(height=max(3.0, 0.22 * max(map(len, columns.values()))))
    for graph_hash, record in trials.items():
        for parent in record.candidate.origin.parents:
            if parent in places:
                axis.plot(*zip(places[parent], places[graph_hash], strict=True), color="#bbbbbb", lw=0.8, zorder=1)
    xs, ys = zip(*places.values(), strict=True)
    axis.scatter(xs, ys, c=[trials[name].score for name in places], cmap="viridis", s=40, zorder=2)
    for graph_hash, (x, y) in places.items():
        axis.annotate(trials[graph_hash].trial, (x, y), fontsize=7, xytext=(5, -2), textcoords="offset points")
    axis.set(xticks=sorted(columns), yticks=[], xlabel="generation")
    return as_svg(figure)


def _scatter_by_origin(axis: Axes, records: Sequence[TrialRecord], xs: npt.NDArray[Any], ys: Points) -> None:
    """Puts a dot for each record (N,), in the color of its origin."""
    origins = np.array([record.candidate.origin.name for record in records])
    for number, origin in enumerate(np.unique(origins)):
        places, color = origins == origin, ORIGIN_COLORS[number % len(ORIGIN_COLORS)]
        axis.scatter(xs[places], ys[places], color=color, s=18, label=origin, zorder=3)


def new_axes(height: float = 3.4) -> tuple[Figure, Axes]:
    """Makes a picture of 6.4 by ``height`` inches, and its only axes."""
    figure = Figure(figsize=(6.4, height), layout="constrained")
    axis = figure.add_subplot()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def as_svg(figure: Figure) -> str:
    """Returns the picture as SVG text, the same for the same picture."""
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure.savefig(stream, format="svg", metadata={"Date": None})
    text = stream.getvalue()
    return re.sub(r' (?:width|height)="[\d.]+pt"', "", text[text.index("<svg") :], count=2)
