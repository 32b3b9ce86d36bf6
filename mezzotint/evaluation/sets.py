"""Samples against real images as two sets of points: distances, fidelity, diversity, copying."""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from mezzotint.evaluation.remembering import Numbers, remembered
from mezzotint.evaluation.subject import BATCH, FEWEST, Subject
from mezzotint.evaluation.values import Evaluation, Value, estimated, mean_value
from mezzotint.features.extractor import Features, Pixels, classify
from mezzotint.metrics.distances import (
    frechet,
    frechet_estimate,
    kernel_distance,
    paired_frechet_estimate,
)
from mezzotint.metrics.diversity import (
    classes_seen,
    duplicates,
    mean_pairwise_distance,
    memorisation,
    ratio,
    vendi,
    vendi_estimate,
)
from mezzotint.metrics.intervals import Estimate
from mezzotint.metrics.neighbours import prdc, prdc_estimate


class Comparison(NamedTuple):
    """A number of two sets, (real, made) -> number, and its cheaper form without an interval."""

    estimate: Callable[[Features, Features], Estimate]
    plain: Callable[[Features, Features], float]
    unit: str


COMPARISONS = {
    "frechet": Comparison(lambda real, made: frechet_estimate(made, real), frechet, "FD"),
    "kernel": Comparison(
        kernel_distance, lambda real, made: kernel_distance(real, made).value, "MMD^2, cubic"
    ),
    "vendi": Comparison(
        lambda real, made: vendi_estimate(made), lambda real, made: vendi(made), "unlike images"
    ),
    "pairwise": Comparison(
        lambda real, made: ratio(*(mean_pairwise_distance(rows) for rows in (made, real))),
        lambda real, made: mean_pairwise_distance(made).value / mean_pairwise_distance(real).value,
        "of the distance between real images",
    ),
    "duplicates": Comparison(
        lambda real, made: duplicates(made, real),
        lambda real, made: duplicates(made, real).value,
        "of the samples",
    ),
}
SHARES = {
    "precision": "of samples among real ones",
    "recall": "of real ones among samples",
    "density": "1 for real images",
    "coverage": "of real ones near a sample",
}
COPYING = (("memorisation", "of held-out distance", 1.0), ("copied", "of the samples", 0.01))
UNITS = {name: each.unit for name, each in COMPARISONS.items()} | SHARES
ALL = (*UNITS, *(name for name, _, _ in COPYING))


Measure = Callable[[Subject], Evaluation]


def worse_of_grounds(measure: Measure, name: str) -> Measure:
    """A measure of RGBA on white and on black, whichever shows the model worse.

    Args:
        measure: of a subject.
        name: of the distance that decides; the larger is the worse.
    """

    def measured(subject: Subject) -> Evaluation:
        found = {view.ground: measure(view) for view in subject.views()}
        if len(found) == 1:
            return next(iter(found.values()))
        grounds = " and ".join(found)
        worst = max(found, key=lambda ground: _far(found[ground], name))
        said = f"on {worst}, the worse of {grounds}"
        values = {
            name: replace(one, note="; ".join(filter(None, [one.note, said])))
            if one.features
            else one
            for name, one in found[worst].items()
        }
        return Evaluation(values, found[worst].left_out)

    return measured


def _far(found: Evaluation, name: str) -> float:
    return found[name].value if name in found else -1.0


def sample_values(subject: Subject) -> Evaluation:
    """Everything that compares samples with as many held-out images.

    Raises:
        UsageError: more samples are wanted than there are held-out images to compare with.
    """
    wanted, made = subject.wanted, subject.made
    where = f"batches of {BATCH} on {subject.family.device.type}"
    rate = Value(wanted / made.seconds, None, None, wanted, "images/s", where)
    if wanted < FEWEST:
        why = f"needs {FEWEST} samples and held-out images, there are {wanted}"
        return Evaluation({"images_per_s": rate}, dict.fromkeys(ALL, why))
    points, real = subject.points, subject.real[:wanted]
    found = Evaluation({"images_per_s": rate})
    for part in (_compared(subject, points, real), _copying(subject, points, real)):
        found = found.joined(part)
    return found.joined(_classes(subject, made.pixels))


def _compared(subject: Subject, made: Features, real: Features) -> Evaluation:
    """Each comparison, with the same of training images beside it."""
    other = subject.seen[: len(real)] if len(subject.train) >= len(real) else None
    found = remembered("samples", lambda: _estimates(real, made), real, made)
    floors: Numbers = {}
    if other is not None:
        floors = remembered("floors", lambda: _floors(real, other), real, other)
    values = {}
    for name, numbers in found.items():
        floor = floors[name][0] if floors else None
        values[name] = _value(subject, Estimate(*numbers), len(made), UNITS[name], floor)
    if subject.extractor.published:
        values["frechet"] = replace(values["frechet"], unit="FID")
    return Evaluation(values)


def _estimates(real: Features, made: Features) -> Numbers:
    found = {name: each.estimate(real, made) for name, each in COMPARISONS.items()}
    return found | prdc_estimate(real, made)._asdict()


def _floors(real: Features, other: Features) -> Numbers:
    found = {name: each.plain(real, other) for name, each in COMPARISONS.items()}
    return {name: (share,) for name, share in (found | prdc(real, other)._asdict()).items()}


def _value(
    subject: Subject, found: Estimate, n: int, unit: str, floor: float | None, note: str = ""
) -> Value:
    extractor = subject.extractor
    value = estimated(found, n, unit, note)
    return replace(value, features=extractor.title, resize=extractor.resize, floor=floor)


def _copying(subject: Subject, made: Features, real: Features) -> Evaluation:
    """Distances to the training images, with held-out images as the control."""
    names = [name for name, _, _ in COPYING]
    if len(subject.train) < FEWEST:
        why = "needs the training images: name the data that the model was trained on"
        return Evaluation({}, dict.fromkeys(names, why))
    sets = made, subject.seen, real
    try:
        found = remembered("copying", lambda: _memories(*sets), *sets)
    except ValueError:
        why = "every held-out image is also a training image: mezzotint data check says which"
        return Evaluation({}, dict.fromkeys(names, why))
    note = f"nearest of {len(subject.seen):,} of {len(subject.train):,} training images"
    return Evaluation(
        {
            name: _value(subject, Estimate(*found[name]), len(made), unit, floor, note)
            for name, unit, floor in COPYING
        }
    )


def _memories(made: Features, seen: Features, real: Features) -> Numbers:
    found = memorisation(made, seen, real)
    return {"memorisation": found.ratio, "copied": found.copied}


def _classes(subject: Subject, made: Pixels) -> Evaluation:
    """Share of the classes that samples show, where the extractor can tell them."""
    predicted = classify(subject.extractor, made, subject.show)
    if predicted is None:
        return Evaluation()
    real: NDArray[np.int64] | None = classify(subject.extractor, subject.pixels, subject.show)
    if real is None:
        raise AssertionError("the extractor has told classes a line above")
    share = classes_seen(predicted, real)
    told = Value(share, None, None, len(made), "of the classes", "", floor=1.0)
    extractor = subject.extractor
    return Evaluation(
        {"classes_seen": replace(told, features=extractor.title, resize=extractor.resize)}
    )


def perceptual_values(subject: Subject) -> Evaluation:
    """Distance of features between images and reconstructions; 1 is that of two random images."""
    if (why := _too_few(subject)) is not None:
        return Evaluation({}, {"perceptual": why})
    apart = np.linalg.norm(subject.rebuilt.astype(np.float64) - subject.real, axis=1)
    scale = mean_pairwise_distance(subject.real).value
    if not scale > 0:
        return Evaluation({}, {"perceptual": "the held-out images are all alike"})
    value = mean_value(torch.from_numpy(apart / scale), "of the distance between images")
    extractor = subject.extractor
    return Evaluation(
        {"perceptual": replace(value, features=extractor.title, resize=extractor.resize)}
    )


def rebuilt_values(subject: Subject) -> Evaluation:
    """Frechet distance between images and their reconstructions (rFID of 2112.10752)."""
    if (why := _too_few(subject)) is not None:
        return Evaluation({}, {"rfd": why})
    sets = subject.rebuilt, subject.real
    found = remembered("rebuilt", lambda: {"rfd": paired_frechet_estimate(*sets)}, *sets)
    unit = "rFID" if subject.extractor.published else "FD"
    note = "images and their reconstructions"
    value = _value(subject, Estimate(*found["rfd"]), len(subject.real), unit, None, note)
    return Evaluation({"rfd": value})


def _too_few(subject: Subject) -> str | None:
    count = len(subject.pixels)
    return None if count >= FEWEST else f"needs {FEWEST} held-out images, there are {count}"
