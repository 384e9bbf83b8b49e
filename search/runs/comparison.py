"""Saved models side by side: scores with intervals on the same rows, sizes, and speeds measured in turn.

Intervals are percentiles of a bootstrap over rows (Efron 1979): the same resampled rows for every model, so that the
difference to the reference has an interval of its own. Shapes: N rows, R resamples.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dataset import PreparedData
from flexibert import Latency, measure_in_turn

from ..training.evaluate import predict
from ..training.task_heads import model_class

RESAMPLES, CONFIDENCE, _REPEATS = 1000, 0.95, 30


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of several models.

    Attributes:
        score: the task's metric, with its interval ``low`` to ``high``.
        difference: to the score of the reference, with its interval; zeros for the reference itself.
        parameters: of the whole model.
        latency: of a forward pass, beside those of the others.
    """

    name: str
    score: float
    low: float
    high: float
    difference: tuple[float, float, float]
    parameters: int
    latency: Latency

    @property
    def is_told_apart(self) -> bool:
        """Whether the difference to the reference is larger than chance explains."""
        return not self.difference[1] <= 0 <= self.difference[2]


def compare_models(
    folders: Mapping[str, Path],
    data: PreparedData,
    split: str,
    *,
    length: int,
    threads: int,
    batch_size: int = 1,
    runtime: str = "torch",
) -> list[Compared]:
    """Models in folders, by name; the first is the reference.

    Args:
        split: whose rows are scored, in PyTorch. length: tokens of the sequences that are timed. runtime: that is
            timed.
    """
    loaded = [model_class(data).from_pretrained(folder).eval() for folder in folders.values()]
    condition = {"batch_size": batch_size, "length": length, "threads": threads}
    speeds = measure_in_turn(loaded, **condition, runtime=runtime, repeats=_REPEATS)
    outputs = [data.answers(predict(folder, data, split), split) for folder in folders.values()]
    scores = [data.compute_metrics(*answers)[data.metric] for answers in outputs]
    resampled = np.array([_resampled_scores(data, *answers) for answers in outputs])
    tails = 100 * (1 - CONFIDENCE) / 2, 100 * (1 + CONFIDENCE) / 2
    found = []
    for name, model, speed, score, of_model in zip(folders, loaded, speeds, scores, resampled, strict=True):
        low, high = np.nanpercentile(of_model, tails)
        worse, better = np.nanpercentile(of_model - resampled[0], tails)
        found.append(
            Compared(
                name=name,
                score=score,
                low=float(low),
                high=float(high),
                difference=(score - scores[0], float(worse), float(better)),
                parameters=sum(parameter.numel() for parameter in model.parameters()),
                latency=speed,
            )
        )
    return found


def comparison_table(compared: Sequence[Compared], metric: str) -> str:
    """In Markdown: each model beside the reference, which comes first."""
    reference = compared[0]
    lines = [
        f"| model | {metric} (95 % interval) | of {reference.name}'s | parameters | smaller | ms (95 % interval) "
        "| faster |",
        "| --- " * 7 + "|",
    ]
    for one in compared:
        share = f"{100 * one.score / reference.score:.1f} %" if reference.score else "-"
        same = "" if one is reference or one.is_told_apart else ", cannot be told apart"
        lines.append(
            f"| {one.name} | {one.score:.4f} ({one.low:.4f} to {one.high:.4f}) | {share}{same} "
            f"| {one.parameters:,} | {reference.parameters / one.parameters:.2f} x "
            f"| {one.latency.median_ms:.2f} ({one.latency.low_ms:.2f} to {one.latency.high_ms:.2f}) "
            f"| {one.latency.times_as_fast_as(reference.latency):.2f} x |"
        )
    return "\n".join(lines) + "\n"


def _resampled_scores(data: PreparedData, predictions: Any, labels: Any) -> list[float]:
    """(R,) scores of rows drawn with replacement, the same for every model; not a number where a resample has no
    score, as one of a single class may."""
    rng, rows, scores = np.random.default_rng(0), len(labels), []
    for _ in range(RESAMPLES):
        places = rng.integers(rows, size=rows)
        try:
            scores.append(data.compute_metrics(_at(predictions, places), _at(labels, places))[data.metric])
        except ValueError:
            scores.append(math.nan)
    return scores


def _at(rows: Any, places: np.ndarray) -> Any:
    return rows[places] if isinstance(rows, np.ndarray) else [rows[place] for place in places.tolist()]
