"""What every command shares: flags made from declared options, and a user's mistake that ends in one clear message and
exit code 2, never in a traceback.

Neither ``pydantic-settings`` nor ``jsonargparse`` makes these flags: both want lists in another form than
``--origins scratch transfer``, and neither says what a value must be in one line. So flags go through ``argparse``, as
texts, and all else is pydantic's.
"""

import argparse
import signal
import sys
from collections.abc import Callable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, ClassVar, NoReturn, TypeVar

from pydantic import Field

from .options import Option, options, options_of, validated
from .plugins import check_not_hidden, load_plugins
from .version import MissingPackage, __version__, missing_package


@options
class CommandOptions:
    """The options of every command. A subclass declares those of one; its docstring describes the command.

    Attributes:
        prog: how the command is called.
    """

    prog: ClassVar[str]
    plugin: Annotated[
        tuple[str, ...],
        Field(description="Modules of your own to import first: they register operations, morphisms, surrogates."),
    ] = ()


Command = TypeVar("Command", bound=CommandOptions)


def read_options(command: type[Command], arguments: Sequence[str] | None) -> Command:
    """The options on the command line. Raises ``ValueError`` listing all that is wrong."""
    return validated(command, given_options(command, arguments))


def given_options(command: type[CommandOptions], arguments: Sequence[str] | None) -> dict[str, Any]:
    """Those options that are on the command line, as texts; plugins among them are imported.

    Raises:
        ValueError: for a plugin that cannot be imported, a flag that there is not, or one without its value.
        SystemExit: after ``--help`` and ``--version``.
    """
    first = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    first.add_argument("--plugin", nargs="*", default=())
    load_plugins(first.parse_known_args(arguments)[0].plugin)  # what they register is among the choices below
    declared = options_of(command)
    parser = _Parser(
        prog=command.prog, description=describe(command), allow_abbrev=False, argument_default=argparse.SUPPRESS
    )
    parser.add_argument("--version", action="version", version=f"flexibert-nas {__version__}")
    for name, option in declared.items():
        _add(parser, name, option)
    given, unknown = parser.parse_known_args(arguments)
    if unknown:
        flags = [f"--{name}" for name in declared]
        near = get_close_matches(unknown[0].split("=")[0], flags, n=1, cutoff=0.5)
        parser.error(f"unknown argument {unknown[0].split('=')[0]}." + (f" Did you mean '{near[0]}'?" if near else ""))
    return vars(given)


def describe(command: type[CommandOptions]) -> str:
    """What a command does: the first paragraph of its docstring."""
    return " ".join((command.__doc__ or "").partition("\n\n")[0].split())


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        """One sentence instead of the whole usage, and no end of a process that called from Python."""
        raise ValueError(f"{message}\nSee {self.prog} --help")


def _add(parser: argparse.ArgumentParser, name: str, option: Option) -> None:
    """The flag, or the argument, of an option."""
    text = option.help.replace("%", "%%")
    if option.schema.get("positional"):
        parser.add_argument(name, nargs="+" if option.takes_several else None, help=text)
        return
    names = [f"--{name}", *filter(None, [option.schema.get("also")])]
    if option.type == "boolean":
        parser.add_argument(*names, dest=name, action="store_true", help=text)
        return
    shown = shown_default(option).replace("%", "%%")
    parser.add_argument(
        *names,
        dest=name,
        nargs="*" if option.takes_several else None,
        metavar=name.upper() if option.choices is None else f"{{{','.join(option.choices)}}}",
        help=f"{text} (default: {shown})" if shown else text if option.is_optional else f"{text} (needed)",
    )


def shown_default(option: Option) -> str:
    """A default as it is written on the command line; empty where there is none."""
    value = option.default
    if isinstance(value, dict):
        value = ",".join(f"{key}={amount:g}" for key, amount in value.items())
    elif isinstance(value, list | tuple):
        value = " ".join(map(str, value))
    elif isinstance(value, Path) and value.is_relative_to(Path.cwd()):
        value = value.relative_to(Path.cwd())
    return str(value) if value is not None and value != "" and option.is_optional else ""


def run_command(command: Callable[[Sequence[str] | None], None], arguments: Sequence[str] | None = None) -> NoReturn:
    """Run a command's body; ``ValueError`` and file errors become one line on stderr and exit code 2. ``SIGTERM`` ends
    it as Ctrl-C does; its arguments say how to go on."""
    received = [signal.SIGINT]

    def stop(number: int, frame: object) -> NoReturn:
        received[0] = signal.Signals(number)
        raise KeyboardInterrupt

    signal.signal(signal.SIGTERM, stop)
    try:
        check_not_hidden()
        command(arguments)
    except KeyboardInterrupt as end:
        print(". ".join(["stopped", *map(str, end.args)]), file=sys.stderr)
        sys.exit(128 + received[0])
    except ModuleNotFoundError as error:
        told = error if isinstance(error, MissingPackage) else missing_package(error)
        if told is None:
            raise
        print(f"error: {told}", file=sys.stderr)
        sys.exit(2)
    except (ValueError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        sys.exit(2)
    sys.exit(0)
