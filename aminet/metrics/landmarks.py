"""Landmarks as a measure of shape: 68 points of a face by insightface's network of 106, their error, the head's pose.

The network answers for any picture, and was trained on sharp faces: it reads a turned head as turned less.
"""
from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor
from tqdm.auto import tqdm

from ..degrade import resize
from ..protocol import pair
from . import pretrained

if TYPE_CHECKING:
    from scipy.spatial.transform import Rotation

# Which of the 106 points that insightface's network finds is which of the 68, in the iBUG order.
IBUG = [1, 10, 12, 14, 16, 3, 5, 7, 0, 23, 21, 19, 32, 30, 28, 26, 17, 43, 48, 49, 51, 50, 102, 103, 104, 105, 101, 72,
        73, 74, 86, 78, 79, 80, 85, 84, 35, 41, 42, 39, 37, 36, 89, 95, 96, 93, 91, 90, 52, 64, 63, 71, 67, 68, 61, 58,
        59, 53, 56, 55, 65, 66, 62, 70, 69, 57, 60, 54]
# The landmarks that an expression hardly moves, in three dimensions: x to the right, y down, z away from the viewer, in
# percent of the distance of the outer eye corners. They fit those of 503 CelebA validation faces, and mirrored, best.
FACE = {27: (0, -28, 3), 28: (0, -14, -6), 29: (0, 0, -15), 30: (0, 14, -25), 31: (-15, 23, -5), 32: (-8, 25, -8),
        33: (0, 27, -11), 34: (8, 25, -8), 35: (15, 23, -5), 36: (-50, -25, 24), 39: (-20, -23, 16),
        42: (20, -23, 16), 45: (50, -25, 24)}


def find_landmarks(faces: Tensor) -> Tensor:
    """Find 68 landmarks of aligned faces: uint8 (N, 3, H, W) -> float32 (N, 68, 2), x and y in pixels.

    BadInput if the network is not at hand.
    """
    network, points = pretrained.onnx_network("landmarks"), []
    size = torch.tensor([faces.shape[-1], faces.shape[-2]])
    for face in tqdm(faces, "landmarks", unit=" faces", leave=False, dynamic_ncols=True):
        # It expects a face that fills two thirds of 192x192 pixels, which an aligned one does; it answers in [-1, 1].
        answer = network(resize(face[None], 192).float().numpy())
        points.append((torch.from_numpy(answer).reshape(106, 2)[IBUG] + 1) * size / 2)
    return torch.stack(points)


def landmarks_of(sr: Tensor, hr: Tensor) -> list[np.ndarray]:
    """Return the landmarks of both, float64 (N, 68, 2) each; the last pictures' are kept, for the next metric."""
    return [_landmarks(images.tobytes(), images.shape) for images in pair(sr, hr, "truncate")]


@lru_cache(maxsize=3)  # the restored, the bicubic and the original faces
def _landmarks(content: bytes, shape: tuple[int, ...]) -> np.ndarray:
    return find_landmarks(torch.frombuffer(bytearray(content), dtype=torch.uint8).reshape(shape)).double().numpy()


def nme(sr: Tensor, hr: Tensor) -> np.ndarray:
    """Return the normalised mean error per image: how far the 68 landmarks of sr lie from those of hr, lower is better.

    In percent of the distance of hr's outer eye corners, as the 300-W challenge has it. Arguments as for `lpips`.
    """
    found, true = landmarks_of(sr, hr)
    return 100 * np.linalg.norm(found - true, axis=-1).mean(1) / np.linalg.norm(true[:, 36] - true[:, 45], axis=-1)


def pose(sr: Tensor, hr: Tensor) -> np.ndarray:
    """Return the angle in degrees per image between the heads of sr and hr, lower is better. Arguments as for `nme`."""
    found, true = map(head_rotation, landmarks_of(sr, hr))
    return np.degrees((found * true.inv()).magnitude())


def head_pose(landmarks: np.ndarray | Tensor) -> np.ndarray:
    """Return yaw, pitch and roll of heads in degrees: (N, 68, 2) -> (N, 3).

    Positive: the nose to the right of the picture, downwards, clockwise. Pitch 0 is that of an average CelebA face.
    Of synthetic faces up to 35 degrees, exact landmarks give the yaw with a mean error of 1.4 degrees. Those of the
    network give it with one of 3.1, and 15 % too small.
    """
    roll, pitch, yaw = head_rotation(landmarks).as_euler("ZXY", degrees=True).T
    return np.stack([-yaw, pitch, roll], axis=1)


def head_rotation(landmarks: np.ndarray | Tensor) -> Rotation:
    """Return the rotations that bring FACE nearest to landmarks (N, 68, 2), seen from far away (weak perspective).

    Depths are unknown: they are those of the face as turned so far, which is turned again (orthogonal Procrustes).
    """
    from scipy.spatial.transform import Rotation

    face = np.array(list(FACE.values()), float)
    face -= face.mean(0)
    seen = np.asarray(landmarks, float)[:, list(FACE)]
    seen -= seen.mean(1, keepdims=True)
    depth, turn = np.zeros((*seen.shape[:2], 1)), np.eye(3)
    for _ in range(50):
        u, _, v = np.linalg.svd(np.concatenate([seen, depth], axis=2).transpose(0, 2, 1) @ face)
        u[:, :, 2] *= np.linalg.det(u @ v)[:, None]  # no mirror
        turn = u @ v
        turned = face @ turn.transpose(0, 2, 1)
        scale = (turned[..., :2] * seen).sum((1, 2)) / (turned[..., :2] ** 2).sum((1, 2))
        depth = turned[..., 2:] * scale[:, None, None]
    return Rotation.from_matrix(turn)
