"""A Stable Diffusion pipeline as options, and what it is told, as tensors."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from mezzotint.config import option, parse_size, validate
from mezzotint.errors import ConfigError
from mezzotint.families.diffusing import require_solver

OWN = "pipeline"
PREDICTIONS = {"epsilon": "eps", "v_prediction": "v"}
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}
IDS = 6  # numbers that tell XL of size and crop
SMALL_GRID, ROWS = 32, 8
STRENGTH = 0.5
ASKED = frozenset({"prompt", "negative_prompt", "image", "mask", "strength", "watch", "size"})
SAMPLING = ASKED | {"solver", "steps", "guidance", "offload", "tiling"}


@dataclass(frozen=True)
class PretrainedConfig:
    """Options of sampling a pipeline."""

    size: tuple[int, int] = option((512, 512), "image height and width", low=8, high=4096)
    channels: int = option(3, "image channels", low=1, high=4)
    solver: str = option(OWN, "pipeline: its own scheduler; or one of our solvers")
    steps: int = option(50, "steps of sampling", low=1, high=1000)
    guidance: float = option(7.5, "w of u + w (c - u); 1 is off (2207.12598)", low=0, high=100)
    offload: Literal["none", "model", "sequential"] = option(
        "none", "parts wait in main memory and visit the GPU whole, or layer by layer"
    )
    tiling: bool = option(False, "decode images in tiles and one by one: less memory")

    def __post_init__(self) -> None:
        """Check every option."""
        object.__setattr__(self, "size", parse_size(self.size))
        validate(self)
        if self.solver != OWN:
            require_solver(self.solver)

    @property
    def kinds(self) -> int:
        """It reads text, so that guidance doubles its rows."""
        return 1


@dataclass(frozen=True)
class Asked:
    """What is asked of images that are made together."""

    seeds: list[int]
    prompts: list[str]
    negatives: list[str] | None
    image: Tensor | None
    mask: Tensor | None
    strength: float | None

    def part(self, rows: Sequence[int]) -> "Asked":
        """The same of some of them."""
        index = torch.tensor(rows)
        image, mask = (
            one if one is None or len(one) == 1 else one[index] for one in (self.image, self.mask)
        )
        negatives = None if self.negatives is None else [self.negatives[row] for row in rows]
        prompts = [self.prompts[row] for row in rows]
        seeds = [self.seeds[row] for row in rows]
        return Asked(seeds, prompts, negatives, image, mask, self.strength)


class Looked(nn.Module):
    """A ``UNet2DConditionModel`` told by vectors; of XL the last rows tell of size and text.

    Args:
        unet: the network.
        second: the second text encoder of XL, or None.
    """

    def __init__(self, unet: Any, second: Any) -> None:
        super().__init__()
        self.unet = unet
        self.pooled = second.config.projection_dim if second is not None else 0

    def forward(self, noisy: Tensor, time: Tensor, told: Tensor) -> Tensor:
        """What the U-Net predicts: as ``noisy``, (N, C, h, w)."""
        words, more = told.to(noisy.dtype), None
        if self.pooled:
            rows = extra_rows(self.pooled, words.shape[2])
            extra = words[:, -rows:].flatten(1)
            words = words[:, :-rows]
            more = {"text_embeds": extra[:, : self.pooled]}
            more["time_ids"] = extra[:, self.pooled : self.pooled + IDS]
        found: Tensor = self.unet(noisy, time, words, added_cond_kwargs=more, return_dict=False)[0]
        return found


def extra_rows(pooled: int, width: int) -> int:
    """Rows of ``width`` numbers that hold ``pooled`` numbers and those of size and crop."""
    return -(-(pooled + IDS) // width)


def with_extras(words: Tensor, pooled: Tensor, ids: Tensor) -> Tensor:
    """Words (N, L, D) with rows below them that hold ``pooled`` (N, P) and ``ids`` (1, 6)."""
    count, _, width = words.shape
    rows = extra_rows(pooled.shape[1], width)
    extra = words.new_zeros(count, rows * width)
    extra[:, : pooled.shape[1]] = pooled
    extra[:, pooled.shape[1] : pooled.shape[1] + IDS] = ids
    return torch.cat([words, extra.view(count, rows, width)], 1)


def arrange(pipeline: Any, config: PretrainedConfig) -> None:
    """Put the parts of a pipeline where its options say; on a CPU there is nothing to move.

    Raises:
        ConfigError: it waits in main memory, as it does not fit on the GPU whole.
    """
    waits = pipeline.unet.device.type == "cpu" and pipeline.unet.dtype == torch.float16
    if config.offload == "none" and waits:
        what = "the weights of this pipeline do not fit on the GPU together"
        raise ConfigError(what, "sample", "give --offload model, or --offload sequential")
    offloads = {
        "model": pipeline.enable_model_cpu_offload,
        "sequential": pipeline.enable_sequential_cpu_offload,
    }
    if config.offload in offloads and torch.cuda.is_available():
        offloads[config.offload]()
    if config.tiling:
        pipeline.vae.enable_tiling()
        pipeline.vae.enable_slicing()
