"""A smaller model from a trained one without training: choose by importance, remove, repair by least squares."""

import statistics
from collections.abc import Callable, Iterable
from typing import Any, overload

from torch import nn

from design_space import ModelSpec
from design_space.subarchitectures import has_removable_heads, neuron_multiple

from ..checkpoints.model_card import add_to_lineage
from ..cost.latency import forward_times_ms
from .compaction import KeptStructure, extract_submodel, submodel_spec
from .families import Family, family_of
from .importance import Batch, Importance, importance_of, on_device
from .pruner import materialize_masks
from .repair import repair as repair_outputs
from .spec_space import check_density, layer_weights, linear_weights, prune_spec

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
    of each. With ``spec`` the numbers are those of that spec, and importance says which.

    Args:
        model: a trained model with a task head, of a family that ``MovementPruner`` compacts; or a spec, for which
            see ``prune_spec``: the same share from every layer.
        density: share of the encoder's linear weights to keep, in (0, 1].
        parameters: number of all parameters of the model, at most.
        latency_ms: time of a forward pass over the first batch of ``examples``, at most (median, on this machine).
        spec: the child's spec, as ``prune(parent_spec, ...)`` gives it.
        examples: batches with labels, a few hundred examples in all.
        repair: whether what is left is refitted to the parent's outputs.
        family: as for ``MovementPruner``.

    Returns:
        A FlexiBERT or FlexiViT model, in the mode of ``model``.

    Raises:
        ValueError: when not exactly one target is given, it cannot be reached, or there are no examples.
    """
    if isinstance(model, ModelSpec):
        return prune_spec(model, density=density, parameters=parameters)
    targets = {"density": density, "parameters": parameters, "latency_ms": latency_ms, "spec": spec}
    given = [name for name, value in targets.items() if value is not None]
    if len(given) != 1:
        raise ValueError(f"Exactly one of {', '.join(targets)} must be given. Got {', '.join(given) or 'none'}")
    if density is not None:
        check_density(density)
    batches = list(examples or [])
    parent = materialize_masks(model, family or family_of(model))
    importances = importance_of(parent, batches)
    if spec is not None:
        kept = _kept_of_spec(parent, importances, spec)
    elif latency_ms is not None:
        kept = _within_latency(parent, importances, latency_ms, batches[0])
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
    small = extract_submodel(parent, kept)
    if repair:
        repair_outputs(small, parent, batches)
    before, after = (linear_weights(x.config.model_spec, x.config) for x in (parent, small))
    repaired = " and repaired by least squares" if repair else ""
    add_to_lineage(small, f"pruned in one shot to {after / before:.2f} of its linear weights{repaired}")
    return small


def _within(
    parent: Any, importances: list[Importance], target: float, size_of: Sizes, what: str
) -> list[KeptStructure]:
    """The fewest removals, least important first, that bring the size to the target."""
    units = _ranked_units(parent, importances)
    fewest, most = 0, len(units)
    smallest = size_of(_without(parent, units))
    if not smallest <= target:  # nor if the target is no number
        raise ValueError(
            f"The target of {target:.0f} {what} must be at least {smallest:.0f}, what remains with one head and one "
            "group of neurons per layer"
        )
    while fewest < most:
        middle = (fewest + most) // 2
        is_within = size_of(_without(parent, units[:middle])) <= target
        fewest, most = (fewest, middle) if is_within else (middle + 1, most)
    gone = units[:fewest]
    for unit in list(reversed(gone))[:REFILLED]:  # the last may have been a large one, next to which others have room
        others = [other for other in gone if other is not unit]
        if size_of(_without(parent, others)) <= target:
            gone = others
    return _without(parent, gone)


def _within_latency(parent: Any, importances: list[Importance], latency_ms: float, batch: Batch) -> list[KeptStructure]:
    """The densest of a bisection over density that is fast enough, as measured."""
    low, high = 0.0, 1.0
    units = _ranked_units(parent, importances)
    best = _without(parent, units)
    fastest = _measured_ms(extract_submodel(parent, best), batch)
    if not fastest <= latency_ms:
        raise ValueError(
            f"'latency_ms' must be at least {fastest:.2f} for this model on this machine. Got {latency_ms}"
        )
    if _measured_ms(parent, batch) <= latency_ms:
        return _without(parent, [])
    for _ in range(LATENCY_STEPS):
        middle = (low + high) / 2
        found = _without(parent, units[: round((1 - middle) * len(units))])
        if _measured_ms(extract_submodel(parent, found), batch) <= latency_ms:
            low, best = middle, found
        else:
            high = middle
    return best


Unit = tuple[int, int, list[int]]  # layer, width of the stack or -1 for heads, places


def _ranked_units(parent: Any, importances: list[Importance]) -> list[Unit]:
    """What may go, least important per weight first: heads, and groups of a layer's neurons of like importance."""
    spec = parent.config.model_spec
    ranked: list[tuple[float, Unit]] = []
    for number, (layer, importance) in enumerate(zip(spec.layers, importances, strict=True)):
        if has_removable_heads(spec):
            order = importance.heads.argsort(descending=True, stable=True).tolist()
            weights = 4 * layer.hidden_size * layer.head_size
            ranked += [(float(importance.heads[place]) / weights, (number, -1, [place])) for place in order[1:]]
        chain = (layer.hidden_size, *layer.feed_forward, layer.hidden_size)
        for width, neurons in enumerate(importance.neurons):
            order = neurons.argsort(descending=True, stable=True).tolist()
            size = neuron_multiple(len(order))
            # Whole groups go; what is over stays with the first.
            first = size + len(order) % size
            groups = [order[start : start + size] for start in range(first, len(order), size)]
            for group in groups:
                weights = len(group) * (chain[width] + chain[width + 2])
                ranked.append((float(neurons[group].sum()) / weights, (number, width, group)))
    return [unit for _, unit in sorted(ranked, key=lambda entry: entry[0])]


def _without(parent: Any, units: list[Unit]) -> list[KeptStructure]:
    spec = parent.config.model_spec
    gone: dict[tuple[int, int], set[int]] = {}
    for layer, width, places in units:
        gone.setdefault((layer, width), set()).update(places)
    return [
        KeptStructure(
            [place for place in range(len(layer.heads)) if place not in gone.get((number, -1), set())],
            [
                [place for place in range(size) if place not in gone.get((number, width), set())]
                for width, size in enumerate(layer.feed_forward)
            ],
        )
        for number, layer in enumerate(spec.layers)
    ]


def _kept_of_spec(parent: Any, importances: list[Importance], child: ModelSpec) -> list[KeptStructure]:
    """The most important heads of each operation, and neurons, as many as ``child`` has.

    Raises:
        ValueError: when ``child`` has something that the parent has not.
    """
    spec = parent.config.model_spec
    problems = [] if len(child.layers) == len(spec.layers) else [f"it must have {len(spec.layers)} layers"]
    kept = []
    for number, (layer, wanted, importance) in enumerate(zip(spec.layers, child.layers, importances, strict=False)):
        if wanted.hidden_size != layer.hidden_size:
            problems.append(f"layer {number} must be {layer.hidden_size} wide")
        order = importance.heads.argsort(descending=True, stable=True).tolist()
        heads: list[int] = []
        for head in dict.fromkeys(wanted.heads):
            places = [place for place in order if layer.heads[place] == head]
            count = wanted.heads.count(head)
            if count > len(places):
                problems.append(f"layer {number} must have at most {len(places)} heads {head}")
            heads += places[:count]
        if len(heads) < len(layer.heads) and not has_removable_heads(spec):
            problems.append(
                f"layer {number} must have all heads: a standard layer's transform or convolution needs them"
            )
        widths = zip(wanted.feed_forward, layer.feed_forward, strict=False)
        if len(wanted.feed_forward) != len(layer.feed_forward) or any(a > b for a, b in widths):
            problems.append(f"layer {number} must have feed-forward widths of at most {list(layer.feed_forward)}")
        best = [x.argsort(descending=True, stable=True).tolist() for x in importance.neurons]
        neurons = [sorted(x[:width]) for x, width in zip(best, wanted.feed_forward, strict=False)]
        kept.append(KeptStructure(sorted(heads), neurons))
    if problems:
        raise ValueError("'spec' must be a part of the model's own:\n  - " + "\n  - ".join(problems))
    return kept


def _num_parameters(parent: Any, kept: list[KeptStructure]) -> int:
    """The size of the whole model: what its layers lose is known from the specs."""
    spec, config = parent.config.model_spec, parent.config
    lost = layer_weights(spec, config) - layer_weights(submodel_spec(spec, kept), config)
    return sum(parameter.numel() for parameter in parent.parameters()) - lost


def _measured_ms(model: Any, batch: Batch) -> float:
    """Returns the median time of a forward pass, without labels, in evaluation mode."""
    inputs = {name: x for name, x in on_device(batch, model).items() if name != "labels"}
    return statistics.median(forward_times_ms(model, inputs, repeats=LATENCY_REPEATS, warm_ups=1))
