"""Where the density went: per matrix, per layer, in all; as a table and a picture.

Three numbers are easily taken for one another. *Mask density* is the share of a matrix that the mask leaves.
*Structural density* is the share that is still there after compaction, of the same matrix of the parent: zeros inside
of surviving heads and neurons count in it, for they are multiplied like any other number. *Effective density* is its
mean over all linears of the encoder, weighted by size: the number of linear weights, against the parent's. Its inverse
is the theoretical speed-up.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from itertools import repeat
from math import prod
from typing import Any

from design_space import ModelSpec

from ..mixing.axes import Axis
from .extraction import KeptStructure
from .spec_space import linear_axes, linear_weights, roots_of

BAR, GAP, LEFT = 22, 6, 70  # of the picture, in pixels
WIDTH = 300
COLORS = {"heads": "#4c72b0", "neurons": "#dd8452"}


@dataclass(frozen=True, kw_only=True)
class LayerReport:
    """One layer of the parent. ``heads`` and ``neurons`` are (kept, of the parent); ``densities`` are structural, and
    ``mask_densities`` of the masks where there are any, by the matrices' names in ``LayerLinears.named``."""

    heads: tuple[int, int]
    neurons: tuple[int, int]
    densities: dict[str, float]
    mask_densities: dict[str, float]
    is_removed: bool


@dataclass(frozen=True, kw_only=True)
class DensityReport:
    """All layers, and the encoder as a whole. ``measured_speedup``: where it was measured."""

    layers: tuple[LayerReport, ...]
    effective_density: float
    mask_density: float | None
    theoretical_speedup: float
    measured_speedup: float | None = None

    def to_dict(self) -> dict[str, Any]:
        """The report in JSON types only."""
        return asdict(self)

    def table(self) -> str:
        """A line per layer, with structural densities (and, after a stroke, mask densities), then the whole."""
        names = list(dict.fromkeys(name for layer in self.layers for name in layer.densities))
        header = ["layer", "heads", "neurons", *names]
        rows = [[str(number), *self._cells(layer, names)] for number, layer in enumerate(self.layers)]
        widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
        lines = [
            "  ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)
        ]
        return "\n".join([*lines, "", self.summary()])

    def summary(self) -> str:
        """The encoder as a whole, in a sentence or two."""
        removed = sum(of - kept for kept, of in (layer.heads for layer in self.layers))
        heads = sum(of for _, of in (layer.heads for layer in self.layers))
        neurons = [layer.neurons for layer in self.layers]
        text = (
            f"effective density {self.effective_density:.3f} of the parent's linear weights"
            + (f" (masks alone: {self.mask_density:.3f})" if self.mask_density is not None else "")
            + f"; {removed} of {heads} heads and {sum(of - kept for kept, of in neurons)} of "
            f"{sum(of for _, of in neurons)} neurons removed; {sum(layer.is_removed for layer in self.layers)} layers "
            f"removed; theoretical speed-up {self.theoretical_speedup:.2f}"
        )
        return text if self.measured_speedup is None else f"{text}, measured {self.measured_speedup:.2f}"

    def svg(self) -> str:
        """The picture: per layer, the shares of heads and of neurons that are left."""
        height = len(self.layers) * (2 * BAR + GAP) + 40
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{LEFT + WIDTH + 90}" height="{height}" '
            'font-family="sans-serif" font-size="12">',
            *(
                f'<rect x="{LEFT + 90 * i}" y="6" width="12" height="12" fill="{color}"/>'
                f'<text x="{LEFT + 90 * i + 16}" y="16">{name}</text>'
                for i, (name, color) in enumerate(COLORS.items())
            ),
        ]
        for number, layer in enumerate(self.layers):
            top = 28 + number * (2 * BAR + GAP)
            parts.append(f'<text x="4" y="{top + BAR + 4}">layer {number}</text>')
            for place, (name, (kept, of)) in enumerate((("heads", layer.heads), ("neurons", layer.neurons))):
                y = top + place * BAR
                parts.append(f'<rect x="{LEFT}" y="{y}" width="{WIDTH}" height="{BAR - 3}" fill="#eeeeee"/>')
                length = WIDTH * kept / of
                parts.append(
                    f'<rect x="{LEFT}" y="{y}" width="{length:.1f}" height="{BAR - 3}" fill="{COLORS[name]}"/>'
                )
                parts.append(f'<text x="{LEFT + WIDTH + 6}" y="{y + 14}">{kept} of {of}</text>')
        return "\n".join([*parts, "</svg>", ""])

    def _cells(self, layer: LayerReport, names: list[str]) -> list[str]:
        cells = [f"{kept}/{of}" for kept, of in (layer.heads, layer.neurons)]
        for name in names:
            density = f"{layer.densities[name]:.2f}" if name in layer.densities else ""
            mask = f" | {layer.mask_densities[name]:.2f}" if name in layer.mask_densities else ""
            cells.append(density + mask)
        return cells


def report_of_masks(config: Any, structure: list[KeptStructure], masks: list[dict[str, Any]]) -> DensityReport:
    """The report of a masked model.

    Args:
        config: the parent's configuration.
        structure: what ``compact`` would keep of every layer.
        masks: per layer, the mask (R, C) of every linear by what it is.
    """
    layers = _layer_reports(config.model_spec, config, structure, masks)
    sizes = [{name: mask.numel() for name, mask in of_layer.items()} for of_layer in masks]
    total = sum(sum(of_layer.values()) for of_layer in sizes)
    effective, masked = (
        sum(getattr(layer, kind)[name] * of[name] for layer, of in zip(layers, sizes, strict=True) for name in of)
        / total
        for kind in ("densities", "mask_densities")
    )
    return DensityReport(
        layers=layers, effective_density=effective, mask_density=masked, theoretical_speedup=1 / effective
    )


def report_of_specs(parent: ModelSpec, child: ModelSpec, measured_speedup: float | None = None) -> DensityReport:
    """The report of a compacted model against its parent, from their specs.

    Where the child has fewer layers, each takes the first that it fits into.

    Raises:
        ValueError: when ``child`` is no part of ``parent``.
    """
    places = None if child.groups else roots_of(parent, child, range(len(parent.layers)))
    if places is None:
        raise ValueError(
            "The child's layers must be the parent's, with fewer heads, neurons or channels, in the same order"
        )
    structure = [KeptStructure([], [[] for _ in layer.feed_forward], is_removed=True) for layer in parent.layers]
    for place, layer in zip(places, child.layers, strict=True):
        neurons = [list(range(width)) for width in layer.feed_forward]
        channels = list(range(layer.hidden_size))
        structure[place] = KeptStructure(list(range(len(layer.heads))), neurons, channels=channels)
    effective = linear_weights(child) / linear_weights(parent)
    return DensityReport(
        layers=_layer_reports(parent, None, structure),
        effective_density=effective,
        mask_density=None,
        theoretical_speedup=1 / effective,
        measured_speedup=measured_speedup,
    )


def _layer_reports(
    spec: ModelSpec, config: Any, structure: list[KeptStructure], masks: Sequence[dict[str, Any]] = ()
) -> tuple[LayerReport, ...]:
    reports = []
    layers = zip(spec.layers, structure, linear_axes(spec, config), masks or repeat({}), strict=False)
    for layer, kept, linears, of_layer in layers:
        is_left = not kept.is_removed
        reports.append(
            LayerReport(
                heads=(is_left * len(kept.heads), len(layer.heads)),
                neurons=(is_left * sum(map(len, kept.neurons)), sum(layer.feed_forward)),
                densities={name: is_left * _density(axes, kept) for name, axes in linears.items()},
                mask_densities={name: float((mask != 0).float().mean()) for name, mask in of_layer.items()},
                is_removed=kept.is_removed,
            )
        )
    return tuple(reports)


def _density(axes: tuple[Axis, ...], kept: KeptStructure) -> float:
    """The share of a matrix that is kept."""
    return prod(len(kept.indices(axis)) for axis in axes) / prod(axis.length for axis in axes)
