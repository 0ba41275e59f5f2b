"""AMINet, "Attention-Guided Multiscale Interaction Network for Face Super-Resolution": a literate reproduction.

The names of this page are imported when they are asked for: `import aminet` needs nothing, and `upscale --onnx` no
torch. Everything else is one module away: `aminet.faces`, `aminet.protocol`, ...
"""
from importlib import import_module

__version__ = "0.2.0"
HOMES = {"config": ("ABLATIONS", "PRESETS", "AMINetConfig", "preset"), "edff": ("EDFF",), "errors": ("BadInput",),
         "lgfi": ("LGFI",), "model": ("AMINet",), "rdfe": ("RDFE", "AttentionUnit", "FeatureRefinement", "Hourglass"),
         "sa": ("SelfAttention",), "skaf": ("SKAF",)}
HOME = {name: home for home, names in HOMES.items() for name in names}
__all__ = sorted(HOME)


def __getattr__(name: str):
    if name not in HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f".{HOME[name]}", __name__), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
