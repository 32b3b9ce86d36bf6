"""Data whose ideal denoiser and probability flow have a closed form, for tests of solvers."""

import math
from dataclasses import dataclass

import torch

from mezzotint.noise import BETAS, CLEAN_LEVEL, Exploding, Flow, Level, Table, alphas_cumprod
from mezzotint.stepping import Denoised


def table(schedule="linear", steps=1000):
    return Table(alphas_cumprod(BETAS[schedule](steps)))


PROCESSES = {
    "linear": table("linear"),
    "cosine": table("cosine"),
    "flow": Flow(),
    "exploding": Exploding(),
}


def seeded(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def draws(shape, seed=1):
    """Noise of a step as a function of the step alone."""
    return lambda step: seeded(*shape, seed=1000 * seed + step)


@dataclass(frozen=True)
class Gaussian:
    """x_0 ~ N(mean, std^2) in every pixel."""

    mean: float = 0.3
    std: float = 0.5

    def draw(self, shape, seed=7):
        return self.mean + self.std * seeded(*shape, seed=seed)

    def spread(self, level):
        return math.sqrt((level.alpha * self.std) ** 2 + level.sigma**2)

    def clean(self, x, level):
        """E[x_0 | x_t], linear in x_t."""
        gain = level.alpha * self.std**2 / self.spread(level) ** 2
        return self.mean + gain * (x - level.alpha * self.mean)

    def carry(self, x, old, new):
        """The probability flow: every image keeps its quantile."""
        quantile = (x - old.alpha * self.mean) / self.spread(old)
        return new.alpha * self.mean + self.spread(new) * quantile

    def fraction(self, old, new):
        """The v whose variance is that of x_s given x_t: then even few steps are exact."""
        step = old.alpha / new.alpha
        large = old.sigma**2 - (step * new.sigma) ** 2
        small = large * (new.sigma / old.sigma) ** 2
        unknown = (self.std * old.sigma / self.spread(old)) ** 2
        true = small + (new.alpha * large / old.sigma**2) ** 2 * unknown
        return math.log(true / small) / math.log(large / small)


@dataclass(frozen=True)
class TwoPoints:
    """x_0 = 1 with probability ``share``, else -1, in every pixel."""

    share: float = 0.3

    def draw(self, shape, seed=7):
        uniform = torch.special.ndtr(seeded(*shape, seed=seed))
        return torch.where(uniform < self.share, 1.0, -1.0).double()

    def clean(self, x, level):
        """E[x_0 | x_t] = tanh(alpha x_t / sigma^2 + half the log-odds of 1)."""
        prior = 0.5 * math.log(self.share / (1 - self.share))
        return torch.tanh(level.alpha / level.sigma**2 * x + prior)

    def carry(self, x, old, new):
        """The probability flow keeps quantiles; at the end there are only two values."""
        assert new.sigma == 0
        above = torch.special.ndtr((x - old.alpha) / old.sigma)
        below = torch.special.ndtr((x + old.alpha) / old.sigma)
        quantile = self.share * above + (1 - self.share) * below
        return torch.where(quantile > 1 - self.share, 1.0, -1.0).double()


def ideal(data):
    return lambda x, level: Denoised(data.clean(x, level))


def start(data, level, shape, seed=3):
    """Exact draws of x_t at a level."""
    return level.alpha * data.draw(shape, seed) + level.sigma * seeded(*shape, seed=seed + 1)


def smooth_levels(kind, steps):
    """Levels of a smooth path at equal distances of its parameter, then the clean one."""
    position = torch.linspace(0, 1, steps, dtype=torch.float64).tolist()
    place = {
        "preserving": lambda u: (lambda kept: (kept**0.5, (1 - kept) ** 0.5))(
            1 / (1 + math.exp(6 * (1 - 2 * u)))
        ),
        "exploding": lambda u: (1.0, math.exp(3 - 6 * u)),
        "flow": lambda u: (0.95 * u, 1 - 0.95 * u),
    }[kind]
    return [*(Level(*place(u), 1000 * (1 - u)) for u in position), CLEAN_LEVEL]
