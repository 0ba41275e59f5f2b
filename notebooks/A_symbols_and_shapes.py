# %% [markdown]
# # A · Symbols and shapes
#
# The page to keep open beside all others: what every symbol of the paper means, which shape it has, what it is called in the code, and where the paper disagrees with itself.
#
# *About 1 minute on a CPU, then a page to look things up in* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/A_symbols_and_shapes.ipynb) · previous: [13 · The GANs compared](13_compared_gans.ipynb) · next: none, back to [00 a first face](00_a_first_face.ipynb)
#
# **You will be able to**
#
# * **look up** any symbol of the paper and find its tensor in the code;
# * **trace** the shape of a face through the whole network, and through one block;
# * **tell** a slip of the pen from a real contradiction in the paper.

# %% tags=["parameters"]
preset_name = "aminet"  # whose U is traced and drawn: aminet, aminet-s, aminet-8c, aminet-c32, pocket
WIDGETS = False         # True in a live notebook: a menu of presets
PARAMETERS = dict(globals())

# %% tags=["setup"]
import sys
from pathlib import Path

if "google.colab" in sys.modules and not Path("../aminet/notebook.py").exists():  # fetch the course
    get_ipython().system("git clone -q -c advice.detachedHead=false --depth 1 -b v0.2.0 "
                         "https://github.com/aminet-course/aminet /content/aminet "
                         "&& pip install -q -r /content/aminet/notebooks/colab.txt")
    get_ipython().run_line_magic("cd", "-q /content/aminet/notebooks")
if not Path("../aminet/notebook.py").exists():
    raise FileNotFoundError("start in the course's folder notebooks/ (papermill: --cwd notebooks; Colab: see above)")
sys.path.insert(0, "..")
from aminet.notebook import begin, grade, show  # noqa: F401

begin(globals(), PARAMETERS)

# %% [markdown]
# ## How to read this page
#
# Each section is a table, then a cell that runs the code and prints the shapes, so that no table has to be believed. Shapes leave out the batch.
# $C$ is the width at full resolution, $c$ the width at the level in question, $h$ the number of heads, and $H \times W$ the pixels of the level. In the preset `aminet`, $C = 28$ and the image has 128×128 pixels.
# The column "in the code" names what you find in `aminet/`. "Where" is an equation, a figure or a section of the paper.
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
# Two traps. $I_{LR}$ is "low resolution" in content only: Fig. 2 draws it with 128×128 pixels. And Sec. III-A calls the output $I_{HR}$ once; the original and the output are different things, so it is $I_{SR}$ here.

# %%
import torch

from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits

hr = portraits()["collins"][None]  # Eileen M. Collins, photo: NASA, public domain
lr = degrade(hr)
image = to_float(upsample(lr))     # what the network takes
for symbol, x in (("I_HR", hr), ("LR", lr), ("I_LR", image)):
    print(f"{symbol:5s} {str(tuple(x.shape[1:])):16s} {str(x.dtype)[6:]:8s} from {x.min():.3g} to {x.max():.3g}")

# %% [markdown]
# ## The U and its features
#
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
# The code counts *levels*, 0 at 128×128 to 3 at 16×16, and the decoder's lists are indexed by level, too: decoder 1 of the paper is `decoders[2]`.
# $4C$ or $8C$ at the bottom is the paper's largest contradiction; the config has the switch `cap`, and the section on contradictions below shows why 4 is the default.
#
# ## A live trace
#
# A *forward hook* is a function that PyTorch calls each time a module has run. One hook per stage, one face through the network, and the order of Fig. 2 writes itself.

# %%
from aminet.config import PRESETS, AMINetConfig
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
print(f"{'in the code':15s}{'made by':11s}{'symbol':9s}shape")
print(f"{'image':15s}{'':11s}{'I_LR':9s}{tuple(image.shape[1:])}")
for name, kind, symbol, shape in stages:
    print(f"{name:15s}{kind:11s}{symbol:9s}{shape}")
print(f"{'tail + image':15s}{'sum':11s}{'I_SR':9s}{tuple(image.shape[1:])}")
lgfis = sum(kind == "LGFI" for _, kind, _, _ in stages)
edffs = sum(kind == "EDFF" for _, kind, _, _ in stages)
print(f"\n{lgfis} LGFI and {edffs} EDFF, so {lgfis + edffs} SKAF")

# %% [markdown]
# ## Fig. 2, redrawn from the trace
#
# Every block is a tensor, its **height is the resolution** and its **width the number of channels**, both to scale; the colour says which module made it.
# Under it stand the paper's symbol and the number of channels. Nothing is drawn by hand: another preset gives another figure.

# %%
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
        x += width + 0.52
    return {block["name"]: block for block in blocks}


def arrow(axis, points, colour="0.45", style="-"):
    """A line through the points with a head at its end."""
    axis.plot(*zip(*points), color=colour, linestyle=style, linewidth=1.1)
    axis.annotate("", points[-1], points[-2], arrowprops={"arrowstyle": "-|>", "color": colour, "shrinkA": 0, "shrinkB": 0,
                                                          "linewidth": 1.1})

# %%
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
    cuts = [(blocks[a]["x"] + blocks[b]["x"]) / 2 for a, b in (("image", "head"), ("downs.2", "bottleneck.0"),
                                                               ("bottleneck.1", "ups.2"), ("tail", "output"))]
    for low, high, stage, shade in zip(cuts, cuts[1:], ("encoding", "bottleneck", "decoding"), ("#f1f5f9", "#e2e8f0", "#f1f5f9")):
        axis.axvspan(low, high, color=shade, linewidth=0, zorder=0)
        axis.text((low + high) / 2, -4.17, stage, ha="center", fontsize=9, color="0.3")
    for level, y in ROW.items():
        times = config.widths[level] // config.channels
        axis.text(-0.35, y, f"{128 >> level}×{128 >> level}\n{times if times > 1 else ''}C, h = {config.heads[level]}, "
                  f"d = {config.depths[level]}", ha="right", va="center", fontsize=8)
    handles = [Patch(color=colour, label=kind) for kind, colour in COLOURS.items() if kind != "image"]
    handles += [plt.Line2D([], [], color=COLOURS["EDFF"], linestyle="--", label="skip"),
                plt.Line2D([], [], color="0.45", linestyle="--", label="+ input")]
    axis.legend(handles=handles, loc="center", ncols=4, fontsize=8.5, bbox_to_anchor=(0.55, 0.71))
    axis.set(xlim=(-2.4, blocks["output"]["x"] + 0.3), ylim=(-4.3, 1.2), xticks=[], yticks=[])
    axis.spines[:].set_visible(False)
    axis.grid(False)

# %%
def explore(preset_name=preset_name):
    """The U of a preset."""
    config = PRESETS[preset_name]
    blocks = layout(trace(config, image))
    order = list(blocks.values())
    figure, axis = plt.subplots(figsize=(11.6, 5.2), layout="constrained", dpi=95)
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
                  ha="center", va="top", fontsize=8.5, linespacing=1.1)
    axis.set_title(f"AMINet, preset {preset_name}: one face, from left to right")
    return figure


figure = explore()
if WIDGETS:
    from ipywidgets import interact
    interact(explore, preset_name=list(PRESETS))

# %% [markdown]
# $h$ is the number of heads of SA and $d$ the depth of the hourglass in RDFE at that level; neither is stated in the paper.
# Read the figure once from left to right. The tensors get *wider* and *flatter*: at the bottom a "pixel" stands for 8×8 pixels of the face, which is one pixel of the 16×16 picture.
# Each orange block has two arrows: from the left what the decoder has made so far, $X_D$, and from above what the encoder knew at that resolution, $X_E$.
#
# ## The same U, alive
#
# The course's own weights (preset `pocket`, a narrow network) on a portrait: the root mean square over the channels of each feature, each without its mean. Bright means: far from the average.

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


figure = show([[strength(features[f"encoders.{i}"]) for i in range(3)] + [strength(features["bottleneck.0"])],
               [strength(features[f"decoders.{i}"]) for i in range(3)] + [strength(features["bottleneck.1"])]],
              titles=["128×128", "64×64", "32×32", "16×16"], labels=["going down", "going up"], height=1.7)
names = [["$X_E$", "$X_E$", "$X_E$", "in the bottleneck"], ["$F_7$", "$F_6$", "$F_5$", "$F_4$"]]
for axis, name in zip(figure.axes, sum(names, [])):
    axis.set_xlabel(name)

# %% [markdown]
# The upper row is read from left to right, the lower one from right to left. Going down, the network describes, and brightness itself is part of the description. Going up, it draws: $F_7$ is what the tail turns into the correction, so little but lines is left.
#
# ### Exercise 1: the shape of any feature
#
# Write `shape_of(k, C, cap, size)`: (channels, height, width) of $F_k$, $k = 1 \ldots 7$, for a network of width $C$ on a `size` × `size` image. `cap` is 4 as in Fig. 2, or 8 as in Sec. III-A1.
# The answers are traced from four tiny networks.

# %% tags=["exercise"]
CASES_1 = []
for C, cap, size in ((4, 4, 32), (4, 8, 64), (2, 8, 32), (6, 4, 64)):
    tiny = AMINetConfig(channels=C, cap=cap, heads=(1, 1, 1, 1), depths=(1, 1, 1, 1))
    traced = {symbol: shape for _, _, symbol, shape in trace(tiny, torch.zeros(1, 3, size, size))}
    CASES_1 += [((k, C, cap, size), traced[f"F_{k}"]) for k in range(1, 8)]


def shape_of(k, C, cap, size):
    ...  # your turn


passed = grade(shape_of, CASES_1, "F_k lies at level k while going down; which level has F_4, and which F_7?")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def always_doubling(k, C, cap, size):
    level = k if k <= 3 else 7 - k
    return C * 2**level, size >> level, size >> level


def shape_of(k, C, cap, size):
    level = k if k <= 3 else 7 - k  # F_4 is still at the bottom: 7 - 4 = 3
    return C * min(2**level, cap), size >> level, size >> level


hint = "right for one value of cap. What does cap = 4 forbid at the bottom?"
passed = grade(always_doubling, CASES_1, hint)
passed = grade(shape_of, CASES_1, hint)

# %% [markdown]
# ## Inside an LGFI
#
# One LGFI at level 1 of the preset `aminet` serves for the next three tables: $c = 56$, two heads, 64×64 pixels. Every tensor of Eqs. 1 to 14 is computed and named, and at the end the sum is compared with the module itself.
#
# ### LGFI: the block (Sec. III-B, [notebook 06](06_lgfi.ipynb))
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $X$ | the block's input | $c \times H \times W$ | `x` | Fig. 2 |
# | – | normalised input; LN is not drawn, so it is the switch `norm` | $c \times H \times W$ | `u = LGFI.norm(x)` | our reading |
# | $X_{SA}$ | the global feature | $c \times H \times W$ | `a = LGFI.sa(u)` | Fig. 2; $X_{sa}$ in Eq. 5 |
# | $X_{RD}$ | the local feature | $c \times H \times W$ | `r = LGFI.local(u)` | Fig. 2; $f'''$ in Eq. 10 |
# | – | both, mixed by a 1×1 from $2c$ to $c$: SKAF's input | $c \times H \times W$ | `LGFI.reduce` | Fig. 2, no equation |
# | $X_{out}$ | $X_{SA} \cdot w_1 + X_{RD} \cdot w_2$; we add $X$, the switch `residual` | $c \times H \times W$ | `LGFI.forward` | Fig. 2, no equation |
#
# ### SA: self-attention (Sec. III-B1, [notebook 03](03_sa.ipynb))
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


def tell(symbol, x, code):
    print(f"{symbol:22s}{str(tuple(x.shape[1:])):18s}{code}")


with torch.inference_mode():
    x = torch.randn(1, 56, 64, 64)
    u, sa = block.norm(x), block.sa
    qkv = sa.depthwise(sa.qkv(u))
    weights, v = sa.attention(u)
    x_w = weights @ v
    x_sa = sa.project(x_w.reshape(u.shape))
    torch.testing.assert_close(x_sa, sa(u))
tell("X", x, "x")
tell("Q, K, V together", qkv, "depthwise(qkv(u))")
tell("V^ per head", v, "v")
tell("softmax(Q^ K^ / ..)", weights, "attention(u)[0]")
tell("X_w", x_w, "weights @ v")
tell("X_sa", x_sa, "SelfAttention.forward")
print(f"each row of the attention matrix sums to {float(weights.sum(-1).mean()):.4f}")

# %% [markdown]
# ### RDFE: residual depth feature extraction (Sec. III-B2, [notebook 04](04_rdfe.ipynb))
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
for k, g in zip((3, 5, 7), f):
    tell(f"f_{(k - 1) // 2}", g, f"depthwise {k}×{k}")
tell("f'", f1, "AttentionUnit, one for all three")
tell("f_1'", modulated[0], "f_1 times f'")
tell("concat of three", torch.cat(second, dim=1), "input of the 1×1")
tell("f''", f2, "fuse(cat) + u")
tell("map of the hourglass", mask, "Hourglass.attention")
tell("f''' = X_RD", x_rd, "RDFE.forward")

# %% [markdown]
# ### SKAF: selective kernel attention fusion (Sec. III-B3, [notebook 05](05_skaf.ipynb))
#
# | symbol | meaning | shape | in the code | where |
# |---|---|---|---|---|
# | $X$ | the mixed feature (not the block's $X$) | $c \times H \times W$ | `x` of `SKAF` | Eq. 11 |
# | $X_1', X_2'$ | a dense 5×5 and a dense 7×7 of it | $c \times H \times W$ each | `convs` | Eq. 11 |
# | $X_3$ | both, concatenated | $2c \times H \times W$ | `x3` | Eq. 12 |
# | $H_{avep}, H_{maxp}$ | mean and maximum over the channels of each pixel | $1 \times H \times W$ each | `pooled` | Eq. 13 |
# | – | a convolution from the two to two maps; in no equation, needed by Table V | $2 \times H \times W$ | `mix` | our reading |
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
tell("concat of X_SA, X_RD", torch.cat([x_sa, x_rd], dim=1), "input of LGFI.reduce")
tell("X", mixed, "LGFI.reduce(cat)")
tell("X_1', X_2'", branches[0], "convs[0], convs[1]")
tell("X_3 of Eq. 12", x3, "x3")
tell("mean and max", pooled, "cat of the pooled")
tell("X_3 of Eq. 13", maps, "SKAF.maps(x)")
tell("X', X''", w1, "w1, w2")
tell("X_out", x_out, "equal to LGFI.forward")

# %% [markdown]
# ### EDFF: encoder and decoder feature fusion (Sec. III-C, [notebook 07](07_edff.ipynb))
#
# > "Given the feature $X_E$, the feature $X_D$ is from the decoding stage and the encoding stage, respectively." (Sec. III-C)
#
# Fig. 2 and the letters themselves say the opposite, and so do we: E for encoder, D for decoder.
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
for symbol, value, code in (("X_E", x_e, "encoder"), ("X_D", x_d, "decoder"), ("X', X''", w1, "w1, w2"),
                            ("X_ED", x_ed, "equal to EDFF.forward")):
    tell(symbol, value, code)

# %% [markdown]
# ### Exercise 2: how large is the attention matrix?
#
# Attention between pixels needs $(HW)^2$ numbers, and $HW$ is 16 384 at full resolution. SA attends between channels.
# Write `entries(channels, heads)`: how many numbers SA's attention matrices hold together, for one image.

# %% tags=["exercise"]
from aminet.sa import SelfAttention

CASES_2 = [((c, h), SelfAttention(c, h).attention(torch.zeros(1, c, 8, 8))[0].numel())
           for c, h in ((28, 1), (56, 2), (112, 4), (24, 8))]


def entries(channels, heads):
    ...  # your turn


passed = grade(entries, CASES_2, "each head has a matrix of its own, between its own channels only.")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def one_big_matrix(channels, heads):
    return channels**2


def entries(channels, heads):
    return heads * (channels // heads) ** 2


hint = "right for one head. Two heads share no channel, so half of that matrix is never computed."
passed = grade(one_big_matrix, CASES_2, hint)
passed = grade(entries, CASES_2, hint)

# %%
for level, (c, h) in enumerate(zip(config_a.widths, config_a.heads)):
    pixels = (128 >> level) ** 2
    print(f"{128 >> level:3d}×{128 >> level:<3d} channels: {entries(c, h):5d} numbers; pixels: {pixels**2:11d}")

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
# | $\mathcal L(\Theta)$ | mean absolute error between output and original: all of AMINet's training ([notebook 09](09_train_aminet.ipynb)) | | Eq. 17 |
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
# Eq. 17 as printed is a sum over all values of a face; `nn.L1Loss` takes the mean, which differs by the constant factor $3HW = 49\,152$ and by nothing else.
#
# ## Presets
#
# A preset is a full set of answers to what the paper leaves open. `aminet` is the one whose counts fit the published ones; `aminet-8c` and `aminet-c32` are other readings, brought to the same number of parameters to be measured; `aminet-s` is the paper's small version as we read it; `pocket` is small enough for a CPU.

# %%
from aminet.ledger import PUBLISHED, bill

print(f"{'preset':12s}{'C':>3s}  {'widths at 128, 64, 32, 16':28s}{'parameters':>12s}{'conv MACs':>11s}   published")
for name, c in PRESETS.items():
    total = bill(c)[""]
    printed = ", ".join(PUBLISHED.get(name, ("–",)))
    print(f"{name:12s}{c.channels:3d}  {str(c.widths):28s}{total.params / 1e6:10.3f} M{total.conv / 1e9:9.2f} G   {printed}")

# %% [markdown]
# Millions of parameters, and billions of multiply-adds (MACs) of convolutions for one 128×128 face. The published MACs come from the tool `thop`, which counts a little more ([notebook 08](08_aminet_and_its_bill.ipynb)).
#
# ## What cannot all be true
#
# Ten places where text, figures and tables of the paper contradict each other, or seem to until one knows how to read them (rows 7 and 8). None of them is a reproach, every long paper has some; but whoever rebuilds a network must decide.
#
# | | one side | other side | decision here | more in |
# |---|---|---|---|---|
# | 1 | bottleneck of $8C$ (Sec. III-A) | $4C$ (label in Fig. 2); 12.62 M with 15.6 G (Table X) | $4C$, switch `cap` | [08](08_aminet_and_its_bill.ipynb) |
# | 2 | w/o SKAF has 8.21 M (Table I) | w/o SA has 12.3 M (Table I): any reading with the first has 12.35 M or more here | 12.3 is truncated, not rounded | [08](08_aminet_and_its_bill.ipynb) |
# | 3 | SPARNet has 10.6 M (Table VI) | SPARNet has 16.6 M (Table X) | its public code has 10.5 M: 16.6 is a slip | [08](08_aminet_and_its_bill.ipynb) |
# | 4 | Eqs. 8, 9 and 13 as printed | the shapes: $H_{cat}$ of one tensor, $f_1$ of $X$, $X_3$ on both sides | $F_{conv1}(H_{cat}(\cdot)) + X$, and new names | [04](04_rdfe.ipynb), [05](05_skaf.ipynb) |
# | 5 | $X_E$ is the decoder's (Sec. III-C) | $X_E$ is the encoder's (Fig. 2) | Fig. 2 | [07](07_edff.ipynb) |
# | 6 | average pooling alone is worse than maximum alone (Sec. IV-C5) | 27.79 dB (average) against 27.78 dB (maximum) (Table V) | the table; 0.01 dB decides nothing | [05](05_skaf.ipynb) |
# | 7 | full model 27.83 dB (Tables I to V) | full model 28.26 dB (Tables VII, X) | two trainings: never compare across | [08](08_aminet_and_its_bill.ipynb) |
# | 8 | one learning rate, $2 \cdot 10^{-4}$ (Sec. IV-B) | $1 \cdot 10^{-4}$ and $4 \cdot 10^{-4}$ in the same sentence | the first is AMINet's, the others AMIGAN's | [09](09_train_aminet.ipynb) |
# | 9 | best of all methods (Table VII) | CTCNet 28.37 dB above AMINet 28.26 dB (Table X); it is missing from Table VII | both tables are quoted; older rows equal those of CTCNet's paper digit for digit | [02](02_measuring_a_face.ipynb) |
# | 10 | SKAF's maps are the weights (Eqs. 13–16) | each map multiplies SKAF's own input (Fig. 2) | maps, switch `gate` | [05](05_skaf.ipynb) |
#
# The first can be seen at a glance. Every point below is a network of one width $C$, everything else as in `aminet`. If the text's $8C$ were right, the cross would lie on the orange line.

# %%
from dataclasses import replace

figure, axis = plt.subplots(figsize=(6.4, 3.4), layout="constrained")
for cap, colour in ((4, "C0"), (8, "C1")):
    totals = {C: bill(replace(config_a, channels=C, cap=cap))[""] for C in range(16, 35)}
    axis.plot([t.params / 1e6 for t in totals.values()], [t.conv / 1e9 for t in totals.values()], ".-", color=colour,
              label=f"bottleneck of {cap}C")
    for C in (16, 20, 24, 28, 32):
        axis.annotate(f"C = {C}", (totals[C].params / 1e6, totals[C].conv / 1e9), textcoords="offset points",
                      xytext=(-8, 7) if cap == 4 else (6, -11), fontsize=8, color=colour, ha="right" if cap == 4 else "left")
axis.plot(12.62, 15.6, "k+", markersize=13, markeredgewidth=2, label="published, Table X", zorder=5)
axis.set(title="No width fits the published pair with 8C", xlabel="parameters (millions)", ylabel="MACs (billions)",
         xlim=(2, 31), ylim=(4, 24))
axis.legend(loc="lower right")
plt.show()

# %% [markdown]
# ## Slips of the pen
#
# These confuse only until one knows them.
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
# ## Abbreviations
#
# | | | built in |
# |---|---|---|
# | AMINet | attention-guided multiscale interaction network | [08](08_aminet_and_its_bill.ipynb) |
# | AMINet-S | the small one: read here as "LGFI w/o SKAF", which has its size | [08](08_aminet_and_its_bill.ipynb) |
# | AMIGAN | AMINet trained as the generator of a GAN | – |
# | LGFI | local and global feature interaction module | [06](06_lgfi.ipynb) |
# | SA | self-attention, here between channels | [03](03_sa.ipynb) |
# | RDFE | residual depth feature extraction module | [04](04_rdfe.ipynb) |
# | AU, FRM | attention unit, feature refinement module: parts of RDFE | [04](04_rdfe.ipynb) |
# | SKAF | selective kernel attention fusion module | [05](05_skaf.ipynb) |
# | EDFF | encoder and decoder feature fusion module | [07](07_edff.ipynb) |
# | FFN | feed-forward network, what a Transformer has in place of RDFE | [06](06_lgfi.ipynb) |
# | FSR | face super-resolution | [00](00_a_first_face.ipynb) |
# | CNN, GAN | convolutional network, generative adversarial network | – |

# %% [markdown]
# ## Words
#
# | word | meaning |
# |---|---|
# | LR, HR, SR | low resolution, high resolution (the original), super-resolved (the answer) |
# | bicubic | enlarging or reducing with a fixed smooth kernel; learns nothing; the baseline |
# | antialiasing | widening the kernel when reducing, so that every pixel is heard |
# | degradation | how an LR picture is made from an HR one |
# | feature, channel | what a layer returns: a stack of images, each of which is a channel |
# | level | all features of one resolution |
# | encoder, bottleneck, decoder | the way down the U, its bottom, the way up |
# | skip | a feature handed from the encoder to the decoder of the same level |
# | residual, shortcut | output = input + something learned |
# | receptive field | the part of the picture that one output pixel can depend on |
# | attention | weights computed from the data itself, then multiplied with it |
# | head | one of several attentions side by side, each with its share of the channels |
# | temperature | number that makes a softmax sharper or flatter |
# | gate, map | a factor between 0 and 1 for each pixel |
# | hourglass | a small U that draws one such map |
# | pixel shuffle | four channels become one channel of twice the height and width |
# | ablation | measuring a network with one part removed |
# | parameter, MAC | a learned number; one multiplication with one addition |
# | PSNR | $10 \log_{10}(255^2 / \text{MSE})$ in dB, more is better |
# | SSIM | similarity of brightness, contrast and pattern in small windows, at most 1 |
# | VIF | how much visual information of the original is left; 1 for the original |
# | LPIPS | distance of deep features, less is better |
# | FID | distance between two *sets* of pictures, less is better; biased for small sets |
# | protocol | all choices behind a score: channel, rounding, crop, window, averaging |
# | record | a file with the score of every face, and how it was made |
#
# The scores are built in [notebook 02](02_measuring_a_face.ipynb), the degradation in [notebook 01](01_the_problem.ipynb).
#
# ## What to remember
#
# * Down the U, pixels are traded for channels: 28, 56, 112, 112 channels at 128, 64, 32, 16 pixels in the preset `aminet`; the 4C at the bottom is the figure's word against the text's.
# * Every block keeps the shape of its input; only down, up, head and tail change it. Maps and weights have one channel or $c$, and they lie between 0 and 1.
# * Where the paper disagrees with itself, the config has a switch and a notebook has the evidence.
#
# Back to the beginning: [00 a first face](00_a_first_face.ipynb).
