"""The number of edges that two graphs can keep under a vertex map of least cost.

Moving vertices along a line, ``flow[p]`` says by how many more vertices the first graph has at place p or beyond. A
map is of least cost if and only if across every p all movement goes one way, ``|flow[p]|`` vertices strong. So a pair
may be matched while the flow between its places runs from one to the other; matching it lowers that flow by one, and
what is left can always be completed at least cost. A greedy choice is therefore safe: pairs that keep edges first.

Which pairs keep edges is decided by a *layer alignment*: layer i of the shallower graph lies on layer ``sigma[i]`` of
the deeper one. Then

- the first add_norms of aligned layers are matched, and as many of their heads and feed-forward vertices as the flow
  allows;
- the sources of aligned layers (the second add_norm before, or ``input``) are matched where they can be, which keeps
  the edges into the heads; elsewhere the second add_norms of aligned layers, which keeps the edges into them;
- feed-forward vertices left over are matched across layers, which keeps the edges between them.

Alignments that move blocks of layers together are tried, the fewest blocks first: those of more blocks are hardly
ever better. Every count is that of a real map: a lower bound, and the distance made of it an upper bound.

Shapes: C alignments, B pairs, P places, S feed-forward slots; depths (L, M) of the two graphs, L <= M.
"""

import itertools
from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import numpy.typing as npt

from .layered_graphs import Ints, LayeredGraphs

MOST_BLOCKS, MOST_ALIGNMENTS = 2, 64
_ADD_NORM = slice(1, 3)  # the flow between `input`, place 0, and `add_norm`, place 2


def match(a: LayeredGraphs, i: Ints, b: LayeredGraphs, j: Ints) -> tuple[Ints, Ints]:
    """The least cost of the vertices of the pairs (a[i], b[j]), and the edges kept at that cost under the best
    alignment; (B,), (B,). ``a`` is not deeper than ``b``."""
    matching = _Matching(a, i, b, j)
    return matching.vertex_cost, matching.edges_kept().max(0)


@lru_cache(maxsize=256)
def layer_alignments(depth_a: int, depth_b: int) -> npt.NDArray[np.int64]:
    """The injections of ``depth_a`` layers into ``depth_b`` that keep layers together in at most ``MOST_BLOCKS``
    blocks, (C, depth_a), those of fewest blocks first."""
    return np.array(list(itertools.islice(_in_blocks(depth_a, depth_b), MOST_ALIGNMENTS)), dtype=np.int64)


class _Matching:
    """A batch of pairs under all alignments at once; arrays end in (C, B).

    Attributes:
        sigma: (C, L), the layer of b under every layer of a. inverse: (C, M), -1 under no layer.
        vertex_cost: (B,). flow: (P, C, B), what still has to move.
        left_a, left_b: (L, S, C, B) and (M, S, C, B), feed-forward vertices not matched yet.
    """

    def __init__(self, a: LayeredGraphs, i: Ints, b: LayeredGraphs, j: Ints) -> None:
        self.sigma = layer_alignments(a.depth, b.depth)
        self.inverse = np.full((len(self.sigma), b.depth), -1)
        np.put_along_axis(self.inverse, self.sigma, np.arange(a.depth)[None], axis=1)
        number = np.result_type(a.reach, b.reach)

        def of(array: Ints, pair: Ints) -> Ints:
            return array[..., pair].astype(number, copy=False)

        def repeated(array: Ints) -> Ints:
            return np.repeat(array[..., None, :], len(self.sigma), axis=-2)

        flow = of(a.reach, i) - of(b.reach, j)
        self.vertex_cost: Ints = np.abs(flow[1:]).sum(0, dtype=np.int64)
        self.flow = repeated(flow)
        self.heads_a = of(a.head_places, i), of(a.head_counts, i)
        self.heads_b = of(b.head_places, j), of(b.head_counts, j)
        self.widths_a, self.widths_b = of(a.width_places, i), of(b.width_places, j)
        self.left_a, self.left_b = repeated(of(a.width_counts, i)), repeated(of(b.width_counts, j))
        self.head_cuts = _cuts(a.head_span, b.head_span)
        self.width_cuts = _cuts(a.width_span, b.width_span)

    def edges_kept(self) -> Ints:
        """The edges kept under every alignment, (C, B)."""
        kept = np.zeros(self.flow.shape[1:], dtype=np.int16)
        sources, wholes = [], []
        for layer, on in enumerate(self.sigma.T):
            sources.append(self._match_source(layer, on))
            edges, whole = self._match_widths(layer, on)
            wholes.append(whole)
            kept += self._match_heads(layer, on) * (1 + sources[-1]) + sources[-1] + edges
        kept += self._match_second_norms(np.array(sources), np.array(wholes))
        return kept + self._match_across_layers()

    def _match_heads(self, layer: int, on: Ints) -> Ints:
        """The number of heads matched in aligned layers, (C, B); those of one label first."""
        (places_a, counts_a), (places_b, counts_b) = self.heads_a, self.heads_b
        left_a = list(np.repeat(counts_a[layer][:, None], len(on), axis=1))
        left_b = [counts[on] for counts in counts_b.swapaxes(0, 1)]
        matched = np.zeros(self.flow.shape[1:], dtype=self.flow.dtype)
        slots = list(itertools.product(range(len(left_a)), range(len(left_b))))
        if len(slots) > 1:
            for r, s in slots:  # those that need not move
                number = np.minimum(left_a[r], left_b[s] * (places_a[layer, r] == places_b[on, s]))
                left_a[r] -= number
                left_b[s] -= number
                matched += number
        for r, s in slots:
            here, there = places_a[layer, r][None], places_b[on, s]
            number = _match(self.flow[self.head_cuts], self.head_cuts.start, here, there, left_a[r], left_b[s])
            left_a[r] -= number
            left_b[s] -= number
            matched += number
        return matched

    def _match_source(self, layer: int, on: Ints) -> Ints:
        """1 where the sources of aligned layers are matched, (C, B). Two second add_norms always can be; ``input``
        and one of them where the flow allows."""
        if layer == 0:
            direction = np.where(on > 0, -1, 0)  # `input` of a becomes an add_norm
        else:
            direction = np.where(on == 0, 1, 0)
        signed = direction[:, None].astype(self.flow.dtype)
        free = (self.flow[_ADD_NORM] * signed).min(0) > 0
        self.flow[_ADD_NORM] -= signed * free
        return (free | (signed == 0)).astype(np.int16)

    def _match_widths(self, layer: int, on: Ints) -> tuple[Ints, npt.NDArray[np.bool_]]:
        """The edges kept up to the last matched vertex of the stacks of aligned layers, (C, B), and whether both stacks
        are matched whole."""
        alignments = np.arange(len(on))
        edges = np.zeros(self.flow.shape[1:], dtype=np.int16)
        linked: Ints = np.ones_like(edges)  # the first add_norms are matched
        for s in range(min(len(self.widths_a[layer]), self.widths_b.shape[1])):
            wanted = self.left_b[on, s, alignments]
            here, there = self.widths_a[layer, s][None], self.widths_b[on, s]
            left_a = self.left_a[layer, s]
            number = _match(self.flow[self.width_cuts], self.width_cuts.start, here, there, left_a, wanted)
            left_a -= number
            self.left_b[on, s, alignments] -= number
            edges += np.maximum(number - 1, 0) + linked * (number > 0)
            linked = (number > 0).astype(np.int16)
        whole = (self.left_a[layer] == 0).all(0) & (self.left_b[on, :, alignments] == 0).all(1)
        return edges, whole

    def _match_second_norms(self, sources: Ints, wholes: npt.NDArray[np.bool_]) -> Ints:
        """The edges kept into second add_norms and into ``output``, (C, B).

        Args:
            sources, wholes: (L, C, B), of ``_match_source`` and ``_match_widths``.
        """
        depth_b, alignments = self.inverse.shape[1], np.arange(len(self.sigma))
        kept = np.zeros(self.flow.shape[1:], dtype=np.int16)
        matched = []
        for layer, on in enumerate(self.sigma.T):
            last = layer + 1 == len(sources)
            in_step = np.zeros(len(on), dtype=np.bool_) if last else self.sigma[:, layer + 1] == on + 1
            free_a = np.True_ if last else sources[layer + 1] == 0
            # The layer of a, if any, that has this add_norm of b for its source.
            user = np.where(on + 1 < depth_b, self.inverse[alignments, np.minimum(on + 1, depth_b - 1)], -1)
            free_b = (user < 0)[:, None] | (sources[user, alignments] == 0)
            matched.append(in_step[:, None] | (free_a & free_b))
            kept += matched[-1] * (1 + wholes[layer])
        # The last add_norms of both: matched with each other, or where both are free, to keep the edge into `output`.
        under = self.inverse[:, -1]
        taken = (under >= 0)[:, None] & np.array(matched)[under, alignments]
        return kept + np.where(matched[-1], (self.sigma[:, -1] == depth_b - 1)[:, None], ~taken)

    def _match_across_layers(self) -> Ints:
        """The edges kept between feed-forward vertices that aligned layers left over, (C, B)."""
        kept = np.zeros(self.flow.shape[1:], dtype=np.int16)
        num_slots = self.left_a.shape[1]
        least = 2 if num_slots == 1 else 1  # vertices of one slot that keep an edge
        open_ = (self.left_a >= least).any((0, 1)) & (self.left_b >= least).any((0, 1))
        found = np.flatnonzero(open_)
        if not len(found):
            return kept

        def taken(array: Ints) -> Ints:
            return array.reshape(*array.shape[:-2], open_.size).take(found, axis=-1)

        pair = found % open_.shape[1]
        flow, left_a, left_b = taken(self.flow[self.width_cuts]), taken(self.left_a), taken(self.left_b)
        widths_a, widths_b = self.widths_a.take(pair, axis=-1), self.widths_b.take(pair, axis=-1)
        edges = np.zeros(len(pair), dtype=np.int16)
        for layer, on in itertools.product(range(len(widths_a)), range(len(widths_b))):
            linked: Ints = np.zeros_like(edges)
            for s in range(min(num_slots, left_b.shape[1])):
                here, there = widths_a[layer, s], widths_b[on, s]
                number = _match(flow, self.width_cuts.start, here, there, left_a[layer, s], left_b[on, s])
                left_a[layer, s] -= number
                left_b[on, s] -= number
                edges += np.maximum(number - 1, 0) + linked * (number > 0)
                linked = (number > 0).astype(np.int16)
        kept.ravel()[found] = edges
        return kept


def _match(flow: Ints, first: int, places_a: Ints, places_b: Ints, counts_a: Ints, counts_b: Ints) -> Ints:
    """Match as many vertices at ``places_a`` with ones at ``places_b`` as there are and as the flow allows; their
    number. All arrays of one shape, the flow with cuts, the first of number ``first``, before; it is lowered in
    place."""
    number, unsigned = flow.dtype.type, flow.dtype.str.replace("i", "u")
    most: Ints = np.minimum(counts_a, counts_b)
    if not len(flow):
        return most
    direction, span = np.sign(places_a - places_b), np.abs(places_a - places_b).view(unsigned)
    # A cut is crossed when it lies less than the span above the lower place (below it, the difference wraps round).
    # Whole bytes and no `where`: the rest of the distance takes less time than these few lines.
    before = np.arange(first - 1, first - 1 + len(flow), dtype=number).reshape(-1, *(1,) * places_b.ndim)
    passed_by = (before - np.minimum(places_a, places_b)).view(unsigned) >= span
    signed = flow * direction
    np.maximum(signed, passed_by.view(np.int8) * number(np.iinfo(number).max), out=signed)
    most = np.maximum(np.minimum(most, signed.min(0)), 0)
    flow -= np.logical_not(passed_by, out=passed_by).view(np.int8) * (direction * most)
    return most


def _cuts(*spans: tuple[int, int]) -> slice:
    """All cuts between the places that occur: cut p lies between the places p - 1 and p."""
    return slice(min(low for low, _ in spans) + 1, max(high for _, high in spans) + 1)


def _in_blocks(depth_a: int, depth_b: int) -> Iterator[tuple[int, ...]]:
    """The injections that move at most ``MOST_BLOCKS`` blocks of successive layers, by the number of blocks."""
    for num in range(1, min(depth_a, MOST_BLOCKS) + 1):
        for arrangement in itertools.permutations(range(num)):
            for ends in itertools.combinations(range(1, depth_a), num - 1):
                blocks = list(itertools.pairwise((0, *ends, depth_a)))
                for gaps in itertools.combinations_with_replacement(range(depth_b - depth_a + 1), num):
                    sigma = _moved(blocks, arrangement, gaps)
                    # Blocks that follow each other in both graphs are one, and have come before.
                    if sum(b != a + 1 for a, b in itertools.pairwise(sigma)) == num - 1:
                        yield sigma


def _moved(blocks: list[tuple[int, int]], arrangement: tuple[int, ...], gaps: tuple[int, ...]) -> tuple[int, ...]:
    """The places to which the layers of each block move: in the order of ``arrangement``, after as many free layers as
    ``gaps`` says."""
    sigma, before = [0] * blocks[-1][1], 0
    for block, gap in zip(arrangement, gaps, strict=True):
        start, stop = blocks[block]
        sigma[start:stop] = range(gap + before, gap + before + stop - start)
        before += stop - start
    return tuple(sigma)
