"""SwinIR: J. Liang et al., "SwinIR: Image Restoration Using Swin Transformer", ICCV Workshops 2021.

A long chain of Transformer blocks on the LR image itself, enlarged only at the end. Pixels attend to each other inside
windows of 8x8, and every second block shifts the windows by half, so that neighbours exchange what they know.

As described: the classical network; a 3x3 to 180 channels; six residual groups (RSTB) of six blocks (STL) and a 3x3; a
norm, a 3x3 and a long shortcut; blocks of norm, attention in 6 heads with a learned bias for every relative position,
sum, norm, MLP of twice the width with GELU, sum; windows shifted by 4 in every second block, where pixels that were
no neighbours before the cyclic shift do not see each other; PixelShuffle, and no global skip.
Read off the published size: a 3x3 to 64 channels and LeakyReLU before three times a 3x3 and PixelShuffle of 2; biases
everywhere; a norm behind the first convolution and Swin's initial weights, as in the authors' released network.
Chosen by us: the setting for faces, which nobody published: x8 from 16x16, where four windows cover the face; no
stochastic depth; as many heads as divide `channels`, 6 at most; PyTorch's initial weights in the convolutions.

Counts at 128x128, from 16x16: 12,047,911 parameters and 3.972 G MACs, 0.212 G of them in the products of attention; the
authors' network has 12.05 M and 3.97 G. thop overlooks the products and the position biases.
"""
from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from ..config import Config, bounded
from ..transformer import LayerNorm

WINDOW = 8  # side, in pixels


@dataclass(frozen=True)
class SwinIRConfig(Config):
    """channels: C, the width of all groups. groups: residual groups. blocks: Transformer blocks in each."""

    network: ClassVar[str] = "swinir"
    multiple: ClassVar[int] = WINDOW
    enlarged: ClassVar[bool] = False

    channels: int = bounded(180, 1, 1024)
    groups: int = bounded(6, 1, 20)
    blocks: int = bounded(6, 1, 20)

    @property
    def tail(self) -> int:
        """Channels while the image is enlarged: 64 of 180, a multiple of 8."""
        return 8 * -(-2 * self.channels // 45)


def most_heads(channels: int) -> int:
    """The largest number of heads up to 6 that divides the channels."""
    return max(n for n in range(1, 7) if channels % n == 0)


def linear(before: int, after: int, bias: bool = True) -> nn.Conv2d:
    """A linear layer for every pixel, with Swin's initial weights: of standard deviation 0.02, biases zero."""
    layer = nn.Conv2d(before, after, 1, bias=bias)
    nn.init.trunc_normal_(layer.weight, std=0.02)
    if bias:
        nn.init.zeros_(layer.bias)
    return layer


def partition(x: torch.Tensor, heads: int) -> torch.Tensor:
    """Cut into N windows of 64 pixels, row by row. (B, C, H, W) -> (B, N, heads, 64, C/heads)."""
    b, c, height, width = x.shape
    x = x.reshape(b, heads, c // heads, height // WINDOW, WINDOW, width // WINDOW, WINDOW)
    return x.permute(0, 3, 5, 1, 4, 6, 2).reshape(b, height * width // WINDOW**2, heads, WINDOW**2, c // heads)


def merge(x: torch.Tensor, height: int, width: int) -> torch.Tensor:
    """The image that `partition` cut. (B, N, heads, 64, C/heads) -> (B, C, H, W)."""
    b, _, heads, _, c = x.shape
    x = x.reshape(b, height // WINDOW, width // WINDOW, heads, WINDOW, WINDOW, c)
    return x.permute(0, 3, 6, 1, 4, 2, 5).reshape(b, heads * c, height, width)


def apart(height: int, width: int, device: torch.device) -> torch.Tensor:
    """Which pixels of a window the cyclic shift has brought together from opposite borders: bool (N, 64, 64)."""
    rows, columns = (torch.arange(n, device=device) >= n - WINDOW // 2 for n in (height, width))
    border = 2 * rows[:, None].int() + columns.int()  # (H, W), one number for every border that was shifted in
    border = partition(border[None, None], 1)[0, :, 0]  # (N, 64, 1)
    return border != border.transpose(1, 2)


class WindowAttention(nn.Module):
    """softmax(q k^T / sqrt(C/heads) + bias) v within windows of 8x8, the bias by relative position.

    Args:
        channels: C. shift: shift the windows by half their side, cyclically.

    Shape: (B, C, H, W) -> (B, C, H, W), H and W multiples of 8. `gate`, of the same shape, multiplies v.
    """

    def __init__(self, channels: int, shift: bool):
        super().__init__()
        self.heads, self.shift = most_heads(channels), WINDOW // 2 if shift else 0
        self.qkv = linear(channels, 3 * channels)
        self.bias = nn.Parameter(torch.empty(self.heads, 2 * WINDOW - 1, 2 * WINDOW - 1))
        nn.init.trunc_normal_(self.bias, std=0.02)
        self.project = linear(channels, channels)

    def biases(self) -> torch.Tensor:
        """(heads, 64, 64): of query (i, j) and key (k, l) it is bias[7 + k - i, 7 + l - j]."""
        windows = self.bias.unfold(1, WINDOW, 1).unfold(2, WINDOW, 1)  # [7 - i, 7 - j, k, l]
        return windows.flip(1, 2).reshape(self.heads, WINDOW**2, WINDOW**2)

    def forward(self, x: torch.Tensor, gate: torch.Tensor | None = None) -> torch.Tensor:
        height, width = x.shape[2:]
        q, k, v = self.qkv(x).chunk(3, dim=1)
        if gate is not None:
            v = v * gate
        if self.shift:
            q, k, v = (part.roll((-self.shift, -self.shift), (2, 3)) for part in (q, k, v))
        q, k, v = (partition(part, self.heads) for part in (q, k, v))  # (B, N, heads, 64, C/heads)
        logits = q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5 + self.biases()
        if self.shift:
            logits = logits.masked_fill(apart(height, width, x.device)[:, None], float("-inf"))
        y = merge(logits.softmax(dim=-1) @ v, height, width)
        return self.project(y.roll((self.shift, self.shift), (2, 3)) if self.shift else y)


def mlp(channels: int, hidden: int, after: int) -> nn.Sequential:
    """The MLP of every pixel. (B, channels, H, W) -> (B, after, H, W)."""
    return nn.Sequential(linear(channels, hidden), nn.GELU(), linear(hidden, after))


def conv(before: int, after: int) -> nn.Conv2d:
    return nn.Conv2d(before, after, 3, padding=1)


class Block(nn.Module):
    """STL: attention, then MLP, each with its LayerNorm and shortcut. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, shift: bool):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(channels), LayerNorm(channels)
        self.attention = WindowAttention(channels, shift)
        self.mlp = mlp(channels, 2 * channels, channels)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.attention(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class Group(nn.Module):
    """RSTB: blocks, windows shifted in every second, and a 3x3 around a shortcut. Shape: (B, C, H, W) -> the same."""

    def __init__(self, channels: int, blocks: int):
        super().__init__()
        self.body = nn.Sequential(*[Block(channels, i % 2 == 1) for i in range(blocks)], conv(channels, channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.body(x)


class SwinIR(nn.Module):
    """The whole network. The input is the LR face itself.

    Shape: (B, 3, H, W) in [-1, 1] -> (B, 3, 8H, 8W); H and W are multiples of 8, else BadInput.
    """

    def __init__(self, config: SwinIRConfig = SwinIRConfig()):
        super().__init__()
        self.config = config
        c, tail = config.channels, config.tail
        self.head = conv(3, c)
        self.body = nn.Sequential(LayerNorm(c), *[Group(c, config.blocks) for _ in range(config.groups)],
                                  LayerNorm(c), conv(c, c))
        doublings = [layer for _ in range(3) for layer in (conv(tail, 4 * tail), nn.PixelShuffle(2))]
        self.tail = nn.Sequential(conv(c, tail), nn.LeakyReLU(), *doublings, conv(tail, 3))

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x = self.head(image)
        return self.config.finish(self.tail(x + self.body(x)), image)
