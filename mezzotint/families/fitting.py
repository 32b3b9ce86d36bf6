"""How much memory sampling a pipeline takes, told before it starts.

The factors were found by counting the bytes of live tensors in a pass of Stable Diffusion 1.5 and
XL, attention fused; a test counts them again.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

import psutil
import torch
from torch import nn

from mezzotint.errors import ConfigError
from mezzotint.families.piping import PretrainedConfig

NETWORK = {"CrossAttnDownBlock2D": 26.0, "DownBlock2D": 16.0}
"""Live numbers of the U-Net over those of its first feature map, by its first block."""
DECODER = 6.1
"""Live numbers of the decoder over pixels times its last channels."""
SPARE = 1.25
SIDE = 64
GIB = 1 << 30


def network_bytes(unet: Any, rows: int, grid: tuple[int, int]) -> int:
    """Bytes of activations in a pass of the U-Net over ``rows`` latents of ``grid``."""
    own = unet.config
    factor = NETWORK.get(own.down_block_types[0], max(NETWORK.values()))
    numbers = rows * grid[0] * grid[1] * own.block_out_channels[0]
    return int(factor * numbers * unet.dtype.itemsize)


def decoder_bytes(vae: Any, images: int, size: tuple[int, int], tiling: bool) -> int:
    """Bytes of activations in decoding; tiles are decoded one by one."""
    tile = vae.config.sample_size
    height, width = (min(side, tile) if tiling else side for side in size)
    pixels = (1 if tiling else images) * height * width
    return int(DECODER * pixels * vae.config.block_out_channels[0] * vae.dtype.itemsize)


def weight_bytes(parts: Iterable[nn.Module]) -> int:
    """Bytes of the weights of a pipeline's parts."""
    return sum(one.numel() * one.element_size() for part in parts for one in part.parameters())


def demand(pipeline: Any, config: PretrainedConfig, images: int) -> int:
    """Bytes that sampling takes beside the weights, ``images`` in a pass."""
    factor = pipeline.vae_scale_factor
    grid = (config.size[0] // factor, config.size[1] // factor)
    rows = images * (1 if config.guidance == 1 else 2)
    pictures = decoder_bytes(pipeline.vae, images, config.size, config.tiling)
    most = max(network_bytes(pipeline.unet, rows, grid), pictures)
    return int(most * SPARE)


def free_bytes(device: torch.device) -> int:
    """Memory that is free where a pipeline works."""
    if device.type == "cuda":
        return int(torch.cuda.mem_get_info(device)[0])
    return int(psutil.virtual_memory().available)


def require_room(numbers: int, dtype: torch.dtype, where: str) -> None:
    """Check that the weights of a pipeline fit into main memory, which they are read into.

    Args:
        numbers: how many weights there are.
        dtype: what they become.
        where: their folder.

    Raises:
        ConfigError: they will not; the message has their size.
    """
    needed, free = numbers * dtype.itemsize, free_bytes(torch.device("cpu"))
    if needed > free:
        what = f"its weights take {needed / GIB:.2f} GiB, and {free / GIB:.2f} GiB are free"
        half = " or with a GPU, where they take half" if dtype == torch.float32 else ""
        raise ConfigError(what, where, f"use a machine with more memory{half}")


def require_memory(
    pipeline: Any, config: PretrainedConfig, images: int, device: torch.device
) -> None:
    """Check that sampling ``images`` in a pass will fit.

    Raises:
        ConfigError: it will not; the message has the estimate and what would make it fit.
    """
    needed, free = demand(pipeline, config, images), free_bytes(device)
    if needed <= free:
        return
    ways = _ways(config, images, device.type != "cpu")
    fixes = (words for words, own, count in ways if demand(pipeline, own, count) <= free)
    what = f"this takes about {needed / GIB:.2f} GiB, and {free / GIB:.2f} GiB are free"
    raise ConfigError(what, "sample", next(fixes, "use a machine with more memory"))


def _ways(
    config: PretrainedConfig, images: int, batched: bool
) -> Iterator[tuple[str, PretrainedConfig, int]]:
    """What takes less, the least loss first: words, the options, images in a pass."""
    tiled = replace(config, tiling=True)
    yield "give --tiling", tiled, images
    single = " --batch 1" if batched else ""
    images = 1 if batched else images
    yield "give --tiling" + single, tiled, images
    least = min(config.size)
    for side in range(least - least % SIDE, 0, -SIDE):
        yield f"give --size {side} --tiling" + single, replace(tiled, size=(side, side)), images
