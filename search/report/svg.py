"""Pictures by matplotlib as SVG text of a page: in the page's own colors and font, bright or dark, whose marks are
links with words to them.
"""

import io
import re
from collections.abc import Mapping
from html import escape

from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.figure import Figure

SERIES = ("#0072b2", "#e69f00", "#009e73", "#d55e00", "#cc79a7", "#56b4e9")
"""Okabe and Ito's colors, which the color-blind tell apart; the page has a lighter shade of some in the dark."""
MARKERS = "os^DvP"
INK, FAINT = "#000000", "#a0a1a2"

_METADATA = re.compile(r"<metadata>.*?</metadata>", re.DOTALL)
_LINK = re.compile(r'<a xlink:href="#([^"]*)"(?: target="_blank")?>')
_COLORS = {color: f"var(--series-{number})" for number, color in enumerate(SERIES, start=1)}
_COLORS |= {INK: "currentColor", FAINT: "var(--faint)"}


def new_axes(height: float = 3.2) -> tuple[Figure, Axes]:
    """Makes a picture of 4.8 by ``height`` inches, which a telephone shows in full, and its only axes."""
    figure = Figure(figsize=(4.8, height), layout="constrained")
    axis = figure.add_subplot()
    axis.spines[["top", "right"]].set_visible(False)
    return figure, axis


def as_svg(figure: Figure, titles: Mapping[str, str] | None = None) -> str:
    """Returns the picture as SVG text, the same for the same picture.

    Args:
        titles: what the marks say that link to places of the page, by the name of the place.
    """
    stream = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "report"}):
        figure.savefig(stream, format="svg", metadata={"Date": None}, transparent=True)
    text = stream.getvalue()
    text = re.sub(r' (?:width|height)="[\d.]+pt"', "", text[text.index("<svg") :], count=2)
    text = _METADATA.sub("", text)
    text = re.sub(r" font-family: [^;\"]*;?", "", text)
    for color, name in _COLORS.items():
        text = text.replace(color, name)
    known = titles or {}
    return _LINK.sub(lambda found: f'<a href="#{found[1]}"><title>{escape(known.get(found[1], ""))}</title>', text)
