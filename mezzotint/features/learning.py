"""Small networks that learn from a set of images, by a fixed recipe, and are kept in the cache."""

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save
from torch import Tensor, nn

from mezzotint.errors import MezzotintError
from mezzotint.progress import Progress
from mezzotint.storage.files import make_folder, replace_bytes
from mezzotint.storage.weights import load_into, load_tensors

BATCH, SEED = 128, 0
Rows = NDArray[np.int64]
Network = TypeVar("Network", bound=nn.Module)


@dataclass(frozen=True)
class Lesson:
    """How a network learns: AdamW in one cycle, in batches of 128.

    Attributes:
        rate: of learning; its peak is twice as high.
        weight_decay: of AdamW.
        epochs: over the images, but at least ``fewest`` and at most ``most`` steps.
        note: what progress says.
    """

    rate: float
    weight_decay: float
    epochs: int
    fewest: int
    most: int
    note: str


def learnt(
    file: Path,
    build: Callable[[], Network],
    loss: Callable[[Network, Rows], Tensor],
    count: int,
    lesson: Lesson,
    show: Progress,
) -> Network:
    """A network of the cache, or one that learns and is put there; in evaluation mode.

    Args:
        file: in the cache; its name tells all that the network depends on.
        build: an untrained network.
        loss: (network, rows of a batch, ascending) -> scalar.
        count: images to learn from.
        lesson: how.
        show: where progress goes.

    Raises:
        StorageError, CannotCreateError: the cache cannot be written.
    """
    network = _kept(file, build)
    if network is None:
        network = _taught(build, loss, count, lesson, show)
        make_folder(file.parent)
        replace_bytes(file, save({k: v.contiguous() for k, v in network.state_dict().items()}))
    return network.eval()


def _kept(file: Path, build: Callable[[], Network]) -> Network | None:
    """The network of a file, or None where there is none that can be used."""
    if not file.is_file():
        return None
    network = build()
    try:
        load_into(network, load_tensors(file), file)
    except MezzotintError:
        return None  # a damaged cache is made anew
    return network


def _taught(
    build: Callable[[], Network],
    loss: Callable[[Network, Rows], Tensor],
    count: int,
    lesson: Lesson,
    show: Progress,
) -> Network:
    """A fixed number of steps from a fixed seed; the global generator stays as it was."""
    steps = min(max(lesson.fewest, math.ceil(lesson.epochs * count / BATCH)), lesson.most)
    order = np.random.default_rng(SEED)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        network = build()
        optimiser = torch.optim.AdamW(
            network.parameters(), lesson.rate, weight_decay=lesson.weight_decay
        )
        schedule = torch.optim.lr_scheduler.OneCycleLR(
            optimiser, 2 * lesson.rate, total_steps=steps
        )
        for step in range(steps):
            rows = np.sort(order.integers(0, count, BATCH))
            optimiser.zero_grad()
            torch.autograd.backward(loss(network, rows))
            optimiser.step()
            schedule.step()
            show.update(step + 1, steps, note=lesson.note)
    return network
