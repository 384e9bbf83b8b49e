"""The distribution: its version, which is that of the installed package as ``pyproject.toml`` gives it, and its extras.

The core (architectures, models, conversion, pruning, distillation) needs torch, transformers and small packages; what
else is needed is an extra, as ``pip install 'flexibert-nas[search]'`` installs it.
"""

import contextlib
from collections.abc import Iterator, Mapping
from importlib.metadata import PackageNotFoundError, version

DISTRIBUTION = "flexibert-nas"
try:
    __version__ = version(DISTRIBUTION)
except PackageNotFoundError:  # a copy that is not installed, such as an archive that Ray sends to a worker
    __version__ = "0+unknown"

EXTRAS: Mapping[str, tuple[str, ...]] = {
    "search": (
        *("accelerate", "botorch", "datasets", "gpytorch", "joblib", "linear_operator"),
        *("matplotlib", "optuna", "pandas", "psutil", "pyarrow", "ray", "seqeval", "sklearn"),
        "threadpoolctl",
    ),
    "serve": ("fastapi", "multipart", "python_multipart", "starlette", "uvicorn"),
    "export": ("onnx", "onnxruntime", "onnxscript"),
    "track": ("mlflow", "tensorboard", "wandb"),
}
"""Extra -> modules that it brings, and torch does not."""


class MissingPackage(ModuleNotFoundError):
    """A module that is not there, or not in the version that is, with the extra that brings it."""


def missing_package(error: ModuleNotFoundError) -> MissingPackage | None:
    """The error that names the extra; None for a module that no extra brings."""
    module, _, within = (error.name or "").partition(".")
    for extra, modules in EXTRAS.items():
        if module in modules:
            said = f"This needs the package '{module}', which is not installed"
            if within:  # of another version
                said = f"The package '{module}' that is installed has no '{error.name}', so another version is needed"
            return MissingPackage(f"{said}: pip install '{DISTRIBUTION}[{extra}]'", name=error.name)
    return None


@contextlib.contextmanager
def extras_told() -> Iterator[None]:
    """For imports that need an extra.

    Raises:
        MissingPackage: in place of an error that does not name it.
    """
    try:
        yield
    except ModuleNotFoundError as error:
        told = None if isinstance(error, MissingPackage) else missing_package(error)
        if told is None:
            raise
        raise told from error
