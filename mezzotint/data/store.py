"""From anything that holds images to a pack of uint8 pixels, built once and then mapped."""

import hashlib
import json
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.arrays import array_source, images_source
from mezzotint.data.building import build, none_left, write_pack
from mezzotint.data.cache import cache_home
from mezzotint.data.cutting import cut
from mezzotint.data.dataset import Images, Story
from mezzotint.data.entry import Skip, Source
from mezzotint.data.form import Limit, SizeLike, Wanted, settle, story, wanted
from mezzotint.data.opening import open_pack
from mezzotint.data.packs import is_pack
from mezzotint.data.sources import open_source, path_of
from mezzotint.data.survey import Look, Survey, load_survey, save_survey, summarise
from mezzotint.data.work import Recipe, in_parts, look
from mezzotint.errors import CannotCreateError, DataError, UsageError

FORMAT = 1
Data: TypeAlias = str | Path | NDArray[Any] | Images
Progress: TypeAlias = Callable[[int, int], None]


def load_images(
    data: Data,
    size: SizeLike | None = None,
    channels: int | None = None,
    fit: str = "crop",
    background: str = "white",
    cache: Path | None = None,
    progress: Progress | None = None,
    workers: int | None = None,
    limit: Limit | None = None,
    tile: int | None = None,
) -> Images:
    """Images of one size and number of channels, packed once and kept in the cache.

    Args:
        data: what ``open_source`` takes, an array of images, a pack, or images loaded before.
        size: 64, ``"80x64"`` (width x height) or (height, width), 8..1024; None lets the data
            decide: see :func:`mezzotint.data.form.natural_size`.
        channels: 1, 3 or 4; None means 1 when every image is stored without colour, else 3.
        fit: ``crop``, ``pad`` or ``stretch`` where the aspect differs.
        background: colour under transparency and in margins.
        cache: where packs are kept; the user's cache folder by default.
        progress: called with images done and images in all, from the start again for each pass:
            one to look at the files, one to decode them.
        workers: processes that decode; all processors by default.
        limit: the most pixels a side where no size is asked for, and why.
        tile: cut pictures into squares of this side instead of shrinking them to ``size``.

    Raises:
        MissingInputError: nothing is there under that name.
        DataError: nothing usable is in it, or a picture is smaller than a tile.
        UsageError: a setting does not make sense.
        StorageError, CannotCreateError: the pack cannot be written.
    """
    want = wanted(tile or size, channels, fit, background)
    home = cache if cache is not None else cache_home()
    ready = _ready(data)
    if ready is not None and _suits(ready, want):
        return ready
    source = _source(data, ready)
    whole = cut(source, tile) if tile else source
    return _packed(whole, want, home, progress, workers, limit)


def _packed(
    source: Source,
    want: Wanted,
    home: Path,
    progress: Progress | None,
    workers: int | None,
    limit: Limit | None,
) -> Images:
    """The pack of a source, from the cache or built into it."""
    survey = surveyed(source, home, progress, workers)
    recipe = settle(want, survey, limit)
    folder = home / "packs" / pack_key(survey.content, recipe)
    images = _opened(folder)
    if images is None:
        images = build(source, survey, recipe, folder, progress, workers)
    return _told(images, source, survey, story(want, recipe, survey, limit))


def pack(data: Data, out: Path, **settings: Any) -> Images:
    """Write a pack at a chosen place; ``load_images(out)`` opens it without the source.

    Args:
        data: what ``load_images`` takes.
        out: folder to create; a pack that is there is replaced.
        settings: those of ``load_images``.

    Raises:
        CannotCreateError: ``out`` exists and is not a pack, or cannot be written.
    """
    if out.exists() and not (is_pack(out) or (out.is_dir() and not any(out.iterdir()))):
        raise CannotCreateError("this exists and is not a pack", where=str(out))
    images = load_images(data, **settings)
    write_pack(images, out)
    return replace(open_pack(out), spec=str(out))


def pack_key(content: str, recipe: Recipe) -> str:
    """Name of a pack in the cache: a digest of content and settings, not of any path."""
    settings = json.dumps([FORMAT, content, asdict(recipe)], sort_keys=True)
    return hashlib.sha256(settings.encode()).hexdigest()[:32]


def surveyed(
    source: Source, home: Path, progress: Progress | None = None, workers: int | None = None
) -> Survey:
    """What is known of all images of a source, from the cache when its listing is unchanged.

    Raises:
        DataError: not one image can be used.
    """
    place = home / "stamps" / f"{source.stamp[:32]}.json"
    known = load_survey(place) if source.stamp else None
    if known is not None and known.covers(len(source.entries)):
        return known
    survey = _survey(source, progress, workers)
    if not survey.count:
        raise none_left(source, [reason for _, reason, _ in survey.dropped])
    if source.stamp and not any(reason == "unreadable" for _, reason, _ in survey.dropped):
        save_survey(place, survey)
    return survey


def _survey(source: Source, progress: Progress | None, workers: int | None) -> Survey:
    whole = getattr(source, "survey", None)
    if whole is not None:
        known: Survey = whole()
        return known
    looks: list[Look | Skip] = []
    for part in in_parts(look, source, range(len(source.entries)), workers=workers):
        looks += part
        if progress is not None:
            progress(len(looks), len(source.entries))
    return summarise(source.entries, looks, getattr(source, "classes", ()))


def _ready(data: Data) -> Images | None:
    """Images that are packed already."""
    if isinstance(data, Images):
        return data
    path = path_of(data) if isinstance(data, str | Path) else None
    if path is not None and is_pack(path):
        return replace(open_pack(path), spec=str(data))
    return None


def _suits(images: Images, want: Wanted) -> bool:
    return want.size in (None, images.size) and want.channels in (None, images.channels)


def _source(data: Data, ready: Images | None) -> Source:
    if ready is not None:
        return images_source(ready)
    if isinstance(data, str | Path):
        return open_source(data)
    if isinstance(data, np.ndarray):
        return array_source(data)
    raise UsageError(
        f"images cannot be loaded from {type(data).__name__}",
        fix="give a name, a path, a numpy array or images loaded before",
    )


def _opened(folder: Path) -> Images | None:
    try:
        return open_pack(folder)
    except DataError:
        return None


def _told(images: Images, source: Source, survey: Survey, why: Story) -> Images:
    """The pack with what belongs to this source rather than to its content."""
    dropped = [
        Skip(source.entries[at].name, reason, detail) for at, reason, detail in survey.dropped
    ]
    skipped = (*source.skipped, *dropped, *images.skipped)
    warnings = (*why.warnings, *images.story.warnings)
    told = replace(why, warnings=warnings)
    return replace(images, spec=source.spec, skipped=skipped, story=told)
