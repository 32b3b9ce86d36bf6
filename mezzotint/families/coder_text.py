"""Options of an autoencoder that another model stands on, as one text."""

import json
from collections.abc import Sequence
from typing import Any

from mezzotint.config import from_dict, shown, to_dict
from mezzotint.errors import ConfigError
from mezzotint.families.kl_coding import KLVAEConfig


def form_of(text: str, size: Sequence[int], channels: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """The form of the images, and the options written as JSON.

    Raises:
        ConfigError: they are no options, or of images of another form.
    """
    form = {"size": size, "channels": channels}
    given = mapping_of(text)
    for name, wanted in to_dict(from_dict(KLVAEConfig, form)).items():
        if name in form and given.get(name, wanted) != wanted:
            what = f"an autoencoder for {name}={shown(given[name])}, not {wanted}"
            raise ConfigError(what, "coder", "train at the autoencoder's size and channels")
    return form, given


def mapping_of(text: str) -> dict[str, Any]:
    """Options written as JSON.

    Raises:
        ConfigError: it is no mapping.
    """
    try:
        given = json.loads(text) if text else {}
    except (ValueError, RecursionError):
        given = None
    if not isinstance(given, dict):
        raise ConfigError(f"{shown(text)} is not JSON", "coder", '{"widths": [32, 64, 128]}')
    return given


def coder_text(config: KLVAEConfig) -> str:
    """What ``coder`` says of an autoencoder."""
    return json.dumps(to_dict(config))
