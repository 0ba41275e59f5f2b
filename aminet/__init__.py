"""AMINet, "Attention-Guided Multiscale Interaction Network for Face Super-Resolution": a literate reproduction.

The names of this page are imported when they are asked for: `import aminet` needs nothing, and `upscale --onnx` no
torch. Everything else is one module away: `aminet.faces`, `aminet.protocol`, ...
"""
from importlib import import_module

__version__ = "0.2.0"
EXPORTS = {"ABLATIONS": "config", "PRESETS": "config", "AMINetConfig": "config", "preset": "baselines.registry",
           "AMINet": "model", "LGFI": "lgfi", "SelfAttention": "sa", "SKAF": "skaf", "EDFF": "edff", "RDFE": "rdfe",
           "AttentionUnit": "rdfe", "FeatureRefinement": "rdfe", "Hourglass": "rdfe", "BadInput": "errors"}
__all__ = sorted(EXPORTS)


def __getattr__(name: str):
    if name not in EXPORTS:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{EXPORTS[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
