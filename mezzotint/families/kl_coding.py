"""A KL-VAE as options, and the equations of its loss."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from mezzotint.config import option, parse_size, validate
from mezzotint.errors import ConfigError

if TYPE_CHECKING:
    from mezzotint.nets.diffusers_dc import DiffusersDC
    from mezzotint.nets.diffusers_vae import DiffusersVAE

LOG_VARIANCE_RANGE = (-30.0, 20.0)
LARGEST_WEIGHT = 1e4
DC_GRID = 16  # cells a side of latents that a small diffusion model learns on a CPU
GROWTH = (1, 2, 4, 8)  # of the channels, level by level
_COMMON = {"lr": 1e-3, "batch": 32, "decay": "linear", "max_grad_norm": 1.0}
PRESETS: dict[str, dict[str, Any]] = {
    "default": _COMMON,
    "plain": _COMMON | {"adversarial": 0.0},
    "quick": _COMMON | {"adversarial": 0.0, "width": 16, "optimizer": "muon", "lr": 5e-3},
    "latent": {
        "network": "dc",
        "adversarial": 0.0,
        "kl": 1e-2,
        "batch": 16,
        "crop": 64,
        "lr": 1e-3,
        "decay": "linear",
        "max_grad_norm": 1.0,
    },
    "stable-diffusion": _COMMON | {"widths": (128, 256, 512, 512), "blocks": 2, "lr": 1e-4},
}


@dataclass(frozen=True)
class KLVAEConfig:
    """Options of a KL-VAE."""

    size: tuple[int, int] = option((32, 32), "image height and width", low=8, high=1024)
    channels: Literal[1, 3, 4] = option(3, "image channels: grey, RGB or RGBA")
    network: Literal["kl", "dc"] = option(
        "kl", "diffusers' AutoencoderKL, or its AutoencoderDC begun as patch PCA"
    )
    alpha: Literal["straight", "premultiplied"] = option(
        "straight", "RGBA inside the model: colour as it is, or times alpha (new runs)"
    )
    latent: int = option(4, "channels of the latent grid", low=1, high=64)
    width: int = option(32, "channels of the finest level, where widths is empty", 4, 512)
    widths: tuple[int, ...] = option((), "channels of each level; empty: by size", 4, 2048)
    blocks: int = option(1, "residual blocks a level", low=1, high=16)
    attention: bool = option(True, "self-attention at the coarsest level")
    crop: int = option(0, "side of the random squares it trains on; 0: whole images", 0, 1024)
    loss: Literal["l1", "mse"] = option("l1", "distance of pixels")
    kl: float = option(1e-6, "weight of the KL term of an image's latent", low=0, high=1)
    perceptual: float = option(
        0.0, "weight of the distance of EfficientNet-Lite0's maps (extra features)", 0, 100
    )
    adversarial: float = option(
        0.5, "weight of the critic, relative to the pixels' gradient; 0: no critic", 0, 100
    )
    start: float = option(0.5, "share of the run after which the critic takes part", 0, 1)
    objective: Literal["hinge", "non-saturating"] = option("hinge", "what coder and critic contest")
    critic_width: int = option(32, "channels of the critic's first level", low=16, high=512)
    critic_layers: int = option(2, "how often the critic halves an image", low=1, high=5)
    critic_lr: float = option(0.0, "the critic's learning rate; 0: the run's", low=0, high=10)

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)
        if 2 ** len(self.widths) > 2 * max(self.size):
            raise ConfigError(
                f"{len(self.widths)} levels halve an image of {max(self.size)} pixels too often",
                where="widths",
                fix=f"give {max(self.size).bit_length()} widths at the most",
            )
        if self.network == "dc":
            _require_fitting_levels(stage_widths(self), self.channels)
        if self.adversarial and min(self.size) < least_side(self.critic_layers):
            raise ConfigError(
                f"{self.critic_layers} layers of the critic leave no patch of images of"
                f" {min(self.size)} pixels",
                where="critic_layers",
                fix="give fewer",
            )


def _require_fitting_levels(widths: Sequence[int], channels: int) -> None:
    """Check that the shortcuts between levels come out even, and that the first has a spare."""
    even = all(4 * a % b == 0 and 4 * b % a == 0 for a, b in pairwise(widths))
    if not even or widths[0] <= 4 * channels or len(widths) < 2:
        raise ConfigError(
            f"an AutoencoderDC has no levels of {', '.join(map(str, widths))} channels",
            where="widths",
            fix=f"two at least, more than {4 * channels} first, each once, twice or four times the"
            " one before: (32, 64, 128)",
        )


def least_side(layers: int) -> int:
    """Pixels an image must have a side so that a patch critic of so many layers has an output."""
    return int(3 * 2**layers)


def stage_widths(config: KLVAEConfig) -> tuple[int, ...]:
    """The configured widths, or those that halve the image once (16 pixels), twice or thrice.

    An AutoencoderDC has no level at the full size; it leaves a grid of about 16 cells a side.
    """
    if config.network == "dc":
        levels = min(4, max(2, round(math.log2(max(config.size) / DC_GRID))))
        return config.widths or tuple(config.width * 2**level for level in range(levels))
    halvings = 1 + (max(config.size) > 16) + (max(config.size) > 64)
    return config.widths or tuple(config.width * each for each in GROWTH[: halvings + 1])


def build_coder(config: KLVAEConfig) -> "DiffusersVAE | DiffusersDC":
    """Encoder and decoder that a configuration describes; diffusers takes seconds to import."""
    shape, widths = (config.channels, config.size, config.latent), stage_widths(config)
    if config.network == "dc":
        from mezzotint.nets.diffusers_dc import DiffusersDC

        return DiffusersDC(*shape, widths, config.blocks)
    from mezzotint.nets.diffusers_vae import DiffusersVAE

    return DiffusersVAE(*shape, widths, config.blocks, config.attention)


def kl_to_prior(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(q(z | x) || N(0, I)) in nats an image: (N, ...) -> (N,) (1312.6114, appendix B)."""
    terms = mean.square() + log_variance.exp() - 1 - log_variance
    return 0.5 * terms.flatten(1).sum(1)


def map_distance(ours: Sequence[Tensor], theirs: Sequence[Tensor]) -> Tensor:
    """Squared distance of maps of unit vectors, a sum over the maps: (N,) (1801.03924, eq. 1).

    Without the paper's weights a channel, which were fitted to other networks.
    """
    parts = [
        (F.normalize(a, dim=1) - F.normalize(b, dim=1)).square().sum(1).mean((1, 2))
        for a, b in zip(ours, theirs, strict=True)
    ]
    return torch.stack(parts).sum(0)


def adaptive_weight(main: Tensor, adversarial: Tensor, layer: Tensor) -> Tensor:
    """|d main / d w| / (|d adversarial / d w| + 1e-4), w the decoder's last layer (2012.09841).

    Equation 7 of the paper: both losses then pull at the last layer alike.
    """
    (ours,) = torch.autograd.grad(main, layer, retain_graph=True)
    (theirs,) = torch.autograd.grad(adversarial, layer, retain_graph=True)
    weight: Tensor = ours.norm() / (theirs.norm() + 1e-4)
    return weight.clamp(0, LARGEST_WEIGHT)


def spread(mean: Tensor, square: Tensor) -> Tensor:
    """Standard deviation from E z and E z^2."""
    return (square - mean.square()).clamp_min(1e-12).sqrt()
