"""Token mixing of one layer in the hetero format (FlexiBERT 2.0): its heads may differ in operation.

All heads share one attention. Its content term is q kT for ``sa_sdp`` heads, q W kT for ``sa_wma`` heads, and absent
for ``l`` and ``c`` heads, which attend by position alone. Then heads with the same transform, or the same kernel size,
are treated together.

The original returns zeros for every ``sa`` head, a bug that its fixtures were mended of. Checkpoint names carry a
counter per kind: ``W0``, ``key_conv_attn_layer0``, ... in the order of the heads.
Shapes: B batch, S sequence, H layer width, N heads, D head size.
"""

from typing import Any

import torch
from torch import Tensor, nn

from design_space import Head, Layer

from .attention import Padding, attend, attend_by_bias
from .convolution import SeparableConvolution, linear_per_head, separable_convolution_per_head, span_convolution
from .linear_transform import transform_2d
from .mixing import Mixing, merge_heads


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

        self.attending = _places(heads, "sa")
        self.weighted = _places(heads, "sa", "wma")
        for number in range(len(self.weighted)):
            self.register_parameter(f"W{number}", nn.Parameter(torch.empty(size, size)))
        self.transforms = {name: places for name in ("dft", "dct") if (places := _places(heads, "l", name))}
        convolving = _places(heads, "c")
        for number, place in enumerate(convolving):
            kernel = int(heads[place].parameter)
            self.add_module(f"key_conv_attn_layer{number}", SeparableConvolution(size, size, kernel))
            self.add_module(f"conv_kernel_layer{number}", nn.Linear(size, kernel))
            self.add_module(f"conv_out_layer{number}", nn.Linear(size, size))
        kernels = sorted({int(heads[place].parameter) for place in convolving})
        self.convolutions = [  # per kernel size: places of the heads, and their counters
            (
                [place for place in convolving if heads[place].parameter == kernel],
                [number for number, place in enumerate(convolving) if heads[place].parameter == kernel],
            )
            for kernel in kernels
        ]
        self.num_heads = len(heads)

    def forward(self, x_BSH: Tensor, padding: Padding, output_attentions: bool) -> tuple[Tensor, Tensor | None]:
        q = None if self.query is None else self._heads(self.query(x_BSH))
        k = None if self.key is None else self._heads(self.key(x_BSH))
        v = self._heads(self.value(x_BSH))
        bias = padding.scores if q is None else self._bias(q, k, padding)
        if self.attending:
            assert q is not None
            assert k is not None
            explicit = self._is_explicit(output_attentions)
            context, weights = attend(self._content_queries(q), k, v, bias, self._dropout(), explicit)
        else:
            context, weights = attend_by_bias(v, bias, self._dropout())
        for name, places in self.transforms.items():
            context = _add_at(context, places, transform_2d(padding.zeroed(_at(v, places)), name))
        for places, numbers in self.convolutions:
            assert q is not None
            assert k is not None
            convolved = self._convolve(_at(q, places), _at(k, places), _at(v, places), numbers, padding)
            context = _add_at(context, places, convolved)
        return merge_heads(context), weights

    def _content_queries(self, q_BNSD: Tensor) -> Tensor:
        """q for ``sdp``, q W for ``wma``, zero for heads that do not compare contents."""
        if self.weighted:
            weights_NDD = torch.stack([getattr(self, f"W{number}") for number in range(len(self.weighted))])
            q_BNSD = _put_at(q_BNSD, self.weighted, _at(q_BNSD, self.weighted) @ weights_NDD)
        if len(self.attending) < self.num_heads:
            is_attending = [float(place in self.attending) for place in range(self.num_heads)]
            q_BNSD = q_BNSD * q_BNSD.new_tensor(is_attending).view(1, -1, 1, 1)
        return q_BNSD

    def _convolve(self, q: Tensor, k: Tensor, v: Tensor, numbers: list[int], padding: Padding) -> Tensor:
        """Span convolution of heads with one kernel size; q, k, v: (B, heads of this kernel, S, D)."""
        separable = [getattr(self, f"key_conv_attn_layer{number}") for number in numbers]
        local = separable_convolution_per_head(padding.zeroed(k), separable)
        logits = linear_per_head(local * q, [getattr(self, f"conv_kernel_layer{number}") for number in numbers])
        values = linear_per_head(v, [getattr(self, f"conv_out_layer{number}") for number in numbers])
        return span_convolution(padding.zeroed(values), logits)


def _places(heads: tuple[Head, ...], operation: str, parameter: str | None = None) -> list[int]:
    return [
        place for place, head in enumerate(heads) if head.operation == operation and parameter in (None, head.parameter)
    ]


def _index(places: list[int], like: Tensor) -> Tensor:
    return torch.tensor(places, device=like.device)


def _at(x_BNSD: Tensor, places: list[int]) -> Tensor:
    """The heads at ``places``; a view where they are neighbours."""
    first, last = places[0], places[-1] + 1
    if last - first == len(places):
        return x_BNSD[:, first:last]
    return x_BNSD.index_select(1, _index(places, x_BNSD))


def _put_at(x_BNSD: Tensor, places: list[int], part: Tensor) -> Tensor:
    return x_BNSD.index_copy(1, _index(places, x_BNSD), part.to(x_BNSD.dtype))


def _add_at(x_BNSD: Tensor, places: list[int], part: Tensor) -> Tensor:
    return x_BNSD.index_add(1, _index(places, x_BNSD), part.to(x_BNSD.dtype))
