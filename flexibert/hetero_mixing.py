"""Token mixing of one layer in the hetero format (FlexiBERT 2.0): its heads may differ in operation.

Heads are taken in groups: first those that compare contents (``sa``), then those that attend by position alone (``l``,
``c``), of which heads with the same transform or the same kernel size are treated together. Every tensor is split once
per group structure, for each slice of it would cost a pass over its gradient.

The original returns zeros for every ``sa`` head, a bug that its fixtures were mended of. Checkpoint names carry a
counter per kind: ``W0``, ``key_conv_attn_layer0``, ... in the order of the heads.
Shapes: B batch, S sequence, H layer width, N heads, D head size.
"""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from design_space import Head, Layer

from .attention import Padding, attend, attend_by_bias
from .convolution import (
    SeparableConvolution,
    linear_per_head,
    product_per_head,
    separable_convolution_per_head,
    span_convolution,
)
from .linear_transform import transform_2d
from .mixing import Mixing


class Group(NamedTuple):
    """Heads of one operation and parameter: their places in the layer, and for ``wma`` and ``c`` their counters."""

    operation: str
    parameter: str | int
    places: list[int]
    counters: list[int]


class HeteroMixing(Mixing):
    """Heads of any operation side by side. (B, S, H) -> (B, S, N D); N D need not be H."""

    def __init__(self, layer: Layer, config: Any) -> None:
        super().__init__(layer, config)
        heads, size = layer.heads, layer.head_size
        width = len(heads) * size
        is_relative = config.position_embedding_type != "absolute"
        is_content = any(head.operation != "l" for head in heads)
        self._add_distance_embedding()
        self.query = nn.Linear(layer.hidden_size, width) if is_content or is_relative else None
        needs_keys = is_content or config.position_embedding_type == "relative_key_query"
        self.key = nn.Linear(layer.hidden_size, width) if needs_keys else None
        self.value = nn.Linear(layer.hidden_size, width)

        self.groups = _groups(heads)
        for group in self.groups:
            for number in group.counters:
                if group.operation == "sa":
                    self.register_parameter(f"W{number}", nn.Parameter(torch.empty(size, size)))
                else:
                    kernel = int(group.parameter)
                    self.add_module(f"key_conv_attn_layer{number}", SeparableConvolution(size, size, kernel))
                    self.add_module(f"conv_kernel_layer{number}", nn.Linear(size, kernel))
                    self.add_module(f"conv_out_layer{number}", nn.Linear(size, size))
        self.num_comparing = sum(len(group.places) for group in self.groups if group.operation == "sa")
        self.order = [place for group in self.groups for place in group.places]

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        q = None if self.query is None else self._in_groups(self.query(x_BSH))
        k = None if self.key is None else self._in_groups(self.key(x_BSH))
        v = self._in_groups(self.value(x_BSH))
        bias = padding.scores if q is None else self._bias(q, k, padding)
        sizes = [self.num_comparing, len(self.order) - self.num_comparing]
        is_shared = bias is None or bias.shape[1] == 1
        biases = [bias, bias] if is_shared else _split(bias, sizes)
        parts = list(zip(biases, *(_split(x, sizes) for x in (q, k, v)), strict=True))
        contexts: list[Tensor] = []
        weights: list[Tensor | None] = []
        if sizes[0]:
            context, part_weights = self._by_content(self._is_explicit(output_attentions), *parts[0])
            contexts.append(context)
            weights.append(part_weights)
        if sizes[1]:
            part_contexts, part_weights = self._by_position(padding, *parts[1])
            contexts += part_contexts
            weights.append(part_weights)
        merged = self._in_places(torch.cat([context.transpose(1, 2) for context in contexts], dim=2), dim=2).flatten(2)
        known = [part for part in weights if part is not None]
        return merged, self._in_places(torch.cat(known, dim=1), dim=1) if len(known) == len(weights) else None

    def _by_content(
        self, explicit: bool, bias: Tensor | None, q: Tensor, k: Tensor, v: Tensor
    ) -> tuple[Tensor, Tensor | None]:
        """Heads of ``sa``: scores q kT (``sdp``) or q W kT (``wma``)."""
        groups = [group for group in self.groups if group.operation == "sa"]
        content = []
        for group, part in zip(groups, _split(q, _sizes(groups)), strict=True):
            matrices = [getattr(self, f"W{number}").transpose(0, 1) for number in group.counters]
            content.append(product_per_head(part, matrices) if matrices else part)
        joined = content[0] if len(content) == 1 else torch.cat(content, dim=1)
        return attend(joined, k, v, bias, self._dropout(), explicit)

    def _by_position(
        self, padding: Padding, bias: Tensor | None, q: Tensor | None, k: Tensor | None, v: Tensor
    ) -> tuple[list[Tensor], Tensor]:
        """Heads of ``l`` and ``c``: attention by position, plus a transform or a convolution; one context a group."""
        context, weights = attend_by_bias(v, bias, self._dropout())
        groups = [group for group in self.groups if group.operation != "sa"]
        parts = zip(groups, *(_split(x, _sizes(groups)) for x in (q, k, v)), strict=True)
        attended = _split(context, _sizes(groups))
        return [x + self._transformed(padding, *part) for x, part in zip(attended, parts, strict=True)], weights

    def _transformed(self, padding: Padding, group: Group, q: Tensor | None, k: Tensor | None, v: Tensor) -> Tensor:
        if group.operation == "l":
            return transform_2d(padding.zeroed(v), str(group.parameter))
        assert q is not None
        assert k is not None
        separable = [getattr(self, f"key_conv_attn_layer{number}") for number in group.counters]
        local = separable_convolution_per_head(padding.zeroed(k), separable)
        logits = linear_per_head(local * q, [getattr(self, f"conv_kernel_layer{number}") for number in group.counters])
        values = linear_per_head(v, [getattr(self, f"conv_out_layer{number}") for number in group.counters])
        return span_convolution(padding.zeroed(values), logits)

    def _in_groups(self, x_BSC: Tensor) -> Tensor:
        """(B, S, N D) -> (B, N, S, D), heads in the order of the groups."""
        return self._taken(self._heads(x_BSC), 1, self.order)

    def _in_places(self, x: Tensor, dim: int) -> Tensor:
        """From the order of the groups to the order of the layer, heads being axis ``dim``."""
        return self._taken(x, dim, [self.order.index(place) for place in range(len(self.order))])

    def _taken(self, x: Tensor, dim: int, places: list[int]) -> Tensor:
        if places == sorted(places):
            return x
        return x.index_select(dim, torch.tensor(places, device=x.device))


def _groups(heads: tuple[Head, ...]) -> list[Group]:
    """Groups in the order ``sdp``, ``wma``, ``dft``, ``dct``, kernel sizes ascending."""
    kernels = sorted({int(head.parameter) for head in heads if head.operation == "c"})
    kinds: list[tuple[str, str | int]] = [
        ("sa", "sdp"),
        ("sa", "wma"),
        ("l", "dft"),
        ("l", "dct"),
        *(("c", kernel) for kernel in kernels),
    ]
    groups = []
    for kind in kinds:
        places = [place for place, head in enumerate(heads) if (head.operation, head.parameter) == kind]
        has_own = kind[0] == "c" or kind[1] == "wma"
        counted = [place for place, head in enumerate(heads) if head.operation == "c" or head.parameter == "wma"]
        counted = [place for place in counted if heads[place].operation == kind[0]]
        if places:
            groups.append(Group(*kind, places, [counted.index(place) for place in places] if has_own else []))
    return groups


def _sizes(groups: list[Group]) -> list[int]:
    return [len(group.places) for group in groups]


def _split(x_BNSD: Tensor | None, sizes: list[int]) -> list[Any]:
    """One tensor per size along the head axis; Nones for None."""
    return [None] * len(sizes) if x_BNSD is None else list(x_BNSD.split(sizes, dim=1))
