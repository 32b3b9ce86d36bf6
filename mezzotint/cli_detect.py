"""The words of ``mezzotint detect``, and names that other commands share with it."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from tyro.conf import Positional, arg

DataName = Annotated[Positional[str], arg(metavar="DATA")]
ModelName = Annotated[Positional[str], arg(metavar="RUN")]


@dataclass(frozen=True)
class Detect:
    """Find bad images with a model that was trained on good ones.

    For example: mezzotint train autoencoder good/ --preset detector

    Then: mezzotint detect runs/autoencoder-good new/
    """

    model: ModelName
    """Run or model folder."""
    data: DataName
    """Images to score; folders good/ and bad/, or those of MVTec AD, also give AUROC and so on."""
    false_alarms: float = 0.01
    """Promise: at most this share of images like the held-out good ones is called bad."""
    score: str | None = None
    """combined, reconstruction, latent, elbo, diffusion; by default the first that fits."""
    features: str = "own"
    """Look with the model's own encoder, or with effnet-lite0 (ImageNet)."""
    good: str | None = None
    """Good images the run was not trained on; by default those it held out."""
    out: Path | None = None
    """Folder of scores.csv, detection.json and pictures; by default RUN/detection."""
    json: bool = False
    """Print JSON instead of a table."""
