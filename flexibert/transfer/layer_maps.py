"""The maps of every space inside a layer that takes its weights from another, and the values they give.

Scores are divided by the root of the head size: where it changes from d to d', keys and relative positions are scaled
by sqrt(d' / d) (with ``relative_key_query``, queries, keys and positions by its root). A feed-forward stack that is
deeper than the source's passes its values through: biases lift them to where the activation is the identity, and the
next Linear takes that off again.
"""

from typing import Any

import torch
from torch import Tensor

from design_space import Layer

from ..mixing import head_operation
from ..mixing.axes import Axis, Parameter, Sizes
from ..mixing.layer import mixing_parameters
from .plan import Pairs, match_axis, match_heads
from .sampled_states import SampledStates
from .space_maps import (
    SpaceMap,
    best_product,
    best_units,
    blocks,
    identity,
    padded,
    regression,
    selected,
    shared_directions,
)

OUTPUT = "attention.output.dense.weight"
HEAD_SPACES = ("query", "key", "value", "local", "product")
LIFT = 5.0  # gelu(x + 5) is x + 5 to five digits for what gelu gives


class LayerMaps:
    """Maps between a source's layer and a target's.

    Args:
        model: the source.
        number: of its layer.
        source: that layer.
        target: the target's.
        residual: the map of the stream around them.
    """

    def __init__(
        self, model: Any, number: int, source: Layer, target: Layer, residual: SpaceMap, states: SampledStates
    ) -> None:
        self.source, self.target, self.residual, self.states, self.number = source, target, residual, states, number
        self.module = model.base_model.encoder.layer[number]
        self.is_hetero = model.config.model_spec.format == "hetero"
        self.pairs: Pairs = self._head_pairs()
        is_both_ways = model.config.position_embedding_type == "relative_key_query"
        ratio = target.head_size / source.head_size
        self.factors = {"query": ratio**0.25 if is_both_ways else 1.0}
        self.factors |= {"key": ratio**0.25 if is_both_ways else ratio**0.5, "product": self.factors["query"]}
        self.positions_own = not is_both_ways
        self.heads = self._head_maps() if self.pairs else {}
        self.neurons = [self._neuron_map(level) for level in range(len(target.feed_forward))]

    def value(self, parameter: Parameter, found: Parameter | None, read: Tensor | None, written: Tensor) -> Tensor:
        """The target's new value of a parameter.

        Args:
            parameter: of the target.
            found: the source's of the same role, and ``read`` its value, or None.
            written: the target's value.
        """
        own = written.detach().double().cpu()
        role = parameter.role
        in_mixing = role.startswith("attention.self.")
        if found is None or read is None or (in_mixing and not self.pairs):
            return self._without_source(parameter, own)
        value = read.detach().double().cpu()
        if role.endswith("LayerNorm.weight"):
            return self.residual.norm_weight(value)
        if parameter.is_bilinear:
            first, second = (self.heads[axis.space][0].read for axis in parameter.axes)
            return first.T @ value @ second
        if role == "attention.self.distance_embedding.weight":
            key = self.heads["key"][0]
            return torch.where(key.is_unmapped & self.positions_own, own, value @ key.write.T * self.factors["key"])
        if role == OUTPUT and not self.pairs:
            return torch.zeros_like(own)
        out = self._axis_map(found.axes[0], parameter.axes[0])
        flat = value.flatten(1) if value.dim() > 1 else value.unsqueeze(1)
        if parameter.is_diagonal:
            moved = out.norm_weight(flat) / out.norm_scale
        elif value.dim() > 1 and found.axes[1].kind != "fixed":
            moved = out.write @ flat @ self._axis_map(found.axes[1], parameter.axes[1]).read
        else:
            moved = out.write @ flat
        moved = moved.view(own.shape) * self._factor(parameter)
        if role == "output.dense.bias":
            moved = moved - self._lifted(out)
        return torch.where(out.is_unmapped.view(-1, *[1] * (own.dim() - 1)), own, moved)

    def _without_source(self, parameter: Parameter, own: Tensor) -> Tensor:
        """Zero columns for heads without a partner, further levels of a feed-forward stack; else its own value."""
        if not parameter.name.startswith("intermediate."):
            return own
        level = int(parameter.name.split(".")[2]) // 2
        after, passed = self.neurons[level], self.neurons[level].write @ self.neurons[level - 1].read
        if parameter.name.endswith("weight"):
            return torch.where(after.is_unmapped[:, None], own, passed)
        is_lifted_before = level - 1 >= len(self.source.feed_forward)
        lift = LIFT - (passed.sum(dim=1) * LIFT if is_lifted_before else torch.zeros_like(own))
        return torch.where(after.is_unmapped, own, lift)

    def _lifted(self, out: SpaceMap) -> Tensor:
        """What ``output.dense`` would add because its inputs are lifted: (T,)."""
        if len(self.target.feed_forward) <= len(self.source.feed_forward):
            return torch.zeros(len(out.write), dtype=torch.float64)
        return (out.write @ _weight(self.module.output.dense) @ self.neurons[-1].read).sum(dim=1) * LIFT

    def _factor(self, parameter: Parameter) -> float:
        """What keeps scores as they are where the head size changes: of what is written, over that of what is read."""
        written, *read = [self.factors.get(axis.space, 1.0) for axis in parameter.axes]
        if parameter.is_diagonal:
            return 1.0
        return written / read[0] if read else written

    def _axis_map(self, source: Axis, target: Axis) -> SpaceMap:
        if target.kind in ("residual", "next"):
            return self.residual
        if target.kind.startswith("ff"):
            return self.neurons[-1 if target.kind == "ff_last" else int(target.kind[2:])]
        maps = self.heads.get(target.space)
        if maps is None:  # a space of the same size in both, such as kernels
            maps = [identity(source.size)] * source.blocks
        if target.kind in ("head", "fixed"):
            return maps[0]
        pairs = match_axis(source, target, self.pairs).pairs
        return blocks([(t, s, maps[s]) for t, s in pairs], source.blocks, target.blocks)

    def _head_pairs(self) -> Pairs:
        """Matched heads; of more heads of a kind than the target has, those whose values weigh most."""
        pairs = match_heads(self.source, self.target)
        if not pairs or not self._are_alike():
            return pairs
        weights = [float(o.norm() * v.norm()) for o, v in zip(*self._values_and_outputs(), strict=True)]
        kinds = [(head.operation, head.parameter) for head in self.source.heads]
        best = []
        for kind in dict.fromkeys(kinds):
            places = [place for place, head in enumerate(self.target.heads) if (head.operation, head.parameter) == kind]
            heads = [number for number, each in enumerate(kinds) if each == kind]
            kept = sorted(sorted(heads, key=lambda number: -weights[number])[: len(places)])
            best += list(zip(places, kept, strict=False))
        return tuple(sorted(best))

    def _are_alike(self) -> bool:
        """Whether each head has its columns of the output matrix and its rows of the value matrix."""
        output = next(p for p in mixing_parameters(self.source, self.is_hetero, Sizes()) if p.name == OUTPUT)
        return output.axes[1].kind == "heads"

    def _values_and_outputs(self) -> tuple[list[Tensor], list[Tensor]]:
        """The columns of the output matrix (H, D) and the rows of the value matrix (D, H) of each head."""
        size = self.source.head_size
        return list(_weight(self.module.attention.output.dense).split(size, dim=1)), list(
            _weight(self.module.attention.self.value).split(size, dim=0)
        )

    def _head_maps(self) -> dict[str, list[SpaceMap]]:
        """Space -> map for each head of the source."""
        before, after, count = self.source.head_size, self.target.head_size, len(self.source.heads)
        if after >= before:
            own, zeros = (padded(identity(before), after, is_unmapped=own) for own in (True, False))
            one = {"query": zeros, "product": own} | dict.fromkeys(("key", "value", "local"), own)
            return {space: [each] * count for space, each in one.items()}
        mixing = self.module.attention.self
        heads = (*self.source.heads, *self.target.heads)
        if not all(head_operation(head.operation).commutes_with_rotation for head in heads):
            # Elementwise products and transforms do not commute with a change of basis.
            linears = [getattr(mixing, name, None) for name in ("query", "key", "value")]
            rows = torch.cat(
                [_weight(each).unflatten(0, (-1, before)).transpose(0, 1).flatten(1) for each in linears if each], dim=1
            )
            chosen = rows.norm(dim=1).topk(after).indices.sort().values
            return {space: [selected(chosen, before)] * count for space in HEAD_SPACES}
        comparing = shared_directions(
            [_weight(mixing.query).unflatten(0, (-1, before)), _weight(mixing.key).unflatten(0, (-1, before))],
            None if mixing.distance_embedding is None else mixing.distance_embedding.weight.detach().double().cpu(),
            after,
        )
        values = [best_product(o, v, after) for o, v in zip(*self._values_and_outputs(), strict=True)]
        return {"query": [comparing] * count, "key": [comparing] * count, "value": values}

    def _neuron_map(self, level: int) -> SpaceMap:
        """The map of the target's level of the feed-forward stack; further levels hold what the source's last does."""
        depth, width = len(self.source.feed_forward), self.target.feed_forward[level]
        is_cut = level == len(self.target.feed_forward) - 1 and level < depth - 1
        before = self.source.feed_forward[min(level, depth - 1)]
        states = self.states.feed_forward(self.number, min(level, depth - 1)) if width < before or is_cut else None
        if width < before:
            assert states is not None
            chosen = best_units(states, width)
        else:
            chosen = torch.arange(before)
        kept = selected(chosen, before, states)
        if is_cut:
            assert states is not None
            last = self.states.feed_forward(self.number, depth - 1)
            kept = SpaceMap(kept.write, regression(states[:, chosen], last), kept.is_unmapped)
        return padded(kept, width)


def _weight(linear: Any) -> Tensor:
    return linear.weight.detach().double().cpu()
