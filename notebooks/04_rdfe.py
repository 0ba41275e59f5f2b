# %% [markdown]
# # 04 · RDFE: three windows on a face
#
# The local branch of AMINet looks through a small, a medium and a large window at once, and decides place by
# place what to keep.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/04_rdfe.ipynb) · previous: [03 SA](03_sa.ipynb) · next: [05 SKAF](05_skaf.ipynb)
#
# You will be able to
# - **correct** Eqs. 8 and 9 by their shapes;
# - **write** RDFE and two of its parts, put them into a trained network, and restore a face with them;
# - **measure** the receptive field of any module by its gradient;
# - **weigh** each part of RDFE: its parameters, its multiply-adds, and the decibels that Table IV gives it.

# %% tags=["parameters"]
FACE = "collins"  # the portrait in the pictures: hopper or collins
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

# %% [markdown]
# ## What the paper asks for
#
# > "Specifically, for the input feature $X \in \mathbb{R}^{C\times H\times W}$, we use depthwise convolutions
# > of 3×3, 5×5, and 7×7 to parallelly extract three scales facial features, which depthwise convolution can
# > reduce the computational complexity of the model, while convolution with different kernel sizes can
# > effectively extracting rich face details." (Sec. III-B2)
#
# $$f_1, f_2, f_3 = F_{dw3}(X),\; F_{dw5}(X),\; F_{dw7}(X) \qquad (6)$$
#
# A face has structure at several sizes: an eyelid is thin, an iris is round, a cheek is wide. The whole
# module, as Fig. 3a draws it, in six steps:
#
# 1. three depthwise convolutions side by side (Eq. 6);
# 2. the **attention unit** makes one map from all three and multiplies each by it (Eqs. 7-8);
# 3. a second round of depthwise 3×3, 5×5, 7×7, each with a ReLU;
# 4. a 1×1 convolution merges the three, and $X$ is added (Eq. 9);
# 5. two 3×3 convolutions with normalisation: the start of the **feature refinement module**, FRM;
# 6. an **hourglass** draws one map over the face and multiplies by it; a shortcut closes the FRM (Eq. 10).
#
# We take the input from a trained network: `pocket`, the small AMINet ($C = 8$) of the course.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from aminet import rdfe as package
from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.rdfe import RDFE, AttentionUnit, Hourglass
from aminet.training.weights import load_weights
from exercises import check

hr = portraits()[FACE][None]
image = to_float(upsample(degrade(hr)))  # (1, 3, 128, 128) in [-1, 1]
model, header = load_weights("pocket")
parts, inputs = dict(model.named_modules()), {}
for name, module in parts.items():  # keep what enters each RDFE and each hourglass
    if name.endswith((".local", ".hourglass")):
        module.register_forward_pre_hook(lambda module, args, name=name: inputs.update({name: args[0]}))
with torch.no_grad():
    restored = model(image)

trained = parts["encoders.0.local"]  # the first RDFE, at 128x128
X = inputs["encoders.0.local"]
C = X.shape[1]
print("X:", tuple(X.shape))

# %% [markdown]
# ## Depthwise: one kernel per channel
#
# A dense $k \times k$ convolution has a kernel for every pair of an input and an output channel, $C^2k^2$
# weights. A depthwise one has one kernel per channel, $Ck^2$ weights: $C$ times fewer, and $C$ times fewer
# multiply-adds (MACs), since each weight is used once per pixel. It does not mix channels. The 1×1 of step 4
# does that, for $3C^2$. The paper calls the pair "depthwise separable". Here are the numbers at the paper's
# size ($C = 28$, 128×128). After them come the first lines of `aminet/rdfe.py`: the normalisation
# (a switch, see below) and this convolution.

# %%
c, pixels = 28, 128 * 128
print(f"{'kernel':8s}{'dense weights':>15s}{'depthwise':>11s}{'dense MACs':>14s}{'depthwise':>12s}")
for k in (3, 5, 7):
    dense, thin = c * c * k * k, c * k * k
    print(f"{k}×{k}     {dense:15,d}{thin:11,d}{dense * pixels / 1e6:12.1f} M{thin * pixels / 1e6:10.1f} M")
dense, thin = c * c * 83, c * 83  # 9 + 25 + 49 = 83
print(f"all three{dense:14,d}{thin:11,d}{dense * pixels / 1e6:12.1f} M{thin * pixels / 1e6:10.1f} M")

conv = package.depthwise(C, 5)
with torch.no_grad():
    one_by_one = [F.conv2d(X[:, i:i + 1], conv.weight[i:i + 1], padding=2) for i in range(C)]
    torch.testing.assert_close(conv(X), torch.cat(one_by_one, dim=1))
print("depthwise = a loop over the channels: True")

# %%
def norm(kind: str, channels: int) -> nn.Module:
    return {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "none": nn.Identity}[kind](channels)


def depthwise(channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

# %% [markdown]
# Eq. 6 on the portrait, with the trained kernels. The same channel through the three windows:

# %%
with torch.no_grad():
    f = [conv(X) for conv in trained.first]  # Eq. 6: three times (1, C, H, W)
print([tuple(t.shape) for t in f])
strongest = torch.stack(f).std((1, 3, 4)).sum(0).topk(2).indices.tolist()  # the channels with most contrast
figure = show([[X[0, i]] + [t[0, i] for t in f] for i in strongest], height=1.05,
              titles=["X", "$f_1$: 3×3", "$f_2$: 5×5", "$f_3$: 7×7"],
              labels=[f"channel {i}" for i in strongest])

# %% [markdown]
# ## Eqs. 7-8: one map for the three
#
# > "However, relying solely on convolutions may lead to insufficient feature fusion across scales […] To
# > address this issue, we use an attention unit $F_{au}$ to calculate the feature weight of the fusion
# > feature of three branches. Next, we use the calculated weights to modulate the three-branch features at
# > different scales through element-wise multiplications." (Sec. III-B2)
#
# $$f' = F_{au}(H_{cat}(f_1, f_2, f_3)) \quad (7) \qquad
# f_1', f_2', f_3' = f_1(X)\cdot f',\; f_2(X)\cdot f',\; f_3(X)\cdot f' \quad (8)$$
#
# Eq. 8 writes $f_i(X)$, but Eq. 6 has defined $f_i$ as a tensor, not a function. It must mean $f_i \cdot f'$.
# Fig. 3a shows what $F_{au}$ is: concat, 1×1 ($3C \to C$), sigmoid.
#
# Note what the unit does not do. The three branches share **one** $f'$, so it cannot prefer the 3×3 to the
# 7×7 at some place. It says where and in which channel there is something worth keeping, at all scales
# together.

# %%
with torch.no_grad():
    f_map = trained.attention_unit(f)          # (1, C, H, W)   Eq. 7
    f_prime = [t * f_map for t in f]           # three times (1, C, H, W)   Eq. 8
print("f'  :", tuple(f_map.shape), " values in (0, 1):", bool((f_map > 0).all() and (f_map < 1).all()))

figure, axes = plt.subplots(1, 5, figsize=(6.6, 1.5), layout="constrained")
axes[0].imshow(hr[0].permute(1, 2, 0))
axes[0].set_title("the face", fontsize=9)
wide = f_map[0].std((1, 2)).topk(3).indices.tolist()  # the channels whose map varies most
for axis, i in zip(axes[1:], ["mean"] + wide):
    drawn = axis.imshow(f_map[0].mean(0) if i == "mean" else f_map[0, i], vmin=0, vmax=1)
    axis.set_title("mean of channels" if i == "mean" else f"channel {i}", fontsize=9)
for axis in axes:
    axis.set_axis_off()
figure.colorbar(drawn, ax=axes, label="weight $f'$")
plt.show()

# %% [markdown]
# ### Exercise 1: write the attention unit
#
# *Level 1, 5 minutes.* `self` is one attention unit of a network, for features of $C$ channels:
#
# | what `self` has | what it does |
# |---|---|
# | `self.mix` | 1×1 convolution with bias, $3C \to C$ channels |
#
# Write its `forward`. It takes a list, $f_1, f_2, f_3$, each $(B, C, H, W)$. It returns $f'$, one tensor
# $(B, C, H, W)$. The check puts your forward into all eight RDFEs of the trained network `pocket`. It compares
# every value, and shows the faces that come out.

# %% tags=["exercise"]
def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
    """Eq. 7. List of n tensors (B, C, H, W) -> (B, C, H, W) in (0, 1)."""
    ...  # your turn


passed = check("04.1", forward)

# %% tags=["solution"]
class AttentionUnit(nn.Module):
    """F_au of Eq. 7. List of n tensors (B, C, H, W) -> (B, C, H, W) in (0, 1)."""

    def __init__(self, channels: int, branches: int = 3):
        super().__init__()
        self.mix = nn.Conv2d(branches * channels, channels, 1)

    def forward(self, features: list[torch.Tensor]) -> torch.Tensor:
        return self.mix(torch.cat(features, dim=1)).sigmoid()


passed = check("04.1", AttentionUnit.forward)

# %% [markdown]
# ## Eq. 9: which comes first?
#
# > "To further refine and reconstruct the weighted fused facial features, we apply depthwise convolutions
# > with kernel sizes of 3×3, 5×5, and 7×7, ensuring the joint optimization of local texture details and
# > global structural consistency." (Sec. III-B2)
#
# $$f'' = H_{cat}(F_{conv1}(f_1', f_2', f_3')) + X \qquad (9)$$
#
# As printed: first the 1×1 convolution, then the concat, then add $X$. The second round of depthwise
# convolutions is in the text and in Fig. 3a, but in no equation. Let the shapes decide.

# %%
with torch.no_grad():
    second = [F.relu(conv(t)) for conv, t in zip(trained.second, f_prime)]  # second round: three (1, C, H, W)
    each = nn.Conv2d(C, C, 1)
    printed = torch.cat([each(t) for t in second], dim=1)                   # H_cat(F_conv1(.)): (1, 3C, H, W)
    meant = trained.fuse(torch.cat(second, dim=1))                          # F_conv1(H_cat(.)): (1, C, H, W)
for order, tensor in (("as printed, concat last ", printed), ("as drawn, concat first  ", meant)):
    print(f"{order} {str(tuple(tensor.shape)):18s} + X {tuple(X.shape)}: ", end="")
    try:
        print("gives", tuple((tensor + X).shape))
    except RuntimeError:
        print("cannot be added")
f2 = meant + X  # Eq. 9 as it must be

# %% [markdown]
# ## The receptive field, measured
#
# The receptive field of an output pixel is the set of input pixels that can change it. There is a direct way
# to see it: take one pixel of the output, ask for its gradient with respect to the input, and look where it
# is not zero. Before you run the next cell, guess: what does the 3×3 branch see after its second 3×3?

# %%
def seen(function, x: torch.Tensor) -> torch.Tensor:
    """|gradient| of the centre pixel of function(x) by x, summed over channels. (B, C, H, W) -> (H, W)."""
    x = x.double().clone().requires_grad_()
    y = function(x)
    centre = y[..., y.shape[-2] // 2, y.shape[-1] // 2]
    (gradient,) = torch.autograd.grad(centre.pow(2).sum(), x)
    return gradient.abs().sum((0, 1))

def extent(gradient: torch.Tensor) -> int:
    """Side of the square outside which the gradient is zero."""
    return int((gradient > 0).any(0).sum())

net = load_weights("pocket")[0].double().encoders[0].local  # float64: small gradients do not vanish

def branch(i: int, unit: bool = True):
    """The i-th branch after its second convolution, with or without the attention unit."""
    def run(x):
        f = [conv(x) for conv in net.first]
        weight = net.attention_unit(f) if unit else 1
        return F.relu(net.second[i](f[i] * weight))
    return run

def fused(x):
    return net.fuse(torch.cat([branch(i)(x) for i in range(3)], dim=1)) + x

# %%
stages = {f"first {k}×{k}": net.first[i] for i, k in enumerate((3, 5, 7))}
stages |= {f"second {k}×{k}, no unit": branch(i, unit=False) for i, k in enumerate((3, 5, 7))}
stages |= {f"second {k}×{k}": branch(i) for i, k in enumerate((3, 5, 7))}
stages |= {"Eq. 9": fused, "3×3s of the FRM": lambda x: net.refine.body(fused(x)), "RDFE, hourglass in": net}
fields = {name: seen(stage, X) for name, stage in stages.items()}

figure, axes = plt.subplots(3, 3, figsize=(6, 5.9), layout="constrained")
order = [name for first in ("first", "second") for name in fields if name.startswith(first)]
for row, names, r in zip(axes, (order[:3], order[6:], list(fields)[9:]), (8, 8, 33)):  # r: half of the area
    for axis, name in zip(row, names):
        gradient = fields[name][64 - r:65 + r, 64 - r:65 + r]
        shown = (gradient / gradient.max()).log10()
        drawn = axis.imshow(shown, vmin=-6, vmax=0, extent=(-r - 0.5, r + 0.5, r + 0.5, -r - 0.5))
        axis.set(title=f"{name}\nsees {extent(fields[name])}×{extent(fields[name])}", facecolor="0.85",
                 xticks=[-r, 0, r], yticks=[-r, 0, r])
        axis.grid(False)
figure.colorbar(drawn, ax=axes, label="log10 of |gradient|; grey: none", shrink=0.6)
figure.supxlabel("pixels from the centre (the last row shows a larger area)", fontsize=10)
plt.show()
for k in (3, 5, 7):
    print(f"{k}×{k} twice: {extent(fields[f'second {k}×{k}, no unit'])} without the unit,"
          f" {extent(fields[f'second {k}×{k}'])} with it")

# %% [markdown]
# Two convolutions of size $k$ see $2k - 1$: 5, 9, 13. That is the textbook answer, and it holds without the
# attention unit. With the unit the 3×3 branch sees 9: its values are multiplied by $f'$, and $f'$ has looked
# through the 7×7. **The attention unit widens the small branches.** It is the only exchange between the
# scales before the 1×1.
#
# The colours tell a second story. The field is 63 wide on paper, but most of the weight sits in the middle.
# The far part comes through the hourglass, which can only scale what is there.
#
# The same on a face: the windows of the two stages around one eye. (The unit is left out here, so $n$
# convolutions of size $k$ see $n(k-1)+1$.)

# %%
def explore(kernel: int = 7, layers: int = 2) -> None:
    """The receptive fields of 3, 5 and `kernel` after one to `layers` convolutions, around one eye."""
    figure, axes = plt.subplots(1, 2, figsize=(4.4, 2.5), layout="constrained")
    for axis, picture, title in zip(axes, (hr[0], (image[0] + 1) / 2), ("the face", "what the network gets")):
        axis.imshow(picture.permute(1, 2, 0).clamp(0, 1 if picture.is_floating_point() else 255))
        for k, color in ((3, "#ffffff"), (5, "#63e6be"), (kernel, "#ffd43b")):
            for n in range(1, layers + 1):
                side = n * (k - 1) + 1
                axis.add_patch(plt.Rectangle((45 - side / 2, 52 - side / 2), side, side, fill=False, ec=color,
                                             lw=1.5, ls="-" if n == 1 else "--"))
        half = max(20, side / 2 + 2)
        axis.set(title=title, xlim=(45 - half, 45 + half), ylim=(52 + half, 52 - half))
        axis.set_axis_off()
    figure.suptitle(f"white 3×3, green 5×5, yellow {kernel}×{kernel}; dashed: after {layers}", fontsize=10)
    plt.show()

explore()
if WIDGETS:
    from ipywidgets import interact
    interact(explore, kernel=(3, 31, 2), layers=(1, 6))

# %% [markdown]
# An LR pixel is 8 pixels wide at this resolution. At 128×128 even the widest window, 13 pixels, sees less
# than two LR pixels. To see a whole eye the network needs the lower levels of the U, where the same kernels
# cover 2, 4 or 8 times as many pixels.
#
# ## Eq. 10: feature refinement and the hourglass
#
# > "we begin by applying normalization and multiple 3×3 convolutional layers to refine the local facial
# > context. Afterward, the hourglass block further integrates multiscale information to capture global and
# > local relationships" (Sec. III-B2)
#
# $$f''' = F_{frm}(f'') \qquad (10)$$
#
# Left open: which normalisation, how many 3×3, how deep the hourglass, and what it does. Fig. 3a draws norm,
# ReLU, 3×3, 3×3, hourglass and a shortcut. This is the face attention unit of SPARNet, so we build it as
# SPARNet does: a normalisation and a PReLU before each 3×3, a third normalisation behind the second 3×3, and as
# the hourglass a small U-net whose output is one map in (0, 1). The map multiplies the feature. The depth is 3, 3, 2, 2 at 128, 64, 32, 16 pixels.
# With that the published parameter count is met (notebook 08).
#
# ### Exercise 2: write the hourglass
#
# *Level 3, 25 minutes.* `self` is one hourglass for a feature of $C$ channels. It halves the picture $d$ times: level
# $i$, from 0 to $d - 1$, has the side $H/2^i$. A *block* is a 3×3, a normalisation and a PReLU, from $C$ to $C$ channels.
#
# | what `self` has | what it does |
# |---|---|
# | `self.skip` | $d$ blocks; number $i$ takes the feature of level $i$ to the side, at the same size |
# | `self.down` | $d$ blocks with stride 2; number $i$ goes from level $i$ to the next size |
# | `self.middle` | one block, at the smallest size, $H/2^d$ |
# | `self.up` | $d$ blocks; number $i$ works at the size of level $i$ on what comes from below |
# | `self.to_map` | 3×3 convolution, $C \to 1$ channel, before the sigmoid |
#
# On the way up each pixel is repeated: `F.interpolate(low, scale_factor=2, mode="nearest")`. At each level
# what comes from below and what came from the side are added.
#
# Write its `forward`: `x` is $(B, C, H, W)$, and so is what it returns. The map has one channel. The module also has
# a method `attention` that goes this way; leave it aside. The check puts your forward into the eight hourglasses of
# `pocket`.

# %% tags=["exercise"]
def forward(self, x: torch.Tensor) -> torch.Tensor:
    """One map in (0, 1) times the input. (B, C, H, W) -> (B, C, H, W)."""
    ...  # your turn


passed = check("04.2", forward)

# %% tags=["solution"]
class Hourglass(nn.Module):
    """One map in (0, 1) times the input; `depth` halvings. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, depth: int, norm_kind: str = "batch"):
        super().__init__()

        def conv(stride: int = 1) -> nn.Sequential:
            return nn.Sequential(
                nn.Conv2d(channels, channels, 3, stride, padding=1, bias=False),
                norm(norm_kind, channels),
                nn.PReLU(channels),
            )

        self.skip = nn.ModuleList(conv() for _ in range(depth))
        self.down = nn.ModuleList(conv(stride=2) for _ in range(depth))
        self.middle = conv()
        self.up = nn.ModuleList(conv() for _ in range(depth))
        self.to_map = nn.Conv2d(channels, 1, 3, padding=1)

    def attention(self, x: torch.Tensor) -> torch.Tensor:
        """The map (B, 1, H, W)."""
        skips, low = [], x
        for skip, down in zip(self.skip, self.down):
            skips.append(skip(low))
            low = down(low)
        low = self.middle(low)
        for skip, up in zip(reversed(skips), reversed(self.up)):
            low = skip + up(F.interpolate(low, scale_factor=2, mode="nearest"))
        return self.to_map(low).sigmoid()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x * self.attention(x)


passed = check("04.2", Hourglass.forward)

# %% [markdown]
# The refinement puts the two 3×3 before the hourglass, and a shortcut around both:

# %%
class FeatureRefinement(nn.Module):
    """F_frm of Eq. 10: two 3x3, then the hourglass, around a shortcut. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, depth: int = 2, norm_kind: str = "batch"):
        super().__init__()
        self.body = nn.Sequential(
            norm(norm_kind, channels),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(norm_kind, channels),
            nn.PReLU(channels),
            nn.Conv2d(channels, channels, 3, padding=1, bias=False),
            norm(norm_kind, channels),
        )
        self.hourglass = Hourglass(channels, depth, norm_kind)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x + self.hourglass(self.body(x))

# %% [markdown]
# Where does a trained hourglass look? The eight maps of `pocket` on the portrait, in the order in which the
# network draws them. The number is the side in pixels.

# %%
way = {"encoders.0": "down", "encoders.1": "down", "encoders.2": "down", "bottleneck.0": "bottom, first",
       "bottleneck.1": "bottom, second", "decoders.2": "up", "decoders.1": "up", "decoders.0": "up"}
figure, axes = plt.subplots(2, 5, figsize=(6.4, 2.7), layout="constrained")
output = (restored[0] + 1) / 2
for axis, picture, title in ((axes[0, 0], hr[0] / 255, "the face"), (axes[1, 4], output, "the output")):
    axis.imshow(picture.clamp(0, 1).permute(1, 2, 0))
    axis.set_title(title, fontsize=9)
for axis, (place, title) in zip([*axes[0, 1:], *axes[1, :4]], way.items()):
    name = f"{place}.local.refine.hourglass"
    with torch.no_grad():
        drawn = axis.imshow(parts[name].attention(inputs[name])[0, 0], vmin=0, vmax=1)
    axis.set_title(f"{title}, {inputs[name].shape[-1]}", fontsize=9)
for axis in axes.flat:
    axis.set_axis_off()
figure.colorbar(drawn, ax=axes, label="hourglass map")
plt.show()

# %% [markdown]
# Bright is kept, dark is suppressed. On the way up the map at 64 pixels follows the contours of the face, and the
# one at 128 does in part. On the way down the large maps are a weave of stripes, without contours. Those of the
# small levels are coarse patches: a feature of 16×16 has no contours to follow. Stripes and chessboards come from
# the enlargement by repetition inside the hourglass: a 3×3 on repeated pixels meets other pairs at even places
# than at odd ones. A map is one number per pixel, the same for all channels: the opposite of SA, whose numbers
# belong to channels and are the same at all pixels.
#
# ## The whole module
#
# ### Exercise 3: write RDFE
#
# *Level 2, 15 minutes.* Now you have all parts. `self` is one RDFE of a network, for a feature of $C$ channels:
#
# | what `self` has | what it does |
# |---|---|
# | `self.first` | three depthwise convolutions: 3×3, 5×5, 7×7 |
# | `self.attention_unit` | the module of exercise 1: a list of three features in, one map out |
# | `self.second` | three more depthwise convolutions: 3×3, 5×5, 7×7 |
# | `self.relu` | the ReLU that Fig. 3a draws in the second round |
# | `self.fuse` | 1×1 convolution, $3C \to C$ channels |
# | `self.refine` | the FRM: the module of Eq. 10 |
#
# Write its `forward`: `x` is $(B, C, H, W)$, and so is what it returns. The check puts your forward into all eight
# RDFEs of `pocket`.

# %% tags=["exercise"]
def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Eqs. 6-10. (B, C, H, W) -> (B, C, H, W)."""
    ...  # your turn


passed = check("04.3", forward)

# %% tags=["solution"]
class RDFE(nn.Module):
    """Eqs. 6-10. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, depth: int = 2, paths: tuple[int, ...] = (3, 5, 7),
                 attention_unit: bool = True, refine: bool = True, norm_kind: str = "batch", relu: bool = True):
        super().__init__()
        self.first = nn.ModuleList(depthwise(channels, kernel) for kernel in paths)
        self.attention_unit = AttentionUnit(channels, len(paths)) if attention_unit else None
        self.second = nn.ModuleList(depthwise(channels, kernel) for kernel in paths)
        self.fuse = nn.Conv2d(len(paths) * channels, channels, 1)
        self.relu = nn.ReLU() if relu else nn.Identity()
        self.refine = FeatureRefinement(channels, depth, norm_kind) if refine else nn.Identity()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        features = [conv(x) for conv in self.first]  # Eq. 6
        if self.attention_unit is not None:
            weight = self.attention_unit(features)  # Eq. 7
            features = [f * weight for f in features]  # Eq. 8
        features = [self.relu(conv(f)) for conv, f in zip(self.second, features)]
        return self.refine(self.fuse(torch.cat(features, dim=1)) + x)  # Eqs. 9-10


passed = check("04.3", RDFE.forward)

# %%
ours = RDFE(C, depth=3).eval()
ours.load_state_dict(trained.state_dict())
with torch.no_grad():
    torch.testing.assert_close(ours(X), trained(X))              # the same weights, the same values
    torch.testing.assert_close(ours(X), ours.refine(f2))         # and equals the steps above
print("RDFE equals the trained one and the steps above: True")

# %% [markdown]
# ## The normalisation is a choice
#
# The paper writes "normalization" and no more. SPARNet uses batch normalisation; it is our default. The
# switch is `frm_norm` of `AMINetConfig`. The counts cannot decide, because batch normalisation adds few
# parameters. But the three behave differently, and it can be measured:

# %%
batch = torch.cat([X, X.flip(-1) * 2, torch.randn_like(X)])  # a face in two kinds of company
lines = []
with torch.no_grad():
    for kind in ("batch", "instance", "none"):
        torch.manual_seed(0)
        module = RDFE(C, depth=3, norm_kind=kind)  # not trained
        moved = (module(batch)[:1] - module(X)).abs().max() > 1e-3
        module.eval()
        moved_later = (module(batch)[:1] - module(X)).abs().max() > 1e-3
        with torch.enable_grad():
            reach = extent(seen(module.double().refine.body, X))
        weights = sum(p.numel() for p in module.parameters())
        lines.append(f"{kind:9s} {weights:6,d} parameters   the other faces matter: in training "
                     f"{bool(moved)!s:6s} after it {bool(moved_later)!s:6s} the two 3×3 see {reach}×{reach}")
print("\n".join(lines))

# %% [markdown]
# - `batch`: in training the output for a face depends on the other faces in the batch; afterwards stored
#   averages are used. Small batches make the averages noisy.
# - `instance`: each picture is normalised by itself. Its mean is a sum over all pixels, so even a 3×3
#   convolution becomes global, and the level of brightness is lost inside the branch.
# - `none`: nothing is coupled, and nothing holds the size of the values either.
#
# ## Three kernels in one
#
# Three depthwise convolutions are three passes over the same memory. A 3×3 kernel with a frame of zeros is a
# 5×5 or a 7×7 kernel: the frame multiplies by zero. So all three fit in **one** 7×7 convolution with three
# outputs per channel. The result is exact, not an approximation. It has more multiplications, but one pass
# instead of three: whether it is faster depends on the machine.
#
# The same trick shows what the attention unit is. Its logit is a 1×1 on three depthwise convolutions, all
# linear, so it **is** one dense 7×7 convolution from $C$ to $C$ channels, written with $83C + 3C^2$ weights
# instead of $49C^2$. The sigmoid, the product of Eq. 8 and the ReLU are not linear; no merging goes across
# them.

# %%
def widen(weight: torch.Tensor, side: int = 7) -> torch.Tensor:
    """A frame of zeros around depthwise kernels. (C, 1, k, k) -> (C, 1, side, side)."""
    frame = (side - weight.shape[-1]) // 2
    return F.pad(weight, (frame, frame, frame, frame))

three = [conv.weight.detach() for conv in trained.first]         # (C, 1, 3, 3), (C, 1, 5, 5), (C, 1, 7, 7)
seven = torch.stack([widen(w) for w in three], dim=1)            # (C, 3, 1, 7, 7)
with torch.no_grad():
    merged = F.conv2d(X, seven.flatten(0, 1), padding=3, groups=C)         # (1, C*3, H, W), by channel
    merged = merged.unflatten(1, (C, 3)).transpose(1, 2).flatten(1, 2)     # (1, 3*C, H, W), by branch
    torch.testing.assert_close(merged, torch.cat([conv(X) for conv in trained.first], dim=1))
    mix = trained.attention_unit.mix
    share = mix.weight[:, :, 0, 0].unflatten(1, (3, C))                    # (C out, 3 branches, C in)
    dense = torch.einsum("obi,ibxy->oixy", share, seven[:, :, 0])          # (C out, C in, 7, 7)
    torch.testing.assert_close(F.conv2d(X, dense, mix.bias, padding=3).sigmoid(), f_map)
print("one 7×7 = 3×3, 5×5 and 7×7: True")
print(f"weights and MACs per pixel: {83 * C} before, {147 * C} after ({147 / 83:.2f} times)")
print("attention unit = sigmoid of one dense 7×7, kernel", tuple(dense.shape))
limit = float(seven[strongest[0]].abs().max())
figure, axes = plt.subplots(1, 3, figsize=(5, 1.8), layout="constrained")
for axis, kernel, k in zip(axes, seven[strongest[0], :, 0], (3, 5, 7)):
    drawn = axis.imshow(kernel, cmap="RdBu_r", vmin=-limit, vmax=limit)
    axis.set(title=f"{k}×{k}, as 7×7", xticks=[], yticks=[])
    axis.spines[:].set_visible(True)
figure.colorbar(drawn, ax=axes, label="weight")
plt.show()

# %% [markdown]
# ## Table IV: what each part is worth
#
# The paper removes parts of RDFE, one at a time (CelebA, ×8). It prints no sizes for these rows. The column
# "parameters" is ours: the same removal, made by the switch in the table, in the reading with 12.62 M
# parameters. In the rows "single path" we keep the attention unit and the FRM, which the paper does not say.
# For comparison: RDFE replaced by an FFN (Table III) and by nothing (Table I).

# %%
from aminet import preset
from aminet.ledger import bill
from aminet.ledger import rdfe as rdfe_bill

published = {  # row: (where, switch of AMINetConfig, PSNR in dB, LPIPS)
    "single path 3x3": ("Table IV", "paths=(3,)", 27.73, 0.1915),
    "single path 5x5": ("Table IV", "paths=(5,)", 27.71, 0.1944),
    "single path 7x7": ("Table IV", "paths=(7,)", 27.72, 0.1922),
    "w/o AU": ("Table IV", "attention_unit=False", 27.76, 0.1846),
    "w/o FRM": ("Table IV", "refine=False", 27.75, 0.1928),
    "RDFE->FFN": ("Table III", 'local="ffn"', 27.72, 0.1922),
    "w/o RDFE": ("Table I", 'local="none"', 27.51, 0.2085),
    "": ("Table IV", "", 27.83, 0.1821),
}
sizes = {}
print(f"{'row':17s}{'printed in':11s}{'switch':22s}{'PSNR':>6s}{'LPIPS':>8s}   parameters  GMACs   (ours)")
for row, (table, switch, psnr, lpips) in published.items():
    cost = bill(preset(f"aminet/{row}"))[""]
    sizes[row] = cost.params / 1e6
    print(f"{row or 'RDFE, whole':17s}{table:11s}{switch:22s}{psnr:6.2f}{lpips:8.4f}   "
          f"{cost.params / 1e6:9.2f}M{cost.macs / 1e9:7.2f}")

# %%
figure, axis = plt.subplots(figsize=(5.6, 3), layout="constrained")
labels = {  # row: text, its place beside the dot in points
    "single path 3x3": ("3×3 only", 7, 4), "single path 5x5": ("5×5 only", 7, -6),
    "single path 7x7": ("7×7 only", 7, 0), "w/o AU": ("without attention unit", -7, 0), "": ("RDFE", 7, 0),
    "w/o FRM": ("without FRM", 7, 0), "RDFE->FFN": ("FFN instead", -7, 0), "w/o RDFE": ("without RDFE", 7, 0)}
for row, (table, _, psnr, _) in published.items():
    text, x, y = labels[row]
    axis.plot(sizes[row], psnr, "o", color={"Table IV": "C0", "Table III": "C1", "Table I": "C2"}[table],
              label=table if row in ("", "RDFE->FFN", "w/o RDFE") else None)
    axis.annotate(text, (sizes[row], psnr), xytext=(x, y), textcoords="offset points", fontsize=8,
                  ha="left" if x > 0 else "right", va="center")
axis.legend(loc="lower right")
axis.set(xlabel="parameters of the whole network, millions (ours)", ylabel="published PSNR in dB, CelebA",
         title="Tables I, III, IV: what RDFE's parts buy", xlim=(6.6, 13.9))
plt.show()

whole = rdfe_bill(28, 128, 128, depth=3)
print("one RDFE at 128×128, C = 28")
labels = {"": "all", "attention_unit": "attention unit", "refine": "FRM", "refine.hourglass": "  hourglass"}
for name, label in labels.items():
    cost = whole[name]
    print(f"{label:16s}{cost.params:9,d} parameters ({cost.params / whole[''].params:4.0%})"
          f"{cost.macs / 1e6:9.1f} M MACs ({cost.macs / whole[''].macs:4.0%})")

# %% [markdown]
# What can be read from it, and what cannot:
#
# - **The branches are almost free, the refinement is the bill.** Nearly all of RDFE's weights are the dense
#   3×3 of the FRM: 4.9 M in the whole network, for 0.08 dB. The second and third branch cost some 0.3 M and
#   bring 0.10 to 0.12 dB; the attention unit costs 0.2 M and brings 0.07 dB.
# - A larger single kernel is not better: 27.73, 27.71, 27.72 dB for 3, 5, 7. The gain comes with the
#   combination.
# - All differences in Table IV lie within 0.12 dB, one run each, no spread given. The order of the first
#   three rows means nothing.
# - The text says "the comparison between the second and the last rows" shows the worth of the attention unit.
#   The second row is the single 5×5; the fourth is meant.
# - 27.83 dB here and 28.26 dB in Table VII are the same network after different trainings. Never compare
#   across.
#
# How is such a bill made? Module in module: a `Cost` has parameters and MACs, a `Bill` has one for each part.
# Only the hourglass needs thought. Level $i$ has a skip and an up block on $HW/4^i$ pixels and a down block that
# writes a quarter of them; the middle block works on $HW/4^d$. The series sums to $HW (3 - 2/4^d)$: however deep,
# an hourglass costs less than three 3×3 convolutions at full size.

# %%
from collections.abc import Mapping

from aminet.ledger import Bill, Cost


def nest(parts: Mapping[str, Cost | Bill], own: Cost = Cost()) -> Bill:
    """The bill of a module from the bills of its parts and what lies in it directly; its own row is ""."""
    total, rows = own, {}
    for name, part in parts.items():
        inside = {"": part} if isinstance(part, Cost) else part
        total += inside[""]
        rows |= {f"{name}.{inner}" if inner else name: cost for inner, cost in inside.items()}
    return {"": total} | rows


def convolution(a: int, b: int, kernel: int, height: int, width: int, bias: bool = True) -> Cost:
    """a*b*k*k weights, each used at every output pixel. height, width: of the output."""
    weights = a * b * kernel * kernel
    return Cost(weights + b * bias, weights * height * width)


def hourglass(c: int, height: int, width: int, depth: int, norm: str = "batch") -> Cost:
    """3d + 1 blocks of a 3x3 (9c^2), its norm (2c) and PReLU (c), and the 3x3 that draws the map (9c + 1)."""
    pixels, smallest = height * width, height * width // 4**depth
    block = 9 * c * c + c + 2 * c * (norm == "batch")
    return Cost((3 * depth + 1) * block + 9 * c + 1, 9 * c * c * (3 * pixels - 2 * smallest) + 9 * c * pixels)

# %%
def feature_refinement(c: int, height: int, width: int, depth: int, norm: str = "batch") -> Bill:
    """Two 3x3 (18c^2), two PReLU (2c), three norms (6c), and the hourglass."""
    weights = 18 * c * c
    own = Cost(weights + 2 * c + 6 * c * (norm == "batch"), weights * height * width)
    return nest({"hourglass": hourglass(c, height, width, depth, norm)}, own)


def rdfe(c: int, height: int, width: int, depth: int, paths: tuple[int, ...] = (3, 5, 7),
         attention_unit: bool = True, refine: bool = True, norm: str = "batch") -> Bill:
    """Two rounds of depthwise k x k (2 * 83c for 3, 5, 7), 1x1 from nc to c, one more in the AU, FRM."""
    n, taps = len(paths), sum(k * k for k in paths)
    weights = 2 * taps * c + n * c * c
    parts: dict[str, Cost | Bill] = {}
    if attention_unit:
        parts["attention_unit"] = convolution(n * c, c, 1, height, width)
    if refine:
        parts["refine"] = feature_refinement(c, height, width, depth, norm)
    return nest(parts, Cost(weights + c, weights * height * width))


for c, d in ((8, 3), (28, 3), (56, 3), (112, 2)):
    assert rdfe(c, 128, 128, d)[""].params == sum(p.numel() for p in RDFE(c, d).parameters())
print("equal to the bill above:", rdfe(28, 128, 128, depth=3) == whole)

# %% [markdown]
# ### Exercise 4: the receptive field of a stack
#
# *Level 2, 15 minutes.* Convolutions with kernel sizes $k_1, k_2, \dots$ and strides $s_1, s_2, \dots$ follow each
# other. How many input pixels does one output pixel see along a line? One pixel sees itself: start at 1. Then think
# of what a layer adds, and of how far apart its inputs are in the picture. The check measures by gradient.

# %% tags=["exercise"]
def receptive_field(kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    ...  # your turn


passed = check("04.4", receptive_field)

# %% tags=["solution"]
def receptive_field(kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    field, step = 1, 1
    for k, s in zip(kernels, strides):
        field += (k - 1) * step
        step *= s
    return field


passed = check("04.4", receptive_field)

# %% [markdown]
# ## What to remember
#
# - Shapes correct equations: $f_i \cdot f'$ in Eq. 8, and concat before the 1×1 in Eq. 9.
# - A receptive field can be measured: RDFE's branches see 3, 5, 7, then 9, 11, 13 through the attention unit,
#   and 63 with the hourglass.
# - Depthwise branches and the attention unit are cheap; the refinement is nearly the whole price. Table IV's
#   differences are within 0.12 dB.
#
# Next: [05 SKAF](05_skaf.ipynb), which weighs SA against RDFE.
