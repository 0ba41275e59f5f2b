"""The command line: `python -m aminet COMMAND`, `--help` names the commands. Bad input exits with 2, Ctrl-C with 130.

By argparse: `--help` takes 0.1 s. tyro, which reads dataclasses, takes 0.3 s, and our recipes import torch (2 s).
"""
from __future__ import annotations

import os
import signal

if __name__ == "__main__" and signal.getsignal(signal.SIGINT) is not signal.SIG_IGN:
    signal.signal(signal.SIGINT, lambda *_: os._exit(130))  # until `stop` is there, Ctrl-C shows no traceback

import argparse
import io
import json
import re
import sys
import time
import warnings
from contextlib import suppress
from dataclasses import asdict
from pathlib import Path
from typing import Any

from . import __version__
from .errors import BadInput, printable
from .files import advice, check_outputs, record_name


def positive(kind: type):
    """An argparse type: a number above zero."""
    def convert(text: str):
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value
    convert.__name__ = "positive number"
    return convert


class Parser(argparse.ArgumentParser):
    """One line on what is wrong, as for any other bad input."""

    def error(self, message: str):
        self.exit(2, f"{self.prog}: {printable(message)}; python -m {self.prog} --help says more\n")


def parser() -> argparse.ArgumentParser:
    root = Parser(prog="aminet", description="AMINet for face super-resolution, 16x16 -> 128x128.")
    root.add_argument("--version", action="version", version=__version__)
    commands = root.add_subparsers(dest="command", required=True)

    p = commands.add_parser("ledger", help="parameters and MACs of every preset and ablation, against the paper's")
    p.add_argument("names", metavar="NAME", nargs="*", default=(), help="only these, for example aminet 'w/o SA'")
    p.add_argument("--json", action="store_true", help="a list of objects instead of a table")

    p = commands.add_parser("data", help="look at face sets").add_subparsers(dest="action", required=True)
    p = p.add_parser("check", help="count, sizes, bad files, duplicates, and leakage between the given sets")
    p.add_argument("paths", nargs="+", metavar="PATH", help="folder or zip of face images; exits with 1 if a file is "
                   "bad or an image is in two of them; a link to a folder is listed, not followed")
    p.add_argument("--json", action="store_true", help="the whole report as JSON")

    p = commands.add_parser("train", help="train a network")
    p.add_argument("preset", metavar="PRESET", help="aminet, aminet-s, aminet-8c, aminet-c32, pocket, pocket-s, or "
                   "PRESET/ROW for a row of Tables I to V, for example 'pocket/w/o SA'; PRESET/METHOD for a compared "
                   "one, for example pocket/rcan, or from the bicubic face pocket/rcan+from_bicubic; or with --start "
                   "amigan, fsrgan, dicgan, spargan or sfmgan")
    p.add_argument("--faces", nargs="+", default=["synthetic:100"], help="folders or zips (also looked for in "
                   "$AMINET_FACES), celeba:ROOT:PART, celeba-identity:ROOT:PART, helen:ROOT:PART, "
                   "scface:ROOT:PART, or synthetic[:N[:SEED]]: N drawn faces, 500 if left out, only to try the "
                   "program (synthetic:100)")
    p.add_argument("--val", nargs="+", default=["synthetic:64:1"], help="the same, to choose the weights on (drawn "
                   "faces, too: give real ones with real --faces)")
    p.add_argument("--out", required=True, help="folder of the run: its weights will be OUT/best.safetensors")
    p.add_argument("--images", type=positive(int), help="the length of the run in images; this or --minutes is needed")
    p.add_argument("--minutes", type=positive(float), help="the length of the run in minutes, reading, validation and "
                   "saving in them; beside --images: end this call after so many, --resume continues")
    p.add_argument("--batch", type=positive(int), default=32, help="over all processes (32)")
    p.add_argument("--lr", type=positive(float), help="Adam's step size: 2e-4, and 1e-4 for AMIGAN's generator")
    p.add_argument("--schedule", choices=("constant", "cosine"), default="constant", help="cosine falls to zero at "
                   "the end of --images or --minutes (constant)")
    p.add_argument("--warmup", type=float, help="part of the run in which the step size first rises (0.02 of "
                   "--minutes with cosine, else 0)")
    p.add_argument("--ema", type=float, default=0.0, help="decay of averaged weights, for example 0.999; 0: none (0)")
    p.add_argument("--robust", action="store_true", help="learn from poor cameras, too: blur, noise and JPEG at random")
    p.add_argument("--val-every", type=positive(int), default=5000, help="images between validations (5000); a run in "
                   "minutes is validated at each quarter, if that costs little")
    p.add_argument("--seed", type=int, default=0, help="of the first weights, the order and the augmentation (0)")
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    p.add_argument("--compile", action="store_true", help="torch.compile where it pays: a minute or two at the start")
    p.add_argument("--half", action="store_true", help="save the weights in 16 bits")
    p.add_argument("--start", help="weights to start from: a file, a run's folder, or ours, for example pocket; of the "
                   "same network, or for a GAN its generator's")
    p.add_argument("--resume", action="store_true", help="continue the run in --out")
    p.add_argument("--skip-bad", action="store_true", help="leave out files that are no image, and count them")

    p = p.add_argument_group("GANs (Eqs. 18 to 22); what is left out is AMIGAN's, or the compared GAN's own")
    p.add_argument("--d-lr", type=positive(float), help="the discriminator's step size (4e-4)")
    p.add_argument("--pixel", type=float, help="weight of the pixel loss (1)")
    p.add_argument("--perceptual", type=float, help="weight of VGG19's perceptual loss (0.01); 0 needs no VGG19")
    p.add_argument("--adversarial", type=float, help="weight of the adversarial loss (0.01)")
    p.add_argument("--loss", choices=("vanilla", "hinge"), help="adversarial losses: as printed, or hinge (vanilla)")
    p.add_argument("--width", type=positive(int), help="the discriminator's channels at 128x128 (64)")
    p.add_argument("--norm", choices=("spectral", "batch", "none"), help="of the discriminator (batch)")
    p.add_argument("--r1", type=float, help="weight of the R1 penalty (0)")
    p.add_argument("--choose", choices=("lpips", "psnr"), help="what picks the weights on validation (lpips)")

    p = commands.add_parser("evaluate", help="measure weights on faces and write a record",
                            formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("weights", metavar="WEIGHTS", help="a .safetensors file, a run's folder, or one of ours, as pocket")
    p.add_argument("--faces", nargs="+", default=["synthetic:100:2"], help="as in train")
    p.add_argument("--protocol", default="paper", help="paper, dic or rgb")
    p.add_argument("--metrics", nargs="+", default=["psnr", "ssim"], help="from psnr, ssim, vif (steerable pyramid), "
                   "vifp (pixel domain, another metric), lpips, identity (ArcFace's cosine), iou (of parsings), nme "
                   "(of landmarks), pose (degrees) and fid; those that an existing record lacks are added to it")
    p.add_argument("--gallery", nargs="+", help="pictures of known people: --faces are then probes, and recognised "
                   "(Table IX), instead of --metrics; a manifest.csv names the people of both")
    p.add_argument("--records", default="data/records", help="folder for the record")
    p.add_argument("--overwrite", action="store_true", help="measure again; the first look's time is kept")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the network runs")
    p.add_argument("--json", action="store_true", help="print the means as JSON")
    p.add_argument("--skip-bad", action="store_true", help="leave out files that are no image, and count them")

    p = commands.add_parser("limits", help="measure where a network fails: turned, dark, blurred, moved faces ...",
                            formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("weights", metavar="WEIGHTS", help="as in evaluate")
    p.add_argument("--faces", nargs="+", default=["synthetic:8:2"], help="as in train")
    p.add_argument("--stress", nargs="+", metavar="NAME", help="only these of drawn faces: yaw, light, strength, skin; "
                   "of all: dark, bright, blur, noise, jpeg, shift, roll, smaller, larger; and if asked for, turn, "
                   "which sorts photographs by their yaw")
    p.add_argument("--images", type=positive(int), help="take so many files, by a fixed seed; for turn, at each level")
    p.add_argument("--metrics", nargs="+", help="as in evaluate, of an image, psnr among them (without it psnr, lpips "
                   "and identity, as far as their networks are at hand)")
    p.add_argument("--records", help="folder for the record")
    p.add_argument("--overwrite", action="store_true", help="replace a record that is there")
    p.add_argument("--json", action="store_true", help="the record as JSON")

    p = commands.add_parser("table", help="a table of the paper, published against ours")
    p.add_argument("number", metavar="N", help="1 to 10, or I to X")
    p.add_argument("--records", help="folder of the records (the course's, data/records)")
    p.add_argument("--protocol", default="paper", help="of our numbers: paper, dic or rgb (paper)")
    p = p.add_mutually_exclusive_group()
    p.add_argument("--json", action="store_true", help="everything as JSON")
    p.add_argument("--csv", action="store_true", help="a line for each row and metric as CSV")
    p.add_argument("--markdown", action="store_true", help="the same as text, as Markdown for GitHub")

    p = commands.add_parser("upscale", help="restore every face of a photograph, of several, or of a folder",
                            description="Finds every face, draws it anew from 16x16 pixels, and pastes it back. Faces "
                            "that show more than that are left as they are. Ends with 0 if every picture has a result, "
                            "else with 2; a picture without a face has none.")
    p.add_argument("sources", metavar="IN", nargs="+", help="pictures, or folders of them (not their subfolders); a "
                   "16x16 picture is taken as an aligned face")
    p.add_argument("target", metavar="OUT", help="a picture's name for one IN, else a folder: results keep their "
                   "names, as PNG. NAME_faces.png beside each shows its faces before and after")
    p.add_argument("--aligned", action="store_true", help="every IN is one upright face, of any size")
    p.add_argument("--faces-only", action="store_true", help="only the faces, 128x128, as NAME_1.png and so on")
    p.add_argument("--scale", type=int, choices=(1, 2, 4, 8), default=1, help="enlarge the photograph first, by "
                   "bicubic (1): a face of 16 px shows its detail only with 8")
    p.add_argument("--demo", action="store_true", help="shrink large faces to 16x16, too, and draw them anew")
    p.add_argument("--overwrite", action="store_true", help="replace files that are there")
    p = p.add_mutually_exclusive_group()
    p.add_argument("--weights", default="pocket",
                   help="a .safetensors file, or the name of ours (default: pocket; pocket-gan is sharper)")
    p.add_argument("--onnx", metavar="FILE", help="a network of `export` instead: needs NumPy, Pillow, OpenCV, "
                   "PyYAML and ONNX Runtime, and no torch")

    p = commands.add_parser("export", help="write a network as an ONNX file, and compare it with torch",
                            formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("weights", metavar="WEIGHTS", help="as in evaluate")
    p.add_argument("target", metavar="OUT", help="an .onnx file")
    p.add_argument("--precision", choices=("fp32", "fp16", "int8", "int8-dynamic"), default="fp32", help="of the file: "
                   "16-bit floats, or convolutions in 8 bits with ranges from --faces, or from each face as it passes")
    p.add_argument("--compare", action="store_true", help="measure every precision, and int8 by kind of layer")
    p.add_argument("--faces", nargs="+", default=["synthetic:64"], help="as in train, to calibrate int8 on")
    p.add_argument("--val", nargs="+", default=["synthetic:64:1"], help="as in train, to measure errors on")
    p.add_argument("--records", help="folder for a record of the comparison")
    p.add_argument("--overwrite", action="store_true", help="replace files that are there")
    p.add_argument("--json", action="store_true", help="the comparison as JSON")

    p = commands.add_parser("bench", help="speed of inference and training, against the limits of the machine",
                            formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("preset", metavar="PRESET", nargs="?", default="aminet", help="as in train")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where to measure")
    p.add_argument("--batch", type=positive(int), help="of training; 4 on a CPU, 32 on a GPU")
    p.add_argument("--quick", action="store_true", help="few rounds, and nothing is compiled")
    p.add_argument("--records", help="folder for a record of the measurements")
    p.add_argument("--overwrite", action="store_true", help="replace files that are there")
    p.add_argument("--json", action="store_true", help="print the record")
    p = p.add_mutually_exclusive_group()
    p.add_argument("--plot", metavar="FILE.png", help="the roofline as a picture")
    p.add_argument("--all", action="store_true", help="instead: one face through every network of the paper's tables, "
                   "and those of Tables VII and X compiled, too, which takes a minute or more each")

    p = commands.add_parser("reproduce", help="train and measure what the paper's tables need; continues where it was")
    p.add_argument("--list", action="store_true", help="say how far every run is")
    p.add_argument("--scale", choices=("smoke", "mini", "pocket", "gpu", "short", "paper"), help="seconds, minutes or "
                   "hours a run on a CPU; minutes on a GPU, 200,000 images, 150 epochs (gpu with a GPU, else pocket)")
    p.add_argument("--only", metavar="PATTERN", help="runs by name, for example 'aminet-*'")
    p.add_argument("--budget", metavar="MINUTES", type=float, help="stop in time, all saved; without it, at the end")
    p.add_argument("--out", default="runs", help="folder of the runs (runs)")
    p.add_argument("--records", help="folder of the records; a run that has its own there is passed over "
                   "(data/records; for smoke, OUT/records)")
    p.add_argument("--faces", nargs="+", help="as in train, instead of the list's")
    p.add_argument("--val", nargs="+", help="as in train, instead of the list's")
    p.add_argument("--test", nargs="+", help="test sets, each measured by itself, instead of the list's")
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    p.add_argument("--compile", action="store_true", help="as in train")
    p.add_argument("--json", action="store_true", help="the list as JSON")
    return root


def json_text(value: object, **options) -> str:
    """Return a value as strict JSON, with null for what is undefined (nan) or infinite."""
    return json.dumps(json.loads(json.dumps(value), parse_constant=lambda _: None), allow_nan=False, **options)


def record_path(arguments, *words: str | list[str]) -> Path:
    """Return where a command keeps its record, if --records is given; BadInput if that cannot be."""
    path = Path(arguments.records or ".", record_name(*words))
    check_outputs([path] if arguments.records else [], arguments.overwrite)
    return path


def keep_record(arguments, record: dict, path: Path) -> None:
    """Write a record, if --records is given; BadInput if another one was written meanwhile."""
    from .paper.records import write_record

    if arguments.records:
        check_outputs([path], arguments.overwrite)
        print(printable(write_record(record, path)), file=sys.stderr)


def ledger(arguments) -> None:
    from .ledger import format_ledger
    from .ledger import ledger as rows

    bill = rows(arguments.names)
    print(json_text(bill, indent=1) if arguments.json else format_ledger(bill))


def data(arguments) -> int:
    from .faces.check import check, format_check
    from .files import find

    report = check([find(path) for path in arguments.paths])
    print(json_text(report, indent=1) if arguments.json else format_check(report))
    return 0 if report["clean"] else 1


def recipe_of(arguments, gan: bool):
    """The recipe that a command line of `train` asks for; BadInput for options that do not go together."""
    from .train import Recipe
    from .training.games import GANRecipe

    if arguments.images is None and arguments.minutes is None:
        raise BadInput("say when to stop: --images N or --minutes M")
    if gan and not arguments.start:
        raise BadInput(f"{arguments.preset} starts from its generator's weights: give --start, for example "
                       "--start pocket for amigan")
    kind = GANRecipe if gan else Recipe
    given = {name: value for name in GANRecipe.__dataclass_fields__
             if name != "gan" and (value := getattr(arguments, name)) is not None}
    if foreign := [name for name in given if name not in kind.__dataclass_fields__]:
        raise BadInput(f"--{foreign[0].replace('_', '-')} belongs to a GAN: train amigan --start WEIGHTS ...")
    if arguments.images is not None:
        given.pop("minutes", None)  # it ends this call, not the run
    elif arguments.schedule == "cosine":
        given.setdefault("warmup", 0.02)
    return kind(**given, **({"gan": arguments.preset} if gan else {}))


def train(arguments) -> None:
    from .baselines.registry import COMPARED, preset
    from .faces.priors import open_priors
    from .faces.sources import open_training_faces
    from .training.device import usable
    from .training.folder import check_run, same_run
    from .training.games import GANGame, L1Game, missing_networks, start_weights
    from .training.trainer import Trainer

    begin, gan = time.monotonic(), arguments.preset in ("amigan", *COMPARED)
    config = None if gan else preset(arguments.preset)
    recipe: Any = recipe_of(arguments, gan)
    usable(arguments.device)  # all that can be wrong is, before the faces are read
    if arguments.start:
        start_weights(arguments.start, config)
    if gan:
        missing_networks(recipe)
    main = "LOCAL_RANK" not in os.environ or os.environ.get("RANK", "0") == "0"
    if main and (header := check_run(arguments.out, arguments.resume)):
        wanted = {"recipe": asdict(recipe)} | ({"config": config.to_dict()} if config else {})
        same_run(Path(arguments.out) / "state.safetensors", header, wanted, tuple(wanted))
    faces, val, data = open_training_faces(arguments.faces, arguments.val, arguments.skip_bad, progress=main)
    priors = open_priors(faces, arguments.faces, config.priors) if config else {}
    game = (L1Game(config, recipe, arguments.preset, arguments.start, priors) if config else
            GANGame(arguments.start, recipe, val))
    trainer = Trainer(game, faces, val, arguments.out, data, priors=priors, resume=arguments.resume,
                      device=arguments.device, compiled=arguments.compile, half=arguments.half)
    result = trainer.train(arguments.minutes if recipe.images else None, since=begin)
    if main:
        print(json_text(result))


def evaluate(arguments) -> None:
    from .faces.sources import open_faces, open_gallery
    from .metrics.measure import RECOGNITION
    from .paper.evaluate import available_metrics, format_evaluation, label, protocol_of
    from .paper.evaluate import evaluate as run
    from .paper.records import add_record, earlier, read_record, write_record
    from .training.device import usable
    from .training.weights import load_weights

    usable(arguments.device)  # all that can be wrong is, before the faces are read
    load_weights(arguments.weights)
    protocol_of(arguments.protocol, None)
    metrics, problems = available_metrics(arguments.metrics if not arguments.gallery else [RECOGNITION])
    if not metrics:
        raise BadInput("; ".join(problems))
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    target = Path(arguments.records, record_name(label(arguments.weights), arguments.faces, arguments.protocol))
    check_outputs([target], overwrite=True)  # to an earlier record is added
    gallery = open_gallery(arguments.gallery, arguments.faces, arguments.skip_bad) if arguments.gallery else None
    faces, about = open_faces(arguments.faces, arguments.skip_bad, progress=not arguments.json)
    before = None if arguments.overwrite else earlier(target, arguments.weights, about)
    replaces = read_record(target, "evaluation") if arguments.overwrite and target.exists() else None
    record = run(arguments.weights, faces, about, arguments.protocol, metrics, arguments.device, record=before,
                 replaces=replaces, gallery=gallery)
    if record is not before:
        (write_record if arguments.overwrite else add_record)(record, target)
    if before:
        added = ", ".join(name for name in metrics if name not in before["means"])
        print(f"measured before, at {before['created']}; " + (
            f"added now: {added}" if added else "--overwrite measures again"), file=sys.stderr)
    means = {name: interval["mean"] and round(interval["mean"], 4) for name, interval in record["means"].items()}
    if arguments.json:
        print(json_text({"images": about["images"], "protocol": arguments.protocol, **means, "record": str(target)}))
        return
    print(format_evaluation(record, metrics))
    print(printable(f"record: {target}"))


def limits(arguments) -> None:
    from .paper.evaluate import available_metrics, label
    from .paper.limits import USUAL, format_limits, measure_limits

    metrics, problems = (arguments.metrics, []) if arguments.metrics else available_metrics(USUAL)
    for problem in problems:
        print(printable(problem), file=sys.stderr)
    target = record_path(arguments, "limits", label(arguments.weights), arguments.faces)
    record = measure_limits(arguments.weights, arguments.faces, arguments.stress, metrics, arguments.images,
                            progress=not arguments.json)
    print(json_text(record) if arguments.json else format_limits(record))
    keep_record(arguments, record, target)


def table(arguments) -> None:
    from .paper import tables, text
    from .paper.published import ROMAN

    numbers = {name: number for number, roman in ROMAN.items() for name in (str(number), roman)}
    number = arguments.number.upper()
    content = tables.table(numbers.get(number) or number, arguments.records or tables.RECORDS, arguments.protocol)
    if arguments.json:
        print(json_text(asdict(content), indent=1))
        return
    kind = text.csv_table if arguments.csv else text.markdown_table if arguments.markdown else text.format_table
    print(*map(printable, kind(content).removesuffix("\n").split("\n")), sep="\n")  # records may hold any names


def upscale(arguments) -> int:
    from .deploy.upscale import plan
    from .deploy.upscale import upscale as run

    options = {name: value for name, value in vars(arguments).items() if name not in ("command", "sources", "target")}
    pairs = plan(arguments.sources, arguments.target, arguments.overwrite, arguments.faces_only)
    total, outcomes = len(pairs), run(pairs, **options)
    count, say = {"done": 0, "kept": 0, "failed": 0}, print
    with suppress(ImportError):  # --onnx needs no tqdm
        from tqdm import tqdm
        outcomes = tqdm(outcomes, "upscale", total, leave=False, unit=" pictures", disable=total == 1)
        say = tqdm.write  # above the bar
    for outcome in outcomes:
        count[outcome.status] += 1
        say("\n".join(outcome.lines), file=sys.stdout if outcome.status == "done" else sys.stderr)
    if total > 1:
        print(f"{count['done']} of {total} pictures done, {count['kept']} kept as they were, {count['failed']} failed")
    return 2 if count["failed"] else 0


def export(arguments) -> None:
    from .deploy import export as exporting
    from .faces.sources import open_training_faces
    from .paper.evaluate import label

    exporting.check_export(arguments.weights, arguments.target, arguments.precision, arguments.overwrite)
    target = record_path(arguments, "export", label(arguments.weights), "cpu")
    faces, val, about = open_training_faces(arguments.faces, arguments.val)
    record = exporting.export(arguments.weights, arguments.target, faces, val, arguments.precision, arguments.compare,
                              about, arguments.overwrite)
    text = f"{exporting.format_export(record)}\n{printable(arguments.target)}"
    print(json_text(record) if arguments.json else text)
    keep_record(arguments, record, target)


def bench(arguments) -> None:
    from .deploy import bench as single
    from .deploy import roofline, speeds

    if arguments.plot:
        if Path(arguments.plot).suffix.lower() != ".png":
            raise BadInput(f"{arguments.plot}: give the picture a name that ends in .png")
        check_outputs([Path(arguments.plot)], arguments.overwrite)
    name = arguments.preset.replace("/", "_").replace(" ", "_")
    target = record_path(arguments, "speeds" if arguments.all else "bench", name, arguments.device)
    if arguments.all:
        record = speeds.bench_all(arguments.preset, arguments.device, arguments.quick)
        text = speeds.format_speeds(record)
    else:
        record = single.bench(arguments.preset, arguments.device, arguments.batch, arguments.quick)
        text = single.format_bench(record)
    print(json_text(record) if arguments.json else text)
    keep_record(arguments, record, target)
    if arguments.plot:
        check_outputs([Path(arguments.plot)], arguments.overwrite)
        roofline.plot(record, arguments.plot)


def reproduce(arguments) -> int:
    from .paper.reproduce import Reproduction, format_overview, overview
    from .paper.runs import choose, runs
    from .training.device import usable

    scale = arguments.scale or ("gpu" if usable(arguments.device) == "cuda" else "pocket")
    chosen = choose(runs(scale), arguments.only)
    work = Reproduction(scale, arguments.out, arguments.records, arguments.faces, arguments.val, arguments.test,
                        arguments.device, arguments.compile)
    try:
        failed = [] if arguments.list else work.go(chosen, arguments.budget)
    except KeyboardInterrupt:
        raise KeyboardInterrupt("stopped; the same command continues") from None
    report = overview(work, chosen)
    print(json_text(report, indent=1) if arguments.json else format_overview(report))
    return 2 if failed else 0


COMMANDS = {command.__name__: command
            for command in (ledger, data, train, evaluate, limits, table, upscale, export, bench, reproduce)}


def problem(error: Exception) -> str | None:
    """Say in one line what an error means to a user; None for one that is no user's, but a fault of ours."""
    if isinstance(error, BadInput):
        return str(error)
    if isinstance(error, OSError):
        where = f" {error.filename!r}" if error.filename else ""
        return printable(f"cannot read or write{where}: {error.strerror or error}; {advice(error)}")
    if isinstance(error, (MemoryError, RuntimeError)) and re.search("^$|memory|allocate|primitive", str(error)):
        return "the memory is not enough: give less to do at once, for example a smaller --batch or fewer --faces"
    return None


STOPS: list[float] = []  # when this process was asked to end


def stop(*_) -> None:
    """End the command at a signal, as Ctrl-C. Another one does not disturb that, unless the end hangs."""
    STOPS.append(time.monotonic())
    if len(STOPS) == 1:
        raise KeyboardInterrupt
    if STOPS[-1] - STOPS[0] > 3:
        os._exit(130)


def main() -> int:
    """Run a command, and return its exit status: the one place where errors become lines."""
    for name in ("stdin", "stdout", "stderr"):
        if getattr(sys, name) is None:  # closed: the next file that is opened would be taken for it
            setattr(sys, name, open(os.devnull, "w"))
        elif isinstance(stream := getattr(sys, name), io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")  # a terminal may lack a letter of a name
    warnings.formatwarning = lambda message, *_, **__: f"aminet: {printable(message)}\n"
    try:
        try:
            arguments = parser().parse_args()
            for name, value in vars(arguments).items():
                if value == [] or "" in (value if isinstance(value, list) else [value]):  # of a shell: --out=$UNSET
                    raise BadInput(f"{name} is empty: give it a value, or leave the option out")
            try:
                os.getcwd()
            except FileNotFoundError:  # torch's libraries would end the process
                raise BadInput("the folder that you are in was deleted: change to another one") from None
            line, status = "", COMMANDS[arguments.command](arguments) or 0
        finally:
            print(end="", flush=True)
    except BrokenPipeError:  # the reader of our output has gone, for example `| head`
        line, status = "", 0
    except (KeyboardInterrupt, Exception) as error:
        if STOPS or isinstance(error, KeyboardInterrupt):  # some libraries make another error of it
            line, status = isinstance(error, KeyboardInterrupt) and str(error) or "stopped", 130
        elif (line := problem(error)) is None:
            raise
        else:
            line, status = f"aminet: {line}", 2
    for number, stream, text in (2, sys.stderr, line + "\n" * bool(line)), (1, sys.stdout, ""):
        try:
            print(text, end="", file=stream, flush=True)
        except OSError:  # what could not be printed shall not be tried again at the end
            os.dup2(os.open(os.devnull, os.O_WRONLY), number)
    return status


if __name__ == "__main__":
    for number in signal.Signals:  # Windows has no SIGHUP
        if number.name in ("SIGINT", "SIGTERM", "SIGHUP") and signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, stop)
    if (status := main()) == 130:
        os._exit(status)  # Python's own end would meet another Ctrl-C with a traceback
    sys.exit(status)
