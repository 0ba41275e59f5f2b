# %% [markdown]
# # 08 · AMINet and its bill
#
# The parts become a network, and every one of its 12,623,547 parameters and 15.6 billion multiply-adds is counted on paper before PyTorch may confirm it.
#
# *120 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/08_aminet_and_its_bill.ipynb) · previous: [07 · EDFF](07_edff.ipynb) · next: [09 · Train AMINet](09_train_aminet.ipynb)
#
# Before this: [06 · LGFI](06_lgfi.ipynb) and [07 · EDFF](07_edff.ipynb), the network's two building blocks. For the counting, the convolutions of [04 · RDFE](04_rdfe.ipynb) help.
#
# You will be able to
#
# - **assemble** AMINet from its modules and name the shape at every joint;
# - **count** parameters and MACs by hand, and say why two counters disagree;
# - **judge** a published table: which numbers fit one network, and which cannot all be true.

# %% tags=["parameters"]
FACE = "collins"  # the portrait in the pictures: hopper or collins
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
from diagrams import draw
from page import explore, show, table
from exercises import check

# %% [markdown]
# ## Assembling
#
# AMINet is a [U-net](A_symbols_and_shapes.ipynb#Words). Four LGFIs and three halvings lead from 128×128 down to 16×16; three doublings and four LGFIs lead back. At each level an EDFF weighs the encoder's feature against the decoder's. In the diagram, an arrow from one level to the next is an operator that halves or doubles the side.

# %%
figure = draw("AMINet")

# %% [markdown]
# > "Each encoder comprises our designed Local and Global Feature Interaction Module (LGFI) and a downsampling operator. After each encoder, the input face feature's channel count will be doubled, and the size of the image of the input face feature will be halved." (Sec. III-A1)
#
# > "each decoder includes an upsampling operation, an EDFF, and an LGFI. Each upsampling operator halves the input feature channel counts while doubling the width and weight of the input facial feature." (Sec. III-A3)
#
# On the way down we use a strided 3×3 convolution, which computes only every second pixel of every second row. On the way up we use a [pixel shuffle](A_symbols_and_shapes.ipynb#Words): four channels become one channel of twice the height and width. One more 3×3 follows each. None of these convolutions has a bias.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper does not say what is inside the two operators. Ours are an interpretation; the published counts below test it. The "weight" that doubles is the height.
#
# </details>

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
# Now follow the diagram from left to right. Keep what each encoder makes, go down, cross the bottleneck, and come up. On the way up, EDFF weighs the kept feature against the new one.
#
# > "Finally, through a convolution with reduced channel dimensions plus a residual connection, we get the HR output face image" (Sec. III-A)
#
# The [residual](A_symbols_and_shapes.ipynb#Words) connection adds the input, so the network learns only the difference between the enlarged face and the original.
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
# The network now lives on the device `meta`, where tensors have shapes but no values. So counting costs nothing. A hook at each stop notes the shape that comes out. The default config has $C = 28$ and at most $4C$ channels.
#
# <details><summary>What the paper leaves open</summary>
#
# > "the features obtained after three encoders are as follows: $F_1\in\mathbb{R}^{2C\times\frac{H}{2}\times\frac{W}{2}}$, $F_2\in\mathbb{R}^{4C\times\frac{H}{4}\times\frac{W}{4}}$, $F_3\in\mathbb{R}^{8C\times\frac{H}{8}\times\frac{W}{8}}$" (Sec. III-A1)
#
# The text says $8C$, but Fig. 2 labels the bottleneck **4C**. They cannot both be right, and $C$ itself is printed nowhere. The config has a switch for the one (`cap=4` or `8`) and a number for the other: `channels`. The section on $8C$ below says why we take $4C$ with $C = 28$.
#
# </details>

# %%
with torch.device("meta"):
    net = AMINet(AMINET).eval()
stops = ["head", "encoders.0", "downs.0", "encoders.1", "downs.1", "encoders.2", "downs.2", "bottleneck",
         "ups.2", "edffs.2", "decoders.2", "ups.1", "edffs.1", "decoders.1", "ups.0", "edffs.0", "decoders.0", "tail"]
rows = []


def note_shape(module, inputs, output):
    _, c, height, width = output.shape
    rows.append([stops[len(rows)], f"{c // 28}C" if c >= 28 else "RGB", c, f"{height}×{width}"])


hooks = [net.get_submodule(stop).register_forward_hook(note_shape) for stop in stops]
net(torch.zeros(1, 3, 128, 128, device="meta"))
for hook in hooks:
    hook.remove()
table(rows, ["module", "width", "channels", "pixels"])

# %% [markdown]
# The same journey with values: the trained network `pocket` restores one face. Each map is the mean magnitude over the channels of one stop.

# %%
pocket, _ = load_weights("pocket")
seen = to_float(upsample(degrade(portraits()[FACE][None])))
maps = {}


def keep_map(module, inputs, output):
    maps[module] = output[0].abs().mean(0)


modules = [*pocket.encoders, pocket.bottleneck, *pocket.decoders]
hooks = [module.register_forward_hook(keep_map) for module in modules]
with torch.no_grad():
    restored = pocket(seen)
for hook in hooks:
    hook.remove()
figure = show([[seen[0], *[maps[module] for module in pocket.encoders], maps[pocket.bottleneck]],
               [restored[0], *[maps[module] for module in pocket.decoders]]],
              captions=[["input", "encoder 128", "encoder 64", "encoder 32", "bottleneck 16"],
                        ["output", "decoder 128", "decoder 64", "decoder 32"]])
figure.set_label("Input, encoders at 128, 64 and 32, bottleneck; below the output and the decoders of the same levels")

# %% [markdown]
# ## Parameters on paper
#
# A $k\times k$ convolution from $a$ to $b$ channels has $abk^2$ weights, and $b$ more if it has a bias. A depthwise one filters each channel alone and has $ck^2$. With that rule alone, each module is one line. In the code, `n_` stands for number of parameters, and `agree` sets our number beside PyTorch's. It stops where the two differ.
#
# - **SA** has a 1×1 to $q, k, v$, a depthwise 3×3 over them, and a 1×1 back.
# - **RDFE** has two rounds of depthwise 3×3, 5×5 and 7×7, with $9+25+49=83$ weights per channel. Two 1×1 lead from $3c$ to $c$ channels: the attention unit's and the last one. The FRM follows.
# - **FRM**, the refinement, has two 3×3 convolutions, then the hourglass.
# - The **hourglass** has $3d+1$ blocks: a 3×3, a [batch norm](A_symbols_and_shapes.ipynb#Words) and a [PReLU](A_symbols_and_shapes.ipynb#Words). A batch norm learns a scale and a shift per channel, $2c$ in all. A PReLU learns the slope for negative values, $c$ in all. A last 3×3 draws one map.

# %%
def agree(*rows):
    """Show counts by hand beside PyTorch's; stop where they differ."""
    for name, by_hand, by_torch in rows:
        assert by_hand == by_torch, name
    table(rows, ["part", "by hand", "PyTorch"])


def size(module):
    return sum(p.numel() for p in module.parameters())


def n_sa(c, h):
    to_qkv, depthwise, project, temperature = c * 3 * c, 3 * c * 9, c * c, h
    return to_qkv + depthwise + project + temperature    # 4c^2 + 27c + h


def n_hourglass(c, d):
    return (3 * d + 1) * (9 * c * c + 2 * c + c) + (9 * c + 1)


def n_frm(c, d):
    return 2 * 9 * c * c + 3 * 2 * c + 2 * c + n_hourglass(c, d)   # two 3×3, three norms, two PReLU


def n_rdfe(c, d):
    return 2 * 83 * c + 2 * (3 * c * c + c) + n_frm(c, d)


block = net.encoders[0]                                  # the first LGFI: c = 28, one head, hourglass of depth 3
agree(["SA, c = 28", n_sa(28, 1), size(block.sa)],
      ["hourglass, d = 3", n_hourglass(28, 3), size(block.local.refine.hourglass)],
      ["FRM", n_frm(28, 3), size(block.local.refine)], ["RDFE", n_rdfe(28, 3), size(block.local)])
rounds, frm = 166 * 28 / n_rdfe(28, 3), n_frm(28, 3) / n_rdfe(28, 3)
print(f"the depthwise rounds are {100 * rounds:.1f} % of RDFE, the FRM is {100 * frm:.1f} %")

# %% [markdown]
# Fig. 3a draws the three receptive fields large, but they hold only 4.9 % of RDFE's parameters. The refinement behind them holds 90.1 %.
#
# SKAF has a dense 5×5 and a dense 7×7: $25+49=74$ weights per pair of channels, as many as eight 3×3 convolutions. The 7×7 that turns two pooled maps into two weights has 198 in all.

# %%
def n_skaf(c):
    return (25 + 49) * c * c + 2 * c + (2 * 2 * 49 + 2)


def n_fusion(c):                                          # the 1×1 from 2c to c, and SKAF
    return (2 * c * c + c) + n_skaf(c)


def n_lgfi(c, h, d):
    return 2 * c + n_sa(c, h) + n_rdfe(c, d) + n_fusion(c)


def n_down(a, b):
    return 9 * a * b + 9 * b * b


def n_up(a, b):
    return 9 * a * 4 * b + 9 * b * b                      # four times b: the shuffle trades channels for pixels


agree(["SKAF", n_skaf(28), size(block.skaf)],
      ["LGFI, 128 pixels", n_lgfi(28, 1, 3), size(block)],
      ["LGFI, 16 pixels", n_lgfi(112, 4, 2), size(net.bottleneck[0])],
      ["EDFF, 128 pixels", n_fusion(28), size(net.edffs[0])],
      ["down, C to 2C", n_down(28, 56), size(net.downs[0])],
      ["up, 2C to C", n_up(56, 28), size(net.ups[0])],
      ["head", 3 * 28 * 9 + 28, size(net.head)],
      ["tail", 28 * 3 * 9 + 3, size(net.tail)])

# %% [markdown]
# Eight LGFIs stand on the route 128, 64, 32, 16, 16, 32, 64, 128 pixels. Between them are three downs, three ups and three EDFFs.

# %%
w, heads, depths = AMINET.widths, AMINET.heads, AMINET.depths        # (28, 56, 112, 112), (1, 2, 4, 4), (3, 3, 2, 2)
ROUTE, JOINTS = (0, 1, 2, 3, 3, 2, 1, 0), (0, 1, 2)                   # levels of the LGFIs, of the joints
parts = {
    "LayerNorm": sum(2 * w[i] for i in ROUTE),
    "SA": sum(n_sa(w[i], heads[i]) for i in ROUTE),
    "RDFE": sum(n_rdfe(w[i], depths[i]) for i in ROUTE),
    "1×1 + SKAF in LGFI": sum(n_fusion(w[i]) for i in ROUTE),
    "EDFF": sum(n_fusion(w[i]) for i in JOINTS),
    "down": sum(n_down(w[i], w[i + 1]) for i in JOINTS),
    "up": sum(n_up(w[i + 1], w[i]) for i in JOINTS),
    "head + tail": 2 * 27 * w[0] + w[0] + 3,
}
total = sum(parts.values())
table([[name, n, 100 * n / total] for name, n in parts.items()], ["part", "parameters", "share (%)"])
agree(["AMINet", total, size(net)])

# %% [markdown]
# ## MACs on paper
#
# A multiply-add (MAC) is one weight used once. A convolution uses each of its weights at every pixel that it writes, so
#
# $$\text{MACs} = \text{weights} \times \text{pixels written},$$
#
# biases and norms aside. Four places need care:
#
# - A **down** writes a quarter of the pixels that it takes in.
# - An **up** has one convolution before its shuffle and one after it.
# - The **hourglass** works on a pyramid. At level $i$ the skip, the way down and the way up write $(1 + \tfrac14 + 1)\,4^{-i}$ of the pixels. The middle writes $4^{-d}$. Together that is $\sum_{i<d}\frac{9}{4}\,4^{-i} + 4^{-d} = 3 - \frac{2}{4^{d}}$, so an hourglass of any depth costs less than three full-size convolutions.
# - The products $QK^\top$ and $(\cdot)V$ in **SA** have no weights. They multiply features by features, $c^2/h$ MACs per pixel each, for $h$ [heads](A_symbols_and_shapes.ipynb#Words).
#
# `FlopCounterMode` watches every operation that PyTorch runs and counts two FLOPs per MAC. It counts matrix products too, if they are written out as ours are. Some of its versions count fused attention as nothing.

# %%
def m_sa(c, s, h):                                                      # s: side of the image
    return (4 * c * c + 27 * c) * s * s, 2 * c * c // h * s * s        # convolutions, matrix products


def m_frm(c, s, d):
    pyramid = 9 * c * c * (3 * s * s - 2 * s * s // 4**d) + 9 * c * s * s
    return 18 * c * c * s * s + pyramid


def m_rdfe(c, s, d):
    return (166 * c + 6 * c * c) * s * s + m_frm(c, s, d)


def m_fusion(c, s):
    return (76 * c * c + 196) * s * s


def m_down(a, b, s):                                                    # s: side of the input
    return (9 * a * b + 9 * b * b) * s * s // 4


def m_up(a, b, s):
    return 36 * a * b * s * s + 9 * b * b * (2 * s) ** 2


def macs(module, c, s):
    features = [torch.zeros(1, c, s, s, device="meta")]
    if isinstance(module, EDFF):
        features = features * 2
    with FlopCounterMode(display=False) as counter:
        module(*features)
    return counter.get_total_flops() // 2


agree(["SA, 128 pixels", sum(m_sa(28, 128, 1)), macs(block.sa, 28, 128)],
      ["RDFE, 128 pixels", m_rdfe(28, 128, 3), macs(block.local, 28, 128)],
      ["EDFF, 128 pixels", m_fusion(28, 128), macs(net.edffs[0], 28, 128)],
      ["down, from 128 pixels", m_down(28, 56, 128), macs(net.downs[0], 28, 128)],
      ["up, from 64 pixels", m_up(56, 28, 64), macs(net.ups[0], 56, 64)])

# %%
side = (128, 64, 32, 16)
in_lgfis = sum(m_sa(w[i], side[i], heads[i])[0] + m_rdfe(w[i], side[i], depths[i]) + m_fusion(w[i], side[i])
               for i in ROUTE)
between = sum(m_fusion(w[i], side[i]) + m_down(w[i], w[i + 1], side[i]) + m_up(w[i + 1], w[i], side[i + 1])
              for i in JOINTS)
head_and_tail = 2 * 27 * w[0] * 128**2
convolutions = in_lgfis + between + head_and_tail
products = sum(m_sa(w[i], side[i], heads[i])[1] for i in ROUTE)
agree(["MACs of AMINet", convolutions + products, macs(net, 3, 128)])

# %% [markdown]
# ## Two counters disagree
#
# Papers on face super-resolution often count with the package `thop`. It counts by module. It knows what a `Conv2d` costs, adds four operations for each value that a batch norm writes, and one for each value of a PReLU. It does not see what is no module: the attention's products, LayerNorm as we wrote it, a bare parameter such as the temperature.
#
# The FRM has three batch norms and two PReLU on all $cs^2$ values. The hourglass has one of each on $3 - 2/4^d$ as many. That is $(4\cdot 3 + 2) + 5\,(3 - 2/4^d)$ operations per value.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper does not name its counter. We ran thop on the public code of CTCNet and SCTANet. It gives 22.397 M, 47.227 G and 27.712 M, 10.412 G, the digits of Table X. So these rows come from thop. AMINet's 15.6 G fits both counters.
#
# </details>

# %%
extra = sum(w[i] * side[i] ** 2 * 14 + 5 * w[i] * (3 * side[i] ** 2 - 2 * side[i] ** 2 // 4 ** depths[i]) for i in ROUTE)
unseen = parts["LayerNorm"] + sum(heads[i] for i in ROUTE)
thop_params, thop_macs = thop_counted(net)
assert (thop_params, thop_macs) == (size(net) - unseen, convolutions + extra)
table([["PyTorch", size(net), convolutions / 1e9, products / 1e9, "", (convolutions + products) / 1e9],
       ["thop", thop_params, convolutions / 1e9, "", extra / 1e9, thop_macs / 1e9]],
      ["counter", "parameters", "convolutions (G)", "attention's products (G)", "norms and PReLU (G)", "MACs (G)"], digits=3)

# %% [markdown]
# thop's two errors nearly cancel: the counters are 0.3 % apart. With attention over pixels instead of channels they would not cancel, because then the products grow with the square of the number of pixels. So we report both numbers: thop's for comparison with published tables, and PyTorch's as the true one.
#
# ## Which part and which level cost most
#
# We now sum the same formulas by part and by level. `aminet.ledger.bill` does this for every switch of the config.

# %%
KINDS = ("SA", "RDFE without FRM", "FRM with hourglass", "1×1 + SKAF in LGFI", "EDFF", "down, up, head, tail")
params_at = {kind: [0, 0, 0, 0] for kind in KINDS}        # at 128, 64, 32, 16 pixels
macs_at = {kind: [0, 0, 0, 0] for kind in KINDS}


def enter(kind, level, parameters, work):
    params_at[kind][level] += parameters
    macs_at[kind][level] += work


for i in ROUTE:
    c, s, h, d = w[i], side[i], heads[i], depths[i]
    enter("SA", i, 2 * c + n_sa(c, h), sum(m_sa(c, s, h)))                    # with its LayerNorm
    enter("RDFE without FRM", i, n_rdfe(c, d) - n_frm(c, d), m_rdfe(c, s, d) - m_frm(c, s, d))
    enter("FRM with hourglass", i, n_frm(c, d), m_frm(c, s, d))
    enter("1×1 + SKAF in LGFI", i, n_fusion(c), m_fusion(c, s))
for i in JOINTS:
    enter("EDFF", i, n_fusion(w[i]), m_fusion(w[i], side[i]))
    enter("down, up, head, tail", i + 1, n_down(w[i], w[i + 1]), m_down(w[i], w[i + 1], side[i]))
    enter("down, up, head, tail", i, n_up(w[i + 1], w[i]), m_up(w[i + 1], w[i], side[i + 1]))
enter("down, up, head, tail", 0, parts["head + tail"], head_and_tail)

all_params, all_macs = (sum(sum(levels) for levels in at.values()) for at in (params_at, macs_at))
assert (all_params, all_macs) == (bill(AMINET)[""].params, bill(AMINET)[""].macs)
table([[kind, 100 * sum(params_at[kind]) / all_params, 100 * sum(macs_at[kind]) / all_macs] for kind in KINDS],
      ["part", "share of the parameters (%)", "share of the MACs (%)"], digits=0)

# %% tags=["plot"]
figure, axes = plt.subplots(1, 2, figsize=(10, 4), layout="constrained")
for axis, at, unit, title in ((axes[0], params_at, 1e6, "parameters (M)"), (axes[1], macs_at, 1e9, "MACs (G)")):
    below = [0.0] * 4
    for kind, values in at.items():
        heights = [value / unit for value in values]
        axis.bar(range(4), heights, bottom=below, label=kind, width=0.7)
        below = [low + height for low, height in zip(below, heights)]
    for x, top in enumerate(below):
        axis.text(x, top, f"{top:.2f}", ha="center", va="bottom")
    axis.set(title=title, xticks=range(4), xlabel="level: pixels and width",
             xticklabels=[f"{s}×{s}\n{n // 28}C = {n}" for s, n in zip(side, w)])
    axis.grid(axis="x", visible=False)
handles, names = axes[0].get_legend_handles_labels()
axes[0].legend(handles[::-1], names[::-1], loc="upper left")
figure.set_label("Parameters and MACs of AMINet by level and part: parameters sit at the lower levels, MACs at the upper three")
plt.show()

# %% [markdown]
# - **Parameters sit where the network is wide.** Two thirds of them are in the four LGFIs at 32×32 and 16×16. The FRM, one box in Fig. 3a, holds more than any other part: 39 %.
# - **MACs sit where the image is large.** From one level to the next the pixels are quartered and a dense layer's weights are quadrupled. So each of the three upper levels costs about the same. At 16×16 the width does not double again, and the bottleneck is nearly free.
# - SKAF's large dense kernels need the most operations: 41 %.
#
# ## Compare with the paper
#
# The published parameter counts stand in Tables I to III and X. Each row changes the one switch that its name says. A count *matches* if ours becomes the printed digits when rounded or when truncated; published numbers are found in both forms.

# %%
variants = {
    "aminet": ("Tables I, X", AMINET), "w/o SA": ("Table I", replace(AMINET, **ABLATIONS["w/o SA"])),
    "w/o RDFE": ("Table I", replace(AMINET, **ABLATIONS["w/o RDFE"])),
    "w/o SKAF": ("Table I", replace(AMINET, **ABLATIONS["w/o SKAF"])),
    "LGFI->Transformer": ("Table II", replace(AMINET, **ABLATIONS["LGFI->Transformer"])),
    "RDFE->FFN": ("Table III", replace(AMINET, **ABLATIONS["RDFE->FFN"])),
    "aminet-s": ("Table X", PRESETS["aminet-s"]),
}
FORMS = {"both": "rounded and truncated", "rounds": "rounded", "truncates": "truncated", False: "no"}


def compare(name, where, ours, printed):
    return [name, where, printed, ours, f"{100 * (ours / value_of(printed) - 1):+.2f}", FORMS[match(ours, printed)]]


rows = [compare(name, where, bill(config)[""].params, PUBLISHED[name][0]) for name, (where, config) in variants.items()]
with torch.device("meta"):
    small = AMINet(PRESETS["aminet-s"])
rows.append(compare("aminet, MACs", "Table X", thop_macs, PUBLISHED["aminet"][1]))
rows.append(compare("aminet-s, MACs", "Table X", thop_counted(small)[1], PUBLISHED["aminet-s"][1]))
table(rows, ["network", "where", "published", "ours", "difference (%)", "match"])

# %% [markdown]
# All seven parameter counts match, and so do the MACs of the full network. Only the MACs of AMINet-S do not.
#
# A match is evidence only if nothing was chosen to produce it. We chose $C$ to meet the total, so the first row shows nothing. The three removals of Table I are a stricter test: of the networks with 12.62 M that we tried, only those with $C = 28$ pass.
#
# <details><summary>What the paper leaves open</summary>
#
# **What we chose.** $C$ was chosen to meet the total. The FFN's expansion (26.33) and the Transformers' number of blocks, 15 per stage, are ours as well. The paper says "similar parameters" and no more. The hourglass depths are not printed either.
#
# **What remains** is still tight. Among all widths from $C = 24$ to 33 with depths of 1 to 4, eight networks have 12.62 M. Only $C = 28$ meets the three removals of Table I as well. Its depths are then (3, 3, 2, 2), (3, 3, 1, 3) or (3, 3, 3, 1). The removals say three things:
#
# - SKAF is dense.
# - RDFE ends in a deep refinement.
# - The 1×1 goes with SKAF.
#
# **AMINet-S** is described only as "a small parameter version" (Sec. IV-E). Its size (8.2 M) and its speed, 25 ms, are those of "LGFI w/o SKAF" in Table I. So we interpret it as that.
#
# </details>
#
# ## What cannot all be true: 8C and 15.6 G
#
# How can we test the text's $8C$ if $C$ is unknown? Divide MACs by parameters, and $C$ nearly drops out. Take a dense layer with $k\,c^2$ weights in each of the eight LGFIs, with $r_i = c_i/C$ at level $i$:
#
# $$\frac{\text{MACs}}{\text{parameters}} = \frac{\sum_i 2\,k\,C^2 r_i^2\,s_i^2}{\sum_i 2\,k\,C^2 r_i^2} = \frac{\sum_i r_i^2\, s_i^2}{\sum_i r_i^2}, \qquad s = 128, 64, 32, 16.$$
#
# We call this the **rate**. An LGFI's weights have one rate for the text's widths and another for the figure's. EDFF's weights have a third.

# %%
def per_parameter(widths, sides=(128, 64, 32, 16)):
    return sum(r * r * s * s for r, s in zip(widths, sides)) / sum(r * r for r in widths)


table([["LGFI, widths C, 2C, 4C, 8C (text)", round(per_parameter((1, 2, 4, 8)))],
       ["LGFI, widths C, 2C, 4C, 4C (Fig. 2)", round(per_parameter((1, 2, 4, 4)))],
       ["EDFF, widths C, 2C, 4C", round(per_parameter((1, 2, 4), side[:3]))],
       ["published: 15.6 G / 12.62 M", round(15.6e9 / 12.62e6)]], ["weights", "MACs per parameter"])

# %% [markdown]
# The published rate lies above the text's and below the figure's. But EDFF's is higher, so we need to know how many weights sit in the LGFIs. Table I tells: removing SA, RDFE and SKAF saves that many parameters. Whichever way its numbers were rounded, at least 9.93 M of the 12.62 M sit in the LGFIs.
#
# Give the remaining 2.70 M the highest rate of all large parts, EDFF's. (Head, tail and depthwise kernels have a higher rate, but hardly any weights.) That is about the most that a network can cost.

# %%
inside = (12.615 - 12.4) + (12.615 - 7.3) + (12.615 - 8.22)          # M: the least that Table I allows
rest = (12.63 - inside) * per_parameter((1, 2, 4), side[:3]) / 1e3   # G
most = {label: (inside * per_parameter(widths) / 1e3, rest)
        for label, widths in {"8C (text)": (1, 2, 4, 8), "4C (Fig. 2)": (1, 2, 4, 4)}.items()}
table([[label, lgfis, others, lgfis + others, "15.6"] for label, (lgfis, others) in most.items()],
      ["widest level", "LGFIs (G MACs)", "rest, at most", "sum, at most", "published"], digits=1)

# %% tags=["plot"]
figure, axes = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
for label, widths, shift in (("8C", (1, 2, 4, 8), -0.2), ("4C", (1, 2, 4, 4), 0.2)):
    share = [100 * r * r / sum(r * r for r in widths) for r in widths]
    axes[0].bar([i + shift for i in range(4)], share, width=0.38, label=f"{label}: {per_parameter(widths):.0f} MACs per weight")
axes[0].set(title="share of an LGFI's dense weights (%)", xticks=range(4), xlabel="pixels, and MACs of each weight",
            xticklabels=[f"{s}×{s}\n{s * s:,}" for s in side], ylim=(0, 90))
axes[0].legend(loc="upper left")
in_lgfis_at_most, others_at_most = zip(*most.values())
axes[1].barh(range(2), in_lgfis_at_most, color="C0", height=0.5, label="LGFIs")
axes[1].barh(range(2), others_at_most, left=in_lgfis_at_most, color="C2", height=0.5, label="rest, at EDFF's rate")
axes[1].axvline(15.6, color="black", linestyle="--", label="published: 15.6")
axes[1].set(title="the most that 12.62 M parameters can cost (G MACs)", yticks=range(2), yticklabels=most,
            xlim=(0, 22), ylim=(-0.5, 2.6))
axes[1].legend(loc="upper left")
axes[1].grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# With $8C$ the lowest level, 16×16 = 256 pixels, holds three quarters of an LGFI's weights, and there each weight is used least. So the text's $8C$, the table's 15.6 G and Table I do not fit one network: 14.0 G is the most. The figure's $4C$ fits.
#
# <details><summary>What the paper leaves open: how safe the bound is</summary>
#
# Depthwise weights are a hundredth of all. They have a higher rate (exercise 3) and lift the bound by 0.14 G. thop's norms lift it by 0.05 G. The gap is 1.6 G.
#
# </details>
#
# The same kind of argument tests four more published numbers. The box below the table explains them.

# %%
squares = (12.63 - 8.205) * 1e6 / 76                  # sum of c^2 over eight LGFIs, at most
linear = (8 * squares) ** 0.5                         # sum of c, at most (Cauchy-Schwarz)
largest_sa = 4 * squares + 27 * linear + 8 * 4        # and at most four heads each
removed = (15.6 - 9.4) / (12.62 - 8.2) * 1e3
sparnet, edffs = 10.519, sum(n_fusion(c) for c in (128, 64, 32)) / 1e6
table([["SA, at most (M)", largest_sa / 1e6, ""],
       ["AMINet without SA, at least (M)", 12.615 - largest_sa / 1e6, "12.3 (Table I)"],
       ["MACs per parameter of SKAF in the LGFIs", round(per_parameter((1, 2, 4, 4))),
        f"{removed:.0f} (Table X: AMINet less AMINet-S)"],
       ["SPARNet (M), its public code", sparnet, "10.6 (Table VI), 16.6 (Table X)"],
       ["SPARNet with EDFF at 128, 64, 32 channels (M)", sparnet + edffs, "12.1 (Table VI)"]],
      ["number", "ours", "published"])

# %% [markdown]
# <details><summary>What the paper leaves open: four more numbers</summary>
#
# - **12.3 M without SA is truncated**, if SKAF was removed cleanly; 12.62 may be either. SKAF in the LGFIs has $76c^2$ and a little more. Table I puts that at 4.425 M at most, whatever the widths. So $\sum c^2$ is bounded, and SA's $4c^2+27c$ with it: 0.251 M at most. The count without SA is then at least 12.36 M, which rounds to 12.4 and truncates to 12.3.
# - **AMINet-S, 9.4 G** asks for a part that is 2 to 3 % cheaper per parameter than SKAF. Our interpretation gives 9.21 G, and we leave the difference open.
# - **SPARNet** has 10.6 M parameters in Table VI and 16.6 M in Table X, with 27.73 dB in both. Its public code has 10.519 M. Three EDFFs on top come to 12.15 M, Table VI's 12.1 truncated. The 16.6 looks like a slip.
# - **PSNR.** The full network has 27.83 dB in Tables I to V and 28.26 dB in Tables VII and X. So the ablations are another training. Sizes may be compared across those tables, qualities may not.
#
# </details>
#
# ## The other interpretations
#
# Widths are not the only freedom. Shallower hourglasses save parameters and leave room for a larger $C$. The config keeps two alternatives that use it: `aminet-8c` has the text's $8C$, and `aminet-c32` has $C=32$ with SKAF's 5×5 as a dilated 3×3. In the plane below each curve is one value of `cap`. Each dot is an even $C$, with the default hourglasses.

# %% tags=["plot"]
channels_tried = range(8, 37, 2)
curves = {cap: [bill(AMINetConfig(channels=c, cap=cap))[""] for c in channels_tried] for cap in (4, 8)}


def plane(channels=28, cap=4):
    figure, axis = plt.subplots(figsize=(7.5, 4.4), layout="constrained")
    for k, costs in curves.items():
        axis.plot([c.params / 1e6 for c in costs], [c.macs / 1e9 for c in costs], ".-", label=f"widest level {k}C")
    here = bill(AMINetConfig(channels=channels, cap=cap))[""]
    axis.plot(here.params / 1e6, here.macs / 1e9, "o", ms=11, mfc="none", color="C1" if cap == 8 else "C0")
    axis.plot(12.62, 15.6, "k*", ms=9, label="published", zorder=3, lw=0)
    axis.plot(8.2, 9.4, "kv", ms=6, label="published, AMINet-S", lw=0)
    for name, shift in (("pocket", (8, -4)), ("aminet-s", (8, -12)), ("aminet-8c", (-24, 9)), ("aminet-c32", (-74, -3))):
        cost = bill(PRESETS[name])[""]
        axis.plot(cost.params / 1e6, cost.macs / 1e9, "x", color="C4", ms=7)
        axis.annotate(name, (cost.params / 1e6, cost.macs / 1e9), shift, textcoords="offset points", color="C4")
    axis.set(title=f"C = {channels}, {cap}C: {here.params / 1e6:.2f} M parameters, {here.macs / 1e9:.1f} G MACs (circle)",
             xlabel="parameters (M)", ylabel="MACs (G)", xlim=(0, 24), ylim=(0, 22))
    axis.legend(loc="lower right")
    plt.show()


explore(plane, channels=(4, 40), cap=[4, 8])

# %%
WHAT = {"aminet": "the default interpretation", "aminet-s": "SKAF only in the EDFFs", "aminet-8c": "the text's 8C",
        "aminet-c32": "5×5 as a dilated 3×3", "pocket": "for CPUs and this course", "pocket-s": "aminet-s, as small",
        "pocket-8c": "aminet-8c, as small"}
rows = []
for name, config in PRESETS.items():
    cost = bill(config)[""]
    rows.append([name, config.channels, config.widths, config.depths, cost.params, cost.macs / 1e9, WHAT[name]])
table(rows, ["preset", "C", "widths", "hourglasses", "parameters", "MACs (G)", "what it is"])
nineteen, twenty = (bill(AMINetConfig(channels=c, cap=8))[""].params / 1e6 for c in (19, 20))
print(f"8C with the default hourglasses: C = 19 has {nineteen:.2f} M, C = 20 has {twenty:.2f} M")

# %% [markdown]
# The 4C curve passes through the star at an integer, $C = 28$. The 8C curve runs far below the star. `aminet-8c` was tuned to the right parameters and is a third short of the MACs, as the bound predicts. `aminet-c32` has too many. We keep the two so that you can train and measure them, not because they fit.
#
# ## Exercises
#
# ### Exercise 2: what an EDFF costs
#
# *Level 1, 5 minutes.* Table VI adds EDFFs to other networks. Write `added(widths)`: the parameters of one EDFF at each of the given widths, summed. An EDFF has a 1×1 from $2c$ to $c$, a dense 5×5, a dense 7×7, and a 7×7 from two maps to two. All have biases.

# %% tags=["exercise"]
def added(widths: tuple[int, ...]) -> int:
    """Return the parameters of one EDFF at each of these widths, summed."""
    ...  # your turn


passed = check("08.2", added)

# %% tags=["solution"]
def added(widths: tuple[int, ...]) -> int:
    """Return the parameters of one EDFF at each of these widths, summed."""
    return sum(2 * c * c + c + 74 * c * c + 2 * c + 198 for c in widths)


passed = check("08.2", added)

# %% [markdown]
# With this function you can redo Table VI. SPARNet gets EDFFs of 128, 64 and 32 channels, 1.636 M in all. SFMNet gets six of 64 channels, 1.870 M.
#
# ### Exercise 3: the rate of a depthwise layer
#
# *Level 2, 10 minutes.* A dense layer has $c^2$ weights up to a factor, a depthwise one has $c$. Write `depthwise_rate(widths)`: MACs per parameter of a depthwise layer in the LGFIs at 128, 64, 32 and 16 pixels, `widths` in units of $C$.

# %% tags=["exercise"]
def depthwise_rate(widths: tuple[int, ...]) -> float:
    """Return the MACs per parameter of a depthwise layer, for the widths at the four levels in units of C."""
    ...  # your turn


passed = check("08.3", depthwise_rate)

# %% tags=["solution"]
def depthwise_rate(widths: tuple[int, ...]) -> float:
    """Return the MACs per parameter of a depthwise layer, for the widths at the four levels in units of C."""
    return sum(r * s * s for r, s in zip(widths, side)) / sum(widths)


passed = check("08.3", depthwise_rate)

# %% [markdown]
# With $8C$ the rate is 2048, with $4C$ it is 2700. A dense layer has 771 and 1439. So per weight, depthwise layers are the expensive ones.

# %% [markdown]
# ## What to remember
#
# 1. MACs are weights times pixels written. With that rule every count in the paper can be redone by hand, to the last digit.
# 2. Parameters sit where the network is wide, MACs where the image is large. Their ratio shows the shape of a network even if its widths are unknown.
# 3. A count needs its counter: 15.61 G by PyTorch and 15.57 G by thop are one network. $8C$ with 15.6 G is no network.
#
# To read on: V. Dumoulin and F. Visin, [A Guide to Convolution Arithmetic for Deep Learning](https://arxiv.org/abs/1603.07285) (2016); W. Shi et al., [ESPCN](https://arxiv.org/abs/1609.05158) (2016), for pixel shuffle.
#
# Next: [09 · Train AMINet](09_train_aminet.ipynb)
