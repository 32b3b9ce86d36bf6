"""Likelihoods and bounds against torch.distributions and a model with a closed form."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import distributions as D

from mezzotint.families.base import Batch
from mezzotint.families.vae import VAE, free_nats
from mezzotint.likelihoods import (
    LEVELS,
    LIKELIHOODS,
    bernoulli_log_likelihood,
    bits_per_dim,
    dequantise,
    gaussian_log_likelihood,
    importance_weighted_bound,
    kl_to_standard_normal,
    log_standard_normal,
    logistic_log_likelihood,
)
from mezzotint.seeds import BatchNoise, ImageNoise

SCALE = torch.full((1, 1, 1), -1.3)


def pixels(count=5, side=6):
    levels = torch.randint(
        0, 256, (count, 1, side, side), generator=torch.Generator().manual_seed(1)
    )
    return levels / 255


def test_bernoulli_matches_torch():
    logits = torch.randn(5, 1, 6, 6)
    images = (pixels() > 0.5).float()
    expected = D.Bernoulli(logits=logits).log_prob(images).sum((1, 2, 3))
    torch.testing.assert_close(bernoulli_log_likelihood(images, logits, SCALE), expected)


def test_gaussian_matches_torch():
    mean = torch.rand(5, 1, 6, 6)
    expected = D.Normal(mean, SCALE.exp()).log_prob(pixels()).sum((1, 2, 3))
    torch.testing.assert_close(gaussian_log_likelihood(pixels(), mean, SCALE), expected)


@pytest.mark.parametrize("log_scale", [-5.0, -2.0, 0.0])
@pytest.mark.parametrize("mean", [-0.2, 0.0, 0.5, 1.0])
def test_logistic_masses_add_up_to_one(mean, log_scale):
    levels = (torch.arange(LEVELS, dtype=torch.float64) / (LEVELS - 1)).view(-1, 1, 1, 1)
    centre = torch.full((1, 1, 1), mean, dtype=torch.float64)
    scale = torch.full((1, 1, 1), log_scale, dtype=torch.float64)
    masses = logistic_log_likelihood(levels, centre, scale).exp()
    torch.testing.assert_close(masses.sum(), torch.tensor(1.0, dtype=torch.float64))


def test_logistic_mass_is_a_difference_of_the_cdf():
    mean = torch.rand(5, 1, 6, 6, dtype=torch.float64) * 0.6 + 0.2
    image = pixels().double().clamp(0.1, 0.9)
    scale, half = SCALE.double().exp(), 0.5 / 255
    cdf = torch.sigmoid((image + half - mean) / scale) - torch.sigmoid(
        (image - half - mean) / scale
    )
    expected = cdf.log().sum((1, 2, 3))
    torch.testing.assert_close(logistic_log_likelihood(image, mean, SCALE.double()), expected)


@given(st.floats(-4, 4), st.floats(-4, 3))
def test_kl_matches_torch(mean, log_variance):
    mean, log_variance = torch.tensor(mean), torch.tensor(log_variance)
    posterior = D.Normal(mean, (0.5 * log_variance).exp())
    expected = D.kl_divergence(posterior, D.Normal(0.0, 1.0))
    torch.testing.assert_close(
        kl_to_standard_normal(mean, log_variance), expected, rtol=1e-4, atol=1e-5
    )


def test_standard_normal_matches_torch():
    latent = torch.randn(7, 3)
    expected = D.Normal(0.0, 1.0).log_prob(latent).sum(1)
    torch.testing.assert_close(log_standard_normal(latent), expected)


def test_bits_of_uniform_noise_are_eight():
    """A density of 1 over [0, 1] gives every one of 256 levels the same chance: 8 bits."""
    assert float(bits_per_dim(torch.tensor(0.0), 10, continuous=True)) == 8
    nats = torch.tensor(10 * math.log(256))
    assert float(bits_per_dim(nats, 10, continuous=False)) == pytest.approx(8)


def test_dequantised_levels_do_not_overlap():
    levels = torch.arange(256) / 255
    low, high = dequantise(levels, torch.zeros(256)), dequantise(levels, torch.full((256,), 0.999))
    assert (high[:-1] < low[1:]).all()
    assert low[0] == 0
    assert high[-1] < 1


def test_free_bits_floor_the_batch_mean():
    kl = torch.tensor([[0.1, 3.0], [0.3, 1.0]])
    assert float(free_nats(kl, 0.0)) == pytest.approx(2.2)
    assert float(free_nats(kl, 0.5)) == pytest.approx(2.5)


def test_weights_are_averaged_in_probability():
    weights = torch.log(torch.tensor([[1.0, 4.0], [3.0, 4.0]]))
    torch.testing.assert_close(importance_weighted_bound(weights).exp(), torch.tensor([2.0, 4.0]))


class Linear(torch.nn.Module):
    """z -> W z + b as images, or x -> (mu, log-variance) of the exact posterior."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


def probabilistic_pca(spread=0.0):
    """A VAE whose decoder is linear: log p(x) = N(b, W W^T + sigma^2 I) is known exactly."""
    torch.manual_seed(3)
    weight, bias, sigma = torch.randn(16, 2) * 0.3, torch.rand(16), 0.2
    inverse = torch.linalg.inv(weight.T @ weight / sigma**2 + torch.eye(2))

    def decode(latent):
        return (latent @ weight.T + bias).view(-1, 1, 4, 4)

    def encode(image):
        mean = (image.flatten(1) - bias) @ weight @ inverse.T / sigma**2
        log_variance = inverse.diagonal().log().expand_as(mean) + spread
        return torch.cat([mean, log_variance], 1)

    model = VAE(size=8, latent=2, encoder=Linear(encode), decoder=Linear(decode))
    model.config = model.config.__class__(size=8, latent=2)
    with torch.no_grad():
        model.log_scale.fill_(math.log(sigma))
    marginal = D.MultivariateNormal(bias, weight @ weight.T + sigma**2 * torch.eye(16))
    return model, marginal


def test_bound_rises_to_the_exact_likelihood(monkeypatch):
    model, marginal = probabilistic_pca(spread=0.3)
    monkeypatch.setattr(model, "_target", lambda clean, draws: clean)
    clean = marginal.sample((64,)).view(-1, 1, 4, 4)
    exact = marginal.log_prob(clean.flatten(1))
    gaps = []
    for samples in (1, 10, 1000):
        noise = ImageNoise(range(64))
        terms = model.bound(clean * 2 - 1, noise, samples)
        gaps.append(float((exact - terms["iw_bound"]).mean()))
        assert (terms["elbo"] - exact).mean() < 0.05
    assert gaps[0] > gaps[1] > gaps[2] - 0.01
    assert abs(gaps[2]) < 0.01


@pytest.mark.parametrize("likelihood", LIKELIHOODS)
def test_loss_is_the_negative_elbo_in_nats(likelihood):
    """Summed over pixels and latents, mean over the batch: no silent beta."""
    torch.manual_seed(0)
    model = VAE(size=8, latent=3, widths=(4, 8), likelihood=likelihood)
    images = pixels(4, 8) * 2 - 1
    terms = {k: v.detach() for k, v in model.loss(Batch(images, BatchNoise((0,), 4))).items()}
    assert float(terms["loss"]) == pytest.approx(
        float(terms["reconstruction"] + terms["kl"]), rel=1e-5
    )
    draws = BatchNoise((0,), 4)
    clean = (images + 1) / 2
    if likelihood == "gaussian":
        clean = dequantise(clean, draws.rand(1, 8, 8))
    mean, log_variance = model.posterior((images + 1) / 2)
    latent = mean + (0.5 * log_variance).exp() * draws.randn(3)
    decoded = model.decoder(latent)
    prob = {
        "gaussian": lambda: D.Normal(decoded, model.log_scale.exp()).log_prob(clean),
        "bernoulli": lambda: (
            -torch.nn.functional.binary_cross_entropy_with_logits(decoded, clean, reduction="none")
        ),
        "logistic": lambda: LIKELIHOODS["logistic"].log_prob(
            clean.unsqueeze(2), decoded.unsqueeze(2), model.log_scale
        ),
    }[likelihood]()
    posterior = D.Normal(mean, (0.5 * log_variance).exp())
    kl = D.kl_divergence(posterior, D.Normal(0.0, 1.0)).sum(1)
    expected = -prob.reshape(4, -1).sum(1) + kl
    torch.testing.assert_close(terms["loss"], expected.mean().detach())


def test_beta_warms_up():
    model = VAE(size=8, widths=(4,), beta=4, beta_warmup=0.5)
    assert [model.beta(share) for share in (0, 0.25, 0.5, 1)] == [0, 2, 4, 4]


def test_embedding_is_mu_at_every_call():
    model = VAE(size=8, widths=(4, 8), latent=3)
    images = pixels(4, 8) * 2 - 1
    mean, _ = model.posterior(pixels(4, 8))
    assert torch.equal(model.embed(images), model.embed(images))
    torch.testing.assert_close(model.embed(images), mean.detach())
