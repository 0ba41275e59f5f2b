"""Draw what the README and the site show: `python figures/make.py` from the committed weights, in seconds.

`python figures/make.py film FACES` trains a small AMINet on these faces, a folder or a zip, and films it.
`python figures/make.py parsing` draws Figure 9, which needs BiSeNet.
"""
from __future__ import annotations

import sys
from pathlib import Path

FIGURES = Path(__file__).resolve().parent
ROOT = FIGURES.parent
sys.path[:0] = [str(ROOT), str(ROOT / "notebooks")]

import matplotlib.pyplot as plt  # noqa: E402
import torch  # noqa: E402
from page import PART_COLOURS, picture_of, show  # noqa: E402
from PIL import Image, ImageDraw, ImageFont  # noqa: E402
from tqdm import tqdm  # noqa: E402

from aminet.baselines.registry import preset  # noqa: E402
from aminet.degrade import degrade, upsample  # noqa: E402
from aminet.faces.portraits import portraits  # noqa: E402
from aminet.faces.sources import open_faces  # noqa: E402
from aminet.faces.synthetic import faces  # noqa: E402
from aminet.protocol import PROTOCOLS, psnr, to_uint8  # noqa: E402
from aminet.train import Recipe, batch_of, fit, restore  # noqa: E402
from aminet.training.games import L1Game  # noqa: E402
from aminet.training.weights import load_weights  # noqa: E402


def first_face() -> None:
    """The README's picture: five faces, enlarged, restored and original."""
    plt.style.use(ROOT / "aminet" / "aminet.mplstyle")
    hr = torch.cat([torch.stack(list(portraits().values())), faces(3, 11)])
    names = ["Grace Hopper", "Eileen Collins", "synthetic", "synthetic", "synthetic"]
    lr = degrade(hr)
    results = {"bicubic": upsample(lr)}
    for label, name in (("AMINet", "pocket"), ("AMIGAN", "pocket-gan")):
        results[label] = restore(load_weights(name)[0], hr)
    captions = [[f"{value:.2f} dB" for value in psnr(images, hr, PROTOCOLS["paper"])] for images in results.values()]
    figure = show([list(images) for images in (lr, *results.values(), hr)], names,
                  ["input 16x16", *results, "original"], [[], *captions])
    figure.savefig(FIGURES / "first_face.png", dpi=144, metadata={"Software": None})


def before_and_after() -> None:
    """The two pictures under the site's slider: a portrait of 16x16 pixels, enlarged and restored."""
    hr = portraits()["collins"][None]
    for name, face in {"before": upsample(degrade(hr)), "after": restore(load_weights("pocket")[0], hr)}.items():
        large = Image.fromarray(picture_of(face[0])).resize((384, 384), Image.Resampling.BICUBIC)
        large.save(FIGURES / f"{name}.webp", quality=90)


def parsing() -> None:
    """Figure 9: two portraits, restored and original, and the parts that BiSeNet sees in them."""
    from aminet.metrics.parsing import parse

    hr = torch.stack(list(portraits().values()))
    rows = {"original": hr, "bicubic": upsample(degrade(hr))}
    rows |= {label: to_uint8(restore(load_weights(name)[0], hr)) for label, name in (
        ("AMINet", "pocket"), ("AMIGAN", "pocket-gan"))}
    picture = Image.new("RGB", (4 * 132, 4 * 132 + 20), "white")
    for column, (label, images) in enumerate(rows.items()):
        ImageDraw.Draw(picture).text((132 * column, 2), label, "black", ImageFont.load_default(14))
        for row, (face, parts) in enumerate(zip(images, parse(images))):
            for below, part in enumerate((picture_of(face), PART_COLOURS[parts])):
                picture.paste(Image.fromarray(part), (132 * column, 20 + 132 * (2 * row + below)))
    picture.save(FIGURES / "parsing.webp", quality=90)


def film(source: str, images: int = 2400, every: int = 80) -> None:
    """A training as a film of three faces that are not trained on: one picture for each `every` faces seen."""
    hr = torch.cat([torch.stack(list(portraits().values())), faces(1, 11)])
    recipe, (pool, _) = Recipe(images=images, batch=8, lr=1e-3, schedule="cosine"), open_faces([source])
    game, frames = L1Game(preset("pocket"), recipe), []

    def frame() -> None:
        sr = restore(game.network, hr)
        row = torch.cat([*sr], dim=-1)
        picture = Image.new("RGB", (768, 284), "white")
        picture.paste(Image.fromarray(picture_of(row)).resize((768, 256), Image.Resampling.NEAREST), (0, 28))
        words = f"after {len(frames) * every:,} faces: {psnr(sr, hr, PROTOCOLS['paper']).mean():.2f} dB"
        ImageDraw.Draw(picture).text((4, 2), words, "black", ImageFont.load_default(20))
        frames.append(picture)
        game.train()

    seen = []

    def on_step(values) -> bool:
        seen.append(values["loss"].item())
        if len(seen) * recipe.batch % every == 0:
            frame()
        return len(seen) * recipe.batch >= images

    frame()
    steps = tqdm(range(images // recipe.batch), desc="film", unit=" steps")
    fit(game, (batch_of(pool, step, recipe) for step in steps),
        lambda: recipe.factor(len(seen) * recipe.batch / images), on_step)
    frames[0].save(FIGURES / "training.webp", save_all=True, append_images=frames[1:], quality=60, method=6, loop=0,
                   duration=[800] + [250] * (len(frames) - 2) + [2500])


if __name__ == "__main__":
    if sys.argv[1:2] == ["film"]:
        film(*sys.argv[2:])
    elif sys.argv[1:2] == ["parsing"]:
        parsing()
    else:
        first_face()
        before_and_after()
