"""Pipelines of others, taught with one's own captioned images."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mezzotint.config import field_names
from mezzotint.errors import UsageError
from mezzotint.families.base import Family
from mezzotint.families.tuning import TunedConfig
from mezzotint.runs.hub import located
from mezzotint.runs.pipelines import is_pipeline
from mezzotint.runs.pretrained import is_text_pipeline
from mezzotint.runs.tuned import tuned

READS_TEXT = "text-to-image"


def tunes(family: str | Family, start: str | Path | None) -> bool:
    """Whether a pipeline of others is to be trained further, whole.

    Raises:
        MissingInputError, ConfigError, RefusedError: there is no pipeline of that name, or none
            that is valid.
    """
    if family != READS_TEXT or start is None:
        return False
    folder = located(start)
    return is_pipeline(folder) and is_text_pipeline(folder)


def tuning(
    family: str | Family, start: str | Path | None, options: Mapping[str, Any]
) -> tuple[Family, dict[str, Any]]:
    """A pipeline that is to learn, and the options of training that are left.

    Raises:
        UsageError: another family than ``text-to-image``, or no pipeline to start from.
        MezzotintError: the pipeline cannot be opened.
    """
    if family != READS_TEXT or start is None:
        what = "low ranks are learnt beside a pipeline that reads text"
        raise UsageError(what, "--lora", "mezzotint train text-to-image DATA --from FOLDER --lora")
    names = field_names(TunedConfig)
    own = {name: value for name, value in options.items() if name in names}
    rest = {name: value for name, value in options.items() if name not in names}
    return tuned(located(start), **own), rest
