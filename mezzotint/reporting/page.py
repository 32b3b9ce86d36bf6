"""From a comparison to the text of ``report.html``."""

from collections.abc import Mapping, Sequence
from typing import Any

from mezzotint.comparison import Comparison, Trial
from mezzotint.comparison.measures import GROUPS, Measure
from mezzotint.comparison.trials import AGAIN, MADE, REAL
from mezzotint.evaluation import Value
from mezzotint.reporting.charts import REFERENCE, Chart, Stroke, chart, strokes
from mezzotint.reporting.numbers import short, spell_seconds
from mezzotint.reporting.pictures import COLUMNS, sheet_uri
from mezzotint.reporting.templating import template

TEMPLATE = "report.html"
COURSES = {
    "frechet": ("new images", "Fréchet distance"),
    "perceptual": ("rebuilt images", "feature error"),
}


def report_page(found: Comparison) -> str:
    """The whole page; every text in it is escaped, and nothing in it leads out of it."""
    return str(template(TEMPLATE).render(**contents(found)))


def contents(found: Comparison) -> dict[str, Any]:
    """What the template draws."""
    names = list(found.found)
    return {
        "found": found,
        "names": names,
        "models": [model_view(trial, found) for trial in found.trials],
        "tables": [table_view(title, group, found) for title, group in GROUPS.items()],
        "real": sheet_uri(found.real),
        "rebuilding": rebuilding_view(found),
        "times": time_charts(found),
        "cost": cost_chart(found),
        "spectra": spectrum_charts(found),
        "facts": facts_view(found),
        "training": [training_row(trial) for trial in found.trials],
        "columns": COLUMNS,
    }


def model_view(trial: Trial, found: Comparison) -> dict[str, Any]:
    """A model's pictures and words."""
    name = trial.contender.name
    return {
        "name": name,
        "words": found.words[name],
        "cautions": trial.contender.cautions,
        "samples": None if trial.samples is None else sheet_uri(trial.samples),
        "suspects": [
            {
                "seed": each.seed,
                "name": each.name,
                "distance": short(each.distance),
                "sample": sheet_uri(each.sample[None]),
                "nearest": sheet_uri(each.nearest[None]),
            }
            for each in trial.suspects
        ],
        "left_out": reasons(trial),
    }


def reasons(trial: Trial) -> dict[str, list[str]]:
    """Why numbers are missing -> their names."""
    found: dict[str, list[str]] = {}
    for name, why in trial.found.left_out.items():
        found.setdefault(why, []).append(name)
    return found


def table_view(title: str, group: Mapping[str, Measure], found: Comparison) -> dict[str, Any]:
    """Rows of one group of numbers; those that no model has are left out."""
    rows = [
        row_view(name, about, found)
        for name, about in group.items()
        if any(name in each for each in found.found.values())
    ]
    return {"title": title, "rows": rows, "real": any(row["real"] for row in rows)}


def row_view(name: str, about: Measure, found: Comparison) -> dict[str, Any]:
    """One number of all models."""
    values = {who: each.get(name) for who, each in found.found.items()}
    floors = [value.floor for value in values.values() if value is not None]
    units = [value.unit for value in values.values() if value is not None]
    return {
        "about": about,
        "unit": units[0] if units[0] in ("dB", "FID", "bits", "images/s") else "",
        "cells": [cell_view(value, found.ranks[name].of(who)) for who, value in values.items()],
        "real": next((short(floor) for floor in floors if floor is not None), ""),
    }


def cell_view(value: Value | None, place: str) -> dict[str, str]:
    """One number of one model with its interval and what the ranking says."""
    if value is None:
        return {"value": "", "interval": "", "place": ""}
    between = "" if value.low is None else f"{short(value.low)} to {short(value.high)}"
    return {"value": short(value.value), "interval": between, "place": place}


def rebuilding_view(found: Comparison) -> dict[str, Any] | None:
    """Originals and what each model that can makes of them; None where none can."""
    able = [trial for trial in found.trials if trial.rebuilt is not None]
    if not able:
        return None
    sheets = {t.contender.name: sheet_uri(t.rebuilt) for t in able if t.rebuilt is not None}
    return {"originals": sheet_uri(found.looked_at), "sheets": sheets}


def time_charts(found: Comparison) -> list[tuple[str, Chart]]:
    """Every number's course over training, with what it is about."""
    drawn = []
    for name, (about, up) in COURSES.items():
        courses = {t.contender.name: t.time.get(name, ()) for t in found.trials}
        picture = chart(courses, strokes(list(found.found)), "seconds of training", up)
        if picture is not None:
            drawn.append((about, picture))
    return drawn


def cost_chart(found: Comparison) -> Chart | None:
    """Frechet distance against sampling speed."""
    courses = {trial.contender.name: trial.cost for trial in found.trials}
    return chart(courses, strokes(list(found.found)), "new images a second", "Fréchet distance")


def spectrum_charts(found: Comparison) -> list[tuple[str, Chart]]:
    """Each model's strength by frequency, beside that of the real images."""
    drawn = []
    for name, stroke in strokes(list(found.found)).items():
        trial = next(each for each in found.trials if each.contender.name == name)
        looks = {REAL: Stroke(REFERENCE), MADE: stroke, AGAIN: Stroke(stroke.colour, broken=True)}
        picture = chart(trial.spectra, looks, "cycles a pixel", "strength in grey levels")
        if picture is not None:
            drawn.append((name, picture))
    return drawn


def training_row(trial: Trial) -> list[str]:
    """How one model was trained: name, family, time, images seen, folder."""
    one = trial.contender
    seen = short(one.images)
    return [one.name, one.model.kind, spell_seconds(one.seconds), seen, str(one.path)]


def facts_view(found: Comparison) -> list[tuple[str, str]]:
    """How the comparison was made, as names and texts."""
    how, data = found.how, found.data
    versions = ", ".join(f"{name} {version}" for name, version in how["versions"].items())
    machine = how["machine"]
    options = ", ".join(f"{name}={value}" for name, value in how["options"].items())
    told = [
        ("images", data["spec"]),
        ("split", f"{data['train']:,} for training, {data['held_out']:,} held out"),
        ("fingerprint of images and split", data["fingerprint"]),
        ("budget a family", spell_seconds(how["budget_seconds"])),
        ("seed of training", "" if how["seed"] is None else str(how["seed"])),
        ("other options", options),
        ("looked at with", how["extractor"]),
        ("resized before that", how["resize"]),
        ("versions", versions),
        ("machine", f"{machine['system']}, {machine['cpus']} CPUs, {machine['threads']} threads"),
        ("GPUs", _gpus(machine["cuda"])),
    ]
    return [(name, text) for name, text in told if text]


def _gpus(found: str | Sequence[str]) -> str:
    return found if isinstance(found, str) else ", ".join(found)
