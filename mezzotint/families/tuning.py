"""A Stable Diffusion pipeline that learns from captioned images: whole, or through low ranks.

Whole: the U-Net's weights move, and the result is a pipeline. Through low ranks (2106.09685): the
pipeline stays as it is; beside each matrix of attention a product of two thin ones is learnt, and
saved in the form that diffusers loads with ``load_lora_weights``.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from mezzotint.config import option, parse_size, to_dict, validate
from mezzotint.errors import ConfigError, MissingExtraError
from mezzotint.families.base import SCHEMA, Batch, Family, Losses, Player
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.objectives import errors
from mezzotint.families.piping import Asked
from mezzotint.families.pretrained import Pretrained
from mezzotint.families.prompting import Prompt, wanted_prompts
from mezzotint.predictions import min_snr_weight
from mezzotint.storage.files import make_folder, replace_json

TARGETS = ["to_q", "to_k", "to_v", "to_out.0"]
TEXT_TARGETS = ["q_proj", "k_proj", "v_proj", "out_proj"]
ENCODERS = ("text_encoder", "text_encoder_2")
LOW_RANK, UNET = "lora_", "base.unet."
WEIGHTS = "pytorch_lora_weights.safetensors"
MOST_EXAMPLES, PART = 256, 16
PRESETS: dict[str, dict[str, Any]] = {
    "default": {
        "optimizer": "adamw",
        "lr": 1e-4,
        "batch": 4,
        "decay": "cosine",
        "max_grad_norm": 1.0,
    },
}


@dataclass(frozen=True)
class TunedConfig:
    """Options of tuning a pipeline."""

    base: str = option("", "the pipeline folder that is tuned")
    size: tuple[int, int] = option((512, 512), "image height and width", low=8, high=4096)
    channels: int = option(3, "image channels", low=3, high=3)
    rank: int = option(8, "rank of the products; 0: all weights of the U-Net move", 0, 1024)
    text_rank: int = option(0, "rank in the text encoder too; 0: it stays as it is", 0, 1024)
    checkpointing: bool = option(False, "find activations again when they are needed: less memory")
    caption_dropout: float = option(0.1, "share of captions hidden in training", low=0, high=1)
    weighting: Literal["none", "min-snr"] = option("min-snr", "weights of the squared error")

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)
        if self.text_rank and not self.rank:
            what = "products in the text encoder go with products in the U-Net"
            raise ConfigError(what, "text_rank", "give --lora, or leave text_rank out")


class Tuned(Family):
    """A pipeline whose U-Net learns.

    Args:
        config: options.
        base: the pipeline, as :func:`mezzotint.runs.pretrained.read_text_pipeline` opens it.

    Raises:
        MissingExtraError: ``peft`` is not installed, and the rank is not 0.
        ConfigError: the pipeline's noise is not that of Stable Diffusion.
    """

    kind: ClassVar[str] = "tuned"
    config_class: ClassVar[type] = TunedConfig
    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = PRESETS
    sampling: ClassVar[frozenset[str]] = Pretrained.sampling
    usual: ClassVar[int] = Pretrained.usual

    def __init__(self, config: TunedConfig, base: Pretrained) -> None:
        super().__init__(config)
        self.base = base.requires_grad_(False)
        self.examples: tuple[str, ...] = ()
        encoders = [getattr(base, name) for name in ENCODERS]
        self._encoders = [one for one in encoders if one is not None]
        _make_learn(base, self._encoders if config.text_rank else [], config)
        settled = base.settled(size=config.size)
        self._prior = [base.prior(settled)]  # in a list: its network is the pipeline's
        self.form = settled
        with torch.no_grad():
            self._nothing = self._words([""])[0]

    @property
    def prior(self) -> Diffusion:
        """The U-Net as a diffusion model of latents."""
        return self._prior[0]

    def players(self) -> dict[str, Player]:
        """One player: what learns; all else keeps its weights."""
        return {self.kind: Player(self.base, self.loss, compilable=False)}

    def loss(self, batch: Batch) -> Losses:
        """Weighted squared error of the prediction in latent space."""
        known = batch.known or {}
        latents, words = known.get("latents"), known.get("words")
        latents = self.known_of_images(batch.images)["latents"] if latents is None else latents
        captions = batch.captions or (None,) * len(latents)
        words = self._words([text or "" for text in captions]) if words is None else words
        levels = self.prior.process.draw(batch.noise.rand())
        noise = batch.noise.randn(*latents.shape[1:])
        hidden = batch.noise.rand() < self.config.caption_dropout
        told = torch.where(hidden.view(-1, 1, 1), self._unsaid().to(words), words)
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
        """Words as vectors (N, length, width); of nothing where there is no caption.

        Nothing is known of them where the text encoder learns.
        """
        texts = [text or "" for text in captions]
        self.examples = self.examples or tuple(sorted({*texts} - {""}))[:MOST_EXAMPLES]
        if self.config.text_rank:
            return {}
        parts = [self._words(texts[at : at + PART]) for at in range(0, len(texts), PART)]
        return {"words": torch.cat(parts)}

    def _unsaid(self) -> Tensor:
        """The empty text as vectors; anew where the text encoder learns."""
        return self._words([""])[0] if self.config.text_rank else self._nothing

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
        """As :meth:`Pretrained.sample`, with what was learnt."""
        numbers = list(seeds)
        size = {"size": self.config.size, **options}
        return self.base.sample(numbers, batch, self.prompts_of(numbers, prompt), **size)

    def state_dict(self, *args: Any, **options: Any) -> dict[str, Any]:  # type: ignore[override]
        """What learns, alone."""
        found = super().state_dict(*args, **options)
        return {name: value for name, value in found.items() if self._learns(name)}

    def _learns(self, name: str) -> bool:
        return LOW_RANK in name if self.config.rank else name.startswith(UNET)

    def load_state_dict(self, state_dict: Mapping[str, Any], *_: Any, **__: Any) -> Any:
        """Take over what was learnt; errors as ``torch.nn.Module.load_state_dict``."""
        if set(self.state_dict()) != set(state_dict):
            raise RuntimeError("this was learnt by another pipeline or rank")
        return super().load_state_dict(dict(state_dict), strict=False)

    def save_pretrained(self, folder: str | Path) -> None:
        """Write a pipeline folder; or ``config.json`` and the products for ``load_lora_weights``.

        Raises:
            StorageError, CannotCreateError: the folder cannot be written.
        """
        path = make_folder(Path(folder))
        if not self.config.rank:
            sides = [side // self.base.pipeline.vae_scale_factor for side in self.form.size]
            usual = sides[0] if sides[0] == sides[1] else sides
            self.base.unet.register_to_config(sample_size=usual)
            self.base.save_pretrained(path)
            return
        layers = {"unet_lora_layers": _products(self.base.unet)}
        if self.config.text_rank:
            names = [f"{name}_lora_layers" for name in ENCODERS]
            layers |= dict(zip(names, map(_products, self._encoders), strict=False))
        self.base.pipeline.save_lora_weights(path, **layers, safe_serialization=True)
        replace_json(
            path / "config.json", {"schema": SCHEMA, "kind": self.kind, **to_dict(self.config)}
        )


def _products(network: Any) -> dict[str, Tensor]:
    """The products of a network under the names that diffusers gives them."""
    from diffusers.utils import convert_state_dict_to_diffusers
    from peft.utils import get_peft_model_state_dict

    found = convert_state_dict_to_diffusers(get_peft_model_state_dict(network))
    return {name: value.contiguous() for name, value in found.items()}


def _make_learn(base: Pretrained, encoders: Sequence[Any], config: TunedConfig) -> None:
    """Let the U-Net or products in it learn, in float32, and products in these text encoders."""
    if config.checkpointing:
        base.unet.enable_gradient_checkpointing()
    if not config.rank:
        base.unet.float().requires_grad_(True)
        return
    _learns_alone(base.unet, config.rank, TARGETS)
    for encoder in encoders:
        _learns_alone(encoder, config.text_rank, TEXT_TARGETS)


def _learns_alone(network: Any, rank: int, targets: list[str]) -> None:
    """Add products, in float32; they alone learn."""
    add_products(network, rank, targets)
    for name, parameter in network.named_parameters():
        parameter.requires_grad_(LOW_RANK in name)
        if parameter.requires_grad:
            parameter.data = parameter.data.float()


def add_products(network: Any, rank: int, targets: list[str]) -> None:
    """Put products that change nothing yet beside the matrices of these names.

    Raises:
        MissingExtraError: ``peft`` is not installed.
    """
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("peft", "lora") from error
    # a scale of 1: the files of diffusers do not tell another
    config = LoraConfig(
        r=rank, lora_alpha=rank, init_lora_weights="gaussian", target_modules=targets
    )
    inject_adapter_in_model(config, network)
