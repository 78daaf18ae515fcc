"""Mask-reconstruction pretraining of image encoders, compared honestly with training from scratch.

The public names are imported when first used, so that `import unmask` and `unmask --help` stay fast.
"""

import importlib
from typing import TYPE_CHECKING, Any

from unmask.errors import UserError

__version__ = "0.1.0"

if TYPE_CHECKING:
    from unmask.audit.run import audit_runs
    from unmask.comparison.demo import demo
    from unmask.comparison.run import compare
    from unmask.data.load import load_data
    from unmask.deploy.embed import embed
    from unmask.deploy.export import export
    from unmask.deploy.predict import predict
    from unmask.encoders.build import build_model
    from unmask.encoders.masked import masked_encoder
    from unmask.masking import draw_masks
    from unmask.report.page import write_report
    from unmask.stages.classify import finetune, scratch
    from unmask.stages.pretrain import pretrain
    from unmask.weights import load_weights

__all__ = [
    "UserError",
    "audit_runs",
    "build_model",
    "compare",
    "demo",
    "draw_masks",
    "embed",
    "export",
    "finetune",
    "load_data",
    "load_weights",
    "masked_encoder",
    "predict",
    "pretrain",
    "scratch",
    "write_report",
]

_WHERE = {
    "audit_runs": "unmask.audit.run",
    "build_model": "unmask.encoders.build",
    "compare": "unmask.comparison.run",
    "demo": "unmask.comparison.demo",
    "draw_masks": "unmask.masking",
    "embed": "unmask.deploy.embed",
    "export": "unmask.deploy.export",
    "finetune": "unmask.stages.classify",
    "load_data": "unmask.data.load",
    "load_weights": "unmask.weights",
    "masked_encoder": "unmask.encoders.masked",
    "predict": "unmask.deploy.predict",
    "pretrain": "unmask.stages.pretrain",
    "scratch": "unmask.stages.classify",
    "write_report": "unmask.report.page",
}


def __getattr__(name: str) -> Any:
    if name in _WHERE:
        return getattr(importlib.import_module(_WHERE[name]), name)
    raise AttributeError(f"module 'unmask' has no attribute {name!r}")
