"""Curves of mean regret as a self-contained SVG picture, without a plotting library."""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

_WIDTH, _HEIGHT = 720, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 170, 24, 48
_COLORS = ("#1b6ca8", "#d1495b", "#3d8b5f", "#edae49", "#7a5195", "#00798c", "#8d6a4f", "#555555", "#c06cbf")


def draw_curves(curves: Mapping[str, npt.NDArray[np.float64]], *, title: str) -> str:
    """The picture of regret (Q,) over queries by searcher, regret on a logarithmic axis."""
    num_queries = max(len(curve) for curve in curves.values())
    positive = np.concatenate([curve[curve > 0] for curve in curves.values()])
    top = float(positive.max()) if len(positive) else 1.0
    bottom = max(float(positive.min()) if len(positive) else top / 100, top / 1000)
    bottom = min(bottom, top / 10)

    def x(query: float) -> float:
        return _LEFT + (query - 1) / max(num_queries - 1, 1) * (_WIDTH - _LEFT - _RIGHT)

    def y(regret: float) -> float:
        share = np.log(max(regret, bottom) / bottom) / np.log(top / bottom)
        return float(_HEIGHT - _BOTTOM - share * (_HEIGHT - _TOP - _BOTTOM))

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="sans-serif" '
        'font-size="12">',
        f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>',
        f'<text x="{_LEFT}" y="16">{_escaped(title)}</text>',
    ]
    for tick in np.geomspace(bottom, top, 5):
        parts.append(f'<path d="M{_LEFT} {y(tick):.1f}H{_WIDTH - _RIGHT}" stroke="#ddd"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:.3g}</text>')
    for tick in range(0, num_queries + 1, max(1, num_queries // 6)):
        if tick:
            parts.append(f'<text x="{x(tick):.1f}" y="{_HEIGHT - 26}" text-anchor="middle">{tick}</text>')
    parts.append(f'<text x="{x(num_queries / 2):.1f}" y="{_HEIGHT - 8}" text-anchor="middle">queries</text>')
    for number, (name, curve) in enumerate(curves.items()):
        color = _COLORS[number % len(_COLORS)]
        line = " ".join(f"{x(query):.1f},{y(regret):.1f}" for query, regret in enumerate(curve, start=1))
        parts.append(f'<polyline points="{line}" fill="none" stroke="{color}" stroke-width="2"/>')
        row = _TOP + 16 * number + 12
        parts.append(f'<text x="{_WIDTH - _RIGHT + 12}" y="{row}" fill="{color}">{_escaped(name)}</text>')
    return "\n".join([*parts, "</svg>\n"])


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
