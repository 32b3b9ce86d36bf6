"""How different samples are from each other, and from the images a model was trained on."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from mezzotint.metrics.arrays import (
    Points,
    distance_rows_within,
    nearest,
    nearest_within,
    pair,
    points,
)
from mezzotint.metrics.intervals import (
    FOLDS,
    Estimate,
    delete_fold,
    delete_one_variance,
    estimate,
    folds_of,
    wilson,
)
from mezzotint.metrics.neighbours import prdc

TINY = 1e-12  # eigenvalues below are rounding
CLOSE = 0.01  # share of real images that lie closer than what counts as a duplicate or a copy
SEEN = 0.1  # a class is seen when it has this share of what real images have
Labels = NDArray[np.integer]


def vendi(features: ArrayLike) -> float:
    """Effective number of different points: exp of the entropy of the spectrum (2210.02410).

    exp(-sum l ln l) over the eigenvalues l of K / n, with K the cosines between the points.

    Args:
        features: (N, d). The value lies between 1 and min(N, d) and grows with N.

    Raises:
        ValueError: the features have no such form, or a vector is zero.
    """
    unit = _unit(points(features, 2))
    return _effective(_products(unit), len(unit))


def vendi_estimate(features: ArrayLike, seed: int = 0) -> Estimate:
    """:func:`vendi` with an interval by leaving out a twentieth of the points at a time.

    Raises:
        ValueError: as :func:`vendi`.
    """
    unit = _unit(points(features, 2 * FOLDS))
    table, folds = _products(unit), folds_of(len(unit), seed)
    wide = len(table) == unit.shape[1]
    without = []
    for fold in range(FOLDS):
        gone = folds == fold
        left = table - unit[gone].T @ unit[gone] if wide else table[np.ix_(~gone, ~gone)]
        without.append(_effective(left, int((~gone).sum())))
    return delete_fold(_effective(table, len(unit)), np.array(without))


def _products(unit: Points) -> Points:
    """The smaller of the (N, N) and (d, d) tables of products: their spectra are the same."""
    return unit.T @ unit if unit.shape[1] < len(unit) else unit @ unit.T


def _effective(table: Points, count: int) -> float:
    values = np.linalg.eigvalsh(table) / count
    values = values[values > TINY]
    return float(np.exp(-(values * np.log(values)).sum()))


def _unit(rows: Points) -> Points:
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    if not lengths.all():
        raise ValueError("a feature vector is zero, so it has no direction")
    return np.asarray(rows / lengths)


def mean_pairwise_distance(features: ArrayLike) -> Estimate:
    """Mean distance between two different points of (N, d), with the jackknife's interval.

    Raises:
        ValueError: the features have no such form; N must be 3 at least.
    """
    rows = points(features, 3)
    rows, sums = rows - rows.mean(0), []
    for _, table in distance_rows_within(rows):
        table[np.isinf(table)] = 0
        sums.append(np.sqrt(table).sum(1))
    own, count = np.concatenate(sums), len(rows)
    total = own.sum()
    without = (total - 2 * own) / ((count - 1) * (count - 2))
    return estimate(total / (count * (count - 1)), delete_one_variance(without) ** 0.5)


def ratio(first: Estimate, second: Estimate) -> Estimate:
    """``first`` / ``second`` of independent positive estimates, by the delta method.

    Raises:
        ValueError: the second is not above zero.
    """
    if not second.value > 0:
        raise ValueError("a ratio to zero")
    share = first.value / second.value
    error = np.hypot(first.error, share * second.error) / second.value
    return estimate(share, float(error))


def proportion(hits: NDArray[np.bool_]) -> Estimate:
    """Share of True among (n,), with Wilson's interval (1927), which is right near 0 and 1."""
    share = float(hits.mean())
    return Estimate(share, (share * (1 - share) / len(hits)) ** 0.5, *wilson(share, len(hits)))


def duplicates(samples: ArrayLike, reals: ArrayLike) -> Estimate:
    """Share of samples with another sample nearer than 1% of real images have another one.

    Distances to the nearest of few points are larger than to the nearest of many, so both sets are
    cut to the same number. Real images have 1% by construction.

    Args:
        samples, reals: (N, d) and (M, d) in random order; the first min(N, M) of each count.

    Raises:
        ValueError: the features have no such form.
    """
    one, two = pair(samples, reals, 2)
    count = min(len(one), len(two))
    close = closeness(nearest_within(two[:count]))
    return proportion(nearest_within(one[:count]) <= close)


def closeness(distances: Points) -> float:
    """The distance below which 1% of real images lie, rounding errors of equal points included."""
    return float(max(np.quantile(distances, CLOSE), 1e-6 * np.median(distances)))


@dataclass(frozen=True)
class Memory:
    """How near samples are to the training images.

    Attributes:
        ratio: mean distance of samples to the nearest training image, over that of held-out ones;
            1 for a model that makes new images, near 0 for one that repeats its training images.
        copied: share of samples nearer to one than 1% of held-out images are.
        suspects: (n,) rows of the samples, nearest to a training image first.
    """

    ratio: Estimate
    copied: Estimate
    suspects: NDArray[np.int64]


def memorisation(samples: ArrayLike, train: ArrayLike, held_out: ArrayLike) -> Memory:
    """Nearest-neighbour distances to the training images with held-out images as control.

    After 2301.13188 and 2004.05675. The intervals take the training images as given.

    Raises:
        ValueError: the features have no such form, or every held-out image is a training image.
    """
    apart, usual = nearest(samples, train), nearest(held_out, train)
    means = [estimate(d.mean(), d.std() / np.sqrt(len(d))) for d in (apart, usual)]
    return Memory(
        ratio(*means), proportion(apart <= closeness(usual)), np.argsort(apart, kind="stable")
    )


def classes_seen(predicted: Labels, real: Labels) -> float:
    """Share of the classes of real images that samples show.

    A class is shown when its share of the samples is a tenth of its share of the real images or
    more, so that a classifier's single mistake does not count.

    Args:
        predicted: (n,) classes of samples by a classifier.
        real: (m,) classes of real images, by the same one or by hand; below 0 is none.
    """
    classes, counts = np.unique(real[real >= 0], return_counts=True)
    wanted = SEEN * counts / counts.sum()
    shares = np.array([(predicted == name).mean() for name in classes])
    return float(((shares >= wanted) & (shares > 0)).mean())


@dataclass(frozen=True)
class Diversity:
    """The signals of a collapsing generator; real images score about 1, 1% for duplicates.

    Attributes:
        recall: share of real images in the balls of samples (1904.06991).
        coverage: share of real images with a sample in their ball (2002.09797).
        vendi_ratio: effective number of samples over that of as many real images (2210.02410).
        pairwise_ratio: mean distance between samples over that between real images.
        duplicates: share of samples that have a near double.
        memorisation: distance to the training images over that of held-out images.
        copied: share of samples nearer to a training image than 1% of held-out images.
        classes_seen: share of the classes that samples show; None without classes.
        n: samples and real images compared.
    """

    recall: float
    coverage: float
    vendi_ratio: float
    pairwise_ratio: float
    duplicates: float
    memorisation: float
    copied: float
    classes_seen: float | None
    n: int


def diversity(
    samples: ArrayLike,
    train: ArrayLike,
    held_out: ArrayLike,
    predicted: Labels | None = None,
    real: Labels | None = None,
    k: int = 5,
) -> Diversity:
    """Every signal at once, in about a second for 512 samples and 2,000 training images.

    Args:
        samples: (n, d) features of samples.
        train: (N, d) of training images in random order; as many as samples are compared with.
        held_out: (m, d) of images the model has not seen.
        predicted: (n,) classes of the samples by a classifier.
        real: (N,) classes of the training images.
        k: neighbours of recall and coverage.

    Raises:
        ValueError: the features have no such form.
    """
    made, seen = points(samples, k + 1), points(train, k + 1)
    count = min(len(made), len(seen))
    fewer, reals = made[:count], seen[:count]
    shares, memory = prdc(reals, fewer, k), memorisation(made, seen, held_out)
    known = predicted is not None and real is not None
    return Diversity(
        recall=shares.recall,
        coverage=shares.coverage,
        vendi_ratio=vendi(fewer) / vendi(reals),
        pairwise_ratio=mean_pairwise_distance(fewer).value / mean_pairwise_distance(reals).value,
        duplicates=duplicates(fewer, reals).value,
        memorisation=memory.ratio.value,
        copied=memory.copied.value,
        classes_seen=classes_seen(predicted, real) if known else None,  # type: ignore[arg-type]
        n=count,
    )
