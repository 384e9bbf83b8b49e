"""The house rules that a machine can check."""

import ast
import importlib
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "design_space": set(),
    "embeddings": {"design_space"},
    "flexibert": {"design_space"},
    "dataset": {"design_space"},
    "search": {"design_space", "embeddings", "flexibert", "dataset"},
}


def _imported(source: str) -> set[str]:
    """Top-level packages that a module imports absolutely."""
    names = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
            names.add(node.module.partition(".")[0])
    return names


def _violations(room: str, source: str) -> set[str]:
    return (_imported(source) & MAY_IMPORT.keys()) - MAY_IMPORT[room] - {room}


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_imports_point_down_only(room):
    modules = sorted((ROOT / room).rglob("*.py"))
    assert modules
    wrong = {str(module): _violations(room, module.read_text()) for module in modules}
    assert not {module: rooms for module, rooms in wrong.items() if rooms}


def test_the_rule_can_be_broken():
    assert _violations("embeddings", "import torch\nfrom flexibert import FlexiBERTModel") == {"flexibert"}
    assert _violations("design_space", "import search.boshnas") == {"search"}
    assert _violations("search", "from dataset import load_task") == set()


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_the_rooms_are_ours_and_not_packages_of_the_same_name(room):
    package = importlib.import_module(room)
    assert Path(package.__file__).resolve() == ROOT / room / "__init__.py"


def test_no_source_file_outgrows_its_idea():
    lengths = {path: len(path.read_text().splitlines()) for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py")}
    assert not {str(path): length for path, length in lengths.items() if length > 400}
