"""Protocols: values by hand, scikit-image, naive references, fixed values on a public-domain portrait."""

from __future__ import annotations

import json
import runpy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from scipy.signal import convolve2d
from skimage.metrics import peak_signal_noise_ratio

from aminet import protocol as P
from aminet.errors import BadInput
from aminet.metrics import measure as M
from aminet.metrics import statistics as S
from aminet.metrics import vif as V

GOLDEN = Path(__file__).parents[1] / "golden"
MAKER = runpy.run_path(str(GOLDEN / "make_protocol.py"))
PAPER, DIC, RGB = (P.PROTOCOLS[name] for name in ("paper", "dic", "rgb"))


@pytest.fixture(scope="module")
def pair():
    return MAKER["pair"]()


def solid(*rgb: int, side: int = 32) -> torch.Tensor:
    return torch.tensor(rgb, dtype=torch.uint8)[None, :, None, None].expand(1, 3, side, side).contiguous()


def blur(x: torch.Tensor, sigma: float) -> torch.Tensor:
    blurred = gaussian_filter(x.numpy().astype(float), (0, 0, sigma, sigma))
    return torch.from_numpy(blurred.round().astype(np.uint8))


# Fixed values

def test_golden_table():
    golden, now = json.loads((GOLDEN / "protocol.json").read_text()), MAKER["values"]()
    assert list(now["table"]) == list(golden["table"])
    for name, row in golden["table"].items():
        assert now["table"][name] == pytest.approx(row, abs=1e-6), name
    assert now["vif"] == pytest.approx(golden["vif"], abs=1e-6)
    assert now["vifp"] == pytest.approx(golden["vifp"], abs=1e-6)


def test_protocols_disagree_on_one_pair(pair):
    rows = {row["protocol"]: row for row in P.protocol_table(*pair)}
    psnrs = [row["psnr"] for row in rows.values()]
    assert max(psnrs) - min(psnrs) > 1
    assert rows["paper"]["ssim"] - rows["dic"]["ssim"] > 0.05
    assert rows["paper, 7x7 SSIM"]["ssim"] != pytest.approx(rows["paper"]["ssim"], abs=1e-3)
    assert rows["paper"]["description"].startswith("paper: SR truncated")


# Colour and rounding

@pytest.mark.parametrize("rgb, truncated, rounded", [
    ((255, 255, 255), 235, 235), ((0, 0, 0), 16, 16), ((85, 85, 85), 89, 89), ((128, 128, 128), 125, 126),
    ((255, 0, 0), 81, 81), ((0, 255, 0), 144, 145), ((0, 0, 255), 40, 41)])
def test_luma_of_known_colours(rgb, truncated, rounded):
    x = solid(*rgb, side=1).numpy()
    assert P.luma(x).item() == truncated
    assert P.luma(x, "round").item() == rounded


def test_luma_is_the_float_formula():
    x = np.random.default_rng(0).integers(0, 256, (1, 3, 100, 1000), dtype=np.uint8)
    exact = 16 + np.tensordot([65.481, 128.553, 24.966], x[0].astype(float), 1) / 255
    for rounding, function in (("truncate", np.floor), ("round", np.round)):
        assert np.mean(P.luma(x, rounding)[0] != function(exact)) < 1e-4


def test_gray_is_pil():
    x = np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8)
    assert np.array_equal(V.gray(x.transpose(2, 0, 1)[None])[0], np.asarray(Image.fromarray(x).convert("L")))


def test_truncation_and_rounding():
    x = torch.tensor([100.4, 100.6, -3.0, 300.0]) / 127.5 - 1
    assert P.to_uint8(x).tolist() == [100, 100, 0, 255]
    assert P.to_uint8(x, "round").tolist() == [100, 101, 0, 255]


def test_truncation_is_not_the_inverse_of_the_network_range():
    levels = torch.arange(256, dtype=torch.uint8)
    x = levels / 127.5 - 1
    assert torch.equal(P.to_uint8(x, "round"), levels)
    lower = levels.int() - P.to_uint8(x).int()
    assert set(lower.tolist()) == {0, 1} and 50 < lower.sum() < 80


def test_float_result_gets_the_rounding_of_the_protocol():
    hr, sr = solid(100, 100, 100), torch.full((1, 3, 32, 32), 100.6 / 127.5 - 1)
    assert P.psnr(sr, hr, replace(RGB, sr_rounding="truncate")).item() == np.inf
    assert P.psnr(sr, hr, RGB).item() == pytest.approx(20 * np.log10(255))


# PSNR

@pytest.mark.parametrize("offset", [1, 5, 100])
def test_psnr_of_a_constant_offset(offset):
    hr, sr = solid(50, 90, 130), solid(50 + offset, 90 + offset, 130 + offset)
    assert P.psnr(sr, hr, RGB).item() == pytest.approx(20 * np.log10(255 / offset), abs=1e-12)


def test_psnr_by_hand():
    hr, sr = solid(0, 0, 0, side=20), solid(0, 0, 0, side=20)
    sr[0, :, 10, 10] = 255  # Y goes from 16 to 235 in one pixel of 400
    expected = 10 * np.log10(255**2 * 400 / 219**2)
    assert P.psnr(sr, hr, PAPER).item() == pytest.approx(expected, abs=1e-12)
    cropped = 10 * np.log10(255**2 * 16 / 219**2)  # 8 pixels off every border leave 4x4
    assert P.psnr(sr, hr, DIC).item() == pytest.approx(cropped, abs=1e-12)


def test_psnr_is_scikit_image(pair):
    sr, hr = pair
    y = [16 + np.tensordot([65.481, 128.553, 24.966], x[0].numpy().astype(float), 1) / 255 for x in (hr, sr)]
    truncated = [x.astype(np.uint8) for x in y]
    assert P.psnr(sr, hr, PAPER)[0] == pytest.approx(peak_signal_noise_ratio(*truncated), abs=1e-4)
    cropped = [x.round().astype(np.uint8)[8:-8, 8:-8] for x in y]
    assert P.psnr(sr, hr, DIC)[0] == pytest.approx(peak_signal_noise_ratio(*cropped), abs=1e-4)
    assert P.psnr(sr, hr, RGB)[0] == pytest.approx(peak_signal_noise_ratio(hr.numpy(), sr.numpy()), abs=1e-9)


def test_identical_images(pair):
    hr = torch.cat([pair[1]] * 2)
    sr = torch.cat([pair[1], pair[0]])
    values = M.measure(sr, hr, PAPER)
    assert values["psnr"][0] == np.inf and np.isfinite(values["psnr"][1])
    assert values["ssim"][0] == 1
    assert P.mean_psnr(values["psnr"], PAPER) == np.inf
    assert S.summary(values["psnr"])["high"] == np.inf


def test_order_of_averaging():
    black = torch.zeros(2, 3, 16, 16, dtype=torch.uint8)
    sr = black.clone()
    sr[0] += 1
    sr[1] += 10
    values = P.psnr(sr, black, RGB)
    images, mse = (P.mean_psnr(values, replace(RGB, averaging=a)) for a in ("images", "mse"))
    assert images == pytest.approx(20 * np.log10(255) - 10)
    assert mse == pytest.approx(10 * np.log10(255**2 / 50.5))
    assert images - mse > 7


# SSIM

def naive_ssim(a: np.ndarray, b: np.ndarray) -> float:
    """Wang et al. 2004 as in MATLAB: an 11x11 gaussian window, "valid" convolution, population moments."""
    t = np.arange(-5, 6)
    window = np.exp(-(t[:, None] ** 2 + t**2) / (2 * 1.5**2))
    window /= window.sum()

    def mean(x):
        return convolve2d(x, window, mode="valid")

    a, b = a.astype(float), b.astype(float)
    ma, mb = mean(a), mean(b)
    va, vb, cov = mean(a * a) - ma**2, mean(b * b) - mb**2, mean(a * b) - ma * mb
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    return np.mean((2 * ma * mb + c1) * (2 * cov + c2) / ((ma**2 + mb**2 + c1) * (va + vb + c2)))


@pytest.mark.parametrize("protocol", [PAPER, DIC], ids=["paper", "dic"])
def test_ssim_is_the_matlab_one(pair, protocol):
    a, b = (x[0] for x in P.prepare(*pair, protocol))
    assert P.ssim(*pair, protocol)[0] == pytest.approx(naive_ssim(a, b), abs=1e-10)


def test_ssim_of_rgb_is_the_mean_of_the_channels(pair):
    sr, hr = pair
    channels = [naive_ssim(sr[0, c].numpy(), hr[0, c].numpy()) for c in range(3)]
    assert P.ssim(sr, hr, RGB)[0] == pytest.approx(np.mean(channels), abs=1e-10)


# VIF

def naive_vif(sr: np.ndarray, hr: np.ndarray, noise: float = 0.1) -> float:
    """The formulas of Sheikh & Bovik with plain loops, one block at a time."""
    from pyrtools.pyramids import SteerablePyramidSpace

    pyramids = [SteerablePyramidSpace(x.astype(float), 4, 5, "reflect1").pyr_coeffs for x in (sr, hr)]
    kept = held = 0.0
    for level, half in enumerate((8, 4, 2, 1)):
        for orientation in (0, 3):
            d, c = (p[level, orientation] for p in pyramids)
            rows, columns = c.shape[0] // 3, c.shape[1] // 3
            d, c = d[:3 * rows, :3 * columns], c[:3 * rows, :3 * columns]
            vectors = [c[i:i + 3, j:j + 3].ravel()
                       for i in range(3 * rows - 2) for j in range(3 * columns - 2)]
            covariance = np.cov(np.array(vectors).T)
            inverse, eigenvalues = np.linalg.inv(covariance), np.linalg.eigvalsh(covariance)
            border = int(np.ceil(half / 3))
            f, e = [], []
            for i in range(border, rows - border):
                for j in range(border, columns - border):
                    block = c[3 * i:3 * i + 3, 3 * j:3 * j + 3].ravel()
                    s2 = block @ inverse @ block / 9
                    window = np.s_[3 * i + 1 - half:3 * i + 2 + half, 3 * j + 1 - half:3 * j + 2 + half]
                    (vd, cov), (_, vc) = np.cov(d[window].ravel(), c[window].ravel(), ddof=0)
                    g = max(cov / vc, 0)
                    v = vd - g * cov
                    f.append(sum(np.log(1 + g * g * s2 * k / (v + noise)) for k in eigenvalues))
                    e.append(sum(np.log(1 + s2 * k / noise) for k in eigenvalues))
            kept += np.mean(f)
            held += np.mean(e)
    return kept / held


def test_vif_is_the_naive_one(pair):
    sr, hr = (x[..., 20:95, 30:110] for x in pair)
    expected = naive_vif(V.gray(sr.numpy())[0], V.gray(hr.numpy())[0])
    assert V.vif(sr, hr)[0] == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("metric", [V.vif, V.vifp])
def test_vif_of_equal_and_blurred_images(pair, metric):
    hr = pair[1]
    assert metric(hr, hr)[0] == pytest.approx(1, abs=1e-6)
    falling = [metric(blur(hr, sigma), hr)[0] for sigma in (0.5, 1, 2, 4)]
    corner = hr[..., :72, :72]  # the smallest side for VIF
    assert metric(corner, corner)[0] == pytest.approx(1, abs=1e-6)
    assert 1 > falling[0] > falling[1] > falling[2] > falling[3] > 0
    assert metric(solid(90, 90, 90, side=128), hr)[0] == pytest.approx(0, abs=1e-6)


def test_vif_rewards_contrast(pair):
    hr = (pair[1] // 2 + 60).to(torch.uint8)
    sr = ((hr.float() - 120) * 1.3 + 120).round().clamp(0, 255).to(torch.uint8)
    assert V.vif(sr, hr)[0] > 1


def test_vif_of_a_flat_ground_truth_is_undefined():
    assert np.isnan(V.vif(solid(9, 9, 9, side=80), solid(9, 9, 9, side=80))[0])


def test_vifp_is_fed_0_to_255(pair):
    from torchmetrics.functional.image import visual_information_fidelity

    sr, hr = (torch.from_numpy(V.gray(x.numpy())).double()[:, None] for x in pair)
    value = V.vifp(*pair)[0]
    assert value == pytest.approx(float(visual_information_fidelity(sr, hr)))
    assert float(visual_information_fidelity(sr / 255, hr / 255)) > value + 0.1
    assert abs(value - V.vif(*pair)[0]) > 0.02  # two metrics, not two spellings


# Measuring a set

def test_measure_is_per_image(pair):
    sr, hr = torch.cat([pair[0], pair[1]]), torch.cat([pair[1], pair[0]])
    values = M.measure(sr, hr, PAPER, ("psnr", "ssim", "vif", "vifp"))
    assert list(values) == ["psnr", "ssim", "vif", "vifp"]
    for name, value in values.items():
        assert value.shape == (2,) and value.dtype == np.float64, name
        assert value[0] == M.measure(pair[0], pair[1], PAPER, (name,))[name][0]
    single = M.measure(pair[0][0], pair[1][0], PAPER)
    assert single["psnr"].tolist() == values["psnr"][:1].tolist()


def test_measure_rounds_a_float_result_once_for_all_metrics(pair):
    sr, hr = pair
    x = (sr + 0.75) / 127.5 - 1
    rounded = (sr.int() + 1).clamp(max=255).to(torch.uint8)
    for protocol, expected in ((PAPER, sr), (DIC, rounded)):
        for name, value in M.measure(x, hr, protocol, ("psnr", "vif")).items():
            assert value == M.measure(expected, hr, protocol, (name,))[name]


def test_summary_matches_the_normal_interval():
    values = np.random.default_rng(1).normal(27, 2, 400)
    result = S.summary(values)
    assert result == S.summary(values)
    assert result["mean"] == pytest.approx(values.mean())
    error = 1.96 * values.std() / 20
    assert result["low"] == pytest.approx(values.mean() - error, abs=0.03)
    assert result["high"] == pytest.approx(values.mean() + error, abs=0.03)


def test_paired_difference_is_narrow():
    rng = np.random.default_rng(2)
    a = rng.normal(27, 2, 200)
    b = a - 0.1 + rng.normal(0, 0.05, 200)
    gain = S.paired_difference(a, b)
    assert 0.08 < gain["low"] < gain["mean"] < gain["high"] < 0.12
    assert S.summary(a)["low"] < S.summary(b)["high"]  # apart, the two intervals overlap


def test_unequal_numbers_of_trainings_are_drawn_apart():
    rng = np.random.default_rng(3)
    a, b = rng.normal(27, 2, 50) + rng.normal(0, 0.2, (3, 1)), rng.normal(27, 2, (2, 50))
    one = S.paired_difference(a, b[0])
    assert one == pytest.approx(S.summary(a - b[0]))  # a single training is not drawn
    assert one["high"] - one["low"] > np.ptp(list(S.paired_difference(a.mean(0), b[0]).values()))
    both = S.paired_difference(b, a)
    assert both["mean"] == pytest.approx(b.mean() - a.mean()) and both["low"] < both["mean"] < both["high"]
    assert S.paired_difference(a, np.full((2, 50), np.inf))["mean"] == -np.inf


# Bad input

@pytest.mark.parametrize("field, value", [
    ("channel", "yuv"), ("sr_rounding", "floor"), ("y_rounding", ""), ("crop", -1), ("crop", 1.5),
    ("ssim_window", "box"), ("averaging", "all"), ("name", "")])
def test_protocol_checks_its_fields(field, value):
    with pytest.raises(BadInput, match=field):
        replace(PAPER, **{field: value})


@pytest.mark.parametrize("metric", [P.psnr, P.ssim])
def test_bad_images(metric):
    hr = solid(1, 2, 3)
    for result, original, message in [(hr[..., :-1], hr, "differ in shape"),
                                        (torch.cat([hr, hr]), hr, "differ in shape"),
                                        (hr, hr / 127.5 - 1, "must be uint8"), (hr.int(), hr, "must be uint8"),
                                        (hr[:, :1], hr[:, :1], "must be uint8"), (hr[:0], hr[:0], "must be uint8"),
                                        (torch.full((1, 3, 32, 32), torch.nan), hr, "NaN"),
                                        (hr[..., :9, :9], hr[..., :9, :9], "pixels")]:
        with pytest.raises(BadInput, match=message):
            metric(result, original, DIC)


def test_other_bad_input():
    small = solid(1, 2, 3)
    below = solid(1, 2, 3, side=71)
    for call, message in [(lambda: V.vif(below, below), "72x72"), (lambda: V.vifp(small, small), "41x41"),
                          (lambda: M.measure(small, small, PAPER, ("beauty",)), "beauty"),
                          (lambda: M.measure(small, small, PAPER, ("fid",)), "of an image"),
                          (lambda: P.to_uint8(small), "not torch.uint8"),
                          (lambda: P.to_uint8(small.float(), "floor"), "floor"),
                          (lambda: S.summary([]), "at least one"),
                          (lambda: S.paired_difference([1, 2], [1]), "same images")]:
        with pytest.raises(BadInput, match=message):
            call()


def test_undefined_values_do_not_count():
    values = np.array([1.0, np.nan, 3.0, 5.0])
    assert S.summary(values) == S.summary(values[[0, 2, 3]])
    assert S.summary(values, people=[0, 1, 0, 2]) == S.summary(values[[0, 2, 3]], people=[0, 0, 2])
    assert S.paired_difference(values, np.ones(4))["mean"] == 2
    assert np.isnan(list(S.summary([np.nan, np.nan]).values())).all()


def test_people_are_drawn_whole():
    """Ten copies of each of 20 values carry the information of 20: the interval must not shrink by sqrt(10)."""
    values = np.random.default_rng(0).normal(size=20)
    single, copied = S.summary(values), S.summary(np.repeat(values, 10))
    people = S.summary(np.repeat(values, 10), people=np.repeat(np.arange(20), 10))

    def width(interval):
        return interval["high"] - interval["low"]

    assert width(people) == pytest.approx(width(single), rel=1e-9) and width(copied) < 0.5 * width(single)
    assert people["mean"] == pytest.approx(values.mean())
    with pytest.raises(BadInput, match="people given"):
        S.summary(values, people=[1, 2])
