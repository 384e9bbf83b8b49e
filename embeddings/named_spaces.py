"""The spaces that come along, by name: ``--design_space small`` means the same in every folder."""

from collections.abc import Mapping
from importlib.resources import files
from pathlib import Path
from typing import Annotated

from pydantic import BeforeValidator

from design_space.options import below_home

SPACES: Mapping[str, str] = {
    "full": "design_space.yaml",
    "hetero": "design_space_hetero.yaml",
    "small": "design_space_small.yaml",
    "test": "design_space_test.yaml",
    "quickstart": "quickstart.yaml",
}
"""Name -> file of the package ``design_space``."""


def space_file(name: str | Path) -> Path:
    """The YAML file of a space.

    Args:
        name: one of ``SPACES``, or a path.

    Raises:
        ValueError: for what is neither a name nor a file.
    """
    if str(name) in SPACES:
        return Path(str(files("design_space") / SPACES[str(name)]))
    path = below_home(name).absolute()
    if not path.suffix and not path.exists():
        raise ValueError(f"must be a YAML file, or one of {', '.join(SPACES)}. Got '{name}'")
    return path


SpaceFile = Annotated[Path, BeforeValidator(space_file)]
"""An option that takes either."""
