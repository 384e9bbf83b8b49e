"""Images: configuration, encoder and classifiers, and DeiT in and out, against Hugging Face's DeiT."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn
from transformers import AutoConfig, AutoModel, AutoModelForImageClassification, DeiTConfig, DeiTForMaskedImageModeling
from transformers.models.deit.modeling_deit import DeiTForImageClassification, DeiTModel

from flexibert import FlexiBERTConfig, FlexiBERTModel
from flexibert.conversion.deit import CLASSES, from_deit, largest_difference, to_deit
from flexibert.mixing.attention import Padding
from flexibert.vision.modeling_flexivit import (
    FlexiViTConfig,
    FlexiViTForImageClassification,
    FlexiViTForImageClassificationWithTeacher,
    FlexiViTModel,
)

SHAPES: dict[str, dict[str, Any]] = {
    "tiny": {"hidden_size": 48, "num_attention_heads": 4, "intermediate_size": 96},
    "odd": {"hidden_size": 50, "num_attention_heads": 3, "image_size": (33, 20), "patch_size": [8, 4]},
    "narrow": {"hidden_size": 48, "num_attention_heads": 4, "head_dim": 8, "num_channels": 1, "pooler_act": "gelu"},
    "no bias": {"hidden_size": 32, "num_attention_heads": 2, "qkv_bias": False, "pooler_output_size": 20},
}
# Heads 2 x 8 in a layer of 24, every operation, three widths.
PRUNED = {
    "l": 3,
    "o": [["sa_sdp_8", "sa_wma_8"], ["c_3_4", "l_dct_4", "sa_sdp_4", "l_dft_4"], ["sa_sdp_8"]],
    "h": [24, 16, 32],
    "f": [[20], [24, 16], [8]],
}
# ``model_dict`` of conftest: standard and hetero, every operation, two widths.


def deit(model_class: Any = DeiTModel, shape: str = "tiny", **options: Any) -> Any:
    """With every parameter random: Hugging Face starts positions, tokens and biases at zero."""
    torch.manual_seed(0)
    sizes = {"num_hidden_layers": 3, "intermediate_size": 70, "image_size": 32, "patch_size": 8, "num_labels": 5}
    config = DeiTConfig(**(sizes | {"layer_norm_eps": 1e-6, "initializer_range": 0.2} | SHAPES[shape] | options))
    model = model_class(config).eval()
    for parameter in model.parameters():
        nn.init.normal_(parameter, std=0.2)
    return model


def tiny_vit(model_dict: dict[str, Any], **options: Any) -> FlexiViTConfig:
    torch.manual_seed(0)
    sizes = {"image_size": [16, 12], "patch_size": 4, "initializer_range": 0.3, "num_labels": 5}
    return FlexiViTConfig(model_dict=model_dict, **(sizes | options))


def images(batch: int = 2, height: int = 16, width: int = 12, channels: int = 3) -> torch.Tensor:
    return torch.randn(batch, channels, height, width, generator=torch.Generator().manual_seed(7))


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("model_class", CLASSES, ids=lambda model_class: model_class.__name__)
def test_every_head_computes_the_same_and_comes_back_bit_for_bit(model_class: Any, shape: str) -> None:
    source = deit(model_class, shape)
    ours = from_deit(source)
    assert type(ours) is CLASSES[model_class]
    assert largest_difference(source, ours) <= 1e-5
    back = to_deit(ours)
    assert type(back) is model_class
    expected = source.state_dict()
    assert back.state_dict().keys() == expected.keys()
    assert all(torch.equal(value, expected[name]) for name, value in back.state_dict().items())
    assert back.config.to_dict() == source.config.to_dict() | {"image_size": _as_json(source.config.image_size)}
    assert sum(p.numel() for p in ours.parameters()) == sum(p.numel() for p in source.parameters())


@pytest.mark.parametrize("shape", ["tiny", "odd"])
@pytest.mark.parametrize("attention", ["eager", "sdpa"])
def test_attention_implementations_and_weights_agree(shape: str, attention: str) -> None:
    source = deit(shape=shape)
    source.set_attn_implementation(attention)
    ours = from_deit(source)
    assert ours.config._attn_implementation == attention
    assert largest_difference(source, ours) <= 1e-5
    source.set_attn_implementation("eager")
    pixels = images(2, *ours.config.image_shape)
    with torch.no_grad():
        theirs, found = (model(pixels, output_attentions=True).attentions for model in (source, ours))
    for a, b in zip(theirs, found, strict=True):
        torch.testing.assert_close(a, b, atol=1e-5, rtol=0)


def test_the_base_shape_agrees() -> None:
    source = DeiTModel(DeiTConfig(num_hidden_layers=2)).eval()
    ours = from_deit(source)
    assert largest_difference(source, ours) <= 1e-5
    assert FlexiViTConfig().model_spec.layers[:2] == ours.config.model_spec.layers
    assert len(FlexiViTConfig().model_spec.layers) == DeiTConfig().num_hidden_layers
    defaults = DeiTConfig().to_dict()
    shared = {name: value for name, value in FlexiViTConfig().to_dict().items() if name in defaults}
    own = {"model_type": "flexivit", "pooler_output_size": None}
    assert shared == {name: defaults[name] for name in shared} | own


def test_losses_agree() -> None:
    pixels = images(4, 32, 32)
    for labels, count in ((torch.tensor([0, 4, 2, 1]), 5), (torch.randn(4), 1), (torch.ones(4, 5), 5)):
        source = deit(DeiTForImageClassification, num_labels=count)
        expected, found = (model(pixels, labels=labels).loss for model in (source, from_deit(source)))
        torch.testing.assert_close(found, expected)


def test_a_pruned_deit_comes_in_and_is_told_not_to_be_one() -> None:
    """Layer 1 keeps 2 of 4 heads and 30 of 96 feed-forward units, as ``nn.Linear``s cut by hand."""
    source = deit(DeiTForImageClassification)
    layer = source.deit.layers[1]
    for name in ("q_proj", "k_proj", "v_proj"):
        setattr(layer.attention, name, nn.Linear(48, 24))
    layer.attention.o_proj = nn.Linear(24, 48)
    layer.mlp.fc1, layer.mlp.fc2 = nn.Linear(48, 30), nn.Linear(30, 48)
    ours = from_deit(source)
    assert largest_difference(source, ours) <= 1e-5
    assert [len(layer.heads) for layer in ours.config.model_spec.layers] == [4, 2, 4]
    assert [layer.feed_forward for layer in ours.config.model_spec.layers] == [(96,), (30,), (96,)]
    with pytest.raises(ValueError, match="no DeiT of the same function:\n  - layer 1 must be like layer 0$"):
        to_deit(ours)


def test_the_difference_sees_a_changed_weight() -> None:
    source = deit()
    for name in ("embeddings.distillation_token", "encoder.LayerNorm.bias", "pooler.dense.bias"):
        ours = from_deit(source)
        with torch.no_grad():
            ours.get_parameter(name).add_(0.05)
        assert largest_difference(source, ours) >= 1e-3


def test_type_mode_and_pooler_are_kept_and_nothing_is_shared() -> None:
    source = DeiTModel(deit().config, add_pooling_layer=False).to(torch.bfloat16).train()
    ours = from_deit(source)
    assert ours.dtype == torch.bfloat16
    assert ours.training
    assert ours.pooler is None
    assert to_deit(ours).pooler is None
    pointers = {parameter.data_ptr() for parameter in source.parameters()}
    assert not any(parameter.data_ptr() in pointers for parameter in ours.parameters())
    assert ours(images(1, 32, 32)).last_hidden_state.dtype == torch.bfloat16


def test_what_is_not_a_deit_is_refused() -> None:
    with pytest.raises(ValueError, match="must be one of DeiTModel, .* Got DeiTForMaskedImageModeling"):
        from_deit(deit(DeiTForMaskedImageModeling))
    with pytest.raises(ValueError, match="no mask token"):
        from_deit(DeiTModel(deit().config, use_mask_token=True))
    changed = deit()
    changed.layers[2].attention.k_proj = nn.Linear(48, 48, bias=False)
    with pytest.raises(ValueError, match=r"It differs in layers\.2\.attention\.k_proj\.bias$"):
        from_deit(changed)
    bert = {"l": 1, "o": ["sa"], "h": [16], "n": [2], "f": [[16]], "p": ["sdp"]}
    with pytest.raises(ValueError, match="must be a FlexiViT model. Got FlexiBERTModel"):
        to_deit(FlexiBERTModel(FlexiBERTConfig(model_dict=bert, vocab_size=11)))  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="no DeiT of the same function") as caught:
        to_deit(FlexiViTModel(tiny_vit(PRUNED, use_distillation_token=False)))
    for part in ("'use_distillation_token' must", "layer 0 must have self-att", "layer 1 must have one feed-forward"):
        assert part in str(caught.value)


def test_layers_are_pre_norm_and_change_width() -> None:
    """The encoder against the formulas, written out in float64, mixing and feed-forward modules as black boxes."""
    model = FlexiViTModel(tiny_vit(PRUNED)).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(torch.randn_like(parameter) * 0.1)  # LayerNorms do not start at 1 and 0, biases not at 0
        found = model(images(), output_hidden_states=True)
        x = found.hidden_states[0]
        for number, layer in enumerate(model.encoder.layer):
            attention = layer.attention
            context = attention.self(attention.LayerNorm(x), Padding(), False)[0]
            x = x + context @ attention.output.dense.weight.T + attention.output.dense.bias
            x = x + layer.output.dense(layer.intermediate.sequential(layer.LayerNorm(x)))
            x = x if layer.output.proj_head is None else layer.output.proj_head(x)
            torch.testing.assert_close(found.hidden_states[number + 1], x, atol=1e-10, rtol=0)
        last = model.encoder.LayerNorm(x)
    torch.testing.assert_close(found.last_hidden_state, last, atol=1e-10, rtol=0)
    torch.testing.assert_close(found.pooler_output, torch.tanh(model.pooler.dense(last[:, 0])), atol=1e-10, rtol=0)
    assert [state.shape for state in found.hidden_states] == [(2, 14, 24), (2, 14, 16), (2, 14, 32), (2, 14, 32)]


@pytest.mark.parametrize("token", [True, False])
def test_patches_are_tokens_row_by_row(token: bool) -> None:
    model = FlexiViTModel(tiny_vit(PRUNED, use_distillation_token=token)).eval()
    pixels = images()
    embeddings = model.embeddings
    with torch.no_grad():
        embedded = model(pixels, output_hidden_states=True).hidden_states[0] - embeddings.position_embeddings
        patch = pixels[1, :, 4:8, 8:12]  # row 1 of 4, column 2 of 3
        kernel = embeddings.patch_embeddings
        expected = (kernel.weight * patch).sum((1, 2, 3)) + kernel.bias
    torch.testing.assert_close(embedded[1, 1 + token + 3 + 2], expected, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(embedded[1, 0], embeddings.cls_token[0, 0], atol=1e-6, rtol=1e-6)
    assert embedded.shape[1] == model.config.max_position_embeddings == 13 + token
    assert (embeddings.distillation_token is not None) == token


@pytest.mark.parametrize("bias", [True, False])
def test_queries_keys_and_values_have_a_bias_when_told_so(model_dict: dict, bias: bool) -> None:
    for layers in (model_dict, PRUNED):
        model = FlexiViTModel(tiny_vit(layers, qkv_bias=bias)).eval()
        names = [name for name, _ in model.named_parameters() if name.endswith(".bias")]
        of_qkv = [name for name in names if name.split(".")[-2] in ("query", "key", "value")]
        assert bool(of_qkv) == bias
        assert len(names) > len(of_qkv)
        assert model(images()).last_hidden_state.isfinite().all()


@pytest.mark.parametrize(
    "model_class", [FlexiViTModel, FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher]
)
def test_saved_models_give_the_same_outputs_after_loading(model_class: Any, model_dict: dict, tmp_path: Path) -> None:
    for number, layers in enumerate((model_dict, PRUNED)):
        folder = tmp_path / str(number)
        model = model_class(tiny_vit(layers, qkv_bias=False, pooler_output_size=7)).eval()
        model.save_pretrained(folder)
        auto_class = AutoModel if model_class is FlexiViTModel else AutoModelForImageClassification
        assert type(AutoConfig.from_pretrained(folder)) is FlexiViTConfig
        for loaded in (model_class.from_pretrained(folder), auto_class.from_pretrained(folder)):
            assert type(loaded) is model_class
            assert loaded.config.to_dict() == model.config.to_dict() | {"_name_or_path": loaded.config._name_or_path}
            expected, found = model(images()), loaded.eval()(images())
            assert all(torch.equal(expected[name], found[name]) for name in expected)
        stored = load_file(folder / "model.safetensors")
        assert sum(value.numel() for value in stored.values()) == sum(value.numel() for value in model.parameters())


def test_one_configuration_serves_two_models() -> None:
    config = tiny_vit(PRUNED)
    model = FlexiViTForImageClassification(config)
    config.model_dict = {"l": 1, "o": [["sa_sdp_4"]], "h": [8], "f": [[8]]}
    assert model.config.hidden_size == 32
    assert model.vit.config is model.config


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("image_size", 20, r"'embeddings\.position_embeddings' has shape \(1, 14, 24\).* says \(1, 27, 24\)"),
        ("qkv_bias", False, r"'encoder\.layer\.0\.attention\.self\.key\.bias' has no place"),
        ("use_distillation_token", False, r"'embeddings\.distillation_token' has no place"),
        ("num_channels", 1, r"'embeddings\.patch_embeddings\.weight' has shape \(24, 3, 4, 4\)"),
        ("model_dict", PRUNED | {"f": [[20], [24, 16], [9]]}, r"intermediate\.sequential\.0\.weight' has shape \(8, 3"),
        (
            "model_dict",
            {"l": 1} | {key: PRUNED[key][:1] for key in "ohf"},
            r"'encoder\.layer\.1\.LayerNorm\.bias' has no",
        ),
        ("pooler_output_size", 9, "the pooler or the task head has another shape"),
    ],
)
def test_weights_that_contradict_the_configuration_are_refused(
    option: str, value: Any, message: str, tmp_path: Path
) -> None:
    FlexiViTModel(tiny_vit(PRUNED)).save_pretrained(tmp_path)
    stored = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(stored | {option: value}))
    with pytest.raises(ValueError, match=message):
        FlexiViTModel.from_pretrained(tmp_path)


def test_missing_weights_are_refused_and_damaged_files_told(tmp_path: Path) -> None:
    FlexiViTModel(tiny_vit(PRUNED)).save_pretrained(tmp_path)
    weights = load_file(tmp_path / "model.safetensors")
    del weights["embeddings.cls_token"]
    save_file(weights, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ValueError, match=r"contradict config\.json:\n  - 'embeddings\.cls_token' is missing"):
        FlexiViTModel.from_pretrained(tmp_path)
    (tmp_path / "model.safetensors").write_bytes(b"\x10spoilt")
    with pytest.raises(OSError, match="damaged or cut off"):
        FlexiViTModel.from_pretrained(tmp_path)


def test_another_number_of_labels_starts_at_random_only_when_asked(tmp_path: Path) -> None:
    FlexiViTForImageClassification(tiny_vit(PRUNED)).save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="ignore_mismatched_sizes=True"):
        FlexiViTForImageClassification.from_pretrained(tmp_path, num_labels=3)
    model = FlexiViTForImageClassification.from_pretrained(tmp_path, num_labels=3, ignore_mismatched_sizes=True)
    assert model(images()).logits.shape == (2, 3)


def test_folders_of_other_models_are_refused(tmp_path: Path) -> None:
    deit().save_pretrained(tmp_path)
    with pytest.raises(ValueError, match="must be 'flexivit'. Got 'deit'"):
        FlexiViTModel.from_pretrained(tmp_path)


@pytest.mark.parametrize(
    ("pixels", "found"),
    [
        (images(2, 12, 16), r"\(2, 3, 12, 16\)"),
        (images(channels=1), r"\(2, 1, 16, 12\)"),
        (images()[0], r"\(3, 16, 12\)"),
        (None, "nothing"),
    ],
)
def test_images_of_another_shape_are_refused(pixels: torch.Tensor | None, found: str) -> None:
    for model_class in (FlexiViTModel, FlexiViTForImageClassification, FlexiViTForImageClassificationWithTeacher):
        with pytest.raises(ValueError, match=rf"must be of shape \(batch, 3, 16, 12\)\. Got {found}$"):
            model_class(tiny_vit(PRUNED))(pixels)


def test_attention_weights_come_from_both_implementations(model_dict: dict) -> None:
    for layers in (model_dict, PRUNED):
        model = FlexiViTModel(tiny_vit(layers)).eval()
        fused = model(images())
        assert fused.attentions is None
        assert fused.hidden_states is None
        explicit = model(images(), output_attentions=True)
        torch.testing.assert_close(fused.last_hidden_state, explicit.last_hidden_state, atol=1e-5, rtol=0)
        for weights, layer in zip(explicit.attentions, model.config.model_spec.layers, strict=True):
            assert weights.shape[0] == 2
            assert weights.shape[1] <= len(layer.heads)
            torch.testing.assert_close(weights.sum(-1), torch.ones(weights.shape[:-1]))
        model.set_attn_implementation("eager")
        torch.testing.assert_close(model(images())[0], fused[0], atol=1e-5, rtol=0)
        model.config.output_hidden_states = model.config.output_attentions = True
        assert len(model(images()).hidden_states) == len(model(images()).attentions) + 1
        assert len(model(images(), return_dict=False)) == 4


def test_gradient_checkpointing_gives_the_same_gradients(model_dict: dict) -> None:
    for layers in (model_dict, PRUNED):
        model = FlexiViTForImageClassification(tiny_vit(layers)).train()
        gradients = []
        for is_checkpointing in (False, True):
            if is_checkpointing:
                (getattr(model, "activation_checkpointing_enable", None) or model.gradient_checkpointing_enable)()
            model.zero_grad()
            model(images(), labels=torch.tensor([0, 3])).loss.backward()
            gradients.append({name: parameter.grad for name, parameter in model.named_parameters()})
        assert all(value is not None for value in gradients[0].values())
        assert any(getattr(module, "gradient_checkpointing", False) for module in model.modules())
        for name, value in gradients[0].items():
            torch.testing.assert_close(gradients[1][name], value, atol=1e-6, rtol=1e-5)


def test_dropout_acts_in_training_only() -> None:
    for option in ("hidden_dropout_prob", "attention_probs_dropout_prob"):
        model = FlexiViTModel(tiny_vit(PRUNED, **{option: 0.5}))
        assert not torch.equal(model.train()(images())[0], model(images())[0])
        assert torch.equal(model.eval()(images())[0], model(images())[0])


def test_tokens_and_positions_start_at_random() -> None:
    model = FlexiViTModel(tiny_vit(PRUNED, initializer_range=0.05))
    for parameter in model.embeddings.parameters(recurse=False):
        assert 0.02 < parameter.std() < 0.08


def test_the_second_classifier_needs_the_distillation_token() -> None:
    with pytest.raises(ValueError, match="'use_distillation_token' must be true"):
        FlexiViTForImageClassificationWithTeacher(tiny_vit(PRUNED, use_distillation_token=False))
    with pytest.raises(ValueError, match="between FlexiBERT models only"):
        FlexiViTModel(tiny_vit(PRUNED)).load_model_from_source(FlexiViTModel(tiny_vit(PRUNED)))


def test_no_labels_give_the_states_themselves() -> None:
    model = FlexiViTForImageClassification(tiny_vit(PRUNED, num_labels=0)).eval()
    assert torch.equal(model(images()).logits, model.vit(images()).last_hidden_state[:, 0])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"patchsize": 4}, "'patchsize' is not an option of FlexiViTConfig; did you mean 'patch_size'?"),
        ({"zzz": 4}, "'zzz' is not an option of FlexiViTConfig"),
        ({"hidden_size": 4}, "'hidden_size' is computed from the other options; leave it out"),
        ({"hidden_act": "gelus"}, "'hidden_act' must be an activation of transformers"),
        ({"pooler_act": "gelus"}, "'pooler_act' must be an activation of transformers"),
        ({"patch_size": 17}, "'patch_size' must fit into 'image_size' [16, 12]. Got 17"),
        ({"image_size": [16, 0]}, "'image_size' must be a whole number above 0, or two. Got [16, 0]"),
        ({"num_channels": 0}, "'num_channels' must be a whole number above 0. Got 0"),
        ({"pooler_output_size": 0}, "'pooler_output_size' must be a whole number above 0. Got 0"),
        ({"hidden_dropout_prob": 1.0}, "'hidden_dropout_prob' must be in [0, 1). Got 1.0"),
        ({"model_dict": {"l": 1}}, "Key 'o' is missing from the model dict"),
    ],
)
def test_wrong_options_are_refused(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=r"1 problem\(s\) in the FlexiViT configuration") as caught:
        tiny_vit(options.pop("model_dict", PRUNED), **options)
    assert message in str(caught.value)


def test_every_problem_is_listed() -> None:
    with pytest.raises(ValueError, match=r"3 problem\(s\)"):
        tiny_vit(PRUNED, patchsize=4, num_channels=0, hidden_act="gelus")


def test_sizes_follow_from_the_model_dict() -> None:
    config = tiny_vit(PRUNED)
    assert (config.embedding_size, config.hidden_size, config.num_hidden_layers) == (24, 32, 3)
    assert (config.num_attention_heads, config.intermediate_size, config.num_patches) == (1, 8, 12)
    assert (config.position_embedding_type, config.max_position_embeddings) == ("absolute", 14)
    assert config.model_spec.to_dict() == config.model_dict == PRUNED


def _as_json(size: Any) -> Any:
    return list(size) if isinstance(size, tuple) else size
