# %% [markdown]
# # 03 · SA: attention between channels
#
# The global branch of AMINet compares whole feature maps with each other, instead of pixels with pixels.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/03_sa.ipynb) · previous: [02 Measuring a face](02_measuring_a_face.ipynb) · next: [04 RDFE](04_rdfe.ipynb)
#
# You will be able to
# - **write** the paper's self-attention from Eqs. 1-5, put it into a trained network, and restore a face with it;
# - **derive** why attention divides by $\sqrt d$, and **show** when that is not enough;
# - **read** the attention matrices of a trained network, channel by channel.

# %% tags=["parameters"]
FACE = "hopper"  # the portrait in the pictures: hopper or collins
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
# > "We utilize Self-attention (SA) to extract global facial features, which can effectively model the
# > relationships between distant features. Meanwhile, through the multi-head mechanism in SR, features can be
# > captured from different subspaces, improving the robustness and generalization ability of the model."
# > (Sec. III-B1)
#
# "In SR" is a slip: the multi-head mechanism is in SA, the module of this section.
#
# A convolution sees a few pixels around each pixel. A face has relations that are longer: two eyes look
# alike, the left cheek is as bright as the right one. SA is the branch for these. Its input is a feature of
# $C$ channels, for example this one: a portrait as the network receives it, one convolution, one
# normalisation.

# %%
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from aminet.config import AMINET
from aminet.degrade import degrade, resize, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.sa import SelfAttention
from aminet.transformer import LayerNorm
from exercises import check

C = 28  # the paper's size, in the reading that this course builds (notebook 08)
hr = portraits()[FACE][None]
image = to_float(upsample(degrade(hr)))  # (1, 3, 128, 128) in [-1, 1]
head, norm = nn.Conv2d(3, C, 3, padding=1), LayerNorm(C)  # not trained: seed 0
X = norm(head(image)).detach()
print("X:", tuple(X.shape))
titles = ["the face", "the input", "X, channel 0", "X, channel 1"]
figure = show([[hr[0], image[0], X[0, 0], X[0, 1]]], titles, height=1.15)

# %% [markdown]
# ## Eqs. 1-3: three views of the same feature
#
# > "we start by applying a 1×1 convolutional layer followed by a 3×3 depth-wise convolutional layer to
# > combine pixel-level cross-channel information and extract channel-level spatial context. From this spatial
# > context, we then generate $Q, K, V \in \mathbb{R}^{C\times H\times W}$." (Sec. III-B1)
#
# $$Q = F_{dw3}(F_{conv1}(X)) \quad (1) \qquad K = F_{dw3}(F_{conv1}(X)) \quad (2) \qquad
# V = F_{dw3}(F_{conv1}(X)) \quad (3)$$
#
# Printed like this the three are the same formula. They cannot be the same tensor: then $QK^\top$ would be
# symmetric, and a channel could ask another for something only as much as the other asks back. The weights
# differ, one set for each of $Q$, $K$, $V$. In code the three 1×1 convolutions are one with $3C$ outputs, cut in three
# afterwards.
#
# The two convolutions share the work. The 1×1 mixes channels and does not look around. The depthwise 3×3
# looks around and does not mix channels. The paper does not mention biases; here there are none.

# %%
pointwise = nn.Conv2d(C, 3 * C, 1, bias=False)
depthwise = nn.Conv2d(3 * C, 3 * C, 3, padding=1, groups=3 * C, bias=False)

with torch.no_grad():
    mixed = pointwise(X)       # every pixel: 28 numbers -> 84 numbers
    QKV = depthwise(mixed)     # every channel: its own 3x3
    Q, K, V = QKV.chunk(3, dim=1)
for name, tensor in dict(X=X, mixed=mixed, QKV=QKV, Q=Q, K=K, V=V).items():
    print(f"{name:6s}", tuple(tensor.shape))

# %% [markdown]
# ## Eqs. 4-5: channels look at channels
#
# > "Next, we reshape $Q$, $K$, and $V$ into $\hat Q \in \mathbb{R}^{C\times HW}$,
# > $\hat K \in \mathbb{R}^{HW\times C}$, and $\hat V \in \mathbb{R}^{C\times HW}$, respectively. After that,
# > the dot product is multiplied by $V$ to obtain weights $X_w \in \mathbb{R}^{C\times HW}$ […] Finally, we
# > rearrange $X_w$ into $\hat{X_w} \in \mathbb{R}^{C\times H\times W}$." (Sec. III-B1)
#
# $$X_{weighted} = \operatorname{Softmax}(\hat Q \cdot \hat K / \sqrt d) \cdot \hat V \quad (4) \qquad
# X_{sa} = F_{conv1}(R(X_{weighted})) \quad (5)$$
#
# Watch the shapes: $(C \times HW)\,(HW \times C)$ is $C \times C$. The attention matrix has one row and one
# column for each **channel**. Row $i$ says which channels the output $i$ is mixed from. (The paper calls
# $X_{sa}$ "the attention map of SA" and, in the same sentence, its output. It is the output.)

# %%
H, W = X.shape[-2:]
project = nn.Conv2d(C, C, 1, bias=False)
with torch.no_grad():
    q = Q.reshape(1, C, H * W)                          # (1, C, HW)
    k = K.reshape(1, C, H * W).transpose(-2, -1)        # (1, HW, C)
    v = V.reshape(1, C, H * W)                          # (1, C, HW)
    logits = q @ k / (H * W) ** 0.5                     # (1, C, C)   Eq. 4, d = HW
    A = logits.softmax(dim=-1)                          # (1, C, C)   rows sum to 1
    X_weighted = A @ v                                  # (1, C, HW)
    X_sa = project(X_weighted.reshape(1, C, H, W))      # (1, C, H, W)   Eq. 5
for name, tensor in dict(q=q, k=k, logits=logits, A=A, X_weighted=X_weighted, X_sa=X_sa).items():
    print(f"{name:10s}", tuple(tensor.shape))
torch.testing.assert_close(A.sum(-1), torch.ones(1, C))

# %% [markdown]
# A product with $A$ is nothing but a weighted mean of pictures. Here is one row of it, drawn out: the output
# channel is the sum of value channels, each times one number, the same number at every pixel.

# %%
row = int((A[0].amax(-1) - 0.4).abs().argmin())  # a row that really mixes
best = A[0, row].topk(4).indices.tolist()
rest = 1 - A[0, row, best].sum()
values = [V[0, c] for c in best] + [X_weighted[0, row].reshape(H, W)]
titles = [f"{A[0, row, c]:.2f} × $V_{{{c}}}$" for c in best] + [f"+ {rest:.2f} of others\n= output {row}"]
figure = show([values], titles, height=1.2)

# %% [markdown]
# ## Channels against pixels: the price
#
# The usual attention compares pixels: its matrix is $HW \times HW$. Both need two matrix products, $QK^\top$
# and $(\cdot)V$. With $h$ heads
#
# | | matrix | multiply-adds (MACs) of the two products |
# |---|---|---|
# | between pixels | $h \times HW \times HW$ | $2\,(HW)^2\,C$ |
# | between channels | $h \times C/h \times C/h$ | $2\,HW\,C^2/h$ |
#
# One is quadratic in the number of pixels, the other linear. The numbers for the four levels of AMINet:

# %%
print(f"{'':17s}{'matrix entries':>28s}{'MACs, millions':>28s}")
print(f"{'side':>5s}{'C':>5s}{'heads':>7s}" + 2 * f"{'pixels':>15s}{'channels':>13s}" + f"{'ratio':>9s}")
for side, c, h in zip((128, 64, 32, 16), AMINET.widths, AMINET.heads):
    n = side * side
    by_pixel, by_channel = 2 * n * n * c, 2 * n * c * c // h
    print(f"{side:5d}{c:5d}{h:7d}{h * n * n:15,d}{c * c // h:13,d}"
          f"{by_pixel / 1e6:15,.1f}{by_channel / 1e6:13,.1f}{by_pixel / by_channel:9.0f}")

sides = torch.tensor([4, 8, 16, 32, 64, 128, 256])
n = sides.double() ** 2
figure, axis = plt.subplots(figsize=(5.2, 2.8), layout="constrained")
axis.loglog(sides, 2 * n * n * C / 1e6, "o-", base=2, label="between pixels: side × 4, cost × 256")
axis.loglog(sides, 2 * n * C * C / 1e6, "o-", base=2, label="between channels: side × 4, cost × 16")
axis.set_yscale("log", base=10)
axis.axvline(C ** 0.5, ymax=0.6, color="0.6", ls=":")
axis.text(C ** 0.5 * 1.1, 5e3, "HW = C", color="0.4", ha="left")
axis.set(xlabel="side of the feature in pixels", ylabel="millions of MACs",
         title=f"The price of attention, C = {C}, one head", ylim=(5e-3, 5e8))
axis.set_xticks(sides, sides.tolist())
axis.legend(loc="upper left", fontsize=8)
plt.show()

# %% [markdown]
# At 128×128 attention between pixels would need a matrix of 268 million entries, a gigabyte in float32, for
# each of the two SAs at this size. Attention between channels needs 784 entries. This is why AMINet, and
# Restormer before it, can afford attention at full resolution.
#
# What is lost? The mixing weights do not depend on the place. If we leave out the depthwise 3×3, SA does not
# even know which pixels are neighbours: shuffle the pixels, and the output is the same output, shuffled.

# %%
def attend(q, k, v):
    """Eq. 4. q, k, v: (B, C, HW) -> (B, C, HW)."""
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v

shuffle = torch.randperm(H * W)
with torch.no_grad():
    q0, k0, v0 = pointwise(X).flatten(2).chunk(3, dim=1)  # (1, C, HW) each, no depthwise
shuffled = [t[..., shuffle] for t in (q0, k0, v0)]
torch.testing.assert_close(attend(*shuffled), attend(q0, k0, v0)[..., shuffle])
print("shuffled pixels in, shuffled pixels out: True")

# %% [markdown]
# So the 3×3 is the only place where SA sees an edge or a texture, and the local branch,
# [RDFE](04_rdfe.ipynb), is not a luxury. What SA does have is reach: every logit is a sum over all pixels, so
# every output pixel depends on every input pixel. The gradient shows it.

# %%
probe = X.clone().requires_grad_()
qp, kp, vp = depthwise(pointwise(probe)).flatten(2).chunk(3, dim=1)
centre = attend(qp, kp, vp).reshape(1, C, H, W)[0, :, H // 2, W // 2]
(reach,) = torch.autograd.grad(centre.pow(2).sum(), probe)
reach = reach[0].abs().sum(0)  # (H, W)
print(f"input pixels that move the centre of the output: {(reach > 0).float().mean():.0%}")

figure, axis = plt.subplots(figsize=(3.4, 2.6), layout="constrained")
drawn = axis.imshow((reach / reach.max()).log10(), vmin=-4.5, vmax=-2.5)
axis.set(title="Who moves the centre pixel?", xlabel="x in pixels", ylabel="y in pixels")
axis.grid(False)
figure.colorbar(drawn, label="log10 of |gradient|, largest = 0", extend="max")
plt.show()

# %% [markdown]
# The bright dot is the direct path, through $V$: 3×3 pixels. The faint face is the path through the attention
# matrix: weak at each pixel, but everywhere. That is "global" in this paper.
#
# ## Why divide by $\sqrt d$?
#
# > "$\sqrt d$ is a factor used to scale the dot product of $\hat K$ and $\hat Q$" (Sec. III-B1)
#
# That is all the paper says; it does not say what $d$ is. Let us derive what it should be. Take two vectors
# of $d$ numbers, all independent, with mean 0 and variance 1. Each product $q_t k_t$ then has mean
# $0 \cdot 0 = 0$ and variance $\mathbb{E}[q_t^2]\,\mathbb{E}[k_t^2] = 1$. Variances of independent terms add
# up:
#
# $$\operatorname{Var}\Big(\sum_{t=1}^{d} q_t k_t\Big) = \sum_{t=1}^{d} \operatorname{Var}(q_t k_t) = d
# \qquad\Rightarrow\qquad \operatorname{Var}\Big(\frac{q \cdot k}{\sqrt d}\Big) = 1.$$
#
# So $d$ is the number of terms of the dot product. In a Transformer for text that is the width of a head,
# some 64. Here the sum runs over the pixels: $d = HW = 16384$ at full resolution. The other reading,
# $d = C/h$, would divide by less, and what follows would only get worse.
#
# The derivation has a condition: **independent terms**. Neighbouring pixels of a face are anything but. If
# channel $q$ and channel $k$ have the correlation $\rho$ over the pixels, then
#
# $$\mathbb{E}[q \cdot k] = \rho\, d \qquad\Rightarrow\qquad \frac{q\cdot k}{\sqrt d} \approx \rho \sqrt d .$$
#
# At 128×128 that is $128\,\rho$: a correlation of 0.1 already makes a logit of 13. We test it, with $q$ and
# $k$ brought to mean 0 and variance 1, so that only the correlation is left. (The portrait grows a little
# faster than $\sqrt d$: the larger picture is also the smoother one.)

# %%
def standard(x: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over the pixels, channel by channel. (..., HW)"""
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)

spread = {"independent noise": [], "the portrait": []}
sides = (16, 32, 64, 128)
for side in sides:
    d = side * side
    with torch.no_grad():
        small = norm(head(to_float(resize(hr, side))))  # the same weights on a smaller picture
        q1, k1, _ = depthwise(pointwise(small)).flatten(2).chunk(3, dim=1)
    pairs = {"independent noise": torch.randn(2, C, d), "the portrait": standard(torch.cat([q1, k1]))}
    for name, (one, other) in pairs.items():
        spread[name].append(float((one @ other.T / d ** 0.5).pow(2).mean().sqrt()))
for name, sizes in spread.items():
    print(f"{name:18s}", "  ".join(f"d = {s * s}: {value:.3g}" for s, value in zip(sides, sizes)))

figure, axis = plt.subplots(figsize=(5, 2.8), layout="constrained")
for name, sizes in spread.items():
    axis.loglog([s * s for s in sides], sizes, "o-", label=name)
slope = [spread["the portrait"][0] * s / 16 for s in sides]
axis.loglog([s * s for s in sides], slope, ":", color="0.5", label=r"$\propto \sqrt{d}$")
axis.set(xlabel="terms in the dot product, d = HW", ylabel=r"typical $|q\cdot k|\,/\sqrt{d}$",
         title=r"Dividing by $\sqrt{d}$ tames noise, not faces", xticks=[s * s for s in sides],
         xticklabels=[f"{s}×{s}" for s in sides])
axis.minorticks_off()
axis.legend()
plt.show()

# %% [markdown]
# ## Two readings, one switch
#
# The other way to a bounded logit is to divide by what is really there: the lengths of the vectors.
#
# $$\text{scale = "sqrt"}:\quad \frac{q_i \cdot k_j}{\sqrt{HW}} \qquad\qquad
# \text{scale = "temperature"}:\quad \tau\, \frac{q_i \cdot k_j}{\lVert q_i \rVert\, \lVert k_j \rVert}$$
#
# A cosine lies in $[-1, 1]$, whatever the size of the picture. One learned number $\tau$ per head says how
# much it counts. Restormer does it this way, and the factor "used to scale the dot product" can be read so.
# It is our default; Eq. 4 to the letter is the switch `scale="sqrt"` of `AMINetConfig`. No published count
# can tell the two apart: they differ by one parameter per head.
#
# ### Exercise 1: write SA
#
# *Level 2, 20 minutes.* Now you have all parts. `self` is one SA of a network, for a feature of $C$ channels:
#
# | what `self` has | what it does |
# |---|---|
# | `self.qkv` | 1×1 convolution, $C \to 3C$ channels: the `pointwise` of above |
# | `self.depthwise` | depthwise 3×3 on $3C$ channels |
# | `self.heads` | $h$; head $i$ has the channels $i\,C/h$ to $(i+1)\,C/h - 1$ |
# | `self.temperature` | $\tau$, one number per head, $(h, 1, 1)$ |
# | `self.project` | 1×1 convolution, $C \to C$ |
#
# Write its `forward` with the cosine: `x` is $(B, C, H, W)$, and so is what it returns. The check puts your forward
# into all eight SAs of the trained network `pocket`. It compares every value, and shows the faces that come out.

# %% tags=["exercise"]
def forward(self, x: torch.Tensor) -> torch.Tensor:
    """Eqs. 1-5. (B, C, H, W) -> (B, C, H, W)."""
    ...  # your turn


passed = check("03.1", forward)

# %% tags=["solution"]
class SelfAttention(nn.Module):
    """Eqs. 1-5. (B, C, H, W) -> (B, C, H, W)."""

    def __init__(self, channels: int, heads: int = 1, scale: str = "temperature"):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Conv2d(channels, 3 * channels, 1, bias=False)  # Eqs. 1-3: pointwise, ...
        self.depthwise = nn.Conv2d(3 * channels, 3 * channels, 3, padding=1, groups=3 * channels, bias=False)
        self.temperature = nn.Parameter(torch.ones(heads, 1, 1)) if scale == "temperature" else None
        self.project = nn.Conv2d(channels, channels, 1, bias=False)

    def attention(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """The attention matrix (B, h, C/h, C/h), each row summing to 1, and the values (B, h, C/h, H*W)."""
        b, c, height, width = x.shape
        qkv = self.depthwise(self.qkv(x))
        q, k, v = qkv.reshape(b, 3, self.heads, c // self.heads, height * width).unbind(1)
        if self.temperature is None:
            logits = q @ k.transpose(-2, -1) / (height * width) ** 0.5
        else:
            logits = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature
        return logits.softmax(dim=-1), v

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        weights, v = self.attention(x)
        return self.project((weights @ v).reshape(x.shape))  # Eqs. 4-5


passed = check("03.1", SelfAttention.forward)

# %% [markdown]
# The class is `aminet.sa.SelfAttention`: the switch `scale` chooses between the two readings. With `scale="sqrt"` and
# one head it is the calculation from above, step by step.

# %%
literal = SelfAttention(C, 1, "sqrt")
literal.load_state_dict({"qkv.weight": pointwise.weight, "depthwise.weight": depthwise.weight,
                         "project.weight": project.weight})
torch.testing.assert_close(literal(X), X_sa)
print("the class equals the steps above: True")

# %% [markdown]
# ## What a saturated softmax does
#
# If one logit is far above the others, its softmax weight is 1 and the others are 0. We count this with the
# **effective number of channels** of a row, $\exp\big(-\sum_j a_j \ln a_j\big)$, the exponential of its
# entropy: $C$ if the row is uniform, 1 if it copies a single channel. We also turn the loudness of the
# feature up, because nothing in training holds it at 1.

# %%
def effective(weights: torch.Tensor) -> torch.Tensor:
    """Channels that a row really mixes. (..., C, C) -> (..., C), from 1 to C."""
    return torch.special.entr(weights).sum(-1).exp()

readings = {"sqrt": literal, "temperature": SelfAttention(C)}
readings["temperature"].load_state_dict(literal.state_dict(), strict=False)  # the same weights; tau stays 1
maps, lines = {}, []
with torch.no_grad():
    for gain in (1, 3, 10):
        for name, module in readings.items():
            a = maps[name, gain] = module.attention(gain * X)[0][0, 0]  # (C, C)
            lines.append(f"X times {gain:2d}  {name:12s} effective channels {effective(a).mean():5.2f} of {C}"
                         f"   largest weight {a.amax(-1).mean():.3f}")
print("\n".join(lines))

figure, axes = plt.subplots(1, 3, figsize=(8.2, 2.6), layout="constrained", width_ratios=(1, 1, 1.5))
for axis, name in zip(axes, readings):
    axis.imshow(maps[name, 1], vmin=0, vmax=1)
    axis.set(title=f"scale = {name}", xlabel="channel looked at")
    axis.grid(False)
axes[0].set_ylabel("output channel")
for name, color in zip(readings, ("C1", "C0")):
    counts = effective(maps[name, 1]).tolist()
    axes[2].hist(counts, bins=[n + 0.5 for n in range(C + 1)], color=color, label=name)
axes[2].set(title="How many channels does a row mix?", xlabel=f"effective channels of {C}", ylabel="rows")
axes[2].legend(loc="upper center")
plt.show()

# %% [markdown]
# The literal softmax is nearly a list of copies, before the first step of training, and it becomes harder
# with every increase of the feature. With the cosine nothing changes at all: loudness cancels.
#
# Hard choices would be fine if they could be unlearned. They cannot. The derivative of a softmax row $a$ is
#
# $$\frac{\partial a_i}{\partial \ell_j} = a_i(\delta_{ij} - a_j),$$
#
# and if $a$ is (1, 0, …, 0) every entry of it is 0. The learning signal of $Q$ and $K$ goes through this
# matrix.

# %%
def slope(weights: torch.Tensor) -> torch.Tensor:
    """Frobenius norm of the softmax derivative, mean over the rows. (C, C) -> ()."""
    jacobian = torch.diag_embed(weights) - weights[:, :, None] * weights[:, None, :]  # (C, C, C)
    return jacobian.pow(2).sum((-2, -1)).sqrt().mean()

gains = torch.logspace(-1, 1.5, 11)
figure, axis = plt.subplots(figsize=(5, 2.6), layout="constrained")
with torch.no_grad():
    for name, color in (("sqrt", "C1"), ("temperature", "C0")):
        slopes = [float(slope(readings[name].attention(g * X)[0][0, 0])) for g in gains]
        axis.loglog(gains, slopes, color=color, label=f"scale = {name}")
axis.set(xlabel="loudness of the feature: X times …", ylabel="norm of the derivative",
         title="A saturated softmax passes no gradient")
axis.legend(loc="lower left")
plt.show()

# %% [markdown]
# Two honest remarks. LayerNorm in front of SA holds the loudness of its input, so a network with it lives
# near the middle of this figure until the weights of $Q$ and $K$ grow. And three short
# trainings of a small network do not decide between the two scales: $\sqrt d$ lost 0.01 to 0.06 dB, which is within chance ([notebook 11](11_ablations.ipynb)). The case for the temperature is the arithmetic above, and that Restormer made the same choice.
#
# ## Heads: blocks on the diagonal
#
# With $h$ heads the channels are cut in $h$ groups, and a channel attends to its own group only. That is the
# same as one large $C \times C$ attention in which all entries outside $h$ diagonal blocks are forbidden:
# logit $-\infty$.

# %%
heads, g = 4, C // 4
many = SelfAttention(C, heads)
with torch.no_grad():
    small, values = many.attention(X)                                    # (1, 4, 7, 7), (1, 4, 7, HW)
    q, k, v = many.depthwise(many.qkv(X)).flatten(2).chunk(3, dim=1)     # (1, C, HW) each
    full = F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1)  # (1, C, C)
    allowed = torch.block_diag(*torch.ones(heads, g, g)).bool()
    masked = full.masked_fill(~allowed, float("-inf")).softmax(dim=-1)   # (1, C, C)
torch.testing.assert_close(masked[0], torch.block_diag(*small[0]))
torch.testing.assert_close(masked @ v, (small @ values).flatten(1, 2))
print(f"{heads} heads {tuple(small.shape)} = one masked matrix {tuple(masked.shape)}: True")

figure, axes = plt.subplots(1, 3, figsize=(7.2, 2.6), layout="constrained")
for axis, matrix, title in zip(axes, (full[0], full[0].masked_fill(~allowed, torch.nan), masked[0]),
                               ("cosines, all pairs", "4 heads: these may meet", "softmax, row by row")):
    axis.imshow(matrix)
    axis.set(title=title, xlabel="channel looked at", xticks=range(0, C, g), yticks=range(0, C, g))
    axis.grid(False)
axes[0].set_ylabel("output channel")
plt.show()

# %% [markdown]
# Heads save work (the table above: $C^2/h$) and give each group its own temperature. The price is that groups
# cannot mix inside the attention. The 1×1 convolutions before and after it do that. The paper does not say
# how many heads there are; our reading takes 1, 2, 4, 4 at 128, 64, 32, 16 pixels.
#
# ## In a trained network
#
# `pocket` is a small AMINet ($C = 8$) that comes with the course. We send the portrait through it and keep
# the input of each of its eight SAs. The picture shows the matrices on the way down, one per level, heads as
# blocks. Colour is the weight relative to an even share $h/C$: white means "no preference".

# %%
from aminet.training.weights import load_weights

model, header = load_weights("pocket")
places = {name: module for name, module in model.named_modules() if name.endswith(".sa")}
inputs = {}
for name, module in places.items():
    module.register_forward_pre_hook(lambda module, args, name=name: inputs.update({name: args[0]}))
with torch.no_grad():
    restored = model(image)
    matrices = {name: sa.attention(inputs[name])[0][0] for name, sa in places.items()}  # (h, C/h, C/h)
lines = []
for name, a in matrices.items():
    tau = ", ".join(f"{t:.3g}" for t in places[name].temperature.flatten())
    lines.append(f"{name:16s} {inputs[name].shape[-1]:3d} pixels   (h, C/h, C/h) = {str(tuple(a.shape)):11s}"
                 f" a row mixes {effective(a).mean():.2f} of {a.shape[-1]}   tau {tau}")
print("\n".join(lines))

way = ["encoders.0.sa", "encoders.1.sa", "encoders.2.sa", "bottleneck.0.sa"]
figure, axes = plt.subplots(1, 4, figsize=(9, 2.5), layout="constrained")
for axis, name in zip(axes, way):
    a = matrices[name]
    allowed = torch.block_diag(*torch.ones_like(a)).bool()
    share = torch.block_diag(*(a * a.shape[-1])).masked_fill(~allowed, torch.nan)
    drawn = axis.imshow(share.log2(), vmin=-2, vmax=2, cmap="RdBu_r")
    side = inputs[name].shape[-1]
    axis.set(title=f"{side}×{side} pixels, h = {len(a)}", xlabel="channel looked at")
    axis.grid(False)
axes[0].set_ylabel("output channel")
bar = figure.colorbar(drawn, ax=axes, ticks=[-2, -1, 0, 1, 2], label="times an even share")
bar.ax.set_yticklabels(["¼", "½", "1", "2", "4"])
plt.show()

# %% [markdown]
# And now with faces. The first SA has 8 channels, few enough to show all. On top: the value channels $V_j$.
# In the middle: the matrix. On the left: the outputs, each the mean of the top row with the weights of its
# own row.

# %%
def gallery(sa: nn.Module, x: torch.Tensor) -> None:
    """The attention matrix of a one-head SA between the pictures of its values and of its outputs."""
    with torch.no_grad():
        a, v = (t[0, 0] for t in sa.attention(x))  # (C, C), (C, HW)
    n, side = len(a), x.shape[-1]
    figure = plt.figure(figsize=(4.7, 4.7))
    grid = figure.add_gridspec(n + 1, n + 1, wspace=0.06, hspace=0.06)
    for j in range(n):
        for place, picture, label in (((0, j + 1), v[j], f"$V_{j}$"), ((j + 1, 0), a[j] @ v, f"out {j}")):
            axis = figure.add_subplot(grid[place])
            axis.imshow(picture.reshape(side, side), cmap="gray")
            axis.set(xticks=[], yticks=[])
            if place[0] == 0:
                axis.set_title(label, pad=2)
            else:
                axis.set_ylabel(label, rotation=0, ha="right", va="center")
    axis = figure.add_subplot(grid[1:, 1:])
    axis.imshow(a, vmin=0, vmax=max(0.5, float(a.max())), aspect="auto")
    axis.set(xticks=[], yticks=[])
    axis.grid(False)
    for i in range(n):
        for j in range(n):
            axis.text(j, i, f"{a[i, j]:.2f}", ha="center", va="center", fontsize=7,
                      color="w" if a[i, j] < 0.35 else "k")
    figure.suptitle("Who looks at whom: the first SA of the trained network", y=0.96, fontsize=10)
    plt.show()

gallery(model.encoders[0].sa, inputs["encoders.0.sa"])

# %% [markdown]
# Read it row by row. A large number means that the output resembles that value channel; a row of equal
# numbers averages all of them into one. The output of such a row is a smooth summary of the face: that is the
# global context which SA hands to the fusion, and details are left to RDFE.
#
# The temperature decides between the two kinds of row. Multiply the learned one and look.

# %%
def explore(factor: float = 1.0) -> None:
    """Attention of the first SA with its temperature multiplied, for a few factors around the chosen one."""
    sa, x = model.encoders[0].sa, inputs["encoders.0.sa"]
    learned = sa.temperature.detach().clone()
    figure, axes = plt.subplots(1, 4, figsize=(7.6, 2.3), layout="constrained")
    for axis, times in zip(axes, (0.0, 1.0, 4.0, 16.0)):
        with torch.no_grad():
            sa.temperature.copy_(learned * times * factor)
            a = sa.attention(x)[0][0, 0]
            sa.temperature.copy_(learned)
        axis.imshow(a, vmin=0, vmax=1)
        axis.set(title=f"τ × {times * factor:g}: mixes {effective(a).mean():.1f}", xlabel="channel")
        axis.grid(False)
    axes[0].set_ylabel("output channel")
    plt.show()

explore()
if WIDGETS:
    from ipywidgets import interact
    interact(explore, factor=(0.25, 4.0, 0.25))

# %% [markdown]
# At 0 every output is the same mean of all channels. At 16 times the learned value each row copies few
# channels, and we are back at the saturation of the literal softmax. With a cosine, training starts near the
# even end, where the gradient is alive: with $\tau = 1$ and 28 channels no weight exceeds
# $e / (e + 27) = 0.09$. In `pocket` no $\tau$ went far from there: the list above has 1.00 to 1.14.
#
# So is it the choice of channels that counts, or would plain means do? Ask the trained network: make all
# weights of all eight SAs equal, and restore faces.

# %%
from aminet.faces.synthetic import faces
from aminet.protocol import PROTOCOLS, psnr


def evened(sa: nn.Module, args: tuple, out: torch.Tensor) -> torch.Tensor:
    """A forward hook: SA's output as if each channel were the mean of its head."""
    a, v = sa.attention(args[0])                                  # (B, h, C/h, C/h), (B, h, C/h, HW)
    return sa.project((torch.full_like(a, 1 / a.shape[-1]) @ v).reshape(out.shape))


plain, trained = (load_weights("pocket")[0] for _ in range(2))
for name, module in plain.named_modules():
    if name.endswith(".sa"):
        module.register_forward_hook(evened)
print(f"{'PSNR, dB':20s}{'bicubic':>10s}{'all equal':>11s}{'trained':>10s}{'SA chooses':>13s}")
for name, x in {**{name: face[None] for name, face in portraits().items()}, "16 synthetic": faces(16, seed=3)}.items():
    start = to_float(upsample(degrade(x)))
    with torch.no_grad():
        found = [psnr(y, x, PROTOCOLS["paper"]).mean() for y in (start, plain(start), trained(start))]
    print(f"{name:20s}{found[0]:10.2f}{found[1]:11.2f}{found[2]:10.2f}{found[2] - found[1]:+13.2f}")

# %% [markdown]
# This is the chapter's most sobering number. In `pocket`, *who looks at whom* is worth 0.15 dB at most, and on
# one portrait 0.01 dB. Nearly all that SA gives is a mean of channels, after a 3×3 and before a 1×1. That is no verdict
# on wider networks and longer trainings: there $\tau$ may grow. [Notebook 11](11_ablations.ipynb) asks what a
# network misses that never had SA.
#
# ### Exercise 2: what does SA weigh?
#
# *Level 1, 5 minutes.* Count the parameters of `SelfAttention(c, h)` on paper: two 1×1 convolutions, one depthwise 3×3,
# the temperatures. No biases. Write the formula.

# %% tags=["exercise"]
def parameters(c: int, h: int) -> int:
    ...  # your turn


passed = check("03.2", parameters)

# %% tags=["solution"]
def parameters(c: int, h: int) -> int:
    return 3 * c * c + 9 * 3 * c + h + c * c  # 4c^2 + 27c + h


passed = check("03.2", parameters)

# %% [markdown]
# With the multiply-adds (MACs) beside the parameters this is the bill of SA, which [notebook 08](08_aminet_and_its_bill.ipynb) adds up for the whole network. Each weight works once per pixel. The two products of attention have no weights at all.

# %%
from aminet.ledger import Cost


def self_attention(c: int, height: int, width: int, heads: int, scale: str = "temperature") -> Cost:
    """4c^2 + 27c + h: 1x1 to q, k, v (3c^2), depthwise 3x3 on them (27c), 1x1 (c^2), a temperature per head."""
    weights, pixels = 4 * c * c + 27 * c, height * width
    return Cost(weights + heads * (scale == "temperature"), weights * pixels, 2 * (c * c // heads) * pixels)


for c, h, side in zip(AMINET.widths, AMINET.heads, (128, 64, 32, 16)):
    cost = self_attention(c, side, side, h)
    print(f"{side:3d} px, C = {c:3d}: {cost.params:7,d} parameters, {cost.conv / 1e6:5.1f} M MACs in convolutions, "
          f"{cost.matmul / 1e6:5.1f} M in products of features")

# %% [markdown]
# ### Exercise 3: how hot must it be?
#
# *Level 2, 10 minutes.* A channel has cosine 1 with one of $n$ channels and cosine 0 with the other $n - 1$. Which
# temperature $\tau$ gives the one the weight $p$? Solve $p = e^{\tau} / (e^{\tau} + n - 1)$ for $\tau$. Then look at
# the answer for $n = 28$, $p = 0.9$: how far is it from the start at $\tau = 1$?

# %% tags=["exercise"]
def temperature(n: int, p: float) -> float:
    ...  # your turn


passed = check("03.3", temperature)

# %% tags=["solution"]
from math import log


def temperature(n: int, p: float) -> float:
    return log(p / (1 - p)) + log(n - 1)


passed = check("03.3", temperature)
print(f"n = 28, p = 0.9: tau = {temperature(28, 0.9):.2f}")

# %% [markdown]
# ## What to remember
#
# - SA mixes channels, with a $C/h \times C/h$ matrix whose entries are sums over all pixels: global, linear
#   in $HW$, and blind to place but for its 3×3.
# - $\sqrt d$ assumes independent terms. Pixels of a face are correlated, logits grow like $\sqrt{HW}$, the
#   softmax saturates and its gradient dies; cosines with a learned temperature do not have this problem.
# - Heads are blocks on the diagonal: cheaper by $h$, one temperature each.
#
# Next: [04 RDFE](04_rdfe.ipynb), the branch that looks at places.
