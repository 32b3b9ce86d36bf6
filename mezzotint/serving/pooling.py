"""Step-level batching: images of different requests share forward passes and leave when done.

Every image walks by itself, with its own levels, guidance and solver history, and asks for rows of
predictions. A pass takes the oldest rows that wait, whoever asks. Kernels may round otherwise in a
pass of another size, so only sizes found to round alike are used (:func:`alike`): an image is the
same bytes whoever shares its passes.
"""

from collections import deque
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch

from mezzotint.families.guiding import Seen
from mezzotint.families.walking import Look, Looking, looked
from mezzotint.stepping import Denoised, Step, together


class Moved(NamedTuple):
    """An image after a step: x_t and the x_0 predicted, (1, C, H, W); ``last``: it is done."""

    key: Any
    step: Step
    last: bool


class Failed(NamedTuple):
    """An image that cannot be made."""

    key: Any
    error: Exception


class _Walker:
    """One image on its way; holds back one step, to know the last one."""

    def __init__(self, key: Any, walk: Looking) -> None:
        self.key, self.walk = key, walk
        self.missing = 0
        self.answers: dict[int, Denoised] = {}
        self._step: Step | None = None

    def advance(self, reply: Denoised | None) -> Iterator[Moved | Look]:
        """The steps up to the next question, and that question unless it is the end."""
        while True:
            try:
                event = self.walk.send(reply)
            except StopIteration:
                if self._step is not None:
                    yield Moved(self.key, self._step, last=True)
                return
            if isinstance(event, Look):
                self.missing, self.answers = len(event.noisy), {}
                yield event
                return
            if self._step is not None:
                yield Moved(self.key, self._step, last=False)
            self._step, reply = event, None

    def take(self, at: int, row: Denoised) -> Denoised | None:
        """Keep one answer; all of them, in order, once there is none missing."""
        self.answers[at] = row
        if len(self.answers) < self.missing:
            return None
        return together([self.answers[index] for index in range(self.missing)])


class Pool:
    """Images of one model that are being made.

    Args:
        seen: the network, (noisy, levels, told) -> x_0.
        sizes: rows that a pass may have, ascending; the least that holds what waits is taken.
    """

    def __init__(self, seen: Seen, sizes: Sequence[int]) -> None:
        self._seen, self._sizes = seen, sizes
        self._walkers: dict[Any, _Walker] = {}
        self._waiting: deque[tuple[Any, int, Look]] = deque()

    def __len__(self) -> int:
        """Images at work."""
        return len(self._walkers)

    @property
    def rows(self) -> int:
        """Of the largest pass."""
        return self._sizes[-1]

    @property
    def waiting(self) -> int:
        """Rows that wait for a pass."""
        return len(self._waiting)

    @torch.inference_mode()
    def add(self, key: Any, walk: Looking) -> list[Moved | Failed]:
        """Let an image join; what it does before its first question."""
        self._walkers[key] = _Walker(key, walk)
        return self._advance(self._walkers[key], None)

    def remove(self, keys: set[Any]) -> None:
        """Let images leave unfinished."""
        for key in keys & self._walkers.keys():
            self._walkers.pop(key).walk.close()
        self._waiting = deque(item for item in self._waiting if item[0] not in keys)

    @torch.inference_mode()
    def turn(self) -> tuple[list[Moved | Failed], int]:
        """One forward pass: the images that moved, and how many rows it answered."""
        count = min(self.rows, len(self._waiting))
        part = [self._waiting.popleft() for _ in range(count)]
        size = next(size for size in self._sizes if size >= count)
        made = looked(self._seen, [look for _, _, look in part], size)
        moved: list[Moved | Failed] = []
        for (key, at, _), row in zip(part, made):
            walker = self._walkers[key]
            reply = walker.take(at, row)
            if reply is not None:
                moved += self._advance(walker, reply)
        return moved, count

    def _advance(self, walker: _Walker, reply: Denoised | None) -> list[Moved | Failed]:
        events: list[Moved | Look | Failed] = []
        try:
            events.extend(walker.advance(reply))
        except Exception as error:
            events = [Failed(walker.key, error)]
        looks = [event for event in events if isinstance(event, Look)]
        for look in looks:
            self._waiting.extend((walker.key, at, row) for at, row in enumerate(_single(look)))
        if not looks:
            del self._walkers[walker.key]
        return [event for event in events if not isinstance(event, Look)]


@torch.inference_mode()
def alike(seen: Seen, looks: Sequence[Look], sizes: Sequence[int]) -> tuple[int, ...]:
    """Those sizes of a pass that round as the largest does, to the last bit; it is one of them.

    Args:
        seen: the network, (noisy, levels, told) -> x_0.
        looks: of one row each, as many as the largest size.
        sizes: rows of a pass, ascending.
    """
    whole = together(looked(seen, looks, sizes[-1]))
    fitting = []
    for size in sizes[:-1]:
        parts = [looks[at : at + size] for at in range(0, len(looks), size)]
        found = together([row for part in parts for row in looked(seen, part, size)])
        fitting += [size] if torch.equal(found.clean, whole.clean) else []
    return (*fitting, sizes[-1])


def _single(look: Look) -> Iterator[Look]:
    """The rows of a question one by one."""
    for at in range(len(look.noisy)):
        told = None if look.told is None else look.told[at : at + 1]
        yield Look(look.noisy[at : at + 1], look.level, told)
