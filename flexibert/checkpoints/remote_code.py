"""Code beside the weights, so that a folder loads where this project is not installed.

``AutoModel.from_pretrained(folder, trust_remote_code=True)`` then needs ``torch`` and ``transformers`` only. Hugging
Face copies the file it is pointed to and the files that this imports by ``from .name import``; so the modules that a
model is made of are written flat into its folder, with their imports of ``design_space`` turned into such ones, and
``auto_map`` in ``config.json`` says which class is where. Where the project is installed and imported, its own classes
are used and nothing is asked.
"""

import ast
import importlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType
from typing import Any

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


def write_code(folder: Path, config: Any) -> dict[str, Any]:
    """Write the modules that models of a configuration are made of into ``folder``.

    Args:
        folder: made where it is missing.
        config: with ``architectures``, the names of the classes saved there. The code of one loaded from a folder lies
            apart from the models', which Hugging Face writes; its ``auto_map`` tells of them.

    Returns:
        ``auto_map``: Auto class -> module.class in the folder; of several classes, the one in ``architectures``.
    """
    auto_map = _auto_map(config.model_type, set(config.architectures or ()))
    folder.mkdir(parents=True, exist_ok=True)
    for name, source in flat_sources(set(auto_map.values()), config.plugins or ()).items():
        (folder / f"{name}.py").write_text(source, encoding="utf-8")
    known = getattr(config, "auto_map", None) or {}
    flat_map = {name: place.partition(".")[2] if place.count(".") > 1 else place for name, place in auto_map.items()}
    return {name: place for name, place in known.items() if _is_there(place, folder)} | flat_map


def _is_there(place: Any, folder: Path) -> bool:
    """Whether an entry of ``auto_map`` names a class in another repository, or in a file of this folder."""
    return not isinstance(place, str) or "--" in place or (folder / f"{place.split('.')[0]}.py").is_file()


def flat_sources(places: set[str], plugins: Sequence[str] = ()) -> dict[str, str]:
    """The sources that are written, by module name.

    Args:
        places: classes, as in ``AUTO_CLASSES``.
        plugins: modules of the user's that register operations; the configuration's module then imports them last.

    Raises:
        ValueError: when two of the modules have one name.
    """
    beside = [plugin if _is_project() else f"{__package__}.{plugin.rpartition('.')[2]}" for plugin in plugins]
    sources: dict[str, str] = {}
    origins: dict[str, str] = {}
    waiting = {*map(_full_name, places), *beside}
    while waiting:
        full_name = waiting.pop()
        name = full_name.rpartition(".")[2]
        if origins.setdefault(name, full_name) != full_name:
            raise ValueError(f"'{full_name}' and '{origins[name]}' would be one file {name}.py; rename the plugin")
        if name not in sources:
            sources[name], imported = _flattened(full_name)
            waiting |= imported
    for plugin in beside:
        line = f"from .{plugin.rpartition('.')[2]} import *"
        if line not in sources[LAST]:
            sources[LAST] += f"\n{line}  # noqa: F403\n"
    return sources


def _is_project() -> bool:
    """Whether this is the project's own module; in a folder of copies all modules are this one's neighbors."""
    return (__package__ or "").rpartition(".")[2] == "checkpoints"


def _full_name(place: str) -> str:
    """The full name of the module of a class."""
    module = place.rpartition(".")[0]
    if _is_project():
        return f"{(__package__ or '').rpartition('.')[0]}.{module}"
    return f"{__package__}.{module.rpartition('.')[2]}"


def _auto_map(model_type: str, saved: set[str]) -> dict[str, str]:
    """Auto class -> our class, as in ``AUTO_CLASSES``; of several, the one that was saved."""
    chosen = {}
    for auto_class, places in AUTO_CLASSES[model_type].items():
        # A copy that was loaded from a folder is without the modules that it did not need.
        present = [place for place in places if importlib.util.find_spec(_full_name(place))]
        fitting = [place for place in present if place.rpartition(".")[2] in saved]
        if present:
            chosen[auto_class] = (fitting or present)[0]
    return chosen


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
