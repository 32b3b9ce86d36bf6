"""log p(x | decoder output): what a VAE's reconstruction term is made of.

Pixels are in [0, 1] with 256 levels. Each likelihood takes clean images (..., C, H, W), the
decoder's raw output of a shape that broadcasts with them and a learnt log-scale of shape (C, 1, 1),
and returns nats summed over pixels and channels: (...).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

LEVELS = 256


def bernoulli_log_likelihood(images: Tensor, logits: Tensor, log_scale: Tensor) -> Tensor:
    """sum x log p + (1 - x) log(1 - p), p = sigmoid(logits); grey values count as probabilities."""
    return -_sum(F.softplus(logits) - images * logits)


def gaussian_log_likelihood(images: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log N(x; mean, sigma^2), one learnt sigma a channel (sigma-VAE, 2006.13202, eq. 4)."""
    errors = (images - mean) * torch.exp(-log_scale)
    return -_sum(0.5 * errors.square() + log_scale + 0.5 * math.log(2 * math.pi))


def logistic_log_likelihood(images: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """log of the logistic's mass in each pixel's 1/255-wide bin (1606.04934, section 5.2).

    The outermost bins reach to infinity, so the 256 masses add up to one.
    """
    half, inverse = 0.5 / (LEVELS - 1), torch.exp(-log_scale)
    upper = (images - mean + half) * inverse
    lower = (images - mean - half) * inverse
    # log(sigmoid(u) - sigmoid(l)) = logsigmoid(u) + logsigmoid(-l) + log(1 - exp(l - u)), stable
    width = torch.log(-torch.expm1(-2 * half * inverse))
    inside = F.logsigmoid(upper) + F.logsigmoid(-lower) + width
    mass = torch.where(images < half, F.logsigmoid(upper), inside)
    return _sum(torch.where(images > 1 - half, F.logsigmoid(-lower), mass))


def _sum(terms: Tensor) -> Tensor:
    return terms.flatten(-3).sum(-1)


@dataclass(frozen=True)
class Likelihood:
    """A reconstruction term and what its numbers mean.

    Attributes:
        log_prob: nats of images given the decoder's output.
        to_pixels: the decoder's output as expected pixels in [0, 1].
        start: initial log-scale.
        learns_scale: whether the log-scale is a parameter.
        continuous: a density, so that bits/dim need dequantised pixels and an offset.
        counts_bits: whether bits/dim of 256-level pixels are defined at all.
        scale_of_error: the scale with the highest likelihood of normal errors of root mean square
            1: of a Gaussian that is 1 (2006.13202, eq. 6), of a logistic of its variance
            sqrt(3) / pi.
    """

    log_prob: Callable[[Tensor, Tensor, Tensor], Tensor]
    to_pixels: Callable[[Tensor], Tensor]
    start: float = 0.0
    learns_scale: bool = False
    continuous: bool = False
    counts_bits: bool = False
    scale_of_error: float = 1.0


def _clamp(mean: Tensor) -> Tensor:
    return mean.clamp(0, 1)


LIKELIHOODS = {
    "bernoulli": Likelihood(bernoulli_log_likelihood, torch.sigmoid),
    "gaussian": Likelihood(
        gaussian_log_likelihood, _clamp, math.log(0.3), True, continuous=True, counts_bits=True
    ),
    "logistic": Likelihood(
        logistic_log_likelihood,
        _clamp,
        math.log(0.1),
        True,
        counts_bits=True,
        scale_of_error=3**0.5 / math.pi,
    ),
}


def dequantise(images: Tensor, uniform: Tensor) -> Tensor:
    """256-level pixels in [0, 1] spread over their bins: (255 x + u) / 256, u in [0, 1).

    With the density on [0, 1], -log2 p(x) / D + 8 bounds the bits per dimension (1511.01844, 3.1).
    """
    return (images * (LEVELS - 1) + uniform) / LEVELS


def bits_per_dim(nats: Tensor, dims: int, continuous: bool) -> Tensor:
    """Negative log-likelihood in nats as bits per dimension.

    Args:
        nats: -log p(x), any shape.
        dims: pixels x channels of an image.
        continuous: the nats are of a density over [0, 1]; adds log2(256) = 8 bits.
    """
    return nats / (dims * math.log(2)) + (math.log2(LEVELS) if continuous else 0.0)


def kl_to_standard_normal(mean: Tensor, log_variance: Tensor) -> Tensor:
    """KL(N(mean, exp(log_variance)) || N(0, 1)) elementwise (1312.6114, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1 - log_variance)


def log_standard_normal(latent: Tensor) -> Tensor:
    """log N(z; 0, I) summed over the last dimension."""
    return -0.5 * (latent.square() + math.log(2 * math.pi)).sum(-1)


def importance_weighted_bound(log_weights: Tensor) -> Tensor:
    """log mean exp of K log-weights log p(x, z) / q(z | x): (K, N) -> (N,) (1509.00519, eq. 8)."""
    return torch.logsumexp(log_weights, 0) - math.log(log_weights.shape[0])
