"""Commands that make another model of a trained one; see :mod:`mezzotint.cli`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

from tyro.conf import Positional, arg

ModelName = Annotated[Positional[str], arg(metavar="RUN")]


@dataclass(frozen=True)
class Ema:
    """Choose afterwards how long a finished run's weights are averaged.

    For example: mezzotint ema runs/vae-photos photos/

    The run has to be trained with --set ema_snapshots=12.
    """

    run: ModelName
    """Run folder."""
    data: Annotated[Positional[str | None], arg(metavar="DATA")] = None
    """Images to compare lengths on; of a set with a held-out side, those are used."""
    length: float | None = None
    """Length of the average as a share of the run, up to 0.28; by default the one with the least
    loss on DATA."""
    out: Path | None = None
    """Folder for the model; by default the run's own model changes."""
    json: bool = False
    """Print JSON instead of a table."""


@dataclass(frozen=True)
class Export:
    """Write a model in the form another tool opens.

    For example: mezzotint export runs/diffusion-photos --format diffusers
    """

    model: ModelName
    """Run or model folder."""
    format: Literal["diffusers"] = "diffusers"
    """diffusers: a pipeline folder for DiffusionPipeline.from_pretrained; the model has to be
    trained with --set backbone=diffusers groups=0."""
    solver: str | None = None
    """How the pipeline samples: ddpm, ddpm-large, ddim, euler; by default as the model does if it
    can, else by ddim or euler."""
    out: Path | None = None
    """New folder; by default RUN-FORMAT."""
