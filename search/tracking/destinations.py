"""Where a run is tracked: ``mlflow:URI``, ``tensorboard:DIR`` or ``wandb[:PROJECT]``, as ``--track`` takes them."""

import importlib
import importlib.util
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator

from design_space.options import below_home
from design_space.version import DISTRIBUTION

from .stories import RunStory
from .tracker import Tracker

SQLITE = "sqlite:///"
TRACKERS = {
    "mlflow": (".mlflow_runs", "MlflowRuns", "mlflow"),
    "tensorboard": (".tensorboard_files", "TensorboardFiles", "tensorboard"),
    "wandb": (".wandb_runs", "WandbRuns", "wandb"),
}
"""Name -> module, class, and the package that it needs."""


def destination(text: str) -> str:
    """A destination with its paths written out.

    Raises:
        ValueError: for what is none, or one with a password, which would be written down.
    """
    name, _, place = text.partition(":")
    if name not in TRACKERS or (name == "tensorboard" and not place):
        raise ValueError(f"must be mlflow[:URI], tensorboard:DIR or wandb[:PROJECT]. Got {text!r}")
    if name == "mlflow" and urlsplit(place).password:
        raise ValueError("must not hold a password: set MLFLOW_TRACKING_URI, and give mlflow alone. Got one")
    sqlite = SQLITE if name == "mlflow" and place.startswith(SQLITE) else ""
    if place and (sqlite or name == "tensorboard" or (name == "mlflow" and ":" not in place)):
        place = sqlite + str(below_home(place.removeprefix(sqlite)).absolute())
    return f"{name}:{place}" if place else name


Destination = Annotated[str, AfterValidator(destination)]
"""An option that takes one."""


def check_packages(destinations: tuple[str, ...]) -> None:
    """Raises ``ValueError`` where a tracker's package is not installed."""
    for text in destinations:
        package = TRACKERS[text.partition(":")[0]][2]
        if importlib.util.find_spec(package) is None:
            raise ValueError(f"To track by {text}, {package} must be installed: pip install '{DISTRIBUTION}[track]'")


def tracker(text: str, run: RunStory) -> Tracker:
    """The tracker of a run at a destination."""
    name, _, place = text.partition(":")
    module, kind, _ = TRACKERS[name]
    made: Tracker = getattr(importlib.import_module(module, __package__), kind)(place, run)
    return made
