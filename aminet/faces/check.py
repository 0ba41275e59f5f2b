"""`aminet data check`: bad files, duplicates, and what two sets of faces share.

Near duplicates have 32 x 32 thumbnails (RGB, centre square) that differ by at most 5 of 255 levels, root mean square:
a copy that was saved again or resized, not one that was cropped or recoloured. Among aligned CelebA faces every pair
below 18 levels was one photograph; a neutral and a smiling portrait of one studio can be 6 apart.
"""
from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from collections.abc import Iterable

import torch
from PIL import Image
from torch import Tensor

from ..config import HR
from ..errors import printable
from .dataset import File, manifest, read, scan, sort_out, to_tensor
from .pictures import decoded, open_header, square


def check(paths) -> dict:
    """Read every image of some paths and report, as JSON can hold it, what is wrong in each and between them.

    paths: folders or zips; an item may also be a list of them, taken as one set.
    "paths", of each: path, count, sizes, modes, small (how many are below 128 px), bad [(name, reason)], exact [names
    of equal pixels], near (pairs of names). "between", of each two that share something: a, b, exact, near (pairs of
    names), and the identities, which a manifest.csv in or beside a path tells (see `manifest`), and which count when
    the splits differ.
    "clean": whether every file can be read and no image is in two paths. Shared identities are no fault.
    """
    sets = [FaceSet(item if isinstance(item, (list, tuple)) else [item]) for item in paths]
    near = _near_pairs({digest: thumbnail for faces in sets for digest, thumbnail in faces.thumbnails.items()})
    rows = [_inside(faces, near) for faces in sets]
    between = [_shared(a, b, near) for number, b in enumerate(sets) for a in sets[:number]]
    between = [row for row in between if row["exact"] or row["near"] or row["identities"]]
    clean = not any(row["bad"] for row in rows) and not any(row["exact"] or row["near"] for row in between)
    return {"paths": rows, "between": between, "clean": clean}


class FaceSet:
    """What was read of some paths: the bad files; the sizes and modes of the images; by the digest of their pixels the
    names and a thumbnail, uint8 (3, 32, 32); and the splits of each identity."""

    def __init__(self, paths):
        self.label = " + ".join(map(str, paths))
        files, no_images = scan(paths)
        pictures, bad = sort_out(_read_picture, files, f"reading {printable(self.label)}")
        self.bad = no_images + bad
        self.sizes, self.modes = Counter(), Counter()
        self.names, self.thumbnails, self.splits = defaultdict(list), {}, defaultdict(set)
        for file, (size, mode, digest, thumbnail) in pictures:
            self.sizes[size] += 1
            self.modes[mode] += 1
            self.names[digest].append(file.name)
            self.thumbnails[digest] = thumbnail
        for row in filter(None, manifest(files)):
            self.splits[row["identity"]].add(row["split"])


def _read_picture(file: File) -> tuple[str, str, bytes, Tensor]:
    """Return size, mode, digest of the pixels and thumbnail of a file."""
    header = open_header(data := read(file))
    size, mode = f"{header.width}x{header.height}", header.mode
    with decoded(data) as image:
        digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
        return size, mode, digest, to_tensor(square(image).resize((32, 32), Image.Resampling.BOX))


def _inside(faces: FaceSet, near: list[tuple[bytes, bytes]]) -> dict:
    """Return what one set holds."""
    small = sum(n for size, n in faces.sizes.items() if min(map(int, size.split("x"))) < HR)
    return {"path": faces.label, "count": faces.sizes.total(), "small": small, "bad": faces.bad,
            "exact": [names for names in faces.names.values() if len(names) > 1],
            "near": _names_of(near, faces, faces),
            "sizes": dict(faces.sizes.most_common()), "modes": dict(faces.modes.most_common())}


def _shared(a: FaceSet, b: FaceSet, near: list[tuple[bytes, bytes]]) -> dict:
    """Return the images and people that two sets share."""
    both_ways = [pair for one, other in near for pair in ((one, other), (other, one))]
    people = [i for i in a.splits.keys() & b.splits.keys() if a.splits[i] != b.splits[i]]
    return {"a": a.label, "b": b.label, "exact": _names_of(zip(a.names, a.names), a, b),
            "near": _names_of(both_ways, a, b), "identities": sorted(people)}


def _names_of(pairs: Iterable[tuple[bytes, bytes]], a: FaceSet, b: FaceSet) -> list[tuple[str, str]]:
    """Return the names of those pairs whose first image is in a and whose second one is in b."""
    return [(a.names[one][0], b.names[other][0]) for one, other in pairs if one in a.names and other in b.names]


def _near_pairs(thumbnails: dict[bytes, Tensor], levels: float = 5.0, rows: int = 1024) -> list[tuple[bytes, bytes]]:
    """Return the pairs of thumbnails within that root mean square difference, each pair once.

    Averaging 4 x 4 blocks never increases that difference: the 8 x 8 means rule out nearly all pairs at no loss.
    """
    if not thumbnails:
        return []
    digests, pixels = list(thumbnails), torch.stack(list(thumbnails.values()))
    means = torch.nn.functional.avg_pool2d(pixels.float(), 4).flatten(1) - 127.5
    farthest, pairs = levels * means.shape[1] ** 0.5 + 0.1, []  # 0.1: what float32 may lose
    for start in range(0, len(means), rows):
        close = torch.cdist(means[start:start + rows], means[start:]) <= farthest
        for i, j in (close.triu(1).nonzero() + start).tolist():
            if (pixels[i].float() - pixels[j].float()).square().mean() <= levels**2:
                pairs.append((digests[i], digests[j]))
    return pairs


def format_check(report: dict, examples: int = 5) -> str:
    """Return the report of `check` as text, with the first few examples of each finding."""
    def counts(title: str, numbers: dict[str, int]) -> str:
        texts = [f"{key} ({n})" for key, n in numbers.items()]
        more = f", and {len(texts) - examples} others" if len(texts) > examples else ""
        return f"  {title}: {', '.join(texts[:examples]) or 'none'}{more}"

    def findings(title: str, items: list) -> list[str]:
        texts = ["    " + (item if isinstance(item, str) else "  ".join(item)) for item in items[:examples]]
        more = [f"    ... and {len(items) - examples} more"] if len(items) > examples else []
        return [f"  {title}: {len(items) or 'none'}", *texts, *more]

    lines = []
    for row in report["paths"]:
        lines += [f"{row['path']}: {row['count']} images", counts("sizes", row["sizes"]), counts("modes", row["modes"]),
                  f"  smaller than {HR} px, which lack the detail of a full face: {row['small'] or 'none'}",
                  *findings("bad files", row["bad"]), *findings("exact duplicates", row["exact"]),
                  *findings("near duplicates", row["near"])]
    for row in report["between"]:
        lines += [f"{row['a']} and {row['b']}", *findings("exact copies", row["exact"]),
                  *findings("near copies", row["near"])]
        if row["identities"]:
            lines += findings("people in both (no leak if one is a gallery)", row["identities"])
    bad = sum(len(row["bad"]) for row in report["paths"])
    copies = sum(len(row["exact"]) + len(row["near"]) for row in report["between"])
    lines.append("clean: every file can be read and no image is in two paths" if report["clean"] else
                 f"not clean: bad files {bad}, images in two paths {copies}")
    return "\n".join(map(printable, lines))
