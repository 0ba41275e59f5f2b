"""The same function in less time: a rewrite of a trained AMINet for inference, exact unless bfloat16 is asked for.

Each change is kept because it pays (`python -m aminet bench`). Tried and left out, since they gained nothing or hardly
anything: one 7x7 for the parallel convolutions of RDFE or of SKAF (more work than it saves), a 1x1 on each part
instead of a concatenation, pooling without the concatenation, pooling in float32, PReLU in two clamps, and in-place
element-wise steps.
"""
from __future__ import annotations

import copy

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from ..model import AMINet
from ..sa import SelfAttention


class PixelMajorAttention(nn.Module):
    """SA on channels_last features: every step reads them as an (H*W, C) matrix, in the order they lie in memory.

    The L2 norms divide the small matrix of logits, not q and k; and P (A V) = (P A) V, so attention and projection
    are one C x C matrix for all pixels. 1.15 to 1.6 times as fast as SelfAttention in channels_last.

    Shape: (B, C, H, W) -> (B, C, H, W).
    """

    def __init__(self, sa: SelfAttention):
        super().__init__()
        self.qkv, self.depthwise, self.project, self.temperature = sa.qkv, sa.depthwise, sa.project, sa.temperature
        self.heads = sa.heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        b, c, height, width = x.shape
        pixels, d = height * width, c // self.heads
        qkv = self.depthwise(self.qkv(x)).permute(0, 2, 3, 1).reshape(b, pixels, 3, self.heads, d)
        q, k = qkv[:, :, 0].transpose(1, 2), qkv[:, :, 1].transpose(1, 2)  # (B, h, H*W, d)
        logits = q.transpose(-2, -1) @ k
        if self.temperature is None:
            logits = logits / pixels**0.5
        else:
            length_q, length_k = (torch.linalg.vector_norm(t, dim=-2).clamp_min(1e-12) for t in (q, k))
            logits = logits / (length_q[..., :, None] * length_k[..., None, :]) * self.temperature
        weights = logits.softmax(dim=-1)
        project = self.project.weight.reshape(c, self.heads, d).transpose(0, 1) @ weights  # (B, h, C, d)
        project = project.transpose(1, 2).reshape(b, c, c)
        y = qkv[:, :, 2].reshape(b, pixels, c) @ project.transpose(1, 2)
        return y.reshape(b, height, width, c).permute(0, 3, 1, 2)


class Faster(nn.Module):
    """A network for inference only: takes any layout, computes in channels_last, records no gradients."""

    def __init__(self, network: nn.Module):
        super().__init__()
        self.network = network

    @torch.inference_mode()
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        return self.network(image.contiguous(memory_format=torch.channels_last))


class Compiled(Faster):
    """The same with a network of torch.compile. Weights become constants in the kernels' own layout; on a GPU one CUDA
    graph replaces hundreds of launches."""

    @torch.no_grad()  # the compiler takes no inference_mode
    def forward(self, image: torch.Tensor) -> torch.Tensor:
        from torch._inductor import config

        with config.patch({"freezing": True, "triton.cudagraphs": True}):  # read at the first call of each shape
            y = self.network(image.contiguous(memory_format=torch.channels_last))
        return y.clone()  # a CUDA graph writes its next result to the same place


def faster(model: AMINet, bf16: bool = False, compiled: bool = False) -> nn.Module:
    """A copy of `model` that computes the same, to about 1e-5, in less time. `model` stays as it is.

    bf16: weights and features in bfloat16, between a head and a tail that take and return float32: the shortcut around
        the network stays exact. Errors of about 1e-2 in [-1, 1], less than 0.02 dB. Pays where the processor has
        bfloat16 (AVX512-BF16, AMX, a GPU).
    compiled: by torch.compile, for each shape at its first call: half a minute, and a C++ compiler on a CPU.
    """
    network = copy.deepcopy(model).eval().requires_grad_(False)
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, SelfAttention):
                setattr(parent, name, PixelMajorAttention(child))
        if isinstance(parent, nn.Sequential):  # a BatchNorm after a convolution only scales and shifts its weights
            for i, (conv, norm) in enumerate(zip(parent, parent[1:])):
                if isinstance(conv, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
                    parent[i], parent[i + 1] = fuse_conv_bn_eval(conv, norm), nn.Identity()
    if bf16:
        network.to(torch.bfloat16)
        network.head.register_forward_pre_hook(lambda head, inputs: inputs[0].bfloat16())
        network.tail.register_forward_hook(lambda tail, inputs, output: output.float())
    # oneDNN's convolutions work in channels_last; from any other layout they copy their input and output.
    network.to(memory_format=torch.channels_last)
    return Compiled(torch.compile(network, dynamic=False)) if compiled else Faster(network)
