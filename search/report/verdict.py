"""What came out of a run, in a sentence and up to three numbers: beside the encoder it started from or a known
architecture where there is one, else on its own.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from ..names import spoken_name
from ..records.comparison_file import Comparison, Model, timed_in
from ..records.journal import TrialRecord

_SAME = 1.05
"""Up to so many times as fast or small counts as the same."""


@dataclass(frozen=True)
class Number:
    """A large number, what it is, its interval or what it is made of, and what it means."""

    value: str
    label: str
    interval: str
    meaning: str


@dataclass(frozen=True)
class Verdict:
    """``sentence``: what came out. ``details``: further sentences, the most important first. ``warnings``: what a
    reader must not overlook."""

    sentence: str
    numbers: list[Number]
    details: list[str] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)


def called(record: TrialRecord) -> str:
    """A trial as the report calls it."""
    return f"{spoken_name(record.candidate.spec.hash)} ({record.trial})"


def verdict_of(
    best: TrialRecord, metric: str, evaluation: Mapping[str, Any] | None, comparison: Comparison | None
) -> Verdict:
    """The verdict on the best trial.

    Args:
        evaluation: of the best model on held-out rows; None of a run that goes on. comparison: of the same model.
    """
    if comparison is None:
        return _alone(best, metric, evaluation)
    reference = comparison["models"][0]
    chosen = next((one for one in comparison["models"] if one["trial"] == best.trial), reference)
    if chosen is reference and reference["kind"] == "encoder":
        sentence = f"Nothing smaller was good enough: the encoder {reference['name']} itself is kept, fine-tuned."
        return Verdict(sentence, _own_numbers(chosen, comparison), *_further(chosen, reference, comparison))
    if chosen is reference:
        sentence = f"{called(best)} reaches {_of(chosen, comparison)} on {_rows(comparison)}."
        return Verdict(sentence, _own_numbers(chosen, comparison), *_further(chosen, reference, comparison))
    sentence = f"{called(best)} {_how_well(chosen, reference, comparison)}{_how_light(chosen, reference)}."
    return Verdict(sentence, _numbers_beside(chosen, reference, comparison), *_further(chosen, reference, comparison))


def title_of(model: Model) -> str:
    """What a model of the comparison is called in sentences."""
    return f"the baseline {model['name']}" if model["kind"] == "baseline" else model["name"]


def is_told_apart(model: Model) -> bool:
    """Whether chance alone hardly makes such a difference to the first model."""
    _, low, high = model["difference"]
    return not low <= 0 <= high


def times_faster(model: Model, reference: Model) -> tuple[float, float, float] | None:
    """How many times as fast, with the interval that the ends of both times span."""
    now, whole = model["latency"], reference["latency"]
    if now is None or whole is None:
        return None
    return (
        whole["median_ms"] / now["median_ms"],
        whole["low_ms"] / now["high_ms"],
        whole["high_ms"] / now["low_ms"],
    )


def _how_well(chosen: Model, reference: Model, comparison: Comparison) -> str:
    beside, points = title_of(reference), f"{100 * abs(chosen['difference'][0]):.1f} points of {comparison['metric']}"
    if not is_told_apart(chosen):
        return f"answers as well as {beside}, as far as {_rows(comparison)} can tell"
    if chosen["difference"][0] > 0:
        return f"answers better than {beside}, by {points}"
    return f"answers less well than {beside}, by {points}"


def _how_light(chosen: Model, reference: Model) -> str:
    speed, said = times_faster(chosen, reference), []
    size = reference["parameters"] / chosen["parameters"]
    for times, more, less in ((speed[0] if speed else None, "faster", "slower"), (size, "smaller", "larger")):
        if times is not None and max(times, 1 / times) > _SAME:
            said.append(f"{times:.1f} times {more}" if times > 1 else f"{1 / times:.1f} times {less}")
    return f", and is {' and '.join(said)}" if said else ", and is about as fast and as large"


def _numbers_beside(chosen: Model, reference: Model, comparison: Comparison) -> list[Number]:
    beside = title_of(reference)
    kept, (difference, low, high) = chosen["kept"], chosen["difference"]
    numbers = [
        Number(
            f"{100 * kept[0]:.1f} %",
            "of the score kept",
            f"95 % interval {100 * kept[1]:.1f} to {100 * kept[2]:.1f} %",
            f"{_of(chosen, comparison)} against {reference['score'][0]:.4f} of {beside}",
        )
        if kept
        else Number(
            f"{100 * difference:+.1f}",
            f"points of {comparison['metric']}",
            f"95 % interval {100 * low:+.1f} to {100 * high:+.1f}",
            f"beside {beside}",
        ),
        Number(
            f"{reference['parameters'] / chosen['parameters']:.1f} x",
            "smaller",
            "counted, so without interval",
            f"{chosen['parameters']:,} parameters against {reference['parameters']:,}",
        ),
    ]
    speed = times_faster(chosen, reference)
    if speed is not None and chosen["latency"] and reference["latency"]:
        numbers.append(
            Number(
                f"{speed[0]:.1f} x",
                "as fast",
                f"95 % interval {speed[1]:.1f} to {speed[2]:.1f}",
                f"{chosen['latency']['median_ms']:.2f} ms against {reference['latency']['median_ms']:.2f} ms for "
                f"{timed_in(comparison)}",
            )
        )
    return numbers


def _own_numbers(chosen: Model, comparison: Comparison) -> list[Number]:
    score, low, high = chosen["score"]
    numbers = [
        Number(f"{score:.4f}", comparison["metric"], f"95 % interval {low:.4f} to {high:.4f}", _rows(comparison)),
        Number(_short(chosen["parameters"]), "parameters", "counted", f"{chosen['parameters']:,} numbers were learned"),
    ]
    if time := chosen["latency"]:
        interval = f"95 % interval {time['low_ms']:.2f} to {time['high_ms']:.2f}"
        numbers.append(Number(f"{time['median_ms']:.2f}", "milliseconds", interval, f"for {timed_in(comparison)}"))
    return numbers


def _further(chosen: Model, reference: Model, comparison: Comparison) -> tuple[list[str], list[str]]:
    """Details and warnings."""
    details, warnings = [], [f"Not reached: {problem}." for problem in comparison["unmet"]]
    if chosen is not reference:
        difference, low, high = (100 * value for value in chosen["difference"])
        chance = (
            "more than chance explains"
            if is_told_apart(chosen)
            else "which chance alone explains: they are not told apart"
        )
        details.append(
            f"On {_rows(comparison)} the difference to {title_of(reference)} is {difference:+.1f} points of "
            f"{comparison['metric']} (95 % interval {low:+.1f} to {high:+.1f}), {chance}."
        )
    simple = max(
        (one for one in comparison["models"] if one["kind"] == "simple"), key=lambda one: one["score"][0], default=None
    )
    if simple is not None:
        said = f"Without training a network, {simple['name']} reaches {_of(simple, comparison)}"
        lead, low, high = (100 * value for value in simple["behind"])
        if low > 0:
            details.append(f"{said}: {lead:.1f} points ({low:.1f} to {high:.1f}) less than the best.")
        elif high < 0:
            by = f"{-lead:.1f} points ({-high:.1f} to {-low:.1f})"
            warnings.append(f"{said}: {by} more than the best model. Use that, or train for longer.")
        else:
            warnings.append(
                f"{said}, which is not told apart from the best model: this task may not need a network like these."
            )
    return details, warnings


def _alone(best: TrialRecord, metric: str, evaluation: Mapping[str, Any] | None) -> Verdict:
    """Of a run that goes on, and of older ones."""
    numbers = []
    error = best.objectives.get("score_error")
    if evaluation and evaluation["metrics"].get(metric) is not None:
        error = evaluation.get("score_error")
        score, rows = evaluation["metrics"][metric], evaluation["split"]
        sentence = f"{called(best)} is the best model: {metric} {score:.4f} on {rows}."
    else:
        score, rows = best.score or 0.0, "validation"
        sentence = f"{called(best)} is the best so far: {metric} {best.scored} on validation."
    interval = "standard error unknown" if error is None else f"± {error:.4f}, one standard error"
    numbers.append(Number(f"{score:.4f}", metric, interval, f"on {rows}"))
    if parameters := best.objectives.get("parameters"):
        numbers.append(Number(_short(parameters), "parameters", "counted", f"{parameters:,.0f} numbers were learned"))
    if time := best.objectives.get("latency_ms"):
        ends = [best.objectives.get(f"latency_{end}_ms") for end in ("low", "high")]
        interval = f"95 % interval {ends[0]:.2f} to {ends[1]:.2f}" if None not in ends else "measured once"
        speed = (evaluation or {}).get("speed")
        numbers.append(Number(f"{time:.2f}", "milliseconds", interval, f"measured again: {speed}" if speed else ""))
    return Verdict(sentence, numbers)


def _of(model: Model, comparison: Comparison) -> str:
    score, low, high = model["score"]
    return f"{comparison['metric']} {score:.4f} ({low:.4f} to {high:.4f})"


def _rows(comparison: Comparison) -> str:
    return f"{comparison['rows']:,} {comparison['split']} rows"


def _short(number: float) -> str:
    """A large number as people say it."""
    for size, letter in ((1e9, " B"), (1e6, " M"), (1e3, " k")):
        if number >= size:
            return f"{number / size:.3g}{letter}"
    return f"{number:g}"
