"""Two public-domain portraits that come with the dependencies: pictures that anyone may print.

They are works of the U.S. Navy and of NASA, read from the installed packages: nothing is downloaded.
"""

from __future__ import annotations

from matplotlib.cbook import get_sample_data
from PIL import Image
from skimage.data import astronaut
from torch import Tensor

from .dataset import to_tensor
from .pictures import align

# Pupil centres (left, right, as seen) in pixels of the original picture: found with OpenCV's YuNet detector,
# then set by eye on an enlargement. They are fixed here, so that the crops never change.
EYES = {"hopper": ((223.1, 191.0), (305.9, 187.3)), "collins": ((203.6, 101.2), (246.9, 103.6))}
CREDITS = {
    "hopper": "Commodore Grace M. Hopper, 1984. Photo: James S. Davis, U.S. Navy. Public domain; sample data of "
              "matplotlib.",
    "collins": "Astronaut Eileen M. Collins. Photo: NASA. Public domain; sample data of scikit-image."}


def portraits() -> dict[str, Tensor]:
    """name -> aligned portrait, uint8 (3,128,128) RGB: eyes 38 px apart on row 52, centred on column 64."""
    with get_sample_data("grace_hopper.jpg") as file:
        pictures = {"hopper": Image.open(file).convert("RGB"), "collins": Image.fromarray(astronaut())}
    return {name: to_tensor(align(pictures[name], *eyes)) for name, eyes in EYES.items()}
