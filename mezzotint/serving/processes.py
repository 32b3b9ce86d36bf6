"""Commands that outlive the server: each writes a log and holds a lock on it while it lives.

The lock belongs to the open file that the command inherits, so the system frees it when the last
process that has it ends, however it ends. Nothing else says whether a command is at work.
"""

import contextlib
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import psutil

from mezzotint.runs.folder import claim, held
from mezzotint.serving.reading import plain
from mezzotint.serving.refusing import Refusal, busy
from mezzotint.storage.files import make_folder, storing

LOG, LOCK = "train.log", "lock"
MOST_TAIL, MOST_KEPT = 1 << 14, 20
_OWNER = re.compile(r"process (\d{1,9}) on (.{1,255})")
_children: list[subprocess.Popen[bytes]] = []


def launch(folder: Path, words: Sequence[str], module: str = "mezzotint") -> None:
    """Run ``python -m MODULE WORDS`` on its own; its log and the lock on that lie in ``folder``.

    Raises:
        Refusal: a command is at work there.
        StorageError, CannotCreateError: the log cannot be written.
    """
    make_folder(folder)
    flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    with storing(folder / LOG), os.fdopen(os.open(folder / LOG, flags, 0o644), "ab") as log:
        try:
            claim(log)
        except BlockingIOError:
            raise busy("something is at work on this run already", 5) from None
        os.ftruncate(log.fileno(), 0)
        command = [sys.executable, "-m", module, *words]
        env = {**os.environ, "NO_COLOR": "1", "PYTHONUNBUFFERED": "1"}
        child = subprocess.Popen(  # noqa: S603 - words of ours, no shell
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            env=env,
            start_new_session=True,
        )
    _children.append(child)


def reap() -> None:
    """Let children of this server that have ended go."""
    _children[:] = [child for child in _children if child.poll() is None]


def alive(folder: Path) -> bool:
    """Whether a launched command is at work in a folder."""
    reap()
    try:
        with plain(folder / LOG) as log:
            return held(log)
    except OSError:
        return False


def keep_newest(place: Path, most: int = MOST_KEPT) -> None:
    """Remove the oldest folders that commands have filled with what can be found again.

    Folders without a log of ours stay, as does all that is behind a link.
    """
    if place.is_symlink():
        return
    with contextlib.suppress(OSError), os.scandir(place) as entries:
        inner = [one for one in entries if one.is_dir(follow_symlinks=False)]
        inner.sort(key=lambda one: one.stat(follow_symlinks=False).st_mtime_ns, reverse=True)
        for folder in [Path(one.path) for one in inner[most:]]:
            if (folder / LOG).is_file() and not alive(folder):
                shutil.rmtree(folder, ignore_errors=True)


def tail(folder: Path) -> list[str]:
    """The last lines of a command's log, as a terminal would have left them."""
    try:
        with plain(folder / LOG) as log:
            log.seek(max(0, os.fstat(log.fileno()).st_size - MOST_TAIL))
            text = log.read().decode("utf-8", "replace")
    except OSError:
        return []
    lines = [line.rpartition("\r")[2].rstrip() for line in text.split("\n")]
    return [line for line in lines if line][-20:]


def stop(folder: Path) -> None:
    """Ask whoever works in a folder to save and end.

    Raises:
        Refusal: nobody does, or somebody on another machine or of another user.
    """
    for process in _workers(folder):
        with contextlib.suppress(psutil.Error):
            process.send_signal(signal.SIGTERM)
            return
    what = "nothing that this server can stop is at work here"
    raise Refusal(409, what, "run", "not_running")


def _workers(folder: Path) -> Iterator[psutil.Process]:
    """Processes that have the run's lock or log open: no number of a file is believed alone."""
    wanted = {str(folder / LOCK), str(folder / LOG)}
    for pid in [*_named(folder / LOCK), *_mentioning(folder)]:
        with contextlib.suppress(psutil.Error, OSError):
            process = psutil.Process(pid)
            if pid != os.getpid() and wanted & {file.path for file in process.open_files()}:
                yield process


def _named(lock: Path) -> list[int]:
    try:
        match = _OWNER.fullmatch(lock.read_text(encoding="utf-8", errors="replace")[:300].strip())
    except OSError:
        return []
    return [int(match[1])] if match and match[2] == socket.gethostname() else []


def _mentioning(folder: Path) -> list[int]:
    found = psutil.process_iter(["cmdline"])
    return [one.pid for one in found if str(folder) in (one.info["cmdline"] or ())]
