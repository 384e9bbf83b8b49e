"""Recipes are tuned: the given one first, then ones near the good ones; bad ones end early."""

import math

from search.training.recipe import Recipe
from search.training.tuning import RecipeTuner

RECIPE = Recipe(learning_rate=1e-3, batch_size=16, weight_decay=0.01, warmup_share=0.1)


def _tuned(seed: int, num: int = 25) -> list[Recipe]:
    """Recipes for a task that wants three times the given learning rate, or as near as it gets."""
    tuner, recipes = RecipeTuner(RECIPE, seed), []
    for _ in range(num):
        recipes.append(tuner.propose())
        tuner.tell(-abs(math.log(recipes[-1].learning_rate / 3e-3)))
    return recipes


def test_the_given_recipe_is_tried_first_and_the_others_lie_around_it():
    recipes = _tuned(seed=1)
    assert recipes[0] == RECIPE
    assert all(1e-3 / 3.001 < recipe.learning_rate < 3.001e-3 for recipe in recipes)
    assert all(0.01 / 3.001 < recipe.weight_decay < 0.03001 for recipe in recipes)
    assert {recipe.batch_size for recipe in recipes} == {8, 16, 32}
    assert all(0 <= recipe.warmup_share <= 0.2 for recipe in recipes)


def test_it_learns_what_pays():
    learned = [sum(recipe.learning_rate for recipe in _tuned(seed)[-8:]) / 8 for seed in range(3)]
    assert min(learned) > 1.8e-3  # drawn at random they have 1.2e-3 on average


def test_the_same_scores_lead_to_the_same_recipes():
    assert _tuned(seed=4, num=8) == _tuned(seed=4, num=8)


def test_what_falls_behind_is_given_up():
    tuner = RecipeTuner(RECIPE, seed=0)
    for _ in range(3):
        tuner.propose()
        assert not tuner.falls_behind(0.8, 1)
        tuner.tell(0.8)
    tuner.propose()
    assert tuner.falls_behind(0.2, 1)
    assert not tuner.falls_behind(0.2, 1)  # the same epoch, measured again
