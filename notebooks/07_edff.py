# %% [markdown]
# # 07 · EDFF: where encoder and decoder meet
#
# At each of the three joints of the U, EDFF decides pixel by pixel how much comes from the encoder and how much from the decoder.
#
# *About 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/07_edff.ipynb) · previous: [06 · LGFI](06_lgfi.ipynb) · next: [08 · AMINet and its bill](08_aminet_and_its_bill.ipynb)
#
# You will be able to
#
# - **write** EDFF from Eqs. 15-16, put it into a trained network, and show that the paper's quarrel about names does not matter;
# - **compare** a selective skip with an addition and a concatenation, in parameters and MACs;
# - **test** by intervention what a trained network takes from each side.

# %% tags=["parameters"]
FACE = "hopper"  # the portrait in the pictures: hopper or collins
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
import matplotlib.pyplot as plt
import torch
from torch import nn
from torch.testing import assert_close

from aminet import preset
from aminet.degrade import degrade, to_float, upsample
from aminet.edff import EDFF
from aminet.ledger import bill, match
from aminet.faces.portraits import portraits
from aminet.protocol import PROTOCOLS, psnr
from aminet.skaf import SKAF
from aminet.faces.synthetic import faces
from aminet.training.weights import load_weights
from exercises import check


# %% [markdown]
# ## The two sides of a U
#
# On its way down, a U-shaped net trades place for meaning: the encoder at 128x128 knows where an edge is, but has seen little of the face around it. On its way up, the decoder knows the whole face, and has lost the exact place. A skip connection brings the first to the second. The question is how to join them.

# %%
figure, axis = plt.subplots(figsize=(7, 3.2), layout="constrained")
axis.set(xlim=(0, 10), ylim=(-0.2, 4), title="Three joints: one EDFF at each level (orange)")
axis.axis("off")


def box(x, y, text, colour="#dbe7f5"):
    axis.text(x, y, text, ha="center", va="center", fontsize=9,
              bbox=dict(boxstyle="round,pad=0.35", facecolor=colour, edgecolor="black", lw=0.8), zorder=3)


def arrow(start, end):
    axis.annotate("", end, start, arrowprops=dict(arrowstyle="-|>", color="black", lw=1))


for level, (size, width) in enumerate(((128, "C"), (64, "2C"), (32, "4C"))):
    left, right, y = 1.2 + 0.8 * level, 8.8 - 0.8 * level, 3.5 - level
    box(left, y, f"LGFI {size}\n{width}")
    box(right, y, f"LGFI {size}\n{width}")
    box(right - 1.6, y, "EDFF", "#f6d9c5")
    arrow((left + 0.6, y), (right - 2.05, y))                                # the encoder's feature
    arrow((right - 1.15, y), (right - 0.6, y))
    arrow((left + 0.15, y - 0.35), (left + 0.6, y - 0.65) if level < 2 else (3.75, 0.65))                # down
    arrow((right - 0.85, y - 0.65) if level < 2 else (4.95, 0.75), (right - 1.5, y - 0.25))   # up: the decoder's
    axis.text(left + 0.8, y + 0.1, "E", fontsize=9)
    axis.text(right - (1.05 if level < 2 else 2.2), y - 0.42, "D", fontsize=9)
box(4.6, 0.4, "LGFI, LGFI  16\n4C")
plt.show()

# %% [markdown]
# > "To fully utilize the multiscale features extracted from the encoding and decoding stage, we introduce an EDFF to fuse different features, enabling our AMINet with better feature propagation and representation capabilities." (Sec. III-C)
#
# "Different-scale features" needs a word of care: at a joint both features have the same shape, (C, H, W), or they could not be added. They differ in what they have seen, not in their size.
#
# ## Eq. 15: two weights from both
#
# > "Firstly, we concatenate features from the encoding and decoding stages along the channel dimension. Then, a $1\times 1$ convolution is used to reduce the channel counts and reduce the process's computational costs to obtain two weights through our SKAF…" (Sec. III-C)
#
# $$X', X'' = F_{skaf}(F_{conv1}(H_{cat}(X_E, X_D))) \tag{15}$$

# %%
C, H, W = 56, 32, 32
encoder, decoder = torch.randn(1, C, H, W), torch.randn(1, C, H, W)
reduce, skaf = nn.Conv2d(2 * C, C, 1), SKAF(C)

both = torch.cat([encoder, decoder], dim=1)        # (1, 2C, H, W)
mixed = reduce(both)                               # (1, C, H, W)
w1, w2 = skaf(mixed)                               # Eq. 15: (1, 1, H, W) each
for name, value in dict(both=both, mixed=mixed, w1=w1, w2=w2).items():
    print(f"{name:6s}", tuple(value.shape))

# %% [markdown]
# The 1x1 does reduce costs: SKAF's convolutions are dense, so their price is quadratic in the width. On 2C channels they would cost four times as much.
#
# ## Eq. 16: the choice
#
# > "Next, we feed the two obtained weights into two branches for multiplication. […] Finally, we add the features of the two branches" (Sec. III-C)
#
# $$X_{ED} = X_E\cdot X' + X_D\cdot X'' \tag{16}$$
#
# Here SKAF's outputs are called *weights*: one more sentence for `gate="maps"` ([notebook 05](05_skaf.ipynb)).

# %%
fused = encoder * w1 + decoder * w2                # Eq. 16
print("fused ", tuple(fused.shape))

# %% [markdown]
# ### Exercise 1: write EDFF
#
# *Level 1, 10 minutes.* Now you have all parts. `self` is one EDFF of a network, for features of $C$ channels:
#
# | what `self` has | what it does |
# |---|---|
# | `self.reduce` | 1×1 convolution, $2C \to C$ channels. It reads the encoder's feature, then the decoder's |
# | `self.skaf` | a SKAF: $(B, C, H, W)$ in, two maps $(B, 1, H, W)$ out |
#
# Write its `forward`: `encoder` and `decoder` are $(B, C, H, W)$, and so is what it returns. The check puts your forward into all three EDFFs of the trained network `pocket`. It compares every value, and shows the faces that come out.

# %% tags=["exercise"]
def forward(self, encoder: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
    """Eqs. 15-16. Two of (B, C, H, W) -> (B, C, H, W)."""
    ...  # your turn


passed = check("07.1", forward)

# %% tags=["solution"]
class EDFF(nn.Module):
    def __init__(self, channels: int, skaf: bool = True, **skaf_options):
        super().__init__()
        self.reduce = nn.Conv2d(2 * channels, channels, 1) if skaf else nn.Identity()
        self.skaf = SKAF(channels, **skaf_options) if skaf else None

    def forward(self, encoder: torch.Tensor, decoder: torch.Tensor) -> torch.Tensor:
        if self.skaf is None:
            return encoder + decoder
        w1, w2 = self.skaf(self.reduce(torch.cat([encoder, decoder], dim=1)))  # Eq. 15
        return encoder * w1 + decoder * w2  # Eq. 16


passed = check("07.1", EDFF.forward)

# %% [markdown]
# The class is `aminet.edff.EDFF`. Its switch `skaf=False` adds the two features instead: Table V has such a row. With the weights from above the class is the calculation from above.

# %%
ours = EDFF(C)
ours.reduce.load_state_dict(reduce.state_dict())
ours.skaf.load_state_dict(skaf.state_dict())
assert_close(ours(encoder, decoder), fused)
print("the class equals the steps above;", sum(p.numel() for p in ours.parameters()), "parameters at C = 56")

# %% [markdown]
# ## Who is E and who is D?
#
# > "Given the feature $X_E\in\mathbb{R}^{C\times H\times W}$, the feature $X_D\in\mathbb{R}^{C\times H\times W}$ is from the decoding stage and the encoding stage, respectively." (Sec. III-C)
#
# So the text calls the *decoder's* feature $X_E$. Fig. 2 has it the other way round, as the letters suggest, and we follow the figure. Does it matter?
#
# ### Exercise 2: exchange the names
#
# *Level 2, 10 minutes.* The trained network calls an EDFF as `edff(e, d)`. Write `exchange(edff, d, e)`: change the weights of this `edff`, then return `edff(d, e)`. It must be what `edff(e, d)` was before the change. `edff.state_dict()` lists all tensors: which of them know about the order?

# %% tags=["exercise"]
def exchange(edff: nn.Module, d: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """Change the weights, then return edff(d, e)."""
    ...  # your turn


passed = check("07.2", exchange)

# %% tags=["solution"]
def exchange(edff: nn.Module, d: torch.Tensor, e: torch.Tensor) -> torch.Tensor:
    """Change the weights, then return edff(d, e)."""
    state = edff.state_dict()
    first, second = state["reduce.weight"].chunk(2, dim=1)
    state["reduce.weight"] = torch.cat([second, first], dim=1)          # it reads D, then E
    for name in ("skaf.mix.weight", "skaf.mix.bias"):
        state[name] = state[name].flip(0)                               # it writes w2, then w1
    edff.load_state_dict(state)
    return edff(d, e)


passed = check("07.2", exchange)

# %% [markdown]
# The result is the same function, so the quarrel is about names only. A trained net cannot tell, and neither can a parameter count.
#
# ## What the alternatives cost
#
# The usual skips of a U are an addition (free) or a concatenation and a convolution. EDFF at width C costs $2C^2 + C$ for its 1x1 and $74C^2 + 2C + 198$ for SKAF.

# %%
widths, sides = preset("aminet").widths[:3], (128, 64, 32)
SKIPS = {"addition": lambda c: 0,
         "concatenation + 1x1": lambda c: 2 * c**2 + c,
         "concatenation + 3x3": lambda c: 18 * c**2 + c,
         "EDFF": lambda c: 76 * c**2 + 3 * c + 198}
WEIGHTS = {"addition": lambda c: 0, "concatenation + 1x1": lambda c: 2 * c**2, "concatenation + 3x3": lambda c: 18 * c**2,
           "EDFF": lambda c: 76 * c**2 + 196}                       # without biases: each works once per pixel
assert all(SKIPS["EDFF"](c) == sum(p.numel() for p in EDFF(c).parameters()) for c in widths)
totals = {}
for name, price in SKIPS.items():
    macs = sum(WEIGHTS[name](c) * side**2 for c, side in zip(widths, sides))
    totals[name] = sum(price(c) for c in widths), macs
    print(f"{name:20s}", "".join(f"{price(c):10,}" for c in widths),
          f"  sum {totals[name][0] / 1e6:6.3f} M   {macs / 1e9:5.2f} GMACs")
assert totals["EDFF"][1] == sum(bill(preset("aminet"))[f"edffs.{i}"].conv for i in range(3))

# %%
figure, axes = plt.subplots(1, 2, figsize=(7.5, 2), layout="constrained", sharey=True)
for axis, i, unit in ((axes[0], 0, 1e6), (axes[1], 1, 1e9)):
    bars = axis.barh(list(totals), [t[i] / unit for t in totals.values()], color=["C5", "C5", "C5", "C1"])
    axis.bar_label(bars, fmt="%.2f", padding=3, fontsize=8)
    axis.set(xlabel=("parameters (millions)", "GMACs")[i], xlim=(0, (1.5, 3.5)[i]))
    axis.invert_yaxis()
axes[0].invert_yaxis()
figure.suptitle("Three joints of AMINet (C = 28): a careful choice is not cheap", fontsize=10)
plt.show()

# %% [markdown]
# EDFF is 10% of AMINet's parameters and 19% of its MACs. The paper compares it with no skip and with the skips of other nets (Table VI, below), not with a concatenation of its own.
#
# ## What a trained net chooses
#
# The `pocket` net (C = 8, trained by us on CelebA). A portrait goes in, reduced to 16x16 and enlarged; we catch what each EDFF receives and how it weighs it.

# %%
net, header = load_weights("pocket")
hr = portraits()[FACE][None]
image = to_float(upsample(degrade(hr)))


@torch.no_grad()
def joints(image):
    """The network's face, and for every EDFF, level 128 first: E, D, w1, w2."""
    caught = []
    hooks = [edff.register_forward_hook(lambda module, args, out: caught.append(args)) for edff in net.edffs]
    sr = net(image)
    for hook in hooks:
        hook.remove()
    caught.reverse()                                       # the decoder goes up: 32 comes first
    return sr, [(e, d, *edff.skaf(edff.reduce(torch.cat([e, d], dim=1)))) for (e, d), edff in zip(caught, net.edffs)]


def heat(feature):
    return feature.abs().mean(dim=1)                       # (B, C, H, W) -> (B, H, W)


def encoder_share(e, d, w1, w2):
    return heat(e * w1) / (heat(e * w1) + heat(d * w2))


sr, found = joints(image)
for side, (e, d, w1, w2) in zip(sides, found):
    print(f"{side:3d}x{side:<3d}  E and D: {e.shape[1]:2d} channels, RMS {e.square().mean().sqrt():.2f} and "
          f"{d.square().mean().sqrt():.2f};  mean w1 {w1.mean():.2f}, w2 {w2.mean():.2f};  "
          f"encoder's share {encoder_share(e, d, w1, w2).mean():.0%}")

# %% [markdown]
# A weight alone can mislead. If E is small and D is large, equal weights still mean "mostly decoder". So the last column shows the **share**: at every pixel, how much of the sum's magnitude comes from the encoder, $|E\,w_1| / (|E\,w_1| + |D\,w_2|)$, averaged over channels.

# %%
rows = [[image[0] if i == 0 else sr[0] if i == 1 else hr[0], heat(e)[0], heat(d)[0], w1[0, 0], w2[0, 0],
         encoder_share(e, d, w1, w2)[0]] for i, (e, d, w1, w2) in enumerate(found)]
figure = show(rows, labels=[f"{side} x {side}" for side in sides], height=1.4,
              titles=["input, output,\nground truth", "encoder E", "decoder D", "w1: weight\nof E", "w2: weight\nof D",
                      "share of\nthe encoder"])
for i in range(3):
    axes = figure.axes[6 * i:6 * i + 6]
    for axis in axes[3:5]:
        axis.images[0].set_clim(0, 1)
    axes[5].images[0].set(cmap="RdBu_r", clim=(0, 1))
grid = figure.axes
figure.colorbar(grid[5].images[0], ax=grid, label="encoder's share")
figure.colorbar(grid[4].images[0], ax=grid, label="w1, w2")
plt.show()

# %% [markdown]
# E and D have their own colour scales (mean magnitude over the channels); $w_1$ and $w_2$ run from black, 0, to pale yellow, 1. In the last column red is "mostly encoder", blue "mostly decoder", white "half and half". Look for three things: where along an edge the two sides swap, which level leans to which side, and whether $w_1$ and $w_2$ are one choice (one up, the other down) or two separate decisions. A fine checkerboard at 128, where there is one, comes in with D: just before lies the pixel shuffle of the upsampling.
#
# ## What happens when one side falls silent
#
# Maps show what the net does, not what it needs. For that we intervene: replace E, or D, by zeros at the door of one EDFF, and let the rest of the trained net work on. The cost is a drop in PSNR, here on synthetic faces that nobody ever trained on.

# %%
test = faces(4, seed=11)
test_image = to_float(upsample(degrade(test)))


def silence(side, levels):
    """Zeros instead of E (side 0) or D (side 1), at the given levels. Returns hooks to remove."""
    def zero(module, args):
        return tuple(torch.zeros_like(v) if k == side else v for k, v in enumerate(args))
    return [net.edffs[level].register_forward_pre_hook(zero) for level in levels]


@torch.no_grad()
def decibels(hooks=()):
    """Mean PSNR over the test faces with `hooks` in place, and the faces; then the hooks go."""
    sr = net(test_image)
    for hook in hooks:
        hook.remove()
    return float(psnr(sr, test, PROTOCOLS["paper"]).mean()), sr


intact, sr = decibels()
bicubic = float(psnr(upsample(degrade(test)), test, PROTOCOLS["paper"]).mean())
print(f"bicubic {bicubic:.2f} dB, intact net {intact:.2f} dB")
cases = {"128": (0,), "64": (1,), "32": (2,), "all three": (0, 1, 2)}
drops = {name: [decibels(silence(side, levels)) for side in (0, 1)] for name, levels in cases.items()}
for name, ((no_e, _), (no_d, _)) in drops.items():
    print(f"zeros at {name:9s}: without E {no_e:6.2f} dB ({no_e - intact:+.2f}),"
          f" without D {no_d:6.2f} dB ({no_d - intact:+.2f})")

# %%
figure, axis = plt.subplots(figsize=(6, 2.6), layout="constrained")
for k, (name, colour) in enumerate((("no encoder", "C1"), ("no decoder", "C0"))):
    lost = [intact - drops[case][k][0] for case in cases]
    axis.bar(torch.arange(4) + 0.4 * k - 0.2, lost, width=0.38, color=colour, label=name)
axis.axhline(intact - bicubic, color="black", lw=0.8, ls="--", label="all that the net gained over bicubic")
axis.set(title="What silence costs", ylabel="PSNR lost (dB)", xticks=range(4), xticklabels=cases, xlabel="zeros at level")
axis.legend(fontsize=8)
plt.show()

# %%
show([list(test_image[:3]), list(sr[:3]), list(drops["all three"][0][1][:3]),
      list(drops["128"][1][1][:3])],
     labels=["bicubic", "intact", "no encoder", "no decoder\nat 128"], height=1.15)
plt.show()

# %% [markdown]
# Without D at 128 nothing from below reaches the output: what is left is one path at full size, and the bar is the same as for all three. Without E the decoder still has all that came through the bottleneck.
#
# Two cautions. Zeros are something the net never saw in training, so a drop says how much *this* net relies on a side, not how well a net trained without it would do. And a loss beyond the dashed line means that the face is now worse than the bicubic one: the net is not missing something, it is misled.
#
# ## Is it the choice, or just the sum?
#
# A gentler intervention leaves both sides in place and takes away only the *selection*: first each map is replaced by its own mean over the image, so that no pixel is special; then all weights become 1, a plain addition.

# %%
def weigh(rule):
    """`rule` replaces each map of every EDFF's SKAF. Returns hooks to remove."""
    return [edff.skaf.register_forward_hook(lambda module, args, out: tuple(rule(w) for w in out)) for edff in net.edffs]


def flat(w):
    return w.mean(dim=(2, 3), keepdim=True).expand_as(w)


for name, rule in (("learned maps", lambda w: w), ("their means", flat), ("plain addition", torch.ones_like)):
    value, _ = decibels(weigh(rule))
    print(f"{name:15s} {value:6.2f} dB  ({value - intact:+.2f})")

# %% [markdown]
# The second line is the worth of choosing by *place*. Is it as large as the maps made you expect? The rest of the drop in the third line is the worth of the two numbers alone. (The caution above holds: the other layers were trained with the maps. Only a net trained with additions, Table V's first row, is a fair rival.)
#
# ## Transplanting EDFF: Table VI
#
# > "We add EDFF to SPARNet [17], which uses EDFF to connect the encoding and decoding stages in SPARNet and send them to the next decoding stage. Additionally, we add EDFF to SFMNet [20], and the specific operation is the same as in SPARNet." (Sec. IV-C6)
#
# EDFF needs nothing but two features of one shape, so it fits any U. SPARNet has decoder levels of 128, 64 and 32 channels; SFMNet has two U-nets of 64 channels, three levels each. How large do they become?

# %%
def size(module):
    return sum(p.numel() for p in module.parameters())


spar = [EDFF(128), EDFF(64), EDFF(32)]                     # at 32x32, 64x64, 128x128
sfm = [EDFF(64) for _ in range(6)]                         # three levels in each of two branches
SPARNET, SFMNET = 10_519_000, 8_800_000                    # their public code, counted
print("EDFF(128), EDFF(64), EDFF(32):", [size(e) for e in spar], "=", sum(map(size, spar)))
for name, base, added, printed in (("SPARNet", SPARNET, spar, ("10.6M", "12.1M")),
                                   ("SFMNet", SFMNET, sfm, ("8.6M", "10.7M"))):
    total = base + sum(map(size, added))
    print(f"{name:8s} {base / 1e6:5.2f} M (printed {printed[0]}: {match(base, printed[0]) or 'no'})  +  EDFF  ="
          f"  {total / 1e6:5.2f} M (printed {printed[1]}: {match(total, printed[1]) or 'no'}),  {total / base - 1:+.0%}")
d = spar[0](torch.randn(1, 128, 32, 32), torch.randn(1, 128, 32, 32))
print("a joint of SPARNet:", tuple(d.shape))

# %% [markdown]
# The sums are the printed ones (12.15 truncated, 10.67 rounded), the bases are not: SPARNet's public code has 10.519 M where Table VI prints 10.6, and Table X even 16.6. SFMNet's 8.6 M is what the counter `thop` finds, which overlooks a few modules; then the sum should have been smaller as well. No single way of counting gives all four printed numbers.
#
# Two remarks on the evidence. The text says that the parameters "increase slightly": by the printed counts it is 14 % in one case and 24 % in the other. And SPARNet has no skips at all: with EDFF it gets its first ones, so its +0.12 dB (27.73 to 27.85, Table VI) is the worth of a skip *and* of its selection. SFMNet's U-nets already have skips that add, as its public code shows; its +0.11 dB (27.96 to 28.07) is the better evidence for selecting.

# %% [markdown]
# ## What to remember
#
# - EDFF is SKAF at a joint: $X_E\,w_1 + X_D\,w_2$, with one weight per side and pixel; text and figure disagree about the names, and the function does not care.
# - It costs 1.25 M parameters where an addition costs none; its price is quadratic in the width, which is why a 1x1 comes first.
# - A map is not a need: silence a side, flatten the maps, and see what the face loses.
#
# Next: [08 · AMINet and its bill](08_aminet_and_its_bill.ipynb) puts the whole net together and counts it.
