# %% [markdown]
# # 12 · Comparisons
#
# What does a table that compares seventeen methods tell, and what not?
#
# *90 minutes to study, about 2 minutes on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/12_comparisons.ipynb) · previous: [11 · Ablations](11_ablations.ipynb) · next: [13 · The GANs compared](13_compared_gans.ipynb)
#
# Before this: chapters [02](02_measuring_a_face.ipynb), [08](08_aminet_and_its_bill.ipynb) and [11](11_ablations.ipynb). [Appendix A](A_symbols_and_shapes.ipynb#words) explains the words.
#
# You will be able to
#
# - **tell** the methods apart: at what size each works, and which lines make it what it is;
# - **compare** methods fairly, and say how certain a place is;
# - **read** a printed table of comparisons.

# %% tags=["parameters"]
records = ""  # folder of records; empty: the course's own
own = ""  # your faces, folders and zips, also looked for in $AMINET_FACES; empty: none
synthetic = 16  # synthetic faces to restore, beside the two portraits
seed = 0
rerun = ""  # runs to train, as in python -m aminet reproduce --only; empty: one, in seconds
scale = "smoke"  # of these runs
budget = 0.0  # minutes for them, 0: no end
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
import inspect
import json
import re
from html import escape
from itertools import groupby
from math import comb, prod
from textwrap import dedent

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import HTML, Markdown, display
from matplotlib.text import Text
from matplotlib.transforms import Bbox
from scipy.stats import kendalltau, t as student
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aminet.baselines import (ad_gnn, ctcnet, dicnet, elsface, facn, fsrnet, han, laat, rcan, san, sctanet, sfmnet,
                              sisn, spadnet, sparnet, swinir)
from aminet.baselines.registry import adds_face, build, preset
from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.faces.sources import open_faces
from aminet.faces.synthetic import faces as draw_faces
from aminet.files import DATA
from aminet.ledger import blank
from aminet.paper.published import COLUMNS, SCALES, published
from aminet.paper.records import read_record
from aminet.paper.reproduce import rerun as train_runs
from aminet.paper.runs import FROM_BICUBIC, runs
from aminet.paper.tables import planned, speeds, table as paper_table, timed
from aminet.protocol import PROTOCOLS, psnr, ssim
from aminet.sa import SelfAttention
from aminet.train import restore
from aminet.training.weights import PRETRAINED, load_weights
from exercises import check
from page import code, error_map, eyes, show, table

RECORDS = Path(records or DATA / "records")

# %% [markdown]
# ## What a comparison needs
#
# Only the networks may differ. All the rest must be the same:
#
# 1. **Data**: the faces to train and to test on, and how they are reduced.
# 2. **Budget**: pictures seen, and care with the step size.
# 3. **Start**: a network that begins with half of the answer is ahead for that alone.
# 4. **Measurement**: one [protocol](A_symbols_and_shapes.ipynb#words), one machine.
#
# The next cell trains one row for some seconds, to a number that means nothing.
#
# <details><summary>How to train rows that count</summary>
#
# `mkdir -p runs && papermill notebooks/12_comparisons.ipynb runs/12.ipynb --cwd notebooks -p rerun "swinir-*" -p scale smoke` trains both of SwinIR's runs at scale `smoke`, on eight drawn faces. At scale `mini` use the command line, with CelebA at hand ([how](../RESULTS.md)). Its records then stand in the tables below.
#
# - `python -m aminet reproduce --scale mini --only '*-mini-0'`: narrow networks, a day or more on two CPU cores; those of the ablations and of the GANs are among them.
# - `python -m aminet reproduce --scale short --only '*-short-0'`: the paper's size, on a GPU.
# - `python -m aminet reproduce --list --scale short`: how far each run is.
#
# </details>

# %% tags=["nbval-ignore-output"]
print(train_runs(rerun or "elsface-smoke-0", scale, budget, DATA.parent / "runs", RECORDS))

# %% [markdown]
# ## Your prediction
#
# Table X prints PSNR, parameters, [MACs](A_symbols_and_shapes.ipynb#words) and milliseconds of eleven networks. Does a larger, slower or newer one restore better? **Kendall's $\tau$** is 1 when two orders agree, −1 when one is reversed, and about 0 when they are unrelated.

# %%
prediction = {"parameters": 0.5, "MACs": 0.5, "milliseconds": 0.5, "year": 0.5}  # tau with PSNR: edit me
YEAR = {"RCAN": 2018, "FSRNet": 2018, "SAN": 2019, "HAN": 2020, "DICNet": 2020, "FACN": 2020, "SPARNet": 2021, "SwinIR": 2021,
        "SISN": 2021, "AD-GNN": 2022, "Restormer-M": 2022, "CTCNet": 2023, "SCTANet": 2023, "LAAT": 2023, "ELSFace": 2023,
        "SFMNet": 2023, "SPADNet": 2024, "AMINet": 2024, "AMINet-S": 2024}


def column(number, name):
    return [float(row[name]) for row in published(number) if row["row"] != "Bicubic"]


def years(number):
    return [YEAR[row["row"]] for row in published(number) if row["row"] != "Bicubic"]


values = {"parameters": column(10, "params_m"), "MACs": column(10, "macs_g"), "milliseconds": column(10, "speed_ms"),
          "year": years(10)}
rows = []
for name, guess in prediction.items():
    tau, p = kendalltau(values[name], column(10, "psnr"))
    rows.append([f"{name}, Table X", guess, tau, p])
rows.append(["year, Table VII", "", *kendalltau(years(7), column(7, "celeba_psnr"))])
table(rows, ["PSNR and", "you", "τ", "p"], digits={"p": 3})

# %% [markdown]
# Of these five tests, corrected for their number, only the year of Table VII stays below 0.05 (Holm: 0.02). That may be progress. Or each paper trains its own network with most care, and prints those that it beats.
#
# ## The methods
#
# The drawings show every layer that a face meets, from left to right. **Width** is the share of the multiply-adds, **height** the size of the feature, **colour** the kind of layer. Below each are the method's own lines.
#
# <details><summary>How the drawings are computed, and whose code this is</summary>
#
# Layers of one part at one size are sorted by kind, and what is narrower than 0.05 % joins its neighbour. The network is built at its full size on the `meta` device, which has shapes and no memory. Hooks note every convolution and linear layer. The names are the module's parts.
#
# The code is in [`aminet/baselines`](../aminet/baselines/README.md). The docstring of each file says what is described, what was read off a published size, and what we chose. FACN, AD-GNN and LAAT have no public code: they are built from the description alone, SPADNet and ELSFace partly.
#
# </details>

# %% tags=["plot"]
KINDS = {"3×3 and larger": "C0", "1×1, linear": "C1", "depthwise": "C2", "transposed": "C3"}


def way(config):
    """Parameters, MACs, and what a face meets: (part, size in pixels, kind, MACs) of each layer with weights, in order."""
    with torch.device("meta"):
        network = build(config)
    stations = []

    def watch(part):
        def hook(module, inputs, out):
            if isinstance(module, nn.Linear):
                size, kind, macs = (out.numel() // out.shape[-1]) ** 0.5, "1×1, linear", out.numel() * module.in_features
            else:
                kernel, size = prod(module.kernel_size), out.shape[2]
                macs = (inputs[0].numel() * module.out_channels if module.transposed else
                        out.numel() * module.in_channels) * kernel // module.groups
                kind = ("transposed" if module.transposed else "1×1, linear" if kernel == 1 else
                        "depthwise" if module.groups == module.in_channels > 1 else "3×3 and larger")
            stations.append((part, size, kind, macs))
        return hook

    for name, module in network.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(watch(name.split(".")[0]))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:   # it knows attention's products, too
        network.eval()(blank(network))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2, stations


# %% tags=["plot"]
def skyline(name, config):
    """Draw the way of a face through a network; return its stations."""
    params, macs, stations = way(config)
    total = sum(work for *_, work in stations)
    bars, parts, x = [], [], 0.0                                 # [start, end, height, kind]; [name, start, end]
    for (part, size), same in groupby(stations, key=lambda station: station[:2]):
        same = list(same)
        if not parts or parts[-1][0] != part:
            parts.append([part, x, x])
        for kind in KINDS:
            share = sum(work for _, _, k, work in same if k == kind) / total
            look = [np.log2(size) + 0.35, kind]
            if share < 5e-4 and bars or bars and bars[-1][2:] == look:
                bars[-1][1] += share                             # too narrow to be seen, or more of the same
            elif share:
                bars.append([x, x + share, *look])
            x += share
        parts[-1][2] = x
    figure, axis = plt.subplots(figsize=(9.5, 2.1), layout="constrained")
    for kind, colour in KINDS.items():
        corners = [(0.0, 0.0)]
        for start, end, top, k in bars:
            corners += [(start, 0.0), (start, top), (end, top), (end, 0.0)] if k == kind else []
        axis.fill(*zip(*corners), color=colour, lw=0, label=kind)
    free = -1.0
    for part, start, end in parts:
        axis.axvline(end, color="white", lw=0.6)
        middle, half = (start + end) / 2, 0.0056 * len(part)
        if middle - half > free and end - start > 0.012:         # no two names over each other
            axis.text(middle, -0.3, part, ha="center", va="top", fontsize=9)
            free = middle + half
    axis.set(xlim=(0, 1), ylim=(0, 8.6), xticks=[], ylabel="pixels", yticks=[0.35, 4.35, 5.35, 6.35, 7.35, 8.35],
             yticklabels=[1, 16, 32, 64, 128, 256])
    axis.tick_params(axis="y", labelsize=9, length=0)
    axis.grid(axis="x", visible=False)
    title = f"{name}: {params / 1e6:.2f} M parameters, {macs / 1e9:.2f} G multiply-adds"
    axis.set_title(title, loc="left")
    figure.set_label(f"{title}; its parts in order: {', '.join(dict.fromkeys(part for part, *_ in parts))}")
    return stations


# %% tags=["plot"]
WAYS = {}


def meet(name, *pieces):
    """A method: who and what, its drawing, and its own lines."""
    who, what = inspect.getdoc(sys.modules[f"aminet.baselines.{name}"]).split("\n\n")[:2]
    title, _, authors = who.partition(":")
    what = re.sub(r"(?<=\d)x(?=\d)", "×", what)
    display(Markdown(f"#### {title}\n\n{authors.strip()}\n\n{what}"))
    WAYS[title] = skyline(title, preset(f"aminet/{name}"))
    plt.show()
    code("\n".join(lines(piece) for piece in pieces).rstrip())


def lines(piece):
    """The source of a function or class, without its docstring."""
    source = dedent(inspect.getsource(piece))
    document = inspect.getdoc(piece)
    if document and source.count('"""') >= 2:
        head, _, rest = source.partition('"""')
        source = head.rstrip() + rest.partition('"""')[2]
    where = getattr(piece, "__qualname__", "").rpartition(".")[0]
    return (f"# {where}\n" if where else "") + source.rstrip() + "\n"


WAYS["AMINet"] = skyline("AMINet, for comparison", preset("aminet"))
plt.gcf().legend(loc="outside lower center", ncols=4)
plt.show()

# %% [markdown]
# ### General super-resolution
#
# These four work at 16×16 pixels, where a layer costs a sixty-fourth of what it costs at 128×128, and enlarge at the end. They differ in what weighs a feature.
#
# <details><summary>What to look for in the code</summary>
#
# - RCAN has four hundred convolutions at 16×16 for less than 5 G. Its gate knows a channel's mean.
# - SAN's gate knows how a channel varies *together with* all others, by the root of a covariance matrix.
# - HAN lets ten groups of layers look at each other. Those that are *least* alike weigh most: see the minus sign.
# - SwinIR has attention in windows, of which a 16×16 face has just four.
#
# </details>

# %%
meet("rcan", rcan.ChannelAttention)
meet("san", san.covariance, san.SecondOrderAttention.forward)
meet("han", han.LayerAttention.weights, han.LayerAttention.forward)
meet("swinir", swinir.WindowAttention.forward)

# %% [markdown]
# ### Priors for faces, and attention for faces
#
# The first three learn landmarks, parts or attributes, too. They need such labels in training only. The other three find out by themselves where a face needs work, by [attention](A_symbols_and_shapes.ipynb#words).
#
# <details><summary>What to look for in the drawings</summary>
#
# - FSRNet estimates its prior from a *coarse result*, since 16 pixels show no landmarks. Half of its work is at 128×128, shared by the coarse net and the decoder.
# - DICNet takes four turns. The first has a feedback block of its own, the others share one. Each block jumps between 32 and 256 pixels (the stripes). Behind it the hourglass finds the landmarks, which steer the next turn's fusion.
# - SPARNet multiplies by a map. The dips are the small hourglasses that compute the maps.
# - SISN folds the enlarged face back to 16×16, which gives it the fewest multiply-adds of all.
# - AD-GNN lets a patch learn from those most like it, an eye from the other one. Its graphs cost almost nothing: the work is at 64×64 and 128×128.
#
# </details>

# %%
meet("fsrnet", fsrnet.FSRNet.everything)
meet("dicnet", dicnet.AttentiveFusion.forward, dicnet.DICNet.every_step)
meet("facn", facn.Capsules.forward)
meet("sparnet", sparnet.SpatialAttention.attention, sparnet.SpatialAttention.forward)
meet("sisn", sisn.SplitAttention.forward)
meet("ad_gnn", ad_gnn.DynamicGraph.edges, ad_gnn.DynamicGraph.forward)

# %% [markdown]
# ### Transformers, frequencies and structure
#
# Restormer's attention is between *channels*, as in AMINet's [SA](03_sa.ipynb). CTCNet, SCTANet and ELSFace combine convolutions and [Transformers](A_symbols_and_shapes.ipynb#words), as AMINet does. SFMNet's second branch sees frequencies, SPADNet's the parts of the face.
#
# <details><summary>What to look for in the code</summary>
#
# - Attention between all pixels of 128×128 would cost 268 million products per channel; between channels it does not. The "-M" of Restormer-M is defined nowhere. We take C = 32, which fits AMINet's budget.
# - LAAT attends coarsely first, and finely only where the first attention says that it matters.
# - CTCNet puts convolutions and Transformer one after the other within a level, SCTANet side by side within a block, ELSFace in two streams. Each of ELSFace's streams runs several times with the same weights, hence its 6.7 M parameters.
# - CTCNet's FRM refines low and high frequencies apart. A 1×1 crosses them once, so the high part sees the low one, and the low part does not see the high one. AMINet's part of the same name is another one.
# - SFMNet's second branch convolves amplitude and phase of the Fourier transform, where a 3×3 touches the whole image. Its loss compares both branches' faces, and amplitude and phase of the second one.
# - SPADNet's second branch draws heatmaps. They decide for every pixel which of its neighbours a convolution listens to.
#
# </details>

# %%
meet("restormer", SelfAttention.attention, SelfAttention.forward)
meet("laat", laat.RSA.select, laat.RSA.forward)
meet("ctcnet", ctcnet.FRM.split, ctcnet.FRM.forward)
meet("sctanet", sctanet.Mask.forward, sctanet.Block.forward)
meet("elsface", elsface.HFEB.forward, elsface.ELSFace.forward)
meet("sfmnet", sfmnet.FrequencyBlock.forward)
meet("spadnet", spadnet.PixelAdaptiveConv.kernel, spadnet.PixelAdaptiveConv.forward)

display(Markdown("**The share of the multiply-adds at each size of the feature**"))
SIZES_OF = {"up to 16×16": (0, 17), "32×32": (17, 33), "64×64": (33, 65), "128×128": (65, 129), "256×256": (129, 257)}
rows = []
for name, stations in WAYS.items():
    total = sum(work for *_, work in stations)
    shares = [sum(work for _, size, _, work in stations if low < size <= high) / total for low, high in SIZES_OF.values()]
    rows.append([name, *shares, len(stations)])
rows.sort(key=lambda row: -row[1] - row[2])
table([[name, *(round(100 * share) for share in shares), layers] for name, *shares, layers in rows],
      ["method", *(f"{size}, %" for size in SIZES_OF), "layers"])

# %% [markdown]
# ## Tables VII and X, the paper's and ours
#
# Each method gets two trainings, with the same data, budget and protocol:
#
# - **own start**: the output layer is as its authors made it;
# - **from bicubic**: the last convolution starts at zero, and the output adds the enlarged LR face, as AMINet's does.
#
# **Pending**: the training of a cell is not done. A row needs one training here, in [chapter 11](11_ablations.ipynb) three. Bold: the best of a column, **even within chance**.
#
# <details><summary>The paper's claim, and how our numbers were made</summary>
#
# > "Our AMINet outperforms all evaluation metrics, including PSNR, SSIM, LPIPS, and VIF, which fully demonstrates its efficiency." (Sec. IV-D1)
#
# - Where the authors' output layer is not known, it is our choice: AD-GNN's, FACN's and SPADNet's. So are the zero last layers of AMINet, AMINet-S and SCTANet.
# - All have the same data order, batch, optimiser and schedule. What differs is the network with its initial weights and, where it has one, its own loss.
# - With their own start all train with AMINet's step size. From bicubic each takes the best of three, by a trial of a quarter of the training and its PSNR on validation.
# - Our second set of faces stands in for Helen: Flickr portraits, never to be called Helen.
# - Parameters and MACs are counts of the full-size networks, MACs by thop, whose digits three rows of Table X have. Thop takes a transposed convolution of stride $s$ for $s^2$ times its work: DICNet's true 45.3 G become 568, CTCNet's 30.0 become 47.
# - Our milliseconds are of one CPU sitting, all networks in turns.
#
# </details>

# %%
TABLES = {number: paper_table(number, RECORDS) for number in (7, 10)}     # with what was trained above, if not `smoke`


def ours(cell):
    """Our number in a cell, rounded as it is shown, or why there is none."""
    if cell is None:
        return ""
    return cell.status if cell.ours is None else round(cell.ours, COLUMNS[cell.metric].digits)


def compared(number, *faces):
    """Show a table's numbers on these faces, "" for those of the network: the paper's beside ours of both blocks."""
    second = {(cell.row, cell.column): cell for cell in TABLES[number].from_bicubic}
    rows, best, digits = {}, {}, {}
    for cell in TABLES[number].cells:
        if cell.faces in faces:
            about, line = COLUMNS[cell.metric], rows.setdefault(cell.row, {"method": cell.row})
            numbers = {"paper": float(cell.published), "own start" if cell.faces else "ours": ours(cell)}
            if cell.faces:
                numbers["from bicubic"] = ours(second.get((cell.row, cell.column)))
            for whose, value in numbers.items():
                header = f"{about.name}: {whose}"
                line[header], digits[header] = value, about.digits
                if isinstance(value, float):
                    best[header] = max if about.higher else min
            printed = f"{about.name}: paper"
            digits[printed] = max(len(row[cell.column].partition(".")[2]) for row in published(number))
    table([list(line.values()) for line in rows.values()], list(next(iter(rows.values()))), best, digits)


for number, *faces in ((7, "CelebA"), (7, "Helen"), (10, "CelebA", "")):
    numeral = {7: "Table VII", 10: "Table X"}[number]
    display(Markdown(f"**{numeral} on {faces[0]}** (ours on {TABLES[number].sources.get(faces[0], 'nothing yet')})"))
    compared(number, *faces)
notes = dict.fromkeys(TABLES[7].trainings.values())
for number, other, numeral in ((7, 10, "VII"), (10, 7, "X")):
    notes |= dict.fromkeys(f"Table {numeral}: " * (note not in TABLES[other].notes) + note for note in TABLES[number].notes)
points = "".join("<li>" + escape(re.sub(r"\bx(?=\d)", "×", note), quote=False) + "</li>" for note in notes)
display(HTML(f"<details><summary>How ours were trained, and notes on the records</summary><ul>{points}</ul></details>"))

# %%
SPEC = {(spec.scale, row): spec for spec in runs() if spec.seed == 0 and spec.start is None and not spec.block
        for number, row in spec.rows if number in (7, 10)}
METHODS = [row for row in dict.fromkeys(row["row"] for number in (7, 10) for row in published(number)) if row != "Bicubic"]


def psnr_cells(block):
    """Our PSNR on CelebA faces in a block, by row and of one scale: Table VII's cells, and Table X's of other rows."""
    cells = [cell for one in TABLES.values() for cell in (one.from_bicubic if block else one.cells)
             if cell.metric == "psnr" and cell.faces == "CelebA" and cell.ours is not None]
    return {cell.row: cell for cell in reversed(cells) if cell.scale == cells[0].scale}


def split(values):
    """How many methods, how many with a plus (k), how many of these in the first k places, and the chance of so many."""
    order = sorted(values, key=lambda row: -values[row])
    n, k = len(order), sum(ADDS[row] for row in order)
    front = sum(ADDS[row] for row in order[:k])
    if not k or 1 / comb(n, k) > 0.05:                          # even the clearest split would tell nothing
        return [n, k, front, "too few to tell"]
    p = sum(comb(k, i) * comb(n - k, k - i) for i in range(front, k + 1)) / comb(n, k)
    return [n, k, front, f"{p:.2g}"]


def half_width(cell, cells):
    """Half of the 95 % interval of a method minus AMINet over trainings: Student's, for three of both; else by AMINet's spread."""
    trained, own, first = len(cell.seeds), cells["AMINet"], PSNR["AMINet"]
    if min(trained, len(own.seeds)) > 2:
        return (cell.difference_high - cell.difference_low) / 2
    trainings = [read_record(RECORDS / file)["means"][cell.metric]["mean"] for file in first.records]
    spread = np.std(trainings, ddof=1) if len(trainings) > 2 else np.inf
    return student.ppf(0.975, max(1, len(trainings) - 1)) * spread * (1 / trained + 1 / len(own.seeds)) ** 0.5


def minus_aminet(cell, cells):
    """A method's difference to AMINet with half of its interval, in words."""
    return f"{cell.difference:+.2f} ± {half_width(cell, cells):.2f}" if cell.difference is not None else ""

# %% [markdown]
# ## What decides the order: how the output starts
#
# These are the methods by our PSNR, own start. **+** marks those whose output adds the enlarged LR face: with a last convolution of zeros they still return a face.
#
# If the start decides, those with a plus hold the first places. The second table counts them.

# %%
PSNR, SECOND = psnr_cells(""), psnr_cells(FROM_BICUBIC)
ADDS = {row: adds_face(SPEC["smoke", row].config) for row in METHODS}                            # small networks
networks = sorted((cell for cell in PSNR.values() if cell.row != "Bicubic"), key=lambda cell: -cell.ours)
SIZES = {cell.row: way(SPEC[cell.scale, cell.row].config)[:2] for cell in networks}              # parameters, MACs
printed = [row["row"] for row in sorted(published(7), key=lambda row: -float(row["celeba_psnr"])) if row["row"] != "Bicubic"]
missing = [row for row in METHODS if row not in PSNR]
rows = []
for place, cell in enumerate(networks, 1):
    params, macs = SIZES[cell.row]
    rows.append([place, "+" if ADDS[cell.row] else "", cell.row, ours(cell), minus_aminet(cell, PSNR), params / 1e6, macs / 1e9])
if "Bicubic" in PSNR:
    rows.append(["", "", "Bicubic", PSNR["Bicubic"].ours, "", "", ""])
rows += [["", "+" if ADDS[row] else "", row, "pending", "", "", ""] for row in missing]
rows = [[*row, printed.index(row[2]) + 1 if row[2] in printed else "–"] for row in rows]
table(rows, ["place", "adds the face", "method", "PSNR, dB", "minus AMINet", "parameters, M", "MACs, G", "place in Table VII"],
      {"PSNR, dB": max} if networks else None, {"parameters, M": 3, "MACs, G": 3})

if networks:
    values = {cell.row: cell.ours for cell in networks}
    chosen_by_us = ("AD-GNN", "FACN", "SPADNet", "AMINet", "AMINet-S", "SCTANet")
    rows = [["all", *split(values)],
            ["without those whose start we chose", *split({row: values[row] for row in values if row not in chosen_by_us})]]
    look = RECORDS / "withdrawn" / "sctanet-mini-0-celeba_test-paper.json"
    if look.exists() and "SCTANet" in values:
        before = read_record(look)["means"]["psnr"]["mean"]
        rows.append(["with SCTANet before its last layer was zero", *split(values | {"SCTANet": before})])
    table(rows, ["methods", "number", "with a plus: k", "of these in the first k places", "chance of so many"])
    few, many = (pick(SIZES, key=lambda row: SIZES[row][1]) for pick in (min, max))
    print(f"the multiply-adds differ {SIZES[many][1] / SIZES[few][1]:.0f}-fold ({few}, {many})")

# %% [markdown]
# In our records the start decides most of this order. A network without a plus must first learn what a face looks like, and does not finish in a short training.
#
# The split alone is no proof: the newer designs mostly have a plus.
#
# ## The same start for all: from bicubic
#
# So give all the same start. The gain is what the own start had cost, plus the chance of two trainings and, where the table says so, another step size. Below the figure, $\tau$ compares whole orders. If its bootstrap interval over methods holds zero, they may be unrelated.

# %%
def step_size(cell):
    """The step size that validation chose, and the dB by which it beat the next."""
    trials = read_record(RECORDS / cell.records[0])["weights"]["trials"]
    best, other, *_ = sorted(trials, key=lambda trial: -trial["val_psnr"])
    return [f"{best['lr']:g}", best["val_psnr"] - other["val_psnr"]]


def place_of(row, cells):
    return 1 + sum(other.ours > cells[row].ours for name, other in cells.items() if name != "Bicubic")


by_place = sorted(METHODS, key=lambda row: (-PSNR[row].ours if row in PSNR else 0, METHODS.index(row)))
rows = []
for row in by_place:
    own_cells = [ours(PSNR[row]), place_of(row, PSNR)] if row in PSNR else ["pending", ""]
    second = [ours(SECOND[row]), place_of(row, SECOND)] if row in SECOND else ["pending", ""]
    both = row in PSNR and row in SECOND and PSNR[row].scale == SECOND[row].scale
    gain = f"{round(SECOND[row].ours - PSNR[row].ours, 2) + 0.0:+.2f}" if both else ""  # + 0.0: no minus before zero
    extra = [minus_aminet(SECOND[row], SECOND), *step_size(SECOND[row])] if row in SECOND else ["", "", ""]
    rows.append(["+" if ADDS[row] else "", row, *own_cells, *second, gain, *extra])
table(rows, ["adds the face", "method", "own start: PSNR, dB", "place", "from bicubic: PSNR, dB", "place then", "gain, dB",
             "minus AMINet", "step size", "better than the next by, dB"],
      {f"{block}: PSNR, dB": max for block, cells in (("own start", PSNR), ("from bicubic", SECOND)) if cells})

# %% tags=["plot"]
BLOCKS = {"own start": PSNR, "from bicubic": SECOND}
figure, axes = plt.subplots(1, 2, figsize=(10.3, 5.4), sharex=True, sharey=True, layout="constrained")
figure.set_label("PSNR of each method minus AMINet's with its interval over trainings, with its own start and from bicubic")
for axis, (title, cells) in zip(axes, BLOCKS.items()):
    for plus, colour, words in ((True, "C1", "own start adds the enlarged face"), (False, "C0", "own start draws the whole face")):
        known = [row for row in by_place if row in cells and ADDS[row] == plus and cells[row].difference is not None]
        halves = [half_width(cells[row], cells) for row in known]
        axis.errorbar([cells[row].difference for row in known], [by_place.index(row) for row in known],
                      xerr=np.nan_to_num(halves, posinf=0), fmt="o", ms=5, color=colour, label=words)
    for y, row in enumerate(by_place):
        if row == "AMINet" and row in cells:
            axis.plot(0, y, "D", color="C1")
        elif row not in cells or cells[row].difference is None:
            axis.text(0.02, y, "pending", transform=axis.get_yaxis_transform(), va="center", color="dimgray",
                      bbox={"fc": "white", "ec": "none", "pad": 1})
    axis.axvline(0, color="black", lw=1)
    if "Bicubic" in PSNR and "AMINet" in cells:
        axis.axvline(PSNR["Bicubic"].ours - cells["AMINet"].ours, color="gray", lw=1, ls="--")
    axis.set(title=title, xlabel="PSNR minus AMINet's (dB); dashed: bicubic", yticks=range(len(by_place)),
             ylim=(len(by_place) - 0.4, -0.6), yticklabels=by_place)
    axis.grid(axis="y", visible=False)
figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=2)
plt.show()

# %%
def order_alike(a, b, draws=1000):
    """Kendall's tau of two sets of values by method, with its bootstrap interval over the methods of both."""
    names = [row for row in METHODS if row in a and row in b]
    if len(names) < 5:
        return [len(names), "pending", "", ""]
    x, y = (np.array([values[row] for row in names]) for values in (a, b))
    drawn = np.random.default_rng(0).integers(len(names), size=(draws, len(names)))
    low, high = np.nanpercentile([kendalltau(x[i], y[i]).statistic for i in drawn], [2.5, 97.5])
    return [len(names), kendalltau(x, y).statistic, low, high]


first, second = ({row: cell.ours for row, cell in cells.items() if row != "Bicubic"} for cells in BLOCKS.values())
rows = []
for plus, group in ((False, "those that drew the whole face"), (True, "those that added it already")):
    few = [row for row in METHODS if row in first and row in second and ADDS[row] == plus]
    if len(few) > 1:
        gains = [second[row] - first[row] for row in few]
        rows.append([group, len(few), " to ".join(f"{round(end, 2) + 0.0:+.2f}" for end in (min(gains), max(gains))),
                     np.ptp([first[row] for row in few]), np.ptp([second[row] for row in few])])
if rows:
    table(rows, ["methods", "number", "gain, dB", "own start: within, dB", "from bicubic: within, dB"])
PAPER = {row["row"]: float(row["celeba_psnr"]) for row in published(7)}
table([["own start and from bicubic", *order_alike(first, second)], ["own start and Table VII", *order_alike(first, PAPER)],
       ["from bicubic and Table VII", *order_alike(second, PAPER)]], ["orders", "methods", "τ", "from", "to"])
table([[title, *split(values)] for title, values in (("own start", first), ("from bicubic", second))],
      ["block", "methods", "with a plus: k", "of these in the first k places", "chance of so many"])

# %% [markdown]
# In our records those that drew the whole face gain most: much of their distance to AMINet was the start. What is left tells how fast narrow networks learn.
#
# ## How certain is a place?
#
# The ± is half of a 95 % interval over trainings: Student's, where both methods have three. Else we assume that both spread as AMINet's three do, by 0.04 dB. Such an interval is right up to a spread of about 0.09 dB; SFMNet's three trainings spread by 0.10. It is not corrected for the number of methods. An interval over faces would be 3 to 29 times narrower ([11](11_ablations.ipynb)).
#
# A method **cannot be told from AMINet** when this interval holds zero. So a place is an interval, too. PSNR has the methods of both tables; the other metrics stand in Table VII alone.

# %%
rows = []
for block, block_cells in (("own start", TABLES[7].cells), ("from bicubic", TABLES[7].from_bicubic)):
    for metric in ("psnr", "ssim", "vif", "lpips"):
        cells = BLOCKS[block].values() if metric == "psnr" else [
            cell for cell in block_cells if cell.column == f"celeba_{metric}" and cell.ours is not None]
        cells, about = [cell for cell in cells if cell.row != "Bicubic"], COLUMNS[metric]
        sign = 1 if about.higher else -1
        if not any(cell.row == "AMINet" for cell in cells) or len(cells) == 1:
            rows.append([block, about.name, "pending", "", "", ""])
            continue
        others, by_row = [cell for cell in cells if cell.reference], {cell.row: cell for cell in cells}
        unsure = [cell.row for cell in others if abs(cell.difference) <= half_width(cell, by_row)]
        ahead = [cell.row for cell in others if cell.difference * sign > 0]
        surely = sum(row not in unsure for row in ahead) + 1
        rows.append([block, about.name, len(ahead) + 1, f"{surely} to {surely + len(unsure)}", len(cells),
                     ", ".join(unsure) or "–"])
table(rows, ["block", "metric", "AMINet's place", "with the intervals", "of", "not to be told from AMINet"])
print("The published claim, the best PSNR of Table VII, needs the full networks and the full training: "
      + ("pending" if not any(cell.scale in ("short", "paper") for cell in PSNR.values()) else "see the tables above"))

# %% [markdown]
# ## What cannot be told
#
# - **Which design is best when fully trained.** Ours see about a thousandth of a full training, at widths nobody designed them for.
# - **Whether equal rules are fair.** Another step size might serve others better.
# - **Which row failed by chance.** A row of one training may be a bad one.
#
# A comparison with the paper needs the scales `short` and `paper`.
#
# <details><summary>Details of our trainings</summary>
#
# - **Length.** A full training is 100 or 150 epochs of 18,000 faces in earlier papers (CTCNet, WFEN). Our networks are 8 to 56 channels wide where the originals have 28 to 184.
# - **The start.** The zero of AMINet's last layer is our interpretation, not the paper's word. With PyTorch's random tail two of AMINet's three trainings lose 0.3 dB, and the third 1.2 dB ([chapter 11](11_ablations.ipynb)). SCTANet's zero is our choice, too.
# - **The recipe.** The step size was found with AMINet. From bicubic validation chooses among three step sizes, by 800 pictures of one seed. The last column of the table shows how narrow some choices are.
# - **Initial weights.** They are PyTorch's for some. For others the authors', or we, chose them, as the file of each method says.
# - **Priors.** FSRNet, SPADNet and DICNet also learn landmarks, found by a network. Our CelebA faces come without the parsing maps that FSRNet would learn from, too, and without FACN's attributes.
# - **Second looks.** Some networks were changed after a first look at the test faces: [RESULTS](../RESULTS.md#how-does-it-compare) lists both looks.
#
# </details>
#
# ## Figure 1: quality, size and speed
#
# The area of a disc stands for parameters. Left: the paper. Right: ours, own start, at the trained sizes. Below: milliseconds at full size, relative to AMINet's.

# %% tags=["plot"]
def write_names(axis, points):
    """Write names beside points (x, y, name), each where it covers no other name and no point."""
    axis.figure.draw_without_rendering()                         # now the axes have their places
    spots = [axis.transData.transform(point[:2]) for point in points]
    taken = [Bbox([spot - 4, spot + 4]) for spot in spots]
    for x, y, name in sorted(points, key=lambda point: -point[1]):
        for dx, dy in ((12, 0), (-12, 0), (0, 14), (0, -14), (16, 14), (-16, 14), (16, -14), (-16, -14), (30, 26), (-30, 26),
                       (30, -26), (-30, -26), (0, 34), (0, -34), (48, 12), (-48, 12), (48, -12), (-48, -12)):
            text = axis.annotate(name, (x, y), (dx, dy), textcoords="offset points", fontsize=9, va="center",
                                 ha="left" if dx > 0 else "right" if dx < 0 else "center",
                                 weight="bold" if name == "AMINet" else "normal",
                                 arrowprops={"arrowstyle": "-", "lw": 0.5, "color": "gray"} if abs(dx) + abs(dy) > 14 else None)
            text.update_positions(axis.figure.canvas.get_renderer())
            box = Text.get_window_extent(text)                   # without its line
            if not any(box.overlaps(other) for other in taken) and axis.bbox.x0 < box.x0 and box.x1 < axis.bbox.x1:
                break
            text.remove()
        else:
            continue                                             # no room: the table above has the number
        taken.append(box)


# %% tags=["plot"]
X = {row["row"]: row for row in published(10)}
figure, (left, right) = plt.subplots(1, 2, figsize=(10.3, 5), layout="constrained")
points = [(float(row["macs_g"]), float(row["psnr"]), name) for name, row in X.items()]
dots = left.scatter([x for x, _, _ in points], [y for _, y, _ in points], s=[14 * float(row["params_m"]) for row in X.values()],
                    c=[float(row["speed_ms"]) for row in X.values()], cmap="viridis_r", alpha=0.7, edgecolor="black", lw=0.5)
figure.colorbar(dots, ax=left, label="milliseconds on the paper's GPU", location="bottom", shrink=0.8)
left.set(xscale="log", xlabel="MACs, G", ylabel="PSNR, dB", title="the paper, Table X", xlim=(5, 80), ylim=(26.8, 28.6),
         xticks=[7, 10, 20, 40], xticklabels=["7", "10", "20", "40"])
found = [(SIZES[cell.row][1] / 1e9, cell.ours, cell.row) for cell in networks]
for x, y, row in found:
    right.scatter(x, y, s=90 * (SIZES[row][0] / 1e6) ** 0.5 + 12, color="C1" if row == "AMINet" else "C0", alpha=0.6,
                  edgecolor="black", lw=0.5)
right.set(xscale="log", xlabel="MACs of the trained network, G", ylabel="PSNR, dB", xticks=[0.1, 0.2, 0.5, 1, 2],
          xticklabels=["0.1", "0.2", "0.5", "1", "2"], title=f"ours, own start, scale {networks[0].scale if networks else 'none'}"
          + (f": {len(missing)} of {len(METHODS)} pending" if missing else ""))
if "Bicubic" in PSNR:
    right.axhline(PSNR["Bicubic"].ours, color="gray", lw=1, ls="--", label="Bicubic")
    right.legend(loc="lower right")
right.margins(x=0.25, y=0.2)
for axis, those in ((left, points), (right, found)):
    axis.minorticks_off()
    write_names(axis, those)
plt.show()

# %% tags=["plot"]
times, machine, sitting = speeds(RECORDS)
MS = {row: timed(10, row, times) for row in X}
order = sorted(X, key=lambda row: float(X[row]["speed_ms"]))
if MS["AMINet"]:
    ratios = {row: (float(X[row]["speed_ms"]) / float(X["AMINet"]["speed_ms"]), MS[row] and MS[row] / MS["AMINet"]) for row in X}
    figure, axis = plt.subplots(figsize=(10.3, 3), layout="constrained")
    known = [(x, ratios[row][1]) for x, row in enumerate(order) if ratios[row][1]]
    axis.bar([x - 0.2 for x in range(len(order))], [ratios[row][0] for row in order], 0.38, label="paper, RTX 3090")
    axis.bar([x + 0.2 for x, _ in known], [ratio for _, ratio in known], 0.38, label="ours, a CPU")
    for x, row in enumerate(order):
        if not ratios[row][1]:
            axis.text(x + 0.2, 0.05, "pending", rotation=90, ha="center", va="bottom")
    axis.axhline(1, color="black", lw=0.8)
    axis.set(xticks=range(len(order)), xticklabels=order, ylabel="time / AMINet's", title="one face, full size, eager fp32")
    axis.grid(axis="x", visible=False)
    axis.legend()
    plt.show()
    both = [ratios[row] for row in order if ratios[row][1]]
    if len(both) > 2:
        tau, p = kendalltau([one for one, _ in both], [other for _, other in both])
        print(f"the two orders: τ {tau:.2f} (p = {p:.2f}) over {len(both)} networks; ours on {machine}")
else:
    print("pending: python -m aminet bench --all --records data/records")

if sitting:
    timings = {json.dumps(row["config"]): row for row in read_record(RECORDS / sitting)["rows"]}
    rows = []
    for name in METHODS:
        spec = planned(7, name) or planned(10, name)
        if one := timings.get(json.dumps(spec.config.to_dict())):
            compiled = 1e3 * one["compiled_seconds"] if "compiled_seconds" in one else "pending"
            rows.append([name, 1e3 * one["seconds"], one["ratio"], 3 * one["seconds"] * 200_000 / 3600, compiled])
    headers = ["full size, one face, fp32", "eager, ms", "ratio to AMINet", "scale short, hours", "compiled, ms"]
    used = 5 if any(row[-1] != "pending" for row in rows) else 4
    table([row[:used] for row in rows], headers[:used], digits={"eager, ms": 0, "scale short, hours": 0, "compiled, ms": 0})

# %% [markdown]
# A speed belongs to a network, a machine and a library together. Compare only ratios of one sitting.
#
# <details><summary>Why speeds differ, and the hours of the last column</summary>
#
# A GPU at batch 1 waits for the launch of every small kernel, so a deep network is slow there. A CPU pays for arithmetic and bytes: a feature at 128×128 needs 64 times the memory of one at 16×16.
#
# The hours are what equal training would take on this CPU. A training step goes forward once and backward, which costs about twice that: three forward passes for each of 200,000 pictures.
#
# </details>
#
# ## Figures 7 and 8: faces side by side
#
# CelebA's and Helen's faces may not be shown here. First comes a portrait by every network with weights at hand.
#
# With enough networks and faces, each network has a face on which it is best. So choose by a rule. The second figure has another portrait's eyes at twice the size, and the synthetic faces where AMINet gains least and most. Below these is the mean error over 4×4 pixels, four times brighter.

# %%
hr = torch.cat([torch.stack(list(portraits().values())), draw_faces(synthetic, seed + 100)])       # (B, 3, 128, 128) uint8
names = [*portraits(), *(f"no. {i}" for i in range(synthetic))]
if own:
    yours = open_faces(own.split(), progress=False)[0][:2]
    hr, names = torch.cat([yours, hr]), [*(f"yours {i + 1}" for i in range(len(yours))), *names]
bicubic, target = to_float(upsample(degrade(hr))), to_float(hr)
HERE = {name: {row: spec.name for (at, row), spec in SPEC.items() if at == name
               and (PRETRAINED / f"{spec.name}.safetensors").exists()} for name in SCALES}
best_scale = max(HERE, key=lambda name: (len(HERE[name]), SCALES.index(name)))
order = [row for row in METHODS if row in HERE[best_scale]]
RESULTS = {"Bicubic": bicubic} | {row: restore(load_weights(HERE[best_scale][row])[0], hr) for row in order}
SCORE = {row: psnr(result, hr, PROTOCOLS["paper"]) for row, result in RESULTS.items()}              # (B,) dB each
print(f"scale {best_scale}: {len(order)} networks; not among the course's weights: "
      f"{', '.join(row for row in METHODS if row not in RESULTS) or 'none'}")


def by_six(i):
    """One face by every network at hand, six in a row, with its PSNR; the original comes last."""
    best = max(SCORE[row][i] for row in RESULTS)
    small = to_float(degrade(hr[i:i + 1]))[0].repeat_interleave(8, 1).repeat_interleave(8, 2)
    pictures = [small, *(RESULTS[row][i] for row in RESULTS), target[i]]
    captions = [f"{row}\n{SCORE[row][i]:.2f} dB" + ", best" * bool(SCORE[row][i] == best) for row in RESULTS]
    captions = ["LR", *captions, "original"]
    starts = range(0, len(pictures), 6)
    figure = show([pictures[k:k + 6] for k in starts], captions=[captions[k:k + 6] for k in starts])
    figure.set_label(f"{names[i]} as restored by {', '.join(RESULTS)}, and the original")
    plt.show()


for i, name in enumerate(names):
    if name == "collins" or name.startswith("yours"):
        by_six(i)

# %%
gain = SCORE["AMINet"] - SCORE["Bicubic"]
drawn = [i for i, name in enumerate(names) if name.startswith("no.")]
worst, best = min(drawn, key=lambda i: gain[i]), max(drawn, key=lambda i: gain[i])
ranked = sorted(RESULTS, key=lambda row: SCORE[row][drawn].mean(), reverse=True)
rivals = [row for row in ranked if row not in ("Bicubic", "AMINet")][:2]                            # the best of the mean
few = ["Bicubic", *rivals, "AMINet"]
i = names.index("hopper")
grid, labels = [[*(eyes(RESULTS[row][i]) for row in few), eyes(target[i])]], ["hopper"]
captions = [[f"{SCORE[row][i]:.2f} dB" for row in few]]
for i in (worst, best):
    grid.append([*(RESULTS[row][i] for row in few), target[i]])
    grid.append([error_map(RESULTS[row][i], target[i]) for row in few])
    labels += [names[i], "error × 4"]
    captions += [[f"{SCORE[row][i]:.2f} dB" for row in few], []]
figure = show(grid, [*few, "original"], labels, captions)
figure.set_label(f"the eyes of a portrait, and the worst and the best face of AMINet, by {', '.join(few)}, with error maps")
plt.show()
print(f"AMINet's gain over bicubic: worst {gain[worst]:+.2f} dB ({names[worst]}), best {gain[best]:+.2f} dB ({names[best]}), "
      f"median {np.median(gain[drawn]):+.2f} dB")
wins = {row: 0 for row in RESULTS}
for i in range(len(hr)):
    wins[max(SCORE, key=lambda row: SCORE[row][i])] += 1
print("best of all on so many pictures: " + ", ".join(f"{row} {wins[row]}" for row in ranked if wins[row]))

# %% [markdown]
# <details><summary>What the paper says of its Fig. 7, and what ours show</summary>
#
# > "the visual comparison in Fig. 7 reveals that previous FSR methods struggled to reproduce facial features like the eyes and mouth accurately. In contrast, AMINet excels at preserving the facial structure and producing more precise results." (Sec. IV-D1)
#
# No rule for the choice of its faces is given. Look at the eyes and the mouth in ours: the errors are largest where a face is sharp, at the rims of glasses, in hair, along the teeth. No network can know on which side of a pixel such an edge lay. L1 then gives the median of all possibilities, which is a blur.
#
# </details>
#
# ## Another metric or protocol, another ranking?
#
# The figure shows Table VII's places by four metrics on two sets of faces. The last table is ours: the pictures above under three protocols, with places in brackets.

# %% tags=["plot"]
printed_rows = [row for row in published(7) if row["row"] != "Bicubic"]
columns_7 = [name for name in printed_rows[0] if name not in ("table", "row")]
signed = np.array([[float(row[name]) * (1 if COLUMNS[name.split("_")[1]].higher else -1) for row in printed_rows]
                   for name in columns_7])
places = (-signed).argsort(1).argsort(1) + 1                                                        # (8, 16)
titles_7 = [" on ".join([name.split("_")[1].upper(), {"celeba": "CelebA", "helen": "Helen"}[name.split("_")[0]]])
            for name in columns_7]
figure, axis = plt.subplots(figsize=(10.3, 4.6), layout="constrained")
figure.set_label("Table VII: the place of each network by four metrics on two sets of faces; AMINet is first in all")
for i in np.argsort(places[0]):
    name = printed_rows[i]["row"]
    bold = name == "AMINet"
    axis.plot(places[:, i], "o-", color="C1" if bold else f"{0.25 + 0.5 * (places[0, i] / 16):.2f}", lw=2.5 if bold else 1, ms=4)
    for x, place, side in ((-0.15, places[0, i], "right"), (7.15, places[-1, i], "left")):
        axis.text(x, place, name, ha=side, va="center", fontsize=9, weight="bold" if bold else "normal")
axis.set(xticks=range(8), xticklabels=[title.replace(" on ", "\n") for title in titles_7], ylabel="place",
         yticks=(1, 4, 8, 12, 16), xlim=(-1.2, 8.2), ylim=(16.6, 0.4))
axis.grid(axis="x", visible=True)
plt.show()

# %%
table([[titles_7[a], titles_7[b], kendalltau(places[a], places[b])[0]] for a, b in ((0, 1), (0, 2), (0, 3), (0, 4), (3, 7))],
      ["Table VII: one column", "the other", "τ"])
moved = places[3] - places[0]
print("largest moves from PSNR to LPIPS on CelebA: "
      + ", ".join(f"{printed_rows[i]['row']} {places[0, i]} → {places[3, i]}" for i in np.argsort(-abs(moved))[:3]))


def placed(values, digits):
    """Each value with its place."""
    return {row: f"{value:.{digits}f} ({1 + sum(other > value for other in values.values())})" for row, value in values.items()}


if len(RESULTS) > 2:
    value = {f"PSNR, {name}": {row: psnr(result, hr, protocol).mean() for row, result in RESULTS.items()}
             for name, protocol in PROTOCOLS.items()}
    value["SSIM, paper"] = {row: ssim(result, hr, PROTOCOLS["paper"]).mean() for row, result in RESULTS.items()}
    print(f"{len(hr)} pictures, scale {best_scale}")
    by_rule = {rule: placed(values, 3 if "SSIM" in rule else 2) for rule, values in value.items()}
    ranked = sorted(RESULTS, key=lambda row: -value["PSNR, paper"][row])
    table([[row, *(words[row] for words in by_rule.values())] for row in ranked], ["network", *by_rule])
    for rule in list(value)[1:]:
        tau, _ = kendalltau([value["PSNR, paper"][row] for row in RESULTS], [value[rule][row] for row in RESULTS])
        print(f"the order by PSNR, paper and by {rule}: τ {tau:.2f}")
else:
    print("pending: fewer than two networks are here")

# %% [markdown]
# In the paper's table AMINet leads all eight columns. Behind it seven networks lie within 0.14 dB, from AD-GNN's 27.82 to SFMNet's 27.96, and change places with every metric.
#
# ## Was every row trained anew?
#
# A table can train every network anew, run the authors' weights, or copy printed numbers. Only the first compares networks, and the paper does not say which it did. Look for equal digits, missing rows, and sizes of other code.
#
# The Bicubic row depends on faces and protocol alone. The figure shows it beside our test faces after bicubic enlargement.
#
# <details><summary>What these marks say of the paper</summary>
#
# - **The diamond** of the figure weighs our faces so that their mean PSNR is the printed one.
# - **Metrics.** FACN has the second-lowest PSNR and the second-best LPIPS on CelebA, as sharp results tend to ([chapter 13](13_compared_gans.ipynb)).
# - **Equal digits.** SPARNet and SFMNet have the digits of Table VII in Table VI. So the baselines of Table VI come from the long setting, not from that of the other ablations.
# - **Missing rows.** CTCNet's 28.37 dB is what its own paper prints, as the best of 396 checkpoints on the test set.
# - **Sizes.** Where both counts agree, somebody ran thop on this very code: the authors of this paper or of an earlier one. FSRNet's 27.5 M seem to be its authors' own network, which is not public. ELSFace's public code is for ×4. SPARNet's 7.1 G is its true count; 16.6 M looks like a slip for the 10.6 M of Table VI.
# - **Earlier tables.** The rows from Bicubic to SISN without DICNet equal those of [CTCNet's paper](https://arxiv.org/abs/2204.08696), which shares two authors with this one, [digit for digit](../data/published/README.md). Two trainings do not agree so far: our short ones spread by 0.004 to 0.2 dB over seeds, and more where one fails. Whole trainings may spread less; we have none. Exercise 3 computes how unlikely equal digits are.
#
# </details>

# %%
six, seven = ({row["row"]: row for row in published(number)} for number in (6, 7))
one = next(row for row in published(1) if row["row"] == "LGFI")
rows = []
for name, where, here in (("SPARNet", "VI", six["SPARNet"]), ("SFMNet", "VI", six["SFMNet"]), ("AMINet", "I to V", one)):
    there = seven[name]["celeba_psnr"], seven[name]["celeba_ssim"]
    equal = (here["psnr"], here["ssim"]) == there
    rows.append([name, where, here["psnr"], here["ssim"], *there, "all digits equal" if equal else "two trainings"])
table(rows, ["network", "ablation in Table", "PSNR, dB", "SSIM", "Table VII: PSNR, dB", "SSIM", ""])

absent = [[name, row["psnr"], seven["AMINet"]["celeba_psnr"]] for name, row in X.items() if name not in {*seven, "AMINet-S"}]
table(absent, ["in Table X, not in Table VII", "PSNR, dB", "AMINet's, dB"])

THOP = {"SFMNet": (8.55, 30.58), "CTCNet": (22.40, 47.23), "SCTANet": (27.71, 10.41), "SPARNet": (10.52, 7.18),
        "ELSFace": (6.68, 6.49), "FSRNet": (3.29, 15.9)}      # by thop, of the authors' code at x8; FSRNet: a third party's
rows = []
for name, (params, macs) in THOP.items():
    agree = [abs(params - float(X[name]["params_m"])) <= 0.0501, abs(macs - float(X[name]["macs_g"])) <= 0.0501]
    rows.append([name, params, X[name]["params_m"], macs, X[name]["macs_g"],
                 "both agree" if all(agree) else "one agrees" if any(agree) else "neither agrees"])
table(rows, ["public code at ×8", "parameters, M", "Table X", "MACs by thop, G", "Table X", ""])

# %% tags=["plot"]
path = next((look for look in sorted(RECORDS.glob("*celeba_test-paper.json"))), None)
if path:
    found = read_record(path)["values"]
    own_psnr, others = np.array(found["bicubic_psnr"]), {name: np.array(found[f"bicubic_{name}"]) for name in ("ssim", "vif")}
    printed_row = published(7)[0]
    aim = float(printed_row["celeba_psnr"])

    def tilted(strength):
        """Weights exp(strength * PSNR): another choice among our faces."""
        w = np.exp(strength * (own_psnr - own_psnr.mean()))
        return w / w.sum()

    low, high = -3.0, 3.0                                       # bisection: the choice whose mean PSNR is the printed one
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if tilted(middle) @ own_psnr < aim else (low, middle)
    weights = tilted(low)
    figure, axes = plt.subplots(1, 2, figsize=(10.3, 4), layout="constrained")
    figure.set_label("bicubic faces: SSIM and VIF against PSNR, of our faces one by one, and the printed means beside the cloud")
    rows = []
    for axis, (name, values) in zip(axes, others.items()):
        printed_mean = float(printed_row[f"celeba_{name}"])
        axis.plot(own_psnr, values, "s", ms=2, mew=0, color="darkgray", rasterized=True, antialiased=False,
                  label=f"our {len(values):,} faces")
        axis.plot(own_psnr.mean(), values.mean(), "s", color="C0", label="their mean")
        axis.plot(aim, weights @ values, "D", color="C2", label="mean of a choice with the printed PSNR")
        axis.plot(aim, printed_mean, "*", ms=14, color="C1", mec="black", label="printed mean")
        axis.set(xlabel="bicubic PSNR, dB", ylabel=f"bicubic {name.upper()}")
        rows.append([name.upper(), values.mean(), weights @ values, printed_mean])
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4, markerscale=1.3)
    plt.show()
    table(rows, ["bicubic", "our faces", f"ours at {aim} dB", "printed"], digits=dict.fromkeys(
        ["our faces", f"ours at {aim} dB", "printed"], 4))
else:
    print("pending: no record of celeba_test is here")

# %% [markdown]
# With the printed PSNR our faces have a lower SSIM and a much higher VIF. So the row was not measured by this protocol on faces like these, and **no number of ours can be set against a printed one**. That is why our rankings have their own Bicubic row.
#
# ## Exercises
#
# ### Exercise 1: who is not dominated?
#
# *Level 2, 10 minutes.*
#
# A network is *dominated* if another one has at least its PSNR for at most its cost, and is strictly better in one of them. The others form the **Pareto front**.

# %% tags=["exercise"]
def front(quality, cost):
    """Return the sorted indices of the networks that no other one dominates."""
    ...  # your turn


passed = check("12.1", front)

# %% tags=["solution"]
def front(quality, cost):
    keep = []
    for i, (q, c) in enumerate(zip(quality, cost)):
        beaten = any(p >= q and d <= c and (p > q or d < c) for p, d in zip(quality, cost))
        if not beaten:
            keep.append(i)
    return keep


passed = check("12.1", front)

# %% [markdown]
# <details><summary>What the paper leaves open</summary>
#
# In Table X AMINet is on the fronts of parameters and of speed, not on that of multiply-adds. SCTANet has the same 28.26 dB for 10.4 G, two thirds of the work. Table X prints it, and Table VII leaves it out.
#
# </details>
#
# ### Exercise 2: Kendall's τ
#
# *Level 1, 10 minutes.*
#
# A pair of elements is concordant if both lists order it alike, else discordant. $\tau$ is the number of concordant pairs minus that of discordant ones, divided by that of all pairs. The lists have no ties.

# %% tags=["exercise"]
def tau_of(a, b):
    """Return Kendall's tau of two lists of equal length."""
    ...  # your turn


passed = check("12.2", tau_of)

# %% tags=["solution"]
def tau_of(a, b):
    total, pairs = 0, 0
    for i in range(len(a)):
        for j in range(i):
            total += 1 if (a[i] - a[j]) * (b[i] - b[j]) > 0 else -1
            pairs += 1
    return total / pairs


passed = check("12.2", tau_of)

# %% [markdown]
# ### Exercise 3: copied?
#
# *Level 2, 15 minutes.*
#
# Two trainings of a network have PSNRs with the same mean and the standard deviation $\sigma$ each, printed in steps of $s \ll \sigma$. They print the same with a probability of about $s$ times the density of their difference at zero. And in several independent columns?

# %% tags=["exercise"]
def chance(steps, spreads):
    """Return the probability that two trainings agree in all columns; lists of s and of sigma, one each a column."""
    ...  # your turn


passed = check("12.3", chance)

# %% tags=["solution"]
def chance(steps, spreads):
    p = 1.0
    for s, sigma in zip(steps, spreads):
        p *= s / (2 * sigma * np.pi**0.5)                        # the difference is normal with sqrt(2) sigma
    return p


passed = check("12.3", chance)

# %% [markdown]
# Four columns with assumed spreads of 0.05 dB, 0.001, 0.002 and 0.002 agree with a probability of $3 \cdot 10^{-7}$; as PSNR and SSIM move together, that is a lower bound.
#
# ## What to remember
#
# 1. Most methods differ in the size they work at, and in how they weigh a feature.
# 2. Compare only with the same data, budget, start and measurement. A start can decide who stands in the upper half.
# 3. A place is an interval. One training each tells large differences only.
# 4. A printed table has a history: look for equal digits and missing rows.
#
# To read on: K. Musgrave et al., [A Metric Learning Reality Check](https://arxiv.org/abs/2003.08505) (2020), a comparison repeated under equal rules; H. Zhang et al., [Fixup Initialization](https://arxiv.org/abs/1901.09321) (2019), for last layers of zeros.
#
# Next: [13 · The GANs compared](13_compared_gans.ipynb)
