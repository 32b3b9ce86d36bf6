"""Sizes of shared passes: which are fit to be used, and which is taken."""

import torch

from mezzotint.families.diffusion import Diffusion
from mezzotint.families.walking import Look
from mezzotint.noise import Level
from mezzotint.serving.models import SIZES, fitting_sizes
from mezzotint.serving.pooling import Pool, alike
from mezzotint.stepping import Denoised

LEVEL = Level(0.6, 0.8, 0.5)


def looks(count):
    return [Look(torch.full((1, 1, 2, 2), float(at)), LEVEL, None) for at in range(count)]


def test_sizes_that_round_otherwise_are_left_out():
    def seen(noisy, levels, told):
        off = 1e-7 if len(noisy) in (1, 3) else 0.0
        return Denoised(noisy / 3 + off)

    assert alike(seen, looks(8), (1, 2, 3, 4, 8)) == (2, 4, 8)


def test_a_network_that_tells_rows_apart_keeps_the_largest_only():
    def seen(noisy, levels, told):
        return Denoised(noisy + torch.arange(len(noisy)).view(-1, 1, 1, 1))

    assert alike(seen, looks(4), (1, 2, 4)) == (4,)


def test_a_pass_is_the_least_that_holds_what_waits():
    sizes = []

    def seen(noisy, levels, told):
        sizes.append(len(noisy))
        return Denoised(noisy)

    def walk(rows):
        yield Look(torch.zeros(rows, 1, 2, 2), LEVEL, None)

    pool = Pool(seen, (2, 4, 8))
    for count in (1, 2, 3, 4, 5, 8, 9):
        pool.add(count, walk(count))
        answered = []
        while len(pool):
            answered.append(pool.turn()[1])
        assert sum(answered) == count
    assert sizes == [2, 2, 4, 4, 8, 8, 8, 2]


def test_the_sizes_of_a_model_are_found_where_it_works():
    torch.manual_seed(0)
    model = Diffusion(size=(12, 12), classes=("a", "b")).eval()
    found = fitting_sizes(model)
    assert found[-1] == SIZES[-1]
    assert set(found) <= set(SIZES)
