"""Which images a training step sees: a pure function of (seed, images seen, rank, world).

No sampler state, no skipped batches: a run that resumes at any point asks for the rows at that
point and gets the ones the unbroken run would have had.
"""

from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


@lru_cache(maxsize=4)
def epoch_order(count: int, seed: int, epoch: int) -> Rows:
    """A permutation of ``range(count)`` that depends on (count, seed, epoch) alone."""
    key = blake2b(repr(("order", count, seed, epoch)).encode(), digest_size=16).digest()
    generator = np.random.Generator(np.random.Philox(key=int.from_bytes(key, "little")))
    order = generator.permutation(count)
    order.flags.writeable = False
    return order


def rows_at(count: int, seed: int, seen: int, batch: int) -> Rows:
    """The ``batch`` rows after ``seen`` images of an endless stream of shuffled epochs.

    Every epoch holds each of the ``count`` rows once; a batch may span epochs.
    """
    parts = []
    while batch > 0:
        epoch, start = divmod(seen, count)
        part = epoch_order(count, seed, epoch)[start : start + batch]
        parts.append(part)
        seen, batch = seen + len(part), batch - len(part)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)


def share(batch: int, rank: int, world: int) -> slice:
    """The part of a global batch that one of ``world`` processes holds."""
    return slice(batch * rank // world, batch * (rank + 1) // world)
