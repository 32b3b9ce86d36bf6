"""M2: `mezzotint compare digits`: four families of a minute each, to the finished report."""

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from results import RESULTS, header, write_section

FAMILIES = "autoencoder,vae,gan,diffusion"


def main() -> None:
    """Compare once with an empty cache and write the section M2."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--budget", default="1m", help="of each family")
    parser.add_argument("--out", type=Path, default=Path(tempfile.mkdtemp()) / "digits")
    options = parser.parse_args()
    words = ["compare", "digits", "--families", FAMILIES, "--budget", options.budget]
    words = [sys.executable, "-m", "mezzotint", *words, "--out", str(options.out)]
    environment = os.environ | {"MEZZOTINT_HOME": tempfile.mkdtemp()}
    started = time.perf_counter()
    subprocess.run(words, check=True, env=environment)
    took = time.perf_counter() - started
    size = (options.out / "report.html").stat().st_size / 2**20
    told = header([], os.cpu_count() or 1, 1)
    body = (
        f"## M2: a comparison of four families\n\n{told} `mezzotint compare digits --families "
        f"{FAMILIES} --budget {options.budget}` with an empty cache, wall clock from start to the "
        f"finished report. Target: 6 minutes.\n\n| minutes | report |\n|---|---|\n"
        f"| {int(took) // 60}:{int(took) % 60:02d} | {size:.1f} MiB |\n"
    )
    write_section(RESULTS, "M2", body)
    print(body)


if __name__ == "__main__":
    main()
