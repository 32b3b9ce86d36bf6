"""P7: sampling speed at equal quality, one set of weights, many samplers.

The weights are those of a run of the default preset (Q1 keeps one with --keep). Quality is
FD[lenet] of 2,000 samples; speed is images a second of samples of one batch, sides taking turns.
A thousand steps for 2,000 images take a CPU most of an hour: `--device cuda --found FILE` judges
on a GPU and keeps what it found, and `--device cpu --found FILE` takes the distances from there.
"""

import argparse
import json
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
from mezzotint.seeds import ImageNoise

ROUNDS, JUDGED = 5, 2000
TIMED = {"cpu": 64, "cuda": 500}
SLOW = "DDPM, 1000 steps"
Make = Callable[[list[int]], Tensor]


def ours(model: mz.Diffusion, **settings: object) -> Make:
    """Our sampler."""
    return lambda seeds: model.sample(seeds, batch=len(seeds), **settings)


def diffusers(model: mz.Diffusion, steps: int, **options: object) -> Make:
    """diffusers' DPMSolverMultistepScheduler at its defaults, as a pipeline calls it."""
    from diffusers import DPMSolverMultistepScheduler

    schedule = DPMSolverMultistepScheduler(
        prediction_type="flow_prediction", use_flow_sigmas=True, **options
    )

    @torch.inference_mode()
    def make(seeds: list[int]) -> Tensor:
        schedule.set_timesteps(steps)
        x = ImageNoise(seeds, model.device).randn(*model.shape)
        told = model.told.asked(seeds, model.labels_of(seeds))
        told = None if told is None else told.to(model.device)
        for moment in schedule.timesteps.tolist():
            times = torch.full((len(x),), moment, device=x.device)
            output = _guided(model, x, times, told)
            x = schedule.step(output, moment, x).prev_sample
        return x.clamp(-1, 1).cpu()

    return make


def _guided(model: mz.Diffusion, x: Tensor, times: Tensor, told: Tensor | None) -> Tensor:
    """u + w (c - u) in one pass, as a pipeline with guidance does."""
    weight = model.config.guidance
    if told is None or weight == 1:
        return model.network(x, times, told)
    both = torch.cat([told, torch.full_like(told, -1)])
    cond, plain = model.network(torch.cat([x, x]), torch.cat([times, times]), both).chunk(2)
    return plain + weight * (cond - plain)


def speed(make: Make, count: int) -> float:
    """Images a second."""
    clock = time.perf_counter()
    make(list(range(count)))
    return count / (time.perf_counter() - clock)


def quality(make: Make, net: torch.nn.Module, reference: np.ndarray, count: int) -> float:
    """FD[lenet] of ``count`` samples."""
    parts = [make(list(range(at, min(at + 500, count)))) for at in range(0, count, 500)]
    return distance(net, to_uint8(torch.cat(parts)), reference)


def samplers(model: mz.Diffusion) -> dict[str, Make]:
    """Every side, the product's default first."""
    settings = f"{model.config.solver}, {model.config.steps} steps"
    return {
        f"default: {settings}": ours(model),
        "unipc, 15 steps": ours(model, steps=15),
        "unipc, 20 steps": ours(model, steps=20),
        "DDIM, 50 steps": ours(model, solver="ddim", steps=50),
        "diffusers' DPM-Solver++, 20 steps": diffusers(model, 20),
        "diffusers' DPM-Solver++, 15 steps": diffusers(model, 15),
        "diffusers' DPM-Solver++, 10 steps": diffusers(model, 10),
        SLOW: ours(model, solver="ddpm", steps=1000),
    }


def judged(sides: dict[str, Make], count: int) -> dict[str, float]:
    """FD[lenet] of each side."""
    net, data = judge(), mz.load_images("fashion-mnist")
    reference, _ = look(net, data.held_out.gather(range(len(data.held_out))))
    return {name: quality(make, net, reference, count) for name, make in sides.items()}


def main() -> None:
    """Measure and write the section P7, or P7G on a GPU."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path, help="a run of the default preset on fashion-mnist")
    parser.add_argument("--count", type=int, default=JUDGED, help="samples judged")
    parser.add_argument("--device", choices=sorted(TIMED), default="cpu")
    parser.add_argument("--found", type=Path, help="keeps the distances; read when it exists")
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    model = mz.load(options.run).to(options.device)
    sides = samplers(model)
    rates = _take_turns(sides, TIMED[options.device])
    if options.found and options.found.exists():
        found, where = json.loads(options.found.read_text()), "judged on a GPU"
    else:
        found, where = judged(sides, options.count), "judged here"
    if options.found:
        options.found.write_text(json.dumps(found))
    told = (
        f"{header(['diffusers'], options.threads, ROUNDS, _device(options.device))} "
        f"{options.count:,} samples {where}, {TIMED[options.device]} timed. The same weights and "
        f"guidance {model.config.guidance:g} everywhere. Targets at an FD at most 5% above that "
        "of DDPM: 100, 5, 1.3 times."
    )
    title = "## P7: sampling at equal quality\n"
    table = ["| sampler | FD[lenet] | images/s | the default is faster by |", "|---|---|---|---|"]
    body = "\n".join([title, told, "", *table, *_rows(found, rates)])
    write_section(RESULTS, "P7" if options.device == "cpu" else "P7G", body + "\n")


def _device(name: str) -> str:
    return f"{torch.cuda.get_device_name()}, float32" if name == "cuda" else "CPU, float32"


def _rows(found: dict[str, float], rates: dict[str, list[float]]) -> list[str]:
    first = next(iter(rates.values()))
    rows = []
    for name, own in rates.items():
        ratio = median(a / b for a, b in zip(first, own, strict=False))
        rows.append(f"| {name} | {found[name]:.2f} | {median(own):.2f} | {ratio:.1f} |")
    print("\n".join(rows), flush=True)
    return rows


def _take_turns(sides: dict[str, Make], count: int) -> dict[str, list[float]]:
    """Images a second of every side, round by round; the slowest takes one round."""
    rates: dict[str, list[float]] = {name: [] for name in sides}
    for turn in range(ROUNDS + 1):
        for name, make in sides.items():
            if name == SLOW and turn != 1:
                continue
            rate = speed(make, count)
            if turn:
                rates[name].append(rate)
    return rates


if __name__ == "__main__":
    main()
