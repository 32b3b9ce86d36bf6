"""Fine detail of samples and of reconstructions against real images, as numbers and in words."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from mezzotint.evaluation.subject import FEWEST, Subject
from mezzotint.evaluation.values import Evaluation, Value
from mezzotint.metrics.detail import (
    LEAST_SHARE,
    OCTAVES,
    SMALLEST,
    Contrast,
    Looks,
    contrasts,
    empty_octaves,
)

ENOUGH = 64  # images on either side, below which nothing is said in words
LOUDER, FEWER = 2.0, 0.5  # beyond these a ratio is called a fault
EDGELESS = 0.25  # of the excess over the kurtosis of Gaussian noise
GAUSSIAN = 3.0
RISING = 1.5  # noise has about the same energy at all frequencies; a pattern has more at the end
MADE, REBUILT = "detail_", "rebuilt_detail_"
FRACTIONS = ("", "all", "half", "a third", "a quarter", "a fifth", "a sixth", "a seventh",
             "an eighth", "a ninth", "a tenth")  # fmt: skip


@dataclass(frozen=True)
class Shown:
    """How a contrast becomes a value: the ratio, or the number of made images itself."""

    unit: str
    ratio: bool


SHOWN = {
    **dict.fromkeys(OCTAVES, Shown("of real images' energy", True)),
    "checks": Shown("of that of real images", True),
    "kurtosis": Shown("3 is grain", False),
    "quiet": Shown("grey levels", False),
}
NAMES = tuple(MADE + name for name in SHOWN)


def made_detail(subject: Subject) -> Evaluation:
    """Detail of samples against held-out images; training images say what real ones reach.

    Raises:
        UsageError: more samples are wanted than there are held-out images to compare with.
    """
    if (why := _refused(subject, subject.wanted, "samples and held-out images")) is not None:
        return Evaluation({}, dict.fromkeys(NAMES, why))
    count, real = _count(subject.made_looks), subject.real_looks
    found = contrasts(subject.made_looks, real)
    halves = contrasts(subject.other_looks, real) if len(subject.train) >= FEWEST else {}
    return _evaluation(MADE, found, halves, real, count)


def rebuilt_detail(subject: Subject) -> Evaluation:
    """Detail of reconstructions against the images that they are of."""
    names = [REBUILT + name for name in SHOWN]
    if (why := _refused(subject, len(subject.pixels), "held-out images")) is not None:
        return Evaluation({}, dict.fromkeys(names, why))
    real = subject.real_looks
    found = contrasts(subject.rebuilt_looks, real, paired=True)
    return _evaluation(REBUILT, found, {}, real, _count(subject.rebuilt_looks))


def _refused(subject: Subject, count: int, what: str) -> str | None:
    if min(subject.family.shape[1:]) < SMALLEST:
        return f"needs images of at least {SMALLEST} pixels a side"
    return None if count >= FEWEST else f"needs {FEWEST} {what}, there are {count}"


def _count(looks: Mapping[str, Looks]) -> int:
    return min(len(seen.quiet) for seen in looks.values())


def _evaluation(
    prefix: str,
    found: Mapping[str, Contrast],
    halves: Mapping[str, Contrast],
    real: Mapping[str, Looks],
    count: int,
) -> Evaluation:
    """Values of one side's contrasts, why octaves are missing, and what is wrong in words."""
    values = {prefix + name: _value(name, each, halves.get(name), count)
              for name, each in found.items()}  # fmt: skip
    why = (
        "your images have no detail of this size (enlarged, or flat?): less than "
        f"{LEAST_SHARE:g} of their energy"
    )
    missing = {prefix + name: why for name in empty_octaves(real)}
    enough = min(count, _count(real)) >= ENOUGH
    remarks = {prefix + name: said for name, said in spoken(found).items()} if enough else {}
    return Evaluation(values, missing, remarks)


def _value(name: str, found: Contrast, half: Contrast | None, count: int) -> Value:
    """A contrast as a value; its floor is the same of real images."""
    shown = SHOWN[name]
    told = found.ratio if shown.ratio else found.made
    reached = None if half is None else half.ratio.value
    floor = reached if shown.ratio else found.real.value
    return Value(told.value, told.low, told.high, count, shown.unit, found.ground, floor=floor)


def spoken(found: Mapping[str, Contrast]) -> dict[str, str]:
    """Name -> a sentence, of contrasts whose whole intervals say that something is wrong.

    A pattern of two pixels explains energy, an even spread and quiet places by itself; the rest is
    not said beside it.
    """
    said = {
        name: say(found[name])
        for name, (wrong, say) in VERDICTS.items()
        if name in found and wrong(found[name])
    }
    if "checks" not in said:
        return said
    blurred = found["finest"].ratio.value < 1 if "finest" in said else False
    kept = ("checks", "finest") if blurred else ("checks",)
    return {name: said[name] for name in kept}


def _finest_is_wrong(seen: Contrast) -> bool:
    return seen.ratio.low > LOUDER or seen.ratio.high < FEWER


def _say_finest(seen: Contrast) -> str:
    what = "noise" if seen.ratio.low > LOUDER else "blur"
    interval = f"{seen.ratio.low:.2g} to {seen.ratio.high:.2g}"
    return f"{times(seen.ratio.value)} the finest detail of your pictures ({interval}): {what}"


def _checks_are_wrong(seen: Contrast) -> bool:
    return seen.ratio.low > LOUDER and seen.made.low > RISING


def _say_checks(seen: Contrast) -> str:
    return (
        "a pattern that repeats every two pixels, "
        f"{times(seen.ratio.value)} as strong as in your pictures: checks or dots"
    )


def _kurtosis_is_wrong(seen: Contrast) -> bool:
    return seen.made.high < GAUSSIAN + EDGELESS * (seen.real.low - GAUSSIAN)


def _say_kurtosis(seen: Contrast) -> str:
    return (
        "fine detail that lies everywhere alike instead of along edges "
        f"(kurtosis {seen.made.value:.1f}, of your pictures {seen.real.value:.1f}): grain"
    )


def _quiet_is_wrong(seen: Contrast) -> bool:
    return seen.ratio.low > LOUDER


def _say_quiet(seen: Contrast) -> str:
    return (
        "grain on places that are smooth in your pictures: "
        f"{seen.made.value:.1f} grey levels there, where yours have {seen.real.value:.1f}"
    )


Verdict = tuple[Callable[[Contrast], bool], Callable[[Contrast], str]]
VERDICTS: dict[str, Verdict] = {
    "finest": (_finest_is_wrong, _say_finest),
    "checks": (_checks_are_wrong, _say_checks),
    "kurtosis": (_kurtosis_is_wrong, _say_kurtosis),
    "quiet": (_quiet_is_wrong, _say_quiet),
}


def times(ratio: float) -> str:
    """``14 times``, ``2.3 times``, ``a third of``, ``1/30 of``."""
    if ratio >= 1:
        return f"{ratio:,.0f} times" if ratio >= 10 else f"{ratio:.2g} times"
    parts = round(1 / max(ratio, 1e-6))
    return f"{FRACTIONS[parts] if parts < len(FRACTIONS) else f'1/{parts:,}'} of"
