# %% [markdown]
# # 08 · AMINet and its bill
#
# The parts become a network, and every one of its 12,623,547 parameters and 15.6 billion multiply-adds is counted on paper before PyTorch may confirm it.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/08_aminet_and_its_bill.ipynb) · previous: [07 · EDFF](07_edff.ipynb) · next: [09 · Train AMINet](09_train_aminet.ipynb)
#
# You will be able to
#
# - **assemble** AMINet from its modules and name the shape at every joint;
# - **count** parameters and MACs by hand, and say why two counters disagree;
# - **judge** a published table: which numbers fit one network, and which cannot all be true.

# %% tags=["parameters"]
WIDGETS = False  # True in a live notebook: sliders
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
from dataclasses import replace

import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.utils.flop_counter import FlopCounterMode

from aminet.config import ABLATIONS, AMINET, PRESETS, AMINetConfig
from aminet.degrade import degrade, to_float, upsample
from aminet.edff import EDFF
from aminet.ledger import PUBLISHED, bill, match, thop_counted, value_of
from aminet.lgfi import LGFI
from aminet.faces.portraits import portraits
from aminet.model import AMINet
from aminet.transformer import TransformerBlock
from aminet.training.weights import load_weights
from exercises import check

# %% [markdown]
# ## Assembling
#
# > "Each encoder comprises our designed Local and Global Feature Interaction Module (LGFI) and a downsampling operator. After each encoder, the input face feature's channel count will be doubled, and the size of the image of the input face feature will be halved." (Sec. III-A1)
#
# > "each decoder includes an upsampling operation, an EDFF, and an LGFI. Each upsampling operator halves the input feature channel counts while doubling the width and weight of the input facial feature." (Sec. III-A3)
#
# (The "weight" that doubles is the height.) What is inside the two operators the paper does not say. We take a strided 3x3 convolution on the way down and a pixel shuffle on the way up, each followed by one more 3x3, without bias. It is a reading; the published counts will test it.

# %%
def down(before: int, after: int) -> nn.Sequential:
    """Halve the image. (B, before, H, W) -> (B, after, H/2, W/2)."""
    return nn.Sequential(
        nn.Conv2d(before, after, 3, stride=2, padding=1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.LeakyReLU(0.2),
    )


def up(before: int, after: int) -> nn.Sequential:
    """Double the image. (B, before, H, W) -> (B, after, 2H, 2W)."""
    return nn.Sequential(
        nn.Conv2d(before, 4 * after, 3, padding=1, bias=False), nn.PixelShuffle(2), nn.LeakyReLU(0.2),
        nn.Conv2d(after, after, 3, padding=1, bias=False), nn.LeakyReLU(0.2),
    )

# %% [markdown]
# Now the whole of Fig. 2. Read the figure from left to right: keep what the encoder made, go down, cross the bottleneck, come up, let EDFF weigh the kept feature against the new one.
#
# > "Finally, through a convolution with reduced channel dimensions plus a residual connection, we get the HR output face image" (Sec. III-A)
#
# ### Exercise 1: write AMINet
#
# *Level 2, 20 minutes.* Now you have all parts. `self` is the whole network. Level $i = 0, 1, 2$ has 128, 64, 32 pixels and $C$, $2C$, $4C$ channels; the bottleneck has 16 pixels.
#
# | what `self` has | what it does |
# |---|---|
# | `self.head` | 3×3 convolution, $3 \to C$ channels |
# | `self.encoders[i]` | LGFI of level $i$; the shape stays |
# | `self.downs[i]` | `down` of above, from level $i$ to the next: half the side |
# | `self.bottleneck` | two LGFIs at 16 pixels; the shape stays |
# | `self.ups[i]` | `up` of above, back to level $i$: twice the side |
# | `self.edffs[i]` | EDFF of level $i$, called with `(encoder, decoder)`: one feature from two |
# | `self.decoders[i]` | LGFI of level $i$; the shape stays |
# | `self.tail` | 3×3 convolution, $C \to 3$ channels |
#
# Write its `forward`: `x` is the enlarged face $(B, 3, H, W)$ in $[-1, 1]$, and it returns the restored face, of the same shape. The class begins with `self.config.check_input(x)`, which refuses a face of the wrong size; you may leave that out. The check puts your forward into the trained network `pocket`. It compares every value, and shows the faces that come out.

# %% tags=["exercise"]
def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Fig. 2. (B, 3, H, W) -> (B, 3, H, W)."""
    ...  # your turn


passed = check("08.1", forward)

# %% tags=["solution"]
class AMINet(nn.Module):
    def __init__(self, config: AMINetConfig = AMINetConfig()):
        super().__init__()
        self.config = config
        w = config.widths

        def stage(level: int) -> nn.Module:
            if config.block == "lgfi":
                return LGFI(w[level], config.heads[level], config.depths[level], config)
            return nn.Sequential(
                *[TransformerBlock(w[level], config.heads[level], config.scale) for _ in range(config.blocks)])

        skaf_options = dict(kernels=config.kernels, pools=config.pools, gate=config.gate, dilated=config.dilated)
        self.head = nn.Conv2d(3, w[0], 3, padding=1)
        self.encoders = nn.ModuleList(stage(level) for level in range(3))
        self.downs = nn.ModuleList(down(w[level], w[level + 1]) for level in range(3))
        # Two LGFIs at 16x16; the Transformer of Table II has one stage of blocks there.
        self.bottleneck = nn.Sequential(*[stage(3) for _ in range(2 if config.block == "lgfi" else 1)])
        self.ups = nn.ModuleList(up(w[level + 1], w[level]) for level in range(3))
        self.edffs = nn.ModuleList(EDFF(w[level], config.skaf != "none", **skaf_options) for level in range(3))
        self.decoders = nn.ModuleList(stage(level) for level in range(3))
        self.tail = nn.Conv2d(w[0], 3, 3, padding=1)
        if config.zero_tail:
            for parameter in self.tail.parameters():
                nn.init.zeros_(parameter)

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        self.config.check_input(image)
        x, skips = self.head(image), []
        for encoder, down_ in zip(self.encoders, self.downs):
            skips.append(encoder(x))
            x = down_(skips[-1])
        x = self.bottleneck(x)
        for level in (2, 1, 0):
            x = self.edffs[level](skips[level], self.ups[level](x))
            x = self.decoders[level](x)
        return self.tail(x) + image


passed = check("08.1", AMINet.forward)

# %% [markdown]
# The class is `aminet.model.AMINet`. Its config decides what the parts are: LGFIs or Table II's Transformers, EDFFs with or without SKAF, a tail that starts at zero or not.
#
# ## Shapes
#
# > "the features obtained after three encoders are as follows: $F_1\in\mathbb{R}^{2C\times\frac{H}{2}\times\frac{W}{2}}$, $F_2\in\mathbb{R}^{4C\times\frac{H}{4}\times\frac{W}{4}}$, $F_3\in\mathbb{R}^{8C\times\frac{H}{8}\times\frac{W}{8}}$" (Sec. III-A1)
#
# Fig. 2 labels the bottleneck **4C**. Text and figure cannot both be right, and $C$ itself is printed nowhere. The config has a switch for the one (`cap=4` or `8`) and a number for the other (`channels`). The default is 4C with $C=28$. Below you will see why.
#
# The network lives on the `meta` device: shapes without values, so that counting costs nothing. Below the shapes, the same journey with values: a trained pocket network looks at one face, and each picture is the mean magnitude over the channels at one stop.

# %%
with torch.device("meta"):
    net = AMINet(AMINET).eval()
stops = ["head", "encoders.0", "downs.0", "encoders.1", "downs.1", "encoders.2", "downs.2", "bottleneck",
         "ups.2", "edffs.2", "decoders.2", "ups.1", "edffs.1", "decoders.1", "ups.0", "edffs.0", "decoders.0", "tail"]
trace = {}
hooks = [net.get_submodule(stop).register_forward_hook(
    lambda module, inputs, output, stop=stop: trace.update({stop: tuple(output.shape[1:])})) for stop in stops]
net(torch.zeros(1, 3, 128, 128, device="meta"))
for hook in hooks:
    hook.remove()
for stop, (c, height, width) in trace.items():
    size = f"{c // 28}C" if c >= 28 else "RGB"
    print(f"{stop:11} {size:>4} = {c:3} x {height:3} x {width:3}  {'·' * (c // 4)}")

# %%
pocket, _ = load_weights("pocket")
seen, maps = to_float(upsample(degrade(portraits()["collins"][None]))), {}
row = ["encoders.0", "encoders.1", "encoders.2", "bottleneck", "decoders.2", "decoders.1", "decoders.0"]
hooks = [pocket.get_submodule(stop).register_forward_hook(
    lambda module, inputs, output, stop=stop: maps.update({stop: output[0].abs().mean(0)})) for stop in row]
with torch.no_grad():
    out = pocket(seen)
for hook in hooks:
    hook.remove()
figure = show([[seen[0], *(maps[stop] for stop in row), out[0]]],
              ["input", "encoder 128", "64", "32", "bottleneck 16", "decoder 32", "64", "128", "output"], height=1.3)

# %% [markdown]
# ## Parameters on paper
#
# A $k\times k$ convolution from $a$ to $b$ channels has $abk^2$ weights, and $b$ more if it has a bias. A depthwise one has $ck^2$. With that rule alone, each module is a line. `n_` stands for number of parameters, and `agree` sets our number beside PyTorch's.
#
# SA goes by 1x1 to $q, k, v$, by a depthwise 3x3 over them, and by 1x1 back. RDFE has two rounds of depthwise 3x3, 5x5, 7x7 ($9+25+49=83$ taps), two 1x1 from $3c$ to $c$ (the attention unit's and the last one's), and the FRM. In the FRM two 3x3 convolutions are followed by the hourglass, which is $3d+1$ blocks of 3x3, batch norm ($2c$) and PReLU ($c$), and a 3x3 that draws one map.

# %%
def agree(name, by_hand, by_torch, unit=""):
    print(f"{name:22} by hand {by_hand:>14,}   PyTorch {by_torch:>14,}{unit}   match: {by_hand == by_torch}")
    assert by_hand == by_torch


def size(module):
    return sum(p.numel() for p in module.parameters())


def n_sa(c, h):
    to_qkv, depthwise, project, temperature = c * 3 * c, 3 * c * 9, c * c, h
    return to_qkv + depthwise + project + temperature    # 4c^2 + 27c + h


def n_hourglass(c, d):
    return (3 * d + 1) * (9 * c * c + 2 * c + c) + (9 * c + 1)


def n_frm(c, d):
    return 2 * 9 * c * c + 3 * 2 * c + 2 * c + n_hourglass(c, d)   # two 3x3, three norms, two PReLU


def n_rdfe(c, d):
    return 2 * 83 * c + 2 * (3 * c * c + c) + n_frm(c, d)


block = net.encoders[0]                                  # the first LGFI: c = 28, one head, hourglass of depth 3
agree("SA, c = 28", n_sa(28, 1), size(block.sa))
agree("hourglass, d = 3", n_hourglass(28, 3), size(block.local.refine.hourglass))
agree("FRM", n_frm(28, 3), size(block.local.refine))
agree("RDFE", n_rdfe(28, 3), size(block.local))
rounds, frm = 166 * 28 / n_rdfe(28, 3), n_frm(28, 3) / n_rdfe(28, 3)
print(f"the depthwise rounds are {100 * rounds:.1f} % of RDFE, the FRM is {100 * frm:.1f} %")

# %% [markdown]
# What the paper draws large, the three receptive fields, weighs little. The refinement behind them is the module.
#
# SKAF has a dense 5x5 and a dense 7x7, $25+49=74$ weights per pair of channels. That is eight 3x3 convolutions' worth. The 7x7 that turns two pooled maps into two weights has 198 in all.

# %%
def n_skaf(c):
    return (25 + 49) * c * c + 2 * c + (2 * 2 * 49 + 2)


def n_fusion(c):                                          # the 1x1 from 2c to c, and SKAF
    return (2 * c * c + c) + n_skaf(c)


def n_lgfi(c, h, d):
    return 2 * c + n_sa(c, h) + n_rdfe(c, d) + n_fusion(c)


def n_down(a, b):
    return 9 * a * b + 9 * b * b


def n_up(a, b):
    return 9 * a * 4 * b + 9 * b * b                      # four times b: the shuffle trades channels for pixels


agree("SKAF", n_skaf(28), size(block.skaf))
agree("LGFI, 128 px", n_lgfi(28, 1, 3), size(block))
agree("LGFI, 16 px", n_lgfi(112, 4, 2), size(net.bottleneck[0]))
agree("EDFF, 128 px", n_fusion(28), size(net.edffs[0]))
agree("down, C -> 2C", n_down(28, 56), size(net.downs[0]))
agree("up, 2C -> C", n_up(56, 28), size(net.ups[0]))
agree("head", 3 * 28 * 9 + 28, size(net.head))
agree("tail", 28 * 3 * 9 + 3, size(net.tail))

# %% [markdown]
# Eight LGFIs stand on the route 128, 64, 32, 16, 16, 32, 64, 128 pixels, with three downs, three ups and three EDFFs between them.

# %%
w, heads, depths = AMINET.widths, AMINET.heads, AMINET.depths        # (28, 56, 112, 112), (1, 2, 4, 4), (3, 3, 2, 2)
ROUTE, JOINTS = (0, 1, 2, 3, 3, 2, 1, 0), (0, 1, 2)                   # levels of the LGFIs, of the joints
parts = {
    "LayerNorm": sum(2 * w[i] for i in ROUTE),
    "SA": sum(n_sa(w[i], heads[i]) for i in ROUTE),
    "RDFE": sum(n_rdfe(w[i], depths[i]) for i in ROUTE),
    "1x1 + SKAF in LGFI": sum(n_fusion(w[i]) for i in ROUTE),
    "EDFF": sum(n_fusion(w[i]) for i in JOINTS),
    "down": sum(n_down(w[i], w[i + 1]) for i in JOINTS),
    "up": sum(n_up(w[i + 1], w[i]) for i in JOINTS),
    "head + tail": 2 * 27 * w[0] + w[0] + 3,
}
for name, n in parts.items():
    print(f"{name:20} {n:>10,}   {100 * n / sum(parts.values()):5.2f} %")
agree("AMINet", sum(parts.values()), size(net))

# %% [markdown]
# ## MACs on paper
#
# A multiply-add (MAC) is one weight used once. A convolution uses each of its weights at every pixel that it writes, so
#
# $$\text{MACs} = \text{weights} \times \text{pixels written},$$
#
# biases and norms aside. Three places need care: a **down** writes a quarter of the pixels it reads; an **up** convolves before its shuffle and after it; and the hourglass works on a pyramid, where the skip, the way down and the way up of level $i$ write $(1 + \tfrac14 + 1)\,4^{-i}$ of the pixels and the middle $4^{-d}$:
#
# $$\sum_{i<d}\frac{9}{4}\,4^{-i} + 4^{-d} = 3 - \frac{2}{4^{d}}.$$
#
# However deep, an hourglass costs less than three full-size convolutions. And one product has no weights at all: $QK^\top$ and $(\cdot)V$ in SA multiply features by features, $c^2/h$ MACs per pixel each.
#
# `FlopCounterMode` watches every operation that PyTorch runs and counts two FLOPs per MAC. It sees matrix products too, as long as they are written out: some versions count fused attention as nothing. Ours is written out.

# %%
def m_sa(c, s, h):
    return (4 * c * c + 27 * c) * s * s, 2 * c * c // h * s * s        # convolutions, matrix products


def m_rdfe(c, s, d):
    pyramid = 9 * c * c * (3 * s * s - 2 * s * s // 4**d) + 9 * c * s * s
    return (166 * c + 6 * c * c + 18 * c * c) * s * s + pyramid


def m_fusion(c, s):
    return (76 * c * c + 196) * s * s


def m_down(a, b, s):                                                    # s: side of the input
    return (9 * a * b + 9 * b * b) * s * s // 4


def m_up(a, b, s):
    return 36 * a * b * s * s + 9 * b * b * (2 * s) ** 2


def macs(module, *shape):
    with FlopCounterMode(display=False) as counter:
        module(*[torch.zeros(1, *shape, device="meta")] * (2 if isinstance(module, EDFF) else 1))
    return counter.get_total_flops() // 2


agree("SA, 128 px", sum(m_sa(28, 128, 1)), macs(block.sa, 28, 128, 128))
agree("RDFE, 128 px", m_rdfe(28, 128, 3), macs(block.local, 28, 128, 128))
agree("EDFF, 128 px", m_fusion(28, 128), macs(net.edffs[0], 28, 128, 128))
agree("down, from 128 px", m_down(28, 56, 128), macs(net.downs[0], 28, 128, 128))
agree("up, from 64 px", m_up(56, 28, 64), macs(net.ups[0], 56, 64, 64))

# %%
side = (128, 64, 32, 16)
convolutions = (sum(m_sa(w[i], side[i], heads[i])[0] + m_rdfe(w[i], side[i], depths[i]) + m_fusion(w[i], side[i])
                    for i in ROUTE)
                + sum(m_fusion(w[i], side[i]) + m_down(w[i], w[i + 1], side[i]) + m_up(w[i + 1], w[i], side[i + 1])
                      for i in JOINTS)
                + 2 * 27 * w[0] * 128**2)                                # head and tail
products = sum(m_sa(w[i], side[i], heads[i])[1] for i in ROUTE)
agree("AMINet", convolutions + products, macs(net, 3, 128, 128), " MACs")
print(f"{convolutions / 1e9:.3f} G in convolutions, {products / 1e9:.3f} G in the attention's products")

# %% [markdown]
# ## Why thop says something else
#
# The tables' counts come from the package `thop`: run on the public code of CTCNet and SCTANet it gives 22.397 M, 47.227 G and 27.712 M, 10.412 G, the digits of Table X. thop counts by module. It knows what a `Conv2d` costs. It adds four operations for each value that a batch norm writes and one for each value of a PReLU. What is no module it does not see: the attention's products, LayerNorm as we wrote it, a bare parameter such as the temperature.
#
# The FRM has three batch norms and two PReLU on all $cs^2$ values, the hourglass one of each on $3 - 2/4^d$ as many. That is $(4\cdot 3 + 2) + 5\,(3 - 2/4^d)$ operations per value.

# %%
extra = sum(w[i] * side[i] ** 2 * 14 + 5 * w[i] * (3 * side[i] ** 2 - 2 * side[i] ** 2 // 4 ** depths[i]) for i in ROUTE)
unseen = parts["LayerNorm"] + sum(heads[i] for i in ROUTE)
thop_params, thop_macs = thop_counted(net)
agree("thop's parameters", size(net) - unseen, thop_params)
agree("thop's MACs", convolutions + extra, thop_macs)
print(f"true {(convolutions + products) / 1e9:.3f} G = {convolutions / 1e9:.3f} + products {products / 1e9:.3f}")
print(f"thop {thop_macs / 1e9:.3f} G = {convolutions / 1e9:.3f} + norms and PReLU {extra / 1e9:.3f}")

# %% [markdown]
# Two errors that nearly cancel: 0.3 % apart. With attention over pixels instead of channels they would not: there the products grow with the square of the number of pixels. So we report both, thop's to compare with tables and the true one to know.
#
# ## Where the weights sit, and where the work is
#
# `aminet.ledger.bill` holds the formulas above for every switch of the config, row by row under the modules' names. One stack per level shows both currencies side by side.

# %%
KINDS = ("SA", "RDFE without FRM", "FRM with hourglass", "1x1 + SKAF in LGFI", "EDFF", "down, up, head, tail")


def shares(config, unit):
    """{kind: (its sum at 128, 64, 32, 16 pixels)} of `params` or `macs`."""
    rows, table = bill(config), {kind: [0, 0, 0, 0] for kind in KINDS}
    for name, cost in rows.items():
        stage, _, rest = name.partition(".")
        index, _, part = rest.partition(".")
        level = 3 if stage == "bottleneck" else int(index or 0) + (stage == "downs")
        value = getattr(cost, unit)
        if stage in ("encoders", "decoders", "bottleneck"):
            if part in ("sa", "norm"):
                table["SA"][level] += value
            elif part == "local":
                table["RDFE without FRM"][level] += value
            elif part == "local.refine":
                table["FRM with hourglass"][level] += value
                table["RDFE without FRM"][level] -= value
            elif part in ("reduce", "skaf"):
                table["1x1 + SKAF in LGFI"][level] += value
        elif stage in ("downs", "ups", "head", "tail", "edffs") and not part:
            table["EDFF" if stage == "edffs" else "down, up, head, tail"][level] += value
    return table


params_table, macs_table = shares(AMINET, "params"), shares(AMINET, "macs")
print("everything is in the picture:", sum(map(sum, params_table.values())) == size(net),
      sum(map(sum, macs_table.values())) == convolutions + products)
for kind in ("FRM with hourglass", "1x1 + SKAF in LGFI"):
    n, m = sum(params_table[kind]) / size(net), sum(macs_table[kind]) / (convolutions + products)
    print(f"{kind}: {100 * n:.0f} % of the parameters, {100 * m:.0f} % of the MACs")

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 4), layout="constrained")
for axis, table, unit, title in ((axes[0], params_table, 1e6, "parameters (M): they sit at the bottom of the U"),
                                 (axes[1], macs_table, 1e9, "MACs (G): the three upper levels pay alike")):
    below = [0.0] * 4
    for kind, values in table.items():
        heights = [v / unit for v in values]
        axis.bar(range(4), heights, bottom=below, label=kind, width=0.7)
        below = [b + h for b, h in zip(below, heights)]
    for x, top in enumerate(below):
        axis.text(x, top, f"{top:.2f}", ha="center", va="bottom")
    axis.set(title=title, xticks=range(4), xlabel="level: pixels and width",
             xticklabels=[f"{s} px\n{n // 28}C = {n}" for s, n in zip(side, w)])
    axis.grid(axis="x", visible=False)
handles, names = axes[0].get_legend_handles_labels()
axes[0].legend(handles[::-1], names[::-1], loc="upper left")
plt.show()

# %% [markdown]
# Left: two thirds of the parameters are in the four LGFIs at 32 and 16 pixels, and the FRM, one box in Fig. 3a, holds more than any other part. Right: halving the side quarters the pixels, doubling the width quadruples the weights of a dense layer, so each of the three upper levels costs the same. At 16 pixels the width doubles no more: the bottleneck is nearly free. In work, SKAF's large dense kernels come first.
#
# ## Held against the paper
#
# The published parameter counts are Tables I to III and X. Each row changes the one switch that its name says. A count *matches* if ours becomes the printed digits when rounded or when truncated; published numbers are found in both forms.

# %%
variants = {
    "aminet": ("Tables I, X", AMINET), "w/o SA": ("Table I", replace(AMINET, **ABLATIONS["w/o SA"])),
    "w/o RDFE": ("Table I", replace(AMINET, **ABLATIONS["w/o RDFE"])),
    "w/o SKAF": ("Table I", replace(AMINET, **ABLATIONS["w/o SKAF"])),
    "LGFI->Transformer": ("Table II", replace(AMINET, **ABLATIONS["LGFI->Transformer"])),
    "RDFE->FFN": ("Table III", replace(AMINET, **ABLATIONS["RDFE->FFN"])),
    "aminet-s": ("Table X", PRESETS["aminet-s"]),
}


def compare(name, table, ours, printed):
    how = match(ours, printed)
    form = {"both": "rounded and truncated", "rounds": "rounded", "truncates": "truncated", False: ""}[how]
    print(f"{name:18} {table:11} printed {printed:>7}   ours {ours:>14,}   {100 * (ours / value_of(printed) - 1):+5.2f} %"
          f"   match: {bool(how)} {form}".rstrip())


for name, (table, config) in variants.items():
    compare(name, table, bill(config)[""].params, PUBLISHED[name][0])
compare("aminet, MACs", "Table X", thop_macs, PUBLISHED["aminet"][1])
with torch.device("meta"):
    small = AMINet(PRESETS["aminet-s"])
compare("aminet-s, MACs", "Table X", thop_counted(small)[1], PUBLISHED["aminet-s"][1])

# %% [markdown]
# Seven parameter counts, seven matches, and the MACs of the full network too. Not all of this is evidence. $C$ was chosen to meet the total; the FFN's expansion (26.33) and the Transformers' number of blocks (15 per stage) are ours as well, because the paper says "similar parameters" and no more. Nor are the hourglass depths printed. What remains is still tight: among all widths from C = 24 to 33 with depths of 1 to 4, eight nets have 12.62 M, and only C = 28 meets the three removals of Table I as well, with depths (3, 3, 2, 2), (3, 3, 1, 3) or (3, 3, 3, 1). The removals say that SKAF is dense, that RDFE ends in a deep refinement, and that the 1x1 goes with SKAF.
#
# AMINet-S is described only as "a small parameter version" (Sec. IV-E). Size (8.2 M) and speed (25 ms) are those of "LGFI w/o SKAF" in Table I, so we read it as that. Its MACs are the one miss.
#
# ## What cannot all be true: 8C and 15.6 G
#
# Divide MACs by parameters and $C$ nearly drops out. A dense layer with $k\,c^2$ weights in each of the eight LGFIs has, with $r_i = c_i/C$ at level $i$,
#
# $$\frac{\text{MACs}}{\text{parameters}} = \frac{\sum_i 2\,k\,C^2 r_i^2\,s_i^2}{\sum_i 2\,k\,C^2 r_i^2} = \frac{\sum_i r_i^2\, s_i^2}{\sum_i r_i^2}, \qquad s = 128, 64, 32, 16.$$

# An LGFI's weights thus have one rate for the text's widths and another for the figure's, EDFF's has a third. Now let Table I speak: taking away SA, RDFE and SKAF saves so many parameters that at least 9.93 M of the 12.62 M sit in the LGFIs, whichever way its numbers were rounded. Give the remaining 2.70 M the highest rate of all large parts, EDFF's (head, tail and depthwise kernels work harder for each weight, but have hardly any). That is about the most a network can cost.

# %%
def per_parameter(widths, sides=(128, 64, 32, 16)):
    return sum(r * r * s * s for r, s in zip(widths, sides)) / sum(r * r for r in widths)


published = 15.6e9 / 12.62e6
print(f"LGFI, widths C 2C 4C 8C: {per_parameter((1, 2, 4, 8)):6.0f} MACs per parameter")
print(f"LGFI, widths C 2C 4C 4C: {per_parameter((1, 2, 4, 4)):6.0f}")
print(f"EDFF, widths C 2C 4C:    {per_parameter((1, 2, 4), side[:3]):6.0f}   the highest of the large parts")
print(f"published 15.6 G / 12.62 M: {published:.0f}")
inside = (12.615 - 12.4) + (12.615 - 7.3) + (12.615 - 8.22)          # M: the least that Table I allows
most = {label: (inside * per_parameter(widths) / 1e3, (12.63 - inside) * per_parameter((1, 2, 4), side[:3]) / 1e3)
        for label, widths in {"8C (text)": (1, 2, 4, 8), "4C (Fig. 2)": (1, 2, 4, 4)}.items()}
print({label: f"at most {sum(two):.1f} G" for label, two in most.items()})

# %%
figure, axes = plt.subplots(1, 2, figsize=(9.5, 2.9), layout="constrained")
for label, widths, shift in (("8C", (1, 2, 4, 8), -0.2), ("4C", (1, 2, 4, 4), 0.2)):
    share = [100 * r * r / sum(r * r for r in widths) for r in widths]
    axes[0].bar([i + shift for i in range(4)], share, width=0.38, label=f"{label}: {per_parameter(widths):.0f} MACs per weight")
axes[0].set(title="share of an LGFI's dense weights (%)", xticks=range(4), xlabel="pixels, and MACs of each weight",
            xticklabels=[f"{s} px\n{s * s:,}" for s in side])
axes[0].legend(loc="upper left")
for y, (lgfis, rest) in enumerate(most.values()):
    axes[1].barh(y, lgfis, color="C0", height=0.5)
    axes[1].barh(y, rest, left=lgfis, color="C2", height=0.5)
    axes[1].text(lgfis / 2, y, "LGFIs", color="white", ha="center", va="center")
    axes[1].text(lgfis + rest / 2, y, "rest, at\nEDFF's rate", color="white", ha="center", va="center", fontsize=9)
axes[1].axvline(15.6, color="black", linestyle="--")
axes[1].text(15.8, 0, "published: 15.6", va="center")
axes[1].set(title="the most that 12.62 M parameters can cost (G MACs)", yticks=range(2), yticklabels=most, ylim=(-0.5, 1.5))
axes[1].grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# With 8C the level of 256 pixels holds three quarters of an LGFI's weights, where each is used least. Depthwise weights, a hundredth of all, have a higher rate (exercise 3) and lift the bar by 0.14 G; thop's norms by 0.05. The gap is 1.6. So the text's $8C$, the table's 15.6 G and Table I do not fit one network. The figure's $4C$ does.
#
# **What else cannot be.** *w/o SA, 12.3 M.* SKAF in the LGFIs has $76c^2$ and a little more, and Table I puts that at 4.425 M at most, whatever the widths. So $\sum c^2$ is bounded, SA's $4c^2+27c$ with it, and the count without SA is bounded from below.

# %%
squares = (12.63 - 8.205) * 1e6 / 76                  # sum of c^2 over eight LGFIs, at most
linear = (8 * squares) ** 0.5                         # sum of c, at most (Cauchy-Schwarz)
largest_sa = 4 * squares + 27 * linear + 8 * 4        # and at most four heads each
least = 12.615 - largest_sa / 1e6
print(f"SA has at most {largest_sa / 1e6:.3f} M; without it at least {least:.2f} M: rounded 12.4, truncated 12.3")
removed = (15.6 - 9.4) / (12.62 - 8.2) * 1e3
print(f"AMINet-S lacks {removed:.0f} MACs per parameter; a dense SKAF in the LGFIs costs {per_parameter((1, 2, 4, 4)):.0f}")
sparnet, edffs = 10.519, sum(n_fusion(c) for c in (128, 64, 32)) / 1e6
print(f"SPARNet {sparnet} M, with EDFF at 128, 64, 32 channels: {sparnet + edffs:.2f} M")

# %% [markdown]
# - **12.3 M is truncated**, if SKAF was removed cleanly. 12.62 may be either.
# - **AMINet-S, 9.4 G** asks for a part that is 2 to 3 % cheaper per parameter than SKAF. Our reading gives 9.21 G and we leave the difference open.
# - **SPARNet** has 10.6 M parameters in Table VI and 16.6 M in Table X, with 27.73 dB in both. Its public code has 10.519 M, and three EDFFs on top come to 12.15 M, Table VI's 12.1 truncated. The 16.6 looks like a slip.
# - A caution about PSNR: the full network has 27.83 dB in Tables I to V and 28.26 dB in Tables VII and X. The ablations are another training. Sizes may be compared across those tables, qualities may not.
#
# ## The other readings
#
# Widths are not the only freedom: shallower hourglasses save parameters and leave room for $C$. The config keeps two runners-up that spend it, `aminet-8c` on the text's 8C, `aminet-c32` on $C=32$ with SKAF's 5x5 as a dilated 3x3. In the plane of parameters and MACs each curve is one value of `cap` and each dot an even $C$, with the default hourglasses.

# %%
channels_tried = range(8, 37, 2)
curves = {cap: [bill(AMINetConfig(channels=c, cap=cap))[""] for c in channels_tried] for cap in (4, 8)}


def explore(channels=28, cap=4):
    figure, axis = plt.subplots(figsize=(6.5, 3.8), layout="constrained")
    for k, costs in curves.items():
        axis.plot([c.params / 1e6 for c in costs], [c.macs / 1e9 for c in costs], ".-", label=f"widest level {k}C")
    here = bill(AMINetConfig(channels=channels, cap=cap))[""]
    axis.plot(here.params / 1e6, here.macs / 1e9, "o", ms=11, mfc="none", color="C1" if cap == 8 else "C0")
    axis.plot(12.62, 15.6, "k*", ms=9, label="published", zorder=3)
    axis.plot(8.2, 9.4, "kv", ms=6, label="published, AMINet-S")
    for name, shift in (("pocket", (6, -4)), ("aminet-s", (8, -10)), ("aminet-8c", (-24, 8)), ("aminet-c32", (8, -3))):
        cost = bill(PRESETS[name])[""]
        axis.plot(cost.params / 1e6, cost.macs / 1e9, "x", color="C4", ms=7)
        axis.annotate(name, (cost.params / 1e6, cost.macs / 1e9), shift, textcoords="offset points", color="C4")
    axis.set(title=f"C = {channels}, {cap}C: {here.params / 1e6:.2f} M parameters, {here.macs / 1e9:.1f} G MACs (circle)",
             xlabel="parameters (M)", ylabel="MACs (G)", xlim=(0, 24), ylim=(0, 22))
    axis.legend(loc="lower right")
    plt.show()


explore()
if WIDGETS:
    from ipywidgets import interact
    interact(explore, channels=(4, 40), cap=[4, 8])

print(f"{'preset':11} {'C':>2}  {'widths':18} {'hourglasses':12}  {'parameters':>10}  G MACs  what it is")
WHAT = {"aminet": "the default reading", "aminet-s": "SKAF only in the EDFFs", "aminet-8c": "the text's 8C",
        "aminet-c32": "5x5 as a dilated 3x3", "pocket": "for CPUs and this course", "pocket-s": "aminet-s, as small",
        "pocket-8c": "aminet-8c, as small"}
for name, config in PRESETS.items():
    cost = bill(config)[""]
    print(f"{name:11} {config.channels:2}  {str(config.widths):18} {str(config.depths):12}  {cost.params:10,}  {cost.macs / 1e9:6.2f}  {WHAT[name]}")
nineteen, twenty = (bill(AMINetConfig(channels=c, cap=8))[""].params / 1e6 for c in (19, 20))
print(f"8C with the default hourglasses: C = 19 has {nineteen:.2f} M, C = 20 has {twenty:.2f} M")

# %% [markdown]
# The 4C curve has an integer on the star. The 8C curve runs far below it, and `aminet-8c`, tuned to the right parameters, is a third short of the MACs, as the bound foretold; `aminet-c32` overshoots them. The two are kept so that you can train and measure them, not because they fit.
#
# ## Exercises
#
# ### Exercise 2: what an EDFF costs
#
# *Level 1, 5 minutes.* Table VI adds EDFFs to other networks. Write `added(widths)`: the parameters of one EDFF at each of the given widths, summed. An EDFF has a 1x1 with bias from $2c$ to $c$, a dense 5x5 and a dense 7x7 with bias, and a 7x7 with bias from two maps to two.

# %% tags=["exercise"]
def added(widths: tuple[int, ...]) -> int:
    ...  # your turn


passed = check("08.2", added)

# %% tags=["solution"]
def added(widths: tuple[int, ...]) -> int:
    return sum(2 * c * c + c + 74 * c * c + 2 * c + 198 for c in widths)


passed = check("08.2", added)
print(f"SPARNet + EDFF: 10.519 + {added((128, 64, 32)) / 1e6:.3f} M;  SFMNet + EDFF: 8.800 + {2 * added((64, 64, 64)) / 1e6:.3f} M")

# %% [markdown]
# ### Exercise 3: the rate of a depthwise layer
#
# *Level 2, 10 minutes.* A dense layer has $c^2$ weights up to a factor, a depthwise one has $c$. Write `depthwise_rate(widths)`: MACs per parameter of a depthwise layer in the LGFIs at 128, 64, 32 and 16 pixels, `widths` in units of $C$.

# %% tags=["exercise"]
def depthwise_rate(widths: tuple[int, ...]) -> float:
    ...  # your turn


passed = check("08.3", depthwise_rate)

# %% tags=["solution"]
def depthwise_rate(widths: tuple[int, ...]) -> float:
    return sum(r * s * s for r, s in zip(widths, side)) / sum(widths)


passed = check("08.3", depthwise_rate)
print(f"8C {depthwise_rate((1, 2, 4, 8)):.0f}, 4C {depthwise_rate((1, 2, 4, 4)):.0f}: per weight, depthwise layers are the dear ones")

# %% [markdown]
# ## What to remember
#
# 1. Weights times pixels written: with that rule every count in the paper can be redone on paper, to the last digit.
# 2. Parameters sit where the network is wide, MACs where it is large; their ratio tells how a network is shaped even if its widths are secret.
# 3. A count needs its counter: 15.61 G by PyTorch and 15.57 G by thop are one network. And $8C$ with 15.6 G is none.
#
# Next: [09 · Train AMINet](09_train_aminet.ipynb)
