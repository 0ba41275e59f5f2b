"""Procedural faces: seeded pictures of nobody, so that everything here runs with no data set and no network.

A head is a surface in three dimensions. Each row of the picture is one section of it, with smooth bumps for
nose, sockets, cheeks and lips, turned by the yaw and seen from far away, so that what is hidden is found row
by row. Colour is painted on the surface, shaded in linear light at twice the size, then averaged. Units are
pixels of a 128 x 128 picture; the origin is the point between the eyes, x to the right, y down, z to the
viewer. Seen from the front, the eyes are about 38 px apart on row 52.
"""
from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from numbers import Integral
from types import SimpleNamespace
from typing import NamedTuple

import numpy as np
import torch
import torch.nn.functional as F

from ..config import bounded, check_fields
from ..errors import BadInput

CLASSES = ("background", "skin", "l_brow", "r_brow", "l_eye", "r_eye", "eye_g", "l_ear", "r_ear", "ear_r",
           "nose", "mouth", "u_lip", "l_lip", "neck", "neck_l", "cloth", "hair", "hat")
_HAIR = {  # room above the skull and beside it, hanging length, lift of the hairline, side cover, raggedness
    "bald": (0, 0, 0, 0, 1, 0), "buzz": (1, 0.5, 8, 0, 0.97, 0.8), "short": (5, 2, 12, 0, 0.96, 1.5),
    "side": (7, 2.5, 12, 1, 0.95, 1.5), "fringe": (6, 4, 16, -12, 0.93, 2.5), "bob": (6, 8, 50, 0, 0.86, 1.5),
    "straight": (5, 7, 99, 1, 0.87, 1.2), "wavy": (7, 11, 99, 1, 0.86, 2.5),
    "curly": (11, 11, 26, -1, 0.93, 3.5), "tied": (3, 1, 12, 2, 0.95, 0.8),
    "long_fringe": (6, 8, 99, -12, 0.88, 2.2)}
STYLES = tuple(_HAIR)
# sRGB tables: skin light to dark; hair black to blond, then grey; eyes brown to blue and grey
_SKIN = ((248, 213, 192), (241, 196, 168), (226, 173, 138), (197, 141, 106), (150, 100, 74), (96, 65, 51))
_HAIRS = ((22, 18, 18), (44, 30, 24), (84, 54, 36), (134, 76, 44), (196, 152, 92), (224, 198, 150), (170, 166, 162))
_IRIS = ((60, 36, 22), (92, 58, 34), (112, 92, 50), (84, 110, 76), (82, 120, 156), (112, 128, 140))
MOST = 1_000_000  # faces of one seed
LAST_SEED = 2**63 // MOST - 1  # a face's identity is below 2**63


@dataclass(frozen=True)
class FaceParams:
    """What is seen. `identity` seeds the shape of the face (proportions, eyes, nose, mouth, jaw, age, beard).

    yaw: degrees, -35 .. 35, positive turns the nose to the right of the picture.
    expression: -1 sad .. 1 laughing, mouth open from 0.25 on.
    light: -1 from the left .. 1 from the right; strength: 0 flat .. 1 hard. skin: 0 light .. 1 dark.
    hair: index in `STYLES`; tone: 0 black, brown, red, blond .. 1 grey.
    background: seed of the scene and the clothes.
    Raises BadInput where a value is out of its range, or no number of Python's own.
    """

    identity: int = bounded(0, 0, 2**63)
    yaw: float = bounded(0.0, -35, 35)
    expression: float = bounded(0.0, -1, 1)
    light: float = bounded(0.3, -1, 1)
    strength: float = bounded(0.5, 0, 1)
    skin: float = bounded(0.25, 0, 1)
    hair: int = bounded(2, 0, len(STYLES) - 1)
    tone: float = bounded(0.3, 0, 1)
    glasses: bool = False
    background: int = bounded(0, 0, 2**63)

    def __post_init__(self) -> None:
        check_fields(self)


class Face(NamedTuple):
    """image: uint8 (3,size,size) RGB. landmarks: float32 (68,2), x and y in pixels. mask: uint8 (size,size).

    Landmarks in the iBUG order: 0-16 jaw, 17-26 brows, 27-35 nose, 36-47 eyes, 48-67 mouth. The mask holds indices in
    `CLASSES`, the order of CelebAMask-HQ as BiSeNet numbers it. Left and right are those of the picture. Eyes seen
    through glasses stay eyes; ear_r, neck_l and hat are never drawn.
    """

    image: torch.Tensor
    landmarks: torch.Tensor
    mask: torch.Tensor


def random_params(seed: int) -> FaceParams:
    """Parameters drawn from `seed`, which is also the identity and the scene."""
    if not isinstance(seed, Integral) or seed < 0:
        raise BadInput(f"seed must be a whole number from 0, not {seed!r}")
    rng = np.random.default_rng([seed, 7])
    odds = [2, 3, 6, 5, 2, 1, 1, 1, 2, 1, 0] if _shape(seed).masc > 0.5 else [0, 0, 1, 2, 1, 4, 5, 5, 2, 3, 3]
    skin = rng.random()
    tone = rng.random() * (1 if skin < 0.5 or rng.random() < 0.1 else 0.4)
    return FaceParams(
        identity=int(seed), yaw=float(np.clip(rng.normal(0, 13), -35, 35)), expression=rng.uniform(-0.4, 1),
        light=rng.uniform(-1, 1), strength=rng.uniform(0.1, 0.9), skin=skin, tone=tone,
        hair=int(rng.choice(len(STYLES), p=np.array(odds) / sum(odds))), glasses=rng.random() < 0.15,
        background=int(seed))


def _shape(identity: int) -> SimpleNamespace:
    """The numbers of a face. `masc` shifts some of them."""
    rng = np.random.default_rng([identity, 1])
    masc = rng.random()

    def draw(low, high, shift=0.0):
        return rng.uniform(low, high) + shift * (masc - 0.5)

    return SimpleNamespace(
        masc=masc, width=draw(35.5, 40, 2), top=draw(45, 52), chin=draw(58, 66, 4), jaw=draw(1.9, 2.6, 0.7),
        taper=draw(0.54, 0.68, -0.08), eyes=draw(18.1, 19.9), eye_w=draw(8.4, 10), eye_up=draw(3.1, 4.8, -0.7),
        eye_low=draw(1.9, 2.9), tilt=draw(-0.14, 0.06), crease=draw(1.6, 3.4), iris=draw(0, 1), gaze=draw(-1.2, 1.2),
        brow=draw(-13.5, -10.5, 1.5), arch=draw(0.5, 3, -1), brow_w=draw(1.2, 2.3, 0.9),
        nose=draw(20, 25, 1), nose_w=draw(5.2, 8.2, 1), nose_h=draw(8, 12.5),
        mouth=draw(36.5, 40.5, 2), mouth_w=draw(13, 16.5), lip_up=draw(2.2, 4.2, -1), lip_low=draw(3.2, 5.6, -1),
        cheek=draw(0.5, 3), chin_z=draw(2, 5), age=draw(0, 1) ** 2, hairline=draw(30, 37), part=draw(-18, 18),
        volume=draw(0.6, 1.7), blush=draw(0, 1), freckles=max(0, draw(-1.5, 1)),
        paint=min(1, max(0, draw(-1, 1, -1.6))), beard=min(1, max(0, draw(-0.9, 0.6, 1.8))))


def _bell(x, width=1.0):
    return np.exp(-np.square(x / width))


def _edge(d, width=0.6):
    """Soft step: 1 where the signed distance d is positive."""
    return np.clip(d / width + 0.5, 0, 1)


def _ramp(x, low, high):
    t = np.clip((x - low) / (high - low), 0, 1)
    return t * t * (3 - 2 * t)


def _rgb(*values):
    return np.asarray(values, np.float32).reshape(3, 1, 1)


def _from_table(rows, t):
    """Linear light (3,1,1) at 0 <= t <= 1 along a table of sRGB rows."""
    at = np.linspace(0, 1, len(rows))
    return _rgb(*((np.interp(t, at, column) / 255) ** 2 for column in zip(*rows)))


def _dye(rng, low, high, dull=0.5):
    """A random colour of brightness low .. high; at dull = 1 it is grey."""
    return _rgb(*(rng.uniform(low, high) * rng.uniform(dull, 1, 3)) ** 2)


def _noise(rng, cells, n):
    """Smooth noise (n,n) of about unit variance, `cells` cells a side."""
    table = torch.from_numpy(rng.standard_normal((1, 1, cells, cells), np.float32))
    return F.interpolate(table, (n, n), mode="bicubic", align_corners=False)[0, 0].numpy()


def _strands(rng, across, along):
    """Hair grain: noise that changes fast with `across` and slowly with `along`, both about 0 .. 1."""
    table = torch.from_numpy(rng.standard_normal((1, 1, 24, 192), np.float32))
    grid = torch.from_numpy(np.stack([across * 2 - 1, along * 2 - 1], -1).astype(np.float32))[None]
    return F.grid_sample(table, grid, padding_mode="reflection", align_corners=False)[0, 0].numpy()


def _blur(x, k):
    """Blur of about k px, made on a small copy."""
    small = torch.from_numpy(np.ascontiguousarray(x, np.float32))[None, None]
    small = F.avg_pool2d(small, max(k // 3, 1), ceil_mode=True)
    small = F.avg_pool2d(F.pad(small, (1, 1, 1, 1), mode="replicate"), 3, 1)
    return F.interpolate(small, x.shape, mode="bicubic", align_corners=False)[0, 0].numpy()


class _Canvas:
    """Paint, layer upon layer, and the class of the topmost one. With `sides`, a pair l_name and r_name."""

    def __init__(self, image, label):
        self.image, self.label = image, np.full(image.shape[1:], CLASSES.index(label), np.uint8)

    def over(self, alpha, colour, name=None, sides=None):
        rows, columns = np.flatnonzero(alpha.any(1)), np.flatnonzero(alpha.any(0))
        if rows.size:  # only the box that is touched
            box = np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
            part = self.image[(slice(None), *box)]
            part += alpha[box] * (np.broadcast_to(colour, self.image.shape)[(slice(None), *box)] - part)
        if name and sides is not None:
            self.mark((alpha > 0.5) & (sides < 0), "l_" + name)
            self.mark((alpha > 0.5) & (sides > 0), "r_" + name)
        elif name:
            self.mark(alpha > 0.5, name)

    def mark(self, where, name):
        self.label[where] = CLASSES.index(name)


class _Light:
    """A soft sky and one lamp. Vectors are (x, y, z) with y down."""

    def __init__(self, p):
        lamp = np.array([1.3 * p.light, -0.55, 0.9])
        half = lamp / np.linalg.norm(lamp) + (0, 0, 1)
        self.lamp = (lamp / np.linalg.norm(lamp)).tolist()
        self.half = (half / np.linalg.norm(half)).tolist()  # where gloss lies
        self.sky, self.key, self.hard = 0.8 - 0.58 * p.strength, 0.3 + 0.95 * p.strength, p.strength

    def on(self, nx, ny, nz):
        """Irradiance at a normal, about 1 where the surface looks at the viewer."""
        lamp = np.clip((nx * self.lamp[0] + ny * self.lamp[1] + nz * self.lamp[2] + 0.2) / 1.2, 0, None)
        return self.sky * (0.85 - 0.15 * ny) + self.key * lamp


class _Head:
    """Geometry: widths of the sections, curves of lids, lips and brows, the surface and its view."""

    def __init__(self, p: FaceParams):
        self.s, self.e, self.smile = _shape(p.identity), p.expression, max(p.expression, 0)
        self.yaw, self.sin, self.cos = p.yaw, math.sin(math.radians(p.yaw)), math.cos(math.radians(p.yaw))
        self.mouth_w = self.s.mouth_w * (1 + 0.2 * self.smile)
        self.mouth_y = self.s.mouth - 1.2 * self.smile
        self.gap = 8 * max(self.e - 0.25, 0)

    def width(self, y):
        low, high = np.clip(y / self.s.chin, 0, 1), np.clip(-y / self.s.top, 0, 1)
        below = (1 - low**self.s.jaw) ** self.s.taper
        return self.s.width * np.where(y > 0, below, np.sqrt(1 - high**2.6)) + 1e-3

    def brow(self, t):
        """Row of the brow at t, 0 inner .. 1 outer end."""
        sad = 3 * min(self.e, 0) * (1 - t) ** 2
        return self.s.brow - self.s.arch * (1 - (t / 0.62 - 1) ** 2) + sad - 0.5 * self.e

    def lips(self, x):
        """Rows at x: top of the upper lip, top and bottom of the opening, bottom of the lower lip."""
        t = np.clip(x / self.mouth_w, -1, 1)
        full = np.sqrt(1 - t * t)
        corners = (4.5 if self.e > 0 else 2.4) * self.e + 0.9
        mid = self.mouth_y - corners * t * t + 0.5 * _bell(t, 0.3)
        thin = 1 - 0.25 * self.smile
        top, low = mid - 0.2 * self.gap * full, mid + 0.8 * self.gap * full
        upper = self.s.lip_up * thin * full * (1 - 0.22 * _bell(t, 0.16))
        return top - upper, top, low, low + self.s.lip_low * thin * full

    def lids(self, a):
        """Place in the eye (-1 inner .. 1 outer corner) and rows of the lids, at a from the middle."""
        s, e = self.s, (a - self.s.eyes) / self.s.eye_w
        full = np.clip(1 - e * e, 0, 1)
        base = s.tilt * (a - s.eyes)
        upper = base - s.eye_up * (1 - 0.12 * self.smile) * full**0.7 * (1 - 0.12 * e)
        return e, upper, base + s.eye_low * (1 - 0.3 * self.smile) * full * (1 + 0.2 * e)

    def surface(self, sin, cos, y):
        """x and z of the surface at row y and the angle round the section, 0 in front."""
        s, tip = self.s, self.s.nose
        x = self.width(y) * sin
        a = np.abs(x)
        fore = 13 * _ramp(y, 14, 50)  # below the ears the head is less deep
        below = np.sqrt(1 - np.clip(y / (s.chin + 0.5), 0, 1) ** 5)
        above = (1 - np.clip(-y / (s.top + 2), 0, 1) ** 3) ** 0.6
        deep = np.where(cos > 0, 44 - fore, 44 - 2.2 * fore) * np.where(y > 0, below, above)
        t = np.clip((y + 9) / (tip + 9), 0, 1)
        ridge = s.nose_h * (0.18 + 0.82 * t**1.4) * _ramp(y, -16, -4) * _ramp(-y, -tip - 7, -tip + 0.5)
        bump = ridge * _bell(x, 3.4 + 0.55 * s.nose_w * t**2) + 2.2 * _bell(x, 4.5) * _bell(y - tip, 4)
        bump += 3.6 * _bell(a - s.nose_w, 2.4) * _bell(y - tip - 2.5, 3.2)  # wings of the nose
        bump += 3 * _bell(a - s.eyes, 7) * _bell(y, 4.5) - 4.5 * _bell(a - s.eyes + 2, 10) * _bell(y + 2, 7.5)
        bump += (1.2 + 1.6 * s.masc) * _bell(a - 14, 15) * _bell(y + 13, 5)  # ridge of the brows
        bump += (s.cheek + 2.2 * self.smile) * _bell(a - 24, 9) * _bell(y - 17 + 2 * self.smile, 8)
        bump += 3 * _bell(x, 15) * _bell(y - self.mouth_y, 12)
        bump += s.chin_z * _bell(x, 9) * _bell(y - s.chin + 9, 6)
        bump -= 1.6 * _bell(x, 11) * _bell(y - self.mouth_y - 9 - self.gap / 2, 3)  # under the lower lip
        under_nose = _ramp(y, tip + 4, tip + 7) * _ramp(-y, 1 - self.mouth_y, 4 - self.mouth_y)
        bump -= 0.8 * _bell(x, 1.8) * under_nose
        t = np.clip((y - tip) / (self.mouth_y + 3 - tip), 0, 1)  # fold from nose to corner of the mouth
        fold = _bell(a - s.nose_w - 2 - (self.mouth_w + 2 - s.nose_w) * t, 1.9)
        bump -= (0.5 + 1.4 * s.age + 1.2 * self.smile) * np.sin(np.pi * t) * fold
        lines = np.sin(1.2 * y + 2 * np.sin(0.13 * x))  # of the forehead
        bump += 0.35 * s.age * lines * _bell(y + 24, 8) * _bell(a, 22)
        top, mid, low, bottom = self.lips(x)
        bump += np.clip(1 - (x / self.mouth_w) ** 2, 0, 1) * (
            1.3 * _bell(y - (top + mid) / 2, 1.8) + 1.9 * _bell(y - (low + bottom) / 2, 2.2)
            - 1.2 * _bell(y - (mid + low) / 2, 0.8 + self.gap / 3))
        return x, fore + deep * np.sign(cos) * np.abs(cos) ** 0.85 + bump * _ramp(cos, 0, 0.55)

    def turn(self, x, z):
        """x in the picture and depth of a point. The pivot, behind the eyes, keeps them near the middle."""
        return x * self.cos + (z - 30) * self.sin, (z - 30) * self.cos - x * self.sin

    def view(self, xs, ys):
        """Per pixel the surface's own x (unrolled behind the ears) and depth; per row the two ends in x."""
        angle = np.linspace(-2.2, 2.2, 321, dtype=np.float32)
        sin, cos = np.sin(angle), np.cos(angle)
        own = np.where(cos > 0, sin, np.sign(sin) * (2 - np.abs(sin))) * self.width(ys)[:, None]
        u, depth = self.turn(*self.surface(sin, cos, ys[:, None]))
        back = self.yaw < 0
        if back:  # mirrored, so that what hides is always left of what it hides
            u, depth, own, xs = -u[:, ::-1], depth[:, ::-1], own[:, ::-1], -xs[::-1]
        order = np.arange(u.shape[1], dtype=np.float32)
        first, last = u.argmin(1)[:, None], u.argmax(1)[:, None]
        u = np.where(order < first, u.min(1)[:, None], np.where(order > last, u.max(1)[:, None], u))
        u = np.maximum.accumulate(u, 1) + np.float32(1e-4) * order  # less than the maximum: hidden
        at = np.stack([np.interp(xs, row, order) for row in u]).astype(np.float32)
        i = np.minimum(at.astype(int), u.shape[1] - 2)
        own, depth = (np.take_along_axis(v, i, 1) * (1 - at + i) + np.take_along_axis(v, i + 1, 1) * (at - i)
                      for v in (own, depth))
        own, depth, left, right = (v.astype(np.float32) for v in (own, depth, u[:, :1], u[:, -1:]))
        return (own[:, ::-1], depth[:, ::-1], -right, -left) if back else (own, depth, left, right)

    def landmarks(self):
        """(68,2) x and y from the origin."""
        s, t = self.s, np.linspace(-1, 1, 17)
        y = 0.985 * s.chin * np.cos(t * np.pi / 2) ** 0.8
        jaw = np.stack([np.sign(t) * self.width(y) * 0.96 * (np.abs(t) > 1e-6), y], 1)
        t = np.array([0.06, 0.28, 0.5, 0.72, 0.95])
        brow = np.stack([s.eyes - 9.5 + 20.5 * t, self.brow(t)], 1)
        bridge = np.stack([np.zeros(4), np.linspace(-2, s.nose, 4)], 1)
        t = np.linspace(-0.9, 0.9, 5)
        base = np.stack([t * s.nose_w, s.nose + 5 - 1.5 * np.abs(t)], 1)
        a = s.eyes + s.eye_w * np.array([-0.9, -0.36, 0.36, 0.9, 0.36, -0.36])  # corner, upper, corner, lower
        _, up, low = self.lids(a)
        eye = np.stack([a, up + (low - up) * np.array([0.5, 0.1, 0.1, 0.5, 0.88, 0.88])], 1)
        t = self.mouth_w * np.array([-0.94, -0.6, -0.25, 0, 0.25, 0.6, 0.94, 0.6, 0.3, 0, -0.3, -0.6, -0.85, -0.35, 0,
                                     0.35, 0.85, 0.35, 0, -0.35])
        top, mid, low, bottom = self.lips(t)
        top, bottom = 0.88 * top + 0.12 * mid, 0.88 * bottom + 0.12 * low
        mouth = np.stack([t, np.concatenate([top[:7], bottom[7:12], mid[12:17], low[17:]])], 1)
        x, y = np.concatenate([jaw, brow[::-1] * (-1, 1), brow, bridge, base, eye[[3, 2, 1, 0, 5, 4]] * (-1, 1), eye,
                               mouth]).T
        sin = np.clip(x / self.width(y), -1, 1)
        return np.stack([self.turn(*self.surface(sin, np.sqrt(1 - sin * sin), y))[0], y], 1)


def _scene(image, rng, px, y) -> _Canvas:
    """A gradient and blurred shapes."""
    n, (sx, sy) = len(y), rng.uniform(-1, 1, 2)
    one, two = _dye(rng, 0.1, 1, 0.65), _dye(rng, 0.1, 1, 0.65)
    image[:] = one + (two - one) * _ramp(px / 128 * float(sx) + (y - 12) / 128 * float(sy), -0.4, 0.4)
    canvas = _Canvas(image, "background")
    for _ in range(rng.integers(0, 7)):
        far = np.hypot(px - rng.uniform(-70, 70), (y - rng.uniform(-60, 80)) * rng.uniform(0.3, 1.2))
        alpha = rng.uniform(0.3, 0.9) * _edge(rng.uniform(6, 34) - far, rng.uniform(1, 14))
        canvas.over(alpha, _dye(rng, 0.1, 1))
    image *= 1 + 0.04 * _noise(rng, 24, n)
    return canvas


def _hair(head, style, colour, light, rng, inside, px, y, x):
    """A shell round the skull: covers of all, of what lies on the head, on the shoulders; two colours."""
    s, n, a, wide = head.s, len(y), np.abs(x), head.width(y[:, :1])
    up, out, length, lift, cover, rag = _HAIR[style]
    long = length > 40
    hx, hang = px + 30 * head.sin, np.clip(y + 4, 0, None)  # the skull lies behind the pivot
    reach = s.width + out * s.volume + 0.1 * hang * long + 3 * abs(head.sin)
    if style == "wavy":
        reach = reach + 2 * np.sin(y / 6 + rng.uniform(0, 6)) * _ramp(y, -20, 20)
    rise = np.clip(-(y + 4), 0, None) / (s.top + up * s.volume - 4)
    r = np.hypot(hx / reach, rise if long else rise + hang / (length + 14))
    if style == "curly":
        grain = 0.6 * _noise(rng, 60, n) + 0.4 * _noise(rng, 24, n)
    else:
        if style in ("fringe", "long_fringe"):  # strands fall, fan out from the parting, or follow the shell
            across, along = np.where(y < 0, hx / (y + 130) * 1.3, hx / 100) + 0.5, y / 128 + 0.5
        elif not long:
            across, along = np.arctan2(hx - s.part, 60 - y) / 2 + 0.5, r / 2
        else:
            across, along = r / 2.2 + 0.04 * np.sign(hx - s.part), y / 160 + 0.5
        if style == "wavy":
            across = across + 0.02 * _noise(rng, 14, n)
        grain = 0.6 * _strands(rng, across, along) + 0.4 * _strands(rng, across * 2.3 + 0.3, along)
    shell = _edge(np.minimum((1 - r) * reach, length + 8 - y) + 0.5 * rag * grain, 1.2) * (style != "bald")
    line = 9 * (a / wide) ** 3 - s.hairline - lift - 4 * s.masc * _bell(a - 0.62 * wide, 8) * (lift >= 0)
    if style in ("side", "bob", "straight", "wavy"):
        line = 0.38 * np.abs(x - s.part) - s.hairline - 3
    burn = np.where(a > 1.06 * wide, 34, length if long else 6)  # how far down the sides it goes
    front = np.maximum(line - y, np.minimum(a - cover * wide - 0.02 * hang * long, burn - y))
    rag = rag * (0.4 if long else 0.8) * (1 if style == "curly" else _ramp(-y, -12, 4))
    front = _edge(front + rag * grain, 2.2) * np.maximum(shell, inside)
    front *= {"bald": 0, "buzz": 0.8}.get(style, 1)
    glow = light.on(np.clip(hx / reach, -1, 1), -rise, np.sqrt(np.clip(1 - r * r, 0.05, 1)))
    shine = np.clip(0.5 + 0.5 * grain, 0, None) * _bell(r - 0.74, 0.13) * glow * (0.03 + 0.1 * light.hard)
    locks = colour * (np.clip(0.72 + 0.34 * grain, 0.12, None) * glow) + shine * (0.5 + colour)
    behind = locks * (0.4 + 0.6 * _ramp(np.abs(hx), 0.5 * s.width, 0.85 * s.width))
    aside = shell * _edge(np.abs(hx) - 0.72 * s.width, 6) * _ramp(y, 30, 45)  # before the shoulders
    return shell, front, aside, locks, behind


def _body(canvas, head, tone, light, rng, inside, px, y):
    """Neck and clothes, in the shadow of the chin."""
    n, drop = len(y), len(y) // 14
    half = 22 + 5 * head.s.masc + 0.1 * np.clip(y - 50, 0, None)
    d = (px + 10 * head.sin) / half
    shadow = 1 - 0.75 * _blur(np.concatenate([np.zeros((drop, n), np.float32), inside[:-drop]]), n // 9)
    glow = light.on(np.clip(d, -1, 1), 0.1, np.sqrt(np.clip(1 - d * d, 0, 1))) * shadow
    canvas.over(_edge((1 - np.abs(d)) * half) * (y > 20), 0.92 * tone * glow, "neck")
    opening = 58 + rng.uniform(4, 22) * (1 - np.abs(d) ** rng.uniform(1, 2.5))
    collar = np.where(np.abs(d) < 1, opening, 52 + 0.26 * half * np.abs(d))
    cloth = _dye(rng, 0.08, 0.95, 0.45) * (1 + 0.16 * _noise(rng, 14, n))
    cloth *= 1 - 0.35 * _bell(y - collar - 2.5, 0.8)
    if rng.random() < 0.3:
        cloth *= 0.7 + 0.3 * np.sign(np.sin((px if rng.random() < 0.5 else y) * rng.uniform(0.6, 1.6)))
    canvas.over(_edge(y - collar), cloth * light.on(px / 90, -0.3, 0.8) * (0.4 + 0.6 * shadow), "cloth")


def _paint_skin(head, p, tone, rng, x, y) -> _Canvas:
    """Unlit skin with blush, freckles and rings under the eyes."""
    s, n, a = head.s, len(y), np.abs(x)
    fine = _noise(rng, n // 2, n)
    face = _Canvas(tone * (1 + 0.05 * _noise(rng, 6, n) + 0.035 * _noise(rng, 30, n) + 0.03 * fine), "skin")
    red = _bell(a - 23, 11) * _bell(y - 19, 9) + 0.8 * _bell(x, 7) * _bell(y - s.nose, 6)
    spots = np.clip(_noise(rng, 100, n) - 1.2, 0, 0.8) * _bell(a - 12, 16) * _bell(y - 16, 10)
    face.image *= 1 - (0.2 + 0.5 * s.blush) * (1 - 0.6 * p.skin) * red * _rgb(0.02, 0.3, 0.26)
    face.image *= 1 - s.freckles * spots * _rgb(0.4, 0.6, 0.7)
    face.image *= 1 - (0.14 + 0.2 * s.age) * _bell(a - s.eyes + 1, 8) * _bell(y - 5, 3.5)  # under the eyes
    return face


def _paint_nose_and_beard(face, head, tone, hair, rng, x, y) -> None:
    s, n, a, tip = head.s, len(y), np.abs(x), head.s.nose
    nose = 3 + (s.nose_w - 0.5) * np.clip((y + 6) / (tip + 6), 0, 1)
    face.mark((a < nose) & (y > -5) & (y < tip + 6), "nose")
    if s.beard > 0.15:
        cheeks = _ramp(y - 8 - 26 * _ramp(head.width(y[:, :1]) - a, 3, 22), -8, 11)
        cheeks = cheeks * (1 - 0.9 * _bell(x, 10) * _bell(y - head.lips(x)[3] - 2, 2.5))
        area = np.maximum(cheeks, _ramp(y, tip + 6, tip + 8) * _edge(head.mouth_w + 4 - a, 6))
        fuzz = np.clip(0.75 + 0.25 * _noise(rng, n // 2, n), 0, 1)
        face.over(area * fuzz * s.beard * (0.9 if s.beard > 0.5 else 0.6), 0.7 * hair + 0.02)
    face.over(0.75 * _bell(a - 0.52 * s.nose_w, 1.5) * _bell(y - tip - 4.6, 1.1), 0.12 * tone)
    face.over(0.3 * _bell(a - s.nose_w - 1.8) * _bell(y - tip - 2, 3.4), 0.3 * tone)


def _paint_mouth(face, head, tone, rng, x, y) -> np.ndarray:
    """Returns where it is wet."""
    s, n, a = head.s, len(y), np.abs(x)
    top, mid, low, bottom = head.lips(x)
    near = _edge(head.mouth_w - a, 1)
    lips = tone * _rgb(0.8, 0.42, 0.42) * (1 - 0.5 * s.paint) + 0.5 * s.paint * _rgb(0.6, 0.08, 0.1)
    lips = lips * (1 + 0.1 * _noise(rng, 60, n))
    face.over(near * _edge(np.minimum(y - top, mid - y), 1), 0.85 * lips, "u_lip")
    face.over(near * _edge(np.minimum(y - low, bottom - y), 1.2), lips, "l_lip")
    if head.gap > 0:
        arc = np.clip(1 - 0.8 * (a / head.mouth_w) ** 2, 0, 1) * (0.55 + 0.45 * _ramp(y - mid, 0, 1.2))
        teeth = _rgb(0.8, 0.76, 0.68) * (arc * (1 - 0.18 * np.sin(0.75 * x) ** 8))
        cave = np.where(y < mid + 3.8, teeth, _rgb(0.1, 0.02, 0.02))
        face.over(near * _edge(np.minimum(y - mid, low - y) + 0.1, 0.8), cave, "mouth")
    line = max(0.25, 0.8 - 0.4 * head.gap) * near * _bell(y - mid, 0.55)
    face.over(line + 0.35 * _bell(a - head.mouth_w, 1.5) * _bell(y - mid, 1.5), 0.1 * tone)
    return near * _edge(np.minimum(y - top, bottom - y), 1)


def _paint_brows(face, head, tone, hair, rng, x, y) -> None:
    s, side = head.s, np.sign(x)
    t = (np.abs(x) - s.eyes + 9.5) / 20.5
    half = s.brow_w * (1 - 0.75 * np.clip(t, 0, 1) ** 2.5) * _ramp(t, -0.12, 0.2) + 0.5
    brow = _edge(half - np.abs(y - head.brow(np.clip(t, 0, 1))), 1.6)
    brow *= _edge(20.4 - 20 * t, 2) * _edge(20 * t + 2, 2)
    grain = _strands(rng, (x + y * side) / 60 + 0.5, y / 100 + 0.5)
    face.over(0.9 * brow, (0.55 * hair + 0.15 * tone) * np.clip(1 - 0.5 * grain, 0.4, 2), "brow", side)


def _paint_eyes(face, head, p, tone, x, y) -> None:
    s, a, side = head.s, np.abs(x), np.sign(x)
    e, lid, under = head.lids(a)
    span = _edge((1.06 - np.abs(e)) * s.eye_w, 1.5)
    shadow = _ramp(lid - y, -1, 0) * _ramp(y - lid, -6, -1)
    face.over(0.55 * s.paint * span * shadow, tone * _rgb(0.3, 0.2, 0.26))
    face.over(0.45 * span * _bell(y - lid + s.crease, 0.8), 0.25 * tone)
    ex, ey = x - side * s.eyes - s.gaze, y - s.tilt * (a - s.eyes) + 0.35
    r, shade = np.hypot(ex, ey), _ramp(y - lid, 0, 2.5)
    iris = _from_table(_IRIS, s.iris if p.skin < 0.5 else 0.25 * s.iris)
    iris = iris * ((0.75 + 0.5 * _ramp(ey, -2, 3)) * (1 - 0.6 * _ramp(r, 2.6, 3.7)) * (0.6 + 0.4 * shade))
    ball = _rgb(0.74, 0.7, 0.68) * ((1 - 0.3 * e**2) * (0.45 + 0.55 * shade))
    ball = (ball + _edge(3.75 - r, 0.9) * (iris - ball)) * (1 - 0.96 * _edge(1.6 - r, 0.8))
    ball = ball + 0.8 * _bell(ex - math.copysign(1.1, p.light), 0.75) * _bell(ey + 1.3, 0.75)  # glint
    face.over(_edge(np.minimum(y - lid, under - y), 0.8) * (np.abs(e) < 1), ball, "eye", side)
    lash = 0.75 + 0.35 * s.paint + 0.3 * np.clip(e, 0, 1)
    face.over(np.minimum((0.9 + 0.3 * s.paint) * span * _bell(y - lid, lash), 0.95), 0.012)
    face.over(0.4 * span * _bell(y - under, 0.6), 0.15 * tone)


def _ear(head, tone, light, sign, px, y):
    u = px - head.turn(sign * (head.s.width + 1), -4)[0]
    v = (y - 7) / 12
    near = sign * head.yaw < 0
    d = 1 - np.hypot(u / (5.2 + 4 * abs(head.sin) * near) + 0.25 * sign * v, v)
    fold = 1 - 0.45 * _bell(d - 0.42, 0.14) - 0.3 * _bell(u, 1.6) * _bell(v, 0.4)
    colour = tone * _rgb(0.85, 0.73, 0.7) * (fold * light.on(0.5 * sign, 0, 0.8))
    return _edge(5 * d, 0.9), colour, "r_ear" if sign > 0 else "l_ear"


def _glasses(canvas, head, rng, px, y, x):
    gx = np.abs((px - 10 * head.sin) / head.cos)
    wide, tall, power, wire = (rng.uniform(*v) for v in ((12.5, 15.5), (8.5, 11.5), (2, 4.5), (0.5, 1.3)))
    q = ((np.abs(gx - 17.8) / wide) ** power + (np.abs(y - 2) / tall) ** power) ** (1 / power)
    lens = _edge((1 - q) * tall)
    seen = (lens > 0.5) & (canvas.label != CLASSES.index("l_eye")) & (canvas.label != CLASSES.index("r_eye"))
    canvas.over(0.1 * lens * (1 + _bell(gx - 17.8 + y - 2, 4)), 0.9)
    canvas.mark(seen, "eye_g")
    bridge = _edge(0.8 * wire - np.abs(y - 0.5 + 0.03 * gx**2), 0.8) * (gx < 18.8 - wide)
    arms = _edge(0.8 * wire - np.abs(y + 1), 0.8) * (gx > 17.3 + wide) * (np.abs(x) < head.width(y[:, :1]))
    rims = _edge(wire - np.abs(q - 1) * tall, 0.8)
    colour = _dye(rng, 0.05, 0.55) + 0.05 * _bell(y + 3, 2)
    canvas.over(np.maximum(rims, np.maximum(bridge, arms)), colour, "eye_g")


def render(params: FaceParams, size: int = 128) -> Face:
    """The picture, the landmarks and the class mask of one face. Raises BadInput for a size under 32."""
    if not isinstance(size, Integral) or not 32 <= size <= 4096:
        raise BadInput(f"size must be a whole number from 32 to 4096, not {size!r}")
    p, head, light, n = params, _Head(params), _Light(params), 2 * size
    grain, tress, specs = (np.random.default_rng([p.identity, k]) for k in (2, 3, 4))
    scene = np.random.default_rng([p.background, 5])
    axis = ((np.arange(n) + 0.5) * 128 / n).astype(np.float32)
    px, y = np.broadcast_to(axis - 64, (n, n)), np.broadcast_to(axis[:, None] - 52, (n, n))
    x, depth, left, right = head.view(axis - 64, axis - 52)
    inside = _edge(px - left, 1) * _edge(right - px, 1) * _edge(head.s.chin - y) * _edge(y + head.s.top)
    tone, hair = _from_table(_SKIN, p.skin), _from_table(_HAIRS, p.tone)

    canvas = _scene(np.empty((3, n, n), np.float32), scene, px, y)
    shell, front, aside, locks, behind = _hair(head, STYLES[p.hair], hair, light, tress, inside, px, y, x)
    canvas.over(shell, behind, "hair")
    _body(canvas, head, tone, light, scene, inside, px, y)
    canvas.over(aside, behind, "hair")
    ears = [_ear(head, tone, light, sign, px, y) for sign in (-1, 1)]
    for ear in ears:
        canvas.over(*ear)

    face = _paint_skin(head, p, tone, grain, x, y)
    _paint_nose_and_beard(face, head, tone, hair, grain, x, y)
    wet = _paint_mouth(face, head, tone, grain, x, y)
    _paint_brows(face, head, tone, hair, grain, x, y)
    _paint_eyes(face, head, p, tone, x, y)
    zy, zx = (np.gradient(depth, 128 / n, axis=axis) for axis in (0, 1))
    zx[:, 1:-1] = (zx[:, :-2] + zx[:, 1:-1] + zx[:, 2:]) / 3  # a section is a polygon: smooth its corners
    nz = 1 / np.sqrt(1 + zx * zx + zy * zy)
    nx, ny = -zx * nz, -zy * nz
    dim = 1 - 0.12 * np.clip(_blur(depth, n // 40) - depth, 0, 4) * nz**3  # hollows
    dim *= 1 - 0.45 * _blur(front, n // 40)  # under the hair
    beside = _bell(x + math.copysign(9, p.light), 5) * _bell(y - head.s.nose + 2, 9)  # shadow of the nose
    dim *= 1 - 0.3 * p.strength * abs(p.light) * beside
    shade = light.on(nx, ny, nz) * dim
    gloss = np.clip(nx * light.half[0] + ny * light.half[1] + nz * light.half[2], 0, 1) ** 28
    gloss *= (0.04 + 0.12 * p.strength) * (1 + 1.5 * wet) * dim
    warm = 1 + np.clip(0.7 - shade, 0, 1) * _rgb(0.08, -0.04, -0.08)  # light comes out of skin red
    canvas.over(inside, face.image * shade * warm + gloss)
    canvas.label = np.where(inside > 0.5, face.label, canvas.label)

    if abs(p.yaw) > 8:  # the near ear lies on the side of the head
        canvas.over(*ears[0 if p.yaw > 0 else 1])
    canvas.over(front, locks, "hair")
    if p.glasses:
        _glasses(canvas, head, specs, px, y, x)

    tint = (1 + scene.uniform(-0.14, 0.14) * _rgb(1, 0, -1)) * np.float32(scene.uniform(0.7, 1.3))
    film = 1.15 * (1 - np.exp(-1.1 * tint * np.clip(canvas.image, 0, None)))  # bright parts saturate softly
    image = np.sqrt(film)
    image = image.reshape(3, size, 2, size, 2).mean((2, 4))
    image += 0.006 * scene.standard_normal(image.shape, np.float32)
    points = (head.landmarks() + (64, 52)) * size / 128
    return Face(torch.from_numpy((np.clip(image, 0, 1) * 255 + 0.5).astype(np.uint8)),
                torch.from_numpy(points.astype(np.float32)),
                torch.from_numpy(canvas.label[1::2, 1::2].copy()))


def draw_faces(n: int, seed: int = 0, **controls) -> Iterator[Face]:
    """Draw the first n faces of a seed, always the same. Two seeds share no identity.

    controls: fields of `FaceParams` that all of them get, for example yaw=20.
    """
    if not (isinstance(n, Integral) and 0 < n <= MOST and isinstance(seed, Integral) and 0 <= seed <= LAST_SEED):
        raise BadInput(f"n must lie in 1 .. {MOST} and seed in 0 .. {LAST_SEED}, not n={n!r}, seed={seed!r}")
    return (render(replace(random_params(int(seed) * MOST + i), **controls)) for i in range(n))


def faces(n: int, seed: int = 0, **controls) -> torch.Tensor:
    """The pictures of `draw_faces`: uint8 (n,3,128,128)."""
    return torch.stack([face.image for face in draw_faces(n, seed, **controls)])
