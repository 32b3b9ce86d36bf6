"""P7: sampling speed at equal quality, one set of weights, many samplers.

The weights are those of a run of the default preset (Q1 keeps one with --keep). Quality is
FD[lenet] of 2,000 samples; speed is images a second of samples of one batch, sides taking turns.
"""

import argparse
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch
from fashion_judge import distance, judge, look
from results import RESULTS, header, write_section
from torch import Tensor

import mezzotint as mz
from mezzotint.images import to_uint8

ROUNDS, TIMED, JUDGED = 5, 64, 2000
Make = Callable[[list[int]], Tensor]


def ours(model: mz.Diffusion, **settings: object) -> Make:
    """Our sampler."""
    return lambda seeds: model.sample(seeds, **settings)


def diffusers(model: mz.Diffusion, steps: int, **options: object) -> Make:
    """diffusers' DPMSolverMultistepScheduler at its defaults, as a pipeline calls it."""
    from diffusers import DPMSolverMultistepScheduler

    schedule = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, **options
    )

    @torch.inference_mode()
    def make(seeds: list[int]) -> Tensor:
        schedule.set_timesteps(steps)
        x = mz.seeds.ImageNoise(seeds).randn(*model.shape)
        told = model.told.asked(seeds, model.labels_of(seeds))
        for moment in schedule.timesteps:
            times = torch.full((len(x),), float(moment))
            output = _guided(model, x, times, told)
            x = schedule.step(output, moment, x).prev_sample
        return x.clamp(-1, 1)

    return make


def _guided(model: mz.Diffusion, x: Tensor, times: Tensor, told: Tensor | None) -> Tensor:
    """u + w (c - u) in one pass, as a pipeline with guidance does."""
    weight = model.config.guidance
    if told is None or weight == 1:
        return model.network(x, times, told)
    both = torch.cat([told, torch.full_like(told, -1)])
    cond, plain = model.network(torch.cat([x, x]), torch.cat([times, times]), both).chunk(2)
    return plain + weight * (cond - plain)


def speed(make: Make) -> float:
    """Images a second."""
    clock = time.perf_counter()
    make(list(range(TIMED)))
    return TIMED / (time.perf_counter() - clock)


def quality(make: Make, net: torch.nn.Module, reference: np.ndarray, count: int) -> float:
    """FD[lenet] of ``count`` samples."""
    parts = [make(list(range(at, min(at + 200, count)))) for at in range(0, count, 200)]
    return distance(net, to_uint8(torch.cat(parts)), reference)


def main() -> None:
    """Measure and write the section P7."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run of the default preset on fashion-mnist")
    parser.add_argument("--count", type=int, default=JUDGED, help="samples judged")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = mz.load(options.run)
    settings = f"{model.config.solver}, {model.config.steps} steps"
    sides = {
        f"default: {settings}": ours(model),
        "DDIM, 50 steps": ours(model, solver="ddim", steps=50),
        "diffusers' DPM-Solver++, 20 steps": diffusers(model, 20),
        "diffusers' DPM-Solver++, 15 steps": diffusers(model, 15),
        "diffusers' DPM-Solver++, 10 steps": diffusers(model, 10),
        "DDPM, 1000 steps": ours(model, solver="ddpm", steps=1000),
    }
    rates = _take_turns(sides)
    first = next(iter(sides))
    net, data = judge(), mz.load_images("fashion-mnist")
    reference, _ = look(net, data.held_out.gather(range(len(data.held_out))))
    rows = []
    for name, make in sides.items():
        found = quality(make, net, reference, options.count)
        ratios = [a / b for a, b in zip(rates[first], rates[name], strict=False)]
        rows.append(f"| {name} | {found:.2f} | {median(rates[name]):.2f} | {median(ratios):.1f} |")
        print(rows[-1], flush=True)
    table = ["| sampler | FD[lenet] | images/s | the default is faster by |", "|---|---|---|---|"]
    told = f"{header(['diffusers'], options.threads, ROUNDS)} {options.count:,} samples judged, "
    told += (
        f"{TIMED} timed. The same weights and guidance {model.config.guidance:g} everywhere. "
        "Targets at an FD at most 5% above that of DDPM: 100, 5, 1.3 times."
    )
    body = "\n".join(["## P7: sampling at equal quality\n", told, "", *table, *rows])
    write_section(RESULTS, "P7", body + "\n")


def _take_turns(sides: dict[str, Make]) -> dict[str, list[float]]:
    """Images a second of every side, round by round; the slowest sides take one round."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, make in sides.items():
            slow = "1000" in name
            if slow and turn != 1:
                continue
            rate = speed(make)
            if turn:
                rates[name].append(rate)
    return rates


if __name__ == "__main__":
    main()
