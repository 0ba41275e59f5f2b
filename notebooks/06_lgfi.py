# %% [markdown]
# # 06 · LGFI: global and local, side by side
#
# SA, RDFE and SKAF become one block, the block that AMINet uses eight times.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/06_lgfi.ipynb) · previous: [05 · SKAF](05_skaf.ipynb) · next: [07 · EDFF](07_edff.ipynb)
#
# You will be able to
#
# - **write** LGFI from Fig. 2 and the two things that the figure does not draw, and restore a face with it;
# - **read** an ablation table by its parameter counts: what exactly was removed?
# - **measure** what each branch contributes inside a trained network.

# %% tags=["parameters"]
FACE = "hopper"  # the portrait in the pictures: hopper or collins
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
from torch.nn import functional as F
from torch.testing import assert_close

import aminet.lgfi
import aminet.transformer
from aminet import AMINetConfig, preset
from aminet.degrade import degrade, to_float, upsample
from aminet.ledger import match
from aminet.lgfi import LGFI
from aminet.model import AMINet
from aminet.faces.portraits import portraits
from aminet.rdfe import RDFE
from aminet.sa import SelfAttention
from aminet.skaf import SKAF
from aminet.faces.synthetic import faces, random_params, render
from aminet.training.weights import load_weights
from exercises import check

# %% [markdown]
# ## What the paper asks for
#
# > "As shown in Fig. 2, LGFI consists of Self-attention(SA), a Residual Depth Feature Extraction Module (RDFE), and a Selective Kernel Attention Fusion Module (SKAF), used for local and global feature fusion and interaction, respectively." (Sec. III-B)
#
# > "As shown in Fig. 6, LGFI uses a dual-branch structure to represent the local and global features. In contrast, the traditional Transformer in Restormer [50] uses a serial structure to link local and global features." (Sec. IV-C2)
#
# Parallel against serial: here are both, in our drawing. Dashed is what the paper's Fig. 2 does not show.

# %%
def box(axis, x, y, text, colour="#dbe7f5", style="-"):
    axis.add_patch(plt.Rectangle((x - 0.5, y - 0.35), 1, 0.7, facecolor=colour, edgecolor="black", ls=style, zorder=2))
    axis.text(x, y, text, ha="center", va="center", fontsize=9, zorder=3)


def node(axis, x, y, sign):
    axis.add_patch(plt.Circle((x, y), 0.22, facecolor="white", edgecolor="black", zorder=2))
    axis.text(x, y, sign, ha="center", va="center", fontsize=11, zorder=3)


def arrow(axis, *points, style="-"):
    axis.plot(*zip(*points), color="black", lw=1, ls=style, zorder=1)
    head = dict(arrowstyle="-|>", color="black", lw=1, ls=style, shrinkA=0, shrinkB=0)
    axis.annotate("", points[-1], points[-2], arrowprops=head, zorder=1)


def canvas(axis, title, low, high, end=12):
    axis.set(xlim=(-0.3, 12.3), ylim=(low, high), aspect="equal")
    axis.set_title(title, loc="left")
    axis.axis("off")
    axis.text(0, 2, "x", ha="center", va="center", fontsize=11)
    axis.text(end, 2, "y", ha="center", va="center", fontsize=11)

# %%
figure, (top, bottom) = plt.subplots(2, 1, figsize=(8.2, 4.9), layout="constrained", height_ratios=(4.1, 2.1))
canvas(top, "LGFI: two views at once, then a choice", 0.2, 4.3)
arrow(top, (0.2, 2), (0.9, 2))
box(top, 1.4, 2, "LN", "white", "--")
for y, name, weight in ((3.2, "SA", "w1"), (0.8, "RDFE", "w2")):
    side = 0.15 if y > 2 else -0.15
    arrow(top, (1.9, 2), (2.3, 2), (2.3, y), (2.7, y))
    box(top, 3.2, y, name)
    arrow(top, (3.7, y), (8.18, y))
    arrow(top, (4.2, y), (4.2, 2 + side), (4.7, 2 + side))
    arrow(top, (7.3, 2 + side), (8.4, 2 + side), (8.4, y - 1.5 * side))
    top.text(8.55, 2 + 4 * side, weight, va="center")
    node(top, 8.4, y, "×")
    arrow(top, (8.62, y), (9.6, y), (9.6, 2 + 1.5 * side))
box(top, 5.2, 2, "cat, 1x1")
arrow(top, (5.7, 2), (6.3, 2))
box(top, 6.8, 2, "SKAF", "#f6d9c5")
arrow(top, (9.82, 2), (10.78, 2))
node(top, 9.6, 2, "+")
arrow(top, (0.4, 2), (0.4, 4.05), (11, 4.05), (11, 2.22), style="--")
node(top, 11, 2, "+")
arrow(top, (11.22, 2), (11.8, 2))

canvas(bottom, "Transformer: one after the other", 1.5, 3.6)
arrow(bottom, (0.2, 2), (11.8, 2))
for x, name, plus, start in ((3.4, "SA", 5.2, 0.5), (8.1, "FFN", 10, 5.8)):
    box(bottom, x - 1.6, 2, "LN")
    box(bottom, x, 2, name)
    arrow(bottom, (start, 2), (start, 3.2), (plus, 3.2), (plus, 2.22))
    node(bottom, plus, 2, "+")
plt.show()

# %% [markdown]
# In the Transformer the local part (FFN) sees what attention made of $x$. In LGFI both see the same $u$, and a third module decides between them.
#
# ## Building it
#
# The first line is the one that is not drawn: $u = LN(x)$. LayerNorm brings the $C$ numbers of every pixel to mean 0 and variance 1. We take it as Restormer has it, since LGFI is compared with Restormer's block.

# %%
class LayerNorm(nn.Module):
    def __init__(self, channels: int):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x.permute(0, 2, 3, 1)  # a view, and a contiguous one in channels_last
        return F.layer_norm(x, self.weight.shape, self.weight, self.bias).permute(0, 3, 1, 2)

# %% [markdown]
# Now the block at the second level of AMINet: C = 56 channels. (Real size is 64x64; 32x32 is enough to follow the shapes.)

# %%
C, heads, depth = 56, 2, 3
norm, sa, rdfe = LayerNorm(C), SelfAttention(C, heads), RDFE(C, depth)
reduce, skaf = nn.Conv2d(2 * C, C, 1), SKAF(C)
x = 5 * torch.randn(1, C, 32, 32)

u = norm(x)                                     # not drawn
a = sa(u)                                       # X_SA, global
r = rdfe(u)                                     # X_RD, local: from the same u
m = reduce(torch.cat([a, r], dim=1))            # concatenate, 1x1 from 2C to C
w1, w2 = skaf(m)                                # Eqs. 11-14
fused = a * w1 + r * w2                         # X_out of Fig. 2
y = x + fused                                   # the shortcut: not drawn
for name, value in dict(x=x, u=u, a=a, r=r, m=m, w1=w1, fused=fused, y=y).items():
    print(f"{name:6s} {str(tuple(value.shape)):17s} RMS {value.square().mean().sqrt():.2f}")

# %% [markdown]
# ### Exercise 1: write LGFI
#
# *Level 1, 10 minutes.* Now you have all parts. `self` is one LGFI of the network `pocket`. This network has both things that are not drawn, the norm and the shortcut:
#
# | what `self` has | what it does |
# |---|---|
# | `self.norm` | LayerNorm |
# | `self.sa` | SA, the global branch |
# | `self.local` | RDFE, the local branch |
# | `self.reduce` | 1x1 convolution, $2C \to C$ channels |
# | `self.skaf` | SKAF: takes a feature of $C$ channels and returns a pair of weights, $(B, 1, H, W)$ each |
#
# Write its `forward`: `x` is $(B, C, H, W)$, and so is what it returns. The check puts your forward into all eight LGFIs of the trained network. It compares every value, and shows the faces that come out.

# %% tags=["exercise"]
def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Fig. 2, with norm and shortcut. (B, C, H, W) -> (B, C, H, W)."""
    ...  # your turn


passed = check("06.1", forward)

# %% tags=["solution"]
class LGFI(nn.Module):
    def __init__(self, channels: int, heads: int = 1, depth: int = 2, config: AMINetConfig = AMINetConfig()):
        super().__init__()
        self.residual = config.residual
        self.norm = LayerNorm(channels) if config.norm else nn.Identity()
        self.sa = SelfAttention(channels, heads, config.scale) if config.sa else nn.Identity()
        self.local = {
            "rdfe": lambda: RDFE(channels, depth, config.paths, config.attention_unit, config.refine, config.frm_norm,
                                 config.rdfe_relu),
            "ffn": lambda: FeedForward(channels, config.ffn_expansion),
            "none": nn.Identity,
        }[config.local]()
        fused = config.skaf == "everywhere"
        self.reduce = nn.Conv2d(2 * channels, channels, 1) if fused else nn.Identity()
        self.skaf = SKAF(channels, config.kernels, config.pools, config.gate, config.dilated) if fused else None

    def branches(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        u = self.norm(x)
        return self.sa(u), self.local(u)

    def fuse(self, a: torch.Tensor, r: torch.Tensor) -> torch.Tensor:
        if self.skaf is None:
            return a + r
        w1, w2 = self.skaf(self.reduce(torch.cat([a, r], dim=1)))
        return a * w1 + r * w2

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.fuse(*self.branches(x))
        return x + y if self.residual else y


passed = check("06.1", LGFI.forward)

# %% [markdown]
# The class is `aminet.lgfi.LGFI`. It cuts its forward in two, `branches` and `fuse`. `config` holds the switches of the ablations. A branch that is removed passes $u$ on (`nn.Identity`), and without SKAF the branches are added. With all switches on, it is the calculation from above, step by step.

# %%
ours = LGFI(C, heads, depth)
for part, module in (("norm", norm), ("sa", sa), ("local", rdfe), ("reduce", reduce), ("skaf", skaf)):
    getattr(ours, part).load_state_dict(module.state_dict())
    print(f"{part:7s} {sum(p.numel() for p in module.parameters()):9,} parameters")
assert_close(ours(x), y)
print(f"{'LGFI':7s} {sum(p.numel() for p in ours.parameters()):9,} parameters; the class equals the steps above")

# %% [markdown]
# ## What is not drawn: norm and shortcut
#
# Fig. 2 shows $X$ entering both branches directly and $X_{out} = X_{SA}\,w_1 + X_{RD}\,w_2$ leaving. No norm, no shortcut. The text mentions neither. The published counts cannot tell: all LayerNorms together hold 1,232 of 12.62 million parameters. So both are switches, `norm` and `residual`.
#
# What do they change before any training? We send crops of faces through untrained nets, then send the gradient of a loss back, and note both at the output of each of the eight LGFIs. One more switch turns out to matter: the BatchNorms inside RDFE's refinement module, `frm_norm`.

# %%
def flow(keep, frm_norm):
    """RMS of the feature, and of the loss's gradient, at the output of each LGFI of an untrained pocket net."""
    torch.manual_seed(0)
    config = replace(preset("pocket"), norm=keep, residual=keep, frm_norm=frm_norm, zero_tail=False)
    net, outputs = AMINet(config).train(), []
    for stage in [*net.encoders, *net.bottleneck, *net.decoders]:
        stage.register_forward_hook(lambda module, args, out: outputs.append(out))
    hr = faces(4, seed=1)
    image, target = (to_float(f)[..., 32:96, 32:96] for f in (upsample(degrade(hr)), hr))
    gradients = torch.autograd.grad((net(image) - target).square().mean(), outputs)
    return [[v.detach().square().mean().sqrt().item() for v in values] for values in (outputs, gradients)]


LABELS = ["encoder 128", "encoder 64", "encoder 32", "middle 16", "middle 16 (2)",
          "decoder 32", "decoder 64", "decoder 128"]
NETS = {"both (default)": (True, "batch", "C0", "-"), "neither (Fig. 2)": (False, "batch", "C1", "-"),
        "both, no BatchNorm": (True, "none", "C0", ":"), "neither, no BatchNorm": (False, "none", "C1", ":")}
figure, axes = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
for name, (keep, frm_norm, colour, style) in NETS.items():
    for axis, values in zip(axes, flow(keep, frm_norm)):
        axis.semilogy(LABELS, values, style, color=colour, marker=".", label=name)
for axis, title in zip(axes, ("Forward: size of the feature", "Backward: size of the gradient")):
    axis.set(title=title, ylabel="RMS")
    axis.tick_params(axis="x", rotation=60)
axes[1].legend(fontsize=8, loc="upper left", bbox_to_anchor=(1, 1))
plt.show()

# %% [markdown]
# Read the dotted lines first. Without any BatchNorm, a net with neither norm nor shortcut fades: each fusion multiplies by weights in (0, 1), so the feature shrinks on its way in, and the gradient that reaches the middle is almost a thousand times smaller than with both. Norm and shortcut hold it.
#
# Then the full lines. RDFE's BatchNorms bring the local branch back to size 1 in every block, and this alone keeps the bare block alive: its gradients are as large as the default's. Which of the two learns faces better is a question for trainings with several seeds. Three short ones of a small network do not decide it: without both, two were better and one was worse. Without the norm alone, or the shortcut alone, all three were better, by 0.01 to 0.14 dB, which in PSNR is within chance, too ([notebook 11](11_ablations.ipynb)).
#
# So the evidence does not force us. We keep both because Restormer's block, against which Table II compares LGFI, has both; because they make the block safe without leaning on batch statistics; and because with `gate="features"` nothing else keeps the numbers finite ([notebook 05](05_skaf.ipynb)).
#
# ## Table I: what exactly was removed?
#
# > "The first model removes the SA, labeled 'LGFI w/o SA'. The second model removes RDFE, labeled as 'LGFI w/o RDFE'. The third model removes SKAF, labeled as 'LGFI w/o SKAF'." (Sec. IV-C1)
#
# "Removes" can mean several nets. The published parameter counts say which. We build each reading on the `meta` device: shapes without memory.

# %%
def built(**switches):
    with torch.device("meta"):
        return AMINet(replace(preset("aminet"), **switches))


def size(module):
    return sum(p.numel() for p in module.parameters())


full = built()
blocks = [module for module in full.modules() if isinstance(module, aminet.lgfi.LGFI)]
fusion = sum(size(b.skaf) + size(b.reduce) for b in blocks)
readings = [
    ("LGFI", "12.62M", "the full net", size(full)),
    ("w/o SA", "12.3M", "its branch passes u on", size(built(sa=False))),
    ("w/o SA", "12.3M", "and with it SKAF: one branch needs no choice", size(built(sa=False)) - fusion),
    ("w/o RDFE", "7.2M", "its branch passes u on", size(built(local="none"))),
    ("w/o SKAF", "8.21M", "y = x + a + r", size(built(skaf="edff"))),
    ("w/o SKAF", "8.21M", "the 1x1 before it stays", size(full) - sum(size(b.skaf) for b in blocks)),
    ("w/o SKAF", "8.21M", "also from the EDFFs", size(built(skaf="none"))),
]
for row, printed, reading, ours_ in readings:
    verdict = match(ours_, printed) or "no"
    print(f"{row:9s} published {printed:7s} {reading:46s} {ours_ / 1e6:7.3f} M  {verdict}")

# %% [markdown]
# `rounds`, `truncates` or `both` say how our number becomes the printed digits; `no` means that it cannot.
#
# - **w/o SA, w/o RDFE:** the removed branch passes $u$ on and SKAF stays. The other reading of "w/o SA" misses by 4 million.
# - **w/o SKAF:** the weights *and* the 1x1 go, in the LGFIs only. The EDFFs keep theirs.
# - **12.3 M is truncated.** SA has 248,718 parameters, so w/o SA has 12.375 M, which rounds to 12.4. With a dense SKAF that is taken out whole, rounding both this and 8.21 is not possible for any widths.
#
# Switch the branches off and the three nets exist:

# %%
small = torch.randn(1, 28, 32, 32)
config = preset("aminet/w/o SA")
without = LGFI(28, 1, 3, config).eval()
a, r = without.branches(small)
assert_close(a, without.norm(small))             # branch := u
print("w/o SA:  ", type(without.sa).__name__, "in place of SA; SKAF still chooses between u and RDFE(u)")

without = LGFI(28, 1, 3, preset("aminet/w/o SKAF")).eval()
a, r = without.branches(small)
assert_close(without(small), small + a + r)
print("w/o SKAF: y = x + a + r")

# %%
TABLE_I = {"LGFI": 27.83, "w/o SA": 27.75, "w/o SKAF": 27.74, "w/o RDFE": 27.51}  # PSNR in dB, Table I
chosen = {"LGFI": size(full), "w/o SA": size(built(sa=False)), "w/o SKAF": size(built(skaf="edff")),
          "w/o RDFE": size(built(local="none"))}
figure, axis = plt.subplots(figsize=(6, 2.7), layout="constrained")
for row, decibel in TABLE_I.items():
    axis.plot([chosen[row] / 1e6, chosen["LGFI"] / 1e6], [decibel, TABLE_I["LGFI"]], ":", color="C5", lw=1)
    axis.plot(chosen[row] / 1e6, decibel, "o", color="C1" if row == "LGFI" else "C0")
    place = dict(xytext=(6, 2), ha="left") if row == "LGFI" else dict(xytext=(-6, -12), ha="right")
    axis.annotate(row, (chosen[row] / 1e6, decibel), textcoords="offset points", fontsize=9, **place)
axis.set(title="Table I: what a removal saves and what it costs", xlabel="parameters of our reading (millions)",
         ylabel="PSNR (dB), Table I", xlim=(6, 13.5), ylim=(27.45, 27.88))
plt.show()
for row in ("w/o SA", "w/o SKAF", "w/o RDFE"):
    saved, lost = (chosen["LGFI"] - chosen[row]) / 1e6, TABLE_I["LGFI"] - TABLE_I[row]
    print(f"{row:9s} saves {saved:.2f} M and loses {lost:.2f} dB: {lost / saved:.2f} dB per million")

# %% [markdown]
# Per parameter, SA loses by far the most when it is removed: it is 2% of the net. But these are single trainings, and [notebook 11](11_ablations.ipynb) shows that 0.08 dB can be chance. SKAF and SA lose almost the same when removed, and one is eighteen times as large as the other. (27.83 dB is the level of the ablations. The full model of Tables VII and X, with 28.26 dB, was trained differently; do not compare across.)
#
# ## Table II: LGFI against the Transformer
#
# > "…we replace all LGFIs with Transformers and conduct comparative experiments with similar parameters between the two models." (Sec. IV-C2)
#
# The block it is compared with, after Restormer. Its feed-forward part widens every pixel to two halves of 2.66 C numbers, lets each look at its neighbours, and multiplies one half by the other as a gate.

# %%
class FeedForward(nn.Module):
    def __init__(self, channels: int, expansion: float = 2.66):
        super().__init__()
        hidden = int(channels * expansion)
        self.expand = nn.Conv2d(channels, 2 * hidden, 1, bias=False)
        self.depthwise = nn.Conv2d(2 * hidden, 2 * hidden, 3, padding=1, groups=2 * hidden, bias=False)
        self.project = nn.Conv2d(hidden, channels, 1, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        a, b = self.depthwise(self.expand(x)).chunk(2, dim=1)
        return self.project(F.gelu(a) * b)


class TransformerBlock(nn.Module):
    def __init__(self, channels: int, heads: int, scale: str = "temperature", expansion: float = 2.66):
        super().__init__()
        self.norm1, self.norm2 = LayerNorm(channels), LayerNorm(channels)
        self.sa = SelfAttention(channels, heads, scale)
        self.ffn = FeedForward(channels, expansion)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = x + self.sa(self.norm1(x))
        return x + self.ffn(self.norm2(x))

# %%
block, package = TransformerBlock(C, heads), aminet.transformer.TransformerBlock(C, heads)
package.load_state_dict(block.state_dict())
assert_close(block(x), package(x))
print("equal to the package's\n")
print("  C     one LGFI   one block   LGFI / block")
for width, heads_, depth_ in ((28, 1, 3), (56, 2, 3), (112, 4, 2)):
    one, other = size(LGFI(width, heads_, depth_)), size(TransformerBlock(width, heads_))
    print(f"{width:3d} {one:12,} {other:11,} {one / other:10.1f}")

# %% [markdown]
# An LGFI is as large as fourteen Transformer blocks. So one block per LGFI cannot give "similar parameters": each stage must hold many. Table II says 11.32 M. How many blocks are that, in seven stages (three encoders, one bottleneck, three decoders)?

# %%
numbers = [1, 5, 10, 14, 15, 16, 17, 18, 20]
totals = [size(built(block="transformer", blocks=n)) / 1e6 for n in numbers]
for n, total in zip(numbers, totals):
    note = "   <- Table II: 11.32M" if match(round(total * 1e6), "11.32M") else ""
    print(f"{n:2d} blocks per stage: {total:6.3f} M{note}")

# %%
figure, axis = plt.subplots(figsize=(5.6, 2.6), layout="constrained")
axis.plot(numbers, totals, ".-", label="our nets")
axis.axhline(11.32, color="C1", lw=1, label="Table II, Transformer: 11.32 M")
axis.axhline(12.62, color="C2", lw=1, ls="--", label="Table II, LGFI: 12.62 M")
axis.plot(15, totals[numbers.index(15)], "o", color="C1", ms=8)
axis.set(title="15 blocks in each of 7 stages", xlabel="Transformer blocks per stage", ylabel="parameters (millions)")
axis.legend(fontsize=8)
plt.show()

# %% [markdown]
# Fifteen, to the last printed digit, with Restormer's usual expansion of 2.66. The number of blocks is ours, since the paper gives none; that a whole number meets four digits speaks for the widths (28, 56, 112, 112), though it does not prove them. It also shows what "similar" means here: the Transformer net is 10% smaller, and 17 blocks would have come closer to 12.62 M.
#
# The bill of both, module by module. Those of SA, RDFE and SKAF are in the notebooks before this one.

# %%
from aminet.config import AMINET
from aminet.ledger import Bill, Cost, convolution, nest, rdfe, self_attention, skaf


def layer_norm(c: int) -> Cost:
    """2c: a scale and a shift per channel."""
    return Cost(2 * c)


def feed_forward(c: int, height: int, width: int, expansion: float = 2.66) -> Cost:
    """3cm + 18m with m = floor(expansion * c): 1x1 to 2m, depthwise 3x3, 1x1 back from m."""
    m = int(c * expansion)
    weights = 3 * c * m + 18 * m
    return Cost(weights, weights * height * width)


def fusion(c: int, height: int, width: int, config: AMINetConfig = AMINET) -> Bill:
    """The 1x1 from 2c to c and the SKAF behind it, the same two parts in an LGFI and in an EDFF."""
    return {"reduce": convolution(2 * c, c, 1, height, width),
            "skaf": skaf(c, height, width, config.kernels, config.pools, config.dilated)}


def transformer_block(c: int, height: int, width: int, heads: int, scale: str = "temperature") -> Bill:
    """Two norms, SA and the feed-forward with its usual expansion of 2.66."""
    return nest({"norm1": layer_norm(c), "sa": self_attention(c, height, width, heads, scale),
                 "norm2": layer_norm(c), "ffn": feed_forward(c, height, width)})

# %%
def lgfi(c: int, height: int, width: int, heads: int, depth: int, config: AMINetConfig = AMINET) -> Bill:
    """Norm, the two branches, 1x1 from 2c to c, SKAF: as far as the config keeps them."""
    parts: dict[str, Cost | Bill] = {}
    if config.norm:
        parts["norm"] = layer_norm(c)
    if config.sa:
        parts["sa"] = self_attention(c, height, width, heads, config.scale)
    if config.local == "rdfe":
        parts["local"] = rdfe(c, height, width, depth, config.paths, config.attention_unit, config.refine,
                              config.frm_norm)
    elif config.local == "ffn":
        parts["local"] = feed_forward(c, height, width, config.ffn_expansion)
    if config.skaf == "everywhere":
        parts |= fusion(c, height, width, config)
    return nest(parts)


for name, rows in (("LGFI", lgfi(28, 128, 128, 1, 3)), ("Transformer block", transformer_block(28, 128, 128, 1))):
    print(f"{name + ', 128 px':25s}{rows[''].params:8,d} parameters{rows[''].macs / 1e6:8.1f} M MACs")
    for part, cost in rows.items():
        if part and "." not in part:
            print(f"    {part:21s}{cost.params:8,d} parameters{cost.macs / 1e6:8.1f} M MACs")

# %% [markdown]
# ## What flows through a trained LGFI
#
# Now the `pocket` net (C = 8, trained by us on CelebA) on a portrait. In each of the eight LGFIs, $y$ is a sum of three terms: $x$, $a\,w_1$ and $r\,w_2$. How large is each?

# %%
net, header = load_weights("pocket")
stages = [*net.encoders, *net.bottleneck, *reversed(net.decoders)]


@torch.no_grad()
def terms(image):
    """For every LGFI: x, a, r, a * w1, r * w2, on the way of `image` through the trained net."""
    inputs = []
    hooks = [stage.register_forward_hook(lambda module, args, out: inputs.append(args[0])) for stage in stages]
    net(image)
    for hook in hooks:
        hook.remove()
    found = []
    for stage, x in zip(stages, inputs):
        a, r = stage.branches(x)
        w1, w2 = stage.skaf(stage.reduce(torch.cat([a, r], dim=1)))
        assert_close(stage(x), x + a * w1 + r * w2)
        found.append((x, a, r, a * w1, r * w2))
    return found


image = to_float(upsample(degrade(portraits()[FACE][None])))
parts = terms(image)

# %%
sizes = torch.tensor([[v.square().mean().sqrt() for v in (x, aw, rw)] for x, a, r, aw, rw in parts])  # (8, 3)
shares = 100 * sizes / sizes.sum(1, keepdim=True)
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
start = torch.zeros(8)
TERMS = {"x, the shortcut": "#d5dae1", "a w1, global (SA)": "C0", "r w2, local (RDFE)": "C1"}
for k, (name, colour) in enumerate(TERMS.items()):
    axis.bar(LABELS, shares[:, k], bottom=start, color=colour, label=name)
    start += shares[:, k]
axis.set(title="Who makes the output of an LGFI", ylabel="share of the RMS (%)", ylim=(0, 100))
axis.tick_params(axis="x", rotation=30)
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
axis.grid(False)
plt.show()
for label, (x_, a_, r_) in zip(LABELS, shares):
    print(f"{label:14s} x {x_:3.0f}%   global {a_:3.0f}%   local {r_:3.0f}%")

# %% [markdown]
# The grey part is what a net without a shortcut would have to rebuild in every block. Compare the blue and the orange part along the net: this is the balance that SKAF struck for this face. Where the blue part is thin, the block works almost as an RDFE with a shortcut. Size is not importance, though: Table I charges 0.08 dB for taking SA away, and a small term that is always right can steer.
#
# ## Heat maps: SA, RDFE, and both
#
# > "Specifically, SKAF effectively integrates the global contours captured by SA with the regional features extracted by RDEF. This integration enables the model to focus more on essential facial structures and components while reducing emphasis on less critical details, such as hair." (Sec. IV-C1; "RDEF" is RDFE)
#
# That is the paper's reading of its Fig. 5. Here is the same picture from our net: the mean absolute value over the channels of $a$, $r$ and $a\,w_1 + r\,w_2$, each with its own scale.

# %%
def heat(feature):
    return feature.abs().mean(dim=1)             # (B, C, H, W) -> (B, H, W)


rows = [[image[0]] + [heat(v)[0] for v in column]
        for column in ([a for x, a, r, aw, rw in parts], [r for x, a, r, aw, rw in parts],
                       [aw + rw for x, a, r, aw, rw in parts])]
figure = show(rows, titles=["input"] + [label.replace(" ", "\n", 1) for label in LABELS],
              labels=["a: SA", "r: RDFE", "fused"], height=1.1)
plt.show()

# %% [markdown]
# Does the fusion turn away from hair and towards the features of a face? A picture invites any answer; a mask gives one. Our synthetic faces come with a class for every pixel. For each region we take the mean heat, divided by the mean heat of the whole image: 1 is average.

# %%
people = [face for face in (render(random_params(seed)) for seed in range(6)) if (face.mask == 17).sum() > 800][:4]
mask = torch.stack([face.mask for face in people])                           # (B, 128, 128)
last = terms(to_float(upsample(degrade(torch.stack([face.image for face in people])))))[-1]
REGIONS = {"brows, eyes, nose, mouth": (2, 3, 4, 5, 10, 11, 12, 13), "skin": (1,), "hair": (17,), "background": (0,)}
x_, a, r, aw, rw = last
print(f"last decoder, {len(people)} synthetic faces      a: SA   r: RDFE   fused")
for region, classes in REGIONS.items():
    inside = torch.isin(mask, torch.tensor(classes))
    values = [heat(v)[inside].mean() / heat(v).mean() for v in (a, r, aw + rw)]
    print(f"{region:38s}", "   ".join(f"{v:6.2f}" for v in values))

# %%
show([[face.image for face in people], [torch.isin(face.mask, torch.tensor(REGIONS["hair"])).float()
      + 2 * torch.isin(face.mask, torch.tensor(REGIONS["brows, eyes, nose, mouth"])).float() for face in people],
      list(heat(aw + rw))], labels=["face", "hair, features", "fused heat"], height=1.15)
plt.show()

# %% [markdown]
# Read the table against the sentence above. If it held here, then in the row `hair` the last column would be below the two others, and in the first row above them. How far from 1 are the numbers at all? This is our small net, its last decoder, on faces of nobody; it neither proves nor refutes Fig. 5. But it is a number that you can recompute for any layer and your own faces: change `[-1]` above.
#
# ### Exercise 2: remove a branch
#
# *Level 1, 10 minutes.* Write `without_sa(block, x)`: the output of a full LGFI `block` if its SA branch passed $u$ on instead. Use `block.norm`, `block.local` and `block.fuse(a, r)`.

# %% tags=["exercise"]
def without_sa(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    ...  # your turn


passed = check("06.2", without_sa)

# %% tags=["solution"]
def without_sa(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    u = block.norm(x)
    return x + block.fuse(u, block.local(u))


passed = check("06.2", without_sa)

# %% [markdown]
# ### Exercise 3: blocks for a budget
#
# *Level 2, 10 minutes.* Write `blocks_for(budget, fixed, per_block)`: how many Transformer blocks in each stage bring a net closest to `budget` parameters? `fixed` is what lies outside the stages, and `per_block` lists the size of one block in each of the seven stages.

# %% tags=["exercise"]
def blocks_for(budget: int, fixed: int, per_block: list[int]) -> int:
    ...  # your turn


passed = check("06.3", blocks_for)

# %% tags=["solution"]
def blocks_for(budget: int, fixed: int, per_block: list[int]) -> int:
    return round((budget - fixed) / sum(per_block))


passed = check("06.3", blocks_for)

# %% [markdown]
# ### Exercise 4: shares
#
# *Level 1, 5 minutes.* Write `share(x, p, q)`: the share of the RMS, in percent, of each of three terms, as in the bars above. Return a tuple of three numbers.

# %% tags=["exercise"]
def share(x: torch.Tensor, p: torch.Tensor, q: torch.Tensor) -> tuple[float, float, float]:
    ...  # your turn


passed = check("06.4", share)

# %% tags=["solution"]
def share(x: torch.Tensor, p: torch.Tensor, q: torch.Tensor) -> tuple[float, float, float]:
    rms = [v.square().mean().sqrt().item() for v in (x, p, q)]
    return tuple(100 * v / sum(rms) for v in rms)


passed = check("06.4", share)

# %% [markdown]
# ## What to remember
#
# - LGFI is $y = x + \mathrm{SA}(u)\,w_1 + \mathrm{RDFE}(u)\,w_2$ with $u = \mathrm{LN}(x)$: two branches from one $u$, weighed by SKAF. LN and shortcut are not drawn; we keep both and say why.
# - Parameter counts decode ablations: a removed branch passes $u$ on, "w/o SKAF" is a plain sum, and the Transformer of Table II has 15 blocks in each of 7 stages.
# - What a figure suggests about branches can be measured: sizes of the terms, and heat inside masks.
#
# Next: [07 · EDFF](07_edff.ipynb) uses the same fusion where encoder and decoder meet.
