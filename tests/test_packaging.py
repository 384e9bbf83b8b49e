"""What is installed: ranges, pins and extras agree, and the core needs none of the extras."""

import os
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from design_space.version import EXTRAS, MissingPackage, extras_told

tomllib = pytest.importorskip("tomllib", reason="Python 3.10 has none")
ROOT = Path(__file__).resolve().parents[1]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
BLOCKED = "import sys\nfor name in sys.argv[1].split(','):\n    sys.modules[name] = None\n"
CORE = """
import design_space, flexibert, flexibert_nas
import flexibert.pruning, flexibert.distillation, flexibert.conversion.pretrained, flexibert.morphisms.stitching

layers = {"l": 1, "o": ["sa"], "h": [8], "n": [2], "f": [[8]], "p": ["sdp"]}
model = flexibert.FlexiBERTForSequenceClassification(flexibert.FlexiBERTConfig(model_dict=layers, vocab_size=50))
tokens = model.dummy_inputs["input_ids"]
batch = {"input_ids": tokens, "labels": tokens[:, 0] % 2}
assert flexibert.prune(model, density=0.5, examples=[batch]).num_parameters() < model.num_parameters()
print("done")
"""


def _named(extra: str) -> dict[str, Requirement]:
    requirements = map(Requirement, PROJECT["optional-dependencies"][extra])
    return {canonicalize_name(one.name): one for one in requirements if one.name != PROJECT["name"]}


def _run(code: str) -> subprocess.CompletedProcess:
    """In a process without the modules of all extras, and without peft, which needs one of them."""
    modules = [module for of_extra in EXTRAS.values() for module in of_extra]
    command = [sys.executable, "-c", BLOCKED + code, ",".join([*modules, "peft"])]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def test_the_core_needs_no_extra():
    done = _run(CORE)
    assert done.stdout == "done\n", done.stderr[-2000:]


def test_the_test_can_fail():
    done = _run("import embeddings")
    assert re.search(
        r"needs the package '\w+', which is not installed: pip install 'flexibert-nas\[search\]'", done.stderr
    )


def test_a_command_names_the_extra_in_one_line():
    done = _run("sys.argv[1:] = ['generate_library', '--help']\nfrom flexibert_nas.commands import main\nmain()")
    assert (done.returncode, done.stdout) == (2, "")
    assert re.fullmatch(r"error: This needs the package '\w+', which is .*\[search\]'\n", done.stderr)


def test_a_module_that_no_extra_brings_is_told_as_python_does():
    with pytest.raises(ModuleNotFoundError, match="No module named 'nowhere'") as told, extras_told():
        import nowhere  # noqa: F401
    assert not isinstance(told.value, MissingPackage)


def test_a_part_that_another_version_has_is_told_so():
    said = r"'onnxscript' that is installed has no 'onnxscript.new', so another version .*\[export\]'"
    with pytest.raises(MissingPackage, match=said), extras_told():
        raise ModuleNotFoundError("No module named 'onnxscript.new'", name="onnxscript.new")


@pytest.mark.parametrize("extra", EXTRAS)
def test_the_modules_of_an_extra_are_of_its_distributions(extra):
    """Or are brought by one of these."""
    distributions = packages_distributions()
    brought = {"linear_operator": "gpytorch", "multipart": "python-multipart"}
    for module in EXTRAS[extra]:
        if found := distributions.get(module):
            names = {brought.get(module), *map(canonicalize_name, found)}
            names |= {f"{name}-skinny" for name in names if name == "mlflow"}
            assert names & _named(extra).keys(), module


def test_every_range_holds_its_pin_and_every_pin_has_a_use():
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    pins = {canonicalize_name(one.name): one for one in map(Requirement, lines)}
    ranges = [Requirement(text) for texts in PROJECT["optional-dependencies"].values() for text in texts]
    ranges += [Requirement(text) for text in PROJECT["dependencies"]]
    used = set()
    for one in ranges:
        name = canonicalize_name(one.name)
        used.add(name)
        if name != PROJECT["name"]:
            (pin,) = pins[name].specifier
            assert one.specifier.contains(pin.version), one
    assert pins.keys() - used == {"mkdocs-material"}  # of requirements-docs.txt
