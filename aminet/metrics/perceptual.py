"""Perceptual metrics by pretrained networks: LPIPS, the identity of a face, and FID.

They see whole uint8 RGB images. (The `dic` lineage fed its LPIPS with Y from 0 to 255: its numbers are others.)
"""
from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..degrade import to_float
from ..errors import BadInput
from ..protocol import pair
from . import pretrained
from .yunet import detect

NEEDS = {"lpips": ("alexnet",), "identity": ("yunet", "arcface"), "cosine": ("yunet", "arcface"), "iou": ("bisenet",),
         "nme": ("landmarks",), "pose": ("landmarks",), "fid": ("inception",)}  # pretrained networks
BATCH = 16  # images at a time

# Where ArcFace's training images have the eyes, the nose and the corners of the mouth, in pixels of 112x112.
ARCFACE_LANDMARKS = np.array([(38.2946, 51.6963), (73.5318, 51.5014), (56.0252, 71.7366), (41.5493, 92.3655),
                              (70.7299, 92.2041)])


def lpips(sr: Tensor, hr: Tensor) -> np.ndarray:
    """Return LPIPS per image (Zhang et al. 2018), AlexNet, version 0.1: 0 for equal images, lower is better.

    sr: (N, 3, H, W) uint8, or float in [-1, 1], which is truncated; hr: uint8. The network gets RGB in [-1, 1].
    Sides of 32 pixels or more, else BadInput.
    """
    result, original = pair(sr, hr, "truncate")
    if min(original.shape[-2:]) < 32:
        raise BadInput(f"LPIPS needs 32x32 pixels or more; these are {original.shape[-1]}x{original.shape[-2]}")
    network = lpips_network()
    return in_batches(lambda a, b: network(to_float(a), to_float(b)).flatten(), "lpips", result, original)


@lru_cache
def lpips_network() -> nn.Module:
    """The lpips package's network on our checked AlexNet, frozen: two float (N, 3, H, W) in [-1, 1] -> (N, 1, 1, 1)."""
    import lpips

    with torch.random.fork_rng(devices=[]), warnings.catch_warnings():  # it makes a random AlexNet, in an old way
        warnings.simplefilter("ignore")
        network = lpips.LPIPS(net="alex", version="0.1", pnet_rand=True, verbose=False)
    layers = nn.ModuleDict({name: layer for part in network.net.children() for name, layer in part.named_children()})
    layers.load_state_dict(pretrained.features("alexnet").state_dict())
    return network.requires_grad_(False).eval()


def identity(sr: Tensor, hr: Tensor) -> np.ndarray:
    """Return the cosine per image of ArcFace's embeddings of sr and hr (Deng et al. 2019): 1 for the same face.

    The network is insightface's MobileFaceNet. Both images are aligned by the five landmarks that YuNet finds in hr,
    so only the pixels of sr count, not what a detector makes of them. nan where YuNet finds no face in hr.
    Not Table IX's number: its face network is not published. Arguments as for `lpips`.
    """
    pairs = list(zip(*pair(sr, hr, "truncate")))
    values = np.full(len(pairs), np.nan)
    for i, images in enumerate(tqdm(pairs, desc="identity", leave=False, disable=len(pairs) <= BATCH)):
        if faces := detect(images[1]):
            a, b = (embedding(image, faces[0]) for image in images)
            values[i] = a @ b / np.sqrt((a @ a) * (b @ b))
    return values


def embedding(image: np.ndarray, points: np.ndarray) -> np.ndarray:
    """ArcFace's (512,) embedding of uint8 RGB (3, H, W) with these landmarks, aligned to 112x112 by a similarity."""
    import cv2
    from skimage.transform import estimate_transform

    matrix = estimate_transform("similarity", points, ARCFACE_LANDMARKS).params[:2]
    aligned = cv2.warpAffine(np.ascontiguousarray(image.transpose(1, 2, 0)), matrix, (112, 112)).astype(np.float32)
    network = pretrained.onnx_network("arcface")
    return network(((aligned - 127.5) / 127.5).transpose(2, 0, 1)[None])[0].astype(np.float64)


def inception_features(images: Tensor) -> np.ndarray:
    """Return what FID compares: uint8 (N, 3, H, W) -> float64 (N, 2048), by torch-fidelity's Inception."""
    network = pretrained.inception()
    return in_batches(lambda x: network(x)[0], "inception", images)


def fid(a: np.ndarray, b: np.ndarray) -> float:
    """Fréchet inception distance (Heusel et al. 2017) of two sets of features, (N, D) and (M, D), by torch-fidelity.

    Covariances of 2048 features from fewer images have low rank, and the distance comes out too high: by much for 50
    images, and still for 1000. Compare only values of the same faces; between those only the order means anything.
    """
    from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_features_to_statistics, fid_statistics_to_metric

    if min(len(a), len(b)) < 2:
        raise BadInput("FID compares two sets: give two images or more")
    statistics = (fid_features_to_statistics(torch.from_numpy(x)) for x in (a, b))
    return fid_statistics_to_metric(*statistics, verbose=False)[KEY_METRIC_FID]


def fid_draws(a: np.ndarray, b: np.ndarray, people=None, n: int = 100, seed: int = 0) -> np.ndarray:
    """`fid` of n bootstrap draws of the faces: (n,). For differences: the same faces and seed give the same draws.

    a, b: (N, D) features of the same faces, row by row. people: who is on each; whole people are drawn. A draw repeats
    images, so it has fewer of them, and its FID lies above that of the set (by 5 to 8 % for 100 faces): a draw says
    nothing by itself. Most of that cancels in a difference (2 to 3 % stayed).

    tr sqrt(S1 S2) is the sum of the singular values of A B' for centred features A, B with S1 = A'A and S2 = B'B: N x N
    numbers instead of D x D, and a row that is drawn c times becomes one row times sqrt(c).
    """
    if len(a) != len(b) or len(a) < 2:
        raise BadInput(f"FID's draws need features of the same faces, two or more: {len(a)} against {len(b)}")
    person = np.arange(len(a)) if people is None else np.unique(people, return_inverse=True)[1]
    if len(person) != len(a):
        raise BadInput(f"{len(person)} people given for {len(a)} images")
    random, everyone = np.random.default_rng(seed), person.max() + 1
    products, squares, values = a @ b.T, [np.square(x).sum(1) for x in (a, b)], []
    for _ in tqdm(range(n), desc="fid draws", leave=False, disable=len(a) <= 10 * BATCH):
        count = np.bincount(random.integers(everyone, size=everyone), minlength=everyone)[person]
        total, drawn = count.sum(), np.flatnonzero(count)
        weight = count / total
        means = [weight @ x for x in (a, b)]
        traces = [total / (total - 1) * (weight @ square - mean @ mean) for square, mean in zip(squares, means)]
        centred = products - (products @ weight)[:, None] - weight @ products + weight @ products @ weight
        root = np.sqrt(count[drawn] / (total - 1))
        singular = np.linalg.svd(root[:, None] * centred[np.ix_(drawn, drawn)] * root, compute_uv=False)
        values.append(np.square(means[0] - means[1]).sum() + sum(traces) - 2 * singular.sum())
    return np.array(values)


@torch.inference_mode()
def in_batches(function: Callable[..., Tensor], name: str, *images: np.ndarray | Tensor) -> np.ndarray:
    """Return a function of some images, float64 (N, ...), BATCH at a time, with a progress bar if there are many."""
    starts = tqdm(range(0, len(images[0]), BATCH), desc=name, leave=False, disable=len(images[0]) <= BATCH)
    return np.concatenate([function(*(torch.as_tensor(x[start:start + BATCH]) for x in images)).numpy()
                           for start in starts]).astype(np.float64)
