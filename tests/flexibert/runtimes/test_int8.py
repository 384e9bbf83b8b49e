"""ONNX files in whole numbers of 8 bits."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from flexibert import FlexiBERTForSequenceClassification
from flexibert.runtimes.int8 import parts_of, quantize, quantize_within
from flexibert.runtimes.onnx_file import write_onnx
from flexibert.runtimes.onnx_model import OnnxModel

pytest.importorskip("onnxruntime", reason="needs the extra 'export'")


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_whole_numbers_lose_little_and_take_a_quarter(tiny: Callable, tmp_path: Path) -> None:
    wide = {"l": 2, "o": ["sa", "sa"], "h": [64, 64], "n": [2, 2], "f": [[512]] * 2, "p": ["sdp", "sdp"]}
    model = FlexiBERTForSequenceClassification(tiny(wide, vocab_size=2000, initializer_range=0.05))
    source, target = tmp_path / "float.onnx", tmp_path / "int8.onnx"
    write_onnx(model, source)
    quantize(source, target)
    assert target.stat().st_size < 0.35 * source.stat().st_size
    inputs = {"input_ids": torch.randint(2000, (4, 12)), "attention_mask": torch.ones(4, 12, dtype=torch.long)}
    inputs["token_type_ids"] = torch.zeros_like(inputs["input_ids"])
    of_float, of_whole = (OnnxModel(file)(inputs)[0] for file in (source, target))
    assert 0 < np.abs(of_float - of_whole).max() < 0.05
    parts = parts_of(source)
    assert parts == ["embeddings", "encoder.layer.0", "encoder.layer.1", "pooler", "classifier"]

    sizes = [source.stat().st_size, target.stat().st_size]

    def score(file: Path) -> float:  # loses with what is in whole numbers
        return (file.stat().st_size - sizes[1]) / (sizes[0] - sizes[1])

    drop, in_float = quantize_within(source, tmp_path / "within.onnx", score, 0.6)
    assert drop <= 0.6
    assert in_float[0] in ("encoder.layer.0", "embeddings", "encoder.layer.1")
    assert len(in_float) < len(parts)
    with pytest.raises(
        ValueError, match="must be at least what whole numbers cost. Got 0.1 points, and with one part of 5"
    ):
        quantize_within(source, tmp_path / "never.onnx", score, 0.001)
