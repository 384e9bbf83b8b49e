"""The wheel is whole: built, installed into a fresh environment and used from another folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("design_space", "embeddings", "flexibert", "dataset", "search")
MODULE = "flexibert_nas.py"
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
USE = f"""
import sys
from importlib.resources import files
from pathlib import Path

import dataset, design_space, embeddings, flexibert, flexibert_nas, search

for room in (dataset, design_space, embeddings, flexibert, search):
    assert Path(room.__file__).is_relative_to(sys.prefix), room.__file__
    assert room.__version__ == {PROJECT["version"]!r}
    assert (Path(room.__file__).parent / "py.typed").exists()
assert flexibert_nas.__version__ == flexibert.__version__
space = design_space.DesignSpace.from_yaml(files("design_space") / "quickstart.yaml")
assert space.size(layers_per_stack=2) == 1056
assert all((files("flexibert.export") / name).is_file() for name in ("predict.py", "serve.py", "Dockerfile"))

layers = {{"l": 1, "o": ["sa"], "h": [8], "n": [2], "f": [[8]], "p": ["sdp"]}}
model = flexibert.FlexiBERTModel(flexibert.FlexiBERTConfig(model_dict=layers, vocab_size=50)).eval()
model.save_pretrained("model")
loaded = flexibert.FlexiBERTModel.from_pretrained("model").eval()
tokens = model.dummy_inputs["input_ids"]
assert (loaded(tokens).last_hidden_state == model(tokens).last_hidden_state).all()
print("done")
"""
HELP = """
import contextlib, io, json, runpy, sys

for command in sys.argv[1:]:
    sys.argv = [command, "--help"]
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), contextlib.suppress(SystemExit):
        runpy.run_path(command, run_name="__main__")
    print(json.dumps(printed.getvalue()))
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built of a copy, so that nothing left by other builds gets into it and nothing is left behind."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in (
        MODULE,
        "pyproject.toml",
        "README.md",
        "LICENSE",
        *(path.name for path in ROOT.glob("requirements*.txt")),
    ):
        shutil.copy(ROOT / name, source)
    _run(
        sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "--wheel-dir", target, ".", at=source
    )
    (built,) = target.iterdir()
    return built


@pytest.fixture(scope="module")
def environment(wheel, tmp_path_factory) -> Path:
    """A fresh environment with the wheel in it. Its dependencies are those of the environment that runs the tests,
    whose editable install of this project it does not see: a path in a ``.pth`` file has its own ones not read."""
    environment = tmp_path_factory.mktemp("environment")
    _run(sys.executable, "-m", "venv", "--without-pip", environment)
    _run(sys.executable, "-m", "pip", "--python", environment / "bin" / "python", "install", "--no-deps", wheel)
    packages = sysconfig.get_path("purelib", vars={"base": str(environment)})
    (Path(packages) / "dependencies.pth").write_text(sysconfig.get_path("purelib"))
    return environment


def _run(*command: str | Path, at: Path | None = None) -> str:
    """What a command prints that ends well; it finds no project by ``PYTHONPATH``."""
    hidden = {name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME")}
    done = subprocess.run(command, cwd=at, env=hidden, capture_output=True, text=True, check=False)
    assert done.returncode == 0, f"{command}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    return done.stdout


@pytest.mark.integration
def test_it_holds_every_file_of_the_rooms(wheel):
    files = {path for room in ROOMS for path in (ROOT / room).rglob("*") if path.is_file()}
    expected = {path.relative_to(ROOT).as_posix() for path in files if path.parent.name != "__pycache__"}
    expected.add(MODULE)
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {f"{room}/py.typed" for room in ROOMS} < packed


@pytest.mark.integration
def test_it_works_from_another_folder(environment, tmp_path):
    assert _run(environment / "bin" / "python", "-c", USE, at=tmp_path).splitlines()[-1] == "done"


@pytest.mark.integration
def test_its_commands_are_there(environment, tmp_path):
    first, *others = [environment / "bin" / command for command in PROJECT["scripts"]]
    assert f"usage: {first.name}" in _run(first, "--help", at=tmp_path)
    printed = _run(environment / "bin" / "python", "-c", HELP, *others, at=tmp_path).splitlines()
    for command, text in zip(others, printed, strict=True):
        assert os.access(command, os.X_OK)
        assert f"usage: {command.name}" in json.loads(text)
