"""Code beside the weights, so that a folder loads where this project is not installed.

``AutoModel.from_pretrained(folder, trust_remote_code=True)`` then needs ``torch`` and ``transformers`` only. Hugging
Face copies the file it is pointed to and the files that this imports by ``from .name import``; so the modules that a
model is made of are written flat into its folder, with their imports of ``design_space`` turned into such ones, and
``auto_map`` in ``config.json`` says which class is where. A model that was loaded so and is saved again takes its code
along, which Hugging Face copies. Where the project is installed and imported, its own classes are used and nothing is
asked.
"""

import ast
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

from transformers.utils import logging

from design_space import ModelSpec

from ..mixing.head_operations import head_operation

logger = logging.get_logger(__name__)

# model type -> name of the Auto class -> our classes, as folder.module.class; the first is the usual one.
AUTO_CLASSES: dict[str, dict[str, tuple[str, ...]]] = {
    "flexibert": {
        "AutoConfig": ("model.configuration_flexibert.FlexiBERTConfig",),
        "AutoModel": ("model.modeling_flexibert.FlexiBERTModel",),
        "AutoModelForMaskedLM": ("model.heads.FlexiBERTForMaskedLM",),
        "AutoModelForSequenceClassification": ("model.heads.FlexiBERTForSequenceClassification",),
        "AutoModelForTokenClassification": ("model.heads.FlexiBERTForTokenClassification",),
        "AutoModelForQuestionAnswering": ("model.heads.FlexiBERTForQuestionAnswering",),
        "AutoModelForMultipleChoice": ("model.heads.FlexiBERTForMultipleChoice",),
        "AutoModelForNextSentencePrediction": ("model.heads.FlexiBERTForNextSentencePrediction",),
        "AutoModelForPreTraining": ("model.heads.FlexiBERTForPreTraining",),
    },
    "flexivit": {
        "AutoConfig": ("vision.configuration_flexivit.FlexiViTConfig",),
        "AutoModel": ("vision.modeling_flexivit.FlexiViTModel",),
        # A folder's ``architectures`` chooses between the two, as for DeiT.
        "AutoModelForImageClassification": (
            "vision.modeling_flexivit.FlexiViTForImageClassification",
            "vision.modeling_flexivit.FlexiViTForImageClassificationWithTeacher",
        ),
    },
}
# The module that imports plugins: every configuration needs it before it reads an architecture.
LAST = "spec_config"
# Packages whose modules are written too where one imports them by their full names.
FLATTENED = ("design_space", "flexibert")


def auto_class_of(name: str, model_type: str) -> str:
    """The Auto class that loads our class of this name; ``AutoModel`` where none does more."""
    places = AUTO_CLASSES[model_type].items()
    return next((auto for auto, ours in places if any(place.endswith(f".{name}") for place in ours)), "AutoModel")


def write_code(folder: Path, config: Any) -> None:
    """Write the modules that models of a configuration are made of into ``folder``, and note them in the configuration.

    Sets ``plugins`` to those that were given and those that the architecture needs, and ``auto_map``: Auto class ->
    module.class in the folder; of several classes, the one in ``architectures``.

    Args:
        folder: made where it is missing.
        config: with ``architectures``, the names of the classes saved there.
    """
    config.plugins = list(dict.fromkeys([*(config.plugins or ()), *_needed_plugins(config.model_spec)])) or None
    places = _chosen(config.model_type, config.architectures or ())
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in flat_sources(set(places.values()), config.plugins or ()).items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    known = getattr(config, "auto_map", None) or {}
    kept = {auto_class: place for auto_class, place in known.items() if _is_there(place, folder)}
    config.auto_map = kept | {auto_class: place.partition(".")[2] for auto_class, place in places.items()}


def flat_sources(places: set[str], plugins: Sequence[str] = ()) -> dict[str, str]:
    """The sources that are written, by module name.

    Args:
        places: classes, as in ``AUTO_CLASSES``.
        plugins: modules of the user's that register operations; the configuration's module then imports them last.

    Raises:
        ValueError: when two of the modules have one name.
    """
    sources: dict[str, str] = {}
    origins: dict[str, str] = {}
    waiting = {*(f"flexibert.{place.rpartition('.')[0]}" for place in places), *plugins}
    while waiting:
        full_name = waiting.pop()
        name = full_name.rpartition(".")[2]
        if origins.setdefault(name, full_name) != full_name:
            raise ValueError(f"'{full_name}' and '{origins[name]}' would be one file {name}.py; rename the plugin")
        if name not in sources:
            sources[name], imported = _flattened(full_name)
            waiting |= imported
    for plugin in plugins:
        sources[LAST] += f"\nfrom .{plugin.rpartition('.')[2]} import *  # noqa: F403\n"
    return sources


def _needed_plugins(spec: ModelSpec) -> list[str]:
    """The modules from outside of this project in which operations of an architecture are defined. One that was defined
    in a session by hand has no module that could be imported, which is told."""
    layers = [layer for group in spec.groups or (spec,) for layer in group.layers]
    operations = {head.operation for layer in layers for head in layer.heads}
    modules = sorted({type(head_operation(name)).__module__ for name in operations})
    if "__main__" in modules:
        logger.warning("An operation is defined in __main__; put it into a module, or nobody else can load the model")
    return [module for module in modules if module.partition(".")[0] not in ("flexibert", "__main__")]


def _chosen(model_type: str, saved: Sequence[str]) -> dict[str, str]:
    """Auto class -> our class, as in ``AUTO_CLASSES``; of several, the one that was saved."""
    return {
        auto_class: next((place for place in places if place.rpartition(".")[2] in saved), places[0])
        for auto_class, places in AUTO_CLASSES[model_type].items()
    }


def _is_there(place: Any, folder: Path) -> bool:
    """Whether an entry of ``auto_map`` names a class in another repository, or in a file of this folder."""
    return not isinstance(place, str) or "--" in place or (folder / f"{place.split('.')[0]}.py").is_file()


def _flattened(full_name: str) -> tuple[str, set[str]]:
    """A module's source with its imports made flat, and the full names of the project's modules it imports."""
    module = importlib.import_module(full_name)
    assert module.__file__ is not None
    lines = Path(module.__file__).read_text(encoding="utf-8").splitlines()
    imported: set[str] = set()
    statements = [node for node in ast.walk(ast.parse("\n".join(lines))) if isinstance(node, ast.ImportFrom)]
    for node in sorted(statements, key=lambda node: -node.lineno):
        if node.level or (node.module and node.module.split(".")[0] in FLATTENED):
            written = "." * node.level + (node.module or "")
            source = importlib.import_module(importlib.util.resolve_name(written, module.__package__))
            assert node.end_lineno is not None
            replaced = [_neighbor_import(source, alias, imported) for alias in node.names]
            lines[node.lineno - 1 : node.end_lineno] = [" " * node.col_offset + line for line in replaced]
    return "\n".join(lines) + "\n", imported


def _neighbor_import(source: ModuleType, alias: ast.alias, imported: set[str]) -> str:
    """``from .spec import Layer`` for ``from design_space import Layer``; notes where it comes from."""
    is_package = hasattr(source, "__path__")
    origin = getattr(getattr(source, alias.name), "__module__", source.__name__) if is_package else source.__name__
    imported.add(origin)
    renamed = f" as {alias.asname}" if alias.asname else ""
    return f"from .{origin.rpartition('.')[2]} import {alias.name}{renamed}"
