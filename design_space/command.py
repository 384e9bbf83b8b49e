"""What every command shares: a user's mistake ends in one clear message and exit code 2, never in a traceback."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from .files import nearest_name


class ArgumentParser(argparse.ArgumentParser):
    """argparse that shows defaults in ``--help``, names the nearest flag for a misspelt one, and reads ``~`` in paths
    as a home folder."""

    def __init__(self, *, prog: str, description: str) -> None:
        super().__init__(
            prog=prog,
            description=description,
            allow_abbrev=False,
            formatter_class=argparse.ArgumentDefaultsHelpFormatter,
        )

    def parse_args(self, args: Sequence[str] | None = None, namespace: object = None) -> argparse.Namespace:  # type: ignore[override]
        parsed, unknown = self.parse_known_args(args)
        if unknown:
            flags = [flag for action in self._actions for flag in action.option_strings if flag.startswith("--")]
            self.error(f"unknown argument {unknown[0]}. {nearest_name(unknown[0].split('=')[0], flags)}")
        for name, value in vars(parsed).items():
            if isinstance(value, Path):
                setattr(parsed, name, below_home(value))
        return parsed

    def error(self, message: str) -> NoReturn:
        """One line instead of the whole usage."""
        self.exit(2, f"error: {message}\nSee {self.prog} --help\n")


def below_home(path: Path | str) -> Path:
    """The path with a leading ``~`` or ``~user`` written out. Raises ``ValueError`` when there is no such user."""
    try:
        return Path(path).expanduser()
    except RuntimeError as error:
        raise ValueError(f"{path}: names the home folder of no user; write ./{path} for a file of that name") from error


def positive(text: str) -> int:
    """The type of flags that count something."""
    if not text.strip().isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"must be a whole number of at least 1. Got {text!r}")
    return int(text)


def positive_number(text: str) -> float:
    """The type of flags that measure something."""
    try:
        value = float(text)
    except ValueError:
        value = 0.0
    if not 0 < value < float("inf"):
        raise argparse.ArgumentTypeError(f"must be a finite number above 0. Got {text!r}")
    return value


def run_command(command: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command's body; ``ValueError`` and file errors become one line on stderr and exit code 2."""
    try:
        command(arguments)
    except KeyboardInterrupt:
        print("stopped by the user", file=sys.stderr)
        sys.exit(130)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
