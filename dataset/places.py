"""Options that are a name or a place on disk: the place made absolute, so that a run can be resumed from elsewhere."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .corpora.python_docs import EMBEDDED_TASK
from .glue import GLUE
from .loading import ALL_OF_GLUE
from .tables.readers import TABLE_SUFFIXES
from .tokenizer import TRAIN

NAME_OR_PLACE = ("task", "tokenizer")


def name_or_place(text: str) -> str:
    """A name as it is, and the absolute path of a file or folder."""
    if text.lower().replace("-", "") in (EMBEDDED_TASK, ALL_OF_GLUE, TRAIN, *GLUE):
        return text
    path = Path(text)
    is_place = path.suffix.lower() in (*TABLE_SUFFIXES, ".txt") or path.is_dir()
    return str(path.absolute()) if is_place else text


def with_places(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options by name, those that may be places absolute."""
    return {name: name_or_place(value) if name in NAME_OR_PLACE else value for name, value in options.items()}
