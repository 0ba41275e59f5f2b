"""The bill: parameters and multiply-adds (MACs) by hand, by torch and by thop, beside what the paper prints.

The hand formulas are what one derives on paper. A k x k convolution from a to b channels has a*b*k*k weights,
each used once per output pixel: MACs = weights * pixels. Normalisations, activations, poolings, sums and
products have no MACs here, as in `torch.utils.flop_counter` (which counts FLOPs, two per MAC).
"""
from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Mapping
from dataclasses import dataclass, replace
from decimal import ROUND_DOWN, ROUND_HALF_UP, Decimal

import torch
from tabulate import tabulate
from torch import nn
from torch.utils.flop_counter import FlopCounterMode
from tqdm.auto import tqdm

from .config import ABLATIONS, AMINET, HR, LR, PRESETS, AMINetConfig, Config
from .errors import BadInput
from .model import AMINet


@dataclass(frozen=True)
class Cost:
    """Parameters, MACs in convolutions, and MACs in matrix products of two features (attention)."""

    params: int = 0
    conv: int = 0
    matmul: int = 0

    @property
    def macs(self) -> int:
        return self.conv + self.matmul

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.params + other.params, self.conv + other.conv, self.matmul + other.matmul)


Bill = dict[str, Cost]  # by the name of the module; "" is the whole


def nest(parts: Mapping[str, Cost | Bill], own: Cost = Cost()) -> Bill:
    """The bill of a module from the bills of its parts and what lies in it directly; its own row is ""."""
    total, rows = own, {}
    for name, part in parts.items():
        inside = {"": part} if isinstance(part, Cost) else part
        total += inside[""]
        rows |= {f"{name}.{inner}" if inner else name: cost for inner, cost in inside.items()}
    return {"": total} | rows


# Hand formulas. c: channels; height, width: of the input, in pixels. Options as in the module's class.


def convolution(a: int, b: int, kernel: int, height: int, width: int, bias: bool = True) -> Cost:
    """a*b*k*k weights, each used at every output pixel. height, width: of the output."""
    weights = a * b * kernel * kernel
    return Cost(weights + b * bias, weights * height * width)


def layer_norm(c: int) -> Cost:
    """2c: a scale and a shift per channel."""
    return Cost(2 * c)


def self_attention(c: int, height: int, width: int, heads: int, scale: str = "temperature") -> Cost:
    """4c^2 + 27c + h: 1x1 to q, k, v (3c^2), depthwise 3x3 on them (27c), 1x1 (c^2), a temperature per head.

    QK^T and (.)V: two products of (c/h, c/h, HW) in each of h heads, c^2/h * HW MACs each.
    """
    weights, pixels = 4 * c * c + 27 * c, height * width
    return Cost(weights + heads * (scale == "temperature"), weights * pixels, 2 * (c * c // heads) * pixels)


def hourglass(c: int, height: int, width: int, depth: int, norm: str = "batch") -> Cost:
    """3d + 1 blocks of a 3x3 (9c^2), its norm (2c) and PReLU (c), and the 3x3 that draws the map (9c + 1).

    Level i has a skip and an up block on HW/4^i pixels and a down block that writes HW/4^(i+1); the middle
    block works on HW/4^d. The series sums to HW (3 - 2/4^d): however deep, less than three full-size 3x3.
    """
    pixels, smallest = height * width, height * width // 4**depth
    block = 9 * c * c + c + 2 * c * (norm == "batch")
    return Cost((3 * depth + 1) * block + 9 * c + 1, 9 * c * c * (3 * pixels - 2 * smallest) + 9 * c * pixels)


def feature_refinement(c: int, height: int, width: int, depth: int, norm: str = "batch") -> Bill:
    """Two 3x3 (18c^2), two PReLU (2c), three norms (6c), and the hourglass."""
    weights = 18 * c * c
    own = Cost(weights + 2 * c + 6 * c * (norm == "batch"), weights * height * width)
    return nest({"hourglass": hourglass(c, height, width, depth, norm)}, own)


def rdfe(c: int, height: int, width: int, depth: int, paths: tuple[int, ...] = (3, 5, 7),
         attention_unit: bool = True, refine: bool = True, norm: str = "batch") -> Bill:
    """Two rounds of depthwise k x k (2 * 83c for 3, 5, 7), 1x1 from nc to c, one more in the AU, FRM."""
    n, taps = len(paths), sum(k * k for k in paths)
    weights = 2 * taps * c + n * c * c
    parts: dict[str, Cost | Bill] = {}
    if attention_unit:
        parts["attention_unit"] = convolution(n * c, c, 1, height, width)
    if refine:
        parts["refine"] = feature_refinement(c, height, width, depth, norm)
    return nest(parts, Cost(weights + c, weights * height * width))


def feed_forward(c: int, height: int, width: int, expansion: float = 2.66) -> Cost:
    """3cm + 18m with m = floor(expansion * c): 1x1 to 2m, depthwise 3x3, 1x1 back from m."""
    m = int(c * expansion)
    weights = 3 * c * m + 18 * m
    return Cost(weights, weights * height * width)


def skaf(c: int, height: int, width: int, kernels: tuple[int, ...] = (5, 7),
         pools: tuple[str, ...] = ("avg", "max"), dilated: bool = False) -> Cost:
    """A dense 5x5 and 7x7 (74c^2, 2c biases), then 7x7 from the pooled maps to two (98 each, 2 biases)."""
    dense = sum(9 if dilated and k == 5 else k * k for k in kernels) * c * c
    mix = 98 * (len(pools) or len(kernels) * c)  # without pooling, from all channels
    return Cost(dense + len(kernels) * c + mix + 2, (dense + mix) * height * width)


def lgfi(c: int, height: int, width: int, heads: int, depth: int, config: AMINetConfig = AMINET) -> Bill:
    """Norm, the two branches, 1x1 from 2c to c, SKAF: as far as the config keeps them."""
    parts: dict[str, Cost | Bill] = {}
    if config.norm:
        parts["norm"] = layer_norm(c)
    if config.sa:
        parts["sa"] = self_attention(c, height, width, heads, config.scale)
    if config.local == "rdfe":
        parts["local"] = rdfe(c, height, width, depth, config.paths, config.attention_unit, config.refine,
                              config.frm_norm)
    elif config.local == "ffn":
        parts["local"] = feed_forward(c, height, width, config.ffn_expansion)
    if config.skaf == "everywhere":
        parts |= fusion(c, height, width, config)
    return nest(parts)


def transformer_block(c: int, height: int, width: int, heads: int, scale: str = "temperature") -> Bill:
    """Two norms, SA and the feed-forward with its usual expansion of 2.66."""
    return nest({"norm1": layer_norm(c), "sa": self_attention(c, height, width, heads, scale),
                 "norm2": layer_norm(c), "ffn": feed_forward(c, height, width)})


def fusion(c: int, height: int, width: int, config: AMINetConfig = AMINET) -> Bill:
    """The 1x1 from 2c to c and the SKAF behind it, the same two parts in an LGFI and in an EDFF."""
    return {"reduce": convolution(2 * c, c, 1, height, width),
            "skaf": skaf(c, height, width, config.kernels, config.pools, config.dilated)}


def halving(a: int, b: int, height: int, width: int) -> Cost:
    """9ab + 9b^2, both on a quarter of the pixels."""
    weights = 9 * a * b + 9 * b * b
    return Cost(weights, weights * (height * width // 4))


def doubling(a: int, b: int, height: int, width: int) -> Cost:
    """36ab on the small image, then, after the shuffle, 9b^2 on four times the pixels."""
    return Cost(36 * a * b + 9 * b * b, (36 * a * b + 4 * 9 * b * b) * height * width)


def bill(config: AMINetConfig = AMINET, size: int = 128) -> Bill:
    """The whole network by hand, from head to tail: {"": total, "head": ..., "encoders.0.sa": ..., ...}.

    Names are those of `AMINet(config).named_modules()`. A part's cost is contained in its parent's.
    size: height and width of the input in pixels, a multiple of `config.multiple`, else BadInput.
    """
    if size < 1 or size % config.multiple:
        raise BadInput(f"size={size}: take a multiple of {config.multiple} pixels")
    w, side = config.widths, [size >> level for level in range(4)]

    def stage(level: int) -> Bill:
        shape = w[level], side[level], side[level], config.heads[level]
        if config.block == "lgfi":
            return lgfi(*shape, config.depths[level], config)
        return nest({str(i): transformer_block(*shape, config.scale) for i in range(config.blocks)})

    parts: dict[str, Cost | Bill] = {"head": convolution(3, w[0], 3, size, size)}
    for i in range(3):
        parts[f"encoders.{i}"] = stage(i)
        parts[f"downs.{i}"] = halving(w[i], w[i + 1], side[i], side[i])
    parts["bottleneck"] = nest({str(i): stage(3) for i in range(2 if config.block == "lgfi" else 1)})
    for i in (2, 1, 0):
        parts[f"ups.{i}"] = doubling(w[i + 1], w[i], side[i + 1], side[i + 1])
        parts[f"edffs.{i}"] = nest(fusion(w[i], side[i], side[i], config) if config.skaf != "none" else {})
        parts[f"decoders.{i}"] = stage(i)
    parts["tail"] = convolution(w[0], 3, 3, size, size)
    return nest(parts)


def blank(model: nn.Module, size: int | None = None) -> torch.Tensor:
    """One empty image (1, 3, size, size) where the model lives: of 128 pixels, or 16 if it takes the LR face."""
    size = size or (HR if getattr(model, "config", Config).enlarged else LR)
    return torch.zeros(1, 3, size, size, device=next(model.parameters()).device)


def counted(model: nn.Module, size: int | None = None) -> Bill:
    """Every module of `model` as torch counts it, by name ("" is the whole), on one image of `blank`.

    A copy runs on the model's own device. One built under `torch.device("meta")` has shapes and no values,
    and is counted without computing anything.
    """
    model = copy.deepcopy(model).eval()
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        model(blank(model, size))
    flops, root = counter.get_flop_counts(), type(model).__name__
    rows = {}
    for name, module in model.named_modules():
        if not isinstance(module, nn.ModuleList):  # a list is never called
            by_kind = {"conv": 0, "matmul": 0}
            for op, count in flops.get(f"{root}.{name}" if name else root, {}).items():
                by_kind["conv" if "convolution" in str(op) else "matmul"] += count // 2
            rows[name] = Cost(sum(p.numel() for p in module.parameters()), **by_kind)
    return rows


def thop_counted(model: nn.Module, size: int | None = None) -> tuple[int, int]:
    """Parameters and MACs by the package `thop`: the published tables hold its numbers.

    It adds four operations per value of a batch norm and one per value of a PReLU, and misses what is not a
    module it knows: here the attention's matrix products, the parameters of LayerNorm and the temperature.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # thop imports the deprecated distutils
        try:
            from thop import profile
        except ImportError as error:
            raise BadInput(f"to count as the paper does: pip install thop setuptools ({error})") from None
        macs, params = profile(copy.deepcopy(model), (blank(model, size),), verbose=False)[:2]
    return int(params), int(macs)


def thop_if_there(model: nn.Module) -> tuple[int, int] | tuple[None, None]:
    """`thop_counted`, or None for both counts where thop cannot be imported."""
    try:
        return thop_counted(model)
    except BadInput:
        return None, None


# Parameters and MACs of AMINet, digit for digit as printed; None where the paper gives none.
PUBLISHED = {
    "aminet": ("12.62M", "15.6G"),  # Tables I, II, III (parameters) and X
    "aminet-s": ("8.2M", "9.4G"),  # Table X
    "aminet-8c": ("12.62M", "15.6G"),  # other readings of the same row: their parameters meet it, their MACs do not
    "aminet-c32": ("12.62M", "15.6G"),
    "w/o SA": ("12.3M", None),  # Table I
    "w/o RDFE": ("7.2M", None),
    "w/o SKAF": ("8.21M", None),
    "LGFI->Transformer": ("11.32M", None),  # Table II
    "RDFE->FFN": ("12.11M", None),  # Table III
}
UNITS = {"M": 10**6, "G": 10**9}


def value_of(printed: str) -> float:
    """12.62M -> 12620000.0"""
    return float(Decimal(printed[:-1]) * UNITS[printed[-1]])


def match(ours: int, printed: str) -> str | bool:
    """How `ours` becomes the printed digits: `rounds`, `truncates`, `both`, or False."""
    digits, value = Decimal(printed[:-1]), Decimal(ours) / UNITS[printed[-1]]
    rounds = value.quantize(digits, ROUND_HALF_UP) == digits
    truncates = value.quantize(digits, ROUND_DOWN) == digits
    if rounds and truncates:
        return "both"
    return "rounds" if rounds else "truncates" if truncates else False


def entry(name: str, config: AMINetConfig) -> dict:
    """One row of `ledger`: `name` finds the published counts, `config` is counted three ways, two without thop."""
    with torch.device("meta"):
        model = AMINet(config)
    hand, by_torch = bill(config)[""], counted(model)[""]
    thop_params, thop_macs = thop_if_there(model)
    row: dict = {"name": name, "params": hand.params, "macs": hand.macs, "torch_params": by_torch.params,
                 "torch_macs": by_torch.macs, "thop_params": thop_params, "thop_macs": thop_macs}
    printed_params, printed_macs = PUBLISHED.get(name, (None, None))
    # The published counts are thop's, so its MACs are the ones to compare.
    for key, ours, printed in (("params", hand.params, printed_params), ("macs", thop_macs, printed_macs)):
        row |= {f"published_{key}": value_of(printed) if printed else None, f"printed_{key}": printed,
                f"{key}_deviation": None, f"{key}_match": None}
        if printed and ours is not None:
            row |= {f"{key}_deviation": ours / value_of(printed) - 1, f"{key}_match": match(ours, printed)}
    return row


def ledger(names: Collection[str] = ()) -> list[dict]:
    """Count every preset and every row of Tables I to V at 128 x 128, or those of `names`; BadInput for an unknown one.

    Keys: name; params and macs, by hand; torch_*, thop_*; published_* as numbers and printed_* as printed,
    None where the paper has none; *_deviation, a fraction of them; *_match (see `match`). thop's MACs are
    the ones compared.
    """
    configs = PRESETS | {name: replace(AMINET, **changes) for name, changes in ABLATIONS.items()}
    if unknown := [name for name in names if name not in configs]:
        raise BadInput(f"the ledger has no {unknown[0]!r}: choose from {', '.join(configs)}")
    wanted = tqdm(names or configs, "counting", leave=False, dynamic_ncols=True, delay=2)
    return [entry(name, configs[name]) for name in wanted]


LEGEND = """params, G MACs: by hand, at 1x3x128x128; a ! says that PyTorch counts otherwise. thop: the counter behind
the published MACs, which are compared with it. match: ours becomes the printed digits when it is rounded or truncated.
aminet-8c and aminet-c32 are other readings of the paper's row, kept because their MACs do not fit: notebook 08."""


def format_ledger(rows: list[dict]) -> str:
    """The ledger as a table for people."""
    def marked(row: dict, key: str, text: str) -> str:
        return text if row[key] == row[f"torch_{key}"] else f"{text}!"

    def compared(row: dict, key: str) -> tuple[str, str, str]:
        how = row[f"{key}_match"]
        deviation = "" if how is None else f"{row[f'{key}_deviation']:+.2%}"
        return row[f"printed_{key}"] or "-", deviation, "no" if how is False else how or ""

    headers = ["name", "params", "published", "deviation", "match", "G MACs", "thop", "published", "deviation", "match"]
    cells = [(row["name"], marked(row, "params", f"{row['params']:,}"), *compared(row, "params"),
              marked(row, "macs", f"{row['macs'] / 1e9:.3f}"),
              f"{row['thop_macs'] / 1e9:.3f}" if row["thop_macs"] else "-", *compared(row, "macs")) for row in rows]
    lines = [tabulate(cells, headers, colalign=("left", *["right"] * 9), disable_numparse=True), "", LEGEND]
    if rows[0]["thop_macs"] is None:
        lines.append("thop is left out: it is not installed: pip install thop setuptools")
    return "\n".join(lines)
