"""PIL is the reference; the batched twin must give its bytes."""
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter

from aminet import BadInput
from aminet.degrade import (
    augment,
    blur_matrix,
    camera_input,
    cameras,
    degrade,
    jpeg,
    network_input,
    pil_degrade,
    resize,
    to_float,
    upsample,
    worsen,
    zoom_matrix,
)
from aminet.faces.portraits import portraits


@pytest.fixture(scope="module")
def images():
    noise = torch.randint(0, 256, (6, 3, 128, 128), generator=torch.Generator().manual_seed(0), dtype=torch.uint8)
    return torch.cat([noise, torch.stack(list(portraits().values())), torch.full((1, 3, 128, 128), 255).byte()])


def test_twin_gives_pils_bytes(images):
    lr = degrade(images)
    for image, ours, up in zip(images, lr, upsample(lr)):
        theirs, theirs_up = pil_degrade(image)
        assert torch.equal(ours, theirs) and torch.equal(up, theirs_up)


@pytest.mark.parametrize("before, after", [(128, 20), (100, 128), (37, 16)])
def test_resize_any_size(before, after):
    x = torch.randint(0, 256, (1, 3, before, before), generator=torch.Generator().manual_seed(1), dtype=torch.uint8)
    pil = Image.fromarray(x[0].permute(1, 2, 0).numpy()).resize((after, after), Image.Resampling.BICUBIC)
    assert resize(x, after)[0].permute(1, 2, 0).numpy().tobytes() == pil.tobytes()


def test_float_faces_are_refused():
    """In [-1, 1] all of them would become zeros."""
    for function in (degrade, upsample):
        with pytest.raises(BadInput, match="uint8 from 0 to 255, not torch.float32"):
            function(torch.rand(1, 3, 128, 128) * 2 - 1)


def test_range():
    assert to_float(torch.tensor([0, 255], dtype=torch.uint8)).tolist() == [-1, 1]


def test_zoom_by_one_is_the_identity():
    assert torch.allclose(zoom_matrix(torch.ones(1), torch.zeros(1), 16)[0], torch.eye(16))


def test_augmentation_depends_on_its_generator_alone(images):
    def draw(seed):
        return augment(images, torch.Generator().manual_seed(seed))

    assert torch.equal(draw(3), draw(3)) and not torch.equal(draw(3), draw(4))
    assert torch.equal(draw(3)[-1], images[-1])  # white stays white: the rows sum to one


def test_augmentation_flips_half(images):
    many = images[6:7].expand(200, -1, -1, -1)
    out = augment(many, torch.Generator().manual_seed(0), largest=1.0)
    flipped = sum(torch.equal(x, images[6].flip(-1)) for x in out)
    assert 70 < flipped < 130
    assert flipped + sum(torch.equal(x, images[6]) for x in out) == 200


# Poor cameras


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def worse(images, blur=0.0, noise=0.0, quality=100.0, seed=0):
    return worsen(images, *(torch.full((len(images),), value) for value in (blur, noise, quality)), seeded(seed))


def test_a_perfect_camera_is_the_degradation(images):
    assert torch.equal(worse(images), degrade(images))


@pytest.mark.parametrize("sigma", [0.5, 3.0])
def test_the_blur_is_scipys(sigma):
    x = torch.rand(128, 128, generator=seeded(), dtype=torch.float64)
    matrix = blur_matrix(torch.tensor([sigma], dtype=torch.float64), 128)[0]
    theirs = torch.from_numpy(gaussian_filter(x.numpy(), sigma, truncate=8))
    inner = slice(30, -30)  # borders are mirrored there, and left out here
    torch.testing.assert_close((matrix @ x @ matrix.T)[inner, inner], theirs[inner, inner], atol=1e-6, rtol=0)


def test_the_noise_has_its_strength(images):
    grey = torch.full((40, 3, 128, 128), 128).byte()
    off = worse(grey, noise=10.0).float() - 128
    assert off.std() == pytest.approx(10, rel=0.03) and abs(off.mean()) < 0.3
    assert torch.equal(worse(images, noise=10.0, seed=3), worse(images, noise=10.0, seed=3))
    assert not torch.equal(worse(images, noise=10.0, seed=3), worse(images, noise=10.0, seed=4))


def test_jpeg_is_worse_with_less_quality(images):
    clean = degrade(images[6:8]).float()
    errors = [(worse(images[6:8], quality=float(quality)) - clean).abs().mean().item() for quality in (95, 60, 10)]
    assert 0 < errors[0] < errors[1] < errors[2]
    assert torch.equal(worse(images[6:7], quality=60.0)[0], jpeg(degrade(images[6:7])[0], 60))


def test_each_face_has_a_camera_of_its_own(images):
    blur, noise, quality = cameras(4000, seeded())
    assert 5.9 < blur.max() <= 6 and 11.9 < noise.max() <= 12 and 30 <= quality.min() < 31
    for good in (blur == 0, noise == 0, quality == 100):
        assert good.float().mean() == pytest.approx(0.5, abs=0.03)
    assert ((blur == 0) & (noise == 0) & (quality == 100)).float().mean() == pytest.approx(1 / 8, abs=0.02)
    assert (quality[quality < 100] <= 95).all()
    same = images[6:7].expand(8, -1, -1, -1)
    assert len({tuple(x.flatten().tolist()) for x in camera_input(same, seeded(), enlarged=False)}) > 5
    blur, quality = torch.tensor([0.0, 4.0, 0.0]), torch.tensor([100.0, 100.0, 50.0])
    alone = worsen(images[:3], blur, torch.zeros(3), quality, seeded())
    assert torch.equal(alone[0], degrade(images[:1])[0]) and torch.equal(alone[1], worse(images[1:2], blur=4.0)[0])
    assert torch.equal(alone[2], worse(images[2:3], quality=50.0)[0])


def test_a_camera_gives_what_networks_take(images):
    for enlarged, size in ((True, 128), (False, 16)):
        x = camera_input(images, seeded(), enlarged)
        assert x.shape == (len(images), 3, size, size) and x.dtype == torch.float32 and x.abs().max() <= 1
        assert torch.equal(x, camera_input(images, seeded(), enlarged))
        assert not torch.equal(x, network_input(images, enlarged))
