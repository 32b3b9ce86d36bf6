"""What gives a collapsing generator away: signals against real images, and when they are alarming.

No signal alone is an alarm: untrained generators make images that are alike, and poor ones miss
much of the data. Two that agree are. Limits and how far healthy runs stay from them: docs/gan.md.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields

import numpy as np
from numpy.typing import NDArray

from mezzotint.metrics.arrays import Points
from mezzotint.metrics.diversity import duplicates, mean_pairwise_distance, vendi
from mezzotint.metrics.neighbours import prdc

NEIGHBOURS = 5
TINY = 1e-9  # a vector of length zero has no direction
CREDIBLE = 0.7  # of the density of real images; below, samples are too poor to be of any kind
FALLEN, REACHED = 0.5, 0.2
STUCK_STEPS, STUCK_COVERAGE = 500, 0.1
STAYED_STEPS, GROWN = 50, 0.05
BEGUN_STEPS, REACHING = 100, 0.2  # samples of a generator that has just begun reach no real image
AGREEING = 2

Kinds = NDArray[np.integer]


@dataclass(frozen=True)
class Signals:
    """How varied samples are, as shares of what as many real images score.

    Attributes:
        coverage, recall, density: of neighbourhoods (2002.09797, 1904.06991).
        vendi: effective number of unlike samples (2210.02410).
        pairwise: mean distance between two samples.
        modes: effective number of groups of alike images.
        duplicates: share of samples with a near double, beyond what chance makes of drawing
            training images; 0 for real images.
        classes, classes_in_cells: effective number of classes, told apart by textures and by coarse
            pixels; None without classes.
        copied: share of samples that are copies of training images; None where no held-out images
            tell what is close.
        memorisation: distance to the training images over that of held-out ones; None as above.
    """

    coverage: float
    recall: float
    density: float
    vendi: float
    pairwise: float
    modes: float
    duplicates: float
    classes: float | None = None
    classes_in_cells: float | None = None
    copied: float | None = None
    memorisation: float | None = None

    @property
    def evenness(self) -> float:
        """Coverage over density: samples as good as these that leave nothing out score 1."""
        return self.coverage / max(min(self.density, 1.0), TINY)

    @property
    def credible(self) -> bool:
        """Whether samples look enough like real images for the missing kinds to be missing."""
        return self.density >= CREDIBLE

    def numbers(self) -> dict[str, float]:
        """Those that are known, by name."""
        found = {field.name: getattr(self, field.name) for field in fields(self)}
        return {name: value for name, value in found.items() if value is not None}


def spread_of(made: Points, real: Points, usual: float) -> dict[str, float]:
    """Signals of two sets of as many points (n, d); ``usual``: see :func:`beyond`."""
    shares = prdc(real, made, NEIGHBOURS)
    apart = mean_pairwise_distance(made).value / mean_pairwise_distance(real).value
    return {
        "coverage": shares.coverage,
        "recall": shares.recall,
        "density": shares.density,
        "vendi": vendi(made + TINY) / vendi(real + TINY),
        "pairwise": apart,
        "duplicates": beyond(duplicates(made, real).value, usual),
    }


def usual_repeats(train: int, samples: int) -> float:
    """Share of ``samples`` draws with replacement from ``train`` images that come up again."""
    return float(1 - (1 - 1 / train) ** (samples - 1))


def beyond(share: float, usual: float) -> float:
    """The part of a share that is above the usual one, as a share of what is left: 0 to 1."""
    return max(0.0, (share - usual) / max(1 - usual, TINY))


def effective(shares: Points) -> float:
    """Hill's number of order 1 (1973): exp of the entropy of shares that sum to 1."""
    shares = shares[shares > 0]
    return float(np.exp(-(shares * np.log(shares)).sum()))


def shares_of(kinds: Kinds, count: int) -> Points:
    """Shares (count,) of each of ``count`` kinds among (n,)."""
    return np.bincount(kinds, minlength=count) / len(kinds)


def confusion(predicted: Kinds, labels: Kinds, count: int) -> Points:
    """Share of class j's images that are taken for class i: (count, count), each column sums to 1.

    A class without images is taken as told right.
    """
    table = np.zeros((count, count))
    np.add.at(table, (predicted[labels >= 0], labels[labels >= 0]), 1)
    empty = table.sum(0) == 0
    table[empty, empty] = 1
    return np.asarray(table / table.sum(0))


def true_shares(found: Points, mistakes: Points) -> Points:
    """Shares of classes behind the shares that a classifier finds, given what it mistakes for what.

    Solves mistakes @ shares = found (1802.03916, equation 4), then clips at 0, so that three
    classes which are often mistaken for others still count as three.
    """
    shares = np.linalg.lstsq(mistakes, found, rcond=None)[0].clip(min=0)
    return np.asarray(shares / max(shares.sum(), TINY))


@dataclass(frozen=True)
class Sign:
    """A signal beyond a limit."""

    name: str
    limit: float
    above: bool = False

    def seen(self, signals: Signals) -> bool:
        """Whether the signal is known and beyond the limit."""
        value = getattr(signals, self.name)
        return value is not None and (value > self.limit if self.above else value < self.limit)

    def words(self, signals: Signals) -> str:
        """For the user."""
        side = "above" if self.above else "below"
        return f"{self.name} {getattr(signals, self.name):.2f} ({side} {self.limit:.2f})"


@dataclass(frozen=True)
class Moment:
    """When signals are looked at.

    Attributes:
        steps: iterations so far.
        before: signals at the look before; None at the first.
    """

    steps: int
    before: Signals | None = None

    def grows(self, signals: Signals) -> bool:
        """Whether clearly more of the images is covered than at the look before."""
        return self.before is not None and signals.coverage >= self.before.coverage + GROWN


@dataclass(frozen=True)
class Rule:
    """An alarm: two of ``signs`` while ``applies``."""

    says: str
    signs: tuple[Sign, ...]
    applies: Callable[[Signals, Moment], bool] = lambda signals, now: True

    def agreed(self, signals: Signals) -> list[Sign]:
        """Signs that agree; empty where too few do."""
        seen = [sign for sign in self.signs if sign.seen(signals)]
        return seen if len(seen) >= AGREEING else []

    def found(self, signals: Signals, now: Moment) -> str:
        """What is wrong, in words; empty when nothing is."""
        seen = self.agreed(signals)
        if not seen or not self.applies(signals, now):
            return ""
        return f"{self.says}: {', '.join(sign.words(signals) for sign in seen)}"


def _settled(signals: Signals, now: Moment) -> bool:
    """Whether samples are good enough to miss kinds, and training is not about to find them."""
    begun = now.steps >= BEGUN_STEPS or signals.recall >= REACHING
    return signals.credible and begun and not now.grows(signals)


def _stuck(signals: Signals, now: Moment) -> bool:
    return now.steps >= STUCK_STEPS and signals.coverage < STUCK_COVERAGE


RULES = (
    Rule("all samples are alike", (Sign("pairwise", 0.1), Sign("duplicates", 0.9, above=True))),
    Rule(
        "samples repeat training images",
        (Sign("copied", 0.2, above=True), Sign("duplicates", 0.5, above=True)),
    ),
    Rule(
        "samples leave kinds of images out",
        (
            Sign("classes", 0.55),
            Sign("classes_in_cells", 0.55),
            Sign("modes", 0.6),
            Sign("evenness", 0.65),
            Sign("vendi", 0.6),
            Sign("duplicates", 0.5, above=True),
        ),
        _settled,
    ),
    Rule(
        "samples are far from the images and nearly alike",
        (Sign("pairwise", 0.35), Sign("vendi", 0.25), Sign("modes", 0.3)),
        _stuck,
    ),
)
STAYING = (Sign("duplicates", 0.4, above=True), Sign("vendi", 0.35), Sign("modes", 0.35))
GAINED = ("coverage", "classes", "modes", "pairwise")


def fallen(signals: Signals, best: Mapping[str, float]) -> list[Sign]:
    """Signals below half of the best that this run has reached.

    Args:
        signals: as they are now.
        best: of each one of ``GAINED``; counts once a fifth of the images were covered.
    """
    if best.get("coverage", 0.0) < REACHED:
        return []
    signs = [Sign(name, FALLEN * best[name]) for name in GAINED if name in best]
    return [sign for sign in signs if sign.seen(signals)]


def stayed(signals: Signals, now: Moment) -> list[Sign]:
    """Signs that poor samples repeat one another, all of them at two looks in a row.

    Nothing where a sign is missing, where more of the images is covered than before, or early on,
    when most generators make images that are alike.
    """
    if now.before is None or now.steps < STAYED_STEPS or now.grows(signals):
        return []
    seen = all(sign.seen(look) for sign in STAYING for look in (now.before, signals))
    return list(STAYING) if seen else []


def doubtful(signals: Signals) -> bool:
    """Whether signs of a rule agree, if only because samples are poor: nothing to go back to."""
    return any(rule.agreed(signals) for rule in RULES)


def better(signals: Signals, best: Mapping[str, float]) -> dict[str, float]:
    """``best`` with what is better now; above 1, as noise can be, is no merit."""
    now = {name: min(1.0, value) for name, value in signals.numbers().items() if name in GAINED}
    return {name: max(value, best.get(name, 0.0)) for name, value in now.items()}


def alarm(
    signals: Signals, best: Mapping[str, float], steps: int, before: Signals | None = None
) -> str:
    """What two signals agree to be wrong, in words; empty when there is no such thing.

    Args:
        signals: as they are now.
        best: see :func:`fallen`.
        steps: iterations so far.
        before: signals at the look before.
    """
    now = Moment(steps, before)
    lost = Rule("the run has lost variety it had", tuple(fallen(signals, best)))
    repeat = Rule("samples have long repeated one another", tuple(stayed(signals, now)))
    return next((text for rule in (*RULES, lost, repeat) if (text := rule.found(signals, now))), "")
