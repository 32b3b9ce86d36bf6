"""S3: from the command to ``/readyz`` with a small model, and from an address to a page that works.

The page works once it has listed the runs and every control answers.
"""

import argparse
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
from results import RESULTS, header, write_section

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
from browser_kit import CHROMIUM, Browser
from serving_kit import Server, make_models

TIMES = 5
MARK = """setInterval(() => { if (!window.works && document.documentElement?.dataset.ready &&
    document.querySelector('.card')) window.works = performance.now(); }, 5)"""


def starts(root: Path) -> list[float]:
    """Seconds from the command to the first 200 of ``/readyz``."""
    found = []
    for _ in range(TIMES):
        server = Server(root)
        found.append(server.seconds)
        server.stop()
    return found


def pages(root: Path) -> list[float]:
    """Seconds from navigation to a page that works, each in a browser without a cache."""
    found = []
    server = Server(root)
    try:
        for _ in range(TIMES):
            with Browser() as browser:
                browser.call("Page.addScriptToEvaluateOnNewDocument", source=MARK)
                browser.open(f"{server.url}/")
                found.append(browser.wait("window.works") / 1000)
            time.sleep(0.5)
    finally:
        server.stop()
    return found


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__)
    words.add_argument("--smoke", action="store_true", help="write nothing")
    given = words.parse_args()
    if CHROMIUM is None:
        sys.exit("chromium is not installed")
    with tempfile.TemporaryDirectory() as place:
        root = make_models(Path(place))
        ready, works = starts(root), pages(root)
    body = f"""## S3 start of the server and of the page

{header((), 1, 1)} {TIMES} starts each.

| what | median | worst | target |
|---|---|---|---|
| command to `/readyz`, s | {np.median(ready):.1f} | {max(ready):.1f} | 6 |
| address to a page that works, s | {np.median(works):.2f} | {max(works):.2f} | 1 |
"""
    print(body)
    if not given.smoke:
        write_section(RESULTS, "S3", body)


if __name__ == "__main__":
    main()
