"""Folders written by the original code load and give its outputs (shared/fixtures/README.md)."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file

from flexibert import FlexiBERTForMaskedLM, FlexiBERTForSequenceClassification, FlexiBERTModel
from flexibert.conversion.folders import load

FOLDER = Path(__file__).resolve().parents[3].parent / "shared/fixtures/reference_flexibert"
CASES = sorted(path.parent.name for path in FOLDER.glob("*/case.json"))
CLASSES: dict[str, Any] = {
    "base": FlexiBERTModel,
    "mlm": FlexiBERTForMaskedLM,
    "cls": FlexiBERTForSequenceClassification,
}

pytestmark = pytest.mark.skipif(not CASES, reason="needs shared/fixtures/reference_flexibert beside the repository")


def _load(case: str, **options: Any) -> tuple[Any, dict[str, torch.Tensor]]:
    kind = json.loads((FOLDER / case / "case.json").read_text())["head"]
    return CLASSES[kind].from_pretrained(FOLDER / case, **options).eval(), load_file(FOLDER / case / "io.safetensors")


def _run(model: Any, io: dict[str, torch.Tensor]) -> Any:
    inputs = {name: io[name] for name in ("input_ids", "attention_mask", "token_type_ids")}
    with torch.no_grad():
        return model(**inputs, output_hidden_states=True)


@pytest.mark.parametrize("case", CASES)
def test_outputs_equal_the_originals(case: str, tmp_path: Path) -> None:
    model, io = _load(case)
    real = io["attention_mask"].bool()
    output = _run(model, io)
    for i, states in enumerate(output.hidden_states):
        torch.testing.assert_close(states[real], io[f"hidden_states.{i}"][real], atol=1e-5, rtol=0)
    for name in {"last_hidden_state", "pooler_output", "logits"} & io.keys():
        computed, expected = output[name], io[name]
        if expected.shape[:2] == real.shape:
            computed, expected = computed[real], expected[real]
        torch.testing.assert_close(computed, expected, atol=2e-5, rtol=0)

    model.save_pretrained(tmp_path)
    again = _run(type(model).from_pretrained(tmp_path).eval(), io)
    assert torch.equal(again[0], output[0])


@pytest.mark.parametrize("case", CASES)
def test_our_parameters_carry_the_names_of_the_original(case: str) -> None:
    model, _ = _load(case)
    original = torch.load(FOLDER / case / "pytorch_model.bin", weights_only=True)
    ours = model.state_dict()
    assert ours.keys() <= original.keys()
    never_used = {name.removeprefix("bert.").split("attention.self.")[-1] for name in original.keys() - ours.keys()}
    tables = {"embeddings.position_ids", "embeddings.position_embeddings.weight"}
    assert never_used <= tables | {"W", "key.weight", "key.bias"}
    for name, value in ours.items():
        assert torch.equal(value, original[name]), name


@pytest.mark.skipif("conv" not in CASES, reason="needs the padded convolution case")
def test_an_old_folder_reads_padding_as_its_code_did_unless_told_otherwise() -> None:
    for mask_padding, is_equal in ((None, True), (True, False)):
        model, io = _load("conv", **({} if mask_padding is None else {"mask_padding": mask_padding}))
        assert torch.allclose(_run(model, io).pooler_output, io["pooler_output"], atol=1e-4) is is_equal


@pytest.mark.parametrize("kept", ["dense", "sequential.0"])
def test_either_name_of_the_first_feed_forward_matrix_is_enough(kept: str, tmp_path: Path) -> None:
    """Files that hold each tensor once keep one of the two names."""
    case = CASES[0]
    expected, io = _load(case)
    other = "sequential.0" if kept == "dense" else "dense"
    weights = torch.load(FOLDER / case / "pytorch_model.bin", weights_only=True)
    weights = {name: value.clone() for name, value in weights.items() if f"intermediate.{other}." not in name}
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    (tmp_path / "config.json").write_text((FOLDER / case / "config.json").read_text())
    model = type(expected).from_pretrained(tmp_path).eval()
    assert torch.equal(_run(model, io)[0], _run(expected, io)[0])


def test_commands_read_folders_of_the_original_that_do_not_name_their_class(tmp_path: Path) -> None:
    folder = shutil.copytree(FOLDER / "conv", tmp_path / "conv")
    content = json.loads((folder / "config.json").read_text())
    content.pop("architectures", None)
    (folder / "config.json").write_text(json.dumps(content))
    assert type(load(folder)[0]) is FlexiBERTModel


def test_commands_read_the_folders_of_the_original() -> None:
    for case in CASES:
        model, family, _ = load(FOLDER / case)
        expected, _ = _load(case)
        assert family is None
        assert type(model) is type(expected)
        assert all(torch.equal(value, expected.state_dict()[name]) for name, value in model.state_dict().items())
