"""Copies of the history for other tools; ``history.jsonl`` stays the truth."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from mezzotint.errors import MissingExtraError

Tracker = Callable[[Mapping[str, Any] | None], None]
_COUNTERS = {"images", "step", "progress", "seconds", "event"}


def open_tracker(tensorboard: bool, folder: Path) -> Tracker:
    """A function that takes each history line, and None at the end.

    Args:
        tensorboard: write TensorBoard event files under ``folder/tensorboard``.
        folder: the run.

    Raises:
        MissingExtraError: TensorBoard is wanted and not installed.
    """
    return _tensorboard(folder) if tensorboard else lambda line: None


def _tensorboard(folder: Path) -> Tracker:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        raise MissingExtraError("tensorboard", "tensorboard") from None
    writer = SummaryWriter(str(folder / "tensorboard"))

    def track(line: Mapping[str, Any] | None) -> None:
        if line is None:
            writer.close()
            return
        for name, value in line.items():
            if name not in _COUNTERS:
                writer.add_scalar(name, value, line["images"])

    return track
