"""Encoders of other families in, against Hugging Face's own classes."""

import logging
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from transformers import (
    CamembertConfig,
    DistilBertConfig,
    ElectraConfig,
    GPT2Config,
    GPT2Model,
    MPNetConfig,
    MPNetModel,
    RobertaConfig,
    RobertaForCausalLM,
    XLMRobertaConfig,
)

import flexibert
from flexibert import FlexiBERTModel, count_parameters, from_transformers
from flexibert.commands.model_folders import load_model
from flexibert.conversion.differences import largest_difference
from flexibert.conversion.families import FAMILIES, dropped_head, part_with_counterpart
from flexibert.convert_bert import convert, main

BERT_SHAPE = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 80}
SIZES = {"vocab_size": 97, "max_position_embeddings": 40, "initializer_range": 0.2}
ROBERTA = {**BERT_SHAPE, **SIZES, "type_vocab_size": 1, "layer_norm_eps": 1e-5, "pad_token_id": 1}
ELECTRA = {**BERT_SHAPE, **SIZES}
CONFIGS = {
    "Roberta": RobertaConfig(**ROBERTA),
    "XLMRoberta": XLMRobertaConfig(**ROBERTA),
    "Camembert": CamembertConfig(**ROBERTA | {"pad_token_id": 3, "type_vocab_size": 2}),
    "DistilBert": DistilBertConfig(
        dim=48, n_layers=3, n_heads=4, hidden_dim=80, sinusoidal_pos_embds=True, attention_dropout=0.2, **SIZES
    ),
    "Electra": ElectraConfig(embedding_size=48, **ELECTRA),
    "Electra narrow": ElectraConfig(embedding_size=24, **ELECTRA),
}
HEADS = ["ForMaskedLM", "ForTokenClassification", "ForQuestionAnswering"]
WITH_HEAD = [
    *((name, head) for name in CONFIGS for head in ["Model", *HEADS] if (name, head) != ("Electra narrow", HEADS[0])),
    *((name, head) for name in list(CONFIGS)[:3] for head in ("ForSequenceClassification", "ForMultipleChoice")),
]
DROPPED = [
    ("DistilBert", "ForSequenceClassification", "it has a ReLU where ours have tanh"),
    ("DistilBert", "ForMultipleChoice", "it has a ReLU where ours have tanh"),
    ("Electra", "ForSequenceClassification", "ours have none of its function"),
    ("Electra", "ForPreTraining", "ours have none of its function"),
    ("Electra", "ForMultipleChoice", "ours have none of its function"),
    ("Electra narrow", "ForMaskedLM", "it is 24 wide, where ours is as wide as the layers, 48"),
]


def made(name: str, head: str, **options: Any) -> Any:
    """A model with random weights, of LayerNorms and biases too."""
    config = CONFIGS[name]
    torch.manual_seed(0)
    model = getattr(transformers, name.split()[0] + head)(type(config).from_dict(config.to_dict() | options)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() == 1:
                parameter.add_(torch.randn(parameter.shape) * 0.2)
    return model


@pytest.mark.parametrize(("name", "head"), WITH_HEAD, ids=lambda value: value.replace(" ", "-"))
def test_every_head_that_ours_have_computes_the_same(name: str, head: str) -> None:
    source = made(name, head)
    ours = from_transformers(source)
    expected = "FlexiBERTModel" if head == "Model" else f"FlexiBERT{head}"
    assert type(ours).__name__ == expected
    assert dropped_head(source) is None
    assert largest_difference(source, ours) <= 1e-5


@pytest.mark.parametrize(("name", "head", "why"), DROPPED, ids=lambda value: value.replace(" ", "-")[:30])
def test_a_head_that_ours_have_not_is_dropped_and_that_is_said(
    name: str, head: str, why: str, caplog: pytest.LogCaptureFixture
) -> None:
    source = made(name, head)
    logger = logging.getLogger("transformers")
    logger.addHandler(caplog.handler)
    try:
        ours = from_transformers(source)
    finally:
        logger.removeHandler(caplog.handler)
    assert f"The head of {type(source).__name__} is dropped: {why}." in caplog.text
    assert type(ours) is FlexiBERTModel
    assert largest_difference(part_with_counterpart(source), ours) <= 1e-5


@pytest.mark.parametrize("name", ["Roberta", "Electra"])
def test_a_word_predictor_of_another_activation_than_the_layers_is_dropped(name: str) -> None:
    source = made(name, "ForMaskedLM", hidden_act="relu")
    assert "its activation is 'gelu', that of the layers 'relu'" in str(dropped_head(source))
    assert largest_difference(source.base_model, from_transformers(source)) <= 1e-5


@pytest.mark.parametrize("name", CONFIGS)
def test_what_a_family_has_otherwise_is_where_ours_has_it(name: str) -> None:
    source = made(name, "Model")
    ours = from_transformers(source)
    config, theirs = ours.config, source.config
    is_roberta = name in list(CONFIGS)[:3]
    assert config.max_position_embeddings == (40 - theirs.pad_token_id - 1 if is_roberta else 40)
    assert config.position_embedding_type == "absolute"
    assert config.pad_token_id == theirs.pad_token_id
    assert config.type_vocab_size == getattr(theirs, "type_vocab_size", 1)
    assert torch.equal(ours.embeddings.word_embeddings.weight, source.embeddings.word_embeddings.weight)
    assert (ours.pooler is not None) == is_roberta
    assert count_parameters(config.model_spec, config, pooler=is_roberta) == ours.num_parameters()
    assert config.attention_probs_dropout_prob == (0.2 if name == "DistilBert" else 0.1)
    assert config.lineage == [f"Converted from {type(source).__name__}."]
    assert config.word_vector_size == (24 if name == "Electra narrow" else None)
    longest = torch.randint(5, 97, (2, config.max_position_embeddings))
    torch.testing.assert_close(ours(longest)[0], source(longest)[0], atol=1e-5, rtol=0)


def test_the_row_of_the_padding_is_copied() -> None:
    source = made("Roberta", "Model")
    with torch.no_grad():
        source.embeddings.word_embeddings.weight[1] = 0.5
    assert torch.equal(from_transformers(source).embeddings.word_embeddings.weight[1], torch.full((48,), 0.5))


def test_segments_of_families_without_add_nothing() -> None:
    assert not from_transformers(made("DistilBert", "Model")).embeddings.token_type_embeddings.weight.any()


def test_the_difference_sees_positions_segments_and_projections() -> None:
    for name, table in (
        ("Camembert", "position_embeddings"),
        ("Camembert", "token_type_embeddings"),
        ("Electra narrow", "projection"),
    ):
        source = made(name, "Model")
        ours = from_transformers(source)
        with torch.no_grad():
            getattr(ours.embeddings, table).weight[1, 0] += 0.5
        assert largest_difference(source, ours) >= 0.01


def test_other_families_and_decoders_are_refused() -> None:
    known = r"BERT \(bert\), RoBERTa \(roberta\), XLM-RoBERTa .*, CamemBERT .*, DistilBERT .*, ELECTRA \(electra\)"
    gpt = GPT2Model(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=20))
    with pytest.raises(ValueError, match=rf"'model_type' must be that of FlexiBERT or of {known}. Got 'gpt2'"):
        from_transformers(gpt)
    mpnet = MPNetModel(MPNetConfig(**BERT_SHAPE, vocab_size=20))
    with pytest.raises(ValueError, match=rf"{known}. Got 'mpnet'. MPNet adds a number per head and distance"):
        from_transformers(mpnet)
    with pytest.raises(ValueError, match="'model' must be an encoder. Got a RoBERTa with 'is_decoder'"):
        from_transformers(made("Roberta", "Model", is_decoder=True))
    with pytest.raises(ValueError, match="'model' must be one of RobertaModel, .* Got RobertaForCausalLM"):
        from_transformers(RobertaForCausalLM(CONFIGS["Roberta"]))


@pytest.mark.parametrize(
    ("name", "head"),
    [
        ("Roberta", "ForSequenceClassification"),
        ("DistilBert", "ForSequenceClassification"),
        ("Electra narrow", "Model"),
    ],
)
def test_convert_bert_takes_every_family(
    name: str, head: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    made(name, head).save_pretrained(tmp_path / "source")
    (tmp_path / "source" / "README.md").write_text("---\nlicense: mit\nbase_model: someone/model\n---\n# Theirs\n")
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "source"), str(tmp_path / "ours"), "--check"])
    assert ended.value.code == 0
    difference = float(capsys.readouterr().out.split()[-1])
    assert difference <= 1e-5
    ours = load_model(tmp_path / "ours")
    assert type(ours) is (FlexiBERTModel if name != "Roberta" else flexibert.FlexiBERTForSequenceClassification)
    card = (tmp_path / "ours" / "README.md").read_text()
    assert "base_model: someone/model\nlibrary_name: transformers\nlicense: mit\n" in card
    assert largest_difference(part_with_counterpart(made(name, head)), load_model(tmp_path / "source")) <= 1e-5


def test_convert_bert_refuses_what_has_no_counterpart(tmp_path: Path) -> None:
    MPNetModel(MPNetConfig(**BERT_SHAPE, vocab_size=20)).save_pretrained(tmp_path / "mpnet")
    with pytest.raises(ValueError, match=r"mpnet: 'model_type' must be .* Got 'mpnet'. MPNet adds"):
        convert(tmp_path / "mpnet", tmp_path / "ours")


def test_the_table_names_families_by_their_model_type() -> None:
    for model_type, family in FAMILIES.items():
        assert [theirs.config_class.model_type for theirs in family.classes] == [model_type] * len(family.classes)
