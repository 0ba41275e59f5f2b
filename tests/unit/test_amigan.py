"""AMIGAN: the losses are those of the equations, the players keep to themselves, a run resumes, a collapse stops it."""
import math
import re
from dataclasses import replace

import pytest
import torch
from test_trainer import log, steps, tensors
from torch import nn

from aminet import PRESETS, AMINet, BadInput
from aminet.amigan import Collapse, Discriminator, PerceptualLoss, adversarial_loss, discriminator_loss, r1_penalty
from aminet.faces.synthetic import faces
from aminet.training.games import GANGame, GANRecipe, missing_networks
from aminet.training.trainer import Trainer
from aminet.training.weights import load_weights, read_header, save_weights

TINY = replace(PRESETS["pocket"], channels=4)
RECIPE = dict(images=16, batch=4, width=4, val_every=8, perceptual=0.0, choose="psnr", ema=0.9)


@pytest.fixture(scope="module")
def data():
    return faces(10, 0), faces(4, 1)


@pytest.fixture(scope="module")
def start(tmp_path_factory):
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("start") / "tiny.safetensors"
    save_weights(path, AMINet(TINY).state_dict(), {"config": TINY.to_dict(), "images": 0})
    return path


def small_vgg():
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 8, 3, padding=1),
                         nn.ReLU())


@pytest.fixture
def anything_found(monkeypatch):
    """Every pretrained network and every package is here, as far as a game can tell."""
    monkeypatch.setattr("aminet.metrics.pretrained.locate", lambda name: f"{name}.pth")
    monkeypatch.setattr("aminet.metrics.pretrained.installed", lambda name: True)


def game_of(start, data, **recipe):
    return GANGame(start, GANRecipe(**RECIPE | recipe), data[1])


def open_run(start, data, out, resume=False, options=None, **recipe):
    return Trainer(game_of(start, data, **recipe), *data, out, resume=resume, device="cpu", **(options or {}))


@pytest.mark.parametrize("norm", ["spectral", "batch", "none"])
def test_discriminator_gives_one_logit_a_face(norm):
    discriminator = Discriminator(4, norm)
    assert discriminator(torch.zeros(2, 3, 128, 128)).shape == (2,)
    assert discriminator.features(torch.zeros(2, 3, 128, 128)).shape == (2, 32, 4, 4)


def test_spectral_norm_bounds_every_weight_matrix():
    discriminator = Discriminator(4, "spectral")
    for _ in range(30):  # power iterations
        discriminator(torch.zeros(1, 3, 128, 128))
    gains = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in discriminator.modules()
             if isinstance(layer, nn.Conv2d | nn.Linear)]
    assert len(gains) == 12 and all(gain == pytest.approx(1, abs=0.05) for gain in gains)


def test_vanilla_losses_are_the_printed_logarithms():
    real, fake = torch.tensor([2.0, -1.0]), torch.tensor([0.5, -3.0])
    p, q = real.sigmoid(), fake.sigmoid()
    assert discriminator_loss(real, fake).item() == pytest.approx((-p.log().mean() - (1 - q).log().mean()).item())
    assert adversarial_loss(fake).item() == pytest.approx(-q.log().mean().item())
    assert discriminator_loss(torch.zeros(1), torch.zeros(1)).item() == pytest.approx(2 * math.log(2))
    assert torch.isfinite(discriminator_loss(torch.tensor([-200.0]), torch.tensor([200.0])))  # log(0) of Eq. 20


def test_hinge_stops_at_the_margin():
    assert discriminator_loss(torch.tensor([1.5]), torch.tensor([-1.5]), "hinge") == 0
    assert discriminator_loss(torch.tensor([0.0]), torch.tensor([0.0]), "hinge") == 2
    assert adversarial_loss(torch.tensor([0.7]), "hinge").item() == pytest.approx(-0.7)


def test_perceptual_loss_is_the_sum_of_layer_means():
    vgg = small_vgg()
    loss = PerceptualLoss(vgg)
    a, b = (torch.rand(2, 3, 8, 8) * 2 - 1 for _ in range(2))
    mean, deviation = (torch.tensor(v).reshape(1, 3, 1, 1) for v in ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225]))
    x, y = (((image + 1) / 2 - mean) / deviation for image in (a, b))
    first = (vgg[:2](x) - vgg[:2](y)).abs().mean()
    second = (vgg(x) - vgg(y)).abs().mean()
    assert loss(a, b).item() == pytest.approx((first + second).item(), rel=1e-5)
    assert [tuple(f.shape) for f in loss.layers(a)] == [(2, 4, 8, 8), (2, 8, 4, 4)]
    assert loss(a, a) == 0
    a.requires_grad_(True)
    loss(a, b).backward()
    assert a.grad.abs().sum() > 0 and all(p.grad is None for p in vgg.parameters())


def test_r1_of_a_linear_judge_is_half_its_squared_slope():
    images = torch.rand(3, 3, 4, 4, requires_grad=True)
    assert r1_penalty(2 * images.sum((1, 2, 3)), images).item() == pytest.approx(0.5 * 4 * 48)


def test_no_loss_reaches_the_other_player(data, start):
    x, target = torch.rand(2, 3, 128, 128) * 2 - 1, torch.rand(2, 3, 128, 128) * 2 - 1

    def gradients(**weights):  # spectral norm's estimates change with every call
        game = game_of(start, data, norm="none", **weights)
        game.train()
        game.loss(x, target)[0].backward()
        return ([p.grad.clone() for p in game.network.parameters() if p.grad is not None],
                [p.grad.clone() for p in game.adversary.parameters()])

    taught, judged = gradients(adversarial=0.01)
    pushed, again = gradients(adversarial=100.0)  # Eq. 21 would push the discriminator to call fakes real
    for a, b in zip(judged, again):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    assert all(a.any() for a in judged) and any(not torch.allclose(a, b, rtol=0.1) for a, b in zip(taught, pushed))
    silent, _ = gradients(pixel=0.0, adversarial=0.0)  # Eq. 20 alone: nothing for the generator
    assert silent and all(g.abs().max() == 0 for g in silent)


def test_resume_is_bit_exact(data, start, tmp_path):
    torch.set_num_threads(1)
    for folder, images in (("whole", 16), ("parts", 8), ("parts", 16)):
        open_run(start, data, tmp_path / folder, (tmp_path / folder).exists(), images=images, r1=1.0).train(bar=False)
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)
    assert any(k.startswith("adam of discriminator.") for k in whole)
    with pytest.raises(BadInput, match="recipe differs in r1"):
        open_run(start, data, tmp_path / "whole", resume=True)


def test_it_starts_from_aminet_and_leaves_an_aminet(data, start, tmp_path):
    trainer = open_run(start, data, tmp_path)
    before = {k: v.clone() for k, v in trainer.network.state_dict().items()}
    given = load_weights(start)[0].state_dict()
    assert before.keys() == given.keys() and all(torch.equal(v, given[k]) for k, v in before.items())
    trainer.train(bar=False)
    model, header = load_weights(tmp_path)
    assert model.config == TINY and header["preset"] == "amigan" and header["start"]["name"] == "tiny.safetensors"
    assert header["recipe"]["loss"] == "vanilla" and header["recipe"]["adversarial"] == 0.01
    assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
    lines = log(tmp_path)
    assert lines[0].keys() == {"images", "val_psnr", "lr", "seconds"} and lines[0]["images"] == 0  # AMINet itself
    assert {"loss", "pixel", "perceptual", "adversarial", "discriminator", "real", "fake"} <= lines[1].keys()


def test_a_run_chosen_by_psnr_does_not_keep_its_start(data, start, tmp_path):
    kept = []

    def note(trainer, network):
        kept.append((trainer.seen, read_header(trainer.folder.best)["images"]))

    trainer = open_run(start, data, tmp_path, options={"on_validation": note}, lr=0.03)
    trainer.game.floor = -math.inf  # worse and worse is no collapse here
    result = trainer.train(bar=False)
    model, header = load_weights(tmp_path)
    assert kept[:2] == [(0, 0), (8, 8)] and kept[2] in [(16, 8), (16, 16)]  # a kill before any step leaves weights, too
    assert header["images"] == kept[-1][1] and header["val_psnr"] == result["val_psnr"]
    scores = [line["val_psnr"] for line in log(tmp_path) if "val_psnr" in line]
    assert scores[0] > max(scores[1:]) == header["val_psnr"]  # the start is better by PSNR
    given = load_weights(start)[0].state_dict()
    assert any(not torch.equal(v, given[k]) for k, v in model.state_dict().items())


def test_the_discriminator_learns_to_tell(data, start, tmp_path):
    looks = steps(open_run(start, data, tmp_path, images=None, lr=1e-9, d_lr=2e-3, norm="batch"), 24)
    assert len(looks) == 24
    begin, end = ({k: sum(look[k] for look in part) / len(part) for k in ("discriminator", "real", "fake")}
                  for part in (looks[:3], looks[-10:]))
    assert begin["discriminator"] == pytest.approx(2 * math.log(2), abs=0.15)  # it guesses
    assert end["discriminator"] < 0.5 * begin["discriminator"] and end["real"] > end["fake"] + 0.4


def test_collapse_needs_patience():
    won = Collapse(patience=3)
    assert [won(0.999, 0.001, 1.0) is None for _ in range(2)] == [True, True]
    assert won(0.9, 0.1, 1.0) is None  # the count starts again
    assert [won(0.999, 0.001, 1.0) is None for _ in range(3)] == [True, True, False]
    lost = Collapse(patience=2)
    assert lost(0.501, 0.5, 1.0) is None and "given up" in lost(0.501, 0.5, 1.0)
    same = Collapse(patience=2)
    assert same(0.6, 0.4, 0.2) is None and "collapsed" in same(0.6, 0.4, 0.2)
    assert "has won" in Collapse(patience=250)(0.999, 0.001, 1.0, batches=250)  # patience is in batches
    assert "has won" in Collapse(patience=1, sure=0.73)(0.8, 0.2, 1.0)


def test_hinge_is_sure_beyond_its_margin(data, start):
    assert game_of(start, data, loss="hinge").collapse.sure == pytest.approx(torch.tensor(1.0).sigmoid().item(),
                                                                             abs=0.002)
    assert game_of(start, data).collapse.sure == 0.99


def test_a_collapse_stops_the_run_and_says_so(data, start, tmp_path):
    trainer = open_run(start, data, tmp_path)
    trainer.game.collapse = Collapse(patience=1, sure=0.0)  # any discriminator has won
    with pytest.raises(BadInput, match=r"after \d+ images: collapse: the discriminator has won.*Start again with "
                                       r"--r1 10.*last good state is in .*state\.safetensors"):
        trainer.train(bar=False)
    assert log(tmp_path)[-1]["problem"].startswith("collapse: the discriminator has won")


def test_a_game_looks_at_the_batches_that_it_is_told_of(data, start):
    game = game_of(start, data)
    means = {"real": 0.999, "fake": 0.001, "variety": 1.0}
    assert [game.check(means, 100) is None for _ in range(3)] == [True, True, False]  # 250 batches are the patience
    assert "the discriminator has won" in game.check(means, 1)


def test_another_vgg19_does_not_continue_a_run(data, start, tmp_path, monkeypatch, anything_found):
    monkeypatch.setattr("aminet.training.games.vgg19", lambda: (small_vgg(), "one file"))
    open_run(start, data, tmp_path, perceptual=0.01, images=4).train(bar=False)
    assert read_header(tmp_path / "best.safetensors")["vgg19"] == "one file"
    monkeypatch.setattr("aminet.training.games.vgg19", lambda: (small_vgg(), "another"))
    with pytest.raises(BadInput, match="vgg19 differs"):
        open_run(start, data, tmp_path, resume=True, perceptual=0.01)


def test_the_perceptual_loss_is_eq_19_of_the_vgg19(data, start, monkeypatch, anything_found):
    monkeypatch.setattr("aminet.training.games.vgg19", lambda: (small_vgg(), "a small one"))
    game, (x, target) = game_of(start, data, perceptual=0.5), torch.rand(2, 2, 3, 128, 128) * 2 - 1
    _, values = game.loss(x, target)
    assert values["perceptual"].item() == pytest.approx(PerceptualLoss(small_vgg())(game.network(x), target).item())
    assert values["loss"].item() == pytest.approx(
        (values["pixel"] + 0.5 * values["perceptual"] + 0.01 * values["adversarial"]).item())
    trained = [id(p) for network in game.networks().values() for p in network.parameters()]
    assert not any(id(p) in trained or p.requires_grad for p in game.perceptual.parameters())


def test_one_image_at_a_time_is_no_collapse(data, start, tmp_path):
    trainer = open_run(start, data, tmp_path)
    trainer.micro = 1  # as after memory ran out
    assert steps(trainer, 1)[0]["variety"] == 1


def test_leaving_the_faces_is_a_collapse(data, start):
    game, black = game_of(start, data), torch.zeros(4, 3, 128, 128)
    _, noted = game.score(black, data[1])
    assert re.match(r"collapse: the generator has left the faces: \d+\.\d\d dB on validation, bicubic has "
                    r"\d+\.\d\d\. Start again with --r1 10", game.check(noted, 0))
    assert game.check({"val_psnr": game.floor}, 0) is None


def test_a_generator_that_leaves_the_faces_ends_the_run(data, start, tmp_path):
    trainer = open_run(start, data, tmp_path)
    trainer.game.floor = math.inf
    with pytest.raises(BadInput, match="after 0 images: collapse: the generator has left the faces: .* bicubic has"):
        trainer.train(bar=False)
    assert log(tmp_path)[-1]["problem"].startswith("collapse: the generator has left the faces")


def test_a_start_below_bicubic_is_no_collapse(data, start, tmp_path):
    weights, header = load_weights(start)
    save_weights(tmp_path / "poor.safetensors", weights.state_dict(), header | {"val_psnr": 3.0})
    game = game_of(tmp_path / "poor.safetensors", data)
    assert game.floor == 1.0
    _, noted = game.score(torch.zeros(4, 3, 128, 128), data[1])  # some 5 dB
    assert game.check(noted, 0) is None


@pytest.mark.parametrize("options, words", [
    (dict(loss="wgan"), "vanilla, hinge"), (dict(norm="layer"), "spectral"),
    (dict(d_lr=0.0), "d_lr=0.0: expected a number above 0"),
    (dict(r1=-1.0), "r1=-1.0: expected a number from 0"), (dict(choose="fid"), "lpips, psnr"),
    (dict(batch=0), "batch=0: expected a whole number from 1"),
    (dict(width=0), "width=0: expected a whole number from 1"), (dict(width=10**8), "width=100000000: expected"),
    (dict(perceptual=-0.1), "perceptual=-0.1: expected a number from 0"),
    (dict(gan="gan"), "unknown GAN 'gan': choose one of amigan, fsrgan, dicgan, spargan, sfmgan"),
])
def test_bad_recipes(options, words):
    with pytest.raises(BadInput, match=words):
        GANRecipe(**options)


def test_defaults_are_the_papers():
    recipe = GANRecipe()
    assert recipe.gan == "amigan" and (recipe.lr, recipe.d_lr) == (1e-4, 4e-4)
    assert (recipe.pixel, recipe.perceptual, recipe.adversarial) == (1, 0.01, 0.01) and recipe.loss == "vanilla"


# What a game needs beside its faces


@pytest.mark.parametrize("package", ["lpips", "torchvision"])
def test_a_package_that_is_missing_is_named_in_one_line(package, data, start, monkeypatch, anything_found):
    missing_networks(GANRecipe())  # nothing is missing
    monkeypatch.setattr("aminet.metrics.pretrained.installed", lambda name: name != package)
    for attempt in (lambda: missing_networks(GANRecipe()), lambda: GANGame(start, GANRecipe(), data[1])):
        with pytest.raises(BadInput) as error:
            attempt()
        words = str(error.value)
        assert "\n" not in words and words.startswith(f"the package {package} is not installed: pip install {package}")
        assert "--choose psnr" in words and words.count("pip install") == 1


def test_all_that_is_missing_is_named_in_one_line(monkeypatch):
    def nowhere(name):
        raise BadInput(f"no file of {name}")

    monkeypatch.setattr("aminet.metrics.pretrained.locate", nowhere)
    monkeypatch.setattr("aminet.metrics.pretrained.installed", lambda name: False)
    with pytest.raises(BadInput, match="no file of vgg19; .*torchvision.*; no file of alexnet; .*lpips.*; or go "
                                       "without: --perceptual 0 --choose psnr"):
        missing_networks(GANRecipe())
    with pytest.raises(BadInput) as error:
        missing_networks(GANRecipe(choose="psnr"))
    assert "vgg19" in str(error.value) and "alexnet" not in str(error.value) and "lpips" not in str(error.value)
    with pytest.raises(BadInput) as error:
        missing_networks(GANRecipe(perceptual=0.0))
    assert "vgg19" not in str(error.value) and "alexnet" in str(error.value) and "lpips" in str(error.value)
    missing_networks(GANRecipe(perceptual=0.0, choose="psnr"))
