"""The course's block diagrams: each module of AMINet, and the network, drawn by one function."""
from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import matplotlib.pyplot as plt
from matplotlib.figure import Figure


@dataclass(frozen=True)
class Diagram:
    """Modules as blocks with arrows between them.

    blocks: name -> (x, y) or (x, y, text), in inches. A text of one sign is an operator, in a circle; one in brackets
    or between $ stands without a frame. arrows: chains such as "x > ln |- sa -| sum": straight, up or down and then
    across, across and then up or down. "x ^3 sum" goes over the height 3. dashed: blocks and arrows that the paper's
    figure does not show.
    """

    title: str
    blocks: Mapping[str, Sequence]
    arrows: Sequence[str]
    dashed: Sequence[str] = ()


def draw(name: str, *now: str, links: Mapping[str, str] | None = None) -> Figure:
    """Draw one of DIAGRAMS; return the figure. Blocks whose text starts with a word of `now` are in colour.

    links: addresses, by the start of a block's text; in an SVG a click on the block leads there.
    """
    diagram = DIAGRAMS[name]
    blocks, arrows = diagram.blocks, diagram.arrows
    texts = {name: block[2] if len(block) > 2 else name for name, block in blocks.items()}
    centre = {name: tuple(block[:2]) for name, block in blocks.items()}
    half = {name: half_size(text) for name, text in texts.items()}
    low, high = ([pick(centre[name][k] + sign * half[name][k] for name in blocks) for k in (0, 1)]
                 for pick, sign in ((min, -1), (max, 1)))
    lifts = [float(word[1:]) for arrow in arrows for word in arrow.split() if word[0] == "^"]
    low[1], high[1] = min([low[1], *lifts]) - 0.1, max([high[1], *lifts]) + 0.45
    figure = plt.figure(figsize=(high[0] - low[0] + 0.1, high[1] - low[1]))
    figure.set_label(diagram.title)
    axis = figure.add_axes([0, 0, 1, 1])
    axis.set(xlim=(low[0] - 0.05, high[0] + 0.05), ylim=(low[1], high[1]))
    axis.axis("off")
    axis.text(low[0], high[1] - 0.05, diagram.title, va="top", fontsize=11)
    for name, text in texts.items():
        colour, style = "#f6c29a" if now and text.startswith(now) else "#e8edf3", "--" if name in diagram.dashed else "-"
        width, height = half[name]
        if len(text) == 1:
            axis.add_patch(plt.Circle(centre[name], width, fc="white", ec="black", ls=style, zorder=2))
        elif text[0] not in "($":
            axis.add_patch(plt.Rectangle((centre[name][0] - width, centre[name][1] - height), 2 * width, 2 * height,
                                         fc=colour, ec="black", ls=style, zorder=2))
        url = next((url for start, url in (links or {}).items() if text.startswith(start)), None)
        axis.text(*centre[name], text.strip("()") if text[0] == "(" else text, ha="center", va="center", zorder=3,
                  url=url, color="#0b5cad" if url else "black")
    for arrow in arrows:
        words = arrow.split()
        for start, way, end in zip(words[::2], words[1::2], words[2::2]):
            points = route(centre[start], half[start], way, centre[end], half[end])
            style = "--" if arrow in diagram.dashed else "-"
            axis.plot(*zip(*points), color="black", lw=1, ls=style, zorder=1)
            axis.annotate("", points[-1], points[-2], zorder=1,
                          arrowprops={"arrowstyle": "-|>", "color": "black", "lw": 1, "shrinkA": 0, "shrinkB": 0})
    return figure


def half_size(text: str) -> tuple[float, float]:
    """Return half the width and half the height of a block with this text, in inches."""
    if len(text) == 1:
        return 0.13, 0.13
    lines = re.sub(r"[${}_()]", "", text).split("\n")
    return 0.045 * max(len(line) for line in lines) + 0.1, 0.085 * len(lines) + 0.08


def route(start: Sequence[float], start_half: Sequence[float], way: str, end: Sequence[float],
          end_half: Sequence[float]) -> list[tuple[float, float]]:
    """Return the points of an arrow between the frames of two blocks; see `Diagram` for the ways."""
    def edge(centre, half, towards):
        """Where the frame of a block is met, from a point straight above, below or beside it."""
        across = abs(towards[0] - centre[0]) > half[0]
        k = 0 if across else 1
        point = list(centre)
        point[k] += half[k] if towards[k] > centre[k] else -half[k]
        if across and abs(towards[1] - centre[1]) <= half[1]:
            point[1] = towards[1]
        return tuple(point)

    corners = {"|-": [(start[0], end[1])], "-|": [(end[0], start[1])], ">": []}.get(
        way, [(start[0], float(way[1:])), (end[0], float(way[1:]))] if way[0] == "^" else [])
    return [edge(start, start_half, (corners or [end])[0]), *corners, edge(end, end_half, (corners or [start])[-1])]


def level(i: int) -> str:
    """Return the text of an LGFI, with the size of its feature at level i of the U."""
    return f"LGFI\n{128 >> i}×{128 >> i}, {('', 2, 4, 4)[i]}C"


KERNELS = {3: 2, 5: 1, 7: 0}  # RDFE's paths and their heights in its diagram

DIAGRAMS = {
    "AMINet": Diagram(
        "AMINet (Fig. 2): a U of eight LGFIs, with an EDFF at each joint",
        {"image": (0, 3, "(LR face,\nenlarged)"), "head": (0.78, 3, "3×3"), "tail": (8.42, 3, "3×3"), "+": (8.9, 3),
         "face": (9.5, 3, "(SR face)"), "low1": (3.72, 0, level(3)), "low2": (4.86, 0, level(3)),
         **{f"E{i}": (1.68 + 0.68 * i, 3 - i, level(i)) for i in range(3)},
         **{f"EDFF{i}": (6.68 - 0.91 * i, 3 - i, "EDFF") for i in range(3)},
         **{f"D{i}": (7.59 - 0.91 * i, 3 - i, level(i)) for i in range(3)}},
        ["image > head > E0 > EDFF0 > D0 > tail > + > face", "E0 |- E1 > EDFF1 > D1", "E1 |- E2 > EDFF2 > D2",
         "E2 |- low1 > low2 > EDFF2", "D2 > EDFF1", "D1 > EDFF0", "image ^3.5 +"]),
    "SA": Diagram(
        "SA (Fig. 3b, Eqs. 1-5): attention between channels",
        {"u": (0, 1, "$u$"), "qkv": (1.2, 1, "1×1, depthwise 3×3"), "q": (3.1, 2, "q, unit length"),
         "k": (3.1, 1, "k, unit length"), "v": (3.1, 0, "values v"), "qk": (4.2, 1.5, "×"), "tau": (4.85, 1.5, "times τ"),
         "softmax": (5.8, 1.5, "softmax"), "av": (6.6, 0.75, "×"), "out": (7.2, 0.75, "1×1"), "y": (8.0, 0.75, "$X_{SA}$")},
        ["u > qkv > k", "qkv |- q", "qkv |- v", "q -| qk", "k -| qk", "qk > tau > softmax -| av", "v -| av", "av > out > y"],
        dashed=["tau"]),
    "RDFE": Diagram(
        "RDFE (Fig. 3a, Eqs. 6-10): three kernel sizes, one attention map, one refinement",
        {"u": (0, 1, "$u$"), "unit": (2.6, 2.9, "attention unit"), "cat": (6.9, 1, "concat, 1×1"), "+": (7.85, 1),
         "refine": (8.75, 1, "refinement"), "y": (9.75, 1, "$X_{RD}$"),
         **{f"first{k}": (1.3, y, f"depthwise {k}×{k}") for k, y in KERNELS.items()},
         **{f"times{k}": (3.6, y, "×") for k, y in KERNELS.items()},
         **{f"second{k}": (4.6, y, f"depthwise {k}×{k}") for k, y in KERNELS.items()},
         **{f"relu{k}": (5.8, y, "ReLU") for k, y in KERNELS.items()}},
        ["u |- first3", "u |- first7", "u > first5", *(f"first{k} > times{k} > second{k} > relu{k}" for k in KERNELS),
         *(f"first{k} -| unit" for k in KERNELS), *(f"unit -| times{k}" for k in KERNELS), "relu3 -| cat", "relu7 -| cat",
         "relu5 > cat > + > refine > y", "u ^-0.5 +"]),
    "hourglass": Diagram(
        "The refinement (FRM, Eq. 10) with its hourglass, here with two halvings",
        {"x": (0, 2, "$x$"), "body": (1.2, 2, "norm, PReLU,\n3×3, twice"), "skip0": (3.4, 2, "3×3"), "skip1": (4.2, 1, "3×3"),
         "down0": (2.6, 1, "3×3, half"), "down1": (3.4, 0, "3×3, half"), "middle": (4.6, 0, "3×3"),
         "up1": (5.6, 0, "double, 3×3"), "+1": (5.6, 1, "+"), "up0": (6.6, 1, "double, 3×3"), "+0": (6.6, 2, "+"),
         "map": (7.5, 2, "3×3, sigmoid"), "times": (8.4, 2, "×"), "plus": (8.9, 2, "+"), "y": (9.4, 2, "$y$")},
        ["x > body > skip0 > +0 > map > times > plus > y", "body -| down0 > skip1 > +1 > up0 > +0", "down0 |- down1 > middle > up1 > +1",
         "body ^2.5 times", "x ^2.75 plus"]),
    "SKAF": Diagram(
        "SKAF (Fig. 2, Eqs. 11-14): two weights for every pixel",
        {"x": (0, 1, "$X$"), "k5": (0.9, 1.5, "5×5"), "k7": (0.9, 0.5, "7×7"), "cat": (1.8, 1, "concat"),
         "x3": (2.6, 1, "$X_3$"), "avg": (3.9, 1.5, "mean of channels"), "max": (3.9, 0.5, "maximum of channels"),
         "mix": (5.5, 1, "7×7 to 2"), "sigmoid": (6.5, 1, "sigmoid"), "w1": (7.3, 1.5, "$w_1$"), "w2": (7.3, 0.5, "$w_2$")},
        ["x |- k5", "x |- k7", "k5 -| cat", "k7 -| cat", "cat > x3", "x3 |- avg", "x3 |- max", "avg -| mix", "max -| mix",
         "mix > sigmoid", "sigmoid |- w1", "sigmoid |- w2"], dashed=["mix"]),
    "LGFI": Diagram(
        "LGFI (Fig. 2): two views of one feature, then a choice",
        {"x": (0, 1, "$x$"), "norm": (0.8, 1, "LN"), "SA": (1.7, 2), "RDFE": (1.7, 0), "cat": (3.0, 1, "concat, 1×1"),
         "SKAF": (4.2, 1), "*1": (5.2, 2, "×"), "*2": (5.2, 0, "×"), "+": (6.0, 1), "++": (6.8, 1, "+"), "y": (7.4, 1, "$y$"),
         "u": (0.98, 1.5, "$u$"), "a": (2.4, 2.17, "$a$"), "r": (2.4, 0.17, "$r$"), "w1": (5.42, 1.5, "$w_1$"),
         "w2": (5.42, 0.5, "$w_2$")},
        ["x > norm", "norm |- SA > *1", "norm |- RDFE > *2", "SA -| cat", "RDFE -| cat", "cat > SKAF", "SKAF -| *1",
         "SKAF -| *2", "*1 -| +", "*2 -| +", "+ > ++ > y", "x ^2.5 ++"], dashed=["norm", "x ^2.5 ++"]),
    "Transformer": Diagram(
        "The Transformer of Fig. 6: one after the other",
        {"x": (0, 0, "$x$"), "LN1": (0.9, 0, "LN"), "SA": (1.7, 0), "+": (2.5, 0), "h": (3.1, 0, "$h$"),
         "LN2": (3.9, 0, "LN"), "FFN": (4.7, 0), "++": (5.5, 0, "+"), "y": (6.1, 0, "$y$")},
        ["x > LN1 > SA > + > h > LN2 > FFN > ++ > y", "x ^0.5 +", "h ^0.5 ++"]),
    "EDFF": Diagram(
        "EDFF (Fig. 2, Eqs. 15-16): how much of the encoder, how much of the decoder",
        {"xe": (0, 1, "$X_E$"), "xd": (0, 0, "$X_D$"), "cat": (1.4, 0.5, "concat, 1×1"), "SKAF": (2.7, 0.5),
         "*1": (3.7, 1, "×"), "*2": (3.7, 0, "×"), "+": (4.5, 0.5), "y": (5.2, 0.5, "$X_{ED}$")},
        ["xe > *1", "xd > *2", "xe -| cat", "xd -| cat", "cat > SKAF", "SKAF -| *1", "SKAF -| *2", "*1 -| +", "*2 -| +",
         "+ > y"]),
    "AMIGAN": Diagram(
        "AMIGAN (Sec. III-D): AMINet, trained against a discriminator",
        {"lr": (0, 2, "(LR face,\nenlarged)"), "G": (1.45, 2, "generator $G$:\nAMINet"), "sr": (2.85, 2, "(SR face)"),
         "pixel": (4.9, 3, "pixel loss\n(Eq. 18)"), "vgg": (4.9, 2, "perceptual loss:\nVGG19 (Eq. 19)"),
         "D": (4.9, 1, "discriminator $D$"), "hr": (6.95, 2, "(HR face)"), "adv": (3.9, -0.1, "adversarial loss\n(Eq. 21)"),
         "dis": (5.9, -0.1, "discriminator loss\n(Eq. 20)")},
        ["lr > G > sr > vgg", "sr |- pixel", "sr |- D", "hr > vgg", "hr |- pixel", "hr |- D", "D ^0.5 adv", "D ^0.5 dis"]),
}
