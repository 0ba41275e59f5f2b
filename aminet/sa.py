"""SA, the global branch of LGFI (Sec. III-B1, Fig. 3b): attention between channels instead of pixels."""
from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional as F


class SelfAttention(nn.Module):
    """Multi-head channel attention, Eqs. 1-5: softmax(Q K^T / sqrt d) V with a C/h x C/h attention matrix.

    Args:
        channels: C. heads: h, divides C.
        scale: `temperature` normalises q and k over the H*W pixels and multiplies by a learned number per head;
            `sqrt` is Eq. 4 to the letter, d = H*W. A dot product over 16384 pixels saturates its softmax.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, channels: int, heads: int = 1, scale: str = "temperature"):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)  # Eqs. 1-3: pointwise, ...
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1)) if scale == "temperature" else None
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def attention(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The attention matrix (B, h, C/h, C/h), each row summing to 1, and the values (B, h, C/h, H*W)."""
        b, c, height, width = x.shape
        qkv = self.depthwise(self.qkv(x))
        q, k, v = qkv.reshape(b, 3, self.heads, c // self.heads, height * width).unbind(1)
        if self.temperature is None:
            logits = q @ k.transpose(-2, -1) / (height * width) ** 0.5
        else:
            logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        return logits.softmax(dim=-1), v

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights, v = self.attention(x)
        return self.project((weights @ v).reshape(x.shape))  # Eqs. 4-5
