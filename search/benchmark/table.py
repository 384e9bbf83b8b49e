"""A table of trained architectures: a JSON list of ``{"model_dict": {...}, "scores": {"glue": 74.7, ...}}``.

More keys are allowed. Entries with isomorphic architectures are measurements of one architecture and are averaged. An
architecture whose score is missing, ``null`` or not finite is one whose training failed: searchers are told so.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd

from design_space import ModelSpec
from design_space.files import nearest_name, parse_json, read_text

from ..objectives import exact_costs

EXACT = exact_costs()
"""Objectives that are computed from the spec."""

_SHOWN = 5


@dataclass(frozen=True, kw_only=True)
class Table:
    """Architectures, each once, and their scores.

    Attributes:
        gains: (N,) scores so that higher is better (negated ones where lower is); nan where training failed.
        minimize: whether lower scores are better.
        costs: further objectives that should be low, by name, (N,) each; nan where ``gains`` is.
    """

    metric: str
    specs: tuple[ModelSpec, ...]
    gains: npt.NDArray[np.float64]
    minimize: bool
    costs: Mapping[str, npt.NDArray[np.float64]] = field(default_factory=dict)

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def best_gain(self) -> float:
        return float(np.nanmax(self.gains))

    @property
    def optimum(self) -> float:
        """The best score, as the table writes it."""
        return -self.best_gain if self.minimize else self.best_gain

    @property
    def outcomes(self) -> npt.NDArray[np.float64]:
        """All objectives (N, M), so that higher is better."""
        return np.column_stack([self.gains, *(-values for values in self.costs.values())])


def load_table(path: Path | str, metric: str, *, minimize: bool = False, costs: Sequence[str] = ()) -> Table:
    """Reads the table in a file.

    Args:
        costs: further objectives that should be low: ``parameters`` and ``flops``, computed, or other scores of the
            table. An architecture without one of them counts as failed.

    Raises:
        ValueError: when the file is missing, is no such table, or has no finite score of ``metric``; all bad entries
            are counted, and the first ones named.
    """
    entries = _read(Path(path))
    problems: list[str] = []
    specs: dict[str, ModelSpec] = {}
    hashes: list[str] = []
    scores: list[Mapping[str, Any]] = []
    told = [metric, *(name for name in costs if name not in EXACT)]
    for place, entry in enumerate(entries):
        try:
            spec, values = _entry(entry)
            scores.append({name: _number(values.get(name), name) if name in told else None for name in values})
        except ValueError as error:
            problems.append(f"entry {place}: {error}")
            continue
        specs.setdefault(spec.hash, spec)
        hashes.append(spec.hash)
    if problems:
        more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
        raise ValueError("\n  - ".join([f"{path} is no sound table:", *problems[:_SHOWN], *more]))
    measured = pd.DataFrame(scores, index=hashes)
    for name in told:
        if name not in measured:
            raise ValueError(f"No entry of {path} has a score '{name}'. {nearest_name(name, sorted(measured))}")
    means = measured[told].astype(float).groupby(level=0, sort=False).mean()  # of those that are there
    means[means.isna().any(axis=1)] = np.nan
    if means[metric].isna().all():
        raise ValueError(f"No score '{metric}' in {path} is finite: there is nothing to search for")
    members = tuple(specs.values())
    further = {name: EXACT[name](members) if name in EXACT else means[name].to_numpy() for name in costs}
    return Table(
        metric=metric,
        specs=members,
        gains=means[metric].to_numpy() * (-1 if minimize else 1),
        minimize=minimize,
        costs={name: np.where(means[metric].isna(), np.nan, values) for name, values in further.items()},
    )


def metrics_of(path: Path) -> list[str]:
    """The names of all scores in a table, in their order. Raises ``ValueError`` when the file is no table."""
    entries = [entry for entry in _read(path) if isinstance(entry, Mapping)]
    return list(dict.fromkeys(name for entry in entries for name in entry.get("scores", {})))


def _read(path: Path) -> Sequence[Any]:
    text = read_text(path, "a JSON file")
    try:
        content = parse_json(text)
    except ValueError as error:
        raise ValueError(f"{path} is not valid JSON: {error}") from error
    if not isinstance(content, list) or not content:
        raise ValueError(f"{path} must hold a JSON list of one or more architectures. Got {type(content).__name__}")
    return content


def _entry(entry: Any) -> tuple[ModelSpec, Mapping[str, Any]]:
    if not isinstance(entry, Mapping) or "model_dict" not in entry:
        raise ValueError("must be a mapping with 'model_dict' and 'scores'")
    if not isinstance(entry.get("scores"), Mapping):
        raise ValueError(f"'scores' must map names to numbers. Got {entry.get('scores')!r}")
    return ModelSpec.from_dict(entry["model_dict"]), entry["scores"]


def _number(value: Any, metric: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float | None):
        raise ValueError(f"score '{metric}' must be a number. Got {value!r}")
    return math.nan if value is None or not math.isfinite(value) else float(value)
