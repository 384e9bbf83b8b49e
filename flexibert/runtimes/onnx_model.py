"""ONNX files run by ONNX Runtime on the processor, and how long that takes."""

import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

_WARM_UPS = 3


class OnnxModel:
    """An ONNX file, ready to run.

    Args:
        threads: that one run uses.
    """

    def __init__(self, file: Path, *, threads: int = 1) -> None:
        import onnxruntime  # an extra: only who exports needs it

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3
        self._session = onnxruntime.InferenceSession(file, options, providers=["CPUExecutionProvider"])
        self.input_names = [each.name for each in self._session.get_inputs()]

    def __call__(self, inputs: Mapping[str, Tensor]) -> list[np.ndarray[Any, Any]]:
        """Its outputs for tensors by name; those that it does not take are left out."""
        return self._session.run(None, {name: inputs[name].numpy() for name in self.input_names})


class Quantiles(NamedTuple):
    """Milliseconds of the median run, and of that which 95 of 100 are no slower than."""

    p50_ms: float
    p95_ms: float


def time_in_turn(runs: Sequence[Callable[[], object]], *, repeats: int = 60) -> list[Quantiles]:
    """How long each takes. They run one after the other, again and again: what slows the machine for a while slows all
    of them."""
    times: list[list[float]] = [[] for _ in runs]
    for number in range(_WARM_UPS + repeats):
        for run, of_run in zip(runs, times, strict=True):
            start = time.perf_counter()
            run()
            if number >= _WARM_UPS:
                of_run.append(1000 * (time.perf_counter() - start))
    return [Quantiles(*(float(value) for value in np.quantile(of_run, (0.5, 0.95)))) for of_run in times]
