"""AMINet, "Attention-Guided Multiscale Interaction Network for Face Super-Resolution": a literate reproduction.

This page imports torch alone. Everything that needs more is one module away: `aminet.faces`, `aminet.protocol`, ...
"""
from .config import ABLATIONS, PRESETS, AMINetConfig, preset
from .edff import EDFF
from .errors import BadInput
from .lgfi import LGFI
from .model import AMINet
from .rdfe import RDFE, AttentionUnit, FeatureRefinement, Hourglass
from .sa import SelfAttention
from .skaf import SKAF

__version__ = "0.1.0"
__all__ = ["ABLATIONS", "AMINet", "AMINetConfig", "AttentionUnit", "BadInput", "EDFF", "FeatureRefinement",
           "Hourglass", "LGFI", "PRESETS", "RDFE", "SKAF", "SelfAttention", "preset"]
