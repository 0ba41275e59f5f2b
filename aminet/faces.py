"""Faces from folders and zips: reading, the official layouts of three data sets, their splits, and a check.

Nothing that is read is trusted: a bad archive, name or image raises ``BadInput`` with one line that names it.
Grey, palette and CMYK are converted to RGB, transparency is laid over white, 16-bit grey is scaled (v / 257)
to 8 bit, and the EXIF orientation is applied. Pixels of no known range (32-bit, floating point) are refused.
"""

from __future__ import annotations

import csv
import hashlib
import io
import os
import threading
import warnings
import zipfile
import zlib
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import NamedTuple

import numpy as np
import torch
from PIL import Image, ImageOps
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from aminet.errors import BadInput

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".gif"}
FORMATS = ("PNG", "JPEG", "WEBP", "BMP", "TIFF", "PPM", "GIF")  # plain decoders only: no EPS, no PDF
COMPANIONS = {"manifest.csv", "dataset.json", "thumbs.db", "desktop.ini", "sha256sums"}
MAX_BYTES = 64 * 2**20
MAX_PIXELS = 64_000_000
MIN_SIDE = 16

# Our own limit on pixels is stricter than Pillow's, and ends in one line instead of a warning.
warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)


class _File(NamedTuple):
    name: str  # "archive:file", unique in the set
    root: str  # the folder or the zip
    inner: str  # path inside it, with forward slashes


class Faces(Dataset):
    """Square RGB faces from folders and zips (stored or deflated, the StyleGAN data set convention).

    Item i is a uint8 tensor (3, size, size). The order is that of the paths, and inside each by file name.

    paths: folders (searched recursively) or zips.
    size: side of an item in pixels. An image of another size is resized with Pillow's BICUBIC (antialiased);
        an image that already is size x size is not touched.
    crop: side in pixels of a centre crop taken first (CelebA: 178); without it, the largest centred square.
    skip_bad: leave bad files out instead of refusing them. Every file is then decoded once at construction,
        so that the length is known; ``skipped`` lists the bad ones as (name, reason).
    names: take only these files, in this order (file names inside the paths).
    eyes: file name -> ((x, y), (x, y)), the two eye centres in source pixels: ``align`` replaces the crop.

    Raises BadInput for a path that is missing, empty or damaged, and for a file that is no image: by its name
    at construction, by its content when it is decoded.
    """

    def __init__(self, *paths, size: int = 128, crop: int | None = None, skip_bad: bool = False,
                 names: list[str] | None = None, eyes: dict | None = None) -> None:
        if not paths:
            raise BadInput("no folder and no zip of faces given")
        self.size, self.crop, self._eyes = size, crop, eyes or {}
        self._zips = threading.local()
        self._files, self.skipped = _scan(paths, names)
        if self.skipped and not skip_bad:
            raise BadInput(f"{self.skipped[0][0]}: {self.skipped[0][1]}; remove the file or skip bad files")
        if skip_bad:
            reasons = _each(self._reason, range(len(self)), "checking faces", progress=True)
            self.skipped += [(f.name, r) for f, r in zip(self._files, reasons) if r]
            self._files = [f for f, r in zip(self._files, reasons) if not r]
        if not self._files:
            raise BadInput(f"{', '.join(map(str, paths))}: no image in it that can be read")

    @property
    def names(self) -> list[str]:
        """Unique names, "archive:file", in the order of the items."""
        return [file.name for file in self._files]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the file names and the CRC-32 of their bytes.

        It does not depend on where the folder or the zip lies, on its name, or on which of the two it is.
        """
        digest = hashlib.sha256()
        for file in self._files:
            digest.update(f"{file.inner}\0{self._crc(file):08x}\n".encode())
        return digest.hexdigest()

    def __len__(self) -> int:
        return len(self._files)

    def __getitem__(self, i: int) -> Tensor:
        file = self._files[i]
        return to_tensor(self._square(file, _decode(self._read(file), file.name)))

    def load(self, progress: bool = True) -> Tensor:
        """Decode all faces in threads: uint8 (N, 3, size, size). Raises BadInput at a bad file."""
        out = torch.empty((len(self), 3, self.size, self.size), dtype=torch.uint8)

        def put(i: int) -> None:
            out[i] = self[i]

        _each(put, range(len(self)), "loading faces", progress)
        return out

    def __getstate__(self) -> dict:
        return {key: value for key, value in self.__dict__.items() if key != "_zips"}

    def __setstate__(self, state: dict) -> None:
        self.__dict__.update(state, _zips=threading.local())

    def _zip(self, root: str) -> zipfile.ZipFile:
        # One handle for each thread of each process: a forked worker must not share its parent's file offset.
        open_zips = self._zips.__dict__
        key = f"{os.getpid()}:{root}"
        if key not in open_zips:
            open_zips[key] = zipfile.ZipFile(root)
        return open_zips[key]

    def _read(self, file: _File) -> bytes:
        try:
            if os.path.isdir(file.root):
                return Path(file.root, file.inner).read_bytes()
            return self._zip(file.root).read(file.inner)
        except Exception as error:  # a damaged zip raises many kinds
            raise BadInput(f"{file.name}: cannot be read ({_line(error)})") from None

    def _crc(self, file: _File) -> int:
        if os.path.isdir(file.root):
            return zlib.crc32(self._read(file))
        return self._zip(file.root).getinfo(file.inner).CRC

    def _square(self, file: _File, image: Image.Image) -> Image.Image:
        if self._eyes:
            left, right = self._eyes[file.inner]
            if not all(0 <= x <= image.width and 0 <= y <= image.height for x, y in (left, right)):
                raise BadInput(f"{file.name}: the eyes of its annotation lie outside the image")
            return align(image, left, right, self.size)
        side = self.crop or min(image.size)
        if side > min(image.size):
            raise BadInput(f"{file.name}: {image.width}x{image.height} is smaller than the {side} px crop")
        x, y = (image.width - side) // 2, (image.height - side) // 2
        image = image.crop((x, y, x + side, y + side))
        return image if side == self.size else image.resize((self.size, self.size), Image.BICUBIC)

    def _look(self, i: int) -> tuple[str, str, bytes, Tensor]:
        """What ``check`` wants of file i: size, mode, digest of the pixels, thumbnail uint8 (3,32,32)."""
        file = self._files[i]
        image = _open(self._read(file), file.name)
        size, mode = f"{image.width}x{image.height}", image.mode
        image = _rgb(image, file.name)
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
        side = min(image.size)
        x, y = (image.width - side) // 2, (image.height - side) // 2
        thumb = image.resize((32, 32), Image.BOX, (x, y, x + side, y + side))
        return size, mode, digest, to_tensor(thumb)

    def _reason(self, i: int) -> str | None:
        """Why file i is bad, or None."""
        file = self._files[i]
        try:
            self._square(file, _decode(self._read(file), file.name))
        except BadInput as error:
            return str(error).removeprefix(f"{file.name}: ")
        return None


def align(image: Image.Image, left: tuple[float, float], right: tuple[float, float],
          size: int = 128) -> Image.Image:
    """Rotate, scale and shift so that the eyes lie on row 52 of 128, 38 px apart, centred on column 64.

    left, right: eye centres as seen in the image, in continuous pixels (a pixel's centre is at +0.5).
    The picture is warped at a multiple of the final size that keeps its detail, then reduced with
    antialiasing. What falls outside the picture is mirrored.
    """
    distance = float(np.hypot(right[0] - left[0], right[1] - left[1]))
    if distance < 4:
        raise BadInput("the eyes are less than 4 px apart: no face to align")
    unit = size / 128
    reduce = max(1, int(distance / (152 * unit)))
    image = image.reduce(reduce)
    (x0, y0), (x1, y1) = ((x / reduce, y / reduce) for x, y in (left, right))
    times = max(1, int(np.ceil(distance / reduce / (38 * unit))))
    # Source pixels per pixel of the enlarged output, as a complex number: scale and rotation in one.
    step = complex(x1 - x0, y1 - y0) / (38 * unit * times)
    middle = complex(x0 + x1, y0 + y1) / 2
    corners = [middle + step * complex(x, y) * unit * times for x in (-64, 64) for y in (-52, 76)]
    outside = max(max(-c.real, -c.imag, c.real - image.width, c.imag - image.height) for c in corners)
    pad = max(0, int(np.ceil(outside)))
    if pad:
        pixels = np.pad(np.asarray(image), ((pad, pad), (pad, pad), (0, 0)), mode="symmetric")
        image = Image.fromarray(pixels)
    origin = middle + complex(pad, pad) - step * complex(64, 52) * unit * times
    matrix = (step.real, -step.imag, origin.real, step.imag, step.real, origin.imag)
    big = image.transform((size * times, size * times), Image.AFFINE, matrix, Image.BICUBIC)
    return big.resize((size, size), Image.BICUBIC)


def celeba(root, split: str = "random", seed: int = 0, train: int = 18_000, test: int = 1_000, val: int = 500,
           size: int = 128) -> dict[str, Faces]:
    """CelebA from its official files: {"train", "val", "test"} -> Faces, centre crop 178, resized to size.

    root holds img_align_celeba/ or img_align_celeba.zip, list_eval_partition.txt and, for "identity",
    identity_CelebA.txt.
    split: "random" draws all three from the 202,599 images, as the paper's sizes suggest (Sec. IV: 18,000 and
        1,000; its lists are unpublished), so that a person may be in two of them; "identity" draws from the
        official partitions and leaves out every person of a later one, so that no person is in two.
    seed: images are ranked by the SHA-256 of "seed/name", the same on every machine and version.
    """
    root = Path(root)
    layout = ("expected img_align_celeba/ (or .zip), list_eval_partition.txt and identity_CelebA.txt, "
              "as published on mmlab.ie.cuhk.edu.hk/projects/CelebA.html")
    images = next((p for p in (root / "img_align_celeba", root / "img_align_celeba.zip") if p.exists()), None)
    if images is None:
        raise BadInput(f"{root}: no img_align_celeba in it; {layout}")
    partition = _table(root / "list_eval_partition.txt", layout)
    if split == "random":
        order = _ranked(partition, seed)
        parts = {"train": order[:train], "test": order[train:train + test], "val": order[train + test:][:val]}
    elif split == "identity":
        person = _table(root / "identity_CelebA.txt", layout)
        parts, seen = {}, set()
        for part, code, count in (("test", "2", test), ("val", "1", val), ("train", "0", train)):
            pool = [name for name in partition if partition[name] == code and person.get(name) not in seen]
            parts[part] = _ranked(pool, seed)[:count]
            seen |= {person.get(name) for name in pool}
    else:
        raise BadInput(f"split {split!r}: choose random or identity")
    for part, count in (("train", train), ("val", val), ("test", test)):
        if len(parts[part]) < count:
            raise BadInput(f"{root}: only {len(parts[part])} images for {part}, {count} asked; {layout}")
    base = root if images.is_dir() else images  # either way the names start with img_align_celeba/
    return {part: Faces(base, size=size, crop=178, names=sorted(f"img_align_celeba/{n}" for n in parts[part]))
            for part in ("train", "val", "test")}


def helen(root, size: int = 128) -> dict[str, Faces]:
    """Helen from its official files: {"train", "test"} -> Faces (2,000 and 330 images in the full set).

    root holds the unzipped images (helen_1 .. helen_5, or train_1 .. train_4 and test, or trainset and
    testset), annotation/*.txt (first line the image name, then 194 lines "x , y") and, unless the images
    already lie in test/ or testset/, testnames.txt. A split without images is left out.

    Each face is aligned (see ``align``) on its eyes: the means of points 114-133 and of points 134-153.
    The paper does not say how it cropped Helen.
    """
    root = Path(root)
    layout = ("expected helen_1..helen_5, annotation/*.txt with 194 points and testnames.txt, as published "
              "on www.ifp.illinois.edu/~vuongle2/helen")
    folders = [f"helen_{i}" for i in range(1, 6)] + [f"train_{i}" for i in range(1, 5)]
    folders += ["test", "trainset", "testset"]
    images = {p.stem: p.relative_to(root).as_posix()
              for folder in folders for p in sorted((root / folder).rglob("*.jpg"))}
    if not images:
        raise BadInput(f"{root}: no Helen images in it; {layout}")
    points = dict(_helen_eyes(p) for p in sorted((root / "annotation").glob("*.txt")))
    if not points:
        raise BadInput(f"{root}: no annotation in it; {layout}")
    listed = root / "testnames.txt"
    if listed.exists():
        tests = {Path(line.strip()).stem for line in _text(listed).splitlines() if line.strip()}
    else:
        tests = {stem for stem, name in images.items() if name.startswith(("test/", "testset/"))}
    if not tests:
        raise BadInput(f"{root}: nothing says which images are for testing; {layout}")
    for stem in sorted(tests - set(images)) + sorted(set(images) - set(points)):
        what = "no annotation of" if stem in images else "no image"
        raise BadInput(f"{root}: {what} {stem}.jpg; {layout}")
    eyes = {name: points[stem] for stem, name in images.items()}
    parts = {part: sorted(name for stem, name in images.items() if (stem in tests) == (part == "test"))
             for part in ("train", "test")}
    return {part: Faces(root, size=size, names=names, eyes=eyes) for part, names in parts.items() if names}


def scface(root, size: int = 128, landmarks=None) -> dict[str, Faces]:
    """SCface from its official folders: group -> Faces. 130 people, first field of every file name.

    The set has three distances, not five: 1 is 4.20 m, 2 is 2.60 m, 3 is 1.00 m; and five visible-light
    cameras (1-5), two infrared ones (6, 7) and an infrared mugshot camera (8). Groups:
      "gallery"                              mugshot_frontal_cropped_all/001_frontal.jpg
      "distance1" .. "distance3"             surveillance_cameras_distance_D/cam_C/001_camC_D.jpg, cameras 1-5
      "cam1_distance1" .. "cam7_distance3"   one camera at one distance
      "ir_distance1" .. "ir_distance3"       cameras 6 and 7
      "ir_gallery"                           surveillance_cameras_IR_cam8/001_cam8.jpg
    Infrared groups are there only when their folders are.

    landmarks: text file of lines "001_cam1_1 x y x y ..." (the two eyes first, as in the set's own lists):
        faces are then aligned on the eyes. Without it each image is centre-cropped to a square.
    """
    root = Path(root)
    layout = ("expected mugshot_frontal_cropped_all/ and surveillance_cameras_distance_1..3/cam_1..5/, "
              "as released by www.scface.org")
    eyes = None if landmarks is None else _scface_eyes(Path(landmarks))

    def group(*folders: str) -> Faces:
        paths = [root / folder for folder in folders]
        for path in paths:
            if not path.is_dir():
                raise BadInput(f"{root}: no {path.relative_to(root).as_posix()}/ in it; {layout}")
        faces = Faces(*paths, size=size)
        if eyes is not None:
            for file in faces._files:
                if Path(file.inner).stem.lower() not in eyes:
                    raise BadInput(f"{landmarks}: no landmarks of {file.name}")
            faces._eyes = {file.inner: eyes[Path(file.inner).stem.lower()] for file in faces._files}
        return faces

    groups = {"gallery": group("mugshot_frontal_cropped_all")}
    for d in (1, 2, 3):
        folder = f"surveillance_cameras_distance_{d}"
        infrared = [f"{folder}/cam_{c}" for c in (6, 7) if (root / folder / f"cam_{c}").is_dir()]
        groups[f"distance{d}"] = group(*(f"{folder}/cam_{c}" for c in range(1, 6)))
        if infrared:
            groups[f"ir_distance{d}"] = group(*infrared)
        for name in [f"{folder}/cam_{c}" for c in range(1, 6)] + infrared:
            groups[f"cam{name[-1]}_distance{d}"] = group(name)
    if (root / "surveillance_cameras_IR_cam8").is_dir():
        groups["ir_gallery"] = group("surveillance_cameras_IR_cam8")
    return groups


def same_faces(a: Faces | Tensor, b: Faces | Tensor) -> int:
    """How many images of b are also in a, pixel for pixel. Takes Faces, or loaded uint8 (N,3,H,W)."""
    seen = set(_digests(a))
    return sum(digest in seen for digest in _digests(b))


def check(paths) -> dict:
    """Read every image of some paths and report what is wrong in each and between them.

    paths: folders or zips; an item may also be a list of them, taken as one set.
    Returns a dict that JSON can hold:
      "paths": one dict each: path, count, sizes, modes, bad [(name, reason)], exact [names of equal pixels],
        near [(name, name)]
      "between": for each two paths that share something: a, b, exact [(name, name)], near [(name, name)],
        identities [identity]
      "clean": whether nothing was found.
    Near means that the 32 x 32 thumbnails (RGB, centre square) differ by at most 5 of 255 levels, root mean
    square: a copy that was saved again or resized, not one that was cropped or recoloured. (Among aligned
    CelebA faces every pair below 18 levels was one photograph; a neutral and a smiling portrait of one studio
    can be 6 apart.) Identities come from a manifest.csv (columns archive, file, split, identity) in or beside
    a path, and count when the splits differ.
    """
    groups = [list(map(Path, item)) if isinstance(item, (list, tuple)) else [Path(item)] for item in paths]
    labels = [" + ".join(map(str, group)) for group in groups]
    reports, where, thumbs, people = [], {}, [], []
    for number, group in enumerate(groups):
        faces = Faces(*group, skip_bad=True)
        seen = _each(faces._look, range(len(faces)), f"reading {labels[number]}", progress=True)
        for file, (_, _, digest, thumb) in zip(faces._files, seen):
            if digest not in where:
                thumbs.append(thumb)
            where.setdefault(digest, defaultdict(list))[number].append(file.name)
        reports.append({
            "path": labels[number], "count": len(faces), "bad": faces.skipped, "exact": [], "near": [],
            "sizes": dict(Counter(size for size, *_ in seen).most_common()),
            "modes": dict(Counter(mode for _, mode, *_ in seen).most_common()),
        })
        people.append(_identities(faces))
    between = {(a, b): {"a": labels[a], "b": labels[b], "exact": [], "near": [], "identities": sorted(
        i for i in people[a].keys() & people[b].keys() if people[a][i] != people[b][i])}
        for b in range(len(groups)) for a in range(b)}
    for copies in where.values():
        for number, names in copies.items():
            if len(names) > 1:
                reports[number]["exact"].append(names)
        for a, b in between:
            if a in copies and b in copies:
                between[a, b]["exact"].append((copies[a][0], copies[b][0]))
    owners = list(where.values())
    for i, j in _near(torch.stack(thumbs)):
        for a in owners[i]:
            for b in owners[j]:
                pair = (owners[i][a][0], owners[j][b][0])
                if a == b:
                    reports[a]["near"].append(pair)
                else:
                    between[min(a, b), max(a, b)]["near"].append(pair if a < b else pair[::-1])
    shared = [row for row in between.values() if row["exact"] or row["near"] or row["identities"]]
    faults = any(row["bad"] or row["exact"] or row["near"] for row in reports)
    return {"paths": reports, "between": shared, "clean": not shared and not faults}


def format_check(report: dict, examples: int = 5) -> str:
    """The report of ``check`` as text, with the first few examples of each finding."""
    lines = []

    def add(title: str, found: list) -> None:
        lines.append(f"  {title}: {len(found) or 'none'}")
        texts = [item if isinstance(item, str) else "  ".join(item) for item in found]
        lines.extend(f"    {text}" for text in texts[:examples])
        if len(texts) > examples:
            lines.append(f"    ... and {len(texts) - examples} more")

    for row in report["paths"]:
        lines.append(f"{row['path']}: {row['count']} images")
        for what in ("sizes", "modes"):
            counts = [f"{key} ({n})" for key, n in row[what].items()]
            more = f", and {len(counts) - examples} others" if len(counts) > examples else ""
            lines.append(f"  {what}: {', '.join(counts[:examples])}{more}")
        add("bad files", row["bad"])
        add("exact duplicates", row["exact"])
        add("near duplicates", row["near"])
    for row in report["between"]:
        lines.append(f"{row['a']} and {row['b']} share")
        add("exact copies", row["exact"])
        add("near copies", row["near"])
        add("people", row["identities"])
    if len(report["paths"]) > 1 and not report["between"]:
        lines.append("nothing shared between the paths")
    return "\n".join(lines)


def _digests(faces: Faces | Tensor) -> list[bytes]:
    return _each(lambda i: hashlib.sha256(faces[i].numpy().tobytes()).digest(), range(len(faces)),
                 "comparing faces", progress=isinstance(faces, Faces))


def _near(thumbs: Tensor, levels: float = 5.0, rows: int = 1024) -> list[tuple[int, int]]:
    """Pairs i < j of uint8 (N,3,32,32) thumbnails within that root mean square difference.

    Averaging 4 x 4 blocks never increases that difference: the 8 x 8 means rule out nearly all pairs at no
    loss.
    """
    means = torch.nn.functional.avg_pool2d(thumbs.float(), 4).flatten(1) - 127.5
    norms = means.square().sum(1)
    pairs = []
    for start in range(0, len(means), rows):
        some = slice(start, start + rows)
        squares = norms[some, None] + norms[None, start:] - 2 * means[some] @ means[start:].T
        close = squares <= levels**2 * means.shape[1] + 1  # + 1: float32
        for i, j in (close.triu(1).nonzero() + start).tolist():
            if (thumbs[i].float() - thumbs[j].float()).square().mean() <= levels**2:
                pairs.append((i, j))
    return pairs


def _identities(faces: Faces) -> dict[str, set[str]]:
    """identity -> its splits, from the manifest.csv in or beside each path."""
    rows, found = {}, defaultdict(set)
    for root in {file.root for file in faces._files}:
        for folder in (Path(root), Path(root).resolve().parent):
            table = folder / "manifest.csv"
            if table.is_file():
                reader = csv.DictReader(_text(table).splitlines())
                if not {"archive", "file", "split", "identity"} <= set(reader.fieldnames or ()):
                    raise BadInput(f"{table}: expected the columns archive, file, split, identity")
                archive = Path(root).resolve().name
                rows.update({(root, row["file"]): row for row in reader if row["archive"] == archive})
                break
    for file in faces._files:
        row = rows.get((file.root, file.inner))
        if row and row["identity"]:
            found[row["identity"]].add(row["split"])
    return found


def _ranked(names, seed: int) -> list[str]:
    """Names in a random order that depends on seed alone."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{seed}/{name}".encode()).digest())


def _table(path: Path, layout: str) -> dict[str, str]:
    """CelebA's lists: lines "name value"."""
    if not path.is_file():
        raise BadInput(f"{path.parent}: no {path.name} in it; {layout}")
    rows = [line.split() for line in _text(path).splitlines() if line.strip()]
    if not rows or any(len(row) != 2 for row in rows):
        raise BadInput(f"{path}: expected lines of an image name and a number")
    return dict(rows)


def _helen_eyes(path: Path) -> tuple[str, tuple]:
    """One annotation: image name without suffix, and the eye centres, left first as seen."""
    name, *lines = _text(path).strip().splitlines() or [""]
    try:
        points = np.array([[float(v) for v in line.split(",")] for line in lines if line.strip()])
    except ValueError:
        points = np.empty(0)
    if points.shape != (194, 2) or not np.isfinite(points).all():
        raise BadInput(f"{path}: expected the image name and 194 lines of x , y")
    return Path(name.strip()).stem, _left_first(points[114:134].mean(0), points[134:154].mean(0))


def _scface_eyes(path: Path) -> dict[str, tuple]:
    if not path.is_file():
        raise BadInput(f"{path}: no such landmark file")
    eyes = {}
    for line in _text(path).splitlines():
        name, *values = line.split() or [""]
        try:
            x0, y0, x1, y1 = (float(v) for v in values[:4])
        except ValueError:
            continue  # a heading or an empty line
        eyes[Path(name).stem.lower()] = _left_first((x0, y0), (x1, y1))
    return eyes


def _left_first(a, b) -> tuple:
    a, b = sorted((tuple(map(float, a)), tuple(map(float, b))))
    return a, b


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8", errors="replace")


def _scan(paths, names: list[str] | None = None) -> tuple[list[_File], list[tuple[str, str]]]:
    """The files of all paths, and those that are no images by their name or size: (name, reason)."""
    files, bad, used = [], [], Counter()
    for path in paths:
        path = Path(path)
        if not path.exists():
            raise BadInput(f"{path}: no such folder or zip")
        archive = path.resolve().name
        used[archive] += 1
        if used[archive] > 1:  # two paths of one name still give unique names
            archive += f"#{used[archive]}"
        sizes = _folder(path, names) if path.is_dir() else _archive(path)
        if not sizes and names is None:
            raise BadInput(f"{path}: no image in it")
        for inner in sorted(sizes) if names is None else [n for n in names if n in sizes]:
            file = _File(f"{archive}:{inner}", str(path), inner)
            if Path(inner).suffix.lower() not in SUFFIXES:
                bad.append((file.name, "no image"))
            elif sizes[inner] > MAX_BYTES:
                limit = f"more than the {MAX_BYTES >> 20} MiB allowed"
                bad.append((file.name, f"{sizes[inner] / 2**20:.0f} MiB, {limit}"))
            else:
                files.append(file)
    if names is not None:
        found = {file.inner for file in files} | {name.split(":", 1)[1] for name, _ in bad}
        for name in names:
            if name not in found:
                raise BadInput(f"{', '.join(map(str, paths))}: {name} is not in it")
    return files, bad


def _folder(path: Path, names: list[str] | None) -> dict[str, int]:
    """Relative names -> bytes. With names only these are looked at: a folder of 200,000 is not walked."""
    if names is not None:
        return {n: (path / n).stat().st_size for n in names if _inside(n) and (path / n).is_file()}
    files = {p.relative_to(path).as_posix(): p.stat().st_size for p in path.rglob("*") if p.is_file()}
    return {name: size for name, size in files.items() if not _companion(name)}


def _archive(path: Path) -> dict[str, int]:
    try:
        with zipfile.ZipFile(path) as archive:
            entries = [info for info in archive.infolist() if not info.is_dir()]
    except Exception as error:
        raise BadInput(f"{path}: neither a folder nor a whole zip ({_line(error)})") from None
    sizes = {}
    for info in entries:
        if not _inside(info.filename):
            raise BadInput(f"{path}: refused, it has an entry with an unsafe name: {info.filename!r}")
        if info.flag_bits & 1:
            raise BadInput(f"{path}: refused, it is encrypted ({info.filename}); give an open zip")
        if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadInput(f"{path}: {info.filename} is neither stored nor deflated; zip it again")
        if info.filename in sizes:
            raise BadInput(f"{path}: refused, {info.filename} is in it twice")
        if not _companion(info.filename):
            sizes[info.filename] = info.file_size
    return sizes


def _inside(name: str) -> bool:
    """Whether a name stays inside its archive: not absolute, no drive, no '..'."""
    parts = PurePosixPath(name.replace("\\", "/"))
    return not parts.is_absolute() and ".." not in parts.parts and ":" not in name


def _companion(name: str) -> bool:
    """Files that may lie beside images and are passed over in silence."""
    path = PurePosixPath(name.lower())
    hidden = any(part.startswith((".", "__macosx")) for part in path.parts)
    return hidden or path.name in COMPANIONS or path.stem in ("readme", "license", "licence")


def _decode(data: bytes, name: str) -> Image.Image:
    """Bytes -> RGB image of any size, upright. Raises BadInput that names it."""
    return _rgb(_open(data, name), name)


def _open(data: bytes, name: str) -> Image.Image:
    """The image, not yet decoded, after the checks that need only its header."""
    try:
        image = Image.open(io.BytesIO(data), formats=FORMATS)
    except Exception as error:  # Pillow's decoders raise many kinds
        bomb = isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning))
        raise BadInput(f"{name}: " + (_too_large() if bomb else "no image that can be read")) from None
    if image.width * image.height > MAX_PIXELS:
        raise BadInput(f"{name}: {image.width}x{image.height}, {_too_large()}")
    if min(image.size) < MIN_SIDE:
        raise BadInput(f"{name}: {image.width}x{image.height}, the minimum is {MIN_SIDE}x{MIN_SIDE}")
    return image


def _too_large() -> str:
    return f"more than the {MAX_PIXELS // 10**6} megapixels allowed"


def _rgb(image: Image.Image, name: str) -> Image.Image:
    kind = image.format
    try:
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I;16") or (image.mode == "I" and kind in ("PNG", "PPM")):
            grey = np.asarray(image).astype(np.float64)
            return Image.fromarray(np.clip(np.rint(grey / 257), 0, 255).astype(np.uint8)).convert("RGB")
        if image.mode in ("I", "F"):
            raise BadInput(f"{name}: {image.mode} pixels have no known range; save it with 8 bits")
        if image.mode in ("RGBA", "LA", "PA", "RGBa", "La") or "transparency" in image.info:
            image = image.convert("RGBA")
            white = Image.new("RGBA", image.size, (255, 255, 255, 255))
            image = Image.alpha_composite(white, image)
        return image.convert("RGB")
    except BadInput:
        raise
    except Exception as error:
        raise BadInput(f"{name}: damaged image ({_line(error)})") from None


def _line(error: Exception) -> str:
    return " ".join(str(error).split())[:100] or type(error).__name__


def to_tensor(image: Image.Image) -> Tensor:
    """RGB image -> uint8 (3, H, W)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def _each(work, items, title: str, progress: bool) -> list:
    """work(item) of every item, in order, on as many threads as there are cores."""
    with ThreadPoolExecutor(min(16, os.cpu_count() or 1)) as pool:
        quiet = not progress or len(items) < 200
        try:
            return list(tqdm(pool.map(work, items), title, len(items), disable=quiet, leave=False))
        except BaseException:
            pool.shutdown(cancel_futures=True)  # the first bad file ends the work
            raise
