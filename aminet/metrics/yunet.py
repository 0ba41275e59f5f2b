"""YuNet, OpenCV's face detector: the eyes, the nose and the mouth of the faces in a picture. No torch here."""
from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

from ..errors import BadInput
from .pretrained import locate


@lru_cache(maxsize=1)
def detector(width: int, height: int):
    """OpenCV's detector for pictures of this size in pixels; BadInput if YuNet is not at hand."""
    import cv2

    cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_ERROR)  # its CPU build warns of a missing accelerator
    return cv2.FaceDetectorYN.create(str(locate("yunet")), "", (width, height), score_threshold=0.6)


def detect(image: np.ndarray) -> list[np.ndarray]:
    """Find the faces in uint8 RGB (3, H, W), the largest first: (5, 2) pixels (x, y) of the eyes, the nose and the
    corners of the mouth, left of the picture first."""
    _, faces = detector(image.shape[-1], image.shape[-2]).detect(np.ascontiguousarray(image[::-1].transpose(1, 2, 0)))
    largest_first = sorted([] if faces is None else faces, key=lambda face: -face[2] * face[3])
    return [face[4:14].reshape(5, 2) for face in largest_first]


def eyes(image: Image.Image) -> tuple[tuple[float, float], tuple[float, float], int]:
    """Find the eye centres (left of the picture first), in pixels, of the largest face, and count the faces.

    BadInput if there is none.
    """
    scale = min(1.0, 1024 / max(image.size))  # YuNet is trained on small pictures
    small = image.resize((max(1, round(image.width * scale)), max(1, round(image.height * scale))))
    faces = detect(np.array(small).transpose(2, 0, 1))
    if not faces:
        raise BadInput("no face found: give a picture with a visible face, or an aligned face of 16x16 pixels")
    left, right = sorted((float(x) / scale, float(y) / scale) for x, y in faces[0][:2])
    return left, right, len(faces)
