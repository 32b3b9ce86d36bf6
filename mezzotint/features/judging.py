"""The ``data`` extractor: a small network trained on the training images themselves."""

import hashlib
import math
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor

from mezzotint.data.cache import cache_home
from mezzotint.data.dataset import Images
from mezzotint.errors import MezzotintError
from mezzotint.features.extractor import Extractor, Pixels, levels, resized
from mezzotint.nets.judge import GRID, Judge
from mezzotint.progress import Progress
from mezzotint.storage.files import file_digest, make_folder, replace_bytes
from mezzotint.storage.weights import load_into, load_tensors

VERSION = 1  # of the recipe below; a change of it makes other features
LARGEST, TINY = 48, 12  # pixels a side
BATCH, RATE, SEED = 128, 2e-3, 0
FEWEST, MOST, EPOCHS = 150, 400, 12
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
    network = _cached(task, file)
    if network is None:
        network = _train(task, show)
        make_folder(file.parent)
        replace_bytes(file, save({k: v.contiguous() for k, v in network.state_dict().items()}))
    return _extractor(network.eval(), task, file_digest(file))


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
    digest.update(task.pixels.tobytes())
    digest.update(b"" if task.labels is None else task.labels.tobytes())
    return digest.hexdigest()[:32]


def _cached(task: _Task, file: Path) -> Judge | None:
    """The network of a file, or None where there is none that can be used."""
    if not file.is_file():
        return None
    network = task.network()
    try:
        load_into(network, load_tensors(file), file)
    except MezzotintError:
        return None  # a damaged cache is made anew
    return network


def _train(task: _Task, show: Progress) -> Judge:
    """A fixed number of AdamW steps from a fixed seed; the global generator stays as it was."""
    steps = min(max(FEWEST, math.ceil(EPOCHS * len(task.pixels) / BATCH)), MOST)
    order = np.random.default_rng(SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = task.network()
        optimiser = torch.optim.AdamW(network.parameters(), RATE, weight_decay=0.01)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, 2 * RATE, total_steps=steps)
        for step in range(steps):
            rows = order.integers(0, len(task.pixels), BATCH)
            optimiser.zero_grad()
            torch.autograd.backward(task.loss(network, np.sort(rows)))
            optimiser.step()
            schedule.step()
            show.update(step + 1, steps, note="learning what to look at")
    return network
