"""From a 16x16 face, or the largest face of a photograph, to 128x128: by torch, or by ONNX Runtime without torch."""
from __future__ import annotations

import io
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from ..config import HR, LR
from ..errors import BadInput
from ..faces.pictures import align, bicubic, from_network, open_image, to_network
from ..files import write_atomically
from ..metrics.yunet import eyes
from .runtime import by_torch, load_onnx


class Upscaled(NamedTuple):
    """side_by_side: the picture of LR, bicubic and network, and the aligned original of a photograph. faces: how many
    the photograph shows; 0 where the picture was taken as the LR face."""

    side_by_side: Path
    faces: int


def upscale(source: str | Path, target: str | Path, weights: str = "pocket", onnx: str | None = None) -> Upscaled:
    """Restore `source` to a 128x128 picture `target`, and write a side-by-side picture next to it.

    A 16x16 picture is taken as the LR face; in any other the largest face is found, aligned, and reduced to 16x16.
    onnx: an exported network to use instead of `weights`; torch is then not imported.
    """
    source, target = Path(source), Path(target)
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".bmp"):
        raise BadInput(f"{target}: give the result a name that ends in .png, .jpg, .webp or .bmp")
    beside = target.with_name(f"{target.stem}_side_by_side.png")
    if source.resolve() in (target.resolve(), beside.resolve()):
        raise BadInput(f"{target} would overwrite the input: choose another name")
    image, faces, original = open_image(source), 0, []
    if onnx is None:
        from ..training.weights import load_weights

        model = load_weights(weights)[0]
        network, takes_enlarged = by_torch(model), model.config.enlarged
    else:
        network, takes_enlarged = load_onnx(onnx), True
    if image.size != (LR, LR):
        left, right, faces = eyes(image)
        original = [align(image, left, right)]
        image = bicubic(original[0], LR)
    enlarged = bicubic(image, HR)
    restored = from_network(network(to_network(enlarged if takes_enlarged else image)))
    write_picture(restored, target)
    row = [image.resize((HR, HR), Image.Resampling.NEAREST), enlarged, restored, *original]
    write_picture(Image.fromarray(np.concatenate([np.asarray(part) for part in row], axis=1)), beside)
    return Upscaled(beside, faces)


def write_picture(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of its name."""
    buffer = io.BytesIO()
    Image.init()
    image.save(buffer, Image.EXTENSION[path.suffix.lower()], quality=95)
    write_atomically(path, buffer.getvalue())
