"""The reference page is what the declarations say."""

import subprocess
import sys
from pathlib import Path

import pytest

from design_space.options import options_of
from search.reference import COMMANDS
from search.training.recipe import Recipe
from tests.patience import HANG_S

ROOT = Path(__file__).resolve().parents[2]


def test_the_page_is_up_to_date():
    """In a process of its own: plugins of other tests would be in it."""
    command = [sys.executable, "-m", "search.reference"]
    made = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=HANG_S, check=True).stdout
    assert made == (ROOT / "docs" / "reference.md").read_text(encoding="utf-8")
    assert "| `--min_overlap` | in [0, 1] | `0.8` | Share of parameters a parent must fill for a transfer. |" in made
    assert "| `--max_hours` | a finite number above 0 (hours) |  |" in made


@pytest.mark.parametrize("group", [*COMMANDS, Recipe], ids=lambda group: getattr(group, "prog", group.__name__))
def test_every_option_says_what_it_is_in_a_sentence(group):
    for name, option in options_of(group).items():
        assert option.help[:1].isupper() or option.help.startswith(("python", "bf16")), name
        assert option.help.endswith("."), name
