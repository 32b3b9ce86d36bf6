"""The preset ``classic`` is the reference network, layer by layer."""

import pytest
import torch
from torch import nn

from mezzotint.families.autoencoder import Autoencoder
from mezzotint.families.vae import VAE
from mezzotint.training.plans import make_plan

ENCODER = [
    (nn.Conv2d, (1, 32, 3, 2, 1)),
    (nn.ReLU, None),
    (nn.Conv2d, (32, 64, 3, 2, 1)),
    (nn.ReLU, None),
    (nn.Conv2d, (64, 128, 3, 2, 1)),
    (nn.ReLU, None),
    (nn.Flatten, None),
    (nn.Linear, (2048, 32)),
]
DECODER = [
    (nn.Linear, (32, 2048)),
    (nn.Unflatten, (128, 4, 4)),
    (nn.ConvTranspose2d, (128, 64, 4, 2, 1)),
    (nn.ReLU, None),
    (nn.ConvTranspose2d, (64, 32, 4, 2, 1)),
    (nn.ReLU, None),
    (nn.ConvTranspose2d, (32, 1, 4, 2, 1)),
    (nn.Sigmoid, None),
]


def numbers(layer):
    if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
        assert layer.bias is not None
        assert layer.kernel_size[0] == layer.kernel_size[1]
        sides = (layer.kernel_size[0], layer.stride[0], layer.padding[0])
        return (layer.in_channels, layer.out_channels, *sides)
    if isinstance(layer, nn.Linear):
        assert layer.bias is not None
        return (layer.in_features, layer.out_features)
    return tuple(layer.unflattened_size) if isinstance(layer, nn.Unflatten) else None


def classic() -> Autoencoder:
    plan = make_plan("autoencoder", "classic", {})
    return Autoencoder(channels=1, **plan.model)


@pytest.mark.parametrize(("part", "table"), [("encoder", ENCODER), ("decoder", DECODER)])
def test_classic_layers(part, table):
    layers = list(getattr(classic(), part).layers)
    assert [(type(layer), numbers(layer)) for layer in layers] == table


def test_classic_parameter_count():
    convolutions = (1 * 32 + 32 * 64 + 64 * 128) * 9 + (32 + 64 + 128)
    linear = 2048 * 32 + 32 + 32 * 2048 + 2048
    transposed = (128 * 64 + 64 * 32 + 32 * 1) * 16 + (64 + 32 + 1)
    total = sum(parameter.numel() for parameter in classic().parameters())
    assert total == convolutions + linear + transposed == 390_273


def test_classic_training():
    plan = make_plan("autoencoder", "classic", {})
    assert (plan.recipe.optimizer, plan.recipe.lr) == ("adam", 1e-3)
    assert plan.size == (32, 32)
    model = classic()
    assert (model.config.loss, model.config.corruption) == ("mse", ())


def test_classic_is_the_plain_computation():
    """The loss equals mean squared error on [0, 1] of the layers applied by hand."""
    from mezzotint.families.base import Batch
    from mezzotint.seeds import BatchNoise

    model = classic()
    images = torch.rand(4, 1, 32, 32) * 2 - 1
    clean = (images + 1) / 2
    by_hand = clean
    for layer in [*model.encoder.layers, *model.decoder.layers]:
        by_hand = layer(by_hand)
    loss = model.loss(Batch(images, BatchNoise((0,), 4)))["loss"]
    torch.testing.assert_close(loss, nn.functional.mse_loss(by_hand, clean))


def test_vae_classic_has_two_heads_of_32():
    model = VAE(size=32, widths=(32, 64, 128), latent=32)
    mean, log_variance = model.posterior(torch.rand(2, 1, 32, 32))
    assert mean.shape == log_variance.shape == (2, 32)
