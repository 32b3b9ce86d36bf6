"""Write a model in the form another tool opens."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mezzotint.api.opening import open_model
from mezzotint.config import shown
from mezzotint.errors import UsageError, nearest
from mezzotint.families.base import Family
from mezzotint.families.kl_vae import KLVAE
from mezzotint.families.latent_diffusion import LatentDiffusion
from mezzotint.families.text_to_image import TextToImage
from mezzotint.runs.latent_pipelines import write_latent
from mezzotint.runs.pipelines import write_autoencoder, write_pipeline
from mezzotint.runs.text_pipelines import write_text


@dataclass(frozen=True)
class Exported:
    """A model in another form.

    Attributes:
        path: the folder.
        note: what it is there.
    """

    path: Path
    note: str


def export(
    model: str | Path | Family,
    out: str | Path | None = None,
    format: str = "diffusers",
    **options: Any,
) -> Exported:
    """Write a model for another tool.

    Args:
        model: a run folder, a model folder or a model.
        out: a new folder; by default ``RUN-diffusers``.
        format: ``diffusers``: a pipeline folder for ``DiffusionPipeline.from_pretrained``;
            of a ``kl-vae``, one for ``AutoencoderKL.from_pretrained``; of a ``text-to-image``
            model, one for ``StableDiffusionPipeline.from_pretrained``; of a model that walks among
            latents, one for ``LDMPipeline.from_pretrained``.
        options: of the format; diffusers: ``solver``, and of a model among latents ``label``, the
            class that the pipeline draws.

    Raises:
        UsageError: there is no such format, or no name for the folder.
        ConfigError: the format cannot hold this model; the message says what it can hold.
        CannotCreateError, StorageError: the folder exists or cannot be written.
    """
    if format not in FORMATS:
        raise UsageError(
            f"there is no format {shown(format)}", "--format", nearest(format, FORMATS)
        )
    if out is None and isinstance(model, Family):
        raise UsageError("the model has no name to make a folder's of", "out", "give out")
    path = Path(out) if out is not None else Path(f"{str(model).rstrip('/')}-{format}")
    return FORMATS[format](open_model(model), path, **options)


def _diffusers(
    model: Family, path: Path, solver: str | None = None, label: str | None = None
) -> Exported:
    write = next(write for kind, write in DIFFUSERS if isinstance(model, kind))
    if label is not None and not isinstance(model, LatentDiffusion):
        what = f"a pipeline of a {model.kind} model is not made for one class"
        raise UsageError(what, "--label", "leave it out")
    note = write(model, path, solver) if label is None else _latent(model, path, solver, label)
    if model.premultiplied:
        note += "; its RGBA is colour times alpha, which mezzotint divides and diffusers does not"
    return Exported(path, note)


def _autoencoder(model: Any, path: Path, solver: str | None) -> str:
    if solver is not None:
        raise UsageError("an autoencoder has no solver", "--solver", "leave it out")
    write_autoencoder(model, path)
    return "AutoencoderKL with its scaling_factor"


def _latent(model: Any, path: Path, solver: str | None, label: str | None = None) -> str:
    return f"LDMPipeline with {write_latent(model, path, solver, label)}"


def _text_to_image(model: Any, path: Path, solver: str | None) -> str:
    write_text(model, path, solver)
    return "StableDiffusionPipeline"


def _any(model: Family, path: Path, solver: str | None) -> str:
    written = write_pipeline(model, path, solver)
    return f"{written.pipeline} with {written.name}"


DIFFUSERS: tuple[tuple[type, Callable[..., str]], ...] = (
    (KLVAE, _autoencoder),
    (TextToImage, _text_to_image),
    (LatentDiffusion, _latent),
    (Family, _any),
)
"""Families -> how diffusers has them, the first that fits; each writes and says what is there."""
FORMATS: dict[str, Callable[..., Exported]] = {"diffusers": _diffusers}
