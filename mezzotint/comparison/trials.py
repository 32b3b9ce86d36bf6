"""What is measured of each model of a comparison, on the same images with the same extractor."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

import numpy as np

from mezzotint.comparison.contenders import Contender, moments
from mezzotint.errors import MezzotintError
from mezzotint.evaluation import Evaluation, Subject, Value, measure
from mezzotint.evaluation.likeness import reconstructed
from mezzotint.evaluation.sets import perceptual_values
from mezzotint.evaluation.subject import FEWEST
from mezzotint.evaluation.values import estimated
from mezzotint.families.capabilities import Reconstructs, Samples
from mezzotint.features.extractor import Pixels
from mezzotint.metrics.arrays import pair, squared_distances
from mezzotint.metrics.detail import SMALLEST, Looks, spectrum
from mezzotint.metrics.distances import frechet_estimate
from mezzotint.metrics.diversity import memorisation

SHOWN, REBUILT, SUSPECTS = 32, 8, 8
CURVE = 250  # samples a point of a curve; curves have many points
STEPS = (2, 5, 20)  # beside the model's own number
REAL, MADE, AGAIN = "real images", "new images", "rebuilt images"
SHARED = "the models share one process, so memory cannot be told apart; see evaluate"


class Point(NamedTuple):
    """A point of a curve: where, what was measured, and how it came about."""

    at: float
    value: Value
    note: str = ""


@dataclass(frozen=True)
class Suspect:
    """A sample and the training image nearest to it.

    Attributes:
        sample, nearest: uint8 (H, W, C).
        seed: of the sample.
        name: of the training image.
        distance: between them, in mean distances of held-out images to their nearest one.
    """

    sample: Pixels
    nearest: Pixels
    seed: int
    name: str
    distance: float


@dataclass(frozen=True)
class Trial:
    """All that a comparison knows of one model.

    Attributes:
        contender: the model.
        found: its numbers.
        time: number -> its course over the seconds of training.
        cost: Frechet distance against images a second; several points where steps can be chosen.
        samples: uint8 (n, H, W, C) of the seeds from 0; None for a model that makes no images.
        rebuilt: the first held-out images as the model rebuilds them; None where it does not.
        suspects: the samples nearest to training images, nearest first.
        spectra: ``REAL``, ``MADE``, ``AGAIN`` -> strength against cycles a pixel: root of the mean
            energy of a frequency, in grey levels.
    """

    contender: Contender
    found: Evaluation
    time: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)
    cost: tuple[Point, ...] = ()
    samples: Pixels | None = None
    rebuilt: Pixels | None = None
    suspects: tuple[Suspect, ...] = ()
    spectra: Mapping[str, tuple[Point, ...]] = field(default_factory=dict)

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it, without pictures."""
        one = self.contender
        return {
            "name": one.name,
            "family": one.model.kind,
            "path": str(one.path),
            "trained_seconds": one.seconds,
            "images_seen": one.images,
            "cautions": list(one.cautions),
            "values": self.found.as_dict(),
            "over_time": {name: _points(points) for name, points in self.time.items()},
            "over_cost": _points(self.cost),
            "spectra": {name: _points(points) for name, points in self.spectra.items()},
            "nearest_training_images": [
                {"seed": each.seed, "name": each.name, "distance": each.distance}
                for each in self.suspects
            ],
        }


def _points(points: tuple[Point, ...]) -> list[dict[str, Any]]:
    return [
        {"at": p.at, "value": p.value.value, "low": p.value.low, "high": p.value.high,
         "n": p.value.n, "note": p.note}
        for p in points
    ]  # fmt: skip


def try_out(contender: Contender, subject: Subject) -> Trial:
    """Measure a model and keep what a report shows of it.

    Args:
        contender: the model.
        subject: the same model with the images it is measured on.

    Raises:
        MezzotintError: as :func:`mezzotint.evaluation.measure`; a kept average is damaged.
    """
    found = measure(subject)
    values = {name: value for name, value in found.items() if name != "peak_memory"}
    found = replace(found, measured=values, left_out={**found.left_out, "peak_memory": SHARED})
    makes = isinstance(subject.family, Samples)
    cost, failed = over_cost(subject) if makes else ((), {})
    return Trial(
        contender,
        found.joined(Evaluation({}, failed)),
        over_time(contender, subject),
        cost,
        subject.made.pixels[:SHOWN] if makes else None,
        reconstructed(subject.family, subject.pixels[:REBUILT])
        if isinstance(subject.family, Reconstructs)
        else None,
        suspects(subject) if makes else (),
        spectra(subject),
    )


def spectra(subject: Subject) -> dict[str, tuple[Point, ...]]:
    """Strength by frequency of real images, new ones and rebuilt ones."""
    if min(subject.family.shape[1:]) < SMALLEST:
        return {}
    found = {REAL: subject.real_looks}
    if isinstance(subject.family, Samples):
        found[MADE] = subject.made_looks
    if isinstance(subject.family, Reconstructs):
        found[AGAIN] = subject.rebuilt_looks
    return {name: _spectrum(looks) for name, looks in found.items()}


def _spectrum(looks: Mapping[str, Looks]) -> tuple[Point, ...]:
    """The roots, in grey levels; on white, where there are two grounds."""
    ground, seen = next(iter(looks.items()))
    n = len(seen.quiet)
    return tuple(
        Point(at, Value(told.value**0.5, told.low**0.5, told.high**0.5, n, "grey levels"), ground)
        for at, told in spectrum(seen)
    )


def distance_value(subject: Subject, count: int) -> Value:
    """Frechet distance of the first ``count`` samples to as many held-out images."""
    found = frechet_estimate(subject.points[:count], subject.real[:count])
    return replace(estimated(found, count, "FD"), features=subject.extractor.title)


def _fewer(subject: Subject, **changes: Any) -> Subject:
    """The subject on so few images as a point of a curve takes."""
    count = min(CURVE, len(subject.pixels), subject.samples or CURVE)
    return replace(subject, limit=count, samples=count, **changes)


def over_cost(subject: Subject) -> tuple[tuple[Point, ...], dict[str, str]]:
    """Frechet distance against images a second, and why some numbers of steps were left out."""
    count = min(CURVE, subject.wanted)
    if count < FEWEST:
        return (), {}
    own, failed = getattr(subject.family.config, "steps", None), {}
    note = "" if own is None else f"{own} steps, its own"
    points = [_cost_point(subject, count, note)]
    for steps in STEPS if "steps" in subject.family.sampling else ():
        if steps != own:
            try:
                fewer = _fewer(subject, sampling={"steps": steps})
                points.append(_cost_point(fewer, count, f"{steps} steps"))
            except MezzotintError as error:
                failed[f"{steps} steps"] = error.what
    return tuple(sorted(points, key=lambda point: point.at)), failed


def _cost_point(subject: Subject, count: int, note: str) -> Point:
    rate = len(subject.made.pixels) / subject.made.seconds
    return Point(rate, distance_value(subject, count), note)


def over_time(contender: Contender, subject: Subject) -> dict[str, tuple[Point, ...]]:
    """The course of every number that :data:`COURSES` can follow, ending with the model itself."""
    fewer = _fewer(subject)
    if len(fewer.pixels) < FEWEST or contender.seconds is None:
        return {}
    found: dict[str, list[Point]] = {}
    for seconds, model in moments(contender):
        for name, value in _course(replace(fewer, family=model)):
            found.setdefault(name, []).append(Point(seconds, value))
    for name, value in _course(fewer):
        found.setdefault(name, []).append(Point(contender.seconds, value, "the model"))
    return {name: tuple(points) for name, points in found.items()}


def _course(subject: Subject) -> Iterator[tuple[str, Value]]:
    for name, (capability, take) in COURSES.items():
        if isinstance(subject.family, capability):
            value = take(subject)
            if value is not None:
                yield name, value


Course = tuple[type, Callable[[Subject], Value | None]]
COURSES: dict[str, Course] = {
    "frechet": (Samples, lambda subject: distance_value(subject, subject.wanted)),
    "perceptual": (Reconstructs, lambda subject: perceptual_values(subject).get("perceptual")),
}


def suspects(subject: Subject) -> tuple[Suspect, ...]:
    """The samples nearest to training images, with those; none where distances mean nothing."""
    if len(subject.train) < FEWEST or subject.wanted < FEWEST:
        return ()
    made, real = subject.points, subject.real[: subject.wanted]
    try:
        order = memorisation(made, subject.seen, real).suspects[:SUSPECTS]
    except ValueError:  # every held-out image is a training image
        return ()
    usual = _nearest(real, subject.seen)[1].mean()
    rows, distances = _nearest(made[order], subject.seen)
    drawn = subject.train_drawn[rows]
    shown = zip(
        subject.made.pixels[order],
        subject.train.gather(drawn),
        order,
        subject.train.names_of(drawn),
        distances / usual,
        strict=True,
    )
    return tuple(Suspect(a, b, int(seed), name, float(d)) for a, b, seed, name, d in shown)


def _nearest(points: np.ndarray, train: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Row of the nearest training image and the distance to it, for each point."""
    table = squared_distances(*pair(points, train))
    rows = table.argmin(1)
    return rows, np.sqrt(table[np.arange(len(table)), rows])
