"""Python warnings held back while a library reads a foreign file, in any number of threads."""

import logging
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager

# Pillow logs errors of foreign files and installs no handler; without one they go to stderr.
logging.getLogger("PIL").addHandler(logging.NullHandler())

_lock = threading.Lock()
_held: "list[warnings.catch_warnings[None]]" = []
_depth = 0


def _enter() -> None:
    global _depth
    with _lock:
        if _depth == 0:
            catcher = warnings.catch_warnings()
            catcher.__enter__()
            warnings.simplefilter("ignore")
            _held.append(catcher)
        _depth += 1


def _leave() -> None:
    global _depth
    with _lock:
        _depth -= 1
        if _depth == 0:
            _held.pop().__exit__(None, None, None)


@contextmanager
def quiet() -> Iterator[None]:
    """Ignore every Python warning inside the block, whatever the process's filters say.

    ``warnings.catch_warnings`` swaps state of the whole process: when two threads leave it in the
    order they came, the second restores the filters of the first and warnings stay off for good.
    Counting the threads inside, and swapping at the first and the last only, keeps it right.
    """
    if getattr(sys.flags, "context_aware_warnings", False):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
        return
    _enter()
    try:
        yield
    finally:
        _leave()
