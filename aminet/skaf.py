"""SKAF (Sec. III-B3, Fig. 2): looks at a mixture of two features and says, pixel by pixel, how much of each to keep."""
from __future__ import annotations

import torch
from torch import nn


class SKAF(nn.Module):
    """Selective kernel attention fusion, Eqs. 11-14: from a mixed feature to one weight for each of two branches.

    Args:
        channels: C. kernels: the parallel dense convolutions. pools: the poolings over channels.
        gate: `maps` returns the two maps (Eq. 14); `features` returns the input times each map (Fig. 2).
        dilated: the 5x5 as a 3x3 with dilation 2.

    Shape: (B, C, H, W) -> two tensors (B, 1, H, W) in (0, 1), or (B, C, H, W) with gate="features".

    The paper pools to two maps and applies a sigmoid. A convolution between the two, as in LSKNet, is needed:
    without it the rows of Table V that have a single pooling could not yield two maps.
    """

    def __init__(self, channels: int, kernels: tuple[int, ...] = (5, 7), pools: tuple[str, ...] = ("avg", "max"),
                 gate: str = "maps", dilated: bool = False):
        super().__init__()
        self.pools, self.gate = tuple(pools), gate
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2) if dilated and kernel == 5
            else nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
            for kernel in kernels
        )
        self.mix = nn.Conv2d(len(pools) or len(kernels) * channels, 2, 7, padding=3)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        """The two selection maps, (B, 2, H, W) in (0, 1)."""
        x3 = torch.cat([conv(x) for conv in self.convs], dim=1)  # Eqs. 11-12
        pooled = {"avg": x3.mean(dim=1, keepdim=True), "max": x3.amax(dim=1, keepdim=True)}
        kept = [pooled[name] for name in self.pools] or [x3]
        return self.mix(torch.cat(kept, dim=1)).sigmoid()  # Eq. 13

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        w1, w2 = self.maps(x).chunk(2, dim=1)  # Eq. 14
        return (w1, w2) if self.gate == "maps" else (x * w1, x * w2)
