"""EDFF (Sec. III-C): the encoder's and the decoder's features of one level, fused by SKAF."""
from __future__ import annotations

import torch
from torch import nn

from .skaf import SKAF


class EDFF(nn.Module):
    """Encoder and decoder feature fusion, Eqs. 15-16: X_ED = X_E * w1 + X_D * w2.

    Sec. III-C calls X_E the decoder's feature and X_D the encoder's; Fig. 2 has it the other way round, as here.
    Keyword arguments go to SKAF; skaf=False adds the two features. Shape: two of (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, skaf: bool = True, **skaf_options):
        super().__init__()
        self.reduce = nn.Conv2d(2 * channels, channels, 1) if skaf else nn.Identity()
        self.skaf = SKAF(channels, **skaf_options) if skaf else None

    def forward(self, encoder: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
        if self.skaf is None:
            return encoder + decoder
        w1, w2 = self.skaf(self.reduce(torch.cat([encoder, decoder], dim=1)))  # Eq. 15
        return encoder * w1 + decoder * w2  # Eq. 16
