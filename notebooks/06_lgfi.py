# %% [markdown]
# # 06 · LGFI: global and local, side by side
#
# SA, RDFE and SKAF become one block, which AMINet uses eight times.
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/06_lgfi.ipynb) · previous: [05 · SKAF](05_skaf.ipynb) · next: [07 · EDFF](07_edff.ipynb)
#
# Before this: [03 · SA](03_sa.ipynb), [04 · RDFE](04_rdfe.ipynb) and [05 · SKAF](05_skaf.ipynb), the three parts of the block.
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
from torch.nn import functional as F
from torch.testing import assert_close

import aminet.lgfi
import aminet.transformer
from aminet import AMINetConfig, preset
from aminet.config import AMINET
from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import faces, random_params, render
from aminet.ledger import Bill, Cost, convolution, match, nest, rdfe, self_attention, skaf
from aminet.lgfi import LGFI
from aminet.model import AMINet
from aminet.rdfe import RDFE
from aminet.sa import SelfAttention
from aminet.skaf import SKAF
from aminet.training.weights import load_weights
from diagrams import draw
from exercises import check
from page import show, table

# %% [markdown]
# ## Two views of one feature
#
# To restore an eye, a network needs two views. A local view finds the edge of the lid. A global view compares the whole face: where is the other eye, and how does it look? SA gives the global view and RDFE the local one. LGFI computes both from the same feature and lets SKAF weigh them, pixel by pixel.
#
# > "As shown in Fig. 2, LGFI consists of Self-attention(SA), a Residual Depth Feature Extraction Module (RDFE), and a Selective Kernel Attention Fusion Module (SKAF), used for local and global feature fusion and interaction, respectively." (Sec. III-B)
#
# The alternative is the Transformer's block, which computes one view after the other. Dashed is what the paper's Fig. 2 does not show.

# %%
figure = draw("LGFI")
figure.set_label("LGFI: x passes a norm to u; SA makes a of u, RDFE makes r of u; SKAF reads both and gives the weights w1 "
                 "and w2; y is x plus a times w1 plus r times w2")
plt.show()
figure = draw("Transformer")
figure.set_label("A Transformer: h is x plus SA of the normed x; y is h plus FFN of the normed h")
plt.show()

# %% [markdown]
# > "As shown in Fig. 6, LGFI uses a dual-branch structure to represent the local and global features. In contrast, the traditional Transformer in Restormer [50] uses a serial structure to link local and global features." (Sec. IV-C2)
#
# The local part of the Transformer is its FFN, a *feed-forward network*. It sees what attention made of $x$. In LGFI, both branches see the same $u$, and a third module decides between them.
#
# AMINet has eight LGFIs. Its *encoder* halves the image three times, the *bottleneck* works on the smallest size, and the *decoder* doubles it again.

# %%
figure = draw("AMINet", "LGFI")
figure.set_label("AMINet is a U with eight LGFIs: three in the encoder at 128, 64 and 32 pixels, two at 16 pixels, and three "
                 "in the decoder at 32, 64 and 128 pixels")
plt.show()

# %% [markdown]
# Each LGFI returns the shape that it gets, $(B, C, H, W)$. So the same block fits all eight places, with another number of channels and another size of the image.
#
# ## Building it
#
# The first step is $u = \mathrm{LN}(x)$, one of the two things that Fig. 2 does not draw. *LayerNorm* brings the $C$ numbers of every pixel to mean 0 and variance 1, then scales and shifts each channel by learned numbers. We take it from Restormer, since the paper compares LGFI with Restormer's block.

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
# Now the block at the second level of AMINet, with C = 56 channels. (The real size is 64×64; 32×32 is enough to follow the shapes.)

# %%
C, heads, depth = 56, 2, 3
norm, sa, rdfe_branch = LayerNorm(C), SelfAttention(C, heads), RDFE(C, depth)
reduce, skaf_module = nn.Conv2d(2 * C, C, 1), SKAF(C)
x = 5 * torch.randn(1, C, 32, 32)

u = norm(x)                                     # not drawn in Fig. 2
a = sa(u)                                       # X_SA, global
r = rdfe_branch(u)                              # X_RD, local: from the same u
m = reduce(torch.cat([a, r], dim=1))            # concatenate, 1x1 from 2C to C
w1, w2 = skaf_module(m)                         # Eqs. 11-14
fused = a * w1 + r * w2                         # X_out of Fig. 2
y = x + fused                                   # the shortcut: not drawn in Fig. 2

steps = {"x": x, "u": u, "a": a, "r": r, "m": m, "w1": w1, "w2": w2, "fused": fused, "y": y}
table([[name, tuple(value.shape), value.square().mean().sqrt().item()] for name, value in steps.items()],
      ["step", "shape", "size (RMS)"])

# %% [markdown]
# The *RMS* is the root of the mean of the squares, our measure of size. The norm gives both branches an input of size 1. The *shortcut* ([residual](A_symbols_and_shapes.ipynb#Words)) adds the input $x$ to the output, so the block only has to compute a change of $x$.
#
# ### Exercise 1: write LGFI
#
# *Level 1, 10 minutes.* Now you have all parts. `self` is one LGFI of the network `pocket`. This network has both things that are not drawn, the norm and the shortcut:
#
# | what `self` has | what it does |
# |---|---|
# | `self.norm` | LayerNorm |
# | `self.sa` | SA, the global branch |
# | `self.local` | RDFE, the local branch |
# | `self.reduce` | 1×1 convolution, $2C \to C$ channels |
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
# The package's class is `aminet.lgfi.LGFI`. It cuts its forward in two, `branches` and `fuse`. `config` holds the switches of the [ablations](A_symbols_and_shapes.ipynb#Words), the networks with one part removed. A branch that is removed passes $u$ on (`nn.Identity`). Without SKAF, the branches are added.
#
# With all switches on, the class computes the steps from above.

# %%
ours = LGFI(C, heads, depth)
parts = {"norm": norm, "sa": sa, "local": rdfe_branch, "reduce": reduce, "skaf": skaf_module}
for name, module in parts.items():
    getattr(ours, name).load_state_dict(module.state_dict())
assert_close(ours(x), y)
print("the class equals the steps above")


def size(module):
    return sum(p.numel() for p in module.parameters())


table([[name, size(module)] for name, module in parts.items()] + [["LGFI", size(ours)]], ["part", "parameters, C = 56"])

# %% [markdown]
# ## What norm and shortcut do
#
# What do the two undrawn parts change, before any training? We send crops of faces through untrained networks, then the gradient of a loss back. At the output of each of the eight LGFIs we measure the size of both.
#
# One more switch matters here: `frm_norm`, the batch norms inside RDFE's refinement. A *batch norm* brings every channel to mean 0 and variance 1, over all pixels of all images of a batch.

# %%
def flow(keep, frm_norm):
    """RMS of the feature, and of the loss's gradient, at the output of each LGFI of an untrained network."""
    torch.manual_seed(0)
    config = replace(preset("pocket"), norm=keep, residual=keep, frm_norm=frm_norm, zero_tail=False)
    network, outputs = AMINet(config).train(), []
    for stage in [*network.encoders, *network.bottleneck, *network.decoders]:
        stage.register_forward_hook(lambda module, args, out: outputs.append(out))
    hr = faces(4, seed=1)
    image = to_float(upsample(degrade(hr)))[..., 32:96, 32:96]
    target = to_float(hr)[..., 32:96, 32:96]
    gradients = torch.autograd.grad((network(image) - target).square().mean(), outputs)
    return [value.detach().square().mean().sqrt().item() for value in [*outputs, *gradients]]


LABELS = ["encoder 128", "encoder 64", "encoder 32", "middle 16", "middle 16 (2)",
          "decoder 32", "decoder 64", "decoder 128"]
flows = {"both (default)": flow(True, "batch"), "neither (Fig. 2)": flow(False, "batch"),
         "both, no batch norm": flow(True, "none"), "neither, no batch norm": flow(False, "none")}

# %% tags=["plot"]
figure, axes = plt.subplots(1, 2, figsize=(9.6, 3.8), layout="constrained")
for name, values in flows.items():
    style = {"color": "C1" if "neither" in name else "C0", "linestyle": ":" if "no batch" in name else "-"}
    axes[0].semilogy(LABELS, values[:8], marker=".", label=name, **style)
    axes[1].semilogy(LABELS, values[8:], marker=".", **style)
for axis, title in zip(axes, ("Forward: size of the feature", "Backward: size of the gradient")):
    axis.set(title=title, ylabel="RMS")
    axis.tick_params(axis="x", rotation=60)
figure.legend(loc="outside lower center", ncols=4)
plt.show()

# %% [markdown]
# Read the dotted lines first, without batch norm. Each fusion multiplies by weights in (0, 1), so a network with neither norm nor shortcut fades. Its feature shrinks on the way in, and the gradient in the middle is almost a thousand times smaller than with both. Norm and shortcut prevent that.
#
# Then the full lines. RDFE's batch norms bring the local branch back to size 1 in every block. This alone keeps the gradients of the bare block as large as the default's. So norm and shortcut are not the only way to train this network. We keep both, for three reasons: Restormer's block has both; they make the block safe without batch statistics; and with `gate="features"` nothing else keeps the numbers finite ([notebook 05](05_skaf.ipynb)).
#
# <details><summary>What the paper leaves open</summary>
#
# - Fig. 2 shows $X$ entering both branches directly, and $X_{out} = X_{SA}\,w_1 + X_{RD}\,w_2$ leaving: no norm, no shortcut. The text mentions neither. The published counts cannot tell, since all LayerNorms together hold 1,232 of 12.62 million parameters. So both are switches, `norm` and `residual`.
# - Which version learns faces better is a question for trainings with several seeds. Our three short ones of a small network do not decide it. Without both, two were better and one was worse. Without the norm alone, or the shortcut alone, all three were better, by 0.01 to 0.14 dB. In PSNR that is within chance, too. In SSIM the network without the norm is better by both tests, but not after Holm's correction ([notebook 11](11_ablations.ipynb)).
#
# </details>
#
# ## Table I: what exactly was removed?
#
# > "The first model removes the SA, labeled 'LGFI w/o SA'. The second model removes RDFE, labeled as 'LGFI w/o RDFE'. The third model removes SKAF, labeled as 'LGFI w/o SKAF'." (Sec. IV-C1)
#
# "Removes" can mean several networks. The published parameter counts tell which. We build every interpretation on the `meta` device, which has shapes but no memory.

# %%
def built(**switches):
    with torch.device("meta"):
        return AMINet(replace(preset("aminet"), **switches))


full = built()
blocks = [module for module in full.modules() if isinstance(module, aminet.lgfi.LGFI)]
skafs = sum(size(block.skaf) for block in blocks)
reductions = sum(size(block.reduce) for block in blocks)
interpretations = [
    ("LGFI", "12.62M", "the full network", size(full)),
    ("w/o SA", "12.3M", "its branch passes u on", size(built(sa=False))),
    ("w/o SA", "12.3M", "and with it SKAF: one branch needs no choice", size(built(sa=False)) - skafs - reductions),
    ("w/o RDFE", "7.2M", "its branch passes u on", size(built(local="none"))),
    ("w/o SKAF", "8.21M", "y = x + a + r", size(built(skaf="edff"))),
    ("w/o SKAF", "8.21M", "the 1×1 before it stays", size(full) - skafs),
    ("w/o SKAF", "8.21M", "also from the EDFFs", size(built(skaf="none"))),
]
table([[row, printed, words, number / 1e6, match(number, printed) or "no"]
       for row, printed, words, number in interpretations],
      ["Table I", "published", "our interpretation", "parameters (M)", "match"], digits=3)

# %% [markdown]
# `rounds`, `truncates` or `both` say how our number becomes the printed digits; `no` means that it cannot.
#
# - **w/o SA, w/o RDFE:** the removed branch passes $u$ on, and SKAF stays. The other interpretation of "w/o SA" misses by 4 million.
# - **w/o SKAF:** SKAF *and* the 1×1 before it go, in the LGFIs only. The EDFFs keep theirs.
#
# The next cell switches the parts off, and compares what each removal saves and loses.
#
# <details><summary>What the paper leaves open</summary>
#
# 12.3 M is truncated. SA has 248,718 parameters, so the network without it has 12.375 M, which rounds to 12.4. With a dense SKAF that is taken out whole, rounding both this number and 8.21 is not possible for any widths.
#
# </details>

# %%
small = torch.randn(1, 28, 32, 32)
without = LGFI(28, 1, 3, preset("aminet/w/o SA")).eval()
a, r = without.branches(small)
assert_close(a, without.norm(small))             # the branch passes u on
print("w/o SA:  ", type(without.sa).__name__, "in place of SA; SKAF still chooses between u and RDFE(u)")

without = LGFI(28, 1, 3, preset("aminet/w/o SKAF")).eval()
a, r = without.branches(small)
assert_close(without(small), small + a + r)
print("w/o SKAF: y = x + a + r")

TABLE_I = {"LGFI": 27.83, "w/o SA": 27.75, "w/o SKAF": 27.74, "w/o RDFE": 27.51}  # PSNR in dB, Table I
sizes = {"LGFI": size(full), "w/o SA": size(built(sa=False)), "w/o SKAF": size(built(skaf="edff")),
         "w/o RDFE": size(built(local="none"))}
table([[row, psnr, TABLE_I["LGFI"] - psnr, (sizes["LGFI"] - sizes[row]) / 1e6] for row, psnr in TABLE_I.items()],
      ["Table I", "PSNR (dB)", "loses (dB)", "saves (M parameters)"])

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
for row, psnr in TABLE_I.items():
    x_, right = sizes[row] / 1e6, row == "LGFI"
    axis.plot([x_, sizes["LGFI"] / 1e6], [psnr, TABLE_I["LGFI"]], ":", color="C5", lw=1)
    axis.plot(x_, psnr, "o", color="C1" if right else "C0")
    axis.annotate(row, (x_, psnr), xytext=(7, 0) if right else (-7, -6), textcoords="offset points",
                  ha="left" if right else "right", va="center")
axis.set(title="Table I: what a removal saves, and what it loses", xlabel="parameters of our network (millions)",
         ylabel="PSNR (dB), Table I", xlim=(6, 13.5), ylim=(27.45, 27.88))
plt.show()

# %% [markdown]
# The sizes are exact: SKAF is eighteen times as large as SA. The decibels are not. The paper gives no spread over several trainings, and our short trainings spread by 0.04 dB: a difference of 0.08 dB may be chance ([notebook 11](11_ablations.ipynb)). So Table I does not show what SA is worth, nor that SA gives more per parameter than SKAF. Only RDFE's 0.32 dB is large.
#
# <details><summary>What our trainings say</summary>
#
# Three short trainings of a small network lost 0.05 ± 0.09 dB without SA, and 0.05 ± 0.08 dB without SKAF. Without RDFE they lost 0.41 ± 0.40 dB ([notebook 11](11_ablations.ipynb)). None of the three holds by both tests. A difference that is not shown is not a zero, either.
#
# 27.83 dB is the level of the ablations. The full model of Tables VII and X, with 28.26 dB, was trained differently. Do not compare across.
#
# </details>
#
# ## Table II: LGFI against the Transformer
#
# > "…we replace all LGFIs with Transformers and conduct comparative experiments with similar parameters between the two models." (Sec. IV-C2)
#
# Here is the Transformer's block, after Restormer. Its feed-forward part widens every pixel to two halves of 2.66 C numbers. Each number looks at its neighbours, and one half multiplies the other as a gate.

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
print("equal to the package's")
rows = []
for width, heads_, depth_ in ((28, 1, 3), (56, 2, 3), (112, 4, 2)):
    one, other = size(LGFI(width, heads_, depth_)), size(TransformerBlock(width, heads_))
    rows.append([width, one, other, one / other])
table(rows, ["C", "one LGFI", "one Transformer block", "LGFI / block"], digits=1)

# %% [markdown]
# An LGFI is as large as fourteen Transformer blocks. One block for one LGFI cannot give "similar parameters": each stage must hold many. Table II prints 11.32 M. How many blocks are that, in seven stages (three encoders, one bottleneck, three decoders)?

# %%
numbers = [1, 5, 10, 14, 15, 16, 17, 18, 20]
totals = [size(built(block="transformer", blocks=n)) / 1e6 for n in numbers]
table([[n, total, "11.32 M" if match(round(total * 1e6), "11.32M") else ""] for n, total in zip(numbers, totals)],
      ["blocks per stage", "parameters (M)", "Table II"], digits=3)

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
axis.plot(numbers, totals, ".-", label="our networks")
axis.axhline(11.32, color="C1", lw=1, label="Table II, Transformer: 11.32 M")
axis.axhline(12.62, color="C2", lw=1, ls="--", label="Table II, LGFI: 12.62 M")
axis.plot(15, totals[numbers.index(15)], "o", color="C1", ms=8)
axis.set(title="15 blocks in each of 7 stages", xlabel="Transformer blocks per stage", ylabel="parameters (millions)",
         xticks=range(0, 21, 5))
axis.legend(fontsize=9, loc="lower right")
plt.show()

# %% [markdown]
# Fifteen blocks meet all four printed digits, with Restormer's usual expansion of 2.66.
#
# <details><summary>What the paper leaves open</summary>
#
# - The paper does not give the number of blocks; fifteen is our finding. That a whole number meets four digits supports the widths (28, 56, 112, 112), but does not prove them.
# - "Similar" means here: the Transformer network is 10% smaller. 17 blocks would have come closer to 12.62 M.
#
# </details>
#
# ## The bill of both blocks
#
# A *MAC* is one multiplication with one addition. Here are the parameters and MACs of both blocks, part by part. Those of SA, RDFE and SKAF come from the notebooks before this one.

# %%
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


rows = []
for name, costs in (("LGFI", lgfi(28, 128, 128, 1, 3)), ("Transformer block", transformer_block(28, 128, 128, 1))):
    rows.append([name, "all", costs[""].params, costs[""].macs / 1e6])
    rows += [["", part, cost.params, cost.macs / 1e6] for part, cost in costs.items() if part and "." not in part]
table(rows, ["C = 28, 128×128", "part", "parameters", "MACs (M)"], digits=1)

# %% [markdown]
# ## What flows through a trained LGFI
#
# `pocket` is AMINet with C = 8, trained by us on CelebA. In each of its eight LGFIs, $y$ is a sum of three terms: $x$, $a\,w_1$ and $r\,w_2$. How large is each, on a portrait?

# %%
network, header = load_weights("pocket")
stages = [*network.encoders, *network.bottleneck, *reversed(network.decoders)]


@torch.no_grad()
def terms(image):
    """For every LGFI: x, a, r, a * w1, r * w2, on the way of `image` through the trained network."""
    inputs = []
    hooks = [stage.register_forward_hook(lambda module, args, out: inputs.append(args[0])) for stage in stages]
    network(image)
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
found = terms(image)
rows = []
for label, (x, _, _, weighed_a, weighed_r) in zip(LABELS, found):
    rms = torch.stack([term.square().mean().sqrt() for term in (x, weighed_a, weighed_r)])
    rows.append([label, *(100 * rms / rms.sum()).tolist()])
table(rows, ["LGFI", "x, shortcut (%)", "a w1, global: SA (%)", "r w2, local: RDFE (%)"], digits=0)

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(8.5, 3.2), layout="constrained")
start = torch.zeros(8)
for k, (name, colour) in enumerate({"x, the shortcut": "#d5dae1", "a w1, global (SA)": "C0",
                                    "r w2, local (RDFE)": "C1"}.items(), start=1):
    share = torch.tensor([row[k] for row in rows])
    axis.bar(LABELS, share, bottom=start, color=colour, label=name)
    start += share
axis.set(title="What makes the output of an LGFI", ylabel="share of the RMS (%)", ylim=(0, 100))
axis.tick_params(axis="x", rotation=30)
axis.legend(loc="upper left", bbox_to_anchor=(1, 1))
axis.grid(False)
plt.show()

# %% [markdown]
# The grey part is what a block without a shortcut would have to compute again. The blue and the orange part are the balance that SKAF chose for this face. With `FACE = "hopper"` the global term has 4 to 8% in seven blocks, and 22% in the last.
#
# A small term is not an unimportant one. [Notebook 11](11_ablations.ipynb) cuts SA out of this finished network: the two portraits lose 1.1 and 2.3 dB. That shows how far the other parts rely on SA after training with it. It does not show what SA is worth to a network that is trained without it; the 0.08 dB of Table I may be chance.
#
# ## Heat maps: SA, RDFE, and both
#
# > "Specifically, SKAF effectively integrates the global contours captured by SA with the regional features extracted by RDEF. This integration enables the model to focus more on essential facial structures and components while reducing emphasis on less critical details, such as hair." (Sec. IV-C1; "RDEF" is RDFE)
#
# This is the paper's interpretation of its Fig. 5. Here is the same picture from our network: the mean absolute value over the channels of $a$, $r$ and $a\,w_1 + r\,w_2$. Each map has its own scale, from dark to bright.

# %%
def heat(feature):
    return feature.abs().mean(dim=1)             # (B, C, H, W) -> (B, H, W)


maps_a = [heat(a)[0] for x, a, r, weighed_a, weighed_r in found]
maps_r = [heat(r)[0] for x, a, r, weighed_a, weighed_r in found]
maps_fused = [heat(weighed_a + weighed_r)[0] for x, a, r, weighed_a, weighed_r in found]
for half in (slice(0, 4), slice(4, 8)):
    figure = show([maps_a[half], maps_r[half], maps_fused[half]], titles=LABELS[half],
                  labels=["a: SA", "r: RDFE", "fused"])
    figure.set_label(f"Heat maps of SA, of RDFE and of their fusion in the LGFIs {', '.join(LABELS[half])}")
    plt.show()

# %% [markdown]
# Does the fusion turn away from hair, and towards the features of a face? A picture alone does not answer that; a mask does. Our synthetic faces come with a class for every pixel. For each region we take the mean heat, divided by the mean heat of the whole image: 1 is average.

# %%
people = []
for seed in range(6):
    person = render(random_params(seed))
    if (person.mask == 17).sum() > 800 and len(people) < 4:                  # 17 is hair
        people.append(person)
mask = torch.stack([person.mask for person in people])                       # (B, 128, 128)
pictures = torch.stack([person.image for person in people])
REGIONS = {"brows, eyes, nose, mouth": (2, 3, 4, 5, 10, 11, 12, 13), "skin": (1,), "hair": (17,), "background": (0,)}
x, a, r, weighed_a, weighed_r = terms(to_float(upsample(degrade(pictures))))[-1]   # the last decoder
heats = [heat(a), heat(r), heat(weighed_a + weighed_r)]
rows = []
for region, classes in REGIONS.items():
    inside = torch.isin(mask, torch.tensor(classes))
    rows.append([region, *[(one[inside].mean() / one.mean()).item() for one in heats]])
table(rows, [f"last decoder, {len(people)} faces", "a: SA", "r: RDFE", "fused"])

# %% tags=["plot"]
hair = torch.isin(mask, torch.tensor(REGIONS["hair"])).float()
features = torch.isin(mask, torch.tensor(REGIONS["brows, eyes, nose, mouth"])).float()
figure = show([list(pictures), list(hair + 2 * features), list(heats[2])],
              labels=["face", "hair, features", "fused heat"])
figure.set_label("Four synthetic faces, their masks of hair and of features, and the fused heat of the last decoder")
plt.show()

# %% [markdown]
# Half of the sentence holds here. On brows, eyes, nose and mouth the fused heat is 1.12, above SA's 0.98 and RDFE's 1.01. On hair it is 1.06, above 0.91 and 0.96: this fusion does not turn away from hair. All numbers are near 1.
#
# This is our small network and its last decoder, on synthetic faces, so it neither proves nor refutes Fig. 5. But you can compute it again for any layer and for your own faces: change `[-1]` above.
#
# ### Exercise 2: remove a branch
#
# *Level 1, 10 minutes.* Write `without_sa(block, x)`: the output of a full LGFI `block` if its SA branch passed $u$ on instead. Use `block.norm`, `block.local` and `block.fuse(a, r)`.

# %% tags=["exercise"]
def without_sa(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """An LGFI whose global branch passes u on. (B, C, H, W) -> (B, C, H, W)."""
    ...  # your turn


passed = check("06.2", without_sa)

# %% tags=["solution"]
def without_sa(block: nn.Module, x: torch.Tensor) -> torch.Tensor:
    """An LGFI whose global branch passes u on. (B, C, H, W) -> (B, C, H, W)."""
    u = block.norm(x)
    return x + block.fuse(u, block.local(u))


passed = check("06.2", without_sa)

# %% [markdown]
# ### Exercise 3: blocks for a budget
#
# *Level 2, 10 minutes.* Write `blocks_for(budget, fixed, per_block)`: how many Transformer blocks in each stage bring a network closest to `budget` parameters? `fixed` is what lies outside the stages, and `per_block` lists the size of one block in each of the seven stages.

# %% tags=["exercise"]
def blocks_for(budget: int, fixed: int, per_block: list[int]) -> int:
    """How many blocks in each stage come closest to a budget of parameters."""
    ...  # your turn


passed = check("06.3", blocks_for)

# %% tags=["solution"]
def blocks_for(budget: int, fixed: int, per_block: list[int]) -> int:
    """How many blocks in each stage come closest to a budget of parameters."""
    return round((budget - fixed) / sum(per_block))


passed = check("06.3", blocks_for)

# %% [markdown]
# ### Exercise 4: shares
#
# *Level 1, 5 minutes.* Write `share(x, p, q)`: the share of the RMS, in percent, of each of three terms, as in the bars above. Return a tuple of three numbers.

# %% tags=["exercise"]
def share(x: torch.Tensor, p: torch.Tensor, q: torch.Tensor) -> tuple[float, float, float]:
    """The shares of three terms in the sum of their RMS, in percent."""
    ...  # your turn


passed = check("06.4", share)

# %% tags=["solution"]
def share(x: torch.Tensor, p: torch.Tensor, q: torch.Tensor) -> tuple[float, float, float]:
    """The shares of three terms in the sum of their RMS, in percent."""
    rms = [v.square().mean().sqrt().item() for v in (x, p, q)]
    return tuple(100 * v / sum(rms) for v in rms)


passed = check("06.4", share)

# %% [markdown]
# ## What to remember
#
# - LGFI is $y = x + \mathrm{SA}(u)\,w_1 + \mathrm{RDFE}(u)\,w_2$ with $u = \mathrm{LN}(x)$: two branches from one $u$, weighed by SKAF. Fig. 2 draws neither the norm nor the shortcut; we keep both.
# - Parameter counts decode ablations: a removed branch passes $u$ on, "w/o SKAF" is a plain sum, and the Transformer of Table II has 15 blocks in each of 7 stages. They do not say whether 0.08 dB is more than chance.
# - You can measure what a figure suggests: the sizes of the terms, and the heat inside masks.
#
# To read on: J. Ba et al., [Layer Normalization](https://arxiv.org/abs/1607.06450) (2016); G. Gao et al., [CTCNet](https://arxiv.org/abs/2204.08696) (2023), which puts convolutions and Transformers one after the other.
#
# Next: [07 · EDFF](07_edff.ipynb) uses the same fusion where encoder and decoder meet.
