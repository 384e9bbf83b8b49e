"""Models in ONNX, run by ONNX Runtime at sizes they were not exported with."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from flexibert import FlexiBERTForNextSentencePrediction, FlexiBERTForSequenceClassification, stitch
from flexibert.runtimes.onnx_file import write_onnx
from flexibert.vision.configuration_flexivit import FlexiViTConfig
from flexibert.vision.modeling_flexivit import FlexiViTModel
from tests.conftest import ROOT

onnxruntime = pytest.importorskip("onnxruntime", reason="needs the extra 'export'")
STANDARD = {
    "l": 4,
    "o": ["sa", "l", "c", "l"],
    "h": [16, 24, 24, 24],
    "n": [2, 2, 3, 2],
    "f": [[32, 16], [16], [16], [16]],
    "p": ["wma", "dft", 5, "dct"],
}
PLAIN = {"l": 2, "o": ["sa", "c"], "h": [32, 32], "n": [4, 4], "f": [[32]] * 2, "p": ["sdp", 5]}
HETERO = {"l": 1, "o": [["sa_sdp_8", "c_5_8", "l_dft_8", "sa_wma_8", "l_dct_8"]], "h": [16], "f": [[16]]}


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    ("model_dict", "positions", "options"),
    [
        (STANDARD, "relative_key", {}),
        (STANDARD, "absolute", {}),
        (PLAIN, "relative_key", {}),
        (HETERO, "relative_key", {}),
        (PLAIN, "absolute", {"pooling": "mean", "word_vector_size": 12}),
    ],
    ids=["standard", "absolute", "plain", "hetero", "mean"],
)
def test_onnx_runtime_computes_the_same(
    model_dict: dict[str, Any], positions: str, options: dict[str, Any], tiny: Callable, tmp_path: Path
) -> None:
    config = tiny(model_dict, max_position_embeddings=40, position_embedding_type=positions, **options)
    model = FlexiBERTForSequenceClassification(config).eval()
    example = {"input_ids": torch.randint(5, 41, (2, 17)), "attention_mask": torch.ones(2, 17, dtype=torch.long)}
    sizes = {0: "batch", 1: "length"}
    program = torch.onnx.export(
        model, (), kwargs=example, dynamic_shapes={name: sizes for name in example}, dynamo=True, verbose=False
    )
    assert program is not None
    program.save(tmp_path / "model.onnx")
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    for shape in ((2, 17), (3, 32), (1, 9), (2, 2), (3, 1)):
        ids = torch.randint(5, 41, shape)
        mask = torch.ones_like(ids)
        mask[0, 6:] = 0
        (found,) = session.run(None, {"input_ids": ids.numpy(), "attention_mask": mask.numpy()})
        with torch.no_grad():
            expected = model(ids, mask).logits
        torch.testing.assert_close(torch.from_numpy(found), expected, atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.filterwarnings("ignore::torch.jit.TracerWarning")
def test_the_older_exporter_knows_every_operation(tiny: Callable, tmp_path: Path) -> None:
    model = Logits(FlexiBERTForSequenceClassification(tiny(STANDARD)).eval())
    ids = torch.randint(5, 41, (2, 9))
    torch.onnx.export(model, (ids, torch.ones_like(ids)), tmp_path / "model.onnx", dynamo=False)
    session = onnxruntime.InferenceSession(tmp_path / "model.onnx")
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    names = [each.name for each in session.get_inputs()]
    (found,) = session.run(None, dict(zip(names, (ids.numpy(), mask.numpy()), strict=True)))
    with torch.no_grad():
        torch.testing.assert_close(torch.from_numpy(found), model(ids, mask), atol=1e-4, rtol=1e-4)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
def test_every_other_head_and_grouped_models(tiny: Callable, tmp_path: Path) -> None:
    config = tiny(PLAIN)
    classifiers = [FlexiBERTForSequenceClassification(config) for _ in range(2)]
    for number, model in enumerate((FlexiBERTForNextSentencePrediction(config), stitch(*classifiers))):
        assert write_onnx(model, tmp_path / f"{number}.onnx") < 1e-5


def test_what_is_no_number_is_no_agreement(tiny: Callable, tmp_path: Path) -> None:
    model = FlexiBERTForSequenceClassification(tiny(PLAIN)).eval()
    model.classifier.weight.data[0, 0] = float("nan")
    with pytest.raises(ValueError, match="outputs must be finite numbers"):
        write_onnx(model, tmp_path / "model.onnx")


BESSEL = """
from pathlib import Path
import torch
from design_space import Names, Operation, register_operation
from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
from flexibert.mixing import Flops, HeadOperation, register_head_operation
from flexibert.runtimes.onnx_file import random_inputs, write_onnx

register_operation(Operation(name="bessel", meaning="values through a function", parameters=Names(("j1",))))

class BesselHeads(HeadOperation):
    name, maps_zero_to_zero = "bessel", True
    def mix(self, inputs, own, parameter):
        return torch.special.bessel_j1(inputs.padding.zeroed(inputs.value))
    def flops(self, parameter, size, length):
        return Flops(products=0, other=size * length)

register_head_operation(BesselHeads())
layers = {"l": 3, "o": [["sa_sdp_8", "bessel_j1_8"], ["sa_sdp_8"], ["bessel_j1_8"]], "h": [16] * 3, "f": [[32]] * 3}
config = FlexiBERTConfig(model_dict=layers, vocab_size=40, max_position_embeddings=16)
try:
    write_onnx(FlexiBERTForSequenceClassification(config), Path("model.onnx"))
except ValueError as error:
    print(error)
"""


def test_an_operation_that_onnx_does_not_know_is_named_with_its_layers(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", BESSEL],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    *_, message = done.stdout.splitlines()  # some versions of onnxscript say what they rewrote
    assert message.startswith(
        "The model cannot be written as ONNX: operation 'bessel' with parameter j1, in layers 1, 3,"
    )
    assert "bessel_j1" in message.partition("(")[2]
    assert "sdp" not in message


class Logits(torch.nn.Module):
    """A model that gives a tensor, as ``torch.jit.trace`` wants it."""

    def __init__(self, model: FlexiBERTForSequenceClassification) -> None:
        super().__init__()
        self.model = model

    def forward(self, ids: torch.Tensor, mask: torch.Tensor | None = None) -> torch.Tensor:
        return self.model(ids, mask).logits


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
def test_a_trace_can_be_saved_and_computes_the_same(tiny: Callable, tmp_path: Path) -> None:
    model = FlexiBERTForSequenceClassification(tiny(HETERO)).eval()
    ids = torch.randint(5, 41, (2, 13))
    with torch.no_grad():
        expected = model(ids).logits
        torch.jit.save(torch.jit.trace(Logits(model), ids), tmp_path / "model.pt")
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.pt")(ids), expected)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::torch.jit.TracerWarning", "ignore::FutureWarning")
@pytest.mark.parametrize("has_gradients", [False, True])
@pytest.mark.parametrize("pooling", ["cls", "mean"])
@pytest.mark.parametrize("model_dict", [PLAIN, HETERO], ids=["plain", "hetero"])
def test_a_trace_made_without_padding_still_looks_at_the_mask(
    model_dict: dict[str, Any], pooling: str, has_gradients: bool, tiny: Callable, tmp_path: Path
) -> None:
    model = FlexiBERTForSequenceClassification(tiny(model_dict, initializer_range=0.3, pooling=pooling)).eval()
    ids = torch.randint(5, 41, (2, 13))
    mask = torch.ones_like(ids)
    with torch.set_grad_enabled(has_gradients):
        torch.jit.save(torch.jit.trace(Logits(model), (ids, mask)), tmp_path / "model.pt")
    padded = mask.clone()
    padded[0, 6:] = 0
    expected = model(ids, padded).logits
    assert not torch.allclose(expected, model(ids, mask).logits, atol=1e-3)
    torch.testing.assert_close(torch.jit.load(tmp_path / "model.pt")(ids, padded), expected)


@pytest.mark.parametrize("model_dict", [PLAIN, HETERO], ids=["plain", "hetero"])
def test_an_exported_program_takes_every_length(model_dict: dict[str, Any], tiny: Callable) -> None:
    model = FlexiBERTForSequenceClassification(tiny(model_dict, max_position_embeddings=40)).eval()
    example = {"input_ids": torch.randint(5, 41, (2, 9)), "attention_mask": torch.ones(2, 9, dtype=torch.long)}
    sizes = {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=40)}
    program = torch.export.export(model, (), example, dynamic_shapes={name: sizes for name in example}).module()
    for shape in ((1, 1), (3, 2), (1, 3), (2, 40)):
        ids = torch.randint(5, 41, shape)
        mask = torch.ones_like(ids)
        mask[0, shape[1] // 2 + 1 :] = 0
        with torch.no_grad():
            found, expected = program(input_ids=ids, attention_mask=mask).logits, model(ids, mask).logits
        torch.testing.assert_close(found, expected)


def test_images_of_any_number_go_through_an_exported_model() -> None:
    layers = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}
    model = FlexiViTModel(FlexiViTConfig(model_dict=layers, image_size=8, patch_size=4)).eval()
    batch = torch.export.Dim("batch")
    program = torch.export.export(model, (torch.randn(2, 3, 8, 8),), dynamic_shapes=({0: batch},))
    images = torch.randn(5, 3, 8, 8)
    with torch.no_grad():
        found, expected = program.module()(images), model(images)
    torch.testing.assert_close(found.last_hidden_state, expected.last_hidden_state)
