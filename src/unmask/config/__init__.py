"""Frozen, keyword-only configurations, validated on creation, to and from JSON."""

from unmask.config.data import AugmentConfig, DataConfig
from unmask.config.model import EncoderConfig, MaskConfig, TargetConfig
from unmask.config.serialise import from_json, to_json
from unmask.config.stages import ARMS, ClassifyConfig, CompareConfig, OptimiserConfig, PretrainConfig

__all__ = [
    "ARMS",
    "AugmentConfig",
    "ClassifyConfig",
    "CompareConfig",
    "DataConfig",
    "EncoderConfig",
    "MaskConfig",
    "OptimiserConfig",
    "PretrainConfig",
    "TargetConfig",
    "from_json",
    "to_json",
]
