"""The latents of a set as maps and pictures."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from mezzotint.data.dataset import Images
from mezzotint.families.base import Family
from mezzotint.figures import new_figure, save_figure
from mezzotint.inspection.findings import Findings
from mezzotint.inspection.latents import Latents, Numbers, look
from mezzotint.inspection.projecting import FEWEST, Map, project
from mezzotint.inspection.walking import draw_interpolation, draw_outliers, draw_traversals
from mezzotint.progress import Progress

POINTS = 5000  # by default: t-SNE takes twenty seconds of them
MOST_POINTS = 20_000
MOST_NAMED = 20  # classes in a picture's legend
LAST_DRAWABLE = 0x052F  # Latin, Greek, Cyrillic; the font has no more
DRAWERS: tuple[Callable[[Family, Latents, Path], Findings], ...] = (
    draw_traversals,
    draw_interpolation,
    draw_outliers,
)


def draw_latents(
    family: Family,
    images: Images,
    folder: Path,
    show: Progress,
    maps: Sequence[str] | None = None,
    points: int = POINTS,
) -> Findings:
    """Maps of the latents, walks through them, and the images that lie far out.

    Args:
        family: encodes.
        images: held-out images.
        folder: where the pictures go.
        show: where progress goes.
        maps: of ``projecting.WAYS``; None: all that are installed.
        points: images at the most.
    """
    if len(images) < FEWEST:
        why = f"{len(images)} images, and a map needs {FEWEST}"
        return Findings(numbers={"latents": {"left_out": {"maps": why}}})
    found = look(family, images, points, show)
    made, left_out = project(found.vectors, maps, lambda name: show.update(0, 1, note=name))
    found = replace(found, maps=made, left_out=left_out)
    told = Findings(numbers={"latents": summary(found)}, latents=found)
    if made:
        told = told.joined(draw_maps(found, folder))
    for drawer in DRAWERS:
        told = told.joined(drawer(family, found, folder))
    return told


def summary(found: Latents) -> dict[str, Any]:
    """What was looked at, for a program."""
    return {
        "n": len(found.images),
        "of": found.of,
        "maps": {each.name: each.note for each in found.maps},
        "left_out": found.left_out,
    }


def draw_maps(found: Latents, folder: Path) -> Findings:
    """``latents.png``: a column a map; rows: class, reconstruction error, latent density."""
    labels = found.images.labels_of(range(len(found.images)))
    colours: dict[str, Numbers | None] = {
        "reconstruction error (MSE)": found.errors,
        "distance from the centre (density)": found.distances,
    }
    shown = [(title, values) for title, values in colours.items() if values is not None]
    figure = new_figure(4.6 * len(found.maps) + 1, 4.0 * (len(shown) + (labels is not None)))
    rows = len(shown) + (labels is not None)
    panels = figure.subplots(rows, len(found.maps), squeeze=False)
    if labels is not None:
        _by_class(panels[0], found, labels)
    for line, (title, values) in zip(panels[rows - len(shown) :], shown, strict=True):
        _by_value(figure, line, found.maps, title, values)
    return Findings((save_figure(figure, folder / "latents.png"),))


def _by_class(line: Any, found: Latents, labels: Any) -> None:
    present = [int(label) for label in np.unique(labels)]
    for panel, each in zip(line, found.maps, strict=True):
        for place, label in enumerate(present):
            name = drawable(found.images.classes[label]) if label >= 0 else "no class"
            _scatter(panel, each.points[labels == label], color=f"C{place % 10}", label=name)
        _title(panel, f"{each.title}, by class")
    if len(present) <= MOST_NAMED:
        legend = line[-1].legend(frameon=False, markerscale=3, fontsize=8, loc="center left",
                                 bbox_to_anchor=(1, 0.5))  # fmt: skip
        for text in legend.get_texts():
            text.set_parse_math(False)


def _by_value(figure: Any, line: Any, maps: Sequence[Map], title: str, values: Numbers) -> None:
    low, high = np.quantile(values, (0.02, 0.98))
    for panel, each in zip(line, maps, strict=True):
        drawn = _scatter(panel, each.points, c=values, vmin=low, vmax=high, cmap="viridis")
        _title(panel, f"{each.title}, by {title.partition(' (')[0]}")
    figure.colorbar(drawn, ax=line[-1], label=title, extend="both")


def _scatter(panel: Any, points: Numbers, **look: Any) -> Any:
    size = min(max(6000 / max(len(points), 1), 4), 20)
    return panel.scatter(points[:, 0], points[:, 1], s=size, linewidths=0, alpha=0.8, **look)


def _title(panel: Any, text: str) -> None:
    panel.set(xticks=[], yticks=[])
    panel.set_title(text, fontsize=10)


def drawable(name: str, most: int = 24) -> str:
    """A class name with what the font cannot draw as ``?``, and not too long."""
    text = "".join(c if c.isprintable() and ord(c) <= LAST_DRAWABLE else "?" for c in name)
    # matplotlib leaves labels that begin with an underscore out of the legend
    text = text if len(text) <= most else text[: most - 1] + "…"
    return f" {text}" if text.startswith("_") else text
