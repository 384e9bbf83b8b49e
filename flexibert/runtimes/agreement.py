"""How often two files answer alike, where no labelled rows are at hand: on texts of random tokens.

These lie nearer to where answers change than texts that people write do, so that agreement is rather low.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from .onnx_file import random_inputs
from .onnx_model import OnnxModel

NUM_TEXTS = 256
_BATCH = 16


def agreement_with(model: Any, reference: Path) -> Callable[[Path], float]:
    """A score of ONNX files of a model: the share of answers that are those of the reference, on ``NUM_TEXTS`` random
    texts of several lengths; of numbers, one less the mean difference in standard deviations of the reference's."""
    longest = min(64, model.config.max_position_embeddings)
    lengths = np.linspace(min(4, longest), longest, NUM_TEXTS // _BATCH).astype(int).tolist()
    batches = list(random_inputs(model, [(_BATCH, length) for length in lengths]))
    of_reference = OnnxModel(reference)
    expected = [of_reference(batch) for batch in batches]
    deviation = np.concatenate([outputs[0].ravel() for outputs in expected]).std()

    def score(file: Path) -> float:
        runner = OnnxModel(file)
        shares = [
            1 - np.abs(found - wanted).mean() / deviation
            if wanted.shape[-1] == 1
            else (found.argmax(-1) == wanted.argmax(-1)).mean()
            for batch, outputs in zip(batches, expected, strict=True)
            for found, wanted in zip(runner(batch), outputs, strict=True)
        ]
        return float(np.mean(shares))

    return score
