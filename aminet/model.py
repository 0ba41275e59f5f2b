"""AMINet (Fig. 2): a U of LGFIs with an EDFF at each of the three joints."""
from __future__ import annotations

import torch
from torch import nn

from .config import AMINetConfig
from .edff import EDFF
from .lgfi import LGFI
from .transformer import TransformerBlock


def down(before: int, after: int) -> nn.Sequential:
    """Halve the image. (B, before, H, W) -> (B, after, H/2, W/2)."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.LeakyReLU(0.2),
    )


def up(before: int, after: int) -> nn.Sequential:
    """Double the image. (B, before, H, W) -> (B, after, 2H, 2W)."""
    return nn.Sequential(
        nn.Conv2d(before, 4 * after, 3, padding=1, bias=False), nn.PixelShuffle(2), nn.LeakyReLU(0.2),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.LeakyReLU(0.2),
    )


class AMINet(nn.Module):
    """The whole network of Fig. 2. The input is the LR face, already upsampled bicubically, and is added at the end.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, H, W); H and W are multiples of `config.multiple` (32), else BadInput.
    """

    def __init__(self, config: AMINetConfig = AMINetConfig()):
        super().__init__()
        self.config = config
        w = config.widths

        def stage(level: int) -> nn.Module:
            if config.block == "lgfi":
                return LGFI(w[level], config.heads[level], config.depths[level], config)
            return nn.Sequential(
                *[TransformerBlock(w[level], config.heads[level], config.scale) for _ in range(config.blocks)])

        skaf_options = dict(kernels=config.kernels, pools=config.pools, gate=config.gate, dilated=config.dilated)
        self.head = nn.Conv2d(3, w[0], 3, padding=1)
        self.encoders = nn.ModuleList(stage(level) for level in range(3))
        self.downs = nn.ModuleList(down(w[level], w[level + 1]) for level in range(3))
        # Two LGFIs at 16x16; the Transformer of Table II has one stage of blocks there.
        self.bottleneck = nn.Sequential(*[stage(3) for _ in range(2 if config.block == "lgfi" else 1)])
        self.ups = nn.ModuleList(up(w[level + 1], w[level]) for level in range(3))
        self.edffs = nn.ModuleList(EDFF(w[level], config.skaf != "none", **skaf_options) for level in range(3))
        self.decoders = nn.ModuleList(stage(level) for level in range(3))
        self.tail = nn.Conv2d(w[0], 3, 3, padding=1)
        if config.zero_tail:
            for parameter in self.tail.parameters():
                nn.init.zeros_(parameter)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x, skips = self.head(image), []
        for encoder, down_ in zip(self.encoders, self.downs):
            skips.append(encoder(x))
            x = down_(skips[-1])
        x = self.bottleneck(x)
        for level in (2, 1, 0):
            x = self.edffs[level](skips[level], self.ups[level](x))
            x = self.decoders[level](x)
        return self.tail(x) + image
