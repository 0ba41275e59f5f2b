"""From a 16x16 face, or the largest face of a photograph, to 128x128: by torch, or by ONNX Runtime without torch."""
from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image

from ..config import HR, LR
from ..errors import BadInput
from ..faces.pictures import align, bicubic, from_network, open_image, to_network
from ..files import write_atomically
from ..metrics.yunet import eyes


def by_torch(weights: str) -> tuple[Callable[[np.ndarray], np.ndarray], bool]:
    """A network as a function of float32 (1, 3, H, W) in [-1, 1], and whether it takes the enlarged face."""
    import torch

    from ..training.weights import load_weights

    model, _ = load_weights(weights)

    def network(x: np.ndarray) -> np.ndarray:
        with torch.inference_mode():
            return model(torch.from_numpy(x)).numpy()
    return network, model.config.enlarged


def upscale(source: str | Path, target: str | Path, weights: str = "pocket", onnx: str | None = None) -> Path:
    """Restore `source` to a 128x128 picture `target`, and write a side-by-side picture next to it.

    A 16x16 picture is taken as the LR face; in any other the largest face is found, aligned, and reduced to 16x16.
    onnx: an exported network to use instead of `weights`; torch is then not imported.
    Returns the path of the side-by-side picture: LR, bicubic, network (and the aligned original of a photograph).
    """
    source, target = Path(source), Path(target)
    if target.suffix.lower() not in (".png", ".jpg", ".jpeg", ".webp", ".bmp"):
        raise BadInput(f"{target}: give the result a name that ends in .png, .jpg, .webp or .bmp")
    beside = target.with_name(f"{target.stem}_side_by_side.png")
    if target.resolve() == source.resolve() or beside.resolve() == source.resolve():
        raise BadInput(f"{target} would overwrite the input: choose another name")
    image = open_image(source)
    if onnx is None:
        network, takes_enlarged = by_torch(weights)
    else:
        from .export import load_onnx

        network, takes_enlarged = load_onnx(onnx), True
    original = [] if image.size == (LR, LR) else [align(image, *eyes(image))]
    lr = bicubic(original[0], LR) if original else image
    enlarged = bicubic(lr, HR)
    restored = from_network(network(to_network(enlarged if takes_enlarged else lr)))
    write_picture(restored, target)
    row = [lr.resize((HR, HR), Image.Resampling.NEAREST), enlarged, restored, *original]
    write_picture(Image.fromarray(np.concatenate(row, axis=1)), beside)
    return beside


def write_picture(image: Image.Image, path: Path) -> None:
    """Write a picture in the format of its name."""
    buffer = io.BytesIO()
    Image.init()
    image.save(buffer, Image.EXTENSION[path.suffix.lower()], quality=95)
    write_atomically(path, buffer.getvalue())
