"""Models for a part of their vocabulary compute the same of the tokens that are left."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoModelForMaskedLM, BertConfig, BertModel

import flexibert
from flexibert import FlexiBERTConfig, FlexiBERTForMaskedLM, FlexiBERTModel, from_bert, to_bert, with_vocabulary
from flexibert.conversion.bert import CLASSES

Make = Callable[..., FlexiBERTConfig]
OLD_IDS = [7, 0, 40, 3, 12, 11, 2, 38]
STANDARD = {"l": 2, "o": ["sa", "c"], "h": [16, 16], "n": [2, 2], "f": [[32], [24]], "p": ["wma", 3]}
GROUPED = {"groups": [STANDARD, STANDARD | {"h": [8, 8]}]}
WORD_OUTPUTS = {"FlexiBERTForMaskedLM": "logits", "FlexiBERTForPreTraining": "prediction_logits"}


def inputs(model_class: type, old_ids: list[int] | None = None) -> dict[str, torch.Tensor]:
    """A batch of new ids with padding, or of the same tokens by their old ids."""
    shape = (2, 3, 9) if "MultipleChoice" in model_class.__name__ else (2, 9)
    ids = torch.randint(len(OLD_IDS), shape, generator=torch.Generator().manual_seed(1))
    mask = torch.ones_like(ids)
    ids[1, ..., 6:], mask[1, ..., 6:] = 1, 0
    return {"input_ids": ids if old_ids is None else torch.tensor(old_ids)[ids], "attention_mask": mask}


def assert_same_outputs(model: Any, small: Any) -> None:
    with torch.no_grad():
        expected = model.eval()(**inputs(type(model), OLD_IDS), output_hidden_states=True)
        found = small.eval()(**inputs(type(model)), output_hidden_states=True)
    assert found.keys() == expected.keys()
    words = WORD_OUTPUTS.get(type(model).__name__)
    for name in expected.keys() - {"hidden_states"}:
        wanted = expected[name][..., OLD_IDS] if name == words else expected[name]
        torch.testing.assert_close(found[name], wanted, atol=1e-6, rtol=1e-6)
    for state, wanted in zip(found.hidden_states, expected.hidden_states, strict=True):
        torch.testing.assert_close(state, wanted, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize("model_class", CLASSES.values(), ids=lambda model_class: model_class.__name__)
def test_every_head_computes_the_same_of_what_is_left(model_class: Any, tiny: Make, tmp_path: Path) -> None:
    model = model_class(tiny(STANDARD, pad_token_id=0, num_labels=2 if "Question" in model_class.__name__ else 3))
    before = {name: weights.clone() for name, weights in model.state_dict().items()}
    small = with_vocabulary(model, OLD_IDS)
    assert type(small) is model_class
    assert_same_outputs(model, small)
    assert model.config.vocab_size == 41
    assert all(torch.equal(weights, before[name]) for name, weights in model.state_dict().items())
    tables = 2 if model_class.__name__ in WORD_OUTPUTS else 1
    lost = (41 - len(OLD_IDS)) * (16 * tables + (tables - 1))
    assert model.num_parameters() - small.num_parameters() == lost
    small.save_pretrained(tmp_path)
    assert_same_outputs(model, model_class.from_pretrained(tmp_path))


@pytest.mark.parametrize("is_tied", [False, True], ids=["untied", "tied"])
def test_a_decoder_stays_tied_or_apart(is_tied: bool, tiny: Make) -> None:
    model = FlexiBERTForMaskedLM(tiny(STANDARD, tie_word_embeddings=is_tied))
    torch.nn.init.normal_(model.cls.predictions.bias)
    small = with_vocabulary(model, OLD_IDS)
    words, predictions = small.bert.embeddings.word_embeddings, small.cls.predictions
    assert (predictions.decoder.weight is words.weight) is is_tied
    assert predictions.decoder.bias is predictions.bias
    assert (predictions.decoder.out_features, words.num_embeddings) == (8, 8)
    assert_same_outputs(model, small)
    small.tie_weights()
    assert_same_outputs(model, small)
    labels = torch.tensor([[7, 1, 3, 4]])
    loss = small(input_ids=labels, labels=labels).loss
    loss.backward()
    assert words.weight.grad.shape == (8, 16)


def test_grouped_models_lose_rows_of_every_table(tiny: Make) -> None:
    model = FlexiBERTForMaskedLM(tiny(GROUPED))
    small = with_vocabulary(model, OLD_IDS)
    assert [group.word_embeddings.weight.shape for group in small.bert.embeddings.groups] == [(8, 16), (8, 8)]
    assert_same_outputs(model, small)


def test_an_encoder_without_a_pooler_keeps_mode_type_and_what_is_frozen(tiny: Make) -> None:
    model = FlexiBERTModel(tiny(STANDARD), add_pooling_layer=False).to(torch.float64).eval()
    model.embeddings.word_embeddings.weight.requires_grad_(False)
    small = with_vocabulary(model, OLD_IDS)
    assert small.pooler is None
    assert not small.training
    assert small.dtype is torch.float64
    assert not small.embeddings.word_embeddings.weight.requires_grad
    assert_same_outputs(model, small)


def test_ids_of_the_configuration_are_renumbered(tiny: Make) -> None:
    model = FlexiBERTModel(tiny(STANDARD, pad_token_id=3, bos_token_id=12, eos_token_id=[2, 5]))
    config = with_vocabulary(model, OLD_IDS).config
    assert (config.vocab_size, config.pad_token_id, config.bos_token_id, config.eos_token_id) == (8, 3, 4, [6])
    none_left = with_vocabulary(model, [3, 4]).config
    assert (none_left.pad_token_id, none_left.bos_token_id, none_left.eos_token_id) == (0, None, [])
    without = with_vocabulary(FlexiBERTModel(tiny(STANDARD, pad_token_id=None, eos_token_id=2)), [1, 2]).config
    assert (without.pad_token_id, without.bos_token_id, without.eos_token_id) == (None, None, 1)
    assert model.config.vocab_size == 41


def test_padding_is_still_not_trained(tiny: Make) -> None:
    small = with_vocabulary(FlexiBERTModel(tiny(STANDARD, pad_token_id=3)), OLD_IDS)
    small(input_ids=torch.tensor([[0, 1, 3, 3]])).last_hidden_state.square().sum().backward()
    gradient = small.embeddings.word_embeddings.weight.grad
    assert gradient[0].any()
    assert not gradient[3].any()


def test_the_lineage_tells(tiny: Make) -> None:
    bert = BertModel(BertConfig(vocab_size=41, hidden_size=16, num_hidden_layers=1, num_attention_heads=2))
    small = with_vocabulary(from_bert(bert), OLD_IDS)
    assert small.config.lineage == ["Converted from BertModel.", "Vocabulary trimmed from 41 to 8 tokens."]
    assert to_bert(small).config.vocab_size == 8


def test_a_trimmed_model_is_saved_with_its_code(tiny: Make, tmp_path: Path) -> None:
    model = FlexiBERTForMaskedLM(tiny(STANDARD, tie_word_embeddings=True))
    with_vocabulary(model, OLD_IDS).save_pretrained(tmp_path)
    assert_same_outputs(model, AutoModelForMaskedLM.from_pretrained(tmp_path))


@pytest.mark.parametrize(
    ("old_ids", "message"),
    [
        ([0, 41, -1], r"the model has ids below 41, not \[-1, 41\]; take its own tokenizer"),
        ([0, 5, 5], r"each id may stand once, not \[5\] again"),
        ([], "there must be one or more"),
        ([1, 2], "the model's 'pad_token_id' 0 must be one"),
        ([50, 50], "below 41.*again.*'pad_token_id' 0"),
    ],
    ids=["outside", "twice", "none", "padding", "all at once"],
)
def test_ids_that_no_vocabulary_can_have_are_refused(old_ids: list[int], message: str, tiny: Make) -> None:
    with pytest.raises(ValueError, match=message):
        with_vocabulary(FlexiBERTModel(tiny(STANDARD)), old_ids)


def test_other_models_are_refused() -> None:
    bert = BertModel(BertConfig(vocab_size=41, hidden_size=16, num_hidden_layers=1, num_attention_heads=2))
    with pytest.raises(ValueError, match="'model' must be a FlexiBERT model of text. Got BertModel; convert it first"):
        flexibert.with_vocabulary(bert, [0])
