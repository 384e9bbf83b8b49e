"""A model and its tokenizer, trimmed together."""

import copy

import pytest
import torch
from transformers import AutoTokenizer

from dataset import build_tokenizer
from flexibert import FlexiBERTConfig, FlexiBERTForSequenceClassification
from search.training.vocabulary import trim

TEXTS = ["the quick brown fox jumps over the lazy dog", "a lazy dog and a quick fox"] * 4
OTHERS = ["foxes are quicker", "", "über 😀"]


@pytest.fixture(scope="module")
def tokenizer():
    return build_tokenizer("train", [*TEXTS, *OTHERS * 3, "other words were counted, too " * 3], vocab_size=400)


@pytest.fixture
def model(tokenizer):
    torch.manual_seed(0)
    layers = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[32]], "p": ["sdp"]}
    options = {"max_position_embeddings": 64, "pad_token_id": tokenizer.pad_token_id, "initializer_range": 0.3}
    config = FlexiBERTConfig(model_dict=layers, vocab_size=len(tokenizer) + 7, **options)  # a table with rows to spare
    return FlexiBERTForSequenceClassification(config).eval()


def test_logits_of_counted_texts_are_the_same_and_parameters_are_gone(model, tokenizer, tmp_path):
    trimmed = trim(model, tokenizer, TEXTS)
    assert trimmed.new_size == trimmed.model.config.vocab_size == len(trimmed.tokenizer) < len(tokenizer)
    assert trimmed.old_size == model.config.vocab_size == len(tokenizer) + 7
    assert trimmed.old_parameters - trimmed.new_parameters == 16 * (trimmed.old_size - trimmed.new_size)
    assert trimmed.model.config.pad_token_id == trimmed.tokenizer.pad_token_id
    trimmed.model.save_pretrained(tmp_path)
    trimmed.tokenizer.save_pretrained(tmp_path)
    saved = FlexiBERTForSequenceClassification.from_pretrained(tmp_path), AutoTokenizer.from_pretrained(tmp_path)
    pairs = TEXTS[:2], TEXTS[2:4]
    with torch.no_grad():
        expected = model(**tokenizer(*pairs, return_tensors="pt", padding=True)).logits
        for small, smaller in ((trimmed.model, trimmed.tokenizer), saved):
            found = small(**smaller(*pairs, return_tensors="pt", padding=True)).logits
            torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)
            assert small(**smaller(OTHERS, return_tensors="pt", padding=True)).logits.isfinite().all()


def test_it_says_what_it_did(model, tokenizer):
    trimmed = trim(model, tokenizer, TEXTS, least_count=100)
    assert trimmed.describe() == (
        f"vocabulary {len(tokenizer) + 7} -> {trimmed.new_size} tokens, "
        f"{16 * (trimmed.old_size - trimmed.new_size) / 1e6:.1f} M of {model.num_parameters() / 1e6:.1f} M parameters "
        "gone"
    )


def test_a_tokenizer_of_another_model_is_refused(model, tokenizer):
    larger = copy.deepcopy(tokenizer)
    larger.add_tokens([f"word{number}" for number in range(8)])
    message = f"must be the model's, which knows {len(tokenizer) + 7} tokens. Got one of {len(tokenizer) + 8}"
    with pytest.raises(ValueError, match=message):
        trim(model, larger, TEXTS)
