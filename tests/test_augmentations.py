"""Differentiable augmentations: what each does, image by image, and that gradients pass."""

import pytest
import torch

from mezzotint.augmentations import (
    AUGMENTATIONS,
    augment,
    cut_out,
    mirror,
    numbers_of,
    recolour,
    translate,
)


def images(count=4, channels=3, size=(16, 24)):
    generator = torch.Generator().manual_seed(0)
    return torch.rand((count, channels, *size), generator=generator) * 2 - 1


def uniform(count, numbers, seed=1):
    return torch.rand((count, numbers), generator=torch.Generator().manual_seed(seed))


def test_translation_moves_whole_images():
    pictures, numbers = images(), uniform(4, 2)
    moved = translate(pictures, numbers)
    for picture, result, (a, b) in zip(pictures, moved, numbers, strict=True):
        down, right = 2 - int(a * 5), 3 - int(b * 7)
        expected = torch.zeros_like(picture)
        for y in range(16):
            for x in range(24):
                if 0 <= y - down < 16 and 0 <= x - right < 24:
                    expected[:, y, x] = picture[:, y - down, x - right]
        assert torch.equal(result, expected)


def test_every_shift_comes_up_equally_often():
    row = torch.arange(24.0).expand(700, 1, 16, 24)
    shares = torch.stack([torch.full((700,), 0.5), (torch.arange(700) + 0.5) / 700], 1)
    first = translate(row, shares)[:, 0, 8, 12]
    assert first.unique(return_counts=True)[1].tolist() == [100] * 7
    assert first.min() == 9
    assert first.max() == 15


def test_colour_in_closed_form():
    pictures, numbers = images(1), torch.tensor([[0.7, 0.25, 0.9]])
    x = pictures + 0.2
    x = (x - x.mean(1, keepdim=True)) * 0.5 + x.mean(1, keepdim=True)
    x = (x - x.mean()) * 1.4 + x.mean()
    torch.testing.assert_close(recolour(pictures, numbers), x)


def test_alpha_keeps_its_values():
    pictures = images(3, 4)
    changed = recolour(pictures, uniform(3, 3))
    assert torch.equal(changed[:, 3:], pictures[:, 3:])
    assert not torch.equal(changed[:, :3], pictures[:, :3])


def test_cutout_takes_at_most_a_quarter():
    pictures = torch.ones(500, 1, 16, 24)
    gone = (cut_out(pictures, uniform(500, 2)) == 0).sum((1, 2, 3))
    assert gone.max() == 8 * 12
    assert gone.min() < 8 * 12
    rows = (cut_out(pictures, uniform(500, 2)) == 0).any(3).any(0)[0]
    assert rows.all()


def test_mirror_turns_half():
    pictures = images(400, 1)
    turned = (mirror(pictures, uniform(400, 1)) != pictures).flatten(1).any(1)
    assert 150 < int(turned.sum()) < 250
    assert torch.equal(mirror(pictures, torch.zeros(400, 1)), pictures.flip(-1))


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_an_images_change_depends_on_its_own_numbers(name):
    pictures, numbers = images(6), uniform(6, numbers_of([name]))
    whole = augment(pictures, [name], numbers, 0.7)
    parts = [augment(pictures[i : i + 1], [name], numbers[i : i + 1], 0.7) for i in range(6)]
    torch.testing.assert_close(whole, torch.cat(parts))


@pytest.mark.parametrize("name", AUGMENTATIONS)
@pytest.mark.parametrize("size", [(16, 16), (100, 37)])
def test_gradients_pass_twice(name, size):
    pictures = images(2, 1, size).requires_grad_()
    made = augment(pictures, [name], uniform(2, numbers_of([name])))
    assert made.shape == pictures.shape
    (first,) = torch.autograd.grad(made.square().sum(), pictures, create_graph=True)
    (second,) = torch.autograd.grad(first.square().sum(), pictures)
    assert second.abs().sum() > 0


def test_chance_decides_how_many_are_changed():
    pictures, names = images(400, 1), list(AUGMENTATIONS)
    numbers = uniform(400, numbers_of(names))
    assert torch.equal(augment(pictures, names, numbers, 0.0), pictures)
    changed = augment(pictures, ["colour"], numbers[:, :4], torch.tensor(0.25)) != pictures
    assert 70 < int(changed.flatten(1).any(1).sum()) < 130
