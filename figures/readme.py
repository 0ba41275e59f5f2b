"""Write the numbers of README.md, RESULTS.md and aminet/baselines/README.md from the records: `make readme`.

A generated block stands between `<!-- begin NAME -->` and `<!-- end NAME -->`, and NAME is a function in BLOCKS. A test
says that the committed pages hold what these functions return.
"""
from __future__ import annotations

import json
import re
import sys
from functools import cache
from pathlib import Path
from textwrap import fill

import numpy as np
from tabulate import tabulate

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from aminet.baselines.registry import adds_face, preset, read_config  # noqa: E402
from aminet.config import AMINetConfig, Config  # noqa: E402
from aminet.ledger import bill, match  # noqa: E402
from aminet.metrics.statistics import student_interval  # noqa: E402
from aminet.paper.limits import FALL, breaks  # noqa: E402
from aminet.paper.published import COLUMNS, PREFIX, ROMAN, published, read_csv  # noqa: E402
from aminet.paper.records import evaluation_at, read_record  # noqa: E402
from aminet.paper.runs import COMPARISONS, FROM_BICUBIC, RunSpec, listed, runs  # noqa: E402
from aminet.paper.tables import Cell, table  # noqa: E402
from aminet.paper.verdicts import CHANCE, Verdict, readings, verdicts  # noqa: E402

PAGES = ("README.md", "RESULTS.md", "aminet/baselines/README.md")
RECORDS = ROOT / "data" / "records"
NETWORKS = {"AMINet": "pocket", "AMINet-S": "pocket-s", "AMIGAN": "pocket-gan"}  # the paper's names, and our weights
SETS = {"celeba_test": "CelebA faces", "flickr_test": "Flickr portraits", "london": "studio portraits, London"}
DIGITS = {"psnr": 2, "ssim": 4, "vif": 4, "lpips": 4, "fid": 1, "identity": 3}
HEADS = {"psnr": "PSNR, dB", "ssim": "SSIM", "vif": "VIF", "lpips": "LPIPS", "fid": "FID", "identity": "identity"}
# AMINet's rows with printed counts: table, row, and the network that is counted. Others are the full network again.
COUNTED = [(10, "AMINet", "aminet"), (10, "AMINet-S", "aminet-s"), (1, "LGFI w/o SKAF", "aminet-s"),
           (1, "LGFI w/o SA", "without-sa"), (1, "LGFI w/o RDFE", "without-rdfe"),
           (2, "Transformer", "transformer"), (3, "FFN", "ffn")]
SCALES = {  # what a scale of runs.yaml is for
    "smoke": "seconds a run, on drawn faces: does everything work here? Its numbers mean nothing",
    "mini": "minutes to hours a run on a CPU: differences between networks, not how good they become",
    "pocket": "an hour or two a run on a CPU: the weights that come with the course",
    "gpu": "for a GPU: the paper's size, hardly trained",
    "short": "for a GPU: the paper's size, 11 epochs of its 18,000 faces",
    "paper": "for a GPU: the paper's size, 150 epochs, as WFEN trains",
}


def markdown(heads: list[str], rows: list[list[str]]) -> str:
    """A table in Markdown."""
    return tabulate(rows, heads, tablefmt="github", disable_numparse=True)


@cache
def record(file: str) -> dict:
    """A sealed record by its file."""
    return read_record(RECORDS / file)


def measured(name: str, faces: str = "celeba_test") -> str:
    """The file of a network's record, by the name of its run or of its weights."""
    return f"{name}-{faces}-paper.json"


def mean(file: str, metric: str) -> float:
    return record(file)["means"][metric]["mean"]


def interval(mean: float, low: float, high: float) -> str:
    """A difference with its interval, as in a table."""
    return f"{mean:+.2f} [{low:+.2f}, {high:+.2f}]"


def listing(words: list[str]) -> str:
    """Words as `a, b and c`, or `none`."""
    return " and ".join([", ".join(words[:-1]), words[-1]] if len(words) > 1 else words or ["none"])


@cache
def cells(number: int) -> list[Cell]:
    """The cells of a table of the paper that records stand behind."""
    return [cell for cell in table(number, RECORDS).cells if cell.ours is not None]


def ablations(metric: str) -> list[Verdict]:
    """The verdicts on Tables I to VI in a metric."""
    return [verdict for verdict in verdicts(RECORDS) if verdict.metric == metric]


# README.md


def first_results() -> str:
    """Bicubic interpolation, AMINet and AMIGAN on CelebA faces."""
    metrics = ("psnr", "ssim", "lpips")
    rows = [["bicubic interpolation", *numbers(measured("pocket"), metrics, "bicubic_"), ""]]
    for network in ("AMINet", "AMIGAN"):
        file, label = measured(NETWORKS[network]), f"{network} (`{NETWORKS[network]}`)"
        rows.append([label, *numbers(file, metrics), interval(**record(file)["gain"]["psnr"])])
    pocket = record(measured("pocket"))
    faces, learnt = pocket["faces"], pocket["weights"]["data"]["train"]["images"]
    heads = ["", *(HEADS[metric] for metric in metrics), "PSNR over bicubic, 95 % over people"]
    return "\n".join([
        f"Measured on {faces['images']:,} CelebA faces of {len(set(faces['people']))} people. "
        "None of these pictures was trained on.",
        f"The networks have {pocket['config']['channels']} channels, the paper's {preset('aminet').channels}. "
        f"They learnt from {learnt:,} CelebA faces on two CPU cores, in one training each.", "", markdown(heads, rows)])


def reproduced() -> str:
    """What is reproduced and what is not, in a paragraph."""
    ours, paper = sizes()["aminet"], {row["row"]: row for row in published(10)}["AMINet"]
    params, macs = f"{ours['params'] / 1e6:.2f} M parameters", f"{ours['thop_macs'] / 1e9:.2f} G multiply-adds"
    met = match(ours["params"], paper["params_m"] + "M") and match(ours["thop_macs"], paper["macs_g"] + "G")
    quality, words = full_size(), [verdict.word for verdict in ablations("psnr")]
    every = verdicts(RECORDS)
    kept = [f"{one.row} in {one.metric.upper()}" for one in every if one.holm < CHANCE]
    others = {row["row"] for number in COMPARISONS for row in published(number)} - {"Bicubic", "AMINet", "AMINet-S"}
    done = [row for row, cell in compared().items() if row in others and cell.ours is not None]
    games = [cell for cell in table(8, RECORDS).cells if cell.metric == "psnr" and cell.ours is not None]
    held = "".join(f" ({one.row}: {one.mean:+.2f} dB)" for one in ablations("psnr") if one.word == "holds")
    points = [
        f"- **The size {'fits' if met else 'differs'}:** {params} (C is chosen for them), {macs}; "
        f"the paper: {paper['params_m']} M and {paper['macs_g']} G.",
        f"- **The quality is {'measured in part' if quality else 'pending'}.** "
        f"The paper reports {paper['psnr']} dB on 1,000 CelebA faces, whose list is unpublished. "
        f"{quality or 'The full network is not trained here yet.'} "
        "Our small networks have another split: compare differences with the paper's, never the PSNR itself.",
        f"- **The ablations are tried in small.** In PSNR {words.count('holds')} of {len(words)} measured "
        f"differences holds{held}, {words.count('reversed')} are reversed. "
        f"{words.count('cannot be told')} cannot be told from chance. "
        f"Corrected for all {len(every)} tests, " + (f"what holds is: {listing(kept)}." if kept else "nothing holds."),
        f"- **The compared methods** are written from their papers, {len(done)} of {len(others)} trained in small, "
        f"and {len(games)} of {len(published(8))} GANs. "
        f"{equal_starts()}"]
    return "\n".join(fill(point, 120, subsequent_indent="  ", break_on_hyphens=False) for point in points)


def full_size() -> str:
    """The longest training of AMINet at the paper's size, measured on CelebA faces; "" if there is none."""
    for scale in ("paper", "short", "gpu"):
        if files := sorted(path.name for path in RECORDS.glob(measured(f"aminet-{scale}-*"))):
            seen, psnr = record(files[0])["weights"]["images"], np.mean([mean(file, "psnr") for file in files])
            return f"Ours has {psnr:.2f} dB on other CelebA faces, after seeing {seen:,} (scale `{scale}`)."
    return ""


def scales() -> str:
    """The scales of runs.yaml."""
    rows = []
    for name, scale in listed()["scales"].items():
        config, seen = preset(scale["size"]), f"{scale['recipe']['images']:,}"
        if own := [f"`{network}` {values['images']:,}" for network, values in scale.get("own", {}).items()]:
            seen += f" ({', '.join(own)})"
        rows.append([f"`{name}`", f"C = {config.channels}, {bill(config)[''].params / 1e6:.2f} M", seen,
                     str(len(scale["seeds"])), SCALES[name]])
    return markdown(["scale", "size of AMINet", "faces seen", "seeds planned", "what it is"], rows)


def numbers(file: str, metrics, prefix: str = "") -> list[str]:
    return [f"{mean(file, prefix + metric):.{DIGITS[metric]}f}" for metric in metrics]


@cache
def sizes() -> dict[str, dict]:
    """Counts of every network at the paper's size, as `bench --all` recorded them."""
    return {row["network"]: row for row in record("speeds-aminet-cpu.json")["rows"]}


# RESULTS.md


def counts() -> str:
    """AMINet's parameters and multiply-adds beside those that the paper prints."""
    rows = []
    for number, row, network in COUNTED:
        ours, paper = sizes()[network], next(line for line in published(number) if line["row"] == row)
        macs = [paper["macs_g"], match(ours["thop_macs"], paper["macs_g"] + "G") or "no"] if number == 10 else ["", ""]
        rows.append([ROMAN[number], row, f"{ours['params'] / 1e6:.3f}", paper["params_m"],
                     match(ours["params"], paper["params_m"] + "M") or "no", f"{ours['macs'] / 1e9:.2f}",
                     f"{ours['thop_macs'] / 1e9:.2f}", *macs])
    heads = ["Table", "row", "parameters, M", "paper's", "match", "MACs, G", "by thop", "paper's", "match"]
    return markdown(heads, rows)


def pocket_networks() -> str:
    """How the weights of scale pocket were made."""
    rows = []
    for network, weights in NETWORKS.items():
        header = json.loads((ROOT / "data" / "weights" / f"{weights}.json").read_text())
        log = (RECORDS / f"{weights}-train.jsonl").read_text().splitlines()
        start = header.get("start", {}).get("name", "").removesuffix(".safetensors")
        config = preset(header["preset"] if header["preset"] != "amigan" else header["start"]["preset"])
        rows.append([network, f"`{weights}`", str(config.channels), f"{bill(config)[''].params / 1e6:.2f}",
                     f"`{start}`" if start else "none", f"{header['images']:,}",
                     f"{json.loads(log[-1])['seconds'] / 60:.0f}"])
    return markdown(["network", "weights", "channels", "parameters, M", "starts from", "faces seen", "minutes"], rows)


def pocket_results() -> str:
    """The weights of scale pocket on three test sets."""
    rows = []
    for faces in SETS:
        for network, weights in NETWORKS.items():
            file = measured(weights, faces)
            if network == "AMINet":
                rows.append([faces, "bicubic", *numbers(file, HEADS, "bicubic_"), ""])
            rows.append(["", f"{network} `{weights}`", *numbers(file, HEADS), interval(**record(file)["gain"]["psnr"])])
    return markdown(["test set", "network", *HEADS.values(), "PSNR over bicubic, 95 %"], rows)


def shape() -> str:
    """Fig. 9 in numbers: how much of a face's shape is kept, as far as the records have it."""
    names = {weights: name for name, weights in NETWORKS.items()}
    for spec in runs("mini"):
        if rows := [row for number, row in spec.rows if number in (7, 8, 10)] if not (spec.seed or spec.block) else []:
            names[spec.name] = rows[0].removesuffix(" (Ours)")

    def of(file: str, prefix: str = "") -> list[str]:
        return [f"{mean(file, prefix + metric):.{digits}f}" for metric, digits in (
            ("iou", 3), ("iou_hair", 3), ("iou_nose", 3), ("nme", 2), ("pose", 2))]

    rows = []
    for faces in ("celeba_test", "flickr_test"):
        files = {f"{name} `{weights}`": measured(weights, faces) for weights, name in names.items()}
        rows += [[faces, "bicubic", *of(measured("pocket", faces), "bicubic_")], *(
            [faces, name, *of(file)] for name, file in files.items()
            if "iou" in evaluation_at(RECORDS / file).get("means", ()))]
    blurred = record("parsing-bisenet.json")["blurred"]
    worst = blurred["rows"][-1]
    note = ('A low IoU may say "blurred" rather than "another shape". '
            f"{blurred['faces']['images']} original faces, blurred by a Gaussian of {worst['sigma']} pixels, have a "
            f"mean IoU of {worst['iou']:.2f} with themselves: BiSeNet calls {worst['background']:.0%} of their pixels "
            "background.")
    return markdown(["faces", "restored by", "mean IoU of the parts", "of the hair", "of the nose",
                     "landmark error (NME), %", "turn of the head, degrees"], rows) + "\n\n" + fill(note, 120)


def test_sets() -> str:
    """The test sets: how many faces of how many people."""
    rows = []
    for name, what in SETS.items():
        faces = record(measured("pocket", name))["faces"]
        people = f"{len(set(faces['people'])):,}" if faces.get("people") else "unknown: each counts by itself"
        rows.append([f"`{name}`", what, f"{faces['images']:,}", people])
    return markdown(["test set", "what", "faces", "people"], rows)


def ablation_table() -> str:
    """Tables I to VI in PSNR: each row minus the paper's own."""
    rows = [[ROMAN[one.number], f"{one.row} - ({one.reference})", f"{one.published:+.2f}",
             f"{one.mean:+.2f} ± {one.half:.2f}", f"{one.paired:.2g}", f"{one.welch:.2g}", f"{one.holm:.2g}", one.word]
            for one in ablations("psnr")]
    return markdown(["Table", "difference in PSNR", "paper's, dB", "ours, dB [95 %, Student]", "p, paired", "p, Welch",
                     "p, Holm", "the paper's difference"], rows)


def ablation_verdict() -> str:
    """What the trainings decide of Tables I to VI in all metrics, and how many tests that took."""
    every, lines = verdicts(RECORDS), []
    for metric in ("psnr", "ssim"):
        rows = ablations(metric)
        lines.append(f"- {metric.upper()}, {len(rows)} differences:")
        for word in ("holds", "reversed"):
            named = [f"{one.row} ({one.mean:+.{DIGITS[metric]}f})" for one in rows if one.word == word]
            lines.append(f"  - {word}: {listing(named)}.")
        half = [f"{one.row} (paired {one.paired:.2g}, Welch {one.welch:.2g})" for one in rows
                if one.support in ("paired", "Welch")]
        lines.append(f"  - found by one of the two tests alone, so it cannot be told: {listing(half)}.")
    kept = [f"{one.row} in {one.metric.upper()}" for one in every if one.holm < CHANCE]
    found, both = (sum(max(p) < CHANCE for p in some) for some in (
        [(one.paired,) for one in every], [(one.paired, one.welch) for one in every]))
    trainings, scales = ({str(len(one.each)) for one in every}, {one.scale for one in every})
    metrics = ", ".join(f"{name.upper()} {len(ablations(name))}" for name in dict.fromkeys(one.metric for one in every))
    lines += [f"- The pool: {len(every)} tests ({metrics}). {found} have a paired p below {CHANCE}, {both} "
              f"both; chance alone gives about {CHANCE * len(every):.0f} of the paired ones.",
              "  - Tests share trainings: they are not independent.",
              f"  - After Holm's correction for all of them: {listing(kept)}.",
              f"- All are of scale `{listing(sorted(scales))}`, with {listing(sorted(trainings))} trainings a row."]
    sure = [one for one in ablations("psnr") if one.word == "holds" and isinstance(network(one), AMINetConfig)]
    if sure:
        one = min(sure, key=lambda one: one.paired)
        full = preset(listed()["scales"][one.scale]["size"])
        part = 1 - bill(network(one))[""].params / bill(full)[""].params
        lines.append(f"  {one.row} has {100 * abs(part):.0f} % {'fewer' if part > 0 else 'more'} parameters there.")
    return "\n".join(lines)


def network(row: Verdict) -> Config:
    """The configuration of the network behind a row."""
    return read_config(record(row.records[0])["config"])


def reading_table() -> str:
    """What the paper leaves open, against our default."""
    by_metric = {metric: [one for one in readings(RECORDS) if one.metric == metric] for metric in ("psnr", "ssim")}
    rows = [[psnr.row, f"{psnr.mean:+.2f} ± {psnr.half:.2f}", f"{psnr.paired:.2g}", f"{psnr.welch:.2g}",
             f"{psnr.holm:.2g}", " ".join(f"{gap:+.2f}" for gap in psnr.each), f"{ssim.mean:+.4f} ± {ssim.half:.4f}"]
            for psnr, ssim in zip(*by_metric.values())]
    return markdown(["interpretation", "PSNR - default's, dB [95 %, Student]", "p, paired", "p, Welch", "p, Holm",
                     "each training", "SSIM - default's"], rows)


def reading_verdict() -> str:
    """What the trainings decide of the readings."""
    lines, every = [], readings(RECORDS)
    for metric in ("psnr", "ssim"):
        rows = [one for one in every if one.metric == metric]
        both, half = ([f"{one.row} ({'better' if one.mean > 0 else 'worse'}, paired {one.paired:.2g}, Welch "
                       f"{one.welch:.2g})" for one in rows if one.support in supports]
                      for supports in (("both",), ("paired", "Welch")))
        lines += [f"- {metric.upper()}: decided by both tests, {len(both)} of {len(rows)}: {listing(both)}.",
                  f"  Found by one test alone: {listing(half)}."]
    kept = [f"{one.row} in {one.metric.upper()}" for one in every if one.holm < CHANCE]
    return "\n".join([*lines, f"- After Holm's correction for {len(every)} tests: {listing(kept)}."])


def compared(block: str = "") -> dict[str, Cell]:
    """The methods of Table VII and of Table X in PSNR on CelebA faces, by row."""
    cells = [cell for number in COMPARISONS for cell in both_blocks(number)
             if cell.metric == "psnr" and cell.faces == "CelebA" and cell.block == block]
    return {cell.row: cell for cell in reversed(cells)}  # Table VII's, where both have the row


@cache
def both_blocks(number: int) -> list[Cell]:
    """The cells of a table, with the methods' own start and from bicubic."""
    whole = table(number, RECORDS)
    return [*whole.cells, *whole.from_bicubic]


def comparison() -> str:
    """The compared methods on CelebA faces, best first: with their own start, and from bicubic."""
    ours, second, rows = compared(), compared(FROM_BICUBIC), []
    measured = {row: cell for row, cell in ours.items() if cell.ours is not None}
    for row, cell in sorted(measured.items(), key=lambda item: -item[1].ours):
        prefix, other = ("bicubic_" if row == "Bicubic" else ""), second.get(row)
        lpips = np.mean([mean(file, f"{prefix}lpips") for file in cell.records])
        fair = ["", "", "", ""] if prefix else ["pending", "", "", ""]
        if other and other.ours is not None:
            fair = [f"{other.ours:.2f}", gap(other), step_size(other), str(len(other.seeds))]
        plus = "" if prefix else "+" * adds(row)
        rows.append([row, plus, f"{cell.ours:.2f}", gap(cell), f"{lpips:.4f}", str(len(cell.seeds) or ""), *fair,
                     cell.published])
    heads = ["method", "adds the face", "own start: PSNR, dB", "- AMINet's", "LPIPS", "trainings",
             "from bicubic: PSNR, dB", "- AMINet's", "step size", "trainings", "paper's PSNR"]
    return f"{markdown(heads, rows)}\n\n{places()}"


def places() -> str:
    """AMINet's place in each metric of Table VII, from bicubic."""
    others = [cell for cell in table(7, RECORDS).from_bicubic if cell.faces == "CelebA" and cell.difference is not None]
    found = [[cell.difference * (1 if column.higher else -1) > 0 for cell in others if cell.metric == name]
             for name, column in COLUMNS.items()]
    words = [f"{sum(better) + 1} in {column.name.split(',')[0]}"
             for better, column in zip(found, COLUMNS.values()) if better]
    every = {row: cell.ours for row, cell in compared(FROM_BICUBIC).items()
             if cell.ours is not None and row != "Bicubic"}
    better = sum(value > every["AMINet"] for value in every.values())
    return (f"From bicubic AMINet's place among {len(found[0]) + 1} of Table VII is {listing(words)}. "
            f"With Table X's methods it is {better + 1} of {len(every)} in PSNR.")


@cache
def adds(row: str) -> bool:
    """Whether a method's output adds the enlarged LR face by its own design."""
    return adds_face(next(spec for spec in runs("smoke") if {(7, row), (10, row)} & set(spec.rows)).config)


def equal_starts() -> str:
    """What each method gains in PSNR from the bicubic face, how far they lie apart in both blocks, and the best."""
    own, fair = ({row: cell for row, cell in compared(block).items() if cell.ours is not None and row != "Bicubic"}
                 for block in ("", FROM_BICUBIC))
    both = own.keys() & fair.keys()
    gains = {row: fair[row].ours - own[row].ours for row in both}
    drawing = [gains[row] for row in both if not adds(row)]
    if len(both) < 5 or not drawing:
        return "The comparison from equal starts is pending."
    best = max((fair[row] for row in both), key=lambda cell: cell.ours)
    before, after = (np.ptp([block[row].ours for row in both if not adds(row)]) for block in (own, fair))
    start = f" (own start: {own[best.row].ours:.2f})" if best.row in own else ""
    chance = best.difference is not None and abs(best.difference) < half_width(best)
    return "\n".join([
        f"The {len(drawing)} methods that draw the whole face gain {min(drawing):.2f} to {max(drawing):.2f} dB of PSNR "
        "when they start from bicubic.",
        f"Then they differ by {after:.2f} dB at most, before by {before:.2f}.",
        f"{best.row} is best, with {best.ours:.2f} dB{start}{f', {gap(best)} to AMINet' if best.reference else ''}"
        f"{', within chance' * chance}."])


def gap(cell: Cell) -> str:
    """A cell minus AMINet's, with half of the 95 % interval over trainings."""
    return "" if cell.difference is None else f"{cell.difference:+.2f} ± {half_width(cell):.2f}"


def half_width(cell: Cell) -> float:
    """Student's, where both have three trainings or more; else that of both methods' spread being AMINet's."""
    trainings, others = len(cell.seeds), len(compared(cell.block)["AMINet"].seeds)
    if min(trainings, others) > 2:
        return (cell.difference_high - cell.difference_low) / 2
    own = student_interval([mean(file, "psnr") for file in compared()["AMINet"].records])
    luck = 1 / others + (1 / trainings if trainings else 0)  # bicubic interpolation has none
    return (own["high"] - own["mean"]) * (len(compared()["AMINet"].records) * luck) ** 0.5


def step_size(cell: Cell) -> str:
    """The step size that validation chose for each training of a cell."""
    return " ".join(f"{record(file)['weights']['recipe']['lr']:g}" for file in cell.records)


def second_looks() -> str:
    """The first looks of networks that were changed later, from the withdrawn records, and the second looks."""
    rows = []
    for path in sorted((RECORDS / "withdrawn").glob("*-celeba_test-paper.json")):
        if not (before := evaluation_at(path).get("means", {}).get("psnr")):
            continue  # of another kind
        again = f"{mean(path.name, 'psnr'):.2f}" if (RECORDS / path.name).exists() else "pending"
        rows.append([path.name.split("-mini")[0], f"{before['mean']:.2f}", again])
    return markdown(["run", "first look, dB", "second look, dB"], rows)


def without_weights() -> str:
    """The runs with records but without committed weights, by network, and how long one training takes."""
    rows: dict[str, list[RunSpec]] = {}
    for spec in runs("mini"):
        if not (ROOT / "data" / "weights" / f"{spec.name}.safetensors").exists():
            if list(RECORDS.glob(f"{spec.name}-*-paper.json")):
                rows.setdefault(spec.name.removesuffix(f"-mini-{spec.seed}"), []).append(spec)
    table = []
    for name, specs in rows.items():
        files = [path.name for spec in specs for path in RECORDS.glob(f"{spec.name}-celeba_test-paper.json")]
        minutes = [value for file in files if (value := record(file)["weights"].get("minutes"))]
        table.append([name, " ".join(str(spec.seed) for spec in specs),
                      f"{np.median(minutes):.0f}" if minutes else "not noted"])
    return markdown(["run", "seeds", "minutes of one training"], table)


def gans() -> str:
    """Table VIII by FID: after the games, and the generators before them."""
    games = sorted((cell for cell in cells(8) if cell.metric == "fid"), key=lambda cell: cell.ours or 0)
    rows, after, before = [], {}, {}
    for cell in games:
        name = cell.records[0].split("-flickr")[0]
        start = next(spec.start for spec in runs() if spec.name == name)
        gan = cell.row.split()[0]
        after[gan], before[gan] = mean(cell.records[0], "fid"), mean(measured(start, "flickr_test"), "fid")
        rows.append([gan, f"{after[gan]:.1f}", f"{before[gan]:.1f}", cell.published])
    bicubic = mean(measured(NETWORKS["AMINet"], "flickr_test"), "bicubic_fid")
    best = min(after, key=after.__getitem__)
    images = listed()["scales"][games[0].scale]["gan"]["images"]
    return "\n".join([
        f"{len(rows)} of {len(published(8))} GANs are measured. {best} has the lowest FID, {after[best]:.1f}. "
        f"Its generator has {before[best]:.1f} before the game, bicubic interpolation {bicubic:.1f}.",
        f"Each game has {images:,} pictures, at scale `{games[0].scale}`.", "",
        markdown(["GAN", "FID after the game", "its generator before", "paper's FID on Helen"], rows)])


def recognition() -> str:
    """Table IX on video faces: the probes as they came, bicubic, our best weights, and the methods in small."""
    files = {f"{name} `{weights}`": measured(weights, "video_probe") for name, weights in NETWORKS.items()}
    small = sorted({cell.records[0] for cell in cells(9) if cell.metric == "cosine" and cell.row not in PREFIX},
                   key=lambda file: -mean(file, "cosine"))
    files |= {f"{next(cell.row for cell in cells(9) if cell.records == (file,))} `mini`": file for file in small}
    first, scores = next(iter(files.values())), ("cosine", "impostors", "rank1", "verified")

    def of(file: str, prefix: str = "") -> list[str]:
        return [f"{mean(file, prefix + score):.{COLUMNS[score].digits - (score[0] in 'ci')}f}" for score in scores]

    gains = {name: record(file)["gain"]["cosine"] for name, file in files.items()}
    rows = [["as it came", *of(first, "original_"), ""], ["bicubic", *of(first, "bicubic_"), ""]]
    rows += [[name, *of(file), "{mean:+.3f} [{low:+.3f}, {high:+.3f}]".format(**gains[name])]
             for name, file in files.items()]
    above, below = ([name for name, gain in gains.items() if sign * gain[end] > 0]
                    for sign, end in ((1, "low"), (-1, "high")))
    decided = [name for name, file in files.items()
               if any(record(file)["gain"][score]["low"] > 0 for score in ("rank1", "verified"))]
    faces = record(first)["faces"]
    return "\n".join([
        f"{faces['images']} video faces of {len(set(faces['people']))} people, reduced to 16x16 and restored.",
        f"In cosine {len(above)} of {len(gains)} networks are above bicubic ({listing(above)}): their intervals leave "
        f"zero out. If none helped, one or more of {len(gains)} independent ones would be above with a probability of "
        f"{1 - 0.975 ** len(gains):.2f}.",
        f"{len(below)} are below bicubic ({listing(below)}). In rank-1 or verified, above bicubic: "
        f"{listing(decided)}.", "",
        markdown(["restored by", "cosine", "to other people", "rank-1, %", "verified, %",
                  "cosine over bicubic, 95 % over people"], rows)])


def limits() -> str:
    """Where AMINet's gain over bicubic goes as the picture gets worse (Sec. V)."""
    file, rows = "limits-pocket-celeba_test.json", []
    for row in breaks(record(file)):
        levels = record(file)["stresses"][row["stress"]]["rows"]
        ends = (one["gain"]["psnr"] for one in (levels[0], levels[-1]))
        parts = [f"{one['means']['iou']['mean']:.2f}" for one in (levels[0], levels[-1])]
        rows.append([row["stress"], f"{levels[-1]['level']:g} ({row['unit']})", *(interval(**one) for one in ends),
                     *parts, *("" if row[key] is None else f"{row[key]:.2g}" for key in ("halved", "gone", "other"))])
    drawn = record("limits-pocket-synthetic_40_2.json")
    yaw, skin = (drawn["stresses"][name]["rows"][-1] for name in ("yaw", "skin"))
    photographs = record("limits-pocket-celeba_test+flickr_test.json")
    names = ["aminet-mini-0", *(f"aminet-robust-mini-{seed}" for seed in range(3))]
    cameras = [record(f"limits-{name}-celeba_test.json") for name in names]
    poor = [[name, f"{clean['level']:g}", *(interval(**row["gain"]["psnr"]) for row in (clean, first)),
             ", ".join(f"{row['gain']['psnr']['mean']:+.2f}" for row in others)] for name in cameras[0]["stresses"]
            for clean, first, *others in zip(*(camera["stresses"][name]["rows"] for camera in cameras))]
    clean, both = ([mean(measured(f"{name}-mini-{seed}"), "psnr") for seed in range(3)]
                   for name in ("aminet", "aminet-robust"))
    cost = student_interval(np.subtract(both, clean))
    gains = [record(measured(name, "video_probe"))["gain"] for name in names]
    without, *cosine = [interval(**gain["cosine"]) for gain in gains]
    verified = [interval(**gain["verified"]) for gain in gains[1:]]

    def changed(row: dict) -> str:
        dB, lpips, iou = (interval(**row["gain_change"][metric]) for metric in ("psnr", "lpips", "iou"))
        return f"the gain over bicubic changes by {dB} dB, in LPIPS (less is better) by {lpips}, in mean IoU by {iou}"

    far = sum(row["images"] for row in photographs["stresses"]["turn"]["rows"] if row["level"] >= 45)
    return "\n".join([
        f"AMINet `pocket` on {record(file)['faces']['measured']} CelebA faces, the same at every level.", "",
        markdown(["stress", "last level", "gain over bicubic without it, dB", "at the last level, dB",
                  "mean IoU without it", "at the last level", "gain halved at", "gone at",
                  f"identity {FALL} lower at"], rows), "",
        f"On {drawn['faces']['measured']} drawn faces:", "",
        f"- Turned by {yaw['level']:g} degrees: {changed(yaw)}. Of {photographs['faces']['images']:,} photographs "
        f"{far} is turned by 45 degrees or more, so there is no number for profiles.",
        f"- Dark skin against light, of the same people: {changed(skin)}. PSNR itself changes by "
        f"{interval(**skin['change']['psnr'])} dB, and bicubic's with it, for a dark picture has smaller errors.", "",
        "**Trained on poor cameras, too** (`train --robust`; AMINet `mini`, three trainings). On "
        f"{record(measured(names[0]))['faces']['images']:,} clean faces the PSNR changes by {interval(**cost)} dB "
        f"over trainings. On the video faces the cosine over bicubic is {listing(cosine)}; without poor cameras "
        f"{without}. *Verified*, in points over bicubic: {listing(verified)}. The gain in dB, on "
        f"{cameras[0]['faces']['measured']} clean faces made poor:", "",
        markdown(["stress", "level", "trained on clean pictures", "on poor ones, too", "its other trainings"], poor)])


def speed() -> str:
    """`bench` of AMINet at the paper's size on a CPU."""
    bench = record("bench-aminet-cpu.json")
    rows = [[f"{row['task']}, batch {row['batch']}", row["name"], f"{1e3 * row['seconds']:.0f}", f"{row['ratio']:.2f}",
             f"{100 * row['of_peak']:.0f} %", f"{row['memory'] / 1e6:.0f}",
             f"{row['max_error']:.0e}" if row.get("max_error") else ""]
            for row in bench["rows"] if row["task"] != "modules"]
    one_face = [row for row in bench["rows"] if row["task"] == "inference" and row["batch"] == 1]
    exact, best = (max(row["ratio"] for row in one_face if ("bf16" in row["name"]) == bf16) for bf16 in (False, True))
    fastest = max(row["batch"] / row["seconds"] for row in bench["rows"] if row["task"] == "training")
    host, limits = bench["machine"], {name: f"{value / 1e9:.0f}" for name, value in bench["limits"].items()}
    return "\n".join([
        markdown(["task", "way", "ms", "ratio", "of the measured peak", "MB", "largest error"], rows), "",
        f"The machine: {host['cores']} cores of a shared {host['cpu']}, PyTorch {host['versions']['torch']}.",
        f"Its peak is {limits['fp32']} GFLOP/s in fp32 and {limits['bf16']} in bf16.",
        f"On one face, bf16 with compilation reaches {best:.2f} times the eager speed, compiled fp32 {exact:.2f}.",
        f"The data pipeline feeds {bench['data_images_per_second'] / fastest:.0f} times what training takes."])


def export() -> str:
    """`export` of the pocket weights on a CPU."""
    names = {"torch": "`pocket`, torch eager", "torch faster": "`aminet.deploy.fast.faster`", "onnx": "ONNX Runtime",
             "onnx fp16": "ONNX Runtime, fp16", "onnx int8": "ONNX Runtime, int8 convolutions, static",
             "onnx int8 dynamic": "ONNX Runtime, int8 convolutions, dynamic"}
    found = record("export-pocket-cpu.json")
    rows = [[names[row["network"]], f"{row['bytes'] / 1e6:.1f}", *(f"{1e3 * row['threads'][n]:.0f}" for n in "12"),
             f"{row['ratio']:.2f}", f"{row['memory'] / 1e6:.0f}",
             f"{row['max_error']:.0e}" if row["max_error"] else "", f"{round(row['psnr_cost'], 3) + 0.0:.3f}",
             f"{round(row['lpips_cost'], 4) + 0.0:.4f}"] for row in found["rows"]]
    host, (total, *parts) = found["machine"], found["int8_costs"]
    parts.sort(key=lambda part: -part["error"])
    kinds = [[part["kind"], part["convolutions"], f"{127.5 * part['error']:.2f}", f"{part['psnr_cost']:.4f}"]
             for part in (total, *parts)]
    return "\n".join([
        markdown(["one face", "file, MB", "ms, 1 thread", "2 threads", "ratio", "memory, MB", "largest error",
                  "costs in PSNR, dB", "in LPIPS"], rows), "",
        f"The machine: {host['cores']} cores of a shared {host['cpu']}. Ratios are with two threads. Quality is "
        f"measured on {found['examined']} validation faces. Where the error of static int8 comes from:", "",
        markdown(["int8 in", "convolutions", "RMS error, levels of 255", "costs in PSNR, dB"], kinds)])


# aminet/baselines/README.md


def methods() -> str:
    """The compared methods with their counts beside the authors'."""
    runs_of = {spec.preset: spec.network for spec in runs("paper") if not spec.start}
    rows = []
    for line in read_csv("authors.csv"):
        name = f"aminet/{line['file']}"
        ours, config = sizes()[runs_of[name]], preset(name)
        rows.append([f"[`{line['file']}.py`]({line['file']}.py)", line["method"],
                     "enlarged face" if config.enlarged else "LR face", f"{ours['params'] / 1e6:.2f}", line["params_m"],
                     f"{ours['macs'] / 1e9:.2f}", line["macs_g"], f"{ours['thop_macs'] / 1e9:.2f}",
                     f"equal to {line['equal']}" if line["equal"] else line["note"]])
    heads = ["file", "method", "takes", "parameters, M", "authors'", "MACs, G", "authors'", "by thop", "public code"]
    return markdown(heads, rows)


BLOCKS = {name.__name__.replace("_", "-"): name for name in (
    first_results, reproduced, scales, counts, pocket_networks, pocket_results, shape, test_sets, ablation_table,
    ablation_verdict, reading_table, reading_verdict, comparison, equal_starts,
    second_looks, without_weights, gans, recognition, limits, speed, export, methods)}


def filled(text: str) -> str:
    """A page with its generated blocks written anew."""
    def block(match: re.Match) -> str:
        return f"<!-- begin {match[1]} -->\n\n{BLOCKS[match[1]]()}\n\n<!-- end {match[1]} -->"
    return re.sub(r"<!-- begin ([\w-]+) -->.*?<!-- end \1 -->", block, text, flags=re.S)


def main() -> None:
    for page in PAGES:
        path = ROOT / page
        before = path.read_text(encoding="utf-8")
        after = filled(before)
        path.write_text(after, encoding="utf-8")
        print(f"{page}: {'as it was' if after == before else 'written'}")


if __name__ == "__main__":
    main()
