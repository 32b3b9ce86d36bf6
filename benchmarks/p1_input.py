"""P1: images a second to a ready, normalised float batch of 128."""

import tempfile
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pictures import colour_folder, grey_folder
from pil_loader import pil_loader
from side_by_side import Benchmark, Case, Figure, Measure, Side, arguments, run

from mezzotint.data.store import load_images
from mezzotint.seeds import BatchNoise
from mezzotint.training.feeding import Feed

BATCH = 128
NOTES = """
Every side gives shuffled float32 batches of 128 in [-1, 1] (pythae: in [0, 1]). Ours gathers rows
of the packed memory map; packing happens once, at the first load, and is not counted. The PIL side
opens and transforms every file as the diffusers example does, with 0 workers (its default) and with
2. pythae holds the set as one float tensor and collates samples; 0 workers is its default. The
clock starts at a loader's first batch, so that starting workers is not counted either.
"""


def ours(folder: str, batches: int) -> Measure:
    """Feed.batch over the packed folder, as the trainer calls it."""
    images = load_images(folder)
    feed = Feed(images, BATCH)
    totals = {"seen": 0}

    def measure(turn: int) -> Figure:
        clock = time.perf_counter()
        for _ in range(batches):
            seen = totals["seen"]
            feed.batch(feed.rows(seen, 0), BatchNoise(("p1", seen), BATCH))
            totals["seen"] += BATCH
        return Figure(batches * BATCH, time.perf_counter() - clock)

    return measure


def pil(folder: str, mode: str, size: int, workers: int) -> Measure:
    """An epoch of the per-image loader."""
    loader = pil_loader(Path(folder), mode, size, BATCH, workers)
    return lambda turn: _epoch(loader)


def pythae(folder: str, workers: int) -> Measure:
    """An epoch of pythae's dataset in the loader its trainer builds."""
    from pythae.data.datasets import BaseDataset, collate_dataset_output

    images = load_images(folder)
    pixels = images.gather(np.arange(len(images))).astype(np.float32) / 255
    data = torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous()
    loader: Any = torch.utils.data.DataLoader(
        BaseDataset(data, torch.ones(len(data))),
        batch_size=BATCH,
        num_workers=workers,
        shuffle=True,
        collate_fn=collate_dataset_output,
    )
    return lambda turn: _epoch(loader)


def _epoch(loader: Iterable[Any]) -> Figure:
    batches = iter(loader)
    next(batches)
    clock = time.perf_counter()
    count = sum(len(batch if isinstance(batch, torch.Tensor) else batch.data) for batch in batches)
    return Figure(count, time.perf_counter() - clock)


def case(name: str, folder: Path, mode: str, size: int, batches: int) -> Case:
    """All sides on one folder."""
    place = str(folder)
    pil_options = {"folder": place, "mode": mode, "size": size}
    peers = [
        *(Side(f"PIL, {n} workers", pil, {**pil_options, "workers": n}) for n in (0, 2)),
        *(Side(f"pythae, {n} workers", pythae, {"folder": place, "workers": n}) for n in (0, 2)),
    ]
    targets = {peer.name: 30.0 if "PIL" in peer.name else 10.0 for peer in peers}
    mine = Side("mezzotint", ours, {"folder": place, "batches": batches})
    return Case(name, "images/s", mine, peers, targets)


def main() -> None:
    """Measure P1."""
    options = arguments(__doc__)
    files, batches = (1024, 100) if options.smoke else (8192, 2000)
    with tempfile.TemporaryDirectory() as temporary:
        home = Path(temporary)
        cases = [
            case("28 px grey", grey_folder(home / "grey", files), "L", 28, batches),
            case("64 px RGB", colour_folder(home / "rgb", files // 2), "RGB", 64, batches // 4),
        ]
        title = "input, images a second to a ready batch of 128"
        run(Benchmark("P1", title, NOTES, ("pythae",)), cases, options)


if __name__ == "__main__":
    main()
