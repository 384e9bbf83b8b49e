"""What may go from a model, one after the other: heads, and groups of a layer's neurons, the least important first."""

from collections.abc import Collection, Sequence

from design_space import ModelSpec
from design_space.subarchitectures import has_removable_heads, neuron_multiple

from .extraction import KeptStructure
from .importance import Importance

Unit = tuple[int, int, list[int]]  # layer, width of the stack or -1 for heads, places


def ranked_units(
    spec: ModelSpec, importances: Sequence[Importance], layers: Collection[int] | None = None
) -> list[Unit]:
    """What may go, least important per weight first: heads, and groups of a layer's neurons of like importance; every
    layer keeps one of each.

    Args:
        spec: of the model. importances: of its layers.
        layers: those that are looked at; None for all.
    """
    ranked: list[tuple[float, Unit]] = []
    for number, (layer, importance) in enumerate(zip(spec.layers, importances, strict=True)):
        if layers is not None and number not in layers:
            continue
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


def without(spec: ModelSpec, units: Sequence[Unit], layers: Collection[int] | None = None) -> list[KeptStructure]:
    """What stays of each layer when units go, and with ``layers`` all others."""
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
            is_removed=layers is not None and number not in layers,
        )
        for number, layer in enumerate(spec.layers)
    ]
