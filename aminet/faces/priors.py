"""Facial priors that some compared methods learn from, and only in training: landmarks, parsing maps, attributes.

landmarks: float32 (N, 68, 2), x and y in pixels of the 128x128 face, in the iBUG order. parsing: int64 (N, 128, 128),
indices in `aminet.faces.synthetic.CLASSES`. attributes: float32 (N, 40), 0 or 1, in CelebA's order.
"""
from __future__ import annotations

import inspect
from collections.abc import Iterable, Sequence
from contextlib import suppress
from hashlib import sha256
from pathlib import Path

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from ..config import HR
from ..degrade import moves
from ..errors import BadInput
from ..files import find, write_atomically
from ..metrics.landmarks import find_landmarks
from .official import celeba_attributes
from .sources import Source, published_set
from .synthetic import CLASSES, draw_faces

PRIORS = ("landmarks", "parsing", "attributes")
# The iBUG order, by component of the face. Left and right are those of the picture.
COMPONENTS = {"left eye": [*range(17, 22), *range(36, 42)], "right eye": [*range(22, 27), *range(42, 48)],
              "nose": [*range(27, 36)], "mouth": [*range(48, 68)], "contour": [*range(17)]}
# Which landmark, and which class of parsing, takes the place of each in a mirrored picture.
MIRRORED = [*range(16, -1, -1), *range(26, 16, -1), 27, 28, 29, 30, 35, 34, 33, 32, 31, 45, 44, 43, 42, 47, 46, 39, 38,
            37, 36, 41, 40, 54, 53, 52, 51, 50, 49, 48, 59, 58, 57, 56, 55, 64, 63, 62, 61, 60, 67, 66, 65]
SWAPPED = [CLASSES.index({"l_": "r_", "r_": "l_"}.get(name[:2], name[:2]) + name[2:])
           if name[2:] in ("brow", "eye", "ear") else i for i, name in enumerate(CLASSES)]


def heatmaps(landmarks: Tensor, size: int, sigma: float = 1.0) -> Tensor:
    """A Gaussian of height 1 around each landmark. (B, 68, 2) in pixels of the 128x128 face -> (B, 68, size, size).

    sigma: in pixels of the maps. A landmark outside of the face leaves the tail of its Gaussian, or nothing.
    """
    centre = (landmarks + 0.5) * (size / HR) - 0.5
    pixel = torch.arange(size, device=landmarks.device, dtype=landmarks.dtype)
    x, y = ((-(pixel - centre[..., i, None]) ** 2 / (2 * sigma**2)).exp() for i in (0, 1))
    return y[..., :, None] * x[..., None, :]


def components(maps: Tensor) -> Tensor:
    """The five components' maps, each the largest of its landmarks'. (B, 68, H, W) -> (B, 5, H, W)."""
    return torch.stack([maps[:, indices].amax(1) for indices in COMPONENTS.values()], dim=1)


def open_priors(faces: Tensor, sources: Sequence[str], names: Sequence[str]) -> dict[str, Tensor]:
    """Return those of `names` that can be had of faces (N, 3, 128, 128), which `open_faces` read from `sources`.

    Synthetic faces have exact landmarks and parsing maps: the faces themselves are not needed. Photographs have
    landmarks by a network, run once (see `detected_landmarks`), and those of CelebA as published its attributes.
    BadInput if the network or CelebA's list of attributes is not at hand.
    """
    source, priors = Source.parse(sources[0]), {}
    if source.kind != "synthetic":
        if "landmarks" in names:
            priors["landmarks"] = detected_landmarks(faces)
        if "attributes" in names and source.kind.startswith("celeba"):
            priors["attributes"] = torch.from_numpy(celeba_attributes(find(source.root), published_set(source)))
    elif set(names) - {"attributes"}:
        drawn = [(face.landmarks, face.mask) for face in draw_faces(source.n, source.seed)]
        landmarks, masks = map(torch.stack, zip(*drawn))
        exact = {"landmarks": landmarks, "parsing": masks.long()}
        priors = {name: exact[name] for name in names if name in exact}
    return priors


def detected_landmarks(faces: Tensor) -> Tensor:
    """68 landmarks by insightface's network of 106. uint8 (N, 3, 128, 128), aligned -> float32 (N, 68, 2).

    Found once for each set of faces, then read from a cache beside that of torch.hub.
    """
    from safetensors.torch import load, save

    digest = sha256(faces.numpy().tobytes()).hexdigest()
    path = Path(torch.hub.get_dir()) / "aminet" / f"landmarks-{digest[:16]}.safetensors"
    with suppress(OSError, SafetensorError, KeyError):  # none yet, or damaged: found again
        landmarks = load(path.read_bytes())["landmarks"]
        if (landmarks.shape, landmarks.dtype) == ((len(faces), 68, 2), torch.float32) and landmarks.isfinite().all():
            return landmarks
    landmarks = find_landmarks(faces)
    write_atomically(path, save({"landmarks": landmarks}))
    return landmarks


def check_priors(network: nn.Module, priors: Iterable[str]) -> None:
    """BadInput if the loss of a network needs a prior that is not there; those with a default may be missing."""
    loss = getattr(network, "loss", None)
    parameters = inspect.signature(loss).parameters.values() if callable(loss) else ()
    needed = [p.name for p in parameters if p.name in PRIORS and p.default is p.empty]
    if missing := [name for name in needed if name not in priors]:
        raise BadInput(f"{type(network).__name__} learns from the {' and '.join(missing)} of the faces, which these do "
                       "not have: give others with --faces, for example synthetic:500")


def priors_of(priors: dict[str, Tensor], index: Tensor, generator: torch.Generator) -> dict[str, Tensor]:
    """Return the priors of a batch of `train.draw`, moved as `degrade.augment` moves its faces."""
    move = {"landmarks": move_landmarks, "parsing": move_parsing, "attributes": lambda values, *_: values}
    drawn = moves(len(index), generator)
    return {name: move[name](values[index], *drawn) for name, values in priors.items()}


def move_landmarks(points: Tensor, scale: Tensor, rows: Tensor, columns: Tensor, mirrored: Tensor) -> Tensor:
    """(B, 68, 2) -> (B, 68, 2): enlarged, shifted, and mirrored with left and right exchanged."""
    offset = torch.stack([columns, rows], dim=-1)[:, None]
    moved = (points + 0.5) * scale[:, None, None] - offset - 0.5
    other = moved[:, MIRRORED] * torch.tensor([-1.0, 1.0]) + torch.tensor([HR - 1.0, 0.0])
    return torch.where(mirrored[:, None, None], other, moved)


def move_parsing(maps: Tensor, scale: Tensor, rows: Tensor, columns: Tensor, mirrored: Tensor) -> Tensor:
    """(B, 128, 128) -> (B, 128, 128): the nearest pixel, and mirrored with left and right exchanged."""
    pixel = torch.arange(HR) + 0.5
    y, x = (((pixel + offset[:, None]) / scale[:, None]).floor().long().clamp(0, HR - 1) for offset in (rows, columns))
    x = torch.where(mirrored[:, None], x.flip(1), x)
    moved = maps[torch.arange(len(maps))[:, None, None], y[:, :, None], x[:, None, :]]
    return torch.where(mirrored[:, None, None], torch.tensor(SWAPPED)[moved], moved)
