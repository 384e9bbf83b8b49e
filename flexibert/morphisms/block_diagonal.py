"""Two encoders as one architecture of their joint width: block-diagonal matrices, vectors side by side.

The joint layer has h = h_a + h_b, n = n_a + n_b, f = f_a + f_b. A pair of standard layers is a standard layer where
its heads are alike (``sa`` with ``sdp``, or ``c`` with even numbers of heads); other ``sa`` layers become hetero, where
each head has its W. What one layer has once, and two sources have twice, cannot be written: the transform of a
standard ``l`` layer over its whole width, the convolution's input in a standard ``c`` beside other heads, a table of
relative positions. Such pairs are refused with the reason.
Which axes of a parameter double is read off their kinds (``parameters.py``).
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from design_space import Layer, ModelSpec, operation_named

from ..cost.parameters import embedding_parameters, layer_parameters, next_widths
from ..mixing.axes import Axis, Parameter, Sizes
from ..mixing.layer import standard_layer

SHARED_KINDS = ("head", "fixed")


@dataclass(frozen=True)
class Filling:
    """What stands in off-diagonal blocks: a constant, or normal noise."""

    epsilon: float
    noise_std: float
    generator: torch.Generator

    def blocks(self, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """A tensor of this content, in the type and device of ``like``."""
        if self.noise_std:
            return (torch.randn(shape, generator=self.generator) * self.noise_std).to(like)
        return like.new_full(shape, self.epsilon)


def matrix_of_blocks(first: Tensor, second: Tensor, filling: Filling) -> Tensor:
    """(R_a, C_a, ...) and (R_b, C_b, ...) as (R_a + R_b, C_a + C_b, ...), ``first`` top left."""
    rows, columns = (first.shape[dim] + second.shape[dim] for dim in (0, 1))
    joint = filling.blocks((rows, columns, *first.shape[2:]), first)
    joint[: first.shape[0], : first.shape[1]] = first
    joint[first.shape[0] :, first.shape[1] :] = second
    return joint


def joint_spec(a: ModelSpec, b: ModelSpec) -> ModelSpec:
    """The architecture of both side by side: standard where that can say it, else hetero.

    Raises:
        ValueError: naming each layer that cannot be written, and why.
    """
    if a.groups or b.groups:
        raise ValueError(
            "A grouped model is stitched with layernorm='grouped' only: its groups have widths of their own"
        )
    is_standard = a.format == b.format == "standard" and all(map(_is_one_layer, a.layers, b.layers))
    problems = [
        f"layer {index}: {problem}"
        for index, pair in enumerate(zip(a.layers, b.layers, strict=True))
        for problem in _problems(*pair, a.format, b.format, is_standard)
    ]
    widths = zip(zip(a.layers, next_widths(a), strict=True), zip(b.layers, next_widths(b), strict=True), strict=True)
    for index, ((layer_a, next_a), (layer_b, next_b)) in enumerate(widths):
        changes = next_a != layer_a.hidden_size or next_b != layer_b.hidden_size
        if changes and layer_a.hidden_size + layer_b.hidden_size == next_a + next_b:
            problems.append(f"layer {index}: the sources change their widths, the joint width stays: no 'proj_head'")
    if problems:
        raise ValueError(
            "These models cannot be stitched into one architecture; use layernorm='grouped':\n  - "
            + "\n  - ".join(problems)
        )
    layers = tuple(
        Layer(
            x.hidden_size + y.hidden_size,
            x.heads + y.heads,
            tuple(p + q for p, q in zip(x.feed_forward, y.feed_forward, strict=True)),
        )
        for x, y in zip(a.layers, b.layers, strict=True)
    )
    return ModelSpec(layers, "standard" if is_standard else "hetero")


def _is_one_layer(a: Layer, b: Layer) -> bool:
    """Whether two standard layers are one standard layer together (given equal head sizes)."""
    kinds = {(head.operation, head.parameter) for head in a.heads + b.heads}
    return len(kinds) == 1 and _beside(a) is None and _beside(b) is None


def _beside(layer: Layer) -> str | None:
    standard = standard_layer(layer, is_hetero=False)
    return None if standard is None else standard.beside(layer)


def _problems(a: Layer, b: Layer, format_a: str, format_b: str, is_standard: bool) -> list[str]:
    problems = []
    if a.head_size != b.head_size:
        problems.append(f"heads of one layer have one size. Got {a.head_size} and {b.head_size}")
    if len(a.feed_forward) != len(b.feed_forward):
        problems.append(
            f"feed-forward stacks must be equally deep. Got {len(a.feed_forward)} and {len(b.feed_forward)} widths"
        )
    for layer, written in ((a, format_a), (b, format_b)):
        operation = layer.heads[0].operation
        if written == "standard" and not is_standard and not operation_named(operation).has_independent_heads:
            no_form = (
                f"a standard '{operation}' layer is more than its heads; beside other layers it has no hetero form"
            )
            problems.append(_beside(layer) or no_form)
    return problems


def joint_encoder_parameters(a: Any, b: Any, spec: ModelSpec, filling: Filling) -> Iterator[tuple[str, Tensor]]:
    """Every parameter of the joint encoder (without the pooler): its name and its value.

    Args:
        a: encoder of the first source.
        b: of the second.
        spec: ``joint_spec`` of theirs.

    Raises:
        ValueError: when both have a table of relative positions, and these differ.
    """
    sizes = Sizes.of(a.config)
    for target in embedding_parameters(spec.layers[0].hidden_size, sizes):
        yield target.name, _joined(target, a.get_parameter(target.name), b.get_parameter(target.name), filling, "")
    for index in range(len(spec.layers)):
        prefix = f"encoder.layer.{index}."
        first, second = (_LayerOf(model, index, sizes, prefix) for model in (a, b))
        layer, following = spec.layers[index], next_widths(spec)[index]
        for target in layer_parameters(layer, following, spec.format == "hetero", sizes):
            yield prefix + target.name, _layer_value(target, first, second, filling, prefix)


class _LayerOf:
    """A source's layer, whose tensors are asked for by role and head."""

    def __init__(self, model: Any, index: int, sizes: Sizes, prefix: str) -> None:
        spec = model.config.model_spec
        self.layer, self.following = spec.layers[index], next_widths(spec)[index]
        found = layer_parameters(self.layer, self.following, spec.format == "hetero", sizes)
        self._tensors = {(p.role, p.head): model.get_parameter(prefix + p.name) for p in found}
        self._like = next(iter(self._tensors.values()))

    def get(self, role: str, head: int | None = None) -> Tensor | None:
        """None for what the layer does not have; a standard layer has one W for all heads."""
        return self._tensors.get((role, head), self._tensors.get((role, None)))

    def zeros_or_identity(self, target: Parameter) -> Tensor:
        """Instead of a parameter that this source does not have: keys that ``l`` heads never read, or ``proj_head``."""
        width, heads = self.layer.hidden_size, len(self.layer.heads) * self.layer.head_size
        lengths = {"residual": width, "next": self.following, "heads": heads}
        if target.name == "output.proj_head.weight":
            return torch.eye(width).to(self._like)
        return self._like.new_zeros([lengths[axis.kind] for axis in target.axes])


def _layer_value(target: Parameter, a: _LayerOf, b: _LayerOf, filling: Filling, prefix: str) -> Tensor:
    if target.head is not None:
        first_heads = len(a.layer.heads)
        source, head = (a, target.head) if target.head < first_heads else (b, target.head - first_heads)
        value = source.get(target.role, head)
        assert value is not None
        return value.detach()
    first, second = a.get(target.role), b.get(target.role)
    first = a.zeros_or_identity(target) if first is None else first
    second = b.zeros_or_identity(target) if second is None else second
    if target.axes[-1].kind == "split":
        return _split_columns(first.detach(), second.detach(), a.layer, b.layer, filling)
    return _joined(target, first.detach(), second.detach(), filling, prefix)


def _joined(target: Parameter, first: Tensor, second: Tensor, filling: Filling, prefix: str) -> Tensor:
    growing = [dim for dim, axis in enumerate(target.axes) if _grows(axis)]
    if len(growing) == 2:
        return matrix_of_blocks(first, second, filling)
    if growing:
        return torch.cat([first, second.to(first)], dim=growing[0])
    if not torch.equal(first, second.to(first)):
        raise ValueError(
            f"'{prefix}{target.name}' exists once in a joint model and differs between the models (relative positions, "
            "or vectors before a projection); use layernorm='grouped', or models of absolute positions and without "
            "'word_vector_size'"
        )
    return first


def _grows(axis: Axis) -> bool:
    return axis.kind not in SHARED_KINDS


def _split_columns(first: Tensor, second: Tensor, a: Layer, b: Layer, filling: Filling) -> Tensor:
    """The output matrix of a standard ``c`` layer: first all attending heads, then all convolving ones."""
    joint = matrix_of_blocks(first, second, filling)
    halves = [layer.head_size * (len(layer.heads) // 2) for layer in (a, b)]
    parts = joint.split([halves[0], halves[0], halves[1], halves[1]], dim=1)
    return torch.cat([parts[0], parts[2], parts[1], parts[3]], dim=1)
