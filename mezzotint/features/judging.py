"""The ``data`` extractor: a small network trained on the training images themselves."""

import hashlib
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.alpha import RGBA
from mezzotint.data.cache import cache_home
from mezzotint.data.dataset import Images
from mezzotint.features.extractor import Extractor, Pixels, levels, resized
from mezzotint.features.learning import Lesson, learnt
from mezzotint.nets.judge import GRID, Judge
from mezzotint.progress import Progress
from mezzotint.storage.files import file_digest

VERSION = 1  # of the recipe below; a change of it makes other features
LARGEST, TINY = 48, 12  # pixels a side
LESSON = Lesson(2e-3, 0.01, epochs=12, fewest=150, most=400, note="learning what to look at")
NOISE = 0.5


@dataclass(frozen=True)
class _Task:
    """What the network learns: the class of an image, or the image behind noise."""

    pixels: Pixels
    labels: NDArray[np.int64] | None
    classes: int
    side: int | None

    def network(self) -> Judge:
        large = (self.side or min(self.pixels.shape[1:3])) > TINY
        return Judge(self.pixels.shape[3], self.classes, large)

    def images(self, pixels: Pixels) -> Tensor:
        """In [-1, 1], at the size the network sees."""
        shown = levels(pixels) / 127.5 - 1
        return shown if self.side is None else resized(shown, self.side)

    def loss(self, network: Judge, rows: NDArray[np.int64]) -> Tensor:
        images = self.images(self.pixels[rows])
        if self.labels is not None:
            return F.cross_entropy(network(images), torch.from_numpy(self.labels[rows]))
        return F.mse_loss(network(images + NOISE * torch.randn_like(images)), resized(images, GRID))


def open_data_features(images: Images, show: Progress) -> Extractor:
    """The extractor of a set of images, from the cache or trained now.

    Args:
        images: any part of the set; its training side is learnt from, or all where there is none.

    Raises:
        StorageError, CannotCreateError: the cache cannot be written.
    """
    task = _task(images)
    file = cache_home() / "features" / f"data-{_key(task)}.safetensors"
    network = learnt(file, task.network, task.loss, len(task.pixels), LESSON, show)
    return _extractor(network, task, file_digest(file))


def _extractor(network: Judge, task: _Task, digest: str) -> Extractor:
    def look(pixels: Pixels) -> Tensor:
        return network.features(task.images(pixels))

    def classes(pixels: Pixels) -> Tensor:
        logits: Tensor = network(task.images(pixels))
        return logits.argmax(1)

    resize = "none" if task.side is None else f"antialiased bicubic to {task.side}x{task.side}"
    return Extractor("data", digest, resize, look, classes if task.classes else None)


def _task(images: Images) -> _Task:
    rows = images.train_rows if len(images.train_rows) else images.rows
    labels = None if images.labels is None else images.labels[rows]
    known = labels is not None and len(np.unique(labels[labels >= 0])) > 1
    if known and labels is not None:
        rows, labels = rows[labels >= 0], labels[labels >= 0]
    pixels = np.asarray(images.pixels)[rows]
    side = LARGEST if max(images.size) > LARGEST else None
    classes = len(images.classes) if known else 0
    return _Task(pixels, labels if known else None, classes, side)


def _key(task: _Task) -> str:
    """A digest of everything the network depends on."""
    digest = hashlib.sha256(f"{VERSION} {task.pixels.shape} {task.classes} {task.side}".encode())
    digest.update(b"weighed" if task.pixels.shape[3] == RGBA else b"")
    digest.update(task.pixels.tobytes())
    digest.update(b"" if task.labels is None else task.labels.tobytes())
    return digest.hexdigest()[:32]
