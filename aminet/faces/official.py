"""The official layouts of CelebA, Helen and SCface: the files as their authors publish them -> `Faces`."""
from __future__ import annotations

import hashlib
import os
from pathlib import Path

import numpy as np

from ..errors import BadInput
from .dataset import Faces
from .pictures import read_text

CELEBA = ("expected img_align_celeba/ (or .zip), list_eval_partition.txt and identity_CelebA.txt, "
          "as published on mmlab.ie.cuhk.edu.hk/projects/CelebA.html")
HELEN = ("expected helen_1..helen_5, annotation/*.txt with 194 points and testnames.txt, "
         "as published on www.ifp.illinois.edu/~vuongle2/helen")
SCFACE = ("expected mugshot_frontal_cropped_all/ and surveillance_cameras_distance_1..3/cam_1..5/, "
          "as released by www.scface.org")
SCFACE_EYES = "landmarks.txt"  # of its own list of eye centres, where `scface:ROOT:PART` looks for it in ROOT


def celeba(root, split: str = "random", seed: int = 0, train: int = 18_000, test: int = 1_000,
           val: int = 500) -> dict[str, Faces]:
    """Open CelebA from its official files: {"train", "val", "test"} -> Faces, centre crop 178.

    root holds img_align_celeba/ (or .zip), list_eval_partition.txt and, for "identity", identity_CelebA.txt.
    split: "random" draws all three from the 202,599 images, as the paper's sizes suggest (Sec. IV: 18,000 and 1,000;
        its lists are unpublished), so that a person may be in two of them; "identity" draws from the official
        partitions and leaves out every person of a later one, so that no person is in two.
    seed: images are ranked by the SHA-256 of "seed/name", the same on every machine and version.
    """
    root, counts = Path(root), {"train": train, "val": val, "test": test}
    images = next((p for p in (root / "img_align_celeba", root / "img_align_celeba.zip") if os.path.exists(p)), None)
    if images is None:
        raise BadInput(f"{root}: no img_align_celeba in it; {CELEBA}")
    if split not in ("random", "identity"):
        raise BadInput(f"split {split!r}: choose random or identity")
    partition = _celeba_list(root / "list_eval_partition.txt")
    ranked = sorted(partition, key=lambda name: hashlib.sha256(os.fsencode(f"{seed}/{name}")).digest())
    if split == "random":
        parts = {"train": ranked[:train], "test": ranked[train:train + test], "val": ranked[train + test:][:val]}
    else:
        person, parts, seen = _celeba_list(root / "identity_CelebA.txt"), {}, set()
        for part, code in (("test", "2"), ("val", "1"), ("train", "0")):
            pool = [name for name in ranked if partition[name] == code and person.get(name) not in seen]
            parts[part] = pool[:counts[part]]
            seen |= {person.get(name) for name in pool}
    for part, count in counts.items():
        if not 0 < count <= len(parts[part]):
            raise BadInput(f"{root}: only {len(parts[part])} images for {part}, {count} asked; {CELEBA}")
    base = root if os.path.isdir(images) else images  # either way the names start with img_align_celeba/
    return {part: Faces(base, crop=178, names=sorted(f"img_align_celeba/{name}" for name in parts[part]))
            for part in counts}


def _celeba_list(path: Path) -> dict[str, str]:
    """Read lines "name value"."""
    rows = [line.split() for line in _lines(path, f"{path.parent}: no {path.name} in it; {CELEBA}")]
    if not rows or any(len(row) != 2 for row in rows):
        raise BadInput(f"{path}: expected lines of an image name and a number")
    return dict(rows)


def celeba_attributes(root, faces: Faces) -> np.ndarray:
    """Read the 40 attributes of `celeba`'s faces from list_attr_celeba.txt: float32 (N, 40), 1 for those it has."""
    path = Path(root) / "list_attr_celeba.txt"
    lines = _lines(path, f"{root}: no {path.name} in it, which holds the attributes of CelebA's faces")
    rows = {name: values for name, *values in map(str.split, lines[2:])}
    wanted = [rows.get(Path(file.inner).name, []) for file in faces.files]
    if any(len(values) != 40 or set(values) - {"-1", "1"} for values in wanted):
        raise BadInput(f"{path}: expected lines of an image name and 40 times 1 or -1, for every face")
    return np.array([[value == "1" for value in values] for values in wanted], np.float32)


def helen(root) -> dict[str, Faces]:
    """Open Helen from its official files: {"train", "test"} -> Faces (2,000 and 330 images in the full set).

    root holds the unzipped images (helen_1 .. helen_5, or train_1 .. train_4 and test, or trainset and testset),
    annotation/*.txt (first line the image name, then 194 lines "x , y") and, unless the images already lie in test/ or
    testset/, testnames.txt. A split without images is left out. Each face is aligned (`pictures.align`) on its eyes,
    the means of points 114-133 and of points 134-153: the paper does not say how it cropped Helen.
    """
    root = Path(root)
    images = {p.stem: p.relative_to(root).as_posix()
              for folder in ("helen_[1-5]", "train_[1-4]", "test", "trainset", "testset")
              for p in sorted(root.glob(f"{folder}/**/*.jpg"))}
    if not images:
        raise BadInput(f"{root}: no Helen images in it; {HELEN}")
    eyes = dict(_helen_eyes(p) for p in sorted((root / "annotation").glob("*.txt")))
    if os.path.lexists(root / "testnames.txt"):
        tests = {Path(line.strip()).stem for line in _lines(root / "testnames.txt")}
    else:
        tests = {stem for stem, name in images.items() if name.startswith(("test/", "testset/"))}
    if not tests:
        raise BadInput(f"{root}: nothing says which images are for testing; {HELEN}")
    for what, stems in (("image", tests - set(images)), ("annotation of", set(images) - set(eyes))):
        if stems:
            raise BadInput(f"{root}: no {what} {min(stems)}.jpg; {HELEN}")
    parts = {"train": sorted(name for stem, name in images.items() if stem not in tests),
             "test": sorted(images[stem] for stem in tests)}
    return {part: Faces(root, names=names, eyes=eyes) for part, names in parts.items() if names}


def _helen_eyes(path: Path) -> tuple[str, tuple]:
    """Read one annotation: image name without suffix, and the eye centres, left first as seen."""
    name, *lines = _lines(path) or [""]
    try:
        points = np.array([[float(v) for v in line.split(",")] for line in lines])
    except ValueError:
        points = np.empty(0)
    if points.shape != (194, 2) or not (abs(points) < 1e6).all():
        raise BadInput(f"{path}: expected the image name and 194 lines of x , y")
    eyes = points[114:134].mean(0), points[134:154].mean(0)
    return Path(name.strip()).stem, tuple(sorted(tuple(eye.tolist()) for eye in eyes))


def scface(root, landmarks=None) -> dict[str, Faces]:
    """Open SCface from its official folders: group -> Faces. 130 people, first field of every file name.

    The set has three distances, not five: 1 is 4.20 m, 2 is 2.60 m, 3 is 1.00 m; and five visible-light cameras (1-5),
    two infrared ones (6, 7) and an infrared mugshot camera (8). Infrared groups need their folders. Groups:
      "gallery"                              mugshot_frontal_cropped_all/001_frontal.jpg
      "distance1" .. "distance3"             surveillance_cameras_distance_D/cam_C/001_camC_D.jpg, cameras 1-5
      "probe"                                these three together, as Table IX's probes; its case is the distance
      "cam1_distance1" .. "cam7_distance3"   one camera at one distance
      "ir_distance1" .. "ir_distance3"       cameras 6 and 7
      "ir_gallery"                           surveillance_cameras_IR_cam8/001_cam8.jpg
    landmarks: text file of lines "001_cam1_1 x y x y ..." (the two eyes first, as in the set's own lists):
        faces are then aligned on the eyes. Without it each image is centre-cropped to a square.
    """
    root = Path(root)
    eyes = None if landmarks is None else _scface_eyes(Path(landmarks))

    def group(*folders: str) -> Faces:
        for folder in folders:
            if not os.path.isdir(root / folder):
                raise BadInput(f"{root}: no {folder}/ in it; {SCFACE}")
        faces = Faces(*(root / folder for folder in folders), eyes=eyes)
        faces.people = [Path(file.inner).name[:3] for file in faces.files]
        return faces

    groups, probes = {"gallery": group("mugshot_frontal_cropped_all")}, []
    for d in (1, 2, 3):
        cameras = [f"surveillance_cameras_distance_{d}/cam_{c}" for c in range(1, 8)]
        visible, infrared = cameras[:5], [camera for camera in cameras[5:] if os.path.isdir(root / camera)]
        groups[f"distance{d}"] = group(*visible)
        probes += visible
        if infrared:
            groups[f"ir_distance{d}"] = group(*infrared)
        groups |= {f"cam{folder[-1]}_distance{d}": group(folder) for folder in visible + infrared}
    groups["probe"] = group(*probes)
    if os.path.isdir(root / "surveillance_cameras_IR_cam8"):
        groups["ir_gallery"] = group("surveillance_cameras_IR_cam8")
    return groups


def _scface_eyes(path: Path) -> dict[str, tuple]:
    """Read the eye centres, left first as seen, by image name without suffix."""
    eyes = {}
    for line in _lines(path, f"{path}: no such landmark file"):
        name, *values = line.split()
        try:
            x0, y0, x1, y1 = map(float, values[:4])
        except ValueError:
            continue  # a heading
        eyes[Path(name).stem] = tuple(sorted([(x0, y0), (x1, y1)]))
    return eyes


def _lines(path: Path, missing: str = "") -> list[str]:
    """Read the lines of a text file that are not empty; BadInput says what is `missing` if there is no file."""
    if missing and not os.path.lexists(path):
        raise BadInput(missing)
    return [line for line in read_text(path).splitlines() if line.strip()]
