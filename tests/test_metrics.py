"""Metrics equal independent implementations, cover the truth, and move the right way."""

import time

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import linalg, stats
from scipy.spatial.distance import cdist, pdist
from sklearn.metrics.pairwise import polynomial_kernel
from sklearn.neighbors import NearestNeighbors

from mezzotint.metrics.arrays import nearest, nearest_within, points
from mezzotint.metrics.distances import (
    frechet,
    frechet_estimate,
    kernel_distance,
    paired_frechet_estimate,
)
from mezzotint.metrics.diversity import (
    classes_seen,
    diversity,
    duplicates,
    mean_pairwise_distance,
    memorisation,
    vendi,
    vendi_estimate,
)
from mezzotint.metrics.intervals import Estimate, bootstrap_mean, delete_one_variance, wilson
from mezzotint.metrics.neighbours import prdc, prdc_estimate, radii

SEEDS = range(50)


def cloud(seed: int, count: int | None = None, width: int | None = None) -> np.ndarray:
    """Correlated, shifted points of a size drawn from the seed."""
    random = np.random.default_rng(seed)
    count = count or int(random.integers(20, 330))
    width = width or int(random.integers(2, 40))
    mixing = np.random.default_rng(width).standard_normal((width, width)) / np.sqrt(width)
    return random.standard_normal((count, width)) @ mixing + 0.3 * random.standard_normal(width)


def two(seed: int) -> tuple[np.ndarray, np.ndarray]:
    first = cloud(seed)
    return first, 1.2 * cloud(seed + 1000, width=first.shape[1])


def scipy_frechet(first: np.ndarray, second: np.ndarray) -> float:
    """The formula by scipy's square root of a matrix."""
    one, other = np.cov(first.T), np.cov(second.T)
    apart = ((first.mean(0) - second.mean(0)) ** 2).sum()
    return float(apart + np.trace(one + other - 2 * linalg.sqrtm(one @ other).real))


def naive_prdc(real: np.ndarray, made: np.ndarray, k: int) -> list[float]:
    """Straight from the definitions, with whole tables and loops."""
    within = [np.sort(cdist(rows, rows), 1)[:, k] for rows in (real, made)]
    table = cdist(real, made)
    pairs = [(i, j) for i in range(len(real)) for j in range(len(made))]
    in_real = {(i, j) for i, j in pairs if table[i, j] <= within[0][i]}
    in_made = {(i, j) for i, j in pairs if table[i, j] <= within[1][j]}
    return [
        len({j for _, j in in_real}) / len(made),
        len({i for i, _ in in_made}) / len(real),
        len(in_real) / (k * len(made)),
        len({i for i, _ in in_real}) / len(real),
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_frechet_equals_scipys_square_root(seed: int) -> None:
    first, second = cloud(seed, 60 + seed, 12), cloud(seed + 500, 90, 12)
    assert frechet(first, second) == pytest.approx(scipy_frechet(first, second), rel=1e-5)


@pytest.mark.parametrize("seed", SEEDS)
def test_kernel_distance_equals_scikit_learns_kernel(seed: int) -> None:
    first, second = two(seed)
    own = polynomial_kernel(first, first, degree=3), polynomial_kernel(second, second, degree=3)
    cross = polynomial_kernel(first, second, degree=3)
    means = [(k.sum() - np.trace(k)) / (len(k) * (len(k) - 1)) for k in own]
    expected = sum(means) - 2 * cross.mean()
    scale = max(means)
    assert kernel_distance(first, second).value == pytest.approx(expected, 1e-5, 1e-9 * scale)


@pytest.mark.parametrize("seed", SEEDS)
def test_prdc_equals_its_definition(seed: int) -> None:
    first, second = two(seed)
    first, second = first[:90], second[:70]
    assert prdc(first, second, 3) == pytest.approx(naive_prdc(first, second, 3), rel=1e-12)


@pytest.mark.parametrize("seed", SEEDS)
def test_distances_to_neighbours_equal_scikit_learns(seed: int) -> None:
    first, second = two(seed)
    found, _ = NearestNeighbors(n_neighbors=6).fit(first).kneighbors(first)
    assert radii(first, 5) == pytest.approx(found[:, 5], rel=1e-7)
    assert nearest_within(first) == pytest.approx(found[:, 1], rel=1e-6, abs=1e-6)
    assert nearest(first, second) == pytest.approx(cdist(first, second).min(1), rel=1e-6)


@pytest.mark.parametrize("seed", SEEDS)
def test_vendi_and_pairwise_distance_equal_their_definitions(seed: int) -> None:
    rows = cloud(seed)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    values = linalg.eigvalsh(unit @ unit.T / len(unit))
    assert vendi(rows) == pytest.approx(np.exp(stats.entropy(values[values > 0])), rel=1e-5)
    assert mean_pairwise_distance(rows).value == pytest.approx(pdist(rows).mean(), rel=1e-9)


def test_frechet_of_gaussians_in_closed_form() -> None:
    """Diagonal covariances: sum (m1 - m2)^2 + (s1 - s2)^2, which the samples here have exactly."""
    corners = np.array([[x, y, z] for x in (-1, 1) for y in (-1, 1) for z in (-1, 1)], float)
    exact = corners / np.sqrt(8 / 7)  # unbiased variance 1, no correlation
    moved = exact * [2, 0.5, 1] + [1, 0, -2]
    assert frechet(exact, moved) == pytest.approx(5 + 1 + 0.25, rel=1e-12)


def test_frechet_of_fewer_points_than_dimensions() -> None:
    """In the span of all points nothing is lost, so the distance there is the same."""
    first, second = cloud(1, 15, 200), cloud(2, 12, 200)
    basis = np.linalg.qr(np.concatenate([first, second]).T)[0]
    small = frechet(first @ basis, second @ basis)
    assert frechet(first, second) == pytest.approx(small, rel=1e-9)
    assert frechet(first, first) == pytest.approx(0, abs=1e-5)


def test_frechet_far_from_the_origin_keeps_its_digits() -> None:
    first, second = cloud(1, 100, 6), cloud(2, 100, 6)
    assert frechet(first + 1e6, second + 1e6) == pytest.approx(frechet(first, second), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.floats(0.2, 5))
def test_distances_are_symmetric_and_blind_to_rotation(seed: int, scale: float) -> None:
    first, second = (scale * rows for rows in two(seed))
    turn = stats.ortho_group.rvs(first.shape[1], random_state=seed)
    assert frechet(first, second) == pytest.approx(frechet(second, first), rel=1e-6, abs=1e-6)
    turned = frechet(first @ turn, second @ turn)
    assert turned == pytest.approx(frechet(first, second), rel=1e-6, abs=1e-6)
    assert kernel_distance(first, second).value == pytest.approx(
        kernel_distance(second, first).value, rel=1e-6, abs=1e-6
    )
    assert vendi(first @ turn) == pytest.approx(vendi(scale * first), rel=1e-6)


@settings(max_examples=40, deadline=None)
@given(st.integers(0, 10**6), st.integers(1, 6))
def test_precision_and_recall_swap_with_their_arguments(seed: int, k: int) -> None:
    first, second = two(seed)
    one, other = prdc(first, second, k), prdc(second, first, k)
    assert (one.precision, one.recall) == pytest.approx((other.recall, other.precision))
    assert prdc(first, first, k)[:2] == (1, 1)
    assert one.precision >= 0 <= one.coverage <= 1
    assert 1 <= vendi(first) <= min(first.shape) + 1e-9


def test_vendi_of_points_that_share_nothing_and_of_equal_points() -> None:
    assert vendi(np.eye(7)) == pytest.approx(7)
    assert vendi(np.tile([1.0, 2, 3], (9, 1))) == pytest.approx(1)
    assert vendi(np.repeat(np.eye(4), 5, 0)) == pytest.approx(4)


def test_jackknifes_in_closed_form_equal_leaving_points_out() -> None:
    first, second = cloud(3, 14, 5), cloud(4, 11, 5)
    left = [kernel_distance(np.delete(first, i, 0), second).value for i in range(14)]
    right = [kernel_distance(first, np.delete(second, i, 0)).value for i in range(11)]
    variance = delete_one_variance(np.array(left)) + delete_one_variance(np.array(right))
    assert kernel_distance(first, second).error == pytest.approx(variance**0.5, rel=1e-9)
    alone = [pdist(np.delete(first, i, 0)).mean() for i in range(14)]
    error = delete_one_variance(np.array(alone)) ** 0.5
    assert mean_pairwise_distance(first).error == pytest.approx(error, rel=1e-9)


def test_prdc_without_a_fold_equals_prdc_of_the_rest() -> None:
    from mezzotint.metrics.intervals import FOLDS, delete_fold, folds_of

    first, second = cloud(5, 120, 4), cloud(6, 110, 4)
    one, other = folds_of(120, 0), folds_of(110, 1)
    rest = [prdc(first[one != f], second[other != f]) for f in range(FOLDS)]
    for at, found in enumerate(prdc_estimate(first, second)):
        whole = prdc(first, second)[at]
        expected = delete_fold(whole, np.array([shares[at] for shares in rest]))
        assert (found.value, found.error) == pytest.approx((whole, expected.error), rel=1e-9)


def test_frechets_influences_are_its_derivatives() -> None:
    """Against the jackknife, which they approximate, where there are many points."""
    first, second = cloud(7, 400, 3), 1.5 * cloud(8, 400, 3)
    left = [frechet(np.delete(first, i, 0), second) for i in range(400)]
    right = [frechet(first, np.delete(second, i, 0)) for i in range(400)]
    variance = delete_one_variance(np.array(left)) + delete_one_variance(np.array(right))
    assert frechet_estimate(first, second).error == pytest.approx(variance**0.5, rel=0.02)


def test_frechets_interval_knows_points_that_fill_a_plane_only() -> None:
    """Turned into more axes than there are points, the number and its error stay."""
    flat = cloud(9, 60, 4), 1.5 * cloud(10, 50, 4)
    turn = np.linalg.qr(np.random.default_rng(0).standard_normal((80, 80)))[0][:4]
    turned = frechet_estimate(flat[0] @ turn, flat[1] @ turn)
    assert turned[:2] == pytest.approx(frechet_estimate(*flat)[:2], rel=1e-9)


def test_the_error_of_paired_frechet_is_that_of_leaving_out_pairs() -> None:
    random = np.random.default_rng(5)
    first = random.normal(size=(300, 4))
    second = 0.7 * first + 0.4 * random.normal(size=(300, 4)) + 0.3
    found = paired_frechet_estimate(first, second)
    assert found.value == pytest.approx(frechet(first, second), rel=1e-9)
    left = [frechet(np.delete(first, at, 0), np.delete(second, at, 0)) for at in range(300)]
    jackknife = (299 / 300 * ((np.array(left) - np.mean(left)) ** 2).sum()) ** 0.5
    assert found.error == pytest.approx(jackknife, rel=0.05)
    assert found.error < 0.8 * frechet_estimate(first, second).error
    assert paired_frechet_estimate(first, first).value == pytest.approx(0, abs=1e-9)
    with pytest.raises(ValueError, match="no pairs"):
        paired_frechet_estimate(first, second[:-1])


@pytest.mark.parametrize(("shift", "scale"), [(0.0, 1.0), (0.4, 0.8)])
def test_intervals_cover_the_truth_at_their_rate(shift: float, scale: float) -> None:
    """200 draws; 95% promised, 90% is four standard errors below; the truth is the mean."""
    random, found = np.random.default_rng(0), []
    for _ in range(200):
        first = random.standard_normal((150, 6))
        second = scale * random.standard_normal((150, 6)) + shift
        row = [frechet_estimate(first, second), kernel_distance(first, second)]
        row += [*prdc_estimate(first, second), vendi_estimate(second)]
        found.append([*row, mean_pairwise_distance(second)])
    table = np.array(found)
    truth = table[:, :, 0].mean(0)
    covered = ((table[:, :, 2] <= truth) & (truth <= table[:, :, 3])).mean(0)
    assert covered.min() >= 0.90, covered
    widths = table[:, :, 1].mean(0) / table[:, :, 0].std(0)
    assert (widths < 2.5).all(), widths


def test_wilsons_interval_covers_proportions() -> None:
    random = np.random.default_rng(1)
    for share in (0.01, 0.3, 0.97):
        hits = random.binomial(200, share, 2000) / 200
        inside = [low <= share <= high for low, high in (wilson(hit, 200) for hit in hits)]
        assert np.mean(inside) > 0.92
    assert wilson(0.0, 10)[0] == 0
    assert wilson(1.0, 10)[1] == pytest.approx(1)


def test_the_bootstrap_of_a_mean() -> None:
    values = np.random.default_rng(0).standard_normal(400)
    low, high = bootstrap_mean(values)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 20, rel=0.1)
    assert bootstrap_mean(values[:1]) == (values[0], values[0])


def test_halves_of_one_set_are_not_told_apart() -> None:
    """In 40 splits the interval of the kernel distance holds 0 in 95% of cases or nearly."""
    rows, held = cloud(9, 400, 10), 0
    for seed in range(40):
        order = np.random.default_rng(seed).permutation(400)
        found = kernel_distance(rows[order[:200]], rows[order[200:]])
        held += found.low <= 0 <= found.high
    assert held >= 36


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Training, held-out and sampled points of one law with four lumps."""
    random = np.random.default_rng(0)
    centres = 4 * np.eye(4, 10)

    def draw(count: int) -> np.ndarray:
        return centres[random.integers(0, 4, count)] + random.standard_normal((count, 10))

    return draw(600), draw(300), draw(300)


def test_a_good_model_scores_like_real_images(world: tuple[np.ndarray, ...]) -> None:
    train, held_out, made = world
    found = diversity(made, train, held_out)
    assert found.recall > 0.8
    assert found.coverage > 0.9
    assert found.vendi_ratio == pytest.approx(1, abs=0.05)
    assert found.pairwise_ratio == pytest.approx(1, abs=0.05)
    assert found.memorisation == pytest.approx(1, abs=0.05)
    assert found.duplicates < 0.05 > found.copied
    assert (found.classes_seen, found.n) == (None, 300)


def test_every_fault_moves_its_number(world: tuple[np.ndarray, ...]) -> None:
    train, held_out, made = world
    random, good = np.random.default_rng(1), diversity(made, train, held_out)
    noisy = made + random.standard_normal(made.shape)
    assert frechet(noisy, held_out) > 2 * frechet(made, held_out)
    assert kernel_distance(noisy, held_out).value > kernel_distance(made, held_out).high
    assert prdc(held_out, noisy).precision < 0.7 * prdc(held_out, made).precision
    dropped = made[made[:, 0] < 2]
    found = diversity(dropped, train, held_out)
    assert found.coverage < 0.85 > found.recall
    assert found.vendi_ratio < good.vendi_ratio
    repeated = diversity(made[np.arange(300) // 3], train, held_out)
    assert repeated.duplicates == 1
    assert repeated.coverage < good.coverage
    shrunk = diversity(0.5 * made + 0.5 * made.mean(0), train, held_out)
    assert shrunk.pairwise_ratio == pytest.approx(0.5, abs=0.05)
    copies = made.copy()
    copies[:30] = train[:30] + 1e-3
    found = diversity(copies, train, held_out)
    assert found.copied == pytest.approx(0.1, abs=0.02)
    assert found.memorisation < good.memorisation


def test_memorisation_names_the_suspects(world: tuple[np.ndarray, ...]) -> None:
    train, held_out, made = world
    made = made.copy()
    made[[3, 77, 150]] = train[[5, 6, 7]]
    found = memorisation(made, train, held_out)
    assert set(found.suspects[:3]) == {3, 77, 150}
    assert found.copied.value >= 0.01
    assert found.ratio.low < found.ratio.value < found.ratio.high
    copies = memorisation(train[:100], train, held_out)
    assert copies.ratio.value == pytest.approx(0, abs=1e-6)
    assert copies.copied.value == 1
    with pytest.raises(ValueError, match="ratio to zero"):
        memorisation(made, np.zeros((9, 10)), np.zeros((5, 10)))


def test_the_memorisation_interval_covers_one() -> None:
    random, covered = np.random.default_rng(2), 0
    for _ in range(100):
        train, held_out, made = (random.standard_normal((n, 5)) for n in (300, 100, 100))
        found = memorisation(made, train, held_out).ratio
        covered += found.low <= 1 <= found.high
    assert covered >= 88


def test_real_images_have_one_percent_of_duplicates() -> None:
    rows = np.random.default_rng(0).standard_normal((2000, 4))
    found = duplicates(rows[:1000], rows[1000:])
    assert found.low < 0.01 < found.high
    assert duplicates(rows[1000:], rows[1000:]).value == pytest.approx(0.01, abs=0.002)


def test_classes_seen_forgives_no_lost_class_and_counts_no_slip() -> None:
    real = np.repeat(np.arange(10), 100)
    assert classes_seen(real, real) == 1
    assert classes_seen(np.zeros(500, int), real) == 0.1
    slip = np.concatenate([np.repeat(np.arange(9), 50), [9]])
    assert classes_seen(slip, real) == 0.9
    assert classes_seen(np.array([0, 1]), np.array([0, 1, -1, -1])) == 1


def test_diversity_is_cheap() -> None:
    random = np.random.default_rng(0)
    rows = [random.standard_normal((n, 1280)) for n in (512, 2000, 1000)]
    labels = random.integers(0, 10, 512), random.integers(0, 10, 2000)
    diversity(rows[0][:32], rows[1][:64], rows[2][:32])
    started = time.process_time()
    found = diversity(*rows, *labels)
    assert time.process_time() - started < 8  # 0.5 s on one quiet core, of which this is no test
    assert found.classes_seen == 1


WRONG = [np.zeros(3), np.zeros((0, 3)), np.zeros((4, 0)), np.full((9, 2), np.nan)]


@pytest.mark.parametrize("rows", WRONG, ids=str)
def test_what_is_no_set_of_vectors_is_refused(rows: np.ndarray) -> None:
    with pytest.raises(ValueError, match=r"vectors|finite"):
        points(rows)


def test_too_few_or_unlike_vectors_are_refused() -> None:
    rows = cloud(0, 9, 3)
    for call in (frechet, kernel_distance, prdc, nearest):
        with pytest.raises(ValueError, match="vectors of 3 and of 2"):
            call(rows, rows[:, :2])
    with pytest.raises(ValueError, match="at least 6"):
        prdc(rows[:5], rows, 5)
    with pytest.raises(ValueError, match="zero"):
        vendi(np.zeros((4, 2)))


def test_an_estimate_reads_in_order() -> None:
    found: Estimate = kernel_distance(cloud(1, 30, 3), cloud(2, 30, 3) + 1)
    assert found.low < found.value < found.high
    assert (found.high - found.low) / 2 == pytest.approx(1.959964 * found.error)
