"""Names of ours mean our packages where our code runs, and the user's files where the user's code runs."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BEFORE = """
import sys
sys.path.insert(0, sys.argv[1])
import flexibert_nas
from flexibert_nas.own_packages import own_packages, prefer_own_packages
"""


def _run(folder: Path, code: str) -> str:
    command = [sys.executable, "-c", BEFORE + code, str(folder)]
    done = subprocess.run(command, env={"PYTHONPATH": str(ROOT)}, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name in ("design_space", "search"):
        (tmp_path / f"{name}.py").write_text(f"MINE = {name!r}\n")
    return tmp_path


@pytest.mark.parametrize("when", ["before", "after", "never"])
def test_a_users_modules_are_theirs_again_after_a_block(folder, when):
    first = "import search, design_space\nassert search.MINE" if when == "before" else ""
    last = "import search, design_space\nassert search.MINE and design_space.MINE" if when != "never" else ""
    code = f"""
{first}
for _ in range(2):
    with own_packages():
        import design_space.spec
        import search
        from search.records.events import EVENTS
        with own_packages():
            from design_space import ModelSpec
        again = design_space.spec
        kept = kept if _ else again
        assert kept is again
        assert not hasattr(search, "MINE")
{last}
print("done")
"""
    assert _run(folder, code) == "done\n"


def test_what_nobody_hides_stays_imported(folder):
    code = """
with own_packages():
    import dataset
import dataset as again
assert again is dataset
print("done")
"""
    assert _run(folder, code) == "done\n"


def test_a_process_that_is_all_ours_prefers_ours_for_good(folder):
    assert _run(folder, "prefer_own_packages()\nimport search\nprint(search.__version__ != '')") == "True\n"
