"""The GANs of Table VIII: what their discriminators see, who learns from which loss, and the losses by hand."""
from __future__ import annotations

import math

import pytest
import torch
from torch import nn
from torch.nn import functional as F

from aminet import BadInput
from aminet.amigan import adversarial_loss, discriminator_loss
from aminet.baselines.dicgan import DICGAN
from aminet.baselines.fsrgan import FSRGAN
from aminet.baselines.registry import COMPARED, adversary_class
from aminet.baselines.sfmgan import SFMGAN, LightCNN, MaxFeatureMap
from aminet.baselines.sfmnet import spectrum
from aminet.baselines.spargan import SPARGAN
from aminet.baselines.sparnet import SPARNet, SPARNetConfig
from aminet.faces.synthetic import faces as drawn
from aminet.training.games import GANGame, GANRecipe
from aminet.training.trainer import Trainer
from aminet.training.weights import load_weights, save_weights

LOGITS = {FSRGAN: [(2, 1, 14, 14)], DICGAN: [(2,)], SPARGAN: [(2, 1, 6, 6), (2, 1, 2, 2), (2, 1, 2, 2)],
          SFMGAN: [(2,), (2,)]}
PARAMETERS = {FSRGAN: 2_768_705, DICGAN: 5_485_921, SPARGAN: 9_390_083, SFMGAN: 9_406_178}
EACH = pytest.mark.parametrize("GAN", LOGITS)
# lr, d_lr, pixel, perceptual, adversarial, loss
OWN = {"fsrgan": (2.5e-4, 2.5e-4, 0.0, 0.1, 0.001, "vanilla"), "dicgan": (1e-4, 1e-4, 1.0, 0.1, 0.005, "vanilla"),
       "spargan": (1e-4, 4e-4, 100.0, 1.0, 1.0, "hinge"), "sfmgan": (1e-4, 1e-4, 1.0, 0.1, 0.0005, "vanilla")}


@pytest.fixture(autouse=True)
def seed():
    torch.manual_seed(0)


def perceptual(sr, target):
    return (sr - target).square().sum()


def faces(*values):
    """Two constant faces for each value."""
    return [torch.full((2, 3, 128, 128), float(value)) for value in values]


def scripted(gan, answers):
    """A GAN whose discriminators say what is written in `answers`: the mean of an image -> logits."""
    gan.judge = lambda image, x: [torch.tensor(logits) + 0 * image.mean() for logits in answers[image.mean().item()]]
    return gan


def loss_of(*logits, real):
    """-log of the probability of the right answer, as the mean."""
    p = [1 / (1 + math.exp(-v)) for v in logits]
    return -sum(math.log(q if real else 1 - q) for q in p) / len(p)


@EACH
def test_sizes(GAN):
    with torch.device("meta"):
        gan = GAN()
    assert sum(p.numel() for p in gan.parameters()) == PARAMETERS[GAN]
    assert GAN.LR > 0 and GAN.D_LR > 0 and GAN.generator in ("fsrnet", "dicnet", "sparnet", "sfmnet")


@EACH
def test_judges(GAN):
    gan, (image, x) = GAN(4), torch.rand(2, 2, 3, 128, 128) * 2 - 1
    logits = gan.judge(image, x)
    assert [tuple(t.shape) for t in logits] == LOGITS[GAN] and all(t.dtype == torch.float32 for t in logits)
    other = gan.eval().judge(image, x)
    looks = any(not torch.equal(a, b) for a, b in zip(other, gan.judge(image, -x)))
    assert looks == (GAN is FSRGAN)  # the conditional one


@EACH
def test_each_player_learns_from_its_own_loss(GAN):
    gan, generator = GAN(4).to(memory_format=torch.channels_last), nn.Conv2d(3, 3, 3, padding=1)
    x, target = (t.contiguous(memory_format=torch.channels_last) for t in torch.rand(2, 2, 3, 128, 128) * 2 - 1)
    sr = generator(x)
    loss, parts = gan.generator_loss(sr, target, x, perceptual)
    loss.backward()
    assert loss.isfinite() and all(part.isfinite() and part.dim() == 0 for part in parts.values())
    assert all(p.grad.isfinite().all() and p.grad.any() for p in generator.parameters())
    assert all(p.grad is None and p.requires_grad for p in gan.parameters())
    generator.zero_grad(set_to_none=True)
    loss, parts = gan.discriminator_loss(generator(x), target, x)
    loss.backward()
    assert all(p.grad is None for p in generator.parameters())
    for name, p in gan.named_parameters():
        cancels = p.numel() == 1 and GAN is SPARGAN  # a logit's bias, as long as both sides are in the margin
        assert p.grad is not None and p.grad.isfinite().all() and (cancels or p.grad.any()), name
    assert set(parts) == {"real", "fake"} and all(0 < part < 1 for part in parts.values())


@EACH
def test_every_part_reaches_the_generator(GAN):
    gan, (sr, target, x) = GAN(4), torch.rand(3, 2, 3, 128, 128) * 2 - 1
    sr.requires_grad_()
    _, parts = gan.generator_loss(sr, target, x, perceptual)
    for name, part in parts.items():
        if GAN is FSRGAN and name == "pixel":  # a record beside its squared error
            assert not part.requires_grad
        else:
            gradient, = torch.autograd.grad(part, sr, retain_graph=True)
            assert gradient.isfinite().all() and gradient.any(), name


@EACH
def test_goes_without_perceptual_features(GAN):
    gan, (sr, target, x) = GAN(4).eval(), torch.rand(3, 2, 3, 128, 128) * 2 - 1
    assert gan.weights["perceptual"] > 0
    (more, parts), (less, none) = (gan.generator_loss(sr, target, x, f) for f in (perceptual, None))
    assert none["perceptual"] == 0 and set(none) == set(parts)
    assert (more - less).item() == pytest.approx(gan.weights["perceptual"] * perceptual(sr, target).item(), rel=1e-3)


@EACH
def test_the_discriminator_learns_two_faces(GAN):
    gan, (sr, target, x) = GAN(4), torch.rand(3, 2, 3, 128, 128) * 2 - 1
    sr = F.avg_pool2d(sr, 5, 1, 2)  # a blurred one
    adam, losses = torch.optim.Adam(gan.parameters(), 2e-3), []
    for _ in range(12):
        adam.zero_grad()
        loss, parts = gan.discriminator_loss(sr, target, x)
        loss.backward()
        adam.step()
        losses.append(loss.item())
    assert losses[-1] < 0.8 * losses[0] and parts["real"] > parts["fake"]


@EACH
def test_another_loss_can_be_given(GAN):
    other = "vanilla" if GAN.LOSS == "hinge" else "hinge"
    gan, (sr, target, x) = GAN(4, loss=other).eval(), torch.rand(3, 2, 3, 128, 128) * 2 - 1
    assert gan.kind == other and GAN(4).kind == GAN.LOSS
    real, fake = gan.judge(target, x), gan.judge(sr, x)
    _, parts = gan.generator_loss(sr, target, x, None)
    judged = [adversarial_loss(logits, other).item() for logits in fake]
    if GAN is SFMGAN:
        assert [parts[name].item() for name in ("adversarial", "spectrum")] == pytest.approx(judged, rel=1e-4)
    else:
        assert parts["adversarial"].item() == pytest.approx(sum(judged) / len(judged), rel=1e-4)
    loss, _ = gan.discriminator_loss(sr, target, x)
    each = [discriminator_loss(a, b, other).item() for a, b in zip(real, fake)]
    assert loss.item() == pytest.approx(sum(each) if GAN is SFMGAN else sum(each) / len(each), rel=1e-4)


@EACH
def test_r1_is_for_the_discriminator_alone(GAN):
    gan, generator = GAN(4, r1=10.0), nn.Conv2d(3, 3, 3, padding=1)
    x, target = torch.rand(2, 2, 3, 128, 128) * 2 - 1
    loss, values = gan.discriminator_loss(generator(x), target, x)
    loss.backward()
    assert set(values) == {"real", "fake", "r1"} and loss.isfinite() and 0 < values["r1"] < math.inf
    assert all(p.grad is None for p in generator.parameters()) and target.grad is None and not target.requires_grad
    assert all(p.grad is not None and p.grad.isfinite().all() for p in gan.parameters())
    gan.zero_grad(set_to_none=True)
    gan.discriminator_loss(generator(x), target, x)[1]["r1"].backward()  # the penalty alone
    taught = [p.grad for p in gan.parameters() if p.grad is not None]
    assert all(g.isfinite().all() for g in taught) and any(g.any() for g in taught)
    assert all(p.grad is None for p in generator.parameters())


@EACH
def test_r1_by_hand(GAN):
    gan, (sr, target, x), judges = GAN(4, r1=10.0), torch.rand(3, 2, 3, 128, 128) * 2 - 1, len(LOGITS[GAN])
    gan.judge = lambda image, x: [image.sum((1, 2, 3)) / 128] * judges  # 3 * 128 * 128 slopes of 1 / 128
    more, values = gan.discriminator_loss(sr, target, x)
    gan.r1 = 0.0
    less, without = gan.discriminator_loss(sr, target, x)
    assert values["r1"].item() == pytest.approx(judges * 0.5 * 3) and "r1" not in without
    weight = 10  # all of SFMGAN's loss is twice the mean
    assert (more - less).item() == pytest.approx(weight * values["r1"].item(), rel=1e-4)


def test_r1_of_patches_is_that_of_their_mean():
    gan, (sr, target, x) = FSRGAN(4, r1=10.0), faces(0, 0.5, 0)
    gan.judge = lambda image, x: [3 * image[:, :1, :2, :2]]  # four logits, so their mean has the slope 3/4 four times
    _, values = gan.discriminator_loss(sr, target, x)
    assert values["r1"].item() == pytest.approx(0.5 * 4 * 0.75**2)


# The losses, by hand: SR is 0, HR 0.5, so L1 is 0.5, the squared error 0.25; the perceptual loss is a stub's.


def test_fsrgan_by_hand():
    gan = scripted(FSRGAN(4), {0.0: [[2.0, -1.0]], 0.5: [[0.5, 3.0]]})
    sr, target, x = faces(0, 0.5, 0)
    loss, parts = gan.generator_loss(sr, target, x, lambda a, b: torch.tensor(7.0))
    assert loss.item() == pytest.approx(0.25 + 0.1 * 7 + 0.001 * loss_of(2, -1, real=True))
    assert parts["pixel"] == 0.5 and parts["mse"] == 0.25
    loss, parts = gan.discriminator_loss(sr, target, x)
    assert loss.item() == pytest.approx(loss_of(0.5, 3, real=True) + loss_of(2, -1, real=False))
    assert parts["fake"].item() == pytest.approx((0.880797 + 0.268941) / 2, abs=1e-6)


def test_dicgan_by_hand():
    gan = scripted(DICGAN(4), {0.0: [[2.0, -1.0]], 0.5: [[0.5, 3.0]]})
    sr, target, x = faces(0, 0.5, 0)
    loss, _ = gan.generator_loss(sr, target, x, lambda a, b: torch.tensor(7.0))
    assert loss.item() == pytest.approx(0.5 + 0.1 * 7 + 0.005 * loss_of(2, -1, real=True))
    loss, parts = gan.discriminator_loss(sr, target, x)
    assert loss.item() == pytest.approx(loss_of(0.5, 3, real=True) + loss_of(2, -1, real=False))
    assert parts["real"].item() == pytest.approx((0.622459 + 0.952574) / 2, abs=1e-6)


def test_spargan_by_hand():
    gan = SPARGAN(4)
    layers = {0.0: [[1.0, 1.0, 2.0], [0.0, 0.0, -4.0]], 0.5: [[3.0, 1.0, 0.5], [0.0, 1.0, 2.0]]}  # the last: a logit
    gan.features = lambda image: [[torch.tensor([v]) for v in maps] for maps in layers[image.mean().item()]]
    sr, target, x = faces(0, 0.5, 0)
    loss, parts = gan.generator_loss(sr, target, x, lambda a, b: torch.tensor(7.0))
    matching, adversarial = ((2 + 0) + (0 + 1)) / 2, (-2 + 4) / 2
    assert parts["matching"].item() == matching and parts["adversarial"].item() == adversarial
    assert loss.item() == pytest.approx(100 * 0.5 + 7 + 10 * matching + adversarial)
    loss, parts = gan.discriminator_loss(sr, target, x)
    assert loss.item() == pytest.approx(((0.5 + 3) + (0 + 0)) / 2)  # the hinge: real 0.5 and 2, restored 2 and -4
    assert parts["fake"].item() == pytest.approx((0.880797 + 0.017986) / 2, abs=1e-6)


def test_sfmgan_by_hand():
    gan = scripted(SFMGAN(4), {0.0: [[2.0], [-1.0]], 0.5: [[0.5], [3.0]]})
    sr, target, x = faces(0, 0.5, 0)
    loss, parts = gan.generator_loss(sr, target, x, lambda a, b: torch.tensor(7.0))
    assert parts["spectrum"].item() == pytest.approx(loss_of(-1, real=True))
    assert loss.item() == pytest.approx(0.5 + 0.7 + 0.0005 * loss_of(2, real=True) + 0.1 * loss_of(-1, real=True))
    loss, parts = gan.discriminator_loss(sr, target, x)
    assert loss.item() == pytest.approx(sum(loss_of(v, real=True) for v in (0.5, 3))
                                        + sum(loss_of(v, real=False) for v in (2, -1)))
    assert parts["fake"].item() == pytest.approx((0.880797 + 0.268941) / 2, abs=1e-6)


# What the discriminators are made of


def test_spargans_weights_are_bounded_and_its_faces_shrink():
    gan, image = SPARGAN(4), torch.rand(1, 3, 128, 128)
    for _ in range(30):  # power iterations
        maps = gan.features(image)
    gains = [torch.linalg.matrix_norm(layer.weight.flatten(1), 2).item() for layer in gan.modules()
             if isinstance(layer, nn.Conv2d)]
    assert len(gains) == 17 and all(gain == pytest.approx(1, abs=0.05) for gain in gains)
    assert [[m.shape[-1] for m in scale] for scale in maps] == [[128, 64, 32, 16, 8, 6], [64, 32, 16, 8, 4, 2],
                                                                [32, 16, 8, 4, 2]]
    assert [m.shape[1] for m in maps[0]] == [4, 8, 16, 32, 32, 1]


def test_max_feature_map_by_hand():
    x = torch.tensor([[1.0, -2, 3, 0]])
    assert MaxFeatureMap(nn.Identity())(x).tolist() == [[3, 0]]


def test_lightcnn_has_its_channels():
    convs = [m for m in LightCNN(3, (128, 128)).modules() if isinstance(m, nn.Conv2d)]
    assert [m.out_channels // 2 for m in convs] == [48, 48, 96, 96, 192, 192, 128, 128, 128]
    assert [m.kernel_size[0] for m in convs] == [5, 1, 3, 1, 3, 1, 3, 1, 3]


def test_sfmgans_second_judge_sees_the_spectrum():
    gan, image = SFMGAN(4).eval(), torch.rand(2, 3, 128, 128)
    amplitude, phase = spectrum(image)
    assert amplitude.shape == (2, 3, 128, 65)
    torch.testing.assert_close(gan.judge(image, image)[1], gan.of_spectrum(torch.cat([amplitude, phase], 1)))
    shifted = image.roll((5, 9), (2, 3))  # moves the phase and leaves the amplitude alone
    torch.testing.assert_close(spectrum(shifted)[0], amplitude, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(gan.judge(shifted, image)[1], gan.judge(image, image)[1], atol=1e-6)


# Runs


def test_a_game_is_trained_and_resumed(tmp_path, monkeypatch):
    torch.manual_seed(0)
    vgg = nn.Sequential(nn.Conv2d(3, 4, 3, padding=1), nn.ReLU())
    monkeypatch.setattr("aminet.training.games.vgg19", lambda: (vgg, "a small one"))
    monkeypatch.setattr("aminet.training.games.missing_networks", lambda recipe: None)
    config = SPARNetConfig(channels=4)
    save_weights(tmp_path / "start.safetensors", SPARNet(config).state_dict(), {"config": config.to_dict()})
    recipe, val = GANRecipe(images=4, batch=2, width=4, val_every=2, choose="psnr", gan="spargan"), drawn(2, 1)

    def open_run(**options):
        game = GANGame(tmp_path / "start.safetensors", recipe, val)
        game.floor = -math.inf  # an untrained start is no collapse here
        return Trainer(game, drawn(4, 0), val, tmp_path / "run", device="cpu", **options)

    def players(trainer):
        return trainer.network.tail[0].weight, trainer.game.adversary.discriminators[0][-1].weight

    trainer = open_run()
    before = [weight.clone() for weight in players(trainer)]
    assert trainer.train(bar=False)["images"] == 4
    after = players(trainer)
    assert not any(torch.equal(a, b) for a, b in zip(before, after)) and isinstance(trainer.game.adversary, SPARGAN)
    model, header = load_weights(tmp_path / "run")
    assert type(model) is SPARNet and header["recipe"]["gan"] == "spargan" and header["preset"] == "spargan"
    again = open_run(resume=True)
    assert again.seen == 4 and all(torch.equal(a, b) for a, b in zip(players(again), after))
    assert '"matching"' in (tmp_path / "run" / "log.jsonl").read_text()


@EACH
def test_a_recipe_takes_what_is_the_gans_own(GAN):
    name = GAN.__name__.lower()
    recipe = GANRecipe(gan=name, width=4)
    found = recipe.lr, recipe.d_lr, recipe.pixel, recipe.perceptual, recipe.adversarial, recipe.loss
    assert found == OWN[name] and (recipe.lr, recipe.d_lr, recipe.loss) == (GAN.LR, GAN.D_LR, GAN.LOSS)
    adversary = recipe.adversary()
    assert type(adversary) is GAN is adversary_class(name)
    assert {k: v for k, v in adversary.weights.items() if v} == GAN.WEIGHTS
    assert (adversary.kind, adversary.r1) == (GAN.LOSS, 0.0)


@EACH
def test_a_recipes_values_go_before_the_gans_own(GAN):
    other = "vanilla" if GAN.LOSS == "hinge" else "hinge"
    pixel = 0.0 if GAN is FSRGAN else 3.0  # it has a squared error
    given = dict(lr=1e-5, d_lr=2e-5, pixel=pixel, perceptual=0.0, adversarial=5.0, loss=other, r1=6.0)
    recipe = GANRecipe(gan=GAN.__name__.lower(), width=4, **given)
    assert {name: getattr(recipe, name) for name in given} == given
    adversary = recipe.adversary()
    assert adversary.weights == GAN.WEIGHTS | {"pixel": pixel, "perceptual": 0.0, "adversarial": 5.0}
    assert (adversary.kind, adversary.r1) == (other, 6.0) and GAN(4).weights == GAN.WEIGHTS


def test_fsrgan_has_no_pixel_loss():
    with pytest.raises(BadInput, match="fsrgan has no L1 loss"):
        GANRecipe(gan="fsrgan", pixel=3.0)


@EACH
@pytest.mark.parametrize("norm", ["spectral", "none"])
def test_another_norm_is_amigans_alone(GAN, norm):
    with pytest.raises(BadInput, match=f"norm='{norm}' is AMIGAN's: .*{GAN.__name__.lower()}"):
        GANRecipe(gan=GAN.__name__.lower(), norm=norm)


def test_the_list_takes_the_step_sizes_of_each_gan():
    from aminet.paper.runs import runs

    pocket = {spec.name: spec for spec in runs("pocket")}
    listed = {spec.network: spec for spec in pocket.values() if spec.network in COMPARED}
    assert set(listed) == set(COMPARED)
    for name, spec in listed.items():
        gan, recipe = adversary_class(name), spec.recipe
        assert (recipe.gan, recipe.lr, recipe.d_lr) == (name, gan.LR, gan.D_LR)
        assert spec.config.network == gan.generator and pocket[spec.start].config == spec.config
        assert recipe.loss == ("hinge" if name == "spargan" else "vanilla")
        assert (recipe.pixel, recipe.perceptual, recipe.adversarial, recipe.r1) == (*OWN[name][2:5], 0.0)


@pytest.mark.parametrize("values, match", [
    (dict(gan="gan"), "unknown GAN"), (dict(d_lr=0.0), "d_lr=0.0: expected a number above 0"),
    (dict(choose="fid"), "choose='fid': expected one of lpips, psnr"), (dict(width=0), "width=0")])
def test_bad_recipes(values, match):
    with pytest.raises(BadInput, match=match):
        GANRecipe(**{"images": 4, "batch": 2, "gan": "spargan"} | values)
