"""Fine detail: how much of it pictures have, whether it has shape, how calm their calm places are.

Three numbers, because each alone is blind to something. Energy by octave of the cosine transform
sees noise and blur, but not whether detail is edges or grain of the same spectrum. The kurtosis of
what a blur takes away tells those apart: edges are rare and strong, grain is everywhere. The level
of the quietest places sees a veil over a picture whose edges hide it from both.
"""

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from mezzotint.metrics.intervals import NORMAL, RESAMPLES, Estimate

Pixels = NDArray[np.uint8]
Numbers = NDArray[np.float64]
Planes = NDArray[np.float32]

SMALLEST = 8  # pixels a side, below which there are no octaves
OCTAVES = {"finest": 0.25, "octave2": 0.125, "octave3": 0.0625, "coarse": 0.0}
BANDS = 4  # of an octave, for the plot
LOWEST_BAND = 2.0**-10
BLUR, REACH = 1.0, 4  # standard deviation and radius of the blur, in pixels
CELLS, LEAST_CELL, MOST_CELL = 8, 4, 8  # a side has about 8 cells; pixels of a cell
QUIET = 0.1  # quantile over the cells of a picture
HEARD = 1.0  # grey levels, below which no eye tells noise from none
LEAST_SHARE = 1e-4  # of all energy, below which an octave of the reference is called empty
ROUNDING = 1 / 12  # energy of a coefficient that is only the rounding to 256 levels
DRAWN = 100  # resamples at once
NOTHING = 1e-9  # stands for 0 where something is divided by it
RIM, RING = (7 / 16, 0.5), (6 / 16, 7 / 16)  # cycles a pixel along an axis
AT_ONCE = 1 << 22  # numbers of pictures held as floats
GROUNDS = {"on white": 255.0, "on black": 0.0}


class Looks(NamedTuple):
    """What was seen of n pictures; a row a picture.

    Attributes:
        energy: (n, B) energy in bands of frequency, grey levels squared: the part of the picture's
            variance that lies there, mean over colours.
        area: (B,) share of all frequencies that lies in each band.
        edge: (n, 2) energy a coefficient in the outermost frequencies, those of a pattern that
            repeats every two pixels, and in those just inside.
        kurtosis: (n,) of the residual of a blur; NaN where nothing is left of it.
        quiet: (n,) level of the quietest places, grey levels.
    """

    energy: Numbers
    area: Numbers
    edge: Numbers
    kurtosis: Numbers
    quiet: Numbers


class Contrast(NamedTuple):
    """One number of made pictures and of real ones.

    Attributes:
        made, real: the number of each.
        ratio: made to real.
        ground: what transparent pictures were laid on where the two differed more; empty for
            others.
    """

    made: Estimate
    real: Estimate
    ratio: Estimate
    ground: str = ""


def band_edges() -> Numbers:
    """Lower ends of the bands, cycles a pixel, from coarse to fine; the first one is 0."""
    finer = np.log2(0.5 / LOWEST_BAND) * BANDS
    edges: Numbers = LOWEST_BAND * 2.0 ** (np.arange(int(finer) + 1) / BANDS)
    return np.concatenate([[0.0], edges])


def frequencies(height: int, width: int) -> Numbers:
    """Cycles a pixel of each coefficient (H, W) of a cosine transform: hypot(k / 2H, l / 2W)."""
    return np.hypot(_along(height)[:, None], _along(width)[None])


def _along(side: int) -> Numbers:
    return np.arange(side) / (2 * side)


@lru_cache(maxsize=8)
def cosine_matrix(side: int) -> Planes:
    """The orthonormal DCT-II as a matrix (side, side); Ahmed, Natarajan & Rao 1974."""
    at = np.arange(side)
    matrix = np.sqrt(2 / side) * np.cos(np.pi * at[:, None] * (2 * at[None] + 1) / (2 * side))
    matrix[0] /= np.sqrt(2)
    return np.asarray(matrix, np.float32)


@lru_cache(maxsize=8)
def blur_matrix(side: int) -> Planes:
    """A Gaussian blur of ``BLUR`` pixels as a matrix (side, side), mirrored at the borders."""
    steps = np.arange(-REACH, REACH + 1)
    weights = np.exp(-0.5 * (steps / BLUR) ** 2)
    weights /= weights.sum()
    seen = np.pad(np.arange(side), REACH, mode="symmetric")
    matrix = np.zeros((side, side))
    for row in range(side):
        np.add.at(matrix[row], seen[row : row + 2 * REACH + 1], weights)
    return np.asarray(matrix, np.float32)


def grounds(pixels: Pixels) -> Mapping[str, Callable[[Pixels], Planes]]:
    """Ways to see pictures uint8 (n, H, W, C) as planes (n, C', H, W) of grey levels, by name.

    One, without a name, for 1 and 3 channels; straight alpha is laid on white and on black.

    Raises:
        ValueError: not uint8 pictures of 1, 3 or 4 channels of at least 8 pixels a side.
    """
    if pixels.dtype != np.uint8 or pixels.ndim != 4 or pixels.shape[3] not in (1, 3, 4):
        raise ValueError(f"want uint8 (n, H, W, 1|3|4), got {pixels.dtype} {pixels.shape}")
    if min(pixels.shape[1:3]) < SMALLEST or not len(pixels):
        raise ValueError(f"want pictures of at least {SMALLEST} pixels a side, got {pixels.shape}")
    if pixels.shape[3] < 4:
        return {"": _planes}
    return {name: partial(_laid, level=level) for name, level in GROUNDS.items()}


def _planes(pixels: Pixels) -> Planes:
    return np.ascontiguousarray(np.moveaxis(pixels, -1, 1), np.float32)


def _laid(pixels: Pixels, level: float) -> Planes:
    """a c + (1 - a) ground (Porter & Duff 1984), not rounded."""
    planes = _planes(pixels)
    alpha = planes[:, 3:] / 255
    return np.asarray(alpha * planes[:, :3] + (1 - alpha) * np.float32(level), np.float32)


def look(pixels: Pixels) -> dict[str, Looks]:
    """What there is to see of pictures uint8 (n, H, W, C), by what they are laid on.

    Raises:
        ValueError: as :func:`grounds`.
    """
    each = max(1, AT_ONCE // pixels[0].size) if len(pixels) else 1
    parts = [pixels[at : at + each] for at in range(0, len(pixels), each)]
    return {
        name: _joined([_look(lay(part)) for part in parts]) for name, lay in grounds(pixels).items()
    }


def _joined(parts: list[Looks]) -> Looks:
    together = [np.concatenate(field) for field in zip(*parts, strict=True)]
    return Looks(*together)._replace(area=parts[0].area)


def _look(planes: Planes) -> Looks:
    power = powers(planes)
    left = residuals(planes)
    return Looks(*banded(power), edges(power), kurtoses(left), quiet_levels(left))


def powers(planes: Planes) -> Numbers:
    """Squared cosine coefficients (n, H, W) of planes (n, C, H, W), mean over colours.

    The transform is not Fourier's, which sees the jump between opposite borders as fine detail.
    The mean of each colour is removed.
    """
    height, width = planes.shape[-2:]
    centred = planes - planes.mean((2, 3), keepdims=True)
    found = cosine_matrix(height) @ centred @ cosine_matrix(width).T
    return np.asarray(np.square(found).mean(1, dtype=np.float64))


def banded(power: Numbers) -> tuple[Numbers, Numbers]:
    """Energy in each band (n, B), which adds up to the variance, and the bands' areas (B,)."""
    lows, size = band_edges(), power[0].size
    bands = np.searchsorted(lows, frequencies(*power.shape[1:]).ravel(), "right") - 1
    area = np.bincount(bands, minlength=len(lows)) / size
    member = (bands[:, None] == np.arange(len(lows))).astype(np.float64)
    return power.reshape(len(power), -1) @ member / size, area


def edges(power: Numbers) -> Numbers:
    """Energy a coefficient (n, 2) where an axis repeats every two pixels, and just inside."""
    height, width = power.shape[1:]
    far = np.maximum(_along(height)[:, None], _along(width)[None])
    return np.stack([power[:, (far >= a) & (far < b)].mean(1) for a, b in (RIM, RING)], 1)


def residuals(planes: Planes) -> Planes:
    """What a blur of one pixel takes away: x - blur(x), of planes (n, C, H, W)."""
    height, width = planes.shape[-2:]
    return np.asarray(planes - blur_matrix(height) @ planes @ blur_matrix(width).T)


def kurtoses(left: Planes) -> Numbers:
    """E r^4 / (E r^2)^2 over each picture's residual: (n,); 3 for Gaussian noise.

    NaN where the residual is nothing but rounding.
    """
    squares = np.square(left.reshape(len(left), -1).astype(np.float64))
    level = squares.mean(1)
    found = np.square(squares).mean(1) / np.square(np.maximum(level, ROUNDING))
    return np.where(level > ROUNDING, found, np.nan)


def cell_side(height: int, width: int) -> int:
    """Pixels of a cell's side: about an eighth of the picture's shorter side, from 4 to 8."""
    return int(np.clip(min(height, width) // CELLS, LEAST_CELL, MOST_CELL))


def quiet_levels(left: Planes) -> Numbers:
    """Level of the quietest places (n,), grey levels: a low quantile over cells.

    A cell's level is the root of the mean square of the residual over its pixels and colours.
    """
    count, colours, height, width = left.shape
    side = cell_side(height, width)
    rows, columns = height // side, width // side
    cells = np.square(left[:, :, : rows * side, : columns * side], dtype=np.float64)
    cells = cells.reshape(count, colours, rows, side, columns, side).mean((1, 3, 5))
    return np.asarray(np.quantile(np.sqrt(cells).reshape(count, -1), QUIET, axis=1))


def octave_energy(seen: Looks) -> dict[str, Numbers]:
    """Energy of each picture (n,) in each octave, finest first."""
    lows, found, top = band_edges(), {}, np.inf
    for name, low in OCTAVES.items():
        inside = (lows >= low) & (lows < top)
        found[name], top = seen.energy[:, inside].sum(1), low
    return found


def empty_octaves(real: Mapping[str, Looks]) -> tuple[str, ...]:
    """Octaves that the pictures have next to nothing in, as enlarged ones do: nothing to compare.

    Less than 1e-4 of all energy, or no more than the rounding to 256 levels leaves, on any ground.
    """
    found = []
    for name in OCTAVES:
        for seen in real.values():
            energy, whole = octave_energy(seen)[name].mean(), seen.energy.sum(1).mean()
            if energy <= max(LEAST_SHARE * whole, ROUNDING * _area(seen, name)):
                found.append(name)
    return tuple(dict.fromkeys(found))


def _area(seen: Looks, name: str) -> float:
    area = octave_energy(Looks(seen.area[None], *seen[1:]))[name]
    return float(area[0])


def contrasts(
    made: Mapping[str, Looks], real: Mapping[str, Looks], paired: bool = False
) -> dict[str, Contrast]:
    """Made pictures against real ones, with what chance does to both sides.

    Names: the octaves (energy, grey levels squared, the ratio of means), ``checks`` (energy of
    patterns of two pixels over that of slightly coarser ones), ``kurtosis`` (medians) and ``quiet``
    (grey levels; the ratio is that of sqrt(1 + level^2), since below one level nothing is seen).
    Of transparent pictures the ground on which the two differ more, with an interval of 97.5% in
    place of 95%, as it was chosen of two. Missing are octaves that :func:`empty_octaves` names, and
    a kurtosis where no picture has one.

    Args:
        made, real: what :func:`look` saw, on the same grounds.
        paired: picture i of one side was made of picture i of the other, as a reconstruction is.
    """
    found: dict[str, Contrast] = {}
    chance = 0.05 / len(made)
    for ground, looks in made.items():
        for name, (one, other, of) in _statistics(looks, real[ground]).items():
            seeds = (0, 0) if paired and len(one) == len(other) else (0, 1)
            seen = _contrast(one, other, of, seeds, chance)._replace(ground=ground)
            if name not in found or _apart(seen) > _apart(found[name]):
                found[name] = seen
    return {name: found[name] for name in found if name not in empty_octaves(real)}


def _apart(seen: Contrast) -> float:
    return abs(float(np.log(max(seen.ratio.value, NOTHING))))


class _Statistic(NamedTuple):
    """How pictures' numbers become one: resampled rows -> number, and what of it is compared."""

    of: Callable[[Numbers], Numbers]
    heard: Callable[[Numbers], Numbers]


def _mean(rows: Numbers) -> Numbers:
    return np.asarray(rows.mean(-2)[..., 0])


def _ratio_of_means(rows: Numbers) -> Numbers:
    """The rounding on both sides keeps flat pictures at 1."""
    means = rows.mean(-2) + ROUNDING
    return np.asarray(means[..., 0] / means[..., 1])


def _median(rows: Numbers) -> Numbers:
    return np.asarray(np.median(rows[..., 0], -1))


def _quiet(rows: Numbers) -> Numbers:
    """The level whose sqrt(1 + level^2) is the pictures' geometric mean."""
    return np.asarray(HEARD * np.sqrt(np.expm1(np.log1p(np.square(rows / HEARD)).mean(-2))[..., 0]))


def _same(found: Numbers) -> Numbers:
    return found


def _heard(level: Numbers) -> Numbers:
    return np.hypot(level, HEARD)


MEAN, MEDIAN = _Statistic(_mean, _same), _Statistic(_median, _same)
EDGE, LEVEL = _Statistic(_ratio_of_means, _same), _Statistic(_quiet, _heard)


def _statistics(made: Looks, real: Looks) -> dict[str, tuple[Numbers, Numbers, _Statistic]]:
    """Rows of both sides, (n, 1 or 2), and what is made of them."""
    ours, theirs = octave_energy(made), octave_energy(real)
    found = {name: (ours[name][:, None], theirs[name][:, None], MEAN) for name in OCTAVES}
    found["checks"] = made.edge, real.edge, EDGE
    peaked = [seen.kurtosis[np.isfinite(seen.kurtosis)][:, None] for seen in (made, real)]
    if all(map(len, peaked)):
        found["kurtosis"] = peaked[0], peaked[1], MEDIAN
    found["quiet"] = made.quiet[:, None], real.quiet[:, None], LEVEL
    return found


def _contrast(
    made: Numbers, real: Numbers, statistic: _Statistic, seeds: tuple[int, int], chance: float
) -> Contrast:
    """Both numbers and their ratio with percentile intervals, both sides resampled by pictures."""
    sides = [statistic.of(rows) for rows in (made, real)]
    drawn = [_resampled(made, statistic.of, seeds[0]), _resampled(real, statistic.of, seeds[1])]
    ends = [statistic.heard(numbers) for numbers in (*sides, *drawn)]
    ratio, ratios = (ends[at] / np.maximum(ends[at + 1], NOTHING) for at in (0, 2))
    ours, theirs = (_interval(float(a), many, chance) for a, many in zip(sides, drawn, strict=True))
    return Contrast(ours, theirs, _interval(float(ratio), ratios, chance))


def _resampled(rows: Numbers, of: Callable[[Numbers], Numbers], seed: int) -> Numbers:
    """The number of ``RESAMPLES`` draws of as many rows with replacement."""
    generator = np.random.default_rng(seed)
    count = len(rows)
    parts = [
        of(rows[generator.integers(0, count, (DRAWN, count))]) for _ in range(RESAMPLES // DRAWN)
    ]
    return np.concatenate(parts)


def _interval(value: float, drawn: Numbers, chance: float) -> Estimate:
    low, high = np.quantile(drawn, (chance / 2, 1 - chance / 2))
    return Estimate(value, float(drawn.std()), float(low), float(high))


def detail(made: Pixels, real: Pixels) -> dict[str, Contrast]:
    """Made pictures against real ones, both uint8 (n, H, W, C): :func:`contrasts` of both looks.

    Raises:
        ValueError: as :func:`grounds`, or only one side has transparency.
    """
    ours, theirs = look(made), look(real)
    if ours.keys() != theirs.keys():
        raise ValueError(f"pictures of {made.shape[-1]} and of {real.shape[-1]} channels")
    return contrasts(ours, theirs)


def spectrum(seen: Looks) -> list[tuple[float, Estimate]]:
    """Energy a coefficient at each frequency, coarse to fine: what a plot of the spectrum shows.

    Returns:
        (cycles a pixel, mean over pictures in grey levels squared with its interval) for each band
        that has coefficients; white noise of standard deviation s has s^2 in all of them.
    """
    lows = band_edges()
    centres = np.append(np.sqrt(lows[1:-1] * lows[2:]), (lows[-1] + np.sqrt(0.5)) / 2)
    found = []
    for at, centre in enumerate(centres, 1):
        if seen.area[at] > 0:
            density = seen.energy[:, at] / seen.area[at]
            mean = float(density.mean())
            factor = float(np.exp(NORMAL * _error(density) / max(mean, NOTHING)))
            told = Estimate(mean, float(density.std()), mean / factor, mean * factor)
            found.append((float(centre), told))
    return found


def quick_ratio(
    made: Mapping[str, Looks], real: Mapping[str, Looks], paired: bool = False
) -> Estimate | None:
    """Finest octave of made over real pictures by the delta method, for few pictures.

    se(log R) = sqrt(cv_s^2 / n_s + cv_r^2 / n_r); of transparent pictures the ground on which the
    two differ more.

    Args:
        made, real: what :func:`look` saw, on the same grounds.
        paired: picture i of one side was made of picture i of the other.

    Returns:
        None where the real ones have no fine detail.
    """
    if "finest" in empty_octaves(real):
        return None
    found = [
        _delta(octave_energy(looks)["finest"], octave_energy(real[name])["finest"], paired)
        for name, looks in made.items()
    ]
    return max(found, key=lambda one: abs(np.log(max(one.value, NOTHING))))


def _delta(made: Numbers, real: Numbers, paired: bool) -> Estimate:
    ratio = float(made.mean() / real.mean())
    one, other = made / max(made.mean(), NOTHING), real / real.mean()
    error = _error(one - other) if paired else float(np.hypot(_error(one), _error(other)))
    factor = float(np.exp(NORMAL * error))
    return Estimate(ratio, ratio * error, ratio / factor, ratio * factor)


def _error(values: Numbers) -> float:
    return float(values.std() / np.sqrt(len(values)))
