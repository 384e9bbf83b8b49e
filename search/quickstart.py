"""What ``make search`` runs: the seed's walk on the embedded data, two levels of the hierarchy, in one process.

Specify the space (``quickstart.yaml``) -> graph library -> BOSHNAS on Ray -> next level -> BOSHNAS again -> the best
of both, tested. Every step prints the command that does the same. Steps that are done are not repeated, so a run that
was stopped or killed goes on when started again.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from rich.console import Console

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import Count, Place, Whole, as_flags, options
from embeddings.generate_library import generate_library

from .records.run_directory import RunDirectory
from .runs.hierarchy import search_levels
from .runs.options import parse
from .tune.cluster import ray_cluster

SPACE = str(files("design_space") / "quickstart.yaml")
RECIPE = str(files("search") / "quickstart.yaml")


@options
class QuickstartOptions(CommandOptions):
    """A real two-level search on the embedded data."""

    prog: ClassVar[str] = "python -m search.quickstart"
    run_dir: Place = Path("runs/quickstart")
    """Where everything goes; goes on with what is there."""
    trials: Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)] = (7, 6)
    """Trials of the first and of the second level."""
    seed: Whole = 0
    """Seed of the search."""
    config: Place | None = None
    """YAML file with flags of run_boshnas; our own when not given."""


def quickstart(arguments: Sequence[str] | None = None) -> None:
    """Read the options and run what is not done yet."""
    options = read_options(QuickstartOptions, arguments)
    console, directory = Console(), RunDirectory(options.run_dir)
    if directory.summary_file.exists():
        console.print(
            f"{directory.path} holds a finished search: see {directory.summary_file}.", highlight=False, soft_wrap=True
        )
        console.print(
            "For another one, remove it or choose another folder: make search RUN_DIR=runs/another", highlight=False
        )
        return
    if directory.path.exists() and any(directory.path.iterdir()):
        console.print(f"Going on with the search in {directory.path}", highlight=False, soft_wrap=True)
    library = directory.path / "library-1.json"
    values: dict[str, Any] = {
        "dataset_file": library,
        "run_dir": directory.path,
        "config": options.config or RECIPE,
        "levels": "2,1",
    }
    values |= {"max_trials": ",".join(map(str, options.trials)), "seed": options.seed, "resume": directory.exists()}
    plugins = {"plugin": list(options.plugin)}
    flags = as_flags(values | plugins)
    with ray_cluster(None):
        if not library.exists():
            made = as_flags({"design_space": SPACE, "dataset_file": library, "layers_per_stack": 2} | plugins)
            _announce("graph library", "generate_library", made, console)
            generate_library(made)
        _announce("BOSHNAS, level by level", "run_boshnas", flags, console)
        search_levels(parse(flags), console, max_graphs=1000)


def _announce(step: str, command: str, flags: Sequence[str], console: Console) -> None:
    console.rule(step)
    console.print(f"$ {command} {' '.join(flags)}", highlight=False, soft_wrap=True, style="dim")


def main() -> None:
    """Entry point of ``python -m search.quickstart``."""
    run_command(quickstart)


if __name__ == "__main__":
    main()
