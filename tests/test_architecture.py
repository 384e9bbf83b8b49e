"""The house rules that a machine can check."""

import ast
import importlib
import importlib.util
import re
from collections import Counter
from pathlib import Path

import networkx as nx
import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "design_space": set(),
    "embeddings": {"design_space"},
    "flexibert": {"design_space"},
    "dataset": {"design_space"},
    "search": {"design_space", "embeddings", "flexibert", "dataset"},
}
TABLES = ROOT / "flexibert" / "commands" / "examples.py"
"""Where the commands on model folders read tables: as tasks are read, and nowhere else below ``search``."""


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
    wrong = {
        str(module): _violations(room, module.read_text()) - ({"dataset"} if module == TABLES else set())
        for module in modules
    }
    assert not {module: rooms for module, rooms in wrong.items() if rooms}
    assert _imported(TABLES.read_text()) >= {"dataset"}


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


def _module(path: Path) -> str:
    return ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")


def _imports() -> nx.DiGraph:
    """Modules of the rooms, with an edge to each that they import; packages' faces are no modules of the house."""
    paths = [path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py"]
    modules = {_module(path): path for path in paths}
    graph = nx.DiGraph()
    graph.add_nodes_from(modules)
    for name, path in modules.items():
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom):
                written = "." * node.level + (node.module or "")
                source = importlib.util.resolve_name(written, name.rpartition(".")[0])
                found = {source, *(f"{source}.{alias.name}" for alias in node.names)} & modules.keys() - {name}
                graph.add_edges_from((name, each) for each in found)
    return graph


def test_no_modules_import_in_circles():
    assert not [circle for circle in nx.strongly_connected_components(_imports()) if len(circle) > 1]


@pytest.mark.parametrize("room", MAY_IMPORT)
def test_the_parts_of_a_room_form_few_floors(room):
    """Parts are sub-packages and the modules beside them."""
    parts = nx.DiGraph()
    for pair in _imports().edges:
        if all(name.split(".")[0] == room for name in pair):
            first, second = (".".join(name.split(".")[:2]) for name in pair)
            if first != second:
                parts.add_edge(first, second)
    assert nx.dag_longest_path_length(parts) < 7


def test_folders_hold_no_more_than_a_reader_can_overlook():
    files = [path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py") if path.name != "__init__.py"]
    assert max(Counter(path.parent for path in files).values()) <= 16


def test_only_public_names_of_other_libraries_are_used():
    private = re.compile(
        r"torch\._C|torch\._subclasses|ray\._private|\._score_func|forward_ad\._|parser\._|argparse\._"
    )
    sources = [path for room in MAY_IMPORT for path in (ROOT / room).rglob("*.py")]
    assert not [str(path) for path in sources if private.search(path.read_text())]
