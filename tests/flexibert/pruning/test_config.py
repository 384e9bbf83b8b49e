"""Defaults are nn_pruning's; every mistake has its message."""

import dataclasses

import pytest

from flexibert import PruningConfig


def test_defaults_are_those_of_nn_pruning():
    assert dataclasses.asdict(PruningConfig()) == {
        "mask_scores_learning_rate": 1e-2,
        "dense_pruning_method": "topK",
        "attention_pruning_method": "topK",
        "attention_output_with_dense": True,
        "bias_mask": True,
        "mask_init": "constant",
        "mask_scale": 0.0,
        "dense_block_rows": 1,
        "dense_block_cols": 1,
        "attention_block_rows": 1,
        "attention_block_cols": 1,
        "initial_threshold": 1.0,
        "final_threshold": 0.5,
        "initial_warmup": 1,
        "final_warmup": 2,
        "regularization": "disabled",
        "regularization_final_lambda": 0.0,
        "attention_lambda": 1.0,
        "dense_lambda": 1.0,
        "distil_teacher_name_or_path": None,
        "distil_alpha_ce": 0.5,
        "distil_alpha_teacher": 0.5,
        "distil_temperature": 2.0,
        "final_finetune": False,
        "linear_min_parameters": 0.005,
        "eval_with_current_patch_params": False,
    }


@pytest.mark.parametrize("spelling", ["sigmoied_threshold:1d", "sigmoid_threshold:1d"])
def test_both_spellings_of_the_sigmoid_are_read(spelling):
    config = PruningConfig(dense_pruning_method=spelling, initial_threshold=0.0, final_threshold=0.1)
    assert config.dense == ("sigmoied_threshold", "1d")
    assert config.attention == ("topK", "default")


LEFT_OUT = [
    ("ampere_pruning_method", "2:4 sparsity"),
    ("qat", "quantization"),
    ("qconfig", "quantization"),
    ("rewind_model_name_or_path", "not rewound"),
    ("layer_norm_patch", "LayerNorms stay"),
    ("layer_norm_patch_steps", "LayerNorms stay"),
    ("layer_norm_patch_start_delta", "LayerNorms stay"),
    ("gelu_patch", "activations stay"),
    ("gelu_patch_steps", "activations stay"),
    ("decoder_attention_lambda", "encoders"),
    ("decoder_dense_lambda", "encoders"),
    ("initial_ampere_temperature", "2:4 sparsity"),
    ("final_ampere_temperature", "2:4 sparsity"),
]


@pytest.mark.parametrize(("name", "reason"), LEFT_OUT)
def test_irrelevant_options_of_nn_pruning_are_refused_with_the_reason(name, reason):
    with pytest.raises(ValueError, match=f"'{name}' of nn_pruning is left out here: .*{reason}"):
        PruningConfig(**{name: 1})


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"final_treshold": 0.5}, "'final_treshold' is not an option of PruningConfig; did you mean 'final_threshold'"),
        ({"dense_pruning_method": "top"}, "'dense_pruning_method' must be one of topK, .* Got 'top'"),
        ({"dense_pruning_method": "topK:joint"}, "must have a submethod of default, 1d, 1d_alt. Got 'joint'"),
        ({"attention_pruning_method": "topK:1d_alt"}, "must have a submethod of default, 1d, joint. Got '1d_alt'"),
        ({"final_threshold": 1.5}, r"'final_threshold' must be in \[0, 1\]: .* Got 1.5"),
        (
            {"dense_pruning_method": "sigmoied_threshold"},
            r"'initial_threshold' must be in \[0, 1\): .* Got 1.0",
        ),
        ({"final_threshold": float("nan")}, "'final_threshold' must be a number. Got nan"),
        ({"dense_block_rows": 0}, "'dense_block_rows' must be a whole number above 0. Got 0"),
        ({"initial_warmup": -1}, "'initial_warmup' must be a number of 0 or more. Got -1"),
        ({"distil_temperature": 0}, "'distil_temperature' must be a number above 0. Got 0"),
        ({"linear_min_parameters": 2}, r"'linear_min_parameters' must be in \[0, 1\]. Got 2"),
        ({"mask_init": "ones"}, "'mask_init' must be one of constant, uniform, kaiming. Got 'ones'"),
        ({"mask_init": "uniform"}, "'mask_init' uniform must have a 'mask_scale' that is not 0"),
        ({"final_finetune": "full"}, "'final_finetune' must be False, True, fixed or filled. Got 'full'"),
        ({"regularization": "l2"}, "'regularization' must be one of disabled, l0, l1. Got 'l2'"),
        ({"regularization": "l1"}, "'regularization' l1 must have a 'regularization_final_lambda' above 0"),
        ({"regularization_final_lambda": 1.0}, "'regularization_final_lambda' must have a 'regularization'"),
        ({"dense_pruning_method": "l0"}, "method l0 must have 'regularization' l0"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else None,
)
def test_mistakes_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        PruningConfig(**options)


def test_all_problems_are_listed_at_once():
    with pytest.raises(ValueError, match=r"^2 problems(.|\n)*dense_block_cols(.|\n)*mask_scale"):
        PruningConfig(dense_block_cols=-1, mask_scale="much")
