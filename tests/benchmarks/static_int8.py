"""Whether 8-bit numbers with scales that were measured before (static) are better than with scales as they come.

    python -m tests.benchmarks.static_int8 PREPARED_DATA MODEL_FOLDER [MODEL_FOLDER ...] [--rows 2000]

For each folder: accuracy on held-out rows, each text by itself, and milliseconds in turn on one thread, of the model in
float, in 8-bit numbers as they are exported, and in three ways of ONNX Runtime's static quantisation, calibrated on
rows of the training split.
"""

import argparse
import logging
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from onnxruntime.quantization import CalibrationDataReader, CalibrationMethod, QuantFormat, QuantType, quantize_static
from torch import Tensor
from torch.utils.data import DataLoader

from dataset import PreparedData
from flexibert import measure_in_turn
from flexibert.runtimes.int8 import quantize
from flexibert.runtimes.onnx_file import write_onnx
from flexibert.runtimes.onnx_model import OnnxModel
from search.training.collators import collator
from search.training.task_heads import model_class

PRODUCTS = ["MatMul", "Gemm", "Gather"]
WAYS: dict[str, dict[str, Any]] = {
    "static: products": {"op_types_to_quantize": PRODUCTS},
    "static: products, 99.99 %": {
        "op_types_to_quantize": PRODUCTS,
        "calibrate_method": CalibrationMethod.Percentile,
        "extra_options": {"CalibPercentile": 99.99},
    },
    "static: everything": {},
}


class Rows(CalibrationDataReader):
    """Rows as ONNX Runtime asks for them, all padded to one length: percentiles of it are taken of equal shapes."""

    def __init__(self, rows: Sequence[dict[str, Tensor]], names: Sequence[str]) -> None:
        self._rows = iter([{name: row[name].numpy() for name in names} for row in rows])

    def get_next(self) -> dict[str, Any] | None:
        """The next row; None after the last."""
        return next(self._rows, None)


def main() -> None:
    """Read the arguments, quantise, measure, and print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--rows", type=int, default=2000)
    parser.add_argument("--calibration", type=int, default=128)
    arguments = parser.parse_args()
    logging.disable(logging.WARNING)
    data = PreparedData.load(arguments.data)
    print("| model | M | numbers | score | MB | 1 x 32 ms | 8 x 64 ms |\n| --- | --- | --- | --- | --- | --- | --- |")
    for folder in arguments.folders:
        model = model_class(data).from_pretrained(folder).eval()
        with tempfile.TemporaryDirectory() as temporary:
            files = _files(model, data, Path(temporary), arguments.calibration)
            runners = {name: OnnxModel(file) for name, file in files.items()}
            times = [
                measure_in_turn([model, *runners.values()], batch_size=size, length=length, threads=1, repeats=60)[1:]
                for size, length in ((1, 32), (8, 64))
            ]
            for (name, runner), short, long in zip(runners.items(), *times, strict=True):
                score = _score(runner, model, data, arguments.rows)
                size = files[name].stat().st_size / 1e6
                cells = [folder.name[:8], f"{model.num_parameters() / 1e6:.1f}", name, f"{100 * score:.2f}"]
                cells += [f"{size:.1f}", f"{short.median_ms:.2f}", f"{long.median_ms:.1f}"]
                print(f"| {' | '.join(cells)} |", flush=True)


def _files(model: Any, data: PreparedData, folder: Path, count: int) -> dict[str, Path]:
    files = {"float": folder / "float.onnx", "dynamic": folder / "dynamic.onnx"}
    write_onnx(model, files["float"])
    quantize(files["float"], files["dynamic"])
    names = ["input_ids", "attention_mask", *(["token_type_ids"] if model.config.type_vocab_size > 1 else [])]
    rows = [
        data.tokenizer.pad(
            {name: row[name] for name in ("input_ids", "attention_mask")},
            padding="max_length",
            max_length=data.max_length,
            return_tensors="pt",
        )
        for row in data.split("train").select(range(count))
    ]
    padded = [{name: tensor[None] for name, tensor in row.items()} for row in rows]
    padded = [{"token_type_ids": row["input_ids"] * 0, **row} for row in padded]
    for name, options in WAYS.items():
        files[name] = folder / f"{len(files)}.onnx"
        quantize_static(
            files["float"],
            files[name],
            Rows(padded, names),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            weight_type=QuantType.QInt8,
            activation_type=QuantType.QUInt8,
            **options,
        )
    return files


def _score(runner: OnnxModel, model: Any, data: PreparedData, count: int) -> float:
    split = "test" if "test" in data.sizes else "validation"
    rows = data.split(split).select(range(min(count, data.sizes[split])))
    loader = DataLoader(rows, batch_size=1, collate_fn=collator(data, model.config.model_spec))
    right = [int(runner(batch)[0].argmax() == batch["labels"][0]) for batch in loader]
    return float(np.mean(right))


if __name__ == "__main__":
    main()
