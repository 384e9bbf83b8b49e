"""Architectures of one depth as arrays: what the edit distance needs to know of their graphs.

Heads of a layer come in *slots*: runs of heads with one label, by place. So do feed-forward stacks: a stack of one
repeated width is one slot, or, to be compared with stacks that mix widths, every vertex is a slot of its own.

Shapes: G graphs, L layers, R head slots, S feed-forward slots, P places of the label order. Graphs run along the
last axis.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache

import numpy as np
import numpy.typing as npt

from design_space import LabelOrder, Layer, ModelSpec
from design_space.graph import vertices_and_edges
from design_space.spec import Format

Ints = npt.NDArray[np.integer]


def mixes_widths(spec: ModelSpec) -> bool:
    """Whether some feed-forward stack has vertices of different widths."""
    return any(len(set(layer.feed_forward)) > 1 for layer in spec.layers)


@dataclass(frozen=True)
class LayeredGraphs:
    """The graphs of architectures of equally many layers, as arrays.

    Attributes:
        head_places, head_counts: (L, R, G), the label of a head slot and its number of heads; 0 where empty.
        width_places, width_counts: (L, S, G), likewise for the feed-forward stacks, from input to output.
        reach: (P, G), how many vertices stand at a place or beyond.
        num_edges: (G,).

    All but ``num_edges`` are of the narrowest type that also holds differences: the distance is as fast as memory is.
    """

    head_places: Ints
    head_counts: Ints
    width_places: Ints
    width_counts: Ints
    reach: Ints
    num_edges: Ints

    @property
    def depth(self) -> int:
        return self.head_places.shape[0]

    @cached_property
    def head_span(self) -> tuple[int, int]:
        """The lowest and the highest place of a head."""
        return _span(self.head_places, self.head_counts)

    @cached_property
    def width_span(self) -> tuple[int, int]:
        """The lowest and the highest place of a feed-forward width."""
        return _span(self.width_places, self.width_counts)

    @staticmethod
    def of(specs: Sequence[ModelSpec], order: LabelOrder, *, mixed: bool) -> "LayeredGraphs":
        """The arrays of architectures of one depth.

        Args:
            mixed: every feed-forward vertex is a slot of its own; needed where a stack mixes widths.

        Raises:
            ValueError: for a label outside the order.
        """
        layers = [_slots(spec, order) for spec in specs]
        num_heads = max(len(heads) for graph in layers for heads, _ in graph)
        num_widths = max(len(widths) for graph in layers for _, widths in graph) if mixed else 1
        shape = (len(layers[0]), len(specs))
        head_places, head_counts = np.zeros((2, shape[0], num_heads, shape[1]), dtype=np.int16)
        width_places, width_counts = np.zeros((2, shape[0], num_widths, shape[1]), dtype=np.int16)
        at = np.zeros((len(order.labels), len(specs)), dtype=np.int64)
        num_edges = np.ones(len(specs), dtype=np.int64)  # the one into `output`
        for g, graph in enumerate(layers):
            for i, (heads, widths) in enumerate(graph):
                slots = [(width, 1) for width in widths] if mixed else [(widths[0], len(widths))]
                for r, (place, count) in enumerate(heads):
                    head_places[i, r, g], head_counts[i, r, g] = place, count
                    at[place, g] += count
                for s, (place, count) in enumerate(slots):
                    width_places[i, s, g], width_counts[i, s, g] = place, count
                    at[place, g] += count
                num_edges[g] += 2 * sum(count for _, count in heads) + len(widths) + 3
        places = order.positions
        at[places["input"]] += 1
        at[places["output"]] += 1
        at[places["add_norm"]] += 2 * shape[0]
        reach = at[::-1].cumsum(0)[::-1]
        number = np.int8 if max(reach.max(), len(reach)) <= np.iinfo(np.int8).max else np.int16

        def narrow(array: Ints) -> Ints:
            return np.ascontiguousarray(array, dtype=number)

        return LayeredGraphs(
            narrow(head_places),
            narrow(head_counts),
            narrow(width_places),
            narrow(width_counts),
            narrow(reach),
            num_edges,
        )


def _span(places: Ints, counts: Ints) -> tuple[int, int]:
    occurring = places[counts > 0]
    return int(occurring.min()), int(occurring.max())


def _slots(spec: ModelSpec, order: LabelOrder) -> list[tuple[list[tuple[int, int]], list[int]]]:
    """The slots of each layer: (place, number of heads) of each head label, by place; and the places of the
    feed-forward widths."""
    try:
        if spec.format != "grouped":
            return [_known_slots(layer, spec.format, order) for layer in spec.layers]
        heads = [spec.head_labels(i) for i in range(len(spec.layers))]
        widths = [layer.feed_forward for layer in spec.layers]
        return [_layer_slots(*layer, order.positions) for layer in zip(heads, widths, strict=True)]
    except KeyError:
        unknown = sorted(set(vertices_and_edges(spec)[0]) - order.positions.keys())
        raise ValueError(
            f"Labels outside the space's order: {', '.join(unknown)}. Use order.extended(labels)"
        ) from None


@lru_cache(maxsize=65_536)
def _known_slots(layer: Layer, written: Format, order: LabelOrder) -> tuple[list[tuple[int, int]], list[int]]:
    labels = ModelSpec((layer,), written).head_labels(0)
    return _layer_slots(labels, layer.feed_forward, order.positions)


def _layer_slots(
    labels: Sequence[str], widths: Sequence[int], places: Mapping[str, int]
) -> tuple[list[tuple[int, int]], list[int]]:
    counts = Counter(labels)
    return sorted((places[label], count) for label, count in counts.items()), [places[f"f{width}"] for width in widths]
