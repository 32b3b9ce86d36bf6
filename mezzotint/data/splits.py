"""Which images are held out, decided by their content and never by the order of files."""

import hashlib
from collections import defaultdict
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from mezzotint.data.entry import Split

FRACTION = 0.1
MOST_HELD_OUT = 10_000
SEED = b"mezzotint split 0"


def split_by_content(digests: Sequence[bytes]) -> NDArray[np.bool_]:
    """Choose about a tenth of the images to hold out; equal images stay on one side.

    Groups of equal images are ordered by a digest of their content, and each that still fits is
    taken until a tenth (at least 1 image, at most 10,000) is reached.

    Args:
        digests: one content digest per image.

    Returns:
        (n,) bool, True where the image is held out. All False when fewer than two different
        images exist.
    """
    groups = _groups(digests)
    held_out = np.zeros(len(digests), dtype=np.bool_)
    for group in _chosen(groups, _target(len(digests))) if len(groups) > 1 else ():
        held_out[group] = True
    return held_out


def split_by_source(sides: Sequence[Split | None]) -> NDArray[np.bool_] | None:
    """The split the source itself carries, as (n,) bool; None when it does not name both sides.

    An image the source says nothing about belongs to the training side.
    """
    held_out = np.array([side == "held_out" for side in sides], dtype=np.bool_)
    return held_out if held_out.any() and not held_out.all() else None


def _groups(digests: Sequence[bytes]) -> list[list[int]]:
    """Rows of equal content together, ordered by a digest of that content."""
    members: dict[bytes, list[int]] = defaultdict(list)
    for row, digest in enumerate(digests):
        members[digest].append(row)
    return [members[digest] for digest in sorted(members, key=_order)]


def _order(digest: bytes) -> bytes:
    return hashlib.sha256(digest + SEED).digest()


def _target(count: int) -> int:
    return min(max(round(count * FRACTION), 1), MOST_HELD_OUT)


def _chosen(groups: list[list[int]], target: int) -> list[list[int]]:
    """The first groups that fit into ``target`` images, or the smallest when none does."""
    chosen, room = [], target
    for group in groups:
        if len(group) <= room:
            chosen.append(group)
            room -= len(group)
        if not room:
            break
    return chosen or [min(groups, key=len)]
