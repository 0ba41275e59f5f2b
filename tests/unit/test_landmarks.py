"""The error of landmarks and the pose of the head: by hand, on synthetic faces of known yaw, and by the network."""
from dataclasses import replace

import numpy as np
import pytest
import torch
from scipy.spatial.transform import Rotation

from aminet.degrade import degrade, upsample
from aminet.faces.portraits import portraits
from aminet.faces.priors import MIRRORED
from aminet.faces.synthetic import draw_faces, random_params, render
from aminet.metrics import landmarks as L


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """FACE, turned first by the yaw, then by the pitch, then by the roll, and moved in the picture: (68, 2)."""
    points = np.full((68, 2), np.nan)  # the other landmarks do not count
    turn = Rotation.from_euler("yxz", [-yaw, pitch, roll], degrees=True)
    points[list(L.FACE)] = 0.4 * turn.apply(list(L.FACE.values()))[:, :2] + (70, 55)
    return points


def test_the_face_is_symmetric():
    assert [L.FACE[MIRRORED[i]] for i in L.FACE] == [(-x, y, z) for x, y, z in L.FACE.values()]


@pytest.mark.parametrize("angles", [(0, 0, 0), (30, 0, 0), (-60, 0, 0), (85, 0, 0), (0, 25, 0), (0, -25, 0), (0, 0, 40),
                                    (0, 0, -170), (35, -20, 10), (-50, 15, -90)])
def test_a_turned_face_tells_its_pose(angles):
    assert L.head_pose(turned(*angles)[None])[0] == pytest.approx(angles, abs=0.2)


def test_positive_is_right_down_and_clockwise():
    """The nose's tip, from the middle of the eyes: the picture's x grows to the right, its y downwards."""
    nose = [turned(*angles)[30] - turned(*angles)[[36, 45]].mean(0) for angles in ((0, 0, 0), (20, 0, 0), (0, 20, 0))]
    assert nose[1][0] > nose[0][0] + 3 and nose[2][1] > nose[0][1] + 3
    left, right = turned(0, 0, 20)[[36, 45]]
    assert right[1] > left[1] + 3


def test_exact_landmarks_of_synthetic_faces_tell_the_yaw():
    yaws = np.linspace(-35, 35, 29)
    found = [render(replace(random_params(seed), yaw=float(yaw))).landmarks for seed, yaw in enumerate(yaws)]
    yaw, pitch, roll = L.head_pose(torch.stack(found)).T
    assert np.abs(yaw - yaws).mean() < 1.8 and np.abs(yaw - yaws).max() < 6
    assert np.polyfit(yaws, yaw, 1)[0] == pytest.approx(1, abs=0.06)
    assert np.abs(roll).mean() < 3 and np.abs(pitch).mean() < 9  # drawn without either; the pitch has another zero


def test_nme_and_pose_by_hand(monkeypatch):
    points = {"hr": np.stack([turned(0, 0, 0), turned(20, 0, 0)]), "sr": np.stack([turned(0, 0, 0), turned(-10, 0, 0)])}
    points = {name: np.nan_to_num(found) for name, found in points.items()}
    points["sr"][0] += (3, 4)
    monkeypatch.setattr(L, "landmarks_of", lambda *names: [points[name] for name in names])
    assert L.nme("sr", "hr")[0] == pytest.approx(100 * 5 / 40)  # the eye corners are 40 px apart
    eyes = np.linalg.norm(points["hr"][1, 36] - points["hr"][1, 45])
    gap = np.linalg.norm(points["sr"][1] - points["hr"][1], axis=1).mean()
    assert L.nme("sr", "hr")[1] == pytest.approx(100 * gap / eyes)
    assert L.pose("sr", "hr") == pytest.approx([0, 30], abs=0.2)


def test_both_find_the_landmarks_of_a_picture_once(monkeypatch):
    L._landmarks.cache_clear()
    seen, hr = [], torch.stack(list(portraits().values()))
    monkeypatch.setattr(L, "find_landmarks", lambda faces: seen.append(len(faces)) or torch.rand(len(faces), 68, 2))
    for sr in (hr.flip(0), upsample(degrade(hr))):
        L.nme(sr, hr)
        L.pose(sr, hr)
    L._landmarks.cache_clear()
    assert seen == [2, 2, 2]  # two results, one original


def test_the_portraits(pretrained):
    pretrained("landmarks")
    hr = torch.stack(list(portraits().values()))
    bicubic = upsample(degrade(hr))
    assert L.nme(hr, hr).tolist() == [0, 0] and L.pose(hr, hr) == pytest.approx([0, 0], abs=1e-5)
    assert (L.nme(bicubic, hr) > 1).all() and (L.nme(bicubic, hr) < 15).all() and (L.pose(bicubic, hr) < 20).all()
    assert L.nme((bicubic + 0.75) / 127.5 - 1, hr) == pytest.approx(L.nme(bicubic, hr))  # truncated
    assert np.abs(L.head_pose(L.find_landmarks(hr))[:, [0, 2]]).max() < 25
    larger = torch.nn.functional.interpolate(hr, scale_factor=2)
    assert (L.find_landmarks(larger) / 2 - L.find_landmarks(hr)).abs().max() < 1.5


def test_the_networks_landmarks_tell_the_yaw_of_synthetic_faces(pretrained):
    pretrained("landmarks")
    drawn = list(draw_faces(24, 9))
    exact = L.head_pose(torch.stack([face.landmarks for face in drawn]))
    found = L.head_pose(L.find_landmarks(torch.stack([face.image for face in drawn])))
    assert np.abs(found - exact)[:, 0].mean() < 4
    assert 0.7 < np.polyfit(exact[:, 0], found[:, 0], 1)[0] < 1.05
