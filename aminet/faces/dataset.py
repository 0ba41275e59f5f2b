"""Faces from folders and zips (stored or deflated, the StyleGAN data set convention).

Nothing that is read is trusted (see `pictures`): a bad archive, name or image raises `BadInput`, which names it.
"""
from __future__ import annotations

import csv
import hashlib
import os
import struct
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
from .pictures import MAX_BYTES, SUFFIXES, align, bicubic, check_size, one_line, open_header, read_file, square, to_rgb

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
        if not paths:
            raise BadInput("no folder and no zip of faces given")
        self.crop, self.eyes = crop, eyes
        self._hint = " (--skip-bad leaves it out)" if names is None else ""
        self.files, self.skipped = scan(paths, names)
        if self.skipped and not skip_bad:
            raise BadInput(": ".join(self.skipped[0]) + self._hint)
        if skip_bad:
            good, bad = sort_out(lambda file: self._item(file).shape, self.files, "checking faces")  # keeps no pixels
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
            crc = file.entry.CRC if file.entry else zlib.crc32(read(file))
            digest.update(f"{file.inner}\0{crc:08x}\n".encode())
        return digest.hexdigest()

    @cached_property
    def people(self) -> list[str] | None:
        """Who is on each image, from a manifest.csv (see `manifest`); None if it does not name everybody."""
        people = [row["identity"] for row in manifest(self.files) if row]
        return people if len(people) == len(self.files) else None

    def __len__(self) -> int:
        return len(self.files)

    def __getitem__(self, i: int) -> Tensor:
        file = self.files[i]
        try:
            return self._item(file)
        except BadInput as error:
            raise BadInput(f"{file.name}: {error}{self._hint}") from None

    def load(self, progress: bool = True) -> Tensor:
        """Decode all faces in threads: uint8 (N, 3, 128, 128). Raises BadInput at a bad file."""
        out = torch.empty((len(self), 3, HR, HR), dtype=torch.uint8)
        each(lambda i: out[i].copy_(self[i]), range(len(self)), "loading faces", progress)
        return out

    def _item(self, file: File) -> Tensor:
        image = to_rgb(open_header(read(file)))
        if self.eyes is None:
            return to_tensor(bicubic(square(image, self.crop), HR))
        eyes = self.eyes[Path(file.inner).stem]
        if not all(0 <= x <= image.width and 0 <= y <= image.height for x, y in eyes):
            raise BadInput("the eyes of its annotation lie outside the image")
        return to_tensor(align(image, *eyes))


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
        if not (table := next(filter(Path.is_file, tables), None)):
            continue
        with open(table, encoding="utf-8", errors="replace", newline="") as lines:
            reader = csv.DictReader(lines)
            if not {"archive", "file", "split", "identity"} <= set(reader.fieldnames or ()):
                raise BadInput(f"{table}: expected the columns archive, file, split, identity")
            rows |= {(root, row["file"]): row for row in reader if row["archive"] == archive.name and row["identity"]}
    return [rows.get((file.root, file.inner)) for file in files]


def to_tensor(image: Image.Image) -> Tensor:
    """Turn an RGB image into uint8 (3, H, W)."""
    return torch.from_numpy(np.array(image)).permute(2, 0, 1).contiguous()


def scan(paths, names: list[str] | None = None) -> tuple[list[File], list[tuple[str, str]]]:
    """Return the image files of folders and zips, and as (name, reason) the others."""
    files, used = [], Counter()
    for path in map(Path, paths):
        if not path.exists():
            raise BadInput(f"{path}: no such folder or zip")
        archive = path.resolve().name
        used[archive] += 1
        if used[archive] > 1:  # two paths of one name still give unique names
            archive += f"#{used[archive]}"
        entries = _folder(path, names) if path.is_dir() else _zip(path)
        if not entries and names is None:
            raise BadInput(f"{path}: no image in it")
        wanted = sorted(entries) if names is None else [name for name in names if name in entries]
        files += [File(f"{archive}:{inner}", path, inner, entries[inner]) for inner in wanted]
    if missing := set(names or ()) - {file.inner for file in files}:
        raise BadInput(f"{', '.join(map(str, paths))}: {min(missing)} is not in it")
    images = [file for file in files if Path(file.inner).suffix.lower() in SUFFIXES]
    return images, [(name, "no image") for name in sorted({f.name for f in files} - {f.name for f in images})]


def _folder(path: Path, names: list[str] | None) -> dict[str, None]:
    if names is not None:  # look only at these: a folder of 200,000 is not walked
        return {name: None for name in names if _inside(name) and (path / name).is_file()}
    files = (file.relative_to(path).as_posix() for file in path.rglob("*") if file.is_file())
    return {name: None for name in files if not _companion(name)}


def _zip(path: Path) -> dict[str, zipfile.ZipInfo]:
    try:
        with zipfile.ZipFile(path) as archive:
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
    return not path.is_absolute() and ".." not in path.parts and ":" not in name


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
    check_size(max(entry.file_size, entry.compress_size))
    try:
        with open(file.root, "rb") as archive:
            archive.seek(entry.header_offset + 26)  # in the local header: the lengths of its two last fields
            archive.seek(sum(struct.unpack("<HH", archive.read(4))), os.SEEK_CUR)
            data = archive.read(entry.compress_size)
        if entry.compress_type == zipfile.ZIP_DEFLATED:
            data = zlib.decompressobj(-zlib.MAX_WBITS).decompress(data, MAX_BYTES)
    except (OSError, struct.error, zlib.error) as error:
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
    """Return work(item) of every item, in order, on as many threads as there are cores."""
    pool = ThreadPoolExecutor(min(16, os.cpu_count() or 1))
    try:
        quiet = not progress or len(items) < 200
        return list(tqdm(pool.map(work, items), title, len(items), disable=quiet, leave=False))
    finally:
        pool.shutdown(cancel_futures=True)  # the first bad file ends the work
