# %% [markdown]
# # 11 · Ablations
#
# Which part of AMINet helps? We read the paper's Tables I to VI, and first ask how large a difference chance alone makes.
#
# *90 minutes to study, about 1 minute on a CPU* · [![Open In Colab](https://colab.research.google.com/assets/colab-badge.svg)](https://colab.research.google.com/github/aminet-course/aminet/blob/main/notebooks/11_ablations.ipynb) · previous: [10 · Train AMIGAN](10_train_amigan.ipynb) · next: [12 · Comparisons](12_comparisons.ipynb)
#
# Before this: AMINet's parts in chapters [06](06_lgfi.ipynb) and [07](07_edff.ipynb), PSNR in [02](02_measuring_a_face.ipynb), and what a standard deviation is. [Appendix A](A_symbols_and_shapes.ipynb#Words) explains the words.
#
# You will be able to
#
# - **read** an ablation row: what was changed, and what it is compared with;
# - **judge** a difference by its interval over faces and over trainings;
# - **plan** how many trainings a difference of a given size needs.

# %% tags=["parameters"]
records = ""  # folder of records; empty: the course's own
own = ""  # your faces, folders and zips, also looked for in $AMINET_FACES; empty: none
face = "collins"  # the portrait in the heat maps and the film: hopper or collins
steps = 60  # of the live training
seed = 0
rerun = ""  # runs to train, as in python -m aminet reproduce --only; empty: one, in seconds
scale = "smoke"  # of these runs
budget = 0.0  # minutes for them, 0: no end
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
import copy
import json

import matplotlib.pyplot as plt
import numpy as np
import torch
from IPython.display import Markdown, display
from scipy.stats import kendalltau, norm, t as student
from torch import nn
from torch.nn import functional as F

from aminet import AMINet, AMINetConfig
from aminet.baselines.registry import build, preset
from aminet.config import READINGS
from aminet.degrade import degrade, to_float, upsample
from aminet.faces.portraits import portraits
from aminet.faces.sources import open_faces
from aminet.faces.synthetic import faces as draw_faces
from aminet.files import DATA
from aminet.ledger import bill, counted, match
from aminet.lgfi import LGFI
from aminet.metrics.statistics import paired_difference, summary
from aminet.paper.published import COLUMNS, ROMAN, published, reference
from aminet.paper.records import read_record
from aminet.paper.reproduce import rerun as train_runs
from aminet.paper.runs import runs
from aminet.paper.tables import planned, table as paper_table
from aminet.paper.verdicts import means, readings, verdicts
from aminet.protocol import PROTOCOLS, psnr
from aminet.train import restore
from aminet.training.weights import PRETRAINED, load_weights
from aminet.transformer import TransformerBlock
from diagrams import draw
from exercises import check
from page import eyes, show, table

RECORDS = Path(records or DATA / "records")

# %% [markdown]
# ## What an ablation is
#
# An **ablation** removes or replaces one part of a network, trains the new network from the start, and measures what is lost.
#
# - **LGFI** has two branches: **SA**, and **RDFE** with its attention unit **AU** and its refinement **FRM**.
# - **SKAF** weighs the branches. **EDFF** fuses encoder and decoder. **FFN** is the feed-forward part of a Transformer.
#
# Predict first: which of eight changes costs most PSNR? Sort the list, the most expensive first.

# %%
REMOVALS = {  # a name, and where its row is: (table, row)
    "SA": (1, "LGFI w/o SA"),
    "RDFE": (1, "LGFI w/o RDFE"),
    "SKAF in the LGFIs": (1, "LGFI w/o SKAF"),
    "RDFE, an FFN for it": (3, "FFN"),
    "two of RDFE's three paths": (4, "Single path (5x5 dw)"),
    "RDFE's attention unit": (4, "RDFE w/o AU"),
    "RDFE's refinement": (4, "RDFE w/o FRM"),
    "SKAF's 5x5 and max pooling": (5, "7x7 avg"),
}
prediction = [  # the most expensive first: edit me (as it stands: the more parameters removed, the more PSNR lost)
    "RDFE", "RDFE's refinement", "SKAF in the LGFIs", "SKAF's 5x5 and max pooling", "RDFE, an FFN for it",
    "two of RDFE's three paths", "SA", "RDFE's attention unit",
]
assert sorted(prediction) == sorted(REMOVALS), "each of the eight names once"
print("your prediction:", " > ".join(prediction))

# %% [markdown]
# This notebook can train every row. By default it trains one for some seconds, to a number that means nothing.
#
# <details><summary>How to train rows that count</summary>
#
# `mkdir -p runs && papermill notebooks/11_ablations.ipynb runs/11.ipynb --cwd notebooks -p rerun "skaf-*" -p scale smoke` trains all of Table V at scale `smoke`, on eight drawn faces. At scale `mini` use the command line, with CelebA at hand ([how](../RESULTS.md)): a training takes 11 minutes to 3 hours. A row counts with three trainings, and then stands in the tables below. `python -m aminet reproduce --scale mini` trains all that is pending.
#
# </details>

# %% tags=["nbval-ignore-output"]
print(train_runs(rerun or "skaf-7x7-smoke-0", scale, budget, DATA.parent / "runs", RECORDS))

# %% [markdown]
# ## How to read a row
#
# Ask four questions. What was changed? How large is the network now? What is it compared with? How many trainings stand behind it? The table answers the first three, at the paper's size. *Match*: how our count becomes the printed digits.

# %%
def size(network):
    return sum(weight.numel() for weight in network.parameters())


COST, MATCH, rows = {}, {}, []
for number in range(1, 7):
    for line in published(number):
        row, printed = line["row"], line.get("params_m", "")
        spec = planned(number, row)
        with torch.device("meta"):                               # shapes without memory
            network = build(spec.config)
        cost = counted(network)[""] if spec.config.network else bill(spec.config)[""]
        assert cost.params == size(network)                      # by hand and by PyTorch
        COST[number, row] = cost
        if printed:
            MATCH[number, row] = match(cost.params, printed + "M") or "no match"
        rows.append([ROMAN[number], row, spec.preset, cost.params / 1e6, printed, MATCH.get((number, row), ""),
                     cost.macs / 1e9])
for line, (number, row) in zip(rows, COST):
    whole = COST[number, reference(number, row) or row]
    line.append(f"{COST[number, row].params / whole.params - 1:+.1%}")
table(rows, ["table", "row", "configuration", "parameters, M", "paper's, M", "match", "MACs, G", "size against the reference"],
      digits=3)
missed = {row for (number, row), how in MATCH.items() if how == "no match"}
assert missed == {"SPARNet", "SFMNet"}, missed

# %% [markdown]
# **A removal also makes the network smaller**: by 1.4 % without AU, by 43 % without RDFE. The loss may come from the part or from the parameters. Tables II and III exchange a part, for 10 % and 4 % fewer parameters; Table II's Transformer needs 40 % more MACs.
#
# <details><summary>What the paper leaves open</summary>
#
# - **Two counts are not met**, and neither network is of this paper. SPARNet's public code has 10.519 M parameters, as ours; the paper prints 10.6 M here and 16.6 M in its Table X. SFMNet's public code has 8.800 M, as ours; the 8.6 is thop's count, which overlooks what is never called.
# - 12.3 M for "w/o SA" and 12.1 M for SPARNet with EDFF are truncated, not rounded.
# - **Tables IV and V print no parameters.** Nothing checks our interpretation of "w/o FRM", or of Table V's first row, which we take for "no SKAF, not even in the EDFFs".
# - **Table III** says "we replace RDFE with FFN while keeping the parameters of the two models similar" (Sec. IV-C3). Its 12.11 M need an FFN that expands the channels 26.33 times. The usual factors are 2, 2.66 and 4, so either this FFN is ten times as wide as usual, or it is another module. Equal size would need a factor of 29.1.
#
# </details>
#
# ## Two networks, many faces
#
# The fourth question is about chance, which has two sources: the faces and the training. First the faces. Two networks of ours, one training each, restored the same 1,000 CelebA test faces: `pocket`, and `pocket-s` without SKAF in its LGFIs. We take the difference face by face.
#
# A **bootstrap** gives the **95 % interval** of its mean: draw the people again, with repetition, thousands of times, and see how the mean moves. Faces of one person resemble each other, so we draw whole people.

# %%
TABLES = {number: paper_table(number, RECORDS) for number in range(1, 7)}
CELLS = {(number, cell.row): cell for number in TABLES for cell in TABLES[number].cells if cell.metric == "psnr"}
ROWS = {place: cell for place, cell in CELLS.items() if cell.reference}  # all but the paper's own rows
PAIR = [DATA / "records" / f"{name}-celeba_test-paper.json" for name in ("pocket-s", "pocket")]
width = None                                                     # half of the interval over people, for the simulation
if all(path.exists() for path in PAIR):
    less, full = map(read_record, PAIR)
    assert less["faces"]["fingerprint"] == full["faces"]["fingerprint"] and less["protocol"] == full["protocol"]
    people, rows = full["faces"]["people"], []
    for metric in ("psnr", "ssim", "vif", "lpips"):
        a, b = (np.array(record["values"][metric]) for record in (less, full))
        gap = paired_difference(a, b, people=people)
        each = [summary(values, people=people) for values in (a, b)]
        unpaired = np.hypot(*((one["high"] - one["low"]) / 2 for one in each))
        better = np.mean(a < b if metric == "lpips" else a > b)
        rows.append([COLUMNS[metric].name, a.mean(), b.mean(), gap["mean"], gap["low"], gap["high"], unpaired,
                     f"{100 * better:.0f} %"])
        if metric == "psnr":
            face_gaps, psnr_gap, width, wide = a - b, gap, (gap["high"] - gap["low"]) / 2, unpaired
    table(rows, ["metric", "w/o SKAF", "LGFI", "difference", "from", "to", "± if unpaired", "faces better w/o SKAF"],
          digits=4)
    print(f"{full['faces']['images']:,} faces of {len(set(people))} people; "
          f"pairing narrows the interval in PSNR {wide / width:.0f} times")
else:
    print("pending: the records of pocket and pocket-s are not both here")

# %% tags=["plot"]
if width:
    figure, (left, right) = plt.subplots(1, 2, figsize=(9.5, 2.9), layout="constrained")
    left.hist(face_gaps, bins=np.arange(-1, 1.01, 0.05))
    left.axvline(psnr_gap["mean"], color="C1")
    left.text(0.98, 0.9, f"mean {psnr_gap['mean']:+.3f} dB", transform=left.transAxes, ha="right", color="C1")
    left.set(title="w/o SKAF minus LGFI, face by face", xticks=[-1, -0.5, 0, 0.5, 1],
             xlabel="difference in PSNR (dB)", ylabel="faces")
    for y, half in enumerate((wide, width)):
        right.errorbar(psnr_gap["mean"], y, xerr=half, fmt="s", color="C1", capsize=4)
    right.plot(ROWS[1, "LGFI w/o SKAF"].published_difference, 2, "o")
    right.axvline(0, color="black", lw=1)
    right.set(yticks=range(3), yticklabels=["ours, unpaired", "ours, paired", "paper, Table I"], ylim=(-0.6, 2.6),
              title="the mean difference, with its interval over people", xlabel="difference in PSNR (dB)")
    right.grid(axis="y", visible=False)
    plt.show()

# %% [markdown]
# **Pairing** removes what both networks share: hard faces are hard for both. Unpaired, one would need the square of the printed factor as many people.
#
# But the paired interval answers only one question: *would these two sets of weights differ on other people?* An ablation asks another: *would the two designs differ if both were trained again?*
#
# <details><summary>Do the four metrics agree?</summary>
#
# They need not. All four intervals come from one pair of trainings, so they agree or disagree about that pair. An interval narrows with the square root of the number of people, and so nearly any two trained networks "differ" when enough faces are measured.
#
# </details>
#
# ## Two equal designs, trained again
#
# Simulate two designs that are **exactly equally good**. Each training ends a little better or worse, with the standard deviation $\sigma$. How often does an interval exclude zero? It should be 5 %. We try an interval over faces, a bootstrap of three trainings, and **Student's** interval of three, the mean ± 4.3 standard errors.

# %%
noise = (width or 0.01) / 1.96                                   # of the mean over people, dB (0.01: without records)
rng, sigmas, studies = np.random.default_rng(0), np.linspace(0, 0.1, 11), 2000
alarms = {"one each, over faces": [], "three, bootstrap": [], "three, Student": []}
for sigma in sigmas:
    shared = noise * rng.normal(size=(studies, 1))               # the same faces in every training
    gaps = 2**0.5 * sigma * rng.normal(size=(studies, 3)) + shared
    alarms["one each, over faces"].append(np.mean(abs(gaps[:, 0]) > 1.96 * noise))
    draws = gaps[:, rng.integers(3, size=(400, 3))].mean(-1) + noise * rng.normal(size=(1, 400))
    low, high = np.quantile(draws, (0.025, 0.975), axis=1)
    alarms["three, bootstrap"].append(np.mean((low > 0) | (high < 0)))
    half = np.hypot(student.ppf(0.975, 2) * gaps.std(1, ddof=1) / 3**0.5, 1.96 * noise)
    alarms["three, Student"].append(np.mean(abs(gaps.mean(1)) > half))
for name, found in alarms.items():
    print(f"{name}: {100 * found[3]:.0f} % false alarms at a spread of {sigmas[3]:.2f} dB")

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(7.5, 3.2), layout="constrained")
for name, found in alarms.items():
    axis.plot(sigmas, 100 * np.array(found), ".-", label=name)
axis.axhline(5, color="black", lw=1, ls=":", label="5 %, as promised")
axis.set(title="two equal designs: how often is a difference found?", xlabel="spread of one training (dB)",
         ylabel="false alarms (%)", ylim=(0, 100))
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
plt.show()

# %% [markdown]
# The interval over faces fails as soon as trainings vary, and more test faces make it worse. The bootstrap of three numbers never leaves their range, which misses the true mean in $2\cdot(\tfrac12)^3 = 25\,\%$ of the cases. Student's interval keeps its promise by being wider; our tables use it.
#
# <details><summary>When Student's interval is too wide</summary>
#
# Where the spread of trainings is as small as the noise of the faces, it finds even less than 5 %: it is too careful.
#
# </details>
#
# ## How much do trainings vary?
#
# The difference of two trainings varies with $\sqrt2\,\sigma$. One training each can show a difference $d$ only if $\sigma < d / (1.96\sqrt2)$, and if $\sigma$ is known from elsewhere. The table has the largest $\sigma$ at which $d$ exceeds chance. The figure has the $\sigma$ of our small networks, with three short trainings each.

# %%
factors = {1: norm.ppf(0.975), 3: student.ppf(0.975, 2), 5: student.ppf(0.975, 4)}
table([[f"{d} dB", *(d / (factor * (2 / n) ** 0.5) for n, factor in factors.items())] for d in (0.04, 0.08, 0.11, 0.32)],
      ["difference d", "σ below, 1 training each", "σ below, 3 trainings", "σ below, 5 trainings"], digits=3)
trained = {cell.records: cell.row for cell in CELLS.values() if len(cell.seeds) > 1}
trained |= {one.records: one.row for one in readings(RECORDS) if one.metric == "psnr"}
SPREADS = {row: np.std(means(files, "psnr", RECORDS), ddof=1) for files, row in trained.items()}
gaps = np.array([abs(cell.published_difference) for cell in ROWS.values()])
usual = np.median(list(SPREADS.values())) if SPREADS else None
print(f"the paper's differences: median {np.median(gaps):.2f} dB, {(gaps.round(2) < 0.1).sum()} of {len(gaps)} below 0.1 dB")
print(f"our spreads: median {usual:.3f} dB of {len(SPREADS)} networks" if SPREADS else "our spreads: pending")

figure, axis = plt.subplots(figsize=(9.5, 2), layout="constrained")
figure.set_label("on a scale of PSNR: the paper's differences, and the spreads of our trainings")
axis.plot(gaps, np.zeros(len(gaps)), "o", alpha=0.5)
axis.plot(list(SPREADS.values()), np.ones(len(SPREADS)), "s", alpha=0.5)
for row in sorted(SPREADS, key=SPREADS.get)[:1] + sorted(SPREADS, key=SPREADS.get)[-2:]:
    axis.text(SPREADS[row], 1.3, row, ha="center")
axis.set(xscale="log", yticks=[0, 1], yticklabels=["the paper's differences", "our spreads"], ylim=(-0.6, 1.8),
         xlabel="PSNR (dB)", xticks=[0.01, 0.03, 0.1, 0.3], xticklabels=["0.01", "0.03", "0.1", "0.3"])
axis.margins(x=0.12)
axis.minorticks_off()
plt.show()

# %% [markdown]
# In our records the two groups overlap. **The paper gives no spread over trainings, and no number of trainings for a row.** If its trainings spread as ours do, most rows cannot tell a helpful part from a favourable training. The parts may still help: a difference that is not shown is not a zero.
#
# <details><summary>What the paper leaves open: all differences point the same way</summary>
#
# That is some evidence, but less than eighteen independent differences would be. Sixteen of them are differences to one and the same number, 27.83 dB. If that training was favourable, all sixteen are too large.
#
# </details>
#
# ## Which published differences hold?
#
# Each row minus the paper's own row: negative means that the change costs. Our networks are small and trained on other faces: we judge only the direction. Two tests give the probability $p$ of so large a difference by chance alone. The paired test compares trainings of equal seeds, which see the same pictures in the same order. Welch's test does not pair them.
#
# - **holds**: both have $p < 0.05$, in the paper's direction;
# - **reversed**: both have $p < 0.05$, in the other direction;
# - **cannot be told**: anything else. That is not "no difference".

# %%
VERDICTS = verdicts(RECORDS)
COLOURS = {"holds": "C2", "reversed": "C4", "cannot be told": "C1"}
FOUND = {(one.number, one.row): one for one in VERDICTS if one.metric == "psnr"}
rows = []
for place, cell in ROWS.items():
    one, printed = FOUND.get(place), f"{cell.published_difference:+.2f}"
    measured = [f"{one.mean:+.2f} ± {one.half:.2f}", *(f"{p:.2g}" for p in (one.paired, one.welch, one.holm))] if one else 4 * [""]
    rows.append([ROMAN[place[0]], cell.row, one.word if one else "pending", printed, *measured])
table(rows, ["table", "row", "verdict", "paper's, dB", "ours, dB", "p, paired", "p, Welch", "p, Holm"])

# %% tags=["plot"]
figure, axis = plt.subplots(figsize=(9.5, 6.6), layout="constrained")
for y, (place, cell) in enumerate(ROWS.items()):
    axis.plot(cell.published_difference, y - 0.15, "o", color="C0")
    if one := FOUND.get(place):
        axis.errorbar(one.mean, y + 0.15, xerr=one.half, fmt="s", color=COLOURS[one.word], ms=5, capsize=3)
    else:
        axis.text(0.02, y, "ours: pending", va="center", color="dimgray")
axis.axvline(0, color="black", lw=1)
axis.set(yticks=range(len(ROWS)), yticklabels=[f"{ROMAN[number]}   {row}" for number, row in ROWS],
         ylim=(len(ROWS) - 0.4, -0.6), xlabel="PSNR: the row minus the paper's own row (dB)",
         title="Tables I to VI: what a change costs, with Student's 95 % interval of ours")
axis.plot([], [], "o", color="C0", label="paper")
for word, colour in COLOURS.items():
    axis.plot([], [], "s", color=colour, label=f"ours: {word}")
axis.legend(loc="center left", bbox_to_anchor=(1, 0.5))
axis.grid(axis="y", visible=False)
plt.show()

# %% [markdown]
# Among many tests some have $p < 0.05$ by chance. **Holm's correction** raises each $p$ with the number of tests. If no change had an effect, any $p$ would stay below 0.05 with a chance of at most 5 %.
#
# ## Tables I to VI, the paper's numbers and ours
#
# *Pending*: the trainings of a row are not all done; an ablation needs three. Bold: the best of a column, **even within chance**. Compare our rows with each other, not with the paper's.

# %%
def side_by_side(cells):
    """Show the paper's numbers and ours, the best of each column bold."""
    rows, best, digits = {}, {}, {}
    for cell in cells:
        column = COLUMNS[cell.metric]
        rows.setdefault(cell.row, {"row": cell.row})
        ours = cell.status if cell.ours is None else cell.ours
        for header, number in ((f"{column.name}: paper", float(cell.published)), (f"{column.name}: ours", ours)):
            rows[cell.row][header], digits[header] = number, column.digits
            if isinstance(number, float):
                best[header] = max if column.higher else min
    headers = list(next(iter(rows.values())))
    table([list(line.values()) for line in rows.values()], headers, best, digits)


for number, one in TABLES.items():
    notes = "".join(f" *{note}*" for note in one.notes)
    display(Markdown(f"**Table {ROMAN[number]}.** {one.caption.replace('x8', '×8')}.{notes}"))
    side_by_side([cell for cell in one.cells if cell.metric != "params_m"])
said = [words for one in TABLES.values() for words in (*one.sources.values(), *one.trainings.values())]
display(Markdown(f"Ours: {'; '.join(dict.fromkeys(said)) or 'pending'}."))

# %% [markdown]
# <details><summary>What the paper says of its tables, and where they contradict it</summary>
#
# Our speeds are of the full-size networks, in one sitting of `python -m aminet bench --all`.
#
# - "(a) Introducing SA and RDFE alone can improve model performance. […] (b) Model performance has been significantly increased by introducing the SKAF to capture the relationship between local and global facial features." (Sec. IV-C1) No test of significance is given.
# - "From Table II, the network's performance using LGFI is better when the two networks maintain similar parameters." (Sec. IV-C2)
# - "(a) From the last three rows of the table, we find that using a single pooling branch results in reduced performance, while using average pooling alone results in lower performance than using maximum pooling alone." (Sec. IV-C5, on Table V) In the table average pooling alone has 27.79 dB and max pooling alone 27.78: the other way round, by the last printed digit.
# - "although the parameters of both models increase slightly, the performance of the models improves, which precisely proves that EDFF is helpful" (Sec. IV-C6, on Table VI) The parameters increase by 14 % and 24 %.
#
# </details>
#
# ## What holds, and what cannot be told
#
# The verdict per table in PSNR, then per metric. Both change when more trainings arrive. The last column of the second table is the strictest reading: what Holm's correction leaves.

# %%
QUESTIONS = {1: "do SA, RDFE and SKAF help?", 2: "LGFI or Transformer blocks?", 3: "RDFE or an FFN?",
             4: "do RDFE's paths, AU and FRM help?", 5: "do SKAF's kernels and poolings help?", 6: "does EDFF help others?"}


def names(some):
    return ", ".join(one.row for one in some) or "–"


def with_word(some, word):
    return names(one for one in some if one.word == word)


rows = []
for number, question in QUESTIONS.items():
    here = [one for one in FOUND.values() if one.number == number]
    pending = [cell for place, cell in ROWS.items() if place[0] == number and place not in FOUND]
    rows.append([ROMAN[number], question, *(with_word(here, word) for word in COLOURS), names(pending)])
table(rows, ["table", "question", *COLOURS, "pending"])
rows = []
for metric in ("psnr", "ssim", "vif", "lpips"):
    here = [one for one in VERDICTS if one.metric == metric]
    alone = [one for one in here if one.support in ("paired", "Welch")]
    kept = [one for one in here if one.holm < 0.05]
    rows.append([metric.upper(), len(here), with_word(here, "holds"), with_word(here, "reversed"), names(alone), names(kept)])
table(rows, ["metric", "tests", "holds", "reversed", "found by one test alone", "beyond chance after Holm"])
low = sum(one.paired < 0.05 for one in VERDICTS)
print(f"{len(VERDICTS)} tests: {low} with a paired p below 0.05; chance alone gives about {0.05 * len(VERDICTS):.0f}")
print(f"parameters: {len(MATCH) - len(missed)} of {len(MATCH)} published counts reproduced")
timed = [cell for cell in TABLES[1].cells if cell.metric == "speed_ms"]
if any(cell.ours is None for cell in timed):
    print("speed: pending")
else:
    printed, measured = (np.argsort([float(getattr(cell, name)) for cell in timed]) for name in ("published", "ours"))
    print(f"speed: the order of Table I {'reproduced' if (printed == measured).all() else 'differs'} on {timed[0].on}")

# %% [markdown]
# Small networks and short trainings give no verdict on the paper's network. [RESULTS](../RESULTS.md#does-each-part-help) comments on single rows.
#
# ## Your prediction, scored
#
# Kendall's $\tau$ compares two orders pair by pair: 1 if all agree, 0 on average for a random order, −1 if all are reversed. The last lines compare the paper's order with itself, after simulated new trainings.

# %%
paper_costs = np.array([-ROWS[REMOVALS[name]].published_difference for name in prediction])
our_costs = [-FOUND[REMOVALS[name]].mean if REMOVALS[name] in FOUND else None for name in prediction]
rows = []
for i, name in enumerate(prediction):
    number, row = REMOVALS[name]
    gone = COST[number, reference(number, row)].params - COST[number, row].params
    rows.append([i + 1, name, paper_costs[i], "pending" if our_costs[i] is None else our_costs[i], gone / 1e6])
table(rows, ["your place", "change", "costs in the paper, dB", "costs in our trainings, dB", "parameters removed, M"])

guess = -np.arange(len(prediction))                              # the most expensive first
known = [i for i, value in enumerate(our_costs) if value is not None]
print(f"your order and the paper's: tau = {kendalltau(guess, paper_costs)[0]:+.2f}")
if len(known) >= 3:
    measured = np.array([our_costs[i] for i in known])
    print(f"your order and ours: tau = {kendalltau(guess[known], measured)[0]:+.2f} ({len(known)} of 8 rows)")
    print(f"the paper's order and ours: tau = {kendalltau(paper_costs[known], measured)[0]:+.2f}")
rng = np.random.default_rng(0)
for spread, whose in ((0.03, "assumed"), (usual, "our median")):
    if spread:
        again = [kendalltau(paper_costs, paper_costs + spread * rng.normal(size=8))[0] for _ in range(1000)]
        print(f"the paper's order, trained again with a spread of {spread:.2f} dB ({whose}): tau = {np.mean(again):+.2f}")

# %% [markdown]
# ## What the paper leaves open, as an ablation
#
# Where the paper allows several networks, an ablation asks whether the choice matters. Each row is one interpretation minus our default. *Counts* says whether the published 12.62 M and 15.6 G allow it ([chapter 08](08_aminet_and_its_bill.ipynb)).

# %%
OPEN = [spec for spec in runs("mini") if spec.preset.partition("/")[2] in (*READINGS, "8C") and spec.seed == 0]
ANSWERS = {one.row: one for one in readings(RECORDS) if one.metric == "psnr"}
rows = []
for spec in OPEN:
    name = spec.preset.partition("/")[2]
    config = preset(f"aminet/{name}")
    cost = bill(config)[""]
    with torch.device("meta"):
        assert cost.params == size(build(config))
    fits = match(cost.params, "12.62M") and match(cost.macs, "15.6G")
    line = [name, cost.params / 1e6, cost.macs / 1e9, "allow it" if fits else "rule it out"]
    if one := ANSWERS.get(name):
        line += [f"{one.mean:+.2f} ± {one.half:.2f}", " ".join(f"{gap:+.2f}" for gap in one.each),
                 f"{one.paired:.2g}", f"{one.welch:.2g}"]
    else:
        line += ["pending"] + 3 * [""]
    rows.append(line)
table(rows, ["interpretation", "parameters, M", "MACs, G", "counts", "ours, dB", "each training", "p, paired", "p, Welch"],
      digits=3)
every = readings(RECORDS)
for support, words in (("both", "both tests"), ("paired", "the paired test alone"), ("Welch", "Welch's test alone")):
    some = [f"{one.row} ({one.metric.upper()})" for one in every if one.support == support]
    print(f"found by {words}: {', '.join(some) or 'none'}")
print(f"{len(every)} tests; after Holm's correction {sum(one.holm < 0.05 for one in every)} below 0.05")

# %% [markdown]
# All rows share the default's three trainings. If one of those ends badly, every row looks better.
#
# <details><summary>What each interpretation is, and what our trainings say of it</summary>
#
# - **8C** is decided without training. With the text's 8C at the bottom, a network of 12.62 M parameters has too few MACs for 15.6 G, whatever its width. The row is trained all the same: equal parameters, for which C is 6 instead of 8, shallower hourglasses, and a third less work.
# - **Norm, residual, gate, scale, tail**: the counts are silent. All LayerNorms together are 1,232 parameters, all temperatures 22, the others none. With neither norm nor residual *and* gates on features, Fig. 2 taken literally, each fusion squares its input, and a training can end in NaN within two steps ([chapter 05](05_skaf.ipynb)). That excludes the combination, not its parts.
# - **RDFE's ReLU** after the second depthwise round stands in Fig. 3a and in no equation.
# - **The tail**: started at random, the last layer costs all three trainings in our records. One of them gains 0.44 dB on bicubic, where the default gains 1.6. Student's interval includes zero all the same: one failure widens it as much as it moves the mean. Where a network is trained once, such a failure looks like a bad design.
# - **The gate** of Fig. 2 costs 0.2 to 0.4 dB in every training. Both tests find that in VIF, after Holm's correction none does.
# - **The norm**: on the 503 validation faces, which may choose, LGFI without it is better in every training: +0.09 dB (paired 0.07, Welch 0.02). If one interpretation is to be trained at a larger scale, it is this one.
# - **The common reference**: in our records the default's second training ended below the other two, and several interpretations look best in it. The step size was found with the default, too. So three gains are not three independent votes.
# - The default stays where nothing is decided. [RESULTS](../RESULTS.md#does-each-part-help) has PSNR and SSIM of each interpretation; the lines above name VIF and LPIPS, too.
#
# </details>
#
# ## A picture is no ablation
#
# **Faces** restored without a part (Fig. 4): the eyes of one are twice as large, and the last column is a difference on its own scale.

# %%
FAMILIES = {"pocket": {"w/o SKAF": "pocket-s", "LGFI": "pocket"},
            "mini": {"w/o SA": "without-sa-mini-0", "w/o RDFE": "without-rdfe-mini-0", "w/o SKAF": "aminet-s-mini-0",
                     "LGFI": "aminet-mini-0"}}
hr = torch.cat([torch.stack(list(portraits().values())), draw_faces(1, 9)])      # (3, 3, 128, 128) uint8
if own:
    hr = torch.cat([hr, open_faces(own.split(), progress=False)[0][:3]])
who = list(portraits()).index(face)
bicubic, target = to_float(upsample(degrade(hr))), to_float(hr)
for size_, family in FAMILIES.items():
    here = {label: name for label, name in family.items() if (PRETRAINED / f"{name}.safetensors").exists()}
    for label in family:
        if label not in here:
            print(f"pending: {label} at scale {size_}, the weights {family[label]}")
    if "LGFI" not in here or len(here) < 2:
        continue
    results = {"bicubic": bicubic} | {label: restore(load_weights(name)[0], hr) for label, name in here.items()}
    values = {label: psnr(result, hr, PROTOCOLS["paper"]) for label, result in results.items()}
    last, full = list(results)[-2:]                                                # w/o SKAF if it is there, and LGFI
    apart = (results[last] - results[full]).abs().mean(1)                          # (B, 128, 128)
    rows, captions = [], []
    for i in range(len(hr)):
        faces = [*(result[i] for result in results.values()), target[i], apart[i]]
        rows.append(faces)
        captions.append([f"{value[i]:.2f} dB" for value in values.values()])
        if i == who:
            rows.append([eyes(picture) for picture in faces])
            captions.append([])
    figure = show(rows, [*results, "original", f"|{last} - LGFI|"], captions=captions)
    figure.set_label(f"faces and their eyes, restored by the networks of scale {size_}, with their PSNR")
    plt.show()
    print(f"scale {size_}: {last} and LGFI differ by {127.5 * apart.mean():.1f} of 255 grey levels on average")

# %% [markdown]
# Can you tell "w/o SKAF" from LGFI without the map? In Table I they differ by 0.09 dB, about 2 % of the squared error. A chosen face can still show a difference. So a caption should say how its face was chosen.
#
# <details><summary>What the paper says of Fig. 4</summary>
#
# "we provide a visual comparison in Fig. 4, illustrating the impact of removing certain components from LGFI. The reconstructed images exhibit noticeable blurring or artifacts, highlighting the importance of these components." (Sec. IV-C1) How its faces were chosen is not said. Ours are the two portraits of this course and synthetic face number 9, chosen before any result.
#
# </details>
#
# Removing a part from the **finished** network, without a new training, does give artifacts.

# %%
net, _ = load_weights("pocket")


def cut(part):
    """The trained network with a part of its LGFIs replaced as in the ablation, but not trained again."""
    changed = copy.deepcopy(net)
    for block in changed.modules():
        if isinstance(block, LGFI):
            setattr(block, part, None if part == "skaf" else nn.Identity())
    return restore(changed, hr[:2])


cuts = {"whole": restore(net, hr[:2]), "SA cut": cut("sa"), "RDFE cut": cut("local"), "SKAF cut": cut("skaf")}
values = [psnr(result, hr[:2], PROTOCOLS["paper"]) for result in cuts.values()]
figure = show([[*(result[i] for result in cuts.values()), target[i]] for i in range(2)], [*cuts, "original"],
              captions=[[f"{value[i]:.2f} dB" for value in values] for i in range(2)])
figure.set_label("two faces by the whole network, and with SA, RDFE or SKAF cut out of it, with their PSNR")
plt.show()

# %% [markdown]
# This is a **lesion**: it says how much the other parts rely on this one. An ablation says how good a network is that never had it. Table I's 0.08 dB for SA remains after all others have adapted.
#
# **Heat maps** (Fig. 5) show the outputs of SA, RDFE and SKAF. We average absolute values over the channels, and scale each map to 0..1 by itself. A control has learnt nothing: the same network with **random weights**. $r$ is a map's correlation with the edges of the input, averaged over both portraits.

# %%
@torch.no_grad()
def heat_maps(network, image):
    """SA's, RDFE's and SKAF's maps, each a list of eight (B, h, w) in 0..1, from one pass of `image` (B, 3, H, W)."""
    caught = {"SA": [], "RDFE": [], "SKAF": []}

    def keep(name, value):
        heat = value.abs().mean(1)                               # (B, C, h, w) -> (B, h, w)
        low, high = heat.amin((1, 2), keepdim=True), heat.amax((1, 2), keepdim=True)
        caught[name].append((heat - low) / (high - low))

    hooks = []
    for block in [*network.encoders, *network.bottleneck, *reversed(network.decoders)]:
        hooks += [block.sa.register_forward_hook(lambda module, args, out: keep("SA", out)),
                  block.local.register_forward_hook(lambda module, args, out: keep("RDFE", out)),
                  block.register_forward_hook(lambda module, args, out: keep("SKAF", out - args[0]))]
    network(image)
    for hook in hooks:
        hook.remove()
    return caught


def with_edges(heat):
    """Correlation of maps (B, h, w) with the edges of the input, at the maps' own size; mean over B."""
    small = F.adaptive_avg_pool2d(edges[:, None], heat.shape[-2:])[:, 0]
    return np.mean([np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in zip(heat.numpy(), small.numpy())])


torch.manual_seed(seed)
brightness = bicubic[:2].mean(1)                                 # (2, 128, 128)
edges = torch.stack(torch.gradient(brightness, dim=(1, 2))).square().sum(0).sqrt()
maps = {"trained": heat_maps(net, bicubic[:2]), "random": heat_maps(AMINet(net.config).eval(), bicubic[:2])}

# %%
PLACES = {0: "encoder, 128", 2: "encoder, 32", 5: "decoder, 32", 7: "decoder, 128"}  # four of the eight LGFIs
rows, labels, captions = [], [], []
for part in ("SA", "RDFE", "SKAF"):
    for kind, beside in (("trained", bicubic[who]), ("random", edges[who])):
        rows.append([beside, *(maps[kind][part][k][who] for k in PLACES)])
        labels.append(f"{part}, {kind}")
        captions.append(["edges of the input" if kind == "random" else "input",
                         *(f"r = {with_edges(maps[kind][part][k]):+.2f}" for k in PLACES)])
figure = show(rows, ["", *PLACES.values()], labels, captions)
figure.set_label("heat maps of SA, RDFE and SKAF in a trained and in a random network, with their correlation with edges")
plt.show()

# %% [markdown]
# The random network's maps follow the face, too. **Only what differs between trained and random was learnt.**
#
# <details><summary>What such a figure can and cannot show</summary>
#
# "Fig. 5 presents heatmap visualizations of the outputs from different components within LGFI, with their corresponding locations in the network indicated in Fig. 2." (Sec. IV-C1) How the maps are made is not said, and there is no control. Our map of SKAF is what it makes of the two features, $a\,w_1 + r\,w_2$.
#
# A heat map can show where, within one map, a branch's output is large, and that the branches differ in place and grain. It cannot show
#
# - how large one map is beside another, as each has its own scale ([chapter 06](06_lgfi.ipynb) measures the sizes);
# - the sign and the channels, which are averaged away;
# - that a large output is a *useful* one;
# - that it is so on other faces.
#
# "Less emphasis on hair" is a claim about regions, and needs masks: chapter 06 has them.
#
# </details>
#
# **Two designs** (Fig. 6): LGFI works in parallel, a Transformer block in series. The table adds their parameters at the first level, $C = 28$.

# %%
draw("LGFI").set_label("block diagram of LGFI: SA beside RDFE, weighed by SKAF")
draw("Transformer").set_label("block diagram of a Transformer block: SA, then FFN")
plt.show()
lgfi, block = LGFI(28, 1, 3), TransformerBlock(28, 1)
fusion, norms = size(lgfi.reduce) + size(lgfi.skaf), size(block.norm1) + size(block.norm2)
table([["LGFI", size(lgfi.norm), size(lgfi.sa), size(lgfi.local), fusion, size(lgfi)],
       ["Transformer block", norms, size(block.sa), size(block.ffn), 0, size(block)]],
      ["block", "LayerNorm", "SA", "RDFE or FFN", "1×1 and SKAF", "all"])

# %% [markdown]
# Table II changes depth, kernels, normalisation, fusion and MACs at once, and cannot say which of them made the difference. Table III changes the local branch alone.
#
# <details><summary>What Table II compares</summary>
#
# "Parallel against serial" is the paper's explanation of Table II. RDFE has a dozen times the parameters of an FFN of the usual size, so one LGFI weighs as much as a stack of Transformer blocks. Table II compares 8 LGFIs with 105 blocks, which have 10 % fewer parameters.
#
# </details>
#
# **The loss curve** (Fig. 12), here of our `pocket` run:

# %%
log = DATA / "records" / "pocket-train.jsonl"
if log.exists():
    lines = [json.loads(line) for line in log.read_text().splitlines()]
    seen, loss = np.array([(line["images"], 100 * line["loss"]) for line in lines if "loss" in line]).T
    smooth = np.convolve(loss, np.ones(10) / 10, "valid")
    figure, axis = plt.subplots(figsize=(8, 2.8), layout="constrained")
    axis.plot(seen, loss, lw=0.8, alpha=0.5, label="mean of 50 batches")
    axis.plot(seen[9:], smooth, label="mean of 500")
    axis.set(title="Fig. 12 for our pocket run", xlabel="faces seen", ylabel="L1 on [-1, 1], × 100")
    axis.legend()
    plt.show()
    print(f"from {loss[0]:.2f} to {smooth[-1]:.2f}; at half time {smooth[len(smooth) // 2]:.2f}")
else:
    print("pending: data/records/pocket-train.jsonl, the log of the run, is not here")

# %% [markdown]
# A falling training loss shows that the optimiser works, not that the network helps on other faces. A small network now learns four synthetic crops by heart. We watch one of them, and a portrait that it never sees in training. Captions are gains over bicubic.
#
# <details><summary>What the paper leaves open: Fig. 12</summary>
#
# "We also provide the training loss curve in Fig. 12, which shows a consistent decrease as iterations progress, indicating stable optimization and convergence. For clarity, the loss values are scaled by a factor of 100. We also visualize the intermediate results at different training stages" (Sec. IV-E)
#
# - Ours is the mean absolute error on the range $[-1, 1]$. Eq. 17 is a *sum* over 49,152 values, and a range of $[0, 1]$ would halve it. Only the forms of two such curves can be compared, not their heights.
# - A falling curve shows no "convergence" while the step size falls by a schedule: it flattens in any case.
# - There is no validation, and whether the intermediate faces were trained on is not said. Our `pocket` run kept no intermediate pictures, so the film below is of another network.
#
# </details>

# %%
torch.manual_seed(seed)
threads = torch.get_num_threads()
torch.set_num_threads(1)                                         # such small layers gain little from a second
small = AMINet(AMINetConfig(channels=8, heads=(1, 1, 1, 1), depths=(1, 1, 1, 1)))
adam = torch.optim.Adam(small.parameters(), lr=2e-3, betas=(0.9, 0.99))
cast = torch.cat([draw_faces(4, 0), hr[who:who + 1]])            # four to learn, one to watch
crops = cast[..., 32:96, 32:96]
x, y = (to_float(faces)[..., 32:96, 32:96].contiguous() for faces in (upsample(degrade(cast)), cast))  # (5, 3, 64, 64)
watched, film, curve = [0, 4], {}, []
stops = sorted({0, *(round(steps * part) for part in (0.15, 0.3, 0.6, 1))})
for step in range(steps + 1):
    if step in stops:
        with torch.no_grad():
            film[step] = small.eval()(x[watched])
    if step < steps:
        loss = F.l1_loss(small.train()(x[:4]), y[:4])
        adam.zero_grad()
        loss.backward()
        adam.step()
        curve.append(100 * loss.item())
torch.set_num_threads(threads)
start = psnr(film[0], crops[watched], PROTOCOLS["paper"])        # the network starts as the bicubic face
gains = [psnr(pictures, crops[watched], PROTOCOLS["paper"]) - start for pictures in film.values()]
figure = show([[*(pictures[i] for pictures in film.values()), y[watched][i]] for i in range(2)],
              [*(f"step {step}" for step in film), "original"], ["trained on", "not trained on"],
              [[f"{gain[i]:+.1f} dB" for gain in gains] for i in range(2)])
figure.set_label("two crops during a short training, one that is trained on and one that is not, with their gain in PSNR")
plt.show()
print(f"loss × 100: from {curve[0]:.1f} to {curve[-1]:.1f}")

# %% [markdown]
# The loss falls, and the learnt picture gets clearer: all that Fig. 12 shows. A useful training is shown by a validation on other faces ([chapter 09](09_train_aminet.ipynb)).
#
# ## Exercises
#
# ### Exercise 1: the interval by hand
#
# *Level 2, 10 minutes.*
#
# Two networks, $S$ trainings each, on the same $N$ faces: `a` and `b` are arrays (S, N). A bootstrap draw takes `seeds[k]`, $S$ trainings with repetition, and `images[k]`, $N$ faces with repetition. Both arrays of indices are given, (n, S) and (n, N). Return the mean of $a - b$, and the 2.5 and 97.5 % quantiles (`np.quantile`) of its mean over the draws.

# %% tags=["exercise"]
def interval(a, b, seeds, images):
    """Return three numbers: the mean difference, and the two ends of its interval."""
    ...  # your turn


passed = check("11.1", interval)

# %% tags=["solution"]
def interval(a, b, seeds, images):
    gap = a - b                                                  # (S, N): the faces' difficulty is gone
    means = [gap[np.ix_(rows, columns)].mean() for rows, columns in zip(seeds, images)]
    return (gap.mean(), *np.quantile(means, (0.025, 0.975)))


passed = check("11.1", interval)

# %% [markdown]
# ### Exercise 2: the smallest difference that can be shown
#
# *Level 2, 10 minutes.*
#
# Two designs were trained with the same $n$ seeds. `a` and `b` are lists of their PSNRs, seed by seed. Which mean difference must the pairs have at least, so that Student's 95 % interval excludes zero? It is the number behind ± in the tables above. Student's factor is `student.ppf(0.975, n - 1)`, 4.30 for three trainings.

# %% tags=["exercise"]
def smallest(a, b):
    """Return half of the 95 % interval of the mean difference, in dB."""
    ...  # your turn


passed = check("11.2", smallest)

# %% tags=["solution"]
def smallest(a, b):
    gaps = np.subtract(a, b)                                     # pairs of equal seeds
    return student.ppf(0.975, len(gaps) - 1) * gaps.std(ddof=1) / len(gaps) ** 0.5


passed = check("11.2", smallest)

# %% [markdown]
# ### Exercise 3: how many trainings?
#
# *Level 1, 10 minutes.*
#
# Two designs differ by $d$ dB, and a training has the spread $\sigma$. To find the difference at the 5 % level in 80 % of such studies, each design needs about
#
# $$n = 2\,(1.960 + 0.842)^2\,\frac{\sigma^2}{d^2}$$
#
# trainings, rounded up. Where does the 2 come from? Student's factor would make a small $n$ larger by one to three, and a single training has no interval. Leave both aside here.

# %% tags=["exercise"]
def trainings(d, sigma):
    """Return the whole number of trainings that each design needs."""
    ...  # your turn


passed = check("11.3", trainings)

# %% tags=["solution"]
def trainings(d, sigma):
    return int(np.ceil(2 * (1.960 + 0.842) ** 2 * (sigma / d) ** 2))


passed = check("11.3", trainings)
table([[f"{sigma:.2f} dB", *(trainings(d, sigma) for d in (0.32, 0.1, 0.05))] for sigma in (0.01, 0.03, 0.05)],
      ["spread", "d = 0.32 dB", "d = 0.1 dB", "d = 0.05 dB"])

# %% [markdown]
# ## What to remember
#
# 1. Read a row by its counts first: a removal changes the size with the part.
# 2. An interval over faces compares two sets of weights. A claim about designs needs several trainings of each.
# 3. The published differences are small, and the paper gives no spread over trainings.
# 4. A lesion, a heat map or one chosen face is no ablation.
#
# To read on: X. Bouthillier et al., [Accounting for Variance in Machine Learning Benchmarks](https://arxiv.org/abs/2103.03098) (2021).
#
# Next: [12 · Comparisons](12_comparisons.ipynb)
