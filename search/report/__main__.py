"""The command ``python -m search.report RUN_DIR ...``."""

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, ClassVar

from rich.console import Console

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import ARGUMENT, Place, options
from design_space.plugins import load_plugins

from ..records.run_directory import RunDirectory
from .page import write_report
from .several import write_several


@options
class ReportOptions(CommandOptions):
    """Write report.html of a search run, or compare several runs."""

    prog: ClassVar[str] = "python -m search.report"
    run_dir: Annotated[tuple[Place, ...], ARGUMENT]
    """The run directory, finished or not; report.html is written there. Of several, the best models are compared."""
    output: Place = Path("comparison.html")
    """The page that compares several runs."""


def report(arguments: Sequence[str] | None = None) -> None:
    """Read the options and write the page."""
    given = read_options(ReportOptions, arguments)
    for run_dir in given.run_dir:
        load_plugins(RunDirectory(run_dir).saved_config().get("plugin") or ())
    console = Console()
    if len(given.run_dir) == 1:
        console.print(f"Report: {write_report(given.run_dir[0])}", highlight=False, soft_wrap=True)
        return
    for one in write_several(given.run_dir, given.output):
        score = "no trial has finished"
        if one.score is not None:
            value, low, high = one.score
            score = f"{one.run.metric} {value:.4f} ({low:.4f} to {high:.4f}) on {one.rows}"
        console.print(f"{one.run.directory.path.name}: {score}", highlight=False, soft_wrap=True)
    console.print(f"Comparison: {given.output}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(report)
