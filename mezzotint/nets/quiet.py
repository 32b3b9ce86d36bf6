"""Other libraries' progress bars and advice, silenced for a while: ours is what a user looks at."""

from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quietly() -> Iterator[None]:
    """Let transformers open and write models without a bar and say errors alone.

    Afterwards it is as it was.

    Raises:
        ImportError: ``transformers`` is not installed.
    """
    from transformers.utils import logging

    shown, level = logging.is_progress_bar_enabled(), logging.get_verbosity()
    logging.disable_progress_bar()
    logging.set_verbosity_error()
    try:
        yield
    finally:
        logging.set_verbosity(level)
        if shown:
            logging.enable_progress_bar()
