"""ONNX files run by ONNX Runtime on the processor."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor


class OnnxModel:
    """An ONNX file, ready to run.

    Args:
        threads: that one run uses.
    """

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        import onnxruntime  # an extra: only who exports needs it

        self.threads = threads
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.input_names = [each.name for each in self._session.get_inputs()]

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[np.ndarray[Any, Any]]:
        """Its outputs for tensors by name. Those that it does not take are left out; segments that are not given are
        all of the first text."""
        known = {"token_type_ids": torch.zeros_like(inputs["input_ids"]), **inputs}
        return self._session.run(None, {name: known[name].cpu().numpy() for name in self.input_names})
