"""The course's exercises: what a right answer is, what known mistakes mean, and the check of a learner's answer.

A notebook says `passed = check("03.2", parameters)`. Nothing of the answer stands on its page.
"""
from __future__ import annotations

import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache
from math import log
from types import MethodType

import torch
from torch import nn
from torch.nn import functional as F
from torch.utils.flop_counter import FlopCounterMode

from aminet import preset
from aminet.config import AMINET
from aminet.degrade import degrade, to_float, upsample
from aminet.edff import EDFF
from aminet.faces.portraits import portraits
from aminet.lgfi import LGFI
from aminet.model import AMINet
from aminet.notebook import show
from aminet.protocol import PROTOCOLS, psnr
from aminet.sa import SelfAttention
from aminet.training.weights import load_weights
from aminet.transformer import TransformerBlock

Known = Sequence[tuple[Callable, str]]  # a wrong answer, and what to say to who gives it
TRIES: Counter[str] = Counter()  # of each exercise in this session


@dataclass(frozen=True)
class Exercise:
    """What an answer is compared with.

    cases: makes arguments and the value expected of them. module: what the answer is the forward of, instead of cases.
    mistakes: known ones. hint: said from the second try on. tolerance: of numbers, absolute.
    """

    hint: str
    cases: Callable[[], list[tuple[tuple, object]]] | None = None
    mistakes: Known = ()
    module: type | None = None
    tolerance: float = 1e-4


def check(number: str, answer: Callable) -> bool:
    """Check a learner's answer to an exercise, `answer(*arguments)` in every case; print the verdict.

    Of an exercise on a module `answer` is its `forward(self, x)`: it must equal the package's within 1e-5 at every place
    of the trained network `pocket`, and the figure shows the faces that the network then restores.
    """
    exercise = EXERCISES[number]
    if untouched(answer):
        print(f"your turn: {answer.__name__}")
        return False
    cases = places(exercise.module) if exercise.module else [("", *case) for case in exercise.cases()]
    tolerance = 1e-5 if exercise.module else exercise.tolerance
    problems = ((place, fault(answer, arguments, expected, tolerance)) for place, arguments, expected in cases)
    problem = next((place + words for place, words in problems if words), "")
    known = [words for wrong, words in exercise.mistakes if problem and same(answer, wrong, cases, tolerance)]
    if exercise.module:
        restore_with(exercise.module, answer)
    if not problem:
        print("right")
        return True
    TRIES[number] += 1
    advice = known[:1] or [f"hint: {exercise.hint}"] * (TRIES[number] > 1)
    print("\n         ".join([f"not yet: {problem}", *advice]))
    return False


def same(answer: Callable, wrong: Callable, cases: Sequence[tuple], tolerance: float) -> bool:
    """Return whether an answer gives what a known mistake gives, in every case."""
    with suppress(Exception), torch.no_grad():  # a mistake that fails in a case is not the learner's
        return not any(fault(answer, arguments, wrong(*deepcopy(arguments)), tolerance) for _, arguments, _ in cases)
    return False


def untouched(answer: Callable) -> bool:
    """Return whether a function is still the stub `...`, with or without a docstring."""
    def stub(): ...

    def documented():
        """A stub."""

    code = answer.__code__
    stubs = stub.__code__.co_code, documented.__code__.co_code
    return code.co_code in stubs and {*code.co_consts} <= {None, answer.__doc__}


def fault(answer: Callable, arguments: tuple, expected: object, tolerance: float) -> str:
    """Return what is wrong with an answer to one case, an error with its line or the difference; "" if it is right."""
    try:
        with torch.no_grad():
            return difference(answer(*deepcopy(arguments)), expected, tolerance)
    except Exception as error:  # a learner's mistake of any kind is explained, not raised
        own = [frame for frame in traceback.extract_tb(error.__traceback__)
               if frame.filename == answer.__code__.co_filename and frame.name == answer.__name__]
        place = f" in line {own[-1].lineno}, `{own[-1].line}`" if own else ""
        return f"{type(error).__name__}{place}: {error}"


def difference(given, expected, tolerance: float) -> str:
    """Return how an answer differs from what is expected; "" if it does not."""
    if given is None:
        return "nothing is returned"
    if isinstance(expected, (str, bool)):
        return "" if given == expected else f"{given!r} instead of {expected!r}"
    if isinstance(expected, (tuple, list)):
        if len(given) != len(expected):
            return f"{len(given)} values instead of {len(expected)}"
        found = enumerate(difference(g, e, tolerance) for g, e in zip(given, expected))
        return next((f"value {i}: {words}" for i, words in found if words), "")
    given, expected = torch.as_tensor(given).double(), torch.as_tensor(expected).double()
    if not expected.dim() and given.numel() == 1:  # one number is one number, in whatever shape
        given = given.reshape(())
    if given.shape != expected.shape:
        return f"the shape is {tuple(given.shape)} instead of {tuple(expected.shape)}"
    if torch.allclose(given, expected, rtol=0, atol=tolerance):
        return ""
    gap = (given - expected).abs().nan_to_num(torch.inf)
    place = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)) if gap.dim() else ()
    where = f" at {place}; {int((gap > tolerance).sum()):,} of {gap.numel():,} values differ" if place else ""
    return f"{given[place]:.5g} instead of {expected[place]:.5g}{where}"


# Modules in the trained network


def faces_and_input() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two portraits, uint8 (2, 3, 128, 128), and what the network takes of them."""
    hr = torch.stack(list(portraits().values()))
    return hr, to_float(upsample(degrade(hr)))


def places(kind: type) -> list[tuple[str, tuple, torch.Tensor]]:
    """Return every place of a module in the trained network: its name, (module, input) and its output there."""
    network, calls = load_weights("pocket")[0], []
    modules = [(name, module) for name, module in network.named_modules() if isinstance(module, kind)]

    def note(name):
        def hook(module, arguments, output):
            calls.append((f"{name}: " * bool(name), (module, *arguments), output))
        return hook

    hooks = [module.register_forward_hook(note(name)) for name, module in modules]
    with torch.no_grad():
        network(faces_and_input()[1])
    for hook in hooks:
        hook.remove()
    return calls


def restore_with(kind: type, forward: Callable) -> None:
    """Show two faces as the trained network restores them, and as it does with this forward in all modules of a kind."""
    hr, image = faces_and_input()
    networks = {"right": load_weights("pocket")[0], "yours": load_weights("pocket")[0]}
    for module in networks["yours"].modules():
        if isinstance(module, kind):
            module.forward = MethodType(forward, module)
    faces = {"input": image}
    for name, network in networks.items():
        with torch.no_grad(), suppress(Exception):  # a forward that fails is explained in words
            faces[name] = network(image)
    values = {name: psnr(face, hr, PROTOCOLS["paper"]).mean() for name, face in faces.items()}
    faces["original"] = to_float(hr)
    titles = [f"{name}\n{values[name]:.2f} dB" if name in values else name for name in faces]
    show([[face[i] for face in faces.values()] for i in range(len(hr))], titles, height=1.8)


# 03 SA


def sa_between_rows(self, x):
    b, c, height, width = x.shape
    qkv = self.depthwise(self.qkv(x)).reshape(b, 3, self.heads, c // self.heads, height * width)
    q, k, v = qkv.unbind(1)
    a = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature).softmax(dim=-2)
    return self.project((a @ v).reshape(x.shape))


def sa_without_lengths(self, x):
    b, c, height, width = x.shape
    qkv = self.depthwise(self.qkv(x)).reshape(b, 3, self.heads, c // self.heads, height * width)
    q, k, v = qkv.unbind(1)
    return self.project(((q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1) @ v).reshape(x.shape))


def sa_without_projection(self, x):
    weights, v = self.attention(x)
    return (weights @ v).reshape(x.shape)


# 06 LGFI


def lgfi_without_shortcut(self, x):
    return self.fuse(*self.branches(x))


def lgfi_without_norm(self, x):
    return x + self.fuse(self.sa(x), self.local(x))


def lgfi_weights_swapped(self, x):
    a, r = self.branches(x)
    w1, w2 = self.skaf(self.reduce(torch.cat([a, r], dim=1)))
    return x + a * w2 + r * w1


def lgfi_halves_swapped(self, x):
    a, r = self.branches(x)
    w1, w2 = self.skaf(self.reduce(torch.cat([r, a], dim=1)))
    return x + a * w1 + r * w2


def lgfi_weighs_mixture(self, x):
    m = self.reduce(torch.cat(self.branches(x), dim=1))
    w1, w2 = self.skaf(m)
    return x + m * w1 + m * w2


def lgfi_in_series(self, x):
    a = self.sa(self.norm(x))
    return x + self.fuse(a, self.local(a))


def lgfi_shortcut_from_norm(self, x):
    return self.norm(x) + self.fuse(*self.branches(x))


def without_sa_cases() -> list[tuple[tuple, torch.Tensor]]:
    """Return every LGFI of the trained network with its input, and what the package's LGFI without SA makes of it."""
    trained = load_weights("pocket")[0]
    bare = AMINet(replace(trained.config, sa=False)).eval()
    bare.load_state_dict(trained.state_dict(), strict=False)  # all but SA
    with torch.no_grad():
        return [((block, x), bare.get_submodule(name.removesuffix(": "))(x)) for name, (block, x), _ in places(LGFI)]


@cache
def blocks_cases() -> list[tuple[tuple, int]]:
    """Return budgets, and the number of blocks of that network, of 18 built on the meta device, which comes closest."""
    def size(module):
        return sum(p.numel() for p in module.parameters())

    def built(n):
        return AMINet(replace(preset("aminet"), block="transformer", blocks=n))

    with torch.device("meta"):
        sizes, stages = {n: size(built(n)) for n in range(1, 19)}, (0, 1, 2, 3, 2, 1, 0)
        per_block = [size(TransformerBlock(AMINET.widths[level], AMINET.heads[level])) for level in stages]
    return [((budget, sizes[1] - sum(per_block), per_block), min(sizes, key=lambda n: abs(sizes[n] - budget)))
            for budget in (11_320_000, 12_620_000, 7_000_000)]


def share_cases() -> list[tuple[tuple, tuple]]:
    """Return terms whose RMS can be read off, 2.5, 2.5, 5 and 1, 1, 3, and their shares."""
    mixed = torch.tensor([0.0, 0.0, 3.0, -4.0]).reshape(2, 1, 1, 2)
    flat = torch.ones(1, 2, 3, 3)
    return [((mixed, torch.full_like(mixed, 2.5), torch.full_like(mixed, -5.0)), (25, 25, 50)),
            ((flat, -flat, 3 * flat), (20, 20, 60))]


def shares_of(size: Callable, whole: float = 100) -> Callable:
    """Return an answer to 06.4 that measures a term by `size`."""
    return lambda *terms: tuple(whole * size(v) / sum(size(t) for t in terms) for v in terms)


# 08 AMINet

SIDES = (128, 64, 32, 16)


def aminet_u(self, x, early=False, crosses=True, fuse=lambda edff, kept, risen: edff(kept, risen)):
    x, skips = self.head(x), []
    for encoder, down in zip(self.encoders, self.downs):
        encoded = encoder(x)
        skips.append(x if early else encoded)
        x = down(encoded)
    x = self.bottleneck(x) if crosses else x
    for edff, kept, up, decoder in list(zip(self.edffs, skips, self.ups, self.decoders))[::-1]:
        x = decoder(fuse(edff, kept, up(x)))
    return self.tail(x)


def aminet_without_input(self, x):
    return aminet_u(self, x)


def aminet_swapped(self, x):
    return aminet_u(self, x, fuse=lambda edff, kept, risen: edff(risen, kept)) + x


def aminet_kept_too_early(self, x):
    return aminet_u(self, x, early=True) + x


def aminet_without_bottleneck(self, x):
    return aminet_u(self, x, crosses=False) + x


def aminet_added_skips(self, x):
    return aminet_u(self, x, fuse=lambda edff, kept, risen: kept + risen) + x


def depthwise_rate(widths):
    """Return the MACs per parameter of depthwise 3x3 convolutions at the four sides, both as PyTorch counts them."""
    layers = [nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False, device="meta") for width in widths]
    with FlopCounterMode(display=False) as counter:
        for layer, side in zip(layers, SIDES):
            layer(torch.zeros(1, layer.in_channels, side, side, device="meta"))
    return counter.get_total_flops() / 2 / sum(p.numel() for layer in layers for p in layer.parameters())


EXERCISES = {
    "03.1": Exercise(
        "split the 3C channels of self.depthwise(self.qkv(x)) into q, k, v, heads and pixels: (B, 3, h, C/h, HW)",
        module=SelfAttention, mistakes=[
            (sa_between_rows, "the softmax runs over the wrong axis: each output is a mean of values, so each row sums to 1"),
            (sa_without_lengths, "q and k must have length 1 over the pixels: the temperature multiplies a cosine"),
            (sa_without_projection, "Eq. 5 ends with a 1x1 convolution, self.project")]),
    "03.2": Exercise(
        "the depthwise 3x3 works on Q, K and V: how many channels is that?",
        cases=lambda: [((c, h), sum(p.numel() for p in SelfAttention(c, h).parameters()))
                       for c, h in zip(AMINET.widths, AMINET.heads)],
        mistakes=[(lambda c, h: 4 * c * c + 9 * c + h, "the depthwise 3x3 has a kernel for each of 3c channels, not of c"),
                  (lambda c, h: 4 * c * c + 27 * c, "the temperatures are parameters, too: one for each head"),
                  (lambda c, h: 4 * c * c + 81 * c * c + h, "a depthwise convolution has 9 weights a channel")]),
    "03.3": Exercise(
        "write the odds p / (1 - p) first: they are e^tau against n - 1",
        cases=lambda: [((n, float(torch.tensor([tau] + [0.0] * (n - 1)).double().softmax(0)[0])), tau)
                       for n, tau in ((2, 1.0), (28, 1.0), (28, 5.5), (8, 3.0))],
        mistakes=[(lambda n, p: log(p / (1 - p)), "this is the answer for two channels: there are n - 1 others"),
                  (lambda n, p: log(p * (n - 1)), "p is the share of one channel: its odds are p / (1 - p)")]),
    "06.1": Exercise(
        "follow the drawing from left to right, with its dashed parts: u, a, r, m, w1 and w2, fused, y",
        module=LGFI, mistakes=[
            (lgfi_without_shortcut, "the shortcut around the block is missing"),
            (lgfi_without_norm, "the branches got the raw x: the trained ones expect it normed"),
            (lgfi_weights_swapped, "the two weights of SKAF are swapped"),
            (lgfi_halves_swapped, "the 1x1 convolution got the two features in the wrong order"),
            (lgfi_weighs_mixture, "the weights multiply the mixture here, not the two features that it is made of"),
            (lgfi_in_series, "RDFE got the output of SA: this is one after the other, as in the Transformer"),
            (lgfi_shortcut_from_norm, "the shortcut starts behind the norm: it carries u here")]),
    "06.2": Exercise(
        "the branch passes u = block.norm(x) on; norm, RDFE, SKAF and shortcut stay as they are",
        cases=without_sa_cases,
        mistakes=[(lambda block, x: x + block.fuse(torch.zeros_like(x), block.local(block.norm(x))),
                   "the SA branch fell silent: SKAF sees another mixture then"),
                  (lambda block, x: block.fuse(block.norm(x), block.local(block.norm(x))),
                   "the shortcut around the block is gone, too"),
                  (lambda block, x: x + block.fuse(x, block.local(block.norm(x))),
                   "the branch passes x on here, from before the norm"),
                  (lambda block, x: x + block.local(block.norm(x)), "SKAF is gone, too: only SA was to be removed")]),
    "06.3": Exercise(
        "every stage gets the same number, so one more block costs sum(per_block)",
        cases=blocks_cases,
        mistakes=[(lambda budget, fixed, per_block: round(budget / sum(per_block)),
                   "the budget also pays for what lies outside the stages"),
                  (lambda budget, fixed, per_block: (budget - fixed) // sum(per_block),
                   "this is the largest net below the budget: one above it may be closer"),
                  (lambda budget, fixed, per_block: round(7 * (budget - fixed) / sum(per_block)),
                   "this counts the blocks of all seven stages together")]),
    "06.4": Exercise(
        "the RMS is the root of the mean of the squares",
        cases=share_cases,
        mistakes=[(shares_of(lambda v: v.mean().item()), "this is the mean: positive and negative values cancel"),
                  (shares_of(lambda v: v.abs().mean().item()), "this is the mean of absolute values, not the RMS"),
                  (shares_of(lambda v: v.square().mean().item()), "this is the mean of the squares: the root is missing"),
                  (shares_of(lambda v: v.square().mean().sqrt().item(), 1), "these shares add up to 1, not to 100%")]),
    "08.1": Exercise(
        "print x.shape after each step: what you keep at a level must have the shape of what comes up to that level",
        module=AMINet, mistakes=[
            (aminet_without_input, "the face that went in is missing in what you return"),
            (aminet_swapped, "EDFF's two inputs are swapped: it takes the decoder's feature for the encoder's"),
            (aminet_kept_too_early, "what you keep for EDFF has not been through the encoder"),
            (aminet_without_bottleneck, "the bottleneck is left out"),
            (aminet_added_skips, "the kept feature is only added to the new one: no EDFF weighs them")]),
    "08.2": Exercise(
        "write out one width first: three dense convolutions, the mixing 7x7, and every bias",
        cases=lambda: [((widths,), sum(p.numel() for c in widths for p in EDFF(c).parameters()))
                       for widths in ((32,), (128, 64, 32))],
        mistakes=[(lambda widths: sum(76 * c * c for c in widths),
                   "you counted the weights that matter: the biases and the mixing 7x7 are missing"),
                  (lambda widths: sum(76 * c * c + 196 for c in widths), "the biases are missing"),
                  (lambda widths: sum(74 * c * c + 2 * c + 198 for c in widths), "the 1x1 from 2c to c is missing"),
                  (lambda widths: sum(2 * c * c + c + 74 * c + 2 * c + 198 for c in widths),
                   "you counted the 5x5 and the large 7x7 as depthwise: they are dense")]),
    "08.3": Exercise(
        "as per_parameter, but how do the weights grow with the width?",
        cases=lambda: [((widths,), depthwise_rate(widths)) for widths in ((1, 2, 4, 8), (1, 2, 4, 4))],
        mistakes=[(lambda widths: sum(r * r * s * s for r, s in zip(widths, SIDES)) / sum(r * r for r in widths),
                   "this is a dense layer's rate: you let the weights grow with the square of the width"),
                  (lambda widths: sum(r * s * s for r, s in zip(widths, SIDES)) / sum(r * r for r in widths),
                   "the MACs are a depthwise layer's, but you divide by the weights of a dense one"),
                  (lambda widths: sum(s * s for s in SIDES) / 4,
                   "you took the mean over the levels: they do not have equally many weights"),
                  (lambda widths: sum(r * s for r, s in zip(widths, SIDES)) / sum(widths),
                   "you used each weight once for each pixel of a side, not of the image")]),
}
