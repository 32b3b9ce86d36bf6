"""A worker that is started before the server's own modules are loaded, so that both load at once.

Nothing heavy is imported here. A worker that nobody takes ends with the server, as its input does.
"""

import asyncio
import subprocess
import sys
from asyncio.streams import FlowControlMixin
from pathlib import Path

GPUS = ("/dev/nvidiactl", "/dev/kfd", "/dev/dxg")
_started: dict[str, "subprocess.Popen[bytes]"] = {}


class Adopted:
    """A process as asyncio's own are: streams, and what ends it.

    Args:
        process: with pipes for its input and output.
        stdin, stdout: streams on them.
    """

    def __init__(
        self,
        process: "subprocess.Popen[bytes]",
        stdin: asyncio.StreamWriter,
        stdout: asyncio.StreamReader,
    ) -> None:
        self._process, self.stdin, self.stdout = process, stdin, stdout
        self.pid = process.pid

    @property
    def returncode(self) -> int | None:
        """How it ended; None while it runs."""
        return self._process.poll()

    def kill(self) -> None:
        """End it at once."""
        self._process.kill()

    async def wait(self) -> int:
        """Wait for its end."""
        return await asyncio.to_thread(self._process.wait)


def words(device: str) -> list[str]:
    """The command of a worker."""
    return [sys.executable, "-m", "mezzotint.serving.worker", device]


def start(device: str | None) -> None:
    """Start the first worker where it is known to work: on ``device``, or where there is no GPU."""
    if device is None and any(Path(place).exists() for place in GPUS):
        return
    pipe, place = subprocess.PIPE, device or "cpu"
    _started[place] = subprocess.Popen(words(place), stdin=pipe, stdout=pipe)  # noqa: S603


async def take(device: str) -> Adopted | None:
    """The worker that was started for a device, once."""
    process = _started.pop(device, None)
    if process is None:
        return None
    loop, reader = asyncio.get_running_loop(), asyncio.StreamReader()
    await loop.connect_read_pipe(lambda: asyncio.StreamReaderProtocol(reader), process.stdout)
    transport, protocol = await loop.connect_write_pipe(FlowControlMixin, process.stdin)
    writer = asyncio.StreamWriter(transport, protocol, None, loop)
    return Adopted(process, writer, reader)


def drop() -> None:
    """End workers that nobody took."""
    while _started:
        _, process = _started.popitem()
        process.kill()
        process.communicate()
