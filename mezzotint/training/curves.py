"""The history of a run as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mezzotint.figures import new_figure, save_figure

_COUNTERS = {"images", "step", "progress", "seconds", "rate", "beta", "event"}
_DIVERSITY = "diversity."


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
    names = [name for name in names if name not in _COUNTERS and not name.startswith(_DIVERSITY)]
    varied = any(key.startswith(_DIVERSITY) for line in lines for key in line)
    if not names or not lines:
        return None
    count = len(names) + varied
    figure = new_figure(5 * count, 3.6)
    figure.suptitle(title)
    panels = figure.subplots(1, count, squeeze=False)[0]
    for panel, name in zip(panels, names, strict=False):
        _draw_panel(panel, lines, name)
    if varied:
        _draw_diversity(panels[-1], lines)
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


def _draw_diversity(panel: Any, lines: Sequence[Mapping[str, Any]]) -> None:
    """Signals of the collapse watch beside real images, and where training went back."""
    names = dict.fromkeys(key for line in lines for key in line if key.startswith(_DIVERSITY))
    for name in names:
        points = [(line["images"], line[name]) for line in lines if name in line]
        panel.plot(*zip(*points, strict=True), marker="o", ms=3, label=name[len(_DIVERSITY) :])
    panel.axhline(1, color="black", ls="--", lw=1, label="real images")
    for line in lines:
        if "event" in line:
            panel.axvline(line["images"], color="red", lw=1, alpha=0.5)
    panel.set_title("diversity, as a share of real images")
    panel.set_xlabel("images seen")
    panel.grid(alpha=0.3)
    panel.legend(frameon=False, fontsize="x-small")
