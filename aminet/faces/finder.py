"""The faces of a photograph: where their eyes are, how large they are and how far they are turned. No torch here.

YuNet (`aminet.metrics.yunet`) knows upright faces: it misses most that are turned by more than 40 degrees, and where a
face is small in what it sees, its landmarks hardly turn with the face (one turned by 30 degrees is read as 4). So the
picture is searched at eight turns, and each face is then enlarged and turned back until its eyes are level.
"""
from __future__ import annotations

import cmath
import math
import os
from collections.abc import Iterable
from functools import lru_cache
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..config import HR
from ..errors import BadInput
from ..metrics.pretrained import missing_network
from ..metrics.yunet import detections

TURNED, UPRIGHT = 512, 2048  # longer side in pixels of the picture that is searched at all turns, and at none
TILE = 1024  # side in pixels of what YuNet sees at once; tiles overlap by a quarter
LEVEL = 320  # side in pixels of a face's frame where it is levelled: at this size the landmarks turn with the face
FRAME = 1.13  # an aligned face's frame to the height of YuNet's box: the median of 60 validation faces
CASCADE_EYES = ((0.307, 0.387), (0.677, 0.387))  # in the cascade's box: the median of 39 validation faces
BLURRED = 20  # side in pixels below which YuNet draws the eyes together (16 px: by 10 %): its box tells more
SURE = (0.7, 0.8)  # least score of a face up to 32 px, and of a larger one (48 validation faces: 0.92 or more)
SMALLEST = 10  # side in pixels


class Found(NamedTuple):
    """One face, in the continuous pixels x + iy of its picture.

    left, right: the eye centres as seen in the levelled face. middle, width: of the detector's box. upright: the height
    of the face's frame, times the direction of its horizontal. problem: why it cannot be restored; empty if it can.
    """

    score: float
    left: complex
    right: complex
    middle: complex
    width: float
    upright: complex
    problem: str = ""

    @property
    def side(self) -> float:
        """The side in pixels of the frame that `align` cuts: 128/38 of the distance of the eyes."""
        return abs(self.right - self.left) * HR / 38

    @property
    def roll(self) -> float:
        """How far the face is turned, clockwise as one sees it, in degrees from -180 to 180."""
        return math.degrees(cmath.phase(self.right - self.left))


def find_faces(image: Image.Image) -> list[Found]:
    """Find every face of an RGB picture, the largest first.

    Faces below a fortieth of the picture's longer side, and turned ones below a tenth, may be missed. Without YuNet,
    scikit-image's frontal-face cascade finds upright faces only, as boxes: the eyes are then where most faces have
    them. BadInput where that is missing, too.
    """
    if not without_yunet():
        found = search(image, TURNED, range(0, 360, 45)) + search(image, min(UPRIGHT, 4 * max(image.size)), [0])
        found = distinct(found or search(image, 2 * TURNED, range(0, 360, 45)))
        found = distinct([face for candidate in found if (face := level(image, candidate))])
    else:
        found = by_cascade(image)
    return [face._replace(problem=problem(face, image)) for face in sorted(found, key=lambda face: -face.width)]


def without_yunet() -> str | None:
    """Say that faces are found without YuNet, and why; None if it is at hand. Downloading it is tried once."""
    return why_without(os.environ.get("AMINET_WEIGHTS", ""))


@lru_cache
def why_without(_: str) -> str | None:
    """`without_yunet`, remembered for these folders."""
    why = missing_network("yunet")
    return why and f"only upright faces are found, and their eyes are guessed: {why}"


def problem(face: Found, image: Image.Image) -> str:
    """Say why a face cannot be restored; empty if it can."""
    if any(not (0 <= eye.real <= image.width and 0 <= eye.imag <= image.height) for eye in (face.left, face.right)):
        return "an eye lies outside the picture"
    if abs(face.right - face.left) < 0.3 * face.width:
        return "a profile"
    return f"below {SMALLEST} px" if face.side < SMALLEST else ""


def look(image: Image.Image, middle: complex, step: complex, size: tuple[int, int]) -> list[Found]:
    """Return YuNet's faces in a view of `size` pixels around the point `middle`. step: how far, and in which direction,
    a pixel of the view goes to the right in the picture. What lies outside the picture is black."""
    origin, reach = middle - step * complex(*size) / 2, abs(step * complex(*size)) / 2
    corner = complex(math.floor(middle.real - reach), math.floor(middle.imag - reach))
    end, reduce = corner + (1 + 1j) * math.ceil(2 * reach + 1), max(1, int(abs(step)))  # reduced: without aliasing
    crop = image.crop((int(corner.real), int(corner.imag), int(end.real), int(end.imag))).reduce(reduce)
    start, pace = (origin - corner) / reduce, step / reduce
    matrix = (pace.real, -pace.imag, start.real, pace.imag, pace.real, start.imag)
    view = crop.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR)
    found = []
    for x, y, width, height, *points, score in detections(np.asarray(view)).tolist():
        seen = complex(*points[:2]), complex(*points[2:4]), complex(x + width / 2, y + height / 2)
        left, right, middle = (origin + step * at for at in seen)
        found.append(Found(score, left, right, middle, width * abs(step), height * FRAME * step))
    return found


def search(image: Image.Image, longer: int, turns: Iterable[int]) -> list[Found]:
    """Return all that YuNet finds in the picture, resized to this longer side, at these turns in degrees."""
    scale = longer / max(image.size)
    width, height = (max(1, round(side * scale)) for side in image.size)
    resized, found = image.resize((width, height), Image.Resampling.BILINEAR, reducing_gap=2), []
    for x in range(0, max(width - TILE // 4, 1), TILE * 3 // 4):
        for y in range(0, max(height - TILE // 4, 1), TILE * 3 // 4):
            tile = complex(min(TILE, width - x), min(TILE, height - y))
            for turn in turns:
                step = cmath.rect(1, math.radians(turn))
                corners = tile * step, tile.conjugate() * step
                size = [math.ceil(max(abs(part(corner)) for corner in corners) - 1e-6)
                        for part in (lambda z: z.real, lambda z: z.imag)]
                found += look(resized, complex(x, y) + tile / 2, step, (size[0], size[1]))
    return [Found(score, *(part / scale for part in parts)) for score, *parts, _ in found]


def distinct(found: list[Found]) -> list[Found]:
    """Keep of the faces in one place the one with the best score."""
    kept: list[Found] = []
    for face in sorted(found, key=lambda face: -face.score):
        if all(abs(face.middle - other.middle) > 0.6 * max(face.width, other.width) for other in kept):
            kept.append(face)
    return kept


def level(image: Image.Image, face: Found) -> Found | None:
    """Turn the view with the eyes until they are level, and average five readings; None if no face is seen there."""
    for _ in range(6):
        before, seen = face.upright, closer(image, face, 0)
        if seen is None:
            return None
        face = seen
        if abs(cmath.phase(face.upright / before)) < math.radians(1):
            break
    readings = [face, *filter(None, (closer(image, face, turn) for turn in (-10, -5, 5, 10)))]
    if max(reading.score for reading in readings) < SURE[abs(face.upright) > 32]:
        return None
    score, left, right, middle, width, upright = (sum(parts) / len(readings) for parts in list(zip(*readings))[:6])
    if abs(upright) < BLURRED:
        half, mid = upright * 19 / HR, (left + right) / 2
        left, right = mid - half, mid + half
    return Found(score, left, right, middle, width, upright)


def closer(image: Image.Image, face: Found, turn: float) -> Found | None:
    """Return the face as it is seen in an enlarged view, turned by some degrees from upright; None if it is not."""
    step = face.upright / LEVEL * cmath.rect(1, math.radians(turn))
    near = [seen for seen in look(image, face.middle, step, (LEVEL * 3 // 2, LEVEL * 3 // 2))
            if abs(seen.middle - face.middle) < 0.3 * abs(face.upright) and seen.left != seen.right]
    if not near:
        return None
    best = max(near, key=lambda seen: seen.score)
    eyes = best.right - best.left
    return best._replace(upright=abs(best.upright) * eyes / abs(eyes))


def by_cascade(image: Image.Image) -> list[Found]:
    """Find upright faces by scikit-image's cascade: boxes, in which the eyes are where most faces have them."""
    try:
        from skimage.data import lbp_frontal_face_cascade_filename
        from skimage.feature import Cascade
    except ImportError:
        raise BadInput(f"{without_yunet()}; or pip install scikit-image, which finds upright faces") from None

    scale = min(1, TURNED / max(image.size))
    small = image.resize([max(1, round(side * scale)) for side in image.size], reducing_gap=2)
    boxes = Cascade(lbp_frontal_face_cascade_filename()).detect_multi_scale(
        img=np.array(small), scale_factor=1.1, step_ratio=1, min_size=(24, 24), max_size=small.size[::-1],
        min_neighbor_number=12, intersection_score_threshold=0.3)
    found = []
    for box in sorted(boxes, key=lambda box: -box["width"]):
        corner, width = complex(box["c"], box["r"]) / scale, box["width"] / scale
        left, right = (corner + width * complex(*eye) for eye in CASCADE_EYES)
        found.append(Found(1, left, right, corner + width * (0.5 + 0.5j), width, complex(1.2 * width)))
    return distinct(found)
