"""Ways from noise to images, given what a network predicts of the clean image.

``solver(denoise, x, levels, noise)`` yields one :class:`Step` per transition between neighbouring
levels, from the noisiest to CLEAN_LEVEL, at which ``denoise`` is never called; see
:mod:`mezzotint.stepping`. Any path x = alpha x_0 + sigma eps will do; the first alpha may be 0.
Coefficients are float64.
"""

import math
from collections import deque
from collections.abc import Sequence
from functools import partial
from itertools import pairwise
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from mezzotint.noise import Level
from mezzotint.stepping import Ask, Noise, Solver, Step, Walk


def transition_variance(old: Level, new: Level) -> float:
    """beta': variance of x_t, the old level's, given x_s (2006.11239, eq. 2, for any stride)."""
    return old.sigma**2 - (old.alpha / new.alpha * new.sigma) ** 2


def posterior_mean(clean: Tensor, noisy: Tensor, old: Level, new: Level) -> Tensor:
    """Mean of x_s given x_t and x_0, all (N, C, H, W) (2006.11239, eq. 7, for any path)."""
    of_noisy = old.alpha / new.alpha * (new.sigma / old.sigma) ** 2
    return new.alpha * transition_variance(old, new) / old.sigma**2 * clean + of_noisy * noisy


def posterior_variance(old: Level, new: Level) -> float:
    """beta~ = sigma_s^2 / sigma_t^2 beta': variance of x_s given x_t, x_0 (2006.11239, eq. 7)."""
    return (new.sigma / old.sigma) ** 2 * transition_variance(old, new)


def learned_variance(fraction: Tensor, old: Level, new: Level) -> Tensor:
    """exp(v log beta' + (1 - v) log beta~), v in [0, 1] of any shape (2102.09672, eq. 15)."""
    large = math.log(transition_variance(old, new))
    small = math.log(max(posterior_variance(old, new), 1e-20))  # beta~ is 0 at the last step
    return torch.exp(fraction * large + (1 - fraction) * small)


@Solver
def ancestral(x: Tensor, levels: Sequence[Level], noise: Noise, large: bool = False) -> Walk:
    """Draw from q(x_s | x_t, x_0) at the predicted x_0 (2006.11239, algorithm 2), any stride.

    The variance is beta', ``large``, or what the network learnt, or beta~; 0 at the last step.
    """
    for step, (old, new) in enumerate(pairwise(levels)):
        clean, fraction = yield Ask(x, old)
        x = posterior_mean(clean, x, old, new)
        if new.sigma > 0:
            x = x + _deviation(None if large else fraction, old, new, large) * noise(step)
        yield Step(x, clean)


def _deviation(fraction: Tensor | None, old: Level, new: Level, large: bool) -> Tensor | float:
    if fraction is not None:
        return learned_variance(fraction, old, new).sqrt()
    return math.sqrt(transition_variance(old, new) if large else posterior_variance(old, new))


def ddim_step(x: Tensor, clean: Tensor, old: Level, new: Level) -> Tensor:
    """alpha_s x_0 + sigma_s eps with eps = (x_t - alpha_t x_0) / sigma_t (2010.02502, eq. 12).

    It is DPM-Solver++(1) of 2211.01095 and Euler's step in either coordinates of :func:`axes`.
    """
    ratio = new.sigma / old.sigma
    return ratio * x + (new.alpha - ratio * old.alpha) * clean


@Solver
def ddim(x: Tensor, levels: Sequence[Level], noise: Noise, eta: float = 0.0) -> Walk:
    """DDIM: Euler's method on the flow at eta 0, ancestral at eta 1 (2010.02502, eq. 12 and 16).

    eps is derived anew from the predicted x_0, so that clipping x_0 moves it as well.
    """
    for step, (old, new) in enumerate(pairwise(levels)):
        clean = (yield Ask(x, old)).clean
        variance = eta**2 * posterior_variance(old, new)
        kept = new._replace(sigma=math.sqrt(max(0.0, new.sigma**2 - variance)))
        x = ddim_step(x, clean, old, kept)
        if variance > 0:
            x = x + math.sqrt(variance) * noise(step)
        yield Step(x, clean)


@Solver
def consistency(x: Tensor, levels: Sequence[Level], noise: Noise) -> Walk:
    """Predict x_0, put fresh noise on it, predict again (2303.01469, algorithm 1).

    For models whose prediction at any level is a sample already.
    """
    for step, (old, new) in enumerate(pairwise(levels)):
        clean = (yield Ask(x, old)).clean
        x = new.alpha * clean + new.sigma * noise(step) if new.sigma > 0 else clean
        yield Step(x, clean)


def log_snr(level: Level) -> float:
    """lambda = log(alpha / sigma) of 2211.01095; -inf where alpha is 0, inf where sigma is 0."""
    with np.errstate(divide="ignore"):
        return float(np.log(level.alpha) - np.log(level.sigma))


@Solver
def dpmpp_2m(x: Tensor, levels: Sequence[Level], noise: Noise) -> Walk:
    """DPM-Solver++(2M), midpoint form (2211.01095, algorithm 2).

    First order without a finite lambda to look back to, and at the last step, to sigma 0.
    """
    before: Tensor | None = None
    for step, (old, new) in enumerate(pairwise(levels)):
        clean = ahead = (yield Ask(x, old)).clean
        if before is not None and new.sigma > 0:
            ahead = clean + midpoint_weight(levels[step - 1], old, new) * (clean - before)
        x, before = ddim_step(x, ahead, old, new), clean
        yield Step(x, clean)


def midpoint_weight(older: Level, old: Level, new: Level) -> float:
    """1 / (2 r), r = h_{i-1} / h_i: slope of x_0 carried to mid-step (2211.01095, algorithm 2)."""
    ahead = log_snr(new) - log_snr(old)
    return ahead / (2 * (log_snr(old) - log_snr(older)))


_Point = tuple[float, Tensor]  # lambda and the x_0 predicted there


@Solver
def unipc(x: Tensor, levels: Sequence[Level], noise: Noise, order: int = 2) -> Walk:
    """UniPC of x_0 with B(h) = e^h - 1, one evaluation a step (2302.04867, section 3).

    The prediction at a new point first corrects that point and then starts the next step. The
    order falls towards the end, and where history is short or its lambda is -inf.
    """
    start, used, points = x, 1, deque[_Point](maxlen=order)
    for step, (old, new) in enumerate(pairwise(levels)):
        where, clean = log_snr(old), (yield Ask(x, old)).clean
        if points:
            ahead = bh2_clean([*points][:used], where, clean)
            start = ddim_step(start, ahead, levels[step - 1], old)
        points.appendleft((where, clean))
        finite = sum(math.isfinite(point) for point, _ in points)
        used = max(1, min(order, len(levels) - 1 - step, finite))
        x = ddim_step(start, bh2_clean([*points][:used], log_snr(new)), old, new)
        yield Step(x, clean)


def bh2_clean(points: Sequence[_Point], target: float, arrived: Tensor | None = None) -> Tensor:
    """m_0 + sum_k rho_k (m_k - m_0) / r_k: the x_0 of a step to lambda ``target`` from points[0].

    ``points`` are the newest first; UniP, or UniC given the x_0 at ``target`` (2302.04867, sec. 3).
    """
    (start, newest), step = points[0], target - points[0][0]
    terms = [((where - start) / step, clean) for where, clean in points[1:]]
    terms += [] if arrived is None else [(1.0, arrived)]
    total = newest
    for weight, (ratio, clean) in zip(bh2_weights([ratio for ratio, _ in terms], step), terms):
        total = total + weight / ratio * (clean - newest)
    return total


def bh2_weights(ratios: Sequence[float], step: float) -> list[float]:
    """rho of R rho = b, R_ik = r_k^(i-1); 1/2 if it is one, as published (2302.04867, thm 3.1)."""
    if len(ratios) < 2:
        return [0.5] * len(ratios)
    first = math.expm1(-step)
    phi, right = first / -step - 1, []
    for row in range(1, len(ratios) + 1):
        right.append(phi * math.factorial(row) / first)
        phi = phi / -step - 1 / math.factorial(row + 1)
    rows = np.vander(np.array(ratios), increasing=True).T
    return [float(weight) for weight in np.linalg.solve(rows, np.array(right))]


class Axis(NamedTuple):
    """A level where y = x / scale obeys dy/ds = (y - x_0) / s, s being the time."""

    scale: float
    time: float


def axes(levels: Sequence[Level]) -> list[Axis]:
    """y = x / alpha, s = sigma / alpha, with slope eps (2206.00364, eq. 4).

    Where an alpha is 0, alpha + sigma is divided by instead: the slope eps - x_0 of 2209.03003.
    """
    exploding = all(level.alpha > 0 for level in levels)
    scales = [level.alpha if exploding else level.alpha + level.sigma for level in levels]
    return [Axis(scale, level.sigma / scale) for scale, level in zip(scales, levels)]


def slope(x: Tensor, clean: Tensor, axis: Axis) -> Tensor:
    """dy/ds = (y - x_0) / s (2206.00364, eq. 3 with the score as a denoiser)."""
    return (x / axis.scale - clean) / axis.time


def move(x: Tensor, direction: Tensor, old: Axis, new: Axis) -> Tensor:
    """x after a straight step of y along a slope (2206.00364, algorithm 1, line 5)."""
    return new.scale * (x / old.scale + (new.time - old.time) * direction)


@Solver
def heun(x: Tensor, levels: Sequence[Level], noise: Noise) -> Walk:
    """Heun's second-order steps, two evaluations each; the last is Euler's (2206.00364, alg. 1)."""
    places = axes(levels)
    for step, (old, new) in enumerate(pairwise(levels)):
        clean = (yield Ask(x, old)).clean
        start, x = x, ddim_step(x, clean, old, new)
        if new.sigma > 0:
            arrived = (yield Ask(x, new)).clean
            ends = slope(x, arrived, places[step + 1])
            mean = (slope(start, clean, places[step]) + ends) / 2
            x = move(start, mean, places[step], places[step + 1])
        yield Step(x, clean)


ADAMS = ((1.0,), (3 / 2, -1 / 2), (23 / 12, -4 / 3, 5 / 12), (55 / 24, -59 / 24, 37 / 24, -3 / 8))


@Solver
def ipndm(x: Tensor, levels: Sequence[Level], noise: Noise) -> Walk:
    """Adams-Bashforth up to order four on the slope (2202.09778, eq. 12; iPNDM of 2204.13902).

    The coefficients are those of equal steps, as published: on others the method is second order.
    """
    slopes: deque[Tensor] = deque(maxlen=len(ADAMS))
    for level, (old, new) in zip(levels, pairwise(axes(levels))):
        clean = (yield Ask(x, level)).clean
        slopes.appendleft(slope(x, clean, old))
        terms = [weight * each for weight, each in zip(ADAMS[len(slopes) - 1], slopes)]
        x = move(x, torch.stack(terms).sum(0), old, new)
        yield Step(x, clean)


SOLVERS: dict[str, Solver] = {
    "ddpm": ancestral,
    "ddpm-large": Solver(partial(ancestral.asking, large=True)),
    "ddim": ddim,
    "euler": ddim,
    "dpmpp-2m": dpmpp_2m,
    "unipc": unipc,
    "unipc-3": Solver(partial(unipc.asking, order=3)),
    "heun": heun,
    "ipndm": ipndm,
    "consistency": consistency,
}
