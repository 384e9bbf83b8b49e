"""BERT in and out, against Hugging Face's BERT."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import BertConfig, BertForQuestionAnswering, BertLMHeadModel, BertModel, BertTokenizerFast

from flexibert import FlexiBERTConfig, FlexiBERTForQuestionAnswering, FlexiBERTModel, from_bert, to_bert
from flexibert.conversion.bert import CLASSES
from flexibert.conversion.differences import largest_difference
from flexibert.convert_bert import convert, main

SHAPES = {"tiny": (128, 2, 2, 512), "odd": (96, 3, 6, 200), "mini": (256, 4, 4, 1024)}


def bert(model_class: Any = BertModel, shape: str = "odd", **options: Any) -> Any:
    torch.manual_seed(0)
    width, layers, heads, feed_forward = SHAPES[shape]
    sizes = {"vocab_size": 97, "max_position_embeddings": 40, "initializer_range": 0.2}
    return model_class(
        BertConfig(
            hidden_size=width,
            num_hidden_layers=layers,
            num_attention_heads=heads,
            intermediate_size=feed_forward,
            **(sizes | options),
        )
    ).eval()


@pytest.mark.parametrize("model_class", CLASSES, ids=lambda model_class: model_class.__name__)
def test_every_head_computes_the_same_and_comes_back_bit_for_bit(model_class: Any) -> None:
    source = bert(model_class, classifier_dropout=0.3, layer_norm_eps=1e-5, pad_token_id=3)
    ours = from_bert(source)
    assert type(ours) is CLASSES[model_class]
    assert largest_difference(source, ours) <= 1e-5
    back = to_bert(ours)
    assert type(back) is model_class
    expected = source.state_dict()
    assert back.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in back.state_dict().items())
    assert back.config.classifier_dropout == 0.3


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("implementation", ["eager", "sdpa"])
def test_shapes_and_attention_implementations_agree(shape: str, implementation: str) -> None:
    source = bert(shape=shape)
    source.set_attn_implementation(implementation)
    ours = from_bert(source)
    assert ours.config._attn_implementation == implementation
    assert largest_difference(source, ours) <= 1e-5


@pytest.mark.parametrize("model_class", CLASSES, ids=lambda model_class: model_class.__name__)
def test_given_positions_are_used_as_hugging_face_uses_them(model_class: Any) -> None:
    source = bert(model_class)
    ours = from_bert(source)
    leading = (2, 3) if "MultipleChoice" in model_class.__name__ else (2,)
    ids = torch.randint(1, 97, (*leading, 9))
    left_padded = torch.ones_like(ids)
    left_padded[1, ..., :4] = 0
    places = {
        "left padding": (left_padded.cumsum(-1) - 1).clamp(min=0),
        "any order": torch.randperm(40)[:9].expand(ids.shape),
        "one row": torch.randperm(40)[:9].unsqueeze(0),
    }
    default = ours(input_ids=ids, attention_mask=left_padded)[0]
    for position_ids in places.values():
        inputs = {"input_ids": ids, "attention_mask": left_padded, "position_ids": position_ids}
        found, expected = ours(**inputs)[0], source(**inputs)[0]
        is_real = left_padded.bool() if found.shape[: ids.dim()] == ids.shape else slice(None)
        torch.testing.assert_close(found[is_real], expected[is_real], atol=1e-5, rtol=0)
        assert not torch.allclose(found, default, atol=1e-3)


@pytest.mark.slow
def test_the_base_shape_agrees() -> None:
    torch.manual_seed(0)
    source = BertModel(BertConfig()).eval()
    assert largest_difference(source, from_bert(source)) <= 1e-5


def test_real_weights_agree(shared: Path) -> None:
    folder = shared / "data/weights"
    config = BertConfig.from_dict(json.loads((folder / "config.json").read_text()))
    torch.manual_seed(0)
    source = BertModel(config).eval()
    weights = load_file(folder / "bert-tiny-sst2-encoder.safetensors")
    weights = {name.removeprefix("bert."): value for name, value in weights.items()}
    missing, _ = source.load_state_dict(weights, strict=False)
    assert all(name.startswith("embeddings.") for name in missing)
    assert largest_difference(source, from_bert(source)) <= 1e-5


def test_the_difference_sees_a_changed_weight() -> None:
    source = bert()
    ours = from_bert(source)
    with torch.no_grad():
        ours.encoder.layer[2].output.LayerNorm.bias[0] += 0.01
    assert largest_difference(source, ours) >= 0.005


def test_type_mode_and_pooler_are_kept_and_nothing_is_shared() -> None:
    source = BertModel(bert().config, add_pooling_layer=False).to(torch.bfloat16).train()
    ours = from_bert(source)
    assert ours.dtype == torch.bfloat16
    assert ours.training
    assert ours.pooler is None
    pointers = {parameter.data_ptr() for parameter in source.parameters()}
    assert not any(parameter.data_ptr() in pointers for parameter in ours.parameters())


def test_options_of_the_output_are_kept() -> None:
    ours = from_bert(bert(BertModel, output_hidden_states=True, return_dict=False))
    assert isinstance(ours(torch.ones(1, 4, dtype=torch.long)), tuple)
    assert len(ours(torch.ones(1, 4, dtype=torch.long))) == 3
    back = to_bert(ours).config
    assert (back.output_hidden_states, back.return_dict) == (True, False)


@pytest.mark.parametrize("num_labels", [1, 3])
def test_answers_have_two_outputs_whatever_the_number_of_labels(num_labels: int) -> None:
    layers = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[8]], "p": ["sdp"]}
    config = FlexiBERTConfig(
        model_dict=layers, vocab_size=20, position_embedding_type="absolute", num_labels=num_labels
    )
    ours = FlexiBERTForQuestionAnswering(config)
    assert largest_difference(ours, to_bert(ours)) == 0
    with pytest.raises(ValueError, match=f"first and the last token of an answer. Got 'num_labels' {num_labels}"):
        from_bert(bert(BertForQuestionAnswering, num_labels=num_labels))


def test_what_is_not_a_bert_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of BertModel, .* Got BertLMHeadModel"):
        from_bert(bert(BertLMHeadModel))
    with pytest.raises(ValueError, match="must be an encoder"):
        from_bert(bert(is_decoder=True))
    layers = {"l": 2, "o": ["sa", "c"], "h": [16, 16], "n": [2, 2], "f": [[16, 16], [16]], "p": ["sdp", 3]}
    with pytest.raises(ValueError, match="no BERT of the same function") as caught:
        to_bert(FlexiBERTModel(FlexiBERTConfig(model_dict=layers, vocab_size=11)))
    for part in ("'position_embedding_type' must be absolute", "layer 0 must have one", "layer 1 must have self-att"):
        assert part in str(caught.value)


def test_convert_bert_goes_there_and_back(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    there, back = tmp_path / "there", tmp_path / "back"
    bert(next(iter(list(CLASSES)[2:]))).save_pretrained(tmp_path / "bert")
    (tmp_path / "vocab.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\nword\n")
    BertTokenizerFast(str(tmp_path / "vocab.txt")).save_pretrained(tmp_path / "bert")
    for source, target in ((tmp_path / "bert", there), (there, back)):
        with pytest.raises(SystemExit) as ended:
            main([str(source), str(target), "--check"])
        assert ended.value.code == 0
        assert "largest output difference 0" in capsys.readouterr().out
        assert (target / "tokenizer.json").exists()
    before, after = (load_file(folder / "model.safetensors") for folder in (tmp_path / "bert", back))
    assert before.keys() == after.keys()
    assert all(torch.equal(value, after[name]) for name, value in before.items())
    assert not list(tmp_path.glob(".convert*"))


def _change(folder: Path, before: str, after: str) -> None:
    content = (folder / "config.json").read_text()
    assert before in content
    (folder / "config.json").write_text(content.replace(before, after))


def _as_bin(folder: Path, content: Any) -> None:
    (folder / "model.safetensors").unlink()
    if isinstance(content, bytes):
        (folder / "pytorch_model.bin").write_bytes(content)
    else:
        torch.save(content, folder / "pytorch_model.bin")


def test_an_encoder_without_a_pooler_is_converted_to_one_without(tmp_path: Path) -> None:
    bert().save_pretrained(tmp_path / "bert")
    weights = load_file(tmp_path / "bert" / "model.safetensors")
    save_file(
        {name: value for name, value in weights.items() if "pooler" not in name},
        tmp_path / "bert" / "model.safetensors",
        {"format": "pt"},
    )
    assert convert(tmp_path / "bert", tmp_path / "ours", check=True) == 0
    assert convert(tmp_path / "ours", tmp_path / "back", check=True) == 0
    for name in ("ours", "back"):
        assert not [key for key in load_file(tmp_path / name / "model.safetensors") if "pooler" in key]
    assert len(load_file(tmp_path / "back" / "model.safetensors")) == len(weights) - 2


def test_a_missing_pooler_below_a_head_is_the_same_each_time_a_folder_is_read(tmp_path: Path) -> None:
    bert(list(CLASSES)[2]).save_pretrained(tmp_path / "bert")
    weights = load_file(tmp_path / "bert" / "model.safetensors")
    kept = {name: value for name, value in weights.items() if "pooler" not in name}
    save_file(kept, tmp_path / "bert" / "model.safetensors", {"format": "pt"})
    assert convert(tmp_path / "bert", tmp_path / "ours", check=True) == 0
    assert load_file(tmp_path / "ours" / "model.safetensors").keys() >= {"bert.pooler.dense.weight"}


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (lambda folder: (folder / "config.json").unlink(), "is not a model folder"),
        (lambda folder: (folder / "model.safetensors").write_bytes(b"\x10spoilt"), "the weights cannot be read"),
        (
            lambda folder: (folder / "config.json").write_text(
                (folder / "config.json").read_text().replace('"BertModel"', '"BertLMHeadModel"')
            ),
            "'architectures' must name one of",
        ),
        (
            lambda folder: _change(folder, '"num_hidden_layers": 3', '"num_hidden_layers": 4'),
            "'encoder.layer.3.attention.output.LayerNorm.bias' is missing",
        ),
        (
            lambda folder: _change(folder, '"type_vocab_size": 2', '"type_vocab_size": 3'),
            "'embeddings.token_type_embeddings.weight' has shape (2, 96), the configuration says (3, 96)",
        ),
        (
            lambda folder: _change(folder, '"num_hidden_layers": 3', '"num_hidden_layers": 2'),
            "'encoder.layer.2.attention.output.LayerNorm.bias' has no place",
        ),
        (
            lambda folder: _change(folder, '"hidden_act": "gelu"', '"hidden_act": "gelux"'),
            "cannot be loaded (KeyError: 'gelux')",
        ),
        (lambda folder: _as_bin(folder, b"junk"), "pytorch_model.bin: the weights cannot be read"),
        (lambda folder: _as_bin(folder, b"a text"), "pytorch_model.bin: the weights cannot be read"),
        (lambda folder: _as_bin(folder, b""), "pytorch_model.bin: the weights cannot be read"),
        (lambda folder: _as_bin(folder, [1, 2]), "it holds no weights by name but a list"),
    ],
)
def test_bad_folders_end_in_one_message(
    tmp_path: Path, spoil: Any, message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    bert().save_pretrained(tmp_path / "bert")
    spoil(tmp_path / "bert")
    with pytest.raises(SystemExit) as ended:
        main([str(tmp_path / "bert"), str(tmp_path / "target")])
    assert ended.value.code == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "target").exists()
