"""What a diffusion model may be trained to do: each objective gives an error an image, (N,)."""

from collections.abc import Callable
from typing import Any, Protocol

import torch
from torch import Tensor

from mezzotint.families.base import Batch
from mezzotint.families.consistency import jump_error
from mezzotint.families.guiding import guided
from mezzotint.guidance import CLIPS
from mezzotint.noise import Levels, Process, q_sample
from mezzotint.predictions import Prediction, min_snr_weight, velocity_weight
from mezzotint.stepping import Denoised
from mezzotint.variational import Posteriors

WEIGHTINGS: dict[str, Callable[[Tensor, Tensor, str, float], Tensor] | None] = {
    "none": None,
    "min-snr": min_snr_weight,
    "velocity": velocity_weight,
}
BOUND_SHARE = 0.001  # lambda of 2102.09672, section 3.1
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

    @property
    def posteriors(self) -> Posteriors | None:
        """What a learnt variance is measured against; None where it is fixed."""
        ...

    def output(
        self, noisy: Tensor, levels: Levels, told: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        """The network's prediction for noisy images, and v of a learnt variance."""
        ...

    def seen(self, noisy: Tensor, levels: Levels, told: Tensor | None) -> Denoised:
        """x_0 behind noisy images."""
        ...


def errors(
    model: Denoiser, clean: Tensor, noise: Tensor, levels: Levels, told: Tensor | None
) -> tuple[Tensor, Tensor | None]:
    """Mean squared error of the prediction, and of a learnt variance a term of the bound: (N,)."""
    alpha, sigma, data_std = levels.alpha, levels.sigma, model.config.data_std
    target = model.prediction.target(clean, noise, alpha, sigma, data_std)
    noisy = q_sample(clean, noise, alpha, sigma)
    output, fraction = model.output(noisy, levels, told)
    error = (output - target).square().flatten(1).mean(1)
    if fraction is None or model.posteriors is None:
        return error, None
    seen = model.prediction.clean(noisy, output.detach(), alpha, sigma, data_std)
    return error, model.posteriors.bound(clean, noisy, seen, fraction, levels.time)


def denoising_error(model: Denoiser, batch: Batch) -> Tensor:
    """Weighted squared error of the prediction at a random level (2006.11239, eq. 14).

    With a learnt variance 0.001 of the variational bound, T times a random term of it, is added
    (2102.09672, eq. 16); it reaches the variance alone.
    """
    levels = model.process.draw(batch.noise.rand())
    noise = batch.noise.randn(*batch.images.shape[1:])
    error, bound = errors(model, batch.images, noise, levels, model.shown(batch))
    weigh = WEIGHTINGS[model.config.weighting]
    if weigh is not None:
        weight = weigh(levels.alpha, levels.sigma, model.config.prediction, model.config.data_std)
        error = error * weight.flatten()
    if bound is not None:
        error = error + BOUND_SHARE * model.config.timesteps * bound
    return error


def jumping_error(model: Denoiser, batch: Batch) -> Tensor:
    """Distance to the jump that the teacher's path implies; see :mod:`families.consistency`.

    Raises:
        UsageError: the model has no teacher.
    """
    told, clip, teacher = model.shown(batch), CLIPS[model.config.clip], model.teacher

    def student(noisy: Tensor, levels: Levels) -> Tensor:
        seen = model.seen(noisy, levels, told).clean
        return seen if torch.is_grad_enabled() else clip(seen)  # what is learnt keeps its gradient

    def taught(noisy: Tensor, levels: Levels) -> Tensor:
        return clip(guided(teacher.seen, noisy, levels, told, teacher.config).clean)

    return jump_error(student, taught, model.process, model.config.steps, batch)


OBJECTIVES: dict[str, Callable[[Denoiser, Batch], Tensor]] = {
    "denoise": denoising_error,
    "consistency": jumping_error,
}
