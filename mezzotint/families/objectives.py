"""What a diffusion model may be trained to do: each objective gives an error an image, (N,)."""

from collections.abc import Callable
from typing import Any, Protocol

from torch import Tensor

from mezzotint.families.base import Batch
from mezzotint.families.consistency import consistency_error
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

    def output(self, noisy: Tensor, levels: Levels, told: Tensor | None) -> Tensor:
        """What the network gives for noisy images."""
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


def agreement_error(model: Denoiser, batch: Batch) -> Tensor:
    """Distance of predictions at two levels of one path; see :mod:`families.consistency`."""
    told, data_std = model.shown(batch), model.config.data_std

    def predict(noisy: Tensor, levels: Levels) -> Tensor:
        output = model.output(noisy, levels, told)
        return model.prediction.clean(noisy, output, levels.alpha, levels.sigma, data_std)

    return consistency_error(predict, model.process, batch)


OBJECTIVES: dict[str, Callable[[Denoiser, Batch], Tensor]] = {
    "denoise": denoising_error,
    "consistency": agreement_error,
}
