"""Parsing (Fig. 9): which part of a face each pixel is, by BiSeNet (Yu et al. 2018), and how far two parsings agree.

BiSeNet without its spatial path, as it was trained on CelebAMask-HQ: a ResNet-18 takes that path's place.
"""
from __future__ import annotations

from collections import OrderedDict
from contextlib import suppress
from functools import lru_cache
from hashlib import sha256
from io import BytesIO
from zipfile import BadZipFile

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..degrade import resize
from ..files import write_atomically
from ..protocol import pair
from . import pretrained
from .perceptual import in_batches

SIDE = 512  # of the pictures that it was trained on
MEAN, DEVIATION = (torch.tensor(x)[:, None, None] * 255 for x in ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)))
# The 19 classes of CelebAMask-HQ as the network numbers them. It tells left and right by chance, mostly for a whole
# face at once, as if trained on mirrored faces whose labels were not: so both sides count as one part.
PARTS = {"background": (0,), "skin": (1,), "brow": (2, 3), "eye": (4, 5), "eye_g": (6,), "ear": (7, 8), "ear_r": (9,),
         "nose": (10,), "mouth": (11,), "u_lip": (12,), "l_lip": (13,), "neck": (14,), "neck_l": (15,), "cloth": (16,),
         "hair": (17,), "hat": (18,)}


def conv_bn_relu(before: int, after: int, kernel: int) -> nn.Sequential:
    """Return a convolution with batch norm and ReLU."""
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(before, after, kernel, padding=kernel // 2, bias=False),
                                     bn=nn.BatchNorm2d(after), relu=nn.ReLU()))


def mean_over_picture(x: Tensor) -> Tensor:
    """Return the mean over the picture: (N, C, H, W) -> (N, C, 1, 1)."""
    return x.mean((2, 3), keepdim=True)


class AttentionRefinement(nn.Module):
    """BiSeNet's attention refinement: channels weighted by what the whole picture has of them."""

    def __init__(self, channels: int):
        super().__init__()
        self.conv = conv_bn_relu(channels, 128, 3)
        self.conv_atten, self.bn_atten = nn.Conv2d(128, 128, 1, bias=False), nn.BatchNorm2d(128)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(x)
        return x * self.bn_atten(self.conv_atten(mean_over_picture(x))).sigmoid()


class ContextPath(nn.Module):
    """ResNet-18 with its last two stages refined and brought back: (N, 3, H, W) -> two of (N, 128, H/8, W/8)."""

    def __init__(self):
        super().__init__()
        from torchvision.models import resnet18

        self.resnet = resnet18()
        del self.resnet.fc
        self.arm16, self.arm32 = AttentionRefinement(256), AttentionRefinement(512)
        self.conv_head16, self.conv_head32 = conv_bn_relu(128, 128, 3), conv_bn_relu(128, 128, 3)
        self.conv_avg = conv_bn_relu(512, 128, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        net = self.resnet
        eighth = net.layer2(net.layer1(net.maxpool(net.relu(net.bn1(net.conv1(x))))))
        sixteenth = net.layer3(eighth)
        last = net.layer4(sixteenth)
        x = self.conv_head32(F.interpolate(self.arm32(last) + self.conv_avg(mean_over_picture(last)), scale_factor=2))
        return eighth, self.conv_head16(F.interpolate(self.arm16(sixteenth) + x, scale_factor=2))


class FeatureFusion(nn.Module):
    """BiSeNet's feature fusion: both inputs side by side, then channels weighted: (N, 256, H, W) -> the same."""

    def __init__(self):
        super().__init__()
        self.convblk = conv_bn_relu(256, 256, 1)
        self.conv1, self.conv2 = nn.Conv2d(256, 64, 1, bias=False), nn.Conv2d(64, 256, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        x = self.convblk(x)
        return x + x * self.conv2(self.conv1(mean_over_picture(x)).relu()).sigmoid()


class BiSeNet(nn.Module):
    """Normalised RGB (N, 3, H, W), sides multiples of 32 -> logits of 19 classes (N, 19, H/8, W/8)."""

    def __init__(self):
        super().__init__()
        self.cp, self.ffm = ContextPath(), FeatureFusion()
        self.conv_out = nn.Sequential(OrderedDict(conv=conv_bn_relu(256, 256, 3),
                                                  conv_out=nn.Conv2d(256, 19, 1, bias=False)))

    def forward(self, x: Tensor) -> Tensor:
        return self.conv_out(self.ffm(torch.cat(self.cp(x), dim=1)))


@lru_cache
def bisenet() -> nn.Module:
    """Return the trained BiSeNet, frozen; BadInput if it is not at hand."""
    with torch.random.fork_rng(devices=[]):
        network = BiSeNet()
    network.load_state_dict({key: value for key, value in pretrained.tensors(pretrained.locate("bisenet")).items()
                             if not key.startswith(("conv_out16.", "conv_out32."))})  # these were for training
    return network.requires_grad_(False).eval().to(memory_format=torch.channels_last)


def parse(images: Tensor | np.ndarray) -> np.ndarray:
    """Return the class of each pixel, 0 to 18: uint8 RGB (N, 3, H, W), aligned faces -> uint8 (N, H, W).

    A face takes 0.3 s on one core, so the maps are kept beside torch.hub's cache, in 1 KB a face.
    BadInput if the network is not at hand.
    """
    images = np.ascontiguousarray(images)
    key = sha256(f"{pretrained.locate('bisenet').name} {images.shape}".encode() + images.tobytes()).hexdigest()
    path = pretrained.hub() / "aminet" / f"parsing-{key[:16]}.npz"
    with suppress(OSError, ValueError, KeyError, EOFError, BadZipFile):  # none yet, or damaged: found again
        if (maps := np.load(path)["maps"]).shape == (len(images), *images.shape[2:]):
            return maps
    maps, file = in_batches(classes, "parsing", images).astype(np.uint8), BytesIO()
    np.savez_compressed(file, maps=maps)
    write_atomically(path, file.getvalue())
    return maps


def classes(images: Tensor) -> Tensor:
    """Return what `parse` does of a batch, without keeping it. Logits of 64x64 are enlarged to the pictures' size."""
    x = (resize(images, SIDE).float() - MEAN) / DEVIATION
    logits = bisenet()(x.to(memory_format=torch.channels_last))
    return F.interpolate(logits, images.shape[2:], mode="bilinear", align_corners=True).argmax(1)


def part_iou(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Return the intersection over union of each of PARTS per face: classes (N, H, W) twice -> (N, 16).

    nan where neither has the part.
    """
    values = []
    for numbers in PARTS.values():
        here, there = np.isin(a, numbers), np.isin(b, numbers)
        with np.errstate(invalid="ignore"):
            values.append((here & there).sum((1, 2)) / (here | there).sum((1, 2)))
    return np.stack(values, axis=1)


def iou_of_parts(sr: Tensor, hr: Tensor) -> dict[str, np.ndarray]:
    """Return the IoU per image of each of PARTS, `iou_nose` and so on: nan where neither has it. As for `iou`."""
    values = part_iou(*map(parse, pair(sr, hr, "truncate")))
    return {f"iou_{part}": found for part, found in zip(PARTS, values.T)}


def iou(sr: Tensor, hr: Tensor) -> np.ndarray:
    """Return the mean IoU per image of the parsings of sr and hr: 1 for the same, over the parts that either has.

    Where a face is blurred, as a bicubic one is, BiSeNet sees none, and calls everything background: the value says
    how much of a face is drawn sharply, too. Arguments as for `lpips`.
    """
    return np.nanmean(part_iou(*map(parse, pair(sr, hr, "truncate"))), axis=1)
