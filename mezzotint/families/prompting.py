"""A text-to-image model as options: its autoencoder, its words, its diffusion in latent space."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from mezzotint.config import from_dict, option, parse_size, validate
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families.coder_text import form_of
from mezzotint.families.diffusing import DiffusionConfig, require_solver
from mezzotint.families.kl_coding import PRESETS as KL_PRESETS
from mezzotint.families.kl_coding import KLVAEConfig
from mezzotint.families.reading import Reader, open_reader
from mezzotint.seeds import ImageNoise
from mezzotint.text.pairs import Merge
from mezzotint.text.tokenizer import LENGTH, SHORTEST, CaptionTokenizer

PRESETS: dict[str, dict[str, Any]] = {
    "default": {"optimizer": "muon", "lr": 5e-3, "decay": "linear", "batch": 32, "jitter": 0.0},
}
SETTINGS = frozenset({"solver", "steps", "guidance", "guidance_rescale"})
SETTINGS |= {"guidance_low", "guidance_high"}
SAMPLING = SETTINGS | {"prompt", "negative_prompt", "image", "mask", "strength", "watch"}
SHARED = (*SETTINGS, "process", "prediction", "zero_snr", "weighting", "blocks")
Prompt = str | Sequence[str] | None


@dataclass(frozen=True)
class TextToImageConfig:
    """Options of a text-to-image model."""

    size: tuple[int, int] = option((32, 32), "image height and width", low=8, high=1024)
    channels: Literal[1, 3, 4] = option(3, "image channels: grey, RGB or RGBA")
    autoencoder: str = option("", "a finished kl-vae run to build on; empty: one is trained first")
    share: float = option(0.2, "share of the length that trains the autoencoder", 0.01, 0.99)
    coder: str = option("", 'options of the autoencoder as JSON: {"widths": [32, 64]}')
    merges: tuple[str, ...] = option((), "pairs that the words are made of; read off the captions")
    length: int = option(LENGTH, "pieces of a text; read off the captions", SHORTEST, LENGTH)
    prompts: tuple[str, ...] = option((), "captions to draw from where none is given")
    widths: tuple[int, ...] = option((64, 128), "channels of each level of the U-Net", 8, 4096)
    blocks: int = option(1, "residual blocks a level", low=1, high=16)
    text_encoder: str = option(
        "", "a folder whose text encoder is used as it is: a pipeline or a sentence encoder"
    )
    text_hash: str = option("", "SHA-256 of its weights; read off the folder")
    text_width: int = option(64, "channels of the text that the U-Net sees", low=8, high=4096)
    text_layers: int = option(2, "layers of a text encoder that learns", low=1, high=48)
    caption_dropout: float = option(0.1, "share of captions hidden in training", low=0, high=1)
    process: Literal["linear", "cosine"] = option("cosine", "table of betas")
    prediction: Literal["eps", "v"] = option("v", "what the network predicts")
    zero_snr: bool = option(False, "rescale the table to end in pure noise (2305.08891)")
    weighting: Literal["none", "min-snr"] = option("none", "weights of the squared error")
    solver: str = option("ddim", "solver of sampling")
    steps: int = option(25, "steps of sampling", low=1, high=1000)
    guidance: float = option(3.0, "w of u + w (c - u); 1 is off (2207.12598)", low=0, high=100)
    guidance_rescale: float = option(0.0, "share of the rescaling of 2305.08891, 3.4", 0, 1)
    guidance_low: float = option(0.0, "guide only above this sigma / alpha (2404.07724)", low=0)
    guidance_high: float = option(1e9, "guide only up to this sigma / alpha", low=0)

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        if self.text_encoder:  # so that the model finds it from anywhere
            object.__setattr__(self, "text_encoder", str(Path(self.text_encoder).absolute()))
        validate(self)
        require_solver(self.solver)
        coder_config(self)
        pairs_of(self)

    @property
    def kinds(self) -> int:
        """How many things it can be asked for: one piece of text at the least."""
        return len(self.merges) + 1


def coder_config(config: TextToImageConfig) -> KLVAEConfig:
    """Options of the autoencoder, which needs no critic once it is trained.

    Raises:
        ConfigError: they are no options, or of images of another form.
    """
    form, given = form_of(config.coder, config.size, config.channels)
    quick = {"width": KL_PRESETS["quick"]["width"]}
    return from_dict(KLVAEConfig, {**quick, **given, **form, "adversarial": 0.0}, where="coder")


def pairs_of(config: TextToImageConfig) -> tuple[Merge, ...]:
    """The tokenizer's pairs.

    Raises:
        ConfigError: one is no pair.
    """
    pairs = [tuple(text.split(" ")) for text in config.merges]
    if any(len(pair) != 2 for pair in pairs):
        raise ConfigError("a pair of pieces is not two words", "merges", "leave the option out")
    return tuple((pair[0], pair[1]) for pair in pairs)


def words_of(config: TextToImageConfig) -> tuple[CaptionTokenizer | Reader, Reader | None]:
    """What makes numbers of texts, and what reads them where that is not learnt.

    Raises:
        MezzotintError: as :func:`mezzotint.families.reading.open_reader`.
    """
    if not config.text_encoder:
        return CaptionTokenizer(pairs_of(config), config.length), None
    reader = open_reader(config.text_encoder, config.length, config.text_hash)
    return reader, reader


def prior_config(config: TextToImageConfig, grid: tuple[int, int, int]) -> DiffusionConfig:
    """Options of the diffusion model of latents (channels, height, width)."""
    shared: Mapping[str, Any] = {name: getattr(config, name) for name in SHARED}
    channels, *size = grid
    own = {"label_dropout": config.caption_dropout, "data_std": 1.0, "clip": "none"}
    form = {"channels": channels, "size": tuple(size), "patch": 1, "widths": (1,)}
    return from_dict(DiffusionConfig, {**shared, **own, **form}, "latents")


def wanted_prompts(seeds: Sequence[int], prompt: Prompt, known: Sequence[str]) -> list[str]:
    """The text for each seed's image.

    Args:
        seeds: one an image.
        prompt: a text for all, or one each; None draws a known one from each seed.
        known: to draw from; the empty text where there are none.

    Raises:
        UsageError: another number of prompts than of images.
    """
    if prompt is None:
        if not known:
            return [""] * len(seeds)
        drawn = ImageNoise(seeds, purpose="prompt").rand() * len(known)
        return [known[int(at)] for at in drawn]
    texts = [prompt] * len(seeds) if isinstance(prompt, str) else list(prompt)
    if len(texts) != len(seeds):
        raise UsageError(f"{len(texts)} prompts for {len(seeds)} images", where="prompt")
    return texts
