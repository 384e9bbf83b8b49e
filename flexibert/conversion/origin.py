"""Whose work a model is: the base model and the licence that its card names, kept in the cards of what comes of it;
and what people call it.
"""

import re
from pathlib import Path
from typing import Any, NamedTuple

from huggingface_hub import ModelCard, ModelCardData
from transformers.utils import CONFIG_NAME
from yaml import YAMLError

from .sources import Source, file_of, is_hub_name, located, read_config

_NAMELESS = re.compile(r"models?|encoder|best|final|outputs?|exported|pretrained|checkpoint\W?\d*|[0-9a-f]{40}", re.I)
"""Names of folders that say nothing of what is in them."""

_HEADING = re.compile(r"^#\s+(\S+)\s*$", re.MULTILINE)
"""A heading of one word, which is a name where others are sentences."""


class Origin(NamedTuple):
    """What a model card says of a model's origin.

    Attributes:
        base_model: names on the Hub as far as they are known, else of a folder.
        license: as in a card's front matter; None where none is named.
    """

    base_model: str | list[str]
    license: str | None


def origin_of(source: Source, config: dict[str, Any], revision: str | None = None) -> Origin:
    """The origin of a model. Of one on the Hub the base model is that name itself; of a folder, what its card names,
    or its ``config.json``, else the folder's name.

    Args:
        source: of the model.
        config: what stands in its ``config.json``.
        revision: of a model on the Hub.
    """
    card: ModelCardData = _card(source, revision).data  # type: ignore[assignment]
    named = card.license or config.get("license")
    license = named if named is None or isinstance(named, str) else ", ".join(map(str, named))
    if isinstance(source, str):
        return Origin(source, license)
    before = config.get("_name_or_path")
    known = (card.base_model, config.get("base_model"), card.model_name, before if is_hub_name(str(before)) else None)
    return Origin(next((each for each in known if each), source.name), license)


def keep_origin(model: Any, origin: Origin) -> None:
    """Note an origin in a model's configuration, for its card."""
    model.config.base_model, model.config.license = origin


def name_of(source: str | Path) -> str:
    """What people call a model: the last part of its name on the Hub, or its folder's name. Of a folder whose name says
    nothing (``model``, ``checkpoint-500``, a commit in the cache of the Hub), what its card is headed by, the Hub's
    name of the cache, or what card or configuration name as base model, as far as they are known.

    Example:
        >>> name_of("sentence-transformers/all-MiniLM-L6-v2")
        'all-MiniLM-L6-v2'
    """
    folder = Path(source).expanduser()
    if not _NAMELESS.fullmatch(folder.name) or not folder.is_dir():
        return folder.name
    place = located(folder)
    heading = _HEADING.search(_card(place, None).content)
    cached = folder.parent.parent.name if folder.parent.name == "snapshots" else ""
    base = origin_of(place, read_config(place) if (folder / CONFIG_NAME).is_file() else {}).base_model
    names = (heading[1] if heading else "", cached.rpartition("--")[2], base if isinstance(base, str) else base[0])
    return next((name.rpartition("/")[2] for name in names if name), folder.name)


def _card(source: Source, revision: str | None) -> ModelCard:
    """``README.md``; an empty one where there is none, or it cannot be read."""
    file = file_of(source, "README.md", revision)
    try:
        return ModelCard.load(file, ignore_metadata_errors=True) if file else ModelCard("")
    except (ValueError, TypeError, YAMLError):
        return ModelCard("")
