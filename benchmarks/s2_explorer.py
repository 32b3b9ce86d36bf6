"""S2: the latent explorer with 50,000 points in Chromium without a GPU: frames and hover.

Frames: the map is moved and zoomed a little at every animation frame for three seconds, and drawn
whole each time. Hover: from a pointer event over a random point to the frame that shows its card.
"""

import argparse
import sys
import tempfile
from pathlib import Path

import numpy as np
from results import RESULTS, header, write_section

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser_kit import CHROMIUM, Browser
from serving_kit import Server

from mezzotint.data.store import load_images
from mezzotint.families.vae import VAE
from mezzotint.inspection.latents import Latents
from mezzotint.serving.exploring import ASKED, PLACE
from mezzotint.serving.mapping import write_found
from mezzotint.serving.settings import Settings
from mezzotint.serving.shelf import Shelf
from mezzotint.storage.files import make_folder, replace_json

FRAMES = """new Promise((done) => {
    const plane = document.querySelector('.explorer').plane, began = performance.now(), times = [];
    function step(at) {
        times.push(at);
        if (performance.now() - began > 3000) return done(times);
        const turn = times.length / 20;
        plane.view = { ...plane.view, x: plane.view.x + 3 * Math.cos(turn) };
        plane.zoom(1 + 0.01 * Math.sin(turn));
        requestAnimationFrame(step);
    }
    requestAnimationFrame(step);
})"""
HOVER = """(async () => {
    const plane = document.querySelector('.explorer').plane, times = [];
    const box = plane.canvas.getBoundingClientRect(), count = plane.points.length / 2;
    const frame = () => new Promise((done) => requestAnimationFrame(() => setTimeout(done)));
    plane.fit();
    await frame();
    for (let k = 0; k < 60; k++) {
        const [x, y] = plane.spot(Math.floor(((k * 7919 + 13) % 997) / 997 * count));
        const event = { clientX: box.left + x, clientY: box.top + y, pointerId: 1, bubbles: true };
        const began = performance.now();
        plane.canvas.dispatchEvent(new PointerEvent('pointermove', event));
        await frame();
        if (!document.querySelector('.point-card').hidden) times.push(performance.now() - began);
    }
    return times;
})()"""


def crowd(points: int) -> Latents:
    """Digits again and again, each latent a little elsewhere."""
    images = load_images("digits", size=28)
    rng, rows = np.random.default_rng(0), np.arange(points) % len(images)
    part = images.subset(rows)
    small = part.gather(range(points)).reshape(points, 28, 28)[:, 4::5, 4::5].reshape(points, -1)
    vectors = small / 128 - 1 + rng.normal(0, 0.3, (points, small.shape[1]))
    return Latents("vae", part, points, vectors, rng.random(points), rng.random(points))


def measure(points: int) -> tuple[np.ndarray, np.ndarray]:
    """Frames a second, one number a frame, and milliseconds of hovers."""
    with tempfile.TemporaryDirectory() as place:
        root = Path(place)
        VAE(size=(28, 28), widths=(8, 16), latent=8).save_pretrained(root / "crowd")
        entry = Shelf(Settings(root).root).by_name("crowd")
        folder = make_folder(root / PLACE / entry.id)
        replace_json(folder / ASKED, {"stamp": entry.stamp, "points": points})
        write_found(crowd(points), folder)
        server = Server(root)
        try:
            with Browser(1200, 900) as browser:
                browser.open(f"{server.url}/#/explore/{entry.id}")
                browser.wait(f"document.querySelector('.explorer')?.dataset.points == {points}", 60)
                times = np.array(browser.run(FRAMES))
                hovers = np.array(browser.run(HOVER))
                assert browser.complaints(server.url) == []
        finally:
            server.stop()
    return 1000 / np.diff(times), hovers


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--points", type=int, default=50_000)
    words.add_argument("--smoke", action="store_true", help="write nothing")
    given = words.parse_args()
    if CHROMIUM is None:
        sys.exit("chromium is not installed")
    frames, hovers = measure(given.points)
    body = f"""## S2 latent explorer, {given.points:,} points

{header((), 1, 1, "headless Chromium without a GPU, 1200 x 900")}

| what | median | worst 5% | target |
|---|---|---|---|
| frames a second while moving | {np.median(frames):.0f} | {np.quantile(frames, 0.05):.0f} | 30 |
| hover to card, ms | {np.median(hovers):.0f} | {np.quantile(hovers, 0.95):.0f} | 50 |
"""
    print(body)
    if not given.smoke:
        write_section(RESULTS, "S2", body)


if __name__ == "__main__":
    main()
