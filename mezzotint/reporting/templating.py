"""Templates of pages, with every text in them escaped."""

from pathlib import Path
from typing import Any

from mezzotint.storage.readers import printable

TEMPLATES = Path(__file__).parent / "templates"


def template(name: str) -> Any:
    """A jinja2 template; a value that is missing is an error, control characters are dropped."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    place = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=_shown,
    )
    return place.get_template(name)


def _shown(value: Any) -> Any:
    """Texts without control characters, which file names may hold."""
    return printable(value) if type(value) is str else value
