"""Recipes: those by name say what they claim and train, own ones are checked."""

import dataclasses
from pathlib import Path

import pytest
import yaml

from search.runs.options import parse
from search.training.recipe import RECIPES, Recipe, load_recipe

FOLDER = Path(__file__).resolve().parents[3] / "search" / "recipes"


def test_every_file_is_a_recipe_by_name():
    assert sorted(path.stem for path in FOLDER.glob("*")) == sorted(RECIPES)


def test_the_original_recipe_is_that_of_the_paper():
    recipe = load_recipe("original")
    assert (recipe.pretrain_steps, recipe.pretrain_learning_rate, recipe.adam_beta2) == (100_000, 1e-4, 0.98)
    assert (recipe.pretrain_steps * recipe.warmup_share, recipe.pretrain_length) == (10_000, 512)
    assert (recipe.epochs, recipe.learning_rate, recipe.batch_size, recipe.max_length) == (5, 2e-5, 64, 128)
    assert recipe.num_positions == 512


@pytest.mark.parametrize("name", RECIPES)
def test_what_a_recipe_by_name_says_reaches_the_trainer(name):
    recipe, said = load_recipe(name), yaml.safe_load((FOLDER / f"{name}.yaml").read_text())
    assert all(getattr(recipe, key) == value for key, value in said.items())
    arguments = recipe.trainer_arguments(has_gpu=True)
    assert arguments["gradient_accumulation_steps"] == said.get("gradient_accumulation", 1)
    assert arguments["bf16"] == (said.get("precision") == "bf16")
    assert arguments["torch_compile_backend"] == said.get("compile_backend")
    assert arguments["optim"] == said.get("optimizer", "adamw_torch_fused")
    assert arguments["adam_beta2"] == said.get("adam_beta2", 0.999)


def test_an_own_recipe_is_a_file_and_numbers_without_a_point_are_numbers(tmp_path):
    (tmp_path / "mine.yaml").write_text("learning_rate: 3e-4\nepochs: 7\nwhole_words: true\n")
    assert load_recipe(tmp_path / "mine.yaml") == Recipe(learning_rate=3e-4, epochs=7, whole_words=True)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lerning_rate: 1.0", "Unknown key 'lerning_rate'.*Did you mean 'learning_rate'"),
        ("learning_rate: fast", "'learning_rate' in .* must be a finite number of at least 0. Got 'fast'"),
        ("weight_decay: .inf", "'weight_decay' in .* must be a finite number of at least 0. Got inf"),
        (
            "precision: bf17",
            "'precision' in .* must be one of fp32, bf16, fp16. Got 'bf17'. Did you mean 'bf16'",
        ),
        ("whole_words: 1", "'whole_words' in .* must be true or false. Got 1"),
        ("mask_share: 1.5", "'mask_share' in .* must be in \\[0, 1\\). Got 1.5"),
    ],
)
def test_a_bad_recipe_file_is_refused(tmp_path, text, message):
    (tmp_path / "mine.yaml").write_text(text)
    with pytest.raises(ValueError, match=message):
        load_recipe(tmp_path / "mine.yaml")


def test_an_unknown_recipe_is_refused_with_the_nearest():
    with pytest.raises(ValueError, match="Unknown recipe 'origin'. Did you mean 'original'"):
        load_recipe("origin")
    with pytest.raises(ValueError, match="'precision' fp16 needs a GPU"):
        Recipe(precision="fp16").trainer_arguments(has_gpu=False)


def test_a_run_takes_a_recipe_and_flags_and_configuration_override_it(tmp_path):
    (tmp_path / "config.yaml").write_text("recipe: single-gpu\nepochs: 9\n")
    flags = ["--dataset_file", "library.json"]
    by_flag = parse([*flags, "--recipe", "original", "--batch_size", "8"])
    assert by_flag.tuned_recipe == dataclasses.replace(load_recipe("original"), batch_size=8)
    assert (by_flag.data.max_length, by_flag.data.pretrain_length) == (128, 512)  # the data are prepared with them
    by_file = parse([*flags, "--config", str(tmp_path / "config.yaml"), "--learning_rate", "1e-3"]).tuned_recipe
    assert by_file == dataclasses.replace(load_recipe("single-gpu"), epochs=9, learning_rate=1e-3)
