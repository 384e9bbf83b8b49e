"""What a search's numbers and architectures are called where people read them; files and flags have shorter names."""

from collections.abc import Iterable, Mapping

from design_space import ModelSpec, operation_named

from .candidate import Origin
from .names import spoken_name

OBJECTIVES = {
    "parameters": "parameters",
    "latency_ms": "milliseconds for a forward pass",
    "latency_low_ms": "milliseconds, low end of the 95 % interval",
    "latency_high_ms": "milliseconds, high end of the 95 % interval",
    "flops": "operations of a forward pass",
    "size_mb": "megabytes of the file",
    "score_error": "standard error of the score",
}
"""By their names in files; others are called as there."""


def objective(name: str) -> str:
    """What a number of a trial is."""
    return OBJECTIVES.get(name, name)


def architecture(spec: ModelSpec) -> str:
    """An architecture in a phrase, from the fewest to the most of what its layers have: ``6 layers, 384 wide, each with
    1 to 7 heads of self-attention, feed-forward 15 to 800 wide``. ``candidate.describe`` tells each layer."""
    layers = spec.layers
    meanings = dict.fromkeys(operation_named(head.operation).meaning for layer in layers for head in layer.heads)
    counts = [len(layer.heads) for layer in layers]
    heads = f"{_range(counts)} head{'s' * (max(counts) > 1)} of {' or '.join(meanings)}"
    wide, fed = (layer.hidden_size for layer in layers), (size for layer in layers for size in layer.feed_forward)
    number = f"{len(layers)} layer{'s' * (len(layers) > 1)}"
    return f"{number}, {_range(wide)} wide, each with {heads}, feed-forward {_range(fed)} wide"


def origin(made: Origin, trials: Mapping[str, str]) -> str:
    """Where first weights came from: ``prune of brave otter (t0001), density 0.42``.

    Args:
        trials: of a run by the hash of their architecture; a parent that is none of them has no number.
    """
    parents = [spoken_name(parent) + (f" ({trials[parent]})" if parent in trials else "") for parent in made.parents]
    values = [
        f"{name} {value:.3g}" if isinstance(value, float) else f"{name} {value}" for name, value in made.arguments
    ]
    of_parents = f" of {' and '.join(parents)}" if parents else ""
    return ", ".join([made.name + of_parents, *values])


def _range(numbers: Iterable[int]) -> str:
    low, *_, high = sorted([*numbers] * 2)
    return f"{low:,}" if low == high else f"{low:,} to {high:,}"
