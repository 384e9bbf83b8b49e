"""What the README shows is executed: its Python as it stands, its commands as far as their flags."""

import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)
SHELL = [line for block in re.findall(r"```shell\n(.*?)```", README, flags=re.DOTALL) for line in block.splitlines()]
COMMANDS = {
    "generate_library": "embeddings.generate_library",
    "prepare_data": "dataset.prepare",
    "run_boshnas": "search.run_boshnas",
    "hierarchical": "search.hierarchical",
}
SAVE_A_MODEL = """
from dataset import build_tokenizer
from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
spec = {'l': 1, 'o': ['sa'], 'h': [8], 'n': [2], 'f': [[8]], 'p': ['sdp']}
model = FlexiBERTForSequenceClassification(FlexiBERTConfig(model_dict=spec, vocab_size=400))
model.save_pretrained("runs/level-2/best")
build_tokenizer("train", ["some plain words"], vocab_size=400).save_pretrained("runs/level-2/best")
"""


@pytest.mark.parametrize("number", range(len(PYTHON)))
def test_its_python_runs(number, tmp_path):
    assert len(PYTHON) == 6
    code = PYTHON[number]
    if "runs/level-2/best" in code:
        code = f"{SAVE_A_MODEL}\n{code}\nassert model.config.model_spec.layers[0].hidden_size == 8"
        code += "\nassert tokenizer.mask_token_id is not None"
    if "load_model_from_source" in code:
        code += "\nassert 0.9 < overlap <= 1.0"
    if "hetero" in code:
        code += "\nassert config.model_spec.format == 'hetero' and model.config.model_spec.to_dict()['h'] == [256, 128]"
    shutil.copytree(ROOT / "design_space", tmp_path / "design_space")
    environment = {"PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin", "HF_HUB_OFFLINE": "1", "HOME": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("line", [line for line in SHELL if line.split()[0] in COMMANDS])
def test_its_commands_have_the_flags_they_are_shown_with(line):
    import importlib

    command, *arguments = shlex.split(line)
    module = importlib.import_module(COMMANDS[command])
    # An input that does not exist stops the command after its flags were understood.
    missing = [
        argument if not argument.endswith((".json", ".yaml", ".csv")) else f"/nowhere/{argument}"
        for argument in arguments
    ]
    with pytest.raises((ValueError, SystemExit)) as stop:
        getattr(module, "generate_library" if command == "generate_library" else command)(
            [*missing, "--seed", "0"] if command != "prepare_data" else ["--task", "/nowhere/x.csv", *missing[2:]]
        )
    if stop.type is SystemExit:
        pytest.fail(f"flags not understood: {line}")


def test_its_make_targets_exist():
    makefile = (ROOT / "Makefile").read_text()
    targets = {line.split()[1] for line in SHELL if line.startswith("make ")}
    assert targets == {"search", "test"}
    assert all(re.search(rf"^{target}:", makefile, flags=re.MULTILINE) for target in targets)
