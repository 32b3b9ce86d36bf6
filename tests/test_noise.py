"""Forward processes and predictions against diffusers, published formulas and Monte Carlo."""

import math
from itertools import pairwise

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from mezzotint.noise import (
    BETAS,
    CLEAN_LEVEL,
    SPACINGS,
    Exploding,
    Flow,
    Table,
    alphas_cumprod,
    cosine_betas,
    linear_betas,
    noise_of,
    q_sample,
    rescale_zero_terminal_snr,
)
from mezzotint.predictions import PREDICTIONS, min_snr_weight

DRAWS = 20_000


def uniform(count=DRAWS, seed=0):
    return torch.rand(count, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def normal(*shape, seed=0):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def number(value):
    return torch.tensor(value, dtype=torch.float64)


class TestSchedules:
    @pytest.mark.parametrize(
        ("ours", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")]
    )
    def test_betas_match_diffusers(self, ours, theirs):
        scheduler = diffusers.DDPMScheduler(beta_schedule=theirs)
        betas = BETAS[ours](1000)
        np.testing.assert_allclose(betas, scheduler.betas, rtol=0, atol=1e-6)
        np.testing.assert_allclose(
            alphas_cumprod(betas), scheduler.alphas_cumprod, rtol=0, atol=1e-6
        )

    @pytest.mark.parametrize(
        ("ours", "theirs"), [("linear", "linear"), ("cosine", "squaredcos_cap_v2")]
    )
    def test_zero_terminal_snr_matches_diffusers(self, ours, theirs):
        scheduler = diffusers.DDPMScheduler(beta_schedule=theirs, rescale_betas_zero_snr=True)
        before = alphas_cumprod(BETAS[ours](1000))
        after = rescale_zero_terminal_snr(before)
        np.testing.assert_allclose(after, scheduler.alphas_cumprod, rtol=0, atol=1e-6)
        assert after[-1] == 0
        assert after[0] == pytest.approx(before[0])
        assert (np.diff(after) < 0).all()

    @pytest.mark.parametrize("steps", [100, 250, 4000])
    def test_linear_ends_at_the_same_signal_for_any_length(self, steps):
        """The trap of diffusers' PR 12341: betas tuned to T = 1000 break other T."""
        last = alphas_cumprod(linear_betas(steps))[-1]
        assert math.log(last) == pytest.approx(
            math.log(alphas_cumprod(linear_betas())[-1]), rel=0.1
        )

    @pytest.mark.parametrize("steps", [50, 100, 250, 4000])
    def test_cosine_is_one_curve_for_any_length(self, steps):
        """Away from the capped end, alphas_cumprod depends on t / T alone (2102.09672, eq. 17)."""
        kept = alphas_cumprod(cosine_betas(steps))
        share = np.arange(1, steps + 1) / steps
        curve = np.cos((share + 0.008) / 1.008 * np.pi / 2) ** 2
        curve = curve / np.cos(0.008 / 1.008 * np.pi / 2) ** 2
        np.testing.assert_allclose(kept[:-1], curve[:-1], rtol=1e-9)

    @pytest.mark.parametrize("schedule", BETAS)
    @pytest.mark.parametrize("steps", [10, 20, 50, 1000])
    def test_betas_are_variances(self, schedule, steps):
        betas = BETAS[schedule](steps)
        assert len(betas) == steps
        assert betas.dtype == np.float64
        assert ((betas > 0) & (betas <= 0.999)).all()


class TestSpacings:
    @pytest.mark.parametrize("steps", [10, 20, 50, 53, 1000])
    @pytest.mark.parametrize("spacing", SPACINGS)
    def test_indices_match_diffusers(self, spacing, steps):
        scheduler = diffusers.DDPMScheduler(timestep_spacing=spacing)
        scheduler.set_timesteps(steps)
        assert list(SPACINGS[spacing](1000, steps)) == scheduler.timesteps.tolist()

    @given(st.integers(2, 300), st.data(), st.sampled_from(sorted(SPACINGS)))
    def test_every_count_is_exact(self, total, data, spacing):
        """MONAI issue 162: 53 steps gave 56."""
        steps = data.draw(st.integers(1, total))
        indices = list(SPACINGS[spacing](total, steps))
        assert len(indices) == steps
        assert all(0 <= index < total for index in indices)
        assert all(one > other for one, other in pairwise(indices))

    def test_table_levels_are_its_indices(self):
        process = Table(alphas_cumprod(linear_betas()))
        levels = process.levels(10, "trailing")
        assert [level.time for level in levels[:-1]] == [999 - 100 * i for i in range(10)]
        assert levels[-1] == CLEAN_LEVEL
        for level in levels:
            assert level.alpha**2 + level.sigma**2 == pytest.approx(1)


signal = st.floats(0.02, 1.0)
spread = st.floats(0.02, 20.0)


class TestPredictions:
    @pytest.mark.parametrize("name", PREDICTIONS)
    @given(signal, spread, st.floats(0.1, 2))
    def test_conversions_invert(self, name, alpha, sigma, data_std):
        clean, noise = normal(4, 5), normal(4, 5, seed=1)
        alpha, sigma = number(alpha), number(sigma)
        noisy = q_sample(clean, noise, alpha, sigma)
        prediction = PREDICTIONS[name]
        output = prediction.target(clean, noise, alpha, sigma, data_std)
        found = prediction.clean(noisy, output, alpha, sigma, data_std)
        torch.testing.assert_close(found, clean, rtol=1e-6, atol=1e-6)
        torch.testing.assert_close(
            noise_of(noisy, clean, alpha, sigma), noise, rtol=1e-6, atol=1e-6
        )

    @pytest.mark.parametrize("name", PREDICTIONS)
    @given(signal, spread, st.floats(0.1, 2))
    def test_gain_turns_the_error_into_that_of_the_clean_image(self, name, alpha, sigma, std):
        """Squared gain times squared error of the output is the squared error of x_0."""
        alpha, sigma = number(alpha), number(sigma)
        noisy, one, other = normal(9), normal(9, seed=1), normal(9, seed=2)
        prediction = PREDICTIONS[name]
        first, second = (
            prediction.clean(noisy, output, alpha, sigma, std) for output in (one, other)
        )
        gain = prediction.gain(alpha, sigma, std)
        torch.testing.assert_close((one - other).abs() * gain, (first - second).abs())

    def test_v_matches_diffusers(self):
        scheduler = diffusers.DDPMScheduler()
        clean, noise = normal(3, 1, 2, 2), normal(3, 1, 2, 2, seed=1)
        index = torch.tensor([0, 400, 999])
        levels = Table(scheduler.alphas_cumprod.double().numpy())
        for row, at in enumerate(index):
            level = levels.level(int(at))
            alpha, sigma = number(level.alpha), number(level.sigma)
            found = PREDICTIONS["v"].target(clean[row], noise[row], alpha, sigma, 1.0)
            expected = scheduler.get_velocity(clean, noise, index)[row]
            torch.testing.assert_close(found, expected, rtol=1e-6, atol=1e-6)

    @pytest.mark.parametrize("alpha", [0.0, 0.3, 1.0])
    @pytest.mark.parametrize("sigma", [0.05, 1.0, 30.0])
    @pytest.mark.parametrize("data_std", [0.25, 0.5, 2.0])
    def test_edm_scalings_give_unit_variance(self, data_std, sigma, alpha):
        """Of the network's input and of its target (2206.00364, section 5)."""
        clean, noise = data_std * normal(DRAWS), normal(DRAWS, seed=1)
        alpha, sigma = number(alpha), number(sigma)
        edm, within = PREDICTIONS["edm"], 4 * math.sqrt(2 / DRAWS)
        fed = q_sample(clean, noise, alpha, sigma) * edm.input_scale(alpha, sigma, data_std)
        assert float(fed.var()) == pytest.approx(1, abs=within)
        target = edm.target(clean, noise, alpha, sigma, data_std)
        assert float(target.var()) == pytest.approx(1, abs=within)

    def test_edm_scalings_match_the_table(self):
        """2206.00364, table 1, where alpha is 1."""
        noisy, output, sigma, std = normal(6), normal(6, seed=1), 1.7, 0.5
        total = sigma**2 + std**2
        expected = std**2 / total * noisy + sigma * std / math.sqrt(total) * output
        found = PREDICTIONS["edm"].clean(noisy, output, number(1.0), number(sigma), std)
        torch.testing.assert_close(found, expected)
        scale = PREDICTIONS["edm"].input_scale(number(1.0), number(sigma), std)
        assert float(scale) == pytest.approx(1 / math.sqrt(total))


class TestMinSnr:
    """2303.09556, with gamma 5."""

    @given(st.floats(1e-4, 0.9999))
    def test_matches_the_published_weights(self, kept):
        alpha, sigma = number(kept).sqrt(), number(1 - kept).sqrt()
        snr = kept / (1 - kept)
        expected = {
            "eps": min(snr, 5) / snr,
            "clean": min(snr, 5),
            "v": min(snr, 5) / (snr + 1),
        }
        for name, weight in expected.items():
            assert float(min_snr_weight(alpha, sigma, name)) == pytest.approx(weight)

    @pytest.mark.parametrize("name", PREDICTIONS)
    def test_bug_9_no_nan_where_the_signal_is_zero(self, name):
        """Diffusers divides by the SNR: 0 / 0 at a zero terminal SNR."""
        kept = torch.from_numpy(rescale_zero_terminal_snr(alphas_cumprod(linear_betas())))
        alpha, sigma = kept.sqrt(), (1 - kept).sqrt()
        weight = min_snr_weight(alpha, sigma, name)
        assert alpha[-1] == 0
        assert torch.isfinite(weight).all()
        assert (weight >= 0).all()
        assert float(weight[-1]) == (1 if name == "eps" else 0)


class TestDraws:
    """Levels of training as functions of uniform numbers."""

    @pytest.mark.parametrize(("mean", "std"), [(0.0, 1.0), (-0.5, 1.4)])
    def test_flow_times_are_logit_normal(self, mean, std):
        levels = Flow(mean, std).draw(uniform())
        time = levels.sigma.flatten().double()
        shares = np.array([0.1, 0.5, 0.9])
        expected = 1 / (1 + np.exp(-(mean + std * stats.norm.ppf(shares))))
        np.testing.assert_allclose(np.quantile(time, shares), expected, atol=0.01)
        torch.testing.assert_close(levels.alpha.flatten().double(), 1 - time, atol=1e-6, rtol=0)
        torch.testing.assert_close(levels.time.double(), 1000 * time, atol=1e-3, rtol=0)

    def test_flow_times_are_uniform_without_spread(self):
        found = Flow(std=0).draw(uniform()).sigma.flatten()
        assert stats.kstest(found.double(), "uniform").pvalue > 1e-3

    def test_exploding_sigmas_are_log_normal(self):
        levels = Exploding(mean=-1.2, std=1.2).draw(uniform())
        logs = levels.sigma.flatten().double().log()
        assert stats.kstest(logs, stats.norm(-1.2, 1.2).cdf).pvalue > 1e-3
        assert (levels.alpha == 1).all()
        torch.testing.assert_close(levels.time.double(), 250 * logs, atol=1e-3, rtol=0)

    def test_table_indices_are_uniform_and_reach_both_ends(self):
        kept = alphas_cumprod(linear_betas(10))
        levels = Table(kept).draw(uniform())
        counts = np.bincount(levels.time.long(), minlength=10)
        assert stats.chisquare(counts).pvalue > 1e-3
        ends = Table(kept).draw(torch.tensor([0.0, 1 - 1e-9], dtype=torch.float64))
        assert ends.time.tolist() == [0, 9]
        np.testing.assert_allclose(ends.alpha.flatten() ** 2, kept[[0, 9]], rtol=1e-6)

    @pytest.mark.parametrize(
        "process", [Table(alphas_cumprod(cosine_betas())), Flow(), Flow(std=0), Exploding()]
    )
    def test_extreme_draws_are_finite_and_shaped_for_images(self, process):
        levels = process.draw(torch.tensor([0.0, 0.5, 1 - 2**-24]))
        assert levels.alpha.shape == levels.sigma.shape == (3, 1, 1, 1)
        assert levels.time.shape == (3,)
        assert all(torch.isfinite(each).all() for each in levels)
        assert (levels.sigma > 0).all()
        assert {each.dtype for each in levels} == {torch.float32}

    @pytest.mark.parametrize("alpha", [0.0, 0.6, 1.0])
    def test_noisy_images_have_the_moments_of_the_forward_process(self, alpha):
        clean, noise = 0.3 + 0.5 * normal(DRAWS), normal(DRAWS, seed=1)
        noisy = q_sample(clean, noise, number(alpha), number(0.8))
        deviation = math.sqrt((alpha * 0.5) ** 2 + 0.8**2)
        assert float(noisy.mean()) == pytest.approx(
            alpha * 0.3, abs=4 * deviation / math.sqrt(DRAWS)
        )
        assert float(noisy.var()) == pytest.approx(deviation**2, rel=4 * math.sqrt(2 / DRAWS))


class TestSamplingLevels:
    @pytest.mark.parametrize("shift", [1.0, 3.0])
    def test_flow_levels_match_diffusers(self, shift):
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(sigmas=np.linspace(1, 0, 21)[:-1].tolist())
        levels = Flow(shift=shift).levels(20)
        np.testing.assert_allclose([level.sigma for level in levels], scheduler.sigmas, atol=1e-6)
        np.testing.assert_allclose(
            [level.time for level in levels[:-1]], scheduler.timesteps, atol=1e-3
        )

    @pytest.mark.parametrize("steps", [2, 18, 50])
    def test_exploding_levels_match_diffusers(self, steps):
        scheduler = diffusers.EDMEulerScheduler(sigma_min=0.002, sigma_max=80.0)
        scheduler.set_timesteps(steps)
        levels = Exploding().levels(steps)
        found = [level.sigma for level in levels]
        np.testing.assert_allclose(found, scheduler.sigmas, rtol=1e-5)
        np.testing.assert_allclose(
            [level.time / 1000 for level in levels[:-1]], scheduler.timesteps, rtol=1e-4, atol=1e-6
        )

    @pytest.mark.parametrize(
        "process", [Table(alphas_cumprod(linear_betas())), Flow(shift=2.0), Exploding()]
    )
    @pytest.mark.parametrize("steps", [1, 2, 10, 53])
    def test_levels_fall_to_the_clean_one(self, process, steps):
        levels = process.levels(steps)
        assert len(levels) == steps + 1
        assert levels[-1] == CLEAN_LEVEL
        ratios = [level.sigma / max(level.alpha, 1e-9) for level in levels]
        assert all(one > other for one, other in pairwise(ratios))
