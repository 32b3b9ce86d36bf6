"""P2: optimiser, moving average and gradient clipping on the parameters of two U-Nets."""

import time
from collections.abc import Callable

import torch
from side_by_side import Benchmark, Case, Figure, Measure, Side, arguments, run
from torch import Tensor, nn

from mezzotint.training.averaging import Average
from mezzotint.training.devices import make_accelerator
from mezzotint.training.optimisers import build
from mezzotint.training.recipe import Recipe

# block widths, with attention or without, of diffusers' UNet2DModel
SMALL = ((32, 64, 64), "DownBlock2D", "UpBlock2D")
LARGE = ((128, 256, 256, 256), "AttnDownBlock2D", "AttnUpBlock2D")
CLIP = 1.0
NOTES = """
One unit is clip_grad_norm_(1.0), one Adam step and one update of the moving average; no forward or
backward pass. The parameters are those of diffusers' UNet2DModel with widths (32, 64, 64) and
(128, 256, 256, 256); gradients are the same fixed noise on both sides. Ours is what the trainer
calls: the optimiser as accelerate prepares it, accelerate's clipping, `Average.update`. The peer is
`torch.optim.Adam(parameters)` with diffusers' `EMAModel.step`, at their defaults (which the target
is about) and at their best flags: `Adam(fused=True)` and `EMAModel(foreach=True)`.
"the same result" compares the norm of all weights after the same number of steps.
"""


def unet(widths: tuple[int, ...], down: str, up: str) -> nn.Module:
    """A UNet2DModel with the gradients already there."""
    from diffusers import UNet2DModel

    torch.manual_seed(0)
    plain = len(widths) - 2
    model: nn.Module = UNet2DModel(
        sample_size=32,
        in_channels=3,
        out_channels=3,
        layers_per_block=2,
        block_out_channels=widths,
        down_block_types=("DownBlock2D", down, *["DownBlock2D"] * plain),
        up_block_types=(*["UpBlock2D"] * plain, up, "UpBlock2D"),
    )
    for parameter in model.parameters():
        parameter.grad = torch.randn_like(parameter)
    return model


def ours(net: tuple[tuple[int, ...], str, str], updates: int) -> Measure:
    """The trainer's calls, without its loss."""
    model = unet(*net)
    recipe = Recipe(images=1, clip=CLIP)
    accelerator = make_accelerator(recipe.precision)
    optimiser = accelerator.prepare(build(list(model.parameters()), recipe))
    average = Average(model, recipe.ema)
    steps = iter(range(1, 10**9))

    def update() -> None:
        accelerator.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        average.update(next(steps))

    return repeat(update, updates, list(model.parameters()))


def peer(net: tuple[tuple[int, ...], str, str], updates: int, best: bool) -> Measure:
    """Adam and diffusers' EMAModel."""
    from diffusers.training_utils import EMAModel

    model = unet(*net)
    parameters = list(model.parameters())
    optimiser = torch.optim.Adam(parameters, fused=True if best else None)
    average = EMAModel(model.parameters(), foreach=best)

    def update() -> None:
        torch.nn.utils.clip_grad_norm_(model.parameters(), CLIP)
        optimiser.step()
        average.step(model.parameters())

    return repeat(update, updates, parameters)


def repeat(update: Callable[[], None], updates: int, parameters: list[nn.Parameter]) -> Measure:
    """Time ``updates`` calls; the weights' norm afterwards is the fact to agree on."""

    def measure(turn: int) -> Figure:
        clock = time.perf_counter()
        for _ in range(updates):
            update()
        seconds = time.perf_counter() - clock
        return Figure(updates, seconds, {"weight norm": float(norm(parameters))})

    return measure


@torch.no_grad()
def norm(tensors: list[nn.Parameter]) -> Tensor:
    """Euclidean norm over all tensors."""
    return torch.stack([tensor.norm() for tensor in tensors]).norm()


def case(net: tuple[tuple[int, ...], str, str], updates: int) -> Case:
    """Both peers on one network."""
    count = sum(parameter.numel() for parameter in unet(*net).parameters())
    options = {"net": net, "updates": updates}
    peers = [
        Side("Adam() + EMAModel, defaults", peer, {**options, "best": False}),
        Side("Adam + EMAModel, best flags", peer, {**options, "best": True}),
    ]
    return Case(
        f"{count / 1e6:.1f}M parameters",
        "updates/s",
        Side("mezzotint", ours, options),
        peers,
        {peers[0].name: 2.5},
        {"weight norm": (0.0, 1e-3)},
    )


def main() -> None:
    """Measure P2."""
    options = arguments(__doc__)
    scale = 10 if options.smoke else 1
    cases = [case(SMALL, 200 // scale), case(LARGE, 20 // scale)]
    title = "optimiser, average and clipping, updates a second"
    run(Benchmark("P2", title, NOTES, ("accelerate", "diffusers")), cases, options)


if __name__ == "__main__":
    main()
