"""A real server over a folder of small models, and what tests ask of it."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import torch

from mezzotint.families.diffusion import Diffusion
from mezzotint.families.vae import VAE

TOKEN = "t" * 31 + "k"
CLASSES = ("zero", "one", "two")


def shaken(model):
    """Some layers begin at zero: a network that does nothing would hide mistakes."""
    torch.manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.08)
    return model.eval()


def make_models(root: Path) -> Path:
    """Two models: classes and steps, and a picture at once."""
    small = {"size": (16, 16), "widths": (8, 16)}
    shaken(Diffusion(**small, steps=5, classes=CLASSES)).save_pretrained(root / "steps")
    shaken(VAE(**small, latent=4)).save_pretrained(root / "vae")
    return root


class Server:
    """``mezzotint serve`` as a process of its own."""

    def __init__(self, root: Path, *words: str, wait: bool = True, threads: int = 1) -> None:
        command = [sys.executable, "-m", "mezzotint", "serve", str(root), "--port", "0", *words]
        env = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        started = time.monotonic()
        self.process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=env)
        assert self.process.stdout is not None
        self.greeting = self.process.stdout.readline()
        found = re.search(r"http://[^/]+:(\d+)/", self.greeting)
        assert found, self.greeting
        self.port = int(found[1])
        self.url = f"http://127.0.0.1:{self.port}"
        if wait:
            self.wait_ready()
        self.seconds = time.monotonic() - started

    def client(self, **more) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, **more)

    def wait_ready(self, seconds: float = 90) -> None:
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            with contextlib.suppress(httpx.TransportError):
                if httpx.get(f"{self.url}/readyz").status_code == 200:
                    return
            time.sleep(0.05)
        raise AssertionError("the server is not ready")

    def workers(self) -> list[int]:
        found = subprocess.run(
            ["pgrep", "-P", str(self.process.pid), "-f", "mezzotint.serving.worker"],
            capture_output=True, text=True,
        )  # fmt: skip
        return [int(line) for line in found.stdout.split()]

    def stop(self) -> int:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        code = self.process.wait(40)
        self.process.stdout.close()
        return code


@contextlib.contextmanager
def serving(root: Path, *words: str) -> Iterator[Server]:
    server = Server(root, *words)
    try:
        yield server
    finally:
        server.stop()
