"""A candidate: an architecture and where its first weights come from.

Each origin is a morphism: ``scratch`` pre-trains random weights; ``transfer`` takes what fits from a trained parent;
``prune`` and ``merge`` make a parent narrower or shallower, ``stitch`` puts two side by side; all but the first are
fine-tuned directly. Lineage is the graph of candidates by their parents' hashes.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from design_space import ModelSpec

ORIGINS = ("scratch", "transfer", "prune", "stitch", "merge")

RESULT_FILE = "training.json"
"""Beside a trained model's weights: its candidate, and what was measured."""


@dataclass(frozen=True)
class Origin:
    """Where first weights come from.

    Attributes:
        kind: of ``ORIGINS``.
        parent: the parent's hash, of all kinds but ``scratch``.
        other: the second parent's hash, of ``stitch``.
        density: share of the parent's linear weights that stays, of ``prune``.
    """

    kind: str = "scratch"
    parent: str | None = None
    other: str | None = None
    density: float | None = None

    def __post_init__(self) -> None:
        if self.kind not in ORIGINS:
            raise ValueError(f"'kind' of an origin must be one of {', '.join(ORIGINS)}. Got {self.kind!r}")
        if (self.parent is None) != (self.kind == "scratch"):
            raise ValueError(
                f"An origin has a parent if and only if it is not 'scratch'. Got {self.kind!r}, {self.parent!r}"
            )
        if (self.other is None) == (self.kind == "stitch") or (self.density is None) == (self.kind == "prune"):
            raise ValueError(
                f"A 'stitch' has a second parent, a 'prune' a density, and no other origin has. Got {self!r}"
            )

    @property
    def parents(self) -> tuple[str, ...]:
        """Hashes of the parents: none, one or two."""
        return tuple(parent for parent in (self.parent, self.other) if parent is not None)

    def to_dict(self) -> dict[str, Any]:
        """As written to the journal."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    def __str__(self) -> str:
        shown = [parent[:8] for parent in self.parents] + ([] if self.density is None else [f"{self.density:g}"])
        return f"{self.kind}({', '.join(shown)})" if shown else self.kind


@dataclass(frozen=True)
class Candidate:
    """What a searcher proposes: a spec and its origin.

    Attributes:
        proposed_by: the rule that chose it: ``initial``, ``optimized``, ``uncertain`` or ``diverse``. No part of its
            identity.
    """

    spec: ModelSpec
    origin: Origin
    proposed_by: str = field(default="initial", compare=False)

    def to_dict(self) -> dict[str, Any]:
        """As written to the journal: ``spec``, ``hash``, ``origin``, ``proposed_by``."""
        return {
            "spec": self.spec.to_dict(),
            "hash": self.spec.hash,
            "origin": self.origin.to_dict(),
            "proposed_by": self.proposed_by,
        }

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> "Candidate":
        """The inverse of ``to_dict``. Raises ``ValueError`` for what is no candidate."""
        return Candidate(
            ModelSpec.from_dict(content["spec"]), Origin(**content["origin"]), content.get("proposed_by", "initial")
        )


def trained_candidate(model_dir: Path) -> Candidate | None:
    """Whose weights lie in a folder; None where there are none."""
    path = model_dir / RESULT_FILE
    return Candidate.from_dict(json.loads(path.read_text())["candidate"]) if path.exists() else None


def describe(candidate: Candidate) -> str:
    """An architecture in one line: runs of equal layers as ``depth x operation-parameter hidden/heads
    feed-forward``."""
    runs: list[tuple[int, str]] = []
    for layer in candidate.spec.layers:
        heads = "+".join(dict.fromkeys(f"{head.operation}-{head.parameter}" for head in layer.heads))
        text = f"{heads} {layer.hidden_size}/{len(layer.heads)} ff {'-'.join(map(str, layer.feed_forward))}"
        if runs and runs[-1][1] == text:
            runs[-1] = runs[-1][0] + 1, text
        else:
            runs.append((1, text))
    return ", ".join(f"{count} x {text}" for count, text in runs)
