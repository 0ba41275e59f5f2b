"""Exercises: a stub is no try, every known mistake has its own message, and a right answer is right."""
import sys
from pathlib import Path

import pytest
import torch

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "notebooks"))
import exercises  # noqa: E402
from exercises import EXERCISES, check, difference, fault, untouched, use_own  # noqa: E402

from aminet.edff import EDFF  # noqa: E402
from aminet.errors import BadInput  # noqa: E402

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


def test_a_module_is_compared_at_its_places_in_the_network(capsys):
    def forward(self, x):
        weights, v = self.attention(x)
        return self.project((weights @ v).reshape(x.shape))

    def half(self, x):
        return forward(self, x)[:, ::2]

    assert check("03.1", forward) and capsys.readouterr().out == "right\n"
    assert not check("03.1", half)
    assert capsys.readouterr().out == (
        "not yet: encoders.0.sa: the shape is (2, 4, 128, 128) instead of (2, 8, 128, 128)\n")


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
    ((1, 2), (1, 3), "value 1: 2 instead of 3"), ((1,), (1, 3), "1 values instead of 2"),
    (torch.zeros(2, 3), torch.zeros(3), "the shape is (2, 3) instead of (3,)"),
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


def test_a_forward_that_cannot_train_is_not_right(mine, capsys):
    def forward(self, encoder, decoder):
        w1, w2 = self.skaf(self.reduce(torch.cat([encoder, decoder], 1)))
        return (encoder * w1 + decoder * w2).detach()

    assert not check("07.1", forward) and "not their gradients: a `detach`" in capsys.readouterr().out
    assert not mine.exists()


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
    ("", "list index out of range"),
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
