"""The course's exercises: what a right answer is, what known mistakes mean, and the check of a learner's answer.

A notebook says `passed = check("03.2", parameters)`. Nothing of the answer stands on its page.
"""
from __future__ import annotations

import ast
import traceback
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import redirect_stdout, suppress
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cache, cached_property, wraps
from inspect import getsource, iscoroutinefunction, unwrap
from io import StringIO
from itertools import count, product
from math import ceil, comb, exp, log, log10, sqrt
from pathlib import Path
from statistics import stdev
from textwrap import dedent
from types import FunctionType
from unittest.mock import patch

import numpy as np
import torch
from PIL import Image
from skimage.metrics import peak_signal_noise_ratio
from scipy.ndimage import distance_transform_cdt
from scipy.stats import kendalltau, norm, spearmanr, t as student, ttest_ind, ttest_rel
from torch import nn
from torch.nn import functional as F
from torch.nn.utils import parameters_to_vector
from torch.utils.flop_counter import FlopCounterMode

from aminet import preset
from aminet.amigan import AMIGAN, PerceptualLoss, discriminator_loss, r1_penalty
from aminet.baselines.spargan import SPARGAN
from aminet.config import AMINET, AMINetConfig
from aminet.degrade import degrade, pil_degrade, resize, resize_matrix, to_float, upsample
from aminet.edff import EDFF
from aminet.errors import BadInput
from aminet.faces.portraits import portraits
from aminet.faces.synthetic import draw_faces, faces as synthetic_faces
from aminet.lgfi import LGFI
from aminet.model import AMINet
from aminet.paper.published import published
from aminet.protocol import PROTOCOLS, luma, psnr
from aminet.rdfe import RDFE, AttentionUnit, Hourglass
from aminet.sa import SelfAttention
from aminet.skaf import SKAF
from aminet.training.weights import load_weights
from aminet.transformer import TransformerBlock
from page import live, show

Known = Sequence[tuple[Callable, str]]  # a wrong answer, and what to say to who gives it
TRIES: Counter[str] = Counter()  # of each exercise in this session


@dataclass(frozen=True)
class Exercise:
    """What an answer is compared with.

    cases: makes arguments and the value expected of them. module: what the answer is the forward of, instead of cases.
    mistakes: known ones. hint: said from the second try on. tolerance: of numbers, absolute. wrap: makes of an answer
    the function of the case's arguments that is compared.
    """

    hint: str
    cases: Callable[[], list[tuple[tuple, object]]] | None = None
    mistakes: Known = ()
    module: type | None = None
    tolerance: float = 1e-4
    wrap: Callable = lambda answer: answer

    @cached_property
    def compared(self) -> list[tuple[str, tuple, object]]:
        """Its cases, or places in the network: a name, what an answer gets, and the value expected of it. Made once."""
        return places(self.module) if self.module else [("", *case) for case in self.cases()]


@torch.enable_grad()
def check(number: str, answer: Callable) -> bool:
    """Check a learner's answer to an exercise, `answer(*arguments)` in every case; print the verdict.

    Of an exercise on a module `answer` is its `forward(self, x)`: it must equal the package's within 1e-5 at
    every place of the trained network `pocket`, and the figure shows the faces that the network then restores.
    """
    exercise = EXERCISES[number]
    if words := not_begun(answer, exercise.module):
        print(words)
        return False
    cases, given = exercise.compared, exercise.wrap(answer)
    values, errors, printed = zip(*(outcome(given, arguments) for _, arguments, _ in cases))
    problems = [error or difference(value, case[-1], exercise.tolerance) for value, error, case in zip(values, errors, cases)]
    shown = next((i for i, words in enumerate(problems) if words), 0)  # of many cases, the first that is wrong
    problem = problems[shown] and cases[shown][0] + problems[shown]
    print(printed[shown], end="")
    known = (words for wrong, words in exercise.mistakes if problem and not any(errors)
             and same(values, exercise.wrap(wrong), cases, exercise.tolerance))
    if exercise.module:
        spoiled = in_the_network(exercise.module, answer)  # and a figure, of wrong ones, too
        problem = problem or spoiled or untrained(exercise.module, answer, cases[0][1])
    if not problem:
        print("right" + (keep(exercise.module, answer, cases) if exercise.module else ""))
        return True
    TRIES[number] += 1
    advice = next(known, f"hint: {exercise.hint}" if TRIES[number] > 1 else "")
    print("\n         ".join(filter(None, [f"not yet: {problem}", advice])))
    return False


def not_begun(answer: object, module: type | None) -> str:
    """Return what to say of what is no function yet, or a stub; "" if it can be checked."""
    if isinstance(answer, type) or not callable(answer) or module and not isinstance(answer, FunctionType):
        return f"not yet: hand over the function itself, not {named(answer)}"
    if iscoroutinefunction(answer):
        return "not yet: begin your function with `def`, without `async`"
    return f"your turn: {answer.__name__}" if untouched(answer) else ""


def same(values: Sequence, wrong: Callable, cases: Sequence[tuple], tolerance: float) -> bool:
    """Return whether an answer's values are those of a known mistake, in every case."""
    for value, (_, arguments, _) in zip(values, cases):
        other, error, _ = outcome(wrong, arguments)
        if error or difference(value, other, tolerance):  # a mistake that fails in a case is not the learner's
            return False
    return True


def untrained(kind: type, forward: Callable, arguments: tuple) -> str:
    """Return what is wrong if a forward has other gradients than its module's own, of weights or of inputs; else ""."""
    def gradients(forward: Callable) -> tuple:
        module, *features = deepcopy(arguments)
        leaves = [*module.requires_grad_().parameters()]

        def inside(value):
            """A feature as a network hands it on: what changes it in place spoils the gradients."""
            if isinstance(value, (list, tuple)):
                return [inside(part) for part in value]
            leaves.append(value.clone().requires_grad_())
            return leaves[-1] * 1

        output = forward(module, *map(inside, features))
        parts = output if isinstance(output, (tuple, list)) else [output]
        total = sum((part * torch.arange(part.numel()).cos().reshape(part.shape)).sum() for part in parts)
        return torch.autograd.grad(total, leaves, allow_unused=True)

    with suppress(Exception), redirect_stdout(StringIO()):
        pairs = zip(gradients(forward), gradients(kind.forward))
        if all(a is b or (a - b).norm() <= 0.01 * b.norm() for a, b in pairs):
            return ""
    return "all values are right, but not their gradients: a `detach`, `no_grad`, `.data`, NumPy or a change in place (`x += ...`) is in your way"


def untouched(answer: Callable) -> bool:
    """Return whether a function is still the stub `...`, with or without a docstring."""
    def stub(): ...

    def documented():
        """A stub."""

    code = getattr(answer, "__code__", None)
    if code is None:
        return False
    stubs = stub.__code__.co_code, documented.__code__.co_code
    return code.co_code in stubs and {*code.co_consts} <= {None, answer.__doc__}


def outcome(answer: Callable, arguments: tuple) -> tuple[object, str, str]:
    """Return an answer's value for copies of these arguments, its error in words, and what it printed.

    Autograd is on, for an answer by it; but one that works only without it counts as well.
    """
    failures = []
    for gradients in (True, False):
        with redirect_stdout(StringIO()) as printed, torch.set_grad_enabled(gradients):
            try:
                return answer(*deepcopy(arguments)), "", printed.getvalue()
            except (Exception, SystemExit) as error:  # a learner's mistake of any kind is explained, not raised
                failures.append((None, explained(error, answer), printed.getvalue()))
    return failures[0]


def explained(error: Exception, answer: Callable) -> str:
    """Return an error in one line, with the line of the answer where it happened."""
    code = getattr(unwrap(answer), "__code__", None)
    own = [frame for frame in traceback.extract_tb(error.__traceback__)
           if code and (frame.filename, frame.name) == (code.co_filename, code.co_name)]
    place = f" in line {own[-1].lineno}" + f", `{own[-1].line}`" * bool(own[-1].line) if own else ""
    return f"{type(error).__name__}{place}: {' '.join(str(error).split())}".removesuffix(": ")


def fault(answer: Callable, arguments: tuple, expected: object, tolerance: float) -> str:
    """Return what is wrong with an answer to one case, an error with its line or the difference; "" if it is right."""
    value, error, _ = outcome(answer, arguments)
    return error or difference(value, expected, tolerance)


def difference(given, expected, tolerance: float) -> str:
    """Return how an answer differs from what is expected; "" if it does not."""
    if given is None:
        return "nothing is returned"
    if isinstance(expected, (str, bool)):
        return "" if isinstance(given, type(expected)) and given == expected else f"{named(given)} instead of {expected!r}"
    if isinstance(expected, (tuple, list)):
        if not isinstance(given, (tuple, list, range, np.ndarray, torch.Tensor)) or getattr(given, "ndim", 1) == 0:
            return f"{named(given)} instead of a {type(expected).__name__} of {len(expected)} values"
        if len(given) != len(expected):
            return f"{len(given)} value{'s' * (len(given) != 1)} instead of {len(expected)}"
        found = enumerate(difference(g, e, tolerance) for g, e in zip(given, expected))
        return next((f"value {i}: {words}".replace(": value", ",", 1) for i, words in found if words), "")
    if isinstance(given, (tuple, list)) and any(isinstance(value, torch.Tensor) for value in given):
        return f"a {type(given).__name__} of tensors instead of one"
    relative = 1e-6 * isinstance(expected, float)  # a large one may come in single precision, a count may not
    numbers, expected = doubles(given), doubles(expected)
    if numbers is None:
        return f"{named(given)} instead of " + (f"numbers of shape {tuple(expected.shape)}" if expected.dim() else "a number")
    if not expected.dim() and numbers.numel() == 1:  # one number is one number, in whatever shape
        numbers = numbers.reshape(())
    if numbers.shape != expected.shape:
        shape, wanted = (tuple(value.shape) or "that of one number" for value in (numbers, expected))
        return f"the shape is {shape} instead of {wanted}"
    if torch.allclose(numbers, expected, rtol=relative, atol=tolerance):
        return ""
    gap = (numbers - expected).abs().nan_to_num(torch.inf)
    place = tuple(int(i) for i in torch.unravel_index(gap.argmax(), gap.shape)) if gap.dim() else ()
    where = f" at {place}; {int((gap > tolerance).sum()):,} of {gap.numel():,} values differ" if place else ""
    pair = numbers[place], expected[place]
    whole = all(value == value.round() and value.abs() < 1e15 for value in pair)
    texts = [[f"{value:{form}}" for value in pair] for form in (".0f" if whole else ".5g", ".10g", ".17g")]
    return " instead of ".join(next((pair for pair in texts if pair[0] != pair[1]), texts[0])) + where


def doubles(value: object) -> torch.Tensor | None:
    """Return one or more numbers in double precision; None for text, truth values, complex numbers and all else."""
    if isinstance(value, torch.Tensor):
        return None if value.dtype == torch.bool or value.is_complex() else value.detach().double()
    with suppress(Exception):
        array = np.asarray(value)
        if array.dtype.kind in "iufO":  # O: fractions, for example
            return torch.tensor(array.astype(float))
    return None


def named(value: object) -> str:
    """Return a value for a line of text: itself if it is short, else what it is."""
    text, kind = repr(value), getattr(value, "dtype", "")
    short = len(text) <= 40 and "\n" not in text and " at 0x" not in text
    return text if short else f"a value of type {type(value).__name__}" + f" ({kind})" * bool(kind)


# Modules in the trained network


def faces_and_input() -> tuple[torch.Tensor, torch.Tensor]:
    """Return the two portraits, uint8 (2, 3, 128, 128), and what the network takes of them."""
    hr = torch.stack(list(portraits().values()))
    return hr, to_float(upsample(degrade(hr)))


@cache
def pocket() -> AMINet:
    """Return the trained network that comes with the course. It is shared: hand out copies."""
    return load_weights("pocket")[0].requires_grad_(False)


def places(kind: type) -> list[tuple[str, tuple, torch.Tensor]]:
    """Return every place of a module in the trained network: its name, (module, input) and its output there."""
    network, calls = pocket(), []
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


def in_the_network(kind: type, forward: Callable) -> str:
    """Show two faces as the trained network restores them, and as it does with this forward in all modules of a kind.

    Return what is wrong in it, or "". It gets the faces one by one: no forward may count on two.
    """
    hr, image = faces_and_input()
    network, faces, problem = deepcopy(pocket()), {"input": image}, ""  # a copy: a forward may change its weights
    values = {"input": psnr(image, hr, PROTOCOLS["paper"]).mean()}
    for name, used in {"right": kind.forward, "yours": forward}.items():
        with patch.object(kind, "forward", used), torch.no_grad(), redirect_stdout(StringIO()):
            try:
                restored = torch.cat([network(face[None]) for face in image])
                values[name] = psnr(restored, hr, PROTOCOLS["paper"]).mean()
                faces[name] = restored
            except Exception as error:  # a forward that fails is explained in words
                problem = f"right by itself, but not in the network with one face: {explained(error, forward)}"
    if not problem and (words := difference(faces["yours"], faces["right"], 1e-4)):
        problem = f"right by itself, but not in the network: does it count on two faces, or change its input? {words}"
    faces["original"] = to_float(hr)
    titles = [f"{name}\n{values[name]:.2f} dB" if name in values else name for name in faces]
    show([[face[i] for face in faces.values()] for i in range(len(hr))], titles)
    return problem


MINE = Path(__file__).parent / "mine"  # a learner's own forwards that passed their checks


def keep(kind: type, forward: Callable, cases: Sequence[tuple]) -> str:
    """Keep a learner's right forward for chapter 09, in a live notebook; return what to say of it.

    A method, as the solution cells give it, is the course's. What needs a name of the notebook is not kept.
    """
    owner = forward.__qualname__.rpartition(".")[0]
    if not live() or owner and not owner.endswith("<locals>"):
        return ""
    try:
        source = dedent(getsource(forward))
        problem = trouble(defined(source), cases)
    except Exception as error:
        problem = explained(error, forward)
    if problem:
        return f", but not kept for chapter 09, where `forward` must hold all it uses: {problem}"
    MINE.mkdir(exist_ok=True)
    (MINE / f"{kind.__name__}.py").write_text(source)
    return ": chapter 09 trains with it"


def defined(source: str, file: str = "<forward>") -> Callable:
    """Return the forward that a source defines, with the names of this module; raises what is wrong with it."""
    names, code = dict(globals()), ast.parse(source)
    if not code.body or not isinstance(code.body[-1], ast.FunctionDef):
        raise ValueError("there is no `def forward(self, ...)` at its end")
    exec(compile(code, file, "exec"), names)
    return names[code.body[-1].name]


def trouble(forward: Callable, cases: Sequence[tuple]) -> str:
    """Return what is wrong with a forward at the first place of its module where it is, or ""."""
    return next(filter(None, (fault(forward, arguments, expected, 1e-5) for _, arguments, expected in cases)), "")


def use_own() -> None:
    """Put the forwards that a learner wrote into their modules, in this kernel; print whose each module is.

    Every network that is built or loaded later has them. Raises BadInput for a file in `mine` that cannot be used.
    """
    kinds = [exercise.module for exercise in EXERCISES.values() if exercise.module]
    whose: dict[str, list[str]] = {"yours": [], "the course's": []}
    for kind in kinds:
        path = MINE / f"{kind.__name__}.py"
        whose["yours" if path.exists() else "the course's"].append(kind.__name__)
        if path.exists():
            try:
                forward = defined(path.read_text(), str(path))
                problem = trouble(forward, places(kind))
            except Exception as error:
                problem = f"{type(error).__name__}: {error}"
            if problem:
                raise BadInput(f"{path}: {problem}; pass its check again, or delete the file")
            kind.forward = forward
    print("; ".join(f"{owner}: {', '.join(modules)}" for owner, modules in whose.items() if modules))


# 00 A first face


def decibel_cases() -> list[tuple[tuple, float]]:
    """Return the luma of two bicubic faces and of pictures two levels off, each with the original's, and the PSNRs."""
    hr, image = faces_and_input()
    original, bicubic = (torch.from_numpy(luma(x.numpy())) for x in (hr, upsample(degrade(hr))))
    pairs = [(bicubic[0], original[0]), (bicubic[1], original[1]), (original[1] // 2, original[1] // 2 + 2)]
    return [((a, b), peak_signal_noise_ratio(b.numpy(), a.numpy(), data_range=255)) for a, b in pairs]


def decibels_with(error: Callable, peak: float = 255**2, factor: float = 10) -> Callable:
    """Return an answer to 00.1 with another error, peak or factor."""
    return lambda a, b: factor * log10(peak / float(error(a, b)))


def squares(a, b):
    return (a.double() - b.double()).square()


def removed_cases() -> list[tuple[tuple, float]]:
    """Return gains from errors of so many levels to errors of fewer, and the shares of squared error that are gone."""
    black = torch.zeros(8, 8).numpy()
    decibels = {levels: peak_signal_noise_ratio(black, black + levels, data_range=255) for levels in (2, 5, 8, 10)}
    return [((decibels[after] - decibels[before],), 1 - after**2 / before**2) for before, after in ((10, 5), (8, 2), (10, 8))]


def upside_down_cases() -> list[tuple[tuple, float]]:
    """Return faces, and the gain on them upside down; NumPy turns them over, PIL reduces and enlarges them."""
    cases = []
    for hr in (faces_and_input()[0], synthetic_faces(3)):  # an answer must not take the notebook's faces for its own
        over = torch.from_numpy(hr.numpy()[:, :, ::-1].copy())
        bicubic = torch.stack([pil_degrade(face)[1] for face in over])
        with torch.no_grad():
            cases.append(((hr,), gain_over(bicubic, pocket()(to_float(bicubic)), over)))
    return cases


def gain_over(bicubic: torch.Tensor, sr: torch.Tensor, hr: torch.Tensor) -> float:
    return float((psnr(sr, hr, PROTOCOLS["paper"]) - psnr(bicubic, hr, PROTOCOLS["paper"])).mean())


def gain_with(before: Callable = lambda x: x, late: Callable = lambda x: x, after: Callable = lambda x: x) -> Callable:
    """Return an answer to 00.3 that turns the original before, the network's input late, the original it compares with."""
    def answer(images):
        bicubic = late(upsample(degrade(before(images))))
        return gain_over(bicubic, pocket()(to_float(bicubic)), after(images))
    return answer


def turned_over(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-2)


def mirrored(images: torch.Tensor) -> torch.Tensor:
    return images.flip(-1)


# 01 The problem


def spectra(images):
    """Return each face's energy by cycles, as the notebook's `spectrum` has it. uint8 (N, 3, 128, 128) -> (N, 92)"""
    x = images.double()
    energy = torch.fft.fft2(x - x.mean((-2, -1), keepdim=True)).abs().square().mean(1) / x[0, 0].numel() ** 2
    cycles = torch.fft.fftfreq(x.shape[-1], 1 / x.shape[-1])
    radius = (cycles[:, None] ** 2 + cycles**2).sqrt().round()
    return torch.stack([(energy * (radius == k)).sum((1, 2)) for k in range(92)], dim=1)


def largest_first(values):
    return values.argsort(descending=True).tolist()


def hardest_cases():
    """Spectra of faces, and the faces' order by the PSNR of bicubic over all channels, the lowest first."""
    pool = torch.cat([faces_and_input()[0], synthetic_faces(21)])
    chosen = pool[[22, 19, 4, 21, 16]], pool[[5, 7, 0, 2, 1]]  # in the first other bands than above 8 give other orders
    return [((spectra(x),), np.argsort(psnr(upsample(degrade(x)), x, PROTOCOLS["rgb"])).tolist()) for x in chosen]


def freedom_by_rank(n: int, m: int, channels: int) -> int:
    d = resize_matrix(n, m)
    return channels * (n * n - int(torch.linalg.matrix_rank(torch.kron(d, d))))


def best_cases():
    """Faces, and the best answer: by least squares for l2, for l1 the face's own value that loses least, by trial."""
    cases = []
    for n in (7, 5):
        stack = synthetic_faces(n, seed=3)[..., 40:72, 40:72].double()
        mean = torch.linalg.lstsq(torch.ones(n, 1).double(), stack.reshape(n, -1)).solution.reshape(stack.shape[1:])
        losses = torch.stack([(stack - value).abs().mean(0) for value in stack])
        least = stack.gather(0, losses.argmin(0, keepdim=True))[0]
        cases += [((stack.to(torch.uint8), "l2"), mean), ((stack.to(torch.uint8), "l1"), least)]
    return cases


def mean_of(stack, loss=""):
    return stack.double().mean(0)


def median_of(stack, loss=""):
    return stack.double().median(0).values


def whole_face(stack, loss):
    gaps = (stack.double()[:, None] - stack.double()).abs() ** int(loss[1])
    return stack[gaps.flatten(1).mean(1).argmin()].double()


def zoom_cases():
    """Squares cut out and enlarged by PIL, whose corners are (left, top, right, bottom)."""
    cases = []
    for hr, side, top, left in ((faces_and_input()[0], 100, 20, 6), (synthetic_faces(3), 64, 40, 32)):
        squares = [Image.fromarray(x.permute(1, 2, 0).numpy()).crop((left, top, left + side, top + side)) for x in hr]
        large = [np.array(square.resize((128, 128), Image.Resampling.BICUBIC)) for square in squares]
        cases.append(((hr, side, top, left), torch.from_numpy(np.stack(large)).permute(0, 3, 1, 2)))
    return cases


def zoom_by_torch(hr, side, top, left):
    square = hr[..., top:top + side, left:left + side].double()
    return F.interpolate(square, size=128, mode="bicubic", align_corners=False).round().clamp(0, 255).to(torch.uint8)


# 02 Measuring a face


def set_cases():
    """PSNRs of faces, and that of all these faces in one tall image, whose squared error is the mean of theirs."""
    cases = []
    for hr in (faces_and_input()[0], synthetic_faces(8, seed=2)):
        sr = upsample(degrade(hr))
        joined = (torch.cat(list(x), dim=-2)[None] for x in (sr, hr))
        cases.append(((psnr(sr, hr, PROTOCOLS["paper"]),), psnr(*joined, PROTOCOLS["paper"])[0]))
    return cases


def dic_cases():
    hr = faces_and_input()[0]
    sr = upsample(degrade(hr))
    return [((a.numpy(), b.numpy()), psnr(a, b, PROTOCOLS["dic"])[0]) for a, b in zip(sr, hr)]


def by_protocol(**switches) -> Callable:
    """The PSNR of two uint8 arrays (3, H, W) by the protocol `dic` with other switches."""
    protocol = replace(PROTOCOLS["dic"], **switches)
    return lambda sr, hr: psnr(torch.from_numpy(sr), torch.from_numpy(hr), protocol)[0]


def dic_cut(rows: slice, columns: slice) -> Callable:
    """The PSNR of two uint8 arrays (3, H, W) on a part of their rounded luma."""
    def answer(sr, hr):
        a, b = (luma(x[None], "round")[..., rows, columns].astype(float) for x in (sr, hr))
        return 10 * np.log10(255**2 / np.mean((a - b) ** 2))
    return answer


def needed_by_trial(values, half: float) -> int:
    n = 1
    while 1.96 * stdev(values.tolist()) / n**0.5 > half:
        n += 1
    return n


def needed_cases():
    """PSNRs of the two portraits and of synthetic faces, and half widths, small and large."""
    few = np.array([20.0, 21.5, 24.0, 22.0, 26.5])
    hr = synthetic_faces(8, seed=2)
    many = psnr(upsample(degrade(hr)), hr, PROTOCOLS["paper"])
    return [((v, half), needed_by_trial(v, half)) for v, half in (
        (few, 0.5), (few, 0.1), (many, 0.2), (many, 0.07), (np.array([21.0, 22.0, 23.0]), 0.98))]  # exactly 0.98 by four


# 03 SA


def sa_parts(self, x):
    b, c, height, width = x.shape
    return self.depthwise(self.qkv(x)).reshape(b, 3, self.heads, c // self.heads, height * width).unbind(1)


def sa_between_rows(self, x):
    q, k, v = sa_parts(self, x)
    a = (F.normalize(q, dim=-1) @ F.normalize(k, dim=-1).transpose(-2, -1) * self.temperature).softmax(dim=-2)
    return self.project((a @ v).reshape(x.shape))


def sa_without_lengths(self, x):
    q, k, v = sa_parts(self, x)
    return self.project(((q @ k.transpose(-2, -1) * self.temperature).softmax(dim=-1) @ v).reshape(x.shape))


def sa_by_length_and_scale(self, x, dim=-1, scale=lambda scores, temperature: scores * temperature):
    """SA with lengths over another axis, or with another scale of the cosines."""
    q, k, v = sa_parts(self, x)
    cosines = F.normalize(q, dim=dim) @ F.normalize(k, dim=dim).transpose(-2, -1)
    return self.project((scale(cosines, self.temperature).softmax(dim=-1) @ v).reshape(x.shape))


def sa_without_projection(self, x):
    weights, v = self.attention(x)
    return (weights @ v).reshape(x.shape)


# 04 RDFE


def unit_without_sigmoid(self, features):
    return self.mix(torch.cat(features, dim=1))


def unit_with_softmax(self, features):
    return self.mix(torch.cat(features, dim=1)).softmax(dim=1)


def unit_with_products(self, features):
    return [f * self.mix(torch.cat(features, dim=1)).sigmoid() for f in features]


def unit_from_large_to_small(self, features):
    return self.mix(torch.cat(features[::-1], dim=1)).sigmoid()


def walk(self, x, side=lambda skip, low: skip(low), join=lambda up, skip, low: skip + up(enlarged(low)), reverse=reversed):
    """The hourglass's U-net up to the sigmoid, with other steps to the side and up, or self.up in another order."""
    kept, low = [], x
    for skip, down in zip(self.skip, self.down):
        kept.append(side(skip, low))
        low = down(low)
    low = self.middle(low)
    for skip, up in zip(reversed(kept), reverse(self.up)):
        low = join(up, skip, low)
    return self.to_map(low)


def enlarged(low):
    return F.interpolate(low, scale_factor=2, mode="nearest")


def hourglass_map_alone(self, x):
    return walk(self, x).sigmoid()


def hourglass_without_sigmoid(self, x):
    return x * walk(self, x)


def hourglass_with_a_shortcut(self, x):
    return x + x * walk(self, x).sigmoid()


def hourglass_ups_from_the_top(self, x):
    return x * walk(self, x, reverse=iter).sigmoid()


def hourglass_without_side_blocks(self, x):
    return x * walk(self, x, side=lambda skip, low: low).sigmoid()


def hourglass_up_before_enlarging(self, x):
    return x * walk(self, x, join=lambda up, skip, low: skip + enlarged(up(low))).sigmoid()


def hourglass_side_before_up(self, x):
    return x * walk(self, x, join=lambda up, skip, low: up(skip + enlarged(low))).sigmoid()


def merged(self, x, unit=True, first=lambda f: f, second=F.relu):
    """RDFE up to the 1x1 of Eq. 9, with or without the attention unit, with functions after the two rounds."""
    features = [first(conv(x)) for conv in self.first]
    weight = self.attention_unit(features) if unit else 1
    return self.fuse(torch.cat([second(conv(f * weight)) for conv, f in zip(self.second, features)], dim=1))


def rdfe_without_unit(self, x):
    return self.refine(merged(self, x, unit=False) + x)


def rdfe_without_relu(self, x):
    return self.refine(merged(self, x, second=lambda f: f) + x)


def rdfe_with_two_relus(self, x):
    return self.refine(merged(self, x, first=F.relu) + x)


def rdfe_without_x(self, x):
    return self.refine(merged(self, x))


def rdfe_with_x_at_the_end(self, x):
    return self.refine(merged(self, x)) + x


def rdfe_without_refinement(self, x):
    return merged(self, x) + x


def seen_along_a_line(kernels: tuple[int, ...], strides: tuple[int, ...]) -> int:
    """How many inputs of a stack of convolutions have a gradient of one output."""
    x = torch.ones(1, 1, 400, requires_grad=True)
    y = x
    for k, s in zip(kernels, strides):
        y = F.conv1d(y, torch.ones(1, 1, k), stride=s)
    return int((torch.autograd.grad(y[0, 0, 2], x)[0] != 0).sum())


def with_strides_too_early(kernels, strides):
    field, step = 1, 1
    for k, s in zip(kernels, strides):
        step *= s
        field += (k - 1) * step
    return field


# 05 SKAF


def average_and_maximum(x):
    return torch.cat([x.mean(1, keepdim=True), x.amax(1, keepdim=True)], dim=1)


def skaf_pooled(self, x):
    return average_and_maximum(torch.cat([conv(x) for conv in self.convs], dim=1))


def skaf_to_the_letter(self, x):
    return skaf_pooled(self, x).sigmoid().chunk(2, dim=1)


def skaf_maximum_first(self, x):
    return self.mix(skaf_pooled(self, x).flip(1)).sigmoid().chunk(2, dim=1)


def skaf_with_softmax(self, x):
    return self.mix(skaf_pooled(self, x)).softmax(dim=1).chunk(2, dim=1)


def skaf_in_a_row(self, x):
    first = self.convs[0](x)
    both = torch.cat([first, self.convs[1](first)], dim=1)
    return self.mix(average_and_maximum(both)).sigmoid().chunk(2, dim=1)


def skaf_in_one_tensor(self, x):
    return self.mix(skaf_pooled(self, x)).sigmoid()


def skaf_times_input(self, x):
    w1, w2 = skaf_in_one_tensor(self, x).chunk(2, dim=1)
    return x * w1, x * w2


def literal_cases():
    """Features, and the maps of a SKAF whose convolutions change nothing: what is left of it is Eq. 13 to the letter."""
    cases, random = [], torch.Generator().manual_seed(5)
    for shape in ((1, 4, 3, 3), (2, 6, 4, 5)):
        skaf, x = SKAF(shape[1], kernels=(1,)), torch.randn(shape, generator=random)
        for conv in (skaf.convs[0], skaf.mix):
            nn.init.dirac_(conv.weight)
            nn.init.zeros_(conv.bias)
        cases.append(((x,), skaf.maps(x).detach()))
    return cases


def squared_in_turn(m, g, k):
    exponent = log10(m)
    for _ in range(k):
        exponent = log10(g) + 2 * exponent
    return exponent


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
    trained = pocket()
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
    """Return terms whose RMS can be read off, 2.5, 2.5, 5 and 1, 2, 4, and their shares."""
    mixed = torch.tensor([0.0, 0.0, 3.0, -4.0]).reshape(2, 1, 1, 2)
    flat = torch.ones(1, 2, 3, 3)
    return [((mixed, torch.full_like(mixed, 2.5), torch.full_like(mixed, -5.0)), (25, 25, 50)),
            ((flat, -2 * flat, 4 * flat), (100 / 7, 200 / 7, 400 / 7))]


def shares_of(size: Callable, whole: float = 100) -> Callable:
    """Return an answer to 06.4 that measures a term by `size`."""
    return lambda *terms: tuple(whole * size(v) / sum(size(t) for t in terms) for v in terms)


# 07 EDFF


def edff_exchanged(self, encoder, decoder):
    return EDFF.forward(self, decoder, encoder)


def edff_reads_decoder_first(self, encoder, decoder):
    w1, w2 = self.skaf(self.reduce(torch.cat([decoder, encoder], dim=1)))
    return encoder * w1 + decoder * w2


def edff_maps_exchanged(self, encoder, decoder):
    w1, w2 = self.skaf(self.reduce(torch.cat([encoder, decoder], dim=1)))
    return encoder * w2 + decoder * w1


def edff_without_reduction(self, encoder, decoder):
    w1, w2 = self.skaf(encoder + decoder)
    return encoder * w1 + decoder * w2


def edff_of_mixture(self, encoder, decoder):
    mixed = self.reduce(torch.cat([encoder, decoder], dim=1))
    w1, w2 = self.skaf(mixed)
    return mixed * w1 + mixed * w2


def exchange_cases():
    """Return each EDFF of the trained network with the decoder's feature and the encoder's, and its output there, twice."""
    return [((edff, d, e), (out, out)) for _, (edff, e, d), out in places(EDFF)]


def exchange_of(answer: Callable) -> Callable:
    """Return an answer's value, and what this EDFF has become: its output for the exchanged features."""
    @wraps(answer)
    def exchange(edff, d, e):
        return answer(edff, d, e), EDFF.forward(edff, d, e)
    return exchange


def exchanged(edff, d, e, reads=True, maps=("weight", "bias"), axis=0):
    """Exchange what the 1x1 reads, if it does, and the named tensors of the mixing along an axis; return the output."""
    state = edff.state_dict()
    if reads:
        state["reduce.weight"] = torch.cat(state["reduce.weight"].chunk(2, dim=1)[::-1], dim=1)
    for name in maps:
        state[f"skaf.mix.{name}"] = state[f"skaf.mix.{name}"].flip(axis)
    edff.load_state_dict(state)
    return edff(d, e)


# 08 AMINet

SIDES = (128, 64, 32, 16)


def aminet_u(self, x, early=False, across=lambda bottleneck, x: bottleneck(x), fuse=lambda edff, kept, risen: edff(kept, risen)):
    x, skips = self.head(x), []
    for encoder, down in zip(self.encoders, self.downs):
        encoded = encoder(x)
        skips.append(x if early else encoded)
        x = down(encoded)
    x = across(self.bottleneck, x)
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
    return aminet_u(self, x, across=lambda bottleneck, x: x) + x


def aminet_half_a_bottleneck(self, x):
    return aminet_u(self, x, across=lambda bottleneck, x: bottleneck[0](x)) + x


def aminet_clamped(self, x):
    return (aminet_u(self, x) + x).clamp(-1, 1)


def aminet_added_skips(self, x):
    return aminet_u(self, x, fuse=lambda edff, kept, risen: kept + risen) + x


def depthwise_rate(widths):
    """Return the MACs per parameter of depthwise 3x3 convolutions at the four sides, both as PyTorch counts them."""
    layers = [nn.Conv2d(width, width, 3, padding=1, groups=width, bias=False, device="meta") for width in widths]
    with FlopCounterMode(display=False) as counter:
        for layer, side in zip(layers, SIDES):
            layer(torch.zeros(1, layer.in_channels, side, side, device="meta"))
    return counter.get_total_flops() / 2 / sum(p.numel() for layer in layers for p in layer.parameters())


# 09 Training


def seeded(seed: int, channels: int = 3) -> tuple[nn.Module, list[tuple[torch.Tensor, torch.Tensor]]]:
    """Return a small network, and four batches of an input and a target, (2, 3, 8, 8) each."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = nn.Sequential(nn.Conv2d(3, channels, 3, padding=1), nn.ReLU(), nn.Conv2d(channels, 3, 3, padding=1))
        return network, [(torch.randn(2, 3, 8, 8), torch.randn(2, 3, 8, 8)) for _ in range(4)]


def descended(network, optimizer, batches, decay: float = 1.0) -> tuple[list[float], torch.Tensor]:
    """Return the losses of a training and the weights after it: with autograd.grad, PyTorch's schedule and |a - b|."""
    network, optimizer = deepcopy((network, optimizer))
    weights, losses = list(network.parameters()), []
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda k: decay ** (k + 1))
    for x, target in batches:
        loss = (network(x) - target).abs().mean()
        for weight, gradient in zip(weights, torch.autograd.grad(loss, weights)):
            weight.grad = gradient
        optimizer.step()
        schedule.step()
        losses.append(loss.item())
    return losses, parameters_to_vector(weights).detach()


def l1_cases() -> list[tuple[tuple, tuple]]:
    """Return networks with SGD and Adam, three batches, and what three steps make of them."""
    cases = []
    for seed, kind, options in ((0, torch.optim.SGD, {"lr": 0.1, "momentum": 0.9}),
                                (1, torch.optim.Adam, {"lr": 0.01, "betas": (0.9, 0.99)})):
        network, batches = seeded(seed)
        arguments = network, kind(network.parameters(), **options), batches[:3]
        cases.append((arguments, descended(*arguments)))
    return cases


def steps_of(step: Callable) -> Callable:
    """Return what a step leads to: the losses of one step for each batch, and the weights after them."""
    @wraps(step)
    def answer(network, optimizer, batches):
        losses = [step(network, optimizer, x, target) for x, target in batches]
        return losses, parameters_to_vector(network.parameters())
    return answer


def step_with(order: str = "zero backward step", loss_of: Callable = F.l1_loss, late: bool = False) -> Callable:
    """Return an answer to 09.1 with another loss, another order after the forward, or the loss after the step."""
    def step(network, optimizer, x, target):
        loss = loss_of(network(x), target)
        for name in order.split():
            {"zero": optimizer.zero_grad, "backward": loss.backward, "step": optimizer.step}[name]()
        return (loss_of(network(x), target) if late else loss).item()
    return step


class Duet(nn.Module):
    """A game of two small networks, whose sum is to resemble the target; their Adams have different step sizes."""

    def __init__(self):
        super().__init__()
        self.parts = nn.ModuleList([seeded(2)[0], seeded(3, channels=2)[0]])
        self.adams = {name: torch.optim.Adam([{"params": [p]} for p in part.parameters()], lr=lr, betas=(0.9, 0.99))
                      for name, part, lr in zip(("first", "second"), self.parts, (0.01, 0.03))}

    def optimizers(self):
        return self.adams

    def forward(self, x):
        return self.parts[0](x) + self.parts[1](x)

    def loss(self, x, target):
        loss = F.l1_loss(self(x), target)
        return loss, {"loss": loss.detach()}


def fit_cases() -> list[tuple[tuple, tuple]]:
    """Return a game with its batches, which on_step ends after the third, or not, and what is to come of it."""
    game, batches = Duet(), seeded(4)[1]
    groups = [{"params": part.parameters(), "lr": adam.defaults["lr"]} for part, adam in zip(game.parts, game.adams.values())]
    one_for_both = torch.optim.Adam(groups, betas=(0.9, 0.99))
    return [((game, batches, 0.5, end), descended(game, one_for_both, batches[:end], decay=0.5)) for end in (3, 9)]


def fit_of(loop: Callable) -> Callable:
    """Return what a loop leads to when the step size falls and training ends with a batch: losses and weights."""
    @wraps(loop)
    def answer(game, batches, decay, end):
        losses = []

        def on_step(values):
            if not isinstance(values, dict):
                raise TypeError("on_step takes the dictionary of losses")
            losses.append(values["loss"].item())
            return len(losses) == end

        loop(game, iter(batches), lambda: decay ** (len(losses) + 1), on_step)
        return losses, parameters_to_vector(game.parameters())
    return answer


def fit_with(zero: bool = True, size: Callable = lambda group, own, factor: own * factor, players: int = 2,
             early: bool = False, stops: bool = True, groups: int | None = None, late: bool = False) -> Callable:
    """Return an answer to 09.2 in which something is left out or comes too early or too late."""
    def loop(game, batches, rate, on_step):
        optimizers = list(game.optimizers().values())[:players]
        for batch in batches:
            for optimizer in optimizers * zero:
                optimizer.zero_grad()
            loss, values = game.loss(*batch)
            loss.backward()
            for optimizer in optimizers * late:
                optimizer.step()
            for adam in optimizers:
                for group in adam.param_groups[:groups]:
                    group["lr"] = size(group["lr"], adam.defaults["lr"], rate())
            if early and on_step(values):
                break
            for optimizer in optimizers * (not late):
                optimizer.step()
            if not early and on_step(values) and stops:
                break
    return loop


def two_steps_of_adam(g1: float, g2: float, lr: float) -> float:
    weight = torch.zeros(1, dtype=torch.double, requires_grad=True)
    adam = torch.optim.Adam([weight], lr=lr, betas=(0.9, 0.99))
    for g in (g1, g2):
        weight.grad = torch.full_like(weight, g)
        adam.step()
    return weight.item()


def adam_with(b1: float = 0.9, b2: float = 0.99, correct: Callable = lambda b, t: 1 - b**t,
              root: Callable = lambda v: v**0.5 + 1e-8) -> Callable:
    """Return an answer to 09.3 with other betas, corrections or roots."""
    def answer(g1, g2, lr):
        weight = m = v = 0.0
        for t, g in enumerate((g1, g2), 1):
            m, v = b1 * m + (1 - b1) * g, b2 * v + (1 - b2) * g * g
            weight -= lr * (m / correct(b1, t)) / root(v / correct(b2, t))
        return weight
    return answer


def averaged_with(decay: Callable) -> Callable:
    """Return an answer to 09.4 in which the average keeps decay(d, t) of itself in step t."""
    def answer(start, weights, d):
        for t, weight in enumerate(weights, 1):
            start = weight + decay(d, t) * (start - weight)
        return start
    return answer


# 10 AMIGAN


def step_of(answer: Callable) -> Callable:
    """Return an answer to 10.1 or 10.2 as a step of the game: its loss, D's gradient, G's, and whether D still learns."""
    def gradient(network):
        return torch.cat([torch.zeros(p.numel()) if p.grad is None else p.grad.flatten() for p in network.parameters()])

    @wraps(answer)
    def step(adversary, generator, x, target, *perceptual):
        given = answer(adversary, generator(x), target, x, *perceptual)
        if isinstance(given, tuple) and isinstance(given[-1], torch.Tensor):  # the package's methods return a dictionary, too
            raise ValueError("return one number: add the parts")
        loss = given[0] if isinstance(given, tuple) else given
        if loss is None:
            return None
        if any(p.grad is not None for network in (adversary, generator) for p in network.parameters()):
            raise ValueError("return the loss, and leave `backward` to the check")
        if isinstance(loss, torch.Tensor) and loss.requires_grad and loss.numel() == 1:
            loss.backward()
        learns = all(p.requires_grad for p in adversary.parameters())
        return loss, gradient(adversary), gradient(generator), learns

    return step


def players(seed: int, weights: dict[str, float]) -> tuple:
    """Return a small game: AMIGAN's side, a generator, what it takes, the targets, and a perceptual loss."""
    with torch.random.fork_rng(devices=()):
        torch.manual_seed(seed)
        adversary, generator = AMIGAN(2, "batch" if weights else "none", weights=weights), nn.Conv2d(3, 3, 3, padding=1)
        for layer in adversary.modules():
            if isinstance(layer, (nn.Conv2d, nn.Linear)):  # as they start, all logits are nearly the same
                nn.init.kaiming_normal_(layer.weight, 0.2)
        x, target = 2 * torch.rand(2, 3, 3, 128, 128) - 1
        return adversary, generator, x, target, PerceptualLoss(nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU()))


def cross_entropy(adversary, faces, label):
    logits = adversary.discriminator(faces)
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))


def cross_entropy_of_both(adversary, generator, x, target):
    return cross_entropy(adversary, target, 1) + cross_entropy(adversary, generator(x), 0)


def sum_of_three(adversary, generator, x, target, perceptual):
    sr = generator(x)
    parts = {"pixel": (sr - target).abs().mean(), "perceptual": perceptual(sr, target),
             "adversarial": cross_entropy(adversary, sr, 1)}
    return sum(weight * parts[name] for name, weight in adversary.weights.items())


def step_cases(loss_of: Callable, learner: int) -> list[tuple[tuple, tuple]]:
    """Return two games, and a step in each. learner: 0 if the gradient is the discriminator's, 1 the generator's."""
    cases = []
    for seed, weights in ((3, {}), (1, {"pixel": 0.5, "perceptual": 0.2, "adversarial": 2.0})):
        game = players(seed, weights)[:4 + learner]
        loss, networks = loss_of(*game), [[*network.parameters()] for network in game[:2]]
        gradients = [torch.cat([torch.zeros(p.numel()) for p in network]) for network in networks]
        gradients[learner] = torch.cat([g.flatten() for g in torch.autograd.grad(loss, networks[learner])])
        cases.append((game, (loss.detach(), *gradients, True)))
    return cases


def eq20_with_history(self, sr, target, x):
    return discriminator_loss(self.discriminator(target), self.discriminator(sr))


def eq20_exchanged(self, sr, target, x):
    return discriminator_loss(self.discriminator(sr.detach()), self.discriminator(target))


def eq20_with(parts: Callable = lambda real, fake: (F.softplus(-real).mean(), F.softplus(fake).mean())) -> Callable:
    """Return an answer to 10.1 with other parts, of D's logits of real and of restored faces."""
    return lambda self, sr, target, x: sum(parts(self.discriminator(target), self.discriminator(sr.detach())))


def eq20_together(self, sr, target, x):
    return discriminator_loss(*self.discriminator(torch.cat([target, sr.detach()])).chunk(2))


def eq20_frozen(self, sr, target, x):
    self.requires_grad_(False)
    return eq20_with()(self, sr, target, x)


def eq20_without_history(self, sr, target, x):
    with torch.no_grad():
        return eq20_with_history(self, sr, target, x)


def eq22_parts(self, sr, target, perceptual, shown=None, of=lambda z: F.softplus(-z).mean(), learns=(False, True)):
    """The parts of Eq. 22. shown: what D sees, if not sr. of: the loss of D's logits. learns: does D, in it and after it."""
    self.requires_grad_(learns[0])
    judged = of(self.discriminator(sr if shown is None else shown))
    self.requires_grad_(learns[1])
    return {"pixel": F.l1_loss(sr, target), "perceptual": perceptual(sr, target), "adversarial": judged}


def eq22(self, sr, target, perceptual, names=("pixel", "perceptual", "adversarial"), **changes):
    parts = eq22_parts(self, sr, target, perceptual, **changes)
    return sum(self.weights[name] * parts[name] for name in names)


def eq22_saturating(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, of=lambda z: -F.softplus(z).mean())


def eq22_exchanged(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, of=lambda z: F.softplus(z).mean())


def eq22_teaches_discriminator(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, learns=(True, True))


def eq22_stays_frozen(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, learns=(False, False))


def eq22_without_history(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, shown=sr.detach())


def eq22_of_swapped_perceptual(self, sr, target, x, perceptual):
    return eq22(self, sr, target, lambda first, second: perceptual(second, first))


def eq22_by_the_paper(self, sr, target, x, perceptual):
    parts = eq22_parts(self, sr, target, perceptual)
    return sum(weight * parts[name] for name, weight in AMIGAN.WEIGHTS.items())


def eq22_without_adversary(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, names=("pixel", "perceptual"))


def eq22_with_pixels(pixels: Callable) -> Callable:
    """Return an answer to 10.2 with another pixel part, of sr - target."""
    def answer(self, sr, target, x, perceptual):
        change = self.weights["pixel"] * (pixels(sr - target) - F.l1_loss(sr, target))
        return eq22(self, sr, target, perceptual) + change
    return answer


def eq22_unweighted(self, sr, target, x, perceptual):
    return sum(eq22_parts(self, sr, target, perceptual).values())


def eq22_without_perceptual(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, names=("pixel", "adversarial"))


def eq22_without_pixels(self, sr, target, x, perceptual):
    return eq22(self, sr, target, perceptual, names=("perceptual", "adversarial"))


def r1_cases() -> list[tuple[tuple, torch.Tensor]]:
    """Return quadratic discriminators, so many pictures, and R1 by autograd."""
    cases, random = [], torch.Generator().manual_seed(2)
    for a, number in ((0.1, 3), (0.5, 2), (-0.3, 5)):
        pictures = torch.rand(number, 3, 4, 4, generator=random).requires_grad_()
        cases.append(((a, pictures.detach()), r1_penalty(a * pictures.square().sum((1, 2, 3)), pictures).detach()))
    return cases


def slopes_by_autograd(z):
    z = torch.tensor(z, requires_grad=True)
    return tuple(torch.autograd.grad(y, z)[0].item() for y in (-z.sigmoid().log(), (1 - z.sigmoid()).log()))


def probability(z):
    return 1 / (1 + exp(-z))


# 11 Ablations


def two_designs(trainings: int, faces: int) -> tuple:
    """Return PSNRs of two designs, (trainings, faces) each, and the trainings and the faces of 400 draws."""
    rng = np.random.default_rng(trainings)
    hard = 27 + 2 * rng.normal(size=faces)  # some faces are hard for everyone
    a, b = (hard + 0.05 * rng.normal(size=(trainings, 1)) + 0.2 * rng.normal(size=(trainings, faces)) for _ in "ab")
    return a, b, rng.integers(trainings, size=(400, trainings)), rng.integers(faces, size=(400, faces))


def interval_by_counts(a, b, seeds, images) -> tuple:
    """Return the mean of a - b and its interval, by how often each training and each face is in a draw."""
    times = [np.stack([np.bincount(drawn, minlength=n) for drawn in draws]) for draws, n in zip((seeds, images), a.shape)]
    drawn_means = [np.einsum("ks,sn,kn->k", times[0], values, times[1]) / a.size for values in (a, b)]
    return a.mean() - b.mean(), *np.percentile(np.subtract(*drawn_means), (2.5, 97.5))


def interval_of(means_of: Callable, ends: tuple = (0.025, 0.975)) -> Callable:
    """Return an answer to 11.1 with other means of the draws, or other ends."""
    return lambda a, b, seeds, images: ((a - b).mean(), *np.quantile(means_of(a, b, seeds, images), ends))


def interval_with(case: tuple, order: Callable) -> tuple:
    """Return other numbers of a right answer to 11.1, of its mean, its ends and the means of the draws."""
    a, b, seeds, images = case
    return order(*interval_by_counts(*case), drawn(a - b, seeds, images))


def drawn(values, seeds, images) -> np.ndarray:
    return np.array([values[np.ix_(*draw)].mean() for draw in zip(seeds, images)])


def half_by_scipy(a, b) -> float:
    """Return half of Student's interval of a - b, as SciPy's paired test has it."""
    low, high = ttest_rel(a, b).confidence_interval(0.95)
    return (high - low) / 2


def half_with(factor: Callable = lambda n: student.ppf(0.975, n - 1), ddof: int = 1, root: Callable = np.sqrt,
              spread: Callable | None = None) -> Callable:
    """Return an answer to 11.2 with another factor, another standard deviation or another root."""
    def half(a, b):
        sigma = spread(a, b) if spread else np.std(np.subtract(a, b), ddof=ddof)
        return factor(len(a)) * sigma / root(len(a))
    return half


def trainings_by_power(d: float, sigma: float) -> int:
    """Return the first n whose study finds d in 80 % of the cases: sigma * sqrt(2 / n) is the spread of a difference."""
    return next(n for n in count(1) if norm.sf(norm.ppf(0.975), loc=d / (sigma * (2 / n) ** 0.5)) >= 0.8)


def trainings_with(designs: int = 2, z: float = 1.960 + 0.842, whole: Callable = ceil) -> Callable:
    """Return an answer to 11.3 with another number of designs, other quantiles or another way to round."""
    return lambda d, sigma: whole(designs * z**2 * (sigma / d) ** 2)


# 12 Comparisons


def front_cases() -> list[tuple[tuple, list[int]]]:
    """Return Table X's PSNRs with each of its costs, and ties of every kind; with the indices that nothing dominates."""
    def printed(name):
        return [float(row[name]) for row in published(10)]

    cases = [(printed("psnr"), printed(name)) for name in ("macs_g", "params_m", "speed_ms")]
    return [(case, not_dominated(*map(np.array, case))) for case in (
        *cases, ([1, 1, 2], [3, 3, 5]), ([3, 1, 3], [2, 1, 4]), ([2, 1], [3, 3]), ([2], [3]))]


def not_dominated(quality: np.ndarray, cost: np.ndarray) -> list[int]:
    """Return the front, by a matrix: [i, j] is whether i is at least as good as j in both."""
    as_good = (quality[:, None] >= quality) & (cost[:, None] <= cost)
    return np.flatnonzero(~(as_good & ~as_good.T).any(axis=0)).tolist()


def front_by(beats: Callable) -> Callable:
    """Return an answer to 12.1 that leaves out whom another one beats: of both quality, then cost, then index."""
    def front(quality, cost):
        networks = list(zip(quality, cost, range(len(cost))))
        return [i for q, c, i in networks if not any(beats(*other, q, c, i) for other in networks)]
    return front


def dominates(p, d, j, q, c, i):
    return p >= q and d <= c and (p, d) != (q, c)


def best_ratio(quality, cost):
    ratios = [q / c for q, c in zip(quality, cost)]
    return [i for i, ratio in enumerate(ratios) if ratio == max(ratios)]


def pairs_alike(a, b) -> tuple[int, int]:
    """Return how many pairs two lists order alike, and how many they do not."""
    alike = [(a[i] - a[j]) * (b[i] - b[j]) > 0 for i in range(len(a)) for j in range(i)]
    return sum(alike), len(alike) - sum(alike)


def places_alike(a, b):
    return 2 * np.mean(np.argsort(a) == np.argsort(b)) - 1


def tau_cases() -> list[tuple[tuple, float]]:
    """Return pairs of lists without ties, and SciPy's tau of them."""
    rng = np.random.default_rng(0)
    pairs = [(rng.permutation(n).tolist(), rng.normal(size=n).tolist()) for n in (4, 9, 16)]
    return [(pair, float(kendalltau(*pair).statistic)) for pair in pairs]


def chance_cases() -> list[tuple[tuple, float]]:
    """Return printed steps with spreads, and the chance of equal digits, summed over all digits that can be printed."""
    def alike(step, sigma):
        ends = np.arange(-8 * sigma, 8 * sigma + step, step)
        return np.square(np.diff(norm.cdf(ends, scale=sigma))).sum()

    columns = ([0.01], [0.08]), ([0.01, 0.0001], [0.08, 0.001]), ([0.01, 0.01], [0.06, 0.05])
    return [(case, float(np.prod([alike(*column) for column in zip(*case)]))) for case in columns]


def chance_with(width: float = 1, spread: float = 2**0.5, join: Callable = np.prod) -> Callable:
    """Return an answer to 12.3 with another width in steps, another spread of the difference, or another joining."""
    return lambda steps, spreads: float(join([width * step * norm.pdf(0, scale=spread * sigma)
                                              for step, sigma in zip(steps, spreads)]))


# 13 The compared GANs


def reading_cases() -> list[tuple[tuple, str]]:
    """Return intervals of PSNR's and LPIPS's change, better, worse or open each, and what both say together."""
    psnr_change = {"better": [(0.2, 0.4)], "worse": [(-0.7, -0.5)], "open": [(-0.1, 0.3), (0.0, 0.3), (-0.3, 0.0)]}
    lpips_change = {"better": [(-0.12, -0.1)], "worse": [(0.02, 0.05)],
                    "open": [(-0.03, 0.01), (-0.03, 0.0), (0.0, 0.02)]}  # 0 at an end: it is contained
    together = {"better": ("better better", "better open", "open better"), "trade": ("worse better", "better worse"),
                "worse": ("worse worse", "worse open", "open worse"), "open": ("open open",)}
    return [(case, word) for word, pairs in together.items() for a, b in map(str.split, pairs)
            for case in product(psnr_change[a], lpips_change[b])]


def clear(low: float, high: float) -> int:
    return (low > 0) - (high < 0)


def reading_with(way: Callable = clear, lpips_sign: int = -1, trades: Callable = lambda a, b: a * b < 0,
                 word: Callable = lambda a, b: "better" if a + b > 0 else "worse" if a + b < 0 else "open") -> Callable:
    """Return an answer to 13.1 with another way of an interval, another sense of LPIPS, or other words."""
    def reading(psnr_change, lpips_change):
        a, b = way(*psnr_change), lpips_sign * way(*lpips_change)
        return "trade" if trades(a, b) else word(a, b)
    return reading


def matching_cases() -> list[tuple[tuple, float]]:
    """Return features of SPARGAN with the value that SPARGAN itself has, and maps of one value each, added by hand.

    With each the slopes: a map that moves away from the real one by 1 counts as one layer, the logits not at all.
    """
    def flat(*values):
        return [torch.full((2, 3, 4, 4), value) for value in values]

    with torch.random.fork_rng(devices=()), torch.no_grad():
        torch.manual_seed(0)
        adversary, faces = SPARGAN(width=2).eval(), 2 * torch.rand(2, 1, 3, 128, 128) - 1
        own = adversary.parts(*faces, faces[0])["matching"].item()
        case = tuple(adversary.features(face) for face in faces)
    nothing = [flat(0.0, 0.0, 0.0), flat(0.0, 0.0)]
    by_hand = [flat(1.0, -2.0, 50.0), flat(5.0, 50.0)], nothing
    return [(case, (value, [float(i < len(maps) - 1) / len(case[0]) for maps in case[0] for i in range(len(maps))]))
            for case, value in ((case, own), (by_hand, (1 + 2 + 5) / 2))]


def matching_of(answer: Callable) -> Callable:
    """Return an answer's loss, and for each map the slope of the loss if the map moves away from the real one."""
    @wraps(answer)
    def matching(fake, real):
        fake = [[layer.clone().requires_grad_() for layer in maps] for maps in fake]
        loss = answer(fake, real)
        if loss is None:
            return None
        if isinstance(loss, torch.Tensor) and loss.requires_grad and loss.numel() == 1:
            loss.backward()
        pairs = [pair for maps in zip(fake, real) for pair in zip(*maps)]
        return loss, [0.0 if a.grad is None else (a.grad * (a - b).sign()).sum() for a, b in pairs]
    return matching


def matching_with(gap: Callable = F.l1_loss, of_layers: Callable = sum, last: int | None = -1,
                  of_networks: Callable = lambda values: sum(values) / len(values)) -> Callable:
    """Return an answer to 13.2 with another difference, another sum, or with the logits."""
    def matching(fake, real):
        return of_networks([of_layers([gap(a, b) for a, b in zip(mine[:last], theirs[:last])])
                            for mine, theirs in zip(fake, real)])
    return matching


def between_quantiles(mean_a: float, deviation_a: float, mean_b: float, deviation_b: float) -> float:
    """Return the mean squared gap of equal quantiles of two Gaussians: their Fréchet distance on a line."""
    z = torch.special.ndtri((torch.arange(10**6, dtype=torch.float64) + 0.5) / 10**6)
    return (mean_a + deviation_a * z - mean_b - deviation_b * z).square().mean().item()


# 14 Faces at work


def similarity_cases() -> list[tuple[tuple, np.ndarray]]:
    """Return eyes with the matrix that solves the four equations of their two points."""
    cases = []
    for left, right in (((45.0, 52.0), (83.0, 52.0)), ((203.6, 101.2), (246.9, 103.6)), ((40.0, 20.0), (40.0, 58.0)),
                        ((90.0, 30.0), (71.0, 41.0))):
        equations = [row for u in (45, 83) for row in ((u, -52, 1, 0), (52, u, 0, 1))]
        a, b, p, q = np.linalg.solve(equations, [*left, *right]).round(9) + 0.0  # no -1e-14 in a message
        cases.append(((left, right), np.array([[a, -b, p], [b, a, q]])))
    return cases


def similarity_with(middle: complex = 64 + 52j, way: Callable = lambda s: s, inverse: bool = False) -> Callable:
    """Return an answer to 14.1 with another point between the eyes, another scale and turn, or the way back."""
    def similarity(left, right):
        eyes = complex(*left), complex(*right)
        s = way((eyes[1] - eyes[0]) / 38)
        o = sum(eyes) / 2 - s * middle
        s, o = (1 / s, -o / s) if inverse else (s, o)
        return np.array([[s.real, -s.imag, o.real], [s.imag, s.real, o.imag]])
    return similarity


def paste_cases() -> list[tuple[tuple, np.ndarray]]:
    """Return pictures with what SciPy's chessboard distance makes of them: whole pixels from outside, less a half.

    No value lies half-way between two whole numbers, where roundings differ."""
    rng, cases = np.random.default_rng(14), []
    for (height, width), x, y, border in (((12, 16), 5, 3, 4.1), ((9, 9), 0, 0, 3.3), ((10, 6), 14, 10, 20.3)):
        photo = rng.integers(0, 256, (20, 24, 3), np.uint8)
        patch = rng.integers(0, 256, (height, width, 3), np.uint8)
        inside = distance_transform_cdt(np.pad(np.ones((height, width)), 1), "chessboard")[1:-1, 1:-1] - 0.5
        place = np.zeros((20, 24, 1))
        place[y:y + height, x:x + width, 0] = np.clip(inside / border, 0, 1) ** 2
        laid = np.zeros(photo.shape)
        laid[y:y + height, x:x + width] = patch
        cases.append(((photo, patch, x, y, border), np.round(photo + place * (laid - photo)).astype(np.uint8)))
    return cases


def new_picture(answer: Callable) -> Callable:
    """Return an answer to 14.2 that may only return bytes, and must leave its arguments as they are."""
    @wraps(answer)
    def made(photo, patch, x, y, border):
        before = deepcopy((photo, patch))
        picture = answer(photo, patch, x, y, border)
        if not all(np.array_equal(was, now) for was, now in zip(before, (photo, patch))):
            raise ValueError("your function changes a picture that it gets: begin with `photo.copy()`")
        if isinstance(picture, (np.ndarray, torch.Tensor)) and "uint8" not in str(picture.dtype):
            raise TypeError(f"{picture.dtype} is returned instead of uint8: a picture has bytes")
        return picture
    return made


def feathered_with(first: float = 0.5, power: float = 2, near: Callable = np.minimum, swapped: bool = False,
                   kind: type = float, cornered: Callable = lambda x, y: (x, y), whole: Callable = np.rint) -> Callable:
    """Return an answer to 14.2 with other distances, another rise, weights for the other picture, bytes, or no rounding."""
    def feathered(photo, patch, x, y, border):
        (height, width), (x, y) = patch.shape[:2], cornered(x, y)
        rows, columns = (np.minimum(at := np.arange(side) + first, side - 1 + 2 * first - at) for side in (height, width))
        weight = np.minimum(1, near(rows[:, None], columns) / border)[..., None] ** power
        weight, result = 1 - weight if swapped else weight, photo.copy()
        under = result[y:y + height, x:x + width]
        over = patch[:under.shape[0], :under.shape[1]].astype(kind) - under.astype(kind)
        under[:] = whole(under + weight[:under.shape[0], :under.shape[1]] * over).clip(0, 255)
        return result
    return feathered


def feathered_in_place(photo: np.ndarray, patch: np.ndarray, x: int, y: int, border: float) -> np.ndarray:
    """Return the paste alone: the patch's own region."""
    return feathered_with()(photo, patch, x, y, border)[y:y + len(patch), x:x + patch.shape[1]]


def iou_cases() -> list[tuple[tuple, float]]:
    """Return pairs of parsings with the mean IoU by their confusion matrix: drawn faces, and small ones by hand."""
    masks = [face.mask.numpy().astype(int) for face in draw_faces(2, 14)]
    pairs = [(masks[0], masks[1]), (masks[0], np.roll(masks[0], 3, 1)), (masks[1], masks[1]),
             (np.array([[0, 0], [1, 1]]), np.array([[0, 2], [1, 1]]))]
    cases = []
    for a, b in pairs:
        confusion = np.bincount(19 * a.ravel() + b.ravel(), minlength=19 * 19).reshape(19, 19)
        either = confusion.sum(0) + confusion.sum(1) - confusion.diagonal()
        cases.append(((a, b), float(np.mean(confusion.diagonal()[either > 0] / either[either > 0]))))
    return cases


def iou_with(parts: Callable = np.union1d, ratio: Callable = lambda a, b: (a & b).sum() / (a | b).sum()) -> Callable:
    """Return an answer to 14.3 over other classes, or with another ratio."""
    return lambda a, b: float(np.mean([ratio(a == part, b == part) for part in parts(a, b)]))


def verified_cases() -> list[tuple[tuple, tuple[float, float]]]:
    """Return cosines with their threshold, interpolated between sorted impostors, and the share above it, counted.

    The first thresholds lie midway between two impostors, the last one is an impostor and a genuine pair, too."""
    rng, cases = np.random.default_rng(14), []
    for many, allowed in ((151, 0.01), (46, 0.1), (1501, 0.001), (101, 0.25)):
        genuine, impostors = rng.normal(0.3, 0.1, 57), rng.normal(0.01, 0.08, many)
        ordered, place = sorted(impostors.tolist()), (1 - allowed) * (many - 1)
        low = int(place)
        threshold = ordered[low] + (place - low) * (ordered[low + 1] - ordered[low])
        if place == low:
            genuine[:3] = threshold
        cases.append(((genuine, impostors, allowed),
                      (threshold, 100 * sum(value > threshold for value in genuine.tolist()) / len(genuine))))
    return cases


def verified_with(threshold: Callable = lambda genuine, impostors, allowed: np.quantile(impostors, 1 - allowed),
                  share: Callable = lambda genuine, threshold: 100 * np.mean(genuine > threshold)) -> Callable:
    """Return an answer to 14.4 with another threshold, or another share."""
    def verified(genuine, impostors, allowed):
        limit = threshold(genuine, impostors, allowed)
        return float(limit), float(share(genuine, limit))
    return verified


# 15 Where it fails


def noise_seen(answer: Callable) -> Callable:
    """Return nine numbers about the noise that an answer adds to grey pictures uint8 (N, 3, H, W) with this sigma.

    Its mean and its spread, in units of sigma, and the share within one sigma; 1 if a second call gives the same, and
    if torch's own random numbers went on undisturbed; how alike the noise of two faces is, of two colours, and of two
    levels; on white pictures the share of values that stay bright.
    """
    @wraps(answer)
    def seen(images, sigma):
        with torch.random.fork_rng(devices=()):
            torch.manual_seed(1)
            state, before = torch.get_rng_state(), images.clone()
            first = answer(images, sigma)
            undisturbed = torch.equal(state, torch.get_rng_state())
            if not torch.equal(images, before):
                raise ValueError("your function changes the pictures that it gets: return new ones")
            again, white, twice = (answer(x, level) for x, level in (
                (images, sigma), (torch.full_like(images, 255), sigma), (images, 2 * sigma)))
        if first is None:
            return None
        if not isinstance(first, torch.Tensor) or (first.dtype, first.shape) != (images.dtype, images.shape):
            what = f"{first.dtype} of shape {tuple(first.shape)}" if isinstance(first, torch.Tensor) else named(first)
            raise TypeError(f"{what} is returned instead of a tensor uint8 of shape {tuple(images.shape)}")
        noise, stronger = ((x.double() - images) / sigma for x in (first, twice))
        pairs = (noise[0], noise[1]), (noise[:, 0], noise[:, 1]), (noise, stronger)
        with np.errstate(invalid="ignore"):  # without noise nothing is alike
            alike = [np.corrcoef(a.flatten(), b.flatten())[0, 1] for a, b in pairs]
        return (noise.mean(), noise.std(), (noise.abs() <= 1).double().mean(), float(torch.equal(first, again)),
                float(undisturbed), *alike, (white >= 128).double().mean())
    return seen


def own_numbers(shape, seed=0):
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def of_torch(shape):
    torch.manual_seed(0)
    return torch.randn(shape)


def noise_with(draw: Callable = own_numbers, spread: Callable = lambda sigma: sigma,
               end: Callable = lambda x: x.round().clamp(0, 255).to(torch.uint8)) -> Callable:
    """Return an answer to 15.1 with other numbers, another spread, or another way back to bytes."""
    return lambda images, sigma: end(images + spread(sigma) * draw(images.shape))


CURVES = [  # levels and gains of 15.2: one falls, recovers, ends above 0, begins below, starts at 5, rests on 0
    ([0, 10, 25, 50, 75], [2.78, 1.49, 0.39, -0.1, -0.4]), ([0, 1, 4, 6, 7], [2.0, -0.5, 0.8, 0.2, -1.0]),
    ([0, 2, 4, 6, 8], [2.78, 2.7, 1.4, 0.5, 0.2]), ([1, 2, 3], [-0.2, -0.4, -0.8]), ([5, 7, 8], [0.9, 0.3, -0.2]),
    ([0, 1, 2, 3], [2.0, 0.0, 0.0, -1.0])]


def gone_by_scan(levels, gains) -> float:
    """Return the first of two million levels at which the curve is not above 0; inf if there is none."""
    fine = np.linspace(levels[0], levels[-1], 2 * 10**6)
    below = np.flatnonzero(np.interp(fine, levels, gains) <= 0)
    return float(fine[below[0]]) if len(below) else float("inf")


def gone_with(share: Callable = lambda high, low: high / (high - low), places: Callable = iter,
              never: Callable = lambda levels: float("inf"), start: bool = True,
              falls: Callable = lambda high, low: high > 0 >= low) -> Callable:
    """Return an answer to 15.2 with another share of a step, another order of the steps, another end, or another fall."""
    def gone(levels, gains):
        if start and gains[0] <= 0:
            return levels[0]
        for i in places(range(len(levels) - 1)):
            if falls(gains[i], gains[i + 1]):
                return levels[i] + share(gains[i], gains[i + 1]) * (levels[i + 1] - levels[i])
        return never(levels)
    return gone


def int8_cases() -> list[tuple[tuple, torch.Tensor]]:
    """Return weights, in the sizes of AMINet's, and what torch's own quantisation makes of them."""
    cases, rng = [], torch.Generator().manual_seed(0)
    for shape in ((8, 3, 3, 3), (6, 1, 5, 5), (4, 2, 1, 1)):
        weight = torch.randn(shape, generator=rng) * torch.logspace(-2.5, -0.5, shape[0])[:, None, None, None]
        one, each = weight.abs().max() / 127, weight.abs().flatten(1).amax(1) / 127
        zero = torch.zeros(shape[0], dtype=torch.int32)
        cases += [((weight, False), torch.fake_quantize_per_tensor_affine(weight, one.item(), 0, -127, 127)),
                  ((weight, True), torch.fake_quantize_per_channel_affine(weight, each, zero, 0, -127, 127))]
    return cases


def int8_with(levels: float = 127, dims: tuple = (1, 2, 3), whole: Callable = torch.round,
              back: Callable = lambda codes, scale: codes * scale, chosen: Callable = lambda by: by,
              size: Callable = torch.abs) -> Callable:
    """Return an answer to 15.3 with other levels, channels or sizes, another rounding, or another way back."""
    def int8(weight, by_channel):
        largest = size(weight).amax(dims, keepdim=True) if chosen(by_channel) else size(weight).max()
        return back(whole(weight / (largest / levels)), largest / levels)
    return int8


def tone_cases() -> list[tuple[tuple, tuple]]:
    """Return PSNRs of people with light and with dark skin, with the numbers of SciPy's tests, paired and not."""
    rng, cases = np.random.default_rng(15), []
    for n, change in ((14, 1.8), (10, -0.4), (25, 0.3)):
        light = 27 + 2 * rng.normal(size=n)  # some people are hard in any skin
        dark = light + change + 0.4 * rng.normal(size=n)
        paired, apart = ttest_rel(dark, light), ttest_ind(dark, light, equal_var=False)
        ends = (test.confidence_interval(0.95) for test in (paired, apart))
        factors = [float(student.ppf(0.975, test.df)) for test in (paired, apart)]
        halves = [float(high - low) / 2 / factor for (low, high), factor in zip(ends, factors)]
        cases.append(((light.tolist(), dark.tolist()), (float(np.mean(dark) - np.mean(light)), *halves)))
    return cases


def tone_with(sign: int = 1, ddof: int = 1, root: Callable = np.sqrt, order: Callable = lambda *three: three,
              apart: Callable = lambda a, b, spread: spread(a) ** 2 + spread(b) ** 2, own: int | None = None) -> Callable:
    """Return an answer to 15.4 with another sign, deviation (`own`: of the pairs alone), root, order, or variance."""
    def errors(light, dark):
        def spread(x, ddof=ddof):
            return np.std(x, ddof=ddof)
        change = sign * np.subtract(dark, light)
        n = len(change)
        return order(change.mean(), spread(change, ddof if own is None else own) / root(n),
                     apart(light, dark, spread) ** 0.5 / root(n))
    return errors


# A Symbols and shapes


def shape_cases() -> list[tuple[tuple, tuple[int, int, int]]]:
    """Return the features F_1 to F_7 of four small networks, and their shapes as hooks see them."""
    cases, names = [], [*(f"downs.{i}" for i in (0, 1, 2)), "bottleneck.1", *(f"decoders.{i}" for i in (2, 1, 0))]
    for C, cap, size in ((4, 4, 32), (4, 8, 64), (2, 8, 32), (6, 4, 64)):
        network, shapes = AMINet(AMINetConfig(channels=C, cap=cap, heads=(1, 1, 1, 1), depths=(1, 1, 1, 1))), []
        for name in names:
            network.get_submodule(name).register_forward_hook(lambda module, x, y: shapes.append(tuple(y.shape[1:])))
        with torch.no_grad():
            network(torch.zeros(1, 3, size, size))
        cases += [((k, C, cap, size), shape) for k, shape in enumerate(shapes, 1)]
    return cases


def shape_with(level: Callable = lambda k: min(k, 7 - k), times: Callable = lambda level, cap: min(2**level, cap)) -> Callable:
    """Return an answer to A.1 with other levels or other widths."""
    return lambda k, C, cap, size: (C * times(level(k), cap), size >> level(k), size >> level(k))


EXERCISES = {
    "00.1": Exercise(
        "first the mean of the squared differences, in floating point; then 10 times the logarithm to base 10",
        cases=decibel_cases, mistakes=[
            (decibels_with(lambda a, b: (a - b).square().double().mean()),
             "you subtract and square bytes: there 3 - 5 is 254, and 20 * 20 is 144"),
            (decibels_with(lambda a, b: (a - b).double().square().mean()), "you subtract bytes: there 3 - 5 is 254"),
            (decibels_with(lambda a, b: squares(a, b).sum()), "you add the squared errors up: the MSE is their mean"),
            (decibels_with(lambda a, b: sqrt(squares(a, b).mean())), "you take the root of the MSE: the formula has none"),
            (decibels_with(lambda a, b: squares(a, b).sqrt().mean()), "your differences are not squared"),
            (decibels_with(lambda a, b: squares(a, b).mean(), peak=255), "your 255 is not squared"),
            (decibels_with(lambda a, b: squares(a, b).mean(), factor=10 * log(10)), "your logarithm is the natural one"),
            (decibels_with(lambda a, b: squares(a, b).mean(), factor=20),
             "20 belongs to amplitudes: the MSE is a power already")]),
    "00.2": Exercise(
        "write PSNR after minus PSNR before: 255^2 cancels, and the ratio of two MSEs is left",
        cases=removed_cases, mistakes=[
            (lambda gain: 1 - 10 ** (-gain / 20), "20 belongs to amplitudes: the MSE is a power already"),
            (lambda gain: 10 ** (-gain / 10), "this is the share that remains"),
            (lambda gain: 100 * (1 - 10 ** (-gain / 10)), "this is in percent: the share lies between 0 and 1"),
            (lambda gain: 1 - exp(-gain / 10), "you use the number e: decibels have the base 10"),
            (lambda gain: 10 ** (gain / 10) - 1, "you measure the gone part in units of what remains, not of what was there"),
            (lambda gain: 1 - 10**-gain, "you take a decibel for a whole power of ten")]),
    "00.3": Exercise(
        "turn the originals over first, then degrade, enlarge, restore, and compare with the turned originals", tolerance=0.01,
        cases=upside_down_cases, mistakes=[
            (gain_with(), "your network has seen the faces upright: turn them before it, top to bottom, each face by itself"),
            (gain_with(before=turned_over), "you compare faces that are upside down with upright originals"),
            (gain_with(before=mirrored, after=mirrored), "your faces are mirrored, left to right, and still upright"),
            (gain_with(before=lambda x: mirrored(turned_over(x)), after=lambda x: mirrored(turned_over(x))),
             "you turn the faces by half a turn: left and right are exchanged, too"),
            (lambda images: -gain_with(turned_over, after=turned_over)(images), "this is bicubic's gain over the network")]),
    "01.1": Exercise(
        "bicubic loses the energy above 8 cycles: how much of it does each face have?",
        cases=hardest_cases, mistakes=[
            (lambda spectra: largest_first(spectra.sum(1)),
             "this is the order of the contrast: a strong contrast that is smooth survives"),
            (lambda spectra: largest_first(spectra[:, :9].sum(1)), "you sum the part of the spectrum that LR keeps"),
            (lambda spectra: largest_first(spectra[:, 9:].sum(1) / spectra.sum(1)),
             "you take the lost share of each face's contrast: PSNR measures the amount that is lost, not the share"),
            (lambda spectra: largest_first(spectra[:, 9:].sum(1))[::-1], "this order begins with the easiest face"),
            (lambda spectra: spectra[:, 9:].sum(1).argsort(descending=True).argsort().tolist(),
             "you return the rank of each face: position by position, which face comes there?")]),
    "01.2": Exercise(
        "count unknowns minus independent equations: D has m independent rows; how many has D x D^T?",
        cases=lambda: [(case, freedom_by_rank(*case)) for case in ((8, 2, 1), (16, 4, 3), (24, 3, 3))],
        mistakes=[(lambda n, m, channels: channels * (n - m) ** 2,
                   "you count only pictures that vanish in both directions: one direction is enough for LR to be zero"),
                  (lambda n, m, channels: channels * m**2, "you count the equations: the freedom is what they leave over"),
                  (lambda n, m, channels: n**2 - m**2, "you count one channel: each channel has its own freedom"),
                  (lambda n, m, channels: channels * (n - m), "you count one row of pixels: a picture has two directions")]),
    "01.3": Exercise(
        "set the derivative of the expected loss to zero, pixel by pixel: for l1 it counts faces above minus faces below",
        cases=best_cases, mistakes=[
            (mean_of, "your answer is the mean for both losses: l1 grows with the distance, not with its square"),
            (median_of, "your answer is the median for both losses: l2 has another best answer"),
            (lambda stack, loss: mean_of(stack) if loss == "l1" else median_of(stack), "the two losses are exchanged"),
            (lambda stack, loss: (mean_of(stack) if loss == "l2" else median_of(stack)).floor(),
             "your answer is cut to whole numbers: it is to be in double precision"),
            (lambda stack, loss: (mean_of(stack) if loss == "l2" else median_of(stack)).round(),
             "your answer is rounded: the mean of whole numbers need not be one"),
            (lambda stack, loss: mean_of(stack) if loss == "l2" else stack.double().median(0),
             "`median` returns two tensors, the values and their places: take `.values`"),
            (lambda stack, loss: mean_of(stack) if loss == "l2" else stack.double().mode(0).values,
             "for l1 you take the most frequent value: nearly right ones count, too"),
            (lambda stack, loss: sum(stack) / len(stack) if loss == "l2" else median_of(stack),
             "you add bytes: there 200 + 100 is 44. Make the stack double first"),
            (whole_face, "you choose one whole face of the stack: each pixel has a best value of its own")]),
    "01.4": Exercise(
        "index the last two dimensions, rows first, then call resize",
        cases=zoom_cases, mistakes=[
            (lambda hr, side, top, left: resize(hr[..., left:left + side, top:top + side], 128),
             "rows and columns are exchanged: in a tensor the second last dimension is y, the last is x"),
            (lambda hr, side, top, left: resize(hr[..., top:side, left:side], 128),
             "your square ends at row `side`: a slice takes its end, not its length"),
            (zoom_by_torch, "you cut the right square, but torch's bicubic has another kernel than resize")]),
    "02.1": Exercise(
        "undo the logarithm, take the mean, and take the logarithm again",
        cases=set_cases, mistakes=[
            (lambda psnrs: 10 * np.log10(np.mean(10 ** (psnrs / 10))),
             "you average the inverses of the errors: a squared error is proportional to 10^(-dB/10), with a minus"),
            (lambda psnrs: np.mean(psnrs), "this is the mean of the decibels"),
            (lambda psnrs: -20 * np.log10(np.mean(10 ** (-psnrs / 20))),
             "you average the root mean squared errors: average their squares"),
            (lambda psnrs: -10 * np.log(np.mean(10 ** (-psnrs / 10))), "this is the natural logarithm"),
            (lambda psnrs: -10 * np.log10(np.sum(10 ** (-psnrs / 10))), "you add the squared errors: take their mean")]),
    "02.2": Exercise(
        "luma wants (N, 3, H, W): add an axis first. Python's slice 8:-8 cuts at both ends",
        cases=dic_cases, mistakes=[
            (dic_cut(slice(8, None), slice(8, None)), "you cut two borders: a picture has four"),
            (dic_cut(slice(8, -8), slice(None)), "you cut in one direction only"),
            (by_protocol(y_rounding="truncate"), "Y is truncated in this: here it is rounded"),
            (by_protocol(crop=0), "nothing is cut from the borders"),
            (by_protocol(channel="rgb"), "you measure all three channels: here Y alone counts")]),
    "02.3": Exercise(
        "solve the half width for n, and take the next whole number: four times the faces bring half the width",
        cases=needed_cases, mistakes=[
            (lambda values, half: int(np.ceil(1.96 * values.std(ddof=1) / half)),
             "the square root of n stands below: half the width takes four times the faces"),
            (lambda values, half: int(np.ceil((1.96 * values.std() / half) ** 2)),
             "your s divides by n: the standard deviation of a sample has ddof=1"),
            (lambda values, half: int((1.96 * values.std(ddof=1) / half) ** 2),
             "you round down: with so few faces the interval is still too wide"),
            (lambda values, half: int((1.96 * values.std(ddof=1) / half) ** 2) + 1,
             "you always take one more: a half width of exactly `half` is enough"),
            (lambda values, half: int(np.ceil((1.96 * values.std(ddof=1) / (half / 2)) ** 2)),
             "you take `half` for the whole width of the interval"),
            (lambda values, half: int(np.ceil((1.96 * values.var(ddof=1) / half) ** 2)),
             "this is the variance: s is its root")]),
    "03.1": Exercise(
        "split the 3C channels of self.depthwise(self.qkv(x)) into q, k, v, heads and pixels: (B, 3, h, C/h, HW)",
        tolerance=1e-5, module=SelfAttention, mistakes=[
            (sa_between_rows, "the softmax runs over the wrong axis: each output is a mean of values, so each row sums to 1"),
            (sa_without_lengths, "q and k must have length 1 over the pixels: the temperature multiplies a cosine"),
            (lambda self, x: sa_by_length_and_scale(self, x, dim=1), "F.normalize works on dim=1, the heads, if you name no other: q and k have pixels at dim=-1"),
            (lambda self, x: sa_by_length_and_scale(self, x, scale=lambda scores, temperature: scores), "the temperature is missing"),
            (lambda self, x: sa_by_length_and_scale(self, x, scale=lambda scores, temperature: scores / temperature),
             "you divide by the temperature: here it multiplies the cosines"),
            (sa_without_projection, "Eq. 5 ends with a 1x1 convolution, self.project")]),
    "03.2": Exercise(
        "count the four parts one by one: the depthwise 3x3 works on Q, K and V, and each head has a temperature",
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
    "04.1": Exercise(
        "three steps: join the features along the channels in their order, then self.mix, then a sigmoid",
        tolerance=1e-5, module=AttentionUnit, mistakes=[
            (unit_without_sigmoid, "these weights can be below 0 and above 1: what brings them into (0, 1)?"),
            (lambda self, features: self.mix(torch.cat(features, 1).sigmoid()),
             "your sigmoid comes before self.mix: the weights are what it makes of self.mix's output"),
            (lambda self, features: self.mix(torch.cat(features, 1)).tanh(), "a tanh goes from -1 to 1: a weight lies in (0, 1)"),
            (lambda self, features: self.mix(torch.stack(features, 2).flatten(1, 2)).sigmoid(),
             "the channels of the three features alternate: self.mix expects one feature after the other"),
            (unit_with_softmax, "your channels compete, their weights sum to 1; each weight stands for itself"),
            (unit_with_products, "this is Eq. 8 already: the unit gives the one map, and RDFE multiplies"),
            (unit_from_large_to_small, "self.mix expects the 3x3 branch first and the 7x7 branch last")]),
    "04.2": Exercise(
        "level i takes the feature of side H / 2**i; keep self.skip[i] of it on the way down, add it on the way up",
        tolerance=1e-5, module=Hourglass, mistakes=[
            (hourglass_map_alone, "you return the map: the hourglass multiplies its input by it"),
            (hourglass_without_sigmoid, "your map is not in (0, 1): self.to_map gives any number"),
            (hourglass_with_a_shortcut, "you add x once more: the shortcut lies in the refinement, not in the hourglass"),
            (hourglass_ups_from_the_top, "you take self.up from the wrong end: the way up starts at the deepest level"),
            (hourglass_without_side_blocks, "you keep the feature itself: on the way to the side it passes self.skip[i]"),
            (hourglass_side_before_up, "the side is added before self.up[i]: enlarge, apply self.up[i], then add the side"),
            (hourglass_up_before_enlarging, "self.up[i] works at the size of level i: you enlarge after it")]),
    "04.3": Exercise(
        "follow the six steps that stand before the figure of RDFE, one line each; steps 5 and 6 are self.refine",
        tolerance=1e-5, module=RDFE, mistakes=[
            (rdfe_without_unit, "the attention unit has no effect here: Eqs. 7 and 8 are missing"),
            (rdfe_without_relu, "the second round has no ReLU: no equation has it, but Fig. 3a draws it"),
            (rdfe_with_two_relus, "you have a ReLU in the first round, too: Eq. 6 is the convolutions alone"),
            (rdfe_without_x, "X is not added: see the end of Eq. 9"),
            (rdfe_with_x_at_the_end, "you add X after the refinement: Eq. 9 adds it before Eq. 10"),
            (rdfe_without_refinement, "you stop at Eq. 9: the refinement of Eq. 10 is missing")]),
    "04.4": Exercise(
        "keep two numbers: what is seen so far, and the length of one step",
        cases=lambda: [(stack, seen_along_a_line(*stack)) for stack in (
            ((7, 7), (1, 1)), ((3, 3, 3), (1, 2, 1)), ((3, 3, 3, 3), (2, 2, 2, 1)), ((5, 3, 7), (1, 2, 1)))],
        mistakes=[(lambda kernels, strides: 1 + sum(k - 1 for k in kernels),
                   "you leave the strides out: after a stride of 2, neighbours are two input pixels apart"),
                  (with_strides_too_early, "you count a stride in its own layer: it acts on the layers after it"),
                  (lambda kernels, strides: sum(kernels), "you add whole kernels: their windows overlap"),
                  (lambda kernels, strides: 1 + sum(k * s for k, s in zip(kernels, np.cumprod([1, *strides]))),
                   "each layer adds k steps here: one of its k pixels is seen already"),
                  (lambda kernels, strides: 1 + sum((k - 1) * s for k, s in zip(kernels, [1, *strides])),
                   "only the stride of the layer before counts here: the strides of all layers before multiply")]),
    "05.1": Exercise(
        "join what both convolutions make of x, pool it over the channels (axis 1), average first; then self.mix, a sigmoid, and one map for each branch",
        tolerance=1e-5, module=SKAF, mistakes=[
            (skaf_to_the_letter, "this is Eq. 13 to the letter, where w2 is never below w1: self.mix is not used"),
            (skaf_maximum_first, "self.mix gets the maximum first: it was trained with the average first, as in Eq. 13"),
            (skaf_with_softmax, "a softmax makes w1 + w2 = 1 at every pixel: Eq. 13 has a sigmoid for each map"),
            (skaf_in_a_row, "the 7×7 reads what the 5×5 made: in Eq. 11 both read X"),
            (skaf_in_one_tensor, "both maps are in one tensor: Eq. 14 separates them"),
            (skaf_times_input, "the maps multiply x, as Fig. 2 draws it: Eq. 14 returns the maps alone")]),
    "05.2": Exercise(
        "pool over the channels, dimension 1, and keep that dimension", cases=literal_cases, mistakes=[
            (lambda x: torch.cat([x.mean((2, 3), keepdim=True), x.amax((2, 3), keepdim=True)], 1).sigmoid(),
             "the pooling runs over the pixels, not over the channels"),
            (lambda x: average_and_maximum(x.sigmoid()), "the sigmoid comes before the pooling: in Eq. 13 it is outermost"),
            (average_and_maximum, "the sigmoid is missing: these are no weights in (0, 1)"),
            (lambda x: average_and_maximum(x).flip(1).sigmoid(), "the maximum comes first: in Eq. 13 the average does")]),
    "05.3": Exercise(
        "count each convolution by itself: k*k weights per pair of channels that it reads and writes, and its biases",
        cases=lambda: [((c, kernels, len(pools)), sum(p.numel() for p in SKAF(c, kernels, pools).parameters()))
                       for c in (28, 112) for kernels, pools in (((5, 7), ("avg", "max")), ((7,), ("max",)), ((7,), ()), ((5, 7), ()))],
        mistakes=[(lambda c, kernels, pools: sum(k * k * c * c for k in kernels) + 98 * pools,
                   "there are no biases in this, and the mixing reads nothing where there is no pooling"),
                  (lambda c, kernels, pools: sum(k * k * c * c for k in kernels) + 98 * (pools or len(kernels) * c),
                   "the biases are missing"),
                  (lambda c, kernels, pools: sum(k * k * c * c + c for k in kernels) + 98 * pools + 2,
                   "without a pooling the mixing reads nothing in this: it reads all channels of X3"),
                  (lambda c, kernels, pools: sum(k * k * c * c + c for k in kernels) + 98 * (pools or c) + 2,
                   "without a pooling the mixing reads c channels in this: X3 has c of each convolution"),
                  (lambda c, kernels, pools: sum(k * k * c + c for k in kernels) + 98 * (pools or len(kernels) * c) + 2,
                   "these kernels are depthwise: SKAF's are dense, from all channels to all channels")]),
    "05.4": Exercise(
        "write out k = 1, 2, 3: the exponent of m doubles; what does that of g do? Then add logarithms: the size itself overflows",
        cases=lambda: [((m, g, k), squared_in_turn(m, g, k))
                       for m, g, k in ((4, 0.5, 1), (4, 0.5, 3), (1, 0.4, 8), (0.1, 3, 5), (4, 0.5, 12))],
        mistakes=[(lambda m, g, k: k * log10(g) + 2 * k * log10(m),
                   "the exponents are added in this: each fusion squares the whole size so far"),
                  (lambda m, g, k: k * log10(g) + 2**k * log10(m),
                   "each fusion brings one g in this: those of earlier fusions are squared, too"),
                  (lambda m, g, k: 2**k * (log10(g) + log10(m)),
                   "g has the exponent of m in this: the size before the first fusion has no g"),
                  (lambda m, g, k: log(10) * squared_in_turn(m, g, k), "this is the natural logarithm")]),
    "06.1": Exercise(
        "follow the drawing from left to right, with its dashed parts: u, a, r, m, w1 and w2, fused, y",
        tolerance=1e-5, module=LGFI, mistakes=[
            (lgfi_without_shortcut, "the shortcut around the block is missing"),
            (lgfi_without_norm, "the branches got the raw x: the trained ones expect it normed"),
            (lgfi_weights_swapped, "the two weights of SKAF are swapped"),
            (lgfi_halves_swapped, "the 1×1 convolution got the two features in the wrong order"),
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
                   "this is the largest network below the budget: one above it may be closer"),
                  (lambda budget, fixed, per_block: ceil((budget - fixed) / sum(per_block)),
                   "this is the smallest network above the budget: one below it may be closer"),
                  (lambda budget, fixed, per_block: (budget - fixed) / sum(per_block), "blocks are whole: round the number"),
                  (lambda budget, fixed, per_block: round(7 * (budget - fixed) / sum(per_block)),
                   "this counts the blocks of all seven stages together")]),
    "06.4": Exercise(
        "the RMS is the root of the mean of the squares",
        cases=share_cases,
        mistakes=[(shares_of(lambda v: v.mean().item()), "this is the mean: positive and negative values cancel"),
                  (shares_of(lambda v: v.abs().mean().item()), "this is the mean of absolute values, not the RMS"),
                  (shares_of(lambda v: v.square().mean().item()), "this is the mean of the squares: the root is missing"),
                  (shares_of(lambda v: v.square().mean().sqrt().item(), 1), "these shares add up to 1, not to 100%")]),
    "07.1": Exercise(
        "concatenate along the channels, reduce, ask self.skaf for two maps: the first belongs to the encoder",
        tolerance=1e-5, module=EDFF, mistakes=[
            (edff_exchanged, "encoder and decoder have changed places: here X_E is the encoder's feature"),
            (edff_reads_decoder_first, "self.reduce gets the decoder's feature first: it was trained the other way round"),
            (edff_maps_exchanged, "the encoder's feature is weighed with the second map, the decoder's with the first"),
            (edff_without_reduction, "SKAF gets the sum of both features: self.reduce is not used"),
            (edff_of_mixture, "the maps weigh the mixture: in Eq. 16 they weigh the two features themselves")]),
    "07.2": Exercise(
        "one tensor reads E and D, two write w1 and w2", cases=exchange_cases, wrap=exchange_of, mistakes=[
            (lambda edff, d, e: edff(d, e), "no weight has changed"),
            (lambda edff, d, e: edff(e, d), "the old weights, or edff(e, d): change those of this edff, not of a copy, and give it D first"),
            (lambda edff, d, e: exchanged(edff, d, e, maps=()), "the maps have an order, too: it is still the old one"),
            (lambda edff, d, e: exchanged(edff, d, e, reads=False), "the 1x1 still reads in the old order"),
            (lambda edff, d, e: exchanged(edff, d, e, maps=("weight",)), "the biases of the maps are in the old order"),
            (lambda edff, d, e: exchanged(edff, d, e, maps=("weight",), axis=1),
             "axis 1 of the mixing's weight is what it reads, the average and the maximum")]),
    "08.1": Exercise(
        "print x.shape after each step: what you keep at a level must have the shape of what comes up to that level",
        tolerance=1e-5, module=AMINet, mistakes=[
            (aminet_without_input, "the face that went in is missing in what you return"),
            (aminet_swapped, "EDFF's two inputs are swapped: it takes the decoder's feature for the encoder's"),
            (aminet_kept_too_early, "what you keep for EDFF has not been through the encoder"),
            (aminet_without_bottleneck, "the bottleneck is left out"),
            (aminet_half_a_bottleneck, "the bottleneck has two LGFIs: only the first of them works here"),
            (aminet_clamped, "you clamp the result: the network returns what it computed"),
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
    "09.1": Exercise(
        "loss, backward and step come in this order; the old gradients go at any time before the backward",
        cases=l1_cases, wrap=steps_of, mistakes=[
            (step_with(loss_of=F.mse_loss), "you square the differences: Eq. 17 has their absolute values"),
            (step_with(loss_of=lambda a, b: (a - b).abs().sum(dim=(1, 2, 3)).mean()),
             "this is the sum over a face, as Eq. 17 is printed: here its mean per value is minimised"),
            (step_with("backward step"), "the gradients of earlier steps are still there: backward adds to them"),
            (step_with("zero step backward"), "no weight has moved: there was no step, or no gradient at the time of it"),
            (step_with(late=True), "you return the loss after the step, of another forward")]),
    "09.2": Exercise(
        "in each batch: gradients to zero, loss, backward, step sizes, steps, and on_step at the end",
        cases=fit_cases, wrap=fit_of, mistakes=[
            (fit_with(size=lambda group, own, factor: own), "rate() has no effect: every step has the full size"),
            (fit_with(size=lambda group, own, factor: group * factor),
             "your factors multiply up: each one is applied to the step size of the batch before"),
            (fit_with(size=lambda group, own, factor: factor),
             "you take the factor itself for the step size: it multiplies the optimiser's own"),
            (fit_with(groups=1), "only the first group of each optimiser has the new step size: go through them all"),
            (fit_with(late=True), "you set the step size after the step: it comes one batch too late"),
            (fit_with(stops=False), "on_step said that the training ends, and it went on"),
            (fit_with(early=True), "the last batch is not learned from: on_step ended the training before the step"),
            (fit_with(players=1), "only the first network learns: a game can have several optimisers"),
            (fit_with(zero=False), "the gradients of earlier batches are still there: backward adds to them")]),
    "09.3": Exercise(
        "after the first step both corrections give back g and g^2; the second has t = 2", tolerance=1e-6,
        cases=lambda: [(case, two_steps_of_adam(*case))
                       for case in ((3.0, 1.0, 0.1), (3000.0, 1000.0, 0.1), (0.5, -2.0, 0.02), (1e-6, 2e-6, 0.1))],
        mistakes=[(adam_with(root=lambda v: (v + 1e-8) ** 0.5), "your 1e-8 is under the root: it is added after it"),
                  (adam_with(root=lambda v: v**0.5), "the 1e-8 is missing: it counts where gradients are small"),
                  (lambda g1, g2, lr: -lr * (g1 / abs(g1) + g2 / abs(g2)),
                   "each of your steps is a first step: m and v have forgotten g1"),
                  (adam_with(correct=lambda b, t: 1), "the corrections are missing: divide m and v by 1 - beta**t"),
                  (adam_with(correct=lambda b, t: 1 - b),  # 0.1 and 0.01
                   "the corrections do not change with t: they have powers of beta"),
                  (lambda *case: -adam_with()(*case), "the sign is wrong: a step goes against the gradient"),
                  (adam_with(b2=0.999), "this is PyTorch's default beta_2, not the paper's")]),
    "09.4": Exercise(
        "the first decay is 2/11: the first weights replace the start almost at once", tolerance=1e-6,
        cases=lambda: [((1.0, [0.0] * n, 0.999), 10 / comb(n + 10, 9)) for n in (1, 2, 5)]  # 2/11 * 3/12 * 4/13 * ...
        + [((0.0, [0.0] * n + [1.0], 0.999), 9 / (11 + n)) for n in (3, 100)] + [((1.0, [0.0] * 3, 0.3), 3 / 220)],
        mistakes=[(averaged_with(lambda d, t: d), "the decay is d in all steps: the start stays for thousands of them"),
                  (averaged_with(lambda d, t: 1 - min(d, (1 + t) / (10 + t))),
                   "decay and 1 - decay have changed places: the decay multiplies the average"),
                  (averaged_with(lambda d, t: min(d, t / (9 + t))), "your t begins with 0: the first step is t = 1"),
                  (averaged_with(lambda d, t: (1 + t) / (10 + t)), "the decay has no upper limit: d is not used")]),
    "10.1": Exercise(
        "with logit z, -log D is F.softplus(-z) and -log(1 - D) is F.softplus(z); sr.detach() is sr without its history",
        cases=lambda: step_cases(cross_entropy_of_both, 0), wrap=step_of, mistakes=[
            (eq20_with_history, "the generator gets a gradient of Eq. 20: it would learn to be caught"),
            (eq20_exchanged, "real and restored faces are exchanged: your discriminator learns to call restored ones real"),
            (eq20_with(lambda real, fake: [F.softplus(fake).mean()]),
             "the real faces are missing: a discriminator that always says no would win"),
            (eq20_with(lambda real, fake: [F.softplus(-real).mean()]),
             "the restored faces are missing: a discriminator that always says yes would win"),
            (eq20_with(lambda real, fake: [F.softplus(-real).mean() / 2, F.softplus(fake).mean() / 2]),
             "you take the mean of both halves: Eq. 20 adds them"),
            (eq20_with(lambda real, fake: [F.softplus(-real).sum(), F.softplus(fake).sum()]),
             "you add up the faces of the batch: Eq. 20 has their mean"),
            (eq20_with(lambda real, fake: [-F.softplus(-real).mean(), -F.softplus(fake).mean()]),
             "the sign is wrong: this is largest when D is right, and a step makes it smaller"),
            (eq20_with(lambda real, fake: [F.relu(1 - real).mean(), F.relu(1 + fake).mean()]),
             "this is the hinge loss: Eq. 20 has logarithms"),
            (eq20_with(lambda real, fake: [F.softplus(-real).mean(), F.softplus(-fake).mean()]),
             "of restored faces you take -log D, too: there it is -log(1 - D)"),
            (eq20_with(lambda real, fake: [F.softplus(-real).mean(), F.softplus(fake).mean().detach()]),
             "you detach D's answer: D must learn from the restored face, only its history ends, sr.detach()"),
            (eq20_frozen, "D is frozen: in its own step it must learn"),
            (eq20_together, "real and restored faces are one batch here: then batch norm mixes them, and D cannot be asked alone"),
            (eq20_without_history, "the loss has no history: nothing reaches the discriminator")]),
    "10.2": Exercise(
        "weigh three parts by self.weights; self.requires_grad_(False) freezes D, only while it judges sr, (True) ends that",
        cases=lambda: step_cases(sum_of_three, 1), wrap=step_of, mistakes=[
            (eq22_saturating, "your adversarial part is log(1 - D), whose slope vanishes for who is losing: see Eq. 21"),
            (eq22_exchanged, "your adversarial part is -log(1 - D): your generator learns to be caught"),
            (eq22_teaches_discriminator, "the discriminator gets a gradient of Eq. 22: it would learn to call fakes real"),
            (eq22_stays_frozen, "the discriminator is still frozen after your step: it can never learn again"),
            (eq22_without_history, "the discriminator sees sr without its history: the generator learns nothing from it"),
            (eq22_of_swapped_perceptual, "`perceptual` takes sr first, then target: only through the first does a gradient come"),
            (eq22_by_the_paper, "these weights are the paper's: take them from self.weights"),
            (eq22_without_adversary, "the adversarial part is missing"),
            (eq22_with_pixels(lambda gap: gap.square().mean()), "your pixel part squares the differences: Eq. 18 has their absolute values"),
            (eq22_unweighted, "the three parts are added without their weights"),
            (eq22_without_perceptual, "the perceptual part is missing"),
            (eq22_with_pixels(lambda gap: gap.abs().sum((1, 2, 3)).mean()),
             "your pixel part sums over a face: here it is the mean over all values, F.l1_loss"),
            (eq22_without_pixels, "the pixel part is missing")]),
    "10.3": Exercise(
        "the slope at a value x is 2 a x; square it, sum over a picture, halve, mean over B",
        cases=r1_cases, mistakes=[
            (lambda a, images: 2 * a * images.square().sum((1, 2, 3)).mean(), "the factor a of the slope is not squared"),
            (lambda a, images: 4 * a**2 * images.square().sum((1, 2, 3)).mean(), "you leave out the half of R1"),
            (lambda a, images: 2 * a**2 * images.square().sum(), "you add the pictures: R1 is their mean"),
            (lambda a, images: 2 * a**2 * images.square().mean(),
             "you take the mean over all values: the squared length of a gradient is a sum over a picture")]),
    "10.4": Exercise(
        "the derivative of softplus is the sigmoid; both losses fall when the logit rises",
        cases=lambda: [((z,), slopes_by_autograd(z)) for z in (-4.0, 0.0, 2.5)],
        mistakes=[(lambda z: (-1 / probability(z), -1 / (1 - probability(z))), "these are derivatives by D, not by the logit"),
                  (lambda z: (-probability(z), probability(z) - 1), "the two slopes are exchanged"),
                  (lambda z: (1 - probability(z), probability(z)), "the signs are wrong: both losses fall as z rises"),
                  (lambda z: (probability(z) - 1, probability(z)), "you take -log(1 - D): the second loss has no minus")]),
    "11.1": Exercise(
        "of a - b return the mean, then the low and the high quantile of the means of all draws of rows and columns", tolerance=1e-6,
        cases=lambda: [(case, interval_by_counts(*case)) for case in (two_designs(1, 30), two_designs(3, 20))],
        mistakes=[(interval_of(lambda a, b, seeds, images: drawn(a, seeds, images) - drawn(b, seeds, images[::-1])),
                   "each network has draws of its own here: both were measured on the same faces"),
                  (interval_of(lambda a, b, seeds, images: (a - b).mean(0)[images].mean(1)),
                   "only faces are drawn here: the interval knows nothing of other trainings"),
                  (interval_of(lambda a, b, seeds, images: (a - b)[seeds].mean((1, 2))),
                   "only trainings are drawn here: the interval knows nothing of other faces"),
                  (interval_of(lambda a, b, seeds, images: a - b),
                   "these are quantiles of single faces: the mean over a draw is missing"),
                  (interval_of(lambda a, b, seeds, images: drawn(a - b, seeds, images), (0.05, 0.95)),
                   "this is a 90 % interval: each end leaves out 5 % of the draws"),
                  (interval_of(lambda a, b, seeds, images: drawn(b - a, seeds, images)),
                   "the mean is a - b, but the ends are of b - a"),
                  (lambda a, b, *draws: interval_by_counts(b, a, *draws), "this is b - a in all three numbers"),
                  (interval_of(lambda a, b, seeds, images: drawn(a - b, seeds, images), (0.00025, 0.00975)),
                   "np.percentile takes 2.5 and 97.5: 0.025 and 0.975 are for np.quantile"),
                  (lambda *case: interval_with(case, lambda mean, low, high, means: (means.mean(), low, high)),
                   "your first number is the mean of the draws: it is to be that of a - b itself"),
                  (lambda *case: interval_with(case, lambda mean, low, high, means: (low, mean, high)),
                   "these are the right numbers in another order: first the mean, then the two ends"),
                  (lambda *case: interval_with(case, lambda mean, low, high, means: (mean, high, low)),
                   "the two ends are exchanged: first the low one"),
                  (lambda *case: interval_with(case, lambda mean, low, high, means: (mean, (low, high))),
                   "the two ends are in a tuple of their own: return three numbers"),
                  (lambda *case: interval_with(case, lambda mean, low, high, means: (
                      mean, mean - 1.96 * means.std(), mean + 1.96 * means.std())),
                   "these are 1.96 standard deviations: take the quantiles of the draws")]),
    "11.2": Exercise(
        "take the difference of each pair first: its standard error is the standard deviation over the root of n",
        cases=lambda: [(case, half_by_scipy(*case)) for case in (
            ([26.04, 26.08, 26.00], [26.10, 26.05, 26.12]), ([25.83, 25.80, 25.88], [26.11, 26.04, 26.12]),
            ([26.14, 26.21, 26.09, 26.17, 26.12], [26.10, 26.05, 26.12, 26.08, 26.06]))],
        mistakes=[(half_with(lambda n: norm.ppf(0.975)), "this is 1.96 standard errors, as if the spread were known"),
                  (half_with(lambda n: student.ppf(0.95, n - 1)), "only one side of the interval leaves out 5 %: here two sides share them"),
                  (half_with(lambda n: student.ppf(0.975, n)), "this is Student's factor for n degrees of freedom: n values have n - 1"),
                  (half_with(lambda n: 2 * student.ppf(0.975, n - 1)), "this is the whole interval from end to end"),
                  (half_with(lambda n: 4.30), "4.30 is the factor for three trainings: here are also five"),
                  (half_with(ddof=0), "this standard deviation divides by n: of a sample it divides by n - 1, ddof=1"),
                  (half_with(root=lambda n: 1), "this is the interval of one training: the mean of n varies less"),
                  (half_with(spread=lambda a, b: np.hypot(np.std(a, ddof=1), np.std(b, ddof=1))),
                   "the spreads of both lists are added: trainings of equal seeds are pairs")]),
    "11.3": Exercise(
        "follow the formula; math.ceil rounds up",
        cases=lambda: [(case, trainings_by_power(*case)) for case in ((0.05, 0.05), (0.05, 0.02), (0.1, 0.06), (0.03, 0.1), (0.01, 0.07))],
        mistakes=[(trainings_with(designs=1), "this is as if only one of the two designs varied: their variances add"),
                  (trainings_with(z=1.960), "this finds d in half of the studies: the 0.842 is for 80 %"),
                  (trainings_with(whole=int), "this rounds down: with less than n trainings it is too few"),
                  (trainings_with(whole=float), "this is not rounded: the number of trainings is whole"),
                  (trainings_with(whole=round), "this rounds to the nearest number: with less than n trainings it is too few"),
                  (lambda d, sigma: ceil(2 * (1.960 + 0.842) ** 2 * sigma / d), "the ratio of sigma and d is not squared"),
                  (trainings_with(z=(1.960**2 + 0.842**2) ** 0.5), "the two quantiles are squared one by one: the square is of their sum"),
                  (lambda d, sigma: trainings_with()(sigma, d), "d and sigma have changed places")]),
    "12.1": Exercise(
        "for each network ask whether any other one has p >= q, d <= c, and p > q or d < c", cases=front_cases, mistakes=[
            (best_ratio, "this keeps the best ratio of quality to cost: a front compares quality and cost one by one"),
            (front_by(lambda p, d, j, q, c, i: p > q and d < c),
             "another one beats a network here only if it is better in both: a tie in one of them saves the network"),
            (front_by(lambda p, d, j, q, c, i: p > q and d <= c),
             "of equal quality, the cheaper one must beat the other: here it does not"),
            (front_by(lambda p, d, j, q, c, i: p >= q and d < c),
             "of equal cost, the better one must beat the other: here it does not"),
            (front_by(lambda p, d, j, q, c, i: p > q or d < c),
             "here being better in one of the two is enough: the other must be at least as good"),
            (front_by(lambda p, d, j, q, c, i: p >= q and d <= c and i != j), "two equal networks remove each other here"),
            (front_by(lambda p, d, j, q, c, i: p >= q and d <= c), "each network is compared with itself here, and removed"),
            (front_by(lambda p, d, j, q, c, i: p >= q and d >= c and (p, d) != (q, c)),
             "the higher cost wins here: the comparison of the costs is the wrong way round"),
            (lambda quality, cost: sorted({*range(len(cost))} - {*front_by(dominates)(quality, cost)}),
             "these are the networks that are dominated"),
            (lambda quality, cost: sorted(front_by(dominates)(quality, cost), key=lambda i: cost[i]),
             "these are the right networks, but sorted by cost: sort the indices")]),
    "12.2": Exercise(
        "a pair (i, j) is concordant if a and b order it alike; count each pair once", tolerance=1e-6,
        cases=tau_cases,
        mistakes=[(places_alike, "this counts equal places in the two orders: Kendall counts pairs"),
                  (lambda a, b: pairs_alike(a, b)[0] / sum(pairs_alike(a, b)),
                   "this is the share of concordant pairs: the discordant ones are not subtracted"),
                  (lambda a, b: np.subtract(*pairs_alike(a, b)), "this is the difference itself: the division is missing"),
                  (lambda a, b: 2 * np.subtract(*pairs_alike(a, b)) / len(a) ** 2,
                   "you divide by all n * n, but an element makes no pair with itself"),
                  (lambda a, b: np.subtract(*pairs_alike(a, b)) / len(a), "you divide by the number of elements, not of pairs"),
                  (lambda a, b: 2 * np.subtract(*pairs_alike(a, b)) / sum(pairs_alike(a, b)),
                   "each pair is counted twice above, and once below"),
                  (lambda a, b: spearmanr(a, b).statistic, "this is a correlation of the ranks, Spearman's: Kendall's counts pairs")]),
    "12.3": Exercise(
        "the density of the difference at 0 times the step, one factor for each column",
        cases=chance_cases, mistakes=[
            (chance_with(spread=1), "only one of the two trainings varies here"),
            (chance_with(spread=2), "the two spreads are added here: variances add, not spreads"),
            (chance_with(width=2), "the density is taken twice as wide: rounding leaves one step in all, not one to either side"),
            (chance_with(join=np.sum), "the chances of the columns are added here: all columns must agree")]),
    "13.1": Exercise(
        "first give each metric a direction, 1, -1 or 0; LPIPS improves when it falls",
        cases=reading_cases, mistakes=[
            (reading_with(lpips_sign=1), "you take a higher LPIPS for the better one"),
            (reading_with(way=lambda low, high: (low + high > 0) - (low + high < 0)),
             "you use the middle of an interval: while it contains 0, the direction is open"),
            (reading_with(way=lambda low, high: (low >= 0) - (high <= 0)),
             "an interval that ends at 0 contains it: this metric is open"),
            (reading_with(trades=lambda a, b: a != b), "an open metric is no price: a trade has a clear loss"),
            (reading_with(word=lambda a, b: "better" if a + b == 2 else "worse" if a + b == -2 else "open"),
             "you want a clear change in both: one is enough if the other metric is open")]),
    "13.2": Exercise(
        "one mean for each layer, their sum for each discriminator, and the mean of these sums",
        cases=matching_cases, wrap=matching_of, mistakes=[
            (lambda fake, real: matching_with()(fake, real).item(),
             "the value is right, but has no history: as a loss it trains nothing"),
            (matching_with(of_layers=lambda gaps: sum(gaps) / len(gaps)), "you average over the layers: they are summed"),
            (matching_with(last=None), "you count the logits: they belong to the adversarial loss"),
            (matching_with(of_networks=sum), "you add the discriminators: SPARGAN takes their mean"),
            (matching_with(gap=F.mse_loss), "you square the differences: they are absolute"),
            (matching_with(of_networks=lambda sums: sum(sums) / 3),
             "you always divide by 3: the number of discriminators is the length of the list")]),
    "13.3": Exercise(
        "what must the distance be if both Gaussians are equal, and what if only the standard deviations differ?",
        cases=lambda: [(case, between_quantiles(*case))
                       for case in ((0.0, 1.0, 0.0, 1.0), (0.5, 1.0, 0.0, 2.0), (-1.0, 0.0, 1.0, 1.5))],
        mistakes=[(lambda ma, sa, mb, sb: (ma - mb) ** 2 + (sa**2 - sb**2) ** 2,
                   "you subtract the variances: on a line the standard deviations are subtracted"),
                  (lambda ma, sa, mb, sb: (ma - mb) ** 2 + sa**2 + sb**2,
                   "two equal Gaussians have a distance in this: the last term of the formula is missing"),
                  (lambda ma, sa, mb, sb: ((ma - mb) ** 2 + (sa - sb) ** 2) ** 0.5,
                   "this is the root: FID is the squared distance"),
                  (lambda ma, sa, mb, sb: abs(ma - mb) + abs(sa - sb), "the differences are not squared"),
                  (lambda ma, sa, mb, sb: (ma - mb) ** 2, "only the means count in this: a blurred set would be perfect")]),
    "14.1": Exercise(
        "the scale and the turn together are one complex number, (right - left) / 38; the shift brings one eye to its place",
        cases=similarity_cases, mistakes=[
            (similarity_with(way=abs), "you scale and shift, but do not turn"),
            (similarity_with(inverse=True), "this is the way back, from the photograph to the aligned face"),
            (similarity_with(way=lambda s: s.conjugate()), "you turn to the other side: is the sign of b right?"),
            (similarity_with(way=lambda s: s / abs(s)), "you turn and shift, but do not scale"),
            (similarity_with(middle=64 + 64j), "the eyes land on row 64, in the middle of the face: theirs is row 52"),
            (similarity_with(middle=0j), "your shift is where the eyes are, not where the corner of the face is"),
            (similarity_with(middle=19), "your shift is the left eye: in the aligned face it is at (45, 52), not in the corner"),
            (lambda left, right: similarity_with()(right, left), "left and right are exchanged: the face stands on its head")]),
    "14.2": Exercise(
        "first an array of distances, of each pixel's centre to the nearest of four edges; then weights; then one mean",
        cases=paste_cases, wrap=new_picture, mistakes=[
            (feathered_with(power=1), "your weights rise in a straight line: they are squared"),
            (feathered_with(first=0), "you measure from the pixel's rim: its centre is half a pixel further in"),
            (feathered_with(first=1), "your distances are half a pixel too large: the outermost centres are 0.5 from the edge"),
            (feathered_with(swapped=True), "your weights are exchanged: the photograph fades out towards the edge"),
            (feathered_with(kind=np.uint8), "you subtract bytes: there 3 - 5 is 254"),
            (feathered_with(cornered=lambda x, y: (y, x)), "x and y are exchanged: an array has the row, y, first"),
            (feathered_with(near=np.multiply), "you multiply both distances: the nearest edge counts alone"),
            (feathered_with(near=np.maximum), "you take the farther of both distances: the nearest edge counts"),
            (feathered_with(near=np.hypot), "this is a distance along a slope: the nearest edge counts alone"),
            (feathered_with(whole=np.floor), "you cut the decimals off: round before the values become bytes"),
            (feathered_in_place, "you return the patch's region alone: the photograph belongs to it")]),
    "14.3": Exercise(
        "one value for each class of `np.union1d(a, b)`: `(a == part) & (b == part)` over `|`",
        cases=iou_cases, mistakes=[
            (iou_with(parts=lambda a, b: np.unique(a)), "a class that b alone has counts, too: with 0"),
            (iou_with(parts=np.intersect1d), "a class that only one of them has counts, too: with 0"),
            (iou_with(ratio=lambda a, b: 2 * (a & b).sum() / (a.sum() + b.sum())),
             "this is the Dice coefficient: the union counts each pixel once"),
            (iou_with(ratio=lambda a, b: (a & b).sum() / (a.sum() + b.sum())),
             "your union counts the common pixels twice"),
            (iou_with(parts=lambda a, b: range(19), ratio=lambda a, b: (a & b).sum() / max(1, (a | b).sum())),
             "a class that neither of them has does not count"),
            (iou_with(parts=lambda a, b: np.union1d(a, b)[1:]), "class 0, the background, is a class, too"),
            (lambda a, b: 100 * iou_with()(a, b), "the mean is asked as a share from 0 to 1, not in percent"),
            (lambda a, b: float((a == b).mean()), "this is the share of equal pixels: large parts outvote the small ones")]),
    "14.4": Exercise(
        "the threshold depends on the impostors alone: 1 % of them exceed it",
        cases=verified_cases, tolerance=1e-6, mistakes=[
            (verified_with(threshold=lambda genuine, impostors, allowed: np.quantile(impostors, allowed)),
             "nearly all impostors exceed your threshold: take the other end"),
            (verified_with(threshold=lambda genuine, impostors, allowed: np.quantile(genuine, allowed)),
             "you take the threshold from the genuine pairs: it must keep impostors out"),
            (verified_with(threshold=lambda genuine, impostors, allowed: np.max(impostors)),
             "no impostor passes yours: some are allowed to"),
            (verified_with(threshold=lambda genuine, impostors, allowed: np.quantile(impostors, 0.99)),
             "your threshold is always that of 1 %: the share is `allowed`"),
            (verified_with(threshold=lambda genuine, impostors, allowed: np.quantile(impostors, 1 - allowed / 100)),
             "`allowed` is a share, no percentage: 0.01 is 1 %"),
            (verified_with(threshold=lambda genuine, impostors, allowed: np.quantile(
                impostors, 1 - allowed, method="lower")), "this is an impostor's cosine: NumPy interpolates between two"),
            (verified_with(threshold=lambda genuine, impostors, allowed: np.quantile(
                impostors, 1 - allowed, method="higher")), "this is the next impostor's cosine: NumPy interpolates between two"),
            (verified_with(share=lambda genuine, limit: 100 * np.mean(genuine >= limit)),
             "a cosine equal to the threshold does not exceed it: `>`, not `>=`"),
            (verified_with(share=lambda genuine, limit: np.sum(genuine > limit)),
             "this is a count of pairs: the share is asked in percent of all genuine pairs"),
            (verified_with(share=lambda genuine, limit: np.mean(genuine > limit)), "the share is asked in percent"),
            (verified_with(share=lambda genuine, limit: 100 * np.mean(genuine <= limit)),
             "this is the share that is turned away")]),
    "15.1": Exercise(
        "make a torch.Generator of your own, with a seed, at each call; then add, round, clamp, and convert",
        cases=lambda: [((torch.full((2, 3, 96, 96), grey, dtype=torch.uint8), sigma),  # sigma .5: rounding keeps the share
                        (0.0, 1.0, 0.683, 1.0, 1.0, 0.0, 0.0, 1.0, 1.0)) for grey, sigma in ((150, 5.5), (100, 20.5))],
        tolerance=0.03, wrap=noise_seen, mistakes=[
            (noise_with(draw=torch.randn), "every call has other noise: begin each with a torch.Generator of one seed"),
            (noise_with(draw=of_torch), "torch.manual_seed sets everybody's random numbers: use a torch.Generator of your own"),
            (noise_with(end=lambda x: x.round().to(torch.uint8)),
             "bright pixels become dark: bytes wrap around at 256, so clamp to 0 .. 255 first"),
            (noise_with(end=lambda x: x.clamp(0, 255).to(torch.uint8)),
             "bytes cut the decimals off, so the pictures become darker: round first"),
            (noise_with(spread=lambda sigma: sigma**0.5), "you take the root of sigma: sigma is a standard deviation, no variance"),
            (noise_with(spread=lambda sigma: sigma**2), "you square sigma: the noise is sigma times standard normal numbers"),
            (noise_with(spread=lambda sigma: sigma * 255), "sigma is in levels of 255 already: it is no share"),
            (noise_with(draw=lambda shape: own_numbers(shape[1:])), "all faces get the same noise: draw for every value"),
            (noise_with(draw=lambda shape: own_numbers((shape[0], 1, *shape[2:]))),
             "the three colours get the same noise: draw for every value"),
            (lambda images, sigma: noise_with(draw=lambda shape: own_numbers(shape, int(10 * sigma)))(images, sigma),
             "another sigma has other noise: the seed must not depend on sigma"),
            (lambda images, sigma: noise_with(draw=lambda shape: own_numbers(shape) * images / 128)(images, sigma),
             "bright pixels get more noise than dark ones: you add the same to all of them"),
            (noise_with(draw=lambda shape: 12**0.5 * (torch.rand(shape, generator=torch.Generator().manual_seed(0)) - 0.5)),
             "these numbers are uniform: Gaussian noise is torch.randn"),
            (noise_with(draw=lambda shape: torch.rand(shape, generator=torch.Generator().manual_seed(0))),
             "torch.rand is uniform from 0 to 1, and makes pictures brighter: Gaussian noise is torch.randn")]),
    "15.2": Exercise(
        "go through neighbours; where the gain first passes 0, the step is cut in the ratio of the two gains",
        cases=lambda: [(curve, gone_by_scan(*curve)) for curve in CURVES], tolerance=1e-4, mistakes=[
            (gone_with(share=lambda high, low: 1), "this is a measured level: draw a straight line between the two neighbours"),
            (gone_with(share=lambda high, low: 0), "this is the last level with a gain: draw a straight line to the next one"),
            (gone_with(share=lambda high, low: 0.5), "this is the middle of the two levels: the gains say where between them"),
            (gone_with(share=lambda high, low: -low / (high - low)), "the step is cut from the wrong end: start with the gain before it"),
            (gone_with(places=reversed), "this is where the gain passes 0 for the last time: it is gone when it first does"),
            (gone_with(never=lambda levels: levels[-1]), "a gain that is left at the last level is not gone: return math.inf"),
            (gone_with(falls=lambda high, low: low < 0), "a gain of 0 is not above 0, so it is gone: `<= 0`, not `< 0`"),
            (lambda levels, gains: next((i for i, gain in enumerate(gains) if gain <= 0), float("inf")),
             "this is the number of the level: return the level, between its neighbours"),
            (gone_with(start=False), "a gain that is not above 0 at the first level is gone there")]),
    "15.3": Exercise(
        "scale = largest absolute weight / 127, of all or of each output channel; round weight / scale, multiply back",
        cases=int8_cases, tolerance=1e-6, mistakes=[
            (int8_with(chosen=lambda by: False), "you take one scale for the whole tensor in both cases"),
            (int8_with(chosen=lambda by: True), "you take a scale for each channel in both cases"),
            (int8_with(chosen=lambda by: not by), "by_channel is exchanged: True asks for a scale of each channel"),
            (int8_with(size=lambda weight: weight), "a weight below 0 may be the largest: take absolute values first"),
            (lambda weight, by_channel: weight, "you return the weights as they are: round them to the codes"),
            (int8_with(dims=(0, 2, 3)), "these are the input channels: a scale belongs to an output channel, the first dimension"),
            (int8_with(dims=(2, 3)), "you take a scale for each kernel: an output channel has several"),
            (int8_with(whole=torch.trunc), "you cut the decimals off: round to the nearest code"),
            (int8_with(whole=torch.floor), "you round down: round to the nearest code"),
            (int8_with(back=lambda codes, scale: codes), "these are the codes: multiply them by the scale again"),
            (int8_with(levels=128), "the largest weight would get the code 128, which int8 does not have: take 127"),
            (int8_with(levels=255), "these codes reach 255: int8 has a sign, so only 127 are left for the largest")]),
    "15.4": Exercise(
        "paired: the deviation of the n differences over the root of n; unpaired: both variances over n, added, then the root",
        cases=tone_cases, tolerance=1e-6, mistakes=[
            (tone_with(sign=-1), "this is light - dark: the change is dark - light"),
            (tone_with(ddof=0), "these deviations divide by n: of a sample they divide by n - 1, ddof=1"),
            (tone_with(root=lambda n: 1), "these are spreads of people: the mean of n varies less, by the root of n"),
            (tone_with(root=lambda n: n), "you divide by n: the standard error has its root"),
            (tone_with(order=lambda mean, a, b: (mean, b, a)), "the two errors are exchanged: first the paired one"),
            (tone_with(order=lambda mean, a, b: (mean, b, b)), "your paired error is the unpaired one: take the differences first"),
            (tone_with(order=lambda mean, a, b: (mean, a, a)), "your unpaired error knows the pairs: take the two deviations apart"),
            (tone_with(apart=lambda a, b, spread: (spread(a) + spread(b)) ** 2),
             "you add the deviations: variances add, not deviations"),
            (tone_with(apart=lambda a, b, spread: spread([*a, *b]) ** 2),
             "you pool all people: two groups have two variances"),
            (tone_with(apart=lambda a, b, spread: (spread(a) ** 2 + spread(b) ** 2) / 2),
             "you divide both variances by 2n: each mean is of n people"),
            (tone_with(own=0), "the deviation of your differences divides by n: of a sample it divides by n - 1, ddof=1"),
            (tone_with(order=lambda mean, a, b: (mean, a**2, b**2)), "these are variances: the standard error is the root"),
            (tone_with(order=lambda mean, a, b: (mean, 1.96 * a, 1.96 * b)),
             "these are half intervals: a standard error has no factor 1.96")]),
    "A.1": Exercise(
        "F_k lies at level k on the way down; at which level lies F_4, and at which F_7?",
        cases=shape_cases, mistakes=[
            (shape_with(times=lambda level, cap: 2**level), "your channels double at every level: cap has no effect"),
            (shape_with(times=lambda level, cap: cap if level else 1), "all your levels but the first have cap * C channels"),
            (shape_with(level=lambda k: min(k, 8 - k)), "your bottleneck halves the picture once more: it keeps the size of F_3"),
            (shape_with(level=lambda k: k), "your network never goes up again: F_5 to F_7 are the decoder's"),
            (shape_with(level=lambda k: min(k - 1, 7 - k)), "your F_1 has not been halved: it is what comes after encoder 1"),
            (lambda *case: shape_with()(*case)[::-1], "your channels come last: a feature is (channels, height, width)")]),
    "A.2": Exercise(
        "each head has a matrix of its own, between its own channels only",
        cases=lambda: [((c, h), SelfAttention(c, h).attention(torch.zeros(1, c, 8, 8))[0].numel())
                       for c, h in ((28, 1), (56, 2), (112, 4), (24, 8))],
        mistakes=[(lambda channels, heads: channels**2,
                   "you let every channel meet every other: two heads share no channel"),
                  (lambda channels, heads: (channels // heads) ** 2, "this is the matrix of one head"),
                  (lambda channels, heads: heads * channels**2,
                   "each of your heads has all channels: they share the channels among them"),
                  (lambda channels, heads: channels // heads, "this is a row of the matrix of one head")]),
}
