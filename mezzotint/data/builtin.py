"""Sets that need no files: scikit-learn's digits and shapes drawn on the fly."""

import gzip
import importlib.util
from pathlib import Path

import numpy as np

from mezzotint.data.arrays import ArraySource, entries_for
from mezzotint.errors import MissingExtraError

DIGIT_CLASSES = tuple(str(digit) for digit in range(10))


def open_digits(spec: str = "digits") -> ArraySource:
    """1,797 handwritten digits, 8x8 grey, from scikit-learn (UCI Optical Recognition of Digits).

    Values 0..16 become round(value * 255 / 16).
    """
    table = np.loadtxt(_digits_lines(), delimiter=",", dtype=np.float64)
    pixels = np.rint(table[:, :-1] * 255 / 16).astype(np.uint8).reshape(-1, 8, 8, 1)
    labels = [str(int(value)) for value in table[:, -1]]
    return ArraySource(spec, pixels, entries_for(len(pixels), labels), "", DIGIT_CLASSES)


def _digits_lines() -> list[str]:
    """The lines of scikit-learn's table, read without the two seconds its import takes."""
    found = importlib.util.find_spec("sklearn")
    if found is None or found.origin is None:
        raise MissingExtraError("scikit-learn", "all")
    path = Path(found.origin).parent / "datasets" / "data" / "digits.csv.gz"
    with gzip.open(path, "rt", encoding="ascii") as file:
        return file.readlines()
