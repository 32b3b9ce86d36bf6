"""The families of models; registering one is the line in ``FAMILIES``."""

import importlib

from mezzotint.errors import UsageError, nearest
from mezzotint.families.base import Family

FAMILIES = {
    "autoencoder": "autoencoder:Autoencoder",
    "vae": "vae:VAE",
    "diffusion": "diffusion:Diffusion",
    "gan": "gan:GAN",
    "kl-vae": "kl_vae:KLVAE",
    "latent-diffusion": "latent_diffusion:LatentDiffusion",
    "text-to-image": "text_to_image:TextToImage",
}


def family_class(name: str) -> type[Family]:
    """The class of a family by its name on the command line.

    Raises:
        UsageError: there is no such family; the message names the nearest one.
    """
    if name not in FAMILIES:
        raise UsageError(
            f"there is no family '{name}'", where="FAMILY", fix=nearest(name, FAMILIES)
        )
    module, _, attribute = FAMILIES[name].partition(":")
    found: type[Family] = getattr(importlib.import_module(f"{__name__}.{module}"), attribute)
    return found
