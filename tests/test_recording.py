"""A recorded pass gives what the pass itself gives; on a CPU a stand-in replays it."""

from contextlib import nullcontext
from dataclasses import replace

import pytest
import torch
from torch import nn

from mezzotint.families import family_class
from mezzotint.families.base import Batch
from mezzotint.seeds import BatchNoise
from mezzotint.training.recording import Recording
from mezzotint.training.seats import Turn
from mezzotint.training.soundness import LossWatch

SIZE = (16, 16)
CASES = {
    "autoencoder": {"widths": (8, 16), "latent": 6, "corruption": ("gaussian", "masking")},
    "vae": {"widths": (8, 16), "latent": 6},
    "diffusion": {"widths": (8, 16), "classes": ("a", "b"), "groups": 4},
}


class Again:
    """Stands in for a CUDA graph: to replay is to run the pass on the fixed tensors again."""

    def __init__(self) -> None:
        self.run = lambda: None

    def replay(self) -> None:
        self.run()


def backward_of(player):
    turn = Turn(player)

    def backward(batch):
        losses = turn(batch)
        losses["loss"].backward()
        return losses

    return turn, backward


def batch_at(step):
    generator = torch.Generator().manual_seed(step)
    images = torch.rand((6, 1, *SIZE), generator=generator) * 2 - 1
    return Batch(images, BatchNoise(("t", step), 6), torch.arange(6) % 2)


def player_of(name):
    torch.manual_seed(0)
    model = family_class(name)(size=SIZE, **CASES[name]).train()
    if name == "diffusion":
        model.prepare(torch.cat([batch_at(step).images for step in range(9)]), torch.arange(54) % 2)
    return next(iter(model.players().values()))


@pytest.mark.parametrize("name", CASES)
def test_replays_are_the_pass_itself(name):
    player = player_of(name)
    assert player.recordable
    turn, backward = backward_of(player)
    graph, fixed = Again(), []

    def keep(batch):
        fixed.append(batch)
        return backward(batch)

    recording = Recording(keep, turn, batch_at(0), graph, lambda graph: nullcontext())

    def rerun():
        turn.zero_grad()
        for name, value in backward(fixed[-1]).items():
            recording.losses[name].copy_(value.detach())

    graph.run = rerun
    plain_turn, plain = backward_of(player_of(name))
    for step in range(3):
        found = recording.replay(batch_at(step))
        plain_turn.zero_grad()
        wanted = plain(batch_at(step))
        assert found.keys() == wanted.keys()
        for key, value in wanted.items():
            assert torch.equal(found[key], value), key
        pairs = zip(turn.parameters(), plain_turn.parameters(), strict=True)
        assert all(torch.equal(a.grad, b.grad) for a, b in pairs)


def test_recording_leaves_buffers_as_they_were():
    module = nn.BatchNorm2d(1)
    before = {name: value.clone() for name, value in module.state_dict().items()}

    def backward(batch):
        loss = module(batch.images).square().mean()
        loss.backward()
        return {"loss": loss}

    Recording(backward, module, batch_at(0), Again(), lambda graph: nullcontext())
    assert all(torch.equal(before[name], value) for name, value in module.state_dict().items())


def test_what_is_known_is_replayed():
    weight = nn.Parameter(torch.ones(3))
    module = nn.ParameterList([weight])
    graph, fixed = Again(), []

    def backward(batch):
        fixed.append(batch)
        loss = (batch.known["rows"] * weight).sum()
        loss.backward()
        return {"loss": loss}

    def known_at(step):
        return replace(batch_at(step), known={"rows": torch.full((6, 3), float(step))})

    Recording(backward, module, known_at(1), graph, lambda graph: nullcontext()).replay(known_at(5))
    assert torch.equal(fixed[-1].known["rows"], torch.full((6, 3), 5.0))


def test_the_pass_is_traced_whole():
    player = player_of("diffusion")
    turn, _ = backward_of(player)
    logged, noise = batch_at(0), BatchNoise(("t", 0), 6)
    wanted = turn(logged)["loss"]
    from mezzotint.training.recording import Fixed

    fixed = Fixed([noise.rand(), noise.randn(1, *SIZE), noise.rand()])
    compiled = torch.compile(turn, fullgraph=True, backend="eager")
    found = compiled(Batch(logged.images, fixed, logged.labels))["loss"]
    torch.testing.assert_close(found, wanted)


def test_a_recordable_loss_ignores_progress():
    for name in CASES:
        player = player_of(name)
        losses = [
            player.loss(Batch(batch_at(1).images, BatchNoise((1,), 6), None, progress=share))
            for share in (0.1, 0.9)
        ]
        assert torch.equal(losses[0]["loss"], losses[1]["loss"])
    warming = family_class("vae")(size=SIZE, **CASES["vae"], beta_warmup=0.5)
    assert not next(iter(warming.players().values())).recordable


def test_a_gpu_is_asked_seldom_and_names_the_first_broken_batch():
    watch = LossWatch(torch.device("cpu"))
    watch._every = 4  # as on a GPU, where every look waits
    losses = [1.0, float("nan"), float("inf"), 1.0]
    found = [watch.note(torch.tensor(loss), seen) for seen, loss in enumerate(losses)]
    assert found == [None, None, None, 1]
    watch.forget()
    assert watch.first() is None
    at_once = LossWatch(torch.device("cpu"))
    assert at_once.note(torch.tensor(1.0), 7) is None
    assert at_once.note(torch.tensor(float("nan")), 8) == 8
    assert at_once.note(torch.tensor(5.0), 9, ceiling=4.0) == 9
