# %% [markdown]
# # 03 · SA: attention between channels
#
# The global branch of AMINet compares whole channels with each other, instead of pixels with pixels.
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/03_sa.ipynb) · previous: [02 Measuring a face](02_measuring_a_face.ipynb) · next: [04 RDFE](04_rdfe.ipynb)
#
# Before this: Python with PyTorch tensors (convolutions, `reshape`, the matrix product `@`), and [00 A first face](00_a_first_face.ipynb). PSNR comes from [02](02_measuring_a_face.ipynb).
#
# You will be able to
# - **write** the paper's self-attention from Eqs. 1-5, put it into a trained network, and restore a face with it;
# - **derive** why attention divides by $\sqrt d$, and **show** when that is not enough;
# - **measure** what the attention of a trained network is worth, in dB.

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

# %% [markdown]
# ## The question: what does one channel know of another?
#
# A convolution sees a few pixels around each pixel. Faces have relations that reach further: the two eyes look alike, and the left cheek is about as bright as the right one. *Self-attention*, SA for short, is AMINet's branch for such relations. [Attention](A_symbols_and_shapes.ipynb#Words) means that a network computes weights from its data, then multiplies the data by them.
#
# > "We utilize Self-attention (SA) to extract global facial features, which can effectively model the
# > relationships between distant features. Meanwhile, through the multi-head mechanism in SR, features can be
# > captured from different subspaces, improving the robustness and generalization ability of the model."
# > (Sec. III-B1)
#
# Most attentions compare pixels with pixels. SA compares **channels** with channels. A feature of 28 channels is 28 pictures of the same face, and each shows something else. What does one of them know of another?
#
# SA is half of LGFI, the block that AMINet repeats eight times. LN is layer normalisation: it gives the numbers of each pixel mean 0 and variance 1 over the channels. SA and RDFE receive the same normalised feature, and SKAF weighs their two outputs.

# %% tags=["imports"]
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.nn import functional as F

from aminet.config import AMINET
from aminet.degrade import degrade, resize, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.sa import SelfAttention
from aminet.transformer import LayerNorm
from diagrams import draw
from exercises import check
from page import explore, show, table

figure = draw("LGFI", "SA")
figure.set_label("Where SA sits in LGFI: x, LN, then SA and RDFE side by side, and SKAF weighs the two")

# %% [markdown]
# SA receives a feature $X$ of $C$ channels. We make one without training: the portrait as the network receives it, one convolution, one LN. The paper's AMINet has $C = 28$ at full resolution ([notebook 08](08_aminet_and_its_bill.ipynb)), the course's `pocket` has 8.
#
# For two channels one number answers the question: their cosine over all pixels. It is 1 if they are bright at the same places, and 0 if they are unrelated. It is −1 if one is the negative of the other. Here is channel 0, and its cosine with three others. Each map is drawn in its own range of values.

# %%
C = 28
hr = portraits()[FACE][None]
image = to_float(upsample(degrade(hr)))  # (1, 3, 128, 128) in [-1, 1]
head, norm = nn.Conv2d(3, C, 3, padding=1), LayerNorm(C)  # not trained: seed 0
X = norm(head(image)).detach()
print("X:", tuple(X.shape))

unit = F.normalize(X[0].flatten(1), dim=-1)  # (28, 16384): each channel as a vector of length 1
cosines = unit @ unit.T                      # (28, 28): one number for each pair of channels
alike = int(cosines[0, 1:].argmax()) + 1
unrelated = int(cosines[0].abs().argmin())
opposite = int(cosines[0].argmin())
channels = [0, alike, unrelated, opposite]
pictures = [hr[0], image[0]] + [X[0, c] for c in channels]
titles = ["the face", "the input"] + [f"channel {c}" for c in channels]
captions = ["", ""] + [f"cosine {cosines[0, c]:.2f}" for c in channels]
figure = show([pictures], titles, captions=[captions])

# %% [markdown]
# The 28 channels have 28 × 28 such numbers. Each is a sum over all 16,384 pixels, so each has seen the whole face. SA computes numbers of this kind and mixes the channels by them. What to compare, and what to mix, is learned: each channel plays three parts.
#
# ## Query, key, value
#
# - **Query** $Q_i$: the picture with which output channel $i$ asks for channels that resemble it.
# - **Key** $K_j$: the picture with which channel $j$ answers such questions.
# - **Value** $V_j$: the picture that channel $j$ hands over when it is chosen.
# - **Score** (also *logit*): one number for each pair, the product of $Q_i$ and $K_j$ summed over all pixels.
# - [**Softmax**](A_symbols_and_shapes.ipynb#Words): turns a row of scores $s_1, s_2, \dots$ into weights $e^{s_j} / \sum_k e^{s_k}$, all positive, with sum 1.
# - [**Head**](A_symbols_and_shapes.ipynb#Words): one of several attentions side by side, each with its own share of the channels.
#
# Output channel $i$ is the mean of all values, with the weights of row $i$. The drawing shows the way from left to right. It calls the input $u$; "times τ" comes further down.

# %%
figure = draw("SA")
figure.set_label("SA: u, 1×1 and depthwise 3×3, then q, k and v; q times k, times τ, softmax, times v, 1×1")

# %% [markdown]
# ## Eqs. 1-3: three pictures of each channel
#
# > "we start by applying a 1×1 convolutional layer followed by a 3×3 depth-wise convolutional layer to
# > combine pixel-level cross-channel information and extract channel-level spatial context. From this spatial
# > context, we then generate $Q, K, V \in \mathbb{R}^{C\times H\times W}$." (Sec. III-B1)
#
# $$Q = F_{dw3}(F_{conv1}(X)) \quad (1) \qquad K = F_{dw3}(F_{conv1}(X)) \quad (2) \qquad
# V = F_{dw3}(F_{conv1}(X)) \quad (3)$$
#
# The 1×1 mixes channels and does not look around. The depthwise 3×3 has one kernel for each channel: it looks around and does not mix channels. $Q$, $K$ and $V$ have weights of their own. In code the three 1×1 convolutions are one with $3C$ outputs, cut in three afterwards.
#
# <details><summary>What the paper leaves open</summary>
#
# Printed like this, the three equations are the same formula. The three cannot be the same tensor. Then $QK^\top$ would be symmetric: channel 3 would match channel 7 exactly as well as channel 7 matches channel 3. So the weights must differ.
#
# The paper does not mention biases; here there are none. And "in SR", in the quote at the top, is a slip: the multi-head mechanism is in SA, the module of this section.
#
# </details>

# %%
pointwise = nn.Conv2d(C, 3 * C, 1, bias=False)
depthwise = nn.Conv2d(3 * C, 3 * C, 3, padding=1, groups=3 * C, bias=False)

with torch.no_grad():
    mixed = pointwise(X)       # every pixel: 28 numbers -> 84 numbers
    QKV = depthwise(mixed)     # every channel: its own 3×3
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
# Each channel becomes a row of $HW$ numbers. Watch the shapes: $(C \times HW)\,(HW \times C)$ is $C \times C$. The attention matrix has one row and one column for each **channel**. Row $i$ says which channels output $i$ is mixed from.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper calls $X_{sa}$ "the attention map of SA" and, in the same sentence, its output. It is the output; the attention map is the matrix $A$ below. The paper does not say what $d$ is; we derive it further down.
#
# </details>

# %%
H, W = X.shape[-2:]
project = nn.Conv2d(C, C, 1, bias=False)
with torch.no_grad():
    q = Q.reshape(1, C, H * W)                          # (1, C, HW)
    k = K.reshape(1, C, H * W).transpose(-2, -1)        # (1, HW, C)
    v = V.reshape(1, C, H * W)                          # (1, C, HW)
    scores = q @ k / (H * W) ** 0.5                     # (1, C, C)   Eq. 4, d = HW
    A = scores.softmax(dim=-1)                          # (1, C, C)   rows sum to 1
    X_weighted = A @ v                                  # (1, C, HW)
    X_sa = project(X_weighted.reshape(1, C, H, W))      # (1, C, H, W)   Eq. 5
for name, tensor in dict(q=q, k=k, scores=scores, A=A, X_weighted=X_weighted, X_sa=X_sa).items():
    print(f"{name:10s}", tuple(tensor.shape))
torch.testing.assert_close(A.sum(-1), torch.ones(1, C))

# %% [markdown]
# A product with $A$ is a weighted mean of pictures. Here is one row of it, drawn out. The output channel is the sum of value channels, each multiplied by one number, the same at every pixel.

# %%
row = int((A[0].amax(-1) - 0.4).abs().argmin())  # a row that really mixes
best = A[0, row].topk(4).indices.tolist()
rest = 1 - A[0, row, best].sum()
pictures = [V[0, c] for c in best] + [X_weighted[0, row].reshape(H, W)]
titles = [f"{A[0, row, c]:.2f} × $V_{{{c}}}$" for c in best] + [f"= output {row}"]
figure = show([pictures], titles, captions=[["", "", "", "", f"with {rest:.2f} × others"]])
figure.set_label(f"Four value channels, and output channel {row}, their weighted sum")

# %% [markdown]
# ## Channels or pixels: what does it cost?
#
# The usual attention compares pixels: its matrix is $HW \times HW$. Both kinds need two matrix products, $QK^\top$ and $(\cdot)V$. We count a product in [MACs](A_symbols_and_shapes.ipynb#Words), a multiplication with an addition each. With $h$ heads:
#
# | attention | matrix | MACs of the two products |
# |---|---|---|
# | between pixels | $h \times HW \times HW$ | $2\,(HW)^2\,C$ |
# | between channels | $h \times C/h \times C/h$ | $2\,HW\,C^2/h$ |
#
# The first is quadratic in the number of pixels, the second linear. These are the numbers for the four levels of AMINet:

# %%
rows = []
for side, c, h in zip((128, 64, 32, 16), AMINET.widths, AMINET.heads):
    n = side * side
    by_pixel, by_channel = 2 * n * n * c, 2 * n * c * c // h
    rows.append([f"{side}×{side}", c, h, h * n * n, c * c // h,
                 by_pixel / 1e6, by_channel / 1e6, round(by_pixel / by_channel)])
table(rows, ["feature", "C", "heads", "entries: pixels", "entries: channels",
             "10⁶ MACs: pixels", "10⁶ MACs: channels", "ratio of MACs"], digits=1)

# %% [markdown]
# If the side grows by 4, attention between pixels costs 256 times as much, attention between channels 16 times. The two cost the same where $HW = C/h$, here at a side of about 5 pixels.
#
# At 128×128, attention between pixels would need a matrix of 268 million entries, a gigabyte in float32. AMINet has two SAs at this size. Attention between channels needs 784 entries. This is why AMINet, and Restormer before it, can use attention at full resolution.
#
# ## What is lost: the place
#
# The weights are the same at every pixel. Without the depthwise 3×3, SA does not even know which pixels are neighbours. If we shuffle the pixels of the input, the output is the same, shuffled in the same way:

# %%
def attend(q, k, v):
    """Eq. 4. q, k, v: (B, C, HW) -> (B, C, HW)."""
    return (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1) @ v


shuffle = torch.randperm(H * W)
with torch.no_grad():
    q0, k0, v0 = pointwise(X).flatten(2).chunk(3, dim=1)  # (1, C, HW) each, no depthwise 3×3
expected = attend(q0, k0, v0)[..., shuffle]
torch.testing.assert_close(attend(q0[..., shuffle], k0[..., shuffle], v0[..., shuffle]), expected)
print("shuffled pixels in, shuffled pixels out: True")

# %% [markdown]
# So the 3×3 is the only place where SA can see an edge or a texture. The local branch, [RDFE](04_rdfe.ipynb), is needed for these.
#
# What SA has instead is the largest possible [receptive field](A_symbols_and_shapes.ipynb#Words), the part of the input on which an output pixel depends. Every score is a sum over all pixels, so every output pixel depends on every input pixel. The gradient of the centre pixel shows it:

# %%
probe = X.clone().requires_grad_()
qp, kp, vp = depthwise(pointwise(probe)).flatten(2).chunk(3, dim=1)
centre = attend(qp, kp, vp).reshape(1, C, H, W)[0, :, H // 2, W // 2]
(gradient,) = torch.autograd.grad(centre.pow(2).sum(), probe)
reach = gradient[0].abs().sum(0)  # (H, W)
print(f"input pixels that change the centre of the output: {(reach > 0).float().mean():.0%}")

brightness = (reach / reach.max()).log10().clamp(-4.5, -2.5)
figure = show([[image[0], brightness]], ["the input", "what changes the centre pixel"],
              captions=[["", "log10 of |gradient| / largest:\nblack −4.5 or less, yellow −2.5 or more"]], scale=2)

# %% [markdown]
# The bright dot is the direct path through $V$: 3×3 pixels. The faint face is the path through the attention matrix: weak at each pixel, but present at all of them. This is what "global" means in this paper.
#
# ## Why divide by √d?
#
# > "$\sqrt d$ is a factor used to scale the dot product of $\hat K$ and $\hat Q$" (Sec. III-B1)
#
# Take two vectors of $d$ numbers, all independent, with mean 0 and variance 1. Each product $q_t k_t$ has mean $0 \cdot 0 = 0$ and variance $\mathbb{E}[q_t^2]\,\mathbb{E}[k_t^2] = 1$. Variances of independent terms add up:
#
# $$\operatorname{Var}\Big(\sum_{t=1}^{d} q_t k_t\Big) = \sum_{t=1}^{d} \operatorname{Var}(q_t k_t) = d
# \qquad\Rightarrow\qquad \operatorname{Var}\Big(\frac{q \cdot k}{\sqrt d}\Big) = 1.$$
#
# So $d$ is the number of terms of the dot product. Here the sum runs over the pixels: $d = HW = 16384$ at full resolution. The derivation has a condition: **independent terms**. Neighbouring pixels of a face are not independent. If $q$ and $k$ have the correlation $\rho$ over the pixels, then
#
# $$\mathbb{E}[q \cdot k] = \rho\, d \qquad\Rightarrow\qquad \frac{q\cdot k}{\sqrt d} \approx \rho \sqrt d .$$
#
# At 128×128 that is $128\,\rho$: a correlation of 0.1 already makes a score of 13. We test it at four sizes. Each channel of $q$ and $k$ is brought to mean 0 and variance 1, so that only the correlation is left.
#
# <details><summary>What the paper leaves open</summary>
#
# The quote is all that the paper says of $d$. In a Transformer for text, $d$ is the width of a head, some 64, because the dot product runs over that width. Another interpretation here is $d = C/h$, the channels of a head. It would divide by less, and the scores would be larger still.
#
# </details>

# %%
def standard(x: torch.Tensor) -> torch.Tensor:
    """Mean 0 and variance 1 over the pixels, channel by channel. (..., HW)"""
    return (x - x.mean(-1, keepdim=True)) / x.std(-1, keepdim=True)


sides, of_noise, of_face = (16, 32, 64, 128), [], []
for side in sides:
    d = side * side
    noise_q, noise_k = torch.randn(2, C, d)
    of_noise.append(float((noise_q @ noise_k.T / d ** 0.5).pow(2).mean().sqrt()))
    with torch.no_grad():
        small = norm(head(to_float(resize(hr, side))))  # the same weights on a smaller picture
        face_q, face_k, _ = depthwise(pointwise(small))[0].flatten(1).chunk(3)
    of_face.append(float((standard(face_q) @ standard(face_k).T / d ** 0.5).pow(2).mean().sqrt()))
table([["independent noise", *of_noise], ["the portrait", *of_face]],
      ["typical |q·k| / √d", *(f"d = {side * side:,}" for side in sides)])

# %% tags=["plot"]
counts = [side * side for side in sides]
figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
axis.loglog(counts, of_noise, "o-", label="independent noise")
axis.loglog(counts, of_face, "o-", label="the portrait")
axis.loglog(counts, [of_face[0] * side / 16 for side in sides], ":", color="0.5", label="grows like √d")
axis.set(xlabel="terms in the dot product, d = HW", ylabel="typical |q·k| / √d",
         title="Dividing by √d holds noise at 1, but not faces", xticks=counts,
         xticklabels=[f"{side}×{side}" for side in sides])
axis.minorticks_off()
axis.legend()
plt.show()

# %% [markdown]
# Noise stays at 1 at all sizes. The portrait's scores grow from 4.9 to 54.5 between 16×16 and 128×128. That is a little faster than $\sqrt d$, because the larger picture is also the smoother one.
#
# ## The remedy: cosines with a temperature
#
# We can divide by what is really there: the lengths of the two vectors. That is the cosine of the first figure.
#
# $$\text{scale = "sqrt"}:\quad \frac{q_i \cdot k_j}{\sqrt{HW}} \qquad\qquad
# \text{scale = "temperature"}:\quad \tau\, \frac{q_i \cdot k_j}{\|q_i\|\, \|k_j\|}$$
#
# A cosine lies in $[-1, 1]$, whatever the size of the picture. One learned number $\tau$ per head, the [temperature](A_symbols_and_shapes.ipynb#Words), says how much it counts. It starts at 1. Restormer does it this way, and it is our default.
#
# <details><summary>What the paper leaves open</summary>
#
# "A factor used to scale the dot product" can mean either. Eq. 4 to the letter is the switch `scale="sqrt"` of `AMINetConfig`. No published count can tell the two apart: they differ by one parameter per head.
#
# </details>
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
# Write its `forward` with the cosine: `x` is $(B, C, H, W)$, and so is what it returns. The check puts your forward into all eight SAs of the trained network `pocket`. It compares every value, and shows the faces that come out.

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
# The class is `aminet.sa.SelfAttention`. With `scale="sqrt"` and one head it is the calculation from above; the next cell checks that.
#
# ## What a saturated softmax does
#
# If one score is far above the others, its softmax weight is 1 and the others are 0: the softmax is *saturated*. We measure this with the **effective number of channels** of a row, $\exp\big(-\sum_j a_j \ln a_j\big)$. It is the exponential of the row's entropy: $C$ if all weights are equal, 1 if the row copies a single channel.
#
# We also multiply the feature by 3 and by 10. Larger weights of $Q$ and $K$, as training may produce, have the same effect on the scores. In the figure white means an even share, $1/C$; red is more, blue is less.

# %%
def effective(weights: torch.Tensor) -> torch.Tensor:
    """Channels that a row really mixes. (..., C, C) -> (..., C), from 1 to C."""
    return torch.special.entr(weights).sum(-1).exp()


literal = SelfAttention(C, 1, "sqrt")
literal.load_state_dict({"qkv.weight": pointwise.weight, "depthwise.weight": depthwise.weight,
                         "project.weight": project.weight})
torch.testing.assert_close(literal(X), X_sa)
print("the class equals the steps above: True")

scales = {"sqrt": literal, "temperature": SelfAttention(C)}
scales["temperature"].load_state_dict(literal.state_dict(), strict=False)  # the same weights; tau stays 1
maps, rows = {}, []
for name, module in scales.items():
    for gain in (1, 3, 10):
        with torch.no_grad():
            a = maps[name, gain] = module.attention(gain * X)[0][0]  # (1, C, C)
        rows.append([name, gain, float(effective(a).mean()), float(a.amax(-1).mean())])
table(rows, ["scale", "X times", f"effective channels of {C}", "largest weight of a row"])

# %% tags=["plot"]
def draw_matrices(matrices: dict[str, torch.Tensor]) -> None:
    """Draw attention matrices (h, n, n), by title, heads as blocks; colour: how many times an even share 1/n."""
    colours = plt.get_cmap("RdBu_r").with_extremes(bad="0.85")  # grey: pairs of different heads
    figure, axes = plt.subplots(1, len(matrices), figsize=(2.3 * len(matrices) + 1, 2.8), layout="constrained")
    for axis, (title, a) in zip(axes, matrices.items()):
        same_head = torch.block_diag(*torch.ones_like(a)).bool()
        share = torch.block_diag(*(a * a.shape[-1])).masked_fill(~same_head, torch.nan)
        drawn = axis.imshow(share.log2(), vmin=-2, vmax=2, cmap=colours)
        axis.set(title=title, xlabel="channel looked at")
        axis.grid(False)
    axes[0].set_ylabel("output channel")
    bar = figure.colorbar(drawn, ax=axes, ticks=[-2, -1, 0, 1, 2], label="times an even share", extend="both", shrink=0.9)
    bar.ax.set_yticklabels(["¼", "½", "1", "2", "4"])
    plt.show()


draw_matrices({f"scale = {name}": maps[name, 1] for name in scales})

# %% [markdown]
# With $\sqrt d$ most rows copy one or a few channels, before the first step of training. It gets worse with every increase of the feature. With the cosine the amplitude cancels, and nothing changes at all.
#
# Rows that copy would do no harm if training could undo them. It hardly can. The derivative of a softmax row $a$ with scores $s$ is
#
# $$\frac{\partial a_i}{\partial s_j} = a_i(\delta_{ij} - a_j).$$
#
# If $a$ is (1, 0, …, 0), every entry of it is 0. The gradient of $Q$ and $K$ has to pass through this matrix.

# %%
def slope(weights: torch.Tensor) -> torch.Tensor:
    """Frobenius norm of the softmax derivative, mean over the rows. (C, C) -> ()."""
    jacobian = torch.diag_embed(weights) - weights[:, :, None] * weights[:, None, :]  # (C, C, C)
    return jacobian.pow(2).sum((-2, -1)).sqrt().mean()


gains = torch.logspace(-1, 1.5, 11)
slopes = {}
for name, module in scales.items():
    with torch.no_grad():
        slopes[name] = [float(slope(module.attention(gain * X)[0][0, 0])) for gain in gains]

figure, axis = plt.subplots(figsize=(6, 3), layout="constrained")
for name, color in (("sqrt", "C1"), ("temperature", "C0")):
    axis.loglog(gains, slopes[name], color=color, label=f"scale = {name}")
axis.set(xlabel="amplitude of the feature: X times …", ylabel="norm of the derivative",
         title="A saturated softmax passes no gradient")
axis.legend(loc="lower left")
plt.show()

# %% [markdown]
# LN in front of SA holds the amplitude of its input. A network with it stays near the middle of this figure until the weights of $Q$ and $K$ grow.
#
# <details><summary>What our trainings say</summary>
#
# Three short trainings of a small network do not decide between the two scales. $\sqrt d$ lost 0.01 to 0.06 dB, which is within chance ([notebook 11](11_ablations.ipynb)). The case for the temperature is the calculation above, and that Restormer made the same choice.
#
# </details>
#
# ## Heads: blocks on the diagonal
#
# With $h$ heads the channels are cut into $h$ groups, and a channel attends to its own group only. That equals one large $C \times C$ attention in which all entries outside $h$ diagonal blocks are forbidden: their score is $-\infty$, so their weight is 0. In the figure they are grey.

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
draw_matrices({"one head": full.softmax(dim=-1), "4 heads": small[0]})

# %% [markdown]
# Heads save work: the products cost $C^2/h$ instead of $C^2$ per pixel. Each group gets a temperature of its own. In return, groups cannot mix inside the attention; the 1×1 convolutions before and after it do that.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper does not say how many heads there are. We take 1, 2, 4, 4 at 128, 64, 32, 16 pixels.
#
# </details>
#
# ### Exercise 2: count the parameters of SA
#
# *Level 1, 5 minutes.* Count the parameters of `SelfAttention(c, h)` on paper: two 1×1 convolutions, one depthwise 3×3, the temperatures. There are no biases. Write the formula.

# %% tags=["exercise"]
def parameters(c: int, h: int) -> int:
    """The parameters of an SA with c channels and h heads."""
    ...  # your turn


passed = check("03.2", parameters)

# %% tags=["solution"]
def parameters(c: int, h: int) -> int:
    """The parameters of an SA with c channels and h heads."""
    return 3 * c * c + 9 * 3 * c + h + c * c  # 4c^2 + 27c + h


passed = check("03.2", parameters)

# %% [markdown]
# The function below gives the MACs together with the parameters. [Notebook 08](08_aminet_and_its_bill.ipynb) adds them up for the whole network. Each weight of a convolution is used once per pixel. The two products of the attention have no weights at all.

# %%
from aminet.ledger import Cost


def self_attention(c: int, height: int, width: int, heads: int, scale: str = "temperature") -> Cost:
    """4c^2 + 27c + h: 1x1 to q, k, v (3c^2), depthwise 3x3 on them (27c), 1x1 (c^2), a temperature per head."""
    weights, pixels = 4 * c * c + 27 * c, height * width
    return Cost(weights + heads * (scale == "temperature"), weights * pixels, 2 * (c * c // heads) * pixels)


rows = []
for c, h, side in zip(AMINET.widths, AMINET.heads, (128, 64, 32, 16)):
    cost = self_attention(c, side, side, h)
    rows.append([f"{side}×{side}", c, h, cost.params, cost.conv / 1e6, cost.matmul / 1e6])
table(rows, ["feature", "C", "heads", "parameters", "10⁶ MACs: convolutions", "10⁶ MACs: the two products"], digits=1)

# %% [markdown]
# ## In a trained network
#
# `pocket` is a small trained AMINet ($C = 8$) that comes with the course. We send the portrait through it and keep the input of each of its eight SAs. For each we list how many channels a row mixes, the smallest and the largest weight, and the learned temperatures. An even share is $1/8 = 0.125$ everywhere.

# %%
from aminet.training.weights import load_weights

model, header = load_weights("pocket")
places = {name: module for name, module in model.named_modules() if name.endswith(".sa")}
inputs = {}


def keep_input(module: nn.Module, args: tuple) -> None:
    inputs[module] = args[0]


for module in places.values():
    module.register_forward_pre_hook(keep_input)
matrices, rows = {}, []
with torch.no_grad():
    model(image)
    for name, sa in places.items():
        a = matrices[name] = sa.attention(inputs[sa])[0][0]  # (h, C/h, C/h)
        side, tau = inputs[sa].shape[-1], ", ".join(f"{t:.2f}" for t in sa.temperature.flatten())
        rows.append([name, f"{side}×{side}", len(a), float(effective(a).mean()), float(a.min()), float(a.max()), tau])
table(rows, ["SA", "feature", "heads", "a row mixes, of 8", "smallest weight", "largest weight", "τ of each head"])

way_down = ["encoders.0.sa", "encoders.1.sa", "encoders.2.sa", "bottleneck.0.sa"]
draw_matrices({name: matrices[name] for name in way_down})

# %% [markdown]
# A row mixes about 7 of its 8 channels. No $\tau$ went far from its start: training moved it from 1 to at most 1.14. The temperature decides how uneven a row is.
#
# Two figures follow. The first draws out two rows of the first SA: the most uneven one and the most even one. The second multiplies the learned temperature and shows the matrix; in a live notebook, a slider multiplies it once more.

# %%
first = model.encoders[0].sa
with torch.no_grad():
    a, v = first.attention(inputs[first])
a, v = a[0, 0], v[0, 0]  # (8, 8), (8, HW)
pictures, captions, labels = [], [], []
for kind, i in (("uneven", int(effective(a).argmin())), ("even", int(effective(a).argmax()))):
    best = a[i].topk(5).indices.tolist()
    rest = 1 - a[i, best].sum()
    pictures.append([v[j].reshape(H, W) for j in best] + [(a[i] @ v).reshape(H, W)])
    captions.append([f"{a[i, j]:.2f} × $V_{j}$" for j in best] + [f"= output {i},\nwith {rest:.2f} × others"])
    labels.append(f"{kind}: mixes {effective(a)[i]:.1f}")
figure = show(pictures, labels=labels, captions=captions)
figure.set_label("An uneven and an even row of the first SA: five value channels each, and the output")

# %% tags=["plot"]
def draw_temperatures(factor: float = 1.0) -> None:
    """Attention of the first SA with its temperature multiplied, for a few factors around the chosen one."""
    learned = first.temperature.detach().clone()
    found = {}
    for times in (0.0, 1.0, 4.0, 16.0):
        with torch.no_grad():
            first.temperature.copy_(learned * times * factor)
            a = first.attention(inputs[first])[0][0]
            first.temperature.copy_(learned)
        found[f"τ × {times * factor:g}: mixes {effective(a).mean():.1f}"] = a
    draw_matrices(found)


explore(draw_temperatures, factor=(0.25, 4.0, 0.25))

# %% [markdown]
# An even row gives the mean of all values, a summary of the face. This is the global context that SA hands to SKAF; the details come from RDFE. The two outputs look alike, although their weights differ: a first hint of the result below.
#
# At τ × 0 every output is the same mean of all channels. At τ × 16 each row copies a few channels, as with the saturated softmax above. The cosine starts training near the even end, where the gradient is not 0.
#
# ### Exercise 3: how large must the temperature be?
#
# *Level 2, 10 minutes.* A channel has cosine 1 with one of $n$ channels and cosine 0 with the other $n - 1$. Which temperature $\tau$ gives the one the weight $p$? Solve $p = e^{\tau} / (e^{\tau} + n - 1)$ for $\tau$.

# %% tags=["exercise"]
def temperature(n: int, p: float) -> float:
    """The tau that gives the one matching channel of n the weight p."""
    ...  # your turn


passed = check("03.3", temperature)

# %% tags=["solution"]
from math import log


def temperature(n: int, p: float) -> float:
    """The tau that gives the one matching channel of n the weight p."""
    return log(p / (1 - p)) + log(n - 1)


passed = check("03.3", temperature)

# %% [markdown]
# ## The result: what is the choice of channels worth?
#
# Two steps lead to this chapter's most interesting number. First: how much can a row prefer one channel? We give one of $n$ channels the cosine 1. The others have cosine 0, as unrelated channels do, or −1, the extreme case. With 28 channels and $\tau = 1$, where training starts, a perfect match among unrelated channels has the weight 0.09:

# %%
def weight_of_match(n: int, tau: float, others: float) -> float:
    """The softmax weight of one channel with cosine 1, if the other n - 1 have the cosine `others`."""
    scores = tau * torch.tensor([1.0] + [others] * (n - 1))
    return float(scores.softmax(dim=0)[0])


rows = []
for n, tau, what in ((28, 1.0, "28 channels, start"), (28, 1.14, "28 channels, largest τ in pocket"),
                     (28, 5.49, "28 channels, a clear choice"), (8, 1.14, "8 channels, largest τ in pocket")):
    rows.append([what, f"{tau:.2f}", 1 / n, weight_of_match(n, tau, others=0.0), weight_of_match(n, tau, others=-1.0)])
table(rows, ["case", "τ", "even share", "match, others cosine 0", "match, others cosine −1"], digits=3)
print(f"largest of the 784 weights of X, scale = temperature: {maps['temperature', 1].max():.3f}")

# %% [markdown]
# So SA starts as a nearly uniform mean. A weight of 0.9 would need $\tau = 5.49$, and no $\tau$ of `pocket` exceeds 1.14. Does the choice of channels count at all, or would plain means do?
#
# Second: ask the trained network. We set **all eight attention matrices to uniform** and restore faces, without any new training. *Guess first:* `pocket` is about 1 to 2 dB better than bicubic. How much of that is lost?

# %%
from aminet.faces.synthetic import faces
from aminet.protocol import PROTOCOLS, psnr


def evened(sa: nn.Module, args: tuple, out: torch.Tensor) -> torch.Tensor:
    """A forward hook: SA's output as if each channel were the mean of its head."""
    a, v = sa.attention(args[0])                                  # (B, h, C/h, C/h), (B, h, C/h, HW)
    equal = torch.full_like(a, 1 / a.shape[-1])
    return sa.project((equal @ v).reshape(out.shape))


uniform, trained = load_weights("pocket")[0], load_weights("pocket")[0]
for name, module in uniform.named_modules():
    if name.endswith(".sa"):
        module.register_forward_hook(evened)
originals = {name: face[None] for name, face in portraits().items()}
originals["16 synthetic faces"] = faces(16, seed=3)
rows, restored = [], {}
for name, x in originals.items():
    start = upsample(degrade(x))
    with torch.no_grad():
        restored[name] = [network(to_float(start)) for network in (uniform, trained)]
    bicubic, equal, learned = [float(psnr(y, x, PROTOCOLS["paper"]).mean()) for y in (start, *restored[name])]
    rows.append([name, bicubic, equal, learned, learned - equal])
table(rows, ["PSNR (dB)", "bicubic", "all weights equal", "trained", "trained − equal"])

names = list(portraits())
pictures = [[restored[name][0][0], restored[name][1][0], originals[name][0]] for name in names]
captions = [[f"{row[2]:.2f} dB", f"{row[3]:.2f} dB", ""] for row in rows[:2]]
figure = show(pictures, ["all weights equal", "trained", "the original"], names, captions, scale=2)

# %% [markdown]
# > **In `pocket`, on two portraits and 16 synthetic faces, which channel looks at which is worth 0.01 to 0.15 dB. All eight attention matrices can be replaced by plain means, and you hardly see a difference.**
#
# Nearly all that SA gives here is a mean of channels, after a 3×3 and before a 1×1. The learned weights are not equal: they lie between 0.03 and 0.41. But no row comes near a clear choice, since $\tau$ stays near 1.
#
# This is no verdict on wider networks and longer trainings: there $\tau$ may grow. [Notebook 11](11_ablations.ipynb) asks another question: what does a network miss that never had SA?
#
# ## What to remember
#
# - SA mixes channels, with a $C/h \times C/h$ matrix whose entries are sums over all pixels. It is global, linear in $HW$, and blind to place except for its 3×3.
# - $\sqrt d$ assumes independent terms. Pixels of a face are correlated, so scores grow like $\sqrt{HW}$, the softmax saturates, and its gradient vanishes. Cosines with a learned temperature do not have this problem.
# - Heads are blocks on the diagonal: $h$ times cheaper, one temperature each.
# - In `pocket`, uniform weights in all eight SAs cost only 0.01 to 0.15 dB.
#
# To read on: A. Vaswani et al., [Attention Is All You Need](https://arxiv.org/abs/1706.03762) (2017); A. El-Nouby et al., [XCiT](https://arxiv.org/abs/2106.09681) (2021) and S. Zamir et al., [Restormer](https://arxiv.org/abs/2111.09881) (2022), both with attention between channels.
#
# Next: [04 RDFE](04_rdfe.ipynb), the branch that looks at places.
