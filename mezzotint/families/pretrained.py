"""A Stable Diffusion pipeline as a model: sampled by its own scheduler or by our solvers."""

from collections.abc import Callable, Iterable, Sequence
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from mezzotint.config import override
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families.base import Family, require_seeds
from mezzotint.families.conditions import fixed_parts, make_conditions
from mezzotint.families.diffusing import DiffusionConfig
from mezzotint.families.diffusion import Diffusion
from mezzotint.families.fitting import require_memory
from mezzotint.families.groups import Told
from mezzotint.families.making import Watch, made
from mezzotint.families.piping import (
    BETAS,
    OWN,
    PREDICTIONS,
    ROWS,
    SAMPLING,
    SMALL_GRID,
    STRENGTH,
    Asked,
    Looked,
    PretrainedConfig,
    arrange,
    with_extras,
)
from mezzotint.families.prompting import Prompt, wanted_prompts
from mezzotint.nets.quiet import quietly
from mezzotint.seeds import ImageNoise


class Pretrained(Family):
    """What ``mezzotint sample FOLDER --prompt`` runs.

    Args:
        config: options.
        pipeline: a ``StableDiffusionPipeline`` or ``StableDiffusionXLPipeline`` of diffusers.
        variants: from a picture and under a mask: name -> the pipeline's class for it.
    """

    kind: ClassVar[str] = "pretrained"
    config_class: ClassVar[type] = PretrainedConfig
    presets: ClassVar[dict[str, Any]] = {"default": {}}
    sampling: ClassVar[frozenset[str]] = SAMPLING
    usual: ClassVar[int] = 4

    def __init__(
        self, config: PretrainedConfig, pipeline: Any, variants: dict[str, Callable[..., Any]]
    ) -> None:
        super().__init__(config)
        self.pipeline, self.variants = pipeline, variants
        pipeline.set_progress_bar_config(disable=True)
        self.unet, self.vae = pipeline.unet, pipeline.vae
        self.text_encoder = pipeline.text_encoder
        self.text_encoder_2 = getattr(pipeline, "text_encoder_2", None)

    @property
    def device(self) -> torch.device:
        """Where it computes; parts that are offloaded wait elsewhere."""
        return torch.device(self.pipeline._execution_device)

    @property
    def preview(self) -> dict[str, Any]:
        """Few steps."""
        return {"steps": 10}

    def prompts_of(self, seeds: Sequence[int], prompt: Prompt = None) -> list[str]:
        """The text that each seed's image is asked to show."""
        return wanted_prompts(seeds, prompt, ())

    def settled(self, **settings: Any) -> PretrainedConfig:
        """The configuration with some options replaced."""
        found: PretrainedConfig = override(self.config, settings)
        return found

    def resized(self, size: tuple[int, int]) -> "Pretrained":
        """The same model, whose pictures have another size unless one is asked for."""
        self.config = self.settled(size=size)
        return self

    def save_pretrained(self, folder: Any) -> None:
        """Write the pipeline as diffusers does, in safetensors."""
        with quietly():
            self.pipeline.save_pretrained(folder, safe_serialization=True)

    @torch.inference_mode()
    def sample(
        self,
        seeds: Iterable[int],
        batch: int = 64,
        prompt: Prompt = None,
        negative_prompt: Prompt = None,
        image: Tensor | None = None,
        mask: Tensor | None = None,
        strength: float | None = None,
        watch: Watch = lambda done, total: None,
        **settings: Any,
    ) -> Tensor:
        """New images (n, C, H, W) in [-1, 1]; image i depends on seeds[i] alone.

        Args:
            seeds: one an image.
            batch: images at a time on a GPU; a CPU takes one, or eight small ones.
            prompt: what to show, for all or one each; None asks for nothing.
            negative_prompt: what guidance leads away from, for all or one each.
            image: (1 or n, C, H, W) in [-1, 1] to start from.
            mask: (1 or n, 1, H, W), 1 where ``image`` is made anew.
            strength: share of the steps walked through from ``image``; None: 0.5, and 1 under a
                mask.
            watch: called with steps done and steps in all.
            settings: options of the configuration that differ.

        Raises:
            UsageError: no seeds, a wrong number of prompts, a mask or strength without an image.
            ConfigError: our solvers do not know the pipeline's noise, or it will not fit in memory.
        """
        config = self.settled(**settings)
        arrange(self.pipeline, config)
        numbers = require_seeds(seeds)
        asked = Asked(
            numbers,
            wanted_prompts(numbers, prompt, ()),
            None if negative_prompt is None else wanted_prompts(numbers, negative_prompt, ()),
            image,
            mask,
            strength,
        )
        rows = self._rows(config, len(numbers), batch)
        require_memory(self.pipeline, config, rows, self.device)
        make = self._by_pipeline if config.solver == OWN else self._by_us
        return make(config, asked, watch, rows)

    def _rows(self, config: PretrainedConfig, count: int, batch: int) -> int:
        """Images of a pass; a CPU always takes as many, so that each rounds the same."""
        if self.device.type != "cpu":
            return min(max(1, batch), count)
        return ROWS if max(self._grid(config)[1:]) <= SMALL_GRID else 1

    def _by_pipeline(
        self, config: PretrainedConfig, asked: Asked, watch: Watch, rows: int
    ) -> Tensor:
        """Parts of one number of rows through the pipeline itself."""
        grid = self._grid(config)
        parts = list(fixed_parts(len(asked.seeds), rows))
        found = []
        for at, part in enumerate(parts):
            mine = asked.part(part)

            def told(pipe: Any, step: int, time: Any, state: Any, at: int = at) -> Any:
                watch(at * config.steps + step + 1, len(parts) * config.steps)
                return state

            call = self._call(config, mine, grid, told)
            found.append(call().images.float().cpu() * 2 - 1)
        return torch.cat(found)[: len(asked.seeds)].clamp(-1, 1)

    def _call(
        self, config: PretrainedConfig, asked: Asked, grid: tuple[int, int, int], told: Any
    ) -> Callable[[], Any]:
        common: dict[str, Any] = {
            "prompt": asked.prompts,
            "negative_prompt": asked.negatives,
            "num_inference_steps": config.steps,
            "guidance_scale": config.guidance,
            "output_type": "pt",
            "callback_on_step_end": told,
        }
        height, width = config.size
        if asked.image is None:
            if asked.mask is not None or asked.strength is not None:
                raise UsageError("mask and strength need an image to start from", where="image")
            noise = ImageNoise(asked.seeds).randn(*grid).to(self.device, self.unet.dtype)
            form = {"latents": noise, "height": height, "width": width}
            return lambda: self.pipeline(**common, **form)
        rows = asked.image.expand(len(asked.seeds), *asked.image.shape[1:])
        draws = [torch.Generator().manual_seed(seed) for seed in asked.seeds]
        usual = STRENGTH if asked.mask is None else 1.0
        strength = usual if asked.strength is None else asked.strength
        given = {"image": rows * 0.5 + 0.5, "generator": draws, "strength": strength}
        if asked.mask is not None:
            given |= {"mask_image": asked.mask.expand(len(rows), *asked.mask.shape[1:])}
            given |= {"height": height, "width": width}
        variant = self.variants["image" if asked.mask is None else "mask"]
        return lambda: variant(**self.pipeline.components)(**common, **given)

    def _by_us(self, config: PretrainedConfig, asked: Asked, watch: Watch, rows: int) -> Tensor:
        """By our solvers, in the latent space of the pipeline."""
        prior = self.prior(config)
        told = self.told(config, asked)
        scale = self.vae.config.scaling_factor
        start = None if asked.image is None else self.latents(asked.image)
        grid = None if asked.mask is None else F.adaptive_max_pool2d(asked.mask, prior.shape[1:])
        count = len(asked.seeds)
        conditions = make_conditions(prior.shape, told, count, start, grid, asked.strength)
        names = {"solver": config.solver, "steps": config.steps, "guidance": config.guidance}
        ends = made(prior, asked.seeds, conditions, rows, watch, rows, **names)
        parts = [self._decoded(ends[at : at + 1] / scale) for at in range(count)]
        return torch.cat(parts).float().cpu().clamp(-1, 1)

    def prior(self, config: PretrainedConfig) -> Diffusion:
        """The U-Net as a diffusion model of latents."""
        found = self.pipeline.scheduler.config
        for name, wanted in BETAS.items():
            value = found.get(name)
            if value != wanted:
                what = f"our solvers know {name}={wanted} only, and this pipeline has {value}"
                raise ConfigError(what, "--solver", "leave --solver out")
        channels, height, width = self._grid(config)
        settled = DiffusionConfig(
            size=(height, width),
            channels=channels,
            process="scaled",
            prediction=PREDICTIONS[found.get("prediction_type", "epsilon")],  # type: ignore[arg-type]
            zero_snr=found.get("rescale_betas_zero_snr", False),
            spacing="trailing",
            clip="none",
            data_std=1.0,
            patch=1,
            widths=(1,),
        )
        network = Looked(self.unet, self.text_encoder_2)
        return Diffusion(settled, network, Told(1, 0, (channels, height, width)))

    def _grid(self, config: PretrainedConfig) -> tuple[int, int, int]:
        factor = self.pipeline.vae_scale_factor
        if any(side % factor for side in config.size):
            what = f"a side of {config.size} is no multiple of {factor}"
            raise UsageError(what, "--size", f"give multiples of {factor}")
        height, width = (side // factor for side in config.size)
        return int(self.unet.config.in_channels), height, width

    def told(self, config: PretrainedConfig, asked: Asked) -> Tensor:
        """Words as vectors, wanted and unwanted; of XL a last row has what else it is told."""
        found = self.pipeline.encode_prompt(
            prompt=asked.prompts,
            device=self.device,
            num_images_per_prompt=1,
            do_classifier_free_guidance=True,
            negative_prompt=asked.negatives,
        )
        if len(found) == 2:
            return torch.stack(found, 1)
        words, unwanted, pooled, unwanted_pooled = found
        width = self.text_encoder_2.config.projection_dim  # type: ignore[union-attr]
        ids = self.pipeline._get_add_time_ids(
            config.size, (0, 0), config.size, words.dtype, text_encoder_projection_dim=width
        )
        pairs = ((words, pooled), (unwanted, unwanted_pooled))
        return torch.stack([with_extras(rows, extra, ids.to(rows)) for rows, extra in pairs], 1)

    def latents(self, image: Tensor) -> Tensor:
        """Scaled latents of images in [-1, 1], float32."""
        given = image.to(self.device, self.vae.dtype)
        mode: Tensor = self.vae.encode(given).latent_dist.mode()
        scaled: Tensor = mode.float() * self.vae.config.scaling_factor
        return scaled

    def _decoded(self, latents: Tensor) -> Tensor:
        given = latents.to(self.device, self.vae.dtype)
        picture: Tensor = self.vae.decode(given, return_dict=False)[0]
        return picture
