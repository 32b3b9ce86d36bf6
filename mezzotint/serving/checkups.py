"""The dataset doctor's reports, each by a process of its own: images may come from anywhere."""

import asyncio
import contextlib
import json
import sys
from collections import OrderedDict

from mezzotint.serving.datasets import Dataset
from mezzotint.serving.forms import Json

HELD = 32
CHECK_SECONDS = 1800.0
MOST_OUTPUT = 4 << 20


class Checkups:
    """Reports on sets, each made once for as long as the set does not change."""

    def __init__(self) -> None:
        self._tasks: OrderedDict[tuple[str, str], asyncio.Task[Json]] = OrderedDict()
        self._one_at_a_time = asyncio.Semaphore(1)

    def of(self, one: Dataset) -> "asyncio.Task[Json]":
        """The report on a set, at work or done."""
        key = (one.id, one.stamp)
        if key not in self._tasks:
            while len(self._tasks) >= HELD:
                self._tasks.popitem(last=False)[1].cancel()
            self._tasks[key] = asyncio.create_task(self._check(one.spec))
        self._tasks.move_to_end(key)
        return self._tasks[key]

    def close(self) -> None:
        """Give up what is at work."""
        for task in self._tasks.values():
            task.cancel()

    async def _check(self, spec: str) -> Json:
        async with self._one_at_a_time:
            pipe = asyncio.subprocess.PIPE
            process = await asyncio.create_subprocess_exec(
                *words(spec), stdin=asyncio.subprocess.DEVNULL, stdout=pipe, stderr=pipe
            )
            try:
                async with asyncio.timeout(CHECK_SECONDS):
                    out, complaint = await process.communicate()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
        report = parsed(out) if len(out) <= MOST_OUTPUT else None
        if report is None:
            lines = complaint.decode("utf-8", "replace").rpartition("\r")[2].strip().splitlines()
            return {"report": None, "problem": " ".join(lines)[:400] or "it cannot be looked at"}
        return {"report": {key: report[key] for key in report if key != "spec"}, "problem": None}


def words(spec: str) -> list[str]:
    """The command that looks at a set of images."""
    return [sys.executable, "-m", "mezzotint", "data", "check", spec, "--json"]


def parsed(output: bytes) -> Json | None:
    """What a command printed as JSON."""
    try:
        found = json.loads(output)
    except ValueError:
        return None
    return found if isinstance(found, dict) else None
