"""OpenVINO's files of an exported model, made of its ONNX file by OpenVINO itself, and compared with it."""

import importlib.util
from pathlib import Path
from typing import Any

import numpy as np

from .onnx_file import random_inputs
from .onnx_model import OnnxModel

FILE = "model.xml"
_SIZES = [(1, 1), (1, 16), (3, 16)]
_MOST = 1e-4
"""The largest difference from ONNX Runtime, as a share of the largest output where that is above 1."""


def check_openvino() -> None:
    """Raises ``ValueError`` when OpenVINO is not installed."""
    if importlib.util.find_spec("openvino") is None:
        raise ValueError("For --runtime openvino, openvino must be installed: pip install 'flexibert-nas[openvino]'")


def write_openvino(model: Any, onnx_file: Path, folder: Path) -> list[Path]:
    """Write ``model.xml`` and ``model.bin``, in the numbers of the ONNX file, and run them in 32-bit floats.

    Args:
        model: whose file it is.

    Returns:
        The two files.

    Raises:
        ValueError: when OpenVINO cannot read the file, or answers otherwise than ONNX Runtime.
    """
    import openvino

    file = folder / FILE
    try:
        openvino.save_model(openvino.convert_model(onnx_file), file, compress_to_fp16=False)
        run = openvino.Core().compile_model(file, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    except RuntimeError as error:
        raise ValueError(f"OpenVINO cannot read the model: {str(error).strip().splitlines()[0]}") from error
    of_onnx = OnnxModel(onnx_file)
    for inputs in random_inputs(model, _SIZES):
        wanted = of_onnx(inputs)
        found = list(run({name: inputs[name].numpy() for name in of_onnx.input_names}).values())
        for one, other in zip(found, wanted, strict=True):
            difference = float(np.abs(one - other).max()) / max(1.0, float(np.abs(other).max()))
            if not difference <= _MOST:
                raise ValueError(f"OpenVINO answers otherwise than ONNX Runtime, by {difference:.1g}; leave it out")
    return [file, file.with_suffix(".bin")]
