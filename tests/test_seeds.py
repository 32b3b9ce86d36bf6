"""Noise is a function of what it is for: no order, no neighbours, no global state."""

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from mezzotint.errors import UsageError
from mezzotint.seeds import BatchNoise, ImageNoise, image_seeds, mix

seeds = st.integers(0, 2**63 - 1)
kinds = pytest.mark.parametrize("kind", ["randn", "rand"])


def drawn(noise: Any, kind: str, *shape: int) -> torch.Tensor:
    found: torch.Tensor = getattr(noise, kind)(*shape)
    return found


@kinds
@given(numbers=st.lists(seeds, min_size=1, max_size=8), data=st.data())
def test_an_image_does_not_depend_on_its_neighbours(
    kind: str, numbers: list[int], data: st.DataObject
) -> None:
    row = data.draw(st.integers(0, len(numbers) - 1))
    together, alone = ImageNoise(numbers), ImageNoise([numbers[row]])
    for shape in ((3,), (1, 4, 4), ()):
        both = drawn(together, kind, *shape)
        assert both.shape == (len(numbers), *shape)
        assert both.dtype == torch.float32
        assert torch.equal(both[row], drawn(alone, kind, *shape)[0])


@kinds
@given(key=seeds, total=st.integers(1, 24), data=st.data())
def test_a_batch_is_the_same_for_any_split(
    kind: str, key: int, total: int, data: st.DataObject
) -> None:
    cuts = sorted(data.draw(st.sets(st.integers(1, max(1, total - 1)), max_size=4)) | {0, total})
    whole = BatchNoise(("train", key), total)
    parts = [BatchNoise(("train", key), total, a, b) for a, b in pairwise(cuts)]
    for shape in ((5,), (2, 3, 3), ()):  # one draw after the other stays in step
        pieces = [drawn(part, kind, *shape) for part in parts]
        assert torch.equal(torch.cat(pieces), drawn(whole, kind, *shape))


def test_different_keys_seeds_and_purposes_are_unrelated() -> None:
    rows = [
        ImageNoise([5]).randn(1000),
        ImageNoise([6]).randn(1000),
        ImageNoise([5], purpose="corrupt").randn(1000),
        BatchNoise(("train", 5), 1).randn(1000),
        BatchNoise(("train", 6), 1).randn(1000),
        BatchNoise(("valid", 5), 1).randn(1000),
    ]
    found = np.corrcoef(torch.cat(rows).numpy())
    assert np.abs(found - np.eye(len(rows))).max() < 0.15


def test_neighbouring_seeds_are_independent() -> None:
    """The first number of a thousand seeds in a row is a fair sample of its distribution."""
    normal = ImageNoise(image_seeds(0, 1000)).randn(1)[:, 0].numpy()
    uniform = ImageNoise(image_seeds(0, 1000)).rand(1)[:, 0].numpy()
    assert stats.kstest(normal, "norm").pvalue > 0.01
    assert stats.kstest(uniform, "uniform").pvalue > 0.01
    assert abs(np.corrcoef(normal[:-1], normal[1:])[0, 1]) < 0.1


def test_draws_have_their_distribution() -> None:
    batch = BatchNoise(("x",), 8)
    assert stats.kstest(batch.randn(1000).flatten().numpy(), "norm").pvalue > 0.01
    uniform = batch.rand(1000)
    assert stats.kstest(uniform.flatten().numpy(), "uniform").pvalue > 0.01
    assert 0 <= uniform.min() <= uniform.max() < 1


makers: list[Callable[[], object]] = [
    lambda: ImageNoise([1, 2]).randn(3),
    lambda: ImageNoise([1, 2]).rand(3),
    lambda: BatchNoise(("a",), 4).randn(3),
    lambda: BatchNoise(("a",), 4, 1, 2).rand(3),
    lambda: mix(1, "a"),
]


@pytest.mark.parametrize("make", makers)
def test_the_global_generators_are_left_alone(make: Callable[[], object]) -> None:
    before, arrays = torch.get_rng_state(), np.random.get_state()[1].copy()  # type: ignore[union-attr]
    make()
    assert torch.equal(torch.get_rng_state(), before)
    np.testing.assert_array_equal(np.random.get_state()[1], arrays)  # type: ignore[arg-type]


def test_the_global_generator_changes_nothing() -> None:
    torch.manual_seed(1)
    first = ImageNoise([3]).randn(4)
    torch.manual_seed(2)
    assert torch.equal(ImageNoise([3]).randn(4), first)


def test_known_values_hold_on_every_machine() -> None:
    """Pictures of a seed are a promise: these numbers may not change."""
    assert mix(0) == KNOWN_MIX[0]
    assert mix("sample", 7) == KNOWN_MIX[1]
    torch.testing.assert_close(ImageNoise([7]).randn(3), KNOWN_NORMAL, rtol=0, atol=1e-6)
    torch.testing.assert_close(ImageNoise([7]).rand(3), KNOWN_UNIFORM, rtol=0, atol=1e-6)


@settings(max_examples=50)
@given(st.lists(st.integers() | st.text("ab1, '()", max_size=4), max_size=4))
def test_mix_is_a_63_bit_number_and_tells_parts_apart(parts: list[int | str]) -> None:
    assert 0 <= mix(*parts) < 2**63
    assert mix(*parts) != mix(*parts, 0)
    assert mix(*parts, 1) != mix(*parts, "1")


def test_mix_does_not_collide() -> None:
    found = {mix(a, b) for a in range(200) for b in range(200)}
    assert len(found) == 40_000


@given(st.integers(0, 2**62), st.integers(1, 1000))
def test_image_i_has_the_seed_plus_i(seed: int, count: int) -> None:
    assert list(image_seeds(seed, count)) == [seed + i for i in range(count)]


@pytest.mark.parametrize("seed", [-1, 2**63, 10**30])
def test_seeds_out_of_range(seed: int) -> None:
    with pytest.raises(UsageError, match="seed="):
        image_seeds(seed, 1)


KNOWN_MIX = (2631537505891389924, 5368728832829415572)
KNOWN_NORMAL = torch.tensor([[2.7549725, 0.2673467, -0.6175309]])
KNOWN_UNIFORM = torch.tensor([[0.3769245, 0.9869723, 0.7472881]])
