"""Convolutions as matrix products: the same numbers as torch's own kernels."""

import copy

import pytest
import torch
from torch import Tensor, nn

from mezzotint.nets.small_grids import SmallGridConv2d, SmallGridConvTranspose2d, adapt

CASES = [
    (nn.Conv2d(128, 64, 4, 2, 1), 3),
    (nn.Conv2d(256, 64, 3, 2, 1), 2),
    (nn.Conv2d(512, 64, 4, 2, 1), 4),
    (nn.Conv2d(256, 64, (3, 4), (1, 2), (1, 0), bias=False), (1, 4)),
    (nn.ConvTranspose2d(256, 64, 4, 2, 1), 2),
    (nn.ConvTranspose2d(256, 64, 3, 2, 1, output_padding=1), 2),
    (nn.ConvTranspose2d(512, 64, (4, 3), (1, 2), (0, 1), bias=False), (1, 3)),
]


def adapted(layer: nn.Module) -> nn.Module:
    twin = copy.deepcopy(layer)
    adapt(twin)
    return twin


def run(layer: nn.Module, images: Tensor) -> list[Tensor]:
    """Output and the gradients of input and parameters for one random cotangent."""
    images = images.clone().requires_grad_()
    made = layer(images)
    torch.manual_seed(1)
    found = torch.autograd.grad(made, [images, *layer.parameters()], torch.randn(made.shape))
    return [made.detach(), *found]


@pytest.mark.parametrize(("layer", "size"), CASES, ids=str)
def test_outputs_and_gradients_are_torchs(layer, size):
    torch.manual_seed(0)
    sides = (size, size) if isinstance(size, int) else size
    images = torch.randn(3, layer.in_channels, *sides)
    twin = adapted(layer)
    assert type(twin) in (SmallGridConv2d, SmallGridConvTranspose2d)
    for found, expected in zip(run(twin, images), run(layer, images), strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_the_product_is_really_used():
    layer = adapted(nn.Conv2d(128, 64, 4, 2, 1)).train()
    made = layer(torch.randn(2, 128, 3, 3))
    graph, names = made.grad_fn, []
    while graph is not None:
        names.append(graph.name())
        graph = graph.next_functions[0][0] if graph.next_functions else None
    assert not any("Convolution" in name for name in names)


def test_evaluation_uses_torchs_kernels_bit_for_bit():
    layer = nn.Conv2d(128, 64, 4, 2, 1).eval()
    images = torch.randn(2, 128, 3, 3)
    assert torch.equal(adapted(layer)(images), layer(images))


def test_large_grids_use_torchs_kernels_bit_for_bit():
    layer = nn.ConvTranspose2d(256, 64, 4, 2, 1)
    images = torch.randn(2, 256, 6, 6)
    assert torch.equal(adapted(layer)(images), layer(images))


@pytest.mark.parametrize(
    "layer",
    [
        nn.Conv2d(32, 32, 3),
        nn.Conv2d(256, 256, 3, groups=2),
        nn.Conv2d(256, 256, 3, dilation=2),
        nn.Conv2d(256, 256, 3, padding="same"),
        nn.Conv2d(256, 256, 3, padding=1, padding_mode="reflect"),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(256, 256, 3)),
    ],
    ids=str,
)
def test_other_layers_are_left_alone(layer):
    before = type(layer)
    adapt(layer)
    assert type(layer) is before


def test_names_of_parameters_stay():
    layer = nn.Sequential(nn.ConvTranspose2d(256, 64, 4, 2, 1))
    assert list(adapted(layer).state_dict()) == list(layer.state_dict())


def test_bfloat16_autocast():
    layer = adapted(nn.ConvTranspose2d(256, 64, 4, 2, 1))
    images = torch.randn(2, 256, 2, 2)
    with torch.autocast("cpu", torch.bfloat16):
        coarse = layer(images)
    torch.testing.assert_close(coarse.float(), layer(images), rtol=0.05, atol=0.05)
