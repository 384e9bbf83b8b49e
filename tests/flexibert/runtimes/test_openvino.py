"""OpenVINO's files, where it is installed."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flexibert import FlexiBERTForSequenceClassification
from flexibert.runtimes.onnx_file import random_inputs, write_onnx
from flexibert.runtimes.openvino_files import check_openvino, write_openvino
from tests.flexibert.conftest import HETERO, STANDARD


def test_without_it_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(ValueError, match=r"openvino must be installed: pip install 'flexibert-nas\[openvino\]'"):
        check_openvino()


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize("model_dict", [STANDARD, HETERO], ids=["standard", "hetero"])
def test_its_files_answer_as_pytorch_does(model_dict: dict[str, Any], tiny: Callable, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino", reason="needs the extra 'openvino'")
    model = FlexiBERTForSequenceClassification(tiny(model_dict, max_position_embeddings=40)).eval()
    write_onnx(model, tmp_path / "model.onnx")
    assert [file.name for file in write_openvino(model, tmp_path / "model.onnx", tmp_path)] == [
        "model.xml",
        "model.bin",
    ]
    run = openvino.Core().compile_model(tmp_path / "model.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for inputs in random_inputs(model, [(1, 1), (3, 32)]):
        found = run({name: tensor.numpy() for name, tensor in inputs.items()})["logits"]
        torch.testing.assert_close(torch.from_numpy(found), model(**inputs).logits.detach(), atol=1e-4, rtol=1e-4)
