"""From packed pixels to batches on the device: one gather, one conversion."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from mezzotint.data.batches import Rows, rows_at
from mezzotint.data.dataset import Images
from mezzotint.families.base import Batch
from mezzotint.seeds import Draws

RESIDENT_SHARE = 0.25
MIRRORED = "mirrored-"  # begins the names of what is known of images that are mirrored


def normalise(pixels: Tensor) -> Tensor:
    """uint8 (n, H, W, C) -> float32 (n, C, H, W) in [-1, 1], channels last in memory.

    The arithmetic of :func:`mezzotint.images.to_float`, without leaving the device or the layout.
    """
    return pixels.permute(0, 3, 1, 2).div(127.5).sub_(1.0)


def shifted(images: Tensor, uniform: Tensor, share: float) -> Tensor:
    """Images moved by whole pixels, the edge mirrored into what comes free.

    Args:
        images: (N, C, H, W).
        uniform: (N, 2) in [0, 1); decides how far down and right.
        share: the farthest move as a share of a side; at least a pixel.
    """
    for axis in (2, 3):
        side = images.shape[axis]
        most = min(max(1, round(share * side)), side - 1)
        moves = (uniform[:, axis - 2] * (2 * most + 1)).long() - most
        wanted = torch.arange(side, device=images.device) - moves[:, None]
        inside = side - 1 - (side - 1 - wanted.abs()).abs()
        shape = [len(images), 1, 1, 1]
        shape[axis] = side
        images = images.gather(axis, inside.view(shape).expand_as(images))
    return images.contiguous(memory_format=torch.channels_last)


def turned(known: Mapping[str, Tensor], mirrored: Tensor) -> dict[str, Tensor]:
    """What is known of images of which some (N,) are mirrored: that of their mirror images."""
    found = {}
    for name, rows in known.items():
        other = known.get(MIRRORED + name)
        if other is not None:
            rows = torch.where(mirrored.view(-1, *[1] * (rows.dim() - 1)), other, rows)
        if not name.startswith(MIRRORED):
            found[name] = rows
    return found


class Feed:
    """Batches of one set of images.

    Args:
        images: the set; its pixels stay where they are, usually in a memory map.
        batch: images a batch.
        inward: what a family thinks of images as.
    """

    def __init__(
        self,
        images: Images,
        batch: int,
        inward: Callable[[Tensor], Tensor] = lambda images: images,
    ) -> None:
        self.images, self.size, self._inward = images, batch, inward
        self._device = torch.device("cpu")
        self._resident: Tensor | None = None
        self._known: dict[str, Any] = {}

    def know(self, known: Mapping[str, NDArray[Any]]) -> None:
        """Hand out rows (n, ...) that were found out of the images beforehand with each batch."""
        self._known = {name: self._placed(rows) for name, rows in known.items()}

    def _placed(self, rows: NDArray[Any]) -> Any:
        """Rows on a GPU if they are small beside its memory, else where they are."""
        if self._device.type != "cuda" or rows.nbytes >= self._room():
            return rows
        return torch.from_numpy(np.array(rows)).to(self._device)

    def _room(self) -> float:
        return RESIDENT_SHARE * torch.cuda.mem_get_info(self._device)[0]

    def known(self, rows: Rows) -> dict[str, Tensor] | None:
        """What was found out of the images at ``rows``, on the device."""
        if not self._known:
            return None
        return {name: self._gathered(values, rows) for name, values in self._known.items()}

    def _gathered(self, values: Any, rows: Rows) -> Tensor:
        index = np.array(rows)
        if isinstance(values, Tensor):
            found = values[torch.as_tensor(index, device=self._device)]
        else:
            found = torch.from_numpy(np.take(values, index, axis=0)).to(self._device)
        return found.float() if found.is_floating_point() else found

    def to(self, device: torch.device) -> None:
        """Serve batches on ``device``; a set that is small beside a GPU's memory moves there."""
        self._device = device
        if device.type != "cuda":
            return
        bytes_needed = len(self.images) * self.images.pixels[0].nbytes
        if bytes_needed < self._room():
            everything = self.images.gather(np.arange(len(self.images)))
            self._resident = torch.from_numpy(everything).to(device)

    def rows(self, seen: int, seed: int) -> Rows:
        """The rows of the batch after ``seen`` images."""
        return rows_at(len(self.images), seed, seen, self.size)

    def pixels(self, rows: Rows) -> Tensor:
        """Float images (n, C, H, W) in [-1, 1] on the device, as the family thinks of them."""
        if self._resident is not None:
            index = torch.as_tensor(np.array(rows), device=self._device)
            return self._inward(normalise(self._resident[index]))
        return self._inward(normalise(torch.from_numpy(self.images.gather(rows)).to(self._device)))

    def batch(self, rows: Rows, noise: Draws, flip: bool = False, jitter: float = 0.0) -> Batch:
        """Rows as a batch; ``flip`` mirrors half of the images, ``jitter`` moves each a little."""
        images, known = self.pixels(rows), self.known(rows)
        if jitter > 0:
            images = shifted(images, noise.rand(2), jitter)
        if flip:
            mirrored = noise.rand() < 0.5
            images = torch.where(mirrored.view(-1, 1, 1, 1), images.flip(-1), images)
            known = known and turned(known, mirrored)
        labels = self.images.labels_of(rows)
        marks = None if labels is None else torch.from_numpy(labels).to(self._device)
        captions = self.images.captions_of(rows)
        return Batch(images, noise, marks, captions, known=known)
