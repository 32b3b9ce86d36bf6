"""What a diffusion model may be trained to do: each objective gives an error an image, (N,)."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from mezzotint.families.base import Batch
from mezzotint.families.consistency import jump_error
from mezzotint.families.guiding import guided_clean
from mezzotint.guidance import CLIPS
from mezzotint.noise import Levels, Process
from mezzotint.predictions import Prediction, min_snr_weight

CEILING = 100.0  # silence costs about 1, whatever is predicted; weights that cost this are lost


class Denoiser(Protocol):
    """What an objective sees of a model."""

    config: Any
    process: Process
    prediction: Prediction

    def shown(self, batch: Batch) -> Tensor | None:
        """What the network is told of a batch, a share of it hidden."""
        ...

    @property
    def teacher(self) -> "Denoiser":
        """The model it is to do like."""
        ...

    def clean(self, noisy: Tensor, levels: Levels, told: Tensor | None) -> Tensor:
        """x_0 behind noisy images."""
        ...

    def squared_error(
        self, clean: Tensor, noise: Tensor, levels: Levels, told: Tensor | None
    ) -> Tensor:
        """Mean squared error of the prediction for each image: (N,)."""
        ...


def denoising_error(model: Denoiser, batch: Batch) -> Tensor:
    """Weighted squared error of the prediction at a random level (2006.11239, eq. 14)."""
    levels = model.process.draw(batch.noise.rand())
    noise = batch.noise.randn(*batch.images.shape[1:])
    error = model.squared_error(batch.images, noise, levels, model.shown(batch))
    if model.config.weighting == "min-snr":
        weight = min_snr_weight(
            levels.alpha, levels.sigma, model.config.prediction, model.config.data_std
        )
        error = error * weight.flatten()
    return error


def jumping_error(model: Denoiser, batch: Batch) -> Tensor:
    """Distance to the jump that the teacher's path implies; see :mod:`families.consistency`.

    Raises:
        UsageError: the model has no teacher.
    """
    told, clip, teacher = model.shown(batch), CLIPS[model.config.clip], model.teacher

    def student(noisy: Tensor, levels: Levels) -> Tensor:
        seen = model.clean(noisy, levels, told)
        return seen if torch.is_grad_enabled() else clip(seen)  # what is learnt keeps its gradient

    def taught(noisy: Tensor, levels: Levels) -> Tensor:
        return clip(guided_clean(teacher.clean, noisy, levels, told, teacher.config))

    return jump_error(student, taught, model.process, model.config.steps, batch)


OBJECTIVES: dict[str, Callable[[Denoiser, Batch], Tensor]] = {
    "denoise": denoising_error,
    "consistency": jumping_error,
}
