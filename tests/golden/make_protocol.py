"""Writes protocol.json: the metrics of one public-domain portrait and its bicubic x8, under every protocol.

Run it from the repository root only when a protocol changes on purpose: python tests/golden/make_protocol.py
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from skimage.data import astronaut

from aminet import protocol as P
from aminet.metrics import vif as V


def pair() -> tuple[torch.Tensor, torch.Tensor]:
    """(bicubic x8, original) of Eileen Collins' portrait (NASA), uint8 (1, 3, 128, 128), resized by PIL."""
    face = Image.fromarray(astronaut()[0:200, 130:330]).resize((128, 128), Image.BICUBIC)
    blurred = face.resize((16, 16), Image.BICUBIC).resize((128, 128), Image.BICUBIC)
    sr, hr = (torch.from_numpy(np.array(x)).permute(2, 0, 1)[None] for x in (blurred, face))
    return sr, hr


def values() -> dict:
    sr, hr = pair()
    rows = P.protocol_table(sr, hr)
    return {
        "table": {row["protocol"]: {"psnr": row["psnr"], "ssim": row["ssim"]} for row in rows},
        "vif": float(V.vif(sr, hr)[0]),
        "vifp": float(V.vifp(sr, hr)[0]),
    }


if __name__ == "__main__":
    path = Path(__file__).with_name("protocol.json")
    path.write_text(json.dumps(values(), indent=2) + "\n")
    print(path.read_text())
