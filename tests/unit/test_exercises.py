"""Exercises: a stub is no try, every known mistake has its own message, and a right answer is right."""
from fractions import Fraction
from functools import partial

import exercises
import numpy as np
import pytest
import torch
from exercises import EXERCISES, check, difference, fault, untouched, use_own

from aminet.edff import EDFF
from aminet.errors import BadInput

MISTAKES = [pytest.param(number, place, id=f"{number}-{place}") for number, exercise in EXERCISES.items()
            for place in range(len(exercise.mistakes))]


@pytest.fixture(autouse=True)
def quiet(monkeypatch):
    exercises.TRIES.clear()
    monkeypatch.setattr(exercises, "show", lambda *grid, **options: None)


@pytest.mark.parametrize("number, place", MISTAKES)
def test_a_known_mistake_hears_its_own_message(number, place, capsys):
    mistakes = EXERCISES[number].mistakes
    assert not check(number, mistakes[place][0])
    first, message = capsys.readouterr().out.splitlines()
    assert first.startswith("not yet: ") and message.strip() == mistakes[place][1]


def test_every_exercise_has_two_mistakes_with_messages_of_their_own():
    for exercise in EXERCISES.values():
        messages = [words for _, words in exercise.mistakes]
        assert len(set(messages)) == len(messages) >= 2 and (exercise.cases is None) == (exercise.module is not None)


def test_the_hint_comes_with_the_second_try_and_a_stub_is_none(capsys):
    def stub(c, h):
        """Not begun."""
        ...

    for _ in range(3):
        assert not check("03.2", stub)
    assert capsys.readouterr().out == "your turn: stub\n" * 3
    for _ in range(2):
        check("03.2", lambda c, h: 0)
    assert capsys.readouterr().out.splitlines() == [
        "not yet: 0 instead of 3893", "not yet: 0 instead of 3893", f"         hint: {EXERCISES['03.2'].hint}"]


def test_a_module_is_compared_at_its_places_in_the_network(monkeypatch, capsys):
    shown = []
    monkeypatch.setattr(
        exercises, "show", lambda rows, titles: shown.append([" ".join(titles).count("dB"), len(rows[0])]))

    def forward(self, x):
        weights, v = self.attention(x)
        return self.project((weights @ v).reshape(x.shape))

    def half(self, x):
        return forward(self, x)[:, ::2]

    def doubled(self, x):
        return 2 * forward(self, x)

    assert check("03.1", forward) and capsys.readouterr().out == "right\n"
    assert not check("03.1", half)
    assert capsys.readouterr().out == (
        "not yet: encoders.0.sa: the shape is (2, 4, 128, 128) instead of (2, 8, 128, 128)\n")
    assert not check("03.1", doubled)
    assert shown == [[3, 4], [2, 3], [3, 4]]  # of a forward that fails in the network there is no face


def test_of_a_training_step_the_effect_is_compared(capsys):
    def step(network, optimizer, x, target):
        optimizer.zero_grad()
        loss = torch.nn.functional.l1_loss(network(x), target)
        loss.backward()
        optimizer.step()
        return loss.item()

    def broken(network, optimizer, x, target):
        return network(x) - "target"

    assert check("09.1", step) and capsys.readouterr().out == "right\n"
    assert not check("09.1", lambda network, optimizer, x, target: None)
    assert capsys.readouterr().out == "your turn: <lambda>\n"
    assert not check("09.1", broken)
    out = capsys.readouterr().out
    assert out.startswith("not yet: TypeError in line ") and '`return network(x) - "target"`' in out


def test_stubs():
    def with_value():
        """A docstring."""
        return 5

    def returns_its_argument(x):
        return x

    assert untouched(lambda: None) and not untouched(with_value) and not untouched(returns_its_argument)


@pytest.mark.parametrize("given, expected, words", [
    (2, 2.00001, ""), (torch.tensor([2.0]), 2, ""), (None, 2, "nothing is returned"), ("a", "b", "'a' instead of 'b'"),
    ((1, 2), (1, 3), "value 1: 2 instead of 3"), ((1,), (1, 3), "1 value instead of 2"),
    (torch.zeros(2, 3), torch.zeros(3), "the shape is (2, 3) instead of (3,)"),
    ([1, 2], 3, "the shape is (2,) instead of that of one number"), ("3", 3, "'3' instead of a number"),
    (True, 1, "True instead of a number"), (1 + 2j, 1, "(1+2j) instead of a number"), (Fraction(6, 2), 3, ""),
    (np.float32(3), 3, ""), (np.array([1, 2]), [1, 2], ""), (float("nan"), 3, "nan instead of 3"),
    (float("nan"), float("nan"), "nan instead of nan"),
    (3.5, (1, 2), "3.5 instead of a tuple of 2 values"),
    (np.array(3), (1, 2), "array(3) instead of a tuple of 2 values"),
    ({1, 2}, [1, 2], "{1, 2} instead of a list of 2 values"),
    ({1: 0, 2: 0}, [1, 2], "{1: 0, 2: 0} instead of a list of 2 values"),
    ((n for n in (1, 2)), [1, 2], "a value of type generator instead of a list of 2 values"),
    ((1, None), (1, 2), "value 1: nothing is returned"),
    (np.array(["a"]), "a", "array(['a'], dtype='<U1') instead of 'a'"),
    (torch.zeros(2, 64, dtype=torch.bool), torch.zeros(2, 64),
     "a value of type Tensor (torch.bool) instead of numbers of shape (2, 64)"),
    ([torch.zeros(2)] * 2, torch.zeros(2), "a list of tensors instead of one"),
    (torch.tensor(2e3 + 1 / 3), 2e3 + 1 / 3, ""),
    (torch.ones(2, requires_grad=True), torch.ones(2), ""), (2_000_001, 2_000_000, "2000001 instead of 2000000"),
    (torch.tensor([0.0, 2.0]), torch.zeros(2), "2 instead of 0 at (1,); 1 of 2 values differ"),
    (torch.tensor([0.0, torch.nan]), torch.zeros(2), "nan instead of 0 at (1,); 1 of 2 values differ"),
])
def test_differences_in_words(given, expected, words):
    assert difference(given, expected, 1e-4) == words


def test_an_error_is_explained_with_its_line():
    def answer(x):
        return x / 0

    words = fault(answer, (1,), 1, 1e-4)
    assert words.startswith("ZeroDivisionError in line ") and words.endswith("`return x / 0`: division by zero")


def test_an_error_in_a_step_is_explained_with_the_learners_line(capsys):
    def step(self, sr, target, x):
        return self.nothing

    assert not check("10.1", step)
    assert capsys.readouterr().out.startswith("not yet: AttributeError in line ")


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """A live notebook whose kept forwards are in a folder of this test; EDFF has its own forward again afterwards."""
    monkeypatch.setattr(exercises, "live", lambda: True)
    monkeypatch.setattr(exercises, "MINE", tmp_path / "mine")
    monkeypatch.setattr(EDFF, "forward", EDFF.forward)
    return tmp_path / "mine"


def test_a_right_forward_is_kept_and_used_a_wrong_one_is_not_kept(mine, capsys):
    def forward(self, encoder, decoder):
        w1, w2 = self.skaf(self.reduce(torch.cat([encoder, decoder], 1)))
        self.own = True
        return encoder * w1 + decoder * w2

    def exchanged(self, encoder, decoder):
        w1, w2 = self.skaf(self.reduce(torch.cat([encoder, decoder], 1)))
        return encoder * w2 + decoder * w1

    assert not check("07.1", exchanged) and not mine.exists()
    capsys.readouterr()
    assert check("07.1", forward) and capsys.readouterr().out == "right: chapter 09 trains with it\n"
    assert [path.name for path in mine.iterdir()] == ["EDFF.py"]
    use_own()
    assert capsys.readouterr().out.startswith("yours: EDFF; the course's: SelfAttention, ")
    edff, features = EDFF(8), torch.rand(2, 1, 8, 16, 16)
    edff(*features)
    assert edff.own


def test_the_courses_own_answer_is_not_kept(mine, capsys):
    assert check("07.1", EDFF.forward) and capsys.readouterr().out == "right\n" and not mine.exists()


def fused(self, encoder, decoder):
    w1, w2 = self.skaf(self.reduce(torch.cat([encoder, decoder], 1)))
    return encoder * w1 + decoder * w2


def spoils_its_input(self, encoder, decoder):
    y = fused(self, encoder, decoder)
    decoder.zero_()
    encoder.zero_()
    return y


@pytest.mark.parametrize("forward, words", [
    (lambda self, e, d: fused(self, e, d).detach(), "not their gradients: a `detach`"),
    (lambda self, e, d: fused(self, e.detach(), d), "not their gradients: a `detach`"),
    (spoils_its_input, "not their gradients"),
    (lambda self, e, d: fused(self, e, d).double(),
     "right by itself, but not in the network with one face: RuntimeError"),
    (lambda self, e, d: fused(self, e, d).reshape(2, *e.shape[1:]), "with one face: RuntimeError in line"),
    (lambda self, e, d: EDFF.forward(self, e, d), "with one face: RecursionError in line"),
    (partial(fused), "hand over the function itself, not a value of type partial"),
    (EDFF(8).forward, "hand over the function itself, not a value of type method"),
    (EDFF(8), "hand over the function itself, not a value of type EDFF"),
])
def test_a_forward_must_work_in_a_network_and_train(mine, forward, words, capsys):
    assert not check("07.1", forward) and words in capsys.readouterr().out
    assert not mine.exists()


def test_a_forward_that_changes_what_the_network_still_needs(capsys):
    def forward(self, features):
        features[0] *= 2
        return self.mix(torch.cat([features[0] / 2, *features[1:]], 1)).sigmoid()

    assert not check("04.1", forward) and "does it count on two faces, or change its input?" in capsys.readouterr().out


def test_a_forward_that_needs_the_notebook_is_right_but_not_kept(mine, capsys):
    def forward(self, encoder, decoder):
        return fused(self, encoder, decoder)

    assert check("07.1", forward) and not mine.exists()
    assert capsys.readouterr().out == ("right, but not kept for chapter 09, where `forward` must hold all it uses: "
                                       "NameError in line 2: name 'fused' is not defined\n")
    assert check("07.1", lambda self, e, d: fused(self, e, d)) and not mine.exists()
    assert capsys.readouterr().out.endswith("ValueError: there is no `def forward(self, ...)` at its end\n")


def formula(c, h, more=0):
    return 4 * c * c + 27 * c + h + more


class Formula:
    def method(self, c, h):
        return formula(c, h)

    __call__ = method


async def later(c, h):
    return formula(c, h)


def without_end(c, h):
    return without_end(c, h)


@pytest.mark.parametrize("answer, words", [
    (partial(formula, more=0), "right"), (Formula(), "right"), (Formula().method, "right"),
    (lambda c, h: np.int64(formula(c, h)), "right"),
    (partial(formula, more=1), "not yet: 3894 instead of 3893"),
    (partial(formula, more=""), "not yet: TypeError: unsupported"),
    (len, "not yet: TypeError: len() takes exactly one argument"), (later, "not yet: begin your function with `def`"),
    (without_end, "not yet: RecursionError in line "), (Formula, "not yet: hand over the function itself"),
    (torch.zeros(3, 4), "not yet: hand over the function itself, not a value of type Tensor"),
])
def test_any_callable_is_an_answer_and_any_error_one_line(answer, words, capsys):
    assert check("03.2", answer) is (words == "right")
    out = capsys.readouterr().out
    assert out.startswith(words) and out.count("\n") == 1


def test_of_what_an_answer_prints_the_first_wrong_case_is_shown(capsys):
    def answer(c, h):
        print("c is", c)
        return formula(c, h) if c < 100 else 0

    assert not check("03.2", answer)
    assert capsys.readouterr().out.startswith("c is 112\nnot yet: 0 instead of ")


def by_autograd(a, images):
    gradient, = torch.autograd.grad(a * images.requires_grad_().square().sum(), images)
    return gradient.square().sum((1, 2, 3)).mean() / 2


def slopes_by_autograd(z):
    z = torch.tensor(z, requires_grad=True)
    return tuple(torch.autograd.grad(y, z)[0] for y in (-z.sigmoid().log(), (1 - z.sigmoid()).log()))


def pasted_pixel_by_pixel(photo, patch, x, y, border):
    result, (height, width) = photo.copy(), patch.shape[:2]
    for i, j in np.ndindex(height, width):
        weight = min(1, (min(i, height - 1 - i, j, width - 1 - j) + 0.5) / border) ** 2
        result[y + i, x + j] = [int(weight * int(a) + (1 - weight) * int(b) + 0.5)  # halves go up, not to even numbers
                                for a, b in zip(patch[i, j], photo[y + i, x + j])]
    return result


def verified_in_single_precision(genuine, impostors, allowed):
    threshold = torch.from_numpy(impostors).float().quantile(1 - allowed)
    return threshold, 100 * (torch.from_numpy(genuine).float() > threshold).float().mean()


def noise_of_numpy(images, sigma):
    noise = np.random.default_rng(3).standard_normal(images.shape)
    return torch.from_numpy((images.numpy() + sigma * noise).round().clip(0, 255).astype(np.uint8))


def int8_by_product(weight, by_channel):
    per_unit = 127 / (weight.abs().amax((1, 2, 3), keepdim=True) if by_channel else weight.abs().max())
    return (weight * per_unit).round() / per_unit


def exchanged_in_place(edff, d, e):
    first, second = edff.reduce.weight.chunk(2, dim=1)
    edff.reduce.weight.copy_(torch.cat([second, first], dim=1))
    for tensor in edff.skaf.mix.parameters():
        tensor.copy_(tensor.flip(0))
    return edff(d, e)


@pytest.mark.parametrize("number, answer", [
    ("10.3", by_autograd), ("10.4", slopes_by_autograd), ("07.2", exchanged_in_place), ("14.2", pasted_pixel_by_pixel),
    ("14.4", verified_in_single_precision), ("15.1", noise_of_numpy), ("15.3", int8_by_product)])
def test_another_way_is_right(number, answer):
    with torch.no_grad():  # of a notebook that has switched autograd off
        assert check(number, answer)


def pasted_in_place(photo, patch, x, y, border):
    photo[:] = pasted_pixel_by_pixel(photo, patch, x, y, border)
    return photo


def noise_in_place(images, sigma):
    return images.copy_(noise_of_numpy(images, sigma))


@pytest.mark.parametrize("number, answer, words", [
    ("14.2", pasted_in_place, "changes a picture that it gets"), ("15.1", noise_in_place, "changes the pictures"),
    ("14.2", lambda *case: pasted_pixel_by_pixel(*case).astype(float), "float64 is returned instead of uint8"),
    ("15.1", lambda images, sigma: noise_of_numpy(images, sigma).numpy(), "ndarray (uint8) is returned instead"),
    ("15.1", lambda images, sigma: noise_of_numpy(images, sigma)[:1], "of shape (1, 3, 96, 96) is returned"),
    ("15.1", lambda images, sigma: images.clone(), "value 1: 0 instead of 1"),
    ("15.2", lambda levels, gains: float("nan"), "nan instead of"),
])
def test_what_cannot_be_compared_is_named(number, answer, words, capsys):
    assert not check(number, answer)
    said = capsys.readouterr()
    assert said.out.startswith("not yet: ") and words in said.out and not said.err


@pytest.mark.parametrize("number, answer", [
    ("07.2", lambda edff, d, e: edff.forward(e, d)),
    ("10.3", lambda a, images: 2 * a**2 * images.square().sum() / images.shape[1]),
    ("13.2", lambda fake, real: EXERCISES["13.2"].mistakes[1][0](fake, [[x + 0 for x in maps] for maps in real])),
])
def test_what_once_passed_is_wrong(number, answer):
    assert not check(number, answer)


def test_a_number_of_any_precision_is_a_number_and_a_class_is_no_answer(capsys):
    assert difference(2699.6123, 2699.6123, 1e-4) == difference(torch.tensor(2699.6123).double(), 2699.6123, 1e-3) == ""
    for answer in (EDFF, 3, "forward"):
        assert not check("07.1", answer) and "hand over the function itself" in capsys.readouterr().out


def test_without_a_live_notebook_nothing_is_kept(mine, monkeypatch, capsys):
    monkeypatch.setattr(exercises, "live", lambda: False)
    assert check("07.1", EDFF.forward) and capsys.readouterr().out == "right\n" and not mine.exists()
    use_own()
    assert "yours" not in capsys.readouterr().out


@pytest.mark.parametrize("text, words", [
    ("def forward(self, encoder, decoder:\n", "was never closed"),
    ("", "there is no `def forward(self, ...)` at its end"),
    ("check('07.1', lambda self, e, d: e)", "there is no `def forward(self, ...)` at its end"),
    ("def forward(self, encoder, decoder):\n    return rearranged(encoder)\n", "name 'rearranged' is not defined"),
    ("def forward(self, encoder, decoder):\n    return encoder + decoder\n", "instead of"),
])
def test_a_kept_file_that_cannot_be_used_is_refused_by_name(mine, text, words):
    mine.mkdir()
    (mine / "EDFF.py").write_text(text)
    before = EDFF.forward
    with pytest.raises(BadInput, match="EDFF.py: .*; pass its check again, or delete the file") as error:
        use_own()
    assert words in str(error.value) and EDFF.forward is before
