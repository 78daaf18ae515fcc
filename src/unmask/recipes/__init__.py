"""Named complete configurations, for which data each is the default, and the configurations that they give."""

from unmask.recipes.choose import recipe, suggested
from unmask.recipes.definition import Recipe, recipe_of
from unmask.recipes.named import RECIPES, mae_vit_small, masked_resnet50, multiview, small_cnn

__all__ = [
    "RECIPES",
    "Recipe",
    "mae_vit_small",
    "masked_resnet50",
    "multiview",
    "recipe",
    "recipe_of",
    "small_cnn",
    "suggested",
]
