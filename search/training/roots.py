"""The pre-trained encoders that a search starts from, as its parts know them."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from design_space import ModelSpec


@dataclass(frozen=True, kw_only=True)
class Roots:
    """Encoders that are ready.

    Attributes:
        folders: by name, the reference first.
        specs: their architectures, by name.
        network: options of the configuration that all models share.
        title: what people call the first.
    """

    folders: Mapping[str, Path]
    specs: Mapping[str, ModelSpec]
    network: Mapping[str, Any]
    title: str

    @property
    def reference(self) -> ModelSpec:
        """The architecture of the first."""
        return next(iter(self.specs.values()))
