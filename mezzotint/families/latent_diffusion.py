"""Latent diffusion (2112.10752) of images with classes, groups or nothing to tell them apart.

The autoencoder is a trained ``kl-vae`` that stays as it is; a diffusion model walks among its
latents. Everything outside sees pixels alone.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from mezzotint.config import override
from mezzotint.errors import UsageError
from mezzotint.families.base import Batch, Family, Losses, Player, require_seeds
from mezzotint.families.conditions import Conditions, Label, class_numbers, make_conditions
from mezzotint.families.diffusing import SAMPLING, TUNING
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.groups import Told
from mezzotint.families.kl_vae import KLVAE
from mezzotint.families.latent_options import (
    PRESETS,
    LatentDiffusionConfig,
    coder_config,
    prior_config,
    stage_options,
)
from mezzotint.families.latent_space import LatentSpace, patched
from mezzotint.families.making import Watch, between, filmed, made
from mezzotint.families.objectives import CEILING
from mezzotint.families.walking import Looking, looking
from mezzotint.noise import Levels
from mezzotint.seeds import ImageNoise
from mezzotint.stepping import Denoised

PREVIEW: dict[str, Any] = {"solver": "unipc", "steps": 10}
CRITIC = "critic."
TAUGHT = ("objective", "solver", "steps", "guidance", "weighting", "label_dropout")


class LatentDiffusion(Family):
    """A diffusion model that walks among the latents of an autoencoder.

    Args:
        config: options, or give them as keywords.
        prior: a diffusion model of the latents instead of a new one.
    """

    kind: ClassVar[str] = "latent-diffusion"
    config_class: ClassVar[type] = LatentDiffusionConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    sampling: ClassVar[frozenset[str]] = SAMPLING
    copies: ClassVar[bool] = True
    unaveraged: ClassVar[tuple[str, ...]] = ("coder.", "standard", "told.")

    standard: Tensor

    def __init__(
        self,
        config: LatentDiffusionConfig | None = None,
        prior: Diffusion | None = None,
        **options: Any,
    ) -> None:
        super().__init__(config, **options)
        own = self.config
        self.coder = KLVAE(coder_config(own)).requires_grad_(False)
        self.told = Told(len(own.classes), own.groups, self.shape)
        self.prior = prior or Diffusion(prior_config(own, self.space.shape))
        self.register_buffer("standard", torch.tensor(0.0))

    @property
    def space(self) -> LatentSpace:
        """The way into latents and out of them."""
        return LatentSpace(self.coder)

    def players(self) -> dict[str, Player]:
        """One player: the network that walks among latents."""
        (prior,) = self.prior.players().values()
        ceiling = min(prior.ceiling, CEILING)
        return {"diffusion": Player(self.prior, self.loss, recordable=False, ceiling=ceiling)}

    def loss(self, batch: Batch) -> Losses:
        """The objective of the diffusion model in latent space, a mean over the batch."""
        latents = (batch.known or {}).get("latents")
        if latents is None:
            latents = self.space.latents(batch.images)
        kinds = self.told.of(self.coder.inward(batch.images), batch.labels)
        return self.prior.loss(Batch(latents, batch.noise, kinds, progress=batch.progress))

    @classmethod
    def foundation(cls) -> str:
        """The family of the autoencoder."""
        return KLVAE.kind

    @classmethod
    def stage(cls, config: Any) -> tuple[str, dict[str, Any]]:
        """Preset and options of the autoencoder's own run."""
        return "latent", stage_options(config)

    def adopt(self, coder: Family) -> None:
        """Stand on a trained autoencoder; its critic is left behind."""
        tensors = coder.state_dict()
        kept = {name: value for name, value in tensors.items() if not name.startswith(CRITIC)}
        self.coder.load_state_dict(kept)

    @property
    def prepared(self) -> bool:
        """Whether latents have spread 1 and the groups, if there are to be any, are found."""
        return bool(self.standard > 0)

    @torch.no_grad()
    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Give latents spread 1 a channel; find groups in images (N, C, H, W) in [-1, 1]."""
        self.space.standardise(images)
        if self.told.groups is not None:
            seen = self.coder.inward(images)  # colours that nobody sees tell nothing
            self.told.groups.fit(seen, labels if self.config.classes else None)
        self.standard.fill_(1.0)

    def known_of_images(self, images: Tensor) -> dict[str, Tensor]:
        """What a loss needs of images (N, C, H, W) in [-1, 1]: their latents."""
        return {"latents": self.space.latents(images)}

    def known_of_captions(self, captions: Sequence[str | None]) -> dict[str, Tensor]:
        """Nothing."""
        return {}

    def reconstruct(self, images: Tensor) -> Tensor:
        """The autoencoder's version of images in [-1, 1], which no sample can be better than."""
        return self.coder.reconstruct(images)

    def pictures(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] on the CPU of scaled latents."""
        return self.space.pictures(latents)

    @property
    def preview(self) -> dict[str, Any]:
        """Few steps, whatever the model's own sampling takes."""
        return PREVIEW if self.config.steps > PREVIEW["steps"] else {}

    def labels_of(self, seeds: Sequence[int], label: Label = None) -> list[int] | None:
        """The class number each seed's image is asked to be, -1 for none."""
        return class_numbers(seeds, label, self.config.classes)

    @torch.inference_mode()
    def sample(
        self,
        seeds: Iterable[int],
        batch: int = 64,
        label: Label = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        watch: Watch = lambda done, total: None,
        **settings: Any,
    ) -> Tensor:
        """New images (n, C, H, W) in [-1, 1]; arguments and errors as of ``Diffusion.sample``."""
        numbers = require_seeds(seeds)
        conditions = self._conditions(numbers, label, image, mask, strength)
        walked = made(self.prior, numbers, conditions, batch, watch, **settings)
        return patched(self.pictures(walked), image, mask)

    def seen(self, noisy: Tensor, levels: Levels, told: Tensor | None = None) -> Denoised:
        """Clean latents seen behind noisy ones, each at a level of its own."""
        return self.prior.seen(noisy, levels, told)

    @torch.inference_mode()
    def looking(self, seed: int, label: Label = None, **settings: Any) -> Looking:
        """The walk of one seed's latents of :meth:`sample`, for :func:`walking.looked`."""
        conditions = self._conditions([seed], label).part([0], self.device)
        settled = override(self.prior.config, settings)
        return looking(settled, ImageNoise([seed], self.device), conditions)

    def _conditions(
        self,
        seeds: list[int],
        label: Label,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
    ) -> Conditions:
        """What is asked, in latent space; the group of a picture is found among pixels."""
        start = None if image is None else self.space.start(image)
        grid = None if mask is None else self.space.cells(mask)
        shown = None if image is None else self.coder.inward(image)
        told = self.told.asked(seeds, self.labels_of(seeds, label), shown)
        return make_conditions(self.prior.shape, told, len(seeds), start, grid, strength)

    @torch.inference_mode()
    def film(
        self,
        seeds: Iterable[int],
        frames: int = 10,
        label: Label = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        **settings: Any,
    ) -> tuple[Tensor, Tensor]:
        """Pictures of x_t and of the predicted x_0, each (n, frames, C, H, W) in [-1, 1].

        Frames are equally spaced over the steps, the last one included; the rest as in
        :meth:`sample`.
        """
        numbers = require_seeds(seeds)
        conditions = self._conditions(numbers, label, image, mask, strength)
        states = filmed(self.prior, numbers, conditions, frames, **settings)
        noisy, clean = (self.pictures(one.flatten(0, 1)) for one in states)
        shape = states[0].shape[:2]
        return noisy.view(*shape, *self.shape), clean.view(*shape, *self.shape)

    @torch.inference_mode()
    def interpolate(
        self, first: int, second: int, count: int, label: Label = None, **settings: Any
    ) -> Tensor:
        """Images (count, C, H, W) from noise on the great circle between two seeds' noise."""
        conditions = self._conditions([first] * count, label)
        return self.pictures(between(self.prior, first, second, conditions, count, **settings))

    def student(self) -> tuple[Family, dict[str, Any]]:
        """A copy whose diffusion model learns to sample in two steps, and training options.

        Raises:
            UsageError: latents have not been given spread 1 yet.
        """
        if not self.prepared:
            raise UsageError("the model is not trained", "distill", "train it first")
        prior, _ = self.prior.student()
        config = override(self.config, {name: prior.config.__dict__[name] for name in TAUGHT})
        student = LatentDiffusion(config, prior=prior)
        student.coder.load_state_dict(self.coder.state_dict())
        student.told.load_state_dict(self.told.state_dict())
        student.standard.copy_(self.standard)
        return student, dict(TUNING)
