"""The history of a run as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mezzotint.figures import new_figure, save_figure

_COUNTERS = {"images", "step", "progress", "seconds", "rate", "beta"}


def draw_curves(path: Path, lines: Sequence[Mapping[str, Any]], title: str) -> Path | None:
    """Write a PNG with one panel a quantity, training and validation together.

    Args:
        path: the picture.
        lines: records of ``history.jsonl``.
        title: over the panels.

    Returns:
        The path, or None when there is nothing to draw.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    names = list(dict.fromkeys(k.removeprefix("validation_") for line in lines for k in line))
    names = [name for name in names if name not in _COUNTERS]
    if not names or not lines:
        return None
    figure = new_figure(5 * len(names), 3.6)
    figure.suptitle(title)
    for panel, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        _draw_panel(panel, lines, name)
    return save_figure(figure, path)


def _draw_panel(panel: Any, lines: Sequence[Mapping[str, Any]], name: str) -> None:
    for key, label in ((name, "training"), (f"validation_{name}", "held out")):
        points = [(line["images"], line[key]) for line in lines if key in line]
        if points:
            panel.plot(*zip(*points, strict=True), marker="o" if len(points) < 20 else "", ms=3,
                       label=label)  # fmt: skip
    values = [line[key] for line in lines for key in (name, f"validation_{name}") if key in line]
    if min(values) > 0 and max(values) > 20 * min(values):
        panel.set_yscale("log")
    panel.set_title(name)
    panel.set_xlabel("images seen")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False)
