"""Whose work a model is: the base model and the licence that its card names, kept in the cards of what comes of it."""

from typing import Any, NamedTuple

from huggingface_hub import ModelCard, ModelCardData
from yaml import YAMLError

from .sources import Source, file_of, is_hub_name


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
    card = _card(source, revision)
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


def _card(source: Source, revision: str | None) -> ModelCardData:
    """The front matter of ``README.md``; empty where there is none, or it cannot be read."""
    file = file_of(source, "README.md", revision)
    if file is None:
        return ModelCardData()
    try:
        return ModelCard.load(file, ignore_metadata_errors=True).data
    except (ValueError, TypeError, YAMLError):
        return ModelCardData()
