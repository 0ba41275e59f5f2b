"""AMINet's configuration: the reading that matches the published counts, and every switch the paper leaves open."""
from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from typing import ClassVar

from .errors import BadInput

LR, HR = 16, 128  # sides of a face in pixels (Sec. IV-A): the network restores HR from LR

CHOICES = {
    "gate": ("maps", "features"),
    "scale": ("temperature", "sqrt"),
    "frm_norm": ("batch", "instance", "none"),
    "block": ("lgfi", "transformer"),
    "local": ("rdfe", "ffn", "none"),
    "skaf": ("everywhere", "edff", "none"),
}


@dataclass(frozen=True)
class Config:
    """What decides a network's architecture.

    network: the file in aminet/baselines, "" for AMINet. enlarged: the network takes the bicubically enlarged face
    (B, 3, 128, 128), else the LR face itself (B, 3, 16, 16). priors: what its loss takes beside it (aminet.faces.priors).
    """

    network: ClassVar[str] = ""
    enlarged: ClassVar[bool] = True
    priors: ClassVar[tuple[str, ...]] = ()

    def __post_init__(self):
        for field in fields(self):  # a checkpoint's header is checked like any other input
            value = getattr(self, field.name)
            if isinstance(value, list):  # JSON has no tuples
                object.__setattr__(self, field.name, value := tuple(value))
            if type(value) is not type(field.default) and not (type(value) is int and field.name == "ffn_expansion"):
                raise BadInput(f"{field.name}={value!r}: expected {type(field.default).__name__}")

    def to_dict(self) -> dict:
        return ({"network": self.network} if self.network else {}) | asdict(self)

    @classmethod
    def from_dict(cls, values: dict) -> Config:
        """The configuration that `to_dict` noted, without its `network`; BadInput for anything else."""
        if not isinstance(values, dict):
            raise BadInput("the configuration is no set of names and values")
        unknown = set(values) - {field.name for field in fields(cls)}
        if unknown:
            raise BadInput(f"unknown configuration keys {sorted(unknown)}: written by another version of aminet?")
        return cls(**values)


@dataclass(frozen=True)
class AMINetConfig(Config):
    """Everything that decides AMINet's architecture. The defaults are the preset `aminet` (12.62 M, 15.6 G).

    Size
        channels: C, the width at 128x128; widths are C, 2C, 4C and min(8, cap) C at 128, 64, 32 and 16 pixels.
        cap: widest level as a multiple of C: 4 as labelled in Fig. 2, 8 as written in Sec. III-A.
        heads, depths: SA heads and hourglass depths of the four levels.
    What the paper leaves open
        norm, residual: LayerNorm before and shortcut around an LGFI (neither is drawn in Fig. 2).
        gate: SKAF returns the two `maps` of Eq. 14, or multiplies its input `features` by them (Fig. 2).
        scale: SA's logits: unit-norm q and k times a learned `temperature`, or the literal 1/`sqrt`(d) of Eq. 4.
        frm_norm: normalisation inside the feature refinement module.
        zero_tail: the last convolution starts at zero, so the untrained net returns its bicubic input.
        dilated: SKAF's 5x5 as a dilated 3x3 (the `aminet-c32` reading).
    Removals and replacements (Tables I to V)
        block: `lgfi`, or Restormer's `transformer` blocks, `blocks` of them in each stage (Table II).
        sa: keep the global branch of LGFI (Table I).
        local: the local branch of LGFI: `rdfe`, a gated `ffn` (Table III), or `none` (Table I).
        skaf: SKAF `everywhere`, in the `edff` only (Table I's "w/o SKAF"), or `none` at all (Table V's first row).
        paths, attention_unit, refine: RDFE's kernel sizes, attention unit and FRM (Table IV).
        kernels, pools: SKAF's convolutions and channel poolings (Table V).
    """

    channels: int = 28
    cap: int = 4
    heads: tuple[int, ...] = (1, 2, 4, 4)
    depths: tuple[int, ...] = (3, 3, 2, 2)
    norm: bool = True
    residual: bool = True
    gate: str = "maps"
    scale: str = "temperature"
    frm_norm: str = "batch"
    zero_tail: bool = True
    dilated: bool = False
    block: str = "lgfi"
    blocks: int = 15
    sa: bool = True
    local: str = "rdfe"
    ffn_expansion: float = 26.33
    skaf: str = "everywhere"
    paths: tuple[int, ...] = (3, 5, 7)
    attention_unit: bool = True
    refine: bool = True
    kernels: tuple[int, ...] = (5, 7)
    pools: tuple[str, ...] = ("avg", "max")

    def __post_init__(self):
        super().__post_init__()
        for name, allowed in CHOICES.items():
            if (value := getattr(self, name)) not in allowed:
                raise BadInput(f"{name}={value!r}: choose one of {', '.join(allowed)}")
        if not (1 <= self.channels <= 1024 and 1 <= self.blocks <= 100 and 0 < self.ffn_expansion <= 100
                and self.cap in (4, 8)):
            raise BadInput(f"channels={self.channels} (1 to 1024), blocks={self.blocks} (1 to 100), ffn_expansion="
                           f"{self.ffn_expansion} (above 0, to 100) or cap={self.cap} (4 or 8) is out of its range")
        for name, largest in (("heads", 1024), ("depths", 7)):
            value = getattr(self, name)
            if len(value) != 4 or any(type(n) is not int or not 1 <= n <= largest for n in value):
                raise BadInput(f"{name}={value!r}: four whole numbers from 1 to {largest}, for 128, 64, 32, 16 pixels")
        if any(width % heads for width, heads in zip(self.widths, self.heads)):
            raise BadInput(f"heads={self.heads} must divide the widths {self.widths}")
        for name, allowed in (("paths", (3, 5, 7)), ("kernels", (5, 7)), ("pools", ("avg", "max"))):
            value = getattr(self, name)
            known = [n for n in value if n in allowed]
            if list(value) != known or len(set(known)) < len(known) or not (value or name == "pools"):
                raise BadInput(f"{name}={value!r}: take each at most once from {', '.join(map(str, allowed))}")

    @property
    def widths(self) -> tuple[int, int, int, int]:
        """Channels at 128, 64, 32 and 16 pixels."""
        c = self.channels
        return c, 2 * c, 4 * c, min(8, self.cap) * c

    @property
    def multiple(self) -> int:
        """Height and width of the input must be multiples of this many pixels (three halvings, then an hourglass)."""
        return max(2 ** (level + depth) for level, depth in enumerate(self.depths))


AMINET = AMINetConfig()
PRESETS = {
    "aminet": AMINET,
    "aminet-s": replace(AMINET, skaf="edff"),
    # Two other readings that reach the published 12.62 M, though not its 15.6 G (10.2 and 17.4): the text's 8C, and
    # a wider net with a cheaper 5x5. C and the shallower hourglasses were chosen to meet the parameters.
    "aminet-8c": AMINetConfig(channels=21, cap=8, depths=(2, 1, 1, 1)),
    "aminet-c32": AMINetConfig(channels=32, dilated=True, depths=(2, 1, 1, 1)),
    "pocket": AMINetConfig(channels=8),
    "pocket-s": AMINetConfig(channels=8, skaf="edff"),  # AMINet-S at the size of pocket
    "pocket-8c": AMINetConfig(channels=6, cap=8, depths=(2, 1, 1, 1)),  # aminet-8c at the size of pocket
}

# The rows of Tables I to V, by the name the paper prints. Table V's rows read "5x5 7x7 avg max".
ABLATIONS = {
    "w/o SA": dict(sa=False),
    "w/o RDFE": dict(local="none"),
    "w/o SKAF": dict(skaf="edff"),
    "LGFI->Transformer": dict(block="transformer"),
    "RDFE->FFN": dict(local="ffn"),
    "single path 3x3": dict(paths=(3,)),
    "single path 5x5": dict(paths=(5,)),
    "single path 7x7": dict(paths=(7,)),
    "w/o AU": dict(attention_unit=False),
    "w/o FRM": dict(refine=False),
    "SKAF none": dict(skaf="none"),
    "SKAF 7x7 avg max": dict(kernels=(7,)),
    "SKAF 5x5 avg max": dict(kernels=(5,)),
    "SKAF 7x7": dict(kernels=(7,), pools=()),
    "SKAF 7x7 avg": dict(kernels=(7,), pools=("avg",)),
    "SKAF 7x7 max": dict(kernels=(7,), pools=("max",)),
    "SKAF 5x5 7x7 avg max": dict(),
}
# What the paper leaves open, each against the reading taken here. A bottleneck of 8C: the presets `...-8c`.
READINGS = {
    "w/o norm": dict(norm=False),
    "w/o residual": dict(residual=False),
    "w/o norm, residual": dict(norm=False, residual=False),
    "SKAF gates features": dict(gate="features"),
    "scale sqrt(d)": dict(scale="sqrt"),
    "random tail": dict(zero_tail=False),
}


def preset(name: str) -> AMINetConfig:
    """The configuration of a preset, or of a row of ABLATIONS or READINGS at its size as `PRESET/ROW`: `pocket/w/o SA`,
    `aminet/8C`. BadInput for an unknown one."""
    base, _, row = name.partition("/")
    if base not in PRESETS:
        raise BadInput(f"unknown preset {base!r}: choose one of {', '.join(PRESETS)}")
    if row == "8C" and f"{base}-8c" in PRESETS:
        return PRESETS[f"{base}-8c"]
    rows = ABLATIONS | READINGS
    if row and row not in rows:
        raise BadInput(f"unknown row {row!r}: choose one of {', '.join(rows)}")
    return replace(PRESETS[base], **rows[row]) if row else PRESETS[base]
