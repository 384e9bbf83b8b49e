"""Sizes of files, told by specs, beside files that are written."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from flexibert import FlexiBERTForSequenceClassification, file_sizes_mb, stitch
from flexibert.runtimes.int8 import quantize
from flexibert.runtimes.onnx_file import write_onnx

MIXED = {
    "l": 3,
    "o": ["sa", "l", "c"],
    "h": [96, 96, 64],
    "n": [2, 2, 2],
    "f": [[512], [256, 128], [512]],
    "p": ["wma", "dct", 5],
}


def size_mb(model: Any, runtime: str) -> float:
    options = {"num_outputs": model.config.num_labels, "runtime": runtime}
    return float(file_sizes_mb([model.config.model_spec], model.config, **options)[0])


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("positions", ["relative_key", "absolute"])
def test_files_are_as_large_as_the_spec_says(positions: str, tiny: Callable, tmp_path: Path) -> None:
    pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
    config = tiny(MIXED, vocab_size=12_000, position_embedding_type=positions, num_labels=3, max_position_embeddings=90)
    model = FlexiBERTForSequenceClassification(config)
    model.save_pretrained(tmp_path / "model")
    write_onnx(model, tmp_path / "float.onnx")
    quantize(tmp_path / "float.onnx", tmp_path / "whole.onnx")
    files = {
        "torch": tmp_path / "model" / "model.safetensors",
        "torch-compile": tmp_path / "model" / "model.safetensors",
        "onnx": tmp_path / "float.onnx",
        "onnx-int8": tmp_path / "whole.onnx",
    }
    for runtime, file in files.items():
        rel = 0.03 if runtime.startswith("onnx") else 0.005
        assert size_mb(model, runtime) == pytest.approx(file.stat().st_size / 1e6, rel=rel), runtime


def test_in_pytorch_it_is_four_bytes_a_parameter(tiny: Callable, model_dict: dict[str, Any]) -> None:
    model = FlexiBERTForSequenceClassification(tiny(model_dict))
    joint = stitch(model, FlexiBERTForSequenceClassification(tiny(model_dict)))
    for one in (model, joint):
        assert size_mb(one, "torch") == pytest.approx(4 * one.num_parameters() / 1e6)
