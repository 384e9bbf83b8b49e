"""The notebook in ``docs/`` runs, cell by cell, and its model predicts."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
CHECKS = """
assert answers == ["good", "bad"], answers
assert len(found.trials) == 2
assert len(found.front) >= 1
assert found.report.is_file()
print("done")
"""


@pytest.mark.integration
def test_from_a_table_to_a_predicting_model(tmp_path):
    cells = json.loads((ROOT / "docs" / "notebook.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    (tmp_path / "notebook.py").write_text("\n\n".join([*code, CHECKS]))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "notebook.py"]
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-3000:]
    assert done.stdout.endswith("done\n")
