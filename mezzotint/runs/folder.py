"""The run folder: what is in it, who holds it, and how far it came.

``run.json`` says what is trained on what; ``history.jsonl`` holds one line a record; a run's state
(running, interrupted, finished) is derived from the files and the lock, never stored.
"""

import contextlib
import fcntl
import json
import os
import socket
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import IO, Any

from mezzotint.errors import BusyError, ConfigError, MissingInputError
from mezzotint.runs import best, checkpoint, snapshots
from mezzotint.storage import faults
from mezzotint.storage.files import make_folder, replace_bytes, replace_json, storing, sweep
from mezzotint.storage.readers import parse_json, read_small

SCHEMA = 1
GLANCES, GLANCE_SECONDS = 4, 0.02


class RunFolder:
    """Paths and files of one run.

    Args:
        path: the folder; it need not exist yet.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.checkpoints = path / "checkpoints"
        self.samples = path / "samples"
        self.history = path / "history.jsonl"
        self.model = path / "model"
        self.averages = path / "averages"

    def exists(self) -> bool:
        """Whether a run was started here."""
        return (self.path / "run.json").is_file()

    def finished(self) -> bool:
        """Whether the final model is there; its folder appears whole."""
        return any((self.model / name).is_file() for name in ("config.json", "model_index.json"))

    def status(self) -> str:
        """``finished``, ``running`` or ``interrupted``."""
        if self.finished():
            return "finished"
        return "running" if self._is_held() else "interrupted"

    def _is_held(self) -> bool:
        try:
            with (self.path / "lock").open() as file:
                return held(file)
        except FileNotFoundError:
            return False
        except OSError:
            return True

    def write_header(self, header: Mapping[str, Any]) -> None:
        """Write ``run.json``; errors as :func:`mezzotint.storage.files.replace_json`."""
        make_folder(self.path)
        replace_json(self.path / "run.json", {"schema": SCHEMA, **header})

    def header(self) -> dict[str, Any]:
        """Read ``run.json``.

        Raises:
            MissingInputError: there is no run here.
            ConfigError: the file is not a run's, or a newer version wrote it.
        """
        path = self.path / "run.json"
        if not path.is_file():
            raise MissingInputError("there is no run here", where=str(self.path))
        header = parse_json(read_small(path), path)
        schema = header.get("schema") if isinstance(header, dict) else None
        if schema != SCHEMA or not isinstance(header.get("family"), str):
            newer = isinstance(schema, int) and schema > SCHEMA
            fix = "install a newer mezzotint" if newer else "use another --out"
            raise ConfigError(f"run schema {schema!r} is not {SCHEMA}", where=str(path), fix=fix)
        return dict(header)

    @contextlib.contextmanager
    def hold(self) -> Iterator[None]:
        """Keep other trainers out while the block runs; the system frees it if we are killed.

        Raises:
            BusyError: another process trains here; the message names it.
        """
        make_folder(self.path)
        with contextlib.ExitStack() as held:
            with storing(self.path / "lock"):
                file = held.enter_context((self.path / "lock").open("a+"))
                _claim(file, self.path)
            yield

    def sweep(self) -> None:
        """Remove what killed writers left; call it only while holding the run."""
        for folder in (self.path, self.samples, self.checkpoints, self.averages):
            sweep(folder)

    def beat(self) -> None:
        """Touch the lock, so that anyone can see the run is alive."""
        with contextlib.suppress(OSError):
            os.utime(self.path / "lock")

    def append(self, line: Mapping[str, Any]) -> None:
        """Add one line to ``history.jsonl``; StorageError when it cannot be written."""
        text = json.dumps(dict(line), allow_nan=False) + "\n"
        with storing(self.history), self.history.open("a", encoding="utf-8") as file:
            half = len(text) // 2
            file.write(text[:half])
            faults.point("history.half")
            file.write(text[half:])

    def lines(self) -> list[dict[str, Any]]:
        """The records of ``history.jsonl``; a torn last line is left out."""
        return list(_whole_lines(self.history))

    def rewind(self, images: int) -> None:
        """Drop history and snapshots after ``images``: those steps are about to be done again.

        The best averages stay unless nothing does (``images`` < 0).
        """
        snapshots.rewind(self.averages, images)
        if images < 0:
            best.forget(self.averages)
        if self.history.exists():
            kept = [line for line in self.lines() if line.get("images", 0) <= images]
            text = "".join(json.dumps(line) + "\n" for line in kept).encode()
            if text != self.history.read_bytes():
                replace_bytes(self.history, text)

    def sync(self) -> None:
        """Make the history durable."""
        if self.history.exists():
            with storing(self.history), self.history.open("rb+") as file:
                os.fsync(file.fileno())

    def newest_checkpoint(self) -> checkpoint.Checkpoint | None:
        """The newest undamaged checkpoint, or None; DataError when all are damaged."""
        return checkpoint.newest(self.checkpoints)


def held(file: IO[Any]) -> bool:
    """Whether another process has claimed an open file."""
    try:
        fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    return False


def claim(file: IO[Any]) -> None:
    """Lock an open file; someone who only looks whether it is locked holds it for a moment.

    Raises:
        BlockingIOError: another process holds it for longer.
    """
    for _ in range(GLANCES):
        with contextlib.suppress(BlockingIOError):
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        time.sleep(GLANCE_SECONDS)
    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def _claim(file: IO[str], path: Path) -> None:
    try:
        claim(file)
    except BlockingIOError as error:
        file.seek(0)
        owner = file.read(200).strip() or "another process"
        raise BusyError(
            f"this run is being trained by {owner}",
            where=str(path),
            fix="wait for it, stop it, or give another --out",
        ) from error
    file.truncate(0)
    file.write(f"process {os.getpid()} on {socket.gethostname()}")
    file.flush()


def _whole_lines(path: Path) -> Iterator[dict[str, Any]]:
    if not path.exists():
        return
    with path.open(encoding="utf-8", errors="replace") as file:
        for text in file:
            with contextlib.suppress(ValueError, RecursionError):
                line = json.loads(text)
                if isinstance(line, dict) and text.endswith("\n"):
                    yield line
