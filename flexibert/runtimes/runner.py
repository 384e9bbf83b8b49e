"""What runs a model: PyTorch, as it is or compiled, or ONNX Runtime, in float or in whole numbers of 8 bits."""

import copy
import functools
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, get_args

import torch
from torch import Tensor

from .int8 import quantize
from .onnx_file import check_packages, write_onnx
from .onnx_model import OnnxModel

Runtime = Literal["torch", "torch-compile", "onnx", "onnx-int8"]
RUNTIMES: tuple[str, ...] = get_args(Runtime)

_TITLES = {
    "torch": "PyTorch",
    "torch-compile": "compiled PyTorch",
    "onnx": "ONNX Runtime",
    "onnx-int8": "ONNX Runtime with 8-bit numbers",
}
_DEVICES = {"cpu": "the CPU", "cuda": "the GPU"}

_MOST_COMPILED = 10_000
"""Models of one class in a process."""


def check_runtime(name: str) -> None:
    """Raises ``ValueError`` for a name that is none of ``RUNTIMES``, and for one whose packages, or whose compiler, are
    missing."""
    if name not in RUNTIMES:
        raise ValueError(f"'runtime' must be one of {', '.join(RUNTIMES)}. Got {name!r}")
    if name.startswith("onnx"):
        check_packages()
    if name == "torch-compile":
        _check_compiler()


def runtime_title(runtime: str) -> str:
    """What people call a runtime."""
    return _TITLES.get(runtime, runtime)


def described(runtime: str, device: str, threads: int) -> str:
    """What ran a model and where, in words: ``PyTorch on the CPU with 1 thread``."""
    place = _DEVICES.get(device, device)
    return f"{runtime_title(runtime)} on {place} with {threads} thread{'s' * (threads > 1)}"


def runner(model: Any, runtime: str, *, threads: int = 1) -> Callable[[Mapping[str, Tensor]], object]:
    """What takes tensors by name and runs the model.

    Args:
        runtime: one of ``RUNTIMES``; those of ONNX run on the processor.
        threads: that ONNX Runtime uses; those of torch are set elsewhere.
    """
    if runtime.startswith("torch"):
        run = _compiled(model) if runtime == "torch-compile" else model
        return lambda inputs: run(**inputs)
    with tempfile.TemporaryDirectory() as folder:
        file, whole = Path(folder) / "float.onnx", Path(folder) / "int8.onnx"
        write_onnx(model if model.device.type == "cpu" else copy.deepcopy(model).cpu(), file)
        if runtime == "onnx-int8":
            quantize(file, whole)
            file = whole
        return OnnxModel(file, threads=threads)


def _compiled(model: Any) -> Any:
    """Compiled for itself: by default the ninth model of a class would run as it is, and the second one of another
    width for any width."""
    torch.compiler.config.recompile_limit = _MOST_COMPILED
    torch.compiler.config.accumulated_recompile_limit = _MOST_COMPILED
    torch.compiler.config.fail_on_recompile_limit_hit = True
    return torch.compile(model, dynamic=False)


@functools.cache
def _check_compiler() -> None:
    try:
        torch.compile(torch.nn.GELU())(torch.ones(2))
    except Exception as error:  # each way to have no compiler ends in another class
        reason = next((line for line in str(error).splitlines() if line.strip()), type(error).__name__)
        raise ValueError(
            "'runtime' torch-compile needs a C++ compiler, g++ or what the variable CXX names. torch.compile says: "
            f"{reason}"
        ) from error
