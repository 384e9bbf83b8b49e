"""Any sub-architecture of a trained model with its weights, many from one model.

What does not depend on the child is found once: the importance of heads, neurons and channels, the parent's states on
the examples, and what the loss of layers costs. A child then takes a second.
"""

import bisect
from collections import Counter
from collections.abc import Callable, Iterable
from functools import cached_property
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer, ModelSpec

from ..checkpoints.model_card import add_to_lineage
from ..transfer.plan import stretch_starts
from .extraction import KeptStructure, extract_submodel, submodel_spec
from .families import Family, family_of
from .importance import Batch, Importance, importance_of, on_device
from .parent_states import ParentStates
from .pruner import materialize_masks
from .repair import repair as repair_outputs
from .spec_space import check_holds, linear_weights, roots_of
from .units import ranked_units, without

_JUDGING = 4
"""Batches of examples by which layers are judged."""


class Shrinker:
    """Makes smaller models of one trained model.

    Args:
        model: a trained model with a task head, of a family that ``MovementPruner`` compacts. It is copied: what
            happens to it later changes nothing here.
        examples: batches with labels, a few hundred examples in all.
        family: as for ``MovementPruner``.

    Raises:
        ValueError: for a grouped model, a family that is not compacted, or when there are no examples.

    Example: ``children = [shrinker.child(spec) for spec in specs]`` with ``shrinker = Shrinker(model, batches)``.
    """

    def __init__(self, model: nn.Module, examples: Iterable[Batch], *, family: Family | None = None) -> None:
        self.batches = list(examples)
        self.parent = materialize_masks(model, family or family_of(model)).eval()
        self.importances: list[Importance] = importance_of(self.parent, self.batches)
        self._is_training = model.training
        self._stretches = stretch_starts(self.spec)
        self._costs: dict[tuple[int, ...], float] = {}

    @property
    def spec(self) -> ModelSpec:
        """The architecture of the model as it is shrunk from: one of ours."""
        return self.parent.config.model_spec

    def child(self, spec: ModelSpec, *, repair: bool = True) -> Any:
        """The model of architecture ``spec``: the layers whose loss costs least are gone, the most important heads,
        neurons and channels stay.

        Args:
            repair: whether what is left is refitted to the parent's states.

        Returns:
            A FlexiBERT or FlexiViT model, in the mode of the shrinker's.

        Raises:
            ValueError: listing what of ``spec`` the model does not hold.
        """
        return self.extracted(self._kept(spec), spec, repair=repair)

    def largest(self, num_layers: int, fits: Callable[[ModelSpec], bool]) -> ModelSpec | None:
        """The child of so many layers that is left when what matters least for its size goes until it fits.

        Args:
            num_layers: those stay whose loss would cost most.
            fits: says of an architecture whether it is small enough, and of a smaller one too where it is.

        Returns:
            None where not even one head and the fewest neurons a layer fit.
        """
        layers = self._layers(num_layers)
        units = ranked_units(self.spec, self.importances, layers)

        def left(count: int) -> ModelSpec:
            return submodel_spec(self.spec, without(self.spec, units[:count], layers))

        if not fits(left(len(units))):
            return None
        return left(bisect.bisect_left(range(len(units) + 1), True, key=lambda count: fits(left(count))))

    def extracted(self, kept: list[KeptStructure], spec: ModelSpec | None = None, *, repair: bool = True) -> Any:
        """The model of what is kept of each layer; ``spec`` says how it is written."""
        small = extract_submodel(self.parent, kept, spec)
        if repair:
            repair_outputs(small, self._states, kept)
        before, after = (linear_weights(x.config.model_spec, x.config) for x in (self.parent, small))
        repaired = " and repaired by least squares" if repair else ""
        add_to_lineage(small, f"pruned in one shot to {after / before:.2f} of its linear weights{repaired}")
        return small.train(self._is_training)

    @cached_property
    def _states(self) -> ParentStates:
        return ParentStates(self.parent, self.batches)

    @torch.no_grad()
    def _cost(self, places: tuple[int, ...]) -> float:
        """The loss on some examples of the layers at these places, whole and as they are: repaired, each would take as
        long as a child."""
        if places not in self._costs:
            kept = without(self.spec, [], places)
            small = extract_submodel(self.parent, kept, submodel_spec(self.spec, kept))
            losses = [float(small(**on_device(batch, small)).loss) for batch in self.batches[:_JUDGING]]
            self._costs[places] = sum(losses) / len(losses)
        return self._costs[places]

    @cached_property
    def _channels(self) -> dict[int, Tensor]:
        """How much the channels of a residual stream vary, by the layer at which it begins."""
        states = self._states
        found: dict[int, Tensor] = {}
        for place, start in enumerate(self._stretches):
            steps = states.steps[place]
            for seen in (steps.after_mixing(states.mixed[place]), states.normed(place)):
                found[start] = found.get(start, 0) + seen.var(0)
        return found

    def _kept(self, child: ModelSpec) -> list[KeptStructure]:
        """What stays of every layer."""
        places = self._places(child)
        kept = [KeptStructure([], [], is_removed=True) for _ in self.spec.layers]
        for place, layer in zip(places, child.layers, strict=True):
            own, importance = self.spec.layers[place], self.importances[place]
            neurons = [
                _most(of_width, width) for of_width, width in zip(importance.neurons, layer.feed_forward, strict=True)
            ]
            channels = None
            if layer.hidden_size < own.hidden_size:
                channels = _most(self._channels[self._stretches[place]], layer.hidden_size)
            kept[place] = KeptStructure(_heads(own, layer, importance.heads), neurons, channels=channels)
        return kept

    def _places(self, child: ModelSpec) -> list[int]:
        """The parent's layers that the child's are made of: all but those whose loss, one after the other, costs least.

        Raises:
            ValueError: listing what does not fit.
        """
        check_holds(self.spec, child)
        return self._layers(len(child.layers), lambda places: roots_of(self.spec, child, places) is not None)

    def _layers(self, count: int, is_able: Callable[[tuple[int, ...]], bool] = bool) -> list[int]:
        """So many of the layers: those whose loss, one after the other, costs least are gone."""
        places = tuple(range(len(self.spec.layers)))
        while len(places) > count:
            options = [places[:number] + places[number + 1 :] for number in range(len(places))]
            able = [option for option in options if is_able(option)]
            places = able[0] if len(able) == 1 else min(able, key=self._cost)
        return list(places)


def _heads(own: Layer, wanted: Layer, importance: Tensor) -> list[int]:
    """The most important heads of each operation, in the order in which the child has these operations."""
    order = importance.argsort(descending=True, stable=True).tolist()
    places = {
        head: iter(sorted([place for place in order if own.heads[place] == head][:count]))
        for head, count in Counter(wanted.heads).items()
    }
    return [next(places[head]) for head in wanted.heads]


def _most(importance: Tensor, count: int) -> list[int]:
    """The places of the most important, in order."""
    return sorted(importance.argsort(descending=True, stable=True)[:count].tolist())
