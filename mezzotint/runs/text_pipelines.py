"""Text to image as a folder that ``StableDiffusionPipeline.from_pretrained`` opens."""

import shutil
from pathlib import Path
from typing import Any

from mezzotint.config import override
from mezzotint.errors import ConfigError, MissingExtraError
from mezzotint.families.diffusing import DiffusionConfig
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.kl_vae import KLVAE
from mezzotint.families.reading import Reader
from mezzotint.families.text_to_image import TextToImage
from mezzotint.nets.quiet import quietly
from mezzotint.runs.pipelines import require_multiple, write_whole
from mezzotint.runs.schedulers import WRITERS, nearest_solver, scheduler_of
from mezzotint.text.tokenizer import CaptionTokenizer

NEEDED = {"spacing": "trailing", "clip": "none"}
CARD = """---
library_name: diffusers
pipeline_tag: text-to-image
---

# A text-to-image model trained with mezzotint

```python
from diffusers import StableDiffusionPipeline

pipeline = StableDiffusionPipeline.from_pretrained("this-folder")
picture = pipeline("a red circle", height={height}, width={width}, guidance_scale=5).images[0]
```
"""


def write_text(model: TextToImage, folder: Path, solver: str | None = None) -> None:
    """Write a model as a ``StableDiffusionPipeline``; errors as :func:`write_text_pipeline`.

    Args:
        model: the model.
        folder: to be made; it must not exist.
        solver: how the pipeline samples; None: the model's own, or ddim where diffusers has none.
    """
    config = model.prior.config
    known = (config.process, config.solver) in WRITERS
    wanted = solver or (config.solver if known else nearest_solver(config))
    written = override(config, {"solver": wanted})
    write_text_pipeline(model.coder, model.prior, model.tokenizer, folder, written)


def write_text_pipeline(
    coder: KLVAE,
    prior: Diffusion,
    tokenizer: CaptionTokenizer | Reader,
    folder: Path,
    config: DiffusionConfig | None = None,
) -> None:
    """Write the parts as a ``StableDiffusionPipeline``, whole or not at all.

    Args:
        coder: the autoencoder; its measured scale goes into its configuration.
        prior: a diffusion model of its scaled latents whose network is a :class:`TextUNet`.
        tokenizer: of the captions; or the reader that the network has.
        folder: to be made; it must not exist.
        config: how the pipeline samples; None: as the diffusion model does.

    Raises:
        ConfigError: the pipeline cannot sample as the model does; the message says what to change.
        MissingExtraError: ``transformers`` is not installed.
        CannotCreateError, StorageError: the folder exists or cannot be written.
    """
    require_multiple(coder.config.size, coder.coder.multiple)
    scheduler = _scheduler(config or prior.config)

    def save(building: Path) -> None:
        words = building / "tokenizer"
        told = _opened(tokenizer, words)
        with quietly():
            _pipeline(coder, prior.network, told, scheduler).save_pretrained(building)
        if isinstance(tokenizer, CaptionTokenizer):
            shutil.rmtree(words)  # what other versions of transformers write is not CLIP's format
            tokenizer.save(words)

    height, width = coder.config.size
    write_whole(folder, save, CARD.format(height=height, width=width))


def _scheduler(config: DiffusionConfig) -> Any:
    """A scheduler that the pipeline leaves as it is.

    It sets ``steps_offset`` to 1 and clipping off in any other; trailing levels have no offset.
    """
    for name, value in NEEDED.items():
        if getattr(config, name) != value:
            what = f"a text pipeline of diffusers has {name}={value}"
            raise ConfigError(what, "export", f"train with {name}={value}")
    found = scheduler_of(config)
    import diffusers

    return getattr(diffusers, found.name)(**{**found.arguments, "steps_offset": 1})


def _opened(tokenizer: CaptionTokenizer | Reader, place: Path) -> Any:
    """A tokenizer as a class of transformers; ours is written and opened."""
    if isinstance(tokenizer, Reader):
        return tokenizer.rules
    try:
        from transformers import CLIPTokenizer
    except ImportError as error:
        raise MissingExtraError("transformers", "text") from error
    tokenizer.save(place)
    return CLIPTokenizer.from_pretrained(place)


def _pipeline(coder: KLVAE, network: Any, tokenizer: Any, scheduler: Any) -> Any:
    import diffusers

    return diffusers.StableDiffusionPipeline(
        vae=coder.published(),
        text_encoder=network.reader.network if network.reader else network.text,
        tokenizer=tokenizer,
        unet=network.unet,
        scheduler=scheduler,
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
