"""Plugins are imported once, from where ``python -m`` would find them, and a wrong one is told in one message."""

import importlib
import sys

import pytest

import flexibert.__main__ as flexibert_commands
from design_space.plugins import check_not_hidden, load_plugins, loaded_plugins
from design_space.version import __version__
from flexibert_nas.commands import COMMANDS


def test_a_plugin_lies_in_the_working_directory_and_is_imported_once(tmp_path, monkeypatch):
    (tmp_path / "plugin_that_counts.py").write_text("import sys\nsys.imports = getattr(sys, 'imports', 0) + 1\n")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [path for path in sys.path if path])
    monkeypatch.setattr("design_space.plugins._loaded", {})
    load_plugins(["plugin_that_counts"])
    load_plugins(["plugin_that_counts", "plugin_that_counts"])
    assert sys.imports == 1  # type: ignore[attr-defined]
    assert loaded_plugins() == ("plugin_that_counts",)


@pytest.mark.parametrize(
    ("code", "cause"),
    [
        ("import nowhere_to_be_found", "ModuleNotFoundError: No module named 'nowhere_to_be_found'"),
        ("1 / 0", "ZeroDivisionError: division by zero"),
        ("def", "SyntaxError: invalid syntax"),
        ("raise SystemExit(0)", "SystemExit: 0"),
    ],
)
def test_a_plugin_that_cannot_be_imported_is_one_message(tmp_path, monkeypatch, code, cause):
    (tmp_path / "bad_plugin.py").write_text(code)
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=f"The plugin 'bad_plugin' cannot be imported: {cause}"):
        load_plugins(["bad_plugin"])
    assert "bad_plugin" not in loaded_plugins()


@pytest.mark.parametrize("name", COMMANDS)
def test_every_command_has_plugins_which_come_before_anything_else(name, capsys):
    """The other flags are wrong, too."""
    pytest.importorskip("ray", reason="needs the extra 'search'")
    module, function = COMMANDS[name]
    command = getattr(importlib.import_module(module), function)
    positional = {"report": ["a"], "track": ["a"], "convert_bert": ["a", "b"]}.get(name, [])
    with pytest.raises(ValueError, match="The plugin 'not_there' cannot be imported: ModuleNotFoundError"):
        command([*positional, "--plugin", "not_there"])
    with pytest.raises(SystemExit) as stop:
        command(["--version"])
    assert stop.value.code == 0
    assert capsys.readouterr().out == f"flexibert-nas {__version__}\n"


@pytest.mark.parametrize("name", flexibert_commands.COMMANDS)
def test_every_command_of_flexibert_has_plugins(name, capsys):
    for arguments, code in ((["a", "b", "c"][: 3 if name in ("stitch", "transfer") else 2], 2), (["--version"], 0)):
        with pytest.raises(SystemExit) as stop:
            flexibert_commands.main([name, *arguments, *(["--plugin", "not_there"] if code else [])])
        assert stop.value.code == code
    told = capsys.readouterr()
    assert "error: The plugin 'not_there' cannot be imported" in told.err
    assert told.out == f"flexibert-nas {__version__}\n"


@pytest.mark.parametrize("name", ["dataset.py", "search/__init__.py"])
def test_a_file_that_would_be_imported_in_place_of_ours_is_named(tmp_path, name):
    (tmp_path / "embeddings").mkdir()  # without __init__.py it hides nothing
    check_not_hidden([str(tmp_path)])
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).touch()
    check_not_hidden()
    with pytest.raises(ValueError, match=f"{name} would be imported in place of this project's package"):
        check_not_hidden([str(tmp_path)])
