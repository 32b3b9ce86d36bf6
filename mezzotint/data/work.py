"""What is done to each image, in this process or in others: look at it, bring it to size."""

import hashlib
import os
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import BrokenExecutor
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np
from PIL import Image

from mezzotint.alpha import RGBA, cleared
from mezzotint.data.dataset import Pixels
from mezzotint.data.entry import Entry, Skip, Source
from mezzotint.data.survey import Look
from mezzotint.imaging.colour import Channels, Colour, flatten
from mezzotint.imaging.decode import Unreadable, decode, fit, probe
from mezzotint.imaging.resize import How

PART = 64
TRIAL = 0.5  # seconds of work after which the time left is judged
POOL_PAYS = 4.0  # seconds left that are worth starting processes for
MOST_WORKERS = 16

Result = TypeVar("Result")


@dataclass(frozen=True)
class Recipe:
    """How every image is brought to one form.

    Attributes:
        size: height and width in pixels.
        channels: 1, 3 or 4.
        fit: crop, pad or stretch.
        background: what transparency is laid on, and the colour of margins.
    """

    size: tuple[int, int]
    channels: Channels
    fit: How
    background: Colour


@dataclass(frozen=True)
class Drawn:
    """One part of a source, decoded.

    Attributes:
        pixels: (k, H, W, C) uint8.
        kept: which images they are.
        digests: SHA-256 of the pixels of each.
        skipped: the others, with the reason.
    """

    pixels: Pixels
    kept: list[Entry]
    digests: list[bytes]
    skipped: list[Skip]


def look(source: Source) -> list[Look | Skip]:
    """The header and digest of each image of a (part of a) source."""
    return [_look(source, at) for at in range(len(source.entries))]


def _look(source: Source, at: int) -> Look | Skip:
    entry = source.entries[at]
    try:
        content = source.read(at)
        if isinstance(content, np.ndarray):
            return _look_at_array(content)
        info = probe(content, entry.name)
    except (OSError, Unreadable) as error:
        return refused(entry, error)
    digest = hashlib.sha256(content).hexdigest()
    return Look(digest, (info.height, info.width), info.grey, info.has_alpha)


def _look_at_array(pixels: np.ndarray) -> Look:
    height, width, channels = pixels.shape
    total = hashlib.sha256(repr(pixels.shape).encode() + np.ascontiguousarray(pixels).tobytes())
    return Look(total.hexdigest(), (height, width), channels == 1, channels == 4)


def refused(entry: Entry, error: OSError | Unreadable) -> Skip:
    """The skip of an image that could not be read or decoded."""
    if isinstance(error, Unreadable):
        return Skip(entry.name, error.reason, error.detail)
    return Skip(entry.name, "unreadable", error.strerror or str(error))


def draw(source: Source, recipe: Recipe) -> Drawn:
    """Decode each image of a (part of a) source and bring it to the form of ``recipe``."""
    count = len(source.entries)
    pixels = np.empty((count, *recipe.size, recipe.channels), dtype=np.uint8)
    kept: list[Entry] = []
    skipped: list[Skip] = []
    for at in range(count):
        try:
            pixels[len(kept)] = draw_one(source, at, recipe)
            kept.append(source.entries[at])
        except (OSError, Unreadable) as error:
            skipped.append(refused(source.entries[at], error))
    done = pixels[: len(kept)]
    return Drawn(done, kept, [hashlib.sha256(image).digest() for image in done], skipped)


def draw_one(source: Source, at: int, recipe: Recipe) -> Pixels:
    """One image in the form of ``recipe``.

    Raises:
        OSError: it cannot be read.
        Unreadable: it cannot be decoded.
    """
    content = source.read(at)
    if isinstance(content, np.ndarray):
        image = recolour(content, recipe.channels, recipe.background)
    else:
        name, colour = source.entries[at].name, recipe.background
        image = decode(content, name, recipe.channels, colour, at_least=recipe.size)
    fitted = fit(image, recipe.size, recipe.fit, recipe.background)
    return cleared(fitted) if recipe.channels == RGBA else fitted


def recolour(pixels: Pixels, channels: Channels, background: Colour) -> Pixels:
    """uint8 (H, W, C) pixels with another number of channels."""
    if pixels.shape[2] == channels:
        return pixels
    flat = pixels[..., 0] if pixels.shape[2] == 1 else pixels
    image = flatten(Image.fromarray(np.ascontiguousarray(flat)), 8, channels, background)
    return np.array(image).reshape(*pixels.shape[:2], channels)


def in_parts(
    task: Callable[..., Result],
    source: Source,
    rows: Sequence[int],
    *settings: Any,
    workers: int | None = None,
    most: int = 1 << 20,
) -> Iterator[Result]:
    """``task(part, *settings)`` for the images at ``rows`` of a source, in parts and in order.

    When the first parts show that the rest will take long, other processes do it. These start
    fresh and do not import the user's script again, so that it needs no ``__main__`` guard.
    A part holds 64 images, or ``most`` when that is less.
    """
    job = Job(task, source, rows, settings, min(PART, most))
    workers = workers or min(os.cpu_count() or 1, MOST_WORKERS)
    alone = workers < 2 or not getattr(source, "parallel", False)
    begun = time.monotonic()
    for at in range(len(job)):
        yield job.run(at)
        done, spent = at + 1, time.monotonic() - begun
        if not alone and spent > TRIAL and spent / done * (len(job) - done) > POOL_PAYS:
            yield from _spread(job, done, workers)
            return


@dataclass(frozen=True)
class Job(Generic[Result]):
    """One task on many parts of a source."""

    task: Callable[..., Result]
    source: Source
    rows: Sequence[int]
    settings: Sequence[Any]
    step: int

    def __len__(self) -> int:
        return -(-len(self.rows) // self.step)

    def part(self, at: int) -> Source:
        """Part ``at`` of the source."""
        return part_of(self.source, self.rows[at * self.step : (at + 1) * self.step])

    def run(self, at: int) -> Result:
        """The result of part ``at``, in this process."""
        return self.task(self.part(at), *self.settings)


def _spread(job: Job[Result], start: int, workers: int) -> Iterator[Result]:
    """Parts from ``start`` on in other processes, or here when these cannot live."""
    done = start
    try:
        for result in _pooled(job, start, workers):
            yield result
            done += 1
    except (BrokenExecutor, OSError, ImportError):
        for at in range(done, len(job)):
            yield job.run(at)


def _pooled(job: Job[Result], start: int, workers: int) -> Iterator[Result]:
    """Results in order; no more parts are under way than keeps every process busy."""
    from joblib.externals.loky import ProcessPoolExecutor  # type: ignore[import-untyped]

    pool = ProcessPoolExecutor(max_workers=workers)
    waiting: deque[Any] = deque()
    try:
        for at in range(start, len(job)):
            waiting.append(pool.submit(job.task, job.part(at), *job.settings))
            if len(waiting) > 2 * workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(wait=True, kill_workers=bool(waiting))


@dataclass(eq=False)
class Part:
    """Some images of a source that has no way of its own to be divided."""

    whole: Source
    rows: Sequence[int]
    spec: str
    entries: Sequence[Entry]
    skipped: Sequence[Skip] = ()
    stamp: str = ""

    def read(self, index: int) -> bytes | np.ndarray:
        """Content of one image, as the whole source reads it."""
        return self.whole.read(self.rows[index])


def part_of(source: Source, rows: Sequence[int]) -> Source:
    """The images at ``rows`` alone, small enough to send to another process where that pays."""
    divide = getattr(source, "part", None)
    if divide is not None:
        part: Source = divide(rows)
        return part
    return Part(source, rows, source.spec, [source.entries[row] for row in rows])
