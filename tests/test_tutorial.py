"""The tutorial's story, told once in full at a small size: its files, commands and Python, in their order; what it
shows as output has the form of what is printed, and where nothing is trained the same numbers too."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[1]
BLOCK = re.compile(r'```(\w+)(?: title="([\w.-]+)")?\n(.*?)```', flags=re.DOTALL)
SMALLER = {
    "pretrain_steps: 120": "pretrain_steps: 2",
    "epochs: 2": "epochs: 1\nmax_train_examples: 64",
    "--max_trials 6": "--max_trials 2 --max_concurrent 1",
    "--max_trials 4": "--max_trials 1 --max_concurrent 1",
}
TRAINED = ("run_boshnas", "grep", "import torch")


def _smaller(body: str) -> str:
    for written, run in SMALLER.items():
        body = body.replace(written, run)
    return body


def _form(line: str) -> str:
    """A line without what may differ in another run: numbers, folders, and which candidate or class it is."""
    line = re.sub(r"(initial|optimized), .*", "CANDIDATE", line)
    line = re.sub(r"lineage: .*", "lineage", line)
    line = re.sub(r"^[a-z, ]+ \([\d.]+\): ", "CLASS: ", line)
    return re.sub(r"\d[\d,.:]*", "0", re.sub(r"/\S*/", "/", line))


@pytest.mark.integration
def test_the_story_can_be_lived(tmp_path):
    page = (ROOT / "docs" / "tutorial.md").read_text(encoding="utf-8")
    assert all(written in page for written in SMALLER)
    environment = dict(os.environ, PYTHONPATH=str(ROOT), HF_HUB_OFFLINE="1")
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    printed, code = "", ""
    for language, title, body in BLOCK.findall(page):
        if language == "yaml":
            (tmp_path / title).write_text(_smaller(body))
        elif language == "text":
            form = _form if any(word in code for word in TRAINED) else str
            lines = {form(line) for line in printed.splitlines()}
            shown = body.replace("/home/ada/nas", str(tmp_path)).splitlines()
            missing = [line for line in shown if form(line) not in lines]
            assert not missing, f"{code}\nprinted\n{printed}\nnot\n{missing}"
        else:
            code = _smaller(body)
            command = ["bash", "-ec", code] if language == "shell" else [sys.executable, "-c", code]
            done = subprocess.run(
                command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False, timeout=HANG_S
            )
            assert done.returncode == 0, f"{code}\n{done.stdout[-1000:]}\n{done.stderr[-2000:]}"
            printed = done.stdout
    assert (tmp_path / "level-2" / "best" / "model.safetensors").exists()
