"""The version of this project: that of the installed package, which ``pyproject.toml`` gives."""

from importlib.metadata import PackageNotFoundError, version

try:
    __version__ = version("flexibert-nas")
except PackageNotFoundError:  # a copy that is not installed, such as an archive that Ray sends to a worker
    __version__ = "0+unknown"
