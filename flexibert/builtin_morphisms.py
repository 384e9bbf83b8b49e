"""The morphisms of this project (see ``morphisms/registry.py``): scratch, pretrained, transfer, prune, stitch and
merge."""

import contextlib
from collections.abc import Iterator, Sequence
from typing import Any

from design_space import ModelSpec

from .morphisms.block_retraining import Training
from .morphisms.layer_merging import merge_layers, merged_spec
from .morphisms.registry import Child, Materials, Morphism, Overlap, register_morphism
from .morphisms.stitching import stitch
from .pruning.one_shot import prune
from .pruning.spec_space import holds, linear_weights

DENSITIES = (0.75, 0.5)
"""Shares of a parent's linear weights that pruned children keep."""

EXAMPLES = 16
"""Batches by which pruning judges heads and neurons."""

MERGING_STEPS = 200
"""Batches from which every merged layer learns what the two before did."""


@register_morphism
class Scratch(Morphism):
    """Random weights, pre-trained before they are fine-tuned."""

    name, num_parents, needs_pretraining = "scratch", 0, True
    sentence = "Pre-trained from random weights."

    def inherited_share(self, parents: Sequence[ModelSpec], child: ModelSpec, overlap: Overlap) -> float:
        return 0.0

    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        return materials.blank()


@register_morphism
class Pretrained(Morphism):
    """An encoder that somebody has pre-trained, as it is."""

    name, num_parents, arguments = "pretrained", 0, ("model",)
    sentence = "Starts from a pre-trained encoder."

    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        model = materials.blank()
        model.base_model.load_state_dict(materials.pretrained(child.arguments["model"]).state_dict(), strict=False)
        return model


@register_morphism
class Transfer(Morphism):
    """What fits of a parent's weights (see ``flexibert.transfer``)."""

    name, num_parents = "transfer", 1
    sentence = "Starts from those weights of a trained parent that have a place in it."

    def inherited_share(self, parents: Sequence[ModelSpec], child: ModelSpec, overlap: Overlap) -> float:
        return overlap(parents[0], child) if parents[0].format == child.format else 0.0

    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        model = materials.blank()
        model.load_model_from_source(parents[0])
        return model


@register_morphism
class Prune(Morphism):
    """The most important layers, heads, neurons and channels of a parent: its own children, and any architecture that
    it holds."""

    name, num_parents, arguments = "prune", 1, ("density",)
    sentence = "Keeps what is most important of a trained parent."

    def children(self, parents: Sequence[ModelSpec]) -> Iterator[Child]:
        for density in DENSITIES:
            with contextlib.suppress(ValueError):  # the parent has no such child
                yield Child(prune(parents[0], density=density), {"density": density})

    def filled(self, parents: Sequence[ModelSpec], child: ModelSpec) -> Child | None:
        if not holds(parents[0], child):
            return None
        return Child(child, {"density": round(linear_weights(child) / linear_weights(parents[0]), 3)})

    def inherited_share(self, parents: Sequence[ModelSpec], child: ModelSpec, overlap: Overlap) -> float:
        return float(holds(parents[0], child))

    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        return prune(parents[0], spec=child.spec, examples=materials.batches(EXAMPLES))


@register_morphism
class Stitch(Morphism):
    """Two parents of one depth side by side."""

    name, num_parents = "stitch", 2
    sentence = "Puts two trained parents side by side."

    def children(self, parents: Sequence[ModelSpec]) -> Iterator[Child]:
        a, b = parents
        if len(a.layers) == len(b.layers):
            yield Child(ModelSpec.side_by_side([a, b]))

    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        return stitch(*parents)


@register_morphism
class Merge(Morphism):
    """Every second pair of a parent's layers as one layer."""

    name, num_parents = "merge", 1
    sentence = "Has one layer for every two of a trained parent, which learned what these did."

    def children(self, parents: Sequence[ModelSpec]) -> Iterator[Child]:
        with contextlib.suppress(ValueError):  # the parent has no such child
            yield Child(merged_spec(parents[0]))

    def make(self, parents: Sequence[Any], child: Child, materials: Materials) -> Any:
        batches = materials.batches(MERGING_STEPS)
        unlabelled = ({name: batch[name] for name in ("input_ids", "attention_mask")} for batch in batches)
        return merge_layers(parents[0], unlabelled, training=Training(steps=MERGING_STEPS, seed=materials.seed))
