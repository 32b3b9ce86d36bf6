"""Fashion-MNIST (Xiao, Rasul, Vollgraf 2017, arXiv 1708.07747): found, cached or fetched."""

import hashlib
import http.client
import urllib.request
import zlib
from pathlib import Path

from mezzotint.data.arrays import ArraySource
from mezzotint.data.cache import cache_home, offline
from mezzotint.data.idx import open_idx
from mezzotint.errors import MissingInputError
from mezzotint.storage.files import make_folder, replace_bytes

SYSTEM_FOLDER = Path("/usr/share/datasets/fashion-mnist")
SOURCE = "https://raw.githubusercontent.com/zalandoresearch/fashion-mnist/master/data/fashion/"
TIMEOUT = 30.0
MOST_BYTES = 64 << 20
CLASSES = (
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Ankle boot",
)
# SHA-256 of the content inside the gzip wrapper: packagers wrap the same content differently.
DIGESTS = {
    "train-images-idx3-ubyte.gz": (
        "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888"
    ),
    "train-labels-idx1-ubyte.gz": (
        "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9"
    ),
    "t10k-images-idx3-ubyte.gz": (
        "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b"
    ),
    "t10k-labels-idx1-ubyte.gz": (
        "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34"
    ),
}


def open_fashion(spec: str = "fashion-mnist") -> ArraySource:
    """70,000 grey 28x28 images of ten kinds of clothing; the 10,000 test images are held out.

    Raises:
        MissingInputError: it is neither on this machine nor can it be fetched.
    """
    own = cache_home() / "datasets" / "fashion-mnist"
    folder = next((place for place in (SYSTEM_FOLDER, own) if _has_all(place)), None)
    return open_idx(folder if folder is not None else _fetched(own), spec, CLASSES)


def _has_all(folder: Path) -> bool:
    return all((folder / name).is_file() for name in DIGESTS)


def _fetched(folder: Path) -> Path:
    if offline():
        raise _missing(folder, "the network is switched off by MEZZOTINT_OFFLINE")
    try:
        make_folder(folder)
        for name, digest in DIGESTS.items():
            if not (folder / name).is_file():
                replace_bytes(folder / name, verified(download(SOURCE + name), digest))
    except (OSError, ValueError, http.client.HTTPException) as error:
        raise _missing(folder, f"fetching it failed: {error}") from error
    return folder


def download(address: str) -> bytes:
    """Fetch one file of at most 64 MiB.

    Raises:
        OSError, http.client.HTTPException: it cannot be fetched.
        ValueError: it is larger than that.
    """
    with urllib.request.urlopen(address, timeout=TIMEOUT) as answer:  # noqa: S310
        content: bytes = answer.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise ValueError("the file is larger than expected")
    return content


def verified(packed: bytes, digest: str) -> bytes:
    """``packed`` itself, when its content has the digest.

    Raises:
        ValueError: it has another one.
    """
    try:
        plain = zlib.decompressobj(wbits=31).decompress(packed, MOST_BYTES)
    except zlib.error as error:
        raise ValueError(f"the file is damaged: {error}") from error
    if hashlib.sha256(plain).hexdigest() != digest:
        raise ValueError("the file is not the published one")
    return packed


def _missing(folder: Path, why: str) -> MissingInputError:
    return MissingInputError(
        f"fashion-mnist is not on this machine, and {why}",
        where=f"looked in {SYSTEM_FOLDER} and {folder}",
        fix="run 'apt-get install dataset-fashion-mnist', or put the four files"
        f" {', '.join(DIGESTS)} into {folder}",
    )
