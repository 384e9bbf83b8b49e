"""The commands as users call them: the installed ones and ``python -m flexibert_nas COMMAND``.

They look for this project's packages where this one lies and nowhere else, so that a ``dataset.py`` in the working
folder is in nobody's way, and they say which extra to install where a package is missing.
"""

import importlib
import sys
from collections.abc import Callable, Sequence
from typing import NoReturn

from .own_packages import prefer_own_packages

COMMANDS = {
    "generate_library": ("embeddings.generate_library", "generate_library"),
    "prepare_data": ("dataset.prepare", "prepare_data"),
    "run_boshnas": ("search.run_boshnas", "run_boshnas"),
    "hierarchical": ("search.hierarchical", "hierarchical"),
    "shrink_model": ("search.shrink", "shrink_model"),
    "convert_bert": ("flexibert.convert_bert", "convert_command"),
    "evaluation": ("search.evaluation", "compare"),
    "quickstart": ("search.quickstart", "quickstart"),
    "report": ("search.report.__main__", "report"),
    "serve": ("search.serve.__main__", "serve"),
    "benchmark": ("search.benchmark.__main__", "benchmark"),
    "track": ("search.track", "track"),
}
"""Command -> module and function."""


def run(name: str, arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command and end the process as it ends."""
    prefer_own_packages()
    from design_space.command import run_command

    module, function = COMMANDS[name]

    def body(given: Sequence[str] | None) -> None:
        command: Callable[[Sequence[str] | None], None] = getattr(importlib.import_module(module), function)
        command(given)

    run_command(body, arguments)


def main() -> NoReturn:
    """``python -m flexibert_nas COMMAND``."""
    given = sys.argv[1:]
    if not given or given[0] in ("-h", "--help"):
        print("usage: python -m flexibert_nas COMMAND ...; each command has --help\n\ncommands:")
        print("\n".join(f"  {name}" for name in COMMANDS))
        sys.exit(0)
    if given[0] not in COMMANDS:
        print(f"error: '{given[0]}' is no command. There are: {', '.join(COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    run(given[0], given[1:])


def generate_library() -> NoReturn:
    """Entry point of the installed command, as are those below."""
    run("generate_library")


def prepare_data() -> NoReturn:
    run("prepare_data")


def run_boshnas() -> NoReturn:
    run("run_boshnas")


def hierarchical() -> NoReturn:
    run("hierarchical")


def shrink_model() -> NoReturn:
    run("shrink_model")


def convert_bert() -> NoReturn:
    run("convert_bert")
