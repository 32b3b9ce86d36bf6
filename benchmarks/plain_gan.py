"""The GAN training most people write: PyTorch's DCGAN example, and the common WGAN-GP one.

Real and made images go through the critic in passes of their own, made ones are drawn once a step,
every loss is read with `.item()`, Adam is what `torch.optim.Adam(parameters, ...)` is.
"""

import time
from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

LATENT, RATE, CRITIC_STEPS, PENALTY = 100, 2e-4, 5, 10.0
Steps = Iterator[dict[str, float]]


def dcgan() -> tuple[nn.Module, nn.Module]:
    """The reference networks for 28x28 grey images, initialised as DCGAN's."""
    generator = nn.Sequential(
        nn.Linear(LATENT, 256 * 7 * 7), nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 1, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(256 * 3 * 3, 1),
    )  # fmt: skip
    for part in (*generator.modules(), *critic.modules()):
        if isinstance(part, nn.Conv2d | nn.ConvTranspose2d | nn.Linear):
            nn.init.normal_(part.weight, 0.0, 0.02)
        elif isinstance(part, nn.BatchNorm2d):
            nn.init.normal_(part.weight, 1.0, 0.02)
    return generator, critic


def loader(pixels: Tensor, batch: int) -> Iterator[Tensor]:
    """Shuffled batches of uint8 (N, C, H, W) as floats in [-1, 1], without end."""
    data = torch.utils.data.TensorDataset(pixels)
    while True:
        for (rows,) in torch.utils.data.DataLoader(data, batch, shuffle=True, drop_last=True):
            yield rows.float() / 127.5 - 1


def classic_steps(generator: nn.Module, critic: nn.Module, batches: Iterator[Tensor]) -> Steps:
    """The loop of PyTorch's DCGAN example."""
    first = torch.optim.Adam(critic.parameters(), lr=RATE, betas=(0.5, 0.999))
    second = torch.optim.Adam(generator.parameters(), lr=RATE, betas=(0.5, 0.999))
    for real in batches:
        ones, zeros = torch.ones(len(real)), torch.zeros(len(real))
        critic.zero_grad()
        on_real = critic(real).view(-1)
        real_loss = F.binary_cross_entropy_with_logits(on_real, ones)
        real_loss.backward()
        fake = generator(torch.randn(len(real), LATENT))
        on_fake = critic(fake.detach()).view(-1)
        fake_loss = F.binary_cross_entropy_with_logits(on_fake, zeros)
        fake_loss.backward()
        first.step()
        generator.zero_grad()
        loss = F.binary_cross_entropy_with_logits(critic(fake).view(-1), ones)
        loss.backward()
        second.step()
        yield {
            "critic": real_loss.item() + fake_loss.item(),
            "generator": loss.item(),
            "real": on_real.mean().item(),
            "fake": on_fake.mean().item(),
        }


def penalty(critic: nn.Module, real: Tensor, fake: Tensor) -> Tensor:
    """E (|dD/dx| - 1)^2 on the lines from made to real images."""
    share = torch.rand(len(real), 1, 1, 1)
    mixed = (share * real + (1 - share) * fake).requires_grad_(True)
    outputs = critic(mixed)
    (gradient,) = torch.autograd.grad(
        outputs, mixed, torch.ones_like(outputs), create_graph=True, retain_graph=True
    )
    return ((gradient.view(len(real), -1).norm(2, dim=1) - 1) ** 2).mean()


def wgan_gp_steps(
    generator: nn.Module, critic: nn.Module, batches: Iterator[Tensor], latent: int, rate: float
) -> Steps:
    """Five critic steps a generator step, the penalty in each (1704.00028, algorithm 1)."""
    first = torch.optim.Adam(critic.parameters(), lr=rate, betas=(0.0, 0.9))
    second = torch.optim.Adam(generator.parameters(), lr=rate, betas=(0.0, 0.9))
    while True:
        for _ in range(CRITIC_STEPS):
            real = next(batches)
            critic.zero_grad()
            fake = generator(torch.randn(len(real), latent))
            on_real, on_fake = critic(real), critic(fake.detach())
            found = penalty(critic, real, fake.detach())
            critic_loss = on_fake.mean() - on_real.mean() + PENALTY * found
            critic_loss.backward()
            first.step()
            told = {"critic": critic_loss.item(), "penalty": found.item()}
        generator.zero_grad()
        loss = -critic(generator(torch.randn(len(real), latent))).mean()
        loss.backward()
        second.step()
        yield {**told, "generator": loss.item()}


def train_classic(
    pixels: Tensor, seed: int, batch: int, images: int | None, budget: float | None
) -> tuple[nn.Module, int]:
    """A generator trained by the plain loop, and how many images it saw.

    Args:
        pixels: uint8 (N, 1, 28, 28).
        seed: of torch's global generator.
        batch: images a step.
        images, budget: the length in images or in seconds, one of them.
    """
    torch.manual_seed(seed)
    generator, critic = dcgan()
    seen, clock = 0, time.perf_counter()
    for _ in classic_steps(generator, critic, loader(pixels, batch)):
        seen += batch
        if seen >= images if images else time.perf_counter() - clock >= float(budget or 0):
            break
    return generator, seen


@torch.inference_mode()
def draw(generator: nn.Module, count: int, seed: int = 0) -> np.ndarray:
    """uint8 (count, H, W, C) in batches of 100, in the mode the generator is in."""
    noise = torch.Generator().manual_seed(seed)
    parts = [generator(torch.randn(100, LATENT, generator=noise)) for _ in range(count // 100)]
    pixels = (torch.cat(parts).clamp(-1, 1) + 1) * 127.5
    return pixels.round().byte().permute(0, 2, 3, 1).numpy()
