"""The two portraits that come with the dependencies: there without a download, and aligned."""

from __future__ import annotations

import numpy as np
import torch

from aminet.faces.portraits import CREDITS, EYES, portraits
from aminet.metrics.yunet import detect


def test_portraits_are_two_and_credited():
    faces = portraits()
    assert list(faces) == ["hopper", "collins"] == list(CREDITS) == list(EYES)
    for face in faces.values():
        assert face.dtype == torch.uint8 and face.shape == (3, 128, 128) and face.is_contiguous()
        assert face.float().std() > 40  # a picture, not a blank
    assert all("Public domain" in line for line in CREDITS.values())


def test_pupils_are_where_they_should_be():
    # The pupil is the darkest spot of its neighbourhood: eyes 38 px apart on row 52, centred on column 64.
    for face in portraits().values():
        grey = torch.nn.functional.avg_pool2d(face.float().mean(0)[None, None], 3, stride=1, padding=1)[0, 0]
        for x in (45, 83):
            window = grey[47:57, x - 7:x + 7]
            row, column = divmod(int(window.argmin()), window.shape[1])
            assert abs(47 + row + 0.5 - 52) <= 2 and abs(x - 7 + column + 0.5 - x) <= 2


def test_a_detector_finds_the_eyes_there(pretrained):
    pretrained("yunet")
    for face in portraits().values():
        twice = face.repeat_interleave(2, 1).repeat_interleave(2, 2)  # YuNet finds them better in a larger picture
        eyes = detect(twice.numpy())[0][:2] / 2
        assert np.abs(eyes.mean(0) - (64, 52)).max() < 3
        assert abs(np.linalg.norm(eyes[1] - eyes[0]) - 38) < 3
