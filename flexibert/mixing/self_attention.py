"""Self-attention, ``sa``: scaled dot product (``sdp``) or weighted multiplicative attention (``wma``: q W kT).

In the standard format the heads of a layer share one W; in the hetero format each head has its own. What the original
keeps although no output depends on it is not built: W under ``sdp``.
Shapes: B batch, S sequence, H layer width, N heads, D head size.
"""

from typing import Any

import torch
from torch import Tensor, nn
from transformers import initialization as init

from design_space import Layer
from design_space.operations import SELF_ATTENTION

from .attention import Padding, merge_heads
from .axes import Axis, Flops, Parameter, Sizes, distance_table, linear
from .base import Mixing
from .operation import Attends, HeadOperation, Own, StandardLayer

WEIGHTED = "wma"


class SelfAttention(Mixing):
    """Heads that all attend by contents in one way."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        width = len(layer.heads) * layer.head_size
        self.query = nn.Linear(layer.hidden_size, width)
        self.key = nn.Linear(layer.hidden_size, width)
        self.value = nn.Linear(layer.hidden_size, width)
        is_weighted = layer.heads[0].parameter == WEIGHTED
        self.W = nn.Parameter(torch.empty(self.head_size, self.head_size)) if is_weighted else None
        self._add_distance_embedding()

    def init_weights(self) -> None:
        """W starts uniform in (-0.1, 0.1), as in the original."""
        if self.W is not None:
            init.uniform_(self.W, -0.1, 0.1)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        q, k, v = (self._heads(linear, x_BSH) for linear in (self.query, self.key, self.value))
        content = q if self.W is None else q @ self.W
        context, weights = self._attend(content, k, v, self._bias(q, k, padding), output_attentions)
        return merge_heads(context), weights


class SelfAttentionHeads(HeadOperation):
    """Heads that attend by contents."""

    name = SELF_ATTENTION
    attends = Attends.CONTENTS
    mixes = False
    reads = ("query", "key")
    commutes_with_rotation = True

    def build(self, parameter: Any, size: int) -> dict[str, nn.Parameter | nn.Module]:
        return {"W": nn.Parameter(torch.empty(size, size))} if parameter == WEIGHTED else {}

    def parameters(self, parameter: Any, size: int) -> list[Parameter]:
        axes = Axis("head", size, space="query"), Axis("head", size, space="key")
        return [Parameter("W", axes, "W", is_bilinear=True)] if parameter == WEIGHTED else []

    def init_weights(self, own: Own) -> None:
        for weight in own.values():
            init.uniform_(weight, -0.1, 0.1)

    def content(self, query_BSD: Tensor, own: Own) -> Tensor:
        return query_BSD @ own["W"] if own else query_BSD

    def flops(self, parameter: Any, size: int, length: int) -> Flops:
        return Flops(length * size * size if parameter == WEIGHTED else 0)

    def standard(self) -> StandardLayer:
        return _StandardSelfAttention()


class _StandardSelfAttention(StandardLayer):
    def build(self, layer: Layer, config: Any) -> Mixing:
        return SelfAttention(layer, config)

    def parameters(self, layer: Layer, sizes: Sizes) -> list[Parameter]:
        residual, count, size = Axis("residual", layer.hidden_size), len(layer.heads), layer.head_size
        found = []
        for name in ("query", "key", "value"):
            found += linear(f"attention.self.{name}", Axis("heads", size, count, name), residual)
        for own in SelfAttentionHeads().parameters(layer.heads[0].parameter, size):
            found.append(own._replace(name=f"attention.self.{own.name}", role=f"attention.self.{own.role}"))
        output = linear("attention.output.dense", residual, Axis("heads", size, count, "value"))
        return [*found, *distance_table(size, sizes), *output]

    def flops(self, layer: Layer, length: int, positions: str) -> Flops:
        count, size = len(layer.heads), layer.head_size
        products = 3 * length * layer.hidden_size * count * size + attention_products(count, size, length, positions)
        return Flops(products + count * SelfAttentionHeads().flops(layer.heads[0].parameter, size, length).products)

    def beside(self, layer: Layer) -> str | None:
        return "its heads share one W" if layer.heads[0].parameter == WEIGHTED else None


def attention_products(num_heads: int, size: int, length: int, positions: str, *, by_contents: bool = True) -> int:
    """Multiply-adds of attention: contexts, comparisons of contents, and one product with every distance for each of
    queries and keys that is positioned."""
    positioned = {"absolute": 0, "relative_key": 1, "relative_key_query": 2}[positions]
    return num_heads * length * size * (length * (2 if by_contents else 1) + positioned * (2 * length - 1))
