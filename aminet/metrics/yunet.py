"""YuNet, OpenCV's face detector: the eyes, the nose and the mouth of the faces in a picture. No torch here."""
from __future__ import annotations

from functools import lru_cache

import numpy as np

from .pretrained import locate


@lru_cache(maxsize=1)
def detector(width: int, height: int):
    """OpenCV's detector for pictures of this size in pixels; BadInput if YuNet is not at hand."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # its CPU build warns of a missing accelerator
    return cv2.FaceDetectorYN.create(str(locate("yunet")), "", (width, height), score_threshold=0.6)


def detections(image: np.ndarray) -> np.ndarray:
    """Find the faces in uint8 RGB (H, W, 3), the largest first: float32 (N, 15). Each row has the box (x, y, width,
    height), x and y of the five landmarks (see `detect`), and the score, from 0.6 to 1."""
    _, faces = detector(image.shape[1], image.shape[0]).detect(np.ascontiguousarray(image[:, :, ::-1]))
    faces = np.empty((0, 15), np.float32) if faces is None else faces
    return faces[np.argsort(-faces[:, 2] * faces[:, 3], kind="stable")]


def detect(image: np.ndarray) -> list[np.ndarray]:
    """Find the faces in uint8 RGB (3, H, W), the largest first: (5, 2) pixels (x, y) of the eyes, the nose and the
    corners of the mouth, left of the picture first."""
    return [face[4:14].reshape(5, 2) for face in detections(image.transpose(1, 2, 0))]
