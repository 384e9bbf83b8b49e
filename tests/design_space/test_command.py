"""How commands end."""

import os
import signal
import subprocess
import sys

import pytest

from design_space.command import run_command


@pytest.fixture(autouse=True)
def _own_signals():
    """Python's own for Ctrl-C, which a shell takes from what it runs in the background."""
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


def _end(command):
    with pytest.raises(SystemExit) as end:
        run_command(command, [])
    return end.value.code


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_signals_end_a_command_in_one_line(capsys, number, code):
    def command(_):
        signal.raise_signal(number)

    assert _end(command) == code
    assert capsys.readouterr().err == "stopped\n"


def test_whoever_is_stopped_may_say_how_to_go_on(capsys):
    def command(_):
        raise KeyboardInterrupt("Go on with --resume")

    assert _end(command) == 130
    assert capsys.readouterr().err == "stopped. Go on with --resume\n"


@pytest.mark.parametrize("module", ["search.run_boshnas", "search.shrink"])
def test_little_is_imported_before_ctrl_c_is_met(module):
    code = f"import sys, {module}; print([name for name in ('torch', 'ray', 'transformers') if name in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], env=os.environ, capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"
