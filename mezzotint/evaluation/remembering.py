"""Numbers of sets of features, kept in the cache by what they were computed from."""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path

import numpy as np

from mezzotint import metrics
from mezzotint.data.cache import cache_home
from mezzotint.features.extractor import Features
from mezzotint.storage.files import json_bytes, make_folder, replace_bytes

Numbers = Mapping[str, tuple[float, ...]]


def remembered(name: str, compute: Callable[[], Numbers], *sets: Features) -> Numbers:
    """What ``compute`` makes of the sets, from the cache if it has made it before.

    The key is the content of the sets and of the code of ``mezzotint.metrics``.

    Args:
        name: of what is computed.
        compute: name -> numbers, a pure function of the sets.
        sets: features (N, d).

    Raises:
        StorageError, CannotCreateError: the cache cannot be written.
    """
    file = cache_home() / "numbers" / f"{name}-{_key(sets)}.json"
    found = _kept(file)
    if found is None:
        found = compute()
        if all(math.isfinite(number) for row in found.values() for number in row):
            make_folder(file.parent)
            replace_bytes(file, json_bytes({key: list(row) for key, row in found.items()}))
    return found


def _kept(file: Path) -> Numbers | None:
    """What the file holds; None where there is none, or a damaged one."""
    try:
        return {key: tuple(map(float, row)) for key, row in json.loads(file.read_bytes()).items()}
    except (OSError, ValueError, TypeError, AttributeError):
        return None


def _key(sets: tuple[Features, ...]) -> str:
    digest = hashlib.sha256(_code())
    for rows in sets:
        digest.update(f"{rows.shape} {rows.dtype}".encode())
        digest.update(np.ascontiguousarray(rows).data)
    return digest.hexdigest()[:32]


@cache
def _code() -> bytes:
    """Digest of the modules that compute: other code may give other numbers."""
    digest = hashlib.sha256()
    for file in sorted(Path(metrics.__path__[0]).glob("*.py")):
        digest.update(file.read_bytes())
    return digest.digest()
