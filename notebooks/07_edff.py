# %% [markdown]
# # 07 · EDFF: where encoder and decoder meet
#
# At each joint of the U, EDFF decides pixel by pixel how much comes from the encoder and how much from the decoder.
#
# *75 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/07_edff.ipynb) · previous: [06 · LGFI](06_lgfi.ipynb) · next: [08 · AMINet and its bill](08_aminet_and_its_bill.ipynb)
#
# Before this: [05 · SKAF](05_skaf.ipynb), which is the inner part of EDFF, and PSNR from [02 · Measuring a face](02_measuring_a_face.ipynb).
#
# You will be able to
#
# - **write** EDFF from Eqs. 15-16, put it into a trained network, and exchange its two inputs without changing the result;
# - **compare** a selective skip with an addition and a concatenation, in parameters and MACs;
# - **test** by intervention what a trained network takes from each side.

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

# %% tags=["imports"]
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
from diagrams import draw
from page import show, table
from exercises import check


# %% [markdown]
# ## The two sides of a U
#
# AMINet has the shape of a [U-net](A_symbols_and_shapes.ipynb#Words). Its encoder halves the image three times, and its decoder doubles it three times.
#
# - The **encoder** at 128×128 knows where an edge is. It has seen little of the face around that edge.
# - The **decoder** has seen the whole face, because its features come up from 16×16. It has lost the exact places.
#
# A [skip](A_symbols_and_shapes.ipynb#Words) hands the encoder's feature to the decoder of the same level. EDFF decides how to join the two. In the diagram, the arrow from the left of an EDFF brings the encoder's feature $X_E$. The arrow from below brings the decoder's feature $X_D$.

# %%
figure = draw("AMINet", "EDFF")

# %% [markdown]
# > "To fully utilize the multiscale features extracted from the encoding and decoding stage, we introduce an EDFF to fuse different features, enabling our AMINet with better feature propagation and representation capabilities." (Sec. III-C)
#
# At a joint both features have the same shape $(C, H, W)$; otherwise they could not be added. They differ in what they have seen, not in their size.
#
# ## EDFF in one picture
#
# EDFF mixes both features and asks [SKAF](05_skaf.ipynb) for two weights per pixel. The first weight multiplies $X_E$, the second multiplies $X_D$, and the two products are added.

# %%
figure = draw("EDFF")

# %% [markdown]
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
print("both  ", tuple(both.shape))
print("mixed ", tuple(mixed.shape))
print("w1, w2", tuple(w1.shape), tuple(w2.shape))

# %% [markdown]
# The 1×1 does reduce the cost. SKAF's convolutions are dense, so their cost is quadratic in the width: on $2C$ channels they would cost four times as much.
#
# ## Eq. 16: the choice
#
# > "Next, we feed the two obtained weights into two branches for multiplication. […] Finally, we add the features of the two branches" (Sec. III-C)
#
# $$X_{ED} = X_E\cdot X' + X_D\cdot X'' \tag{16}$$

# %%
fused = encoder * w1 + decoder * w2                # Eq. 16
print("fused ", tuple(fused.shape))

# %% [markdown]
# <details><summary>What the paper leaves open</summary>
#
# **What SKAF returns.** Sec. III-C calls SKAF's outputs *weights*. This supports our interpretation of SKAF, `gate="maps"`: it returns two maps, and the caller multiplies. [Notebook 05](05_skaf.ipynb) compares it with the literal equations.
#
# **Different scales.** "Different-scale features" cannot mean features of different sizes, because Eq. 16 adds them pixel by pixel.
#
# </details>
#
# ### Exercise 1: write EDFF
#
# *Level 1, 10 minutes.* Now you have all parts. `self` is one EDFF of a network, for features of $C$ channels:
#
# | what `self` has | what it does |
# |---|---|
# | `self.reduce` | 1×1 convolution, $2C \to C$ channels. It takes the encoder's feature first, then the decoder's |
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
# The class is `aminet.edff.EDFF`. With the weights of `reduce` and `skaf` from above, it returns `fused` from above. Its switch `skaf=False` adds the two features instead; Table V has such a row.

# %%
ours = EDFF(C)
ours.reduce.load_state_dict(reduce.state_dict())
ours.skaf.load_state_dict(skaf.state_dict())
assert_close(ours(encoder, decoder), fused)
print("the class equals the steps above;", sum(p.numel() for p in ours.parameters()), "parameters at C = 56")

# %% [markdown]
# ## The order of the inputs is a convention
#
# EDFF treats its two inputs alike. Each is concatenated, weighted and added. Only the learned weights know which input is which, so we can exchange the inputs if we also rearrange the weights. Exercise 2 shows that nothing else is needed.
#
# ### Exercise 2: exchange the inputs
#
# *Level 2, 10 minutes.* The trained network calls an EDFF as `edff(e, d)`. Write `exchange(edff, d, e)`: change the weights of this `edff`, then return `edff(d, e)`. It must be what `edff(e, d)` was before the change. `edff.state_dict()` lists all tensors: which of them depend on the order? The check compares value 0, what you return, and value 1, what `edff(d, e)` is afterwards.

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
    state["reduce.weight"] = torch.cat([second, first], dim=1)          # it takes D, then E
    for name in ("skaf.mix.weight", "skaf.mix.bias"):
        state[name] = state[name].flip(0)                               # it returns w2, then w1
    edff.load_state_dict(state)
    return edff(d, e)


passed = check("07.2", exchange)

# %% [markdown]
# The result is the same function. So a trained network cannot show which order the authors used, and neither can a parameter count.
#
# <details><summary>What the paper leaves open</summary>
#
# > "Given the feature $X_E\in\mathbb{R}^{C\times H\times W}$, the feature $X_D\in\mathbb{R}^{C\times H\times W}$ is from the decoding stage and the encoding stage, respectively." (Sec. III-C)
#
# The text calls the *decoder's* feature $X_E$. Fig. 2 has it the other way round, as the letters suggest. We follow the figure. By exercise 2 the two versions differ in names only.
#
# </details>
#
# ## What the alternatives cost
#
# The usual skips of a U are an addition, which is free, or a concatenation and a convolution. EDFF at width $C$ has $2C^2 + C$ parameters for its 1×1 and $74C^2 + 2C + 198$ for SKAF. We count all four at the joints of AMINet ($C = 28$). A [MAC](A_symbols_and_shapes.ipynb#Words) is one multiplication with one addition; every weight of a kernel needs one MAC per pixel.

# %%
def size(module):
    return sum(p.numel() for p in module.parameters())


def macs(module, side):
    kernels = [p for p in module.parameters() if p.dim() == 4]      # all but the biases
    return sum(p.numel() for p in kernels) * side**2


widths, sides = preset("aminet").widths[:3], (128, 64, 32)
joins = {"addition": nn.Identity, "concatenation, 1×1": lambda c: nn.Conv2d(2 * c, c, 1),
         "concatenation, 3×3": lambda c: nn.Conv2d(2 * c, c, 3), "EDFF": EDFF}
rows = []
for name, join in joins.items():
    modules = [join(c) for c in widths]
    sizes = [size(module) for module in modules]
    work = sum(macs(module, side) for module, side in zip(modules, sides))
    rows.append([name, *sizes, sum(sizes) / 1e6, work / 1e9])
assert sizes == [76 * c**2 + 3 * c + 198 for c in widths]
assert work == sum(bill(preset("aminet"))[f"edffs.{i}"].conv for i in range(3))
table(rows, ["join", *[f"{side} pixels, C = {c}" for side, c in zip(sides, widths)], "sum (M)", "GMACs"])

# %% [markdown]
# EDFF is the expensive choice: 1.25 M parameters where an addition has none. That is 10% of AMINet's parameters and 19% of its MACs.
#
# <details><summary>What the paper leaves open</summary>
#
# The paper compares EDFF with no skip and with the skips of other networks (Table VI, below). It does not compare it with a concatenation in AMINet itself.
#
# </details>
#
# ## What a trained network chooses
#
# We use `pocket` ($C = 8$), which we trained on CelebA. A portrait goes in, reduced to 16×16 and enlarged again. We catch what each EDFF receives, and compute how it weighs the two features.
#
# A weight alone can mislead: if $X_E$ is small and $X_D$ is large, equal weights still mean "mostly decoder". So we also compute the **encoder's share**, $|X_E\,w_1| / (|X_E\,w_1| + |X_D\,w_2|)$ at every pixel, with both magnitudes averaged over the channels.

# %%
net, header = load_weights("pocket")
hr = portraits()[FACE][None]
image = to_float(upsample(degrade(hr)))


@torch.no_grad()
def joints(image):
    """Return the network's face, and E, D, w1, w2 of every EDFF, level 128 first."""
    received = {}

    def keep(edff, arguments, output):
        received[edff] = arguments

    hooks = [edff.register_forward_hook(keep) for edff in net.edffs]
    sr = net(image)
    for hook in hooks:
        hook.remove()
    found = []
    for edff in net.edffs:
        e, d = received[edff]
        w1, w2 = edff.skaf(edff.reduce(torch.cat([e, d], dim=1)))
        found.append((e, d, w1, w2))
    return sr, found


def magnitude(feature):
    return feature.abs().mean(dim=1)                       # (B, C, H, W) -> (B, H, W)


def encoder_share(e, d, w1, w2):
    from_e, from_d = magnitude(e * w1), magnitude(d * w2)
    return from_e / (from_e + from_d)


# %%
sr, found = joints(image)
rows = []
for side, (e, d, w1, w2) in zip(sides, found):
    rows.append([f"{side}×{side}", e.shape[1], float(e.square().mean().sqrt()), float(d.square().mean().sqrt()),
                 float(w1.mean()), float(w2.mean()), f"{encoder_share(e, d, w1, w2).mean():.0%}"])
table(rows, ["level", "channels", "RMS of E", "RMS of D", "mean w1", "mean w2", "encoder's share"])

# %% tags=["plot"]
rows = []
for face, (e, d, w1, w2) in zip((image, sr, to_float(hr)), found):
    rows.append([face[0], magnitude(e)[0], magnitude(d)[0], w1[0, 0], w2[0, 0], encoder_share(e, d, w1, w2)[0]])
figure = show(rows, ["input, output,\noriginal", "encoder E", "decoder D", "w1: weight\nof E", "w2: weight\nof D",
                     "share of\nthe encoder"], labels=[f"{side}×{side}" for side in sides])
for start in (0, 6, 12):                                   # six pictures in each row
    for axis in figure.axes[start + 3:start + 5]:
        axis.images[0].set_clim(0, 1)
    figure.axes[start + 5].images[0].set(cmap="RdBu_r", clim=(0, 1))
weight, share = figure.axes[4].images[0], figure.axes[5].images[0]
figure.colorbar(share, cax=figure.add_axes([1.01, 0.53, 0.015, 0.36]), label="encoder's share")
figure.colorbar(weight, cax=figure.add_axes([1.01, 0.04, 0.015, 0.36]), label="w1, w2")
figure.set_label("For each of the three EDFFs: the encoder's and the decoder's feature, the two weights, the encoder's share")
plt.show()

# %% [markdown]
# The first column is the input, the output and the original, for comparison. $E$ and $D$ show mean magnitudes, each on its own scale. In the last column red is "mostly encoder", blue is "mostly decoder", and white is "half and half". Look for three things:
#
# - Where along an edge do the two sides swap?
# - Which level prefers which side? The table has the means: for Hopper the encoder's share is 53 to 57%.
# - Are $w_1$ and $w_2$ one choice, one up and the other down, or two separate decisions?
#
# A fine checkerboard at 128×128, where there is one, comes from $D$: the [pixel shuffle](A_symbols_and_shapes.ipynb#Words) of the upsampling stands just before EDFF.
#
# ## Remove one side
#
# The maps show what the network does, not what it needs. To learn what it needs, we intervene. We replace $X_E$ or $X_D$ by zeros at the input of an EDFF, and let the rest of the trained network run as before. The cost is a drop in PSNR, here on four synthetic faces that were not used in training.

# %%
test = faces(4, seed=11)
test_image = to_float(upsample(degrade(test)))


def remove_side(letter, levels):
    """Put zeros in place of E or D at some levels; return the hooks."""
    def zero(edff, arguments):
        e, d = arguments
        return (torch.zeros_like(e), d) if letter == "E" else (e, torch.zeros_like(d))
    return [net.edffs[level].register_forward_pre_hook(zero) for level in levels]


@torch.no_grad()
def score(hooks=()):
    """Return the mean PSNR over the test faces with these hooks in place, and the faces; remove the hooks."""
    result = net(test_image)
    for hook in hooks:
        hook.remove()
    return float(psnr(result, test, PROTOCOLS["paper"]).mean()), result


intact, restored = score()
bicubic = float(psnr(upsample(degrade(test)), test, PROTOCOLS["paper"]).mean())
print(f"bicubic {bicubic:.2f} dB, intact network {intact:.2f} dB")
places = {"128": (0,), "64": (1,), "32": (2,), "all three": (0, 1, 2)}
rows, lost = [], {"E": [], "D": []}
for name, levels in places.items():
    without = {letter: score(remove_side(letter, levels))[0] for letter in "ED"}
    rows.append([name, without["E"], without["E"] - intact, without["D"], without["D"] - intact])
    for letter in "ED":
        lost[letter].append(intact - without[letter])
table(rows, ["zeros at level", "without E (dB)", "change", "without D (dB)", "change "])

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(7, 3), layout="constrained")
axis.bar([0, 1, 2, 3], lost["E"], width=-0.38, align="edge", color="C1", label="no encoder")
axis.bar([0, 1, 2, 3], lost["D"], width=0.38, align="edge", color="C0", label="no decoder")
axis.axhline(intact - bicubic, color="black", lw=0.8, ls="--", label="the network's gain over bicubic")
axis.set(title="PSNR lost when one side is zero", ylabel="PSNR lost (dB)", xlabel="zeros at level",
         xticks=range(4), xticklabels=places)
axis.legend()
plt.show()

# %%
no_encoder = score(remove_side("E", (0, 1, 2)))[1]
no_decoder = score(remove_side("D", (0,)))[1]
results = [test_image, restored, no_encoder, no_decoder, to_float(test)]
figure = show([[result[i] for result in results] for i in range(3)],
              ["bicubic", "intact", "no encoder\nat all three", "no decoder\nat 128", "original"])

# %% [markdown]
# - **Without D at 128** nothing from the lower levels reaches the output. One path at full size remains, so the bar equals that of all three levels (2.25 dB).
# - **Without E at all levels** the decoder still has all that came through the bottleneck, yet the loss is the largest (5.94 dB). It is beyond the dashed line: the face is worse than the bicubic one. The network does not just lack information; it is misled.
#
# The network never saw zeros in training. So a drop says how much *this* network relies on a side. It does not say how well a network trained without that side would do.
#
# ## Selection or sum?
#
# A gentler intervention keeps both sides and takes away only the *selection*. First we replace each map by its own mean over the image, so that no pixel is special. Then we set all weights to 1, which is a plain addition.

# %%
def weigh(rule):
    """Let `rule` replace each map of every EDFF's SKAF; return the hooks."""
    def replace(skaf, arguments, maps):
        return tuple(rule(w) for w in maps)
    return [edff.skaf.register_forward_hook(replace) for edff in net.edffs]


def flat(w):
    return w.mean(dim=(2, 3), keepdim=True).expand_as(w)


rows = []
for name, rule in (("learned maps", lambda w: w), ("their means", flat), ("plain addition", torch.ones_like)):
    value, _ = score(weigh(rule))
    rows.append([name, value, value - intact])
table(rows, ["weights", "PSNR (dB)", "change"], best={"PSNR (dB)": max})

# %% [markdown]
# The second row measures the choice by *place*: it is worth about 0.1 dB in `pocket`, on four synthetic faces: less than the maps suggest. The rest of the drop in the third row, about 4 dB, comes from the two mean weights of each EDFF.
#
# The same caution holds: the other layers were trained with the maps. Only a network trained with additions would be a fair comparison. No printed row is one: Table V's first row drops SKAF from the LGFIs, too.
#
# ## EDFF in other networks: Table VI
#
# > "We add EDFF to SPARNet [17], which uses EDFF to connect the encoding and decoding stages in SPARNet and send them to the next decoding stage. Additionally, we add EDFF to SFMNet [20], and the specific operation is the same as in SPARNet." (Sec. IV-C6)
#
# EDFF needs nothing but two features of one shape, so it fits any U. SPARNet has decoder levels of 128, 64 and 32 channels. SFMNet has two U-nets of 64 channels, three levels each. How large do they become?

# %%
spar = [EDFF(128), EDFF(64), EDFF(32)]                     # at 32×32, 64×64, 128×128
sfm = [EDFF(64) for _ in range(6)]                         # three levels in each of two branches
joint = spar[0](torch.randn(1, 128, 32, 32), torch.randn(1, 128, 32, 32))
print("a joint of SPARNet:", tuple(joint.shape))
print("EDFF(128), EDFF(64), EDFF(32):", [size(edff) for edff in spar])

AGREES = {"rounds": "rounded", "truncates": "truncated", "both": "yes", False: "no"}
rows = []
for name, base, added, printed_base, printed_sum in (           # the bases: their public code, counted
        ("SPARNet", 10_519_000, spar, "10.6M", "12.1M"), ("SFMNet", 8_800_000, sfm, "8.6M", "10.7M")):
    total = base + sum(size(edff) for edff in added)
    rows.append([name, base / 1e6, printed_base, AGREES[match(base, printed_base)], ""])
    rows.append([f"{name} + EDFF", total / 1e6, printed_sum, AGREES[match(total, printed_sum)], f"+{total / base - 1:.0%}"])
table(rows, ["network", "counted (M)", "Table VI", "agrees", "increase"])

# %% [markdown]
# The increase is not small: 16% and 21% by our count.
#
# <details><summary>What the paper leaves open</summary>
#
# **The counts.** Table VI's sums agree with ours: 12.15 truncated, 10.67 rounded. Its bases do not.
#
# - SPARNet's public code has 10.519 M parameters. Table VI prints 10.6, and Table X even 16.6.
# - SFMNet's 8.6 M is what the counter `thop` finds; it overlooks a few modules. Then the sum should have been smaller as well.
# - No single way of counting gives all four printed numbers.
#
# **"Increase slightly".** So the text describes the parameters. By the printed counts the increase is 14% for SPARNet and 24% for SFMNet.
#
# **The evidence.** SPARNet has no skips at all: EDFF gives it its first ones. So its +0.12 dB (27.73 to 27.85, Table VI) measures a skip *and* its selection. SFMNet's U-nets already have skips that add, as its public code shows. Its +0.11 dB (27.96 to 28.07) is the better evidence for selection.
#
# </details>

# %% [markdown]
# ## What to remember
#
# - EDFF is SKAF at a joint: $X_E\,w_1 + X_D\,w_2$, with one weight per side and pixel. The order of the two inputs is a convention.
# - It costs 1.25 M parameters where an addition costs none. Its cost is quadratic in the width, so a 1×1 halves the channels first.
# - A map shows what a network does, not what it needs. Remove a side, or flatten the maps, and measure the loss.
#
# To read on: O. Ronneberger et al., [U-Net](https://arxiv.org/abs/1505.04597) (2015); C. Chen et al., [SPARNet](https://arxiv.org/abs/2012.01211) (2021), to which Table VI adds EDFF.
#
# Next: [08 · AMINet and its bill](08_aminet_and_its_bill.ipynb) puts the whole network together and counts it.
