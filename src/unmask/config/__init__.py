"""Frozen, keyword-only configurations, validated on creation, to and from JSON."""

from unmask.config.arms import ARMS, JUDGED, Arm
from unmask.config.audit import AuditConfig, AuditRun
from unmask.config.comparison import CompareConfig
from unmask.config.data import AugmentConfig, DataConfig
from unmask.config.model import EncoderConfig, MaskConfig, TargetConfig
from unmask.config.serialize import from_json, to_json
from unmask.config.stages import (
    ClassifyConfig,
    ClassifyRecipe,
    OptimizerConfig,
    PretrainConfig,
    PretrainRecipe,
    RecipeChoice,
)

__all__ = [
    "ARMS",
    "JUDGED",
    "Arm",
    "AuditConfig",
    "AuditRun",
    "AugmentConfig",
    "ClassifyConfig",
    "ClassifyRecipe",
    "CompareConfig",
    "DataConfig",
    "EncoderConfig",
    "MaskConfig",
    "OptimizerConfig",
    "PretrainConfig",
    "PretrainRecipe",
    "RecipeChoice",
    "TargetConfig",
    "from_json",
    "to_json",
]
