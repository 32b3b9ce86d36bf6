"""The autoencoder of latent diffusion (2112.10752, section 3.1), a network of diffusers.

A coder with a very weak prior, trained for pixels and against a critic of patches. It has no
distribution to sample from: a diffusion model on its latents has.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from mezzotint.adversarial import OBJECTIVES
from mezzotint.augmentations import cropped
from mezzotint.errors import UsageError
from mezzotint.families.base import Batch, Family, Losses, Player, chunked, to_unit
from mezzotint.families.kl_coding import (
    LOG_VARIANCE_RANGE,
    PRESETS,
    KLVAEConfig,
    adaptive_weight,
    build_coder,
    kl_to_prior,
    map_distance,
    spread,
)
from mezzotint.nets.adversaries import held_still
from mezzotint.nets.patch_critic import PatchCritic
from mezzotint.similarity import absolute_error, psnr, squared_error

DISTANCES: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "l1": absolute_error,
    "mse": squared_error,
}
MEMORY = 0.01
MOST_PIXELS = 2**23  # components of patches are steady long before
LEAST_SPREAD = 1e-4


class KLVAE(Family):
    """Encoder to a grid of Gaussians and its decoder, with a critic of patches beside them.

    Args:
        config: options, or give them as keywords.
    """

    kind: ClassVar[str] = "kl-vae"
    config_class: ClassVar[type] = KLVAEConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    unaveraged: ClassVar[tuple[str, ...]] = ("critic.", "latent_", "begun", "linear")
    headline: Mapping[str, str] = {"loss": "coder.loss", "PSNR": "coder.psnr"}

    latent_mean: Tensor
    latent_square: Tensor
    begun: Tensor
    linear: Tensor

    def __init__(self, config: KLVAEConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        own = self.config
        if not own.adversarial:  # quantities of a player on its own have no prefix
            self.headline = {"loss": "loss", "PSNR": "psnr"}
        self.coder = build_coder(own)
        self.critic: nn.Module | None = None
        if own.adversarial:
            self.critic = PatchCritic(own.channels, own.critic_width, own.critic_layers)
        self._eyes: list[nn.Module] = []  # in a list: it is no part of the model
        for name, value in (("latent_mean", 0.0), ("latent_square", 1.0), ("begun", 0.0)):
            self.register_buffer(name, torch.tensor(value))
        if own.network == "dc":
            self.register_buffer("linear", torch.tensor(0.0))

    @property
    def prepared(self) -> bool:
        """Whether it has become a linear code of the images, or does not begin as one."""
        return self.config.network != "dc" or bool(self.linear > 0)

    @torch.no_grad()
    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Become the principal components of patches of images (N, C, H, W) in [-1, 1]."""
        each = math.ceil(images[:, 0].numel() / MOST_PIXELS)
        self.coder.begin(images[::each].to(self.device))
        self.linear.fill_(1.0)

    def players(self) -> dict[str, Player]:
        """The coder, then its critic, who sits out the first part of the run."""
        own = self.config
        coder = Player(self.coder, self.coder_loss, compilable=False)
        if self.critic is None:
            return {"coder": coder}
        rate = {"lr": own.critic_lr} if own.critic_lr else {}
        critic = Player(self.critic, self.critic_loss, self.critic_turns, rate, recordable=True)
        return {"coder": coder, "critic": critic}

    def critic_turns(self) -> int:
        """The critic's steps an iteration: none before its start."""
        return int(self.begun > 0)

    def coder_loss(self, batch: Batch) -> Losses:
        """Distances + KL, and the critic's opinion once it takes part."""
        batch = self._squares(batch)
        mean, log_variance = self.posterior(batch.images)
        latent = mean + torch.exp(0.5 * log_variance) * batch.noise.randn(*mean.shape[1:])
        made = self.coder.decode(latent)
        found = self._distances(batch.images, made, mean, log_variance)
        if self.training:
            self._remember(latent.detach(), batch)
        if self.critic is not None and batch.progress >= self.config.start:
            likely = found["pixels"] + found.get("perceptual", 0.0)
            found |= self._adversarial(self.critic, likely, made)
        return _told(found)

    def _squares(self, batch: Batch) -> Batch:
        """The part of the images that a step learns from."""
        side = self.config.crop
        if not side:
            return batch
        return replace(batch, images=cropped(batch.images, side, batch.noise.rand(2)))

    def _distances(
        self, images: Tensor, made: Tensor, mean: Tensor, log_variance: Tensor
    ) -> Losses:
        """Scalars; ``loss`` is pixels + KL.

        The KL term is an image's, over its numbers: sums over the pixels and the latent weigh as
        in 2112.10752, appendix G.
        """
        pixels = DISTANCES[self.config.loss](made, images).mean()
        kl = kl_to_prior(mean, log_variance).mean()
        seen = self._perceived(images, made)
        likeness = psnr(to_unit(made.detach().clamp(-1, 1)), to_unit(images)).mean()
        likely = pixels + sum(seen.values())
        loss = likely + self.config.kl * kl / images[0].numel()
        return {"loss": loss, "pixels": pixels, "kl": kl, "psnr": likeness, **seen}

    @property
    def wants_eyes(self) -> bool:
        """Whether its loss looks at maps."""
        return bool(self.config.perceptual > 0)

    def look_with(self, eyes: nn.Module) -> None:
        """Take the network of the perceptual term, which is neither saved nor trained."""
        self._eyes = [eyes.eval().requires_grad_(False)]

    def _perceived(self, images: Tensor, made: Tensor) -> Losses:
        """The weighted perceptual term, if there is to be one."""
        if not self.wants_eyes:
            return {}
        if not self._eyes:
            what, fix = "the perceptual term has no network", "mezzotint.train, or look_with"
            raise UsageError(what, "perceptual", fix)
        eyes = self._eyes[0].to(images.device)
        with torch.no_grad():
            wanted = eyes(images)
        return {"perceptual": self.config.perceptual * map_distance(eyes(made), wanted).mean()}

    def _adversarial(self, critic: nn.Module, likely: Tensor, made: Tensor) -> Losses:
        with held_still(critic):
            outputs = critic(made).float()
            opinion = OBJECTIVES[self.config.objective].generator(outputs, outputs)
        layer = self.coder.last_layer
        weight = self.config.adversarial * adaptive_weight(likely, opinion, layer)
        return {"adversarial": weight * opinion, "weight": weight}

    @torch.no_grad()
    def _remember(self, latent: Tensor, batch: Batch) -> None:
        """Running moments of latents, and whether the critic is to take part."""
        share = max(MEMORY, 1 / (batch.turn + 1))
        self.latent_mean.lerp_(latent.float().mean(), share)
        self.latent_square.lerp_(latent.float().square().mean(), share)
        self.begun.fill_(float(batch.progress >= self.config.start))

    def critic_loss(self, batch: Batch) -> Losses:
        """The objective over patches of real images and of their reconstructions."""
        assert self.critic is not None  # noqa: S101 - only a model with a critic has this player
        batch = self._squares(batch)
        with torch.no_grad():
            mean, log_variance = self.posterior(batch.images)
            noise = batch.noise.randn(*mean.shape[1:])
            made = self.coder.decode(mean + torch.exp(0.5 * log_variance) * noise)
        real, fake = self.critic(batch.images).float(), self.critic(made).float()
        told = {"real": real.mean().detach(), "fake": fake.mean().detach()}
        return {"loss": OBJECTIVES[self.config.objective].critic(real, fake), **told}

    @torch.no_grad()
    def validation_loss(self, batch: Batch) -> Losses:
        """Distance + KL at posterior means, without the critic."""
        mean, log_variance = self.posterior(batch.images)
        made = self.coder.decode(mean)
        return _told(self._distances(batch.images, made, mean, log_variance))

    def posterior(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """mu and log-variance of q(z | x), each (N, latent, h, w), of images in [-1, 1]."""
        mean, log_variance = self.coder.encode(images)
        return mean, log_variance.clamp(*LOG_VARIANCE_RANGE)

    @property
    def scaling_factor(self) -> float:
        """1 / standard deviation of latents in training (2112.10752, appendix G)."""
        return 1 / float(spread(self.latent_mean, self.latent_square))

    @torch.no_grad()
    def standardise(self, latents: Tensor) -> None:
        """Give latents like these (N, latent, h, w) mean 0 and standard deviation 1 a channel.

        The map goes into the convolutions around the latents; what is rebuilt stays the same.
        """
        self.coder.rescale(latents.mean((0, 2, 3)), latents.std((0, 2, 3)).clamp_min(LEAST_SPREAD))
        self.latent_mean.fill_(0.0)
        self.latent_square.fill_(1.0)

    def published(self) -> Any:
        """diffusers' autoencoder itself, whose configuration tells the scale of its latents."""
        self.coder.vae.register_to_config(scaling_factor=self.scaling_factor)
        return self.coder.vae

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, h, w) of an image's latent."""
        return self.coder.grid

    @torch.inference_mode()
    def encode(self, images: Tensor) -> Tensor:
        """Posterior means (N, latent, h, w) of images in [-1, 1], not scaled."""
        seen = self.inward(images.to(self.device))
        return chunked(lambda part: self.posterior(part)[0], seen)

    def embed(self, images: Tensor) -> Tensor:
        """mu as vectors (N, d)."""
        return self.encode(images).flatten(1)

    @torch.inference_mode()
    def decode(self, latent: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] of latents, flat or in their own shape."""
        shaped = latent.to(self.device).view(-1, *self.latent_shape)
        return self.outward(chunked(self.coder.decode, shaped).clamp(-1, 1))

    def reconstruct(self, images: Tensor) -> Tensor:
        """Decoded posterior means of images in [-1, 1], same shape and range."""
        return self.decode(self.encode(images))


def _told(found: Losses) -> Losses:
    """The losses with the critic's part in ``loss``, the others without a gradient."""
    loss = found["loss"] + found.get("adversarial", 0.0)
    others = {name: one.detach() for name, one in found.items() if name != "loss"}
    return {"loss": loss, **others}
