"""What a detection gives, as a table, as CSV and as JSON."""

import csv
import io
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from mezzotint.metrics.conformal import fewest_scores, least_rate

Numbers = NDArray[np.float64]
Marks = NDArray[np.bool_]
FORMULA = ("=", "+", "-", "@", "\t", "\r")
SHOWN = 12


@dataclass(frozen=True)
class Detection:
    """Scores of n images and the verdict on each.

    Attributes:
        names: of the images.
        kinds: the folder of each, or None.
        scores: (n,), higher is worse.
        parts: name -> (n,), what the scores are the mean of.
        p_values: (n,), the chance that a good image scores as high.
        threshold: scores above it are called bad; None where no promise can be made.
        rate: the promised false-alarm rate.
        calibrated_on: held-out good images that the threshold comes from.
        score: name of the score.
        features: what looked at the images for the parts that need a network.
        seen: of each image "", "trained on" or "calibrated on".
        bad: (n,) marks, if the folders say.
        maps: (n, H, W) heat maps, or None; scanned by tiles, one (H, W) a picture.
        measures: AUROC and so on, by name.
        left_out: names of measures -> why they are missing.
        pictures: files written.
        tile: side of the tiles the images were scanned by; None: scored whole.
        warnings: what else a reader has to know, in sentences.
    """

    names: tuple[str, ...]
    kinds: tuple[str | None, ...]
    scores: Numbers
    parts: Mapping[str, Numbers]
    p_values: Numbers
    threshold: float | None
    rate: float
    calibrated_on: int
    score: str
    features: str
    seen: tuple[str, ...]
    bad: Marks | None = None
    maps: NDArray[np.float32] | list[NDArray[np.float16]] | None = None
    measures: Mapping[str, float] = field(default_factory=dict)
    left_out: Mapping[str, str] = field(default_factory=dict)
    pictures: tuple[Path, ...] = ()
    tile: int | None = None
    warnings: tuple[str, ...] = ()

    @property
    def flagged(self) -> Marks | None:
        """(n,) True where an image is called bad; None where no promise can be made."""
        return None if self.threshold is None else self.scores > self.threshold

    @property
    def promise(self) -> str:
        """What the threshold promises, or why it cannot, in words."""
        n = self.calibrated_on
        if self.threshold is not None:
            return (
                f"at most {self.rate:.3g} of images like the {n:,} held-out good ones are called"
                " bad, on average over such sets of held-out images"
            )
        return (
            f"no verdict: {n:,} held-out good images cannot promise {self.rate:g}, which takes"
            f" {fewest_scores(self.rate):,}; the least they can promise is"
            f" --false-alarms {_rounded_up(least_rate(n)):g}"
        )

    @property
    def notes(self) -> list[str]:
        """What a reader has to know beside the numbers."""
        used = sum(duty != "" for duty in self.seen)
        told = f"{used:,} of the images were trained or calibrated on: the promise is not for them"
        return [*self.warnings, *([told] if used else [])]

    def as_dict(self) -> dict[str, Any]:
        """As JSON has it; without the heat maps."""
        return {
            "score": self.score,
            "features": self.features,
            "tile": self.tile,
            "false_alarms": self.rate,
            "threshold": self.threshold,
            "calibrated_on": self.calibrated_on,
            "least_false_alarms": least_rate(self.calibrated_on),
            "promise": self.promise,
            "notes": self.notes,
            "measures": dict(self.measures),
            "left_out": dict(self.left_out),
            "pictures": [str(path) for path in self.pictures],
            "images": [self.record(at) for at in range(len(self.names))],
        }

    def record(self, at: int) -> dict[str, Any]:
        """What is said of one image."""
        flagged = self.flagged
        return {
            "name": self.names[at],
            "score": float(self.scores[at]),
            "p_value": float(self.p_values[at]),
            "bad": None if flagged is None else bool(flagged[at]),
            "folder": self.kinds[at],
            "seen": self.seen[at],
            **{f"part_{name}": float(values[at]) for name, values in self.parts.items()},
        }

    def worst(self, count: int) -> list[int]:
        """Positions of the images with the highest scores, worst first."""
        return np.argsort(-self.scores, kind="stable")[:count].tolist()  # type: ignore[no-any-return]


def csv_text(found: Detection) -> str:
    """One line an image. A name that a spreadsheet would run as a formula begins with '."""
    records = [found.record(at) for at in range(len(found.names))]
    stream = io.StringIO()
    writer = csv.DictWriter(stream, list(records[0]), lineterminator="\n")
    writer.writeheader()
    for record in records:
        writer.writerow({key: _cell(value) for key, value in record.items()})
    return stream.getvalue()


def tabulated(found: Detection) -> str:
    """The worst images, the promise and the measures as text for people."""
    wide = max(len(found.names[at]) for at in found.worst(SHOWN))
    lines = [f"{'image':<{wide}}  {'score':>8}  {'p-value':>8}  verdict"]
    lines += [_line(found, at, wide) for at in found.worst(SHOWN)]
    more = len(found.names) - SHOWN
    lines += [f"... and {more:,} more, all in scores.csv"] if more > 0 else []
    called = found.flagged
    counted = "" if called is None else f"; {int(called.sum()):,} of {len(called):,} called bad"
    lines += ["", f"score: {found.score} ({', '.join(found.parts)}){counted}", found.promise]
    lines += [f"note: {note}" for note in found.notes]
    lines += [f"{name:<18} {value:.4f}" for name, value in found.measures.items()]
    return "\n".join(lines + [f"left out: {name}: {why}" for name, why in found.left_out.items()])


def _line(found: Detection, at: int, wide: int) -> str:
    flagged = found.flagged
    verdict = "-" if flagged is None else ("bad" if flagged[at] else "good")
    told = f"{found.scores[at]:>8.3f}  {found.p_values[at]:>8.4f}  {verdict}"
    return f"{found.names[at]:<{wide}}  {told} {found.seen[at]}".rstrip()


def _cell(value: Any) -> Any:
    risky = isinstance(value, str) and value.startswith(FORMULA)
    return f"'{value}" if risky else value


def _rounded_up(rate: float) -> float:
    """To three digits, never below."""
    unit = 10.0 ** (math.floor(math.log10(rate)) - 2)
    return math.ceil(rate / unit) * unit
