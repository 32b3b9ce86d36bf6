"""The history of a run as one picture."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from mezzotint.figures import new_figure, save_figure

_COUNTERS = {"images", "step", "progress", "seconds", "rate", "beta", "event"}
_DIVERSITY, _DETAIL = "diversity.", "detail."
_COLUMNS = 4
_VARIETY = {
    "coverage": "coverage: near how many real images a sample lies",
    "vendi": "Vendi score: how many unlike samples",
    "pairwise": "mean distance between samples",
    "modes": "groups of alike images made",
    "classes": "classes made",
}
"""Signals that are 1 for real images and fall as a model collapses, in words."""
_COPYING = {
    "duplicates": "samples with a near double",
    "copied": "samples that copy a training image",
}
"""Signals that are 0 for real images and rise."""

Lines = Sequence[Mapping[str, Any]]


def draw_curves(path: Path, lines: Lines, title: str) -> Path | None:
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
    own = (_DIVERSITY, _DETAIL)
    names = [name for name in names if name not in _COUNTERS and not name.startswith(own)]
    if not names or not lines:
        return None
    detailed = any(_DETAIL + "finest" in line for line in lines)
    count = len(names) + detailed + 2 * _watched(lines)
    columns = min(_COLUMNS, count)
    rows = -(-count // columns)
    figure = new_figure(5 * columns, 3.6 * rows)
    figure.suptitle(title)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for panel, name in zip(panels, names, strict=False):
        _draw_panel(panel, lines, name)
    if detailed:
        _draw_detail(panels[len(names)], lines)
    if _watched(lines):
        _draw_watch(panels[len(names) + detailed : count], lines)
    for panel in panels[count:]:
        panel.set_visible(False)
    return save_figure(figure, path)


def draw_diversity(path: Path, lines: Lines) -> Path | None:
    """Write a PNG of what the collapse watch saw, beside what real images score.

    Args:
        path: the picture.
        lines: records of ``history.jsonl``.

    Returns:
        The path, or None where nothing was watched.

    Raises:
        StorageError, CannotCreateError: it cannot be written.
    """
    if not _watched(lines):
        return None
    figure = new_figure(12, 4.2)
    _draw_watch(figure.subplots(1, 2), lines)
    return save_figure(figure, path)


def _watched(lines: Lines) -> bool:
    return any(key.startswith(_DIVERSITY) for line in lines for key in line)


def _draw_panel(panel: Any, lines: Lines, name: str) -> None:
    for key, label in ((name, "training"), (f"validation_{name}", "held out")):
        points = [(line["images"], line[key]) for line in lines if key in line]
        if points:
            panel.plot(*zip(*points, strict=True), marker="o" if len(points) < 20 else "", ms=3,
                       label=label)  # fmt: skip
    values = [line[key] for line in lines for key in (name, f"validation_{name}") if key in line]
    if min(values) > 0 and max(values) > 20 * min(values):
        panel.set_yscale("log")
    _finish(panel, name)


def _draw_detail(panel: Any, lines: Lines) -> None:
    """Energy of the finest octave with its interval, on a logarithmic axis."""
    from matplotlib.ticker import LogFormatter

    kept = [line for line in lines if line.get(_DETAIL + "finest", 0) > 0]
    at = [line["images"] for line in kept]
    value, low, high = (
        [line[_DETAIL + name] for line in kept] for name in ("finest", "low", "high")
    )
    panel.plot(at, value, marker="o", ms=3, label="with its 95% interval")
    panel.fill_between(at, low, high, alpha=0.2)
    panel.axhline(1, color="black", ls="--", lw=1, label="held-out images")
    panel.set_yscale("log")
    panel.yaxis.set_major_formatter(LogFormatter())
    panel.yaxis.set_minor_formatter(LogFormatter())
    _finish(panel, "finest detail, as a share of real images'")


def _draw_watch(panels: Sequence[Any], lines: Lines) -> None:
    """Signals of the collapse watch, and where training went back."""
    _draw_signals(panels[0], lines, _VARIETY)
    panels[0].axhline(1, color="black", ls="--", lw=1, label="real images")
    panels[0].set_ylim(0, 1.3)
    _finish(panels[0], "diversity of samples, as a share of real images'")
    _draw_signals(panels[1], lines, _COPYING)
    panels[1].axhline(0, color="black", ls="--", lw=1, label="real images")
    panels[1].set_ylim(-0.05, 1.05)
    _finish(panels[1], "repetition, as a share of samples")


def _draw_signals(panel: Any, lines: Lines, signals: Mapping[str, str]) -> None:
    for name, words in signals.items():
        points = [
            (line["images"], line[key]) for line in lines if (key := _DIVERSITY + name) in line
        ]
        if points:
            panel.plot(*zip(*points, strict=True), marker="o", ms=3, label=words)
    for at, line in enumerate(line for line in lines if "event" in line):
        label = {"label": "went back"} if at == 0 else {}
        panel.axvline(line["images"], color="red", lw=1.5, alpha=0.6, **label)


def _finish(panel: Any, title: str) -> None:
    panel.set_title(title, fontsize="medium")
    panel.set_xlabel("images seen")
    panel.grid(alpha=0.3)
    panel.legend(loc="upper right", frameon=False, fontsize="x-small")
