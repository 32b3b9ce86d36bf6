"""A latent diffusion model as options: its autoencoder, and the diffusion among its latents."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from mezzotint.config import from_dict, option, parse_size, validate
from mezzotint.errors import ConfigError
from mezzotint.families.coder_text import form_of, mapping_of
from mezzotint.families.diffusing import SETTINGS, DiffusionConfig, require_solver
from mezzotint.families.kl_coding import KLVAEConfig

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"optimizer": "muon", "lr": 5e-3, "decay": "linear", "batch": 32, "jitter": 0.0},
}
MOST_HALVINGS = 4  # squares of 32 pixels are no longer alike
CELLS = 16  # a side of the latent grid: what two cores train in minutes
NUMBERS = 24  # pixels' numbers to one of the latents', as of 8 channels for 8x8 pixels in colour
SHARED = (*SETTINGS, "backbone", "widths", "blocks", "attention", "prediction", "weighting")
SHARED += ("level_mean", "level_std", "label_dropout", "objective")


@dataclass(frozen=True)
class LatentDiffusionConfig:
    """Options of a latent diffusion model."""

    size: tuple[int, int] = option((256, 256), "image height and width", low=8, high=1024)
    channels: Literal[1, 3, 4] = option(3, "image channels: grey, RGB or RGBA")
    classes: tuple[str, ...] = option((), "names of the classes it is conditioned on")
    groups: int = option(0, "groups of alike images to tell apart (2403.00570); 0: none", 0, 4096)
    space: Literal["latent"] = option("latent", "where it walks")
    autoencoder: str = option("", "a finished kl-vae run to build on; empty: one is trained first")
    share: float = option(0.4, "share of the length that trains the autoencoder", 0.01, 0.99)
    coder: str = option("", 'options of the autoencoder as JSON: {"latent": 16}')
    backbone: Literal["unet", "diffusers"] = option("diffusers", "whose U-Net: ours or diffusers'")
    widths: tuple[int, ...] = option((64, 128), "channels of each level of the U-Net", 8, 4096)
    blocks: int = option(1, "residual blocks a level", low=1, high=16)
    attention: int = option(1, "how many of the deepest levels have attention", low=0, high=8)
    prediction: Literal["flow", "edm", "v", "clean"] = option(
        "clean", "what the network predicts (2511.13720)"
    )
    objective: Literal["denoise", "consistency"] = option(
        "denoise", "what is learnt: x_0 on average, or a teacher's path in a few jumps (2403.06807)"
    )
    weighting: Literal["none", "min-snr", "velocity"] = option(
        "velocity", "weights of the squared error; velocity: as if of flow's (2511.13720)"
    )
    level_mean: float = option(0.0, "mean of the logit of t in training", -9, 9)
    level_std: float = option(1.0, "its standard deviation; 0: uniform t", low=0, high=9)
    label_dropout: float = option(0.1, "share of labels hidden in training", low=0, high=1)
    clip: Literal["none"] = option("none", "latents are not kept in a range")
    solver: str = option("unipc", "solver of sampling")
    steps: int = option(20, "steps of sampling", low=1, high=1000)
    spacing: Literal["trailing", "leading", "linspace"] = option(
        "leading", "which levels sampling visits; leading: as diffusers' UniPC has them"
    )
    shift: float = option(1.0, "stretches sampling times towards noise (2403.03206)", 1e-2, 100)
    guidance: float = option(1.0, "w of u + w (c - u); 1 is off (2207.12598)", low=0, high=100)
    guidance_rescale: float = option(0.0, "share of the rescaling of 2305.08891, 3.4", 0, 1)
    guidance_low: float = option(0.0, "guide only above this sigma / alpha (2404.07724)", low=0)
    guidance_high: float = option(1e9, "guide only up to this sigma / alpha", low=0)

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)
        require_solver(self.solver)
        if self.groups % max(1, len(self.classes)):
            raise ConfigError(
                f"{self.groups} groups cannot be shared out evenly to {len(self.classes)} classes",
                where="groups",
                fix=f"a multiple of {len(self.classes)}, or 0",
            )
        coder_config(self)

    @property
    def kinds(self) -> int:
        """How many kinds of images the network is told apart: its groups, or its classes."""
        return self.groups or len(self.classes)


def coder_defaults(size: Sequence[int], channels: int) -> dict[str, Any]:
    """Options of an autoencoder that leaves a grid of about 16 cells a side.

    Channels keep a number in 24 of the pixels', whatever the factor: fewer hold too little detail,
    more are harder to walk among (2501.01423).
    """
    levels = min(MOST_HALVINGS, max(2, round(math.log2(max(size) / CELLS))))
    latent = max(4, round(channels * 4**levels / NUMBERS))
    return {"network": "dc", "latent": latent, "adversarial": 0.0, "kl": 1e-2, "width": 32}


def coder_config(config: LatentDiffusionConfig) -> KLVAEConfig:
    """Options of the autoencoder, which needs no critic once it is trained.

    Raises:
        ConfigError: they are no options, or of images of another form.
    """
    form, given = form_of(config.coder, config.size, config.channels)
    usual = coder_defaults(config.size, config.channels)
    return from_dict(KLVAEConfig, {**usual, **given, **form, "adversarial": 0.0}, where="coder")


def stage_options(config: LatentDiffusionConfig) -> dict[str, Any]:
    """Options of the run that trains the autoencoder."""
    return {**coder_defaults(config.size, config.channels), **mapping_of(config.coder)}


def prior_config(config: LatentDiffusionConfig, grid: tuple[int, int, int]) -> DiffusionConfig:
    """Options of the diffusion model of latents (channels, height, width)."""
    shared: Mapping[str, Any] = {name: getattr(config, name) for name in SHARED}
    channels, *size = grid
    own = {"data_std": 1.0, "clip": "none", "process": "flow", "patch": 1}
    kinds = tuple(f"{kind}" for kind in range(config.kinds))
    form = {"channels": channels, "size": tuple(size), "classes": kinds, "groups": 0}
    return from_dict(DiffusionConfig, {**shared, **own, **form}, "latents")
