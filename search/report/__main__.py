"""The command ``python -m search.report RUN_DIR``."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from design_space.command import ArgumentParser, run_command

from .page import write_report


def report(arguments: Sequence[str] | None = None) -> None:
    """Parse the flags and write ``report.html`` into the run directory."""
    parser = ArgumentParser(prog="python -m search.report", description="Write report.html of a search run.")
    parser.add_argument("run_dir", type=Path, help="the run directory, finished or not; report.html is written there")
    options = parser.parse_args(arguments)
    path = write_report(options.run_dir.absolute())
    Console().print(f"Report: {path}", highlight=False, soft_wrap=True)


if __name__ == "__main__":
    run_command(report)
