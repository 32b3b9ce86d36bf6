"""What the detector learns beside reconstruction: where damage is, which way things are turned."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

import mezzotint as mz
from mezzotint.augmentations import cropped
from mezzotint.corruptions import flaws
from mezzotint.data.store import load_images
from mezzotint.errors import ConfigError, UsageError
from mezzotint.families.base import Batch
from mezzotint.metrics.detecting import auroc
from mezzotint.nets import turning
from mezzotint.seeds import BatchNoise
from mezzotint.training.plans import make_plan
from mezzotint.training.sizes import limit_of

SMALL = {"spatial": True, "latent": 4, "widths": (16, 32), "blocks": 1, "norm": "group"}


def draws(rows: int, step: int = 0) -> BatchNoise:
    return BatchNoise(("test", step), rows, device=torch.device("cpu"))


def trained(model: mz.Autoencoder, images: torch.Tensor, steps: int) -> mz.Autoencoder:
    optimiser = torch.optim.Adam(model.parameters(), 3e-3)
    for step in range(steps):
        loss = model.loss(Batch(images, draws(len(images), step)))["loss"]
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return model.eval()


def test_crops_are_parts_of_their_images_and_reach_every_corner():
    images = torch.arange(2 * 6 * 9.0).view(2, 1, 6, 9)
    found = cropped(images, 4, torch.tensor([[0.0, 0.0], [0.999, 0.999]]))
    torch.testing.assert_close(found[0], images[0, :, :4, :4])
    torch.testing.assert_close(found[1], images[1, :, 2:, 5:])
    assert cropped(images, 7, torch.zeros(2, 2)).shape == (2, 1, 6, 7)


@pytest.mark.parametrize("side", [20, 64])
def test_flaws_are_small_whatever_the_size_and_leave_the_rest_alone(side):
    clean = torch.rand(64, 1, side, side)
    damaged = flaws(clean, 0.6, draws(64))
    changed = (damaged != clean).float().mean((1, 2, 3))
    assert damaged.min() >= 0
    assert damaged.max() <= 1
    assert changed.min() < 0.1
    assert 0.02 < changed.mean() < 0.5


def test_a_model_learns_where_damage_is_on_crops_and_sees_it_in_whole_images():
    torch.manual_seed(0)
    wave = torch.sin(torch.arange(48) * 0.8)[None, None, None] * 0.4
    images = wave + 0.02 * torch.randn(16, 1, 48, 48)
    model = mz.Autoencoder(
        size=(48, 48), **SMALL, corruption=("flaws",), noise=0.6, marks=1.0, crop=24
    )
    trained(model, images, 60)
    spoilt = images.clone()
    spoilt[:, :, 20:23, 8:40] += 0.6
    heat = model.mark(spoilt)
    assert heat.shape == (16, 48, 48)
    mask = np.zeros(heat.shape, dtype=bool)
    mask[:, 20:23, 8:40] = True
    assert auroc(heat.numpy(), mask) > 0.95


def test_a_model_is_surer_of_the_turns_of_what_it_knows():
    torch.manual_seed(0)

    def drawn(count: int, upright: bool) -> torch.Tensor:
        pixels = torch.full((count, 1, 24, 24), -1.0)
        pixels[:, :, 6:18, 10:14] = 1
        pixels[
            :, :, *((slice(6, 10), slice(6, 18)) if upright else (slice(10, 14), slice(6, 18)))
        ] = 1
        return pixels + 0.1 * torch.randn_like(pixels)

    model = mz.Autoencoder(size=(24, 24), **SMALL, turns=1.0)
    trained(model, drawn(16, True), 25)
    known, other = model.surprise(drawn(16, True)), model.surprise(drawn(16, False))
    assert known.max() < other.min()  # a cross looks the same whichever way it is turned


def test_moves_and_turns_do_what_they_say():
    images = torch.zeros(1, 1, 8, 8)
    images[..., 3, 4] = 1
    for down in range(3):
        for right in range(3):
            shown = turning.moved(images, torch.tensor([down]), torch.tensor([right]))
            assert shown[0, 0, 3 + 2 * (down - 1), 4 + 2 * (right - 1)] == 1
            assert shown.sum() == 1
    np.testing.assert_array_equal(
        turning.all_turns(images)[:, 0].numpy(), [np.rot90(images[0, 0], k) for k in range(4)]
    )
    assert turning.small_square(torch.zeros(2, 3, 100, 60)).shape == (2, 3, 32, 32)
    assert turning.small_square(torch.zeros(2, 3, 20, 12)).shape == (2, 3, 20, 20)


def test_one_who_knows_nothing_is_as_surprised_as_chance():
    logits = torch.zeros(4 * 5, 10)
    nats = turning.surprises(logits, torch.ones(5, 2, dtype=torch.int64))
    torch.testing.assert_close(nats, torch.full((20,), np.log(4) + np.log(3)).float())


@pytest.mark.parametrize(
    ("options", "match"),
    [
        ({"marks": 0.1}, "marks are learnt from damage"),
        ({"crop": 16}, "spatial latent"),
        ({"crop": 16, "spatial": True, "network": "mlp"}, "spatial latent"),
    ],
)
def test_options_that_cannot_work_are_refused(options, match):
    with pytest.raises(ConfigError, match=match):
        mz.Autoencoder(size=(32, 32), **options)


def test_a_model_that_has_not_learnt_to_says_so():
    model = mz.Autoencoder(size=(16, 16))
    for look in (model.mark, model.surprise):
        with pytest.raises(UsageError, match="has not learnt"):
            look(torch.zeros(1, 1, 16, 16))


def test_a_model_of_before_opens_without_the_new_networks(tmp_path):
    model = mz.Autoencoder(size=(16, 16), widths=(8,), latent=4)
    model.save_pretrained(tmp_path)
    path = tmp_path / "config.json"
    config = json.loads(path.read_text())
    for name in ("marks", "turns", "crop"):
        del config[name]
    path.write_text(json.dumps(config))
    again = mz.load(tmp_path)
    images = torch.rand(3, 1, 16, 16)
    torch.testing.assert_close(again.reconstruct(images), model.reconstruct(images), rtol=0, atol=0)
    assert not any(name.startswith(("marker", "turner")) for name in again.state_dict())


@pytest.mark.parametrize(
    ("sizes", "wanted"),
    [
        ([(80, 80)] * 3, (80, 80)),
        ([(256, 200)] * 3, (256, 200)),
        ([(384, 512)] * 3, (192, 256)),
        ([(300, 500), (400, 310), (270, 900)], (256, 256)),
        ([(100, 120), (90, 300), (110, 104)], (96, 96)),
    ],
)
def test_the_detector_keeps_images_up_to_256_pixels(tmp_path, sizes, wanted):
    for at, (height, width) in enumerate(sizes):
        Image.new("L", (width, height), at * 40).save(tmp_path / f"{at}.png")
    limit = limit_of(make_plan("autoencoder", "detector", {}))
    assert load_images(tmp_path, limit=limit).size == wanted
