"""LGFI (Sec. III-B, Fig. 2): a global and a local view of the same feature, weighted against each other by SKAF."""
from __future__ import annotations

import torch
from torch import nn

from .config import AMINetConfig
from .rdfe import RDFE
from .sa import SelfAttention
from .skaf import SKAF
from .transformer import FeedForward, LayerNorm


class LGFI(nn.Module):
    """Local and global feature interaction: y = x + SA(u) * w1 + RDFE(u) * w2, with u = LN(x).

    Args:
        channels: C. heads: of SA. depth: of RDFE's hourglass.
        config: its switches norm, residual, sa, local, skaf and the options of the parts. A removed branch passes
            u on; without SKAF the two branches are added.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, heads: int = 1, depth: int = 2, config: AMINetConfig = AMINetConfig()):
        super().__init__()
        self.residual = config.residual
        self.norm = LayerNorm(channels) if config.norm else nn.Identity()
        self.sa = SelfAttention(channels, heads, config.scale) if config.sa else nn.Identity()
        self.local = {
            "rdfe": lambda: RDFE(channels, depth, config.paths, config.attention_unit, config.refine, config.frm_norm,
                                 config.rdfe_relu),
            "ffn": lambda: FeedForward(channels, config.ffn_expansion),
            "none": nn.Identity,
        }[config.local]()
        fused = config.skaf == "everywhere"
        self.reduce = nn.Conv2d(2 * channels, channels, 1) if fused else nn.Identity()
        self.skaf = SKAF(channels, config.kernels, config.pools, config.gate, config.dilated) if fused else None

    def branches(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """X_SA and X_RD, the global and the local feature, both from the same u. Each (B, C, H, W)."""
        u = self.norm(x)
        return self.sa(u), self.local(u)

    def fuse(self, a: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        """a * w1 + r * w2 with the weights of SKAF. Shape: two of (B, C, H, W) -> (B, C, H, W)."""
        if self.skaf is None:
            return a + r
        w1, w2 = self.skaf(self.reduce(torch.cat([a, r], dim=1)))
        return a * w1 + r * w2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fuse(*self.branches(x))
        return x + y if self.residual else y
