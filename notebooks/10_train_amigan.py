# %% [markdown]
# # 10 · Train AMIGAN
#
# The same network, trained against a discriminator. Each loss of Eqs. 18 to 22, a live game, one lost on purpose, and the record of a real one.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/10_train_amigan.ipynb) · previous: [09 · Train AMINet](09_train_aminet.ipynb) · next: [11 · Ablations](11_ablations.ipynb)
#
# You will be able to
#
# - **build** the three losses of AMIGAN and its discriminator, and say which gradient reaches whom;
# - **play** the game: read both players' curves, and see from them when it is over;
# - **judge** a GAN's record: what it wins in perception, what it pays in PSNR, and how sure that is.

# %% tags=["parameters"]
start = "pocket"  # AMINet's weights: ours by name, a file, or the folder of a run
faces = "synthetic:64"  # folders and zips, separated by spaces, also looked for in $AMINET_FACES; or synthetic:N:SEED
val = "synthetic:4:1"  # the same; other faces than those
images = 120  # faces to see in all
batch = 4
lr = 1e-4  # the generator's; this and the next four are the paper's
d_lr = 4e-4  # the discriminator's
pixel = 1.0
perceptual = 0.0  # the paper's is 0.01: it needs VGG19's weights, and takes longer
adversarial = 0.01
loss = "vanilla"  # as printed, or hinge
width = 8  # the discriminator's channels at 128x128; 64 in a real run
norm = "batch"  # or spectral, none
r1 = 0.0
val_every = 20  # images between two validations
seed = 0
out = ""  # folder of the run; empty: a temporary one
device = "auto"  # or cpu, cuda
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
import csv
import json
import tempfile
from collections.abc import Callable
from math import exp, log

import matplotlib.pyplot as plt
import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.testing import assert_close

from aminet import AMINet, AMINetConfig, BadInput
from aminet.amigan import Adversary, adversarial_loss, discriminator_loss
from aminet.training.games import GANRecipe
from aminet.degrade import degrade, to_float, upsample
from aminet.paper.records import read_record
from aminet.faces.sources import open_training_faces
from aminet.files import DATA
from aminet.faces.portraits import portraits
from aminet.metrics.statistics import paired_difference
from aminet.faces.synthetic import faces as draw_faces
from aminet.train import batch_of, restore
from aminet.training.games import GANGame
from aminet.training.trainer import Trainer
from aminet.training.weights import load_weights, save_weights
from exercises import check

hr = torch.stack(list(portraits().values()))                     # (2, 3, 128, 128) uint8
bicubic, target = to_float(upsample(degrade(hr))), to_float(hr)  # (2, 3, 128, 128) in [-1, 1]
net, _ = load_weights("pocket")
with torch.no_grad():
    sr = net(bicubic)                                            # AMINet's answer, the same shape

# %% [markdown]
# ## Why a second network?
#
# Many faces shrink to the same 16x16 pixels, and the network must give one answer. [Notebook 01](01_the_problem.ipynb) showed what a pixel loss asks for: squared error wants the **mean** of all plausible faces, L1 their **median**, pixel by pixel. Here is what that does to a line. A bright bar lies somewhere inside one LR pixel, so the LR picture is the same wherever it is. Take the bar once as wide as an eyelid, and once as thin as an eyelash.

# %%
def bars(size):
    """One row of pixels for each place of a bar of `size` pixels inside the LR pixel 8..15. (places, 24)"""
    rows = torch.zeros(9 - size, 24)
    for place, row in enumerate(rows):
        row[8 + place:8 + place + size] = 1
    return rows


figure, axes = plt.subplots(1, 2, figsize=(8.5, 2.8), layout="constrained")
for axis, size in zip(axes, (4, 2)):
    truth = bars(size)
    assert torch.equal(*truth.reshape(-1, 3, 8).mean(-1)[[0, -1]])       # one LR picture: mean over 8 pixels
    answers = {"one of them": truth[0], "the mean": truth.mean(0), "the median": truth.median(0).values}
    for name, answer in answers.items():
        error = answer - truth
        print(f"bar of {size}, {name:12s} expected L1 {error.abs().sum(1).mean():.2f}, L2 {error.square().sum(1).mean():.2f}")
    gap = torch.full((1, 24), torch.nan)
    rows = torch.cat([truth, gap, answers["the mean"][None], gap, answers["the median"][None]])
    axis.imshow(rows, cmap="gray", vmin=0, vmax=1, aspect="auto")
    n = len(truth)
    axis.set(title=f"a bar of {size} pixels", xlabel="pixel; dashed: one LR pixel", xticks=[0, 8, 16, 23],
             yticks=[n // 2, n + 1, n + 3], yticklabels=["all plausible", "best for L2: mean", "best for L1: median"])
    axis.grid(False)
    for x in (7.5, 15.5):
        axis.axvline(x, color="C1", linestyle="--", linewidth=1)
plt.show()

# %% [markdown]
# The mean smears what it is not sure of. The median keeps the wide bar, and the thin one **vanishes**: at each pixel it is more likely absent. That is why an L1 network gives smooth skin and no lashes. Both have the lowest error there is. No training on pixels alone can do better, so AMIGAN is given other losses.
#
# > "Since the GAN-based methods [37, 38] can get better perceptual qualities, we expand our AMINet to AMIGAN to generate more high-quality SR results." (Sec. III-D)
#
# **Perception against distortion.** Blau and Michaeli (2018) proved that no method has the best of both: at the frontier, results whose distribution is closer to that of real pictures (lower FID) lie further from the true one (lower PSNR). So do not ask whether AMIGAN's PSNR falls, ask what was bought for it; a perfect imitator, who draws one plausible face at random, pays 3 dB against the mean.
#
# ## Eq. 18: the pixel loss
#
# $$\mathcal{L}_{pix} = \frac{1}{N}\sum_{i=1}^{N}\left\|G(I_{LR}^{i}) - I_{HR}^{i}\right\|_1 \qquad (18)$$
#
# Eq. 17 again, with the generator $G$, which is AMINet: `F.l1_loss(sr, target)`. It keeps the face in its place.
#
# ## Eq. 19: the perceptual loss
#
# > "This involves using a pre-trained VGG19 [39] model to extract facial features from both the HR images and our generated FSR images." (Sec. III-D2)
#
# $$\mathcal{L}_{pcp} = \frac{1}{N}\sum_{i=1}^{N}\sum_{l=1}^{L_{VGG}}\frac{1}{M_{VGG}^{l}}\left\|f_{VGG}^{l}(I_{SR}^{i}) - f_{VGG}^{l}(I_{HR}^{i})\right\|_1 \qquad (19)$$
#
# $f^l_{VGG}$ is the feature map of layer $l$, $M^l_{VGG}$ its number of entries, and $L_{VGG}$ "the total number of layers in VGG". Which layers is not said. VGG19 has 16 convolutions and 3 fully connected layers; the latter want 224x224 pixels, so we take the 16, each after its ReLU. VGG is never trained here: it only looks.
#
# VGG19's own weights are a download of 575 MB. For shapes, counts and checks random weights do, with He's initial values, so that no layer is larger than another by chance.

# %%
class PerceptualLoss(nn.Module):
    scale: Tensor
    shift: Tensor

    def __init__(self, features: nn.Sequential):
        super().__init__()
        self.vgg = features.eval().requires_grad_(False).to(memory_format=torch.channels_last)
        # [-1, 1] -> [0, 1] -> ImageNet's mean and deviation, in one step
        mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
        self.register_buffer("scale", (0.5 / deviation).reshape(1, 3, 1, 1))
        self.register_buffer("shift", ((0.5 - mean) / deviation).reshape(1, 3, 1, 1))

    def layers(self, image: Tensor) -> list[Tensor]:
        x, maps = image * self.scale + self.shift, []
        for layer in self.vgg:
            x = layer(x)
            if isinstance(layer, nn.ReLU):
                maps.append(x)
        return maps

    def forward(self, sr: Tensor, hr: Tensor) -> Tensor:
        with torch.no_grad():
            real = self.layers(hr)
        return torch.stack([(a.float() - b.float()).abs().mean() for a, b in zip(self.layers(sr), real)]).sum()

# %%
from torchvision.models.vgg import cfgs, make_layers

torch.manual_seed(0)
vgg = make_layers(cfgs["E"])                                      # "E" is VGG19; 37 modules
for layer in vgg:
    if isinstance(layer, nn.Conv2d):
        nn.init.kaiming_normal_(layer.weight)
        nn.init.zeros_(layer.bias)
perceptual_loss = PerceptualLoss(vgg)
with torch.no_grad():
    fake, real = perceptual_loss.layers(sr), perceptual_loss.layers(target)
    eq19 = sum((a - b).abs().sum((1, 2, 3)) / a[0].numel() for a, b in zip(fake, real)).mean()  # to the letter
    assert_close(eq19, perceptual_loss(sr, target))
print(len(fake), "layers; every second one:")

names = [f"conv{block}_{i}" for block, count in enumerate((2, 2, 4, 4, 4), 1) for i in range(1, count + 1)]
for name, a in list(zip(names, fake))[::2]:
    print(f"{name}  {tuple(a.shape)!s:20s} M = {a[0].numel():9,d}")

terms = torch.stack([(a - b).abs().mean() for a, b in zip(fake, real)])         # Eq. 19: the mean of each layer
sums = torch.stack([(a - b).abs().sum() for a, b in zip(fake, real)])           # without 1/M
figure, axis = plt.subplots(figsize=(8, 2.6), layout="constrained")
axis.bar(np.arange(16) - 0.2, 100 * terms / terms.sum(), 0.4, label="with 1/M (Eq. 19)")
axis.bar(np.arange(16) + 0.2, 100 * sums / sums.sum(), 0.4, label="without")
axis.set(title="who speaks in the perceptual loss? AMINet's portraits, random VGG19", ylabel="share in %")
axis.set_xticks(range(16), names, rotation=45, fontsize=8)
axis.legend()
plt.show()
print(f"the first two layers: {100 * terms[:2].sum() / terms.sum():.0f} % with 1/M, {100 * sums[:2].sum() / sums.sum():.0f} % without")

# %% [markdown]
# Without $1/M$ the loss would belong to the fine layers, which have 32 times as many entries as the coarse ones: a pixel loss in disguise. With it, every layer speaks with the size of its features. And that size depends on the **weights**: there are two VGG19s. Oxford's original, from Caffe, and torchvision's own training of the same layers. The paper does not say which. Their features differ in size, so the same 0.01 means two different things: `aminet` takes whichever file it finds, checks its sha256, and writes its name into the run.
#
# ## Eqs. 20 and 21: the two players
#
# > "GAN generates FSR results through the generator while using the discriminator to distinguish between ground truth and FSR results" (Sec. III-D3)
#
# $$\mathcal{L}_{dis} = -\mathbb{E}[\log D(I_{HR})] - \mathbb{E}[\log(1 - D(G(I_{LR})))] \quad (20) \qquad \mathcal{L}_{adv} = -\mathbb{E}[\log D(G(I_{LR}))] \quad (21)$$
#
# $D$ is the probability that a picture is real. The code keeps its **logit** $z$ instead, $D = \sigma(z) = 1/(1+e^{-z})$: then $-\log D = \log(1 + e^{-z})$ is `softplus(-z)`, and no logarithm of zero can occur. `hinge` is the usual alternative, not the paper's. Here `discriminator_loss(real, fake)` and `adversarial_loss(fake)` come from the package, and they take logits. You write them yourself in exercises 1 and 2.

# %%
z_real, z_fake = torch.tensor([2.0, -1.0, 0.3]), torch.tensor([0.5, -3.0, 1.0])              # logits of (B,) faces
D_real, D_fake = z_real.sigmoid(), z_fake.sigmoid()
assert_close(discriminator_loss(z_real, z_fake), -D_real.log().mean() - (1 - D_fake).log().mean())  # Eq. 20
assert_close(adversarial_loss(z_fake), -D_fake.log().mean())                                        # Eq. 21
none = torch.zeros(1)                                                                        # D = 1/2: no idea
assert_close(discriminator_loss(none, none), torch.tensor(2 * log(2)))
print(f"D = 1/2 everywhere: Eq. 20 gives 2 log 2 = {2 * log(2):.3f}, Eq. 21 gives log 2 = {log(2):.3f}")

z = torch.linspace(-6, 6, 121, requires_grad=True)
lines = {r"$-\log D$ (Eq. 21)": F.softplus(-z), r"$\log(1-D)$": -F.softplus(z), "hinge": -z}
figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.7), layout="constrained")
for name, y in lines.items():
    slope, = torch.autograd.grad(y.sum(), z, retain_graph=True)
    axes[0].plot(z.detach(), y.detach(), label=name)
    axes[1].plot(z.detach(), slope.abs(), label=name)
axes[2].plot(z.detach(), F.softplus(z).detach(), label="vanilla (Eq. 20)")
axes[2].plot(z.detach(), F.relu(1 + z).detach(), color="C2", label="hinge")
for axis, title in zip(axes, ("generator's loss", "size of its slope", "discriminator's loss, for a fake")):
    axis.set(title=title, xlabel="logit of a restored face")
axes[0].legend(fontsize=8)
axes[2].legend(fontsize=8)
plt.show()

# %% [markdown]
# Why $-\log D$ in Eq. 21, when Eq. 20 has $\log(1 - D)$? Both have the same aim, more $D$. But early on the discriminator sees through every fake: the logit is far on the left. There $\log(1-D)$ is flat, and its slope vanishes exactly for the player that is losing. $-\log D$ is steepest there (exercise 4 has the number).
#
# The equilibrium is $D = \frac12$, nobody can tell: losses of $2\log 2$ and $\log 2$. Note that a **falling** discriminator loss is not progress of the game; it says that one player wins.
#
# ## The discriminator
#
# The paper does not describe it. Ours has the form of the works it cites for GANs, SRGAN [37] and ESRGAN [38]: 3x3 convolutions and strided 4x4 ones in turn, batch norm behind all but the first, five halvings, two linear layers, one logit.

# %%
class Discriminator(nn.Module):
    def __init__(self, width: int = 64, norm: str = "batch"):
        super().__init__()
        bound = nn.utils.parametrizations.spectral_norm if norm == "spectral" else lambda layer: layer
        layers, channels = [], 3
        for multiple in (1, 2, 4, 8, 8):
            for kernel, stride in ((3, 1), (4, 2)):
                normed = norm == "batch" and channels != 3
                layers.append(bound(nn.Conv2d(channels, width * multiple, kernel, stride, 1, bias=not normed)))
                channels = width * multiple
                if normed:
                    layers.append(nn.BatchNorm2d(channels))
                layers.append(nn.LeakyReLU(0.2))
        self.features = nn.Sequential(*layers)  # (B, 8 width, 4, 4)
        self.judge = nn.Sequential(nn.Flatten(), bound(nn.Linear(16 * channels, 100)), nn.LeakyReLU(0.2),
                                   bound(nn.Linear(100, 1)))

    def forward(self, image: Tensor) -> Tensor:
        return self.judge(self.features(image))[:, 0]


torch.manual_seed(seed)
discriminator = Discriminator()                                   # width 64, as in a real run
x = target
print("image       ", tuple(x.shape))
for layer in discriminator.features:
    x = layer(x)
    if isinstance(layer, nn.Conv2d) and layer.stride == (2, 2):
        print("halved      ", tuple(x.shape))
print("logits      ", tuple(discriminator(target).shape), "| parameters", f"{sum(p.numel() for p in discriminator.parameters()):,}")

# %% [markdown]
# A discriminator that becomes too sure, too fast, ends the game. Two ways to hold it back, both switches:
#
# **Spectral norm** (Miyato et al., 2018) takes the place of batch norm. It divides each layer's weight matrix by its largest singular value, which a step of power iteration per batch keeps track of. Then no patch of a picture can grow in a layer, however large the weights become. (For a convolution the matrix is that of one patch. Patches overlap, so the gain of the whole layer can be up to 3 times larger for our 3x3, and twice for the 4x4.)
#
# **R1** (Mescheder et al., 2018) punishes the slope of the logit at the real pictures, $\frac{1}{2}\mathbb{E}\|\nabla D(I_{HR})\|^2$: around a real face the discriminator should be flat. This needs the gradient of a gradient, hence `create_graph`. The check: a linear discriminator $z = 2\sum x$ over 48 values has slope 2 at each, so R1 is $\frac12 \cdot 48 \cdot 2^2 = 96$.

# %%
def gains(discriminator):
    """The largest singular value of each layer's weights: (out, in * k * k) matrices."""
    layers = [m for m in discriminator.modules() if isinstance(m, (nn.Conv2d, nn.Linear))]
    return np.array([torch.linalg.matrix_norm(m.weight.detach().flatten(1), 2).item() for m in layers])


figure, axis = plt.subplots(figsize=(6.5, 2.6), layout="constrained")
for kind, marker in (("none", "o"), ("spectral", "s")):
    torch.manual_seed(0)
    critic = Discriminator(16, kind)
    before = gains(critic)
    with torch.no_grad():
        for weight in critic.parameters():
            weight.mul_(4)                                        # as if training had let the weights grow
    axis.plot(before, marker=marker, label=f"{kind}, at the start")
    axis.plot(gains(critic), marker=marker, linestyle="--", markerfacecolor="none", label=f"{kind}, weights times 4")
    print(f"{kind:9s} product of all 12: {before.prod():.2g} at the start, {gains(critic).prod():.2g} after")
axis.set(title="how much a layer can magnify", xlabel="layer: ten convolutions, two linear", ylabel="largest singular value",
         ylim=(0, None), xticks=range(12))
axis.legend(fontsize=8, ncols=2)
plt.show()

# %%
def r1_penalty(real: Tensor, images: Tensor) -> Tensor:
    gradient, = torch.autograd.grad(real.sum(), images, create_graph=True)
    return gradient.square().sum((1, 2, 3)).mean() / 2


few = torch.rand(3, 3, 4, 4, requires_grad=True)
assert_close(r1_penalty(2 * few.sum((1, 2, 3)), few), torch.tensor(96.0))
print("R1 of the linear discriminator: 96, as by hand")

# %% [markdown]
# ## Eq. 22: the sum
#
# $$\mathcal{L} = \lambda_{pix}\mathcal{L}_{pix} + \lambda_{pcp}\mathcal{L}_{pcp} + \lambda_{adv}\mathcal{L}_{adv} \qquad (22)$$
#
# > "The loss function weights are configured as $\lambda_{pix}=1$, $\lambda_{pcp}=0.01$, and $\lambda_{adv}=0.01$." (Sec. IV-B)
#
# How large are the three, for AMINet's portraits at the first step? And, which is what moves the network, how large are their gradients at the restored picture?

# %%
picture = sr.clone().requires_grad_()
weighted = {"pixel": F.l1_loss(picture, target), "perceptual\n(random VGG19)": 0.01 * perceptual_loss(picture, target),
            "adversarial\n(untrained $D$)": 0.01 * adversarial_loss(discriminator(picture))}
pulls = [torch.autograd.grad(term, picture)[0].norm().item() for term in weighted.values()]
figure, axes = plt.subplots(1, 2, figsize=(8.5, 2.7), layout="constrained")
axes[0].bar(list(weighted), [term.item() for term in weighted.values()], color=["C0", "C1", "C2"])
axes[0].set(title="the terms of Eq. 22, weighted", ylabel="value")
axes[1].bar(list(weighted), pulls, color=["C0", "C1", "C2"])
axes[1].set(title="their gradients at the picture", ylabel="Euclidean norm", yscale="log")
for axis in axes:
    axis.tick_params(axis="x", labelsize=8)
plt.show()

# %% [markdown]
# A loss's value says little: the adversarial term stands at $0.01 \log 2$, a small part of the pixels', and yet it pulls harder. The discriminator is untrained, so it pulls anywhere: its batch norms magnify whatever differs between the pictures. (Swap in `norm="none"` and the pull nearly vanishes.) The perceptual bar depends on the VGG19; the real run below shows the true one.
#
# ## Both players move at once
#
# Each step takes one batch, one forward pass of $G$, and then both gradients from the same state:
#
# | loss | reaches $G$ | reaches $D$ |
# |---|---|---|
# | Eq. 22 | yes | no |
# | Eq. 20 | no | yes |
#
# Both losses pass through both networks, so neither "no" comes by itself. You write both steps.
#
# ### Exercise 1: the discriminator's step
#
# *Level 2, 15 minutes.* `self` is an `AMIGAN`, the other side of the game:
#
# | what `self` has | what it is |
# |---|---|
# | `self.discriminator` | $D$: it takes faces (B, 3, 128, 128) and gives one logit for each, (B,) |
# | `self.weights` | $\lambda$ of Eq. 22, a dictionary: `"pixel"`, `"perceptual"`, `"adversarial"` |
#
# Write Eq. 20. `sr` is $G(I_{LR})$, and it has a history: a gradient can flow through it into $G$. `target` is $I_{HR}$. `x` is what $G$ took; AMIGAN does not need it. Return the loss, one number, and leave `backward` to the check.
#
# The check plays two small games with your step. It compares four values: (0) the loss, (1) the gradient of $D$'s weights, (2) the gradient of $G$'s weights, (3) whether $D$ can still learn afterwards. Here value 2 must be zero.

# %% tags=["exercise"]
def discriminator_step(self, sr: Tensor, target: Tensor, x: Tensor) -> Tensor:
    """Eq. 20. Two images (B, 3, 128, 128) -> (). It reaches no weight of the generator."""
    ...  # your turn


passed = check("10.1", discriminator_step)

# %% tags=["solution"]
def discriminator_loss(real: Tensor, fake: Tensor, kind: str = "vanilla") -> Tensor:
    if kind == "hinge":
        return F.relu(1 - real).mean() + F.relu(1 + fake).mean()
    return F.softplus(-real).mean() + F.softplus(fake).mean()  # softplus(-x) = -log sigmoid(x)


def adversarial_loss(fake: Tensor, kind: str = "vanilla") -> Tensor:
    return -fake.mean() if kind == "hinge" else F.softplus(-fake).mean()


def discriminator_step(self, sr: Tensor, target: Tensor, x: Tensor) -> Tensor:
    return discriminator_loss(self.discriminator(target), self.discriminator(sr.detach()))


passed = check("10.1", discriminator_step)

# %% [markdown]
# ### Exercise 2: the generator's step
#
# *Level 3, 20 minutes.* Write Eq. 22, the weighted sum of Eqs. 18, 19 and 21, with `self` as above. `perceptual(sr, target)` is Eq. 19. Take the weights from `self.weights`: the second game has others than the paper.
#
# The check compares the same four values. This time value 1, the gradient of $D$'s weights, must be zero. $D$ makes its own step after yours, so it must still be able to learn (value 3).

# %% tags=["exercise"]
def generator_step(self, sr: Tensor, target: Tensor, x: Tensor, perceptual: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Eq. 22. Two images (B, 3, 128, 128) -> (). It reaches no weight of the discriminator."""
    ...  # your turn


passed = check("10.2", generator_step)

# %% tags=["solution"]
class Adversary(nn.Module):
    generator = "aminet"
    WEIGHTS = {"pixel": 1.0, "perceptual": 0.01, "adversarial": 0.01}
    LOSS = "vanilla"
    LR, D_LR = 1e-4, 4e-4
    MEAN = True

    def __init__(self, width: int = 64, weights: dict[str, float] | None = None, loss: str = "", r1: float = 0.0):
        super().__init__()
        self.weights, self.kind, self.r1 = self.WEIGHTS | (weights or {}), loss or self.LOSS, r1

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        raise NotImplementedError

    def parts(self, sr: Tensor, target: Tensor, x: Tensor) -> dict[str, Tensor]:
        judged = torch.stack([adversarial_loss(fake, self.kind) for fake in self.judge(sr, x)])
        return {"pixel": F.l1_loss(sr, target), "adversarial": judged.mean()}

    def generator_loss(self, sr: Tensor, target: Tensor, x: Tensor,
                       perceptual: Callable[[Tensor, Tensor], Tensor] | None) -> tuple[Tensor, dict[str, Tensor]]:
        self.requires_grad_(False)
        parts = self.parts(sr, target, x)
        self.requires_grad_(True)
        parts["perceptual"] = perceptual(sr, target) if perceptual else sr.new_zeros(())
        weighted = [weight * parts[name] for name, weight in self.weights.items() if name in parts]
        return torch.stack(weighted).sum(), parts

    def discriminator_loss(self, sr: Tensor, target: Tensor, x: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        target = target.detach().requires_grad_(bool(self.r1))
        real, fake = self.judge(target, x), self.judge(sr.detach(), x)
        losses = torch.stack([discriminator_loss(a, b, self.kind) for a, b in zip(real, fake)])
        loss = losses.mean() if self.MEAN else losses.sum()
        values = {name: torch.stack([logits.sigmoid().mean() for logits in side]).mean()
                  for name, side in (("real", real), ("fake", fake))}
        if self.r1:
            penalties = [r1_penalty(logits.reshape(len(target), -1).mean(1), target) for logits in real]
            values["r1"] = torch.stack(penalties).sum()
            loss = loss + self.r1 * values["r1"]
        return loss, values
passed = check("10.2", Adversary.generator_loss)

# %% [markdown]
# In the package both steps are methods of `aminet.amigan.Adversary`, which the solution of exercise 2 shows. An `Adversary` is the other side of a GAN: its discriminators, and the losses of both players. `judge` gives the logits of a picture; a GAN with more than one discriminator gives more than one. It gets `x`, for a discriminator that wants to see it. Both losses also return what the log takes.
#
# AMIGAN adds its one discriminator. The GANs that the paper compares are written in the same way, with other weights, discriminators and parts ([notebook 13](13_compared_gans.ipynb)).

# %%
class AMIGAN(Adversary):
    def __init__(self, width: int = 64, norm: str = "batch", **options):
        super().__init__(width, **options)
        self.discriminator = Discriminator(width, norm)

    def judge(self, image: Tensor, x: Tensor) -> list[Tensor]:
        return [self.discriminator(image).float()]


torch.manual_seed(seed)
opponent = AMIGAN()                                               # the seed of above, so the same discriminator
with torch.no_grad():
    eq22, parts = opponent.generator_loss(sr, target, bicubic, perceptual_loss)
    eq20, judged = opponent.discriminator_loss(sr, target, bicubic)
assert_close(eq22, sum(weighted.values()).detach())               # the three bars
assert_close(eq20, discriminator_loss(opponent.judge(target, bicubic)[0], opponent.judge(sr, bicubic)[0]).detach())
print(f"generator, Eq. 22: {eq22:.3f} = " + " + ".join(f"{opponent.weights[name]:g} x {parts[name]:.3f}" for name in opponent.weights))
print(f"discriminator, Eq. 20: {eq20:.2f}, with D(real) {judged['real']:.2f} and D(restored) {judged['fake']:.2f} on average")

# %% [markdown]
# What if one "no" of the table were a "yes"? If Eq. 22 reached $D$, the discriminator would learn to call fakes real. If Eq. 20 reached $G$, the generator would learn to be caught. Both mistakes train without a complaint, so we check. We change the weights of the generator's loss, and the discriminator's gradient must stay. With all weights at zero, the generator must get none from Eq. 20.
#
# `GANGame` builds both networks from a recipe. Its `loss` is the sum of Eqs. 22 and 20, for a single backward pass.

# %%
train_faces, val_faces, about = open_training_faces(faces.split(), val.split(), progress=False)
probe = GANGame("pocket", GANRecipe(batch=2, perceptual=0.0, width=8, norm="none", choose="psnr"), draw_faces(1, 6))
pair = batch_of(draw_faces(2, 5), 0, probe.recipe)                # input and target, (2, 3, 128, 128) each


def both_gradients(**weights):
    """The gradient of each player, as one long vector, with these weights in Eq. 22."""
    probe.adversary.weights |= weights
    probe.train().zero_grad()
    probe.loss(*pair)[0].backward()
    return [torch.cat([p.grad.flatten() for p in network.parameters() if p.grad is not None])
            for network in probe.networks().values()]


for weights in ({"pixel": 0.0, "adversarial": 0.0}, {"pixel": 1.0, "adversarial": 0.01}, {"pixel": 1.0, "adversarial": 100.0}):
    g, d = both_gradients(**weights)
    first = d if weights["pixel"] == 0 else first
    assert_close(d, first, rtol=1e-3, atol=1e-5)                  # G's loss never reaches D
    print(f"{weights!s:38s} G's gradient is {'zero' if g.abs().max() == 0 else 'there'}, D's is that of Eq. 20")

# %% [markdown]
# ## Live
#
# A minute of the game, from `pocket`'s weights, on synthetic faces, with the paper's step sizes. Two things differ from a real run, both for the sake of the minute. The discriminator has width 8, and there is no VGG19 (`perceptual=0.01` brings it in where its weights are at hand).
#
# The game goes to the `Trainer` of [notebook 09](09_train_aminet.ipynb). It validates before the first step, so the log says where the generator began.

# %% tags=["nbval-ignore-output"]
recipe = GANRecipe(images=images, batch=batch, lr=lr, d_lr=d_lr, pixel=pixel, perceptual=perceptual, adversarial=adversarial,
                   loss=loss, width=width, norm=norm, r1=r1, choose="psnr", val_every=val_every, seed=seed)
game = GANGame(start, recipe, val_faces)
run = Trainer(game, train_faces, val_faces, out or tempfile.mkdtemp(prefix="aminet-"), about, device=device,
              look_every=1)                                       # log every batch; a long run logs the mean of 50
result = run.train(bar=images > 2000)
print(f"{images // batch} steps of {batch} faces; best on validation {result['val_psnr']:.2f} dB, bicubic {game.bicubic:.2f} dB")

# %%
def read_log(path):
    """A log.jsonl by column: name -> (images, values)."""
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return {name: tuple(zip(*((line["images"], line[name]) for line in lines if name in line)))
            for name in dict.fromkeys(key for line in lines for key in line)}


log_2 = log(2)


def draw_game(axes, journal, chance=True):
    """Both players' losses, and what the discriminator thinks."""
    axes[0].plot(*journal["discriminator"], color="C1", label="discriminator (Eq. 20)")
    axes[0].plot(*journal["adversarial"], color="C0", label="generator (Eq. 21)")
    axes[0].set(title="the two losses", xlabel="images seen", ylabel="nats", ylim=(0, None))
    axes[1].plot(*journal["real"], color="C2", label="D(real)")
    axes[1].plot(*journal["fake"], color="C4", label="D(restored)")
    axes[1].set(title="what the discriminator thinks", xlabel="images seen", ylabel="probability of real", ylim=(0, 1))
    if chance:
        for axis, values in ((axes[0], (log_2, 2 * log_2)), (axes[1], (0.5,))):
            for value in values:
                axis.axhline(value, color="gray", linestyle=":", linewidth=1)
    for axis in axes[:2]:
        axis.legend(fontsize=8)


journal = read_log(run.folder.journal)
figure, axes = plt.subplots(1, 3, figsize=(9.5, 2.8), layout="constrained")
draw_game(axes, journal, chance=loss == "vanilla")
axes[2].plot(*journal["val_psnr"], "s-", color="C3")
axes[2].set(title="validation, the generator", xlabel="images seen", ylabel="PSNR in dB")
plt.show()

# %%
after = restore(run.network, hr)                                  # the last step's, whatever validation chose
change = 0.5 * (after - sr).clamp(-0.25, 0.25) / 0.25             # gray: none; full range: 32 of 255 levels
figure = show([[bicubic[i], sr[i], after[i], change[i], target[i]] for i in range(2)],
              ["bicubic", "AMINet", f"{images} faces later", "what changed", "original"], height=1.6)

# %% [markdown]
# Read the three panels together. At the start both losses sit on their dotted lines: the discriminator guesses. Then its loss falls and the generator's rises, and D(real) and D(restored) come apart. Validation begins at 0 images, with AMINet itself. As long as the discriminator knows nothing, the pixel term has the field to itself, and validation rises. That is AMINet getting used to synthetic faces, not the GAN. Once the discriminator pulls, PSNR bends down.
#
# And the faces? The change sits on the edges, which the discriminator wants harder, and one has to look for it. This was a few dozen steps, where a real run has thousands (our small one below: 400). Lashes and pores do not come in that time.
#
# ## Break it
#
# A GAN can end in three ways. The discriminator wins: it is always sure, and Eq. 20's loss has nothing left to teach. The discriminator gives up: it says the same to every picture. Or the generator collapses: it finds one face that the discriminator likes and gives it for every input; `variety` measures that. The game looks for all three, and believes in one of them once it has lasted for 250 batches. Validation adds a fourth test: the generator must not fall 2 dB below both its start and bicubic.
#
# Now an unfair game. The generator is small and new, so it starts as bicubic, whose blur is easy to spot. Its step size is a hundredth of the paper's, so it cannot follow. The discriminator is that of the live game. We look at every batch, and three sure looks in a row are enough.

# %%
@torch.no_grad()
def variety(sr: Tensor, hr: Tensor) -> Tensor:
    """How much the SR faces of a batch differ from each other, as a part of how much the HR faces do."""
    return sr.std(0).mean() / hr.std(0).mean() if len(sr) > 1 else sr.new_ones(())


class Collapse:
    def __init__(self, patience: int = 250, sure: float = 0.99):
        self.patience, self.sure = patience, sure
        self.lasted: dict[str, int] = {}  # batches since which each state holds

    def __call__(self, real: float, fake: float, variety: float, batches: int = 1) -> str | None:
        states = {
            "the discriminator has won: it knows every face, and its gradient no longer teaches":
                real > self.sure and fake < 1 - self.sure,
            "the discriminator has given up: it gives real and restored faces the same, so it teaches nothing":
                abs(real - fake) < 0.01,
            "the generator has collapsed: its faces differ from each other less than half as much as real ones":
                variety < 0.5}
        for state, holds in states.items():
            self.lasted[state] = self.lasted.get(state, 0) + batches if holds else 0
        return next((state for state, batches in self.lasted.items() if batches >= self.patience), None)

# %% tags=["nbval-ignore-output"]
torch.manual_seed(0)
small = AMINetConfig(channels=4, depths=(1, 1, 1, 1), skaf="none")
folder = Path(tempfile.mkdtemp(prefix="aminet-"))
save_weights(folder / "new.safetensors", AMINet(small).state_dict(), {"config": small.to_dict()})
unfair = GANRecipe(images=480, batch=4, lr=1e-6, d_lr=4e-4, perceptual=0.0, width=8, norm="batch", choose="psnr", val_every=480)
val_two = draw_faces(2, 1)
game = GANGame(folder / "new.safetensors", unfair, val_two)
game.collapse = Collapse(patience=3)
lost = Trainer(game, draw_faces(32, 0), val_two, folder / "run", device="cpu", look_every=1)
try:
    lost.train(bar=False)
    print("no collapse this time: raise `images`, or lower `lr` further")
except BadInput as error:
    for part in str(error).replace(str(folder), "...").replace("; ", "\n").split(". "):
        print(part)

journal = read_log(lost.folder.journal)
figure, axes = plt.subplots(1, 2, figsize=(8, 2.8), layout="constrained")
draw_game(axes, journal)
axes[1].axhspan(0.99, 1, color="C2", alpha=0.3)
axes[1].axhspan(0, 0.01, color="C4", alpha=0.3)
if "problem" in journal:
    axes[1].axvline(journal["problem"][0][0], color="black", linewidth=1)
    axes[1].text(journal["problem"][0][0], 0.7, "stopped ", ha="right")
plt.show()

# %% [markdown]
# The generator's loss (blue) climbs and climbs. $-\log D$ still has a slope there, but it points wherever this discriminator looks. A discriminator that is perfect on 32 faces looks at anything, and training on would only follow it. So the run stops, and its folder keeps the last good state. The message says what to try: R1, hinge, or a slower discriminator. What the run does not do is to repair silently, for then the record would not say what was trained.
#
# ## A real run
#
# A longer game, `pocket-gan`, starts from `pocket` too, on CelebA faces. It is the second attempt. In the first, with spectral norm, the discriminator gave up after some 3,600 faces: D(real) and D(restored) both stood at 0.50. That run was thrown away, and is why the detector has its second rule and batch norm is the default. Validation chooses by LPIPS, for PSNR would choose the least GAN. What was run is read from the weights themselves; no option means its default.

# %%
gan, record = DATA / "weights" / "pocket-gan.safetensors", DATA / "records" / "pocket-gan-train.jsonl"
if gan.exists() and record.exists():
    header = load_weights("pocket-gan")[1]
    weights, sources = header["recipe"], {part: " ".join(header["data"][part]["sources"]) for part in ("train", "val")}
    options = " ".join(f"--{k.replace('_', '-')} {v}" for k, v in weights.items() if v != getattr(GANRecipe(), k))
    print(f"python -m aminet train amigan --start {Path(header['start']['name']).stem} --out runs/pocket-gan {options} \\\n"
          f"    --faces {sources['train']} --val {sources['val']}")
    print("VGG19:", header.get("vgg19", "none"), "| device:", header["device"])
    chosen = ", ".join(f"{k} {header[k]:.4g}" for k in ("val_lpips", "val_psnr") if k in header)
    print(f"chosen after {header['images']:,} images: {chosen}")

    journal = read_log(record)
    figure, axes = plt.subplots(2, 2, figsize=(9, 5.2), layout="constrained")
    draw_game(axes[0], journal, chance=weights["loss"] == "vanilla")
    for name in ("pixel", "perceptual", "adversarial"):
        axes[1, 0].plot(journal[name][0], weights[name] * np.array(journal[name][1]), label=name)
    axes[1, 0].set(title="the three terms of Eq. 22, weighted", xlabel="images seen", ylabel="value", ylim=(0, None))
    axes[1, 0].legend(fontsize=8)
    axes[1, 1].set(title="validation: what is bought, and the price", xlabel="images seen")
    for axis, name, colour, label in ((axes[1, 1], "val_psnr", "C3", "PSNR in dB"),
                                      (axes[1, 1].twinx(), "val_lpips", "C5", "LPIPS, lower is better")):
        axis.plot(*journal[name], "o-", color=colour)
        axis.set_ylabel(label, color=colour)
    axis.grid(False)
    plt.show()
else:
    print("pending: the weights and the log of the run, pocket-gan, are not here yet")

# %% [markdown]
# Both networks were measured on the same test faces, so each face has two values, and their **differences** have a much narrower interval than the means. The intervals (95 %, bootstrap) draw whole people where it is known who is on the pictures. FID is of a set and has no value per face; its interval comes from drawing the faces anew, the same draws for both networks. With few faces FID is too high for everyone: compare it only within a set.

# %%
ARROWS = {"psnr": "up", "ssim": "up", "vif": "up", "vifp": "up", "lpips": "down", "fid": "down", "identity": "up"}


def versus(a, b, metric):
    """a - b of two records of the same faces, with its paired interval."""
    if metric in a["values"]:
        return paired_difference(a["values"][metric], b["values"][metric], people=a["faces"].get("people"))
    low, high = np.quantile(np.subtract(a["draws"][metric], b["draws"][metric]), (0.025, 0.975))
    return {"mean": a["means"][metric]["mean"] - b["means"][metric]["mean"], "low": low, "high": high}


def compare(ours, theirs):
    a, b = read_record(ours), read_record(theirs)
    assert a["faces"]["fingerprint"] == b["faces"]["fingerprint"] and a["protocol"] == b["protocol"]
    print(f"{a['faces']['sources'][0]}: {a['faces']['images']} faces, protocol {a['protocol']['name']}")
    print(f"   {'':10s}{'better':>7s}{'bicubic':>10s}{'AMINet':>10s}{'AMIGAN':>10s}   AMIGAN - AMINet, 95 % interval")
    for metric, arrow in ARROWS.items():
        if metric not in a["means"] or metric not in b["means"]:
            print(f"   {metric:10s}{arrow:>7s}   pending")
            continue
        means = [r["means"][m]["mean"] for r, m in ((b, f"bicubic_{metric}"), (b, metric), (a, metric))]
        d = versus(a, b, metric)
        print(f"   {metric:10s}{arrow:>7s}" + "".join(f"{m:10.4g}" for m in means) + f"   {d['mean']:+.3g} [{d['low']:+.3g}, {d['high']:+.3g}]")


records = sorted((DATA / "records").glob("pocket-gan-*-paper.json"))
for path in records:
    compare(path, path.with_name(path.name.replace("pocket-gan-", "pocket-")))
if not records:
    print("pending: no record of pocket-gan on a test set is here yet")

# %%
if gan.exists():
    cast = torch.cat([hr, draw_faces(1, 9)])                      # two portraits and a face that nobody has
    restored = [restore(load_weights(name)[0], cast) for name in ("pocket", "pocket-gan")]
    rows = [[p for x in (to_float(upsample(degrade(cast))), *restored, to_float(cast)) for p in (x[i], x[i, :, 30:86, 36:92])]
            for i in range(3)]
    titles = [t for name in ("bicubic", "AMINet", "AMIGAN", "original") for t in (name, "")]
    figure = show(rows, titles, height=1.2)
else:
    print("pending: AMIGAN's faces, with its weights")

# %% [markdown]
# ## Table VIII, as published
#
# > "Results on the Helen dataset (Table VIII) show that AMIGAN consistently outperforms prior methods." (Sec. IV-D3)
#
# Table VII has AMINet itself on Helen, so the two tables together tell what the GAN cost in the paper.

# %%
def published(number):
    with open(DATA / "published" / f"table_{number:02d}.csv", newline="") as file:
        return {row["row"]: row for row in csv.DictReader(file)}


COLUMNS = ("psnr", "ssim", "vif", "fid")
print("Table VIII, Helen, as printed" + f"{'PSNR':>10s}{'SSIM':>10s}{'VIF':>10s}{'FID':>10s}")
for name, row in published(8).items():
    print(f"   {name:26s}" + "".join(f"{row[c]:>10s}" for c in COLUMNS))
own = published(7)["AMINet"]
print(f"   {'AMINet (Table VII)':26s}" + "".join(f"{own.get(f'helen_{c}', '-'):>10s}" for c in COLUMNS))
print(f"the GAN's price as published: {float(published(8)['AMIGAN (Ours)']['psnr']) - float(own['helen_psnr']):+.2f} dB")

print("\nours on Helen: pending")
for name in ("pocket-gan", "pocket"):
    path = DATA / "records" / f"{name}-flickr_test-paper.json"
    means = read_record(path)["means"] if path.exists() else {}
    cells = "".join(f"{means[c]['mean']:10.4g}" if c in means else f"{'pending':>10s}" for c in COLUMNS)
    print(f"{name:11s} Flickr, not Helen" + cells)

# %% [markdown]
# The two halves cannot be compared: other faces (Flickr portraits stand in for Helen), another number of them, on which FID depends, a smaller network, another training set. What can be compared is the *direction* within each half, AMIGAN against its own AMINet. In the paper PSNR, SSIM and VIF fall; the FID of AMINet itself, which would show what they were given for, is not printed.
#
# ## Two more exercises
#
# ### Exercise 3: R1 by hand
#
# *Level 2, 10 minutes.* A discriminator is quadratic: $z_b = a \sum x_b^2$ over the values of picture $b$. Write `r1_by_hand(a, images)` for images (B, 3, H, W), on paper first, without autograd.

# %% tags=["exercise"]
def r1_by_hand(a: float, images: Tensor) -> Tensor:
    ...  # your turn


passed = check("10.3", r1_by_hand)

# %% tags=["solution"]
def r1_by_hand(a: float, images: Tensor) -> Tensor:
    return 2 * a**2 * images.square().sum((1, 2, 3)).mean()  # (2 a x)^2 / 2


passed = check("10.3", r1_by_hand)

# %% [markdown]
# ### Exercise 4: the slope of a loser
#
# *Level 2, 10 minutes.* The discriminator gives a restored face the logit $z$. Write `slopes(z)`: the derivatives of $-\log D$ and of $\log(1 - D)$ by $z$, for $D = \sigma(z)$. Then look at $z = -4$.

# %% tags=["exercise"]
def slopes(z: float) -> tuple[float, float]:
    ...  # your turn


passed = check("10.4", slopes)

# %% tags=["solution"]
def slopes(z: float) -> tuple[float, float]:
    D = 1 / (1 + exp(-z))
    return -(1 - D), -D


passed = check("10.4", slopes)
a, b = slopes(-4.0)
print(f"at logit -4: {a:.3f} against {b:.3f}, {a / b:.0f} times as steep (e^4)")

# %% [markdown]
# ## What to remember
#
# 1. Pixels alone ask for the median of all plausible faces, and thin things vanish in it. A discriminator asks for one of them, and PSNR pays.
# 2. Two players, two losses, one step: Eq. 22 must not move the discriminator, Eq. 20 must not move the generator. A falling discriminator loss is a warning, not progress.
# 3. The weights 1, 0.01, 0.01 mean nothing without the VGG19 and the discriminator behind them: the paper names neither, a record must.
#
# Next: [11 · Ablations](11_ablations.ipynb)
