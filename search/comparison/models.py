"""Saved models side by side: scores with intervals on the same rows, sizes, and speeds measured in turn.

Intervals are percentiles of a bootstrap over rows (Efron 1979): the same resampled rows for every model, so that the
difference to the reference has an interval of its own. Shapes: N rows, R resamples.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from dataset import PreparedData
from dataset.task import SPLITS
from flexibert import Latency, measure_in_turn

from ..records.comparison_file import Comparison, Kind, Model, timed_in
from ..training.evaluate import predict
from ..training.samplers import lengths_of
from ..training.task_heads import model_class
from ..training.uncertainty import interval, resampled_scores
from .simple_baselines import SimpleBaseline

RESAMPLES, CONFIDENCE, _REPEATS = 1000, 0.95, 30
THREADS = 1

Array = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Compared:
    """One of several models.

    Attributes:
        score: the task's metric, with its interval ``low`` to ``high``.
        difference: to the score of the reference, with its interval; zeros for the reference itself.
        behind: what the best one scores more, with its interval.
        kept: the share of the reference's score, with its interval; None where the reference may have a score of 0.
        parameters: of the whole model.
        latency: of a forward pass, beside those of the others; None of a simple baseline.
        note: how a simple baseline was made.
        outputs: of each row.
    """

    name: str
    score: float
    low: float
    high: float
    difference: tuple[float, float, float]
    behind: tuple[float, float, float]
    kept: tuple[float, float, float] | None
    parameters: int
    latency: Latency | None
    note: str = ""
    outputs: Array = field(repr=False, compare=False)

    @property
    def is_told_apart(self) -> bool:
        """Whether the difference to the reference is larger than chance explains."""
        return not self.difference[1] <= 0 <= self.difference[2]


def usual_length(data: PreparedData) -> int:
    """The tokens of the text that is timed: as many as half of the texts have at most, in eights."""
    return min(8 * -(-int(np.median(lengths_of(data.split("train")))) // 8), data.max_length)


def compare_models(
    folders: Mapping[str, Path],
    data: PreparedData,
    split: str,
    *,
    length: int,
    threads: int,
    batch_size: int = 1,
    runtime: str = "torch",
    simple: Sequence[SimpleBaseline] = (),
    best: str | None = None,
) -> list[Compared]:
    """Models in folders, by name; the first is the reference.

    Args:
        split: whose rows are scored, in PyTorch. length: tokens of the sequences that are timed. runtime: that is
            timed. simple: what else answered the same rows. best: which the run chose; the first when not given.
    """
    loaded = [model_class(data).from_pretrained(folder).eval() for folder in folders.values()]
    condition = {"batch_size": batch_size, "length": length, "threads": threads}
    speeds = measure_in_turn(loaded, **condition, runtime=runtime, repeats=_REPEATS)
    outputs = [predict(folder, data, split) for folder in folders.values()] + [one.outputs for one in simple]
    sizes = [sum(parameter.numel() for parameter in model.parameters()) for model in loaded]
    answers = [data.answers(of_model, split) for of_model in outputs]
    scores = [data.compute_metrics(*of_model)[data.metric] for of_model in answers]
    resampled = np.array(
        [resampled_scores(data, *of_model, resamples=RESAMPLES, drawn=len(of_model[1])) for of_model in answers]
    )
    chosen = list(folders).index(best) if best else 0
    has_shares = np.nanmin(resampled[0]) > 0
    found = []
    for place, name in enumerate([*folders, *(one.name for one in simple)]):
        baseline = simple[place - len(folders)] if place >= len(folders) else None
        low, high = interval(resampled[place], scores[place], CONFIDENCE, rows=len(answers[place][1]))
        found.append(
            Compared(
                name=name,
                score=scores[place],
                low=low,
                high=high,
                difference=_with_ends(scores[place] - scores[0], resampled[place] - resampled[0]),
                behind=_with_ends(scores[chosen] - scores[place], resampled[chosen] - resampled[place]),
                kept=_with_ends(scores[place] / scores[0], resampled[place] / resampled[0]) if has_shares else None,
                parameters=sizes[place] if baseline is None else baseline.parameters,
                latency=speeds[place] if baseline is None else None,
                note="" if baseline is None else baseline.note,
                outputs=outputs[place],
            )
        )
    return found


def _with_ends(value: float, resampled: Array) -> tuple[float, float, float]:
    return (float(value), *interval(resampled, float(value), CONFIDENCE))


def as_comparison(
    compared: Sequence[Compared],
    data: PreparedData,
    split: str,
    *,
    length: int,
    runtime: str,
    kinds: Mapping[str, tuple[Kind, str | None]],
    unmet: Sequence[str] = (),
) -> Comparison:
    """What a run directory keeps of it.

    Args:
        kinds: of models by name, what they are, and the trial that made them. unmet: which goals were missed.
    """
    models = []
    for one in compared:
        kind, trial = kinds.get(one.name, ("simple", None))
        models.append(
            Model(
                name=one.name,
                kind=kind,
                trial=trial,
                score=[one.score, one.low, one.high],
                difference=list(one.difference),
                behind=list(one.behind),
                kept=list(one.kept) if one.kept else None,
                parameters=one.parameters,
                latency={name: getattr(one.latency, name) for name in ("median_ms", "low_ms", "high_ms")}  # type: ignore[typeddict-item]
                if one.latency
                else None,
                note=one.note,
            )
        )
    return Comparison(
        metric=data.metric,
        split=split,
        rows=data.sizes[split],
        sizes={name: data.sizes[name] for name in SPLITS if name in data.sizes},
        length=length,
        threads=THREADS,
        runtime=runtime,
        models=models,
        unmet=list(unmet),
    )


def comparison_text(compared: Sequence[Compared], comparison: Comparison) -> str:
    """In Markdown: what was measured, and the table."""
    heading = f"On {comparison['split']} ({comparison['rows']:,} rows); times are of {timed_in(comparison)}."
    return f"{heading}\n\n{comparison_table(compared, comparison['metric'])}"


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
            f"| {one.parameters:,} | {reference.parameters / one.parameters:.2f} x | {_speed(one, reference)} |"
        )
    return "\n".join(lines) + "\n"


def _speed(one: Compared, reference: Compared) -> str:
    if one.latency is None or reference.latency is None:
        return "- | -"
    ms = one.latency
    times = ms.times_as_fast_as(reference.latency)
    return f"{ms.median_ms:.2f} ({ms.low_ms:.2f} to {ms.high_ms:.2f}) | {times:.2f} x"
