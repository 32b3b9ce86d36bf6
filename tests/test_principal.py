"""The code that begins as principal components, and models that begin with their data."""

import json

import numpy as np
import pytest
import torch
from torch import nn

import mezzotint as mz
from mezzotint.errors import ConfigError
from mezzotint.families.autoencoder import Autoencoder
from mezzotint.families.base import Form
from mezzotint.families.coding import suited_latent
from mezzotint.families.vae import VAE
from mezzotint.likelihoods import logistic_log_likelihood
from mezzotint.nets.principal import (
    LinearPath,
    PrincipalDecoder,
    PrincipalEncoder,
    averaged_over,
    moved,
    principal_axes,
)

WIDTHS = (8, 16)


def blobs(count=60, size=(48, 48), channels=3, seed=0):
    """Coloured discs on white: (N, C, H, W) in [0, 1]."""
    rng = np.random.default_rng(seed)
    down, right = np.mgrid[: size[0], : size[1]] / max(size)
    pictures = np.ones((count, channels, *size), np.float32)
    for one in pictures:
        for _ in range(3):
            y, x, r = rng.uniform(0.2, 0.8, 3)
            one[:, np.hypot(down - y, right - x) < r / 4] = rng.uniform(0, 1, (channels, 1))
    return torch.from_numpy(pictures)


def packed(pictures):
    pixels = (pictures.permute(0, 2, 3, 1).numpy() * 255).round().astype(np.uint8)
    return mz.load_images(pixels, size=pixels.shape[1:3], channels=pixels.shape[3])


def test_axes_are_those_of_a_singular_value_decomposition():
    torch.manual_seed(0)
    rows = torch.randn(200, 12) @ torch.diag(torch.linspace(3, 0.1, 12)) @ torch.randn(12, 40)
    axes, stds = principal_axes(rows, 8)
    _, scales, turned = np.linalg.svd((rows - rows.mean(0)).double().numpy(), full_matrices=False)
    np.testing.assert_allclose(stds, scales[:8] / 200**0.5, rtol=1e-3)
    same = np.abs((turned[:8] * axes.T.numpy()).sum(1))
    np.testing.assert_allclose(same, 1, atol=1e-3)


def test_axes_that_rows_do_not_have_are_zero():
    axes, stds = principal_axes(torch.randn(5, 40), 9)
    assert stds[5:].abs().sum() == axes[:, 5:].abs().sum() == 0


def test_moved_pictures_are_moves_of_the_cells_alone():
    cells = torch.arange(2 * 3 * 4 * 4.0).view(2, 3, 4, 4)
    made = moved(cells, least=5)
    assert torch.equal(made[:2], cells)
    assert torch.equal(made[2:4], cells.flip(-1))
    assert torch.equal(made[4:6, :, 1:], cells[:, :, :-1])
    assert len(made) == 6


@pytest.mark.parametrize(("side", "patch"), [
    (16, 1), (28, 1), (48, 2), (64, 2), (96, 4), (128, 4), (192, 8), (256, 8),
])  # fmt: skip
def test_about_32_cells_a_side(side, patch):
    assert averaged_over((side, side // 2)) == patch


@pytest.mark.parametrize("size", [(48, 48), (50, 37)])
def test_the_linear_path_is_the_best_linear_one_of_its_cells(size):
    """Codes have variance one on what was measured; the cells come back as PCA brings them back."""
    pictures = blobs(40, size)
    path = LinearPath(3, size, 12, 4)
    path.fit(pictures)
    cells = moved(path.average(pictures)).flatten(1).double()
    centred = cells - cells.mean(0)
    _, _, turned = torch.linalg.svd(centred, full_matrices=False)
    apart = (path.average(pictures) - path.average(path.mean[None])).flatten(1).double()
    expected = apart @ turned[:12].T @ turned[:12]
    found = path.low(path.code(pictures)).flatten(1).double()
    torch.testing.assert_close(found, expected, atol=0.01, rtol=0)
    stds = (centred.float() @ path.axes / path.scales).std(0)
    torch.testing.assert_close(stds, torch.ones(12), atol=0.01, rtol=0)


def test_energies_are_those_of_a_step_along_each_number():
    path = LinearPath(3, (48, 48), 5, 4)
    path.fit(blobs(20))
    step = torch.zeros(1, 5)
    step[0, 3] = 1
    change = path.enlarged(path.low(step)) - path.enlarged(path.low(torch.zeros(1, 5)))
    assert float(path.energies()[3]) == pytest.approx(float(change.square().sum()), rel=1e-4)


def test_untrained_networks_add_nothing_to_the_linear_path():
    pictures = blobs(30)
    encoder = PrincipalEncoder(3, (48, 48), WIDTHS, 10)
    decoder = PrincipalDecoder(3, (48, 48), WIDTHS, 10)
    encoder.linear.fit(pictures)
    decoder.linear.load_state_dict(encoder.linear.state_dict())
    path = encoder.linear
    with torch.no_grad():
        torch.testing.assert_close(encoder(pictures), path.code(pictures))
        expected = path.mean + path.enlarged(path.low(path.code(pictures)))
        torch.testing.assert_close(decoder(encoder(pictures)), expected)


def test_variances_start_at_the_posterior_of_a_linear_gaussian_model():
    """Tipping & Bishop: the posterior of z ~ N(0, I), x = W z + noise is (I + W'W / s^2)^-1."""
    encoder = PrincipalEncoder(3, (48, 48), WIDTHS, 6, spread=True)
    pictures = blobs(30)
    encoder.linear.fit(pictures)
    encoder.expect_error(0.02)
    every = torch.eye(6)
    loadings = encoder.linear.enlarged(encoder.linear.low(every)).flatten(1)
    precision = every + loadings @ loadings.T / 0.02
    with torch.no_grad():
        found = encoder(pictures)[:, 6:]
    torch.testing.assert_close(found[0], -precision.diagonal().log(), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("network", ["conv", "mlp"])
@pytest.mark.parametrize("likelihood", ["gaussian", "bernoulli", "logistic"])
def test_a_vae_begins_with_the_mean_colour_and_the_scale_of_the_errors(network, likelihood):
    torch.manual_seed(0)
    pictures = blobs(50, (32, 32))
    options = {"network": network, "likelihood": likelihood, "widths": (8, 8), "latent": 4}
    model = VAE(size=(32, 32), channels=3, init="data", **options)
    assert not model.prepared
    before = model.log_scale.clone()
    model.prepare(pictures * 2 - 1, None)
    assert model.prepared
    with torch.no_grad():
        made = (model.reconstruct(pictures * 2 - 1) + 1) / 2
    assert float((made.mean((0, 2, 3)) - pictures.mean((0, 2, 3))).abs().max()) < 0.05
    errors = (made - pictures).square().mean((0, 2, 3)).sqrt()
    if likelihood == "gaussian":
        scales = model.log_scale.exp().flatten().detach()
        torch.testing.assert_close(scales, errors, rtol=0.02, atol=0)
    if likelihood == "bernoulli":
        assert torch.equal(before, model.log_scale)


def test_the_scale_of_normal_errors_is_near_the_likeliest_logistic_one():
    """Matching variances comes within 0.02 nats a pixel of the best scale that a search finds."""
    errors = 0.1 * torch.randn(1, 1, 1, 20_000, generator=torch.Generator().manual_seed(0))
    scales = torch.linspace(0.03, 0.15, 61)
    found = [
        float(logistic_log_likelihood(0.5 + errors, torch.tensor(0.5), scale.log().view(1, 1, 1)))
        for scale in (*scales, torch.tensor(0.1 * 3**0.5 / torch.pi))
    ]
    assert found[-1] > max(found[:-1]) - 0.02 * errors.numel()


def test_a_run_begins_ahead_of_principal_components_of_the_pictures(tmp_path):
    """Two steps: held-out pictures come back better than by as many axes of the pictures."""
    data = packed(blobs(300, (48, 48)))
    held_out = data.held_out.gather(range(len(data.held_out)))
    train = data.train.gather(range(len(data.train))).reshape(len(data.train), -1) / 255
    rows = held_out.reshape(len(held_out), -1) / 255
    mean = train.mean(0)
    turned = np.linalg.svd((train - mean).astype(np.float32), full_matrices=False)[2][:96]
    best = np.square((rows - mean) @ turned.T @ turned + mean - rows).mean()
    for family in ("autoencoder", "vae"):
        run = mz.train(family, data, tmp_path / family, images=64, previews=0)
        assert run.model.config.network == "principal"
        assert run.model.config.latent == 96
        made = run.model.reconstruct(mz.images.to_float(held_out))
        error = np.square((made.permute(0, 2, 3, 1).numpy() + 1) / 2 - held_out / 255).mean()
        assert error < best
        again = mz.load(run.path)
        torch.testing.assert_close(again.reconstruct(mz.images.to_float(held_out)), made)


def test_small_images_and_given_options_keep_the_networks_they_had():
    assert Autoencoder.suited(Form((32, 32), 3, 500), {}) == {}
    assert VAE.suited(Form((28, 28), 1, 500), {}) == {"init": "data"}
    assert "network" not in VAE.suited(Form((64, 64), 3, 500), {"spatial": True})
    assert "network" not in VAE.suited(Form((64, 64), 3, 500), {"likelihood": "bernoulli"})
    sizes = [suited_latent(side) for side in (48, 64, 96, 128, 256)]
    assert sizes == [96, 128, 192, 256, 256]


def test_configurations_without_the_new_options_are_as_they_were(tmp_path):
    """A model of 0.1.0 names no beginning: its tensors and its samples are the same."""
    torch.manual_seed(0)
    model = VAE(size=(16, 16), widths=(8,), latent=3).eval()
    model.save_pretrained(tmp_path / "model")
    path = tmp_path / "model" / "config.json"
    config = json.loads(path.read_text())
    del config["init"]
    path.write_text(json.dumps(config))
    again = mz.load(tmp_path / "model")
    assert again.prepared
    assert torch.equal(again.sample(range(3)), model.sample(range(3)))


@pytest.mark.parametrize("options", [{"spatial": True}, {"likelihood": "bernoulli"}])
def test_what_principal_components_cannot_do_is_an_error(options):
    with pytest.raises(ConfigError) as found:
        VAE(size=(64, 64), network="principal", **options)
    assert found.value.fix


def test_stages_are_maps_finest_first():
    model = Autoencoder(size=(64, 64), channels=3, network="principal", latent=8)
    found = model.stages(torch.zeros(2, 3, 64, 64))
    assert [tuple(one.shape[1:]) for one in found] == [(32, 32, 32), (64, 16, 16), (128, 8, 8)]
    assert all(isinstance(one, torch.Tensor) for one in found)
    assert isinstance(model.encoder, nn.Module)


def test_an_interrupted_run_keeps_the_axes_it_began_with(tmp_path):
    """What is measured before the first step comes back from the checkpoint, bit for bit."""

    class QuitError(Exception):
        pass

    class Impatient:
        def update(self, done, total, note="", seconds_left=0):
            raise QuitError

        def say(self, text):
            pass

    data = packed(blobs(40, (48, 48)))
    options = {"images": 96, "latent": 8, "widths": (8, 16), "network": "principal", "batch": 32}
    options |= {"previews": 0, "log_every": 1, "init": "data"}
    whole = mz.train("vae", data, tmp_path / "whole", **options)
    with pytest.raises(QuitError):
        mz.train("vae", data, tmp_path / "broken", progress=Impatient(), **options)
    resumed = mz.train("vae", data, tmp_path / "broken", **options)
    for name, tensor in whole.model.state_dict().items():
        assert torch.equal(tensor, resumed.model.state_dict()[name]), name
    assert bool(resumed.model.started)
