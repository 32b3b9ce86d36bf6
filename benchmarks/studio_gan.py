"""StudioGAN's step order (POSTECH-CVLab/PyTorch-StudioGAN at 947b35e, src/worker.py), on a CPU.

What it does around a step, without its `.cuda()` calls, logging and data loading: gradients of a
whole player are switched off and on, real and made images are judged in passes of their own, made
ones are drawn anew for the generator, Adam is not fused, the average is taken tensor by tensor.
"""

import copy
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from mezzotint.adversarial import Objective

DECAY = 0.999
Steps = Iterator[None]


def toggle(network: nn.Module, wanted: bool) -> None:
    """Switch the gradients of all parameters."""
    for parameter in network.parameters():
        parameter.requires_grad = wanted


def apply_average(source: nn.Module, target: nn.Module) -> None:
    """EMA of parameters and buffers, as src/utils/ema.py takes it."""
    with torch.no_grad():
        for own, live in zip(target.parameters(), source.parameters(), strict=True):
            own.copy_(live.lerp(own, DECAY))
        for own, live in zip(target.buffers(), source.buffers(), strict=True):
            own.copy_(live.lerp(own, DECAY) if live.is_floating_point() else live)


def steps(
    generator: nn.Module,
    critic: nn.Module,
    batches: Iterator[Tensor],
    objective: Objective,
    latent: int,
    settings: dict[str, Any],
    penalty: Any = None,
    critic_steps: int = 1,
    average: nn.Module | None = None,
) -> Steps:
    """One iteration of both players at a time.

    Args:
        generator, critic: the networks.
        batches: real images.
        objective: the losses.
        latent: numbers in z.
        settings: of Adam.
        penalty: (critic, real, fake) -> scalar, added to the critic's loss.
        critic_steps: of an iteration.
        average: a copy of the generator that becomes the average of its weights.
    """
    average = copy.deepcopy(generator) if average is None else average
    players = {
        network: torch.optim.Adam(network.parameters(), **settings)
        for network in (generator, critic)
    }
    while True:
        toggle(generator, False)
        toggle(critic, True)
        for _ in range(critic_steps):
            players[critic].zero_grad()
            real = next(batches)
            fake = generator(torch.randn(len(real), latent))
            on_real, on_fake = critic(real), critic(fake)
            loss = objective.critic(on_real, on_fake)
            if penalty is not None:
                loss = loss + penalty(critic, real, fake)
            loss.backward()
            players[critic].step()
        toggle(critic, False)
        toggle(generator, True)
        players[generator].zero_grad()
        on_fake = critic(generator(torch.randn(len(real), latent)))
        objective.generator(on_fake, on_fake).backward()
        players[generator].step()
        apply_average(generator, average)
        yield None
