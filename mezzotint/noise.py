"""Forward processes: how a picture becomes noise.

Everywhere x_t = alpha x_0 + sigma eps, with eps standard normal. A process is a path of pairs
(alpha, sigma). Tables are float64; tensors of levels are float32 and broadcast over images.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

Betas = NDArray[np.float64]
TIME_SCALE = 1000.0
NUDGE = 1e-6  # below t = 1, where logarithms of the signal end


class Level(NamedTuple):
    """One noise level: x = alpha clean + sigma noise; ``time`` is what the network is told."""

    alpha: float
    sigma: float
    time: float


CLEAN_LEVEL = Level(1.0, 0.0, 0.0)


class Levels(NamedTuple):
    """Noise levels of a batch, each (N, 1, 1, 1), and the network's times (N,)."""

    alpha: Tensor
    sigma: Tensor
    time: Tensor


def spread_level(level: Level, like: Tensor) -> Levels:
    """One level for every image of ``like`` (N, C, H, W)."""
    alpha, sigma = (like.new_full((len(like), 1, 1, 1), value) for value in level[:2])
    return Levels(alpha, sigma, like.new_full((len(like),), level.time))


def linear_betas(steps: int = 1000) -> Betas:
    """1e-4 to 2e-2 over 1000 steps (2006.11239, section 4), scaled by 1000 / T for other T."""
    scale = 1000 / steps
    betas = np.linspace(1e-4 * scale, 2e-2 * scale, steps, dtype=np.float64)
    return np.minimum(betas, np.float64(0.999))


def cosine_betas(steps: int = 1000, offset: float = 0.008) -> Betas:
    """1 - f(t) / f(t - 1), f = cos^2 of a quarter turn, at most 0.999 (2102.09672, eq. 17)."""
    turns = (np.arange(steps + 1, dtype=np.float64) / steps + offset) / (1 + offset)
    curve = np.cos(turns * np.pi / 2) ** 2
    betas: Betas = 1 - curve[1:] / curve[:-1]
    return np.minimum(betas, 0.999)


def scaled_betas(steps: int = 1000) -> Betas:
    """Stable Diffusion's: 0.00085 to 0.012, equally spaced in their roots."""
    return np.linspace(0.00085**0.5, 0.012**0.5, steps, dtype=np.float64) ** 2


BETAS: dict[str, Callable[[int], Betas]] = {
    "linear": linear_betas,
    "cosine": cosine_betas,
    "scaled": scaled_betas,
}


def alphas_cumprod(betas: Betas) -> NDArray[np.float64]:
    """Products of 1 - beta: the squares of alpha (2006.11239, eq. 4)."""
    kept = 1 - np.asarray(betas, dtype=np.float64)
    return np.asarray(np.cumprod(kept), dtype=np.float64)


def rescale_zero_terminal_snr(cumprod: NDArray[np.float64]) -> NDArray[np.float64]:
    """Shift and scale alpha so that the last is 0 and the first is kept (2305.08891, alg. 1)."""
    alpha = np.sqrt(np.asarray(cumprod, dtype=np.float64))
    rescaled: NDArray[np.float64] = (alpha - alpha[-1]) * alpha[0] / (alpha[0] - alpha[-1])
    return rescaled**2


def q_sample(clean: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """x_t = alpha x_0 + sigma eps, in closed form (2006.11239, eq. 4)."""
    return alpha * clean + sigma * noise


def noise_of(noisy: Tensor, clean: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """eps = (x_t - alpha x_0) / sigma."""
    return (noisy - alpha * clean) / sigma


def slerp(first: Tensor, second: Tensor, share: Tensor) -> Tensor:
    """Spherical interpolation of (1, ...) normal vectors at shares (N, 1, ..) (Shoemake 1985)."""
    cosine = torch.nn.functional.cosine_similarity(first.flatten(), second.flatten(), dim=0)
    angle = torch.acos(cosine.clamp(-1 + 1e-6, 1 - 1e-6))
    mixed = torch.sin((1 - share) * angle) * first + torch.sin(share * angle) * second
    return mixed / torch.sin(angle)


def truncate(z: Tensor, bound: float) -> Tensor:
    """Normal numbers as if drawn within +-bound, each a rising function of itself (1809.11096).

    A number becomes the one of equal quantile in the truncated distribution, so that a seed keeps
    its image as the bound changes; 0 leaves all as they are.
    """
    if bound <= 0:
        return z
    low, high = torch.special.ndtr(
        torch.tensor([-bound, bound], dtype=torch.float64, device=z.device)
    )
    share = low + torch.special.ndtr(z.double()) * (high - low)
    kept: Tensor = torch.special.ndtri(share).clamp(-bound, bound)
    return kept.to(z.dtype)


def _column(values: Tensor) -> Tensor:
    return values.float().view(-1, 1, 1, 1)


@dataclass(frozen=True)
class Table:
    """T discrete levels with alpha^2 + sigma^2 = 1; the network is told the index.

    Attributes:
        cumprod: alphas_cumprod, float64 (T,).
    """

    cumprod: NDArray[np.float64]
    _placed: dict[torch.device, Tensor] = field(default_factory=dict, repr=False, compare=False)

    def draw(self, uniform: Tensor) -> Levels:
        """Levels of uniformly drawn indices; ``uniform`` (N,) in [0, 1)."""
        last = len(self.cumprod) - 1
        index = (uniform.double() * len(self.cumprod)).long().clamp(0, last)
        table = self._on(uniform.device)[index]
        return Levels(_column(table.sqrt()), _column((1 - table).sqrt()), index.float())

    def _on(self, device: torch.device) -> Tensor:
        """The table on a device, copied there once: a copy a step would make a GPU wait."""
        if device not in self._placed:
            self._placed[device] = torch.from_numpy(self.cumprod).to(device)
        return self._placed[device]

    def level(self, index: int) -> Level:
        """The level of an index 0 .. T - 1."""
        kept = float(self.cumprod[index])
        return Level(kept**0.5, (1 - kept) ** 0.5, float(index))

    def prior(self, first: Level) -> float:
        """Standard deviation of the noise sampling starts from: 1 (2006.11239, algorithm 2)."""
        return 1.0

    def levels(self, steps: int, spacing: str = "leading") -> list[Level]:
        """``steps`` levels from noise to image, then the clean one."""
        indices = SPACINGS[spacing](len(self.cumprod), steps)
        return [*(self.level(int(index)) for index in indices), CLEAN_LEVEL]


def _leading(total: int, steps: int) -> Sequence[int]:
    return [index * (total // steps) for index in reversed(range(steps))]


def _trailing(total: int, steps: int) -> Sequence[int]:
    found = np.round(np.arange(total, 0, -total / steps)).astype(int) - 1
    return [int(index) for index in found[:steps]]


def _linspace(total: int, steps: int) -> Sequence[int]:
    return [int(index) for index in np.round(np.linspace(0, total - 1, steps))[::-1]]


SPACINGS: dict[str, Callable[[int, int], Sequence[int]]] = {
    "leading": _leading,
    "trailing": _trailing,
    "linspace": _linspace,
}
"""Which of T indices a short sampler visits (2305.08891, table 2), from the noisiest."""


@dataclass(frozen=True)
class Flow:
    """The straight path alpha = 1 - t, sigma = t, t in [0, 1] (2209.03003; 2210.02747).

    Attributes:
        mean, std: t = sigmoid(mean + std z), z normal (2403.03206, section 3.1); std 0: uniform.
        shift: t' = s t / (1 + (s - 1) t) of the levels visited (2403.03206, eq. 23).
    """

    mean: float = 0.0
    std: float = 1.0
    shift: float = 1.0

    def draw(self, uniform: Tensor) -> Levels:
        """Levels of random times; ``uniform`` (N,) in [0, 1)."""
        inside = uniform.clamp(1e-6, 1 - 1e-6)
        time = torch.sigmoid(self.mean + self.std * torch.special.ndtri(inside))
        time = inside if self.std == 0 else time
        return Levels(_column(1 - time), _column(time), time * TIME_SCALE)

    def at_place(self, place: Tensor) -> Levels:
        """Levels at sigma / (alpha + sigma) = ``place`` (N,) in [0, 1]."""
        return Levels(_column(1 - place), _column(place), place * TIME_SCALE)

    def level(self, time: float) -> Level:
        """The level of a time in [0, 1]."""
        return Level(1 - time, time, time * TIME_SCALE)

    def prior(self, first: Level) -> float:
        """Standard deviation of the noise sampling starts from: sigma of the first level."""
        return first.sigma

    def levels(self, steps: int, spacing: str = "") -> list[Level]:
        """``steps`` levels at equal distances of t before the shift, then the clean one.

        Spacing ``linspace`` ends at t = 1/1000, shifted twice as diffusers' scheduler has it.
        ``leading`` has the levels of its UniPCMultistepScheduler with ``use_flow_sigmas``: down to
        just above t = 1/1000, and the network is told whole thousandths.
        """
        if spacing == "leading":
            return [*(self._told_whole(time) for time in self._leading(steps)), CLEAN_LEVEL]
        times = np.linspace(1, 0, steps + 1)[:-1]
        if spacing == "linspace":
            times = np.linspace(1, self._shifted(1 / TIME_SCALE), steps)
        return [*(self.level(float(self._shifted(time))) for time in times), CLEAN_LEVEL]

    def _leading(self, steps: int) -> list[float]:
        """Times as UniPCMultistepScheduler has them."""
        alphas = np.linspace(1, 1 / TIME_SCALE, steps + 1)
        times = [float(self._shifted(time)) for time in alphas[:-1]]
        return [times[0] - NUDGE, *times[1:]]

    def _told_whole(self, time: float) -> Level:
        """A level of which the network is told no more than diffusers' integers say."""
        return Level(1 - time, time, float(int(time * TIME_SCALE)))

    def _shifted(self, time: float) -> float:
        return self.shift * time / (1 + (self.shift - 1) * time)


@dataclass(frozen=True)
class Exploding:
    """alpha = 1, sigma from high to low (2206.00364); the network is told 1000 ln(sigma) / 4.

    Attributes:
        mean, std: ln sigma is normal with these in training (2206.00364, table 1).
        low, high, rho: sigma^(1 / rho) falls linearly in sampling (2206.00364, eq. 5).
    """

    mean: float = -1.2
    std: float = 1.2
    low: float = 0.002
    high: float = 80.0
    rho: float = 7.0

    def draw(self, uniform: Tensor) -> Levels:
        """Levels of log-normal sigmas; ``uniform`` (N,) in [0, 1)."""
        normal = torch.special.ndtri(uniform.clamp(1e-6, 1 - 1e-6))
        log_sigma = self.mean + self.std * normal
        sigma = _column(log_sigma.exp())
        return Levels(torch.ones_like(sigma), sigma, log_sigma * (TIME_SCALE / 4))

    def at_place(self, place: Tensor) -> Levels:
        """Levels at sigma / (1 + sigma) = ``place`` (N,); the time stops at the lowest sigma."""
        sigma = place / (1 - place).clamp(min=1e-6)
        time = sigma.clamp(min=self.low).log() * (TIME_SCALE / 4)
        return Levels(torch.ones_like(_column(sigma)), _column(sigma), time)

    def level(self, sigma: float) -> Level:
        """The level of a sigma > 0."""
        return Level(1.0, sigma, float(np.log(sigma)) * TIME_SCALE / 4)

    def prior(self, first: Level) -> float:
        """Standard deviation of the noise sampling starts from: sigma of the first level."""
        return first.sigma

    def levels(self, steps: int, spacing: str = "") -> list[Level]:
        """``steps`` levels by the rho rule, then the clean one."""
        first, last = (end ** (1 / self.rho) for end in (self.high, self.low))
        sigmas = np.linspace(first, last, steps) ** self.rho
        return [*(self.level(float(sigma)) for sigma in sigmas), CLEAN_LEVEL]


Process = Table | Flow | Exploding
