"""The results file: one section a benchmark, between markers, replaced by each measurement."""

import datetime
import os
import platform
import re
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

RESULTS = Path(__file__).with_name("RESULTS.md")
TITLE = (
    "# Results\n\nWritten by the scripts in this folder; see README.md for how to repeat them.\n"
)
COMMON = ("mezzotint", "torch", "numpy", "pillow")


def header(packages: Sequence[str], threads: int, pairs: int, device: str = "CPU, float32") -> str:
    """When, where and with what something was measured."""
    versions = ", ".join(f"{name} {_version(name)}" for name in (*COMMON, *packages))
    runs = f"median of {pairs} interleaved pairs" if pairs > 1 else "one run"
    return (
        f"{datetime.date.today():%Y-%m-%d}; {machine()}; {threads} torch threads, {device}; "
        f"Python {platform.python_version()}, {versions}; {runs}."
    )


def machine() -> str:
    """Processor, cores and memory."""
    info = Path("/proc/cpuinfo")
    text = info.read_text() if info.exists() else ""
    model = re.search(r"model name\s*:\s*(.+)", text)
    name = model.group(1).strip() if model else platform.processor() or platform.machine()
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return f"{name}, {os.cpu_count()} cores, {memory:.0f} GiB"


def write_section(path: Path, key: str, body: str) -> None:
    """Replace the section ``key`` of a Markdown file, or add it in the order of the keys."""
    text = path.read_text() if path.exists() else TITLE
    sections = dict(re.findall(r"<!-- begin (\w+) -->\n(.*?)<!-- end \1 -->", text, re.DOTALL))
    sections[key] = body
    intro = re.split(r"<!-- begin \w+ -->", text, maxsplit=1)[0].rstrip()
    parts = [f"<!-- begin {k} -->\n{sections[k]}<!-- end {k} -->" for k in sorted(sections)]
    path.write_text("\n\n".join([intro, *parts]) + "\n")


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "not installed"
