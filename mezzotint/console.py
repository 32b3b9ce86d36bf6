"""The terminal's side of a command: its words in, its errors out."""

import io
import sys
from collections.abc import Sequence

from mezzotint.errors import MezzotintError
from mezzotint.storage.readers import printable

INTERNAL = 70


def fail(error: MezzotintError, command: str) -> int:
    """Print what, where and what to do, whatever of it the error knows itself."""
    error.where = error.where or f"mezzotint {command}"
    error.fix = error.fix or f"'mezzotint {command} --help' says what it takes"
    lines = [printable(part) for line in error.lines() for part in line.splitlines()]
    print("error: " + "\n".join(lines), file=sys.stderr)
    return error.exit_code


def bug(error: Exception) -> MezzotintError:
    """An error nobody foresaw, as one that says what to do."""
    found = MezzotintError(
        f"unexpected {type(error).__name__}: {error}",
        fix="this is a bug; run again with --debug and report what it prints",
    )
    found.exit_code, found.code = INTERNAL, "MZ-BUG"
    return found


def print_anything() -> None:
    """Let names that the terminal's encoding lacks be spelt out instead of ending the command."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace")


def spread_assignments(words: Sequence[str]) -> list[str]:
    """``--set a=1 b=2`` as ``--set a=1 --set b=2``."""
    spread: list[str] = []
    after_set = False
    for word in words:
        is_pair = "=" in word and not word.startswith("-")
        if after_set and is_pair and spread[-1] != "--set":
            spread.append("--set")
        after_set = word == "--set" or (after_set and is_pair)
        spread.append(word)
    return spread
