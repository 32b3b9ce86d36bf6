"""Which size a family learns well in which time: one table, and a sentence on what it chose.

The table holds for pictures of any content; fewer pictures or more channels hardly move it. Times
are those of two CPU cores and are what the program's benchmarks take at the size; whoever makes a
family better at a size changes a row here and nowhere else.
"""

from collections.abc import Sequence
from typing import NamedTuple

from mezzotint.data.form import Limit
from mezzotint.training.plans import Plan
from mezzotint.training.recipe import Recipe

CORES, GPU = 2.0, 60.0  # cores the table is for; what one GPU is worth of them
MOST_CORES = 16.0  # more speed up networks as small as these no further


class Grade(NamedTuple):
    """Pictures up to ``side`` pixels are done well in ``minutes`` of two cores or more."""

    side: int
    minutes: float


GRADES: dict[str, tuple[Grade, ...]] = {
    "autoencoder": (Grade(64, 0), Grade(128, 3)),
    "autoencoder detector": (Grade(256, 0),),
    "vae": (Grade(64, 0), Grade(128, 3)),
    "gan": (Grade(64, 0), Grade(128, 120)),
    "diffusion": (Grade(64, 0), Grade(128, 30), Grade(256, 60)),
    "kl-vae": (Grade(64, 0), Grade(128, 30), Grade(256, 60)),
    "text-to-image": (Grade(64, 0), Grade(128, 120)),
}
"""Family, or family and preset -> sizes, the smallest first."""

RATES = {
    "autoencoder": 300.0,
    "vae": 300.0,
    "gan": 100.0,
    "diffusion": 200.0,
    "kl-vae": 60.0,
    "text-to-image": 200.0,
}
"""Images a second of the defaults at 64 pixels on two cores: what a length in images lasts."""

REFERENCES = ("classic", "mlp", "stable-diffusion")
"""Presets that are networks of a paper: the data alone decides their size, as for no family."""


WHOLE = ("detector",)
"""Presets that have to see pictures up to their borders."""


class Choice(NamedTuple):
    """What a run can do.

    Attributes:
        grade: the largest its length allows.
        following: the next one up, if there is one.
    """

    grade: Grade
    following: Grade | None


def grades_of(plan: Plan) -> tuple[Grade, ...]:
    """The sizes of a plan's family and preset; none where the data alone decides."""
    if plan.instance is not None or plan.preset in REFERENCES:
        return ()
    kind = plan.kind.kind
    return GRADES.get(f"{kind} {plan.preset}") or GRADES.get(kind, ())


def choose(grades: Sequence[Grade], minutes: float) -> Choice:
    """The largest size that so many minutes of two cores do well."""
    fitting = [grade for grade in grades if grade.minutes <= minutes] or list(grades[:1])
    larger = list(grades[len(fitting) :])
    return Choice(fitting[-1], larger[0] if larger else None)


def machine_speed() -> tuple[float, str]:
    """What this machine is worth in pairs of CPU cores, and in words.

    By what it has, not by a measurement: the same command chooses the same size every time.
    """
    import torch

    if torch.cuda.is_available():
        return GPU, "a GPU"
    threads = torch.get_num_threads()
    return min(threads, MOST_CORES) / CORES, f"{threads} CPU thread{'s' if threads > 1 else ''}"


def minutes_of(kind: str, recipe: Recipe, speed: float) -> float:
    """A recipe's length in minutes of two cores.

    A length in images lasts longer at a larger size, about as it has more pixels: it counts a
    quarter, so that nobody waits hours unasked.
    """
    if recipe.budget is not None:
        return recipe.budget / 60 * speed
    return (recipe.images or 0) / RATES.get(kind, RATES["diffusion"]) / 60 / 4


def limit_of(plan: Plan) -> Limit | None:
    """The most pixels a side that a plan does well, and why; None: the data alone decides."""
    grades = grades_of(plan)
    if not grades:
        return None
    speed, machine = machine_speed()
    kind = plan.kind.kind
    found = choose(grades, minutes_of(kind, plan.recipe, speed))
    name = plan.preset if f"{kind} {plan.preset}" in GRADES else kind
    why = f"up to {found.grade.side} px suit {name} for {_length(plan.recipe)} on {machine}"
    if found.following is not None:
        side, minutes = found.following
        why += f", {side} px from a --budget of about {spoken(minutes / speed)}"
    return Limit(found.grade.side, why, whole=plan.preset in WHOLE)


def smallest(limits: Sequence[Limit | None]) -> Limit | None:
    """The limit of several plans for one set of pictures."""
    known = [limit for limit in limits if limit is not None]
    return min(known, key=lambda limit: limit.side) if known else None


def spoken(minutes: float) -> str:
    """A duration in words: ``30 s``, ``10 min``, ``1.5 h``."""
    if minutes < 1:
        return f"{max(1, round(60 * minutes))} s"
    if minutes < 100:
        return f"{minutes:.0f} min"
    return f"{minutes / 60:.1f}".removesuffix(".0") + " h"


def _length(recipe: Recipe) -> str:
    if recipe.budget is not None:
        return spoken(recipe.budget / 60)
    return f"{recipe.images or 0:,} images"
