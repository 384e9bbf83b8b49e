"""Geometry of the space: distances, embeddings, neighbors, and the graph library that holds them."""

from design_space.version import __version__, extras_told

with extras_told():
    from .edit_distance import graph_edit_distance
    from .library import Graph, GraphLibrary
    from .neighbors import biased_overlap

__all__ = ["Graph", "GraphLibrary", "__version__", "biased_overlap", "graph_edit_distance"]
