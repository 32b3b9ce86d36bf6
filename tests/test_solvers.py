"""Solvers against closed forms, diffusers' schedulers and the bugs other tools have had."""

import math
from itertools import pairwise

import diffusers
import pytest
import torch
from diffusers.guiders.guider_utils import rescale_noise_cfg
from diffusers.schedulers import scheduling_ddpm
from hypothesis import given
from hypothesis import strategies as st
from solver_kit import (
    PROCESSES,
    Gaussian,
    TwoPoints,
    draws,
    ideal,
    seeded,
    smooth_levels,
    start,
    table,
)

from mezzotint.guidance import clip_static, guide, rescale_guidance, threshold_dynamic
from mezzotint.noise import CLEAN_LEVEL, Exploding, Flow, Level, Table, rescale_zero_terminal_snr
from mezzotint.solvers import (
    SOLVERS,
    ddim,
    learned_variance,
    posterior_mean,
    posterior_variance,
    transition_variance,
)
from mezzotint.stepping import Denoised, solve

pytestmark = pytest.mark.filterwarnings(
    "ignore:__array__ implementation doesn't accept a copy keyword:DeprecationWarning"
)
SHAPE = (2, 3, 4, 4)
MANY = 4000
STOCHASTIC = ("ddpm", "ddpm-large")
OTHERS = (*STOCHASTIC, "consistency")  # the last is for predictions that are samples
DETERMINISTIC = tuple(name for name in SOLVERS if name not in OTHERS)
ORDERS = {"ddim": 1, "euler": 1, "heun": 2, "dpmpp-2m": 2, "ipndm": 2, "unipc": 3, "unipc-3": 3}
ENDS_AT_ZERO_SNR = {
    "flow": Flow().levels(20),
    "shifted flow": Flow(shift=3.0).levels(20),
    "zero-SNR table": Table(rescale_zero_terminal_snr(table().cumprod)).levels(20, "trailing"),
}


def run(name, data, levels, x):
    return solve(SOLVERS[name](ideal(data), x, levels, draws(x.shape)))


class TestClosedForms:
    def error(self, name, levels):
        """Distance from the probability flow just before the last step, which is first order."""
        data = Gaussian()
        x = start(data, levels[0], (64, 1, 1, 1))
        *_, state, _ = SOLVERS[name](ideal(data), x, levels, draws(x.shape))
        return float((state.noisy - data.carry(x, levels[0], levels[-2])).abs().max())

    @pytest.mark.parametrize("name", DETERMINISTIC)
    @pytest.mark.parametrize("kind", ["preserving", "exploding", "flow"])
    def test_order_of_convergence(self, kind, name):
        """UniPC-p converges with order p + 1, but its first step limits it to 3."""
        coarse, fine = (self.error(name, smooth_levels(kind, steps)) for steps in (60, 120))
        assert math.log2(coarse / fine) > ORDERS[name] - 0.3
        assert fine < {1: 3e-2, 2: 1e-3, 3: 2e-4}[ORDERS[name]]

    @pytest.mark.parametrize("name", DETERMINISTIC)
    def test_order_where_the_first_alpha_is_zero(self, name):
        coarse, fine = (self.error(name, Flow().levels(steps)) for steps in (60, 120))
        assert math.log2(coarse / fine) > min(2, ORDERS[name]) - 0.3

    @pytest.mark.parametrize("name", DETERMINISTIC)
    @pytest.mark.parametrize("process", PROCESSES)
    def test_deterministic_solvers_follow_the_flow(self, process, name):
        data, levels = Gaussian(), PROCESSES[process].levels(250, "trailing")
        x = start(data, levels[0], (200, 1, 1, 1))
        exact = data.carry(x, levels[0], CLEAN_LEVEL)
        tolerance = 2e-2 if ORDERS[name] == 1 else 2e-3
        torch.testing.assert_close(run(name, data, levels, x), exact, rtol=0, atol=tolerance)

    @pytest.mark.parametrize("name", DETERMINISTIC)
    @pytest.mark.parametrize("process", PROCESSES)
    def test_deterministic_solvers_split_the_mixture_at_its_quantile(self, process, name):
        data, levels = TwoPoints(), PROCESSES[process].levels(100, "trailing")
        x = start(data, levels[0], (MANY, 1, 1, 1))
        found, exact = run(name, data, levels, x), data.carry(x, levels[0], CLEAN_LEVEL)
        wrong = (found - exact).abs() > 1e-3
        assert wrong.double().mean() < 0.01

    @pytest.mark.parametrize("name", STOCHASTIC)
    @pytest.mark.parametrize("process", PROCESSES)
    def test_ancestral_moments_of_the_gaussian(self, process, name):
        data, levels = Gaussian(), PROCESSES[process].levels(1000)
        found = run(name, data, levels, start(data, levels[0], (MANY, 1, 1, 1)))
        assert_moments(found, data)

    @pytest.mark.parametrize("name", STOCHASTIC)
    @pytest.mark.parametrize("process", PROCESSES)
    def test_ancestral_shares_of_the_mixture(self, process, name):
        data, levels = TwoPoints(), PROCESSES[process].levels(500, "trailing")
        found = run(name, data, levels, start(data, levels[0], (MANY, 1, 1, 1)))
        deviation = math.sqrt(data.share * (1 - data.share) / MANY)
        assert abs(float((found > 0).double().mean()) - data.share) < 4 * deviation
        assert ((found.abs() - 1).abs() < 1e-2).double().mean() > 0.99

    @pytest.mark.parametrize("steps", [5, 20])
    def test_learned_variance_makes_few_steps_exact(self, steps):
        """Bug 3: the true reverse variance lies between the two bounds of the *strided* step."""
        data, levels = Gaussian(), table().levels(steps)
        following = dict(pairwise(levels))

        def denoise(x, level):
            new = following[level]
            fraction = data.fraction(level, new) if new.sigma > 0 else 0.0
            return Denoised(data.clean(x, level), torch.full_like(x, fraction))

        x = start(data, levels[0], (MANY, 1, 1, 1))
        assert_moments(solve(SOLVERS["ddpm"](denoise, x, levels, draws(x.shape))), data)

    @pytest.mark.parametrize("steps", [5, 20])
    def test_large_variance_is_exact_for_unit_gaussians(self, steps):
        """beta' is the reverse variance of x_0 ~ N(0, I) (2006.11239, section 3.2)."""
        data, levels = Gaussian(0.0, 1.0), table().levels(steps)
        assert_moments(
            run("ddpm-large", data, levels, start(data, levels[0], (MANY, 1, 1, 1))), data
        )

    def test_small_variance_is_exact_for_a_single_image(self):
        data, levels = Gaussian(0.4, 0.0), table().levels(7)
        found = run("ddpm", data, levels, start(data, levels[0], (50, 1, 1, 1)))
        torch.testing.assert_close(found, torch.full_like(found, 0.4))


def assert_moments(found, data):
    """Mean and variance within four standard errors, and a little for finite steps."""
    mean, variance = float(found.mean()), float(found.var())
    assert abs(mean - data.mean) < 4 * data.std / math.sqrt(MANY) + 2e-3
    assert abs(variance / data.std**2 - 1) < 4 * math.sqrt(2 / MANY) + 1e-2


@given(st.floats(0.01, 0.95), st.floats(0.02, 1), st.floats(0, 1), st.floats(0.05, 3))
def test_posterior_is_bayes_rule(alpha, keep, zero, sigma):
    """Product of the normals of x_s given x_0 and of x_t given x_s, for any path."""
    step = keep if zero > 0.1 else 0.0
    new = Level(alpha, sigma, 0.0)
    old = Level(step * alpha, math.hypot(step * sigma, 0.7), 1.0)
    precision = 1 / sigma**2 + step**2 / 0.7**2
    clean, noisy = torch.tensor(0.4).double(), torch.tensor(-1.3).double()
    mean = (alpha * clean / sigma**2 + step * noisy / 0.7**2) / precision
    torch.testing.assert_close(posterior_mean(clean, noisy, old, new), mean)
    assert posterior_variance(old, new) == pytest.approx(1 / precision)
    assert transition_variance(old, new) == pytest.approx(0.7**2)


class Wavy:
    """A smooth prediction that is no ideal denoiser, so that every coefficient matters."""

    @staticmethod
    def clean(x, level):
        return 0.8 * torch.tanh(1.7 * level.alpha * x) + 0.1 * torch.sin(3 * x + level.sigma)


WAVY = ideal(Wavy)


def learning(x, level):
    return Denoised(Wavy.clean(x, level), torch.sigmoid(2 * x))


def exact_scheduler(kind, levels, **options):
    """A scheduler of diffusers that visits our levels with float64 coefficients.

    Its own float32 products of alphas are off by 1e-5 already; schedules have tests of their own.
    """
    scheduler = kind(**options)
    steps = len(levels) - 1
    scheduler.set_timesteps(steps)
    scheduler.alphas_cumprod = torch.from_numpy(table().cumprod)
    scheduler.one = scheduler.final_alpha_cumprod = torch.tensor(1.0, dtype=torch.float64)
    if hasattr(scheduler, "sigmas"):
        ratios = [level.sigma / level.alpha for level in levels]
        scheduler.sigmas = torch.tensor(ratios, dtype=torch.float64)
    assert [int(t) for t in scheduler.timesteps] == [int(level.time) for level in levels[:-1]]
    return scheduler


def eps_of(x, level):
    return (x - level.alpha * Wavy.clean(x, level)) / level.sigma


def trace(scheduler, x, levels, output, **arguments):
    """The states of a scheduler of diffusers that is fed outputs at our levels."""
    states = []
    for time, level in zip(scheduler.timesteps, levels):
        x = scheduler.step(output(x, level), time, x, **arguments).prev_sample
        states.append(x)
    return states


def ours(solver, x, levels, denoise=WAVY):
    return [step.noisy for step in solver(denoise, x, levels, draws(x.shape))]


def assert_traces(found, expected, tolerance=1e-5):
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        torch.testing.assert_close(one, other.double(), rtol=tolerance, atol=tolerance)


@pytest.fixture
def same_noise(monkeypatch):
    """Diffusers' random numbers become those of our solvers."""
    counter = iter(range(10**6))
    monkeypatch.setattr(
        scheduling_ddpm, "randn_tensor", lambda shape, **_: draws(shape)(next(counter))
    )


@pytest.mark.parametrize("steps", [10, 20, 50, 1000])
class TestDiffusers:
    @pytest.mark.parametrize("name", STOCHASTIC)
    def test_ddpm(self, name, steps, same_noise):
        levels = table().levels(steps)
        scheduler = exact_scheduler(
            diffusers.DDPMScheduler,
            levels,
            variance_type={"ddpm": "fixed_small", "ddpm-large": "fixed_large"}[name],
            timestep_spacing="leading",
            clip_sample=False,
        )
        expected = trace(scheduler, seeded(*SHAPE), levels, eps_of)
        assert_traces(ours(SOLVERS[name], seeded(*SHAPE), levels), expected, 1e-9)

    def test_ddpm_learned_range(self, steps, same_noise):
        levels = table().levels(steps)
        scheduler = exact_scheduler(
            diffusers.DDPMScheduler,
            levels,
            variance_type="learned_range",
            timestep_spacing="leading",
            clip_sample=False,
        )

        def output(x, level):
            return torch.cat([eps_of(x, level), 2 * torch.sigmoid(2 * x) - 1], 1)

        expected = trace(scheduler, seeded(*SHAPE), levels, output)
        assert_traces(ours(SOLVERS["ddpm"], seeded(*SHAPE), levels, learning), expected, 1e-9)

    @pytest.mark.parametrize("eta", [0.0, 0.4, 1.0])
    def test_ddim(self, eta, steps):
        levels, noise = table().levels(steps), draws(SHAPE)
        scheduler = exact_scheduler(diffusers.DDIMScheduler, levels, clip_sample=False)
        x, expected = seeded(*SHAPE), []
        for step, (time, level) in enumerate(zip(scheduler.timesteps, levels)):
            extra = {"eta": eta, "variance_noise": noise(step)}
            x = scheduler.step(eps_of(x, level), time, x, **extra).prev_sample
            expected.append(x)
        found = ours(lambda *a: ddim(*a, eta=eta), seeded(*SHAPE), levels)
        assert_traces(found, expected, 1e-9)

    def test_ddim_clips_the_noise_with_the_image(self, steps):
        levels = table().levels(steps)
        scheduler = exact_scheduler(diffusers.DDIMScheduler, levels, clip_sample_range=0.3)
        expected = trace(
            scheduler, seeded(*SHAPE), levels, eps_of, use_clipped_model_output=True
        )  # fmt: skip

        def denoise(x, level):
            return Denoised(Wavy.clean(x, level).clamp(-0.3, 0.3))

        assert_traces(ours(ddim, seeded(*SHAPE), levels, denoise), expected, 1e-9)

    def test_dpmpp_2m(self, steps):
        """Diffusers rounds the images to float32 at every step."""
        levels = table().levels(steps, "trailing")
        scheduler = exact_scheduler(
            diffusers.DPMSolverMultistepScheduler, levels, timestep_spacing="trailing"
        )
        expected = trace(scheduler, seeded(*SHAPE), levels, eps_of)
        assert_traces(ours(SOLVERS["dpmpp-2m"], seeded(*SHAPE), levels), expected)

    @pytest.mark.parametrize("order", [2, 3])
    def test_unipc(self, order, steps):
        levels = table().levels(steps, "trailing")
        scheduler = exact_scheduler(
            diffusers.UniPCMultistepScheduler,
            levels,
            timestep_spacing="trailing",
            solver_order=order,
        )
        expected = trace(scheduler, seeded(*SHAPE), levels, eps_of)
        name = {2: "unipc", 3: "unipc-3"}[order]
        assert_traces(ours(SOLVERS[name], seeded(*SHAPE), levels), expected, 1e-8)

    def test_euler(self, steps):
        """Diffusers walks y = x / alpha, from which x is alpha y."""
        levels = table().levels(steps, "trailing")
        scheduler = exact_scheduler(
            diffusers.EulerDiscreteScheduler, levels, timestep_spacing="trailing"
        )
        scheduler.is_scale_input_called = True
        y = seeded(*SHAPE) / levels[0].alpha
        expected = trace(scheduler, y, levels, lambda y, level: eps_of(level.alpha * y, level))
        found = ours(SOLVERS["euler"], seeded(*SHAPE), levels)
        scaled = [level.alpha * y for level, y in zip(levels[1:], expected)]
        assert_traces(found, scaled, 1e-5)

    def test_heun(self, steps):
        levels = table().levels(steps, "trailing")
        scheduler = diffusers.HeunDiscreteScheduler(
            beta_start=1e-4, beta_end=2e-2, timestep_spacing="trailing"
        )
        scheduler.set_timesteps(steps)
        sigmas = torch.tensor([level.sigma / level.alpha for level in levels]).double()
        scheduler.sigmas = torch.cat([sigmas[:1], sigmas[1:-1].repeat_interleave(2), sigmas[-1:]])
        at = [levels[0], *(level for level in levels[1:-1] for _ in range(2)), CLEAN_LEVEL]
        y = seeded(*SHAPE) / levels[0].alpha
        states = trace(scheduler, y, at, lambda y, level: eps_of(level.alpha * y, level))
        scaled = [level.alpha * y for level, y in zip(at[1:], states)]
        expected = [*scaled[1::2], scaled[-1]]
        assert_traces(ours(SOLVERS["heun"], seeded(*SHAPE), levels), expected, 1e-5)

    def test_ipndm(self, steps):
        """Diffusers' output is alpha eps - sigma x_0, and sigma is what it calls beta."""
        levels = table().levels(steps, "trailing")
        scheduler = diffusers.IPNDMScheduler(trained_betas=[level.sigma for level in levels])
        scheduler.set_timesteps(steps)
        scheduler.betas = torch.tensor([level.sigma for level in levels]).double()
        scheduler.alphas = torch.tensor([level.alpha for level in levels]).double()

        def output(x, level):
            return level.alpha * eps_of(x, level) - level.sigma * Wavy.clean(x, level)

        expected = trace(scheduler, seeded(*SHAPE), levels, output)
        assert_traces(ours(SOLVERS["ipndm"], seeded(*SHAPE), levels), expected, 1e-5)


def velocity(x, level):
    return (x - Wavy.clean(x, level)) / level.sigma


def on_straight_path(sigmas):
    return [*(Flow().level(float(sigma)) for sigma in sigmas), CLEAN_LEVEL]


@pytest.mark.parametrize("steps", [10, 20, 50])
class TestDiffusersFlow:
    """Diffusers rounds to float32 at every step."""

    @pytest.mark.parametrize("shift", [1.0, 3.0])
    def test_euler(self, shift, steps):
        levels = Flow(shift=shift).levels(steps)
        scheduler = diffusers.FlowMatchEulerDiscreteScheduler(shift=shift)
        scheduler.set_timesteps(sigmas=[level.sigma for level in Flow().levels(steps)[:-1]])
        x = seeded(*SHAPE)
        expected = trace(scheduler, x, levels, velocity)
        assert_traces(ours(SOLVERS["euler"], x, levels), expected)
        torch.testing.assert_close(
            scheduler.sigmas, torch.tensor([level.sigma for level in levels])
        )  # fmt: skip

    def test_heun(self, steps):
        scheduler = diffusers.FlowMatchHeunDiscreteScheduler()
        scheduler.set_timesteps(steps)
        levels = on_straight_path([scheduler.sigmas[0], *scheduler.sigmas[1:-1:2]])
        assert levels[0].alpha == 0
        at = [levels[0], *(level for level in levels[1:-1] for _ in range(2))]
        states = trace(scheduler, seeded(*SHAPE), at, velocity)
        expected = [*states[1::2], states[-1]]
        assert_traces(ours(SOLVERS["heun"], seeded(*SHAPE), levels), expected)

    @pytest.mark.parametrize(
        ("name", "kind", "order"),
        [
            ("dpmpp-2m", diffusers.DPMSolverMultistepScheduler, 2),
            ("unipc", diffusers.UniPCMultistepScheduler, 2),
            ("unipc-3", diffusers.UniPCMultistepScheduler, 3),
        ],
    )
    def test_multistep(self, name, kind, order, steps):
        """From just below t = 1, since diffusers cannot start where alpha is 0."""
        scheduler = kind(
            use_flow_sigmas=True, prediction_type="flow_prediction", solver_order=order
        )  # fmt: skip
        scheduler.set_timesteps(steps)
        sigmas = torch.linspace(0.99, 0.99 / steps, steps, dtype=torch.float64)
        scheduler.sigmas = torch.cat([sigmas, torch.zeros(1)])
        levels = on_straight_path(sigmas)
        expected = trace(scheduler, seeded(*SHAPE), levels, velocity)
        assert_traces(ours(SOLVERS[name], seeded(*SHAPE), levels), expected)


EVERYWHERE = {name: process.levels(50) for name, process in PROCESSES.items()} | ENDS_AT_ZERO_SNR


@pytest.mark.parametrize("path", EVERYWHERE)
def test_ddim_at_eta_one_is_ancestral(path):
    levels = EVERYWHERE[path]
    x = levels[0].sigma * seeded(*SHAPE)
    stochastic = ours(lambda *a: ddim(*a, eta=1.0), x, levels)
    assert_traces(stochastic, ours(SOLVERS["ddpm"], x, levels), 1e-9)


@given(st.floats(0.5, 3), st.floats(0.1, 0.9), st.sampled_from([0.0, 1e-12]))
def test_ddim_at_eta_one_forgets_a_start_without_signal(sigma, new_sigma, alpha):
    """The noise kept is 0 there, and must not turn negative by rounding."""
    levels = [Level(alpha, sigma, 1.0), Level(0.5, new_sigma, 0.5), CLEAN_LEVEL]
    found = ours(lambda *a: ddim(*a, eta=1.0), sigma * seeded(*SHAPE), levels)
    assert_traces(found, ours(SOLVERS["ddpm"], sigma * seeded(*SHAPE), levels))


def test_large_variance_is_fixed_even_where_one_is_learnt():
    levels, x = table().levels(10), seeded(*SHAPE)
    learnt = ours(SOLVERS["ddpm-large"], x, levels, learning)
    assert_traces(learnt, ours(SOLVERS["ddpm-large"], x, levels), 0)


class Counting:
    """A denoiser and a source of noise that note what they are asked for."""

    def __init__(self):
        self.levels, self.steps = [], []

    def denoise(self, x, level):
        self.levels.append(level)
        return Denoised(Wavy.clean(x, level))

    def noise(self, step):
        self.steps.append(step)
        return seeded(*SHAPE, seed=step)


@pytest.mark.parametrize("process", PROCESSES)
@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("steps", [1, 2, 7, 53])
def test_steps_evaluations_and_draws_are_counted(steps, name, process):
    asked, levels = Counting(), PROCESSES[process].levels(steps)
    x = levels[0].sigma * seeded(*SHAPE)
    made = list(SOLVERS[name](asked.denoise, x, levels, asked.noise))
    assert len(made) == len(levels) - 1 == steps
    assert len(asked.levels) == (2 * steps - 1 if name == "heun" else steps)
    assert CLEAN_LEVEL not in asked.levels
    assert asked.steps == (list(range(steps - 1)) if name in OTHERS else [])


def test_stochastic_ddim_draws_none_for_the_last_step():
    asked, levels = Counting(), table().levels(5)
    solve(ddim(asked.denoise, seeded(*SHAPE), levels, asked.noise, eta=1.0))
    assert asked.steps == [0, 1, 2, 3]


@pytest.mark.parametrize("name", [name for name in SOLVERS if name != "ipndm"])
@pytest.mark.parametrize("process", PROCESSES)
def test_last_step_returns_the_prediction(process, name):
    """No noise is left or added. Adams-Bashforth extrapolates to the end instead, as published."""
    levels = PROCESSES[process].levels(6)
    *_, last = SOLVERS[name](ideal(Wavy), levels[0].sigma * seeded(*SHAPE), levels, draws(SHAPE))
    assert torch.equal(last.noisy, last.clean)


@pytest.mark.parametrize("name", SOLVERS)
@pytest.mark.parametrize("end", ENDS_AT_ZERO_SNR)
def test_first_alpha_may_be_zero(end, name):
    levels = ENDS_AT_ZERO_SNR[end]
    assert levels[0].alpha == 0
    data = TwoPoints()
    found = run(name, data, levels, seeded(500, 1, 1, 1))
    assert torch.isfinite(found).all()
    assert float((found > 0).double().mean()) == pytest.approx(data.share, abs=0.1)


@pytest.mark.parametrize("name", SOLVERS)
def test_images_keep_their_dtype(name):
    levels = Exploding().levels(5)
    noise = draws(SHAPE)
    x = levels[0].sigma * seeded(*SHAPE).float()
    made = SOLVERS[name](ideal(Wavy), x, levels, lambda step: noise(step).float())
    assert {tensor.dtype for step in made for tensor in step} == {torch.float32}


class TestKnownBugs:
    """Of other tools: shared/research/competition.md, section 1b."""

    @pytest.mark.parametrize("process", PROCESSES)
    def test_2_logarithm_of_the_large_variance_is_taken_once(self, process):
        levels = PROCESSES[process].levels(100)
        for old, new in pairwise(levels):
            large = learned_variance(torch.ones(1).double(), old, new)
            assert float(large) == pytest.approx(transition_variance(old, new))
            small = learned_variance(torch.zeros(1).double(), old, new)
            assert 0 < float(small) <= float(large)

    def test_3_strided_posterior_uses_the_previous_level_visited(self):
        process = table()
        old, new, neighbour = process.level(500), process.level(400), process.level(499)
        kept = process.cumprod[500] / process.cumprod[400]
        expected = (1 - process.cumprod[400]) / (1 - process.cumprod[500]) * (1 - kept)
        assert posterior_variance(old, new) == pytest.approx(expected)
        assert posterior_variance(old, new) > 50 * posterior_variance(old, neighbour)

    def test_3_learned_range_is_a_geometric_mean(self):
        old, new = table().level(40), table().level(0)
        small, large = posterior_variance(old, new), transition_variance(old, new)
        half = learned_variance(torch.tensor(0.5).double(), old, new)
        assert float(half) == pytest.approx(math.sqrt(small * large))
        assert float(half) < 0.2 * (small + large)

    def test_4_guidance_at_one_is_off_and_changes_no_type(self):
        cond, uncond = seeded(*SHAPE), seeded(*SHAPE, seed=1)
        assert guide(cond, uncond, 1.0) is cond
        for weight in (0.0, 0.5, 1.0, 7.5):
            mixed = guide(cond, uncond, weight)
            assert isinstance(mixed, torch.Tensor)
            torch.testing.assert_close(mixed, uncond + weight * (cond - uncond))


class TestGuidanceAndThresholds:
    @pytest.mark.parametrize("share", [0.0, 0.7, 1.0])
    def test_rescaling_matches_diffusers(self, share):
        guided, cond = 3 * seeded(*SHAPE) + 1, seeded(*SHAPE, seed=1)
        expected = rescale_noise_cfg(guided, cond, share)
        torch.testing.assert_close(rescale_guidance(guided, cond, share), expected)

    def test_full_rescaling_gives_each_image_its_conditional_spread(self):
        guided, cond = 3 * seeded(*SHAPE) + 1, seeded(*SHAPE, seed=1)
        full = rescale_guidance(guided, cond, 1.0)
        torch.testing.assert_close(full.std((1, 2, 3)), cond.std((1, 2, 3)))

    @pytest.mark.parametrize("quantile", [0.9, 0.995])
    def test_dynamic_threshold_matches_diffusers(self, quantile):
        clean = torch.cat([3 * seeded(*SHAPE), 0.1 * seeded(*SHAPE)])
        reference = diffusers.DDPMScheduler(
            dynamic_thresholding_ratio=quantile, sample_max_value=1e9
        )
        expected = reference._threshold_sample(clean)
        torch.testing.assert_close(threshold_dynamic(clean, quantile), expected)

    def test_dynamic_threshold_leaves_images_in_range_alone(self):
        clean = seeded(*SHAPE).clamp(-1, 1).half()
        assert torch.equal(threshold_dynamic(clean), clean)

    @given(st.floats(0.1, 50))
    def test_both_thresholds_end_in_range(self, scale):
        clean = scale * seeded(*SHAPE)
        for threshold in (clip_static, threshold_dynamic):
            assert float(threshold(clean).abs().max()) <= 1


def test_consistency_steps_put_fresh_noise_on_the_prediction():
    """2303.01469, algorithm 1: x = alpha f + sigma z at each level but the last."""
    levels, image = Flow().levels(3), seeded(*SHAPE)
    zs = draws(SHAPE)
    again = draws(SHAPE)
    states = list(SOLVERS["consistency"](lambda x, level: Denoised(image), image, levels, zs))
    for step, (state, level) in enumerate(zip(states[:-1], levels[1:-1], strict=True)):
        torch.testing.assert_close(state.noisy, level.alpha * image + level.sigma * again(step))
    assert torch.equal(states[-1].noisy, image)
