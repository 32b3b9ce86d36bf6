"""Text to image by latent diffusion (2112.10752): an autoencoder, a text encoder, a U-Net.

The autoencoder is a trained ``kl-vae`` that stays as it is; the text encoder and the U-Net learn
together on its latents. Captions are hidden at random in training, which makes guidance possible
(2207.12598).
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mezzotint.config import override
from mezzotint.errors import UsageError
from mezzotint.families.base import Batch, Family, Losses, Player, chunked, require_seeds
from mezzotint.families.conditions import Conditions, make_conditions
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.groups import Told
from mezzotint.families.kl_vae import KLVAE
from mezzotint.families.making import Watch, between, filmed, made
from mezzotint.families.objectives import CEILING
from mezzotint.families.prompting import (
    PRESETS,
    SAMPLING,
    Prompt,
    TextToImageConfig,
    coder_config,
    prior_config,
    wanted_prompts,
    words_of,
)
from mezzotint.families.walking import Looking, looking
from mezzotint.nets.text_unet import TextUNet
from mezzotint.noise import Levels
from mezzotint.seeds import ImageNoise
from mezzotint.stepping import Denoised

PREVIEW: dict[str, Any] = {"solver": "unipc", "steps": 15}
MOST_MEASURED = 1000
CRITIC = "critic."


class TextToImage(Family):
    """A picture for a prompt.

    Args:
        config: options, or give them as keywords.

    Raises:
        MissingExtraError: ``transformers`` or ``tokenizers`` is not installed.
    """

    kind: ClassVar[str] = "text-to-image"
    config_class: ClassVar[type] = TextToImageConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    sampling: ClassVar[frozenset[str]] = SAMPLING
    copies: ClassVar[bool] = True
    unaveraged: ClassVar[tuple[str, ...]] = ("coder.", "standard")

    standard: Tensor

    def __init__(self, config: TextToImageConfig | None = None, **options: Any) -> None:
        super().__init__(config, **options)
        own = self.config
        self.tokenizer, reader = words_of(own)
        self.coder = KLVAE(coder_config(own)).requires_grad_(False)
        channels, *grid = self.coder.latent_shape
        empty = self.tokenizer.encode([""])[0].tolist()
        text = (own.text_width, own.text_layers, reader)
        network = TextUNet(channels, grid, empty, own.widths, own.blocks, *text)
        told = Told(own.kinds, 0, self.coder.latent_shape)
        self.prior = Diffusion(prior_config(own, self.coder.latent_shape), network, told)
        self.register_buffer("standard", torch.tensor(0.0))

    def players(self) -> dict[str, Player]:
        """One player: the text encoder with the U-Net."""
        return {"diffusion": Player(self.prior, self.loss, ceiling=CEILING)}

    def loss(self, batch: Batch) -> Losses:
        """Squared error of the prediction in latent space, a mean over the batch."""
        known = batch.known or {}
        latents = known.get("latents")
        words = known.get("words")
        latents = self.latents(batch.images) if latents is None else latents
        words = self.tokens(batch.captions, len(latents)) if words is None else words
        return self.prior.loss(Batch(latents, batch.noise, words))

    @classmethod
    def foundation(cls) -> str:
        """The family of the autoencoder."""
        return KLVAE.kind

    def adopt(self, coder: Family) -> None:
        """Stand on a trained autoencoder; its critic is left behind."""
        tensors = coder.state_dict()
        kept = {name: value for name, value in tensors.items() if not name.startswith(CRITIC)}
        self.coder.load_state_dict(kept)

    @property
    def prepared(self) -> bool:
        """Whether latents have mean 0 and standard deviation 1."""
        return bool(self.standard > 0)

    @torch.no_grad()
    def prepare(self, images: Tensor, labels: Tensor | None) -> None:
        """Let the autoencoder give latents of mean 0 and standard deviation 1 a channel.

        The affine map goes into its 1x1 convolutions before and after the latents, so that its
        pictures stay the same and the scale that a pipeline has to know is 1.

        Args:
            images: (N, C, H, W) in [-1, 1], of the training side.
            labels: not looked at.
        """
        seen = images[:: math.ceil(len(images) / MOST_MEASURED)]
        self.coder.standardise(self.coder.encode(seen))
        self.standard.fill_(1.0)

    def known_of_images(self, images: Tensor) -> dict[str, Tensor]:
        """What a loss needs of images (N, C, H, W) in [-1, 1]: their latents."""
        return {"latents": self.latents(images)}

    def known_of_captions(self, captions: Sequence[str | None]) -> dict[str, Tensor]:
        """What a loss needs of captions: rows of -1 where there is none.

        (N, length) numbers for a text encoder that learns, (N, length, width) vectors of one that
        does not.
        """
        tokens = self.tokens(captions, len(captions))
        if not self.config.text_encoder:
            return {"words": tokens}
        bare = (tokens < 0).all(1)[:, None, None]
        network: Any = self.prior.network
        return {"words": network.words(tokens).masked_fill(bare, -1)}

    @torch.no_grad()
    def latents(self, images: Tensor) -> Tensor:
        """Scaled posterior means (N, latent, h, w) of images in [-1, 1]."""
        return self.coder.posterior(self.coder.inward(images))[0] * self.coder.scaling_factor

    def tokens(self, captions: Sequence[str | None] | None, count: int) -> Tensor:
        """Numbers (count, length) of captions; -1 in rows without one."""
        texts = [None] * count if captions is None else list(captions)
        numbers = torch.from_numpy(self.tokenizer.encode([text or "" for text in texts]))
        there = torch.tensor([bool(text and text.strip()) for text in texts])
        return torch.where(there[:, None], numbers, -1).to(self.device)

    def reconstruct(self, images: Tensor) -> Tensor:
        """The autoencoder's version of images in [-1, 1]."""
        return self.coder.reconstruct(images)

    def pictures(self, latents: Tensor) -> Tensor:
        """Images (N, C, H, W) in [-1, 1] on the CPU of scaled latents."""
        return self.coder.decode(latents / self.coder.scaling_factor).cpu()

    @property
    def preview(self) -> dict[str, Any]:
        """Few steps, whatever the model's own sampling takes."""
        return PREVIEW if self.config.steps > PREVIEW["steps"] else {}

    def prompts_of(self, seeds: Sequence[int], prompt: Prompt = None) -> list[str]:
        """The text that each seed's image is asked to show."""
        return wanted_prompts(seeds, prompt, self.config.prompts)

    @torch.inference_mode()
    def sample(
        self,
        seeds: Iterable[int],
        batch: int = 64,
        prompt: Prompt = None,
        negative_prompt: Prompt = "",
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        watch: Watch = lambda done, total: None,
        **settings: Any,
    ) -> Tensor:
        """New images (n, C, H, W) in [-1, 1]; image i depends on seeds[i] alone.

        Args:
            seeds: one an image.
            batch: images at a time on a GPU; a CPU takes as many as are fastest. Changes no pixel.
            prompt: what to show, for all or one each; None draws a caption of the training images
                from each seed; empty asks for nothing.
            negative_prompt: what guidance leads away from, for all or one each.
            image: (1 or n, C, H, W) in [-1, 1] to start from (2108.01073).
            mask: (1 or n, 1, H, W), 1 where ``image`` is made anew, 0 where it is kept.
            strength: share of the levels walked through from ``image``; 1 starts from noise; None:
                0.5, and 1 under a mask.
            watch: called with steps done and steps in all.
            settings: options of the configuration that differ, such as ``solver``, ``steps``,
                ``guidance``.

        Raises:
            UsageError: no seeds, another number of prompts than of seeds, a mask or strength
                without an image.
        """
        numbers = require_seeds(seeds)
        texts = self._texts(numbers, prompt, negative_prompt)
        conditions = self._conditions(texts, image, mask, strength)
        pictures = self.pictures(made(self.prior, numbers, conditions, batch, watch, **settings))
        if image is None or mask is None:
            return pictures
        return torch.where(mask.cpu() > 0.5, pictures, image.cpu())

    def seen(self, noisy: Tensor, levels: Levels, told: Tensor | None = None) -> Denoised:
        """Clean latents seen behind noisy ones, each at a level of its own."""
        return self.prior.seen(noisy, levels, told)

    @torch.inference_mode()
    def looking(
        self, seed: int, prompt: Prompt = None, negative_prompt: Prompt = "", **settings: Any
    ) -> Looking:
        """The walk of one seed's latents of :meth:`sample`, for :func:`walking.looked`."""
        conditions = self._conditions(self._texts([seed], prompt, negative_prompt))
        noise = ImageNoise([seed], self.device)
        settled = override(self.prior.config, settings)
        return looking(settled, noise, conditions.part([0], self.device))

    def _texts(
        self, seeds: Sequence[int], prompt: Prompt, negative: Prompt
    ) -> tuple[list[str], list[str]]:
        return self.prompts_of(seeds, prompt), wanted_prompts(seeds, negative or "", ())

    def _conditions(
        self,
        texts: tuple[list[str], list[str]],
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
    ) -> Conditions:
        """What is asked, in latent space: words as vectors, computed once for all steps."""
        told = torch.stack([self._words(part) for part in texts], 1)
        start = None if image is None else self._start(image)
        grid = None if mask is None else self._cells(mask)
        return make_conditions(self.prior.shape, told, len(told), start, grid, strength)

    def _words(self, texts: Sequence[str]) -> Tensor:
        network: Any = self.prior.network
        return chunked(network.words, self.tokens(texts, len(texts)))

    def _start(self, image: Tensor) -> Tensor:
        if image.shape[1:] != self.shape:
            what = f"image has the shape {tuple(image.shape)}, not (count, {self.shape})"
            raise UsageError(what, where="image")
        return self.coder.encode(image) * self.coder.scaling_factor

    def _cells(self, mask: Tensor) -> Tensor:
        """The cells of the latent grid in which any pixel is made anew."""
        if mask.shape[1:] != (1, *self.shape[1:]):
            raise UsageError(f"mask has the shape {tuple(mask.shape)}", where="mask")
        return F.adaptive_max_pool2d(mask.to(self.device), self.prior.shape[1:])

    @torch.inference_mode()
    def film(
        self,
        seeds: Iterable[int],
        frames: int = 10,
        prompt: Prompt = None,
        negative_prompt: Prompt = "",
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
        texts = self._texts(numbers, prompt, negative_prompt)
        conditions = self._conditions(texts, image, mask, strength)
        states = filmed(self.prior, numbers, conditions, frames, **settings)
        noisy, clean = (self.pictures(one.flatten(0, 1)) for one in states)
        shape = states[0].shape[:2]
        return noisy.view(*shape, *self.shape), clean.view(*shape, *self.shape)

    @torch.inference_mode()
    def interpolate(
        self,
        first: int,
        second: int,
        count: int,
        prompt: Prompt = None,
        negative_prompt: Prompt = "",
        **settings: Any,
    ) -> Tensor:
        """Images (count, C, H, W) from noise on the great circle between two seeds' noise.

        The prompt is one for all; None draws it from the first seed.
        """
        conditions = self._conditions(self._texts([first] * count, prompt, negative_prompt))
        return self.pictures(between(self.prior, first, second, conditions, count, **settings))
