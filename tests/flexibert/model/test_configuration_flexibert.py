"""Configurations: what they accept, refuse, save and load."""

import json
from pathlib import Path

import numpy as np
import pytest
from transformers import AutoConfig

from design_space import ModelSpec
from flexibert import FlexiBERTConfig
from flexibert.vision.configuration_flexivit import FlexiViTConfig

STANDARD = {"l": 2, "o": ["sa", "c"], "h": [16, 32], "n": [2, 4], "f": [[32], [32, 48]], "p": ["wma", 5]}
HETERO = {"l": 1, "o": [["sa_sdp_8", "c_5_8", "l_dft_8"]], "h": [16], "f": [[32]]}
ORIGINAL_EXTRAS = {
    "model_type": "bert",
    "architectures": ["BertModelModular"],
    "hidden_size": 768,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
    "head_ratio": 2,
    "num_groups": 1,
    "conv_kernel_size": 9,
    "gradient_checkpointing": False,
    "use_cache": True,
    "torch_dtype": "float32",
    "type_vocab_size": 1,
}


def test_the_default_is_a_homogeneous_encoder_of_berts_base_shape() -> None:
    config = FlexiBERTConfig()
    expected = {"l": 12, "o": ["sa"] * 12, "h": [768] * 12, "n": [12] * 12, "f": [[3072]] * 12, "p": ["sdp"] * 12}
    assert config.model_spec.to_dict() == expected
    assert (config.hidden_size, config.num_hidden_layers, config.num_attention_heads, config.intermediate_size) == (
        768,
        12,
        12,
        3072,
    )
    assert (config.vocab_size, config.max_position_embeddings, config.type_vocab_size) == (30522, 514, 2)
    assert (config.position_embedding_type, config.tie_word_embeddings, config.layer_norm_eps) == (
        "relative_key",
        False,
        1e-12,
    )


def test_berts_names_shape_the_homogeneous_encoder() -> None:
    config = FlexiBERTConfig(hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64)
    assert config.model_spec.to_dict() == {
        "l": 2,
        "o": ["sa"] * 2,
        "h": [32] * 2,
        "n": [4] * 2,
        "f": [[64]] * 2,
        "p": ["sdp"] * 2,
    }


def test_both_methods_set_the_spec_can_be_called_twice_and_return_the_configuration() -> None:
    config = FlexiBERTConfig()
    for _ in range(2):
        assert config.from_model_dict(STANDARD) is config
        assert config.model_spec == ModelSpec.from_dict(STANDARD)
        assert config.from_model_dict_hetero(HETERO) is config
        assert config.model_spec == ModelSpec.from_dict(HETERO)


def test_hidden_sizes_follow_from_the_last_and_first_layer() -> None:
    config = FlexiBERTConfig(model_dict=STANDARD)
    assert (config.embedding_size, config.hidden_size, config.num_attention_heads, config.intermediate_size) == (
        16,
        32,
        4,
        48,
    )


@pytest.mark.parametrize("model_dict", [None, STANDARD, HETERO], ids=["default", "standard", "hetero"])
def test_saved_configurations_hold_the_architecture_once_and_reload(model_dict: dict | None, tmp_path: Path) -> None:
    config = FlexiBERTConfig(model_dict=model_dict, num_labels=5, vocab_size=99, position_embedding_type="absolute")
    config.save_pretrained(tmp_path)
    written = json.loads((tmp_path / "config.json").read_text())
    assert written["model_type"] == "flexibert"
    assert written["model_dict"] == config.model_spec.to_dict()
    assert not {"hidden_size", "num_hidden_layers", "attention_heads_list"} & written.keys()
    for loaded in (FlexiBERTConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        assert isinstance(loaded, FlexiBERTConfig)
        assert loaded.to_diff_dict() == config.to_diff_dict()
        assert loaded.model_spec == config.model_spec
        assert (loaded.num_labels, loaded.vocab_size) == (5, 99)


@pytest.mark.parametrize("model_dict", [STANDARD, HETERO], ids=["standard", "hetero"])
def test_configurations_of_the_original_code_are_read(model_dict: dict, tmp_path: Path) -> None:
    is_hetero = "n" not in model_dict
    lists = {
        "num_hidden_layers": model_dict["l"],
        "hidden_dim_list": model_dict["h"],
        "ff_dim_list": model_dict["f"],
        "from_model_dict_hetero": is_hetero,
        "attention_heads_list": model_dict["o"] if is_hetero else model_dict["n"],
    }
    if not is_hetero:
        lists |= {"attention_type": model_dict["o"], "similarity_list": model_dict["p"]}
    (tmp_path / "config.json").write_text(json.dumps(ORIGINAL_EXTRAS | lists))
    config = FlexiBERTConfig.from_pretrained(tmp_path)
    assert config.model_spec == ModelSpec.from_dict(model_dict)
    assert config.type_vocab_size == 1
    assert config.mask_padding is False
    assert config.from_model_dict(STANDARD).model_spec == ModelSpec.from_dict(STANDARD)


def test_padding_is_masked_unless_asked_otherwise() -> None:
    assert FlexiBERTConfig().mask_padding is True
    assert FlexiBERTConfig(mask_padding=False).mask_padding is False


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"vocab_sise": 5}, "'vocab_sise' is not an option of FlexiBERTConfig; did you mean 'vocab_size'"),
        ({"per_layer_config": {}}, "'per_layer_config' is not an option"),
        (
            {"position_embedding_type": "rotary"},
            "must be one of absolute, relative_key, relative_key_query. Got 'rotary'",
        ),
        ({"pooling": "max"}, "'pooling' must be one of cls, mean. Got 'max'"),
        ({"word_vector_size": 0}, "'word_vector_size' must be a whole number above 0, or None. Got 0"),
        ({"hidden_act": "gelo"}, "'hidden_act' must be an activation"),
        ({"hidden_act": None}, "'hidden_act' must be an activation of transformers, such as 'gelu'. Got None"),
        ({"mask_padding": "no"}, "'mask_padding' must be true or false. Got 'no'"),
        ({"tie_word_embeddings": "yes"}, "'tie_word_embeddings' must be true or false. Got 'yes'"),
        ({"sparse_prediction": 3}, "'sparse_prediction' must be true or false. Got 3"),
        ({"pad_token_id": 1.5}, "'pad_token_id' must be a whole number of 0 or more, or None. Got 1.5"),
        ({"pad_token_id": "a"}, "'pad_token_id' must be a whole number of 0 or more, or None. Got 'a'"),
        ({"num_labels": 0}, "'num_labels' must be at least 1. Got 0"),
        ({"problem_type": "regresion"}, "'problem_type' must be one of regression, single_label.* Got 'regresion'"),
        ({"vocab_size": 0}, "'vocab_size' must be a whole number above 0. Got 0"),
        ({"max_position_embeddings": 2.5}, "'max_position_embeddings' must be a whole number above 0. Got 2.5"),
        ({"hidden_dropout_prob": 1.0}, r"'hidden_dropout_prob' must be in \[0, 1\). Got 1.0"),
        ({"vocab_size": 5, "pad_token_id": 5}, "'pad_token_id' must be below 'vocab_size' 5. Got 5"),
        ({"head_ratio": 4}, "'head_ratio' must be 2: a convolution layer splits"),
        ({"is_decoder": True}, "'is_decoder' must be False: FlexiBERT is an encoder"),
        (
            {"model_dict": STANDARD, "hidden_size": 16},
            "'hidden_size' follows from 'model_dict' and is 32 there. Got 16",
        ),
        ({"model_dict": STANDARD | {"x": 1}}, "'x'"),
        ({"model_dict": STANDARD | {"n": [3, 4]}}, "must divide the hidden size"),
        ({"model_dict": STANDARD | {"p": ["wma", 4]}}, "must be an odd kernel size"),
        ({"hidden_size": 30, "num_attention_heads": 4}, "must divide the hidden size"),
        (
            {
                "model_dict": HETERO,
                "attention_heads_list": [["sa_sdp_8"]],
                "hidden_dim_list": [8],
                "ff_dim_list": [[8]],
            },
            "describe different architectures",
        ),
    ],
)
def test_bad_options_are_refused_by_name(options: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FlexiBERTConfig(**options)


def test_all_problems_are_reported_at_once() -> None:
    with pytest.raises(ValueError, match=r"3 problem\(s\)(.|\n)*'vocab_sise'(.|\n)*'rotary'(.|\n)*'type_vocab_size'"):
        FlexiBERTConfig(vocab_sise=3, position_embedding_type="rotary", type_vocab_size=-1)


def test_a_model_dict_of_the_other_format_is_refused() -> None:
    with pytest.raises(
        ValueError, match=r"must be in the standard format. Got the hetero format; use 'from_model_dict_hetero'"
    ):
        FlexiBERTConfig().from_model_dict(HETERO)
    with pytest.raises(
        ValueError, match=r"must be in the hetero format. Got the standard format; use 'from_model_dict'"
    ):
        FlexiBERTConfig().from_model_dict_hetero(STANDARD)


def test_a_folder_of_another_kind_of_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "bert", "hidden_size": 16}))
    with pytest.raises(ValueError, match=r"'model_type' of the configuration must be 'flexibert'. Got 'bert'"):
        FlexiBERTConfig.from_pretrained(tmp_path)


@pytest.mark.parametrize("config_class", [FlexiBERTConfig, FlexiViTConfig])
def test_what_somebody_sets_on_a_configuration_is_kept_and_misspelt_options_in_its_file_are_not(config_class, tmp_path):
    config = config_class()
    config.my_note = {"run": 3}
    config.save_pretrained(tmp_path)
    loaded = config_class.from_pretrained(tmp_path)
    assert loaded.my_note == {"run": 3}
    loaded.save_pretrained(tmp_path)
    assert config_class.from_pretrained(tmp_path).to_dict() == loaded.to_dict()
    content = json.loads((tmp_path / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(content | {"hiden_act": "gelu"}))
    with pytest.raises(ValueError, match="'hiden_act' is not an option of .*; did you mean 'hidden_act'"):
        config_class.from_pretrained(tmp_path)


@pytest.mark.parametrize("wrong", [{"layer_norm_eps": float("nan")}, {"initializer_range": True}])
def test_numbers_are_numbers(wrong):
    with pytest.raises(ValueError, match=f"'{next(iter(wrong))}' must be a number of 0 or more"):
        FlexiBERTConfig(**wrong)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer_norm_eps": "a"}, "'layer_norm_eps' must be a number of 0 or more. Got 'a'"),
        ({"initializer_range": -1}, "'initializer_range' must be a number of 0 or more. Got -1"),
        ({"use_distillation_token": "no"}, "'use_distillation_token' must be true or false. Got 'no'"),
        ({"qkv_bias": 3}, "'qkv_bias' must be true or false. Got 3"),
        ({"num_labels": -1}, "'num_labels' must be at least 0. Got -1"),
    ],
)
def test_bad_options_of_images_are_refused_by_name(options, message):
    with pytest.raises(ValueError, match=message):
        FlexiViTConfig(**options)


def test_names_of_additional_options_are_a_list_and_computed_options_are_refused():
    with pytest.raises(ValueError, match="'additional_options' must be a list of names"):
        FlexiBERTConfig(additional_options="hiden_act", act="x")
    with pytest.raises(ValueError, match=r"1 problem\(s\) .*\n  - 'hidden_size' is computed"):
        FlexiViTConfig(hidden_size=0)


def test_numbers_of_numpy_count_labels():
    assert FlexiBERTConfig(num_labels=np.int64(3)).num_labels == 3
