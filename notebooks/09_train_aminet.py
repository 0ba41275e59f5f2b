# %% [markdown]
# # 09 · Train AMINet
#
# A minute of training with everything in sight, then the record of a real run, and the one command that trains the full network.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/09_train_aminet.ipynb) · previous: [08 · AMINet and its bill](08_aminet_and_its_bill.ipynb) · next: [10 · Train AMIGAN](10_train_amigan.ipynb)
#
# You will be able to
#
# - **write** the training loop of Secs. III-D and IV-B in ten lines, and name what the paper leaves unsaid;
# - **run** a training that can be stopped, resumed and repeated, here or by papermill on a GPU;
# - **read** a loss curve and a validation curve, and say which of the two chooses the weights.

# %% tags=["parameters"]
preset = "pocket"  # or aminet, aminet-s, ..., or PRESET/ROW for a row of Tables I to V, PRESET/METHOD for a compared one
faces = "synthetic:64"  # folders and zips, separated by spaces, also looked for in $AMINET_FACES; or synthetic:N:SEED
val = "synthetic:8:1"  # the same; other faces than those
images = 360  # faces to see in all; 0: train for `minutes`
batch = 4
lr = 1e-3  # the paper's is 2e-4
schedule = "constant"  # or cosine, down to zero at the end
warmup = 0.0  # the part of the training in which the step size first rises, for example 0.02
ema = 0.0  # decay of averaged weights, for example 0.999; 0: none
seed = 0
val_every = 36  # images between two validations; a training in minutes is validated at each quarter
minutes = 0.0  # without images the length of the training; with them stop this call after so many; 0: no limit
start = ""  # weights of the same network to start from
out = ""  # folder of the run; empty: a temporary one
resume = False  # continue the run in `out`
device = "auto"  # or cpu, cuda
snapshots = 5  # pictures in the film strip
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
from aminet.degrade import augment, degrade, network_input, send, to_float, upsample
from aminet.faces.dataset import same_faces
from aminet.faces.sources import open_faces
from aminet.baselines.registry import preset as named
from aminet.files import DATA
from aminet.notebook import picture_of
from aminet.faces.portraits import portraits
from aminet.faces.priors import open_priors
from aminet.protocol import PROTOCOLS, psnr, to_uint8
from aminet.train import Game, Recipe, fit, restore
from aminet.training.games import L1Game
from aminet.training.trainer import Trainer
from aminet.training.weights import load_weights, read_tensors, save_tensors
from exercises import check

config = named(preset)

# %% [markdown]
# ## The loss
#
# > "we optimize our AMINet by minimizing the pixel-level loss function:" (Sec. III-D)
#
# $$\mathcal{L}(\Theta) = \frac{1}{N}\sum_{i=1}^{N}\left\|F_{AMINet}(I_{LR}^{i},\Theta) - I_{HR}^{i}\right\|_1 \qquad (17)$$
#
# $\Theta$ stands for the parameters themselves, though the text under Eq. 17 calls it their number. $\|\cdot\|_1$ is a sum over the $3\cdot128\cdot128 = 49152$ values of a face. PyTorch's `l1_loss` takes the mean instead, which is smaller by that constant. Does it matter? To SGD it would. Adam divides each gradient by its own running size, so a constant factor drops out (exercise 3).

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
# The last convolution's output is added to the input (Fig. 2). With that convolution at zero the untrained network *is* bicubic interpolation, and all it has to learn is what is missing. The paper does not say how it initialises; `zero_tail` is our switch. Watch what it buys: the same network, the same faces, thirty steps.

# %%
torch.manual_seed(seed)
net = AMINet(AMINetConfig(channels=8)).eval()
with torch.no_grad():
    print("untrained, zero tail: output equals input:", torch.equal(net(bicubic), bicubic))

histories = {}
small_in, small_out = bicubic[:1, :, 32:96, 32:96].contiguous(), target[:1, :, 32:96, 32:96].contiguous()
for zero_tail in (True, False):
    torch.manual_seed(seed)
    net = AMINet(AMINetConfig(channels=4, zero_tail=zero_tail)).train()
    adam = torch.optim.Adam(net.parameters(), lr=2e-3, betas=(0.9, 0.99))
    histories[zero_tail] = []
    for _ in range(30):
        loss = F.l1_loss(net(small_in), small_out)
        adam.zero_grad()
        loss.backward()
        adam.step()
        histories[zero_tail].append(loss.item())

# %%
figure, axis = plt.subplots(figsize=(6, 2.8), layout="constrained")
axis.plot(histories[False], label="usual initial values")
axis.plot(histories[True], label="zero tail")
axis.axhline(F.l1_loss(small_in, small_out), color="gray", linestyle="--", linewidth=1)
axis.text(30, F.l1_loss(small_in, small_out), "bicubic", ha="right", va="bottom", color="gray")
axis.set(title="one 64x64 crop, fitted again and again",
         xlabel="step", ylabel="L1, on the range [-1, 1]", yscale="log")
axis.legend()
plt.show()

# %% [markdown]
# ## The faces
#
# > "we randomly chose 18,000 CelebA images for training and 1,000 for testing" (Sec. IV-A)
#
# Which ones is not said. By default this notebook makes its own faces, so that it runs without any data set; `faces` and `val` take folders or zips.
#
# Each face a batch takes is first **augmented**: flipped with probability one half, enlarged by 1 to 1.3 and cropped. The paper does not mention it; the code bases that it builds on do it. The degradation comes after, so input and target always belong together.

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
              ["as it is"] + ["augmented"] * 5, ["target", "input"], height=1.1)

# %% [markdown]
# A training that cannot be repeated cannot be debugged. So batch number $k$ depends on the seed and on $k$ alone: each epoch is its own permutation, drawn from a generator of its own, and so is each batch's augmentation. Not on earlier stops, and on the device only by a rounding here and there.

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
    return network_input(hr, enlarged), to_float(hr)

# %%
length = {"images": images} if images else {"minutes": minutes or None}
recipe = Recipe(**length, batch=batch, lr=lr, schedule=schedule, warmup=warmup, ema=ema, val_every=val_every, seed=seed)
mine, theirs = batch_of(train_faces, 5, recipe), aminet.train.batch_of(train_faces, 5, recipe)
for a, b in zip(mine, theirs):
    assert torch.equal(a, b)
print(f"batch 5 is the same each time: input and target {tuple(mine[0].shape)}")
if images:
    print(f"{images} images are {images // batch} steps of {batch}: {images / len(train_faces):.1f} epochs of {len(train_faces)} faces")

# %% [markdown]
# ## The loop
#
# > "The network is optimized using the Adam optimizer, with parameters set to $\beta_1=0.9$ and $\beta_2=0.99$. The initial learning rate is $2\times10^{-4}$" (Sec. IV-B)
#
# That and the RTX 3090 is all. What is missing, and what we put there:
#
# | unsaid | here | why |
# |---|---|---|
# | batch size | a parameter; 32 or 64 on a GPU | about as in SPARNet and CTCNet |
# | epochs, or images seen | a parameter | the paper has trained at least twice: 27.83 dB in Tables I to V, 28.26 dB in VII and X |
# | "initial" learning rate, and then? | constant, or cosine to zero | the word promises a schedule, none follows |
# | augmentation | flip, scale-crop up to 1.3 | as in SPARNet and CTCNet |
# | which weights are reported | best on validation faces, never on the test set | else the test set chooses |
# | averaged weights: a running mean over the last steps | off, or a decay (exercise 4) | a choice of ours for short runs |
#
# PyTorch's default is $\beta_2 = 0.999$; 0.99 forgets ten times faster. Here is the loop, with nothing hidden, for four steps.

# %%
torch.manual_seed(seed)
net = AMINet(AMINetConfig(channels=8)).train()
adam = torch.optim.Adam(net.parameters(), lr=2e-4, betas=(0.9, 0.99))
plain = []
for k in range(4):
    x, y = batch_of(train_faces, k, Recipe(batch=2))      # (B, 3, 128, 128) each, in [-1, 1]
    loss = F.l1_loss(net(x), y)                           # Eq. 17
    adam.zero_grad()
    loss.backward()
    adam.step()
    plain.append(loss.item())
    print(f"step {k}: L1 {loss.item():.3f}   tail: largest weight {net.tail.weight.abs().max().item():.1e}")

# %% [markdown]
# The tail leaves zero in the first step, by the learning rate exactly: Adam's first step has the same length for every weight. Only from the second step on do gradients reach the rest of the network.
#
# The package has the same loop as a function, `fit`. What it trains is a **game**: some networks, an Adam for each, and the loss of a batch. For AMINet it is one network and Eq. 17. For AMIGAN in the next notebook it is two networks and two losses, and the loop stays as it is.
#
# ### Exercise 2: write fit
#
# *Level 2, 15 minutes.* Write the loop above for any game, with a step size that changes and with a way to stop:
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
# With a game of one network, `fit` repeats the four steps of above.

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
# `rate` is the schedule: what the step size is multiplied by now. With `cosine` it is $\frac12(1+\cos \pi p)$, where $p$ is the part of the training that is over. `on_step` is where all the rest hangs. `Trainer` calls `fit` and hangs there what a long training needs:
#
# - validation now and then, and the best weights kept;
# - a log, one line of JSON for each event;
# - a state from which a stopped training goes on;
# - a clock: a training of so many minutes ends in time, and with `cosine` its step size is then zero;
# - Ctrl-C ends a batch, saves, and then stops;
# - a loss that is no number stops the training before it overwrites a good state.
#
# We add one thing, a film. After each validation two fixed faces are restored and kept.

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
trainer = Trainer(game, train_faces, val_faces, folder, sets, priors=priors, resume=resume, device=device, on_validation=film)
result = trainer.train(minutes or None if images else None, bar=images > 2000 or not images)
print(f"saw {result['images']} faces, best validation {result['val_psnr']:.2f} dB")

# %% [markdown]
# The loss of each stretch of the run, the validation after it, and above them the fixed faces as they were then.

# %%
def read_log(path):
    """The (images, loss) and the (images, val_psnr) of a log.jsonl."""
    lines = [json.loads(line) for line in Path(path).read_text().splitlines()]
    return [[(line["images"], line[key]) for line in lines if key in line] for key in ("loss", "val_psnr")]


losses, scores = read_log(folder / "log.jsonl")
assert minutes or scores[-1][0] == images // batch * batch   # trained to the end
films = sorted((folder / "film").glob("*.safetensors"))
chosen = sorted({round(i * (len(films) - 1) / max(snapshots - 1, 1)) for i in range(snapshots)})
frames = [(int(films[i].stem), read_tensors(films[i])[0]["faces"]) for i in chosen]  # the first: before any step
baseline = psnr(upsample(degrade(val_faces)), val_faces, PROTOCOLS["paper"]).mean()

# %%
figure = plt.figure(figsize=(8, 5), layout="constrained")
grid = figure.add_gridspec(3, snapshots + 1, height_ratios=[1, 1, 1.8])
for j, (n, pictures) in enumerate([*frames, ("HR", cast)]):
    for i, picture in enumerate(pictures):
        axis = figure.add_subplot(grid[i, j])
        axis.imshow(picture_of(picture))
        axis.set_axis_off()
        if i == 0:
            axis.set_title("0: untrained" if n == 0 else "original" if n == "HR" else f"{n} images")
left = figure.add_subplot(grid[2, :])
left.plot(*zip(*losses), "o-", color="C0")
left.set(xlabel="images seen", xlim=(0, None))
left.set_ylabel("training loss: L1 on [-1, 1]", color="C0")
right = left.twinx()
right.plot(*zip(*scores), "s-", color="C1")
right.axhline(baseline, color="C1", linestyle=":", linewidth=1)
right.set_ylabel("validation: PSNR in dB", color="C1")
right.grid(False)
for n, _ in frames[1:]:
    left.axvline(n, color="gray", linewidth=0.7, alpha=0.5)
figure.suptitle(f"after {scores[-1][0]} images validation is {scores[-1][1] - baseline:+.2f} dB against bicubic")
plt.show()

# %% [markdown]
# Each point of the loss is a mean over a few batches of different faces, and it jumps by nearly as much as it falls. The validation sees the same faces each time and shows what the loss hides: for some twenty steps nothing, while the tail grows away from zero and everything behind it is still random; then a climb of more than half a decibel; then a wobble, for the learning rate is high and constant. A cosine or averaged weights would calm it. The best weights are kept in any case.
#
# On the faces edges come first: the hairline, the chin. Eyes do not come in a minute. The real run below saw a hundred times as many faces.
#
# ## Stopped and resumed
#
# A run is a folder. Its `state.safetensors` holds weights, Adam's two moments and the number of images seen. As batches depend on that number alone, a resumed run continues with the very numbers of one that was never stopped.

# %%
tiny, few = AMINetConfig(channels=4), train_faces[:8]
with tempfile.TemporaryDirectory() as home:
    def go(name, n, resume=False):
        game = L1Game(tiny, Recipe(images=n, batch=2, val_every=1000))
        Trainer(game, few, few[:1], f"{home}/{name}", resume=resume, device="cpu").train(bar=False)
        return game.network.state_dict()

    whole = go("whole", 8)
    go("parts", 4)
    parts = go("parts", 8, resume=True)
    assert_close(parts, whole, rtol=0, atol=1e-6)
    print("4 + 4 images, resumed, equal 8 images in one go")
    try:
        go("parts", 8)
    except BadInput as error:
        print("without resume:", str(error).replace(home, "..."))

# %% [markdown]
# ## A real run
#
# The pocket network that comes with the course was trained on CelebA faces, once, by this command:
#
# `python -m aminet train pocket --faces celeba_train_0.zip celeba_train_1.zip celeba_train_2.zip --val celeba_val.zip --out runs/pocket --images 40000 --batch 8 --lr 1e-3 --schedule cosine --ema 0.999 --val-every 2500`

# %%
_, header = load_weights("pocket")
r = header["recipe"]
print(f"preset {header['preset']}, C = {header['config']['channels']}, seed {r['seed']}, {header['device']}")
for name, value in header["data"].items():
    print(f"   {name}: {str(value)[:90]}")
print(f"recipe: {r['images']:,} images, batch {r['batch']}, lr {r['lr']}, {r['schedule']}, ema {r['ema']}")
print(f"chosen after {header['images']:,} images: validation {header['val_psnr']:.2f} dB ({header['protocol']} protocol)")

# %%
record = DATA / "records" / "pocket-train.jsonl"
if record.exists():
    losses, scores = read_log(record)
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3), layout="constrained")
    left.plot(*zip(*losses))
    left.locator_params(axis="x", nbins=5)
    left.set(title="training loss: L1 on [-1, 1], mean of 50 batches", xlabel="images seen", ylim=(None, losses[0][1] * 1.02))
    right.plot(*zip(*scores), "o-", color="C1")
    best = max(scores, key=lambda score: score[1])
    right.plot(*best, "*", color="black", markersize=12)
    right.text(0.97, 0.06, f"kept: {best[1]:.2f} dB", transform=right.transAxes, ha="right")
    right.set(title="validation: PSNR in dB, averaged weights", xlabel="images seen")
    plt.show()
else:
    print("pending: data/records/pocket-train.jsonl, the log of the run, is not here yet")

# %% [markdown]
# The two curves tell different things. The loss is noisy, since each point sees other faces with other crops, and it is measured on what the network learns from. The validation is smooth: the same faces every time, and averaged weights. It alone chooses; the test set has no say. The paper does not tell how its checkpoints were chosen.
#
# ## The full network
#
# The same notebook trains AMINet in earnest. On two CPU cores the full network learns from about one face a second, so 150 epochs of 18,000 faces would take a month. Take a GPU. A GPU often comes for some minutes only. Give those minutes, not images, and the cosine ends with them:
#
# ```
# papermill notebooks/09_train_aminet.ipynb runs/09.ipynb --cwd notebooks -p preset aminet \
#     -p faces "celeba_train_0.zip celeba_train_1.zip" -p val celeba_val.zip -p out ../runs/aminet \
#     -p images 0 -p minutes 9 -p schedule cosine -p warmup 0.02 -p batch 64 -p lr 4e-4 -p ema 0.999
# ```
#
# The minutes begin when the faces are read: allow some more for reading them and for the figures. (`out` is seen from `notebooks/`.) Stopped? Run it again with `-p resume True` and the same parameters. A misspelt parameter ends it at once; papermill alone would only warn, and train something else.
#
# ## Exercises
#
# ### Exercise 3: two steps of Adam
#
# *Level 2, 10 minutes.* Adam keeps $m \leftarrow \beta_1 m + (1-\beta_1) g$ and $v \leftarrow \beta_2 v + (1-\beta_2) g^2$, both from zero. In step $t$ it corrects them, $\hat m = m / (1-\beta_1^t)$ and $\hat v = v / (1-\beta_2^t)$, and steps by $-\eta\, \hat m / (\sqrt{\hat v} + 10^{-8})$. Write `two_steps(g1, g2, lr)`: where a weight that starts at zero stands after two steps with the gradients $g_1, g_2$ and the paper's betas.

# %% tags=["exercise"]
def two_steps(g1: float, g2: float, lr: float) -> float:
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
print(f"gradients 3, 1: {two_steps(3.0, 1.0, 0.1):.4f}; a thousand times larger: {two_steps(3000.0, 1000.0, 0.1):.4f}")

# %% [markdown]
# So sum or mean in Eq. 17 is the same training, up to $10^{-8}$.
#
# ### Exercise 4: averaged weights
#
# *Level 2, 10 minutes.* With `ema` the run validates and saves an average $a \leftarrow d\,a + (1-d)\,w$ of the weights. From a fixed $d = 0.999$ the average would carry its random start for thousands of steps. So in step $t = 1, 2, \dots$ the decay is $\min(d, (1+t)/(10+t))$. Write `averaged(start, weights, d)`, the average after all the weights in the list.

# %% tags=["exercise"]
def averaged(start: float, weights: list[float], d: float) -> float:
    ...  # your turn


passed = check("09.4", averaged)

# %% tags=["solution"]
def averaged(start: float, weights: list[float], d: float) -> float:
    for t, weight in enumerate(weights, 1):
        decay = min(d, (1 + t) / (10 + t))
        start = decay * start + (1 - decay) * weight
    return start


passed = check("09.4", averaged)
print(f"of the start remain after 10 steps: {0.999**10:.2f} without warm-up, {averaged(1.0, [0.0] * 10, 0.999):.0e} with")

# %% [markdown]
# ## What to remember
#
# 1. The recipe is ten lines: L1, Adam (0.9, 0.99), 2e-4. What is unsaid, images, schedule, batch, decides the decibels.
# 2. A network that starts as bicubic has only the missing part to learn.
# 3. Batches that depend on their number alone make a run resumable and repeatable; validation chooses the weights, the test set never.
#
# Next: [10 · Train AMIGAN](10_train_amigan.ipynb)
