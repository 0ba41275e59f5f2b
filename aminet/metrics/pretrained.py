"""Pretrained networks of metrics and losses: from $AMINET_WEIGHTS, torch.hub's cache or their web address; checked.

$AMINET_WEIGHTS is a folder, or several with the system's path separator between them. Every file has a pinned sha256
(networks.yaml), and pickles are read without executing code.
"""
from __future__ import annotations

import hashlib
import io
import os
from collections.abc import Callable
from functools import lru_cache
from importlib.util import find_spec
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple
from urllib.request import urlopen

import numpy as np
import yaml

from ..errors import BadInput
from ..files import sha256, write_atomically

if TYPE_CHECKING:  # files are located where there is no torch, too
    from torch import Tensor, nn


class NetworkFile(NamedTuple):
    """One accepted file. source: its address if it can be downloaded alone, else where a person gets it."""

    name: str
    bytes: int
    sha256: str
    source: str = ""


NETWORKS = {name: tuple(NetworkFile(**file) for file in files) for name, files
            in yaml.safe_load(Path(__file__).with_name("networks.yaml").read_text()).items()}


def locate(name: str) -> Path:
    """Return the checked file of a network of NETWORKS: from $AMINET_WEIGHTS, torch.hub's cache, or downloaded there.

    Raises BadInput for a file whose sha256 is another (nothing is deleted), and when there is no way to get one.
    """
    files = NETWORKS[name]
    given = os.environ.get("AMINET_WEIGHTS", "").split(os.pathsep)
    if path := look_in([Path(folder) for folder in given if folder], files):
        return path
    cache = hub() / "checkpoints"
    return look_in([cache], files) or download(files[0], cache)


def hub() -> Path:
    """Return torch.hub's folder, the same where torch is not installed."""
    try:
        import torch
    except ImportError:
        caches = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
        return Path(os.environ.get("TORCH_HOME") or Path(caches) / "torch").expanduser() / "hub"
    return Path(torch.hub.get_dir())


def look_in(folders: list[Path], files: tuple[NetworkFile, ...]) -> Path | None:
    """Return the first of the files that lies in one of the folders; BadInput if its sha256 is another."""
    for folder, file in product(folders, files):
        path = folder / file.name
        if os.path.isfile(path):
            if (digest := sha256(path)) != file.sha256:
                raise BadInput(f"{path} is not the file it should be: its sha256 is {digest}, expected {file.sha256}; "
                               "move it away and get it again")
            return path
    return None


def download(file: NetworkFile, folder: Path) -> Path:
    """Download a file into a folder, with a progress bar; it gets its name only when it is whole and checked."""
    if "://" not in file.source:
        raise BadInput(by_hand(file))
    path = folder / file.name
    try:
        folder.mkdir(parents=True, exist_ok=True)
        try:
            from torch.hub import download_url_to_file
        except ImportError:
            download_url_to_file = fetch
        download_url_to_file(file.source, str(path), hash_prefix=file.sha256)
    except (OSError, RuntimeError) as error:  # no network, a full disk; a wrong sha256
        raise BadInput(by_hand(file, f" and could not be downloaded to {folder} ({error})")) from error
    return path


def fetch(address: str, path: str, hash_prefix: str) -> None:
    """Download a small file, as torch.hub does, where torch is not installed."""
    with urlopen(address, timeout=60) as answer:
        content = answer.read(2**24)
    if (digest := hashlib.sha256(content).hexdigest()) != hash_prefix:
        raise RuntimeError(f"invalid hash value (expected {hash_prefix}, got {digest})")
    write_atomically(path, content)


def by_hand(file: NetworkFile, problem: str = "") -> str:
    """Say that a file is not at hand, and how a person gets it."""
    return (f"{file.name} ({file.bytes / 1e6:.1f} MB) is not at hand{problem}: get it from {file.source}, and set "
            "AMINET_WEIGHTS to its folder")


def installed(module: str) -> bool:
    """Return whether a package can be imported here."""
    return find_spec(module) is not None


def missing_package(package: str, module: str = "") -> str | None:
    """Say that a package is not installed, and how to install it; None if it is. module: its name in an import."""
    return None if installed(module or package) else f"the package {package} is not installed: pip install {package}"


def missing_network(name: str) -> str | None:
    """Say why a network of NETWORKS is not to be had; None if it is here now."""
    try:
        locate(name)
    except BadInput as error:
        return str(error)
    return None


@lru_cache
def onnx_network(name: str) -> Callable[[np.ndarray], np.ndarray]:
    """Return an ONNX network of NETWORKS as a function of float32 images, with as many threads as torch has."""
    import onnxruntime
    import torch

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = torch.get_num_threads()
    session = onnxruntime.InferenceSession(str(locate(name)), options, providers=["CPUExecutionProvider"])
    return lambda images: np.asarray(session.run(None, {session.get_inputs()[0].name: images})[0])


def vgg19() -> tuple[nn.Sequential, str]:
    """Return VGG19's `features` (37 layers, conv1_1 to pool5) in float32, and the name of the file that they are from.

    Input: float32 (N, 3, H, W), RGB with ImageNet's mean and deviation taken out, as torchvision has it. The two
    files are not the same network: torchvision trained its own; the other is Oxford's, with its features divided by
    57.375. Feature sizes and loss weights differ, so note which one a run used.
    """
    return features("vgg19"), locate("vgg19").name


def features(name: str) -> nn.Sequential:
    """Return the `features` of the network that torchvision calls so, in float32 and frozen: of AlexNet 13 layers,
    conv1 to pool5. Input as for `vgg19`."""
    import torch
    from torchvision import models

    with torch.device("meta"):  # no memory, and no numbers taken from the random generator
        layers = getattr(models, name)().features
    layers.load_state_dict({key.removeprefix("features."): value for key, value in tensors(locate(name)).items()
                            if not key.startswith("classifier.")}, assign=True)
    return layers.requires_grad_(False).eval()


@lru_cache
def inception() -> nn.Module:
    """Return FID's Inception, torch-fidelity's extractor: uint8 (N, 3, H, W) -> a tuple of float32 (N, 2048)."""
    import torch
    from torch_fidelity import FeatureExtractorInceptionV3

    found = tensors(locate("inception"))  # the halved copy leaves out the gammas, all 1, and the classifier
    state = {key.replace(".bias", ".weight"): torch.ones_like(found[key]) for key in found if key.endswith(".bn.bias")}
    state |= {"fc.weight": torch.zeros(1008, 2048), "fc.bias": torch.zeros(1008)} | found  # of no use for features
    buffer = io.BytesIO()  # torch-fidelity unpickles what it is given: it gets a pickle of ours
    torch.save(state, buffer)
    buffer.seek(0)
    with torch.random.fork_rng(devices=[]):
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=buffer)
    return network.to(memory_format=torch.channels_last)  # a third faster on a CPU


def tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a checked file, float32, without executing code."""
    import torch
    from safetensors.torch import load_file

    state = load_file(path) if path.suffix == ".safetensors" else torch.load(path, "cpu", weights_only=True)
    return {key: value.detach().float() if value.is_floating_point() else value for key, value in state.items()}
