"""A candidate: an architecture and where its first weights come from.

Each origin is a morphism: ``scratch`` pre-trains random weights, ``transfer`` takes what fits from a trained parent
and is fine-tuned directly. Lineage is the graph of candidates by their parents' hashes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from design_space import ModelSpec

ORIGINS = ("scratch", "transfer")


@dataclass(frozen=True)
class Origin:
    """Where first weights come from: a kind of ``ORIGINS``, and the parent's hash where the kind has one."""

    kind: str = "scratch"
    parent: str | None = None

    def __post_init__(self) -> None:
        if self.kind not in ORIGINS:
            raise ValueError(f"'kind' of an origin must be one of {', '.join(ORIGINS)}. Got {self.kind!r}")
        if (self.parent is None) != (self.kind == "scratch"):
            raise ValueError(
                f"An origin has a parent if and only if it is not 'scratch'. Got {self.kind!r}, {self.parent!r}"
            )

    def to_dict(self) -> dict[str, Any]:
        """As written to the journal."""
        return {"kind": self.kind} if self.parent is None else {"kind": self.kind, "parent": self.parent}

    def __str__(self) -> str:
        return self.kind if self.parent is None else f"{self.kind}({self.parent[:8]})"


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
