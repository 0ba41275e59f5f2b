"""Faces from folders and zips (stored or deflated, the StyleGAN data set convention).

Nothing that is read is trusted (see `pictures`): a bad archive, name or image raises `BadInput`, which names it.
A link to a picture is that picture. A link to a folder is not followed: like a folder that may not be read, a link that
leads nowhere, a pipe or a device, it is a bad file, which `skip_bad` leaves out and `data check` lists.
"""
from __future__ import annotations

import csv
import hashlib
import io
import math
import os
import re
import struct
import warnings
import zipfile
import zlib
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.utils.data import Dataset
from tqdm import tqdm

from ..config import HR
from ..errors import BadInput
from . import pictures
from .pictures import SUFFIXES, align, bicubic, decoded, one_line, read_file, read_text, square

COMPANIONS = {"manifest.csv", "dataset.json", "thumbs.db", "desktop.ini", "sha256sums"}


class File(NamedTuple):
    """One file of a folder or a zip."""

    name: str  # "archive:file", unique in the set
    root: Path  # the folder or the zip
    inner: str  # path inside it, with forward slashes
    entry: zipfile.ZipInfo | None  # None in a folder


class Faces(Dataset):
    """Square RGB faces from folders and zips: item i is a uint8 tensor (3, 128, 128), by path, then by file name.

    paths: folders (searched recursively) or zips. Other sizes are resized with Pillow's BICUBIC (antialiased).
    crop: side in pixels of a centre crop taken first (CelebA: 178); without it, the largest centred square.
    skip_bad: leave bad files out instead of refusing them: every file is then decoded once at construction; `skipped`
        lists them as (name, reason). names: take only these files of the paths, in this order.
    eyes: file stem -> ((x, y), (x, y)), the two eye centres in source pixels: `align` replaces the crop.

    Raises BadInput for a path that is missing, empty or damaged, and for a file that is no image: by its name
    at construction, by its content when it is decoded.
    """

    def __init__(self, *paths, crop: int | None = None, skip_bad: bool = False, names: list[str] | None = None,
                 eyes: dict | None = None):
        if not paths or not all(isinstance(path, (str, Path)) for path in paths):
            raise BadInput("no folder and no zip of faces given")
        if crop is not None and not (isinstance(crop, int) and crop > 0):
            raise BadInput(f"crop={crop!r}: expected a whole number of pixels above 0")
        self.crop, self.eyes = crop, eyes
        self._hint = " (--skip-bad leaves it out)" if names is None else ""
        self.files, self.skipped = scan(paths, names)
        if self.skipped and not skip_bad:
            raise BadInput(": ".join(self.skipped[0]) + self._hint)
        if skip_bad:
            good, bad = sort_out(lambda file: self._item(file)[1], self.files, "checking faces")  # keeps no pixels
            self.files, self.skipped = [file for file, _ in good], self.skipped + bad
        if not self.files:
            raise BadInput(f"{', '.join(map(str, paths))}: no image in it that can be read")
        for file in self.files:
            if eyes is not None and Path(file.inner).stem not in eyes:
                raise BadInput(f"{file.name}: no annotation of its eyes")

    @property
    def names(self) -> list[str]:
        """Unique names, "archive:file", in the order of the items."""
        return [file.name for file in self.files]

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) of the file names and the CRC-32 of their bytes, the same for a folder and a zip anywhere."""
        digest = hashlib.sha256()
        for file in self.files:
            crc = file.entry.CRC if file.entry else zlib.crc32(self._named(read, file))
            digest.update(f"{file.inner}\0{crc:08x}\n".encode(errors="surrogatepass"))  # names need not be UTF-8
        return digest.hexdigest()

    @cached_property
    def people(self) -> list[str] | None:
        """Who is on each image, from a manifest.csv (see `manifest`); None if it does not name everybody."""
        people = [row["identity"] for row in manifest(self.files) if row]
        return people if len(people) == len(self.files) else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Tensor:
        return self._named(self._item, self.files[i])[0]

    def load(self, progress: bool = True) -> Tensor:
        """Decode all faces in threads: uint8 (N, 3, 128, 128). BadInput at a bad file; warns of faces below 128 px."""
        out = torch.empty((len(self), 3, HR, HR), dtype=torch.uint8)

        def fill(i: int) -> int:
            out[i], side = self._named(self._item, self.files[i])
            return side

        if small := sum(side < HR for side in each(fill, range(len(self)), "loading faces", progress)):
            warnings.warn(f"{small} of {len(self)} faces are smaller than {HR} px and were enlarged: they lack the "
                          "detail that a restored face is compared with", stacklevel=2)
        return out

    def _named(self, work, file: File) -> Any:
        """Return work(file); a BadInput names the file."""
        try:
            return work(file)
        except BadInput as error:
            raise BadInput(f"{file.name}: {error}{self._hint}") from None

    def _item(self, file: File) -> tuple[Tensor, int]:
        """Return a face, and the side in pixels that it has in its picture."""
        with decoded(read(file)) as image:
            if self.eyes is None:
                face = square(image, self.crop)
                return to_tensor(bicubic(face, HR)), face.width
            left, right = self.eyes[Path(file.inner).stem]
            if not all(0 <= x <= image.width and 0 <= y <= image.height for x, y in (left, right)):
                raise BadInput("the eyes of its annotation lie outside the image")
            return to_tensor(align(image, left, right)), round(math.dist(left, right) * HR / 38)


def same_faces(a: Faces | Tensor, b: Faces | Tensor) -> int:
    """Count the images of b that are also in a, pixel for pixel. Takes Faces, or loaded uint8 (N, 3, H, W)."""
    def digests(faces: Faces | Tensor) -> list[bytes]:
        return each(lambda i: hashlib.sha256(faces[i].numpy().tobytes()).digest(), range(len(faces)),
                    "comparing faces", progress=isinstance(faces, Faces))

    seen = set(digests(a))
    return sum(digest in seen for digest in digests(b))


def manifest(files: list[File]) -> list[dict | None]:
    """Return each file's row (archive, file, split, identity) of the manifest.csv in or beside its archive, or None."""
    rows: dict[tuple, dict] = {}
    for root in {file.root for file in files}:
        archive = root.resolve()
        tables = (folder / "manifest.csv" for folder in (archive, archive.parent))
        if not (table := next(filter(os.path.lexists, tables), None)):
            continue
        try:
            reader = csv.DictReader(io.StringIO(read_text(table), newline=""))
            if not {"archive", "file", "split", "identity"} <= set(reader.fieldnames or ()):
                raise BadInput(f"{table}: expected the columns archive, file, split, identity")
            rows |= {(root, row["file"]): row for row in reader if row["archive"] == archive.name and row["identity"]}
        except csv.Error as error:
            raise BadInput(f"{table}: {one_line(error)}") from None
    return [rows.get((file.root, file.inner)) for file in files]


def to_tensor(image: Image.Image) -> Tensor:
    """Turn an RGB image into uint8 (3, H, W)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def scan(paths, names: list[str] | None = None) -> tuple[list[File], list[tuple[str, str]]]:
    """Return the image files of folders and zips, and as (name, reason) the others."""
    files, used = [], Counter()
    for path in map(Path, paths):
        if not os.path.exists(path):
            raise BadInput(f"{path}: no such folder or zip")
        archive = path.resolve().name
        used[archive] += 1
        if used[archive] > 1:  # two paths of one name still give unique names
            archive += f"#{used[archive]}"
        entries = _folder(path, names) if os.path.isdir(path) else _zip(path)
        if not entries and names is None:
            raise BadInput(f"{path}: no image in it")
        wanted = sorted(entries) if names is None else [name for name in names if name in entries]
        files += [File(f"{archive}:{inner}", path, inner, entries[inner]) for inner in wanted]
    if missing := set(names or ()) - {file.inner for file in files}:
        raise BadInput(f"{', '.join(map(str, paths))}: {min(missing)} is not in it")
    reasons = {False: "no image", True: "a link to a folder, or one that may not be read: give it as a set of its own"}
    others = [file for file in files if Path(file.inner).suffix.lower() not in SUFFIXES]
    return ([file for file in files if Path(file.inner).suffix.lower() in SUFFIXES],
            [(file.name, reasons[not file.entry and os.path.isdir(file.root / file.inner)]) for file in others])


def _folder(path: Path, names: list[str] | None) -> dict[str, None]:
    if names is not None:  # look only at these: a folder of 200,000 is not walked
        return {name: None for name in names if _inside(name) and os.path.isfile(path / name)}
    found, unreadable = [], []
    for root, folders, files in os.walk(path, onerror=unreadable.append):
        links = [name for name in folders if os.path.islink(os.path.join(root, name))]
        found += [Path(root, name) for name in files + links]
    inner = (file.relative_to(path).as_posix() for file in [*found, *(Path(error.filename) for error in unreadable)])
    return {name: None for name in inner if not _companion(name)}


class _Archive(io.FileIO):
    """A zip, whose directory is bounded: it is read at once, and takes ten times as much memory."""

    def read(self, size: int | None = -1) -> bytes:
        pictures.check_size(size or 0)
        return super().read(size)


def _zip(path: Path) -> dict[str, zipfile.ZipInfo]:
    try:
        pictures.check_file(path)
        with _Archive(path) as file, zipfile.ZipFile(file) as archive:
            entries = [entry for entry in archive.infolist() if not entry.is_dir()]
    except Exception as error:  # a damaged zip raises many kinds
        raise BadInput(f"{path}: neither a folder nor a whole zip ({one_line(error)})") from None
    by_name = {}
    for entry in entries:
        if not _inside(name := entry.filename):
            raise BadInput(f"{path}: refused, it has an entry with an unsafe name: {name!r}")
        if entry.flag_bits & 1:
            raise BadInput(f"{path}: refused, it is encrypted ({name}); give an open zip")
        if entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            raise BadInput(f"{path}: {name} is neither stored nor deflated; zip it again")
        if name in by_name:
            raise BadInput(f"{path}: refused, {name} is in it twice")
        by_name[name] = entry
    return {name: entry for name, entry in by_name.items() if not _companion(name)}


def _inside(name: str) -> bool:
    """Whether a name stays inside its archive: not absolute, no drive, no '..'."""
    path = PurePosixPath(name.replace("\\", "/"))
    return not path.is_absolute() and ".." not in path.parts and not re.match("[A-Za-z]:(/|$)", str(path))


def _companion(name: str) -> bool:
    """Whether a file may lie beside images and is passed over in silence."""
    path = PurePosixPath(name.lower())
    hidden = any(part.startswith((".", "__macosx")) for part in path.parts)
    return hidden or path.name in COMPANIONS or path.stem in {"readme", "license", "licence"}


def read(file: File) -> bytes:
    """Return the bytes of a file. No handle stays open, so that threads and forked workers need no care."""
    entry, path = file.entry, file.root / file.inner
    if entry is None:
        return read_file(path)
    pictures.check_size(max(entry.file_size, entry.compress_size))
    try:
        with open(file.root, "rb") as archive:
            archive.seek(entry.header_offset + 26)  # in the local header: the lengths of its two last fields
            archive.seek(sum(struct.unpack("<HH", archive.read(4))), os.SEEK_CUR)
            data = archive.read(entry.compress_size)
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, pictures.MAX_BYTES)
    except (OSError, ValueError, OverflowError, struct.error, zlib.error) as error:
        raise BadInput(f"cannot be read ({one_line(error)})") from None
    if zlib.crc32(data) != entry.CRC:
        raise BadInput("cannot be read (its checksum is wrong)")
    return data


def sort_out(work, files: list[File], title: str) -> tuple[list[tuple[File, Any]], list[tuple[str, str]]]:
    """Return the files that are good, each with work(file), and as (name, reason) the others."""
    def attempt(file: File) -> tuple[bool, Any]:
        try:
            return True, (file, work(file))
        except BadInput as error:
            return False, (file.name, str(error))

    results = each(attempt, files, title)
    return [found for good, found in results if good], [found for good, found in results if not good]


def each(work, items, title: str, progress: bool = True) -> list:
    """Return work(item) of every item, in order, on as many threads as there are cores, up to eight."""
    pool = ThreadPoolExecutor(min(8, os.cpu_count() or 1))
    try:
        quiet = not progress or len(items) < 200
        return list(tqdm(pool.map(work, items), title, len(items), disable=quiet, leave=False))
    finally:
        pool.shutdown(cancel_futures=True)  # the first bad file ends the work
