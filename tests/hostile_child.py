"""Runs every hostile case in one process under an audit hook and writes down what it saw.

Usage: python hostile_child.py CASES.json REPORT.json
"""

import ast
import dataclasses
import json
import os
import sys
import time
import typing
from pathlib import Path
from typing import Any

WATCHED = ("exec", "compile", "import", "open")
FORBIDDEN = ("socket.", "subprocess.", "os.system", "os.exec", "os.spawn", "os.posix_spawn")
FORBIDDEN += ("os.fork", "pty.", "ctypes.", "pickle.", "marshal.", "urllib.", "ftplib.", "shutil.")
FORBIDDEN += ("os.remove", "os.rename", "os.mkdir", "os.chmod", "os.link", "os.symlink")
SYSTEM = ("/proc", "/sys", "/dev/null", "/usr/lib", "/lib", "/etc/mime.types")

# the standard library writes a dataclass's __init__, reads a literal and an annotation with exec
WRITERS = (dataclasses.__file__, ast.__file__, typing.__file__)


class Watch:
    """What the process did that it must not do while a case is loaded."""

    def __init__(self, installed: list[str]) -> None:
        self.installed = (*installed, *SYSTEM)
        self.folder = ""
        self.seen: list[str] = []
        self.on = False

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if not self.on:
            return
        if event.startswith(FORBIDDEN):
            self.seen.append(event)
        elif event in WATCHED:
            self.on = False  # what the judgement itself opens is not the case's doing
            try:
                self._judge(event, arguments)
            finally:
                self.on = True

    def _judge(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event == "open" and isinstance(arguments[0], str | bytes | os.PathLike):
            path = os.path.realpath(os.fsdecode(arguments[0]))
            if not self._allowed(path):
                self.seen.append(f"open {path}")
        elif event == "import" and self.folder in str(arguments[1]):
            self.seen.append(f"import {arguments[0]}")
        elif event in ("exec", "compile"):
            name = arguments[0].co_filename if event == "exec" else str(arguments[1])
            caller = sys._getframe(2).f_code.co_filename
            if not self._is_ours(name) and caller not in WRITERS:
                self.seen.append(f"{event} {name} by {caller}")

    def _allowed(self, path: str) -> bool:
        return path.startswith(self.folder + os.sep) or self._is_ours(path)

    def _is_ours(self, path: str) -> bool:
        return path.startswith(self.installed)


def forget_peak() -> None:
    """Begin to measure the peak of resident memory anew (proc(5), clear_refs)."""
    Path("/proc/self/clear_refs").write_text("5")


def memory_mb(field: str) -> float:
    """A line of /proc/self/status: VmRSS is used at the moment, VmHWM was at the most."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) / 1024 for line in lines if line.startswith(field))


def attempt(command: list[str]) -> dict[str, Any]:
    """Load through Python or the command line; how it ended."""
    import contextlib
    import io

    import mezzotint as mz
    from mezzotint.cli import main

    text = io.StringIO()
    try:
        if command[0] == "load":
            mz.load(command[1])
            return {"code": 0, "kind": "", "text": ""}
        with contextlib.redirect_stderr(text), contextlib.redirect_stdout(io.StringIO()):
            main(command)
    except mz.MezzotintError as error:
        return {"code": error.exit_code, "kind": type(error).__name__, "text": str(error)}
    except SystemExit as exit_:
        return {"code": exit_.code, "kind": "exit", "text": text.getvalue()}
    except BaseException as error:
        return {"code": -1, "kind": type(error).__name__, "text": repr(error)[:300]}
    return {"code": -1, "kind": "none", "text": "main returned"}


def main() -> None:
    cases, report = (Path(name) for name in sys.argv[1:])
    plan = json.loads(cases.read_text())
    import torch

    torch.set_num_threads(1)
    for command in plan["warm"]:  # everything that is imported lazily is imported here
        ended = attempt(command)
        assert ended["code"] == 0, ended
    installed = [sys.prefix, sys.base_prefix, str(Path(plan["package"])), "<frozen"]
    watch = Watch(sorted({os.path.realpath(path) for path in installed[:3]}) + installed[3:])
    sys.addaudithook(watch)
    found = {}
    for name, folder, command in plan["cases"]:
        watch.folder, watch.seen = os.path.realpath(folder), []
        forget_peak()
        before, start = memory_mb("VmRSS"), time.process_time()
        watch.on = True
        ended = attempt(command)
        watch.on = False
        spent, peak = time.process_time() - start, memory_mb("VmHWM") - before
        found[name] = {**ended, "seconds": spent, "seen": watch.seen, "peak": peak}
    report.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
