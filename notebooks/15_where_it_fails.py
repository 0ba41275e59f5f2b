# %% [markdown]
# # 15 · Where it fails, and beyond
#
# Turned heads, poor light, noise, JPEG, a crop beside the face: which of them breaks the network first? What does a phone need? Whose faces come out worse, and what lies beyond this course?
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/15_where_it_fails.ipynb) · previous: [14 · Faces at work](14_faces_at_work.ipynb) · next: [A · Symbols and shapes](A_symbols_and_shapes.ipynb)
#
# Before this: the degradation in [01 · The problem](01_the_problem.ipynb), PSNR in [02 · Measuring a face](02_measuring_a_face.ipynb), LPIPS and identity in [Appendix A](A_symbols_and_shapes.ipynb#Words), intervals in [11 · Ablations](11_ablations.ipynb).
#
# You will be able to
#
# - **stress** a network fairly: the same faces at every level, and the gain over bicubic instead of PSNR;
# - **say** what takes AMINet's gain away, and where no number exists;
# - **quantise** a layer to int8 by hand, and tell where its error comes from;
# - **judge** whether a restoration treats people alike, and what nobody may read from a restored face.

# %% tags=["parameters"]
faces = "synthetic:14:2"  # faces to put under stress: folders and zips, also looked for in $AMINET_FACES; or synthetic:N:SEED
network = "pocket"  # the weights to stress: ours by name, or a file
records = ""  # folder of records; empty: the course's own
PARAMETERS = dict(globals())

# %% tags=["setup"]
import sys
from pathlib import Path

if "google.colab" in sys.modules and not Path("exercises.py").exists():  # fetch the course
    get_ipython().system("git clone -q -c advice.detachedHead=false --depth 1 -b v0.2.0 "
                         "https://github.com/aminet-course/aminet /content/aminet "
                         "&& pip install -q -r /content/aminet/notebooks/colab.txt")
    get_ipython().run_line_magic("cd", "-q /content/aminet/notebooks")
places = [folder / name for folder in (Path.cwd(), *Path.cwd().parents) for name in ("", "notebooks")]
place = next((place for place in places if (place / "exercises.py").exists() and (place / "page.py").exists()), None)
if not place:
    raise FileNotFoundError("start in a folder of the course's clone (papermill: --cwd notebooks; Colab: see above)")
sys.path[:0] = [str(place), str(place.parent)]
from page import begin

begin(globals(), PARAMETERS)

# %% tags=["imports"]
from io import BytesIO
from math import inf

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import nn

from aminet import degrade as package
from aminet.degrade import degrade, send, to_float, upsample
from aminet.errors import BadInput
from aminet.faces.sources import open_faces
from aminet.faces.synthetic import faces as draw_faces
from aminet.files import DATA
from aminet.metrics.statistics import paired_difference, student_interval, summary
from aminet.paper.limits import STRESSES, breaks, under
from aminet.paper.records import read_record
from aminet.protocol import PROTOCOLS, psnr, to_uint8
from aminet.train import restore
from aminet.training.weights import load_weights
from exercises import check
from page import explore, show, table

RECORDS = Path(records or DATA / "records")
SCORES = {"cosine": 3, "rank1": 1, "verified": 1}  # of recognition, with their digits
PAPER = PROTOCOLS["paper"]


def sure(found, digits=2):
    """A mean with its 95 % interval, as text."""
    text = "{mean:+.{d}f} [{low:+.{d}f}, {high:+.{d}f}]".format(d=digits, **found)
    return text.replace("-", "−")

# %% [markdown]
# ## What the paper says of its limits
#
# > "The model's robustness to extreme poses at very low resolutions, such as side profiles, and its ability to handle challenging lighting conditions, including low-light and overexposed environments, require further improvement. Moreover, […] it remains insufficient for deployment on mobile devices." (Sec. V)
#
# Pose, light, mobile devices: the paper names three limits, and has no number for any of them. We measure them as far as we can. We also measure what else a user meets: blur, noise, JPEG, a crop that misses the face. Each is a **stress** with levels. It changes one of four things:
#
# - the **scene**, of a drawn face: the truth changes with it;
# - the **frame** of 128×128 pixels: the truth changes, too;
# - the **photo**: the same picture, but the truth stays the good one;
# - the **input** of 16×16 pixels, alone.

# %%
PLACES = {"scene": "scene", "frame": "frame", "photo": "photo", "input": "input", "choice": "which faces"}
table([[name, stress.words.replace("`", ""), PLACES[stress.on], ", ".join(f"{level:g}" for level in stress.levels), stress.unit]
       for name, stress in STRESSES.items()], ["stress", "what a user meets", "changes", "levels", "unit"])

# %% [markdown]
# **The same faces stand at every level.** Then a change belongs to the stress and not to other people. Only `turn` takes other faces, because nobody can turn the heads in a photograph.
#
# **The gain counts, not PSNR.** In a dark photo all errors are small, so PSNR rises although nothing became better. Bicubic interpolation gets the same input and has the same advantage. The **gain** is the network's PSNR minus that of bicubic.

# %%
def limits_of(weights, where):
    """The record of a network's limits on some faces; None if it is not here."""
    path = RECORDS / f"limits-{weights}-{where}.json"
    return read_record(path) if path.exists() else None


NAMES = {"AMINet": "pocket", "AMIGAN": "pocket-gan"}
PHOTOS, DRAWN, TURNED = ({name: limits_of(weights, where) for name, weights in NAMES.items()}
                         for where in ("celeba_test", "synthetic_40_2", "celeba_test+flickr_test"))
if not all(record for records_of in (PHOTOS, DRAWN, TURNED) for record in records_of.values()):
    raise BadInput(f"records is {records!r}: no limits of pocket and pocket-gan in it; empty, the course's own are read")

rows = PHOTOS["AMINet"]["stresses"]["dark"]["rows"]
table([[f"{row['level']:g} stops darker", row["means"]["bicubic_psnr"]["mean"], row["means"]["psnr"]["mean"],
        sure(row["gain"]["psnr"])] for row in rows],
      [f"{rows[0]['images']} photographs", "bicubic, dB", "AMINet, dB", "gain [95 %]"])

# %% [markdown]
# Four stops darker is a sixteenth of the light. AMINet's PSNR rises by almost 10 dB, and its gain falls by more than a third.
#
# ## One face under stress
#
# `under` gives the truth and the input at a level, (N, 3, 128, 128) and (N, 3, 16, 16). For the records below, these few lines were run for many faces. Above each column stands the gain of this face.

# %%
hr, _ = open_faces(faces.split())
net, _ = load_weights(network)


def at(name, level, person=slice(None)):
    """Input, bicubic, AMINet and truth of some faces under a stress, and the gain of each in dB."""
    truth, lr = under(STRESSES[name], level, hr[person])
    up, sr = upsample(lr), to_uint8(restore(net, lr))
    return lr, up, sr, truth, psnr(sr, truth, PAPER) - psnr(up, truth, PAPER)


def strip(name, person=0):
    """One face at all levels of a stress: a column for each."""
    levels = STRESSES[name].levels
    results = [at(name, level, slice(person, person + 1)) for level in levels]
    lr, up, sr, truth, gain = zip(*results)
    titles = [f"{name} {level:g}\n{float(x[0]):+.1f} dB".replace("-", "−") for level, x in zip(levels, gain)]
    rows = [[x[0] for x in column] for column in (lr, up, sr, truth)]
    if STRESSES[name].on in ("photo", "input"):
        rows[-1][1:] = [None] * (len(levels) - 1)  # the truth is the same at every level
    figure = show(rows, titles, ["input", "bicubic", "AMINet", "truth"])
    figure.set_label(f"one face under {name}, level by level: input, bicubic, AMINet with its gain, truth")
    plt.show()


for name in ("jpeg", "noise", "blur", "roll"):
    strip(name)

# %% [markdown]
# JPEG and noise lie on the input alone, and AMINet draws them as if they were features. With noise of 20 levels it is worse than bicubic on this face. Blur takes away what 16×16 pixels could have kept: the result is smooth, without false features. A face on its side still gains, though AMINet has learned levelled faces alone.
#
# If you run this notebook yourself, you choose stress, level and face here:

# %%
def one(stress="smaller", percent=100, person=0):
    """One face under one stress; percent: from the easiest level, 0, to the hardest, 100."""
    first, last = STRESSES[stress].levels[0], STRESSES[stress].levels[-1]
    level = first + (last - first) * percent / 100
    lr, up, sr, truth, gain = at(stress, level, slice(person, person + 1))
    figure = show([[lr[0], up[0], sr[0], truth[0]]], ["input", "bicubic", "AMINet", "truth"],
                  captions=[[f"{stress} {level:.3g}", "", f"{float(gain[0]):+.1f} dB".replace("-", "−")]])
    figure.set_label(f"one face under {stress} {level:.3g}: input, bicubic, AMINet, truth")
    plt.show()


pictures = [name for name, stress in STRESSES.items() if stress.on in ("frame", "photo", "input")]
explore(one, stress=pictures, percent=(0, 100, 5), person=(0, len(hr) - 1))

# %% [markdown]
# ### Exercise 1: write a stress
#
# *Level 1, 10 minutes.* Write `noisy_faces(images, sigma)`. It adds Gaussian noise of `sigma` levels of 255 to uint8 pictures (N, 3, H, W). It returns new pictures, rounded, uint8. Every value has noise of its own, in every face and colour. Every call gives the same noise: then two networks meet the same pictures. With another sigma it is the same noise, only stronger or weaker. Leave torch's own random numbers as they are.
#
# The check compares nine values, most of them on grey pictures:
#
# - 0, 1, 2: the noise's mean and spread in units of sigma, and the share of it within one sigma;
# - 3: is a second call the same? 4: were torch's own random numbers left alone? (1 is yes)
# - 5, 6, 7: how alike the noise is of two faces, of two colours, and of sigma and 2 sigma;
# - 8: how much of a white picture stays bright.

# %% tags=["exercise"]
def noisy_faces(images: torch.Tensor, sigma: float) -> torch.Tensor:
    """Add Gaussian noise of `sigma` levels, the same at every call. uint8 (N, 3, H, W) -> the same."""
    ...  # your turn


passed = check("15.1", noisy_faces)

# %% tags=["solution"]
def noisy_faces(images: torch.Tensor, sigma: float) -> torch.Tensor:
    own = torch.Generator().manual_seed(0)
    noise = torch.randn(images.shape, generator=own)
    return (images + sigma * noise).round().clamp(0, 255).to(torch.uint8)


passed = check("15.1", noisy_faces)

# %% [markdown]
# ## What breaks first
#
# Now many faces. The records hold every level of every stress, for AMINet, AMIGAN and bicubic. Before you look, guess: which three stresses cost most?

# %% tags=["plot"]
WORDS = {"psnr": "PSNR, dB", "lpips": "LPIPS", "identity": "identity", "iou": "mean IoU"}


def curves(measured, metric, names, part="means", columns=5):
    """A metric over the levels of each stress, a panel for each; harder is to the right. Bands: 95 % over people."""
    lines = -(-len(names) // columns)
    figure, axes = plt.subplots(lines, columns, sharey=True, squeeze=False, layout="constrained",
                                figsize=(2 * columns, 2 * lines + 0.4))
    for axis, name in zip(axes.flat, names):
        drawn_curves = [(title, record["stresses"][name], metric) for title, record in measured.items()]
        if part == "means":
            drawn_curves.append(("bicubic", measured["AMINet"]["stresses"][name], f"bicubic_{metric}"))
        else:
            axis.axhline(0, color="C5", label="bicubic")
        for colour, (title, stress, key) in zip(("C0", "C1", "C5"), drawn_curves):
            found = [(row["level"], row[part][key]) for row in stress["rows"] if key in row.get(part, {})]
            levels = [level for level, _ in found]
            mean, low, high = ([value[end] for _, value in found] for end in ("mean", "low", "high"))
            axis.plot(levels, mean, "o-", ms=3, color=colour, label=title)
            axis.fill_between(levels, low, high, color=colour, alpha=0.15, lw=0)
        axis.set(title=name, xlabel=measured["AMINet"]["stresses"][name]["unit"])
        if STRESSES[name].levels[0] > STRESSES[name].levels[-1]:
            axis.invert_xaxis()
    for axis in axes.flat[len(names):]:
        axis.set_visible(False)
    for axis in axes[:, 0]:
        axis.set_ylabel(("gain in " if part == "gain" else "") + WORDS[metric])
    figure.legend(*axes.flat[0].get_legend_handles_labels(), loc="outside upper center", ncols=3)
    plt.show()


HARD = ("jpeg", "noise", "blur", "dark", "bright", "roll", "smaller", "larger", "shift")
curves(PHOTOS, "psnr", HARD, "gain")

# %% [markdown]
# Above the grey line a network is better than bicubic. Three curves fall to it or near it: JPEG, noise, blur. The other six stresses leave AMINet more than half of its gain.

# %%
rows = []
for name, record in PHOTOS.items():
    for row in breaks(record):
        places = [row[key] for key in ("halved", "gone", "other")]
        rows.append([row["stress"], name, row["unit"], row["first"], row["last"],
                     *("never" if place is None else f"{place:.2g}" for place in places)])
rows.sort(key=lambda row: HARD.index(row[0]))
table(rows, ["stress", "network", "unit", "gain, dB", "at the last level", "half is lost at", "all is lost at",
             "identity −0.1 at"])
for name, record in PHOTOS.items():
    for row in record["stresses"]["jpeg"]["rows"][:3]:
        print(f"{name}, JPEG quality {100 - row['level']:g}".replace("quality 100", "not used") + ": "
              f"gain {sure(row['gain']['psnr'])} dB; identity {sure(row['gain']['identity'], 3)} over bicubic's")

# %% [markdown]
# **JPEG and noise take all of the gain, and blur nearly all.** JPEG needs no harsh level. At quality 90 almost half of AMINet's gain is lost, and its identity is no longer above bicubic's. At 75, with which Pillow saves by default, a seventh of the gain is left, and identity is below bicubic's. **A shift costs little.** "Never" means: not within these levels. No number compares levels of noise with pixels of blur: what breaks first is our judgement. The last column is the level at which identity has fallen by 0.1. JPEG's level is 100 − quality.
#
# JPEG and noise lie on the 16×16 pixels themselves. JPEG works in blocks of 8×8 pixels, and of colour it keeps half of the pixels in each direction. So a face of 16 by 16 pixels is four blocks of brightness, and one for each of two colours. What each of these errors becomes on its way through the network, on our drawn faces:

# %%
def size(change):
    """The root of the mean square of a change, in levels of 255."""
    return float(change.double().square().mean().sqrt())


some = slice(6)
clean = at("noise", 0, some)
rows = []
for name, level in (("noise", 5), ("jpeg", 10), ("jpeg", 25)):
    now = at(name, level, some)
    changes = [size(after.double() - before.double()) for before, after in zip(clean[:3], now[:3])]
    rows.append([f"{name} {level}", *changes, changes[2] / changes[0]])
table(rows, ["levels of 255, root mean square", "change of the input", "of bicubic", "of AMINet", "AMINet / input"])

# %% [markdown]
# Bicubic interpolation averages neighbours, so the error shrinks. AMINet enlarges it: on clean faces every difference between pixels was a feature.

# %%
for metric in ("lpips", "identity", "iou"):
    curves(PHOTOS, metric, ("jpeg", "noise", "blur", "roll", "smaller"))

# %% [markdown]
# LPIPS is better when lower, identity and IoU when higher. By LPIPS AMIGAN leads at every level shown here. By identity AMINet is above AMIGAN at all of them, and from JPEG 25 (quality 75) on both are below bicubic. **A face that looks good may be that of somebody else.**
#
# The mean IoU says whether BiSeNet finds the same parts as in the truth, and it needs sharp edges ([chapter 14](14_faces_at_work.ipynb)). **AMINet's parts go sooner than its gain, AMIGAN's often stay longer.** With a crop turned by 20 degrees AMINet keeps 71 % of its gain and 25 % of its IoU; AMIGAN keeps 68 % and 79 %. (Under roll, identity and IoU are measured on the face turned back, for their networks misread turned faces.)
#
# <details><summary>What these stresses are not</summary>
#
# - JPEG and noise lie on the aligned face. A photograph is compressed before a face is cut out of it, on another grid of blocks.
# - `dark` and `bright` scale the light. A dark photo has noise, too.
# - In a crop that is too wide, half of the picture can be mirrored border. It counts in PSNR as the face does.
# - `smaller`, `larger` and `shift` move the face out of the place that the networks behind identity and IoU know. A part of the fall is theirs: bicubic's identity falls, too.
#
# </details>
#
# ### Pose and light, the paper's own limits
#
# A drawn head can be turned to 35 degrees, and lit as we like:

# %%
curves(DRAWN, "psnr", ("yaw", "light", "strength", "skin"), "gain", columns=4)
curves(DRAWN, "iou", ("yaw", "light", "strength", "skin"), columns=4)
rows = []
for level, *found in zip(STRESSES["turn"].levels, *(record["stresses"]["turn"]["rows"] for record in TURNED.values())):
    gains = [sure(row["gain"]["psnr"]) if "gain" in row else "no number" for row in found]
    rows.append([f"from {level:g} degrees", found[0]["images"], *gains])
table(rows, ["photographs, turned", "faces", *(f"gain of {name}, dB" for name in TURNED)])
print("faces searched:", f"{TURNED['AMINet']['faces']['images']:,}")


def changes(names):
    """A table of how the gains over bicubic change from the first level of some stresses to the last one, paired."""
    rows = []
    for name in names:
        for network, record in DRAWN.items():
            row = record["stresses"][name]["rows"][-1]
            rows.append([f"{name} {row['level']:g}", network, sure(row["gain_change"]["psnr"]),
                         *(sure(row["gain_change"][metric]) for metric in ("lpips", "identity", "iou"))])
    table(rows, [f"gains of {record['faces']['images']} people", "network", *(f"{name}, change [95 %]" for name in (
        "PSNR, dB", "LPIPS", "identity", "mean IoU"))])


changes(("yaw", "light", "strength"))

# %% [markdown]
# **By PSNR, no loss is seen at 35 degrees**, and at 21 the gain is even a little higher. **By the parts a turn costs much**: AMINet's IoU falls from 0.12 to 0.05, AMIGAN's from 0.42 to 0.27, and LPIPS gets worse over bicubic. A turn also makes some parts smaller, and small parts are harder to hit. So the measure itself may make up some of the fall. Identity rises a little over bicubic's; why, we have not tested.
#
# Light from one lamp costs less than 0.3 dB of the gain. A lamp at the side even raises it a little, though the IoU falls. In photographs the gains up to 45 degrees have intervals that overlap, but each is of other people, from two sets. Their yaw is read from landmarks, which find it 15 % too small on drawn heads.
#
# **Beyond 45 degrees there is no number.** Only one of 1,330 photographs is turned so far. Each of them was aligned by two visible eyes, and a profile shows one. What the paper says of side profiles can neither be confirmed nor refuted here. A set without hard cases makes every method look robust.
#
# ### Exercise 2: where is the gain gone?
#
# *Level 2, 15 minutes.* Write `gone(levels, gains)`: the level at which the gain first is no longer above 0. Between two measured levels the curve is a straight line. If the gain is not above 0 at the first level, return that level; if it never falls to 0, return `math.inf`. The check scans each curve in two million steps.

# %% tags=["exercise"]
def gone(levels: list[float], gains: list[float]) -> float:
    """Return the level at which the gain is gone first; inf if it never is. Levels rise."""
    ...  # your turn


passed = check("15.2", gone)

# %% tags=["solution"]
def gone(levels, gains):
    if gains[0] <= 0:
        return levels[0]
    for i in range(len(levels) - 1):
        high, low = gains[i], gains[i + 1]
        if low <= 0:
            return levels[i] + (levels[i + 1] - levels[i]) * high / (high - low)
    return inf


passed = check("15.2", gone)

# %% [markdown]
# ## Training on poor cameras
#
# A network does what it was trained for. So train it on poor pictures, too: `train --robust` gives each face a camera of its own. First the three things that a camera does. Blur is a product with two matrices, as the resizing of [chapter 01](01_the_problem.ipynb) is:

# %%
def blur_matrix(sigma: torch.Tensor, size: int) -> torch.Tensor:
    pixel = torch.arange(size, device=sigma.device)
    weights = torch.exp(-0.5 * ((pixel[:, None] - pixel) / sigma[:, None, None].clamp_min(1e-3)) ** 2)
    return weights / weights.sum(-1, keepdim=True)


def jpeg(image: torch.Tensor, quality: int) -> torch.Tensor:
    import numpy as np
    from PIL import Image

    file = BytesIO()
    Image.fromarray(image.permute(1, 2, 0).numpy()).save(file, "JPEG", quality=quality)
    return torch.from_numpy(np.array(Image.open(file))).permute(2, 0, 1)


def worsen(hr: torch.Tensor, blur: torch.Tensor, noise: torch.Tensor, quality: torch.Tensor,
           generator: torch.Generator) -> torch.Tensor:
    spread = blur_matrix(send(blur, hr.device), hr.shape[-1])[:, None]
    lr = degrade((spread @ hr.float() @ spread.transpose(-2, -1)).round().to(torch.uint8)).cpu()
    lr = lr + torch.randn(lr.shape, generator=generator) * noise[:, None, None, None]
    lr = lr.round().clamp(0, 255).to(torch.uint8)
    return send(torch.stack([jpeg(x, int(q)) if q <= 95 else x for x, q in zip(lr, quality)]), hr.device)

# %% [markdown]
# The order is that of a camera: the lens blurs, the sensor adds noise, the file is compressed. Then each face of a batch draws a camera. Each disturbance is off for half of the faces, so that the network still sees clean ones.

# %%
def cameras(b: int, generator: torch.Generator) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    share = torch.rand(3, b, generator=generator) * (torch.rand(3, b, generator=generator) < 0.5)
    return share[0] * 6, share[1] * 12, torch.where(share[2] > 0, 95 - share[2] * 65, 100)


def camera_input(hr: torch.Tensor, generator: torch.Generator, enlarged: bool = True) -> torch.Tensor:
    lr = worsen(hr, *cameras(len(hr), generator), generator)
    return to_float(upsample(lr) if enlarged else lr)


def seeded(seed=0):
    return torch.Generator().manual_seed(seed)


nothing = torch.zeros(len(hr))
assert torch.equal(worsen(hr, nothing, nothing, nothing + 100, seeded()), degrade(hr))     # no disturbance: Sec. IV-A
assert torch.equal(camera_input(hr, seeded(3)), package.camera_input(hr, seeded(3)))       # the package's
many = cameras(100_000, seeded())
clean_share = ((many[0] == 0) & (many[1] == 0) & (many[2] == 100)).double().mean()
print(f"faces with no disturbance at all: {100 * clean_share:.1f} %, by chance 1/8 = 12.5 %")

# %% [markdown]
# One face by six cameras, and the network that was trained on clean faces alone:

# %%
six = hr[:1].expand(6, -1, -1, -1)
blur, noise, quality = cameras(6, seeded(5))
poor = worsen(six, blur, noise, quality, seeded(5))
titles = [f"blur {b:.1f}\nnoise {n:.0f}\n" + (f"JPEG {int(q)}" if q <= 95 else "no JPEG")
          for b, n, q in zip(blur, noise, quality)]
figure = show([list(poor), list(upsample(poor)), list(restore(net, poor))], titles, ["input", "bicubic", "AMINet"])
figure.set_label("one face by six cameras: input, bicubic, and the network that learned from clean faces")
plt.show()

inputs = {"clean": degrade(hr), "by cameras": worsen(hr, *cameras(len(hr), seeded()), seeded())}
rows = []
for name, lr in inputs.items():
    bicubic, ours = psnr(upsample(lr), hr, PAPER), psnr(restore(net, lr), hr, PAPER)
    rows.append([name, float(bicubic.mean()), float(ours.mean()), sure(paired_difference(ours, bicubic))])
table(rows, [f"{len(hr)} faces", "bicubic, dB", "AMINet, dB", "gain [95 %]"])

# %% [markdown]
# **What to expect.** This is a guess before the measurement. A robust network cannot know which camera took its input. Where noise and detail look the same, it must mistrust both. So it should win on poor input, and lose a little on clean input. The record tells how much, once it is measured:

# %%
def trained(names, file):
    """The records of some trainings by their names; none if one of them is not here."""
    paths = {name: RECORDS / file.format(name) for name in names}
    here = all(path.exists() for path in paths.values())
    return {name: read_record(path) for name, path in paths.items()} if here else {}


CLEAN, ROBUST = ([f"{name}-mini-{seed}" for seed in range(3)] for name in ("aminet", "aminet-robust"))
plain, robust = (trained(names, "{}-celeba_test-paper.json") for names in (CLEAN, ROBUST))
if plain and robust:
    means = {metric: np.array([[found["means"][metric]["mean"] for found in group.values()] for group in (plain, robust)])
             for metric in ("psnr", "ssim", "lpips")}
    rows = [[metric, *found.mean(1), sure(student_interval(found[1] - found[0]), 3)] for metric, found in means.items()]
    table(rows, [f"{plain[CLEAN[0]]['faces']['images']:,} clean faces, 3 trainings", "trained on clean", "on poor, too",
                 "change, over trainings [95 %]"], digits=3)
else:
    print(f"pending: python -m aminet reproduce --scale mini --only {' '.join(ROBUST)} --test celeba_test.zip")

if stressed := trained([CLEAN[0], *ROBUST], "limits-{}-celeba_test.json"):
    clean, rows = stressed[CLEAN[0]], []
    for name, stress in clean["stresses"].items():
        for row, poor, *others in zip(*(record["stresses"][name]["rows"] for record in stressed.values())):
            means = [f"{other['gain']['psnr']['mean']:+.2f}".replace("-", "−") for other in others]
            rows.append([name, f"{row['level']} {stress['unit']}", sure(row["gain"]["psnr"]), sure(poor["gain"]["psnr"]),
                         ", ".join(means)])
    table(rows, [f"gain of {clean['faces']['measured']} faces, dB", "level", "trained on clean [95 %]",
                 "on poor, too [95 %]", "its other trainings"])
if videos := trained([CLEAN[0], *ROBUST], "{}-video_probe-paper.json"):
    table([[name, *(sure(record["gain"][score], digits) for score, digits in SCORES.items())]
           for name, record in videos.items()],
          [f"{videos[CLEAN[0]]['faces']['images']} video faces, over bicubic [95 %]", *SCORES])

# %% [markdown]
# **The guess holds in part.** By PSNR all three robust networks win on very poor pictures: clearly from a blur of 4 pixels, noise of 20 levels and JPEG 50 on. They lose on mildly poor ones, and 0.6 of 1.6 dB on clean ones. By LPIPS they are worse at every level of noise. The clean network under stress is one training.
#
# **On the video faces of [chapter 14](14_faces_at_work.ipynb) they gain nothing.** No measure is clearly above bicubic, and *verified* is clearly below it in two of three trainings. These faces were reduced to 16×16 first, which averages most noise and JPEG away. So they may be no test of poor cameras.

# %% [markdown]
# ## On a phone
#
# The third limit: "insufficient for deployment on mobile devices". We have no phone here. What can be measured on a CPU is the size of the file, the time of one face, and what a smaller number format costs:

# %%
path = RECORDS / "export-pocket-cpu.json"
if path.exists():
    record = read_record(path)
    table([[row["network"], row["bytes"] / 1e6, *(1e3 * row["threads"][n] for n in "12"), row["ratio"],
            row["memory"] / 1e6, 127.5 * row["max_error"], round(row["psnr_cost"], 3) + 0.0] for row in record["rows"]],
          ["AMINet (pocket)", "MB", "ms, 1 thread", "2 threads", "times as fast", "memory, MB", "largest error, levels",
           "PSNR cost, dB"], digits={"PSNR cost, dB": 3, "ms, 1 thread": 0, "2 threads": 0, "memory, MB": 0})
    print(f"{record['machine']['cpu']}, {record['examined']} validation faces")
    table([[part["kind"], part["convolutions"], 127.5 * part["error"], part["psnr_cost"]] for part in record["int8_costs"]],
          ["int8 alone in", "convolutions", "error, levels, root mean square", "PSNR cost, dB"], digits={"PSNR cost, dB": 4})
else:
    print("pending: python -m aminet export pocket pocket.onnx --precision int8 --compare --faces celeba_train_0.zip "
          "--val celeba_val.zip")

# %% [markdown]
# ONNX is a file format for networks, which phones read, too. **int8** keeps each weight of a convolution as a whole number from −127 to 127, with a common scale. A weight then takes a quarter of the bytes of float32; the rest of the file stays as it is. The features become whole numbers, too. Plain `int8` measured their ranges before, on training faces; `dynamic` measures them anew for every face.
#
# **A small file is not a fast network.** On this CPU float32 is the fastest in ONNX, and int8 the smallest. fp16 halves the file, and its cost in PSNR rounds to nothing. A phone with units for int8 may be another matter: only its own measurement counts. Most of int8's squared error comes from 14 of 238 convolutions, at both ends and between the scales. Alone they make a third of its cost in PSNR. The speed depends on the threads: with one, ONNX is 1.3 times as fast as `torch`, with two 1.9 times.
#
# <details><summary>What the numbers are of</summary>
#
# `pocket` has 8 channels and 1.06 M parameters. The paper's size, with 12.62 M, takes twelve times the bytes. The `torch` file is in fp16, which is why ONNX in float32 is twice as large. `torch faster` computes the same in fewer steps. Times are medians, memory is how much a fresh process grows, and "times as fast" is with two threads. The errors are those against `torch`.
#
# </details>
#
# Where does the error of int8 come from, weights or features? We quantise either of them, in all convolutions. The weights get one scale for a whole tensor, or one for each output channel.

# %%
def quantised(bits, way):
    """A copy of the network; its convolutions take weights or features of so many bits, by torch's own quantisation."""
    copy, last = load_weights(network)[0], 2 ** (bits - 1) - 1

    def features(layer, inputs):
        if bits == 8:
            outer.append(float((inputs[0].abs() > inputs[0].abs().max() / 2).double().mean()))
        low, high = (min(float(inputs[0].min()), 0), max(float(inputs[0].max()), 0))
        step = (high - low) / (2 * last + 1)
        return torch.fake_quantize_per_tensor_affine(inputs[0], step, round(-low / step), 0, 2 * last + 1)

    for layer in copy.modules():
        if isinstance(layer, nn.Conv2d) and way == "features":
            layer.register_forward_pre_hook(features)
        elif isinstance(layer, nn.Conv2d):
            weight = layer.weight.data
            each, zero = weight.abs().flatten(1).amax(1) / last, torch.zeros(len(weight), dtype=torch.int32)
            one = torch.full_like(each, float(each.max()))
            scale = one if way == "weights by tensor" else each
            layer.weight.data = torch.fake_quantize_per_channel_affine(weight, scale, zero, 0, -last, last)
    return copy


few, outer = hr[:4], []
exact, changed, shown = restore(net, few), {}, {"exact": restore(net, few[:1])[0]}
for way in ("weights by tensor", "weights by channel", "features"):
    for bits in (8, 4):
        sr = restore(quantised(bits, way), few)
        changed[way, bits] = 127.5 * size(sr - exact)
        shown[f"{way}\n{bits} bits"] = sr[0]
table([[way, *(changed[way, bits] for bits in (8, 4))] for way in ("weights by tensor", "weights by channel", "features")],
      [f"change of {len(few)} faces, levels of 255", "8 bits", "4 bits"])
figure = show([list(shown.values())[:1] + list(shown.values())[2::2]], list(shown)[:1] + list(shown)[2::2])
figure.set_label("one face, exact and with 4 bits: weights by tensor, weights by channel, features")
plt.show()
print(f"features beyond half of their map's largest: {100 * np.mean(outer):.1f} %, the mean of all convolutions")

# %% [markdown]
# At 8 bits the change is below a third of a level, as a root mean square. The plain int8 file above has 0.9; a likely reason is that its ranges were set before, on other faces. Single pixels change by more: by 13 levels at most in the ONNX file above. **The features make the larger part of it.** A likely reason: only 4 % of them exceed half of their map's largest, and one scale must serve the whole map. A scale for each channel makes the error of the weights smaller, and costs one number a channel. At 4 bits the change can be seen.
#
# ### Exercise 3: int8 by hand
#
# *Level 2, 15 minutes.* Write `int8(weight, by_channel)` for a convolution's weight (out, in, k, k). The scale is the largest absolute value divided by 127, of the whole tensor or of each output channel. Divide by it, round to the nearest code, and multiply back. The check compares every weight with torch's own quantisation. Then compare the errors of one layer, `net.downs[0][0].weight`.

# %% tags=["exercise"]
def int8(weight: torch.Tensor, by_channel: bool) -> torch.Tensor:
    """Return the weights that int8 can hold, as floats. (out, in, k, k) -> the same."""
    ...  # your turn


passed = check("15.3", int8)

# %% tags=["solution"]
def int8(weight: torch.Tensor, by_channel: bool) -> torch.Tensor:
    largest = weight.abs().amax((1, 2, 3), keepdim=True) if by_channel else weight.abs().max()
    scale = largest / 127
    return (weight / scale).round() * scale


passed = check("15.3", int8)
weight = net.downs[0][0].weight.detach()
for way in ("tensor", "channel"):
    error = (int8(weight, way == "channel") - weight).square().mean().sqrt()
    print(f"by {way}: the error is {1e3 * error:.3f} thousandths, the weights' spread {1e3 * weight.std():.1f}")

# %% [markdown]
# ## Equal quality for everybody?
#
# A mean over people hides whom a method serves worse. With photographs this is hard to ask: pictures of other people also differ in light, camera and pose. Drawn people can be given another skin, and nothing else changes.

# %%
tones = torch.cat([draw_faces(1, 2, skin=tone) for tone in (0, 0.5, 1)])
figure = show([list(tones), list(restore(net, tones))], ["skin 0", "skin 0.5", "skin 1"], ["truth", "AMINet"])
figure.set_label("the same drawn person with light, medium and dark skin: truth, AMINet")
plt.show()

rows = []
for name, record in DRAWN.items():
    for row in record["stresses"]["skin"]["rows"][::2]:  # every second level
        means = row["means"]
        rows.append([name, f"{row['level']:g}", means["bicubic_psnr"]["mean"], means["psnr"]["mean"], row["gain"]["psnr"]["mean"],
                     means["lpips"]["mean"], means["identity"]["mean"]])
table(rows, [f"{record['faces']['images']} people", "skin", "bicubic, dB", "PSNR, dB", "gain, dB", "LPIPS", "identity"],
      digits={"LPIPS": 3, "identity": 3})

changes(["skin"])

# %% [markdown]
# **By PSNR alone, dark skin is served better. That is misleading.** Dark pixels have small errors in any method, and bicubic's PSNR rises by more. With dark skin both networks *gain* less over bicubic: in PSNR, in LPIPS, and in IoU. In identity AMINet gains a little less, too; AMIGAN's gain may have changed by chance. So always put a baseline beside a mean, and a second metric beside PSNR.
#
# **How far this reaches.** These are 40 drawn people with one painted skin each, and two networks. LPIPS, identity and IoU are measured by networks, whose training sets we have not examined. Part of the difference may be theirs. Our copies of the photographs have no labels of groups: nothing says skin, gender or age. To guess them by another network would measure that network, too.
#
# ### Exercise 4: the same people twice
#
# *Level 2, 15 minutes.* You get PSNRs of the same n people with light and with dark skin. Write `errors(light, dark)`. It returns three numbers: the mean change, dark − light; the standard error of it, as the pairs they are; the same for 2n different people. Standard deviations of samples divide by n − 1.

# %% tags=["exercise"]
def errors(light: list[float], dark: list[float]) -> tuple[float, float, float]:
    """Return the mean change, its paired and its unpaired standard error."""
    ...  # your turn


passed = check("15.4", errors)

# %% tags=["solution"]
def errors(light, dark):
    change = np.subtract(dark, light)
    n = len(change)
    paired = change.std(ddof=1) / n**0.5
    unpaired = ((np.var(light, ddof=1) + np.var(dark, ddof=1)) / n) ** 0.5
    return change.mean(), paired, unpaired


passed = check("15.4", errors)

# %% [markdown]
# The same question on the faces drawn above, restored now:

# %%
def scores(images):
    """PSNR of bicubic and of AMINet, a number for each face."""
    lr = degrade(images)
    return psnr(upsample(lr), images, PAPER), psnr(restore(net, lr), images, PAPER)


(bicubic_light, sr_light), (bicubic_dark, sr_dark) = (scores(draw_faces(14, 2, skin=tone)) for tone in (0, 1))
rows = []
for name, a, b in (("PSNR", sr_light, sr_dark), ("gain", sr_light - bicubic_light, sr_dark - bicubic_dark)):
    paired, ends = paired_difference(b, a), [summary(x) for x in (a, b)]
    apart = ((ends[0]["high"] - ends[0]["low"]) ** 2 + (ends[1]["high"] - ends[1]["low"]) ** 2) ** 0.5 / 2
    rows.append([name, float(b.mean() - a.mean()), (paired["high"] - paired["low"]) / 2, float(apart)])
table(rows, ["AMINet, 14 drawn people", "dark − light, dB", "± as pairs", "± as strangers"])

# %% [markdown]
# Taken for strangers, the fall of the gain could not be told from chance, because people differ among themselves. With these 14 people, an audit without pairs would find no change of the gain. "No difference found" is then easily taken for "no difference".
#
# ## What nobody may read from a restored face
#
# 16×16 pixels are 768 numbers; the restored face has 49,152. The rest comes from the faces that the network has learned from.
#
# - **Do not say who somebody is.** Not to convict, not to find, not to rule out. Many faces fit the same 16×16 pixels ([chapter 01](01_the_problem.ipynb)), and the network shows one face that may be none of theirs.
# - **Do not read** age, expression, gaze, glasses or skin marks from it. Where the pixels do not decide, the network invents them, and they look as sure as the rest.
# - **Do not expect equal quality** for everybody, at any angle, from any camera. Measure it for whom you serve, before you serve them.
# - **Do not hand on a restored face without its input** and the word "restored". No face carries its own uncertainty.
#
# ## Beyond this course
#
# What follows is our reading of these papers; we have measured none of them.
#
# - **Blind restoration** trains on random chains of blur, resizing, noise and JPEG, far wider than `worsen`: [Real-ESRGAN](https://arxiv.org/abs/2107.10833) (2021).
# - **Generative priors** let a network that can draw faces draw the details: [PULSE](https://arxiv.org/abs/2003.03808) (2020), [GFPGAN](https://arxiv.org/abs/2101.04061) (2021), [CodeFormer](https://arxiv.org/abs/2206.11253) (2022). Our opinion: the better they draw, the less their errors show.
# - **Diffusion** draws many possible faces instead of one: [SR3](https://arxiv.org/abs/2104.07636) (2021). Their spread shows what the network holds possible. Whether that is what is possible must be measured.
# - **References** take a good photograph of the same person as a second input: [Learning Warped Guidance](https://arxiv.org/abs/1804.04829) (2018). Of all these, only a reference adds information about *this* face.
# - **Fairness** has to be defined before it can be trained: [Fairness for Image Generation with Uncertain Sensitive Attributes](https://arxiv.org/abs/2106.12182) (2021).
#
# This is the last chapter. You can now build AMINet from its equations and count it, train it and its GAN, and compare it with others by paired intervals. You can say what a record proves and what it leaves open. Take the next paper: rebuild one figure, and measure what it does not say. [The project](../docs/project.md) is a start.
#
# ## What to remember
#
# 1. Stress the same faces level by level, and compare gains over a baseline. PSNR alone rises in the dark and for dark skin.
# 2. JPEG and noise on the small face took all of AMINet's gain, four stops of darkness two fifths. The place of a lamp and turns up to 35 degrees took little. The training had shown neither JPEG nor noise.
# 3. Where a set has no hard cases there is no number. Having no number is not a good result.
#
# To read on: D. Hendrycks and T. Dietterich, [Benchmarking Neural Network Robustness](https://arxiv.org/abs/1903.12261) (2019); B. Jacob et al., [Quantization and Training of Neural Networks](https://arxiv.org/abs/1712.05877) (2018); J. Buolamwini and T. Gebru, [Gender Shades](https://proceedings.mlr.press/v81/buolamwini18a.html) (2018); W. Li et al., [Survey on Deep Face Restoration](https://arxiv.org/abs/2309.15490) (2023).
#
# Next: [A · Symbols and shapes](A_symbols_and_shapes.ipynb)
