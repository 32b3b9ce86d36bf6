"""mezzotint: from a folder of images to a generative model you can trust.

Public names are imported on first use, so that ``import mezzotint`` costs next to nothing.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mezzotint.api import (
        Run,
        average,
        compare,
        detect,
        distill,
        evaluate,
        export,
        film,
        inspect,
        interpolate,
        load,
        load_images,
        plan,
        reconstruct,
        sample,
        train,
    )
    from mezzotint.data.dataset import Images
    from mezzotint.detection import Detection
    from mezzotint.errors import MezzotintError
    from mezzotint.families.autoencoder import Autoencoder
    from mezzotint.families.diffusion import Diffusion
    from mezzotint.families.vae import VAE

__version__ = "0.1.0"

_HOMES = {
    "Autoencoder": "families.autoencoder",
    "Detection": "detection",
    "Diffusion": "families.diffusion",
    "Images": "data.dataset",
    "MezzotintError": "errors",
    "Run": "api",
    "VAE": "families.vae",
    "average": "api",
    "compare": "api",
    "detect": "api",
    "distill": "api",
    "evaluate": "api",
    "export": "api",
    "film": "api",
    "inspect": "api",
    "interpolate": "api",
    "load": "api",
    "load_images": "api",
    "plan": "api",
    "reconstruct": "api",
    "sample": "api",
    "train": "api",
}

__all__ = [
    "VAE",
    "Autoencoder",
    "Detection",
    "Diffusion",
    "Images",
    "MezzotintError",
    "Run",
    "average",
    "compare",
    "detect",
    "distill",
    "evaluate",
    "export",
    "film",
    "inspect",
    "interpolate",
    "load",
    "load_images",
    "plan",
    "reconstruct",
    "sample",
    "train",
]


def __getattr__(name: str) -> Any:
    """Import a public name from its module on first use."""
    if name not in _HOMES:
        raise AttributeError(f"module 'mezzotint' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mezzotint.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    """The public names."""
    return [*__all__, "__version__"]
