"""What ``make search`` runs: the seed's walk on the embedded data, two levels of the hierarchy, in one process.

Specify the space (``quickstart.yaml``) -> graph library -> BOSHNAS on Ray -> next level -> BOSHNAS again -> the best
of both, tested. Every step prints the command that does the same. Steps that are done are not repeated, so a run that
was stopped or killed goes on when started again.
"""

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path

from rich.console import Console

from design_space.command import ArgumentParser, run_command
from embeddings.generate_library import generate_library

from .records.run_directory import RunDirectory
from .runs.hierarchy import search_levels
from .runs.options import parse
from .tune.cluster import ray_cluster

SPACE = str(files("design_space") / "quickstart.yaml")
RECIPE = str(files("search") / "quickstart.yaml")


def quickstart(arguments: Sequence[str] | None = None) -> None:
    """Parse the flags and run what is not done yet."""
    parser = ArgumentParser(
        prog="python -m search.quickstart", description="A real two-level search on the embedded data."
    )
    parser.add_argument(
        "--run_dir",
        type=Path,
        default=Path("runs/quickstart"),
        help="where everything goes; goes on with what is there",
    )
    parser.add_argument(
        "--trials", type=int, nargs=2, default=[7, 6], metavar=("FIRST", "SECOND"), help="trials per level"
    )
    parser.add_argument("--seed", type=int, default=0, help="seed of the search")
    parser.add_argument("--config", type=Path, default=Path(RECIPE), help="YAML file with flags of run_boshnas")
    options = parser.parse_args(arguments)
    console, directory = Console(), RunDirectory(options.run_dir.absolute())
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
    flags = ["--dataset_file", str(library), "--run_dir", str(directory.path), "--config", str(options.config)]
    flags += ["--levels", "2,1", "--max_trials", ",".join(map(str, options.trials)), "--seed", str(options.seed)]
    flags += ["--resume"] if directory.exists() else []
    with ray_cluster(None):
        if not library.exists():
            made = ["--design_space", SPACE, "--dataset_file", str(library), "--layers_per_stack", "2"]
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
