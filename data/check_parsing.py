"""Test the instrument of Figure 9: how well BiSeNet parses drawn faces, whose parts are known, and blurred originals.

    python data/check_parsing.py

Writes data/records/parsing-bisenet.json. Needs BiSeNet's file and validation faces (README.md says where they go).
"""
import sys
from pathlib import Path

import numpy as np
import torch

from aminet.errors import BadInput
from aminet.faces.sources import open_faces
from aminet.faces.synthetic import draw_faces
from aminet.metrics.parsing import PARTS, parse, part_iou
from aminet.paper.evaluate import networks_of
from aminet.paper.limits import blurred
from aminet.paper.records import made, seal, write_record

RECORD = Path(__file__).parent / "records" / "parsing-bisenet.json"
FACES = 30
SEED = 142
SIGMAS = (1, 1.5, 2)  # pixels of 128


def drawn_faces() -> dict:
    """Compare BiSeNet's parsing of drawn faces with the exact one."""
    faces = list(draw_faces(FACES, SEED))
    exact = np.stack([face.mask.numpy() for face in faces])
    found = parse(torch.stack([face.image for face in faces]))
    parts = np.zeros(19, int)  # of each class: left and right are one part
    for number, classes in enumerate(PARTS.values()):
        parts[list(classes)] = number
    return {"images": FACES, "seed": SEED, "iou": float(np.nanmean(part_iou(found, exact), axis=1).mean()),
            "pixels": float((parts[found] == parts[exact]).mean())}


def blurred_originals(source: str = "celeba_val.zip") -> dict:
    """Compare BiSeNet's parsing of blurred faces with that of the same faces, not blurred."""
    faces, about = open_faces([source])
    sharp, rows = parse(faces[:FACES]), []
    for sigma in SIGMAS:
        found = parse(blurred(faces[:FACES], sigma))
        rows.append({"sigma": sigma, "iou": float(np.nanmean(part_iou(found, sharp), axis=1).mean()),
                     "background": float((found == 0).mean())})
    return {"faces": {"sources": about["sources"], "images": FACES, "fingerprint": about["fingerprint"]},
            "background": float((sharp == 0).mean()), "rows": rows}


if __name__ == "__main__":
    try:
        record = {"kind": "parsing", "drawn": drawn_faces(), "blurred": blurred_originals()}
    except BadInput as error:
        sys.exit(f"check_parsing: {error}")
    record |= {"networks": networks_of(["iou"]), **made("python data/check_parsing.py")}
    print(write_record(seal(record), RECORD))
