"""Draw the README's picture, figures/first_face.png, from the committed weights: `python figures/make.py`."""
from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

import matplotlib.pyplot as plt  # noqa: E402
import torch  # noqa: E402

from aminet.degrade import degrade, upsample  # noqa: E402
from aminet.faces.portraits import portraits  # noqa: E402
from aminet.faces.synthetic import faces  # noqa: E402
from aminet.notebook import picture_of  # noqa: E402
from aminet.protocol import PROTOCOLS, psnr  # noqa: E402
from aminet.train import restore  # noqa: E402
from aminet.training.weights import load_weights  # noqa: E402


def main() -> None:
    plt.style.use(ROOT / "aminet" / "aminet.mplstyle")
    named = portraits()
    hr = torch.cat([torch.stack(list(named.values())), faces(3, 11)])
    names = ["Grace Hopper", "Eileen Collins", "synthetic", "synthetic", "synthetic"]
    lr = degrade(hr)
    bicubic = upsample(lr)
    networks = {"AMINet": "pocket", "AMIGAN": "pocket-gan"}
    restored = {label: restore(load_weights(name)[0], hr) for label, name in networks.items()}
    paper = PROTOCOLS["paper"]
    rows = [("input 16x16", lr.repeat_interleave(8, -1).repeat_interleave(8, -2), None),
            ("bicubic", bicubic, psnr(bicubic, hr, paper)),
            *((label, sr, psnr(sr, hr, paper)) for label, sr in restored.items()), ("original", hr, None)]
    figure, axes = plt.subplots(5, 5, figsize=(8.2, 8.7), layout="constrained")
    for line, (label, images, values) in zip(axes, rows):
        line[0].set_ylabel(label)
        for j, axis in enumerate(line):
            axis.imshow(picture_of(images[j]))
            axis.set(xticks=[], yticks=[])
            axis.grid(False)
            axis.spines[:].set_visible(False)
            if values is not None:
                axis.set_xlabel(f"{values[j]:.2f} dB")
    for axis, name in zip(axes[0], names):
        axis.set_title(name)
    figure.suptitle("8x face super-resolution, Y-PSNR under protocol `paper`. None of these faces was trained on",
                    fontsize=10)
    figure.savefig(ROOT / "figures" / "first_face.png", dpi=110, metadata={"Software": None})


if __name__ == "__main__":
    main()
