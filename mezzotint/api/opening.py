"""What the calls share: opening models and images, counting for people."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from mezzotint.data.dataset import Images
from mezzotint.data.form import Limit
from mezzotint.data.store import load_images
from mezzotint.errors import UsageError
from mezzotint.families.base import Family
from mezzotint.progress import Progress
from mezzotint.runs.loading import load_model

Data = str | Path | Images


def counter(show: Progress, noun: str) -> Callable[[int, int], None]:
    """A function of done and total that reports them with what is counted."""

    def report(done: int, total: int) -> None:
        show.update(done, total, note=f"{noun} {done:,} of {total:,}")

    return report


def open_model(model: str | Path | Family) -> Family:
    """A model as it is, or the one of a run or model folder."""
    return model if isinstance(model, Family) else load_model(model)


def open_images(
    data: Data,
    size: tuple[int, int] | None,
    channels: int | None,
    show: Progress,
    limit: Limit | None = None,
    tile: int | None = None,
) -> Images:
    """Load images, or check that loaded ones have the model's shape.

    Where neither the model nor the user has a size, ``limit`` is the most to take; ``tile`` is that
    of :func:`mezzotint.data.store.load_images`.
    """
    if not isinstance(data, Images):
        count = counter(show, "reading image")
        kept = {"size": size, "channels": channels, "limit": limit, "tile": tile}
        return load_images(data, progress=count, **kept)  # type: ignore[arg-type]
    fits = size in (None, data.size) and channels in (None, data.channels)
    if not fits:
        raise UsageError(
            f"the images are {data.size} with {data.channels} channels, "
            f"the model wants {size or data.size} with {channels or data.channels}",
            fix="load_images(path, size=..., channels=...)",
        )
    return data


def unseen(images: Images) -> Images:
    """The held-out side of a set, or all of it where there is none."""
    return images.held_out if len(images.held_out) else images


def trained_on(images: Images) -> Images:
    """The training side of the whole pack that images come from."""
    return replace(images, rows=images.train_rows)
