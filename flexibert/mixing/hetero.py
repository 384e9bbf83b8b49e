"""Token mixing of one layer in the hetero format (FlexiBERT 2.0): its heads may differ in operation.

Heads are taken in groups: first those that compare contents (``sa``), then those that attend by position alone (``l``,
``c``), of which heads with the same transform or the same kernel size are treated together. Of queries, keys
and values, those that are read are projected, in this order, and split once.

The original returns zeros for every ``sa`` head, a bug that its fixtures were mended of. Checkpoint names carry a
counter per kind: ``W0``, ``key_conv_attn_layer0``, ... in the order of the heads.
Shapes: B batch, S sequence, H layer width, N heads, D head size.
"""

from collections.abc import Hashable
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from design_space import Head, Layer

from .attention import Padding
from .convolution import (
    SeparableConvolution,
    linear_per_head,
    product_per_head,
    separable_convolution_per_head,
    span_convolution,
)
from .head_layout import merge_with, project
from .linear_transform import transform_2d
from .standard import Mixing

# What a group reads by itself, beside what attention reads of all heads.
READ_BY = {"sdp": (), "wma": ("query",), "dft": ("value",), "dct": ("value",)}
READ_BY_CONVOLUTION = ("query", "key", "value")


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
        self.order = [place for group in self.groups for place in group.places]
        firsts = [self.order.index(group.places[0]) for group in self.groups]
        self.transforming = [
            (range(first, first + len(group.places)), group)
            for first, group in zip(firsts, self.groups, strict=True)
            if group.operation != "sa"
        ]
        self.num_comparing = sum(len(group.places) for group in self.groups if group.operation == "sa")
        reading = [place for place in self.order if heads[place].operation != "l"]
        is_positioned_by_keys = config.position_embedding_type == "relative_key_query"
        projected = {
            "query": self.order if is_relative else reading,
            "key": self.order if is_positioned_by_keys else reading,
            "value": self.order,
        }
        self.projected = {name: _runs(places, len(heads)) for name, places in projected.items() if places}
        self.ranges = self._ranges(projected, is_positioned_by_keys)

    def _ranges(self, projected: dict[str, list[int]], is_positioned_by_keys: bool) -> dict[Hashable, range]:
        """Where what is read is in the projected heads: for attention by name, else by name and group."""
        columns = [(name, place) for name, places in projected.items() for place in places]

        def found(name: str, places: list[int]) -> range:  # heads of a group are neighbours
            return range(columns.index((name, places[0])), columns.index((name, places[-1])) + 1)

        comparing = self.order[: self.num_comparing]
        queried = self.order if self.distance_embedding is not None else comparing
        attended = {"query": queried, "key": comparing, "value": self.order}
        ranges: dict[Hashable, range] = {name: found(name, places) for name, places in attended.items() if places}
        if is_positioned_by_keys:
            ranges["all keys"] = found("key", self.order)
        for group in self.groups:
            for name in READ_BY.get(str(group.parameter), READ_BY_CONVOLUTION):
                ranges[name, group.operation, group.parameter] = found(name, group.places)
        return ranges

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        linears = [(getattr(self, name), heads) for name, heads in self.projected.items()]
        projected = project(x_BSH, linears, self.head_size)
        read = dict(zip(self.ranges, self._split(projected, list(self.ranges.values())), strict=True))
        context, weights = self._attend(
            read.get("query"),
            read.get("key"),
            read["value"],
            padding,
            output_attentions,
            self._content(read),
            read.get("all keys"),
        )
        added = [(heads, self._transformed(padding, group, read)) for heads, group in self.transforming]
        merged = merge_with(context, added).unflatten(2, (-1, self.head_size))
        merged = self._in_places(merged, dim=2).flatten(2)
        return merged, None if weights is None else self._in_places(weights, dim=1)

    def _content(self, read: dict[Hashable, Tensor]) -> Tensor | None:
        """What ``wma`` heads, the last ones with keys, compare with these: q W; None where there is none."""
        groups = [group for group in self.groups if (group.operation, group.parameter) == ("sa", "wma")]
        if not groups:
            return None
        q = read["query", "sa", "wma"]
        return product_per_head(q, [getattr(self, f"W{number}").transpose(0, 1) for number in groups[0].counters])

    def _transformed(self, padding: Padding, group: Group, read: dict[Hashable, Tensor]) -> Tensor:
        q, k, v = (read.get((name, group.operation, group.parameter)) for name in ("query", "key", "value"))
        assert v is not None
        if group.operation == "l":
            return transform_2d(padding.zeroed(v), str(group.parameter))
        assert q is not None
        assert k is not None
        separable = [getattr(self, f"key_conv_attn_layer{number}") for number in group.counters]
        local = separable_convolution_per_head(padding.zeroed(k), separable)
        logits = linear_per_head(local * q, [getattr(self, f"conv_kernel_layer{number}") for number in group.counters])
        values = linear_per_head(v, [getattr(self, f"conv_out_layer{number}") for number in group.counters])
        return span_convolution(padding.zeroed(values), logits)

    def _in_places(self, x: Tensor, dim: int) -> Tensor:
        """From the order of the groups to the order of the layer, heads being axis ``dim``."""
        if self.order == sorted(self.order):
            return x
        places = [self.order.index(place) for place in range(len(self.order))]
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


def _runs(places: list[int], num_heads: int) -> list[range]:
    """Neighbouring heads in one range each; none where all heads are in order."""
    if places == list(range(num_heads)):
        return []
    runs: list[range] = []
    for place in places:
        if runs and runs[-1].stop == place:
            runs[-1] = range(runs[-1].start, place + 1)
        else:
            runs.append(range(place, place + 1))
    return runs
