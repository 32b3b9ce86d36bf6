"""What a network may be asked to predict of a noisy image, and how to turn that into x_0.

Everywhere x_t = alpha x_0 + sigma eps; alpha and sigma are tensors that broadcast over images.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor

from mezzotint.noise import q_sample

LEAST_SHARE = 0.05  # of noise; below it a velocity is a difference of nearly equal images


class Prediction(NamedTuple):
    """What a network predicts; every function broadcasts alpha and sigma over images.

    Attributes:
        target: (clean, noise, alpha, sigma, data_std) -> what the network should give.
        clean: (noisy, output, alpha, sigma, data_std) -> x_0.
        input_scale: (alpha, sigma, data_std) -> factor of the network's input.
        gain: (alpha, sigma, data_std) -> change of x_0 per change of the output, so that a weight
            gain^2 on the squared error of the output is weight 1 on that of x_0.
    """

    target: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]
    clean: Callable[[Tensor, Tensor, Tensor, Tensor, float], Tensor]
    input_scale: Callable[[Tensor, Tensor, float], Tensor]
    gain: Callable[[Tensor, Tensor, float], Tensor]


def _one(alpha: Tensor, sigma: Tensor, data_std: float) -> Tensor:
    return torch.ones_like(alpha)


def clean_from_eps(x: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor, _: float = 1.0) -> Tensor:
    """x_0 = (x_t - sigma eps) / alpha (2006.11239, eq. 4 solved for x_0)."""
    return (x - sigma * eps) / alpha


def v_target(clean: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor, _: float = 1.0) -> Tensor:
    """v = alpha eps - sigma x_0 (2202.00512, appendix D)."""
    return alpha * eps - sigma * clean


def clean_from_v(x: Tensor, v: Tensor, alpha: Tensor, sigma: Tensor, _: float = 1.0) -> Tensor:
    """x_0 = alpha x_t - sigma v where alpha^2 + sigma^2 = 1 (2202.00512, appendix D)."""
    return (alpha * x - sigma * v) / (alpha.square() + sigma.square())


def clean_from_flow(x: Tensor, u: Tensor, alpha: Tensor, sigma: Tensor, _: float = 1.0) -> Tensor:
    """x_0 = x_t - t u on the straight path alpha = 1 - t, sigma = t (2209.03003, eq. 1)."""
    return (x - sigma * u) / (alpha + sigma)


def skip_scale(alpha: Tensor, sigma: Tensor, data_std: float) -> Tensor:
    """c_skip of 2206.00364, table 1, for x_t = alpha x_0 + sigma eps."""
    return alpha * data_std**2 / (sigma.square() + (alpha * data_std).square())


def output_scale(alpha: Tensor, sigma: Tensor, data_std: float) -> Tensor:
    """c_out of 2206.00364, table 1."""
    return sigma * data_std * edm_input_scale(alpha, sigma, data_std)


def edm_input_scale(alpha: Tensor, sigma: Tensor, data_std: float) -> Tensor:
    """c_in of 2206.00364, table 1: gives the network inputs of unit variance."""
    return torch.rsqrt(sigma.square() + (alpha * data_std).square())


def edm_target(clean: Tensor, eps: Tensor, alpha: Tensor, sigma: Tensor, data_std: float) -> Tensor:
    """F = (x_0 - c_skip x_t) / c_out: weight lambda(sigma) c_out^2 = 1 (2206.00364, eq. 8)."""
    noisy = q_sample(clean, eps, alpha, sigma)
    rest = clean - skip_scale(alpha, sigma, data_std) * noisy
    return rest / output_scale(alpha, sigma, data_std)


def clean_from_edm(
    x: Tensor, output: Tensor, alpha: Tensor, sigma: Tensor, data_std: float
) -> Tensor:
    """D = c_skip x_t + c_out F (2206.00364, eq. 7)."""
    skipped = skip_scale(alpha, sigma, data_std) * x
    return skipped + output_scale(alpha, sigma, data_std) * output


PREDICTIONS: dict[str, Prediction] = {
    "eps": Prediction(lambda c, e, a, s, d: e, clean_from_eps, _one, lambda a, s, d: s / a),
    "clean": Prediction(lambda c, e, a, s, d: c, lambda x, o, a, s, d: o, _one, _one),
    "v": Prediction(v_target, clean_from_v, _one, lambda a, s, d: s / (a * a + s * s)),
    "flow": Prediction(
        lambda c, e, a, s, d: e - c, clean_from_flow, _one, lambda a, s, d: s / (a + s)
    ),
    "edm": Prediction(
        edm_target, clean_from_edm, edm_input_scale, output_scale
    ),
}  # fmt: skip


def min_snr_weight(
    alpha: Tensor, sigma: Tensor, prediction: str, data_std: float = 1.0, gamma: float = 5.0
) -> Tensor:
    """min(SNR, gamma) on the squared error of x_0, as a weight of this prediction's (2303.09556).

    eps: min(SNR, gamma) / SNR, 1 where SNR is 0; x_0: min(SNR, gamma); v: min(..) / (SNR + 1).
    """
    snr = (alpha / sigma).square()
    if prediction == "eps":
        return gamma / snr.clamp(min=gamma)
    return snr.clamp(max=gamma) * PREDICTIONS[prediction].gain(alpha, sigma, data_std).square()


def velocity_weight(alpha: Tensor, sigma: Tensor, prediction: str, data_std: float = 1.0) -> Tensor:
    """The weight that makes a prediction's squared error that of the flow's velocity.

    (x_0 - x_t) / max(t, 0.05) of the straight path, t = sigma / (alpha + sigma) (2511.13720).
    """
    share = (sigma / (alpha + sigma)).clamp(min=LEAST_SHARE)
    return (PREDICTIONS[prediction].gain(alpha, sigma, data_std) / share).square()
