"""A Stable Diffusion pipeline that learns from captioned images through low ranks (2106.09685).

The pipeline stays as it is; beside each matrix of the U-Net's attention a product of two thin ones
is learnt, and saved in the form that diffusers loads with ``load_lora_weights``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mezzotint.config import option, parse_size, to_dict, validate
from mezzotint.errors import MissingExtraError
from mezzotint.families.base import SCHEMA, Batch, Family, Losses, Player
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.objectives import errors
from mezzotint.families.piping import Asked
from mezzotint.families.pretrained import Pretrained
from mezzotint.families.prompting import Prompt, wanted_prompts
from mezzotint.predictions import min_snr_weight
from mezzotint.storage.files import make_folder, replace_json

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
LOW_RANK = "lora_"
WEIGHTS = "pytorch_lora_weights.safetensors"
MOST_EXAMPLES, PART = 256, 16
PRESETS: dict[str, dict[str, Any]] = {
    "default": {"optimizer": "adamw", "lr": 1e-4, "batch": 4, "decay": "cosine", "clip": 1.0},
}


@dataclass(frozen=True)
class TunedConfig:
    """Options of low-rank tuning."""

    base: str = option("", "the pipeline folder that is tuned")
    size: tuple[int, int] = option((512, 512), "image height and width", low=8, high=4096)
    channels: int = option(3, "image channels", low=3, high=3)
    rank: int = option(8, "rank of the products", low=1, high=1024)
    caption_dropout: float = option(0.1, "share of captions hidden in training", low=0, high=1)
    weighting: Literal["none", "min-snr"] = option("min-snr", "weights of the squared error")

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)


class Tuned(Family):
    """A pipeline with low-rank products in its U-Net.

    Args:
        config: options.
        base: the pipeline, as :func:`mezzotint.runs.pretrained.read_text_pipeline` opens it.

    Raises:
        MissingExtraError: ``peft`` is not installed.
        ConfigError: the pipeline's noise is not that of Stable Diffusion.
    """

    kind: ClassVar[str] = "lora"
    config_class: ClassVar[type] = TunedConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    sampling: ClassVar[frozenset[str]] = Pretrained.sampling
    usual: ClassVar[int] = Pretrained.usual

    def __init__(self, config: TunedConfig, base: Pretrained) -> None:
        super().__init__(config)
        self.base = base.requires_grad_(False)
        self.examples: tuple[str, ...] = ()
        _add_products(base.unet, config)
        settled = base.settled(size=config.size)
        self._prior = [base.prior(settled)]  # in a list: its network is the pipeline's
        self.form = settled
        self._nothing = self._words([""])[0]

    @property
    def prior(self) -> Diffusion:
        """The U-Net as a diffusion model of latents."""
        return self._prior[0]

    def players(self) -> dict[str, Player]:
        """One player: the products; the rest of the U-Net keeps its weights."""
        return {"lora": Player(self.base.unet, self.loss, compilable=False)}

    def loss(self, batch: Batch) -> Losses:
        """Weighted squared error of the prediction in latent space."""
        known = batch.known or {}
        latents, words = known.get("latents"), known.get("words")
        latents = self.known_of_images(batch.images)["latents"] if latents is None else latents
        captions = batch.captions or (None,) * len(latents)
        words = self.known_of_captions(captions)["words"] if words is None else words
        levels = self.prior.process.draw(batch.noise.rand())
        noise = batch.noise.randn(*latents.shape[1:])
        hidden = batch.noise.rand() < self.config.caption_dropout
        told = torch.where(hidden.view(-1, 1, 1), self._nothing.to(words), words)
        error, _ = errors(self.prior, latents, noise, levels, told)
        if self.config.weighting == "min-snr":
            prediction = self.prior.config.prediction
            error = error * min_snr_weight(levels.alpha, levels.sigma, prediction, 1.0).flatten()
        return {"loss": error.mean()}

    @torch.no_grad()
    def known_of_images(self, images: Tensor) -> dict[str, Tensor]:
        """Scaled latents (N, 4, h, w) of images in [-1, 1]."""
        return {"latents": self.base.latents(images)}

    @torch.no_grad()
    def known_of_captions(self, captions: Sequence[str | None]) -> dict[str, Tensor]:
        """Words as vectors (N, length, width); of nothing where there is no caption."""
        texts = [text or "" for text in captions]
        self.examples = self.examples or tuple(sorted({*texts} - {""}))[:MOST_EXAMPLES]
        parts = [self._words(texts[at : at + PART]) for at in range(0, len(texts), PART)]
        return {"words": torch.cat(parts)}

    @torch.no_grad()
    def _words(self, texts: Sequence[str]) -> Tensor:
        seeds = list(range(len(texts)))
        asked = Asked(seeds, list(texts), None, None, None, None)
        return self.base.told(self.form, asked)[:, 0].float()

    @property
    def device(self) -> torch.device:
        """Where it computes."""
        return self.base.device

    @property
    def preview(self) -> dict[str, Any]:
        """Few steps."""
        return self.base.preview

    def prompts_of(self, seeds: Sequence[int], prompt: Prompt = None) -> list[str]:
        """The text of each seed's image; None draws a caption of the training images."""
        return wanted_prompts(seeds, prompt, self.examples)

    def sample(
        self, seeds: Iterable[int], batch: int = 64, prompt: Prompt = None, **options: Any
    ) -> Tensor:
        """As :meth:`Pretrained.sample`, with the products at work."""
        numbers = list(seeds)
        size = {"size": self.config.size, **options}
        return self.base.sample(numbers, batch, self.prompts_of(numbers, prompt), **size)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """The products alone."""
        return {k: v for k, v in super().state_dict(*args, **options).items() if LOW_RANK in k}

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Take over products; errors as ``torch.nn.Module.load_state_dict``."""
        own = super().state_dict()
        if {name for name in own if LOW_RANK in name} != set(state_dict):
            raise RuntimeError("these are products of another pipeline or rank")
        return super().load_state_dict(dict(state_dict), strict=False)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write ``config.json`` and the products as ``load_lora_weights`` of diffusers reads them.

        Raises:
            StorageError, CannotCreateError: the folder cannot be written.
        """
        from diffusers.utils import convert_state_dict_to_diffusers
        from peft.utils import get_peft_model_state_dict

        path = make_folder(Path(folder))
        products = convert_state_dict_to_diffusers(get_peft_model_state_dict(self.base.unet))
        kept = {name: value.contiguous() for name, value in products.items()}
        self.base.pipeline.save_lora_weights(path, unet_lora_layers=kept, safe_serialization=True)
        replace_json(
            path / "config.json", {"schema": SCHEMA, "kind": self.kind, **to_dict(self.config)}
        )


def _add_products(unet: Any, config: TunedConfig) -> None:
    try:
        from peft import LoraConfig
    except ImportError as error:
        raise MissingExtraError("peft", "lora") from error
    unet.add_adapter(
        LoraConfig(
            r=config.rank,
            lora_alpha=config.rank,  # a scale of 1: the files of diffusers do not tell another
            init_lora_weights="gaussian",
            target_modules=TARGETS,
        )
    )
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(LOW_RANK in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()
