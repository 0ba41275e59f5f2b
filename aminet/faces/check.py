"""`aminet data check`: bad files, duplicates, and what two sets of faces share.

Near duplicates have 32 x 32 thumbnails (RGB, centre square) that differ by at most 5 of 255 levels, root mean
square: a copy that was saved again or resized, not one that was cropped or recoloured. (Among aligned CelebA
faces every pair below 18 levels was one photograph; a neutral and a smiling portrait of one studio can be 6
apart.)
"""
from __future__ import annotations

import hashlib
from collections import Counter, defaultdict

import torch
from PIL import Image
from torch import Tensor

from ..errors import BadInput
from .files import File, each, manifest, open_header, read, scan, to_tensor
from .pictures import square, to_rgb


def check(paths) -> dict:
    """Read every image of some paths and report what is wrong in each and between them.

    paths: folders or zips; an item may also be a list of them, taken as one set.
    Returns a dict that JSON can hold:
      "paths": one dict each: path, count, sizes, modes, bad [(name, reason)], exact [names of equal pixels],
        near [(name, name)]
      "between": for each two paths that share something: a, b, exact [(name, name)], near [(name, name)],
        identities [identity]
      "clean": whether every file can be read and no image is in two paths. Shared identities are no fault.
    Identities come from a manifest.csv (columns archive, file, split, identity) in or beside a path, and
    count when the splits differ.
    """
    groups = [item if isinstance(item, (list, tuple)) else [item] for item in paths]
    labels = [" + ".join(map(str, group)) for group in groups]
    rows, people, thumbs = [], [], {}
    owners = defaultdict(lambda: defaultdict(list))  # digest -> number of the path -> names
    for number, group in enumerate(groups):
        files, bad = scan(group)
        looks = list(zip(files, each(_look, files, f"reading {labels[number]}")))
        bad += [(file.name, look) for file, look in looks if isinstance(look, str)]
        good = [(file.name, *look) for file, look in looks if not isinstance(look, str)]
        for name, _, _, digest, thumb in good:
            owners[digest][number].append(name)
            thumbs.setdefault(digest, thumb)
        rows.append({
            "path": labels[number], "count": len(good), "bad": bad, "exact": [], "near": [],
            "sizes": dict(Counter(size for _, size, *_ in good).most_common()),
            "modes": dict(Counter(mode for _, _, mode, *_ in good).most_common()),
        })
        splits = defaultdict(set)
        for row in filter(None, manifest(files)):
            splits[row["identity"]].add(row["split"])
        people.append(splits)
    between = {(a, b): {"a": labels[a], "b": labels[b], "exact": [], "near": [], "identities": sorted(
        i for i in people[a].keys() & people[b].keys() if people[a][i] != people[b][i])}
        for b in range(len(groups)) for a in range(b)}
    for copies in owners.values():
        for a in copies:
            if len(copies[a]) > 1:
                rows[a]["exact"].append(copies[a])
            for b in copies:
                if a < b:
                    between[a, b]["exact"].append((copies[a][0], copies[b][0]))
    digests = list(thumbs)
    for i, j in _near(list(thumbs.values())) if thumbs else ():
        for a, (first, *_) in owners[digests[i]].items():
            for b, (second, *_) in owners[digests[j]].items():
                row = rows[a] if a == b else between[min(a, b), max(a, b)]
                row["near"].append((first, second) if a <= b else (second, first))
    shared = [row for row in between.values() if row["exact"] or row["near"] or row["identities"]]
    clean = not any(row["bad"] for row in rows) and not any(row["exact"] or row["near"] for row in shared)
    return {"paths": rows, "between": shared, "clean": clean}


def _look(file: File) -> tuple[str, str, bytes, Tensor] | str:
    """Size, mode, digest of the pixels and thumbnail uint8 (3,32,32) of a file, or what is wrong with it."""
    try:
        image = open_header(read(file))
        size, mode = f"{image.width}x{image.height}", image.mode
        image = to_rgb(image)
    except BadInput as error:
        return str(error)
    digest = hashlib.sha256(repr(image.size).encode() + image.tobytes()).digest()
    return size, mode, digest, to_tensor(square(image).resize((32, 32), Image.BOX))


def _near(thumbs: list[Tensor], levels: float = 5.0, rows: int = 1024) -> list[tuple[int, int]]:
    """Pairs i < j of uint8 (3,32,32) thumbnails within that root mean square difference.

    Averaging 4 x 4 blocks never increases that difference: the 8 x 8 means rule out nearly all pairs at no
    loss.
    """
    pixels = torch.stack(thumbs)
    means = torch.nn.functional.avg_pool2d(pixels.float(), 4).flatten(1) - 127.5
    norms = means.square().sum(1)
    pairs = []
    for start in range(0, len(means), rows):
        some = slice(start, start + rows)
        squares = norms[some, None] + norms[None, start:] - 2 * means[some] @ means[start:].T
        close = squares <= levels**2 * means.shape[1] + 1  # + 1: float32
        for i, j in (close.triu(1).nonzero() + start).tolist():
            if (pixels[i].float() - pixels[j].float()).square().mean() <= levels**2:
                pairs.append((i, j))
    return pairs


def format_check(report: dict, examples: int = 5) -> str:
    """The report of `check` as text, with the first few examples of each finding."""
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
            lines.append(f"  {what}: {', '.join(counts[:examples]) or 'none'}{more}")
        add("bad files", row["bad"])
        add("exact duplicates", row["exact"])
        add("near duplicates", row["near"])
    for row in report["between"]:
        lines.append(f"{row['a']} and {row['b']}")
        add("exact copies", row["exact"])
        add("near copies", row["near"])
        if row["identities"]:
            add("people in both (no leak if one is a gallery)", row["identities"])
    bad = sum(len(row["bad"]) for row in report["paths"])
    copies = sum(len(row["exact"]) + len(row["near"]) for row in report["between"])
    lines.append("clean: every file can be read and no image is in two paths" if report["clean"] else
                 f"not clean: bad files {bad}, images in two paths {copies}")
    return "\n".join(lines)
