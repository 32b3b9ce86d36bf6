"""The collapse watch: at every evaluation, are samples still as varied as the images?"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from enum import IntEnum
from typing import Any

import numpy as np

from mezzotint.data.dataset import Images, Pixels
from mezzotint.families.base import Family
from mezzotint.families.capabilities import Samples, Steadies
from mezzotint.features.extractor import Features
from mezzotint.features.glance import Glance, Kinds, open_glance
from mezzotint.images import to_uint8
from mezzotint.metrics.arrays import Points, nearest, points, squared_distances
from mezzotint.metrics.collapse import (
    Signals,
    alarm,
    better,
    confusion,
    doubtful,
    effective,
    fallen,
    shares_of,
    spread_of,
    true_shares,
    usual_repeats,
)
from mezzotint.metrics.diversity import closeness, mean_pairwise_distance
from mezzotint.progress import Progress
from mezzotint.seeds import image_seeds

COUNT, FEWEST = 256, 16  # samples looked at, and images below which nothing can be told
HELD_OUT = 64  # held-out images below which training images are compared with instead
LEARNT, REMEMBERED = 2000, 20_000  # training images that say what is usual, and what a copy is
MODES, MEMBERS = 20, 10

Seen = tuple[Features, Kinds | None]


class Health(IntEnum):
    """What the watch thinks of the weights it has just seen."""

    UNCLEAR, SOUND, COLLAPSED = range(3)


@dataclass(frozen=True)
class Yardstick:
    """What samples are compared with.

    Attributes:
        glance: how images are looked at.
        real: (n, d) textures of real images.
        centres: (k, d) of the groups of alike images.
        mistakes: of textures and of cells in telling classes (c, c); empty without classes.
        repeats: share of samples that repeat by chance.
        usual: what as many other real images score against ``real``.
        copies: what tells copies of training images, or None.
    """

    glance: Glance
    real: Points
    centres: Points
    mistakes: tuple[Points, ...]
    repeats: float
    usual: Mapping[str, float]
    copies: "Copies | None"

    def measure(self, pixels: Pixels) -> Signals:
        """Signals of samples uint8 (n, H, W, C)."""
        seen = self.glance.textures.look(pixels), self.glance.cells.look(pixels)
        found = {name: value / self.usual.get(name, 1.0) for name, value in self.raw(*seen)}
        return Signals(**found, **(self.copies.found(seen[1][0]) if self.copies else {}))

    def raw(self, textures: Seen, cells: Seen) -> Iterator[tuple[str, float]]:
        """Signals of images before they are compared with the usual ones."""
        made = points(textures[0])
        yield from spread_of(made, self.real, self.repeats).items()
        groups = squared_distances(made, self.centres).argmin(1)
        yield "modes", effective(shares_of(groups, len(self.centres)))
        names = ("classes", "classes_in_cells")
        for name, told, table in zip(names, (textures[1], cells[1]), self.mistakes, strict=False):
            if told is not None:
                yield name, effective(true_shares(shares_of(told, len(table)), table))


@dataclass(frozen=True)
class Copies:
    """Tells copies of training images.

    Attributes:
        seen: (N, d) cells of training images.
        apart: (n,) distances of held-out images to the nearest of them.
    """

    seen: Points
    apart: Points

    def found(self, cells: Features) -> dict[str, float]:
        """Share of samples, by their cells (n, d), that are copies; how near they all are."""
        near = nearest(cells, self.seen)
        copied = float((near <= closeness(self.apart)).mean())
        return {"copied": copied, "memorisation": float(near.mean() / self.apart.mean())}


def take_yardstick(data: Images) -> Yardstick | None:
    """Look at real images once; None where there are too few, or all are alike.

    Held-out images are the reference; where there are few, half of the training images are, and
    copies of training images are not looked for.
    """
    order = np.random.default_rng(0).permutation(len(data.train))
    train, others, count = data.train.subset(order), data.held_out, COUNT
    if len(others) < HELD_OUT:
        half = len(train) // 2
        others, train = train.subset(range(half, len(train))), train.subset(range(half))
    count = min(COUNT, len(others), len(train))
    if count < FEWEST:
        return None
    others = others.subset(np.random.default_rng(1).permutation(len(others)))
    rows = range(min(LEARNT, len(train)))
    glance = open_glance(train.gather(rows), train.labels_of(rows), len(data.classes))
    real = points(glance.textures.points(others.gather(range(count))))
    copies = _copies(glance, train, others, count) if len(data.held_out) >= HELD_OUT else None
    draft = Yardstick(
        glance,
        real,
        _centres(glance.textures.points(train.gather(rows))),
        _mistakes(glance, others),
        usual_repeats(len(data.train), count),
        {},
        copies,
    )
    return _against_training_images(draft, train.gather(range(count)))


def _against_training_images(draft: Yardstick, pixels: Pixels) -> Yardstick | None:
    """With what training images score; None where that is nothing to compare with."""
    if not mean_pairwise_distance(draft.real).value > 0:
        return None
    seen = draft.glance.textures.look(pixels), draft.glance.cells.look(pixels)
    usual = {name: value for name, value in draft.raw(*seen) if name != "duplicates"}
    return replace(draft, usual=usual) if all(value > 0 for value in usual.values()) else None


def _copies(glance: Glance, train: Images, others: Images, count: int) -> Copies | None:
    """None where every held-out image is a training image: nothing tells a copy then."""
    seen = points(glance.cells.points(train.gather(range(min(REMEMBERED, len(train))))))
    apart = nearest(glance.cells.points(others.gather(range(count))), seen)
    return Copies(seen, apart) if apart.mean() > 0 else None


def _mistakes(glance: Glance, others: Images) -> tuple[Points, ...]:
    """What each look at images it has not learnt from takes for what."""
    rows = range(min(LEARNT, len(others)))
    labels, pixels = others.labels_of(rows), others.gather(rows)
    told = [view.look(pixels)[1] for view in glance]
    if labels is None:
        return ()
    count = len(others.classes)
    return tuple(confusion(kinds, labels, count) for kinds in told if kinds is not None)


def _centres(textures: Features) -> Points:
    """Centres of groups of alike images by k-means, ten images each at the least."""
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    count = max(2, min(MODES, len(textures) // MEMBERS))
    with threadpool_limits(1):
        found = KMeans(count, n_init=1, random_state=0).fit(textures)
    return points(found.cluster_centers_)


class Watch:
    """Looks at a family's samples and remembers what it saw.

    Args:
        family: that is trained.
        data: train and held-out images.
        wanted: False never looks.

    Attributes:
        active: whether it looks.
        alarms: times that training went back.
        sound: images seen at the newest evaluation that gave no reason to worry; None before.
        finding: what is wrong after :meth:`look` found a collapse, in words.
        health: what it thinks of the weights it saw last.
        diversity: coverage as a share of what real images score, newest; None before the first.
    """

    def __init__(self, family: Family, data: Images, wanted: bool) -> None:
        self._data, self._blind = data, False
        self.active = wanted and isinstance(family, Steadies) and isinstance(family, Samples)
        self._yardstick: Yardstick | None = None
        self._best: dict[str, float] = {}
        self._before: Signals | None = None
        self.alarms, self.sound = 0, 0 if self.active else None
        self.finding, self.health = "", Health.UNCLEAR
        self.diversity: float | None = None

    def look(self, family: Family, steps: int, show: Progress) -> dict[str, float]:
        """Take in samples of the weights as they are; numbers for the history.

        Args:
            family: ready to sample.
            steps: iterations so far.
            show: is told once if there is too little to compare with.
        """
        self.health, self.finding = Health.UNCLEAR, ""
        self._open(show)
        if self._yardstick is None or not isinstance(family, Samples):
            return {}
        seeds = image_seeds(0, len(self._yardstick.real))
        pixels = to_uint8(family.sample(seeds, **family.preview))
        signals = self._yardstick.measure(pixels)
        self._judge(signals, steps)
        return {f"diversity.{name}": value for name, value in signals.numbers().items()}

    def _open(self, show: Progress) -> None:
        if not self.active or self._blind or self._yardstick is not None:
            return
        self._yardstick = take_yardstick(self._data)
        self._blind = self._yardstick is None
        if self._blind:
            show.say("warning: too few different images to tell a collapse by: nothing is watched")

    def words(self) -> list[str]:
        """For a line of progress."""
        return [] if self.diversity is None else [f"diversity {self.diversity:.2f} of real"]

    def _judge(self, signals: Signals, steps: int) -> None:
        self.diversity = signals.coverage
        self.finding = alarm(signals, self._best, steps, self._before)
        self._before = signals
        if self.finding:
            self.health = Health.COLLAPSED
        elif not (fallen(signals, self._best) or doubtful(signals)):
            self.health = Health.SOUND
            self._best = better(signals, self._best)

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold."""
        before = None if self._before is None else self._before.numbers()
        known = {"alarms": self.alarms, "sound": self.sound, "best": self._best}
        return {**known, "diversity": self.diversity, "before": before}

    def restore(self, state: Mapping[str, Any], images: int) -> None:
        """Go back to what :meth:`state` gave; ``images``: of the checkpoint it is from."""
        self.alarms = max(self.alarms, state.get("alarms", 0))  # going back forgets none
        sound, before = state.get("sound"), state.get("before")
        self._before = None if before is None else Signals(**before)
        self._best, self.diversity = dict(state.get("best", {})), state.get("diversity")
        self.sound = None if not self.active else images if sound is None else sound
