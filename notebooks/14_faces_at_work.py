# %% [markdown]
# # 14 · Faces at work
#
# Nobody gives a network faces of 16×16 pixels, cut out and levelled. People have photographs. How does a face get out of one, and back in? And is the restored face still of use: for recognising a person, for finding its parts?
#
# *75 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/14_faces_at_work.ipynb) · previous: [13 · The GANs compared](13_compared_gans.ipynb) · next: [15 · Where it fails](15_where_it_fails.ipynb)
#
# Before this: the aligned face in [00 · A first face](00_a_first_face.ipynb), PSNR and bootstrap intervals in [02 · Measuring a face](02_measuring_a_face.ipynb), the compared methods in [12 · Comparisons](12_comparisons.ipynb).
#
# You will be able to
#
# - **level** a face by its two eyes, and paste it back without a seam;
# - **say** for which faces the network is of use, and for which it does harm;
# - **read** a cosine of two faces: against other people, and at a threshold;
# - **compute** how well two parsings of a face agree.

# %% tags=["parameters"]
records = ""  # folder of records; empty: the course's own
picture = ""  # path of a photograph of yours; empty: none
own = ""  # your faces for Figure 11, folders and zips, also looked for in $AMINET_FACES; empty: none
seed = 0
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
import cmath
import math

import cv2
import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from scipy.stats import kendalltau
from skimage.data import astronaut

from aminet.degrade import degrade
from aminet.deploy.upscale import BLEND, FEATHER, open_network, paste, restore_faces
from aminet.faces.dataset import to_tensor
from aminet.faces.finder import Found, by_cascade, find_faces
from aminet.faces.pictures import align, bicubic
from aminet.faces.portraits import EYES, portraits
from aminet.faces.sources import open_faces
from aminet.faces.synthetic import CLASSES, draw_faces
from aminet.files import DATA, find
from aminet.metrics.landmarks import head_pose
from aminet.metrics.parsing import PARTS, part_iou
from aminet.metrics.statistics import paired_difference
from aminet.paper.published import BICUBIC, ORIGINAL, published
from aminet.paper.records import read_record
from aminet.paper.tables import table as paper_table
from aminet.protocol import PROTOCOLS, psnr
from aminet.train import restore
from aminet.training.weights import PRETRAINED, load_weights
from exercises import check
from page import PART_COLOURS, live, show, table, your_picture

RECORDS = Path(records or DATA / "records")
network = open_network("pocket")  # a function of pictures, 16x16 -> 128x128

# %% [markdown]
# ## A photograph with many faces
#
# We need a photograph whose faces are known. So we hang drawn faces on the wall beside Eileen Collins: prints of several sizes, some of them turned. We pin each one ourselves, and so we know where its eyes are.

# %%
PRINTS = [(64, 62, 96, 0), (180, 62, 64, -20), (46, 178, 48, 0), (122, 178, 40, 30), (198, 178, 36, 0),
          (46, 270, 32, 0), (122, 270, 28, 90), (198, 270, 24, -40), (46, 350, 20, 0), (122, 350, 16, 15),
          (198, 350, 16, 0)]  # x, y of the middle, side in pixels, turn in degrees, clockwise


def pin(wall, face, x, y, side, turn):
    """Pin a drawn face on the wall; return where its eyes are then, as x + iy."""
    paper = Image.fromarray(face.image.permute(1, 2, 0).numpy()).resize((side, side), Image.Resampling.BICUBIC)
    paper = paper.convert("RGBA").rotate(-turn, Image.Resampling.BICUBIC, expand=True)
    corner = round(x - paper.width / 2), round(y - paper.height / 2)
    wall.paste(paper, corner, paper)
    middle, step = complex(*corner) + complex(*paper.size) / 2, cmath.rect(side / 128, math.radians(turn))
    eyes = [complex(*face.landmarks[k:k + 6].mean(0).tolist()) for k in (36, 42)]
    return tuple(middle + step * (eye - (64 + 64j)) for eye in eyes)


scene = Image.new("RGB", (512 + 248, 512), (214, 208, 196))
scene.paste(Image.fromarray(astronaut()), (0, 0))
known = [tuple(complex(*eye) for eye in EYES["collins"])]
for face, (x, y, side, turn) in zip(draw_faces(len(PRINTS), seed + 140, glasses=False), PRINTS):
    known.append(pin(scene, face, 512 + x, y, side, turn))
figure = show([[to_tensor(scene)]], scale=scene.width / 128)
figure.set_label("Eileen Collins, and right of her a wall with eleven drawn faces, from 96 to 16 pixels, some of them turned")
plt.show()

# %% [markdown]
# ### Finding them
#
# `find_faces` finds faces with [YuNet](https://doi.org/10.1007/s11633-023-1423-y), a small network. YuNet misses most faces that are turned by more than 40 degrees, so the photograph is searched at eight turns. Each face is then enlarged and turned until its eyes are level. Without YuNet, `find_faces` falls back on scikit-image's **cascade**. The cascade knows frontal, upright faces, and gives boxes alone. Here is what it finds:

# %%
def hits(found):
    """Which of the known faces were found: the number of the found one that is nearest, or None."""
    middles = [sum(eyes) / 2 for eyes in known]
    near = [[k for k, face in enumerate(found) if abs((face.left + face.right) / 2 - middle) < 0.4 * face.side]
            for middle in middles]
    return [ks[0] if ks else None for ks in near]


def side(left, right):
    """The side in pixels of an aligned face's frame: its eyes are 38 of 128 apart."""
    return abs(right - left) * 128 / 38


def turn(left, right):
    """How far a face is turned, clockwise, in degrees."""
    return math.degrees(cmath.phase(right - left))


def report(found):
    """The known faces, and what a finder says of them."""
    rows = []
    for number, (eyes, k) in enumerate(zip(known, hits(found))):
        rows.append([number, round(side(*eyes)), round(turn(*eyes)), *(("no", "") if k is None else
                                                                       ("yes", round(found[k].roll)))])
    table(rows, ["face", "side, pixels", "turned, degrees", "found", "turn as found"])


report(by_cascade(scene))
if live():  # YuNet is fetched at its first use
    print("find_faces, with YuNet if it can be had:")
    report(find_faces(scene))

# %% [markdown]
# The cascade misses what is small or turned. The turn that it gives is always 0, for a box does not say how a face is turned. If you run this notebook yourself, YuNet's table stands below the first one. When we ran it, YuNet found nine of the twelve, and their turns were right to 7 degrees. It missed three turned prints below 30 pixels. From here on we use the eyes as we know them, so that nothing depends on a finder.
#
# ## Level: two points are enough
#
# The network has seen **aligned** faces only: the eyes on row 52, 38 pixels apart, around column 64. A **similarity** takes each pixel of the aligned face to its place in the photograph. It scales, turns and shifts, and does nothing else. With complex numbers $x + iy$ it is one line:
#
# $$z = o + s\,w$$
#
# $w$ is a pixel of the aligned face, $z$ its place in the photograph. With the eyes $l$ and $r$ of the photograph
#
# $$s = \frac{r - l}{38}, \qquad o = \frac{l + r}{2} - s\,(64 + 52i)$$
#
# The length of $s$ is the scale, its angle the turn, and $o$ the shift. Two points fix them all: four equations, four unknowns. (Exercise 1 lets you find them.)

# %%
rows = []
for number in (0, 1, 4, 7, 10):
    left, right = known[number]
    s = (right - left) / 38
    o = (left + right) / 2 - s * (64 + 52j)
    from_, to = np.array([[45, 52], [83, 52]]), np.array([[eye.real, eye.imag] for eye in (left, right)])
    matrix, _ = cv2.estimateAffinePartial2D(from_.astype(float), to)  # least squares, by OpenCV
    corner = complex(*(matrix @ (128, 128, 1)))
    rows.append([number, abs(s), round(math.degrees(cmath.phase(s))), f"{o.real:.1f}, {o.imag:.1f}",
                 f"{abs(o + s * (128 + 128j) - corner) < 0.01}"])
table(rows, ["face", "pixels of the photograph for one", "turned, degrees", "its corner is at", "as OpenCV finds it"],
      digits=3)

LEVEL = [align(scene, *((eye.real, eye.imag) for eye in eyes)) for eyes in known]
chosen = [0, 1, 2, 4, 7, 10]
around = []
for number in chosen:
    middle, reach = sum(known[number]) / 2, 0.8 * side(*known[number])
    box = [round(v) for v in (middle.real - reach, middle.imag - reach, middle.real + reach, middle.imag + reach)]
    around.append(bicubic(scene.crop(box), 128))
figure = show([[to_tensor(picture) for picture in around], [to_tensor(LEVEL[number]) for number in chosen]],
              labels=["photo", "levelled"], captions=[[], [f"face {n}, {side(*known[n]):.0f} px" for n in chosen]])
figure.set_label("six faces as they stand in the photograph, turned and of all sizes, and below them levelled")
plt.show()

# %% [markdown]
# Levelled, all faces stand alike. A small face is blurred in the lower row because it has few pixels: one of 16 is enlarged eight times.
#
# ## Reduce, draw anew
#
# The network's input is 16×16 pixels, whatever size the face had. From these 256 pixels it draws every face anew:

# %%
lr = [bicubic(face, 16) for face in LEVEL]
drawn = [network(face) for face in lr]
picked = [0, 1, 6, 10, 11]
figure = show([[to_tensor(face) for face in row] for row in
               ([lr[n] for n in picked], [bicubic(lr[n], 128) for n in picked], [drawn[n] for n in picked],
                [LEVEL[n] for n in picked])],
              labels=["16×16", "bicubic", "AMINet", "photo"],
              captions=[[], [], [], [f"face {n}, {side(*known[n]):.0f} px" for n in picked]])
figure.set_label("five faces: 16×16 pixels, enlarged by bicubic, drawn by AMINet, and levelled in the photograph")
plt.show()

# %% [markdown]
# Compare the last two rows. Faces 0 and 1 lose detail that the photograph has. Faces 10 and 11 gain. So we need a rule.
#
# ### What the network is for
#
# We take faces whose original we have, and let a camera see each with $n \times n$ pixels. What the photograph shows is their bicubic enlargement. The network reduces it to 16×16 pixels, and starts from these. From which $n$ on is the photograph nearer to the original?

# %%
originals = torch.cat([torch.stack(list(portraits().values())),
                       torch.stack([face.image for face in draw_faces(6, seed + 141)])])
SIDES = [16, 20, 24, 28, 32, 40, 56]
pictures = [Image.fromarray(face.permute(1, 2, 0).numpy()) for face in originals]
scores = {"the photograph": [], "AMINet": []}
for n in SIDES:
    seen = [bicubic(bicubic(face, n), 128) for face in pictures]
    for name, results in {"the photograph": seen, "AMINet": [network(bicubic(view, 16)) for view in seen]}.items():
        result = torch.stack([to_tensor(face) for face in results])
        scores[name].append(psnr(result, originals, PROTOCOLS["paper"]))
means = {name: np.array([np.mean(values) for values in rows]) for name, rows in scores.items()}
lead = means["AMINet"] - means["the photograph"]
end = np.interp(0, -lead, SIDES)  # where the lead is lost

figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.2), layout="constrained")
for name, values in means.items():
    axes[0].plot(SIDES, values, ".-", label=name)
axes[0].set(xlabel="side of the face in the photograph, pixels", ylabel="PSNR to the original, dB",
            title=f"{len(originals)} faces: two portraits, the rest drawn")
axes[0].legend()
sizes = np.arange(10, 57)
axes[1].plot(sizes, np.interp(sizes, BLEND, (1, 0)))
axes[1].set(xlabel="side of the face in the photograph, pixels", ylabel="share of the network", title="the blend by size")
plt.show()
print(f"on these faces the network leads up to {end:.0f} pixels; the package blends from {BLEND[0]} to {BLEND[1]}")

# %% [markdown]
# The network was made for 16 pixels, and there it leads by a decibel. A face with more pixels has real detail, which the network never gets. The package therefore **blends**. Up to 25 pixels it shows the network's face, from 35 on the photograph's, and between them a mean of both.
#
# <details><summary>Where 25 and 35 come from</summary>
#
# They were chosen on 100 validation faces. There the network started from 16×16 pixels of the original. In PSNR both are equal at 24.8 pixels, in LPIPS at 35.4. PSNR compares pixels, LPIPS the features of a network. Between the two sides the metrics disagree, and so we blend. If the network starts from the photograph, as above, both are equal at 23 and 34 pixels. So the blend favours the network by a pixel or two. No test face was used for it.
#
# </details>
#
# ## Paste it back
#
# The way back is the inverse similarity: for each pixel of the photograph, $w = (z - o)/s$ says which pixel of the face belongs there. A face with a hard edge would show as a square. So each pixel of the face gets a weight, the **mask**. It rises from 0 at the edge to 1, with the square of the distance. This is **feathering**.

# %%
weights = [float(np.interp(side(*eyes), BLEND, (1, 0))) for eyes in known]
after = np.array(scene)
for eyes, face, weight in zip(known, drawn, weights):
    if weight:
        paste(after, face, Found(1, *eyes, sum(eyes) / 2, side(*eyes), side(*eyes)), 1, weight)

where = (np.arange(128) + 0.5 + 1j * (np.arange(128)[:, None] + 0.5))
edge = 64 - np.maximum(abs(where.real - 64), abs(where.imag - 64))  # distance from the frame's edge
mask = torch.from_numpy(np.clip(edge / FEATHER, 0, 1) ** 2)
n, flat = 9, np.full((128, 128, 3), 120, np.uint8)
soft = flat.copy()
paste(soft, drawn[n], Found(1, 45 + 52j, 83 + 52j, 64 + 64j, 128, 128), 1, 1.0)
hard = flat.copy()
hard[8:120, 8:120] = np.asarray(drawn[n])[8:120, 8:120]
figure = show([[mask.expand(3, -1, -1) * 2 - 1, to_tensor(Image.fromarray(hard)), to_tensor(Image.fromarray(soft))]],
              ["the mask", "a hard edge", "feathered"])
figure.set_label("the mask, white inside and dark at the edge; a face on grey with a hard edge; the same face feathered")
plt.show()

changed = (after != np.array(scene)).any(-1)
table([[n, round(side(*known[n])), f"{weights[n]:.0%}"] for n in range(len(known))],
      ["face", "side, pixels", "share of the network"])
print(f"{sum(w > 0 for w in weights)} of {len(known)} faces pasted; pixels changed left of the wall: "
      f"{int(changed[:, :512].sum())}")

# %% [markdown]
# Outside the masks no pixel changes. Collins, whose face is large, keeps every pixel. Here are the small prints, before and after, three times enlarged:

# %%
part = (512 + 8, 232, 512 + 240, 388)
before_after = [Image.fromarray(picture).crop(part) for picture in (np.array(scene), after)]
figure = show([[to_tensor(p.resize((3 * p.width, 3 * p.height), Image.Resampling.BICUBIC)) for p in before_after]],
              ["before", "after"], scale=3)
figure.set_label("six small prints on the wall, enlarged: before, and after the faces were pasted in")
plt.show()

# %% [markdown]
# Before and after look nearly alike: 16 pixels of a photograph have no room for new detail. It must be enlarged first. `python -m aminet upscale photo.jpg restored.png --scale 8` enlarges it by bicubic interpolation, then pastes the faces at their full 128 pixels. Here is the last print, done this way:

# %%
box = (512 + 180, 332, 512 + 216, 368)
small = scene.crop(box)
large = np.array(small.resize((8 * small.width, 8 * small.height), Image.Resampling.BICUBIC))
restored = large.copy()
eyes = [eye - complex(*box[:2]) for eye in known[11]]
paste(restored, drawn[11], Found(1, *eyes, sum(eyes) / 2, side(*eyes), side(*eyes)), 8, 1.0)
figure = show([[to_tensor(Image.fromarray(picture)) for picture in (large, restored)]], ["enlarged", "and pasted"], scale=2)
figure.set_label("the smallest print, eight times enlarged, and the same with the restored face pasted in")
plt.show()

# %% [markdown]
# ### Your own photograph
#
# If you run this notebook yourself (JupyterLab, VS Code, Colab), a button appears below. Choose a picture. Each face is shown as 16×16 pixels, as bicubic and AMINet draw it from them, and as it is. Large faces are reduced for it, as `--demo` does. The picture stays on the machine that runs this notebook. Or name a file in the parameters at the top, `picture = "holiday.jpg"`, and run all cells.

# %%
def before_and_after(image):
    """Show each face of a picture: its 16x16 pixels, bicubic, what the network draws, and the photograph."""
    _, faces = restore_faces(image, network, demo=True)
    for number, face in enumerate(faces, 1):
        print(f"face {number}, {face.text}")
        if face.parts:
            show([[to_tensor(part) for part in face.parts]], ["16×16", "bicubic", "AMINet", "photo"])
            plt.show()


your_picture(before_and_after, picture)

# %% [markdown]
# > **What a restored face is not.** It is a likely face for these 256 pixels, not the face of this person. Never use one to identify anybody. The section on Table IX measures why.
#
# ## Figure 11: one face, ten methods
#
# The paper's Figure 11 shows surveillance faces, restored by all methods. Those pictures may not be passed on. So here are the two portraits and a drawn face, restored by our networks of scale `mini`. To see aligned faces of your own, name a folder in the parameters at the top: `own = "my_faces"`.

# %%
METHODS = [row["row"] for row in published(9)]
nine = paper_table(9, RECORDS)
cosines = {cell.row: cell for cell in nine.cells if cell.metric == "cosine"}
hr = originals[:3]
mine = own.split() or ["video_probe.zip"] * (live() and find("video_probe.zip").exists())
if mine:
    hr = torch.cat([open_faces(mine, progress=False)[0][:2], hr])
columns = {"bicubic": torch.stack([to_tensor(bicubic(Image.fromarray(x.permute(1, 2, 0).numpy()), 128))
                                   for x in degrade(hr)])}
for method in METHODS:
    weights_file = f"{method.lower()}-mini-0"
    if (PRETRAINED / f"{weights_file}.safetensors").exists():
        columns[method] = restore(load_weights(weights_file)[0], hr)
columns["original"] = hr
score = {name: psnr(images, hr, PROTOCOLS["paper"]) for name, images in columns.items() if name != "original"}
for i in range(len(hr)):
    names = list(columns)
    captions = [f"{name}\n{score[name][i]:.2f} dB" if name in score else name for name in names]
    figure = show([[columns[name][i] for name in names[k:k + 6]] for k in (0, 6)],
                  captions=[captions[k:k + 6] for k in (0, 6)], scale=0.8)
    figure.set_label("one face by " + ", ".join(" ".join(words.split()) for words in captions))
    plt.show()

# %% [markdown]
# Most results are a little sharper than bicubic, and hard to tell apart. Does a face network recognise them better?
#
# ## Table IX: what a cosine says
#
# A **face network** turns a face into a vector. It is trained so that vectors of one person point the same way. The **cosine** of two vectors, $a \cdot b / (|a|\,|b|)$, says how alike two faces are: 1 for the same direction, 0 for unrelated ones. The paper restores surveillance faces, and prints one mean cosine for each method and each of four cases.
#
# A mean cosine alone says little. Read it against four things:
#
# - **impostors**: the cosine to pictures of *other* people, which is what chance gives (below: "to other people");
# - **bicubic**: what the 16×16 pixels hold without any network;
# - **the original**: what the face held before it was reduced (below: "as it came");
# - **a decision**: *rank-1* says how often the nearest of all pictures is of the right person. *Verified* says how often the right person passes a threshold that only 1 % of the impostors pass: 1 % **false accepts**.
#
# The paper's set of surveillance faces, SCface, may not be passed on. Ours is another set: faces from videos, with a larger picture of each person to compare with. The records hold only numbers.

# %%
SCORES = ("cosine", "impostors", "rank1", "verified")
OTHERS = {"AMINet": "pocket", "AMINet-S": "pocket-s", "AMIGAN": "pocket-gan"}
files = {f"{name} ({weights})": f"{weights}-video_probe-paper.json" for name, weights in OTHERS.items()}
files |= {f"{name} (mini)": cell.records[0] for name, cell in cosines.items()
          if cell.status == "measured" and name not in (BICUBIC, ORIGINAL)}
RECORD = {name: read_record(RECORDS / file) for name, file in files.items() if (RECORDS / file).exists()}
rows = []
if RECORD:
    first = next(iter(RECORD.values()))
    for words, prefix in (("as it came", "original_"), ("bicubic", "bicubic_")):
        rows.append([words, *(first["means"][prefix + name]["mean"] for name in SCORES)])
    rows += [[name, *(record["means"][score]["mean"] for score in SCORES)] for name, record in RECORD.items()]
    people = first["faces"]["people"]
    print(f"{len(people)} faces of {len(set(people))} people, reduced to 16×16")
table(rows, ["restored by", "cosine", "to other people", "rank-1, %", "verified, %"],
      digits={"cosine": 3, "to other people": 3, "rank-1, %": 1, "verified, %": 1})

# %% [markdown]
# Now each method minus bicubic, on the same faces. The intervals are 95 %, over people, for faces of one person are alike.

# %% tags=["plot"]
gains = {name: record["gain"]["cosine"] for name, record in RECORD.items()}
order = sorted(gains, key=lambda name: gains[name]["mean"])
figure, axis = plt.subplots(figsize=(7.6, 4), layout="constrained")
for y, name in enumerate(order):
    gain = gains[name]
    colour = "C2" if gain["low"] > 0 else "C1" if gain["high"] < 0 else "C5"
    axis.plot((gain["low"], gain["high"]), (y, y), color=colour)
    axis.plot(gain["mean"], y, "o", color=colour)
axis.axvline(0, color="black", linewidth=1)
axis.set_yticks(range(len(order)), order)
axis.set(xlabel="cosine minus bicubic's, with 95 % intervals", title="green: above bicubic; orange: below; grey: open")
plt.show()

# %%
above = [name for name in order if gains[name]["low"] > 0]
below = [name for name in order if gains[name]["high"] < 0]
print(f"above bicubic: {len(above)} of {len(gains)}: {', '.join(above) or 'none'}")
print(f"below bicubic: {len(below)} of {len(gains)}: {', '.join(below) or 'none'}")
print(f"chance that at least one of {len(gains)} independent ones lies above, if none is better: "
      f"{1 - 0.975 ** len(gains):.2f}")
for name in [*above, *(name for name in RECORD if "AMIGAN" in name)]:
    print(f"{name}, minus bicubic: " + "; ".join("{0} {mean:+.{d}f} [{low:+.{d}f}, {high:+.{d}f}]".format(
        words, d=digits, **RECORD[name]["gain"][score])
        for words, score, digits in (("cosine", "cosine", 3), ("rank-1", "rank1", 1), ("verified", "verified", 1))))

printed = {row["row"]: np.mean([float(row[f"cosine_case{case}"]) for case in (1, 2, 3, 4)]) for row in published(9)}
both = [(name, printed[name], cosines[name].ours) for name in METHODS if cosines[name].ours is not None]
both.sort(key=lambda row: -row[1])
table(both, ["method", "the paper, mean of its cases", "ours (mini)"],
      digits={"the paper, mean of its cases": 3, "ours (mini)": 3})
if len(both) > 2:
    tau = kendalltau([row[1] for row in both], [row[2] for row in both])
    print(f"the paper's cosines: {min(printed.values()):.2f} to {max(printed.values()):.2f}")
    print(f"Kendall's tau of both orders: {tau.statistic:+.2f}; by chance as large with p = {tau.pvalue:.4f}")
    ranked = sorted((RECORD[f"{name} (mini)"] for name, *_ in both), key=lambda record: -record["means"]["cosine"]["mean"])
    apart = [paired_difference(a["values"]["cosine"], b["values"]["cosine"], people)["low"] > 0
             for a, b in zip(ranked, ranked[1:])]
    print(f"neighbours of our order that differ beyond chance: {sum(apart)} of {len(apart)}")

# %% [markdown]
# **The levels do not compare.** The paper's face network is not named, and another network has another scale. It does not print the cosine of impostors. A cosine of 0.85 can be excellent or worthless.
#
# **The orders do compare.** Kendall's tau above says how far ours agrees with the paper's: +1 is the same order, 0 is chance. But hardly any neighbours of our order differ beyond chance.
#
# **What may be concluded?** The face as it came is recognised far better than any restored one. What was lost at 16×16 does not come back. Whether a network helps over bicubic is open. Count how many lie above in cosine, and read how probable one is by chance. Those above are not better in rank-1, nor in verified. For AMIGAN there is no sign of help: sharp is not the same as right.
#
# <details><summary>What the paper leaves open</summary>
#
# - The face network, and what it was trained on.
# - How many people and pictures stand behind each case, and any interval.
# - Bicubic, the original and impostors, without which a cosine has no scale.
# - We do not know the cases' exact lists either: ours are four cases of video faces.
#
# `python -m aminet table 9` prints all cases. The full-size networks are pending; our small ones may recognise worse.
#
# </details>
#
# ## Figure 9: parsing
#
# A **parsing** says of each pixel to which part of the face it belongs: skin, hair, nose, and so on. The paper's Figure 9 shows parsings of restored faces. Of drawn faces we know the parsing exactly, for we drew them:

# %%
def coloured(mask):
    """A parsing (H, W) as a picture (3, H, W)."""
    return torch.from_numpy(PART_COLOURS[np.asarray(mask)]).permute(2, 0, 1)


faces = list(draw_faces(5, seed + 142))
figure = show([[face.image for face in faces], [coloured(face.mask) for face in faces]], labels=["face", "its parts"])
figure.set_label("five drawn faces, and below each its parsing: a colour for each part")
plt.show()
figure, axis = plt.subplots(figsize=(8.4, 0.5))
used = sorted({int(c) for face in faces for c in np.unique(face.mask)})
axis.imshow(PART_COLOURS[used][None], aspect="auto")
axis.set_xticks(range(len(used)), [CLASSES[c] for c in used], rotation=45, ha="right", fontsize=9)
axis.set_yticks([])
axis.grid(False)
figure.set_label("the colours of the parts: " + ", ".join(CLASSES[c] for c in used))
plt.show()

# %% [markdown]
# ### How well do two parsings agree?
#
# The **intersection over union** (IoU) of a part says it. For a nose: the number of pixels that both parsings call nose, over those that at least one does. It is 1 for the same pixels and 0 without a common one. The mean IoU runs over the parts that at least one of them has. To get a feeling for it, we shift a parsing to the right, and compare:

# %%
masks = np.stack([face.mask.numpy() for face in faces])
SHIFTS = (0, 1, 2, 4, 8)
SHOWN = ("hair", "skin", "nose", "eye", "brow", "u_lip")
rows = []
for shift in SHIFTS:
    moved = np.roll(masks, shift, axis=2)
    values = part_iou(masks, moved)  # of each face and part
    rows.append([f"{shift} px", *(float(np.nanmean(values[:, list(PARTS).index(part)])) for part in SHOWN),
                 float(np.nanmean(values, axis=1).mean())])
table(rows, ["shifted by", *SHOWN, "mean of all parts"])

# %% [markdown]
# One pixel already costs about a sixth of the mean. Small parts fall faster: at 8 pixels hair keeps half, the nose a fifth. All parts count alike in the mean, so the small ones govern it.
#
# For real faces a network must find the parts. Ours is BiSeNet, trained on the 19 classes of the set CelebAMask-HQ. This is Figure 9 for two portraits, in the colours from above. (`python figures/make.py parsing` draws it, if BiSeNet's file is there.)

# %%
figure9 = Image.open(DATA.parent / "figures" / "parsing.webp").convert("RGB")
figure = show([[to_tensor(figure9)]], scale=figure9.width / 128)
figure.set_label("two portraits: original, bicubic, AMINet, AMIGAN, and below each the parts that BiSeNet sees")
plt.show()

# %% [markdown]
# BiSeNet finds no parts in the bicubic faces. It finds less than half of AMINet's face, though we see a whole one. In AMIGAN's sharper faces it finds most parts. Does it measure shape, or sharpness?
#
# Test a measuring instrument before you trust it. We let BiSeNet parse drawn faces, whose exact parts we know. Then we blurred *originals* by a Gaussian, and compared each with itself. (`python data/check_parsing.py` measures both again.) The second table has the restored faces of our records:

# %%
instrument = read_record(RECORDS / "parsing-bisenet.json")
drawn, originals = instrument["drawn"], instrument["blurred"]
rows = [[f"{drawn['images']} drawn faces, against their exact parts", drawn["iou"], ""]]
rows += [[f"{originals['faces']['images']} originals blurred by {row['sigma']:g} px, against themselves", row["iou"],
          f"{row['background']:.0%}"] for row in originals["rows"]]
table(rows, ["what BiSeNet parsed", "mean IoU", "pixels that it calls background"])
print(f"of the originals that are not blurred, it calls {originals['background']:.0%} background")

COMMAND = "python -m aminet evaluate {} --faces {}.zip --metrics iou nme pose"
PARSED = ("iou", "iou_hair", "iou_skin", "iou_nose", "iou_eye", "iou_brow", "nme", "pose")
rows, pending = [], []
for test in ("celeba_test", "flickr_test"):
    held = {}
    for name, file in files.items():
        weights_name = file.removesuffix("-video_probe-paper.json")
        if test == "flickr_test" and weights_name not in OTHERS.values():
            continue
        path = RECORDS / f"{weights_name}-{test}-paper.json"
        means = read_record(path)["means"] if path.exists() else {}
        if "iou" not in means:
            pending.append(COMMAND.format(weights_name, test))
            continue
        held["bicubic"] = {metric: means.get(f"bicubic_{metric}") for metric in PARSED}
        held[name] = {metric: means.get(metric) for metric in PARSED}
    rows += [[test, words, *(mean["mean"] if mean else "not measured" for mean in values.values())]
             for words, values in held.items()]
if rows:
    table(rows, ["faces", "restored by", "mean IoU", *(name.removeprefix("iou_") for name in PARSED[1:-2]), "NME, %",
                 "head pose, degrees"], digits={"NME, %": 2, "head pose, degrees": 2} | dict.fromkeys(
                     ("mean IoU", "hair", "skin", "nose", "eye", "brow"), 3))
for command in pending:
    print("pending:", command)

# %% [markdown]
# **BiSeNet's IoU measures sharpness first, then shape.** Blur alone, with the shape kept, brings it down to 0.06.
#
# <details><summary>What to know of BiSeNet before reading an IoU</summary>
#
# - It needs sharp faces. A face blurred by 2 pixels is background to it. So a low IoU may say "blurred", and not "another shape".
# - It tells left and right by chance. So both eyes count as one part, and both brows, too.
# - In the records, restored faces are compared with BiSeNet's parsing of the *original*, not with the truth.
#
# </details>
#
# ### Two more measures of shape
#
# **NME** is the mean distance of 68 landmarks from the original's, in percent of the distance of the outer eye corners. **Head pose** fits a head in three dimensions to the landmarks. Its error is the angle to the original's head. Both are better when lower. In the table above AMINet (pocket) has about half of bicubic's error in both, or less. Whether blur misleads the finder of landmarks, too, we have not tested.
#
# `head_pose` needs no network if the landmarks are known. We draw faces whose **yaw**, the turn to the side, we know, and let it find the yaw:

# %%
YAWS = np.arange(-30, 31, 10.0)
truth, found = [], []
for yaw in YAWS:
    turned = list(draw_faces(6, seed + 143, yaw=float(yaw), glasses=False))
    found += head_pose(torch.stack([face.landmarks for face in turned]))[:, 0].tolist()
    truth += [yaw] * len(turned)
error = np.array(found) - truth
moved = [face.landmarks + torch.tensor([1.0, 0.0]) for face in faces]
one = [100 * float((m - f.landmarks).norm(dim=-1).mean() / (f.landmarks[36] - f.landmarks[45]).norm())
       for m, f in zip(moved, faces)]

figure, axis = plt.subplots(figsize=(4.2, 4), layout="constrained")
axis.plot((-35, 35), (-35, 35), color="C5", linewidth=1)
axis.plot(truth, found, "o", markersize=4, alpha=0.6)
axis.set(xlabel="yaw as drawn, degrees", ylabel="yaw as found, degrees", aspect="equal",
         title=f"mean absolute error {np.abs(error).mean():.1f} degrees")
plt.show()
print(f"landmarks that are all one pixel off: an NME of {np.mean(one):.1f} %")

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: the similarity of two eyes
#
# *Level 1, 15 minutes.* An aligned face of 128×128 pixels has its eyes at (45, 52) and (83, 52). You get both eyes in the photograph, `(x, y)` each. Write `similarity(left, right)`, which returns the matrix `[[a, -b, p], [b, a, q]]`. It takes a pixel $(u, v)$ of the aligned face to $(a u - b v + p,\; b u + a v + q)$ in the photograph. You may use complex numbers, or solve four equations.

# %% tags=["exercise"]
def similarity(left: tuple[float, float], right: tuple[float, float]) -> np.ndarray:
    """Return the matrix (2, 3) from the aligned face to the photograph."""
    ...  # your turn


passed = check("14.1", similarity)

# %% tags=["solution"]
def similarity(left, right):
    l, r = complex(*left), complex(*right)
    s = (r - l) / 38  # scale and turn in one
    o = l - s * (45 + 52j)  # the aligned left eye lands on the left eye
    return np.array([[s.real, -s.imag, o.real], [s.imag, s.real, o.imag]])


passed = check("14.1", similarity)

# %% [markdown]
# ### Exercise 2: the feathered paste
#
# *Level 2, 15 minutes.* Write `feathered(photo, patch, x, y, border)`. `photo` and `patch` are uint8 pictures `(H, W, 3)`. It returns a new picture with the patch's corner at column `x`, row `y`. A pixel of the patch has the weight $\min(1, d/\text{border})^2$, where $d$ is the distance of its *centre* to the patch's nearest edge: 0.5 for the outermost pixels. The photograph has the rest of the weight. Round to the nearest whole number, return uint8, and leave `photo` as it is.

# %% tags=["exercise"]
def feathered(photo: np.ndarray, patch: np.ndarray, x: int, y: int, border: float) -> np.ndarray:
    """Return the photograph with the patch laid in, uint8 (H, W, 3)."""
    ...  # your turn


passed = check("14.2", feathered)

# %% tags=["solution"]
def feathered(photo, patch, x, y, border):
    height, width = patch.shape[:2]
    rows, columns = np.arange(height)[:, None] + 0.5, np.arange(width) + 0.5
    d = np.minimum(np.minimum(rows, height - rows), np.minimum(columns, width - columns))
    weight = np.minimum(1, d / border)[..., None] ** 2
    result = photo.copy()
    under = result[y:y + height, x:x + width].astype(float)  # bytes would overflow
    result[y:y + height, x:x + width] = np.rint(weight * patch + (1 - weight) * under)
    return result


passed = check("14.2", feathered)

# %% [markdown]
# ### Exercise 3: IoU by hand
#
# *Level 2, 15 minutes.* Write `mean_iou(a, b)` for two parsings of one face: whole numbers of shape `(H, W)`. For each class that `a` *or* `b` has, take the pixels that are this class in both, over those in at least one. Return the mean over these classes, from 0 to 1.

# %% tags=["exercise"]
def mean_iou(a: np.ndarray, b: np.ndarray) -> float:
    """Return the mean IoU of the classes that at least one parsing has."""
    ...  # your turn


passed = check("14.3", mean_iou)

# %% tags=["solution"]
def mean_iou(a, b):
    values = []
    for part in np.union1d(a, b):
        here, there = a == part, b == part
        values.append((here & there).sum() / (here | there).sum())
    return float(np.mean(values))


passed = check("14.3", mean_iou)

# %% [markdown]
# ### Exercise 4: verified at 1 % false accepts
#
# *Level 2, 10 minutes.* A door opens if the cosine *exceeds* a threshold. You get the cosines of `genuine` pairs (one person twice) and of `impostors` (two people). Write `verified(genuine, impostors, allowed)`, which returns the threshold and the share of genuine pairs that pass, in percent. The threshold is the quantile of the impostors that the share `allowed` of them exceeds, as `np.quantile` interpolates; `allowed` is 0.01 for 1 %. Then think: what happens to the share if you allow 0.1 %?

# %% tags=["exercise"]
def verified(genuine: np.ndarray, impostors: np.ndarray, allowed: float) -> tuple[float, float]:
    """Return the threshold, and the percentage of genuine pairs above it."""
    ...  # your turn


passed = check("14.4", verified)

# %% tags=["solution"]
def verified(genuine, impostors, allowed):
    threshold = np.quantile(impostors, 1 - allowed)
    return float(threshold), float(100 * np.mean(np.asarray(genuine) > threshold))


passed = check("14.4", verified)

# %% [markdown]
# <details><summary>Answer to the last question</summary>
#
# The threshold rises, and fewer genuine pairs pass. So a share says something only together with its false accepts. And for 0.1 % you need thousands of impostor pairs. With fewer, one or two of them decide the threshold.
#
# </details>
#
# ## What to remember
#
# 1. Two eyes level a face; the inverse brings it back; a feathered mask hides the edge. All pixels outside stay as they were.
# 2. The network is for faces of about 16 pixels. By PSNR the photograph itself is nearer to the face from 25 pixels on, by LPIPS from 35.
# 3. A cosine needs a scale: impostors, bicubic, the original, and a decision at a stated share of false accepts.
# 4. IoU is governed by small parts. Test the instrument where the truth is known, before you measure with it.
#
# To read on: W. Wu et al., [YuNet](https://doi.org/10.1007/s11633-023-1423-y) (2023); J. Deng et al., [ArcFace](https://arxiv.org/abs/1801.07698) (2019); C. Yu et al., [BiSeNet](https://arxiv.org/abs/1808.00897) (2018); M. Grgic et al., [SCface](https://doi.org/10.1007/s11042-009-0417-2) (2011).
#
# Next: [15 · Where it fails](15_where_it_fails.ipynb)
