"""The contract every registered family keeps; a new family is under it by its line in FAMILIES."""

import dataclasses
import json
import math

import pytest
import torch

from mezzotint.config import field_names, from_dict, to_dict
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families import FAMILIES, family_class
from mezzotint.families.base import Batch, Family, fixed_noise
from mezzotint.families.capabilities import Corrupts, Encodes, Reconstructs, Samples
from mezzotint.seeds import BatchNoise, ImageNoise
from mezzotint.training.recipe import Recipe

SIZES = [((16, 16), 1), ((28, 28), 1), ((19, 33), 3), ((32, 32), 4)]


CODER = {"widths": (8, 16), "latent": 6}
SMALL = {
    "autoencoder": CODER,
    "vae": CODER,
    "diffusion": {"widths": (8, 16), "blocks": 1, "steps": 3, "classes": ("a", "b")},
    "gan": {"widths": (8, 16), "latent": 6, "classes": ("a", "b")},
    # a fresh critic is within the hinge's margins, where its bias is at rest
    "text-to-image": {
        "coder": '{"widths": [8, 16], "latent": 6}',
        "widths": (16, 32),
        "text_width": 16,
        "text_layers": 1,
        "length": 8,
        "steps": 3,
    },
    "latent-diffusion": {
        "coder": '{"network": "kl", "widths": [8, 16], "latent": 6}',
        "widths": (8, 16),
        "classes": ("a", "b"),
        "steps": 3,
    },
    "kl-vae": {"widths": (8, 16), "latent": 6, "critic_width": 16, "objective": "non-saturating"},
}
TYPED = dict.fromkeys(("autoencoder", "vae", "gan", "kl-vae"), "latent")
TYPED |= dict.fromkeys(("diffusion", "latent-diffusion", "text-to-image"), "steps")


def small(name: str, size=(16, 16), channels=1, **options) -> Family:
    torch.manual_seed(0)
    kind = family_class(name)
    return kind(size=size, channels=channels, **SMALL[name], **options).eval()


def images(count, size=(16, 16), channels=1, seed=0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.rand((count, channels, *size), generator=generator) * 2 - 1


def batch(pictures, key=(0,)) -> Batch:
    labels = torch.arange(len(pictures)) % 2
    return Batch(pictures, BatchNoise(key, len(pictures)), labels)


@pytest.fixture(params=FAMILIES)
def name(request):
    return request.param


def test_config_survives_json(name):
    kind = family_class(name)
    for preset in kind.presets.values():
        own = {k: v for k, v in preset.items() if k in field_names(kind.config_class)}
        config = kind.config_class(**own)
        again = from_dict(kind.config_class, json.loads(json.dumps(to_dict(config))))
        assert again == config


def test_every_preset_key_is_an_option(name):
    kind = family_class(name)
    known = {*field_names(kind.config_class), *field_names(Recipe)}
    assert "default" in kind.presets
    assert all(set(preset) <= known for preset in kind.presets.values())


@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_output_is_finite_and_in_range(name, size, channels):
    model = small(name, size, channels)
    pictures = images(3, size, channels)
    outputs = []
    if isinstance(model, Samples):
        outputs.append(model.sample(range(3)))
    if isinstance(model, Reconstructs):
        outputs.append(model.reconstruct(pictures))
    if isinstance(model, Encodes):
        assert model.embed(pictures).shape[0] == 3
        outputs.append(model.decode(model.embed(pictures)))
    if isinstance(model, Corrupts):
        outputs.append(model.corrupt(pictures, ImageNoise(range(3)), 0.5))
    assert outputs
    for output in outputs:
        assert output.shape == (3, channels, *size)
        assert output.abs().max() <= 1
        assert torch.isfinite(output).all()


def test_saved_model_makes_the_same_pixels(name, tmp_path):
    model = small(name)
    model.save_pretrained(tmp_path / "model")
    again = type(model).from_pretrained(tmp_path / "model")
    pictures = images(4)
    assert not again.training
    if isinstance(model, Reconstructs):
        assert torch.equal(model.reconstruct(pictures), again.reconstruct(pictures))
    if isinstance(model, Samples):
        assert torch.equal(model.sample(range(4)), again.sample(range(4)))


def test_image_i_is_the_same_at_any_batch_size(name):
    model = small(name)
    if isinstance(model, Samples):
        whole = model.sample(range(20), batch=20)
        for size in (1, 4, 8, 16):
            assert torch.equal(whole, model.sample(range(20), batch=size))
        assert torch.equal(whole[7:8], model.sample([7]))
    if isinstance(model, Reconstructs):
        pictures = images(20)
        whole = model.reconstruct(pictures)
        parts = [model.reconstruct(part) for part in pictures.split(3)]
        assert torch.equal(whole, torch.cat(parts))


def test_each_player_gives_its_parameters_a_gradient(name):
    for player in small(name).train().players().values():
        player.loss(batch(images(8)))["loss"].backward()
        for label, parameter in player.module.named_parameters():
            assert parameter.grad is not None, label
            assert parameter.grad.abs().sum() > 0, label
            assert torch.isfinite(parameter.grad).all(), label


def test_loss_falls_on_eight_images(name):
    model = small(name).train()
    pictures = images(8)
    player = next(iter(model.players().values()))
    optimiser = torch.optim.Adam(player.module.parameters(), 3e-3)
    before = float(player.loss(batch(pictures))["loss"].detach())
    for step in range(60):
        optimiser.zero_grad()
        player.loss(batch(pictures, (step,)))["loss"].backward()
        optimiser.step()
    after = float(player.loss(batch(pictures))["loss"].detach())
    assert after < before - 0.05 * abs(before)


def test_loss_depends_on_the_draws_alone(name):
    model = small(name).train()
    player = next(iter(model.players().values()))
    torch.manual_seed(1)
    first = player.loss(batch(images(4)))["loss"].detach()
    torch.manual_seed(2)
    assert torch.equal(first, player.loss(batch(images(4)))["loss"].detach())


def test_validation_loss_is_repeatable(name):
    model = small(name)
    noise = [fixed_noise("validation", 4, torch.device("cpu")) for _ in range(2)]
    first, second = (model.validation_loss(Batch(images(4), n))["loss"] for n in noise)
    assert math.isfinite(float(first.detach()))
    assert torch.equal(first, second)


def test_unknown_option_names_the_nearest(name):
    option = TYPED[name]
    with pytest.raises(ConfigError, match=option):
        family_class(name)(**{option[:-2] + option[-1] + option[-2]: 3})


@pytest.mark.parametrize("value", [0, -1, 1.5, "many", None])
def test_wrong_values_are_errors(name, value):
    with pytest.raises(ConfigError, match=TYPED[name]):
        family_class(name)(**{TYPED[name]: value})


def test_unknown_family_names_the_nearest(name):
    with pytest.raises(UsageError, match=name):
        family_class(name + "x")


def test_configs_are_frozen(name):
    config = small(name).config
    with pytest.raises(dataclasses.FrozenInstanceError):
        setattr(config, TYPED[name], 3)
