# %% [markdown]
# # 04 · RDFE: three kernel sizes for a face
#
# The local branch of AMINet applies a small, a medium and a large kernel side by side, and decides place by place what
# to keep.
#
# *120 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/04_rdfe.ipynb) · previous: [03 SA](03_sa.ipynb) · next: [05 SKAF](05_skaf.ipynb)
#
# Before this: Python with PyTorch tensors and `nn.Conv2d`; the LR face and what the network gets of it
# ([00 A first face](00_a_first_face.ipynb)).
#
# You will be able to
# - **correct** Eqs. 8 and 9 by their shapes;
# - **write** RDFE and two of its parts, put them into a trained network, and restore a face with them;
# - **measure** the receptive field of any module by its gradient;
# - **weigh** each part of RDFE: its parameters, its multiply-adds, and the decibels that Table IV gives it.

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

# %% [markdown]
# ## Why three kernel sizes
#
# RDFE is one of the two branches of LGFI, the block that AMINet repeats eight times.
# [SA](03_sa.ipynb), the other branch, weighs channels. RDFE looks at places.

# %% tags=["imports"]
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from aminet import preset
from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.ledger import Bill, Cost, bill
from aminet.ledger import rdfe as rdfe_bill
from aminet.rdfe import RDFE, AttentionUnit, Hourglass
from aminet.training.weights import load_weights
from diagrams import draw
from exercises import check
from page import explore, show, table

figure = draw("LGFI", "RDFE")
figure.set_label("LGFI: a feature goes through SA and RDFE side by side; SKAF weighs the two and they are added")

# %% [markdown]
# A face has structure of several sizes. At 128×128 an eyelid is a line of one or two pixels and an eyebrow is three
# pixels thick. An iris is a disc of six or seven pixels, and a cheek is some 20 wide. Which kernel responds to which?
#
# We make three kernels by hand, all by one rule. A $k \times k$ kernel compares its frame, one pixel wide, with what
# lies inside. Its response is in grey levels: positive on a dark spot, negative on a light one, near 0 where inside and
# frame are alike. Training will choose other weights, but it cannot make a kernel larger.

# %%
def dark_spot(k: int) -> torch.Tensor:
    """A kernel (k, k): mean of its frame minus mean of what the frame encloses."""
    inside = (k - 2) ** 2
    kernel = torch.full((k, k), 1 / (k * k - inside))
    kernel[1:-1, 1:-1] = -1 / inside
    return kernel

original = portraits()["collins"]
gray = original.float().mean(0)[None, None]  # (1, 1, 128, 128), from 0 to 255
places = {"a: eyelid": (75, 49), "b: eyebrow": (44, 41), "c: iris": (44, 51), "d: cheek": (38, 66)}  # x, y
maps = {k: F.conv2d(gray, dark_spot(k)[None, None], padding=k // 2)[0, 0] for k in (3, 5, 7)}  # each (128, 128)

part = (..., slice(36, 76), slice(30, 94))  # the rows and the columns that are shown
figure = show([[original[part], maps[3][part]], [maps[5][part], maps[7][part]]], scale=2.5,
              captions=[["the original face", "response of the 3×3"], ["response of the 5×5", "response of the 7×7"]])
for axis in figure.axes:
    axis.images[0].set(cmap="RdBu_r", clim=(-60, 60))  # red: a dark spot, blue: a light one
    for name, (x, y) in places.items():
        axis.plot(x - 30, y - 36, "o", mfc="none", color="#1a8f2e", ms=14, mew=2)
        axis.text(x - 27, y - 32, name[0], color="white", bbox={"fc": "#1a8f2e", "ec": "none", "pad": 1})
figure.set_label("Eyes and cheeks of a face, and the responses of three kernels to them, with four places marked")
plt.show()

rows = [[f"{k}×{k}"] + [maps[k][y, x].item() for x, y in places.values()] for k in maps]
table(rows, ["kernel", *places], digits=1, best={"a: eyelid": max, "b: eyebrow": max, "c: iris": max})
low = F.conv2d(F.avg_pool2d(gray, 8), dark_spot(3)[None, None], padding=1)[0, 0]  # a face of 16×16 pixels
x, y = places["d: cheek"]
print(f"the cheek, by a 3×3 on the face of 16×16 pixels: {low[y // 8, x // 8]:.1f}")

# %% [markdown]
# Each kernel responds to its own size. Of the three, the 3×3 has the highest response on the eyelid, 28.5 grey levels.
# The 5×5 has it on the eyebrow (24.6), the 7×7 on the iris (56.9).
#
# On the iris the 3×3 gives −93.8. It responds to the highlight in the pupil, not to the dark disc around it. One kernel
# is made for one size, so RDFE has three. A 7×7 could learn to be a 3×3, but then it would miss the iris.
#
# On the cheek all three stay between −3.3 and −1.5, because the cheek is wider than any of them. On the same face with
# 16×16 pixels a 3×3 covers 24 pixels of the original. There it gives −24.8: the cheek is lighter than what surrounds
# it. AMINet meets such structures at the lower levels of its U.
#
# ## RDFE in six steps
#
# The input comes from a trained network: `pocket`, the small AMINet of the course ($C = 8$). A hook keeps what enters
# each RDFE and each hourglass while the network restores the face.

# %%
hr = portraits()[FACE][None]
image = to_float(upsample(degrade(hr)))  # (1, 3, 128, 128) in [-1, 1]
model, header = load_weights("pocket")
parts = dict(model.named_modules())
inputs = {}  # name of a module: what enters it

def keeper(name: str):
    """A hook that keeps the input of the module with this name."""
    def hook(module, arguments):
        inputs[name] = arguments[0]
    return hook

for name in parts:
    if name.endswith((".local", ".hourglass")):
        parts[name].register_forward_pre_hook(keeper(name))
with torch.no_grad():
    restored = model(image)

trained = parts["encoders.0.local"]  # the first RDFE, at 128×128
X = inputs["encoders.0.local"]
C = X.shape[1]
print("X:", tuple(X.shape))

figure = draw("RDFE")
figure.set_label("RDFE: three depthwise convolutions, one attention map for all three, three more depthwise convolutions "
                 "with ReLU, a 1×1 to merge them, a shortcut, and the refinement")

# %% [markdown]
# $$f_1, f_2, f_3 = F_{dw3}(X),\; F_{dw5}(X),\; F_{dw7}(X) \qquad (6)$$
#
# $$f' = F_{au}(H_{cat}(f_1, f_2, f_3)) \qquad (7)$$
#
# $$f_1', f_2', f_3' = f_1(X)\cdot f',\; f_2(X)\cdot f',\; f_3(X)\cdot f' \qquad (8)$$
#
# $$f'' = H_{cat}(F_{conv1}(f_1', f_2', f_3')) + X \qquad (9)$$
#
# $$f''' = F_{frm}(f'') \qquad (10)$$
#
# The diagram has them in this order; its $u$ is the $X$ of the equations:
#
# 1. three depthwise convolutions side by side (Eq. 6);
# 2. the **attention unit** makes one map from all three and multiplies each by it (Eqs. 7-8);
# 3. a second round of depthwise 3×3, 5×5, 7×7, each with a ReLU;
# 4. a 1×1 convolution merges the three, and $X$ is added (Eq. 9);
# 5. two 3×3 convolutions with normalisation: the start of the **feature refinement module**, FRM;
# 6. an **hourglass** makes one map of the face and multiplies by it; a shortcut closes the FRM (Eq. 10).
#
# <details><summary>What the paper says, and where</summary>
#
# > "Specifically, for the input feature $X \in \mathbb{R}^{C\times H\times W}$, we use depthwise convolutions
# > of 3×3, 5×5, and 7×7 to parallelly extract three scales facial features, which depthwise convolution can
# > reduce the computational complexity of the model, while convolution with different kernel sizes can
# > effectively extracting rich face details." (Sec. III-B2)
#
# The steps follow Fig. 3a. The second round (step 3) is in the text and in Fig. 3a, but in no equation. Its ReLU is
# in Fig. 3a alone.
#
# </details>
#
# ## Depthwise: one kernel per channel
#
# A large dense kernel is expensive. A dense $k \times k$ convolution has a kernel for every pair of an input and an
# output channel: $C^2k^2$ weights. A depthwise convolution has one kernel per channel: $Ck^2$ weights, $C$ times
# fewer. Each weight is used once per pixel, so it needs $C$ times fewer multiply-adds (MACs), too.
#
# The price: a depthwise convolution does not mix channels. The 1×1 of step 4 does that, with $3C^2$ weights. The
# paper calls the pair "depthwise separable".
#
# The next cell counts at the paper's size ($C = 28$, 128×128). It has the first lines of `aminet/rdfe.py`: a switch
# for the normalisation, used below, and this convolution. It shows that a depthwise convolution is a loop over the
# channels. Then it computes Eq. 6 on the portrait, with the trained kernels. The figure has the two channels with most
# contrast.

# %%
c, pixels = 28, 128 * 128
rows = []
for label, k2 in (("3×3", 9), ("5×5", 25), ("7×7", 49), ("all three", 9 + 25 + 49)):
    dense, thin = c * c * k2, c * k2
    rows.append([label, dense, thin, dense * pixels / 1e6, thin * pixels / 1e6])
table(rows, ["kernel", "weights, dense", "weights, depthwise", "million MACs, dense", "million MACs, depthwise"], digits=1)

def norm(kind: str, channels: int) -> nn.Module:
    return {"batch": nn.BatchNorm2d, "instance": nn.InstanceNorm2d, "none": nn.Identity}[kind](channels)

def depthwise(channels: int, kernel: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, kernel, padding=kernel // 2, groups=channels, bias=False)

conv = depthwise(C, 5)
with torch.no_grad():
    one_by_one = [F.conv2d(X[:, i:i + 1], conv.weight[i:i + 1], padding=2) for i in range(C)]
    torch.testing.assert_close(conv(X), torch.cat(one_by_one, dim=1))
    f = [conv(X) for conv in trained.first]  # Eq. 6: three times (1, C, H, W)
print("depthwise = a loop over the channels: True; f:", [tuple(t.shape) for t in f])

strongest = torch.stack(f).std((1, 3, 4)).sum(0).topk(2).indices.tolist()  # the channels with most contrast
figure = show([[X[0, i]] + [t[0, i] for t in f] for i in strongest],
              titles=["X", "$f_1$: 3×3", "$f_2$: 5×5", "$f_3$: 7×7"],
              labels=[f"channel {i}" for i in strongest])

# %% [markdown]
# ## Eqs. 7-8: one map for the three
#
# So far the three branches do not know of each other. The attention unit joins them: concat, a 1×1 convolution
# ($3C \to C$), a sigmoid. A sigmoid brings any number into (0, 1), so each value of $f'$ is a factor between
# suppressing and keeping (a [gate](A_symbols_and_shapes.ipynb#Words)).
#
# Eq. 8 writes $f_i(X)$, but Eq. 6 has defined $f_i$ as a tensor, not as a function. Eq. 8 must mean $f_i \cdot f'$.
#
# The three branches share **one** $f'$. It marks positions and channels worth keeping, but it treats the three
# scales alike: it cannot prefer the 3×3 to the 7×7 at some place.
#
# <details><summary>What the paper says, and where</summary>
#
# > "However, relying solely on convolutions may lead to insufficient feature fusion across scales […] To
# > address this issue, we use an attention unit $F_{au}$ to calculate the feature weight of the fusion
# > feature of three branches. Next, we use the calculated weights to modulate the three-branch features at
# > different scales through element-wise multiplications." (Sec. III-B2)
#
# The text does not say what $F_{au}$ is. Fig. 3a does: concat, 1×1, sigmoid.
#
# </details>

# %%
with torch.no_grad():
    f_map = trained.attention_unit(f)          # (1, C, H, W)   Eq. 7
    f_prime = [t * f_map for t in f]           # three times (1, C, H, W)   Eq. 8
figure = draw("RDFE", "attention unit")
figure.set_label("RDFE; in colour the attention unit: it takes what all three first convolutions give, and its map "
                 "multiplies each of the three")
print("f'  :", tuple(f_map.shape), " values in (0, 1):", bool((f_map > 0).all() and (f_map < 1).all()))

wide = f_map[0].std((1, 2)).topk(3).indices.tolist()  # the channels whose map varies most
shown = [f_map[0].mean(0)] + [f_map[0, i] for i in wide]
figure = show([[hr[0]] + shown], titles=["the face", "$f'$, mean"] + [f"$f'$, channel {i}" for i in wide],
              captions=[["black is 0,\nyellow is 1"] + [f"from {m.min():.2f} to {m.max():.2f}" for m in shown]])
for axis in figure.axes[1:]:
    axis.images[0].set_clim(0, 1)

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
# Eq. 9 as printed: first the 1×1 convolution, then the concat, then add $X$. The diagram has the concat first. The shapes
# decide. Before you run the next cell, work out both shapes.

# %%
with torch.no_grad():
    second = [F.relu(conv(t)) for conv, t in zip(trained.second, f_prime)]  # second round: three (1, C, H, W)
    each = nn.Conv2d(C, C, 1)
    printed = torch.cat([each(t) for t in second], dim=1)                   # H_cat(F_conv1(.)): (1, 3C, H, W)
    meant = trained.fuse(torch.cat(second, dim=1))                          # F_conv1(H_cat(.)): (1, C, H, W)
print("X                        :", tuple(X.shape))
print("as printed, concat last  :", tuple(printed.shape))
print("as drawn, concat first   :", tuple(meant.shape))
try:
    printed + X
except RuntimeError:
    print("as printed, X cannot be added")
f2 = meant + X  # Eq. 9 as it must be

# %% [markdown]
# As printed, three branches of $C$ channels become $3C$ channels, and $X$ with its $C$ channels cannot be added.
# Eq. 9 must be $F_{conv1}(H_{cat}(\cdot)) + X$.
#
# <details><summary>What the paper says, and where</summary>
#
# > "To further refine and reconstruct the weighted fused facial features, we apply depthwise convolutions
# > with kernel sizes of 3×3, 5×5, and 7×7, ensuring the joint optimization of local texture details and
# > global structural consistency." (Sec. III-B2)
#
# This is the second round. Eq. 9 leaves it out, Fig. 3a has it. Fig. 3a also draws the concat before the 1×1.
#
# </details>
#
# ## The receptive field, measured
#
# The [receptive field](A_symbols_and_shapes.ipynb#Words) of an output pixel is the set of input pixels that can
# change it. It says which structures a module can recognise as a whole. There is a direct way to see it: take one
# pixel of the output, compute its gradient with respect to the input, and look where it is not zero.
#
# Before you run the next two cells, guess: what does the 3×3 branch see after its second 3×3?

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

fields = {}  # what is measured: |gradient| of its centre pixel, (128, 128)
for i, k in enumerate((3, 5, 7)):
    fields[f"first {k}×{k}"] = seen(net.first[i], X)
    fields[f"second {k}×{k}"] = seen(branch(i), X)
    alone = extent(seen(branch(i, unit=False), X))
    print(f"{k}×{k} twice: {alone} without the attention unit, {extent(fields[f'second {k}×{k}'])} with it")
fields |= {"Eq. 9": seen(fused, X), "3×3s of the FRM": seen(lambda x: net.refine.body(fused(x)), X),
           "all of RDFE": seen(net, X)}

# %% tags=["plot"]
figure, axes = plt.subplots(3, 3, figsize=(6.6, 6.4), layout="constrained")
order = [["first 3×3", "first 5×5", "first 7×7"], ["second 3×3", "second 5×5", "second 7×7"],
         ["Eq. 9", "3×3s of the FRM", "all of RDFE"]]
for row, names, r in zip(axes, order, (8, 8, 33)):  # r: half of the area
    for axis, name in zip(row, names):
        gradient = fields[name][64 - r:65 + r, 64 - r:65 + r]
        drawn = axis.imshow((gradient / gradient.max()).log10(), vmin=-6, vmax=0,
                            extent=(-r - 0.5, r + 0.5, r + 0.5, -r - 0.5))
        axis.set(title=f"{name}\nsees {extent(fields[name])}×{extent(fields[name])}", facecolor="0.85",
                 xticks=[-r, 0, r], yticks=[-r, 0, r])
        axis.grid(False)
figure.colorbar(drawn, ax=axes, label="log10 of |gradient|; grey: none", shrink=0.6)
figure.supxlabel("pixels from the centre (the last row shows a larger area)", fontsize=10)
plt.show()

# %% [markdown]
# Two convolutions of size $k$ see $2k - 1$: 5, 9, 13. That is the textbook's answer, and it holds without the
# attention unit. With the unit the 3×3 branch sees 9×9: its values are multiplied by $f'$, and $f'$ has looked
# through the 7×7. **The attention unit widens the small branches.** It is the only exchange between the scales
# before the 1×1.
#
# The colours show a second thing. The whole of RDFE sees 63×63, but most of the weight lies in the middle. The far
# part comes through the hourglass, which can only scale what is there.
#
# The same on a face: the first and the second round of the three kernels around one eye, on the original and on what
# the network gets. The unit is left out here, so $n$ convolutions of size $k$ see $n(k-1)+1$.

# %% tags=["plot"]
def draw_windows(kernel: int = 7, layers: int = 2) -> None:
    """The receptive fields of 3, 5 and `kernel` after one to `layers` convolutions, around one eye."""
    largest = layers * (kernel - 1) + 1
    half = max(16, largest // 2 + 2)
    top, left = max(0, 52 - half), max(0, 45 - half)
    area = (..., slice(top, 53 + half), slice(left, 46 + half))
    figure = show([[hr[0][area], image[0][area]]], titles=["the original face", "what the network gets"], scale=2,
                  captions=[["solid: one convolution", f"dashed: up to {layers}"]])
    for axis in figure.axes:
        for k, color in ((3, "white"), (5, "#63e6be"), (kernel, "#ffd43b")):
            for n in range(1, layers + 1):
                side = n * (k - 1) + 1
                axis.add_patch(plt.Rectangle((45 - left - side / 2, 52 - top - side / 2), side, side, fill=False,
                                             ec=color, lw=2, ls="-" if n == 1 else "--"))
    figure.set_label(f"Windows around one eye: 3×3 in white, 5×5 in green, {kernel}×{kernel} in yellow")
    plt.show()

explore(draw_windows, kernel=(3, 31, 2), layers=(1, 6))

# %% [markdown]
# White is the 3×3, green the 5×5, yellow the 7×7. Two 3×3 see what one 5×5 sees, so the dashed white square lies under
# the solid green one.
#
# An LR pixel is 8 pixels wide at this resolution. At 128×128 even the widest window, 13 pixels, covers less than two LR
# pixels. To see a whole eye the network needs the lower levels of the U. There the same kernel covers 2, 4 or 8 times
# as many pixels.
#
# ## Eq. 10: the refinement and its hourglass
#
# The 1×1 has merged the three scales. The refinement, FRM, works on the result in two steps: two 3×3 mix neighbours
# and channels, then a map says where the result counts.
#
# **Batch normalisation** gives each channel mean 0 and variance 1, over the pixels and the faces
# of the batch. A **PReLU** is a ReLU whose slope below 0 is learned, one number per channel. An
# [hourglass](A_symbols_and_shapes.ipynb#Words) is a small U-net: it halves the feature step by step, doubles it
# again, and adds at each size what it kept on the way down.

# %%
figure = draw("hourglass")
figure.set_label("The refinement: norm, PReLU and 3×3 twice, then an hourglass that halves twice and doubles twice, with a "
                 "side block at each size; a 3×3 and a sigmoid make its map, which multiplies; a shortcut adds the input")

# %% [markdown]
# A normalisation and a PReLU stand before each 3×3, and a third normalisation follows the second. The hourglass
# returns one map in (0, 1), and the map multiplies the feature. A [shortcut](A_symbols_and_shapes.ipynb#Words) adds
# the FRM's input. The diagram has two halvings. AMINet has 3, 3, 2, 2 at 128, 64, 32, 16 pixels.
#
# <details><summary>What the paper leaves open</summary>
#
# > "we begin by applying normalization and multiple 3×3 convolutional layers to refine the local facial
# > context. Afterward, the hourglass block further integrates multiscale information to capture global and
# > local relationships" (Sec. III-B2)
#
# The paper does not say which normalisation is used, how many 3×3 there are, how deep the hourglass is, or what it
# returns. Fig. 3a draws norm, ReLU, 3×3, 3×3, hourglass and a shortcut. This is the face attention unit of SPARNet,
# so we build it as SPARNet does. With these depths the published parameter count is met
# ([08](08_aminet_and_its_bill.ipynb)).
#
# </details>
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
# enlarge, apply `self.up[i]`, and then add what came from the side.
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
# The refinement puts the two 3×3 before the hourglass, and a shortcut around both. With it all six steps are there:
# their result equals that of the trained RDFE.

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


refinement = FeatureRefinement(C, depth=3).eval()
refinement.load_state_dict(trained.refine.state_dict())
with torch.no_grad():
    torch.testing.assert_close(refinement(f2), trained(X))
print("steps 1 to 6 = the trained RDFE: True")

# %% [markdown]
# Where does a trained hourglass look? The eight maps of `pocket` on the portrait, in the order in which the
# network computes them. The number is the side in pixels. Black is 0, suppressed; light yellow is 1, kept.

# %%
way = {  # which part of the U: the map's name, and what it shows
    "encoders.0": "down, 128\nweave,\nno contours", "encoders.1": "down, 64\nweave,\nno contours",
    "encoders.2": "down, 32\ncoarse patches", "bottleneck.0": "bottom 1, 16\ncoarse patches",
    "bottleneck.1": "bottom 2, 16\ncoarse patches", "decoders.2": "up, 32\nstripes,\npatches",
    "decoders.1": "up, 64\nfollows the face", "decoders.0": "up, 128\nchessboard,\npartly the face"}

def hourglass_map(place: str) -> torch.Tensor:
    """The map (H, W) of the hourglass in this part of the U."""
    name = f"{place}.local.refine.hourglass"
    with torch.no_grad():
        return parts[name].attention(inputs[name])[0, 0]

pictures = [hr[0]] + [hourglass_map(place) for place in way] + [restored[0]]
captions = ["the original face"] + list(way.values()) + ["the output"]
figure = show([pictures[:5], pictures[5:]], captions=[captions[:5], captions[5:]])
for axis in figure.axes[1:9]:
    axis.images[0].set_clim(0, 1)
figure.set_label("Hourglass maps. " + "; ".join(" ".join(words.split()) for words in way.values()))

# %% [markdown]
# Only 'up, 64' follows the contours of the face, and 'up, 128' does in part. The two large maps on the way down are a
# weave of horizontal and vertical lines. The small maps are coarse patches: a feature of 16×16 has no contours to
# follow.
#
# Where do the weave, the stripes and the chessboard come from? One suspect is the hourglass itself. It enlarges by
# repeating pixels, and a 3×3 on repeated pixels meets other pairs at even places than at odd ones. To test this, we
# enlarge smoothly for a moment, with the same trained weights. The figure shows the middle of the large maps.

# %%
repeated = F.interpolate
suspects = ["encoders.0", "decoders.2", "decoders.0"]
before = [hourglass_map(place) for place in suspects]

def smoothly(low, **settings):  # bilinear, whatever the settings say
    return repeated(low, scale_factor=2, mode="bilinear")

F.interpolate = smoothly
after = [hourglass_map(place) for place in suspects]
F.interpolate = repeated
entering = [inputs[f"{place}.local.refine.hourglass"][0].mean(0) for place in suspects]

def middle(picture):  # of a large picture its middle, twice as large
    return picture[32:96, 32:96] if len(picture) == 128 else picture

rows = [[middle(picture) for picture in row] for row in (before, after, entering)]
figure = show(rows, titles=[way[place].split("\n")[0] for place in suspects],
              labels=["pixels repeated", "enlarged smoothly", "what enters"])

# %% [markdown]
# The weave of 'down, 128' disappears, so it came from the repeated pixels. The stripes of 'up, 32' and the chessboard of
# 'up, 128' stay. They have another cause. The chessboard is already in the feature that enters: the last row shows the
# mean of its channels. On the way up the network enlarges by pixel shuffle ([07](07_edff.ipynb)), which makes four
# neighbouring pixels from four different channels.
#
# A map is one number per pixel, the same for all channels. SA does the opposite: its numbers belong to channels and
# are the same at all pixels.
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

# %% [markdown]
# ## Which normalisation?
#
# The FRM's batch normalisation is a choice: SPARNet has it, and it is our default. `frm_norm` of `AMINetConfig`
# switches it. **Instance normalisation** is the alternative: each picture is normalised by itself. The parameter
# counts cannot decide, because batch normalisation adds few parameters. But the three behave differently, and that can
# be measured. Does the output for a face depend on the other faces in its batch? How far do the two 3×3 see?

# %%
batch = torch.cat([X, X.flip(-1) * 2, torch.randn_like(X)])  # a face, and two others with it

def depends(module: nn.Module) -> str:
    """Whether the output for the first face depends on the others."""
    with torch.no_grad():
        change = (module(batch)[:1] - module(X)).abs().max()
    return "yes" if change > 1e-3 else "no"

rows = []
for kind in ("batch", "instance", "none"):
    torch.manual_seed(0)
    module = RDFE(C, depth=3, norm_kind=kind)  # not trained
    in_training = depends(module)
    module.eval()
    after_it = depends(module)
    reach = extent(seen(module.double().refine.body, X))
    parameters = sum(p.numel() for p in module.parameters())
    rows.append([kind, parameters, in_training, after_it, f"{reach}×{reach}"])
table(rows, ["norm", "parameters", "other faces matter in training", "and after it", "the two 3×3 see"])

# %% [markdown]
# - `batch`: in training the output for a face depends on the other faces in the batch; afterwards stored
#   averages are used. Small batches make the averages noisy.
# - `instance`: the mean of a picture is a sum over all its pixels. So even a 3×3 convolution becomes global, and the
#   level of brightness is lost inside the branch.
# - `none`: nothing is coupled, and nothing holds the size of the values either.
#
# The paper writes "normalization" and no more.
#
# ## Three kernels in one
#
# Three depthwise convolutions are three passes over the same memory. One pass is enough. A 3×3 kernel with a frame of
# zeros is a 5×5 or a 7×7 kernel, since the frame multiplies by zero. So all three fit into **one** 7×7 convolution
# with three outputs per channel.
#
# The result is exact. It needs more multiplications, but one pass instead of three. Whether it is faster depends on
# the machine.
#
# The same trick shows what the attention unit is. Before its sigmoid it is a 1×1 on three depthwise convolutions, all
# linear. So it **is** one dense 7×7 convolution from $C$ to $C$ channels, with $83C + 3C^2$ weights instead of
# $49C^2$. The sigmoid, the product of Eq. 8 and the ReLU are not linear, so no merging goes across them.

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

kernels = seven[strongest[0], :, 0]                              # (3, 7, 7), of the channel with most contrast
limit = float(kernels.abs().max())
figure = show([list(kernels)], titles=["3×3, as 7×7", "5×5, as 7×7", "7×7"],
              captions=[[f"from {kernel.min():.2f} to {kernel.max():.2f}" for kernel in kernels]])
for axis in figure.axes:
    axis.images[0].set(cmap="RdBu_r", clim=(-limit, limit))      # red: positive, white: 0, blue: negative
    axis.spines[:].set_visible(True)

# %% [markdown]
# ## Table IV: what each part is worth
#
# An [ablation](A_symbols_and_shapes.ipynb#Words) measures a network with one part removed. The paper does this with
# the parts of RDFE, one at a time, on CelebA at ×8 (Table IV). For comparison we add RDFE replaced by an FFN
# (Table III) and by nothing (Table I). An FFN is the
# feed-forward part of a Transformer: 1×1 layers with a depthwise 3×3 between them.
#
# The paper prints no sizes for the rows of Table IV. "Parameters" and "MACs" are ours: the same removal, made by the
# switch in the table.

# %%
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
sizes, rows = {}, []
for row, (source, switch, psnr, lpips) in published.items():
    cost = bill(preset(f"aminet/{row}"))[""]
    sizes[row] = cost.params / 1e6
    rows.append([row or "RDFE, whole", source, switch, psnr, f"{lpips:.4f}", sizes[row], cost.macs / 1e9])
table(rows, ["row", "printed in", "switch", "PSNR (dB)", "LPIPS", "million parameters", "billion MACs"],
      best={"PSNR (dB)": max})

whole = rdfe_bill(28, 128, 128, depth=3)
rows = []
for name, label in (("", "all"), ("attention_unit", "attention unit"), ("refine", "FRM"),
                    ("refine.hourglass", "of it, the hourglass")):
    cost = whole[name]
    rows.append([label, cost.params, f"{cost.params / whole[''].params:.0%}",
                 cost.macs / 1e6, f"{cost.macs / whole[''].macs:.0%}"])
table(rows, ["one RDFE at 128×128, C = 28", "parameters", "share", "million MACs", "share of MACs"], digits=1)

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(8, 4.2), layout="constrained")
labels = {  # row: text, its place beside the dot in points
    "single path 3x3": ("3×3 only", 8, 5), "single path 5x5": ("5×5 only", 8, -8),
    "single path 7x7": ("7×7 only", 10, -1), "w/o AU": ("without attention unit", -8, 0), "": ("RDFE", 8, 0),
    "w/o FRM": ("without FRM", 8, 0), "RDFE->FFN": ("FFN instead", -8, 0), "w/o RDFE": ("without RDFE", 8, 0)}
for row, (source, _, psnr, _) in published.items():
    text, x, y = labels[row]
    axis.plot(sizes[row], psnr, "o", color={"Table IV": "C0", "Table III": "C1", "Table I": "C2"}[source],
              label=source if row in ("", "RDFE->FFN", "w/o RDFE") else None)
    axis.annotate(text, (sizes[row], psnr), xytext=(x, y), textcoords="offset points",
                  ha="left" if x > 0 else "right", va="center")
axis.legend(loc="lower right")
axis.set(xlabel="parameters of the whole network, millions (ours)", ylabel="published PSNR in dB, CelebA",
         title="Tables I, III, IV: what RDFE's parts add", xlim=(6.6, 13.9))
plt.show()

# %% [markdown]
# - **The three branches cost almost nothing; the refinement costs almost everything.** Nearly all of RDFE's weights
#   are the dense 3×3 of the FRM: 4.9 M in the whole network, for 0.08 dB. The second and third branch cost some 0.3 M
#   and bring 0.10 to 0.12 dB. The attention unit costs 0.2 M and brings 0.07 dB.
# - A larger single kernel is not better: 27.73, 27.71, 27.72 dB for 3, 5, 7. In print the three together
#   have 0.10 to 0.12 dB more. In our short trainings a single path was 0.05 dB better, within chance
#   ([chapter 11](11_ablations.ipynb)).
# - All differences in Table IV lie within 0.12 dB. Neither a spread nor the number of trainings is given. The order of the
#   first three rows means nothing.
#
# <details><summary>What the paper leaves open</summary>
#
# - In the rows "single path" we keep the attention unit and the FRM; the paper does not say whether it does.
# - Our counts belong to the interpretation with 12.62 M parameters, the number that Tables I and II print.
# - The text says "the comparison between the second and the last rows" shows the worth of the attention unit.
#   The second row is the single 5×5; the fourth is meant.
# - 27.83 dB here and 28.26 dB in Table VII are the same network after different trainings. Do not compare numbers
#   across the two.
#
# </details>
#
# ## How the bill is made
#
# A `Cost` has parameters and MACs. A `Bill` has one `Cost` for each part of a module. The bill of a large module is
# made from the bills of its parts.
#
# Only the hourglass needs thought. Level $i$ has a skip and an up block on $HW/4^i$ pixels, and a down block that
# writes a quarter of them. The middle block works on $HW/4^d$. The series sums to $HW (3 - 2/4^d)$. So however deep
# it is, the blocks of an hourglass cost less than three 3×3 convolutions at full size. The 3×3 that makes the map adds
# $9C$ per pixel.

# %%
from collections.abc import Mapping


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
    """How many input pixels along a line can change one output pixel."""
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
# - Three kernel sizes notice three sizes of structure: an eyelid, an eyebrow, an iris. A cheek needs a lower level.
# - Shapes correct equations: $f_i \cdot f'$ in Eq. 8, and concat before the 1×1 in Eq. 9.
# - A receptive field can be measured: RDFE's branches see 3, 5, 7, then 9, 11, 13 through the attention unit,
#   and 63 with the hourglass.
# - Depthwise branches and the attention unit are cheap; the refinement is nearly the whole price. Table IV's
#   differences are within 0.12 dB.
#
# To read on: A. Howard et al., [MobileNets](https://arxiv.org/abs/1704.04861) (2017), for depthwise convolutions; A. Newell et al., [Stacked Hourglass Networks](https://arxiv.org/abs/1603.06937) (2016).
#
# Next: [05 SKAF](05_skaf.ipynb), which weighs SA against RDFE.
