"""The forms in which a network can be exported."""

from typing import Literal

Format = Literal["timm", "safetensors", "onnx", "torch-export"]
FORMATS: tuple[Format, ...] = ("timm", "safetensors", "onnx", "torch-export")
