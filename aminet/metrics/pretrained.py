"""Pretrained networks of metrics and losses: from $AMINET_WEIGHTS, torch.hub's cache or their web address; checked.

$AMINET_WEIGHTS is a folder, or several with the system's path separator between them. Every file has a pinned sha256,
and pickles are read without executing code.
"""
from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from ..errors import BadInput
from ..files import sha256

if TYPE_CHECKING:  # files are located where there is no torch, too
    from torch import Tensor, nn


@dataclass(frozen=True)
class File:
    """One accepted file. source: its address if it can be downloaded alone, else where a person gets it."""

    name: str
    bytes: int
    sha256: str
    source: str = ""


# The first file is the one that a user gets. The others are taken where they lie at hand, and are never downloaded:
# halved copies of the convolutions, and for VGG19 Oxford's own weights (see `vgg19`).
NETWORKS = {
    "vgg19": (
        File("vgg19-dcbb9e9d.pth", 574673361, "dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
             "https://download.pytorch.org/models/vgg19-dcbb9e9d.pth"),
        File("vgg19_caffe_tvlayout_fp16.safetensors", 40051552,
             "da3bebb5f4010268f30bbb0eb0312c26e7d9ac55837d45922f5d6417f459a55d")),
    "alexnet": (
        File("alexnet-owt-7be5be79.pth", 244408911, "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
             "https://download.pytorch.org/models/alexnet-owt-7be5be79.pth"),
        File("alexnet_torchvision_features_fp16.safetensors", 4940240,
             "1e79dbde62a13caeaf6d1d6491a66ee816a833dfa42fb3532b5a74ed1cda2da2")),
    "inception": (
        File("weights-inception-2015-12-05-6726825d.pth", 95628359,
             "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
             "https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
             "weights-inception-2015-12-05-6726825d.pth"),
        File("inception_fid_2015-12-05_nofc_fp16.safetensors", 43746000,
             "5e2cb85ac93449f1db44634a02d0cf95fd3c29a9621140506160b497404a2946")),
    "arcface": (
        File("w600k_mbf.onnx", 13616099, "9cc6e4a75f0e2bf0b1aed94578f144d15175f357bdc05e815e5c4a02b319eb4f",
             "insightface's model pack buffalo_s, for non-commercial research"),),
    "landmarks": (
        File("2d106det.onnx", 5030888, "f001b856447c413801ef5c42091ed0cd516fcd21f2d6b79635b1e733a7109dbf",
             "insightface's model pack buffalo_s, for non-commercial research"),),
    "yunet": (
        File("face_detection_yunet_2023mar.onnx", 232589,
             "8f2383e4dd3cfbb4553ea8718107fc0423210dc964f9f4280604804ed2552fa4",
             "https://github.com/opencv/opencv_zoo/raw/main/models/face_detection_yunet/"
             "face_detection_yunet_2023mar.onnx"),),
}


def locate(name: str) -> Path:
    """The checked file of a network of NETWORKS: from $AMINET_WEIGHTS, from torch.hub's cache, or downloaded there.

    Raises BadInput for a file whose sha256 is another (nothing is deleted), and when there is no file and no way to
    get one.
    """
    def look_in(folders: Iterable[Path]) -> Path | None:
        paths = ((folder / file.name, file) for folder in folders for file in NETWORKS[name])
        return next((checked(path, file.sha256) for path, file in paths if path.is_file()), None)

    given = os.environ.get("AMINET_WEIGHTS", "").split(os.pathsep)
    if path := look_in(Path(folder) for folder in given if folder):
        return path
    if not installed("torch"):
        raise BadInput(by_hand(NETWORKS[name][0]))
    import torch

    cache = Path(torch.hub.get_dir()) / "checkpoints"
    return look_in([cache]) or download(NETWORKS[name][0], cache)


def by_hand(file: File, problem: str = "") -> str:
    """Say that a file is not at hand, and how a person gets it."""
    return (f"{file.name} ({file.bytes / 1e6:.1f} MB) is not at hand{problem}: get it from {file.source}, and set "
            "AMINET_WEIGHTS to its folder")


def installed(module: str) -> bool:
    """Whether a package can be imported here."""
    try:
        return find_spec(module) is not None
    except (ImportError, ValueError):
        return False


def missing_package(package: str, module: str = "") -> str | None:
    """Say that a package is not installed, and how to install it; None if it is. module: its name in an import."""
    return None if installed(module or package) else f"the package {package} is not installed: pip install {package}"


def checked(path: Path, expected: str) -> Path:
    """`path`, if its sha256 is the expected one; else BadInput."""
    found = sha256(path)
    if found != expected:
        raise BadInput(f"{path} is not the file it should be: its sha256 is {found}, expected {expected}; "
                       "move it away and get it again")
    return path


def download(file: File, folder: Path) -> Path:
    """Download a file into a folder, with a progress bar; it gets its name only when it is whole and checked."""
    if "://" not in file.source:
        raise BadInput(by_hand(file))
    import torch

    path = folder / file.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(file.source, str(path), hash_prefix=file.sha256)
    except (OSError, RuntimeError) as error:  # no network, a full disk; a wrong sha256
        raise BadInput(by_hand(file, f" and could not be downloaded to {folder} ({error})")) from error
    return path


def vgg19() -> tuple[nn.Sequential, str]:
    """VGG19's `features` (37 layers, conv1_1 to pool5) in float32, and the name of the file that they are from.

    Input: float32 (N, 3, H, W), RGB with ImageNet's mean and deviation taken out, as torchvision has it. The two
    files are not the same network: torchvision trained its own; the other is Oxford's, with its features divided by
    57.375. Feature sizes and loss weights differ, so note which one a run used.
    """
    import torch
    from torchvision.models.vgg import cfgs, make_layers

    path = locate("vgg19")
    with torch.device("meta"):  # no memory, and no numbers taken from the random generator
        layers = make_layers(cfgs["E"])
    return _frozen(layers, features(path)), path.name


def alexnet() -> nn.Sequential:
    """Torchvision's AlexNet `features` (13 layers, conv1 to pool5) in float32. Input as for `vgg19`."""
    import torch
    from torchvision.models import AlexNet

    with torch.device("meta"):
        layers = AlexNet().features
    return _frozen(layers, features(locate("alexnet")))


def inception() -> nn.Module:
    """FID's Inception, torch-fidelity's extractor: uint8 (N, 3, H, W) -> a tuple of float32 (N, 2048)."""
    import torch
    from torch_fidelity import FeatureExtractorInceptionV3

    state = tensors(locate("inception"))
    for key in [key for key in state if key.endswith(".bn.bias")]:  # the halved copy leaves out the gammas, all 1
        state.setdefault(key.replace(".bias", ".weight"), torch.ones_like(state[key]))
    state.setdefault("fc.weight", torch.zeros(1008, 2048))  # and the classifier, which the 2048 features do not see
    state.setdefault("fc.bias", torch.zeros(1008))
    buffer = io.BytesIO()  # torch-fidelity unpickles what it is given: it gets a pickle of ours
    torch.save(state, buffer)
    buffer.seek(0)
    with torch.random.fork_rng(devices=[]):
        return FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=buffer)


def tensors(path: Path) -> dict[str, Tensor]:
    """The tensors of a checked file, float32, without executing code."""
    if path.suffix == ".safetensors":
        from safetensors.torch import load_file

        state = load_file(path)
    else:
        import torch

        state = torch.load(path, map_location="cpu", weights_only=True)
    return {key: value.detach().float() if value.is_floating_point() else value for key, value in state.items()}


def features(path: Path) -> dict[str, Tensor]:
    """The tensors of a network's `features`, without that prefix and without its classifier."""
    return {key.removeprefix("features."): value for key, value in tensors(path).items()
            if key.startswith("features.")}


def _frozen(network: nn.Module, state: dict[str, Tensor]) -> nn.Module:
    network.load_state_dict(state, assign=True)
    return network.requires_grad_(False).eval()
