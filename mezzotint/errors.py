"""Errors a user can act on: what happened, where, and what to do, with a stable exit code.

Exit codes follow BSD sysexits where one fits: 1 failed, 2 usage, 65 bad data, 66 input missing,
73 cannot create, 74 input/output, 75 busy, 77 refused for safety, 78 bad configuration.
"""

import difflib
from collections.abc import Iterable


class MezzotintError(Exception):
    """Base of every error meant for the user; ``exit_code`` is the process's status.

    Args:
        what: what went wrong, one sentence without a full stop.
        where: the file, option or step it happened at; empty when there is no such place.
        fix: what the user can do about it.
    """

    exit_code = 1
    code = "MZ-FAILED"

    def __init__(self, what: str, where: str = "", fix: str = "") -> None:
        self.what, self.where, self.fix = what, where, fix
        super().__init__("\n".join(line for line in self.lines() if line))

    def lines(self) -> list[str]:
        """The message as what / where / what to do; empty parts are left out."""
        parts = [f"{self.what} [{self.code}]"]
        if self.where:
            parts.append(f"  where: {self.where}")
        if self.fix:
            parts.append(f"  to do: {self.fix}")
        return parts


class UsageError(MezzotintError):
    """The command or call itself does not make sense."""

    exit_code, code = 2, "MZ-USAGE"


class DataError(MezzotintError):
    """The input exists and its content cannot be used."""

    exit_code, code = 65, "MZ-DATA"


class MissingInputError(MezzotintError):
    """A file, folder, data set or run that was named is not there."""

    exit_code, code = 66, "MZ-MISSING"


class MissingExtraError(MezzotintError):
    """An optional dependency is not installed; ``fix`` holds the pip line."""

    exit_code, code = 66, "MZ-EXTRA"

    def __init__(self, package: str, extra: str) -> None:
        super().__init__(
            f"this needs the package '{package}', which is not installed",
            fix=f'pip install "mezzotint[{extra}]"',
        )


class CannotCreateError(MezzotintError):
    """An output file or folder cannot be created."""

    exit_code, code = 73, "MZ-CREATE"


class StorageError(MezzotintError):
    """Reading or writing failed: disk full, quota, permissions."""

    exit_code, code = 74, "MZ-IO"


class BusyError(MezzotintError):
    """Another process holds the run."""

    exit_code, code = 75, "MZ-BUSY"


class RefusedError(MezzotintError):
    """The input was refused for safety before it was decoded or loaded."""

    exit_code, code = 77, "MZ-REFUSED"


class ConfigError(MezzotintError):
    """An option or configuration file is wrong."""

    exit_code, code = 78, "MZ-CONFIG"


class TrainingError(MezzotintError):
    """Training cannot go on, for example because the loss stays non-finite."""

    exit_code, code = 1, "MZ-TRAIN"


class NonFiniteError(TrainingError):
    """A loss or weight is NaN, infinite or far too large; ``rows`` are that step's images."""

    code = "MZ-NONFINITE"

    def __init__(self, what: str, images: int, rows: Iterable[int]) -> None:
        super().__init__(what, where=f"after {images} images")
        self.rows = rows


class CollapseError(TrainingError):
    """A generator's samples have lost their variety, as the collapse watch sees it."""

    code = "MZ-COLLAPSE"


class Stopped(MezzotintError):  # noqa: N818 - an outcome, not a mistake
    """A signal ended the work after everything was saved; exit code 130 or 143."""

    code = "MZ-STOPPED"

    def __init__(self, signal_number: int, where: str) -> None:
        super().__init__("stopped; everything up to here is saved", where, "run the same command")
        self.exit_code = 128 + signal_number


def nearest(word: str, choices: Iterable[str]) -> str:
    """A hint naming the choice nearest to ``word``, or all choices when none is near."""
    names = [str(choice) for choice in choices]
    close = difflib.get_close_matches(word, names, n=1, cutoff=0.5)
    return f"did you mean '{close[0]}'?" if close else f"one of: {', '.join(names)}"
