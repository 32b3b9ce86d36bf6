"""P8: 64 requests that arrive at random: shared steps against one request at a time.

A 28 px diffusion model of the default size with random weights, which cost what trained ones do.
Each request asks for one picture with a class, 5 to 20 steps and a guidance of its own. One at a
time is the same network and solver on the rows of one request, first come, first served; its
service times are measured, and its queue follows from the same arrivals. Solo is its latency
without a queue.
"""

import argparse
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import NamedTuple

import httpx
import numpy as np
import torch
from results import RESULTS, header, write_section

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from serving_kit import Server

from mezzotint.families.diffusion import Diffusion
from mezzotint.images import png_bytes, to_uint8
from mezzotint.serving.pooling import Moved, Pool

REQUESTS = 64
CLASSES = tuple("0123456789")
LOADS = (0.5, 1.0, 1.5, 2.0, 3.0)  # arrivals a second over what one at a time can answer


class Asked(NamedTuple):
    """A request, as the server knows it."""

    seed: int
    label: str
    steps: int
    guidance: float


def requests() -> list[Asked]:
    rng = np.random.default_rng(0)
    return [
        Asked(at, str(rng.choice(CLASSES)), int(rng.choice((5, 10, 20))), float(g))
        for at, g in enumerate(rng.choice((1.0, 1.5, 3.0), REQUESTS))
    ]


def model(place: Path) -> Diffusion:
    torch.manual_seed(0)
    family = Diffusion(size=(28, 28), classes=CLASSES).eval()
    family.save_pretrained(place)
    return family


@torch.inference_mode()
def alone(family: Diffusion, asked: Asked) -> float:
    """Seconds of one request with nobody else."""
    started = time.perf_counter()
    pool = Pool(family.seen, (1,) if asked.guidance == 1 else (2,))
    walk = family.looking(asked.seed, asked.label, steps=asked.steps, guidance=asked.guidance)
    events = pool.add(0, walk)
    while len(pool):
        events, _ = pool.turn()
    last = events[-1]
    assert isinstance(last, Moved)
    png_bytes(to_uint8(last.step.noisy.clamp(-1, 1))[0])
    return time.perf_counter() - started


def queued(arrivals: np.ndarray, services: np.ndarray) -> np.ndarray:
    """Latencies of a first-come, first-served line."""
    free, found = 0.0, []
    for arrival, service in zip(arrivals, services, strict=True):
        free = max(free, arrival) + service
        found.append(free - arrival)
    return np.array(found)


def served(url: str, arrivals: np.ndarray, asked: list[Asked]) -> tuple[np.ndarray, float]:
    """Latencies of the server (infinite where it refused), and seconds until all were done."""
    found = np.full(len(asked), np.inf)
    limits = httpx.Limits(max_connections=len(asked), max_keepalive_connections=len(asked))
    client = httpx.Client(base_url=url, timeout=300, limits=limits)
    began = time.perf_counter() + 0.2

    def one(at: int) -> None:
        told = asked[at]
        body = {"prompt": "", "seed": told.seed, "label": told.label, "user": str(at)}
        body |= {"num_inference_steps": told.steps, "guidance_scale": told.guidance}
        time.sleep(max(0.0, began + arrivals[at] - time.perf_counter()))
        answer = client.post("/v1/images/generations", json=body)
        if answer.status_code == 200:
            found[at] = time.perf_counter() - began - arrivals[at]

    threads = [threading.Thread(target=one, args=(at,)) for at in range(len(asked))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    client.close()
    return found, time.perf_counter() - began


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--threads", type=int, default=1)
    words.add_argument("--loads", type=float, nargs="*", default=LOADS)
    words.add_argument("--runs", type=int, default=3, help="of each load; medians are written")
    words.add_argument("--smoke", action="store_true", help="write nothing")
    given = words.parse_args()
    torch.set_num_threads(given.threads)
    asked, rng = requests(), np.random.default_rng(1)
    gaps = rng.exponential(1.0, REQUESTS).cumsum()
    with tempfile.TemporaryDirectory() as place:
        family = model(Path(place) / "model")
        for one in asked[:3]:
            alone(family, one)
        services = np.array([alone(family, one) for one in asked])
        capacity, solo = 1 / services.mean(), np.quantile(services, 0.95)
        server, rows = Server(Path(place), threads=given.threads), []
        try:
            served(server.url, gaps * services.mean(), asked[:4])
            for load in given.loads:
                arrivals = gaps / (load * capacity)
                theirs = queued(arrivals, services)
                line = (arrivals + theirs).max()
                runs = []
                for _ in range(given.runs):
                    ours, seconds = served(server.url, arrivals, asked)
                    done = np.isfinite(ours)
                    rate, p95 = done.sum() / seconds, np.quantile(ours[done], 0.95)
                    runs.append((rate / capacity, p95 / solo, (~done).sum()))
                rate, p95, refused = np.median(runs, axis=0)
                rows.append(
                    f"| {load:g} | {rate:.2f} | {p95:.2f} | {REQUESTS / line / capacity:.2f} | "
                    f"{np.quantile(theirs, 0.95) / solo:.2f} | {refused:g} |"
                )
                print(rows[-1], flush=True)
        finally:
            server.stop()
    table = "\n".join(rows)
    body = f"""## P8 serving: shared steps against one request at a time

{header((), given.threads, 1)} Medians of {given.runs} runs of each load. One at a time answers
{capacity:.2f} requests a second; its p95 with nobody else is {solo:.2f} s. Loads and throughputs
are over the first, latencies over the second. Target: a throughput of 2 at a p95 of 1.5.

| load | throughput | p95 | throughput, one at a time | p95, one at a time | refused |
|---|---|---|---|---|---|
{table}
"""
    print(body)
    if not given.smoke:
        write_section(RESULTS, "P8", body)


if __name__ == "__main__":
    main()
