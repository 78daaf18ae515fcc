"""Frozen, keyword-only configurations, validated on creation, to and from JSON."""

from unmask.config.audit import AuditConfig, AuditRun
from unmask.config.comparison import ARMS, CompareConfig
from unmask.config.data import AugmentConfig, DataConfig
from unmask.config.model import EncoderConfig, MaskConfig, TargetConfig
from unmask.config.serialise import from_json, to_json
from unmask.config.stages import ClassifyConfig, ClassifyRecipe, OptimiserConfig, PretrainConfig, PretrainRecipe

__all__ = [
    "ARMS",
    "AuditConfig",
    "AuditRun",
    "AugmentConfig",
    "ClassifyConfig",
    "ClassifyRecipe",
    "CompareConfig",
    "DataConfig",
    "EncoderConfig",
    "MaskConfig",
    "OptimiserConfig",
    "PretrainConfig",
    "PretrainRecipe",
    "TargetConfig",
    "from_json",
    "to_json",
]
