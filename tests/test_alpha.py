"""Transparency: no number depends on a colour that cannot be seen, and nothing is painted there."""

import dataclasses
import math

import numpy as np
import pytest
import torch

import mezzotint as mz
from mezzotint.alpha import (
    GROUNDS,
    cleared,
    composite,
    on_checkerboard,
    over,
    premultiply,
    unpremultiply,
)
from mezzotint.augmentations import AUGMENTATIONS, augment, numbers_of, recolour
from mezzotint.evaluation.likeness import reconstruction_values
from mezzotint.families import family_class
from mezzotint.features.extractor import Extractor, levels, resized, rgb, rule_digest
from mezzotint.features.glance import open_glance
from mezzotint.features.table import EXTRACTORS
from mezzotint.images import to_float, to_uint8
from mezzotint.progress import Silent
from mezzotint.seeds import BatchNoise
from mezzotint.training.feeding import Feed
from mezzotint.training.plans import make_plan, require_same

SMALL = {
    "autoencoder": {"widths": (8, 16), "latent": 6},
    "vae": {"widths": (8, 16), "latent": 6},
    "gan": {"widths": (8, 16), "latent": 6, "patch": 1},
    "diffusion": {"widths": (8, 16), "steps": 2},
    "kl-vae": {"widths": (8, 16), "latent": 4, "adversarial": 0.0},
}


def every_pixel():
    """One picture (255, 256, 4) with every pair of a level of red and an alpha above 0."""
    alpha, red = np.meshgrid(np.arange(1, 256), np.arange(256), indexing="ij")
    return np.stack([red, 255 - red, red // 2, alpha], -1).astype(np.uint8)


def stamps(count=12, side=16, seed=0):
    """Discs of one colour; what lies under alpha 0 is noise."""
    random = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    pixels = random.integers(0, 256, (count, side, side, 4), dtype=np.uint8)
    for picture in pixels:
        inside = (y - random.uniform(5, 11)) ** 2 + (x - random.uniform(5, 11)) ** 2 < 20
        picture[inside, :3] = random.integers(0, 256, 3)
        picture[..., 3] = np.where(inside, 255, 0)
    return pixels


def test_the_way_there_and_back_keeps_every_pixel_that_can_be_seen():
    pixels = every_pixel()[None]
    assert (to_uint8(unpremultiply(premultiply(to_float(pixels)))) == pixels).all()


def test_premultiplied_colour_is_colour_times_alpha():
    pixels = every_pixel()
    weighed = premultiply(to_float(pixels[None]))[0].movedim(0, -1).numpy() / 2 + 0.5
    wanted = pixels[..., :3] / 255 * (pixels[..., 3:] / 255)
    assert np.allclose(weighed[..., :3], wanted, atol=1e-6)


def test_a_picture_nobody_can_see_goes_there_and_back():
    void = np.zeros((1, 8, 8, 4), np.uint8)
    void[..., :3] = 200
    there = premultiply(to_float(void))
    assert (there == -1).all()
    assert (to_uint8(unpremultiply(there)) == 0).all()


def test_faint_pixels_keep_the_colour_of_the_alpha_they_are_stored_with():
    """p = 0.002 with alpha 0.0049 is stored with alpha 1/255: the colour is p * 255."""
    faint = torch.tensor([0.002, 0.002, 0.002, 0.0049]).view(1, 4, 1, 1) * 2 - 1
    back = unpremultiply(faint).flatten() / 2 + 0.5
    assert torch.allclose(back, torch.tensor([0.51, 0.51, 0.51, 1 / 255]), atol=1e-4)


def test_laying_on_a_ground_agrees_with_pillow():
    from PIL import Image

    pixels = stamps(1)[0]
    pixels[..., 3] = np.arange(256).reshape(16, 16)
    ground = Image.new("RGBA", (16, 16), (255, 255, 255, 255))
    laid = Image.alpha_composite(ground, Image.fromarray(pixels)).convert("RGB")
    assert np.abs(over(pixels, 255).astype(int) - np.asarray(laid)).max() <= 1
    unit = composite(to_float(pixels[None]) / 2 + 0.5, 1.0)
    assert np.abs(unit[0].movedim(0, -1).numpy() * 255 - over(pixels, 255)).max() <= 0.51


def test_white_and_black_things_show_on_the_checkerboard():
    pixels = np.zeros((2, 32, 32, 4), np.uint8)
    pixels[:, 8:24, 8:24, 3] = 255
    pixels[1, 8:24, 8:24, :3] = 255
    shown = on_checkerboard(pixels)
    assert shown.shape == (2, 32, 32, 3)
    assert len(np.unique(shown[:, :8])) == 2  # both greys, neither black nor white
    assert set(np.unique(shown)) - set(np.unique(shown[:, :8])) == {0, 255}


@pytest.mark.parametrize("kind", SMALL)
def test_losses_see_no_colour_under_alpha_0(kind):
    first = mz.load_images(stamps(), channels=4)
    other = np.where(stamps()[..., 3:] > 0, stamps(), 0).astype(np.uint8)
    family = make_plan(kind, None, {**SMALL[kind], "images": 24}).build(first)
    assert family.premultiplied

    def losses(pixels):
        images = dataclasses.replace(first, pixels=pixels)  # no reader has cleared these
        batch = Feed(images, 8, family.inward).batch(np.arange(8), BatchNoise((0,), 8))
        torch.manual_seed(0)
        return [player.loss(batch)["loss"] for player in family.players().values()]

    assert losses(stamps()) == losses(other)


@pytest.mark.parametrize("kind", ["autoencoder", "vae", "kl-vae"])
def test_a_picture_nobody_can_see_survives_an_encoder(kind):
    images = mz.load_images(stamps(), channels=4)
    family = make_plan(kind, None, {**SMALL[kind], "images": 24}).build(images).eval()
    void = torch.full((3, 4, 16, 16), -1.0)
    void[1, :3] = 0.7
    latent = family.encode(void)
    assert torch.equal(latent[0], latent[1])
    assert torch.isfinite(family.reconstruct(void)).all()


@pytest.mark.parametrize("kind", ["gan", "diffusion"])
def test_samples_are_straight_colour(kind):
    images = mz.load_images(stamps(), channels=4)
    family = make_plan(kind, None, {**SMALL[kind], "images": 24}).build(images).eval()
    made = family.sample([0, 1])
    straight = type(family)(dataclasses.replace(family.config, alpha="straight"))
    straight.load_state_dict(family.state_dict())
    inside = straight.eval().sample([0, 1])
    assert torch.allclose(made, unpremultiply(inside))


def test_a_kept_part_of_a_picture_comes_back_as_it_was():
    images = mz.load_images(stamps(), channels=4)
    family = make_plan("diffusion", None, {**SMALL["diffusion"], "images": 24}).build(images)
    picture = images.gather([0])
    mask = torch.zeros(1, 1, 16, 16)
    mask[..., :4] = 1
    made = to_uint8(family.eval().sample([0], image=to_float(picture), mask=mask))
    assert (made[:, :, 4:] == cleared(picture)[:, :, 4:]).all()


def test_configurations_without_the_option_are_straight():
    for kind in SMALL:
        options = {**SMALL[kind], "channels": 4, "size": 16}
        assert not family_class(kind)(**options).premultiplied
    rgb_images = mz.load_images(stamps()[..., :3])
    assert make_plan("vae", None, {"images": 24}).build(rgb_images).config.alpha == "straight"


def test_an_older_run_without_the_option_can_be_resumed():
    header = {"family": "vae", "model": {"alpha": "straight", "latent": 6}, "recipe": {}}
    older = {"family": "vae", "model": {"latent": 6}, "recipe": {}}
    require_same(older, header, "here")


@pytest.mark.parametrize("name", AUGMENTATIONS)
def test_changes_paint_nothing_into_the_void(name):
    images = premultiply(to_float(stamps(8)))
    uniform = torch.rand((8, numbers_of([name])), generator=torch.Generator().manual_seed(3))
    changed = augment(images, [name], uniform, premultiplied=True)
    void = changed[:, 3:].expand(-1, 3, -1, -1) == -1
    assert void.float().mean() > 0.5
    assert (changed[:, :3][void] == -1).all()


def test_recolouring_what_is_seen_is_recolouring_straight_colour():
    """Of an opaque picture it is the old change; of a part it is what that part alone would get."""
    random = torch.Generator().manual_seed(0)
    uniform = torch.rand((2, 4), generator=random)
    opaque = torch.rand((2, 4, 8, 8), generator=random) * 2 - 1
    opaque[:, 3] = 1
    wanted = recolour(opaque, uniform[:, 1:])
    assert torch.allclose(augment(opaque, ["colour"], uniform, 2.0, True), wanted, atol=1e-5)
    framed = torch.full((2, 4, 16, 16), -1.0)
    framed[..., 4:12, 4:12] = opaque
    changed = augment(framed, ["colour"], uniform, 2.0, True)
    assert torch.allclose(changed[..., 4:12, 4:12], wanted, atol=1e-5)


def test_features_see_no_colour_under_alpha_0():
    first, other = stamps(), np.where(stamps()[..., 3:] > 0, stamps(), 0).astype(np.uint8)
    assert torch.equal(levels(first), levels(other))
    for level in (255, 0):
        laid = rgb(levels(first), level).numpy().transpose(0, 2, 3, 1)
        assert np.abs(laid - over(first, level)).max() < 1
    glance = open_glance(first, None, 0)
    assert np.array_equal(glance.cells.points(first), glance.cells.points(other))


def test_reconstructions_are_compared_on_the_ground_where_they_are_worse():
    class Whitens(torch.nn.Module):
        """Loses white discs: nothing is missing on white."""

        def reconstruct(self, images):
            return torch.full_like(images, -1.0)

    discs = stamps(4)
    discs[..., :3] = 255
    found = reconstruction_values(Whitens(), discs)  # type: ignore[arg-type]
    share = (discs[..., 3] > 0).mean()
    assert found["mse"].value == pytest.approx(share)
    assert "on black" in found["mse"].note
    assert found["psnr"].value == pytest.approx(-10 * math.log10(share), abs=1.0)


def averages_on(ground):
    """Pixels of quarters of what RGBA shows on a ground."""

    def look(pixels):
        return resized(rgb(levels(pixels), GROUNDS[ground]), 4).flatten(1)

    return Extractor("plain", rule_digest("plain"), f"on {ground}", look, laid=averages_on)


def test_sets_are_compared_on_the_ground_where_the_model_is_worse(tmp_path, monkeypatch):
    monkeypatch.setenv("MEZZOTINT_HOME", str(tmp_path))
    monkeypatch.setitem(EXTRACTORS, "plain", lambda images, show: averages_on("white"))
    rows = np.arange(120)
    images = mz.load_images(stamps(120), channels=4)
    images = dataclasses.replace(images, train_rows=rows[:60], held_out_rows=rows[60:])
    family = make_plan("vae", None, {**SMALL["vae"], "images": 24}).build(images).eval()
    found = mz.evaluate(family, images, features="plain", progress=Silent())
    assert "the worse of white and black" in found["frechet"].note
    alone = {}
    for ground in GROUNDS:
        only = dataclasses.replace(averages_on(ground), laid=None)
        monkeypatch.setitem(EXTRACTORS, "plain", lambda images, show, only=only: only)
        alone[ground] = mz.evaluate(family, images, features="plain")["frechet"].value
    assert found["frechet"].value == max(alone.values()) > min(alone.values())
    assert found["frechet"].resize == f"on {max(alone, key=alone.__getitem__)}"


def test_too_few_pictures_train_no_extractor(tmp_path, monkeypatch):
    def never(images, show):
        raise AssertionError

    monkeypatch.setenv("MEZZOTINT_HOME", str(tmp_path))
    monkeypatch.setitem(EXTRACTORS, "plain", never)
    images = mz.load_images(stamps(), channels=4)
    family = make_plan("vae", None, {**SMALL["vae"], "images": 24}).build(images).eval()
    assert "frechet" in mz.evaluate(family, images, features="plain").left_out
