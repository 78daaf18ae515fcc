"""Mask-reconstruction pretraining of image encoders, compared honestly with training from scratch.

The public names are imported when first used, so that `import unmask` and `unmask --help` stay fast.
"""

from typing import TYPE_CHECKING

from unmask.errors import UserError
from unmask.lazy import lazy_names

__version__ = "0.2.0.dev0"

if TYPE_CHECKING:
    from unmask import config, recipes, theory
    from unmask.api import audit_runs, compare, demo, finetune, forecast, pretrain, scratch
    from unmask.choosing.choose_images import choose
    from unmask.choosing.label_page import label
    from unmask.data.load import load_data
    from unmask.deploy.embed import embed
    from unmask.deploy.export import export
    from unmask.deploy.predict import predict
    from unmask.encoders.build import build_model
    from unmask.encoders.masked import masked_encoder
    from unmask.masking import draw_masks
    from unmask.recipes.choose import recipe
    from unmask.report.page import write_report
    from unmask.results import Audit, Classification, Comparison, Pretraining
    from unmask.weights.card import load_weights
    from unmask.weights.network import load_model

__all__ = [
    "Audit",
    "Classification",
    "Comparison",
    "Pretraining",
    "UserError",
    "audit_runs",
    "build_model",
    "choose",
    "compare",
    "config",
    "demo",
    "draw_masks",
    "embed",
    "export",
    "finetune",
    "forecast",
    "label",
    "load_data",
    "load_model",
    "load_weights",
    "masked_encoder",
    "predict",
    "pretrain",
    "recipe",
    "recipes",
    "scratch",
    "theory",
    "write_report",
]

__getattr__, __dir__ = lazy_names(
    "unmask",
    {
        **dict.fromkeys(("audit_runs", "compare", "demo", "finetune", "forecast", "pretrain", "scratch"), "unmask.api"),
        **dict.fromkeys(("Audit", "Classification", "Comparison", "Pretraining"), "unmask.results"),
        **dict.fromkeys(("config", "recipes", "theory"), ""),
        "build_model": "unmask.encoders.build",
        "choose": "unmask.choosing.choose_images",
        "draw_masks": "unmask.masking",
        "embed": "unmask.deploy.embed",
        "export": "unmask.deploy.export",
        "label": "unmask.choosing.label_page",
        "load_data": "unmask.data.load",
        "load_model": "unmask.weights.network",
        "load_weights": "unmask.weights.card",
        "masked_encoder": "unmask.encoders.masked",
        "predict": "unmask.deploy.predict",
        "recipe": "unmask.recipes.choose",
        "write_report": "unmask.report.page",
    },
    "UserError",
    "__version__",
)
