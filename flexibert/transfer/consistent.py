"""Weight transfer that keeps the function: one map per space, shared by every matrix that reads or writes it.

The maps are in ``space_maps.py``, the matching of layers in ``layer_alignment.py``. Kept exactly: a residual width that
is a whole multiple, longer feed-forwards, more heads, larger heads of ``sa`` and ``c`` (keys and relative positions
are scaled, since scores are divided by the root of the head size). Kept as far as one can: other widths; further
layers, which start as two LayerNorms in a row; a deeper feed-forward stack. Not kept: the transform of an ``l`` head
or layer whose size changes, since it mixes what the maps keep apart.
"""

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Layer

from ..cost.parameters import embedding_parameters, layer_parameters, next_widths, pooler_parameters
from ..mixing.axes import Parameter, Sizes
from .class_names import task_head_parameters
from .layer_alignment import Alignment, align_layers, transfer_overlap
from .layer_maps import LayerMaps
from .plan import stretch_starts
from .sampled_states import SampledStates
from .space_maps import SpaceMap, best_units, grown_residual, identity, projected, regression, selected, spread

Values = Iterator[tuple[nn.Parameter, Tensor]]
NOISE = 0.5  # of the root mean square of the weights that copies share


def consistent_values(source: Any, target: Any, seed: int) -> tuple[list[tuple[nn.Parameter, Tensor]], float]:
    """New values of the target's parameters, and the share of its encoder that they transfer.

    Args:
        source: a FlexiBERT model; not changed.
        target: another of the same format and sizes; not changed.
        seed: of the sampled texts and of the noise between copies.
    """
    sizes = Sizes.of(target.config)
    specs = source.config.model_spec, target.config.model_spec
    mover = ConsistentTransfer(source, target, align_layers(*specs, sizes), sizes, seed)
    values = [*mover.embeddings(), *mover.layers(), *mover.pooler(), *mover.task_head()]
    pooler = target.base_model.pooler is not None
    overlap = transfer_overlap(*specs, sizes, pooler=pooler)
    if pooler and source.base_model.pooler is None:
        width = specs[1].layers[-1].hidden_size
        overlap -= sum(p.numel for p in pooler_parameters(width)) / _num_parameters(target)
    return values, overlap


def _num_parameters(model: Any) -> int:
    return sum(parameter.numel() for parameter in model.base_model.parameters())


class ConsistentTransfer:
    def __init__(self, source: Any, target: Any, alignment: Alignment, sizes: Sizes, seed: int) -> None:
        self.source, self.target, self.alignment, self.sizes = source, target, alignment, sizes
        self.source_spec, self.target_spec = source.config.model_spec, target.config.model_spec
        self.generator = torch.Generator().manual_seed(seed)
        self.states = SampledStates(source, seed)
        self.stretches = stretch_starts(self.source_spec)
        self.residual_maps: dict[tuple[int, int], SpaceMap] = {}

    def residual(self, source_layer: int, target_layer: int) -> SpaceMap:
        """The map of the residual stream around a pair of layers; layers of one width in a row share it."""
        source = self.source_spec.layers[source_layer].hidden_size
        target = self.target_spec.layers[target_layer].hidden_size
        first = self.stretches[source_layer]
        key = (first, target) if source > target else (source, -target)
        if key not in self.residual_maps:
            self.residual_maps[key] = self._residual_map(source, target, first)
        return self.residual_maps[key]

    def _residual_map(self, source: int, target: int, first: int) -> SpaceMap:
        if source == target:
            return identity(source)
        if target > source:
            return grown_residual(source, target)
        return projected(self.states.residual(first), target)

    def embeddings(self) -> Values:
        """Embeddings: every table, or the projection of the vectors in them, writes the first residual space."""
        first = self.residual(0, 0)
        for parameter in embedding_parameters(self.target_spec.layers[0].hidden_size, self.sizes):
            read = self.source.base_model.get_parameter(parameter.name)
            yield self.target.base_model.get_parameter(parameter.name), _written(parameter, _double(read), first)

    def _partner(self, index: int) -> int:
        """The source layer whose residual stream the target's layer ``index`` reads: its partner, or the next one's."""
        later = [j for j in self.alignment[index:] if j is not None]
        earlier = [j for j in self.alignment[:index] if j is not None]
        return later[0] if later else (earlier[-1] if earlier else 0)

    def layers(self) -> Values:
        """Layers, first to last."""
        weight, bias = self._entering_states()
        for index, partner in enumerate(self.alignment):
            layer = self.target.base_model.encoder.layer[index]
            current = self.residual(self._partner(index), index)
            following = min(index + 1, len(self.alignment) - 1)
            after = self.residual(self._partner(following), following)
            if partner is None:
                values = [*_identity_layer(layer, weight, bias), *self._projection_between(layer, current, after)]
            else:
                values = list(self._matched_layer(index, partner, current, after))
            yield from values
            given = {id(parameter): _double(value) for parameter, value in values}
            weight, bias = given[id(layer.output.LayerNorm.weight)], given[id(layer.output.LayerNorm.bias)]
            linear = layer.output.proj_head
            if linear is not None:
                matrix, shift = (given.get(id(x), _double(x)) for x in (linear.weight, linear.bias))
                weight, bias = _projected_states(matrix, shift, weight, bias)

    def _entering_states(self) -> tuple[Tensor, Tensor]:
        """Standard deviation and mean of each unit of the states that enter the target's first layer."""
        embeddings, first = self.source.base_model.embeddings, self.residual(0, 0)
        weight, bias = _double(embeddings.LayerNorm.weight), _double(embeddings.LayerNorm.bias)
        if embeddings.projection is not None:
            linear = embeddings.projection
            weight, bias = _projected_states(_double(linear.weight), _double(linear.bias), weight, bias)
        return first.norm_weight(weight), first.write @ bias

    def _projection_between(self, target_layer: Any, current: SpaceMap, after: SpaceMap) -> Values:
        """``proj_head`` where only the target changes its width: out of one map and into the other."""
        linear = target_layer.output.proj_head
        if linear is not None and current.write.shape[1] == after.write.shape[1]:
            yield linear.weight, after.write @ current.read
            yield linear.bias, torch.zeros_like(linear.bias)

    def _matched_layer(self, index: int, partner: int, current: SpaceMap, after: SpaceMap) -> Values:
        layers = self.source_spec.layers[partner], self.target_spec.layers[index]
        maps = LayerMaps(self.source, partner, *layers, current, self.states)
        prefixes = [f"encoder.layer.{i}." for i in (partner, index)]
        available = {(p.role, p.head): p for p in self._parameters(self.source_spec, partner)}
        heads = dict(maps.pairs)
        for parameter in self._parameters(self.target_spec, index):
            if parameter.role.startswith("output.proj_head"):
                continue
            written = self.target.base_model.get_parameter(prefixes[1] + parameter.name)
            head = None if parameter.head is None else heads.get(parameter.head, -1)
            found = available.get((parameter.role, head))
            read = None if found is None else self.source.base_model.get_parameter(prefixes[0] + found.name)
            value = maps.value(parameter, found, read, written)
            if found is not None and len(parameter.axes) > 1 and parameter.axes[1].kind == "residual":
                value = value + self._noise(value, current)
            yield written, value
        yield from self._proj_head(index, partner, current, after)

    def _proj_head(self, index: int, partner: int, current: SpaceMap, after: SpaceMap) -> Values:
        ours = self.target.base_model.encoder.layer[index].output.proj_head
        theirs = self.source.base_model.encoder.layer[partner].output.proj_head
        if ours is None:
            return
        if theirs is not None and after.write.shape[1] == theirs.out_features:
            yield ours.weight, after.write @ _double(theirs.weight) @ current.read
            yield ours.bias, after.write @ _double(theirs.bias)
        else:
            yield from self._projection_between(self.target.base_model.encoder.layer[index], current, after)

    def _noise(self, value: Tensor, space: SpaceMap) -> Tensor:
        """Noise that cancels between the copies of what a matrix reads."""
        std = float(value.square().mean().sqrt()) * NOISE
        return space.cancelling_noise(len(value), std, self.generator).view(value.shape)

    def _parameters(self, spec: Any, index: int) -> tuple[Any, ...]:
        layer: Layer = spec.layers[index]
        return layer_parameters(layer, next_widths(spec)[index], spec.format == "hetero", self.sizes)

    def pooler(self) -> Values:
        """Pooler: its units have an activation and then the task head, which reads them as it reads states."""
        ours, theirs = self.target.base_model.pooler, self.source.base_model.pooler
        if ours is None or theirs is None:
            return
        states, pooled = self._last_residual(), self._pooled()
        for name, written in ours.dense.named_parameters():
            yield written, self._outer_value(name, theirs.dense.get_parameter(name), written, pooled, states)

    def _last_residual(self) -> SpaceMap:
        return self.residual(-1, -1)

    def _pooled(self) -> SpaceMap:
        """The space between the pooler and the task head."""
        widths = self._last_widths()
        if widths[1] >= widths[0]:
            return spread(*widths)
        states = self.states.pooled()
        return selected(best_units(states, widths[1]), widths[0], states)

    def _transformed(self) -> SpaceMap:
        """The space in the masked-LM head between its activation and the decoder, which a LayerNorm lies in."""
        widths = self._last_widths()
        if widths[1] >= widths[0]:
            return spread(*widths)
        states = self.states.transform()
        units = best_units(states, widths[1])
        normed, kept = (nn.functional.layer_norm(each, each.shape[1:]) for each in (states, states[:, units]))
        norm = self.source.cls.predictions.transform.LayerNorm
        weight, bias = (each.detach().double().cpu() for each in (norm.weight, norm.bias))
        space = selected(units, widths[0])
        read = regression(kept * weight[units] + bias[units], normed * weight + bias)
        return SpaceMap(space.write, read, space.is_unmapped)

    def _last_widths(self) -> tuple[int, int]:
        return self.source_spec.layers[-1].hidden_size, self.target_spec.layers[-1].hidden_size

    def task_head(self) -> Values:
        """The task head, where both models have one of one class and number of outputs, and names of classes."""
        outer = task_head_parameters(self.source, self.target)
        states = self._last_residual()
        has_transform = any(".transform." in name for name, _, _ in outer)
        reads_pooled = self.target.base_model.pooler is not None and self.source.base_model.pooler is not None
        transformed = self._transformed() if has_transform else states
        pooled = self._pooled() if outer and reads_pooled else states
        for name, read, written in outer:
            if ".transform." in name:
                yield written, self._outer_value(name, read, written, transformed, states)
            else:
                into = transformed if "predictions" in name else pooled
                yield written, self._outer_value(name, read, written, None, into)

    def _outer_value(self, name: str, read: Tensor, written: Tensor, out: SpaceMap | None, into: SpaceMap) -> Tensor:
        """A parameter outside the layers; ``out`` maps what it writes (None: outputs of the model)."""
        value = _double(read)
        if name.endswith("LayerNorm.weight"):
            assert out is not None
            return out.norm_weight(value)
        value = value if out is None else out.write @ value
        if value.dim() == 2:
            value = value @ into.read
            value = value + self._noise(value, into)
        return value


def _written(parameter: Parameter, value: Tensor, space: SpaceMap) -> Tensor:
    """A parameter of the embeddings, which write a space along one of its axes or, before a projection, along none."""
    for dimension, axis in enumerate(parameter.axes):
        if axis.kind == "residual" and parameter.is_diagonal:
            value = space.norm_weight(value)
        elif axis.kind == "residual":
            value = (value.movedim(dimension, -1) @ space.write.T).movedim(-1, dimension)
    return value


def _projected_states(matrix: Tensor, shift: Tensor, weight: Tensor, bias: Tensor) -> tuple[Tensor, Tensor]:
    """Standard deviation and mean of each unit after a Linear, of independent units with these before it."""
    return (matrix.square() @ weight.square()).sqrt(), matrix @ bias + shift


def _identity_layer(layer: Any, weight: Tensor, bias: Tensor) -> Values:
    """A layer whose blocks write nothing, and whose LayerNorms keep the states before it as they are on average.

    Args:
        layer: of the target.
        weight: (T,), standard deviation of each unit of these states.
        bias: (T,), mean of each unit.
    """
    # Over the units of one state, the mean is that of ``bias``, and this is the standard deviation.
    deviation = float((weight.square().mean() + bias.var(correction=0)).sqrt())
    for linear in (layer.attention.output.dense, layer.output.dense):
        for parameter in linear.parameters():
            yield parameter, torch.zeros_like(parameter)
    for norm in (layer.attention.output.LayerNorm, layer.output.LayerNorm):
        yield norm.weight, torch.full_like(norm.weight, deviation)
        yield norm.bias, torch.full_like(norm.bias, float(bias.mean()))


def _double(tensor: Tensor) -> Tensor:
    return tensor.detach().double().cpu()
