# %% [markdown]
# # A · Symbols and shapes
#
# The page to keep open beside all others: what each symbol of the paper means, which shape it has, and what it is called in the code.
#
# *30 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/A_symbols_and_shapes.ipynb) · previous: [15 · Where it fails](15_where_it_fails.ipynb) · next: none, back to [00 a first face](00_a_first_face.ipynb)
#
# Before this: Python with PyTorch tensors. For a word, go to [Words](#words) at the end.
#
# **You will be able to**
#
# * **look up** any symbol of the paper, or word of the field, and find its tensor in the code;
# * **trace** the shape of a face through the whole network, and through one block;
# * **tell** a misprint from a real contradiction in the paper.

# %% tags=["parameters"]
preset_name = "aminet"  # whose U is traced and drawn: aminet, aminet-s, aminet-8c, aminet-c32, pocket
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

# %% [markdown]
# ## How to use this page
#
# Each section is a table of symbols, and then a cell that computes them and shows their shapes.
#
# * Shapes leave out the batch. $C$ is the width at full resolution, $c$ the width at one level, and $h$ the number of heads. $H \times W$ are the pixels of the level.
# * In the preset `aminet`, $C = 28$ and the image has 128×128 pixels.
# * "In the code" names what you find in `aminet/`. "Where" is an equation, a figure or a section of the paper.
#
# ## Images
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $I_{HR}$ | the original face, high resolution | $3 \times 128 \times 128$ | `hr` | Eq. 17, Sec. IV-A |
# | – | the face after reduction; the paper has no symbol for it | $3 \times 16 \times 16$ | `lr = degrade(hr)` | Sec. IV-A |
# | $I_{LR}$ | the small face, *enlarged again* by bicubic: the network's input | $3 \times H \times W$ | `upsample(lr)` | Sec. III-A, Fig. 2 |
# | $I_{SR}$ | the network's answer | $3 \times H \times W$ | `AMINet.forward` | Sec. III-A3 |
# | $H, W$ | height and width in pixels | 128, 128 | `image.shape[2:]` | Sec. III-A |
# | $N$ | number of training pairs | | | Eq. 17 |
# | $\Theta$ | the parameters of the network | | `model.parameters()` | Eq. 17 |
# | $F_{AMINet}(\cdot, \Theta)$, $G(\cdot)$ | the network; $G$ as a generator | $3HW \to 3HW$ | `AMINet` | Eqs. 17, 18 |
#
# $I_{LR}$ is "low resolution" in content only: Fig. 2 draws it with 128×128 pixels. Sec. III-A calls the output $I_{HR}$ once. Here the output is always $I_{SR}$.

# %% tags=["imports"]
import torch

from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from exercises import check
from page import explore, show, table


def size(x):
    """The shape of a tensor without its batch, as text."""
    return "×".join(map(str, x.shape[1:]))


hr = portraits()["collins"][None]  # Eileen M. Collins, photo: NASA, public domain
lr = degrade(hr)
image = to_float(upsample(lr))     # what the network takes
table([[symbol, size(x), str(x.dtype).removeprefix("torch."), f"{x.min():.3g} to {x.max():.3g}"]
       for symbol, x in (("I_HR", hr), ("LR", lr), ("I_LR", image))], ["symbol", "shape", "type", "values"])

# %% [markdown]
# ## The U and its features
#
# AMINet is a [U-net](#words). Its left side, the encoder, makes features smaller and wider; its right side, the decoder, makes them larger again.

# %%
from diagrams import draw

figure = draw("AMINet")

# %% [markdown]
# > "After each encoder, the input face feature's channel count will be doubled, and the size of the image of the input face feature will be halved." (Sec. III-A1)
#
# | symbol | meaning | shape, as written | shape here | in the code |
# |---|---|---|---|---|
# | – | shallow feature, after the first 3×3 | – | $C \times H \times W$ | `head` |
# | $X_E$ of a level | the encoder's feature, kept for the skip | – | $c \times H \times W$ | `encoders[level]` |
# | $F_1$ | after encoder 1: LGFI, then down | $2C \times \frac H2 \times \frac W2$ | the same | `downs[0]` |
# | $F_2$ | after encoder 2 | $4C \times \frac H4 \times \frac W4$ | the same | `downs[1]` |
# | $F_3$ | after encoder 3 | $8C \times \frac H8 \times \frac W8$ (III-A1), $C \times H \times W$ (III-A) | $4C \times \frac H8 \times \frac W8$ (Fig. 2) | `downs[2]` |
# | $F_4$ | after the bottleneck of two LGFIs | $8C \times \frac H8 \times \frac W8$ | $4C \times \frac H8 \times \frac W8$ | `bottleneck` |
# | $F_5$ | after decoder 1: up, EDFF, LGFI | $4C \times \frac H4 \times \frac W4$ | the same | `decoders[2]` |
# | $F_6$ | after decoder 2 | not given | $2C \times \frac H2 \times \frac W2$ | `decoders[1]` |
# | $F_7$ | after decoder 3 | $C \times H \times W$ | the same | `decoders[0]` |
# | – | what is added to the input | – | $3 \times H \times W$ | `tail` |
#
# The code counts *levels*, from 0 at 128×128 to 3 at 16×16. The decoder's lists are indexed by level, too: decoder 1 of the paper is `decoders[2]`.
#
# ## A live trace
#
# A *forward hook* is a function that PyTorch calls each time a module has run. With one hook per stage, one face through the network gives all shapes, in the order of Fig. 2.

# %%
from aminet.config import PRESETS
from aminet.model import AMINet

KINDS = {"head": "conv 3×3", "encoders": "LGFI", "downs": "down", "bottleneck": "LGFI", "ups": "up", "edffs": "EDFF",
         "decoders": "LGFI", "tail": "conv 3×3"}
SYMBOLS = {"encoders": "X_E", "ups": "X_D", "edffs": "X_ED", "downs.0": "F_1", "downs.1": "F_2", "downs.2": "F_3",
           "bottleneck.1": "F_4", "decoders.2": "F_5", "decoders.1": "F_6", "decoders.0": "F_7"}


def trace(config, image):
    """Every stage in the order in which it runs: (name in the code, kind, symbol, (channels, height, width))."""
    model, rows = AMINet(config).eval(), []

    def note(name):
        kind, symbol = KINDS[name.split(".")[0]], SYMBOLS.get(name) or SYMBOLS.get(name.split(".")[0], "")
        return lambda module, inputs, output: rows.append((name, kind, symbol, tuple(output.shape[1:])))

    for name, module in model.named_modules():
        if name in ("head", "tail") or (name.count(".") == 1 and name.split(".")[0] in KINDS):
            module.register_forward_hook(note(name))
    with torch.inference_mode():
        model(image)
    return rows

# %%
config = PRESETS[preset_name]
stages = trace(config, image)
rows = [["image", "", "I_LR", size(image)]]
for name, kind, symbol, shape in stages:
    rows.append([name, kind, symbol, "×".join(map(str, shape))])
rows.append(["tail + image", "sum", "I_SR", size(image)])
table(rows, ["in the code", "made by", "symbol", "shape"])
kinds = [kind for name, kind, symbol, shape in stages]
lgfis, edffs = kinds.count("LGFI"), kinds.count("EDFF")
print(f"{lgfis} LGFI and {edffs} EDFF, so {lgfis + edffs} SKAF")

# %% [markdown]
# ## Fig. 2, redrawn from the trace
#
# Each block is a tensor. Its **height is the resolution**, its **width the number of channels**, both to scale. The colour says which module made it.
# Under each block stand the paper's symbol and the number of channels. The figure is drawn from the trace, so another preset gives another figure; a live notebook has a menu.

# %% tags=["plot"]
import matplotlib.pyplot as plt
from matplotlib.patches import Patch

COLOURS = {"image": "#a0aec0", "conv 3×3": "#718096", "LGFI": "#2b6cb0", "EDFF": "#c05621", "down": "#68b38a", "up": "#2f855a"}
ROW = {0: 0.0, 1: -1.62, 2: -2.7, 3: -3.42}  # where each level is drawn


def layout(stages, size=128):
    """The blocks of the U, from left to right: dicts of name, kind, symbol, channels, level, x, y, width, height."""
    rows = [("image", "image", "I_LR", (3, size, size)), *stages, ("output", "image", "I_SR", (3, size, size))]
    widest, x, blocks = max(shape[0] for _, _, _, shape in rows), 0.0, []
    for name, kind, symbol, (channels, height, _) in rows:
        level = (size // height).bit_length() - 1
        width = max(0.75 * channels / widest, 0.07)
        blocks.append({"name": name, "kind": kind, "symbol": symbol, "channels": channels, "level": level,
                       "x": x + width / 2, "y": ROW[level], "width": width, "height": 1.25 * height / size})
        x += width + 0.5
    return {block["name"]: block for block in blocks}


def arrow(axis, points, colour="0.45", style="-"):
    """A line through the points with a head at its end."""
    axis.plot(*zip(*points), color=colour, linestyle=style, linewidth=1.1)
    axis.annotate("", points[-1], points[-2],
                  arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0, "linewidth": 1.1})

# %% tags=["plot"]
def over(axis, a, b, lift, colour):
    """A shortcut from the top of block a to the top of block b."""
    top = a["y"] + a["height"] / 2
    arrow(axis, [(a["x"], top), (a["x"], top + lift), (b["x"], top + lift), (b["x"], b["y"] + b["height"] / 2)], colour, "--")


def step(axis, a, b):
    """From one block to the next: level, or round a corner for down and up."""
    right, left = a["x"] + a["width"] / 2, b["x"] - b["width"] / 2
    if a["level"] == b["level"]:
        points = [(right, a["y"]), (left, b["y"])]
    elif a["level"] < b["level"]:
        points = [(right, a["y"]), (b["x"], a["y"]), (b["x"], b["y"] + b["height"] / 2)]
    else:
        points = [(a["x"], a["y"] + a["height"] / 2), (a["x"], b["y"]), (left, b["y"])]
    arrow(axis, points)


def frame(axis, config, blocks):
    """The three stages of Sec. III-A as bands, the levels at the left, the colours in the middle."""
    def between(a, b):
        return (blocks[a]["x"] + blocks[b]["x"]) / 2

    start, end = between("image", "head"), between("tail", "output")
    bottom, turn = between("downs.2", "bottleneck.0"), between("bottleneck.1", "ups.2")
    for stage, low, high, shade in (("encoding", start, bottom, "#f1f5f9"), ("bottleneck", bottom, turn, "#e2e8f0"),
                                    ("decoding", turn, end, "#f1f5f9")):
        axis.axvspan(low, high, color=shade, linewidth=0, zorder=0)
        axis.text((low + high) / 2, -4.2, stage, ha="center", color="0.3")
    for level, y in ROW.items():
        times = config.widths[level] // config.channels
        axis.text(-0.35, y, f"{128 >> level}×{128 >> level}\n{times if times > 1 else ''}C, h = {config.heads[level]}, "
                  f"d = {config.depths[level]}", ha="right", va="center", fontsize=9)
    handles = [Patch(color=colour, label=kind) for kind, colour in COLOURS.items() if kind != "image"]
    handles += [plt.Line2D([], [], color=COLOURS["EDFF"], linestyle="--", label="skip"),
                plt.Line2D([], [], color="0.45", linestyle="--", label="+ input")]
    axis.legend(handles=handles, loc="center", ncols=4, bbox_to_anchor=(0.56, 0.71))
    axis.set(xlim=(-2.5, blocks["output"]["x"] + 0.3), ylim=(-4.3, 1.2), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)

# %% tags=["plot"]
def draw_to_scale(preset_name=preset_name):
    """The U of a preset, every tensor to scale."""
    config = PRESETS[preset_name]
    blocks = layout(trace(config, image))
    order = list(blocks.values())
    figure, axis = plt.subplots(figsize=(10.3, 5.2), layout="constrained")
    frame(axis, config, blocks)
    for a, b in zip(order, order[1:]):
        step(axis, a, b)
    for level in range(3):
        over(axis, blocks[f"encoders.{level}"], blocks[f"edffs.{level}"], 0.16, COLOURS["EDFF"])
    over(axis, blocks["image"], blocks["output"], 0.42, "0.45")
    for b in order:
        axis.add_patch(plt.Rectangle((b["x"] - b["width"] / 2, b["y"] - b["height"] / 2), b["width"], b["height"],
                                     facecolor=COLOURS[b["kind"]], edgecolor="white", linewidth=0.8, zorder=3))
        name = b["symbol"].replace("_ED", "_{ED}").replace("_LR", "_{LR}").replace("_SR", "_{SR}")
        axis.text(b["x"], b["y"] - b["height"] / 2 - 0.05, (f"${name}$\n" if name else "\n") + str(b["channels"]),
                  ha="center", va="top", fontsize=9, linespacing=1.1)
    axis.set_title(f"AMINet, preset {preset_name}: one face, from left to right")
    figure.set_label(f"The U of AMINet, preset {preset_name}, with the resolution and the channels of every tensor to scale")


explore(draw_to_scale, preset_name=list(PRESETS))

# %% [markdown]
# Follow the figure from left to right.
#
# * The tensors get *wider* and *flatter*. At the bottom a "pixel" stands for 8×8 pixels of the face, which is one pixel of the 16×16 picture.
# * Each orange block has two arrows. From the left comes what the decoder has made so far, $X_D$. From above comes what the encoder knew at that resolution, $X_E$.
# * $h$ is the number of heads of SA at a level, and $d$ the depth of the hourglass in RDFE.
#
# <details><summary>What the paper leaves open</summary>
#
# Neither $h$ nor $d$ is stated in the paper. The number of channels at the bottom, $4C$ or $8C$, is the paper's largest contradiction. The configuration has the switch `cap`, and [Where the paper contradicts itself](#where-the-paper-contradicts-itself) shows why 4 is the default.
#
# </details>
#
# ## What the features look like
#
# The course's own weights, preset `pocket`, restore a portrait. Each map shows one feature: the root mean square over its channels, each channel without its mean. Bright means far from the average.

# %%
from aminet.training.weights import load_weights

model, header = load_weights("pocket")
features = {}
for name, module in model.named_modules():
    if name.split(".")[0] in ("encoders", "decoders", "bottleneck") and name.count(".") == 1:
        module.register_forward_hook(lambda module, inputs, output, name=name: features.update({name: output[0]}))
with torch.inference_mode():
    model(image)


def strength(x):
    """(C, H, W) -> (H, W): root mean square over channels, each channel without its mean."""
    x = x - x.mean((1, 2), keepdim=True)
    return x.square().mean(0).sqrt()


going_down = [strength(features[name]) for name in ("encoders.0", "encoders.1", "encoders.2", "bottleneck.0")]
going_up = [strength(features[name]) for name in ("decoders.0", "decoders.1", "decoders.2", "bottleneck.1")]
figure = show([going_down, going_up], titles=["128×128", "64×64", "32×32", "16×16"], labels=["going down", "going up"],
              captions=[["$X_E$", "$X_E$", "$X_E$", "in the bottleneck"], ["$F_7$", "$F_6$", "$F_5$", "$F_4$"]], scale=1.5)

# %% [markdown]
# The upper row runs from left to right, the lower one from right to left. Going down, the network describes the face, and brightness is part of the description. Going up, it draws: $F_7$ is what the tail turns into the correction, so little but lines is left.
#
# ### Exercise 1: the shape of any feature
#
# *Level 2, 10 minutes.* Write `shape_of(k, C, cap, size)`: (channels, height, width) of $F_k$, $k = 1 \ldots 7$, for a network of width $C$ on a `size` × `size` image. At the bottom the network has at most `cap` times $C$ channels; `cap` is 4 or 8.
# The check traces four tiny networks.

# %% tags=["exercise"]
def shape_of(k, C, cap, size):
    """(channels, height, width) of the feature F_k."""
    ...  # your turn


passed = check("A.1", shape_of)

# %% tags=["solution"]
def shape_of(k, C, cap, size):
    """(channels, height, width) of the feature F_k."""
    level = k if k <= 3 else 7 - k  # F_4 is still at the bottom: 7 - 4 = 3
    return C * min(2**level, cap), size >> level, size >> level


passed = check("A.1", shape_of)

# %% [markdown]
# ## Inside an LGFI
#
# The next four tables use one LGFI at level 1 of the preset `aminet`: $c = 56$, two heads, 64×64 pixels. The cells compute every tensor of Eqs. 1 to 14, and compare the last one with the module's own output.
#
# ### LGFI: the block (Sec. III-B, [chapter 06](06_lgfi.ipynb))
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $X$ | the block's input | $c \times H \times W$ | `x` | Fig. 2 |
# | – | normalised input; LN is not drawn, so it is the switch `norm` | $c \times H \times W$ | `u = LGFI.norm(x)` | our choice |
# | $X_{SA}$ | the global feature | $c \times H \times W$ | `a = LGFI.sa(u)` | Fig. 2; $X_{sa}$ in Eq. 5 |
# | $X_{RD}$ | the local feature | $c \times H \times W$ | `r = LGFI.local(u)` | Fig. 2; $f'''$ in Eq. 10 |
# | – | both, mixed by a 1×1 from $2c$ to $c$: SKAF's input | $c \times H \times W$ | `LGFI.reduce` | Fig. 2, no equation |
# | $X_{out}$ | $X_{SA} \cdot w_1 + X_{RD} \cdot w_2$; we add $X$, the switch `residual` | $c \times H \times W$ | `LGFI.forward` | Fig. 2, no equation |
#
# ### SA: self-attention (Sec. III-B1, [chapter 03](03_sa.ipynb))
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $Q, K, V$ | query, key and value | $c \times H \times W$ each | `depthwise(qkv(x))`, 3 in one | Eqs. 1–3 |
# | $\hat Q, \hat V$ | the same, one row per channel | $c \times HW$; with heads $h \times \frac ch \times HW$ | `q`, `v` | Sec. III-B1 |
# | $\hat K$ | key, one column per channel | $HW \times c$ | `k.transpose(-2, -1)` | Sec. III-B1 |
# | $d$ | scales the logits; not defined. Rows have $HW$ entries | number | `scale="sqrt"`, or a learned `temperature` | Eq. 4 |
# | softmax$(\cdot)$ | the attention matrix, between *channels* | $h \times \frac ch \times \frac ch$ | `SelfAttention.attention` | Eq. 4 |
# | $X_w = X_{weighted}$ | attention times values; the paper uses both names | $c \times HW$ | `weights @ v` | Eq. 4 |
# | $R(\cdot) = \hat X_w$ | the same, as an image again | $c \times H \times W$ | `.reshape(x.shape)` | Eq. 5 |
# | $X_{sa}$ | the output | $c \times H \times W$ | `SelfAttention.forward` | Eq. 5 |

# %%
from aminet.lgfi import LGFI

config_a = PRESETS["aminet"]
block = LGFI(config_a.widths[1], config_a.heads[1], config_a.depths[1], config_a).eval()


with torch.inference_mode():
    x = torch.randn(1, 56, 64, 64)
    u, sa = block.norm(x), block.sa
    qkv = sa.depthwise(sa.qkv(u))
    weights, v = sa.attention(u)
    x_w = weights @ v
    x_sa = sa.project(x_w.reshape(u.shape))
    torch.testing.assert_close(x_sa, sa(u))
table([["X", size(x), "x"],
       ["Q, K, V together", size(qkv), "depthwise(qkv(u))"],
       ["V̂ per head", size(v), "v"],
       ["softmax(…)", size(weights), "attention(u)[0]"],
       ["X_w", size(x_w), "weights @ v"],
       ["X_sa", size(x_sa), "SelfAttention.forward"]], ["symbol", "shape", "in the code"])
print(f"each row of the attention matrix sums to {float(weights.sum(-1).mean()):.4f}")

# %% [markdown]
# ### RDFE: residual depth feature extraction (Sec. III-B2, [chapter 04](04_rdfe.ipynb))
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $f_1, f_2, f_3$ | three depthwise convolutions, 3, 5 and 7, of the same input | $c \times H \times W$ each | `first` | Eq. 6 |
# | $F_{au}$ | attention unit: concat, 1×1 from $3c$ to $c$, sigmoid | | `AttentionUnit` | Eq. 7, Fig. 3a |
# | $f'$ | its map, **shared** by the three branches, in (0, 1) | $c \times H \times W$ | `weight` | Eq. 7 |
# | $f_1', f_2', f_3'$ | the branches times the map; "$f_1(X)$" in Eq. 8 is $f_1$ | $c \times H \times W$ each | `f * weight` | Eq. 8 |
# | – | a second depthwise 3, 5, 7 and ReLU; drawn and described, in no equation | $c \times H \times W$ each | `second` | Fig. 3a |
# | $f''$ | concat, then 1×1 from $3c$ to $c$, plus input | $c \times H \times W$ | `fuse(cat) + x` | Eq. 9, in the other order |
# | $F_{frm}$ | feature refinement: norm, activation, 3×3 twice, hourglass, shortcut | | `FeatureRefinement` | Eq. 10 |
# | $f'''$ | the output, $X_{RD}$ in Fig. 2 | $c \times H \times W$ | `RDFE.forward` | Eq. 10 |

# %%
rd = block.local
with torch.inference_mode():
    f = [conv(u) for conv in rd.first]                                    # Eq. 6
    f1 = rd.attention_unit(f)                                             # Eq. 7, f'
    modulated = [g * f1 for g in f]                                       # Eq. 8
    second = [conv(g).relu() for conv, g in zip(rd.second, modulated)]    # in no equation
    f2 = rd.fuse(torch.cat(second, dim=1)) + u                            # Eq. 9, f''
    x_rd = rd.refine(f2)                                                  # Eq. 10, f'''
    mask = rd.refine.hourglass.attention(rd.refine.body(f2))
    torch.testing.assert_close(x_rd, rd(u))
table([["f_1, f_2, f_3", f"{size(f[0])} each", "depthwise 3×3, 5×5, 7×7"],
       ["f'", size(f1), "AttentionUnit, one for all three"],
       ["f_1'", size(modulated[0]), "f_1 times f'"],
       ["concat of three", size(torch.cat(second, dim=1)), "input of the 1×1"],
       ["f''", size(f2), "fuse(cat) + u"],
       ["map of the hourglass", size(mask), "Hourglass.attention"],
       ["f''' = X_RD", size(x_rd), "RDFE.forward"]], ["symbol", "shape", "in the code"])

# %% [markdown]
# ### SKAF: selective kernel attention fusion (Sec. III-B3, [chapter 05](05_skaf.ipynb))
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $X$ | the mixed feature (not the block's $X$) | $c \times H \times W$ | `x` of `SKAF` | Eq. 11 |
# | $X_1', X_2'$ | a dense 5×5 and a dense 7×7 of it | $c \times H \times W$ each | `convs` | Eq. 11 |
# | $X_3$ | both, concatenated | $2c \times H \times W$ | `x3` | Eq. 12 |
# | $H_{avep}, H_{maxp}$ | mean and maximum over the channels of each pixel | $1 \times H \times W$ each | `pooled` | Eq. 13 |
# | – | a convolution from the two to two maps; in no equation, needed by Table V | $2 \times H \times W$ | `mix` | our choice |
# | $X_3$, a second time | the two maps after the sigmoid | $2 \times H \times W$ | `maps(x)` | Eq. 13 |
# | $X', X''$ | the two maps, separated: the weights $w_1, w_2$ | $1 \times H \times W$ each | `w1, w2` | Eq. 14 |
# | $X', X''$, as drawn | input times map, the switch `gate="features"` | $c \times H \times W$ each | `x * w1, x * w2` | Fig. 2 |

# %%
skaf = block.skaf
with torch.inference_mode():
    mixed = block.reduce(torch.cat([x_sa, x_rd], dim=1))             # 2c -> c
    branches = [conv(mixed) for conv in skaf.convs]                  # Eq. 11
    x3 = torch.cat(branches, dim=1)                                  # Eq. 12
    pooled = torch.cat([x3.mean(1, keepdim=True), x3.amax(1, keepdim=True)], dim=1)
    maps = skaf.mix(pooled).sigmoid()                                # Eq. 13
    w1, w2 = maps.chunk(2, dim=1)                                    # Eq. 14
    x_out = x + x_sa * w1 + x_rd * w2
    torch.testing.assert_close(x_out, block(x))
table([["concat of X_SA, X_RD", size(torch.cat([x_sa, x_rd], dim=1)), "input of LGFI.reduce"],
       ["X", size(mixed), "LGFI.reduce(cat)"],
       ["X_1', X_2'", f"{size(branches[0])} each", "convs[0], convs[1]"],
       ["X_3 of Eq. 12", size(x3), "x3"],
       ["mean and maximum", size(pooled), "cat of the pooled"],
       ["X_3 of Eq. 13", size(maps), "SKAF.maps(x)"],
       ["X', X''", f"{size(w1)} each", "w1, w2"],
       ["X_out", size(x_out), "equal to LGFI.forward"]], ["symbol", "shape", "in the code"])

# %% [markdown]
# ### EDFF: encoder and decoder feature fusion (Sec. III-C, [chapter 07](07_edff.ipynb))
#
# E stands for encoder, D for decoder.
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $X_E$ | the encoder's feature of this level, from the skip | $c \times H \times W$ | `encoder` | Eq. 15 |
# | $X_D$ | the decoder's feature, just enlarged | $c \times H \times W$ | `decoder` | Eq. 15 |
# | $F_{skaf}$ | SKAF, on a 1×1 of both | two of $1 \times H \times W$ | `skaf(reduce(cat))` | Eq. 15 |
# | $X_{ED}$ | $X_E \cdot X' + X_D \cdot X''$ | $c \times H \times W$ | `EDFF.forward` | Eq. 16 |

# %%
from aminet.edff import EDFF

fusion = EDFF(56).eval()
with torch.inference_mode():
    x_e, x_d = torch.randn(2, 1, 56, 64, 64)
    w1, w2 = fusion.skaf(fusion.reduce(torch.cat([x_e, x_d], dim=1)))  # Eq. 15
    x_ed = x_e * w1 + x_d * w2                                         # Eq. 16
    torch.testing.assert_close(x_ed, fusion(x_e, x_d))
table([["X_E", size(x_e), "encoder"], ["X_D", size(x_d), "decoder"], ["X', X''", f"{size(w1)} each", "w1, w2"],
       ["X_ED", size(x_ed), "equal to EDFF.forward"]], ["symbol", "shape", "in the code"])

# %% [markdown]
# <details><summary>What the paper leaves open</summary>
#
# > "Given the feature $X_E$, the feature $X_D$ is from the decoding stage and the encoding stage, respectively." (Sec. III-C)
#
# Fig. 2 and the letters themselves say the opposite. We follow Fig. 2.
#
# </details>
#
# ### Exercise 2: how large is the attention matrix?
#
# *Level 1, 5 minutes.* Attention between pixels needs $(HW)^2$ numbers, and $HW$ is 16 384 at full resolution. SA attends between channels.
# Write `entries(channels, heads)`: how many numbers SA's attention matrices hold together, for one image.

# %% tags=["exercise"]
def entries(channels, heads):
    """The numbers in all attention matrices of one SA, for one image."""
    ...  # your turn


passed = check("A.2", entries)

# %% tags=["solution"]
def entries(channels, heads):
    """The numbers in all attention matrices of one SA, for one image."""
    return heads * (channels // heads) ** 2


passed = check("A.2", entries)

# %%
from aminet.sa import SelfAttention

rows = []
for level in range(4):
    side, width = 128 >> level, config_a.widths[level]
    sa = SelfAttention(width, config_a.heads[level])
    matrix, v = sa.attention(torch.zeros(1, width, 8, 8))
    rows.append([f"{side}×{side}", matrix.numel(), side**4])
table(rows, ["level", "numbers between channels", "between pixels"])

# %% [markdown]
# ## Operators
#
# | symbol | meaning | in the code |
# |---|---|---|
# | $F_{conv1}$ | 1×1 (pointwise) convolution: mixes channels, sees one pixel | `nn.Conv2d(a, b, 1)` |
# | $F_{conv5}, F_{conv7}$ | dense 5×5 and 7×7 convolution: mixes channels and pixels | `nn.Conv2d(c, c, k, padding=k // 2)` |
# | $F_{dw3}, F_{dw5}, F_{dw7}$ | depthwise convolution: one kernel per channel, channels stay apart | `groups=c` |
# | $H_{cat}$ | concatenation along the channels | `torch.cat(..., dim=1)` |
# | $H_{avep}, H_{maxp}$ | mean and maximum along the channels | `.mean(1)`, `.amax(1)` |
# | $H_{sig}$ | sigmoid, $1 / (1 + e^{-x})$ | `.sigmoid()` |
# | $H_{cs}$ | separation along the channels | `.chunk(2, dim=1)` |
# | $R$ | rearranges rows to an image | `.reshape(...)` |
# | $\cdot$ | a matrix product in Eq. 4, an element-wise product in Eqs. 8 and 16 | `@`, `*` |
#
# ## Losses (Sec. III-D)
#
# | symbol | meaning | value | where |
# |---|---|---|---|
# | $\mathcal L(\Theta)$ | mean absolute error between output and original: all of AMINet's training ([chapter 09](09_train_aminet.ipynb)) | | Eq. 17 |
# | $\mathcal L_{pix}$ | the same for AMIGAN's generator $G$ | | Eq. 18 |
# | $\mathcal L_{pcp}$ | perceptual loss: mean absolute difference of VGG19 features | | Eq. 19 |
# | $f^l_{VGG}$, $M^l_{VGG}$, $L_{VGG}$ | features of layer $l$, their number of entries, number of layers used (which ones is not stated) | | Eq. 19 |
# | $\mathcal L_{dis}$, $D$ | loss of the discriminator, and the discriminator (its architecture is not stated) | | Eq. 20 |
# | $\mathcal L_{adv}$ | adversarial loss of the generator | | Eq. 21 |
# | $\lambda_{pix}, \lambda_{pcp}, \lambda_{adv}$ | weights of the three | 1, 0.01, 0.01 | Eq. 22, Sec. IV-B |
# | $\beta_1, \beta_2$ | Adam's decay rates | 0.9, 0.99 | Sec. IV-B |
#
# Eq. 17 in one line, on the portrait and its bicubic face:

# %%
loss = (image - to_float(hr)).abs().mean()  # Eq. 17 per value, so that it does not grow with the image
print(f"L1 of bicubic: {float(loss):.4f} in the range [-1, 1], so {127.5 * float(loss):.1f} of 255 levels per value")

# %% [markdown]
# Eq. 17 as printed is a sum over all values of a face; `nn.L1Loss` takes the mean. They differ by the constant factor $3HW = 49\,152$ only.
#
# ## Presets
#
# A preset is a full set of answers to what the paper leaves open.
#
# * `aminet` is the one whose counts fit the published ones. `aminet-8c` and `aminet-c32` are other interpretations, brought to the same number of parameters.
# * `aminet-s` is our interpretation of the paper's small version.
# * `pocket`, `pocket-s` and `pocket-8c` are small enough for a CPU.

# %%
from aminet.ledger import PUBLISHED, bill

rows = []
for name, preset in PRESETS.items():
    total = bill(preset)[""]
    widths, published = ", ".join(map(str, preset.widths)), ", ".join(PUBLISHED.get(name, ("–",)))
    rows.append([name, preset.channels, widths, total.params / 1e6, total.conv / 1e9, published])
table(rows, ["preset", "C", "widths at 128, 64, 32, 16", "parameters (millions)", "MACs of convolutions (billions)",
             "published"])

# %% [markdown]
# The [MACs](#words), multiplications with an addition, are for one 128×128 face. Three published rows have the digits of the tool `thop`, which counts in its own way ([chapter 08](08_aminet_and_its_bill.ipynb)).
#
# ## Where the paper contradicts itself
#
# Every long paper contradicts itself somewhere, and whoever rebuilds its network must decide. The first box below lists such places, our decisions, and the chapters with the evidence.
#
# The number of channels at the bottom of the U is the largest case: $8C$ in the text, $4C$ in Fig. 2. Below, each point is a network of one width $C$, everything else as in `aminet`. If $8C$ were right, the cross would lie on the orange line.

# %% tags=["plot"]
from dataclasses import replace

figure, axis = plt.subplots(figsize=(7.5, 4), layout="constrained")
for cap, colour in ((4, "C0"), (8, "C1")):
    totals = {C: bill(replace(config_a, channels=C, cap=cap))[""] for C in range(16, 35)}
    axis.plot([t.params / 1e6 for t in totals.values()], [t.conv / 1e9 for t in totals.values()], ".-", color=colour,
              label=f"bottleneck of {cap}C")
    for C in (16, 20, 24, 28, 32):
        axis.annotate(f"C = {C}", (totals[C].params / 1e6, totals[C].conv / 1e9), textcoords="offset points",
                      xytext=(-8, 7) if cap == 4 else (6, -11), fontsize=9, color=colour, ha="right" if cap == 4 else "left")
axis.plot(12.62, 15.6, "k+", markersize=13, markeredgewidth=2, label="published, Table X", zorder=5)
axis.set(title="No width fits the published pair with 8C", xlabel="parameters (millions)", ylabel="MACs (billions)",
         xlim=(0, 31), ylim=(4, 24))
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# The cross lies beside $C = 28$ on the blue line, $4C$. With $8C$ and these hourglasses, 12.62 M parameters have about 8.9 billion MACs. `aminet-8c`, with shallower hourglasses, has 10.2. No $8C$ network reaches 15.6 ([chapter 08](08_aminet_and_its_bill.ipynb)).
#
# <details><summary>Ten places where the paper contradicts itself, or seems to</summary>
#
# Rows 7 and 8 only seem to.
#
# | | one side | other side | decision here | more in |
# |---|---|---|---|---|
# | 1 | bottleneck of $8C$ (Sec. III-A) | $4C$ (label in Fig. 2); 12.62 M with 15.6 G (Table X) | $4C$, switch `cap` | [08](08_aminet_and_its_bill.ipynb) |
# | 2 | w/o SKAF has 8.21 M (Table I) | w/o SA has 12.3 M (Table I): any interpretation with the first has 12.36 M or more here | 12.3 is truncated, not rounded | [08](08_aminet_and_its_bill.ipynb) |
# | 3 | SPARNet has 10.6 M (Table VI) | SPARNet has 16.6 M (Table X) | its public code has 10.5 M: 16.6 looks like a slip | [08](08_aminet_and_its_bill.ipynb) |
# | 4 | Eqs. 8, 9 and 13 as printed | the shapes: $H_{cat}$ of one tensor, $f_1$ of $X$, $X_3$ on both sides | $F_{conv1}(H_{cat}(\cdot)) + X$, and new names | [04](04_rdfe.ipynb), [05](05_skaf.ipynb) |
# | 5 | $X_E$ is the decoder's (Sec. III-C) | $X_E$ is the encoder's (Fig. 2) | Fig. 2 | [07](07_edff.ipynb) |
# | 6 | average pooling alone is worse than maximum alone (Sec. IV-C5) | 27.79 dB (average) against 27.78 dB (maximum) (Table V) | the table; 0.01 dB decides nothing | [05](05_skaf.ipynb) |
# | 7 | full model 27.83 dB (Tables I to V) | full model 28.26 dB (Tables VII, X) | two trainings: never compare across | [08](08_aminet_and_its_bill.ipynb) |
# | 8 | one learning rate, $2 \cdot 10^{-4}$ (Sec. IV-B) | $1 \cdot 10^{-4}$ and $4 \cdot 10^{-4}$ in the same sentence | the first is AMINet's, the others AMIGAN's | [09](09_train_aminet.ipynb) |
# | 9 | best of all methods (Table VII) | CTCNet 28.37 dB above AMINet 28.26 dB (Table X); it is missing from Table VII | both tables are quoted; older rows equal those of CTCNet's paper digit for digit | [12](12_comparisons.ipynb) |
# | 10 | SKAF's maps are the weights (Eqs. 13–16) | each map multiplies SKAF's own input (Fig. 2) | maps, switch `gate` | [05](05_skaf.ipynb) |
#
# </details>
#
# <details><summary>Misprints: what is printed, and what is meant</summary>
#
# | printed | meant | where |
# |---|---|---|
# | RDEM, RDEF | RDFE | Secs. III-B, IV-C1 |
# | "multi-head mechanism in SR" | in SA | Sec. III-B1 |
# | "doubling the width and weight" | width and height | Sec. III-A3 |
# | $F_3 \in \mathbb R^{C \times H \times W}$ | the bottleneck's input, at $\frac H8 \times \frac W8$ | Sec. III-A |
# | output $I_{HR}$ | $I_{SR}$ | Sec. III-A |
# | "$X_{sa}$ is the attention map", "$X_{sa}$ denotes the output" in one sentence | the output | under Eq. 5 |
# | $X_w$ and $X_{weighted}$ | one tensor | Sec. III-B1, Eq. 4 |
# | $f_1(X) \cdot f'$ | $f_1 \cdot f'$ | Eq. 8 |
# | $H_{cat}(F_{conv1}(f_1', f_2', f_3')) + X$ | $F_{conv1}(H_{cat}(f_1', f_2', f_3')) + X$ | Eq. 9 |
# | $X_3 = H_{sig}(\ldots X_3 \ldots)$ | a new tensor of two maps | Eq. 13 |
# | "using average pooling" | average and maximum pooling | Sec. III-B, against Eq. 13 |
# | primes | $f'$ and $X', X''$ are weights; $f_1'$ and $X_1'$ are features | Eqs. 7–16 |
# | "$\Theta$ denote … the number of parameters" | the parameters | under Eq. 17 |
#
# </details>
#
# ## Abbreviations
#
# | | | chapter |
# |---|---|---|
# | AMINet | attention-guided multiscale interaction network | [08](08_aminet_and_its_bill.ipynb) |
# | AMINet-S | the small one: here "LGFI w/o SKAF", which has its size | [08](08_aminet_and_its_bill.ipynb) |
# | AMIGAN | AMINet trained as the generator of a GAN | [10](10_train_amigan.ipynb) |
# | LGFI | local and global feature interaction module | [06](06_lgfi.ipynb) |
# | SA | self-attention, here between channels | [03](03_sa.ipynb) |
# | RDFE | residual depth feature extraction module | [04](04_rdfe.ipynb) |
# | AU, FRM | attention unit, feature refinement module: parts of RDFE | [04](04_rdfe.ipynb) |
# | SKAF | selective kernel attention fusion module | [05](05_skaf.ipynb) |
# | EDFF | encoder and decoder feature fusion module | [07](07_edff.ipynb) |
# | FFN | feed-forward network, what a Transformer has in place of RDFE | [06](06_lgfi.ipynb) |
# | FSR | face super-resolution | [00](00_a_first_face.ipynb) |
# | GAN | generative adversarial network | [10](10_train_amigan.ipynb) |
# | CNN | convolutional neural network | [12](12_comparisons.ipynb) |

# %% [markdown]
# ## Words
#
# The last column is the chapter that introduces the word.
#
# | word | meaning | chapter |
# |---|---|---|
# | **ablation** | An experiment that removes or replaces one part of a network, trains it again, and compares the scores. | [11](11_ablations.ipynb) |
# | **adversarial loss** | The part of a generator's loss that is small when the discriminator takes its pictures for real ones. | [10](10_train_amigan.ipynb) |
# | **antialiasing** | When a picture is reduced, the kernel is widened so that every pixel contributes to the result. | [01](01_the_problem.ipynb) |
# | **attention** | A layer that computes weights from its own input, and returns averages of the input with these weights. | [03](03_sa.ipynb) |
# | **batch** | The pictures that a network sees together in one training step. | [09](09_train_aminet.ipynb) |
# | **batch norm** | A layer that brings each channel to mean 0 and variance 1 over all pixels of a batch, and then scales and shifts it by learned numbers. | [04](04_rdfe.ipynb) |
# | **bicubic** | Enlarging or reducing a picture with a fixed, smooth kernel that learns nothing; the baseline of all tables. | [01](01_the_problem.ipynb) |
# | **bootstrap interval** | A range for a mean, found by drawing the measured values again and again, with replacement. | [02](02_measuring_a_face.ipynb) |
# | **bottleneck** | The bottom of a U-net, where the feature is smallest in pixels. | [08](08_aminet_and_its_bill.ipynb) |
# | **channel** | One of the maps, each height by width, of which a picture or a feature consists. | [03](03_sa.ipynb) |
# | **checkpoint** | A file with the weights and the state of a training, from which it can go on. | [09](09_train_aminet.ipynb) |
# | **convolution** | A layer whose every output pixel is a weighted sum of the input pixels around it, with the same weights at every place. | [04](04_rdfe.ipynb) |
# | **decoder** | The right side of a U-net, which enlarges the feature step by step. | [07](07_edff.ipynb) |
# | **degradation** | The way in which an LR picture is made from an HR picture; here, bicubic reduction by 8. | [01](01_the_problem.ipynb) |
# | **depthwise convolution** | A convolution with one kernel for each channel, so that channels do not mix. | [04](04_rdfe.ipynb) |
# | **discriminator** | A network that learns to tell real pictures from restored ones. | [10](10_train_amigan.ipynb) |
# | **encoder** | The left side of a U-net, which makes the feature smaller and wider step by step. | [07](07_edff.ipynb) |
# | **feature** | The output of a layer inside a network: a stack of channels. | [03](03_sa.ipynb) |
# | **FID** | A distance between two *sets* of pictures, of the means and covariances of their deep features; less is better, and small sets give too much. | [10](10_train_amigan.ipynb) |
# | **GAN** | Generative adversarial network: a generator and a discriminator that are trained against each other. | [10](10_train_amigan.ipynb) |
# | **gate, map** | A factor between 0 and 1 for each pixel, with which a feature is multiplied. | [05](05_skaf.ipynb) |
# | **generator** | The network of a GAN that makes pictures; for AMIGAN it is AMINet. | [10](10_train_amigan.ipynb) |
# | **head (of attention)** | One of several attentions side by side, each with its own share of the channels. | [03](03_sa.ipynb) |
# | **hourglass** | A small U-net inside RDFE that computes one map. | [04](04_rdfe.ipynb) |
# | **HR** | High resolution: the original picture, here 128×128 pixels. | [00](00_a_first_face.ipynb) |
# | **identity** | The cosine between what a face network makes of a restored face and of its original; more is better. | [14](14_faces_at_work.ipynb) |
# | **IoU** | Intersection over union: the pixels of a part that two parsings share, over those that either has; 1 for the same. | [14](14_faces_at_work.ipynb) |
# | **key** | The vector that says what a channel has to offer; a query is compared with all keys. | [03](03_sa.ipynb) |
# | **L1** | The mean of the absolute differences between two pictures; AMINet's loss. | [09](09_train_aminet.ipynb) |
# | **layer norm** | A layer that brings the channels of each pixel to mean 0 and variance 1, and then scales and shifts them by learned numbers. | [06](06_lgfi.ipynb) |
# | **LeakyReLU** | A function that keeps positive values and multiplies negative ones by a small fixed number, here 0.2. | [08](08_aminet_and_its_bill.ipynb) |
# | **level** | All features of a U-net that have the same resolution. | [08](08_aminet_and_its_bill.ipynb) |
# | **loss** | The number that training makes small. | [09](09_train_aminet.ipynb) |
# | **LPIPS** | A distance between the deep features of two pictures, made to agree with people's judgement; less is better. | [10](10_train_amigan.ipynb) |
# | **LR** | Low resolution: the reduced picture, here 16×16 pixels. | [00](00_a_first_face.ipynb) |
# | **luma** | The brightness $Y$ of a pixel, a weighted sum of red, green and blue. | [02](02_measuring_a_face.ipynb) |
# | **MAC** | One multiplication with one addition: the unit in which a network's work is counted. | [08](08_aminet_and_its_bill.ipynb) |
# | **parameter** | A number that training changes; a weight or a bias. | [08](08_aminet_and_its_bill.ipynb) |
# | **own start** | A method's output layer as its authors made it; *from bicubic*, all methods begin with the enlarged LR face. | [12](12_comparisons.ipynb) |
# | **pending** | Said of a number whose trainings are not all done: three for a row of an ablation, one for a compared method. | [11](11_ablations.ipynb) |
# | **perceptual loss** | A loss that compares features of a trained network, VGG19, instead of pixels. | [10](10_train_amigan.ipynb) |
# | **pixel shuffle** | A rearrangement in which four channels become one channel of twice the height and width. | [08](08_aminet_and_its_bill.ipynb) |
# | **pointwise convolution** | A 1×1 convolution: it mixes the channels of each pixel and sees no neighbours. | [04](04_rdfe.ipynb) |
# | **PReLU** | A function that keeps positive values and multiplies negative ones by a learned number. | [04](04_rdfe.ipynb) |
# | **preset** | A named, full set of settings of a network. | [08](08_aminet_and_its_bill.ipynb) |
# | **protocol** | All choices behind a score: channel, rounding, crop, window and averaging. | [02](02_measuring_a_face.ipynb) |
# | **PSNR** | $10 \log_{10}(255^2 / \text{MSE})$ in dB, where MSE is the mean squared difference of two pictures; more is better. | [02](02_measuring_a_face.ipynb) |
# | **query** | The vector that says what a channel looks for; it is compared with all keys. | [03](03_sa.ipynb) |
# | **receptive field** | The part of the input on which one output pixel depends. | [04](04_rdfe.ipynb) |
# | **record** | A file with the score of every face and the command that measured it. | [00](00_a_first_face.ipynb) |
# | **residual (shortcut)** | A connection that adds a layer's input to its output, so that the layer learns only the difference. | [00](00_a_first_face.ipynb) |
# | **seed** | The number that starts the random generator; another seed gives another training of the same network. | [09](09_train_aminet.ipynb) |
# | **sigmoid** | The function $1 / (1 + e^{-x})$, which brings any number into (0, 1). | [04](04_rdfe.ipynb) |
# | **skip** | A feature that the encoder hands to the decoder at the same level. | [07](07_edff.ipynb) |
# | **softmax** | A function that turns numbers into positive weights with the sum 1; the largest number gets the largest weight. | [03](03_sa.ipynb) |
# | **spectral norm** | A rescaling of a layer's weights that limits how much the layer can amplify its input. | [10](10_train_amigan.ipynb) |
# | **SR** | Super-resolution, or a super-resolved picture: the network's output. | [00](00_a_first_face.ipynb) |
# | **SSIM** | The similarity of brightness, contrast and pattern of two pictures in small windows; 1 is a perfect match. | [02](02_measuring_a_face.ipynb) |
# | **temperature** | A number that makes a softmax sharper or flatter; SA multiplies by it. | [03](03_sa.ipynb) |
# | **Transformer** | A block of attention and then a feed-forward network (FFN), each with a shortcut around it. | [06](06_lgfi.ipynb) |
# | **U-net** | A network that reduces its feature step by step and enlarges it again, with skips between equal resolutions. | [07](07_edff.ipynb) |
# | **value** | The vector that attention averages; its weights come from queries and keys. | [03](03_sa.ipynb) |
# | **VIF** | A measure of how much visual information of the original is left in a picture; 1 for the original. | [02](02_measuring_a_face.ipynb) |
#
# ## What to remember
#
# * Down the U, pixels are traded for channels: 28, 56, 112 and 112 channels at 128, 64, 32 and 16 pixels in the preset `aminet`.
# * Every block keeps the shape of its input; only down, up, head and tail change it. Attention maps and weights lie between 0 and 1.
# * Where the paper contradicts itself, this page names our decision and the chapter with the evidence.
#
# Back to the beginning: [00 a first face](00_a_first_face.ipynb).
