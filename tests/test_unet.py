"""The U-Net: sizes, conditions, and what each of them changes."""

import math

import pytest
import torch

from mezzotint.nets.conditioning import (
    HEAD_WIDTH,
    Attention,
    Conditioning,
    Film,
    head_count,
    sinusoid,
)
from mezzotint.nets.unet import UNet


def net(**options) -> UNet:
    torch.manual_seed(0)
    return UNet(1, 1, **{"widths": (8, 16), "blocks": 1, **options}).eval()


def inputs(size=(16, 16), channels=1, count=2):
    generator = torch.Generator().manual_seed(1)
    return torch.randn((count, channels, *size), generator=generator), torch.tensor([3.0, 700.0])


@pytest.mark.parametrize(
    ("size", "channels", "patch"), [((28, 28), 1, 2), ((48, 64), 3, 4), ((37, 100), 1, 1)]
)
def test_any_size_comes_back(size, channels, patch):
    noisy, time = inputs(size, channels)
    made = UNet(channels, 2 * channels, patch, (8, 16, 16), 1)(noisy, time)
    assert made.shape == (2, 2 * channels, *size)
    assert torch.isfinite(made).all()


def test_padding_leaves_a_fitting_image_alone():
    noisy, time = inputs((16, 16))
    wide = torch.cat([noisy, noisy[..., -1:]], dim=3)
    assert net(patch=2)(wide, time).shape == wide.shape


def test_time_label_and_tokens_each_change_the_output():
    model = net(classes=3, tokens=5)
    noisy, time = inputs()
    label, tokens = torch.tensor([0, 2]), torch.randn(2, 4, 5)
    base = model(noisy, time, label, tokens)
    assert not torch.equal(base, model(noisy, time + 100, label, tokens))
    assert not torch.equal(base, model(noisy, time, torch.tensor([1, 1]), tokens))
    assert not torch.equal(base, model(noisy, time, label, tokens + 1))


def test_masked_tokens_do_not_count():
    model = net(tokens=5)
    noisy, time = inputs()
    tokens, mask = torch.randn(2, 4, 5), torch.tensor([[True] * 3 + [False]] * 2)
    other = tokens.clone()
    other[:, 3] = 9.0
    torch.testing.assert_close(
        model(noisy, time, None, tokens, mask), model(noisy, time, None, other, mask)
    )


def test_no_label_is_a_row_of_its_own():
    model = net(classes=3)
    noisy, time = inputs()
    hidden = model(noisy, time, torch.tensor([-1, -1]))
    torch.testing.assert_close(hidden, model(noisy, time))
    assert not torch.equal(hidden, model(noisy, time, torch.tensor([0, 0])))


def test_images_of_a_batch_do_not_see_each_other():
    model = net()
    noisy, time = inputs()
    alone = torch.cat([model(noisy[i : i + 1], time[i : i + 1]) for i in range(2)])
    torch.testing.assert_close(model(noisy, time), alone, atol=1e-5, rtol=1e-5)


def test_sinusoid_is_the_published_embedding():
    time = torch.tensor([0.0, 1.0, 250.0])
    made = sinusoid(time, 8)
    for row, moment in zip(made, time.tolist(), strict=True):
        angles = [moment * 10_000 ** (-i / 4) for i in range(4)]
        wanted = [math.cos(a) for a in angles] + [math.sin(a) for a in angles]
        torch.testing.assert_close(row, torch.tensor(wanted), atol=1e-4, rtol=0)


def test_film_without_a_condition_is_group_norm():
    film = Film(8, 4)
    x = torch.randn(2, 8, 3, 3)
    torch.testing.assert_close(film(x, torch.zeros(2, 4)), film.norm(x))


def test_attention_is_that_of_torch():
    torch.manual_seed(0)
    ours = Attention(64)
    theirs = torch.nn.MultiheadAttention(64, ours.heads, bias=False, batch_first=True)
    with torch.no_grad():
        joined = torch.cat([ours.query.weight, ours.key_value.weight])
        theirs.in_proj_weight.copy_(joined)
        theirs.out_proj.weight.copy_(ours.out.weight)
        ours.out.bias.zero_()
    x = torch.randn(2, 64, 3, 5)
    rows = ours.norm(x).flatten(2).transpose(1, 2)
    wanted = theirs(rows, rows, rows, need_weights=False)[0].transpose(1, 2).reshape(x.shape)
    torch.testing.assert_close(ours(x) - x, wanted, atol=1e-6, rtol=1e-4)


def test_conditioning_depends_on_every_label():
    made = Conditioning(8, 16, 2)(torch.zeros(3), torch.tensor([0, 1, -1]))
    assert len({tuple(row.tolist()) for row in made}) == 3


@pytest.mark.parametrize("width", range(8, 264, 8))
def test_attention_heads_share_any_width_equally(width):
    heads = head_count(width)
    assert width % heads == 0
    assert heads == 1 or width // heads >= HEAD_WIDTH
    assert Attention(width)(torch.zeros(1, width, 2, 2)).shape == (1, width, 2, 2)
