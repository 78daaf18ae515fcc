"""Named complete configurations, the data each is the default for, and the configurations they give."""

from unmask.recipes.choose import Wish, configured, data_for_audit, recipe, suggested
from unmask.recipes.definition import Recipe, other_data
from unmask.recipes.named import RECIPES, mae_vit_small, masked_resnet50, multiview, photo_cnn, small_cnn

__all__ = [
    "RECIPES",
    "Recipe",
    "Wish",
    "configured",
    "data_for_audit",
    "mae_vit_small",
    "masked_resnet50",
    "multiview",
    "other_data",
    "photo_cnn",
    "recipe",
    "small_cnn",
    "suggested",
]
