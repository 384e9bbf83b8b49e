"""The card beside every saved model tells what is there, and keeps its hands off a card that someone wrote."""

import copy
import json
import os

import pytest
import torch
from transformers import BertConfig, BertForMaskedLM, DeiTConfig, DeiTModel

from flexibert import (
    FlexiBERTConfig,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    add_to_lineage,
    from_bert,
    from_deit,
    write_model_card,
)

MODEL_DICT = {
    "l": 3,
    "o": [["sa_wma_8", "c_5_8", "c_5_8"], ["l_dft_8"], ["l_dft_8"]],
    "h": [16, 24, 24],
    "f": [[32], [16, 8], [16, 8]],
}


@pytest.fixture
def model():
    torch.manual_seed(0)
    config = FlexiBERTConfig(model_dict=MODEL_DICT, vocab_size=30, max_position_embeddings=16)
    return FlexiBERTForSequenceClassification(config)


def test_a_card_tells_architecture_parameters_lineage_and_how_to_load(model, tmp_path):
    model.save_pretrained(tmp_path)
    card = (tmp_path / "README.md").read_text()
    assert f"# FlexiBERTForSequenceClassification {model.config.model_spec.hash[:12]}" in card
    assert f"{sum(p.numel() for p in model.parameters()):,} parameters, {model.bert.num_parameters():,} of them" in card
    assert "| 1 | 1 of sa/wma, 2 of c/5 | 8 | 16 | 32 |" in card
    assert "| 2 to 3 | 1 of l/dft | 8 | 24 | 16, 8 |" in card
    assert json.dumps(model.config.model_spec.to_dict()) in card
    assert "AutoModelForSequenceClassification.from_pretrained(" in card
    assert "pad to the length" in card
    assert "Nothing is recorded" in card
    assert "measured" not in card


def test_lineage_travels_with_the_weights(model, tmp_path):
    add_to_lineage(model, "Fine-tuned on cola.")
    model.save_pretrained(tmp_path / "parent")
    parent = FlexiBERTForSequenceClassification.from_pretrained(tmp_path / "parent")
    child = FlexiBERTForSequenceClassification(parent.config)
    child.config.lineage = ["Random."]
    child.load_model_from_source(parent)
    source_hash = parent.config.model_spec.hash
    assert child.config.lineage == [
        "Fine-tuned on cola.",
        f"Weights transferred from `{source_hash}` (mode consistent, overlap 1.00).",
    ]
    add_to_lineage(child, "Joined.", [parent, child])
    assert child.config.lineage[0] == "Fine-tuned on cola."
    assert len(child.config.lineage) == 3
    child.save_pretrained(tmp_path / "child")
    assert "1. Fine-tuned on cola.\n2. Weights transferred" in (tmp_path / "child" / "README.md").read_text()


def test_equal_steps_are_told_as_often_as_they_were_taken(model):
    for _ in range(3):
        add_to_lineage(model, "Pruned.")
    add_to_lineage(model, "Fine-tuned.")
    add_to_lineage(model, "Pruned.")
    assert model.config.lineage == ["Pruned.", "Pruned.", "Pruned.", "Fine-tuned.", "Pruned."]


@pytest.mark.parametrize(
    ("histories", "expected"),
    [
        (["ab", "ab"], "ab"),
        (["abcb", "abdb"], "abcbdb"),
        (["ab", "abc"], "abc"),
        (["abc", "ab"], "abc"),
        (["ab", "cb", "cd"], "abcbd"),
        (["a", None], "a"),
    ],
)
def test_what_parents_have_in_common_from_the_beginning_is_told_once(model, histories, expected):
    parents = [copy.deepcopy(model) for _ in histories]
    for parent, history in zip(parents, histories, strict=True):
        parent.config.lineage = history and list(history)
    add_to_lineage(model, "Joined.", parents)
    assert model.config.lineage == [*expected, "Joined."]


def test_converted_models_say_from_what():
    small = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
    bert = BertForMaskedLM(BertConfig(vocab_size=30, **small))
    bert.config.name_or_path = "some/where/bert-small"
    assert from_bert(bert).config.lineage == ["Converted from BertForMaskedLM `bert-small`."]
    assert from_deit(DeiTModel(DeiTConfig(image_size=8, patch_size=4, **small))).config.lineage == [
        "Converted from DeiTModel."
    ]


def test_scores_are_in_the_card_and_an_edited_card_stays(model, tmp_path):
    model.save_pretrained(tmp_path)
    write_model_card(tmp_path, model, title="Mine", scores={"accuracy": 0.75}, notes=["A note."])
    card = (tmp_path / "README.md").read_text()
    assert "# Mine\n\nA note.\n" in card
    assert "| accuracy | 0.75 |" in card
    (tmp_path / "README.md").write_text("my own words")
    model.save_pretrained(tmp_path)
    assert (tmp_path / "README.md").read_text() == "my own words"


def test_only_the_main_process_writes_a_card(tmp_path):
    config = FlexiBERTConfig(model_dict=MODEL_DICT, vocab_size=30, max_position_embeddings=16)
    FlexiBERTModel(config).save_pretrained(tmp_path, is_main_process=False)
    assert not (tmp_path / "README.md").exists()


def test_a_card_is_written_whole_or_not_at_all(model, tmp_path, monkeypatch):
    def stopped(_):
        raise OSError("No space left on device")

    write_model_card(tmp_path, model, title="First")
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", stopped)
        with pytest.raises(OSError, match="No space"):
            write_model_card(tmp_path, model, title="Second")
    assert "# First" in (tmp_path / "README.md").read_text()
    write_model_card(tmp_path, model, title="Third")
    assert "# Third" in (tmp_path / "README.md").read_text()
