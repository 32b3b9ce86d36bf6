"""Diffusion among the latents of an autoencoder begun as patch PCA, and its export."""

from pathlib import Path

import numpy as np
import pytest
import torch
from skimage import data as pictures
from sklearn.decomposition import PCA

import mezzotint as mz
from mezzotint.api import staging
from mezzotint.errors import ConfigError
from mezzotint.families.kl_vae import KLVAE
from mezzotint.families.latent_diffusion import LatentDiffusion
from mezzotint.images import to_float
from mezzotint.metrics.linear_code import patch_pca_psnr
from mezzotint.nets.diffusers_dc import DiffusersDC
from mezzotint.training.recipe import Recipe

diffusers = pytest.importorskip("diffusers")

SMALL = {
    "coder": '{"widths": [16, 32], "latent": 6}',
    "widths": (8, 16),
    "images": 96,
    "batch": 8,
    "steps": 4,
    "previews": 1,
    "space": "latent",
}


def squares(side: int, count: int = 40) -> np.ndarray:
    """Squares of a photograph, uint8 (count, side, side, 3)."""
    whole = pictures.astronaut()
    draws = np.random.default_rng(0).integers(0, 512 - side, (count, 2))
    return np.stack([whole[y : y + side, x : x + side] for y, x in draws])


@pytest.fixture(scope="module")
def photographs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("photographs") / "squares.npz"
    labels = np.array(["dark", "light"])[(squares(32).mean((1, 2, 3)) > 110).astype(int)]
    np.savez(path, images=squares(32), labels=labels)
    return path


@pytest.fixture(scope="module")
def trained(photographs: Path, tmp_path_factory: pytest.TempPathFactory) -> mz.Run:
    return mz.train("diffusion", photographs, tmp_path_factory.mktemp("run") / "run", **SMALL)


def patch_pca(images: torch.Tensor, side: int, kept: int) -> torch.Tensor:
    """Patches of images rebuilt from their principal components, by scikit-learn."""
    rows = torch.nn.functional.pixel_unshuffle(images, side).permute(0, 2, 3, 1)
    flat = rows.reshape(-1, rows.shape[-1]).double().numpy()
    code = PCA(kept, svd_solver="full").fit(flat)
    back = code.inverse_transform(code.transform(flat)).reshape(rows.shape)
    made = torch.from_numpy(back).permute(0, 3, 1, 2).float()
    return torch.nn.functional.pixel_shuffle(made, side)


@pytest.mark.parametrize(
    ("channels", "widths", "latent"),
    [(1, (16, 32), 4), (3, (32, 64), 6), (3, (16, 32, 64), 8), (4, (32, 64), 8)],
)
def test_the_autoencoder_begins_as_the_principal_components_of_patches(
    channels: int, widths: tuple[int, ...], latent: int
) -> None:
    rgb = to_float(squares(64))
    images = torch.cat([rgb, rgb.mean(1, keepdim=True)], 1)[:, -channels:]
    coder = DiffusersDC(channels, (64, 64), latent, widths, 1)
    coder.begin(images)
    with torch.no_grad():
        latents, _ = coder.encode(images)
        made = coder.decode(latents)
    best = (patch_pca(images, 2 ** len(widths), latent) - images).square().mean()
    assert float((made - images).square().mean()) < 1.1 * float(best) + 1e-5
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(latent), atol=0.02, rtol=0)


def test_patches_of_held_out_images_are_rebuilt_as_scikit_learn_does() -> None:
    known, asked = squares(32, 30), squares(32, 40)[30:]

    def patches(images: np.ndarray) -> np.ndarray:
        windows = np.lib.stride_tricks.sliding_window_view(images, (4, 4), (1, 2))
        return windows[:, ::4, ::4].reshape(-1, 48).astype(np.float64)

    code = PCA(6, svd_solver="full").fit(patches(known))
    error = code.inverse_transform(code.transform(patches(asked))) - patches(asked)
    wanted = 10 * np.log10(255**2 / np.square(error).mean())
    assert patch_pca_psnr(known, asked, 4, 6) == pytest.approx(wanted, abs=1e-6)


@pytest.mark.parametrize(("better", "lines"), [(10.0, 1), (-1.0, 2)])
def test_an_autoencoder_that_is_no_better_than_a_linear_code_is_said_to_be_so(
    better: float, lines: int, photographs: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = mz.load_images(photographs)
    coder = KLVAE(size=(32, 32), network="dc", widths=(16, 32), latent=6, adversarial=0.0)
    monkeypatch.setattr(staging, "image_psnr", lambda *_: 20.0 + better)
    monkeypatch.setattr(staging, "patch_pca_psnr", lambda *_: 20.0)
    said = staging.coder_verdict(coder, data, Recipe(budget=600))
    assert len(said) == lines
    assert lines == 1 or "--budget 30m" in said[1]


def test_latents_are_rescaled_and_pictures_stay() -> None:
    images = to_float(squares(64))
    coder = DiffusersDC(3, (64, 64), 6, (16, 32), 1)
    coder.begin(images)
    with torch.no_grad():
        latents, _ = coder.encode(images)
        before = coder.decode(latents)
        coder.rescale(torch.linspace(-1, 1, 6), torch.linspace(0.5, 2, 6))
        others, _ = coder.encode(images)
        wanted = (latents - torch.linspace(-1, 1, 6).view(1, -1, 1, 1)) / torch.linspace(
            0.5, 2, 6
        ).view(1, -1, 1, 1)
        torch.testing.assert_close(others, wanted, atol=1e-4, rtol=1e-4)
        inner = (slice(None), slice(None), slice(8, -8), slice(8, -8))  # padding is 0 before
        torch.testing.assert_close(coder.decode(others)[inner], before[inner], atol=1e-3, rtol=0)


def test_a_staged_run_learns_samples_and_opens_again(trained: mz.Run) -> None:
    model = trained.model
    assert isinstance(model, LatentDiffusion)
    assert (trained.path / "autoencoder" / "model").is_dir()
    latents = model.space.latents(to_float(squares(32)))
    torch.testing.assert_close(latents.std((0, 2, 3)), torch.ones(6), atol=0.25, rtol=0)
    made = model.sample([3, 4], label="dark")
    assert made.shape == (2, 3, 32, 32)
    assert float(made.abs().max()) <= 1
    again = mz.load(trained.path)
    opened = again.sample([3, 4], label="dark")
    torch.testing.assert_close(opened, made, atol=1e-4, rtol=0)
    assert torch.equal(again.sample([4, 3], label="dark").flip(0), opened)
    assert not torch.equal(again.sample([3], label="light")[0], made[0])


def test_pictures_masks_films_and_ways_between_work_among_latents(trained: mz.Run) -> None:
    model, image = trained.model, to_float(squares(32)[:1])
    mask = torch.zeros(1, 1, 32, 32)
    mask[..., 8:16, 8:16] = 1
    painted = model.sample([0, 1], image=image, mask=mask)
    torch.testing.assert_close(
        painted[:, :, :8], image.expand(2, -1, -1, -1)[:, :, :8], atol=0, rtol=0
    )
    near = model.sample([0], image=image, strength=0.25)
    far = model.sample([0], image=image, strength=1.0)
    assert float((near - image).square().mean()) < float((far - image).square().mean())
    noisy, clean = model.film([0], frames=3)
    assert noisy.shape == clean.shape == (1, 3, 3, 32, 32)
    way = model.interpolate(0, 1, 3)
    torch.testing.assert_close(way[0], model.sample([0])[0], atol=1e-5, rtol=0)


def test_a_student_learns_two_steps_among_latents(trained: mz.Run, photographs: Path) -> None:
    run = mz.distill(trained, photographs, trained.path.with_name("student"), images=32, batch=8)
    assert run.model.config.steps == 2
    assert run.model.sample([0]).shape == (1, 3, 32, 32)


@pytest.mark.parametrize("label", [None, "light"])
def test_plain_diffusers_draws_the_same_pictures(
    trained: mz.Run, label: str | None, tmp_path: Path
) -> None:
    model = trained.model
    mz.export(model, tmp_path / "out", label=label)
    pipeline = diffusers.DiffusionPipeline.from_pretrained(tmp_path / "out")
    pipeline.set_progress_bar_config(disable=True)
    assert type(pipeline).__name__ == "LDMPipeline"
    noise = mz_noise(5, pipeline)
    told = model.sample([5], label=label or "none", steps=7)
    pipeline.scheduler.set_timesteps(7)
    with torch.no_grad():
        latents = noise
        for time in pipeline.scheduler.timesteps:
            step = pipeline.unet(latents, time).sample
            latents = pipeline.scheduler.step(step, time, latents).prev_sample
        theirs = pipeline.vqvae.decode(latents / pipeline.vqvae.config.scaling_factor).sample
    torch.testing.assert_close(told, theirs.clamp(-1, 1), atol=1e-4, rtol=0)
    drawn = pipeline(num_inference_steps=2, output_type="np").images
    assert drawn.shape == (1, 32, 32, 3)


def mz_noise(seed: int, pipeline: diffusers.DiffusionPipeline) -> torch.Tensor:
    """The noise that a seed starts from."""
    from mezzotint.seeds import ImageNoise

    side = pipeline.unet.config.sample_size
    return ImageNoise([seed]).randn(pipeline.unet.config.in_channels, side, side)


def test_what_cannot_be_exported_says_so(trained: mz.Run, tmp_path: Path) -> None:
    for options in ({"solver": "heun"}, {"solver": "ddpm"}):
        with pytest.raises(ConfigError, match="solver"):
            mz.export(trained.model, tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()
