"""Temporary stand-in."""

from collections.abc import Callable, Iterable
from typing import Any

import torch

from design_space import ModelSpec

from .compaction import KeptStructure, extract_submodel, submodel_spec
from .families import family_of
from .importance import Batch, importance_of, on_device
from .one_shot import _kept_of_spec, _ranked_units, _without
from .pruner import materialize_masks
from .repair import repair as repair_outputs


class Extractor:
    def __init__(self, model: Any, examples: Iterable[Batch]) -> None:
        self._batches = list(examples)
        self._parent = materialize_masks(model, family_of(model))
        self._importances = importance_of(self._parent, self._batches)
        self._orders: dict[int, list[int]] | None = None

    @property
    def spec(self) -> ModelSpec:
        return self._parent.config.model_spec

    def _whole(self, kept_layers: list[int]) -> list[KeptStructure]:
        return [
            KeptStructure(list(range(len(l.heads))), [list(range(w)) for w in l.feed_forward], n not in kept_layers)
            for n, l in enumerate(self.spec.layers)
        ]

    @torch.no_grad()
    def _loss(self, kept_layers: list[int]) -> float:
        small = extract_submodel(self._parent, self._whole(kept_layers)).eval()
        return sum(float(small(**on_device(b, small)).loss) for b in self._batches[:6])

    def layers(self, depth: int) -> list[int]:
        if self._orders is None:
            kept = list(range(len(self.spec.layers)))
            self._orders = {len(kept): kept}
            while len(kept) > 1:
                kept = min(([x for x in kept if x != gone] for gone in kept), key=self._loss)
                self._orders[len(kept)] = kept
        return self._orders[depth]

    def _thin(self, layers: list[int]) -> Any:
        return extract_submodel(self._parent, self._whole(layers))

    def child(self, spec: ModelSpec) -> Any:
        layers = self.layers(len(spec.layers))
        thin = self._thin(layers)
        kept = _kept_of_spec(thin, [self._importances[n] for n in layers], spec)
        small = extract_submodel(thin, kept)
        if len(layers) == len(self.spec.layers):
            repair_outputs(small, self._parent, self._batches)
        return small.eval()

    def largest(self, num_layers: int, fits: Callable[[ModelSpec], bool]) -> ModelSpec | None:
        thin = self._thin(self.layers(num_layers))
        units = _ranked_units(thin, [self._importances[n] for n in self.layers(num_layers)])
        spec_of = lambda count: submodel_spec(thin.config.model_spec, _without(thin, units[:count]))
        if not fits(spec_of(len(units))):
            return None
        fewest, most = 0, len(units)
        while fewest < most:
            middle = (fewest + most) // 2
            fewest, most = (fewest, middle) if fits(spec_of(middle)) else (middle + 1, most)
        return spec_of(fewest)
