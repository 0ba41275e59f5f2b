"""What the notebooks' parameters take, by name: a wrong one stops a notebook before any work."""
from __future__ import annotations

import ast
import re
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

from aminet.baselines.registry import preset as named
from aminet.config import PRESETS, Limits, bounded, one_of
from aminet.errors import BadInput
from aminet.faces.pictures import open_image
from aminet.faces.portraits import EYES
from aminet.faces.sources import face_set, parse_all
from aminet.files import find
from aminet.metrics.pretrained import missing_network
from aminet.paper.runs import choose, runs, scale_of
from aminet.train import Recipe
from aminet.training.device import usable
from aminet.training.folder import RunFolder
from aminet.training.games import GANRecipe, missing_networks, start_weights
from aminet.training.weights import find_weights, load_weights, read_header


def readable(words: str, read: Callable[[str], Any]) -> Limits:
    """Return limits for a text that `read` takes: it raises BadInput, or returns False, for another."""
    return Limits(str, words, lambda text: read(text) is not False)


def open_sources(text: str) -> None:
    """List the faces of sources, as `open_faces` would, but decode none; BadInput for one that is not there."""
    if " " in text and find(text).exists():
        raise BadInput("spaces separate sources: rename it to one without, or link to it")
    if parse_all(text.split())[0].kind != "synthetic":
        face_set(text.split())


FACES = readable("folders and zips of faces, separated by spaces, or synthetic:N:SEED", open_sources)
WEIGHTS = "weights: ours by name, a .safetensors file, or the folder of a run"
PORTRAIT, MINUTES = one_of(*EYES), bounded(0.0, 0, 10**6)
NUMBERS = {  # and choices, as dataclass fields
    "SEED": bounded(0, 0, 2**40), "SEEDS": bounded(8, 1, 1000), "FACES": bounded(32, 2, 1000), "FACE": PORTRAIT,
    "face": PORTRAIT, "steps": bounded(60, 1, 10_000), "synthetic": bounded(16, 1, 1000), "snapshots": bounded(6, 1, 6),
    "images": bounded(0, 0, 10**9), "minutes": MINUTES, "budget": MINUTES, "preset_name": one_of(*PRESETS)}
ALLOWED = {field.name: field.metadata["limits"] for field in fields(GANRecipe) if "limits" in field.metadata} | {
    name: field.metadata["limits"] for name, field in NUMBERS.items()} | {
    "resume": Limits(bool, "True or False"), "device": readable("auto, cpu or cuda", usable),
    "preset": readable("the name of a network", named), "scale": readable("the name of a scale", scale_of),
    "faces": FACES, "val": FACES, "own": FACES, "network": readable(WEIGHTS, load_weights),
    "start": readable(WEIGHTS, lambda text: read_header(find_weights(text))),
    "records": readable("a folder that is there", lambda text: Path(text).is_dir()),
    "picture": readable("the file of a picture", lambda text: open_image(find(text))),
    "rerun": Limits(str, "names of runs, as in python -m aminet reproduce --only"), "out": Limits(str, "a folder")}
OPTIONAL = {"own", "start", "records", "picture", "rerun", "out"}  # "" means none


def check_parameters(cells: list[str], parameters: dict) -> dict:
    """Return a notebook's parameters, with what papermill set; BadInput for one that it does not have, or cannot use.

    cells: what was run so far, IPython's `In`. parameters: the globals as the parameters cell left them.
    """
    own = {name: parameters[name] for name in names_of(cells, parameters)}
    injected = set_by_papermill(cells)
    if unknown := sorted(injected.keys() - own.keys()):
        raise BadInput(f"unknown parameter {', '.join(unknown)}: this notebook has {', '.join(sorted(own))}")
    values = {name: "" if value is None and name in OPTIONAL else value for name, value in (own | injected).items()}
    for name, value in values.items():
        check_value(name, value)
    if "batch" in values:
        check_training(**values)
    if "rerun" in values:
        check_rerun(values["rerun"], values["scale"])
    return values


def names_of(cells: list[str], parameters: dict) -> list[str]:
    """Return the parameters that the parameters cell has, in its order; of several such cells the last one counts.

    A kernel that keeps no cells, as nbval's, has run nothing else: every global that may be a parameter is one.
    """
    own = [cell for cell in cells if cell.rstrip().endswith("\nPARAMETERS = dict(globals())")]
    if not own:
        return [name for name in parameters if name in ALLOWED]
    return [node.targets[0].id for node in ast.parse(own[-1]).body
            if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id in ALLOWED]


def set_by_papermill(cells: list[str]) -> dict:
    """Return the parameters that papermill set, by name. It runs a cell of its own, second, and that cell tells."""
    values: dict = {}
    for cell in cells[2:3]:
        if cell.startswith("# Parameters\n"):
            exec(cell, {}, values)
    return values


@contextmanager
def blaming(name: str, value: Any, wanted: str = ""):
    """Say in any error which parameter has which value, and what is wanted; an option is a parameter here."""
    try:
        yield
    except (OSError, ValueError) as error:  # a name of 300 characters is an OSError
        why = re.sub(r"(?<!\S)--(?=[a-z])", "", str(error)).removeprefix(f"{name}={value!r} is ")
        raise BadInput(f"{name} is {value!r:.200}: {'; '.join(filter(None, (wanted, why)))}") from None


def check_value(name: str, value: Any) -> None:
    """Raise BadInput if a parameter cannot have a value, whatever the others are."""
    allowed = ALLOWED[name]
    with blaming(name, value, f"this notebook wants {allowed.words}"):
        if not (value == "" and name in OPTIONAL or allowed.allow(value)):
            raise ValueError("papermill's -r passes digits as text" if allowed.kind is str and type(value) is int else "")


def check_training(images: int, faces: str, val: str, start: str, out: str, preset: str = "", minutes: float = 0.0,
                   resume: bool = False, **others) -> None:
    """Raise BadInput if the parameters of a training do not fit together. Its folder is taken as the training will."""
    kind = GANRecipe if "d_lr" in others else Recipe
    with blaming("images", images):
        if not images and not minutes:
            raise BadInput("the training would have no end: give 1 or more" + ", or minutes" * (kind is Recipe))
        given = {field.name: others[field.name] for field in fields(kind) if field.name in others}
        recipe = kind(**given, **({"images": images} if images else {"minutes": minutes}))
    sources = [{source._replace(n=0) for source in parse_all(text.split())} for text in (faces, val)]
    with blaming("val", val):
        if sources[0] & sources[1]:
            raise BadInput("these faces are trained on, too: give others")
    with blaming("start", start):
        if isinstance(recipe, GANRecipe) and not start:
            raise BadInput("a GAN starts from trained weights: give pocket")
        if start:
            start_weights(start, named(preset) if preset else None)
    with blaming("preset", preset):
        photographs = {source.kind for source in sources[0]} != {"synthetic"}
        if preset and photographs and "landmarks" in named(preset).priors and (problem := missing_network("landmarks")):
            raise BadInput(problem)
    if isinstance(recipe, GANRecipe):
        with blaming("perceptual", recipe.perceptual):
            missing_networks(replace(recipe, choose="psnr"))
    if resume and not out:
        raise BadInput("resume is True: give out, too, the folder of the run")
    if out:
        with blaming("out", out):
            RunFolder(out, resume).release()


def check_rerun(pattern: str, scale: str) -> None:
    """Raise BadInput if no run of a scale has such a name."""
    with blaming("rerun", pattern):
        if pattern:
            choose(runs(scale), pattern)
        elif scale != "smoke":
            raise BadInput(f"give the names of runs of scale {scale}, too")
