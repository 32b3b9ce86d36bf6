"""Losses and penalties of GANs against closed forms, finite differences and known properties."""

import math

import pytest
import torch
from torch import nn

from mezzotint import adversarial as adv

REAL = torch.tensor([0.3, -1.2, 2.5, 0.0])
FAKE = torch.tensor([-0.4, 1.5, -3.0, 0.2])


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def mean(values):
    values = list(values)
    return sum(values) / len(values)


CRITIC = {
    "non-saturating": mean(-math.log(sigmoid(float(x))) for x in REAL)
    + mean(-math.log(1 - sigmoid(float(x))) for x in FAKE),
    "hinge": mean(max(0, 1 - float(x)) for x in REAL) + mean(max(0, 1 + float(x)) for x in FAKE),
    "wasserstein": mean(map(float, FAKE)) - mean(map(float, REAL)),
    "relativistic": mean(-math.log(sigmoid(float(r - f))) for r, f in zip(REAL, FAKE, strict=True)),
}
GENERATOR = {
    "non-saturating": mean(-math.log(sigmoid(float(x))) for x in FAKE),
    "hinge": -mean(map(float, FAKE)),
    "wasserstein": -mean(map(float, FAKE)),
    "relativistic": mean(-math.log(sigmoid(float(f - r))) for r, f in zip(REAL, FAKE, strict=True)),
}


@pytest.mark.parametrize("name", adv.OBJECTIVES)
def test_losses_are_their_closed_forms(name):
    objective = adv.OBJECTIVES[name]
    assert float(objective.critic(REAL, FAKE)) == pytest.approx(CRITIC[name], rel=1e-5)
    assert float(objective.generator(REAL, FAKE)) == pytest.approx(GENERATOR[name], rel=1e-5)


@pytest.mark.parametrize("name", adv.OBJECTIVES)
def test_the_players_pull_in_opposite_directions(name):
    """A critic raises real outputs and lowers made ones; a generator raises made ones."""
    real, fake = REAL.clone().requires_grad_(), FAKE.clone().requires_grad_()
    objective = adv.OBJECTIVES[name]
    of_real, of_fake = torch.autograd.grad(objective.critic(real, fake), (real, fake))
    assert of_real.sum() < 0 < of_fake.sum()
    (wanted,) = torch.autograd.grad(objective.generator(real.detach(), fake), fake)
    assert wanted.sum() < 0


@pytest.mark.parametrize("name", ["non-saturating", "relativistic"])
def test_extreme_logits_stay_finite(name):
    real, fake = torch.tensor([-1e4, 1e4]), torch.tensor([1e4, -1e4])
    objective = adv.OBJECTIVES[name]
    assert torch.isfinite(objective.critic(real, fake))
    assert torch.isfinite(objective.generator(real, fake))


@pytest.mark.parametrize("name", adv.OBJECTIVES)
def test_the_zero_of_outputs_matters_where_it_is_said_to(name):
    objective = adv.OBJECTIVES[name]
    moved, plain = objective.critic(REAL + 7, FAKE + 7), objective.critic(REAL, FAKE)
    assert bool((moved - plain).abs() > 0.1) == objective.absolute


class Critic(nn.Module):
    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.layers = nn.Sequential(
            nn.Conv2d(2, 4, 3, 2), nn.SiLU(), nn.Flatten(), nn.Linear(16, 1), nn.Flatten(0)
        )
        self.double()

    def forward(self, images):
        return self.layers(images)


def pictures(count, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn((count, 2, 6, 6), generator=generator, dtype=torch.float64)


def penalty(critic, images, of):
    leaf = images.clone().requires_grad_()
    gradient = torch.autograd.grad(critic(leaf).sum(), leaf, create_graph=True)[0]
    return of(gradient)


def test_input_gradients_are_finite_differences():
    critic, images = Critic(), pictures(3)
    leaf = images.clone().requires_grad_()
    found = adv.input_gradient(critic(leaf), leaf)
    nudge = torch.zeros_like(images)
    for place in [(0, 0, 0), (1, 3, 2), (0, 5, 4)]:
        nudge.zero_()[(slice(None), *place)] = 1e-5
        with torch.no_grad():
            slope = (critic(images + nudge) - critic(images - nudge)) / 2e-5
        torch.testing.assert_close(
            found[(slice(None), *place)], slope.float(), rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("of", [adv.unit_norm_penalty, adv.zero_norm_penalty])
def test_the_penalty_differentiates_like_finite_differences(of):
    """The second derivative that trains the critic: d penalty / d weight."""
    critic, images = Critic(), pictures(3)
    weight = critic.layers[0].weight
    value = penalty(critic, images, of)
    (found,) = torch.autograd.grad(value, weight)
    for place in [(0, 0, 0, 0), (3, 1, 2, 1), (2, 0, 1, 2)]:
        kept = float(weight[place].detach())
        sides = []
        for step in (1e-6, -1e-6):
            with torch.no_grad():
                weight[place] = kept + step
            sides.append(float(penalty(critic, images, of).detach()))
        with torch.no_grad():
            weight[place] = kept
        assert float(found[place]) == pytest.approx((sides[0] - sides[1]) / 2e-6, rel=1e-4)


@pytest.mark.parametrize("of", [adv.unit_norm_penalty, adv.zero_norm_penalty])
def test_penalties_are_means_over_images(of):
    gradient = pictures(5)
    each = torch.stack([of(row[None]) for row in gradient])
    torch.testing.assert_close(of(gradient), each.mean())


def test_penalties_in_closed_form():
    """A linear critic w.x has the gradient w everywhere."""
    weight = torch.full((1, 2, 3, 3), 0.5)
    images = torch.randn(4, 2, 3, 3, requires_grad=True)
    gradient = adv.input_gradient((images * weight).flatten(1).sum(1), images)
    norm = math.sqrt(18 * 0.25)
    assert float(adv.unit_norm_penalty(gradient)) == pytest.approx((norm - 1) ** 2, rel=1e-5)
    assert float(adv.zero_norm_penalty(gradient)) == pytest.approx(norm**2 / 2, rel=1e-5)


def test_a_flat_critic_has_a_finite_penalty_gradient():
    gradient = torch.zeros(3, 1, 2, 2, requires_grad=True)
    (found,) = torch.autograd.grad(adv.unit_norm_penalty(gradient), gradient)
    assert torch.isfinite(found).all()


def test_points_between_have_a_share_an_image():
    real, fake = pictures(3), pictures(3, 1)
    mixed = adv.between(real, fake, torch.tensor([0.0, 0.25, 1.0], dtype=torch.float64))
    torch.testing.assert_close(mixed[0], fake[0])
    torch.testing.assert_close(mixed[1], 0.25 * real[1] + 0.75 * fake[1])
    torch.testing.assert_close(mixed[2], real[2])


@pytest.mark.parametrize(
    ("real", "fake", "share"), [([1, 2], [0, -1], 1), ([0, 0], [0, 0], 0.5), ([0, 2], [1, 3], 0.25)]
)
def test_accuracy_counts_pairs(real, fake, share):
    found = adv.accuracy(torch.tensor(real).float(), torch.tensor(fake).float())
    assert float(found) == share


def test_energy_distance_of_shifted_points_is_known():
    """Two point masses at distance d are 2 d apart."""
    first, second = torch.zeros(3, 1, 2, 2), torch.full((5, 1, 2, 2), 0.5)
    assert float(adv.energy_distance(first, second)) == pytest.approx(1.0)
    assert float(adv.energy_distance(second, second)) == pytest.approx(0, abs=1e-6)


def test_energy_distance_sees_a_collapse():
    generator = torch.Generator().manual_seed(0)
    first, second = torch.randn((2, 200, 1, 4, 4), generator=generator)
    alike = adv.energy_distance(first, second)
    collapsed = adv.energy_distance(first, first.mean(0, keepdim=True).expand(200, 1, 4, 4))
    assert 0 < 20 * alike < collapsed
