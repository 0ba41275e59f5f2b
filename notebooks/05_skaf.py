# %% [markdown]
# # 05 · SKAF: choosing, pixel by pixel
#
# SKAF looks at a mixture of two features and decides, for every pixel, how much of each to keep.
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/05_skaf.ipynb) · previous: [04 · RDFE](04_rdfe.ipynb) · next: [06 · LGFI](06_lgfi.ipynb)
#
# Before this: [03 · SA](03_sa.ipynb) and [04 · RDFE](04_rdfe.ipynb), which make the two features; convolution, pooling and sigmoid in PyTorch.
#
# You will be able to
#
# - **write** SKAF from Eqs. 11-14, put it into a trained network, and name the convolution that the equations leave out;
# - **explain** why multiplying features by features, eight times in a row, ends in NaN;
# - **weigh** what Table V says about SKAF against what it costs.

# %% tags=["parameters"]
SEEDS = 8  # networks that take two training steps each
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
from torch.testing import assert_close

from aminet import preset
from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import faces
from aminet.ledger import Cost, bill
from aminet.lgfi import LGFI
from aminet.model import AMINet
from aminet.skaf import SKAF
from aminet.training.weights import load_weights
from diagrams import draw
from exercises import check
from page import explore, show, table

# %% [markdown]
# ## The question: how much of each?
#
# A network often has two features of one shape. Here they are a global one, from SA, and a local one, from RDFE. A plain sum mixes them in the same way everywhere. A [gate](A_symbols_and_shapes.ipynb#Words) can choose: it is a factor between 0 and 1 that multiplies a feature.
#
# Is one gate for the whole image enough, or does every pixel need its own? Let picture A be clean on the left of a face, and picture B on the right. We give each kind of gate its best value.

# %%
face = to_float(portraits()["collins"])
left = (torch.arange(128) < 64).float().expand(128, 128)   # 1 on the left half, 0 on the right
noise = torch.randn(2, 3, 128, 128)
a = face + noise[0] * (0.1 + 0.5 * (1 - left))             # clean on the left
b = face + noise[1] * (0.1 + 0.5 * left)                   # clean on the right


def decibels(x):
    return f"{10 * torch.log10(4 / (x - face).square().mean()):.1f} dB"


whole = 0.5 * a + 0.5 * b                                  # by symmetry, the best gate for the whole image
local = left * a + (1 - left) * b                          # a gate for every pixel
figure = show([[a, b, whole, local, left]],
              titles=["picture A", "picture B", "one gate: 0.5", "a gate per pixel", "the gate of A"],
              captions=[[decibels(a), decibels(b), decibels(whole), decibels(local), "bright 1, dark 0"]])
figure.set_label("Picture A is noisy on the right, B on the left; one gate averages the noise, a gate per pixel removes it")
plt.show()

# %% [markdown]
# One gate for the whole image can only average the noise. A gate per pixel takes each half from the picture that is clean there, and gains most. SKAF makes gates of this kind, and it has to find them by itself, from the features.
#
# ## SKAF in one picture
#
# > "Inspired by SKNet [35] and LSKNet [36], as shown in Fig. 2, we design an SKAF module to give our model the ability to select local and global features required for reconstruction for fusion interaction." (Sec. III-B3)
#
# SKAF sits in the middle of LGFI. The two features are concatenated and reduced to $C$ channels. This mixture is SKAF's input; two maps of weights are its output.

# %%
figure = draw("LGFI", "SKAF")
figure.set_label("LGFI: x passes a norm, then SA and RDFE side by side; SKAF reads both and weighs each; their sum and x make y")
plt.show()
figure = draw("SKAF")
figure.set_label("SKAF: a 5×5 and a 7×7 convolution of x, concatenated; the mean and the maximum of the channels; "
                 "a 7×7 convolution to two channels; a sigmoid; two maps of weights, w1 and w2")
plt.show()

# %% [markdown]
# Read the second drawing from left to right. Two convolutions of different size look at the mixture. Then the mean and the maximum of all channels summarise every pixel in two numbers. A 7×7 convolution turns these into two scores, and a sigmoid turns each score into a weight between 0 and 1. The dashed block stands in no equation and not in Fig. 2; you will see below why it is needed.
#
# ## Two ancestors: SKNet and LSKNet
#
# All three modules weigh two features of one shape, and they differ in what a weight belongs to. In SKNet and LSKNet the kernels make the two features. In SKAF the kernels only decide, and the features come from elsewhere.
#
# | | the two features | looks at | a weight for each | the weights |
# |---|---|---|---|---|
# | SKNet (CVPR 2019) | a 3×3 and a 5×5 convolution of one input | the mean over all **pixels** | branch and **channel** | softmax: sum to 1 |
# | LSKNet (ICCV 2023) | a 5×5 depthwise convolution, and a dilated 7×7 behind it | mean and max over all **channels** | branch and **pixel** | sigmoid: free |
# | SKAF | SA and RDFE, or encoder and decoder | mean and max over all **channels** of a 5×5 and a 7×7 convolution of their mixture | branch and **pixel** | sigmoid: free |
#
# Four words: a *softmax* makes positive weights that sum to 1. A *sigmoid* brings each number between 0 and 1 by itself. A *depthwise* convolution treats every channel alone. A *dilated* one leaves gaps between its weights, so that it sees further.
#
# <details><summary>What the paper leaves open</summary>
#
# The introduction says that the model fuses features "by selecting appropriate convolutional kernels". This describes SKNet and LSKNet better than SKAF, which selects between two branches.
#
# </details>

# %%
def sk_select(features, squeeze, expand):
    total = features[0] + features[1]
    z = squeeze(total.mean(dim=(2, 3))).relu()             # (B, C) -> (B, d): the whole image in d numbers
    scores = expand(z).reshape(len(z), 2, -1, 1, 1)        # (B, 2, C, 1, 1)
    return scores.softmax(dim=1)


def lsk_select(features, mix):
    both = torch.cat(features, dim=1)                      # (B, 2C, H, W)
    average, largest = both.mean(1, keepdim=True), both.amax(1, keepdim=True)
    return mix(torch.cat([average, largest], dim=1)).sigmoid()   # (B, 2, H, W)


pair = [torch.randn(1, 28, 32, 32), torch.randn(1, 28, 32, 32)]
with torch.no_grad():
    channelwise = sk_select(pair, nn.Linear(28, 8), nn.Linear(8, 2 * 28))
    pixelwise = lsk_select(pair, nn.Conv2d(2, 2, 7, padding=3))
print("SKNet ", tuple(channelwise.shape), f"the two weights sum to {channelwise.sum(1).mean():.3f}")
print("LSKNet", tuple(pixelwise.shape), f"the two weights sum to {pixelwise.sum(1).mean():.3f} on average")

# %% [markdown]
# ## Eq. 11: two receptive fields
#
# > "Given feature $X\in\mathbb{R}^{C\times H\times W}$ obtained by the SA and the RDFE, we first fuse the local and global features extracted by a $5\times 5$ convolution and a $7\times 7$ convolution to get a hybrid feature $X$." (Sec. III-B3)
#
# $$X_1', X_2' = F_{conv5}(X),\ F_{conv7}(X) \tag{11}$$
#
# Whether a pixel belongs to an eye shows in its neighbourhood. So SKAF looks at two neighbourhoods of different size, its two [receptive fields](A_symbols_and_shapes.ipynb#Words). Both convolutions are dense: every output channel reads all input channels.
#
# <details><summary>What the paper leaves open</summary>
#
# - The sentence calls both the input and the hybrid feature $X$. In Fig. 2 one $X$ goes in: the two branches were concatenated and reduced to $C$ channels before.
# - The text does not say that the convolutions are dense. Table I does, indirectly: without SKAF in the LGFIs the network is 4.4 M parameters smaller, and only dense kernels are that large.
#
# </details>

# %%
C, H, W = 28, 32, 32
x = torch.randn(1, C, H, W)

conv5 = nn.Conv2d(C, C, 5, padding=2)
conv7 = nn.Conv2d(C, C, 7, padding=3)
x1, x2 = conv5(x), conv7(x)                                # Eq. 11
print("X1', X2'", tuple(x1.shape), tuple(x2.shape))

# %% [markdown]
# ## Eqs. 12 and 13: pool over the channels
#
# $$X_3 = H_{cat}(X_1', X_2') \tag{12}$$
#
# $$X_3 = H_{sig}(H_{cat}(H_{avep}(X_3),\ H_{maxp}(X_3))) \tag{13}$$
#
# > "…$H_{avep}(\cdot)$, $H_{maxp}(\cdot)$, and $H_{sig}(\cdot)$ indicate the average and max pooling operation along the channel direction and sigmoid function, respectively." (Sec. III-B3)
#
# Pooling over the channels makes one number of the $2C$ numbers of a pixel. The average tells how strong all channels are together. The maximum tells how strong the strongest one is. The sigmoid makes weights of both; we call the result the *maps*.
#
# <details><summary>What the paper leaves open</summary>
#
# Eq. 13 has $X_3$ on both sides. The running text speaks of "an average pooling operation" only; Eq. 13, Fig. 2 and Table V have both poolings.
#
# </details>

# %%
x3 = torch.cat([x1, x2], dim=1)                            # Eq. 12
average = x3.mean(dim=1, keepdim=True)
largest = x3.amax(dim=1, keepdim=True)
literal = torch.cat([average, largest], dim=1).sigmoid()   # Eq. 13, to the letter
print("X3              ", tuple(x3.shape))
print("average, maximum", tuple(average.shape), tuple(largest.shape))
print("maps            ", tuple(literal.shape))
print(f"second map >= first map at {(literal[:, 1] >= literal[:, 0]).float().mean():.0%} of the pixels")

# %% [markdown]
# The last line holds for every input. A maximum is never below a mean, and the sigmoid keeps the order. **To the letter, the second branch outweighs the first at every pixel of every image, whatever the network learns.** Such a module cannot choose.
#
# LSKNet has one more layer: a 7×7 convolution from two maps to two, between the pooling and the sigmoid. With it, each map may use both poolings, and either map may be the larger. It costs 198 parameters, and we add it: it is the dashed block of the drawing. Eq. 14 then only splits the maps:
#
# $$X', X'' = H_{cs}(X_3) \tag{14}$$
#
# > "…where $H_{cs}(\cdot)$ indicates the feature separation operation along the channel dimension." (Sec. III-B3)
#
# <details><summary>What the paper leaves open</summary>
#
# Table V is a second piece of evidence for the missing convolution. Three of its rows use one pooling or none. One pooling gives one map, but Eq. 14 splits two. With the convolution, a single pooling still yields two maps.
#
# </details>

# %%
mix = nn.Conv2d(2, 2, 7, padding=3)                        # as in LSKNet; not in Eq. 13
maps = mix(torch.cat([average, largest], dim=1)).sigmoid() # Eq. 13, with the missing convolution
w1, w2 = maps.chunk(2, dim=1)                              # Eq. 14
print("maps  ", tuple(maps.shape))
print("w1, w2", tuple(w1.shape), tuple(w2.shape))
print(f"second map >= first map at {(w2 >= w1).float().mean():.0%} of the pixels")

# %% [markdown]
# An untrained convolution may prefer either branch. Training can change that now.
#
# ## The module
#
# ### Exercise 1: write SKAF
#
# *Level 2, 15 minutes.* Now you have all parts. `self` is one SKAF of a network, for a feature of $C$ channels:
#
# | what `self` has | what it does |
# |---|---|
# | `self.convs` | a list of two dense convolutions, 5×5 and 7×7, $C \to C$ channels each |
# | `self.mix` | 7×7 convolution, $2 \to 2$ channels: the one that Eq. 13 leaves out. It reads the average, then the maximum |
#
# Write its `forward`: `x` is $(B, C, H, W)$. Return a tuple of the two maps $(w_1, w_2)$ of Eq. 14, each $(B, 1, H, W)$ with values in $(0, 1)$. The check puts your forward into all eleven SKAFs of the trained network `pocket`: eight sit in LGFIs, three in EDFFs. It compares every value, and shows the faces that come out.

# %% tags=["exercise"]
def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Eqs. 11-14. (B, C, H, W) -> two of (B, 1, H, W)."""
    ...  # your turn


passed = check("05.1", forward)

# %% tags=["solution"]
class SKAF(nn.Module):
    def __init__(self, channels: int, kernels: tuple[int, ...] = (5, 7), pools: tuple[str, ...] = ("avg", "max"),
                 gate: str = "maps", dilated: bool = False):
        super().__init__()
        self.pools, self.gate = tuple(pools), gate
        self.convs = nn.ModuleList(
            nn.Conv2d(channels, channels, 3, padding=2, dilation=2) if dilated and kernel == 5
            else nn.Conv2d(channels, channels, kernel, padding=kernel // 2)
            for kernel in kernels
        )
        self.mix = nn.Conv2d(len(pools) or len(kernels) * channels, 2, 7, padding=3)

    def maps(self, x: torch.Tensor) -> torch.Tensor:
        x3 = torch.cat([conv(x) for conv in self.convs], dim=1)  # Eqs. 11-12
        pooled = {"avg": x3.mean(dim=1, keepdim=True), "max": x3.amax(dim=1, keepdim=True)}
        kept = [pooled[name] for name in self.pools] or [x3]
        return self.mix(torch.cat(kept, dim=1)).sigmoid()  # Eq. 13

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        w1, w2 = self.maps(x).chunk(2, dim=1)  # Eq. 14
        return (w1, w2) if self.gate == "maps" else (x * w1, x * w2)


passed = check("05.1", SKAF.forward)

# %% [markdown]
# The package's class is `aminet.skaf.SKAF`. It has a switch for each thing that Table V removes, `kernels` and `pools`, and one for what the paper leaves open, `gate` (below). With the weights from above, it gives the maps from above.

# %%
module = SKAF(C)
module.load_state_dict({"convs.0.weight": conv5.weight, "convs.0.bias": conv5.bias,
                        "convs.1.weight": conv7.weight, "convs.1.bias": conv7.bias,
                        "mix.weight": mix.weight, "mix.bias": mix.bias})
assert_close(module(x), (w1, w2))
print("the class equals the steps above;", f"{sum(p.numel() for p in module.parameters()):,}", "parameters at C = 28")

# %% [markdown]
# ## What the poolings see
#
# `pocket` is AMINet with C = 8, trained by us on CelebA. We take one SKAF of its decoder, at 64×64. The two portraits were not in the training; they are reduced to 16×16 and enlarged again.

# %%
network, header = load_weights("pocket")
names = ["hopper", "collins"]
hr = torch.stack([portraits()[name] for name in names])
image = to_float(upsample(degrade(hr)))

stages = [*network.encoders, *network.bottleneck, *reversed(network.decoders)]   # the eight LGFIs
labels = ["encoder 128", "encoder 64", "encoder 32", "middle 16", "middle 16 (2)", "decoder 32", "decoder 64",
          "decoder 128"]
mixtures = []                                              # what each SKAF is given
hooks = [stage.skaf.register_forward_hook(lambda module, args, out: mixtures.append(args[0])) for stage in stages]
with torch.no_grad():
    network(image)
for hook in hooks:
    hook.remove()

skaf, x = stages[6].skaf, mixtures[6]                      # decoder 64
with torch.no_grad():
    x3 = torch.cat([conv(x) for conv in skaf.convs], dim=1)
    learned = skaf.maps(x)
average, largest, channel = x3.mean(1), x3.amax(1), x3.argmax(1)   # channel: which one holds the maximum
literal = torch.stack([average, largest], dim=1).sigmoid()
without_mixing, with_mixing = literal[:, 0] - literal[:, 1], learned[:, 0] - learned[:, 1]
print("X", tuple(x.shape), " X3", tuple(x3.shape), " maps", tuple(learned.shape))
for name, difference in (("to the letter", without_mixing), ("with mixing", with_mixing)):
    print(f"{name:14s} w1 > w2 at {(difference > 0).float().mean():.0%} of the pixels")

# %% tags=["plot"]
figure = show([[image[i], average[i], largest[i], channel[i], without_mixing[i], with_mixing[i]] for i in range(2)],
              labels=names, titles=["input", "average", "maximum", "channel of\nthe maximum",
                                    "w1 - w2,\nto the letter", "w1 - w2,\nwith mixing"])
for row in range(2):
    axes = figure.axes[6 * row:6 * row + 6]
    axes[3].images[0].set_cmap("tab20")
    for axis in axes[4:]:
        axis.images[0].set(cmap="RdBu_r", clim=(-1, 1))
bar = figure.add_axes([1.01, 0.05, 0.012, 0.8])
figure.colorbar(axes[5].images[0], cax=bar, label="w1 - w2")
figure.set_label("For two portraits: the average and the maximum of SKAF's channels, which channel holds the maximum, and "
                 "the difference of the two weights: blue everywhere to the letter, red and blue with the mixing")
plt.show()

# %% [markdown]
# In the average and the maximum, bright is large. The average is one fixed sum of all channels. The maximum follows the strongest channel, which changes from place to place (one colour per channel). So the two poolings hold different information.
#
# The last two columns come from the same $X_3$. Red prefers the global branch, blue the local one. To the letter, the map can only be blue; it is paler where the maximum is near the mean. With the mixing, both colours are possible.
#
# ## What the trained network selects
#
# Here are both maps of all eight SKAFs that sit in LGFIs, for the first portrait. $w_1$ weighs the global branch (SA), $w_2$ the local one (RDFE). The table has the mean of each map, and its spread: the standard deviation over the pixels of a face. A map with spread zero is a constant and selects nothing.

# %%
with torch.no_grad():
    selected = [stage.skaf.maps(x) for stage, x in zip(stages, mixtures)]   # eight times (2, 2, H, W)
first = [maps[0, 0] for maps in selected]                                   # w1 of the first portrait
second = [maps[0, 1] for maps in selected]
figure = show([first[:4], second[:4], first[4:], second[4:]], labels=["w1: global", "w2: local"] * 2,
              captions=[labels[:4], labels[:4], labels[4:], labels[4:]])
for axis in figure.axes:
    axis.images[0].set_clim(0, 1)
figure.colorbar(axis.images[0], cax=figure.add_axes([1.02, 0.05, 0.02, 0.9]), label="weight")
figure.set_label("The weights of the global and of the local branch at every pixel, in the eight LGFIs")
plt.show()

rows = []
for label, maps in zip(labels, selected):
    mean = maps.mean(dim=(0, 2, 3))                        # of w1 and of w2, over both portraits
    spread = maps.std(dim=(2, 3)).mean(0)                  # over the pixels of a face
    rows.append([label, mean[0].item(), spread[0].item(), mean[1].item(), spread[1].item(), mean.sum().item()])
table(rows, ["LGFI", "w1 (global), mean", "spread", "w2 (local), mean", "spread", "w1 + w2"])

# %% [markdown]
# The choice depends most on the place in the middle of the network, where the spread is up to 0.34. The sum of the two weights is free, here 0.70 to 1.26. Sigmoids may raise both branches or lower both; a softmax could not.
#
# ## Two gates: maps, or features
#
# Eq. 14 returns the maps, and the maps multiply the two branches. Fig. 2 draws one more product: inside SKAF each map multiplies **SKAF's own input** $X$, so that a feature of $C$ channels leaves. The switch is `gate`:
#
# $$\text{maps:}\quad y = a\,w_1 + r\,w_2 \qquad\qquad \text{features:}\quad y = a\,(X w_1) + r\,(X w_2)$$
#
# The global branch $a$, the local branch $r$ and $X$ all grow in proportion to the feature $x$ that comes in. So the output of `maps` grows like $x$, and the output of `features` like $x^2$. Let $m_k$ be the size after $k$ fusions:
#
# $$\text{maps:}\quad m_{k+1} \approx g\,m_k \qquad\qquad \text{features:}\quad m_{k+1} \approx g\,m_k^2$$
#
# <details><summary>What the paper leaves open</summary>
#
# Eq. 14 and Fig. 2 disagree. Sec. III-C multiplies "the two obtained weights" with the branches, as Eq. 14 says. LSKNet ends as Fig. 2 draws it: its attention multiplies its input. The parameter count is the same for both.
#
# </details>

# %%
@torch.no_grad()
def trace(start, gate, norm_and_shortcut):
    """Size (RMS) before and after each of eight untrained LGFIs in a row."""
    config = replace(preset("pocket"), gate=gate, norm=norm_and_shortcut, residual=norm_and_shortcut)
    torch.manual_seed(0)
    blocks = [LGFI(8, config=config).eval() for _ in range(8)]
    x = start * torch.randn(1, 8, 32, 32)
    sizes = [x.double().square().mean().sqrt().item()]
    for block in blocks:
        x = block(x)
        sizes.append(x.double().square().mean().sqrt().item())
    return sizes


print("features, bare, start 4:", ", ".join(f"{size:.0e}" for size in trace(4, "features", False)))

# %% [markdown]
# The rule of `features` has a fixed point, $1/g$, that repels. Below it a size shrinks, above it a size grows, and the *exponent* doubles every time. After eight LGFIs the feature has grown like $x^{2^8} = x^{256}$. The largest float32 is $3.4\cdot10^{38}$.

# %% tags=["plot"]
LINES = {"maps, bare": ("maps", False, ":"), "maps, LN and shortcut": ("maps", True, "-"),
         "features, bare (Fig. 2)": ("features", False, ":"), "features, LN and shortcut": ("features", True, "-")}


def plot_traces(start=16.0):
    figure, axes = plt.subplots(1, 3, figsize=(9.6, 3.2), sharey=True, layout="constrained")
    for axis, value in zip(axes, (1, 4, start)):
        for name, (gate, keep, style) in LINES.items():
            sizes = torch.tensor(trace(value, gate, keep))
            finite = sizes.isfinite()
            colour = "C0" if gate == "maps" else "C1"
            axis.semilogy(sizes[finite], style, color=colour, marker=".", label=name)
            if not finite.all():
                axis.text(0.2, 1e10, f"NaN after\nfusion {int(finite.sum())}", color=colour, va="top")
        axis.set(title=f"start with RMS {value:g}", xlabel="fusions", ylim=(1e-3, 1e11), xticks=range(0, 9, 2))
    axes[0].set_ylabel("RMS of the feature")
    figure.legend(*axes[0].get_legend_handles_labels(), loc="outside lower center", ncols=4)
    plt.show()


explore(plot_traces, start=(0.5, 32.0))

# %% [markdown]
# "Bare" is a block without LayerNorm and shortcut. [LayerNorm](06_lgfi.ipynb) brings the numbers of every pixel to mean 0 and variance 1; a [shortcut](A_symbols_and_shapes.ipynb#Words) adds the input $x$ to the output. With `features`, a bare block falls to about 0.01, the size of its biases, when it starts at 1. It overflows when it starts at 4 or 16. With `maps`, the size shrinks slowly, to about 0.1 after eight fusions, from each of the three starts. Both gates behave well once a LayerNorm gives the branches an input of size 1 and a shortcut carries $x$ around them.
#
# ## From a jump to NaN
#
# What does this do to a training? The last convolution of AMINet starts at zero. So the first output is exactly the bicubic face, and the first loss is finite. The zeros also stop the gradient: in the first step only the last convolution changes. After that step it is no longer zero, and the second output contains the feature.
#
# We take small networks with C = 4, four crops of 64×64, and several seeds. Since only the last convolution changes, one pass through the rest is enough.

# %%
batch = faces(4, seed=5)
small_x = to_float(upsample(degrade(batch)))[..., 32:96, 32:96]
small_y = to_float(batch)[..., 32:96, 32:96]


def two_losses(seed, **switches):
    """The training losses before the first and before the second step of Adam."""
    torch.manual_seed(seed)
    network = AMINet(replace(preset("pocket"), channels=4, heads=(1, 1, 2, 2), **switches)).train()
    features = []                                          # what enters the last convolution
    network.tail.register_forward_pre_hook(lambda module, args: features.append(args[0]))
    with torch.no_grad():
        network(small_x)
    optimizer, losses = torch.optim.Adam(network.tail.parameters(), lr=1e-3), []
    for _ in range(2):
        loss = (network.tail(features[0]) + small_x - small_y).abs().mean()
        losses.append(loss.item())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return losses


ratios = {"our default": [], "Fig. 2, literally": []}
for seed in range(SEEDS):
    before, after = two_losses(seed)
    ratios["our default"].append(after / before)
    before, after = two_losses(seed, gate="features", norm=False, residual=False)
    ratios["Fig. 2, literally"].append(after / before)
for name, values in ratios.items():
    blown = sum(not value < 2 for value in values)         # NaN is not below 2, either
    print(f"{name}: the loss more than doubles, or is NaN, with {blown} of {SEEDS} seeds")

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for offset, (name, values) in zip((-0.1, 0.1), ratios.items()):
    finite = torch.tensor(values).nan_to_num(1e38, posinf=1e38)
    axis.semilogy(torch.arange(SEEDS) + offset, finite, "o", label=name)
axis.axhline(1, color="black", lw=0.8)
axis.set(title="How the loss changes in one training step", xlabel="seed", ylabel="second loss / first loss")
axis.legend()
plt.show()

# %% [markdown]
# With most seeds the step does no harm. With three seeds the loss jumps: tenfold with one, by many orders of magnitude with the others. The fixed point explains it: the seed decides on which side of $1/g$ the features start. From such a jump, one more step or one image of large contrast leads to NaN.
#
# The course keeps `gate="maps"`, as Eqs. 14-16 say. With LayerNorm and shortcut, `features` can be trained, too.
#
# <details><summary>What our trainings say</summary>
#
# - When we first trained Fig. 2 literally (`features`, no norm, no shortcut, C = 8), the loss was NaN at the second step. No record of that trial is kept; the cell above shows as much of it as reproduces.
# - Which seeds jump depends on the size of the network and of the crop.
# - Neither the parameter count nor Table V can tell the two gates apart. Three short trainings of a small network, with LayerNorm and shortcut, lost 0.2 to 0.4 dB with `features`. The paired test gives $p = 0.035$ for it, but it is one of seven questions asked ([notebook 11](11_ablations.ipynb)).
#
# </details>
#
# ## Table V: what does each part of SKAF give?
#
# Table V trains seven versions of AMINet, with other kernels and poolings in SKAF. The paper prints PSNR and SSIM; the parameters are ours.

# %%
PUBLISHED = {"SKAF none": (27.69, 0.7919), "SKAF 7x7 avg max": (27.76, 0.7955), "SKAF 5x5 avg max": (27.73, 0.7946),
             "SKAF 7x7": (27.74, 0.7931), "SKAF 7x7 avg": (27.79, 0.7951), "SKAF 7x7 max": (27.78, 0.7946),
             "SKAF 5x5 7x7 avg max": (27.83, 0.7961)}      # PSNR in dB and SSIM, Table V


def parameters(config):
    with torch.device("meta"):                             # shapes only, no memory
        return sum(p.numel() for p in AMINet(config).parameters())


def in_words(row):
    return row.removeprefix("SKAF ").replace("7x7", "7×7").replace("5x5", "5×5")


rows = [[in_words(row), psnr, f"{ssim:.4f}", parameters(preset(f"aminet/{row}")) / 1e6]
        for row, (psnr, ssim) in PUBLISHED.items()]
table(rows, ["SKAF in Table V", "PSNR (dB)", "SSIM", "parameters (M)"], best={"PSNR (dB)": max})

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(7, 3.8), layout="constrained")
for name, psnr, _, size in rows:
    axis.plot(size, psnr, "o", color="C1" if name in ("7×7 avg", "7×7 max") else "C0")
    axis.annotate(name, (size, psnr), xytext=(-7, 0), textcoords="offset points", ha="right", va="center", fontsize=9)
axis.set(title="Table V: published PSNR against the size of our network", xlabel="parameters (millions)",
         ylabel="PSNR (dB), Table V", xlim=(5.8, 13.2), ylim=(27.67, 27.85))
plt.show()

# %% [markdown]
# Before you trust a difference, ask what else changed, and how large chance is.
#
# - **The rows differ in size.** Sorted by parameters they are nearly sorted by PSNR. The last network has almost twice the parameters of the first. No row asks whether these parameters would help as much elsewhere.
# - **A fair pair differs in one thing.** For "two kernels help", compare the second and third row with the last: +0.07 and +0.10 dB. Even these differ in size, by 1.9 and 3.7 M parameters.
# - **The paper gives no spread over trainings.** [Notebook 11](11_ablations.ipynb) shows that differences of this size can be chance. In our own short trainings, three for each row, none of these differences holds by both tests.
#
# <details><summary>Where the text and Table V disagree</summary>
#
# > "…we find that using a single pooling branch results in reduced performance, while using average pooling alone results in lower performance than using maximum pooling alone." (Sec. IV-C5)
#
# - **Average against maximum.** The table has 27.79 dB for the average alone and 27.78 dB for the maximum alone (orange). So the average is better there; the text says that it is worse, and explains why. The gap is 0.01 dB, and the paper does not say how far two trainings of one network lie apart.
# - **One pooling against two.** The sentence compares rows that differ in two things: the last row has the 5×5 as well. With the 7×7 alone, both poolings have 27.76 dB, *less* than either pooling alone.
# - **One kernel against two.** The text's evidence is "compared to the third and fifth rows". The third row is the 5×5 with both poolings, the fifth the 7×7 with the average: they differ from the last row in different things.
# - **Two ways to have no SKAF.** Table V's first row has 27.69 dB, Table I's "LGFI w/o SKAF" 27.74 dB. So they are different networks. Our interpretation: in Table I only the LGFIs lose SKAF (its 8.21 M parameters fit), in Table V the EDFFs, too.
#
# </details>
#
# ## The bill
#
# A dense $k\times k$ convolution from $C$ to $C$ channels has $k^2C^2$ weights. The 5×5 and the 7×7 have $74\,C^2$ together, and the biases and the mixing add $2C + 198$. LSKNet's convolutions are depthwise, and such kernels would have $74\,C$.

# %%
rows = []
for width in preset("aminet").widths[:3]:
    size = sum(p.numel() for p in SKAF(width).parameters())
    assert size == 74 * width**2 + 2 * width + 198
    rows.append([width, 74 * width**2, 74 * width, size])
table(rows, ["C", "dense kernels, 74 C²", "depthwise kernels, 74 C", "SKAF, 74 C² + 2 C + 198"])

# %%
costs = bill(preset("aminet"))                             # the cost of every module, by its name
fusions = [key for key in costs if key.endswith((".skaf", ".reduce"))]
parts = {
    "SA": [key for key in costs if key.endswith(".sa")],
    "RDFE": [key for key in costs if key.endswith(".local")],
    "fusion in LGFI": [key for key in fusions if not key.startswith("edffs")],
    "fusion in EDFF": ["edffs.0", "edffs.1", "edffs.2"],
}
whole = costs[""]
rows = []
for name, keys in parts.items():
    rows.append([name, sum(costs[key].params for key in keys), sum(costs[key].macs for key in keys)])
rows.append(["the rest", whole.params - sum(row[1] for row in rows), whole.macs - sum(row[2] for row in rows)])
shares = {name: (100 * params / whole.params, 100 * macs / whole.macs) for name, params, macs in rows}
table([[name, params, f"{shares[name][0]:.1f}%", macs / 1e9, f"{shares[name][1]:.1f}%"] for name, params, macs in rows]
      + [["AMINet", whole.params, "", whole.macs / 1e9, ""]],
      ["part", "parameters", "share", "GMACs", "share"])

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(8.5, 2.6), layout="constrained")
start = [0, 0]
for name, colour in zip(shares, ("C5", "C0", "C1", "#e7a27c", "#d5dae1")):
    axis.barh([1, 0], shares[name], left=start, color=colour, edgecolor="white", label=name)
    for i, share in enumerate(shares[name]):
        if share > 5:
            axis.text(start[i] + share / 2, 1 - i, f"{share:.0f}%", ha="center", va="center",
                      color="white" if colour[0] == "C" else "black")
        start[i] += share
axis.set(yticks=[1, 0], yticklabels=["parameters", "MACs"], xlim=(0, 100), xlabel="share (%)",
         title="About half of AMINet decides how to add two features")
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
axis.grid(False)
plt.show()

# %% [markdown]
# The fusion modules, with the 1×1 before each, hold 45% of the parameters and do 60% of the multiply-adds (MACs). "Selective fusion" is not a small addition to AMINet: it is the largest part. The paper does not ask whether its convolutions must be dense.
#
# ### Exercise 2: which branch does the literal equation prefer?
#
# *Level 1, 5 minutes.* Write `literal_maps(x3)`: Eq. 13 to the letter. It takes $X_3$, $(B, 2C, H, W)$, and returns the two maps as one tensor $(B, 2, H, W)$. Then convince yourself again that the second is never below the first.

# %% tags=["exercise"]
def literal_maps(x3: torch.Tensor) -> torch.Tensor:
    """Eq. 13 to the letter. (B, 2C, H, W) -> (B, 2, H, W)."""
    ...  # your turn


passed = check("05.2", literal_maps)

# %% tags=["solution"]
def literal_maps(x3: torch.Tensor) -> torch.Tensor:
    """Eq. 13 to the letter. (B, 2C, H, W) -> (B, 2, H, W)."""
    return torch.cat([x3.mean(1, keepdim=True), x3.amax(1, keepdim=True)], 1).sigmoid()


passed = check("05.2", literal_maps)

# %% [markdown]
# ### Exercise 3: the price of a row
#
# *Level 2, 10 minutes.* Write `price(c, kernels, pools)`: the parameters of a SKAF of width `c`. `kernels` are the sizes of its dense convolutions, such as `(5, 7)`. `pools` is the number of poolings: 0, 1 or 2. Without a pooling, the 7×7 mixing reads all channels of $X_3$.

# %% tags=["exercise"]
def price(c: int, kernels: tuple[int, ...], pools: int) -> int:
    """The parameters of a SKAF: weights and biases of all its convolutions."""
    ...  # your turn


passed = check("05.3", price)

# %% tags=["solution"]
def price(c: int, kernels: tuple[int, ...], pools: int) -> int:
    """The parameters of a SKAF: weights and biases of all its convolutions."""
    read = pools or len(kernels) * c
    return sum(k * k * c * c + c for k in kernels) + 98 * read + 2


passed = check("05.3", price)

# %% [markdown]
# The package's bill counts the parameters in the same way, and the multiply-adds. Every weight works once per pixel; a bias never multiplies.

# %%
def skaf(c: int, height: int, width: int, kernels: tuple[int, ...] = (5, 7),
         pools: tuple[str, ...] = ("avg", "max"), dilated: bool = False) -> Cost:
    """A dense 5x5 and 7x7 (74c^2, 2c biases), then 7x7 from the pooled maps to two (98 each, 2 biases)."""
    dense = sum(9 if dilated and k == 5 else k * k for k in kernels) * c * c
    mix = 98 * (len(pools) or len(kernels) * c)  # without pooling, from all channels
    return Cost(dense + len(kernels) * c + mix + 2, (dense + mix) * height * width)


first = skaf(28, 128, 128)
print(f"the first SKAF of AMINet: {first.params:,} parameters, {first.macs / 1e9:.2f} GMACs")

# %% [markdown]
# ### Exercise 4: how fast does a squared gate grow?
#
# *Level 2, 10 minutes.* Write `log_size(m, g, k)`: the base-10 logarithm of the size after $k$ fusions with $m_{k+1} = g\,m_k^2$ and $m_0 = m$, in closed form. (The logarithm, because the number itself soon overflows.) For a start at 4, $g = 0.5$ and eight fusions it is 77.4, twice the exponent of the largest float32.

# %% tags=["exercise"]
def log_size(m: float, g: float, k: int) -> float:
    """log10 of the size after k fusions that square it."""
    ...  # your turn


passed = check("05.4", log_size)

# %% tags=["solution"]
from math import log10


def log_size(m: float, g: float, k: int) -> float:
    """log10 of the size after k fusions that square it."""
    return (2**k - 1) * log10(g) + 2**k * log10(m)


passed = check("05.4", log_size)

# %% [markdown]
# ## What to remember
#
# - SKAF pools a 5×5 and a 7×7 view of the mixed feature over its channels and turns them into one weight map per branch. Without LSKNet's 7×7 mixing, the second branch always outweighs the first.
# - Maps as gates keep the size of a feature proportional. Features as gates (Fig. 2) square it, and eight squares in a row vanish or overflow, unless LayerNorm and a shortcut hold them.
# - Fusion is 45% of AMINet's parameters and 60% of its MACs. The text draws conclusions from Table V that the table does not support.
#
# To read on: X. Li et al., [Selective Kernel Networks](https://arxiv.org/abs/1903.06586) (2019); Y. Li et al., [LSKNet](https://arxiv.org/abs/2303.09030) (2023); S. Woo et al., [CBAM](https://arxiv.org/abs/1807.06521) (2018), for maps from pooled channels.
#
# Next: [06 · LGFI](06_lgfi.ipynb) puts SA, RDFE and SKAF together.
