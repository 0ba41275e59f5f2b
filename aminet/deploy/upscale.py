"""Every face of a photograph: levelled, reduced to 16x16, drawn anew and pasted back; by torch, or by ONNX Runtime
without torch. `restore_faces` does it in one picture, `upscale` in files."""
from __future__ import annotations

import io
import os
import unicodedata
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from ..config import HR, LR
from ..errors import BadInput, printable
from ..faces import pictures
from ..faces.finder import Found, find_faces, without_yunet
from ..faces.pictures import align, bicubic, frame, from_network, one_line, open_image, square, to_network
from ..files import Kept, check_outputs, file_id, write_atomically
from .runtime import by_torch, load_onnx

# A face of this side in pixels, enlarged by bicubic, is as close to the original as what `pocket` draws from 16x16:
# in PSNR, and in LPIPS (100 validation faces: 24.8 and 35.4). Between the two sides, both pictures are blended.
BLEND = (25, 35)
FEATHER = 24  # width in pixels of the frame of 128 in which a pasted face fades into the photograph
WRITTEN = (".png", ".jpg", ".jpeg", ".webp", ".bmp")
Restorer = Callable[[Image.Image], Image.Image]


class Drawn(NamedTuple):
    """One face. text: its size, and what was done. parts: the 16x16 input, bicubic, the result, and what the picture
    shows (128x128; missing where that is the input); empty where the face is not restored, for a reason in text."""

    text: str
    parts: list[Image.Image]
    pasted: bool = False


class Outcome(NamedTuple):
    """What became of a picture. lines: to print. status: done, kept (what was there before) or failed."""

    lines: list[str]
    status: str


def open_network(weights: str | Path = "pocket", onnx: str | Path | None = None) -> Restorer:
    """Return a network as a function of pictures, 16x16 -> 128x128. onnx: an exported one instead; needs no torch."""
    if onnx is None:
        from ..training.weights import load_weights

        model = load_weights(weights)[0]
        network, takes_enlarged = by_torch(model), model.config.enlarged
    else:
        network, takes_enlarged = load_onnx(onnx), True
    return lambda lr: from_network(network(to_network(bicubic(lr, HR) if takes_enlarged else lr)))


def restore_faces(image: Image.Image, network: Restorer, aligned: bool = False, demo: bool = False,
                  scale: int = 1) -> tuple[Image.Image, list[Drawn]]:
    """Return the picture, enlarged `scale` times by bicubic, with its faces restored, and these faces, largest first.

    Faces that show more than the network draws from 16x16 are left, or blended by their size; demo: they are drawn
    anew as well. aligned, and any 16x16 picture: the picture is one face, and the result has 128x128 pixels.
    BadInput if there is no face, or if the enlarged picture is too large.
    """
    if aligned or image.size == (LR, LR):
        face = square(image)
        parts = redraw(face, network)
        return parts[2], [Drawn(f"{face.width} px: restored", parts if face.width > LR else parts[:3], True)]
    width, height = image.width * scale, image.height * scale
    if width * height > pictures.MAX_PIXELS:
        raise BadInput(f"{width}x{height} is more than the {pictures.MAX_PIXELS // 10**6} megapixels allowed: "
                       "choose a smaller --scale")
    found = find_faces(image)
    if not found:
        raise BadInput("no face found: give a picture with a visible face, or with --aligned one that a face fills"
                       + (f" ({note})" if (note := without_yunet()) else ""))
    photo = np.array(image.resize((width, height), Image.Resampling.BICUBIC) if scale > 1 else image)
    faces = []
    for face in found:
        if face.problem:
            faces.append(Drawn(f"{face.side:.0f} px: left as it is: {face.problem}", []))
            continue
        weight = 1.0 if demo else float(np.interp(face.side, BLEND, (1, 0)))
        left, right = ((eye.real, eye.imag) for eye in (face.left, face.right))
        parts = redraw(align(image, left, right), network)
        if weight:
            paste(photo, parts[2], face, scale, weight)
        parts[2] = Image.blend(parts[3], parts[2], weight)
        text = ("restored" if weight == 1 else f"blended, {weight:.0%} of it restored" if weight else f"more than the "
                f"network draws from {LR}x{LR}, left as it is; --demo shows what it would make of it")
        faces.append(Drawn(f"{face.side:.0f} px: {text}", parts, weight > 0))
    return Image.fromarray(photo), faces


def redraw(face: Image.Image, network: Restorer) -> list[Image.Image]:
    """Return a face's parts, as in `Drawn`, with what the network draws as the result."""
    lr = bicubic(face, LR)
    return [lr, bicubic(lr, HR), network(lr), bicubic(face, HR)]


def paste(photo: np.ndarray, drawn: Image.Image, face: Found, scale: int, weight: float) -> None:
    """Lay a face of 128x128 over uint8 RGB (H, W, 3), where it was: the inverse of `align`, feathered at its edge."""
    step, origin, corners = frame(face.left * scale, face.right * scale)
    (x, end_x), (y, end_y) = ((max(0, int(min(ends))), min(side, int(max(ends)) + 1)) for ends, side in zip(
        ([c.real for c in corners], [c.imag for c in corners]), photo.shape[1::-1]))
    small = bicubic(drawn, max(1, round(HR * min(1, abs(step)))))  # reduced with antialiasing
    pace = small.width / HR / step
    start = (complex(x, y) - origin) * pace
    matrix = (pace.real, -pace.imag, start.real, pace.imag, pace.real, start.imag)
    patch = small.transform((end_x - x, end_y - y), Image.Transform.AFFINE, matrix, Image.Resampling.BICUBIC)
    at = (np.arange(x, end_x) + 0.5 + 1j * (np.arange(y, end_y)[:, None] + 0.5) - origin) / step
    inside = (HR / 2 - np.maximum(abs(at.real - HR / 2), abs(at.imag - HR / 2))) / FEATHER
    mask = weight * np.clip(inside, 0, 1)[..., None] ** 2
    region = photo[y:end_y, x:end_x]
    region[:] = np.rint(region + mask * (np.asarray(patch, float) - region))  # where the mask is 0, the same to the bit


def upscale(pairs: Sequence[tuple[Path, Path]], weights: str | Path = "pocket", onnx: str | Path | None = None,
            **options) -> Iterator[Outcome]:
    """Do `upscale_file` for the pictures of a `plan`, one after the other.

    weights, onnx: as in `open_network`. BadInput for what is wrong with them or with a picture given alone; one of
    several fails, and the rest goes on.
    """
    network, inputs, given = open_network(weights, onnx), [source for source, _ in pairs], set()
    for source, result in pairs:
        try:
            (lines, hints), status = upscale_file(source, result, network, inputs=inputs, **options), "done"
        except BadInput as error:
            if len(pairs) == 1:
                raise
            lines, hints, status = [str(error)], set(), "kept" if isinstance(error, Kept) else "failed"
        yield Outcome([printable(line) for line in (*lines, *sorted(hints - given))], status)
        given |= hints


def upscale_file(source: Path, result: Path, network: Restorer, overwrite: bool = False, faces_only: bool = False,
                 inputs: Sequence[Path] = (), **options) -> tuple[list[str], set[str]]:
    """Write a picture with its faces restored, and RESULT_faces.png, the faces before and after; return what to print:
    the lines of this picture, and hints, which are given once for all.

    faces_only: the faces, 128x128, as RESULT_1.png and so on, instead of the picture. inputs: other pictures that are
    not replaced. options: of `restore_faces`.
    BadInput if a file is there already, unless overwrite, and whenever nothing can be written.
    """
    check_outputs(outputs := outputs_of(result, faces_only), overwrite, [source])
    image = open_image(source)
    try:
        picture, faces = restore_faces(image, network, **options)
    except BadInput as error:
        raise BadInput(f"{source}: {error}") from None
    written = [(face.parts[2], result.with_name(f"{result.stem}_{i}{result.suffix}"))
               for i, face in enumerate(faces, 1) if face.parts] if faces_only else [(picture, result)]
    written.append((sheet(faces), contact := outputs[-1]))
    files = {path: encoded(part, path) for part, path in written}
    check_outputs(files, overwrite, [source, *inputs], sum(map(len, files.values())))  # or another program was faster
    for path, content in files.items():
        write_atomically(path, content)
    pasted = sum(face.pasted for face in faces)
    lines = [f"{source}: {len(faces)} face{'s' * (len(faces) > 1)}, {pasted} restored: "
             f"{', '.join(str(path) for _, path in written[:-1]) or 'no file'}; before and after: {contact}",
             *(f"  face {i}, {face.text}" for i, face in enumerate(faces, 1))]
    enlarge = pasted and not faces_only and picture.size == image.size and (
        "A face of 16 px shows its new detail only in an enlarged picture: --scale 8")
    note = not options.get("aligned") and image.size != (LR, LR) and without_yunet()
    return lines, {f"  {hint}" for hint in (enlarge, note) if hint}


def plan(sources: Sequence[str | Path], target: str | Path, overwrite: bool = False,
         faces_only: bool = False) -> list[tuple[Path, Path]]:
    """Return every picture, those of folders (not of their subfolders) too, with the name of its result.

    One picture goes to `target`, if that is a picture's name; else target is a folder, and results keep their names,
    as PNG. BadInput if a result would be an input, or that of two, or cannot be written; for one picture, also if it is
    there already, unless overwrite.
    """
    sources, target = [Path(source) for source in sources], Path(target)
    folders = {file_id(source) for source in sources} - {None}
    files = list(dict.fromkeys(path for source in sources for path in pictures_of(source)))
    if files == sources and len(files) == 1 and target.suffix and not os.path.isdir(target):
        if target.suffix.lower() not in WRITTEN:
            raise BadInput(f"{target}: give the result a name that ends in one of {' '.join(WRITTEN)}")
        results = [target]
    else:
        results = named(files, target)
    if among := [result for result in results if file_id(result.parent) in folders]:
        raise BadInput(f"{among[0]} would lie among its input: choose another name")
    outputs = [path for result in results for path in outputs_of(result, faces_only)]
    twice = [path for path, times in zip(outputs, times_of(outputs)) if times > 1]
    if twice:
        raise BadInput(f"two pictures would both be written to {twice[0]}: give each another OUT")
    check_outputs(outputs, overwrite or len(files) > 1, files)
    return list(zip(files, results))


def named(files: list[Path], folder: Path) -> list[Path]:
    """Return the results in a folder: a.png, or a.jpg.png where the first is a file of another picture, too."""
    short = [folder / f"{file.stem}.png" for file in files]
    times = times_of([path for result in short for path in outputs_of(result)])
    return [result if max(pair) == 1 else folder / f"{file.name}.png"
            for file, result, pair in zip(files, short, zip(times[::2], times[1::2]))]


def outputs_of(result: Path, faces_only: bool = False) -> list[Path]:
    """Return the files that are written for every picture: its result, if that is wanted, and the contact sheet."""
    contact = result.with_name(f"{result.stem}_faces.png")
    return [contact] if faces_only else [result, contact]


def times_of(paths: list[Path]) -> list[int]:
    """Count each path among all. Some file systems tell neither A from a nor the two ways to write an accent."""
    names = [unicodedata.normalize("NFC", str(path)).casefold() for path in paths]
    times = Counter(names)
    return [times[name] for name in names]


def pictures_of(source: Path) -> list[Path]:
    """Return the pictures of a folder by their names, or the one that is named."""
    if not os.path.exists(source):
        raise BadInput(f"no such file: {source}")
    if not os.path.isdir(source):
        return [source]
    found = sorted(path for path in source.iterdir() if path.suffix.lower() in pictures.SUFFIXES
                   and not os.path.isdir(path) and not path.name.startswith("."))
    if not found:
        raise BadInput(f"{source} holds no picture")
    return found


def sheet(faces: list[Drawn]) -> Image.Image:
    """Draw the contact sheet: a numbered row for each face, with the 16x16 input, bicubic, the result and the photo."""
    rows = [(str(i), face.parts) for i, face in enumerate(faces, 1) if face.parts]
    page = Image.new("RGB", (24 + HR * max([len(parts) for _, parts in rows], default=4), 16 + HR * len(rows)), "white")
    pen = ImageDraw.Draw(page)
    for i, title in enumerate(("input", "bicubic", "result", "photo")):
        pen.text((28 + i * HR, 2), title, "black")
    for y, (number, parts) in enumerate(rows):
        pen.text((6, 18 + y * HR), number, "black")
        for x, part in enumerate(parts):
            page.paste(part.resize((HR, HR), Image.Resampling.NEAREST), (24 + x * HR, 16 + y * HR))
    return page


def encoded(image: Image.Image, path: Path) -> bytes:
    """Return a picture's file in the format of its name."""
    buffer = io.BytesIO()
    Image.init()
    try:
        image.save(buffer, Image.EXTENSION[path.suffix.lower()], quality=95)
    except (OSError, ValueError, KeyError) as error:  # more pixels than the format can hold
        raise BadInput(f"{path} cannot be written ({one_line(error)}): choose .png") from None
    return buffer.getvalue()
