"""What the two players of a GAN minimise: pure functions of the critic's outputs and gradients.

A critic gives an image one number, a logit or a score; higher is "more real". Every function takes
such numbers for real and for made images and returns a scalar.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor


def non_saturating_critic(real: Tensor, fake: Tensor) -> Tensor:
    """-E log D(x) - E log(1 - D(G(z))), D the sigmoid of the logits (1406.2661, eq. 1)."""
    wanted = (torch.ones_like(real), torch.zeros_like(fake))
    on_real = F.binary_cross_entropy_with_logits(real, wanted[0])
    return on_real + F.binary_cross_entropy_with_logits(fake, wanted[1])


def non_saturating_generator(fake: Tensor) -> Tensor:
    """-E log D(G(z)) (1406.2661, section 3)."""
    return F.binary_cross_entropy_with_logits(fake, torch.ones_like(fake))


def hinge_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E max(0, 1 - D(x)) + E max(0, 1 + D(G(z))) (1705.02894; 1802.05957, eq. 16)."""
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wasserstein_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E D(G(z)) - E D(x) (1701.07875, eq. 2, with the sign turned)."""
    return fake.mean() - real.mean()


def wasserstein_generator(fake: Tensor) -> Tensor:
    """-E D(G(z)); the hinge loss has the same one (1701.07875; 1802.05957, eq. 17)."""
    return -fake.mean()


def relativistic_critic(real: Tensor, fake: Tensor) -> Tensor:
    """E softplus(-(D(x) - D(G(z)))) over pairs of a real and a made image (2501.05441, eq. 2)."""
    return F.softplus(fake - real).mean()


def relativistic_generator(real: Tensor, fake: Tensor) -> Tensor:
    """E softplus(-(D(G(z)) - D(x))) over pairs (2501.05441, eq. 2)."""
    return F.softplus(real - fake).mean()


@dataclass(frozen=True)
class Objective:
    """Losses of the two players.

    Attributes:
        critic: (real, fake) outputs -> scalar.
        generator: (real, fake) outputs -> scalar.
        pairs: the generator's loss looks at real images too.
        absolute: the critic's loss changes when a number is added to all outputs.
    """

    critic: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    pairs: bool = False
    absolute: bool = True


OBJECTIVES = {
    "non-saturating": Objective(
        non_saturating_critic, lambda real, fake: non_saturating_generator(fake)
    ),
    "hinge": Objective(hinge_critic, lambda real, fake: wasserstein_generator(fake)),
    "wasserstein": Objective(
        wasserstein_critic, lambda real, fake: wasserstein_generator(fake), absolute=False
    ),
    "relativistic": Objective(
        relativistic_critic, relativistic_generator, pairs=True, absolute=False
    ),
}


def input_gradient(outputs: Tensor, images: Tensor) -> Tensor:
    """dD(x)/dx of each image, itself differentiable: (N,) outputs, (N, C, H, W) images -> images.

    Right only where an output depends on its own image alone, so not with batch normalisation.
    """
    (gradient,) = torch.autograd.grad(outputs.sum(), images, create_graph=True)
    return gradient.float()


def between(real: Tensor, fake: Tensor, share: Tensor) -> Tensor:
    """Points on the lines from made to real images (1704.00028, algorithm 1).

    Args:
        real, fake: (N, C, H, W).
        share: (N,) in [0, 1], one number an image.
    """
    return torch.lerp(fake, real, share.view(-1, 1, 1, 1))


def unit_norm_penalty(gradient: Tensor) -> Tensor:
    """E (|g| - 1)^2, the norm over all numbers of an image (1704.00028, eq. 3)."""
    # the norm's own derivative is NaN at zero, where a penalty must not end a run
    norms = (gradient.flatten(1).square().sum(1) + 1e-12).sqrt()
    return (norms - 1).square().mean()


def zero_norm_penalty(gradient: Tensor) -> Tensor:
    """E |g|^2 / 2, summed over an image: R1 on real images, R2 on made ones (1801.04406, eq. 9)."""
    return gradient.flatten(1).square().sum(1).mean() / 2


def accuracy(real: Tensor, fake: Tensor) -> Tensor:
    """Share of pairs of a real and a made image that a critic puts in the right order.

    0.5: it cannot tell them apart; 1: always. Unlike a threshold it suits every objective.
    """
    right = (real[:, None] > fake[None]).float()
    return (right + 0.5 * (real[:, None] == fake[None])).mean()


def energy_distance(first: Tensor, second: Tensor) -> Tensor:
    """2 E|x - y| - E|x - x'| - E|y - y'|, 0 for equal distributions alone (Szekely & Rizzo 2013).

    Distances are root mean squares over the numbers of an image; the expectations are over all
    pairs, so that equal sets give 0.

    Args:
        first, second: (N, C, H, W) and (M, C, H, W).
    """
    rows = first.flatten(1).double(), second.flatten(1).double()
    scale = rows[0].shape[1] ** 0.5
    across = torch.cdist(*rows, compute_mode="use_mm_for_euclid_dist").mean()
    inside = [torch.cdist(r, r, compute_mode="use_mm_for_euclid_dist").mean() for r in rows]
    distance: Tensor = (2 * across - inside[0] - inside[1]) / scale
    return distance
