"""A candidate: an architecture and where its first weights come from.

An origin is a morphism of the registry (``flexibert.morphisms``) and the parents that it starts from: ``scratch``
pre-trains random weights; ``transfer`` takes what fits from a trained parent; ``prune`` and ``merge`` make a parent
narrower or shallower, ``stitch`` puts two side by side; users register their own. Lineage is the graph of candidates by
their parents' hashes.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter
from typing_extensions import NotRequired, TypedDict

from design_space import ModelSpec
from design_space.files import read_json, short
from design_space.schemas import SHAPE, checked
from flexibert import MORPHISMS, Morphism

RESULT_FILE = "training.json"
"""Beside a trained model's weights: its candidate, and what was measured."""


class _OriginContent(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    kind: str
    parent: NotRequired[str]
    other: NotRequired[str]
    parents: NotRequired[list[str]]


class _CandidateContent(TypedDict):
    spec: dict[str, Any]
    origin: dict[str, Any]
    proposed_by: NotRequired[str]


class _Measured(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    score: float
    objectives: dict[str, float]
    cost_s: float
    overlap: float
    figures: NotRequired[dict[str, Any]]
    speed: NotRequired[dict[str, Any] | None]


class _Trained(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    candidate: _CandidateContent


class _Result(_Trained):
    result: _Measured


_ORIGIN: TypeAdapter[Any] = TypeAdapter(_OriginContent)
_CANDIDATE, _TRAINED, _RESULT = TypeAdapter(_CandidateContent), TypeAdapter(_Trained), TypeAdapter(_Result)


def origin_names() -> tuple[str, ...]:
    """The morphisms that an origin may name: the project's own, and those that plugins have registered by now."""
    return tuple(MORPHISMS)


@dataclass(frozen=True, init=False)
class Origin:
    """Where first weights come from: ``Origin()``, ``Origin("stitch", a, b)``, ``Origin("prune", a, density=0.5)``.

    Attributes:
        name: of a registered morphism.
        parents: hashes of the architectures whose weights it starts from.
        arguments: pairs of name and value, for example the density of ``prune``.

    Raises:
        ValueError: for an unknown morphism, or other parents or arguments than it has.
    """

    name: str
    parents: tuple[str, ...]
    arguments: tuple[tuple[str, Any], ...]

    def __init__(self, name: str = "scratch", *parents: str, **arguments: Any) -> None:
        if name not in MORPHISMS:
            raise ValueError(
                f"The morphism of an origin must be one of {', '.join(MORPHISMS)}. Got {name!r}; a plugin's is known "
                "once its module is imported"
            )
        morphism = MORPHISMS[name]
        if len(parents) != morphism.num_parents or None in parents:
            raise ValueError(f"The origin {name!r} must have {morphism.num_parents} parents. Got {parents}")
        if arguments.keys() != set(morphism.arguments):
            wanted = ", ".join(morphism.arguments) or "no arguments"
            raise ValueError(f"The origin {name!r} must have {wanted}. Got {', '.join(arguments) or 'none'}")
        ordered = tuple((argument, arguments[argument]) for argument in morphism.arguments)
        for field_name, value in (("name", name), ("parents", parents), ("arguments", ordered)):
            object.__setattr__(self, field_name, value)

    @property
    def morphism(self) -> Morphism:
        """What makes the weights."""
        return MORPHISMS[self.name]

    def to_dict(self) -> dict[str, Any]:
        """As written to the journal: ``kind``, ``parent``, ``other`` (of two parents; of more, a list ``parents``), and
        the arguments."""
        few = dict(zip(("parent", "other"), self.parents, strict=False))
        parents = few if len(self.parents) <= len(few) else {"parents": list(self.parents)}
        return {"kind": self.name, **parents, **dict(self.arguments)}

    @staticmethod
    def from_dict(content: Mapping[str, Any]) -> "Origin":
        """The inverse of ``to_dict``. Raises ``ValueError`` for what is no origin."""
        rest: dict[str, Any] = dict(checked(_ORIGIN, content, "the origin"))
        parents = [*rest.pop("parents", ()), *(rest.pop(key) for key in ("parent", "other") if key in rest)]
        if nested := [name for name, value in rest.items() if isinstance(value, list | dict)]:
            raise ValueError(f"'{nested[0]}' of the origin must be a text or a number. Got {short(rest[nested[0]])}")
        return Origin(rest.pop("kind"), *parents, **rest)

    def __str__(self) -> str:
        values = [f"{value:g}" if isinstance(value, float) else str(value) for _, value in self.arguments]
        shown = [*(parent[:8] for parent in self.parents), *values]
        return f"{self.name}({', '.join(shown)})" if shown else self.name


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
        checked(_CANDIDATE, content, "the candidate")
        return Candidate(
            ModelSpec.from_dict(content["spec"]),
            Origin.from_dict(content["origin"]),
            content.get("proposed_by", "initial"),
        )


def trained_candidate(model_dir: Path) -> Candidate | None:
    """Whose weights lie in a folder; None where there are none."""
    path = model_dir / RESULT_FILE
    return Candidate.from_dict(checked(_TRAINED, read_json(path), path)["candidate"]) if path.exists() else None


def read_result(model_dir: Path) -> Any:
    """What ``RESULT_FILE`` in a folder holds; None where there is none. Raises ``ValueError`` when it is damaged."""
    path = model_dir / RESULT_FILE
    return checked(_RESULT, read_json(path), path) if path.exists() else None


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
