# %% [markdown]
# # 12 · Comparisons
#
# Seventeen methods, seven years, one task. With AMINet and AMINet-S they are nineteen networks; Table VII has sixteen of them, Table X eleven. What is the idea of each, in ten lines of its code? Then Tables VII and X and Figs. 1, 7 and 8, beside what we measured, and the question of what a ranking is worth.
#
# *About 2 minutes on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/12_comparisons.ipynb) · previous: [11 · Ablations](11_ablations.ipynb) · next: [13 · The GANs compared](13_compared_gans.ipynb)
#
# You will be able to
#
# - **tell** the compared methods apart: where each works, at what size, and which lines make it what it is;
# - **read** a table of comparisons: what its numbers have in common, which were copied, which cannot all be true;
# - **compare** fairly: the same faces, pictures seen, protocol and machine, and a ranking with its uncertainty.

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

# %%
import inspect
import json
from itertools import groupby
from math import comb, prod
from textwrap import dedent, fill

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from scipy.stats import kendalltau, t as student
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aminet.baselines import (ad_gnn, ctcnet, dicnet, elsface, facn, fsrnet, han, laat, rcan, san, sctanet, sfmnet,
                              sisn, spadnet, sparnet, swinir)
from aminet.degrade import degrade, to_float, upsample
from aminet.paper.records import read_record
from aminet.paper.reproduce import rerun as train_runs
from aminet.faces.sources import open_faces
from aminet.ledger import blank
from aminet.baselines.registry import adds_face, build, preset
from aminet.files import DATA
from aminet.notebook import error_map
from aminet.faces.portraits import portraits
from aminet.protocol import PROTOCOLS, psnr, ssim
from aminet.paper.runs import runs
from aminet.sa import SelfAttention
from aminet.faces.synthetic import faces as draw_faces
from aminet.paper.published import COLUMNS, SCALES, published
from aminet.paper.tables import planned, speeds, table, timed
from aminet.paper.text import short_table
from aminet.train import restore
from aminet.training.weights import PRETRAINED, load_weights

RECORDS = Path(records or DATA / "records")

# %% [markdown]
# ## Train a row yourself
#
# Every row is a run that this notebook can train and measure. By default it is ELSFace at scale `smoke`: eight drawn faces, some seconds, and a number that means nothing. `mkdir -p runs && papermill notebooks/12_comparisons.ipynb runs/12.ipynb --cwd notebooks -p rerun "swinir-*" -p scale smoke` trains both of SwinIR's runs in the same way. At scale `mini` use the command line, with CelebA at hand ([how](../RESULTS.md)). Its records stand in the tables below.

# %% tags=["nbval-ignore-output"]
print(train_runs(rerun or "elsface-smoke-0", scale, budget, DATA.parent / "runs", RECORDS))

# %% [markdown]
# ## First your prediction
#
# Table X prints four numbers for each of eleven networks: PSNR, parameters, multiply-adds, milliseconds. Does a larger network restore better? A slower one? A newer one? Kendall's $\tau$ is 1 when two orders agree, 0 when they have nothing to do with each other, -1 when one is the other backwards. Guess the four of them before you run on.

# %%
prediction = {"parameters": 0.5, "MACs": 0.5, "milliseconds": 0.5, "year": 0.5}  # tau with PSNR: edit me
YEAR = {"RCAN": 2018, "FSRNet": 2018, "SAN": 2019, "HAN": 2020, "DICNet": 2020, "FACN": 2020, "SPARNet": 2021, "SwinIR": 2021,
        "SISN": 2021, "AD-GNN": 2022, "Restormer-M": 2022, "CTCNet": 2023, "SCTANet": 2023, "LAAT": 2023, "ELSFace": 2023,
        "SFMNet": 2023, "SPADNet": 2024, "AMINet": 2024, "AMINet-S": 2024}


def column(number, name):
    return [float(row[name]) for row in published(number)]


ten = {"parameters": column(10, "params_m"), "MACs": column(10, "macs_g"), "milliseconds": column(10, "speed_ms"),
       "year": [YEAR[row["row"]] for row in published(10)]}
print(f"{'':14s}{'you':>6s}{'Table X':>10s}{'p':>7s}")
for name, values in ten.items():
    tau, p = kendalltau(values, column(10, "psnr"))
    print(f"{name:14s}{prediction[name]:6.1f}{tau:10.2f}{p:7.2f}")
tau, p = kendalltau([YEAR[row["row"]] for row in published(7)[1:]], column(7, "celeba_psnr")[1:])
print(f"\nyear, in the {len(published(7)) - 1} networks of Table VII: {tau:.2f} (p = {p:.3f})")

# %% [markdown]
# Neither size nor work nor time orders the field: their $\tau$ is as good as zero. The year of publication does, and more than chance would. That may be progress. It is also what one would see if each paper trained its own network with the most care and printed only those it could beat; a table cannot tell the two apart.
#
# ## The methods
#
# Each in a paragraph, a drawing and its own lines. The drawing is computed: the network is built at its full size on the `meta` device, and hooks note every convolution and linear layer that a face meets, from left to right. **Width** is the share of the multiply-adds, **height** the size of the feature there (16 to 256 pixels, on a logarithmic scale), **colour** the kind of layer; the names are the module's parts. The code is read from [`aminet/baselines`](../aminet/baselines/README.md), where the docstring of each file says what is described, what was read off a published size, and what we chose.

# %%
KINDS = {"3x3 and larger": "C0", "1x1, linear": "C1", "depthwise": "C2", "transposed": "C3"}


def way(config):
    """Parameters, MACs, and what a face meets: (part, size in pixels, kind, MACs) of each layer with weights, in order."""
    with torch.device("meta"):
        network = build(config)
    stations = []

    def watch(part):
        def hook(module, inputs, out):
            if isinstance(module, nn.Linear):
                size, kind, macs = (out.numel() // out.shape[-1]) ** 0.5, "1x1, linear", out.numel() * module.in_features
            else:
                kernel, size = prod(module.kernel_size), out.shape[2]
                macs = (inputs[0].numel() * module.out_channels if module.transposed else
                        out.numel() * module.in_channels) * kernel // module.groups
                kind = ("transposed" if module.transposed else "1x1, linear" if kernel == 1 else
                        "depthwise" if module.groups == module.in_channels > 1 else "3x3 and larger")
            stations.append((part, size, kind, macs))
        return hook

    for name, module in network.named_modules():
        if isinstance(module, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)):
            module.register_forward_hook(watch(name.split(".")[0]))
    with torch.no_grad(), FlopCounterMode(display=False) as counter:   # it knows attention's products, too
        network.eval()(blank(network))
    return sum(p.numel() for p in network.parameters()), counter.get_total_flops() // 2, stations


# %%
def skyline(config, axis):
    """The way of a face through a network as a skyline."""
    params, macs, stations = way(config)
    total, x, names = sum(macs for *_, macs in stations), 0.0, []
    for part, group in groupby(stations, key=lambda station: station[0]):
        start = x
        for size, same in groupby(group, key=lambda station: station[1]):
            same = list(same)
            for kind, colour in KINDS.items():
                share = sum(macs for _, _, k, macs in same if k == kind) / total
                axis.bar(x, np.log2(size) + 0.35, share, align="edge", color=colour, lw=0)
                x += share
        names.append((part, start, x))
        axis.axvline(x, color="white", lw=0.6)
    free = -1.0
    for part, start, end in names:
        middle = (start + end) / 2
        if middle - 0.0063 * len(part) > free and end - start > 0.012:  # no two names over each other
            axis.text(middle, -0.35, part, ha="center", va="top", fontsize=8)
            free = middle + 0.0063 * len(part)
    axis.set(xlim=(0, 1), ylim=(0, 8.6), xticks=[],
             yticks=[0.35, 4.35, 5.35, 6.35, 7.35, 8.35], yticklabels=[1, 16, 32, 64, 128, 256])
    axis.tick_params(axis="y", labelsize=6, length=0)
    axis.grid(axis="x", visible=False)
    axis.set_title(f"{params / 1e6:.2f} M parameters, {macs / 1e9:.2f} G multiply-adds", fontsize=8, loc="left")
    return stations


# %%
WAYS = {}


def meet(name, *pieces):
    """A method: who and what, its drawing, and its own lines."""
    who, what = inspect.getdoc(sys.modules[f"aminet.baselines.{name}"]).split("\n\n")[:2]
    figure, axis = plt.subplots(figsize=(7, 1.1), layout="constrained")
    WAYS[name] = skyline(preset(f"aminet/{name}"), axis)
    display(Markdown(f"**{who.partition(':')[0]}**{who.partition(':')[2]}\n\n{what}"))
    plt.show()
    display(Markdown("\n".join(["```python", *(lines(piece) for piece in pieces), "```"])))


def lines(piece):
    """The source of a function or class, without its docstring."""
    source = dedent(inspect.getsource(piece))
    document = inspect.getdoc(piece)
    if document and source.count('"""') >= 2:
        head, _, rest = source.partition('"""')
        source = head.rstrip() + rest.partition('"""')[2]
    where = getattr(piece, "__qualname__", "").rpartition(".")[0]
    return (f"# {where}\n" if where else "") + source.rstrip() + "\n"


figure, axis = plt.subplots(figsize=(7.6, 1.4), layout="constrained")
WAYS["AMINet"] = skyline(preset("aminet"), axis)
axis.set_title(f"AMINet, for comparison: {axis.get_title('left')}", fontsize=8, loc="left")
for kind, colour in KINDS.items():
    axis.bar(0, 0, color=colour, label=kind)
figure.legend(loc="outside lower center", ncols=4, fontsize=8)
plt.show()

# %% [markdown]
# ### General super-resolution: deep, at 16x16
#
# The first four were made for photographs of anything. They work on the LR image itself and enlarge at the very end, so a layer costs a sixty-fourth of what it would at 128x128: RCAN has eight hundred of them for less than 5 G. They differ in what a gate knows.
#
# - RCAN's knows a channel's mean.
# - SAN's knows how a channel varies *together with* all others, by the root of a covariance matrix.
# - HAN lets ten groups of layers look at each other. Those that are *least* alike weigh most: see the minus sign.
# - SwinIR has attention between pixels, in windows, of which a 16x16 face has just four.

# %%
meet("rcan", rcan.ChannelAttention)
meet("san", san.covariance, san.SecondOrderAttention.forward)
meet("han", han.LayerAttention.weights, han.LayerAttention.forward)
meet("swinir", swinir.WindowAttention.forward)

# %% [markdown]
# ### Facial priors: landmarks, parsing, attributes
#
# Three (and SPADNet below) that are taught more than the face: where its parts are, or what is true of it. They need labels in training, none in use. FSRNet estimates its prior from a *coarse result*, since 16 pixels show no landmarks; look where its work is: most of it redraws at 128x128. DICNet takes four turns. The first has a feedback block of its own, the others share one. Each block jumps between 32 and 256 pixels (the stripes). Behind it the hourglass finds the landmarks, which steer the next turn's fusion. FACN is built *from the description*: no code and no size are public.
#
# ### Attention for faces
#
# Three without priors, which find out by themselves where a face needs work. SPARNet multiplies by a map; the dips in its drawing are the small hourglasses that draw the maps. SISN chooses by a softmax among four convolutions; it folds the enlarged face back to 16x16, which is why it is the cheapest of all. AD-GNN (*from the description*) lets a patch learn from those most like it, an eye from the other one. Its graphs are all but free: the work is in drawing at 64x64 and 128x128.

# %%
meet("fsrnet", fsrnet.FSRNet.everything)
meet("dicnet", dicnet.AttentiveFusion.forward, dicnet.DICNet.every_step)
meet("facn", facn.Capsules.forward)
meet("sparnet", sparnet.SpatialAttention.attention, sparnet.SpatialAttention.forward)
meet("sisn", sisn.SplitAttention.forward)
meet("ad_gnn", ad_gnn.DynamicGraph.edges, ad_gnn.DynamicGraph.forward)

# %% [markdown]
# ### Transformers, alone and with convolutions
#
# Attention between all pixels of 128x128 would cost 268 million products for each channel. Restormer's is between *channels* instead, and AMINet's SA is this one ([notebook 03](03_sa.ipynb)); the "-M" is defined nowhere, and we take C = 32, which fits AMINet's budget. LAAT (*from the description*) attends coarsely first, and finely only where the first attention says that it matters.
#
# The other three are of AMINet's own kind, convolutions *and* Transformers. CTCNet does one after the other within a level, SCTANet side by side within a block, ELSFace in two streams (partly *from the description*; each stream runs several times with the same weights, hence its few parameters). CTCNet's FRM refines low and high frequencies apart. A 1x1 crosses them once, so the high part sees the low one, and the low part does not see the high one. AMINet's part of the same name is another one.
#
# ### Frequencies and structure
#
# Two with a second branch that tells the first one something. SFMNet's second branch convolves amplitude and phase of the Fourier transform, where a 3x3 touches the whole image. It draws a face as well: SFMNet's loss compares both faces, and amplitude and phase of this second one. SPADNet's (partly *from the description*) draws heatmaps of the face's parts, and these decide for every pixel which of its neighbours a convolution listens to.
#
# Below them all methods in one table: the share of each network's multiply-adds at a size of the feature.

# %%
meet("restormer", SelfAttention.attention, SelfAttention.forward)
meet("laat", laat.RSA.select, laat.RSA.forward)
meet("ctcnet", ctcnet.FRM.split, ctcnet.FRM.forward)
meet("sctanet", sctanet.Mask.forward, sctanet.Block.forward)
meet("elsface", elsface.HFEB.forward, elsface.ELSFace.forward)
meet("sfmnet", sfmnet.FrequencyBlock.forward)
meet("spadnet", spadnet.PixelAdaptiveConv.kernel, spadnet.PixelAdaptiveConv.forward)

print(f"{'':12s}" + "".join(f"{text:>10s}" for text in ("up to 16", "32", "64", "128", "256")) + f"{'layers':>10s}")
for name, stations in sorted(WAYS.items(), key=lambda item: sum(macs for _, size, _, macs in item[1] if size > 33)
                             / sum(macs for *_, macs in item[1])):
    total = sum(macs for *_, macs in stations)
    at = [sum(macs for _, size, _, macs in stations if low < size <= high) / total
          for low, high in ((0, 17), (17, 33), (33, 65), (65, 129), (129, 257))]
    print(f"{name:12s}" + "".join(f"{100 * share:8.0f} %" for share in at) + f"{len(stations):10d}")

# %% [markdown]
# A multiply-add costs the same everywhere, but a feature at 128x128 needs 64 times the memory of one at 16x16, and a deep network many small steps. So multiply-adds alone do not predict milliseconds, as the next tables show.
#
# ## Tables VII and X, the paper's and ours
#
# > "Our AMINet outperforms all evaluation metrics, including PSNR, SSIM, LPIPS, and VIF, which fully demonstrates its efficiency." (Sec. IV-D1)
#
# Ours are read from sealed records, in two blocks:
#
# - **own start**: each output layer is as its authors made it, where that is known; AD-GNN's, FACN's and SPADNet's are our choice. All have the same data order, batch, optimiser and schedule, and see equally many pictures. What differs is the network with its initial weights and, where it has one, its own loss.
# - **from bicubic**: the same methods again. The last convolution starts at zero, and the output adds the enlarged LR face, as AMINet's does. So each starts from the bicubic face of the tables. And each training takes the best of three step sizes, by a trial of a quarter of the training and its PSNR on validation.
#
# A row needs one training. **Pending**: none stands behind it. Our second column stands in for Helen: Flickr portraits, never to be called Helen. Parameters and MACs are counts of the full-size networks, MACs by thop, as the paper counts. (thop takes a transposed convolution of stride $s$ for $s^2$ times its work: DICNet's true 45.3 G become 568, CTCNet's 30.0 become 47.) Our milliseconds are of this course's CPU sitting, all networks in turns.

# %%
TABLES = {number: table(number, RECORDS) for number in (7, 10)}     # with what was trained above, if not `smoke`
for one in TABLES.values():
    print(short_table(one))
count = {name: sum(spec.seed == 0 for spec in runs(name)) for name in ("mini", "short")}
print("The runs behind these tables, those of the ablations and of the GANs among them:\n"
      f"   python -m aminet reproduce --scale mini --only '*-mini-0'     ({count['mini']} runs of narrow networks, hours on a CPU)\n"
      f"   python -m aminet reproduce --scale short --only '*-short-0'   ({count['short']} runs of the paper's size, on a GPU)\n"
      "   python -m aminet reproduce --list --scale short               (how far each is here)")

SPEC = {(spec.scale, row): spec for spec in runs() if spec.seed == 0 and spec.start is None and not spec.block
        for number, row in spec.rows if number in (7, 10)}
METHODS = [row for row in dict.fromkeys(row["row"] for number in (7, 10) for row in published(number)) if row != "Bicubic"]


def psnr_cells(block):
    """Our PSNR on CelebA faces in a block, by row and of one scale: Table VII's cells, and Table X's of other rows."""
    cells = [cell for one in TABLES.values() for cell in (one.from_bicubic if block else one.cells)
             if cell.metric == "psnr" and cell.faces == "CelebA" and cell.ours is not None]
    return {cell.row: cell for cell in reversed(cells) if cell.scale == cells[0].scale}


def split(values):
    """How the methods with a plus lie in a ranking by these values, and the chance of so many in front in a random order."""
    order = sorted(values, key=lambda row: -values[row])
    n, k = len(order), sum(ADDS[row] for row in order)
    if not k or 1 / comb(n, k) > 0.05:                          # even the clearest split would tell nothing
        return f"{k} of {n} have a plus: too few to tell"
    front = sum(ADDS[row] for row in order[:k])
    p = sum(comb(k, i) * comb(n - k, k - i) for i in range(front, k + 1)) / comb(n, k)
    return f"{k} of {n} have a plus, and hold {front} of the first {k} places; by chance so many or more: p = {p:.2g}"


def half_width(cell, cells):
    """Half of the 95 % interval of a method minus AMINet over trainings: Student's, for three of both; else by AMINet's spread."""
    ours, own, first = len(cell.seeds), cells["AMINet"], PSNR["AMINet"]
    if min(ours, len(own.seeds)) > 2:
        return (cell.difference_high - cell.difference_low) / 2
    trainings = [read_record(RECORDS / file)["means"][cell.metric]["mean"] for file in first.records]
    spread = np.std(trainings, ddof=1) if len(trainings) > 2 else np.inf
    return student.ppf(0.975, max(1, len(trainings) - 1)) * spread * (1 / ours + 1 / len(own.seeds)) ** 0.5

# %% [markdown]
# ### Own start: those that add the face come first
#
# The methods by our PSNR, each with its own start. **+** marks those whose output adds the enlarged LR face. That is tested, not typed: with its last convolution at zero such a network still returns a face, another one returns nothing.
#
# If the start decided, those with a plus would hold the first places. The lines below the table count them, and say how likely chance alone puts as many there. They count twice more: without the three whose start is our choice, and with SCTANet's first look, after which we gave it a zero last layer.
#
# Beside each row is its difference to AMINet on the same faces, ± half of a 95 % interval over trainings. With three trainings of both it is Student's. Else we assume that both spread as AMINet's three do. (A bootstrap over faces would be ten times narrower, and say nothing of other trainings: [notebook 11](11_ablations.ipynb).) The networks of scale `mini` and `pocket` are 8 to 56 channels wide where the originals have 32 to 184: the sizes that were trained stand beside.

# %%
PSNR, SECOND = psnr_cells(""), psnr_cells("from_bicubic")
ADDS = {row: adds_face(SPEC["smoke", row].config) for row in METHODS}                            # small networks
networks = sorted((cell for cell in PSNR.values() if cell.row != "Bicubic"), key=lambda cell: -cell.ours)
print(f"{'':6s}{'':14s}{'PSNR':>7s}   minus AMINet     params, M  MACs, G   place in Table VII")
printed = [row["row"] for row in sorted(published(7), key=lambda row: -float(row["celeba_psnr"])) if row["row"] != "Bicubic"]
SIZES = {cell.row: way(SPEC[cell.scale, cell.row].config)[:2] for cell in networks}              # parameters, MACs
for place, cell in enumerate(networks, 1):
    gap = f"{cell.difference:+.2f} ± {half_width(cell, PSNR):.2f}" if cell.reference and cell.difference is not None else ""
    theirs = str(printed.index(cell.row) + 1) if cell.row in printed else "-"
    print(f"{place:3d} {'+' if ADDS[cell.row] else ' '} {cell.row:14s}{cell.ours:7.2f}   {gap:16s} {SIZES[cell.row][0] / 1e6:9.3f}"
          f"{SIZES[cell.row][1] / 1e9:9.3f}{theirs:>10s}")
if "Bicubic" in PSNR:
    print(f"      {'Bicubic':14s}{PSNR['Bicubic'].ours:7.2f}")
missing = [row for row in METHODS if row not in PSNR]
print(f"pending: {', '.join(missing) or 'none'}")
if networks:
    values = {cell.row: cell.ours for cell in networks}
    print("all:                       " + split(values))
    print("without our own choices:   " + split({row: value for row, value in values.items() if row not in ("AD-GNN", "FACN", "SPADNet")}))
    look = RECORDS / "withdrawn" / "sctanet-mini-0-celeba_test-paper.json"
    if look.exists() and "SCTANet" in values:
        print("with SCTANet's first look: " + split(values | {"SCTANet": read_record(look)["means"]["psnr"]["mean"]}))
    few, many = (pick(SIZES, key=lambda row: SIZES[row][1]) for pick in (min, max))
    print(f"the multiply-adds differ {SIZES[many][1] / SIZES[few][1]:.0f}-fold ({few}, {many})")

# %% [markdown]
# ### The same methods from the bicubic face
#
# A split is no proof of its cause: those with a plus are mostly the newer designs, too. So from bicubic every method gets the same start, and with it the sum of output and enlarged face. What a method gains there is what its own start had cost it, plus the luck of two trainings. For a few it is another step size, too.
#
# How alike are the two orders, and how like the published one (Table VII, PSNR on CelebA)? Kendall's $\tau$, with a 95 % bootstrap interval: other methods might have been compared, so methods are drawn. An interval with zero in it says that the orders may have nothing in common.

# %%
rows_ = sorted(METHODS, key=lambda row: (-PSNR[row].ours if row in PSNR else 0, METHODS.index(row)))
blocks = {"own start": PSNR, "from bicubic": SECOND}
print(f"{'PSNR, dB':16s}" + "".join(f"{title:>14s}{'place':>7s}" for title in blocks) + f"{'gain':>8s}")
for row in rows_:
    line = f"{'+' if ADDS[row] else ' '} {row:14s}"
    for cells in blocks.values():
        place = 1 + sum(other.ours > cells[row].ours for name, other in cells.items() if name != "Bicubic") if row in cells else ""
        line += f"{f'{cells[row].ours:.2f}' if row in cells else 'pending':>14s}{place:>7}"
    both = row in PSNR and row in SECOND and PSNR[row].scale == SECOND[row].scale
    print(line + (f"{SECOND[row].ours - PSNR[row].ours:+8.2f}" if both else ""))

figure, axes = plt.subplots(1, 2, figsize=(8.6, 4.4), sharex=True, sharey=True, layout="constrained")
for axis, (title, cells) in zip(axes, blocks.items()):
    for y, row in enumerate(rows_):
        if row in cells:
            one = cells[row]
            axis.errorbar(one.ours, y, xerr=[[one.ours - one.low], [one.high - one.ours]], fmt="o", ms=4, color="C1" if ADDS[row] else "C0")
        else:
            axis.text(0.02, y, "pending", transform=axis.get_yaxis_transform(), va="center", fontsize=7, color="dimgray")
    if "Bicubic" in PSNR:
        axis.axvline(PSNR["Bicubic"].ours, color="gray", lw=1, ls="--")
    axis.set(title=title, xlabel="PSNR, dB", yticks=range(len(rows_)), ylim=(len(rows_) - 0.4, -0.6))
    axis.set_yticklabels(rows_, fontsize=7)
axes[0].plot([], [], "o", color="C1", label="own start adds the enlarged face")
axes[0].plot([], [], "o", color="C0", label="own start draws all of it")
figure.legend(loc="outside lower center", ncols=2, fontsize=8)
plt.show()
for title, cells in blocks.items():
    print(f"{title}: {split({row: cell.ours for row, cell in cells.items() if row != 'Bicubic'})}")

# %%
def order_alike(a, b, draws=1000):
    """Kendall's tau of two sets of values by method, with its bootstrap interval over the methods of both."""
    names = [row for row in METHODS if row in a and row in b]
    if len(names) < 5:
        return f"pending ({len(names)} methods in both)"
    x, y = (np.array([values[row] for row in names]) for values in (a, b))
    chosen = np.random.default_rng(0).integers(len(names), size=(draws, len(names)))
    low, high = np.nanpercentile([kendalltau(x[i], y[i]).statistic for i in chosen], [2.5, 97.5])
    return f"tau {kendalltau(x, y).statistic:+.2f} [{low:+.2f}, {high:+.2f}] over {len(names)} methods"


ours_first, ours_second = ({row: cell.ours for row, cell in cells.items()} for cells in blocks.values())
TABLE_7 = {row["row"]: float(row["celeba_psnr"]) for row in published(7)}
print("own start and from bicubic:", order_alike(ours_first, ours_second))
print("own start and Table VII:   ", order_alike(ours_first, TABLE_7))
print("from bicubic and Table VII:", order_alike(ours_second, TABLE_7))
both = [row for row in METHODS if row in ours_first and row in ours_second]
if len(both) > 1:
    for plus, words in ((False, "that drew the whole face"), (True, "that added it already")):
        few = [row for row in both if ADDS[row] == plus]
        if len(few) > 1:
            gains = [ours_second[row] - ours_first[row] for row in few]
            first, second = (np.ptp([ours[row] for row in few]) for ours in (ours_first, ours_second))
            print(f"the {len(few)} {words} gain {min(gains):+.2f} to {max(gains):+.2f} dB; "
                  f"they lie within {second:.2f} dB, with their own start within {first:.2f}")
chosen = {row: sorted(read_record(RECORDS / cell.records[0])["weights"]["trials"], key=lambda trial: -trial["val_psnr"]) for row, cell in SECOND.items()}
print(fill("step size by validation, and the dB by which it beat the next: " + ", ".join(
    f"{row} {best['lr']:g} ({best['val_psnr'] - other['val_psnr']:.2f})" for row, (best, other, *_) in chosen.items()), 118))

# %% [markdown]
# **What equal starts show.** The methods that drew the whole face gain from the bicubic start; the last lines above say how much. So most of their distance to AMINet was the start. How far the *order* changes is $\tau$'s question, and its interval is wide. Some tenths of a dB are left. With one training each, they tell how fast narrow networks learn, and no more.
#
# **What these rankings are not.** At about a thousandth of a full training (150 epochs of 18,000 faces, as the lineage trains) they rank how fast networks learn at a width nobody designed them for.
#
# - **The start.** The own starts favour AMINet. Its last layer starts at zero, so it starts from the bicubic face itself, and so does SCTANet. Those without a plus must first learn what a face looks like, and have not finished. That zero is our reading, not the paper's word. With PyTorch's random tail two of AMINet's three trainings lose 0.3 dB, and the third 1.2 dB ([notebook 11](11_ablations.ipynb)). Any row of one training may be such a third one. From bicubic it has no such advantage.
# - **The recipe.** With their own start all train with one step size, which was found with AMINet. From bicubic validation chooses among three, by 800 pictures of one seed, for AMINet, too. The last line above shows how narrow some choices are. For AMINet two step sizes are as good. Others gain 0.1 dB or more from the second largest to the largest. A still larger step might serve them better.
# - **Initial weights.** They are PyTorch's for some. For others the authors', or we, chose them, as the file of each method says.
# - **Priors.** Prior-based methods are taught more, and pay for it in the beginning. Here they learn landmarks only, found by a network. Our CelebA faces come without parsing maps, which FSRNet would learn from, too, and without the attributes for FACN.
# - **Second looks.** Some networks were changed after a first look at the test faces. SCTANet had learnt nothing, as validation showed; Swin's initial weights and a zero tail mended that. SwinIR and ELSFace got Swin's weights, too. SISN lay below bicubic with its own start. Its 110 blocks added normed features of size one, and its batch norm's statistics ran behind. Now the last norm of each block starts at zero, as is usual in residual networks, which mends both. From bicubic six methods started from a face of another cubic kernel, 0.1 dB too high, and AD-GNN's as well. SFMNet, DICNet and CTCNet follow their authors' public code now. The notes of the tables name them, and the first records are in `data/records/withdrawn`.
# - **Ties.** AMINet's own trainings spread by 0.04 dB. If another method's spread as much, one training of each tells a difference to within 0.26 dB only ($4.30\cdot0.04\sqrt2$, Student's). The last lines of "AMINet's own rank" below say who cannot be told from AMINet.
# - **Size.** The multiply-adds differ manyfold: the last line of the first ranking.
#
# A place here is evidence about *this* setting. The full sizes at the scales `short` and `paper` are what a comparison with the paper needs.
#
# ## Figure 1: quality, size and speed
#
# Left, what the paper prints in Table X: PSNR against multiply-adds, the area of a disc is its parameters, the colour its milliseconds. Right, ours, each with its own start: the networks at the size that was trained, their own multiply-adds and parameters, and no speed, since a narrow network's speed says little about the full one. Below, the milliseconds at full size, relative to AMINet's, published (one GPU) against ours (a CPU); then the same sitting as a table, `torch.compile` beside eager. Its last column is what equal training would take on this CPU: a training step goes forward once and backward, which costs about twice that, so three forward passes for each of 200,000 pictures.

# %%
X = {row["row"]: row for row in published(10)}
figure, (left, right) = plt.subplots(1, 2, figsize=(8.2, 3.3), layout="constrained")
dots = left.scatter([float(row["macs_g"]) for row in X.values()], [float(row["psnr"]) for row in X.values()],
                    s=[16 * float(row["params_m"]) for row in X.values()], c=[float(row["speed_ms"]) for row in X.values()],
                    cmap="viridis_r", alpha=0.75, edgecolor="black", lw=0.5)
for name, row in X.items():
    below = name == "LAAT"                                      # AMINet-S lies above it
    left.annotate(name, (float(row["macs_g"]), float(row["psnr"])), xytext=(0, -14 if below else 8), ha="center",
                  textcoords="offset points", fontsize=7, weight="bold" if name == "AMINet" else "normal")
figure.colorbar(dots, ax=left, label="ms", shrink=0.8)
left.set(xscale="log", xlabel="MACs, G", ylabel="PSNR, dB", title="the paper", xlim=(5.5, 70), ylim=(26.9, 28.6),
         xticks=[7, 10, 20, 40], xticklabels=["7", "10", "20", "40"])
left.minorticks_off()
labels = []                                                     # of the networks before: (log10 MACs, PSNR) at the right
for cell in networks:
    (params, macs), ours = SIZES[cell.row], cell.row == "AMINet"
    right.scatter(macs / 1e9, cell.ours, s=90 * (params / 1e6) ** 0.5 + 12, color="C1" if ours else "C0", alpha=0.75,
                  edgecolor="black", lw=0.5)
    crowded = any(abs(np.log10(macs) - x) < 0.35 and abs(cell.ours - y) < 0.09 for x, y in labels)
    labels += [] if crowded else [(np.log10(macs), cell.ours)]
    right.annotate(cell.row, (macs / 1e9, cell.ours), xytext=(-7 if crowded else 7, 0), textcoords="offset points",
                   ha="right" if crowded else "left", va="center", fontsize=7, weight="bold" if ours else "normal")
right.set(xscale="log", xlabel="MACs of the trained network, G", title=f"ours, own start, scale {networks[0].scale if networks else 'none'}"
          + (f": {len(missing)} of {len(METHODS)} pending" if missing else ""))
if "Bicubic" in PSNR:
    right.axhline(PSNR["Bicubic"].ours, color="gray", lw=1, ls="--")
    right.text(0.99, PSNR["Bicubic"].ours, "Bicubic", transform=right.get_yaxis_transform(), ha="right", va="bottom", fontsize=7)
right.margins(x=0.2, y=0.15)
plt.show()

# %%
times, machine, sitting = speeds(RECORDS)
MS = {row: timed(10, row, times) for row in X}
if MS["AMINet"]:
    ratios = {row: (float(X[row]["speed_ms"]) / float(X["AMINet"]["speed_ms"]), MS[row] and MS[row] / MS["AMINet"]) for row in X}
    order = sorted(ratios, key=lambda row: ratios[row][0])
    figure, axis = plt.subplots(figsize=(8.6, 2.8), layout="constrained")
    for x, row in enumerate(order):
        axis.bar(x - 0.2, ratios[row][0], 0.38, color="C0", label="paper, RTX 3090" if x == 0 else None)
        if ratios[row][1]:
            axis.bar(x + 0.2, ratios[row][1], 0.38, color="C1", label="ours, a CPU" if x == 0 else None)
        else:
            axis.text(x + 0.2, 0.05, "pending", rotation=90, ha="center", va="bottom", fontsize=7)
    axis.axhline(1, color="black", lw=0.8)
    axis.set(xticks=range(len(order)), xticklabels=order, ylabel="time / AMINet's", title="one face, full size, eager fp32")
    axis.tick_params(axis="x", labelsize=7)
    axis.grid(axis="x", visible=False)
    axis.legend()
    plt.show()
    both = [row for row in order if ratios[row][1]]
    if len(both) > 2:
        tau, p = kendalltau(*zip(*(ratios[row] for row in both)))
        print(f"the two orders: tau {tau:.2f} (p = {p:.2f}) over {len(both)} networks; on {machine}, record {sitting}")
else:
    print("pending: python -m aminet bench --all --records data/records")

if sitting:
    rows = {json.dumps(row["config"]): row for row in read_record(RECORDS / sitting)["rows"]}
    print(f"{'full size, one face, fp32':26s}{'eager, ms':>12s}{'ratio':>7s}{'compiled, ms':>15s}{'ratio':>7s}{'scale short, hours':>21s}")
    for name in dict.fromkeys(row["row"] for row in [*published(7), *published(10)]):
        spec = planned(7, name) or planned(10, name)
        one = spec and rows.get(json.dumps(spec.config.to_dict()))
        if one:
            fused = f"{1e3 * one['compiled_seconds']:15.0f}{one['compiled_ratio']:7.2f}" if "compiled_seconds" in one else f"{'-':>15s}{'-':>7s}"
            print(f"   {name:23s}{1e3 * one['seconds']:12.0f}{one['ratio']:7.2f}{fused}{3 * one['seconds'] * 200_000 / 3600:18.0f}")

# %% [markdown]
# A "speed" is a property of a network *and* a machine *and* a library. A GPU at batch 1 waits for the launch of every small kernel, so a deep network is slow there whatever its multiply-adds; a CPU pays for bytes and arithmetic. Ratios of one sitting on one machine are all that can be compared.
#
# ## Figures 7 and 8: faces side by side
#
# > "the visual comparison in Fig. 7 reveals that previous FSR methods struggled to reproduce facial features like the eyes and mouth accurately. In contrast, AMINet excels at preserving the facial structure and producing more precise results." (Sec. IV-D1)
#
# Fig. 7 shows CelebA faces, Fig. 8 Helen's. Neither may be shown here, so ours are the two portraits and synthetic faces (and yours, with the parameter `own`): every network whose weights are at hand, with its own start, at the scale with the most of them. The others are left out. Below each face its PSNR.

# %%
hr = torch.cat([torch.stack(list(portraits().values())), draw_faces(synthetic, seed + 100)])       # (B, 3, 128, 128) uint8
if own:
    hr = torch.cat([open_faces(own.split(), progress=False)[0][:2], hr])
bicubic, target = to_float(upsample(degrade(hr))), to_float(hr)
HERE = {name: {row: spec.name for (at, row), spec in SPEC.items() if at == name
               and (PRETRAINED / f"{spec.name}.safetensors").exists()} for name in SCALES}
best_scale = max(HERE, key=lambda name: (len(HERE[name]), SCALES.index(name)))
order = [row["row"] for row in published(7) if row["row"] in HERE[best_scale]]
RESULTS = {"Bicubic": bicubic} | {row: restore(load_weights(HERE[best_scale][row])[0], hr) for row in order}
SCORE = {row: psnr(result, hr, PROTOCOLS["paper"]) for row, result in RESULTS.items()}              # (B,) dB each
print(f"scale {best_scale}: {len(order)} networks; not among the course's weights: "
      f"{', '.join(row['row'] for row in published(7) if row['row'] not in RESULTS) or 'none'}")


def gallery(which, rows, width=9, errors=True):
    """Faces `which` by the networks `rows`, `width` in a line, with their PSNR and error maps."""
    for start in range(0, len(rows), width):
        part = rows[start:start + width]
        grid, labels = [], []
        for i in which:
            grid.append([*(RESULTS[row][i] for row in part), target[i]])
            maps = [error_map(RESULTS[row][i], target[i]) for row in part]
            grid += [[*maps, None]] * errors
            labels += [names[i], *["error x 4"] * errors]
        figure = show(grid, [*part, "original"], labels, height=1.3)
        axes = np.array(figure.axes).reshape(len(grid), -1)
        for line, i in zip(axes[::1 + errors], which):
            best = max(SCORE[row][i] for row in rows)
            for axis, row in zip(line, part):
                axis.set_xlabel(f"{SCORE[row][i]:.2f} dB", fontsize=8, labelpad=1,
                                weight="bold" if SCORE[row][i] == best else "normal")
        for axis in axes[0]:
            axis.title.set_fontsize(8)
        for axis in axes[:, 0]:
            axis.yaxis.label.set_fontsize(8)
        plt.show()


names = [f"yours {i + 1}" for i in range(len(hr) - 2 - synthetic)] + list(portraits()) + [f"no. {i}" for i in range(synthetic)]
gallery([i for i, name in enumerate(names) if not name.startswith("no.")], list(RESULTS), errors=False)

# %% [markdown]
# Look at the eyes and the mouth, then at the number below. The errors are largest where a face is sharp: at the rims of glasses, in hair, along the teeth. No network can know on which side of a pixel such an edge lay; L1 then draws the median of all possibilities, which is a blur.
#
# One face per figure is an illustration. Here are a worst and a best case, *chosen by a rule*: of the synthetic faces the one where AMINet gains least over bicubic enlargement, and the one where it gains most. Below them and one portrait, where the errors are: the mean absolute error of 4x4 pixels, four times brighter.

# %%
gain = SCORE["AMINet"] - SCORE["Bicubic"]
drawn = [i for i, name in enumerate(names) if name.startswith("no.")]
worst, best = (pick(drawn, key=lambda i: gain[i]) for pick in (min, max))
ranked = sorted(RESULTS, key=lambda row: SCORE[row][drawn].mean(), reverse=True)
few = [row for row in RESULTS if row in ("Bicubic", "AMINet") or row in ranked[:4]]                # the best of the mean
gallery([names.index("collins"), worst, best], few)
print(f"AMINet's gain over bicubic: worst {gain[worst]:+.2f} dB ({names[worst]}), best {gain[best]:+.2f} dB ({names[best]}), "
      f"median {np.median(gain[drawn]):+.2f} dB")
wins = {row: int(sum(max(SCORE, key=lambda name: SCORE[name][i]) == row for i in range(len(hr)))) for row in RESULTS}
print("best of all on so many pictures: " + ", ".join(f"{row} {n}" for row, n in sorted(wins.items(), key=lambda x: -x[1]) if n))

# %% [markdown]
# With enough networks and faces each has a face on which it is best: a figure can show any of them to advantage. So a figure without a rule for its choice is no evidence.
#
# ## Another protocol, another ranking?
#
# A ranking is only worth something if it survives a change of ruler. First the published one: Table VII ranks its networks eight times, by four metrics on two sets of faces. Then ours: the pictures above under three protocols ([notebook 02](02_measuring_a_face.ipynb)), which shift the PSNR by up to two decibels.

# %%
rows = [row for row in published(7) if row["row"] != "Bicubic"]
names_7 = [name for name in rows[0] if name not in ("table", "row")]
signed = np.array([[float(row[name]) * (1 if COLUMNS[name.split("_")[1]].higher else -1) for row in rows] for name in names_7])
places = (-signed).argsort(1).argsort(1) + 1                                                        # (8, 16)
figure, axis = plt.subplots(figsize=(6.4, 3.1), layout="constrained")
for i in np.argsort(places[0]):
    name = rows[i]["row"]
    ours = name == "AMINet"
    axis.plot(places[:, i], "o-", color="C1" if ours else f"{0.25 + 0.5 * (places[0, i] / 16):.2f}", lw=2.5 if ours else 1, ms=4)
    axis.text(-0.15, places[0, i], name, ha="right", va="center", fontsize=7, weight="bold" if ours else "normal")
    axis.text(7.15, places[-1, i], name, ha="left", va="center", fontsize=7, weight="bold" if ours else "normal")
axis.set(xticks=range(8), xticklabels=[name.replace("_", "\n") for name in names_7], ylabel="place", yticks=(1, 4, 8, 12, 16),
         xlim=(-1.6, 8.6), ylim=(16.6, 0.4),
         title="Table VII: the place of each network, by metric and set of faces")
axis.grid(axis="x", visible=True)
plt.show()
for a, b in ((0, 1), (0, 2), (0, 3), (0, 4), (3, 7)):
    print(f"{names_7[a]:13s} and {names_7[b]:13s} tau {kendalltau(places[a], places[b])[0]:.2f}")
moved = places[3] - places[0]
print("largest moves from PSNR to LPIPS on CelebA: "
      + ", ".join(f"{rows[i]['row']} {places[0, i]} -> {places[3, i]}" for i in np.argsort(-abs(moved))[:3]))

if len(RESULTS) > 2:
    RULES = {name: (psnr, protocol) for name, protocol in PROTOCOLS.items()} | {"SSIM, paper": (ssim, PROTOCOLS["paper"])}
    value = {rule: {row: measure(result, hr, protocol).mean() for row, result in RESULTS.items()}
             for rule, (measure, protocol) in RULES.items()}
    print(f"{len(hr)} pictures, scale {best_scale}")
    print(f"{'':14s}" + "".join(f"{rule:>20s}" for rule in value))
    for row in sorted(RESULTS, key=lambda row: -value["paper"][row]):
        print(f"{row:14s}" + "".join(
            f"{value[rule][row]:14.{3 if 'SSIM' in rule else 2}f} ({sorted(value[rule].values(), reverse=True).index(value[rule][row]) + 1:2d})"
            + "  " for rule in value))
    for rule in list(value)[1:]:
        tau, _ = kendalltau(*zip(*((value["paper"][row], value[rule][row]) for row in RESULTS)))
        print(f"the order by `paper` and by {rule}: tau {tau:.2f}")
else:
    print("pending: fewer than two networks are here")

# %% [markdown]
# The first place is safe in the paper's own table: AMINet leads all eight columns. The middle is not: seven networks lie within 0.14 dB, from AD-GNN's 27.82 to SFMNet's 27.96, and change places with every metric. And FACN, with the second-lowest PSNR, has the second-best LPIPS on CelebA: to be ranked well by one metric and badly by another is what one expects from blurred and from sharp results ([notebook 13](13_compared_gans.ipynb)).
#
# ## Which rows are copied, and how can one tell?
#
# A table of comparisons can be made in three ways: train every network anew; run the authors' weights; or copy printed numbers. Only the first compares networks. The paper does not say which it did. Five marks to look for, four of them computed here from what is printed or recorded.

# %%
print("1. The same digits in several tables, where the rest of the table was trained anew:")
six = {row["row"]: row for row in published(6)}
for name in ("SPARNet", "SFMNet"):
    seven = next(row for row in published(7) if row["row"] == name)
    same = (six[name]["psnr"], six[name]["ssim"]) == (seven["celeba_psnr"], seven["celeba_ssim"])
    print(f"   {name}: Table VI {six[name]['psnr']} / {six[name]['ssim']}, Table VII {seven['celeba_psnr']} / {seven['celeba_ssim']}: "
          f"{'all digits equal' if same else 'different'}")
one = next(row for row in published(1) if row["row"] == "LGFI")
own_row = next(row for row in published(7) if row["row"] == "AMINet")
print(f"   AMINet: Tables I to V {one['psnr']} / {one['ssim']}, Table VII {own_row['celeba_psnr']} / {own_row['celeba_ssim']}: two trainings")
print("   So the baselines of Table VI come from the long setting, not from that of the other ablations.")

print("\n2. Rows that appear in one table and not in the other:")
seven = {row["row"] for row in published(7)}
for name, row in X.items():
    if name not in seven | {"AMINet-S"}:
        print(f"   {name}: {row['psnr']} dB in Table X, absent from Table VII, where AMINet has {own_row['celeba_psnr']}")
print("   28.37 dB is what CTCNet's own paper prints, as the best of 396 checkpoints on the test set.")

print("\n3. Sizes. thop on the authors' public code, at x8, against what Table X prints:")
THOP = {"SFMNet": (8.55, 30.58), "CTCNet": (22.40, 47.23), "SCTANet": (27.71, 10.41), "SPARNet": (10.52, 7.18),
        "ELSFace": (6.68, 6.49), "FSRNet": (3.29, 15.9)}      # FSRNet: a third party's
for name, (params, macs) in THOP.items():
    agree = [abs(params - float(X[name]["params_m"])) <= 0.0501, abs(macs - float(X[name]["macs_g"])) <= 0.0501]
    print(f"   {name:9s} {params:6.2f} M {macs:6.2f} G   printed {X[name]['params_m']:>5s} M {X[name]['macs_g']:>5s} G   "
          f"{'both agree' if all(agree) else 'one agrees' if any(agree) else 'neither agrees'}")

# %% [markdown]
# Where both agree, somebody ran thop on this very code: the authors of this paper or of an earlier one. Where neither does, the numbers come from elsewhere: FSRNet's 27.5 M is its authors' own network, which nobody else can run; ELSFace's public code is for x4; SPARNet's 7.1 G is its true count, and 16.6 M a slip for the 10.6 M of Table VI.
#
# Mark 4 is the strongest: **lay an earlier table beside this one.** A training has luck in it. Our own short ones spread by 0.01 to 0.2 dB over seeds, and more where one fails ([notebook 11](11_ablations.ipynb)); whole trainings surely by less, but two of them do not agree to the last printed digit in eight columns (exercise 3 computes how unlikely that is, at an assumed 0.05 dB). [CTCNet's paper](https://arxiv.org/abs/2204.08696), which shares two authors with this one, is the place to look for the rows from Bicubic to SISN; exercise 3 is made for that.
#
# Mark 5 needs no other paper. The Bicubic row has no training, no luck, nothing but the faces and the ruler. So it must lie where bicubic faces lie. Here are our 1,000 CelebA test faces, each with its PSNR, SSIM and VIF after bicubic enlargement, and the printed means.

# %%
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
    figure, axes = plt.subplots(1, 2, figsize=(7.2, 2.7), layout="constrained")
    for axis, (name, values) in zip(axes, others.items()):
        axis.plot(own_psnr, values, ".", ms=2, alpha=0.4, color="gray", label="our 1,000 faces")
        axis.plot(own_psnr.mean(), values.mean(), "s", color="C0", label="their mean")
        axis.plot(aim, weights @ values, "D", color="C2", label="mean of a choice with the printed PSNR")
        axis.plot(aim, float(printed_row[f"celeba_{name}"]), "*", ms=13, color="C1", label="printed mean")
        axis.set(xlabel="bicubic PSNR, dB", ylabel=f"bicubic {name.upper()}")
        print(f"{name.upper():5s} ours {values.mean():.4f}; ours at {aim} dB {weights @ values:.4f}; printed {printed_row[f'celeba_{name}']}")
    axes[0].legend(fontsize=7)
    plt.show()
else:
    print("pending: no record of celeba_test is here")

# %% [markdown]
# A set of faces like ours with the printed PSNR has a *lower* SSIM and a much *higher* VIF than the printed row. So the row was not measured by this protocol on faces like these: another crop, another enlargement or another VIF. All rows of a table measured in one way share that, and their order may be right all the same. But it means that **no number of ours can be set against a printed one**, and that is why every table of this course has its own Bicubic row.
#
# ## AMINet's own rank, in our setting
#
# Computed from the records of both blocks, so that it is true in whatever state they are. The own starts favour AMINet, so read both. Beyond chance is what exceeds the half-width above.

# %%
for block, block_cells in (("own start", TABLES[7].cells), ("from bicubic", TABLES[7].from_bicubic)):
    print(f"{block}:")
    for name in ("celeba_psnr", "celeba_ssim", "celeba_vif", "celeba_lpips"):
        cells = [cell for cell in block_cells if cell.column == name and cell.ours is not None and cell.row != "Bicubic"]
        label, sign = COLUMNS[name.split("_")[1]].name, 1 if COLUMNS[name.split("_")[1]].higher else -1
        if not any(cell.row == "AMINet" for cell in cells) or len(cells) == 1:
            print(f"   {label:9s} pending: AMINet and another method have not been trained at one scale")
            continue
        others, own_cells = [cell for cell in cells if cell.reference], {cell.row: cell for cell in cells}
        better = [cell for cell in others if cell.difference * sign > 0]
        beyond = [cell for cell in others if abs(cell.difference) > half_width(cell, own_cells)]
        print(f"   {label:9s} AMINet is number {len(better) + 1} of {len(cells)} ({cells[0].scale}); beyond chance behind "
              f"{', '.join(cell.row for cell in beyond if cell in better) or 'nobody'}, before {sum(cell not in better for cell in beyond)}")
        if label.startswith("PSNR"):
            print(f"{'':13s}not to be told from it: {', '.join(cell.row for cell in others if cell not in beyond) or 'nobody'}")
size = sorted((cell for cell in TABLES[10].cells if cell.metric == "params_m"), key=lambda cell: cell.ours)
work = sorted((cell for cell in TABLES[10].cells if cell.metric == "macs_g"), key=lambda cell: cell.ours)
print(f"size      number {[cell.row for cell in size].index('AMINet') + 1} of {len(size)} in parameters (smallest first), "
      f"{[cell.row for cell in work].index('AMINet') + 1} of {len(work)} in MACs")
fast = sorted((ms, row) for row, ms in MS.items() if ms)
if MS["AMINet"] and len(fast) > 1:
    print(f"speed     number {[row for _, row in fast].index('AMINet') + 1} of the {len(fast)} timed on {machine}")
print("The published claim, the best PSNR of Table VII, needs the full networks and the full training: "
      + ("pending" if not any(cell.scale in ("short", "paper") for cell in PSNR.values()) else "see the table above"))

# %% [markdown]
# ## Exercises
#
# ### Exercise 1: who is not dominated?
#
# A network is *dominated* if another one has at least its PSNR for at most its cost, and is strictly better in one of the two. The others form the Pareto front: Fig. 1 is meant to show it. Write `front(quality, cost)`: the sorted list of indices that no other dominates.

# %% tags=["exercise"]
def truth_1(quality, cost):
    pairs = list(zip(quality, cost))
    return [i for i, (q, c) in enumerate(pairs)
            if not any(p >= q and d <= c and (p, d) != (q, c) for p, d in pairs)]


CASES_1 = [((column(10, "psnr"), column(10, name)), truth_1(column(10, "psnr"), column(10, name)))
           for name in ("macs_g", "params_m", "speed_ms")] + [(([1, 1, 2], [3, 3, 5]), [0, 1, 2])]


def front(quality, cost):
    ...  # your turn


passed = grade(front, CASES_1, "two equal networks do not dominate each other")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def wrong_1(quality, cost):
    return [i for i in range(len(cost)) if quality[i] / cost[i] >= max(q / c for q, c in zip(quality, cost))]   # a ratio


def solution_1(quality, cost):
    keep = []
    for i, (q, c) in enumerate(zip(quality, cost)):
        beaten = any(p >= q and d <= c and (p > q or d < c) for p, d in zip(quality, cost))
        if not beaten:
            keep.append(i)
    return keep


passed = grade(wrong_1, CASES_1, "two equal networks do not dominate each other")
passed = grade(solution_1, CASES_1, "")
for name in ("macs_g", "params_m", "speed_ms"):
    print(f"{COLUMNS[name].name:12s}", ", ".join(list(X)[i] for i in solution_1(column(10, "psnr"), column(10, name))))

# %% [markdown]
# AMINet is on the fronts of parameters and of speed, not on that of multiply-adds: SCTANet has the same 28.26 dB for 10.4 G, two thirds of the work. Table X prints it, and Table VII leaves it out.
#
# ### Exercise 2: Kendall's tau
#
# $\tau$ = (concordant pairs - discordant pairs) / all pairs, for two lists without ties. Write `tau_of(a, b)`.

# %% tags=["exercise"]
def truth_2(a, b):
    return kendalltau(a, b).statistic


rng = np.random.default_rng(seed)
CASES_2 = [((a, b), truth_2(a, b)) for a, b in ((rng.permutation(n).tolist(), rng.permutation(n).tolist()) for n in (4, 9, 16))]


def tau_of(a, b):
    ...  # your turn


passed = grade(tau_of, CASES_2, "a pair (i, j) is concordant if a and b order it alike; count each pair once")

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def wrong_2(a, b):
    same = sum(x == y for x, y in zip(np.argsort(a), np.argsort(b)))      # places that agree
    return 2 * same / len(a) - 1


def solution_2(a, b):
    pairs = [(i, j) for i in range(len(a)) for j in range(i)]
    return sum(np.sign((a[i] - a[j]) * (b[i] - b[j])) for i, j in pairs) / len(pairs)


passed = grade(wrong_2, CASES_2, "a pair (i, j) is concordant if a and b order it alike; count each pair once")
passed = grade(solution_2, CASES_2, "")

# %% [markdown]
# ### Exercise 3: copied?
#
# Two trainings of a network have PSNRs of the same mean with a spread of $\sigma$ each, and both are printed in steps of $s$. About how likely do they print the same? Their difference is normal with $\sqrt2\,\sigma$, so for $s \ll \sigma$
#
# $$P \approx \frac{s}{2\sigma\sqrt\pi}.$$
#
# And if $k$ columns were independent, $P^k$. (They are not: PSNR and SSIM move together. So it is a lower bound, which still shows the order of magnitude.) Write `chance(steps, spreads)`: the product over the columns.

# %% tags=["exercise"]
def truth_3(steps, spreads):
    return float(np.prod([s / (2 * sigma * np.pi**0.5) for s, sigma in zip(steps, spreads)]))


CASES_3 = [((steps, spreads), truth_3(steps, spreads)) for steps, spreads in (
    ([0.01], [0.05]), ([0.01, 0.0001], [0.05, 0.001]), ([0.01, 0.01], [0.02, 0.03]))]


def chance(steps, spreads):
    ...  # your turn


passed = grade(chance, CASES_3, "one factor for each column", tolerance=1e-6)

# %% tags=["solution"]
# one plausible wrong answer, then the solution
def wrong_3(steps, spreads):
    return float(np.prod([s / (sigma * (2 * np.pi) ** 0.5) for s, sigma in zip(steps, spreads)]))   # only one has luck


def solution_3(steps, spreads):
    p = 1.0
    for s, sigma in zip(steps, spreads):
        p *= s / (2 * sigma * np.pi**0.5)
    return p


passed = grade(wrong_3, CASES_3, "one factor for each column", tolerance=1e-6)
passed = grade(solution_3, CASES_3, "", tolerance=1e-6)
pair = rng.normal(27.8, 0.05, (2, 200_000)).round(2)
print(f"PSNR alone, spread 0.05 dB: {solution_3([0.01], [0.05]):.3f}, simulated {np.mean(pair[0] == pair[1]):.3f}")
print(f"four columns of Table VII:  {solution_3([0.01, 1e-4, 1e-4, 1e-4], [0.05, 1e-3, 2e-3, 2e-3]):.1e}")

# %% [markdown]
# ## What to remember
#
# 1. A method is its place and size of work, and some ten lines. Most of the seventeen differ in how they weigh a feature: by channel, pixel, window, region, layer, frequency or part of the face.
# 2. Compare only what was trained on the same faces, for the same pictures, and measured by the same ruler on the same machine; carry a Bicubic row, and intervals.
# 3. A printed table has a history. Look for equal digits, missing rows, impossible baselines, before you believe a difference of 0.1 dB.
#
# Next: [13 · The GANs compared](13_compared_gans.ipynb)
