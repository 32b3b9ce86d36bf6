"""Consistency tuning: make a diffusion model's prediction at any level a sample (2406.14548).

Two noisy versions of an image lie on one path when they share the noise. The prediction at the
noisier one learns to equal the one at the other, which is held fixed; the two draw closer together
as the run goes on, from "predict the image", which a diffusion model does already.
"""

from collections.abc import Callable

import torch
from torch import Tensor

from mezzotint.families.base import Batch
from mezzotint.noise import Levels, Process, Table, q_sample

STAGES = 8
Predict = Callable[[Tensor, Levels], Tensor]


def earlier_ratio(ratio: Tensor, stage: float, closeness: float = 8.0) -> Tensor:
    """r = t (1 - n(t) / 2^stage), at least 0; n(t) = 1 + k sigmoid(-t) (2406.14548).

    Args:
        ratio: t = sigma / alpha of the noisier level.
        stage: 0 at the start of the run, ``STAGES`` at its end.
        closeness: k.
    """
    near = 1 + closeness * torch.sigmoid(-ratio)
    return ratio * (1 - near / 2**stage).clamp(min=0)


def pseudo_huber(error: Tensor, softness: float = 0.03) -> Tensor:
    """sqrt(mean of squares + c^2) - c of each image's error: (N, ...) -> (N,) (2310.14189).

    The mean over pixels stands for the paper's sum, so that c means the same at any size.
    """
    return (error.square().flatten(1).mean(1) + softness**2).sqrt() - softness


def consistency_error(predict: Predict, process: Process, batch: Batch) -> Tensor:
    """Distance of the prediction to that at the earlier level, over their gap: (N,).

    Args:
        predict: (noisy, levels) -> x_0, with x_0 = x where sigma is 0.
        process: any but a table, which has no levels between its own.
        batch: images and draws.
    """
    if isinstance(process, Table):
        raise TypeError("a table of levels has none between its own")
    late = process.draw(batch.noise.rand())
    ratio = (late.sigma / late.alpha.clamp(min=1e-6)).flatten()
    stage = STAGES * batch.progress
    early_ratio = earlier_ratio(ratio, stage)
    early = process.at_ratio(early_ratio)
    noise = batch.noise.randn(*batch.images.shape[1:])
    found = predict(q_sample(batch.images, noise, late.alpha, late.sigma), late)
    with torch.no_grad():
        wanted = predict(q_sample(batch.images, noise, early.alpha, early.sigma), early)
        wanted = torch.where(early.sigma > 0, wanted, batch.images)
    gap = 1 - early_ratio / ratio
    return pseudo_huber(found - wanted) / gap
