"""Notices losses that say a run is lost, without making a GPU wait for it at every step."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor

from mezzotint.data.dataset import Images

LOOK_EVERY = {"cpu": 1, "cuda": 50}
NONE = -1
SUSPECTS_SHOWN = 8


class LossWatch:
    """Remembers the first batch whose loss was not finite, or above what the player allows.

    On a GPU the answer stays there and is read every 50th time; by then weights may be broken, but
    no checkpoint is, since those are looked at whole before they are written.

    Args:
        device: where the losses are.
    """

    def __init__(self, device: torch.device) -> None:
        self._every = LOOK_EVERY.get(device.type, 1)
        self._first = torch.full((), NONE, dtype=torch.int64, device=device)
        self._noted = 0

    def note(self, loss: Tensor, seen: int, ceiling: float = math.inf) -> int | None:
        """Take in the loss of the batch after ``seen`` images; above ``ceiling`` it is broken.

        Returns:
            The ``seen`` of the first broken batch, when it is time to look; or None.
        """
        sound = torch.isfinite(loss.detach()) & (loss.detach() <= ceiling)
        if self._every == 1:
            return None if sound else seen
        broken = ~sound & (self._first == NONE)
        self._first = torch.where(broken, seen, self._first)
        self._noted += 1
        return self.first() if self._noted % self._every == 0 else None

    def first(self) -> int | None:
        """The ``seen`` of the first broken batch, or None; waits for the device."""
        found = int(self._first)
        return None if found == NONE else found

    def forget(self) -> None:
        """Start anew."""
        self._first.fill_(NONE)


class Suspects:
    """Images that were in every batch whose loss was broken.

    Args:
        images: what the batches are drawn from.
    """

    def __init__(self, images: Images) -> None:
        self._images = images
        self._rows: set[int] = set()

    def names(self, rows: Iterable[int]) -> str:
        """Names of those in a failing batch of ``rows`` and the earlier ones, if there are any."""
        failing = {int(row) for row in rows}
        self._rows = (self._rows & failing) or failing
        names = self._images.names_of(sorted(self._rows)[:SUSPECTS_SHOWN])
        more = len(self._rows) - len(names)
        return ", ".join(names or ["none"]) + (f" and {more} more" if more else "")
