"""P5: whole VAE trainings, the same networks, data and batch in mezzotint and in pythae."""

import itertools
import shutil
import tempfile
from pathlib import Path
from typing import Any

from pictures import fashion
from side_by_side import Benchmark, Case, Facts, Measure, Side, arguments, run, timed

BATCH = 128
NOTES = """
Images a second of a whole training: `mezzotint.train(...)` with its default previews, validation,
averaging, checkpoints, history and curve, against pythae's `BaseTrainer(...).train()`, which keeps
and writes the best model at the end of each epoch. Both train the same modules from the same
initial weights with Adam at 1e-3 and batch 128 on the same Fashion-MNIST images. MLP: 784-400-20.
Conv: pythae's `Encoder_Conv_VAE_MNIST` and `Decoder_Conv_AE_MNIST`. pythae runs at its defaults (0
workers, plain Adam) and with the best of its documented settings, `optimizer_params={"fused":
True}`; more loader workers only slow it down (see P1). "steps only" leaves out everything around
the loop on both sides. The conv runs are four steps long, because a step takes seconds, and have no
held-out images; there the curve and the checkpoints weigh as they would in no real run. "the same
result" is the loss of the initial weights on the same images and noise.
"""


def ours(kind: str, images: int, epochs: int, whole: bool) -> Measure:
    """mezzotint.train, or the trainer's loop alone."""
    from vae_sides import our_loss, our_model

    import mezzotint as mz
    from mezzotint.training.feeding import Feed
    from mezzotint.training.loop import Trainer
    from mezzotint.training.recipe import Recipe

    data, home = fashion(images, held_out=1000 if kind == "mlp" else 0), Path(tempfile.mkdtemp())
    facts = {"initial loss": our_loss(kind)}
    names = itertools.count()
    length = images * epochs

    def full(model: Any) -> Facts:
        mz.train(model, data, out=home / str(next(names)), images=length, batch=BATCH, lr=1e-3)
        return facts

    def steps(model: Any) -> Facts:
        recipe = Recipe(images=length, batch=BATCH, lr=1e-3)
        for _ in Trainer(model, Feed(data.train, BATCH), recipe).records():
            pass
        return facts

    def measure(turn: int) -> Any:
        model = our_model(kind)
        figure = timed(length, lambda: (full if whole else steps)(model))
        shutil.rmtree(home, ignore_errors=True)
        return figure

    return measure


def pythae(kind: str, images: int, epochs: int, whole: bool, best: bool) -> Measure:
    """pythae's trainer."""
    from pythae.trainers import BaseTrainer, BaseTrainerConfig
    from vae_sides import pythae_data, pythae_loss, pythae_model, quiet_pythae

    data, home = pythae_data(images), Path(tempfile.mkdtemp())
    quiet_pythae()
    facts = {"initial loss": pythae_loss(kind)}
    settings = {"optimizer_params": {"fused": True}} if best else {}

    def trainer(model: Any) -> BaseTrainer:
        config = BaseTrainerConfig(
            output_dir=str(home),
            num_epochs=epochs,
            per_device_train_batch_size=BATCH,
            learning_rate=1e-3,
            **settings,
        )
        return BaseTrainer(model, data, training_config=config)

    def full(model: Any) -> Facts:
        trainer(model).train()
        return facts

    def measure(turn: int) -> Any:
        model = pythae_model(kind)
        if whole:
            figure = timed(images * epochs, lambda: full(model))
        else:
            figure = _steps_only(trainer(model), images, epochs, facts)
        shutil.rmtree(home, ignore_errors=True)
        return figure

    return measure


def _steps_only(trainer: Any, images: int, epochs: int, facts: Facts) -> Any:
    trainer.prepare_training()

    def steps() -> Facts:
        for epoch in range(1, epochs + 1):
            trainer.train_step(epoch)
        return facts

    return timed(images * epochs, steps)


def case(kind: str, images: int, epochs: int, whole: bool, target: float) -> Case:
    """Both settings of pythae on one network."""
    options = {"kind": kind, "images": images, "epochs": epochs, "whole": whole}
    peers = [
        Side("pythae, defaults", pythae, {**options, "best": False}),
        Side("pythae, fused Adam", pythae, {**options, "best": True}),
    ]
    name = f"{kind}, {'whole' if whole else 'steps only'}, {images * epochs:,} images"
    targets = {peer.name: target for peer in peers}
    mine = Side("mezzotint", ours, options)
    return Case(name, "images/s", mine, peers, targets, {"initial loss": (0.0, 1e-3)})


def main() -> None:
    """Measure P5."""
    options = arguments(__doc__)
    mlp, conv = (12_800, 128) if options.smoke else (60_000, 512)
    cases = [
        case("mlp", mlp, 1, True, 2.0),
        case("mlp", mlp // 3, 1, False, 2.0),
        case("conv", conv, 1, True, 1.4),
        case("conv", conv, 1, False, 1.4),
    ]
    run(Benchmark("P5", "VAE training, images a second", NOTES, ("pythae",)), cases, options)


if __name__ == "__main__":
    main()
