"""The command line: `python -m aminet ledger | data | train | evaluate | upscale`. Bad input exits with 2."""
from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from pathlib import Path

from .errors import BadInput


def positive(kind: type):
    """An argparse type: a number above zero."""
    def convert(text: str):
        value = kind(text)
        if not value > 0:
            raise ValueError
        return value
    convert.__name__ = "positive number"
    return convert


def parser() -> argparse.ArgumentParser:
    root = argparse.ArgumentParser(prog="aminet", description="AMINet for face super-resolution, 16x16 -> 128x128.")
    commands = root.add_subparsers(dest="command", required=True)

    p = commands.add_parser("ledger", help="parameters and MACs of every preset and ablation, against the paper's")
    p.add_argument("--json", action="store_true", help="a list of objects instead of a table")

    p = commands.add_parser("data", help="look at face sets").add_subparsers(dest="action", required=True)
    p = p.add_parser("check", help="count, sizes, bad files, duplicates, and leakage between the given sets")
    p.add_argument("paths", nargs="+", metavar="PATH", help="folder or zip of face images; exits with 1 if a file is "
                   "bad or an image is in two of them")
    p.add_argument("--json", action="store_true", help="the whole report as JSON")

    p = commands.add_parser("train", help="train a network", formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("preset", metavar="PRESET", help="aminet, aminet-s, aminet-8c, aminet-c32, pocket, or PRESET/ROW "
                   "for a row of Tables I to V, for example 'pocket/w/o SA'")
    p.add_argument("--faces", nargs="+", default=["synthetic"], help="folders or zips (also looked for in "
                   "$AMINET_FACES), celeba:ROOT:PART, celeba-identity:ROOT:PART, helen:ROOT:PART, "
                   "scface:ROOT:PART, or synthetic[:N[:SEED]]")
    p.add_argument("--val", nargs="+", default=["synthetic:64:1"], help="the same, to choose the weights on")
    p.add_argument("--out", required=True, default=argparse.SUPPRESS, help="folder of the run: its weights will be "
                   "OUT/best.safetensors")
    p.add_argument("--images", type=positive(int), help="images to see in all")
    p.add_argument("--minutes", type=positive(float), help="stop after so many minutes; --resume continues")
    p.add_argument("--batch", type=positive(int), default=32, help="over all processes")
    p.add_argument("--lr", type=positive(float), default=2e-4, help="Adam's step size")
    p.add_argument("--schedule", choices=("constant", "cosine"), default="constant", help="cosine ends at --images")
    p.add_argument("--ema", type=float, default=0.0, help="decay of averaged weights, for example 0.999; 0: none")
    p.add_argument("--val-every", type=positive(int), default=5000, help="images between validations")
    p.add_argument("--seed", type=int, default=0, help="of the first weights, the order and the augmentation")
    p.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="auto: a GPU if there is one")
    p.add_argument("--resume", action="store_true", help="continue the run in --out")
    p.add_argument("--skip-bad", action="store_true", help="leave out files that are no image, and count them")

    p = commands.add_parser("evaluate", help="measure weights on faces and write a record",
                            formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    p.add_argument("weights", metavar="WEIGHTS", help="a .safetensors file, the folder of a run, or the name of "
                   "ours, for example pocket")
    p.add_argument("--faces", nargs="+", default=["synthetic:100:2"], help="as in train")
    p.add_argument("--protocol", default="paper", help="paper, dic or rgb")
    p.add_argument("--metrics", nargs="+", default=["psnr", "ssim"], help="from psnr, ssim, vif (steerable "
                   "pyramid) and vifp (pixel domain, another metric)")
    p.add_argument("--records", default="data/records", help="folder for the record")
    p.add_argument("--overwrite", action="store_true", help="replace an existing record")
    p.add_argument("--device", choices=("cpu", "cuda"), default="cpu", help="where the network runs")
    p.add_argument("--json", action="store_true", help="print the means as JSON")
    p.add_argument("--skip-bad", action="store_true", help="leave out files that are no image, and count them")

    p = commands.add_parser("upscale", help="restore a 16x16 face, or the largest face of a photograph")
    p.add_argument("source", metavar="IN", help="a 16x16 picture, or a photograph (needs OpenCV's YuNet)")
    p.add_argument("target", metavar="OUT", help="the 128x128 result; OUT_side_by_side.png lies beside it")
    p.add_argument("--weights", default="pocket", help="a .safetensors file, or the name of ours")
    return root


def ledger(arguments) -> None:
    from .ledger import format_ledger
    from .ledger import ledger as rows

    bill = rows()
    print(json.dumps(bill, indent=1) if arguments.json else format_ledger(bill))


def data(arguments) -> int:
    from .check import check, format_check
    from .inputs import find

    report = check([find(path) for path in arguments.paths])
    print(json.dumps(report, indent=1) if arguments.json else format_check(report))
    return 0 if report["clean"] else 1


def train(arguments) -> None:
    from .config import preset
    from .faces import same_faces
    from .inputs import open_faces
    from .train import Recipe, Run

    config = preset(arguments.preset)
    recipe = Recipe(images=arguments.images, batch=arguments.batch, lr=arguments.lr, schedule=arguments.schedule,
                    ema=arguments.ema, val_every=arguments.val_every, seed=arguments.seed)
    if arguments.images is None and arguments.minutes is None:
        raise BadInput("say when to stop: --images N or --minutes M")
    main = os.environ.get("RANK", "0") == "0"
    faces, about = open_faces(arguments.faces, arguments.skip_bad, progress=main)
    val, about_val = open_faces(arguments.val, arguments.skip_bad, progress=False)
    if shared := same_faces(faces, val):
        raise BadInput(f"{shared} validation images are also in --faces: give --val images that are not trained on")
    data = {part: {k: v for k, v in known.items() if k != "people"} for part, known in
            (("train", about), ("val", about_val))}
    run = Run(config, recipe, faces, val, arguments.out, data, arguments.resume,
              arguments.device, arguments.preset)
    try:
        result = run.train(arguments.minutes)
    except KeyboardInterrupt:
        if main:
            print(f"stopped after {run.seen} images; the same command with --resume continues", file=sys.stderr)
        raise SystemExit(130) from None
    if main:
        print(json.dumps(result))


def evaluate(arguments) -> None:
    from .evaluate import earlier, label, write_record
    from .evaluate import evaluate as run
    from .inputs import open_faces

    target = Path(arguments.records) / "{}-{}-{}.json".format(
        label(arguments.weights),
        "+".join(Path(source).stem.replace(":", "_") for source in arguments.faces), arguments.protocol)
    faces, about = open_faces(arguments.faces, arguments.skip_bad, progress=not arguments.json)
    record = None if arguments.overwrite else earlier(target, arguments.weights, about, arguments.metrics)
    if record:
        print(f"measured before, at {record['created']}; --overwrite measures again", file=sys.stderr)
    else:
        command = "python -m aminet " + shlex.join(
            os.path.relpath(word) if os.path.isabs(word) else word for word in sys.argv[1:])
        record = run(arguments.weights, faces, about, arguments.protocol, arguments.metrics, arguments.device, command)
        write_record(record, target)
    means = {name: round(interval["mean"], 4) for name, interval in record["means"].items()}
    if arguments.json:
        print(json.dumps({"images": about["images"], "protocol": arguments.protocol, **means, "record": str(target)}))
        return
    print(f"{about['images']} faces, {record['describe']}")
    for name in arguments.metrics:
        m, g = record["means"][name], record["gain"][name]
        print(f"{name:5s} {m['mean']:8.4f} [{m['low']:.4f}, {m['high']:.4f}]   bicubic {means['bicubic_' + name]:8.4f}"
              f"   gain {g['mean']:+.4f} [{g['low']:+.4f}, {g['high']:+.4f}]")
    print(f"record: {target}")


def upscale(arguments) -> None:
    from .upscale import upscale as run

    beside = run(arguments.source, arguments.target, arguments.weights)
    print(f"{arguments.target}, and side by side {beside}")


def main() -> int:
    arguments = parser().parse_args()
    try:
        return globals()[arguments.command](arguments) or 0
    except BadInput as error:
        print(f"aminet: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # the reader of our output has gone, for example `| head`
        return 0


if __name__ == "__main__":
    sys.exit(main())
