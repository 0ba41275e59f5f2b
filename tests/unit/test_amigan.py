"""AMIGAN: the losses are those of the equations, the players keep to themselves, a run resumes, a collapse stops it."""
import json
import math
from dataclasses import replace

import pytest
import torch
from torch import nn

from aminet import PRESETS, AMINet, BadInput
from aminet.amigan import (
    AMIGANRun,
    Collapse,
    Discriminator,
    GANRecipe,
    PerceptualLoss,
    adversarial_loss,
    discriminator_loss,
    r1_penalty,
)
from aminet.synthetic import faces
from aminet.weights import load_weights, read_tensors, save_weights

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


def tensors(folder):
    return read_tensors(folder / "state.safetensors")[0]


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


def test_no_loss_reaches_the_other_player(data, start, tmp_path):
    recipe = GANRecipe(**RECIPE | {"norm": "none"})  # spectral norm's estimates change with every call
    run = AMIGANRun(start, recipe, *data, tmp_path, device="cpu")
    x, target = torch.rand(2, 3, 128, 128) * 2 - 1, torch.rand(2, 3, 128, 128) * 2 - 1
    run.model.train(), run.discriminator.train()

    def gradients(**weights):
        run.recipe = replace(recipe, **weights)
        run.model.zero_grad(), run.discriminator.zero_grad()
        run.losses(x, target)[0].backward()
        return ([p.grad.clone() for p in run.plain.parameters() if p.grad is not None],
                [p.grad.clone() for p in run.discriminator.parameters()])

    _, judged = gradients(adversarial=0.01)
    _, again = gradients(adversarial=100.0)  # Eq. 21 would push the discriminator to call fakes real
    for a, b in zip(judged, again):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-5)
    silent, _ = gradients(pixel=0.0, adversarial=0.0)  # Eq. 20 alone: nothing for the generator
    assert all(g.abs().max() == 0 for g in silent)


def test_resume_is_bit_exact(data, start, tmp_path):
    torch.set_num_threads(1)
    for folder, images in (("whole", 16), ("parts", 8), ("parts", 16)):
        AMIGANRun(start, GANRecipe(**RECIPE | {"images": images, "r1": 1.0}), *data, tmp_path / folder, device="cpu",
                  resume=(tmp_path / folder).exists()).train(bar=False)
    whole, parts = tensors(tmp_path / "whole"), tensors(tmp_path / "parts")
    assert whole.keys() == parts.keys() and all(torch.equal(whole[k], parts[k]) for k in whole)
    assert any(k.startswith("adam of discriminator.") for k in whole)
    with pytest.raises(BadInput, match="recipe differs in r1"):
        AMIGANRun(start, GANRecipe(**RECIPE), *data, tmp_path / "whole", device="cpu", resume=True)


def test_it_starts_from_aminet_and_leaves_an_aminet(data, start, tmp_path):
    run = AMIGANRun(start, GANRecipe(**RECIPE), *data, tmp_path, device="cpu")
    before = {k: v.clone() for k, v in run.plain.state_dict().items()}
    given = load_weights(start)[0].state_dict()
    assert all(torch.equal(v, given[k]) for k, v in before.items())
    run.train(bar=False)
    model, header = load_weights(tmp_path)
    assert model.config == TINY and header["preset"] == "amigan" and header["start"]["name"] == "tiny.safetensors"
    assert header["recipe"]["loss"] == "vanilla" and header["recipe"]["adversarial"] == 0.01
    assert any(not torch.equal(v, before[k]) for k, v in model.state_dict().items())
    lines = [json.loads(line) for line in open(tmp_path / "log.jsonl")]
    assert lines[0].keys() == {"images", "val_psnr"} and lines[0]["images"] == 0  # AMINet itself
    assert {"loss", "pixel", "perceptual", "adversarial", "discriminator", "real", "fake"} <= lines[1].keys()


def test_the_discriminator_learns_to_tell(data, start, tmp_path):
    recipe = GANRecipe(**RECIPE | {"lr": 1e-9, "d_lr": 2e-3, "norm": "batch"})
    run = AMIGANRun(start, recipe, *data, tmp_path, device="cpu")
    looks = [run.step() for _ in range(40)]
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


def test_hinge_is_sure_beyond_its_margin(data, start, tmp_path):
    run = AMIGANRun(start, GANRecipe(**RECIPE | {"loss": "hinge"}), *data, tmp_path, device="cpu")
    assert run.collapse.sure == pytest.approx(torch.tensor(1.0).sigmoid().item(), abs=0.002)


def test_a_collapse_stops_the_run_and_says_so(data, start, tmp_path):
    run = AMIGANRun(start, GANRecipe(**RECIPE), *data, tmp_path, device="cpu")
    run.collapse = Collapse(patience=1, sure=0.0)  # any discriminator has won
    with pytest.raises(BadInput, match=r"collapse after \d+ images: the discriminator has won.*--r1 10"):
        run.train(bar=False)
    assert "collapse" in open(run.journal).read()


def test_another_vgg19_does_not_continue_a_run(data, start, tmp_path, monkeypatch):
    recipe = GANRecipe(**RECIPE | {"perceptual": 0.01})
    monkeypatch.setattr("aminet.pretrained.vgg19", lambda: (small_vgg(), "one file"))
    AMIGANRun(start, recipe, *data, tmp_path, device="cpu").train(bar=False)
    monkeypatch.setattr("aminet.pretrained.vgg19", lambda: (small_vgg(), "another"))
    with pytest.raises(BadInput, match="vgg19 differs"):
        AMIGANRun(start, recipe, *data, tmp_path, device="cpu", resume=True)


def test_one_image_at_a_time_is_no_collapse(data, start, tmp_path):
    run = AMIGANRun(start, GANRecipe(**RECIPE), *data, tmp_path, device="cpu")
    run.micro = 1  # as after GPU memory ran out
    assert run.step()["variety"] == 1


def test_leaving_the_faces_is_a_collapse(data, start, tmp_path):
    run = AMIGANRun(start, GANRecipe(**RECIPE), *data, tmp_path, device="cpu")
    with pytest.raises(BadInput, match="left the faces: .* bicubic has"):
        run.judge(torch.zeros(4, 3, 128, 128))


def test_a_start_below_bicubic_is_no_collapse(data, start, tmp_path):
    weights, header = load_weights(start)
    save_weights(tmp_path / "poor.safetensors", weights.state_dict(), header | {"val_psnr": 3.0})
    run = AMIGANRun(tmp_path / "poor.safetensors", GANRecipe(**RECIPE), *data, tmp_path / "run", device="cpu")
    assert run.floor == 1.0
    run.judge(torch.zeros(4, 3, 128, 128))  # some 5 dB


@pytest.mark.parametrize("options, words", [
    (dict(loss="wgan"), "vanilla, hinge"), (dict(norm="layer"), "spectral"), (dict(d_lr=0.0), "d_lr"),
    (dict(r1=-1.0), "below zero"), (dict(choose="fid"), "lpips, psnr"), (dict(batch=0), "positive"),
])
def test_bad_recipes(options, words):
    with pytest.raises(BadInput, match=words):
        GANRecipe(**options)


def test_defaults_are_the_papers():
    recipe = GANRecipe()
    assert (recipe.lr, recipe.d_lr) == (1e-4, 4e-4)
    assert (recipe.pixel, recipe.perceptual, recipe.adversarial) == (1, 0.01, 0.01) and recipe.loss == "vanilla"
