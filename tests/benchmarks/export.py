"""What exported models cost and score: PyTorch, ONNX and 8-bit numbers, on one thread, in turn.

    python -m tests.benchmarks.export PREPARED_DATA MODEL_FOLDER [MODEL_FOLDER ...]

For each folder, the first of which is the reference: milliseconds of one text of 32 tokens and of 8 of 64, file sizes,
and the task's score on the test split (or validation) of the model and of both files.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch.utils.data import DataLoader

from dataset import PreparedData
from flexibert.export.folder import measured
from flexibert.runtimes.int8 import quantize
from flexibert.runtimes.onnx_file import write_onnx
from flexibert.runtimes.onnx_model import OnnxModel
from search.training.collators import collator
from search.training.evaluate import outputs_on
from search.training.task_heads import model_class

KINDS = ("torch", "ONNX", "int8")


def main() -> None:
    """Read the arguments, export, measure, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folders", nargs="+", type=Path)
    arguments = parser.parse_args()
    data = PreparedData.load(arguments.data)
    split = "test" if "test" in data.sizes else "validation"
    columns = ["model", "M", *(f"{size}: {name}" for size in ("1 x 32", "8 x 64") for name in KINDS)]
    print(f"| {' | '.join([*columns, *(f'score: {name}' for name in KINDS), 'MB'])} |")
    print("| --- " * 12 + "|")
    for folder in arguments.folders:
        model = model_class(data).from_pretrained(folder).eval()
        with tempfile.TemporaryDirectory() as temporary:
            of_float, whole = Path(temporary) / "float.onnx", Path(temporary) / "int8.onnx"
            write_onnx(model, of_float)
            quantize(of_float, whole)
            times = [measured(model, file) for file in (of_float, whole)]
            cells = [
                f"{latency.median_ms:.2f}"
                for plain, small in zip(*times, strict=True)
                for latency in (plain.torch, plain.onnx, small.onnx)
            ]
            outputs = [outputs_on(data.split(split), model, data)]
            outputs += [_outputs(file, model, data, split) for file in (of_float, whole)]
            scores = [f"{100 * data.measure(each, split)[data.metric]:.1f}" for each in outputs]
            size = f"{of_float.stat().st_size / 1e6:.1f}, {whole.stat().st_size / 1e6:.1f}"
            parameters = f"{model.num_parameters() / 1e6:.1f}"
        print(f"| {folder.name[:12]} | {parameters} | {' | '.join([*cells, *scores])} | {size} |", flush=True)


def _outputs(file: Path, model: Any, data: PreparedData, split: str) -> np.ndarray:
    """Logits of a file for all rows, one text at a time."""
    runner, rows = OnnxModel(file), data.split(split)
    loader = DataLoader(rows, batch_size=1, collate_fn=collator(data, model.config.model_spec))
    with torch.no_grad():
        return np.concatenate([runner(batch)[0] for batch in loader])


if __name__ == "__main__":
    main()
