# %% [markdown]
# # 09 · Train AMINet
#
# Train your own network for a minute, study the record of a longer training, and meet the one command that trains the full network.
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/09_train_aminet.ipynb) · previous: [08 · AMINet and its bill](08_aminet_and_its_bill.ipynb) · next: [10 · Train AMIGAN](10_train_amigan.ipynb)
#
# Before this: the network from [08 · AMINet and its bill](08_aminet_and_its_bill.ipynb), PSNR from [02 · Measuring a face](02_measuring_a_face.ipynb), and what `backward` does in PyTorch.
#
# You will be able to
#
# - **write** the training step and the training loop of Secs. III-D and IV-B;
# - **run** a training that can be stopped, resumed and repeated, on a CPU or a GPU;
# - **read** a loss curve and a validation curve, and say which of the two chooses the weights.

# %% tags=["parameters"]
preset = "pocket"  # or aminet, aminet-s, ..., or PRESET/ROW for a row of Tables I to V, PRESET/METHOD for a compared one
faces = "synthetic:64"  # folders and zips, separated by spaces, also looked for in $AMINET_FACES; or synthetic:N:SEED
val = "synthetic:8:1"  # the same; other faces than those
images = 110  # faces to see in all; 0: train for `minutes`
batch = 2
lr = 1e-3  # the paper's is 2e-4
schedule = "constant"  # or cosine, down to zero at the end
warmup = 0.0  # the part of the training in which the step size first rises, for example 0.02
ema = 0.0  # decay of averaged weights, for example 0.999; 0: none
seed = 0
val_every = 22  # images between two validations; a training in minutes is validated at each quarter
minutes = 0.0  # without images the length of the training; with them stop this call after so many; 0: no limit
start = ""  # weights of the same network to start from
out = ""  # folder of the run; empty: a temporary one
resume = False  # continue the run in `out`
device = "auto"  # or cpu, cuda
snapshots = 6  # pictures in the film, at most 6
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
import json
import tempfile
from collections.abc import Callable, Iterable
from typing import Any

import matplotlib.pyplot as plt
import torch
from torch.nn import functional as F
from torch.testing import assert_close

import aminet.train
from aminet import AMINet, AMINetConfig, BadInput
from aminet.baselines.registry import preset as named
from aminet.degrade import augment, camera_input, degrade, network_input, send, to_float, upsample
from aminet.faces.dataset import same_faces
from aminet.faces.portraits import portraits
from aminet.faces.priors import open_priors
from aminet.faces.sources import open_faces
from aminet.files import DATA
from aminet.protocol import PROTOCOLS, psnr, to_uint8
from aminet.train import Game, Recipe, fit, restore
from aminet.training.games import L1Game
from aminet.training.trainer import Trainer
from aminet.training.weights import load_weights, read_tensors, save_tensors
from exercises import check, use_own
from page import eyes, show, table

config = named(preset)

# %% [markdown]
# ## Your network
#
# This chapter trains your network: every forward that you wrote in chapters 03 to 08, and that passed its check, replaces the course's in this notebook. Where you have written none, the course's stays, so the chapter always runs.

# %%
use_own()

# %% [markdown]
# ## The loss
#
# Training needs one number for how far the restored faces are from the originals: the **loss**. Each step changes the weights so that this number falls. The paper takes the absolute difference:
#
# > "we optimize our AMINet by minimizing the pixel-level loss function:" (Sec. III-D)
#
# $$\mathcal{L}(\Theta) = \frac{1}{N}\sum_{i=1}^{N}\left\|F_{AMINet}(I_{LR}^{i},\Theta) - I_{HR}^{i}\right\|_1 \qquad (17)$$
#
# $F_{AMINet}$ is the network, $\Theta$ stands for all its weights, and $N$ is the number of faces. $\|\cdot\|_1$ is a sum over the $3\cdot128\cdot128 = 49152$ values of a face. PyTorch's `l1_loss` takes the mean over these values instead, which is smaller by that constant factor.
#
# Does the factor matter? In plain gradient descent (SGD) it does, for the steps grow with it. The paper's optimiser, **Adam**, divides each gradient by a running measure of its own size, so a constant factor cancels (exercise 3).
#
# <details><summary>What the paper leaves open</summary>
#
# The text under Eq. 17 calls $\Theta$ the number of the parameters. It must mean the parameters themselves.
#
# </details>

# %%
def eq17(restored, hr):
    return (restored - hr).abs().sum(dim=(1, 2, 3)).mean()     # (B, 3, H, W) twice -> one number


hr = torch.stack(list(portraits().values()))                    # (2, 3, 128, 128) uint8
bicubic = to_float(upsample(degrade(hr)))                       # (2, 3, 128, 128) in [-1, 1]: the network's input
target = to_float(hr)
assert_close(eq17(bicubic, target) / (3 * 128 * 128), F.l1_loss(bicubic, target))
print(f"bicubic: Eq. 17 gives {eq17(bicubic, target):.0f}, its mean per value is {F.l1_loss(bicubic, target):.4f}")

# %% [markdown]
# ### Exercise 1: the L1 step
#
# *Level 1, 10 minutes.* A training is one step, made again and again. Here is what a step needs, in no particular order:
#
# | what you have | what it does |
# |---|---|
# | `optimizer.step()` | moves every weight against its gradient `weight.grad` |
# | `loss.backward()` | adds to `weight.grad` of every weight the derivative of `loss` |
# | `optimizer.zero_grad()` | sets every `weight.grad` to zero |
# | `loss.item()` | the loss as a number |
# | `network(x)` | the restored faces, of the same shape as `target` |
# | `F.l1_loss` | the mean of Eq. 17 per value |
#
# Write `step`: it makes one step on the L1 of the batch `x`, `target`, and returns this loss as a number. The check makes three steps with a small network, once with SGD and once with Adam. It compares two things: value 0, the three losses, and value 1, all weights afterwards.

# %% tags=["exercise"]
def step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, target: torch.Tensor) -> float:
    """One step on Eq. 17, as a mean per value. x, target: (B, 3, H, W) in [-1, 1]."""
    ...  # your turn


passed = check("09.1", step)

# %% tags=["solution"]
def step(network: torch.nn.Module, optimizer: torch.optim.Optimizer, x: torch.Tensor, target: torch.Tensor) -> float:
    loss = F.l1_loss(network(x), target)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    return loss.item()


passed = check("09.1", step)

# %% [markdown]
# ## Where the network starts
#
# The last convolution is called the **tail**. Its output is added to the network's input (Fig. 2), a [residual](A_symbols_and_shapes.ipynb#Words) connection. With all weights of the tail at zero, the untrained network *is* bicubic interpolation. It has to learn only what bicubic lacks.
#
# The switch `zero_tail` does this. The experiment fits one crop of 64×64 pixels in thirty steps, with a zero tail and with PyTorch's usual initial values. The paper does not say how it initialises its weights.

# %%
torch.manual_seed(seed)
net = AMINet(AMINetConfig(channels=8)).eval()
with torch.no_grad():
    print("untrained, zero tail: output equals input:", torch.equal(net(bicubic), bicubic))

small_in, small_out = bicubic[:1, :, 32:96, 32:96].contiguous(), target[:1, :, 32:96, 32:96].contiguous()


def fit_one_crop(zero_tail):
    """The losses of thirty steps on one crop, by a new network."""
    torch.manual_seed(seed)
    net = AMINet(AMINetConfig(channels=4, zero_tail=zero_tail)).train()
    adam = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.9, 0.99))
    losses = []
    for _ in range(30):
        loss = F.l1_loss(net(small_in), small_out)
        adam.zero_grad()
        loss.backward()
        adam.step()
        losses.append(loss.item())
    return losses


threads = torch.get_num_threads()
torch.set_num_threads(1)  # such small layers gain little from a second, and the digits stay the same
usual, zero = fit_one_crop(zero_tail=False), fit_one_crop(zero_tail=True)
torch.set_num_threads(threads)
print(f"usual initial values: from {usual[0]:.3f} to {usual[-1]:.3f}; zero tail: from bicubic's {zero[0]:.3f} to {zero[-1]:.3f}")

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(6.5, 3), layout="constrained")
axis.plot(usual, label="usual initial values")
axis.plot(zero, label="zero tail")
axis.axhline(zero[0], color="gray", linestyle="--", linewidth=1)
axis.text(29, zero[0], "bicubic", ha="right", va="bottom", color="gray")
axis.set(title="One crop of 64×64 pixels, fitted again and again", xlabel="step", ylabel="L1, values in [-1, 1]", yscale="log")
axis.legend()
plt.show()

# %% [markdown]
# With the usual initial values, ten steps pass before the loss has come down to bicubic's. After thirty steps it is about twice as large as with the zero tail.
#
# ## The faces
#
# By default this notebook draws synthetic faces, so it needs no data set. `faces` and `val` also take folders and zips of real ones. Training and validation faces must differ; the cell below checks that.
#
# **Augmentation** makes many faces of one. Each face of a batch is flipped with probability ½, enlarged by a factor of 1 to 1.3, and cropped to 128×128. It is degraded only then, so input and target always belong together.
#
# <details><summary>What the paper leaves open</summary>
#
# > "we randomly chose 18,000 CelebA images for training and 1,000 for testing" (Sec. IV-A)
#
# Which images these are is not said. The paper does not mention augmentation either; the published code that it builds on has it.
#
# </details>

# %%
def open_all(names):
    return open_faces(names.split(), progress=False)


train_faces, about = open_all(faces)
val_faces, about_val = open_all(val)
if shared := same_faces(train_faces, val_faces):
    raise BadInput(f"{shared} validation faces are also trained on: give another val")
print("train", tuple(train_faces.shape), about["sources"], "| val", tuple(val_faces.shape), about_val["sources"])

again = train_faces[:1].expand(5, -1, -1, -1)                    # one face, five times
varied = augment(again, torch.Generator().manual_seed(seed))
figure = show([[train_faces[0], *varied], [upsample(degrade(train_faces[:1]))[0], *upsample(degrade(varied))]],
              ["as it is"] + ["augmented"] * 5, ["target", "input"])
figure.set_label("a training face as it is and five times augmented: targets above, their degraded inputs below")

# %% [markdown]
# A training that cannot be repeated cannot be debugged. So batch number $k$ depends only on the seed and on $k$. An **epoch** is one pass over all training faces. Each epoch has a permutation of its own, drawn from a generator of its own, and so has the augmentation of each batch.
#
# Earlier stops change nothing. Another device changes a value only by a rounding here and there.

# %%
from functools import lru_cache

from torch import Tensor


@lru_cache(maxsize=4)
def order(n: int, epoch: int, seed: int) -> Tensor:
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed * 1_000_003 + epoch))


def draw(n: int, step: int, recipe: Recipe) -> tuple[Tensor, torch.Generator]:
    first = step * recipe.batch
    epochs = range(first // n, (first + recipe.batch - 1) // n + 1)
    faces = torch.cat([order(n, epoch, recipe.seed) for epoch in epochs])
    start = first - epochs[0] * n
    generator = torch.Generator().manual_seed(recipe.seed * 1_000_003 + 500_000 + step)
    return faces[start:start + recipe.batch], generator


def batch_of(faces: Tensor, step: int, recipe: Recipe, enlarged: bool = True) -> tuple[Tensor, Tensor]:
    index, generator = draw(len(faces), step, recipe)
    hr = augment(faces[send(index, faces.device)], generator)
    x = camera_input(hr, generator, enlarged) if recipe.robust else network_input(hr, enlarged)
    return x, to_float(hr)

# %%
length = {"images": images} if images else {"minutes": minutes or None}
recipe = Recipe(**length, batch=batch, lr=lr, schedule=schedule, warmup=warmup, ema=ema, val_every=val_every, seed=seed)
mine, theirs = batch_of(train_faces, 5, recipe), aminet.train.batch_of(train_faces, 5, recipe)
for a, b in zip(mine, theirs):
    assert torch.equal(a, b)
print(f"batch 5 is the same each time: input and target {tuple(mine[0].shape)}")
if images:
    print(f"{images} images are {images // batch} steps of {batch} faces, {images / len(train_faces):.1f} epochs of {len(train_faces)}")

# %% [markdown]
# ## The loop
#
# > "The network is optimized using the Adam optimizer, with parameters set to $\beta_1=0.9$ and $\beta_2=0.99$. The initial learning rate is $2\times10^{-4}$" (Sec. IV-B)
#
# Adam keeps two running means for each weight: one of its gradient, with $\beta_1$, and one of the gradient's square, with $\beta_2$. PyTorch's default is $\beta_2 = 0.999$; the paper's 0.99 forgets ten times faster. The **learning rate** is the length of a step.
#
# Here is the whole loop, with nothing hidden, for four steps of two faces.
#
# <details><summary>What the paper leaves open</summary>
#
# The quoted lines and the graphics card, an RTX 3090, are the whole description. What is missing, and our choice:
#
# | missing | our choice | why |
# |---|---|---|
# | batch size | a parameter; 32 or 64 on a GPU | 32 as in WFEN |
# | epochs, or images seen | a parameter | the paper must have trained at least two networks: 27.83 dB in Tables I to V, 28.26 dB in VII and X |
# | the learning rate after the "initial" one | constant, or cosine to zero | the word suggests a schedule, and none follows |
# | augmentation | flip, scale and crop up to 1.3 | as in SPARNet and CTCNet |
# | which weights are reported | the best on validation faces, never on the test set | otherwise the test set chooses |
# | averaged weights: a running mean over the last steps | off, or a decay (exercise 4) | our choice for short trainings |
#
# </details>

# %%
torch.manual_seed(seed)
net = AMINet(AMINetConfig(channels=8)).train()
adam = torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.9, 0.99))
plain, rows = [], []
for k in range(4):
    x, y = batch_of(train_faces, k, Recipe(batch=2))      # (B, 3, 128, 128) each, in [-1, 1]
    loss = F.l1_loss(net(x), y)                           # Eq. 17
    adam.zero_grad()
    loss.backward()
    adam.step()
    plain.append(loss.item())
    rows.append([k, loss.item(), 1e4 * net.tail.weight.abs().max().item()])
table(rows, ["step", "L1 before the step", "largest weight of the tail after it, times 10⁴"], digits=3)

# %% [markdown]
# After the first step the tail's largest weight is $2\times10^{-4}$, exactly the learning rate: Adam's first step has the same length for every weight. As long as the tail is zero, no gradient passes through it. So the rest of the network starts to learn in the second step.
#
# The package has the same loop as a function, `fit`. It calls what it trains a **game**: one or several networks, an Adam for each, and the loss of a batch. For AMINet this is one network and Eq. 17. For AMIGAN in the next notebook it is two networks and two losses, and the loop stays the same.
#
# ### Exercise 2: write fit
#
# *Level 3, 25 minutes.* Write the loop above for any game, with a step size that changes and with a way to stop:
#
# | what you have | what it is |
# |---|---|
# | `game.optimizers()` | a dictionary: for each network its name and its Adam |
# | `game.loss(*batch)` | two things: what to minimise, and a dictionary of losses, `values` |
# | `batches` | gives one batch after the other |
# | `rate()` | the factor by which the step sizes are multiplied now |
# | `optimizer.defaults["lr"]` | the optimiser's own step size |
# | `optimizer.param_groups` | a list of dictionaries; `group["lr"]` is the step size that `optimizer.step()` uses |
# | `on_step(values)` | to be called at the end of each batch; if it returns true, the training ends |
#
# The package's `fit` has a fifth argument, for several GPUs. You may leave it out. Nothing is returned. The check trains a game of two small networks. It compares two things: value 0, the losses that `on_step` was given, and value 1, all weights afterwards.

# %% tags=["exercise"]
def loop(game: Game, batches: Iterable[tuple], rate: Callable[[], float],
         on_step: Callable[[dict[str, Tensor]], bool]) -> None:
    """Train: for every batch the gradients, one step of each optimiser, one call of on_step."""
    ...  # your turn


passed = check("09.2", loop)

# %% tags=["solution"]
def gradients(game: Game, *batch: Any) -> dict[str, Tensor]:
    loss, values = game.loss(*batch)
    loss.backward()
    return values


def fit(game: Game, batches: Iterable[tuple], rate: Callable[[], float], on_step: Callable[[dict[str, Tensor]], bool],
        gradients: Callable[..., dict[str, Tensor]] = gradients) -> None:
    optimizers = game.optimizers().values()
    for batch in batches:
        for optimizer in optimizers:
            optimizer.zero_grad(set_to_none=True)
        values, factor = gradients(game, *batch), rate()
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * factor
            optimizer.step()
        if on_step(values):
            break


passed = check("09.2", fit)

# %% [markdown]
# With a game of one network, `fit` repeats the four steps from above.

# %%
game = L1Game(AMINetConfig(channels=8), Recipe(batch=2, lr=2e-4, seed=seed))
game.train()
losses = []


def on_step(values):
    losses.append(values["loss"].item())
    return len(losses) == 4                               # true ends the training


fit(game, (batch_of(train_faces, step, game.recipe) for step in range(1000)), lambda: 1.0, on_step)
assert_close(torch.tensor(losses), torch.tensor(plain))
print("fit: the same four losses:", *(f"{loss:.3f}" for loss in losses))

# %% [markdown]
# ## A minute of training
#
# `rate` is the schedule: the factor by which the learning rate is multiplied now. The schedule `cosine` is $\frac12(1+\cos \pi p)$, where $p$ is the part of the training that is over.
#
# `on_step` is the place for everything else. The package's `Trainer` calls `fit`, and its `on_step` adds what a long training needs:
#
# - validation now and then, and the best weights kept;
# - a log, one line of JSON for each event;
# - a state from which a stopped training continues;
# - a clock: a training of so many minutes ends in time, and with `cosine` its learning rate is then zero;
# - Ctrl-C: the batch ends, the state is saved, and the training stops;
# - a check: a loss that is no number stops the training before it overwrites a good state.
#
# We add a film: after each validation two fixed faces are restored, and the pictures are kept.

# %%
cast = torch.stack([portraits()["collins"], val_faces[0]])         # a portrait and a face of the validation set


def film(trainer, network):
    """Keep the network's pictures of a few fixed faces, one file for each validation."""
    frame = to_uint8(restore(network, cast), "round")               # (2, 3, 128, 128)
    save_tensors(folder / "film" / f"{trainer.seen:09}.safetensors", {"faces": frame}, {"images": trainer.seen})

# %% tags=["nbval-ignore-output"]
folder = Path(out or tempfile.mkdtemp(prefix="aminet-"))
sets = {"train": about, "val": about_val}   # names, counts and fingerprints, for the record
priors = open_priors(train_faces, faces.split(), config.priors)  # some compared methods learn from landmarks, too
game = L1Game(config, recipe, preset, start or None, priors)
long = images > 2000 or not images  # a long training logs means of 50 batches, and shows how far it is
trainer = Trainer(game, train_faces, val_faces, folder, sets, priors=priors, resume=resume, device=device,
                  look_every=50 if long else 1, on_validation=film)
result = trainer.train(minutes or None if images else None, bar=long)
print(f"saw {result['images']} faces, best validation {result['val_psnr']:.2f} dB")

# %% tags=["plot"]
def read_log(path):
    """The losses and the validations of a log.jsonl, each as two lists: images seen, values."""
    loss, validation = ([], []), ([], [])
    for line in Path(path).read_text().splitlines():
        event = json.loads(line)
        for key, (seen, values) in (("loss", loss), ("val_psnr", validation)):
            if key in event:
                seen.append(event["images"])
                values.append(event[key])
    return loss, validation


def draw_curves(loss, validation, bicubic=None):
    """The curves of a training, side by side; the best validation has a star."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(10, 3.2), layout="constrained")
    left.plot(*loss)
    left.set(title="Training: other faces each time", xlabel="images seen", ylabel="L1, values in [-1, 1]")
    right.plot(*validation, "o-", color="C1", markersize=4)
    best = max(validation[1])
    right.plot(validation[0][validation[1].index(best)], best, "*", color="black", markersize=12, label=f"kept: {best:.2f} dB")
    if bicubic is not None:
        right.axhline(bicubic, color="gray", linestyle="--", linewidth=1, label=f"bicubic: {bicubic:.2f} dB")
    right.set(title="Validation: the same faces each time", xlabel="images seen", ylabel="PSNR (dB)")
    right.legend(loc="upper left")
    for axis in (left, right):
        axis.locator_params(axis="x", nbins=6)
    plt.show()

# %%
loss, validation = read_log(folder / "log.jsonl")
assert minutes or validation[0][-1] == images // batch * batch       # trained to the end
baseline = psnr(upsample(degrade(val_faces)), val_faces, PROTOCOLS["paper"]).mean().item()
draw_curves(loss, validation, baseline)

# %% [markdown]
# Each point of the loss is one batch of two faces, and it jumps by more than it falls. The validation sees the same faces each time and shows what the loss hides. For some 30 steps little happens: the tail grows away from zero, and everything behind it is still random. Then PSNR climbs, to 0.2 dB above bicubic.
#
# Validation may also fall now and then, because the learning rate is high and constant. A cosine schedule or averaged weights would calm it. The best weights are kept in any case.
#
# The film shows the two faces as they were at some of the validations, with their PSNR.

# %%
films = sorted((folder / "film").glob("*.safetensors"))             # the first was taken before any step
chosen = torch.linspace(0, len(films) - 1, min(snapshots, 6)).round().int().unique()
rows, captions = [[], []], [[], []]
for index in chosen:
    faces_then, header = read_tensors(films[index])
    for i, face in enumerate(faces_then["faces"]):
        score = psnr(face[None], cast[i][None], PROTOCOLS["paper"]).item()
        rows[i].append(face)
        captions[i].append(f"step {header['images'] // batch}: {score:.2f} dB")
figure = show([[*rows[i], cast[i]] for i in (0, 1)], labels=["a portrait", "a validation face"],
              captions=[[*captions[i], "original"] for i in (0, 1)])
figure.set_label("film of the training: two faces, from step 0 to the last one, and their originals")

# %% [markdown]
# Edges come first: the hairline, the chin. Eyes need more than a minute. The longer training below used more than three hundred times as many images.
#
# ## Stopped and resumed
#
# A training lives in a folder. Its `state.safetensors` holds the weights, Adam's two running means and the number of images seen. Batches depend on that number alone. So a resumed training continues with the same numbers as one that was never stopped.

# %%
tiny, few = AMINetConfig(channels=4, depths=(1, 1, 1, 1), skaf="none"), train_faces[:8]
with tempfile.TemporaryDirectory() as home:
    def train_for(name, n, resume=False):
        game = L1Game(tiny, Recipe(images=n, batch=2, val_every=1000))
        Trainer(game, few, few[:1], f"{home}/{name}", resume=resume, device="cpu").train(bar=False)
        return game.network.state_dict()

    whole = train_for("whole", 8)
    train_for("parts", 4)
    parts = train_for("parts", 8, resume=True)
    assert_close(parts, whole, rtol=0, atol=1e-6)
    print("4 + 4 images, resumed, equal 8 images in one go")
    try:
        train_for("parts", 8)
    except BadInput as error:
        print("without resume:", str(error).replace(home, "..."))

# %% [markdown]
# ## A longer training
#
# The network `pocket` that comes with the course was trained on CelebA faces by this command:
#
# ```
# python -m aminet train pocket --faces celeba_train_0.zip celeba_train_1.zip celeba_train_2.zip --val celeba_val.zip \
#     --out runs/pocket --images 40000 --batch 8 --lr 1e-3 --schedule cosine --ema 0.999 --val-every 2500
# ```
#
# The file of its weights has a header that says how they were made.

# %%
_, header = load_weights("pocket")
r, data = header["recipe"], header["data"]
table([["network", f"{header['preset']}, C = {header['config']['channels']}, seed {r['seed']}, trained on {header['device']}"],
       ["training faces", f"{data['train']['images']:,} in {', '.join(data['train']['sources'])}"],
       ["validation faces", f"{data['val']['images']:,} in {', '.join(data['val']['sources'])}"],
       ["recipe", f"{r['images']:,} images, batch {r['batch']}, learning rate {r['lr']}, {r['schedule']}, averaged with {r['ema']}"],
       ["chosen", f"after {header['images']:,} images: {header['val_psnr']:.2f} dB, {header['protocol']} protocol"]],
      ["entry", "pocket"])
record = DATA / "records" / "pocket-train.jsonl"
if record.exists():
    draw_curves(*read_log(record))
else:
    print("pending: data/records/pocket-train.jsonl, the log of this training, is not here yet")

# %% [markdown]
# The two curves answer different questions. The loss is noisy, since each point sees other faces with other crops. It is also measured on the faces that the network learns from. The validation is smooth: the same faces every time, and averaged weights. It alone chooses the weights; the test set has no say.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper does not tell how its checkpoints were chosen.
#
# </details>
#
# ## The full network
#
# The same notebook trains the full AMINet. On two CPU cores it learns from about one face a second, so 150 epochs of 18,000 faces would take a month. Take a GPU. If you have a GPU for some minutes only, give those minutes instead of images. The cosine then ends with them:
#
# ```
# papermill notebooks/09_train_aminet.ipynb runs/09.ipynb --cwd notebooks -p preset aminet \
#     -p faces "celeba_train_0.zip celeba_train_1.zip" -p val celeba_val.zip -p out ../runs/aminet \
#     -p images 0 -p minutes 9 -p schedule cosine -p warmup 0.02 -p batch 64 -p lr 4e-4 -p ema 0.999
# ```
#
# - The minutes begin when the faces are read: allow some more for reading them and for the figures.
# - `out` is seen from `notebooks/`.
# - To continue a stopped training, run it again with `-p resume True` and the same parameters.
# - A misspelt parameter ends the notebook at once. Papermill alone would only warn, and train something else.
#
# ## Exercises
#
# ### Exercise 3: two steps of Adam
#
# *Level 2, 10 minutes.* Adam keeps $m \leftarrow \beta_1 m + (1-\beta_1) g$ and $v \leftarrow \beta_2 v + (1-\beta_2) g^2$, both from zero. In step $t$ it corrects them, $\hat m = m / (1-\beta_1^t)$ and $\hat v = v / (1-\beta_2^t)$, and steps by $-\eta\, \hat m / (\sqrt{\hat v} + 10^{-8})$. Here $\eta$ is the learning rate.
#
# A weight starts at zero. Write `two_steps(g1, g2, lr)`: where it stands after two steps with the gradients $g_1, g_2$ and the paper's betas.

# %% tags=["exercise"]
def two_steps(g1: float, g2: float, lr: float) -> float:
    """Where a weight that starts at zero stands after two steps of Adam (0.9, 0.99) with the gradients g1, g2."""
    ...  # your turn


passed = check("09.3", two_steps)

# %% tags=["solution"]
def two_steps(g1: float, g2: float, lr: float) -> float:
    m, v = 0.1 * g1, 0.01 * g1**2
    first = (m / 0.1) / ((v / 0.01) ** 0.5 + 1e-8)
    m, v = 0.9 * m + 0.1 * g2, 0.99 * v + 0.01 * g2**2
    second = (m / (1 - 0.9**2)) / ((v / (1 - 0.99**2)) ** 0.5 + 1e-8)
    return -lr * (first + second)


passed = check("09.3", two_steps)

# %% [markdown]
# What does a constant factor in the loss change? PyTorch's Adam makes the two steps, once with the gradients 3 and 1, once with gradients a thousand times larger.

# %%
for factor in (1, 1000):
    weight = torch.zeros(1, requires_grad=True)
    adam = torch.optim.Adam([weight], lr=0.1, betas=(0.9, 0.99))
    for gradient in (3.0, 1.0):
        weight.grad = torch.tensor([factor * gradient])
        adam.step()
    print(f"gradients {factor * 3} and {factor}: the weight stands at {weight.item():.4f}")

# %% [markdown]
# So the sum and the mean in Eq. 17 lead to the same training, up to the $10^{-8}$ in Adam's denominator.
#
# ### Exercise 4: averaged weights
#
# *Level 2, 10 minutes.* With the parameter `ema` the training validates and saves an average $a \leftarrow d\,a + (1-d)\,w$ of the weights. With a fixed $d = 0.999$, 99 % of the random start would still be in the average after ten steps. So in step $t = 1, 2, \dots$ the decay is $\min(d, (1+t)/(10+t))$.
#
# Write `averaged(start, weights, d)`, the average after all the weights in the list.

# %% tags=["exercise"]
def averaged(start: float, weights: list[float], d: float) -> float:
    """The average after all `weights`, from `start`, with a decay of min(d, (1 + t) / (10 + t)) in step t = 1, 2, ..."""
    ...  # your turn


passed = check("09.4", averaged)

# %% tags=["solution"]
def averaged(start: float, weights: list[float], d: float) -> float:
    for t, weight in enumerate(weights, 1):
        decay = min(d, (1 + t) / (10 + t))
        start = decay * start + (1 - decay) * weight
    return start


passed = check("09.4", averaged)

# %% [markdown]
# ## The face of your network
#
# Here is the end of the course's main road: a face restored by the network that you trained here. The modules that `use_own` called yours above worked in it from the first step. The cell loads the weights that validation chose, from the folder of the training.

# %%
network, header = load_weights(folder)
portrait = cast[:1]                                                 # (1, 3, 128, 128)
faces_now = {"bicubic": upsample(degrade(portrait)), "your network": to_uint8(restore(network, portrait), "round"),
             "original": portrait}
scores = [psnr(face, portrait, PROTOCOLS["paper"]).item() for face in faces_now.values()]
figure = show([[face[0] for face in faces_now.values()], [eyes(face[0]) for face in faces_now.values()]],
              list(faces_now), captions=[[f"{score:.2f} dB" for score in scores[:2]] + [""], []], scale=2)
figure.set_label("a portrait and its eyes: bicubic, restored by the network trained here, and the original")

# %% [markdown]
# The gain over bicubic is small, for this network made 55 steps on 64 synthetic faces. `pocket` has the same size and saw 40,000 real ones. To continue with your own, give `start` the folder of a training, or more `images` and real `faces`.
#
# ## What to remember
#
# 1. The recipe is ten lines: L1, Adam with 0.9 and 0.99, learning rate 2e-4. What the paper does not say, the images, the schedule and the batch, decides the decibels.
# 2. A network that starts as bicubic has only the missing part to learn.
# 3. Batches that depend on their number alone make a training resumable and repeatable. Validation chooses the weights, the test set never.
#
# To read on: D. Kingma and J. Ba, [Adam](https://arxiv.org/abs/1412.6980) (2015); I. Loshchilov and F. Hutter, [SGDR](https://arxiv.org/abs/1608.03983) (2017), for cosine schedules.
#
# Next: [10 · Train AMIGAN](10_train_amigan.ipynb)
