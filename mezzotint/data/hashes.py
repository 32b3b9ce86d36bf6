"""Which pictures are nearly the same: perceptual hashes find candidates, a fit decides.

A 64-bit hash of the low frequencies (Zauner 2010, "Implementation and benchmarking of perceptual
image hash functions") proposes pairs cheaply. It cannot tell one plain shape from the next, so
each proposed pair is compared once more on small pictures: one is fitted to the other by gain,
offset, shift and zoom (one step of Lucas and Kanade 1981), and what the fit leaves over decides.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from itertools import combinations

import numpy as np
from PIL import Image

SIDE = 32  # pixels of a small picture
RADIUS = 8  # bits of 64 two hashes of one picture may differ in
RESIDUAL = 0.10  # of the contrast the fit may leave over

_PATCH = 4  # colour is compared at a quarter of SIDE
_BANDS, _BITS = 4, 16
_CHUNK = 1 << 18  # pairs in memory at a time
_BLOCK = 512  # pairs compared at a time
_CROWD = 64  # holders of one code that are compared with everything
_NOISE = 1.0  # levels that resampling and JPEG leave whatever the contrast
_TEXTURE, _TEXTURE_SLOPE = 0.7, 0.7  # roughness beyond which more may be left over, and how much
_SLIP = 0.4  # pixels a crop displaces content by, on the average over the picture
_MAX_SHIFT = 1.5  # pixels
_GAIN = (0.8, 1.25)
_MAX_COLOUR, _MAX_LIGHT = 6.0, 32.0  # levels

Array = np.ndarray


@dataclass(frozen=True)
class Prints:
    """Small pictures of N images and what the comparison needs of each.

    Attributes:
        luma: uint8 (N, 32, 32), ITU-R 601.
        chroma: int8 (N, 8, 8, 2), Cb and Cr around 0.
        spread: float32 (N,), standard deviation of luma in levels.
        rough: float32 (N,), root mean square slope per pixel over ``spread``.
    """

    luma: Array
    chroma: Array
    spread: Array
    rough: Array

    def __getitem__(self, rows: Array) -> "Prints":
        return Prints(*(getattr(self, field.name)[rows] for field in fields(self)))


def shrink(image: Array) -> Array:
    """A picture squeezed to a square: uint8 (H, W, 3) to uint8 (32, 32, 3), antialiased."""
    small = Image.fromarray(image).resize((SIDE, SIDE), Image.Resampling.BILINEAR)
    return np.asarray(small)


def prints(small: Array) -> Prints:
    """Fingerprints of uint8 (N, 32, 32, 3) pictures made by :func:`shrink`."""
    red, green, blue = np.moveaxis(small.astype(np.float32), -1, 0)
    luma = 0.299 * red + 0.587 * green + 0.114 * blue
    chroma = np.stack([0.564 * (blue - luma), 0.713 * (red - luma)], axis=-1)
    cells = SIDE // _PATCH
    pooled = chroma.reshape(-1, cells, _PATCH, cells, _PATCH, 2).mean(axis=(2, 4))
    spread = luma.std(axis=(1, 2))
    slope = np.sqrt(sum((np.gradient(luma, axis=axis) ** 2).mean(axis=(1, 2)) for axis in (1, 2)))
    rough = slope / np.maximum(spread, 1e-3)
    colour = np.clip(np.rint(pooled), -127, 127).astype(np.int8)
    return Prints(np.rint(luma).astype(np.uint8), colour, spread, rough)


def join(parts: list[Prints]) -> Prints:
    """Fingerprints of several batches as one."""
    columns = ([getattr(part, field.name) for part in parts] for field in fields(Prints))
    return Prints(*(np.concatenate(column) for column in columns))


def phash(luma: Array) -> Array:
    """64-bit hashes of (N, 32, 32) pictures, as uint64 (N,).

    Bit = whether one of the 8x8 lowest DCT coefficients is above the median of those 63 that are
    not the mean.
    """
    angle = np.pi * np.outer(np.arange(8), 2 * np.arange(SIDE) + 1) / (2 * SIDE)
    basis = np.cos(angle).astype(np.float32)
    basis[0] /= np.sqrt(2)
    low = (basis @ luma.astype(np.float32) @ basis.T).reshape(-1, 64)
    bits = low > np.median(low[:, 1:], axis=1, keepdims=True)
    return np.packbits(bits, axis=1).view(">u8").ravel().astype(np.uint64)


def pairs_within(codes: Array, radius: int) -> Iterator[Array]:
    """All pairs of codes at most ``radius`` bits apart, each once, in blocks.

    Multi-index hashing (Norouzi, Punjani and Fleet 2012): if two codes differ in at most
    ``radius`` bits, then one of their four 16-bit bands differs in at most ``radius // 4``.

    Args:
        codes: uint64 (N,).
        radius: bits.

    Yields:
        int64 (k, 2) indices with first < second.
    """
    slack = radius // _BANDS
    shifts = np.arange(_BANDS, dtype=np.uint64)[:, None] * np.uint64(_BITS)
    bands = ((codes >> shifts) & np.uint64(0xFFFF)).astype(np.int64)
    for number, band in enumerate(bands):
        for first, second in _joins(band, slack):
            keep = first < second
            first, second = first[keep], second[keep]
            keep = np.bitwise_count(codes[first] ^ codes[second]) <= radius
            first, second = first[keep], second[keep]
            earlier = bands[:number]
            seen = (np.bitwise_count(earlier[:, first] ^ earlier[:, second]) <= slack).any(axis=0)
            yield np.stack([first[~seen], second[~seen]], axis=1)


def _joins(values: Array, slack: int) -> Iterator[tuple[Array, Array]]:
    """Index pairs, both ways round, of 16-bit values that differ in at most ``slack`` bits."""
    order = np.argsort(values, kind="stable")
    starts = np.searchsorted(values[order], np.arange((1 << _BITS) + 1))
    for mask in _masks(slack):
        wanted = values ^ mask
        yield from _spread_out(order, starts[wanted], starts[wanted + 1])


def _masks(slack: int) -> list[int]:
    chosen = (bits for count in range(slack + 1) for bits in combinations(range(_BITS), count))
    return [sum(1 << bit for bit in bits) for bits in chosen]


def _spread_out(order: Array, low: Array, high: Array) -> Iterator[tuple[Array, Array]]:
    """Query i with each of order[low[i]:high[i]], about ``_CHUNK`` pairs at a time."""
    counts = high - low
    edges = np.flatnonzero(np.diff(np.cumsum(counts) // _CHUNK)) + 1
    for part in np.split(np.arange(len(low)), edges):
        many = counts[part]
        within = np.arange(many.sum()) - np.repeat(np.cumsum(many) - many, many)
        yield np.repeat(part, many), order[np.repeat(low[part], many) + within]


def candidates(codes: Array, radius: int = RADIUS) -> Iterator[Array]:
    """Pairs worth a comparison, as :func:`pairs_within`, with a bound on crowds.

    Where more than 64 images share one code, the rest of them are paired with those 64 only.
    """
    order = np.argsort(codes, kind="stable")
    _, starts, counts = np.unique(codes[order], return_index=True, return_counts=True)
    rank = np.arange(len(codes)) - np.repeat(starts, counts)
    leaders = np.sort(order[rank < _CROWD])
    for pairs in pairs_within(codes[leaders], radius):
        yield leaders[pairs]
    crowded = counts > _CROWD
    for start, count in zip(starts[crowded], counts[crowded]):
        head, rest = order[start : start + _CROWD], order[start + _CROWD : start + count]
        for follower in rest:
            yield np.stack([head, np.full(len(head), follower)], axis=1)


def alike(first: Prints, second: Prints, residual: float = RESIDUAL) -> Array:
    """Whether each picture of ``first`` shows the same as its partner in ``second``: bool (N,).

    Args:
        first, second: N fingerprints each.
        residual: share of the contrast that may differ after the fit; rough textures, which a
            small displacement changes more, are allowed more.
    """
    rough = np.minimum(first.rough, second.rough)
    share = residual + _TEXTURE_SLOPE * np.maximum(rough - _TEXTURE, 0)
    left = share * second.spread + _NOISE
    same = _colour_apart(first, second) <= _MAX_COLOUR
    a, b = first.luma.astype(np.float32), second.luma.astype(np.float32)
    same &= _unexplained(a, b) <= left + _SLIP * rough * second.spread
    rows = np.flatnonzero(same)
    error, gain, shift = _fit(a[rows], b[rows])
    fits = (error <= left[rows]) & (gain > _GAIN[0]) & (gain < _GAIN[1]) & (shift < _MAX_SHIFT)
    same[rows] = fits & (np.abs((a - b)[rows].mean(axis=(1, 2))) < _MAX_LIGHT)
    return same


def _colour_apart(first: Prints, second: Prints) -> Array:
    gap = first.chroma.astype(np.float32) - second.chroma
    apart: Array = np.sqrt((gap**2).mean(axis=(1, 2, 3)))
    return apart


def _unexplained(a: Array, b: Array) -> Array:
    """Root mean square of b left over by the best gain and offset of a, in levels."""
    a = a - a.mean(axis=(1, 2), keepdims=True)
    b = b - b.mean(axis=(1, 2), keepdims=True)
    aa, bb, ab = (np.einsum("nij,nij->n", x, y) for x, y in ((a, a), (b, b), (a, b)))
    gain = np.maximum(ab, 0) / np.maximum(aa, 1e-3)
    rest: Array = np.sqrt(np.maximum(bb - gain * ab, 0)) / SIDE
    return rest


def _fit(a: Array, b: Array) -> tuple[Array, Array, Array]:
    """Least squares of b on a, its offset, shift and zoom.

    Returns:
        Root mean square left over (levels), gain, largest displacement (pixels); each (N,).
    """
    across, down = np.gradient(a, axis=2), np.gradient(a, axis=1)
    ramp = np.linspace(-1, 1, SIDE, dtype=np.float32)
    zooms = (across * ramp, down * ramp[:, None])
    terms = np.stack([np.ones_like(a), a, across, down, *zooms], axis=1).reshape(-1, 6, SIDE * SIDE)
    flat = b.reshape(-1, SIDE * SIDE, 1)
    normal = (terms @ terms.transpose(0, 2, 1)).astype(np.float64) + 1e-3 * np.eye(6)
    weight = np.linalg.solve(normal, (terms @ flat).astype(np.float64))[..., 0]
    rest = flat[..., 0] - (weight[:, None] @ terms)[:, 0]
    error = np.sqrt((rest**2).mean(axis=1))
    gain = weight[:, 1]
    shift = np.abs(weight[:, 2:]).max(axis=1) / np.maximum(np.abs(gain), 1e-6)
    return error, gain, shift


def groups(found: Prints, residual: float = RESIDUAL, radius: int = RADIUS) -> list[list[int]]:
    """Sets of two or more nearly equal pictures, chained: a like b and b like c is one set."""
    label = np.arange(len(found.luma))
    for pairs in candidates(phash(found.luma), radius):
        for start in range(0, len(pairs), _BLOCK):
            _merge_alike(found, pairs[start : start + _BLOCK], label, residual)
    order = np.argsort(label, kind="stable")
    edges = np.flatnonzero(np.diff(label[order])) + 1
    return [part.tolist() for part in np.split(order, edges) if len(part) > 1]


def _merge_alike(found: Prints, pairs: Array, label: Array, residual: float) -> None:
    """Compare pairs that are not in one set yet; ``label`` holds the lowest member of each set."""
    pairs = pairs[label[pairs[:, 0]] != label[pairs[:, 1]]]
    if not len(pairs):
        return
    same = alike(found[pairs[:, 0]], found[pairs[:, 1]], residual)
    for first, second in label[pairs[same]]:
        low, high = sorted((label[first], label[second]))
        label[label == high] = low
