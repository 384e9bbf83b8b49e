"""The command ``python -m search.track``: a run, going on or finished, told to a tracker."""

from collections.abc import Sequence
from typing import Annotated, ClassVar

from pydantic import Field
from rich.console import Console

from design_space.command import CommandOptions, read_options, run_command
from design_space.options import ARGUMENT, Place, options
from design_space.plugins import load_plugins

from .records.run_directory import RunDirectory
from .tracking.destinations import Destination
from .tracking.follow import tell_all


@options
class TrackOptions(CommandOptions):
    """Tell a tracker of a run; what it knows already is not told twice."""

    prog: ClassVar[str] = "python -m search.track"
    run_dir: Annotated[Place, ARGUMENT]
    """The run directory."""
    track: Annotated[tuple[Destination, ...], Field(min_length=1)]
    """Where to: mlflow[:URI], tensorboard:DIR or wandb[:PROJECT]."""


def track(arguments: Sequence[str] | None = None) -> None:
    """Read the options and tell; of a run with levels, each of them."""
    options = read_options(TrackOptions, arguments)
    load_plugins(RunDirectory(options.run_dir).saved_config().get("plugin") or ())
    for path in sorted(options.run_dir.glob("level-*")) or [options.run_dir]:
        num_trials = tell_all(RunDirectory(path), options.track)
        told = ", ".join(options.track)
        Console().print(f"{path}: {num_trials} trials are in {told}", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    run_command(track)
