"""The command ``python -m search.report RUN_DIR``."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from rich.console import Console

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import ARGUMENT, Place, options
from design_space.plugins import load_plugins

from ..records.run_directory import RunDirectory
from .page import write_report


@options
class ReportOptions(CommandOptions):
    """Write report.html of a search run."""

    prog: ClassVar[str] = "python -m search.report"
    run_dir: Annotated[Place, ARGUMENT]
    """The run directory, finished or not; report.html is written there."""


def report(arguments: Sequence[str] | None = None) -> None:
    """Read the options and write ``report.html`` into the run directory."""
    run_dir = read_options(ReportOptions, arguments).run_dir
    load_plugins(RunDirectory(run_dir).saved_config().get("plugin") or ())
    path = write_report(run_dir)
    Console().print(f"Report: {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(report)
