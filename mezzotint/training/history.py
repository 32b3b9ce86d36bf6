"""From records to ``history.jsonl``: means over the steps since the last line."""

import math
from typing import Any

import torch
from torch import Tensor

from mezzotint.errors import TrainingError
from mezzotint.runs.folder import RunFolder
from mezzotint.training.records import Record


class History:
    """Adds up records and writes a line every ``log_every`` steps.

    Args:
        folder: the run.
        log_every: steps a line covers.
    """

    def __init__(self, folder: RunFolder, log_every: int) -> None:
        self._folder, self._every = folder, log_every
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, int] = {}
        self._event: dict[str, Any] | None = None

    def add(self, record: Record) -> None:
        """Count a record in."""
        for name, value in record.losses.items():
            value = value.detach().float().cpu() if value.device.type == "cpu" else value.float()
            self._sums[name] = self._sums[name] + value if name in self._sums else value
            self._counts[name] = self._counts.get(name, 0) + 1

    def note(self, error: TrainingError, images: int) -> None:
        """Tell, in the next line that is written, why training went back to ``images``."""
        event = {"code": error.code, "what": error.what, "where": error.where}
        self._event = {**event, "back_to": images}

    def end(self, writes: bool) -> None:
        """Tell it now, where this process ``writes``: there will be no next line.

        Its place is past the checkpoint, so that a run which goes on from there drops it.
        """
        if writes and self._event:
            self._folder.append({"images": self._event["back_to"] + 1, "event": self._event})

    def due(self, record: Record) -> bool:
        """Whether a line ends at this record."""
        return record.step % self._every == 0 or record.progress >= 1

    def write(self, record: Record, extra: dict[str, float]) -> dict[str, Any]:
        """Write the line that ends at this record and start the next; returns the line."""
        means = {name: float(value) / self._counts[name] for name, value in self._sums.items()}
        line = {
            "images": record.images,
            "step": record.step,
            "progress": round(record.progress, 6),
            "seconds": round(record.seconds, 3),
            "rate": record.rate,
            **finite({**means, **extra}),
            **({"event": self._event} if self._event else {}),
        }
        self._folder.append(line)
        self._sums, self._counts, self._event = {}, {}, None
        return line

    def state(self) -> dict[str, Any]:
        """What a checkpoint between two lines must hold."""
        sums = {name: float(value) for name, value in self._sums.items()}
        marked = {name: value if math.isfinite(value) else None for name, value in sums.items()}
        return {"sums": marked, "counts": dict(self._counts), "event": self._event}

    def restore(self, state: dict[str, Any]) -> None:
        """Go back to a checkpoint's sums."""
        sums = {k: math.nan if value is None else value for k, value in state["sums"].items()}
        self._sums = {name: torch.tensor(value) for name, value in sums.items()}
        alike = dict.fromkeys(sums, state.get("count", 0))  # older checkpoints hold one for all
        self._counts, self._event = dict(state.get("counts", alike)), state.get("event")


def finite(numbers: dict[str, float]) -> dict[str, float]:
    """The numbers JSON can hold; a measure that is infinite, like the PSNR of a perfect copy,
    is left out."""
    return {name: number for name, number in numbers.items() if math.isfinite(number)}
