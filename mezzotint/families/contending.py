"""A GAN as options: its two networks, what they minimise, how they take turns."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mezzotint.adversarial import (
    OBJECTIVES,
    between,
    input_gradient,
    unit_norm_penalty,
    zero_norm_penalty,
)
from mezzotint.augmentations import AUGMENTATIONS, augment, numbers_of
from mezzotint.config import option, parse_size, validate
from mezzotint.errors import ConfigError, nearest
from mezzotint.families.base import Form, Short
from mezzotint.nets.adversaries import Critic, Generator, Upsample, constrain
from mezzotint.nets.dcgan import ClassicCritic, ClassicGenerator
from mezzotint.nets.layers import Norm

_BETAS = {"betas": (0.0, 0.99), "warmup": 0.0, "batch": 64}
_R3GAN = _BETAS | {"lr": 1e-3, "decay": "linear"}
PRESETS: dict[str, dict[str, Any]] = {
    "default": _R3GAN,
    "classic": {
        "network": "dcgan",
        "latent": 100,
        "norm": "batch",
        "critic_norm": "batch",
        "objective": "non-saturating",
        "penalty": "none",
        "groups": 0,
        "lr": 2e-4,
        "betas": (0.5, 0.999),
        "warmup": 0.0,
        "decay": "none",
        "ema": 0.0,
    },
    "r3gan": _R3GAN | {"groups": 0},
    "wgan-gp": _BETAS
    | {"objective": "wasserstein", "penalty": "gradient", "penalty_weight": 10.0}
    | {"penalty_every": 1, "critic_steps": 5, "lr": 5e-4, "betas": (0.0, 0.9), "groups": 0},
    "sngan": _BETAS
    | {"objective": "hinge", "penalty": "none", "spectral": True, "lr": 5e-4}
    | {"betas": (0.0, 0.9), "groups": 0},
}
SHORT = (Short(60, 20_000, 16), Short(180, 100_000, 32))
"""Below some hundred steps of each player samples are still noise, at whatever batch."""

HEADLINE = {"D": "critic.loss", "G": "generator.loss", "real": "critic.real", "fake": "critic.fake"}
HEADLINE |= {"|dD|": "critic.gradient", "|dG|": "generator.gradient"}
GRID, LARGEST_PATCH, COARSEST = 16, 4, 4
ADJUST_EVERY = 4
DECAY = 0.9
BEHIND, AHEAD = 0.6, 0.85


@dataclass(frozen=True)
class GANConfig:
    """Options of a GAN."""

    size: tuple[int, int] = option((32, 32), "image height and width", low=8, high=1024)
    channels: Literal[1, 3, 4] = option(1, "image channels: grey, RGB or RGBA")
    alpha: Literal["straight", "premultiplied"] = option(
        "straight", "RGBA inside the model: colour as it is, or times alpha (new runs)"
    )
    classes: tuple[str, ...] = option((), "names of the classes it is conditioned on")
    groups: int = option(0, "groups of alike images to tell apart (2006.10728); 0: none", 0, 4096)
    latent: int = option(64, "numbers in z", low=1, high=65536)
    network: Literal["residual", "dcgan"] = option("residual", "kind of the two networks")
    patch: int = option(0, "pixels a side folded into channels first; 0: by size", 0, 32)
    widths: tuple[int, ...] = option((), "channels of each level; empty: by size", 1, 4096)
    blocks: int = option(1, "residual blocks a level", low=0, high=16)
    upsample: Upsample = option(
        "transposed", "the generator's enlargement: free 4x4 kernels, or nearest and 3x3: no dots"
    )
    norm: Norm = option("group", "normalisation in the generator")
    critic_norm: Norm = option("none", "normalisation in the critic")
    spectral: bool = option(False, "spectral norm on the critic's weights (1802.05957)")
    objective: Literal["non-saturating", "hinge", "wasserstein", "relativistic"] = option(
        "relativistic", "what the players minimise"
    )
    penalty: Literal["none", "gradient", "r1", "r1r2"] = option(
        "r1r2", "on the critic's gradient: WGAN-GP's, or towards 0 on real (and made) images"
    )
    penalty_weight: float = option(0.0, "weight of the penalty; 0: by size", low=0, high=1e6)
    penalty_end: float = option(
        1.0, "share of the weight that is left at the end of the run", low=0, high=1
    )
    penalty_every: int = option(4, "critic steps between penalties (1912.04958)", low=1, high=1000)
    critic_steps: int = option(1, "critic steps an iteration", low=1, high=100)
    generator_steps: int = option(1, "generator steps an iteration", low=1, high=100)
    balance: bool = option(False, "give the player that is behind one more step")
    critic_lr: float = option(0.0, "the critic's learning rate; 0: the run's", low=0, high=10)
    augment: tuple[str, ...] = option((), "changes before the critic: " + ", ".join(AUGMENTATIONS))
    ada_target: float = option(0.0, "E sign D(real) that the chance of a change is adapted to"
                               " (2006.06676); 0: always change", low=0, high=1)  # fmt: skip
    ada_images: float = option(500e3, "images in which that chance can go from 0 to 1", low=1)

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)
        _require_known(self.augment)
        _require_fitting_levels(self)
        _require_whole_steps(self)
        _require_single_images(self)
        if self.groups % max(1, len(self.classes)):
            raise ConfigError(
                f"{self.groups} groups cannot be shared out evenly to {len(self.classes)} classes",
                where="groups",
                fix=f"a multiple of {len(self.classes)}, or 0",
            )

    @property
    def kinds(self) -> int:
        """How many kinds of images the players are told apart: groups, or classes."""
        return self.groups or len(self.classes)

    @property
    def weight(self) -> float:
        """The weight of the penalty."""
        return self.penalty_weight or default_weight(self.size)

    def left(self, progress: float) -> float:
        """What is left of the penalty's weight at a share of the run; it falls with the rate."""
        return 1 + (self.penalty_end - 1) * progress


def _require_known(names: Sequence[str]) -> None:
    for name in names:
        if name not in AUGMENTATIONS:
            raise ConfigError(
                f"there is no augmentation '{name}'",
                where="augment",
                fix=nearest(name, AUGMENTATIONS),
            )


def _require_fitting_levels(config: GANConfig) -> None:
    widths = stage_widths(config)
    if config.network == "dcgan":
        fits = 2 <= len(widths) <= math.log2(min(config.size))
        most = int(math.log2(min(config.size)))
    else:
        most = int(math.log2(2 * max(config.size) / patch_of(config))) + 1
        fits = len(widths) <= most
    if not fits:
        raise ConfigError(
            f"{len(widths)} levels do not suit {config.size[0]}x{config.size[1]} pixels",
            where="widths",
            fix=f"give {2 if config.network == 'dcgan' else 1} to {most} widths",
        )


def _require_whole_steps(config: GANConfig) -> None:
    patch = patch_of(config)
    if config.upsample == "nearest" and config.network == "residual" and patch & (patch - 1):
        raise ConfigError(
            f"a patch of {patch} pixels is not reached by doubling",
            where="patch",
            fix="give 1, 2, 4 or 8, or upsample=transposed",
        )


def _require_single_images(config: GANConfig) -> None:
    if config.penalty != "none" and config.critic_norm == "batch":
        raise ConfigError(
            "a gradient penalty needs a critic that sees each image alone, without batch norm",
            where="critic_norm",
            fix="critic_norm=none or group, or penalty=none",
        )


def patch_of(config: GANConfig) -> int:
    """The configured patch, or the power of two that leaves a grid of about 16 cells a side."""
    power = max(0, math.floor(math.log2(max(config.size) / GRID) + 0.5))
    return config.patch or int(min(LARGEST_PATCH, 2**power))


def stage_widths(config: GANConfig) -> tuple[int, ...]:
    """The configured widths, or those that bring the longer side down to about 4 cells."""
    if config.widths:
        return config.widths
    if config.network == "dcgan":
        stages = max(3, (max(config.size) - 1).bit_length() - 2)
        stages = min(stages, int(math.log2(min(config.size))))
        return tuple(min(64 << stage, 512) for stage in range(stages))
    cells = max(config.size) / patch_of(config) / COARSEST
    levels = 1 + max(1, math.ceil(math.log2(cells) - 0.25))
    return tuple(min(32 << level, 256) for level in range(levels))


def default_weight(size: Sequence[int]) -> float:
    """0.0002 times the pixels, the heuristic of StyleGAN2-ADA (2006.06676); 0.1 at the least."""
    return max(0.1, 0.0002 * size[0] * size[1])


@dataclass(frozen=True)
class Suit:
    """What suits a new run on images of up to a number of pixels a side.

    Attributes:
        side: the longer one, at the most.
        levels: of the networks; the grid of the last has about 3 to 6 cells a side.
        batch: StyleGAN2-ADA's for one GPU is 32 up to 128 px and 16 at 256 (``min(4096 / side,
            32)``, 2006.06676); minutes of a processor hold too few steps for that at 96 px.
        steps: of each player, before which there is little to see.
    """

    side: int
    levels: int
    batch: int
    steps: int


FROM, PATCH, FEW = 40, 4, 1000
AUGMENTS, ADAPTED = ("colour", "translation", "cutout"), 100e3
SUITS = (Suit(80, 3, 32, 4000), Suit(160, 4, 16, 8000), Suit(1024, 5, 16, 16_000))


def suit_of(side: int) -> Suit:
    """The row of the table for images of ``side`` pixels."""
    return next(suit for suit in SUITS if side <= suit.side)


def suited_widths(channels: int, levels: int) -> tuple[int, ...]:
    """Channels of each level: as many as a cell has numbers, then twice and four times that.

    With fewer the critic's first layer could not tell all that a cell holds.
    """
    first = max(32, PATCH**2 * channels)
    return tuple(min(first << level, 4 * first) for level in range(levels))


def suited_weight(side: int) -> float:
    """R3GAN's penalty at the start: 1 for ImageNet at 64 px, with the cube of the side.

    Its presets for faces, 2 at 64 px and 150 at 256, are a power of 3.1 apart (2501.05441,
    ``train.py``); all of them end at a tenth.
    """
    return round((side / 64) ** 3, 3)


def suited(form: Form, given: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a new default run by the form of its images; none for small ones.

    Few images are changed before the critic sees them: always below a thousand (2006.10738), else
    as often as it needs (2006.06676).

    Args:
        form: of the images.
        given: options somebody chose, which win; of a network of theirs nothing is decided here.
    """
    side = max(form.size)
    if side < FROM or given.get("network", "residual") != "residual":
        return {}
    suit = suit_of(side)
    found = {"upsample": "nearest", "penalty_weight": suited_weight(side), "penalty_end": 0.1}
    found |= {"batch": suit.batch}
    if not given.keys() & {"patch", "widths"}:
        found |= {"patch": PATCH, "widths": suited_widths(form.channels, suit.levels)}
    if not given.keys() & {"augment", "ada_target"}:
        found |= {"augment": AUGMENTS, "ada_images": ADAPTED}
        found |= {"ada_target": 0.6 if form.images >= FEW else 0.0}
    return found


def images_wanted(side: int) -> int:
    """Images a run has to see before samples of ``side`` pixels are more than a beginning."""
    suit = suit_of(side)
    return suit.steps * suit.batch


def affordable_side(side: int, images: Callable[[int], float], least: int = 32) -> int:
    """The largest of ``side``, its half, its quarter ... that a run is long enough for.

    Args:
        side: the longer side that is asked for.
        images: how many images of a side the run will see.
        least: below this a side is not halved.
    """
    while side // 2 >= least and images(side) < images_wanted(side):
        side //= 2
    return side


def too_short(asked: int, chosen: int, times: float) -> str:
    """A sentence for a run that is too short for the size of its images.

    Args:
        asked: their longer side.
        chosen: the side that is trained instead.
        times: how many times as long the run would have to be for ``asked``.
    """
    return (
        f"trains at {chosen} px: a GAN of {asked} px takes about {times:.1f} times this length "
        f"before its samples are more than a beginning; --size {asked} trains that all the same"
    )


def build_generator(config: GANConfig) -> nn.Module:
    """The generator a configuration describes, (z, label) -> images."""
    widths, shape = stage_widths(config), (config.channels, config.size, config.latent)
    if config.network == "dcgan":
        return ClassicGenerator(*shape, widths, config.kinds, config.norm)
    levels = patch_of(config), widths, config.blocks
    return Generator(*shape, *levels, config.kinds, config.norm, config.upsample)


def build_critic(config: GANConfig) -> nn.Module:
    """The critic a configuration describes, (images, label) -> outputs."""
    widths, shape = stage_widths(config), (config.channels, config.size)
    kinds, norm, bias = config.kinds, config.critic_norm, OBJECTIVES[config.objective].absolute
    if config.network == "dcgan":
        critic: nn.Module = ClassicCritic(*shape, widths, kinds, norm, bias)
    else:
        critic = Critic(*shape, patch_of(config), widths, config.blocks, kinds, norm, bias)
    if config.spectral:
        constrain(critic)
    return critic


class Judge(nn.Module):
    """A critic behind augmentations, with what it remembers from step to step.

    Args:
        network: (images, label) -> outputs (N,).
        names: augmentations.
        target: what E sign D(real) is brought to by changing their probability; 0: it stays 1.
        images: images in which the probability can go from 0 to 1.
    """

    chance: Tensor
    signs: Tensor
    seen: Tensor
    accuracy: Tensor

    def __init__(
        self, network: nn.Module, names: Sequence[str], target: float, images: float
    ) -> None:
        super().__init__()
        self.network, self.names = network, tuple(names)
        self.target, self.images = target, images
        self.premultiplied = False
        for name, value in (("chance", 0.0 if target else 1.0), ("signs", 0.0), ("seen", 0.0),
                            ("accuracy", (BEHIND + AHEAD) / 2)):  # fmt: skip
            self.register_buffer(name, torch.tensor(value))

    @property
    def numbers(self) -> int:
        """Uniform numbers an image's augmentation takes."""
        return numbers_of(self.names)

    def forward(self, images: Tensor, label: Tensor | None, uniform: Tensor | None) -> Tensor:
        """Outputs (N,) for images as they are, or augmented by numbers (N, :attr:`numbers`)."""
        if uniform is not None and self.names:
            images = augment(images, self.names, uniform, self.chance, self.premultiplied)
        outputs: Tensor = self.network(images, label)
        return outputs.float()

    @torch.no_grad()
    def remember(self, real: Tensor, accuracy: Tensor, turn: int) -> None:
        """Take in outputs for real images; every fourth turn, adapt the probability.

        ADA (2006.06676, section 3.1): one step up where the critic is too sure of real images, one
        down where it is not.
        """
        self.accuracy.lerp_(accuracy, 1 - DECAY)
        if not self.target:
            return
        self.signs += real.sign().sum()
        self.seen += len(real)
        if turn % ADJUST_EVERY == ADJUST_EVERY - 1:
            surplus = self.signs / self.seen - self.target
            self.chance.add_(surplus.sign() * self.seen / self.images).clamp_(0, 1)
            self.signs.zero_()
            self.seen.zero_()


Score = Callable[[Tensor], Tensor]


def _at(score: Score, images: Tensor, of: Callable[[Tensor], Tensor]) -> Tensor:
    """A penalty of the gradient at images, in full precision."""
    with torch.autocast(images.device.type, enabled=False):
        leaf = images.detach().float().requires_grad_()
        return of(input_gradient(score(leaf), leaf))


PENALTIES: dict[str, Callable[[Score, Score, Tensor, Tensor, Tensor], Tensor]] = {
    "gradient": lambda on_real, on_fake, real, fake, share: _at(
        on_real, between(real, fake, share), unit_norm_penalty
    ),
    "r1": lambda on_real, on_fake, real, fake, share: _at(on_real, real, zero_norm_penalty),
    "r1r2": lambda on_real, on_fake, real, fake, share: (
        _at(on_real, real, zero_norm_penalty) + _at(on_fake, fake, zero_norm_penalty)
    ),
}
"""(score of real images, of made ones, real, made, share) -> scalar."""
