"""The runs behind the paper's tables (runs.yaml): a network at a scale with a seed."""
from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from fnmatch import fnmatchcase
from functools import cache, cached_property
from pathlib import Path

from ..baselines.registry import preset
from ..config import Config
from ..errors import BadInput
from ..train import Recipe
from ..training.games import GANRecipe

LIST = Path(__file__).with_name("runs.yaml")


@dataclass(frozen=True)
class RunSpec:
    """One run: a network at a scale with a seed.

    name: NETWORK-SCALE-SEED, also its folder in OUT. rows: the (table, row) it serves, as in data/published.
    preset: the configuration's name, `SIZE` or `SIZE/ROW`. config, recipe: what to train. start: the run whose weights
    a GAN starts from.
    """

    name: str
    network: str
    scale: str
    seed: int
    rows: tuple[tuple[int, str], ...]
    preset: str
    config: Config
    recipe: Recipe
    start: str | None = None

    @cached_property
    def key(self) -> str:
        """What the headers of its weights and records have in common."""
        return key_of({"config": self.config.to_dict(), "recipe": asdict(self.recipe)})

    def fits(self, header: dict) -> bool:
        """Whether weights with this header are of this run: the same configuration and recipe."""
        return (header.get("key") or key_of(header)) == self.key


def key_of(header: dict) -> str:
    """Return a configuration and a recipe as one string, equal for equal ones; "" if a header notes no recipe of ours.

    A recipe of an earlier version did not note everything (see `Recipe.read`).
    """
    return _key(json.dumps([header.get("config"), header.get("recipe")], sort_keys=True))


@cache
def _key(noted: str) -> str:
    config, recipe = json.loads(noted)
    try:
        kind = GANRecipe if isinstance(recipe, dict) and "d_lr" in recipe else Recipe
        return json.dumps([config, asdict(kind.read(recipe))], sort_keys=True)
    except BadInput:
        return ""


@cache
def listed() -> dict:
    """runs.yaml: data, scales and networks."""
    import yaml

    return yaml.safe_load(LIST.read_text(encoding="utf-8"))


def scale_of(name: str) -> dict:
    """A scale of runs.yaml; its `data` are the list's, unless it has its own. BadInput for an unknown one."""
    scales = listed()["scales"]
    if name not in scales:
        raise BadInput(f"unknown scale {name!r}: choose one of {', '.join(scales)}")
    return {"data": listed()["data"]} | scales[name]


def runs(scale: str | None = None) -> list[RunSpec]:
    """The runs of a scale, or of all, most important first: every network with the first seed, then with the next."""
    if scale is None:
        return [spec for name in listed()["scales"] for spec in runs(name)]
    return [specify(i, scale, seed) for seed in scale_of(scale)["seeds"] for i, network in
            enumerate(listed()["networks"]) if scale in network.get("scales", [scale])]


@cache
def specify(i: int, scale: str, seed: int) -> RunSpec:
    """The run of entry i of `networks`."""
    network, what = listed()["networks"][i], scale_of(scale)
    own = dict(what.get("own", {}).get(network["name"], {}))
    served = own.pop("rows", network["rows"])
    rows = tuple((int(table), row) for table, row in (text.split(": ", 1) for text in served))
    size = "/".join([what["size"], *([network["change"]] if "change" in network else [])])
    start, recipe = None, Recipe(**what["recipe"] | own, seed=seed) if "start" not in network else None
    if recipe is None:
        start = f"{network['start']}-{scale}-{seed}"
        recipe = GANRecipe(**what["gan"] | own, gan=network.get("gan", "amigan"), seed=seed)
    return RunSpec(f"{network['name']}-{scale}-{seed}", network["name"], scale, seed, rows, size, preset(size), recipe,
                   start)


@cache
def _by_key() -> dict[str, RunSpec]:
    return {spec.key: spec for spec in reversed(runs())}


def find_run(header: dict) -> RunSpec | None:
    """The listed run that weights with this header are of; None if there is none."""
    return _by_key().get(key_of(header)) if key_of(header) else None


def choose(specs: list[RunSpec], pattern: str | None) -> list[RunSpec]:
    """The runs whose names match a pattern, as in a shell (None: all); BadInput when there is none."""
    chosen = [spec for spec in specs if pattern is None or fnmatchcase(spec.name, pattern)]
    if not chosen:
        raise BadInput(f"no run is called {pattern!r}: there are {', '.join(spec.name for spec in specs[:3])} and "
                       f"{len(specs) - 3} more; --list shows all, --scale chooses")
    return chosen
