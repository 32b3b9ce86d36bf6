"""What training would take on this machine, before anyone waits for it."""

from collections.abc import Iterable, Sequence

from mezzotint.api.opening import Data
from mezzotint.config import parse_seconds
from mezzotint.data import store
from mezzotint.data.cache import cache_home
from mezzotint.data.dataset import Images
from mezzotint.data.doctor_report import Checkup
from mezzotint.data.sources import open_source
from mezzotint.data.survey import Survey, uniform_survey
from mezzotint.progress import Progress, Silent
from mezzotint.training.estimates import FAMILIES, Estimate, estimates, table


def plan(
    data: Data | Checkup,
    budget: str | float = "10m",
    families: Iterable[str] = FAMILIES,
    progress: Progress | None = None,
) -> list[Estimate]:
    """What training would take on this machine, family by family, by a few real steps of each.

    Args:
        data: anything ``train`` takes, or what :func:`check` found of it.
        budget: training time that sizes are chosen for.
        families: names.
        progress: where to report.

    Returns:
        One a family: size, images a second, time until every picture was seen 100 times, memory,
        disk, and the same of the next size up.

    Raises:
        UsageError: there is no such family.
        MissingInputError, DataError: there are no images.
    """
    show, names, found = progress or Silent(), list(families), []
    survey, channels = _surveyed(data)
    for estimate in estimates(survey, channels, names, parse_seconds(budget)):
        found.append(estimate)
        show.update(len(found), len(names), note=f"probing {estimate.family}")
    return found


def _surveyed(data: Data | Checkup) -> tuple[Survey, int]:
    """What is known of the sizes of images, and their channels in training."""
    if isinstance(data, Images):
        survey = uniform_survey("", len(data), data.size, data.channels)
        return survey, data.channels
    if isinstance(data, Checkup):
        sizes, grey = data.sizes, data.suggested_channels == 1
        extremes = [(sizes.height.least, sizes.width.least), (sizes.height.most, sizes.width.most)]
        alike = extremes[0] if sizes.distinct == 1 else None
        survey = Survey("", data.usable, alike, sizes.short.median, extremes[0], extremes[1], grey)
        return survey, data.suggested_channels
    survey = store.surveyed(open_source(data), cache_home())
    return survey, 1 if survey.grey else 3


def plan_table(found: Sequence[Estimate]) -> str:
    """Estimates as text for people."""
    return table(found)
