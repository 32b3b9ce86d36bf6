"""What a diffusion model does at a size, and what cannot work."""

from pathlib import Path

import numpy as np
import pytest
import torch

import mezzotint as mz
from mezzotint.errors import ConfigError
from mezzotint.families.diffusing import DiffusionConfig, build_network, default_patch
from mezzotint.families.diffusion_sizes import choice_for, fitted, numbers_needed
from mezzotint.predictions import PREDICTIONS, velocity_weight
from mezzotint.training.plans import make_plan


def images(side: int, channels: int, tmp_path: Path) -> mz.Images:
    path = tmp_path / f"{side}.npz"
    shape = (24, side, side, channels) if channels > 1 else (24, side, side)
    np.savez(path, images=np.random.default_rng(0).integers(0, 255, shape, dtype=np.uint8))
    return mz.load_images(path, size=side, channels=channels)


def rank(head: torch.nn.Conv2d) -> int:
    """Rank of what a convolution can say of one cell: of its middle tap, a matrix."""
    return int(torch.linalg.matrix_rank(head.weight.detach().double()[:, :, 1, 1]))


@pytest.mark.parametrize("channels", [1, 3, 4])
@pytest.mark.parametrize("side", [28, 32, 48, 64, 96, 128])
@pytest.mark.parametrize("prediction", [None, "flow", "edm", "eps", "v", "clean"])
def test_a_new_network_can_say_what_its_target_asks(
    side: int, channels: int, prediction: str | None, tmp_path: Path
) -> None:
    given = {"space": "pixels"} | ({"prediction": prediction} if prediction else {})
    plan = make_plan("diffusion", None, {**given, "images": 10})
    data = images(side, channels, tmp_path)
    own = plan.settled(data).build(data).config
    patch = own.patch or default_patch(own.size)
    whole, network = patch**2 * channels, build_network(own)
    fine = network.refiner is not None and rank(network.refiner.last) == 4 * channels
    assert rank(network.head) >= (whole / 2 if own.prediction == "clean" or fine else whole)


def test_widths_that_cannot_work_are_refused_with_what_would() -> None:
    given = {"patch": 8, "prediction": "flow", "widths": (48, 96)}
    config = DiffusionConfig(size=(128, 128), channels=3, **given)
    with pytest.raises(ConfigError, match="192 numbers"):
        fitted(config, given)
    wider, sentence = fitted(config, {"patch": 8, "prediction": "flow"})
    assert wider == {"widths": (192, 192)}
    assert "widened" in sentence
    assert numbers_needed(DiffusionConfig(size=(128, 128), channels=3, prediction="clean")) == 96


def test_the_table_keeps_small_images_as_they_were_and_folds_large_ones() -> None:
    assert dict(choice_for((28, 28)).options) == {}
    assert choice_for((64, 64)).options["refiner"] > 0
    assert choice_for((128, 96)).space == "pixels"
    assert choice_for((256, 256)).space == "latents"
    assert choice_for((256, 256), "pixels").space == "pixels"


def test_large_images_are_walked_among_latents_as_diffusers_can(tmp_path: Path) -> None:
    data = images(192, 3, tmp_path)
    plan = make_plan("diffusion", None, {"images": 10}).settled(data)
    assert plan.kind.kind == "latent-diffusion"
    config = plan.build(data).config
    assert (config.guidance, config.groups, config.backbone) == (1.0, 0, "diffusers")
    asked = make_plan("diffusion", None, {"images": 10, "guidance": 2.0}).settled(data)
    assert asked.build(data).config.guidance == 2.0
    pixels = make_plan("diffusion", None, {"images": 10, "patch": 16}).settled(data)
    assert pixels.kind.kind == "diffusion"


@pytest.mark.parametrize("preset", ["classic"])
def test_a_preset_that_knows_its_way_is_left_alone(preset: str, tmp_path: Path) -> None:
    data = images(64, 3, tmp_path)
    built = make_plan("diffusion", preset, {"images": 10}).settled(data).build(data)
    assert built.config.prediction == "eps"
    assert (built.config.refiner, built.config.weighting) == (0, "none")


@pytest.mark.parametrize("prediction", ["clean", "eps", "edm", "flow", "v"])
def test_the_velocity_weight_makes_an_error_that_of_the_velocity(prediction: str) -> None:
    """u = noise - clean = (x_t - clean) / t on the straight path, from any prediction's error."""
    torch.manual_seed(0)
    clean, noise = torch.randn(2, 6, 1, 1, 1)
    time = torch.linspace(0.1, 0.9, 6).view(-1, 1, 1, 1)
    noisy = (1 - time) * clean + time * noise
    rule = PREDICTIONS[prediction]
    wrong = rule.target(clean, noise, 1 - time, time, 0.5) + 0.1
    seen = rule.clean(noisy, wrong, 1 - time, time, 0.5)
    velocity = (noisy - seen) / time - (noise - clean)
    weight = velocity_weight(1 - time, time, prediction, 0.5)
    torch.testing.assert_close(weight * 0.1**2, velocity.square(), atol=1e-5, rtol=1e-3)
