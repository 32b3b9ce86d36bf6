"""Generators and critics: shapes, the reference DCGAN layer by layer, classes, spectral norms."""

import math

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mezzotint.nets.adversaries import Critic, Generator, Projection, constrain
from mezzotint.nets.dcgan import ClassicCritic, ClassicGenerator
from mezzotint.nets.layers import Grow

SIZES = [((16, 16), 1), ((28, 28), 1), ((64, 48), 3), ((32, 32), 4), ((100, 37), 1), ((17, 31), 3)]
GENERATOR = [
    nn.Linear(100, 256 * 7 * 7),
    nn.Unflatten(1, (256, 7, 7)),
    nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False),
    nn.BatchNorm2d(128),
    nn.ReLU(),
    nn.ConvTranspose2d(128, 1, 4, 2, 1, bias=False),
    nn.Tanh(),
]
CRITIC = [
    nn.Conv2d(1, 64, 4, 2, 1, bias=False),
    nn.LeakyReLU(0.2),
    nn.Conv2d(64, 128, 4, 2, 1, bias=False),
    nn.BatchNorm2d(128),
    nn.LeakyReLU(0.2),
    nn.Conv2d(128, 256, 4, 2, 1, bias=False),
    nn.BatchNorm2d(256),
    nn.LeakyReLU(0.2),
    nn.Flatten(),
    nn.Linear(256 * 3 * 3, 1),
]


def pair(kind, size=(16, 16), channels=1, classes=0):
    torch.manual_seed(0)
    if kind == "classic":
        return (
            ClassicGenerator(channels, size, 10, (8, 16, 24), classes),
            ClassicCritic(channels, size, (8, 16, 24), classes),
        )
    upsample = "nearest" if kind == "grown" else "transposed"
    return (
        Generator(channels, size, 10, 2, (8, 16), 1, classes, upsample=upsample),
        Critic(channels, size, 2, (8, 16), 1, classes),
    )


@pytest.mark.parametrize("kind", ["classic", "residual", "grown"])
@pytest.mark.parametrize("classes", [0, 3])
@pytest.mark.parametrize(("size", "channels"), SIZES)
def test_any_size_and_channels(kind, classes, size, channels):
    generator, critic = pair(kind, size, channels, classes)
    label = torch.tensor([0, 2, -1, 1]) if classes else None
    made = generator(torch.randn(4, 10), label)
    assert made.shape == (4, channels, *size)
    assert made.abs().max() <= 1
    assert critic(made, label).shape == (4,)


def test_the_classic_pair_is_the_reference_layer_by_layer():
    widths = (64, 128, 256)
    generator = ClassicGenerator(1, (28, 28), 100, widths)
    critic = ClassicCritic(1, (28, 28), widths)
    found = [*critic.layers, critic.head.flatten, critic.head.linear]
    assert list(map(repr, generator.layers)) == list(map(repr, GENERATOR))
    assert list(map(repr, found)) == list(map(repr, CRITIC))
    images = generator(torch.randn(2, 100))
    sequence = nn.Sequential(*found)
    torch.testing.assert_close(critic.eval()(images), sequence.eval()(images)[:, 0])


@pytest.mark.parametrize("kind", ["classic", "residual"])
def test_labels_matter_to_both(kind):
    generator, critic = (part.eval() for part in pair(kind, classes=3))
    z, images = torch.randn(1, 10).expand(4, 10), torch.rand(1, 1, 16, 16).expand(4, 1, 16, 16)
    labels = torch.tensor([0, 1, 2, -1])
    with torch.no_grad():
        made, judged = generator(z, labels), critic(images, labels)
    differ = [float((a - b).abs().max()) for i, a in enumerate(made) for b in made[:i]]
    assert min(differ) > 1e-6
    assert len(judged.unique()) == 4
    with torch.no_grad():
        nothing = critic(images, None), generator(z, None)
    assert torch.equal(nothing[0], judged[3:].expand(4))
    torch.testing.assert_close(nothing[1], made[3:].expand(4, 1, 16, 16))


def test_classes_reach_intermediate_features():
    """With z and the first layer alike, the class still changes the image."""
    generator = pair("residual", classes=2)[0].eval()
    with torch.no_grad():
        generator.start.weight[:, 10:] = 0
        one, two = generator(torch.ones(2, 10), torch.tensor([0, 1]))
    assert not torch.allclose(one, two)


def test_projection_in_closed_form():
    head = Projection(3, 4, 2)
    features, label = torch.randn(5, 3, 2, 2), torch.tensor([0, 1, -1, 0, 1])
    for row, y, found in zip(features, label, head(features, label), strict=True):
        vector = head.classes.table.weight[y if y >= 0 else 2]
        expected = head.linear(row.flatten()) + (vector * row.mean((1, 2))).sum()
        torch.testing.assert_close(found, expected[0])


def test_a_critic_sees_each_image_alone():
    critic = pair("residual")[1]
    images = torch.randn(6, 1, 16, 16)
    torch.testing.assert_close(critic(images)[2:3], critic(images[2:3]))


@pytest.mark.parametrize("kind", ["classic", "residual"])
def test_constrained_weights_have_norm_one(kind):
    critic = pair(kind, classes=2)[1]
    constrain(critic)
    images = torch.randn(4, 1, 16, 16)
    for _ in range(60):
        critic(images)
    critic.eval()
    for name, part in critic.named_modules():
        if isinstance(part, nn.Conv2d | nn.Linear | nn.Embedding):
            largest = torch.linalg.svdvals(part.weight.detach().flatten(1))[0]
            assert float(largest) == pytest.approx(1, abs=0.02), name


def test_power_iterations_happen_in_training_alone():
    critic = pair("residual")[1]
    constrain(critic)
    vectors = {k: v for k, v in critic.state_dict().items() if k.endswith("._u")}
    assert len(vectors) == sum(isinstance(m, nn.Conv2d | nn.Linear) for m in critic.modules())
    before = {name: vector.clone() for name, vector in vectors.items()}
    critic.eval()(torch.randn(2, 1, 16, 16))
    assert all(torch.equal(before[name], vectors[name]) for name in before)
    critic.train()(torch.randn(2, 1, 16, 16))
    assert not all(torch.equal(before[name], critic.state_dict()[name]) for name in before)


def test_signals_keep_their_size_at_the_start():
    """He's initialisation: features neither die nor explode on the way through."""
    torch.manual_seed(0)
    critic = Critic(1, (32, 32), 2, (32, 64, 128))
    generator = Generator(1, (32, 32), 64, 2, (32, 64, 128))
    with torch.no_grad():
        assert 0.1 < float(critic(torch.randn(64, 1, 32, 32)).std()) < 3
        images = generator(torch.randn(64, 64))
    assert 0.2 < float(images.std()) < 0.95
    assert math.isfinite(float(images.sum()))


def test_growing_is_nearest_and_a_convolution():
    layer = Grow(5, 7)
    nn.init.normal_(layer.bias)
    x = torch.randn(2, 5, 4, 6)
    kernel = layer.weight.transpose(0, 1)
    expected = F.conv2d(F.interpolate(x, scale_factor=2), kernel, layer.bias, padding=1)
    torch.testing.assert_close(layer(x), expected)


@pytest.mark.parametrize("upsample", ["transposed", "nearest"])
def test_only_free_kernels_draw_dots_on_a_flat_grid(upsample):
    """Away from the rim, a flat grid becomes flat pixels, or a pattern that repeats every cell."""
    torch.manual_seed(0)
    net = Generator(3, (64, 64), 8, 4, (48, 96), 1, upsample=upsample)
    x = torch.randn(1, 48, 1, 1).expand(1, 48, 16, 16)
    with torch.no_grad():
        for layer in net.finish:
            x = F.leaky_relu(layer(x), 0.2)
        pixels = F.pixel_shuffle(net.head(x), net.patch)[..., 16:-16, 16:-16]
    spread = float(pixels.std((2, 3)).max())
    assert (spread < 1e-5) == (upsample == "nearest")
