"""The wheel is whole: built, installed into a fresh environment and used from another folder."""

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
ROOT = Path(__file__).resolve().parents[1]
ROOMS = ("design_space", "embeddings", "flexibert", "flexibert_nas", "dataset", "search")
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

OWN_FILES = ("dataset", "search", "embeddings", "flexibert", "design_space")
SPACE = """
architecture:
  hidden_size: [16, 32]
  num_heads: [2]
  encoder_layers: [2]
  operation_types: [sa]
  number_of_feed-forward_stacks: [1]
  feed-forward_hidden: [32]
  operation_parameters: {sa: [sdp, wma]}
"""
QUICK = {"pretrain_steps": 0, "epochs": 8, "learning_rate": 3e-3, "batch_size": 16, "vocab_size": 300, "max_length": 16}
IN_A_FOLDER_OF_ONES_OWN = f"""
import json, sys
import dataset, search  # the user's own
import pandas as pd
import flexibert_nas

words = ["good", "bad"]
rows = [f"a {{words[i % 2]}} film of a man and a boat, number {{i // 2}}" for i in range(120)]
frame = pd.DataFrame({{"review": rows, "verdict": [words[i % 2] for i in range(120)]}})
frame.to_csv("films.csv", index=False)
found = flexibert_nas.search(frame, space="space.yaml", run_dir="run", max_trials=1, num_init=1, quiet=True, **{QUICK})
assert found.predict(["a good film of a man", "a bad film of a man"]) == ["good", "bad"]
assert len(found.trials) == len(found.front) == 1
import embeddings
for own in (dataset, search, embeddings):
    assert own.MINE and own is sys.modules[own.__name__]
print("done")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory) -> Path:
    """The wheel, built of a copy, so that nothing left by other builds gets into it and nothing is left behind."""
    source, target = tmp_path_factory.mktemp("source"), tmp_path_factory.mktemp("wheel")
    for room in ROOMS:
        shutil.copytree(ROOT / room, source / room, ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
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
    packed = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert packed == expected
    assert {f"{room}/py.typed" for room in ROOMS} < packed


@pytest.mark.integration
def test_it_is_small(wheel):
    assert wheel.stat().st_size <= 1_000_000


@pytest.mark.integration
def test_files_of_a_users_own_that_are_called_as_our_packages_are_in_nobodys_way(environment, tmp_path):
    """From a script beside them, by the installed command, and on Ray's workers."""
    for name in OWN_FILES:
        (tmp_path / f"{name}.py").write_text("MINE = True\n")
    (tmp_path / "space.yaml").write_text(SPACE)
    (tmp_path / "script.py").write_text(IN_A_FOLDER_OF_ONES_OWN)
    said = _run(environment / "bin" / "python", tmp_path / "script.py", at=tmp_path)
    assert said.splitlines()[-1] == "done"
    flags = [str(text) for name, value in QUICK.items() for text in (f"--{name}", value)]
    flags += ["--dataset_file", "run/library.json", "--task", "films.csv", "--run_dir", "again", "--max_trials", "1"]
    _run(environment / "bin" / "run_boshnas", *flags, "--num_init", "1", "--quiet", at=tmp_path)
    assert (tmp_path / "again" / "best" / "model.safetensors").exists()
    # What Python itself looks for in the working folder first is told, as far as our code is reached.
    (tmp_path / "search.py").unlink()
    (tmp_path / "design_space.py").unlink()
    command = [environment / "bin" / "python", "-m", "search.run_boshnas", "--help"]
    hidden = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    done = subprocess.run(command, cwd=tmp_path, env=hidden, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(f"error: {tmp_path}/dataset.py would be imported in place of this project's package")
    assert done.stderr.count("\n") == 1


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
