"""An architecture as a graph, and the hash that is the same for isomorphic graphs.

Vertices: ``input``; per layer its heads, an ``add_norm``, the feed-forward widths ``f{width}`` in series, an
``add_norm``; ``output``. Edges: layer input -> every head -> ``add_norm``; residuals layer input -> first
``add_norm`` -> second ``add_norm``; first ``add_norm`` -> feed-forward chain -> second ``add_norm``.

``input`` has no predecessor, the heads of a layer are exactly the other successors of its input, and everything else
is a chain. So two such graphs are isomorphic if and only if, layer by layer, the multisets of head labels and the
feed-forward sequences agree. The hash
is the digest of that canonical form: exact, where iterated neighbourhood hashing (NAS-Bench-101) can collide, and
linear in the size. In the graph of a grouped spec its groups are such chains of their own between one ``input`` and
one ``output``, and its canonical form is the multiset of theirs. (Edit distances see the groups' layers side by side:
their heads beside each other, their feed-forward stacks in a row.)
"""

import hashlib
import json
from collections.abc import Sequence
from typing import Any, Protocol

import networkx as nx


class Architecture(Protocol):
    """What a graph is drawn from: layers, groups of such, and the labels of a layer's heads (``ModelSpec`` is one)."""

    @property
    def layers(self) -> Sequence[Any]: ...

    @property
    def groups(self) -> Sequence["Architecture"]: ...

    def head_labels(self, index: int) -> list[str]: ...


def vertices_and_edges(spec: Architecture) -> tuple[list[str], list[int], list[tuple[int, int]]]:
    """Labels, layer numbers (``input`` -1, ``output`` the depth) and edges of the graph; heads of a layer in
    canonical (sorted) order."""
    labels, layers = ["input"], [-1]
    edges: list[tuple[int, int]] = []

    def add(label: str, layer: int, *predecessors: int) -> int:
        labels.append(label)
        layers.append(layer)
        edges.extend((predecessor, len(labels) - 1) for predecessor in predecessors)
        return len(labels) - 1

    lasts = []
    for group in spec.groups or (spec,):
        source = 0
        for index, layer in enumerate(group.layers):
            heads = [add(label, index, source) for label in sorted(group.head_labels(index))]
            mixed = last = add("add_norm", index, *heads, source)
            for width in layer.feed_forward:
                last = add(f"f{width}", index, last)
            source = add("add_norm", index, last, mixed)
        lasts.append(source)
    add("output", len(spec.layers), *lasts)
    return labels, layers, edges


def to_networkx(spec: Architecture) -> nx.DiGraph:
    """The graph with vertices 0, 1, ...; vertex attributes ``label`` and ``hidden_size`` (of the vertex's layer)."""
    labels, layers, edges = vertices_and_edges(spec)
    depth = len(spec.layers)
    graph = nx.DiGraph()
    for vertex, (label, layer) in enumerate(zip(labels, layers, strict=True)):
        graph.add_node(vertex, label=label, hidden_size=spec.layers[min(max(layer, 0), depth - 1)].hidden_size)
    graph.add_edges_from(edges)
    return graph


def canonical_hash(spec: Architecture) -> str:
    """sha256 hex digest of the canonical form. Hidden sizes take part, which head strings of the hetero format leave
    out."""
    if spec.groups:
        return hashlib.sha256(json.dumps(sorted(map(canonical_hash, spec.groups))).encode()).hexdigest()
    form = [
        [layer.hidden_size, sorted(spec.head_labels(index)), list(layer.feed_forward)]
        for index, layer in enumerate(spec.layers)
    ]
    return hashlib.sha256(json.dumps(form, separators=(",", ":")).encode()).hexdigest()
