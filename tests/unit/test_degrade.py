"""PIL is the reference; the batched twin must give its bytes."""
import pytest
import torch
from PIL import Image

from aminet import BadInput
from aminet.degrade import augment, degrade, pil_degrade, resize, to_float, upsample, zoom_matrix
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
