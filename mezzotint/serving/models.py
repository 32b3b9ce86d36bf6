"""Models that a worker holds, each loaded when it is first asked for."""

import time
from collections import OrderedDict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from mezzotint.api.opening import open_model
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Joins
from mezzotint.families.making import ROWS
from mezzotint.serving.pooling import Pool, alike

HELD = 4
SIZES = (1, 2, 4, ROWS)
SIZES_OF_A_GPU = (1, 2, 4, 8, 16)
SMOOTHING = 0.1


@dataclass
class Opened:
    """A model at work.

    Attributes:
        family: the model.
        pool: images that are being made step by step; None where they are made in one go.
        seconds: of a forward pass of the largest size, as measured.
        made: other things made of the model, by name.
    """

    family: Family
    path: Path
    pool: Pool | None
    seconds: float = 0.0
    made: dict[str, Any] = field(default_factory=dict)

    def measured(self, seconds: float) -> None:
        """Take the time of one more pass of the largest size into account."""
        self.seconds += SMOOTHING * (seconds - self.seconds)


class Models:
    """The models used last.

    Args:
        device: where they work.
    """

    def __init__(self, device: str) -> None:
        self._device = torch.device(device)
        self._held: OrderedDict[tuple[str, str], Opened] = OrderedDict()

    def get(self, path: str, stamp: str) -> Opened:
        """A model as it was at ``stamp``.

        Raises:
            MezzotintError: it cannot be loaded.
        """
        key = (path, stamp)
        if key not in self._held:
            self._make_room()
            self._held[key] = opened(Path(path), self._device)
        self._held.move_to_end(key)
        return self._held[key]

    def _make_room(self) -> None:
        for key in [key for key, model in self._held.items() if not model.pool]:
            if len(self._held) < HELD:
                return
            del self._held[key]


def _nothing(family: Family) -> tuple[str, ...]:
    """What asks a model with classes for none of them."""
    return ("none",) if getattr(family.config, "classes", ()) else ()


def _shortest(family: Any, seed: int) -> Any:
    """A walk of one step that asks for one row, whatever the model's own guidance is."""
    return family.looking(seed, *_nothing(family), steps=1, guidance=1.0)


def opened(path: Path, device: torch.device) -> Opened:
    """Load a model, and measure a pass if it works by passes."""
    family = open_model(path).to(device).eval()
    if not isinstance(family, Joins):
        return Opened(family, path, None)
    sizes = fitting_sizes(family)
    model = Opened(family, path, Pool(family.seen, sizes))
    for _ in range(2):  # the first pass is slower than those that follow
        started = time.perf_counter()
        warm = Pool(family.seen, sizes[-1:])
        warm.add(0, _shortest(family, 0))
        warm.turn()
        model.seconds = time.perf_counter() - started
    return model


def fitting_sizes(family: Any) -> tuple[int, ...]:
    """Rows that a pass of a model may have here: those sizes that round alike on noise."""
    sizes = SIZES if family.device.type == "cpu" else SIZES_OF_A_GPU
    walks = [_shortest(family, seed) for seed in range(sizes[-1])]
    return alike(family.seen, [next(walk) for walk in walks], sizes)
