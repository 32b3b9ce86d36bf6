"""The GAN family: two players that leave each other alone, exact resume, the classic plain loop."""

import copy
import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from mezzotint.data.batches import rows_at
from mezzotint.data.store import load_images
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families.base import Batch, Form, fixed_noise
from mezzotint.families.contending import (
    AHEAD,
    BEHIND,
    GANConfig,
    Judge,
    affordable_side,
    patch_of,
    stage_widths,
    too_short,
)
from mezzotint.families.gan import GAN
from mezzotint.nets.small_grids import adapt
from mezzotint.noise import truncate
from mezzotint.runs import checkpoint
from mezzotint.seeds import BatchNoise, mix
from mezzotint.training.feeding import normalise
from mezzotint.training.loop import Trainer
from mezzotint.training.plans import make_plan
from mezzotint.training.recipe import Recipe

SMALL = {"size": (16, 16), "widths": (8, 16), "latent": 6}
VARIANTS = {
    "default": {},
    "classic": {"network": "dcgan", "norm": "batch", "critic_norm": "batch", "penalty": "none"}
    | {"objective": "non-saturating"},
    "wgan-gp": {"objective": "wasserstein", "penalty": "gradient", "penalty_every": 1},
    "sngan": {"objective": "hinge", "penalty": "none", "spectral": True},
    "r1": {"objective": "non-saturating", "penalty": "r1", "penalty_every": 2},
    "small data": {"augment": "translation,colour,cutout,flip", "ada_target": 0.6},
}
EVERYTHING = {"spectral": True, "balance": True, "penalty_every": 3, "classes": ("a", "b", "c")}
EVERYTHING |= {
    "augment": "translation,cutout",
    "ada_target": 0.6,
    "ada_images": 2000,
    "norm": "batch",
}


class Pixels:
    """A feed of random pictures, as the loop wants one."""

    def __init__(self, count=96, size=16, batch=16, labels=None):
        generator = np.random.default_rng(0)
        self.pixels = torch.from_numpy(generator.integers(0, 256, (count, size, size, 1), np.uint8))
        self.size, self.labels = batch, labels

    def to(self, device):
        return self

    def rows(self, seen, seed):
        return rows_at(len(self.pixels), seed, seen, self.size)

    def batch(self, rows, noise, flip=False, jitter=0.0):
        labels = None if self.labels is None else self.labels[torch.from_numpy(np.array(rows))]
        return Batch(normalise(self.pixels[np.array(rows)]), noise, labels)


def made(**options):
    torch.manual_seed(0)
    return GAN(**{**SMALL, **options})


def batch(count=8, key=(0,), turn=0):
    generator = torch.Generator().manual_seed(3)
    pictures = torch.rand((count, 1, 16, 16), generator=generator) * 2 - 1
    labels = torch.arange(count) % 3
    return Batch(pictures, BatchNoise(key, count), labels, turn=turn)


def trainer(model, feed, **options):
    recipe = Recipe(**{"images": 16 * 40, "batch": feed.size, "warmup": 0.0, "ema": 0.1, **options})
    return Trainer(model, feed, recipe)


def run(work, iterations):
    records = work.records()
    return [next(records) for _ in range(iterations)]


@pytest.mark.parametrize("variant", VARIANTS)
@pytest.mark.parametrize("classes", [(), ("a", "b", "c")])
def test_a_step_of_one_leaves_no_gradient_in_the_other(variant, classes):
    model = made(**VARIANTS[variant], classes=classes).train()
    for mine, other in (("critic", "generator"), ("generator", "critic")):
        model.zero_grad()
        model.players()[mine].loss(batch())["loss"].backward()
        assert all(p.grad is None for p in getattr(model, other).parameters())
        own = list(getattr(model, mine).parameters())
        assert all(p.grad is not None and torch.isfinite(p.grad).all() for p in own)
        assert all(p.requires_grad for p in model.parameters())


@pytest.mark.parametrize("variant", VARIANTS)
def test_a_step_changes_its_own_player_alone(variant):
    work = trainer(made(**VARIANTS[variant]), Pixels())
    for seat, other in zip(work.seats, reversed(work.seats), strict=True):
        before = [p.detach().clone() for p in other.player.module.parameters()]
        own = [p.detach().clone() for p in seat.player.module.parameters()]
        work._step(seat, 0)
        pairs = zip(before, other.player.module.parameters(), strict=True)
        assert all(torch.equal(a, b) for a, b in pairs)
        assert any(
            not torch.equal(a, b) for a, b in zip(own, seat.player.module.parameters(), strict=True)
        )


@pytest.mark.parametrize(("size", "channels"), [((28, 28), 1), ((64, 48), 3), ((16, 16), 4),
                                                ((100, 37), 1)])  # fmt: skip
@pytest.mark.parametrize("preset", GAN.presets)
def test_every_preset_takes_every_size(preset, size, channels):
    plan = make_plan("gan", preset, {})
    model = GAN(**{**plan.model, "size": size, "channels": channels, "classes": ("a", "b")})
    pictures = torch.rand(2, channels, *size) * 2 - 1
    for player in model.train().players().values():
        losses = player.loss(Batch(pictures, BatchNoise((0,), 2), torch.tensor([0, 1])))
        losses["loss"].backward()
        assert math.isfinite(float(losses["loss"].detach()))
    assert model.eval().sample([0], label="b").shape == (1, channels, *size)


def plain_networks():
    generator = nn.Sequential(
        nn.Linear(100, 256 * 7 * 7), nn.Unflatten(1, (256, 7, 7)),
        nn.ConvTranspose2d(256, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.ReLU(),
        nn.ConvTranspose2d(128, 1, 4, 2, 1, bias=False), nn.Tanh(),
    )  # fmt: skip
    critic = nn.Sequential(
        nn.Conv2d(1, 64, 4, 2, 1, bias=False), nn.LeakyReLU(0.2),
        nn.Conv2d(64, 128, 4, 2, 1, bias=False), nn.BatchNorm2d(128), nn.LeakyReLU(0.2),
        nn.Conv2d(128, 256, 4, 2, 1, bias=False), nn.BatchNorm2d(256), nn.LeakyReLU(0.2),
        nn.Flatten(), nn.Linear(256 * 3 * 3, 1),
    )  # fmt: skip
    return generator, critic


def plain_loop(generator, critic, feed, steps):
    """The textbook: its own networks, losses and optimisers; the batches and noise of the run."""
    optimisers = [
        torch.optim.Adam(network.parameters(), 2e-4, (0.5, 0.999), fused=True)
        for network in (generator, critic)
    ]
    found = []
    ones, zeros = torch.ones(feed.size, 1), torch.zeros(feed.size, 1)
    for step in range(steps):
        seen = step * feed.size
        real = feed.batch(feed.rows(seen, mix(0, 0)), None).images
        z = BatchNoise(("train", 0, 0, seen, "critic"), feed.size).randn(100)
        critic.zero_grad()
        loss = F.binary_cross_entropy_with_logits(critic(real), ones)
        fake = generator(z).detach()
        loss = loss + F.binary_cross_entropy_with_logits(critic(fake), zeros)
        loss.backward()
        optimisers[1].step()
        z = BatchNoise(("train", 0, 0, seen, "generator"), feed.size).randn(100)
        generator.zero_grad()
        other = F.binary_cross_entropy_with_logits(critic(generator(z)), ones)
        other.backward()
        optimisers[0].step()
        found.append((float(loss.detach()), float(other.detach())))
    return found


def test_classic_repeats_the_plain_loop_exactly():
    plan = make_plan("gan", "classic", {"images": 20 * 8, "batch": 8})
    torch.manual_seed(0)
    model = GAN(**{**plan.model, "size": (28, 28)})
    feed = Pixels(size=28, batch=8)
    plain = plain_networks()
    mine = [model.generator.state_dict(), model.critic.network.state_dict()]
    for network, state in zip(plain, mine, strict=True):
        own = network.state_dict()
        network.load_state_dict(dict(zip(own, copy.deepcopy(list(state.values())), strict=True)))
        network.to(memory_format=torch.channels_last)
        adapt(network)  # the same kernels, so that the same numbers can come out
    records = run(Trainer(model, feed, plan.recipe), 20)
    found = [(float(r.losses["critic.loss"]), float(r.losses["generator.loss"])) for r in records]
    assert found == plain_loop(*plain, feed, 20)
    assert len(set(found)) == 20


@pytest.mark.parametrize("options", [EVERYTHING, VARIANTS["classic"], {"critic_steps": 3}])
def test_a_resumed_run_is_the_unbroken_one_bit_for_bit(options):
    labels = torch.arange(96) % 3
    unbroken = trainer(made(**options), Pixels(labels=labels), betas=(0.0, 0.9))
    run(unbroken, 6)
    saved = copy.deepcopy(SimpleNamespace(tensors=unbroken.tensors(), state=unbroken.state()))
    last = run(unbroken, 6)
    resumed = trainer(made(**options), Pixels(labels=labels), betas=(0.0, 0.9))
    resumed.restore(saved)
    again = run(resumed, 6)
    for first, second in zip(last, again, strict=True):
        assert {k: float(v) for k, v in first.losses.items()} == {
            k: float(v) for k, v in second.losses.items()
        }
    one, two = unbroken.tensors(), resumed.tensors()
    assert one.keys() == two.keys()
    for group in one:
        assert one[group].keys() == two[group].keys()
        assert all(torch.equal(one[group][name], two[group][name]) for name in one[group])
    assert unbroken.turns == resumed.turns
    assert unbroken.images == resumed.images


def test_a_checkpoint_holds_what_the_critic_remembers():
    work = trainer(made(**EVERYTHING), Pixels(labels=torch.arange(96) % 3))
    work.family.critic.chance.fill_(0.5)  # free to go either way
    start = {name: tensor.clone() for name, tensor in work.tensors()["model"].items()}
    run(work, 6)
    now = work.tensors()["model"]
    for name in (
        "critic.chance",
        "critic.accuracy",
        "generator.levels.0.0.norm.norm.0.running_mean",
    ):
        assert not torch.equal(start[name], now[name]), name
    vectors = [name for name in now if name.endswith("._u") and len(now[name]) > 1]
    assert vectors
    assert all(not torch.equal(start[name], now[name]) for name in vectors)
    owners = {name.split(".")[0] for name in work.tensors()["optimizer"]}
    assert owners == {"critic", "generator"}


def test_losses_and_gradient_norms_are_told():
    work = trainer(made(), Pixels())
    losses = run(work, 1)[0].losses
    wanted = {"loss", "real", "fake", "accuracy", "penalty", "gradient"}
    assert {f"critic.{name}" for name in wanted} <= set(losses)
    assert {"generator.loss", "generator.gradient"} <= set(losses)
    assert set(GAN.headline.values()) <= set(losses)
    seat = work.seats[1]
    losses = work._step(seat, 16)
    square = sum(float(p.grad.square().sum()) for p in seat.player.module.parameters())
    assert float(losses["gradient"]) == pytest.approx(square**0.5, rel=1e-5)


def test_a_lazy_penalty_comes_seldom_and_weighs_as_much():
    often, seldom = made(penalty_every=1), made(penalty_every=4)
    found = [float(seldom.critic_loss(batch(turn=turn))["penalty"]) for turn in range(8)]
    assert [value > 0 for value in found] == [turn % 4 == 0 for turn in range(8)]
    assert found[0] == pytest.approx(4 * float(often.critic_loss(batch())["penalty"]), rel=1e-6)


def test_the_penalty_is_counted_in_the_critics_own_steps():
    """However the steps are shared out, every third of the critic's has one."""
    work = trainer(made(penalty_every=3, critic_steps=2), Pixels(), ema=0.0)
    found = [float(record.losses["critic.penalty"]) > 0 for record in run(work, 6)]
    assert found == [turn % 3 == 0 for turn in range(1, 12, 2)]


def test_alarms_bring_single_steps_and_a_penalty_or_twice_of_it():
    bare = made(penalty="none", generator_steps=3)
    turns = bare.players()["generator"].steps
    assert "penalty" not in bare.critic_loss(batch())
    assert turns() == 3
    assert (
        bare.steady(1)
        == "a penalty on the critic's gradient and one step of the generator at a time"
    )
    assert turns() == 1
    usual = made(penalty="r1r2", penalty_every=1)
    for alarms in (1, 2, 3):
        bare.steady(alarms)
        usual.steady(alarms - 1)
        found, wanted = (one.critic_loss(batch(turn=7))["penalty"] for one in (bare, usual))
        assert float(found) == pytest.approx(float(wanted))
    assert usual.steady(3) == "8 times the penalty"
    bare.steady(0)
    assert "penalty" not in bare.critic_loss(batch())
    mixed = made(penalty="none", critic_norm="batch")
    assert mixed.steady(2) == ""
    assert "penalty" not in mixed.critic_loss(batch())


def test_alarms_quarter_the_rate():
    work = trainer(made(), Pixels(), decay="none")
    before = run(work, 1)[0].rate
    work.rollbacks = work.alarms = 1
    assert run(work, 2)[-1].rate == pytest.approx(before / 4)


def test_a_run_that_went_back_ends_its_schedule_in_what_is_left(tmp_path):
    """Back from 60% to 20%: half of the run's way is gone at 80%, all of it at the end."""
    work = trainer(made(), Pixels(), images=None, budget=100.0, decay="linear")
    work.seconds = 20.0
    checkpoint.save(tmp_path, 0, work.tensors(), work.state())
    work.seconds = 60.0
    work.restore(checkpoint.newest(tmp_path))
    assert work.seconds == 20.0
    work.go_on(60.0)
    for seconds, wanted in ((60.0, 0.8), (80.0, 0.4), (99.9, 0.002)):
        work.seconds = seconds
        assert next(work.records()).rate == pytest.approx(wanted, abs=0.002)
    work.seconds = 80.0
    work.go_on(90.0)  # once more, from 90% to where the schedule stood at 80%
    for seconds, wanted in ((90.0, 0.4), (95.0, 0.2)):
        work.seconds = seconds
        assert next(work.records()).rate == pytest.approx(wanted, abs=0.002)


def test_the_one_behind_gets_a_step_more():
    model = made(balance=True, critic_steps=2)
    steps = {name: player.turns for name, player in model.players().items()}
    for sure, wanted in ((BEHIND - 0.1, (3, 1)), (0.7, (2, 1)), (AHEAD + 0.1, (2, 2))):
        model.critic.accuracy.fill_(sure)
        assert (steps["critic"](), steps["generator"]()) == wanted
    work = trainer(model, Pixels())
    run(work, 1)
    assert work.turns == {"critic": 2, "generator": 2}
    assert work.images == 32


def test_sure_critics_raise_the_chance_of_changes():
    judge = Judge(nn.Flatten(), ("cutout",), target=0.6, images=64.0)
    half = torch.tensor(0.5)
    for turn in range(8):
        judge.remember(torch.ones(8), half, turn)
        assert float(judge.chance) == (0.5 * ((turn + 1) // 4))
    for turn in range(8, 12):
        judge.remember(-torch.ones(8), half, turn)
    assert float(judge.chance) == 0.5
    assert float(judge.seen) == 0


def test_both_players_see_changed_images_only():
    """A critic that is given whatever the augmentation makes; in use nothing is changed."""
    seen = []

    class Spy(nn.Module):
        def __init__(self):
            super().__init__()
            self.weight = nn.Parameter(torch.ones(()))

        def forward(self, images, label):
            seen.append(images.detach())
            return images.flatten(1).mean(1) * self.weight

    model = made(augment="cutout", penalty="none")
    model = GAN(model.config, critic=Spy())
    for player in model.train().players().values():
        player.loss(batch())
    for images in seen:
        assert ((images == 0).flatten(1).sum(1) >= 16).all()
    seen.clear()
    model.eval().validation_loss(batch())
    assert all((images != 0).all() for images in seen)


def test_no_augmentation_flips_unless_asked():
    for preset in GAN.presets.values():
        assert "flip" not in preset.get("augment", ())
        assert not preset.get("flip", False)


def test_averaged_generators_get_statistics_of_their_own():
    """Averaged running means belong to no generator; settled ones are those of its activations."""
    options = {**VARIANTS["classic"], "widths": (8, 16, 24)}
    work = trainer(made(**options), Pixels(), lr=1e-2)
    run(work, 30)
    model = work.family
    live = model.generator.state_dict()["layers.3.running_mean"].clone()
    with work.averages.main.applied():
        model.eval()
        lerped = model.generator.layers[3].running_mean.clone()
        model.settle()
        settled = model.generator.layers[3]
        z = torch.randn(4000, 6, generator=torch.Generator().manual_seed(0))
        with torch.no_grad():
            inside = model.generator.layers[:3](z).transpose(0, 1).flatten(1)
        off = (settled.running_mean - inside.mean(1)).abs() / inside.std(1)
        assert off.max() < 0.1
        torch.testing.assert_close(settled.running_var, inside.var(1), rtol=0.15, atol=0)
        assert not torch.allclose(lerped, settled.running_mean, atol=1e-4)
        assert not settled.training
        assert settled.momentum == 0.1
    assert torch.equal(model.generator.layers[3].running_mean, live)


def test_settling_is_repeatable_and_nothing_without_batch_norm():
    model = made(**VARIANTS["classic"], classes=("a", "b")).eval()
    model.settle()
    first = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    torch.manual_seed(5)
    model.settle()
    assert all(torch.equal(first[name], tensor) for name, tensor in model.state_dict().items())
    plain = made().eval()
    before = {name: tensor.clone() for name, tensor in plain.state_dict().items()}
    plain.settle()
    assert all(torch.equal(before[name], tensor) for name, tensor in plain.state_dict().items())


def test_the_critic_is_not_averaged():
    work = trainer(made(spectral=True), Pixels())
    run(work, 5)
    live, mean = work.tensors()["model"], work.tensors()["ema"]
    for name, tensor in live.items():
        if name.startswith("critic."):
            assert torch.equal(tensor, mean[name]), name
    assert any(not torch.equal(live[n], mean[n]) for n in live if n.startswith("generator."))


def test_validation_sees_a_collapse():
    """A generator of data-like images is nearer to the data than one that makes the same always."""

    class Fixed(nn.Module):
        def __init__(self, images):
            super().__init__()
            self.register_buffer("images", images)

        def forward(self, z, label):
            return self.images

    pictures = torch.rand((128, 1, 16, 16), generator=torch.Generator().manual_seed(0)) * 2 - 1
    given = Batch(pictures[:64], fixed_noise("v", 64, torch.device("cpu")))
    other = GAN(made().config, generator=Fixed(pictures[64:])).eval().validation_loss(given)
    same = pictures[64:65].expand(64, 1, 16, 16)
    collapsed = GAN(made().config, generator=Fixed(same)).eval().validation_loss(given)
    assert collapsed["loss"] > 5 * other["loss"] > 0


def test_truncation_narrows_without_changing_the_order():
    z = torch.randn(1000, generator=torch.Generator().manual_seed(0)).sort().values
    near = truncate(z, 0.5)
    assert near.abs().max() <= 0.5
    assert (near.diff() >= 0).all()
    torch.testing.assert_close(truncate(z, 40.0), z)
    assert truncate(z, 0) is z
    model = made().eval()
    seeds = range(64)
    wide, narrow = model.sample(seeds), model.sample(seeds, truncation=0.3)
    assert narrow.std(0).mean() < 0.6 * wide.std(0).mean()
    with pytest.raises(UsageError, match="truncation"):
        model.sample(seeds, truncation=-1)


def test_interpolation_starts_and_ends_at_the_samples():
    model = made().eval()
    walk = model.interpolate(3, 8, 5)
    ends = model.sample([3, 8])
    torch.testing.assert_close(walk[[0, -1]], ends, atol=1e-5, rtol=0)


def test_samples_are_of_the_class_that_is_asked_for():
    model = made(classes=("a", "b", "c")).eval()
    with torch.no_grad():
        model.generator.head.weight.zero_()
        model.generator.head.bias.zero_()
    assert model.labels_of([1, 2], "b") == [1, 1]
    assert model.labels_of([1], "none") == [-1]
    with pytest.raises(UsageError, match="no class 'd'"):
        model.sample([0], label="d")
    with pytest.raises(UsageError, match="without classes"):
        made().eval().sample([0], label="a")


def test_groups_are_found_and_drawn_by_their_shares():
    model = made(groups=4)
    pictures = torch.cat([torch.full((30, 1, 16, 16), v) for v in (-0.9, -0.3, 0.3, 0.9)])
    pictures += 0.01 * torch.randn(pictures.shape, generator=torch.Generator().manual_seed(0))
    assert not model.prepared
    model.prepare(pictures, None)
    assert model.prepared
    model.critic_loss(Batch(pictures[:8], BatchNoise((0,), 8)))["loss"].backward()
    assert model.eval().sample(range(3)).shape == (3, 1, 16, 16)


@pytest.mark.parametrize(
    ("options", "where"),
    [
        ({"critic_norm": "batch"}, "critic_norm"),
        ({"augment": "colours"}, "augment"),
        ({"widths": (8,) * 9}, "widths"),
        ({"network": "dcgan", "widths": (8,)}, "widths"),
        ({"groups": 3, "classes": ("a", "b")}, "groups"),
        ({"objective": "hing"}, "objective"),
    ],
)
def test_options_that_do_not_fit_are_errors(options, where):
    with pytest.raises(ConfigError) as found:
        GANConfig(**options)
    assert found.value.where == where
    assert found.value.fix


def test_default_widths_come_down_to_four_cells():
    assert stage_widths(GANConfig(size=(28, 28))) == (32, 64, 128)
    assert stage_widths(GANConfig(size=(28, 28), network="dcgan")) == (64, 128, 256)
    assert stage_widths(GANConfig(size=(64, 64), network="dcgan")) == (64, 128, 256, 512)


def images_of(size, channels=3, count=40):
    pixels = np.random.default_rng(0).integers(0, 256, (count, *size, channels), np.uint8)
    return load_images(pixels, size=size, channels=channels)


def planned(images, preset=None, **options):
    plan = make_plan("gan", preset, {"images": "2M", **options})
    return plan.build(images).config, plan.recipe_for(images)


@pytest.mark.parametrize(("side", "batch", "weight", "levels"), [
    (48, 32, 0.422, 3), (64, 32, 1.0, 3), (96, 16, 3.375, 4), (128, 16, 8.0, 4),
])  # fmt: skip
def test_larger_images_get_options_of_their_own(side, batch, weight, levels):
    """R3GAN's start for ImageNet at 64 px is 1; 8 at 128 lies between its 2 and 150 for faces."""
    config, recipe = planned(images_of((side, side)))
    assert (recipe.batch, config.weight, len(config.widths)) == (batch, weight, levels)
    assert (config.upsample, config.penalty_end) == ("nearest", 0.1)
    assert config.augment == ("colour", "translation", "cutout")
    assert config.ada_target == 0  # few images: always
    cell = patch_of(config) ** 2 * config.channels
    assert config.widths[0] >= cell, "the critic's first layer tells all of a cell"


def test_a_run_says_what_the_size_decided():
    data = images_of((64, 64))
    told = make_plan("gan", None, {"images": "2M", "batch": 7}).told(data)
    assert told.startswith("for 36 images of 64x64: upsample=nearest ")
    assert "widths=48,96,192" in told
    assert "batch=" not in told
    assert not make_plan("gan", "r3gan", {}).told(data)


def test_many_images_are_changed_as_often_as_needed():
    found = GAN.suited(Form((64, 64), 3, 5000), {})
    assert found["ada_target"] == 0.6


def test_small_images_presets_and_given_options_stay():
    assert planned(images_of((32, 32)))[0] == GANConfig(size=(32, 32), channels=3)
    r3gan, recipe = planned(images_of((64, 64)), "r3gan")
    assert r3gan == GANConfig(size=(64, 64), channels=3)
    assert recipe.batch == 64
    config, recipe = planned(images_of((64, 64)), batch=7, augment="flip", widths="8,16")
    assert (recipe.batch, config.augment, config.widths) == (7, ("flip",), (8, 16))
    assert config.ada_target == 0
    dcgan, _ = planned(images_of((64, 64)), network="dcgan")
    assert (dcgan.upsample, dcgan.widths) == ("transposed", ())


def test_the_penalty_falls_to_its_end():
    model = made(penalty_end=0.1, penalty_every=1)
    start, middle, end = (
        float(model.critic_loss(replace(batch(), progress=progress))["penalty"])
        for progress in (0.0, 0.5, 1.0)
    )
    assert middle == pytest.approx(0.55 * start, rel=1e-5)
    assert end == pytest.approx(0.1 * start, rel=1e-5)
    assert not model.players()["critic"].recordable  # a recorded pass would repeat one weight


def test_signs_of_a_critic_that_knows_differences_alone_have_a_border_between_the_means():
    """Adding a number to all outputs changes no relativistic loss; it must change no chance."""
    real, fake = torch.tensor([3.0, 1.0, 2.0]), torch.tensor([0.0, 1.0, 2.0])
    for shift in (0.0, 5.0, -5.0):
        border = made()._border(real + shift, fake + shift)
        assert (real + shift - border).sign().tolist() == [1, -1, 1]
    assert made(objective="hinge")._border(real, fake) == 0


def test_a_side_is_halved_until_the_run_is_long_enough():
    assert affordable_side(64, lambda side: 200_000) == 64
    assert affordable_side(64, lambda side: 100_000) == 32
    assert affordable_side(256, lambda side: 2.6e9 / side**2) == 128
    assert affordable_side(48, lambda side: 10) == 48  # half of it would be below the least
    assert "--size 128" in too_short(128, 64, 3.2)
    assert "3.2 times" in too_short(128, 64, 3.2)


@pytest.mark.parametrize(("given", "batch"), [
    ({"budget": "20s"}, 16), ({"budget": "1m"}, 16), ({"budget": "2m"}, 32),
    ({"budget": "10m"}, 64), ({"images": "20k"}, 16), ({"images": "50k"}, 32),
    ({"images": "2M"}, 64), ({}, 64), ({"budget": "20s", "batch": 50}, 50),
])  # fmt: skip
def test_short_runs_take_small_batches_unless_told(given, batch):
    for preset in ("default", "sngan"):
        assert make_plan("gan", preset, given).recipe.batch == batch
    for name in ("budget", "images"):  # the generator moves at every fifth batch alone
        if name in given and "batch" not in given:
            amount = given[name].rstrip("smkM")
            longer = {name: given[name].replace(amount, str(5 * int(amount)))}
            assert make_plan("gan", "wgan-gp", longer).recipe.batch == batch
    classic = make_plan("gan", "classic", given).recipe.batch
    assert classic == given.get("batch", 128)
