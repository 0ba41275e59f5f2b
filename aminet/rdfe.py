"""RDFE, the local branch of LGFI (Sec. III-B2, Fig. 3a): three receptive fields, one attention map, one refinement."""
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


def norm(kind: str, channels: int) -> nn.Module:
    """The normalisation of the refinement module: `batch`, `instance` or `none`."""
    return {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "none": nn.Identity}[kind](channels)


def depthwise(channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)


class AttentionUnit(nn.Module):
    """F_au of Eq. 7: one map, shared by all branches, from all branches.

    Shape: list of n tensors (B, C, H, W) -> (B, C, H, W) in (0, 1).
    """

    def __init__(self, channels: int, branches: int = 3):
        super().__init__()
        self.mix = nn.Conv2d(branches * channels, channels, 1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.mix(torch.cat(features, dim=1)).sigmoid()


class Hourglass(nn.Module):
    """SPARNet's spatial attention: a small U-net draws one map in (0, 1) and multiplies the input by it.

    `depth` halvings, so H and W must be multiples of 2**depth. Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, depth: int, norm_kind: str = "batch"):
        super().__init__()

        def conv(stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
                norm(norm_kind, channels),
                nn.PReLU(channels),
            )

        self.skip = nn.ModuleList(conv() for _ in range(depth))
        self.down = nn.ModuleList(conv(stride=2) for _ in range(depth))
        self.middle = conv()
        self.up = nn.ModuleList(conv() for _ in range(depth))
        self.to_map = nn.Conv2d(channels, 1, 3, padding=1)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """The map (B, 1, H, W)."""
        skips, low = [], x
        for skip, down in zip(self.skip, self.down):
            skips.append(skip(low))
            low = down(low)
        low = self.middle(low)
        for skip, up in zip(reversed(skips), reversed(self.up)):
            low = skip + up(F.interpolate(low, scale_factor=2, mode="nearest"))
        return self.to_map(low).sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.attention(x)


class FeatureRefinement(nn.Module):
    """FRM, F_frm of Eq. 10: norm, activation and two 3x3 convolutions, then the hourglass, around a shortcut.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, depth: int = 2, norm_kind: str = "batch"):
        super().__init__()
        self.body = nn.Sequential(
            norm(norm_kind, channels),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(norm_kind, channels),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(norm_kind, channels),
        )
        self.hourglass = Hourglass(channels, depth, norm_kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.hourglass(self.body(x))


class RDFE(nn.Module):
    """Residual depth feature extraction, Eqs. 6-10.

    Args:
        channels: C. depth: of the hourglass. paths: kernel sizes of the parallel depthwise branches.
        attention_unit, refine: the two parts that Table IV removes. norm_kind: normalisation in the FRM.
        relu: after the second depthwise round, as Fig. 3a draws it; no equation has it.

    Shape: (B, C, H, W) -> (B, C, H, W). Eq. 9 prints H_cat(F_conv1(.)) + X; only F_conv1(H_cat(.)) + X has the
    right shape, and Fig. 3a draws it so.
    """

    def __init__(self, channels: int, depth: int = 2, paths: tuple[int, ...] = (3, 5, 7),
                 attention_unit: bool = True, refine: bool = True, norm_kind: str = "batch", relu: bool = True):
        super().__init__()
        self.first = nn.ModuleList(depthwise(channels, kernel) for kernel in paths)
        self.attention_unit = AttentionUnit(channels, len(paths)) if attention_unit else None
        self.second = nn.ModuleList(depthwise(channels, kernel) for kernel in paths)
        self.fuse = nn.Conv2d(len(paths) * channels, channels, 1)
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.refine = FeatureRefinement(channels, depth, norm_kind) if refine else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = [conv(x) for conv in self.first]  # Eq. 6
        if self.attention_unit is not None:
            weight = self.attention_unit(features)  # Eq. 7
            features = [f * weight for f in features]  # Eq. 8
        features = [self.relu(conv(f)) for conv, f in zip(self.second, features)]
        return self.refine(self.fuse(torch.cat(features, dim=1)) + x)  # Eqs. 9-10
