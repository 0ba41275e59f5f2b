"""The reproduction on Snakemake: one job per unfinished run, on local cores, on Slurm or on Kubernetes.

    snakemake -j 2 --config scale=pocket                       # two runs at a time on this machine
    snakemake -j 8 --executor slurm --default-resources slurm_partition=gpu runtime=720 --config scale=short

The second line needs snakemake-executor-plugin-slurm and folders that all machines see. A job that is stopped keeps what
it has: the same line continues it. --config takes the options of `python -m aminet reproduce`: scale, only, out, records,
device, and faces, val and test with spaces between several. A job has one thread: `--set-threads run=8` gives it more.
"""
import re
import shlex
import sys
from pathlib import Path

from aminet.errors import BadInput
from aminet.paper.reproduce import Reproduction
from aminet.paper.runs import choose, runs

known = ("scale", "only", "out", "records", "device", "faces", "val", "test")
if unknown := set(config) - set(known):
    sys.exit(f"unknown in --config: {', '.join(sorted(unknown))}; there are {', '.join(known)}")
scale = config.get("scale", "pocket")
options = {name: config[name] for name in ("out", "records", "device") if name in config}
options |= {name: config[name].split() for name in ("faces", "val", "test") if name in config}
try:
    work = Reproduction(scale, **options)
    chosen = choose(runs(scale), config.get("only"))
except BadInput as error:
    sys.exit(f"aminet: {error}")
unfinished = {name for name, spec in work.specs.items() if work.status(spec).state != "done"}


def marker(name):
    """Says that a job has ended. What is done is known from the records alone."""
    return str(work.out / name / "measured")


for name in unfinished:
    Path(marker(name)).unlink(missing_ok=True)


def markers(*names):
    return [marker(name) for name in names if name in unfinished]


def command(name):
    words = ["--scale", scale, "--only", name]
    for option, value in options.items():
        words += [f"--{option}", *([value] if isinstance(value, str) else value)]
    return shlex.join([sys.executable, "-m", "aminet", "reproduce", *words])


wildcard_constraints:
    name="|".join(map(re.escape, work.specs)),


rule all:
    input:
        markers(*(spec.name for spec in chosen)),


rule run:
    input:
        lambda wildcards: markers(work.specs[wildcards.name].start),  # a GAN's start
    output:
        touch(marker("{name}")),
    params:
        command=lambda wildcards: command(wildcards.name),
    threads: 1
    shell:
        "OMP_NUM_THREADS={threads} {params.command}"
