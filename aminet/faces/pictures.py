"""One picture, with NumPy and Pillow alone: reading, aligning, degrading and writing it. Nothing here needs torch.

Nothing that is read is trusted: a file that is no picture raises `BadInput` with one line that names it.
Grey, palette and CMYK are converted to RGB, colours of an ICC profile to sRGB, transparency is laid over white,
16-bit grey is scaled (v / 257) to 8 bit, and the EXIF orientation is applied. A profile and EXIF that cannot be read
are passed over. Pixels of no known range (32-bit, floating point) are refused.
"""
from __future__ import annotations

import io
import math
import os
import stat
import threading
import warnings
import zlib
from contextlib import contextmanager, nullcontext, suppress
from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

from ..config import HR
from ..errors import BadInput

SUFFIXES = {*".png .jpg .jpeg .jpe .jfif .pjpeg .webp .bmp .tif .tiff .ppm .pgm .gif".split()}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")  # plain decoders only: no EPS, no PDF
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000
MIN_SIDE = 16

TURNS = {number: turn for turn, number in zip(Image.Transpose, (2, 4, 8, 3, 6, 5, 7))}  # by EXIF's orientation

Image.core.set_block_size(2**26)  # large pictures lie in one piece, which the system takes back as soon as it is free
_large = threading.Lock()
# Our own limit on pixels ends in one line instead of a warning, and what Pillow says of metadata helps nobody.
warnings.filterwarnings("ignore", module="PIL")


def check_size(size: int) -> None:
    """Refuse a file of more than MAX_BYTES bytes."""
    if size > MAX_BYTES:
        raise BadInput(f"{size / 2**20:.0f} MiB, more than the {MAX_BYTES >> 20} MiB allowed")


def check_file(path: str | Path) -> int:
    """Return a file's size in bytes; BadInput for a folder, a pipe or a device, which is not opened: it might block."""
    try:
        status = os.stat(path)
    except (OSError, ValueError) as error:  # a broken link, a name that is too long or holds a NUL
        raise BadInput(f"cannot be read ({one_line(error)})") from None
    if not stat.S_ISREG(status.st_mode):
        raise BadInput("cannot be read (a folder, a pipe or a device, no file)")
    return status.st_size


def read_file(path: str | Path) -> bytes:
    """Return the bytes of a file that is not too large."""
    check_size(size := check_file(path))
    try:
        with open(path, "rb") as file:
            return file.read(size)  # never more than was allowed, though the file may grow
    except OSError as error:
        raise BadInput(f"cannot be read ({one_line(error)})") from None


def read_text(path: str | Path) -> str:
    """Return a text file. Bytes that are not UTF-8 become what they are in names of files."""
    try:
        return read_file(path).decode("utf-8-sig", "surrogateescape")
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def open_image(path: str | Path) -> Image.Image:
    """Read one image file: RGB of any size, upright. BadInput names the file."""
    path = Path(path)
    if not os.path.lexists(path):
        raise BadInput(f"no such file: {path}")
    try:
        return to_rgb(read_file(path))
    except BadInput as error:
        raise BadInput(f"{path}: {error}") from None


def open_header(data: bytes) -> Image.Image:
    """Open the bytes of an image file, not yet decoded, after the checks that need only its header."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError:
        raise BadInput(f"more than the {MAX_PIXELS // 10**6} megapixels allowed") from None
    except Exception:  # Pillow's decoders raise many kinds
        if (plain := without_metadata(data)) == data:
            raise BadInput("no image that can be read") from None
        return open_header(plain)
    width, height = image.size
    if width * height > MAX_PIXELS:
        raise BadInput(f"{width}x{height}, more than the {MAX_PIXELS // 10**6} megapixels allowed")
    if min(width, height) < MIN_SIDE:
        raise BadInput(f"{width}x{height}, the minimum is {MIN_SIDE}x{MIN_SIDE}")
    if image.mode == "F" or (image.mode == "I" and image.format not in ("PNG", "PPM")):
        raise BadInput(f"{image.mode} pixels have no known range; save it with 8 bits")
    return image


def without_metadata(data: bytes) -> bytes:
    """Return a PNG or JPEG with what its pixels need, and whole metadata, alone; other files as they are."""
    png = data.startswith(b"\x89PNG\r\n\x1a\n")
    at = 8 if png else 2 if data.startswith(b"\xff\xd8") else len(data)
    kept = [data[:at]]
    while at < len(data) and len(kept) < 2**16:  # so many parts make it slow
        if png:
            part = data[at:at + 12 + int.from_bytes(data[at:at + 4], "big")]
            whole = part[-4:] == zlib.crc32(part[4:-4]).to_bytes(4, "big")
            fits = len(part) in {b"\0": (14,), b"\2": (18,), b"\3": range(269)}.get(data[25:26], ())  # transparency
            keep = part[4:5].isupper() or whole and (part[4:8] == b"eXIf" or part[4:8] == b"tRNS" and fits)
        elif data[at] != 0xFF or (marker := data[at + 1:at + 2]) == b"\xda":
            break  # the scan, to the end
        else:
            part = data[at:at + 2 + int.from_bytes(data[at + 2:at + 4], "big")]
            known = part[4:].startswith((b"JFIF\0", b"Adobe", b"Exif\0\0", b"ICC_PROFILE\0\1\1"))
            keep = not (b"\xe0" <= marker <= b"\xef" or marker == b"\xfe") or known and len(part) >= 16
        kept.append(part if keep else b"")
        at += len(part)
    return b"".join([*kept, data[at:]])


@contextmanager
def decoded(data: bytes):
    """Lend the picture in the bytes of an image file: RGB, upright.

    Of pictures above 2 megapixels, one is decoded and used at a time: threads take turns. It takes up to 12 bytes a
    pixel, as WebP 20, so 1.3 GB at MAX_PIXELS; eight threads with smaller ones take 0.3 GB.
    """
    image = open_header(data)
    with _large if image.width * image.height > 2**21 else nullcontext():
        yield to_rgb(data)


def to_rgb(data: bytes) -> Image.Image:
    """Decode an image file: RGB, upright. Pixels are converted a million at a time, so that few are there twice."""
    image = open_header(data)
    try:
        image.load()
        turn = None
        with suppress(Exception):  # EXIF of any bytes: the pixels are whole
            turn = TURNS.get(image.getexif().get(0x0112))
        transparent = image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info
        to_srgb = profile_transform(image.info.get("icc_profile"), image.mode)
        if image.mode != "RGB" or transparent or to_srgb:
            rgb, rows = Image.new("RGB", image.size), max(1, 2**20 // image.width)
            for top in range(0, image.height, rows):
                box = (0, top, image.width, min(top + rows, image.height))
                rgb.paste(_convert(image.crop(box), transparent, to_srgb), box)
            image = rgb
        return image if turn is None else image.transpose(turn)
    except Exception as error:
        if (plain := without_metadata(data)) == data:
            raise BadInput(f"damaged image ({one_line(error)})") from None
    return to_rgb(plain)


def _convert(image: Image.Image, transparent: bool, to_srgb: ImageCms.ImageCmsTransform | None) -> Image.Image:
    if image.mode.startswith("I"):  # 16-bit grey
        image = Image.fromarray(np.rint(np.asarray(image) / 257).clip(0, 255).astype(np.uint8))
    image = image.convert("RGBA") if transparent else image
    rgb = to_srgb.apply(image.convert(to_srgb.input_mode)) if to_srgb else image.convert("RGB")
    if transparent:
        rgb.putalpha(image.getchannel("A"))
        rgb = Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgb).convert("RGB")
    return rgb


@lru_cache(maxsize=8)
def profile_transform(profile: bytes | None, mode: str) -> ImageCms.ImageCmsTransform | None:
    """Return what takes pixels from an embedded ICC profile to sRGB; None if the profile is none, is not for pixels of
    this mode, or is sRGB itself (on a grid of colours, nothing changes by more than 2 of 255 levels)."""
    if not profile or len(profile) > 2**22:
        return None
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        space = {"RGB ": "RGB", "GRAY": "L", "CMYK": "CMYK"}[source.profile.xcolor_space]
        if (space == "CMYK") != (mode == "CMYK") or (space == "L" and mode[0] not in "1LI"):
            return None
        transform = ImageCms.buildTransform(source, ImageCms.createProfile("sRGB"), space, "RGB")
        grid = Image.fromarray(np.stack(np.mgrid[:256:15, :256:15, :256:15], -1).astype(np.uint8).reshape(18, -1, 3))
        change = np.asarray(transform.apply(grid), int) - np.asarray(grid) if space == "RGB" else np.array(255)
        return transform if abs(change).max() > 2 else None
    except Exception:  # LittleCMS says that it cannot read it in many ways
        return None


def one_line(error: Exception) -> str:
    """Return an error of another library in one line."""
    return " ".join(str(getattr(error, "strerror", None) or error).split())[:100] or type(error).__name__


def square(image: Image.Image, side: int | None = None) -> Image.Image:
    """Cut out the centred square of this side in pixels, or the largest one."""
    side = side or min(image.size)
    if side > min(image.size):
        raise BadInput(f"{image.width}x{image.height} is smaller than the {side} px crop")
    x, y = (image.width - side) // 2, (image.height - side) // 2
    return image.crop((x, y, x + side, y + side))


def frame(left: complex, right: complex) -> tuple[complex, complex, list[complex]]:
    """Return the similarity that takes an aligned face to its place, from its eye centres x + iy: the step for a pixel
    of the face to the right, where its first corner lies, and all four corners."""
    step = (right - left) / 38
    origin = (left + right) / 2 - step * complex(64, 52)
    return step, origin, [origin + step * HR * corner for corner in (0, 1, 1j, 1 + 1j)]


def align(image: Image.Image, left: tuple[float, float], right: tuple[float, float]) -> Image.Image:
    """Rotate, scale and shift so that the eyes lie on row 52 of 128, 38 px apart, centred on column 64.

    left, right: eye centres as seen in the image, in continuous pixels (a pixel's centre is at +0.5).
    The picture is warped at a multiple of the final size that keeps its detail, then reduced with
    antialiasing. What falls outside the picture is mirrored.
    """
    distance = math.dist(left, right)
    if distance < 2.5:
        raise BadInput("the eyes are less than 2.5 px apart: no face to align")
    reduce = max(1, int(distance / 152))
    image = image.reduce(reduce)
    left_eye, right_eye = complex(*left) / reduce, complex(*right) / reduce
    times = max(1, math.ceil(distance / reduce / 38))
    step, origin, corners = frame(left_eye, right_eye)
    step /= times  # source pixels per pixel of the enlarged output
    outside = max(max(-c.real, -c.imag, c.real - image.width, c.imag - image.height) for c in corners)
    pad = max(0, math.ceil(outside))
    if pad:  # of a large picture only what is seen, or mirrored, is copied
        xs, ys = ([int(part(c)) for c in corners] for part in (lambda c: c.real, lambda c: c.imag))
        x, y = max(0, min(xs) - pad - 3), max(0, min(ys) - pad - 3)
        image = image.crop((x, y, min(image.width, max(xs) + pad + 3), min(image.height, max(ys) + pad + 3)))
        origin -= complex(x, y)
        image = Image.fromarray(np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="symmetric"))
    matrix = (step.real, -step.imag, origin.real + pad, step.imag, step.real, origin.imag + pad)
    enlarged = image.transform((HR * times, HR * times), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    return bicubic(enlarged, HR)


def bicubic(image: Image.Image, size: int) -> Image.Image:
    """Resize to size x size pixels: the degradation of Sec. IV-A from HR to LR, and the network's input back at HR."""
    return image.resize((size, size), Image.Resampling.BICUBIC)


def to_network(image: Image.Image) -> np.ndarray:
    """Turn an RGB picture into float32 (1, 3, H, W) in [-1, 1], the network's range."""
    return (np.asarray(image, np.float32) / 127.5 - 1).transpose(2, 0, 1)[None]


def from_network(x: np.ndarray) -> Image.Image:
    """Turn float (1, 3, H, W) in [-1, 1] into an RGB picture: (x + 1) / 2 * 255, clipped and rounded."""
    if not np.isfinite(x).all():
        raise BadInput("the result holds NaN or infinity: check the weights")
    levels = np.rint(((x[0].astype(np.float32) + 1) / 2 * 255).clip(0, 255))
    return Image.fromarray(levels.astype(np.uint8).transpose(1, 2, 0))
