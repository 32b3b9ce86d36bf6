"""A diffusion model as options: its network, its forward process, its way of sampling."""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from torch import nn

from mezzotint.config import option, parse_size, validate
from mezzotint.errors import ConfigError, MissingInputError, nearest
from mezzotint.nets.layers import padded
from mezzotint.nets.unet import UNet
from mezzotint.nets.unet_arguments import UNetArguments, arguments_of, usual_arguments
from mezzotint.noise import (
    BETAS,
    Exploding,
    Flow,
    Process,
    Table,
    alphas_cumprod,
    rescale_zero_terminal_snr,
)
from mezzotint.solvers import SOLVERS

_QUICK = {"optimizer": "muon", "lr": 5e-3, "decay": "linear", "batch": 32, "guidance": 1.5}
PRESETS: dict[str, dict[str, Any]] = {
    "default": _QUICK,
    "classic": {
        "groups": 0,
        "jitter": 0.0,
        "process": "linear",
        "prediction": "eps",
        "patch": 1,
        "widths": (64, 128, 128),
        "solver": "ddpm",
        "steps": 1000,
        "spacing": "leading",
        "optimizer": "adam",
        "lr": 2e-4,
        "decay": "none",
    },
}
STUDENT: dict[str, Any] = {"objective": "consistency", "solver": "ddim", "steps": 2}
STUDENT |= {"guidance": 1.0, "weighting": "none", "label_dropout": 0.0}
TUNING = {"optimizer": "muon", "lr": 2e-3, "decay": "linear", "batch": 64}
SETTINGS = frozenset(
    {"solver", "steps", "spacing", "shift", "clip"}
    | {"guidance", "guidance_rescale", "guidance_low", "guidance_high"}
)
SAMPLING = SETTINGS | {"label", "image", "mask", "strength", "watch"}
GRID = 16  # cells a side of the finest level, about: what two cores train in minutes


@dataclass(frozen=True)
class DiffusionConfig:
    """Options of a diffusion model."""

    size: tuple[int, int] = option((32, 32), "image height and width", low=2, high=1024)
    channels: int = option(1, "channels: 1, 3 or 4 of images, any number of latents", 1, 64)
    alpha: Literal["straight", "premultiplied"] = option(
        "straight", "RGBA inside the model: colour as it is, or times alpha (new runs)"
    )
    classes: tuple[str, ...] = option((), "names of the classes it is conditioned on")
    groups: int = option(0, "groups of alike images to tell apart (2403.00570); 0: none", 0, 4096)
    backbone: Literal["unet", "diffusers"] = option("unet", "our U-Net, or diffusers' UNet2DModel")
    unet: str = option("", "arguments of a UNet2DModel read from a pipeline folder, as JSON")
    space: Literal["auto", "pixels", "latent"] = option(
        "auto", "where it walks; latent: an autoencoder is trained first; auto: by size"
    )
    patch: int = option(0, "pixels a side folded into channels first; 0: by size", 0, 32)
    widths: tuple[int, ...] = option((48, 96), "channels of each level", 1, 4096)
    blocks: int = option(1, "residual blocks a level", low=1, high=16)
    refiner: int = option(0, "channels of blocks at half resolution at the end; 0: none", 0, 256)
    attention: int = option(1, "how many of the deepest levels have attention", low=0, high=8)
    process: Literal["flow", "exploding", "linear", "cosine", "scaled"] = option(
        "flow", "forward process: straight path, EDM's, or a table of betas"
    )
    timesteps: int = option(1000, "levels of a table of betas", low=2, high=100_000)
    zero_snr: bool = option(False, "rescale the table to end in pure noise (2305.08891)")
    prediction: Literal["flow", "edm", "eps", "v", "clean"] = option(
        "flow", "what the network predicts"
    )
    objective: Literal["denoise", "consistency"] = option(
        "denoise", "what is learnt: x_0 on average, or a teacher's path in a few jumps (2403.06807)"
    )
    variance: Literal["fixed", "learned"] = option(
        "fixed", "of ddpm's steps: a table's own, or learnt (2102.09672) with prediction=eps"
    )
    weighting: Literal["none", "min-snr", "velocity"] = option(
        "none", "weights of the squared error; velocity: as if of flow's (2511.13720)"
    )
    level_mean: float = option(0.0, "mean of the logit of t, or of ln sigma, in training", -9, 9)
    level_std: float = option(1.0, "its standard deviation; 0: uniform t", low=0, high=9)
    data_std: float = option(0.5, "standard deviation of the pixels in [-1, 1]", 1e-3, 10)
    label_dropout: float = option(0.1, "share of labels hidden in training", low=0, high=1)
    clip: Literal["static", "dynamic", "none"] = option("static", "how predicted pixels are kept")
    solver: str = option("unipc", "solver of sampling: " + ", ".join(SOLVERS))
    steps: int = option(10, "steps of sampling", low=1, high=100_000)
    spacing: Literal["trailing", "leading", "linspace"] = option(
        "trailing", "which levels of a table a short sampler visits"
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
        _require_fitting_levels(self)
        _require_fitting_prediction(self)
        _require_fitting_unet(self)
        if self.groups % max(1, len(self.classes)):
            raise ConfigError(
                f"{self.groups} groups cannot be shared out evenly to {len(self.classes)} classes",
                where="groups",
                fix=f"a multiple of {len(self.classes)}, or 0",
            )

    @property
    def kinds(self) -> int:
        """How many kinds of images the network is told apart: its groups, or its classes."""
        return self.groups or len(self.classes)

    @property
    def outputs(self) -> int:
        """Channels the network gives: of its prediction, and as many of a learnt variance."""
        return self.channels * (2 if self.variance == "learned" else 1)


def _require_fitting_levels(config: DiffusionConfig) -> None:
    folded = config.patch or default_patch(config.size)
    if folded * 2 ** (len(config.widths) - 1) > 2 * max(config.size):
        raise ConfigError(
            f"{len(config.widths)} levels halve {max(config.size)} pixels too often",
            where="widths",
            fix="give fewer widths",
        )
    if config.process in BETAS and config.steps > config.timesteps:
        raise ConfigError(
            f"{config.steps} steps through {config.timesteps} levels",
            where="steps",
            fix=f"{config.timesteps} at the most",
        )


def _require_fitting_prediction(config: DiffusionConfig) -> None:
    if config.objective == "consistency" and (
        config.process in BETAS or config.prediction not in ("flow", "edm", "v", "clean")
    ):
        raise ConfigError(
            f"consistency needs another form than {config.process} with {config.prediction}",
            where="objective",
            fix="process=flow or exploding; prediction=flow, edm, v or clean",
        )
    if config.variance == "learned" and (
        config.process not in BETAS or config.prediction != "eps" or config.objective != "denoise"
    ):
        raise ConfigError(
            f"no variance is learnt of {config.process} with {config.prediction}",
            where="variance",
            fix="process=linear or cosine; prediction=eps; objective=denoise",
        )
    if config.zero_snr and config.prediction == "eps":
        raise ConfigError(
            "eps says nothing about the image where the signal is zero",
            where="zero_snr",
            fix="prediction=v",
        )


def _require_fitting_unet(config: DiffusionConfig) -> None:
    if not config.unet:
        return
    given = arguments_of(config.unet)
    wanted = (config.channels, config.outputs, config.kinds + 1 if config.kinds else None)
    found = (given.in_channels, given.out_channels, given.num_class_embeds)
    if config.backbone != "diffusers" or found != wanted:
        raise ConfigError(
            f"a UNet2DModel with channels in, out and labels {found} cannot be {wanted}",
            where="unet",
            fix="backbone=diffusers and the channels of the network; without classes and groups",
        )


def require_solver(name: str) -> None:
    """Check a solver's name.

    Raises:
        ConfigError: there is no such solver; the message names the nearest one.
    """
    if name not in SOLVERS:
        raise ConfigError(
            f"there is no solver '{name}'", where="solver", fix=nearest(name, SOLVERS)
        )


def default_patch(size: Sequence[int]) -> int:
    """The power of two that leaves a grid of about 16 cells a side."""
    return int(2 ** max(0, math.floor(math.log2(max(size) / GRID) + 0.5)))


def build_process(config: DiffusionConfig) -> Process:
    """The forward process a configuration describes."""
    law = (config.level_mean, config.level_std)
    if config.process == "flow":
        return Flow(*law, shift=config.shift)
    if config.process == "exploding":
        return Exploding(*law)
    return Table(table_of(config))


def table_of(config: DiffusionConfig) -> NDArray[np.float64]:
    """alphas_cumprod of a process that is a table of betas."""
    cumprod = alphas_cumprod(BETAS[config.process](config.timesteps))
    return rescale_zero_terminal_snr(cumprod) if config.zero_snr else cumprod


def build_network(config: DiffusionConfig) -> nn.Module:
    """The network a configuration describes, (noisy, time, label) -> output."""
    return BACKBONES[config.backbone](config)


def _unet(config: DiffusionConfig) -> nn.Module:
    return UNet(
        config.channels,
        config.outputs,
        config.patch or default_patch(config.size),
        config.widths,
        config.blocks,
        config.attention,
        config.kinds,
        refiner=config.refiner,
    )


def _diffusers(config: DiffusionConfig) -> nn.Module:
    try:
        from mezzotint.nets.diffusers_unet import DiffusersUNet
    except ImportError as error:
        raise no_diffusers() from error
    return DiffusersUNet(_unet_arguments(config))


def no_diffusers() -> MissingInputError:
    """The error where diffusers is not installed."""
    what = "this needs the package 'diffusers', which is not installed"
    return MissingInputError(what, fix='pip install "diffusers>=0.36"')


def _unet_arguments(config: DiffusionConfig) -> UNetArguments:
    if config.unet:
        return arguments_of(config.unet)
    multiple = 2 ** (len(config.widths) - 1)
    size = [padded(side, multiple) for side in config.size]
    widths, attention = config.widths, config.attention
    channels = (config.channels, config.outputs)
    return usual_arguments(channels, size, widths, config.blocks, attention, config.kinds)


BACKBONES: dict[str, Callable[[DiffusionConfig], nn.Module]] = {
    "unet": _unet,
    "diffusers": _diffusers,
}
