"""Pictures of a detection: the worst images with their heat, and curves."""

import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.detection.results import Detection
from mezzotint.detection.scoring import Maps
from mezzotint.figures import new_figure, save_figure
from mezzotint.images import save_image
from mezzotint.metrics.detecting import precision_recall

WORST, COLUMNS, OVERLAYS = 24, 6, 100
MOST_SHOWN, SAMPLED = 1024, 100_000  # pixels a side; values of a map that set the range of heat
NAME_SHOWN = 24
STRONGEST = 0.6  # opacity of the hottest place
Pixels = NDArray[np.uint8]


def overlays(pixels: Pixels, maps: NDArray[np.float32], low: float, high: float) -> Pixels:
    """Heat maps over images: nothing at ``low`` and below, deep red at ``high`` and above.

    Args:
        pixels: uint8 (n, H, W, C).
        maps: (n, H, W).
        low, high: range of the heat.

    Returns:
        uint8 (n, H, W, 3).
    """
    from matplotlib import colormaps

    heat = np.clip((maps - low) / max(high - low, 1e-9), 0, 1)
    colours = np.asarray(colormaps["inferno"](heat))[..., :3] * 255
    shown = pixels[..., :3] if pixels.shape[3] > 1 else pixels.repeat(3, axis=3)
    opacity = STRONGEST * np.sqrt(heat)[..., None]
    return np.asarray(np.round((1 - opacity) * shown + opacity * colours), dtype=np.uint8)


def heat_range(maps: Maps) -> tuple[float, float]:
    """From the usual to the hottest: the median and the 99.9th percentile of all pixels."""
    some = maps if isinstance(maps, np.ndarray) else [_sampled(one) for one in maps]
    values = some if isinstance(some, np.ndarray) else np.concatenate(some)
    low, high = np.quantile(values, [0.5, 0.999])
    return float(low), float(high)


def _sampled(heat: NDArray[np.float16]) -> NDArray[np.float32]:
    step = max(1, heat.size // SAMPLED)
    return np.asarray(heat).ravel()[::step].astype(np.float32)


def shrunk(pixels: Pixels, heat: NDArray[Any]) -> tuple[Pixels, NDArray[np.float32]]:
    """A large picture (H, W, C) and its map for people to look at: 1,024 pixels a side at most.

    The picture is thinned; of the map the hottest of each cell is kept, so that no spot is lost.
    """
    step = -(-max(heat.shape) // MOST_SHOWN)
    if step == 1:
        return pixels, heat.astype(np.float32)
    height, width = (side // step for side in heat.shape)
    cells = np.asarray(heat[: height * step, : width * step]).reshape(height, step, width, step)
    return pixels[::step, ::step][:height, :width], cells.max((1, 3)).astype(np.float32)


def draw(found: Detection, pixels: Callable[[int], Pixels], folder: Path) -> tuple[Path, ...]:
    """Write ``worst.png``, ``overlays/`` and, where folders tell good from bad, ``curves.png``.

    Args:
        found: the detection.
        pixels: position -> the image, uint8 (H, W, C).
        folder: where they go.

    Raises:
        StorageError, CannotCreateError: a picture cannot be written.
    """
    rows = found.worst(OVERLAYS)
    heats = None if found.maps is None else heat_range(found.maps)
    shown: list[tuple[Pixels, Pixels | None]] = []
    for rank, at in enumerate(rows):
        if heats is None or found.maps is None:
            shown.append((pixels(at), None))
            continue
        plain, heat = shrunk(pixels(at), found.maps[at])
        heated = overlays(plain[None], heat[None], *heats)[0]
        save_image(folder / "overlays" / f"{rank:03d}.png", heated)
        shown += [(plain, heated)] if rank < WORST else []
    written = [_draw_worst(found, rows[:WORST], shown[:WORST], folder / "worst.png")]
    if found.bad is not None and 0 < found.bad.sum() < len(found.bad):
        written.append(_draw_curves(found, folder / "curves.png"))
    return tuple(written)


def _draw_worst(
    found: Detection, rows: Sequence[int], shown: list[tuple[Pixels, Pixels | None]], path: Path
) -> Path:
    """The worst images, each beside itself under its heat, with name and p-value."""
    columns = min(COLUMNS, len(rows))
    lines = -(-len(rows) // columns)
    figure = new_figure(2.5 * columns, 1.75 * lines + 0.5)
    axes = np.atleast_1d(figure.subplots(lines, columns)).ravel()
    for axis in axes:
        axis.set_axis_off()
    for axis, at, (pixels, heated) in zip(axes, rows, shown, strict=False):
        plain = pixels[..., :3] if pixels.shape[2] > 1 else pixels.repeat(3, 2)
        axis.imshow(plain if heated is None else np.concatenate([plain, heated], 1))
        _title(axis, found, at)
    figure.suptitle(f"worst of {len(found.names):,}, {found.promise.partition(',')[0]}", size=9)
    with warnings.catch_warnings():  # a letter the font lacks is a box here; scores.csv has it
        warnings.filterwarnings("ignore", message="Glyph")
        return save_figure(figure, path)


def _title(axis: Any, found: Detection, at: int) -> None:
    name = found.names[at]
    short = name if len(name) <= NAME_SHOWN else "…" + name[1 - NAME_SHOWN :]
    flagged = found.flagged is not None and bool(found.flagged[at])
    colour = "tab:red" if flagged else "black"
    told = f"{short}\np = {found.p_values[at]:.3g}"
    axis.set_title(told, size=7, color=colour, parse_math=False)


def _draw_curves(found: Detection, path: Path) -> Path:
    """Precision against recall, and the scores of good and bad images with the threshold."""
    bad = np.asarray(found.bad)
    figure = new_figure(9, 3.6)
    left, right = figure.subplots(1, 2)
    curve = precision_recall(found.scores, bad)
    left.step(curve.recall, curve.precision, where="post")
    left.set(xlabel="recall", ylabel="precision", xlim=(0, 1.02), ylim=(0, 1.02))
    left.set_title(f"average precision {found.measures['average_precision']:.3f}")
    bins = np.histogram_bin_edges(found.scores, 40)
    for marks, name in ((~bad, "good"), (bad, "bad")):
        right.hist(found.scores[marks], bins, alpha=0.6, label=f"{name} ({int(marks.sum()):,})")
    if found.threshold is not None:
        right.axvline(found.threshold, color="black", lw=1, label=f"threshold at {found.rate:g}")
    right.set(xlabel="score", ylabel="images")
    right.set_title(f"AUROC {found.measures['auroc']:.3f}")
    right.legend(loc="upper right", fontsize=8)
    return save_figure(figure, path)
