"""S4: walls of new pictures of 256 px in colour: what they cost besides the network's own work.

Processor seconds rather than those of a clock, so that others at work here change little. The
network is a VAE with random weights, which makes a picture at once.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
import torch
from results import RESULTS, header, write_section

from mezzotint.families.vae import VAE
from mezzotint.seeds import image_seeds

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser_kit import CHROMIUM, Browser
from serving_kit import Server, shaken

COUNTS = (36, 64)
AT_ONCE = 8
ASK = """(() => { const e = [...document.querySelectorAll('.side input[type=range]')].at(-1);
    e.value = COUNT; e.dispatchEvent(new Event('input'));
    document.querySelector('form').requestSubmit(); })()"""
SHOWN = """(() => { const done = document.querySelectorAll('.tile:not(.coming):not(.waiting)');
    return done.length === COUNT && [...document.querySelectorAll('.tile img')]
        .every((one) => one.complete && one.naturalWidth > 0); })()"""


def spent(processes: list[psutil.Process]) -> float:
    """Processor seconds of processes so far."""
    return sum(sum(one.cpu_times()[:2]) for one in processes)


def alone(model: VAE, count: int) -> float:
    """Processor seconds of the network for so many pictures."""
    began = time.process_time()
    for start in range(0, count, AT_ONCE):
        model.sample(image_seeds(start, min(AT_ONCE, count - start)))
    return time.process_time() - began


def wall(server: Server, browser: Browser, count: int) -> tuple[float, float, float]:
    """Seconds from the request to the last picture; processor seconds of server and browser."""
    browser.open("about:blank")
    browser.open(f"{server.url}/#/generate")
    browser.wait("document.querySelectorAll('.side option').length > 0")
    ours = [psutil.Process(one) for one in (server.process.pid, *server.workers())]
    theirs = psutil.Process(browser.process.pid).children(recursive=True)
    before, began = (spent(ours), spent(theirs)), time.perf_counter()
    browser.run(ASK.replace("COUNT", str(count)))
    browser.wait(SHOWN.replace("COUNT", str(count)), 120)
    return time.perf_counter() - began, spent(ours) - before[0], spent(theirs) - before[1]


def rows(root: Path, model: VAE) -> list[str]:
    """A line of the table for each number of pictures."""
    server, lines = Server(root), []
    try:
        asked = {"prompt": "", "model": "vae"}
        httpx.post(f"{server.url}/v1/images/generations", json=asked, timeout=120)
        for count in COUNTS:
            with Browser() as browser:
                network = min(alone(model, count) for _ in range(3))
                seconds, ours, theirs = wall(server, browser, count)
            lines.append(f"| {count} | {network:.2f} | {ours - network:.2f} | {theirs:.2f} "
                         f"| {seconds:.1f} |")  # fmt: skip
    finally:
        server.stop()
    return lines


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--smoke", action="store_true", help="write nothing")
    given = words.parse_args()
    if CHROMIUM is None:
        sys.exit("chromium is not installed")
    torch.set_num_threads(1)
    model = shaken(VAE(size=(256, 256), channels=3, widths=(16, 16, 32, 32), latent=4))
    with tempfile.TemporaryDirectory() as place:
        model.save_pretrained(Path(place) / "vae")
        lines = rows(Path(place), model)
    body = f"""## S4 walls of new pictures of 256 px in colour

{header((), 1, 1)} Processor seconds; the browser draws without a GPU, and its time includes
loading the page. Target: a second for 64 pictures besides the network.

| pictures | network alone | server besides | browser | request to shown, s of a clock |
|---|---|---|---|---|
""" + "".join(f"{line}\n" for line in lines)
    print(body)
    if not given.smoke:
        write_section(RESULTS, "S4", body)


if __name__ == "__main__":
    main()
