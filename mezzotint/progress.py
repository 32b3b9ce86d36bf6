"""Progress for people: a bar with the time left; without a terminal, a line per ten seconds."""

import sys
import time
from collections.abc import Callable, Iterable, Iterator
from types import TracebackType
from typing import Any, Protocol, Self, TypeVar

PLAIN_SECONDS = 10.0
Item = TypeVar("Item")


def counted(
    items: Iterable[Item], watch: Callable[[int, int], None], done: int, total: int
) -> Iterator[Item]:
    """The items, each reported as one more than ``done`` of ``total`` before it is passed on."""
    for at, item in enumerate(items, done + 1):
        watch(at, total)
        yield item


class Progress(Protocol):
    """Where a long piece of work reports how far it is."""

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        """``done`` of ``total``, with a short note and the time that is left, if known."""
        ...

    def say(self, text: str) -> None:
        """One line that stays."""
        ...


class Silent:
    """Reports nothing."""

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        """Ignore."""

    def say(self, text: str) -> None:
        """Ignore."""


class Terminal:
    """Reports to standard error; use as a context manager.

    Args:
        title: what is going on, in a word or two.
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._bar: Any = None
        self._task: Any = None
        self._last = 0.0
        self._started = time.monotonic()

    def __enter__(self) -> Self:
        if sys.stderr.isatty():
            self._bar = _rich_bar()
            self._task = self._bar.add_task(self.title, total=1.0, note="", left="")
            self._bar.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def update(self, done: float, total: float, note: str = "", seconds_left: float = 0) -> None:
        """Draw the bar, or print a line when ten seconds have passed since the last."""
        share = min(1.0, done / max(total, 1e-9))
        left = seconds_left or self._guess(share)
        if self._bar is not None:
            self._bar.update(self._task, completed=share, note=note, left=f"{clock(left)} left")
        elif time.monotonic() - self._last >= PLAIN_SECONDS:
            self._last = time.monotonic()
            self.say(f"{self.title}: {share:4.0%}  {clock(left)} left  {note}".rstrip())

    def _guess(self, share: float) -> float:
        spent = time.monotonic() - self._started
        return spent * (1 - share) / share if share > 0 else 0.0

    def say(self, text: str) -> None:
        """Print one line above the bar."""
        if self._bar is not None:
            self._bar.console.print(text, markup=False, highlight=False)
        else:
            print(text, file=sys.stderr, flush=True)


def _rich_bar() -> Any:
    from rich.console import Console
    from rich.progress import BarColumn, TaskProgressColumn, TextColumn
    from rich.progress import Progress as Bar

    columns = ("{task.description}", "{task.fields[left]}", "{task.fields[note]}")
    title, left, note = (TextColumn(text) for text in columns)
    return Bar(title, BarColumn(), TaskProgressColumn(), left, note, console=Console(stderr=True))


def clock(seconds: float) -> str:
    """``75`` as ``1:15``, ``3700`` as ``1:01:40``."""
    minutes, rest = divmod(max(0, round(seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
