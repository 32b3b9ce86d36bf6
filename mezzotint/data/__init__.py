"""Images of any kind as one packed uint8 array: ``load_images``, ``open_source``, ``Images``."""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mezzotint.data.dataset import Images
    from mezzotint.data.sources import open_source
    from mezzotint.data.store import load_images

_HOMES = {
    "Images": "mezzotint.data.dataset",
    "load_images": "mezzotint.data.store",
    "open_source": "mezzotint.data.sources",
}
__all__ = ["Images", "load_images", "open_source"]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
