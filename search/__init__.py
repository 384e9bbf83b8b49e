"""The search: BOSHNAS as ask/tell, a Ray Tune searcher around it, the training of candidates, and the commands."""

from typing import TYPE_CHECKING, Any

from design_space.version import __version__

if TYPE_CHECKING:
    from .candidate import Candidate, Origin
    from .optimizer.boshnas import BOSHNAS
    from .optimizer.settings import BOSHNASSettings
    from .tune.searcher import BOSHNASSearch

_HOMES = {
    "BOSHNAS": "optimizer.boshnas",
    "BOSHNASSettings": "optimizer.settings",
    "BOSHNASSearch": "tune.searcher",
    "Candidate": "candidate",
    "Origin": "candidate",
}

__all__ = ["BOSHNAS", "BOSHNASSearch", "BOSHNASSettings", "Candidate", "Origin", "__version__"]


def __getattr__(name: str) -> Any:
    """Import a public name when it is first used: workers and ``--help`` need neither Ray nor BoTorch."""
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(f".{_HOMES[name]}", __name__), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
