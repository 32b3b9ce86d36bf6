"""What is done to a prediction before a solver uses it: guidance, and keeping pixels in range."""

from collections.abc import Callable

import torch
from torch import Tensor


def clip_static(clean: Tensor) -> Tensor:
    """Predicted x_0 of any shape clamped to the pixels' range [-1, 1] (2006.11239, its code)."""
    return clean.clamp(-1, 1)


def threshold_dynamic(clean: Tensor, quantile: float = 0.995) -> Tensor:
    """Clamp each image of (N, C, H, W) to [-s, s] and divide by s: into [-1, 1].

    s is the quantile of the image's absolute values, at least 1 (2205.11487, section 2.3).
    """
    values = clean.float() if clean.dtype in (torch.float16, torch.bfloat16) else clean
    largest = torch.quantile(values.flatten(1).abs(), quantile, dim=1).clamp(min=1)
    limit = largest.view(-1, *[1] * (clean.ndim - 1))
    return (values.clamp(-limit, limit) / limit).to(clean.dtype)


CLIPS: dict[str, Callable[[Tensor], Tensor]] = {
    "static": clip_static,
    "dynamic": threshold_dynamic,
    "none": lambda clean: clean,
}


def guide(cond: Tensor, uncond: Tensor, weight: float) -> Tensor:
    """u + w (c - u) of predictions of one shape (2207.12598, eq. 6, where w - 1 is called w).

    Weight 1 is off: ``cond`` itself, so that callers can skip the unconditional pass.
    """
    return cond if weight == 1 else uncond + weight * (cond - uncond)


def rescale_guidance(guided: Tensor, cond: Tensor, share: float) -> Tensor:
    """Give each of (N, ...) guided predictions its conditional one's std (2305.08891, sec. 3.4).

    ``share`` in [0, 1] of the result is rescaled and the rest kept; the paper has 0.7.
    """
    if share == 0:
        return guided
    inside = tuple(range(1, guided.ndim))
    ratio = cond.std(inside, keepdim=True) / guided.std(inside, keepdim=True)
    return guided * (share * ratio + 1 - share)
