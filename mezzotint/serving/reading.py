"""What runs have written so far; only what is new is read again."""

import contextlib
import json
import math
import os
import re
import stat
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, BinaryIO

MOST_POINTS = 800
MOST_EVENTS = 50
MOST_LINE = 1 << 16
PICTURE = re.compile(r"(samples|reconstructions)-([0-9]{1,15})\.png")
NO_CURVE = ("images", "step", "progress", "seconds", "event")


@dataclass
class Curve:
    """A history that stays small: neighbouring lines become their mean when there are too many.

    Attributes:
        rows: of numbers, each a mean over ``stride`` lines.
        last: the newest line as it was written.
        events: the newest roll-backs, oldest first.
    """

    rows: list[dict[str, float]] = field(default_factory=list)
    last: dict[str, Any] = field(default_factory=dict)
    events: list[dict[str, Any]] = field(default_factory=list)
    stride: int = 1
    _part: list[dict[str, float]] = field(default_factory=list)

    def add(self, line: Mapping[str, Any]) -> None:
        """Take one more line."""
        numbers = {key: float(value) for key, value in line.items() if _is_number(value)}
        self._part.append(numbers)
        self.last = dict(line)
        if isinstance(line.get("event"), dict):
            self.events = [*self.events, {**line["event"], "images": line.get("images", 0)}]
            self.events = self.events[-MOST_EVENTS:]
        if len(self._part) >= self.stride:
            self.rows.append(_mean(self._part))
            self._part = []
        if len(self.rows) >= 2 * MOST_POINTS:
            self.rows = [_mean(self.rows[at : at + 2]) for at in range(0, len(self.rows), 2)]
            self.stride *= 2

    def columns(self) -> dict[str, list[float | None]]:
        """Name -> its numbers; ``images`` says where they stand, None where one is missing."""
        rows = [*self.rows, _mean(self._part)] if self._part else self.rows
        names = dict.fromkeys(name for row in rows for name in row)
        kept = [name for name in names if name not in NO_CURVE or name == "images"]
        return {name: [rounded(row.get(name)) for row in rows] for name in kept}


@dataclass
class _Source:
    """A file that is read as it grows."""

    mark: tuple[int, int] = (0, 0)
    offset: int = 0
    curve: Curve = field(default_factory=Curve)


class Histories:
    """The histories of many runs, kept as curves and read on where they have grown."""

    def __init__(self) -> None:
        self._sources: dict[Path, _Source] = {}
        self._lock = threading.Lock()

    def curve(self, path: Path) -> Curve:
        """What ``history.jsonl`` at a path says by now; an empty curve where there is none."""
        with self._lock:
            source = self._sources.setdefault(path, _Source())
            try:
                with plain(path) as file:
                    found = os.fstat(file.fileno())
                    mark = (found.st_dev, found.st_ino)
                    if mark != source.mark or found.st_size < source.offset:
                        source = self._sources[path] = _Source(mark)  # a roll-back wrote it anew
                    if found.st_size > source.offset:
                        file.seek(source.offset)
                        _read_on(source, file.read())
            except OSError:
                self._sources[path] = _Source()
            return self._sources[path].curve


def _read_on(source: _Source, data: bytes) -> None:
    """Take the whole lines of what was appended; a torn one waits for its end."""
    whole, newline, _ = data.rpartition(b"\n")
    source.offset += len(whole) + len(newline)
    for text in whole.split(b"\n"):
        with contextlib.suppress(ValueError, RecursionError):
            line = json.loads(text) if len(text) <= MOST_LINE else None
            if isinstance(line, dict):
                source.curve.add(line)


def plain(path: Path) -> BinaryIO:
    """Open a file of a run; what lies behind a link is not the run's, and a pipe might never end.

    Raises:
        OSError: it is not there, or no plain file.
    """
    handle = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
    if not stat.S_ISREG(os.fstat(handle).st_mode):
        os.close(handle)
        raise FileNotFoundError(path)
    return os.fdopen(handle, "rb")


def pictures(folder: Path) -> dict[str, list[int]]:
    """Kind -> images seen at each of a run's pictures, in order; names of others do not count."""
    found: dict[str, list[int]] = {}
    if folder.is_symlink():
        return found
    with contextlib.suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            match = PICTURE.fullmatch(entry.name)
            if match and entry.is_file(follow_symlinks=False):
                found.setdefault(match[1], []).append(int(match[2]))
    return {kind: sorted(found[kind]) for kind in sorted(found, reverse=True)}


def picture_path(folder: Path, kind: str, images: int) -> Path | None:
    """The file of a picture that :func:`pictures` lists; None where there is none."""
    if images not in pictures(folder).get(kind, ()):
        return None
    path = folder / f"{kind}-{images:09d}.png"
    return path if path.is_file() and not path.is_symlink() else None


def rounded(value: float | None) -> float | None:
    """A number with six digits, which is what a picture can show."""
    return None if value is None or not math.isfinite(value) else float(f"{value:.6g}")


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _mean(rows: list[dict[str, float]]) -> dict[str, float]:
    if len(rows) == 1:
        return rows[0]
    names = dict.fromkeys(name for row in rows for name in row)
    means = {}
    for name in names:
        values = [row[name] for row in rows if name in row]
        means[name] = values[-1] if name == "images" else sum(values) / len(values)
    return means
