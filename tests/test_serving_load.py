"""The server under load: many clients, leavers among them, and a worker that is killed."""

import asyncio
import base64
import contextlib
import os
import random
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator

import httpx
import psutil
import pytest
from serving_kit import CLASSES, make_models, serving

from mezzotint.api.samples import picture_record
from mezzotint.families.diffusion import Diffusion
from mezzotint.images import png_bytes, to_uint8

CLIENTS, SECONDS = 64, float(os.environ.get("LOAD_SECONDS", "180"))
KILLS = int(os.environ.get("LOAD_KILLS", "20"))
LEAVING, VARIANTS, CALM = 0.2, 24, 0.25
ROUTE = "/v1/images/generations"
ASKING = """
import http.client, select, sys, time
while not select.select([sys.stdin], [], [], 0.1)[0]:
    line = http.client.HTTPConnection("127.0.0.1", int(sys.argv[1]), timeout=30)
    began = time.perf_counter()
    line.request("GET", "/livez")
    assert line.getresponse().status == 200
    print(time.perf_counter() - began)
    line.close()
"""
pytestmark = [pytest.mark.slow, pytest.mark.timeout(3600)]


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    return make_models(tmp_path_factory.mktemp("models"))


@pytest.fixture(scope="module")
def wanted(root):
    """Requests of many kinds, each with the bytes of its picture made offline."""
    model, found, rng = Diffusion.from_pretrained(root / "steps"), [], random.Random(0)
    for seed in range(VARIANTS):
        ours = {"label": rng.choice(CLASSES), "steps": rng.randint(2, 12)}
        ours |= {"guidance": rng.choice((1.0, 1.5, 4.0))}
        image = to_uint8(model.sample([seed], **ours))[0]
        theirs = {"num_inference_steps": ours["steps"], "guidance_scale": ours["guidance"]}
        asked = {"prompt": "", "model": "steps", "seed": seed, "label": ours["label"], **theirs}
        record = picture_record(model, seed, 0, named(ours))
        found.append((asked, png_bytes(image, record)))
    return found


def named(ours: dict) -> dict:
    """Options in the order of the server, which is that of the record."""
    return {key: ours[key] for key in ("label", "steps", "guidance")}


class Load:
    """Clients that ask until the time is over, and what they got."""

    def __init__(self, url: str, wanted: list, seconds: float) -> None:
        self.url, self.wanted, self.end = url, wanted, time.monotonic() + seconds
        self.codes: Counter[int] = Counter()
        self.done: Counter[int] = Counter()
        self.wrong: list[str] = []

    async def run(self) -> None:
        async with asyncio.TaskGroup() as group:
            for at in range(CLIENTS):
                group.create_task(self.client(at))

    async def client(self, at: int) -> None:
        rng = random.Random(at)
        async with httpx.AsyncClient(base_url=self.url, timeout=130, verify=False) as client:
            while time.monotonic() < self.end:
                body, picture = rng.choice(self.wanted)
                patience = rng.uniform(0.01, 0.3) if rng.random() < LEAVING else 130
                try:
                    async with asyncio.timeout(patience):
                        answer = await client.post(ROUTE, json={**body, "user": f"client {at}"})
                except TimeoutError:
                    continue
                self.take(at, answer, picture)
                if answer.status_code == 503:
                    await asyncio.sleep(CALM * rng.uniform(0.5, 1.5))

    def take(self, at: int, answer: httpx.Response, picture: bytes) -> None:
        self.codes[answer.status_code] += 1
        if answer.status_code == 200:
            self.done[at] += 1
            [made] = answer.json()["data"]
            if base64.b64decode(made["b64_json"]) != picture:
                self.wrong.append("another picture")
        elif answer.status_code != 503 or "retry-after" not in answer.headers:
            self.wrong.append(f"{answer.status_code} {answer.text[:200]}")


@contextlib.contextmanager
def watching(port: int) -> Iterator[list[float]]:
    """How long ``/livez`` takes, asked by a process of its own; the list fills at the end."""
    found: list[float] = []
    pipe = subprocess.PIPE
    asking = subprocess.Popen([sys.executable, "-c", ASKING, str(port)], stdin=pipe, stdout=pipe)
    try:
        yield found
    finally:
        told, _ = asking.communicate()
        found += [float(word) for word in told.split()]


def memory(pid: int) -> int:
    one = psutil.Process(pid)
    return sum(part.memory_info().rss for part in [one, *one.children(recursive=True)])


def test_many_clients_get_their_own_pictures_and_little_is_kept(root, wanted):
    with serving(root) as server:
        asyncio.run(Load(server.url, wanted, SECONDS / 6).run())  # warm
        before = memory(server.process.pid)
        load = Load(server.url, wanted, SECONDS)
        with watching(server.port) as alive:
            asyncio.run(load.run())
        after, files = memory(server.process.pid), psutil.Process(server.process.pid).num_fds()
    counts = [load.done[at] for at in range(CLIENTS)]
    late = statistics.quantiles(alive, n=100)[98]
    print(f"\n{load.codes}; fair {min(counts)}-{max(counts)}; /livez p99 {1000 * late:.0f} ms; "
          f"memory {before >> 20} -> {after >> 20} MiB; {files} files")  # fmt: skip
    assert load.wrong == []
    assert set(load.codes) <= {200, 503}
    assert load.codes[200] > CLIENTS
    assert late < 0.1
    assert max(counts) < 3 * max(1, min(counts))
    assert after < 1.05 * before
    assert files < 100


def test_a_worker_killed_again_and_again_comes_back(root, wanted):
    with serving(root) as server:
        asyncio.run(Load(server.url, wanted, 5).run())
        slowest = 0.0
        for _ in range(KILLS):
            load = Load(server.url, wanted, 12)
            slowest = max(slowest, asyncio.run(killed(server, load)))
            assert load.wrong == []
            assert load.codes[200] > 0
        text = httpx.get(f"{server.url}/metrics").text
    print(f"\n{KILLS} kills; ready again after {slowest:.1f} s at the most")
    assert slowest < 10
    assert f'worker_restarts_total{{worker="draw-cpu"}} {KILLS}.0' in text


async def killed(server, load: Load) -> float:
    """Seconds without a worker after it is killed under load."""
    task = asyncio.create_task(load.run())
    await asyncio.sleep(11)  # a worker that dies young five times is given up
    os.kill(server.workers()[0], signal.SIGKILL)
    began = time.monotonic()
    async with httpx.AsyncClient(base_url=server.url) as client:
        while (await client.get("/readyz")).status_code == 200:
            assert time.monotonic() - began < 5
            await asyncio.sleep(0.01)
        while (await client.get("/readyz")).status_code != 200:
            await asyncio.sleep(0.05)
    seconds = time.monotonic() - began
    await task
    return seconds
