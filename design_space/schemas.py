"""The shape of a file's content: one schema per format, for whatever a file that was edited, cut or damaged holds.

    RESULT = TypeAdapter(Result)  # a TypedDict, whose names and types say what the format is
    result = checked(RESULT, read_json(path), path)

The values come back as they are, in JSON's own types; what a schema does not name may stand beside.
"""

from typing import Any, TypeVar

import pydantic
from pydantic import ConfigDict, TypeAdapter

from .files import short

Content = TypeVar("Content")
SHAPE = ConfigDict(extra="allow", strict=True, allow_inf_nan=False)
"""The rule of schemas: no text is taken for a number, and every number is finite."""
_MOST_SHOWN = 5


def checked(schema: TypeAdapter[Content], content: Any, where: object) -> Content:
    """The content of ``where``, which has the shape of a schema.

    Raises:
        ValueError: when it has not, with the first few reasons.
    """
    try:
        return schema.validate_python(content)
    except pydantic.ValidationError as error:
        found = error.errors(include_url=False, include_context=False)
    reasons = [_reason(problem) for problem in found[:_MOST_SHOWN]]
    reasons += [f"and {len(found) - _MOST_SHOWN} more"] * (len(found) > _MOST_SHOWN)
    raise ValueError(f"{where} is damaged: {'; '.join(reasons)}")


def _reason(problem: Any) -> str:
    place = ".".join(map(str, problem["loc"]))[:80]
    if problem["type"] == "missing":
        return f"'{place}' is missing"
    said = f"{problem['msg'].lower()}, got {short(problem['input'])}"
    return f"'{place}': {said}" if place else said
