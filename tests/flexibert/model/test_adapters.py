"""What PEFT expects of a model: BERT's names lead to as many maps as in BERT; every adapter acts, merges, is saved."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification

from flexibert import FlexiBERTForSequenceClassification, from_bert

peft = pytest.importorskip("peft", reason="needs peft, of the extra dev")

STANDARD = {"l": 3, "o": ["sa", "l", "c"], "h": [16] * 3, "n": [2] * 3, "f": [[32]] * 3, "p": ["wma", "dct", 5]}
HETERO = {"l": 1, "o": [["sa_sdp_8", "c_5_8", "l_dft_8", "sa_wma_8"]], "h": [16], "f": [[32, 16]]}
every_model = pytest.mark.parametrize("model_dict", [STANDARD, HETERO], ids=["standard", "hetero"])
IDS = torch.tensor([[5, 9, 33, 7, 8, 2, 11], [3, 4, 4, 6, 1, 7, 9]])
pytestmark = [pytest.mark.filterwarnings("ignore::UserWarning"), pytest.mark.filterwarnings("ignore::FutureWarning")]


def _model(tiny: Callable, model_dict: dict) -> FlexiBERTForSequenceClassification:
    torch.manual_seed(2)
    return FlexiBERTForSequenceClassification(tiny(model_dict, initializer_range=0.3)).eval()


def _logits(model: Any) -> Tensor:
    with torch.no_grad():
        return model.eval()(IDS).logits


def _adapted(model: Any, targets: list[str] | str, **options: Any) -> Any:
    """With LoRA that acts from the start."""
    return peft.get_peft_model(model, peft.LoraConfig(target_modules=targets, init_lora_weights=False, **options))


@pytest.mark.parametrize("targets", [["query", "intermediate.dense"], ["dense"], ["query", "value"]], ids=str)
def test_names_of_bert_lead_to_as_many_maps_as_in_bert(targets):
    config = BertConfig(vocab_size=41, hidden_size=16, num_hidden_layers=2, num_attention_heads=2, intermediate_size=20)
    bert = BertForSequenceClassification(config).eval()
    found = [_adapted(model, targets).targeted_module_names for model in (from_bert(bert), bert)]
    assert sorted(found[0]) == sorted(found[1])
    assert found[0]


@every_model
def test_every_map_table_and_convolution_can_be_adapted(tiny, model_dict):
    model = _model(tiny, model_dict)
    kinds = (torch.nn.Linear, torch.nn.Embedding, torch.nn.Conv1d)
    names = {name.rpartition(".")[2] for name, module in model.named_modules() if isinstance(module, kinds)}
    assert {"dense", "distance_embedding", "depthwise"} <= names
    plain = _logits(model)
    for name in sorted(names - {"classifier", "token_type_embeddings"}):
        adapted = _adapted(_model(tiny, model_dict), [name], r=16)
        assert not torch.allclose(_logits(adapted), plain, atol=1e-6), name


@every_model
def test_adapters_are_saved_loaded_and_merged(tiny, model_dict, tmp_path: Path):
    adapted = _adapted(_model(tiny, model_dict), ["query", "value", "dense"], task_type="SEQ_CLS")
    expected = _logits(adapted)
    adapted.save_pretrained(tmp_path)
    loaded = peft.PeftModel.from_pretrained(_model(tiny, model_dict), tmp_path)
    torch.testing.assert_close(_logits(loaded), expected)
    merged = loaded.merge_and_unload()
    torch.testing.assert_close(_logits(merged), expected, rtol=0, atol=1e-4)
    merged.save_pretrained(tmp_path / "merged")
    again = FlexiBERTForSequenceClassification.from_pretrained(tmp_path / "merged")
    torch.testing.assert_close(_logits(again), expected, rtol=0, atol=1e-4)


def test_prompts_are_learned_where_their_width_is_given(tiny):
    model = _model(tiny, STANDARD)
    config = model.config
    prompts = peft.PromptTuningConfig(
        task_type="SEQ_CLS",
        num_virtual_tokens=3,
        token_dim=config.input_size,
        num_layers=config.num_hidden_layers,
        num_attention_heads=config.num_attention_heads,
    )
    adapted = peft.get_peft_model(model, prompts)
    adapted.train()(IDS, labels=torch.tensor([0, 1])).loss.backward()
    (prompt,) = (x for name, x in adapted.named_parameters() if "prompt" in name)
    assert prompt.grad.abs().max() > 0
