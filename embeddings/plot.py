"""A picture of a library: its embedding in two dimensions, by depth, operation and, where there are any, scores."""

from collections import Counter
from pathlib import Path

import numpy as np

from design_space import operation_named

from .library import GraphLibrary

SUFFIXES = (".png", ".svg", ".pdf")


def check_plot_path(path: Path | str) -> None:
    """Raise ``ValueError`` for a name that is no picture's."""
    if Path(path).suffix not in SUFFIXES:
        raise ValueError(f"A picture is named {', '.join('*' + suffix for suffix in SUFFIXES)}. Got {Path(path).name}")


def plot_embedding(library: GraphLibrary, path: Path | str) -> None:
    """Draw the two directions in which the vectors vary most (principal components), once per property: number of
    layers, most frequent operation, and per task the scores of the architectures that have one.

    Raises:
        ValueError: for a name that is no picture's.
    """
    from matplotlib.figure import Figure

    check_plot_path(path)
    centred = library.embeddings - library.embeddings.mean(0)
    _, values, directions = np.linalg.svd(centred, full_matrices=False)
    points = centred @ directions[:2].T
    share = (values[:2] ** 2).sum() / max((values**2).sum(), 1e-12)
    tasks = sorted({task for scores in library.performances.values() for task in scores})
    figure = Figure(figsize=(5 * (2 + len(tasks)), 4.5), layout="constrained")
    axes = figure.subplots(1, 2 + len(tasks), squeeze=False)[0]
    depths = np.array([len(spec.layers) for spec in library.specs])
    operations = np.array([_main_operation(library.specs[i].layers) for i in range(len(library))])
    for axis, groups, title in ((axes[0], depths, "layers"), (axes[1], operations, "most frequent operation")):
        for group in np.unique(groups):
            axis.scatter(*points[groups == group].T, s=4, label=str(group), linewidths=0)
        axis.set_title(title)
        axis.legend(markerscale=3)
    for axis, task in zip(axes[2:], tasks, strict=True):
        scored = [i for i, name in enumerate(library.hashes) if task in library.performances.get(name, {})]
        scores = [library.performances[library.hashes[i]][task] for i in scored]
        axis.scatter(*points.T, s=2, color="lightgray", linewidths=0)
        figure.colorbar(axis.scatter(*points[scored].T, s=16, c=scores), ax=axis)
        axis.set_title(f"score on {task}")
    figure.suptitle(f"{len(library):,} architectures; the two directions hold {share:.0%} of the variance")
    Path(path).absolute().parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(path, dpi=150)


def _main_operation(layers: tuple) -> str:
    counts = Counter(head.operation for layer in layers for head in layer.heads)
    return operation_named(counts.most_common(1)[0][0]).meaning
