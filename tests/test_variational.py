"""The variational bound against torch.distributions, sums to one, and a Gaussian's own variance."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from mezzotint.errors import ConfigError
from mezzotint.families.base import Batch
from mezzotint.families.diffusion import Diffusion
from mezzotint.noise import Table, alphas_cumprod, linear_betas
from mezzotint.seeds import BatchNoise
from mezzotint.solvers import learned_variance, posterior_mean, posterior_variance
from mezzotint.variational import Posteriors, discretised_log_likelihood, gaussian_kl

TABLE = alphas_cumprod(linear_betas(100))
OPTIONS: dict[str, Any] = {
    "size": 8,
    "channels": 3,
    "widths": (8, 16),
    "process": "linear",
    "timesteps": 100,
    "prediction": "eps",
    "variance": "learned",
}


def test_divergence_is_that_of_torch() -> None:
    torch.manual_seed(0)
    mean, log, to_mean, to_log = torch.randn(4, 100).double()
    first, second = Normal(mean, (log / 2).exp()), Normal(to_mean, (to_log / 2).exp())
    torch.testing.assert_close(
        gaussian_kl(mean, log, to_mean, to_log), kl_divergence(first, second)
    )


@pytest.mark.parametrize(("mean", "deviation"), [(0.0, 0.3), (-0.97, 0.05), (1.2, 0.5)])
def test_probabilities_of_all_grey_values_sum_to_one(mean: float, deviation: float) -> None:
    values = torch.linspace(-1, 1, 256, dtype=torch.float64)
    log = torch.full_like(values, 2 * math.log(deviation))
    found = discretised_log_likelihood(values, torch.full_like(values, mean), log)
    assert float(found.exp().sum()) == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize("index", [1, 7, 50, 99])
def test_a_term_is_the_divergence_between_the_solvers_steps(index: int) -> None:
    """The means and variances are those that ``ddpm`` samples by at a stride of one."""
    torch.manual_seed(1)
    clean, noisy, seen, fraction = torch.rand(4, 2, 3, 4, 4)
    found = Posteriors(TABLE).bound(clean, noisy, seen, fraction, torch.full((2,), float(index)))
    table = Table(TABLE)
    old, new = table.level(index), table.level(index - 1)
    true = Normal(posterior_mean(clean, noisy, old, new), math.sqrt(posterior_variance(old, new)))
    mean = posterior_mean(seen, noisy, old, new)
    model = Normal(mean, learned_variance(fraction, old, new).sqrt())
    wanted = kl_divergence(true, model).flatten(1).mean(1)
    torch.testing.assert_close(found, wanted, rtol=2e-3, atol=1e-5)


def test_the_first_term_is_the_likelihood_of_the_pixels() -> None:
    clean = torch.rand(3, 1, 4, 4) * 2 - 1
    half = torch.full_like(clean, 0.5)
    found = Posteriors(TABLE).bound(clean, clean, clean, half, torch.zeros(3))
    betas = linear_betas(100)
    small = betas[1] * (1 - TABLE[0]) / (1 - TABLE[1])
    log = torch.full_like(clean, 0.5 * (math.log(small) + math.log(betas[0])))
    wanted = -discretised_log_likelihood(clean, clean, log).flatten(1).mean(1)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("index", [5, 40, 90])
def test_the_bound_is_least_at_the_variance_of_a_gaussian(index: int) -> None:
    """Pixels N(0, s^2): x_{t-1} given x_t has beta~ + w^2 Var[x_0 | x_t], in closed form."""
    generator = torch.Generator().manual_seed(2)
    spread, kept = 0.5, float(TABLE[index])
    clean = torch.randn(1, 1, 500, 500, generator=generator) * spread
    noise = torch.randn(1, 1, 500, 500, generator=generator)
    noisy = math.sqrt(kept) * clean + math.sqrt(1 - kept) * noise
    gain = math.sqrt(kept) * spread**2 / (kept * spread**2 + 1 - kept)
    left = spread**2 * (1 - kept) / (kept * spread**2 + 1 - kept)
    table = Table(TABLE)
    old, new = table.level(index), table.level(index - 1)
    one, zero = torch.ones(1), torch.zeros(1)
    weight = float(posterior_mean(one, zero, old, new))
    wanted = posterior_variance(old, new) + weight**2 * left
    grid = np.linspace(-0.5, 1.5, 401)
    at = torch.full((1,), float(index))
    bounds = [
        float(Posteriors(TABLE).bound(clean, noisy, gain * noisy, clean.new_full((1,), v), at))
        for v in grid
    ]
    found = float(learned_variance(torch.tensor(grid[int(np.argmin(bounds))]), old, new))
    assert found == pytest.approx(wanted, rel=0.01)


def _batch(model: Diffusion) -> Batch:
    torch.manual_seed(0)
    images = torch.rand(4, *model.shape) * 2 - 1
    return Batch(images=images, labels=None, noise=BatchNoise((0, 0), 4), progress=0.5)


def test_the_bound_does_not_move_the_prediction() -> None:
    torch.manual_seed(0)
    learned = Diffusion(**OPTIONS)
    for parameter in learned.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    output = next(m for m in reversed(list(learned.modules())) if isinstance(m, torch.nn.Conv2d))
    learned.loss(_batch(learned))["loss"].backward()
    both = output.weight.grad
    assert both is not None
    assert float(both.abs().sum()) > 0
    learned.zero_grad()
    learned.posteriors, posteriors = None, learned.posteriors
    learned.output = _prediction_alone(learned)  # type: ignore[method-assign]
    learned.loss(_batch(learned))["loss"].backward()
    plain = output.weight.grad
    assert posteriors is not None
    assert plain is not None
    means = plain.flatten(1).abs().sum(1) > 0  # rows that predict; the rest are the variance's
    assert 0 < int(means.sum()) < len(means)
    torch.testing.assert_close(both[means], plain[means])
    assert float(both[~means].abs().sum()) > 0


def _prediction_alone(model: Diffusion) -> Any:
    def output(noisy: Tensor, levels: Any, told: Any) -> tuple[Tensor, None]:
        return model.network(noisy, levels.time, told).chunk(2, 1)[0], None

    return output


def test_sampling_uses_what_was_learnt() -> None:
    torch.manual_seed(0)
    model = Diffusion(**OPTIONS).eval()
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.1)
    wide = model.sample([1, 2], solver="ddpm", steps=10)
    original = model.output

    def narrow(noisy: Tensor, levels: Any, told: Any) -> tuple[Tensor, Tensor | None]:
        prediction, fraction = original(noisy, levels, told)
        return prediction, None if fraction is None else torch.zeros_like(fraction)

    model.output = narrow  # type: ignore[method-assign]
    small = model.sample([1, 2], solver="ddpm", steps=10)
    fixed = Diffusion(**{**OPTIONS, "variance": "fixed"}).eval()
    fixed.output = lambda *given: (narrow(*given)[0], None)  # type: ignore[method-assign]
    torch.testing.assert_close(small, fixed.sample([1, 2], solver="ddpm", steps=10))
    assert float((wide - small).abs().max()) > 1e-3


@pytest.mark.parametrize(
    "options",
    [{"process": "flow", "prediction": "flow"}, {"prediction": "v"}],
)
def test_where_no_variance_is_learnt_the_error_says_what_to_set(options: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match="prediction=eps"):
        Diffusion(**{**OPTIONS, **options})
