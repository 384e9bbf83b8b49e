"""Roots: an encoder with its tokenizer, what is said of it, and one clear message for what is none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import huggingface_hub
import pytest
import torch
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import (
    AutoTokenizer,
    BertConfig,
    BertForMaskedLM,
    BertModel,
    BertTokenizer,
    DistilBertConfig,
    DistilBertForSequenceClassification,
    ElectraConfig,
    ElectraForPreTraining,
    GPT2Config,
    GPT2LMHeadModel,
    RobertaConfig,
    RobertaForSequenceClassification,
    RobertaModel,
    RobertaTokenizer,
)

from design_space import ModelSpec
from flexibert import (
    FlexiBERTConfig,
    FlexiBERTForSequenceClassification,
    FlexiBERTModel,
    add_to_lineage,
    load_encoder,
    prune,
    save_encoder,
)
from flexibert.commands.model_folders import load_model
from flexibert.conversion.differences import largest_difference

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "b", "c", "##a", "##b"]
SHAPE = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 40}
SIZES = {"vocab_size": 12, "max_position_embeddings": 20, "initializer_range": 0.2}
CARD = "---\nlicense: apache-2.0\nbase_model: someone/parent\ntags: [x]\n---\n# Theirs\n"


def bert_words(folder: Path, **options: Any) -> None:
    BertTokenizer(vocab={word: number for number, word in enumerate(WORDS)}, **options).save_pretrained(folder)


def bert(folder: Path, model_class: Any = BertModel, **options: Any) -> Any:
    """A folder with a BERT of random weights and a tokenizer."""
    torch.manual_seed(0)
    model = model_class(BertConfig(**{**SHAPE, **SIZES, **options})).eval()
    model.save_pretrained(folder)
    bert_words(folder)
    return model


def roberta(folder: Path, model_class: Any = RobertaModel) -> Any:
    torch.manual_seed(0)
    model = model_class(RobertaConfig(**SHAPE, **SIZES | {"vocab_size": 300}, type_vocab_size=1)).eval()
    model.save_pretrained(folder)
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    vocab = {word: number for number, word in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *sorted(alphabet)])}
    RobertaTokenizer(vocab=vocab, merges=[]).save_pretrained(folder)
    return model


def sentence_files(folder: Path, pooling: dict[str, Any], *further: str) -> None:
    kinds = ["Transformer", "Pooling", *further]
    paths = ["", *(f"{number}_{kind}" for number, kind in enumerate(kinds[1:], start=1))]
    modules = [
        {"idx": number, "name": str(number), "path": path, "type": f"sentence_transformers.models.{kind}"}
        for number, (kind, path) in enumerate(zip(kinds, paths, strict=True))
    ]
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "1_Pooling").mkdir()
    (folder / "1_Pooling" / "config.json").write_text(json.dumps(pooling))


def test_a_bert_with_a_card(tmp_path: Path) -> None:
    source = bert(tmp_path / "theirs")
    (tmp_path / "theirs" / "README.md").write_text(CARD)
    encoder = load_encoder(tmp_path / "theirs")
    assert type(encoder.model) is FlexiBERTModel
    assert not encoder.model.training
    assert largest_difference(source, encoder.model) <= 1e-6
    assert torch.equal(encoder.model.pooler.dense.weight, source.pooler.dense.weight)
    assert (encoder.name, encoder.base_model, encoder.license) == ("theirs", "someone/parent", "apache-2.0")
    assert (encoder.pooling, encoder.notes) == (None, ())
    assert encoder.tokenizer("a b")["input_ids"] == [2, 5, 6, 3]
    assert encoder.tokenizer.is_fast
    assert encoder.tokenizer.model_max_length == 20


def test_a_head_is_dropped_a_pooler_made_and_that_is_said(tmp_path: Path) -> None:
    source = bert(tmp_path / "theirs", BertForMaskedLM)
    encoder = load_encoder(str(tmp_path / "theirs"))
    assert encoder.notes == (
        "Its task head (BertForMaskedLM) is dropped: the encoder comes in without.",
        "Its pooler starts at random: the source has none.",
        "Its licence is not known: no model card (README.md) names one.",
    )
    assert encoder.base_model == "theirs"
    again = load_encoder(tmp_path / "theirs")
    assert torch.equal(again.model.pooler.dense.weight, encoder.model.pooler.dense.weight)
    ids = torch.tensor([[2, 5, 6, 3]])
    torch.testing.assert_close(encoder.model(ids)[0], source.bert(ids)[0], atol=1e-6, rtol=0)


def test_a_pooler_that_lies_beside_a_head_is_found(tmp_path: Path) -> None:
    """As of bert-base-uncased, which was saved with heads of pre-training."""
    model = bert(tmp_path / "theirs")
    content = json.loads((tmp_path / "theirs" / "config.json").read_text())
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(content | {"architectures": ["BertForMaskedLM"]}))
    encoder = load_encoder(tmp_path / "theirs")
    assert torch.equal(encoder.model.pooler.dense.weight, model.pooler.dense.weight)
    assert not any("pooler" in note for note in encoder.notes)


@pytest.mark.parametrize(
    ("make", "notes"),
    [
        (lambda folder: roberta(folder), ()),
        (lambda folder: roberta(folder, RobertaForSequenceClassification), ("RobertaForSequenceClassification", "poo")),
        (lambda folder: _other(folder, DistilBertForSequenceClassification, _distilbert()), ("DistilBertFor", "poo")),
        (lambda folder: _other(folder, ElectraForPreTraining, _electra()), ("ElectraForPreTraining", "pooler")),
    ],
    ids=["roberta", "roberta-classifier", "distilbert", "electra"],
)
def test_other_families(make: Callable, notes: tuple[str, ...], tmp_path: Path) -> None:
    source = make(tmp_path / "theirs").base_model
    (tmp_path / "theirs" / "README.md").write_text(CARD)
    encoder = load_encoder(tmp_path / "theirs")
    ids = torch.tensor([[2, 5, 6, 7, 3], [2, 7, 3, 0, 0]])
    mask = torch.tensor([[1] * 5, [1, 1, 1, 0, 0]])
    if source.config.model_type == "roberta":
        ids[1, 3:] = 1
    given = {"input_ids": ids, "attention_mask": mask, "output_hidden_states": True}
    for ours, theirs in zip(encoder.model(**given).hidden_states, source(**given).hidden_states, strict=True):
        torch.testing.assert_close(ours[mask.bool()], theirs[mask.bool()], atol=1e-5, rtol=0)
    assert len(encoder.notes) == len(notes)
    assert all(part in note for part, note in zip(notes, encoder.notes, strict=True))
    assert encoder.tokenizer.model_max_length == encoder.model.config.max_position_embeddings
    save_encoder(encoder, tmp_path / "ours")
    again = load_encoder(tmp_path / "ours")
    assert largest_difference(encoder.model, again.model) == 0
    assert again.tokenizer.get_vocab() == encoder.tokenizer.get_vocab()
    saved = AutoTokenizer.from_pretrained(tmp_path / "ours")
    assert type(saved) is type(encoder.tokenizer)
    for tokenizer in (encoder.tokenizer, saved):
        assert ("token_type_ids" in tokenizer("a", "b")) == (source.config.model_type == "electra")
        assert encoder.model(**tokenizer("a", "b", return_tensors="pt"))[0].isfinite().all()


def _other(folder: Path, model_class: Any, config: Any) -> Any:
    torch.manual_seed(0)
    model = model_class(config).eval()
    model.save_pretrained(folder)
    bert_words(folder)
    return model


def _distilbert() -> DistilBertConfig:
    return DistilBertConfig(dim=24, n_layers=2, n_heads=2, hidden_dim=40, **SIZES)


def _electra() -> ElectraConfig:
    return ElectraConfig(embedding_size=16, **SHAPE, **SIZES)


@pytest.mark.parametrize(
    ("config", "further", "pooling", "notes"),
    [
        ({"pooling_mode_cls_token": False, "pooling_mode_mean_tokens": True}, ["Normalize"], "mean", ()),
        ({"pooling_mode_cls_token": True, "pooling_mode_mean_tokens": False}, [], "cls", ()),
        ({"embedding_dimension": 24, "pooling_mode": "mean"}, [], "mean", ()),
        ({"pooling_mode": ["cls"]}, ["Dense"], "cls", ("Its Dense layer after the pooling is dropped.",)),
        ({}, [], "mean", ()),
        (
            {"pooling_mode_mean_tokens": True, "pooling_mode_max_tokens": True},
            [],
            None,
            ("Its sentence vectors are pooled by mean and max_tokens, which ours are not.",),
        ),
    ],
    ids=["mean", "cls", "new", "dense", "default", "two"],
)
def test_sentence_transformers_say_how_states_are_pooled(
    config: dict, further: list, pooling: str | None, notes: tuple, tmp_path: Path
) -> None:
    bert(tmp_path / "theirs")
    (tmp_path / "theirs" / "README.md").write_text(CARD)
    sentence_files(tmp_path / "theirs", config, *further)
    encoder = load_encoder(tmp_path / "theirs")
    assert (encoder.pooling, encoder.notes) == (pooling, notes)
    assert encoder.model.config.pooling == (pooling or "cls")
    ids = torch.tensor([[2, 5, 6, 3]])
    found = encoder.model(ids)
    read = found.last_hidden_state.mean(1) if pooling == "mean" else found.last_hidden_state[:, 0]
    torch.testing.assert_close(found.pooler_output, torch.tanh(encoder.model.pooler.dense(read)))


def test_an_encoder_is_kept_with_tokenizer_pooling_licence_and_base_model(tmp_path: Path) -> None:
    bert(tmp_path / "theirs")
    (tmp_path / "theirs" / "README.md").write_text(CARD)
    sentence_files(tmp_path / "theirs", {"pooling_mode": "mean"})
    encoder = load_encoder(tmp_path / "theirs")
    save_encoder(encoder, tmp_path / "ours")
    card = (tmp_path / "ours" / "README.md").read_text()
    assert "base_model: someone/parent\nlibrary_name: transformers\nlicense: apache-2.0\n" in card
    assert "# theirs" in card
    assert "1. Converted from BertModel `theirs`." in card
    again = load_encoder(tmp_path / "ours")
    assert (again.name, again.base_model, again.license) == ("ours", "someone/parent", "apache-2.0")
    assert (again.pooling, again.notes) == ("mean", ())
    assert largest_difference(encoder.model, again.model) == 0
    with pytest.raises(ValueError, match="ours: exists already"):
        save_encoder(encoder, tmp_path / "ours")


def test_cards_of_descendants_name_base_model_and_licence(tmp_path: Path) -> None:
    bert(tmp_path / "theirs")
    (tmp_path / "theirs" / "README.md").write_text(CARD)
    root = load_encoder(tmp_path / "theirs").model
    classifier = FlexiBERTForSequenceClassification(FlexiBERTConfig.from_dict(root.config.to_dict()))
    examples = [{"input_ids": torch.tensor([[2, 5, 6, 3]]), "labels": torch.tensor([1])}]
    prune(classifier, density=0.5, examples=examples).save_pretrained(tmp_path / "pruned")
    fresh = FlexiBERTModel(FlexiBERTConfig(**SHAPE, vocab_size=12, max_position_embeddings=20))
    fresh.save_pretrained(tmp_path / "fresh")
    add_to_lineage(fresh, "Made of it.", [root])
    fresh.save_pretrained(tmp_path / "child")
    for name in ("pruned", "child"):
        assert "base_model: someone/parent\n" in (tmp_path / name / "README.md").read_text()
    assert "base_model" not in (tmp_path / "fresh" / "README.md").read_text()
    other = FlexiBERTModel(FlexiBERTConfig(**SHAPE, base_model=["x/y", "someone/parent"], license="mit"))
    add_to_lineage(fresh, "Joined.", [root, other])
    assert (fresh.config.base_model, fresh.config.license) == (["someone/parent", "x/y"], "other")


def test_a_flexibert_folder_loses_its_head_and_keeps_how_it_pools(tmp_path: Path) -> None:
    torch.manual_seed(0)
    layers = {"l": 2, "o": ["sa", "c"], "h": [16, 24], "n": [2, 2], "f": [[32], [16, 32]], "p": ["wma", 3]}
    config = FlexiBERTConfig(model_dict=layers, vocab_size=12, max_position_embeddings=20, pooling="mean")
    model = FlexiBERTForSequenceClassification(config).eval()
    model.save_pretrained(tmp_path / "ours")
    bert_words(tmp_path / "ours")
    encoder = load_encoder(tmp_path / "ours")
    assert encoder.pooling == "mean"
    assert largest_difference(model.bert, encoder.model) == 0
    assert encoder.notes[
        0
    ] == "Its task head (FlexiBERTForSequenceClassification) is dropped: the encoder comes in " + ("without.")
    FlexiBERTModel(config, add_pooling_layer=False).save_pretrained(tmp_path / "bare")
    bert_words(tmp_path / "bare")
    assert "Its pooler starts at random: the source has none." in load_encoder(tmp_path / "bare").notes


@pytest.mark.parametrize(
    ("before", "card", "expected"),
    [
        ("nreimers/MiniLM-L6-H384-uncased", "---\nlicense: mit\n---\n", "nreimers/MiniLM-L6-H384-uncased"),
        ("/home/somebody/run 3", "---\nlicense: mit\n---\n", "theirs"),
        ("a/b", "---\nlicense: mit\nmodel-index:\n- name: named\n  results: []\n---\n", "named"),
        ("a/b", "---\nlicense: mit\nbase_model: [x/y, z]\n---\n", "x/y, z"),
        ("a/b", "---\nlicense: [\n---\n", "a/b"),
    ],
)
def test_a_base_model_is_named_by_what_is_there(before: str, card: str, expected: str, tmp_path: Path) -> None:
    bert(tmp_path / "theirs")
    content = json.loads((tmp_path / "theirs" / "config.json").read_text())
    (tmp_path / "theirs" / "config.json").write_text(json.dumps(content | {"_name_or_path": before}))
    (tmp_path / "theirs" / "README.md").write_text(card)
    encoder = load_encoder(tmp_path / "theirs")
    assert encoder.base_model == expected
    assert encoder.license == ("mit" if "mit" in card else None)


def _spoilt(folder: Path, name: str, content: bytes) -> None:
    bert(folder)
    (folder / name).write_bytes(content)


def _without_words(folder: Path) -> None:
    BertModel(BertConfig(**SHAPE, **SIZES)).save_pretrained(folder)


def _changed(folder: Path, **options: Any) -> None:
    bert(folder)
    content = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(content | options))


def _gpt(folder: Path) -> None:
    GPT2LMHeadModel(GPT2Config(n_embd=16, n_layer=1, n_head=2, vocab_size=20)).save_pretrained(folder)


def _many_words(folder: Path) -> None:
    BertModel(BertConfig(**SHAPE, **SIZES | {"vocab_size": 7})).save_pretrained(folder)
    bert_words(folder)


def _nothing(folder: Path) -> None:
    folder.mkdir()


def _torn_words(folder: Path) -> None:
    bert(folder)
    (folder / "tokenizer.json").write_text('{"version"')


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda folder: None, r"theirs: there is no such folder; name one that holds 'config.json', weights and a tok"),
        (_nothing, "theirs: is not a model folder; it must hold 'config.json' and weights"),
        (lambda folder: folder.write_text("x"), "theirs: is a file; name the folder it is in"),
        (lambda folder: _spoilt(folder, "config.json", b"{"), "theirs: 'config.json' cannot be read"),
        (lambda folder: _spoilt(folder, "config.json", b"[1]"), "theirs: 'config.json' cannot be read"),
        (lambda folder: _spoilt(folder, "config.json", b"{}"), r"theirs: 'model_type' must be .* Got None"),
        (_gpt, r"theirs: 'model_type' must be that of FlexiBERT or of BERT .* Got 'gpt2'"),
        (lambda folder: bert(folder, is_decoder=True), "theirs: 'model' must be an encoder. Got a BERT with 'is_deco"),
        (lambda folder: _spoilt(folder, "model.safetensors", b"\x10spoilt"), "the weights cannot be read"),
        (lambda folder: _changed(folder, num_hidden_layers=3), "'encoder.layer.2.attention.* is missing"),
        (_without_words, "theirs: holds no tokenizer; it must be there as one of tokenizer.json, vocab.txt"),
        (_torn_words, "theirs: the tokenizer cannot be read"),
        (_many_words, "theirs: the tokenizer must have the model's 7 tokens at most. Got token 9"),
    ],
    ids=lambda value: None if isinstance(value, str) else "",
)
def test_bad_folders_end_in_one_message(make: Callable, message: str, tmp_path: Path) -> None:
    make(tmp_path / "theirs")
    with pytest.raises(ValueError, match=message):
        load_encoder(tmp_path / "theirs")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"architectures": 7}, "'architectures' of config.json must be a list of names. Got 7"),
        ({"id2label": []}, "the model cannot be loaded"),
        ({"dtype": "x"}, "the model cannot be loaded"),
        ({"auto_map": "x"}, "'auto_map' must be a table of names. Got 'x'"),
        ({"lineage": 7}, "'lineage' must be a list of texts. Got 7"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_a_configuration_of_another_shape_is_told(change: dict[str, Any], message: str, tmp_path: Path) -> None:
    config = FlexiBERTConfig(model_dict=ModelSpec.homogeneous(1, 8, 1, 8).to_dict(), vocab_size=7)
    FlexiBERTModel(config).save_pretrained(tmp_path)
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | change))
    with pytest.raises(ValueError, match=message):
        load_model(tmp_path)


def test_a_damaged_list_of_modules_is_said(tmp_path: Path) -> None:
    bert(tmp_path)
    (tmp_path / "modules.json").write_text('[{"name": "0"}]')
    with pytest.raises(ValueError, match="'modules.json' must list modules, each with 'type' and 'path'"):
        load_encoder(tmp_path)
    (tmp_path / "modules.json").write_text("[")
    with pytest.raises(ValueError, match="'modules.json' cannot be read"):
        load_encoder(tmp_path)


def test_a_name_that_the_hub_does_not_give(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    with pytest.raises(
        ValueError, match=r"nobody/nothing: there is no such folder, and the model could not be had"
    ) as e:
        load_encoder("nobody/nothing")
    assert "from the Hub (" in str(e.value)
    assert "; give a folder that holds 'config.json', weights and a tokenizer" in str(e.value)
    for text in ("./nothing", "a/b/c", "/nothing"):
        with pytest.raises(ValueError, match="there is no such folder; name one that holds"):
            load_encoder(text)


def test_a_gated_name_says_so(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*args: Any, **options: Any) -> None:
        raise OSError("You are trying to access a gated repo.\nMake sure to have access to it at https://...")

    monkeypatch.setattr("flexibert.conversion.sources.cached_file", refuse)
    with pytest.raises(ValueError, match=r"had from the Hub \(You are trying to access a gated repo\); give a folder"):
        load_encoder("meta/secret")


def test_words_of_a_plain_tokenizer_file_are_enough(tmp_path: Path) -> None:
    BertModel(BertConfig(**SHAPE, **SIZES)).save_pretrained(tmp_path)
    tokenizer = Tokenizer(models.WordPiece({word: number for number, word in enumerate(WORDS)}, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    assert load_encoder(tmp_path).tokenizer("a", add_special_tokens=False)["input_ids"] == [5]


def test_a_name_on_the_hub_is_its_own_base_model(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From the Hub's cache on this machine, laid out as it is after a download."""
    repository, commit = tmp_path / "models--somebody--small-bert", "0" * 40
    source = bert(repository / "snapshots" / commit)
    (repository / "snapshots" / commit / "README.md").write_text(CARD)
    sentence_files(repository / "snapshots" / commit, {"pooling_mode": "mean"})
    (repository / "refs").mkdir()
    (repository / "refs" / "main").write_text(commit)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(huggingface_hub.constants, "HF_HUB_CACHE", str(tmp_path))
    for revision in (None, commit):
        encoder = load_encoder("somebody/small-bert", revision=revision)
        assert (encoder.name, encoder.base_model) == ("small-bert", "somebody/small-bert")
        assert (encoder.license, encoder.pooling, encoder.notes) == ("apache-2.0", "mean", ())
        assert encoder.model.config.lineage == ["Converted from BertModel `small-bert`."]
        ids = torch.tensor([[2, 5, 6, 3]])
        torch.testing.assert_close(encoder.model(ids)[0], source(ids)[0], atol=1e-6, rtol=0)
