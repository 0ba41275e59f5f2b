# %% [markdown]
# # 05 · SKAF: choosing, pixel by pixel
#
# LGFI has two views of a face, a global and a local one. SKAF looks at a mixture of the two and says, for every pixel, how much of each to keep.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/05_skaf.ipynb) · previous: [04 · RDFE](04_rdfe.ipynb) · next: [06 · LGFI](06_lgfi.ipynb)
#
# You will be able to
#
# - **write** SKAF from Eqs. 11-14, put it into a trained network, and name the convolution that the equations leave out;
# - **explain** why multiplying features by features, eight times in a row, ends in NaN;
# - **weigh** what Table V says about SKAF against what it costs.

# %% tags=["parameters"]
WIDGETS = False  # True in a live notebook: sliders
SEEDS = 8  # networks that take two training steps each
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
from torch.testing import assert_close

from aminet import ABLATIONS, preset
from aminet.degrade import degrade, to_float, upsample
from aminet.ledger import bill
from aminet.lgfi import LGFI
from aminet.model import AMINet
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import faces
from aminet.skaf import SKAF
from aminet.training.weights import load_weights
from exercises import check


def scale(figure, low, high, label):
    """One colour scale for every map of a figure, and its bar."""
    for axis in figure.axes:
        for image in axis.images:
            image.set_clim(low, high)
    figure.colorbar(image, ax=figure.axes, label=label)

# %% [markdown]
# ## From SKNet to LSKNet to SKAF
#
# > "Inspired by SKNet [35] and LSKNet [36], as shown in Fig. 2, we design an SKAF module to give our model the ability to select local and global features required for reconstruction for fusion interaction." (Sec. III-B3)
#
# All three answer one question: there are two features of the same shape, how much of each should go on? They differ in what a weight belongs to.
#
# | | the two features | looks at | a weight for each | the weights |
# |---|---|---|---|---|
# | SKNet (CVPR 2019) | a 3x3 and a 5x5 convolution of one input | the mean over all **pixels** | branch and **channel** | softmax: sum to 1 |
# | LSKNet (ICCV 2023) | a 5x5 depthwise convolution, and a dilated 7x7 behind it | mean and max over all **channels** | branch and **pixel** | sigmoid: free |
# | SKAF | SA and RDFE, or encoder and decoder | mean and max over all **channels** of a 5x5 and a 7x7 convolution of their mixture | branch and **pixel** | sigmoid: free |
#
# In SKNet and LSKNet the kernels make the candidates. In SKAF the kernels only make up the mind: the candidates come from elsewhere. The introduction's phrase "by selecting appropriate convolutional kernels" fits the two ancestors better than it fits SKAF.

# %%
def sk_select(features, squeeze, expand):
    z = squeeze(sum(features).mean(dim=(2, 3))).relu()                   # (B, C) -> (B, d): the whole image
    logits = expand(z).reshape(len(z), len(features), -1, 1, 1)          # (B, 2, C, 1, 1)
    return logits.softmax(dim=1)


def lsk_select(features, mix):
    both = torch.cat(features, dim=1)                                    # (B, 2C, H, W)
    pooled = torch.cat([both.mean(1, keepdim=True), both.amax(1, keepdim=True)], dim=1)  # (B, 2, H, W)
    return mix(pooled).sigmoid()                                         # (B, 2, H, W)


pair = [torch.randn(1, 28, 32, 32), torch.randn(1, 28, 32, 32)]
with torch.no_grad():
    channelwise = sk_select(pair, nn.Linear(28, 8), nn.Linear(8, 2 * 28))
    pixelwise = lsk_select(pair, nn.Conv2d(2, 2, 7, padding=3))
print("SKNet  ", tuple(channelwise.shape), "sum over the branches:", f"{channelwise.sum(1).mean():.3f}")
print("LSKNet ", tuple(pixelwise.shape), "   sum over the branches:", f"{pixelwise.sum(1).mean():.3f}")

# %% [markdown]
# A weight for the whole image cannot take one eye from here and the other from there. Let branch A be clean on the left of a face and branch B on the right, and give each kind of weight its best value.

# %%
face = to_float(portraits()["collins"])
left = (torch.arange(128) < 64).float().expand(128, 128)
noise = torch.randn(2, 3, 128, 128)
a = face + noise[0] * (0.1 + 0.5 * (1 - left))      # clean on the left
b = face + noise[1] * (0.1 + 0.5 * left)            # clean on the right


def decibels(x):
    return f"{10 * torch.log10(4 / (x - face).square().mean()):.1f} dB"


whole = 0.5 * a + 0.5 * b                           # by symmetry, the best weight for the whole image
local = left * a + (1 - left) * b                   # a map that knows where to look
show([[a, b, whole, local, left]],
     titles=[f"A: {decibels(a)}", f"B: {decibels(b)}", f"one weight: {decibels(whole)}", f"a map: {decibels(local)}", "the map of A"])
plt.show()

# %% [markdown]
# ## Eq. 11: two receptive fields
#
# > "Given feature $X\in\mathbb{R}^{C\times H\times W}$ obtained by the SA and the RDFE, we first fuse the local and global features extracted by a $5\times 5$ convolution and a $7\times 7$ convolution to get a hybrid feature $X$." (Sec. III-B3)
#
# $$X_1', X_2' = F_{conv5}(X),\ F_{conv7}(X) \tag{11}$$
#
# One $X$ goes in: the two branches were concatenated and reduced to $C$ channels before (Fig. 2). Both convolutions are dense, from all channels to all channels. The text does not say so; the evidence is Table I, where taking SKAF out of the LGFIs saves 4.4 M parameters, as dense kernels do.

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
# Eq. 13 writes $X_3$ on both sides; we call the result the maps. The running text speaks of "an average pooling operation" only; Eq. 13, Fig. 2 and Table V have both poolings.

# %%
x3 = torch.cat([x1, x2], dim=1)                            # Eq. 12
avg = x3.mean(dim=1, keepdim=True)
largest = x3.amax(dim=1, keepdim=True)
literal = torch.cat([avg, largest], dim=1).sigmoid()       # Eq. 13, to the letter
print("X3      ", tuple(x3.shape))
print("avg, max", tuple(avg.shape), tuple(largest.shape))
print("maps    ", tuple(literal.shape))
print(f"second map >= first map at {(literal[:, 1] >= literal[:, 0]).float().mean():.0%} of the pixels")

# %% [markdown]
# That last line is no accident. A maximum is never below a mean, and the sigmoid keeps the order. **To the letter, the second branch outweighs the first at every pixel of every image, whatever is learned.** Such a module selects nothing.
#
# A second piece of evidence is Table V. Three of its rows use one pooling or none. One pooling gives one map, and Eq. 14 splits two.
#
# LSKNet has a 7x7 convolution from two maps to two between the pooling and the sigmoid. With it, both facts make sense: each map may use both poolings, and a single pooling still yields two maps. It costs 198 parameters. We put it in.
#
# Eq. 14 then only splits:
#
# $$X', X'' = H_{cs}(X_3) \tag{14}$$
#
# > "…where $H_{cs}(\cdot)$ indicates the feature separation operation along the channel dimension." (Sec. III-B3)

# %%
mix = nn.Conv2d(2, 2, 7, padding=3)                        # as in LSKNet; not in Eq. 13
maps = mix(torch.cat([avg, largest], dim=1)).sigmoid()     # Eq. 13, with the missing convolution
w1, w2 = maps.chunk(2, dim=1)                              # Eq. 14
print("maps  ", tuple(maps.shape))
print("w1, w2", tuple(w1.shape), tuple(w2.shape))
print(f"second map >= first map at {(w2 >= w1).float().mean():.0%} of the pixels")

# %% [markdown]
# An untrained convolution may lean either way; training moves it. Now it can.
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
# The class is `aminet.skaf.SKAF`. It has a switch for each thing that Table V removes (`kernels`, `pools`) and for what the paper leaves open (`gate`, below). With the weights from above it is the calculation from above.

# %%
module = SKAF(C)
module.load_state_dict({"convs.0.weight": conv5.weight, "convs.0.bias": conv5.bias,
                        "convs.1.weight": conv7.weight, "convs.1.bias": conv7.bias,
                        "mix.weight": mix.weight, "mix.bias": mix.bias})
assert_close(module(x), (w1, w2))
print("the class equals the steps above;", sum(p.numel() for p in module.parameters()), "parameters at C = 28")

# %% [markdown]
# ## What the poolings see
#
# `pocket` is AMINet with C = 8, trained by us on CelebA. Here is one SKAF of its decoder, at 64x64, on two portraits that it never saw, reduced to 16x16 and enlarged.

# %%
net, header = load_weights("pocket")
names = ["hopper", "collins"]
hr = torch.stack([portraits()[name] for name in names])
image = to_float(upsample(degrade(hr)))

stages = [*net.encoders, *net.bottleneck, *reversed(net.decoders)]
labels = ["encoder 128", "encoder 64", "encoder 32", "middle 16", "middle 16", "decoder 32", "decoder 64",
          "decoder 128"]
mixtures = []                                              # what each SKAF is given
hooks = [stage.skaf.register_forward_hook(lambda module, args, out: mixtures.append(args[0])) for stage in stages]
with torch.no_grad():
    net(image)
for hook in hooks:
    hook.remove()

skaf, x = stages[6].skaf, mixtures[6]                     # decoder 64
with torch.no_grad():
    x3 = torch.cat([conv(x) for conv in skaf.convs], dim=1)
    learned = skaf.maps(x)
print("X", tuple(x.shape), " X3", tuple(x3.shape), " maps", tuple(learned.shape))

# %%
average, largest = x3.mean(1), x3.amax(1)
channel = x3.argmax(1)                                     # which channel holds the maximum
literal = torch.stack([average, largest], dim=1).sigmoid()
difference = {"literal Eq. 13": literal[:, 0] - literal[:, 1],
              "with mixing": learned[:, 0] - learned[:, 1]}
rows = [[image[i], average[i], largest[i], channel[i], *(d[i] for d in difference.values())] for i in range(2)]
figure = show(rows,
              labels=names, height=1.35,
              titles=["input", "average", "maximum", "channel of\nthe max"] + [f"w1 - w2:\n{name}" for name in difference])
for row in figure.axes[:6], figure.axes[6:]:
    row[3].images[0].set_cmap("tab20")
    for axis in row[4:]:
        axis.images[0].set(cmap="RdBu_r", clim=(-1, 1))
plt.show()
for name, d in difference.items():
    print(f"{name:20s} w1 > w2 at {(d > 0).float().mean():.0%} of the pixels")

# %% [markdown]
# In the first two maps bright is large. The average is one fixed sum of all channels. The maximum follows the strongest channel, and that channel changes from place to place (one colour per channel). So the two do not hold the same information.
#
# The last two columns are built from the same $X_3$, on one scale from -1 to 1. Red: the global branch is preferred. Blue: the local branch. To the letter, the map can only be blue, and paler where the maximum is near the mean. With the mixing, both colours are within reach.
#
# ## What the trained net selects
#
# The main figure: both maps of all eight SKAFs that sit in LGFIs. $w_1$ weighs the global branch (SA), $w_2$ the local one (RDFE).

# %%
with torch.no_grad():
    selected = [stage.skaf.maps(x) for stage, x in zip(stages, mixtures)]   # eight times (2, 2, H, W)
figure = show([[image[0]] + [m[0, k] for m in selected] for k in range(2)], height=1.15,
              titles=["input"] + [label.replace(" ", "\n") for label in labels],
              labels=["w1: global", "w2: local"])
scale(figure, 0, 1, "weight")
plt.show()
print("               w1 (global)      w2 (local)      w1 + w2")
print("               mean   spread    mean   spread   mean")
for label, m in zip(labels, selected):
    (w1, w2), (s1, s2) = m.mean(dim=(0, 2, 3)), m.std(dim=(2, 3)).mean(0)
    print(f"{label:12s}   {w1:.2f}   {s1:.3f}     {w2:.2f}   {s2:.3f}    {w1 + w2:.2f}")

# %% [markdown]
# The spread is the standard deviation over the pixels of a face: near zero, a map is a constant and selects nothing; the larger it is, the more the choice depends on the place. The sum is not held at 1: a sigmoid may turn both branches up, or both down. A softmax could not.
#
# ## The gate: Fig. 2 against Eq. 14
#
# Eq. 14 splits the maps, and Sec. III-C multiplies "the two obtained weights" with the branches. Fig. 2 draws one more product: inside SKAF each map multiplies **SKAF's own input** $X$, and what leaves has $C$ channels. (LSKNet ends so: its attention multiplies its input.) The switch is `gate`:
#
# $$\text{maps:}\quad y = a\,w_1 + r\,w_2 \qquad\qquad \text{features:}\quad y = a\,(X w_1) + r\,(X w_2)$$
#
# A size tells the difference. The global branch $a$ (SA's output), the local branch $r$ (RDFE's) and $X$ all grow in proportion to the feature $x$ that comes in. So `maps` is about proportional to $x$, and `features` to $x^2$:
#
# $$m_{k+1} \approx g\,m_k \qquad\qquad\qquad\qquad m_{k+1} \approx g\,m_k^2$$
#
# where $m_k$ is the size after $k$ fusions. The second has a fixed point $1/g$ that repels: below it a size shrinks, above it a size grows, and the *exponent* doubles every time. After eight LGFIs the feature is about $x^{2^8} = x^{256}$. The largest float32 is $3.4\cdot10^{38}$.

# %%
@torch.no_grad()
def trace(start, gate, norm_and_residual, depth=8):
    """Size (RMS) before and after each of `depth` untrained LGFIs in a row."""
    config = replace(preset("pocket"), gate=gate, norm=norm_and_residual, residual=norm_and_residual)
    torch.manual_seed(0)
    blocks = [LGFI(8, config=config).eval() for _ in range(depth)]
    x = start * torch.randn(1, 8, 32, 32)
    sizes = [x.double().square().mean().sqrt().item()]
    for block in blocks:
        x = block(x)
        sizes.append(x.double().square().mean().sqrt().item())
    return sizes


# %%
LINES = {"maps, bare": ("maps", False, ":"), "maps, LN + residual": ("maps", True, "-"),
         "features, bare (Fig. 2)": ("features", False, ":"), "features, LN + residual": ("features", True, "-")}


def plot_traces(*starts):
    figure, axes = plt.subplots(1, len(starts), figsize=(3.2 * len(starts), 2.8), sharey=True, squeeze=False,
                                layout="constrained")
    for axis, start in zip(axes[0], starts):
        for name, (gate, keep, style) in LINES.items():
            sizes = torch.tensor(trace(start, gate, keep))
            finite = sizes.isfinite()
            colour = "C0" if gate == "maps" else "C1"
            axis.semilogy(sizes[finite], style, color=colour, marker=".", label=name)
            if not finite.all():
                axis.text(0, 1e10, f"NaN after {int(finite.sum())}", color=colour)
        axis.set(title=f"start with RMS {start:g}", xlabel="fusions", ylim=(1e-3, 1e11), xticks=range(0, 9, 2))
    axes[0, 0].set_ylabel("RMS of the feature")
    axes[0, 0].legend(fontsize=8, loc="upper center")
    plt.show()


plot_traces(1, 4, 16)
print("Fig. 2, start 4:", " ".join(f"{m:.0e}" for m in trace(4, "features", False)))
if WIDGETS:
    from ipywidgets import interact

    interact(lambda start: plot_traces(start), start=(0.5, 32.0))

# %% [markdown]
# `features` without normalisation and shortcut falls to about 0.01, the size of its biases, when it starts at 1, and overflows when it starts at 4 or 16. Nothing between is stable: this is the repelling fixed point. `maps` shrinks slowly, to about a tenth over eight fusions, and either gate is tame once a LayerNorm gives the branches an input of size 1 and a shortcut carries $x$ around them.
#
# ## NaN at the second step
#
# When we first trained the figure taken literally (`features`, no norm, no shortcut; C = 8), the loss was NaN at the second step. No record of that trial is kept, so the cell below shows as much as reproduces. Why not at the first step? The last convolution starts at zero, so the first output is exactly the bicubic face and the first loss is innocent. Its zeros also stop the gradient, so in the first step only the last convolution itself can move. One step makes it non-zero, and the second output contains the feature.
#
# Does it reproduce in small? We take a net of C = 4, four crops of 64x64, and several seeds. As only the last convolution moves, one pass through the rest is enough.

# %%
batch = faces(4, seed=5)
small_x = to_float(upsample(degrade(batch)))[..., 32:96, 32:96]
small_y = to_float(batch)[..., 32:96, 32:96]


def two_losses(seed, **switches):
    """The training losses before the first and before the second step of Adam."""
    torch.manual_seed(seed)
    net = AMINet(replace(preset("pocket"), channels=4, heads=(1, 1, 2, 2), **switches)).train()
    features = []                                          # what enters the last convolution
    net.tail.register_forward_pre_hook(lambda module, args: features.append(args[0]))
    with torch.no_grad():
        net(small_x)
    optimiser, losses = torch.optim.Adam(net.tail.parameters(), lr=1e-3), []
    for _ in range(2):
        loss = (net.tail(features[0]) + small_x - small_y).abs().mean()
        losses.append(loss.item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return losses


figure_literal = [two_losses(seed, gate="features", norm=False, residual=False) for seed in range(SEEDS)]
equations = [two_losses(seed) for seed in range(SEEDS)]
for name, losses in (("Fig. 2, literally", figure_literal), ("our default", equations)):
    blown = sum(not second < 2 * first for first, second in losses)
    print(f"{name:18s} second loss more than twice the first, or NaN: {blown} of {SEEDS} seeds")

figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
for offset, name, losses in ((-0.1, "our default", equations), (0.1, "Fig. 2, literally", figure_literal)):
    ratio = torch.tensor([second / first for first, second in losses]).nan_to_num(1e38, posinf=1e38)
    axis.semilogy(torch.arange(SEEDS) + offset, ratio, "o", label=name)
axis.axhline(1, color="black", lw=0.8)
axis.set(title="How the loss changes in one training step", xlabel="seed", ylabel="second loss / first loss")
axis.legend()
plt.show()

# %% [markdown]
# On most seeds the step is harmless; on three the loss jumps, tenfold on one and by many orders of magnitude on the others. Which seed it hits depends on the size of the net and of the crop, as the fixed point predicts: it is decided by which side of $1/g$ the features start on. From there to NaN is one more gradient, or one more image of large contrast. So our small run shows the explosion, and the seed decides whether it is called NaN.
#
# What we keep: `gate="maps"`, as Eqs. 14-16 say. With LayerNorm and shortcut, `features` trains too; the switch remains, and neither the parameter count nor Table V can tell the two apart. Trainings might: three short ones of a small network lost 0.2 to 0.4 dB with `features` ($p = 0.035$, one of seven questions asked; [notebook 11](11_ablations.ipynb)).
#
# ## Table V
#
# > "…we find that using a single pooling branch results in reduced performance, while using average pooling alone results in lower performance than using maximum pooling alone." (Sec. IV-C5)
#
# Its seven rows are seven configurations. The paper prints no counts; ours are the price of each row.

# %%
PUBLISHED = [(27.69, 0.7919), (27.76, 0.7955), (27.73, 0.7946), (27.74, 0.7931), (27.79, 0.7951), (27.78, 0.7946),
             (27.83, 0.7961)]  # PSNR in dB and SSIM, Table V
rows = [row for row in ABLATIONS if row.startswith("SKAF")]


def parameters(config):
    with torch.device("meta"):                             # shapes only, no memory
        return sum(p.numel() for p in AMINet(config).parameters())


counts = [parameters(preset(f"aminet/{row}")) for row in rows]
for row, (decibel, similarity), count in zip(rows, PUBLISHED, counts):
    print(f"{row:22s} {decibel:.2f} dB  {similarity:.4f}   {count / 1e6:6.3f} M   {ABLATIONS[row]}")

# %%
figure, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
for row, (decibel, _), count in zip(rows, PUBLISHED, counts):
    colour = {"SKAF 7x7 avg": "C1", "SKAF 7x7 max": "C1"}.get(row, "C0")
    axis.plot(count / 1e6, decibel, "o", color=colour)
    below = row in ("SKAF 7x7 avg max", "SKAF 7x7")
    axis.annotate(row.removeprefix("SKAF "), (count / 1e6, decibel), xytext=(-7, -7 if below else -1),
                  textcoords="offset points", ha="right", fontsize=8)
axis.set(title="Table V: published PSNR against the size of our reading", xlabel="parameters (millions)",
         ylabel="PSNR (dB), Table V", xlim=(5.8, 13.2), ylim=(27.67, 27.85))
plt.show()

# %% [markdown]
# Read it slowly.
#
# - **The text contradicts the table.** Average pooling alone has 27.79 dB, maximum alone 27.78 dB (orange). The table says average is better; the text says it is worse, and explains why. The gap is 0.01 dB in one run each, and nothing published says how far two seeds lie apart.
# - **"A single pooling branch results in reduced performance"** compares rows that differ in two things: the last row has the 5x5 as well. With the 7x7 alone, both poolings have 27.76 dB, *less* than either pooling by itself.
# - **"Compared to the third and fifth rows"** is the text's evidence for two kernels. The third row is 5x5 with both poolings, the fifth 7x7 with the average. The fair pair is the second and third against the last: +0.07 and +0.10 dB.
# - **The rows differ in size.** Sorted by parameters they are nearly sorted by PSNR, and the last net has almost twice the parameters of the first. No row asks whether those parameters would help as much elsewhere.
# - **Two ways to have no SKAF.** Table V's first row has 27.69 dB, Table I's "LGFI w/o SKAF" 27.74 dB: different nets. We read Table I's as SKAF gone from the LGFIs only (its 8.21 M fits) and Table V's as gone from the EDFFs too.
#
# ## The bill
#
# A dense $k\times k$ convolution from $C$ to $C$ has $k^2C^2$ weights: 5x5 and 7x7 together $74\,C^2$, and $2C + 198$ more for the biases and the mixing. LSKNet's convolutions are depthwise: $74\,C$.

# %%
print("   C      dense 74 C^2   depthwise 74 C   SKAF 74 C^2 + 2 C + 198")
for width in preset("aminet").widths[:3]:
    module = sum(p.numel() for p in SKAF(width).parameters())
    assert module == 74 * width**2 + 2 * width + 198
    print(f"{width:4d}   {74 * width**2:12,}   {74 * width:14,}   {module:12,}")

costs = bill(preset("aminet"))
kind = {"SA": ".sa", "RDFE": ".local"}
shares = {name: [cost for key, cost in costs.items() if key.endswith(end)] for name, end in kind.items()}
shares["fusion in LGFI"] = [cost for key, cost in costs.items()
                            if key.endswith((".skaf", ".reduce")) and not key.startswith("edffs")]
shares["fusion in EDFF"] = [costs[f"edffs.{level}"] for level in range(3)]
shares = {name: (sum(c.params for c in parts), sum(c.macs for c in parts)) for name, parts in shares.items()}
total = costs[""].params, costs[""].macs
shares["the rest"] = tuple(t - sum(s[i] for s in shares.values()) for i, t in enumerate(total))
for name, (params, macs) in shares.items():
    print(f"{name:15s} {params:11,} parameters {params / total[0]:6.1%}",
          f"  {macs / 1e9:6.2f} GMACs {macs / total[1]:6.1%}")
print(f"{'AMINet':15s} {total[0]:11,} parameters          {total[1] / 1e9:6.2f} GMACs")

# %%
figure, axes = plt.subplots(2, 1, figsize=(7.5, 2.4), layout="constrained", sharex=True)
for i, (axis, what) in enumerate(zip(axes, ("parameters", "MACs"))):
    start = 0
    for j, (name, values) in enumerate(shares.items()):
        width = 100 * values[i] / total[i]
        axis.barh(0, width, left=start, color=("C5", "C0", "C1", "#e7a27c", "#d5dae1")[j], edgecolor="white")
        if width > 5:
            text = name.replace(" in ", "\nin ") + f"\n{width:.0f}%"
            axis.text(start + width / 2, 0, text, ha="center", va="center", fontsize=8)
        start += width
    axis.set(yticks=[0], yticklabels=[what], xlim=(0, 100))
    axis.grid(False)
axes[0].set_title("Half of AMINet decides how to add two features")
axes[1].set_xlabel("share (%)")
plt.show()

# %% [markdown]
# (The dark sliver is SA.) The fusion modules (with the 1x1 before each) hold 45% of the parameters and do 60% of the MACs. "Selective fusion" is not a small addition to AMINet: it is its largest part. Whether it must be dense is a question the paper does not ask.
#
# ### Exercise 2: which branch does the literal equation prefer?
#
# *Level 1, 5 minutes.* Write `literal_maps(x3)`: Eq. 13 to the letter. It takes $X_3$, (B, 2C, H, W), and returns the two maps as one tensor (B, 2, H, W). Then convince yourself again that the second is never below the first.

# %% tags=["exercise"]
def literal_maps(x3: torch.Tensor) -> torch.Tensor:
    ...  # your turn


passed = check("05.2", literal_maps)

# %% tags=["solution"]
def literal_maps(x3: torch.Tensor) -> torch.Tensor:
    return torch.cat([x3.mean(1, keepdim=True), x3.amax(1, keepdim=True)], 1).sigmoid()


passed = check("05.2", literal_maps)

# %% [markdown]
# ### Exercise 3: the price of a row
#
# *Level 2, 10 minutes.* Write `price(c, kernels, pools)`: the parameters of a SKAF of width `c` with dense kernels such as `(5, 7)` and `pools` poolings (0, 1 or 2). Without a pooling, the 7x7 mixing reads all channels of $X_3$.

# %% tags=["exercise"]
def price(c: int, kernels: tuple[int, ...], pools: int) -> int:
    ...  # your turn


passed = check("05.3", price)

# %% tags=["solution"]
def price(c: int, kernels: tuple[int, ...], pools: int) -> int:
    read = pools or len(kernels) * c
    return sum(k * k * c * c + c for k in kernels) + 98 * read + 2


passed = check("05.3", price)

# %% [markdown]
# The package's bill has the same line, and the multiply-adds: every weight works once per pixel, a bias never multiplies.

# %%
from aminet.ledger import Cost


def skaf(c: int, height: int, width: int, kernels: tuple[int, ...] = (5, 7),
         pools: tuple[str, ...] = ("avg", "max"), dilated: bool = False) -> Cost:
    """A dense 5x5 and 7x7 (74c^2, 2c biases), then 7x7 from the pooled maps to two (98 each, 2 biases)."""
    dense = sum(9 if dilated and k == 5 else k * k for k in kernels) * c * c
    mix = 98 * (len(pools) or len(kernels) * c)  # without pooling, from all channels
    return Cost(dense + len(kernels) * c + mix + 2, (dense + mix) * height * width)


print("the first SKAF of AMINet:", skaf(28, 128, 128))

# %% [markdown]
# ### Exercise 4: how fast does a squared gate grow?
#
# *Level 2, 10 minutes.* Write `log_size(m, g, k)`: the base-10 logarithm of the size after $k$ fusions with $m_{k+1} = g\,m_k^2$ and $m_0 = m$, in closed form. (The logarithm, because the number itself overflows.)

# %% tags=["exercise"]
def log_size(m: float, g: float, k: int) -> float:
    ...  # your turn


passed = check("05.4", log_size)

# %% tags=["solution"]
from math import log10


def log_size(m: float, g: float, k: int) -> float:
    return (2**k - 1) * log10(g) + 2**k * log10(m)


passed = check("05.4", log_size)
print(f"start 4, g = 0.5, eight fusions: 10^{log_size(4, 0.5, 8):.0f}")

# %% [markdown]
# ## What to remember
#
# - SKAF pools a 5x5 and a 7x7 view of the mixed feature over its channels and turns them into one weight map per branch; without LSKNet's 7x7 mixing the second branch would always win.
# - Maps as gates keep the size of a feature; features as gates (Fig. 2) square it, and eight squares in a row die out or overflow unless LayerNorm and a shortcut hold them.
# - Fusion is 45% of AMINet's parameters and 60% of its MACs; what the text reads from Table V, the table does not always say.
#
# Next: [06 · LGFI](06_lgfi.ipynb) puts SA, RDFE and SKAF together.
