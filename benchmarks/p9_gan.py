"""P9: GAN training, images a second, the same networks and settings in mezzotint and its peers."""

import itertools
from collections.abc import Iterator
from functools import partial
from typing import Any

import torch
from pictures import fashion
from side_by_side import Benchmark, Case, Facts, Measure, Side, arguments, run, timed
from torch import Tensor

from mezzotint.families.gan import GAN
from mezzotint.training.feeding import Feed, normalise
from mezzotint.training.loop import Trainer
from mezzotint.training.plans import Plan, make_plan
from mezzotint.training.recipe import Recipe

PRESETS = {"DCGAN": "classic", "WGAN-GP": "wgan-gp"}
BATCHES = {"DCGAN": 128, "WGAN-GP": 64}
NOTES = """
Images a second that the critic sees, of both players' steps on Fashion-MNIST (28 px, resident in
memory on every side). DCGAN: the reference networks of the preset `classic`, one critic step an
iteration, batch 128. WGAN-GP: the networks of the preset `wgan-gp`, five critic steps, each with
its penalty, batch 64. All sides start from the same weights ("same result" is the mean output of
the critic for the same made images) and use Adam at the preset's rate and betas. "plain loop":
PyTorch's DCGAN example and the usual WGAN-GP one (plain_gan.py): real and made images in passes of
their own, the generator's step on the images the critic has just seen where the example does that,
every loss read with `.item()`. "StudioGAN's order": studio_gan.py. Ours keeps what a training
keeps: gradient norms, the critic's accuracy, an average of the weights (off in `classic`).
"""


def plan_of(kind: str) -> Plan:
    """The preset of a case."""
    return make_plan("gan", PRESETS[kind], {"images": 10**9, "batch": BATCHES[kind]})


def model_of(kind: str) -> GAN:
    """The same weights at every call."""
    torch.manual_seed(0)
    return GAN(**{**plan_of(kind).model, "size": (28, 28)})


def opinion(model: GAN) -> Facts:
    """What fresh networks think of fixed made images."""
    z = torch.randn(64, model.config.latent, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        outputs = model.critic.network(model.generator(z, None), None)
    return {"initial output": float(outputs.mean()), "spread": float(outputs.std())}


def ours(kind: str, images: int, iterations: int) -> Measure:
    """The trainer's loop, one model over all rounds."""
    model, plan, data = model_of(kind), plan_of(kind), fashion(images)
    facts = opinion(model)
    recipe: Recipe = plan.recipe_for(data)
    records = Trainer(model, Feed(data.train, BATCHES[kind]), recipe).records()
    return _measured(records, kind, iterations, facts)


def _measured(steps: Iterator[Any], kind: str, iterations: int, facts: Facts) -> Measure:
    work = iterations * BATCHES[kind] * (5 if kind == "WGAN-GP" else 1)

    def go() -> Facts:
        for _ in itertools.islice(steps, iterations):
            pass
        return facts

    return lambda turn: timed(work, go)


def resident(images: int, batch: int) -> Iterator[Tensor]:
    """Shuffled batches of the same images, in memory, without end."""
    data = fashion(images)
    pixels = torch.from_numpy(data.train.gather(range(len(data.train))))
    while True:
        for rows in torch.randperm(len(pixels)).split(batch):
            if len(rows) == batch:
                yield normalise(pixels[rows]).contiguous()


def plain(kind: str, images: int, iterations: int) -> Measure:
    """The loop most people write."""
    from plain_gan import classic_steps, wgan_gp_steps

    model = model_of(kind)
    facts, batches = opinion(model), resident(images, BATCHES[kind])
    critic = model.critic.network
    if kind == "DCGAN":
        steps = classic_steps(model.generator, critic, batches)
    else:
        steps = wgan_gp_steps(model.generator, critic, batches, model.config.latent, 5e-4)
    return _measured(steps, kind, iterations, facts)


def studio(kind: str, images: int, iterations: int) -> Measure:
    """StudioGAN's order of things."""
    from plain_gan import PENALTY, penalty
    from studio_gan import steps

    model, plan = model_of(kind), plan_of(kind)
    facts, batches = opinion(model), resident(images, BATCHES[kind])
    settings = {"lr": plan.recipe.lr, "betas": plan.recipe.betas}
    weighted = partial(_weighted, penalty, PENALTY) if kind == "WGAN-GP" else None
    going = steps(
        model.generator,
        model.critic.network,
        batches,
        model.objective,
        model.config.latent,
        settings,
        weighted,
        model.config.critic_steps,
    )
    return _measured(going, kind, iterations, facts)


def _weighted(penalty: Any, weight: float, critic: Any, real: Tensor, fake: Tensor) -> Tensor:
    found: Tensor = weight * penalty(critic, real, fake)
    return found


def case(kind: str, images: int, iterations: int) -> Case:
    """One pair of networks."""
    options = {"kind": kind, "images": images, "iterations": iterations}
    peers = [
        Side("plain loop", plain, options),
        Side("StudioGAN's order", studio, options),
    ]
    targets = {peer.name: 1.4 for peer in peers}
    tolerance = {"initial output": (1e-5, 1e-3), "spread": (1e-5, 1e-3)}
    return Case(kind, "images/s", Side("mezzotint", ours, options), peers, targets, tolerance)


def main() -> None:
    """Measure P9."""
    options = arguments(__doc__)
    images, iterations = (1000, (2, 1)) if options.smoke else (20_000, (10, 3))
    cases = [case(kind, images, n) for kind, n in zip(PRESETS, iterations, strict=True)]
    run(Benchmark("P9", "GAN training, images a second", NOTES), cases, options)


if __name__ == "__main__":
    main()
