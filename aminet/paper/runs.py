"""The runs behind the paper's tables (runs.yaml): a network at a scale with a seed."""
from __future__ import annotations

import json
from collections.abc import Container
from dataclasses import asdict, dataclass, field
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ..baselines.registry import COMPARED, preset
from ..config import ABLATIONS, Config
from ..errors import BadInput

if TYPE_CHECKING:  # the list itself is read, and records are found in it, without torch
    from ..train import Recipe

LIST = Path(__file__).with_name("runs.yaml")
FROM_BICUBIC = "from_bicubic"  # the switch of a configuration, and the second block of the tables of COMPARISONS
COMPARISONS = (7, 10)  # the tables whose networks have that block
DEFAULTS = LIST.with_name("defaults.json")  # what `class_defaults` returns, to be read without torch; a test compares


@dataclass(frozen=True)
class RunSpec:
    """One run: a network at a scale with a seed.

    name: NETWORK-SCALE-SEED, also its folder in OUT. rows: the (table, row) it serves, as in data/published.
    preset: the configuration's name, `SIZE` or `SIZE/ROW`. settings: the recipe's fields that are not left out. start:
    the run whose weights a GAN starts from. block: FROM_BICUBIC for a run of the second block of Tables VII and X, else
    "". lrs: step sizes to try first, each on so many images (`trial`); none: the recipe's own.
    """

    name: str
    network: str
    scale: str
    seed: int
    rows: tuple[tuple[int, str], ...]
    preset: str
    settings: dict[str, Any] = field(hash=False)
    start: str | None = None
    block: str = ""
    lrs: tuple[float, ...] = ()
    trial: int = 0

    @cached_property
    def config(self) -> Config:
        """The network to train."""
        return preset(self.preset)

    @cached_property
    def recipe(self) -> Recipe:
        """How to train it."""
        from ..train import Recipe
        from ..training.games import GANRecipe

        return (GANRecipe if self.start else Recipe)(**self.settings)

    @property
    def images(self) -> int:
        """How many images the whole training takes."""
        return self.settings["images"]

    @cached_property
    def key(self) -> str:
        """What the headers of its weights and records have in common. It is found without torch, by defaults.json:
        write that anew (`python -m aminet.paper.runs`) when a default changes."""
        return key_of({"config": _defaults()["configs"].get(self.preset) or self.config.to_dict(),
                       "recipe": self.settings, "trials": [{"lr": lr, "images": self.trial} for lr in self.lrs]})


def key_of(header: dict) -> str:
    """Return a configuration and a recipe as one string, equal for equal ones; "" if a header notes no recipe.

    What the list or an earlier version leaves out has its default. Where trials chose the step size, they stand for it.
    """
    recipe, trials = header.get("recipe"), header.get("trials")
    if not isinstance(recipe, dict) or not isinstance(recipe.get("gan", ""), str):
        return ""
    gan = recipe.get("gan", "amigan" if "d_lr" in recipe else "")
    recipe = _defaults()["recipes"].get(gan, {}) | recipe
    if isinstance(trials, list) and trials:
        recipe |= {"lr": [[trial.get("lr"), trial.get("images")] for trial in trials if isinstance(trial, dict)]}
    return json.dumps([header.get("config"), recipe], sort_keys=True)


def class_defaults() -> dict[str, dict[str, dict]]:
    """Return the listed configurations by preset, and the recipes' defaults by GAN ("" for none), from their classes.

    They are kept in a file, which `python -m aminet.paper.runs` writes, since the classes need torch.
    """
    from ..train import Recipe
    from ..training.games import GANRecipe

    recipes = {"": asdict(Recipe())} | {gan: asdict(GANRecipe(gan=gan)) for gan in ("amigan", *COMPARED)}
    return {"configs": {spec.preset: spec.config.to_dict() for spec in runs()}, "recipes": recipes}


@cache
def _defaults() -> dict[str, dict[str, dict]]:
    return json.loads(DEFAULTS.read_text(encoding="utf-8"))


@cache
def listed() -> dict[str, Any]:
    """Read runs.yaml: data, scales and networks."""
    import yaml

    return yaml.safe_load(LIST.read_text(encoding="utf-8"))


def scale_of(name: str) -> dict[str, Any]:
    """Return a scale of runs.yaml; its `data` are the list's, unless it has its own. BadInput for an unknown one."""
    scales = listed()["scales"]
    if name not in scales:
        raise BadInput(f"unknown scale {name!r}: choose one of {', '.join(scales)}")
    return {"data": listed()["data"]} | scales[name]


def runs(scale: str | None = None) -> list[RunSpec]:
    """Return the runs of a scale, or of all: every network with the first seed, most important first, then the next."""
    if scale is None:
        return [spec for name in listed()["scales"] for spec in runs(name)]
    networks = [(index, network) for index, network in enumerate(listed()["networks"])
                if scale in network.get("scales", [scale])]
    compared = [index for index, network in networks if "start" not in network and served(network, COMPARISONS)]
    blocks = {"": [index for index, _ in networks], FROM_BICUBIC: compared if FROM_BICUBIC in scale_of(scale) else []}
    return [specify(index, scale, seed, block) for seed in scale_of(scale)["seeds"]
            for block, indices in blocks.items() for index in indices]


def served(network: dict, tables: Container[int] = range(1, 11)) -> tuple[tuple[int, str], ...]:
    """Return the rows of these tables that an entry of `networks` stands behind."""
    rows = (text.split(": ", 1) for text in network["rows"])
    return tuple((int(table), row) for table, row in rows if int(table) in tables)


@cache
def specify(index: int, scale: str, seed: int, block: str = "") -> RunSpec:
    """Return the run of an entry of `networks`, with the settings of the scale and those of its own."""
    network, settings = listed()["networks"][index], scale_of(scale)
    if block:
        return from_bicubic(network, scale, seed)
    own = dict(settings.get("own", {}).get(network["name"], {}))
    rows = served({"rows": own.pop("rows", network["rows"])})
    size = settings["size"] + (f"/{network['change']}" if "change" in network else "")
    if "start" in network:
        start = f"{network['start']}-{scale}-{seed}"
        recipe = settings["gan"] | network.get("recipe", {}) | own | {"gan": network.get("gan", "amigan"), "seed": seed}
    else:
        start, recipe = None, settings["recipe"] | network.get("recipe", {}) | own | {"seed": seed}
    return RunSpec(f"{network['name']}-{scale}-{seed}", network["name"], scale, seed, rows, size, recipe, start)


def from_bicubic(network: dict, scale: str, seed: int) -> RunSpec:
    """Return the run of an entry of `networks` in the second block; AMINet and AMINet-S do not change."""
    settings, change = scale_of(scale), network.get("change")
    compared = change and change not in ABLATIONS
    size = settings["size"] + (f"/{change}" if change else "") + (f"+{FROM_BICUBIC}" if compared else "")
    tuned = settings[FROM_BICUBIC]
    return RunSpec(f"{network['name']}-from-bicubic-{scale}-{seed}", network["name"], scale, seed,
                   served(network, COMPARISONS), size, settings["recipe"] | {"seed": seed}, None, FROM_BICUBIC,
                   tuple(tuned["lrs"]), tuned["trial"])


@cache
def _by_key() -> dict[str, RunSpec]:
    return {spec.key: spec for spec in reversed(runs())}


def find_run(header: dict) -> RunSpec | None:
    """Return the listed run that weights with this header are of; None if there is none."""
    recipe = header.get("recipe")
    noted = isinstance(recipe, dict) and {"batch", "lr"} <= recipe.keys()  # else defaults alone could fit
    return _by_key().get(key_of(header)) if noted else None


def choose(specs: list[RunSpec], pattern: str | None) -> list[RunSpec]:
    """Return the runs whose names match a pattern, as in a shell (None: all); BadInput when there is none."""
    matching = [spec for spec in specs if pattern is None or fnmatchcase(spec.name, pattern)]
    if matching:
        return matching
    elsewhere = [spec.scale for spec in runs() if fnmatchcase(spec.name, pattern or "")]
    advice = (f"give --scale {elsewhere[0]}" if elsewhere else
              f"names end in -SCALE-SEED, so try '{pattern}-*'" if any(spec.network == pattern for spec in specs) else
              f"there are {', '.join(spec.name for spec in specs[:3])} and {len(specs) - 3} more, and --list shows all")
    raise BadInput(f"no run of scale {specs[0].scale} is called {pattern!r}: {advice}")


if __name__ == "__main__":
    DEFAULTS.write_text(json.dumps(class_defaults()).replace("}, ", "},\n") + "\n", encoding="utf-8")
