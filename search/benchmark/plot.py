"""Curves of mean regret as an SVG picture."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from ..report.figures import as_svg, new_axes


def draw_curves(curves: Mapping[str, npt.NDArray[np.float64]], *, title: str) -> str:
    """Draws regret (Q,) over queries by searcher, on a logarithmic axis of at most three decades."""
    positive = np.concatenate([curve[curve > 0] for curve in curves.values()])
    top = float(positive.max(initial=0.0)) or 1.0
    bottom = min(max(float(positive.min(initial=top)), top / 1000), top / 10)
    figure, axis = new_axes(height=4.4)
    for name, curve in curves.items():
        axis.plot(np.arange(1, len(curve) + 1), np.maximum(curve, bottom), label=name, gid=f"curve of {name}")
    axis.set(yscale="log", xlabel="queries")
    axis.set_title(title, fontsize=9, wrap=True)
    axis.legend(fontsize=8)
    return as_svg(figure)
