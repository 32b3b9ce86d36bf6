"""Averages against the definition of the power-function profile."""

import numpy as np
import pytest
import torch
from torch import nn

from mezzotint.training.averaging import Average, decay_at, profile_exponent


@pytest.mark.parametrize(("width", "exponent"), [(0.05, 16.97), (0.10, 6.94)])
def test_exponents_of_the_paper(width, exponent):
    assert profile_exponent(width) == pytest.approx(exponent, abs=0.01)


@pytest.mark.parametrize("width", [0.02, 0.05, 0.1, 0.2])
def test_profile_has_its_width(width):
    """Weights tau^gamma over a run of length 1 have the relative standard deviation asked for."""
    gamma = profile_exponent(width)
    tau = (np.arange(200_000) + 0.5) / 200_000
    weight = tau**gamma
    weight /= weight.sum()
    mean = (weight * tau).sum()
    assert np.sqrt((weight * (tau - mean) ** 2).sum()) == pytest.approx(width, rel=1e-3)


def test_average_is_the_weighted_sum_of_all_steps():
    module = nn.Linear(1, 1, bias=False)
    average = Average(module, 0.1)
    gamma, values = profile_exponent(0.1), torch.randn(40).tolist()
    expected = 0.0
    for step, value in enumerate(values, 1):
        with torch.no_grad():
            module.weight.fill_(value)
        average.update(step)
        decay = decay_at(step, gamma)
        expected = decay * expected + (1 - decay) * value
    assert float(average.tensors["weight"]) == pytest.approx(expected, rel=1e-4)


def test_first_update_forgets_the_start():
    module = nn.Linear(2, 2)
    average = Average(module, 0.05)
    with torch.no_grad():
        module.weight.add_(1)
    average.update(1)
    assert torch.equal(average.tensors["weight"], module.weight)


def test_buffers_are_averaged_and_counters_copied():
    module = nn.BatchNorm1d(3)
    average = Average(module, 0.1)
    module.train()
    for step in range(1, 6):
        module(torch.randn(8, 3) + 5)
        average.update(step)
    assert int(average.tensors["num_batches_tracked"]) == 5
    assert (average.tensors["running_mean"] > 0.5).all()
    assert not torch.equal(average.tensors["running_mean"], module.running_mean)


def test_applied_swaps_and_restores():
    module = nn.Linear(3, 2)
    average = Average(module, 0.1)
    average.update(1)
    live = module.weight.detach().clone()
    with torch.no_grad():
        module.weight.add_(1)
    with average.applied():
        assert torch.equal(module.weight, live)
    assert torch.equal(module.weight, live + 1)


def test_zero_width_follows_the_module():
    module = nn.Linear(2, 1)
    average = Average(module, 0)
    for step in range(1, 4):
        with torch.no_grad():
            module.weight.add_(1)
        average.update(step)
        assert torch.equal(average.tensors["weight"], module.weight)
