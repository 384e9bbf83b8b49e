"""The report's plots, as SVG text to put into the page.

Each function returns None where there is nothing to draw yet. A mark of a trial links to its entry of the page.
"""

from collections.abc import Mapping, Sequence
from typing import Any
from urllib.parse import quote

import numpy as np
import numpy.typing as npt
import torch
from botorch.utils.multi_objective.pareto import is_non_dominated
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.ticker import EngFormatter

from ..names import spoken_name
from ..records.calibration import half_width, is_inside
from ..records.journal import TrialRecord
from ..words import OBJECTIVES
from .svg import FAINT, INK, MARKERS, SERIES, as_svg, new_axes

Points = npt.NDArray[np.float64]
Curve = tuple[list[float], list[float]]
"""Where, and how high."""

_MOST_CURVES = 12


def anchor(trial: str) -> str:
    """The name of the place of the page that tells of a trial."""
    return f"trial-{quote(trial)}"


def progress_figure(finished: Sequence[TrialRecord], metric: str, references: Mapping[str, float]) -> str | None:
    """Draws the score of every finished trial in order, by origin, and the best so far.

    Args:
        references: scores to be drawn as lines, by name.
    """
    if not finished:
        return None
    figure, axis = new_axes()
    scores = np.array([record.score for record in finished], dtype=float)
    numbers = np.arange(1, len(scores) + 1)
    _scatter_by_origin(axis, finished, numbers, scores)
    axis.step(numbers, np.maximum.accumulate(scores), where="post", color=INK, lw=1, label="best so far")
    for name, score in references.items():
        axis.axhline(score, color=FAINT, ls="--", lw=1)
        axis.annotate(name, (numbers[-1], score), fontsize=8, ha="right", va="bottom")
    axis.set(xlabel="finished trials", ylabel=f"{metric} on validation")
    axis.locator_params(axis="x", integer=True)
    axis.legend(fontsize=8, framealpha=0)
    return as_svg(figure, _titles(finished))


def tradeoff_figure(
    finished: Sequence[TrialRecord], metric: str, objective: str, *, limit: float | None = None
) -> str | None:
    """Draws the score, with its standard error, against an objective that should be small, with the trials that no
    other beats in both, and its limit."""
    known = [record for record in finished if objective in record.objectives]
    if len(known) < 2:
        return None
    figure, axis = new_axes()
    costs = np.array([record.objectives[objective] for record in known])
    scores = np.array([record.score for record in known], dtype=float)
    errors = np.array([record.objectives.get("score_error", 0.0) for record in known])
    if errors.any():
        axis.errorbar(costs, scores, yerr=errors, fmt="none", ecolor=FAINT, lw=0.8, zorder=1)
    _scatter_by_origin(axis, known, costs, scores)
    front = pareto_front(costs, scores)
    axis.step(costs[front], scores[front], where="post", color=INK, lw=1, label="Pareto front")
    for place in front:
        axis.annotate(
            known[place].trial, (costs[place], scores[place]), fontsize=7, xytext=(3, 3), textcoords="offset points"
        )
    if limit is not None:
        axis.axvline(limit, color=FAINT, ls="--", lw=1, label="limit of the search")
    axis.xaxis.set_major_formatter(EngFormatter())
    axis.set(xlabel=OBJECTIVES[objective], ylabel=f"{metric} on validation")
    axis.legend(fontsize=8, framealpha=0)
    return as_svg(figure, _titles(known))


def pareto_front(costs: Points, scores: Points) -> list[int]:
    """Returns the indices of the points that no other point beats in both, by rising cost; of equal points one."""
    front = is_non_dominated(torch.from_numpy(np.column_stack([-costs, scores]))).numpy()
    return [int(place) for place in np.argsort(costs, kind="stable") if front[place]]


def curves_figure(curves: Mapping[str, Curve], records: Sequence[TrialRecord], xlabel: str, ylabel: str) -> str | None:
    """Draws what trials said while they were trained: the first of the records in color, a few others faintly.

    Args:
        curves: by trial. records: the best first; those without a curve of two points or more are left out.
    """
    shown = [record for record in records if len(curves.get(record.trial, ([], []))[0]) > 1][:_MOST_CURVES]
    if not shown:
        return None
    figure, axis = new_axes()
    for number, record in reversed(list(enumerate(shown))):
        is_first = number == 0
        (line,) = axis.plot(
            *curves[record.trial],
            color=SERIES[0] if is_first else FAINT,
            lw=2 if is_first else 0.9,
            ls="-" if record.score is not None else ":",
            zorder=3 if is_first else 1,
        )
        xs, ys = curves[record.trial]
        end = axis.scatter(xs[-1:], ys[-1:], s=16, color=line.get_color(), zorder=4)
        end.set_urls([f"#{anchor(record.trial)}"])
        if is_first:
            axis.annotate(record.trial, (xs[-1], ys[-1]), fontsize=8, xytext=(4, 4), textcoords="offset points")
    axis.set(xlabel=xlabel, ylabel=ylabel)
    return as_svg(figure, _titles(shown))


def map_figure(
    library: Points, trained: Points, records: Sequence[TrialRecord], *, are_members: Sequence[bool], metric: str
) -> str | None:
    """Draws the library in the two directions in which its vectors vary most; what was trained by score, others than
    members as triangles.

    Args:
        library: (N, K). trained: (M, K), of M records.
    """
    if not len(records):
        return None
    middle = library.mean(0)
    directions = np.linalg.svd(library - middle, full_matrices=False)[2][:2].T
    points, places = (library - middle) @ directions, (trained - middle) @ directions
    values = np.array([record.score for record in records], dtype=float)
    shown = np.random.default_rng(0).permutation(len(points))[:3000]  # a page one can still open
    figure, axis = new_axes()
    axis.scatter(points[shown, 0], points[shown, 1], s=2, color=FAINT, linewidths=0, rasterized=True, alpha=0.6)
    colors = ScalarMappable(Normalize(values.min(), values.max()), "viridis")
    for marker, chosen, label in (
        ("o", np.array(are_members), "of the library"),
        ("^", ~np.array(are_members), "made by pruning, stitching, merging"),
    ):
        if chosen.any():
            x, y, color = places[chosen, 0], places[chosen, 1], colors.to_rgba(values[chosen])
            marks = axis.scatter(x, y, c=color, s=30, marker=marker, edgecolors="white", lw=0.5)
            marks.set_urls(
                [f"#{anchor(record.trial)}" for record, is_one in zip(records, chosen, strict=True) if is_one]
            )
            axis.scatter([], [], color="gray", marker=marker, label=label)
    figure.colorbar(colors, ax=axis, label=metric)
    axis.legend(fontsize=8, framealpha=0)
    axis.set(xticks=[], yticks=[])
    return as_svg(figure, _titles(records))


def calibration_figure(finished: Sequence[TrialRecord], metric: str) -> str | None:
    """Draws scores against what the surrogate had predicted (mean, and 95 % interval), of the trials that it chose."""
    known = [record for record in finished if record.predicted is not None]
    if len(known) < 2:
        return None
    figure, axis = new_axes()
    means, deviations = np.array([record.predicted for record in known], dtype=float).T
    scores = np.array([record.score for record in known], dtype=float)
    inside = is_inside(means, deviations, scores)
    axis.errorbar(means, scores, xerr=half_width(deviations), fmt="none", ecolor=FAINT, lw=0.8, zorder=1)
    for chosen, color, marker, label in (
        (inside, SERIES[0], "o", "inside of 95 %"),
        (~inside, SERIES[3], "X", "outside"),
    ):
        marks = axis.scatter(
            means[chosen], scores[chosen], s=18, color=color, marker=marker, zorder=2, label=f"{chosen.sum()} {label}"
        )
        marks.set_urls([f"#{anchor(record.trial)}" for record, is_one in zip(known, chosen, strict=True) if is_one])
    low, high = min(means.min(), scores.min()), max(means.max(), scores.max())
    axis.plot([low, high], [low, high], color=INK, lw=0.8)
    axis.set(xlabel=f"predicted {metric}", ylabel=f"{metric} on validation")
    axis.legend(fontsize=8, framealpha=0)
    return as_svg(figure, _titles(known))


def said_of(record: TrialRecord) -> str:
    """A trial in one line."""
    size, time = record.objectives.get("parameters"), record.objectives.get("latency_ms")
    parts = [f"{record.trial} {spoken_name(record.candidate.spec.hash)}: {record.scored}"]
    if size is not None:
        parts.append(f"{size:,.0f} parameters")
    if time is not None:
        parts.append(f"{time:.2f} ms")
    return ", ".join([*parts, record.candidate.origin.name])


def _titles(records: Sequence[TrialRecord]) -> dict[str, str]:
    return {anchor(record.trial): said_of(record) for record in records}


def _scatter_by_origin(axis: Axes, records: Sequence[TrialRecord], xs: npt.NDArray[Any], ys: Points) -> None:
    """Puts a mark for each record (N,), in the color and shape of its origin."""
    origins = np.array([record.candidate.origin.name for record in records])
    for number, origin in enumerate(np.unique(origins)):
        chosen = origins == origin
        color, marker = SERIES[number % len(SERIES)], MARKERS[number % len(MARKERS)]
        marks = axis.scatter(xs[chosen], ys[chosen], s=22, label=origin, zorder=3, color=color, marker=marker)
        marks.set_urls([f"#{anchor(record.trial)}" for record, is_one in zip(records, chosen, strict=True) if is_one])
