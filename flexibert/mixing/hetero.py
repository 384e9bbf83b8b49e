"""Token mixing of one layer whose heads may differ in operation (the hetero format, FlexiBERT 2.0).

A standard layer of an operation that says nothing else about such layers (``HeadOperation.standard``) is built like
this too. The original returns zeros for every ``sa`` head, a bug that its fixtures were mended of. Checkpoint names of
weights that are a head's own carry a counter per name: ``W0``, ``key_conv_attn_layer0``, ... in the order of the heads.
Shapes: B batch, S sequence, H layer width, N heads, D head size.
"""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from design_space import Head, Layer, operation_named

from .attention import Padding
from .axes import Axis, Flops, Parameter, Sizes, distance_table, linear
from .base import Mixing
from .head_operations import head_operation
from .operation import Attends, HeadInputs
from .self_attention import attention_products

PROJECTIONS = ("query", "key", "value")


class HeteroMixing(Mixing):
    """Heads of any operation side by side. (B, S, H) -> (B, S, N D); N D need not be H."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        width = len(layer.heads) * layer.head_size
        projected = _projected(layer.heads, config.position_embedding_type)
        self.attending = _attending(layer.heads)
        if self.attending:
            self._add_distance_embedding()
        self.query, self.key, self.value = (
            nn.Linear(layer.hidden_size, width) if name in projected else None for name in PROJECTIONS
        )
        self.heads = layer.heads
        self.operations = [head_operation(head.operation) for head in layer.heads]
        self.own_names = _counted(layer.heads)
        # By rank of their parameters: an optimizer's state in a checkpoint is a list in the order of registration.
        ranks = [operation_named(head.operation).rank(head.parameter) for head in layer.heads]
        for place in sorted(range(len(ranks)), key=ranks.__getitem__):
            head = layer.heads[place]
            for name, weight in self.operations[place].build(head.parameter, head.size).items():
                setattr(self, self.own_names[place][name], weight)

    def init_weights(self) -> None:
        for place, operation in enumerate(self.operations):
            own = self._own(place)
            operation.init_weights({name: each for name, each in own.items() if isinstance(each, nn.Parameter)})

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        q, k, v = (None if each is None else self._heads(each, x_BSH) for each in (self.query, self.key, self.value))
        assert v is not None
        contexts, weights = self._attention(q, k, v, padding, output_attentions)
        for place, (head, operation) in enumerate(zip(self.heads, self.operations, strict=True)):
            if operation.mixes:
                query, key = (
                    x[:, place] if x is not None and name in operation.reads else None
                    for name, x in (("query", q), ("key", k))
                )
                inputs = HeadInputs(query, key, v[:, place], padding)
                mixed = operation.mix(inputs, self._own(place), head.parameter)
                contexts[place] = contexts[place] + mixed if place in contexts else mixed
        return torch.cat([contexts[place] for place in range(len(self.heads))], dim=-1), weights

    def _attention(
        self, q: Tensor | None, k: Tensor | None, v: Tensor, padding: Padding, output_attentions: bool
    ) -> tuple[dict[int, Tensor], Tensor | None]:
        """The contexts (B, S, D) of heads that attend, by place, and their weights in order where asked for."""
        places = self.attending
        if not places:
            return {}, None
        if len(places) < len(self.heads):
            q, k, v = None if q is None else q[:, places], None if k is None else k[:, places], v[:, places]
        content = None
        if any(self.operations[place].attends is Attends.CONTENTS for place in places):
            assert q is not None
            contents = [self._content(place, q_BSD) for place, q_BSD in zip(places, q.unbind(1), strict=True)]
            content = torch.stack(contents, dim=1)
        context, weights = self._attend(content, k, v, self._bias(q, k, padding), output_attentions)
        return dict(zip(places, context.unbind(1), strict=True)), weights

    def _content(self, place: int, q_BSD: Tensor) -> Tensor:
        """What a head compares with its keys; zeros leave it to positions."""
        operation = self.operations[place]
        if operation.attends is Attends.CONTENTS:
            return operation.content(q_BSD, self._own(place))
        return torch.zeros_like(q_BSD)

    def _own(self, place: int) -> dict[str, Any]:
        return {name: getattr(self, own) for name, own in self.own_names[place].items()}


def hetero_parameters(layer: Layer, sizes: Sizes) -> Iterator[Parameter]:
    """The parameters of such a layer, and ``attention.output.dense``'s."""
    residual, size, count = Axis("residual", layer.hidden_size), layer.head_size, len(layer.heads)
    for name in _projected(layer.heads, sizes.position_embedding_type):
        yield from linear(f"attention.self.{name}", Axis("heads", size, count, name), residual)
    if _attending(layer.heads):
        yield from distance_table(size, sizes)
    for place, (head, names) in enumerate(zip(layer.heads, _counted(layer.heads), strict=True)):
        for own in head_operation(head.operation).parameters(head.parameter, size):
            first, dot, rest = own.name.partition(".")
            name, role = f"attention.self.{names[first]}{dot}{rest}", f"attention.self.{own.role}"
            yield own._replace(name=name, role=role, head=place)
    yield from linear("attention.output.dense", residual, Axis("heads", size, count, "value"))


def hetero_flops(layer: Layer, length: int, positions: str) -> Flops:
    """Work of such a layer for one sequence."""
    size, count = layer.head_size, len(layer.heads)
    total = Flops(len(_projected(layer.heads, positions)) * count * length * layer.hidden_size * size)
    attends = [head_operation(head.operation).attends for head in layer.heads]
    num_attending = len(attends) - attends.count(Attends.NOTHING)
    by_contents = Attends.CONTENTS in attends
    total = total.plus(Flops(attention_products(num_attending, size, length, positions, by_contents=by_contents)))
    for head in layer.heads:
        total = total.plus(head_operation(head.operation).flops(head.parameter, size, length))
    return total


def _projected(heads: Sequence[Head], positions: str) -> list[str]:
    """The linear maps that some head reads; attention by relative positions reads queries, and may read keys."""
    operations = [head_operation(head.operation) for head in heads]
    read = {name for operation in operations for name in operation.reads}
    if any(operation.attends is Attends.CONTENTS for operation in operations):
        read |= {"query", "key"}
    if any(operation.attends is not Attends.NOTHING for operation in operations):
        read |= {"absolute": set(), "relative_key": {"query"}}.get(positions, {"query", "key"})
    return [name for name in PROJECTIONS if name in read or name == "value"]


def _attending(heads: Sequence[Head]) -> list[int]:
    """The places of heads that attend."""
    attends = [head_operation(head.operation).attends for head in heads]
    return [place for place, each in enumerate(attends) if each is not Attends.NOTHING]


def _counted(heads: Sequence[Head]) -> list[dict[str, str]]:
    """Per head, the names of its own weights and those with their counters."""
    counters: Counter[str] = Counter()
    counted = []
    for head in heads:
        described = head_operation(head.operation).parameters(head.parameter, head.size)
        names = dict.fromkeys(each.name.partition(".")[0] for each in described)
        counted.append({name: f"{name}{counters[name]}" for name in names})
        counters.update(list(names))
    return counted
