"""Conformal thresholds and the numbers of detection, against independent implementations."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage
from sklearn import metrics

from mezzotint.metrics import conformal, detecting

SCORES = st.lists(st.integers(-30, 30), min_size=1, max_size=60)
RATES = st.floats(0.005, 0.995)


@given(SCORES, RATES, st.integers(-40, 40))
def test_the_threshold_is_an_order_statistic_and_agrees_with_p_values(held_out, rate, new):
    """#{scores of n + 1 exchangeable ones above the threshold} is at most alpha (n + 1)."""
    threshold = conformal.conformal_threshold(held_out, rate)
    rank = math.ceil(round((len(held_out) + 1) * (1 - rate), 9))
    wanted = sorted(held_out)[rank - 1] if rank <= len(held_out) else math.inf
    assert threshold == wanted
    assert (new > threshold) == (conformal.p_values(held_out, [new])[0] <= rate)


@given(st.lists(st.integers(0, 9), min_size=2, max_size=40), RATES)
def test_each_left_out_score_is_flagged_at_most_at_the_rate(scores, rate):
    """The finite-sample truth itself: leave each of n + 1 out in turn and count the alarms."""
    flagged = sum(
        score > conformal.conformal_threshold(scores[:at] + scores[at + 1 :], rate)
        for at, score in enumerate(scores)
    )
    assert flagged <= rate * len(scores) + 1e-9


@pytest.mark.parametrize(("rate", "fewest"), [(0.01, 99), (0.05, 19), (0.1, 9), (0.3, 3)])
def test_one_score_too_few_promises_nothing(rate, fewest):
    assert conformal.fewest_scores(rate) == fewest
    assert math.isfinite(conformal.conformal_threshold(range(fewest), rate))
    assert math.isinf(conformal.conformal_threshold(range(fewest - 1), rate))
    assert conformal.least_rate(fewest) <= rate < conformal.least_rate(fewest - 1)


@pytest.mark.parametrize("rate", [0.0, 1.0, -1.0, math.nan])
def test_a_rate_is_between_0_and_1(rate):
    with pytest.raises(ValueError, match="between 0 and 1"):
        conformal.conformal_threshold([1.0], rate)


@pytest.mark.parametrize("seed", range(20))
def test_areas_equal_sklearn(seed):
    rng = np.random.default_rng(seed)
    bad = rng.random(80) < 0.3
    scores = np.round(rng.normal(size=80) + bad, seed % 3)  # with ties
    assert detecting.auroc(scores, bad) == pytest.approx(metrics.roc_auc_score(bad, scores))
    wanted = metrics.average_precision_score(bad, scores)
    assert detecting.average_precision(scores, bad) == pytest.approx(wanted)
    assert detecting.f1(scores > 0.5, bad) == pytest.approx(metrics.f1_score(bad, scores > 0.5))
    precision, recall, thresholds = metrics.precision_recall_curve(bad, scores)
    curve = detecting.precision_recall(scores, bad)
    np.testing.assert_allclose(curve.thresholds[::-1], thresholds)
    np.testing.assert_allclose(curve.precision[::-1], precision[:-1])
    np.testing.assert_allclose(curve.recall[::-1], recall[:-1])


def slow_aupro(maps, masks, limit):
    """Threshold by threshold, with scipy's regions: what the definition says."""
    regions = [ndimage.label(mask, np.ones((3, 3))) for mask in masks]
    points = [(0.0, 0.0)]
    for threshold in np.unique(maps)[::-1]:
        called = maps >= threshold
        overlaps = [
            called[at][labels == number].mean()
            for at, (labels, count) in enumerate(regions)
            for number in range(1, count + 1)
        ]
        points.append((called[~masks].mean(), np.mean(overlaps)))
    x, y = np.array(points).T
    grid = np.append(x[x <= limit], limit)
    return np.trapezoid(np.append(y[x <= limit], np.interp(limit, x, y)), grid) / limit


@pytest.mark.parametrize("seed", range(20))
def test_aupro_equals_its_definition_with_scipys_regions(seed):
    rng = np.random.default_rng(seed)
    masks = ndimage.gaussian_filter(rng.normal(size=(4, 14, 11)), (0, 1, 1)) > 0.25
    masks[0] = False
    maps = np.round(rng.normal(size=masks.shape) + masks, seed % 3)
    limit = (0.05, 0.3, 1.0)[seed % 3]
    assert detecting.aupro(maps, masks, limit) == pytest.approx(slow_aupro(maps, masks, limit))


@pytest.mark.parametrize("seed", range(5))
def test_regions_equal_scipys(seed):
    mask = np.random.default_rng(seed).random((17, 23)) < 0.3
    ours, theirs = detecting.connected(mask), ndimage.label(mask, np.ones((3, 3)))[0]
    pairs = set(zip(ours.ravel().tolist(), theirs.ravel().tolist(), strict=True))
    assert len(pairs) == len(np.unique(ours)) == len(np.unique(theirs))


def test_a_perfect_map_scores_1_and_a_useless_one_half():
    masks = np.zeros((2, 10, 10), dtype=bool)
    masks[0, 2:5, 3:7] = True
    assert detecting.aupro(masks.astype(float), masks) == pytest.approx(1)
    assert detecting.aupro(np.zeros(masks.shape), masks, limit=1.0) == pytest.approx(0.5)
    with pytest.raises(ValueError, match="good and bad"):
        detecting.aupro(masks.astype(float), np.zeros_like(masks))


@settings(max_examples=30)
@given(st.floats(0.5, 3))
def test_areas_depend_on_the_order_alone(power):
    rng = np.random.default_rng(0)
    scores, bad = rng.random(50), rng.random(50) < 0.4
    assert detecting.auroc(scores**power, bad) == detecting.auroc(scores, bad)
