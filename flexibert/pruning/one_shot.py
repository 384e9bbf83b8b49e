"""A smaller model from a trained one without training: choose by importance, remove, repair by least squares."""

import bisect
import statistics
from collections.abc import Callable, Iterable
from typing import Any, overload

from torch import nn

from design_space import ModelSpec

from ..runtimes.latency import forward_times_ms
from .extraction import KeptStructure, extract_submodel, submodel_spec
from .families import Family
from .importance import Batch, Importance, on_device
from .shrinker import Shrinker
from .spec_space import check_density, layer_weights, linear_weights, prune_spec
from .units import ranked_units, without

LATENCY_STEPS, LATENCY_REPEATS = 6, 5
REFILLED = 32  # removals that are reconsidered at the end
Sizes = Callable[[list[KeptStructure]], float]


@overload
def prune(model: ModelSpec, *, density: float | None = ..., parameters: int | None = ...) -> ModelSpec: ...


@overload
def prune(
    model: nn.Module,
    *,
    density: float | None = ...,
    parameters: int | None = ...,
    latency_ms: float | None = ...,
    spec: ModelSpec | None = ...,
    examples: Iterable[Batch] | None = ...,
    repair: bool = ...,
    family: Family | None = ...,
) -> Any: ...


def prune(
    model: Any,
    *,
    density: float | None = None,
    parameters: int | None = None,
    latency_ms: float | None = None,
    spec: ModelSpec | None = None,
    examples: Iterable[Batch] | None = None,
    repair: bool = True,
    family: Family | None = None,
) -> Any:
    """A dense smaller model of ``model`` (which is not changed), or of a ``ModelSpec`` the child's spec.

    Heads and groups of neurons with the least importance per weight go first, over all layers; every layer keeps one
    of each. With ``spec`` the numbers are those of that spec, of layers and channels too, and importance says which
    (see ``Shrinker``, which makes many children of one model).

    Args:
        model: a trained model with a task head, of a family that ``MovementPruner`` compacts; or a spec, for which
            see ``prune_spec``: the same share from every layer.
        density: share of the encoder's linear weights to keep, in (0, 1].
        parameters: number of all parameters of the model, at most.
        latency_ms: time of a forward pass over the first batch of ``examples``, at most (median, on this machine).
        spec: the child's spec, any that the model's own ``holds``.
        examples: batches with labels, a few hundred examples in all.
        repair: whether what is left is refitted to the parent's outputs.
        family: as for ``MovementPruner``.

    Returns:
        A FlexiBERT or FlexiViT model, in the mode of ``model``.

    Raises:
        ValueError: when not exactly one target is given, it cannot be reached, or there are no examples; listing what
            does not fit of a spec that the model does not hold.
    """
    if isinstance(model, ModelSpec):
        return prune_spec(model, density=density, parameters=parameters)
    targets = {"density": density, "parameters": parameters, "latency_ms": latency_ms, "spec": spec}
    given = [name for name, value in targets.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"Exactly one of {', '.join(targets)} must be given. Got {', '.join(given) or 'none'}")
    if density is not None:
        check_density(density)
    shrinker = Shrinker(model, examples or [], family=family)
    if spec is not None:
        return shrinker.child(spec, repair=repair)
    parent, importances = shrinker.parent, shrinker.importances
    if latency_ms is not None:
        kept = _within_latency(parent, importances, latency_ms, shrinker.batches[0])
    elif parameters is not None:
        kept = _within(parent, importances, parameters, lambda found: _num_parameters(parent, found), "parameters")
    else:
        assert density is not None
        own, config = parent.config.model_spec, parent.config
        kept = _within(
            parent,
            importances,
            density * linear_weights(own, config),
            lambda found: linear_weights(submodel_spec(own, found), config),
            "linear weights",
        )
    return shrinker.extracted(kept, repair=repair)


def _within(
    parent: Any, importances: list[Importance], target: float, size_of: Sizes, what: str
) -> list[KeptStructure]:
    """The fewest removals, least important first, that bring the size to the target."""
    spec = parent.config.model_spec
    units = ranked_units(spec, importances)
    smallest = size_of(without(spec, units))
    if not smallest <= target:  # nor if the target is no number
        raise ValueError(
            f"The target of {target:.0f} {what} must be at least {smallest:.0f}, what remains with one head and one "
            "group of neurons per layer"
        )
    counts = range(len(units) + 1)
    gone = units[: bisect.bisect_left(counts, True, key=lambda count: size_of(without(spec, units[:count])) <= target)]
    for unit in list(reversed(gone))[:REFILLED]:  # the last may have been a large one, next to which others have room
        others = [other for other in gone if other is not unit]
        if size_of(without(spec, others)) <= target:
            gone = others
    return without(spec, gone)


def _within_latency(parent: Any, importances: list[Importance], latency_ms: float, batch: Batch) -> list[KeptStructure]:
    """The densest of a bisection over density that is fast enough, as measured."""
    low, high = 0.0, 1.0
    units = ranked_units(parent.config.model_spec, importances)
    best = without(parent.config.model_spec, units)
    fastest = _measured_ms(extract_submodel(parent, best), batch)
    if not fastest <= latency_ms:
        raise ValueError(
            f"'latency_ms' must be at least {fastest:.2f} for this model on this machine. Got {latency_ms}"
        )
    if _measured_ms(parent, batch) <= latency_ms:
        return without(parent.config.model_spec, [])
    for _ in range(LATENCY_STEPS):
        middle = (low + high) / 2
        found = without(parent.config.model_spec, units[: round((1 - middle) * len(units))])
        if _measured_ms(extract_submodel(parent, found), batch) <= latency_ms:
            low, best = middle, found
        else:
            high = middle
    return best


def _num_parameters(parent: Any, kept: list[KeptStructure]) -> int:
    """The size of the whole model: what its layers lose is known from the specs."""
    spec, config = parent.config.model_spec, parent.config
    lost = layer_weights(spec, config) - layer_weights(submodel_spec(spec, kept), config)
    return sum(parameter.numel() for parameter in parent.parameters()) - lost


def _measured_ms(model: Any, batch: Batch) -> float:
    """Returns the median time of a forward pass, without labels, in evaluation mode."""
    inputs = {name: x for name, x in on_device(batch, model).items() if name != "labels"}
    return statistics.median(forward_times_ms(model, inputs, repeats=LATENCY_REPEATS, warm_ups=1))
