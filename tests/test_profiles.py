"""Averages chosen afterwards against exact averages over a stored path of weights."""

import numpy as np
import pytest
import torch
from scipy import integrate
from torch import nn

from mezzotint.errors import DataError
from mezzotint.runs import snapshots
from mezzotint.storage.weights import load_tensors, save_tensors
from mezzotint.training.averaging import Average, Averages, profile_exponent
from mezzotint.training.profiles import WIDTHS, Profile, inner_product, mixture

STEPS, COUNT = 600, 12


@pytest.mark.parametrize("first", [Profile(50, 0.05), Profile(120, 0.1), Profile(120, 0.2)])
@pytest.mark.parametrize("second", [Profile(120, 0.05), Profile(80, 0.1)])
def test_inner_products_are_integrals(first: Profile, second: Profile) -> None:
    def density(at: float, profile: Profile) -> float:
        g = profile_exponent(profile.width)
        return (g + 1) * at**g / profile.step ** (g + 1) if at <= profile.step else 0.0

    end = min(first.step, second.step)
    expected, _ = integrate.quad(lambda at: density(at, first) * density(at, second), 0, end)
    assert inner_product(first, second) == pytest.approx(expected, rel=1e-6)
    assert inner_product(second, first) == pytest.approx(expected, rel=1e-6)


def grid(count: int = COUNT, total: int = STEPS) -> list[Profile]:
    steps = [round(total * (index + 1) / count) for index in range(count)]
    return [Profile(step, width) for step in steps for width in WIDTHS]


@pytest.mark.parametrize("width", WIDTHS)
def test_a_stored_length_is_itself(width: float) -> None:
    stored = grid()
    found = mixture(stored, Profile(STEPS, width))
    expected = [float(each == Profile(STEPS, width)) for each in stored]
    assert found.weights == pytest.approx(expected, abs=1e-6)
    assert found.error < 1e-6


@pytest.mark.parametrize(
    ("length", "most"), [(0.04, 0.02), (0.08, 0.01), (0.15, 0.02), (0.2, 0.05)]
)
def test_error_is_the_distance_of_the_profiles(length: float, most: float) -> None:
    """Against both profiles written out over a fine grid of times."""
    stored, wanted = grid(), Profile(STEPS, length)
    found = mixture(stored, wanted)
    at = (np.arange(300_000) + 0.5) / 300_000 * STEPS

    def density(profile: Profile) -> np.ndarray:
        g = profile_exponent(profile.width)
        return np.where(at <= profile.step, (g + 1) / profile.step * (at / profile.step) ** g, 0)

    made = sum(weight * density(each) for weight, each in zip(found.weights, stored, strict=True))
    apart = np.sqrt(((made - density(wanted)) ** 2).sum() / (density(wanted) ** 2).sum())
    assert found.error == pytest.approx(apart, rel=0.02)
    assert found.error < most
    assert sum(found.weights) == pytest.approx(1, abs=1e-9)


def walk(folder, steps: int = STEPS) -> dict[float, dict[str, torch.Tensor]]:
    """Train a module by a random walk, keep snapshots; exact averages of other lengths."""
    torch.manual_seed(0)
    module = nn.BatchNorm1d(40)
    module.register_buffer("fixed", torch.randn(5))
    averages = Averages(module, 0.05, WIDTHS)
    exact = {length: Average(module, length) for length in (0.04, 0.07, 0.12, 0.2)}
    for step in range(1, steps + 1):
        with torch.no_grad():
            module.weight.add_(torch.randn(40)).mul_(0.99)
            module.num_batches_tracked += 1
        averages.update(step)
        for each in exact.values():
            each.update(step)
        if snapshots.due(folder, COUNT, step / steps):
            tensors = {width: each.tensors for width, each in averages.profiles.items()}
            snapshots.take(folder, step * 32, step, tensors)
    return {length: each.tensors for length, each in exact.items()}


def test_mixed_weights_are_those_of_an_average_kept_all_along(tmp_path) -> None:
    exact = walk(tmp_path)
    stored = snapshots.listing(tmp_path)
    assert [each.step for each in stored] == [50 * index for index in range(1, COUNT + 1)]
    last = load_tensors(stored[-1].path)["0.05/weight"]
    for length, tensors in exact.items():
        mixed, _ = snapshots.mix(stored, length)
        assert mixed.keys() == tensors.keys()
        apart = float((mixed["weight"] - tensors["weight"]).norm())
        assert apart < 0.03 * float((last - tensors["weight"]).norm())
        assert torch.allclose(mixed["fixed"], tensors["fixed"], atol=1e-6)
        assert int(mixed["num_batches_tracked"]) == STEPS
        assert mixed["weight"].dtype == torch.float32


def test_snapshots_are_few_and_the_last_is_at_the_end(tmp_path) -> None:
    walk(tmp_path, steps=7)  # fewer steps than snapshots asked for
    assert [each.step for each in snapshots.listing(tmp_path)] == list(range(1, 8))
    assert not snapshots.due(tmp_path / "none", 0, 1.0)


def test_rewinding_forgets_what_came_later(tmp_path) -> None:
    walk(tmp_path, steps=7)
    snapshots.rewind(tmp_path, 3 * 32)
    assert [each.step for each in snapshots.listing(tmp_path)] == [1, 2, 3]
    snapshots.rewind(tmp_path / "missing", 0)


@pytest.mark.parametrize(
    "tensors",
    [
        {"weight": torch.zeros(3)},
        {"step": torch.tensor(2.0)},
        {"step": torch.tensor([2])},
        {"step": torch.tensor(0)},
    ],
)
def test_other_files_are_no_snapshots(tensors, tmp_path) -> None:
    save_tensors(tmp_path / "000000032.safetensors", tensors)
    with pytest.raises(DataError, match="not a snapshot"):
        snapshots.listing(tmp_path)


def test_snapshots_of_different_models_do_not_mix(tmp_path) -> None:
    walk(tmp_path, steps=3)
    tensors = {"0.05/a": torch.zeros(2), "0.1/a": torch.zeros(2), "step": torch.tensor(9)}
    save_tensors(tmp_path / "000000900.safetensors", tensors)
    with pytest.raises(DataError, match="not a snapshot"):
        snapshots.mix(snapshots.listing(tmp_path), 0.08)
