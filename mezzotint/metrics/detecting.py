"""How well scores tell bad from good: curves and the areas under them. Higher scores are worse."""

from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]
Labels = NDArray[np.int64]
AUPRO_LIMIT = 0.3
LEVELS, HALF_MOST = 1 << 16, 65504.0  # of float16: its values, its largest


class Curve(NamedTuple):
    """Precision and recall at every threshold, from the strictest to the laxest."""

    precision: Numbers
    recall: Numbers
    thresholds: Numbers


def auroc(scores: ArrayLike, bad: ArrayLike) -> float:
    """The chance that a bad one scores above a good one; ties count half (Hanley & McNeil 1982).

    Args:
        scores: (n,) or any shape; flattened.
        bad: as many marks, true for bad.

    Raises:
        ValueError: all are good, all are bad, or a score is not finite.
    """
    values, marks = _pair(scores, bad)
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    middle = np.cumsum(counts) - (counts - 1) / 2  # mean rank of equal scores, from 1
    positive = int(marks.sum())
    above = middle[inverse][marks].sum() - positive * (positive + 1) / 2
    return float(above / (positive * (len(marks) - positive)))


def precision_recall(scores: ArrayLike, bad: ArrayLike) -> Curve:
    """Precision and recall of calling bad what scores at least as high as each threshold.

    Raises:
        ValueError: as :func:`auroc`.
    """
    values, marks = _pair(scores, bad)
    order = np.argsort(-values, kind="stable")
    last = _last_of_ties(values[order])
    hits = np.cumsum(marks[order])[last]
    return Curve(hits / (last + 1), hits / marks.sum(), values[order][last])


def average_precision(scores: ArrayLike, bad: ArrayLike) -> float:
    """sum_n (R_n - R_(n-1)) P_n, the area under the curve without interpolation.

    Raises:
        ValueError: as :func:`auroc`.
    """
    curve = precision_recall(scores, bad)
    return float((np.diff(curve.recall, prepend=0) * curve.precision).sum())


def f1(called: ArrayLike, bad: ArrayLike) -> float:
    """2 TP / (2 TP + FP + FN); 0 where nothing is bad and nothing is called so."""
    calls, marks = np.asarray(called, dtype=bool), np.asarray(bad, dtype=bool)
    total = int(calls.sum() + marks.sum())
    return 2 * int((calls & marks).sum()) / total if total else 0.0


def aupro(maps: ArrayLike, masks: ArrayLike, limit: float = AUPRO_LIMIT) -> float:
    """Area under the per-region overlap up to a false-positive rate, as a share of the most.

    Bergmann et al., 2021 (MVTec AD, IJCV 129, section 6.1): at each threshold the share of every
    defect region (8-connected) that is found, averaged over regions, against the share of all
    other pixels that are called bad.

    Args:
        maps: (n, H, W) scores of pixels; may include images without a defect.
        masks: (n, H, W), true in defects.
        limit: of the false-positive rate.

    Raises:
        ValueError: no defect, nothing else, or a score is not finite.
    """
    truth = np.asarray(masks, dtype=bool)
    values, marks = _pair(maps, truth)
    regions = np.stack([connected(mask) for mask in truth])
    order = np.argsort(-values, kind="stable")
    last = _last_of_ties(values[order])
    rates = np.cumsum(~marks[order])[last] / (~marks).sum()
    overlaps = np.cumsum(_overlap_weights(regions)[order])[last]
    return _area_up_to(np.append(0, rates), np.append(0, overlaps), limit) / limit


class PixelTally:
    """AUROC and AUPRO of maps that come one by one, of any sizes, in memory that does not grow.

    Values are counted at the 65,536 levels of float16, which round a score by a part in 2,048 and
    never change the order of two; at such values the areas equal :func:`auroc` and :func:`aupro`.
    """

    def __init__(self) -> None:
        self.good, self.bad, self.overlap = (np.zeros(LEVELS) for _ in range(3))
        self.regions = 0

    def add(self, values: ArrayLike, mask: Marks) -> None:
        """Count a map (H, W) and its mask, true in defects.

        Raises:
            ValueError: their shapes differ, or a value is not finite.
        """
        levels = level_of(values)
        if levels.shape != mask.shape:
            raise ValueError(f"a map of {levels.shape} and a mask of {mask.shape}")
        self.good += np.bincount(levels[~mask], minlength=LEVELS)
        if not mask.any():
            return
        rows, columns = (np.flatnonzero(mask.any(axis)) for axis in (1, 0))
        box = slice(rows[0], rows[-1] + 1), slice(columns[0], columns[-1] + 1)
        numbers, inside = connected(mask[box])[mask[box]], levels[box][mask[box]]
        sizes = np.bincount(numbers)
        self.bad += np.bincount(inside, minlength=LEVELS)
        self.overlap += np.bincount(inside, 1 / sizes[numbers], minlength=LEVELS)
        self.regions += len(sizes) - 1

    def auroc(self) -> float:
        """As :func:`auroc` of all pixels.

        Raises:
            ValueError: no pixel is in a defect, or all are.
        """
        good, bad = self._sums()
        below = np.cumsum(self.good) - self.good / 2
        return float((self.bad * below).sum() / (good * bad))

    def aupro(self, limit: float = AUPRO_LIMIT) -> float:
        """As :func:`aupro` of all maps.

        Raises:
            ValueError: as :meth:`auroc`.
        """
        good, _ = self._sums()
        used = np.flatnonzero(self.good + self.overlap)[::-1]
        rates = np.cumsum(self.good[used]) / good
        overlaps = np.cumsum(self.overlap[used]) / self.regions
        return _area_up_to(np.append(0, rates), np.append(0, overlaps), limit) / limit

    def _sums(self) -> tuple[float, float]:
        good, bad = float(self.good.sum()), float(self.bad.sum())
        if not good or not bad:
            raise ValueError("want good and bad pixels to tell apart")
        return good, bad


def level_of(values: ArrayLike) -> Labels:
    """Numbers 0 to 65,535 in the order of the values, rounded to float16.

    Raises:
        ValueError: a value is not finite.
    """
    exact = np.asarray(values)
    if not np.isfinite(exact).all():
        raise ValueError("want finite scores")
    half = np.clip(exact, -HALF_MOST, HALF_MOST).astype(np.float16) + np.float16(0)  # no -0
    bits = half.view(np.uint16).astype(np.int64)
    return np.asarray(np.where(bits >= LEVELS // 2, LEVELS - 1 - bits, bits + LEVELS // 2))


def connected(mask: Marks) -> Labels:
    """Numbers of the 8-connected regions of a mask (H, W), from 1; 0 outside.

    Every pixel takes the largest number among itself and its neighbours until nothing changes.
    """
    labels = np.where(mask, np.arange(1, mask.size + 1).reshape(mask.shape), 0)
    while True:
        around = np.pad(labels, 1)
        tall = np.maximum(np.maximum(around[:-2], around[1:-1]), around[2:])
        grown = np.maximum(np.maximum(tall[:, :-2], tall[:, 1:-1]), tall[:, 2:]) * mask
        if (grown == labels).all():
            return np.unique(np.append(0, labels), return_inverse=True)[1][1:].reshape(mask.shape)
        labels = grown


def _overlap_weights(regions: Labels) -> Numbers:
    """What each pixel (flat) adds to the mean overlap: 1 / (regions * pixels of its region)."""
    offsets = np.cumsum(np.append(0, regions.max((1, 2))[:-1]))[:, None, None]
    numbers = np.where(regions > 0, regions + offsets, 0).ravel()
    sizes = np.bincount(numbers)
    sizes[0] = 0
    weights = np.divide(1.0, sizes * (len(sizes) - 1), out=np.zeros(len(sizes)), where=sizes > 0)
    return np.asarray(weights[numbers])


def _area_up_to(x: Numbers, y: Numbers, limit: float) -> float:
    """Trapezoids under rising points, the last one cut at ``limit``."""
    inside = x <= limit
    at_limit = np.interp(limit, x, y)
    return float(np.trapezoid(np.append(y[inside], at_limit), np.append(x[inside], limit)))


def _last_of_ties(ordered: Numbers) -> Labels:
    """Positions after which a new score begins, the end included."""
    return np.flatnonzero(np.append(np.diff(ordered) != 0, True))


def _pair(scores: ArrayLike, bad: ArrayLike) -> tuple[Numbers, Marks]:
    values = np.asarray(scores, dtype=np.float64).ravel()
    marks = np.asarray(bad, dtype=bool).ravel()
    if len(values) != len(marks) or not np.isfinite(values).all():
        raise ValueError("want one finite score for each mark")
    if marks.all() or not marks.any():
        raise ValueError("want good and bad ones to tell apart")
    return values, marks
