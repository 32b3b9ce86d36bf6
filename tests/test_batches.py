"""Data order is a pure function of position: every epoch whole, any split of it the same."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from mezzotint.data.batches import rows_at, share
from mezzotint.training.schedules import DECAYS, rate_scale

counts = st.integers(1, 60)


@given(counts, st.integers(0, 5), st.integers(1, 17))
def test_every_epoch_holds_each_row_once(count, seed, batch):
    stream = np.concatenate([rows_at(count, seed, at, batch) for at in range(0, 4 * count, batch)])
    for epoch in range(3):
        assert sorted(stream[epoch * count : (epoch + 1) * count]) == list(range(count))


@given(counts, st.integers(0, 200), st.integers(1, 40), st.integers(0, 40))
def test_resuming_anywhere_gives_the_same_rows(count, seen, batch, skip):
    whole = rows_at(count, 1, seen, skip + batch)
    assert np.array_equal(whole[skip:], rows_at(count, 1, seen + skip, batch))


@given(st.integers(1, 200), st.integers(1, 9))
def test_processes_share_a_batch_without_gap_or_overlap(batch, world):
    rows = np.arange(batch)
    parts = [rows[share(batch, rank, world)] for rank in range(world)]
    assert np.array_equal(np.concatenate(parts), rows)
    assert max(map(len, parts)) - min(map(len, parts)) <= 1


def test_epochs_and_seeds_differ():
    first, second = rows_at(50, 0, 0, 50), rows_at(50, 0, 50, 50)
    assert not np.array_equal(first, second)
    assert not np.array_equal(first, rows_at(50, 1, 0, 50))


@given(st.floats(0, 1), st.floats(0, 0.5), st.sampled_from(sorted(DECAYS)))
def test_rates_stay_between_zero_and_one(progress, warmup, decay):
    assert 0 <= rate_scale(progress, warmup, decay) <= 1


def test_rates_rise_then_fall_to_zero():
    assert rate_scale(0, 0.1, "linear") < 0.02
    assert rate_scale(0.1, 0.1, "cosine") == 1
    assert abs(rate_scale(0.55, 0.1, "linear") - 0.5) < 1e-9
    assert abs(rate_scale(0.55, 0.1, "cosine") - 0.5) < 1e-9
    assert rate_scale(1, 0.1, "linear") == rate_scale(1, 0.1, "cosine") == 0
    assert rate_scale(1, 0.1, "none") == 1
