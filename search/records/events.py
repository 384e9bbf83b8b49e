"""The lines of a journal: what each event holds, and a line as an event."""

from typing import Annotated, Any, Literal, get_args

from pydantic import Field, TypeAdapter
from typing_extensions import NotRequired, TypedDict

from design_space.files import parse_json, short
from design_space.schemas import SHAPE, checked


class Predicted(TypedDict):
    """The score that a surrogate expected."""

    __pydantic_config__ = SHAPE  # type: ignore[misc]
    mean: float
    deviation: float


class _Event(TypedDict):
    __pydantic_config__ = SHAPE  # type: ignore[misc]
    trial: Annotated[str, Field(min_length=1)]
    time: float


class Suggested(_Event):
    """A candidate became a trial."""

    event: Literal["suggested"]
    spec: dict[str, Any]
    hash: str
    origin: dict[str, Any]
    proposed_by: NotRequired[str]
    predicted: NotRequired[Predicted]


class Started(_Event):
    """A worker took it up, perhaps again."""

    event: Literal["started"]


class Reported(_Event):
    """What it said meanwhile."""

    event: Literal["reported"]
    phase: NotRequired[str]
    progress: NotRequired[float]
    loss: NotRequired[float]
    validation_score: NotRequired[float]


class Finished(_Event):
    """It was measured."""

    event: Literal["finished"]
    score: float
    objectives: dict[str, float]
    cost_s: Annotated[float, Field(ge=0)]


class Failed(_Event):
    """It ended without a score; one that was stopped early, with what it had reached."""

    event: Literal["failed"]
    error: str
    cost_s: NotRequired[Annotated[float, Field(ge=0)]]
    validation_score: NotRequired[float]
    progress: NotRequired[float]


_SCHEMAS: dict[str, TypeAdapter[Any]] = {
    get_args(event.__annotations__["event"])[0]: TypeAdapter(event)
    for event in (Suggested, Started, Reported, Finished, Failed)
}
EVENTS = tuple(_SCHEMAS)


def read_event(line: str, where: str) -> dict[str, Any]:
    """The event that a line of a journal is.

    Raises:
        ValueError: when the line is damaged, or of a newer version.
    """
    try:
        content = parse_json(line)
    except ValueError as error:
        raise ValueError(f"{where} is damaged: {error}") from error
    if not isinstance(content, dict):
        raise ValueError(f"{where} is damaged: it must be an object. Got {short(content)}")
    event = content.get("event")
    if not isinstance(event, str) or event not in _SCHEMAS:
        raise ValueError(
            f"{where}: unknown event {short(event)}; known are {', '.join(EVENTS)}. A newer version may have written it"
        )
    made: dict[str, Any] = checked(_SCHEMAS[event], content, where)
    return made
