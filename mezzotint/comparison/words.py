"""What the numbers mean for someone who has to choose, by a table of rules."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from mezzotint.comparison.measures import MEASURES
from mezzotint.comparison.ranking import Rank, rank
from mezzotint.evaluation import Evaluation, Value
from mezzotint.evaluation.detail import MADE, REBUILT

FASTER = 2.0  # speed has no interval, so that less is not called faster
MISSING = 0.5  # of what real images reach
FEW_SHARE = 0.01  # what real images have of copies and doubles


@dataclass(frozen=True)
class Facts:
    """What the rules may ask about one model among others.

    Attributes:
        name: of the model.
        found: model -> its numbers.
    """

    name: str
    found: Mapping[str, Evaluation]

    def value(self, measure: str) -> Value | None:
        """The model's own number."""
        return self.found[self.name].get(measure)

    def number(self, measure: str) -> float:
        """The model's own number, which is known to be there."""
        return self.found[self.name][measure].value

    def rank(self, measure: str) -> Rank:
        """What a number says about all models."""
        return ranks(self.found)[measure]

    def place(self, measure: str) -> str:
        """``best``, ``not told apart``, ``behind`` or nothing."""
        return self.rank(measure).of(self.name) if self.value(measure) else ""

    def rivals(self, measure: str) -> str:
        """Those that this one is not told apart from, or the front, in words."""
        front = self.rank(measure)
        names = [name for name in (front.best, *front.tied) if name and name != self.name]
        return listed(names)

    def above(self, measure: str, share: float) -> bool:
        """Whether a number is surely above a share."""
        value = self.value(measure)
        return value is not None and value.low is not None and value.low > share

    def short(self, measure: str) -> bool:
        """Whether a number is surely below half of what real images reach."""
        value = self.value(measure)
        known = value is not None and value.high is not None and value.floor is not None
        return known and value.high < MISSING * value.floor  # type: ignore[union-attr, operator]

    def remarks(self, prefix: str) -> list[str]:
        """What is said of the numbers whose names begin so."""
        said = self.found[self.name].remarks
        return [sentence for name, sentence in said.items() if name.startswith(prefix)]

    def like_real(self) -> bool:
        """Whether the Frechet distance reaches that of real images."""
        value = self.value("frechet")
        known = value is not None and value.low is not None and value.floor is not None
        return known and value.low <= value.floor  # type: ignore[union-attr, operator]

    def times_faster(self) -> float:
        """Its speed over that of the next one; 0 where there is none."""
        speeds = [each["images_per_s"].value for n, each in self.found.items()
                  if n != self.name and "images_per_s" in each]  # fmt: skip
        own = self.value("images_per_s")
        return own.value / max(speeds) if own and speeds else 0.0


@dataclass(frozen=True)
class Rule:
    """A sentence and when it is true; ``kind`` is ``good``, ``bad`` or ``plain``."""

    kind: str
    holds: Callable[[Facts], bool]
    say: Callable[[Facts], str]


RULES: tuple[Rule, ...] = (
    Rule(
        "good",
        lambda f: f.place("frechet") == "best" and not f.remarks(MADE),
        lambda f: (
            f"The best choice here for new images: Fréchet distance {_told(f, 'frechet')}, "
            "apart from every other model."
        ),
    ),
    Rule(
        "good",
        lambda f: f.place("frechet") == "not told apart" and not f.remarks(MADE),
        lambda f: (
            f"Among the best here for new images: Fréchet distance {_told(f, 'frechet')}, "
            f"not told apart from {f.rivals('frechet')}."
        ),
    ),
    Rule(
        "plain",
        lambda f: f.place("frechet") == "best" and bool(f.remarks(MADE)),
        lambda f: (
            f"Its new images come nearest to real ones here: Fréchet distance "
            f"{_told(f, 'frechet')}, apart from every other model."
        ),
    ),
    Rule(
        "plain",
        lambda f: f.place("frechet") == "not told apart" and bool(f.remarks(MADE)),
        lambda f: (
            f"Its new images are among the nearest to real ones here: Fréchet distance "
            f"{_told(f, 'frechet')}, not told apart from {f.rivals('frechet')}."
        ),
    ),
    Rule(
        "plain",
        lambda f: f.place("frechet") == "behind",
        lambda f: (
            f"Its new images are further from real ones than those of "
            f"{f.rivals('frechet')}: Fréchet distance {_told(f, 'frechet')}."
        ),
    ),
    Rule(
        "bad",
        lambda f: bool(f.remarks(MADE)),
        lambda f: f"New images: {'; '.join(f.remarks(MADE))}.",
    ),
    Rule(
        "bad",
        lambda f: bool(f.remarks(REBUILT)),
        lambda f: f"Rebuilt images: {'; '.join(f.remarks(REBUILT))}.",
    ),
    Rule(
        "good",
        lambda f: f.like_real() and not f.above("copied", FEW_SHARE) and not f.remarks(MADE),
        lambda f: "At this number of images its samples cannot be told from real ones.",
    ),
    Rule(
        "bad",
        lambda f: f.above("copied", FEW_SHARE),
        lambda f: (
            f"Repeats training images: {f.number('copied'):.0%} of its samples lie nearer to "
            "one than 1% of unseen real images do. Do not use it where that matters."
        ),
    ),
    Rule(
        "bad",
        lambda f: f.short("coverage") or f.short("recall"),
        lambda f: (
            "Misses much of the variety: "
            + " and ".join(f"{m} {_against(f, m)}" for m in ("recall", "coverage") if f.short(m))
            + "."
        ),
    ),
    Rule(
        "bad",
        lambda f: f.short("precision"),
        lambda f: (
            f"Many samples do not look like real images: precision {_against(f, 'precision')}."
        ),
    ),
    Rule(
        "bad",
        lambda f: f.above("duplicates", FEW_SHARE),
        lambda f: (
            f"Repeats itself: {f.number('duplicates'):.0%} of its samples have a near "
            "double; of real images 1% have."
        ),
    ),
    Rule(
        "bad",
        lambda f: f.value("classes_seen") is not None and f.number("classes_seen") < 1,
        lambda f: f"Shows only {f.number('classes_seen'):.0%} of the classes.",
    ),
    Rule(
        "good",
        lambda f: f.times_faster() >= FASTER,
        lambda f: (
            f"The fastest at new images: {f.number('images_per_s'):,.0f} a second, "
            f"{f.times_faster():.1f} times the next one."
        ),
    ),
    Rule(
        "plain",
        lambda f: f.value("images_per_s") is None and f.value("perceptual") is not None,
        lambda f: "Makes no new images; it is there to compress, repair, map or check images.",
    ),
    Rule(
        "good",
        lambda f: f.place("perceptual") == "best",
        lambda f: f"Rebuilds unseen images best: feature error {_told(f, 'perceptual')}.",
    ),
    Rule(
        "plain",
        lambda f: f.place("perceptual") in ("not told apart", "behind"),
        lambda f: (
            f"Rebuilds unseen images with feature error {_told(f, 'perceptual')}, "
            + ("not told apart from " if f.place("perceptual") == "not told apart" else "behind ")
            + f"{f.rivals('perceptual')}."
        ),
    ),
    Rule(
        "plain",
        lambda f: f.value("bits_per_dim") is not None or f.value("nll_bound") is not None,
        lambda f: "Says how likely an image is, so that unusual ones can be found.",
    ),
)


def sentences(name: str, found: Mapping[str, Evaluation]) -> list[tuple[str, str]]:
    """What a model is good for on these data: (kind, sentence) of every rule that holds."""
    facts = Facts(name, found)
    return [(rule.kind, rule.say(facts)) for rule in RULES if rule.holds(facts)]


def ranks(found: Mapping[str, Evaluation]) -> dict[str, Rank]:
    """Every number's ranking."""
    return {
        name: rank({who: each[name] for who, each in found.items() if name in each}, about.better)
        for name, about in MEASURES.items()
    }


def headline(found: Mapping[str, Evaluation]) -> list[str]:
    """The comparison in a few sentences."""
    making, rebuilding = ranks(found)["frechet"], ranks(found)["perceptual"]
    told = [_making(making, found)]
    if not rebuilding.why:
        told.append(_front(rebuilding, "rebuilding unseen images"))
    coarse = [name for name in found if Facts(name, found).remarks(MADE)]
    if coarse:
        told.append(f"Beware, fine detail is wrong in new images of {listed(coarse)}.")
    copying = [name for name in found if Facts(name, found).above("copied", FEW_SHARE)]
    if copying:
        told.append(f"Beware, copies of training images come from {listed(copying)}.")
    return told


def _making(front: Rank, found: Mapping[str, Evaluation]) -> str:
    if not front.why:
        return _front(front, "making new images")
    makers = [name for name, each in found.items() if "images_per_s" in each]
    if len(makers) == 1:
        return f"Only {makers[0]} makes new images, so there is no best."
    return "No model's new images could be compared." if makers else "No model makes new images."


def _front(front: Rank, doing: str) -> str:
    if front.best:
        return f"Best at {doing}: {front.best}; no other model's interval reaches its own."
    return f"Not told apart at {doing}: {listed(front.tied)}; their intervals overlap."


def listed(names: Sequence[str]) -> str:
    """``a``, ``a and b``, ``a, b and c``."""
    return " and ".join(part for part in (", ".join(names[:-1]), *names[-1:]) if part)


def _told(facts: Facts, measure: str) -> str:
    value = facts.found[facts.name][measure]
    return f"{value.value:.3g} ({value.low:.3g} to {value.high:.3g})"


def _against(facts: Facts, measure: str) -> str:
    value = facts.found[facts.name][measure]
    return f"{value.value:.2f} against {value.floor:.2f} of real images"
