"""Registers our models with Hugging Face's Auto classes, on import.

``AutoModel.from_pretrained(folder)`` and its relatives work after ``import flexibert``.
"""

import importlib
from typing import Any

import transformers

from .remote_code import AUTO_CLASSES


def model_classes(model_type: str) -> dict[str, Any]:
    """Our model classes of a type by name; none for a type that is not ours."""
    places = [place for names in AUTO_CLASSES.get(model_type, {}).values() for place in names]
    return {found.__name__: found for found in map(_find, places)}


def _register(model_type: str, places: dict[str, tuple[str, ...]]) -> None:
    classes = {auto_class: tuple(map(_find, names)) for auto_class, names in places.items()}
    (config_class,) = classes.pop("AutoConfig")
    transformers.AutoConfig.register(model_type, config_class, exist_ok=True)
    for auto_class, ours in classes.items():
        registered = ours if len(ours) > 1 else ours[0]
        getattr(transformers, auto_class).register(config_class, registered, exist_ok=True)


def _find(place: str) -> type:
    module, _, name = place.rpartition(".")
    found: type = getattr(importlib.import_module(f"..{module}", __package__), name)
    return found


for _model_type, _places in AUTO_CLASSES.items():
    _register(_model_type, _places)
