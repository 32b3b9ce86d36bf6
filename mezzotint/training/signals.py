"""Ctrl-C and SIGTERM as a question the work can ask between two steps."""

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from types import FrameType

ECHO_SECONDS = 0.3


class StopRequest:
    """Becomes true at the first signal; the second one ends the work at once.

    A Ctrl-C reaches a process under ``torchrun`` twice within milliseconds, from the terminal and
    from the launcher; such an echo counts as one.
    """

    def __init__(self) -> None:
        self.signal_number: int | None = None
        self._came = 0.0

    def __bool__(self) -> bool:
        return self.signal_number is not None

    def receive(self, number: int, frame: FrameType | None) -> None:
        """Signal handler."""
        if self.signal_number is None:
            self.signal_number, self._came = number, time.monotonic()
        elif time.monotonic() - self._came > ECHO_SECONDS:
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def listening(self) -> Iterator["StopRequest"]:
        """Take SIGINT and SIGTERM over for the block; does nothing outside the main thread."""
        if threading.current_thread() is not threading.main_thread():
            yield self
            return
        numbers = (signal.SIGINT, signal.SIGTERM)
        before = {number: signal.signal(number, self.receive) for number in numbers}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
